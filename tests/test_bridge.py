"""`madrox mcp` as its client sees it: lines in, lines out, in front of a real server and real agents."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import httpx2
import psutil
import pytest
from bridges import BOTH_ERAS, COMMAND, HELLO, LONG, Hang, Stdio, environ, serve, sessions
from mcp.client.client import Client
from mcp.client.stdio import StdioServerParameters, stdio_client
from mcp.client.streamable_http import streamable_http_client

from madrox_nb import calls, greeting, runtime
from madrox_nb.exchange import events, one_line
from madrox_nb.notebook import Madrox

pytestmark = pytest.mark.slow


@pytest.fixture
def madrox(tmp_path: Path) -> Iterator[Madrox]:
    with serve(tmp_path) as madrox:
        yield madrox


@pytest.fixture
def hang(monkeypatch: pytest.MonkeyPatch) -> Hang:
    return Hang(monkeypatch)


# the same as over HTTP


@BOTH_ERAS
def test_b1_all_tools_are_there_over_http_and_stdio_with_equal_results(
    madrox: Madrox, tmp_path: Path, era: str
) -> None:
    served = madrox.serve()
    started = StdioServerParameters(command=COMMAND[0], args=[*COMMAND[1:]], env=environ(tmp_path))

    async def story() -> None:
        headers = {"Authorization": f"Bearer {served.token}"}
        async with (
            httpx2.AsyncClient(headers=headers, timeout=30) as http,
            Client(streamable_http_client(served.url, http_client=http), mode=era) as over_http,
            Client(stdio_client(started), mode=era) as over_stdio,
        ):
            there = [(await each.list_tools()).tools for each in (over_http, over_stdio)]
            assert there[0] == there[1]
            assert set(calls.TOOLS) == {tool.name for tool in there[1]}
            for tool in there[1]:
                assert "object" == tool.input_schema["type"]
                assert "self" not in tool.input_schema["properties"]
            assert (await over_http.list_resources()).resources == (
                await over_stdio.list_resources()
            ).resources
            assert (await over_http.list_prompts()).prompts == (await over_stdio.list_prompts()).prompts
            asked: list[tuple[str, dict[str, Any]]] = [
                ("get_instance_tree", {}),
                ("get_instance_status", {"instance_id": "lead"}),
                ("get_instance_status", {"instance_id": "laed"}),
                ("get_pending_replies", {"wait": 1}),
                ("no_such_tool", {}),
            ]
            for tool, given in asked:
                assert await over_http.call_tool(tool, given) == await over_stdio.call_tool(tool, given)
            assert over_http.server_capabilities == over_stdio.server_capabilities

    asyncio.run(asyncio.wait_for(story(), 60))


def test_bug_8_33_there_is_one_tree_whoever_looks(madrox: Madrox, tmp_path: Path) -> None:
    """Upstream, each stdio child had a manager of its own, and nobody saw the others' agents."""
    with Stdio(tmp_path) as one, Stdio(tmp_path) as two:
        one.hello().call("spawn_instance", name="from-one", parent_instance_id="lead")
        two.hello().call("spawn_instance", name="from-two", parent_instance_id="from-one")
        madrox.spawn("from-the-notebook")
        trees = [each.call("get_instance_tree")["result"]["content"][0]["text"] for each in (one, two)]

    assert trees[0] == trees[1]
    assert {"lead", "from-one", "from-two", "from-the-notebook"} == {agent.name for agent in madrox.tree}
    assert all(agent.name in trees[0] for agent in madrox.tree)


