"""`madrox`: what a person does from a terminal.

Each command is a function that adds its grammar to the parser and names what carries it
out; `COMMANDS` lists them, and the modules of this package hold them by kind: `places`
(where agents run: serve, mcp, lab, demo; what is installed: doctor; who gets in: token),
`verbs` (what is done with those that run) and `answering` (what they ask to be allowed).
Nothing heavy is loaded before a command needs it: `madrox tree` is there in a tenth of a second.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, Final

from .. import __version__
from ..errors import MadroxError, NotRunning, TurnFailed
from . import answering, places, verbs
from .speech import DONE, EXIT_STATUS, FAILED, INTERRUPTED, NO_GOOD, NOBODY_THERE, Parser, complain, type_of

if TYPE_CHECKING:
    from .speech import Commands

COMMANDS: Final[tuple[Callable[[Commands], None], ...]] = (
    *places.COMMANDS,
    *verbs.COMMANDS,
    *answering.COMMANDS,
)

STATUS: Final = {NotRunning.__name__: NOBODY_THERE, TurnFailed.__name__: NO_GOOD}
"""Error → exit status, here or as the server calls it; any other one is `FAILED`."""


def main(argv: Sequence[str] | None = None) -> int:
    """Carry out one line (`sys.argv` without arguments); returns the exit status."""
    asked = parser().parse_args(argv)
    carry_out: Callable[[Any], int | None] = asked.carry_out
    try:
        return carry_out(asked) or DONE
    except MadroxError as exc:
        complain(exc, as_json=getattr(asked, "json", False))
        return STATUS.get(type_of(exc), FAILED)
    except KeyboardInterrupt:
        return INTERRUPTED
    except BrokenPipeError:  # `madrox doctor | head`
        sys.stderr.close()
        return FAILED


def parser() -> Parser:
    parser = Parser(
        prog="madrox",
        description="Run a tree of agent CLIs from a notebook, or from here.",
        epilog=EXIT_STATUS,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument("--version", action="version", version=f"madrox_nb {__version__}")
    commands = parser.add_subparsers(metavar="COMMAND", required=True)
    for add in COMMANDS:
        add(commands)
    return parser
