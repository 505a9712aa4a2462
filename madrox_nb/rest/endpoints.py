"""What is served besides MCP: one table, from which the routes and the OpenAPI document are made.

Most of it shows what a tool returns. Such an endpoint names the tool; its path and query
are the tool's arguments, and what is there to see is decided where it always is, in the
tool. So there is one implementation, and nothing here to keep in step with it.
"""

from __future__ import annotations

import asyncio
import logging
import os
import re
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any, Final

from .. import __version__
from ..caller import known
from ..calls import TOOLS, Tool, usable
from ..errors import BadInput, MadroxError, nearest
from . import stream
from .answers import answer
from .carrying import HungUp, NoJson, TooLarge, body_of, carry_out
from .faults import broken, failed, refused

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.responses import Response
    from starlette.routing import Route

    from ..manager import Manager

HEALTH: Final = "/health"

log = logging.getLogger(__name__)

Answerer = Callable[["Manager", "Request"], Awaitable["Response"]]


@dataclass(frozen=True)
class Endpoint:
    """One method of one path."""

    path: str
    about: str
    answers: Answerer | None = None
    """What answers it, where that is no tool."""
    method: str = "GET"
    tool: str = ""
    """The tool whose data it shows."""
    fixed: Mapping[str, Any] = field(default_factory=dict)
    """Arguments of that tool that are always these."""
    open: bool = False
    """It needs no token."""

    @property
    def name(self) -> str:
        """In the OpenAPI document."""
        words = self.path.replace("{", "").replace("}", "").strip("/").replace(".", "_").split("/")
        return "_".join((self.method.lower(), *words))

    @property
    def in_path(self) -> list[str]:
        return re.findall(r"\{(\w+)\}", self.path)

    @cached_property
    def in_query(self) -> list[str]:
        """Arguments of its tool that a query may give: words and numbers."""
        known = TOOLS[self.tool].schema()["properties"] if self.tool in TOOLS else {}
        given = (*self.in_path, *self.fixed)
        return [name for name, schema in known.items() if name not in given and _is_plain(schema)]


def _is_plain(schema: Mapping[str, Any]) -> bool:
    kinds = schema.get("anyOf", (schema,))
    return all(kind.get("type") in ("string", "integer", "number", "boolean") for kind in kinds)


# what is no tool


async def _health(manager: Manager, request: Request) -> Response:
    full = manager.ledger.trouble is not None
    told: dict[str, Any] = {"status": "disk full" if full else "ok", "version": __version__}
    if (holder := known()) is not None:
        told |= {
            "run": manager.run,
            "pid": os.getpid(),
            "agents": len(manager.tree.alive()),
            "max_instances": manager.settings.max_instances,
            "caller": holder.name,
            "scope": holder.scope,
        }
    return answer(told)


async def _tools(manager: Manager, request: Request) -> Response:
    holder = known()
    assert holder is not None
    listed = [_shown(tool) for tool in usable(holder.name, holder.scope)]
    return answer({"tools": listed, "total": len(listed)})


def _shown(tool: Tool) -> dict[str, Any]:
    return {
        "name": tool.name,
        "description": tool.description,
        "inputSchema": tool.schema(),
        "read_only": tool.read_only,
        "destructive": tool.destructive,
        "needs": tool.needs,
    }


async def _execute(manager: Manager, request: Request) -> Response:
    asked = await body_of(request)
    if not isinstance(asked, dict) or not isinstance(asked.get("tool"), str):
        raise BadInput('the body is to be an object such as {"tool": "get_instance_tree", "arguments": {}}')
    for name in asked:
        if name not in ("tool", "arguments"):
            raise BadInput(
                f"the body holds {name!r}.{nearest(name, ('tool', 'arguments'))} Known: tool, arguments"
            )
    given = asked.get("arguments") or {}
    if not isinstance(given, dict):
        raise BadInput("arguments is to be an object: the tool's arguments by their names")
    result = await carry_out(manager, request, asked["tool"], given)
    return answer({"text": result.text, "data": result.data})


async def _document(manager: Manager, request: Request) -> Response:
    from .openapi import document

    return answer(await asyncio.to_thread(document, ENDPOINTS))


ENDPOINTS: Final = (
    Endpoint(HEALTH, "Whether it is well. Needs no token; with one it says more.", _health, open=True),
    Endpoint("/tools", "The tools that your token may use, with the schemas of their arguments.", _tools),
    Endpoint("/tools/execute", "Carry out a tool.", _execute, method="POST"),
    Endpoint("/instances", "Agents in detail: all that you may look at.", tool="get_instance_status"),
    Endpoint("/instances/{instance_id}", "One agent in detail.", tool="get_instance_status"),
    Endpoint(
        "/instances/{instance_id}/live_status", "What it does just now.", tool="get_live_instance_status"
    ),
    Endpoint(
        "/instances/{instance_id}/terminal", "The end of what it printed.", tool="get_tmux_pane_content"
    ),
    Endpoint("/logs/audit", "What happened, the newest last.", tool="get_audit_logs"),
    Endpoint(
        "/logs/instances/{instance_id}",
        "What happened to one agent.",
        tool="get_instance_logs",
        fixed={"log_type": "instance"},
    ),
    Endpoint(
        "/logs/communication/{instance_id}",
        "What was said to and by one agent.",
        tool="get_instance_logs",
        fixed={"log_type": "communication"},
    ),
    Endpoint("/network/hierarchy", "Who is whose child.", tool="get_instance_tree"),
    Endpoint("/openapi.json", "This document.", _document),
    Endpoint("/events", "Everything that happens, while it happens.", stream.events),
)


# from the table to the routes


def routes(manager: Manager) -> list[Route]:
    from starlette.routing import Route

    return [Route(each.path, _answering(manager, each), methods=[each.method]) for each in ENDPOINTS]


def _answering(manager: Manager, endpoint: Endpoint) -> Callable[[Request], Awaitable[Response]]:
    """What starlette calls: an answer in any case."""

    async def respond(request: Request) -> Response:
        try:
            if endpoint.answers is not None:
                return await endpoint.answers(manager, request)
            return await _show(manager, request, endpoint)
        except TooLarge as exc:
            return refused(413, "TooLarge", str(exc), headers={"Connection": "close"})
        except NoJson as exc:
            return refused(415, "NoJson", str(exc))
        except HungUp:
            return refused(499, "HungUp", "the client has hung up")
        except (MadroxError, TimeoutError) as exc:
            return failed(exc)
        except Exception:
            log.exception("%s %s failed", endpoint.method, endpoint.path)
            return broken(endpoint.path)

    return respond


async def _show(manager: Manager, request: Request, endpoint: Endpoint) -> Response:
    """What the endpoint's tool returns for these arguments."""
    if endpoint.tool not in TOOLS:
        return refused(
            501,
            "UnknownTool",
            f"{endpoint.path} shows what {endpoint.tool} returns, and there is no such tool",
        )
    for name in request.query_params:
        if name not in endpoint.in_query:
            taken = ", ".join(endpoint.in_query) or "nothing"
            raise BadInput(
                f"{endpoint.path} takes no {name!r}.{nearest(name, endpoint.in_query)} It takes: {taken}"
            )
    given = {**request.query_params, **request.path_params, **endpoint.fixed}
    return answer((await carry_out(manager, request, endpoint.tool, given)).data)
