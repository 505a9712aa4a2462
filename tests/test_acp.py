"""The ACP codec, on lines that opencode 1.18.33 and gemini 0.61.0 really wrote (tests/real/record_acp.py)."""

import json
import math
from pathlib import Path

import pytest

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
from madrox_nb.harness import Ask, Brief, Features, Unreadable, Withdraw, Write
from madrox_nb.harness.acp import Acp
from madrox_nb.harness.acp_lines import KNOWN, lines

TRANSCRIPTS = Path(__file__).parent / "transcripts"
FOLDERS = {"opencode": "opencode-1.18.33", "gemini": "gemini-0.61.0"}
BOTH = pytest.mark.parametrize("name", list(FOLDERS))


def codec(name="opencode", **more):
    fields = {"agent": "lead", "command": (f"/bin/{name}",), "workspace": "/lead/workspace", "files": "/f"}
    return Acp.of(KNOWN[name])(Brief(**{**fields, **more}))


def messages(name, story):
    return (TRANSCRIPTS / FOLDERS[name] / f"{story}.jsonl").read_text().splitlines()


def replayed(name, story, interrupts=(), answers=()):
    """Items of a recorded story. A turn begins when the one before has ended.

    `interrupts` names the turns that are interrupted at their first word or question;
    `answers` are given to the questions, one after the other.
    """
    harness, items, turns, answers = codec(name), [], 0, list(answers)
    list(harness.greet())
    for line in messages(name, story):
        for item in harness.read(line):
            items.append(item)
            if isinstance(item, TextDelta | Ask) and harness.turn in interrupts:
                written(items, harness.interrupt())
            elif isinstance(item, Ask):
                written(items, harness.answer(item.request, answers.pop(0), "not in this house"))
            if isinstance(item, AgentReady | TurnEnded):
                turns += 1
                list(harness.prompt(f"lead.t{turns}", "…"))
    return items


def written(items, lines):
    items += [Write(line=line) for line in lines]


def of(items, kind):
    return [item for item in items if isinstance(item, kind)]


def sent(items):
    """What was written back, as messages."""
    return [json.loads(item.line) for item in of(items, Write)]


# by hand


CAN = {"loadSession": True, "mcpCapabilities": {"http": True}}


def say(harness, **message):
    return list(harness.read(json.dumps({"jsonrpc": "2.0", **message})))


def greeted(name="opencode", can=CAN, opened=None, version=1, **more):
    """In a session, all that came on the way, and the last request's id."""
    harness = codec(name, **more)
    list(harness.greet())
    met = {"protocolVersion": version, "agentCapabilities": can, "agentInfo": {"version": "9"}}
    items = say(harness, id=1, result=met)
    if of(items, Write):
        items += say(harness, id=2, result={"sessionId": "s-1"} if opened is None else opened)
    return harness, items


def mid_turn(name="opencode", text="go", **more):
    harness, _ = greeted(name, **more)
    (line,) = harness.prompt("lead.t1", text)
    harness.prompted = json.loads(line)["id"]
    return harness


def update(harness, what, /, session="s-1", **more):
    params = {"sessionId": session, "update": {"sessionUpdate": what, **more}}
    return say(harness, method="session/update", params=params)


def speak(harness, text, **more):
    return update(harness, "agent_message_chunk", content={"type": "text", "text": text}, **more)


def ends(harness, stop="end_turn", **more):
    return say(harness, id=harness.prompted, result={"stopReason": stop, **more})


OPTIONS = [
    {"optionId": "always", "kind": "allow_always"},
    {"optionId": "yes", "kind": "allow_once"},
    {"optionId": "never", "kind": "reject_always"},
    {"optionId": "no", "kind": "reject_once"},
]


def ask(harness, request=7, options=OPTIONS, session="s-1", **call):
    params = {"sessionId": session, "toolCall": {"toolCallId": "c1", **call}, "options": options}
    return say(harness, id=request, method="session/request_permission", params=params)


def chosen(line):
    return json.loads(line)["result"]["outcome"]


# the table


