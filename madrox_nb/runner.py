"""One running CLI of one agent: its lines become events, the manager's verbs become lines.

The codec (`Harness`) thinks, the wire (`Pipe`) carries, and this file connects the two
with the ledger. It decides nothing about who may do what.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Protocol

from .adoption import Adoption, adopt
from .errors import HarnessError, HarnessExited, HarnessNotReady, IllegalEvent, MadroxError
from .events import (
    AgentReady,
    AgentStopped,
    AgentSuspended,
    Entry,
    Event,
    HarnessNoise,
    Outcome,
    Signal,
    TurnEnded,
    UsageReported,
    Verdict,
)
from .evidence import find_marks, mark
from .harness import Ask, Brief, Harness, Item, Steered, Unreadable, Withdraw, Write
from .nodes import AgentSpec, Kept, NodeLink
from .screen import Pty
from .transport import Line, Pipe, size, tail

NOISE_SHOWN = 500
"""Characters of unreadable output that its event repeats; the rest is in the wire log."""

log = logging.getLogger(__name__)


class Core(Protocol):
    """What a runner needs of the manager. All of it is called on the loop."""

    def record(self, event: Event) -> object:
        """Put what the agent did into the ledger. Raises `IllegalEvent` when it can't be."""

    def signal(self, signal: Signal) -> None:
        """Tell the watchers."""

    def asked(self, runner: Runner, ask: Ask) -> None:
        """The agent asks to use a tool; `Runner.answer` when it is decided."""

    def withdrawn(self, runner: Runner, withdraw: Withdraw) -> None:
        """The agent no longer waits for that answer."""

    def steered(self, runner: Runner, steered: Steered) -> None:
        """What came of a message that was to join the turn under way."""

    def alive(self, agent: str) -> bool:
        """Whether its end is not recorded yet."""

    def turn(self, agent: str) -> str:
        """The turn under way by the ledger, else empty."""

    def redacted(self, text: str) -> str:
        """`text` without secrets."""

    def priced(self, usage: UsageReported) -> UsageReported:
        """`usage` with a cost when one is known."""

    def explained(self, ended: TurnEnded) -> TurnEnded:
        """`ended` with the reason, when a limit ended the turn."""

    def stuck(self, runner: Runner, error: OSError) -> None:
        """The wire log can't be written: nothing is read until `Runner.resume`."""

    def gone(self, runner: Runner) -> None:
        """The process has ended and everything it said is in the ledger."""


