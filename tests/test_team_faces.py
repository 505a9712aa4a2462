"""Teams as people and agents start them: in a cell, by `%madrox`, by tools, led by their lead."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from IPython.core.error import UsageError
from test_teams import DUO, TRIO, file, told

from madrox_nb import library, magics
from madrox_nb.calls import Call, Result, find
from madrox_nb.errors import BadInput, Forbidden
from madrox_nb.events import PERSON, AgentSpawned, MessagePosted, ToolCalled, TurnStarted
from madrox_nb.manager import Manager
from madrox_nb.notebook import AsyncMadrox, Madrox
from madrox_nb.teamwork import UnknownTeam

pytestmark = pytest.mark.slow

Call_ = Callable[..., Result]


@pytest.fixture(autouse=True)
def at_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setattr(library, "user_dir", lambda: tmp_path / "config")
    file(TRIO)
    file(DUO, "duo")


@pytest.fixture
def madrox(tmp_path: Path) -> Iterator[Madrox]:
    with Madrox(home=tmp_path / "home", port=0, harnesses=("rehearsal",), max_instances=20) as m:
        yield m


# in a cell


def test_a_cell_starts_a_team_and_shows_what_each_did(madrox: Madrox) -> None:
    team = madrox.team("trio", "a clock", inputs={"language": "Rust"})

    assert ("ok", ["head", "hand-1", "hand-2", "eye"], "a clock") == (team.state, team.agents, team.task)
    assert "VERDICT: REJECT" == team["review"]
    assert "mended by hand-2" == team["mend.hand-2"]
    assert "<team trio.1: ok, 4 agents>" == repr(team)
    assert "✓ review eye    VERDICT: REJECT" in str(team).splitlines()
    assert '– praise        not the case: review contains "VERDICT: ACCEPT"' in str(team).splitlines()
    shown = team._repr_mimebundle_()
    assert str(team) == shown["text/plain"]
    assert "<table" in shown["text/html"]
    assert "VERDICT: REJECT</td>" in shown["text/html"]

    frame = team.status()
    assert ["design.head", "look.eye", "build.hand-1", "build.hand-2"] == list(frame.index[:4])
    assert ["ok", "skipped"] == [frame.loc["close.head", "state"], frame.loc["praise", "state"]]
    assert "design.md" == frame.loc["design.head", "files"]
    assert 0.0 == frame.loc["close.head", "cost_usd"]
    assert list(frame.dtypes) == list(madrox.team("duo", prefix="x-").status().dtypes)
    assert ["trio.1", "duo.1"] == list(madrox.team_runs().index)
    assert ["ok", "standby"] == list(madrox.team_runs()["state"])
    assert {"team", "phase", "files"} <= set(madrox.audit(kind="phase").columns)
    with pytest.raises(BadInput, match=r"trio has no phase 'revue'"):
        team["revue"]


def test_a_team_is_waited_for_stopped_and_resumed_by_its_handle(madrox: Madrox) -> None:
    file(DUO.replace("/slow 8 0.1", "/slow 300 0.1"), "duo")
    team = madrox.team("duo", "go", wait=False)
    with pytest.raises(TimeoutError, match=r"after 0.2 s the team duo.1 is still at work"):
        team.wait(timeout=0.2)
    assert "running" == team.state
    assert "stopped" == team.stop().outcome
    assert team == madrox.team_run("duo")
    assert "running" == team.resume(wait=False).state
    team.stop()
    assert ["duo", "duo"] == [name.partition(".")[0] for name in (team.id, madrox.team_run().id)]
    assert {"head", "hand"} == set(team.dismiss())
    with pytest.raises(UnknownTeam, match="no team 'solo' has been started here"):
        madrox.team_run("solo")


def test_the_async_face_does_the_same(tmp_path: Path) -> None:
    async def story() -> None:
        async with AsyncMadrox(home=tmp_path / "home", port=0, harnesses=("rehearsal",)) as m:
            team = await m.team("trio", "a clock", wait=False)
            assert (await team.wait()).ok
            assert "ok" == (await team.retry("close")).state
            assert "stopped" != (await team.stop()).outcome
            assert 4 == len(await team.dismiss())

    asyncio.run(asyncio.wait_for(story(), 100))


def test_the_list_of_teams_says_who_is_in_them(madrox: Madrox) -> None:
    found = madrox.templates()

    assert ("4", "head, hand ×2, eye") == (found.loc["trio", "agents"], found.loc["trio", "members"])
    assert "7" == found.loc["security_audit_team", "agents"]
    assert "first → slow → other → last → rescue" == found.loc["duo", "phases"]


# %madrox


def use(line: str, cell: str | None = None) -> Any:
    asked = magics.read(line, cell, {})
    return asked.command.carry_out(asked)


def test_a_line_starts_a_team_and_another_one_steers_it(madrox: Madrox) -> None:
    team = use('team trio --task "a small clock" --input language=Rust --harness rehearsal')
    assert ("ok", "a small clock") == (team.state, team.task)
    assert team == use("team trio --status")
    assert "ok" == use("team trio.1 --retry close").state
    assert "ok" == use("team --retry trio.1 close").state
    assert "a sundial\n" == use("team duo --no-wait --prefix b-", "a sundial\n").task + "\n"
    assert "stopped" == use("team duo --stop").state
    assert "running" == use("team duo --resume --no-wait").state
    use("team duo --stop")
    assert ["trio.1", "duo.1"] == list(use("teams --started").index)
    assert "trio" in use("teams").index


@pytest.mark.parametrize(
    ("line", "said"),
    [
        (
            "team trio --input language",
            "argument --input: language: write it as NAME=VALUE, such as language=Rust",
        ),
        ("team trio --stop --resume", "one of --stop, --retry, --resume and --status at a time"),
        ("team --status", "say which; %madrox teams lists them, with --started those that run"),
        ("team trio --tsk x", "unrecognized arguments: --tsk.* Did you mean '--task'"),
        ("team trio --task a clock --no-wait", "the task is told twice, by --task 'a' and by 'clock'"),
    ],
)
def test_a_line_about_a_team_that_is_wrong_says_what_was_meant(line: str, said: str) -> None:
    with pytest.raises(UsageError, match=said):
        use(line)


def test_the_names_of_teams_are_completed() -> None:
    assert {"trio", "duo", "security_audit"} <= set(magics.candidates(["team"]))


# led by the lead


def test_a_lead_gets_the_whole_plan_and_carries_it_out_by_the_tools(madrox: Madrox) -> None:
    team = madrox.team("trio", "a clock", lead=True)
    m = madrox.manager

    assert ("ok", ["head"]) == (team.state, team.agents)
    [plan] = [e.text for e in told(m, TurnStarted) if e.agent == "head"]
    assert "You are **head** and lead this team." in plan
    assert '- spawn_instance {"name": "hand-2", "role": "backend_developer", "instance_type": "reh' in plan
    assert "~~~brief\nYou are {me}, {number} of {count}. Build what this says:\n  {design.head}\n~~~" in plan
    assert '- only if: review contains "VERDICT: REJECT"' in plan
    assert {"hand-1": "head", "hand-2": "head", "eye": "head"} == {
        e.agent: e.parent for e in told(m, AgentSpawned) if e.agent != "head"
    }
    tools = [event.tool for event in told(m, ToolCalled)]
    assert 3 == tools.count("spawn_instance")
    assert 6 == tools.count("send_to_instance")
    assert ["reply_to_caller", *["terminate_instance"] * 3] == tools[-4:]
    asked = [e.text for e in told(m, TurnStarted) if e.agent.startswith("hand")]
    assert any("You are hand-2, 2 of 2. Build what this says" in text for text in asked)
    assert "mend, hand-2: mended by hand-2" in team["plan"]
    assert 'praise: skipped, not the case: review contains "VERDICT: ACCEPT"' in team["plan"]
    assert "The plan is carried out: 7 phases, 3 members." in team["plan"]


def test_a_plan_names_its_members_as_they_are_called_here(madrox: Madrox) -> None:
    file(
        TRIO.replace("when: 'review contains", "when: 'review.eye contains").replace(
            "{build}", "{build.hand-2}"
        )
    )
    madrox.spawn("eye")
    team = madrox.team("trio", "a clock", lead=True)
    asked = [e.text for e in told(madrox.manager, TurnStarted)]

    assert any('- only if: review.t2-eye contains "VERDICT: REJECT"' in text for text in asked)
    assert "mend, t2-hand-1: mended by t2-hand-1" in team["plan"]
    assert any("{build.t2-hand-2}" in text for text in asked)
    assert any("Build what this says:\n  {design.t2-head}\n" in text for text in asked)
    assert any("Build what this says:\n  t2-head did design itself" in text for text in asked)


def test_a_lead_cannot_stand_by(madrox: Madrox) -> None:
    with pytest.raises(BadInput, match="trio: a lead needs its task from the beginning"):
        madrox.team("trio", lead=True)


# agents' tools


async def call(manager: Manager, caller: str, tool: str, **given: Any) -> Result:
    async def progress(seconds: float, text: str) -> None: ...

    return await find(tool).call(Call(manager, caller, progress), given)


@pytest.fixture
def tools(madrox: Madrox) -> Callable[..., Result]:
    """Call a tool as somebody."""
    return lambda caller, tool, **given: madrox._run.start(
        call, madrox.manager, caller, tool, **given
    ).result(40)


def test_a_person_starts_a_team_by_a_tool_and_follows_it(madrox: Madrox, tools: Call_) -> None:
    started = tools(PERSON, "spawn_team_from_template", template_name="trio", task_description="a clock")
    assert "started trio.1: head, hand-1, hand-2, eye; head leads." in started.text
    assert ("trio.1", "head", 4) == (
        started.data["team_id"],
        started.data["supervisor_id"],
        started.data["team_size"],
    )

    over = tools(PERSON, "get_team_status", wait=True)
    assert "## review: ok\n\n**eye** ok\nVERDICT: REJECT" in over.text
    phases = {phase["name"]: phase for phase in over.data["phases"]}
    assert ("ok", "skipped") == (over.data["state"], phases["praise"]["state"])
    assert "mended by hand-1" == phases["mend"]["shares"][0]["result"]

    again = tools(PERSON, "retry_team", team_id="trio.1", phases=["close"], wait=True)
    assert ("ok", 2) == (again.data["state"], again.data["phases"][-1]["shares"][0]["attempt"])


def test_a_team_stands_by_as_older_prompts_expect_it(tools: Call_) -> None:
    stood = tools(
        PERSON, "spawn_team_from_template", template_name="trio", supervisor_role="general", wait=True
    )
    assert ("standby", "general") == (
        stood.data["state"],
        tools(PERSON, "get_instance_status", instance_id="head").data["role"],
    )
    gone_on = tools(PERSON, "resume_team", team_id="trio", task_description="a clock", wait=True)
    assert "ok" == gone_on.data["state"]


def test_an_agent_starts_a_team_below_itself_and_is_told_the_end(madrox: Madrox, tools: Call_) -> None:
    madrox.spawn("boss")
    madrox.spawn("rival")
    tools("boss", "spawn_team_from_template", template_name="trio", task_description="a clock")
    tools("boss", "get_team_status", wait=True)
    madrox.wait()
    m = madrox.manager

    assert "boss" == m.tree["head"].parent
    [report] = [e for e in told(m, MessagePosted) if e.sender == "madrox"]
    assert ("boss", True) == (report.agent, "The team trio.1 ended ok" in report.text)
    assert any("[boss.m" in e.text and "boss asks:\nPhase 1 of 7" in e.text for e in told(m, TurnStarted))
    with pytest.raises(Forbidden, match=r"trio\.1 was started by boss, who is neither you nor below you"):
        tools("rival", "stop_team", team_id="trio.1")
    with pytest.raises(BadInput, match="you have started no team yet"):
        tools("rival", "get_team_status")
    with pytest.raises(Forbidden, match="rival can't spawn below boss"):
        tools("rival", "spawn_team_from_template", template_name="trio", parent_instance_id="boss")
    with pytest.raises(Forbidden, match="can't give a child more than it has"):
        tools("rival", "spawn_team_from_template", template_name="trio", permissions="edits")


def test_templates_are_listed_and_shown_whole(tools: Call_) -> None:
    listed = tools(PERSON, "list_templates")
    assert 16 == listed.data["total"]
    assert "trio (4 agents): Three who build a small thing. Phases: design, look, build" in listed.text
    assert TRIO == tools(PERSON, "list_templates", name="trio").text
    with pytest.raises(BadInput, match="is no team's name"):
        tools(PERSON, "list_templates", name="../CONTRIBUTING")
    with pytest.raises(BadInput, match="is no team's name"):
        tools(PERSON, "spawn_team_from_template", template_name="../CONTRIBUTING")
