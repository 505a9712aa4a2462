"""Finds what is installed: harnesses, their CLIs, roles, widget files.

Files that belong to the project but not to the package (`prompts/`) are in the wheel
beside the modules and, in a checkout or an editable install, at its top; the user's
own come first.
"""

from __future__ import annotations

import logging
import os
import shutil
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache, lru_cache
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from typing import Any

from .config import user_dir
from .errors import BadInput, HarnessNotFound, UnknownHarness, UnknownRole
from .harness import Harness

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


def harness_names() -> list[str]:
    """Every harness that can be named, ours and strangers'."""
    return sorted({*_lent, *_registered()})


def harness(name: str) -> type[Harness]:
    """The harness class of that name. Raises `UnknownHarness`, or `HarnessNotFound` if it is broken."""
    if name in _lent:
        return _lent[name]
    if name not in _registered():
        raise UnknownHarness(name, harness_names())
    try:
        found: type[Harness] = _registered()[name].load()
    except Exception as exc:  # a stranger's module may fail in any way
        raise HarnessNotFound(f"harness {name!r} is registered but can't be loaded: {exc!r}") from exc
    return found


def command(cls: type[Harness], environ: Mapping[str, str] | None = None) -> tuple[str, ...]:
    """What starts this harness's CLI: `MADROX_<NAME>_BIN`, else the first of its names on PATH.

    Raises `HarnessNotFound` with the command that installs it.
    """
    environ = os.environ if environ is None else environ
    variable = binary_variable(cls.name)
    if chosen := environ.get(variable):
        if found := shutil.which(chosen, path=environ.get("PATH")):
            return (found,)
        raise HarnessNotFound(
            f"{variable} is {chosen!r}, and there is no such program. "
            "Set it to the program's full path, or unset it"
        )
    if own := getattr(cls, "command", None):
        return tuple(own())
    for name in cls.commands:
        if found := shutil.which(name, path=environ.get("PATH")):
            return (found,)
    looked = " or ".join(repr(name) for name in cls.commands)
    raise HarnessNotFound(
        f"harness {cls.name!r}: no {looked} on PATH. Install it ({cls.provides}), "
        f"point {variable} at it, or use --harness {FALLBACK}, which needs nothing"
    )


def installed(name: str, environ: Mapping[str, str] | None = None) -> bool:
    """Whether that harness can be started here."""
    try:
        command(harness(name), environ)
    except (UnknownHarness, HarnessNotFound):
        return False
    return True


def choose(order: tuple[str, ...], environ: Mapping[str, str] | None = None) -> str:
    """The first of `order` that is installed, else rehearsal.

    A CLI that was pointed at and is not there is not passed over: raises `HarnessNotFound`.
    """
    environ = os.environ if environ is None else environ
    for name in order:
        if name not in harness_names():
            raise UnknownHarness(name, harness_names())
        if environ.get(binary_variable(name)):
            command(harness(name), environ)
        if installed(name, environ):
            return name
    return FALLBACK


def binary_variable(harness: str) -> str:
    """The environment variable that points at a harness's CLI."""
    return f"MADROX_{harness.upper().replace('-', '_')}_BIN"


# roles


@dataclass(frozen=True)
class Role:
    """One file in `prompts/`."""

    name: str
    description: str
    aliases: tuple[str, ...]
    body: str
    path: Path


def role(name: str, cwd: Path | None = None) -> Role:
    """The role of that name or alias, as its file says now, so that edits count.

    Case, spaces and hyphens don't matter. Raises `UnknownRole`, which lists the known ones.
    """
    if not isinstance(name, str):
        raise BadInput(f"a role is named by a text, not by {type(name).__name__}")
    wanted = _spelled(name)
    known: dict[str, Role] = {}
    for each in roles(cwd, wanted):
        known.setdefault(_spelled(each.name), each)
    if wanted in known:
        return known[wanted]
    for each in known.values():
        if wanted in map(_spelled, each.aliases):
            return each
    raise UnknownRole(name, [each.name for each in known.values()])


def _spelled(name: str) -> str:
    return name.strip().lower().replace("-", "_").replace(" ", "_")


def roles(cwd: Path | None = None, wanted: str = "") -> Iterator[Role]:
    """Every role, the user's own first; a name may come more than once, the first counts.

    A file that can't be read is passed over with a warning, unless it is the `wanted` one.
    """
    for directory in role_directories(cwd):
        for path in sorted(directory.glob("*.md")):
            if path.name == "README.md":
                continue
            try:
                yield _role(path)
            except BadInput as exc:
                if _spelled(path.stem) == wanted:
                    raise
                log.warning("%s; it is passed over", exc)


def role_directories(cwd: Path | None = None) -> list[Path]:
    """Where roles are looked for, nearest first."""
    return [(cwd or Path.cwd()) / "prompts", user_dir() / "prompts", packaged("prompts")]


def _role(path: Path) -> Role:
    try:
        stat = path.stat()
        return _read_role(path, stat.st_mtime_ns, stat.st_size)
    except (OSError, UnicodeDecodeError) as exc:
        raise BadInput(f"cannot read the role {path}: {exc}") from exc


@lru_cache(maxsize=256)
def _read_role(path: Path, mtime_ns: int, size: int) -> Role:
    """Read once for each state of the file."""
    head, body = _front_matter(path, path.read_text(encoding="utf-8"))
    aliases = head.get("aliases") or ()
    return Role(
        name=str(head.get("name") or path.stem),
        description=str(head.get("description") or ""),
        aliases=tuple(aliases.replace(",", " ").split() if isinstance(aliases, str) else map(str, aliases)),
        body=body.strip(),
        path=path,
    )


def _front_matter(path: Path, text: str) -> tuple[dict[str, Any], str]:
    """(keys, body) of a Markdown file that may begin with YAML between two `---` lines."""
    if not text.startswith("---\n"):
        return {}, text
    import yaml  # 15 ms: not for those who only load the package

    head, found, body = text[4:].partition("\n---")
    try:
        keys = yaml.safe_load(head)
    except yaml.YAMLError as exc:
        raise BadInput(f"the front matter of {path} is no YAML: {exc}") from exc
    return (keys, body) if found and isinstance(keys, dict) else ({}, text)


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
