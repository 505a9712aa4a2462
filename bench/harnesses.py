"""What madrox adds to each real CLI, as ratios to the same CLI under a minimal script.

    python bench/harnesses.py [NAME …]      (make clis first; the model is a stub on loopback)

Both start the very same command line with the same environment. The script knows as
little of the protocol as is needed to see that the CLI is ready and that a turn is over;
madrox records, folds, announces and prices. They take turns; medians of several rounds.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import AsyncExitStack, contextmanager
from pathlib import Path
from typing import Any

REAL = Path(__file__).parents[1] / "tests" / "real"
sys.path[:0] = [str(REAL), str(REAL.parent)]

from model import Model
from zoo import KINDS, Kind

from madrox_nb import config
from madrox_nb.harness import Brief, Launch
from madrox_nb.manager import Manager

ROUNDS = 3
TURNS = 10
READY_GOAL = 1.25
"""Times the script's: what a person waits for."""
TURN_GOAL = 5.0
"""Milliseconds more a turn: nobody notices them beside a model."""


class Script:
    """A CLI under nothing but asyncio's subprocess: writes a line, waits for one that tells the end."""

    def __init__(self, launch: Launch, env: Mapping[str, str], cwd: str) -> None:
        self.launch, self.env, self.cwd = launch, {**env, **launch.env}, cwd
        self.session = ""
        self.number = 2

    async def __aenter__(self) -> Script:
        self.process = await asyncio.create_subprocess_exec(
            *self.launch.argv,
            env=self.env,
            cwd=self.cwd,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.DEVNULL,
            limit=2**25,
        )
        await self.ready()
        return self

    async def __aexit__(self, *_: object) -> None:
        self.process.kill()
        await self.process.wait()

    async def ready(self) -> None:
        raise NotImplementedError

    async def turn(self, text: str) -> None:
        raise NotImplementedError

    def write(self, **message: Any) -> None:
        assert self.process.stdin
        self.process.stdin.write(json.dumps(message).encode() + b"\n")

    async def until(self, mark: bytes) -> dict[str, Any]:
        assert self.process.stdout
        while mark not in (line := await self.process.stdout.readline()):
            if not line:
                raise EOFError("the CLI went away")
        found: dict[str, Any] = json.loads(line)
        return found


class Claude(Script):
    async def ready(self) -> None:
        self.write(type="control_request", request_id="1", request={"subtype": "initialize"})
        await self.until(b'"control_response"')

    async def turn(self, text: str) -> None:
        content = [{"type": "text", "text": text}]
        self.write(type="user", message={"role": "user", "content": content}, parent_tool_use_id=None)
        await self.until(b'"type":"result"')


class Codex(Script):
    async def ready(self) -> None:
        who = {"name": "bench", "title": "Bench", "version": "0"}
        self.write(
            id=0, method="initialize", params={"clientInfo": who, "capabilities": {"experimentalApi": True}}
        )
        await self.until(b'"id":0')
        self.write(method="initialized")
        self.write(
            id=1,
            method="thread/start",
            params={"cwd": self.cwd, "sandbox": "read-only", "approvalPolicy": "on-request"},
        )
        self.session = (await self.until(b'"id":1,'))["result"]["thread"]["id"]

    async def turn(self, text: str) -> None:
        self.number += 1
        given = {"threadId": self.session, "input": [{"type": "text", "text": text}]}
        self.write(id=self.number, method="turn/start", params=given)
        await self.until(b'"turn/completed"')


class Acp(Script):
    async def ready(self) -> None:
        asked = {"protocolVersion": 1, "clientCapabilities": {}}
        self.write(jsonrpc="2.0", id=0, method="initialize", params=asked)
        await self.until(b'"id":0')
        self.write(jsonrpc="2.0", id=1, method="session/new", params={"cwd": self.cwd, "mcpServers": []})
        self.session = (await self.until(b'"id":1,'))["result"]["sessionId"]

    async def turn(self, text: str) -> None:
        self.number += 1
        given = {"sessionId": self.session, "prompt": [{"type": "text", "text": text}]}
        self.write(jsonrpc="2.0", id=self.number, method="session/prompt", params=given)
        await self.until(b'"stopReason"')


