"""What the tools say, in the words of a terminal: the next step is a command here."""

from __future__ import annotations

from typing import Final

from .. import grammar

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


def in_commands(text: str) -> str:
    """A text of madrox's own, never one of an agent's, with tools as commands."""
    return grammar.in_commands(text, "madrox", COMMANDS)
