"""Limits stop softly and warn in time: rehearsal agents, real processes."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from crew import until, with_run
from spenders import ENDLESS, events_of, happens, notices

from madrox_nb.budget import Limits
from madrox_nb.errors import BudgetSpent
from madrox_nb.events import BudgetReached, TurnEnded, TurnSaid
from madrox_nb.manager import Manager

# stopped softly


def test_w15_a_limit_in_tokens_ends_the_turn_with_the_reason_and_the_agent_lives(tmp_path: Path) -> None:
    async def story(m: Manager) -> None:
        await m.spawn("lead", limits={"tokens": 100})

        answer = await m.send("lead", ENDLESS)

        assert "interrupted" == answer.outcome
        assert "lead has used 120 of 100 tokens with all below it" in answer.error
        assert "%madrox limit lead --tokens 200" in answer.error
        assert "idle" == m.tree["lead"].state
        assert [BudgetReached(agent="lead", limit="tokens", amount=100, spent=120)] == events_of(
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
            while not events_of(m, TurnSaid, "lead")[1:]:
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
