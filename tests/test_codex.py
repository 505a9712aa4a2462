"""The codex codec, on lines that Codex 0.169.0 really wrote (tests/real/record.py codex)."""

import json
import math
from pathlib import Path

import pytest

from madrox_nb.errors import BadInput
from madrox_nb.events import (
    AgentReady,
    AgentStopped,
    Notice,
    TextDelta,
    ToolCalled,
    ToolReturned,
    TurnEnded,
    TurnSaid,
    UsageReported,
)
from madrox_nb.harness import Ask, Brief, Steered, Unreadable, Withdraw, Write
from madrox_nb.harness.codex import Codex
from madrox_nb.prices import priced

TRANSCRIPTS = Path(__file__).parent / "transcripts" / "codex-0.169.0"


def codec(**more):
    fields = {
        "agent": "lead",
        "command": ("/bin/codex",),
        "workspace": "/w",
        "files": "/f",
    }
    return Codex(Brief(**{**fields, **more}))


def greeted(**more):
    """Its thread T stands."""
    harness = codec(**more)
    list(harness.greet())
    answer(harness, 1, {"userAgent": "madrox_nb/0.169.0 (Debian)"})
    answer(harness, 2, {"thread": {"id": "T"}, "model": "gpt-x"})
    answer(harness, 3, {"account": None, "requiresOpenaiAuth": False})
    return harness


def sent(**more):
    """A prompt was written; request 4 begins turn U."""
    harness = greeted(**more)
    list(harness.prompt("lead.t1", "go"))
    return harness


def mid_turn(**more):
    harness = sent(**more)
    answer(harness, 4, {"turn": {"id": "U"}})
    tell(harness, "turn/started", turn={"id": "U"})
    return harness


def read(harness, **message):
    return list(harness.read(json.dumps(message)))


def answer(harness, request, result):
    return read(harness, id=request, result=result)


def refuse(harness, request, message):
    return read(harness, id=request, error={"code": -32600, "message": message})


def tell(harness, method, **params):
    return read(harness, method=method, params={"threadId": "T", **params})


def in_turn(harness, method, **params):
    return tell(harness, method, turnId="U", **params)


def begin(harness, **item):
    return in_turn(harness, "item/started", item={"id": "i", **item})


def complete(harness, **item):
    return in_turn(harness, "item/completed", item={"id": "i", **item})


def say(harness, text):
    return complete(harness, type="agentMessage", text=text)


def use(harness, turn="U", **counts):
    """The thread's usage so far, and that of its last request."""
    total, last = ({**NOTHING, **counts[of]} for of in ("total", "last"))
    return tell(harness, "thread/tokenUsage/updated", turnId=turn, tokenUsage={"total": total, "last": last})


NOTHING = {"inputTokens": 0, "cachedInputTokens": 0, "outputTokens": 0}


def end(harness, status="completed", **more):
    return tell(harness, "turn/completed", turn={"id": "U", "status": status, "error": None, **more})


def ask(harness, request=0, method="item/commandExecution/requestApproval", turn="U", **params):
    params = {"threadId": "T", "turnId": turn, "itemId": "i", **params}
    return read(harness, id=request, method=method, params=params)


def written(line):
    return json.loads(line)


def of(items, kind):
    return [item for item in items if isinstance(item, kind)]


def messages(story):
    return [json.loads(line) for line in (TRANSCRIPTS / f"{story}.jsonl").read_text().splitlines()]


def replayed(story, interrupts=(), answers=(), steers=None, **brief):
    """Items of a recorded story. A turn begins when the one before has ended.

    What the recording did is done again: `interrupts` names the turns that are interrupted at
    their first word, tool or question, `answers` are given to the questions in order, and
    `steers` is put into the first turn at its first word.
    """
    harness, items, turns, answers = codec(**brief), [], 0, list(answers)
    list(harness.greet())
    for line in messages(story):
        for item in harness.read(json.dumps(line)):
            items.append(item)
            if isinstance(item, Ask) and answers:
                list(harness.answer(item.request, *answers.pop(0)))
            elif isinstance(item, TextDelta | ToolCalled | Ask) and harness.turn in interrupts:
                list(harness.interrupt())
                interrupts = interrupts - {harness.turn}
            elif isinstance(item, TextDelta) and steers:
                list(harness.steer("lead.m1", steers))
                steers = None
            if isinstance(item, AgentReady | TurnEnded):
                turns += 1
                list(harness.prompt(f"lead.t{turns}", "…"))
    return items


