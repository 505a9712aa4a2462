"""Record what the real CLIs write, for the tests of their codecs: python tests/real/record.py codex

Each story below becomes one file of its output lines. Long lists that say what the program
can do are emptied, and this machine is taken out. Named stories alone are recorded with
`record.py codex turns tools`.
"""

from __future__ import annotations

import asyncio
import json
import os
import re
import sys
import tempfile
import uuid
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from driver import Driver
from mcp_server import TOKEN, TinyServer
from model import Model

from madrox_nb.events import TextDelta, ToolCalled, TurnEnded
from madrox_nb.harness import Ask, Brief, Harness
from madrox_nb.harness.claude import Claude
from madrox_nb.harness.codex import Codex

ROOT = Path(__file__).parents[2]
CLIS = ROOT / ".clis" / "node_modules"
Story = Callable[[Driver], Awaitable[None]]
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


CLAUDE: tuple[Story, ...] = (turns, tools, interrupted, asked, failing, delegating, clearing)


async def codex_interrupted_tool(lead: Driver) -> None:
    lead.begin("CALL mcp__madrox__wait {}")
    await lead.until(ToolCalled)
    lead.write(lead.harness.interrupt())
    await lead.until(TurnEnded)
    await lead.turn("one")


async def codex_asked(lead: Driver) -> None:
    patch = "apply_patch <<EOF\n*** Begin Patch\n*** Add File: new.txt\n+hello\n*** End Patch\nEOF"
    commands = ("touch made", "ls", patch)
    for command, decision in zip(commands, ("deny", "allow", "allow"), strict=True):
        lead.begin(f"CALL exec_command {json.dumps({'cmd': command})}")
        ask = await lead.until(Ask)
        lead.write(lead.harness.answer(ask.request, decision))
        await lead.until(TurnEnded)
    lead.begin('CALL exec_command {"cmd": "touch made"}')
    await lead.until(Ask)
    lead.write(lead.harness.interrupt())
    await lead.until(TurnEnded)


async def codex_refused(lead: Driver) -> None:
    lead.begin('CALL exec_command {"cmd": "touch made"}')
    ask = await lead.until(Ask)
    lead.write(lead.harness.answer(ask.request, "deny", "not in this house"))
    await lead.until(TurnEnded)


async def codex_steered(lead: Driver) -> None:
    lead.begin("SLOW 20 0.05")
    await lead.until(TextDelta)
    lead.write(lead.harness.steer("lead.m1", "also this"))
    await lead.until(TurnEnded)


async def codex_failing(lead: Driver) -> None:
    for prompt in ("ERR 400", "ERR 429", "ERR 401", "DROP", "EMPTY", "one"):
        await lead.turn(prompt)


async def codex_resumed(lead: Driver) -> None:
    await lead.turn("two")
    await lead.turn("three")


CODEX: dict[str, Story] = {
    "turns": turns,
    "tools": tools,
    "interrupted": interrupted,
    "interrupted_tool": codex_interrupted_tool,
    "asked": codex_asked,
    "refused": codex_refused,
    "steered": codex_steered,
    "failing": codex_failing,
    "resumed": codex_resumed,
    "forked": codex_resumed,
}


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


@dataclass(frozen=True)
class Cli:
    """One program to record."""

    harness: type[Harness]
    command: Path
    version: str
    stories: Mapping[str, Story]
    environ: Callable[[Path, Model], dict[str, str]]
    """What it gets to know, from its home and the stub."""
    goes_on: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    """Stories about a session that goes on in a new process, after a first prompt: how."""


def claude() -> Cli:
    command = sorted(CLIS.glob("@anthropic-ai/claude-code-*/claude"))[0]
    version = json.loads(command.with_name("package.json").read_text())["version"]
    return Cli(Claude, command, version, {story.__name__: story for story in CLAUDE}, claude_environ)


def claude_environ(home: Path, model: Model) -> dict[str, str]:
    return {
        "CLAUDE_CONFIG_DIR": f"{home}/claude",
        "ANTHROPIC_BASE_URL": model.url,
        "ANTHROPIC_API_KEY": "dummy",
        "CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC": "1",
        "CLAUDE_CODE_MAX_RETRIES": "1",
    }


def codex() -> Cli:
    command = sorted(CLIS.glob("@openai/codex-*/vendor/*/bin/codex"))[0]
    version = json.loads((CLIS / "@openai" / "codex" / "package.json").read_text())["version"]
    goes_on = {"resumed": {}, "forked": {"fork": True}}
    return Cli(Codex, command, version, CODEX, codex_environ, goes_on)


def codex_environ(home: Path, model: Model) -> dict[str, str]:
    for name in ("codex", "tmp"):
        (home / name).mkdir(exist_ok=True)
    (home / "codex" / "config.toml").write_text(codex_config(model.url))
    # its sandbox needs links that it does not put below the place for temporary files
    return {"CODEX_HOME": f"{home}/codex", "TMPDIR": f"{home}/tmp", "STUB_KEY": "dummy"}


def codex_config(url: str) -> str:
    """A config.toml with the stub in it; the model is one that codex doesn't know, so it has plain tools."""
    return f"""\
model = "stub-model"
model_provider = "stub"

[model_providers.stub]
name = "stub"
base_url = "{url}/v1"
wire_api = "responses"
env_key = "STUB_KEY"
request_max_retries = 1
stream_max_retries = 1
"""


async def record(cli: Cli, name: str, folder: Path) -> None:
    with tempfile.TemporaryDirectory() as place, Model() as model, TinyServer() as server:
        home = Path(place)
        env = {"PATH": os.environ["PATH"], "HOME": place, **cli.environ(home, model)}
        brief = Brief(
            agent="lead",
            command=(str(cli.command),),
            workspace=place,
            files=place,
            session=str(uuid.uuid4()),
            mcp_url=server.url,
            mcp_token=TOKEN,
        )
        if name in cli.goes_on:
            async with Driver(cli.harness(brief), env) as first:
                await first.turn("one")
            brief = replace(brief, resume=first.ready.session, **cli.goes_on[name])
        async with Driver(cli.harness(brief), env) as lead:
            await cli.stories[name](lead)
        lines = "".join(scrubbed(line, home) + "\n" for line in lead.wire)
        folder.joinpath(f"{name}.jsonl").write_text(lines)
        print(f"{name}: {len(lead.wire)} lines of {lead.ready.version}")


KNOWN: dict[str, Callable[[], Cli]] = {"claude": claude, "codex": codex}


def main(which: str = "claude", *wanted: str) -> None:
    cli = KNOWN[which]()
    folder = ROOT / "tests" / "transcripts" / f"{which}-{cli.version}"
    folder.mkdir(parents=True, exist_ok=True)
    for name in wanted or cli.stories:
        asyncio.run(record(cli, name, folder))


if __name__ == "__main__":
    main(*sys.argv[1:])
