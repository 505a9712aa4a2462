"""What Codex's items, questions and errors say, in our words.

The shapes are those of `ThreadItem`, `TurnError` and the approval requests in the schema
that `codex app-server generate-json-schema` prints; `codex.py` knows when they come.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, datetime

from . import Ask
from .json_lines import Json
from .shell import paths_read

LOG_IN = "run `codex login` in a terminal, or use --harness rehearsal"


def innermost(error: str) -> str:
    """The last of the errors that wrap one another, without the names of their types."""
    return error.rpartition("error: ")[2].partition(", when ")[0]


def used_tool(item: Json) -> tuple[str, Json] | None:
    """Name and input of the tool that an item is about; None for other items."""
    match item["type"]:
        case "mcpToolCall":
            return f"mcp__{item['server']}__{item['tool']}", item["arguments"]
        case "commandExecution":
            return "shell", {"command": item["command"], "cwd": item["cwd"]}
        case "fileChange":
            return "edit", {"changes": item["changes"]}
        case "webSearch":
            return "web_search", {"query": item["query"]}
        case "imageView":
            return "view_image", {"path": item["path"]}
        case "dynamicToolCall":
            return "__".join(filter(None, (item.get("namespace"), item["tool"]))), item["arguments"]
        case "collabAgentToolCall":
            return item["tool"], {"prompt": item.get("prompt")}
    return None


def went_well(item: Json) -> bool:
    return item.get("status", "completed") == "completed" and item.get("success") is not False


def output(item: Json) -> str:
    match item["type"]:
        case "mcpToolCall":
            if error := item.get("error"):
                return str(error["message"])
            return _text((item.get("result") or {}).get("content") or ())
        case "dynamicToolCall":
            return _text(item.get("contentItems") or ())
        case "commandExecution":
            said = item.get("aggregatedOutput") or ""
            return said or ("" if went_well(item) else str(item["status"]))
        case "fileChange":
            return str(item["status"])
    return ""


def _text(blocks: Iterable[Json]) -> str:
    """The text of content blocks; of other blocks, their type."""
    return "\n".join(block["text"] if "text" in block else f"[{block['type']}]" for block in blocks)


# questions


def question(request: str, method: str, params: Json, changes: Sequence[Json]) -> Ask | None:
    """What it asks with a request of that name; None for a request that is no such question.

    `changes` are those of the edit that it asks about: the request itself doesn't tell them.
    """
    match method:
        case "item/commandExecution/requestApproval":
            given = {name: params[name] for name in ("command", "cwd", "reason") if params.get(name)}
            paths = _read_by(params)
            return Ask(request=request, tool="shell", input=given, touches=paths, reads=paths is not None)
        case "item/fileChange/requestApproval":
            wider = params.get("grantRoot") or not changes
            touches = None if wider else tuple(_touched(changes))
            return Ask(request=request, tool="edit", input={"changes": list(changes)}, touches=touches)
        case "mcpServer/elicitation/request":
            meta = params.get("_meta") or {}
            if meta.get("codex_approval_kind") == "mcp_tool_call":
                tool = f"mcp__{params['serverName']}__{meta['tool_name']}"
                return Ask(request=request, tool=tool, input=meta.get("tool_params") or {})
    return None


def _read_by(params: Json) -> tuple[str, ...] | None:
    """What a command that it asks about would read, when it asks for nothing more."""
    more = ("networkApprovalContext", "additionalPermissions")
    if params.get("kind", "command") != "command" or any(params.get(name) for name in more):
        return None
    return paths_read(params.get("command") or "", params.get("cwd") or "/")


def _touched(changes: Iterable[Json]) -> Iterator[str]:
    for change in changes:
        yield change["path"]
        if moved := change["kind"].get("move_path"):
            yield moved


# words


def tokens(usage: Json) -> Counter[str]:
    read, written = usage["cachedInputTokens"], usage.get("cacheWriteInputTokens") or 0
    return Counter(
        input_tokens=max(0, usage["inputTokens"] - read - written),
        output_tokens=usage["outputTokens"],
        cache_read_tokens=read,
        cache_write_tokens=written,
    )


def error_text(error: Json) -> str:
    """What went wrong, with the HTTP status, and what to do about it when that is known."""
    said, info = _unwrapped(error["message"]), error.get("codexErrorInfo")
    status = (
        next((of.get("httpStatusCode") for of in info.values()), None) if isinstance(info, dict) else None
    )
    if status is not None and str(status) not in said:
        said += f" (HTTP {status})"
    if status == 401 or info == "unauthorized":
        said += f". If the login has expired, {LOG_IN}"
    return said


def _unwrapped(message: str) -> str:
    """Some errors are the API's answer as it came."""
    try:
        return str(json.loads(message)["error"]["message"])
    except (ValueError, KeyError, TypeError):
        return message


def retry(error: Json) -> str:
    return f"{error['message']}: {error.get('additionalDetails') or 'trying again'}"


def remark(method: str, params: Json) -> str:
    """What a watcher would like to know of it; empty for nothing."""
    match method:
        case "warning":
            return str(params["message"])
        case "configWarning":
            return str(params["summary"])
        case "account/rateLimits/updated":
            return _rate_limit(params["rateLimits"])
        case "model/rerouted":
            return f"codex left model {params['fromModel']} for {params['toModel']}"
        case "mcpServer/startupStatus/updated" if params["status"] == "failed":
            return f"MCP server {params['name']} is failed: its tools are missing"
    return ""


def _rate_limit(limits: Json) -> str:
    window = limits.get("primary")
    if not window:
        return ""
    said = f"rate limit: {window['usedPercent']} % used"
    if minutes := window.get("windowDurationMins"):
        said += f" of {minutes / 60:g} hours"
    if (resets := window.get("resetsAt")) is None:
        return said
    return f"{said}, resets {datetime.fromtimestamp(resets, UTC):%Y-%m-%d %H:%M} UTC"
