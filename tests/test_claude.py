"""The claude codec, on lines that Claude Code 2.1.330 really wrote (tests/real/record.py)."""

import json
import math
from pathlib import Path

import pytest
from recorded import of, two_turns

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
from madrox_nb.harness import Ask, Brief, Unreadable, Withdraw, Write
from madrox_nb.harness.claude import Claude

TRANSCRIPTS = Path(__file__).parent / "transcripts" / "claude-2.1.330"


def codec(**more):
    fields = {
        "agent": "lead",
        "command": ("/bin/claude",),
        "workspace": "/w",
        "files": "/f",
        "session": "s-1",
    }
    return Claude(Brief(**{**fields, **more}))


def greeted(**more):
    harness = codec(**more)
    list(harness.greet())
    return harness


def mid_turn(**more):
    """In a turn that claude has picked up."""
    harness = greeted(**more)
    list(harness.prompt("lead.t1", "go"))
    read(harness, type="system", subtype="init", model="opus", session_id="s-1")
    return harness


def read(harness, **message):
    return list(harness.read(json.dumps(message)))


def messages(story):
    return (TRANSCRIPTS / f"{story}.jsonl").read_text().splitlines()


def replayed(story, interrupts=()):
    """Items of a recorded story. A turn begins when the one before has ended.

    `interrupts` names the turns that are interrupted at their first word or question.
    """
    first = json.loads(messages(story)[0])["response"]["response"]
    assert "2.1.330" == first["claude_code_version"]
    harness, items, turns = greeted(session=session_of(story)), [], 0
    for line in messages(story):
        for item in harness.read(line):
            items.append(item)
            if isinstance(item, TextDelta | Ask) and harness.turn in interrupts:
                list(harness.interrupt())
            if isinstance(item, AgentReady | TurnEnded):
                turns += 1
                list(harness.prompt(f"lead.t{turns}", "…"))
    return items


def session_of(story):
    return next(m["session_id"] for m in map(json.loads, messages(story)) if m.get("subtype") == "init")


def results(story):
    return [m for m in map(json.loads, messages(story)) if m["type"] == "result"]


# what to run


def test_the_token_goes_into_a_file_and_never_into_argv_or_environment():
    launch = codec(mcp_url="http://x/mcp", mcp_token="hush").launch()

    server = json.loads(launch.files["mcp.json"])["mcpServers"]["madrox"]
    assert {"Authorization": "Bearer hush"} == server["headers"]
    assert server["alwaysLoad"] is True
    assert "--mcp-config=/f/mcp.json" in launch.argv
    assert "hush" not in f"{launch.argv}{launch.env}"


def test_our_own_tools_are_allowed_without_asking():
    assert "--allowedTools=mcp__madrox" in codec(mcp_url="http://x/mcp").launch().argv


def test_instructions_are_given_in_a_file_of_their_own():
    launch = codec(instructions="You are lead.").launch()

    assert {"instructions.md": "You are lead."} == launch.files
    assert "--append-system-prompt-file=/f/instructions.md" in launch.argv


def test_without_server_and_instructions_no_file_is_written():
    launch = codec().launch()

    assert {} == launch.files
    assert "mcp" not in " ".join(launch.argv).replace("--strict-mcp-config", "")


def test_model_session_and_extra_arguments_are_passed_through():
    argv = codec(model="-odd", session="s-9", extra_args=("--effort", "low")).launch().argv

    assert ("/bin/claude", "-p") == argv[:2]
    assert {"--model=-odd", "--session-id=s-9"} <= set(argv)
    assert ("--effort", "low") == argv[-2:]


@pytest.mark.parametrize(
    ("environ", "home"), [({"HOME": "/h"}, "/h/.claude"), ({"HOME": "/h", "CLAUDE_CONFIG_DIR": "/c"}, "/c")]
)
def test_a_fork_in_another_directory_is_given_a_copy_of_the_session(environ, home):
    forked = codec(resume="s-0", fork=True, fork_of="/w_1/a", environ=environ).launch()

    assert {f"{home}/projects/-w/s-0.jsonl": f"{home}/projects/-w-1-a/s-0.jsonl"} == forked.copies
    assert "--fork-session" in forked.argv

    same = codec(resume="s-0", environ=environ).launch()

    assert {} == same.copies
    assert "--fork-session" not in same.argv


