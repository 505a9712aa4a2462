"""The rehearsal agent as an MCP client, and what it imports."""

import os
import socket
import subprocess

import pytest
from rehearsed import SOON, STREAM, TOKEN, Desk, answering, drivers, serving

from madrox_nb.harness.rehearsal import Rehearsal


@pytest.fixture
def desk():
    return Desk()


@pytest.fixture
def mcp(desk, tmp_path):
    """The environment in which an agent finds the desk."""
    token = tmp_path / "token"
    token.write_text(TOKEN)
    with serving(desk.server().streamable_http_app(json_response=False, stateless_http=False)) as url:
        yield {"MADROX_MCP_URL": url, "MADROX_MCP_TOKEN_FILE": str(token)}


@pytest.fixture
def start(tmp_path):
    with drivers(tmp_path) as start:
        yield start


@pytest.fixture
def caller(start, mcp):
    return start(**mcp)


# tools, over MCP


def test_spawn_asks_for_a_rehearsing_child_under_its_own_token(caller, desk):
    ended = caller.do("/spawn kid tester budget=2.5")

    child = {"name": "kid", "role": "tester", "instance_type": "rehearsal", "budget": 2.5}
    assert [("lead", "spawn_instance", child)] == desk.calls
    assert ("ok", "spawned kid (tester)") == (ended["outcome"], ended["text"])


def test_a_child_without_a_role_is_general(caller, desk):
    assert "spawned kid (general)" == caller.do("/spawn kid budget=1")["text"]
    assert "general" == desk.calls[0][2]["role"]


def test_a_call_is_told_when_it_begins_and_when_it_ends(caller):
    caller.prompt("/tree")
    call, returned = caller.until("returned")

    assert ("get_instance_tree", {}) == (call["tool"], call["input"])
    assert (call["call"], True) == (returned["call"], returned["ok"])
    assert "lead\n└─ kid" == returned["output"]
    assert "tree:\nlead\n└─ kid" == caller.next("ended")["text"]


def test_send_hands_directives_down_and_the_answer_becomes_part_of_the_text(caller, desk):
    ended = caller.do("/send kid /say hi\\n/send grandkid /say a\\\\n/say b")

    message = "/say hi\n/send grandkid /say a\\n/say b"
    assert [("lead", "send_to_instance", {"to": "kid", "message": message, "wait": True})] == desk.calls
    assert f"kid answered: I heard {message!r}" == ended["text"]


STRUCTURED = b'data: {"result": {"content": [{"type": "text", "text": "%s"}], "structuredContent": %s}}\n\n'


@pytest.mark.parametrize(
    ("answer", "line"),
    [
        (STRUCTURED % (b"{}", b'{"status": "completed", "response": "42"}'), "kid answered: 42"),
        (
            STRUCTURED % (b"running: kid is busy", b'{"status": "running"}'),
            "kid is still running: kid is busy",
        ),
        (STRUCTURED % (b"hm", b"null"), "kid answered: hm"),
    ],
    ids=["response", "running", "text"],
)
def test_send_says_the_response_itself_and_when_there_is_none_yet(start, answer, line):
    with answering(STREAM + answer) as url:
        assert line == start(MADROX_MCP_URL=url).do("/send kid how many?")["text"]


def test_an_argument_may_have_any_name(caller):
    assert "ok" == caller.do('/tool get_instance_tree {"self": 1, "tool": 2, "unwanted": 3}')["outcome"]


def test_post_does_not_wait_for_an_answer(caller, desk):
    assert "posted to kid" == caller.do("/post kid well done")["text"]
    assert [("lead", "send_to_instance", {"to": "kid", "message": "well done", "wait": False})] == desk.calls


def test_reply_inbox_and_any_tool_are_calls(caller, desk):
    ended = caller.do(
        '/reply it is\\ndone\n/inbox\n/inbox 30\n/tool get_pending_replies {"wait_timeout": 0.5}'
    )

    assert [
        ("lead", "reply_to_caller", {"text": "it is\ndone"}),
        ("lead", "get_pending_replies", {"wait": 0}),
        ("lead", "get_pending_replies", {"wait": 30}),
        ("lead", "get_pending_replies", {"wait": 0.5}),
    ] == desk.calls
    assert [
        "replied",
        "inbox: one from kid",
        "inbox: one from kid",
        "get_pending_replies returned: one from kid",
    ] == ended["text"].split("\n")


def test_a_tool_that_reports_progress_is_waited_for(caller):
    assert "count returned: five 🖐" == caller.do("/tool count")["text"]


def test_a_tool_whose_name_no_header_can_hold_is_called_all_the_same(caller):
    assert "grüße returned: Grüß Gott" == caller.do("/tool grüße")["text"]


def test_a_tools_error_is_said_and_the_turn_goes_on(caller):
    ended = caller.do("/spawn taken\n/send nobody hi\n/tool missing\n/say done")
    taken, nobody, missing, done = ended["text"].split("\n")

    assert "ok" == ended["outcome"]
    assert taken.startswith("taken said: error:")
    assert taken.endswith("an agent named 'taken' already exists")
    assert nobody.startswith("nobody said: error:")
    assert missing.startswith("missing said: error:")
    assert "done" == done


