"""What came from one agent's program, as blocks that stay as they are while more comes.

A block begins where a line does, or at a terminal also where a control sequence does; at
the first such place behind each `GRID` bytes of the log, where no secret is divided. So a
block that was looked at is the same in every later look, and only the last one grows.
"""

from __future__ import annotations

import codecs
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any, Final

from .. import arrivals
from ..redact import Redactor
from .beside import Beside, length_of_stderr

GRID: Final = 8 * 1024
"""Bytes of a block, about."""
WINDOW: Final = 8 * GRID
"""Bytes of one look, and of one page of what came before; up to a `GRID` more."""
NEAR: Final = 4 * 1024
"""Bytes on either side of a place in which a secret is looked for that would be divided there."""

Block = dict[str, Any]
"""`at` and `end`, in bytes of the log, its `text`, and what `Beside` tells of the lines of a protocol."""

_LINES: Final = re.compile(rb"(?<=\n)")
_SCREEN: Final = re.compile(rb"(?<=\n)|(?=\x1b)")


@dataclass(frozen=True, slots=True)
class WireLog:
    """Where all that came from a program stands, and how it is shown."""

    log: Path
    redactor: Redactor
    protocol: bool
    """It is lines; else what a program wrote to its terminal."""
    size: tuple[int, int] | None = None
    """Rows and columns of the terminal, where the program paints it."""
    until: float | None = None
    """The moment (seconds since 1970) that is looked at; None for the present."""

    @property
    def length(self) -> int:
        """In bytes. 0 while nothing has come."""
        try:
            size = self.log.stat().st_size
        except FileNotFoundError:
            return 0
        come = None if self.until is None else arrivals.reached(self.log, self.until)
        return size if come is None else min(size, come)

    @property
    def sizes(self) -> tuple[int, int]:
        """Of what came, and of what came beside it. They grow when something comes."""
        return self.length, length_of_stderr(self.log)

    @property
    def timed(self) -> bool:
        """Whether it is known when its bytes came."""
        return self.log.with_name(arrivals.TIMES).exists()

    def tail(self) -> tuple[list[Block], int]:
        """The last blocks, and how many bytes there are of a line that has not ended yet."""
        length = self.length
        seen = self._window(length)
        shown = length - self._withheld(seen.data)
        if self.protocol:
            shown = min(shown, seen.after_last_line())
        return self._blocks(seen, shown), length - shown if self.protocol else 0

    def stderr(self, end: int) -> str:
        """What has come on standard error since the line that ends at byte `end`; of the past: unknown."""
        if not self.protocol or self.until is not None:
            return ""
        return self._beside(max(0, end - 1), end).rest(end)

    def _beside(self, first: int, end: int) -> Beside:
        return Beside(arrivals.between(self.log, first, end), self.log, self.redactor)

    def before(self, end: int) -> list[Block]:
        """The blocks before byte `end` of the log, which is where one begins."""
        end = min(end, self.length)
        return self._blocks(self._window(end), end)

    def _window(self, end: int) -> Window:
        first = max(0, end - WINDOW) // GRID * GRID
        origin = max(0, first - NEAR)
        if not end:
            return Window(0, 0, b"")
        with self.log.open("rb") as file:
            return Window(first, origin, os.pread(file.fileno(), end - origin, origin))

    def _withheld(self, data: bytes) -> int:
        """How many bytes at the end may be the beginning of a secret, or of a character."""
        decoder = codecs.getincrementaldecoder("utf-8")("replace")
        near = decoder.decode(data[-NEAR:])
        begun = self.redactor.withheld(near)
        return len(near[len(near) - begun :].encode()) + len(decoder.getstate()[0])

    def _blocks(self, seen: Window, end: int) -> list[Block]:
        borders = [at for at in self._borders(seen) if at < end]
        if not borders and seen.first < end:
            borders = [seen.first]  # one line that is longer than all this: its middle, or its end
        beside = self._beside(max(0, borders[0] - 1), end) if borders and self.protocol else None
        return [self._block(seen, at, to, beside) for at, to in pairwise([*borders, end])]

    def _block(self, seen: Window, at: int, to: int, beside: Beside | None) -> Block:
        data = seen.data[at - seen.origin : to - seen.origin]
        text = self.redactor.text(data.decode("utf-8", "replace"))
        block = {"at": at, "end": to, "text": text}
        # a secret that held line ends has fewer lines now, so that nobody knows which is which
        return {**block, **beside.of(data, at)} if beside and text.count("\n") == data.count(b"\n") else block

    def _borders(self, seen: Window) -> Iterator[int]:
        """Where blocks begin. None in the first cell of the log is behind its first byte."""
        for cell in range(seen.first, seen.origin + len(seen.data), GRID):
            places = [0] if cell == 0 else seen.places(_LINES if self.protocol else _SCREEN, cell)
            border = next((at for at in places if not self._divides(seen, at)), None)
            if border is not None:
                yield border

    def _divides(self, seen: Window, at: int) -> bool:
        """Whether a secret stands across this place."""
        before, after = seen.around(at)
        return self.redactor.divides(before + after, len(before))


@dataclass(frozen=True, slots=True)
class Window:
    """A piece of a log: what is looked at from `first` on, and some of what stands before that."""

    first: int
    origin: int
    """Where `data` begins."""
    data: bytes

    def after_last_line(self) -> int:
        """Behind the last line that has ended here; where we begin, when none has."""
        return max(self.first, self.origin + self.data.rfind(b"\n") + 1)

    def places(self, pattern: re.Pattern[bytes], cell: int) -> Iterator[int]:
        """Where `pattern` is in one cell of the grid."""
        start = cell - self.origin
        for found in pattern.finditer(self.data, start, min(len(self.data), start + GRID)):
            if found.start() < start + GRID:
                yield self.origin + found.start()

    def around(self, at: int) -> tuple[str, str]:
        """What stands before and after it, as far as a secret may reach."""
        here = at - self.origin
        before, after = self.data[max(0, here - NEAR) : here], self.data[here : here + NEAR]
        return before.decode("utf-8", "replace"), after.decode("utf-8", "replace")
