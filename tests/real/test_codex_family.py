"""The whole house with the real Codex in it: manager, guard, server, and a family that spawns itself.

The model is a script on loopback; everything else is real.
"""

from __future__ import annotations

import json
import os
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from model import Model

from madrox_nb.errors import HarnessNotReady
from madrox_nb.events import (
    AgentReady,
    AgentStopped,
    ApprovalAnswered,
    HarnessNoise,
    ToolReturned,
    TurnEnded,
    TurnStarted,
)
from madrox_nb.notebook import Madrox
from madrox_nb.tree import Tree

pytestmark = [pytest.mark.real, pytest.mark.slow]


@pytest.fixture
def madrox(
    codex: str, codex_env: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Madrox]:
    """A madrox whose environment holds nothing of this machine's but PATH."""
    for name in tuple(os.environ):
        monkeypatch.delenv(name)
    for name, value in {**codex_env, "MADROX_CODEX_BIN": codex}.items():
        monkeypatch.setenv(name, value)
    with Madrox(home=tmp_path / "madrox", port=0, max_instances=20) as madrox:
        yield madrox


def events(madrox: Madrox, kind: type) -> list[Any]:
    return [entry.event for entry in madrox.manager.ledger if isinstance(entry.event, kind)]


def call(tool: str, **arguments: object) -> str:
    return f"CALL mcp__madrox__{tool} {json.dumps(arguments)}"


def shell(command: str) -> str:
    return f"CALL exec_command {json.dumps({'cmd': command})}"


@contextmanager
def streaming(madrox: Madrox, name: str) -> Iterator[Callable[[float], None]]:
    """Wait until the agent is heard speaking."""
    spoke = threading.Event()
    stop = madrox.manager.watch(
        lambda signal: spoke.set() if signal.agent == name and "word" in getattr(signal, "text", "") else None
    )
    try:
        yield lambda seconds: None if spoke.wait(seconds) else pytest.fail(f"{name} did not speak")
    finally:
        stop()


def test_it_remembers_in_one_process(madrox: Madrox) -> None:
    lead = madrox.spawn("lead", harness="codex", role="architect")
    pids = {madrox.manager.processes["lead"].pid}
    replies = [lead.send(text) for text in ("one", "two", "three")]
    pids.add(madrox.manager.processes["lead"].pid)
    [ready] = events(madrox, AgentReady)

    assert 'echo: three | seen=["one", "two"]' == replies[-1].text
    assert [] == events(madrox, HarnessNoise)
    assert 1 == len(pids)
    assert all(reply.ok for reply in replies)
    assert ("0.169.0", "stub-model") == (ready.version, ready.model)
    assert {ready.session} == {ended.session for ended in events(madrox, TurnEnded)}


def test_its_usage_is_what_the_model_counted_and_its_cost_is_unknown(madrox: Madrox, model: Model) -> None:
    lead = madrox.spawn("lead", harness="codex")
    for text in ("one", "two"):
        lead.send(text)
    own = madrox.costs(full=True).loc["lead"]

    assert sum(request.usage.input for request in model.requests) == own["input_tokens"]
    assert sum(request.usage.output for request in model.requests) == own["output_tokens"]
    assert sum(request.usage.cache_read for request in model.requests) == own["cache_read_tokens"]


def test_a_child_is_spawned_by_its_own_call_and_the_answer_comes_back(madrox: Madrox) -> None:
    lead = madrox.spawn("lead", harness="codex")
    other = madrox.spawn("other", harness="rehearsal")
    hanging = other.send("/hang", wait=False)  # busy too: a guess would take it for the caller
    child = {"name": "kid", "instance_type": "rehearsal", "role": "code_reviewer"}
    reply = lead.send(
        call("spawn_instance", **child, initial_prompt="/say all is well", wait_for_response=True)
    )
    [returned] = [e for e in events(madrox, ToolReturned) if e.agent == "lead"]

    assert returned.ok, returned.output
    assert ("lead", "rehearsal", "code_reviewer") == (
        madrox.tree["kid"].parent,
        madrox.tree["kid"].harness,
        madrox.tree["kid"].role,
    )
    assert reply.ok
    assert "all is well" in reply.text
    other.interrupt()
    hanging.wait()


