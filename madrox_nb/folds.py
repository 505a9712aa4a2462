"""Readings of the ledger: the inbox, the money, the turns.

Each is a `Fold`, which is kept up while a run goes on, or a function over entries.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Final

from .events import (
    NAN,
    AgentSpawned,
    AgentStopped,
    Always,
    ApprovalAnswered,
    ApprovalAsked,
    Entry,
    MessagePosted,
    MessageRead,
    Outcome,
    ToolCalled,
    ToolReturned,
    TurnEnded,
    TurnSaid,
    TurnStarted,
    UsageReported,
    Verdict,
)
from .fold import Fold
from .tree import Tree


@dataclass(frozen=True, slots=True)
class Message:
    """One message as it lies in an inbox."""

    id: str
    to: str
    sender: str
    text: str
    asks: bool
    answers: str
    outcome: Outcome
    posted: datetime
    read: bool = False


class Inboxes(Fold):
    """Who has which messages, read and unread.

    A message is read once: by the turn that hands it over, or by `message.read`. A name
    that is spawned again begins with nothing unread: what was for its predecessor stays
    unread for good.
    """

    HEARS = frozenset({AgentSpawned, MessagePosted, MessageRead, TurnStarted})

    def __init__(self) -> None:
        self.messages: dict[str, Message] = {}
        self._unread: dict[str, dict[str, None]] = {}

    def take(self, entry: Entry) -> None:
        match event := entry.event:
            case MessagePosted():
                self.messages[event.message] = Message(
                    id=event.message,
                    to=event.agent,
                    sender=event.sender,
                    text=event.text,
                    asks=event.asks,
                    answers=event.answers,
                    outcome=event.outcome,
                    posted=entry.ts,
                )
                self._unread.setdefault(event.agent, {})[event.message] = None
            case AgentSpawned():
                self._unread.pop(event.agent, None)
            case MessageRead():
                self._read(event.message)
            case TurnStarted():
                for message in event.messages:
                    self._read(message)

    def _read(self, message: str) -> None:
        if (known := self.messages.get(message)) is not None:
            self.messages[message] = replace(known, read=True)
            self._unread.get(known.to, {}).pop(message, None)

    def unread(self, name: str) -> list[Message]:
        """What lies unread in the inbox of `name`, oldest first."""
        return [self.messages[message] for message in tuple(self._unread.get(name, ()))]

    def queued(self, name: str) -> int:
        """How many turns wait for `name` to become idle."""
        return sum(message.asks for message in self.unread(name))

    def received(self, name: str) -> list[Message]:
        """Everything that `name` was ever sent, oldest first."""
        return [message for message in tuple(self.messages.values()) if message.to == name]


@dataclass(frozen=True, slots=True)
class Approval:
    """One request to use a tool, and what came of it."""

    id: str
    agent: str
    turn: str
    tool: str
    input: str
    """The tool's arguments, as JSON text."""
    asked: datetime
    state: str = "open"
    """`open`, `allow`, `deny`, `withdrawn`, or `over` when its turn ended first."""
    by: str = ""
    why: str = ""
    always: Always = ""
    answered: datetime | None = None

    @property
    def verdict(self) -> Verdict:
        """What the agent was told."""
        return "allow" if self.state == "allow" else "deny"

    @property
    def ending(self) -> str:
        """How it ended, in words."""
        said = {"allow": "allowed", "deny": "denied", "withdrawn": "withdrawn", "over": "its turn is over"}
        by = f" by {self.by}" if self.by and self.state != "over" else ""
        return f"{said.get(self.state, self.state)}{by}{f' ({self.why})' if self.why else ''}"


class Approvals(Fold):
    """All requests by their id, and which answers hold for good."""

    HEARS = frozenset({AgentSpawned, AgentStopped, ApprovalAnswered, ApprovalAsked, TurnEnded})

    def __init__(self) -> None:
        self.asked: dict[str, Approval] = {}
        self._open: dict[str, dict[str, None]] = {}
        """Agent → what it waits for."""
        self._standing: list[str] = []
        """Answered with an `always`, oldest first."""

    def __getitem__(self, approval: str) -> Approval:
        return self.asked[approval]

    def __iter__(self) -> Iterator[Approval]:
        return iter(tuple(self.asked.values()))

    def open(self) -> list[Approval]:
        """Those that wait for an answer, oldest first."""
        return [each for each in self if each.id in self._open.get(each.agent, ())]

    def standing(self, tree: Tree, agent: str, tool: str) -> Approval | None:
        """The newest answer that holds for this tool of this agent, if there is one."""
        for approval in reversed(self._standing):
            known = self.asked[approval]
            below = known.always == "subtree" and known.agent in tree.above(agent)
            if known.tool == tool and (known.always == "tool" or known.agent == agent or below):
                return known
        return None

    def lasting(self, tree: Tree, agent: str) -> list[Approval]:
        """All answers that hold for this agent, one a tool."""
        tools = dict.fromkeys(self.asked[each].tool for each in self._standing)
        return [known for tool in tools if (known := self.standing(tree, agent, tool)) is not None]

    def take(self, entry: Entry) -> None:
        match event := entry.event:
            case ApprovalAsked():
                self.asked[event.approval] = Approval(
                    event.approval, event.agent, event.turn, event.tool, event.input, entry.ts
                )
                self._open.setdefault(event.agent, {})[event.approval] = None
            case ApprovalAnswered() if event.approval in self.asked:
                self._answered(entry, event)
            case AgentSpawned():  # what was allowed to a predecessor of that name
                self._standing = [each for each in self._standing if not self._died(each, event.agent)]
            case TurnEnded() | AgentStopped():
                for approval in self._open.pop(event.agent, ()):
                    self.asked[approval] = replace(self.asked[approval], state="over")

    def _answered(self, entry: Entry, event: ApprovalAnswered) -> None:
        self.asked[event.approval] = replace(
            self.asked[event.approval],
            state=event.decision,
            by=event.by,
            why=event.why,
            always=event.always,
            answered=entry.ts,
        )
        self._open.get(event.agent, {}).pop(event.approval, None)
        if event.always:
            self._standing.append(event.approval)

    def _died(self, approval: str, name: str) -> bool:
        known = self.asked[approval]
        return known.agent == name and known.always != "tool"


