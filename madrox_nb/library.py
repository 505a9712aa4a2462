"""Finds what is installed: harnesses, their CLIs, roles, teams, widget files.

Files that belong to the project but not to the package (`prompts/`, `templates/`) are in the wheel
beside the modules and, in a checkout or an editable install, at its top; the user's
own come first.
"""

from __future__ import annotations

import logging
import os
import re
import shlex
import shutil
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cache, cached_property, lru_cache
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from typing import Any, Final

from . import plans, profiles
from .config import user_dir
from .errors import BadInput, HarnessNotFound, UnknownHarness, UnknownRole, nearest
from .harness import Harness, Tables
from .plans import Team
from .roles import Role, role_of_claude, role_of_ours

GROUP = "madrox_nb.harness"
FALLBACK = "rehearsal"
"""The harness that is always there."""

HERE = Path(__file__).parent

log = logging.getLogger(__name__)


# harnesses


_lent: dict[str, type[Harness]] = {}


def lend(cls: type[Harness]) -> type[Harness]:
    """Use a harness class without installing it: for a notebook, a test, a measurement."""
    _lent[cls.name] = cls
    return cls


@cache
def _registered() -> dict[str, EntryPoint]:
    return {entry.name: entry for entry in entry_points(group=GROUP)}


@dataclass(frozen=True)
class Defaults:
    """What the configuration says about one harness: `[harness.NAME]`, and the environment."""

    command: tuple[str, ...] = ()
    """The program and its leading arguments; empty to look for it on PATH."""
    model: str | None = None
    extra_args: tuple[str, ...] = ()
    options: Mapping[str, str] = field(default_factory=dict)


