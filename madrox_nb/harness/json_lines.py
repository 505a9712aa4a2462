"""JSON in lines, one object each, as most CLIs speak it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from . import Unreadable

Json = Mapping[str, Any]

OUTPUT_SHOWN = 20_000
"""Characters of a tool's output that its event repeats."""


def line_of(**message: object) -> str:
    # ASCII: half a surrogate pair in a prompt must not keep the line from being written.
    return json.dumps(message) + "\n"


def object_of(line: str) -> Json:
    """The object that a line is. Raises `Unreadable`."""
    try:
        message = json.loads(line)
    except (ValueError, RecursionError) as exc:
        raise Unreadable(f"not JSON: {exc}") from exc
    if not isinstance(message, dict):
        raise Unreadable("not an object")
    if "\\ud" in line:  # half a surrogate pair, cut by a program that counts in UTF-16
        whole: Json = json.loads(json.dumps(message, ensure_ascii=False).encode(errors="replace"))
        return whole
    return message


def shown(text: str) -> str:
    left = len(text) - OUTPUT_SHOWN
    return text if left <= 0 else f"{text[:OUTPUT_SHOWN]}\n… {left} more characters"
