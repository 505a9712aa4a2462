"""What a program paints: a screen as a person would see it, and what has scrolled off its top.

The screen is pyte's. It neither reads, writes, sleeps nor starts anything here.
"""

from __future__ import annotations

import asyncio
import codecs
import re
from collections import deque
from collections.abc import Callable, Mapping
from typing import Any

from .printed import BEGUN, KEPT, Found, Pattern, compiled

FRAME = 0.05
"""Seconds between two looks at a screen that changes."""
PAINTED = 1024
"""Bytes painted before the loop is left to others."""
UNPAINTED = 256 * 1024
"""Bytes that may wait to be painted before the program has to wait."""
SCROLLED = 50_000
"""Lines kept of what scrolled off a screen, as text."""

PRIVATE = re.compile(r"\x1b\[(?:[<=>][0-?]*|\?[0-?]*(?![0-?hl]))[ -/]*[@-~]")
"""What pyte does not know and would stumble over: keyboards, versions, synchronised drawing."""


class Screen:
    """Output as a person would see it, by pyte, and what has scrolled off its top."""

    def __init__(
        self,
        size: tuple[int, int],
        put: Callable[[bytes], None],
        flow: Callable[[bool], None],
        changed: Callable[[], None],
    ) -> None:
        import pyte

        self._loop = asyncio.get_running_loop()
        self._scrolled: deque[str] = deque(maxlen=SCROLLED)
        self._screen = _screen(size, put, self._scrolled.append)
        self._stream = pyte.Stream(self._screen)
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")
        self._begun = ""
        self._flow, self._changed = flow, changed
        self._unpainted = bytearray()
        self._held = False
        """The program waits until we have painted."""
        self._painting = self._frame = False
        self._sought: Mapping[str, Pattern] = {}
        self._then = ""
        """What was there when typing began."""
        self._lines = [""] * size[0]
        self._shown = ""
        self.found: Found | None = None

    untold = False

    def words(self, *, pauses: bool) -> str:
        """None: what is painted is not what is said."""
        return ""

    def feed(self, data: bytes) -> None:
        self._unpainted += data
        if len(self._unpainted) > UNPAINTED and not self._held:
            self._held = True
            self._flow(False)
        if not self._painting:
            self._painting = True
            self._paint()

    def _paint(self) -> None:
        piece = bytes(self._unpainted[:PAINTED])
        del self._unpainted[:PAINTED]
        text = self._begun + self._decoder.decode(piece)
        begun = BEGUN.search(text)
        self._begun = begun.group() if begun else ""
        self._stream.feed(PRIVATE.sub("", text[: begun.start()] if begun else text))
        if not self._frame:
            self._frame = True
            self._loop.call_later(FRAME, self._look)
        if self._unpainted:
            self._loop.call_soon(self._paint)
            return
        self._painting = False
        if self._held:
            self._held = False
            self._flow(True)

    def _look(self) -> None:
        self._frame = False
        before, self._shown = self._shown, self._drawn()
        if before != self._shown:
            self.found = self._first(self._sought)
            self._changed()

    def _drawn(self) -> str:
        """The screen as lines. Only those that changed are put together again."""
        for y in self._screen.dirty:
            self._lines[y] = _row(self._screen, y)
        self._screen.dirty.clear()
        return "\n".join(self._lines)

    def _first(self, patterns: Mapping[str, Pattern]) -> Found | None:
        for name, each in patterns.items():
            pattern = compiled(each)
            match = pattern.search(self._shown)
            if match and (not each.more or _count(pattern, self.text()) > _count(pattern, self._then)):
                text = self.text()
                return Found(name, text[-KEPT:], match.group(), max(0, len(text) - KEPT))
        return None

    def seek(self, patterns: Mapping[str, Pattern]) -> None:
        self._sought = patterns
        self._shown = self._drawn()
        self.found = self._first(patterns)

    def last(self, patterns: Mapping[str, Pattern]) -> Found | None:
        """What is on a screen that does not change has stayed, wherever it is."""
        return None if self._unpainted else self._first(patterns)

    def take(self) -> None:
        self.found = None
        self._sought = {}

    def forget(self) -> None:
        self.take()
        self._drawn()
        self._then = self.text()

    def text(self) -> str:
        """What has scrolled off the top, and what is there."""
        return "\n".join([*self._scrolled, *self._lines]).rstrip()


def as_seen(data: bytes, size: tuple[int, int]) -> str:
    """What a person would see of this output at such a terminal, with what has scrolled off its top."""
    import pyte

    scrolled: deque[str] = deque(maxlen=SCROLLED)
    screen = _screen(size, lambda data: None, scrolled.append)
    pyte.Stream(screen).feed(PRIVATE.sub("", data.decode("utf-8", "replace")))
    return "\n".join([*scrolled, *(_row(screen, y) for y in range(size[0]))]).rstrip()


def _screen(size: tuple[int, int], put: Callable[[bytes], None], scrolled: Callable[[str], None]) -> Any:
    """A screen of pyte's that answers its program, and says what scrolls off its top."""
    import pyte

    class Paper(pyte.Screen):
        def index(self) -> None:
            top, bottom = self.margins or (0, self.lines - 1)
            if top == 0 and self.cursor.y == bottom:
                scrolled(_row(self, 0))
            super().index()

        def write_process_input(self, data: str) -> None:
            put(data.encode())

    return Paper(size[1], size[0])


def _row(screen: Any, y: int) -> str:
    line = screen.buffer[y]
    return "".join(line[x].data for x in range(screen.columns)).rstrip()


def _count(pattern: re.Pattern[str], text: str) -> int:
    return sum(1 for _ in pattern.finditer(text))
