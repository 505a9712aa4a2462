"""The files in an agent's workspace, for others to list and fetch: inside it, and nothing but files.

Nobody who can write there can lead a reader out: each component of a path is opened by
itself, without following links, from the directory before it (`openat` with
`O_NOFOLLOW`), so that what was checked is what is read, however fast names are swapped.
Links are not followed at all, not even those that stay inside.

Not shown: what `.gitignore` files there exclude, what belongs to tools (`SKIPPED`), and
what other programs carry out or keep to themselves (`workspace.SENSITIVE`).
"""

from __future__ import annotations

import errno
import os
import secrets
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Final

from .errors import BadInput
from .workspace import SENSITIVE

if TYPE_CHECKING:
    from pathspec import GitIgnoreSpec

SKIPPED: Final = frozenset(
    {"node_modules", ".venv", "venv", "__pycache__", ".mypy_cache", ".pytest_cache", ".tox"}
)
MOST_FILES: Final = 5_000
"""Files of one listing."""
MOST_LOOKED_AT: Final = 100_000
"""Names that one listing looks at, shown or not: a workspace can hold millions."""
DEEPEST: Final = 64
"""Directories inside one another."""
LARGEST_RULES: Final = 256 * 1024
"""Bytes of a `.gitignore` that are read."""
CHUNK: Final = 1024 * 1024

_LOOK = (
    os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK
)  # a pipe with nobody at it must not hold us
_ENTER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_NOT_THERE = (errno.ENOENT, errno.ENOTDIR)


@dataclass(frozen=True, slots=True)
class File:
    """One file of a workspace."""

    path: str
    """From the workspace on, with `/`."""
    size: int
    """In bytes."""
    modified: datetime


@dataclass(frozen=True, slots=True)
class Listing:
    files: list[File]
    """By path."""
    left_out: int = 0
    """Files that were not told because there are too many; more may not have been looked at."""
    hidden: int = 0
    """Files and directories that are not shown: excluded, tools' or sensitive ones, and links."""


@dataclass(frozen=True, slots=True)
class Piece:
    """Some bytes of a file."""

    data: bytes
    offset: int
    size: int
    """Of the whole file."""
    modified: datetime


# looking


def listed(workspace: Path, *, limit: int = MOST_FILES) -> Listing:
    """All files of a workspace, sorted. Takes as long as the disk does. Raises `BadInput` when it is gone."""
    walk = _Walk(limit)
    with _entered(workspace) as root:
        walk.directory(root, PurePosixPath(), ())
    return Listing(sorted(walk.files, key=lambda file: file.path), walk.left_out, walk.hidden)


class _Walk:
    def __init__(self, limit: int) -> None:
        self.files: list[File] = []
        self.left_out = self.hidden = 0
        self._limit, self._looks = limit, MOST_LOOKED_AT

    def directory(self, fd: int, here: PurePosixPath, rules: tuple[_Rules, ...]) -> None:
        """Take in what lies in the directory that is open as `fd`."""
        rules = (*rules, *_rules_in(fd, here))
        with os.scandir(fd) as entries:
            found = sorted(entries, key=lambda entry: entry.name)
        for entry in found:
            self._looks -= 1
            path = here / entry.name
            if (
                entry.is_symlink()
                or closed(path)
                or _ignored(rules, path, entry.is_dir(follow_symlinks=False))
            ):
                self.hidden += 1
            elif self._looks <= 0:
                self.left_out += 1
            elif entry.is_dir(follow_symlinks=False):
                self._below(fd, entry.name, path, rules)
            elif entry.is_file(follow_symlinks=False):
                self._file(fd, entry.name, path)

    def _below(self, fd: int, name: str, path: PurePosixPath, rules: tuple[_Rules, ...]) -> None:
        if len(path.parts) >= DEEPEST:
            self.hidden += 1
            return
        try:
            below = os.open(name, _ENTER, dir_fd=fd)
        except OSError:  # it is gone, or has become a link, or nobody may read it
            self.hidden += 1
            return
        try:
            self.directory(below, path, rules)
        finally:
            os.close(below)

    def _file(self, fd: int, name: str, path: PurePosixPath) -> None:
        if len(self.files) >= self._limit:
            self.left_out += 1
            return
        with suppress(OSError):  # it is gone
            found = os.stat(name, dir_fd=fd, follow_symlinks=False)
            self.files.append(File(str(path), found.st_size, _modified(found)))