def totals(story):
    """The thread's usage as codex summed it up, each time it told."""
    return [
        m["params"]["tokenUsage"]["total"]
        for m in messages(story)
        if m.get("method") == "thread/tokenUsage/updated"
    ]


def reported(items):
    """All that was reported, in codex's own way of counting."""
    used = of(items, UsageReported)
    given = sum(u.input_tokens + u.cache_read_tokens + u.cache_write_tokens for u in used)
    return given, sum(u.output_tokens for u in used)


# what to run


def test_the_token_is_in_neither_arguments_environment_nor_files():
    launch = codec(mcp_url="http://x/mcp", mcp_token="hush").launch()

    assert "hush" not in f"{launch.argv}{launch.env}{launch.files}"


def test_our_server_comes_with_the_thread_must_be_there_and_is_never_asked_about():
    server = thread_of(mcp_url="http://x/mcp", mcp_token="hush")["config"]["mcp_servers"]["madrox"]

    assert {"Authorization": "Bearer hush"} == server["http_headers"]
    assert (True, "approve", 86_400) == (
        server["required"],
        server["default_tools_approval_mode"],
        server["tool_timeout_sec"],
    )


def test_without_server_nothing_is_said_of_one():
    assert "mcp_servers" not in thread_of()["config"]


def test_the_workspace_is_not_trusted_so_that_nobodys_config_is_written():
    assert {"/w": {"trust_level": "untrusted"}} == thread_of(permissions="all")["config"]["projects"]


def test_what_leaves_the_machine_or_the_ledger_is_switched_off():
    argv = codec().launch().argv

    assert ("/bin/codex", "app-server") == argv[:2]
    features = "apps plugins remote_plugin goals multi_agent view_image instant_interrupt"
    assert {f"features.{name}=false" for name in features.split()} <= set(argv)
    assert {"agents.enabled=false", "analytics.enabled=false", 'web_search="disabled"'} <= set(argv)


def test_who_may_do_everything_may_look_at_pictures_and_the_web():
    argv = codec(permissions="all").launch().argv

    assert not {"features.view_image=false", 'web_search="disabled"'} & set(argv)


def test_model_instructions_effort_and_extra_arguments_are_passed_through():
    brief = {"model": "gpt-y", "instructions": "You are lead.", "options": {"reasoning_effort": "low"}}
    thread = thread_of(**brief)

    assert ("gpt-y", "You are lead.") == (thread["model"], thread["developerInstructions"])
    assert "low" == thread["config"]["model_reasoning_effort"]
    assert ("-c", "x=1") == codec(extra_args=("-c", "x=1")).launch().argv[-2:]


@pytest.mark.parametrize(
    ("permissions", "policy", "sandbox"),
    [
        ("deny", "untrusted", "read-only"),
        ("ask", "untrusted", "read-only"),
        ("edits", "untrusted", "read-only"),
        ("all", "never", "danger-full-access"),
    ],
)
def test_permissions_decide_what_it_asks_about(permissions, policy, sandbox):
    thread = thread_of(permissions=permissions)

    assert (policy, sandbox) == (thread["approvalPolicy"], thread["sandbox"])


@pytest.mark.parametrize(("permissions", "sandbox"), [("edits", "workspace-write"), ("all", "read-only")])
def test_a_sandbox_may_be_chosen_within_the_permissions(permissions, sandbox):
    thread = thread_of(permissions=permissions, options={"sandbox_mode": sandbox})

    assert sandbox == thread["sandbox"]


@pytest.mark.parametrize(
    ("permissions", "sandbox"),
    [
        ("deny", "workspace-write"),
        ("ask", "workspace-write"),
        ("edits", "danger-full-access"),
    ],
)
def test_a_sandbox_never_gives_more_than_the_permissions(permissions, sandbox):
    with pytest.raises(BadInput, match=f"{sandbox!r} gives more than permissions={permissions!r}"):
        codec(permissions=permissions, options={"sandbox_mode": sandbox})


def test_an_unknown_sandbox_is_named():
    with pytest.raises(BadInput, match="'wide' is not known"):
        codec(options={"sandbox_mode": "wide"})


def test_the_native_binary_lies_beside_npms_launcher():
    flat = "/n/@openai/codex-linux-x64/vendor/x86_64-unknown-linux-musl/bin/codex"
    nested = "/n/@openai/codex/node_modules/@openai/codex-darwin-arm64/vendor/aarch64-apple-darwin/bin/codex"

    assert {flat, nested} <= set(Codex.native("/n/@openai/codex/bin/codex.js"))
    assert () == Codex.native(flat)


# the handshake


