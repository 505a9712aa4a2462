"""What a cell shows and hears while it waits for agents.

A wait happens in steps of 0.1 s: so an interrupt ends it at once, and one display in
the cell can tell what the agents say and do. When it is over, that display becomes a
single line which is the same in every run.

The first interrupt of a cell ends the waiting; the agents go on, and the cell says so.
A second one within two seconds interrupts the agents it waited for.
"""

from __future__ import annotations

import asyncio
import concurrent.futures as cf
import contextlib
import shlex
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from html import escape
from types import FrameType, TracebackType
from typing import Any, Final, Self, TypeVar

from .portal import BEAT, patiently
from .views import legible

T = TypeVar("T")

AGAIN_SECONDS: Final = 2.0
"""How long after the first interrupt a second one reaches the agents."""
CELL_END_SECONDS: Final = 0.05
"""From an interrupt to the moment when its cell has ended, for all we know."""
MONOSPACE: Final = "margin:0;white-space:pre-wrap;font-family:var(--jp-code-font-family,monospace)"


# where we are


def shell() -> Any:
    """The IPython shell of this process, or None. Never imports IPython."""
    ipython = sys.modules.get("IPython")
    return ipython.get_ipython() if ipython is not None else None


def kernel() -> Any:
    """The Jupyter kernel, when this is its main thread; else None."""
    found = getattr(shell(), "kernel", None)
    return found if threading.current_thread() is threading.main_thread() else None


def attended() -> bool:
    """Whether somebody is there who can answer: who may type into the running cell, or a terminal.

    A front end says so with every cell (`allow_stdin`); nbconvert and nbclient say no.
    """
    running = getattr(shell(), "kernel", None)
    if running is not None:
        return bool(getattr(running, "_allow_stdin", False))
    return sys.stdin is not None and sys.stdin.isatty()


def notice(text: str) -> None:
    """Tell the person something that is not the value of a cell. Silent without IPython."""
    if shell() is not None:
        _show(_bundle("", text))


def _show(bundle: dict[str, str], **kwargs: Any) -> Any:
    from IPython.display import display

    return display(bundle, raw=True, **kwargs)


def _bundle(text: str, line: str) -> dict[str, str]:
    text = legible(text)
    page = f'<pre style="{MONOSPACE}">{escape(text)}</pre>' if text else ""
    under = f'<pre style="{MONOSPACE};opacity:.75">{escape(line)}</pre>' if line else ""
    return {"text/plain": "\n".join(part for part in (text, line) if part), "text/html": page + under}


class Live:
    """One display that follows the agents while a cell waits, then keeps one line.

    `look` gives what is said (its end) and what is done now. Without a kernel nothing
    is shown.
    """

    def __init__(self, look: Callable[[], tuple[str, str]]) -> None:
        self._look = look
        self._shown: dict[str, str] = {}
        self._handle: Any = None

    def open(self) -> None:
        if kernel() is not None:
            from IPython.display import DisplayHandle

            self._shown, self._handle = _bundle(*self._look()), DisplayHandle()
            self._handle.display(self._shown, raw=True)  # an interrupt now finds a display to close

    def tick(self) -> None:
        """Look again. The waiting calls it every 0.1 s."""
        if self._handle is not None:
            self._put(_bundle(*self._look()))

    def close(self, line: str) -> None:
        """Leave `line`. Callable again, from any thread, when more becomes known."""
        if self._handle is not None:
            self._put(_bundle("", line))

    def _put(self, bundle: dict[str, str]) -> None:
        if bundle != self._shown:
            self._shown = bundle
            self._handle.update(bundle, raw=True)


# waiting


def how_to_answer(asked: Sequence[str]) -> str:
    """The lines that answer the first of these requests, and where the others are."""
    more = f" ({len(asked) - 1} more: %madrox approvals)" if len(asked) > 1 else ""
    return f"%madrox approve {asked[0]}, or deny {asked[0]}{more}"


