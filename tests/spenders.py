"""Rehearsal agents that cost something, or hide what they cost, and what limits do to them.

`/usage 70 30` reports 100 tokens.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from madrox_nb import library
from madrox_nb.events import NAN, Entry, Event, Notice, UsageReported
from madrox_nb.harness import Features
from madrox_nb.harness.rehearsal import Rehearsal
from madrox_nb.manager import Manager

ENDLESS = "/usage 70 50\n/hang"


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


def events_of(m: Manager, kind: type[Event], agent: str) -> list[Any]:
    return [e.event for e in m.ledger if isinstance(e.event, kind) and e.event.agent == agent]


def happens(kind: type[Event], agent: str) -> Callable[[Entry], bool]:
    return lambda entry: isinstance(entry.event, kind) and entry.event.agent == agent


def notices(m: Manager) -> list[str]:
    """What watchers will have been told, one line each."""
    told: list[str] = []
    m.watch(lambda s: told.append(f"{s.agent}: {s.text}") if isinstance(s, Notice) else None)
    return told


async def idle(m: Manager, name: str) -> None:
    async with asyncio.timeout(60):
        while m.tree[name].state != "idle":
            await m.mail.change()
