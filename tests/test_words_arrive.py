"""What the system before this one lost, mixed up or made up, each as a test that shows it right here.

W… are its measured weaknesses, B… what its users could see and rely on. All
through tool calls, with real rehearsal agents.
"""

from __future__ import annotations

import asyncio
import os
import signal
import time
from pathlib import Path
from typing import Any

import pytest
from crew import Rogue  # noqa: F401 — lends a second harness
from stages import Stage, run, stage

from madrox_nb.errors import AgentBusy, AgentGone, UnknownAgent
from madrox_nb.events import PERSON, AgentReady, AgentSpawned, MessagePosted, TurnStarted

pytestmark = pytest.mark.slow

SEND, INBOX, TREE = "send_to_instance", "get_pending_replies", "get_instance_tree"


async def inbox(on: Stage, whose: str, **given: Any) -> list[tuple[str, str]]:
    replies = (await on.call(whose, INBOX, **given)).data["replies"]
    return [(reply["sender"], reply["text"]) for reply in replies]


async def said(on: Stage, caller: str, name: str, message: str) -> str:
    """The answer to a message that is waited for."""
    done = await on.call(caller, SEND, instance_id=name, message=message, wait_for_response=True)
    return str(done.data["response"])


# weaknesses


def test_w1_who_is_spawned_without_a_parent_belongs_to_whoever_spawned_it(tmp_path: Path) -> None:
    async def story() -> None:
        async with stage(tmp_path) as on:
            names = [f"root-{n}" for n in range(8)]
            await asyncio.gather(*(on.spawn(name) for name in names))
            await said(on, PERSON, "root-7", "/say I am the most recently active one")
            await on.spawn("late")
            await on.spawn("kid", by="root-3")
            ended = await on.call(PERSON, "terminate_instance", instance_id="root-0")

            parents = {agent.name: agent.parent for agent in on.manager.tree}
            assert {**dict.fromkeys([*names, "late"]), "kid": "root-3"} == parents
            assert ["root-0"] == ended.data["terminated"]

    run(story())


def test_w4_no_reply_is_ever_one_too_many(tmp_path: Path) -> None:
    async def story() -> None:
        async with stage(tmp_path) as on:
            await on.spawn("bob")
            began = time.monotonic()
            for number in range(250):
                await on.call("bob", "reply_to_caller", reply_message=f"reply {number}")
            seconds = time.monotonic() - began
            answer = await said(on, PERSON, "bob", "/say still there")

            assert seconds < 30, "a reply does not wait for anybody to read it"
            assert "still there" == answer
            assert [("bob", f"reply {number}") for number in range(250)] == await inbox(on, PERSON)
            assert [] == await inbox(on, PERSON)

    run(story())


def test_w5_a_question_to_a_parent_is_not_answered_by_what_its_child_has_left(tmp_path: Path) -> None:
    async def story() -> None:
        async with stage(tmp_path) as on:
            await on.spawn("lead")
            await on.spawn("kid", by="lead", auto_inject=False)
            await on.call("kid", "reply_to_caller", reply_message="KID RESULT")

            assert "MINE" == await said(on, PERSON, "lead", "/say MINE")
            assert [("kid", "KID RESULT")] == await inbox(on, "lead")
            assert [] == await inbox(on, "kid")

    run(story())


def test_w6_a_late_answer_to_one_question_is_never_the_answer_to_the_next(tmp_path: Path) -> None:
    async def story() -> None:
        async with stage(tmp_path) as on:
            await on.spawn("bob")
            first = await on.call(PERSON, SEND, instance_id="bob", message="/slow 3 0.4")
            await on.call("bob", "reply_to_caller", reply_message="early")

            assert "second" == await said(on, PERSON, "bob", "/say second")
            replies = (await on.call(PERSON, INBOX)).data["replies"]
            assert [("early", first.data["message_id"] or "bob.t1")] == [
                (r["text"], r["answers"]) for r in replies
            ]

    run(story())


def test_w9_a_state_is_what_an_agent_does_and_a_dead_one_is_not_idle(tmp_path: Path) -> None:
    async def story() -> None:
        async with stage(tmp_path) as on:
            await on.spawn("bob")
            await on.call(PERSON, SEND, instance_id="bob", message="/hang")
            await on.turn_of("bob")
            busy = (await on.call(PERSON, "get_instance_status", instance_id="bob")).data
            os.kill(on.manager.processes["bob"].pid, signal.SIGKILL)
            async with asyncio.timeout(60):
                while on.manager.tree["bob"].alive:
                    await on.manager.mail.change()
            dead = (await on.call(PERSON, "get_instance_status", instance_id="bob")).data

            assert ("busy", "bob.t1") == (busy["state"], busy["turn"])
            assert ("failed", "") == (dead["state"], dead["turn"])
            with pytest.raises(AgentGone):
                await on.call(PERSON, SEND, instance_id="bob", message="hi")

    run(story())


