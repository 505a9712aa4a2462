"""When what came from a program came, beside its wire log.

`wire.times` has a line for each piece of `wire.log`: at which byte the piece begins, how long
`stderr.log` was by then, and the time in thousandths of a second, UTC. All lines are equally
long, so that one is found without reading the others.
"""

from __future__ import annotations

import contextlib
import os
import time
from bisect import bisect_left, bisect_right
from collections.abc import Callable
from pathlib import Path
from typing import Final, NamedTuple

TIMES: Final = "wire.times"
GRAIN: Final = 0.01
"""Seconds within which pieces count as one: a babbling program writes a hundred lines a second here."""
_LINE: Final = "{:015d} {:015d} {:013d}\n"
_LENGTH: Final = len(_LINE.format(0, 0, 0))


class Arrival(NamedTuple):
    """What came from byte `at` of the wire log on, until the next one."""

    at: int
    stderr: int
    """Bytes in the log of its standard error by then."""
    when: float


class Clock:
    """Notes when the pieces of one wire come."""

    def __init__(self, wire: Path, stderr: Path | None, now: Callable[[], float] = time.time) -> None:
        """`stderr` is None for a program at a terminal: there it is on the wire."""
        self._times, self._stderr, self._now = wire.with_name(TIMES), stderr, now
        self._last = 0.0

    def note(self, at: int) -> None:
        """A piece begins at byte `at`. A full disk costs the time of it, and nothing else."""
        now = self._now()
        if 0 <= now - self._last < GRAIN:
            return
        self._last = now
        with contextlib.suppress(OSError):
            line = _LINE.format(at, _size(self._stderr) if self._stderr else 0, int(now * 1000))
            fd = os.open(self._times, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o600)
            try:
                known = os.fstat(fd).st_size // _LENGTH  # one that a full disk tore is written over
                os.pwrite(fd, line.encode(), known * _LENGTH)
            finally:
                os.close(fd)


def between(wire: Path, first: int, end: int) -> list[Arrival]:
    """Those that tell of the bytes from `first` to `end` of a wire log; none where nobody noted any."""
    try:
        fd = os.open(wire.with_name(TIMES), os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        return []
    try:
        lines = range(os.fstat(fd).st_size // _LENGTH)
        begin = max(0, bisect_right(lines, first, key=lambda n: _arrival(fd, n).at) - 1)
        until = bisect_left(lines, end, key=lambda n: _arrival(fd, n).at)
        found = os.pread(fd, max(0, until - begin) * _LENGTH, begin * _LENGTH)
    finally:
        os.close(fd)
    return [_read(found[n : n + _LENGTH]) for n in range(0, len(found), _LENGTH)]


def reached(wire: Path, when: float) -> int | None:
    """How many bytes of a wire log had come at that time; None where that is not known, or all had."""
    try:
        fd = os.open(wire.with_name(TIMES), os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        return None
    try:
        lines = range(os.fstat(fd).st_size // _LENGTH)
        later = bisect_right(lines, when, key=lambda n: _arrival(fd, n).when)
        return _arrival(fd, later).at if later < len(lines) else None
    finally:
        os.close(fd)


def _arrival(fd: int, number: int) -> Arrival:
    return _read(os.pread(fd, _LENGTH, number * _LENGTH))


def _read(line: bytes) -> Arrival:
    at, stderr, when = line.split()
    return Arrival(int(at), int(stderr), int(when) / 1000)


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return 0
