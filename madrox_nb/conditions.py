"""Whether a phase of a team runs: a small grammar over what earlier phases came to. Pure.

    review contains "REJECT"
    tests failed and not plan.lead contains "stop here"

    condition  =  all { "or" all }
    all        =  one { "and" one }
    one        =  [ "not" ] PHASE[.AGENT] ( "contains" "TEXT" | "ok" | "failed" | "skipped" )

Capitals count in a TEXT. Nothing here is evaluated by Python: what isn't in the grammar is refused.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from .errors import BadInput, nearest

STATES: Final = ("ok", "failed", "skipped")
VERBS: Final = ("contains", *STATES)
_TOKEN: Final = re.compile(r"\s*(?:(\"[^\"]*\"|'[^']*')|([\w.-]+)|(\S))")

Known = Callable[[str, str], tuple[str, str]]
"""(phase, agent or "") → (one of `STATES`, what was said)."""


@dataclass(frozen=True)
class Clause:
    """One look at one result."""

    phase: str
    agent: str
    """A member or an agent of that phase; empty for all of it."""
    verb: str
    text: str = ""
    negated: bool = False

    def holds(self, known: Known) -> bool:
        state, said = known(self.phase, self.agent)
        found = self.text in said if self.verb == "contains" else state == self.verb
        return found != self.negated


@dataclass(frozen=True)
class Condition:
    """`written`, read: it holds when all clauses of one of the `alternatives` do."""

    written: str
    alternatives: tuple[tuple[Clause, ...], ...]

    @property
    def clauses(self) -> tuple[Clause, ...]:
        return tuple(clause for each in self.alternatives for clause in each)

    def holds(self, known: Known) -> bool:
        return any(all(clause.holds(known) for clause in each) for each in self.alternatives)


def condition(written: str) -> Condition:
    """Raises `BadInput` that shows where the grammar is left."""
    if not isinstance(written, str) or not written.strip():
        raise BadInput(
            f'{written!r} is no condition. Write it as: review contains "REJECT", or: tests failed'
        )
    return Condition(" ".join(written.split()), tuple(_Reader(written).read()))


class _Reader:
    """Reads one condition from left to right."""

    def __init__(self, written: str) -> None:
        self.written = written
        self.words = [match.groups() for match in _TOKEN.finditer(written.rstrip())]
        self.at = 0

    def read(self) -> list[tuple[Clause, ...]]:
        found = [self.all()]
        while self.took("or"):
            found.append(self.all())
        if self.at < len(self.words):
            raise self.wrong("'and' or 'or'")
        return found

    def all(self) -> tuple[Clause, ...]:
        found = [self.one()]
        while self.took("and"):
            found.append(self.one())
        return tuple(found)

    def one(self) -> Clause:
        negated = self.took("not")
        phase, _, agent = self.word("a phase, such as review or review.lead").partition(".")
        at, verb = self.at, self.word(f"one of {', '.join(VERBS)}")
        if verb not in VERBS:
            self.at = at
            raise self.wrong(f"one of {', '.join(VERBS)}", nearest(verb, VERBS))
        return Clause(phase, agent, verb, self.text() if verb == "contains" else "", negated)

    def took(self, word: str) -> bool:
        if self.at < len(self.words) and self.words[self.at][1] == word:
            self.at += 1
            return True
        return False

    def word(self, expected: str) -> str:
        if self.at >= len(self.words) or not self.words[self.at][1]:
            raise self.wrong(expected)
        self.at += 1
        return str(self.words[self.at - 1][1])

    def text(self) -> str:
        if self.at >= len(self.words) or not (quoted := self.words[self.at][0]):
            raise self.wrong('a text in quotes, such as "REJECT"')
        if not quoted[1:-1]:
            raise self.wrong("a text that is not empty")
        self.at += 1
        return str(quoted[1:-1])

    def wrong(self, expected: str, hint: str = "") -> BadInput:
        there = next(filter(None, self.words[self.at]), "") if self.at < len(self.words) else "the end"
        return BadInput(
            f"the condition {self.written.strip()!r}: {expected} should stand where {there} is.{hint}"
        )
