"""Every subcommand, in its group: help, completion and the reading of a line are made from it."""

from __future__ import annotations

import sys
from typing import Final

from IPython.core.error import UsageError

from ..errors import nearest
from ..grammar import COMMANDS as TOOLS
from ..grammar import Argument
from . import approvals, jobs, records, settings, spawning, steering, teams, views, words
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
    example="%madrox help send",
)

GROUPS: Final = {
    "Agents": spawning.COMMANDS,
    "Words": words.COMMANDS,
    "Turns, sleep and limits": steering.COMMANDS,
    "What they ask to be allowed": approvals.COMMANDS,
    "Several together": (*teams.COMMANDS, *jobs.COMMANDS),
    "All agents": views.COMMANDS,
    "One agent": records.COMMANDS,
    "What there is to use, and who gets in": (*settings.COMMANDS, HELP),
}
COMMANDS: Final[dict[str, Command]] = {each.name: each for group in GROUPS.values() for each in group}
IN_A_TERMINAL: Final = ("mcp", "lab", "demo")
"""Commands of `madrox` that have no magic of their own: they start what a cell is in already."""
OTHER_WORDS: Final = {
    "ask": "send",
    "ls": "agents",
    "list": "agents",
    "status": "agent",
    "show": "agent",
    "kill": "stop",
    "terminate": "stop",
    "restart": "resume",
    "cost": "costs",
    "log": "logs",
    "transcript": "logs",
    "templates": "teams",
    "settings": "config",
    "ps": "processes",
}
"""What people try → what it is called here."""


def command(name: str) -> Command:
    """Raises `UsageError` with what was perhaps meant."""
    if name in COMMANDS:
        return COMMANDS[name]
    if name in IN_A_TERMINAL:
        raise UsageError(f"%madrox {name}: that is a command of a terminal: madrox {name}")
    if meant := TOOLS.get(name) or OTHER_WORDS.get(name):
        raise UsageError(f"%madrox {name}: no such command. Here it is: %madrox {meant}")
    hint = nearest(name, COMMANDS) or f" Known: {', '.join(COMMANDS)}"
    raise UsageError(f"%madrox {name}: no such command.{hint}\n%madrox help says what each does")


def overview() -> str:
    """What `%madrox help` and `%madrox?` say."""
    width = max(map(len, COMMANDS))
    groups = (
        "\n".join((title, *(f"  {each.name:{width}}  {each.about}" for each in group)))
        for title, group in GROUPS.items()
    )
    return "Run a tree of agent CLIs.\n\n" + "\n\n".join(groups) + MANNERS


MANNERS: Final = """

%madrox COMMAND --help tells its options, with an example. -o NAME puts the value into a variable.
%%madrox send AGENT sends the cell's body; team, post, broadcast and coordinate take one, too.
{name} is replaced by your variable of that name, all other braces and $ stay as they are
written; --raw replaces nothing. On lines that send nothing, # begins a comment.
"""
