"""What users of such a system rely on, through MCP calls, with rehearsal agents.

The eighteen behaviours that the tests of the system before this one describe, B1 to B18,
each through every door.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from doors import DOORS, Door, opened

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("behaviours")]


@pytest.fixture(scope="module")
def doors(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Door]]:
    with opened(tmp_path_factory.mktemp("home")) as doors:
        yield doors


@pytest.fixture(params=DOORS)
def door(request: pytest.FixtureRequest, doors: dict[str, Door]) -> Door:
    return doors[request.param]


def inbox(door: Door, wait: float = 0) -> list[dict[str, str]]:
    """What was left for the person."""
    return list(door.call("get_pending_replies", wait_timeout=wait).data["replies"])


# B2: agents and their tree


def test_b2_a_spawned_agent_is_idle_and_stands_in_the_tree(door: Door) -> None:
    lead = door.spawn("lead")
    kid = door.spawn("kid", parent_instance_id=lead)

    assert "idle" == door.state(lead)
    assert f"└── {kid} " in door.call("get_instance_tree").text
    assert [kid] == [each["name"] for each in door.call("get_children", parent_id=lead).data["children"]]


def test_b2_a_parent_that_nobody_knows_is_named_in_the_error(door: Door) -> None:
    assert "'nobody'" in door.refused("spawn_instance", name="kid", parent_instance_id="nobody")


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
    door.begin(agent, "/slow 30 0.1")
    sent = [door.call("send_to_instance", instance_id=agent, message=f"/say {n}") for n in range(3)]
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
