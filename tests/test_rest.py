"""REST over real HTTP: the tools' own answers as JSON, and errors with a fitting status."""

from __future__ import annotations

import asyncio
import inspect
import json
import logging
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx2
import pytest
from mcp.client.client import Client
from mcp.client.streamable_http import streamable_http_client
from web import PERSONS, Site, run, site

from madrox_nb import calls, errors
from madrox_nb.calls import TOOLS
from madrox_nb.events import PERSON, MessageRead
from madrox_nb.rest import ENDPOINTS, carrying
from madrox_nb.rest.faults import STATUS, status_of
from madrox_nb.rest.openapi import document
from madrox_nb.tools import waiting

pytestmark = pytest.mark.slow


@asynccontextmanager
async def mcp_client(on: Site, token: str = PERSONS) -> AsyncIterator[Client]:
    async with (
        on.bearing(token) as http,
        Client(streamable_http_client(on.server.url, http_client=http), mode="2026-07-28") as client,
    ):
        yield client


# one implementation


def test_rest_and_mcp_return_the_same_and_refuse_the_same(tmp_path: Path) -> None:
    """W14: three implementations that had grown apart."""
    asked: list[tuple[str, dict[str, Any]]] = [
        ("get_instance_tree", {}),
        ("get_children", {"parent_id": "lead"}),
        ("get_instance_status", {"instance_id": "kid"}),
        ("get_instance_output", {"instance_id": "lead", "limit": 3}),
        ("get_instance_output", {"instance_id": "nobody"}),
        ("get_pending_replies", {}),
        ("spawn_instance", {"name": "lead"}),
        ("spawn_instance", {"nam": "x"}),
        ("spawn_instance", {"role": "plumber"}),
        ("reply_to_caller", {"reply_message": "x"}),
        ("no_such_tool", {}),
    ]

    async def story() -> None:
        async with site(tmp_path) as on, mcp_client(on) as client:
            await on.execute("spawn_instance", name="lead")
            await on.execute("spawn_instance", name="kid", parent_instance_id="lead")
            await on.execute(
                "send_to_instance", instance_id="lead", message="/say hi", wait_for_response=True
            )
            for tool, given in asked:
                by_rest = await on.execute(tool, **given)
                by_mcp = await client.call_tool(tool, given)
                [content] = by_mcp.content
                if by_mcp.is_error:
                    assert getattr(content, "text", "") == by_rest["error"]["message"]
                else:
                    said = dict(by_mcp.structured_content or {})
                    assert (said.pop("text"), said) == (by_rest["text"], by_rest["data"])

    run(story())


def test_every_endpoint_that_shows_a_tool_returns_what_that_tool_returns(tmp_path: Path) -> None:
    async def story() -> None:
        async with site(tmp_path) as on:
            await on.execute("spawn_instance", name="lead")
            await on.execute("spawn_instance", name="a kid.1", parent_instance_id="lead")
            for path, tool, given in [
                ("/instances", "get_instance_status", {}),
                ("/instances/lead", "get_instance_status", {"instance_id": "lead"}),
                ("/instances/a kid.1", "get_instance_status", {"instance_id": "a kid.1"}),
                ("/network/hierarchy", "get_instance_tree", {}),
            ]:
                seen = await on.get(path)
                assert (200, "application/json") == (seen.status_code, seen.headers["content-type"])
                assert (await on.execute(tool, **given))["data"] == seen.json()

    run(story())


def test_a_network_is_what_is_at_and_below_its_root_in_the_tree_and_in_the_audit_trail(
    tmp_path: Path,
) -> None:
    async def story() -> None:
        async with site(tmp_path) as on:
            for name, parent in (("lead", None), ("kid", "lead"), ("grandkid", "kid"), ("other", None)):
                await on.execute("spawn_instance", name=name, parent_instance_id=parent)
            whole = (await on.get("/network/hierarchy")).json()
            part = (await on.get("/network/hierarchy", params={"root_instance_id": "kid"})).json()
            rows = (await on.get("/logs/audit", params={"root_instance_id": "kid"})).json()["logs"]
            nobody = await on.get("/network/hierarchy", params={"root_instance_id": "kit"})

            assert (4, ["lead", "other"]) == (
                whole["total_instances"],
                [each["id"] for each in whole["root_instances"]],
            )
            assert {"lead": "lead", "kid": "lead", "grandkid": "lead", "other": "other"} == {
                each["name"]: each["root_instance_id"] for each in whole["all_instances"]
            }
            [kid] = part["root_instances"]
            [grandkid] = kid["children"]
            assert ("kid", "lead", "grandkid", "kid", [], 2) == (
                *(kid["id"], kid["parent_id"], grandkid["id"], grandkid["parent_id"]),
                *(grandkid["children"], part["total_instances"]),
            )
            assert {"type", "role", "state", "created_at", "total_tokens", "total_cost", "request_count"} < {
                *kid
            }
            assert {"kid", "grandkid"} == {row["instance_id"] for row in rows}
            assert (404, True) == (nobody.status_code, "Did you mean 'kid'" in nobody.text)

    run(story())


