"""What agents are given besides what all have. Real agents, real MCP servers."""

from __future__ import annotations

import asyncio
import json
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from crew import with_run
from rogues.toolbox import digest

from madrox_nb.config import Settings
from madrox_nb.errors import BadInput, Forbidden
from madrox_nb.events import PERSON, AgentSpawned, Entry
from madrox_nb.manager import Manager
from madrox_nb.revival import bring_back

TOOLBOX = str(Path(__file__).parent / "rogues" / "toolbox.py")
BOX = {"command": sys.executable, "args": ["-I", "-S", TOOLBOX]}
ALLOWED = {"policy": {"mcp__box__*": "allow"}}
SECRET = "hush-7f3b19c2d4e5"


def opened(home: Path, environ: dict[str, str] | None = None, **settings: Any) -> Manager:
    chosen = Settings(home=home, harnesses=("rehearsal",), stop_grace=1.0, **settings)
    return Manager(chosen, environ={"PATH": "/usr/bin:/bin", **(environ or {})})


async def asked(manager: Manager, agent: str, tool: str, **given: str) -> str:
    """What the toolbox says to that agent."""
    answer = await manager.send(agent, f"/mcp box {tool} {json.dumps(given)}")
    return answer.text.removeprefix(f"{tool} returned: ")


def read(path: str | Path) -> bytes:
    return Path(path).read_bytes()


def files_with(needle: str, directory: Path) -> list[str]:
    return [str(p) for p in directory.rglob("*") if p.is_file() and needle.encode() in p.read_bytes()]


# MCP servers


def test_an_agent_calls_the_server_that_it_was_given_and_its_secret_is_written_nowhere(tmp_path):
    async def story() -> None:
        manager = await opened(tmp_path, {"BOX_TOKEN": SECRET}, **ALLOWED).open()
        try:
            await manager.spawn("lead", mcp_servers={"box": {**BOX, "env": {"T": "${BOX_TOKEN}"}}})
            pid = manager.processes["lead"].pid
            argv = read(f"/proc/{pid}/cmdline")

            assert digest(SECRET) == await asked(manager, "lead", "digest", name="T")
            assert manager.tree["lead"].workspace == await asked(manager, "lead", "where")
            assert SECRET.encode() not in argv
            assert "${BOX_TOKEN}" == json.loads(manager.tree["lead"].mcp_servers)["box"]["env"]["T"]
            private = manager.processes.files("lead") / "mcp-servers.json"
            assert 0o600 == private.stat().st_mode & 0o777
            assert [str(private)] == files_with(SECRET, tmp_path)
            await manager.suspend("lead")
            assert [] == files_with(SECRET, tmp_path)
            assert digest(SECRET) == await asked(manager, "lead", "digest", name="T")
        finally:
            await manager.close()
        assert [] == files_with(SECRET, tmp_path)

    asyncio.run(story())


def test_a_secret_that_is_written_out_is_recorded_as_a_name(tmp_path):
    async def story(manager: Manager) -> None:
        await manager.spawn("lead", mcp_servers={"box": {**BOX, "env": {"BOX_TOKEN": SECRET}}})
        await manager.send("lead", f"/say it is {SECRET}")

        assert digest(SECRET) == await asked(manager, "lead", "digest", name="BOX_TOKEN")
        assert [] == files_with(SECRET, manager.settings.home / "audit")
        assert "{secret:BOX_TOKEN}" in manager.tree["lead"].mcp_servers

    with_run(tmp_path, story, **ALLOWED)


