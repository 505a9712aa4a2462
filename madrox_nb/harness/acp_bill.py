"""What ACP agents count and charge. Most bill a whole session; Gemini has a count of its own."""

from __future__ import annotations

from ..events import NAN
from .json_lines import Json

FIGURES = {
    "input_tokens": "inputTokens",
    "output_tokens": "outputTokens",
    "cache_read_tokens": "cachedReadTokens",
    "cache_write_tokens": "cachedWriteTokens",
}


def count_of(usage: Json) -> dict[str, int]:
    return {ours: usage.get(theirs) or 0 for ours, theirs in FIGURES.items()}


def quota(result: Json) -> list[tuple[str | None, dict[str, int]]]:
    """Gemini's own way to count: per model, input with what was cached."""
    quota = (result.get("_meta") or {}).get("quota") or {}
    used = []
    for each in quota.get("model_usage") or ():
        count = each.get("token_count") or {}
        figures = {f"{way}_tokens": int(count.get(f"{way}_tokens") or 0) for way in ("input", "output")}
        used.append((each.get("model"), {name: n for name, n in figures.items() if n}))
    return used


class Bill:
    """What a session has cost, in US dollars: it only grows, so each turn's part is a difference."""

    def __init__(self, *, begins: bool) -> None:
        """A session that `begins` has cost nothing yet; what an older one had cost is not known."""
        self._paid: float | None = 0.0 if begins else None
        """When the last turn ended; None when that is not known."""
        self._now: float | None = None
        """By the agent's last word."""

    def told(self, cost: Json, *, between: bool) -> None:
        """The agent says what the session has cost; `between` turns, that is what it had cost before."""
        self._now = float(cost["amount"]) if cost.get("currency") == "USD" else None
        if self._paid is None and between:
            self._paid = self._now

    def of_turn(self) -> tuple[float, str]:
        """What the turn that ends has cost, and who says so."""
        before, self._paid = self._paid, self._now if self._now is not None else self._paid
        if before is None or self._now is None or self._now < before:
            return NAN, "unknown"
        return self._now - before, "cli"
