"""What may come next in a line: commands, options, and what a value can name."""

from __future__ import annotations

import argparse
import re
import shlex
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Final

from IPython.core.completer import CompletionContext, SimpleCompletion, context_matcher

from .commands import AGENT
from .settings import current
from .table import COMMANDS

MATCHER: Final = "madrox_nb"


@context_matcher(identifier=MATCHER, priority=200)  # type: ignore[untyped-decorator]
def complete(context: CompletionContext) -> Any:
    """What may come next in a `%madrox` line."""
    match = re.match(r"\s*(?:[\w, ]+=\s*)?%{1,2}madrox\s+(.*)$", context.text_until_cursor, re.DOTALL)
    if match is None:
        return {"completions": []}
    words = match[1].split()
    begun = words.pop() if words and not match[1][-1].isspace() else ""
    found = [word for word in candidates(words) if word.startswith(begun)]
    return {
        "completions": [SimpleCompletion(word, type="magic") for word in found],
        "matched_fragment": begun,
        "suppress": True,
        "ordered": True,
    }


def candidates(words: Sequence[str]) -> list[str]:
    """What may follow `words`: commands, options, or what a value can name."""
    if not words:
        return list(COMMANDS)
    known = COMMANDS.get(words[0])
    if known is None:
        return []
    options = known.parser._option_string_actions
    option = options.get(words[-1])
    if option is not None and option.nargs != 0:
        return _values(option)
    given = [word for n, word in enumerate(words[1:], 1) if not _is_option(options, words, n)]
    places = known.parser._get_positional_actions()
    place = places[min(len(given), len(places) - 1)] if places else None
    full = place is None or (len(given) >= len(places) and place.nargs not in ("*", "+"))
    if known.says and len(given) > len(places):
        return []  # in the text
    taken = {"-h", "-o", *words}
    return [
        *(() if full or place is None else (v for v in _values(place) if v not in given)),
        *(name for name in options if name.startswith("--") and name not in taken),
    ]


def _is_option(options: Mapping[str, argparse.Action], words: Sequence[str], n: int) -> bool:
    before = options.get(words[n - 1])
    return words[n] in options or (before is not None and before.nargs != 0)


def _values(action: argparse.Action) -> list[str]:
    if action.choices:
        return list(action.choices)
    return list(_NAMED.get(getattr(action, "completes", ""), list)())


def _roles_known() -> Iterable[str]:
    from .. import library

    return sorted({role.name for role in library.roles()})


def _team_files() -> Iterable[str]:
    from .. import library

    return sorted({path.stem for path in library.team_files()})


def _harnesses() -> Iterable[str]:
    from .. import library

    shared = current()
    return list(shared.manager.harnesses if shared is not None else library.Harnesses())


def _presets() -> Iterable[str]:
    from .. import presets

    return list(presets.presets())


def _agents() -> Iterable[str]:
    shared = current()
    return () if shared is None else (shlex.quote(agent.name) for agent in shared.manager.tree.alive())


def _open_approvals() -> Iterable[str]:
    shared = current()
    return () if shared is None else (each.id for each in shared.manager.approvals.open())


_NAMED: Final[Mapping[str, Callable[[], Iterable[str]]]] = {
    AGENT: _agents,
    "approval": _open_approvals,
    "role": _roles_known,
    "team": _team_files,
    "harness": _harnesses,
    "preset": _presets,
    "command": lambda: COMMANDS,
}
