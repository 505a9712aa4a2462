"""Everything that can happen, as values.

An `Event` happened to one agent; an `Entry` is an event with its place and time in
the ledger. Harnesses make events, the ledger keeps them, and every view (tree,
inbox, costs, frames, widgets) is a fold over them. Fields are flat, so one event is
one JSON line is one row of a DataFrame.

A `Signal` is told to listeners and never written: the pieces of an answer while it
is being spoken. The finished message is an event.

Ids are short and counted per agent: child `lead.2`, turn `lead.t3`, message
`lead.m4` (the fourth that lead wrote), job `lead.j1`. Leaving one turn out shifts nobody else's.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, fields, replace
from datetime import datetime
from operator import attrgetter
from typing import Any, ClassVar, Literal, NamedTuple, Self

import orjson

PERSON = "you"
"""The name under which the person at the notebook writes and is written to."""

VERSION = 1
"""Of a ledger line. A reader meeting a higher one keeps what it knows."""

NAN = float("nan")

Outcome = Literal["ok", "failed", "interrupted"]
Verdict = Literal["allow", "deny"]
"""What an agent is told that asked."""
Decision = Literal["allow", "deny", "withdrawn"]
"""What became of a request: `withdrawn` when the agent no longer wanted to know."""
Always = Literal["", "agent", "subtree", "tool"]
"""For whose calls of the same tool an answer holds from now on: this agent's, its subtree's, anybody's."""

Way = Literal["sequential", "parallel", "consensus"]
"""How a job's participants work together."""
JobOutcome = Literal["ok", "failed", "interrupted", "stopped"]
"""Of a job: `stopped` by somebody's word, `interrupted` when nobody was left to ask or to tell."""
PhaseOutcome = Literal["ok", "failed", "stopped"]
"""Of a share of a phase, and of a team's run."""
TeamMode = Literal["phases", "lead"]
"""Who carries the phases out: madrox, or the lead, which is given the whole plan."""

KINDS: dict[str, type[Event]] = {}


@dataclass(frozen=True, kw_only=True, slots=True)
class Event:
    """Something that happened to `agent` (empty for the run itself)."""

    kind: ClassVar[str]
    agent: str = ""

    def fields(self) -> dict[str, Any]:
        """The event as flat fields, without its kind."""
        cls = type(self)
        return dict(zip(FIELDS[cls], _VALUES[cls](self), strict=True))


def _kind(name: str) -> Any:
    """Register an event class under its dotted kind."""

    def register(cls: type[Event]) -> type[Event]:
        cls.kind = name
        KINDS[name] = cls
        return cls

    return register


@_kind("run.opened")
@dataclass(frozen=True, kw_only=True, slots=True)
class RunOpened(Event):
    run: str
    madrox: str
    pid: int
    mode: str = "live"
    """`live`, or `replay` when agents' events come from a recording (and cost nothing)."""


@_kind("run.closed")
@dataclass(frozen=True, kw_only=True, slots=True)
class RunClosed(Event):
    reason: str


@_kind("agent.spawned")
@dataclass(frozen=True, kw_only=True, slots=True)
class AgentSpawned(Event):
    harness: str
    role: str
    parent: str | None = None
    model: str | None = None
    permissions: str = "edits"
    workspace: str = ""
    auto_inject: bool = True
    """Whether this agent's replies start a turn of its parent when that one is idle."""
    session: str = ""
    """The vendor's session that it goes on with; empty for a new one."""
    origin: str = ""
    """Where that session comes from: `resumed`, or `forked from lead`."""
    system_prompt: str = ""
    """What was given instead of the role's text."""
    options: str = ""
    """The harness's own options, as JSON text; empty for none."""
    extra_args: tuple[str, ...] = ()
    """Arguments that were added to the CLI's."""
    mcp_servers: str = ""
    """The MCP servers it has besides ours, as JSON text of `.mcp.json`'s shape, without their secrets."""
    environment: str = ""
    """The variables that were added to its environment, as JSON text, without their secrets."""
    repository: str = ""
    """The git repository of which its workspace is a worktree; empty for none."""
    branch: str = ""
    """The branch that was made for it there."""
    base: str = ""
    """The commit from which that branch began."""
    aside: bool = False
    """It has no tools and knows of nobody else: it answers what it is asked, and is ended."""


