"""Where the servers of this user are found: one private file for each that listens now.

A server that begins to listen publishes its address and the person's token; whoever runs
as the same user (`madrox mcp`, `madrox tree`) finds it here. A kernel that was killed takes
nothing away, so a file counts only while the process that wrote it is still that process.

Only the standard library is loaded, as far as it goes: `madrox mcp` answers its client at
once and reads this first.
"""

from __future__ import annotations

import contextlib
import json
import os
import platform
import stat
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, fields
from datetime import UTC, datetime
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

from . import __version__
from .errors import BadInput

LARGEST: Final = 64 * 1024
"""Bytes of a file that is read. Ours have some hundred."""
NOT_SINCE: Final = -1.0
"""The beginning of a process that is not there."""


@dataclass(frozen=True, kw_only=True)
class Running:
    """A server that listens, as it has published itself."""

    url: str
    """Of its MCP endpoint."""
    token: str = field(repr=False)
    """The person's: whoever has it may do everything."""
    pid: int
    began: float
    """When that process began: clock ticks since the boot on Linux, else seconds since 1970."""
    host: str
    """The machine: homes are shared between machines, processes are not."""
    home: str
    cwd: str
    kernel: str
    """The Jupyter kernel's id; empty outside one."""
    version: str
    started: str
    """When it began to listen (UTC, ISO 8601)."""
    lasting: bool = True
    """False for one that ends with the MCP client that started it (`madrox mcp` without a kernel)."""


def directory() -> Path:
    """Where the files lie. In the user's own state directory, because others write in the temporary one."""
    import platformdirs

    return platformdirs.user_state_path("madrox_nb") / "running"


def described(url: str, token: str, *, home: Path, lasting: bool = True) -> Running:
    """A server of this process, as others would find it."""
    pid = os.getpid()
    return Running(
        url=url,
        token=token,
        pid=pid,
        began=_began(pid),
        host=platform.node(),
        home=str(home),
        cwd=_cwd(),
        kernel=_kernel(),
        version=__version__,
        started=datetime.now(UTC).isoformat(timespec="milliseconds"),
        lasting=lasting,
    )


def publish(running: Running) -> Path:
    """Let this user's programs find a server of this process; returns the file for `withdraw`.

    Raises `OSError` when the state directory can't be written.
    """
    from .keeping import put

    place = directory()
    place.mkdir(parents=True, exist_ok=True, mode=0o700)
    place.chmod(0o700)
    file = place / f"{running.pid}-{urlsplit(running.url).port}.json"  # one process may run more than one
    put(file, json.dumps(asdict(running)))
    return file


def withdraw(file: Path) -> None:
    """Take back what `publish` wrote. Idempotent."""
    file.unlink(missing_ok=True)


def servers() -> list[Running]:
    """Every server of this user that listens on this machine, the newest first.

    What a killed kernel left is removed; a file that others could have written is passed over.
    """
    try:
        names = sorted(os.listdir(directory()))  # noqa: PTH208 - pathlib's would load more of it
    except (FileNotFoundError, NotADirectoryError, PermissionError):
        return []
    found = [running for name in names if name.endswith(".json") and (running := _read(directory() / name))]
    return sorted(found, key=lambda each: each.started, reverse=True)


def find(
    home: Path | None = None, cwd: Path | None = None, *, strict: bool = False, lasting: bool = False
) -> Running | None:
    """The server that is meant: the one with this home, else with this working directory, else the newest.

    A server that works in a directory above `cwd` counts as near, the nearest first. Where
    several are equally near the newest is taken; with `strict` that raises `BadInput`,
    which lists them. With `lasting`, those that end with an MCP client are left out.
    """
    here = _cwd() if cwd is None else str(cwd.resolve())
    wanted = None if home is None else str(home.resolve())

    def nearness(running: Running) -> tuple[bool, int]:
        return running.home == wanted, _depth_above(running.cwd, here)

    listed = [running for running in servers() if running.lasting or not lasting]
    ranked = sorted(listed, key=nearness, reverse=True)  # stable: the newest stays before the others
    if not ranked:
        return None
    best = [running for running in ranked if nearness(running) == nearness(ranked[0])]
    if strict and len(best) > 1:
        raise BadInput(_ambiguous(best))
    return best[0]


def _ambiguous(best: Sequence[Running]) -> str:
    lines = "\n".join(f"  {each.home}  (pid {each.pid}, since {each.started}, {each.url})" for each in best)
    return (
        f"{len(best)} servers are equally near. Say which by its home, in MADROX_HOME, or work in its "
        f"directory:\n{lines}"
    )


def _depth_above(above: str, here: str) -> int:
    """How many parts of the path `here` are those of `above`; -1 when it lies elsewhere."""
    parts, own = Path(above).parts, Path(here).parts
    return len(parts) if above and own[: len(parts)] == parts else -1


def _read(file: Path) -> Running | None:
    """What `file` says, when it is to be trusted and its process lives. A dead one's is removed."""
    try:
        text = _private(file)
        running = _parsed(text)
    except (OSError, ValueError, TypeError):
        return None
    if running.host != platform.node():
        return None
    if running.began == _began(running.pid):
        return running
    with contextlib.suppress(OSError):
        if _private(file) == text:  # unless a new process with this very number is faster
            withdraw(file)
    return None


def _private(file: Path) -> str:
    """The text of a file that nobody else can have written. Raises `OSError` for any other."""
    # without waiting: opening a pipe that somebody has put there would never end
    fd = os.open(file, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        found = os.fstat(fd)
        if not stat.S_ISREG(found.st_mode) or found.st_uid != os.geteuid() or found.st_mode & 0o077:
            raise PermissionError(f"{file} is not a private file of this user")
        return os.read(fd, LARGEST).decode("utf-8")
    finally:
        os.close(fd)


def _parsed(text: str) -> Running:
    """Raises `ValueError` or `TypeError` for what is no `Running`; a later version may say more."""
    said = json.loads(text)
    known = {each.name: said[each.name] for each in fields(Running) if each.name in said}
    running = Running(**known)
    kinds = {"pid": int, "began": float, "lasting": bool}
    if not all(isinstance(value, kinds.get(name, str)) for name, value in known.items()):
        raise ValueError("not a published server")
    return running


def _began(pid: int) -> float:
    """When the process began, so that its number alone need not be trusted; `NOT_SINCE` when it is gone."""
    try:
        with open(f"/proc/{pid}/stat", encoding="utf-8", errors="replace") as file:  # noqa: PTH123 - not a file
            state, *rest = file.read().rpartition(")")[2].split()
        return NOT_SINCE if state in "ZX" else float(rest[18])  # ticks: no clock that is set moves them
    except FileNotFoundError:
        if os.path.exists("/proc/self/stat"):  # noqa: PTH110 - as above
            return NOT_SINCE
    import psutil

    try:
        return float(psutil.Process(pid).create_time())
    except psutil.Error:
        return NOT_SINCE


def _kernel() -> str:
    """The id of the Jupyter kernel that this process is, else nothing."""
    ipykernel = sys.modules.get("ipykernel.kernelapp")
    if ipykernel is None or not ipykernel.IPKernelApp.initialized():
        return ""
    return Path(ipykernel.IPKernelApp.instance().connection_file).stem.removeprefix("kernel-")


def _cwd() -> str:
    """Where this process works; empty when that directory was removed."""
    try:
        return os.getcwd()  # noqa: PTH109 - a text is what is wanted
    except FileNotFoundError:
        return ""
