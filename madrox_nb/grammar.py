"""What a command takes, in a cell (`%madrox`) and in a terminal (`madrox`): written once.

An `Argument` is one line of argparse as a value. A face adds it to its own parser. What
the tools of agents and programs do is done by commands too, and `COMMANDS` says by which.
"""

from __future__ import annotations

import argparse
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from .errors import BadInput

PERMISSIONS: Final = ("deny", "ask", "edits", "all")
"""Named here as well as in `rules`, because a command line loads next to nothing."""

LIMITS: Final = {
    "usd": "US dollars that it and all below it may use; none: no limit",
    "tokens": "the same in tokens",
    "minutes": "from now on",
    "turns": "of it and all below it",
    "max_depth": "levels of agents below it; 0: none",
    "max_children": "that it may have at once",
}
"""What can be limited, as options. Named here as well as in `budget`."""


class Argument:
    """One argument of a command. `completes` says what its value names: an agent, a role, …"""

    def __init__(self, *names: str, completes: str = "", **options: Any) -> None:
        self.names, self.completes, self.options = names, completes, options

    def add_to(self, parser: argparse.ArgumentParser) -> None:
        action = parser.add_argument(*self.names, **self.options)
        action.completes = self.completes  # type: ignore[attr-defined]  # the completion reads it


def pair(such_as: str) -> Any:
    """The type of `NAME=VALUE`: a tuple of both. `such_as` is what a wrong one is told."""

    def parsed(word: str) -> tuple[str, str]:
        name, equals, value = word.partition("=")
        if not (name and equals):
            raise argparse.ArgumentTypeError(f"{word}: write it as NAME=VALUE, such as {such_as}")
        return name, value

    return parsed


def amount(text: str) -> float:
    """A number, or `none` for no limit."""
    return float("inf") if text.lower() == "none" else float(text)


def several(name: str, *, such_as: str, **options: Any) -> Argument:
    """An option that is said once for each `NAME=VALUE`; `dict()` makes one mapping of them."""
    return Argument(name, action="append", default=[], type=pair(such_as), metavar="NAME=VALUE", **options)


def limits(*names: str) -> Iterator[Argument]:
    """One option a limit: these, or all."""
    for name in names or LIMITS:
        yield Argument(f"--{name.replace('_', '-')}", type=amount, metavar="N", help=LIMITS[name])


SPAWN: Final = (
    Argument("name", nargs="?", help="what it is called; without one it is numbered"),
    Argument("--role", default="general", completes="role", help="what it is good at (general)"),
    Argument("--harness", completes="harness", help="which CLI; without it the first that is installed"),
    Argument("--model", completes="model", help="passed on to the CLI as it stands"),
    Argument("--parent", metavar="AGENT", completes="agent", help="whose child it becomes"),
    Argument(
        "--permissions",
        choices=PERMISSIONS,
        help="what it may do unasked; its parent's, else by the settings",
    ),
    Argument("--system-prompt", metavar="TEXT", help="instead of the role's text"),
    several("--option", such_as="sandbox_mode=read-only", help="a setting of that CLI alone"),
    Argument(
        "--mcp",
        action="append",
        default=[],
        metavar="NAME",
        completes="preset",
        help="an MCP server: a preset, one of .mcp.json, or a table as JSON",
    ),
    several("--env", such_as="STAGE=test", help="a variable of its environment; ${NAME} too"),
    Argument("--workspace-dir", metavar="DIR", help="where it works, instead of a directory of its own"),
    Argument("--worktree", action="store_true", help="in a git worktree, on a branch of its own"),
    Argument("--git-repo", metavar="DIR", help="of that repository, instead of the one around here"),
    Argument("--bypass-isolation", action="store_true", help="the same as --permissions all"),
    *limits("usd", "tokens", "minutes"),
    Argument("--prompt", metavar="TEXT", help="its first task; the answer is left in your inbox"),
    Argument("--no-auto-inject", action="store_true", help="its words wait until they are asked for"),
    Argument("--no-wait", action="store_true", help="return while it starts"),
)
"""What `spawn` takes everywhere."""


def servers(given: Sequence[str]) -> str | list[str] | None:
    """What `--mcp` named: presets, or one table as JSON. Raises `BadInput` for both at once."""
    tables = [word for word in given if word.lstrip().startswith("{")]
    if tables and len(given) > 1:
        raise BadInput("--mcp takes names, or one table that holds all servers")
    return tables[0] if tables else list(given) or None


# tools, as commands

COMMANDS: Final = {
    "spawn_instance": "spawn",
    "spawn_claude": "spawn --harness claude",
    "spawn_codex": "spawn --harness codex",
    "spawn_codex_instance": "spawn --harness codex",
    "list_harnesses": "harnesses",
    "list_mcp_presets": "presets",
    "list_roles": "roles",
    "send_to_instance": "send",
    "send_to_multiple_instances": "broadcast",
    "broadcast_to_children": "broadcast --below",
    "get_pending_replies": "inbox",
    "coordinate_instances": "coordinate",
    "get_job_status": "job",
    "stop_job": "job --stop",
    "list_approvals": "approvals",
    "answer_approval": "approve",
    "spawn_team_from_template": "team",
    "get_team_status": "team --status",
    "stop_team": "team --stop",
    "retry_team": "team --retry",
    "resume_team": "team --resume",
    "list_templates": "teams",
    "get_instance_tree": "tree",
    "get_instance_status": "agent",
    "get_live_instance_status": "agent",
    "get_children": "agents",
    "get_peers": "agents",
    "get_instance_output": "logs",
    "get_instance_logs": "logs --type instance",
    "get_tmux_pane_content": "logs --type screen",
    "list_logged_instances": "logs",
    "get_agent_summary": "summary",
    "get_all_agent_summaries": "summary",
    "get_audit_logs": "audit",
    "get_costs": "costs",
    "set_limits": "limit",
    "interrupt_instance": "interrupt",
    "interrupt_multiple_instances": "interrupt",
    "terminate_instance": "stop",
    "terminate_multiple_instances": "stop",
    "suspend_instance": "suspend",
    "resume_instance": "resume",
    "list_persisted_instances": "resume --list",
    "wait_for_instances": "wait",
    "list_instance_files": "files",
    "retrieve_instance_file": "files",
}
"""Tool → the line of a cell that does the same. A terminal has some of them."""
OPTIONS: Final = {
    "instance_type": "harness",
    "parent_instance_id": "parent",
    "max_cost": "usd",
    "max_total_tokens": "tokens",
    "timeout_minutes": "minutes",
    "max_turns": "turns",
}
"""Argument of a tool → option, where it has another name."""

_ARGUMENT: Final = re.compile(r" (\w+)=(\S+)")


def in_commands(text: str, program: str, commands: Mapping[str, str] = COMMANDS) -> str:
    """A text of madrox's own, never one of an agent's: its tools as lines of `program`."""

    def as_command(found: re.Match[str]) -> str:
        return f"{program} {commands[found[1]]}{found[2]}{_ARGUMENT.sub(_as_option, found[3])}"

    tool = rf"\b({'|'.join(commands)})\b((?: [^\s=()`,.]+)?)((?: \w+=[^\s()`]+)*)"
    text = re.sub(tool, as_command, text).replace("use instance_type=", "use --harness ")
    return text.replace("force=true ends it", "--force ends it")


def _as_option(found: re.Match[str]) -> str:
    option = f" --{OPTIONS.get(found[1], found[1].replace('_', '-'))}"
    return option if found[2] == "true" else f"{option} {found[2]}"
