"""The tools that start agents, as models and programs call them. Real agents, no HTTP."""

from __future__ import annotations

import asyncio
import json
import sys
from pathlib import Path
from typing import Any

import pytest
from crew import run_of, until
from rogues.toolbox import digest
from stages import run, stage
from test_equipment import ALLOWED, BOX

from madrox_nb import get_mcp_servers
from madrox_nb.calls import TOOLS
from madrox_nb.errors import BadInput, Forbidden, HarnessNotFound
from madrox_nb.events import PERSON, ToolCalled, TurnStarted


def test_a_codex_agent_has_two_names_for_its_tool_and_settings_of_its_own() -> None:
    claude, codex = TOOLS["spawn_claude"], TOOLS["spawn_codex"]

    assert codex.function is TOOLS["spawn_codex_instance"].function
    assert {"sandbox_mode", "profile"} == {*codex.parameters} - {*claude.parameters}
    assert {"instance_type"} == {*TOOLS["spawn_instance"].parameters} - {*claude.parameters}
    allowed = ["read-only", "workspace-write", "danger-full-access"]
    assert allowed == codex.schema()["properties"]["sandbox_mode"]["enum"]


def test_what_is_set_of_codex_reaches_it(tmp_path: Path) -> None:
    async def story() -> None:
        fake = tmp_path / "codex"
        fake.write_text("#!/bin/sh\nexit 3\n")
        fake.chmod(0o755)
        async with stage(tmp_path, {"MADROX_CODEX_BIN": str(fake)}) as on:
            given = {"name": "cody", "sandbox_mode": "read-only", "wait_for_ready": False}
            await on.call(PERSON, "spawn_codex_instance", **given, options={"reasoning_effort": "low"})
            agent = on.manager.tree["cody"]
            assert "codex" == agent.harness
            assert {"sandbox_mode": "read-only", "reasoning_effort": "low"} == json.loads(agent.options)
            with pytest.raises(BadInput, match=r"profile='fast' is read from /nowhere/fast\.config"):
                await on.call(
                    PERSON, "spawn_codex", profile="fast", environment_vars={"CODEX_HOME": "/nowhere"}
                )

    run(story())


def test_a_missing_cli_is_an_error_and_nothing_stands_in_the_tree(tmp_path: Path) -> None:
    async def story() -> None:
        async with stage(tmp_path, {"PATH": "/nowhere"}) as on:
            with pytest.raises(HarnessNotFound, match="npm install -g @anthropic-ai/claude-code"):
                await on.call(PERSON, "spawn_claude", name="lead")
            assert [] == list(on.manager.tree)

    run(story())


def test_roots_that_are_spawned_one_after_the_other_are_nobodys_children(tmp_path: Path) -> None:
    async def story() -> None:
        async with stage(tmp_path) as on:
            for number in range(5):
                await on.call(PERSON, "spawn_instance", name=f"root {number}", initial_prompt="hello")
            assert [None] * 5 == [agent.parent for agent in on.manager.tree]

    run(story())


# what is given


def test_an_agent_is_given_servers_variables_and_a_place_by_its_parent(tmp_path: Path) -> None:
    async def story() -> None:
        async with stage(tmp_path, **ALLOWED) as on:
            await on.spawn("lead", permissions="all")
            await on.call(
                "lead",
                "spawn_instance",
                name="kid",
                mcp_servers=json.dumps({"box": BOX}),
                environment_vars={"LEVEL": 2},
                workspace_dir="parts",
                bypass_isolation=True,
            )
            kid = on.manager.tree["kid"]
            answer = await on.manager.send("kid", '/mcp box digest {"name": "LEVEL"}')

            assert f"digest returned: {digest('2')}" == answer.text
            assert f"{on.manager.tree['lead'].workspace}/parts" == kid.workspace
            assert "all" == kid.permissions

    run(story())


