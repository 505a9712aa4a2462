"""What Codex says in a turn, and how a turn of its fails."""

import json

import pytest
from codex_codec import (
    begin,
    complete,
    end,
    greeted,
    in_turn,
    messages,
    mid_turn,
    of,
    read,
    refuse,
    replayed,
    say,
    sent,
    tell,
)
from recorded import two_turns

from madrox_nb.events import (
    AgentReady,
    Notice,
    ToolCalled,
    ToolReturned,
    TurnEnded,
    TurnSaid,
    UsageReported,
)

# what it says when all goes well


def test_two_recorded_turns():
    items = replayed("turns")
    second = two_turns(items)

    assert of(items, AgentReady)[0].session == second.session


def test_the_anchor_is_codexs_own_id_of_the_turn():
    ids = [m["params"]["turn"]["id"] for m in messages("turns") if m.get("method") == "turn/completed"]

    assert ids == [ended.anchor for ended in of(replayed("turns"), TurnEnded)]


def test_tool_calls_and_their_results():
    items = replayed("tools")
    called, returned = of(items, ToolCalled), of(items, ToolReturned)

    assert [("mcp__madrox__add", '{"a": 40, "b": 2}'), ("mcp__madrox__shaped", '{"shape": "error"}')] == [
        (c.tool, c.input) for c in called
    ]
    assert [(called[0].call, True, "42"), (called[1].call, False, "the text")] == [
        (r.call, r.ok, r.output) for r in returned
    ]


@pytest.mark.parametrize(
    ("item", "tool", "given"),
    [
        ({"type": "commandExecution", "command": "ls", "cwd": "/w"}, "shell", {"command": "ls", "cwd": "/w"}),
        ({"type": "fileChange", "changes": []}, "edit", {"changes": []}),
        ({"type": "webSearch", "query": "why"}, "web_search", {"query": "why"}),
        ({"type": "imageView", "path": "/w/a.png"}, "view_image", {"path": "/w/a.png"}),
        ({"type": "dynamicToolCall", "tool": "x", "arguments": {"a": 1}}, "x", {"a": 1}),
        ({"type": "dynamicToolCall", "namespace": "n", "tool": "x", "arguments": {}}, "n__x", {}),
        ({"type": "collabAgentToolCall", "tool": "spawnAgent", "prompt": "p"}, "spawnAgent", {"prompt": "p"}),
    ],
)
def test_each_tool_has_a_name_and_its_input(item, tool, given):
    harness = mid_turn()

    assert [(tool, given)] == [(c.tool, json.loads(c.input)) for c in begin(harness, **item)]


def test_a_tool_that_tells_only_its_end_was_called_all_the_same():
    called, returned = complete(mid_turn(), type="webSearch", query="why")

    assert ("web_search", called.call, True) == (called.tool, returned.call, returned.ok)


@pytest.mark.parametrize(
    ("item", "ok", "output"),
    [
        ({"type": "commandExecution", "status": "completed", "aggregatedOutput": "out"}, True, "out"),
        ({"type": "commandExecution", "status": "failed", "aggregatedOutput": "err"}, False, "err"),
        ({"type": "commandExecution", "status": "declined", "aggregatedOutput": None}, False, "declined"),
        ({"type": "fileChange", "status": "declined", "changes": []}, False, "declined"),
        ({"type": "mcpToolCall", "status": "failed", "error": {"message": "gone"}}, False, "gone"),
        (
            {"type": "mcpToolCall", "status": "completed", "result": {"content": [{"type": "image"}]}},
            True,
            "[image]",
        ),
        (
            {"type": "dynamicToolCall", "status": "completed", "success": False, "contentItems": None},
            False,
            "",
        ),
    ],
)
def test_what_a_tool_gave_back(item, ok, output):
    more = {"command": "c", "cwd": "/w", "server": "s", "tool": "t", "arguments": {}}
    returned = complete(mid_turn(), **{**more, **item})[-1]

    assert (ok, output) == (returned.ok, returned.output)


def test_a_long_output_is_shortened_and_says_by_how_much():
    item = {"type": "commandExecution", "command": "c", "cwd": "/w", "status": "completed"}
    returned = complete(mid_turn(), **item, aggregatedOutput="x" * 20_001)[-1]

    assert 20_000 == returned.output.count("x")
    assert returned.output.endswith("\n… 1 more characters")


def test_a_turn_that_worked_and_says_nothing_is_no_empty_answer():
    harness = mid_turn()
    complete(harness, type="webSearch", query="why")

    assert "ok" == end(harness)[-1].outcome


