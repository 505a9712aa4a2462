"""Record what real ACP agents write, for their codec's tests: python tests/real/record_acp.py [agent] [story]

Each story below becomes one file of its output lines. Lists that say what the program can do
are emptied, and this machine is taken out.
"""

from __future__ import annotations

import asyncio
import json
import sys
import tempfile
from collections.abc import Awaitable, Callable
from pathlib import Path

from acp_programs import PROGRAMS, Program
from driver import Driver
from mcp_server import TOKEN, TinyServer
from model import Model

from madrox_nb.events import TextDelta, TurnEnded
from madrox_nb.harness import Ask, Brief

ROOT = Path(__file__).parents[2]
Start = Callable[..., Driver]
"""Makes the driver of a new process: what its brief has more than the usual."""


async def turns(program: Program, start: Start) -> None:
    async with start() as lead:
        await lead.turn("one")
        await lead.turn("two")


async def tools(program: Program, start: Start) -> None:
    async with start() as lead:
        await lead.turn(program.tool("shaped", shape="text") + "\n" + program.tool("shaped", shape="error"))


async def interrupted(program: Program, start: Start) -> None:
    async with start() as lead:
        await lead.turn("one")
        lead.begin("SLOW 200 0.05")
        await lead.until(TextDelta)
        lead.write(lead.harness.interrupt())
        await lead.until(TurnEnded)
        await lead.turn("two")


async def asked(program: Program, start: Start) -> None:
    async with start() as lead:
        for decision in ("allow", "deny"):
            lead.begin(program.touch("made"))
            ask = await lead.until(Ask)
            lead.write(lead.harness.answer(ask.request, decision, "not in this house"))
            await lead.until(TurnEnded)
        lead.begin(program.writes(Path(lead.harness.brief.workspace, "written")))
        ask = await lead.until(Ask)
        lead.write(lead.harness.answer(ask.request, "allow"))
        await lead.until(TurnEnded)
        lead.begin(program.touch("made"))
        await lead.until(Ask)
        lead.write(lead.harness.interrupt())
        await lead.until(TurnEnded)


async def failing(program: Program, start: Start) -> None:
    async with start() as lead:
        for prompt in ("ERR 400", "EMPTY", "one"):
            await lead.turn(prompt)


async def resumed(program: Program, start: Start) -> None:
    async with start() as lead:
        await lead.turn("one")
        session = lead.ready.session
    async with start(resume=session) as lead:
        await lead.turn("two")
    async with start(resume=session, fork=True) as lead:
        await lead.turn("three")


Story = Callable[[Program, Start], Awaitable[None]]
STORIES: dict[str, tuple[Story, ...]] = {
    "opencode": (turns, tools, interrupted, asked, failing, resumed),
    "gemini": (turns, tools, interrupted, asked, failing),
}


async def record(program: Program, story: Story) -> None:
    drivers: list[Driver] = []
    with tempfile.TemporaryDirectory() as name, Model() as model, TinyServer() as server:
        home = Path(name)
        folders = {each: home / each for each in ("home", "workspace", "files")}
        for folder in folders.values():
            folder.mkdir()

        def start(**more: object) -> Driver:
            fields: dict[str, object] = {
                "agent": "lead",
                "command": program.command,
                "workspace": str(folders["workspace"]),
                "files": str(folders["files"]),
                "mcp_url": server.url,
                "mcp_token": TOKEN,
            }
            brief = Brief(**{**fields, **more})
            drivers.append(Driver(program.harness(brief), program.env(folders["home"], model.url)))
            return drivers[-1]

        await story(program, start)
        lines = [scrubbed(line, home) for driver in drivers for line in driver.wire]
    folder = ROOT / "tests" / "transcripts" / f"{program.name}-{drivers[0].ready.version}"
    folder.mkdir(parents=True, exist_ok=True)
    folder.joinpath(f"{story.__name__}.jsonl").write_text("".join(line + "\n" for line in lines))
    print(f"{program.name} {story.__name__}: {len(lines)} lines")


def scrubbed(line: str, home: Path) -> str:
    message = json.loads(line.replace(str(home), "/lead").replace(str(home)[1:], "lead"))
    update = (message.get("params") or {}).get("update") or {}
    if "availableCommands" in update:
        update["availableCommands"] = []
    return json.dumps(message)


def main() -> None:
    agents = [name for name in PROGRAMS if not sys.argv[1:] or name == sys.argv[1]]
    for name in agents:
        for story in STORIES[name]:
            if not sys.argv[2:] or story.__name__ in sys.argv[2:]:
                asyncio.run(record(PROGRAMS[name], story))


if __name__ == "__main__":
    main()
