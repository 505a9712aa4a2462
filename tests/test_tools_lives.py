"""Spawning and ending by tools. Real agents, no HTTP."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from stages import run, stage

from madrox_nb.calls import in_tools
from madrox_nb.errors import AgentBusy, BadInput, BadPrompt, Forbidden, HarnessNotReady
from madrox_nb.events import PERSON

# spawning


def test_arguments_of_other_systems_pass_when_they_mean_nothing_and_else_say_what_to_do(
    tmp_path: Path,
) -> None:
    async def story() -> None:
        async with stage(tmp_path) as on:
            idle = {"bypass_isolation": False, "mcp_servers": None, "use_pty": False, "priority": ""}
            spawned = await on.call(PERSON, "spawn_instance", name="al", **idle)
            assert "idle" == spawned.data["status"]
            with pytest.raises(BadInput, match="Each CLI is started in the way"):
                await on.call(PERSON, "spawn_instance", name="bo", use_pty=True)
            with pytest.raises(BadInput, match="no argument 'use_worktree'"):
                await on.call(PERSON, "get_instance_tree", use_worktree=False)

    run(story())


def test_an_agent_is_the_parent_of_what_it_spawns_without_saying_so(tmp_path: Path) -> None:
    async def story() -> None:
        async with stage(tmp_path) as on:
            await on.spawn("alice")
            spawned = await on.call("alice", "spawn_instance", role="debugger")

            assert "alice.1" == spawned.data["instance_id"]
            assert "alice" == on.manager.tree["alice.1"].parent
            assert "idle" == spawned.data["status"]
            assert "spawned alice.1 (debugger, rehearsal, child of alice): idle" == spawned.text

    run(story())


def test_spawning_without_waiting_for_it_says_starting_and_keeps_its_first_task(tmp_path: Path) -> None:
    async def story() -> None:
        async with stage(tmp_path) as on:
            spawned = await on.call(
                PERSON, "spawn_instance", name="al", wait_for_ready=False, initial_prompt="/say hi"
            )
            assert "starting" == spawned.data["status"]

            [reply] = (await on.call(PERSON, "get_pending_replies", wait_timeout=45)).data["replies"]
            assert ("hi", spawned.data["message_id"], "ok") == (
                reply["text"],
                reply["answers"],
                reply["outcome"],
            )

    run(story())  # fmt: skip


def test_spawning_can_return_the_answer_to_the_first_task(tmp_path: Path) -> None:
    async def story() -> None:
        async with stage(tmp_path) as on:
            spawned = await on.call(
                PERSON, "spawn_instance", name="al", initial_prompt="/say 4", wait_for_response=True
            )

            assert ("completed", "4") == (spawned.data["status"], spawned.data["response"])
            assert spawned.text.endswith("\n\n4")

    run(story())


def test_a_cli_that_does_not_start_is_an_error_with_its_exit_code(tmp_path: Path) -> None:
    async def story() -> None:
        async with stage(tmp_path, {"MADROX_REHEARSAL_BIN": "false"}) as on:
            with pytest.raises(
                HarnessNotReady, match=r"al did not start: .*code 1\. See .*\. Spawn it again"
            ):
                await on.spawn("al")
            assert "failed" == on.manager.tree["al"].state

    run(story())


def test_a_first_task_that_cannot_be_sent_spawns_nobody(tmp_path: Path) -> None:
    async def story() -> None:
        async with stage(tmp_path) as on:
            with pytest.raises(BadPrompt):
                await on.spawn("al", initial_prompt="  ")
            with pytest.raises(BadInput, match="needs an initial_prompt"):
                await on.spawn("al", wait_for_response=True)
            assert 0 == len(on.manager.tree)

    run(story())


def test_a_child_gets_no_more_permissions_than_its_parent_has(tmp_path: Path) -> None:
    async def story() -> None:
        async with stage(tmp_path) as on:
            await on.spawn("alice")
            await on.spawn("boss", permissions="all")
            with pytest.raises(Forbidden, match="can't give a child more than it has"):
                await on.spawn("bob", by="alice", permissions="all")
            await on.spawn("bob", by="boss", permissions="all")
            await on.spawn("carol", by="boss")

            assert ["boss", "bob", "carol"] == [a.name for a in on.manager.tree.subtree("boss")]
            assert ["all", "edits"] == [a.permissions for a in on.manager.tree.children("boss")]

    run(story())


# ending


def test_a_busy_agent_is_interrupted_and_an_idle_one_has_nothing_to_interrupt(tmp_path: Path) -> None:
    async def story() -> None:
        async with stage(tmp_path) as on:
            await on.spawn("bob")
            idle = await on.call(PERSON, "interrupt_instance", instance_id="bob")
            await on.call(PERSON, "send_to_instance", instance_id="bob", message="/hang")
            busy = await on.call(PERSON, "interrupt_instance", instance_id="bob")

            assert {"interrupted": False, "turn": "", "confirmed": False} == idle.data
            assert {"interrupted": True, "turn": "bob.t1", "confirmed": True} == busy.data
            assert "idle" == on.manager.tree["bob"].state

    run(story())


def test_terminating_takes_everyone_below_along_but_no_one_at_work_unless_forced(tmp_path: Path) -> None:
    async def story() -> None:
        async with stage(tmp_path) as on:
            await on.spawn("alice")
            await on.spawn("bob", by="alice")
            await on.spawn("carol", by="bob")
            await on.call("bob", "send_to_instance", instance_id="carol", message="/hang")
            await on.turn_of("carol")
            with pytest.raises(AgentBusy) as refused:
                await on.call("alice", "terminate_instance", instance_id="bob")
            assert "carol is busy" in str(refused.value)
            assert "force=true ends it anyway" in in_tools(str(refused.value))
            ended = await on.call("alice", "terminate_instance", instance_id="bob", force=True)
            again = await on.call("alice", "terminate_instance", instance_id="bob")

            assert ["carol", "bob"] == ended.data["terminated"]
            assert ("bob had ended already", []) == (again.text, again.data["terminated"])
            assert "terminated by alice" == on.manager.tree["bob"].reason

    run(story())


def test_ending_goes_on_when_the_one_who_asked_for_it_hangs_up(tmp_path: Path) -> None:
    async def story() -> None:
        async with stage(tmp_path) as on:
            await on.spawn("alice")
            await on.spawn("bob", by="alice")
            ending = asyncio.create_task(on.call("alice", "terminate_instance", instance_id="alice"))
            await asyncio.sleep(0)
            ending.cancel()
            async with asyncio.timeout(60):
                while on.manager.tree.alive():
                    await on.manager.mail.change()

            assert ["stopped", "stopped"] == [agent.state for agent in on.manager.tree]

    run(story())