@pytest.mark.parametrize("endpoint", [e for e in ENDPOINTS if e.tool], ids=lambda e: e.path)
def test_an_endpoint_gives_its_tool_all_that_it_needs(endpoint: Any) -> None:
    if endpoint.tool not in TOOLS:
        pytest.skip(f"{endpoint.tool} is not registered")
    given = {*endpoint.in_path, *endpoint.in_query, *endpoint.fixed}
    needed = {n for n, p in TOOLS[endpoint.tool].parameters.items() if p.default is inspect.Parameter.empty}

    assert needed <= given
    assert {*endpoint.in_path, *endpoint.fixed} <= set(TOOLS[endpoint.tool].parameters)


def test_a_query_is_checked_as_the_tools_arguments_are(tmp_path: Path) -> None:
    async def story() -> None:
        async with site(tmp_path) as on:
            unknown = await on.get("/network/hierarchy", params={"dept": "1"})
            misspelt = await on.get("/instances", params={"instance": "x"})

            assert [400, 400] == [unknown.status_code, misspelt.status_code]
            assert "/network/hierarchy takes no 'dept'" in unknown.json()["error"]["message"]
            assert "Did you mean 'instance_id'" in misspelt.json()["error"]["message"]

    run(story())


def test_an_endpoint_whose_tool_is_not_there_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(TOOLS, "get_instance_tree")

    async def story() -> None:
        async with site(tmp_path) as on:
            missing = await on.get("/network/hierarchy")

            assert 501 == missing.status_code
            assert "get_instance_tree" in missing.json()["error"]["message"]

    run(story())


# who asks


def test_an_agents_token_sees_what_the_tree_allows(tmp_path: Path) -> None:
    async def story() -> None:
        async with site(tmp_path) as on:
            for name, parent in (("lead", None), ("kid", "lead"), ("grandkid", "kid"), ("cousin", None)):
                await on.execute("spawn_instance", name=name, parent_instance_id=parent)
            async with on.bearing(on.manager.tokens.issue("grandkid")) as http:
                seen = (await http.get("/instances")).json()["instances"]
                tree = (await http.get("/network/hierarchy")).json()["instances"]
                stranger = await http.get("/instances/cousin")
                health = (await http.get("/health")).json()

            assert {"kid", "grandkid"} == {each["name"] for each in seen}
            assert {"lead", "kid", "grandkid", "cousin"} == {each["name"] for each in tree}
            assert (403, "Forbidden") == (stranger.status_code, stranger.json()["error"]["type"])
            assert "grandkid" == health["caller"]

    run(story())


def test_without_a_token_only_health_answers_and_says_next_to_nothing(tmp_path: Path) -> None:
    async def story() -> None:
        async with site(tmp_path) as on, on.bearing("") as http:
            open_, told = await http.get("/health"), (await on.get("/health")).json()
            shut = [
                await http.request(e.method, e.path, json={}) for e in ENDPOINTS if e.path not in ("/health",)
            ]

            assert {"status", "version"} == set(open_.json())
            assert ("you", "admin", on.manager.run) == (told["caller"], told["scope"], told["run"])
            assert {401} == {each.status_code for each in shut}
            assert {'Bearer realm="madrox"'} == {each.headers["www-authenticate"] for each in shut}

    run(story())


def test_a_401_says_whether_the_token_is_missing_or_unknown(tmp_path: Path) -> None:
    """W18: there was no authentication at all."""

    async def story() -> None:
        async with site(tmp_path) as on, on.bearing("") as http:
            said = [
                (await http.get(path, headers=headers))
                for path in ("/mcp", "/instances")
                for headers in (
                    {},
                    {"Authorization": "Basic cGVyc29u"},
                    {"Authorization": "Bearer mdx_wrong"},
                    {"Authorization": f"Bearer {PERSONS}é".encode("latin-1")},
                )
            ]
            health = await http.get("/health", headers={"Authorization": "Bearer mdx_wrong"})

            assert {401} == {each.status_code for each in (*said, health)}
            words = [each.json()["error"]["message"].partition(":")[0] for each in said]
            four = [
                "a token is needed",
                "the Authorization header holds no bearer token. Write it as 'Authorization",
                "this token speaks for nobody here",
                "this token speaks for nobody here",
            ]
            assert [*four, *four] == words
            assert ["invalid_token" in each.headers["www-authenticate"] for each in said[:4]] == [
                *(False, False),
                *(True, True),
            ]
            assert PERSONS not in "".join(each.text for each in said)

    run(story())


