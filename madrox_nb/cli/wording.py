"""What the tools say, in the words of a terminal: the next step is a command here."""

from __future__ import annotations

import re
from typing import Final

COMMANDS: Final = {
    "spawn_instance": "spawn",
    "send_to_instance": "send",
    "get_pending_replies": "inbox",
    "get_instance_tree": "tree",
    "get_instance_output": "logs",
    "get_costs": "costs",
    "terminate_instance": "stop",
    "interrupt_instance": "interrupt",
    "wait_for_instances": "wait",
    "get_instance_status": "wait",
    "get_job_status": "job",
    "list_approvals": "approvals",
}
"""Tool → command. The status of somebody who is at work is looked at in order to wait."""
OPTIONS: Final = {
    "instance_type": "harness",
    "parent_instance_id": "parent",
    "system_prompt": "system-prompt",
}
"""Argument → option, where it has another name."""

_TOOL = re.compile(rf"\b({'|'.join(COMMANDS)})\b((?: [^\s=()`,.]+)?)((?: \w+=[^\s()`]+)*)")
_ARGUMENT = re.compile(r" (\w+)=(\S+)")


def in_commands(text: str) -> str:
    """A text of madrox's own, never one of an agent's, with tools as commands."""
    text = _TOOL.sub(_as_command, text).replace("use instance_type=", "use --harness ")
    return text.replace("force=true ends it", "--force ends it")


def _as_command(found: re.Match[str]) -> str:
    return f"madrox {COMMANDS[found[1]]}{found[2]}{_ARGUMENT.sub(_as_option, found[3])}"


def _as_option(found: re.Match[str]) -> str:
    option = f" --{OPTIONS.get(found[1], found[1])}"
    return option if found[2] == "true" else f"{option} {found[2]}"
