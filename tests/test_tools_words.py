"""What comes of words that are sent by tools. Real agents, no HTTP."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from stages import run, stage

from madrox_nb.errors import TurnFailed
from madrox_nb.events import PERSON, TurnStarted


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
