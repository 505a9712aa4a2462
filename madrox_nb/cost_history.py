"""What was spent when, by each agent with each model. Pure, a fold of the ledger.

`folds.Costs` has the sums of now; this has how they came about, in bins of time like
`density`, so that it is bounded however long a run goes on.
"""

from __future__ import annotations

import math
from typing import Final

from .density import Binned
from .events import Entry, UsageReported
from .fold import Fold

BINS: Final = 240
SPENDERS: Final = 400
"""Pairs of agent and model that are told apart, the first ones; what the others spend is one sum."""
OTHERS: Final = ("", "")

Spender = tuple[str, str]
"""Agent and model; the model is empty when nobody said it."""


def _both(a: dict[int, float], b: dict[int, float]) -> dict[int, float]:
    return {spender: a.get(spender, 0.0) + b.get(spender, 0.0) for spender in {**a, **b}}


class CostHistory(Fold):
    """In each bin of time: the number of a spender → US dollars that it spent then, as far as known."""

    HEARS = frozenset({UsageReported})

    def __init__(self) -> None:
        self.bins: Binned[dict[int, float]] = Binned(dict, _both, BINS)
        self.spenders: dict[Spender, int] = {}
        """Who spent → its number."""
        self._now = 0.0

    def take(self, entry: Entry) -> None:
        event = entry.event
        assert isinstance(event, UsageReported)
        if math.isnan(event.cost_usd) or not event.cost_usd:
            return
        self._now = max(self._now, entry.ts.timestamp())
        number = self._number((event.agent, event.model or ""))
        spent = self.bins.at(self._now)
        spent[number] = spent.get(number, 0.0) + event.cost_usd

    def _number(self, spender: Spender) -> int:
        if (known := self.spenders.get(spender)) is not None:
            return known
        if len(self.spenders) >= SPENDERS:
            spender = OTHERS
        return self.spenders.setdefault(spender, len(self.spenders))
