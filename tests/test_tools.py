"""What agents may do with the tools, and what they are told. Real agents, no HTTP."""

from __future__ import annotations

import asyncio
import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from stages import run, stage

from madrox_nb import calls
from madrox_nb.calls import TOOLS, find, in_tools
from madrox_nb.errors import (
    AgentBusy,
    AgentGone,
    BadInput,
    BadPrompt,
    Forbidden,
    HarnessNotReady,
    MadroxError,
    TurnFailed,
    UnknownAgent,
    UnknownMessage,
)
from madrox_nb.events import PERSON, AgentSpawned, Entry, TurnStarted
from madrox_nb.tools import telling
from madrox_nb.tree import Tree

NOW = datetime(2026, 1, 31, 12, tzinfo=UTC)


# who may do what


def family() -> Tree:
    """you ─ ann ─ (bea ─ bo, cy), and you ─ max ─ mia."""
    parents = {"ann": None, "bea": "ann", "bo": "bea", "cy": "ann", "max": None, "mia": "max"}
    born = [AgentSpawned(agent=n, harness="h", role="r", parent=p) for n, p in parents.items()]
    return Tree.replay(Entry(seq, NOW, event) for seq, event in enumerate(born))


def allowed(rule: Any, caller: str, *more: str) -> set[str]:
    tree, names = family(), set()
    for name in tree.agents:
        try:
            rule(tree, caller, name, *more)
        except (Forbidden, BadInput):
            continue
        names.add(name)
    return names


def test_an_agent_acts_on_itself_and_those_below_it_and_on_nobody_else() -> None:
    assert {"ann", "bea", "bo", "cy"} == allowed(calls.may_act, "ann", "interrupt")
    assert {"bea", "bo"} == allowed(calls.may_act, "bea", "interrupt")
    assert {"bo"} == allowed(calls.may_act, "bo", "interrupt")


def test_an_agent_messages_those_below_it_its_parent_and_its_siblings_but_not_itself() -> None:
    assert {"bea", "bo", "cy", "max"} == allowed(calls.may_message, "ann")
    assert {"ann", "bo", "cy"} == allowed(calls.may_message, "bea")
    assert {"bea"} == allowed(calls.may_message, "bo")


def test_an_agent_sees_itself_and_whom_it_may_message() -> None:
    assert {"ann", "bea", "bo", "cy"} == allowed(calls.may_see, "bea")
    assert {"bea", "bo"} == allowed(calls.may_see, "bo")


def test_the_person_may_do_everything() -> None:
    everybody = set(family().agents)

    assert everybody == allowed(calls.may_act, PERSON, "interrupt")
    assert everybody == allowed(calls.may_message, PERSON)
    assert everybody == allowed(calls.may_see, PERSON)


def test_a_new_agent_becomes_a_child_of_its_spawner_or_of_someone_below_it() -> None:
    tree = family()

    assert "bea" == calls.parent_for(tree, "bea", None)
    assert "bo" == calls.parent_for(tree, "ann", "bo")
    assert "mia" == calls.parent_for(tree, PERSON, "mia")
    assert None is calls.parent_for(tree, PERSON, None)
    with pytest.raises(Forbidden, match="bea can't spawn below cy"):
        calls.parent_for(tree, "bea", "cy")
    with pytest.raises(UnknownAgent):
        calls.parent_for(tree, "bea", PERSON)


# what a tool takes


@pytest.mark.parametrize("tool", TOOLS.values(), ids=TOOLS)
def test_every_tool_and_each_of_its_arguments_is_described(tool: calls.Tool) -> None:
    schema = tool.schema()

    assert len(tool.description) > 40
    assert list(tool.parameters) == list(schema["properties"])
    assert [] == [name for name, p in schema["properties"].items() if not p.get("description")]
    assert False is schema["additionalProperties"]


def test_what_all_tools_cost_a_model_that_reads_them_stays_small() -> None:
    listed = [(tool.name, tool.description, tool.schema()) for tool in calls.usable("lead")]
    nulls = [name for name, _, schema in listed if '"null"' in json.dumps(schema)]

    assert [] == nulls  # an argument is left out; null is taken as well, and not worth its words
    assert 46_000 > len(json.dumps(listed, ensure_ascii=False))  # some 11,000 tokens


