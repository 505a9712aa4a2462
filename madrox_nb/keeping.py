"""What outlives a kernel: for how long, and where its keeper is found meanwhile.

Each run that keeps its agents has a directory of its own, 0700, in which everything is
0600: `kept.json` says where the keeper's door is (and whatever else the next kernel needs
to come back at the same address), and the door itself stands there too, a unix socket.
Only where that path is longer than a socket's may be, the door stands in a private
directory of the system's temporary one.
"""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import socket
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .errors import NotRunning
from .guard import user_of
from .workspace import write_private

FILE = "kept.json"
LONGEST_PATH = 103
"""Bytes of a unix socket's path: 107 on Linux, 103 on macOS."""
LOOK_SECONDS = 1.0
"""For a keeper to let us knock."""


@dataclass(frozen=True)
class Keep:
    """For how long agents outlive their kernel, and where they are found meanwhile."""

    directory: Path
    """Private, of this run alone: `place`."""
    seconds: float


def seconds_of(policy: str) -> float:
    """How long agents outlive their kernel: 0 for `kill`, else the seconds of `keep:<seconds>`.

    Raises `ValueError` for anything else.
    """
    kind, _, number = policy.partition(":")
    if policy == "kill":
        return 0.0
    if kind != "keep" or not 0 < (seconds := float(number)) < float("inf"):
        raise ValueError("not 'kill' or 'keep:<seconds>'")
    return seconds


def place(logs: Path, run: str) -> Path:
    """The directory in which a run is found again. No agent's begins with a dot."""
    return logs / "runs" / run / ".kept"


def open_door(keep: Keep) -> socket.socket:
    """A listening socket that only this user can reach, and its place on record."""
    keep.directory.mkdir(parents=True, exist_ok=True, mode=0o700)
    keep.directory.chmod(0o700)
    name = f"door-{secrets.token_hex(4)}"  # a late sentinel may yet take an earlier one away
    door = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        path = _short(keep.directory / name)
        door.bind(str(path))
        path.chmod(0o600)
        door.listen()
        write(keep.directory, door=str(path), seconds=keep.seconds)
    except BaseException:
        door.close()
        raise
    return door


def _short(path: Path) -> Path:
    if len(os.fsencode(path)) <= LONGEST_PATH:
        return path
    homes = (os.environ.get("XDG_RUNTIME_DIR"), tempfile.gettempdir(), "/tmp")  # noqa: S108 - 0700 below it
    for home in filter(None, homes):
        if len(os.fsencode(home)) + len("/madrox-12345678/") + len(path.name) <= LONGEST_PATH:
            with contextlib.suppress(OSError):
                return Path(tempfile.mkdtemp(prefix="madrox-", dir=home)) / path.name
    raise OSError(f"no place for a unix socket: {path} is too long, and so is the temporary directory")


def write(directory: Path, **facts: Any) -> None:
    """Add to what the next kernel will know. Whole or not at all."""
    put(directory / FILE, json.dumps({**read(directory), **facts}))


def read(directory: Path) -> Mapping[str, Any]:
    """What is on record about a run that keeps its agents; empty when it does not."""
    try:
        found: Mapping[str, Any] = json.loads((directory / FILE).read_text(encoding="utf-8"))
    except (FileNotFoundError, NotADirectoryError):
        return {}
    return found


def put(path: Path, text: str) -> None:
    """Write a file 0600, in a directory 0700, so that everybody reads the old or the new one whole."""
    draft = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    write_private(path.parent, {draft.name: text})
    draft.replace(path)


def find_door(directory: Path) -> Path:
    """Raises `NotRunning` when there never was one."""
    door = read(directory).get("door")
    if door is None:
        raise NotRunning(f"no agents were kept in {directory}")
    return Path(door)


def knock(door: Path) -> socket.socket:
    """A connection to a keeper. Raises `NotRunning` when it is gone, or is not ours."""
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        sock.settimeout(LOOK_SECONDS)
        sock.connect(str(door))
        if user_of(sock) != os.geteuid():
            raise OSError("somebody else listens there")
        sock.setblocking(False)
    except OSError as exc:
        sock.close()
        raise NotRunning(f"nobody keeps agents at {door} any more: {exc}") from exc
    return sock


def is_kept(logs: Path, run: str) -> bool:
    """Whether a keeper still holds the agents of that run, with or without an owner. Claims nothing."""
    try:
        knock(find_door(place(logs, run))).close()
    except NotRunning:
        return False
    return True


def kept_runs(logs: Path) -> Iterator[str]:
    """The runs whose agents can be attached to, or are owned, the oldest first."""
    for file in sorted((logs / "runs").glob(f"*/.kept/{FILE}")):
        run = file.parents[1].name
        if is_kept(logs, run):
            yield run