def test_pages_of_other_sites_are_refused_and_none_is_allowed_by_a_header(tmp_path: Path) -> None:
    """W18: every page on any port of this machine was let in, with credentials."""

    async def story() -> None:
        async with site(tmp_path) as on:
            port = httpx2.URL(on.server.url).port
            seen = {}
            for origin in (
                "http://evil.example",
                "http://localhost:3000",
                "null",
                "http://[",
                f"http://localhost:{port}",
            ):
                answer = await on.get("/instances", headers={"Origin": origin})
                seen[origin] = answer.status_code
                assert [] == [name for name in answer.headers if name.startswith("access-control-")]
            preflight = await on.http.options("/instances", headers={"Origin": "http://evil.example"})
            hosts = [
                (await on.get("/health", headers={"Host": host})).status_code
                for host in ("evil.example", f"evil.example:{port}", "localhost", "127.0.0.1:1", "", "[::1")
            ]

            assert [403, 403, 403, 403, 200] == list(seen.values())
            assert 403 == preflight.status_code
            assert [421] * 6 == hosts
            assert 200 == (await on.get("/health", headers={"Host": f"LocalHost:{port}"})).status_code

    run(story())


# what goes wrong


def test_every_error_of_ours_has_a_status_and_only_a_bug_is_a_500() -> None:
    family = [
        each
        for each in vars(errors).values()
        if isinstance(each, type)
        and issubclass(each, errors.MadroxError)
        and not each.__name__.startswith("_")
    ]

    assert len(family) > 20
    assert 500 not in STATUS.values()
    assert {400, 403, 404, 409, 429, 501, 502, 503, 507} == {status_of(each.__new__(each)) for each in family}
    vague = {"MadroxError", "LedgerError", "LedgerInUse", "ServerError", "NotRunning"}
    assert vague == {e.__name__ for e in family if status_of(e.__new__(e)) == 503}, "a new one has no status"
    assert {404} == {status_of(e.__new__(e)) for e in family if e.__name__.startswith("Unknown")}


WRONG: list[tuple[int, str, bytes, str]] = [
    (400, "BadInput", b"", "the body is no JSON"),
    (400, "BadInput", b"{", "the body is no JSON"),
    (400, "BadInput", b"\xff", "the body is no JSON"),
    (400, "BadInput", b"[" * 100_000, "the body is no JSON"),
    (400, "BadInput", b"[]", "the body is to be an object such as"),
    (400, "BadInput", b"{}", "the body is to be an object such as"),
    (400, "BadInput", b'{"tool": 5}', "the body is to be an object such as"),
    (400, "BadInput", b'{"tool": "get_instance_tree", "args": {}}', "'args'. Did you mean 'arguments'?"),
    (400, "BadInput", b'{"tool": "get_instance_tree", "arguments": [1]}', "arguments is to be an object"),
    (400, "BadInput", b'{"tool": "get_children", "arguments": {"parent": 1}}', "Did you mean 'parent_id'"),
    (404, "UnknownTool", b'{"tool": "get_instance_tre"}', "Did you mean 'get_instance_tree'"),
    (404, "UnknownAgent", b'{"tool": "get_children", "arguments": {"parent_id": "x"}}', "no agent named"),
]


def test_what_is_wrong_with_a_request_is_said_as_json(tmp_path: Path) -> None:
    async def story() -> None:
        async with site(tmp_path) as on:
            headers = {"Content-Type": "application/json"}
            for status, kind, body, said in WRONG:
                answer = await on.http.post("/tools/execute", content=body, headers=headers)
                error = answer.json()["error"]

                assert (status, kind) == (answer.status_code, error["type"]), body[:60]
                assert said in error["message"]

    run(story())