def test_settings_of_the_person_and_the_project_do_not_reach_an_agent():
    argv = codec().launch().argv

    assert "" == argv[argv.index("--setting-sources") + 1]
    assert "--strict-mcp-config" in argv


# what it says when all goes well


def test_two_recorded_turns():
    items = replayed("turns")
    second = two_turns(items)

    assert [AgentReady(agent="lead", session=session_of("turns"), version="2.1.330")] == of(items, AgentReady)
    assert session_of("turns") == second.session
    assert [] == of(items, Notice)


def test_the_anchor_is_the_last_assistant_line_of_the_turn():
    spoken = [m["uuid"] for m in map(json.loads, messages("turns")) if m["type"] == "assistant"]

    assert spoken == [ended.anchor for ended in of(replayed("turns"), TurnEnded)]


def test_usage_is_told_before_the_turn_ends():
    kinds = [type(item) for item in replayed("turns") if isinstance(item, UsageReported | TurnEnded)]

    assert [UsageReported, TurnEnded] * 2 == kinds


def test_cumulative_figures_are_reported_as_what_the_turn_used():
    one, two = of(replayed("turns"), UsageReported)
    before, after = (result["total_cost_usd"] for result in results("turns"))

    assert (before, after) == (one.cost_usd, one.cost_usd + two.cost_usd)
    assert {"cli"} == {one.cost_source, two.cost_source}
    assert results("turns")[1]["usage"]["input_tokens"] == two.input_tokens
    assert results("turns")[1]["usage"]["output_tokens"] == two.output_tokens
    assert results("turns")[1]["usage"]["cache_read_input_tokens"] == two.cache_read_tokens
    assert results("turns")[1]["usage"]["cache_creation_input_tokens"] == two.cache_write_tokens


def test_tool_calls_and_their_results():
    items = replayed("tools")
    called, returned = of(items, ToolCalled), of(items, ToolReturned)

    assert [("mcp__madrox__add", '{"a": 40, "b": 2}'), ("mcp__madrox__shaped", '{"shape": "error"}')] == [
        (c.tool, c.input) for c in called
    ]
    assert [(called[0].call, True, "42"), (called[1].call, False, "the text")] == [
        (r.call, r.ok, r.output) for r in returned
    ]
    assert ["result: the text"] == [ended.text for ended in of(items, TurnEnded)]


def test_a_sub_agent_works_in_the_turn_but_does_not_speak_in_it():
    items = replayed("delegating")
    (ended,) = of(items, TurnEnded)

    assert ["Task", "Bash"] == [called.tool for called in of(items, ToolCalled)]
    assert ["Bash", "Task"] == [
        next(c.tool for c in of(items, ToolCalled) if c.call == r.call) for r in of(items, ToolReturned)
    ]
    assert [ended.text] == [said.text for said in of(items, TurnSaid)]
    own = [m for m in map(json.loads, messages("delegating")) if m["type"] == "assistant"]
    assert [m["uuid"] for m in own if not m["parent_tool_use_id"]][-1] == ended.anchor


def test_what_a_sub_agent_uses_is_counted_though_the_result_leaves_it_out():
    (used,) = of(replayed("delegating"), UsageReported)
    (result,) = results("delegating")

    assert result["usage"]["input_tokens"] < used.input_tokens
    assert sum(of_model["inputTokens"] for of_model in result["modelUsage"].values()) == used.input_tokens
    assert result["total_cost_usd"] == used.cost_usd


def test_words_of_a_sub_agent_are_not_the_agents():
    harness = mid_turn()

    assert ["mine"] == [said.text for said in speak(harness, "u1", "mine")]
    assert [] == speak(harness, "u2", "its own", parent_tool_use_id="t")
    assert "u1" == end(harness, result="mine")[-1].anchor


def test_a_turn_that_worked_and_says_nothing_is_no_empty_answer():
    harness = mid_turn()
    call = {"type": "tool_use", "id": "t", "name": "Bash", "input": {}}
    read(harness, type="assistant", uuid="u", message={**SPOKEN, "content": [call]})

    assert "ok" == end(harness, result="")[-1].outcome


