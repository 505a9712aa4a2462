"""What ACP agents say in a turn that goes well."""

import json
import math

import pytest
from acp_codec import BOTH, ends, greeted, mid_turn, of, replayed, say, sent, speak, update
from recorded import two_turns

from madrox_nb.events import (
    AgentReady,
    ToolCalled,
    ToolReturned,
    TurnEnded,
    TurnSaid,
    UsageReported,
)
from madrox_nb.harness import Ask


@BOTH
def test_two_recorded_turns(name):
    items = replayed(name, "turns")
    second = two_turns(items)

    assert of(items, AgentReady)[0].session == second.session


@BOTH
def test_usage_is_told_before_the_turn_ends(name):
    kinds = [type(item) for item in replayed(name, "turns") if isinstance(item, UsageReported | TurnEnded)]

    assert [UsageReported, TurnEnded] * 2 == kinds


def test_a_bill_that_grows_with_the_session_is_reported_turn_by_turn():
    one, two = of(replayed("opencode", "turns"), UsageReported)

    assert (0.0064662, 12, 226, 60_022) == (
        one.cost_usd,
        one.input_tokens,
        one.output_tokens,
        one.cache_read_tokens,
    )
    assert pytest.approx(0.0129605) == one.cost_usd + two.cost_usd
    assert {"cli"} == {one.cost_source, two.cost_source}


def test_geminis_own_count_is_read_model_by_model():
    harness = mid_turn("gemini")
    speak(harness, "hi")
    use = [
        {"model": "pro", "token_count": {"input_tokens": 5, "output_tokens": 2}},
        {"model": "flash", "token_count": {"input_tokens": 7, "output_tokens": 1}},
        {"model": "idle", "token_count": {"input_tokens": 0, "output_tokens": 0}},
    ]
    items = ends(harness, _meta={"quota": {"model_usage": use}})

    assert [("pro", 5, 2), ("flash", 7, 1)] == [
        (used.model, used.input_tokens, used.output_tokens) for used in of(items, UsageReported)
    ]
    assert all(math.isnan(used.cost_usd) for used in of(items, UsageReported))


def test_the_first_bill_of_a_resumed_session_is_not_this_turns():
    reports = []
    harness, _ = greeted(resume="s-1", opened={})
    for turn, amount in ((1, 0.5), (2, 0.75)):
        (line,) = harness.prompt(f"lead.t{turn}", "go")
        harness.prompted = json.loads(line)["id"]
        speak(harness, "hi")
        update(harness, "usage_update", used=1, size=2, cost={"amount": amount, "currency": "USD"})
        reports += of(ends(harness, usage={"inputTokens": 3}), UsageReported)

    assert [(3, "unknown"), (3, "cli")] == [(used.input_tokens, used.cost_source) for used in reports]
    assert math.isnan(reports[0].cost_usd)
    assert 0.25 == reports[1].cost_usd


def test_a_bill_that_is_told_before_the_first_turn_is_what_a_resumed_session_had_cost():
    harness, _ = greeted(resume="s-1", opened={})
    update(harness, "usage_update", used=1, size=2, cost={"amount": 0.5, "currency": "USD"})
    list(harness.prompt("lead.t1", "go"))
    harness.prompted = 3
    speak(harness, "hi")
    update(harness, "usage_update", used=1, size=2, cost={"amount": 0.75, "currency": "USD"})

    assert [0.25] == [used.cost_usd for used in of(ends(harness), UsageReported)]


@pytest.mark.parametrize("cost", [None, {"amount": 3, "currency": "EUR"}])
def test_what_nobody_counted_is_unknown(cost):
    harness = mid_turn()
    speak(harness, "hi")
    update(harness, "usage_update", used=1, size=2, cost=cost)

    [used] = of(ends(harness), UsageReported)
    assert (0, 0, "unknown") == (used.input_tokens, used.output_tokens, used.cost_source)
    assert math.isnan(used.cost_usd)


@pytest.mark.parametrize(("name", "prefix"), [("opencode", "madrox_"), ("gemini", "mcp_madrox_")])
def test_our_tools_are_called_without_asking_anybody(name, prefix):
    items = replayed(name, "tools")
    called, returned = of(items, ToolCalled), of(items, ToolReturned)

    assert [f"{prefix}shaped"] * 2 == [each.tool for each in called]
    assert [each.call for each in called] == [each.call for each in returned]
    assert [True, False] == [each.ok for each in returned]
    assert ["the text", True] == [returned[0].output, "the text" in returned[1].output]
    assert "text" in called[0].input
    assert [] == of(items, Ask)
    assert ["ok"] == [ended.outcome for ended in of(items, TurnEnded)]


