"""Going on with a CLI that outlived its kernel: its codec comes to the state that it had. Pure.

Three things are known of it: every line that it said (the wire log), what was asked of its
codec and where (the marks, evidence.py), and what of all that reached the ledger. The
kernel may have died between any two of them. What it took in last is found by counting:
items are taken in one by one in the order of the lines, so the events in the ledger are
the first so many that the lines make a codec say. From there on nothing was heard, and
the lines are read as if they had just come.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from .errors import HarnessError
from .events import (
    AgentReady,
    AgentSpawned,
    AgentSuspended,
    ApprovalAnswered,
    ApprovalAsked,
    Entry,
    Event,
    HarnessNoise,
    ToolCalled,
    ToolReturned,
    TurnEnded,
    TurnSaid,
    TurnStarted,
    TurnSteered,
    UsageReported,
)
from .evidence import WROTE, Mark
from .harness import Ask, Harness, Item, Steered, Unreadable, Write
from .transport import Line

_SAID = (AgentReady, TurnSaid, ToolCalled, ToolReturned, TurnEnded, UsageReported)
"""Kinds that stand in the ledger because a codec said so."""


@dataclass(frozen=True)
class Adoption:
    """A codec in the state that it had, and what its kernel did not live to do."""

    codec: Harness
    items: tuple[Item, ...]
    """What it read and did not take in: to be taken in first. Then the lines that are left."""
    owed: tuple[Mark, ...]
    """What was decided and never asked of the codec: the prompt of a turn that has begun, an answer."""
    open: dict[str, Ask]
    """Approvals that are still to be decided."""
    ready: bool
    """The CLI had got through its handshake."""
    read: int
    """Lines that the codec has read."""


def adopt(codec: Harness, lines: Iterator[Line], marks: Iterable[Mark], entries: Iterable[Entry]) -> Adoption:
    """Bring a new `codec` into the state of the one whose kernel died.

    Takes of `lines` (from the start of the process on) those that had been taken in. The
    rest is the caller's to read, as if it had just come. `entries` are the ledger's, of
    all agents. Raises `HarnessError` when they don't tell one story; then the agent can
    only be ended.
    """
    return _Walk(codec, _Known.of(codec.brief.agent, entries), deque(marks)).through(lines)


@dataclass
class _Known:
    """What the ledger says of one process of one agent."""

    said: deque[Event] = field(default_factory=deque)
    """What the codec had it say and what became of it, in order."""
    asked: deque[ApprovalAsked] = field(default_factory=deque)
    steered: int = 0
    """Messages that joined a turn."""
    answers: dict[str, ApprovalAnswered] = field(default_factory=dict)
    turn: TurnStarted | None = None
    """The one under way."""
    noise: int = 0
    """Where in the wire log the last noise ends."""
    ready: bool = False

    @classmethod
    def of(cls, agent: str, entries: Iterable[Entry]) -> _Known:
        known = cls()
        for event in (entry.event for entry in entries if entry.event.agent == agent):
            if isinstance(event, AgentSpawned | AgentSuspended):  # from here on it is another process
                known = cls()
            else:
                known.note(event)
        return known

    def note(self, event: Event) -> None:
        match event:
            case HarnessNoise() if event.offset >= 0:
                self.noise = max(self.noise, event.offset + event.length)
            case HarnessNoise():
                self.said.append(event)
            case ApprovalAsked():
                self.asked.append(event)
            case ApprovalAnswered():
                self.answers[event.approval] = event
            case TurnSteered():
                self.steered += 1
            case TurnStarted():
                self.turn = event
        if isinstance(event, _SAID):
            self.said.append(event)
        if isinstance(event, TurnEnded):
            self.turn = None
        self.ready = self.ready or isinstance(event, AgentReady)


class _Walk:
    """One way through the lines, up to where there is no more evidence that they were taken in."""

    def __init__(self, codec: Harness, known: _Known, marks: deque[Mark]) -> None:
        self.codec, self.known, self.marks = codec, known, marks
        self.greeted = any(mark.verb == "greet" for mark in marks)
        self.answered = {mark.arguments[0] for mark in marks if mark.verb == "answer"}
        self.prompted = {mark.arguments[0] for mark in marks if mark.verb == "prompt"}
        self.wrote = {mark.read for mark in marks if mark.verb == WROTE}
        self.read = 0
        self.loose: list[Item] = []
        """What was read since the last thing that is known to have been taken in."""
        self.asks: dict[str, Ask] = {}

    def through(self, lines: Iterator[Line]) -> Adoption:
        self.codec.launch()
        self.follow_marks()
        end, known = 0, self.known
        while known.said or known.asked or known.steered or self.marks or end < known.noise:
            line = next(lines, None)
            if line is None:
                raise self.torn("it was heard saying more than its wire log holds")
            end = line.offset + line.length
            self.take(line)
            self.follow_marks()
        return Adoption(
            self.codec, tuple(self.items()), tuple(self.owed()), self.still_open(), known.ready, self.read
        )

    def follow_marks(self) -> None:
        """Ask of the codec what was asked here."""
        while self.marks and self.marks[0].read <= self.read:
            mark = self.marks.popleft()
            if mark.verb != WROTE:
                mark.ask(self.codec)

    def take(self, line: Line) -> None:
        if not line.whole:
            return
        self.read += 1
        try:
            items = list(self.codec.read(line.text))
        except Unreadable:
            return
        except Exception:  # noqa: BLE001 - it stumbled then as well, and the line became noise
            return
        for item in items:
            if self.was_taken(item):
                self.loose.clear()
            elif not (isinstance(item, Write) and self.read in self.wrote):
                self.loose.append(item)

    def was_taken(self, item: Item) -> bool:
        """Whether the ledger knows of it."""
        if isinstance(item, Ask):
            return self.was_asked(item)
        if isinstance(item, Steered):
            self.known.steered -= (joined := item.joined and self.known.steered > 0)
            return joined
        if isinstance(item, HarnessNoise) and item.offset >= 0:
            return item.offset + item.length <= self.known.noise
        if isinstance(item, (*_SAID, HarnessNoise)) and self.was_said(type(item)):
            if isinstance(item, TurnEnded):
                self.asks.clear()
            return True
        return False

    def was_said(self, kind: type[Event]) -> bool:
        said = self.known.said
        while said:
            event = said.popleft()
            if type(event) is kind or (isinstance(event, HarnessNoise) and kind.__name__ in event.text):
                return True  # or it was out of place, and kept as noise
            if not isinstance(event, HarnessNoise):
                raise self.torn(f"the ledger has {event.kind} where its wire log has {kind.kind}")
        return False

    def was_asked(self, ask: Ask) -> bool:
        asked = self.known.asked
        if not (asked and self.codec.turn and asked[0].tool == ask.tool):
            return False
        self.asks[asked.popleft().approval] = ask
        return True

    # what is left to do

    def items(self) -> Iterator[Item]:
        for item in self.loose:
            if not (isinstance(item, Ask) and item.request in self.answered):
                yield item

    def owed(self) -> Iterator[Mark]:
        turn = self.known.turn
        if not self.greeted:
            yield Mark(self.read, "greet")
        if turn is not None and turn.turn not in self.prompted:  # its secrets are replaced, if it had any
            yield Mark(self.read, "prompt", (turn.turn, turn.text))
        for approval, ask in self.asks.items():
            answer = self.known.answers.get(approval)
            if answer and answer.decision != "withdrawn" and ask.request not in self.answered:
                yield Mark(self.read, "answer", (ask.request, answer.decision, answer.why))

    def still_open(self) -> dict[str, Ask]:
        return {approval: ask for approval, ask in self.asks.items() if approval not in self.known.answers}

    def torn(self, why: str) -> HarnessError:
        agent = self.codec.brief.agent
        return HarnessError(f"{agent} can't be gone on with: {why}. End it, and go on with its session")
