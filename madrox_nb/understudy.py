"""Understudies: rehearsals that stand in for agent CLIs, for scripts that name those.

    understudies("claude", "codex", cues={"Spawn two children": "/spawn api\\n/spawn web"})

From then on, in this process, whoever is spawned as `claude` or `codex` is a real process
that makes real MCP calls, and in which no model thinks; it says so in its answers. A
prompt that holds the words of a cue does what the cue says, in the directives of
`rehearse/directives.py`: what a model would have decided by itself is written down beforehand.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any, ClassVar

from .events import UsageReported
from .harness import Launch
from .harness.rehearsal import Rehearsal
from .library import Harnesses, lend


class Understudy(Rehearsal):
    """A rehearsal under the name of another CLI, which takes that one's options and heeds none."""

    cues: ClassVar[Mapping[str, str]] = {}

    def launch(self) -> Launch:
        # never the CLI itself, though MADROX_CLAUDE_BIN or the configuration points at it
        return replace(super().launch(), argv=(*Rehearsal.command(), *self.brief.extra_args))

    def prompt(self, turn: str, text: str) -> Iterable[str]:
        heard = [does for words, does in self.cues.items() if words in text]
        return super().prompt(turn, "\n".join([*heard, text]))

    def _usage(self, given: int, made: int) -> UsageReported:
        counted = super()._usage(given, made)
        return replace(counted, model=Rehearsal.name, cost_source=Rehearsal.name)


def understudies(*names: str, cues: Mapping[str, str] | None = None) -> None:
    """Let rehearsals stand in for these harnesses, in this process, from the next spawn on.

    Raises `UnknownHarness` for a name that is none.
    """
    known = Harnesses()
    for name in names:
        original: Any = known[name]
        lend(
            type(
                "Understudy",
                (Understudy,),
                {"name": name, "options": original.options, "cues": dict(cues or {})},
            )
        )
