"""MCP's official conformance suite: in full against our host, and as far as it fits against our server."""

from __future__ import annotations

import asyncio
import json
import subprocess
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import groups
import pytest
from everything import everything

from madrox_nb import protocol, server
from madrox_nb.config import Settings
from madrox_nb.manager import Manager
from madrox_nb.server import Server

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Receive, Scope, Send

pytestmark = [
    pytest.mark.real,
    pytest.mark.slow,
    pytest.mark.filterwarnings("ignore::mcp.MCPDeprecationWarning"),
]

TOKEN = "mdx_" + "c" * 43
REVISIONS = pytest.mark.parametrize("revision", ["2025-11-25", "2026-07-28"])
PRODUCT = {
    "2025-11-25": (
        *("server-initialize", "server-session-lifecycle", "ping", "tools-list", "resources-list"),
        *("prompts-list", "dns-rebinding-protection", "server-sse-multiple-streams"),
    ),
    "2026-07-28": (
        *("server-stateless", "tools-list", "resources-list", "prompts-list", "caching"),
        *("sep-2164-resource-not-found", "dns-rebinding-protection", "http-header-validation"),
        "server-sse-multiple-streams",
    ),
}
"""Scenarios that ask nothing of a server but the protocol. The others call tools by names of the
suite's own; some of those pass on a server that has no such tool, and would prove nothing."""
EXPECTED_FAILURES = {
    ("server-stateless", "sep-2575-server-rejects-undeclared-capability"),
    ("server-stateless", "sep-2575-missing-capability-http-400"),
}
"""(scenario, check): they want a tool of the suite's own, and say `Not testable` without it."""


@pytest.fixture(scope="session")
def conformance() -> str:
    found = groups.CLIS / "@modelcontextprotocol" / "conformance" / "dist" / "index.js"
    return str(found) if found.exists() else groups.absent("real", "the conformance suite", "make clis")


class WithToken:
    """The suite can send no header: every request gets the token here, and all else stays as it is."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        bearer = (b"authorization", f"Bearer {TOKEN}".encode())
        await self._app({**scope, "headers": [*scope.get("headers", ()), bearer]}, receive, send)


@asynccontextmanager
async def served(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, hosted: Callable[[], Any] | None = None
) -> AsyncIterator[Server]:
    """Our server: door, host and all; with `hosted` in the place of our own protocol server."""
    application = server.application
    monkeypatch.setattr(server, "application", lambda *given: WithToken(application(*given)))
    if hosted is not None:
        monkeypatch.setattr(protocol, "_protocol", lambda *_: hosted())
    box: list[Server] = []
    settings = Settings(home=tmp_path / "home", harnesses=("rehearsal",))
    manager = Manager(settings, environ={"PATH": "/usr/bin:/bin"}, mcp_url=lambda: box[0].start())
    box.append(Server(manager, "127.0.0.1", 0, TOKEN))
    await manager.open()
    await box[0].start()
    try:
        yield box[0]
    finally:
        await manager.close()
        await box[0].stop()


async def run(node: str, suite: str, url: str, *more: str) -> tuple[int, str]:
    argv = (node, suite, "server", "--url", url, *more)
    done = await asyncio.to_thread(
        subprocess.run, argv, capture_output=True, text=True, timeout=200, check=False
    )
    return done.returncode, done.stdout + done.stderr


@REVISIONS
def test_our_host_lets_everything_through_that_a_revision_requires(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, node: str, conformance: str, revision: str
) -> None:
    async def story() -> tuple[int, str]:
        async with served(tmp_path, monkeypatch, everything) as host:
            return await run(node, conformance, host.url, "--requirements", revision)

    status, said = asyncio.run(story())
    assert 0 == status, said


@REVISIONS
def test_our_server_keeps_to_the_protocol(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, node: str, conformance: str, revision: str
) -> None:
    results = tmp_path / "results"

    async def story() -> None:
        async with served(tmp_path, monkeypatch) as host:
            await host.manager.spawn("lead")
            for scenario in PRODUCT[revision]:
                only = ("--scenario", scenario, "--spec-version", revision)
                await run(node, conformance, host.url, *only, "-o", str(results / scenario))

    asyncio.run(story())
    checks = {scenario: checked(results / scenario) for scenario in PRODUCT[revision]}
    failed = {(scenario, id_) for scenario, told in checks.items() for id_, ok in told if not ok}
    assert all(checks.values())
    assert {each for each in EXPECTED_FAILURES if each[0] in PRODUCT[revision]} == failed


def checked(place: Path) -> list[tuple[str, bool]]:
    """(check, whether it passed) of one scenario. What we don't claim to do is skipped there."""
    [file] = place.rglob("checks.json")
    told = json.loads(file.read_text())
    return [(each["id"], each["status"] in ("SUCCESS", "INFO", "SKIPPED")) for each in told]
