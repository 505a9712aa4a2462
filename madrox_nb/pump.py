"""The one thread that sends for all widgets of the process, at most ten times a second each.

Above a thousand messages a second the Jupyter server drops them without a word, so all
widgets together send fifty at most.
"""

from __future__ import annotations

import threading
import time
from typing import Final, Protocol

HEARTBEAT: Final = 5.0
"""Seconds between two signs of life. The browser gives up after three of them."""
PERIOD: Final = 0.1
"""Seconds between two messages of one widget, at least."""
CEILING: Final = 50
"""Messages a second of all widgets together, at most."""
REST: Final = 4
"""Rests so many times as long as it worked: where there is much to look at, the agents' thread goes first.

Only its own processor time counts: waiting for others is rest enough.
"""

GLANCE: Final = 0.2
"""Seconds between two looks for what no event tells of."""


class Sender(Protocol):
    """What the pump sends for."""

    dirty: bool
    """It has something to tell."""

    def glance(self) -> bool:
        """Look for what nobody told it of; says whether to do so again. Cheap."""

    def flush(self) -> bool:
        """Tell it; says whether anything was sent."""

    def beat(self) -> None:
        """Tell that the kernel is alive."""


class Pump:
    """The thread begins with the first widget and ends with the last one."""

    def __init__(self) -> None:
        self._change = threading.Condition()
        self._beats: dict[Sender, float] = {}
        """When each widget's next heartbeat is due."""
        self._thread: threading.Thread | None = None

    def add(self, sender: Sender) -> None:
        with self._change:
            self._beats[sender] = time.monotonic()
            self._change.notify()
            if self._thread is None or not self._thread.is_alive():
                self._thread = threading.Thread(target=self._run, name="madrox-widgets", daemon=True)
                self._thread.start()

    def discard(self, sender: Sender) -> None:
        with self._change:
            self._beats.pop(sender, None)
            self._change.notify()

    def wake(self) -> None:
        """Some widget has something to tell."""
        with self._change:
            self._change.notify()

    def _run(self) -> None:
        while senders := self._wait():
            began = time.thread_time()
            told, beats = sum([sender.flush() for sender in senders]), self._beat()
            period = PERIOD * 2 if beats else PERIOD  # a heartbeat is a message too
            time.sleep(max(period, (told + beats) / CEILING, (time.thread_time() - began) * REST))

    def _wait(self) -> list[Sender]:
        """Until somebody has something to tell or a heartbeat is due. Empty when nobody is left."""
        with self._change:
            while self._beats:
                glances = sum(sender.glance() for sender in self._beats)
                rest = min(self._beats.values()) - time.monotonic()
                if rest <= 0 or self._dirty():
                    break
                self._change.wait(min(rest, GLANCE) if glances else rest)
            if not self._beats:
                self._thread = None
            return list(self._beats)

    def _dirty(self) -> bool:
        return any(sender.dirty for sender in self._beats)

    def _beat(self) -> int:
        """Send the heartbeats that are due; says how many."""
        now = time.monotonic()
        with self._change:
            due = [sender for sender, at in self._beats.items() if at <= now]
            self._beats.update(dict.fromkeys(due, now + HEARTBEAT))
        for sender in due:
            sender.beat()
        return len(due)


PUMP: Final = Pump()
