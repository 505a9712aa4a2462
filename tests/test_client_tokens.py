"""Tokens of outside clients: made once, kept as hashes, good for what their scope says."""

from __future__ import annotations

import asyncio
import json
import logging
import multiprocessing
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from web import Site, run, site

from madrox_nb import calls
from madrox_nb.calls import TOOLS, Call, find
from madrox_nb.clients import FILE, Clients
from madrox_nb.config import Settings
from madrox_nb.errors import BadInput, Forbidden, UnknownToken
from madrox_nb.events import PERSON
from madrox_nb.tokens import Holder, Tokens

pytestmark = pytest.mark.slow

# what is kept


def test_a_clients_token_speaks_for_the_person_within_its_scope(tmp_path: Path) -> None:
    clients = Clients(tmp_path)
    tokens = Tokens(clients=clients)
    ci = clients.create("ci", "operate").token
    alice = tokens.issue("alice")

    assert Holder(PERSON, "operate", "ci") == tokens.holder(ci)
    assert Holder("alice", "admin", "") == tokens.holder(alice)
    assert (PERSON, None) == (tokens.who(ci), tokens.holder(f"{ci}x"))


def test_a_token_is_shown_once_and_kept_by_its_hash_in_a_file_of_its_owner(tmp_path: Path) -> None:
    clients = Clients(tmp_path / "home")
    issued = clients.create("ci")
    file = tmp_path / "home" / FILE

    assert issued.token not in file.read_text()
    assert issued.token in str(issued)
    assert issued.token not in repr(issued)
    assert 0o600 == file.stat().st_mode & 0o777
    assert 0o700 == file.parent.stat().st_mode & 0o777
    assert [("ci", "read")] == [(each.name, each.scope) for each in clients]


def test_what_one_kernel_makes_or_revokes_holds_in_the_others_at_once(tmp_path: Path) -> None:
    one, other = Clients(tmp_path), Clients(tmp_path)
    first, second = one.create("first").token, one.create("second").token

    assert ["first", "second"] == [each.name for each in other]
    assert "first" == getattr(other.find(first), "name", None)
    one.revoke("first")
    assert None is other.find(first)
    assert "second" == getattr(other.find(second), "name", None)


def test_a_name_that_is_taken_unknown_or_no_name_is_refused_and_says_what_to_do(tmp_path: Path) -> None:
    clients = Clients(tmp_path)
    clients.create("ci")
    clients.create("laptop")

    with pytest.raises(BadInput, match="revoke it first: %madrox token revoke ci"):
        clients.create("ci")
    with pytest.raises(UnknownToken, match=r"no token named 'laptp'\. Did you mean 'laptop'"):
        clients.revoke("laptp")
    with pytest.raises(BadInput, match="Did you mean 'operate'"):
        clients.create("other", "operator")
    for name in ("", " ", "../x", "-x", "x" * 65, "a b"):
        with pytest.raises(BadInput, match="can't be a token's name"):
            clients.create(name)


