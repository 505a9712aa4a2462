"""The OpenAPI document: made from the table of endpoints and from what the tools take.

Nothing is written down twice: a path's query is what its tool takes, every tool's arguments
stand under its name in `components/schemas`, and the body of `/tools/execute` is one of them.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

from .. import __version__
from ..calls import TOOLS, Tool
from . import stream

if TYPE_CHECKING:
    from .endpoints import Endpoint

ABOUT: Final = """\
Runs a tree of agents, each a CLI of its own. Every tool is at /tools/execute; the other paths show
what some of them return. Who asks is known from the token: the person's may do everything, a client's
what its scope says, an agent's what its place in the tree allows. Errors are JSON:
{"error": {"type", "message", "next"?}}."""

_TEXT: Final = {"type": "string"}
_SCHEMAS: Final = "#/components/schemas/"
_ERROR: Final = {
    "type": "object",
    "required": ["error"],
    "properties": {
        "error": {
            "type": "object",
            "required": ["type", "message"],
            "properties": {"type": _TEXT, "message": _TEXT, "next": _TEXT},
        }
    },
}
_RESULT: Final = {
    "type": "object",
    "required": ["text", "data"],
    "properties": {
        "text": {**_TEXT, "description": "For a model, or a person, to read."},
        "data": {"type": "object", "description": "The same for a program."},
    },
}
_WRONG: Final = {
    400: "The request can't be carried out as it is written.",
    401: "There is no token, or it speaks for nobody.",
    403: "The token does not go that far.",
    404: "There is nobody and nothing of that name.",
    409: "It can't be done in the present state: busy, gone, or the name is taken.",
    413: "The body is too large.",
    415: "The body does not say that it is JSON.",
    421: "The Host header names another server.",
    429: "As many as there may be.",
    501: "What it takes is not installed here.",
    502: "The agent's program, or its turn, has failed.",
    503: "Madrox is closed, or what it stands on is gone.",
    504: "It took too long.",
    507: "The disk is full.",
}


def document(endpoints: Sequence[Endpoint]) -> dict[str, Any]:
    """OpenAPI 3.1, as JSON values."""
    paths: dict[str, dict[str, Any]] = {}
    for each in endpoints:
        paths.setdefault(each.path, {})[each.method.lower()] = _operation(each)
    return {
        "openapi": "3.1.0",
        "info": {"title": "madrox", "version": __version__, "description": ABOUT},
        "servers": [{"url": "/"}],
        "security": [{"token": []}],
        "paths": paths,
        "components": {
            "securitySchemes": {"token": {"type": "http", "scheme": "bearer"}},
            "schemas": {"Error": _ERROR, "Result": _RESULT, **_of_tools(TOOLS.values())},
            "responses": {str(status): _refusal(about) for status, about in _WRONG.items()},
        },
    }


def _operation(endpoint: Endpoint) -> dict[str, Any]:
    said: dict[str, Any] = {
        "operationId": endpoint.name,
        "summary": endpoint.about,
        "parameters": [*_in_path(endpoint), *_in_query(endpoint)],
        "responses": {
            "200": _answer(endpoint),
            **{str(status): {"$ref": f"#/components/responses/{status}"} for status in _WRONG},
        },
    }
    if endpoint.method == "POST":
        calls = [{"$ref": f"{_SCHEMAS}{_call_of(tool)}"} for tool in TOOLS.values()]
        said["requestBody"] = {
            "required": True,
            "content": {"application/json": {"schema": {"oneOf": calls}}},
        }
    if endpoint.open:
        said["security"] = [{}, {"token": []}]
    return said


def _answer(endpoint: Endpoint) -> dict[str, Any]:
    if endpoint.answers is stream.events:
        return {
            "description": "Server-sent events, without end.",
            "content": {"text/event-stream": {"schema": _TEXT}},
        }
    schema = {"$ref": f"{_SCHEMAS}Result"} if endpoint.method == "POST" else {"type": "object"}
    told = f"What {endpoint.tool} returns as data." if endpoint.tool else endpoint.about
    return {"description": told, "content": {"application/json": {"schema": schema}}}


def _refusal(about: str) -> dict[str, Any]:
    return {"description": about, "content": {"application/json": {"schema": {"$ref": f"{_SCHEMAS}Error"}}}}


def _in_path(endpoint: Endpoint) -> list[dict[str, Any]]:
    return [
        {"name": name, "in": "path", "required": True, "description": "An agent's name.", "schema": _TEXT}
        for name in endpoint.in_path
    ]


def _in_query(endpoint: Endpoint) -> list[dict[str, Any]]:
    if endpoint.answers is stream.events:
        several = {"type": "array", "items": _TEXT}
        schemas: dict[str, Mapping[str, Any]] = {"agent": several, "kind": several, "after": _TEXT}
        return [_parameter(name, about, schemas[name]) for name, about in stream.QUERY.items()]
    known = TOOLS[endpoint.tool].schema()["properties"] if endpoint.tool in TOOLS else {}
    return [
        _parameter(name, known[name].get("description", ""), _undescribed(known[name]))
        for name in endpoint.in_query
    ]


def _parameter(name: str, about: str, schema: Mapping[str, Any]) -> dict[str, Any]:
    return {"name": name, "in": "query", "required": False, "description": about, "schema": schema}


def _undescribed(schema: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in schema.items() if key != "description"}


# the tools


def _of_tools(tools: Iterable[Tool]) -> dict[str, Any]:
    """The arguments of each tool, what these are made of, and a call of it as the body of a request."""
    schemas: dict[str, Any] = {}
    for tool in tools:
        arguments = tool.schema(f"{_SCHEMAS}{tool.name}.{{model}}")
        parts = arguments.pop("$defs", {})
        schemas |= {f"{tool.name}.{name}": part for name, part in parts.items()}
        schemas[tool.name] = {"description": tool.description, **arguments}
        schemas[_call_of(tool)] = _call(tool, bool(arguments.get("required")))
    return schemas


def _call_of(tool: Tool) -> str:
    return f"call.{tool.name}"


def _call(tool: Tool, needs_arguments: bool) -> dict[str, Any]:
    return {
        "type": "object",
        "required": ["tool", "arguments"] if needs_arguments else ["tool"],
        "properties": {"tool": {"const": tool.name}, "arguments": {"$ref": f"{_SCHEMAS}{tool.name}"}},
        "additionalProperties": False,
    }