def test_the_bare_protocol_is_no_harness_and_each_line_is_one():
    family = Acp.family({})

    assert {"gemini", "opencode", "goose", "copilot", "qwen", "kilo", "cline"} <= set(family)
    assert {"claude-agent-acp", "codex-acp"} <= set(family)
    assert "acp" not in family
    assert all(name == cls.name and cls.commands and cls.provides for name, cls in family.items())


def test_only_what_was_run_here_claims_a_tested_version():
    assert {"gemini": ("0.61.0",), "opencode": ("1.18.33",)} == {
        name: cls.tested for name, cls in Acp.family({}).items() if cls.tested
    }


def test_what_each_can_do_is_declared_as_it_was_measured():
    family = Acp.family({})
    shared = {"multi_turn", "interrupt", "approvals", "mcp", "structured"}

    assert shared | {"cost", "resume"} == set(family["opencode"].features.names())
    assert shared | {"usage"} == set(family["gemini"].features.names())


def test_a_table_of_the_users_is_one_more():
    command = ["/opt/mine/mine", "--acp"]
    mine = Acp.family({"acp": {"mine": {"command": command, "env": {"A": "b"}, "features": ["interrupt"]}}})
    launch = mine["mine"](Brief(agent="a", command=("/found",), workspace="/w", files="/f")).launch()

    assert ("/opt/mine/mine",) == mine["mine"].commands
    assert (("/found", "--acp"), {"A": "b"}) == (launch.argv, launch.env)
    assert Features(interrupt=True, structured=True) == mine["mine"].features
    assert set(Acp.family({})) | {"mine"} == set(mine)


def test_a_command_may_be_one_text_and_the_rest_be_left_out():
    (mine,) = (line for line in lines({"mine": {"command": "mine --acp 'two words'"}}) if line.name == "mine")

    assert (("mine",), ("--acp", "two words")) == (mine.commands, mine.args)
    assert Features(interrupt=True, mcp=True, structured=True) == mine.features


def test_a_table_of_a_known_name_says_what_is_different():
    (gemini,) = (line for line in lines({"gemini": {"env": {"GEMINI_MODEL": "x"}}}) if line.name == "gemini")

    assert KNOWN["gemini"].args == gemini.args
    assert {**KNOWN["gemini"].env, "GEMINI_MODEL": "x"} == gemini.env


@pytest.mark.parametrize(
    ("tables", "words"),
    [
        (
            {"mine": {"comand": "x"}},
            r"\[acp.mine\] has a key 'comand'. Did you mean 'command'\? Known: command",
        ),
        ({"mine": {"env": {}}}, r"\[acp.mine\] lacks the key 'command'"),
        ({"mine": {"command": []}}, r"\[acp.mine\] command = \[\]: not a program"),
        ({"mine": {"command": ["x", 3]}}, r"\[acp.mine\] command = "),
        ({"mine": {"command": "it's"}}, r"\[acp.mine\] command = \"it's\": No closing quotation"),
        ({"mine": {"command": "x", "env": {"A": 3}}}, r"\[acp.mine\] env = "),
        ({"mine": {"command": "x", "features": "mcp"}}, r"\[acp.mine\] features = 'mcp': not a list"),
        (
            {"mine": {"command": "x", "features": ["resum"]}},
            r"\[acp.mine\] features names 'resum'. Did you mean 'resume'\?",
        ),
        ({"mine": {"command": "x", "features": ["steer"]}}, r"features names 'steer'"),
        ({"mine": "x --acp"}, r"\[acp.mine\] is a table"),
        ({"acp": {"command": "x"}}, r"'acp' can't be a harness's name"),
        ({"a b": {"command": "x"}}, r"'a b' can't be a harness's name"),
        ({"gemini": {"args": []}}, r"\[acp.gemini\] has a key 'args'"),
    ],
)
def test_a_wrong_table_is_named_with_the_place_where_it_stands(tables, words):
    with pytest.raises(ValueError, match=words):
        Acp.family({"acp": tables})


# what to run


