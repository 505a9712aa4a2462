"""Which shell commands only read, and what.

Some CLIs have no tool for reading: their model says `sed -n 1,80p file` to a shell. Such
a command may pass where reading may; everything that is not plainly one of these is asked
about. So this knows few programs, few of their options, and no expansion, redirection or
substitution at all: what it doesn't know, it doesn't pass.
"""

from __future__ import annotations

import re
import shlex
from dataclasses import dataclass
from pathlib import PurePosixPath

SHELLS = frozenset({"bash", "sh", "zsh"})

_WORD = re.compile(r"""(?:'[^']*'|"[^"$`\\!]*"|[\w./,:=@%+^-])+""")
"""Plain characters and quoted texts, none of which a shell would expand."""
_BREAK = re.compile(r"[ \t]*(?:(\|\||&&|[|;])[ \t]*)?")
"""What stands between two words: a blank, or what ends a command."""


@dataclass(frozen=True)
class Reader:
    """A program that reads, as long as its options are these."""

    options: str = r"(?!)"
    """Options without a value of their own."""
    valued: frozenset[str] = frozenset()
    """Options whose value is the next word."""
    first: str = ""
    """What the first operand is when it is no path: a pattern, a script."""
    here: bool = False
    """Without a path it reads the current directory."""
    paths: bool = True
    """Its operands are paths."""


ANYTHING = r"(?s:.*)"
COUNT = frozenset({"-n", "-c"})
AROUND = frozenset({"-A", "-B", "-C", "-m"})
TESTS = frozenset({"-name", "-iname", "-path", "-type", "-maxdepth", "-mindepth"})
READERS = {
    "cat": Reader(r"-[AbeEnstTuv]+"),
    "echo": Reader(r"-.*", paths=False),
    "find": Reader(r"-print|-empty", TESTS, here=True),
    "grep": Reader(r"-[acEFhHilnorsvwxABC\d]+", AROUND, first=ANYTHING, here=True),
    "head": Reader(r"-[nc]?\d+|-q", COUNT),
    "ls": Reader(r"-[1aAdFghilnoprRsStuX]+", here=True),
    "nl": Reader(r"-ba"),
    "pwd": Reader(),
    "rg": Reader(
        r"-[acFhHilnosSvwxABC\d]+|--files|--hidden|--no-heading|--line-number",
        AROUND | {"-g", "--glob", "-t", "--type"},
        first=ANYTHING,
        here=True,
    ),
    "sed": Reader(r"-n", first=r"(\d+|\$)(,(\d+|\$))?p"),
    "tail": Reader(r"-[nc]?\+?\d+|-q", COUNT),
    "true": Reader(),
    "wc": Reader(r"-[clmwL]+"),
}


def paths_read(command: str, directory: str) -> tuple[str, ...] | None:
    """The absolute paths that `command` would read in `directory`, when that is all it would do.

    `command` is what a CLI shows: `cat a` or `/bin/bash -lc 'cat a'`. None for anything else.
    """
    commands = _commands(_script(command))
    if not commands:
        return None
    paths: list[str] = []
    for words in commands:
        read = _paths(words)
        if read is None:
            return None
        paths += read
    return tuple(str(PurePosixPath(directory, path)) for path in paths)


def _script(command: str) -> str:
    try:
        words = shlex.split(command)
    except ValueError:
        return command
    if len(words) == 3 and PurePosixPath(words[0]).name in SHELLS and words[1] in ("-c", "-lc"):
        return words[2]
    return command


def _commands(script: str) -> list[list[str]] | None:
    """The words of each command in it; None when there is more in it than plain words."""
    commands: list[list[str]] = [[]]
    at, script = 0, script.strip(" \t\n")
    while at < len(script):
        word = _WORD.match(script, at)
        if word is None:
            return None
        commands[-1] += shlex.split(word[0])
        gap = _BREAK.match(script, word.end())
        assert gap is not None  # it matches nothing, too
        at = gap.end()
        if gap[1]:
            commands.append([])
    return commands if all(commands) else None


def _paths(words: list[str]) -> list[str] | None:
    reader = READERS.get(words[0])
    if reader is None:
        return None
    operands: list[str] = []
    rest = iter(words[1:])
    for word in rest:
        if word in reader.valued:
            if next(rest, None) is None:
                return None
        elif word.startswith("-"):
            if not re.fullmatch(reader.options, word):
                return None
        else:
            operands.append(word)
    if reader.first and "--files" not in words:
        first, *operands = operands or [""]
        if not re.fullmatch(reader.first, first):
            return None
    if not reader.paths:
        return []
    return operands or (["."] if reader.here else [])