def test_after_its_end_no_turn_is_under_way():
    harness = mid_turn()
    end(harness, result="done")

    assert "" == harness.turn
    with pytest.raises(Unreadable, match="between turns"):
        end(harness, result="done twice")


def test_a_session_that_claude_chose_is_taken_over():
    harness = greeted(session="")
    list(harness.prompt("lead.t1", "go"))

    assert [] == read(harness, type="system", subtype="init", model="opus", session_id="its-own")
    assert "its-own" == end(harness, result="x", session_id="its-own")[-1].session


# when it does not


def test_an_interrupted_turn():
    items = replayed("interrupted", interrupts={"lead.t2"})
    whole, cut, after = of(items, TurnEnded)

    assert ["ok", "interrupted", "ok"] == [whole.outcome, cut.outcome, after.outcome]
    assert cut.text.startswith("word0")
    assert "" == cut.error
    assert 'echo: two | seen=["one", "SLOW 200 0.05"]' == after.text


def test_the_same_end_without_our_interrupt_is_a_failure():
    _, cut, _ = of(replayed("interrupted"), TurnEnded)

    assert "failed" == cut.outcome
    assert "ede_diagnostic" in cut.error


def test_an_interrupted_request_that_the_cli_counted_is_counted_once():
    items = replayed("interrupted", interrupts={"lead.t2"})

    assert 3 == len(of(items, UsageReported))
    total = results("interrupted")[-1]["total_cost_usd"]
    assert pytest.approx(total) == sum(used.cost_usd for used in of(items, UsageReported))


def test_an_interrupted_request_that_the_cli_left_out_is_counted_from_its_stream():
    harness = mid_turn()
    list(harness.interrupt())
    start_message(harness, "m1", input_tokens=7, cache_read_input_tokens=100, output_tokens=1)
    used, ended = end(
        harness, subtype="error_during_execution", is_error=True, modelUsage={}, total_cost_usd=0
    )

    assert (7, 100, 1) == (used.input_tokens, used.cache_read_tokens, used.output_tokens)
    assert math.isnan(used.cost_usd)
    assert ("unknown", "claude-x") == (used.cost_source, used.model)
    assert "interrupted" == ended.outcome


def test_a_shorter_guess_of_a_cut_answers_length_is_believed():
    harness = mid_turn()
    list(harness.interrupt())
    start_message(harness, "m1", input_tokens=7, output_tokens=9)
    counted = {"claude-x": {"inputTokens": 7, "outputTokens": 2, "costUSD": 0.5}}
    used, _ = end(harness, subtype="error_during_execution", is_error=True, modelUsage=counted)

    assert (7, 2, 0.5, "cli") == (used.input_tokens, used.output_tokens, used.cost_usd, used.cost_source)


def test_each_model_has_its_own_report():
    big = {"inputTokens": 1, "costUSD": 0.5}
    small = {"inputTokens": 2, "costUSD": 0.25}
    *reports, _ = end(mid_turn(), result="done", modelUsage={"big": big, "small": small})

    assert [("big", 1, 0.5), ("small", 2, 0.25)] == [(r.model, r.input_tokens, r.cost_usd) for r in reports]


def test_an_interrupt_before_the_turn_is_picked_up_waits_for_it():
    harness = greeted()
    list(harness.prompt("lead.t1", "go"))

    assert [] == list(harness.interrupt())
    (item,) = read(harness, type="system", subtype="init", model="opus", session_id="s-1")
    assert isinstance(item, Write)
    assert {"subtype": "interrupt"} == json.loads(item.line)["request"]


def test_an_interrupt_in_the_middle_is_written_at_once():
    (line,) = mid_turn().interrupt()

    assert {"subtype": "interrupt"} == json.loads(line)["request"]


def test_between_turns_there_is_nothing_to_interrupt():
    assert [] == list(greeted().interrupt())


