"""Which CLIs speak ACP, how they are started, and which of their lines are none."""

import json

import pytest
from acp_codec import codec, greeted, mid_turn, say, sent, speak

from madrox_nb.harness import Brief, Features, Unreadable
from madrox_nb.harness.acp import Acp
from madrox_nb.harness.acp_lines import KNOWN, lines

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