def test_w11_a_busy_agent_is_waited_for_and_its_queue_drops_nothing(tmp_path: Path) -> None:
    async def story() -> None:
        async with stage(tmp_path) as on:
            await on.spawn("bob")
            await on.call(PERSON, SEND, instance_id="bob", message="/slow 2 0.1")
            answers = await asyncio.gather(*(said(on, PERSON, "bob", f"/say {n}") for n in range(120)))

            assert [str(number) for number in range(120)] == answers
            assert [("bob", "word-1 word-2")] == await inbox(on, PERSON)

    run(story())


@pytest.mark.parametrize("way", ["sequential", "parallel", "consensus"])
def test_w13_coordinating_asks_everybody_and_says_completed_when_it_is(tmp_path: Path, way: str) -> None:
    async def story() -> None:
        async with stage(tmp_path) as on:
            await on.spawn("chair", "ann", "bob")
            started = await on.call(
                PERSON,
                "coordinate_instances",
                coordinator_id="chair",
                participant_ids=["ann", "bob"],
                task_description="/slow 1 0.1\n/vote yes",
                coordination_type=way,
            )
            done = await on.call(PERSON, "get_job_status", job_id=started.data["job_id"])

            assert ("running", "completed") == (started.data["status"], done.data["status"])
            assert [1, 1] == [len(on.entries(TurnStarted, name)) for name in ("ann", "bob")]
            assert all("VOTE: yes" in part["response"] for part in done.data["participants"])
            assert done.data["result"]

    run(story())


def test_w17_a_long_brief_is_sent_at_once_and_many_at_once_do_not_mix(tmp_path: Path) -> None:
    async def story() -> None:
        async with stage(tmp_path) as on:
            await on.spawn("bob")
            briefs = ["\n".join(f"- item {n}.{line}; ends so;" for line in range(200)) for n in range(20)]
            began = time.monotonic()
            await asyncio.gather(
                *(on.call(PERSON, SEND, instance_id="bob", message=brief) for brief in briefs)
            )
            seconds = time.monotonic() - began
            assert await on.manager.quiet((), 60)

            assert seconds < 20, "typing four thousand lines one by one would take longer"
            assert briefs == [event.text for event in on.entries(TurnStarted, "bob")]

    run(story())


# behaviours


@pytest.mark.usefixtures("short")
def test_b4_answers_are_exact_in_order_and_late_ones_are_not_lost(tmp_path: Path) -> None:
    async def story() -> None:
        async with stage(tmp_path) as on:
            await on.spawn("bob")
            exact = await said(on, PERSON, "bob", "/say  spaces, “quotes” and\\n- dashes; ")
            late = await on.call(
                PERSON,
                SEND,
                instance_id="bob",
                message="/slow 3 0.4",
                wait_for_response=True,
                timeout_seconds=0.1,
            )
            queued = await on.call(PERSON, SEND, instance_id="bob", message="/say two")
            await on.call(PERSON, SEND, instance_id="bob", message="/say three")
            assert await on.manager.quiet((), 60)

            assert "spaces, “quotes” and\n- dashes;" == exact
            assert ("running", "queued") == (late.data["status"], queued.data["status"])
            assert ["word-1 word-2 word-3", "two", "three"] == [text for _, text in await inbox(on, PERSON)]

    run(story())


def test_b5_a_reply_reaches_who_asked_exactly_once_with_its_id_and_wakes_who_waits(
    tmp_path: Path,
) -> None:
    async def story() -> None:
        async with stage(tmp_path) as on:
            await on.spawn("lead")
            await on.spawn("kid", by="lead", auto_inject=False)
            asked = await on.call("lead", SEND, instance_id="kid", message="/hang")
            await on.turn_of("kid")
            waiting = asyncio.create_task(on.call("lead", INBOX, wait_timeout=30))
            await asyncio.sleep(0)
            await on.call(
                "kid", "reply_to_caller", reply_message="42", correlation_id=asked.data["message_id"]
            )
            [reply] = (await asyncio.wait_for(waiting, 60)).data["replies"]

            assert ("kid", "42", "lead.m1") == (reply["sender"], reply["text"], reply["answers"])
            assert [] == await inbox(on, "lead")
            assert [] == await inbox(on, PERSON)

    run(story())


def test_b6_a_broadcast_reaches_all_direct_children_and_only_those(tmp_path: Path) -> None:
    async def story() -> None:
        async with stage(tmp_path) as on:
            await on.spawn("lead", "aunt")
            await on.spawn("ann", "bob", by="lead")
            await on.spawn("grandchild", by="ann")
            done = await on.call("lead", "broadcast_to_children", message="/say hi", wait_for_responses=True)

            assert ["ann", "bob"] == [item["instance_id"] for item in done.data["results"]]
            reached = [e.event.agent for e in on.manager.ledger if isinstance(e.event, MessagePosted)]
            assert ["ann", "bob"] == reached

    run(story())


