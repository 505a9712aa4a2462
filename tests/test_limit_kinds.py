"""Limits in turns and minutes, and how they are raised and lowered."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from crew import until, with_run
from spenders import ENDLESS, events_of, happens, notices

from madrox_nb.budget import NO_LIMIT
from madrox_nb.errors import AgentGone, BadInput, BudgetSpent, HarnessError, UnknownAgent
from madrox_nb.events import AgentSuspended, BudgetReached, Entry, TurnEnded
from madrox_nb.manager import Manager
from madrox_nb.tickets import Answer

# turns


def test_the_last_turn_runs_to_its_end_and_then_it_is_over(tmp_path: Path) -> None:
    async def story(m: Manager) -> None:
        await m.spawn("lead", limits={"turns": 2})
        answers = [await m.send("lead", f"/say {n}") for n in (1, 2)]

        assert ["1", "2"] == [answer.text for answer in answers]
        with pytest.raises(BudgetSpent, match="2 of 2 turns"):
            await m.send("lead", "3")
        assert [BudgetReached(agent="lead", limit="turns", amount=2, spent=2)] == events_of(
            m, BudgetReached, "lead"
        )

    with_run(tmp_path, story)


def test_turns_of_a_family_are_counted_together_and_none_begins_too_many(tmp_path: Path) -> None:
    async def story(m: Manager) -> None:
        await m.spawn("lead", limits={"turns": 3})
        await m.spawn("a", parent="lead")
        await m.spawn("b", parent="lead")

        asked = [await m.ask(name, "/say x", sender="lead") for name in ("a", "b", "a", "b")]
        async with asyncio.timeout(60):
            ends = await asyncio.gather(*map(m.answer, asked), return_exceptions=True)

        assert 3 == sum(isinstance(end, Answer) for end in ends)
        assert 1 == sum(isinstance(end, BudgetSpent) for end in ends)
        assert 3 == m.tree["a"].turns + m.tree["b"].turns

    with_run(tmp_path, story)


def test_of_two_that_are_handed_something_at_once_one_has_the_last_turn_and_the_other_is_told(
    tmp_path: Path,
) -> None:
    async def story(m: Manager) -> None:
        await m.spawn("lead", limits={"turns": 1})
        for name in ("a", "b"):
            await m.spawn(name, parent="lead")
        asked = [await m.ask(name, "/hang", sender="lead") for name in ("a", "b")]

        with pytest.raises(BudgetSpent, match="1 of 1 turn"):
            await asyncio.wait_for(m.answer(asked[1]), 60)
        assert (1, 0) == (m.tree["a"].turns, m.tree["b"].turns)

    with_run(tmp_path, story)


def test_who_is_in_its_last_turn_is_not_interrupted_when_another_s_ends(tmp_path: Path) -> None:
    async def story(m: Manager) -> None:
        await m.spawn("lead", limits={"turns": 2})
        await m.spawn("dev", parent="lead")
        long = await m.ask("lead", "/slow 8 0.2\n/say whole")

        await m.send("dev", "/say short")
        assert "busy" == m.tree["lead"].state
        answer = await m.answer(long)

        assert answer is not None
        assert ("ok", True) == (answer.outcome, answer.text.endswith("whole"))

    with_run(tmp_path, story)


def test_who_is_given_more_in_the_very_moment_is_not_interrupted(tmp_path: Path) -> None:
    async def story(m: Manager) -> None:
        await m.spawn("lead", limits={"tokens": 100})

        def give(entry: Entry) -> None:
            if isinstance(entry.event, BudgetReached):
                m.soon(m.limit("lead", tokens=1000))

        m.ledger.listen(give)
        answer = await m.send("lead", "/usage 70 50\n/slow 4 0.05\n/say whole")

        assert ("ok", True) == (answer.outcome, answer.text.endswith("whole"))

    with_run(tmp_path, story)


def test_a_message_may_join_the_last_turn(tmp_path: Path) -> None:
    async def story(m: Manager) -> None:
        await m.spawn("lead", limits={"turns": 1})
        first = await m.ask("lead", "/slow 400 0.01")
        joined = await m.ask("lead", "and this", steer=True)
        await m.interrupt("lead")

        assert (await m.answer(first), joined.how) != (None, "queued")
        assert 1 == m.tree["lead"].turns

    with_run(tmp_path, story)


# minutes


def test_time_ends_what_is_under_way_and_more_time_lets_go_on(tmp_path: Path) -> None:
    async def story(m: Manager) -> None:
        told = notices(m)
        await m.spawn("lead", limits={"minutes": 0.01})

        async with asyncio.timeout(60):
            answer = await m.send("lead", "/hang")
        assert " of 0.6 s and takes no turns until it has more. Raise it" in answer.error
        assert ["interrupted", 1] == [answer.outcome, len(events_of(m, BudgetReached, "lead"))]
        assert any("of a limit is used" in line for line in told)
        await m.limit("lead", minutes=5)
        assert "ok" == (await m.send("lead", "/say on")).outcome

    with_run(tmp_path, story)


def test_time_that_was_given_to_one_that_ended_holds_for_those_below_it(tmp_path: Path) -> None:
    async def story(m: Manager) -> None:
        await m.spawn("lead")
        await m.spawn("dev", parent="lead")
        ticket = await m.ask("dev", "/hang")
        await m.limit("lead", minutes=0.01)
        m.processes["lead"]._give_up(HarnessError("lead is gone"))

        answer = await m.answer(ticket, 10)
        assert answer is not None
        assert "lead has used 0.6" in answer.error
        assert "failed" == m.tree["lead"].state

    with_run(tmp_path, story)


def test_time_over_an_idle_agent_stops_what_comes_next(tmp_path: Path) -> None:
    async def story(m: Manager) -> None:
        await m.spawn("lead")
        await until(m, happens(BudgetReached, "lead"), m.limit("lead", minutes=0.001))

        with pytest.raises(BudgetSpent, match="takes no turns until it has more"):
            await m.ask("lead", "hello")

    with_run(tmp_path, story)


def test_w12_an_agent_that_works_for_long_is_not_stopped_for_being_busy(tmp_path: Path) -> None:
    async def story(m: Manager) -> None:
        await m.spawn("lead", limits={"minutes": 60})

        answer = await m.send("lead", "/slow 6 0.1\n/say done")

        assert ("ok", True) == (answer.outcome, answer.text.endswith("done"))
        [ended] = [e.seq for e in m.ledger if isinstance(e.event, TurnEnded)]
        suspended = [e.seq for e in m.ledger if isinstance(e.event, AgentSuspended)]
        assert [] == [seq for seq in suspended if seq < ended] + events_of(m, BudgetReached, "lead")

    with_run(tmp_path, story, idle_timeout=0.2)


# raising and lowering


def test_more_comes_on_top_of_what_was_used(tmp_path: Path) -> None:
    async def story(m: Manager) -> None:
        await m.spawn("lead", limits={"tokens": 100})
        await m.send("lead", "/usage 100 20")

        await m.limit("lead", tokens=50, more=True)

        assert 170 == m.budget.limits["lead"]["tokens"].amount
        assert "ok" == (await m.send("lead", "/say go on")).outcome

    with_run(tmp_path, story)


def test_a_limit_that_is_set_below_what_was_used_holds_at_once(tmp_path: Path) -> None:
    async def story(m: Manager) -> None:
        await m.spawn("lead")
        ticket = await m.ask("lead", ENDLESS)
        async with asyncio.timeout(60):
            while not m.costs.of("lead").tokens:
                await m.mail.change(0.05)

        await m.limit("lead", tokens=50)

        assert "interrupted" == (await m.answer(ticket)).outcome

    with_run(tmp_path, story)


def test_a_limit_that_is_taken_away_holds_nobody(tmp_path: Path) -> None:
    async def story(m: Manager) -> None:
        await m.spawn("lead", limits={"tokens": 1})
        await m.send("lead", "/usage 1 1")
        await m.limit("lead", tokens=NO_LIMIT)

        assert ({}, "ok") == (m.budget.limits["lead"], (await m.send("lead", "x")).outcome)

    with_run(tmp_path, story)


def test_a_limit_needs_somebody_and_something(tmp_path: Path) -> None:
    async def story(m: Manager) -> None:
        await m.spawn("lead")
        with pytest.raises(UnknownAgent, match="Did you mean 'lead'"):
            await m.limit("leda", tokens=5)
        with pytest.raises(BadInput, match="at least one of usd"):
            await m.limit("lead")
        with pytest.raises(BadInput, match="Did you mean 'tokens'"):
            await m.spawn("x", limits={"token": 5})
        assert "x" not in m.tree

    with_run(tmp_path, story)


def test_one_that_has_ended_is_still_told_to_have_ended(tmp_path: Path) -> None:
    async def story(m: Manager) -> None:
        await m.spawn("lead", limits={"tokens": 1})
        await m.send("lead", "/usage 1 1")
        await m.terminate("lead")

        with pytest.raises(AgentGone):
            await m.ask("lead", "x")

    with_run(tmp_path, story)