def test_what_is_the_persons_alone_is_neither_shown_to_an_agent_nor_done_for_it(tmp_path: Path) -> None:
    alone = {name for name, tool in TOOLS.items() if tool.person}
    shown = {who: {tool.name for tool in calls.usable(who)} for who in (PERSON, "lead")}

    assert {"list_approvals", "answer_approval"} == alone == shown[PERSON] - shown["lead"]
    assert alone - {"answer_approval"} <= {tool.name for tool in calls.usable(PERSON, "read")}

    async def story() -> None:
        async with stage(tmp_path) as on:
            await on.spawn("lead")
            for name in alone:
                with pytest.raises(Forbidden, match=f"{name} is the person's alone"):
                    await on.call("lead", name)

    run(story())


def test_another_name_of_a_tool_says_which_and_repeats_nothing() -> None:
    codex, other = TOOLS["spawn_codex"], TOOLS["spawn_codex_instance"]

    assert "Another name of spawn_codex" in other.description
    assert {"As in spawn_codex."} == {each["description"] for each in other.schema()["properties"].values()}
    assert codex.arguments({"name": "x", "role": None}) == other.arguments({"name": "x", "role": None})


@pytest.mark.parametrize(
    ("tool", "given", "said"),
    [
        ("send_to_instance", {"instance": "bob"}, "no argument 'instance'. Did you mean 'instance_id'"),
        ("spawn_claude", {"harness": "opencode"}, "Which CLI is said by instance_type of spawn_instance"),
        ("spawn_claude", {"instance_type": "codex"}, "Another CLI is started with spawn_instance"),
        ("spawn_instance", {"temperature": 0}, "temperature is not taken here. No agent CLI lets it"),
        ("spawn_claude", {"sandbox_mode": "read-only"}, "That is a setting of Codex: spawn_codex"),
        ("spawn_instance", {"use_worktre": True}, "no argument 'use_worktre'. Did you mean 'use_worktree'"),
        ("spawn_instance", {"name": ["bob"]}, "name: Input should be a valid string. It takes: name?"),
        ("send_to_instance", {"instance_id": "bob"}, "message: Field required. It takes: instance_id,"),
        ("get_pending_replies", {"wait_timeout": float("nan")}, "wait_timeout: Input should be a finite"),
        ("list_harnesses", {"depth": 1}, "no argument 'depth'. It takes no arguments"),
    ],
)  # fmt: skip
def test_a_wrong_argument_is_refused_naming_what_is_known(
    tool: str, given: dict[str, Any], said: str
) -> None:
    with pytest.raises(BadInput) as refused:
        find(tool).arguments(given)

    assert said in str(refused.value)


def test_null_means_the_default_and_numbers_may_come_as_text() -> None:
    meant = find("send_to_instance").arguments(
        {"instance_id": "bob", "message": "hi", "wait_for_response": None, "timeout_seconds": "20"}
    )

    assert {
        "instance_id": "bob",
        "message": "hi",
        "wait_for_response": False,
        "timeout_seconds": 20.0,
        "steer": False,
    } == meant


def test_an_unknown_tool_is_named_with_the_nearest_one() -> None:
    with pytest.raises(BadInput, match=r"no tool 'send_to_instances'\. Did you mean 'send_to_instance'"):
        find("send_to_instances")


def test_spawning_claude_takes_what_spawning_any_agent_takes_but_the_kind() -> None:
    anything, claude = TOOLS["spawn_instance"].parameters, TOOLS["spawn_claude"].parameters

    assert {**claude, "instance_type": anything["instance_type"]} == anything


def test_tools_that_only_look_or_wait_say_so_and_only_terminating_destroys() -> None:
    looking = {name for name, tool in TOOLS.items() if tool.read_only}

    assert {name for name in TOOLS if name.startswith(("get_", "list_", "wait_"))} == looking
    assert ["terminate_instance", "terminate_multiple_instances"] == [
        name for name, tool in TOOLS.items() if tool.destructive
    ]