@dataclass(frozen=True, slots=True)
class Usage:
    """Tokens and money. `cost_usd` sums what is known; `exact` says whether that is all."""

    input_tokens: int = 0
    output_tokens: int = 0
    cache_read_tokens: int = 0
    cache_write_tokens: int = 0
    cost_usd: float = 0.0
    exact: bool = True
    """False when some of it has no known price: the true cost is at least `cost_usd`."""
    sources: tuple[str, ...] = ()

    @property
    def tokens(self) -> int:
        return self.input_tokens + self.output_tokens + self.cache_read_tokens + self.cache_write_tokens

    @property
    def known_usd(self) -> float:
        """The cost when it is known in full, else NaN."""
        return self.cost_usd if self.exact else NAN

    def __add__(self, other: Usage) -> Usage:
        return Usage(
            self.input_tokens + other.input_tokens,
            self.output_tokens + other.output_tokens,
            self.cache_read_tokens + other.cache_read_tokens,
            self.cache_write_tokens + other.cache_write_tokens,
            self.cost_usd + other.cost_usd,
            self.exact and other.exact,
            self.sources
            if self.sources == other.sources  # as mostly
            else self.sources + tuple(s for s in other.sources if s not in self.sources),
        )


NOTHING: Final = Usage()


def usage_of(event: UsageReported) -> Usage:
    """One report as a sum of one."""
    unknown = math.isnan(event.cost_usd)
    return Usage(
        event.input_tokens,
        event.output_tokens,
        event.cache_read_tokens,
        event.cache_write_tokens,
        0.0 if unknown else event.cost_usd,
        not unknown,
        (event.cost_source,),
    )


class Costs(Fold):
    """What each agent used, and what its subtree did."""

    HEARS = frozenset({UsageReported})

    def __init__(self) -> None:
        self.own: dict[str, Usage] = {}
        self.bills: dict[tuple[str, str, str], Usage] = {}
        """The same by (agent, model, source of the price); the model is empty when nobody said it."""

    def take(self, entry: Entry) -> None:
        if isinstance(event := entry.event, UsageReported):
            used, bill = usage_of(event), (event.agent, event.model or "", event.cost_source)
            self.own[event.agent] = self.of(event.agent) + used
            self.bills[bill] = self.bills.get(bill, NOTHING) + used

    def of(self, name: str) -> Usage:
        return self.own.get(name, NOTHING)

    def subtree(self, tree: Tree, name: str) -> Usage:
        """`name` and everyone below it."""
        return sum((self.of(agent.name) for agent in tree.subtree(name)), Usage())

    def subtrees(self, tree: Tree) -> dict[str, Usage]:
        """What each agent and everyone below it used, in one walk."""
        sums: dict[str, Usage] = {}
        for _, agent in reversed(list(tree.walk())):
            below, own = sums.get(agent.name), self.of(agent.name)
            used = sums[agent.name] = own if below is None else below + own  # most have nobody below them
            if agent.parent is not None:
                others = sums.get(agent.parent)
                sums[agent.parent] = used if others is None else others + used
        return sums

    def total(self) -> Usage:
        return sum(tuple(self.own.values()), Usage())


@dataclass(frozen=True, slots=True)
class Said:
    """One line of a transcript."""

    ts: datetime
    turn: str
    who: str
    what: str
    """`prompt`, `answer`, `tool` or `result`."""
    text: str


def transcript(entries: Iterable[Entry], agent: str) -> Iterator[Said]:
    """What was said to and by `agent`, and the tools it used, oldest first.

    A name that was spawned again starts afresh.
    """
    lines: list[Said] = []
    for entry in entries:
        event = entry.event
        if event.agent != agent:
            continue
        match event:
            case AgentSpawned():
                lines.clear()
            case TurnStarted():
                lines.append(Said(entry.ts, event.turn, event.sender, "prompt", event.text))
            case TurnSaid():
                lines.append(Said(entry.ts, event.turn, agent, "answer", event.text))
            case ToolCalled():
                lines.append(Said(entry.ts, event.turn, agent, "tool", f"{event.tool} {event.input}".strip()))
            case ToolReturned():
                lines.append(Said(entry.ts, event.turn, agent, "result", event.output))
            case TurnEnded() if event.outcome != "ok":
                lines.append(Said(entry.ts, event.turn, agent, "answer", f"[{event.outcome}] {event.error}"))
            case _:
                pass
    return iter(lines)
