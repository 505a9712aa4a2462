"""Agents' requests to use a tool: answered by a rule, else open until somebody answers.

A request is `approval.asked` and `approval.answered` in the ledger, whoever answers.
Tried in this order: the configured policy, an earlier answer that holds for good, the
agent's permissions; then a person, if there is one. Requests that say the same while one
of them is open are that one.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar, Protocol, get_args

from .config import Settings
from .errors import BadInput, UnknownApproval
from .events import (
    PERSON,
    AgentStopped,
    Always,
    ApprovalAnswered,
    ApprovalAsked,
    Decision,
    Entry,
    Event,
    TurnEnded,
    Verdict,
)
from .fold import Kinds
from .folds import Approval, Approvals
from .harness import Ask, Withdraw
from .rules import Place, ruled
from .runner import Runner
from .tree import Agent, Tree
from .wording import refusal
from .workspace import may_touch, place


@dataclass
class _Open:
    """A request that waits for an answer."""

    approval: str
    ask: Ask
    runner: Runner
    requests: list[str]
    """The CLI's own ids of all that asked the same."""
    timer: asyncio.TimerHandle | None = None


@dataclass(frozen=True)
class _Answer:
    decision: Verdict
    by: str
    why: str = ""


class Desk(Protocol):
    """What approvals need of the manager."""

    tree: Tree
    approvals: Approvals

    def record(self, event: Event, *, refuse: bool = False) -> Entry:
        """The ledger's door for what agents did."""


