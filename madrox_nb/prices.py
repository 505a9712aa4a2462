"""Usage → money, with its source. Unknown is NaN, never 0 and never a guess.

Order of truth: the CLI's own figure, the user's price, `genai-prices`, unknown.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace

from .events import NAN, UsageReported


@dataclass(frozen=True)
class Price:
    """US dollars per million tokens, as a user states them."""

    input: float
    output: float
    cache_read: float | None = None
    cache_write: float | None = None

    def cost(self, usage: UsageReported) -> float:
        read = self.input if self.cache_read is None else self.cache_read
        write = self.input if self.cache_write is None else self.cache_write
        return (
            usage.input_tokens * self.input
            + usage.output_tokens * self.output
            + usage.cache_read_tokens * read
            + usage.cache_write_tokens * write
        ) / 1e6


def priced(usage: UsageReported, model: str | None, prices: Mapping[str, Price]) -> UsageReported:
    """`usage` with a cost when one is known. A figure of the CLI's own is left alone.

    So is a report without a single token: it says that nobody counted, not that it was free.
    """
    if not math.isnan(usage.cost_usd) or not _counted(usage):
        return usage
    model = usage.model or model
    if model is None:
        return usage
    if (price := prices.get(model)) is not None:
        return replace(usage, model=model, cost_usd=price.cost(usage), cost_source="user")
    cost, source = _listed(usage, model)
    return replace(usage, model=model, cost_usd=cost, cost_source=source)


def _counted(usage: UsageReported) -> bool:
    return any((usage.input_tokens, usage.output_tokens, usage.cache_read_tokens, usage.cache_write_tokens))


def preload() -> None:
    """Import the price list, 0.3 s: in a thread, before a price is asked for on the manager's loop."""
    import genai_prices  # noqa: F401 - to have it loaded is all


VENDORS: Mapping[str, str] = {"claude": "anthropic", "codex": "openai", "gemini": "google"}
"""Whose models a CLI runs."""


def models(harness: str = "") -> list[str]:
    """The models that the price list has of that CLI's vendor, or of all of these. Takes 0.3 s once."""
    from genai_prices.data import providers

    wanted = {VENDORS.get(harness)} if harness else {*VENDORS.values()}
    return [model.id for provider in providers if provider.id in wanted for model in provider.models]


def _listed(usage: UsageReported, model: str) -> tuple[float, str]:
    from genai_prices import Usage, calc_price  # 0.2 s of import: only when a price is asked for

    try:
        spent = Usage(
            # its input counts the cached tokens in; ours doesn't
            input_tokens=usage.input_tokens + usage.cache_read_tokens + usage.cache_write_tokens,
            output_tokens=usage.output_tokens,
            cache_read_tokens=usage.cache_read_tokens,
            cache_write_tokens=usage.cache_write_tokens,
        )
        found = calc_price(spent, model_ref=model.partition("[")[0])
    except (LookupError, ValueError):  # no such model; counts that can't be
        return NAN, "unknown"
    if found.model_price.input_mtok is None and found.model_price.output_mtok is None:
        return NAN, "unknown"  # listed without a price for tokens: its 0 means nothing
    return float(found.total_price), "genai-prices"
