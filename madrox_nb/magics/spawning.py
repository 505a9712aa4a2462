"""Who comes to be: `spawn`, `fork`."""

from __future__ import annotations

from typing import Any, Final

from ..grammar import LIMITS, PERMISSIONS, SPAWN, Argument, limits, servers
from .commands import AGENT, Command, Use


def _spawn(call: Use) -> Any:
    return call.madrox.spawn(
        call.name,
        role=call.role,
        harness=call.harness,
        model=call.model,
        parent=call.parent,
        permissions=call.permissions,
        system_prompt=call.system_prompt,
        options=dict(call.option),
        extra_args=call.extra_arg,
        auto_inject=not call.no_auto_inject,
        mcp_servers=servers(call.mcp),
        environment_vars=dict(call.env),
        workspace_dir=call.workspace_dir,
        use_worktree=call.worktree or call.git_repo is not None,
        git_repo=call.git_repo,
        bypass_isolation=call.bypass_isolation,
        initial_prompt=call.prompt,
        limits=limits_said(call),
        wait=not call.no_wait,
    )


def limits_said(call: Use) -> dict[str, Any]:
    """Those limits that were said."""
    return {name: said for name in LIMITS if (said := getattr(call.asked, name, None)) is not None}


def _fork(call: Use) -> Any:
    return call.madrox.fork(call.agent, call.as_, permissions=call.permissions)


COMMANDS: Final = (
    Command(
        "spawn",
        "start an agent",
        _spawn,
        *SPAWN,
        *limits("turns", "max_depth", "max_children"),
        Argument(
            "--extra-arg",
            action="append",
            default=[],
            metavar="ARG",
            help="passed on to its CLI; --extra-arg=-v",
        ),
        example="%madrox spawn lead --role architect --usd 5",
    ),
    Command(
        "fork",
        "a second agent with the same conversation and files",
        _fork,
        Argument("agent", completes=AGENT),
        Argument("--as", dest="as_", metavar="NAME", help="what it is called; without one it is numbered"),
        Argument(
            "--permissions",
            choices=PERMISSIONS,
            help="what it may do unasked; the original's, but never all",
        ),
        example="%madrox fork lead --as other-lead",
    ),
)