def test_the_next_step_in_an_error_is_told_in_tools() -> None:
    started = TurnStarted(agent="bob", turn="bob.t2", sender="", text="")
    again = "%madrox spawn bob --role architect --harness claude --parent lead"
    gone = AgentGone(started, "stopped", again=again)
    said = [str(e) for e in (AgentBusy(started, "busy"), gone, UnknownAgent("bob"))]

    assert "Wait for it (get_instance_status bob) or end it (interrupt_instance bob)" in in_tools(said[0])
    once_more = "spawn_instance bob role=architect instance_type=claude parent_instance_id=lead"
    assert f"Spawn it again: {once_more}" in in_tools(said[1])
    assert "`spawn_instance NAME` starts one" in in_tools(said[2])
    assert "end it: terminate_instance bob force=true" in in_tools("or end it: %madrox stop bob --force")
    assert "git push --force failed" == in_tools("git push --force failed")


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


# words


def test_an_answer_comes_to_whoever_waits_for_it(tmp_path: Path) -> None:
    async def story() -> None:
        async with stage(tmp_path) as on:
            await on.spawn("alice", "bob")
            answer = await on.call(
                "alice", "send_to_instance", instance_id="bob", message="/say 4", wait_for_response=True
            )

            assert "4" == answer.text
            assert ("completed", "alice.m1", "bob.t1") == tuple(
                answer.data[key] for key in ("status", "message_id", "turn")
            )
            assert 0 == on.manager.tree["alice"].turns, "nothing came a second time"
            assert [] == (await on.call("alice", "get_pending_replies")).data["replies"]

    run(story())


def test_what_a_child_replied_stands_before_its_last_words(tmp_path: Path) -> None:
    async def story() -> None:
        async with stage(tmp_path) as on:
            await on.spawn("alice", "bob")
            await on.call(PERSON, "send_to_instance", instance_id="alice", message="/hang")
            asked = asyncio.create_task(
                on.call(
                    "alice",
                    "send_to_instance",
                    instance_id="bob",
                    message="/slow 3 0.3",
                    wait_for_response=True,
                )
            )
            await on.turn_of("bob")
            replied = await on.call("bob", "reply_to_caller", reply_message="half of it", instance_id="bob")

            assert "alice" == replied.data["recipient"]
            assert "half of it\n\nword-1 word-2 word-3" == (await asked).text

    run(story())  # fmt: skip


def test_an_answer_that_nobody_waits_for_starts_the_askers_next_turn(tmp_path: Path) -> None:
    async def story() -> None:
        async with stage(tmp_path) as on:
            await on.spawn("alice")
            await on.spawn("bob", by="alice")
            sent = await on.call("alice", "send_to_instance", instance_id="bob", message="/say 4")
            assert ("sent", "alice.m1") == (sent.data["status"], sent.data["message_id"])
            assert "comes as your next prompt" in sent.text
            assert await on.manager.quiet(("alice",), 10)

            [started] = on.entries(TurnStarted, "alice")
            assert "[bob.m1] bob answers [alice.m1]:\n4" == started.text
            assert [] == (await on.call("alice", "get_pending_replies")).data["replies"]

    run(story())


def test_the_answers_of_a_child_without_auto_inject_wait_and_are_taken_once(tmp_path: Path) -> None:
    async def story() -> None:
        async with stage(tmp_path) as on:
            await on.spawn("alice")
            await on.spawn("bob", by="alice", auto_inject=False)
            sent = await on.call("alice", "send_to_instance", instance_id="bob", message="/say 4")
            assert sent.text.endswith("get_pending_replies brings the answer")
            taken = await on.call("alice", "get_pending_replies", wait_timeout=45)
            again = await on.call("alice", "get_pending_replies")

            [reply] = taken.data["replies"]
            assert ("bob", "alice.m1", "4") == (reply["sender"], reply["answers"], reply["text"])
            assert "[bob.m1] bob answers [alice.m1]:\n4" == taken.text
            assert [] == again.data["replies"]
            assert 0 == on.manager.tree["alice"].turns

    run(story())


