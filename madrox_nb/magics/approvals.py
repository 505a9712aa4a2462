"""What agents ask to be allowed, and your answers: `approvals`, `approve`, `deny`."""

from __future__ import annotations

from typing import Any, Final

from ..grammar import Argument
from .commands import FULL, Command, Use, notice


def _approvals(call: Use) -> Any:
    found = call.madrox.approvals(full=call.full)
    if not call.all:
        found = found[found["state"] == "open"]
        if found.empty:
            notice("nothing waits for an answer; --all shows what was answered")
    return found


def _approve(call: Use) -> Any:
    return call.madrox.approve(*call.approvals, always=call.always)


def _deny(call: Use) -> Any:
    return call.madrox.deny(*call.approvals, why=" ".join(call.why), always=call.always)


_APPROVALS: Final = Argument("approvals", nargs="+", completes="approval")
_ALWAYS: Final = Argument(
    "--always",
    choices=("agent", "subtree", "tool"),
    default="",
    help="and this tool from now on, for …",
)

COMMANDS: Final = (
    Command(
        "approvals",
        "what agents ask to be allowed",
        _approvals,
        Argument("--all", action="store_true", help="what was answered, too"),
        FULL,
        example="%madrox approvals",
    ),
    Command(
        "approve",
        "allow what agents have asked for",
        _approve,
        _APPROVALS,
        _ALWAYS,
        example="%madrox approve lead.a1 --always agent",
    ),
    Command(
        "deny",
        "refuse what agents have asked for",
        _deny,
        _APPROVALS,
        Argument("--why", nargs="+", default=[], metavar="WORD", help="what the agent is told"),
        _ALWAYS,
        example="%madrox deny lead.a1 --why not on a Friday",
    ),
)
