"""How a request becomes a call of a tool, and who goes away meanwhile."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Mapping
from typing import TYPE_CHECKING, Any, TypeVar

import orjson

from ..caller import caller
from ..calls import Call, Result, find
from ..ending import Ending
from ..errors import BadInput
from ..protocol import LARGEST_BODY
from ..tools.waiting import patience
from .preference import wait_of

if TYPE_CHECKING:
    from starlette.requests import Request

    from ..manager import Manager

T = TypeVar("T")


class TooLarge(BadInput):
    """More than a request may hold."""


class NoJson(BadInput):
    """A body that does not say that it is JSON."""


class HungUp(Exception):
    """Nobody waits for the answer any more."""


async def carry_out(manager: Manager, request: Request, tool: str, given: Mapping[str, Any]) -> Result:
    """Call a tool in the name of whose token the request bears.

    Who hangs up ends the waiting, as over MCP: what was meant for it stays in its inbox.
    """
    holder = caller()
    if (seconds := wait_of(request.headers.get("prefer", ""))) is not None:
        patience.set(seconds)  # of this request alone: each is served in a context of its own
    call = Call(manager, holder.name, _nobody_watches, holder.scope, holder.client)
    ending: Ending = request.app.state.ending
    return await _unless_hung_up(request, ending.unless(find(tool).call(call, given)))


async def body_of(request: Request) -> Any:
    """What the body says. Raises `BadInput` for what is no JSON, not said to be, or too large."""
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind != "application/json" and not kind.endswith("+json"):
        raise NoJson(
            f"the body is said to be {kind or 'nothing'}: send JSON, as Content-Type: application/json"
        )
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > LARGEST_BODY:
            raise TooLarge(f"the body is longer than {LARGEST_BODY:,} bytes")
    try:
        return orjson.loads(body)
    except orjson.JSONDecodeError as exc:
        raise BadInput(f"the body is no JSON: {exc}") from exc


async def _unless_hung_up(request: Request, work: Coroutine[Any, Any, T]) -> T:
    working = asyncio.ensure_future(work)
    leaving = asyncio.ensure_future(_left(request))
    try:
        await asyncio.wait((working, leaving), return_when=asyncio.FIRST_COMPLETED)
        if not working.done():
            raise HungUp
        return working.result()
    finally:
        leaving.cancel()
        working.cancel()


async def _left(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass


async def _nobody_watches(seconds: float, text: str) -> None:
    """Progress of a call: a plain answer has no room for it."""