def test_a_body_that_is_too_large_or_no_json_is_refused_by_its_own_status(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(carrying, "LARGEST_BODY", 1000)

    async def story() -> None:
        async with site(tmp_path) as on:
            body = json.dumps({"tool": "get_instance_tree"}).encode()
            large = await on.http.post("/tools/execute", json={"tool": "x" * 1000})
            form = await on.http.post("/tools/execute", content=body, headers={"Content-Type": "text/plain"})
            chunks = (b" " * 400 for _ in range(3))
            chunked = await on.http.post(
                "/tools/execute", content=_async(chunks), headers={"Content-Type": "application/json"}
            )

            assert [413, 415, 413] == [large.status_code, form.status_code, chunked.status_code]
            assert ["TooLarge", "NoJson", "TooLarge"] == [
                each.json()["error"]["type"] for each in (large, form, chunked)
            ]

    run(story())


async def _async(chunks: Any) -> AsyncIterator[bytes]:
    for chunk in chunks:
        yield chunk


def test_busy_taken_full_and_failed_have_statuses_of_their_own(tmp_path: Path) -> None:
    async def story() -> None:
        async with site(tmp_path, max_instances=1) as on:
            await on.execute("spawn_instance", name="bob")
            await on.execute("send_to_instance", instance_id="bob", message="/hang")
            seen = [
                await on.http.post("/tools/execute", json={"tool": tool, "arguments": given})
                for tool, given in (
                    ("terminate_instance", {"instance_id": "bob"}),
                    ("spawn_instance", {"name": "bob"}),
                    ("spawn_instance", {"name": "eve"}),
                    ("interrupt_instance", {"instance_id": "bob"}),
                    ("spawn_instance", {"name": "x", "instance_type": "claud"}),
                    (
                        "send_to_instance",
                        {"instance_id": "bob", "message": "/fail no", "wait_for_response": True},
                    ),
                )
            ]

            assert [409, 409, 429, 200, 404, 502] == [each.status_code for each in seen]
            assert "terminate_instance bob force=true" not in seen[1].text

    run(story())


def test_a_bug_is_a_500_that_shows_nothing_of_the_inside(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async def broken(call: calls.Call) -> calls.Result:
        raise RuntimeError("the inside")

    monkeypatch.setitem(TOOLS, "broken", calls.Tool(broken, True, False))

    async def story() -> None:
        async with site(tmp_path) as on:
            with caplog.at_level(logging.ERROR, "madrox_nb"):
                answer = await on.http.post("/tools/execute", json={"tool": "broken"})

            assert (500, "InternalError") == (answer.status_code, answer.json()["error"]["type"])
            assert "the inside" not in answer.text

    run(story())
    assert "the inside" in caplog.text


def test_half_a_character_in_a_request_comes_back_in_json(tmp_path: Path) -> None:
    async def story() -> None:
        async with site(tmp_path) as on:
            body = b'{"tool": "get_children", "arguments": {"parent_id": "\\ud83d"}}'
            answer = await on.http.post(
                "/tools/execute", content=body, headers={"Content-Type": "application/json"}
            )

            assert answer.status_code in (400, 404)
            assert "message" in answer.json()["error"]

    run(story())


# who goes away


def test_who_hangs_up_ends_the_waiting_and_finds_the_answer_in_the_inbox(tmp_path: Path) -> None:
    async def story() -> None:
        async with site(tmp_path) as on:
            await on.execute("spawn_instance", name="bob")
            given = {"instance_id": "bob", "message": "/slow 3 0.3", "wait_for_response": True}
            asking = asyncio.create_task(
                on.http.post("/tools/execute", json={"tool": "send_to_instance", "arguments": given})
            )
            while not on.manager.tree["bob"].turn:
                await on.manager.mail.change()
            asking.cancel()
            got = await on.execute("get_pending_replies", wait_timeout=45)
            read = [e for e in on.manager.ledger if isinstance(e.event, MessageRead)]

            assert ["word-1 word-2 word-3"] == [each["text"] for each in got["data"]["replies"]]
            assert [PERSON] == [entry.event.agent for entry in read]

    run(story())


def test_a_call_that_would_wait_for_long_says_running(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(waiting, "LONGEST_WAIT", 0.2)

    async def story() -> None:
        async with site(tmp_path) as on:
            await on.execute("spawn_instance", name="bob")
            waited = await on.execute(
                "send_to_instance", instance_id="bob", message="/hang", wait_for_response=True
            )

            assert "running" == waited["data"]["status"]

    run(story())


# the document


def test_the_document_names_every_endpoint_and_every_tool() -> None:
    made = document(ENDPOINTS)
    schemas = made["components"]["schemas"]

    assert "3.1.0" == made["openapi"]
    assert {each.path for each in ENDPOINTS} == set(made["paths"])
    for name, tool in TOOLS.items():
        assert set(tool.parameters) == set(schemas[name].get("properties", {}))
        assert tool.description == schemas[name]["description"]
    calls_of = made["paths"]["/tools/execute"]["post"]["requestBody"]["content"]["application/json"]["schema"]
    assert {f"#/components/schemas/call.{name}" for name in TOOLS} == {e["$ref"] for e in calls_of["oneOf"]}


def test_every_reference_in_the_document_leads_somewhere() -> None:
    made = json.loads(json.dumps(document(ENDPOINTS)))
    names = {f"#/components/{kind}/{name}" for kind, named in made["components"].items() for name in named}
    found = [part.split('"')[0] for part in json.dumps(made).split('"$ref": "')[1:]]

    assert found
    assert [] == [each for each in found if each not in names]


def test_importing_rest_loads_nothing_heavy() -> None:
    heavy = ("mcp", "pydantic", "uvicorn", "starlette", "sse_starlette", "anyio")
    code = f"import sys, madrox_nb.gate; print([m for m in {heavy} if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert "[]" == done.stdout.strip()
