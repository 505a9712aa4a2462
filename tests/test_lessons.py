"""Faults that users of other orchestrators reported, L1 to L12, shown not to be ours.

Through MCP calls, with rehearsal agents and programs that misbehave. L5 is told in
test_limit_doors, through both doors too.
"""

from __future__ import annotations

import json
import subprocess
import sys
import textwrap
from dataclasses import replace
from pathlib import Path

import crew  # noqa: F401 — lends the harness that misbehaves
import psutil
import pytest
from doors import DOORS, Door, opened
from repositories import branches, committed, git, repository_at

from madrox_nb import library
from madrox_nb.events import NAN, UsageReported
from madrox_nb.harness.rehearsal import Rehearsal


@library.lend
class Unpriced(Rehearsal):
    """A CLI whose model nobody has a price for."""

    name = "unpriced"

    def _usage(self, given: int, made: int) -> UsageReported:
        report = super()._usage(given, made)
        return replace(report, cost_usd=NAN, cost_source="unknown", model="some-unheard-of-model")


pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("lessons")]


def process_of(door: Door, agent: str) -> psutil.Process:
    """What an agent runs as now."""
    return psutil.Process(door.run.manager.processes[agent].pid)


def test_l1_a_program_that_dies_or_says_nothing_has_not_completed_anything(door: Door) -> None:
    rogue = door.spawn("rogue", instance_type="rogue")
    died = door.refused("send_to_instance", instance_id=rogue, message="dies", wait_for_response=True)
    silent = door.spawn("silent")
    waited = door.call(
        "send_to_instance",
        instance_id=silent,
        message="/hang",
        wait_for_response=True,
        timeout_seconds=0.2,
    )

    assert "exited on its own with code 7" in died
    assert "failed" == door.state(rogue)
    assert "running" == waited.data["status"]
    assert "busy" == door.state(silent)
    door.call("terminate_instance", instance_id=silent, force=True)


def test_l2_a_prompt_of_many_lines_and_any_size_is_submitted_whole(door: Door) -> None:
    agent = door.spawn()
    prompt = "\n".join(f"{n}: " + "x" * 100 for n in range(3000))
    door.call("send_to_instance", instance_id=agent, message=prompt, wait_for_response=True)
    first = json.loads(door.ask(agent, "/recall"))[0]
    argv = psutil.Process(door.run.manager.processes[agent].pid).cmdline()

    assert prompt == first
    assert not any("x" * 100 in word for word in argv)


def test_l3_what_is_cleaned_up_is_our_own_and_nobody_else_s(tmp_path: Path) -> None:
    with opened(tmp_path, "http") as doors:
        agent = doors["http"].spawn()
        mine = psutil.Process(doors["http"].run.manager.processes[agent].pid)
        with subprocess.Popen([*mine.cmdline()], stdin=subprocess.PIPE, stdout=subprocess.DEVNULL) as theirs:
            doors["http"].run.close()
            assert not mine.is_running()
            assert theirs.poll() is None, "a program of the same name that we did not start"
            theirs.kill()


def test_l4_usage_is_counted_once_though_a_session_goes_on_in_another_process(door: Door) -> None:
    agent = door.spawn()
    door.ask(agent, "/usage 100 10")
    for again in range(2):
        door.run.start(door.run.manager.suspend, agent).result(60)
        door.ask(agent, f"/usage {again + 1} 0")

    assert 113 == door.call("get_instance_status", instance_id=agent).data["tokens"]


