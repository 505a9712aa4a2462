"""Every team that comes with madrox, carried out end to end by rehearsal agents."""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest
from crew import with_run

from madrox_nb import library
from madrox_nb.events import AgentSpawned, PhaseEnded, PhaseStarted, TurnStarted
from madrox_nb.harness.rehearsal import Rehearsal
from madrox_nb.manager import Manager
from madrox_nb.plans import Phase, Team, quoted
from madrox_nb.teamwork import TeamRun

TEMPLATES = Path(__file__).parents[1] / "templates"
NAMES = sorted(path.stem for path in TEMPLATES.glob("*.md") if path.name != "README.md")
FLATTERY = re.compile(
    r"world[- ]class|\b10x\b|cutting[- ]edge|\bninja\b|production-ready|comprehensive", re.I
)
SIZES = {
    "software_engineering_team": 6,
    "research_analysis_team": 5,
    "security_audit_team": 7,
    "data_pipeline_team": 5,
}
each_team = pytest.mark.parametrize("name", NAMES)


@library.lend
class Naysayer(Rehearsal):
    """Answers every prompt with all that its team's conditions look for."""

    name = "naysayer"
    says = ""

    def prompt(self, turn: str, text: str) -> Iterable[str]:
        return super().prompt(turn, f"{text}\n/say {self.says}")


@pytest.fixture(autouse=True)
def at_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setattr(library, "user_dir", lambda: tmp_path / "config")


def inputs(team: Team) -> dict[str, str]:
    return {each.name: f"the {each.name} of it" for each in team.inputs if each.default is None}


# what stands in the files


def test_the_four_teams_and_the_ten_workflows_are_there_and_listed() -> None:
    assert 14 == len(NAMES)
    assert SIZES == {name: library.team(name).size for name in SIZES}
    listed = re.findall(r"^\| \[(\w+)\]\(\w+\.md\) \| (\d+) \|", (TEMPLATES / "README.md").read_text(), re.M)
    assert {name: library.team(name).size for name in NAMES} == {name: int(size) for name, size in listed}


@each_team
def test_a_team_says_what_it_costs_in_turns_and_nothing_that_nobody_measured(name: str) -> None:
    team = library.team(name)
    always = [phase for phase in team.phases if phase.when is None]
    least = sum(team.member(who).count for phase in always for who in phase.who)

    assert f"At least {least} turns of {team.size} agents" in " ".join(team.body.split())
    assert not re.search(r"\d+\s*(?:-|–|to)\s*\d+ hours", team.text)
    assert not FLATTERY.search(team.text)


@each_team
def test_every_role_is_known_and_every_brief_is_one(name: str) -> None:
    team = library.team(name)

    assert all(library.role(member.role).body for member in team.members)
    assert all(member.part for member in team.members)
    assert [] == [phase.name for phase in team.phases if len(phase.what) < 120]
    assert team.phases[-1].when is None


@each_team
def test_a_condition_looks_for_words_that_a_brief_asks_for(name: str) -> None:
    team = library.team(name)
    for phase in team.phases:
        for clause in phase.when.clauses if phase.when else ():
            if clause.verb == "contains":
                assert f"\n{clause.text}" in team.phase(clause.phase).what


# carried out


def carried_out(tmp_path: Path, name: str, **given: Any) -> tuple[TeamRun, list[Any], dict[str, str]]:
    """(the run, all events of phases and turns, agent → its instructions)."""

    async def story(m: Manager) -> tuple[TeamRun, list[Any], dict[str, str]]:
        team = library.team(name)
        id_ = await m.teams.start(name, "Something small for a test.", inputs=inputs(team), **given)
        result = await m.teams.wait(id_, 40)
        assert result is not None
        assert ("ok", "") == (result.outcome, result.why)
        told = [e.event for e in m.ledger if isinstance(e.event, PhaseStarted | PhaseEnded | TurnStarted)]
        briefs = {e.event.agent: e.event.system_prompt for e in m.ledger if isinstance(e.event, AgentSpawned)}
        return m.teams.runs[id_], told, briefs

    return with_run(tmp_path, story)


def check(run: TeamRun, told: list[Any], briefs: dict[str, str], *, skipped: set[str]) -> None:
    """The whole team with whole briefs; phases in their order; results with those who need them."""
    team = run.team
    assert set(run.agents) == set(briefs)
    for agent, brief in briefs.items():
        member = team.member(run.member_of(agent))
        assert library.role(member.role).body in brief
        assert all(each.part in brief for each in team.members)
    assert skipped == set(run.skipped)
    over: set[str] = set(run.skipped)
    shares = iter(told)
    for event in shares:
        if isinstance(event, PhaseStarted):
            assert over.issuperset(team.phase(event.phase).after)
        elif isinstance(event, PhaseEnded):
            ended = [e for e in told[: told.index(event) + 1] if isinstance(e, PhaseEnded)]
            if {e.agent for e in ended if e.phase == event.phase} == set(run.who(team.phase(event.phase))):
                over.add(event.phase)
    for phase in team.phases:
        for agent in () if phase.name in skipped else run.who(phase):
            check_prompt(run, phase, prompt_of(told, run, phase, agent))


def prompt_of(told: list[Any], run: TeamRun, phase: Phase, agent: str) -> str:
    turn = run.shares[phase.name, agent].turn
    return next(e.text for e in told if isinstance(e, TurnStarted) and e.turn == turn)


def check_prompt(run: TeamRun, phase: Phase, prompt: str) -> None:
    """All that was written for this phase is in it, and every result that it needs, whole."""
    for piece in re.split(r"\{[\w.-]+\}", phase.what):
        for line in filter(None, map(str.strip, piece.split("\n"))):
            assert line in prompt
    for name in phase.needs:
        for agent in () if name in run.skipped else run.who(run.team.phase(name)):
            assert quoted(run.said(name, agent)) in prompt
    for file in phase.deliverables:
        assert f"- {file}" in prompt


@pytest.mark.slow
@each_team
def test_a_team_goes_through_all_its_phases_when_all_is_well(name: str, tmp_path: Path) -> None:
    team = library.team(name)
    bad = {phase.name for phase in team.phases if phase.when is not None and not negated(phase)}

    check(*carried_out(tmp_path, name), skipped=bad)


@pytest.mark.slow
@each_team
def test_a_team_goes_the_other_way_when_its_conditions_hold(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    team = library.team(name)
    said = {c.text for phase in team.phases if phase.when for c in phase.when.clauses if c.text}
    monkeypatch.setattr(Naysayer, "says", r"\n".join(sorted(said)) or "nothing")
    other = {phase.name for phase in team.phases if phase.when is not None and negated(phase)}

    check(*carried_out(tmp_path, name, harness="naysayer"), skipped=other)


def negated(phase: Phase) -> bool:
    return phase.when is not None and any(clause.negated for clause in phase.when.clauses)
