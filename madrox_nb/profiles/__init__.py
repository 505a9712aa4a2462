"""Profiles of terminal programs, one TOML file each; the file's name is the harness's."""

from __future__ import annotations

import tomllib
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from ..errors import BadInput

SHIPPED = Path(__file__).parent


def read(folders: Iterable[Path]) -> dict[str, dict[str, Any]]:
    """The tables in `*.toml` of these folders, by name; of two of one name the former folder's.

    Raises `BadInput` for a file that is no TOML.
    """
    tables: dict[str, dict[str, Any]] = {}
    for path in (path for folder in folders for path in sorted(folder.glob("*.toml"))):
        try:
            tables.setdefault(path.stem, tomllib.loads(path.read_text(encoding="utf-8")))
        except (OSError, ValueError) as exc:
            raise BadInput(f"{path} is no profile: {exc}. Mend the file, or move it away") from exc
    return tables
