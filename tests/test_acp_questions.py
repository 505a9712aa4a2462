"""What ACP agents ask about, and how they hear the answer."""

import json

import pytest
from acp_codec import ask, chosen, ends, greeted, mid_turn, of, replayed, say, sent, speak, update

from madrox_nb.events import ToolCalled, ToolReturned, TurnEnded
from madrox_nb.harness import Ask, Withdraw, Write


def test_opencodes_recorded_questions():
    items = replayed("opencode", "asked", {"lead.t4"}, ["allow", "deny", "allow"])
    first, _, edit, fourth = of(items, Ask)

    assert ("bash", {"command": "touch made"}, None) == (first.tool, first.input, first.touches)
    assert ("write", ("/lead/workspace/written",), False) == (edit.tool, edit.touches, edit.reads)
    assert [Withdraw(request=fourth.request)] == of(items, Withdraw)
    assert ["ok", "ok", "ok", "interrupted"] == [ended.outcome for ended in of(items, TurnEnded)]
    assert [True, False, True, False] == [returned.ok for returned in of(items, ToolReturned)]
    assert ["bash", "bash", "write", "bash"] == [called.tool for called in of(items, ToolCalled)]
    outcomes = [m["result"]["outcome"] for m in sent(items) if "result" in m]
    assert ["once", "reject", "once", None] == [outcome.get("optionId") for outcome in outcomes]


def test_geminis_recorded_questions():
    items = replayed("gemini", "asked", {"lead.t4"}, ["allow", "deny", "allow"])
    first, _, edit, fourth = of(items, Ask)

    assert ("run_shell_command", "touch made", None) == (first.tool, first.input["title"], first.touches)
    assert ("write_file", ("/lead/workspace/written",), False) == (edit.tool, edit.touches, edit.reads)
    assert [Withdraw(request=fourth.request)] == of(items, Withdraw)
    assert ["ok", "ok", "ok", "interrupted"] == [ended.outcome for ended in of(items, TurnEnded)]
    refused = of(items, ToolReturned)[1]  # gemini itself says nothing of it
    assert (False, "run_shell_command was not allowed: not in this house") == (refused.ok, refused.output)


def test_what_we_do_not_offer_is_refused_so_that_nobody_waits():
    recorded = replayed("opencode", "asked", {"lead.t4"}, ["allow", "deny", "allow"])

    assert [-32601] == [message["error"]["code"] for message in sent(recorded) if "error" in message]
    [answer] = sent(say(mid_turn(), id="x", method="terminal/create", params={}))
    assert ("x", -32601) == (answer["id"], answer["error"]["code"])


@pytest.mark.parametrize(
    ("call", "touches", "reads"),
    [
        ({"kind": "read", "locations": [{"path": "/w/a"}]}, ("/w/a",), True),
        ({"kind": "edit", "locations": [{"path": "/w/a"}, {"path": "/w/b"}]}, ("/w/a", "/w/b"), False),
        ({"kind": "edit", "locations": []}, None, False),
        ({"kind": "delete", "locations": [{"path": "/w/a"}]}, None, False),
        ({"kind": "execute", "locations": [{"path": "/w/a"}]}, None, False),
        ({"kind": "search", "rawInput": {"pattern": "x"}}, ("/lead/workspace",), True),
        ({"kind": "search", "rawInput": {"pattern": "x", "path": "/etc"}}, ("/etc",), True),
        ({"kind": "search", "rawInput": {"query": "the web"}}, None, False),
        ({"locations": [{"path": "/w/a"}]}, None, False),
    ],
)
def test_a_question_names_the_paths_when_it_is_about_nothing_else(call, touches, reads):
    [asked] = of(ask(mid_turn(), title="x", **call), Ask)

    assert (touches, reads) == (asked.touches, asked.reads)


def test_what_a_question_leaves_out_is_taken_from_what_was_said_of_the_call_before():
    harness, place = mid_turn(), [{"path": "/w/a"}]
    known = {"kind": "read", "locations": place, "rawInput": {"filePath": "/w/a"}}
    update(harness, "tool_call", toolCallId="c1", title="read", status="in_progress", **known)
    [asked] = of(ask(harness, title="a", locations=[], rawInput={}), Ask)

    assert ("read", {"filePath": "/w/a"}, ("/w/a",), True) == (
        asked.tool,
        asked.input,
        asked.touches,
        asked.reads,
    )


