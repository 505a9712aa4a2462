"""Suspends agents that have had nothing to do for long: their processes cost memory."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any, Protocol

from .events import AgentReady, AgentStopped, AgentSuspended, Entry, TurnEnded, TurnStarted
from .harness import Features
from .tree import Agent, Tree

_BEGINS = frozenset({AgentReady, TurnEnded})
_ENDS = frozenset({TurnStarted, AgentSuspended, AgentStopped})


class Desk(Protocol):
    """What idleness needs of the manager."""

    tree: Tree

    def features(self, name: str) -> Features: ...

    def unquiet(self, names: tuple[str, ...] = ()) -> list[Agent]: ...

    def soon(self, verb: Coroutine[Any, Any, object]) -> None: ...

    async def suspend(self, name: str, reason: str = "") -> Agent: ...


class Idleness:
    """One timer for each idle agent, from the end of its last turn on.

    A turn, however long, is no idleness, and neither is a message that waits for it.
    """

    def __init__(self, desk: Desk, timeout: float) -> None:
        """`timeout` in seconds; 0 never suspends anybody."""
        self._desk, self._timeout = desk, timeout
        self._timers: dict[str, asyncio.TimerHandle] = {}

    def heard(self, entry: Entry) -> None:
        """Called with every entry."""
        event = entry.event
        kind = type(event)
        if kind in _ENDS or kind in _BEGINS:
            self._stop(event.agent)
        if kind in _BEGINS:
            self.begin(event.agent)

    def begin(self, name: str) -> None:
        """It is idle from now on."""
        if self._timeout:
            self._timers[name] = asyncio.get_running_loop().call_later(self._timeout, self._over, name)

    def close(self) -> None:
        for name in tuple(self._timers):
            self._stop(name)

    def _stop(self, name: str) -> None:
        if (timer := self._timers.pop(name, None)) is not None:
            timer.cancel()

    def _over(self, name: str) -> None:
        del self._timers[name]
        desk = self._desk
        agent = desk.tree[name]
        has_work = any(each.name == name for each in desk.unquiet((name,)))
        could_go_on = desk.features(name).resume and (agent.begun or not agent.origin)
        if agent.state == "idle" and could_go_on and not has_work:
            desk.soon(desk.suspend(name, f"idle for {_spoken(self._timeout)}"))


def _spoken(seconds: float) -> str:
    return f"{seconds / 60:g} min" if seconds >= 60 else f"{seconds:g} s"
