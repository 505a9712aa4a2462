"""Frames of what follows from the ledger: agents, turns, messages, tools, approvals, costs, limits."""

from __future__ import annotations

import logging
import re
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import pandas as pd

from ..budget import LIMITS, NO_LIMIT, SHAPES, Budget
from ..events import KINDS, NAN, AgentSpawned, Entry, TurnStarted, UsageReported
from ..fold import by_kind
from ..folds import Approvals, Costs, Inboxes, Usage, usage_of
from ..tree import QUIET, Tree
from ..turns import ToolUses, Turns
from .columns import (
    AGENTS,
    APPROVALS,
    COSTS,
    LIMITS_SET,
    MESSAGES,
    SPENDING,
    TOKENS,
    TOOLS,
    TURNS,
    WHOLE_RUN,
    Table,
    frame,
)
from .gained import Follower

_KIND: Final = re.compile(rb'"kind":"([\w.]*)"')

log = logging.getLogger(__name__)


class Folded:
    """The folds of some files, which are kept up as these grow. Not thread-safe."""

    def __init__(self) -> None:
        self.follower = Follower()
        self.tree, self.inboxes, self.costs, self.budget = Tree(), Inboxes(), Costs(), Budget()
        self.turns, self.tools, self.approvals = Turns(), ToolUses(), Approvals()
        self._spawned: dict[str, datetime] = {}
        self._handed: dict[str, str] = {}
        self._spent: list[dict[str, Any]] = []
        folds = (self.inboxes, self.costs, self.approvals, self.budget, self.turns, self.tools)
        self._hearers = by_kind(
            (Tree.HEARS - QUIET, self.tree.apply),
            *((fold.HEARS, fold.take) for fold in folds),
            (frozenset({AgentSpawned, TurnStarted, UsageReported}), self._remember),
        )

    def read(self, paths: Iterable[Path]) -> None:
        """Fold in what the files have gained. One that is broken off has spoilt it."""
        for gained in self.follower.gained(paths):
            for line in gained.lines.split(b"\n")[:-1]:
                if not self._concerns(line):
                    continue
                try:
                    entry = Entry.from_line(line)
                except ValueError as exc:
                    said = "%s: a line after byte %d is no entry (%s); skipped"
                    log.warning(said, gained.path, gained.start, exc)
                else:
                    for hear in self._hearers[type(entry.event)]:
                        hear(entry)

    def _concerns(self, line: bytes) -> bool:
        """Whether anybody here wants to hear it. What is of no known kind is no entry, or says so."""
        kind = _KIND.search(line)
        known = KINDS.get(kind[1].decode()) if kind else None
        return known is None or bool(self._hearers[known])

    def _remember(self, entry: Entry) -> None:
        event = entry.event
        if isinstance(event, AgentSpawned):
            self._spawned[event.agent] = entry.ts
        elif isinstance(event, TurnStarted):
            self._handed.update(dict.fromkeys(event.messages, event.turn))
        elif isinstance(event, UsageReported):
            self._spent.append(self._report(entry, event))

    def _report(self, entry: Entry, event: UsageReported) -> dict[str, Any]:
        agent = self.tree.agents.get(event.agent)
        above = self.tree.above(event.agent) if agent else []
        return {
            "seq": entry.seq,
            "ts": entry.ts,
            "agent": event.agent,
            "path": "/".join((*reversed(above), event.agent)),
            "turn": event.turn,
            "role": agent.role if agent else None,
            "harness": agent.harness if agent else None,
            "model": event.model or (agent.model if agent else None),
            **_used(usage_of(event), some=True),
        }

    # frames

    def agents_frame(self, full: bool) -> pd.DataFrame:
        return _frame(
            AGENTS,
            full,
            (_said(AGENTS, a) | {"agent": a.name, "spawned": self._spawned[a.name]} for a in self.tree),
        )

    def turns_frame(self, full: bool) -> pd.DataFrame:
        rows = (_said(TURNS, t) | {"turn": t.id} | _used(t.usage, some=True) for t in self.turns)
        return _frame(TURNS, full, rows)

    def messages_frame(self, full: bool) -> pd.DataFrame:
        rows = (
            _said(MESSAGES, m) | {"message": m.id, "agent": m.to, "turn": self._handed.get(m.id)}
            for m in self.inboxes.messages.values()
        )
        return _frame(MESSAGES, full, rows)

    def tools_frame(self, full: bool) -> pd.DataFrame:
        return _frame(TOOLS, full, (_said(TOOLS, use) for use in self.tools))

    def approvals_frame(self, full: bool) -> pd.DataFrame:
        rows = (_said(APPROVALS, each) | {"approval": each.id} for each in self.approvals)
        return _frame(APPROVALS, full, rows)

    def costs_frame(self, full: bool) -> pd.DataFrame:
        now, sums, unknown = datetime.now(UTC), self.costs.subtrees(self.tree), self._unknown()
        rows = (
            _said(COSTS, agent)
            | {"agent": agent.name}
            | _used(self.costs.of(agent.name), some=agent.turns > 0)
            | {
                "subtree_tokens": sums[agent.name].tokens,
                "subtree_usd": sums[agent.name].cost_usd,
                "subtree_exact": sums[agent.name].exact and agent.name not in unknown,
            }
            | (_limits(self.budget, agent.name, now) if full else {})
            for agent in self.tree
        )
        return self._marked(_frame(COSTS, full, rows))

    def spending_frame(self, full: bool) -> pd.DataFrame:
        return self._marked(_frame(SPENDING, full, self._spent))

    def limits_frame(self, names: tuple[str, ...]) -> pd.DataFrame:
        now, holders = datetime.now(UTC), names or tuple(self.budget.limits)
        rows = (row for holder in holders for row in _standings(self.budget, holder, now))
        return _frame(LIMITS_SET, False, rows)

    def _unknown(self) -> set[str]:
        """Agents of which, or below which, somebody's turns were never counted."""
        silent = {a.name for a in self.tree if a.turns and not self.costs.of(a.name).sources}
        return silent | {above for name in silent for above in self.tree.above(name)}

    def _marked(self, costs: pd.DataFrame) -> pd.DataFrame:
        """With the limits in its `attrs`, so that a plot can draw them."""
        costs.attrs["limits"] = {
            name: {
                holder or WHOLE_RUN: limits[name].amount
                for holder, limits in self.budget.limits.items()
                if name in limits
            }
            for name in ("usd", "tokens")
        }
        return costs


