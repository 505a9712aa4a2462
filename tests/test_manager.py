"""The verbs, with real processes: rehearsal agents and rogues."""

from __future__ import annotations

import asyncio
import errno
import os
import re
from pathlib import Path

import psutil
import pytest
from crew import run_of, until, with_run

from madrox_nb.errors import (
    AgentBusy,
    AgentGone,
    BadInput,
    BadPrompt,
    Forbidden,
    HarnessError,
    HarnessExited,
    HarnessNotFound,
    HarnessNotReady,
    LedgerError,
    LimitReached,
    NameTaken,
    NotRunning,
    UnknownAgent,
    UnknownHarness,
    UnknownMessage,
    UnknownRole,
)
from madrox_nb.events import (
    AgentReady,
    AgentStopped,
    ApprovalAnswered,
    ApprovalAsked,
    Entry,
    HarnessNoise,
    TextDelta,
    TurnEnded,
    TurnSaid,
    TurnStarted,
)
from madrox_nb.folds import Costs, Inboxes
from madrox_nb.manager import Manager
from madrox_nb.tree import Tree


def events(manager: Manager, kind: type) -> list:
    return [entry.event for entry in manager.ledger if isinstance(entry.event, kind)]


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


# starting


@pytest.mark.parametrize(
    ("wanted", "error", "says"),
    [
        ({"role": "architct"}, UnknownRole, "architect"),
        ({"harness": "cluade"}, UnknownHarness, "claude"),
        ({"harness": "absent"}, HarnessNotFound, "pip install no-such-cli"),
        ({"name": "lead"}, NameTaken, "stop it first"),
        ({"name": "you"}, BadInput, "somebody else"),
        ({"name": "../up"}, BadInput, "can't be an agent's name"),
        ({"parent": "nobody"}, UnknownAgent, "lead"),
        ({"permissions": "root"}, BadInput, "edits, all"),
    ],
)
def test_a_spawn_that_cannot_be_changes_nothing(tmp_path: Path, wanted: dict, error: type, says: str) -> None:
    async def story(m: Manager) -> None:
        await m.spawn("lead")
        before = m.ledger.seq
        with pytest.raises(error, match=re.escape(says)):
            await m.spawn(**{"name": "kid", **wanted})
        assert before == m.ledger.seq
        assert "kid" not in m.tree

    with_run(tmp_path, story)


def test_the_number_of_agents_is_limited_and_stopping_one_makes_room(tmp_path: Path) -> None:
    async def story(m: Manager) -> None:
        await m.spawn("a")
        await m.spawn("b")
        with pytest.raises(LimitReached, match="MAX_INSTANCES"):
            await m.spawn("c")
        await m.terminate("a")
        assert "idle" == (await m.spawn("c")).state

    with_run(tmp_path, story, max_instances=2)


@pytest.mark.parametrize(
    ("start", "error", "says"),
    [
        ("mute", HarnessNotReady, "did not become ready in 0.5 s"),
        ("dies", HarnessExited, "no licence for this machine"),
    ],
)
def test_a_cli_that_does_not_get_ready_is_failed_with_its_evidence(
    tmp_path: Path, start: str, error: type, says: str
) -> None:
    async def story(m: Manager) -> None:
        with pytest.raises(error, match=says):
            await m.spawn("bad", harness="rogue", model=start)
        agent = m.tree["bad"]
        assert "failed" == agent.state
        assert agent.reason
        with pytest.raises(AgentGone, match="spawn bad"):
            await m.send("bad", "hello")

    with_run(tmp_path, story, start_timeout=0.5 if start == "mute" else 30)


def test_a_name_can_be_used_again_after_its_agent_ended(tmp_path: Path) -> None:
    async def story(m: Manager) -> None:
        await m.spawn("lead")
        await m.send("lead", "one")
        await m.terminate("lead")
        await m.spawn("lead")
        assert "lead.t2" == (await m.send("lead", "two")).turn

    with_run(tmp_path, story)


def test_children_without_a_name_are_counted_by_their_parent(tmp_path: Path) -> None:
    async def story(m: Manager) -> None:
        await m.spawn("lead")
        names = [(await m.spawn(parent="lead")).name for _ in range(2)]
        assert ["lead.1", "lead.2"] == names
        assert "agent.1" == (await m.spawn()).name

    with_run(tmp_path, story)


