"""`GET /events`: server-sent events, one for each entry of the ledger.

    id: <run>:<seq>          what to give as Last-Event-ID to go on from there
    event: turn.ended        the entry's kind
    data: {"v": 1, …}        the entry, as it stands in the ledger

Three more kinds tell of the stream itself: `stream.opened`, `stream.gap` (entries that are
nowhere to be had any more) and `stream.closed`. Who comes back with an id of an earlier
run gets the rest of that one, then this one from its beginning. An agent hears of those
that it may look at.
"""

from __future__ import annotations

import logging
import re
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import orjson

from ..caller import caller
from ..calls import may_see, sees
from ..errors import BadInput, Forbidden, nearest
from ..events import KINDS, PERSON
from ..tokens import Holder
from .faults import refused
from .feed import Feed, Gap, Item, rest_of

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.responses import Response

    from ..manager import Manager

HEARTBEAT_SECONDS: Final = 15
SEND_SECONDS: Final = 60.0
"""For a reader that takes nothing; then it is cut off, and can come back with its last id."""
RETRY_MS: Final = 1000
MOST_READERS: Final = 200

QUERY: Final = {
    "agent": "Only of this agent; several may be given.",
    "kind": "Only of this kind, such as turn.ended, or of this family, such as turn; several may be given.",
    "after": "Where to go on: an id that was sent, or the number of an entry of this run; -1 is its "
    "beginning. A Last-Event-ID counts more. Without either: from now on.",
}

_ID = re.compile(r"(?:([\w.-]{1,100}):)?(-1|\d{1,15})", re.ASCII)

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Wanted:
    """Which entries a reader gets."""

    kinds: tuple[str, ...]
    agents: tuple[str, ...]

    def __contains__(self, item: Item) -> bool:
        fits = any(item.kind == kind or item.kind.startswith(f"{kind}.") for kind in self.kinds)
        return (fits or not self.kinds) and (item.agent in self.agents or not self.agents)


async def events(manager: Manager, request: Request) -> Response:
    """Begin a stream. Raises for a query that can't be meant."""
    from sse_starlette.sse import EventSourceResponse, SendTimeoutError

    class Stream(EventSourceResponse):
        async def __call__(self, *served: Any) -> None:
            try:
                await super().__call__(*served)
            except SendTimeoutError:
                log.warning("a reader of /events took nothing for %g s and was cut off", SEND_SECONDS)

    feed: Feed = request.app.state.feed
    if feed.readers >= MOST_READERS:
        return refused(429, "TooManyReaders", f"{MOST_READERS} read the events already")
    for name in request.query_params:
        if name not in QUERY:
            raise BadInput(f"/events takes no {name!r}.{nearest(name, QUERY)} It takes: {', '.join(QUERY)}")
    holder = caller()
    wanted = Wanted(
        tuple(_kind(kind) for kind in request.query_params.getlist("kind")),
        tuple(_agent(manager, holder.name, name) for name in request.query_params.getlist("agent")),
    )
    run, seq = _place(manager, feed, request)
    token = request.headers["authorization"].partition(" ")[2].strip()
    story = _told(manager, feed, wanted, run, seq, lambda: manager.tokens.holder(token) == holder, holder)
    return Stream(story, ping=HEARTBEAT_SECONDS, send_timeout=SEND_SECONDS, sep="\n")


async def _told(
    manager: Manager,
    feed: Feed,
    wanted: Wanted,
    run: str,
    seq: int,
    welcome: Callable[[], bool],
    holder: Holder,
) -> AsyncIterator[bytes]:
    """All that a reader is sent, until the server or its welcome ends."""
    yield b"retry: %d\n\n" % RETRY_MS + _event("stream.opened", {"run": manager.run, "after": seq}, run, seq)
    if run != manager.run:
        before = rest_of(manager.settings.logs, run, seq) if holder.name == PERSON else None
        if before is None:
            yield _event("stream.gap", {"run": run, "first": seq + 1, "last": None}, run, seq)
        else:
            async for batch in before:
                yield _joined(batch, wanted, run)
        run, seq = manager.run, -1
    async for news in feed.after(seq):
        if not welcome():
            yield _event("stream.closed", {"why": "your token speaks for nobody any more"})
            return
        shown = [item for item in news if isinstance(item, Gap) or _is_shown(manager, holder.name, item)]
        if told := _joined(shown, wanted, run):
            yield told
    yield _event("stream.closed", {"why": "the server stops"})


def _is_shown(manager: Manager, name: str, item: Item) -> bool:
    """Whether an agent may hear of it; the person may always."""
    if name == PERSON or not item.agent:
        return True
    return item.agent in manager.tree and name in manager.tree and sees(manager.tree, name, item.agent)


def _joined(news: list[Item] | list[Item | Gap], wanted: Wanted, run: str) -> bytes:
    return b"".join(
        _event("stream.gap", {"run": run, "first": item.first, "last": item.last}, run, item.last)
        if isinstance(item, Gap)
        else b"id: %b:%d\nevent: %b\ndata: %b\n\n" % (run.encode(), item.seq, item.kind.encode(), item.line)
        for item in news
        if isinstance(item, Gap) or item in wanted
    )


def _event(kind: str, data: Any, run: str = "", seq: int = -1) -> bytes:
    place = b"id: %b:%d\n" % (run.encode(), seq) if run else b""
    return place + b"event: %b\ndata: %b\n\n" % (kind.encode(), orjson.dumps(data))


# what was asked for


def _place(manager: Manager, feed: Feed, request: Request) -> tuple[str, int]:
    """(run, number) of the last entry that the reader has."""
    said = request.headers.get("last-event-id") or request.query_params.get("after")
    if not said:
        return manager.run, feed.newest
    if (found := _ID.fullmatch(said)) is None:
        raise BadInput(f"{said[:100]!r} is no id of an event: it is one that was sent, or a number")
    run, seq = found[1] or manager.run, int(found[2])
    if run == manager.run and seq > feed.newest:
        raise BadInput(f"there is no event {seq} yet: the newest is {feed.newest}")
    return run, seq


def _kind(kind: str) -> str:
    families = {known.partition(".")[0] for known in KINDS}
    if kind not in KINDS and kind not in families:
        known = (*families, *KINDS)
        raise BadInput(
            f"there is no kind of event {kind!r}.{nearest(kind, known)} Known: {', '.join(sorted(known))}"
        )
    return kind


def _agent(manager: Manager, name: str, wanted: str) -> str:
    if wanted == PERSON:
        if name != PERSON:
            raise Forbidden(f"{name} can't hear what the person is told")
        return wanted
    return may_see(manager.tree, name, wanted).name
