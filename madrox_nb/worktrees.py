"""A git worktree for an agent: a directory of its own, on a branch of its own, of somebody's repository.

Git is asked with lists of arguments, without hooks and without the `GIT_…` variables of
the kernel, and never changes what is checked out elsewhere. What an agent leaves behind
is removed only where nothing is lost: a clean tree whose commits are in another branch.
Everything here blocks for as long as git takes; call it from a thread.
"""

from __future__ import annotations

import os
import re
import threading
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from .errors import BadInput, HarnessError
from .local import asked
from .workspace import copy_workspace, directory_name

PREFIX: Final = "madrox/"
SECONDS: Final = 300.0
"""How long git may take to check out a repository."""
SAFE: Final = ("-c", "core.hooksPath=/dev/null", "-c", "core.fsmonitor=false", "-c", "gc.auto=0")

_one_at_a_time = threading.Lock()
"""Git's own locks refuse instead of waiting."""


@dataclass(frozen=True)
class Worktree:
    """One worktree that we made."""

    path: Path
    repository: str
    """Where the repository's own checkout is."""
    branch: str
    base: str
    """The commit from which the branch began."""


def check(source: Path) -> None:
    """Raises `BadInput` when no worktree can be made of what `source` has checked out."""
    _begins_at(source)


def make(source: Path, place: Path, called: str) -> Worktree:
    """A worktree in the empty directory `place`, on a new branch from what `source` has checked out.

    The branch is `called` so, behind `madrox/`, with a number where that is taken. Raises
    `BadInput` when `source` is in no repository, or git can't.
    """
    worktree = _planned(source, place, called)
    with _one_at_a_time:
        _git(worktree.repository, "worktree", "add", "-q", "-b", worktree.branch, str(place), worktree.base)
    return worktree


def fork(source: Path, place: Path, called: str) -> Worktree:
    """As `make`, with the files that stand in `source` now, committed or not. Raises as `make`."""
    worktree = _planned(source, place, called)
    add = ("worktree", "add", "-q", "--no-checkout", "-b", worktree.branch, str(place), worktree.base)
    with _one_at_a_time:
        _git(worktree.repository, *add)
    copy_workspace(source, place, besides=(".git",))
    _git(place, "reset", "-q")
    return worktree


def restore(worktree: Worktree) -> None:
    """Make a worktree anew that was removed, on its branch or where that began. Raises as `make`."""
    with _one_at_a_time:
        _git(worktree.repository, "worktree", "prune")
        there = _git(worktree.repository, "for-each-ref", f"refs/heads/{worktree.branch}")
        begin = (worktree.branch,) if there else ("-b", worktree.branch, worktree.base)
        path, *rest = str(worktree.path), *begin[-1:]
        _git(worktree.repository, "worktree", "add", "-q", *begin[:-1], path, *rest)


def tidy(worktree: Worktree, *, ignored_too: bool = False) -> str:
    """Remove it and its branch when nothing is lost by that; else returns what would be, and where it is.

    What git is told to ignore counts only with `ignored_too`.
    """
    if not worktree.path.exists():
        return ""
    try:
        if lost := _would_be_lost(worktree, ignored_too):
            return f"{lost}. They are in {worktree.path}, on the branch {worktree.branch}"
        tip = _git(worktree.repository, "rev-parse", f"refs/heads/{worktree.branch}")
        with _one_at_a_time:
            _git(worktree.repository, "worktree", "remove", str(worktree.path))
            _git(worktree.repository, "update-ref", "-d", f"refs/heads/{worktree.branch}", tip)
    except (BadInput, OSError) as exc:
        return f"its worktree {worktree.path} could not be removed: {exc}"
    return ""


def changes(worktree: Worktree) -> tuple[str, list[str]]:
    """What its files are now against where the branch began: a patch, and the files git does not know.

    Raises `BadInput` when git can't tell.
    """
    plain = ("--no-color", "--no-ext-diff", "--no-textconv", "--no-renames", "--no-prefix")
    patch = _git(worktree.path, "-c", "core.quotePath=off", "diff", *plain, worktree.base, "--")
    new = _git(worktree.path, "ls-files", "--others", "--exclude-standard", "-z")
    return patch, [name for name in new.split("\0") if name]


def _would_be_lost(worktree: Worktree, ignored_too: bool) -> str:
    more = ("--ignored",) if ignored_too else ()
    if changed := _git(worktree.path, "status", "--porcelain", *more).splitlines():
        return f"{_count(len(changed), 'file')} {'is' if len(changed) == 1 else 'are'} not committed"
    for tip in {_git(worktree.path, "rev-parse", what) for what in ("HEAD", f"refs/heads/{worktree.branch}")}:
        if tip != worktree.base and not _elsewhere(worktree, tip):
            commits = int(_git(worktree.path, "rev-list", "--count", f"{worktree.base}..{tip}"))
            return f"{_count(commits, 'commit')} {'is' if commits == 1 else 'are'} in no other branch"
    return ""


def _elsewhere(worktree: Worktree, tip: str) -> bool:
    """Whether another branch, here or of a remote, holds that commit."""
    found = _git(
        worktree.repository,
        *("for-each-ref", f"--contains={tip}", "--format=%(refname)", "refs/heads", "refs/remotes"),
    )
    return bool({*found.splitlines()} - {f"refs/heads/{worktree.branch}"})


def _planned(source: Path, place: Path, called: str) -> Worktree:
    repository, base = _begins_at(source)
    taken = _git(source, "for-each-ref", "--format=%(refname)", f"refs/heads/{PREFIX}").splitlines()
    return Worktree(place, repository, _free(called, {*taken}), base)


def _begins_at(source: Path) -> tuple[str, str]:
    """(the repository that holds `source`, the commit that is checked out there)."""
    try:
        listed = _git(source, "worktree", "list", "--porcelain")
    except BadInput as exc:
        raise BadInput(
            f"{exc}. Name a directory in a repository (git_repo), or leave use_worktree out"
        ) from exc
    repository = listed.partition("\n")[0].removeprefix("worktree ")
    try:
        return repository, _git(source, "rev-parse", "--verify", "HEAD^{commit}")
    except BadInput as exc:
        raise BadInput(f"{repository} has no commit yet that a worktree could begin at") from exc


def _free(called: str, taken: set[str]) -> str:
    """A branch that is called so; with a number, where an earlier one still holds something."""
    name = re.sub(r"\.\.+|\.lock$", "-", directory_name(called))
    number, branch = 1, f"{PREFIX}{name}"
    while f"refs/heads/{branch}" in taken:
        number += 1
        branch = f"{PREFIX}{name}-{number}"
    return branch


def _git(directory: str | Path, *arguments: str) -> str:
    """What git says, without the newline at its end. Raises `BadInput` with its own words."""
    env = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}
    env |= {"GIT_TERMINAL_PROMPT": "0", "LC_ALL": "C.UTF-8"}
    try:
        said, _ = asked(("git", *SAFE, "-C", str(directory), *arguments), env=env, seconds=SECONDS)
    except HarnessError as exc:
        words = exc.evidence.strip() or str(exc)
        raise BadInput(f"git {arguments[0]} in {directory}: {words}") from exc
    return said.rstrip("\n")


def _count(number: int, thing: str) -> str:
    return f"{number} {thing}{'' if number == 1 else 's'}"