def test_a_prompt_to_a_starting_agent_waits_for_it(tmp_path: Path) -> None:
    async def story(m: Manager) -> None:
        agent = await m.spawn("lead", wait=False)
        assert "starting" == agent.state
        assert (await m.send("lead", "hello")).ok

    with_run(tmp_path, story)


def test_a_system_prompt_replaces_the_role_never_the_identity(tmp_path: Path) -> None:
    async def story(m: Manager) -> None:
        await m.spawn("lead", role="architect", system_prompt="You are a rust expert.")
        brief = m.processes["lead"].brief.instructions
        assert "You are the agent **lead**" in brief
        assert "reply_to_caller" in brief
        assert brief.endswith("You are a rust expert.\n")

    with_run(tmp_path, story)


def test_a_name_comes_back_only_where_it_stood(tmp_path: Path) -> None:
    async def story(m: Manager) -> None:
        await m.spawn("lead")
        await m.spawn("kid", parent="lead", role="debugger")
        await m.terminate("kid")
        with pytest.raises(
            AgentGone, match="%madrox spawn kid --role debugger --harness rehearsal --parent lead"
        ):
            await m.send("kid", "hello")
        with pytest.raises(BadInput, match="kid stood below lead before"):
            await m.spawn("kid")
        assert "lead" == (await m.spawn("kid", parent="lead")).parent

    with_run(tmp_path, story)


def test_an_agent_that_is_ended_as_it_becomes_ready_leaves_no_process(tmp_path: Path) -> None:
    async def story(m: Manager) -> None:
        for ticks in range(6):
            name, pids = f"x{ticks}", []
            ready = asyncio.Event()
            stop = m.ledger.listen(lambda e: ready.set() if isinstance(e.event, AgentReady) else None)  # noqa: B023
            await m.spawn(name, wait=False)
            await ready.wait()
            stop()
            if (runner := m.processes.get(name)) is not None and runner.pid:
                pids.append(runner.pid)
            for _ in range(ticks):
                await asyncio.sleep(0)
            await m.terminate(name)
            assert "stopped" == m.tree[name].state
            assert not [pid for pid in pids if psutil.pid_exists(pid)]

    with_run(tmp_path, story)


def test_ending_a_starting_agent_tells_who_waits_for_it(tmp_path: Path) -> None:
    async def story(m: Manager) -> None:
        spawning = asyncio.ensure_future(m.spawn("mute", harness="rogue", model="mute"))
        while m.processes.get("mute") is None or m.processes["mute"].pid is None:
            await asyncio.sleep(0.01)
        await asyncio.gather(m.terminate("mute"), m.terminate("mute"))
        with pytest.raises(HarnessNotReady, match="was ended while it started"):
            await spawning

    with_run(tmp_path, story)


