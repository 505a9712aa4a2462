"""A manager on stage: the tools as each caller has them, with real rehearsal agents and no HTTP."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path
from typing import Any

from madrox_nb.calls import Call, Result, find
from madrox_nb.config import Settings
from madrox_nb.events import PERSON, Event
from madrox_nb.manager import Manager

import_module("madrox_nb.tools")  # registers them


@dataclass
class Stage:
    """A manager, and the tools as each caller has them."""

    manager: Manager
    told: list[tuple[float, str]] = field(default_factory=list)
    """The progress that was reported."""

    async def call(self, caller: str, tool: str, **given: Any) -> Result:
        async def progress(seconds: float, text: str) -> None:
            self.told.append((seconds, text))

        return await find(tool).call(Call(self.manager, caller, progress), given)

    async def spawn(self, *names: str, by: str = PERSON, **given: Any) -> None:
        for name in names:
            await self.call(by, "spawn_instance", name=name, **given)
            while given.get("wait_for_ready", True) and self.manager.tree[name].state == "starting":
                await self.manager.mail.change()  # with `short`, the call itself may not have waited so long

    async def turn_of(self, name: str) -> None:
        """Wait until a turn of `name` is under way."""
        async with asyncio.timeout(60):
            while not self.manager.tree[name].turn:
                await self.manager.mail.change()

    def entries(self, kind: type[Event], agent: str) -> list[Any]:
        return [e.event for e in self.manager.ledger if isinstance(e.event, kind) and e.event.agent == agent]


@asynccontextmanager
async def stage(
    tmp_path: Path, environ: dict[str, str] | None = None, **settings: Any
) -> AsyncIterator[Stage]:
    chosen = Settings(home=tmp_path / "home", harnesses=("rehearsal",), **settings)
    manager = await Manager(chosen, environ={"PATH": "/usr/bin:/bin", **(environ or {})}).open()
    try:
        yield Stage(manager)
    finally:
        await manager.close()


def run(story: Coroutine[Any, Any, None]) -> None:
    asyncio.run(asyncio.wait_for(story, 100))
