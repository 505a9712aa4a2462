"""Jobs of several agents as a fold: whom to ask next, what came of each part, and how a job ends. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from madrox_nb.errors import UnknownJob
from madrox_nb.events import (
    PERSON,
    AgentStopped,
    Entry,
    Event,
    JobEnded,
    JobMissed,
    JobOutcome,
    JobStarted,
    MessagePosted,
    Outcome,
    RunClosed,
    TurnEnded,
    TurnStarted,
    Way,
)
from madrox_nb.steps import Job, Jobs, progress, question, report, result, to_ask

NOON = datetime(2026, 7, 25, 12, tzinfo=UTC)
JOB = "you.j1"


def entries(*events: Event) -> list[Entry]:
    """One a second."""
    return [Entry(n, NOON + timedelta(seconds=n), event) for n, event in enumerate(events)]


def job(*events: Event, way: Way = "parallel", names: Sequence[str] = ("ann", "bob"), chair: str = "") -> Job:
    """The job that these events made of it."""
    return Jobs.replay(entries(started(way, names, chair), *events))[JOB]


def started(way: Way = "parallel", names: Sequence[str] = ("ann", "bob"), chair: str = "") -> JobStarted:
    chair = chair or PERSON
    return JobStarted(
        agent=PERSON, job=JOB, way=way, coordinator=chair, participants=tuple(names), text="Go."
    )


def asked(name: str) -> MessagePosted:
    return MessagePosted(agent=name, message=f"you.{name}", sender=PERSON, text="Go.", asks=True, job=JOB)


def began(name: str) -> TurnStarted:
    return TurnStarted(agent=name, turn=f"{name}.t1", sender=PERSON, text="Go.", messages=(f"you.{name}",))


def ended(name: str, text: str = "", outcome: Outcome = "ok", error: str = "") -> TurnEnded:
    return TurnEnded(agent=name, turn=f"{name}.t1", outcome=outcome, text=text, error=error)


def answered(name: str, text: str) -> list[Event]:
    return [asked(name), began(name), ended(name, text)]


def over(outcome: JobOutcome = "ok", error: str = "") -> JobEnded:
    return JobEnded(agent=PERSON, job=JOB, outcome=outcome, error=error)


def gone(name: str, *, failed: bool = False) -> AgentStopped:
    return AgentStopped(agent=name, reason="terminated by you", failed=failed)


def states(found: Job) -> list[str]:
    return [part.state for part in found.parts]


# who is asked next


def test_side_by_side_all_are_asked_at_once_and_nobody_twice():
    assert ["ann", "bob"] == [part.agent for part in to_ask(job())]
    assert ["bob"] == [part.agent for part in to_ask(job(asked("ann")))]
    assert [] == to_ask(job(asked("ann"), asked("bob")))


def test_in_a_row_the_next_is_asked_when_the_one_before_has_answered():
    row = ["ann", "bob", "cy"]

    assert ["ann"] == [part.agent for part in to_ask(job(way="sequential", names=row))]
    assert [] == to_ask(job(asked("ann"), began("ann"), way="sequential", names=row))
    assert ["bob"] == [part.agent for part in to_ask(job(*answered("ann", "a"), way="sequential", names=row))]


def test_in_a_row_who_failed_holds_nobody_up_and_is_named_to_the_next():
    found = job(*answered("ann", "a"), JobMissed(agent=PERSON, job=JOB, participant="bob", why="no room"),
                way="sequential", names=["ann", "bob", "cy"])  # fmt: skip
    [next_one] = to_ask(found)

    assert "cy" == next_one.agent
    assert "bob was asked before you and could not answer: no room" in question(found, next_one)
    assert "What ann made of it" in question(found, next_one)


def test_votes_are_weighed_when_all_are_in_and_only_if_there_is_one():
    votes = {"way": "consensus", "chair": "chair"}
    one_out = job(*answered("ann", "VOTE: yes"), asked("bob"), **votes)
    all_in = job(*answered("ann", "VOTE: yes"), *answered("bob", "VOTE: no"), **votes)
    none = job(asked("ann"), asked("bob"), gone("ann"), gone("bob"), **votes)

    assert [] == to_ask(one_out)
    assert [("chair", True)] == [(part.agent, part.synthesis) for part in to_ask(all_in)]
    assert [] == to_ask(none)


# what came of each


def test_a_part_is_to_come_queued_at_work_and_answered():
    steps = [asked("ann"), began("ann"), ended("ann", "a")]

    assert ["to come", "queued", "working", "ok"] == [states(job(*steps[:n]))[0] for n in range(4)]
    assert "a" == job(*steps).parts[0].text


def test_what_was_said_before_the_turns_end_is_part_of_the_answer_and_what_others_say_is_not():
    early = MessagePosted(agent=PERSON, message="ann.m1", sender="ann", text="42", answers="you.ann")
    foreign = MessagePosted(agent=PERSON, message="bob.m1", sender="bob", text="no", answers="you.ann")

    assert "42\n\ndone" == job(asked("ann"), began("ann"), early, foreign, ended("ann", "done")).parts[0].text


@pytest.mark.parametrize(
    ("events", "state", "error"),
    [
        ([asked("ann"), began("ann"), ended("ann", outcome="failed", error="no disk")], "failed", "no disk"),
        ([asked("ann"), began("ann"), ended("ann", outcome="failed")], "failed", "no reason given"),
        (
            [asked("ann"), began("ann"), ended("ann", outcome="interrupted")],
            "interrupted",
            "its turn was interrupted",
        ),
        ([asked("ann"), gone("ann")], "failed", "ann has stopped: terminated by you"),
        (
            [asked("ann"), began("ann"), gone("ann", failed=True)],
            "failed",
            "ann has failed: terminated by you",
        ),
        (
            [asked("ann"), began("ann"), ended("ann", outcome="interrupted"), gone("ann")],
            "interrupted",
            "its turn was interrupted; ann has stopped: terminated by you",
        ),
        ([JobMissed(agent=PERSON, job=JOB, participant="ann", why="is gone")], "failed", "is gone"),
    ],
    ids=["failed", "unsaid", "interrupted", "gone queued", "gone at work", "cut and gone", "never asked"],
)
def test_who_does_not_answer_says_why(events: list[Event], state: str, error: str):
    part = job(*events).parts[0]

    assert (state, error, False) == (part.state, part.error, part.open)


def test_an_agent_that_ends_after_its_answer_has_answered():
    assert ("ok", "") == ((part := job(*answered("ann", "a"), gone("ann")).parts[0]).state, part.error)


# how it ends


def test_a_job_that_is_done_tells_every_answer():
    found = job(*answered("ann", "a"), *answered("bob", "b"), over())

    assert ("ok", "2 of 2 have answered", NOON + timedelta(seconds=7)) == (
        found.outcome,
        progress(found),
        found.ended,
    )
    assert '<answer of="ann">\na\n</answer>\n\n<answer of="bob">\nb\n</answer>' == result(found)


def test_a_job_that_is_stopped_keeps_what_was_reached():
    found = job(
        *answered("ann", "a"),
        *(asked("bob"), began("bob"), ended("bob", outcome="interrupted")),
        asked("cy"),
        over("stopped", "stopped by you"),
        names=["ann", "bob", "cy"],
    )

    assert ["ok", "interrupted", "stopped"] == states(found)
    assert ("stopped", "stopped by you", "stopped by you") == (
        found.outcome,
        found.error,
        found.parts[2].error,
    )
    assert "1 of 3 have answered, bob, cy could not" == progress(found)
    assert "It ended early: stopped by you" in report(found)
    assert '<answer of="ann">\na\n</answer>' == result(found)


def test_in_a_row_that_is_stopped_the_last_answer_is_the_result_and_who_was_not_asked_is_not_blamed():
    found = job(*answered("ann", "a"), over("stopped"), way="sequential", names=["ann", "bob", "cy"])

    assert ("a", ["ok", "to come", "to come"]) == (result(found), states(found))


def test_what_comes_after_the_end_changes_nothing():
    before = [asked("ann"), began("ann"), over("stopped", "stopped by you")]

    assert job(*before) == job(*before, ended("ann", "too late"), gone("ann"))


def test_a_job_ends_with_its_run_and_its_questions_with_it():
    found = job(*answered("ann", "a"), asked("bob"), RunClosed(reason="closed"))

    assert ("interrupted", "madrox was closed: closed") == (found.outcome, found.error)
    assert ["ok", "interrupted"] == states(found)


def test_a_job_that_is_over_is_left_as_it_is_by_the_runs_end():
    before = [*answered("ann", "a"), *answered("bob", "b"), over()]

    assert job(*before) == job(*before, RunClosed(reason="closed"))


# all jobs


def test_jobs_are_told_apart_though_they_ask_the_same_agent():
    other = JobStarted(
        agent="lead", job="lead.j1", way="parallel", coordinator="lead", participants=("ann",), text="x"
    )
    mine = MessagePosted(agent="ann", message="lead.m1", sender="lead", text="x", asks=True, job="lead.j1")
    jobs = Jobs.replay(entries(started(), other, asked("ann"), mine, began("ann"), ended("ann", "a")))

    assert (["ok", "to come"], ["queued"]) == (states(jobs[JOB]), states(jobs["lead.j1"]))
    assert [JOB, "lead.j1"] == [each.id for each in jobs.under_way()]


def test_a_job_that_nobody_began_is_named_with_those_that_are_known():
    with pytest.raises(UnknownJob, match=r"no job named 'you.j2'. Did you mean 'you.j1'"):
        _ = Jobs.replay(entries(started()))["you.j2"]


EVENTS: list[Event] = [
    *(event for name in ("ann", "bob") for event in (asked(name), began(name), ended(name, "a"), gone(name))),
    ended("ann", outcome="interrupted"),
    JobMissed(agent=PERSON, job=JOB, participant="bob", why="x"),
    over(),
    over("stopped", "stopped by you"),
    RunClosed(reason="closed"),
]


@given(
    st.lists(st.sampled_from(EVENTS), max_size=20), st.sampled_from(["sequential", "parallel", "consensus"])
)
def test_whatever_happens_replay_equals_live_and_an_ended_job_waits_for_nobody(events: list[Event], way: Way):
    live, all_of_it = Jobs(), entries(started(way, chair="chair"), *events)
    for n, entry in enumerate(all_of_it, 1):
        live.apply(entry)
        assert Jobs.replay(all_of_it[:n]) == live

    if live[JOB].ended is not None:
        assert not any(part.open for part in live[JOB].parts)
        assert [] == live.under_way()
