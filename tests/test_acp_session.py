"""How an ACP agent comes to its session and hears its instructions."""

import json

import pytest
from acp_codec import (
    BOTH,
    CAN,
    FOLDERS,
    codec,
    ends,
    greeted,
    messages,
    mid_turn,
    of,
    replayed,
    say,
    sent,
    speak,
    update,
)

from madrox_nb.events import AgentReady, AgentStopped, Notice

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
