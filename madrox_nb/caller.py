"""Whose token a request bears: found out at the door, known to whoever answers.

It travels in the request's context, as mcp's own sessions do, so that a tool that is
carried out in a session's task still knows whose call it is.
"""

from __future__ import annotations

from collections.abc import Iterator, MutableMapping
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

from .tokens import Holder

_holder: ContextVar[Holder | None] = ContextVar("madrox_holder", default=None)


def caller() -> Holder:
    """Who makes the request under way. Only behind the door, where everybody has a token."""
    holder = _holder.get()
    assert holder is not None  # without one the request was answered 401
    return holder


def known() -> Holder | None:
    """As `caller`; None where the door lets anybody in."""
    return _holder.get()


@contextmanager
def in_the_name_of(holder: Holder, token: str, scope: MutableMapping[str, Any]) -> Iterator[None]:
    """What happens inside is asked for by `holder`. Loads mcp.

    mcp is told too: it binds a session to whoever opened it.
    """
    from mcp.server.auth.middleware.auth_context import auth_context_var
    from mcp.server.auth.middleware.bearer_auth import AuthenticatedUser
    from mcp.server.auth.provider import AccessToken

    access = AccessToken(token=token, client_id=holder.name, subject=holder.client, scopes=[holder.scope])
    scope["user"] = user = AuthenticatedUser(access)
    ours, theirs = _holder.set(holder), auth_context_var.set(user)
    try:
        yield
    finally:
        auth_context_var.reset(theirs)
        _holder.reset(ours)
