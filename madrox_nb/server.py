"""The HTTP server of a manager: its start, its end, and where it is reached.

What it serves is an application (`gate`), where it listens is `listening`. mcp and uvicorn
(half a second of imports) are loaded in a thread when the server starts, so that the
manager's loop goes on meanwhile.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import socket
import threading
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

from . import runtime
from .ending import Ending
from .errors import ServerError
from .events import PERSON
from .gate import application
from .listening import LOOPBACK, check_certificate, check_safe, in_url, is_loopback, listen, reached_at
from .protocol import PATH
from .rest import Feed

if TYPE_CHECKING:
    import uvicorn
    from starlette.types import ASGIApp

    from .config import Settings
    from .manager import Manager

KEEP_ALIVE_SECONDS = 75
"""Of an unused connection; a kernel that is busy for long must not lose its clients."""
STOP_SECONDS = 1
"""For calls under way when the server stops."""
START_LOOK_SECONDS = 0.005

_FOREIGN_LOGS = ("mcp.server", "mcp.shared", "uvicorn", "starlette", "sse_starlette")

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Listener:
    """A socket, and what is spoken on it."""

    socket: socket.socket
    tls: bool = False

    @property
    def port(self) -> int:
        return int(self.socket.getsockname()[1])


class Server:
    """The HTTP server of one manager. Belongs to the manager's loop.

    With a certificate it listens twice: with TLS where the settings say, and without on
    loopback, where the agents of this machine find it (their CLIs trust no certificate of ours).
    """

    def __init__(
        self,
        manager: Manager,
        host: str,
        port: int,
        token: str,
        *,
        strict: bool = False,
        agents_port: int = 0,
    ) -> None:
        """`token` is the person's; agents get theirs from the manager.

        `strict` makes a taken port an error instead of going to the next free one.
        `agents_port` is where agents that outlived another kernel know us.
        """
        self.manager, self.host, self.port, self.token = manager, host, port, token
        self.strict, self.agents_port = strict, agents_port
        self.url = ""
        """Where the agents of this machine find it; empty while it does not listen."""
        self.public_url = ""
        """Where others do: another address when there is TLS, else the same."""
        self.notice = ""
        """What the person should know about the address, else empty."""
        self._lock = asyncio.Lock()
        self._serving: tuple[asyncio.Task[None], ...] = ()
        self._uvicorns: list[uvicorn.Server] = []
        self._feed: Feed | None = None
        self.lasting = True
        """Whether it may serve others than the MCP client that started it (`madrox mcp`)."""
        self._published: Path | None = None
        self._ending = Ending()

    async def start(self) -> str:
        """Listen, unless it does so already; returns the address for this machine's agents.

        Raises `ServerError` for an address that can't be had or would not be safe.
        """
        async with self._lock:
            if not self.url:
                await self._start()
        return self.url

    async def stop(self) -> None:
        """Stop listening and drop the calls under way; what they began goes on. Idempotent."""
        async with self._lock:
            await self._end()

    async def _end(self) -> None:
        self._ask_to_end()
        if self._serving:
            await asyncio.wait(self._serving)
        self._serving, self._uvicorns = (), []
        self._withdraw()

    def _ask_to_end(self) -> None:
        if self._feed is not None:
            self._feed.close()
        self._ending.begin()
        for server in self._uvicorns:
            server.should_exit = True

    def _publish(self) -> None:
        """Let other programs of this user find it."""
        try:
            self._published = runtime.publish(self.described())
        except OSError as exc:
            log.warning("other programs can't find this server: its runtime file can't be written: %s", exc)

    def described(self) -> runtime.Running:
        """As other programs of this user find it."""
        home = self.manager.settings.home
        return runtime.described(self.url, self.token, home=home, lasting=self.lasting)

    def _withdraw(self) -> None:
        """It is reached nowhere any more, and nobody is told otherwise."""
        self.url = self.public_url = ""
        if self._published is not None:
            runtime.withdraw(self._published)
            self._published = None

    async def _start(self) -> None:
        await self._end()  # what is left of one that ended by itself
        listeners = self._listeners()
        try:
            self.manager.tokens.accept(self.token, PERSON)
            self._feed, self._ending = Feed(self.manager), Ending()
            served = partial(application, self.manager, self._names(listeners), self._feed, self._ending)
            self._uvicorns = await asyncio.to_thread(assemble, served, self.manager.settings, listeners)
            await self._serve(listeners)
        except BaseException:
            self._ask_to_end()
            for each in listeners:
                each.socket.close()
            raise
        outside, inside = listeners[0], listeners[-1]
        self.agents_port = inside.port
        inner_host = LOOPBACK if outside.tls else reached_at(self.host)
        self.url = self.public_url = f"http://{in_url(inner_host)}:{inside.port}{PATH}"
        if outside.tls or not is_loopback(self.host):
            public = next(iter(self.manager.settings.hosts), in_url(reached_at(self.host)))
            scheme = "https" if outside.tls else "http"
            self.public_url = f"{scheme}://{_with_port(public, outside.port)}{PATH}"
        self._publish()

    def _listeners(self) -> list[Listener]:
        """Where the settings say; with TLS, a second one for this machine's agents."""
        settings, tls = self.manager.settings, self.manager.settings.tls_cert is not None
        check_safe(self.host, tls=tls, insecure=settings.insecure == "yes")
        if settings.tls_cert is None:
            port = self.agents_port or self.port
            outside, self.notice = listen(self.host, port, strict=self.strict and not self.agents_port)
            return [Listener(outside)]
        check_certificate(settings.tls_cert, settings.tls_key)
        outside, self.notice = listen(self.host, self.port, strict=self.strict)
        try:
            inside, _ = listen(LOOPBACK, self.agents_port)
        except BaseException:
            outside.close()
            raise
        return [Listener(outside, tls=True), Listener(inside)]

    def _names(self, listeners: Iterable[Listener]) -> set[str]:
        """What a Host header may say, beside the address that a connection came in at."""
        own = (in_url(self.host), LOOPBACK, "localhost", *self.manager.settings.hosts)
        ports = [each.port for each in listeners]
        return {*self.manager.settings.hosts, *(_with_port(name, port) for name in own for port in ports)}

    async def _serve(self, listeners: list[Listener]) -> None:
        """Begin to serve on each, one after the other: the first one runs what the application needs."""
        self._serving = ()
        for server, listener in zip(self._uvicorns, listeners, strict=True):
            serving = asyncio.ensure_future(server.serve(sockets=[listener.socket]))
            self._serving = (*self._serving, serving)
            serving.add_done_callback(self._ended)
            serving.add_done_callback(partial(_close, listener.socket))
            while not server.started:
                if serving.done():
                    raise ServerError("the MCP server ended while it started; madrox.log says why")
                await asyncio.sleep(START_LOOK_SECONDS)

    def _ended(self, serving: asyncio.Task[None]) -> None:
        if not serving.cancelled() and (error := serving.exception()) is not None:
            log.error("the MCP server ended: %s; the next agent starts it again", error, exc_info=error)
        if serving in self._serving:
            self._ask_to_end()
            self._withdraw()


