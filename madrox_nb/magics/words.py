"""What is said to agents, and by them to you: `send`, `broadcast`, `post`, `wait`, `inbox`."""

from __future__ import annotations

from typing import Any, Final

from IPython.core.error import UsageError

from ..grammar import Argument
from .commands import AGENT, NO_WAIT, RAW, Command, Use, notice


def _send(call: Use) -> Any:
    pending = call.madrox.send(call.agent, call.text, steer=call.steer, wait=False)
    if call.steer and pending.how == "queued":
        notice(f"{call.agent} can't be steered now: queued as its next turn")
    return pending if call.no_wait else pending.wait()


def _broadcast(call: Use) -> Any:
    if not call.text.strip():
        raise UsageError(
            "%madrox broadcast: say what. In a line, the text stands behind --: %madrox broadcast "
            "alice bob -- How far are you? In a cell: %%madrox broadcast alice bob, and the text below"
        )
    return call.madrox.broadcast(call.text, *call.agents, below=call.below, wait=not call.no_wait)


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
        example="%madrox send lead What would you build first?",
    ),
    Command(
        "broadcast",
        "ask several agents the same, and wait for all their answers",
        _broadcast,
        Argument("agents", nargs="*", completes=AGENT, help="none named: those at the top of the tree"),
        Argument("--below", default="", metavar="AGENT", completes=AGENT, help="all its children instead"),
        Argument("--no-wait", action="store_true", help="return at once; .wait() of each value waits"),
        RAW,
        says=True,
        several=True,
        example="%madrox broadcast alice bob -- How far are you?",
    ),
    Command(
        "post",
        "leave a message without waiting: words of the line, or the cell",
        _post,
        Argument("agent", completes=AGENT),
        RAW,
        says=True,
        example="%madrox post lead The tests run on Python 3.11, too.",
    ),
    Command(
        "wait",
        "wait until agents and all below them are quiet",
        _wait,
        Argument("agents", nargs="*", completes=AGENT, help="everyone when none is named"),
        Argument("--timeout", type=float, metavar="SECONDS"),
        example="%madrox wait lead --timeout 600",
    ),
    Command(
        "inbox",
        "take what agents have written to you",
        _inbox,
        Argument("--timeout", type=float, default=0, metavar="SECONDS", help="wait for the first one"),
        example="%madrox inbox --timeout 60",
    ),
)
