"""The tree of agents, folded from the ledger. Pure: no clock, no file, no await.

Everything that decides what may happen next lives in `LEGAL` (after h11's
`_state.py`): an event that is not in the table cannot be recorded.

    ○ starting → ○ idle ⇄ ● busy ⇄ ◐ waiting (for an approval)
                 ○ idle → ‖ suspended → ○ idle
      from anywhere → ■ stopped, or ✕ failed; from there only a new spawn
"""

from __future__ import annotations

import shlex
from collections.abc import Container, Iterator
from datetime import datetime
from typing import Final, NamedTuple

from .errors import AgentBusy, AgentGone, BadInput, IllegalEvent, MadroxError, NameTaken, UnknownAgent
from .events import (
    KINDS,
    PERSON,
    AgentReady,
    AgentSpawned,
    AgentStopped,
    AgentSuspended,
    ApprovalAnswered,
    ApprovalAsked,
    BudgetReached,
    BudgetSet,
    Entry,
    Event,
    HarnessNoise,
    JobEnded,
    JobMissed,
    JobStarted,
    MessagePosted,
    MessageRead,
    PhaseEnded,
    PhaseSkipped,
    PhaseStarted,
    RunClosed,
    RunOpened,
    TeamEnded,
    TeamResumed,
    TeamStarted,
    ToolCalled,
    ToolReturned,
    TurnEnded,
    TurnSaid,
    TurnStarted,
    TurnSteered,
    Unknown,
    UsageReported,
)
from .fold import Fold

UNBORN: Final = "unborn"
ENDED: Final = frozenset({"stopped", "failed"})
WORKING: Final = frozenset({"busy", "waiting"})

_ANY_TIME: Final = (
    MessageRead,
    HarnessNoise,
    UsageReported,
    BudgetSet,
    BudgetReached,
    JobMissed,
    JobEnded,
)
_WHILE_ALIVE: Final = (MessagePosted, JobStarted)
_IN_A_TURN: Final = (TurnSaid, ToolCalled, ToolReturned, TurnSteered)


def _same(state: str, *kinds: type[Event]) -> dict[type[Event], str]:
    return dict.fromkeys(kinds, state)


LEGAL: Final[dict[str, dict[type[Event], str]]] = {
    UNBORN: {AgentSpawned: "starting"},
    "starting": {
        AgentReady: "idle",
        AgentSuspended: "suspended",
        AgentStopped: "stopped",
        **_same("starting", *_WHILE_ALIVE, *_ANY_TIME),
    },
    "idle": {
        TurnStarted: "busy",
        AgentSuspended: "suspended",
        AgentStopped: "stopped",
        **_same("idle", AgentReady, *_WHILE_ALIVE, *_ANY_TIME),
    },
    "busy": {
        TurnEnded: "idle",
        ApprovalAsked: "waiting",
        AgentStopped: "stopped",
        **_same("busy", AgentReady, *_WHILE_ALIVE, *_IN_A_TURN, *_ANY_TIME),
    },
    "waiting": {
        ApprovalAnswered: "busy",
        TurnEnded: "idle",
        AgentStopped: "stopped",
        **_same("waiting", ApprovalAsked, *_WHILE_ALIVE, *_IN_A_TURN, *_ANY_TIME),
    },
    "suspended": {
        AgentReady: "idle",
        AgentStopped: "stopped",
        **_same("suspended", *_WHILE_ALIVE, *_ANY_TIME),
    },
    "stopped": {AgentSpawned: "starting", **_same("stopped", *_ANY_TIME)},
    "failed": {AgentSpawned: "starting", **_same("failed", *_ANY_TIME)},
}
"""state → kind of event → state. Two entries depend on the event or the agent too:
`agent.stopped` leads to `failed` when it says so, and `approval.answered` leaves the
agent waiting while other approvals are open."""


