"""The wire to one CLI: bytes become lines, and a process is ended politely, then firmly."""

from __future__ import annotations

import asyncio
import os
import re
import signal
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from .nodes import AgentSpec, Handle, Kept, NodeLink

MAX_LINE = 32 * 1024 * 1024
"""Bytes of a line that is still assembled: one can hold an image or a long answer."""
RECALLED = 1024 * 1024
"""Bytes of a wire log that are read back at a time."""
SHOWN = 2000
"""Characters told of a longer one; the rest is in the wire log."""
LAST_GRACE = 5.0
"""Seconds between SIGKILL and giving up on hearing of it."""

ANSI = re.compile(r"\x1b(?:\[[0-?]*[ -/]*[@-~]|[\]PX^_].*?(?:\x1b\\|\x07)|[ -/]*[0-~])", re.DOTALL)
"""Control sequences of a terminal: CSI, strings such as OSC, and the short ones."""


@dataclass(frozen=True, slots=True)
class Line:
    """One line of output, without its newline."""

    text: str
    offset: int
    """Where in the wire log it begins, in bytes."""
    length: int
    """In bytes, without the newline."""
    whole: bool = True
    """False: it was longer than `MAX_LINE` and `text` is its beginning."""


class Reader(Protocol):
    """Who reads the lines of one CLI. Called on the loop."""

    def lines(self, lines: Sequence[Line]) -> None:
        """The lines that one read completed; never none."""

    def gone(self, code: int | None, why: str) -> None:
        """The process has ended. Exactly once, after the last line. `code` is None when nobody knows it."""

    def stuck(self, error: OSError) -> None:
        """Its wire log can't be written, so nothing is read until `Pipe.resume`."""


class Pipe:
    """A running CLI and its lines. It is the `Watcher` that assembles them.

    Lines need to be UTF-8; what is not becomes U+FFFD. A last line without a newline is
    told when the output ends.
    """

    def __init__(self, node: NodeLink, reader: Reader) -> None:
        self._node, self._reader = node, reader
        self._handle: Handle
        self._gone: asyncio.Future[int | None] = asyncio.get_running_loop().create_future()
        self._parts: list[bytes] = []
        self._offset = self._length = 0

    @classmethod
    async def open(cls, node: NodeLink, spec: AgentSpec, reader: Reader) -> Pipe:
        """Start the process. Raises what `NodeLink.spawn` raises."""
        pipe = cls(node, reader)
        pipe._handle = await node.spawn(spec, pipe)
        return pipe

    @classmethod
    def of(cls, node: NodeLink, kept: Kept, reader: Reader) -> Pipe:
        """The wire to a process that outlived its owner. `recall` first, then `go_on`."""
        pipe = cls(node, reader)
        pipe._handle = kept.handle
        return pipe

    def recall(self, kept: Kept) -> Iterator[Line]:
        """What it said before, from its wire log. The beginning of a last line waits for its end."""
        left = kept.offset - kept.since
        with kept.wire_log.open("rb") as log:
            log.seek(kept.since)
            while left and (data := log.read(min(left, RECALLED))):
                yield from self._cut(data, kept.offset - left)
                left -= len(data)

    def go_on(self, kept: Kept) -> None:
        """Read what it says from now on."""
        self._node.adopt(kept, self)

    @property
    def pid(self) -> int:
        return self._handle.pid

    def write(self, text: str) -> None:
        """Write, never blocking. To a CLI that is gone this does nothing: its end is told."""
        self._node.write(self._handle, text.encode())

    def pause(self) -> None:
        """Read no more: the CLI waits when its pipe is full."""
        self._node.pause(self._handle)

    def resume(self) -> None:
        """Read again, after `pause` or after `Reader.stuck` was told."""
        self._node.resume(self._handle)

    def kill(self) -> None:
        """End it and all that it started, at once."""
        self._node.kill(self._handle, signal.SIGKILL)

    async def close(self, grace: float) -> int | None:
        """End it: close its stdin, after `grace` seconds SIGTERM, after as many again SIGKILL.

        Returns the exit code, or None when the node lost it. May be called again, and
        at the same time. Cancelling leaves it as far as it came.
        """
        self._node.resume(self._handle)  # its end can't be told while there is output to read
        self._node.close_input(self._handle)
        for sig in (signal.SIGTERM, signal.SIGKILL):
            if await self._ended(grace):
                return self._gone.result()
            self._node.kill(self._handle, sig)
        if not await self._ended(LAST_GRACE):
            self._tell_gone(None, "it was killed, and its last output could not be kept")
        return self._gone.result()

    async def _ended(self, timeout: float) -> bool:
        await asyncio.wait((self._gone,), timeout=timeout)
        return self._gone.done()

    # Watcher: called by the node

    def on_data(self, data: bytes, offset: int) -> None:
        if lines := self._cut(data, offset):
            self._reader.lines(lines)

    def _cut(self, data: bytes, offset: int) -> list[Line]:
        """The lines that `data` completes; a rest is held."""
        lines, start = [], 0
        while (end := data.find(b"\n", start)) >= 0:
            lines.append(self._line(data[start:end], offset + start))
            start = end + 1
        if start < len(data):
            self._hold(data[start:], offset + start)
        return lines

    def on_exit(self, code: int) -> None:
        self._tell_gone(code, f"was killed by signal {-code}" if code < 0 else f"exited with code {code}")

    def on_lost(self, reason: str) -> None:
        self._tell_gone(None, reason)

    def on_stuck(self, error: OSError) -> None:
        self._reader.stuck(error)

    def _tell_gone(self, code: int | None, why: str) -> None:
        if self._gone.done():
            return
        self._gone.set_result(code)
        if self._length:
            self._reader.lines([self._release()])
        self._reader.gone(code, why)

    # lines

    def _line(self, data: bytes, offset: int) -> Line:
        if not self._length and len(data) <= MAX_LINE:
            return Line(data.decode("utf-8", "replace"), offset, len(data))
        self._hold(data, offset)
        return self._release()

    def _hold(self, data: bytes, offset: int) -> None:
        """Keep a piece of a line; of one that grew too long, only the beginning."""
        if not self._length:
            self._offset = offset
        self._length += len(data)
        self._parts.append(data)
        if self._length > MAX_LINE:
            self._parts = [b"".join(self._parts)[: 4 * SHOWN]]

    def _release(self) -> Line:
        text = b"".join(self._parts).decode("utf-8", "replace")
        whole = self._length <= MAX_LINE
        line = Line(text if whole else text[:SHOWN], self._offset, self._length, whole)
        self._parts, self._length = [], 0
        return line


def size(path: Path) -> int:
    """Of a log, in bytes; 0 when there is none yet."""
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return 0


def tail(path: Path, limit: int = SHOWN, *, since: int = 0) -> str:
    """The last words in a log: at most `limit` characters, no terminal codes. Empty when there are none."""
    try:
        with path.open("rb") as file:
            file.seek(0, os.SEEK_END)
            file.seek(max(since, file.tell() - 8 * limit))
            text = file.read().decode("utf-8", "replace")
    except FileNotFoundError:
        return ""
    return ANSI.sub("", text).strip()[-limit:]
