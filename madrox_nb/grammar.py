"""What a command takes, in a cell (`%madrox`) and in a terminal (`madrox`): written once.

An `Argument` is one line of argparse as a value. A face adds it to its own parser. What
the tools of agents and programs do is done by commands too, and `COMMANDS` says by which.
"""

from __future__ import annotations

import argparse
import re
from collections.abc import Iterable, Mapping
from typing import Any, Final

PERMISSIONS: Final = ("deny", "ask", "edits", "all")
"""Named here as well as in `rules`, because a command line loads next to nothing."""


class Argument:
    """One argument of a command. `completes` says what its value names: an agent, a role, …"""

    def __init__(self, *names: str, completes: str = "", **options: Any) -> None:
        self.names, self.completes, self.options = names, completes, options

    def add_to(self, parser: argparse.ArgumentParser) -> argparse.Action:
        action = parser.add_argument(*self.names, **self.options)
        action.completes = self.completes  # type: ignore[attr-defined]
        return action


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


def limits() -> Iterable[Argument]:
    for name, about in LIMITS.items():
        yield Argument(f"--{name.replace('_', '-')}", type=amount, metavar="N", help=about)


LIMITS: Final = {
    "usd": "US dollars that it and all below it may use; none: no limit",
    "tokens": "the same in tokens",
    "minutes": "from now on",
    "turns": "of it and all below it",
    "max_depth": "levels of agents below it; 0: none",
    "max_children": "that it may have at once",
}
"""What can be limited, as options. Named here as well as in `budget`."""


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
    "get_job_status": "jobs",
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
