"""What a model says that leads a team by its plan: each call follows from the results of those before.

The plan is read and carried out by what rehearsal agents lead with (`madrox_nb.rehearse.lead`).
"""

from __future__ import annotations

from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any

from madrox_nb.rehearse.lead import carry_out


class _NextCall(Exception):
    """The result of this call is not known yet."""

    def __init__(self, tool: str, given: dict[str, Any]) -> None:
        self.tool, self.given = tool, given


class _Turn:
    """Stands for a turn in which the calls have the results that are known."""

    def __init__(self, results: Sequence[str]) -> None:
        self._results = iter(results)
        self.said: list[str] = []

    def call(self, tool: str, **given: Any) -> SimpleNamespace:
        if (text := next(self._results, None)) is None:
            raise _NextCall(tool, given)
        return SimpleNamespace(ok=True, text=text, structured={})

    def say(self, text: str) -> None:
        self.said.append(text)


def next_step(plan: str, results: Sequence[str]) -> tuple[str, dict[str, Any]] | str:
    """The call (tool, arguments) that comes after these results, or the last words."""
    turn: Any = _Turn(results)
    try:
        carry_out(turn, plan)
    except _NextCall as wanted:
        return wanted.tool, wanted.given
    return "\n".join(turn.said)
