"""What was spent, when and by whom: a course over time, and a table of now."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import ClassVar, Final

from .. import views
from ..budget import RUN
from ..figures import percent
from ..views import Row
from . import Data, Part, table
from .moment import Moment
from .rows import picture

_HEADS: Final = ("agent", "own $", "subtree $", "limit", "tokens", "price from")
SOURCES: Final = {
    "cli": "cli",
    "user": "your price",
    "genai-prices": "price table",
    "rehearsal": "rehearsal",
    "unknown": "no price",
}
"""Where the price of a report comes from, as it is told."""


class Costs(Part):
    name: ClassVar[str] = "costs"
    title: ClassVar[str] = "Costs"
    keyed: ClassVar[dict[str, str]] = {"spenders": "id", "bins": "id", "sources": "agent"}

    def look(self, moment: Moment, subject: str) -> Data:
        history = moment.cost_history
        spenders = tuple(history.spenders.items())
        axis, bins = history.bins.read()
        return {
            "first": axis.first,
            "width": axis.width,
            "spenders": [
                {"id": f"s{number}", "agent": agent, "model": model} for (agent, model), number in spenders
            ],
            "bins": [
                {"id": f"b{at}", "spent": {f"s{who}": usd for who, usd in tuple(spent.items())}}
                for at, spent in enumerate(bins)
            ],
            "sources": [{"agent": agent, "from": told} for agent, told in _sources(moment).items()],
            "over": moment.density.now if moment.tree.closed else None,
        }

    def plain(self, moment: Moment, subject: str) -> str:
        return f"{moment.title}: Costs\n" + table.plain(_HEADS, _lines(moment), range(1, 5))

    def html(self, moment: Moment, subject: str) -> str:
        title = f'<p style="margin:0 0 8px"><b>{views.safe(moment.title)}</b>: Costs</p>'
        return title + table.html(_HEADS, _lines(moment), range(1, 5))


def _sources(moment: Moment) -> dict[str, str]:
    """Agent → where its prices come from."""
    found: dict[str, dict[str, None]] = {}
    for agent, _, source in tuple(moment.costs.bills):
        found.setdefault(agent, {})[SOURCES.get(source, source)] = None
    return {agent: ", ".join(sources) for agent, sources in found.items()}


def _lines(moment: Moment) -> Iterable[tuple[str, ...]]:
    """A line for each agent, and one for the run."""
    rows = picture(moment).rows
    sources, parents = _sources(moment), {row.parent for row in rows}
    for row in rows:
        yield (
            "  " * row.depth + views.one_line(row.name),
            views.own(row),
            views.money(row.subtree_usd, row.subtree_exact) if row.name in parents else views.NOTHING,
            _used(row.limit_used, row.limit_usd),
            f"{row.tokens:,}" if row.tokens else views.NOTHING,
            sources.get(row.name, views.NOTHING),
        )
    yield _total(moment, rows)


def _total(moment: Moment, rows: tuple[Row, ...]) -> tuple[str, ...]:
    total = moment.costs.total()
    limit = next((s for s in moment.budget.standings(RUN, moment.now) if s.name == "usd"), None)
    tokens = sum(row.tokens for row in rows)
    return (
        "run",
        "",
        views.money(total.cost_usd, total.exact) if tokens or total.cost_usd else views.NOTHING,
        _used(limit.used, limit.limit.amount) if limit else views.NOTHING,
        f"{tokens:,}" if tokens else views.NOTHING,
        "",
    )


def _used(used: float, limit: float | None) -> str:
    """`63 % of 10`, or nothing where there is no limit."""
    if not limit or not math.isfinite(limit):
        return views.NOTHING
    return f"{percent(used / limit)} of {limit:g}"
