"""Many clients at once, an end in the middle of it, and requests that nobody should send."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Coroutine, Iterator
from pathlib import Path
from typing import Any

import httpx2
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from mcp.client.client import Client
from mcp.client.streamable_http import streamable_http_client
from web import LOOPBACK, PERSONS, Site, run, site

from madrox_nb.tools import waiting

pytestmark = pytest.mark.slow

CLIENTS = 100
CALLS = 5


@pytest.fixture(autouse=True)
def nothing_is_logged_as_a_bug(caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    with caplog.at_level(logging.WARNING, "madrox_nb"):
        yield
    assert [] == [record.getMessage() for record in caplog.records if record.levelno >= logging.ERROR]


# an end in the middle of it


@pytest.mark.parametrize("era", ["legacy", "2026-07-28"])
def test_the_server_ends_within_two_seconds_whatever_is_under_way(tmp_path: Path, era: str) -> None:
    """W22: with a blocking call under way it did not end within 15 s."""

    async def story() -> None:
        async with site(tmp_path) as on:
            for number in range(3):
                await on.execute("spawn_instance", name=f"bob{number}")
            hanging = {"message": "/hang", "wait_for_response": True}
            async with on.bearing(PERSONS) as http:
                person = Client(streamable_http_client(on.server.url, http_client=http), mode=era)
                await person.__aenter__()
                waiting_calls: list[Coroutine[Any, Any, Any]] = [
                    person.call_tool("send_to_instance", {"instance_id": "bob0", **hanging}),
                    on.execute("send_to_instance", instance_id="bob1", **hanging),
                    on.execute("send_to_instance", instance_id="bob2", **hanging),
                    on.execute("get_pending_replies", wait_timeout=45),
                    on.get("/events"),
                ]
                under_way = [asyncio.ensure_future(each) for each in waiting_calls]
                while not all(on.manager.tree[f"bob{number}"].turn for number in range(3)):
                    await on.manager.mail.change()
                loop = asyncio.get_running_loop()
                began = loop.time()
                await on.server.stop()
                took = loop.time() - began
                by_mcp, *by_rest, events = await asyncio.gather(*under_way)
                await person.__aexit__(None, None, None)
                with pytest.raises(httpx2.ConnectError):
                    await on.get("/health")

            assert took < 10
            assert by_mcp.is_error
            told = "the server stops, and nobody waits any more. What was begun goes on"
            assert told == by_mcp.content[0].text
            assert [told] * 3 == [each["error"]["message"] for each in by_rest]
            assert "event: stream.closed" in events.text
            assert {"busy"} == {agent.state for agent in on.manager.tree}, "what they asked for goes on"

    run(story())


# many at once


def test_a_hundred_clients_at_once_all_get_their_own_answers(tmp_path: Path) -> None:
    async def story() -> None:
        async with site(tmp_path) as on:
            tokens = [on.manager.tokens.issue(f"client{number}") for number in range(CLIENTS)]
            await on.execute("spawn_instance", name="bob")

            async def by_rest(number: int) -> None:
                async with on.bearing(tokens[number]) as http:
                    for _ in range(CALLS):
                        answer = await http.get("/health")
                        assert (200, f"client{number}") == (answer.status_code, answer.json()["caller"])

            async def by_mcp(number: int) -> None:
                async with (
                    on.bearing(tokens[number]) as http,
                    Client(streamable_http_client(on.server.url, http_client=http)) as client,
                ):
                    wrong = {"reply_message": "x", "instance_id": "eve"}
                    for _ in range(CALLS):
                        [said] = (await client.call_tool("reply_to_caller", wrong)).content
                        told = f"you are client{number} and can't reply as eve. Leave instance_id out"
                        assert told == getattr(said, "text", "")

            await asyncio.gather(*(by_rest(n) if n % 2 else by_mcp(n) for n in range(CLIENTS)))

    run(story(), 90)


def test_a_hundred_readers_of_the_events_all_get_everything(tmp_path: Path) -> None:
    async def story() -> None:
        async with site(tmp_path) as on:
            await on.execute("spawn_instance", name="bob")
            ready = asyncio.Barrier(CLIENTS + 1)

            async def read() -> list[str]:
                async with on.bearing(PERSONS) as http, http.stream("GET", "/events?kind=turn") as answer:
                    lines = answer.aiter_lines()
                    async for line in lines:
                        if line == "event: stream.opened":
                            break
                    await ready.wait()
                    seen = []
                    async for line in lines:
                        if line.startswith("id: "):
                            seen.append(line)
                        elif (
                            line.startswith("data: ") and '"turn":"bob.t20"' in line and "turn.ended" in line
                        ):
                            return seen
                    return seen

            reading = [asyncio.ensure_future(read()) for _ in range(CLIENTS)]
            await ready.wait()
            for number in range(20):
                await on.execute(
                    "send_to_instance", instance_id="bob", message=f"/say {number}", wait_for_response=True
                )
            seen = await asyncio.gather(*reading)
            turns = sum(1 for entry in on.manager.ledger if entry.event.kind.startswith("turn."))

            assert {tuple(seen[0])} == {tuple(each) for each in seen}
            assert turns == len(seen[0]) - seen[0].count("id: ")

    run(story(), 90)


# what nobody should send


HEADERS = {"Content-Type": "application/json", "Accept": "application/json, text/event-stream"}
MODERN = {
    "MCP-Protocol-Version": "2026-07-28",
    "Mcp-Method": "tools/call",
    "Mcp-Name": "get_instance_tree",
}
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=12), inner, max_size=4),
    max_leaves=12,
)
MESSAGES = st.fixed_dictionaries(
    {},
    optional={
        "jsonrpc": st.just("2.0") | JSON,
        "id": st.integers() | JSON,
        "method": st.sampled_from(["tools/call", "tools/list", "initialize", "ping", "resources/read"])
        | JSON,
        "params": st.fixed_dictionaries(
            {}, optional={"name": st.just("get_instance_tree") | JSON, "arguments": JSON, "_meta": JSON}
        )
        | JSON,
    },
)


class Throwing:
    """A server in a loop of this thread, at which hypothesis throws one request after the other."""

    def __init__(self, tmp_path: Path) -> None:
        self.runner = asyncio.Runner()
        self._site = site(tmp_path)
        self.on: Site = self.runner.run(self._site.__aenter__())

    def close(self) -> None:
        self.runner.run(self._site.__aexit__(None, None, None))
        self.runner.close()

    def post(self, path: str, body: bytes, **headers: str) -> httpx2.Response:
        sent = self.on.http.post(path, content=body, headers={**HEADERS, **headers}, timeout=10)
        return self.runner.run(sent)

    def raw(self, data: bytes) -> bytes:
        """What comes back on a bare connection until it is closed, or for a fifth of a second."""

        async def exchange() -> bytes:
            port = httpx2.URL(self.on.server.url).port
            reader, writer = await asyncio.open_connection(LOOPBACK, port)
            writer.write(data)
            writer.write_eof()
            try:
                async with asyncio.timeout(60):
                    return await reader.read()
            finally:
                writer.close()

        return self.runner.run(exchange())


@pytest.fixture
def throwing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Throwing]:
    monkeypatch.setattr(waiting, "LONGEST_WAIT", 0.05)
    thrown = Throwing(tmp_path)
    yield thrown
    thrown.close()


def patient(examples: int) -> settings:
    return settings(
        max_examples=examples,
        deadline=None,
        suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
        derandomize=True,
    )


@pytest.mark.parametrize("era", ["legacy", "modern"])
def test_broken_json_rpc_is_never_a_500_and_never_hangs(throwing: Throwing, era: str) -> None:
    """W23: notifications and pings were answered with errors, wrong requests with tracebacks."""
    extra = MODERN if era == "modern" else {}

    @patient(150)
    @given(st.binary(max_size=200) | MESSAGES.map(lambda m: json.dumps(m).encode()))
    def each(body: bytes) -> None:
        answer = throwing.post("/mcp", body, **extra)

        assert answer.status_code < 500, answer.text

    each()
    assert 200 == throwing.runner.run(throwing.on.get("/health")).status_code


def test_any_body_for_a_tool_is_answered_in_json_and_never_with_a_500(throwing: Throwing) -> None:
    bodies = st.fixed_dictionaries(
        {},
        optional={"tool": st.sampled_from(["get_children", "get_instance_output"]) | JSON, "arguments": JSON},
    )

    @patient(150)
    @given(st.binary(max_size=200) | (bodies | JSON).map(lambda b: json.dumps(b).encode()))
    def each(body: bytes) -> None:
        answer = throwing.post("/tools/execute", body)

        assert answer.status_code < 500, answer.text
        assert {"text", "data"} == set(answer.json()) or {"type", "message"} <= set(answer.json()["error"])

    each()


def test_broken_http_is_never_a_500_and_never_hangs(throwing: Throwing) -> None:
    start = st.sampled_from([b"GET ", b"POST ", b"\x16\x03\x01", b""])
    target = st.sampled_from(
        [b"/mcp HTTP/1.1\r\n", b"/health HTTP/1.1\r\nHost: x\r\n", b"//../ HTTP/1.0\r\n", b""]
    )
    known = b"Authorization: Bearer " + PERSONS.encode() + b"\r\n"
    headers = st.lists(
        st.sampled_from(
            [known, b"Host: 127.0.0.1\r\n", b"Content-Length: -1\r\n", b"Transfer-Encoding: chunked\r\n"]
        )
        | st.binary(max_size=30),
        max_size=4,
    )

    @patient(150)
    @given(start, target, headers, st.binary(max_size=60))
    def each(start: bytes, target: bytes, headers: list[bytes], body: bytes) -> None:
        answer = throwing.raw(start + target + b"".join(headers) + b"\r\n" + body)

        assert not answer.startswith(b"HTTP/1.1 5")

    each()
    assert 200 == throwing.runner.run(throwing.on.get("/health")).status_code
