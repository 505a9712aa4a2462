"""The server over real HTTP: who may call, in both eras of the protocol, with real agents."""

from __future__ import annotations

import asyncio
import io
import json
import logging
import os
import socket
import subprocess
import sys
import warnings
from collections.abc import AsyncIterator, Coroutine, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx2
import pytest
from mcp.client.client import Client
from mcp.client.streamable_http import streamable_http_client
from mcp.types import CallToolResult, TextContent

from madrox_nb import calls, protocol
from madrox_nb.config import Settings
from madrox_nb.errors import ServerError
from madrox_nb.events import MessagePosted, ToolReturned, TurnStarted
from madrox_nb.listening import check_safe, listen
from madrox_nb.manager import Manager
from madrox_nb.server import Server
from madrox_nb.tools import waiting

pytestmark = pytest.mark.slow

PERSONS = "mdx_" + "p" * 43
LOOPBACK = "127.0.0.1"
BOTH_ERAS = pytest.mark.parametrize("era", ["legacy", "2026-07-28"])


@asynccontextmanager
async def serving(tmp_path: Path) -> AsyncIterator[Server]:
    """A manager whose agents find their tools at a running server."""
    box: list[Server] = []
    settings = Settings(home=tmp_path / "home", harnesses=("rehearsal",))
    manager = Manager(settings, environ={"PATH": "/usr/bin:/bin"}, mcp_url=lambda: box[0].start())
    box.append(Server(manager, LOOPBACK, 0, PERSONS))
    await manager.open()
    await box[0].start()
    try:
        yield box[0]
    finally:
        await manager.close()
        await box[0].stop()


@asynccontextmanager
async def client(server: Server, token: str = PERSONS, era: str = "2026-07-28") -> AsyncIterator[Client]:
    headers = {"Authorization": f"Bearer {token}"}
    async with (
        httpx2.AsyncClient(headers=headers, timeout=90) as http,
        Client(streamable_http_client(server.url, http_client=http), mode=era) as caller,
    ):
        yield caller


def post(server: Server, body: bytes, **headers: str) -> Coroutine[Any, Any, httpx2.Response]:
    async def sent() -> httpx2.Response:
        async with httpx2.AsyncClient(timeout=30) as http:
            kinds = {"Content-Type": "application/json", "Accept": "application/json, text/event-stream"}
            named = {name.replace("_", "-"): value for name, value in headers.items()}
            return await http.post(server.url, content=body, headers={**kinds, **named})

    return sent()


async def raw_call(server: Server, tool: str, arguments: dict[str, Any]) -> httpx2.Response:
    """A call as bytes, for what mcp's own client does not survive."""
    prefix = "io.modelcontextprotocol/"
    meta = {f"{prefix}protocolVersion": "2026-07-28", f"{prefix}clientCapabilities": {}}
    params = {"name": tool, "arguments": arguments, "_meta": meta}
    body = json.dumps({"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": params})
    return await post(
        server,
        body.encode(),
        Authorization=f"Bearer {PERSONS}",
        MCP_Protocol_Version="2026-07-28",
        Mcp_Method="tools/call",
        Mcp_Name=tool,
    )


def text(result: CallToolResult) -> str:
    [content] = result.content
    assert isinstance(content, TextContent)
    return content.text


@pytest.fixture
def our_log() -> Iterator[io.StringIO]:
    """What would stand in madrox.log. (caplog also listens at the libraries' own loggers.)"""
    written, ours = io.StringIO(), logging.getLogger("madrox_nb")
    handler = logging.StreamHandler(written)
    ours.addHandler(handler)
    yield written
    ours.removeHandler(handler)


def run(story: Coroutine[Any, Any, None]) -> None:
    asyncio.run(asyncio.wait_for(story, 100))


# the protocol


