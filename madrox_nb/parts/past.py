"""A run as it was at any entry of its ledger: read again from the nearest place where it was kept.

`Past.at(n)` is what a replay of all entries up to `n` gives. So that a step back is cheap,
the folds are kept at some places on the way (`EVERY` entries apart, farther in a long run),
and where one looked last: from there a step forward is one entry.

The first look into a long run takes its time (a million events: half a minute). It is read in
slices with a rest after each, so that the agents' loop and whoever speaks to it go first; a
`Watch` hears how far it has come and may end it, and what was read by then is not read again.
"""

from __future__ import annotations

import contextlib
import threading
import time
from bisect import bisect_right, insort
from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from operator import attrgetter
from pathlib import Path
from typing import Final, Generic, NamedTuple, Protocol, Self, TypeVar

import orjson

from ..activity import Activity
from ..budget import Budget
from ..conversation import Conversation
from ..cost_history import CostHistory
from ..doing import Doing
from ..events import Entry
from ..folds import Approvals, Costs, Inboxes
from ..teamwork import TeamRuns
from ..tree import Tree
from .copying import copied
from .moment import Moment, Watch, unwatched
from .reading import Conversations

EVERY: Final = 256
"""Entries between two places at which folds are kept."""
KEPT: Final = 48
"""Places kept, spread over the run."""
NEAR: Final = 2
"""The newest places are kept in any case: they are around where one looks. A far jump copies so many."""
CONVERSATIONS: Final = 8
"""Agents whose conversation is kept in the same way."""

SLICE: Final = 0.001
"""Seconds of reading after which it rests."""
REST: Final = 0.0002
"""Seconds of that rest: long enough for a thread that waits for Python to get it."""
LOOK: Final = 0.1
"""Seconds between two looks at what another reader has come to."""

Paths = Callable[[], Iterable[Path]]


class Foldable(Protocol):
    def apply(self, entry: Entry, /) -> None: ...


F = TypeVar("F", bound=Foldable)


@dataclass(slots=True)
class Folds:
    """All that a `Moment` of the past is made of."""

    tree: Tree = field(default_factory=Tree)
    inboxes: Inboxes = field(default_factory=Inboxes)
    costs: Costs = field(default_factory=Costs)
    cost_history: CostHistory = field(default_factory=CostHistory)
    approvals: Approvals = field(default_factory=Approvals)
    budget: Budget = field(default_factory=Budget)
    activity: Activity = field(default_factory=Activity)
    teams: TeamRuns = field(default_factory=TeamRuns)
    doing: Doing = field(default_factory=Doing)

    def apply(self, entry: Entry) -> None:
        for fold in _each(self):
            fold.apply(entry)


_each: Final = attrgetter(*Folds.__slots__)


class Position(NamedTuple):
    """Where reading goes on: in which file, at which byte."""

    path: Path | None = None
    offset: int = 0


@dataclass(slots=True)
class Place(Generic[F]):
    """The folds after entry `seq`, and from where to go on."""

    folds: F
    seq: int = -1
    when: datetime = datetime.min.replace(tzinfo=UTC)
    position: Position = Position()

    def copy(self) -> Self:
        return type(self)(copied(self.folds), self.seq, self.when, self.position)


