"""The HTTP server of a manager, on loopback: its socket, its start and its end.

What it serves is an application (`protocol`). mcp and uvicorn (half a second of imports)
are loaded in a thread when the server starts, so that the manager's loop goes on meanwhile.
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
from pathlib import Path
from typing import TYPE_CHECKING
from weakref import WeakSet

from . import runtime
from .errors import ServerError
from .events import PERSON
from .protocol import PATH, application

if TYPE_CHECKING:
    import uvicorn

    from .manager import Manager

KEEP_ALIVE_SECONDS = 75
"""Of an unused connection; a kernel that is busy for long must not lose its clients."""
STOP_SECONDS = 1
"""For calls under way when the server stops."""
START_LOOK_SECONDS = 0.005

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
        self.lasting = True
        """Whether it may serve others than the MCP client that started it (`madrox mcp`)."""
        self._published: Path | None = None

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
            self._withdraw()

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
        try:
            self._published = runtime.publish(self.described())
        except OSError as exc:
            log.warning("other programs can't find this server: its runtime file can't be written: %s", exc)

    def described(self) -> runtime.Running:
        """As other programs of this user find it."""
        home = self.manager.settings.home
        return runtime.described(self.url, self.token, home=home, lasting=self.lasting)

    def _withdraw(self) -> None:
        """Listen nowhere any more, and say so."""
        self.url = ""
        if self._published is not None:
            runtime.withdraw(self._published)
            self._published = None

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
            self._withdraw()


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
    names = [f"{name}:{port}" for name in dict.fromkeys((_in_url(host), "127.0.0.1", "localhost"))]
    config = uvicorn.Config(
        application(manager, names),
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
