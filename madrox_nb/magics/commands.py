"""What a subcommand is: its grammar, what carries it out, and one use of it."""

from __future__ import annotations

import argparse
import re
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import cached_property
from typing import TYPE_CHECKING, Any, Final, NoReturn, TypeVar

from IPython.core.error import UsageError

from ..errors import MadroxError, nearest
from ..grammar import Argument, in_commands

if TYPE_CHECKING:
    from ..notebook import Madrox
    from ..values import Told

T = TypeVar("T")
Ours = Callable[[Mapping[str, Any]], bool]

MAGIC: Final = "%madrox"
AGENT: Final = "agent"
"""What a positional or an option's value names, for the completion."""
NO_WAIT: Final = Argument("--no-wait", action="store_true", help="return at once; the value's .wait() waits")
FULL: Final = Argument("--full", action="store_true", help="all columns, not only the first ones")
RAW: Final = Argument("--raw", action="store_true", help="replace no {name}")
OUT: Final = Argument("-o", "--out", metavar="NAME", help="put the value into this variable instead")


class HelpShown(Exception):
    """A parser has printed its help."""


class Parser(argparse.ArgumentParser):
    """argparse that raises instead of leaving the process, and says what was meant and how it is written."""

    example = ""

    def error(self, message: str) -> NoReturn:
        such_as = "\n  ".join(self.example.splitlines())
        raise UsageError(
            f"{self.prog}: {message}.{self._meant(message)}\nSuch as:\n  {such_as}\n"
            f"{self.prog} --help tells all that it takes"
        )

    def exit(self, status: int = 0, message: str | None = None) -> NoReturn:
        raise HelpShown

    def format_help(self) -> str:
        """argparse's, with the example as it is written."""
        such_as = "\n  ".join(self.example.splitlines())
        return f"{super().format_help()}\nexample:\n  {such_as}\n"

    def _meant(self, message: str) -> str:
        if unknown := re.match(r"unrecognized arguments: (\S+)", message):
            return nearest(unknown[1], self._option_string_actions)
        if lacking := re.match(r"argument (--\S+): expected one argument", message):
            return f" One that begins with a dash: {lacking[1]}=--such"
        if other := re.match(r"argument \S+: invalid choice: '(.*)' \(choose from (.*)\)", message):
            return nearest(other[1], re.findall(r"[\w.-]+", other[2]))
        return ""


class Command:
    """One subcommand: its grammar, and the function that carries it out.

    One that `says` takes a text: the rest of the line as it is written, or the cell's body.
    Where it can name `several`, a line has its text behind `--`.
    """

    def __init__(
        self,
        name: str,
        about: str,
        carry_out: Callable[[Use], Any],
        *arguments: Argument,
        example: str,
        says: bool = False,
        several: bool = False,
    ) -> None:
        self.name, self.about, self.carry_out, self.example = name, about, carry_out, example
        self.says, self.several = says, several
        self._arguments = (*arguments, OUT)

    @cached_property
    def parser(self) -> Parser:
        """Made when it is asked for: loading the extension makes none."""
        about = f"{self.about[0].upper()}{self.about[1:]}."
        parser = Parser(prog=f"%madrox {self.name}", description=about, allow_abbrev=False)
        parser.example = self.example
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


def told(call: Use, tool: str, *, ours: Ours = lambda _: False, **given: Any) -> Told:
    """What a tool tells: in lines of a cell where none of it is an agent's (`ours`, asked of its data).

    An error always is. What agents have said is never touched.
    """
    try:
        found = call.madrox.call(tool, **given)
    except MadroxError as exc:
        exc.args = (in_commands(str(exc), MAGIC), *exc.args[1:])
        raise
    return replace(found, text=in_commands(found.text, MAGIC)) if ours(found.data) else found


def notice(text: str) -> None:
    from ..display import notice

    notice(text)


def said_if(value: T, otherwise: str) -> T:
    """`value`; when there is none, the person is told why."""
    if not value:
        notice(otherwise)
    return value
