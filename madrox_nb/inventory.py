"""What is there of each harness: its CLI, where it is, which version, what it can do.

The one table behind `%madrox harnesses`, `m.harnesses()` and `madrox doctor`. What a CLI
can do is what its harness declares; which version it is, it is asked itself.
"""

from __future__ import annotations

import os
import re
import shlex
import threading
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, Final

from .errors import BadInput, HarnessError
from .harness import Features, Harness
from .library import Harnesses
from .local import asked
from .transport import ANSI

SECONDS: Final = 10.0
"""In which a CLI has to say its version."""
LONGEST: Final = 80
"""Characters of what a CLI says its version is, or says instead."""
PLAIN: Final = {"NO_COLOR": "1", "TERM": "dumb"}
"""What asks a program for text without colours."""

_NUMBER: Final = re.compile(r"\d+(?:\.\d+)+[\w.+-]*")
_UNSEEN: Final = re.compile(r"[\x00-\x1f\x7f-\x9f\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff]+")


@dataclass(frozen=True, kw_only=True)
class Found:
    """One harness as it is here."""

    harness: str
    installed: bool
    command: str
    """What starts its CLI; or why nothing does."""
    version: str = ""
    """The line in which the CLI says it; empty when it does not."""
    tested: tuple[str, ...] = ()
    """The versions that the harness was tested with."""
    note: str = ""
    """What to know about the version: not tested with, or why there is none."""
    features: Features | None = None
    """None for a harness that can't be loaded."""
    provides: str = ""
    """How a person gets the CLI."""

    failed: bool = False
    """It was asked for its version, and crashed, hung or babbled."""

    @property
    def works(self) -> bool:
        """Whether its CLI is there and can be run."""
        return self.installed and not self.failed

    def row(self) -> dict[str, Any]:
        """Flat, one column a feature; what is not known is None."""
        return {
            "harness": self.harness,
            "installed": self.installed,
            "command": self.command,
            "version": self.version or None,
            "tested": ", ".join(self.tested) or None,
            "note": self.note or None,
            **{f.name: getattr(self.features, f.name, None) for f in fields(Features)},
            "provides": self.provides or None,
        }


def inventory(
    harnesses: Harnesses, environ: Mapping[str, str] | None = None, *, seconds: float = SECONDS
) -> list[Found]:
    """Every harness that can be named, by name. Waits for the slowest CLI, `seconds` at most.

    What the configuration says wrongly stands in the row of the harness that it is about.
    """
    names = list(harnesses)
    env = {**(os.environ if environ is None else environ), **PLAIN}
    with ThreadPoolExecutor(max_workers=len(names) or 1, thread_name_prefix="madrox-version") as pool:
        return list(pool.map(lambda name: _look(harnesses, name, env, seconds), names))


def _look(harnesses: Harnesses, name: str, env: Mapping[str, str], seconds: float) -> Found:
    try:
        cls = harnesses[name]
    except (BadInput, HarnessError) as exc:
        return Found(harness=name, installed=False, command=_line(str(exc)))
    try:
        command = harnesses.command(name)
    except (BadInput, HarnessError) as exc:
        return _found(name, cls, installed=False, command=_line(str(exc)))
    try:
        version = _version((*command, *cls.version_args), env, seconds) if cls.version_args else ""
    except HarnessError as exc:
        why = _no_version(exc, seconds)
        return _found(name, cls, installed=True, command=shlex.join(command), note=why, failed=True)
    note = untested(version, cls.tested)
    return _found(name, cls, installed=True, command=shlex.join(command), version=version, note=note)


def _found(name: str, cls: type[Harness], **more: Any) -> Found:
    return Found(harness=name, tested=tuple(cls.tested), features=cls.features, provides=cls.provides, **more)


# versions


_versions: dict[tuple[object, ...], str] = {}
_knowing = threading.Lock()


def _version(argv: Sequence[str], env: Mapping[str, str], seconds: float) -> str:
    """What the CLI says, once for each state of its files; empty for nothing. Raises `HarnessError`."""
    key = (tuple(argv), *map(_changed, argv))
    with _knowing:
        if key in _versions:
            return _versions[key]
    out, err = asked(argv, env=env, seconds=seconds)
    said = version_line(out) or version_line(err)
    with _knowing:
        _versions[key] = said
    return said


def _changed(word: str) -> int:
    """When that file was written; 0 for what is no file."""
    try:
        return Path(word).stat().st_mtime_ns if "/" in word else 0
    except (OSError, ValueError):
        return 0


def version_line(said: str) -> str:
    """The first line with a version in it, else the first with a word in it, as plain text; or nothing."""
    plain = map(_line, ANSI.sub("", said).splitlines())
    lines = [line for line in plain if re.search(r"\w", line)]
    return next((line for line in lines if _NUMBER.search(line)), lines[0] if lines else "")[:LONGEST]


def number(said: str) -> str:
    """`2.1.330` of `2.1.330 (Claude Code)`; empty when there is none."""
    found = _NUMBER.search(said)
    return found[0].rstrip(".-+") if found else ""


def untested(said: str, tested: Sequence[str]) -> str:
    """What to know about a version that is none of those that were tested; empty when there is nothing.

    A tested `3.11` stands for every 3.11.
    """
    version = number(said)
    known = sorted((number(each) for each in tested), key=_order)
    if not version or not known or any(_order(version)[: len(_order(k))] == _order(k) for k in known):
        return ""
    if _order(version) > _order(known[-1]):
        return f"not tested with: newer than {known[-1]}"
    if _order(version) < _order(known[0]):
        return f"not tested with: older than {known[0]}"
    return f"not tested with: {', '.join(known)} were"


def _order(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in re.findall(r"\d{1,18}", version))


def _no_version(exc: HarnessError, seconds: float) -> str:
    why = str(exc).split("\n", 1)[0].replace("in time", f"within {seconds:g} s")
    words = _line(exc.evidence)[:LONGEST]
    return f"asked for its version, {why}" + (f": {words}" if words else "")


def _line(text: str) -> str:
    """`text` as one line that can't disturb a table."""
    return " ".join(_UNSEEN.sub(" ", ANSI.sub("", text)).split())
