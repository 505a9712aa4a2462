"""A running server with real agents behind it, and plain HTTP in front, for tests."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx2

from madrox_nb.config import Settings
from madrox_nb.manager import Manager
from madrox_nb.server import Server

PERSONS = "mdx_" + "p" * 43
LOOPBACK = "127.0.0.1"


@dataclass
class Site:
    """A server, and what a program without MCP sees of it."""

    server: Server
    http: httpx2.AsyncClient
    """Bears the person's token."""

    @property
    def manager(self) -> Manager:
        return self.server.manager

    async def get(self, path: str, **how: Any) -> httpx2.Response:
        return await self.http.get(path, **how)

    async def execute(self, tool: str, /, **arguments: Any) -> Any:
        """What `POST /tools/execute` says, for the person."""
        answer = await self.http.post("/tools/execute", json={"tool": tool, "arguments": arguments})
        return answer.json()

    def bearing(self, token: str) -> httpx2.AsyncClient:
        """A client with another token, or with none."""
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        return httpx2.AsyncClient(base_url=self.http.base_url, headers=headers, timeout=90)


@asynccontextmanager
async def site(tmp_path: Path, **settings: Any) -> AsyncIterator[Site]:
    """A manager whose agents find their tools at a running server."""
    box: list[Server] = []
    chosen = Settings(home=tmp_path / "home", harnesses=("rehearsal",), **settings)
    manager = Manager(chosen, environ={"PATH": "/usr/bin:/bin"}, mcp_url=lambda: box[0].start())
    box.append(Server(manager, chosen.host, 0, PERSONS))
    await manager.open()
    base = (await box[0].start()).removesuffix("/mcp")
    try:
        headers = {"Authorization": f"Bearer {PERSONS}"}
        async with httpx2.AsyncClient(base_url=base, headers=headers, timeout=90) as http:
            yield Site(box[0], http)
    finally:
        await manager.close()
        await box[0].stop()


def run(story: Coroutine[Any, Any, None], seconds: float = 100) -> None:
    asyncio.run(asyncio.wait_for(story, seconds))


@dataclass(frozen=True)
class Told:
    """One server-sent event."""

    id: str
    kind: str
    data: Any


async def told(answer: httpx2.Response) -> AsyncIterator[Told]:
    """What a stream of events says, one after the other; comments are `comment` events."""
    fields: dict[str, str] = {}
    async for line in answer.aiter_lines():
        name, _, value = line.partition(": ")
        if line:
            fields[name or "comment"] = value
        elif "data" in fields:
            yield Told(fields.get("id", ""), fields["event"], json.loads(fields["data"]))
            fields = {}
        elif ":" in str(fields) and "comment" in fields:
            yield Told("", "comment", fields.pop("comment"))
