"""Who is calling, over MCP on loopback: bearer token → name → the tools.

Both eras of the protocol on one address: the handshake versions up to 2025-11-25 and the
stateless 2026-07-28. mcp and uvicorn (half a second of imports) are loaded in a thread
when the server starts, so that the manager's loop goes on meanwhile.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import ipaddress
import logging
import os
import socket
import threading
from importlib import import_module
from typing import TYPE_CHECKING
from weakref import WeakSet

from . import (
    __version__,
    tools,  # noqa: F401 — registers them
)
from .calls import TOOLS, Call, Result, Tool, find, in_tools
from .errors import MadroxError, ServerError
from .events import PERSON

if TYPE_CHECKING:
    import uvicorn
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
KEEP_ALIVE_SECONDS = 75
"""Of an unused connection; a kernel that is busy for long must not lose its clients."""
IDLE_SESSION_SECONDS = 24 * 3600
"""Of a handshake session. An agent may work for hours between two calls."""
STOP_SECONDS = 1
"""For calls under way when the server stops."""
START_LOOK_SECONDS = 0.005

INSTRUCTIONS = """\
Madrox runs a tree of agents, each a CLI of its own. You are known by your token.
Start one with spawn_instance, give it work with send_to_instance, take answers with
get_pending_replies, look around with get_instance_tree."""

_FOREIGN_LOGS = ("mcp.server", "mcp.shared", "uvicorn", "starlette", "sse_starlette")

log = logging.getLogger(__name__)


class Server:
    """The MCP server of one manager. Belongs to the manager's loop."""

    def __init__(self, manager: Manager, host: str, port: int, token: str) -> None:
        """`token` is the person's; agents get theirs from the manager."""
        self.manager, self.host, self.port, self.token = manager, host, port, token
        self.url = ""
        """Where it listens; empty while it does not."""
        self.notice = ""
        """What the person should know about the address, else empty."""
        self._lock = asyncio.Lock()
        self._serving: asyncio.Task[None] | None = None
        self._uvicorn: uvicorn.Server | None = None

    async def start(self) -> str:
        """Listen, unless it does so already; returns the address.

        Raises `ServerError` for an address that is not loopback or cannot be had.
        """
        async with self._lock:
            if not self.url:
                await self._start()
        return self.url

    async def stop(self) -> None:
        """Stop listening and drop the calls under way; what they began goes on. Idempotent."""
        async with self._lock:
            if self._serving is not None and self._uvicorn is not None:
                self._uvicorn.should_exit = True
                await asyncio.wait((self._serving,))
            self._serving = self._uvicorn = None
            self.url = ""

    async def _start(self) -> None:
        listener, self.notice = listen(self.host, self.port)
        try:
            port = listener.getsockname()[1]
            self.manager.tokens.accept(self.token, PERSON)
            self._uvicorn = await asyncio.to_thread(assemble, self.manager, self.host, port)
            await self._serve(self._uvicorn, listener)
        except BaseException:
            listener.close()
            raise
        self.url = f"http://{_in_url(self.host)}:{port}{PATH}"

    async def _serve(self, server: uvicorn.Server, listener: socket.socket) -> None:
        self._serving = asyncio.ensure_future(server.serve(sockets=[listener]))
        self._serving.add_done_callback(self._ended)
        self._serving.add_done_callback(lambda _: listener.close())
        try:
            while not server.started:
                if self._serving.done():
                    raise ServerError("the MCP server ended while it started; madrox.log says why")
                await asyncio.sleep(START_LOOK_SECONDS)
        except asyncio.CancelledError:
            server.should_exit = True
            raise

    def _ended(self, serving: asyncio.Task[None]) -> None:
        if not serving.cancelled() and (error := serving.exception()) is not None:
            log.error("the MCP server ended: %s; the next agent starts it again", error, exc_info=error)
        if serving is self._serving:
            self.url = ""


# the socket

_listeners: WeakSet[socket.socket] = WeakSet()


def listen(host: str, port: int) -> tuple[socket.socket, str]:
    """A listening socket at `port`, or at a free one when that is taken; and a notice if so."""
    if not _is_loopback(host):
        raise ServerError(
            f"the MCP server listens on loopback only, not on {host}: without TLS everybody on the way "
            "could read the tokens. Set ORCHESTRATOR_HOST=127.0.0.1, and use an SSH tunnel from elsewhere"
        )
    try:
        try:
            return _bound(host, port), ""
        except OSError as exc:
            if exc.errno != errno.EADDRINUSE:
                raise
        listener = _bound(host, 0)
    except (OSError, OverflowError) as exc:
        raise ServerError(
            f"the MCP server can't listen on {host}:{port}: {exc}. Set ORCHESTRATOR_PORT to another port, "
            "or to 0 for any free one"
        ) from exc
    return listener, f"port {port} is taken; listening on {listener.getsockname()[1]}"


def _bound(host: str, port: int) -> socket.socket:
    # asyncio sets TCP_NODELAY only where the protocol is named: 1 ms a call instead of 44
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((host, port))
        listener.listen()  # now, because two that only bound a port could both have it
    except BaseException:
        listener.close()
        raise
    _listeners.add(listener)
    return listener


def _close_inherited() -> None:
    """A fork of the kernel must not keep the port open when the kernel is gone."""
    for listener in tuple(_listeners):
        listener.close()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_close_inherited)


def _is_loopback(host: str) -> bool:
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _in_url(host: str) -> str:
    return f"[{host}]" if ":" in host else host


# the application: everything below is built in a thread and imports mcp when it is called

_NEEDS = ("uvicorn", "mcp.server.lowlevel", "mcp.server.auth.settings")
_importing = threading.Lock()


def preload() -> None:
    """Import what the server stands on: half a second, in a thread and in good time.

    One at a time: mcp's modules form circles, and two threads in them can deadlock.
    """
    with _importing:
        for module in _NEEDS:
            import_module(module)


def assemble(manager: Manager, host: str, port: int) -> uvicorn.Server:
    """The server, ready to be served on a loop. Loads mcp and uvicorn."""
    preload()
    import uvicorn

    _hush()
    config = uvicorn.Config(
        application(manager, host, port),
        log_config=None,
        access_log=False,
        lifespan="on",
        ws="none",
        timeout_keep_alive=KEEP_ALIVE_SECONDS,
        timeout_graceful_shutdown=STOP_SECONDS,
        server_header=False,
    )
    server = uvicorn.Server(config)
    server.capture_signals = contextlib.nullcontext  # type: ignore[method-assign, assignment]  # they are the kernel's
    return server


def application(manager: Manager, host: str, port: int) -> Starlette:
    """Authentication, protocol and tools as one ASGI application."""
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
    names = [f"{name}:{port}" for name in dict.fromkeys((_in_url(host), "127.0.0.1", "localhost"))]
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
    """`tools/list` and `tools/call`, answered by `tools.py`."""

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


# other people's logs


class _Ours(logging.Handler):
    """Passes warnings of the libraries on to our log."""

    def emit(self, record: logging.LogRecord) -> None:
        cancelled = record.exc_info and isinstance(record.exc_info[1], asyncio.CancelledError)
        if not cancelled:  # a call dropped by `stop` is no fault
            log.handle(record)


def _hush() -> None:
    """Keep the libraries' logs out of the notebook: their warnings go where ours go."""
    for name in _FOREIGN_LOGS:
        foreign = logging.getLogger(name)
        if not any(isinstance(handler, _Ours) for handler in foreign.handlers):
            foreign.addHandler(_Ours(logging.WARNING))
            foreign.propagate = False
