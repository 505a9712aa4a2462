"""A setting kept in a file, so that it holds from the next madrox on.

All else that stands in the file, comments too, stays as it is. The file is replaced as a
whole; a new one is for its owner alone, because tables beside the settings may hold keys.
"""

from __future__ import annotations

import os
import secrets
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from . import config
from .errors import BadInput

if TYPE_CHECKING:
    from tomlkit import TOMLDocument

PRIVATE = 0o600


def keep(name: str, said: str, path: Path) -> Any:
    """Write a setting, as `said` in a line, into the TOML file at `path`; returns its value.

    Raises `BadInput` for a setting, a value or a file that can't be used; then nothing has changed.
    """
    if name in config.SECTIONS:
        raise BadInput(f"[{name}] holds tables by name: write them into {path} with an editor")
    config.check_known(name, "%madrox config set")
    value = config.parsed(name, _raw(name, said), "%madrox config set")
    document = _read(path)
    document[name] = _plain(value, said)
    _replace(path, document)
    return value


def drop(name: str, path: Path) -> bool:
    """Take a setting out of that file; says whether it stood there. Raises `BadInput`."""
    config.check_known(name, "%madrox config unset")
    document = _read(path)
    if name not in document:
        return False
    del document[name]
    _replace(path, document)
    return True


def _raw(name: str, said: str) -> Any:
    """A table is said as TOML, everything else as it is in the environment."""
    if config.SETTINGS[name].default_factory is not dict:
        return said
    try:
        return tomllib.loads(f"{name} = {said}")[name]
    except tomllib.TOMLDecodeError as exc:
        such = "{'Bash(git *)' = 'allow'}"
        raise BadInput(f"{name} is a table: write it as TOML does, such as {such} ({exc})") from None


def _plain(value: Any, said: str) -> Any:
    """As TOML has it. A path stays as it was said: relative, or in somebody's home."""
    if isinstance(value, Path):
        return said
    if isinstance(value, tuple):
        return list(value)
    return dict(value) if isinstance(value, Mapping) else value


def _read(path: Path) -> TOMLDocument:
    import tomlkit  # 30 ms that only who keeps something needs
    from tomlkit.exceptions import TOMLKitError

    try:
        return tomlkit.parse(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return tomlkit.document()
    except (OSError, UnicodeDecodeError, TOMLKitError) as exc:
        raise BadInput(
            f"cannot read the settings in {path}: {exc}. Mend it first; nothing was changed"
        ) from exc


def _replace(path: Path, document: TOMLDocument) -> None:
    """Whole or not at all; where a link leads to the file, the link stays."""
    import tomlkit

    path = path.resolve()
    draft = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        mode = path.stat().st_mode & 0o777 if path.exists() else PRIVATE
        fd = os.open(draft, os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_CLOEXEC, PRIVATE)
        with os.fdopen(fd, "w", encoding="utf-8") as file:
            file.write(tomlkit.dumps(document))
            file.flush()
            os.fsync(file.fileno())
        draft.chmod(mode)
        draft.replace(path)
    except OSError as exc:
        draft.unlink(missing_ok=True)
        raise BadInput(f"cannot write the settings into {path}: {exc}") from exc