class Harnesses:
    """Every harness that can be named: ours, strangers', those lent, those that are configured."""

    def __init__(self, tables: Tables | None = None, environ: Mapping[str, str] | None = None) -> None:
        """`tables` is `Settings.tables`. Reads nothing yet."""
        self._tables = tables or {}
        self._environ = os.environ if environ is None else environ

    def __iter__(self) -> Iterator[str]:
        """Their names, sorted."""
        return iter(sorted({*_lent, *self._found}))

    def __contains__(self, name: object) -> bool:
        return name in _lent or name in self._found

    def __getitem__(self, name: str) -> type[Harness]:
        """The class of that name.

        Raises `UnknownHarness`, `HarnessNotFound` if it is broken, or `BadInput` where the
        configuration says something wrong that may be why it is missing.
        """
        if name in _lent:
            return _lent[name]
        found = self._found.get(name) or next(self._misread(), UnknownHarness(name, self))
        if isinstance(found, BadInput):
            raise found
        if isinstance(found, Exception):
            raise HarnessNotFound(f"harness {name!r} is registered but can't be loaded: {found!r}") from found
        return found

    def _misread(self) -> Iterator[BadInput]:
        """What the configuration says wrongly: the reason why a name may be missing."""
        return (found for found in self._found.values() if isinstance(found, BadInput))

    @cached_property
    def _found(self) -> dict[str, type[Harness] | Exception]:
        """By name; in place of a class, why it can't be had."""
        tables = {
            **self._tables,
            "terminal": {**profiles.read(profile_directories()), **self._tables.get("terminal", {})},
        }
        found: dict[str, type[Harness] | Exception] = {}
        for name, entry in _registered().items():
            try:
                cls = entry.load()
            except Exception as exc:  # noqa: BLE001 - a stranger's module may fail in any way
                found[name] = exc
                continue
            try:
                family = cls.family(tables)
            except ValueError as exc:  # what the configuration says is the person's to mend
                found[name] = BadInput(str(exc))
                continue
            if taken := next((each for each in family if each in found), None):
                raise BadInput(
                    f"two harnesses are called {taken!r}; give the one of [{name}.{taken}] another name"
                )
            found |= family
        return found

    def command(self, name: str) -> tuple[str, ...]:
        """What starts this harness's CLI.

        `MADROX_<NAME>_BIN`, else `[harness.NAME] command`, else the first of its names on
        PATH. Raises `HarnessNotFound` with the command that installs it.
        """
        cls = self[name]
        variable = variable_for(name, "MADROX_{}_BIN")
        if chosen := self._environ.get(variable):
            if found := self._which(chosen):
                return (found,)
            raise HarnessNotFound(
                f"{variable} is {chosen!r}, and there is no such program. "
                "Set it to the program's full path, or unset it"
            )
        if configured := self.defaults(name).command:
            if found := self._which(configured[0]):
                return (found, *configured[1:])
            raise HarnessNotFound(
                f"[harness.{name}] command is {configured[0]!r}, and there is no such program. "
                "Write the program's full path there, or take the line out"
            )
        if own := getattr(cls, "command", None):
            return tuple(own())
        for each in cls.commands:
            if found := self._which(each):
                return (self._native(cls, found),)
        looked = " or ".join(repr(each) for each in cls.commands)
        where = "" if "/" in looked else " on PATH"
        raise HarnessNotFound(
            f"harness {name!r}: no {looked}{where}. Install it ({cls.provides}), "
            f"point {variable} at it, or use --harness {FALLBACK}, which needs nothing"
        )

    def _which(self, program: str) -> str | None:
        """Its full path: agents work in directories of their own."""
        found = shutil.which(program, path=self._environ.get("PATH"))
        return os.path.abspath(found) if found else None  # noqa: PTH100 - links stay, as they were named

    def _native(self, cls: type[Harness], found: str) -> str:
        """The native binary beside a launcher, if the harness knows where that lies and it is there."""
        native: Callable[[str], tuple[str, ...]] = getattr(cls, "native", lambda path: ())
        return next((path for path in native(str(Path(found).resolve())) if os.access(path, os.X_OK)), found)

    def installed(self, name: str) -> bool:
        """Whether that harness can be started here."""
        try:
            self.command(name)
        except (UnknownHarness, HarnessNotFound):
            return False
        return True

    def choose(self, order: tuple[str, ...]) -> str:
        """The first of `order` that is installed, else rehearsal.

        A CLI that was pointed at and is not there is not passed over: raises `HarnessNotFound`.
        """
        for name in order:
            if name not in self:
                raise UnknownHarness(name, self)
            if self._environ.get(variable_for(name, "MADROX_{}_BIN")) or self.defaults(name).command:
                self.command(name)
            if self.installed(name):
                return name
        return FALLBACK

    def defaults(self, name: str) -> Defaults:
        """What the configuration says about it; `MADROX_MODEL_<NAME>` comes before the file's model.

        Raises `BadInput` for a key that means nothing.
        """
        table = dict(self._tables.get("harness", {}).get(name, {}))
        where = f"[harness.{name}]"
        command, extra = _words(where, table, "command"), _words(where, table, "extra_args")
        model = self._environ.get(variable_for(name, "MADROX_MODEL_{}")) or table.pop("model", None)
        table.pop("model", None)
        return Defaults(command, model, extra, self.options(name, table, where))

    def options(self, name: str, given: Mapping[str, object], where: str) -> dict[str, str]:
        """`given`, if that harness knows all of it. Raises `BadInput` with the nearest it knows."""
        known = self[name].options
        for option in given:
            if option not in known:
                more = ("command", "extra_args", "model") if where.startswith("[") else ()
                takes = (*more, *known)
                raise BadInput(
                    f"{where}: {name} has no option {option!r}.{nearest(option, takes)} "
                    f"Known: {', '.join(takes) or 'none'}"
                )
        return {option: str(value) for option, value in given.items()}


def _words(where: str, table: dict[str, Any], key: str) -> tuple[str, ...]:
    """Take a list of words out of a table; a text is split as a shell would."""
    value = table.pop(key, ())
    if isinstance(value, str):
        return tuple(shlex.split(value))
    if not isinstance(value, list | tuple) or not all(isinstance(word, str) for word in value):
        raise BadInput(f"{where} {key} = {value!r}: that is no list of words")
    return tuple(value)


def variable_for(harness: str, pattern: str) -> str:
    """The environment variable of a harness: `MADROX_CLAUDE_BIN` for `MADROX_{}_BIN`."""
    return pattern.format(harness.upper().replace("-", "_"))


def profile_directories(cwd: Path | None = None) -> list[Path]:
    """Where profiles of terminal programs are looked for, nearest first."""
    return [*_beside(cwd, "profiles"), user_dir() / "profiles", profiles.SHIPPED]


def _beside(cwd: Path | None, folder: str) -> list[Path]:
    """A folder of the working directory; nothing when that directory was removed."""
    try:
        return [(cwd or Path.cwd()) / folder]
    except FileNotFoundError:
        return []


# roles and teams: files of Markdown


def role(name: str, cwd: Path | None = None) -> Role:
    """The role of that name or alias, as its file says now, so that edits count.

    Case, spaces and hyphens don't matter. Raises `UnknownRole`, which lists the known ones.
    """
    if not isinstance(name, str):
        raise BadInput(f"a role is named by a text, not by {type(name).__name__}")
    wanted = spelled(name)
    known: dict[str, Role] = {}
    for each in roles(cwd, wanted):
        known.setdefault(spelled(each.name), each)
    if wanted in known:
        return known[wanted]
    for each in known.values():
        if wanted in map(spelled, each.aliases):
            return each
    raise UnknownRole(name, [each.name for each in known.values()])


