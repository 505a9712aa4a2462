"""A real Claude Code outlives its kernel: the next one goes on with the very process, tools included."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from madrox_nb import config, keeping
from madrox_nb.events import ToolReturned
from madrox_nb.manager import Manager
from madrox_nb.server import Server

pytestmark = [pytest.mark.real, pytest.mark.anyio]

LOOK = "CALL mcp__madrox__get_instance_tree {}"


def manager_of(
    home: Path, environ: Mapping[str, str], run: str = "", port: int = 0
) -> tuple[Manager, Server]:
    chosen = {"home": home, "harnesses": "claude", "on_kernel_death": "keep:60"}
    settings = config.load(chosen, environ={}, files=()).settings
    manager = Manager(settings, environ=environ, mcp_url=lambda: server.start(), run=run)
    server = Server(manager, "127.0.0.1", port, "mdx_person")
    return manager, server


async def test_claude_goes_on_in_another_kernel_and_finds_its_tools_again(
    claude: str, claude_env: dict[str, str], tmp_path: Path
) -> None:
    environ = {**claude_env, "PATH": f"{Path(claude).parent}:{claude_env['PATH']}"}
    first, server = manager_of(tmp_path / "madrox", environ)
    await first.open()
    await first.spawn("lead", harness="claude")
    before = await first.send("lead", LOOK)
    pid, run = first.processes["lead"].pid, first.run
    await first.leave()  # for the keeper it is dead
    await server.stop()

    url = keeping.read(keeping.place(tmp_path / "madrox", run))["mcp_url"]
    second, server = manager_of(tmp_path / "madrox", environ, run, urlsplit(url).port or 0)
    await second.open()
    try:
        assert url == await server.start()
        after = await second.send("lead", LOOK)
        returned = [e.event for e in second.ledger if isinstance(e.event, ToolReturned)]
        assert pid == second.processes["lead"].pid
        assert ("ok", "ok") == (before.outcome, after.outcome)
        assert [True, True] == [event.ok for event in returned], returned
        assert [True, True] == ["lead" in event.output for event in returned]
    finally:
        await second.close()
        await server.stop()
