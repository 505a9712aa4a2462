"""The door of the HTTP server: who comes in, whatever they come for.

Every request is looked at here once, before MCP or REST hears of it:

    421   it names a host that is not ours (a page that had its name point at us)
    403   it comes from a page of somebody else's
    401   it has no token, or one that speaks for nobody

What nobody serves is 404 without a question, as OAuth's discovery expects it. Everything
here imports mcp and starlette when it is called, in a thread.
"""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Iterable, Sequence
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from . import protocol, rest
from .caller import in_the_name_of
from .ending import Ending

if TYPE_CHECKING:
    from starlette.datastructures import Headers
    from starlette.responses import Response
    from starlette.routing import BaseRoute
    from starlette.types import ASGIApp, Receive, Scope, Send

    from .manager import Manager
    from .tokens import Tokens

_DEFAULT = {"http": ":80", "https": ":443"}
_WRONG_HOST = (
    "the Host header names none of this server's names. One that others know it by goes into the setting "
    "hosts (ORCHESTRATOR_HOSTS)"
)
_WRONG_ORIGIN = "pages of other sites may not call this server"


def application(manager: Manager, names: Iterable[str], feed: rest.Feed, ending: Ending) -> ASGIApp:
    """MCP and REST behind one door, as one ASGI application, which answers to these hosts.

    `names` are written as a Host header has them: `madrox.example.org:8001`, without the
    port where it is that of the scheme. The address at which a connection came in needs
    no mention. Whoever stops the server closes `feed` and begins the `ending` first: readers of
    the events never end by themselves, and calls may wait for long.
    """
    from starlette.applications import Starlette
    from starlette.routing import Route

    mcp = protocol.application(manager, ending)
    routes = [Route(protocol.PATH, mcp), *rest.routes(manager)]

    @contextlib.asynccontextmanager
    async def lifespan(_: object) -> AsyncIterator[None]:
        async with mcp.router.lifespan_context(mcp):
            yield

    served = Starlette(routes=routes, lifespan=lifespan, exception_handlers=rest.HANDLERS)
    served.state.feed, served.state.ending = feed, ending
    return Gate(served, manager.tokens, names, routes)


class Gate:
    """An ASGI middleware: lets in who may, and says in whose name."""

    def __init__(
        self, app: ASGIApp, tokens: Tokens, names: Iterable[str], routes: Sequence[BaseRoute]
    ) -> None:
        self._app, self._tokens, self._routes = app, tokens, routes
        self._names = frozenset(name.lower() for name in names)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        refused, came_in = self._look(scope)
        if refused is not None:
            await refused(scope, receive, send)
            return
        with came_in:
            await self._app(scope, receive, send)

    def _look(self, scope: Scope) -> tuple[Response | None, contextlib.AbstractContextManager[Any]]:
        """The refusal, or None; and what has to surround the carrying out of the request."""
        from starlette.datastructures import Headers

        headers, nobody = Headers(scope=scope), contextlib.nullcontext()
        if not self._is_ours(scope, headers.get("host", "")):
            return rest.refused(421, "WrongHost", _WRONG_HOST), nobody
        if (origin := headers.get("origin")) and not self._is_ours(scope, _site_of(origin)):
            return rest.refused(403, "WrongOrigin", _WRONG_ORIGIN), nobody
        if self._takes_anybody(scope, headers):
            return None, nobody
        token = _bearer(headers)
        holder = self._tokens.holder(token) if token else None
        if holder is None:
            return rest.unauthorized(_why_not(headers, token), bool(token)), nobody
        return None, in_the_name_of(holder, token, scope)

    def _is_ours(self, scope: Scope, name: str) -> bool:
        """Whether a host is one of ours: by the names we were given, or by the address it reached us at.

        An address can't be made to point elsewhere, as a name can.
        """
        address, port = scope.get("server") or ("", 0)
        reached = f"{f'[{address}]' if ':' in address else address}:{port}"
        return name.lower() in self._names or name in (
            reached,
            reached.removesuffix(_DEFAULT[scope["scheme"]]),
        )

    def _takes_anybody(self, scope: Scope, headers: Headers) -> bool:
        """What nobody serves, and whether we are well, is told without a token; a wrong one is told so."""
        from starlette.routing import Match

        if scope["path"] == rest.HEALTH:
            return "authorization" not in headers
        return all(route.matches(scope)[0] is Match.NONE for route in self._routes)


def _bearer(headers: Headers) -> str:
    kind, _, token = headers.get("authorization", "").partition(" ")
    return token.strip() if kind.lower() == "bearer" else ""


def _site_of(origin: str) -> str:
    """`https://name:8001` → `name:8001`; what is none (`null`) becomes empty."""
    try:
        return urlsplit(origin).netloc
    except ValueError:
        return ""


def _why_not(headers: Headers, token: str) -> str:
    if token:
        return (
            "this token speaks for nobody here: it was revoked, its agent has ended, or it belongs to "
            "another home"
        )
    if "authorization" in headers:
        return "the Authorization header holds no bearer token. Write it as 'Authorization: Bearer mdx_…'"
    return "a token is needed: send it as 'Authorization: Bearer mdx_…'"