def test_w23_the_protocol_is_kept_over_http_and_stdio(madrox: Madrox, tmp_path: Path) -> None:
    """Upstream answered notifications, knew no ping, one old version, and claimed resources it had not."""
    served = madrox.serve()
    headers = {
        "Authorization": f"Bearer {served.token}",
        "Accept": "application/json, text/event-stream",
        "MCP-Protocol-Version": "2025-11-25",
    }

    def over_http(http: httpx2.Client, method: str, id_: int | None = None, **params: Any) -> Any:
        message = {"jsonrpc": "2.0", "method": method, "params": params}
        answer = http.post(served.url, json=message if id_ is None else {**message, "id": id_})
        if "mcp-session-id" in answer.headers:
            http.headers["mcp-session-id"] = answer.headers["mcp-session-id"]
        if id_ is None:
            return answer.status_code, answer.content
        [data] = [line for line in answer.text.splitlines() if line.startswith("data:")]
        return json.loads(data[5:])

    asked: dict[str, dict[str, Any]] = {
        "ping": {},
        "resources/list": {},
        "resources/templates/list": {},
        "prompts/list": {},
        "no/such": {},
        "tools/call": {"name": 7},
    }
    with httpx2.Client(headers=headers, timeout=30) as http, Stdio(tmp_path) as stdio:
        assert over_http(http, "initialize", 0, **HELLO) == stdio.ask("initialize", 0, **HELLO)
        for unanswered in ("notifications/initialized", "notifications/cancelled", "notifications/whatever"):
            assert (202, b"") == over_http(http, unanswered, requestId=99)
            stdio.say(unanswered, requestId=99)
        both = [
            (over_http(http, method, 5, **given), stdio.ask(method, 5, **given))
            for method, given in asked.items()
        ]

    assert [] == stdio.unasked  # so nothing was said to the notifications
    for http_said, stdio_said in both:
        assert http_said == stdio_said
    assert [{}, -32601, -32602] == [
        both[0][1]["result"],
        both[4][1]["error"]["code"],
        both[5][1]["error"]["code"],
    ]
    assert "pydantic" not in json.dumps(both)
    assert 4 == len(both[1][1]["result"]["resources"])


# at once


def test_bug_8_3_initialize_is_answered_before_anybody_serves(tmp_path: Path) -> None:
    """Upstream's clients timed out in the handshake while the server was still being found."""
    with socket.create_server(("127.0.0.1", 0)) as mute:  # takes connections, and never says a word
        url = f"http://127.0.0.1:{mute.getsockname()[1]}/mcp"
        file = runtime.publish(runtime.described(url, "mdx_x", home=tmp_path / ".madrox"))
        try:
            with Stdio(tmp_path) as stdio:
                stdio.hello()
                assert {} == stdio.ask("ping", 1)["result"]
                found = stdio.ask("server/discover", 2, era="2026-07-28")["result"]
        finally:
            runtime.withdraw(file)

    assert greeting.discovered() == found


def test_bug_8_25_it_starts_light() -> None:
    """Upstream's proxy imported the whole backend, 1.6 s, and some clients saw no tools."""
    program = "import sys, madrox_nb.stdio; print(*sorted(sys.modules))"
    said = subprocess.run((sys.executable, "-c", program), capture_output=True, text=True, check=True).stdout
    loaded = {name.partition(".")[0] for name in said.split()}

    assert not loaded & {"mcp", "mcp_types", "pydantic", "asyncio", "httpx2", "anyio", "psutil", "orjson"}
    assert "madrox_nb.manager" not in said.split()


# what goes through


@BOTH_ERAS
def test_progress_passes_and_cancelling_reaches_the_tool(
    madrox: Madrox, tmp_path: Path, era: str, hang: Hang
) -> None:
    with Stdio(tmp_path) as stdio:
        stdio.hello()
        stdio.say("tools/call", "a", era=era, name="hang", arguments={}, _meta={"progressToken": "t"})
        progress = stdio.hear()
        assert hang.began.wait(LONG)
        stdio.say("notifications/cancelled", requestId="a", era=era)
        assert hang.ended.wait(LONG)
        stdio.ask("tools/list", "b", era=era)

    assert ("notifications/progress", "t", "hanging") == (
        progress["method"],
        progress["params"]["progressToken"],
        progress["params"]["message"],
    )
    assert [] == stdio.unasked  # a request that was cancelled gets no answer


