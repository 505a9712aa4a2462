"""What went wrong, as HTTP says it: a status, and `{"error": {"type", "message", "next"?}}`.

`type` is the class of the error, `message` names the thing and its state, and mostly the
next step too; `next` is there where that is better said apart.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import TYPE_CHECKING, Any, Final

from ..calls import in_tools
from ..errors import (
    BadInput,
    BudgetSpent,
    Forbidden,
    HarnessError,
    HarnessNotFound,
    IllegalEvent,
    LedgerFull,
    LimitReached,
    MadroxError,
    NameTaken,
    NoBackend,
    SomeFailed,
    TreeFull,
    TurnFailed,
    UnknownAgent,
    UnknownApproval,
    UnknownHarness,
    UnknownJob,
    UnknownMessage,
    UnknownRole,
    UnknownToken,
    UnknownTool,
)
from .answers import answer

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.responses import Response

STATUS: Final[Mapping[type[BaseException], int]] = {
    BadInput: 400,
    UnknownAgent: 404,
    UnknownApproval: 404,
    UnknownHarness: 404,
    UnknownJob: 404,
    UnknownMessage: 404,
    UnknownRole: 404,
    UnknownToken: 404,
    UnknownTool: 404,
    NameTaken: 409,
    IllegalEvent: 409,  # busy, gone: not in this state
    Forbidden: 403,
    LimitReached: 429,
    TreeFull: 429,
    BudgetSpent: 429,
    HarnessNotFound: 501,  # asking again does not help: its CLI has to be installed
    NoBackend: 501,
    HarnessError: 502,  # the program behind us
    TurnFailed: 502,
    SomeFailed: 502,
    LedgerFull: 507,
    MadroxError: 503,  # we ourselves: closed, or what we stand on is gone
    TimeoutError: 504,
}
"""By the nearest class that an error is of."""


def status_of(error: BaseException) -> int:
    return next(STATUS[cls] for cls in type(error).__mro__ if cls in STATUS)


def failed(error: Exception) -> Response:
    """The answer to a request that could not be carried out."""
    return refused(status_of(error), type(error).__name__, in_tools(str(error)))


def broken(doing: str) -> Response:
    """The answer when we have a bug. What it was stands in the log, for that is its place."""
    return refused(500, "InternalError", f"internal error in {doing}; it is not your fault: see madrox.log")


def refused(
    status: int, kind: str, message: str, *, then: str = "", headers: Mapping[str, str] | None = None
) -> Response:
    """An answer that is an error. `then` is the next step."""
    error = {"type": kind, "message": message, **({"next": then} if then else {})}
    return answer({"error": error}, status, headers)


def unauthorized(why: str, known_wrong: bool) -> Response:
    """401, in the words of RFC 6750: an error code only for who has sent a token."""
    said = why.encode("ascii", "replace").decode().replace('"', "'")
    challenge = f'Bearer realm="madrox", error="invalid_token", error_description="{said}"'
    return refused(
        401,
        "Unauthorized",
        why,
        then="%madrox serve says where the person's token is kept; madrox token create NAME, in a terminal "
        "or after % in a notebook, makes one for a client",
        headers={"WWW-Authenticate": challenge if known_wrong else 'Bearer realm="madrox"'},
    )


async def _not_found(request: Request, error: Exception) -> Response:
    return refused(
        404, "NotFound", f"nothing is served at {request.url.path}", then="GET /openapi.json lists all"
    )


async def _wrong_method(request: Request, error: Any) -> Response:
    allowed = error.headers or {}
    message = f"{request.url.path} takes no {request.method}; it takes {allowed.get('Allow', 'others')}"
    return refused(405, "MethodNotAllowed", message, headers=allowed)


async def _bug(request: Request, error: Exception) -> Response:
    return broken(request.url.path)


HANDLERS: Final[Mapping[Any, Callable[[Any, Any], Awaitable[Any]]]] = {
    404: _not_found,
    405: _wrong_method,
    Exception: _bug,
}
"""For what starlette finds out by itself; it logs what it calls an exception."""