def closed(path: PurePosixPath) -> bool:
    """Whether a path leads to what is not shown to anybody: tools' directories, and sensitive files."""
    return any(part in SKIPPED or part.casefold() in SENSITIVE for part in path.parts)


# reading and writing


def read(workspace: Path, path: str, *, offset: int = 0, limit: int = CHUNK) -> Piece:
    """At most `limit` bytes of one file, from `offset` on.

    Raises `BadInput`, which says why, for what is no file inside the workspace or is not shown.
    """
    inner = _inner(workspace, path)
    with _opened(workspace, inner) as fd:
        found = os.fstat(fd)
        data = os.pread(fd, limit, offset) if offset < found.st_size else b""
        while data and len(data) < limit and (more := os.pread(fd, limit - len(data), offset + len(data))):
            data += more
        return Piece(data, offset, found.st_size, _modified(found))


def copied(workspace: Path, path: str, into: Path, destination: str, *, largest: int) -> tuple[str, int]:
    """Copy one file into the directory `into`; returns its path there and its size in bytes.

    An existing file there is replaced, whole or not at all. Directories are made; a
    `destination` that is one, or ends with `/`, keeps the file's name. Raises `BadInput`
    for what may not be read or written, and for more than `largest` bytes.
    """
    inner = _inner(workspace, path)
    here = destination.strip() in ("", ".", "./")
    target = _inner(into, inner.name if here else destination)
    with _opened(workspace, inner) as fd:
        size = os.fstat(fd).st_size
        if size > largest:
            raise BadInput(
                f"{inner} holds {size:,} bytes, and at most {largest:,} are copied. Read it in pieces"
            )
        with _entered(into) as root:
            if not here and (destination.endswith("/") or _is_directory(root, target)):
                target /= inner.name
            if closed(target):
                raise BadInput(f"{target} may not be written: other programs carry out what stands there")
            _write(root, target, fd)
    return str(target), size


def _write(root: int, target: PurePosixPath, source: int) -> None:
    place = os.dup(root)
    try:
        for part in target.parts[:-1]:
            with suppress(FileExistsError):
                os.mkdir(part, 0o700, dir_fd=place)
            below = os.open(part, _ENTER, dir_fd=place)
            os.close(place)
            place = below
        draft = f".{secrets.token_hex(8)}"
        fd = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600, dir_fd=place)
        try:
            with os.fdopen(fd, "wb") as file:
                while piece := os.read(source, CHUNK):
                    file.write(piece)
            os.rename(draft, target.name, src_dir_fd=place, dst_dir_fd=place)
        except BaseException:
            with suppress(OSError):
                os.unlink(draft, dir_fd=place)
            raise
    except OSError as exc:
        raise BadInput(f"{target} can't be written: {_why(exc)}") from exc
    finally:
        os.close(place)


def _is_directory(root: int, path: PurePosixPath) -> bool:
    try:
        return stat.S_ISDIR(os.stat(str(path), dir_fd=root, follow_symlinks=False).st_mode)
    except OSError:
        return False


def _can_be_a_name(path: str) -> bool:
    try:
        os.fsencode(path)
    except UnicodeEncodeError:  # half a character
        return False
    return True


def _inner(workspace: Path, path: str) -> PurePosixPath:
    """`path` from the workspace on. Absolute ones count when they lie in it. Raises `BadInput`."""
    if "\0" in path or not path.strip() or not _can_be_a_name(path):
        raise BadInput(f"{path!r} names no file. See which there are: list_instance_files")
    given = PurePosixPath(path)
    if given.is_absolute():
        try:
            given = given.relative_to(PurePosixPath(workspace))
        except ValueError:
            raise BadInput(f"{path} lies outside {workspace}: only files inside it are handed over") from None
    if ".." in given.parts:
        raise BadInput(f"{path} leads upwards with '..': name a file from the workspace on")
    if not given.parts:
        raise BadInput(f"{path!r} is the directory itself: name a file in it")
    return given


