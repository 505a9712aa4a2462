"""What runs while nobody waits for it."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Coroutine
from typing import Any

from .errors import MadroxError

log = logging.getLogger(__name__)


class Background:
    """Coroutines under way. True while there are any: one may be about to hand something over."""

    def __init__(self, done: Callable[[], None]) -> None:
        """`done` is called when one has ended, however."""
        self._tell = done
        self._tasks: set[asyncio.Task[object]] = set()

    def __bool__(self) -> bool:
        return bool(self._tasks)

    def start(self, verb: Coroutine[Any, Any, object]) -> None:
        """Run it. A failure is logged; those who wait for it are told by the verb itself."""
        task = asyncio.ensure_future(verb)
        self._tasks.add(task)
        task.add_done_callback(self._done)

    def cancel(self) -> None:
        for task in tuple(self._tasks):
            task.cancel()

    def _done(self, task: asyncio.Task[object]) -> None:
        self._tasks.discard(task)
        self._tell()
        if not task.cancelled() and (error := task.exception()) is not None:
            level = logging.WARNING if isinstance(error, MadroxError) else logging.ERROR
            log.log(level, "in the background: %s", error, exc_info=error)