def test_a_childs_late_answer_starts_its_parents_next_turn_once(madrox: Madrox) -> None:
    lead = madrox.spawn("lead", harness="codex")
    child = {"name": "kid", "instance_type": "rehearsal", "initial_prompt": "/say counted"}
    lead.send(call("spawn_instance", **child))
    madrox.wait()
    turns = [e for e in events(madrox, TurnStarted) if e.agent == "lead"]

    assert 2 == len(turns)
    assert turns[1].text.startswith("[kid.m1] kid answers [lead.m1]:\ncounted")


def test_codex_has_children_of_its_own_kind(madrox: Madrox) -> None:
    lead = madrox.spawn("lead", harness="codex")
    inner = {"name": "kid", "instance_type": "codex", "initial_prompt": "say hello"}
    reply = lead.send(call("spawn_instance", **inner, wait_for_response=True))

    assert ("lead", "codex") == (madrox.tree["kid"].parent, madrox.tree["kid"].harness)
    assert "echo: [lead.m1] lead asks:" in reply.text


def test_an_interrupt_keeps_the_context(madrox: Madrox) -> None:
    lead = madrox.spawn("lead", harness="codex")
    lead.send("remember mango")
    pending = lead.send("SLOW 600 0.05", wait=False)
    with streaming(madrox, "lead") as heard:
        heard(10)
    ended = lead.interrupt()
    told = pending.wait()

    assert ended is not None
    assert ("interrupted", "interrupted") == (ended.outcome, told.outcome)
    assert told.text.startswith("word0 ")
    assert "remember mango" in lead.send("what was it?").text


def test_an_interrupt_ends_a_call_that_waits(madrox: Madrox) -> None:
    lead = madrox.spawn("lead", harness="codex")
    begun = threading.Event()
    stop = madrox.manager.ledger.listen(
        lambda entry: begun.set() if entry.event.kind == "turn.tool_called" else None
    )
    pending = lead.send(call("get_pending_replies", wait_timeout=45), wait=False)
    assert begun.wait(10)
    stop()
    ended = lead.interrupt()

    assert ended is not None
    assert ("interrupted", "interrupted") == (ended.outcome, pending.wait().outcome)
    assert [False] == [e.ok for e in events(madrox, ToolReturned)]
    assert () == madrox.tree["lead"].tools


def test_it_may_read_and_edit_in_its_workspace_and_nothing_else_unless_told(
    madrox: Madrox, model: Model, tmp_path: Path
) -> None:
    lead = madrox.spawn("lead", harness="codex", permissions="edits")
    (tmp_path / "secret.txt").write_text("the canary sings")
    (lead.workspace / "link").symlink_to(tmp_path)
    patch = "apply_patch <<EOF\n*** Begin Patch\n*** Add File: {}\n+hello\n*** End Patch\nEOF"
    allowed = (patch.format("in.txt"), "cat in.txt", "ls -la")
    denied = (
        patch.format(tmp_path / "out.txt"),
        patch.format("link/out.txt"),
        patch.format(".git/config"),
        f"cat {tmp_path}/secret.txt",
        "cat link/secret.txt",
        "cat in.txt > copy.txt",
        f"touch {tmp_path}/out.txt",
        "git status",
    )
    replies = [lead.send(shell(command)) for command in (*allowed, *denied)]
    decisions = [(e.decision, e.by) for e in events(madrox, ApprovalAnswered)]

    assert "hello\n" == (lead.workspace / "in.txt").read_text()
    assert [("allow", "policy")] * 3 + [("deny", "nobody")] * 8 == decisions
    assert not (tmp_path / "out.txt").exists()
    assert not (lead.workspace / "copy.txt").exists()
    assert "canary" not in "".join(reply.text for reply in replies)
    assert all(reply.text.startswith("echo: Your request was refused: ") for reply in replies[3:])
    assert "%madrox spawn lead --permissions all" in model.requests[-1].prompt