def test_b7_a_mixed_tree_of_three_levels_is_seen_whole_and_ends_from_the_leaves(
    tmp_path: Path,
) -> None:
    async def story() -> None:
        async with stage(tmp_path) as on:
            await on.spawn("lead")
            await asyncio.gather(
                *(on.spawn(f"mid-{n}", by="lead", initial_prompt="/say hi") for n in range(3))
            )
            await on.spawn("odd", by="mid-1", instance_type="rogue", permissions="deny")
            await on.spawn("leaf", by="mid-1")
            drawn = (await on.call("leaf", TREE)).data["instances"]
            ended = await on.call("lead", "terminate_instance", instance_id="mid-1", force=True)
            again = await on.call(PERSON, "terminate_instance", instance_id="lead", force=True)

            assert {"rehearsal", "rogue"} == {each["harness"] for each in drawn}
            expected = {"lead": None, "mid-0": "lead", "mid-1": "lead", "mid-2": "lead"}
            assert {**expected, "odd": "mid-1", "leaf": "mid-1"} == {e["name"]: e["parent"] for e in drawn}
            assert ({"odd", "leaf"}, "mid-1") == (
                set(ended.data["terminated"][:2]),
                ended.data["terminated"][-1],
            )
            assert {"mid-0", "mid-2", "lead"} == set(again.data["terminated"])

    run(story())


def test_b8_an_interrupted_agent_keeps_its_context_and_can_be_asked_again(tmp_path: Path) -> None:
    async def story() -> None:
        async with stage(tmp_path) as on:
            await on.spawn("bob")
            await said(on, PERSON, "bob", "/say remember PINEAPPLE")
            await on.call(PERSON, SEND, instance_id="bob", message="/hang")
            await on.turn_of("bob")
            stopped = await on.call(PERSON, "interrupt_instance", instance_id="bob")

            assert (True, True) == (stopped.data["interrupted"], stopped.data["confirmed"])
            assert "PINEAPPLE" in await said(on, PERSON, "bob", "/recall")
            outcome = (await on.call(PERSON, INBOX)).data["replies"]
            assert ["interrupted"] == [reply["outcome"] for reply in outcome], "who asked is told"

    run(story())


def test_b9_who_works_is_ended_by_force_alone_and_ending_twice_is_ending_once(
    tmp_path: Path,
) -> None:
    async def story() -> None:
        async with stage(tmp_path) as on:
            await on.spawn("bob")
            await on.call(PERSON, SEND, instance_id="bob", message="/hang")
            await on.turn_of("bob")
            with pytest.raises(AgentBusy):
                await on.call(PERSON, "terminate_instance", instance_id="bob")
            first = await on.call(PERSON, "terminate_instance", instance_id="bob", force=True)
            second = await on.call(PERSON, "terminate_instance", instance_id="bob", force=True)
            with pytest.raises(UnknownAgent):
                await on.call(PERSON, "terminate_instance", instance_id="nobody")

            assert (["bob"], []) == (first.data["terminated"], second.data["terminated"])

    run(story())


def test_b10_a_message_wakes_who_sleeps_once_in_its_own_place(tmp_path: Path) -> None:
    async def story() -> None:
        async with stage(tmp_path) as on:
            await on.spawn("bob")
            await said(on, PERSON, "bob", "/write note.txt mine")
            before = on.manager.tree["bob"].workspace
            await on.call(PERSON, "suspend_instance", instance_id="bob")
            answers = await asyncio.gather(*(said(on, PERSON, "bob", f"/say {n}") for n in range(5)))

            assert [str(number) for number in range(5)] == answers
            assert 2 == len(on.entries(AgentReady, "bob")), "at birth, and woken once"
            assert before == on.manager.tree["bob"].workspace
            assert "mine" == await asyncio.to_thread(Path(before, "note.txt").read_text)
            assert "note.txt" in await said(on, PERSON, "bob", "/recall")

    run(story())


def test_b10_after_a_restart_who_slept_or_lived_comes_back_and_who_ended_does_not(
    tmp_path: Path,
) -> None:
    async def before() -> None:
        async with stage(tmp_path) as on:
            await on.spawn("awake", "asleep", "ended")
            await said(on, PERSON, "asleep", "/say remember PINEAPPLE")
            await on.call(PERSON, "suspend_instance", instance_id="asleep")
            await on.call(PERSON, "terminate_instance", instance_id="ended")
            await on.call(PERSON, SEND, instance_id="awake", message="/hang")
            await on.turn_of("awake")

    async def after() -> None:
        async with stage(tmp_path) as on:
            left = (await on.call(PERSON, "list_persisted_instances")).data
            back = await on.call(PERSON, "resume_instance", instance_id="awake")
            woken = await on.call(PERSON, "resume_instance", instance_id="asleep")

            assert {"awake", "asleep"} == {each["name"] for each in left["instances"]}
            assert (2, 2, 0) == (left["total"], left["resumable"], left["active"])
            assert ("idle", "idle") == (back.data["status"], woken.data["status"])
            assert "PINEAPPLE" in await said(on, PERSON, "asleep", "/recall")
            assert [] == on.entries(AgentSpawned, "ended")

    run(before())
    run(after())