def test_geminis_questions_about_our_tools_are_answered_by_ourselves():
    outcomes = [m["result"]["outcome"] for m in sent(replayed("gemini", "tools")) if "result" in m]

    assert [{"outcome": "selected", "optionId": "proceed_once"}] * 2 == outcomes


def test_words_before_a_call_are_a_message_of_their_own():
    harness = mid_turn()
    items = [
        *speak(harness, "I'll "),
        *speak(harness, "look"),
        *update(harness, "tool_call", toolCallId="c1", title="read", status="in_progress"),
        *update(harness, "tool_call_update", toolCallId="c1", status="completed"),
        *speak(harness, "done"),
        *ends(harness),
    ]

    spoken = [item for item in items if isinstance(item, TurnSaid | ToolCalled | ToolReturned | TurnEnded)]
    assert [TurnSaid, ToolCalled, ToolReturned, TurnSaid, TurnEnded] == [type(item) for item in spoken]
    assert ["I'll look", "done"] == [said.text for said in of(items, TurnSaid)]
    assert "done" == items[-1].text


def test_a_call_is_told_once_when_its_arguments_are_known_and_returns_once():
    harness = mid_turn()
    known = {"toolCallId": "c1", "title": "touch it", "kind": "execute", "rawInput": {"command": "touch"}}
    items = [
        *update(harness, "tool_call", toolCallId="c1", title="bash", status="pending", rawInput={}),
        *update(harness, "tool_call_update", **known, status="in_progress"),
        *update(harness, "tool_call_update", **known, status="in_progress"),
        *update(harness, "tool_call_update", toolCallId="c1", status="completed", rawOutput={"exit": 0}),
        *update(harness, "tool_call_update", toolCallId="c1", status="completed"),
    ]

    assert [("c1", "bash", '{"command": "touch"}')] == [
        (c.call, c.tool, c.input) for c in of(items, ToolCalled)
    ]
    assert [("c1", True, '{"exit": 0}')] == [(r.call, r.ok, r.output) for r in of(items, ToolReturned)]


def test_a_call_left_open_is_closed_with_the_turn_and_one_that_never_began_is_not_told():
    harness = mid_turn()
    update(harness, "tool_call", toolCallId="c1", title="read", status="in_progress")
    update(harness, "tool_call", toolCallId="c2", title="read", status="pending")
    items = ends(harness)

    assert [("c1", False)] == [(returned.call, returned.ok) for returned in of(items, ToolReturned)]


def test_the_output_of_a_call_is_its_text_and_the_names_of_the_rest():
    harness = mid_turn()
    content = [
        {"type": "content", "content": {"type": "text", "text": "a"}},
        {"type": "content", "content": {"type": "image"}},
        {"type": "diff", "path": "/w/x"},
        {"type": "terminal", "terminalId": "t"},
    ]
    [_, returned] = update(
        harness, "tool_call", toolCallId="c1", title="x", status="completed", content=content
    )

    assert "a\n[image]\n[changes /w/x]\n[terminal]" == returned.output


def test_a_long_output_is_shortened_and_says_by_how_much():
    harness = mid_turn()
    [_, returned] = update(
        harness, "tool_call", toolCallId="c1", title="x", status="completed", rawOutput="x" * 20_001
    )

    assert returned.output.endswith("x\n… 1 more characters")


def test_thoughts_plans_and_what_comes_tomorrow_mean_nothing():
    harness = mid_turn()

    assert [] == update(harness, "agent_thought_chunk", content={"type": "text", "text": "hm"})
    assert [] == update(harness, "plan", entries=[])
    assert [] == update(harness, "something_new", of="tomorrow")
    assert [] == update(harness, "agent_message_chunk", content={"type": "image", "data": "…"})
    assert [] == say(harness, method="_vendor/news", params={})
    assert [] == say(harness, id=99, result={})


def test_words_of_another_session_are_not_its_own():
    harness = mid_turn()

    assert [] == speak(harness, "deep", session="s-9")