def test_a_busy_agent_queues_and_each_who_waits_gets_the_answer_to_their_own(tmp_path: Path) -> None:
    async def story() -> None:
        async with stage(tmp_path) as on:
            await on.spawn("alice", "bob", "carol")
            await on.call(PERSON, "send_to_instance", instance_id="bob", message="/slow 2 0.1")
            queued = await on.call("carol", "send_to_instance", instance_id="bob", message="/say zero")
            waiting = [
                on.call(
                    who, "send_to_instance", instance_id="bob", message=f"/say {n}", wait_for_response=True
                )
                for n, who in enumerate(["alice", "carol", "alice", PERSON])
            ]
            answers = await asyncio.gather(*waiting)

            assert "queued" == queued.data["status"]
            assert ["0", "1", "2", "3"] == [answer.text for answer in answers]

    run(story())


@pytest.mark.slow
@pytest.mark.usefixtures("short")
def test_a_long_wait_reports_progress_and_ends_as_running_and_the_answer_comes_later(tmp_path: Path) -> None:
    async def story() -> None:
        async with stage(tmp_path) as on:
            await on.spawn("alice", "bob")
            on.told.clear()
            for caller in ("alice", PERSON):
                running = await on.call(
                    caller,
                    "send_to_instance",
                    instance_id="bob",
                    message="/slow 5 0.4",
                    wait_for_response=True,
                )
                assert "running" == running.data["status"]
                assert running.text.startswith("running: bob is busy. ")
                assert await on.manager.quiet((), 60)

            assert 6 <= len(on.told)
            assert "bob is busy, 0 s so far" == on.told[0][1]
            [started] = on.entries(TurnStarted, "alice")
            assert "word-1 word-2 word-3 word-4 word-5" in started.text
            [reply] = (await on.call(PERSON, "get_pending_replies")).data["replies"]
            assert (running.data["message_id"], "word-1 word-2 word-3 word-4 word-5") == (
                reply["answers"],
                reply["text"],
            )

    run(story())  # fmt: skip


@pytest.mark.usefixtures("short")
def test_waiting_for_replies_in_vain_says_who_is_still_at_work(tmp_path: Path) -> None:
    async def story() -> None:
        async with stage(tmp_path) as on:
            await on.spawn("bob")
            nobody = await on.call(PERSON, "get_pending_replies")
            await on.call(PERSON, "send_to_instance", instance_id="bob", message="/hang")
            on.told.clear()
            nothing = await on.call(PERSON, "get_pending_replies", wait_timeout=100)

            assert "no messages, and nobody is at work on anything you asked" == nobody.text
            assert (
                "no messages yet: bob is busy (bob.t1). Call it again with a wait_timeout, or go on"
                == nothing.text
            )
            assert on.told

    run(story())  # fmt: skip


@pytest.mark.parametrize(
    ("message", "said"),
    [("/say half\n/fail no disk", "failed: no disk. It had said: half"), ("/crash", "code 3")],
)
def test_a_turn_that_fails_is_an_error_with_its_reason_and_what_was_said(
    tmp_path: Path, message: str, said: str
) -> None:
    async def story() -> None:
        async with stage(tmp_path) as on:
            await on.spawn("bob")
            with pytest.raises(TurnFailed, match="See get_instance_output") as failed:
                await on.call(
                    PERSON, "send_to_instance", instance_id="bob", message=message, wait_for_response=True
                )
            assert said in str(failed.value)

    run(story())


def test_a_failure_that_nobody_waited_for_is_told_the_person_too(tmp_path: Path) -> None:
    async def story() -> None:
        async with stage(tmp_path) as on:
            await on.spawn("bob")
            await on.call(PERSON, "send_to_instance", instance_id="bob", message="/fail no disk")

            [reply] = (await on.call(PERSON, "get_pending_replies", wait_timeout=45)).data["replies"]
            assert ("failed", "no disk") == (reply["outcome"], reply["text"])

    run(story())


