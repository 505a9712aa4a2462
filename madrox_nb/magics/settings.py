"""What is there to be used, who gets in, and the end: `config`, `serve`, `token`, `close`, …"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from IPython.core.error import UsageError

from ..errors import BadInput
from ..grammar import Argument
from .commands import Command, Use, notice

if TYPE_CHECKING:
    from ..notebook import Madrox


def current() -> Madrox | None:
    """The shared madrox, if there is one; loads nothing."""
    notebook = sys.modules.get("madrox_nb.notebook")
    return notebook.current() if notebook is not None else None


def _roles(call: Use) -> Any:
    from ..notebook import roles

    return roles()


def _token(call: Use) -> Any:
    tokens = call.madrox.tokens
    if call.what == "list":
        return tokens.list()
    if call.name is None:
        raise UsageError(f"%madrox token {call.what} needs the token's NAME")
    if call.what == "revoke":
        gone = tokens.revoke(call.name)
        notice(f"the token {gone.name} ({gone.scope}) speaks for nobody any more")
        return None
    issued = tokens.create(call.name, call.scope)
    if call.to is None:
        return issued
    try:
        where = issued.save(Path(call.to))
    except OSError as exc:
        tokens.revoke(call.name)
        raise BadInput(f"the token can't be written to {call.to}: {exc}. None was made") from exc
    notice(f"the token {call.name} ({call.scope}) stands in {where}, for you alone to read")
    return None


def _close(call: Use) -> None:
    if (shared := current()) is not None:
        shared.close()


COMMANDS: Final = (
    Command("roles", "the roles that spawn knows", _roles),
    Command(
        "harnesses",
        "one row a harness: is its CLI here, which version, what it can do",
        lambda call: call.madrox.harnesses(),
    ),
    Command("config", "the settings in force, and where each comes from", lambda call: call.madrox.config()),
    Command("serve", "let other clients in by MCP", lambda call: call.madrox.serve()),
    Command(
        "token",
        "let an outside client in with a token of its own, shown once",
        _token,
        Argument("what", choices=("create", "list", "revoke")),
        Argument("name", nargs="?", help="what the client is called"),
        Argument(
            "--scope",
            choices=("read", "operate", "admin"),
            default="read",
            help="look; run agents; everything",
        ),
        Argument("--to", metavar="FILE", help="write it there, for you alone to read, instead of showing it"),
    ),
    Command("close", "end every agent and the run", _close),
)
