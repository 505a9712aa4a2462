"""The agents: who there is, what each does, what it cost. The part that every view begins with."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime
from operator import attrgetter
from typing import Any, ClassVar, Final

from .. import views
from ..budget import RUN, WARN_AT, Standing, reached, spoken
from ..figures import percent
from ..folds import Usage
from ..spans import SILENT
from ..tree import WORKING, Agent, spawn_line
from ..views import EARLIER, FIRST_LINES, Picture, Row, in_short
from . import Data, Part
from .moment import Moment
from .offered import offered


class Rows(Part):
    name: ClassVar[str] = "rows"
    title: ClassVar[str] = "Agents"
    keyed: ClassVar[dict[str, str]] = {"rows": "name"}

    def look(self, moment: Moment, subject: str) -> Data:
        shown = picture(moment)
        usd = next((s for s in moment.budget.standings(RUN, moment.now) if s.name == "usd"), None)
        return {
            "title": shown.title,
            "rows": [wire(row) for row in shown.rows],
            "lines": [] if shown.rows else shown.lines,
            "limit_usd": usd.limit.amount if usd else None,
            "opened": _opened(moment),
            "closed": moment.tree.closed,
        }

    def again(self, moment: Moment, subject: str, before: Data, names: frozenset[str]) -> Data:
        """What happens to an agent shows in its own row, and what it spends in those above it.

        Births and limits can show anywhere.
        """
        known = {row["name"]: row for row in before["rows"]}
        if len(known) != len(moment.tree) or moment.budget.limits or moment.tree.closed:
            return self.look(moment, subject)
        changed = {name: moment.tree[name] for name in names & known.keys()}
        if any(agent.parent != known[name]["parent"] for name, agent in changed.items()):
            return self.look(moment, subject)
        sums = _sums(moment, known, changed)
        above = {name for name, old in known.items() if name in sums and _differ(sums[name], old)}
        fresh = {}
        for name in changed.keys() | above:
            old = known[name]
            below = sums.get(name) or Usage(cost_usd=old["subtree_usd"], exact=old["subtree_exact"])
            fresh[name] = wire(row(moment, moment.tree[name], old["depth"], below))
        return {**before, "rows": [fresh.get(name, old) for name, old in known.items()]}

    def plain(self, moment: Moment, subject: str) -> str:
        return views.plain(picture(moment))

    def html(self, moment: Moment, subject: str) -> str:
        return views.html(picture(moment))


def _sums(moment: Moment, known: Mapping[str, Data], changed: Iterable[str]) -> dict[str, Usage]:
    """What everybody's subtree used, if one of these has used something; else nothing."""
    spent = any(_spent(moment.costs.of(name), known[name]) for name in changed)
    return moment.costs.subtrees(moment.tree) if spent else {}


def _spent(used: Usage, row: Data) -> bool:
    return used.tokens != row["tokens"] or (used.exact and used.cost_usd != row["own_usd"])


def _differ(below: Usage, row: Data) -> bool:
    return (below.cost_usd, below.exact) != (row["subtree_usd"], row["subtree_exact"])


def picture(moment: Moment) -> Picture:
    """One look at a run."""
    sums = moment.costs.subtrees(moment.tree)
    rows = (row(moment, agent, depth, sums.get(agent.name, Usage())) for depth, agent in moment.tree.walk())
    return Picture(moment.title, tuple(rows), (*FIRST_LINES, EARLIER) if moment.earlier else FIRST_LINES)


def row(moment: Moment, agent: Agent, depth: int, below: Usage) -> Row:
    """One agent as it is shown; `below` is what it and its subtree used."""
    own = moment.costs.of(agent.name)
    limits = list(moment.budget.standings(agent.name, moment.now))
    usd = next((s for s in limits if s.name == "usd"), None)
    holding = moment.budget.holding(agent.name, moment.now) if agent.alive else None
    silent = _silent(moment, agent)
    return Row(
        name=agent.name,
        parent=agent.parent,
        depth=depth,
        state=agent.state,
        stalled=silent is not None,
        role=agent.role,
        harness=agent.harness,
        model=agent.model,
        permissions=agent.permissions,
        now=moment.doing.now(agent) or (reached(holding, agent.name) if holding else ""),
        queued=moment.inboxes.queued(agent.name),
        unread=len(moment.inboxes.unread(agent.name)),
        own_usd=own.known_usd,
        subtree_usd=below.cost_usd,
        subtree_exact=below.exact,
        tokens=own.tokens,
        reason=agent.reason,
        held=agent.state not in WORKING and holding is not None,
        since=(silent or agent.since).timestamp(),
        limit_usd=usd.limit.amount if usd else None,
        limit_used=usd.used if usd else 0.0,
        again=spawn_line(agent) if agent.state == "failed" else "",
        short=in_short(agent.reason),
        nearly=_nearly(limits),
        can=offered(moment.tree, agent, moment.harnesses),
    )


def _nearly(limits: list[Standing]) -> str:
    """How much of its tightest limit is used, once that is worth telling."""
    tightest = max(limits, key=lambda each: each.share, default=None)
    if tightest is None or tightest.share < WARN_AT:
        return ""
    return f"{percent(tightest.share)} of {spoken(tightest.name, tightest.limit.amount)}"


def _silent(moment: Moment, agent: Agent) -> datetime | None:
    """Since when a busy agent has said and done nothing, when that is long."""
    work = moment.activity.work.get(agent.name)
    if work is None or agent.state != "busy" or moment.doing.speaking.get(agent.name):
        return None
    return work.active if (moment.now - work.active).total_seconds() >= SILENT else None


def wire(row: Row) -> dict[str, Any]:
    """A row as it travels. JSON has no NaN, so unknown money is null."""
    return {
        name: None if value != value else value for name, value in zip(_FIELDS, _values(row), strict=True)
    }


_FIELDS: Final = tuple(Row.__slots__)
_values: Final = attrgetter(*_FIELDS)


def _opened(moment: Moment) -> float | None:
    """When the first agent was born: from then on the run's time is told."""
    return min((work.born.timestamp() for work in tuple(moment.activity.work.values())), default=None)