def test_giving_up_a_wait_leaves_the_agent_at_work_and_its_answer_in_the_inbox(tmp_path: Path) -> None:
    async def story() -> None:
        async with stage(tmp_path) as on:
            await on.spawn("bob")
            asking = asyncio.create_task(
                on.call(
                    PERSON,
                    "send_to_instance",
                    instance_id="bob",
                    message="/slow 2 0.5",
                    wait_for_response=True,
                )
            )
            await on.turn_of("bob")
            asking.cancel()
            with pytest.raises(asyncio.CancelledError):
                await asking

            [reply] = (await on.call(PERSON, "get_pending_replies", wait_timeout=45)).data["replies"]
            assert "word-1 word-2" == reply["text"]

    run(story())  # fmt: skip


def test_a_reply_to_a_question_is_not_followed_by_the_turns_last_words(tmp_path: Path) -> None:
    async def story() -> None:
        async with stage(tmp_path) as on:
            await on.spawn("bob")
            await on.call(PERSON, "send_to_instance", instance_id="bob", message="/slow 2 0.5")
            await on.call("bob", "reply_to_caller", reply_message="42", correlation_id="bob.t1")
            await on.manager.quiet((), 60)

            replies = (await on.call(PERSON, "get_pending_replies")).data["replies"]
            assert [("42", "bob.t1")] == [(reply["text"], reply["answers"]) for reply in replies]

    run(story())


# refusals


SEND, REPLY, OUTPUT = "send_to_instance", "reply_to_caller", "get_instance_output"
REFUSED: list[tuple[str, str, dict[str, Any], type[MadroxError], str]] = [
    ("alice", SEND, {"instance_id": "alise", "message": "x"}, UnknownAgent, "Did you mean 'alice'"),
    ("alice", SEND, {"instance_id": "Bob", "message": "x"}, UnknownAgent, "Did you mean 'bob'"),
    ("alice", SEND, {"instance_id": "alice", "message": "x"}, BadInput, "put in a file"),
    ("alice", SEND, {"instance_id": "you", "message": "x"}, BadInput, "Use reply_to_caller"),
    ("bob", SEND, {"instance_id": "max", "message": "x"}, Forbidden, "Ask the person"),
    ("alice", SEND, {"instance_id": "bob", "message": " "}, BadPrompt, "write what"),
    ("bob", REPLY, {"reply_message": "x", "instance_id": "alice"}, Forbidden, "Leave instance_id out"),
    ("bob", REPLY, {"reply_message": "x", "correlation_id": "a.m9"}, UnknownMessage, "Known: none"),
    ("you", REPLY, {"reply_message": "x"}, BadInput, "use send_to_instance"),
    ("bob", "get_pending_replies", {"instance_id": "alice"}, Forbidden, "read what was said"),
    ("you", "get_pending_replies", {"instance_id": "alice"}, Forbidden, "read what was said"),
    ("bob", "interrupt_instance", {"instance_id": "alice"}, Forbidden, "Ask the person"),
    ("alice", "terminate_instance", {"instance_id": "max"}, Forbidden, "Ask the person"),
    ("bob", OUTPUT, {"instance_id": "max"}, Forbidden, "Ask the person"),
    ("alice", OUTPUT, {"instance_id": "bob", "since": "noon"}, BadInput, "Write it as"),
    ("bob", "get_children", {"parent_id": "max"}, Forbidden, "Ask the person"),
    ("bob", "spawn_instance", {"name": "x", "parent_instance_id": "alice"}, Forbidden, "Ask the person"),
    ("bob", "spawn_instance", {"name": "alice"}, MadroxError, "Choose another name"),
]  # fmt: skip


def test_every_refusal_says_the_next_step(tmp_path: Path) -> None:
    async def story() -> None:
        async with stage(tmp_path) as on:
            await on.spawn("alice", "max")
            await on.spawn("bob", by="alice")
            for caller, tool, given, kind, step in REFUSED:
                with pytest.raises(kind) as refused:
                    await on.call(caller, tool, **given)
                assert step in in_tools(str(refused.value)), (caller, tool, given)

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


# looking


