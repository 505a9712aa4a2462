"""Record what the real Claude Code writes, for tests/test_claude.py: python tests/real/record.py

Each story below becomes one file of its output lines. Long lists that say what the program
can do are emptied, and this machine is taken out.
"""

from __future__ import annotations

import asyncio
import json
import os
import re
import sys
import tempfile
import uuid
from collections.abc import Awaitable, Callable
from pathlib import Path

from driver import Driver
from mcp_server import TOKEN, TinyServer
from model import Model

from madrox_nb.events import TextDelta, TurnEnded
from madrox_nb.harness import Ask, Brief
from madrox_nb.harness.claude import Claude

ROOT = Path(__file__).parents[2]
LISTS = (
    "agents",
    "available_output_styles",
    "capabilities",
    "commands",
    "models",
    "plugins",
    "skills",
    "slash_commands",
    "terminal_slash_commands",
    "tools",
)


async def turns(lead: Driver) -> None:
    await lead.turn("one")
    await lead.turn("two")


async def tools(lead: Driver) -> None:
    await lead.turn('CALL mcp__madrox__add {"a": 40, "b": 2}\nCALL mcp__madrox__shaped {"shape": "error"}')


async def interrupted(lead: Driver) -> None:
    await lead.turn("one")
    lead.begin("SLOW 200 0.05")
    await lead.until(TextDelta)
    lead.write(lead.harness.interrupt())
    await lead.until(TurnEnded)
    await lead.turn("two")


async def asked(lead: Driver) -> None:
    lead.begin('CALL Bash {"command": "touch made"}')
    ask = await lead.until(Ask)
    lead.write(lead.harness.answer(ask.request, "deny", "not in this house"))
    await lead.until(TurnEnded)
    lead.begin('CALL Bash {"command": "touch made"}')
    await lead.until(Ask)
    lead.write(lead.harness.interrupt())
    await lead.until(TurnEnded)


async def failing(lead: Driver) -> None:
    for prompt in ("ERR 400", "ERR 529 1", "EMPTY", "one"):
        await lead.turn(prompt)


async def delegating(lead: Driver) -> None:
    bash = 'CALL Bash {"command": "echo deep"}'
    inner = {"description": "d", "prompt": bash, "subagent_type": "general-purpose"}
    await lead.turn(f"CALL Task {json.dumps(inner)}")


async def clearing(lead: Driver) -> None:
    for prompt in ("one", "/clear", "two"):
        await lead.turn(prompt)


STORIES: tuple[Callable[[Driver], Awaitable[None]], ...] = (
    turns,
    tools,
    interrupted,
    asked,
    failing,
    delegating,
    clearing,
)


def scrubbed(line: str, home: Path) -> str:
    line = line.replace(str(home), "/home/lead").replace(re.sub(r"\W|_", "-", str(home)), "-home-lead")
    line = re.sub(r"/tmp/(claude-|cc-socks/)\d+", r"/tmp/\g<1>1", line)
    return json.dumps(_emptied(json.loads(line)))


def _emptied(value: object) -> object:
    if isinstance(value, dict):
        return {
            key: [] if key in LISTS and isinstance(of, list) else 1 if key == "pid" else _emptied(of)
            for key, of in value.items()
        }
    return [_emptied(item) for item in value] if isinstance(value, list) else value


async def record(command: str, story: Callable[[Driver], Awaitable[None]], folder: Path) -> None:
    with tempfile.TemporaryDirectory() as name, Model() as model, TinyServer() as server:
        home = Path(name)
        brief = Brief(
            agent="lead",
            command=(command,),
            workspace=name,
            files=name,
            session=str(uuid.uuid4()),
            mcp_url=server.url,
            mcp_token=TOKEN,
        )
        env = {
            "PATH": os.environ["PATH"],
            "HOME": name,
            "CLAUDE_CONFIG_DIR": f"{name}/claude",
            "ANTHROPIC_BASE_URL": model.url,
            "ANTHROPIC_API_KEY": "dummy",
            "CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC": "1",
            "CLAUDE_CODE_MAX_RETRIES": "1",
        }
        async with Driver(Claude(brief), env) as lead:
            await story(lead)
        lines = "".join(scrubbed(line, home) + "\n" for line in lead.wire)
        folder.joinpath(f"{story.__name__}.jsonl").write_text(lines)
        print(f"{story.__name__}: {len(lead.wire)} lines of {lead.ready.version}")


def main() -> None:
    command = sorted(ROOT.glob(".clis/node_modules/@anthropic-ai/claude-code-*/claude"))[0]
    package = json.loads(command.with_name("package.json").read_text())
    folder = ROOT / "tests" / "transcripts" / f"claude-{package['version']}"
    folder.mkdir(parents=True, exist_ok=True)
    wanted = sys.argv[1:]
    for story in STORIES:
        if not wanted or story.__name__ in wanted:
            asyncio.run(record(str(command), story, folder))


if __name__ == "__main__":
    main()
