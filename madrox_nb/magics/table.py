"""Every subcommand, in its group: help, completion and the reading of a line are made from it."""

from __future__ import annotations

import sys
from typing import Final

from IPython.core.error import UsageError

from ..errors import nearest
from ..grammar import Argument
from . import approvals, settings, spawning, steering, teams, views, words
from .commands import Command, Use


def _help(call: Use) -> None:
    if call.about is None:
        sys.stdout.write(overview())
    else:
        command(call.about).parser.print_help()


HELP: Final = Command(
    "help",
    "this, or all about one command",
    _help,
    Argument("about", nargs="?", metavar="COMMAND", completes="command"),
)

GROUPS: Final = {
    "Agents": spawning.COMMANDS,
    "Words": words.COMMANDS,
    "Steering": steering.COMMANDS,
    "Approvals": approvals.COMMANDS,
    "Teams": teams.COMMANDS,
    "Views": views.COMMANDS,
    "Settings": (*settings.COMMANDS, HELP),
}
COMMANDS: Final[dict[str, Command]] = {each.name: each for group in GROUPS.values() for each in group}
IN_A_TERMINAL: Final = ("mcp", "lab", "demo", "doctor", "logs")
"""Commands of `madrox` that have no magic of their own."""


def command(name: str) -> Command:
    """Raises `UsageError` with the nearest one."""
    try:
        return COMMANDS[name]
    except KeyError:
        if name in IN_A_TERMINAL:
            raise UsageError(f"%madrox {name}: that is a command of a terminal: madrox {name}") from None
        known = ", ".join(COMMANDS)
        raise UsageError(
            f"%madrox {name}: no such command.{nearest(name, COMMANDS)} Known: {known}"
        ) from None


def overview() -> str:
    """What `%madrox help` and `%madrox?` say."""
    width = max(map(len, COMMANDS))
    listed = "\n".join(f"  {name:{width}}  {each.about}" for name, each in COMMANDS.items())
    return (
        "Run a tree of agent CLIs.\n\n"
        f"{listed}\n\n"
        "%madrox help COMMAND tells its options; -o NAME puts the value into a variable.\n"
        "%%madrox send AGENT sends the cell's body. {name} is replaced by your variable of that\n"
        "name, all other braces and $ stay as they are written; --raw replaces nothing.\n"
        "On lines that send nothing, # begins a comment.\n"
    )
