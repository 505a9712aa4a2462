"""Holds agents to their limits: warns in time, stops softly, lets go on when there is more.

Checked at every report of usage and at every turn's beginning and end; minutes by a timer.
When a limit is used up, whoever works below it is interrupted and keeps its session and
its inbox; nobody there takes a turn until the limit is raised, and then what waited in
the inboxes is handed over by itself. Turns are counted before they begin, so the last one
runs to its end. A CLI that can't be interrupted, or reports only when its turn is over, is
held from its next turn on.
"""

from __future__ import annotations

import asyncio
import logging
import math
from collections.abc import Callable, Coroutine, Iterable, Iterator, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any, Final, Protocol

from .budget import LIMITS, NO_LIMIT, RUN, SHAPES, WARN_AT, Budget, Limit, Limits, Standing, remark, spoken
from .config import Settings
from .errors import BadInput, BudgetSpent, Forbidden, HarnessError, MadroxError, TreeFull
from .events import (
    PERSON,
    AgentStopped,
    BudgetReached,
    BudgetSet,
    Entry,
    Event,
    Notice,
    Signal,
    TurnEnded,
    TurnStarted,
    UsageReported,
)
from .figures import hundredths
from .harness import Features
from .mail import Mail
from .tree import WORKING, Agent, Tree

SETTINGS: Final = "settings"
"""Who set the limits that nobody asked for by name."""
SOONEST: Final = 0.001
"""Seconds to the next look at a clock that says it is nearly time."""

log = logging.getLogger(__name__)


class Desk(Protocol):
    """What this needs of the manager."""

    tree: Tree
    budget: Budget
    mail: Mail

    async def act(self, event: Event) -> Entry:
        """The one door for what verbs do."""

    def record(self, event: Event, *, refuse: bool = False) -> Entry:
        """The door for what happened."""

    def signal(self, signal: Signal) -> None:
        """Tell the watchers."""

    def features(self, name: str) -> Features: ...

    def soon(self, verb: Coroutine[Any, Any, object]) -> None:
        """Run in the background; a failure is told."""

    async def interrupt(self, name: str) -> TurnEnded | None: ...