def _frame(table: Table, full: bool, rows: Iterable[dict[str, Any]]) -> pd.DataFrame:
    return frame(table.columns(full), rows)


def _said(table: Table, thing: object) -> dict[str, Any]:
    """What `thing` says itself of a table's columns."""
    return {name: getattr(thing, name, None) for name in table.columns(full=True)}


def _used(usage: Usage, *, some: bool) -> dict[str, Any]:
    """What was used. `some`: there was something to count, so that none counted is unknown and not zero."""
    priced = bool(usage.sources) or not some
    counted = usage.tokens > 0 or (priced and usage.exact)
    return {
        "tokens": usage.tokens if counted else None,
        **{name: getattr(usage, name) if counted else None for name in TOKENS},
        "cost_usd": usage.known_usd if priced else NAN,
        "cost_source": ", ".join(usage.sources) or None,
    }


def _limits(budget: Budget, name: str, now: datetime) -> dict[str, Any]:
    """What `costs` says of limits. No limit is a missing amount."""
    own, holding = budget.limits.get(name, {}), budget.holding(name, now)
    left = {what: budget.left(name, what, now) for what in LIMITS if what not in SHAPES}
    return {
        **{f"limit_{what}": own[what].amount for what in left if what in own},
        **{f"left_{what}": amount for what, amount in left.items() if amount != NO_LIMIT},
        "limit_reached": f"{holding.holder or WHOLE_RUN}: {holding}" if holding else None,
    }


def _standings(budget: Budget, holder: str, now: datetime) -> Iterator[dict[str, Any]]:
    used = {standing.name: standing for standing in budget.standings(holder, now)}
    for name, limit in budget.limits.get(holder, {}).items():
        standing = used.get(name)
        yield {
            "agent": holder or WHOLE_RUN,
            "limit": name,
            "amount": limit.amount,
            "used": standing.used if standing else NAN,
            "left": standing.left if standing else NAN,
            "exact": standing.exact if standing else True,
            "reached": limit.reached,
            "by": limit.by,
            "since": limit.since,
        }
