"""What each agent did from when to when: turns, tool calls, waits, silence. Pure, a fold of the ledger.

A timeline draws these as bars. It is bounded: the newest bars and messages stay, and
`above` says how many are left out. A name that is spawned again goes on in its row.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Final, Literal, NamedTuple

from .activity import argument
from .events import (
    AgentReady,
    AgentStopped,
    AgentSuspended,
    ApprovalAnswered,
    ApprovalAsked,
    Entry,
    Event,
    HarnessNoise,
    MessagePosted,
    ToolCalled,
    ToolReturned,
    TurnEnded,
    TurnSaid,
    TurnStarted,
    TurnSteered,
    UsageReported,
)
from .fold import Fold

Kind = Literal["turn", "tool", "wait", "silent", "off", "end"]
"""`wait`: for an approval; `off`: suspended; `end`: where an agent failed that was in no turn."""

KEPT: Final = 20_000
"""Bars kept, and messages."""
SLACK: Final = 2_000
"""How many more there may be before the oldest are dropped, so that dropping costs little."""
SILENT: Final = 120.0
"""Seconds of a turn in which nothing is heard and no tool is at work, from which on it counts as silent."""
SAYS: Final = 100
"""Characters kept of what a bar is about."""

_SIGNS: Final = frozenset(
    {
        *(TurnStarted, TurnSaid, TurnSteered, TurnEnded, ToolCalled, ToolReturned),
        *(ApprovalAsked, ApprovalAnswered, UsageReported, HarnessNoise),
    }
)
"""What shows that an agent at work is at work."""


@dataclass(frozen=True, slots=True)
class Bar:
    """One thing that an agent did or was in. Times are seconds since 1970."""

    id: str
    """A letter for the kind, and the entry with which it began (`silent`: with which it ended)."""
    agent: str
    kind: Kind
    began: float
    ended: float | None = None
    """None while it goes on."""
    says: str = ""
    failed: bool = False
    many: int = 1
    """How many bars it stands for, where single ones could not be told apart."""


class Sent(NamedTuple):
    """A message on its way."""

    id: str
    at: float
    sender: str
    to: str


class Spans(Fold):
    """Bars and messages, oldest first, and how many of each kind an agent had."""

    def __init__(self) -> None:
        self.bars: dict[str, Bar] = {}
        self.messages: dict[str, Sent] = {}
        self.above = 0
        """Bars that were dropped."""
        self.counts: dict[str, Counter[str]] = {}
        """Agent → kind of bar, `sent`, `received` or `failed` → number."""
        self.heard: dict[str, float] = {}
        """Agent in a turn → when it was heard last."""
        self._open: dict[str, dict[str, str]] = {}
        """Agent → turn, call, approval or `off` under way → its bar; a turn is the first one."""

    def take(self, entry: Entry) -> None:
        event, at = entry.event, entry.ts.timestamp()
        if (before := self.heard.get(event.agent)) is not None and type(event) in _SIGNS:
            self.heard[event.agent] = at
            if at - before >= SILENT and len(self._open[event.agent]) == 1:
                self._add(Bar(f"s{entry.seq}", event.agent, "silent", before, at))
        if (does := _TAKES.get(type(event))) is not None:
            does(self, entry, event, at)

    def _turn(self, entry: Entry, event: TurnStarted, at: float) -> None:
        self._begin(entry, "turn", event.turn, at, event.text)
        self.heard[event.agent] = at

    def _call(self, entry: Entry, event: ToolCalled, at: float) -> None:
        said = f"{event.tool.rpartition('__')[2]} {argument(event.input)}"
        self._begin(entry, "tool", event.call, at, said)

    def _asked(self, entry: Entry, event: ApprovalAsked, at: float) -> None:
        self._begin(entry, "wait", event.approval, at, f"{event.tool} {argument(event.input)}")

    def _suspended(self, entry: Entry, event: AgentSuspended, at: float) -> None:
        self._begin(entry, "off", "off", at, event.reason)

    def _returned(self, entry: Entry, event: ToolReturned, at: float) -> None:
        self._end(event.agent, event.call, at, failed=not event.ok)

    def _answered(self, entry: Entry, event: ApprovalAnswered, at: float) -> None:
        self._end(event.agent, event.approval, at)

    def _ready(self, entry: Entry, event: AgentReady, at: float) -> None:
        self._end(event.agent, "off", at)

    def _ended(self, entry: Entry, event: TurnEnded, at: float) -> None:
        self._end_all(event.agent, at, failed=event.outcome == "failed")

    def _stopped(self, entry: Entry, event: AgentStopped, at: float) -> None:
        in_turn = event.agent in self.heard
        self._end_all(event.agent, at, failed=event.failed)
        if event.failed and not in_turn:
            says = _first_line(event.reason)
            self._add(Bar(f"e{entry.seq}", event.agent, "end", at, at, says, failed=True))

    def _posted(self, entry: Entry, event: MessagePosted, at: float) -> None:
        self.messages[event.message] = Sent(event.message, at, event.sender, event.agent)
        self._count(event.sender, "sent")
        self._count(event.agent, "received")
        if len(self.messages) > KEPT + SLACK:
            self.messages = dict(list(self.messages.items())[-KEPT:])

    # bars

    def _begin(self, entry: Entry, kind: Kind, key: str, at: float, says: str) -> None:
        agent = entry.event.agent
        bar = Bar(f"{kind[0]}{entry.seq}", agent, kind, at, None, _first_line(says))
        self._add(bar)
        self._open.setdefault(agent, {})[key] = bar.id

    def _add(self, bar: Bar) -> None:
        self.bars[bar.id] = bar
        self._count(bar.agent, bar.kind)
        if len(self.bars) > KEPT + SLACK:
            self.above += len(self.bars) - KEPT
            self.bars = dict(list(self.bars.items())[-KEPT:])

    def _end(self, agent: str, key: str, at: float, *, failed: bool = False) -> None:
        id_ = self._open.get(agent, {}).pop(key, "")
        if (bar := self.bars.get(id_)) is not None:
            self.bars[id_] = Bar(id_, agent, bar.kind, bar.began, at, bar.says, failed)

    def _end_all(self, agent: str, at: float, *, failed: bool) -> None:
        """Everything under way ends; only of the turn it is said that it failed."""
        self.heard.pop(agent, None)
        for key, id_ in tuple(self._open.get(agent, {}).items()):
            of_turn = id_ in self.bars and self.bars[id_].kind == "turn"
            self._end(agent, key, at, failed=failed and of_turn)
        if failed:
            self._count(agent, "failed")

    def _count(self, agent: str, what: str) -> None:
        if (counts := self.counts.get(agent)) is None:
            counts = self.counts[agent] = Counter()
        counts[what] += 1


_TAKES: Final[Mapping[type[Event], Callable[[Spans, Entry, Any, float], None]]] = {
    TurnStarted: Spans._turn,
    ToolCalled: Spans._call,
    ApprovalAsked: Spans._asked,
    AgentSuspended: Spans._suspended,
    ToolReturned: Spans._returned,
    ApprovalAnswered: Spans._answered,
    AgentReady: Spans._ready,
    TurnEnded: Spans._ended,
    AgentStopped: Spans._stopped,
    MessagePosted: Spans._posted,
}
"""A table instead of a `match`: it is asked for every event of a run."""
Spans.HEARS = frozenset({*_TAKES, *_SIGNS})


def _first_line(text: str) -> str:
    return text[: SAYS * 4].strip().partition("\n")[0][:SAYS]


def seen(bars: Iterable[Bar], since: float, until: float, step: float) -> list[Bar]:
    """The bars between two times as one sees them when `step` seconds are one pixel.

    Bars of one kind that follow one another in a pixel are one, which says how `many` it is.
    """
    found: list[Bar] = []
    last: dict[tuple[str, str], int] = {}
    for bar in bars:
        ended = until if bar.ended is None else bar.ended
        if bar.began > until or ended < since:
            continue
        at = last.get((bar.agent, bar.kind))
        if at is not None and bar.ended is not None and bar.ended - bar.began < step:
            before = found[at]
            if before.ended is not None and bar.began - before.ended < step and bar.ended >= before.ended:
                found[at] = replace(
                    before,
                    ended=bar.ended,
                    failed=before.failed or bar.failed,
                    many=before.many + bar.many,
                )
                continue
        last[bar.agent, bar.kind] = len(found)
        found.append(bar)
    return found