@_kind("agent.ready")
@dataclass(frozen=True, kw_only=True, slots=True)
class AgentReady(Event):
    session: str = ""
    """The vendor's conversation id: the handle for resume and fork."""
    model: str | None = None
    version: str | None = None


@_kind("agent.suspended")
@dataclass(frozen=True, kw_only=True, slots=True)
class AgentSuspended(Event):
    reason: str


@_kind("agent.stopped")
@dataclass(frozen=True, kw_only=True, slots=True)
class AgentStopped(Event):
    reason: str
    failed: bool = False
    exit_code: int | None = None
    evidence: str = ""
    """Its last words on stderr, or what it printed instead of becoming ready."""


@_kind("turn.started")
@dataclass(frozen=True, kw_only=True, slots=True)
class TurnStarted(Event):
    turn: str
    sender: str
    text: str
    messages: tuple[str, ...] = ()
    """The messages this turn hands over. Starting the turn is reading them."""


@_kind("turn.said")
@dataclass(frozen=True, kw_only=True, slots=True)
class TurnSaid(Event):
    turn: str
    text: str


@_kind("turn.tool_called")
@dataclass(frozen=True, kw_only=True, slots=True)
class ToolCalled(Event):
    turn: str
    call: str
    tool: str
    input: str = ""
    """The arguments, as JSON text."""


@_kind("turn.tool_returned")
@dataclass(frozen=True, kw_only=True, slots=True)
class ToolReturned(Event):
    turn: str
    call: str
    ok: bool
    output: str = ""


@_kind("turn.ended")
@dataclass(frozen=True, kw_only=True, slots=True)
class TurnEnded(Event):
    turn: str
    outcome: Outcome
    text: str = ""
    error: str = ""
    session: str = ""
    anchor: str = ""
    """Where in the session this turn ended: the point a fork can start from."""
    tree: str = ""
    """The workspace's file tree at the end of the turn, when known."""


@_kind("turn.steered")
@dataclass(frozen=True, kw_only=True, slots=True)
class TurnSteered(Event):
    """A message joined the turn under way."""

    turn: str
    sender: str
    text: str


@_kind("usage.reported")
@dataclass(frozen=True, kw_only=True, slots=True)
class UsageReported(Event):
    """What one turn used. Counts are tokens of this report alone, never cumulative."""

    turn: str
    input_tokens: int = 0
    output_tokens: int = 0
    cache_read_tokens: int = 0
    cache_write_tokens: int = 0
    cost_usd: float = NAN
    """US dollars; NaN when nobody knows."""
    cost_source: str = "unknown"
    """`cli`, `user`, `genai-prices`, `rehearsal` or `unknown`."""
    model: str | None = None


@_kind("message.posted")
@dataclass(frozen=True, kw_only=True, slots=True)
class MessagePosted(Event):
    """A message left in the inbox of `agent`."""

    message: str
    sender: str
    text: str
    asks: bool = False
    """It wants a turn of its own and an answer; else it waits to be read."""
    answers: str = ""
    """The message this one answers."""
    outcome: Outcome = "ok"
    """Of the turn that an automatic answer speaks for."""
    job: str = ""
    """The job for which it asks."""


@_kind("message.read")
@dataclass(frozen=True, kw_only=True, slots=True)
class MessageRead(Event):
    """`agent` took a message out of its inbox by asking for it."""

    message: str


@_kind("job.started")
@dataclass(frozen=True, kw_only=True, slots=True)
class JobStarted(Event):
    """`agent` wants several agents to work on one task.

    What each is asked is a message that names the job; how far it is follows from those.
    """

    job: str
    way: Way
    coordinator: str
    """Who weighs the votes of a consensus, and is left the report of any other job."""
    participants: tuple[str, ...]
    text: str


@_kind("job.missed")
@dataclass(frozen=True, kw_only=True, slots=True)
class JobMissed(Event):
    """No answer of this participant can come: it could not be asked, or its question was lost."""

    job: str
    participant: str
    why: str


@_kind("job.ended")
@dataclass(frozen=True, kw_only=True, slots=True)
class JobEnded(Event):
    job: str
    outcome: JobOutcome
    """`ok` when at least one participant has answered."""
    error: str = ""
    """Why it ended before everybody was asked."""