class Spending:
    """Looks after what agents use."""

    HEARS: Final = frozenset({UsageReported, TurnStarted, TurnEnded, BudgetSet, AgentStopped})

    def __init__(self, desk: Desk, settings: Settings, clock: Callable[[], datetime]) -> None:
        self._desk, self._settings, self._clock = desk, settings, clock
        self._told: set[tuple[str, str, str]] = set()
        """(holder, limit, what): nobody is told the same thing twice while the limit stays as it is."""
        self._stopping: dict[str, str] = {}
        """Whose turn is being ended here, and why."""
        self._timers: dict[str, asyncio.TimerHandle] = {}

    def now(self) -> datetime:
        """The time by which minutes are counted."""
        return self._clock()

    # the run

    def open(self) -> None:
        """Set what the settings say of the run, and hold those who are here already to their limits."""
        known, chosen = self._desk.budget.limits.get(RUN, {}), self._settings
        wanted = {"usd": chosen.max_usd, "max_depth": chosen.max_depth, "max_children": chosen.max_children}
        for name, amount in wanted.items():
            if amount and name not in known:
                self._desk.record(BudgetSet(limit=name, amount=amount, by=SETTINGS))
        for holder in tuple(self._desk.budget.limits):
            for standing in self._desk.budget.standings(holder, self._clock()):
                self._judge(standing)
            self._arm(holder)

    def close(self) -> None:
        for timer in self._timers.values():
            timer.cancel()
        self._timers.clear()

    # births

    def check_birth(self, limits: Limits, parent: str | None, by: str) -> None:
        """Whether `by` may spawn a child of `parent` with these limits.

        Raises `BudgetSpent` when the parent has nothing left, and `Forbidden` when an agent would give
        more than it has.
        """
        if parent is not None:
            self.check_turn(parent)
        for name, amount in limits.given().items():
            self._check_gift(by, name, amount)

    def check_place(self, parent: str | None, coming: Sequence[str] = ()) -> None:
        """Raises `TreeFull` when no child of `parent` may be born, besides those that are `coming`."""
        desk = self._desk
        if (deep := desk.budget.depth_limit(parent)) is not None:
            holder, levels = deep
            raise TreeFull(
                f"no agent can be spawned {f'below {parent}' if parent else 'at the top'}: "
                f"{_called(holder)} may have {spoken('max_depth', levels)} and no more. Let one further up "
                f"spawn it, or allow more: {_line(holder, 'max_depth', levels + 1)}"
            )
        if parent is None:
            return
        alive = [*(child.name for child in desk.tree.children(parent) if child.alive), *coming]
        if len(alive) >= (most := desk.budget.most_children(parent)):
            raise TreeFull(
                f"{parent} may have {spoken('max_children', most)} at once and has {len(alive)}: "
                f"{', '.join(alive[:8]) or 'none'}. End one that is done, or allow more: "
                f"{_line(parent, 'max_children', most + 1)}"
            )

    def begin(self, name: str, limits: Limits, by: str) -> None:
        """Put the limits of one that was just born on record. It is born: there is no way back.

        Where nothing is said, those of the settings.
        """
        chosen, given = self._settings, limits.given()
        defaults = {"tokens": chosen.max_tokens, "minutes": chosen.agent_minutes}
        for limit, amount in {**defaults, **given}.items():
            if amount != NO_LIMIT and (amount or limit in given):
                setter = by if limit in given else SETTINGS
                self._desk.record(BudgetSet(agent=name, limit=limit, amount=amount, by=setter))

    def copy(self, name: str, fork: str) -> None:
        """A fork has the limits of its original, and has used nothing of them yet."""
        for limit in self._desk.budget.limits.get(name, {}).values():
            self._desk.record(BudgetSet(agent=fork, limit=limit.name, amount=limit.amount, by=limit.by))

    def bring_back(self, name: str, limits: Iterable[Limit]) -> None:
        """Set the limits that an agent had in an earlier run, with what it had used of them there."""
        for limit in limits:
            self._desk.record(
                BudgetSet(
                    agent=name, limit=limit.name, amount=limit.amount, by=limit.by, carried=limit.carried
                )
            )

    # the verb

    async def set(self, name: str, limits: Limits, *, more: bool, by: str) -> None:
        """Set limits of `name` (`RUN`: of the run); see `Manager.limit`."""
        desk, known = self._desk, self._desk.budget.limits.get(name, {})
        if name == RUN and by != PERSON:
            raise Forbidden(f"{by} can't limit the run: only the person can. Name an agent below you")
        if name != RUN:
            desk.tree[name]  # or it is unknown
        amounts = limits.given()
        if not amounts:
            raise BadInput(f"no limit was said. Say at least one of {', '.join(LIMITS)}")
        for limit, amount in amounts.items():
            spent = 0.0 if limit in ("minutes", *SHAPES) else desk.budget.spent(name, limit, self._clock())
            amounts[limit] = amount + spent if more else amount
            self._check_loosens(name, limit, amounts[limit], by)
            if by != name:
                self._check_gift(by, limit, amounts[limit] - spent)
        for limit, amount in amounts.items():
            before = known.get(limit)
            setter = by if self._may_loosen(name, before, by) else before.by if before else by
            carried = before.carried if before and limit != "minutes" else 0.0
            await desk.act(BudgetSet(agent=name, limit=limit, amount=amount, by=setter, carried=carried))

    def _check_loosens(self, name: str, limit: str, amount: float, by: str) -> None:
        """Raises `Forbidden` when `by` would allow more than somebody else did. Anybody may be stricter."""
        known = self._desk.budget.limits.get(name, {}).get(limit)
        if known is None or self._may_loosen(name, known, by):
            return
        now = self._clock()  # minutes count anew: what is left of them is what they are compared with
        left = [each.left for each in self._desk.budget.standings(name, now) if each.name == "minutes"]
        before = left[0] if limit == "minutes" else known.amount
        if amount > before:
            who = "the person" if known.by in (PERSON, SETTINGS) else known.by
            who = self._desk.tree[name].parent or "the person" if who == name else who
            raise Forbidden(
                f"{by} can't allow {name} more than {spoken(limit, before)}, which {known.by} has set. "
                f"Ask {who}, and say what is still to be done"
            )

    def _may_loosen(self, name: str, known: Limit | None, by: str) -> bool:
        """Nobody undoes what somebody above it has set, and nobody allows itself more."""
        if known is None or by == PERSON:
            return True
        tree = self._desk.tree
        return by != name and (known.by == by or (known.by in tree and by in tree.above(known.by)))

    def _check_gift(self, by: str, limit: str, amount: float) -> None:
        """Raises `Forbidden` when the agent `by` would give more than it has left."""
        if by == PERSON or limit in SHAPES or amount == NO_LIMIT:
            return
        left = self._desk.budget.left(by, limit, self._clock())
        if amount > left:
            raise Forbidden(
                f"{by} has {spoken(limit, left)} left and can't give {spoken(limit, amount)}. "
                "Give less, or ask whoever is above you for more"
            )

    # what is held

    def holding(self, name: str) -> Standing | None:
        """The limit that keeps `name` from taking turns, if there is one."""
        return self._desk.budget.holding(name, self._clock())

    def check_turn(self, name: str) -> None:
        """Raises `BudgetSpent` when `name` may take no turn."""
        if (standing := self.holding(name)) is not None:
            raise BudgetSpent(f"{why_held(name, standing)}. {_raise(standing)}, then ask again")

    def held(self, name: str) -> BudgetSpent | None:
        """What those are told whose questions wait in the inbox of `name`, when a limit holds it."""
        if (standing := self.holding(name)) is None:
            return None
        return BudgetSpent(f"{why_held(name, standing)}. What you asked waits until then. {_raise(standing)}")

    def explained(self, ended: TurnEnded) -> TurnEnded:
        """`ended` with the reason, when it was a limit that ended the turn."""
        why = self._stopping.get(ended.agent)
        return replace(ended, error=why) if why and ended.outcome == "interrupted" else ended

    # what happens

    def heard(self, entry: Entry) -> None:
        """Called with every entry of a kind that it `HEARS`, once it is folded."""
        if not self._desk.budget.limits:
            return
        match event := entry.event:
            case UsageReported():
                self._used(event)
            case TurnStarted():
                self._turned(event.agent, began=True)
            case TurnEnded():
                self._stopping.pop(event.agent, None)
                self._turned(event.agent, began=False)
            case BudgetSet():
                self._set(event)
            case AgentStopped():
                self._stopping.pop(event.agent, None)

    def _used(self, event: UsageReported) -> None:
        for standing in self._desk.budget.above(event.agent, self._clock()):
            if standing.name in ("usd", "tokens"):
                self._say_blind(event, standing)
                self._judge(standing)

    def _turned(self, name: str, *, began: bool) -> None:
        """A turn has begun, which the last one may, or ended."""
        for standing in self._desk.budget.above(name, self._clock()):
            if standing.name == "turns":
                (self._warn if began else self._judge)(standing)

    def _judge(self, standing: Standing) -> None:
        if not standing.out:
            self._warn(standing)
            return
        if not standing.limit.reached:
            self._reached(standing)
        if standing.name != "turns":
            self._stop(standing)

    def _reached(self, standing: Standing) -> None:
        desk, holder = self._desk, standing.holder
        reached = BudgetReached(
            agent=holder, limit=standing.name, amount=standing.limit.amount, spent=standing.used
        )
        desk.record(reached)
        self._tell(standing, f"{_has_used(standing)}. {_raise(standing)}")
        for agent in self._below(holder):
            desk.mail.feed(agent.name)  # whose questions wait there is told

    def _stop(self, standing: Standing) -> None:
        """Interrupt whoever works, at its next report again when it still does."""
        for agent in self._below(standing.holder):
            if agent.state in WORKING and agent.name not in self._stopping:
                self._stopping[agent.name] = f"{why_held(agent.name, standing)}. {_raise(standing)}"
                self._desk.soon(self._interrupt(agent.name))

    async def _interrupt(self, name: str) -> None:
        if self.holding(name) is None:  # it was given more in this very moment
            self._stopping.pop(name, None)
            return
        try:
            await self._desk.interrupt(name)
        except MadroxError as exc:
            why = self._stopping.pop(name, "")
            self._desk.signal(Notice(agent=name, text=f"its limit is used up, and its turn goes on: {exc}"))
            if isinstance(exc, HarnessError):  # it may never end
                self._desk.mail.excuse(name, BudgetSpent(f"{why}. Its turn can't be ended: {exc}"))
            raise

    def _set(self, event: BudgetSet) -> None:
        """A limit has changed: look whether it is used up, and let those go on who may."""
        holder = event.agent
        self._told = {told for told in self._told if told[:2] != (holder, event.limit)}
        if event.limit == "minutes":
            self._arm(holder)
        for standing in self._desk.budget.standings(holder, self._clock()):
            if standing.name == event.limit:
                self._judge(standing)
        for agent in self._below(holder):
            self._desk.mail.feed(agent.name)

    def _below(self, holder: str) -> Iterator[Agent]:
        """Who is alive and held by the limits of `holder`."""
        tree = self._desk.tree
        family = list(tree) if holder == RUN else tree.subtree(holder)
        return (agent for agent in family if agent.alive)

    # what is told

    def _warn(self, standing: Standing) -> None:
        if standing.share >= WARN_AT:
            self._tell(standing, f"{hundredths(standing.share)}% of a limit is used: {standing}", "nearly")

    def _say_blind(self, event: UsageReported, standing: Standing) -> None:
        """A limit can't see what it limits: nobody may learn that from the bill."""
        counted = self._desk.features(event.agent).usage
        if standing.name == "usd" and math.isnan(event.cost_usd):
            instead = _line(standing.holder, "tokens" if counted else "minutes", "N")
            price = f"the price of {event.model}" if event.model else f"what {event.agent} costs"
            self._tell(
                standing,
                f"nobody knows {price}: the limit of {spoken('usd', standing.limit.amount)} can't see it. "
                f"Set another one as well: {instead}",
                f"blind to {event.agent}",
            )
        elif standing.name == "tokens" and not counted:
            self._tell(
                standing,
                f"the CLI of {event.agent} reports no tokens: only minutes and turns can limit it",
                f"blind to {event.agent}",
            )

    def _tell(self, standing: Standing, text: str, what: str = "reached") -> None:
        """Once for each limit as it is now."""
        told = (standing.holder, standing.name, what)
        if told not in self._told:
            self._told.add(told)
            log.warning("%s: %s", _called(standing.holder), text)
            self._desk.signal(Notice(agent=standing.holder, text=text))

    def remark(self, name: str) -> str:
        """What one who looks at `name` should know: a limit that holds it, or soon will; else nothing."""
        return remark(self._desk.budget, name, self._clock())

    # time

    def _arm(self, holder: str) -> None:
        """Look at the minutes of `holder` when the next thing is to be said about them.

        They hold for those below it though it has ended itself.
        """
        self._disarm(holder)
        for standing in self._desk.budget.standings(holder, self._clock()):
            if standing.name == "minutes" and not standing.limit.reached:
                warned = (holder, "minutes", "nearly") in self._told
                due = standing.limit.amount * (1 if warned else WARN_AT)
                seconds = max(SOONEST, (due - standing.used) * 60)
                self._timers[holder] = asyncio.get_running_loop().call_later(seconds, self._tick, holder)

    def _disarm(self, holder: str) -> None:
        if (timer := self._timers.pop(holder, None)) is not None:
            timer.cancel()

    def _tick(self, holder: str) -> None:
        if any(self._below(holder)):
            for standing in self._desk.budget.standings(holder, self._clock()):
                if standing.name == "minutes":
                    self._judge(standing)
            self._arm(holder)


# words


def why_held(name: str, standing: Standing) -> str:
    """`w has used 1,203 of 1,000 tokens and takes no turns`."""
    if standing.holder == name:
        return f"{_has_used(standing)} and takes no turns until it has more"
    return f"{_has_used(standing)}, and {name} is part of that: it takes no turns until there is more"


def _has_used(standing: Standing) -> str:
    whole = "" if standing.holder == RUN or standing.name == "minutes" else " with all below it"
    return f"{_called(standing.holder)} has used {standing}{whole}"


def _called(holder: str) -> str:
    return holder or "the run"


def _raise(standing: Standing) -> str:
    """How somebody who may gives more."""
    amount = max(standing.limit.amount * 2, standing.used * 1.5)
    if standing.name == "minutes":
        amount = standing.limit.amount
    return f"Raise it: {_line(standing.holder, standing.name, amount)} (agents: set_limits)"


def _line(holder: str, limit: str, amount: float | str) -> str:
    """The line that sets such a limit."""
    fine = "" if isinstance(amount, str) else ".6g" if limit in ("usd", "minutes") else ".0f"
    said = format(amount, fine)
    return f"%madrox limit {holder}{' ' if holder else ''}--{limit.replace('_', '-')} {said}"