def test_the_tree_is_drawn_with_states_and_the_reader_in_it(tmp_path: Path) -> None:
    async def story() -> None:
        async with stage(tmp_path) as on:
            nobody = await on.call(PERSON, "get_instance_tree")
            await on.spawn("alice", role="architect")
            await on.spawn("bob", "carol", by="alice")
            await on.spawn("dan", by="bob")
            await on.call(PERSON, "terminate_instance", instance_id="carol")
            drawn = await on.call("bob", "get_instance_tree")

            assert "no agents yet: spawn_instance starts one" == nobody.text
            assert [
                "alice (alice) [idle] (rehearsal) architect",
                "├── bob (bob) [idle] (rehearsal) general ← you",
                "│   └── dan (dan) [idle] (rehearsal) general",
                "└── carol (carol) [stopped] (rehearsal) general",
            ] == drawn.text.splitlines()
            [root] = drawn.data["tree"]
            assert ["bob", "carol"] == [child["name"] for child in root["children"]]
            assert ["alice", "bob", "carol", "dan"] == [each["name"] for each in drawn.data["instances"]]

    run(story())


def test_children_and_states_are_told_in_text_and_data_that_json_can_hold(tmp_path: Path) -> None:
    async def story() -> None:
        async with stage(tmp_path) as on:
            await on.spawn("alice", "max")
            await on.spawn("bob", by="alice")
            await on.spawn("dan", by="bob")
            roots = await on.call(PERSON, "get_children")
            mine = await on.call("alice", "get_children")
            near = await on.call("dan", "get_instance_status")
            one = await on.call("dan", "get_instance_status", instance_id="bob")

            assert ["alice", "max"] == [each["name"] for each in roots.data["children"]]
            assert "bob (bob) [idle] (rehearsal) general" == mine.text
            assert ["bob", "dan"] == [each["name"] for each in near.data["instances"]]
            assert ("alice", ["dan"], 0) == tuple(one.data[key] for key in ("parent", "children", "queued"))
            assert "permissions: deny" in one.text
            for told in (roots, mine, near, one):
                json.dumps(told.data, allow_nan=False)

    run(story())


def test_a_transcript_is_read_from_the_ledger_newest_last(tmp_path: Path) -> None:
    async def story() -> None:
        async with stage(tmp_path) as on:
            await on.spawn("alice", "bob")
            nothing = await on.call("alice", "get_instance_output", instance_id="bob")
            for word in ("one", "two"):
                await on.manager.send("bob", f"/say {word}", sender="alice")
            whole = await on.call("alice", "get_instance_output", instance_id="bob")
            last = await on.call("alice", "get_instance_output", instance_id="bob", limit=1)
            since = whole.data["output"][1]["timestamp"]
            later = await on.call("alice", "get_instance_output", instance_id="bob", since=since)

            assert "nothing was said to or by bob yet" == nothing.text
            assert ["prompt", "answer", "prompt", "answer"] == [row["type"] for row in whole.data["output"]]
            assert ["alice", "bob", "alice", "bob"] == [row["sender"] for row in whole.data["output"]]
            assert last.text.startswith("[3 older entries are left out here]\n")
            assert ["two"] == [row["content"] for row in last.data["output"]]
            assert "two" == later.data["output"][-1]["content"]
            assert "one" not in later.text.replace(since, "")

    run(story())


def test_a_long_transcript_is_cut_and_says_what_is_missing(tmp_path: Path) -> None:
    async def story() -> None:
        async with stage(tmp_path) as on:
            await on.spawn("bob")
            await on.manager.send("bob", f"/say {'x' * 100_000}")
            for n in range(6):
                await on.manager.send("bob", f"/say {n}{'y' * 4000}")
            cut = await on.call(PERSON, "get_instance_output", instance_id="bob")
            first = await on.call(PERSON, "get_instance_output", instance_id="bob", limit=1)
            await on.manager.send("bob", f"/say {'z' * 50_000}")
            long = await on.call(PERSON, "get_instance_output", instance_id="bob", limit=1)

            assert len(cut.text) <= telling.LONGEST_OUTPUT + 100
            assert cut.data["left_out"] == 14 - len(cut.data["output"])
            assert f"[{cut.data['left_out']} older entries are left out here]" == cut.text.splitlines()[0]
            assert "5yyy" in first.text
            assert "[… 45,000 characters are left out here …]" in long.text

    run(story())
