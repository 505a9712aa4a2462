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


@context_matcher(identifier=MATCHER, priority=200)  # type: ignore[untyped-decorator]  # IPython's
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
        return _values(option, words)
    given = [word for n, word in enumerate(words[1:], 1) if not _is_option(options, words, n)]
    places = known.parser._get_positional_actions()
    place = places[min(len(given), len(places) - 1)] if places else None
    full = place is None or (len(given) >= len(places) and place.nargs not in ("*", "+"))
    if known.says and (len(given) > len(places) or "--" in words):
        return []  # in the text
    taken = {"-h", "-o", *words}
    return [
        *(() if full or place is None else (v for v in _values(place, words) if v not in given)),
        *(name for name in options if name.startswith("--") and name not in taken),
    ]


def _is_option(options: Mapping[str, argparse.Action], words: Sequence[str], n: int) -> bool:
    before = options.get(words[n - 1])
    return words[n] in options or (before is not None and before.nargs != 0)


def _values(action: argparse.Action, words: Sequence[str]) -> list[str]:
    if action.choices:
        return list(action.choices)
    named = NAMED.get(getattr(action, "completes", ""))
    return [] if named is None else list(named(words))


# what a value can name; `words` are those before it


def _roles(words: Sequence[str]) -> Iterable[str]:
    from .. import library

    return sorted({role.name for role in library.roles()})


def _teams(words: Sequence[str]) -> Iterable[str]:
    """Files; where one that runs is meant, those that were started here."""
    from .. import library

    shared = current()
    if shared is not None and any(each in words for each in ("--status", "--stop", "--retry", "--resume")):
        return [run.id for run in shared.manager.teams.runs]
    return sorted({path.stem for path in library.team_files()})


def _harnesses(words: Sequence[str]) -> Iterable[str]:
    from .. import library

    shared = current()
    return list(shared.manager.harnesses if shared is not None else library.Harnesses())


def _models(words: Sequence[str]) -> Iterable[str]:
    """Those in use, then those that the price list has for the CLI that is named."""
    from ..prices import models

    shared = current()
    used = [] if shared is None else [agent.model for agent in shared.manager.tree if agent.model]
    named = words[words.index("--harness") + 1] if "--harness" in words[:-2] else ""
    return dict.fromkeys((*used, *models(named)))


def _presets(words: Sequence[str]) -> Iterable[str]:
    from .. import presets

    return list(presets.presets())


def _agents(words: Sequence[str]) -> Iterable[str]:
    shared = current()
    return () if shared is None else (shlex.quote(agent.name) for agent in shared.manager.tree.alive())


def _approvals(words: Sequence[str]) -> Iterable[str]:
    shared = current()
    return () if shared is None else (each.id for each in shared.manager.approvals.open())


def _jobs(words: Sequence[str]) -> Iterable[str]:
    """The newest first: that one is asked for."""
    shared = current()
    if shared is None:
        return ()
    known = (*shared.manager.teams.runs, *shared.manager.jobs)
    return [job.id for job in known][::-1]


def _config(words: Sequence[str]) -> Iterable[str]:
    return ("set", "unset", *_settings(words))


def _settings(words: Sequence[str]) -> Iterable[str]:
    from .. import config

    return config.SETTINGS if {"set", "unset"} & {*words[1:2]} or words == ["config"] else ()


def _setting_values(words: Sequence[str]) -> Iterable[str]:
    from .. import config

    if words[1] != "set":
        return ()
    return _harnesses(words) if words[2] == "harnesses" else config.CHOICES.get(words[2], ())


NAMED: Final[Mapping[str, Callable[[Sequence[str]], Iterable[str]]]] = {
    AGENT: _agents,
    "approval": _approvals,
    "command": lambda words: COMMANDS,
    "config": _config,
    "harness": _harnesses,
    "job": _jobs,
    "model": _models,
    "preset": _presets,
    "role": _roles,
    "setting": _settings,
    "team": _teams,
    "value": _setting_values,
}
"""What `Argument.completes` may say."""