def test_a_suspended_agent_has_its_servers_again_and_a_renewed_secret_is_the_new_one(tmp_path, monkeypatch):
    monkeypatch.setenv("BOX_RENEWED", "first-secret-1")

    async def story() -> None:
        settings = Settings(home=tmp_path, harnesses=("rehearsal",), **ALLOWED)
        manager = await Manager(settings).open()
        try:
            box = {**BOX, "env": {"A": "${BOX_RENEWED}", "B_TOKEN": SECRET}}
            await manager.spawn("lead", mcp_servers={"box": box})
            await manager.send("lead", "hello")
            await manager.suspend("lead")
            monkeypatch.setenv("BOX_RENEWED", "second-secret-2")

            assert digest("second-secret-2") == await asked(manager, "lead", "digest", name="A")
            assert digest(SECRET) == await asked(manager, "lead", "digest", name="B_TOKEN")
        finally:
            await manager.close()

    asyncio.run(story())


def test_after_a_kernels_end_secrets_come_from_the_environment_or_are_said_to_be_missing(tmp_path):
    box = {**BOX, "env": {"BOX_TOKEN": SECRET}}

    async def first() -> None:
        manager = await opened(tmp_path, **ALLOWED).open()
        for name in ("lead", "other"):
            await manager.spawn(name, mcp_servers={"box": box} if name == "lead" else None)
            await manager.send(name, "hello")
        await manager.close()

    async def then(environ: dict[str, str]) -> tuple[list[Any], str]:
        manager = await opened(tmp_path, environ, **ALLOWED).open()
        try:
            returned = await bring_back(manager)
            found = await asked(manager, "lead", "digest", name="BOX_TOKEN") if returned[0].how else ""
        finally:
            await manager.close()
        return returned, found

    asyncio.run(first())
    with_it, found = asyncio.run(then({"BOX_TOKEN": SECRET}))
    without, _ = asyncio.run(then({}))

    assert ("session", digest(SECRET)) == (with_it[0].how, found)
    assert "the MCP server 'box' needs BOX_TOKEN, which the environment does not have" in without[0].why
    assert ["", "session"] == [each.how for each in without]


def test_a_fork_has_the_servers_of_the_original(tmp_path):
    async def story(manager: Manager) -> None:
        await manager.spawn("lead", mcp_servers={"box": {**BOX, "env": {"BOX_TOKEN": SECRET}}})
        await manager.send("lead", "hello")
        await manager.fork("lead", "twin")

        assert digest(SECRET) == await asked(manager, "twin", "digest", name="BOX_TOKEN")

    with_run(tmp_path, story, **ALLOWED)


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"mcp_servers": ["brave-search"]}, "the MCP server 'brave-search' needs BRAVE_API_KEY"),
        ({"mcp_servers": ["brave-serch"]}, "no MCP preset 'brave-serch'. Did you mean 'brave-search'"),
        ({"mcp_servers": {"x": {"command": "no-such-program"}}}, "there is no such program"),
        ({"mcp_servers": {"x": {"type": "sse", "url": "http://x/"}}}, "can't be given the MCP server 'x'"),
        ({"mcp_servers": {"x": BOX}, "harness": "forgetful"}, "it takes none"),
        ({"environment_vars": {"A": "${ABSENT}"}}, "environment_vars needs ABSENT"),
        ({"environment_vars": {"MADROX_AGENT": "x"}}, "MADROX_AGENT is ours"),
        ({"bypass_isolation": True, "permissions": "ask"}, "bypass_isolation means permissions='all'"),
        ({"git_repo": "/"}, "give use_worktree too"),
        ({"use_worktree": True, "workspace_dir": "x"}, "are two places; choose one"),
        ({"initial_prompt": " "}, "empty"),
    ],
)  # fmt: skip
def test_what_can_not_be_given_is_refused_before_anything_happens(tmp_path, given, said):
    async def story() -> None:
        manager = await opened(tmp_path).open()
        try:
            with pytest.raises(BadInput, match=said):
                await manager.spawn("lead", **given)
            assert [] == list(manager.tree)
            assert not (tmp_path / "work" / "lead").exists() or not any(
                (tmp_path / "work" / "lead").iterdir()
            )
        finally:
            await manager.close()

    asyncio.run(story())