def spelled(name: str) -> str:
    return name.strip().lower().replace("-", "_").replace(" ", "_")


def roles(cwd: Path | None = None, wanted: str = "") -> Iterator[Role]:
    """Every role, the user's own first; a name may come more than once, the first counts.

    A file that can't be read is passed over with a warning, unless it is the `wanted` one.
    """
    for directory in role_directories(cwd):
        for path in _markdown(directory):
            try:
                yield _read_role(path, *_state(path))
            except BadInput as exc:
                if spelled(path.stem) == wanted:
                    raise
                log.warning("%s; it is passed over", exc)


def role_directories(cwd: Path | None = None) -> list[Path]:
    """Where roles are looked for, nearest first: ours, and the agents of Claude Code."""
    claude = [*(each / "agents" for each in _beside(cwd, ".claude")), _claude_home() / "agents"]
    return [*_beside(cwd, "prompts"), user_dir() / "prompts", *claude, packaged("prompts")]


def _claude_home() -> Path:
    """Where Claude Code keeps what is the user's own."""
    return Path(os.environ.get("CLAUDE_CONFIG_DIR") or Path.home() / ".claude")


@lru_cache(maxsize=256)
def _read_role(path: Path, mtime_ns: int, size: int) -> Role:
    """Read once for each state of the file."""
    read = role_of_claude if path.parent.name == "agents" else role_of_ours
    found, warnings = read(path, _text(path))
    for warning in warnings:
        log.warning("%s", warning)
    return found


def team(name: str, cwd: Path | None = None) -> Team:
    """The team of that name, as its file says now. Case, spaces and hyphens don't matter.

    Raises `BadInput`: there is none of that name, or its file can't be used.
    """
    if not isinstance(name, str) or not _TEAM.fullmatch(name.strip()):
        raise BadInput(
            f"{name!r} is no team's name: name one of %madrox teams, not a file. Put yours in ./templates"
        )
    wanted, known = spelled(name.strip().removesuffix(".md")), dict[str, Path]()
    for path in team_files(cwd):
        known.setdefault(spelled(path.stem), path)
    if wanted not in known:
        hint = nearest(wanted, known)
        raise BadInput(f"no team named {name!r}.{hint} Known: {', '.join(sorted(known))}")
    return _read_team(known[wanted], *_state(known[wanted]))


def teams(cwd: Path | None = None) -> Iterator[Team]:
    """Every team, the user's own where a name comes twice.

    A file that can't be used is passed over, with a warning.
    """
    seen: set[str] = set()
    for path in team_files(cwd):
        if spelled(path.stem) in seen:
            continue
        seen.add(spelled(path.stem))
        try:
            yield _read_team(path, *_state(path))
        except BadInput as exc:
            log.warning("%s; it is passed over", exc)


def team_files(cwd: Path | None = None) -> Iterator[Path]:
    """Where teams are looked for, nearest first: `./templates`, the user's own, ours."""
    for directory in (*_beside(cwd, "templates"), user_dir() / "templates", packaged("templates")):
        yield from _markdown(directory)


@lru_cache(maxsize=64)
def _read_team(path: Path, mtime_ns: int, size: int) -> Team:
    return plans.read(path.stem, _text(path), str(path))


_TEAM: Final = re.compile(r"[A-Za-z0-9][\w -]*(?:\.md)?")


def _markdown(directory: Path) -> list[Path]:
    return [path for path in sorted(directory.glob("*.md")) if path.name != "README.md"]


def _state(path: Path) -> tuple[int, int]:
    """Changes when the file does. Raises `BadInput`."""
    try:
        stat = path.stat()
    except OSError as exc:
        raise BadInput(f"cannot read {path}: {exc}") from exc
    return stat.st_mtime_ns, stat.st_size


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as exc:
        raise BadInput(f"cannot read {path}: {exc}") from exc


# files


@cache
def packaged(folder: str) -> Path:
    """A folder of the project: inside the installed package, or at the top of the checkout."""
    for place in (HERE / folder, HERE.parent / folder):
        if place.is_dir():
            return place
    raise BadInput(f"this installation of madrox_nb lacks its {folder!r} folder; install it again")


def static(name: str) -> Path:
    """A built widget file."""
    path = HERE / "static" / name
    if not path.is_file():
        raise BadInput(f"widget file {name} is missing; in a checkout: npm --prefix widgets run build")
    return path
