"""The doors by which outside clients come in, opened to one run of rehearsal agents.

A test is written once and goes through each door; what it sees must be the same.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager, contextmanager
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Any

import httpx2
from anyio.from_thread import BlockingPortal, start_blocking_portal
from mcp.client.client import Client
from mcp.client.stdio import StdioServerParameters, stdio_client
from mcp.client.streamable_http import streamable_http_client
from mcp.types import TextContent

from madrox_nb.run import Run

DOORS = ("http", "stdio")
LATEST = "2026-07-28"

_numbers = count(1)


@dataclass(frozen=True)
class Told:
    """What a call came to."""

    text: str
    data: dict[str, Any]
    failed: bool


class Door:
    """An MCP client of the run, as a person's program has it."""

    def __init__(self, run: Run, portal: BlockingPortal, client: Client) -> None:
        self.run, self._portal, self._client = run, portal, client

    def call(self, tool: str, /, **arguments: Any) -> Told:
        """Call a tool that must not fail."""
        told = self.attempt(tool, **arguments)
        assert not told.failed, told.text
        return told

    def refused(self, tool: str, /, **arguments: Any) -> str:
        """Call a tool that must fail; what it says."""
        told = self.attempt(tool, **arguments)
        assert told.failed, told.text
        return told.text

    def attempt(self, tool: str, /, **arguments: Any) -> Told:
        result = self._portal.call(self._client.call_tool, tool, arguments)
        text = "\n".join(each.text for each in result.content if isinstance(each, TextContent))
        return Told(text, dict(result.structured_content or {}), bool(result.is_error))

    def start(self, tool: str, /, **arguments: Any) -> Callable[[], Told]:
        """Begin a call; the result waits for its end."""
        future = self._portal.start_task_soon(lambda: self._client.call_tool(tool, arguments))

        def told() -> Told:
            result = future.result(60)
            text = "\n".join(each.text for each in result.content if isinstance(each, TextContent))
            return Told(text, dict(result.structured_content or {}), bool(result.is_error))

        return told

    def tools(self) -> dict[str, Any]:
        """Every tool's schema, by name."""
        return {tool.name: tool for tool in self._portal.call(self._client.list_tools).tools}

    def spawn(self, name: str = "agent", **arguments: Any) -> str:
        """A new rehearsal agent, whose name begins so; returns its id."""
        made = self.call("spawn_instance", name=f"{name}{next(_numbers)}", **arguments)
        return str(made.data["instance_id"])

    def ask(self, agent: str, *lines: str) -> str:
        """Have an agent carry out directives; its answer."""
        told = self.call(
            "send_to_instance", instance_id=agent, message="\n".join(lines), wait_for_response=True
        )
        assert "completed" == told.data["status"], told.text
        return str(told.data["response"])

    def begin(self, agent: str, *lines: str) -> None:
        """Have an agent carry out directives, waiting only until it is at it."""
        self.call("send_to_instance", instance_id=agent, message="\n".join(lines))
        self.until(lambda: self.state(agent) == "busy")

    def state(self, agent: str) -> str:
        return str(self.call("get_instance_status", instance_id=agent).data["state"])

    def until(self, come: Callable[[], object], seconds: float = 60) -> None:
        """Wait until something has come about; the world outside has no event for it."""
        end = time.monotonic() + seconds
        while not come():
            assert time.monotonic() < end, "it did not come about"


@contextmanager
def opened(home: Path, *kinds: str, **settings: Any) -> Iterator[dict[str, Door]]:
    """One run, with a client at each of its doors."""
    chosen = {"home": home, "port": 0, "harnesses": "rehearsal", "max_instances": 500, "stop_grace": 1.0}
    run = Run(**{**chosen, **settings})
    try:
        served = run.start(run.serve).result(30)
        with start_blocking_portal() as portal:
            clients = {"http": lambda: by_http(served.url, served.token), "stdio": lambda: by_stdio(home)}
            yield from _through(run, portal, {kind: clients[kind] for kind in kinds or DOORS})
    except BaseExceptionGroup as group:  # the clients' task groups wrap what a test says
        error: BaseException = group
        while isinstance(error, BaseExceptionGroup):
            error = error.exceptions[0]
        raise error from None
    finally:
        run.close()


def _through(
    run: Run,
    portal: BlockingPortal,
    clients: dict[str, Callable[[], AbstractAsyncContextManager[Client]]],
    doors: dict[str, Door] | None = None,
) -> Iterator[dict[str, Door]]:
    doors = doors or {}
    if len(doors) == len(clients):
        yield doors
        return
    kind = tuple(clients)[len(doors)]
    with portal.wrap_async_context_manager(clients[kind]()) as client:
        yield from _through(run, portal, clients, {**doors, kind: Door(run, portal, client)})


@asynccontextmanager
async def by_http(url: str, token: str, era: str = LATEST) -> Any:
    headers = {"Authorization": f"Bearer {token}"}
    async with (
        httpx2.AsyncClient(headers=headers, timeout=60) as http,
        Client(streamable_http_client(url, http_client=http), mode=era) as client,
    ):
        yield client


@asynccontextmanager
async def by_stdio(home: Path, era: str = LATEST) -> Any:
    """`madrox mcp`, as Claude Desktop starts it."""
    env = {"MADROX_HOME": str(home), "XDG_STATE_HOME": os.environ["XDG_STATE_HOME"]}
    command = StdioServerParameters(command=sys.executable, args=["-m", "madrox_nb.cli", "mcp"], env=env)
    async with Client(stdio_client(command), mode=era) as client:
        yield client