def test_why_it_was_refused_is_told_once_in_front_of_the_next_prompt():
    harness = mid_turn()
    ask(harness, kind="execute", title="rm")
    harness.answer("7", "deny", "nobody answered within 4 s; that is no denial")
    ends(harness)
    told = [
        [block["text"] for block in json.loads(line)["params"]["prompt"]]
        for line in (*harness.prompt("lead.t2", "/compact"), *harness.prompt("lead.t3", "go on"))
    ]
    (later,) = harness.prompt("lead.t4", "and on")

    assert ["/compact"] == told[0]
    assert "was not allowed: nobody answered within 4 s; that is no denial" in told[1][0]
    assert "go on" == told[1][1]
    assert ["and on"] == [block["text"] for block in json.loads(later)["params"]["prompt"]]


def test_of_two_ways_to_say_it_once_the_first_is_taken():
    harness = mid_turn()
    ask(harness, options=[{"optionId": name, "kind": "allow_once"} for name in ("plain", "other")])

    assert {"outcome": "selected", "optionId": "plain"} == chosen(*harness.answer("7", "allow"))


def test_yes_and_no_are_said_once_and_never_for_always():
    yes, no = mid_turn(), mid_turn()
    ask(yes)
    ask(no)

    assert {"outcome": "selected", "optionId": "yes"} == chosen(*yes.answer("7", "allow"))
    assert {"outcome": "selected", "optionId": "no"} == chosen(*no.answer("7", "deny"))


def test_a_yes_that_would_hold_for_ever_is_only_said_to_who_may_do_everything():
    always = [{"optionId": "always", "kind": "allow_always"}]
    careful, free = mid_turn(), mid_turn(permissions="all")
    ask(careful, options=always)
    ask(free, options=always)

    assert {"outcome": "cancelled"} == chosen(*careful.answer("7", "allow"))
    assert {"outcome": "selected", "optionId": "always"} == chosen(*free.answer("7", "allow"))


@pytest.mark.parametrize(
    "call",
    [
        {"name": "mcp__madrox__add"},
        {"_meta": {"claudeCode": {"toolName": "mcp__madrox__add"}}},
    ],
)
def test_a_tool_of_ours_is_known_by_its_name(call):
    items = ask(mid_turn(), title="add", **call)

    assert [] == of(items, Ask)
    assert {"outcome": "selected", "optionId": "yes"} == chosen(of(items, Write)[0].line)
    assert ["mcp__madrox__add"] == [called.tool for called in of(items, ToolCalled)]


def test_a_tool_without_a_name_goes_by_its_kind_and_its_title_is_what_it_is_about():
    [asked] = of(ask(mid_turn("goose"), title="rm -rf /", kind="execute", rawInput={"command": "rm"}), Ask)

    assert ("execute", {"title": "rm -rf /", "command": "rm"}) == (asked.tool, asked.input)


def test_a_title_makes_no_tool_ours_for_the_model_may_have_written_it():
    assert 1 == len(of(ask(mid_turn(), title="madrox_add; rm -rf /", kind="execute"), Ask))
    assert 1 == len(of(ask(mid_turn("gemini"), title="mcp_madrox_add", kind="execute"), Ask))


def test_an_interrupt_answers_what_is_open_as_the_protocol_wants_and_withdraws_it():
    harness = mid_turn()
    ask(harness, request="q")
    cancel, answer = harness.interrupt()

    assert "session/cancel" == json.loads(cancel)["method"]
    assert ("q", {"outcome": "cancelled"}) == (json.loads(answer)["id"], chosen(answer))
    assert [Withdraw(request='"q"')] == of(speak(harness, "…"), Withdraw)
    assert [] == list(harness.answer('"q"', "allow"))


def test_a_question_after_an_interrupt_is_not_put_to_anybody():
    harness = mid_turn()
    list(harness.interrupt())
    items = ask(harness)

    assert [] == of(items, Ask)
    assert {"outcome": "cancelled"} == chosen(of(items, Write)[-1].line)


def test_a_turn_that_ends_over_an_open_question_withdraws_it():
    harness = mid_turn()
    ask(harness)
    items = ends(harness)

    assert [Withdraw(request="7")] == of(items, Withdraw)
    assert {"outcome": "cancelled"} == chosen(of(items, Write)[0].line)
    assert isinstance(items[-1], TurnEnded)


@pytest.mark.parametrize("session", ["s-1", "s-9"])
def test_a_question_between_turns_or_of_another_session_is_not_put_to_anybody(session):
    harness = greeted()[0] if session == "s-1" else mid_turn()
    items = ask(harness, session=session)

    assert {"outcome": "cancelled"} == chosen(of(items, Write)[0].line)
    assert [] == of(items, Ask)
