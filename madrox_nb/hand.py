"""The hand at a terminal: it types a piece at a time, the next when the program has read the one before."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable

PIECE = 2048
"""Bytes typed at once: half of what a terminal holds for a program that is busy."""
LOOKS = (0.001, 0.02)
"""Seconds between two looks whether the program has read: the first, and the longest."""


class Hand:
    """Types for one program, until all is typed or dropped."""

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        unread: Callable[[], int],
        put: Callable[[bytes], None],
        typed: Callable[[], None],
    ) -> None:
        self._loop, self._unread, self._put, self._done = loop, unread, put, typed
        self._pieces: deque[bytes] = deque()
        self._pause, self._wait = 0.0, LOOKS[0]
        self._timer: asyncio.TimerHandle | None = None
        self.typing = False

    def type(self, text: str, enter: str, pause: float) -> None:
        """Type `text` and then `enter`; with `pause` that comes so many seconds after all was read."""
        data, enter_keys = text.encode(errors="replace"), enter.encode()
        if not pause:
            data, enter_keys = data + enter_keys, b""
        self._pieces = deque(data[i : i + PIECE] for i in range(0, len(data), PIECE))
        self._pieces += [enter_keys] if enter_keys else []
        self._pause, self.typing = pause, True
        self._next()

    def drop(self) -> None:
        """Type no more."""
        self._pieces.clear()
        self.typing = False
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def look(self) -> None:
        """The program has said something, so it may have read too."""
        if self.typing and not self._pieces and not self._unread():
            self._finish()

    def _next(self) -> None:
        if self._unread():
            self._later(self._wait)
            self._wait = min(2 * self._wait, LOOKS[1])
            return
        self._wait = LOOKS[0]
        if not self._pieces:
            self._finish()
        elif self._pause and len(self._pieces) == 1:
            pause, self._pause = self._pause, 0.0
            self._later(pause)
        else:
            self._put(self._pieces.popleft())
            self._later(self._wait)

    def _later(self, seconds: float) -> None:
        self._timer = self._loop.call_later(seconds, self._next)

    def _finish(self) -> None:
        self.drop()
        self._done()