def test_a_full_disk_at_the_end_of_a_turn_loses_no_answer(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def story(m: Manager) -> None:
        await m.spawn("lead")
        await m.spawn("kid", parent="lead", auto_inject=False)
        full = False
        write = m.ledger._write

        def no_room(data: bytes, refuse: bool) -> bool:
            if not full:
                return write(data, refuse)
            if not refuse:
                m.ledger.trouble = OSError(errno.ENOSPC, "no room")
            return False

        monkeypatch.setattr(m.ledger, "_write", no_room)
        await until(
            m,
            lambda e: isinstance(e.event, TurnStarted),
            m.ask("kid", "/slow 3 0.2\n/say found it", sender="lead"),
        )
        full = True
        while m.ledger.trouble is None:
            await asyncio.sleep(0.01)
        full = False
        [answer] = await m.take("lead", timeout=60)
        assert "found it" in answer.text

    with_run(tmp_path, story)


# ending


def test_terminating_ends_the_subtree_leaves_first(tmp_path: Path) -> None:
    async def story(m: Manager) -> None:
        await m.spawn("lead")
        await m.spawn("kid", parent="lead")
        await m.spawn("grandkid", parent="kid")
        await m.spawn("other")
        with pytest.raises(BadInput, match="--tree"):
            await m.terminate("lead", tree=False)

        assert ["grandkid", "kid", "lead"] == await m.terminate("lead")
        assert ["other"] == [agent.name for agent in m.tree.alive()]
        assert [] == await m.terminate("lead")

    with_run(tmp_path, story)


def test_a_busy_agent_is_ended_only_by_force(tmp_path: Path) -> None:
    async def story(m: Manager) -> None:
        await m.spawn("lead")
        await m.spawn("kid", parent="lead")
        ticket = await m.ask("kid", "/slow 1000 0.05")
        with pytest.raises(AgentBusy, match="force=True"):
            await m.terminate("lead")
        assert {"idle", "busy"} == {agent.state for agent in m.tree}
        await m.terminate("lead", force=True)
        answer = await m.answer(ticket)
        assert answer is not None
        assert "interrupted" == answer.outcome

    with_run(tmp_path, story)


def test_what_an_agent_left_running_ends_with_it(tmp_path: Path) -> None:
    async def story(m: Manager) -> int:
        await m.spawn("rogue", harness="rogue")
        pid = int((await m.send("rogue", "child")).text)
        assert psutil.pid_exists(pid)
        await m.terminate("rogue")
        return pid

    pid = with_run(tmp_path, story)
    assert not psutil.pid_exists(pid)


def test_queued_senders_are_told_when_the_agent_ends(tmp_path: Path) -> None:
    async def story(m: Manager) -> None:
        await m.spawn("lead")
        await m.ask("lead", "/slow 1000 0.05")
        queued = await m.ask("lead", "never")
        await m.terminate("lead", force=True)
        with pytest.raises(AgentGone, match="has stopped"):
            await m.answer(queued)

    with_run(tmp_path, story)


def test_after_close_every_verb_says_so(tmp_path: Path) -> None:
    async def main() -> None:
        async with run_of(tmp_path) as m:
            await m.spawn("lead")
        assert ["stopped"] == [agent.state for agent in m.tree]
        for verb in (m.spawn("x"), m.send("lead", "x"), m.post("lead", "x")):
            with pytest.raises((NotRunning, AgentGone)):
                await verb
        await m.close()

    asyncio.run(main())


# misbehaviour


def test_nonsense_is_kept_and_the_turn_goes_on(tmp_path: Path) -> None:
    async def story(m: Manager) -> None:
        await m.spawn("rogue", harness="rogue", model="garbled")
        answer = await m.send("rogue", "nonsense")
        noise = events(m, HarnessNoise)
        wire = (m.processes.files("rogue") / "wire.log").read_bytes()

        assert answer.ok
        assert 51 == sum(event.lines for event in noise)
        assert b"Welcome to Rogue 2.0!" == wire[noise[0].offset : noise[0].offset + noise[0].length]

    with_run(tmp_path, story)


def test_a_line_of_5_mb_arrives_and_one_of_40_mb_points_into_the_wire_log(tmp_path: Path) -> None:
    async def story(m: Manager) -> None:
        await m.spawn("rogue", harness="rogue")
        assert 5_000_000 == len((await m.send("rogue", "long")).text)
        assert (await m.send("rogue", "endless")).ok
        [noise] = events(m, HarnessNoise)
        assert 40 * 2**20 == noise.length
        assert 1000 > len(noise.text)

    with_run(tmp_path, story)


def test_a_cli_that_dies_in_mid_turn_fails_that_turn_with_its_last_words(tmp_path: Path) -> None:
    async def story(m: Manager) -> None:
        await m.spawn("rogue", harness="rogue")
        answer = await m.send("rogue", "dies")
        [stopped] = events(m, AgentStopped)

        assert "failed" == answer.outcome
        assert answer.error.endswith("exited on its own with code 7. Its last words: out of cheese")
        assert (7, True, "out of cheese") == (stopped.exit_code, stopped.failed, stopped.evidence)

    with_run(tmp_path, story)


def test_words_after_the_end_of_a_turn_are_noise_and_harm_nothing(tmp_path: Path) -> None:
    async def story(m: Manager) -> None:
        await m.spawn("rogue", harness="rogue")
        assert "first" == (await m.send("rogue", "twice")).text
        assert "heard" == (await m.send("rogue", "hello")).text
        assert 2 == len(events(m, TurnEnded))
        assert events(m, HarnessNoise)

    with_run(tmp_path, story)


def test_characters_split_between_reads_arrive_whole(tmp_path: Path) -> None:
    async def story(m: Manager) -> None:
        await m.spawn("rogue", harness="rogue")
        await m.send("rogue", "halves")
        assert ["äöü €"] == [event.text for event in events(m, TurnSaid)]

    with_run(tmp_path, story)


def test_a_secret_is_neither_recorded_nor_shown_though_it_comes_in_two_pieces(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    canary = "sk-canary-0123456789"
    monkeypatch.setenv("CANARY_API_KEY", canary)
    shown: list[str] = []

    async def story(m: Manager) -> None:
        m.watch(lambda signal: shown.append(signal.text) if isinstance(signal, TextDelta) else None)
        await m.spawn("rogue", harness="rogue")
        answer = await m.send("rogue", "secret")
        assert "it was {secret:CANARY_API_KEY}" == answer.text

    with_run(tmp_path, story)
    assert canary not in "".join(shown)
    assert "{secret:CANARY_API_KEY}" in "".join(shown)
    for path in (tmp_path / "audit").rglob("*.jsonl"):
        assert canary not in path.read_text()


def test_a_tool_outside_the_permissions_is_refused_with_the_way_to_allow_it(tmp_path: Path) -> None:
    async def story(m: Manager) -> None:
        await m.spawn("lead")
        await m.send("lead", "/approve-needed Bash")
        await m.spawn("free", permissions="all")
        await m.send("free", "/approve-needed Bash")
        refused, allowed = events(m, ApprovalAnswered)

        assert ("deny", "allow") == (refused.decision, allowed.decision)
        assert "%madrox spawn lead --permissions all" in refused.why
        with pytest.raises(Forbidden, match="more than it has"):
            await m.spawn("kid", parent="lead", permissions="all", by="lead")

    with_run(tmp_path, story)


def test_a_full_disk_stops_the_agents_and_they_go_on_when_there_is_room(tmp_path: Path) -> None:
    async def story(m: Manager) -> None:
        await m.spawn("lead")
        ticket = await m.ask("lead", "/slow 5 0.2\n/say through")
        room = os.dup(m.ledger._fd)
        full = os.open("/dev/full", os.O_WRONLY)
        os.dup2(full, m.ledger._fd)
        while m.ledger.trouble is None:
            await asyncio.sleep(0.01)
        with pytest.raises(Exception, match="Free some space"):
            await m.post("lead", "refused")
        os.dup2(room, m.ledger._fd)
        answer = await m.answer(ticket)

        assert answer is not None
        assert "through" in answer.text
        while m.ledger.trouble is not None:
            await asyncio.sleep(0.01)
        assert Tree.replay(m.ledger) == m.tree

    if not Path("/dev/full").exists():
        pytest.skip("this system has no /dev/full")
    with_run(tmp_path, story)


def test_an_agent_whose_words_cannot_be_kept_is_ended_and_its_sender_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def story(m: Manager) -> None:
        await m.spawn("lead")
        append = m.ledger.append

        def broken(entry: Entry, line: bytes, **how: bool) -> None:
            if isinstance(entry.event, TurnSaid):
                raise LedgerError("the disk is on fire")
            append(entry, line, **how)

        monkeypatch.setattr(m.ledger, "append", broken)
        answer = await m.send("lead", "hello")

        assert "failed" == answer.outcome
        assert "the disk is on fire" in answer.error
        await m.quiet()
        assert "failed" == m.tree["lead"].state

    with_run(tmp_path, story)


def test_half_a_character_in_what_an_agent_asks_for_is_kept_whole(tmp_path: Path) -> None:
    async def story(m: Manager) -> None:
        await m.spawn("rogue", harness="rogue")
        assert (await m.send("rogue", "asks")).ok
        [asked] = events(m, ApprovalAsked)
        assert "half ?" in asked.input

    with_run(tmp_path, story)


def test_the_files_of_a_run_are_private(tmp_path: Path) -> None:
    async def story(m: Manager) -> None:
        await m.spawn("lead")
        await m.send("lead", "hello")

    with_run(tmp_path, story)
    modes = {
        path.stat().st_mode & 0o077
        for path in tmp_path.rglob("*")
        if path.is_file() and path.name != ".gitignore"
    }
    assert {0} == modes
