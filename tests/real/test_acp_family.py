"""The whole house with the real opencode and gemini in it: manager, guard, server, permissions, and an end.

The model is a script on loopback; everything else is real.
"""

from __future__ import annotations

import json
import os
import re
import shlex
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from acp_programs import PROGRAMS, Program, call, program
from model import Model

from madrox_nb.events import (
    ApprovalAnswered,
    ApprovalAsked,
    ToolCalled,
    ToolReturned,
    TurnStarted,
)
from madrox_nb.library import variable_for
from madrox_nb.notebook import Madrox
from madrox_nb.tree import Tree

pytestmark = [pytest.mark.real, pytest.mark.slow]


@pytest.fixture
def make(model: Model, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], Program]:
    """Points the run at a real agent of the family, in an environment that holds only what that one needs."""

    def known(name: str) -> Program:
        agent = program(name)
        home = tmp_path / "home"
        home.mkdir(exist_ok=True)
        launcher = tmp_path / name
        launcher.write_text(f'#!/bin/sh\nexec {shlex.join(agent.command)} "$@"\n')
        launcher.chmod(0o755)
        env = {**agent.env(home, model.url), variable_for(name, "MADROX_{}_BIN"): str(launcher)}
        for variable in tuple(os.environ):
            monkeypatch.delenv(variable)
        for variable, value in env.items():
            monkeypatch.setenv(variable, value)
        return agent

    return known


@pytest.fixture(params=list(PROGRAMS))
def agent(request: pytest.FixtureRequest, make: Callable[[str], Program]) -> Program:
    return make(request.param)


@pytest.fixture
def opencode(make: Callable[[str], Program]) -> Program:
    return make("opencode")


@contextmanager
def opened(tmp_path: Path, **settings: Any) -> Iterator[Madrox]:
    with Madrox(home=tmp_path / "madrox", port=0, **settings) as madrox:
        yield madrox


def events(madrox: Madrox, kind: type) -> list[Any]:
    return [entry.event for entry in madrox.manager.ledger if isinstance(entry.event, kind)]


def test_it_knows_who_it_is_remembers_in_one_process_and_survives_a_failed_turn(
    agent: Program, tmp_path: Path, model: Model
) -> None:
    with opened(tmp_path) as madrox:
        lead = madrox.spawn("lead", harness=agent.name, role="architect")
        pids = {madrox.manager.processes["lead"].pid}
        replies = [lead.send("one")]
        asked = json.dumps(model.requests[-1].body)
        replies += [lead.send(text) for text in ("ERR 400", "two")]
        pids.add(madrox.manager.processes["lead"].pid)

    assert "You are the agent **lead**" in asked, "from its first prompt on"
    assert ["ok", "failed", "ok"] == [reply.outcome for reply in replies]
    assert "the stub says 400" in replies[1].error
    assert "one" in replies[2].text
    assert 1 == len(pids)
    assert (agent.name, agent.model) == (madrox.tree["lead"].harness, madrox.tree["lead"].model)


def test_a_child_is_spawned_by_its_own_call_its_answer_comes_up_and_no_token_is_told(
    agent: Program, tmp_path: Path
) -> None:
    spawn = agent.tool(
        "spawn_instance",
        name="kid",
        instance_type="rehearsal",
        initial_prompt="say hello",
        wait_for_response=True,
    )
    with opened(tmp_path) as madrox:
        other = madrox.spawn("other", harness="rehearsal")
        hanging = other.send("/hang", wait=False)  # busy too: a guess would take it for the caller
        reply = madrox.spawn("lead", harness=agent.name).send(spawn)
        other.interrupt()
        hanging.wait()
        [called] = [event for event in events(madrox, ToolCalled) if event.agent == "lead"]
        [returned] = [event for event in events(madrox, ToolReturned) if event.agent == "lead"]

        assert reply.ok
        assert f"{agent.prefix}spawn_instance" == called.tool
        assert returned.ok, returned.output
        assert ("rehearsal", "lead") == (madrox.tree["kid"].harness, madrox.tree["kid"].parent)
        asked = next(event.text for event in events(madrox, TurnStarted) if event.agent == "kid")
        assert asked.startswith("[lead.m1] lead asks:\nsay hello")
        assert "say hello" in returned.output
        assert [] == [e for e in events(madrox, ApprovalAnswered) if e.agent == "lead"]
        assert Tree.replay(madrox.manager.ledger) == madrox.manager.tree
        tells_nobody_its_token(madrox)


def tells_nobody_its_token(madrox: Madrox) -> None:
    """The lead's token stands in no argument, no environment, no log and not in the ledger."""
    process = madrox.manager.processes["lead"]
    token = process.brief.mcp_token
    places = [
        Path(f"/proc/{process.pid}/cmdline"),
        Path(f"/proc/{process.pid}/environ"),
        *madrox.manager.settings.home.rglob("*.log"),
        *madrox.manager.ledger.paths,
    ]

    assert re.fullmatch(r"mdx_[\w-]+", token)
    assert [] == [place for place in places if token.encode() in place.read_bytes()]


