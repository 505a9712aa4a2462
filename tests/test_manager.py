"""The verbs that carry words, with real processes."""

from __future__ import annotations

import asyncio
import re
from pathlib import Path

import pytest
from crew import events, run_of, until, with_run

from madrox_nb.errors import BadPrompt, HarnessError, UnknownMessage
from madrox_nb.events import TurnStarted
from madrox_nb.folds import Costs, Inboxes
from madrox_nb.manager import Manager
from madrox_nb.tree import Tree

# speaking


def test_an_agent_answers_and_remembers(tmp_path: Path) -> None:
    async def story(m: Manager) -> None:
        await m.spawn("lead", role="architect")
        first = await m.send("lead", "the word is pineapple")
        second = await m.send("lead", "/recall")

        assert first.ok
        assert "no model is thinking" in first.text
        assert "pineapple" in second.text
        assert ("lead.t1", "lead.t2") == (first.turn, second.turn)

    with_run(tmp_path, story)


def test_the_folds_of_the_ledger_equal_the_live_ones(tmp_path: Path) -> None:
    async def main() -> None:
        async with run_of(tmp_path) as m:
            await m.spawn("lead")
            await m.spawn("kid", parent="lead")
            tickets = [await m.ask("lead", f"/usage {n} 1") for n in range(3)]
            await m.post("kid", "a note")
            for ticket in tickets:
                await m.answer(ticket)
            await m.send("kid", "/crash")
        entries = list(m.ledger)

        assert Tree.replay(entries) == m.tree
        assert Inboxes.replay(entries) == m.inboxes
        assert Costs.replay(entries) == m.costs
        assert list(range(len(entries))) == [entry.seq for entry in entries]

    asyncio.run(main())


def test_sends_to_a_busy_agent_queue_in_order_and_each_caller_gets_its_answer(tmp_path: Path) -> None:
    async def story(m: Manager) -> None:
        await m.spawn("lead")
        answers = await asyncio.gather(*(m.send("lead", f"/slow 2 0.01\n/say number {n}") for n in range(8)))

        assert [f"lead.t{n + 1}" for n in range(8)] == [answer.turn for answer in answers]
        assert all(f"number {n}" in answer.text for n, answer in enumerate(answers))

    with_run(tmp_path, story)


def test_a_cancelled_wait_leaves_the_agent_working(tmp_path: Path) -> None:
    async def story(m: Manager) -> None:
        await m.spawn("lead")
        ticket = await m.ask("lead", "/slow 3 0.2")
        waiting = asyncio.ensure_future(m.answer(ticket))
        await asyncio.sleep(0)
        waiting.cancel()
        answer = await m.answer(ticket)

        assert answer is not None
        assert "ok" == answer.outcome

    with_run(tmp_path, story)


def test_an_interrupt_keeps_the_context_and_tells_the_waiting_sender(tmp_path: Path) -> None:
    async def story(m: Manager) -> None:
        await m.spawn("lead")
        await m.send("lead", "remember the word mango")
        ticket = await m.ask("lead", "/slow 1000 0.05")
        ended = await m.interrupt("lead")
        told = await m.answer(ticket)

        assert ended is not None
        assert told is not None
        assert ("interrupted", "interrupted") == (ended.outcome, told.outcome)
        assert "mango" in (await m.send("lead", "/recall")).text
        assert await m.interrupt("lead") is None

    with_run(tmp_path, story)


def test_an_interrupt_that_is_ignored_is_an_error_and_the_turn_still_runs(tmp_path: Path) -> None:
    async def story(m: Manager) -> None:
        await m.spawn("deaf", harness="rogue")
        await m.ask("deaf", "deaf")

        with pytest.raises(HarnessError, match=r"did not confirm.*--force"):
            await m.interrupt("deaf")
        assert "busy" == m.tree["deaf"].state
        assert ["deaf"] == await m.terminate("deaf", force=True)

    with_run(tmp_path, story, interrupt_timeout=0.2, stop_grace=0.2)


def test_prompts_arrive_whole(tmp_path: Path) -> None:
    prompts = {
        "a megabyte": "é€😀x" * 100_000,
        "dashes": "- one\n- two\n--three",
        "a semicolon": "int x = 1;",
        "NUL": "before\0after",
        "100 kB without a newline": "q" * 100_000,
    }

    async def story(m: Manager) -> None:
        await m.spawn("lead")
        for text in prompts.values():
            answer = await m.send("lead", text)
            assert f"{len(text)} characters" in answer.text.replace(",", "")
        sent = [event.text for event in events(m, TurnStarted)]
        assert list(prompts.values()) == sent

    with_run(tmp_path, story)


@pytest.mark.parametrize("text", ["", "  \n\t ", "half \ud83d"])
def test_a_prompt_that_cannot_be_sent_changes_nothing(tmp_path: Path, text: str) -> None:
    async def story(m: Manager) -> None:
        await m.spawn("lead")
        before = m.ledger.seq
        with pytest.raises(BadPrompt, match="prompt"):
            await m.send("lead", text)
        assert before == m.ledger.seq

    with_run(tmp_path, story)


# messages


def test_a_note_rides_along_with_the_next_turn_and_is_read_once(tmp_path: Path) -> None:
    async def story(m: Manager) -> None:
        await m.spawn("lead")
        note = await m.post("lead", "the meeting is at nine")
        assert "idle" == m.tree["lead"].state
        await m.send("lead", "go")
        started = events(m, TurnStarted)

        assert 1 == len(started)
        assert note in started[0].messages
        assert started[0].text.startswith(f"[{note}] the person writes:\nthe meeting is at nine")
        assert started[0].text.endswith("go")
        assert [] == m.inboxes.unread("lead")

    with_run(tmp_path, story)


