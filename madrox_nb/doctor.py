"""`madrox doctor`: what is there, what is missing, and what to do about it.

It only looks: it makes no directory, opens no run and ends no process.
"""

from __future__ import annotations

import os
import platform
import shutil
import stat
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, fields
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, Final

import orjson
from wcwidth import wcswidth

from . import __version__, config
from .config import Settings
from .errors import BadInput, HarnessError, ServerError
from .harness import Features
from .inventory import Found, inventory, number
from .library import FALLBACK, Harnesses
from .listening import listen
from .orphans import Orphan, orphans

JUPYTER: Final = ("ipykernel", "ipython", "jupyterlab", "notebook", "jupyter-server")
"""The packages that a report about a notebook begins with."""

HEADS: Final = {"multi_turn": "turns", "interrupt": "stop", "approvals": "asks", "structured": "data"}
"""Where a feature's column is headed by a shorter word than its name."""
LEGEND: Final = (
    "turns: remembers earlier turns · stop: a turn can be ended · steer: a message can join a turn",
    "asks: before it uses a tool · usage, cost: reports tokens, dollars · mcp: has the madrox tools",
    "resume, fork: a session goes on later, twice · data: speaks a protocol, not a screen",
)
SHORT: Final = 3
"""Characters of a head where there is little room."""
YES, NO, UNKNOWN = "●", "–", "?"
OLDER: Final = "*"
"""Behind a version that is none of those that were tested."""


@dataclass(frozen=True, kw_only=True)
class Home:
    """Where everything is kept."""

    path: str
    exists: bool
    writable: bool
    """Or can be made."""
    private: bool
    """Nobody else may look into it."""


@dataclass(frozen=True, kw_only=True)
class Health:
    """What was found."""

    versions: dict[str, str | None]
    """Of madrox_nb, Python, this system and the packages of `JUPYTER`; None for one that is not there."""
    home: Home
    attended: str
    address: str
    port_note: str
    """Why the port is not the configured one; empty when it is free."""
    default: str
    """The harness of an agent that is spawned without one; empty when there is none."""
    default_note: str
    """Why it is not an agent CLI; empty when it is."""
    harnesses: tuple[Found, ...]
    orphans: tuple[Orphan, ...]

    @property
    def status(self) -> int:
        """The exit status, as `madrox doctor --help` explains it."""
        if not self.home.writable:
            return 2
        return 1 if self.default_note else 0

    def json(self) -> str:
        known: dict[str, Any] = {
            **asdict(self),
            "harnesses": [found.row() for found in self.harnesses],
            "status": self.status,
        }
        return orjson.dumps(known, option=orjson.OPT_INDENT_2).decode()

    def text(self, width: int | None = None) -> str:
        """For a terminal of that many columns; without it, of this one."""
        return "\n".join(_report(self, width or shutil.get_terminal_size().columns))


# what is there


def examine() -> Health:
    """Look at everything. Raises `BadInput` for settings that can't be read."""
    settings = config.load().settings
    harnesses = Harnesses(settings.tables)
    found = tuple(inventory(harnesses))
    default, default_note = _default(harnesses, settings, found)
    return Health(
        versions=_versions(),
        home=_home(settings.home),
        attended=settings.attended,
        address=f"{settings.host}:{settings.port}",
        port_note=_port(settings),
        default=default,
        default_note=default_note,
        harnesses=found,
        orphans=tuple(orphans()),
    )


def _versions() -> dict[str, str | None]:
    here = {
        "madrox_nb": __version__,
        "python": platform.python_version(),
        "system": platform.platform(terse=True),
    }
    return {**here, **{name: _installed(name) for name in JUPYTER}}