@_kind("approval.asked")
@dataclass(frozen=True, kw_only=True, slots=True)
class ApprovalAsked(Event):
    turn: str
    approval: str
    tool: str
    input: str = ""


@_kind("approval.answered")
@dataclass(frozen=True, kw_only=True, slots=True)
class ApprovalAnswered(Event):
    approval: str
    decision: Decision
    by: str
    """`you`, `policy` (permissions, a configured rule, an earlier "always"), `timeout`, `nobody`
    (there was no person to ask), or the agent itself when it withdrew."""
    why: str = ""
    always: Always = ""


@_kind("budget.set")
@dataclass(frozen=True, kw_only=True, slots=True)
class BudgetSet(Event):
    """A limit on what `agent` and all below it may use; without an agent, on the whole run."""

    limit: str
    """`usd`, `tokens`, `minutes`, `turns`, `max_depth` or `max_children`."""
    amount: float
    """Infinite (null in the file) when the limit is taken away."""
    by: str = PERSON
    """Who set it: `you`, an agent, or `settings`."""
    carried: float = 0.0
    """What counts already, because an earlier run used it."""


@_kind("budget.reached")
@dataclass(frozen=True, kw_only=True, slots=True)
class BudgetReached(Event):
    """All of it is used: nobody there takes a turn until the limit is raised."""

    limit: str
    amount: float
    spent: float


@_kind("harness.noise")
@dataclass(frozen=True, kw_only=True, slots=True)
class HarnessNoise(Event):
    """Output that the harness could not read. Kept, never dropped, never fatal."""

    text: str
    """Its beginning; the whole stands in the wire log."""
    lines: int = 1
    offset: int = -1
    """Where in the agent's wire log it begins, in bytes; -1 when it did not come over the wire."""
    length: int = 0


@_kind("team.started")
@dataclass(frozen=True, kw_only=True, slots=True)
class TeamStarted(Event):
    """A team is put together. It happens to the run: its agents have births of their own."""

    team: str
    """Of this run of it: the file's name and a number, such as `data_pipeline_team.1`."""
    path: str
    """Where the file was read."""
    text: str
    """The whole file: what goes on later does not depend on what somebody makes of it meanwhile."""
    members: str
    """Member → the names of its agents, as JSON text."""
    task: str = ""
    """Empty while the team only stands by."""
    inputs: str = ""
    """Name → value, as JSON text."""
    mode: TeamMode = "phases"
    by: str = PERSON
    parent: str | None = None
    options: str = ""
    """What was said for all its agents (harness, model, permissions, the lead's role), as JSON text."""
    files: tuple[str, ...] = ()
    """Files of the person's that every member gets a copy of."""
    resumes: str = ""
    """The run of an earlier kernel that it goes on with: `<run>/<team>`."""


@_kind("phase.started")
@dataclass(frozen=True, kw_only=True, slots=True)
class PhaseStarted(Event):
    """`agent` begins its share of a phase."""

    team: str
    phase: str
    attempt: int = 1


@_kind("phase.ended")
@dataclass(frozen=True, kw_only=True, slots=True)
class PhaseEnded(Event):
    """`agent` has done its share of a phase, or has not."""

    team: str
    phase: str
    outcome: PhaseOutcome
    turn: str = ""
    """The turn in which it did it."""
    text: str = ""
    """The result, as it is handed on: what it replied, its last words, and those of its children's turns."""
    error: str = ""
    files: tuple[str, ...] = ()
    """Deliverables that were there at the end."""
    missing: tuple[str, ...] = ()
    """Deliverables that were not."""


@_kind("phase.skipped")
@dataclass(frozen=True, kw_only=True, slots=True)
class PhaseSkipped(Event):
    team: str
    phase: str
    why: str
    blocked: bool = False
    """A phase that it needs has failed. Else its condition did not hold, and all is well."""


@_kind("team.ended")
@dataclass(frozen=True, kw_only=True, slots=True)
class TeamEnded(Event):
    team: str
    outcome: PhaseOutcome
    why: str = ""


