"""The real Claude Code and Codex as a person sees them: the last resort, and it holds."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import groups
import pytest
import terminals
from chat import Chat
from model import Model

from madrox_nb import config
from madrox_nb.events import AgentStopped
from madrox_nb.manager import Manager

pytestmark = [pytest.mark.real, pytest.mark.timeout(240)]

LONG = "".join(f"{n} line of a long prompt\n" for n in range(4000)) + "the end"
"""Over 100 kB."""
STORY = Callable[[Manager], Awaitable[None]]


@asynccontextmanager
async def managed(home: Path, environ: dict[str, str]) -> AsyncIterator[Manager]:
    chosen = {"home": home, "harnesses": ("rehearsal",), "start_timeout": 90.0, "stop_grace": 10.0}
    settings = config.load(chosen, environ={}, files=()).settings
    manager = await Manager(settings, environ=environ).open()
    try:
        yield manager
    finally:
        await manager.close()


def told(home: Path, environ: dict[str, str], harness: str, story: STORY) -> None:
    async def main() -> None:
        async with managed(home, environ) as m:
            await m.spawn("lead", harness=harness, permissions="edits")
            await story(m)

    terminals.lend_shipped()
    asyncio.run(asyncio.wait_for(main(), 170))


async def shown(m: Manager, sign: str) -> None:
    while sign not in m.processes["lead"]._pipe._eye.text():
        await asyncio.sleep(0.05)


async def interrupted(m: Manager, text: str, sign: str) -> object:
    """Send `text`, and interrupt when `sign` is on the screen."""
    turn = asyncio.ensure_future(m.send("lead", text))
    await shown(m, sign)
    await m.interrupt("lead")
    return await turn


@pytest.fixture
def claude_screen(claude: str, claude_env: dict[str, str]) -> dict[str, str]:
    """Claude at its first start but for the onboarding, which would call home."""
    directory = Path(claude_env["CLAUDE_CONFIG_DIR"])
    directory.mkdir()
    (directory / ".claude.json").write_text(json.dumps({"hasCompletedOnboarding": True, "theme": "dark"}))
    return {**claude_env, "MADROX_CLAUDE_SCREEN_BIN": claude}


@pytest.fixture
def codex_screen(tmp_path: Path) -> tuple[dict[str, str], Chat]:
    found = sorted(groups.CLIS.glob("@openai/codex-*/vendor/*/bin/codex"))
    program = str(found[0]) if found else groups.absent("real", "the real codex", "make clis")
    with Chat() as chat:
        home = tmp_path / "home"
        (home / "codex").mkdir(parents=True)
        (home / "codex" / "config.toml").write_text(
            f"""
            model_provider = "stub"
            model = "stub-model"
            features = {{ apps = false, plugins = false }}
            analytics = {{ enabled = false }}
            [model_providers.stub]
            name = "stub"
            base_url = "{chat.url}"
            wire_api = "responses"
            env_key = "STUB_KEY"
            request_max_retries = 1
            stream_max_retries = 1
            """
        )
        environ = {"PATH": "/usr/bin:/bin", "LANG": "C.UTF-8", "HOME": str(home), "STUB_KEY": "dummy"}
        yield {**environ, "CODEX_HOME": str(home / "codex"), "MADROX_CODEX_SCREEN_BIN": program}, chat


def test_claude_is_driven_by_its_screen(tmp_path: Path, claude_screen: dict[str, str], model: Model) -> None:
    async def story(m: Manager) -> None:
        assert "echo: hello | seen=[]" == (await m.send("lead", "hello")).text
        answer = await m.send("lead", "two\n\nlines")
        assert "two\n\nlines" in model.requests[-1].prompt
        assert answer.text.startswith("echo: ")
        stopped = await interrupted(m, "SLOW 200 0.1", "word3")
        assert ("interrupted", True) == (stopped.outcome, stopped.text.startswith("word0 word1 "))
        assert 'seen=["hello"' in (await m.send("lead", "and now")).text  # its context is kept
        assert (await m.send("lead", LONG)).ok
        assert LONG in model.requests[-1].prompt
        await m.terminate("lead")

    told(tmp_path / "run", claude_screen, "claude-screen", story)


def test_what_is_not_permitted_is_refused_on_claudes_screen(
    tmp_path: Path, claude_screen: dict[str, str], model: Model
) -> None:
    """It asks on its screen, and the profile says no; in the agent's own directory it may write."""
    outside = tmp_path / "outside.txt"

    async def story(m: Manager) -> None:
        inside = Path(m.tree["lead"].workspace) / "inside.txt"
        call = json.dumps({"file_path": str(inside), "content": "x"})
        assert (await m.send("lead", f"CALL Write {call}")).ok
        assert "x" == inside.read_text().strip()
        call = json.dumps({"file_path": str(outside), "content": "x"})
        await m.send("lead", f"CALL Write {call}")
        assert not outside.exists()
        await m.send("lead", f'CALL Bash {{"command": "touch {outside}"}}')
        assert not outside.exists()

    told(tmp_path / "run", claude_screen, "claude-screen", story)


def test_a_claude_that_is_killed_at_work_has_not_succeeded(
    tmp_path: Path, claude_screen: dict[str, str]
) -> None:
    async def story(m: Manager) -> None:
        turn = asyncio.ensure_future(m.send("lead", "SLOW 200 0.1"))
        await shown(m, "word3")
        m.processes["lead"]._pipe.kill()
        assert not (await turn).ok
        assert [True] == [e.event.failed for e in m.ledger if isinstance(e.event, AgentStopped)]

    told(tmp_path / "run", claude_screen, "claude-screen", story)


def test_codex_is_driven_by_its_screen(tmp_path: Path, codex_screen: tuple[dict[str, str], Chat]) -> None:
    environ, chat = codex_screen

    def prompts() -> str:
        """Of the last turn: one request answers, one names the conversation."""
        return "".join(json.dumps(each["input"]) for each in chat.requests[-2:])

    async def story(m: Manager) -> None:
        assert (await m.send("lead", "hello")).text.startswith("echo: # Who you are")
        assert "Here it is:" == (await m.send("lead", "FENCE")).text.split("\n")[0]
        assert "interrupted" == (await interrupted(m, "SLOW", "esc to interrupt")).outcome
        assert (await m.send("lead", "two\n\nlines")).text.startswith("echo: two\n\nlines")
        assert (await m.send("lead", LONG)).ok
        assert json.dumps(LONG)[1:-1] in prompts()
        assert "SLOW" in prompts()  # its context is kept

    told(tmp_path / "run", environ, "codex-screen", story)
