"""What a subcommand is: its grammar, what carries it out, and one use of it."""

from __future__ import annotations

import argparse
import re
from collections.abc import Callable
from functools import cached_property
from typing import TYPE_CHECKING, Any, Final, NoReturn, TypeVar

from IPython.core.error import UsageError

from ..errors import nearest
from ..grammar import Argument

if TYPE_CHECKING:
    from ..notebook import Madrox

T = TypeVar("T")

AGENT: Final = "agent"
"""What a positional or an option's value names, for the completion."""
NO_WAIT: Final = Argument("--no-wait", action="store_true", help="return at once; the value's .wait() waits")
RAW: Final = Argument("--raw", action="store_true", help="replace no {name}")
OUT: Final = Argument("-o", "--out", metavar="NAME", help="put the value into this variable instead")


class HelpShown(Exception):
    """A parser has printed its help."""


class Parser(argparse.ArgumentParser):
    """argparse that raises instead of leaving the process, and suggests what was meant."""

    def error(self, message: str) -> NoReturn:
        unknown = re.match(r"unrecognized arguments: (\S+)", message)
        hint = nearest(unknown[1], self._option_string_actions) if unknown else ""
        lacking = re.match(r"argument (--\S+): expected one argument", message)
        if lacking:
            hint = f" One that begins with a dash: {lacking[1]}=--such"
        raise UsageError(f"{message}.{hint}\n{self.format_usage().strip()}")

    def exit(self, status: int = 0, message: str | None = None) -> NoReturn:
        raise HelpShown


class Command:
    """One subcommand: its grammar, and the function that carries it out.

    One that `says` takes a text: the rest of the line as it is written, or the cell's body.
    """

    def __init__(
        self, name: str, about: str, carry_out: Callable[[Use], Any], *arguments: Argument, says: bool = False
    ) -> None:
        self.name, self.about, self.carry_out, self.says = name, about, carry_out, says
        self._arguments = (*arguments, OUT)

    @cached_property
    def parser(self) -> Parser:
        """Made when it is asked for: loading the extension makes none."""
        parser = Parser(prog=f"%madrox {self.name}", description=self.about, allow_abbrev=False)
        for argument in self._arguments:
            argument.add_to(parser)
        return parser


class Use:
    """One use of the magic: what was asked for, with every value in its place.

    `silent` is IPython's semicolon at the end: the value is not shown. Lines that send
    have none, for there it belongs to the text. (IPython's own `output_can_be_silenced`
    reads our lines and cells as Python, and fails on an apostrophe.)
    """

    def __init__(self, asked: argparse.Namespace, text: str, command: Command, silent: bool = False) -> None:
        self.asked, self.text, self.command, self.silent = asked, text, command, silent

    def __getattr__(self, name: str) -> Any:
        return getattr(self.asked, name)

    @property
    def madrox(self) -> Madrox:
        """The shared madrox; opens it."""
        from ..notebook import Madrox

        return Madrox()


def notice(text: str) -> None:
    from ..display import notice

    notice(text)


def said_if(value: T, otherwise: str) -> T:
    """`value`; when there is none, the person is told why."""
    if not value:
        notice(otherwise)
    return value