def test_the_token_is_told_over_the_wire_and_stands_nowhere_else():
    harness, items = greeted(mcp_url="http://x/mcp", mcp_token="hush")
    launch = harness.launch()

    assert "hush" not in f"{launch.argv}{launch.env}{launch.files}"
    [new] = sent(items)
    assert [
        {
            "type": "http",
            "name": "madrox",
            "url": "http://x/mcp",
            "headers": [{"name": "Authorization", "value": "Bearer hush"}],
        }
    ] == new["params"]["mcpServers"]


def test_extra_arguments_come_last():
    assert ("/bin/opencode", "acp", "--pure", "--x") == codec(extra_args=("--x",)).launch().argv


def test_opencode_is_told_to_ask_and_to_go_on_when_it_hears_no():
    launch = codec().launch()
    asked = json.loads(launch.env["OPENCODE_PERMISSION"])

    assert ("ask", "allow") == (asked["*"], asked["madrox_*"])
    assert "*" == next(iter(asked))  # the last one that fits counts
    assert "/f/opencode.json" == launch.env["OPENCODE_CONFIG"]
    assert json.loads(launch.files["opencode.json"])["experimental"]["continue_loop_on_deny"]


# the handshake


def test_it_asks_for_one_version_and_offers_no_hands():
    (line,) = codec().greet()
    hello = json.loads(line)

    assert ("2.0", "initialize", 1) == (hello["jsonrpc"], hello["method"], hello["params"]["protocolVersion"])
    assert {"fs": {"readTextFile": False, "writeTextFile": False}, "terminal": False} == hello["params"][
        "clientCapabilities"
    ]


@BOTH
def test_a_recorded_handshake_ends_ready(name):
    [ready] = of(replayed(name, "turns"), AgentReady)

    model = {"opencode": "stub/stub-model", "gemini": "gemini-2.5-flash"}[name]
    session = json.loads(messages(name, "turns")[1])["result"]["sessionId"]
    assert (
        AgentReady(agent="lead", session=session, model=model, version=FOLDERS[name].split("-")[1]) == ready
    )


@pytest.mark.parametrize("version", [0, 2])
def test_another_version_of_the_protocol_is_refused_by_its_number(version):
    _, items = greeted(version=version)

    [stopped] = of(items, AgentStopped)
    assert stopped.failed
    assert stopped.reason.startswith(f"opencode speaks version {version} of the Agent Client Protocol")
    assert [] == of(items, AgentReady)


def test_a_refused_handshake_stops_the_agent():
    harness = codec()
    list(harness.greet())

    [stopped] = say(harness, id=1, error={"code": -32022, "message": "no such version"})
    assert (True, "opencode refused the handshake: no such version") == (stopped.failed, stopped.reason)


def test_one_that_is_not_logged_in_says_how():
    harness = codec("gemini")
    list(harness.greet())
    say(harness, id=1, result={"protocolVersion": 1})

    [stopped] = say(harness, id=2, error={"code": -32000, "message": "Gemini API key is missing"})
    assert stopped.reason == (
        "gemini refused session/new: Gemini API key is missing. It is not logged in: "
        "run `gemini` there once and log in, or set GEMINI_API_KEY"
    )


def test_one_without_http_servers_begins_without_our_tools_and_says_so():
    _, items = greeted(can={}, mcp_url="http://x/mcp", mcp_token="hush")

    assert [] == sent(items)[0]["params"]["mcpServers"]
    assert ["opencode takes no MCP server over HTTP: it has no madrox tools"] == [
        notice.text for notice in of(items, Notice)
    ]
    assert 1 == len(of(items, AgentReady))


@pytest.mark.parametrize(
    ("may", "fork", "method"),
    [
        ({"resume": {}, "fork": {}}, False, "session/resume"),
        ({}, False, "session/load"),
        ({"resume": {}, "fork": {}}, True, "session/fork"),
    ],
)
def test_a_session_is_gone_on_with_in_the_way_that_is_offered(may, fork, method):
    can = {**CAN, "sessionCapabilities": may}
    _, items = greeted(can=can, opened={"sessionId": "s-2"} if fork else {}, resume="s-1", fork=fork)

    [request] = sent(items)
    assert (method, "s-1") == (request["method"], request["params"]["sessionId"])
    assert ["s-2" if fork else "s-1"] == [ready.session for ready in of(items, AgentReady)]


