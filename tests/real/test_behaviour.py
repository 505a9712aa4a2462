"""The same story for every kind of agent: what it can do it does, what it can't is declared and refused.

The house is whole: manager, guard, server, ledger; the CLIs are the real ones, their
model is a stub on loopback.
"""

from __future__ import annotations

import json
import os
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import groups
import psutil
import pytest
from model import Model
from zoo import KINDS, Kind

from madrox_nb.errors import BadInput, HarnessNotFound, HarnessNotReady
from madrox_nb.events import AgentStopped, Event, ToolReturned, TurnSteered, UsageReported
from madrox_nb.notebook import AgentHandle, Madrox
from madrox_nb.tree import Tree

pytestmark = [pytest.mark.real, pytest.mark.slow]


WORKERS = [pytest.param(name, marks=pytest.mark.xdist_group(f"behaviour of {name}")) for name in KINDS]
"""One worker for each kind: its run and its lead go on from test to test, because a start takes seconds."""


@pytest.fixture(scope="module", params=WORKERS)
def kind(request: pytest.FixtureRequest) -> Kind:
    found = KINDS[request.param]
    return found if found.command else groups.absent("real", f"the real {found.name}", "make clis")


@pytest.fixture(scope="module")
def model() -> Iterator[Model]:
    with Model() as model:
        yield model


@pytest.fixture(scope="module")
def run(kind: Kind, model: Model, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Madrox]:
    """A run that somebody attends, and whose environment holds nothing of this machine's but PATH."""
    place = tmp_path_factory.mktemp(kind.name)
    home = place / "home"
    home.mkdir()
    environ = {"PATH": os.environ["PATH"], "HOME": str(home), **kind.environ(home, model)}
    with pytest.MonkeyPatch.context() as patch:
        for name in tuple(os.environ):
            patch.delenv(name)
        for name, value in environ.items():
            patch.setenv(name, value)
        patch.chdir(place)
        if kind.name != "rehearsal":
            command = ", ".join(map(json.dumps, kind.command))
            (place / "madrox.toml").write_text(f"[harness.{kind.name}]\ncommand = [{command}]\n")
        with Madrox(home=place / "madrox", port=0, attended="yes", max_instances=20) as run:
            yield run


@dataclass(frozen=True)
class Since:
    """What came in this test alone."""

    run: Madrox
    model: Model
    entry: int
    request: int
    approval: int

    def events(self, *kinds: type[Event]) -> list[Any]:
        entries = list(self.run.manager.ledger)[self.entry :]
        return [entry.event for entry in entries if isinstance(entry.event, kinds)]

    def approved_by(self) -> list[str]:
        return list(self.run.approvals()["by"][self.approval :])

    def spent(self, kind: Kind) -> int:
        """All tokens that the stub has told of, as far as the vendor's API has a word for it."""
        written = 0 if kind.name == "gemini" else 1
        figures = (request.usage for request in self.model.requests[self.request :])
        return sum(
            each.input + each.output + each.cache_read + written * each.cache_write for each in figures
        )


@pytest.fixture
def madrox(run: Madrox) -> Iterator[Madrox]:
    """That run; of whom a test spawns, only the lead goes on."""
    yield run
    for agent in run.manager.tree.alive():
        if agent.name != "lead":
            run.stop(agent.name)


@pytest.fixture
def lead(madrox: Madrox, kind: Kind) -> AgentHandle:
    """The lead of the tests before, with its conversation; where it was left at work or ended, a new one."""
    state = madrox["lead"].state if "lead" in madrox else "stopped"
    if state == "idle":
        return madrox["lead"]
    if state not in ("stopped", "failed"):
        madrox.stop("lead")
    return madrox.spawn("lead", harness=kind.name, permissions=kind.permissions)


@pytest.fixture
def solo(madrox: Madrox, kind: Kind) -> AgentHandle:
    """An agent of this test alone."""
    return madrox.spawn("solo", harness=kind.name, permissions=kind.permissions)


@pytest.fixture
def since(madrox: Madrox, model: Model) -> Since:
    entries, approvals = list(madrox.manager.ledger), madrox.approvals()
    return Since(madrox, model, len(entries), len(model.requests), len(approvals))


@contextmanager
def heard(madrox: Madrox, name: str) -> Iterator[threading.Event]:
    """Set when the agent is heard to say something."""
    spoke = threading.Event()
    stop = madrox.manager.watch(
        lambda signal: spoke.set() if signal.agent == name and "word" in getattr(signal, "text", "") else None
    )
    try:
        yield spoke
    finally:
        stop()


def speaking(madrox: Madrox, kind: Kind, lead: AgentHandle) -> Any:
    """A long turn of lead's, well under way."""
    with heard(madrox, lead.name) as spoke:
        pending = lead.send(kind.long(), wait=False)
        assert spoke.wait(40), "it was never heard to speak"
    return pending


