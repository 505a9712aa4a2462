"""Agents that are suspended and resumed, forked, and steered: rehearsal agents, real processes."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import psutil
import pytest
from crew import Disk, until, with_run

from madrox_nb import config, library
from madrox_nb.errors import AgentBusy, AgentGone, BadInput, HarnessNotReady, LimitReached, NameTaken
from madrox_nb.events import (
    AgentReady,
    AgentStopped,
    AgentSuspended,
    Entry,
    TextDelta,
    TurnEnded,
    TurnStarted,
    TurnSteered,
)
from madrox_nb.harness.rehearsal import Rehearsal
from madrox_nb.manager import Manager
from madrox_nb.tree import Tree

pytestmark = pytest.mark.slow


def kind(*kinds: type, agent: str = "lead") -> Callable[[Entry], bool]:
    return lambda entry: isinstance(entry.event, kinds) and entry.event.agent == agent


def count(m: Manager, *kinds: type) -> int:
    return sum(isinstance(entry.event, kinds) for entry in m.ledger)


async def speaking(m: Manager, name: str, text: str) -> None:
    """Begin a turn, and wait until something is said in it."""
    said = asyncio.Event()
    stop = m.watch(lambda s: said.set() if isinstance(s, TextDelta) and s.agent == name else None)
    await m.ask(name, text)
    await asyncio.wait_for(said.wait(), 60)
    stop()


# suspended and resumed


def test_a_suspended_agent_has_no_process_and_goes_on_where_it_was(tmp_path: Path) -> None:
    async def story(m: Manager) -> None:
        await m.spawn("lead")
        await m.send("lead", "remember me")
        pid, session = m.processes["lead"].pid, m.tree["lead"].session

        suspended = await m.suspend("lead", "to see")
        assert ("suspended", None) == (suspended.state, m.processes.get("lead"))
        assert not psutil.pid_exists(pid or 0)

        said = (await m.send("lead", "/recall")).text
        assert '["remember me"]' == said
        assert ("idle", session) == (m.tree["lead"].state, m.tree["lead"].session)
        assert Tree.replay(m.ledger) == m.tree

    with_run(tmp_path, story)


def test_an_agent_that_never_had_a_turn_starts_afresh_when_it_is_resumed(tmp_path: Path) -> None:
    async def story(m: Manager) -> None:
        await m.spawn("lead")
        await m.suspend("lead")

        assert "idle" == (await m.resume("lead")).state
        assert "[]" == (await m.send("lead", "/recall")).text

    with_run(tmp_path, story)


def test_many_messages_resume_it_once_and_all_are_answered(tmp_path: Path) -> None:
    async def story(m: Manager) -> None:
        await m.spawn("lead")
        await m.suspend("lead")
        answers = await asyncio.gather(*(m.send("lead", f"/say {n}") for n in range(8)))

        assert [str(n) for n in range(8)] == [answer.text for answer in answers]
        assert 2 == count(m, AgentReady)

    with_run(tmp_path, story)


def test_a_note_that_waits_to_be_asked_for_wakes_nobody(tmp_path: Path) -> None:
    async def story(m: Manager) -> None:
        await m.spawn("lead")
        await m.suspend("lead")
        await m.post("lead", "for later")

        assert ("suspended", 1) == (m.tree["lead"].state, len(m.inboxes.unread("lead")))
        assert await m.quiet()
        assert "for later" in (await m.send("lead", "hi")).text
        assert [] == m.inboxes.unread("lead")

    with_run(tmp_path, story)


def test_a_message_that_comes_while_it_is_being_suspended_is_not_lost(tmp_path: Path) -> None:
    async def story(m: Manager) -> None:
        await m.spawn("lead")
        suspending = asyncio.ensure_future(m.suspend("lead"))
        await asyncio.sleep(0)  # it has begun to end
        answer = await m.send("lead", "/say still here")
        await suspending

        assert "still here" == answer.text

    with_run(tmp_path, story)


def test_who_is_ended_while_it_is_being_suspended_is_not_woken_by_what_waits(tmp_path: Path) -> None:
    async def story(m: Manager) -> None:
        await m.spawn("lead")
        suspending = asyncio.ensure_future(m.suspend("lead"))
        await asyncio.sleep(0)  # it has begun to end
        ticket = await m.ask("lead", "hello")
        await m.terminate("lead")
        await suspending
        assert await m.quiet(timeout=60)

        with pytest.raises(AgentGone, match="terminated by you"):
            await m.answer(ticket)
        assert 1 == count(m, AgentReady)
        assert 0 == len(m.processes)

    with_run(tmp_path, story)


def test_its_workspace_is_kept_for_it(tmp_path: Path) -> None:
    async def story(m: Manager) -> None:
        lead = await m.spawn("lead")
        await m.send("lead", "/write plan.txt one")
        await m.suspend("lead")
        other = Manager(m.settings)
        await other.open()
        try:
            assert lead.workspace != (await other.spawn("lead")).workspace
        finally:
            await other.close()
        await m.send("lead", "/write plan.txt two")

    with_run(tmp_path, story)
    assert "two" == (tmp_path / "work" / "lead" / "plan.txt").read_text()


def test_who_works_can_not_be_suspended(tmp_path: Path) -> None:
    async def story(m: Manager) -> None:
        await m.spawn("lead")
        await speaking(m, "lead", "/hang")
        with pytest.raises(AgentBusy, match="lead is busy"):
            await m.suspend("lead")
        await m.interrupt("lead")
        assert "suspended" == (await m.suspend("lead")).state

    with_run(tmp_path, story)


def test_who_could_not_go_on_is_not_suspended(tmp_path: Path) -> None:
    async def story(m: Manager) -> None:
        await m.spawn("lead", harness="forgetful")
        with pytest.raises(BadInput, match="lead can't be suspended: forgetful could not go on"):
            await m.suspend("lead")
        assert "idle" == m.tree["lead"].state

    with_run(tmp_path, story)


def test_a_suspended_agent_can_be_ended_and_its_children_with_it(tmp_path: Path) -> None:
    async def story(m: Manager) -> None:
        await m.spawn("lead")
        await m.spawn("kid", parent="lead")
        await m.suspend("lead")

        assert ["kid", "lead"] == await m.terminate("lead")
        with pytest.raises(AgentGone, match="lead has stopped"):
            await m.resume("lead")
        assert (await m.spawn("lead")).state == "idle"

    with_run(tmp_path, story)


def test_a_session_that_is_gone_is_a_named_failure_for_who_waits(tmp_path: Path) -> None:
    async def story(m: Manager) -> None:
        await m.spawn("lead")
        await m.send("lead", "hi")
        await m.suspend("lead")
        for session in (tmp_path / "sessions").iterdir():
            session.unlink()

        with pytest.raises(AgentGone, match="cannot go on with session"):
            await m.send("lead", "are you there?")
        assert "failed" == m.tree["lead"].state
        with pytest.raises(AgentGone):
            await m.resume("lead")

    with_run(tmp_path, story)


def test_who_is_woken_and_whose_harness_is_gone_tells_who_asked(tmp_path: Path) -> None:
    library.lend(type("Lent", (Rehearsal,), {"name": "lent"}))

    async def story(m: Manager) -> None:
        await m.spawn("lead", harness="lent")
        await m.suspend("lead")
        del library._lent["lent"]  # a kernel with other settings went on with this run
        with pytest.raises(AgentGone, match="no harness named 'lent'"):
            await m.send("lead", "hi")
        assert "failed" == m.tree["lead"].state
        assert await m.quiet(timeout=60)

    with_run(tmp_path, story)


def test_resume_waits_and_tells_why_it_failed(tmp_path: Path) -> None:
    async def story(m: Manager) -> None:
        await m.spawn("lead")
        await m.send("lead", "hi")
        await m.suspend("lead")
        for session in (tmp_path / "sessions").iterdir():
            session.write_text("{")

        with pytest.raises(HarnessNotReady, match="cannot go on with session"):
            await m.resume("lead")

    with_run(tmp_path, story)


# interrupted


def test_who_can_not_be_interrupted_refuses_at_once_and_says_what_to_do(tmp_path: Path) -> None:
    async def story(m: Manager) -> None:
        await m.spawn("lead", harness="headstrong")
        assert None is await m.interrupt("lead")  # there is nothing to interrupt
        await speaking(m, "lead", "/slow 600 0.05")
        with pytest.raises(
            BadInput, match=r"headstrong can't end a turn.*lead\.t1.*%madrox stop lead --force"
        ):
            await m.interrupt("lead")
        assert ("busy", 0) == (m.tree["lead"].state, count(m, TurnEnded))

        await m.terminate("lead", force=True)
        assert "stopped" == m.tree["lead"].state

    with_run(tmp_path, story, interrupt_timeout=300)


# idleness


def test_an_idle_agent_is_suspended_after_the_timeout_and_wakes_for_a_message(tmp_path: Path) -> None:
    async def story(m: Manager) -> None:
        await until(m, kind(AgentSuspended), m.spawn("lead"))
        assert "idle for 0.2 s" == next(
            e.event.reason for e in m.ledger if isinstance(e.event, AgentSuspended)
        )
        assert "awake" == (await m.send("lead", "/say awake")).text

    with_run(tmp_path, story, idle_timeout=0.2)


def test_a_working_agent_is_never_suspended_however_long_its_turn(tmp_path: Path) -> None:
    async def story(m: Manager) -> None:
        await m.spawn("lead")
        answer = await m.send("lead", "/slow 8 0.1")

        assert answer.ok
        assert 0 == count(m, AgentSuspended)

    with_run(tmp_path, story, idle_timeout=0.4)


def test_who_can_not_go_on_later_stays(tmp_path: Path) -> None:
    async def story(m: Manager) -> None:
        await m.spawn("forgetful", harness="forgetful")
        await until(m, kind(AgentSuspended), m.spawn("lead"))

        assert "idle" == m.tree["forgetful"].state

    with_run(tmp_path, story, idle_timeout=0.2)


def test_each_turn_begins_the_idleness_anew(tmp_path: Path) -> None:
    now = [datetime(2026, 7, 25, 12, tzinfo=UTC)]

    async def story() -> None:
        settings = config.load({"home": tmp_path, "idle_timeout": 600}, environ={}, files=()).settings
        m = await Manager(settings, clock=lambda: now[0]).open()
        try:
            await m.spawn("lead", harness="rehearsal")
            now[0] += timedelta(seconds=500)
            await m.send("lead", "hi")
            now[0] += timedelta(seconds=500)
            m.idleness._look("lead")  # as its timer does
            assert (await m.quiet(), "idle") == (True, m.tree["lead"].state)

            now[0] += timedelta(seconds=100)
            m.idleness._look("lead")
            assert (await m.quiet(), "suspended") == (True, m.tree["lead"].state)
        finally:
            await m.close()

    asyncio.run(asyncio.wait_for(story(), 100))


def test_a_timeout_of_nothing_suspends_nobody(tmp_path: Path) -> None:
    async def story(m: Manager) -> None:
        await m.spawn("lead")
        await m.send("lead", "hi")
        assert not m.idleness._timers

    with_run(tmp_path, story, idle_timeout=0)


# forked


def test_a_fork_knows_all_that_was_said_and_the_original_is_untouched(tmp_path: Path) -> None:
    async def story(m: Manager) -> None:
        lead = await m.spawn("lead", role="architect", model="m-1", permissions="edits")
        await m.send("lead", "the word is PINEAPPLE\n/write notes/a.txt one")
        twin = await m.fork("lead", "twin")
        await m.send("twin", "/write notes/a.txt two")
        mine, its = await m.send("lead", "/recall"), await m.send("twin", "/recall")

        assert ("architect", "m-1", "edits", "forked from lead") == (
            twin.role,
            twin.model,
            twin.permissions,
            twin.origin,
        )
        assert lead.session != twin.session
        assert "PINEAPPLE" in mine.text
        assert "PINEAPPLE" in its.text
        assert "two" not in mine.text

    with_run(tmp_path, story)
    files = [tmp_path / "work" / name / "notes" / "a.txt" for name in ("lead", "twin")]
    assert ["one", "two"] == [file.read_text() for file in files]


def test_a_fork_stands_beside_the_original_and_is_numbered(tmp_path: Path) -> None:
    async def story(m: Manager) -> None:
        await m.spawn("boss")
        await m.spawn("lead", parent="boss", permissions="all")
        await m.send("lead", "hi")
        twin = await m.fork("lead")

        assert ("boss.1", "boss", "edits") == (twin.name, twin.parent, twin.permissions)
        named = await m.fork("lead", "other", permissions="all")
        assert "all" == named.permissions

    with_run(tmp_path, story)


def test_forks_at_once_get_names_of_their_own_and_none_takes_another_with_it(tmp_path: Path) -> None:
    async def story(m: Manager) -> None:
        await m.spawn("lead")
        await m.send("lead", "hi")
        forks = await asyncio.gather(*(m.fork("lead") for _ in range(3)), m.spawn())
        assert {"agent.1", "agent.2", "agent.3", "agent.4"} == {fork.name for fork in forks}

        twice = await asyncio.gather(m.fork("lead", "twin"), m.spawn("twin"), return_exceptions=True)
        assert 1 == sum(isinstance(each, NameTaken) for each in twice)
        assert "hi" == (await m.send("twin", "/say hi")).text

    with_run(tmp_path, story)


def test_forks_at_once_are_no_more_than_the_limit(tmp_path: Path) -> None:
    async def story(m: Manager) -> None:
        await m.spawn("lead")
        await m.send("lead", "hi")
        forks = await asyncio.gather(*(m.fork("lead") for _ in range(2)), return_exceptions=True)
        assert 1 == sum(isinstance(each, LimitReached) for each in forks)
        assert 2 == len(m.tree.alive())

    with_run(tmp_path, story, max_instances=2)


def test_a_fork_can_be_suspended_once_it_has_a_turn_of_its_own(tmp_path: Path) -> None:
    async def story(m: Manager) -> None:
        await m.spawn("lead")
        await m.send("lead", "one")
        await m.fork("lead", "twin")
        with pytest.raises(BadInput, match="has no turn of its own yet"):
            await m.suspend("twin")
        await m.send("twin", "two")
        await m.suspend("twin")

        assert '["one", "two"]' == (await m.send("twin", "/recall")).text
        assert '["one"]' == (await m.send("lead", "/recall")).text

    with_run(tmp_path, story)


def test_who_has_ended_is_not_suspended_resumed_or_forked_and_told_how_it_is_spawned(tmp_path: Path) -> None:
    async def story(m: Manager) -> None:
        await m.spawn("lead")
        await m.terminate("lead")
        with pytest.raises(
            AgentGone, match=r"lead has stopped and can't be suspended\. Spawn it again: %mad"
        ):
            await m.suspend("lead")
        for verb in (m.resume, m.fork):
            with pytest.raises(
                AgentGone, match=r"lead has stopped and can't go on\. Spawn it again: %madrox"
            ):
                await verb("lead")

    with_run(tmp_path, story)


def test_what_can_not_be_forked_is_told_why(tmp_path: Path) -> None:
    async def story(m: Manager) -> None:
        await m.spawn("lead")
        await m.spawn("other", harness="forgetful")
        with pytest.raises(BadInput, match="lead has no conversation to fork yet"):
            await m.fork("lead", "twin")
        with pytest.raises(BadInput, match=r"forgetful can't go on twice.*%madrox spawn twin --role"):
            await m.fork("other", "twin")
        await m.send("lead", "hi")
        with pytest.raises(NameTaken):
            await m.fork("lead", "other")
        (tmp_path / "work" / "old").mkdir()
        (tmp_path / "work" / "old" / "file").write_text("mine")
        with pytest.raises(BadInput, match="holds files of an earlier agent"):
            await m.fork("lead", "old")

        assert {"lead", "other"} == {agent.name for agent in m.tree}

    with_run(tmp_path, story)


# steered


def test_a_message_joins_the_turn_under_way(tmp_path: Path) -> None:
    async def story(m: Manager) -> None:
        await m.spawn("lead")
        await speaking(m, "lead", "/slow 3 0.3")
        joined = await m.send("lead", "/say and this", steer=True)

        assert ("steered", "lead.t1", "word-1 word-2 word-3\nand this") == (
            joined.how,
            joined.turn,
            joined.text,
        )
        assert (1, 1, 1) == tuple(count(m, k) for k in (TurnStarted, TurnSteered, TurnEnded))
        assert '["/slow 3 0.3", "/say and this"]' == (await m.send("lead", "/recall")).text
        assert Tree.replay(m.ledger) == m.tree

    with_run(tmp_path, story)


def test_both_who_asked_and_who_joined_are_answered(tmp_path: Path) -> None:
    async def story(m: Manager) -> None:
        await m.spawn("lead")
        asked = await m.ask("lead", "/slow 3 0.3")
        joined = await m.ask("lead", "/say more", steer=True)
        first, second = await m.answer(asked), await m.answer(joined)

        assert first is not None
        assert second is not None
        assert ("started", "steered") == (first.how, second.how)
        assert first.text == second.text

    with_run(tmp_path, story)


def test_what_comes_too_late_for_the_turn_gets_one_of_its_own(tmp_path: Path) -> None:
    async def story(m: Manager) -> None:
        await m.spawn("lead")
        await speaking(m, "lead", "/hang")
        ticket = await m.ask("lead", "/say afterwards", steer=True)
        assert "steering" == ticket.how
        await m.interrupt("lead")
        answer = await m.answer(ticket)

        assert answer is not None
        assert ("queued", "lead.t2", "afterwards") == (answer.how, answer.turn, answer.text)
        assert 0 == count(m, TurnSteered)

    with_run(tmp_path, story)


def test_where_the_cli_can_not_the_message_is_queued_and_an_idle_agent_just_starts(tmp_path: Path) -> None:
    async def story(m: Manager) -> None:
        await m.spawn("other", harness="forgetful")
        assert "started" == (await m.send("other", "hi", steer=True)).how
        await speaking(m, "other", "/slow 3 0.3")
        assert "queued" == (await m.send("other", "/say then", steer=True)).how

    with_run(tmp_path, story)


def test_a_codec_that_can_not_steer_after_all_says_so_and_nothing_is_sent_later(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def story(m: Manager) -> None:
        await m.spawn("lead")
        await speaking(m, "lead", "/slow 3 0.3")
        monkeypatch.setattr(m.processes["lead"].harness, "steer", lambda *_: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            await m.ask("lead", "/say twice", steer=True)
        await m.quiet()

        assert (1, []) == (count(m, TurnEnded), list(m.mail.open_tickets()))

    with_run(tmp_path, story)


def test_who_is_steered_and_dies_tells_both(tmp_path: Path) -> None:
    async def story(m: Manager) -> None:
        await m.spawn("lead")
        await speaking(m, "lead", "/hang")
        ticket = await m.ask("lead", "/say more", steer=True)
        await until(m, kind(AgentStopped), m.terminate("lead", force=True))

        with pytest.raises(AgentGone):
            await m.answer(ticket)

    with_run(tmp_path, story)


def test_a_message_that_came_too_late_waits_for_a_full_disk(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def story(m: Manager) -> None:
        disk = Disk(m, monkeypatch)
        await m.spawn("boss")
        await m.spawn("lead")
        await speaking(m, "lead", "/slow 9 0.1")
        ticket = await m.ask("lead", "/say late", sender="boss", steer=True)
        assert "steering" == ticket.how
        disk.full = True
        m.processes["lead"].interrupt()
        await disk.noticed()
        disk.full = False

        assert await m.quiet(timeout=60)
        assert ["late"] == [message.text for message in m.inboxes.received("boss")]

    with_run(tmp_path, story)


def test_who_steered_an_agent_that_was_killed_finds_that_in_its_inbox(tmp_path: Path) -> None:
    async def story(m: Manager) -> None:
        await m.spawn("boss")
        await m.spawn("lead")
        await speaking(m, "lead", "/hang hard")
        ticket = await m.ask("lead", "/say late", sender="boss", steer=True)
        steered_into = ticket.turn
        os.kill(m.processes["lead"].pid or 0, signal.SIGKILL)
        assert await m.quiet(timeout=60)

        [told] = m.inboxes.received("boss")
        assert (steered_into, "failed") == (told.answers, told.outcome)
        assert "lead has failed" in told.text

    with_run(tmp_path, story)
