"""A directory per agent, and a private place for what only its CLI may read.

Workspace paths are stable over runs (`<home>/work/<agent>`), so that a notebook that is
run again talks about the same files. Two kernels that share a home don't share an
agent's directory: the second one to ask gets `<agent>~2`. An agent may also be given a
directory of the person's. No two agents ever have the same one, and none is ever deleted.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import os
import re
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path

from .errors import BadInput

IGNORE_ALL = "*\n"
SENSITIVE = frozenset(
    {
        *(".git", ".claude", ".mcp.json", ".codex", ".agents"),
        *(".gemini", ".opencode", "opencode.json", "opencode.jsonc"),
    }
)
"""What is written there is carried out by git or a CLI the next time somebody runs it."""


def prepare_home(home: Path) -> None:
    """Make `home`, private, with a `.gitignore` that keeps all of it out of git.

    A directory that holds something already (`MADROX_HOME=.`) keeps its own rules.
    """
    home.mkdir(parents=True, exist_ok=True, mode=0o700)
    if not any(home.iterdir()):
        (home / ".gitignore").write_text(IGNORE_ALL)


class Workspaces:
    """Hands out agents' directories and holds them for this process."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self._held: dict[str, tuple[Path, int]] = {}

    def claim(self, agent: str, *, empty: bool = False) -> Path:
        """The directory of `agent`, made when needed and held until `release`; on demand an empty one.

        Raises `BadInput` when it can't be made.
        """
        if agent in self._held:
            return self._held[agent][0]
        name = directory_name(agent)
        try:
            self.root.mkdir(parents=True, exist_ok=True, mode=0o700)
            for number in range(1, 1000):
                path = self.root / (name if number == 1 else f"{name}~{number}")
                path.mkdir(exist_ok=True, mode=0o700)
                if self._hold(agent, path):
                    if not (empty and any(path.iterdir())):
                        return path
                    self.release(agent)
        except OSError as exc:
            self.release(agent)
            raise BadInput(f"cannot make a workspace for {agent!r} in {self.root}: {exc}") from exc
        raise BadInput(f"no workspace is free for {agent!r} in {self.root}")

    def claim_directory(self, agent: str, path: Path) -> Path:
        """That very directory for `agent`, made when needed and held until `release`.

        Raises `BadInput` when another agent has it, or it can't be had.
        """
        if agent in self._held and self._held[agent][0] != path:
            raise BadInput(f"{agent} has {self._held[agent][0]} for its workspace already")
        try:
            path.mkdir(parents=True, exist_ok=True)
            if agent in self._held or self._hold(agent, path):
                return path
        except OSError as exc:
            raise BadInput(f"{path} can't be the workspace of {agent}: {exc}") from exc
        holder = next(
            (name for name, (held, _) in self._held.items() if held == path), "another kernel's agent"
        )
        raise BadInput(
            f"{path} is the workspace of {holder}, and two agents never share one. "
            "Choose another directory, or give each a worktree of its repository: use_worktree"
        )

    def _hold(self, agent: str, path: Path) -> bool:
        """Hold a directory, if nobody else does."""
        held = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        self._held[agent] = path, held
        if not _locked(held):
            self.release(agent)
            return False
        return True

    def release(self, agent: str) -> None:
        """Let others have the directory. Its files stay."""
        if agent in self._held:
            _, held = self._held.pop(agent)
            with contextlib.suppress(OSError):
                fcntl.flock(held, fcntl.LOCK_UN)  # also for the forks of the kernel, which share it
            with contextlib.suppress(OSError):
                os.close(held)

    def close(self) -> None:
        for agent in tuple(self._held):
            self.release(agent)


@contextlib.contextmanager
def held_alone(path: Path) -> Iterator[bool]:
    """Hold a directory for as long as something is done to it; False when an agent, of any kernel, has it."""
    fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        yield _locked(fd)
    finally:
        os.close(fd)


def _locked(fd: int) -> bool:
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def directory_name(agent: str) -> str:
    """`agent` as one path component that every file system takes."""
    return re.sub(r"[^\w.-]+", "-", agent).strip("-.") or "agent"


def private_name(agent: str, workspace: Path, root: Path) -> str:
    """What the private directory of an agent is called that works in `workspace`; no other agent's is."""
    if workspace.parent == root:
        return workspace.name
    mark = hashlib.sha256(f"{agent}\0{workspace}".encode(errors="surrogatepass")).hexdigest()[:8]
    return f"{directory_name(agent)}@{mark}"


def may_touch(workspace: Path, path: str) -> bool:
    """Whether an agent may read or edit `path`: in its workspace, and not what other programs run."""
    if not inside(workspace, path):
        return False
    within = (workspace / Path(path).expanduser()).resolve().relative_to(workspace.resolve())
    return SENSITIVE.isdisjoint(part.casefold() for part in within.parts)


def place(workspace: Path, path: str) -> tuple[str, ...]:
    """What `path` is called, links resolved: absolute, and from the workspace on if it may be touched there.

    Nothing, for what can't be a path.
    """
    try:
        target = (workspace / Path(path).expanduser()).resolve()
    except (OSError, RuntimeError, ValueError):
        return ()
    if not may_touch(workspace, path):
        return (str(target),)
    return str(target), str(target.relative_to(workspace.resolve()))


def inside(workspace: Path, path: str) -> bool:
    """Whether `path` (absolute, or relative to the workspace) lies in it, links resolved."""
    try:
        target = (workspace / Path(path).expanduser()).resolve()
    except (OSError, RuntimeError, ValueError):  # a loop of links, an unknown user, a NUL, half a character
        return False
    unresolved = any(part.is_symlink() for part in (target, *target.parents))  # a loop, from 3.13 on
    return not unresolved and target.is_relative_to(workspace.resolve())


def copy_workspace(source: Path, target: Path, *, besides: tuple[str, ...] = ()) -> None:
    """Copy all files of one workspace into another one, links as links. Takes as long as the disk does.

    What is called one of `besides` at the top of either is left as it is. Raises
    `BadInput` when the other one holds something already, or can't be written.
    """
    if any(path.name not in besides for path in target.iterdir()):
        raise BadInput(f"{target} holds files of an earlier agent. Move them away, or choose another name")
    if target.resolve().is_relative_to(source.resolve()):
        raise BadInput(
            f"{target} lies in {source}: a copy would hold itself. Set MADROX_HOME to another place"
        )

    def left(directory: str, names: list[str]) -> list[str]:
        return [name for name in names if name in besides] if Path(directory) == source else []

    try:
        shutil.copytree(source, target, symlinks=True, dirs_exist_ok=True, ignore=left)
    except (OSError, shutil.Error) as exc:
        raise BadInput(f"cannot copy {source} to {target}: {exc}") from exc


def copy_sessions(copies: Mapping[str, str]) -> None:
    """Copy what a CLI keeps of its sessions (target → source); what is not there is left alone."""
    for target, source in copies.items():
        if Path(source).is_file() and not Path(target).exists():
            Path(target).parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            shutil.copy2(source, target)


def write_private(directory: Path, files: Mapping[str, str]) -> None:
    """Write `files` into `directory` (0700), each 0600 from its first byte on."""
    directory.mkdir(parents=True, exist_ok=True, mode=0o700)
    for name, content in files.items():
        path = directory / name
        path.unlink(missing_ok=True)
        fd = os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_CLOEXEC, 0o600)
        with os.fdopen(fd, "w", encoding="utf-8", errors="surrogatepass") as file:
            file.write(content)