def asked(madrox: Madrox) -> str:
    """The id of the request that waits, once there is one."""

    async def wait() -> str:
        while not (found := madrox.manager.approvals.open()):
            await madrox.manager.mail.change(0.2)
        return found[0].id

    return madrox._run.start(wait).result(40)


def test_three_turns_in_one_process_are_remembered_accounted_for_and_leave_nobody(
    madrox: Madrox, kind: Kind, solo: AgentHandle, since: Since
) -> None:
    process = psutil.Process(madrox.manager.processes["solo"].pid)
    first = solo.send(kind.remember("PINEAPPLE"))
    used, spent = since.events(UsageReported), since.spent(kind)
    solo.send(kind.remember("MANGO"))
    last = solo.send(kind.recall())

    assert (True, True, True) == (first.ok, "PINEAPPLE" in last.text, "MANGO" in last.text)
    assert process.pid == madrox.manager.processes["solo"].pid
    assert Tree.replay(madrox.manager.ledger) == madrox.manager.tree

    counted = sum(r.input_tokens + r.output_tokens + r.cache_read_tokens + r.cache_write_tokens for r in used)
    assert 0 <= counted <= spent  # never invented
    if kind.features.usage:
        assert spent == counted
    assert kind.features.cost == all(r.cost_source in ("cli", "rehearsal") for r in used)

    family = [process, *process.children(recursive=True)]
    solo.stop()
    [stopped] = since.events(AgentStopped)
    _, alive = psutil.wait_procs(family, 5)
    assert (False, []) == (stopped.failed, alive)


def test_an_interrupt_is_confirmed_keeps_the_context_and_tells_who_waits(
    madrox: Madrox, kind: Kind, lead: AgentHandle
) -> None:
    assert kind.features.interrupt
    lead.send(kind.remember("PAPAYA"))
    pending = speaking(madrox, kind, lead)
    cut = lead.interrupt()
    waited = pending.wait()

    assert cut is not None
    assert ("interrupted", "interrupted", "idle") == (cut.outcome, waited.outcome, lead.state)
    assert "PAPAYA" in lead.send(kind.recall()).text


def test_it_is_known_by_its_own_token_and_what_it_spawns_is_its_child(
    madrox: Madrox, kind: Kind, lead: AgentHandle, since: Since
) -> None:
    if not kind.features.mcp:
        assert "" == madrox.manager.processes["lead"].brief.mcp_token or kind.name == "python"
        pytest.skip(f"{kind.name} is given no tools, as its features say; fences stand in test_fences.py")
    other = madrox.spawn("other", harness="rehearsal")
    reply = lead.send(kind.call("spawn_instance", name="kid", instance_type="rehearsal"))

    assert reply.ok, reply.error
    assert ("lead", None) == (madrox["kid"].parent, other.parent)
    assert all(returned.ok for returned in since.events(ToolReturned))


def test_it_asks_before_it_uses_its_shell_and_what_is_answered_is_done(
    madrox: Madrox, kind: Kind, solo: AgentHandle, since: Since
) -> None:
    if not kind.features.approvals:
        assert not kind.shell("x")
        pytest.skip(f"{kind.name} asks nobody, as its features say")
    made = []
    for verdict, name, always in (("deny", "one", ""), ("allow", "two", "agent")):
        pending = solo.send(kind.touch(name), wait=False)
        approval = asked(madrox)
        assert "waiting" == solo.state
        assert not (solo.workspace / name).exists()
        if verdict == "allow":
            madrox.approve(approval, always="agent")
        else:
            madrox.deny(approval, why="not on a Friday")
        pending.wait()
        assert (verdict, "you", always or None) == tuple(
            value if isinstance(value, str) else None
            for value in madrox.approvals(full=True).loc[approval, ["state", "by", "always"]]
        )
        made.append((solo.workspace / name).exists())
    solo.send(kind.touch("three"))  # asked for good

    assert ["you", "you", "policy"] == since.approved_by()
    if kind.name != "rehearsal":  # it only asks
        assert [False, True] == made
        assert (solo.workspace / "three").exists()


def test_a_message_joins_the_turn_or_is_queued_and_says_which(
    madrox: Madrox, kind: Kind, lead: AgentHandle, since: Since
) -> None:
    lead.send(kind.remember("one"))
    with heard(madrox, "lead") as spoke:
        pending = lead.send(kind.long().replace("600", "20"), wait=False)
        assert spoke.wait(40)
    reply = lead.send(kind.remember("LYCHEE"), steer=True)
    pending.wait()

    assert ("steered" if kind.features.steer else "queued") == reply.how
    assert (1 if kind.features.steer else 0) == len(since.events(TurnSteered))
    assert "LYCHEE" in lead.send(kind.recall()).text