@pytest.mark.parametrize("kind", DOORS)
def test_l6_two_requests_at_once_both_stand_and_running_out_of_time_is_nobody_s_no(
    tmp_path: Path, kind: str
) -> None:
    with opened(tmp_path, kind, permissions="ask", attended="yes", approval_timeout=3.0) as doors:
        door, manager = doors[kind], doors[kind].run.manager
        agents = [door.spawn() for _ in range(2)]
        for agent in agents:
            ask = f'/approve-needed Bash {{"command": "make {agent}"}}'
            door.call("send_to_instance", instance_id=agent, message=ask)
        door.until(lambda: len(list(manager.approvals)) == 2)
        first, second = manager.approvals
        door.run.start(manager.approve, first.id).result(60)
        door.until(lambda: not manager.approvals.open())
        first, second = manager.approvals

    assert ({*agents}, "allow", "you") == ({first.agent, second.agent}, first.state, first.by)
    assert ("deny", "timeout") == (second.state, second.by)
    assert "timeout" in second.ending


def test_l7_a_worktree_is_of_the_named_repository_and_is_left_and_found_as_it_was(
    door: Door, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ours, theirs = (repository_at(tmp_path / name) for name in ("ours", "theirs"))
    monkeypatch.chdir(ours)
    git(theirs, "checkout", "-q", "-b", "feature")
    (theirs / "b.txt").write_text("b\n")
    tip = committed(theirs, "second")
    agent = door.spawn(use_worktree=True, git_repo=str(theirs))
    place = process_of(door, agent).cwd()
    door.ask(agent, "/write only.txt not committed")
    door.call("suspend_instance", instance_id=agent)
    door.ask(agent, "/say awake")
    woken = process_of(door, agent).cwd()
    idle = door.spawn(use_worktree=True, git_repo=str(theirs))
    unused = process_of(door, idle).cwd()
    door.call("terminate_multiple_instances", instance_ids=[agent, idle])

    assert place == woken
    assert tip == git(Path(place), "rev-parse", "HEAD"), "begun at what was checked out"
    assert "not committed" in Path(place, "only.txt").read_text(), "what is in no branch is kept"
    assert not Path(unused).exists(), "what holds nothing is not left behind"
    assert {"main", "feature", f"madrox/{agent}"} == {*branches(theirs)}
    assert (["main"], "") == (branches(ours), git(ours, "status", "--porcelain"))


def test_l8_an_agent_finds_its_tools_again_in_its_next_process(door: Door) -> None:
    agent = door.spawn()
    door.ask(agent, "/tree")
    door.run.start(door.run.manager.suspend, agent).result(60)

    assert agent in door.ask(agent, "/tree")


def test_l9_what_has_no_price_costs_an_unknown_sum_and_not_nothing(door: Door) -> None:
    agent = door.spawn(instance_type="unpriced")
    door.ask(agent, "/usage 1000 1000")
    status = door.call("get_instance_status", instance_id=agent)

    assert (2000, None) == (status.data["tokens"], status.data["cost_usd"])
    assert "cost_usd: unknown" in status.text


def test_l10_nothing_runs_in_the_background_until_somebody_asks(tmp_path: Path) -> None:
    story = """
        import sys, threading
        from pathlib import Path
        import psutil
        import madrox_nb
        from madrox_nb import Madrox
        m = Madrox(home=Path(sys.argv[1]), harnesses="rehearsal")
        m.tree
        print(len(psutil.Process().children()), m._run.server.url == "")
        m.close()
    """
    said = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(story), str(tmp_path)],
        capture_output=True,
        text=True,
        timeout=150,
        check=True,
    )

    assert "0 True" == said.stdout.strip()


def test_l11_a_role_that_nobody_knows_is_an_error_and_not_the_general_one(door: Door) -> None:
    said = door.refused("spawn_instance", name="wizard", role="backend_developper")

    assert "backend_developer" in said
    assert "wizard" not in door.call("get_instance_tree").text


def test_l12_a_program_that_does_not_start_is_no_agent_and_is_told_nothing(door: Door) -> None:
    said = door.refused("spawn_instance", name="stillborn", instance_type="rogue", model="dies")
    sent = door.refused("send_to_instance", instance_id="stillborn", message="rm -rf /")

    assert "stillborn did not start" in said
    assert "failed" == door.state("stillborn")
    assert "failed" in sent
