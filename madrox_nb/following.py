"""Who follows which resource, and how they are told of a change, in both eras of the protocol.

Changes are gathered while a pause lasts, so that nobody hears of one resource more often
than ten times a second; what nobody follows costs nothing. A client that does not read
holds up nobody else.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Iterable
from typing import TYPE_CHECKING, Any, Final

from .errors import MadroxError
from .events import AgentSpawned, Entry
from .resources import checked, touched

if TYPE_CHECKING:
    from mcp import types
    from mcp.server.connection import Connection
    from mcp.server.context import ServerRequestContext

    from .manager import Manager

PAUSE_SECONDS: Final = 0.1


class Follower:
    """A client of the handshake era, which is told on the stream that it holds open."""

    def __init__(self, connection: Connection) -> None:
        self.uris: set[str] = set()
        self._connection = connection
        self._untold: dict[str, None] = {}
        self._telling: asyncio.Task[None] | None = None

    def tell(self, uris: Iterable[str], *, listed: bool) -> None:
        """Say soon that these changed, and whether the list of them did."""
        self._untold |= dict.fromkeys(uri for uri in uris if uri in self.uris)
        if listed:
            self._untold[""] = None
        if self._untold and self._telling is None:
            self._telling = asyncio.ensure_future(self._tell())

    async def _tell(self) -> None:
        try:
            while self._untold:
                uri = next(iter(self._untold))
                del self._untold[uri]
                if uri:
                    await self._connection.send_resource_updated(uri)
                else:
                    await self._connection.send_resource_list_changed()
        finally:
            self._telling = None

    def close(self) -> None:
        if self._telling is not None:
            self._telling.cancel()


class Following:
    """All who follow something of one manager. Belongs to its loop."""

    def __init__(self, manager: Manager) -> None:
        from mcp.server.subscriptions import InMemorySubscriptionBus, ListenHandler

        self._manager = manager
        self._bus = InMemorySubscriptionBus()
        self._streams = ListenHandler(self._bus)
        self._open_streams = 0
        self._followers: dict[Connection, Follower] = {}
        self._changed: dict[str, None] = {}
        self._listed = False
        self._wake = asyncio.Event()

    @contextlib.asynccontextmanager
    async def alive(self, _: object) -> AsyncIterator[dict[str, Any]]:
        """Hear the ledger for as long as the server runs: its lifespan."""
        stop = self._manager.ledger.listen(self._heard)
        telling = asyncio.ensure_future(self._tell())
        try:
            yield {}
        finally:
            stop()
            telling.cancel()
            self._streams.close()
            for follower in self._followers.values():
                follower.close()

    # the handshake era

    async def joined(self, ctx: ServerRequestContext, params: types.NotificationParams) -> None:
        """A client is ready to be told of things."""
        self._follower(ctx)

    async def subscribe(
        self, ctx: ServerRequestContext, caller: str, params: types.SubscribeRequestParams
    ) -> None:
        """Raises `BadInput` or `Forbidden`."""
        uri = str(params.uri)
        checked(self._manager.tree, caller, uri)
        self._follower(ctx).uris.add(uri)

    async def unsubscribe(self, ctx: ServerRequestContext, params: types.UnsubscribeRequestParams) -> None:
        self._follower(ctx).uris.discard(str(params.uri))

    def _follower(self, ctx: ServerRequestContext) -> Follower:
        connection = ctx.session._connection  # handlers get no other way to it, and it says when it ends
        if connection not in self._followers:
            self._followers[connection] = Follower(connection)
            connection.exit_stack.callback(self._gone, connection)
        return self._followers[connection]

    def _gone(self, connection: Connection) -> None:
        if (follower := self._followers.pop(connection, None)) is not None:
            follower.close()

    # the stateless era

    async def listen(
        self, ctx: ServerRequestContext, caller: str, params: types.SubscriptionsListenRequestParams
    ) -> types.SubscriptionsListenResult:
        """One stream of changes, until the client hangs up; of what changes, and what the caller may see."""
        asked = params.notifications.resource_subscriptions or []
        granted = [uri for uri in asked if self._sees(caller, uri)]
        never = {"tools_list_changed": None, "prompts_list_changed": None}
        notifications = params.notifications.model_copy(update={"resource_subscriptions": granted, **never})
        self._open_streams += 1
        try:
            return await self._streams(ctx, params.model_copy(update={"notifications": notifications}))
        finally:
            self._open_streams -= 1

    def _sees(self, caller: str, uri: str) -> bool:
        try:
            checked(self._manager.tree, caller, uri)
        except MadroxError:
            return False
        return True

    # what happens

    def _heard(self, entry: Entry) -> None:
        if self._followers or self._open_streams:
            self._changed |= dict.fromkeys(touched(entry))
            self._listed = self._listed or isinstance(entry.event, AgentSpawned)
            self._wake.set()

    async def _tell(self) -> None:
        from mcp.server.subscriptions import ResourcesListChanged, ResourceUpdated

        while True:
            await self._wake.wait()
            self._wake.clear()
            changed, listed = self._changed, self._listed
            self._changed, self._listed = {}, False
            for follower in self._followers.values():
                follower.tell(changed, listed=listed)
            if self._open_streams:
                for uri in changed:
                    await self._bus.publish(ResourceUpdated(uri=uri))
                if listed:
                    await self._bus.publish(ResourcesListChanged())
            await asyncio.sleep(PAUSE_SECONDS)
