"""Suspends agents that have had nothing to do for long: their processes cost memory."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from datetime import datetime
from typing import Any, Final, Protocol

from .events import AgentReady, Entry, TurnEnded
from .harness import Features
from .tree import Agent, Tree


class Desk(Protocol):
    """What idleness needs of the manager."""

    tree: Tree

    def features(self, name: str) -> Features: ...

    def unquiet(self, names: tuple[str, ...] = ()) -> list[Agent]: ...

    def soon(self, verb: Coroutine[Any, Any, object]) -> None: ...

    async def suspend(self, name: str, reason: str = "") -> Agent: ...


class Idleness:
    """Looks after each idle agent when it may have been idle for long enough.

    A turn, however long, is no idleness, and neither is a message that waits for it. One
    timer an agent: a turn in between does not touch it, and it looks again later.
    """

    HEARS: Final = frozenset({AgentReady, TurnEnded})

    def __init__(self, desk: Desk, timeout: float, clock: Callable[[], datetime]) -> None:
        """`timeout` in seconds; 0 never suspends anybody."""
        self._desk, self._timeout, self._clock = desk, timeout, clock
        self._timers: dict[str, asyncio.TimerHandle] = {}

    def heard(self, entry: Entry) -> None:
        """Called with every entry of a kind that it `HEARS`."""
        if (name := entry.event.agent) not in self._timers:
            self.begin(name)

    def begin(self, name: str) -> None:
        """It is idle from now on."""
        if self._timeout:
            self._look_in(self._timeout, name)

    def close(self) -> None:
        for timer in self._timers.values():
            timer.cancel()
        self._timers.clear()

    def _look_in(self, seconds: float, name: str) -> None:
        self._timers[name] = asyncio.get_running_loop().call_later(seconds, self._look, name)

    def _look(self, name: str) -> None:
        del self._timers[name]
        agent = self._desk.tree[name]
        if agent.state != "idle":
            return  # the end of its turn begins it anew
        left = self._timeout - (self._clock() - agent.since).total_seconds()
        if left > 0:
            self._look_in(left, name)
        elif self._may_sleep(agent):
            self._desk.soon(self._desk.suspend(name, f"idle for {_spoken(self._timeout)}"))

    def _may_sleep(self, agent: Agent) -> bool:
        desk = self._desk
        has_work = any(each.name == agent.name for each in desk.unquiet((agent.name,)))
        return desk.features(agent.name).resume and (agent.begun or not agent.origin) and not has_work


def _spoken(seconds: float) -> str:
    return f"{seconds / 60:g} min" if seconds >= 60 else f"{seconds:g} s"