def test_by_itself_it_may_read_in_its_workspace_and_no_more(madrox: Madrox) -> None:
    lead = madrox.spawn("lead", harness="codex")
    (lead.workspace / "notes.txt").write_text("remember mango")
    read = lead.send(shell("sed -n '1,20p' notes.txt"))
    lead.send(shell("apply_patch <<EOF\n*** Begin Patch\n*** Delete File: notes.txt\n*** End Patch\nEOF"))
    lead.send(shell("rm notes.txt"))

    assert "remember mango" in read.text
    assert ["allow", "deny", "deny"] == [e.decision for e in events(madrox, ApprovalAnswered)]
    assert "remember mango" == (lead.workspace / "notes.txt").read_text()


def test_all_permissions_are_all(madrox: Madrox, tmp_path: Path) -> None:
    free = madrox.spawn("free", harness="codex", permissions="all")
    free.send(shell(f"touch {tmp_path}/out.txt"))

    assert (tmp_path / "out.txt").exists()
    assert [] == events(madrox, ApprovalAnswered)


def test_a_kill_in_mid_turn_fails_the_turn_and_the_agent_by_name(madrox: Madrox) -> None:
    lead = madrox.spawn("lead", harness="codex")
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
    assert lead == madrox.spawn("lead", harness="codex")
    assert "echo: again" in lead.send("again").text


def test_what_it_runs_dies_with_it(madrox: Madrox) -> None:
    lead = madrox.spawn("lead", harness="codex", permissions="all")
    lead.send(shell("sleep 600 & echo $! > pid; sleep 600") + "\n" + shell("cat pid"))
    child = int((lead.workspace / "pid").read_text())
    assert Path("/proc", str(child)).exists()
    madrox.stop("lead", force=True)

    assert not _runs(child)


def _runs(pid: int) -> bool:
    try:
        return Path("/proc", str(pid), "stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def test_who_is_not_logged_in_is_a_failed_agent_that_says_what_to_do(
    madrox: Madrox, codex_env: dict[str, str]
) -> None:
    Path(codex_env["CODEX_HOME"], "config.toml").write_text("# nothing\n")
    with pytest.raises(HarnessNotReady, match="codex is not logged in: run `codex login`"):
        madrox.spawn("lead", harness="codex")

    assert "failed" == madrox.tree["lead"].state


def test_no_token_stands_in_an_argument_a_log_or_the_ledger(madrox: Madrox, tmp_path: Path) -> None:
    lead = madrox.spawn("lead", harness="codex")
    lead.send(call("get_instance_tree"))
    pid = madrox.manager.processes["lead"].pid
    process = Path("/proc", str(pid))
    kept = [path for path in (tmp_path / "madrox").rglob("*") if path.is_file() and path.name != "token"]
    places = [process / "cmdline", process / "environ", *kept, *(tmp_path / "home").rglob("*.jsonl")]

    assert {"wire.log", "stderr.log"} <= {path.name for path in places}
    for place in places:
        assert b"mdx_" not in place.read_bytes(), place


def test_the_ledger_replays_to_the_live_tree(madrox: Madrox) -> None:
    lead = madrox.spawn("lead", harness="codex")
    lead.send(call("spawn_instance", name="kid", instance_type="rehearsal", initial_prompt="hello"))
    lead.send("ERR 400")
    madrox.wait()
    madrox.stop("lead", tree=True)

    assert [] == events(madrox, HarnessNoise)
    assert Tree.replay(madrox.manager.ledger) == madrox.manager.tree
    assert {"stopped"} == {agent.state for agent in madrox.tree}
