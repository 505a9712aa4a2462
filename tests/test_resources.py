"""What an MCP client reads and follows, and the prompts it is offered, in both eras with real agents."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx2
import pytest
from mcp.client.client import Client
from mcp.client.streamable_http import streamable_http_client
from mcp.client.subscriptions import ResourcesListChanged, ResourceUpdated
from mcp.shared.exceptions import MCPError
from mcp.types import INVALID_PARAMS, TextResourceContents
from test_server import BOTH_ERAS, PERSONS, client, post, run, serving

from madrox_nb import greeting, library, ready_prompts, resources
from madrox_nb.errors import BadInput
from madrox_nb.following import PAUSE_SECONDS
from madrox_nb.ready_prompts import Argument, ReadyPrompt
from madrox_nb.server import Server

WHEN_LEGACY = "legacy"
pytestmark = [
    pytest.mark.slow,
    pytest.mark.filterwarnings("ignore:resources/(un)?subscribe is removed"),
]


async def read(caller: Client, uri: str) -> str:
    [content] = (await caller.read_resource(uri)).contents
    assert isinstance(content, TextResourceContents)
    assert uri == str(content.uri)
    return content.text


async def refused(caller: Client, uri: str) -> MCPError:
    with pytest.raises(MCPError) as raised:
        await caller.read_resource(uri)
    return raised.value


@asynccontextmanager
async def family(tmp_path: Path) -> AsyncIterator[tuple[Server, dict[str, str]]]:
    """lead with the child kid, and loner beside them; their tokens."""
    async with serving(tmp_path) as server:
        manager = server.manager
        await manager.spawn("lead")
        await manager.spawn("kid", parent="lead")
        await manager.spawn("nephew", parent="kid")
        await manager.spawn("loner")
        tokens = {name: manager.tokens.issue(name) for name in ("lead", "kid", "nephew", "loner")}
        yield server, tokens


# reading


@BOTH_ERAS
def test_the_tree_an_agent_and_its_transcript_are_read_by_their_addresses(tmp_path: Path, era: str) -> None:
    async def story() -> None:
        async with serving(tmp_path) as server, client(server, era=era) as person:
            await server.manager.spawn("two words", role="architect")
            await server.manager.answer(await server.manager.ask("two words", "hello there"))

            assert "two words (two words) [idle] (rehearsal) architect" == await read(person, "madrox://tree")
            status = json.loads(await read(person, "madrox://instances/two%20words"))
            assert ("two words", "idle", 1) == (status["name"], status["state"], status["turns"])
            said = await read(person, "madrox://instances/two%20words/transcript")
            assert "you prompt: hello there" in said
            lines = [json.loads(line) for line in (await read(person, "madrox://audit")).splitlines()]
            assert "run.opened" == lines[0]["kind"]
            assert "turn.ended" == lines[-1]["kind"]

    run(story())


@BOTH_ERAS
def test_what_can_be_read_is_listed_and_each_of_it_can_be_read(tmp_path: Path, era: str) -> None:
    async def story() -> None:
        async with serving(tmp_path) as server, client(server, era=era) as person:
            await server.manager.spawn("bob")
            listed = (await person.list_resources()).resources
            templates = (await person.list_resource_templates()).resource_templates

            uris = [str(each.uri) for each in listed]
            assert [
                "madrox://tree",
                "madrox://audit",
                "madrox://instances/bob",
                "madrox://instances/bob/transcript",
            ] == uris
            assert [resources.AGENT, resources.TRANSCRIPT] == [each.uri_template for each in templates]
            assert all(each.description and each.mime_type for each in (*listed, *templates))
            for each in listed:
                [content] = (await person.read_resource(str(each.uri))).contents
                assert each.mime_type == content.mime_type

    run(story())


def test_an_agent_reads_and_is_listed_whom_its_tools_would_show_it(tmp_path: Path) -> None:
    async def story() -> None:
        async with family(tmp_path) as (server, tokens):
            async with client(server, tokens["kid"]) as kid:
                listed = {str(each.uri) for each in (await kid.list_resources()).resources}
                lead = json.loads(await read(kid, "madrox://instances/lead"))
                error = await refused(kid, "madrox://instances/loner/transcript")
                record = await read(kid, "madrox://audit")

            names = {uri.split("/")[3] for uri in listed if "/instances/" in uri}
            assert {"lead", "kid", "nephew"} == names
            assert "lead" == lead["name"]
            assert "kid can't look at loner: it is neither below kid nor its parent or sibling" in str(error)
            assert {"lead", "kid", "nephew", ""} == {
                json.loads(line).get("agent", "") for line in record.splitlines()
            }

    run(story())


@BOTH_ERAS
def test_what_is_no_resource_is_an_error_that_names_it(tmp_path: Path, era: str) -> None:
    wrong = {
        "madrox://instances/bb": "no agent named 'bb'. Did you mean 'bob'?",
        "madrox://instances/bob/wire": "there is no resource madrox://instances/bob/wire. Known: ",
        "madrox://instances/": "there is no resource",
        "madrox://tree/": "there is no resource",
        "file:///etc/passwd": "there is no resource",
        "madrox://instances/bob/../loner": "there is no resource",
    }

    async def story() -> None:
        async with serving(tmp_path) as server, client(server, era=era) as person:
            await server.manager.spawn("bob")
            for uri, said in wrong.items():
                error = await refused(person, uri)

                assert said in str(error)
                assert (INVALID_PARAMS, {"uri": uri}) == (error.error.code, error.error.data)

    run(story())


def test_a_long_record_comes_with_its_newest_entries_and_long_fields_without_their_middle(
    tmp_path: Path,
) -> None:
    async def story() -> None:
        async with serving(tmp_path) as server, client(server) as person:
            manager = server.manager
            await manager.spawn("bob")
            for number in range(resources.MOST_ENTRIES + 5):
                await manager.post("bob", f"note {number}")
            await manager.post("bob", "x" * 10_000)
            lines = [json.loads(line) for line in (await read(person, "madrox://audit")).splitlines()]

            assert resources.MOST_ENTRIES == len(lines)
            assert [*manager.ledger][-1].seq == lines[-1]["seq"]
            assert "8,000 characters are left out here" in lines[-1]["text"]

    run(story())


# following


class Told:
    """What a client was told of changes, in either era."""

    def __init__(self) -> None:
        self.uris: list[str] = []
        self.lists = 0
        self._changed = asyncio.Event()

    async def legacy(self, message: Any) -> None:
        if getattr(message, "method", "") == "notifications/resources/updated":
            self.hear(ResourceUpdated(uri=str(message.params.uri)))
        elif getattr(message, "method", "") == "notifications/resources/list_changed":
            self.hear(ResourcesListChanged())

    def hear(self, event: object) -> None:
        if isinstance(event, ResourceUpdated):
            self.uris.append(event.uri)
        elif isinstance(event, ResourcesListChanged):
            self.lists += 1
        self._changed.set()

    async def until(self, enough: Any) -> None:
        while not enough(self):
            await self._changed.wait()
            self._changed.clear()


async def heard_of(server: Server, told: Told) -> None:
    """Until a client of 2025 holds its stream open: it opens that beside everything else."""
    while not told.lists:
        await server.manager.spawn("passerby")
        await server.manager.terminate("passerby")
        await asyncio.sleep(PAUSE_SECONDS)


@asynccontextmanager
async def following(server: Server, era: str, *uris: str, token: str = PERSONS) -> AsyncIterator[Told]:
    """A client that follows these and the list of all."""
    told, headers = Told(), {"Authorization": f"Bearer {token}"}
    async with (
        httpx2.AsyncClient(headers=headers, timeout=30) as http,
        Client(
            streamable_http_client(server.url, http_client=http),
            mode=era,
            message_handler=told.legacy if era == WHEN_LEGACY else None,
        ) as caller,
    ):
        if era == WHEN_LEGACY:
            for uri in uris:
                await caller.subscribe_resource(uri)
            await heard_of(server, told)
            yield told
            return
        async with caller.listen(resources_list_changed=True, resource_subscriptions=uris) as stream:

            async def hear() -> None:
                async for event in stream:
                    told.hear(event)

            hearing = asyncio.ensure_future(hear())
            yield told
            hearing.cancel()


@BOTH_ERAS
def test_who_follows_something_is_told_when_it_changes(tmp_path: Path, era: str) -> None:
    async def story() -> None:
        async with serving(tmp_path) as server:
            await server.manager.spawn("bob")
            await server.manager.spawn("alice")
            wanted = ["madrox://tree", "madrox://audit", "madrox://instances/bob/transcript"]
            async with following(server, era, *wanted) as told:
                before = told.lists
                await server.manager.spawn("carol")
                await told.until(lambda told: told.lists > before)
                await server.manager.answer(await server.manager.ask("alice", "hello"))
                await server.manager.answer(await server.manager.ask("bob", "hello"))
                await told.until(lambda told: set(wanted) <= set(told.uris))

            assert set(wanted) == set(told.uris)  # and of alice, whom nobody follows, not a word

    run(story())


@BOTH_ERAS
def test_nobody_is_told_more_often_than_ten_times_a_second(tmp_path: Path, era: str) -> None:
    async def story() -> None:
        async with serving(tmp_path) as server:
            await server.manager.spawn("bob")
            async with following(server, era, "madrox://instances/bob") as told:
                loop = asyncio.get_running_loop()
                began = loop.time()
                for number in range(300):
                    await server.manager.post("bob", f"note {number}")
                    await asyncio.sleep(0)
                await server.manager.answer(await server.manager.ask("bob", "hello"))
                await told.until(lambda told: told.uris)
                pauses = (loop.time() - began) / PAUSE_SECONDS

            assert 1 <= len(told.uris) <= pauses + 2

    run(story())


@BOTH_ERAS
def test_nobody_follows_whom_it_may_not_see(tmp_path: Path, era: str) -> None:
    async def story() -> None:
        async with family(tmp_path) as (server, tokens), client(server, tokens["kid"], era) as kid:
            if era == WHEN_LEGACY:
                with pytest.raises(MCPError, match="kid can't look at loner"):
                    await kid.subscribe_resource("madrox://instances/loner")
                return
            wanted = ["madrox://instances/loner", "madrox://instances/lead", "madrox://nothing"]
            async with kid.listen(resource_subscriptions=wanted, tools_list_changed=True) as stream:
                assert ["madrox://instances/lead"] == stream.honored.resource_subscriptions
                assert not stream.honored.tools_list_changed  # it never does

    run(story())


def test_who_has_unsubscribed_or_gone_is_told_nothing_and_costs_nothing(tmp_path: Path) -> None:
    async def story() -> None:
        async with serving(tmp_path) as server:
            await server.manager.spawn("bob")
            told = Told()
            headers = {"Authorization": f"Bearer {PERSONS}"}
            async with (
                httpx2.AsyncClient(headers=headers, timeout=30) as http,
                Client(
                    streamable_http_client(server.url, http_client=http),
                    mode="legacy",
                    message_handler=told.legacy,
                ) as caller,
            ):
                await caller.subscribe_resource("madrox://instances/bob")
                await caller.unsubscribe_resource("madrox://instances/bob")
                await heard_of(server, told)
                await server.manager.answer(await server.manager.ask("bob", "hello"))
                before = told.lists
                await server.manager.spawn("carol")
                await told.until(lambda told: told.lists > before)

            assert [] == told.uris

    run(story())


# prompts


@BOTH_ERAS
def test_every_role_is_a_prompt_that_takes_a_task(tmp_path: Path, era: str) -> None:
    async def story() -> None:
        async with serving(tmp_path) as server, client(server, era=era) as person:
            listed = (await person.list_prompts()).prompts
            got = await person.get_prompt("role_architect", {"task": "Draw the borders."})

            roles = {each.name for each in listed if each.name.startswith("role_")}
            assert {f"role_{role.name}" for role in library.roles()} == roles
            assert all(each.description for each in listed)
            [message] = got.messages
            assert "user" == message.role
            expected = f"{library.role('architect').body.strip()}\n\n# Your task\n\nDraw the borders."
            assert expected == message.content.text

    run(story())


@BOTH_ERAS
def test_a_wrong_prompt_or_argument_is_an_error_that_names_the_right_one(tmp_path: Path, era: str) -> None:
    async def story() -> None:
        async with serving(tmp_path) as server, client(server, era=era) as person:
            with pytest.raises(
                MCPError, match=r"there is no prompt 'role_architekt'\. Did you mean 'role_arch"
            ):
                await person.get_prompt("role_architekt")
            with pytest.raises(MCPError, match=r"role_general has no argument 'tusk'\. Did you mean 'task'"):
                await person.get_prompt("role_general", {"tusk": "x"})

    run(story())


def test_another_kind_of_prompt_is_one_more_function(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ready_prompts, "SOURCES", [*ready_prompts.SOURCES])

    @ready_prompts.source
    def teams() -> list[ReadyPrompt]:
        needed = Argument("task", "What the team is for", required=True)
        return [ReadyPrompt("team_audit", "An audit", (needed,), lambda given: f"Audit {given['task']}")]

    assert "Audit me" == ready_prompts.find("team_audit").filled_in({"task": "me"})
    with pytest.raises(BadInput, match="team_audit needs task: What the team is for"):
        ready_prompts.find("team_audit").filled_in({"task": " "})


# who we are


def test_we_introduce_ourselves_over_stdio_as_over_http(tmp_path: Path) -> None:
    async def story() -> None:
        async with serving(tmp_path) as server:
            bearer = {"Authorization": f"Bearer {PERSONS}"}
            for asked in (*greeting.HANDSHAKES, "1999-01-01"):
                hello = {
                    "protocolVersion": asked,
                    "capabilities": {},
                    "clientInfo": {"name": "x", "version": "0"},
                }
                answer = await post(server, request("initialize", hello), **bearer)
                [data] = [line for line in answer.text.splitlines() if line.startswith("data:")]
                assert json.loads(data[5:])["result"] == greeting.initialized(asked)
            meta = {"protocolVersion": "2026-07-28", "clientCapabilities": {}}
            params = {"_meta": {f"{greeting.META}{name}": value for name, value in meta.items()}}
            headers = {"MCP_Protocol_Version": "2026-07-28", "Mcp_Method": "server/discover"}
            answer = await post(server, request("server/discover", params), **bearer, **headers)
            assert answer.json()["result"] == greeting.discovered()

    run(story())


def request(method: str, params: dict[str, Any]) -> bytes:
    return json.dumps({"jsonrpc": "2.0", "id": 1, "method": method, "params": params}).encode()


def test_what_is_no_message_is_told_without_the_models_of_a_library(tmp_path: Path) -> None:
    async def story() -> None:
        async with serving(tmp_path) as server:
            for body in (b"[]", b"7", b'{"jsonrpc": "2.0", "id": 1, "method": 7}', b'{"id": 1}'):
                answer = await post(server, body, Authorization=f"Bearer {PERSONS}")

                assert (400, None) == (answer.status_code, answer.json()["id"])
                expected = {
                    "code": -32600,
                    "message": "Invalid Request: the body is one JSON-RPC 2.0 message",
                }
                assert expected == answer.json()["error"]

    run(story())
