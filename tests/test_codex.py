"""How Codex is started and greeted, and which of its lines are none."""

import pytest
from codex_codec import (
    answer,
    codec,
    end,
    greeted,
    messages,
    mid_turn,
    of,
    read,
    refuse,
    replayed,
    say,
    sent,
    written,
)

from madrox_nb.errors import BadInput
from madrox_nb.events import AgentReady, AgentStopped
from madrox_nb.harness import Steered, Unreadable, Write
from madrox_nb.harness.codex import Codex

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
