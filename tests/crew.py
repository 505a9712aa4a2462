"""Runs of real agents for tests: rehearsal agents, and rogues that misbehave."""

from __future__ import annotations

import asyncio
import errno
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Iterable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, TypeVar

import pytest

from madrox_nb import config, library
from madrox_nb.events import Entry
from madrox_nb.harness import Features, Launch
from madrox_nb.harness.rehearsal import Rehearsal
from madrox_nb.manager import Manager

ROGUE = Path(__file__).parent / "rogues" / "rogue.py"
T = TypeVar("T")


@library.lend
class Rogue(Rehearsal):
    """The rehearsal codec over a program that misbehaves; the model says how it starts."""

    name = "rogue"

    @staticmethod
    def command() -> tuple[str, ...]:
        return (sys.executable, "-I", "-S", str(ROGUE))

    def launch(self) -> Launch:
        return Launch(argv=(*self.brief.command, self.brief.model or ""))


@library.lend
class Absent(Rehearsal):
    """A harness whose CLI is not installed."""

    name = "absent"
    commands = ("no-such-cli-anywhere",)
    provides = "pip install no-such-cli"
    command = None


@library.lend
class Forgetful(Rehearsal):
    """A CLI that can neither resume nor be steered."""

    name = "forgetful"
    features = Features(interrupt=True, structured=True)


@library.lend
class Headstrong(Rehearsal):
    """A CLI whose turns can't be ended early."""

    name = "headstrong"
    features = Features(structured=True)

    def interrupt(self) -> Iterable[str]:
        return ()


def events(manager: Manager, kind: type) -> list[Any]:
    """What of that kind the ledger holds."""
    return [entry.event for entry in manager.ledger if isinstance(entry.event, kind)]


@asynccontextmanager
async def run_of(home: Path, **settings: Any) -> AsyncIterator[Manager]:
    """An open manager whose agents have no MCP server."""
    chosen = {"home": home, "harnesses": ("rehearsal",), "stop_grace": 1.0, "max_instances": 50, **settings}
    manager = await Manager(config.load(chosen, environ={}, files=()).settings).open()
    try:
        yield manager
    finally:
        await manager.close()


def with_run(home: Path, story: Callable[[Manager], Awaitable[T]], **settings: Any) -> T:
    """Run `story` with an open manager, and close it."""

    async def main() -> T:
        async with run_of(home, **settings) as manager:
            return await asyncio.wait_for(story(manager), 100)

    return asyncio.run(main())


class Disk:
    """A disk under the ledger of `manager` that can be full."""

    def __init__(self, manager: Manager, monkeypatch: pytest.MonkeyPatch) -> None:
        self.full = False
        self._ledger, self._write = manager.ledger, manager.ledger._write
        monkeypatch.setattr(manager.ledger, "_write", self._may_write)

    def _may_write(self, data: bytes, refuse: bool) -> bool:
        if not self.full:
            return self._write(data, refuse)
        if not refuse:
            self._ledger.trouble = OSError(errno.ENOSPC, "no room")
        return False

    async def noticed(self) -> None:
        """Wait until something found no room."""
        while self._ledger.trouble is None:
            await asyncio.sleep(0.01)


async def until(manager: Manager, happened: Callable[[Entry], bool], verb: Coroutine[Any, Any, T]) -> T:
    """Run `verb` and wait until an entry that `happened` accepts is in the ledger."""
    seen = asyncio.Event()
    stop = manager.ledger.listen(lambda entry: seen.set() if happened(entry) else None)
    try:
        result = await verb
        await asyncio.wait_for(seen.wait(), 60)
    finally:
        stop()
    return result
