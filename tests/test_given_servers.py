"""How each codec hands MCP servers to its CLI, and where a secret never goes. Pure, but for one real call."""

from __future__ import annotations

import json

import pytest
from crew import with_run
from real.mcp_server import TOKEN, TinyServer

from madrox_nb.harness import Brief, Harness, McpServer
from madrox_nb.harness.acp import Acp
from madrox_nb.harness.acp_lines import KNOWN
from madrox_nb.harness.claude import Claude
from madrox_nb.harness.codex import Codex
from madrox_nb.harness.rehearsal import Rehearsal
from madrox_nb.manager import Manager

SECRET = "hush-7f3b19c2d4e5"
BOX = McpServer(command="/bin/box", args=("-x",), env={"T": SECRET})
FAR = McpServer(transport="http", url="http://127.0.0.1:9/mcp", headers={"Authorization": f"Bearer {SECRET}"})


def brief(**more: object) -> Brief:
    given = {"agent": "lead", "command": ("cli",), "workspace": "/w", "files": "/f", "mcp_servers": {}}
    return Brief(**{**given, **more})


@pytest.mark.parametrize("cls", [Claude, Codex, Rehearsal, Acp.of(KNOWN["opencode"])])
def test_a_secret_is_in_no_argument_and_no_variable(cls: type[Harness]) -> None:
    launch = cls(brief(mcp_servers={"box": BOX, "far": FAR})).launch()

    assert SECRET not in repr(launch.argv)
    assert SECRET not in repr(launch.env)


def test_claude_reads_them_from_a_file_beside_ours_and_waits_for_them() -> None:
    launch = Claude(
        brief(mcp_servers={"box": BOX, "far": FAR}, mcp_url="http://127.0.0.1:1/mcp", mcp_token="t")
    ).launch()
    servers = json.loads(launch.files["mcp.json"])["mcpServers"]

    assert ["box", "far", "madrox"] == list(servers)
    assert {
        "type": "stdio",
        "command": "/bin/box",
        "args": ["-x"],
        "env": {"T": SECRET},
        "alwaysLoad": True,
    } == servers["box"]
    assert {"Authorization": f"Bearer {SECRET}"} == servers["far"]["headers"]
    assert "--allowedTools=mcp__madrox" in launch.argv  # theirs are asked about


def test_claude_without_our_tools_has_theirs_all_the_same() -> None:
    launch = Claude(brief(mcp_servers={"box": BOX})).launch()

    assert "--mcp-config=/f/mcp.json" in launch.argv
    assert ["box"] == list(json.loads(launch.files["mcp.json"])["mcpServers"])


def test_codex_is_told_over_its_pipe_and_asks_about_their_tools() -> None:
    codex = Codex(brief(mcp_servers={"box": BOX, "far": FAR}))
    servers = codex._opening["config"]["mcp_servers"]

    assert ("/bin/box", ["-x"], {"T": SECRET}, "/w") == tuple(
        servers["box"][key] for key in ("command", "args", "env", "cwd")
    )
    assert {"Authorization": f"Bearer {SECRET}"} == servers["far"]["http_headers"]
    assert {True} == {server["required"] for server in servers.values()}
    assert not any("default_tools_approval_mode" in server for server in servers.values())


@pytest.mark.parametrize(
    ("can", "server", "said"),
    [
        ({}, BOX, ""),
        ({}, FAR, "takes no MCP server over HTTP, as 'x' is one"),
        ({"mcpCapabilities": {"http": True}}, FAR, ""),
        ({"mcpCapabilities": {"http": True}}, McpServer(transport="sse", url="http://x/"), "over SSE"),
    ],
)
def test_an_acp_agent_that_takes_no_such_server_is_not_started_without_it(
    can: dict[str, object], server: McpServer, said: str
) -> None:
    agent = Acp.of(KNOWN["opencode"])(brief(mcp_servers={"x": server}))
    list(agent.greet())
    answer = {"jsonrpc": "2.0", "id": 1, "result": {"protocolVersion": 1, "agentCapabilities": can}}
    [item] = agent.read(json.dumps(answer))

    assert said in getattr(item, "reason", "")
    assert bool(said) is hasattr(item, "reason")
    if not said:
        [told] = json.loads(item.line)["params"]["mcpServers"]
        assert "x" == told["name"]
        assert [SECRET in value["value"] for value in told.get("env") or told["headers"]] == [True]


def test_a_rehearsal_calls_a_server_at_an_address_with_its_header(tmp_path):
    async def story(manager: Manager) -> tuple[str, str]:
        far = {"type": "http", "url": server.url, "headers": {"Authorization": "Bearer ${FAR_TOKEN}"}}
        given = {"FAR_TOKEN": TOKEN}
        await manager.spawn("lead", mcp_servers={"far": far}, environment_vars=given, permissions="all")
        answer = await manager.send("lead", '/mcp far add {"a": 2, "b": 3}')
        return answer.text, manager.tree["lead"].mcp_servers

    with TinyServer() as server:
        answer, recorded = with_run(tmp_path, story)

    assert "add returned: 5" == answer
    assert "${FAR_TOKEN}" in recorded
    assert TOKEN not in recorded
