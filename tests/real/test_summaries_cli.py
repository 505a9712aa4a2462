"""Summaries by a real CLI: without tools, without our server, counted, and ended."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from madrox_nb.config import load
from madrox_nb.in_person import carried_out
from madrox_nb.manager import Manager

pytestmark = [pytest.mark.real, pytest.mark.anyio]


async def summed_up(m: Manager) -> dict[str, Any]:
    return dict((await carried_out("get_agent_summary", m, {"instance_id": "lead"})).data)


async def test_claude_sums_up_what_an_agent_did_and_has_no_tools_for_it(
    claude: str, claude_env: dict[str, str], model: Any, tmp_path: Path
) -> None:
    environ = {**claude_env, "PATH": f"{Path(claude).parent}:{claude_env['PATH']}"}
    chosen = load({"home": tmp_path / "madrox", "summaries": "claude:claude-haiku-4-5"}, environ={}, files=())
    wanted: list[str] = []

    async def address() -> str:
        wanted.append("our server")
        return "http://127.0.0.1:9/mcp"

    manager = await Manager(chosen.settings, environ=environ, mcp_url=address).open()
    try:
        await manager.spawn("lead", harness="rehearsal")
        await manager.send("lead", "/say The build fails in ci.yml.")
        first = await summed_up(manager)
        again = await summed_up(manager)

        assert ["our server"] == wanted, "lead's alone"
        [asked] = model.requests
        assert ("ok", "ok") == (first["words_state"], again["words_state"])
        assert first["words"] == again["words"]
        assert "echo: Sum up the agent lead." in first["words"]
        assert "Z lead answer: The build fails in ci.yml." in asked.prompt
        assert ([], "claude-haiku-4-5") == (asked.body.get("tools") or [], asked.body["model"])
        writer = manager.costs.of("summary-of-lead")
        assert writer.tokens == first["words_tokens"] > 0
        assert writer.cost_usd == first["words_cost_usd"] > 0
        assert "stopped" == manager.tree["summary-of-lead"].state
    finally:
        await manager.close()
