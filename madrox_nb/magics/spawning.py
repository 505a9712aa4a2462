"""Who comes to be: `spawn`, `fork`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from IPython.core.error import UsageError

from ..grammar import LIMITS, PERMISSIONS, Argument, limits, several
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
        mcp_servers=_servers(call.mcp),
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


def _servers(given: Sequence[str]) -> str | Sequence[str] | None:
    """Names of presets, or one table as JSON. Raises `UsageError` for both at once."""
    tables = [word for word in given if word.lstrip().startswith("{")]
    if tables and len(given) > 1:
        raise UsageError("--mcp takes names, or one table that holds all servers")
    return tables[0] if tables else list(given) or None


def _fork(call: Use) -> Any:
    return call.madrox.fork(call.agent, call.as_, permissions=call.permissions)


COMMANDS: Final = (
    Command(
        "spawn",
        "start an agent",
        _spawn,
        Argument("name", nargs="?", help="what it is called; without one it is numbered"),
        Argument("--role", default="general", completes="role", help="a file in prompts/ (general)"),
        Argument("--harness", completes="harness", help="which CLI; without it the first that is installed"),
        Argument("--model", help="passed on to the CLI"),
        Argument("--parent", completes=AGENT, help="the agent whose child it becomes"),
        Argument(
            "--permissions",
            choices=PERMISSIONS,
            help="what it may do unasked; its parent's, else by the settings",
        ),
        Argument("--system-prompt", metavar="TEXT", help="instead of the role's text"),
        several("--option", such_as="sandbox_mode=read-only", help="of its harness alone"),
        Argument(
            "--extra-arg",
            action="append",
            default=[],
            metavar="ARG",
            help="passed on to its CLI; --extra-arg=-v",
        ),
        Argument(
            "--mcp",
            action="append",
            default=[],
            metavar="NAME",
            completes="preset",
            help="an MCP server: a preset, one of .mcp.json, or a table as JSON",
        ),
        several("--env", such_as="STAGE=test", help="added to its environment; ${NAME} too"),
        Argument("--workspace-dir", metavar="DIR", help="where it works, instead of a directory of its own"),
        Argument("--worktree", action="store_true", help="in a git worktree, on a branch of its own"),
        Argument(
            "--git-repo", metavar="DIR", help="of that repository, instead of the one around the notebook"
        ),
        Argument("--bypass-isolation", action="store_true", help="the same as --permissions all"),
        Argument("--prompt", metavar="TEXT", help="its first task; the answer is left in your inbox"),
        Argument("--no-auto-inject", action="store_true", help="its words wait until they are asked for"),
        *limits(),
        Argument("--no-wait", action="store_true", help="return while it starts"),
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
    ),
)