def thread_of(**brief):
    """The parameters with which its thread is opened."""
    harness = codec(**brief)
    list(harness.greet())
    _, opened = answer(harness, 1, {"userAgent": "madrox_nb/0.169.0 (Debian)"})
    return written(opened.line)["params"]


def test_the_thread_stands_when_it_is_ready():
    (ready,) = of(replayed("turns"), AgentReady)
    thread = next(m["result"]["thread"]["id"] for m in messages("turns") if m.get("id") == 2)

    assert AgentReady(agent="lead", session=thread, model="stub-model", version="0.169.0") == ready


@pytest.mark.parametrize(
    ("brief", "method"),
    [
        ({}, "thread/start"),
        ({"resume": "S"}, "thread/resume"),
        ({"resume": "S", "fork": True}, "thread/fork"),
    ],
)
def test_a_thread_is_begun_gone_on_with_or_forked(brief, method):
    harness = codec(**brief)
    list(harness.greet())
    _, opened = answer(harness, 1, {"userAgent": "madrox_nb/0.169.0"})

    assert method == written(opened.line)["method"]
    assert brief.get("resume") == written(opened.line)["params"].get("threadId")


def opened():
    """Its thread stands, and request 3 asks who is logged in."""
    harness = codec()
    list(harness.greet())
    answer(harness, 1, {"userAgent": "madrox_nb/0.169.0"})
    answer(harness, 2, {"thread": {"id": "T"}, "model": "gpt-x"})
    return harness


def test_the_past_is_not_sent_along():
    assert thread_of(resume="S")["excludeTurns"] is True


def test_who_is_not_logged_in_is_told_how():
    (stopped,) = answer(opened(), 3, {"account": None, "requiresOpenaiAuth": True})

    assert stopped.failed
    assert "codex is not logged in: run `codex login` in a terminal, or use --harness rehearsal" == (
        stopped.reason
    )


@pytest.mark.parametrize(
    "account",
    [
        {"account": {"type": "apiKey"}, "requiresOpenaiAuth": True},
        {"account": None, "requiresOpenaiAuth": False},
    ],
)
def test_an_account_or_a_provider_that_needs_none_is_enough(account):
    assert ["T"] == [ready.session for ready in answer(opened(), 3, account)]


def test_a_codex_that_cannot_say_who_is_logged_in_is_taken_at_its_word():
    (ready,) = refuse(opened(), 3, "no such method")

    assert isinstance(ready, AgentReady)


def test_a_refused_handshake_stops_the_agent():
    harness = codec()
    list(harness.greet())

    assert [AgentStopped(agent="lead", reason="refused the handshake: too old", failed=True)] == refuse(
        harness, 1, "too old"
    )


NO_TOOLS = (
    "error creating thread: Fatal error: Failed to initialize session: required MCP servers failed to"
    " initialize: madrox: handshaking failed: Transport [a::b<c::d>] error: unexpected server response:"
    " HTTP 401: no token, when send initialize request: Transport [a::b<c::d>] error: unexpected server"
    " response: HTTP 401: no token, when send initialize request"
)


@pytest.mark.parametrize(
    ("brief", "said", "reason"),
    [
        (
            {},
            NO_TOOLS,
            "codex could not reach its madrox tools: unexpected server response: HTTP 401: no token",
        ),
        (
            {"resume": "S"},
            "no rollout found for thread id S",
            "codex can't go on with session S: no rollout found for thread id S",
        ),
        ({}, "Model provider `x` not found", "codex could not begin: Model provider `x` not found"),
    ],
)
def test_a_thread_that_cannot_be_opened_stops_the_agent_in_words(brief, said, reason):
    harness = codec(**brief)
    list(harness.greet())
    answer(harness, 1, {"userAgent": "madrox_nb/0.169.0"})

    stopped = AgentStopped(agent="lead", reason=reason, failed=True, evidence=said)
    assert [stopped] == refuse(harness, 2, said)


# what it says when all goes well


def test_two_recorded_turns():
    items = replayed("turns")
    first, second = of(items, TurnEnded)

    assert ("lead.t1", "ok", "echo: one | seen=[]", "") == (
        first.turn,
        first.outcome,
        first.text,
        first.error,
    )
    assert 'echo: two | seen=["one"]' == second.text
    assert [first.text, second.text] == [said.text for said in of(items, TurnSaid)]
    assert second.text == "".join(d.text for d in of(items, TextDelta) if d.turn == "lead.t2")
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


# a thread that goes on


def prompted(harness):
    return [written(line) for line in harness.prompt("lead.t9", "go")]


