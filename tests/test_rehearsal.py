"""The rehearsal codec: lines in, events out, and nothing else touched."""

import json
import sys
from pathlib import Path

import pytest

from madrox_nb.events import (
    AgentReady,
    TextDelta,
    ToolCalled,
    ToolReturned,
    TurnEnded,
    TurnSaid,
    UsageReported,
)
from madrox_nb.harness import Ask, Brief, Unreadable, Withdraw
from madrox_nb.harness.rehearsal import Rehearsal


def codec(**more):
    fields = {
        "agent": "lead",
        "command": ("python", "program"),
        "workspace": "/w",
        "files": "/f",
        "role": "architect",
        "session": "s-1",
    }
    return Rehearsal(Brief(**{**fields, **more}))


def mid_turn():
    harness = codec()
    list(harness.prompt("lead.t1", "go"))
    return harness


def read(harness, **message):
    return list(harness.read(json.dumps(message)))


def sent(lines):
    return [json.loads(line) for line in lines]


def test_its_command_is_this_python_and_a_file_that_exists():
    python, *_, program = Rehearsal.command()

    assert sys.executable == python
    assert Path(program).is_file()
    assert () == Rehearsal.commands


def test_the_token_travels_in_a_file_and_never_in_argv():
    launch = codec(mcp_url="http://127.0.0.1:1/mcp", mcp_token="s3cret", extra_args=("-x",)).launch()

    assert ("python", "program", "-x") == launch.argv
    assert "s3cret" not in str((launch.argv, launch.env))
    assert ["s3cret"] == list(launch.files.values())
    assert f"/f/{next(iter(launch.files))}" == launch.env["MADROX_MCP_TOKEN_FILE"]
    assert "http://127.0.0.1:1/mcp" == launch.env["MADROX_MCP_URL"]


def test_without_a_server_an_inherited_one_is_removed_from_the_environment():
    launch = codec().launch()

    assert {"MADROX_MCP_URL": "", "MADROX_MCP_TOKEN_FILE": "", "MADROX_MCP_SERVERS_FILE": ""} == launch.env
    assert {} == launch.files


def test_each_verb_is_one_line():
    harness = codec()
    hello = {"type": "hello", "agent": "lead", "role": "architect", "workspace": "/w", "session": "s-1"}
    hello |= {"sessions": "", "resume": ""}

    assert [hello] == sent(harness.greet())
    assert [{"type": "prompt", "turn": "lead.t1", "text": "a\nb"}] == sent(harness.prompt("lead.t1", "a\nb"))
    assert "lead.t1" == harness.turn
    assert [{"type": "interrupt"}] == sent(harness.interrupt())
    answer = {"type": "answer", "request": "r", "decision": "deny", "why": "no"}
    assert [answer] == sent(harness.answer("r", "deny", "no"))


def test_a_line_is_one_line_of_ascii_whatever_the_prompt_holds():
    (line,) = codec().prompt("t", "nul \0 bell \a 🧪 \ud800 \u2028 \r\n end")

    assert line.isascii()
    assert 1 == line.count("\n")
    assert line.endswith("\n")


def test_ready_carries_the_session():
    ready = AgentReady(agent="lead", session="s-2", version="1")

    assert [ready] == read(codec(), type="ready", session="s-2", version="1")


@pytest.mark.parametrize(
    ("message", "item"),
    [
        ({"type": "delta", "text": "a"}, TextDelta(agent="lead", turn="lead.t1", text="a")),
        ({"type": "said", "text": "a"}, TurnSaid(agent="lead", turn="lead.t1", text="a")),
        (
            {"type": "call", "call": "c", "tool": "x", "input": {"é": 1}},
            ToolCalled(agent="lead", turn="lead.t1", call="c", tool="x", input='{"é": 1}'),
        ),
        (
            {"type": "returned", "call": "c", "ok": False, "output": "no"},
            ToolReturned(agent="lead", turn="lead.t1", call="c", ok=False, output="no"),
        ),
        (
            {"type": "usage", "input_tokens": 7, "output_tokens": 2},
            UsageReported(
                agent="lead",
                turn="lead.t1",
                input_tokens=7,
                output_tokens=2,
                cost_usd=0.0,
                cost_source="rehearsal",
                model="rehearsal",
            ),
        ),
        (
            {"type": "ended", "outcome": "failed", "text": "t", "error": "e"},
            TurnEnded(
                agent="lead",
                turn="lead.t1",
                outcome="failed",
                text="t",
                error="e",
                session="s-1",
                anchor="lead.t1",
            ),
        ),
    ],
    ids=lambda value: value["type"] if isinstance(value, dict) else "",
)
def test_what_happens_in_a_turn_becomes_its_event(message, item):
    assert [item] == read(mid_turn(), turn="lead.t1", **message)


def test_an_ask_and_its_withdrawal_become_items():
    harness = mid_turn()

    assert [Ask(request="r", tool="Bash", input={"a": 1})] == read(
        harness, type="ask", request="r", tool="Bash", input={"a": 1}
    )
    assert [Withdraw(request="r")] == read(harness, type="withdraw", request="r")


def test_a_turn_that_ended_is_no_longer_under_way():
    harness = mid_turn()
    read(harness, type="ended", turn="lead.t1", outcome="ok", text="", error="")

    assert "" == harness.turn
    with pytest.raises(Unreadable, match=r"lead\.t1"):
        read(harness, type="said", turn="lead.t1", text="late")


def test_an_unknown_kind_of_message_is_passed_over():
    assert [] == read(codec(), type="weather", sky="blue")


@pytest.mark.parametrize(
    "line",
    [
        "",
        "hello",
        "[1]",
        '"ready"',
        "{}",
        '{"type": 3}',
        "[" * 100_000,
        '{"type": "ready"}',
        '{"type": "said", "text": "of no turn"}',
        '{"type": "said", "turn": "lead.t1"}',
        '{"type": "usage", "turn": "lead.t1", "input_tokens": "7", "output_tokens": 0}',
        '{"type": "ended", "turn": "lead.t1", "outcome": "maybe", "text": "", "error": ""}',
        '{"type": "call", "turn": "lead.t1", "call": "c", "tool": "x", "input": []}',
    ],
    ids=lambda line: line[:40],
)
def test_a_line_that_is_none_of_its_own_is_unreadable(line):
    harness = mid_turn()

    with pytest.raises(Unreadable):
        harness.read(line)
    assert "lead.t1" == harness.turn