def test_an_interrupt_does_not_outlive_its_turn():
    harness = mid_turn()
    list(harness.interrupt())
    end(harness, result="just made it")
    list(harness.prompt("lead.t2", "again"))
    read(harness, type="system", subtype="init", model="opus", session_id="s-1")

    *_, ended = end(harness, subtype="error_during_execution", is_error=True, errors=["broke"])
    assert ("failed", "broke") == (ended.outcome, ended.error)


def test_every_request_has_an_id_of_its_own():
    harness = mid_turn()
    lines = [*codec().greet(), *harness.interrupt(), *harness.interrupt()]

    assert 3 == len({json.loads(line)["request_id"] for line in lines})


def test_errors_retries_and_empty_answers():
    items = replayed("failing")

    assert [
        ("failed", "API Error: 400 the stub says 400"),
        ("ok", ""),
        ("failed", "the model gave an empty answer"),
        ("ok", ""),
    ] == [(ended.outcome, ended.error) for ended in of(items, TurnEnded)]
    (notice,) = of(items, Notice)
    assert notice.text.startswith("the API answered 529 (overloaded); trying again in 0.")
    assert notice.text.endswith("(1 of 1)")


def test_what_the_cli_says_in_the_models_place_is_not_said_by_the_agent():
    items = replayed("failing")

    assert ["lead.t2", "lead.t4"] == [said.turn for said in of(items, TurnSaid)]
    assert "" == of(items, TurnEnded)[0].anchor


def test_a_turn_that_used_nothing_says_so():
    used = of(replayed("failing"), UsageReported)[0]

    assert (0, 0, 0.0, "cli") == (used.input_tokens, used.output_tokens, used.cost_usd, used.cost_source)


@pytest.mark.parametrize("errors", [["Reached maximum number of turns (1)"], []])
def test_a_failure_without_a_result_tells_its_errors_or_its_kind(errors):
    *_, ended = end(mid_turn(), subtype="error_max_turns", is_error=True, errors=errors)

    assert ("failed", (errors or ["error_max_turns"])[0]) == (ended.outcome, ended.error)


def test_the_status_of_an_api_error_is_told():
    *_, ended = end(mid_turn(), is_error=True, result="Not today", api_error_status=529)

    assert "Not today (HTTP 529)" == ended.error


def test_clear_begins_a_new_session_and_counts_from_zero():
    items = replayed("clearing")
    one, cleared, two = of(items, TurnEnded)

    assert ("ok", "") == (cleared.outcome, cleared.text)
    assert one.session != two.session
    assert [f"claude left session {one.session} for {two.session}"] == [n.text for n in of(items, Notice)]
    assert [results("clearing")[i]["total_cost_usd"] for i in range(3)] == [
        used.cost_usd for used in of(items, UsageReported)
    ]


def test_a_server_that_did_not_connect_is_noticed():
    harness = mid_turn()
    servers = [{"name": "madrox", "status": "failed"}, {"name": "other", "status": "connected"}]
    init = {"subtype": "init", "model": "opus", "session_id": "s-1", "mcp_servers": servers}

    assert [Notice(agent="lead", text="MCP server madrox is failed: its tools are missing")] == read(
        harness, type="system", **init
    )


def test_a_rate_limit_is_noticed():
    info = {"status": "allowed_warning", "resetsAt": 0, "rateLimitType": "five_hour"}

    assert [
        Notice(agent="lead", text="rate limit five_hour: allowed_warning, resets 1970-01-01 00:00 UTC")
    ] == read(greeted(), type="rate_limit_event", rate_limit_info=info)


def test_a_refused_handshake_stops_the_agent():
    harness = codec()
    (line,) = harness.greet()
    response = {"subtype": "error", "request_id": json.loads(line)["request_id"], "error": "too old"}

    assert [AgentStopped(agent="lead", reason="refused the handshake: too old", failed=True)] == read(
        harness, type="control_response", response=response
    )


def test_answers_to_other_requests_mean_nothing():
    response = {"subtype": "success", "request_id": "whose?", "response": {"still_queued": []}}

    assert [] == read(greeted(), type="control_response", response=response)


# deaths