def test_a_file_that_others_may_write_lets_nobody_in(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    clients = Clients(tmp_path)
    token = clients.create("ci").token
    for mode in (0o660, 0o602, 0o644):
        (tmp_path / FILE).chmod(mode)
        with caplog.at_level(logging.WARNING, "madrox_nb"):
            assert None is clients.find(token)
        assert "is not trusted" in caplog.text
    (tmp_path / FILE).chmod(0o600)

    assert "ci" == getattr(clients.find(token), "name", None)


@pytest.mark.parametrize("text", ["", "{", "[]", '{"a": 1}', '{"a": {"name": "x"}}', '{"a": {"x": 1}}'])
def test_a_file_that_says_nothing_lets_nobody_in(tmp_path: Path, text: str) -> None:
    clients = Clients(tmp_path)
    clients.create("ci")
    (tmp_path / FILE).write_text(text)

    assert [] == list(clients)
    assert None is clients.find("mdx_x")


def test_a_scope_that_a_later_version_knows_lets_nobody_in(tmp_path: Path) -> None:
    clients = Clients(tmp_path)
    token = clients.create("ci").token
    said = (tmp_path / FILE).read_text()
    (tmp_path / FILE).write_text(said.replace('"read"', '"owner"'))

    assert None is Clients(tmp_path).find(token)


def _make(home: Path, number: int) -> None:
    Clients(home).create(f"client-{number}")


@pytest.mark.slow
def test_kernels_that_make_tokens_at_the_same_time_lose_none(tmp_path: Path) -> None:
    start = multiprocessing.get_context("spawn")
    making = [start.Process(target=_make, args=(tmp_path, number)) for number in range(6)]
    for each in making:
        each.start()
    for each in making:
        each.join(60)

    assert {f"client-{number}" for number in range(6)} == {each.name for each in Clients(tmp_path)}
    assert 6 == len(json.loads((tmp_path / FILE).read_text()))


# what a scope is good for

ADMINS: Mapping[str, Mapping[str, Any]] = {
    "permissions": {"permissions": "all"},
    "bypass_isolation": {"bypass_isolation": True},
    "mcp_servers": {"mcp_servers": {"mine": {"command": "sh"}}},
    "mcp_servers as text": {"mcp_servers": '{"mine": {"command": "sh"}}'},
    "environment_vars": {"environment_vars": {"NODE_OPTIONS": "--require=./x"}},
    "workspace_dir": {"workspace_dir": "/"},
    "git_repo": {"git_repo": "/srv/repo"},
    "an item of a list": {"instances": [{"name": "a"}, {"permissions": "all"}]},
}


@dataclass
class Set:
    """A manager, as far as scopes are concerned."""

    settings: Settings


def by(scope: Any, **settings: Any) -> Call:
    return Call(Set(Settings(**settings)), PERSON, _nobody, scope, "ci")


async def _nobody(seconds: float, text: str) -> None: ...


def call_of(on: Site, scope: Any) -> Call:
    return Call(on.manager, PERSON, _nobody, scope, "ci")


def test_every_tool_says_what_it_needs_and_what_only_looks_needs_only_to_look() -> None:
    needs = {name: tool.needs for name, tool in TOOLS.items()}

    assert {"read", "operate", "admin"} >= set(needs.values())
    assert "operate" == needs["get_pending_replies"], "it takes the person's messages away"
    assert [] == [n for n, tool in TOOLS.items() if tool.needs == "read" and not tool.read_only]
    assert {"get_instance_tree", "get_instance_output"} <= {n for n, each in needs.items() if each == "read"}


@pytest.mark.parametrize("given", ADMINS.values(), ids=ADMINS)
def test_an_operator_may_not_widen_what_agents_may_do_and_is_told_what_is_missing(
    given: Mapping[str, Any],
) -> None:
    tool = find("spawn_instance")
    for scope in ("read", "operate"):
        with pytest.raises(Forbidden, match=f"the token 'ci' has the scope {scope}, and .* needs"):
            calls.may_use(by(scope), tool, given)

    calls.may_use(by("admin"), tool, given)


@pytest.mark.parametrize(
    "given",
    [
        {"permissions": "edits", "bypass_isolation": False, "mcp_servers": None, "environment_vars": {}},
        {"mcp_servers": ["playwright", "memory"]},
        {"mcp_servers": "playwright, memory"},
        {"message": "permissions=all", "instances": [{"permissions": "ask"}]},
        {"options": {"sandbox_mode": "read-only"}},
    ],
)
def test_what_stays_within_what_is_allowed_is_an_operators(given: Mapping[str, Any]) -> None:
    calls.may_use(by("operate"), find("spawn_instance"), given)


def test_an_operator_gives_no_agent_more_than_the_settings_give_each() -> None:
    spawn = find("spawn_instance")
    limited = by("operate", max_tokens=1000, agent_minutes=5.0)

    calls.may_use(limited, spawn, {"max_total_tokens": 1000, "timeout_minutes": "5", "max_cost": 2})
    calls.may_use(by("operate"), spawn, {"max_total_tokens": 10**9, "timeout_minutes": 600})
    for more in (
        {"max_total_tokens": 1001},
        {"max_total_tokens": "1e4"},
        {"timeout_minutes": float("inf")},
        {"instances": [{"timeout_minutes": 6}]},
    ):
        with pytest.raises(Forbidden, match="needs admin"):
            calls.may_use(limited, spawn, more)
    with pytest.raises(Forbidden, match="set_limits needs admin"):
        calls.may_use(limited, find("set_limits"), {})


TEAM = """---
description: a pair
members:
  - {name: head, role: general, limits: {tokens: 600, minutes: 4}}
  - {name: hand, role: general, count: 2, limits: {tokens: 300, minutes: 4}}
phases:
  - {name: work, who: head, what: "Do {task}"}
---
"""


def test_an_operator_starts_no_team_whose_file_gives_more_than_the_settings(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "templates").mkdir()
    (tmp_path / "templates" / "pair.md").write_text(TEAM)
    monkeypatch.chdir(tmp_path)
    start, given = find("spawn_team_from_template"), {"template_name": "pair"}

    calls.may_use(by("operate", max_tokens=1200, agent_minutes=4.0), start, given)
    calls.may_use(by("operate"), start, given)
    calls.may_use(by("operate", max_tokens=1), start, {"template_name": "nowhere"})
    with pytest.raises(Forbidden, match=r"the limit of 1200 tokens for head in .*pair\.md needs admin"):
        calls.may_use(by("operate", max_tokens=1199), start, given)
    with pytest.raises(Forbidden, match="the limit of 4 minutes for head"):
        calls.may_use(by("operate", agent_minutes=3.0), start, given)
    calls.may_use(by("admin", max_tokens=1, agent_minutes=1.0), start, given)


def test_arguments_are_looked_into_as_deep_as_tools_take_them_and_no_deeper() -> None:
    given: Any = {"permissions": "all"}
    for _ in range(5000):
        given = [given]

    calls.may_use(by("operate"), find("spawn_instance"), {"instances": given})


def test_a_reader_looks_and_changes_nothing_over_rest_and_mcp_alike(tmp_path: Path) -> None:
    async def story() -> None:
        async with site(tmp_path) as on:
            await on.execute("spawn_instance", name="bob")
            reader = on.manager.clients.create("eyes").token
            async with on.bearing(reader) as http:
                seen = await http.get("/instances/bob")
                spawn = {"tool": "spawn_instance", "arguments": {"name": "eve"}}
                refused = await http.post("/tools/execute", json=spawn)
                inbox = await http.post("/tools/execute", json={"tool": "get_pending_replies"})
                tools = {tool["name"] for tool in (await http.get("/tools")).json()["tools"]}

            assert (200, "idle") == (seen.status_code, seen.json()["state"])
            assert (403, "Forbidden") == (refused.status_code, refused.json()["error"]["type"])
            assert (
                "the token 'eyes' has the scope read, and spawn_instance needs operate. Let the person make "
                "one that may: %madrox token create NAME --scope operate"
            ) == refused.json()["error"]["message"]
            assert 403 == inbox.status_code
            assert {name for name, tool in TOOLS.items() if tool.needs == "read"} == tools
            assert ["bob"] == [agent.name for agent in on.manager.tree]
            with pytest.raises(Forbidden):
                await find("spawn_instance").call(call_of(on, "read"), {})

    run(story())


def test_a_revoked_token_is_refused_with_the_next_request(tmp_path: Path) -> None:
    async def story() -> None:
        async with site(tmp_path) as on:
            token = on.manager.clients.create("ci", "admin").token
            async with on.bearing(token) as http:
                before = await http.get("/health")
                await asyncio.to_thread(Clients(tmp_path / "home").revoke, "ci")
                after = await http.get("/health")

            assert (200, "admin") == (before.status_code, before.json()["scope"])
            assert 401 == after.status_code
            assert "it was revoked" in after.json()["error"]["message"]

    run(story())
