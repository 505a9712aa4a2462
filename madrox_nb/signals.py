"""What watchers hear while it happens: signals, without secrets, never written."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import replace
from typing import Final

from .events import Entry, Notice, Signal, TextDelta, TurnEnded, TurnSaid
from .redact import Redactor, Stream

Watcher = Callable[[Signal], None]

log = logging.getLogger(__name__)


class Signals:
    """Tells watchers. A secret that is split between two pieces is held back until it is whole."""

    HEARS: Final = frozenset({TurnSaid, TurnEnded})

    def __init__(self, redactor: Redactor) -> None:
        self._redactor = redactor
        self._streams: dict[str, Stream] = {}
        self._watchers: tuple[Watcher, ...] = ()

    def watch(self, watcher: Watcher) -> Callable[[], None]:
        """Call `watcher` with every signal, on the loop; returns the stop."""
        self._watchers = (*self._watchers, watcher)

        def stop() -> None:
            self._watchers = tuple(each for each in self._watchers if each is not watcher)

        return stop

    def tell(self, signal: Signal) -> None:
        if isinstance(signal, TextDelta):
            text = self._streams.setdefault(signal.agent, self._redactor.stream()).feed(signal.text)
            if not text:
                return
            signal = replace(signal, text=text)
        elif isinstance(signal, Notice):
            signal = replace(signal, text=self._redactor.text(signal.text))
        self._tell(signal)

    def heard(self, entry: Entry) -> None:
        """A message is complete: tell what was held back of it, before anyone hears of the whole."""
        event = entry.event
        stream = self._streams.pop(event.agent, None)
        if stream is not None and isinstance(event, TurnSaid | TurnEnded) and (rest := stream.flush()):
            self._tell(TextDelta(agent=event.agent, turn=event.turn, text=rest))

    def drop(self, agent: str) -> None:
        """It will say no more."""
        self._streams.pop(agent, None)

    def _tell(self, signal: Signal) -> None:
        for watcher in self._watchers:
            try:
                watcher(signal)
            except Exception:  # a broken view must not stop the agents
                log.exception("a watcher failed")
