"""What agents ask to be allowed: who asks what, and what was answered."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Mapping
from functools import lru_cache
from itertools import islice
from pathlib import Path
from typing import Any, ClassVar, Final, NamedTuple

from .. import views
from ..errors import BadInput
from ..events import PERSON
from ..folds import Approval
from ..rules import acted_on, suggested
from ..workspace import place
from . import Data, Part
from .effect import Reader, effect, path_of, paths_of
from .moment import Moment

OPEN: Final = 100
"""Requests shown that wait."""
ANSWERED: Final = 60
"""Answers shown, the newest; those that say the same are one."""
LOOKED_AT: Final = 500
"""Requests that are looked at for this, the newest."""
WHAT: Final = 300
"""Characters of what a tool would act on."""


class Approvals(Part):
    name: ClassVar[str] = "approvals"
    title: ClassVar[str] = "Approvals"
    keyed: ClassVar[dict[str, str]] = {"open": "id", "answered": "id"}

    def look(self, moment: Moment, subject: str) -> Data:
        waiting = moment.approvals.open()
        newest = list(islice(reversed(tuple(moment.approvals)), LOOKED_AT))
        times = Counter(map(_same, newest))
        return {
            "open": [_wire(moment, each, times[_same(each)]) for each in waiting[:OPEN]],
            "open_more": max(0, len(waiting) - OPEN),
            "answered": [_wire(moment, each, number) for each, number in _answered(newest)],
        }

    def plain(self, moment: Moment, subject: str) -> str:
        waiting = moment.approvals.open()
        lines = [f"{moment.title}: {len(waiting)} waiting for you"]
        for each in waiting[:OPEN]:
            about = views.one_line(_known(each.tool, each.input).what)
            lines.append(f"{views.glyph('waiting')} {each.agent} asks: {each.tool} {about}".rstrip())
            lines.append(f"    %madrox approve {each.id}, or %madrox deny {each.id} --why …")
        newest = islice(reversed(tuple(moment.approvals)), LOOKED_AT)
        for each, number in _answered(newest):
            about = views.one_line(_known(each.tool, each.input).what)
            often = f", {number} times" if number > 1 else ""
            lines.append(f"{_SIGN[_came(each)]} {each.agent} {each.tool} {about}: {_words(each)}{often}")
        return "\n".join(lines)


def _effect(moment: Moment, subject: str, given: Mapping[str, Any]) -> Data:
    """What the tool of the request `id` would do, in full."""
    known = _asked(moment, given)
    workspace = moment.tree[known.agent].workspace if known.state == "open" else ""
    reader = Reader(Path(workspace) if workspace else None, moment.redacted)
    return {"id": known.id, **effect(_arguments(known.input), reader)}


def _policy(moment: Moment, subject: str, given: Mapping[str, Any]) -> Data:
    """Rules of a policy that would allow the request `id`, the narrowest first, as the settings have them.

    Looks at links in the workspace, as the policy does.
    """
    known = _asked(moment, given)
    arguments, workspace = _arguments(known.input), Path(moment.tree[known.agent].workspace)
    places = [place(workspace, path) for path in paths_of(arguments)]
    rules = suggested(known.tool, arguments, places)
    return {"rules": [{"rule": rule, "line": f'[policy]\n{json.dumps(rule)} = "allow"'} for rule in rules]}


Approvals.asks = {"effect": _effect, "policy": _policy}


def _asked(moment: Moment, given: Mapping[str, Any]) -> Approval:
    """The request that a page has named."""
    name = given.get("id")
    known = moment.approvals.asked.get(name) if isinstance(name, str) else None
    if known is None:
        raise BadInput(f"no request {name!r} was made in this run")
    return known


class Known(NamedTuple):
    """What the arguments of a request say."""

    kind: str
    """`edit`, `run` or `use`."""
    what: str
    """The file, the command, or what else it would act on."""


@lru_cache(maxsize=2048)
def _known(tool: str, arguments: str) -> Known:
    """Of one request; kept, because each is looked at ten times a second."""
    given = _arguments(arguments)
    if path := path_of(given):
        return Known("edit", path[:WHAT])
    return Known("run" if "command" in given else "use", acted_on(given)[:WHAT])


def _arguments(text: str) -> Mapping[str, Any]:
    try:
        given = json.loads(text)
    except ValueError:
        return {"arguments": text}
    return given if isinstance(given, dict) else {"arguments": text}


def _same(approval: Approval) -> tuple[str, str, str]:
    return approval.agent, approval.tool, approval.input


def _answered(newest: Iterator[Approval] | list[Approval]) -> list[tuple[Approval, int]]:
    """The newest answers, and how often each was given to the same."""
    found: dict[tuple[str, ...], tuple[Approval, int]] = {}
    for each in newest:
        if each.state == "open":
            continue
        key = (*_same(each), each.state, each.by, each.always)
        first, number = found.get(key, (each, 0))
        if number or len(found) < ANSWERED:
            found[key] = (first, number + 1)
    return list(found.values())


def _wire(moment: Moment, each: Approval, times: int) -> dict[str, Any]:
    known = _known(each.tool, each.input)
    workspace = moment.tree[each.agent].workspace if each.agent in moment.tree else ""
    inner = known.what.removeprefix(f"{workspace.rstrip('/')}/") if workspace else known.what
    return {
        "id": each.id,
        "agent": each.agent,
        "turn": each.turn,
        "tool": each.tool,
        "kind": known.kind,
        "what": inner if known.kind == "edit" else known.what,
        "asked": each.asked.timestamp(),
        "times": times,
        "came": _came(each),
        "words": _words(each),
        "why": each.why[:WHAT],
        "by": each.by,
    }


def _came(each: Approval) -> str:
    """What became of it: `open`, `allowed`, `denied`, `late` or `gone`."""
    if each.by == "timeout":
        return "late"
    return {"open": "open", "allow": "allowed", "deny": "denied"}.get(each.state, "gone")


_SIGN: Final = {"allowed": "✓", "denied": "✕", "late": "◷", "gone": "–"}


def _words(each: Approval) -> str:
    """What became of it, in a few words; who did it, unless it was the person."""
    match _came(each):
        case "late":
            return "timed out"
        case "gone":
            return "withdrawn" if each.state == "withdrawn" else "its turn ended first"
        case "open":
            return ""
        case came:
            rule = " by rule" if each.why else " by its permissions"  # these need no reason
            whose = {PERSON: "", "policy": rule, "nobody": ": nobody was there"}.get(each.by, "")
            once = " once" if came == "allowed" and each.by == PERSON and not each.always else ""
            return f"{came}{once}{f' always, {_FOR[each.always]}' if each.always else ''}{whose}"


_FOR: Final = {"agent": "this agent", "subtree": "its subtree", "tool": "this tool"}