@pytest.mark.parametrize(
    ("can", "fork", "words"),
    [({}, False, "can't go on with a session"), ({"loadSession": True}, True, "can't fork a session")],
)
def test_one_that_can_not_is_stopped_by_name(can, fork, words):
    _, items = greeted(can=can, resume="s-1", fork=fork)

    assert words in of(items, AgentStopped)[0].reason


def test_history_that_is_replayed_belongs_to_no_turn():
    harness = codec(resume="s-1")
    list(harness.greet())
    say(harness, id=1, result={"protocolVersion": 1, "agentCapabilities": CAN})
    replay = [
        *update(harness, "user_message_chunk", content={"type": "text", "text": "one"}),
        *speak(harness, "echo: one"),
        *update(harness, "tool_call", toolCallId="c1", title="bash", status="completed"),
    ]
    items = say(harness, id=2, result={})

    assert [] == replay
    assert [AgentReady(agent="lead", session="s-1", version=None)] == items


def test_the_recorded_history_of_a_fork_belongs_to_no_turn():
    third = [line for line in messages("opencode", "resumed") if '"user_message_chunk"' in line]
    harness = codec(resume="s-1", fork=True)
    list(harness.greet())

    assert 2 == len(third)
    assert [] == [item for line in third for item in harness.read(line)]


MODES = {
    "currentModeId": "yolo",
    "availableModes": [{"id": "yolo"}, {"id": "plan"}, {"id": "default"}],
}


def test_a_mode_in_which_it_does_not_ask_is_left_for_one_in_which_it_does():
    harness, items = greeted("gemini", opened={"sessionId": "s-1", "modes": MODES})

    assert ("session/set_mode", {"sessionId": "s-1", "modeId": "default"}) == (
        sent(items)[-1]["method"],
        sent(items)[-1]["params"],
    )
    assert [] == of(items, AgentReady)
    assert 1 == len(of(say(harness, id=3, result={}), AgentReady))


def test_one_that_has_only_such_modes_is_stopped():
    modes = {"currentModeId": "yolo", "availableModes": [{"id": "yolo"}, {"id": "https://x/modes#autopilot"}]}
    _, items = greeted("gemini", opened={"sessionId": "s-1", "modes": modes})

    assert "has no session mode that asks" in of(items, AgentStopped)[0].reason


def test_an_unknown_mode_that_may_well_ask_is_kept():
    modes = {"currentModeId": "careful", "availableModes": [{"id": "yolo"}, {"id": "careful"}]}
    _, items = greeted("gemini", opened={"sessionId": "s-1", "modes": modes})

    assert 1 == len(of(items, AgentReady))


def test_a_mode_that_it_goes_into_by_itself_is_noticed():
    harness = mid_turn("gemini")

    assert [] == update(harness, "current_mode_update", currentModeId="plan")
    [notice] = update(harness, "current_mode_update", currentModeId="autoEdit")
    assert "'autoEdit'" in notice.text


MODELS = {"currentModelId": "small", "availableModels": [{"modelId": "small"}, {"modelId": "large"}]}
GROUPED = [
    {
        "id": "m",
        "category": "model",
        "type": "select",
        "currentValue": "small",
        "options": [{"group": "all", "options": [{"value": "small"}, {"value": "large"}]}],
    }
]


@pytest.mark.parametrize(
    ("offers", "method", "params"),
    [
        ({"models": MODELS}, "session/set_model", {"modelId": "large"}),
        ({"configOptions": GROUPED}, "session/set_config_option", {"configId": "m", "value": "large"}),
    ],
)
def test_a_model_is_chosen_in_the_older_and_in_the_newer_way(offers, method, params):
    harness, items = greeted(opened={"sessionId": "s-1", **offers}, model="large")

    request = sent(items)[-1]
    assert (method, {"sessionId": "s-1", **params}) == (request["method"], request["params"])
    assert ["large"] == [ready.model for ready in say(harness, id=3, result={})]


