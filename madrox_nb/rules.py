"""What is allowed: names, the ladder of permissions, and the rules of a policy. Pure.

A policy answers for somebody who is not there. Its rules are tried in their order and
the first that fits counts:

    {"Bash(git *)": "allow", "Edit(*.csv)": "allow", "mcp__*": "ask", "*": "deny"}

Before the parenthesis stands the tool as its CLI calls it, in it what the tool would act
on (a command, a path, an address); `*` stands for anything in either. In a rule that
allows, a `*` in the parenthesis never spans what makes one shell command into two, so
that `Bash(git *)` does not let `git status; rm -rf ~` pass.

What a tool touches is compared by where it lies, links resolved: a rule that begins with
`/` names any place on the disk (`Read(/data/*)`), any other one a place in the agent's own
workspace (`Edit(*.csv)`). One that allows has to fit all that the tool touches.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final, Literal, cast

from .errors import BadInput
from .events import PERSON
from .harness import Permissions

LADDER: Final[tuple[Permissions, ...]] = ("deny", "ask", "edits", "all")
"""From the least to the most."""
INHERITED_AT_MOST: Final[Permissions] = "edits"
"""`all` is given by name, to one agent; what it spawns does not get it by itself."""

Scope = Literal["read", "operate", "admin"]
SCOPES: Final[tuple[Scope, ...]] = ("read", "operate", "admin")
"""What an outside client's token is good for, from the least to the most: to look; to run agents
within what is allowed; everything, as the person."""

LONGEST_NAME: Final = 64
TAKEN_WORDS: Final = frozenset({PERSON, "madrox", "person", "coordinator"})

Rule = Literal["allow", "deny", "ask"]

_ACTED_ON = ("command", "file_path", "notebook_path", "path", "url", "query", "pattern")
"""Where a tool's input says what it would act on; without any of these, its first text."""
_NAME = re.compile(r"[^\W_][\w .-]*")
_ONE_COMMAND = r"[^;&|<>`$(){}\n\\]*"
_RULE = re.compile(r"([^()]+)(?:\((.*)\))?", re.DOTALL)


def checked_name(name: str) -> str:
    """`name`, if an agent can be called that. Raises `BadInput`."""
    if not isinstance(name, str):
        raise BadInput(f"an agent is named by a text, not by {type(name).__name__}")
    if not _NAME.fullmatch(name) or name != name.strip(" .") or len(name) > LONGEST_NAME:
        raise BadInput(
            f"{name!r} can't be an agent's name: begin with a letter or digit, then letters, digits, "
            f"'_', '-', '.' and single words, at most {LONGEST_NAME} characters"
        )
    if name.lower() in TAKEN_WORDS:
        raise BadInput(f"{name!r} means somebody else here; choose another name")
    return name


def reaches(scope: Scope, needed: Scope) -> bool:
    """Whether a token of that scope is good for what needs the other one."""
    return SCOPES.index(scope) >= SCOPES.index(needed)


def covers(more: str, less: str) -> bool:
    """Whether who may do `more` may do all that `less` allows."""
    return _step(less) <= _step(more)


def inherited(parent: str) -> Permissions:
    """What a child may do when nobody says it."""
    return LADDER[min(_step(parent), _step(INHERITED_AT_MOST))]


def _step(permissions: str) -> int:
    """Its place on the ladder; an unknown word, from another version, is the lowest."""
    return LADDER.index(permissions) if permissions in LADDER else 0


Place = tuple[str, ...]
"""What a path may be called in a rule: absolute, and in the workspace if it lies there. Links resolved."""


def ruled(
    policy: Mapping[str, str], tool: str, given: Mapping[str, Any], places: Sequence[Place] = ()
) -> tuple[str, Rule] | None:
    """The rule of `policy` that fits and its answer; None when none does.

    `places` are those that the tool would touch, when that is all it would do.
    """
    subject = acted_on(given)
    for rule, answer in policy.items():
        if _fits(rule, tool, subject, () if "command" in given else places, strict=answer == "allow"):
            return rule, cast(Rule, answer)  # the settings were checked when they were read
    return None


def suggested(tool: str, given: Mapping[str, Any], places: Sequence[Place] = ()) -> list[str]:
    """Rules that would allow this, from the narrowest to that of the whole tool."""
    wider = dict.fromkeys([*_narrower(tool, given, places), tool])
    return [rule for rule in wider if ruled({rule: "allow"}, tool, given, places)]


def _narrower(tool: str, given: Mapping[str, Any], places: Sequence[Place]) -> Iterator[str]:
    subject = acted_on(given)
    if subject and "*" not in subject and not places:
        yield f"{tool}({subject})"
    if "command" in given:
        yield f"{tool}({subject.partition(' ')[0]} *)"
    elif address := re.match(r"https?://[^/?#*]+/", subject):
        yield f"{tool}({address[0]}*)"
    names = [place[-1] for place in places if place and "*" not in place[-1]]
    if len(names) == len(places) == 1:
        yield f"{tool}({names[0]})"
    folders = {name.rpartition("/")[0] for name in names}
    if names and len(folders) == 1 and (folder := folders.pop()):
        yield f"{tool}({folder}/*)"


def acted_on(given: Mapping[str, Any]) -> str:
    """What a tool with that input would act on, as a text; empty when it does not say."""
    values = [given[name] for name in _ACTED_ON if given.get(name)] or list(given.values())
    for value in values:
        if isinstance(value, str):
            return value
        if isinstance(value, list | tuple) and value and all(isinstance(word, str) for word in value):
            return shlex.join(value)
    return ""


def _fits(rule: str, tool: str, subject: str, places: Sequence[Place], *, strict: bool) -> bool:
    parts = _RULE.fullmatch(rule.strip())
    if parts is None or not _matches(parts[1], tool, ".*"):
        return False
    if (pattern := parts[2]) is None:
        return True
    if not strict:
        return any(_matches(pattern, name, ".*") for name in (subject, *(n for each in places for n in each)))
    if places:
        return all(_lies(pattern, place) for place in places)
    return ".." not in subject.split("/") and _matches(pattern, subject, _ONE_COMMAND)


def _lies(pattern: str, place: Place) -> bool:
    names = (name for name in place if name.startswith("/") == pattern.startswith("/"))
    return any(_matches(pattern, name, ".*") for name in names)


def _matches(pattern: str, text: str, star: str) -> bool:
    whole = star.join(map(re.escape, pattern.split("*")))
    return re.fullmatch(whole, text, re.DOTALL) is not None
