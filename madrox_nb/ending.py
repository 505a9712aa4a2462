"""The end of a server, for the calls that are under way: they are answered, not dropped."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

from .errors import NotRunning

T = TypeVar("T")


class Ending:
    """Of one server, and on its loop."""

    def __init__(self) -> None:
        self._waiting: set[asyncio.Task[Any]] = set()
        self._begun = False

    def begin(self) -> None:
        """End the waiting of every call; what they have begun goes on. Idempotent."""
        self._begun = True
        for task in tuple(self._waiting):
            task.cancel()

    async def unless(self, work: Coroutine[Any, Any, T]) -> T:
        """Carry out `work`. Raises `NotRunning` when the end begins first; cancelled, it is cancelled."""
        task = asyncio.ensure_future(work)
        self._waiting.add(task)
        if self._begun:
            task.cancel()
        try:
            await asyncio.wait((task,))
            if task.cancelled() and self._begun:
                raise NotRunning("the server stops, and nobody waits any more. What was begun goes on")
            return task.result()
        finally:
            self._waiting.discard(task)
            task.cancel()
