"""What an agent and everyone below it may still use: a fold over the ledger. Pure.

A limit stands on one agent and holds for it *and all below it*. Whoever works is held by
its own limits and by those of everyone above it, up to the run: so a child can never use
more than what any of them has left.

    usd tokens turns      what was used since this agent was spawned
    minutes               time that passed since the limit was set, whatever was done in it
    max_depth             how many levels of agents may stand below
    max_children          how many living children the agent may have; on the run: each agent

Dollars whose price nobody knows count nothing: the sum is then a lower bound and says so.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields, replace
from datetime import datetime
from typing import Any, Final

from .errors import BadInput, nearest
from .events import (
    AgentSpawned,
    BudgetReached,
    BudgetSet,
    Entry,
    RunOpened,
    TurnStarted,
    UsageReported,
)
from .figures import hundredths
from .fold import Fold
from .folds import usage_of

RUN: Final = ""
"""Whose limits hold for all agents."""
NO_LIMIT: Final = math.inf
SHAPES: Final = ("max_depth", "max_children")
"""Limits on how the tree may grow. The others are used up."""
WARN_AT: Final = 0.8
"""The part of a limit from which on somebody should know."""
_CENT_PARTS: Final = 1e-9
"""What sums of dollars lose by rounding."""


@dataclass(frozen=True, kw_only=True)
class Limits:
    """Limits as they are asked for. None says nothing about it; `NO_LIMIT` takes one away."""

    usd: float | None = None
    tokens: float | None = None
    minutes: float | None = None
    turns: float | None = None
    max_depth: float | None = None
    """Levels of agents below it; 0: it may spawn nobody."""
    max_children: float | None = None

    def __post_init__(self) -> None:
        for name, amount in self.given().items():
            _check(name, amount)

    @classmethod
    def of(cls, given: Limits | Mapping[str, Any] | None) -> Limits:
        """Limits from what a person wrote. Raises `BadInput` naming what is wrong."""
        if isinstance(given, Limits):
            return given
        given = given or {}
        for name in given:
            if name not in LIMITS:
                raise BadInput(f"no limit {name!r}.{nearest(name, LIMITS)} Known: {', '.join(LIMITS)}")
        return cls(**given)

    def given(self) -> dict[str, float]:
        """What was said, by name, in the order of the fields."""
        named = ((name, getattr(self, name)) for name in LIMITS)
        return {name: amount for name, amount in named if amount is not None}


LIMITS: Final = tuple(f.name for f in fields(Limits))
MOST: Final = 2**63 - 1
"""What a JSON reader of the ledger takes for a whole number."""
_WHOLE: Final = frozenset({"tokens", "turns", *SHAPES})


def _check(name: str, amount: Any) -> None:
    if isinstance(amount, bool) or not isinstance(amount, int | float) or math.isnan(amount):
        raise BadInput(f"{name}={amount!r} is not a number")
    if amount < 0:
        raise BadInput(f"{name}={amount!r} is negative")
    if amount == 0 and name not in SHAPES:
        raise BadInput(
            f"{name}=0 could mean nothing at all or no limit. Say a small amount, or take the limit away"
        )
    if amount != NO_LIMIT and amount > MOST:
        raise BadInput(f"{name}={amount!r} is more than anybody uses. Take the limit away instead")
    if name in _WHOLE and amount != NO_LIMIT and amount != int(amount):
        raise BadInput(f"{name}={amount!r} is not a whole number")


# what was used, and what is set


@dataclass(frozen=True, slots=True)
class Used:
    """What an agent and all below it have used since its birth."""

    usd: float = 0.0
    tokens: int = 0
    turns: int = 0
    exact: bool = True
    """False when part of it has no known price: `usd` is a lower bound."""

    def __add__(self, other: Used) -> Used:
        return Used(
            self.usd + other.usd,
            self.tokens + other.tokens,
            self.turns + other.turns,
            self.exact and other.exact,
        )


_NOTHING: Final = Used()
_ONE_TURN: Final = Used(turns=1)


@dataclass(frozen=True, slots=True)
class Limit:
    """One limit that is set."""

    name: str
    amount: float
    by: str
    """`you`, an agent, or `settings`."""
    since: datetime
    carried: float = 0.0
    """What an earlier run used of it."""
    reached: bool = False
    """It is on record that all of it was used."""


@dataclass(frozen=True, slots=True)
class Standing:
    """One limit, and how much of it is used now."""

    holder: str
    """The agent on which it stands; `RUN` for the run."""
    limit: Limit
    used: float
    exact: bool = True
    """False: at least so much."""

    @property
    def name(self) -> str:
        return self.limit.name

    @property
    def left(self) -> float:
        """Never negative: what was used beyond the limit is not owed."""
        return max(0.0, self.limit.amount - self.used)

    @property
    def share(self) -> float:
        """Which part is used: 1 is all of it."""
        return self.used / self.limit.amount if self.limit.amount else 1.0

    @property
    def out(self) -> bool:
        """All of it is used."""
        return self.used >= self.limit.amount - _CENT_PARTS

    def __str__(self) -> str:
        """`1,203 of 1,000 tokens`, `≥ $1.20 of $5.00`."""
        most = spoken(self.name, self.limit.amount)
        used = spoken(self.name, self.used) if self.name in ("usd", "minutes") else number(self.used)
        return f"{'' if self.exact else '≥ '}{used} of {most}"


def spoken(name: str, amount: float) -> str:
    """`$5.00`, `1,000 tokens`, `30 min`, `12 s`, `1 turn`."""
    if name == "usd":
        return (
            f"${hundredths(amount) / 100:,.2f}"
            if amount >= 0.01 or not amount
            else f"${amount:.6f}".rstrip("0")
        )
    if name == "minutes" and amount < 1:
        return f"{amount * 60:.3g} s"
    units = {"minutes": "min", "max_depth": "levels below it", "max_children": "children", "turns": "turns"}
    unit = units.get(name, name)
    if amount == 1:
        unit = {"levels below it": "level below it", "children": "child"}.get(unit, unit.removesuffix("s"))
    return f"{number(amount)} {unit}"


def number(amount: float) -> str:
    """With at most one decimal, and none for whole numbers."""
    return f"{amount:,.0f}" if amount == int(amount) or amount >= 100 else f"{amount:,.1f}"


# the fold


class Budget(Fold):
    """All limits by the agent on which they stand, and what each agent and all below it have used.

    Sums are kept on the way up, so that a report costs as many steps as the tree has levels
    and reading costs next to nothing. A name that is spawned again begins with nothing used
    and no limits; for those above it, what its predecessor used stays used. Readable from
    any thread: values are replaced, never changed.
    """

    HEARS = frozenset({RunOpened, AgentSpawned, UsageReported, TurnStarted, BudgetSet, BudgetReached})

    def __init__(self) -> None:
        self.used: dict[str, Used] = {}
        self.limits: dict[str, dict[str, Limit]] = {}
        self._parents: dict[str, str | None] = {}
        self._replayed = False
        """What is heard comes from a recording, and costs nobody anything."""

    def take(self, entry: Entry) -> None:
        match event := entry.event:
            case RunOpened():
                self._replayed = event.mode == "replay"
            case AgentSpawned():
                self._parents[event.agent] = event.parent
                self.used[event.agent] = Used()
                self.limits.pop(event.agent, None)
            case UsageReported():
                usage = usage_of(event)
                self._use(event.agent, Used(usage.cost_usd, usage.tokens, 0, usage.exact))
            case TurnStarted():
                self._use(event.agent, _ONE_TURN)
            case BudgetSet():
                limit = Limit(event.limit, event.amount, event.by, entry.ts, event.carried)
                self._put(event.agent, limit)
            case BudgetReached():
                known = self.limits.get(event.agent, {}).get(event.limit)
                if known is not None:
                    self._put(event.agent, replace(known, reached=True))

    def _use(self, name: str, used: Used) -> None:
        if not self._replayed:
            for holder in self.chain(name):
                self.used[holder] = self.used.get(holder, _NOTHING) + used

    def _put(self, holder: str, limit: Limit) -> None:
        rest = {name: known for name, known in self.limits.get(holder, {}).items() if name != limit.name}
        if limit.amount != NO_LIMIT:
            rest[limit.name] = limit
        self.limits[holder] = rest

    # readings

    def chain(self, name: str) -> list[str]:
        """Whose limits hold for `name`: its own, those of all above it, and the run's."""
        if name == RUN:
            return [RUN]
        chain = [name]
        parent = self._parents.get(name)
        while parent is not None and parent not in chain:  # no line of a ledger may make this endless
            chain.append(parent)
            parent = self._parents.get(parent)
        return [*chain, RUN]

    def standings(self, holder: str, now: datetime) -> Iterator[Standing]:
        """How the limits that stand on `holder` itself are used; not those of its shape."""
        for limit in tuple(self.limits.get(holder, {}).values()):
            if limit.name not in SHAPES:
                yield self._standing(holder, limit, now)

    def above(self, name: str, now: datetime) -> Iterator[Standing]:
        """The same for every limit that holds for `name`, its own first."""
        if self.limits:
            for holder in self.chain(name):
                yield from self.standings(holder, now)

    def _standing(self, holder: str, limit: Limit, now: datetime) -> Standing:
        if limit.name == "minutes":
            passed = max(0.0, (now - limit.since).total_seconds() / 60)
            return Standing(holder, limit, limit.carried + passed)
        used = self.used.get(holder, _NOTHING)
        exact = used.exact or limit.name != "usd"
        return Standing(holder, limit, limit.carried + getattr(used, limit.name), exact)

    def spent(self, holder: str, name: str, now: datetime) -> float:
        """What counts towards such a limit on `holder`, whether one is set or not; minutes: from now on."""
        known = self.limits.get(holder, {}).get(name)
        return self._standing(holder, known or Limit(name, NO_LIMIT, "", now), now).used

    def holding(self, name: str, now: datetime) -> Standing | None:
        """The limit that keeps `name` from taking turns, if there is one.

        Time is over when that is on record: so what is live and what is replayed agree.
        """
        for standing in self.above(name, now):
            if standing.limit.reached or (standing.out and standing.name != "minutes"):
                return standing
        return None

    def left(self, name: str, what: str, now: datetime) -> float:
        """How much `name` may still use; infinite when nothing limits it."""
        return min((each.left for each in self.above(name, now) if each.name == what), default=NO_LIMIT)

    def tightest(self, name: str, now: datetime) -> Standing | None:
        """The limit that will hold `name` first, as far as one can see."""
        return max(self.above(name, now), key=lambda each: each.share, default=None)

    # the tree's shape

    def depth_limit(self, parent: str | None) -> tuple[str, float] | None:
        """The holder and the levels that a child of `parent` would exceed, if it would."""
        chain = [RUN] if parent is None else self.chain(parent)
        for levels, holder in enumerate(chain, start=1):
            limit = self.limits.get(holder, {}).get("max_depth")
            if limit is not None and levels > limit.amount:
                return holder, limit.amount
        return None

    def most_children(self, parent: str) -> float:
        """How many living children `parent` may have."""
        for holder in (parent, RUN):
            if (limit := self.limits.get(holder, {}).get("max_children")) is not None:
                return limit.amount
        return NO_LIMIT


def remark(budget: Budget, name: str, now: datetime) -> str:
    """What one who looks at `name` should know: a limit that holds it, or soon will; else nothing."""
    standing = budget.holding(name, now) or budget.tightest(name, now)
    if standing is None or (standing.share < WARN_AT and not standing.limit.reached):
        return ""
    if standing.limit.reached or standing.out:
        return reached(standing, name)
    return f"{hundredths(standing.share)}% of a limit: {standing}{_whose(standing, name)}"


def reached(standing: Standing, name: str) -> str:
    """`limit reached: $2.01 of $2.00 (lead)`, as it is told of `name`."""
    return f"limit reached: {standing}{_whose(standing, name)}"


def _whose(standing: Standing, name: str) -> str:
    return "" if standing.holder == name else f" ({standing.holder or 'the run'})"