def test_a_thread_that_goes_on_is_told_its_instructions_anew_once():
    harness = greeted(resume="S", instructions="You are lead.")
    told, begun = prompted(harness)

    assert ("thread/inject_items", "turn/start") == (told["method"], begun["method"])
    (item,) = told["params"]["items"]
    assert "developer" == item["role"]
    assert item["content"][0]["text"].endswith("\n\nYou are lead.")
    assert ["turn/start"] == [request["method"] for request in prompted(harness)]


@pytest.mark.parametrize("brief", [{"resume": "S"}, {"instructions": "You are lead."}])
def test_without_a_past_or_instructions_there_is_nothing_to_tell_anew(brief):
    assert ["turn/start"] == [request["method"] for request in prompted(greeted(**brief))]


@pytest.mark.parametrize(("resume", "again"), [("S", 2), ("", 1)])
def test_instructions_that_a_compaction_swept_away_are_told_again(resume, again):
    harness = mid_turn(resume=resume, instructions="You are lead.")
    if resume:  # telling them took a request
        answer(harness, 5, {"turn": {"id": "U"}})
    complete(harness, type="contextCompaction")
    say(harness, "done")
    end(harness)

    assert again == len(prompted(harness))


# usage


def test_usage_is_told_before_the_turn_ends():
    kinds = [type(item) for item in replayed("failing") if isinstance(item, UsageReported | TurnEnded)]

    assert [UsageReported, TurnEnded] * 6 == kinds


@pytest.mark.parametrize("story", ["turns", "tools", "failing"])
def test_the_reports_add_up_to_what_codex_counted(story):
    total = totals(story)[-1]

    assert (total["inputTokens"], total["outputTokens"]) == reported(replayed(story))


def test_each_turn_reports_its_own_usage_with_the_cache_apart():
    one, two = of(replayed("turns"), UsageReported)
    first, both = totals("turns")

    assert both["outputTokens"] - first["outputTokens"] == two.output_tokens
    assert first["cachedInputTokens"] == one.cache_read_tokens
    assert first["cacheWriteInputTokens"] == one.cache_write_tokens
    assert first["inputTokens"] - one.cache_read_tokens - one.cache_write_tokens == one.input_tokens
    assert ("stub-model", "unknown") == (one.model, one.cost_source)
    assert math.isnan(one.cost_usd)


@pytest.mark.parametrize("story", ["resumed", "forked"])
def test_the_past_of_a_thread_that_goes_on_is_not_paid_twice(story):
    items = replayed(story, resume="S", fork=story == "forked")
    last = [
        m["params"]["tokenUsage"]["last"]
        for m in messages(story)
        if m.get("method") == "thread/tokenUsage/updated"
    ][-2:]

    assert 2 == len(of(items, UsageReported))
    assert (
        sum(usage["inputTokens"] for usage in last),
        sum(usage["outputTokens"] for usage in last),
    ) == reported(items)
    assert reported(items)[0] < totals(story)[-1]["inputTokens"]


def test_a_past_that_is_told_in_the_middle_of_the_first_turn_is_not_this_turns():
    harness = mid_turn(resume="S")
    use(harness, turn="long ago", total={"outputTokens": 90}, last={"outputTokens": 30})
    use(harness, total={"outputTokens": 97}, last={"outputTokens": 7})

    assert 7 == of(end(harness), UsageReported)[0].output_tokens


def test_a_first_turn_that_fails_before_the_past_was_told_pays_nothing_for_it():
    harness = mid_turn(resume="S")
    end(harness, "failed", error={"message": "broke"})
    list(harness.prompt("lead.t2", "again"))
    answer(harness, 5, {"turn": {"id": "U"}})
    use(harness, total={"outputTokens": 97}, last={"outputTokens": 7})

    assert 7 == of(end(harness), UsageReported)[0].output_tokens


def test_a_request_that_was_cut_is_in_no_figure_and_the_next_turn_pays_its_own():
    items = replayed("interrupted", interrupts={"lead.t2"})
    one, cut, two = of(items, UsageReported)

    assert 0 == cut.input_tokens + cut.output_tokens
    assert totals("interrupted")[0]["outputTokens"] == one.output_tokens
    assert totals("interrupted")[-1]["outputTokens"] - one.output_tokens == two.output_tokens


def test_usage_can_be_priced():
    harness = greeted()
    list(harness.prompt("lead.t1", "go"))
    harness.model = "gpt-4.1"
    answer(harness, 4, {"turn": {"id": "U"}})
    counts = {"inputTokens": 3_000_000, "cachedInputTokens": 2_000_000, "outputTokens": 0}
    use(harness, total=counts, last=counts)
    used = of(end(harness), UsageReported)[0]

    assert (1_000_000, 2_000_000) == (used.input_tokens, used.cache_read_tokens)
    assert "genai-prices" == priced(used, None, {}).cost_source


