"""A kernel is killed and another one goes on with its agents: the same processes, the same run."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterable, Iterator
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import psutil
import pytest
from rogues import HERE, on_loop, survivors

from madrox_nb import config, keeping, ledger
from madrox_nb.comeback import LOST
from madrox_nb.doing import LastReplies
from madrox_nb.errors import NotRunning
from madrox_nb.events import (
    AgentSpawned,
    AgentStopped,
    HarnessNoise,
    MessagePosted,
    RunOpened,
    TurnEnded,
    TurnStarted,
)
from madrox_nb.folds import Inboxes
from madrox_nb.manager import Manager
from madrox_nb.run import Run
from madrox_nb.server import Server
from madrox_nb.tree import Tree

pytestmark = pytest.mark.slow


def settings(home: Path) -> config.Settings:
    chosen = {"home": home, "harnesses": "rehearsal", "stop_grace": 1.0, "on_kernel_death": "keep:60"}
    return config.load(chosen, environ={}, files=()).settings


@contextlib.contextmanager
def killed_kernel(home: Path, *how: str) -> Iterator[dict[str, Any]]:
    """What a kernel said before it was killed."""
    command = [sys.executable, str(HERE / "kernel.py"), str(home), *how]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        told = json.loads(process.stdout.readline())
        process.kill()
        process.wait(60)
    try:
        yield told
    finally:
        for pid in told["pids"].values():
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)


@contextlib.asynccontextmanager
async def back(home: Path, run: str) -> AsyncIterator[Manager]:
    manager = await Manager(settings(home), run=run).open()
    try:
        yield manager
    finally:
        await manager.close()


def alive(pids: Iterable[int]) -> list[psutil.Process]:
    return [psutil.Process(pid) for pid in pids if psutil.pid_exists(pid)]


async def become(manager: Manager, come: Callable[[], object]) -> None:
    async with asyncio.timeout(60):
        while not come():
            await manager.mail.change(1)


def events(manager: Manager, kind: type) -> list[Any]:
    return [entry.event for entry in manager.ledger if isinstance(entry.event, kind)]


@on_loop
async def test_agents_go_on_in_another_kernel_as_if_theirs_had_never_died(tmp_path: Path) -> None:
    with killed_kernel(tmp_path) as told:
        async with back(tmp_path, told["run"]) as m:
            assert told["pids"] == {agent.name: m.processes[agent.name].pid for agent in m.tree}
            assert ("busy", "idle", "busy") == tuple(agent.state for agent in m.tree)
            await become(m, lambda: len([e for e in events(m, TurnEnded) if e.agent == "lead"]) == 2)
            recalled = await m.send("kid", "/recall")
            await m.interrupt("ann")
            await become(m, lambda: m.tree["ann"].state == "idle")
            last = [e.event for e in m.ledger][-1]
            ended = {event.turn: event for event in events(m, TurnEnded)}
            begun = Counter(event.turn for event in events(m, TurnStarted))
            waiting = [message.text for message in m.inboxes.unread("kid")]
            assert m.tree == Tree.replay(m.ledger)
            assert [] == [event.text for event in events(m, HarnessNoise)]
            assert 2 == len(events(m, RunOpened))

    assert isinstance(last, TurnEnded)
    assert "pineapple" in recalled.text
    assert ["a note"] == waiting, "a command of the CLI went alone"
    assert {"lead.t1", "lead.t2", "kid.t1", "kid.t2", "ann.t1", "ann.t2"} == set(ended) == set(begun)
    assert {1} == set(begun.values())
    assert 200 == len(ended["lead.t1"].text.split())
    assert "and the next one" in ended["lead.t2"].text
    assert ("ok", "interrupted") == (ended["ann.t1"].outcome, ended["ann.t2"].outcome)
    assert [] == survivors(alive(told["pids"].values()))


@on_loop
async def test_an_answer_that_nobody_waits_for_any_more_is_left_in_the_inbox(tmp_path: Path) -> None:
    with killed_kernel(tmp_path) as told:
        async with back(tmp_path, told["run"]) as m:
            await become(m, lambda: len(m.inboxes.unread("you")) == 2)
            answers = m.inboxes.unread("you")
            assert {"lead.t1", "you.m1"} == {message.answers for message in answers}
            folded = Inboxes()
            for entry in m.ledger:
                folded.apply(entry)
            assert [m.id for m in answers] == [message.id for message in folded.unread("you")]


@on_loop
async def test_agents_find_their_tools_at_the_same_address_with_the_same_token(tmp_path: Path) -> None:
    with killed_kernel(tmp_path, "mcp") as told:
        url = keeping.read(keeping.place(tmp_path, told["run"]))["mcp_url"]
        async with back(tmp_path, told["run"]) as m:
            server = Server(m, "127.0.0.1", urlsplit(url).port or 0, "mdx_person")
            try:
                assert url == await server.start()
                seen = await m.send("kid", "/tree")
                m.tokens.revoke("kid")
                refused = await m.send("kid", "/tree")
            finally:
                await server.stop()

    assert "lead" in seen.text
    assert "ann" in seen.text
    assert "ann" not in refused.text
    assert "this token speaks for nobody here" in refused.text


class LateToMeet(Run):
    """A run whose agents end both their turns before it is at their address again."""

    async def _meet_again(self, address: str) -> None:
        ended = partial(events, self.manager, TurnEnded)
        await become(self.manager, lambda: 2 == len([event for event in ended() if event.agent == "lead"]))
        await super()._meet_again(address)


def test_what_agents_say_while_a_run_comes_back_is_heard_too(tmp_path: Path) -> None:
    with killed_kernel(tmp_path, "mcp") as told:
        run = LateToMeet(home=tmp_path, harnesses="rehearsal", stop_grace=1.0, on_kernel_death="keep:60")
        try:
            assert told["run"] == run.manager.run
            folded = LastReplies()
            for entry in run.manager.ledger:
                folded.apply(entry)
            heard = dict(run.last.replies)
        finally:
            run.close()

    assert folded.replies == heard
    assert "and the next one" in heard["lead"].text


@on_loop
async def test_a_kernel_that_leaves_can_be_come_back_from_again_and_again(tmp_path: Path) -> None:
    with killed_kernel(tmp_path) as told:
        for _ in range(2):
            manager = await Manager(settings(tmp_path), run=told["run"]).open()
            assert "idle" == manager.tree["kid"].state
            await manager.leave()
        async with back(tmp_path, told["run"]) as m:
            assert "pineapple" in (await m.send("kid", "/recall")).text
            assert told["pids"] == {agent.name: m.processes[agent.name].pid for agent in m.tree}


@on_loop
async def test_who_died_meanwhile_is_recorded_and_the_others_go_on(tmp_path: Path) -> None:
    with killed_kernel(tmp_path) as told:
        os.kill(told["pids"]["ann"], signal.SIGKILL)
        (tmp_path / "runs" / told["run"] / "kid" / "marks.jsonl").unlink()
        async with back(tmp_path, told["run"]) as m:
            await become(m, lambda: m.tree["ann"].state == "failed")
            ends = {event.agent: event for event in events(m, AgentStopped)}
            assert -9 == ends["ann"].exit_code
            assert "nothing says what was asked" in ends["kid"].reason
            assert ["lead"] == [agent.name for agent in m.tree.alive()]
            assert [] == survivors(alive([told["pids"]["kid"]]))


@on_loop
async def test_what_the_ledger_says_counts_and_not_what_happens_to_run(tmp_path: Path) -> None:
    """A kernel can die between its last entry and what it stands for."""
    with killed_kernel(tmp_path) as told:
        last = ledger.Ledger(tmp_path, told["run"])
        for event in (
            AgentStopped(agent="ann", reason="terminated by you"),
            AgentSpawned(agent="ghost", harness="rehearsal", role="general"),
            MessagePosted(agent="kid", message="you.m3", sender="you", text="/say well", asks=True),
        ):
            entry = last.stamp(event)
            last.append(entry, entry.to_line())
        last.close()
        async with back(tmp_path, told["run"]) as m:
            assert [] == survivors(alive([told["pids"]["ann"]]))
            assert ("failed", LOST) == (m.tree["ghost"].state, m.tree["ghost"].reason)
            await become(m, lambda: "you.m3" in [each.answers for each in m.inboxes.unread("you")])


@on_loop
async def test_a_run_that_is_not_kept_any_more_is_closed_and_can_not_go_on(tmp_path: Path) -> None:
    with killed_kernel(tmp_path) as told:
        for pid in told["pids"].values():
            guard = psutil.Process(pid).parent()
        assert guard is not None
        guard.kill()
        assert [] == survivors([guard, *alive(told["pids"].values())])
        with pytest.raises(NotRunning, match="nobody keeps agents"):
            await Manager(settings(tmp_path), run=told["run"]).open()
        tree = Tree.replay(ledger.read(ledger.run_files(tmp_path, told["run"])))
        assert {"kernel went away"} == {agent.reason for agent in tree}


@on_loop
async def test_another_run_leaves_one_alone_that_is_kept(tmp_path: Path) -> None:
    with killed_kernel(tmp_path) as told:
        other = await Manager(settings(tmp_path)).open()
        assert [] == other.recovered
        await other.close()
        async with back(tmp_path, told["run"]) as m:
            assert 3 == len(m.tree.alive())