def test_nobody_gives_more_than_it_may(tmp_path: Path) -> None:
    async def story() -> None:
        async with stage(tmp_path) as on:
            await on.spawn("lead", permissions="edits")
            for given, said in (
                ({"bypass_isolation": True}, "can't give a child more than it has"),
                ({"mcp_servers": {"box": BOX}}, "can't say what MCP servers run"),
                ({"environment_vars": {"LD_PRELOAD": "x"}}, "can't give LD_PRELOAD"),
                ({"workspace_dir": "/tmp"}, "inside its own workspace"),
                ({"use_worktree": True}, "a worktree of the repository in which it works itself"),
            ):
                with pytest.raises(Forbidden, match=said):
                    await on.call("lead", "spawn_instance", name="kid", **given)
            assert ["lead"] == [agent.name for agent in on.manager.tree]

    run(story())


def test_what_the_seed_passes_to_spawn_is_taken(tmp_path: Path) -> None:
    async def story() -> None:
        npx = tmp_path / "npx"
        npx.write_text("#!/bin/sh\n")
        npx.chmod(0o755)
        async with stage(tmp_path, {"PATH": f"{tmp_path}:/usr/bin:/bin"}) as on:
            servers = get_mcp_servers("playwright", "memory")
            spawned = await on.call(
                PERSON, "spawn_instance", name="web-scraper", role="data_analyst", mcp_servers=servers
            )
            assert ("idle", "web-scraper") == (spawned.data["status"], spawned.data["instance_id"])
            assert ["playwright", "memory"] == list(json.loads(on.manager.tree["web-scraper"].mcp_servers))

    run(story())


# several


def test_several_are_started_in_the_order_asked_for_and_a_failure_keeps_nobody_back(tmp_path: Path) -> None:
    async def story() -> None:
        async with stage(tmp_path) as on:
            result = await on.call(
                PERSON,
                "spawn_multiple_instances",
                instances=[
                    {"name": "architect", "role": "architect", "type": "rehearsal"},
                    {"name": "lost", "role": "no such role"},
                    {"name": "coder", "instance_type": "absent"},
                    {"name": "typo", "rol": "general"},
                    {"name": "React Developer", "instance_type": "Rehearsal", "initial_prompt": "/say hello"},
                ],
            )
            data = result.data
            failed = {error["name"]: error["error"] for error in data["errors"]}
            [answer] = await on.manager.take(PERSON, 10)

            assert ["architect", None, None, None, "React Developer"] == data["instance_ids"]
            assert [0, 4] == [each["index"] for each in data["spawned"]]
            assert [1, 2, 3] == [each["index"] for each in data["errors"]]
            assert "no role named 'no such role'" in failed["lost"]
            assert "pip install no-such-cli" in failed["coder"]
            assert "no argument 'rol'. Did you mean 'role'?" in failed["typo"]
            assert "hello" == answer.text
            assert result.text.startswith("2 of 5 spawned\nspawned architect (architect, rehearsal): idle\n")
            assert "coder was not spawned: " in result.text

    run(story())


def test_several_start_side_by_side(tmp_path: Path) -> None:
    async def story() -> None:
        async with stage(tmp_path) as on:
            ready: list[str] = []
            on.manager.ledger.listen(lambda entry: ready.append(entry.event.kind))
            await on.call(PERSON, "spawn_multiple_instances", instances=[{"name": f"w{n}"} for n in range(5)])

            assert ["agent.spawned"] * 5 == ready[:5]  # all were born before the first was ready
            assert 5 == ready.count("agent.ready")

    run(story())


def test_never_more_live_than_the_limit_allows_however_many_are_asked_for_at_once(tmp_path: Path) -> None:
    async def story() -> None:
        async with stage(tmp_path, max_instances=3) as on:
            wanted = [{"name": f"w{n}"} for n in range(4)]
            both = [{"instances": wanted[:2]}, {"instances": wanted[2:]}]
            asking = (on.call(PERSON, "spawn_multiple_instances", **each) for each in both)
            results = await asyncio.gather(*asking)
            [error] = [error for result in results for error in result.data["errors"]]

            assert 3 == len(on.manager.tree.alive())
            assert error["error"].startswith("3 agents are alive and max_instances is 3")

    run(story())