def test_an_agent_may_name_presets_and_say_nothing_of_what_they_run(tmp_path):
    async def story() -> None:
        manager = await opened(tmp_path).open()
        try:
            await manager.spawn("lead", permissions="edits")
            for servers in ({"x": BOX}, json.dumps({"x": BOX})):
                with pytest.raises(Forbidden, match="lead can't say what MCP servers run"):
                    await manager.spawn("kid", mcp_servers=servers, parent="lead", by="lead")
            (tmp_path / "bin").mkdir()
            manager._environ_now = {"PATH": str(tmp_path / "bin")}  # where no npx is: it was allowed
            with pytest.raises(BadInput, match="no such program"):
                await manager.spawn("kid", mcp_servers=["memory"], parent="lead", by="lead")
            wider = {"FILESYSTEM_ROOT": "/"}
            with pytest.raises(Forbidden, match="lead can't give FILESYSTEM_ROOT"):
                await manager.spawn(
                    "kid", mcp_servers="filesystem", environment_vars=wider, parent="lead", by="lead"
                )
            await manager.spawn("boss", permissions="all")
            kid = await manager.spawn("kid", mcp_servers={"x": BOX}, parent="boss", by="boss")
            assert "idle" == kid.state
        finally:
            await manager.close()

    asyncio.run(story())


# variables


def test_variables_arrive_in_the_process_and_their_secrets_in_no_file(tmp_path):
    async def story() -> None:
        manager = await opened(tmp_path, {"GIVEN": "kernel"}, **ALLOWED).open()
        try:
            given = {"STAGE": "test", "MY_TOKEN": SECRET, "COPY": "${GIVEN}", "COUNT": 3, "GIVEN": "agent"}
            await manager.spawn("lead", mcp_servers={"box": BOX}, environment_vars=given)
            await manager.send("lead", f"/say {SECRET}")
            meant = {"STAGE": "test", "MY_TOKEN": SECRET, "COPY": "kernel", "COUNT": "3", "GIVEN": "agent"}
            for name, value in meant.items():
                assert digest(value) == await asked(manager, "lead", "digest", name=name)
            assert {**given, "MY_TOKEN": "{secret:MY_TOKEN}", "COUNT": "3"} == json.loads(
                manager.tree["lead"].environment
            )
            assert [] == files_with(SECRET, tmp_path / "audit")
        finally:
            await manager.close()

    asyncio.run(story())


def test_agents_give_one_another_no_loaders_and_replace_nothing(tmp_path):
    async def story() -> None:
        manager = await opened(tmp_path, {"STAGE": "live"}).open()
        try:
            await manager.spawn("lead")
            for name in ("LD_PRELOAD", "PATH", "STAGE"):
                with pytest.raises(Forbidden, match=name):
                    await manager.spawn("kid", environment_vars={name: "x"}, parent="lead", by="lead")
            kid = await manager.spawn("kid", environment_vars={"LEVEL": "2"}, parent="lead", by="lead")
            mine = await manager.spawn("mine", environment_vars={"LD_LIBRARY_PATH": "/nowhere"})
            assert ("idle", "idle") == (kid.state, mine.state)
        finally:
            await manager.close()

    asyncio.run(story())


# a first prompt, and permissions


def test_a_first_prompt_is_worked_on_and_its_answer_left(tmp_path):
    async def story(manager: Manager) -> None:
        await manager.spawn("lead", initial_prompt="/say done", bypass_isolation=True)
        [message] = await manager.take(PERSON, 10)

        assert "done" == message.text
        assert "all" == manager.tree["lead"].permissions

    with_run(tmp_path, story)


def test_what_is_recorded_of_a_birth_reads_back_as_it_was():
    born = AgentSpawned(
        agent="a", harness="h", role="r", mcp_servers="{}", branch="madrox/a", base="1", repository="/r"
    )
    entry = Entry.from_line(Entry(0, datetime(2026, 1, 31, tzinfo=UTC), born).to_line())

    assert born == entry.event