class Runner:
    """One running CLI. Made by `Manager.spawn`, thrown away when its process ends."""

    def __init__(self, core: Core, brief: Brief, harness: Harness) -> None:
        self.brief, self.harness = brief, harness
        self.ended = ""
        """Why the process is being ended on purpose; empty while it is not."""
        self.suspends = False
        """It is ended to go on later."""
        self.error: MadroxError | None = None
        """Why it ended though nobody asked for it."""
        self._core = core
        self._pipe: Pipe | None = None
        loop = asyncio.get_running_loop()
        self._ready: asyncio.Future[None] = loop.create_future()
        self._gone: asyncio.Future[None] = loop.create_future()
        self._said: list[str] = []
        self._words_log, self._words_from = self.stderr_log, 0
        self._given_up = False
        self._adoption: Adoption
        self._left: Iterator[Line]
        self._early: list[str] = []
        """Answers to what the CLI said before its start was confirmed."""

    @property
    def agent(self) -> str:
        return self.brief.agent

    @property
    def pid(self) -> int | None:
        return self._pipe.pid if self._pipe else None

    @property
    def stderr_log(self) -> Path:
        return Path(self.brief.files) / "stderr.log"

    async def start(self, node: NodeLink, spec: AgentSpec, timeout: float) -> None:
        """Start the process and wait for its handshake.

        Raises `HarnessNotFound`, `HarnessNotReady` (after `timeout` seconds, with what
        it said instead) or `HarnessExited`. On any of them the process is gone.
        """
        self._words_log = spec.wire_log if spec.pty else spec.stderr_log
        self._words_from = size(self._words_log)
        self._pipe = await (Pty if spec.screen else Pipe).open(node, spec, self)
        self._write((*self._early, *self.harness.greet()))
        try:
            async with asyncio.timeout(timeout):
                await asyncio.shield(self._ready)
        except TimeoutError:
            self.error = HarnessNotReady(
                f"{self.agent}: {self.brief.command[0]} did not become ready in {timeout:g} s. "
                "See whether it starts in a terminal, or give it longer: MADROX_START_TIMEOUT",
                self.evidence(),
            )
            await self._killed()
        except asyncio.CancelledError:
            self.ended = self.ended or "stopped while starting"
            await self._killed()
            raise
        if self.error is not None:
            raise self.error

    def recall(self, node: NodeLink, kept: Kept, entries: Iterable[Entry]) -> dict[str, Ask]:
        """Come to where the dead kernel was with this process; returns the approvals that are still open.

        Then `follow` it. Raises `HarnessError` when that can't be: end the process.
        """
        self._pipe, directory = Pipe.of(node, kept, self), Path(self.brief.files)
        marks, self._left = find_marks(directory), self._pipe.recall(kept)
        self._adoption = adopt(self.harness, self._left, marks, entries)
        mark(self.harness, marks, self._adoption.read)
        if self._adoption.ready:
            self._ready.set_result(None)
        return self._adoption.open

    def follow(self, kept: Kept) -> None:
        """Do what the dead kernel did not live to do, and read on."""
        assert self._pipe is not None
        for owed in self._adoption.owed:
            self._write(owed.ask(self.harness))
        for item in self._adoption.items:
            self._take(item)
        for line in self._left:
            self.lines([line])
        self._pipe.go_on(kept)

    async def _killed(self) -> None:
        """Kill it; returns when it is gone, however often that is cancelled and though nothing is read."""
        assert self._pipe is not None
        self._pipe.kill()
        ending = asyncio.ensure_future(self._pipe.close(0))
        while not ending.done():
            with contextlib.suppress(asyncio.CancelledError):
                await asyncio.shield(ending)

    def begin(self, turn: str, text: str) -> None:
        """Write the prompt of a turn. A codec that can't ends its agent: the turn has begun already."""
        self._write_or_end("prompt", lambda: self.harness.prompt(turn, text))

    def steer(self, steer: str, text: str) -> None:
        """Write a message that is to join the turn under way; `Core.steered` tells what came of it."""
        self._write(self.harness.steer(steer, text))

    def interrupt(self) -> None:
        """Ask the CLI to end its turn; the turn's end confirms it."""
        self._write(self.harness.interrupt())

    def answer(self, request: str, decision: Verdict, why: str = "") -> None:
        """Write the answer to a request, which is on record already: a codec that can't ends its agent."""
        self._write_or_end("answer", lambda: self.harness.answer(request, decision, why))

    def _write_or_end(self, what: str, lines: Callable[[], Iterable[str]]) -> None:
        try:
            self._write(lines())
        except Exception as exc:
            log.exception("%s: the %s codec could not write its %s", self.agent, self.harness.name, what)
            self._give_up(HarnessError(f"{self.agent}: its {what} could not be written: {exc!r}"))

    async def stop(self, grace: float) -> None:
        """End the process: politely, then firmly. Returns when it is gone and recorded."""
        if self._pipe is not None:
            await self._pipe.close(grace)
            await self._gone

    def pause(self) -> None:
        """Read no more, so that the CLI has to wait."""
        if self._pipe is not None:
            self._pipe.pause()

    def resume(self) -> None:
        if self._pipe is not None:
            self._pipe.resume()

    def evidence(self) -> str:
        """Its last words: on stderr or its terminal, else instead of its protocol. Without secrets."""
        words = tail(self._words_log, since=self._words_from) or "\n".join(self._said[-5:])[-2000:]
        return self._core.redacted(words)

    # Reader: called by the wire, on the loop

    def lines(self, lines: Sequence[Line]) -> None:
        if self._given_up:
            return  # a turn of which something was lost must not end well; the wire log has it all
        try:
            self._read(lines)
        except Exception as exc:  # what it says can't be kept: end it, rather than let it talk to nobody
            log.exception("%s: its output could not be taken in", self.agent)
            self._give_up(HarnessError(f"{self.agent}: what it said could not be kept: {exc}"))

    def gone(self, code: int | None, why: str) -> None:
        try:
            self._record_end(code, why)
        finally:
            for future in (self._ready, self._gone):
                if not future.done():
                    future.set_result(None)
            self._core.gone(self)

    def _record_end(self, code: int | None, why: str) -> None:
        for event in self.harness.lost():
            self._event(event)
        failed = not self.ended
        reason = self.ended or _epitaph(code, why)
        evidence = self.evidence() if failed else ""
        died = failed and self.error is None
        if died:
            program = self.brief.command[0]
            hint = "" if self._ready.done() else ". See whether it starts in a terminal"
            self.error = HarnessExited(f"{self.agent}: {program} {reason}{hint}", evidence, code)
        if self.error is not None:
            reason = str(self.error).split("\n", 1)[0].removeprefix(f"{self.agent}: ")
        if died and code is not None and code > 0:
            reason += _last_line(evidence)
        if turn := self._core.turn(
            self.agent
        ):  # the tree's, not the codec's: that one may have ended unheard
            outcome: Outcome = "failed" if failed else "interrupted"
            self._event(TurnEnded(agent=self.agent, turn=turn, outcome=outcome, error=reason))
        if self.suspends and not failed and self.error is None:
            self._core.record(AgentSuspended(agent=self.agent, reason=reason))
            return
        self._core.record(
            AgentStopped(agent=self.agent, reason=reason, failed=failed, exit_code=code, evidence=evidence)
        )

    def stuck(self, error: OSError) -> None:
        self._core.stuck(self, error)

    # what a line means

    def _read(self, lines: Sequence[Line]) -> None:
        unread: list[Line] = []
        for line in lines:
            items = self._items(line)
            if items is None:
                unread.append(line)
                continue
            if unread:
                self._noise(unread)
                unread = []
            for item in items:
                self._take(item)
        if unread:
            self._noise(unread)

    def _items(self, line: Line) -> list[Item] | None:
        if not line.whole:
            return None
        try:
            return list(self.harness.read(line.text))
        except Unreadable:
            return None
        except Exception:  # a codec that stumbles must not take the agent with it
            log.exception(
                "%s: the %s codec failed on a line at byte %d", self.agent, self.harness.name, line.offset
            )
            return None

    def _take(self, item: Item) -> None:
        if isinstance(item, Event):
            self._event(item)
        elif isinstance(item, Signal):
            self._core.signal(item)
        elif isinstance(item, Write):
            self._write((item.line,))
        elif isinstance(item, Ask):
            self._asks(item)
        elif isinstance(item, Steered):
            self._core.steered(self, item)
        else:
            self._core.withdrawn(self, item)

    def _asks(self, ask: Ask) -> None:
        if self.harness.turn:
            self._core.asked(self, ask)
        else:
            self.answer(ask.request, "deny", "no turn is under way")

    def _event(self, event: Event) -> None:
        if type(event) is UsageReported:
            event = self._core.priced(event)
        elif type(event) is TurnEnded:
            event = self._core.explained(event)
        if type(event) is AgentStopped and self._pipe is not None and not self._gone.done():
            self._refused(event)
            return
        try:
            self._core.record(event)
        except IllegalEvent as exc:  # out of place, but it was said: keep it
            self._core.record(HarnessNoise(agent=self.agent, text=f"{exc}: {event}"[:NOISE_SHOWN]))
        if type(event) is AgentReady and not self._ready.done():
            self._ready.set_result(None)

    def _refused(self, event: AgentStopped) -> None:
        """The CLI says itself that it can't go on: its end is recorded when it is gone."""
        self._give_up(HarnessNotReady(f"{self.agent}: {event.reason}", event.evidence or self.evidence()))

    def _give_up(self, error: MadroxError) -> None:
        self.error = self.error or error
        self._given_up = True
        if self._pipe is not None:
            self._pipe.kill()

    def _noise(self, lines: Sequence[Line]) -> None:
        first, last = lines[0], lines[-1]
        text = "\n".join(line.text[:NOISE_SHOWN] for line in lines[:20])[:NOISE_SHOWN]
        self._said = [*self._said, text][-5:]
        length = last.offset + last.length - first.offset
        self._core.record(
            HarnessNoise(agent=self.agent, text=text, lines=len(lines), offset=first.offset, length=length)
        )

    def _write(self, lines: Iterable[str]) -> None:
        if self._pipe is None:
            self._early += lines
            return
        for line in lines:
            self._pipe.write(line)


def _epitaph(code: int | None, why: str) -> str:
    if code is None:
        return f"was lost: {why}"
    if code < 0:
        return f"was killed by signal {-code}"
    return f"exited on its own with code {code}"


def _last_line(evidence: str) -> str:
    """The last thing that a program said before it gave up: mostly the reason."""
    said = evidence.rpartition("\n")[2].strip()
    return f". Its last words: {said[-NOISE_SHOWN:]}" if said else ""
