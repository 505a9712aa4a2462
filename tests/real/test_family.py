"""The whole house with the real Claude Code in it: manager, guard, server, and a family that spawns itself.

The model is a script on loopback; everything else is real.
"""

from __future__ import annotations

import asyncio
import json
import os
import re
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from model import Model

from madrox_nb.errors import HarnessExited, HarnessNotFound, HarnessNotReady
from madrox_nb.events import AgentStopped, ApprovalAnswered, ToolReturned, TurnStarted
from madrox_nb.notebook import Madrox
from madrox_nb.tree import Tree

pytestmark = [pytest.mark.real, pytest.mark.slow]


@pytest.fixture
def madrox(
    claude: str, claude_env: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Madrox]:
    """A madrox whose environment holds nothing of this machine's but PATH."""
    for name in tuple(os.environ):
        monkeypatch.delenv(name)
    for name, value in {**claude_env, "MADROX_CLAUDE_BIN": claude}.items():
        monkeypatch.setenv(name, value)
    with Madrox(home=tmp_path / "madrox", port=0, max_instances=20) as madrox:
        yield madrox


def events(madrox: Madrox, kind: type) -> list[Any]:
    return [entry.event for entry in madrox.manager.ledger if isinstance(entry.event, kind)]


def call(tool: str, **arguments: object) -> str:
    return f"CALL mcp__madrox__{tool} {json.dumps(arguments)}"


def wire_costs(madrox: Madrox, name: str) -> float:
    """What the CLI itself says it cost, in its last result."""
    wire = (madrox.manager.processes.files(name) / "wire.log").read_text()
    results = [json.loads(line) for line in wire.splitlines() if '"type":"result"' in line]
    return float(results[-1]["total_cost_usd"])


def test_it_is_chosen_when_no_harness_is_named_and_remembers_in_one_process(madrox: Madrox) -> None:
    lead = madrox.spawn("lead", role="architect")
    pids = {lead._run.manager.processes["lead"].pid}
    replies = [lead.send(text) for text in ("one", "two", "three")]
    pids.add(lead._run.manager.processes["lead"].pid)

    assert "claude" == lead.harness
    assert 'echo: three | seen=["one", "two"]' == replies[-1].text
    assert 1 == len(pids)
    assert all(reply.ok for reply in replies)


def test_costs_equal_the_clis_own_figure_to_the_cent(madrox: Madrox) -> None:
    lead = madrox.spawn("lead")
    replies = [lead.send(text) for text in ("one", "two", "ERR 400", "three")]
    own = madrox.costs().loc["lead"]

    assert round(wire_costs(madrox, "lead"), 6) == round(float(own["cost_usd"]), 6)
    assert round(wire_costs(madrox, "lead"), 6) == round(sum(reply.cost_usd for reply in replies), 6)
    assert {"cli"} == {reply.cost_source for reply in replies}
    assert wire_costs(madrox, "lead") > 0


def test_an_interrupt_keeps_the_context(madrox: Madrox, model: Model) -> None:
    lead = madrox.spawn("lead")
    lead.send("remember mango")
    pending = lead.send("SLOW 600 0.05", wait=False)
    with streaming(madrox, "lead") as heard:
        heard(10)
    ended = lead.interrupt()
    told = pending.wait()

    assert ended is not None
    assert ("interrupted", "interrupted") == (ended.outcome, told.outcome)
    assert "remember mango" in lead.send("what was it?").text


@contextmanager
def streaming(madrox: Madrox, name: str) -> Iterator[Callable[[float], None]]:
    """Wait until the agent is heard speaking."""
    import threading

    spoke = threading.Event()
    stop = madrox.manager.watch(lambda signal: spoke.set() if signal.agent == name else None)
    try:
        yield lambda seconds: None if spoke.wait(seconds) else pytest.fail(f"{name} did not speak")
    finally:
        stop()


def test_its_tools_are_there_in_the_first_turn_and_know_it_by_its_token(madrox: Madrox) -> None:
    madrox.spawn("lead", role="architect")
    other = madrox.spawn("other", harness="rehearsal")
    hanging = other.send("/hang", wait=False)  # busy too: a guess would take it for the caller
    reply = madrox.send("lead", call("spawn_claude", name="kid", role="code_reviewer"))
    [returned] = [e for e in events(madrox, ToolReturned) if e.agent == "lead"]

    assert returned.ok, returned.output
    assert reply.ok
    assert "lead" == madrox.tree["kid"].parent
    assert ("claude", "code_reviewer") == (madrox.tree["kid"].harness, madrox.tree["kid"].role)
    other.interrupt()
    hanging.wait()