def test_another_model_that_answers_is_the_one_that_is_paid():
    harness = mid_turn()
    told = in_turn(harness, "model/rerouted", fromModel="gpt-x", toModel="gpt-z", reason="other")

    assert ["codex left model gpt-x for gpt-z"] == [notice.text for notice in told]
    assert "gpt-z" == of(end(harness), UsageReported)[0].model


def test_a_death_in_mid_turn_leaves_what_was_counted():
    harness = mid_turn()
    use(harness, total={"inputTokens": 12, "outputTokens": 5}, last={})
    (lost,) = harness.lost()

    assert ("lead.t1", 12, 5, "gpt-x") == (lost.turn, lost.input_tokens, lost.output_tokens, lost.model)


@pytest.mark.parametrize("harness", [greeted(), mid_turn(), mid_turn(resume="S")])
def test_a_death_without_a_count_leaves_nothing(harness):
    assert [] == list(harness.lost())


# interrupts


def test_an_interrupted_turn_keeps_what_was_said():
    items = replayed("interrupted", interrupts={"lead.t2"})
    whole, cut, after = of(items, TurnEnded)

    assert ["ok", "interrupted", "ok"] == [whole.outcome, cut.outcome, after.outcome]
    assert cut.text.startswith("word0 ")
    assert cut.text in [said.text for said in of(items, TurnSaid)]
    assert 'echo: two | seen=["one", "SLOW 200 0.05"]' == after.text


def test_a_tool_left_open_by_an_interrupt_is_closed_before_the_turn():
    items = replayed("interrupted_tool", interrupts={"lead.t1"})
    (called,), (returned,) = of(items, ToolCalled), of(items, ToolReturned)

    assert (called.call, False) == (returned.call, returned.ok)
    assert "the turn was interrupted before it returned" == returned.output
    assert items.index(returned) < items.index(of(items, TurnEnded)[0])


COMMAND = {"type": "commandExecution", "command": "sleep 600", "cwd": "/w"}


def test_a_command_that_an_interrupt_left_running_is_ended_and_no_other():
    harness = mid_turn()
    begin(harness, **COMMAND)
    (listed,) = of(end(harness, "interrupted"), Write)
    running = [{"itemId": "i", "processId": "77"}, {"itemId": "older", "processId": "8"}]
    (ended,) = answer(harness, written(listed.line)["id"], {"data": running})

    assert ("thread/backgroundTerminals/list", {"threadId": "T"}) == (
        written(listed.line)["method"],
        written(listed.line)["params"],
    )
    assert ("thread/backgroundTerminals/terminate", {"threadId": "T", "processId": "77"}) == (
        written(ended.line)["method"],
        written(ended.line)["params"],
    )


@pytest.mark.parametrize(
    ("status", "item"), [("completed", COMMAND), ("interrupted", {"type": "webSearch", "query": "why"})]
)
def test_nothing_is_ended_of_a_turn_that_left_no_command_or_was_not_interrupted(status, item):
    harness = mid_turn()
    begin(harness, **item)

    assert [] == of(end(harness, status), Write)


def test_a_command_that_outlives_its_turn_is_closed_as_running():
    harness = mid_turn()
    begin(harness, **COMMAND)
    (returned,) = of(end(harness), ToolReturned)

    assert (True, "it still ran when the turn ended") == (returned.ok, returned.output)


def test_an_interrupt_waits_until_the_turn_is_picked_up():
    harness = sent()

    assert [] == list(harness.interrupt())
    assert [] == answer(harness, 4, {"turn": {"id": "U"}})
    (item,) = tell(harness, "turn/started", turn={"id": "U"})
    assert ("turn/interrupt", {"threadId": "T", "turnId": "U"}) == (
        written(item.line)["method"],
        written(item.line)["params"],
    )


def test_a_turn_that_begins_before_its_id_is_told_is_picked_up_all_the_same():
    harness = sent()
    list(harness.interrupt())
    tell(harness, "turn/started", turn={"id": "U"})
    (item,) = answer(harness, 4, {"turn": {"id": "U"}})

    assert "U" == written(item.line)["params"]["turnId"]


def test_a_turn_that_nobody_sent_is_not_ours():
    harness = greeted()

    assert [] == tell(harness, "turn/started", turn={"id": "V"})
    list(harness.prompt("lead.t1", "go"))
    list(harness.interrupt())
    assert [] == answer(harness, 4, {"turn": {"id": "U"}})


