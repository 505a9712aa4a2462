"""What is said to agents, and by them to you: `send`, `post`, `wait`, `inbox`."""

from __future__ import annotations

from typing import Any, Final

from ..grammar import Argument
from .commands import AGENT, NO_WAIT, RAW, Command, Use, notice


def _send(call: Use) -> Any:
    pending = call.madrox.send(call.agent, call.text, steer=call.steer, wait=False)
    if call.steer and pending.how == "queued":
        notice(f"{call.agent} can't be steered now: queued as its next turn")
    return pending if call.no_wait else pending.wait()


def _post(call: Use) -> str:
    return call.madrox.post(call.agent, call.text)


def _wait(call: Use) -> Any:
    return call.madrox.wait(*call.agents, timeout=call.timeout)


def _inbox(call: Use) -> Any:
    return call.madrox.inbox(call.timeout)


COMMANDS: Final = (
    Command(
        "send",
        "start a turn and wait for its end: words of the line, or the cell",
        _send,
        Argument("agent", completes=AGENT),
        Argument("--steer", action="store_true", help="into the turn under way, if its CLI can; else queued"),
        NO_WAIT,
        RAW,
        says=True,
    ),
    Command(
        "post",
        "leave a message without waiting: words of the line, or the cell",
        _post,
        Argument("agent", completes=AGENT),
        RAW,
        says=True,
    ),
    Command(
        "wait",
        "wait until agents and all below them are quiet",
        _wait,
        Argument("agents", nargs="*", completes=AGENT, help="everyone when none is named"),
        Argument("--timeout", type=float, metavar="SECONDS"),
    ),
    Command(
        "inbox",
        "take what agents have written to you",
        _inbox,
        Argument("--timeout", type=float, default=0, metavar="SECONDS", help="wait for the first one"),
    ),
)