def _installed(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def _home(home: Path) -> Home:
    place = next(each for each in (home, *home.parents) if each.exists())
    exists = place == home
    try:
        stands = home.stat() if exists else None
    except OSError:
        stands = None
    return Home(
        path=str(home),
        exists=exists,
        writable=place.is_dir() and os.access(place, os.W_OK | os.X_OK),
        private=stands is None or (stands.st_uid == os.getuid() and not stat.S_IMODE(stands.st_mode) & 0o077),
    )


def _port(settings: Settings) -> str:
    try:
        listener, note = listen(settings.host, settings.port)
    except ServerError as exc:
        return str(exc)
    listener.close()
    return note.partition(";")[0]


def _default(harnesses: Harnesses, settings: Settings, found: Sequence[Found]) -> tuple[str, str]:
    """What a spawn without --harness starts, and why that is no agent CLI."""
    order = ", ".join(settings.harnesses)
    try:
        name = harnesses.choose(settings.harnesses)
    except (BadInput, HarnessError) as exc:
        return "", str(exc)
    if name == FALLBACK:
        if FALLBACK in settings.harnesses:
            return name, ""
        here = [f.harness for f in found if f.works and f.features and f.features.structured]
        here = [name for name in here if name != FALLBACK]
        hint = f"; name what is, as in MADROX_HARNESSES={','.join(here)}" if here else ""
        return name, f"none of MADROX_HARNESSES ({order}) is installed{hint}"
    [chosen] = [each for each in found if each.harness == name]
    return name, "" if chosen.works else f"{name} is there and does not work: {chosen.note}"


# what is said


def _report(health: Health, width: int) -> Iterator[str]:
    yield from _wrapped([_packages(health)], width)
    yield ""
    yield from _table(health.harnesses, width)
    yield ""
    yield from _wrapped(LEGEND, width)
    yield from _section(
        "Not as tested",
        [(f.harness, f"{f.version or 'no version'}: {f.note}") for f in health.harnesses if f.note],
    )
    yield from _section("Not here", [(f.harness, _how(f)) for f in health.harnesses if not f.installed])
    yield ""
    yield from _place(health)
    if health.orphans:
        yield from _section(
            "Processes of runs whose kernel is gone (the next madrox in that run's home ends them)",
            [
                (str(o.pid), _cut(f"{o.agent or '?'} of {o.run}: {o.command}", width - 12))
                for o in health.orphans
            ],
        )
    yield ""
    yield _verdict(health)


def _packages(health: Health) -> str:
    named = (f"{name} {said}" for name, said in health.versions.items() if said)
    return " · ".join(named)


def _table(found: Sequence[Found], width: int) -> list[str]:
    """One line a harness; shorter heads, and in the end one card, where the terminal is too narrow."""
    heads = [HEADS.get(f.name, f.name) for f in fields(Features)]
    for longest in (max(map(len, heads)), SHORT):
        drawn = _drawn(found, [head[:longest] for head in heads])
        if max(map(_width, drawn)) <= width:
            return drawn
    return list(_cards(found))


def _drawn(found: Sequence[Found], heads: Sequence[str]) -> list[str]:
    names = [f.name for f in fields(Features)]
    lines = [("", "harness", "version", *heads)]
    lines += [
        (YES if f.works else NO, f.harness, _version(f), *(_mark(f.features, name) for name in names))
        for f in found
    ]
    widths = [max(map(_width, column)) for column in zip(*lines, strict=True)]
    drawn = []
    for line in lines:
        cells = list(map(_padded, line, widths))
        drawn.append(f"{'  '.join(cells[:3])}  {' '.join(cells[3:])}".rstrip())
    return drawn


def _cards(found: Sequence[Found]) -> Iterator[str]:
    for each in found:
        yield f"{YES if each.works else NO} {each.harness} {_version(each)}".rstrip()
        can = each.features.names() if each.features else []
        yield f"    {' '.join(HEADS.get(name, name) for name in can) or NO}"


def _version(found: Found) -> str:
    said = number(found.version) or found.version
    return f"{said or (UNKNOWN if found.installed else NO)}{OLDER if found.note else ''}"


def _mark(features: Features | None, name: str) -> str:
    return UNKNOWN if features is None else YES if getattr(features, name) else NO


def _how(found: Found) -> str:
    """How to get it; why it is not there when that is more than "not on PATH"."""
    absent = "on PATH" in found.command and found.provides
    return found.provides if absent else found.command


def _section(title: str, rows: Sequence[tuple[str, str]]) -> Iterator[str]:
    if rows:
        widest = max(_width(name) for name, _ in rows)
        yield ""
        yield f"{title}:"
        for name, said in rows:
            yield f"  {_padded(name, widest)}  {said}"


def _place(health: Health) -> Iterator[str]:
    home = health.home
    state = "" if home.exists else ", made by the first run"
    wrong = [] if home.writable else ["can't be written: set MADROX_HOME to a place that can"]
    wrong += [] if home.private else ["others may look into it: chmod 700"]
    yield f"{_sign(not wrong)} home      {home.path}{state}{': ' if wrong else ''}{'; '.join(wrong)}"
    said = health.port_note or "free"
    yield f"{_sign(not health.port_note)} server    {health.address}: {said}"
    answers = {
        "auto": "the person who can type into a cell of the notebook; nobody in a run without one",
        "yes": "somebody, as MADROX_ATTENDED says",
        "no": "nobody, as MADROX_ATTENDED says",
    }
    yield f"{_sign(health.attended != 'no')} approvals are answered by {answers[health.attended]}"


def _verdict(health: Health) -> str:
    if not health.home.writable:
        return "Madrox can't work here: see home."
    if health.default_note:
        return f"A spawn without --harness starts {health.default or 'nothing'}: {health.default_note}"
    return f"A spawn without --harness starts {health.default}."


def _sign(good: bool) -> str:
    return YES if good else NO


def _wrapped(lines: Sequence[str], width: int) -> Iterator[str]:
    """Lines of parts between dots, broken between two of them."""
    line = ""
    for part in (part for each in lines for part in each.split(" · ")):
        longer = f"{line} · {part}" if line else part
        if line and _width(longer) > width:
            yield line
            longer = part
        line = longer
    yield line


def _cut(text: str, width: int) -> str:
    return text if len(text) <= max(width, 20) else f"{text[: max(width, 20) - 1]}…"


def _padded(text: str, width: int) -> str:
    return text + " " * (width - _width(text))


def _width(text: str) -> int:
    width = wcswidth(text)
    return len(text) if width < 0 else width