@pytest.mark.parametrize("aloud", ["false", "true"])
def test_a_call_under_way_is_abandoned_by_an_interrupt(caller, desk, aloud):
    caller.prompt(f'/say first\n/tool wait {{"aloud": {aloud}}}\n/say never')
    assert desk.waiting.wait(SOON)
    caller.write(type="interrupt")
    *_, returned, _, ended = caller.until("ended")

    assert ("returned", False) == (returned["type"], returned["ok"])
    assert ("interrupted", "first") == (ended["outcome"], ended["text"])
    assert desk.cancelled.wait(SOON)
    assert "ok" == caller.do("/tree")["outcome"]


def test_the_end_of_stdin_ends_a_call_too(caller, desk):
    caller.prompt("/tool wait")
    assert desk.waiting.wait(SOON)
    caller.process.stdin.close()

    assert 0 == caller.exit()
    assert desk.cancelled.wait(SOON)


def test_a_refused_token_is_said_and_the_turn_goes_on(start, mcp, tmp_path):
    (tmp_path / "token").write_text("stolen")
    ended = start(**mcp).do("/tree\n/say done")

    assert "ok" == ended["outcome"]
    assert "get_instance_tree said: error:" in ended["text"]
    assert "HTTP 401" in ended["text"]
    assert ended["text"].endswith("\ndone")


def test_an_event_stream_is_read_whatever_its_line_ends_and_pieces(start):
    notice = b': ping\r\n\r\ndata: {"jsonrpc": "2.0", "method": "notifications/progress"}\r\n\r\n'
    result = 'event: message\nid: 7\ndata: {"id": 1, "result":\n'
    result += 'data: {"content": [{"type": "text", "text": "grün"},'
    image = b' {"type": "image"}]}}\n\n'
    with answering(STREAM + notice, *(bytes([b]) for b in result.encode()), image) as url:
        ended = start(MADROX_MCP_URL=url).do("/tool x")

    assert "x returned: grün\n[image]" == ended["text"]


@pytest.mark.parametrize(
    ("pieces", "why"),
    [
        ([], "broke off"),
        ([b"nonsense"], "broke off"),
        ([STREAM], "ended it without an answer"),
        ([STREAM + b"data: {nope\n\n"], "broke off"),
        ([b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n[1, 2, 3]"], "HTTP 200"),
        ([b"HTTP/1.1 200 OK\r\nContent-Length: 90\r\n\r\n{"], "broke off"),
        ([b"HTTP/1.1 503 Busy\r\nContent-Length: 4\r\n\r\nlate"], "HTTP 503 Busy: late"),
        ([STREAM + b'data: {"error": {"code": -1, "message": "no such thing"}}\n\n'], "error: no such thing"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_broken_answer_is_said_and_the_turn_goes_on(start, pieces, why):
    with answering(*pieces) as url:
        ended = start(MADROX_MCP_URL=url).do("/send kid hi\n/say done")

    assert "ok" == ended["outcome"]
    assert ended["text"].startswith("kid said: error: ")
    assert why in ended["text"]
    assert ended["text"].endswith("\ndone")


def free_port():
    with socket.create_server(("127.0.0.1", 0)) as server:
        return server.getsockname()[1]


@pytest.mark.parametrize("url", ["", "http://127.0.0.1:{port}/mcp", "nonsense", "http://127.0.0.1:port/"])
def test_without_a_server_in_reach_the_turn_fails(start, url):
    agent = start(MADROX_MCP_URL=url.format(port=free_port()), MADROX_MCP_TOKEN_FILE="")
    agent.prompt("/say before\n/tree\n/say never")
    *_, returned, _, ended = agent.until("ended")

    assert not returned["ok"]
    assert ("failed", "before") == (ended["outcome"], ended["text"])
    assert "MCP server" in ended["error"]


def test_a_token_file_that_is_gone_fails_the_turn(start, mcp, tmp_path):
    (tmp_path / "token").unlink()
    ended = start(**mcp).do("/tree")

    assert "failed" == ended["outcome"]
    assert "token" in ended["error"]


def test_it_takes_json_answers_as_well(start, tmp_path):
    desk = Desk()
    with serving(desk.server().streamable_http_app(json_response=True, stateless_http=True)) as url:
        (tmp_path / "token").write_text(TOKEN)
        agent = start(MADROX_MCP_URL=url, MADROX_MCP_TOKEN_FILE=str(tmp_path / "token"))

        assert "kid answered: I heard 'hi'" == agent.do("/send kid hi")["text"]


# what it costs


def test_it_imports_nothing_but_the_standard_library():
    python, *flags, program = Rehearsal.command()
    lines = b'{"type": "prompt", "text": "hi"}\n{"type": "prompt", "text": "/crash"}\n'
    read, write = os.pipe()
    os.write(write, lines)
    done = subprocess.run(
        [python, *flags, "-X", "importtime", program],
        stdin=read,
        capture_output=True,
        timeout=SOON,
        check=False,
    )
    os.close(read)
    os.close(write)
    loaded = {line.rpartition("|")[2].strip() for line in done.stderr.decode().splitlines()}

    assert b"no model" in done.stdout
    assert {"rehearse.turn", "rehearse.directives"} <= loaded
    assert not loaded & {
        "madrox_nb",
        "pandas",
        "mcp",
        "orjson",
        "asyncio",
        "typing",
        "pathlib",
        "http.client",
    }