def test_a_model_that_is_refused_stops_the_agent_and_names_those_that_there_are():
    harness, _ = greeted(opened={"sessionId": "s-1", "models": MODELS}, model="huge")

    [stopped] = say(harness, id=3, error={"code": -32602, "message": "model not found"})
    assert "opencode can't use the model 'huge' (it offers small, large): model not found" == stopped.reason


def test_one_that_lets_no_model_be_chosen_says_so():
    _, items = greeted(model="large")

    assert "can't be told which model to use" in of(items, AgentStopped)[0].reason


# instructions


def test_instructions_are_told_in_front_of_the_first_prompt():
    harness, _ = greeted(instructions="You are lead.")
    (first,) = harness.prompt("lead.t1", "one")
    harness.prompted = 3
    speak(harness, "hi")
    ends(harness)
    (second,) = harness.prompt("lead.t2", "two")

    told, prompt = json.loads(first)["params"]["prompt"]
    assert "<instructions>\nYou are lead.\n</instructions>" in told["text"]
    assert "one" == prompt["text"]
    assert [{"type": "text", "text": "two"}] == json.loads(second)["params"]["prompt"]


@pytest.mark.parametrize("stop", ["cancelled", "refusal"])
def test_instructions_that_may_have_been_forgotten_are_told_again(stop):
    harness = mid_turn(instructions="You are lead.")
    ends(harness, stop)
    (again,) = harness.prompt("lead.t2", "two")

    assert "You are lead." in again


def test_a_command_of_the_cli_goes_alone_and_the_instructions_wait():
    harness = mid_turn(instructions="You are lead.", text="/compact")
    ends(harness)
    (after,) = harness.prompt("lead.t2", "two")

    assert "You are lead." in after
    assert 1 == len(json.loads(codec(instructions="x").prompt("lead.t1", "/x")[0])["params"]["prompt"])


@pytest.mark.parametrize(("fork", "told"), [(False, 1), (True, 2)])
def test_who_goes_on_has_heard_them_and_a_fork_is_somebody_else(fork, told):
    can = {"sessionCapabilities": {"resume": {}, "fork": {}}}
    harness, _ = greeted(can=can, resume="s-1", fork=fork, instructions="You are kid.")
    (line,) = harness.prompt("lead.t1", "one")

    assert told == len(json.loads(line)["params"]["prompt"])


def test_one_that_takes_a_system_prompt_is_given_it():
    can = {"sessionCapabilities": {"systemPrompt": {}}}
    harness, items = greeted(can=can, instructions="You are lead.")
    (line,) = harness.prompt("lead.t1", "one")

    content = [{"type": "text", "text": "You are lead."}]
    assert {"mode": "append", "content": content} == sent(items)[0]["params"]["systemPrompt"]
    assert "You are lead." not in line


# what it says when all goes well


@BOTH
def test_two_recorded_turns(name):
    items = replayed(name, "turns")
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


# when it does not


@pytest.mark.parametrize(
    ("name", "seen"), [("opencode", 'seen=["one", "SLOW 200 0.05"]'), ("gemini", 'seen=["one"]')]
)
def test_an_interrupted_turn(name, seen):
    items = replayed(name, "interrupted", interrupts={"lead.t2"})
    whole, cut, after = of(items, TurnEnded)

    assert ["ok", "interrupted", "ok"] == [whole.outcome, cut.outcome, after.outcome]
    assert (True, "") == (cut.text.startswith("word0"), cut.error)
    assert f"echo: two | {seen}" == after.text
    [used] = [each for each in of(items, UsageReported) if each.turn == "lead.t2"]
    assert (0, "unknown") == (used.input_tokens, used.cost_source)  # the cut request is on nobody's bill


@BOTH
def test_the_same_end_without_our_interrupt_is_a_failure(name):
    _, cut, _ = of(replayed(name, "interrupted"), TurnEnded)

    assert ("failed", "it cancelled its turn") == (cut.outcome, cut.error)