class WaitInterrupted(KeyboardInterrupt):
    """The waiting was interrupted; the agents go on, or wait for an answer to what they `asked`."""

    def __init__(
        self, names: Sequence[str], doing: str = "working", *, again: bool = False, asked: Sequence[str] = ()
    ) -> None:
        self.names = tuple(names)
        one = len(self.names) == 1
        who = ", ".join(self.names) or "the agents"
        first = f"Stopped waiting for {who}; {'it goes' if one else 'they go'} on {doing}."
        if asked:
            first = f"Stopped waiting for {who}; now: {how_to_answer(asked)}"
        second = f"%madrox wait {shlex.join(self.names)}".rstrip() + " waits again."
        if again:
            them = "it" if one else "them"
            second = f"Interrupt again within {AGAIN_SECONDS:g} s to interrupt {them} too; {second}"
        super().__init__(f"{first}\n{second}")

    def _render_traceback_(self) -> list[str]:
        """Asked for by IPython: two plain lines, for nothing went wrong."""
        return str(self).splitlines()


@dataclass
class Waiting:
    """One wait of a cell: for whom, what it shows meanwhile, what a second interrupt does."""

    names: tuple[str, ...]
    live: Live | None = None
    again: Callable[[Live | None], None] | None = None
    """Interrupts the agents, and tells the live display how that ended."""
    doing: str = "working"
    cancels: bool = True
    """Whether an interrupt may cancel the future; a verb that acts must run to its end."""
    asked: Callable[[], Sequence[str]] = tuple
    """The requests that wait for the person meanwhile."""

    def block(self, future: cf.Future[T], line: Callable[[T], str] = lambda _: "") -> T:
        """Wait in this thread. `line` says what stays of the display.

        Raises `WaitInterrupted` on an interrupt.
        """
        try:
            with _interruptible(), self:
                while not future.done():
                    cf.wait((future,), timeout=BEAT)
                    self._tick()
                return self._end(future.result(), line)
        except KeyboardInterrupt:
            self._leave(future)
            raise self._interrupted() from None

    async def patiently(self, future: cf.Future[T], line: Callable[[T], str] = lambda _: "") -> T:
        """Wait in a coroutine. Cancelling it ends the waiting only."""
        with self:
            ticking = asyncio.create_task(self._ticking())
            try:
                return self._end(await patiently(future), line)
            except asyncio.CancelledError as exc:  # how an interrupt reaches a cell that awaits
                self._leave(future)
                exc._render_traceback_ = self._interrupted()._render_traceback_  # type: ignore[attr-defined]  # what IPython asks an error for
                raise
            finally:
                ticking.cancel()

    def __enter__(self) -> Self:
        if (running := kernel()) is not None:
            SecondInterrupt.of(running).forget()
        if self.live is not None:
            try:
                self.live.open()
            except BaseException as exc:  # an interrupt that comes at once: what is shown already is closed
                self.__exit__(type(exc), exc, exc.__traceback__)
                raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, _: TracebackType | None
    ) -> None:
        if exc is not None and self.live is not None:
            who, go = ", ".join(self.names) or "the agents", "goes" if len(self.names) == 1 else "go"
            left = isinstance(exc, KeyboardInterrupt | asyncio.CancelledError)
            asked = self.asked() if left else ()
            doing = f"not answered yet: {', '.join(asked)}" if asked else f"{who} {go} on {self.doing}"
            self.live.close(doing if left else who)

    def _leave(self, future: cf.Future[Any]) -> None:
        if self.cancels:
            future.cancel()

    def _end(self, value: T, line: Callable[[T], str]) -> T:
        if self.live is not None:
            self.live.close(line(value))
        return value

    def _tick(self) -> None:
        if self.live is not None:
            self.live.tick()

    async def _ticking(self) -> None:
        while True:
            await asyncio.sleep(BEAT)
            self._tick()

    def _interrupted(self) -> WaitInterrupted:
        running = kernel()
        asked = self.asked()
        if running is None or self.again is None:
            return WaitInterrupted(self.names, self.doing, asked=asked)
        again, live = self.again, self.live
        SecondInterrupt.of(running).arm(lambda: again(live))
        return WaitInterrupted(self.names, self.doing, again=True, asked=asked)


