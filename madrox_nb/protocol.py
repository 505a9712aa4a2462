"""MCP as our server speaks it: bearer token → name → the tools.

Both eras of the protocol on one address: the handshake versions up to 2025-11-25 and the
stateless 2026-07-28. Everything here imports mcp when it is called, in a thread.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from . import (
    __version__,
    tools,  # noqa: F401 — registers them
)
from .calls import TOOLS, Call, Result, Tool, find, in_tools
from .errors import MadroxError
from .events import PERSON

if TYPE_CHECKING:
    from mcp import types
    from mcp.server.auth.provider import AccessToken
    from mcp.server.context import ServerRequestContext
    from starlette.applications import Starlette

    from .manager import Manager
    from .tokens import Tokens

PATH = "/mcp"
SCOPE = "mcp"
LARGEST_BODY = 40 * 2**20
"""Bytes of a request: the longest prompt, escaped. Only who has a token gets to send them."""
IDLE_SESSION_SECONDS = 24 * 3600
"""Of a handshake session. An agent may work for hours between two calls."""

INSTRUCTIONS = """\
Madrox runs a tree of agents, each a CLI of its own. You are known by your token.
Start one with spawn_instance, give it work with send_to_instance, take answers with
get_pending_replies, look around with get_instance_tree."""

log = logging.getLogger(__name__)


def application(manager: Manager, names: list[str]) -> Starlette:
    """Authentication, protocol and tools as one ASGI application, which answers to these `host:port`."""
    from mcp.server.auth.settings import AuthSettings
    from mcp.server.lowlevel import Server as Protocol
    from mcp.server.transport_security import TransportSecuritySettings
    from pydantic import AnyHttpUrl

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
        transport_security=TransportSecuritySettings(
            allowed_hosts=names, allowed_origins=[f"http://{name}" for name in names]
        ),
        auth=AuthSettings(
            issuer_url=AnyHttpUrl("http://127.0.0.1"), resource_server_url=None, required_scopes=[SCOPE]
        ),
        token_verifier=Verifier(manager.tokens),
    )


class Verifier:
    """Tokens as mcp asks for them."""

    def __init__(self, tokens: Tokens) -> None:
        self._tokens = tokens

    async def verify_token(self, token: str) -> AccessToken | None:
        from mcp.server.auth.provider import AccessToken

        name = self._tokens.who(token)
        return AccessToken(token=token, client_id=name, scopes=[SCOPE]) if name else None


class Calls:
    """`tools/list` and `tools/call`, answered by `tools/`."""

    def __init__(self, manager: Manager) -> None:
        self._manager = manager
        self._listed = [_listed(tool) for tool in TOOLS.values()]

    async def list_tools(
        self, ctx: ServerRequestContext, params: types.PaginatedRequestParams | None
    ) -> types.ListToolsResult:
        from mcp import types

        return types.ListToolsResult(tools=self._listed)

    async def call_tool(
        self, ctx: ServerRequestContext, params: types.CallToolRequestParams
    ) -> types.CallToolResult:
        """Carry a tool out in the name of whose token the request bears."""

        async def progress(seconds: float, text: str) -> None:
            await ctx.session.report_progress(seconds, None, text)

        caller = _caller()
        try:
            result = await find(params.name).call(
                Call(self._manager, caller, progress), params.arguments or {}
            )
        except MadroxError as exc:
            return _content(in_tools(str(exc)), failed=True)
        except Exception:  # a bug of ours: its place is the log, not the model's context
            log.exception("%s failed when %s called it", params.name, caller)
            text = f"internal error in {params.name}: it is not your fault; see madrox.log. Go on without it"
            return _content(text, failed=True)
        return _returned(result, caller)


def _caller() -> str:
    """Whose token this request bears."""
    from mcp.server.auth.middleware.auth_context import get_access_token

    token = get_access_token()
    assert token is not None  # without one the request was answered 401
    return token.client_id


def _listed(tool: Tool) -> types.Tool:
    from mcp import types

    return types.Tool(
        name=tool.name,
        description=tool.description,
        input_schema=tool.schema(),
        annotations=types.ToolAnnotations(read_only_hint=tool.read_only, destructive_hint=tool.destructive),
    )


def _returned(result: Result, caller: str) -> types.CallToolResult:
    """Structured content goes to the person's programs alone.

    Claude and Codex show a model the structured content *instead of* the text, and an
    agent's token means that a model reads.
    """
    answer = _content(result.text)
    if caller == PERSON:
        answer.structured_content = {"text": result.text, **result.data}
    return answer


def _content(text: str, *, failed: bool = False) -> types.CallToolResult:
    from mcp import types

    return types.CallToolResult(content=[types.TextContent(type="text", text=text)], is_error=failed)