def test_a_slash_command_of_the_persons_goes_alone(tmp_path: Path) -> None:
    async def story(m: Manager) -> None:
        await m.spawn("lead")
        await m.post("lead", "a note")
        await m.send("lead", "/say hi")
        assert "/say hi" == events(m, TurnStarted)[0].text

    with_run(tmp_path, story)


def test_what_a_child_was_asked_without_waiting_comes_back_as_the_parents_next_turn(tmp_path: Path) -> None:
    async def story(m: Manager) -> None:
        await m.spawn("lead")
        await m.spawn("kid", parent="lead")
        await m.ask("kid", "/say forty-two", sender="lead")
        await m.quiet()
        kid, lead = (next(e for e in events(m, TurnStarted) if e.agent == name) for name in ("kid", "lead"))

        assert kid.text.startswith("[lead.m1] lead asks:\n")
        assert ("kid.m1",) == lead.messages
        assert lead.text.startswith("[kid.m1] kid answers [lead.m1]:\n")
        assert "forty-two" in lead.text
        assert 1 == sum(e.agent == "lead" for e in events(m, TurnStarted))

    with_run(tmp_path, story)


def test_without_auto_inject_an_answer_waits_until_it_is_asked_for(tmp_path: Path) -> None:
    async def story(m: Manager) -> None:
        await m.spawn("lead")
        await m.spawn("kid", parent="lead", auto_inject=False)
        ticket = await m.ask("kid", "/say forty-two", sender="lead")
        await m.quiet()
        taken = await m.take("lead", timeout=60)

        assert [] == [e for e in events(m, TurnStarted) if e.agent == "lead"]
        assert [ticket.message] == [message.answers for message in taken]
        assert [] == await m.take("lead")

    with_run(tmp_path, story)


def test_an_answer_somebody_waits_for_is_not_left_in_the_inbox_too(tmp_path: Path) -> None:
    async def story(m: Manager) -> None:
        await m.spawn("lead")
        await m.spawn("kid", parent="lead")
        answer = await m.send("kid", "/say now", sender="lead")
        await m.quiet()

        assert "now" in answer.text
        assert [] == m.inboxes.received("lead")

    with_run(tmp_path, story)


def test_reply_answers_one_message_by_its_id_and_takes_the_place_of_the_automatic_answer(
    tmp_path: Path,
) -> None:
    async def story(m: Manager) -> None:
        await m.spawn("lead")
        await m.spawn("kid", parent="lead", auto_inject=False)
        ticket = await until(
            m, lambda entry: isinstance(entry.event, TurnStarted), m.ask("kid", "/hang", sender="lead")
        )
        message, to = await m.reply("kid", "early word", to=ticket.message)
        await m.interrupt("kid")
        await m.quiet()
        received = m.inboxes.received("lead")

        assert ("kid.m1", "lead") == (message, to)
        assert [("early word", ticket.message)] == [(r.text, r.answers) for r in received]

    with_run(tmp_path, story)


def test_a_waiting_caller_gets_the_reply_with_the_answer_and_only_there(tmp_path: Path) -> None:
    async def story(m: Manager) -> None:
        await m.spawn("lead")
        await m.spawn("kid", parent="lead")
        await m.ask("lead", "/hang")  # as an agent is while its tool call waits
        ticket = await m.ask("kid", "/slow 3 0.2\n/say the end", sender="lead")
        await m.reply("kid", "early word", to=ticket.message)
        answer = await m.answer(ticket)
        await m.interrupt("lead")
        await m.quiet()

        assert answer is not None
        assert ("early word",) == answer.replies
        assert "the end" in answer.text
        assert [] == m.inboxes.unread("lead")
        assert 1 == m.tree["lead"].turns

    with_run(tmp_path, story)


def test_a_reply_to_an_unknown_message_names_those_that_wait(tmp_path: Path) -> None:
    async def story(m: Manager) -> None:
        await m.spawn("lead")
        await m.spawn("kid", parent="lead")
        ticket = await m.ask("kid", "/slow 1000 0.02", sender="lead")
        with pytest.raises(UnknownMessage, match=re.escape(ticket.message)):
            await m.reply("kid", "hello", to="lead.m99")
        await m.terminate("kid", force=True)

    with_run(tmp_path, story)


def test_a_parent_hears_that_its_child_died_in_mid_turn(tmp_path: Path) -> None:
    async def story(m: Manager) -> None:
        await m.spawn("lead")
        await m.spawn("kid", parent="lead")
        await m.ask("kid", "/crash 9", sender="lead")
        await m.quiet()
        lead = next(e for e in events(m, TurnStarted) if e.agent == "lead")

        assert "kid could not answer [lead.m1]" in lead.text
        assert "code 9" in lead.text
        assert "failed" == m.tree["kid"].state

    with_run(tmp_path, story)


def test_inboxes_hold_a_thousand_messages_and_lose_none(tmp_path: Path) -> None:
    async def story(m: Manager) -> None:
        await m.spawn("lead")
        for n in range(1000):
            await m.post("lead", f"note {n}")
        assert [f"note {n}" for n in range(1000)] == [message.text for message in await m.take("lead")]

    with_run(tmp_path, story)