@contextlib.contextmanager
def _interruptible() -> Iterator[None]:
    """An interrupt ends a blocking wait in every cell.

    In one that awaits somewhere, ipykernel's handler only wakes the loop, and that is
    what the wait keeps asleep.
    """
    if kernel() is None:
        yield
        return
    before = signal.getsignal(signal.SIGINT)

    def hear(number: int, frame: FrameType | None) -> None:
        if callable(before):
            before(number, frame)
        raise KeyboardInterrupt

    signal.signal(signal.SIGINT, hear)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


class SecondInterrupt:
    """Hears the next interrupt for two seconds, whether a cell runs or not, and acts once.

    ipykernel sets its own handler when a cell begins, puts the former one back when it
    ends, and ignores interrupts in between (`Kernel.pre_handler_hook`). So ours is set
    three times: for the rest of this cell, soon after its end, and at the beginning of a
    next cell. Within cells the handler that it found is called too: the cell is
    interrupted as ever.
    """

    def __init__(self, running: Any) -> None:
        self._kernel = running
        self._act: Callable[[], None] | None = None
        self._deadline = 0.0
        self._idle = self._between
        """Our handler between cells, as one object that can be recognised."""
        self._set = False
        running.shell.events.register("pre_execute", self._within)

    @staticmethod
    @cache
    def of(running: Any) -> SecondInterrupt:
        """The one of that kernel."""
        return SecondInterrupt(running)

    def arm(self, act: Callable[[], None]) -> None:
        """Begin to listen. Call it in the cell that was interrupted, on the main thread."""
        self._act, self._deadline = act, time.monotonic() + AGAIN_SECONDS
        self._within()
        self._later(CELL_END_SECONDS, self._listen)
        self._later(AGAIN_SECONDS, self._rest)

    def forget(self) -> None:
        """Another wait begins: interrupts are meant for that one now."""
        self._act = None

    @property
    def _armed(self) -> bool:
        return self._act is not None and time.monotonic() < self._deadline

    def _later(self, seconds: float, what: Callable[[], None]) -> None:
        self._kernel.io_loop.call_later(seconds, what)

    def _fire(self) -> None:
        if self._armed and self._act is not None:
            act, self._act = self._act, None
            act()

    def _between(self, number: int, frame: FrameType | None) -> None:
        self._fire()

    def _within(self) -> None:
        if self._armed:
            _precede(self._fire)

    def _listen(self) -> None:
        """Soon after the end of the cell."""
        if not self._armed or signal.getsignal(signal.SIGINT) is self._idle:
            return
        if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
            signal.signal(signal.SIGINT, self._idle)
            self._set = True
        else:  # a coroutine cell is running: wait for its end
            self._later(CELL_END_SECONDS, self._listen)

    def _rest(self) -> None:
        """Ignore interrupts between cells again."""
        if self._armed or not self._set:
            return
        if signal.getsignal(signal.SIGINT) is self._idle:
            signal.signal(signal.SIGINT, signal.SIG_IGN)
            self._set = False
        else:  # a coroutine cell is running: ipykernel puts ours back at its end
            self._later(AGAIN_SECONDS, self._rest)


def _precede(act: Callable[[], None]) -> Any:
    """Let `act` be called before whatever handles an interrupt now; returns that."""
    before = signal.getsignal(signal.SIGINT)

    def hear(number: int, frame: FrameType | None) -> None:
        act()
        if callable(before):
            before(number, frame)

    signal.signal(signal.SIGINT, hear)
    return before
