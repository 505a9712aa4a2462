"""How many entries there were when: what a slider is drawn over. Pure, a fold of the ledger.

It is bounded, however long a run goes on: equal bins of time since the first entry, and
when there are too many of them each is joined with its neighbour.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final, Generic, NamedTuple, TypeVar

from .events import KINDS, Entry, Unknown
from .fold import Fold

BINS: Final = 128
"""Bins of the density at most; at least half of them, once a run is that many seconds old."""

T = TypeVar("T")


class Axis(NamedTuple):
    """Equal bins of time: where they begin, in seconds since 1970, and how long each is."""

    first: float
    width: float = 1.0

    def bin(self, at: float) -> int:
        """A clock that was set back counts in the first bin that is left."""
        return max(0, int((at - self.first) / self.width))


@dataclass
class Binned(Generic[T]):
    """A value for each bin of time.

    Axis and values stand in one pair that is replaced when bins are joined: who reads it
    on another thread has both of the same time.
    """

    new: Callable[[], T]
    join: Callable[[T, T], T]
    most: int
    whole: tuple[Axis, list[T]] | None = field(default=None)
    """None before the first entry."""

    def at(self, when: float) -> T:
        """The value of the bin of `when`, to be changed in place."""
        axis, values = self.whole or (Axis(when), [])
        while (at := axis.bin(when)) >= self.most:
            axis, values = Axis(axis.first, axis.width * 2), self._joined(values)
        while len(values) <= at:
            values.append(self.new())
        if self.whole is None or self.whole[1] is not values:
            self.whole = axis, values
        return values[at]

    def read(self) -> tuple[Axis, tuple[T, ...]]:
        """The axis, and the value of each bin so far. Callable from any thread."""
        axis, values = self.whole or (Axis(0.0), [])
        return axis, tuple(values)

    def _joined(self, values: list[T]) -> list[T]:
        pairs = zip(values[::2], values[1::2], strict=False)
        odd = values[-1:] if len(values) % 2 else []
        return [*(self.join(a, b) for a, b in pairs), *odd]


class Count:
    """The entries of one bin."""

    __slots__ = ("last", "number")

    def __init__(self, number: int = 0, last: int = -1) -> None:
        self.number = number
        self.last = last
        """The `seq` of the newest one, -1 where there are none."""

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Count) and (self.number, self.last) == (other.number, other.last)


def _both(a: Count, b: Count) -> Count:
    return Count(a.number + b.number, max(a.last, b.last))


class Density(Fold):
    """The number of entries in each bin of time, and which was the last one there."""

    HEARS = frozenset({*KINDS.values(), Unknown})

    def __init__(self) -> None:
        self.bins: Binned[Count] = Binned(Count, _both, BINS)
        self.last = -1
        """The newest entry."""
        self.now = 0.0
        """When that was."""

    def take(self, entry: Entry) -> None:
        self.now = max(self.now, entry.ts.timestamp())
        count = self.bins.at(self.now)
        count.number += 1
        count.last = self.last = entry.seq
