"""What each agent says and does now, and how its last turn ended."""

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
from .tree import WORKING, Agent
from .values import Reply

TAIL: Final = 4000
"""Characters of what an agent is saying that a waiting cell shows."""
SPOKEN: Final = 16_000
"""Characters of an unfinished message that a page shows."""


class Doing:
    """What each agent says and does now. Written on the manager's loop, read anywhere."""

    def __init__(self) -> None:
        self.said: dict[str, str] = {}
        """The end of what it said in this turn."""
        self.above: dict[str, int] = {}
        """How many characters came before that."""
        self.speaking: dict[str, str] = {}
        """The end of what it is saying and has not finished."""
        self._calls: dict[str, str] = {}
        self._asks: dict[str, str] = {}

    def hear(self, signal: Signal) -> bool:
        """Fold a signal in; says whether the tree looks different now."""
        if not isinstance(signal, TextDelta):
            return False
        new = signal.agent not in self.speaking
        self.speaking[signal.agent] = (self.speaking.get(signal.agent, "") + signal.text)[-SPOKEN:]
        self._say(signal.agent, signal.text)
        return new

    def apply(self, entry: Entry) -> None:
        event = entry.event
        match event:
            case TurnStarted():
                self.said[event.agent], self.above[event.agent] = "", 0
            case TurnSaid():
                spoken = event.agent in self.speaking
                self._say(event.agent, "\n\n" if spoken else f"{event.text}\n\n")
            case ToolCalled():
                self._calls[event.call] = f"{event.tool.rpartition('__')[2]} {argument(event.input)}".strip()
            case ToolReturned():
                self._calls.pop(event.call, None)
            case ApprovalAsked():
                self._asks[event.approval] = f"{event.tool} {argument(event.input)}".strip()
            case ApprovalAnswered():
                self._asks.pop(event.approval, None)
        self.speaking.pop(event.agent, None)

    def now(self, agent: Agent) -> str:
        """`Bash npm test`, `writes a reply`, or nothing."""
        if agent.state not in WORKING:
            return ""
        if agent.approvals:
            return f"asks: {self._asks.get(agent.approvals[0], '')} ({agent.approvals[0]})"
        if agent.tools:
            call, tool = agent.tools[-1]
            return self._calls.get(call, tool)
        return "writes a reply" if agent.name in self.speaking else ""

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