class Past(Generic[F]):
    """What `begin()` becomes by the entries of a ledger, at any of them. Callable from any thread."""

    def __init__(self, paths: Paths, begin: Callable[[], F], only: Callable[[bytes], bool] = bool) -> None:
        """`only` says which lines matter; the others are not even parsed."""
        self._paths, self._begin, self._only = paths, begin, only
        self._places: list[Place[F]] = []
        self._newest: list[int] = []
        self._last: Place[F] | None = None
        self._lock = threading.Lock()
        self._come = (0, 0)
        """How far whoever reads has come."""

    def at(self, seq: int, watch: Watch = unwatched, end: Position | None = None) -> Place[F]:
        """After all entries up to number `seq`. Not to be changed: the next look goes on from it.

        `end` is where that entry ends, if that is known: nothing is read beyond it.
        """
        with self._alone(watch):
            place = self._last = self._nearest(seq).copy()
            self._come, far = (place.seq + 1, seq + 1), self._apart(seq)
            for entry in self._read(place, seq, watch, end):
                every = EVERY if seq - entry.seq < NEAR * EVERY else far
                if entry.seq // every != place.seq // every:
                    self._keep(place)
                place.folds.apply(entry)
                place.seq, place.when = entry.seq, entry.ts
            return place

    @contextlib.contextmanager
    def _alone(self, watch: Watch) -> Iterator[None]:
        """One reads at a time; the others wait for what it finds, and hear how far it has come."""
        while not self._lock.acquire(timeout=LOOK):
            watch(*self._come)
        try:
            yield
        finally:
            self._lock.release()

    def _read(self, place: Place[F], seq: int, watch: Watch, end: Position | None) -> Iterator[Entry]:
        """The entries after `place` up to number `seq`, in slices. The place's position goes along."""
        first, rest_at = place.seq + 1, time.monotonic() + SLICE
        for number, (line, position) in enumerate(lines(self._paths(), place.position), 1):
            if end is not None and end < position:
                return
            if self._only(line) and (entry := _entry(line)) is not None:
                if entry.seq > seq:
                    return
                yield entry
            place.position = position
            if time.monotonic() >= rest_at:
                self._come = (min(first + number, seq + 1), seq + 1)
                watch(*self._come)
                time.sleep(REST)
                rest_at = time.monotonic() + SLICE

    def _apart(self, seq: int) -> int:
        """Entries between two places, so that few are kept, and copied, of all that is known."""
        known = self._places[-1].seq if self._places else 0
        return EVERY * (1 + max(seq, known) // (EVERY * (KEPT - NEAR)))

    def _nearest(self, seq: int) -> Place[F]:
        """The latest known place that is not after `seq`."""
        at = bisect_right(self._places, seq, key=lambda place: place.seq)
        kept = self._places[at - 1] if at else Place(self._begin())
        last = self._last
        return last if last is not None and kept.seq < last.seq <= seq else kept

    def _keep(self, place: Place[F]) -> None:
        if place.seq < 0 or any(known.seq == place.seq for known in self._places):
            return
        insort(self._places, place.copy(), key=lambda known: known.seq)
        self._newest = [*self._newest, place.seq][-NEAR:]
        if len(self._places) > KEPT:
            self._places.pop(self._least_missed())

    def _least_missed(self) -> int:
        """The place without which the longest way stays shortest."""
        seqs = [-1, *(place.seq for place in self._places)]
        ways = [
            (after - before, at)
            for at, (before, after) in enumerate(zip(seqs, [*seqs[2:], seqs[-1] + EVERY], strict=False))
            if self._places[at].seq not in self._newest
        ]
        return min(ways)[1]


def lines(paths: Iterable[Path], position: Position) -> Iterator[tuple[bytes, Position]]:
    """Each line from `position` on, and where the next one begins."""
    for path in paths:
        if position.path is not None and path < position.path:
            continue
        with path.open("rb") as file:
            offset = position.offset if path == position.path else 0
            file.seek(offset)
            for line in file:
                if not line.endswith(b"\n"):  # it is still being written
                    break
                offset += len(line)
                yield line, Position(path, offset)


def _entry(line: bytes) -> Entry | None:
    """What is no entry is passed over."""
    try:
        return Entry.from_line(line)
    except ValueError:
        return None


class PastConversations(Conversations):
    """Agent → its conversation at a place of the run."""

    def __init__(
        self, paths: Paths, known: OrderedDict[str, Past[Conversation]], place: Place[Folds], watch: Watch
    ) -> None:
        super().__init__(paths)
        self._known, self._place, self._watch = known, place, watch

    def __call__(self, agent: str) -> Conversation:
        with self._lock:
            name = orjson.dumps(agent)
            past = self._known.setdefault(
                agent, Past(self._paths, lambda: Conversation(agent), lambda line: name in line)
            )
            self._known.move_to_end(agent)
            if len(self._known) > CONVERSATIONS:
                self._known.popitem(last=False)
        end = self._place.position if self._place.seq >= 0 else None
        return past.at(self._place.seq, self._watch, end).folds


class Then:
    """Entry of the ledger → the run as it was right after it. Callable from any thread.

    What shows the whole run at any moment (`Part.whole`) is of the present.
    """

    def __init__(self, paths: Paths, present: Callable[[], Moment]) -> None:
        self._paths, self._present = paths, present
        self._past = Past(paths, Folds)
        self._conversations: OrderedDict[str, Past[Conversation]] = OrderedDict()

    def __call__(self, seq: int, watch: Watch = unwatched) -> Moment:
        place, present = self._past.at(seq, watch), self._present()
        until = place.when.timestamp()
        return replace(
            present,
            now=place.when,
            wires=lambda name: replace(present.wires(name), until=until),
            conversations=PastConversations(self._paths, self._conversations, place, watch),
            **dict(zip(Folds.__slots__, _each(place.folds), strict=True)),
        )
