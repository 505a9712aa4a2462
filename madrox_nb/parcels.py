"""Carries files from one agent's directory into another one's: a team's deliverables.

What is carried lies inside the directory it comes from, links resolved; links themselves, and what
git or a CLI would carry out, stay behind. Copies are told from the originals by their place:
`from/<phase>/<agent>/<name>`. Where a directory is a git checkout, git is told to ignore them.
"""

from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import Iterable, Sequence
from pathlib import Path

from .errors import BadInput
from .workspace import IGNORE_ALL, SENSITIVE, directory_name, inside, may_touch

LARGEST = 256 * 2**20
"""Bytes of one deliverable. A larger one is named, not copied."""


def there(workspace: Path, names: Iterable[str]) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """(those of `names` that are in that directory, those that are not)."""
    listed = list(names)
    found = tuple(name for name in listed if may_touch(workspace, name) and (workspace / name).exists())
    return found, tuple(name for name in listed if name not in found)


def hand_over(source: Path, names: Sequence[str], workspace: Path, place: Sequence[str]) -> list[str]:
    """Copy `names` of `source` into `workspace`, below `place`; returns what to say of each.

    What was copied there before is replaced. Raises `BadInput` when the disk refuses.
    """
    target = workspace.joinpath(*(directory_name(part) for part in place))
    if not inside(workspace, str(target)):
        raise BadInput(f"{target} leads out of {workspace}: nothing is copied there")
    try:
        found = there(source, names)[0]
        if found and (workspace / ".git").exists():
            _ignored(workspace.joinpath(*map(directory_name, place[:2])))
        return [_copied(source, name, target, workspace) for name in found]
    except (OSError, shutil.Error) as exc:
        raise BadInput(f"cannot copy {', '.join(names)} from {source} to {target}: {exc}") from exc


def _ignored(directory: Path) -> None:
    """Copies are no work of the agent's: they don't keep its worktree, nor get into its commits."""
    directory.mkdir(parents=True, exist_ok=True)
    with contextlib.suppress(FileExistsError), (directory / ".gitignore").open("x") as file:
        file.write(IGNORE_ALL)


def _copied(source: Path, name: str, target: Path, workspace: Path) -> str:
    original, copy = source / name, target / name
    if (size := _size(original)) > LARGEST:
        return f"{original} ({size / 2**20:,.0f} MiB: too large to be copied)"
    if copy.is_dir() and not copy.is_symlink():
        shutil.rmtree(copy)
    copy.parent.mkdir(parents=True, exist_ok=True)
    if original.is_dir():
        shutil.copytree(original, copy, ignore=_left_behind)
    else:
        shutil.copy2(original, copy)
    return str(copy.relative_to(workspace))


def _left_behind(directory: str, names: list[str]) -> list[str]:
    return [name for name in names if name.casefold() in SENSITIVE or Path(directory, name).is_symlink()]


def _size(path: Path) -> int:
    if path.is_file():
        return path.stat().st_size
    total = 0
    for directory, below, names in os.walk(path):
        below[:] = [name for name in below if name.casefold() not in SENSITIVE]
        total += sum(Path(directory, name).lstat().st_size for name in names)
    return total
