"""What is run when Claude Code is: arguments, environment, files, MCP servers."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator

from . import Brief, Launch, McpServer, claude_shape
from .json_lines import Json

MCP_FILE = "mcp.json"
INSTRUCTIONS_FILE = "instructions.md"
SERVER = "madrox"
"""Our name as an MCP server; its tools are called `mcp__madrox__…`."""

A_DAY = 24 * 60 * 60 * 1000
"""In milliseconds: how long one of our tools may take, waiting for other agents."""

UNWANTED = (
    # they ask the person at a terminal, and there is none
    "AskUserQuestion",
    "EnterPlanMode",
    "ExitPlanMode",
    # they leave the workspace
    "EnterWorktree",
    "ExitWorktree",
    # they talk to other agents past the ledger
    "ListAgents",
    "SendMessage",
    # they start turns that nobody sent
    "CronCreate",
    "Monitor",
    "ScheduleWakeup",
)
ASKED = ("Bash", "Task", "Agent", "Skill", "WebFetch", "WebSearch")
"""Tools about which it must ask. By itself it lets pass what it takes for harmless: `ps`, `git status`
(which runs what `.git/config` names), agents of its own that nobody sees."""

NO_ATTACHMENTS = {"CLAUDE_CODE_DISABLE_ATTACHMENTS": "1"}
"""A prompt that says `@/path` would otherwise be given that file, wherever it is, unasked."""


def launch(brief: Brief) -> Launch:
    return Launch(
        argv=tuple(_argv(brief)), env=_env(brief), files=dict(_files(brief)), copies=dict(_copies(brief))
    )


def _argv(brief: Brief) -> Iterator[str]:
    yield from brief.command
    yield from ("-p", "--verbose", "--input-format=stream-json", "--output-format=stream-json")
    yield from ("--include-partial-messages", "--replay-user-messages", "--permission-prompt-tool=stdio")
    yield from ("--setting-sources", "", "--strict-mcp-config")
    if brief.permissions != "all":
        yield f"--settings={json.dumps({'permissions': {'ask': list(ASKED)}})}"
    if brief.mcp_url or brief.mcp_servers:
        yield f"--mcp-config={brief.files}/{MCP_FILE}"
    if brief.mcp_url:
        yield f"--allowedTools=mcp__{SERVER}"
    yield f"--disallowedTools={','.join(UNWANTED)}"
    if brief.aside:
        yield from ("--tools", "")
    if brief.instructions:
        yield f"--append-system-prompt-file={brief.files}/{INSTRUCTIONS_FILE}"
    if brief.resume:
        yield f"--resume={brief.resume}"
        if brief.fork:
            yield "--fork-session"
    if brief.session and (brief.fork or not brief.resume):
        yield f"--session-id={brief.session}"
    if brief.model:
        yield f"--model={brief.model}"
    yield from brief.extra_args


def _env(brief: Brief) -> dict[str, str]:
    return {
        **({} if brief.permissions == "all" else NO_ATTACHMENTS),
        # else a tool of ours that waits five minutes for another agent is given up
        "CLAUDE_CODE_MCP_TOOL_IDLE_TIMEOUT": "0",
        # a busy kernel may be slow to answer; without us the first turn has no tools
        "MCP_CONNECT_TIMEOUT_MS": "30000",
        # their end would start turns that nobody sent
        "CLAUDE_CODE_DISABLE_BACKGROUND_TASKS": "1",
    }


def _copies(brief: Brief) -> Iterator[tuple[str, str]]:
    """Sessions are kept for each working directory, so a fork in another one needs a copy."""
    if brief.fork:
        home = brief.environ.get("CLAUDE_CONFIG_DIR") or f"{brief.environ.get('HOME', '')}/.claude"
        original, own = (
            f"{home}/projects/{_folder(place)}/{brief.resume}.jsonl"
            for place in (brief.fork_of, brief.workspace)
        )
        yield own, original


def _files(brief: Brief) -> Iterator[tuple[str, str]]:
    if brief.instructions:
        yield INSTRUCTIONS_FILE, brief.instructions
    if servers := dict(_servers(brief)):
        yield MCP_FILE, json.dumps({"mcpServers": servers})


def _servers(brief: Brief) -> Iterator[tuple[str, Json]]:
    for name, shape in claude_shape(brief.mcp_servers).items():
        yield name, {**shape, "alwaysLoad": True}  # else the first turn may run without them
    if brief.mcp_url:
        ours = McpServer(
            transport="http",
            url=brief.mcp_url,
            headers={"Authorization": f"Bearer {brief.mcp_token}"},
        )
        yield SERVER, {**claude_shape({SERVER: ours})[SERVER], "alwaysLoad": True, "timeout": A_DAY}


def _folder(workspace: str) -> str:
    """What it calls the folder that holds a directory's sessions."""
    return re.sub(r"[^A-Za-z0-9]", "-", workspace)
