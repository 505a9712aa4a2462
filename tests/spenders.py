"""Rehearsal agents that cost something, or hide what they cost. `/usage 70 30` reports 100 tokens."""

from __future__ import annotations

from dataclasses import replace

from madrox_nb import library
from madrox_nb.events import NAN, UsageReported
from madrox_nb.harness import Features
from madrox_nb.harness.rehearsal import Rehearsal


@library.lend
class Costly(Rehearsal):
    """A CLI that says what it costs: a dollar for a thousand tokens."""

    name = "costly"

    def _usage(self, given: int, made: int) -> UsageReported:
        return replace(super()._usage(given, made), cost_usd=(given + made) / 1000, cost_source="cli")


@library.lend
class Unlisted(Rehearsal):
    """A CLI of a model that no list of prices has."""

    name = "unlisted"

    def _usage(self, given: int, made: int) -> UsageReported:
        return replace(
            super()._usage(given, made), cost_usd=NAN, cost_source="unknown", model="no-such-model-9"
        )


@library.lend
class Uncounted(Rehearsal):
    """A program that says nothing of tokens."""

    name = "uncounted"
    features = replace(Rehearsal.features, usage=False, cost=False)

    def _usage(self, given: int, made: int) -> UsageReported:
        return UsageReported(agent=self.brief.agent, turn=self.turn)


@library.lend
class Unstoppable(Rehearsal):
    """A CLI whose turns can't be ended early, and that reports in the middle of them."""

    name = "unstoppable"
    features = Features(structured=True, usage=True)