def test_it_forks_sleeps_and_wakes_with_its_context_or_says_that_it_can_not(
    madrox: Madrox, kind: Kind, lead: AgentHandle
) -> None:
    lead.send(kind.remember("QUINCE"))
    (lead.workspace / "notes.txt").write_text("mine")
    if kind.features.fork:
        forks(kind, lead)
    else:
        with pytest.raises(
            BadInput, match=r"lead can't be forked: .* can't go on twice with one conversation"
        ):
            lead.fork("twin")
    if kind.features.resume:
        sleeps(madrox, kind, lead)
    else:
        with pytest.raises(
            BadInput, match=r"lead can't be suspended: .* could not go on with its conversation"
        ):
            lead.suspend()
        assert "idle" == lead.state


def forks(kind: Kind, lead: AgentHandle) -> None:
    twin = lead.fork("twin")
    twin.send(kind.remember("DAMSON"))

    assert "QUINCE" in twin.send(kind.recall()).text
    assert "DAMSON" not in lead.send(kind.recall()).text
    assert "mine" == (twin.workspace / "notes.txt").read_text()


def sleeps(madrox: Madrox, kind: Kind, lead: AgentHandle) -> None:
    pid, session = madrox.manager.processes["lead"].pid, madrox.manager.tree["lead"].session
    lead.suspend()
    assert ("suspended", False) == (lead.state, psutil.pid_exists(pid or 0))

    assert "QUINCE" in lead.send(kind.recall()).text
    assert session == madrox.manager.tree["lead"].session


def test_a_crash_in_mid_turn_is_a_named_failure_and_the_name_can_be_used_again(
    madrox: Madrox, kind: Kind, lead: AgentHandle, since: Since
) -> None:
    pending = speaking(madrox, kind, lead)
    pid = madrox.manager.processes["lead"].pid
    assert pid is not None
    os.kill(pid, signal.SIGKILL)
    reply = pending.wait()
    [stopped] = since.events(AgentStopped)

    assert ("failed", "failed", True, -9) == (
        *(reply.outcome, lead.state),
        *(stopped.failed, stopped.exit_code),
    )
    assert "was killed by signal 9" in reply.error
    again = madrox.spawn("lead", harness=kind.name, permissions=kind.permissions)
    assert (True, "idle") == (again.send(kind.remember("again")).ok, again.state)


def test_a_program_that_is_not_there_is_named_with_how_to_get_it(
    madrox: Madrox, kind: Kind, monkeypatch: pytest.MonkeyPatch
) -> None:
    if kind.name == "rehearsal":
        pytest.skip("it comes with madrox_nb")
    variable = f"MADROX_{kind.name.upper()}_BIN"
    monkeypatch.setenv(variable, "/nowhere/at-all")
    with Madrox(home=madrox.manager.settings.home, port=0) as other:  # its environment is read once
        with pytest.raises(HarnessNotFound, match=f"{variable} is '/nowhere/at-all'"):
            other.spawn("solo", harness=kind.name, permissions=kind.permissions)
        assert "solo" not in other


def test_a_model_that_nobody_has_is_told_by_the_vendor_in_the_turn_or_at_the_start(
    madrox: Madrox, kind: Kind
) -> None:
    if kind.name in ("rehearsal", "python"):
        pytest.skip("no model is thinking")
    try:
        reply = madrox.spawn("solo", harness=kind.name, model="no-such-model").send("hello")
        said = "" if reply.ok else reply.error
    except HarnessNotReady as exc:
        said = str(exc)
        assert ("failed", None) == (madrox.tree["solo"].state, madrox.manager.processes.get("solo"))

    assert "no-such-model" in said


def sleepers(seconds: str, patience: float) -> list[psutil.Process]:
    """What was left in the background; it may still be on its way to become what it is."""
    end = time.monotonic() + patience
    while True:
        found = [p for p in psutil.process_iter(["cmdline"]) if p.info["cmdline"] == ["sleep", seconds]]
        if found or time.monotonic() > end:
            return found


def test_what_its_shell_left_behind_is_listed_and_ends_with_it(
    madrox: Madrox, kind: Kind, lead: AgentHandle
) -> None:
    if not kind.features.approvals or kind.name == "rehearsal":
        pytest.skip(f"{kind.name} has no shell that it asks about")
    # cat ends when the sleep has a session of its own: gemini ends the command's group right after it
    seconds = f"3217.{sum(kind.name.encode())}"  # its own: other tests leave such behind at the same time
    behind = f"{{ setsid sh -c 'exec sleep {seconds} >/dev/null 2>&1' & }} | cat"
    pending = lead.send(kind.shell(behind), wait=False)
    madrox.approve(asked(madrox))
    pending.wait()
    left = sleepers(seconds, patience=0 if kind.name == "codex" else 20)

    if kind.name == "codex":  # its sandbox has processes of its own, and ends them with the command
        _, alive = psutil.wait_procs(left, 5)
        assert [] == alive
        return
    assert 1 == len(left)
    assert left[0].pid in madrox.processes("lead").index
    lead.stop()
    _, alive = psutil.wait_procs(left, 5)
    assert [] == alive
