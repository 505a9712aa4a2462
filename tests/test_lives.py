"""Agents start and end, with real processes."""

from __future__ import annotations

import asyncio
import errno
import re
from functools import partial
from pathlib import Path

import psutil
import pytest
from crew import run_of, until, with_run

from madrox_nb.errors import (
    AgentBusy,
    AgentGone,
    BadInput,
    HarnessExited,
    HarnessNotFound,
    HarnessNotReady,
    LimitReached,
    NameTaken,
    NotRunning,
    UnknownAgent,
    UnknownHarness,
    UnknownRole,
)
from madrox_nb.events import AgentReady, Entry, TurnStarted
from madrox_nb.manager import Manager

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


def _sets(ready: asyncio.Event, entry: Entry) -> None:
    if isinstance(entry.event, AgentReady):
        ready.set()


def test_an_agent_that_is_ended_as_it_becomes_ready_leaves_no_process(tmp_path: Path) -> None:
    async def story(m: Manager) -> None:
        for ticks in range(6):
            name, pids = f"x{ticks}", []
            ready = asyncio.Event()
            stop = m.ledger.listen(partial(_sets, ready))
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