def test_a_death_in_mid_turn_leaves_what_the_streams_told():
    harness = mid_turn()
    start_message(harness, "m1", input_tokens=7, cache_creation_input_tokens=5, output_tokens=1)
    stream(harness, type="message_delta", usage={"output_tokens": 40})
    start_message(harness, "m2", input_tokens=3, cache_read_input_tokens=100, output_tokens=1)

    (lost,) = harness.lost()
    assert ("lead.t1", 10, 41, 100, 5) == (
        lost.turn,
        lost.input_tokens,
        lost.output_tokens,
        lost.cache_read_tokens,
        lost.cache_write_tokens,
    )
    assert math.isnan(lost.cost_usd)
    assert "claude-x" == lost.model


@pytest.mark.parametrize("harness", [greeted(), mid_turn()])
def test_a_death_without_a_request_leaves_nothing_to_count(harness):
    assert [] == list(harness.lost())


# questions


def test_recorded_questions_denied_and_withdrawn():
    items = replayed("asked", interrupts={"lead.t2"})
    first, second = of(items, Ask)

    assert ("Bash", {"command": "touch made"}, None) == (first.tool, first.input, first.touches)
    assert [Withdraw(request=second.request)] == of(items, Withdraw)
    assert [("ok", "result: not in this house"), ("interrupted", "")] == [
        (ended.outcome, ended.text) for ended in of(items, TurnEnded)
    ]


@pytest.mark.parametrize(
    ("tool", "given", "touches"),
    [
        ("Write", {"file_path": "/w/a", "content": "x"}, ("/w/a",)),
        ("Edit", {"file_path": "/w/a"}, ("/w/a",)),
        ("NotebookEdit", {"notebook_path": "/w/a.ipynb"}, ("/w/a.ipynb",)),
        ("Read", {"file_path": "/etc/passwd"}, ("/etc/passwd",)),
        ("Write", {"content": "nowhere"}, None),
        ("Bash", {"command": "rm x", "file_path": "/w/a"}, None),
        ("WebFetch", {"url": "http://x"}, None),
    ],
)
def test_a_question_names_the_paths_when_it_is_about_nothing_else(tool, given, touches):
    asked = Ask(request="r", tool=tool, input=given, touches=touches, reads=tool == "Read")

    assert [asked] == ask(mid_turn(), "r", tool, given)


def test_yes_gives_the_input_back_and_no_the_reason():
    harness = mid_turn()
    ask(harness, "r1", "Bash", {"command": "ls"})
    ask(harness, "r2", "Bash", {"command": "rm"})
    (yes,), (no,) = harness.answer("r1", "allow"), harness.answer("r2", "deny", "no rm here")

    assert {
        "subtype": "success",
        "request_id": "r1",
        "response": {"behavior": "allow", "updatedInput": {"command": "ls"}},
    } == json.loads(yes)["response"]
    assert {"behavior": "deny", "message": "no rm here"} == json.loads(no)["response"]["response"]


def test_a_withdrawn_question_is_not_answered():
    harness = mid_turn()
    ask(harness, "r1", "Bash", {})
    read(harness, type="control_cancel_request", request_id="r1")

    assert [] == list(harness.answer("r1", "allow"))


def test_a_question_between_turns_is_denied_without_asking_anyone():
    (item,) = ask(greeted(), "r1", "Bash", {})

    assert "deny" == json.loads(item.line)["response"]["response"]["behavior"]


def test_a_request_that_is_not_for_us_is_refused_so_that_nobody_waits():
    (item,) = read(mid_turn(), type="control_request", request_id="r", request={"subtype": "hook_callback"})

    assert "error" == json.loads(item.line)["response"]["subtype"]


# lines of all kinds


@pytest.mark.parametrize("text", ["", "nul \0", "line\u2028separator\nand\r\nmore", "😀", "\ud83d", '"\\'])
def test_a_prompt_is_one_line_and_holds_the_text_as_given(text):
    (line,) = codec().prompt("lead.t1", text)

    assert [line] == line.splitlines(keepends=True)
    assert text == json.loads(line)["message"]["content"][0]["text"]


def test_half_a_surrogate_pair_does_not_reach_the_ledger():
    harness = mid_turn()
    items = stream(harness, type="content_block_delta", delta={"type": "text_delta", "text": "cut \ud83d"})

    assert ["cut ?"] == [item.text for item in items]


