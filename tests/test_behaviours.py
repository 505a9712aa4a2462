"""What users of such a system rely on, through MCP calls, with rehearsal agents.

The eighteen behaviours that the tests of the system before this one describe, B1 to B18,
each through every door. Told elsewhere, through both doors too: B1 in test_bridge, B6,
B11, B16 and the secrets of B15 in test_looking.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import crew  # noqa: F401 — lends the harness that misbehaves
import psutil
import pytest
from doors import DOORS, Door, opened
from repositories import branches, committed, git, repository_at

from madrox_nb.events import AgentReady

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("behaviours")]


def inbox(door: Door, wait: float = 0) -> list[dict[str, str]]:
    """What was left for the person."""
    return list(door.call("get_pending_replies", wait_timeout=wait).data["replies"])


def children(door: Door, parent: str) -> list[str]:
    return [each["name"] for each in door.call("get_children", parent_id=parent).data["children"]]


def process_of(door: Door, agent: str) -> psutil.Process:
    """What an agent runs as now."""
    return psutil.Process(door.run.manager.processes[agent].pid)


# B2: agents and their tree


def test_b2_a_spawned_agent_is_idle_and_stands_in_the_tree(door: Door) -> None:
    lead = door.spawn("lead")
    kid = door.spawn("kid", parent_instance_id=lead)

    assert "idle" == door.state(lead)
    assert f"└── {kid} " in door.call("get_instance_tree").text
    assert [kid] == children(door, lead)


def test_b2_a_parent_that_nobody_knows_is_named_in_the_error(door: Door) -> None:
    assert "'nobody'" in door.refused("spawn_instance", name="kid", parent_instance_id="nobody")


# B3: several at once


def test_b3_several_start_and_what_is_wrong_with_one_is_told_beside_its_name(door: Door) -> None:
    lead = door.spawn("lead")
    names = [f"{lead}-{n}" for n in range(4)]
    wanted: list[dict[str, str]] = [
        {"type": "rehearsal"},
        {"role": "no such role"},
        {"instance_type": "rehearsal"},
        {"instance_type": "no-such-cli"},
    ]
    specs = [
        {"name": name, "parent_instance_id": lead, **more} for name, more in zip(names, wanted, strict=True)
    ]
    told = door.call("spawn_multiple_instances", instances=specs)
    wrong = {each["name"]: each["error"] for each in told.data["errors"]}

    assert [names[0], None, names[2], None] == told.data["instance_ids"]
    assert {names[1], names[3]} == wrong.keys()
    assert "'no such role'" in wrong[names[1]]
    assert "'no-such-cli'" in wrong[names[3]]
    assert [names[0], names[2]] == children(door, lead)


@pytest.mark.parametrize("kind", DOORS)
def test_b3_no_more_start_than_the_limit_allows(tmp_path: Path, kind: str) -> None:
    with opened(tmp_path, kind, max_instances=2) as doors:
        told = doors[kind].call("spawn_multiple_instances", instances=[{"name": name} for name in "abc"])
        [error] = told.data["errors"]

    assert 2 == len(told.data["spawned"])
    assert "2 agents are alive and max_instances is 2" in error["error"]


# B4: sending


def test_b4_an_answer_is_waited_for_or_comes_later(door: Door) -> None:
    agent = door.spawn()
    inbox(door)

    assert "- one; two" == door.ask(agent, "/say - one; two")
    sent = door.call("send_to_instance", instance_id=agent, message="/say later")
    assert "sent" == sent.data["status"]
    assert [(agent, "later")] == [(each["sender"], each["text"]) for each in inbox(door, 45)]


def test_b4_who_waits_too_short_is_told_and_loses_nothing(door: Door) -> None:
    agent = door.spawn()
    inbox(door)
    told = door.call(
        "send_to_instance",
        instance_id=agent,
        message="/slow 40 0.02\n/say done",
        wait_for_response=True,
        timeout_seconds=0.05,
    )

    assert "running" == told.data["status"]
    [answer] = inbox(door, 45)
    assert answer["text"].endswith("done")
    assert [] == inbox(door)


def test_b4_messages_to_a_busy_agent_are_queued_and_answered_in_their_order(door: Door) -> None:
    agent = door.spawn()
    inbox(door)
    door.begin(agent, "/hang")
    sent = [door.call("send_to_instance", instance_id=agent, message=f"/say {n}") for n in range(3)]
    door.call("interrupt_instance", instance_id=agent)
    answers: list[str] = []
    door.until(lambda: answers.extend(each["text"] for each in inbox(door, 5)) or len(answers) == 4)

    assert ["queued"] * 3 == [each.data["status"] for each in sent]
    assert ["0", "1", "2"] == answers[1:]


# B5: replies


def test_b5_a_reply_is_read_once_by_whom_it_is_for_and_names_what_it_answers(door: Door) -> None:
    lead = door.spawn("lead", auto_inject=False)
    kid = f"{lead}-kid"
    asked = door.ask(lead, f"/spawn {kid} auto_inject=false", f"/post {kid} /reply forty-two")
    first = door.ask(lead, "/inbox 20", "/inbox")

    assert kid in asked
    assert 1 == first.count("forty-two")
    assert f"{lead}.m" in first
    assert "forty-two" not in door.ask(lead, "/inbox")


def test_b5_waiting_for_a_reply_ends_when_it_comes(door: Door) -> None:
    agent = door.spawn()
    inbox(door)
    waiting = door.start("get_pending_replies", wait_timeout=30)
    door.call("send_to_instance", instance_id=agent, message="/say here it is")

    assert ["here it is"] == [each["text"] for each in waiting().data["replies"]]


# B7: families


def test_b7_a_family_that_grows_everywhere_at_once_stands_right_and_ends_from_its_leaves(door: Door) -> None:
    lead = door.spawn("lead")
    middle = [f"{lead}-{n}" for n in range(3)]
    leaves = [f"{name}-kid" for name in middle]
    born = [
        door.start("spawn_instance", name=name, parent_instance_id=lead, initial_prompt=f"/spawn {name}-kid")
        for name in middle
    ]
    odd = door.spawn("odd", parent_instance_id=lead, instance_type="rogue")
    assert [False] * 3 == [spawn().failed for spawn in born]
    door.until(lambda: all(children(door, name) for name in middle))
    family = [lead, *middle, odd, *leaves]
    seen = {each["name"]: each for each in door.call("get_instance_tree").data["instances"]}
    branch = door.call("terminate_instance", instance_id=middle[1], force=True).data["terminated"]
    rest = door.call("terminate_instance", instance_id=lead, force=True).data["terminated"]

    assert [None, *[lead] * 4, *middle] == [seen[name]["parent"] for name in family]
    assert ("rehearsal", "rogue") == (seen[lead]["harness"], seen[odd]["harness"])
    assert [leaves[1], middle[1]] == branch
    assert {*family} - {*branch} == {*rest}
    assert lead == rest[-1]


# B8: interrupting


def test_b8_an_interrupt_keeps_the_agent_and_what_it_knows(door: Door) -> None:
    agent = door.spawn()
    door.ask(agent, "remember the pineapple")
    door.begin(agent, "/hang")
    told = door.call("interrupt_instance", instance_id=agent)

    assert (True, True) == (told.data["interrupted"], told.data["confirmed"])
    assert "idle" == door.state(agent)
    assert "remember the pineapple" in door.ask(agent, "/recall")
    assert not door.call("interrupt_instance", instance_id=agent).data["interrupted"]


# B9: ending


def test_b9_a_busy_agent_is_ended_by_force_alone_and_only_once(door: Door) -> None:
    agent = door.spawn()
    door.begin(agent, "/hang")
    said = door.refused("terminate_instance", instance_id=agent)

    assert "force=true" in said
    assert "busy" == door.state(agent)
    assert [agent] == door.call("terminate_instance", instance_id=agent, force=True).data["terminated"]
    assert "stopped" == door.state(agent)
    assert [] == door.call("terminate_instance", instance_id=agent, force=True).data["terminated"]


# B10: sleeping, waking, coming back


def test_b10_however_many_messages_wake_who_sleeps_once_in_its_own_place(door: Door) -> None:
    agent = door.spawn()
    door.ask(agent, "remember the pineapple")
    before = process_of(door, agent)
    place = before.cwd()
    assert "suspended" == door.call("suspend_instance", instance_id=agent).data["status"]
    assert not before.is_running()
    sent = [
        door.start("send_to_instance", instance_id=agent, message=f"/say {n}", wait_for_response=True)
        for n in range(5)
    ]
    answers = [waiting().data["response"] for waiting in sent]
    ready = [e.event for e in door.run.manager.ledger if isinstance(e.event, AgentReady)]

    assert [str(n) for n in range(5)] == answers
    assert 2 == len([each for each in ready if each.agent == agent]), "at birth, and woken once"
    assert place == process_of(door, agent).cwd()
    assert "remember the pineapple" in door.ask(agent, "/recall")


@pytest.mark.parametrize("kind", DOORS)
def test_b10_the_next_server_brings_back_who_lived_or_slept_and_nobody_else(
    tmp_path: Path, kind: str
) -> None:
    with opened(tmp_path, kind) as doors:
        door = doors[kind]
        lived, slept, ended = (door.spawn(name) for name in ("lived", "slept", "ended"))
        door.ask(slept, "remember the pineapple")
        door.call("suspend_instance", instance_id=slept)
        door.call("terminate_instance", instance_id=ended)
        door.begin(lived, "/hang")
    with opened(tmp_path, kind) as doors:
        door = doors[kind]
        left = door.call("list_persisted_instances").data["instances"]
        back = [door.call("resume_instance", instance_id=name).data["status"] for name in (lived, slept)]
        recalled = door.ask(slept, "/recall")
        said = door.refused("resume_instance", instance_id=ended)

    assert {lived, slept} == {each["name"] for each in left if each["can_resume"]}
    assert ["idle", "idle"] == back
    assert "remember the pineapple" in recalled
    assert f"has not left {ended}" in said


# B12: teams from files


def test_b12_teams_are_listed_with_what_they_are_and_a_name_is_no_path(door: Door) -> None:
    listed = {each["name"]: each for each in door.call("list_templates").data["templates"]}
    sizes = {
        "software_engineering_team": 6,
        "research_analysis_team": 5,
        "security_audit_team": 7,
        "data_pipeline_team": 5,
    }
    before = door.call("get_instance_tree").text
    for name in ("../CONTRIBUTING", "/etc/passwd", "templates/../../x", "no_such_team", ""):
        said = door.refused("spawn_team_from_template", template_name=name, task_description="a clock")
        assert "team" in said, said

    assert sizes == {name: listed[name]["team_size"] for name in sizes}
    assert all(listed[name]["description"] and listed[name]["phases"] for name in sizes)
    assert before == door.call("get_instance_tree").text


def test_b12_a_team_is_spawned_whole_and_its_lead_has_the_role_that_was_named(door: Door) -> None:
    told = door.call(
        "spawn_team_from_template", template_name="research_analysis_team", supervisor_role="debugger"
    ).data
    lead = told["supervisor_id"]

    assert 5 == len(door.call("terminate_instance", instance_id=lead).data["terminated"])
    assert "debugger" == door.call("get_instance_status", instance_id=lead).data["role"]


# B13: what a CLI is started with


@pytest.mark.parametrize(("model", "flags"), [("some-model", ["--model=some-model"]), (None, [])])
def test_b13_a_cli_is_given_the_model_that_was_named_and_else_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, model: str | None, flags: list[str]
) -> None:
    told, fake = tmp_path / "argv.json", tmp_path / "claude"
    fake.write_text(
        f"#!{sys.executable}\nimport json, sys\njson.dump(sys.argv[1:], open({str(told)!r}, 'w'))\n"
    )
    fake.chmod(0o700)
    monkeypatch.setenv("MADROX_CLAUDE_BIN", str(fake))
    with opened(tmp_path / "home", "http") as doors:
        said = doors["http"].refused("spawn_claude", name="lead", model=model)
    argv = json.loads(told.read_text())

    assert "lead" in said
    assert flags == [each for each in argv if each.startswith("--model")]
    assert not [each for each in argv if "dangerously" in each or "bypass" in each]
    assert not [each for each in argv if "mdx_" in each], "a token in argv"


# B14: what failed


def test_b14_a_turn_that_failed_is_an_error_and_words_about_failing_are_not(door: Door) -> None:
    agent = door.spawn()
    said = door.refused(
        "send_to_instance",
        instance_id=agent,
        message="/fail 404 invalid_request_error: no such model",
        wait_for_response=True,
    )

    assert "404 invalid_request_error: no such model" in said
    assert "we met a rate limit, 429, error" == door.ask(agent, "/say we met a rate limit, 429, error")


# B15: names that others would carry out


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"mcp_servers": {"box; rm -rf ~": {"command": "true"}}}, "'box; rm -rf ~'"),
        ({"mcp_servers": {"--config": {"command": "true"}}}, "'--config'"),
        ({"mcp_servers": {"madrox": {"command": "true"}}}, "madrox"),
        ({"environment_vars": {"A;rm -rf": "x"}}, "'A;rm -rf'"),
        ({"environment_vars": {"MADROX_MCP_TOKEN_FILE": "x"}}, "MADROX_MCP_TOKEN_FILE is ours"),
    ],
)
def test_b15_a_name_that_could_be_taken_for_something_else_is_refused(
    door: Door, given: dict[str, dict[str, object]], said: str
) -> None:
    assert said in door.refused("spawn_instance", name="careless", **given)
    assert "careless" not in door.call("get_instance_tree").text


# B17: nothing is left behind, and nothing depends on where one stands


def test_b17_a_working_directory_that_is_gone_keeps_nobody_from_spawning(
    door: Door, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    gone = tmp_path / "gone"
    gone.mkdir()
    monkeypatch.chdir(gone)
    gone.rmdir()
    with pytest.raises(FileNotFoundError):
        Path.cwd()

    assert "well" == door.ask(door.spawn(), "/say well")


# B18: worktrees


def test_b18_a_branch_that_is_merged_goes_with_its_agent_and_any_other_stays(
    door: Door, tmp_path: Path
) -> None:
    repository = repository_at(tmp_path / "repository")
    merged, ahead = (door.spawn(name, use_worktree=True, git_repo=str(repository)) for name in ("m", "a"))
    for agent in (merged, ahead):
        door.ask(agent, f"/write {agent}.txt words")
        committed(Path(process_of(door, agent).cwd()), agent)
    git(repository, "merge", "-q", "--ff-only", f"madrox/{merged}")
    there = branches(repository)
    door.call("terminate_multiple_instances", instance_ids=[merged, ahead])

    assert {f"madrox/{merged}", f"madrox/{ahead}", "main"} == {*there}
    assert {f"madrox/{ahead}", "main"} == {*branches(repository)}
    assert f"{ahead}.txt" in git(repository, "ls-tree", "--name-only", f"madrox/{ahead}")