@_kind("team.resumed")
@dataclass(frozen=True, kw_only=True, slots=True)
class TeamResumed(Event):
    """It goes on: with what has not been done well, and with `again` and all that comes after that."""

    team: str
    again: tuple[str, ...] = ()
    """Phases (`review`) and shares of phases (`review.lead`) that are done again."""
    task: str = ""
    """Where it stood by without one."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Unknown(Event):
    """A kind written by a later version. It folds to nothing and loses nothing."""

    kind: ClassVar[str] = "unknown"
    row: dict[str, Any]
    """Everything it said, its own `kind` included."""

    def fields(self) -> dict[str, Any]:
        return {"agent": self.agent, **self.row}


LISTS = ("messages", "extra_args", "participants", "files", "missing", "again")
"""Fields that JSON gives back as lists."""
FIELDS: dict[type[Event], tuple[str, ...]] = {
    cls: tuple(f.name for f in fields(cls)) for cls in KINDS.values()
}
_VALUES = {cls: attrgetter(*names) for cls, names in FIELDS.items()}
_KEYS = {cls: ("v", "seq", "ts", "kind", *names) for cls, names in FIELDS.items()}
_LINE = orjson.OPT_APPEND_NEWLINE | orjson.OPT_UTC_Z


class Entry(NamedTuple):
    """An event with its place in the ledger and its time (UTC)."""

    seq: int
    ts: datetime
    event: Event

    def row(self) -> dict[str, Any]:
        """One flat row: `v`, `seq`, `ts`, `kind` and the event's own fields."""
        event = self.event
        cls = type(event)
        if cls is Unknown:
            return {"v": VERSION, "seq": self.seq, "ts": self.ts, **event.fields()}
        values = (VERSION, self.seq, self.ts, cls.kind, *_VALUES[cls](event))
        return dict(zip(_KEYS[cls], values))  # noqa: B905 — `strict` costs half as much again, for every event

    def to_line(self) -> bytes:
        """One line of JSON, newline included. NaN becomes null."""
        return orjson.dumps(self.row(), option=_LINE)

    @classmethod
    def from_line(cls, line: bytes | str) -> Self:
        """Read a line back. Raises `ValueError` when it is no entry.

        Fields that this version does not know are left out; missing ones take their
        defaults, so ledgers of neighbouring versions can be read.
        """
        row = orjson.loads(line)
        if not isinstance(row, dict):
            raise ValueError(f"a ledger line holds an object, not {type(row).__name__}")
        seq, ts, kind, agent = row.get("seq"), row.get("ts"), row.get("kind"), row.get("agent", "")
        if isinstance(seq, int) and isinstance(ts, str) and isinstance(kind, str) and isinstance(agent, str):
            return cls(seq, datetime.fromisoformat(ts), _event(kind, row))
        raise ValueError("a ledger line needs seq, ts, kind and agent")


NULLS = {"cost_usd": NAN, "amount": math.inf}
"""What null stands for: JSON has neither."""
_LISTED = {cls: tuple(name for name in names if name in LISTS) for cls, names in FIELDS.items()}
_NULLED = {cls: tuple(name for name in names if name in NULLS) for cls, names in FIELDS.items()}


def _event(kind: str, row: dict[str, Any]) -> Event:
    cls = KINDS.get(kind)
    if cls is not None:
        known = {name: row[name] for name in FIELDS[cls] if name in row}
        for name in _NULLED[cls]:
            if name in known and known[name] is None:
                known[name] = NULLS[name]
        try:
            for name in _LISTED[cls]:
                if name in known:
                    known[name] = tuple(known[name])
            return cls(**known)
        except TypeError:
            pass  # a field is missing or of another kind: keep the row as it stands
    rest = {k: v for k, v in row.items() if k not in ("v", "seq", "ts", "agent")}
    return Unknown(agent=row.get("agent", ""), row=rest)


def whole(event: Event) -> Event:
    """`event` with `?` for halves of characters, which no UTF-8 file can hold."""
    said = {name: value for name, value in event.fields().items() if isinstance(value, str)}
    return replace(event, **{name: text.encode(errors="replace").decode() for name, text in said.items()})


@dataclass(frozen=True, kw_only=True, slots=True)
class Signal:
    """Told to listeners while it happens; never written."""

    agent: str


@dataclass(frozen=True, kw_only=True, slots=True)
class TextDelta(Signal):
    """A piece of the answer being spoken."""

    turn: str
    text: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Notice(Signal):
    """Something a watcher would like to know now: a retry, a rate limit."""

    text: str