def test_a_grandchild_is_spawned_by_a_real_childs_own_call_and_its_answer_comes_up(
    madrox: Madrox, model: Model
) -> None:
    lead = madrox.spawn("lead")
    inner = call("spawn_claude", name="grandkid", initial_prompt="say hello", wait_for_response=True)
    reply = lead.send(call("spawn_claude", name="kid", initial_prompt=inner, wait_for_response=True))

    assert reply.ok
    assert ["lead", "kid", "grandkid"] == [agent.name for agent in madrox.tree]
    assert ("lead", "kid") == (madrox.tree["kid"].parent, madrox.tree["grandkid"].parent)
    asked = next(e.text for e in events(madrox, TurnStarted) if e.agent == "grandkid")
    assert asked.startswith("[kid.m1] kid asks:\nsay hello")
    assert "echo: [kid.m1] kid asks:" in reply.text
    costs = madrox.costs()
    total = sum(wire_costs(madrox, name) for name in ("lead", "kid", "grandkid"))
    assert round(total, 6) == round(float(costs.loc["lead", "subtree_usd"]), 6)


def test_what_a_model_reads_of_a_tool_is_its_text(madrox: Madrox, model: Model) -> None:
    madrox.spawn("lead")
    madrox.send("lead", call("get_instance_tree"))
    [result] = model.requests[-1].conversation.results
    text = result if isinstance(result, str) else "".join(block["text"] for block in result)

    assert "lead (lead) [busy] (claude) general ← you" == text


def test_a_childs_answer_starts_its_parents_next_turn_once(madrox: Madrox) -> None:
    lead = madrox.spawn("lead")
    lead.send(call("spawn_claude", name="kid", initial_prompt="count the files"))
    madrox.wait()
    turns = [e for e in events(madrox, TurnStarted) if e.agent == "lead"]

    assert 2 == len(turns)
    assert turns[1].text.startswith("[kid.m1] kid answers [lead.m1]:\necho: ")


def test_an_api_error_is_a_failed_turn_and_the_next_one_is_well(madrox: Madrox) -> None:
    lead = madrox.spawn("lead")
    failed = lead.send("ERR 400")
    empty = lead.send("EMPTY")
    well = lead.send("hello")

    assert ("failed", "failed", "ok") == (failed.outcome, empty.outcome, well.outcome)
    assert "400" in failed.error
    assert "empty" in empty.error
    assert "idle" == lead.state


def test_a_crash_in_mid_turn_fails_the_turn_and_the_agent(madrox: Madrox) -> None:
    lead = madrox.spawn("lead")
    pending = lead.send("SLOW 600 0.05", wait=False)
    with streaming(madrox, "lead") as heard:
        heard(10)
    pid = madrox.manager.processes["lead"].pid
    assert pid is not None
    os.kill(pid, signal.SIGKILL)
    reply = pending.wait()
    [stopped] = events(madrox, AgentStopped)

    assert "failed" == reply.outcome
    assert "was killed by signal 9" in reply.error
    assert (True, -9) == (stopped.failed, stopped.exit_code)
    assert "failed" == lead.state
    assert lead == madrox.spawn("lead")
    assert "echo: again" in lead.send("again").text


def test_it_may_edit_in_its_workspace_and_nothing_else_unless_told(madrox: Madrox, tmp_path: Path) -> None:
    lead = madrox.spawn("lead", permissions="edits")
    inside, outside = lead.workspace / "in.txt", tmp_path / "out.txt"
    link = lead.workspace / "link"
    link.symlink_to(tmp_path)
    for path in (inside, outside, link / "out.txt"):
        lead.send(f"CALL Write {json.dumps({'file_path': str(path), 'content': 'x'})}")
    lead.send(f"CALL Bash {json.dumps({'command': f'touch {outside}', 'description': 'x'})}")
    decisions = [(e.decision, e.by) for e in events(madrox, ApprovalAnswered)]
    said = [e.output for e in events(madrox, ToolReturned) if not e.ok]

    assert inside.read_text() == "x"
    assert not outside.exists()
    assert [("allow", "policy"), *[("deny", "nobody")] * 3] == decisions
    assert all("%madrox spawn lead --permissions all" in text for text in said)

    free = madrox.spawn("free", permissions="all")
    free.send(f"CALL Bash {json.dumps({'command': f'touch {outside}', 'description': 'x'})}")
    assert outside.exists()
    assert "all" == madrox.tree["free"].permissions