def test_what_was_billed_before_an_interrupt_is_told_and_the_rest_is_unknown():
    harness = mid_turn()
    speak(harness, "hi")
    list(harness.interrupt())
    update(harness, "usage_update", used=1, size=2, cost={"amount": 0.5, "currency": "USD"})

    assert [0.5, "unknown"] == [
        used.cost_usd if used.cost_source == "cli" else used.cost_source
        for used in of(ends(harness, "cancelled"), UsageReported)
    ]


def test_an_interrupt_is_a_notification():
    (line,) = mid_turn().interrupt()

    assert {"jsonrpc": "2.0", "method": "session/cancel", "params": {"sessionId": "s-1"}} == json.loads(line)


def test_an_interrupt_that_came_before_the_turn_had_begun_is_said_again_once():
    harness = mid_turn()
    list(harness.interrupt())

    assert ["session/cancel"] == [message["method"] for message in sent(speak(harness, "a"))]
    assert [] == sent(speak(harness, "b"))


def test_an_interrupt_in_the_middle_is_said_once():
    harness = mid_turn()
    speak(harness, "a")
    list(harness.interrupt())

    assert [] == sent(speak(harness, "b"))


def test_an_interrupt_that_is_answered_with_an_error_is_an_interrupt():
    harness = mid_turn()
    list(harness.interrupt())
    *_, ended = say(
        harness, id=harness.prompted, error={"code": -32603, "message": "Internal service failure"}
    )

    assert ("interrupted", "") == (ended.outcome, ended.error)


def test_an_interrupt_that_comes_before_the_model_is_asked_is_one_and_has_no_figures_of_its_own():
    harness = mid_turn()
    list(harness.interrupt())
    used, ended = ends(harness, "end_turn", usage={"inputTokens": 12, "outputTokens": 226})

    assert ("interrupted", "") == (ended.outcome, ended.error)
    assert (0, 0, "unknown") == (used.input_tokens, used.output_tokens, used.cost_source)


def test_between_turns_there_is_nothing_to_interrupt():
    harness, _ = greeted()

    assert [] == list(harness.interrupt())


def test_an_interrupt_does_not_outlive_its_turn():
    harness = mid_turn()
    list(harness.interrupt())
    ends(harness, "cancelled")
    list(harness.prompt("lead.t2", "again"))

    assert [] == sent(speak(harness, "a"))


@pytest.mark.parametrize(
    ("name", "ends"),
    [
        (
            "opencode",
            [
                ("failed", "Internal error: the stub says 400"),
                ("failed", "the model gave an empty answer"),
                ("ok", ""),
            ],
        ),
        ("gemini", [("failed", "the stub says 400"), ("ok", ""), ("ok", "")]),  # it asks again by itself
    ],
)
def test_recorded_errors_and_empty_answers(name, ends):
    items = replayed(name, "failing")

    assert ends == [(ended.outcome, ended.error) for ended in of(items, TurnEnded)]


@pytest.mark.parametrize(
    ("stop", "words"),
    [
        ("max_tokens", "limit of tokens"),
        ("max_turn_requests", "as many requests"),
        ("refusal", "refused to go on"),
        ("tired", "a reason of its own: tired"),
    ],
)
def test_a_turn_that_ended_early_failed_and_says_why(stop, words):
    harness = mid_turn()
    speak(harness, "half an ans")
    *_, ended = ends(harness, stop)

    assert "failed" == ended.outcome
    assert words in ended.error


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (
            {"code": -32603, "message": "Internal error", "data": {"details": "no route"}},
            "Internal error: no route",
        ),
        ({"code": -32603, "message": "Internal error", "data": "no route"}, "Internal error: no route"),
        ({"code": 429, "message": '{"error": {"message": "slow down"}}'}, "slow down"),
        ({"code": 1}, "error 1"),
        (
            {"code": -32000, "message": "Authentication required"},
            "Authentication required. It is not logged in: run `opencode auth login` there once, or set the "
            "key of a provider that it knows",
        ),
    ],
)
def test_an_error_is_told_in_words(error, words):
    harness = mid_turn()
    *_, ended = say(harness, id=harness.prompted, error=error)

    assert ("failed", words) == (ended.outcome, ended.error)