class Agent(NamedTuple):
    """What is true of one agent now. A value: it never changes, the tree replaces it."""

    name: str
    harness: str
    role: str
    state: str
    since: datetime
    """When it came into this state (UTC)."""
    parent: str | None = None
    model: str | None = None
    permissions: str = "edits"
    workspace: str = ""
    auto_inject: bool = True
    session: str = ""
    begun: bool = False
    """A turn has ended in this session: there is something to go on with."""
    turn: str = ""
    """The turn under way, else empty."""
    turns: int = 0
    """Turns begun under this name."""
    tools: tuple[tuple[str, str], ...] = ()
    """Tool calls under way: (call, tool)."""
    approvals: tuple[str, ...] = ()
    """Approvals it waits for."""
    reason: str = ""
    """Why it stopped or failed."""
    origin: str = ""
    """Where its session comes from, when it did not begin here."""
    system_prompt: str = ""
    options: str = ""
    extra_args: tuple[str, ...] = ()
    mcp_servers: str = ""
    environment: str = ""
    repository: str = ""
    branch: str = ""
    base: str = ""
    aside: bool = False
    """It only answers; see `AgentSpawned.aside`."""
    born: int = -1
    """The entry of its spawn: a name can live more than once."""

    @property
    def alive(self) -> bool:
        return self.state not in ENDED


