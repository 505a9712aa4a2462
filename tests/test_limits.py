"""Limits on what agents use: rehearsal agents, real processes.

`/usage 70 30` reports 100 tokens.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import spenders  # noqa: F401 — lends the harnesses that cost something
from crew import until, with_run

from madrox_nb.budget import NO_LIMIT, Budget, Limits
from madrox_nb.errors import AgentGone, BadInput, BudgetSpent, Forbidden, HarnessError, TreeFull, UnknownAgent
from madrox_nb.events import (
    AgentSuspended,
    BudgetReached,
    BudgetSet,
    Entry,
    Event,
    Notice,
    TurnEnded,
    TurnSaid,
)
from madrox_nb.manager import Manager
from madrox_nb.revival import bring_back
from madrox_nb.tickets import Answer

ENDLESS = "/usage 70 50\n/hang"


def events(m: Manager, kind: type[Event], agent: str) -> list[Any]:
    return [e.event for e in m.ledger if isinstance(e.event, kind) and e.event.agent == agent]


def happens(kind: type[Event], agent: str) -> Callable[[Entry], bool]:
    return lambda entry: isinstance(entry.event, kind) and entry.event.agent == agent


def notices(m: Manager) -> list[str]:
    """What watchers will have been told, one line each."""
    told: list[str] = []
    m.watch(lambda s: told.append(f"{s.agent}: {s.text}") if isinstance(s, Notice) else None)
    return told


async def idle(m: Manager, name: str) -> None:
    async with asyncio.timeout(60):
        while m.tree[name].state != "idle":
            await m.mail.change()


# stopped softly


def test_w15_a_limit_in_tokens_ends_the_turn_with_the_reason_and_the_agent_lives(tmp_path: Path) -> None:
    async def story(m: Manager) -> None:
        await m.spawn("lead", limits={"tokens": 100})

        answer = await m.send("lead", ENDLESS)

        assert "interrupted" == answer.outcome
        assert "lead has used 120 of 100 tokens with all below it" in answer.error
        assert "%madrox limit lead --tokens 200" in answer.error
        assert "idle" == m.tree["lead"].state
        assert [BudgetReached(agent="lead", limit="tokens", amount=100, spent=120)] == events(
            m, BudgetReached, "lead"
        )

    with_run(tmp_path, story)


def test_w15_a_limit_in_dollars_harms_nobody_else(tmp_path: Path) -> None:
    async def story(m: Manager) -> None:
        await m.spawn("poor", harness="costly", limits=Limits(usd=0.1))
        await m.spawn("rich", harness="costly")

        stopped, done = await asyncio.gather(m.send("poor", ENDLESS), m.send("rich", "/usage 900 100"))

        assert ("interrupted", "ok") == (stopped.outcome, done.outcome)
        assert "poor has used $0.12 of $0.10" in stopped.error

    with_run(tmp_path, story)


def test_who_asks_one_that_has_nothing_left_is_told_what_and_how_to_give_more(tmp_path: Path) -> None:
    async def story(m: Manager) -> None:
        await m.spawn("lead", limits={"tokens": 100})
        await m.send("lead", "/usage 70 50")

        with pytest.raises(BudgetSpent, match=r"120 of 100 tokens.*takes no turns.*--tokens 200.*ask again"):
            await m.send("lead", "more")
        assert 1 == m.tree["lead"].turns

    with_run(tmp_path, story)


def test_a_turn_whose_last_report_uses_it_up_ends_as_it_ended_and_so_does_the_next(tmp_path: Path) -> None:
    async def story(m: Manager) -> None:
        await m.spawn("lead", limits={"tokens": 1})

        assert "ok" == (await m.send("lead", "reported at its end")).outcome
        assert await m.quiet(timeout=60)
        await m.limit("lead", tokens=1000)
        assert "ok" == (await m.send("lead", "/slow 3 0.02")).outcome

    with_run(tmp_path, story)


def test_what_waited_goes_on_by_itself_when_the_limit_is_raised_and_is_answered(tmp_path: Path) -> None:
    async def story(m: Manager) -> None:
        await m.spawn("lead", limits={"tokens": 100})
        first = await m.ask("lead", ENDLESS)
        second = await m.ask("lead", "/say the second")
        await m.answer(first)

        with pytest.raises(BudgetSpent, match="What you asked waits until then"):
            await m.answer(second, 10)
        await until(m, happens(TurnEnded, "lead"), m.limit("lead", tokens=1000))

        [letter] = await m.take(timeout=60)
        assert (second.id, "ok", "the second") == (letter.answers, letter.outcome, letter.text)

    with_run(tmp_path, story)


def test_an_agent_whose_question_waits_is_told_so_and_later_the_answer(tmp_path: Path) -> None:
    async def story(m: Manager) -> None:
        await m.spawn("lead")
        await m.spawn("dev", parent="lead", auto_inject=False, limits={"tokens": 100})
        await m.ask("dev", ENDLESS, sender="lead")
        await m.ask("dev", "/say after all", sender="lead")

        async def answers(count: int) -> list[str]:
            async with asyncio.timeout(60):
                while len(found := [x.text for x in m.inboxes.received("lead") if x.answers]) < count:
                    await m.mail.change()
            return found

        waits, stopped = await answers(2)
        assert "dev has used 120 of 100 tokens" in stopped
        assert "What you asked waits until then" in waits
        await m.limit("dev", tokens=1000)
        assert "after all" == (await answers(3))[-1]

    with_run(tmp_path, story)


def test_peers_5_a_limit_that_trips_in_a_sub_agent_leaves_nobody_waiting(tmp_path: Path) -> None:
    async def story(m: Manager) -> None:
        await m.spawn("lead")
        await m.spawn("dev", parent="lead", limits={"tokens": 100})

        async with asyncio.timeout(60):
            answer = await m.send("dev", ENDLESS, sender="lead")

        assert ("interrupted", True) == (answer.outcome, "of 100 tokens" in answer.error)
        assert [] == list(m.mail.open_tickets())

    with_run(tmp_path, story)


def test_a_limit_holds_for_all_below_and_stops_whoever_works_there(tmp_path: Path) -> None:
    async def story(m: Manager) -> None:
        await m.spawn("lead", limits={"tokens": 100})
        await m.spawn("dev", parent="lead")
        await m.spawn("dev.1", parent="dev")
        await m.spawn("other")
        waiting = [await m.ask(name, "/hang") for name in ("lead", "dev", "other")]

        await m.ask("dev.1", ENDLESS)
        async with asyncio.timeout(60):
            ended = [await m.answer(ticket) for ticket in waiting[:2]]

        assert ["interrupted"] * 2 == [answer.outcome for answer in ended if answer]
        assert all("lead has used 120 of 100" in answer.error for answer in ended if answer)
        with pytest.raises(BudgetSpent, match="dev is part of that"):
            await m.ask("dev", "go on")
        assert "busy" == m.tree["other"].state
        await m.terminate("other", force=True)

    with_run(tmp_path, story)


def test_peers_5_an_unknown_price_disarms_no_limit_and_does_not_go_unsaid(tmp_path: Path) -> None:
    async def story(m: Manager) -> None:
        told = notices(m)
        await m.spawn("lead", harness="unlisted", limits={"usd": 5, "tokens": 200})

        await m.send("lead", "/usage 50 50")
        stopped = await m.send("lead", "/usage 50 51\n/hang")

        assert "201 of 200 tokens" in stopped.error
        [blind] = [line for line in told if "nobody knows" in line]
        assert "the price of no-such-model-9: the limit of $5.00 can't see it" in blind
        assert "%madrox limit lead --tokens N" in blind
        [usd, _] = m.budget.standings("lead", m._clock())
        assert "≥ $0.00 of $5.00" == str(usd)

    with_run(tmp_path, story)


def test_a_limit_in_tokens_on_a_program_that_counts_none_says_what_holds_it(tmp_path: Path) -> None:
    async def story(m: Manager) -> None:
        told = notices(m)
        await m.spawn("lead", harness="uncounted", limits={"tokens": 200, "turns": 1})
        await m.send("lead", "hello")

        [blind] = [line for line in told if "reports no tokens" in line]
        assert "only minutes and turns can limit it" in blind

    with_run(tmp_path, story)


def test_peers_5_a_stop_loses_neither_files_nor_conversation(tmp_path: Path) -> None:
    async def story(m: Manager) -> None:
        await m.spawn("lead", limits={"tokens": 100})
        session, pid = m.tree["lead"].session, m.processes["lead"].pid

        await m.send("lead", f"/write draft.txt half done\n{ENDLESS}")
        await m.limit("lead", tokens=1000)
        recalled = await m.send("lead", "/recall")

        assert "half done" == (Path(m.tree["lead"].workspace) / "draft.txt").read_text()
        assert "draft.txt" in recalled.text
        assert (session, pid) == (m.tree["lead"].session, m.processes["lead"].pid)

    with_run(tmp_path, story)


def test_one_that_cant_be_interrupted_ends_its_turn_and_takes_no_other(tmp_path: Path) -> None:
    async def story(m: Manager) -> None:
        told = notices(m)
        await m.spawn("lead", harness="unstoppable", limits={"tokens": 100})

        answer = await m.send("lead", "/usage 70 50\n/slow 2 0.05\n/say done")

        assert ("ok", True) == (answer.outcome, answer.text.endswith("done"))
        assert any("its turn goes on" in line for line in told)
        with pytest.raises(BudgetSpent):
            await m.ask("lead", "more")

    with_run(tmp_path, story)


def test_who_waits_for_one_that_hears_no_interrupt_is_told_and_gets_an_answer_that_comes(
    tmp_path: Path,
) -> None:
    async def story(m: Manager) -> None:
        await m.spawn("lead")
        asked = await m.ask("lead", "/usage 70 50\n/hang hard")
        waiting = asyncio.ensure_future(m.answer(asked))
        async with asyncio.timeout(60):
            while not events(m, TurnSaid, "lead")[1:]:
                await m.mail.change(0.02)

        await m.limit("lead", tokens=100)
        with pytest.raises(BudgetSpent, match="Its turn can't be ended: lead did not confirm"):
            await asyncio.wait_for(waiting, 60)
        assert "busy" == m.tree["lead"].state
        await m.terminate("lead", force=True)
        [letter] = await m.take(timeout=60)
        assert ("lead", "interrupted") == (letter.sender, letter.outcome)

    with_run(tmp_path, story, interrupt_timeout=0.2, stop_grace=0.2)


# warned in time


def test_at_four_fifths_watchers_are_told_once_and_status_says_it(tmp_path: Path) -> None:
    async def story(m: Manager) -> None:
        told = notices(m)
        await m.spawn("lead", limits={"tokens": 1000})
        await m.spawn("dev", parent="lead")
        for tokens in (790, 20, 30):
            await m.send("dev", f"/usage {tokens} 0")

        assert ["lead: 81% of a limit is used: 810 of 1,000 tokens"] == told
        assert "84% of a limit: 840 of 1,000 tokens (lead)" == m.spending.remark("dev")
        await m.limit("lead", tokens=10_000)
        assert "" == m.spending.remark("dev")
        await m.limit("lead", tokens=1001)
        assert 2 == len(told)

    with_run(tmp_path, story)


def test_one_that_is_held_says_so_wherever_it_is_shown(tmp_path: Path) -> None:
    async def story(m: Manager) -> None:
        await m.spawn("lead", limits={"tokens": 100})
        await m.send("lead", "/usage 70 50")

        assert "limit reached: 120 of 100 tokens" == m.spending.remark("lead")

    with_run(tmp_path, story)


# turns


def test_the_last_turn_runs_to_its_end_and_then_it_is_over(tmp_path: Path) -> None:
    async def story(m: Manager) -> None:
        await m.spawn("lead", limits={"turns": 2})
        answers = [await m.send("lead", f"/say {n}") for n in (1, 2)]

        assert ["1", "2"] == [answer.text for answer in answers]
        with pytest.raises(BudgetSpent, match="2 of 2 turns"):
            await m.send("lead", "3")
        assert [BudgetReached(agent="lead", limit="turns", amount=2, spent=2)] == events(
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
        assert ["interrupted", 1] == [answer.outcome, len(events(m, BudgetReached, "lead"))]
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
        assert [] == [seq for seq in suspended if seq < ended] + events(m, BudgetReached, "lead")

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

        assert "interrupted" == (await m.answer(ticket)).outcome  # type: ignore[union-attr]

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


# waiting and sleeping


def test_waiting_for_quiet_does_not_wait_for_what_a_limit_holds(tmp_path: Path) -> None:
    async def story(m: Manager) -> None:
        await m.spawn("lead", limits={"tokens": 100})
        first = await m.ask("lead", ENDLESS)
        await m.ask("lead", "queued")
        await m.answer(first)

        assert await m.quiet(("lead",), timeout=60)
        assert 1 == m.inboxes.queued("lead")

    with_run(tmp_path, story)


def test_a_suspended_one_is_not_woken_for_what_it_may_not_do_and_is_when_it_may(tmp_path: Path) -> None:
    async def story(m: Manager) -> None:
        await m.spawn("lead", limits={"tokens": 100})
        first = await m.ask("lead", ENDLESS)
        await m.ask("lead", "/say at last")
        await m.answer(first)
        await idle(m, "lead")
        await m.suspend("lead")

        await m.post("lead", "a note")
        assert await m.quiet(timeout=60)
        assert "suspended" == m.tree["lead"].state
        await until(m, happens(TurnEnded, "lead"), m.limit("lead", tokens=500))
        assert "at last" in events(m, TurnEnded, "lead")[-1].text

    with_run(tmp_path, story)


# who gives what to whom


def test_an_agent_gives_a_child_no_more_than_it_has_left(tmp_path: Path) -> None:
    async def story(m: Manager) -> None:
        await m.spawn("lead", limits={"tokens": 1000})
        await m.send("lead", "/usage 400 0")

        with pytest.raises(Forbidden, match="lead has 600 tokens left and can't give 700 tokens"):
            await m.spawn("dev", parent="lead", by="lead", limits={"tokens": 700})
        assert "dev" not in m.tree
        await m.spawn("dev", parent="lead", by="lead", limits={"tokens": 600})
        assert [BudgetSet(agent="dev", limit="tokens", amount=600, by="lead")] == events(m, BudgetSet, "dev")

    with_run(tmp_path, story)


def test_one_that_has_nothing_left_spawns_nobody(tmp_path: Path) -> None:
    async def story(m: Manager) -> None:
        await m.spawn("lead", limits={"tokens": 1})
        await m.send("lead", "/usage 1 1")

        with pytest.raises(BudgetSpent, match="2 of 1 token"):
            await m.spawn("dev", parent="lead", by="lead")

    with_run(tmp_path, story)


def test_an_agent_may_be_stricter_but_never_undo_what_was_set_above_it(tmp_path: Path) -> None:
    async def story(m: Manager) -> None:
        await m.spawn("boss")
        await m.spawn("lead", parent="boss")
        await m.spawn("dev", parent="lead", limits={"tokens": 1000})

        await m.limit("dev", tokens=500, by="lead")
        with pytest.raises(Forbidden, match=r"lead can't allow dev more than 500 tokens.*Ask the person"):
            await m.limit("dev", tokens=800, by="lead")  # it is still the person's limit
        await m.limit("dev", turns=5, by="lead")
        await m.limit("dev", turns=6, by="lead")
        await m.limit("dev", turns=7, by="boss")
        with pytest.raises(Forbidden, match=r"boss has set\. Ask boss"):
            await m.limit("dev", turns=NO_LIMIT, by="lead")
        await m.limit("dev", tokens=2000)
        assert (2000, 7) == tuple(m.budget.limits["dev"][name].amount for name in ("tokens", "turns"))

    with_run(tmp_path, story)


def test_nobody_allows_itself_more(tmp_path: Path) -> None:
    async def story(m: Manager) -> None:
        await m.spawn("lead", limits={"tokens": 1000, "minutes": 30})

        await m.limit("lead", tokens=900, by="lead")
        for more in ({"tokens": 901}, {"tokens": NO_LIMIT}, {"minutes": 30}):
            with pytest.raises(Forbidden, match="lead can't allow lead more"):
                await m.limit("lead", by="lead", **more)
        await m.limit("lead", turns=5, by="lead")
        with pytest.raises(Forbidden, match=r"lead can't allow lead more than 5 turns.*Ask the person"):
            await m.limit("lead", turns=6, by="lead")
        with pytest.raises(Forbidden, match="only the person can"):
            await m.limit("", tokens=5, by="lead")

    with_run(tmp_path, story)


# the tree's shape


def test_a_tree_grows_no_deeper_and_no_wider_than_it_may(tmp_path: Path) -> None:
    async def story(m: Manager) -> None:
        await m.spawn("lead", limits={"max_children": 1})
        await m.spawn("dev", parent="lead")

        with pytest.raises(TreeFull, match=r"lead may have 1 child at once and has 1: dev.*--max-children 2"):
            await m.spawn("two", parent="lead")
        with pytest.raises(TreeFull, match=r"the run may have 2 levels.*%madrox limit --max-depth 3"):
            await m.spawn("deep", parent="dev")
        await m.terminate("dev")
        await m.spawn("two", parent="lead")
        assert ["lead", "dev", "two"] == [agent.name for agent in m.tree]

    with_run(tmp_path, story, max_depth=2)


def test_children_that_come_at_once_are_counted_before_they_are_there(tmp_path: Path) -> None:
    async def story(m: Manager) -> None:
        await m.spawn("lead", limits={"max_children": 2})

        spawns = [m.spawn(f"kid{n}", parent="lead") for n in range(5)]
        ends = await asyncio.gather(*spawns, return_exceptions=True)

        assert 3 == sum(isinstance(end, TreeFull) for end in ends)
        assert 2 == len(m.tree.children("lead"))

    with_run(tmp_path, story)


def test_an_agent_that_may_have_nobody_below_it_gets_nobody(tmp_path: Path) -> None:
    async def story(m: Manager) -> None:
        await m.spawn("lead", limits={"max_depth": 0})
        with pytest.raises(TreeFull, match="no agent can be spawned below lead: lead may have 0 levels"):
            await m.spawn("dev", parent="lead")
        await m.limit("lead", max_depth=1)
        await m.spawn("dev", parent="lead")

    with_run(tmp_path, story)


def test_a_fork_is_one_more_child_and_has_the_limits_of_its_original(tmp_path: Path) -> None:
    async def story(m: Manager) -> None:
        await m.spawn("lead")
        await m.spawn("dev", parent="lead", limits={"tokens": 100})
        await m.send("dev", "/usage 60 0")

        fork = await m.fork("dev")
        assert (100, 0) == (m.budget.limits[fork.name]["tokens"].amount, m.budget.used[fork.name].tokens)
        await m.limit("lead", max_children=2)
        with pytest.raises(TreeFull):
            await m.fork("dev")

    with_run(tmp_path, story)


# settings


def test_the_settings_limit_the_run_and_every_agent(tmp_path: Path) -> None:
    async def story(m: Manager) -> None:
        await m.spawn("a", harness="costly")
        await m.spawn("b", harness="costly", limits={"tokens": 700})
        assert {"tokens": 500, "minutes": 60} == {k: v.amount for k, v in m.budget.limits["a"].items()}
        assert {"tokens": 700, "minutes": 60} == {k: v.amount for k, v in m.budget.limits["b"].items()}
        assert {"settings"} == {limit.by for limit in m.budget.limits["a"].values()}

        await m.send("a", "/usage 400 0")
        stopped = await m.send("b", "/usage 600 1\n/hang")

        assert "the run has used $1.00 of $1.00, and b is part of that" in stopped.error
        assert "%madrox limit --usd 2" in stopped.error
        await m.limit("", usd=2)
        assert "ok" == (await m.send("b", "x")).outcome

    with_run(tmp_path, story, max_usd=1.001, max_tokens=500, agent_minutes=60)


def test_without_settings_there_is_no_limit(tmp_path: Path) -> None:
    async def story(m: Manager) -> None:
        await m.spawn("lead")
        await m.send("lead", "/usage 10000000 0")

        assert {} == m.budget.limits
        assert [] == events(m, BudgetSet, "lead") + events(m, BudgetSet, "")

    with_run(tmp_path, story)


# the ledger


def test_what_is_replayed_is_what_is_live(tmp_path: Path) -> None:
    async def story(m: Manager) -> None:
        await m.spawn("lead", limits={"tokens": 100, "turns": 9, "minutes": 9})
        await m.spawn("dev", parent="lead", limits={"usd": 3})
        await m.send("dev", ENDLESS)
        await m.limit("lead", tokens=1000)
        await m.send("dev", "on")

        assert m.budget == Budget.replay(m.ledger)

    with_run(tmp_path, story)


def test_an_agent_that_comes_back_has_its_limits_and_what_it_had_used_of_them(tmp_path: Path) -> None:
    async def before(m: Manager) -> None:
        await m.spawn("lead", limits={"tokens": 100})
        await m.spawn("dev", parent="lead")
        await m.send("dev", "/usage 40 50")

    async def after(m: Manager) -> None:
        await bring_back(m)

        assert (90, 0) == (m.budget.spent("lead", "tokens", m._clock()), m.costs.total().tokens)
        answer = await m.send("dev", "/usage 10 0\n/hang")
        assert "lead has used 100 of 100 tokens" in answer.error
        await m.limit("lead", tokens=101)
        assert 1 == m.budget.left("lead", "tokens", m.spending.now())

    with_run(tmp_path, before)
    with_run(tmp_path, after)


def test_one_that_was_held_comes_back_held(tmp_path: Path) -> None:
    async def before(m: Manager) -> None:
        await m.spawn("lead", limits={"tokens": 100})
        first = await m.ask("lead", ENDLESS)
        await m.ask("lead", "/say what waited")
        await m.answer(first)

    async def after(m: Manager) -> None:
        await bring_back(m)
        assert 1 == m.inboxes.queued("lead")
        with pytest.raises(BudgetSpent, match="120 of 100"):
            await m.ask("lead", "x")
        await until(m, happens(TurnEnded, "lead"), m.limit("lead", tokens=300))
        assert "what waited" == events(m, TurnEnded, "lead")[-1].text

    with_run(tmp_path, before)
    with_run(tmp_path, after)