def test_an_interrupt_in_the_middle_is_written_at_once():
    (line,) = mid_turn().interrupt()

    assert "turn/interrupt" == written(line)["method"]


def test_between_turns_there_is_nothing_to_interrupt():
    assert [] == list(greeted().interrupt())


def test_an_interrupt_does_not_outlive_its_turn():
    harness = sent()
    list(harness.interrupt())
    refuse(harness, 4, "no")
    list(harness.prompt("lead.t2", "again"))
    answer(harness, 5, {"turn": {"id": "V"}})

    assert [] == tell(harness, "turn/started", turn={"id": "V"})


def test_an_interrupt_that_comes_too_late_means_nothing():
    harness = mid_turn()
    (line,) = harness.interrupt()
    say(harness, "just made it")
    end(harness)

    assert [] == refuse(harness, written(line)["id"], "no active turn to interrupt")


# steering


def test_a_recorded_text_joined_the_turn():
    items = replayed("steered", steers="also this")
    (steered,), (ended,) = of(items, Steered), of(items, TurnEnded)

    assert Steered(steer="lead.m1", joined=True) == steered
    assert items.index(steered) < items.index(ended)
    assert 'echo: also this | seen=["SLOW 20 0.05"]' == ended.text
    before, after = of(items, TurnSaid)
    assert before.text.endswith("word19 ")
    assert ended.text == after.text


def test_words_that_a_steer_cut_are_said_before_what_follows():
    harness = mid_turn()
    begin(harness, type="agentMessage", text="")
    in_turn(harness, "item/agentMessage/delta", itemId="i", delta="half")

    assert ["half"] == [said.text for said in begin(harness, type="userMessage", content=[])]
    assert ["whole"] == [said.text for said in say(harness, "whole")]
    *rest, ended = end(harness)
    assert "whole" == ended.text
    assert [] == of(rest, TurnSaid)


def test_a_steer_names_the_turn_that_it_means():
    (line,) = mid_turn().steer("m1", "also")

    assert {
        "threadId": "T",
        "expectedTurnId": "U",
        "input": [{"type": "text", "text": "also"}],
    } == written(line)["params"]


def test_a_steer_waits_until_the_turn_is_picked_up():
    harness = sent()

    assert [] == list(harness.steer("m1", "also"))
    answer(harness, 4, {"turn": {"id": "U"}})
    (item,) = tell(harness, "turn/started", turn={"id": "U"})
    assert "turn/steer" == written(item.line)["method"]
    assert [Steered(steer="m1", joined=True)] == answer(harness, written(item.line)["id"], {"turnId": "U"})


def test_a_steer_that_is_refused_did_not_join():
    harness = mid_turn()
    (line,) = harness.steer("m1", "also")

    assert [Steered(steer="m1", joined=False)] == refuse(harness, written(line)["id"], "not steerable")


def test_steers_that_the_turn_did_not_live_to_see_are_told_before_its_end():
    harness = mid_turn()
    (line,) = harness.steer("m1", "also")
    *rest, ended = end(harness, "interrupted")

    assert [Steered(steer="m1", joined=False)] == of(rest, Steered)
    assert isinstance(ended, TurnEnded)
    assert [] == answer(harness, written(line)["id"], {"turnId": "U"})


def test_a_steer_that_never_left_did_not_join():
    harness = sent()
    list(harness.steer("m1", "also"))

    assert [Steered(steer="m1", joined=False)] == of(refuse(harness, 4, "no"), Steered)


def test_a_steer_without_a_turn_is_refused_by_codex_and_told():
    harness = greeted()
    (line,) = harness.steer("m1", "also")

    assert [Steered(steer="m1", joined=False)] == refuse(harness, written(line)["id"], "no active turn")


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


# questions


ANSWERS = (("deny",), ("allow",), ("allow",))


def test_recorded_questions_denied_allowed_and_withdrawn():
    items = replayed("asked", interrupts={"lead.t4"}, answers=ANSWERS)
    touch, listing, patch, last = of(items, Ask)

    assert ("shell", "/bin/bash -lc 'touch made'", None) == (
        touch.tool,
        touch.input["command"],
        touch.touches,
    )
    assert (("/home/lead",), True) == (listing.touches, listing.reads)
    assert ("edit", ("/home/lead/new.txt",), False) == (patch.tool, patch.touches, patch.reads)
    assert [Withdraw(request=last.request)] == of(items, Withdraw)
    assert [False, True, True, False] == [returned.ok for returned in of(items, ToolReturned)]
    assert ["ok", "ok", "ok", "interrupted"] == [ended.outcome for ended in of(items, TurnEnded)]