class Rehearsal(Script):
    async def ready(self) -> None:
        self.write(type="hello", agent="lead", role="general", workspace=self.cwd, session="s")
        await self.until(b'"ready"')

    async def turn(self, text: str) -> None:
        self.number += 1
        self.write(type="prompt", turn=f"t{self.number}", text=text)
        await self.until(b'"ended"')


SCRIPTS: dict[str, type[Script]] = {
    "rehearsal": Rehearsal,
    "claude": Claude,
    "codex": Codex,
    "opencode": Acp,
    "gemini": Acp,
}


class Clock:
    """Seconds of each thing that was timed."""

    def __init__(self) -> None:
        self.times: dict[str, list[float]] = {}

    @contextmanager
    def timed(self, what: str) -> Iterator[None]:
        start = time.perf_counter()
        yield
        self.times.setdefault(what, []).append(time.perf_counter() - start)

    def median(self, what: str) -> float:
        return statistics.median(self.times[what])


async def scripted(kind: Kind, env: Mapping[str, str], place: Path, manager: Manager, clock: Clock) -> None:
    workspace, files = place / "workspace", place / "files"
    workspace.mkdir(parents=True)
    files.mkdir()
    brief = Brief(
        agent="lead",
        command=manager.harnesses.command(kind.name),
        workspace=str(workspace),
        files=str(files),
        session="11111111-2222-4333-8444-555555555555",
        permissions="ask",
        environ=env,
    )
    launch = manager.harnesses[kind.name](brief).launch()
    for name, content in launch.files.items():
        (files / name).write_text(content)
    script = SCRIPTS[kind.name](launch, env, str(workspace))
    async with AsyncExitStack() as stack:
        with clock.timed("script ready"):
            await stack.enter_async_context(script)
        await script.turn("warm up")
        for _ in range(TURNS):
            with clock.timed("script turn"):
                await script.turn("hello")


async def managed(kind: Kind, name: str, manager: Manager, clock: Clock) -> None:
    with clock.timed("madrox ready"):
        await manager.spawn(name, harness=kind.name, permissions="ask")
    await manager.send(name, "warm up")
    for _ in range(TURNS):
        with clock.timed("madrox turn"):
            await manager.send(name, "hello")
    await manager.terminate(name)


async def measured(kind: Kind) -> None:
    with tempfile.TemporaryDirectory() as folder, Model() as model:
        place, clock = Path(folder), Clock()
        home = place / "home"
        home.mkdir()
        env = {"PATH": os.environ["PATH"], "HOME": str(home), **kind.environ(home, model)}
        table = {} if kind.name == "rehearsal" else {"command": list(kind.command)}
        settings = config.load({"home": place / "madrox", "port": 0}, environ={}, files=()).settings
        object.__setattr__(settings, "tables", {"harness": {kind.name: table}})
        manager = await Manager(settings, environ=env).open()
        try:
            await manager.spawn("first", harness=kind.name)  # the guard, and the CLI's own files
            await manager.terminate("first")
            for number in range(ROUNDS):
                await scripted(kind, env, place / f"script{number}", manager, clock)
                await managed(kind, f"agent{number}", manager, clock)
        finally:
            await manager.close()
    report(kind, clock)


def report(kind: Kind, clock: Clock) -> None:
    script, ours = clock.median("script ready"), clock.median("madrox ready")
    turn, more = clock.median("script turn"), clock.median("madrox turn") - clock.median("script turn")
    ready_met = "met" if ours / script <= READY_GOAL else "MISSED"
    turn_met = "met" if more * 1000 <= TURN_GOAL else "MISSED"
    print(
        f"{kind.name:<10} ready {ours / script:5.2f} × ({ours:.2f} s against {script:.2f} s)  "
        f"goal ≤ {READY_GOAL} {ready_met:<6}  turn {(turn + more) / turn:5.2f} × "
        f"({more * 1000:+.1f} ms on {turn * 1000:.1f} ms)  goal ≤ +{TURN_GOAL:g} ms {turn_met}",
        flush=True,
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    known = [name for name in SCRIPTS if KINDS[name].command]
    parser.add_argument("names", nargs="*", choices=[[], *known], help="which (default: all that are there)")
    for name in parser.parse_args().names or known:
        asyncio.run(measured(KINDS[name]))


if __name__ == "__main__":
    main()
