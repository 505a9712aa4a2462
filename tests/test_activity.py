"""What an agent does now and has done: concluded from the ledger alone."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from madrox_nb.activity import CLIPPED, TURNS, Activity, argument, edits, paths
from madrox_nb.events import (
    AgentSpawned,
    AgentStopped,
    Entry,
    Event,
    TextDelta,
    ToolCalled,
    ToolReturned,
    TurnEnded,
    TurnSaid,
    TurnStarted,
)

NOON = datetime(2026, 1, 31, 12, tzinfo=UTC)
BORN = AgentSpawned(agent="bob", harness="h", role="r")


def story(*events: Event) -> Activity:
    """One event a second."""
    return Activity.replay(Entry(n, NOON + timedelta(seconds=n), event) for n, event in enumerate(events))


def turn(number: int = 1, text: str = "do it") -> TurnStarted:
    return TurnStarted(agent="bob", turn=f"bob.t{number}", sender="you", text=text)


def called(call: str, tool: str, given: str = "{}") -> ToolCalled:
    return ToolCalled(agent="bob", turn="bob.t1", call=call, tool=tool, input=given)


def returned(call: str, *, ok: bool = True) -> ToolReturned:
    return ToolReturned(agent="bob", turn="bob.t1", call=call, ok=ok)


def ended(number: int = 1, text: str = "done", **more: Any) -> TurnEnded:
    return TurnEnded(**{"agent": "bob", "turn": f"bob.t{number}", "outcome": "ok", "text": text, **more})


def test_the_tool_under_way_is_the_one_that_began_last_and_has_not_returned() -> None:
    before = (
        BORN,
        turn(),
        called("1", "Read", '{"file_path": "a"}'),
        called("2", "Bash", '{"command": "ls"}'),
    )
    both, one, none = story(*before), story(*before, returned("2")), story(*before, ended())

    assert ("Bash", "ls", NOON + timedelta(seconds=3)) == (
        both["bob"].now.tool,
        both["bob"].now.argument,
        both["bob"].now.began,
    )
    assert "Read" == one["bob"].now.tool
    assert none["bob"].now is None


def test_tools_are_counted_in_this_turn_and_in_this_life() -> None:
    work = story(
        BORN, turn(), called("1", "Bash"), called("2", "Bash"), ended(), turn(2), called("3", "Read")
    )["bob"]

    assert {"Bash": 2, "Read": 1} == dict(work.used)
    assert {"Read": 1} == dict(work.used_now)
    assert [2, 0] == [deed.tools for deed in work.deeds]


def test_a_file_counts_as_edited_when_the_tool_has_done_it() -> None:
    work = story(
        BORN,
        turn(),
        called("1", "Write", '{"file_path": "a.py", "content": "x"}'),
        called("2", "Edit", '{"file_path": "b.py"}'),
        called("3", "Read", '{"file_path": "c.py"}'),
        called("4", "edit", '{"changes": [{"path": "d.py", "kind": {"type": "add"}}, {"path": "a.py"}]}'),
        called("5", "Write", '{"file_path": "e.py"}'),
        returned("1"),
        returned("2", ok=False),
        returned("3"),
        returned("4"),
    )["bob"]

    assert {"a.py": 2, "d.py": 1} == work.edited


@pytest.mark.parametrize(
    "tool", ["Write", "MultiEdit", "apply_patch", "write_file", "str_replace", "fileChange"]
)
def test_the_tools_of_each_cli_that_edit_are_known(tool: str) -> None:
    assert edits(tool)
    assert not edits(f"get_{tool}")


@pytest.mark.parametrize(
    ("given", "first", "named"),
    [
        ('{"command": "ls", "cwd": "/"}', "ls", []),
        ('{"n": {"a": 1}}', '{"a":1}', []),
        ('{"changes": {"x": 1, "y": 2}}', '{"x":1,"y":2}', ["x", "y"]),
        ('{"changes": [1, {"kind": 2}]}', '[1,{"kind":2}]', []),
        ('{"path": 3}', "3", []),
        ("[1]", "", []),
        ("no json", "", []),
        ("", "", []),
    ],
)
def test_arguments_are_read_whatever_they_are(given: str, first: str, named: list[str]) -> None:
    assert (first, named) == (argument(given), paths(given))


def test_turns_are_remembered_with_what_was_asked_and_what_came_of_it() -> None:
    work = story(
        BORN,
        turn(1, "first"),
        ended(1, "yes"),
        turn(2, "second"),
        ended(2, "", outcome="failed", error="why"),
        turn(3),
    )["bob"]

    assert "first" == work.task
    assert [("first", "ok", "yes"), ("second", "failed", "why"), ("do it", None, "")] == [
        (deed.prompt, deed.outcome, deed.answer) for deed in work.deeds
    ]
    assert {"ok": 1, "failed": 1} == dict(work.turns)
    assert "yes" == work.said


def test_what_is_kept_is_bounded() -> None:
    long = "x" * 3 * CLIPPED
    events = [
        event
        for n in range(TURNS * 2)
        for event in (turn(n, long), TurnSaid(agent="bob", turn="", text=long))
    ]
    work = story(BORN, *events)["bob"]

    assert TURNS == len(work.deeds)
    assert CLIPPED == len(work.said) == len(work.task) == len(work.deeds[0].prompt)


def test_a_name_that_is_spawned_again_begins_afresh_and_the_end_leaves_no_tool_under_way() -> None:
    life = (BORN, turn(), called("1", "Bash"), AgentStopped(agent="bob", reason="r"))

    assert story(*life)["bob"].now is None
    assert story(BORN).work.keys() == story(*life, BORN).work.keys()
    assert not story(*life, BORN)["bob"].used


def test_what_is_being_said_is_there_until_it_is_an_event() -> None:
    activity = story(BORN, turn())
    for piece in ("he", "llo"):
        activity.hear(TextDelta(agent="bob", turn="bob.t1", text=piece))
    before = dict(activity.speaking)
    activity.apply(Entry(9, NOON, TurnSaid(agent="bob", turn="bob.t1", text="hello")))

    assert {"bob": "hello"} == before
    assert ({}, "hello") == (activity.speaking, activity["bob"].said)
