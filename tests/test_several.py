"""Tools that do one thing to several agents, that let agents sleep and come back, and that wait for them."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest
from stages import run, stage

from madrox_nb.calls import find, in_tools
from madrox_nb.errors import AgentBusy, BadInput, Forbidden, MadroxError
from madrox_nb.events import PERSON, AgentSpawned, MessagePosted, TurnStarted

pytestmark = pytest.mark.slow

SEVERAL, CHILDREN = "send_to_multiple_instances", "broadcast_to_children"


def came_of(data: Any) -> list[tuple[str, str]]:
    return [(item["instance_id"], item["status"]) for item in data["results"]]


# asking


def test_one_text_reaches_several_agents_and_all_answers_come_back_in_their_order(tmp_path: Path) -> None:
    async def story() -> None:
        async with stage(tmp_path) as on:
            await on.spawn("ann", "bob", "cy")
            done = await on.call(
                PERSON,
                SEVERAL,
                instance_ids=["cy", "ann", "bob", "ann"],
                message="/slow 1 0.2",
                wait_for_responses=True,
            )

            assert [("cy", "completed"), ("ann", "completed"), ("bob", "completed")] == came_of(done.data)
            assert ["word-1"] * 3 == [item["response"] for item in done.data["results"]]
            assert done.text.startswith("asked 3 of 3\ncy: word-1\n")
            begun = [e.event.turn for e in on.manager.ledger if isinstance(e.event, TurnStarted)]
            assert {"ann.t1", "bob.t1", "cy.t1"} == set(begun)

    run(story())


def test_each_agent_can_be_sent_its_own_text_and_waited_for_or_not(tmp_path: Path) -> None:
    async def story() -> None:
        async with stage(tmp_path) as on:
            await on.spawn("ann", "bob")
            letters = [
                {"instance_id": "ann", "message": "/say one", "wait_for_response": True},
                {"instance_id": "bob", "message": "/say two"},
                {"instance_id": "ann", "message": "/say three", "wait_for_response": True},
            ]
            done = await on.call(PERSON, SEVERAL, messages=letters)
            [reply] = (await on.call(PERSON, "get_pending_replies", wait_timeout=45)).data["replies"]

            assert [("ann", "completed"), ("bob", "sent"), ("ann", "completed")] == came_of(done.data)
            assert ["one", None, "three"] == [item.get("response") for item in done.data["results"]]
            assert ("bob", "two") == (reply["sender"], reply["text"])

    run(story())


def test_who_can_not_be_asked_is_told_beside_the_others(tmp_path: Path) -> None:
    async def story() -> None:
        async with stage(tmp_path) as on:
            await on.spawn("lead", "max")
            await on.spawn("bob", "dead", by="lead")
            await on.spawn("mia", by="max")
            await on.call("lead", "terminate_instance", instance_id="dead")
            done = await on.call(
                "lead",
                SEVERAL,
                instance_ids=["bob", "dead", "mia", "bop", "lead"],
                message="/say hi",
                wait_for_responses=True,
            )

            assert ["dead", "mia", "bop", "lead"] == done.data["errors"]
            assert ["completed", *["error"] * 4] == [item["status"] for item in done.data["results"]]
            assert [None, "AgentGone", "Forbidden", "UnknownAgent", "BadInput"] == [
                item.get("error_type") for item in done.data["results"]
            ]
            assert "asked 1 of 5; not dead, mia, bop, lead" == done.text.splitlines()[0]
            assert (
                "dead: dead has stopped and can't be sent a message. Spawn it again: spawn_instance"
                in done.text
            )
            assert [] == on.entries(MessagePosted, "mia")

    run(story())


def test_a_turn_that_fails_is_an_item_that_failed_and_the_others_are_answered(tmp_path: Path) -> None:
    async def story() -> None:
        async with stage(tmp_path) as on:
            await on.spawn("ann", "bob")
            letters = [
                {"instance_id": "ann", "message": "/fail no"},
                {"instance_id": "bob", "message": "/say hi"},
            ]
            done = await on.call(PERSON, SEVERAL, messages=letters, wait_for_responses=True)

            assert [("ann", "error"), ("bob", "completed")] == came_of(done.data)
            assert "failed: no" in done.data["results"][0]["error"]

    run(story())


@pytest.mark.usefixtures("short")
def test_answers_that_take_longer_than_a_call_are_running_and_come_later_exactly_once(tmp_path: Path) -> None:
    async def story() -> None:
        async with stage(tmp_path) as on:
            await on.spawn("ann", "bob")
            letters = [
                {"instance_id": "ann", "message": "/say quick"},
                {"instance_id": "bob", "message": "/slow 5 0.4"},
            ]
            done = await on.call(PERSON, SEVERAL, messages=letters, wait_for_responses=True)
            assert await on.manager.quiet((), 60)
            replies = (await on.call(PERSON, "get_pending_replies")).data["replies"]

            assert [("ann", "completed"), ("bob", "running")] == came_of(done.data)
            assert [("bob", "word-1 word-2 word-3 word-4 word-5")] == [
                (r["sender"], r["text"]) for r in replies
            ]

    run(story())


def test_who_gives_up_waiting_for_several_finds_each_answer_once_in_its_inbox(tmp_path: Path) -> None:
    async def story() -> None:
        async with stage(tmp_path) as on:
            await on.spawn("ann", "bob")
            asking = asyncio.create_task(
                on.call(
                    PERSON,
                    SEVERAL,
                    instance_ids=["ann", "bob"],
                    message="/slow 2 0.5",
                    wait_for_responses=True,
                )
            )
            await on.turn_of("bob")
            asking.cancel()
            with pytest.raises(asyncio.CancelledError):
                await asking
            assert await on.manager.quiet((), 60)

            replies = (await on.call(PERSON, "get_pending_replies")).data["replies"]
            assert ["ann", "bob"] == sorted(reply["sender"] for reply in replies)

    run(story())


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({}, "say whom and what"),
        ({"instance_ids": ["a"]}, "say whom and what"),
        ({"instance_ids": [], "message": "x"}, "name at least one agent"),
        ({"messages": []}, "messages is empty"),
        ({"messages": [{"instance_id": "a", "message": "x"}], "message": "y"}, "not both"),
        ({"messages": [{"instance_id": "a", "mesage": "x"}]}, "messages.0.message: Field required"),
    ],
)
def test_what_to_send_to_whom_is_said_in_one_way(tmp_path: Path, given: dict[str, Any], said: str) -> None:
    async def story() -> None:
        async with stage(tmp_path) as on:
            with pytest.raises(BadInput) as refused:
                await on.call(PERSON, SEVERAL, **given)
            assert said in str(refused.value)

    run(story())


def test_messages_are_described_to_the_model_field_by_field() -> None:
    letter = find(SEVERAL).schema()["$defs"]["Letter"]

    assert ["instance_id", "message"] == letter["required"]
    assert False is letter["additionalProperties"]
    assert all(field["description"] for field in letter["properties"].values())


# children


def test_a_broadcast_reaches_the_living_direct_children_and_nobody_else(tmp_path: Path) -> None:
    async def story() -> None:
        async with stage(tmp_path) as on:
            await on.spawn("lead", "other")
            await on.spawn("ann", "bob", "gone", by="lead")
            await on.spawn("below", by="ann")
            await on.call("lead", "terminate_instance", instance_id="gone")
            mine = await on.call("lead", CHILDREN, message="/say hi", wait_for_responses=True)
            theirs = await on.call(PERSON, CHILDREN, parent_id="lead", message="/say ho")
            roots = await on.call(PERSON, CHILDREN, message="/say hey", wait_for_responses=True)
            nobody = await on.call("bob", CHILDREN, message="hi")

            assert [("ann", "completed"), ("bob", "completed")] == came_of(mine.data)
            assert ("lead", 2) == (theirs.data["parent"], theirs.data["total"])
            assert ["lead", "other"] == [item["instance_id"] for item in roots.data["results"]]
            assert [] == on.entries(MessagePosted, "below")
            assert ("bob has no living children: nobody was asked", 0) == (nobody.text, nobody.data["total"])
            for caller, whose in (("ann", "lead"), ("lead", "other"), ("ann", PERSON)):
                with pytest.raises(Forbidden):
                    await on.call(caller, CHILDREN, parent_id=whose, message="x")

    run(story())


# ending turns and agents


def test_several_turns_are_interrupted_and_what_can_not_be_is_told_beside_them(tmp_path: Path) -> None:
    async def story() -> None:
        async with stage(tmp_path) as on:
            await on.spawn("lead", "max")
            await on.spawn("ann", "bob", "idle", by="lead")
            await on.call("lead", SEVERAL, instance_ids=["ann", "bob"], message="/hang")
            await on.turn_of("ann")
            await on.turn_of("bob")
            done = await on.call(
                "lead", "interrupt_multiple_instances", instance_ids=["ann", "bob", "idle", "max", "bop"]
            )
            assert await on.manager.quiet((), 60)
            after = await on.manager.send("ann", "/recall")

            assert [
                ("ann", "interrupted"),
                ("bob", "interrupted"),
                ("idle", "unchanged"),
                ("max", "error"),
                ("bop", "error"),
            ] == came_of(done.data)
            assert "idle: idle has no turn under way" in done.text
            assert "/hang" in after.text

    run(story())


def test_several_agents_end_with_all_below_them_and_who_works_stays_unless_forced(tmp_path: Path) -> None:
    async def story() -> None:
        async with stage(tmp_path) as on:
            await on.spawn("ann", "bob", "cy")
            await on.spawn("below", by="ann")
            await on.call(PERSON, "send_to_instance", instance_id="bob", message="/hang")
            await on.turn_of("bob")
            names = ["ann", "bob", "bop", "below"]
            first = await on.call(PERSON, "terminate_multiple_instances", instance_ids=names)
            again = await on.call(
                PERSON, "terminate_multiple_instances", instance_ids=["ann", "bob"], force=True
            )

            assert ["terminated", "error", "error"] == [status for _, status in came_of(first.data)][:3]
            assert {"below", "ann"} == set(first.data["results"][0]["terminated"])
            assert ["AgentBusy", "UnknownAgent"] == [
                item["error_type"] for item in first.data["results"][1:3]
            ]
            assert [("ann", "unchanged"), ("bob", "terminated")] == came_of(again.data)
            assert ["cy"] == [agent.name for agent in on.manager.tree.alive()]

    run(story())


# sleeping and coming back


def test_a_suspended_agent_keeps_its_conversation_and_is_woken_by_a_tool_or_a_message(tmp_path: Path) -> None:
    async def story() -> None:
        async with stage(tmp_path) as on:
            await on.spawn("lead")
            await on.spawn("ann", by="lead")
            await on.manager.send("ann", "remember PINEAPPLE")
            asleep = await on.call("lead", "suspend_instance", instance_id="ann")
            again = await on.call("lead", "suspend_instance", instance_id="ann")
            woken = await on.call("lead", "resume_instance", instance_id="ann")
            awake = await on.call("lead", "resume_instance", instance_id="ann", name="ann")
            recalled = await on.call(
                "lead", "send_to_instance", instance_id="ann", message="/recall", wait_for_response=True
            )

            assert ("suspended", "idle") == (asleep.data["status"], asleep.data["was"])
            assert "ann was suspended already: a message wakes it" == again.text
            assert ("idle", "woken") == (woken.data["status"], woken.data["how"])
            assert ("ann is idle and was not suspended", "awake") == (awake.text, awake.data["how"])
            assert "PINEAPPLE" in recalled.text

    run(story())


def test_an_agent_that_has_ended_goes_on_with_its_conversation(tmp_path: Path) -> None:
    async def story() -> None:
        async with stage(tmp_path) as on:
            await on.spawn("lead")
            await on.spawn("ann", by="lead")
            await on.spawn("kid", by="ann")
            await on.manager.send("ann", "remember PINEAPPLE")
            await on.call("lead", "terminate_instance", instance_id="ann", force=True)
            left = await on.call("lead", "list_persisted_instances")
            with pytest.raises(BadInput, match="kid can't go on: its parent ann did not come back"):
                await on.call("lead", "resume_instance", instance_id="kid")
            back = await on.call("lead", "resume_instance", instance_id="ann")

            assert {"ann": (True, False, ""), "kid": (False, False, "its parent ann did not come back")} == (
                left_there(left.data)
            )
            assert ("idle", "session", on.manager.run) == (
                back.data["status"],
                back.data["how"],
                back.data["resumed_from"],
            )
            assert "PINEAPPLE" in (await on.manager.send("ann", "/recall")).text

    run(story())


SLEEPLESS: list[tuple[str, str, dict[str, Any], type[MadroxError], str]] = [
    ("ann", "suspend_instance", {"instance_id": "lead"}, Forbidden, "Ask the person"),
    ("ann", "resume_instance", {"instance_id": "lead"}, Forbidden, "Ask the person"),
    (PERSON, "suspend_instance", {"instance_id": "busy"}, AgentBusy, "interrupt_instance busy"),
    (PERSON, "resume_instance", {"instance_id": "ann", "name": "bea"}, BadInput, "Leave name out"),
    (PERSON, "resume_instance", {"instance_id": "ann", "model": "m-2"}, BadInput, "Leave model out"),
    ("ann", "resume_instance", {"instance_id": "gone"}, Forbidden, "Ask the person"),
    (PERSON, "resume_instance", {"instance_id": "gone", "model": "m-2"}, BadInput, "Leave model out"),
    (PERSON, "resume_instance", {"instance_id": "ghost"}, BadInput, "It has left: nobody"),
    (PERSON, "resume_instance", {"instance_id": "laed"}, BadInput, "Did you mean 'lead'?"),
]


def test_who_can_not_sleep_or_wake_says_why(tmp_path: Path) -> None:
    async def story() -> None:
        async with stage(tmp_path) as on:
            await on.spawn("lead", "busy", "gone")
            await on.spawn("ann", by="lead")
            await on.call(PERSON, "terminate_instance", instance_id="gone")
            await on.call(PERSON, "send_to_instance", instance_id="busy", message="/hang")
            await on.turn_of("busy")
            for caller, tool, given, kind, step in SLEEPLESS:
                with pytest.raises(kind) as refused:
                    await on.call(caller, tool, **given)
                assert step in in_tools(str(refused.value)), (caller, tool, given)

    run(story())


async def earlier(tmp_path: Path) -> str:
    """A run in which lead has ann, bob and old; bob was suspended, old was ended."""
    async with stage(tmp_path) as on:
        await on.spawn("lead", permissions="edits")
        await on.spawn("ann", "bob", "old", by="lead")
        for name in ("lead", "ann", "bob"):
            await on.manager.send(name, f"remember {name.upper()}")
        await on.call(PERSON, "suspend_instance", instance_id="bob")
        await on.call(PERSON, "terminate_instance", instance_id="old")
        return on.manager.run


def left_there(data: Any) -> dict[str, tuple[bool, bool, str]]:
    return {e["instance_id"]: (e["can_resume"], e["already_active"], e["why_not"]) for e in data["instances"]}


def test_agents_of_an_earlier_run_are_listed_and_come_back_one_by_one(tmp_path: Path) -> None:
    async def story() -> None:
        before = await earlier(tmp_path)
        async with stage(tmp_path) as on:
            at_first = await on.call(PERSON, "list_persisted_instances")
            with pytest.raises(
                BadInput, match=rf"ann can't come back from run {before}: its parent lead did not come back"
            ):
                await on.call(PERSON, "resume_instance", instance_id="ann")
            back = await on.call(PERSON, "resume_instance", instance_id="lead", model="m-2")
            await on.call(PERSON, "resume_instance", instance_id="bob")
            then = await on.call(PERSON, "list_persisted_instances")
            recalled = [(await on.manager.send(name, "/recall")).text for name in ("lead", "bob")]

            first = "its parent lead has to come back first"
            assert {
                "lead": (True, False, ""),
                "ann": (False, False, first),
                "bob": (False, False, first),
            } == left_there(at_first.data)
            lead = at_first.data["instances"][0]
            assert (before, True, "rehearsal", "idle") == (
                lead["run"],
                lead["workspace_exists"],
                lead["instance_type"],
                lead["state"],
            )
            assert lead["created_at"] < lead["last_activity"]
            assert (before, "session", "m-2") == (
                back.data["resumed_from"],
                back.data["how"],
                back.data["model"],
            )
            active = (False, True, "it is here already")
            assert {"lead": active, "ann": (True, False, ""), "bob": active} == left_there(then.data)
            assert ["REMEMBER LEAD", "REMEMBER BOB"] == [text.upper()[2:-2] for text in recalled]
            assert "lead" == on.manager.tree["bob"].parent

    run(story())


def test_what_this_run_has_ended_or_suspended_counts_more_than_what_an_earlier_one_left(
    tmp_path: Path,
) -> None:
    async def story() -> None:
        await earlier(tmp_path)
        async with stage(tmp_path) as on:
            for name in ("lead", "ann", "bob"):
                await on.call(PERSON, "resume_instance", instance_id=name)
            await on.manager.send("ann", "hi")
            await on.call(PERSON, "suspend_instance", instance_id="ann")
            await on.call(PERSON, "terminate_instance", instance_id="bob")
            found = (await on.call(PERSON, "list_persisted_instances")).data["instances"]

            of_bob = [(e["run"], e["state"], e["can_resume"]) for e in found if e["instance_id"] == "bob"]
            here = [(e["instance_id"], e["can_resume"]) for e in found if e["run"] == on.manager.run]
            assert [("ann", True), ("bob", True)] == here
            assert [(on.manager.run, "stopped", True)] == of_bob

    run(story())


def test_an_agent_brings_back_only_those_below_it_and_nobody_who_may_more_than_it(tmp_path: Path) -> None:
    async def story() -> None:
        await earlier(tmp_path)
        async with stage(tmp_path) as on:
            await on.spawn("lead", "other")
            mine = await on.call("lead", "list_persisted_instances")
            theirs = await on.call("other", "list_persisted_instances")
            with pytest.raises(BadInput, match="has not left ann for other to bring back"):
                await on.call("other", "resume_instance", instance_id="ann")
            with pytest.raises(Forbidden, match="had permissions='edits', and lead has 'deny'"):
                await on.call("lead", "resume_instance", instance_id="ann")

            assert ["ann", "bob"] == [each["instance_id"] for each in mine.data["instances"]]
            assert "nobody is suspended or has ended here, and no earlier run has left anybody" == theirs.text
            assert [] == on.entries(AgentSpawned, "ann")

    run(story())


# waiting


@pytest.mark.usefixtures("short")
def test_one_waits_for_all_or_for_the_first_and_is_told_who_is_still_at_work(tmp_path: Path) -> None:
    async def story() -> None:
        async with stage(tmp_path) as on:
            await on.spawn("lead")
            await on.spawn("ann", "bob", by="lead")
            nothing = await on.call("lead", "wait_for_instances")
            await on.call("lead", "send_to_instance", instance_id="ann", message="/slow 1 0.1")
            await on.call("lead", "send_to_instance", instance_id="bob", message="/hang")
            first = await on.call("lead", "wait_for_instances", instance_ids=["ann", "bob"], mode="any")
            on.told.clear()
            everyone = await on.call("lead", "wait_for_instances", timeout_seconds=100)
            told = on.told[0][1]
            await on.call("lead", "interrupt_instance", instance_id="bob")
            done = await on.call("lead", "wait_for_instances", instance_ids=["ann", "bob"])

            assert "completed" == nothing.data["status"]
            assert ("completed", ["bob"]) == (first.data["status"], first.data["working"])
            assert ("running", "running: bob at work") == (
                everyone.data["status"],
                everyone.text.splitlines()[0],
            )
            assert "bob at work, 0 s so far" == told
            assert ("completed", []) == (done.data["status"], done.data["working"])

    run(story())


def test_waiting_for_an_agent_is_waiting_for_all_below_it(tmp_path: Path) -> None:
    async def story() -> None:
        async with stage(tmp_path) as on:
            await on.spawn("lead")
            await on.spawn("kid", by="lead")
            await on.call(PERSON, "send_to_instance", instance_id="kid", message="/slow 2 0.1")
            await on.call(PERSON, "wait_for_instances", instance_ids=["lead"])

            assert ("idle", 1) == (on.manager.tree["kid"].state, on.manager.tree["kid"].turns)

    run(story())


def test_nobody_waits_for_itself_or_for_whom_its_own_turn_belongs_to(tmp_path: Path) -> None:
    async def story() -> None:
        async with stage(tmp_path) as on:
            await on.spawn("lead")
            await on.spawn("kid", by="lead")
            for name in ("lead", "kid"):
                with pytest.raises(BadInput, match="End your turn instead"):
                    await on.call("kid", "wait_for_instances", instance_ids=[name])

    run(story())
