"""How a line, and its cell, is read."""

from __future__ import annotations

import re
import shlex
import string
from collections.abc import Mapping
from typing import Any, Final

from IPython.core.error import UsageError

from .commands import Command, Use
from .table import command

_FIELD: Final = re.compile(
    r"\{\{[^{}]*\}\}"  # stays as it is
    r"|\{([A-Za-z_]\w*)(?:\.\w+|\[[^\[\]{}]+\])*(?:![rsa])?(?::[^{}\s][^{}]*)?\}"
)


def interpolated(text: str, names: Mapping[str, Any]) -> str:
    """`text` with the variables in braces replaced; what can't be, stays as it is written."""

    def value(match: re.Match[str]) -> str:
        if match[1] not in names:
            return match[0]
        try:
            return string.Formatter().vformat(match[0], (), names)
        except (AttributeError, LookupError, TypeError, ValueError):
            return match[0]

    return _FIELD.sub(value, text)


def read(line: str, cell: str | None, names: Mapping[str, Any]) -> Use:
    """What a line (and its cell) asks for. Raises `UsageError`."""
    name, _, rest = line.strip().partition(" ")
    known = command(name.removesuffix(";"))
    silent = not known.says and line.rstrip().endswith(";")
    if silent:
        rest = rest.rstrip().removesuffix(";")
    if cell is not None and not known.says:
        raise UsageError(f"%%madrox {name} takes no cell body; write it with one %")
    head, text = _divided(known, rest) if known.says else (_words(rest, comments=True), "")
    if cell is not None and text:
        raise UsageError(
            f"%%madrox {name} sends the cell's body; the words {text[:40]!r} stand in its line too"
        )
    asked = known.parser.parse_args([w if "${" in w else interpolated(w, names) for w in head])
    if asked.out is not None and not asked.out.isidentifier():
        raise UsageError(f"-o {asked.out}: that is no name for a variable")
    said = text if cell is None else cell
    said = said if getattr(asked, "raw", True) else interpolated(said, names)
    return Use(asked, said, known, silent)


def _words(text: str, comments: bool = False) -> list[str]:
    try:
        return shlex.split(text, comments)
    except ValueError as exc:
        raise UsageError(f"{exc} in: {text}") from None


def _divided(known: Command, rest: str) -> tuple[list[str], str]:
    """The words before the text, with the options behind it; and the text as it is written.

    So an apostrophe in a prompt is an apostrophe. A text in one pair of quotes loses
    them; after `--` everything is text.
    """
    head: list[str] = []
    agent, values = False, 0
    while match := re.match(r"\s*((?:\"[^\"]*\"|'[^']*'|[^\s\"'])+)", rest):
        word = match[1]
        if word == "--":
            return head, rest[match.end() :].strip()
        if word.startswith("-"):
            values = _takes_value(known, word)
        elif values:
            values = 0
        elif agent and not known.several:
            break
        else:
            agent = True
        head += _words(word)
        rest = rest[match.end() :]
    text, tail = _without_options(known, rest.strip())
    return head + tail, _unquoted(text)


def _takes_value(known: Command, option: str) -> int:
    action = known.parser._option_string_actions.get(option)
    return int(action is not None and action.nargs != 0)


def _without_options(known: Command, text: str) -> tuple[str, list[str]]:
    """`text` and the options that stand at its end, each with its value if it takes one."""
    actions = known.parser._option_string_actions
    flags = [re.escape(option) for option, action in actions.items() if action.nargs == 0]
    valued = [re.escape(option) for option, action in actions.items() if action.nargs is None]
    value = r"(?:\"[^\"]*\"|'[^']*'|[^\s\"'-][^\s\"']*)"
    one = rf"(?:{'|'.join(flags)}|(?:{'|'.join(valued)})[ =]{value})"
    match = re.search(rf"(?:(?:^|\s+){one})+$", text)
    return (text[: match.start()], _words(match[0])) if match else (text, [])


def _unquoted(text: str) -> str:
    if len(text) > 1 and text[0] == text[-1] and text[0] in "\"'" and text[0] not in text[1:-1]:
        return text[1:-1]
    return text
