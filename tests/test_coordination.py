"""Several agents on one task: in a row, side by side, or by votes. Real agents, no HTTP."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from stages import Stage, run, stage

from madrox_nb import config
from madrox_nb.calls import in_tools
from madrox_nb.errors import BadInput, BadPrompt, Forbidden, MadroxError, UnknownAgent, UnknownJob
from madrox_nb.events import PERSON, JobEnded, JobStarted, MessagePosted, TurnEnded, TurnStarted
from madrox_nb.manager import Manager
from madrox_nb.steps import Jobs

pytestmark = pytest.mark.slow

JOB, STATUS = "coordinate_instances", "get_job_status"


def told(on: Stage, agent: str) -> list[str]:
    """The prompts that it was given."""
    return [event.text for event in on.entries(TurnStarted, agent)]


def parts(data: Any) -> list[tuple[str, str, str]]:
    return [(part["instance_id"], part["status"], part["response"]) for part in data["participants"]]


async def job(on: Stage, caller: str, *names: str, task: str, **given: Any) -> Any:
    done = await on.call(
        caller, JOB, participant_ids=list(names), task_description=task, wait_for_completion=True, **given
    )
    return done.data


# in a row


def test_in_a_row_each_is_given_what_the_one_before_it_made(tmp_path: Path) -> None:
    async def story() -> None:
        async with stage(tmp_path) as on:
            await on.spawn("ann", "bob", "cy")
            done = await job(on, PERSON, "ann", "bob", "cy", task="Improve the text.")

            answers = [part["response"] for part in done["participants"]]
            assert ("completed", "sequential", answers[-1]) == (
                done["status"],
                done["coordination_type"],
                done["result"],
            )
            [first], [second], [third] = told(on, "ann"), told(on, "bob"), told(on, "cy")
            assert first.startswith(
                "Improve the text.\n\nYou are number 1 of 3 in a row. Your answer goes on to bob"
            )
            assert (
                f'What ann made of it, on which you build:\n\n<answer of="ann">\n{answers[0]}\n</answer>'
                in second
            )
            assert answers[1] in third
            assert "Your answer is the result" in third

    run(story())


def test_who_fails_in_a_row_is_reported_and_the_next_builds_on_the_last_good_answer(tmp_path: Path) -> None:
    async def story() -> None:
        async with stage(tmp_path) as on:
            await on.spawn("ann", "bob", "cy", "dan")
            await on.call(PERSON, "terminate_instance", instance_id="bob")
            started = await on.call(
                PERSON, JOB, participant_ids=["ann", "bob", "cy", "dan"], task_description="/slow 2 0.2"
            )
            await on.turn_of("cy")
            await on.call(PERSON, "interrupt_instance", instance_id="cy")
            done = (await on.call(PERSON, STATUS, job_id=started.data["job_id"])).data

            assert ["completed", "failed", "interrupted", "completed"] == [s for _, s, _ in parts(done)]
            assert "bob has stopped and can't be sent a message" in done["participants"][1]["error"]
            [last] = told(on, "dan")
            assert "bob was asked before you and could not answer: bob has stopped" in last
            assert "cy was asked before you and could not answer: its turn was interrupted" in last
            assert "What ann made of it" in last
            assert ("completed", ["bob", "cy"]) == (done["status"], done["progress"]["failed"])

    run(story())


# side by side


def test_side_by_side_nobody_waits_for_another(tmp_path: Path) -> None:
    async def story() -> None:
        async with stage(tmp_path) as on:
            await on.spawn("ann", "bob", "cy")
            done = await on.call(
                PERSON,
                JOB,
                participant_ids=["ann", "bob", "cy"],
                task_description="/slow 2 0.2",
                coordination_type="parallel",
                wait_for_completion=True,
            )

            kinds = [type(e.event) for e in on.manager.ledger if isinstance(e.event, TurnStarted | TurnEnded)]
            assert [TurnStarted] * 3 + [TurnEnded] * 3 == kinds
            assert [(name, "completed", "word-1 word-2") for name in ("ann", "bob", "cy")] == parts(done.data)
            assert done.text.startswith("Job you.j1 (parallel): 3 of 3 have answered\n")
            assert 3 == done.text.count("word-1 word-2")

    run(story())


def test_a_participant_that_dies_side_by_side_is_reported_and_the_others_answer(tmp_path: Path) -> None:
    async def story() -> None:
        async with stage(tmp_path) as on:
            await on.spawn("ann", "bob")
            started = await on.call(
                PERSON,
                JOB,
                participant_ids=["ann", "bob"],
                task_description="/slow 3 0.2",
                coordination_type="parallel",
            )
            await on.turn_of("bob")
            await on.call(PERSON, "terminate_instance", instance_id="bob", force=True)
            done = await on.call(PERSON, STATUS, job_id=started.data["job_id"])

            assert [("ann", "completed", "word-1 word-2 word-3"), ("bob", "interrupted", "")] == parts(
                done.data
            )
            assert "terminated by you" in done.data["participants"][1]["error"]

    run(story())


def test_a_job_that_nobody_answers_has_failed(tmp_path: Path) -> None:
    async def story() -> None:
        async with stage(tmp_path) as on:
            await on.spawn("ann", "bob")
            done = await job(on, PERSON, "ann", "bob", task="/fail no disk", coordination_type="parallel")

            assert ("failed", "") == (done["status"], done["result"])
            assert ["no disk", "no disk"] == [part["error"] for part in done["participants"]]

    run(story())


# by votes

BALLOT = "Ship it?\n/vote yes cy=no"


def test_votes_are_independent_counted_and_weighed_and_dissent_is_kept_word_for_word(tmp_path: Path) -> None:
    async def story() -> None:
        async with stage(tmp_path) as on:
            await on.spawn("chair", "ann", "bob", "cy")
            done = await job(
                on,
                PERSON,
                *("ann", "bob", "cy"),
                task=BALLOT,
                coordination_type="consensus",
                coordinator_id="chair",
            )

            said = "VOTE: no\nSo says cy; no model has thought."
            assert [("yes", 2, ["ann", "bob"]), ("no", 1, ["cy"])] == [
                (vote["choice"], vote["votes"], vote["by"]) for vote in done["tally"]
            ]
            assert [{"instance_id": "cy", "response": said}] == done["dissent"]
            assert len({*told(on, "ann"), *told(on, "bob"), *told(on, "cy")}) == 1
            [weighed] = told(on, "chair")
            assert "Votes: yes 2 (ann, bob); no 1 (cy)" in weighed
            assert f'Dissent, as it was said:\n\n<answer of="cy">\n{said}\n</answer>' in weighed
            assert "> Ship it?\n> /vote yes cy=no" in weighed
            assert ("completed", "chair") == (done["synthesis"]["status"], done["synthesis"]["instance_id"])
            assert done["result"] == done["synthesis"]["response"] != ""

    run(story())


def test_who_coordinates_its_own_vote_weighs_it_itself_and_takes_no_turn_for_it(tmp_path: Path) -> None:
    async def story() -> None:
        async with stage(tmp_path) as on:
            await on.spawn("lead")
            await on.spawn("ann", "bob", by="lead")
            done = await on.call(
                "lead",
                JOB,
                participant_ids=["ann", "bob"],
                coordinator_id="lead",
                task_description="/vote yes bob=no",
                coordination_type="consensus",
                wait_for_completion=True,
            )

            assert [] == told(on, "lead")
            assert None is done.data["synthesis"]
            assert "yes 1 (ann); no 1 (bob)" == done.data["result"]
            assert ["ann", "bob"] == [each["instance_id"] for each in done.data["dissent"]]

    run(story())


def test_a_vote_without_a_coordinator_left_still_tells_the_tally(tmp_path: Path) -> None:
    async def story() -> None:
        async with stage(tmp_path) as on:
            await on.spawn("chair", "ann")
            await on.call(PERSON, "terminate_instance", instance_id="chair")
            done = await job(
                on, PERSON, "ann", task=BALLOT, coordination_type="consensus", coordinator_id="chair"
            )

            assert ("completed", "failed", "yes 1 (ann)") == (
                done["status"],
                done["synthesis"]["status"],
                done["result"],
            )

    run(story())


# the report


@pytest.mark.usefixtures("short")
def test_a_job_begins_at_once_is_running_meanwhile_and_its_report_comes_once(tmp_path: Path) -> None:
    async def story() -> None:
        async with stage(tmp_path) as on:
            await on.spawn("ann", "bob")
            started = await on.call(
                PERSON, JOB, participant_ids=["ann", "bob"], task_description="/slow 4 0.5"
            )
            on.told.clear()
            looked = await on.call(PERSON, STATUS, job_id="you.j1", wait_for_completion=False)
            waited = await on.call(PERSON, STATUS, job_id="you.j1")
            assert await on.manager.quiet(("ann",), 60)
            first = (await on.call(PERSON, "get_pending_replies")).data["replies"]
            again = (await on.call(PERSON, "get_pending_replies")).data["replies"]
            late = await on.call(PERSON, STATUS, job_id="you.j1")

            assert ("you.j1", "running") == (started.data["job_id"], started.data["status"])
            assert started.text.startswith("running: job you.j1 (sequential), 0 of 2 have answered")
            assert ["running", "running"] == [looked.data["status"], waited.data["status"]]
            assert "job you.j1: 0 of 2 have answered, ann at work, 0 s so far" == on.told[0][1]
            assert [("madrox", "you.j1")] == [(reply["sender"], reply["answers"]) for reply in first]
            assert [] == again
            assert ("completed", first[0]["text"]) == (late.data["status"], late.text)

    run(story())


def test_who_has_waited_for_a_report_does_not_find_it_in_its_inbox_again(tmp_path: Path) -> None:
    async def story() -> None:
        async with stage(tmp_path) as on:
            await on.spawn("lead")
            await on.spawn("ann", by="lead")
            await job(on, "lead", "ann", task="/say hi")
            await job(on, PERSON, "ann", task="/say hi")

            assert ([], []) == (on.manager.inboxes.unread("lead"), on.manager.inboxes.unread(PERSON))
            assert await on.manager.quiet((), 60)
            assert [] == told(on, "lead")

    run(story())


def test_an_idle_agent_is_woken_by_the_report_of_its_job_and_a_coordinator_is_left_it(tmp_path: Path) -> None:
    async def story() -> None:
        async with stage(tmp_path) as on:
            await on.spawn("lead")
            await on.spawn("ann", "chair", by="lead")
            await on.call(
                "lead", JOB, participant_ids=["ann"], task_description="/say hi", coordinator_id="chair"
            )
            assert await on.manager.quiet((), 60)

            [woken] = on.entries(TurnStarted, "lead")
            assert ("madrox", ("madrox.m1",)) == (woken.sender, woken.messages)
            assert woken.text.startswith(
                "[madrox.m1] madrox answers [lead.j1]:\nJob lead.j1 (sequential): 1 of 1"
            )
            [note] = on.manager.inboxes.unread("chair")
            assert note.text.startswith("Job lead.j1")
            assert [] == told(on, "chair")

    run(story())


def test_who_gives_up_waiting_finds_the_report_in_its_inbox(tmp_path: Path) -> None:
    async def story() -> None:
        async with stage(tmp_path) as on:
            await on.spawn("ann")
            waiting = asyncio.create_task(job(on, PERSON, "ann", task="/slow 2 0.5"))
            await on.turn_of("ann")
            waiting.cancel()
            with pytest.raises(asyncio.CancelledError):
                await waiting

            [reply] = (await on.call(PERSON, "get_pending_replies", wait_timeout=45)).data["replies"]
            assert "word-1 word-2" in reply["text"]

    run(story())


def test_a_report_that_comes_just_when_the_waiting_is_given_up_is_left_in_the_inbox(tmp_path: Path) -> None:
    async def story() -> None:
        async with stage(tmp_path) as on:
            await on.spawn("ann")
            waiting = asyncio.create_task(job(on, PERSON, "ann", task="/slow 2 0.1"))
            on.manager.ledger.listen(
                lambda entry: waiting.cancel() if isinstance(entry.event, JobEnded) else None
            )
            with pytest.raises(asyncio.CancelledError):
                await waiting

            [reply] = (await on.call(PERSON, "get_pending_replies", wait_timeout=45)).data["replies"]
            assert ("you.j1", True) == (reply["answers"], "word-1 word-2" in reply["text"])

    run(story())


def test_what_is_said_with_reply_to_caller_is_part_of_the_answer_and_of_nobody_elses_inbox(
    tmp_path: Path,
) -> None:
    async def story() -> None:
        async with stage(tmp_path) as on:
            await on.spawn("ann")
            started = await on.call(PERSON, JOB, participant_ids=["ann"], task_description="/slow 3 0.3")
            await on.turn_of("ann")
            await on.call("ann", "reply_to_caller", reply_message="42")
            done = await on.call(PERSON, STATUS, job_id=started.data["job_id"])

            assert "42\n\nword-1 word-2 word-3" == done.data["result"]
            assert [] == on.manager.inboxes.unread(PERSON)

    run(story())


# who may


def test_a_job_is_seen_by_who_wanted_it_those_above_and_its_coordinator_and_nobody_else(
    tmp_path: Path,
) -> None:
    async def story() -> None:
        async with stage(tmp_path) as on:
            await on.spawn("lead", "other")
            await on.spawn("mid", by="lead")
            await on.spawn("ann", "chair", by="mid")
            await job(on, "mid", "ann", task="/say hi", coordinator_id="chair")
            seen = {}
            for caller in (PERSON, "lead", "mid", "chair", "ann", "other"):
                seen[caller] = (await on.call(caller, STATUS)).data["total"]
            with pytest.raises(Forbidden, match=r"ann can't see job mid\.j1: mid wanted it"):
                await on.call("ann", STATUS, job_id="mid.j1")

            assert {PERSON: 1, "lead": 1, "mid": 1, "chair": 1, "ann": 0, "other": 0} == seen

    run(story())


REFUSED: list[tuple[str, dict[str, Any], type[MadroxError], str]] = [
    ("bob", {"participant_ids": ["max"]}, Forbidden, "Ask the person"),
    ("lead", {"participant_ids": ["lead"]}, BadInput, "is you"),
    ("lead", {"participant_ids": ["bob"], "coordinator_id": "mia"}, Forbidden, "Ask max"),
    ("lead", {"participant_ids": ["bob", "bob"]}, BadInput, "named twice"),
    ("lead", {"participant_ids": []}, BadInput, "name at least one"),
    ("lead", {"participant_ids": ["bop"]}, UnknownAgent, "Did you mean 'bob'"),
    ("lead", {"participant_ids": ["bob"], "task_description": " "}, BadPrompt, "write what"),
    (
        "lead",
        {"participant_ids": ["bob"], "coordinator_id": PERSON, "coordination_type": "consensus"},
        BadInput,
        "leave coordinator_id out",
    ),
]


def test_a_job_that_can_not_be_is_refused_and_nothing_is_begun(tmp_path: Path) -> None:
    async def story() -> None:
        async with stage(tmp_path) as on:
            await on.spawn("lead", "max")
            await on.spawn("bob", by="lead")
            await on.spawn("mia", by="max")
            for caller, given, kind, step in REFUSED:
                with pytest.raises(kind) as refused:
                    await on.call(caller, JOB, **{"task_description": "x", **given})
                assert step in in_tools(str(refused.value)), (caller, given)
            with pytest.raises(UnknownJob, match="Known: none; coordinate_instances starts one"):
                await on.call(PERSON, STATUS, job_id="lead.j1")

            assert [] == [e for e in on.manager.ledger if isinstance(e.event, JobStarted | MessagePosted)]

    run(story())


# ends


def test_the_job_of_one_who_has_ended_asks_nobody_any_more(tmp_path: Path) -> None:
    async def story() -> None:
        async with stage(tmp_path) as on:
            await on.spawn("lead", "ann", "bob")
            await on.call("lead", JOB, participant_ids=["ann", "bob"], task_description="/slow 3 0.3")
            await on.turn_of("ann")
            await on.call(PERSON, "terminate_instance", instance_id="lead")
            done = await on.call(PERSON, STATUS, job_id="lead.j1")

            assert ("interrupted", "lead has ended, who wanted it") == (
                done.data["status"],
                done.data["error"],
            )
            assert [] == told(on, "bob")

    run(story())


def test_a_job_ends_with_its_run_and_its_past_can_be_told_from_the_ledger(tmp_path: Path) -> None:
    async def story() -> None:
        async with stage(tmp_path) as on:
            await on.spawn("ann", "bob")
            await job(on, PERSON, "ann", "bob", task=BALLOT, coordination_type="consensus")
            await on.call(PERSON, JOB, participant_ids=["bob"], task_description="/hang")
            await on.turn_of("bob")
            assert Jobs.replay(on.manager.ledger) == on.manager.jobs

        over = {each.id: (each.outcome, each.error) for each in Jobs.replay(on.manager.ledger)}
        assert {"you.j1": ("ok", ""), "you.j2": ("interrupted", "madrox was closed: closed")} == over
        assert 1 == len([e for e in on.manager.ledger if isinstance(e.event, JobEnded)])

    run(story())


def test_waiting_until_all_is_quiet_waits_between_the_steps_of_a_job_too(tmp_path: Path) -> None:
    async def story() -> None:
        async with stage(tmp_path) as on:
            await on.spawn("ann", "bob")
            started = await on.call(PERSON, JOB, participant_ids=["ann", "bob"], task_description="/say hi")
            assert await on.manager.quiet(("ann",), 60)

            assert None is not on.manager.jobs[started.data["job_id"]].ended

    run(story())


OWNER = """
import asyncio, sys
sys.path[:0] = [{tests!r}]
from pathlib import Path
from crew import run_of
from madrox_nb.events import TurnStarted

