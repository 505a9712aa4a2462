"""`madrox`: what a person does from a terminal.

Each command is a function that adds its grammar to the parser and names what carries it
out; `COMMANDS` lists them.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, Final

from . import __version__
from .errors import MadroxError

if TYPE_CHECKING:
    Commands = argparse._SubParsersAction[argparse.ArgumentParser]

FAILED: Final = 2
"""The exit status when a command could not be carried out; argparse's own for a wrong line."""

DOCTOR = """\
Say what is there of each agent CLI, and whether Madrox can work here. No agent is started
and no file of Madrox's written; each CLI is asked for its version (10 s at most, all at
once), at which some write into their own directories.

exit status:
  0   an agent that is spawned without --harness is one with a model behind it
      (or a rehearsal, if MADROX_HARNESSES names that)
  1   it would be a rehearsal, or could not be started: no CLI of MADROX_HARNESSES works
  2   Madrox can't work here: the settings can't be read, or the home can't be used
"""


def _doctor(commands: Commands) -> None:
    parser = commands.add_parser(
        "doctor",
        help="what is installed, what is missing and how to get it",
        description=DOCTOR,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--json", action="store_true", help="the same for programs")
    parser.set_defaults(carry_out=_examine)


def _examine(asked: argparse.Namespace) -> int:
    from .doctor import examine

    health = examine()
    _say(health.json() if asked.json else health.text())
    return health.status


MCP = """\
Serve MCP over stdin and stdout, for clients that start their servers themselves: put
{"command": "madrox", "args": ["mcp"]} into their configuration.

It serves the agents of a running notebook (of MADROX_HOME, else the nearest to the working
directory, else the newest). Where none runs it has agents of its own, which end with it.
"""


def _mcp(commands: Commands) -> None:
    parser = commands.add_parser(
        "mcp",
        help="serve MCP over stdio, for Claude Desktop and others",
        description=MCP,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.set_defaults(carry_out=_bridge)


def _bridge(asked: argparse.Namespace) -> int:
    from .stdio import main

    return main()


COMMANDS: Final[tuple[Callable[[Commands], None], ...]] = (_doctor, _mcp)


def main(argv: Sequence[str] | None = None) -> int:
    """Carry out one line (`sys.argv` without arguments); returns the exit status."""
    asked = parser().parse_args(argv)
    carry_out: Callable[[Any], int] = asked.carry_out
    try:
        return carry_out(asked)
    except MadroxError as exc:
        sys.stderr.write(f"madrox: {exc}\n")
        return FAILED
    except BrokenPipeError:  # `madrox doctor | head`
        sys.stderr.close()
        return FAILED


def parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="madrox", description="Run a tree of agent CLIs from a notebook.", allow_abbrev=False
    )
    parser.add_argument("--version", action="version", version=f"madrox_nb {__version__}")
    commands = parser.add_subparsers(metavar="COMMAND", required=True)
    for add in COMMANDS:
        add(commands)
    return parser


def _say(text: str) -> None:
    """Write to stdout, whatever it can encode."""
    encoding = sys.stdout.encoding or "utf-8"
    sys.stdout.write(text.encode(encoding, "replace").decode(encoding) + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
