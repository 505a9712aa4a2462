"""The door from the notebook's thread to the manager's loop.

The loop lives on a daemon thread of its own, because tasks on the kernel's loop stand
still while a cell blocks. `call` waits in a way that an interrupt of the cell ends at
once, and never cancels what it waits for: the agents go on working.
"""

from __future__ import annotations

import asyncio
import concurrent.futures as cf
import contextlib
import threading
from collections.abc import Callable, Coroutine
from typing import Any, ParamSpec, TypeVar

from .errors import NotRunning

P = ParamSpec("P")
T = TypeVar("T")

BEAT = 0.1
"""Seconds between two looks at what a caller waits for."""


class Portal:
    """An event loop on a daemon thread."""

    def __init__(self, name: str = "madrox") -> None:
        self._started = threading.Event()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        self._thread.start()
        self._started.wait()

    @property
    def loop(self) -> asyncio.AbstractEventLoop:
        """The manager's loop. Raises `NotRunning` after `stop`."""
        if self._loop is None or self._loop.is_closed():
            raise NotRunning("the manager's loop has ended; open a new Madrox()")
        return self._loop

    def start(
        self, verb: Callable[P, Coroutine[Any, Any, T]], *args: P.args, **kwargs: P.kwargs
    ) -> cf.Future[T]:
        """Begin `verb` on the loop; do not wait. Callable from any thread."""
        loop = self.loop
        return asyncio.run_coroutine_threadsafe(verb(*args, **kwargs), loop)

    def call(self, verb: Callable[P, Coroutine[Any, Any, T]], *args: P.args, **kwargs: P.kwargs) -> T:
        """Begin `verb` and wait for its result.

        A `KeyboardInterrupt` ends the waiting at once; the verb runs on to its end.
        Raises `RuntimeError` on the loop's own thread, where waiting would never end.
        """
        if threading.current_thread() is self._thread:
            raise RuntimeError("already on the manager's loop: await the verb instead of calling it")
        future = self.start(verb, *args, **kwargs)
        try:
            return future.result()
        except cf.CancelledError:
            raise NotRunning("the manager's loop ended before it was done; open a new Madrox()") from None

    def soon(self, what: Callable[..., object], *args: object) -> None:
        """Run a plain function on the loop, soon. Callable from any thread."""
        self.loop.call_soon_threadsafe(what, *args)

    def stop(self, timeout: float = 5) -> None:
        """End the loop: its tasks are cancelled. Idempotent."""
        if self._loop is not None and not self._loop.is_closed():
            with contextlib.suppress(RuntimeError):
                self._loop.call_soon_threadsafe(self._done.set)
            self._thread.join(timeout)

    def _run(self) -> None:
        try:
            threads = cf.ThreadPoolExecutor(thread_name_prefix="asyncio")
            with threads, asyncio.Runner(loop_factory=_Loop) as runner:
                runner.get_loop().set_default_executor(threads)
                runner.run(self._serve())
        finally:  # no descriptors for a loop: `loop` says so, nobody waits
            self._started.set()

    async def _serve(self) -> None:
        self._loop, self._done = asyncio.get_running_loop(), asyncio.Event()
        self._started.set()
        await self._done.wait()


class _Loop(asyncio.SelectorEventLoop):
    """One that leaves its threads to the portal, which waits for them.

    Itself it would start another to wait in, and Python 3.12 starts none when it ends.
    """

    async def shutdown_default_executor(self, timeout: float | None = None) -> None:
        pass


async def patiently(future: cf.Future[T]) -> T:
    """Await a future of the manager's loop from another loop.

    It looks up every 0.1 s, because an interrupt does not wake a sleeping loop
    (ipykernel#881). Cancelling it cancels the waiting only.
    """
    waited = asyncio.wrap_future(future)
    while not waited.done():
        await asyncio.wait({waited}, timeout=BEAT)
    return waited.result()
