"""Small programs that misbehave, and what it takes to watch them."""

from __future__ import annotations

import asyncio
import os
import resource
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from functools import wraps
from pathlib import Path
from typing import Any
from uuid import uuid4

import psutil

from madrox_nb.local import LocalNode
from madrox_nb.nodes import AgentSpec

HERE = Path(__file__).parent


def rogue(name: str, *args: object) -> list[str]:
    """The command line of a program in this directory, started as fast as Python can."""
    return [sys.executable, "-S", "-E", "-I", str(HERE / f"{name}.py"), *map(str, args)]


def marker() -> str:
    """Seconds to sleep, a number nobody else sleeps: it marks all processes of one test."""
    return f"8{uuid4().int % 10**12}"


def family(mark: str) -> list[psutil.Process]:
    """The living processes that have `mark` in their command line."""
    return [
        process
        for process in psutil.process_iter(["cmdline", "status"])
        if any(mark in word for word in process.info["cmdline"] or ())
        and process.info["status"] != psutil.STATUS_ZOMBIE
    ]


def survivors(processes: list[psutil.Process], timeout: float = 5) -> list[list[str]]:
    """The command lines of those that still live after `timeout` seconds."""
    _, alive = psutil.wait_procs(processes, timeout)
    return [p.cmdline() for p in alive if p.is_running() and p.status() != psutil.STATUS_ZOMBIE]


def spec(home: Path, *argv: str, id: str = "alice", **changes: Any) -> AgentSpec:  # noqa: A002 - the spec's own word
    """An agent that runs `argv` and keeps its logs in `home`."""
    fields: dict[str, Any] = {
        "id": id,
        "argv": argv,
        "env": {**os.environ, "MADROX_AGENT": f"{home}/{id}"},
        "cwd": str(home),
        "wire_log": home / f"{id}.wire.log",
        "stderr_log": home / f"{id}.stderr.log",
    }
    return AgentSpec(**{**fields, **changes})


class Ear:
    """A watcher that remembers what it heard."""

    def __init__(self) -> None:
        self.heard = bytearray()
        self.offsets: list[int] = []
        self.ends: list[int | str] = []
        self.stuck: list[OSError] = []
        self._news = asyncio.Event()

    def on_data(self, data: bytes, offset: int) -> None:
        self.heard += data
        self.offsets.append(offset)
        self._news.set()

    def on_exit(self, code: int) -> None:
        self.ends.append(code)
        self._news.set()

    def on_lost(self, reason: str) -> None:
        self.ends.append(reason)
        self._news.set()

    def on_stuck(self, error: OSError) -> None:
        self.stuck.append(error)
        self._news.set()

    async def until(self, come: Callable[[], object], timeout: float = 20) -> None:
        """Wait for news until `come` is true."""
        async with asyncio.timeout(timeout):
            while not come():
                self._news.clear()
                await self._news.wait()

    async def hears(self, words: bytes) -> None:
        await self.until(lambda: words in self.heard)

    async def end(self) -> int | str:
        await self.until(lambda: self.ends)
        return self.ends[0]


@asynccontextmanager
async def local_node() -> AsyncIterator[LocalNode]:
    node = await LocalNode.open()
    try:
        yield node
    finally:
        await node.close()


@contextmanager
def little_room(size: int) -> Iterator[None]:
    """Files of this process cannot grow beyond `size` bytes: a full disk for one test."""
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, limits[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)


def on_loop(test: Callable[..., Awaitable[None]]) -> Callable[..., None]:
    """Run an async test on a loop of its own, for at most a minute."""

    @wraps(test)
    def run(*args: Any, **kwargs: Any) -> None:
        asyncio.run(asyncio.wait_for(test(*args, **kwargs), 60))

    return run
