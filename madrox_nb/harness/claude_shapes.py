"""How Claude Code says things: messages, usage, errors. `claude.py` knows when they come."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from datetime import UTC, datetime

from . import Unreadable
from .json_lines import Json, line_of, object_of

LOG_IN = "run `claude` there once and log in, or set ANTHROPIC_API_KEY, or use --harness rehearsal"

FIGURES = {
    "input_tokens": ("input_tokens", "inputTokens"),
    "output_tokens": ("output_tokens", "outputTokens"),
    "cache_read_tokens": ("cache_read_input_tokens", "cacheReadInputTokens"),
    "cache_write_tokens": ("cache_creation_input_tokens", "cacheCreationInputTokens"),
}
"""Our name of a figure → the API's in a message, the CLI's in `modelUsage`."""


def response_of(request: str, **response: object) -> str:
    envelope = {"subtype": "success", "request_id": request, "response": response}
    return line_of(type="control_response", response=envelope)


def message_of(line: str) -> Json:
    message = object_of(line)
    if not isinstance(message.get("type"), str):
        raise Unreadable("not an object with a type")
    return message


def is_inner(message: Json) -> bool:
    """Whether it comes from a sub-agent of its own."""
    return message.get("parent_tool_use_id") is not None


def tokens(usage: Json) -> Counter[str]:
    return Counter({ours: usage.get(api) or usage.get(cli) or 0 for ours, (api, cli) in FIGURES.items()})


def text_of(content: str | Iterable[Json]) -> str:
    """The text of a tool result; of other blocks, their type."""
    if isinstance(content, str):
        return content
    return "\n".join(block["text"] if block["type"] == "text" else f"[{block['type']}]" for block in content)


def error_of(result: Json) -> str:
    said = result.get("result") or "; ".join(result.get("errors") or ()) or result["subtype"]
    if "/login" in said:
        said += f". That is said to a person at a terminal: {LOG_IN}"
    status = result.get("api_error_status")
    return said if status is None or str(status) in said else f"{said} (HTTP {status})"


def retry(message: Json) -> str:
    status = message.get("error_status")
    said = f"the API answered {status} ({message['error']})" if status else "the API gave no whole answer"
    wait = message["retry_delay_ms"] / 1000
    return f"{said}; trying again in {wait:.1f} s ({message['attempt']} of {message['max_retries']})"


def rate_limit(info: Json) -> str:
    said = f"rate limit {info.get('rateLimitType', '')}".rstrip() + f": {info['status']}"
    if (resets := info.get("resetsAt")) is None:
        return said
    return f"{said}, resets {datetime.fromtimestamp(resets, UTC):%Y-%m-%d %H:%M} UTC"
