"""Answers in JSON. Imports starlette when it is called."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import orjson

if TYPE_CHECKING:
    from starlette.responses import Response


def answer(data: Any, status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
    from starlette.responses import Response

    never_kept = {"Cache-Control": "no-store", "X-Content-Type-Options": "nosniff"}
    return Response(as_json(data), status, {**never_kept, **(headers or {})}, "application/json")


def as_json(data: Any) -> bytes:
    """NaN becomes null. Half a character, which UTF-8 can't hold, is written as JSON's escape for it."""
    try:
        return orjson.dumps(data)
    except TypeError:
        return json.dumps(data).encode()