class Tree(Fold):
    """All agents by name, in the order of their first spawn.

    `check` says whether an event may happen, `apply` folds an entry in. The tree may
    be read from any thread: its values are replaced, never changed.
    """

    HEARS = frozenset(KINDS.values())

    def __init__(self) -> None:
        self.agents: dict[str, Agent] = {}
        self.run = ""
        self.closed = False
        self.written: dict[str, int] = {}
        """Messages written so far, by their author."""
        self.borne: dict[str, int] = {}
        """Children named by us so far, by their parent."""
        self.asked: dict[str, int] = {}
        """Approvals asked for so far, by the agent that asked."""
        self.begun: dict[str, int] = {}
        """Jobs begun so far, by who wanted them."""

    # what may happen

    def check(self, event: Event) -> str:
        """The state `event` leads to.

        Raises `IllegalEvent`, or `BadInput` for a birth that can't be, changing nothing.
        """
        kind, name = type(event), event.agent
        if kind in _OF_THE_RUN or (not name and kind in _OF_THE_RUN_TOO):
            return ""
        if name == PERSON:
            if kind not in _OF_THE_PERSON:
                raise IllegalEvent(event, "the person")
            return ""
        agent = self.agents.get(name)
        state = agent.state if agent else UNBORN
        target = LEGAL[state].get(kind)
        if target is None:
            raise self._refused(event, state)
        if agent is None or kind is AgentSpawned:
            self._check_birth(event)
        elif agent.turn != getattr(event, "turn", agent.turn) and not isinstance(
            event, TurnStarted | UsageReported
        ):
            raise IllegalEvent(event, state, f"its turn is {agent.turn or 'over'}")
        if isinstance(event, AgentStopped) and event.failed:
            return "failed"
        if isinstance(event, ApprovalAnswered) and agent:
            if event.approval not in agent.approvals:
                raise IllegalEvent(event, state, f"{event.approval} is not open")
            return "waiting" if len(agent.approvals) > 1 else target
        return target

    def _check_birth(self, event: Event) -> None:
        parent = getattr(event, "parent", None)
        if parent is None:
            return
        if not (above := self[parent]).alive:
            raise BadInput(
                f"{parent} has {above.state}: nothing can be spawned below it. Spawn {parent} again first "
                f"({spawn_line(above)}), or leave the parent out"
            )
        if event.agent in (parent, *self.above(parent)):
            raise IllegalEvent(event, self[event.agent].state, f"{parent} stands below it")

    def refusal(self, event: Event) -> MadroxError:
        """Why `event` can't happen now, in words for who wanted it."""
        agent = self.agents.get(event.agent)
        return self._refused(event, agent.state if agent else UNBORN)

    def _refused(self, event: Event, state: str) -> MadroxError:
        if state == UNBORN:
            return UnknownAgent(event.agent, self.agents)
        if isinstance(event, AgentSpawned):
            return NameTaken(event.agent, state)
        if state in ENDED:
            return AgentGone(event, state, again=spawn_line(self.agents[event.agent]))
        if state in WORKING:
            return AgentBusy(event, state)
        return IllegalEvent(event, state)

    # what has happened

    def apply(self, entry: Entry, state: str | None = None) -> None:
        """Fold an entry in. `state` is what `check` said, when it was asked already.

        In a replay nobody was asked: what can't be (a line before it was lost) is left out.
        """
        event = entry.event
        if state is None:
            try:
                state = self.check(event)
            except MadroxError:
                return
        if type(event) in QUIET:
            return
        if isinstance(event, MessagePosted):
            self.written[event.sender] = self.written.get(event.sender, 0) + 1
            return
        if isinstance(event, JobStarted):
            self.begun[event.agent] = self.begun.get(event.agent, 0) + 1
            return
        if isinstance(event, ApprovalAsked):
            self.asked[event.agent] = self.asked.get(event.agent, 0) + 1
        if isinstance(event, RunOpened):
            self.run = event.run
        elif isinstance(event, RunClosed):
            self.closed = True
        elif isinstance(event, AgentSpawned):
            self._born(entry, event)
        elif (agent := self.agents.get(event.agent)) is not None:
            self.agents[event.agent] = _changed(agent, entry, state)

    def _born(self, entry: Entry, event: AgentSpawned) -> None:
        before = self.agents.get(event.agent)
        if event.parent is not None and before is None:
            stem, _, number = event.agent.rpartition(".")
            if stem == event.parent and number.isdigit():
                self.borne[stem] = max(self.borne.get(stem, 0), int(number))
        self.agents[event.agent] = Agent(
            name=event.agent,
            harness=event.harness,
            role=event.role,
            state="starting",
            since=entry.ts,
            parent=event.parent,
            model=event.model,
            permissions=event.permissions,
            workspace=event.workspace,
            auto_inject=event.auto_inject,
            session=event.session,
            begun=event.origin == "resumed",
            origin=event.origin,
            system_prompt=event.system_prompt,
            options=event.options,
            extra_args=event.extra_args,
            mcp_servers=event.mcp_servers,
            environment=event.environment,
            repository=event.repository,
            branch=event.branch,
            base=event.base,
            aside=event.aside,
            turns=before.turns if before else 0,
            born=entry.seq,
        )

    # who is there

    def __getitem__(self, name: str) -> Agent:
        """The agent of that name. Raises `UnknownAgent` with the nearest known name."""
        try:
            return self.agents[name]
        except KeyError:
            raise UnknownAgent(name, self.agents) from None

    def __contains__(self, name: object) -> bool:
        return name in self.agents

    def __iter__(self) -> Iterator[Agent]:
        return iter(tuple(self.agents.values()))

    def __len__(self) -> int:
        return len(self.agents)

    def alive(self) -> list[Agent]:
        return [agent for agent in self if agent.alive]

    def children(self, name: str | None) -> list[Agent]:
        """The direct children of `name`; the roots when `name` is None."""
        return [agent for agent in self if agent.parent == name]

    def walk(
        self, root: str | None = None, depth: int = 0, besides: Container[str] = ()
    ) -> Iterator[tuple[int, Agent]]:
        """(depth, agent) in tree order, without `root` itself, and without those `besides` and below them."""
        below: dict[str | None, list[Agent]] = {}
        for agent in self:
            if agent.name not in besides:
                below.setdefault(agent.parent, []).append(agent)
        todo = [(depth, agent) for agent in reversed(below.get(root, ()))]
        while todo:
            level, agent = todo.pop()
            yield level, agent
            todo += [(level + 1, child) for child in reversed(below.get(agent.name, ()))]

    def subtree(self, name: str, besides: Container[str] = ()) -> list[Agent]:
        """`name` and everyone below it, in tree order, without those `besides` and below them."""
        return [self[name], *(agent for _, agent in self.walk(name, besides=besides))]

    def above(self, name: str) -> list[str]:
        """The names from `name`'s parent up to the root."""
        chain: list[str] = []
        parent = self[name].parent
        while parent is not None:
            chain.append(parent)
            parent = self[parent].parent
        return chain

    # ids that come next

    def next_turn(self, name: str) -> str:
        return f"{name}.t{self[name].turns + 1}"

    def next_message(self, sender: str) -> str:
        return f"{sender}.m{self.written.get(sender, 0) + 1}"

    def next_approval(self, agent: str) -> str:
        return f"{agent}.a{self.asked.get(agent, 0) + 1}"

    def next_job(self, agent: str) -> str:
        return f"{agent}.j{self.begun.get(agent, 0) + 1}"

    def next_child(self, parent: str | None, besides: Container[str] = ()) -> str:
        """A name for a child that was given none, not in `besides`: `lead.2`, or `agent.1` for a root."""
        stem = parent or "agent"
        number = self.borne.get(stem, 0) + 1
        while (name := f"{stem}.{number}") in self.agents or name in besides:
            number += 1
        return name