@BOTH_ERAS
def test_changes_are_heard_through_it(madrox: Madrox, tmp_path: Path, era: str) -> None:
    uri = "madrox://instances/lead"
    with Stdio(tmp_path) as stdio:
        stdio.hello()
        if era == "legacy":
            stdio.ask("resources/subscribe", "s", uri=uri)
        else:
            wanted = {"resourceSubscriptions": [uri]}
            stdio.say("subscriptions/listen", "s", era=era, notifications=wanted)
            assert "notifications/subscriptions/acknowledged" == stdio.hear()["method"]
        heard: list[dict[str, Any]] = []
        stop = threading.Event()

        def chatter() -> None:
            while not stop.wait(0.1):
                madrox.post("lead", "note")

        talking = threading.Thread(target=chatter)
        talking.start()
        try:
            heard.append(stdio.hear())
        finally:
            stop.set()
            talking.join()

    assert ("notifications/resources/updated", uri) == (heard[0]["method"], heard[0]["params"]["uri"])


def test_a_bad_line_is_answered_and_the_next_one_is_heard(madrox: Madrox, tmp_path: Path) -> None:
    bad = {
        b"{no json": -32700,
        b"\xff\xfe\xff": -32700,
        b"[" * 100_000: -32700,
        b"[]": -32600,
        b"7": -32600,
        b'{"jsonrpc": "2.0", "id": null, "method": "ping"}': -32600,
        b'{"jsonrpc": "2.0", "id": 1.5, "method": "ping"}': -32600,
        b'{"jsonrpc": "2.0", "id": 1, "method": 7}': -32600,
        b'{"jsonrpc": "2.0", "id": 1, "method": "ping", "params": []}': -32600,
        b'{"jsonrpc": "2.0", "id": 1}': -32600,
    }
    with Stdio(tmp_path) as stdio:
        stdio.hello()
        for line, code in bad.items():
            stdio.write(line)
            said = stdio.hear()
            assert (None, code) == (said["id"], said["error"]["code"]), line[:60]
        stdio.write(b"  \r")  # an empty line is nothing
        tree = stdio.call("get_instance_tree", "é\u2028")

    assert "lead (lead) [idle] (rehearsal) general" == tree["result"]["content"][0]["text"]


def test_who_begins_without_a_handshake_is_told_what_is_missing(madrox: Madrox, tmp_path: Path) -> None:
    with Stdio(tmp_path) as stdio:
        said = stdio.ask("tools/list", 7)
        wrong = stdio.ask("initialize", 8, protocolVersion="2025-11-25")

    assert 7 == said["id"]
    assert "session" in said["error"]["message"].lower()
    assert -32602 == wrong["error"]["code"]


def test_many_calls_at_once_each_get_their_own_answer(madrox: Madrox, tmp_path: Path) -> None:
    names = [f"agent-{number}" for number in range(40)]
    with Stdio(tmp_path) as stdio:
        stdio.hello()
        for name in names:
            stdio.say("tools/call", name, name="get_instance_status", arguments={"instance_id": name})
        said = {answer["id"]: answer for answer in (stdio.hear() for _ in names)}

    for name in names:
        assert f"no agent named {name!r}" in said[name]["result"]["content"][0]["text"]


# its end


def test_it_ends_with_its_input_and_leaves_no_session(madrox: Madrox, tmp_path: Path) -> None:
    before = sessions()
    with Stdio(tmp_path) as stdio:
        stdio.hello()
        stdio.say("tools/call", 1, name="get_instance_tree", arguments={})
        out, err = stdio.process.communicate(timeout=LONG)  # closes its input at once

    assert 0 == stdio.process.returncode
    assert before == sessions()
    assert 1 == json.loads(out)["id"]  # what was under way was still answered
    assert f"madrox mcp: serving what the process {os.getpid()} runs" in err.decode()
    assert 1 == err.count(b"\n")


