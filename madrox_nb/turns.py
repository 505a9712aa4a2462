"""What each turn was, and each tool call in it. Pure, folds of the ledger."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from datetime import datetime

from .events import NAN, Entry, Outcome, ToolCalled, ToolReturned, TurnEnded, TurnStarted, UsageReported
from .fold import Fold
from .folds import Usage, usage_of


@dataclass(frozen=True, slots=True)
class Turn:
    """One prompt until its terminal result."""

    id: str
    agent: str
    sender: str
    prompt: str
    started: datetime
    ended: datetime | None = None
    outcome: Outcome | None = None
    """None while it is under way."""
    text: str = ""
    error: str = ""
    tools: int = 0
    usage: Usage = Usage()

    @property
    def duration_s(self) -> float:
        """Seconds from start to end; NaN while it is under way."""
        return (self.ended - self.started).total_seconds() if self.ended else NAN


class Turns(Fold):
    """Every turn, in the order they began."""

    HEARS = frozenset({TurnStarted, ToolCalled, UsageReported, TurnEnded})

    def __init__(self) -> None:
        self.begun: dict[str, Turn] = {}

    def __iter__(self) -> Iterator[Turn]:
        return iter(tuple(self.begun.values()))

    def take(self, entry: Entry) -> None:
        match entry.event:
            case TurnStarted() as event:
                turn = Turn(event.turn, event.agent, event.sender, event.text, entry.ts)
                self.begun[event.turn] = turn
            case (ToolCalled() | UsageReported() | TurnEnded()) as event:
                if (known := self.begun.get(event.turn)) is not None:
                    self.begun[event.turn] = _continued(known, entry)


def turns(entries: Iterable[Entry]) -> list[Turn]:
    """Every turn, in the order they began."""
    return list(Turns.replay(entries))


def _continued(turn: Turn, entry: Entry) -> Turn:
    match entry.event:
        case ToolCalled():
            return replace(turn, tools=turn.tools + 1)
        case UsageReported() as event:
            return replace(turn, usage=turn.usage + usage_of(event))
        case TurnEnded() as event:
            return replace(turn, ended=entry.ts, outcome=event.outcome, text=event.text, error=event.error)
        case _:
            return turn


@dataclass(frozen=True, slots=True)
class ToolUse:
    """One call of a tool, and what came back."""

    call: str
    agent: str
    turn: str
    tool: str
    input: str
    """The arguments, as JSON text."""
    called: datetime
    returned: datetime | None = None
    ok: bool | None = None
    """None while it is under way, and when nobody ever said."""
    output: str = ""

    @property
    def duration_s(self) -> float:
        """Seconds from call to return; NaN as long as `ok` is None."""
        return (self.returned - self.called).total_seconds() if self.returned else NAN


class ToolUses(Fold):
    """Every tool call, oldest first. An id that is used again in a turn is another call."""

    HEARS = frozenset({ToolCalled, ToolReturned})

    def __init__(self) -> None:
        self.uses: list[ToolUse] = []
        self._under_way: dict[tuple[str, str], int] = {}

    def __iter__(self) -> Iterator[ToolUse]:
        return iter(tuple(self.uses))

    def take(self, entry: Entry) -> None:
        match entry.event:
            case ToolCalled() as event:
                self._under_way[event.turn, event.call] = len(self.uses)
                use = ToolUse(event.call, event.agent, event.turn, event.tool, event.input, entry.ts)
                self.uses.append(use)
            case ToolReturned() as event:
                at = self._under_way.pop((event.turn, event.call), None)
                if at is not None:
                    self.uses[at] = replace(
                        self.uses[at], returned=entry.ts, ok=event.ok, output=event.output
                    )
