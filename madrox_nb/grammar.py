"""What a command takes, in a cell (`%madrox`) and in a terminal (`madrox`): written once.

An `Argument` is one line of argparse as a value. A face adds it to its own parser.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterable
from typing import Any, Final

PERMISSIONS: Final = ("deny", "ask", "edits", "all")
"""Named here as well as in `rules`, because a command line loads next to nothing."""


class Argument:
    """One argument of a command. `completes` says what its value names: an agent, a role, …"""

    def __init__(self, *names: str, completes: str = "", **options: Any) -> None:
        self.names, self.completes, self.options = names, completes, options

    def add_to(self, parser: argparse.ArgumentParser) -> argparse.Action:
        action = parser.add_argument(*self.names, **self.options)
        action.completes = self.completes  # type: ignore[attr-defined]
        return action


def pair(such_as: str) -> Any:
    """The type of `NAME=VALUE`: a tuple of both. `such_as` is what a wrong one is told."""

    def parsed(word: str) -> tuple[str, str]:
        name, equals, value = word.partition("=")
        if not (name and equals):
            raise argparse.ArgumentTypeError(f"{word}: write it as NAME=VALUE, such as {such_as}")
        return name, value

    return parsed


def amount(text: str) -> float:
    """A number, or `none` for no limit."""
    return float("inf") if text.lower() == "none" else float(text)


def several(name: str, *, such_as: str, **options: Any) -> Argument:
    """An option that is said once for each `NAME=VALUE`; `dict()` makes one mapping of them."""
    return Argument(name, action="append", default=[], type=pair(such_as), metavar="NAME=VALUE", **options)


def limits() -> Iterable[Argument]:
    for name, about in LIMITS.items():
        yield Argument(f"--{name.replace('_', '-')}", type=amount, metavar="N", help=about)


LIMITS: Final = {
    "usd": "US dollars that it and all below it may use; none: no limit",
    "tokens": "the same in tokens",
    "minutes": "from now on",
    "turns": "of it and all below it",
    "max_depth": "levels of agents below it; 0: none",
    "max_children": "that it may have at once",
}
"""What can be limited, as options. Named here as well as in `budget`."""
