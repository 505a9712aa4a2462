"""The smallest transport that a codec can live on, so that it meets the real program alone."""

from __future__ import annotations

import asyncio
import os
import stat
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeVar

from madrox_nb.events import AgentReady, AgentStopped, TurnEnded, UsageReported
from madrox_nb.harness import Harness, Item, Write

T = TypeVar("T")
PATIENCE = 60
"""Seconds until a program that says nothing has failed the test."""


class Driver:
    """One running CLI between `async with` and its end: writes for the codec, keeps what it makes."""

    def __init__(self, harness: Harness, env: Mapping[str, str]) -> None:
        self.harness, self.env = harness, env
        self.items: list[Item] = []
        self.wire: list[str] = []
        """What the program wrote, line by line."""
        self.turns = 0

    async def __aenter__(self) -> Driver:
        launch = self.harness.launch()
        self.put(launch.files)
        self.process = await asyncio.create_subprocess_exec(
            *launch.argv,
            cwd=self.harness.brief.workspace,
            env={**self.env, **launch.env},
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.DEVNULL,
            limit=2**25,
            start_new_session=True,
        )
        try:
            self.write(self.harness.greet())
            self.ready = await self.until(AgentReady)
        except BaseException:
            await self.__aexit__()
            raise
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self.process.stdin
        self.process.stdin.close()
        try:
            await asyncio.wait_for(self.process.wait(), 5)
        except TimeoutError:
            self.kill()
            await self.process.wait()

    def put(self, files: Mapping[str, str]) -> None:
        for name, content in files.items():
            path = Path(self.harness.brief.files, name)
            path.touch(stat.S_IRUSR | stat.S_IWUSR)
            path.write_text(content)

    def write(self, lines: Any) -> None:
        assert self.process.stdin
        for line in lines:
            self.process.stdin.write(line.encode())

    def begin(self, text: str) -> None:
        self.turns += 1
        self.write(self.harness.prompt(f"lead.t{self.turns}", text))

    async def turn(self, text: str) -> TurnEnded:
        self.begin(text)
        return await self.until(TurnEnded)

    async def until(self, kind: type[T]) -> T:
        """Read until a line means an item of that kind."""
        while True:
            for item in await self.read():
                if isinstance(item, kind):
                    return item
                if isinstance(item, AgentStopped):
                    raise EOFError(item.reason)

    async def read(self) -> list[Item]:
        assert self.process.stdout
        line = await asyncio.wait_for(self.process.stdout.readline(), PATIENCE)
        if not line:
            raise EOFError(f"{self.harness.name} exited with {await self.process.wait()}")
        self.wire.append(line.decode().rstrip("\n"))
        items = list(self.harness.read(self.wire[-1]))
        self.items += items
        self.write(item.line for item in items if isinstance(item, Write))
        return items

    def kill(self) -> None:
        os.killpg(self.process.pid, 9)

    def of(self, kind: type[T]) -> list[T]:
        return [item for item in self.items if isinstance(item, kind)]

    @property
    def cost(self) -> float:
        return sum(usage.cost_usd for usage in self.of(UsageReported))