def test_the_reason_of_a_refusal_reaches_the_model_as_words():
    (ended,) = of(replayed("refused", answers=[("deny", "not in this house")]), TurnEnded)

    assert ended.text.startswith("echo: Your request was refused: not in this house")


def test_yes_and_no_to_a_command():
    harness = mid_turn()
    ask(harness, 7, command="make", cwd="/w")
    ask(harness, "x", command="make", cwd="/w")
    (yes,) = harness.answer("7", "allow", "why not")
    why, no = harness.answer("x", "deny", "no make here")

    assert {"id": 7, "result": {"decision": "accept"}} == written(yes)
    assert {"id": "x", "result": {"decision": "decline"}} == written(no)
    assert ("turn/steer", "Your request was refused: no make here") == (
        written(why)["method"],
        written(why)["params"]["input"][0]["text"],
    )


def test_a_refusal_that_could_not_be_explained_is_nobodys_steer():
    harness = mid_turn()
    ask(harness, 7, command="make", cwd="/w")
    why, _ = harness.answer("7", "deny", "no make here")

    assert [] == refuse(harness, written(why)["id"], "no active turn")
    assert [] == of(end(harness), Steered)


def test_a_tool_of_another_server_is_asked_about_by_its_name():
    harness = mid_turn()
    meta = {"codex_approval_kind": "mcp_tool_call", "tool_name": "add", "tool_params": {"a": 1}}
    (asked,) = ask(harness, 7, "mcpServer/elicitation/request", serverName="other", mode="form", _meta=meta)
    (yes,) = harness.answer("7", "allow")

    assert ("mcp__other__add", {"a": 1}, None) == (asked.tool, asked.input, asked.touches)
    assert {"id": 7, "result": {"action": "accept", "content": {}}} == written(yes)


def test_no_to_a_tool_of_another_server():
    harness = mid_turn()
    meta = {"codex_approval_kind": "mcp_tool_call", "tool_name": "add"}
    ask(harness, 7, "mcpServer/elicitation/request", serverName="other", mode="form", _meta=meta)

    assert [{"id": 7, "result": {"action": "decline"}}] == [written(w) for w in harness.answer("7", "deny")]


CHANGES = [
    {"path": "/w/a", "kind": {"type": "add"}, "diff": "+x"},
    {"path": "/w/b", "kind": {"type": "update", "move_path": "/etc/b"}, "diff": "@@"},
]


def test_an_edit_touches_all_its_paths_and_where_they_go():
    harness = mid_turn()
    begin(harness, type="fileChange", changes=CHANGES)
    (asked,) = ask(harness, 7, "item/fileChange/requestApproval")

    assert ("/w/a", "/w/b", "/etc/b") == asked.touches
    assert CHANGES == asked.input["changes"]


@pytest.mark.parametrize(("item", "root"), [("another", None), ("i", "/w")])
def test_an_edit_that_is_not_known_or_wants_more_touches_more_than_paths(item, root):
    harness = mid_turn()
    begin(harness, type="fileChange", changes=CHANGES)
    (asked,) = ask(harness, 7, "item/fileChange/requestApproval", itemId=item, grantRoot=root)

    assert asked.touches is None


@pytest.mark.parametrize(
    "more",
    [
        {"networkApprovalContext": {"host": "x", "protocol": "https"}},
        {"additionalPermissions": {"network": {}}},
        {"kind": "writeStdin"},
    ],
)
def test_a_command_that_asks_for_more_than_to_run_is_more_than_reading(more):
    (plain,) = ask(mid_turn(), command="cat a", cwd="/w")
    (asked,) = ask(mid_turn(), command="cat a", cwd="/w", **more)

    assert (("/w/a",), True) == (plain.touches, plain.reads)
    assert (None, False) == (asked.touches, asked.reads)


def test_a_question_withdrawn_by_codex_is_not_answered():
    harness = mid_turn()
    ask(harness, 7, command="make", cwd="/w")

    assert [Withdraw(request="7")] == tell(harness, "serverRequest/resolved", requestId=7)
    assert [] == list(harness.answer("7", "allow"))


def test_a_question_that_we_answered_is_not_withdrawn():
    harness = mid_turn()
    ask(harness, 7, command="make", cwd="/w")
    list(harness.answer("7", "allow"))

    assert [] == tell(harness, "serverRequest/resolved", requestId=7)