def test_those_without_a_name_are_numbered_and_none_is_lost(tmp_path: Path) -> None:
    async def story() -> None:
        async with stage(tmp_path) as on:
            await on.spawn("lead")
            result = await on.call(
                "lead", "spawn_multiple_instances", instances=[{}, {}, {"role": "debugger"}]
            )

            assert ["lead.1", "lead.2", "lead.3"] == result.data["instance_ids"]
            assert {"lead"} == {agent.parent for agent in on.manager.tree if agent.name != "lead"}

    run(story())


@pytest.mark.parametrize(("instances", "said"), [([], "holds 0 agents"), ([{}] * 51, "holds 51 agents")])
def test_a_call_starts_a_sensible_number(tmp_path: Path, instances: list[Any], said: str) -> None:
    async def story() -> None:
        async with stage(tmp_path) as on:
            with pytest.raises(BadInput, match=said):
                await on.call(PERSON, "spawn_multiple_instances", instances=instances)

    run(story())


def test_the_whole_of_a_first_prompt_reaches_each_of_several(tmp_path: Path) -> None:
    async def story() -> None:
        async with stage(tmp_path) as on:
            brief = "- a list\n" * 2000 + "the end;"
            await on.call(
                PERSON, "spawn_multiple_instances", instances=[{"name": "a", "initial_prompt": brief}]
            )
            await on.manager.quiet(("a",), 10)
            [started] = on.entries(TurnStarted, "a")
            assert started.text.endswith(brief)

    run(story())


# what there is


def test_what_can_be_started_is_listed_with_what_it_can_do(tmp_path: Path) -> None:
    async def story() -> None:
        async with stage(tmp_path, {"PATH": "/nowhere"}) as on:
            result = await on.call(PERSON, "list_harnesses")
            rows = {row["harness"]: row for row in result.data["harnesses"]}

            assert (True, True, "rehearsal") == (
                rows["rehearsal"]["installed"],
                rows["rehearsal"]["mcp"],
                result.data["default"],
            )
            assert not rows["claude"]["installed"]
            assert "rehearsal 1" in result.text
            assert "without instance_type: rehearsal" in result.text

    run(story())


def test_presets_are_listed_with_what_they_lack(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    own = {"box": {"command": sys.executable, "env": {"T": "${BOX_TOKEN}"}}}
    (tmp_path / ".mcp.json").write_text(json.dumps({"mcpServers": own}))

    async def story() -> None:
        async with stage(tmp_path, {"BRAVE_API_KEY": "x"}) as on:
            result = await on.call(PERSON, "list_mcp_presets")
            rows = {row["name"]: row for row in result.data["presets"]}

            assert ([], ["BRAVE_API_KEY"]) == (
                rows["brave-search"]["missing"],
                rows["brave-search"]["variables"],
            )
            assert ["GITHUB_PERSONAL_ACCESS_TOKEN"] == rows["github"]["missing"]
            assert (["BOX_TOKEN"], str(tmp_path / ".mcp.json")) == (
                rows["box"]["missing"],
                rows["box"]["source"],
            )
            assert "MISSING: GITHUB_PERSONAL_ACCESS_TOKEN" in result.text

    run(story())


def test_a_server_that_ends_or_hangs_costs_one_turn_and_no_more(tmp_path: Path) -> None:
    async def story() -> None:
        async with run_of(tmp_path, **ALLOWED) as manager:
            servers = {"box": BOX, "dead": {"command": "true"}}
            await manager.spawn("lead", mcp_servers=servers, permissions="all")
            broken = await manager.send("lead", "/mcp dead anything")
            called = manager.ask("lead", "/mcp box wait")
            ticket = await until(manager, lambda entry: isinstance(entry.event, ToolCalled), called)
            await manager.interrupt("lead")
            cut = await manager.answer(ticket)
            well = await manager.send("lead", "/mcp box where")

        assert cut is not None
        assert ("failed", "interrupted", "ok") == (broken.outcome, cut.outcome, well.outcome)
        assert "the MCP server 'dead'" in broken.error

    run(story())
