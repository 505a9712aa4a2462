"""What each agent says and does now, how its last turn ended, and one look at all of that."""

from __future__ import annotations

from datetime import datetime
from typing import Final

from .activity import argument
from .events import (
    ApprovalAnswered,
    ApprovalAsked,
    Entry,
    Signal,
    TextDelta,
    ToolCalled,
    ToolReturned,
    TurnEnded,
    TurnSaid,
    TurnStarted,
    UsageReported,
)
from .folds import Usage, usage_of
from .manager import Manager
from .tree import WORKING, Agent
from .values import Reply
from .views import Picture, Row

TITLE: Final = "Madrox"
TAIL: Final = 4000
"""Characters of what an agent is saying that a waiting cell shows."""


class Doing:
    """What each agent says and does now. Written on the manager's loop, read anywhere."""

    def __init__(self) -> None:
        self.said: dict[str, str] = {}
        """The end of what it said in this turn."""
        self.above: dict[str, int] = {}
        """How many characters came before that."""
        self._calls: dict[str, str] = {}
        self._asks: dict[str, str] = {}
        self._speaking: set[str] = set()

    def hear(self, signal: Signal) -> bool:
        """Fold a signal in; says whether the tree looks different now."""
        if not isinstance(signal, TextDelta):
            return False
        new = signal.agent not in self._speaking
        self._speaking.add(signal.agent)
        self._say(signal.agent, signal.text)
        return new

    def apply(self, entry: Entry) -> None:
        event = entry.event
        match event:
            case TurnStarted():
                self.said[event.agent], self.above[event.agent] = "", 0
            case TurnSaid():
                spoken = event.agent in self._speaking
                self._say(event.agent, "\n\n" if spoken else f"{event.text}\n\n")
            case ToolCalled():
                self._calls[event.call] = f"{event.tool.rpartition('__')[2]} {argument(event.input)}".strip()
            case ToolReturned():
                self._calls.pop(event.call, None)
            case ApprovalAsked():
                self._asks[event.approval] = f"{event.tool} {argument(event.input)}".strip()
            case ApprovalAnswered():
                self._asks.pop(event.approval, None)
        self._speaking.discard(event.agent)

    def now(self, agent: Agent) -> str:
        """`Bash npm test`, `writes a reply`, or nothing."""
        if agent.state not in WORKING:
            return ""
        if agent.approvals:
            return f"asks: {self._asks.get(agent.approvals[0], '')} ({agent.approvals[0]})"
        if agent.tools:
            call, tool = agent.tools[-1]
            return self._calls.get(call, tool)
        return "writes a reply" if agent.name in self._speaking else ""

    def _say(self, name: str, text: str) -> None:
        said = self.said.get(name, "") + text
        self.above[name] = self.above.get(name, 0) + max(0, len(said) - TAIL)
        self.said[name] = said[-TAIL:]


class LastReplies:
    """How the last turn of each agent ended."""

    def __init__(self) -> None:
        self.replies: dict[str, Reply] = {}
        self._began: dict[str, datetime] = {}
        self._usage: dict[str, Usage] = {}

    def apply(self, entry: Entry) -> None:
        event = entry.event
        match event:
            case TurnStarted():
                self._began[event.agent], self._usage[event.agent] = entry.ts, Usage()
            case UsageReported():
                self._usage[event.agent] = self._usage.get(event.agent, Usage()) + usage_of(event)
            case TurnEnded():
                self.replies[event.agent] = Reply(
                    agent=event.agent,
                    turn=event.turn,
                    outcome=event.outcome,
                    text=event.text,
                    error=event.error,
                    usage=self._usage[event.agent],
                    duration_s=(entry.ts - self._began[event.agent]).total_seconds(),
                )


def picture(manager: Manager, doing: Doing | None = None) -> Picture:
    """One look at a run. `doing` knows what the agents do now. Callable from any thread."""
    sums = manager.costs.subtrees(manager.tree)
    doing = doing or Doing()
    rows = (
        row_of(manager, doing, agent, depth, sums.get(agent.name, Usage()))
        for depth, agent in manager.tree.walk()
    )
    return Picture(TITLE, tuple(rows))


def row_of(manager: Manager, doing: Doing, agent: Agent, depth: int, below: Usage) -> Row:
    own = manager.costs.of(agent.name)
    return Row(
        name=agent.name,
        parent=agent.parent,
        depth=depth,
        state=agent.state,
        stalled=False,
        role=agent.role,
        harness=agent.harness,
        model=agent.model,
        permissions=agent.permissions,
        now=doing.now(agent) or (manager.spending.remark(agent.name) if agent.alive else ""),
        queued=manager.inboxes.queued(agent.name),
        unread=len(manager.inboxes.unread(agent.name)),
        own_usd=own.known_usd,
        subtree_usd=below.cost_usd,
        subtree_exact=below.exact,
        tokens=own.tokens,
        reason=agent.reason,
        held=agent.alive and agent.state not in WORKING and manager.held(agent.name) is not None,
    )