def test_what_git_or_a_cli_would_run_later_is_not_its_to_write(madrox: Madrox, tmp_path: Path) -> None:
    lead = madrox.spawn("lead", permissions="edits")
    config = f'[core]\n\tfsmonitor = "touch {tmp_path / "pwned"}"\n'
    for name in (".git/config", "deep/.git/config", ".claude/settings.json", ".mcp.json"):
        lead.send(f"CALL Write {json.dumps({'file_path': str(lead.workspace / name), 'content': config})}")
    for command in ("git status", "ps aux", "echo hi"):
        lead.send(f"CALL Bash {json.dumps({'command': command, 'description': 'x'})}")
    lead.send(
        f"CALL Task {json.dumps({'description': 'd', 'prompt': 'p', 'subagent_type': 'general-purpose'})}"
    )

    assert {"deny"} == {e.decision for e in events(madrox, ApprovalAnswered)}
    assert 8 == len(events(madrox, ApprovalAnswered))
    assert not (tmp_path / "pwned").exists()
    assert not list(lead.workspace.iterdir())


def test_a_path_in_a_prompt_is_text_and_not_the_file(madrox: Madrox, model: Model, tmp_path: Path) -> None:
    (tmp_path / "secret.txt").write_text("the canary sings")
    lead = madrox.spawn("lead")
    lead.send(f"@{tmp_path / 'secret.txt'} what does it say?")

    assert model.requests
    assert "canary" not in json.dumps([request.body for request in model.requests])


def test_no_token_stands_in_an_argument_a_log_or_the_ledger(madrox: Madrox, tmp_path: Path) -> None:
    lead = madrox.spawn("lead")
    lead.send("hello")
    pid = madrox.manager.processes["lead"].pid
    token = re.search(r"mdx_[\w-]+", (madrox.manager.processes.files("lead") / "mcp.json").read_text())
    assert token
    places = [
        Path(f"/proc/{pid}/cmdline"),
        *(tmp_path / "madrox").rglob("*.log"),
        *madrox.manager.ledger.paths,
    ]

    for place in places:
        if place.exists():
            assert token[0].encode() not in place.read_bytes(), place
    assert 0o600 == (madrox.manager.processes.files("lead") / "mcp.json").stat().st_mode & 0o777


def test_a_missing_binary_a_bad_flag_and_a_mute_program_are_named_errors(
    madrox: Madrox, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    manager = madrox.manager
    manager._environ["MADROX_CLAUDE_BIN"] = "/nowhere/claude"
    with pytest.raises(HarnessNotFound, match="MADROX_CLAUDE_BIN"):
        madrox.spawn("a")
    for name, script in {"refuses": "echo 'unknown option' >&2; exit 1", "mute": "sleep 600"}.items():
        (tmp_path / name).write_text(f"#!/bin/sh\n{script}\n")
        (tmp_path / name).chmod(0o755)
    manager._environ["MADROX_CLAUDE_BIN"] = str(tmp_path / "refuses")
    with pytest.raises(HarnessExited, match="unknown option"):
        madrox.spawn("b")
    manager._environ["MADROX_CLAUDE_BIN"] = str(tmp_path / "mute")
    object.__setattr__(manager.settings, "start_timeout", 0.5)
    with pytest.raises(HarnessNotReady, match="did not become ready"):
        madrox.spawn("c")

    assert {"b": "failed", "c": "failed"} == {agent.name: agent.state for agent in madrox.tree}


def test_the_ledger_replays_to_the_live_tree(madrox: Madrox) -> None:
    lead = madrox.spawn("lead")
    lead.send(call("spawn_claude", name="kid", initial_prompt="hello"))
    lead.send("ERR 400")
    madrox.wait()
    madrox.stop("lead", tree=True)

    assert Tree.replay(madrox.manager.ledger) == madrox.manager.tree
    assert {"stopped"} == {agent.state for agent in madrox.tree}
    assert asyncio.run(_nobody_left(madrox))


async def _nobody_left(madrox: Madrox) -> bool:
    return not len(madrox.manager.processes)
