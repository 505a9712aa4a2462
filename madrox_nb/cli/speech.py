"""How commands speak: their exit status, and what they write to a terminal or to a program."""

from __future__ import annotations

import argparse
import json
import re
import sys
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    Commands = argparse._SubParsersAction["Parser"]

DONE: Final = 0
NO_GOOD: Final = 1
"""It was carried out, and what came of it is no good news."""
FAILED: Final = 2
"""It could not be carried out; argparse's own for a wrong line."""
NOBODY_THERE: Final = 3
INTERRUPTED: Final = 130

EXIT_STATUS: Final = """\
exit status:
  0    done
  1    carried out, and no good news: an agent's turn failed or has not ended in time, or
       doctor finds something amiss
  2    it could not be carried out: a wrong line or setting, or it was refused
  3    no madrox runs that could be meant
  130  interrupted (Ctrl-C)
"""

_CONTROLS: Final = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")
"""Agents wrote the text: nothing in it may move the cursor or retitle the window."""


def say(text: str) -> None:
    """Write a line to stdout, whatever it can encode; a terminal gets no control characters."""
    encoding = sys.stdout.encoding or "utf-8"
    text = text.encode(encoding, "replace").decode(encoding)
    sys.stdout.write((_CONTROLS.sub("�", text) if sys.stdout.isatty() else text) + "\n")
    sys.stdout.flush()


def remark(text: str) -> None:
    """Write to stderr what a person should know besides, and no program reads."""
    sys.stderr.write(f"{text}\n")


def say_json(value: Mapping[str, Any]) -> None:
    """One object on one line, in ASCII: any terminal and any program can read it."""
    say(json.dumps(value))


def complain(error: Exception, *, as_json: bool = False) -> None:
    """Say on stderr what went wrong; to a program also on stdout, as it reads everything else."""
    message = str(error).replace("%madrox token", "madrox token")  # the same line, here and in a cell
    if as_json:
        say_json({"error": {"type": type_of(error), "message": message}})
    sys.stderr.write(f"madrox: {_CONTROLS.sub('�', message)}\n")


def type_of(error: Exception) -> str:
    """The name of the error; that of the server's own where one was told."""
    return str(getattr(error, "type", type(error).__name__))


class Parser(argparse.ArgumentParser):
    """argparse that lets options stand between the words of a text, where a command is `mixed`."""

    mixed = False
    _within = False

    def parse_known_args(self, *args: Any, **kwargs: Any) -> Any:
        """argparse's own way to mix them calls this again for each of its parts."""
        if not self.mixed or self._within:
            return super().parse_known_args(*args, **kwargs)
        self._within = True
        try:
            return self.parse_known_intermixed_args(*args, **kwargs)
        finally:
            self._within = False


def described(commands: Commands, name: str, about: str, text: str = "") -> Parser:
    """The parser of one command, its description as it is written here."""
    return commands.add_parser(
        name,
        help=about,
        description=text or f"{about[0].upper()}{about[1:]}.",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