@contextmanager
def _entered(directory: Path) -> Iterator[int]:
    try:
        fd = os.open(directory, _ENTER)
    except OSError as exc:
        raise BadInput(f"the workspace {directory} can't be entered: {_why(exc)}") from exc
    try:
        yield fd
    finally:
        os.close(fd)


@contextmanager
def _opened(workspace: Path, path: PurePosixPath) -> Iterator[int]:
    """A descriptor of a file that is shown: one component after the other, without links."""
    if closed(path):
        raise BadInput(f"{path} is not handed over: it belongs to a tool, or other programs carry it out")
    with _entered(workspace) as root:
        fd = os.dup(root)
        rules: tuple[_Rules, ...] = ()
        here = PurePosixPath()
        try:
            for part in path.parts:
                rules = (*rules, *_rules_in(fd, here))
                here /= part
                last = here == path
                below = _step(fd, part, here, last)
                os.close(fd)
                fd = below
                if _ignored(rules, here, not last):
                    raise BadInput(f"{here} is excluded by a .gitignore there, so it is not handed over")
            if not stat.S_ISREG(os.fstat(fd).st_mode):
                raise BadInput(f"{path} is no file. See which there are: list_instance_files")
            yield fd
        finally:
            os.close(fd)


def _step(fd: int, part: str, here: PurePosixPath, last: bool) -> int:
    try:
        return os.open(part, _LOOK if last else _ENTER, dir_fd=fd)
    except OSError as exc:
        if _is_link(fd, part):
            raise BadInput(f"{here} is a link, and links are not followed: name what it points to") from exc
        if exc.errno in _NOT_THERE:
            raise BadInput(f"there is no file {here}. See which there are: list_instance_files") from exc
        raise BadInput(f"{here} can't be read: {_why(exc)}") from exc


def _is_link(fd: int, part: str) -> bool:
    try:
        return stat.S_ISLNK(os.stat(part, dir_fd=fd, follow_symlinks=False).st_mode)
    except (OSError, ValueError):
        return False


def _why(exc: OSError) -> str:
    if exc.errno in (errno.ELOOP, errno.ENOTDIR):
        return "it is a link, or no directory"
    return exc.strerror or str(exc)


def _modified(found: os.stat_result) -> datetime:
    return datetime.fromtimestamp(found.st_mtime, UTC)


# .gitignore


@dataclass(frozen=True, slots=True)
class _Rules:
    """One `.gitignore`, and the directory that it is about."""

    directory: PurePosixPath
    spec: GitIgnoreSpec


def _rules_in(fd: int, here: PurePosixPath) -> Iterator[_Rules]:
    try:
        rules = os.open(".gitignore", _LOOK, dir_fd=fd)
    except OSError:
        return
    try:
        if stat.S_ISREG(os.fstat(rules).st_mode):
            text = os.read(rules, LARGEST_RULES).decode("utf-8", "replace")
            yield _Rules(here, _spec(text.splitlines()))
    finally:
        os.close(rules)


def _spec(lines: list[str]) -> GitIgnoreSpec:
    """The rules of these lines. A line that git would not understand excludes nothing."""
    from pathspec import GitIgnoreSpec  # 20 ms: not for those who only load the package

    try:
        return GitIgnoreSpec.from_lines(lines)
    except ValueError:
        return GitIgnoreSpec.from_lines(each for each in lines if _understood(each))


def _understood(line: str) -> bool:
    from pathspec import GitIgnoreSpec

    try:
        return bool(GitIgnoreSpec.from_lines([line]))
    except ValueError:
        return False


def _ignored(rules: tuple[_Rules, ...], path: PurePosixPath, directory: bool) -> bool:
    """Whether the nearest `.gitignore` that says something of `path` excludes it."""
    for each in reversed(rules):
        name = str(path.relative_to(each.directory)) + ("/" if directory else "")
        said = each.spec.check_file(name).include
        if said is not None:
            return said
    return False