@pytest.mark.parametrize("sent", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_it_where_it_is_meant_for_it(madrox: Madrox, tmp_path: Path, sent: int) -> None:
    """An interrupt at a terminal is for the client, which stays, and so do we."""
    with Stdio(tmp_path) as stdio:
        stdio.hello()
        stdio.process.send_signal(sent)
        if sent == signal.SIGINT:
            assert {} == stdio.ask("ping", 1)["result"]
            stdio.process.send_signal(signal.SIGTERM)
        assert 0 == stdio.process.wait(LONG)


def test_it_ends_when_its_client_is_gone_though_its_input_stays_open(madrox: Madrox, tmp_path: Path) -> None:
    ours, theirs = os.pipe()
    parent = (
        "import subprocess, sys\n"
        "child = subprocess.Popen(sys.argv[1:], stdin=0, stdout=subprocess.DEVNULL)\n"
        "print(child.pid, flush=True)\n"
        "sys.stdin.readline()"
    )
    with os.fdopen(theirs, "wb", buffering=0) as kept_open:
        client = subprocess.Popen(
            (sys.executable, "-c", parent.replace("stdin=0", f"stdin={ours}"), *COMMAND),
            env=environ(tmp_path),
            cwd=tmp_path,
            pass_fds=(ours,),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        os.close(ours)
        assert client.stdout is not None
        assert client.stderr is not None
        bridge = psutil.Process(int(client.stdout.readline()))
        kept_open.write(
            json.dumps({"jsonrpc": "2.0", "id": 0, "method": "initialize", "params": HELLO}).encode()
        )
        kept_open.write(b"\n")
        assert b"serving what" in client.stderr.readline()
        client.kill()
        client.communicate()
        bridge.wait(LONG)


def test_an_agent_is_not_given_the_persons_token(tmp_path: Path) -> None:
    with Stdio(tmp_path, MADROX_AGENT="run/lead") as stdio:
        out, err = stdio.process.communicate(timeout=LONG)

    assert (2, b"") == (stdio.process.returncode, out)
    assert "lead is an agent and has the madrox tools by a token of its own" in err.decode()


def test_the_token_is_seen_nowhere(madrox: Madrox, tmp_path: Path) -> None:
    token = madrox.serve().token
    with Stdio(tmp_path) as stdio:
        stdio.hello().call("get_instance_tree")
        process = psutil.Process(stdio.process.pid)
        seen = [*process.cmdline(), *process.environ().values(), json.dumps(stdio.unasked)]
        out, err = stdio.process.communicate(timeout=LONG)

    assert not any(token in text for text in (*seen, out.decode(), err.decode()))


def test_what_prints_does_not_reach_the_client() -> None:
    program = (
        "import os, sys\nfrom madrox_nb.stdio import _ends\nlines, output = _ends()\n"
        "print('printed'); sys.stdout.flush(); os.system('echo child; cat')\n"
        "output.write(lines.readline()); output.flush()"
    )
    ran = subprocess.run((sys.executable, "-c", program), input=b"line\n", capture_output=True, check=True)

    assert b"line\n" == ran.stdout
    assert b"printed\nchild\n" == ran.stderr


# the stream of an answer


@pytest.mark.parametrize("size", [1, 2, 3, 7, 1000])
def test_server_sent_events_are_whole_however_they_arrive(size: int) -> None:
    stream = (
        b": ping\r\n\r\nevent: message\r\ndata: {1}\r\n\r\n"
        b"id: 7\ndata:{2\ndata: }\n\nretry: 5\n\ndata: {3}\n\ndata: never ended"
    )
    pieces = (stream[at : at + size] for at in range(0, len(stream), size))

    assert [b"{1}", b"{2\n}", b"{3}"] == list(events(pieces))


def test_a_message_is_one_line_and_otherwise_as_it_was() -> None:
    assert b'{"a":  1}' == one_line(b'{"a":  1}')
    assert b'{"a":[1,"\\n"]}' == one_line(b'{"a":\n [1, "\\n"]}')


def test_a_reader_that_is_gone_ends_it(madrox: Madrox, tmp_path: Path) -> None:
    with Stdio(tmp_path) as stdio:
        stdio.hello()
        assert stdio.process.stdout is not None
        stdio.process.stdout.close()
        with suppress(BrokenPipeError):
            stdio.say("ping", 1)

        assert 0 == stdio.process.wait(LONG)