def test_an_answer_of_geminis_that_broke_off_counts_no_tokens_and_failed():
    harness = mid_turn("gemini")
    speak(harness, "half an ")
    *_, ended = ends(harness, _meta={"quota": {"model_usage": []}})

    assert ("failed", "the model's answer was cut off") == (ended.outcome, ended.error)


def test_a_command_of_the_cli_needs_no_words_and_no_tokens():
    harness = mid_turn("gemini", text="/help")
    speak(harness, "Help:")

    assert ("ok", "Help:") == (lambda ended: (ended.outcome, ended.text))(ends(harness)[-1])
    assert "ok" == ends(mid_turn(text="/compact"))[-1].outcome


def test_a_turn_that_worked_and_says_nothing_is_no_empty_answer():
    harness = mid_turn()
    update(harness, "tool_call", toolCallId="c1", title="x", status="completed")

    assert "ok" == ends(harness)[-1].outcome


def test_a_turn_that_gives_up_when_it_hears_no_failed_and_says_what_was_refused():
    harness = mid_turn()
    update(harness, "tool_call", toolCallId="c1", title="bash", kind="execute")
    ask(harness, title="rm x")
    list(harness.answer("7", "deny", "not in this house"))
    *_, ended = ends(harness)

    assert ("failed", "it gave up: bash was not allowed: not in this house") == (ended.outcome, ended.error)


# questions


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


# deaths


def test_a_death_in_mid_turn_says_that_nobody_counted():
    harness = mid_turn()
    assert [] == list(harness.lost())
    speak(harness, "a")

    [lost] = harness.lost()
    assert ("lead.t1", 0, "unknown") == (lost.turn, lost.input_tokens, lost.cost_source)


def test_after_its_end_no_turn_is_under_way():
    harness = mid_turn()
    speak(harness, "done")
    ends(harness)

    assert "" == harness.turn
    assert [] == speak(harness, "late")
    assert [] == ends(harness)
    assert [] == list(harness.lost())


# lines of all kinds


@pytest.mark.parametrize("text", ["", "nul \0", "line\u2028separator\nand\r\nmore", "😀", "\ud83d", '"\\'])
def test_a_prompt_is_one_line_and_holds_the_text_as_given(text):
    harness, _ = greeted()
    (line,) = harness.prompt("lead.t1", text)

    assert [line] == line.splitlines(keepends=True)
    assert text == json.loads(line)["params"]["prompt"][0]["text"]


def test_half_a_surrogate_pair_does_not_reach_the_ledger():
    assert ["cut ?"] == [item.text for item in speak(mid_turn(), "cut \ud83d")]
    assert ["😀"] == [item.text for item in speak(mid_turn(), "😀")]


@pytest.mark.parametrize(
    "line", ["", "Loaded cached credentials.", "[1]", "3", "{}", '{"id": 1}', '{"method": "x"', "[" * 100_000]
)
def test_what_is_not_of_the_protocol_is_unreadable(line):
    with pytest.raises(Unreadable):
        mid_turn().read(line)


@pytest.mark.parametrize(
    "message",
    [
        {"method": "session/update", "params": {}},
        {"method": "session/update", "params": {"sessionId": "s-1", "update": None}},
        {
            "method": "session/update",
            "params": {"sessionId": "s-1", "update": {"sessionUpdate": "tool_call"}},
        },
        {"method": "session/request_permission", "id": 1, "params": {"sessionId": "s-1"}},
        {
            "method": "session/request_permission",
            "id": 1,
            "params": {"sessionId": "s-1", "toolCall": {"toolCallId": "c1"}, "options": "x"},
        },
    ],
)
def test_a_known_message_in_an_unknown_shape_is_unreadable(message):
    with pytest.raises(Unreadable):
        say(mid_turn(), **message)
