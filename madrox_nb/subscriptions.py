"""Which topics the pages of one widget want, and what each was told last."""

from __future__ import annotations

from collections import OrderedDict, deque
from collections.abc import Callable, Iterable, Iterator
from typing import Any, Final

from .parts import Data, Part, found
from .parts.difference import difference
from .parts.moment import Moment

PAGES: Final = 8
"""Pages remembered of one widget. One that is forgotten hears it in a heartbeat and asks again."""
TOPICS: Final = 24
"""Topics that one page may want."""

Look = Callable[[Part, str, "Data | None", frozenset[str]], Data]
"""Looks at a part: with what it had before, once something happened to these agents; or at all of it."""


class Subscription:
    """One topic: the data that was told last, and how many changes of it were."""

    def __init__(self, topic: str) -> None:
        """Raises `BadInput` when there is no such topic."""
        self.part, self.subject = found(topic)
        self.topic, self.seq = topic, 0
        self.dirty = False
        self._told: Data | None = None
        self._sign: object = None
        self._touched: deque[frozenset[str]] = deque()
        self._aged = False

    def touch(self, names: frozenset[str]) -> bool:
        """Something happened to these agents; says whether that is news. Callable from any thread."""
        if self.subject and self.subject not in names:
            return False
        self._touched.append(names)
        was, self.dirty = self.dirty, True
        return not was

    def glance(self, moment: Moment) -> bool:
        """Look for what no event tells of; says whether there is any such thing to look for."""
        before = self._sign
        try:
            self._sign = self.part.sign(moment, self.subject)
        except Exception:  # noqa: BLE001  whoever looks at it is told why
            self._sign = None
        if before != self._sign:
            self.age()
        return self._sign is not None

    def age(self) -> None:
        """Time has passed: all of it may look different."""
        self._aged = self.dirty = True

    def change(self, look: Look) -> dict[str, Any] | None:
        """What changed since the last time; None when nothing did."""
        self.dirty = False  # first: whatever happens from here on counts for the next time
        if self._told is None:
            return self.everything(look)
        before, aged, self._aged = self._told, self._aged, False
        names = frozenset().union(*(self._touched.popleft() for _ in range(len(self._touched))))
        after = look(self.part, self.subject, None if aged else before, names)
        self._told = after
        if not (told := difference(before, after, self.part.keyed)):
            return None
        self.seq += 1
        return {"t": self.topic, "s": self.seq, "d": told}

    def everything(self, look: Look) -> dict[str, Any]:
        """All there is now, for every page that hears it: from here on changes are told from this."""
        self.dirty = False
        self._told = look(self.part, self.subject, None, frozenset())
        self.seq += 1
        return {"t": self.topic, "s": self.seq, "snap": self._told}

    def told(self, look: Look) -> dict[str, Any]:
        """All that was told so far, for a page that hears nothing else yet."""
        if self._told is None:
            self._told = look(self.part, self.subject, None, frozenset())
        return {"t": self.topic, "s": self.seq, "snap": self._told}


class Subscriptions:
    """What the pages of one widget want. Not locked: `LiveView` is."""

    def __init__(self, always: Iterable[str]) -> None:
        self._always = tuple(always)
        self._pages: OrderedDict[str, tuple[str, ...]] = OrderedDict()
        self._open = {topic: Subscription(topic) for topic in self._always}

    def __iter__(self) -> Iterator[Subscription]:
        return iter(tuple(self._open.values()))

    def __getitem__(self, topic: str) -> Subscription | None:
        return self._open.get(topic)

    @property
    def seqs(self) -> dict[str, int]:
        return {topic: each.seq for topic, each in self._open.items()}

    def want(self, page: str, topics: Iterable[str]) -> list[Subscription]:
        """From now on `page` wants these; returns them. Raises `BadInput` for one that there is not."""
        wanted = {topic: self._open.get(topic) or Subscription(topic) for topic in tuple(topics)[:TOPICS]}
        self._pages[page] = tuple(wanted)
        self._pages.move_to_end(page)
        while len(self._pages) > PAGES:
            self._pages.popitem(last=False)
        left = {topic for each in (self._always, *self._pages.values()) for topic in each}
        self._open = {name: each for name, each in {**self._open, **wanted}.items() if name in left}
        return list(wanted.values())