@dataclass
class Requests:
    """The open requests of one manager. Belongs to its loop."""

    HEARS: ClassVar[Kinds] = frozenset({TurnEnded, AgentStopped})

    desk: Desk
    settings: Settings
    attended: Callable[[], bool]
    """Whether somebody is there to answer."""
    _open: dict[str, _Open] = field(default_factory=dict)

    def asked(self, runner: Runner, ask: Ask) -> None:
        """An agent asks. It is answered at once, or waits."""
        if (same := self._same(runner, ask)) is not None:
            same.requests.append(ask.request)
            return
        agent = self.desk.tree[runner.agent]
        approval = self.desk.tree.next_approval(agent.name)
        asked = ApprovalAsked(
            agent=agent.name, turn=agent.turn, approval=approval, tool=ask.tool, input=_shown(ask)
        )
        self.desk.record(asked)
        self.take_up(runner, approval, ask)

    def take_up(self, runner: Runner, approval: str, ask: Ask) -> None:
        """A request that is on record waits for its answer, which may be known already."""
        agent = self.desk.tree[runner.agent]
        waiting = self._open[approval] = _Open(approval, ask, runner, [ask.request])
        if (answer := self._answer(agent, ask)) is not None:
            self._decide(waiting, answer)
        elif self.settings.approval_timeout:
            loop = asyncio.get_running_loop()
            waiting.timer = loop.call_later(self.settings.approval_timeout, self._too_late, waiting)

    def withdrawn(self, runner: Runner, withdraw: Withdraw) -> None:
        """An agent no longer waits for that answer."""
        for waiting in tuple(self._open.values()):
            if waiting.runner is runner and withdraw.request in waiting.requests:
                waiting.requests.remove(withdraw.request)
                if not waiting.requests:
                    self._close(waiting, "withdrawn", runner.agent)

    def answer(self, approval: str, decision: Verdict, *, why: str = "", always: Always = "") -> Approval:
        """The person's answer. Raises `UnknownApproval`, or `BadInput` for one that is answered already."""
        if always not in get_args(Always):
            raise BadInput(f"always={always!r} is none of agent, subtree, tool")
        waiting = self._open.get(approval)
        if waiting is None:
            raise self._not_open(approval)
        why = why or ("" if decision == "allow" else f"the person denied {waiting.ask.tool}")
        self._decide(waiting, _Answer(decision, PERSON, why), always)
        if always:
            self._settle()
        return self.desk.approvals[approval]

    def heard(self, entry: Entry) -> None:
        """What an ended turn asked needs no answer any more."""
        if self._open:
            for waiting in [w for w in self._open.values() if w.runner.agent == entry.event.agent]:
                self._drop(waiting)

    def _same(self, runner: Runner, ask: Ask) -> _Open | None:
        return next(
            (
                waiting
                for waiting in self._open.values()
                if waiting.runner is runner and (waiting.ask.tool, waiting.ask.input) == (ask.tool, ask.input)
            ),
            None,
        )

    def _answer(self, agent: Agent, ask: Ask) -> _Answer | None:
        """What can be answered without a person; None when one has to be asked."""
        rule = ruled(self.settings.policy, ask.tool, ask.input, places(agent, ask))
        if rule is not None and rule[1] != "ask":
            return _Answer(rule[1], "policy", f"the policy says so ({rule[0]!r})")
        if (standing := self.desk.approvals.standing(self.desk.tree, agent.name, ask.tool)) is not None:
            return _standing(standing)
        if rule is None and allowed(agent, ask):
            return _Answer("allow", "policy")
        if rule is None and agent.permissions == "deny":
            return _Answer("deny", "policy", refusal(agent.name, ask.tool, agent.permissions))
        if not self.attended():
            return _Answer("deny", "nobody", refusal(agent.name, ask.tool, agent.permissions, nobody=True))
        return None

    def _settle(self) -> None:
        """An answer holds for good: give it to what waits already."""
        for waiting in tuple(self._open.values()):
            name, tool = waiting.runner.agent, waiting.ask.tool
            standing = self.desk.approvals.standing(self.desk.tree, name, tool)
            if standing is not None:
                self._decide(waiting, _standing(standing))

    def _too_late(self, waiting: _Open) -> None:
        seconds = self.settings.approval_timeout
        why = f"nobody answered within {seconds:g} s; that is no denial: ask again when it matters"
        self._decide(waiting, _Answer("deny", "timeout", why))

    def _decide(self, waiting: _Open, answer: _Answer, always: Always = "") -> None:
        self._close(waiting, answer.decision, answer.by, answer.why, always)
        for request in waiting.requests:
            waiting.runner.answer(request, answer.decision, answer.why if answer.decision == "deny" else "")

    def _close(self, waiting: _Open, decision: Decision, by: str, why: str = "", always: Always = "") -> None:
        agent = waiting.runner.agent
        self.desk.record(
            ApprovalAnswered(
                agent=agent, approval=waiting.approval, decision=decision, by=by, why=why, always=always
            )
        )
        self._drop(waiting)

    def _drop(self, waiting: _Open) -> None:
        self._open.pop(waiting.approval, None)
        if waiting.timer is not None:
            waiting.timer.cancel()

    def _not_open(self, approval: str) -> BadInput:
        known = self.desk.approvals.asked.get(approval)
        if known is None or known.state == "open":
            return UnknownApproval(approval, self._open)
        return BadInput(f"{approval} needs no answer any more: {known.ending}")


def _standing(answered: Approval) -> _Answer:
    return _Answer(answered.verdict, "policy", f"as {answered.id}: {answered.ending}")


def allowed(agent: Agent, ask: Ask) -> bool:
    """What an agent's permissions allow unasked. Looks at links in the workspace, so it reads the disk."""
    if agent.permissions == "all":
        return True
    if ask.touches is None or not (ask.reads or agent.permissions == "edits"):
        return False
    return all(may_touch(Path(agent.workspace), path) for path in ask.touches)


def places(agent: Agent, ask: Ask) -> list[Place]:
    """What a rule may call the paths that are asked about. Looks at links, so it reads the disk."""
    return [place(Path(agent.workspace), path) for path in ask.touches or ()]


def _shown(ask: Ask) -> str:
    return json.dumps(dict(ask.input), ensure_ascii=False, default=str)
