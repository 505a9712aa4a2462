"""Jobs that are stopped, teams as jobs, and jobs of earlier runs. Real agents, no HTTP."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import crew
import pytest
from stages import Stage, run, stage

from madrox_nb.errors import BadInput, Forbidden, UnknownJob
from madrox_nb.events import PERSON, JobEnded, MessagePosted, MessageRead, TurnEnded, TurnStarted
from madrox_nb.past import past
from madrox_nb.steps import Jobs

pytestmark = pytest.mark.slow

JOB, STATUS, STOP = "coordinate_instances", "get_job_status", "stop_job"


async def begun(on: Stage, *names: str, task: str = "/hang", by: str = PERSON, **given: Any) -> str:
    """The id of a job whose first participant works on it."""
    told = await on.call(by, JOB, participant_ids=list(names), task_description=task, **given)
    await on.turn_of(names[0])
    return str(told.data["job_id"])


def states(data: Any) -> dict[str, str]:
    return {part["instance_id"]: part["status"] for part in data["participants"]}


# stopping


def test_what_works_on_a_job_that_is_stopped_is_interrupted_and_nobody_else_is_asked(tmp_path: Path) -> None:
    async def story() -> None:
        async with stage(tmp_path) as on:
            await on.spawn("ann", "bob", "cy")
            job = await begun(on, "ann", "bob", "cy")
            done = await on.call(PERSON, STOP, job_id=job)

            assert ("stopped", "stopped by you") == (done.data["status"], done.data["error"])
            assert {"ann": "interrupted", "bob": "to come", "cy": "to come"} == states(done.data)
            assert "It ended early: stopped by you" in done.text
            assert ["idle"] * 3 == [agent.state for agent in on.manager.tree]
            assert 1 == len([e for e in on.manager.ledger if isinstance(e.event, TurnStarted)])
            assert Jobs.replay(on.manager.ledger) == on.manager.jobs

    run(story())


def test_what_was_answered_before_a_stop_is_reached_and_what_waited_is_taken_back(tmp_path: Path) -> None:
    async def story() -> None:
        async with stage(tmp_path) as on:
            await on.spawn("ann", "bob")
            await on.call(PERSON, "send_to_instance", instance_id="bob", message="/hang")
            job = await begun(on, "ann", "bob", task="/say done", coordination_type="parallel")
            while not on.manager.jobs[job].answered:
                await on.manager.mail.change()
            done = await on.call(PERSON, STOP, job_id=job)

            assert {"ann": "completed", "bob": "stopped"} == states(done.data)
            assert '<answer of="ann">\ndone\n</answer>' == done.data["result"]
            assert "busy" == on.manager.tree["bob"].state, "it works for somebody else"
            assert 0 == on.manager.inboxes.queued("bob")
            await on.call(PERSON, "interrupt_instance", instance_id="bob")
            assert await on.manager.quiet((), 60)
            assert ["/hang"] == [event.text for event in on.entries(TurnStarted, "bob")]

    run(story())


def test_who_wants_a_job_and_does_not_stop_it_itself_is_told_that_it_was_stopped(tmp_path: Path) -> None:
    async def story() -> None:
        async with stage(tmp_path) as on:
            await on.spawn("lead")
            await on.spawn("ann", by="lead")
            job = await begun(on, "ann", by="lead")
            await on.call(PERSON, STOP, job_id=job)
            assert await on.manager.quiet((), 60)

            [woken] = on.entries(TurnStarted, "lead")
            assert "It ended early: stopped by you" in woken.text
            [told] = on.entries(MessagePosted, "lead")
            assert ("madrox", job) == (told.sender, told.answers)

    run(story())


def test_who_stops_its_own_job_is_told_once_and_so_is_who_waits_for_it(tmp_path: Path) -> None:
    async def story() -> None:
        async with stage(tmp_path) as on:
            await on.spawn("lead")
            await on.spawn("ann", by="lead")
            job = await begun(on, "ann", by="lead")
            waiting = asyncio.create_task(on.call("lead", STATUS, job_id=job))
            stopped, again = await asyncio.gather(
                on.call("lead", STOP, job_id=job), on.call("lead", STOP, job_id=job)
            )

            assert stopped.text == again.text == (await waiting).text
            assert await on.manager.quiet((), 60)
            assert [] == on.entries(TurnStarted, "lead")
            assert [] == on.manager.inboxes.unread("lead")
            assert 1 == len([e for e in on.manager.ledger if isinstance(e.event, JobEnded)])
            assert ["interrupted"] == [event.outcome for event in on.entries(TurnEnded, "ann")]

    run(story())


def test_a_turn_that_can_not_be_interrupted_is_named_and_its_answer_comes_to_who_asked(
    tmp_path: Path,
) -> None:
    async def story() -> None:
        async with stage(tmp_path) as on:
            await on.spawn("ann", instance_type=crew.Headstrong.name)
            job = await begun(on, "ann", task="/slow 4 0.5")
            done = await on.call(PERSON, STOP, job_id=job)

            [part] = done.data["participants"]
            assert ("stopped", "failed") == (done.data["status"], part["status"])
            assert "ann can't be interrupted" in part["error"]
            assert "busy" == on.manager.tree["ann"].state
            [late] = (await on.call(PERSON, "get_pending_replies", wait_timeout=45)).data["replies"]
            assert ("ann", "word-1 word-2 word-3 word-4") == (late["sender"], late["text"])

    run(story())


def test_a_job_that_is_over_is_left_as_it_is(tmp_path: Path) -> None:
    async def story() -> None:
        async with stage(tmp_path) as on:
            await on.spawn("ann")
            done = await on.call(
                PERSON, JOB, participant_ids=["ann"], task_description="/say hi", wait_for_completion=True
            )
            stopped = await on.call(PERSON, STOP, job_id="you.j1")

            assert (done.text, "completed") == (stopped.text, stopped.data["status"])

    run(story())


def test_a_stop_that_finds_no_room_on_the_disk_waits_for_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def story() -> None:
        async with stage(tmp_path) as on:
            await on.spawn("ann", "bob")
            await on.call(PERSON, "send_to_instance", instance_id="ann", message="/hang")
            await on.turn_of("ann")
            job = (await on.call(PERSON, JOB, participant_ids=["ann"], task_description="x")).data["job_id"]
            while not on.manager.inboxes.queued("ann"):
                await on.manager.mail.change()
            disk = crew.Disk(on.manager, monkeypatch)
            disk.full = True
            stopping = asyncio.create_task(on.call(PERSON, STOP, job_id=job))
            while not on.manager.disk.waits:
                await asyncio.sleep(0)
            disk.full = False
            done = await stopping

            assert {"ann": "stopped"} == states(done.data)
            assert 1 == len(on.entries(MessageRead, "ann"))

    run(story())


def test_who_neither_wants_a_job_nor_stands_above_can_not_stop_it(tmp_path: Path) -> None:
    async def story() -> None:
        async with stage(tmp_path) as on:
            await on.spawn("top", "other")
            await on.spawn("lead", by="top")
            await on.spawn("ann", "chair", by="lead")
            job = await begun(on, "ann", by="lead", coordinator_id="chair")
            for caller in ("other", "ann", "chair"):
                with pytest.raises(Forbidden, match=f"{caller} can't stop job lead.j1: lead wanted it"):
                    await on.call(caller, STOP, job_id=job)
            with pytest.raises(UnknownJob, match=r"Did you mean 'lead\.j1'"):
                await on.call("top", STOP, job_id="lead.j2")

            assert "stopped" == (await on.call("top", STOP, job_id=job)).data["status"]

    run(story())


# teams


async def team(on: Stage, task: str = "/hang") -> str:
    told = await on.call(
        PERSON, "spawn_team_from_template", template_name="bug_investigation", task_description=task
    )
    while not on.manager.teams.runs[told.data["team_id"]].open:
        await on.manager.mail.change()
    return str(told.data["team_id"])


def test_a_team_is_a_job_for_who_started_it_and_is_stopped_as_one(tmp_path: Path) -> None:
    async def story() -> None:
        async with stage(tmp_path) as on:
            await on.spawn("lead", "ann")
            await begun(on, "ann", by="lead")
            known = await team(on)
            looked = await on.call(PERSON, STATUS, job_id=known, wait_for_completion=False)
            everything = await on.call(PERSON, STATUS)
            theirs = await on.call("lead", STATUS)
            with pytest.raises(Forbidden, match="was started by you"):
                await on.call("lead", STATUS, job_id=known)
            with pytest.raises(Forbidden, match="was started by you"):
                await on.call("lead", STOP, job_id=known)
            stopped = await on.call(PERSON, STOP, job_id=known)

            assert (known, "running", "team") == (
                looked.data["job_id"],
                looked.data["status"],
                looked.data["coordination_type"],
            )
            assert ["lead.j1", known] == [each["job_id"] for each in everything.data["jobs"]]
            assert ["lead.j1"] == [each["job_id"] for each in theirs.data["jobs"]]
            assert ("stopped", "stopped by you") == (stopped.data["status"], stopped.data["error"])
            assert "stopped" == on.manager.teams.runs[known].state

    run(story())


# earlier runs


def test_the_person_sees_jobs_and_teams_of_earlier_runs_as_they_ended(tmp_path: Path) -> None:
    async def story() -> None:
        async with stage(tmp_path) as on:
            await on.spawn("ann")
            done = await on.call(
                PERSON, JOB, participant_ids=["ann"], task_description="/say hi", wait_for_completion=True
            )
            known = await team(on)
            stopped = await on.call(PERSON, STOP, job_id=known)
            first = on.manager.run
        async with stage(tmp_path) as on:
            await on.spawn("ann")
            job = await on.call(PERSON, STATUS, job_id="you.j1")
            as_team = await on.call(PERSON, STATUS, job_id=known)
            listed = await on.call(PERSON, STATUS, run=first)
            with pytest.raises(UnknownJob):
                await on.call("ann", STATUS, job_id="you.j1")
            with pytest.raises(Forbidden, match="leave run out, or ask the person"):
                await on.call("ann", STATUS, job_id="you.j1", run=first)
            with pytest.raises(UnknownJob, match="coordinate_instances starts one"):
                await on.call(PERSON, STATUS, job_id="you.j9")
            with pytest.raises(BadInput, match=r"there is no run '\.\./x'"):
                await on.call(PERSON, STATUS, job_id="you.j1", run="../x")
            with pytest.raises(UnknownJob):
                await on.call(PERSON, STATUS, job_id="you.j9", run=first)

            assert (done.text, done.data) == (job.text, job.data)
            assert (stopped.text, stopped.data) == (as_team.text, as_team.data)
            assert [first, first] == [each["run"] for each in listed.data["jobs"]]

    run(story())


def test_the_newest_run_that_had_a_job_is_meant_and_this_one_before_all(tmp_path: Path) -> None:
    async def story() -> None:
        said = {}
        for word in ("one", "two"):
            async with stage(tmp_path) as on:
                await on.spawn("ann")
                await on.call(
                    PERSON, JOB, participant_ids=["ann"], task_description=f"/say {word}",
                    wait_for_completion=True,
                )  # fmt: skip
                said[on.manager.run] = word
        async with stage(tmp_path) as on:
            newest = await on.call(PERSON, STATUS, job_id="you.j1")
            by_run = {
                name: (await on.call(PERSON, STATUS, job_id="you.j1", run=name)).data["participants"][0]
                for name in said
            }

            assert "two" == newest.data["participants"][0]["response"]
            assert said == {name: part["response"] for name, part in by_run.items()}
            assert [] == list(past(on.manager.settings.logs, on.manager.run).jobs)

    run(story())
