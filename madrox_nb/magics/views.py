"""What there is and what has happened: the live tree, and frames."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from ..grammar import Argument
from .commands import AGENT, FULL, Command, Use

VIEWS: Final = (
    *("dashboard", "tree", "timeline", "costs", "approvals", "team"),
    *("conversation", "terminal", "inbox", "details"),
)
"""Named here as well as in `parts`, because this module loads next to nothing."""


def _tree(call: Use) -> Any:
    from ..display import kernel

    return call.madrox.tree if kernel() is None else call.madrox.widget("tree")


def _view(call: Use) -> Any:
    return call.madrox.widget(call.what, call.agent)


def _audit(call: Use) -> Any:
    return call.madrox.audit(since=call.since, agent=call.agent, kind=call.kind, full=call.full)


def _frame(name: str) -> Callable[[Use], Any]:
    return lambda call: getattr(call.madrox, name)(full=call.full)


def _processes(call: Use) -> Any:
    return call.madrox.processes(call.agent)


COMMANDS: Final = (
    Command(
        "view",
        "the dashboard, as %madrox alone; or one part of it",
        _view,
        Argument("what", nargs="?", default="dashboard", choices=VIEWS, help="what to show"),
        Argument("agent", nargs="?", default="", completes=AGENT, help="of whom, where it is about one"),
        example="%madrox view timeline",
    ),
    Command("tree", "the live tree", _tree, example="%madrox tree"),
    *(
        Command(name, about, _frame(name), FULL, example=f"%madrox {name}")
        for name, about in (
            ("agents", "one row an agent"),
            ("turns", "one row a turn"),
            ("messages", "one row a message"),
            ("tools", "one row a tool call"),
            ("costs", "tokens and money by agent"),
        )
    ),
    Command(
        "audit",
        "one row an event",
        _audit,
        Argument("--since", help="a time (UTC), or a span back from now: 10min"),
        Argument("--agent", completes=AGENT),
        Argument("--kind", help="turn.ended, or a family: turn"),
        FULL,
        example="%madrox audit --since 10min --kind turn",
    ),
    Command(
        "processes",
        "one row a process of the system that belongs to a living agent",
        _processes,
        Argument("agent", nargs="?", completes=AGENT, help="of this one alone"),
        example="%madrox processes lead",
    ),
)