def test_other_threads_and_turns_of_the_past_are_not_this_turns():
    harness = mid_turn()
    item = {"id": "i", "type": "agentMessage", "text": "not mine"}

    assert [] == read(
        harness, method="item/completed", params={"threadId": "other", "turnId": "U", "item": item}
    )
    assert [] == tell(harness, "item/completed", turnId="before", item=item)
    assert [] == tell(harness, "turn/completed", turn={"id": "before", "status": "completed"})
    assert "lead.t1" == harness.turn


def test_after_its_end_nothing_belongs_to_a_turn():
    harness = mid_turn()
    say(harness, "done")
    end(harness)

    assert "" == harness.turn
    assert [] == end(harness)
    assert [] == say(harness, "late")


# failures


def test_errors_retries_and_empty_answers():
    items = replayed("failing")
    outcomes = [(ended.outcome, ended.error.partition(", url")[0]) for ended in of(items, TurnEnded)]

    assert [
        ("failed", "the stub says 400"),
        ("failed", "exceeded retry limit, last status: 429 Too Many Requests"),
        ("failed", "unexpected status 401 Unauthorized: the stub says 401"),
        ("failed", "stream disconnected before completion: stream closed before response.completed"),
        ("failed", "the model gave an empty answer"),
        ("ok", ""),
    ] == outcomes
    assert "run `codex login`" in of(items, TurnEnded)[2].error
    retries = [notice.text for notice in of(items, Notice) if notice.text.startswith("Reconnecting")]
    assert "Reconnecting... 1/1: stream disconnected before completion: stream closed" in retries[-1]


def test_an_answer_that_is_begun_again_was_said_once():
    said = [said.text for said in of(replayed("failing"), TurnSaid) if said.turn == "lead.t4"]

    assert ["half an "] == said


@pytest.mark.parametrize(
    ("error", "told"),
    [
        (
            {"message": "broke", "codexErrorInfo": {"httpConnectionFailed": {"httpStatusCode": 503}}},
            "broke (HTTP 503)",
        ),
        (
            {"message": "said 503", "codexErrorInfo": {"httpConnectionFailed": {"httpStatusCode": 503}}},
            "said 503",
        ),
        (
            {"message": "cut", "codexErrorInfo": {"responseStreamDisconnected": {"httpStatusCode": None}}},
            "cut",
        ),
        ({"message": '{"error": {"message": "bare"}}', "codexErrorInfo": "badRequest"}, "bare"),
        ({"message": '{"odd": 1}', "codexErrorInfo": None}, '{"odd": 1}'),
    ],
)
def test_a_failed_turn_tells_its_error_and_its_status(error, told):
    harness = mid_turn()
    say(harness, "half")
    *_, ended = end(harness, "failed", error=error)

    assert ("failed", told, "") == (ended.outcome, ended.error, ended.text)


def test_a_prompt_that_is_refused_is_a_failed_turn():
    used, ended = refuse(sent(), 4, "thread not found")

    assert isinstance(used, UsageReported)
    assert ("lead.t1", "failed", "thread not found") == (ended.turn, ended.outcome, ended.error)


def test_each_retry_is_told():
    harness = mid_turn()
    error = {"message": "Reconnecting... 1/5", "additionalDetails": "cut"}

    for _ in range(2):
        (notice,) = in_turn(harness, "error", willRetry=True, error=error)
        assert "Reconnecting... 1/5: cut" == notice.text


def test_an_error_that_ends_the_turn_is_told_by_its_end_alone():
    assert [] == in_turn(mid_turn(), "error", willRetry=False, error={"message": "broke"})


def test_what_it_finds_odd_is_told_once():
    harness = greeted()

    assert ["beware"] == [notice.text for notice in tell(harness, "warning", message="beware")]
    assert [] == tell(harness, "warning", message="beware")


def test_a_server_of_the_persons_own_that_failed_is_noticed():
    (notice,) = tell(greeted(), "mcpServer/startupStatus/updated", name="other", status="failed")

    assert "MCP server other is failed: its tools are missing" == notice.text


@pytest.mark.parametrize(
    ("window", "text"),
    [
        (
            {"usedPercent": 42, "windowDurationMins": 300, "resetsAt": 0},
            "rate limit: 42 % used of 5 hours, resets 1970-01-01 00:00 UTC",
        ),
        ({"usedPercent": 42}, "rate limit: 42 % used"),
    ],
)
def test_a_rate_limit_is_noticed(window, text):
    (notice,) = read(
        greeted(), method="account/rateLimits/updated", params={"rateLimits": {"primary": window}}
    )

    assert text == notice.text