def test_a_whole_surrogate_pair_stays_whole():
    items = stream(mid_turn(), type="content_block_delta", delta={"type": "text_delta", "text": "😀"})

    assert ["😀"] == [item.text for item in items]


def test_a_long_output_is_shortened_and_says_by_how_much():
    (item,) = returned(mid_turn(), "x" * 20_001)

    assert 20_000 == item.output.count("x")
    assert item.output.endswith("\n… 1 more characters")


def test_an_output_of_blocks_is_its_text_and_the_names_of_the_rest():
    (item,) = returned(
        mid_turn(), [{"type": "text", "text": "a"}, {"type": "image"}, {"type": "text", "text": "b"}]
    )

    assert "a\n[image]\nb" == item.output


@pytest.mark.parametrize(
    "line",
    [
        "",
        "Segmentation fault",
        "[1]",
        "3",
        '{"no": "type"}',
        '{"type": 3}',
        '{"type": "result"',
        "[" * 100_000,
    ],
)
def test_what_is_not_of_the_protocol_is_unreadable(line):
    with pytest.raises(Unreadable):
        mid_turn().read(line)


@pytest.mark.parametrize(
    "message",
    [
        {"type": "result"},
        {"type": "assistant", "message": None},
        {"type": "control_response"},
        {"type": "control_request", "request_id": "r", "request": {"subtype": "can_use_tool"}},
        {"type": "user", "message": {"content": [{"type": "tool_result"}]}},
        {"type": "stream_event"},
    ],
)
def test_a_known_message_in_an_unknown_shape_is_unreadable(message):
    with pytest.raises(Unreadable):
        read(mid_turn(), **message)


@pytest.mark.parametrize(
    "message",
    [
        {"type": "something_new", "of": "tomorrow"},
        {"type": "system", "subtype": "task_progress"},
        {"type": "stream_event", "event": {"type": "ping"}},
        {
            "type": "stream_event",
            "event": {"type": "content_block_delta", "delta": {"type": "thinking_delta"}},
        },
        {"type": "user", "isReplay": True, "message": {"role": "user", "content": "go"}},
        {"type": "user", "message": {"role": "user", "content": "[Request interrupted by user]"}},
        {"type": "control_cancel_request", "request_id": "never asked"},
    ],
)
def test_what_we_have_no_use_for_means_nothing(message):
    assert [] == read(mid_turn(), **message)


@pytest.mark.parametrize("kind", ["assistant", "result", "user"])
def test_nothing_happens_in_a_turn_that_is_not_under_way(kind):
    line = next(
        line
        for line in messages("tools")
        if (m := json.loads(line))["type"] == kind and not m.get("isReplay")
    )

    with pytest.raises(Unreadable, match="between turns"):
        greeted().read(line)


def test_pieces_between_turns_are_let_go():
    event = {"type": "content_block_delta", "delta": {"type": "text_delta", "text": "late"}}

    assert [] == stream(greeted(), **event)


# how a line looks


SPOKEN = {"id": "m1", "model": "claude-x", "usage": {}}


def speak(harness, uuid, text, **more):
    block = {"type": "text", "text": text}
    return read(harness, type="assistant", uuid=uuid, message={**SPOKEN, "content": [block]}, **more)


def stream(harness, **event):
    return read(harness, type="stream_event", event=event, parent_tool_use_id=None)


def start_message(harness, name, **usage):
    return stream(harness, type="message_start", message={"id": name, "model": "claude-x", "usage": usage})


def end(harness, **more):
    result = {"subtype": "success", "is_error": False, "num_turns": 1, "session_id": "s-1", "modelUsage": {}}
    return read(harness, type="result", **{**result, **more})


def ask(harness, request, tool, given):
    asked = {"subtype": "can_use_tool", "tool_name": tool, "input": given}
    return read(harness, type="control_request", request_id=request, request=asked)


def returned(harness, content):
    block = {"type": "tool_result", "tool_use_id": "t", "content": content}
    return read(harness, type="user", message={"role": "user", "content": [block]})