@pytest.mark.parametrize(
    ("harness", "turn"), [(greeted(), "U"), (mid_turn(), "before")], ids=["no turn", "another turn"]
)
def test_a_question_outside_the_turn_is_denied_without_asking_anyone(harness, turn):
    (item,) = ask(harness, 7, command="make", cwd="/w", turn=turn)

    assert {"id": 7, "result": {"decision": "decline"}} == written(item.line)


@pytest.mark.parametrize(
    "method",
    [
        "item/tool/requestUserInput",
        "item/permissions/requestApproval",
        "item/tool/call",
        "account/chatgptAuthTokens/refresh",
        "mcpServer/elicitation/request",
        "of/tomorrow",
    ],
)
def test_a_request_that_is_not_for_us_is_refused_so_that_nobody_waits(method):
    (item,) = ask(mid_turn(), 7, method, serverName="s", message="your name?")

    assert (7, -32601) == (written(item.line)["id"], written(item.line)["error"]["code"])


@pytest.mark.parametrize(
    "message",
    [
        {"id": 7, "method": "item/commandExecution/requestApproval", "params": {"command": 3, "cwd": []}},
        {"id": 7, "method": "item/fileChange/requestApproval", "params": {"itemId": []}},
        {"id": 7, "method": "mcpServer/elicitation/request", "params": {"_meta": "odd"}},
        {"id": 7, "method": "time/of/day"},
    ],
)
def test_a_request_in_an_unknown_shape_is_refused_too(message):
    (item,) = read(mid_turn(), **message)

    assert (7, -32601) == (written(item.line)["id"], written(item.line)["error"]["code"])


# lines of all kinds


@pytest.mark.parametrize("text", ["", "nul \0", "line\u2028separator\nand\r\nmore", "😀", "\ud83d", '"\\'])
def test_a_prompt_is_one_line_and_holds_the_text_as_given(text):
    (line,) = list(greeted().prompt("lead.t1", text))

    assert [line] == line.splitlines(keepends=True)
    assert [{"type": "text", "text": text}] == written(line)["params"]["input"]


def test_half_a_surrogate_pair_does_not_reach_the_ledger():
    assert ["cut ?"] == [item.text for item in say(mid_turn(), "cut \ud83d")]


def test_a_whole_surrogate_pair_stays_whole():
    assert ["😀"] == [item.text for item in say(mid_turn(), "😀")]


@pytest.mark.parametrize(
    "line",
    ["", "Segmentation fault", "[1]", "3", '{"no": "method"}', '{"method": "x"', "[" * 100_000],
)
def test_what_is_not_of_the_protocol_is_unreadable(line):
    with pytest.raises(Unreadable):
        mid_turn().read(line)


@pytest.mark.parametrize(
    "message",
    [
        {"method": "turn/completed", "params": {"threadId": "T"}},
        {"method": "turn/completed", "params": {"threadId": "T", "turn": {"id": "U"}}},
        {"method": "item/started", "params": {"threadId": "T", "turnId": "U"}},
        {"method": "thread/tokenUsage/updated", "params": {"threadId": "T", "turnId": "U", "tokenUsage": {}}},
        {"method": "warning"},
        {"id": 4, "result": None},
        {"id": 4, "error": "no"},
        {"id": [], "result": {}},
    ],
)
def test_a_known_message_in_an_unknown_shape_is_unreadable(message):
    harness = sent() if "id" in message else mid_turn()

    with pytest.raises(Unreadable, match="in a shape of its own"):
        read(harness, **message)


@pytest.mark.parametrize(
    "message",
    [
        {"method": "something/new", "params": {"of": "tomorrow"}},
        {"method": "item/started", "params": {"threadId": "T", "turnId": "U", "item": {"type": "reasoning"}}},
        {"method": "item/reasoning/textDelta", "params": {"threadId": "T", "turnId": "U", "delta": "hm"}},
        {"method": "mcpServer/startupStatus/updated", "params": {"name": "x", "status": "ready"}},
        {"method": "account/rateLimits/updated", "params": {"rateLimits": {"primary": None}}},
        {"method": "serverRequest/resolved", "params": {"threadId": "T", "requestId": 99}},
        {"id": 99, "result": {}},
        {"id": 99, "error": {"code": 1, "message": "whose?"}},
    ],
)
def test_what_we_have_no_use_for_means_nothing(message):
    assert [] == read(mid_turn(), **message)


def test_every_request_has_an_id_of_its_own():
    harness = mid_turn()
    lines = [*harness.interrupt(), *harness.interrupt(), *harness.steer("m1", "x")]

    assert [5, 6, 7] == [written(line)["id"] for line in lines]
    assert isinstance(answer(harness, 7, {"turnId": "U"})[0], Steered)
    assert Write not in map(type, end(harness))