async def main():
    async with run_of(Path({home!r}), on_kernel_death="keep:60") as m:
        for name in ("ann", "bob", "cy"):
            await m.spawn(name)
        await m.foreman.start(("ann", "bob", "cy"), "/slow 10 0.05", "sequential")
        while m.tree["ann"].state != "busy":
            await m.mail.change()
        print(m.run, flush=True)
        await asyncio.Event().wait()

asyncio.run(main())
"""


def test_a_job_goes_on_in_the_kernel_that_goes_on_with_its_run(tmp_path: Path) -> None:
    code = OWNER.format(tests=str(Path(__file__).parent), home=str(tmp_path))
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True) as owner:
        assert owner.stdout is not None
        name = owner.stdout.readline().strip()
        owner.kill()
        owner.wait(60)

    async def story() -> None:
        chosen = {"home": tmp_path, "harnesses": "rehearsal", "on_kernel_death": "keep:60"}
        manager = await Manager(config.load(chosen, environ={}, files=()).settings, run=name).open()
        try:
            done = await manager.foreman.wait("you.j1", 20)

            assert ["ok", "ok", "ok"] == [part.state for part in done.parts]
            assert 10 == len(done.parts[2].text.split())
            [left] = manager.inboxes.unread(PERSON)
            assert ("madrox", "you.j1") == (left.sender, left.answers)
            assert Jobs.replay(manager.ledger) == manager.jobs
        finally:
            await manager.close()

    run(story())
