"""What agents may do with the tools, what they take, and what they show. Real agents, no HTTP."""

from __future__ import annotations

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
    MadroxError,
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
