"""MCP as our server speaks it: the tools, in the name of whoever was let in.

Who calls is found out at the door (`gate`), before anything here hears of a request. Both
eras of the protocol on one address: the handshake versions up to 2025-11-25 and the
stateless 2026-07-28. Everything here imports mcp when it is called, in a thread.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from . import (
    __version__,
    tools,  # noqa: F401 — registers them
)
from .caller import caller
from .calls import TOOLS, Call, Result, Tool, find, in_tools, usable
from .errors import MadroxError
from .events import PERSON

if TYPE_CHECKING:
    from mcp import types
    from mcp.server.context import ServerRequestContext
    from starlette.applications import Starlette

    from .manager import Manager

PATH = "/mcp"
LARGEST_BODY = 40 * 2**20
"""Bytes of a request: the longest prompt, escaped. Only who has a token gets to send them."""
IDLE_SESSION_SECONDS = 24 * 3600
"""Of a handshake session. An agent may work for hours between two calls."""

INSTRUCTIONS = """\
Madrox runs a tree of agents, each a CLI of its own. You are known by your token.
Start one with spawn_instance, give it work with send_to_instance, take answers with
get_pending_replies, look around with get_instance_tree."""

log = logging.getLogger(__name__)


def application(manager: Manager) -> Starlette:
    """The protocol and the tools: one route and the lifespan that it needs. `gate` lets in who may."""
    from mcp.server.lowlevel import Server as Protocol
    from mcp.server.transport_security import TransportSecuritySettings

    calls = Calls(manager)
    protocol = Protocol(
        "madrox",
        version=__version__,
        instructions=INSTRUCTIONS,
        on_list_tools=calls.list_tools,
        on_call_tool=calls.call_tool,
    )
    return protocol.streamable_http_app(
        streamable_http_path=PATH,
        json_response=False,  # else neither progress nor cancellation gets through
        stateless_http=False,  # else a client of 2025 can't cancel
        max_request_body_size=LARGEST_BODY,
        session_idle_timeout=IDLE_SESSION_SECONDS,
        transport_security=TransportSecuritySettings(enable_dns_rebinding_protection=False),  # `gate` does it
    )


class Calls:
    """`tools/list` and `tools/call`, answered by `tools/`."""

    def __init__(self, manager: Manager) -> None:
        self._manager = manager
        self._listed = {tool.name: _listed(tool) for tool in TOOLS.values()}

    async def list_tools(
        self, ctx: ServerRequestContext, params: types.PaginatedRequestParams | None
    ) -> types.ListToolsResult:
        from mcp import types

        return types.ListToolsResult(tools=[self._listed[tool.name] for tool in usable(caller().scope)])

    async def call_tool(
        self, ctx: ServerRequestContext, params: types.CallToolRequestParams
    ) -> types.CallToolResult:
        """Carry a tool out in the name of whose token the request bears."""

        async def progress(seconds: float, text: str) -> None:
            await ctx.session.report_progress(seconds, None, text)

        holder = caller()
        call = Call(self._manager, holder.name, progress, holder.scope, holder.client)
        try:
            result = await find(params.name).call(call, params.arguments or {})
        except MadroxError as exc:
            return _content(in_tools(str(exc)), failed=True)
        except Exception:  # a bug of ours: its place is the log, not the model's context
            log.exception("%s failed when %s called it", params.name, holder.name)
            text = f"internal error in {params.name}: it is not your fault; see madrox.log. Go on without it"
            return _content(text, failed=True)
        return _returned(result, holder.name)


def _listed(tool: Tool) -> types.Tool:
    from mcp import types

    return types.Tool(
        name=tool.name,
        description=tool.description,
        input_schema=tool.schema(),
        annotations=types.ToolAnnotations(read_only_hint=tool.read_only, destructive_hint=tool.destructive),
    )


def _returned(result: Result, name: str) -> types.CallToolResult:
    """Structured content goes to the person's programs alone.

    Claude and Codex show a model the structured content *instead of* the text, and an
    agent's token means that a model reads.
    """
    answer = _content(result.text)
    if name == PERSON:
        answer.structured_content = {"text": result.text, **result.data}
    return answer


def _content(text: str, *, failed: bool = False) -> types.CallToolResult:
    from mcp import types

    return types.CallToolResult(content=[types.TextContent(type="text", text=text)], is_error=failed)