def spawn_line(agent: Agent) -> str:
    """The line that spawns such an agent again."""
    options = {"role": agent.role, "harness": agent.harness, "model": agent.model, "parent": agent.parent}
    given = "".join(f" --{name} {shlex.quote(value)}" for name, value in options.items() if value)
    permissions = f" --permissions {agent.permissions}" if agent.permissions in ("edits", "all") else ""
    return f"%madrox spawn {shlex.quote(agent.name)}{given}{permissions}"


def _changed(agent: Agent, entry: Entry, state: str) -> Agent:
    """`agent` after `entry`, which leads it to `state`."""
    event = entry.event
    since = agent.since if state == agent.state else entry.ts
    match event:
        case TurnStarted():
            return agent._replace(state=state, since=since, turn=event.turn, turns=agent.turns + 1)
        case TurnEnded():
            session = event.session or agent.session
            return agent._replace(
                state=state, since=since, session=session, begun=True, turn="", tools=(), approvals=()
            )
        case ToolCalled():
            return agent._replace(tools=(*agent.tools, (event.call, event.tool)))
        case ToolReturned():
            return agent._replace(tools=tuple(t for t in agent.tools if t[0] != event.call))
        case AgentReady():
            session, model = event.session or agent.session, event.model or agent.model
            return agent._replace(state=state, since=since, session=session, model=model)
        case ApprovalAsked():
            return agent._replace(state=state, since=since, approvals=(*agent.approvals, event.approval))
        case ApprovalAnswered():
            left = tuple(a for a in agent.approvals if a != event.approval)
            return agent._replace(state=state, since=since, approvals=left)
        case AgentStopped():
            return agent._replace(
                state=state, since=since, turn="", tools=(), approvals=(), reason=event.reason
            )
        case _:
            return agent._replace(state=state, since=since)


_OF_TEAMS: Final = frozenset({TeamStarted, PhaseStarted, PhaseEnded, PhaseSkipped, TeamEnded, TeamResumed})
"""Kinds that change nothing in the tree; what may happen to a team next says `teamwork.LEGAL`."""

_OF_THE_RUN: Final = frozenset({RunOpened, RunClosed, Unknown, *_OF_TEAMS})
"""Kinds that happen to no agent."""

_OF_THE_RUN_TOO: Final = frozenset({BudgetSet, BudgetReached})
"""Kinds that happen to an agent, or to the run as a whole."""

_OF_THE_PERSON: Final = frozenset({MessagePosted, MessageRead, JobStarted, JobMissed, JobEnded})
"""Kinds that happen to the person, who has an inbox and no state."""

QUIET: Final = frozenset({TurnSaid, TurnSteered, Unknown, *_ANY_TIME, *_OF_TEAMS})
"""Kinds that change nothing in the tree (they matter to other folds)."""