@BOTH_ERAS
def test_the_tools_are_listed_and_called_in_both_eras(tmp_path: Path, era: str) -> None:
    async def story() -> None:
        async with serving(tmp_path) as server, client(server, era=era) as person:
            listed = (await person.list_tools()).tools
            called = await person.call_tool("get_instance_tree")

            assert list(calls.TOOLS) == [tool.name for tool in listed]
            assert all(tool.description and tool.output_schema is None for tool in listed)
            hints = {tool.name: tool.annotations for tool in listed if tool.annotations}
            assert hints["get_pending_replies"].read_only_hint
            assert hints["terminate_instance"].destructive_hint
            assert not hints["send_to_instance"].destructive_hint
            assert "no agents yet: spawn_instance starts one" == text(called)

    run(story())


@pytest.mark.slow
@BOTH_ERAS
def test_a_waiting_tool_reports_progress_and_says_running(
    tmp_path: Path, era: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(waiting, "LONGEST_WAIT", 1.0)
    monkeypatch.setattr(waiting, "BEAT", 0.05)

    async def story() -> None:
        async with serving(tmp_path) as server, client(server, era=era) as person:
            await person.call_tool("spawn_instance", {"name": "bob"})
            told: list[tuple[float, str | None]] = []

            async def progress(done: float, total: float | None, message: str | None) -> None:
                told.append((done, message))

            hanging = {"instance_id": "bob", "message": "/hang", "wait_for_response": True}
            waited = await person.call_tool("send_to_instance", hanging, progress_callback=progress)

            assert not waited.is_error
            assert "running" == (waited.structured_content or {})["status"]
            assert text(waited).startswith("running: bob is busy. get_pending_replies brings the answer")
            assert 5 <= len(told)
            assert sorted(told) == told
            assert "bob is busy, 0 s so far" == told[0][1]

    run(story())


@BOTH_ERAS
def test_hanging_up_ends_the_waiting_and_not_the_agent(tmp_path: Path, era: str) -> None:
    async def story() -> None:
        async with serving(tmp_path) as server, client(server, era=era) as person:
            manager = server.manager
            await person.call_tool("spawn_instance", {"name": "bob"})
            asking = asyncio.create_task(
                person.call_tool(
                    "send_to_instance",
                    {"instance_id": "bob", "message": "/slow 3 0.3", "wait_for_response": True},
                )
            )
            while not manager.tree["bob"].turn:
                await manager.mail.change()
            asking.cancel()
            got = await person.call_tool("get_pending_replies", {"wait_timeout": 45})

            assert "[bob.m1] bob answers [bob.t1]:\nword-1 word-2 word-3" == text(got)

    run(story())


def test_a_prompt_of_several_megabytes_arrives_whole(tmp_path: Path) -> None:
    async def story() -> None:
        async with serving(tmp_path) as server, client(server) as person:
            await person.call_tool("spawn_instance", {"name": "bob"})
            message = "é" * 2_500_000
            sent = await person.call_tool("send_to_instance", {"instance_id": "bob", "message": message})
            assert not sent.is_error
            assert await server.manager.quiet((), 60)

            [turn] = [e.event for e in server.manager.ledger if isinstance(e.event, TurnStarted)]
            assert message == turn.text

    run(story())


def test_structured_content_is_for_the_persons_programs_and_never_for_a_model(tmp_path: Path) -> None:
    async def story() -> None:
        async with serving(tmp_path) as server:
            token = server.manager.tokens.issue("alice")
            async with client(server) as person, client(server, token) as alice:
                for_person = await person.call_tool("get_pending_replies")
                for_alice = await alice.call_tool("get_pending_replies")

            assert text(for_person) == text(for_alice)
            assert None is for_alice.structured_content
            assert ["text", "replies"] == list(for_person.structured_content or {})
            assert text(for_person) == (for_person.structured_content or {})["text"]

    run(story())


def test_what_goes_wrong_is_an_error_the_model_can_read(tmp_path: Path) -> None:
    async def story() -> None:
        async with serving(tmp_path) as server, client(server) as person:
            await person.call_tool("spawn_instance", {"name": "bob"})
            wrong: list[tuple[str, dict[str, Any], str]] = [
                ("spawn", {}, "there is no tool 'spawn'. Did you mean "),
                (
                    "spawn_instance",
                    {"nam": "x"},
                    "spawn_instance has no argument 'nam'. Did you mean 'name'?",
                ),
                ("get_instance_output", {"instance_id": "bb"}, "no agent named 'bb'. Did you mean 'bob'?"),
                ("spawn_instance", {"name": "bob"}, "or stop it first: terminate_instance bob"),
                (
                    "send_to_instance",
                    {"instance_id": "bob", "message": "/fail no", "wait_for_response": True},
                    "bob: turn bob.t1 failed: no.",
                ),
            ]
            for tool, given, said in wrong:
                result = await person.call_tool(tool, given)
                assert result.is_error
                assert said in text(result)
                assert None is result.structured_content

    run(story())


def test_a_bug_is_told_as_one_and_its_traceback_goes_to_the_log(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, our_log: io.StringIO
) -> None:
    async def broken(call: calls.Call) -> calls.Result:
        raise RuntimeError("the inside")

    monkeypatch.setitem(calls.TOOLS, "broken", calls.Tool(broken, True, False))

    async def story() -> None:
        async with serving(tmp_path) as server, client(server) as person:
            result = await person.call_tool("broken")

            assert result.is_error
            assert text(result).startswith("internal error in broken")
            assert "the inside" not in text(result)

    run(story())
    assert "broken failed when you called it\nTraceback" in our_log.getvalue()
    assert "the inside" in our_log.getvalue()


# who is calling


def test_without_a_valid_token_nobody_gets_in(tmp_path: Path) -> None:
    async def story() -> None:
        async with serving(tmp_path) as server:
            gone = server.manager.tokens.issue("alice")
            alive = server.manager.tokens.issue("bob")
            server.manager.tokens.revoke("alice")
            call = json.dumps({"jsonrpc": "2.0", "id": 1, "method": "tools/list"}).encode()
            seen = [
                (await post(server, call, **headers)).status_code
                for headers in (
                    {},
                    {"Authorization": f"Bearer {PERSONS}x"},
                    {"Authorization": f"Basic {PERSONS}"},
                    {"Authorization": f"Bearer {gone}"},
                    {"Authorization": f"Bearer {alive}", "Host": "evil.example"},
                    {"Authorization": f"Bearer {alive}", "Origin": "http://evil.example"},
                )
            ]
            unread = await post(server, b"x" * 2_000_000)

            assert [401, 401, 401, 401, 421, 403] == seen
            assert 401 == unread.status_code

    run(story())


def test_what_is_no_message_is_a_bad_request(tmp_path: Path) -> None:
    async def story() -> None:
        async with serving(tmp_path) as server:
            for headers in ({}, {"MCP_Protocol_Version": "2026-07-28"}):
                for body in (b"{no json", b"", b"\xff", b"[" * 50_000, b"[]", b"7"):
                    answered = await post(server, body, Authorization=f"Bearer {PERSONS}", **headers)
                    assert 400 == answered.status_code, (headers, body[:10])

    run(story())


def test_a_token_ends_with_its_agent(tmp_path: Path) -> None:
    async def story() -> None:
        async with serving(tmp_path) as server, client(server) as person:
            await person.call_tool("spawn_instance", {"name": "bob"})
            [token_file] = (tmp_path / "home").rglob("mcp-token")
            token = token_file.read_text()
            bearer = f"Bearer {token}"
            before = (await post(server, b"{", Authorization=bearer)).status_code
            await person.call_tool("terminate_instance", {"instance_id": "bob"})
            after = (await post(server, b"{", Authorization=bearer)).status_code

            assert (400, 401) == (before, after)

    run(story())


@pytest.mark.slow
def test_twenty_callers_at_once_are_never_mixed_up(tmp_path: Path) -> None:
    async def story() -> None:
        async with serving(tmp_path) as server:

            async def calls(number: int) -> None:
                name = f"agent-{number}"
                token = server.manager.tokens.issue(name)
                async with client(server, token, "legacy" if number % 2 else "2026-07-28") as caller:
                    said = await asyncio.gather(
                        *(
                            caller.call_tool("reply_to_caller", {"reply_message": "x", "instance_id": "eve"})
                            for _ in range(4)
                        )
                    )
                    told = f"you are {name} and can't reply as eve. Leave instance_id out"
                    assert [told] * 4 == [text(each) for each in said]

            await asyncio.gather(*(calls(number) for number in range(20)))

    run(story())


def test_a_child_belongs_to_whose_token_asked_for_it_however_busy_others_are(tmp_path: Path) -> None:
    async def story() -> None:
        async with serving(tmp_path) as server, client(server) as person:
            for name in ("alice", "bob"):
                await person.call_tool("spawn_instance", {"name": name})
            await person.call_tool("send_to_instance", {"instance_id": "bob", "message": "/hang"})
            await person.call_tool(
                "send_to_instance",
                {"instance_id": "alice", "message": "/spawn carol", "wait_for_response": True},
            )

            assert "busy" == server.manager.tree["bob"].state
            assert "alice" == server.manager.tree["carol"].parent

    run(story())


def test_agents_spawn_grandchildren_by_their_own_calls(tmp_path: Path) -> None:
    async def story() -> None:
        async with serving(tmp_path) as server:
            manager = server.manager
            await manager.spawn("alice")
            answer = await manager.send("alice", "/spawn bob\n/send bob /spawn carol architect")

            assert "spawned bob (general)\nbob answered: spawned carol (architect)" == answer.text
            assert ["bob", "alice"] == manager.tree.above("carol")

    run(story())


def test_what_a_child_says_is_handed_to_its_parent_once(tmp_path: Path) -> None:
    async def story() -> None:
        async with serving(tmp_path) as server:
            manager = server.manager
            await manager.spawn("alice")
            await manager.send("alice", "/spawn bob\n/spawn cy general auto_inject=false")
            taken = await manager.send("alice", "/post bob /say one\n/inbox 10\n/inbox")
            await manager.send("alice", "/post bob /say two\n/post cy /say three")
            assert await manager.quiet((), 60)
            kept = await manager.send("alice", "/inbox 10")

            assert "[bob.m1] bob answers [alice.m1]:\none" in taken.text
            assert taken.text.endswith("inbox: no messages, and nobody is at work on anything you asked")
            assert "[cy.m1] cy answers [alice.m3]:\nthree" in kept.text
            assert "two" not in kept.text, "it started a turn of its own"
            turns = [e.event.text for e in manager.ledger if isinstance(e.event, TurnStarted)]
            assert ["[bob.m2] bob answers [alice.m2]:\ntwo"] == [t for t in turns if t.endswith("]:\ntwo")]
            posted = [e.event for e in manager.ledger if isinstance(e.event, MessagePosted)]
            assert ["one", "three", "two"] == sorted(each.text for each in posted if each.answers)
            assert not manager.inboxes.unread("alice")

    run(story())


def test_an_agent_can_answer_before_its_turn_is_over(tmp_path: Path) -> None:
    async def story() -> None:
        async with serving(tmp_path) as server:
            manager = server.manager
            await manager.spawn("alice")
            answer = await manager.send("alice", "/spawn bob\n/send bob /reply the result\\n/say bye")

            assert answer.text.endswith("bob answered: the result\n\nreplied\nbye")
            results = [e.event.output for e in manager.ledger if isinstance(e.event, ToolReturned)]
            assert "replied to alice (bob.m1)" in results

    run(story())


# the address


def test_starting_twice_at_once_is_starting_once(tmp_path: Path) -> None:
    async def story() -> None:
        async with serving(tmp_path) as server:
            await server.stop()
            assert "" == server.url
            first, second = await asyncio.gather(server.start(), server.start())
            async with client(server) as person:
                await person.call_tool("get_instance_tree")

            assert first == second == server.url
            assert "" == server.notice

    run(story())


def test_a_taken_port_is_replaced_by_a_free_one_and_that_is_said() -> None:
    with socket.socket() as taken:
        taken.bind((LOOPBACK, 0))
        taken.listen()
        port = taken.getsockname()[1]
        listener, notice = listen(LOOPBACK, port)
        with listener:
            free = listener.getsockname()[1]

    assert free != port
    assert f"port {port} is taken; listening on {free}" == notice


def test_two_servers_never_share_a_port() -> None:
    first, _ = listen(LOOPBACK, 0)
    with first:
        port = first.getsockname()[1]
        second, notice = listen(LOOPBACK, port)
        with second:
            assert port != second.getsockname()[1]
    assert notice


@pytest.mark.parametrize("host", ["0.0.0.0", "192.0.2.1", "::", "example.org"])
def test_beyond_loopback_nobody_listens_without_tls_and_the_refusal_says_why(host: str) -> None:
    with pytest.raises(ServerError, match="without TLS everybody on the way could read the tokens"):
        check_safe(host, tls=False, insecure=False)


def test_a_port_that_cannot_be_had_is_told_with_the_setting() -> None:
    with pytest.raises(ServerError, match="Set ORCHESTRATOR_PORT to another port"):
        listen(LOOPBACK, 70_000)


def test_the_listening_socket_sends_small_answers_at_once() -> None:
    listener, _ = listen(LOOPBACK, 0)
    with listener:
        assert socket.IPPROTO_TCP == listener.proto, "else asyncio leaves TCP_NODELAY off"


def test_a_forked_child_does_not_keep_the_port() -> None:
    listener, _ = listen(LOOPBACK, 0)
    with listener, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # forking with threads is what users do
        pid = os.fork()
        if pid == 0:
            os._exit(0 if listener.fileno() == -1 else 1)
        assert 0 == os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
        assert -1 != listener.fileno()


@pytest.mark.slow
def test_stopping_drops_a_call_under_way_soon_and_leaves_the_agent_at_work(
    tmp_path: Path, our_log: io.StringIO
) -> None:
    async def story() -> None:
        async with serving(tmp_path) as server:
            await server.manager.spawn("bob")
            hanging = {"instance_id": "bob", "message": "/hang", "wait_for_response": True}
            asking = asyncio.create_task(raw_call(server, "send_to_instance", hanging))
            while not server.manager.tree["bob"].turn:
                await server.manager.mail.change()
            async with asyncio.timeout(60):
                await server.stop()
            await asyncio.wait((asking,), timeout=60)

            assert asking.done()
            assert "" == server.url
            assert "busy" == server.manager.tree["bob"].state

    run(story())
    assert "Traceback" not in our_log.getvalue()


def test_importing_the_server_loads_nothing_heavy() -> None:
    heavy = ("mcp", "pydantic", "uvicorn", "starlette", "anyio", "httpx2")
    code = f"import sys, madrox_nb.server; print([m for m in {heavy} if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert "[]" == done.stdout.strip()


def test_the_libraries_log_into_ours_and_not_into_the_notebook(tmp_path: Path, our_log: io.StringIO) -> None:
    root = logging.getLogger()
    before = list(root.handlers), root.level

    async def story() -> None:
        async with serving(tmp_path):
            logging.getLogger("uvicorn.ours").warning("a library's warning")
            logging.getLogger("mcp.server.lowlevel").info("a library's chatter")
            assert before == (list(root.handlers), root.level)

    run(story())
    assert not logging.getLogger("uvicorn").propagate
    assert "a library's warning\n" == our_log.getvalue()


def test_a_call_does_not_have_all_tools_listed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    listed: list[object] = []

    async def listing(*_: object) -> None:
        listed.append(1)

    monkeypatch.setattr(protocol.Calls, "list_tools", listing)

    async def story() -> None:
        async with serving(tmp_path) as server:
            answer = await raw_call(server, "get_children", {"parent_id": "you"})
            assert 200 == answer.status_code
            assert "you has no children" in answer.text
            assert [] == listed

    run(story())