def test_a_rehearsal_agent_spawns_it_and_its_answer_starts_the_parents_turn(
    agent: Program, tmp_path: Path
) -> None:
    given = {"name": "kid", "instance_type": agent.name, "initial_prompt": "count the files"}
    with opened(tmp_path) as madrox:
        lead = madrox.spawn("lead", harness="rehearsal")
        lead.send(f"/tool spawn_instance {json.dumps(given)}")
        madrox.wait()
        turns = [event.text for event in events(madrox, TurnStarted) if event.agent == "lead"]

    assert 2 == len(turns)
    assert turns[1].startswith("[kid.m1] kid answers [lead.m1]:\necho: ")


def test_it_may_edit_in_its_workspace_and_nothing_else_unless_told(agent: Program, tmp_path: Path) -> None:
    outside = tmp_path / "out.txt"
    with opened(tmp_path) as madrox:
        lead = madrox.spawn("lead", harness=agent.name, permissions="edits")
        inside = lead.workspace / "in.txt"
        sensitive = lead.workspace / agent.settings
        for prompt in (agent.writes(inside), agent.writes(sensitive), agent.touch(str(outside))):
            assert lead.send(prompt).ok
        decisions = [event.decision for event in events(madrox, ApprovalAnswered)]
        free = madrox.spawn("free", harness=agent.name, permissions="all")
        assert free.send(agent.touch(str(tmp_path / "free.txt"))).ok

    assert "written" == inside.read_text()
    assert not sensitive.exists()
    assert not outside.exists()
    assert ["allow", "deny", "deny"] == decisions
    assert (tmp_path / "free.txt").exists()


def test_a_person_allows_what_it_asks_and_an_interrupt_withdraws_the_question(
    agent: Program, tmp_path: Path
) -> None:
    with opened(tmp_path, attended="yes") as madrox:
        lead = madrox.spawn("lead", harness=agent.name, permissions="ask")
        pending = lead.send(agent.touch("allowed"), wait=False)
        madrox.approve(asked(madrox, 1))
        assert pending.wait().ok
        pending = lead.send(agent.touch("overtaken"), wait=False)
        asked(madrox, 2)
        lead.interrupt()
        overtaken = pending.wait()
        decisions = [(event.decision, event.by) for event in events(madrox, ApprovalAnswered)]

        assert "interrupted" == overtaken.outcome
        assert (lead.workspace / "allowed").exists()
        assert not (lead.workspace / "overtaken").exists()
        assert [("allow", "you"), ("withdrawn", "lead")] == decisions
        assert "idle" == lead.state


def asked(madrox: Madrox, count: int) -> str:
    """Wait for the nth question of the run; returns its id."""
    came = threading.Event()
    stop = madrox.manager.ledger.listen(lambda entry: came.set())
    try:
        while len(found := events(madrox, ApprovalAsked)) < count:
            assert came.wait(30)
            came.clear()
    finally:
        stop()
    return str(found[-1].approval)


def test_what_opencode_reads_and_searches_in_its_workspace_needs_no_person(
    opencode: Program, tmp_path: Path
) -> None:
    (tmp_path / "secret").write_text("the canary sings")
    with opened(tmp_path) as madrox:
        lead = madrox.spawn("lead", harness="opencode")
        (lead.workspace / "notes").write_text("hello there")
        (lead.workspace / "link").symlink_to(tmp_path / "secret")
        said = [
            lead.send(call("read", filePath=str(lead.workspace / name))).text for name in ("notes", "link")
        ]
        lead.send(call("grep", pattern="canary", path=str(tmp_path)))
        outputs = " ".join(event.output for event in events(madrox, ToolReturned))
        decisions = [event.decision for event in events(madrox, ApprovalAnswered)]

    assert "hello there" in said[0]
    assert "canary sings" not in "".join(said) + outputs
    assert ["allow", "deny", "deny"] == decisions[:3]


def test_a_project_configuration_that_opencode_wrote_itself_changes_nothing(
    opencode: Program, tmp_path: Path
) -> None:
    with opened(tmp_path) as madrox:
        lead = madrox.spawn("lead", harness="rehearsal")  # which leaves its workspace to the next of its name
        free = {"permission": {"bash": "allow", "*": "allow"}}
        (lead.workspace / "opencode.json").write_text(json.dumps(free))
        madrox.stop("lead")
        lead = madrox.spawn("lead", harness="opencode")
        assert free == json.loads((lead.workspace / "opencode.json").read_text())
        lead.send(opencode.touch(str(tmp_path / "out.txt")))
        decisions = [event.decision for event in events(madrox, ApprovalAnswered)]

    assert ["deny"] == decisions
    assert not (tmp_path / "out.txt").exists()