def _close(listener: socket.socket, _: object) -> None:
    listener.close()


def _with_port(name: str, port: int) -> str:
    """A host as a Host header names it; one that is given with its port keeps that."""
    return name if name.rpartition("]")[2].rpartition(":")[1] else f"{name}:{port}"


# the application: everything below is built in a thread and imports mcp when it is called

_NEEDS = ("uvicorn", "mcp.server.lowlevel", "mcp.server.auth.middleware.bearer_auth")
_importing = threading.Lock()


def preload() -> None:
    """Import what the server stands on: half a second, in a thread.

    One at a time: mcp's modules form circles, and two threads in them can deadlock.
    """
    with _importing:
        for module in _NEEDS:
            import_module(module)


def preload_meanwhile() -> None:
    """The same, for later. Its thread is none of the loop's, whose end would wait for it."""

    def begin() -> None:
        with contextlib.suppress(ImportError):  # who needs it will say so
            preload()

    threading.Thread(target=begin, name="madrox-imports").start()


def assemble(
    make: Callable[[], ASGIApp], settings: Settings, listeners: Iterable[Listener]
) -> list[uvicorn.Server]:
    """A server for each listener, all with the one application. Loads mcp and uvicorn."""
    preload()
    import uvicorn

    _hush()
    served = make()
    servers = []
    for number, listener in enumerate(listeners):
        config = uvicorn.Config(
            served,
            log_config=None,
            access_log=False,
            lifespan="off" if number else "on",
            ws="none",
            proxy_headers=False,  # what a client says of itself counts for nothing
            timeout_keep_alive=KEEP_ALIVE_SECONDS,
            timeout_graceful_shutdown=STOP_SECONDS,
            server_header=False,
            **(_certificate(settings) if listener.tls else {}),
        )
        server = uvicorn.Server(config)
        server.capture_signals = contextlib.nullcontext  # type: ignore[method-assign, assignment]  # they are the kernel's
        servers.append(server)
    return servers


def _certificate(settings: Settings) -> dict[str, Any]:
    return {"ssl_certfile": settings.tls_cert, "ssl_keyfile": settings.tls_key}


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
