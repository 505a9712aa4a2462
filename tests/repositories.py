"""Git repositories for tests."""

from __future__ import annotations

import subprocess
from pathlib import Path


def git(directory: Path, *arguments: str) -> str:
    """What git says there."""
    more = ("-c", "user.name=t", "-c", "user.email=t@example", "-C", str(directory))
    said = subprocess.run(["git", *more, *arguments], check=True, capture_output=True, text=True)
    return said.stdout.strip()


def repository_at(place: Path) -> Path:
    """A repository with one file, `a.txt`, committed on `main`."""
    place.mkdir()
    git(place, "init", "-q", "-b", "main")
    (place / "a.txt").write_text("a\n")
    committed(place, "first")
    return place


def committed(place: Path, message: str) -> str:
    """Commit all that is there; the commit."""
    git(place, "add", ".")
    git(place, "commit", "-q", "-m", message)
    return git(place, "rev-parse", "HEAD")


def branches(repository: Path) -> list[str]:
    return git(repository, "for-each-ref", "--format=%(refname:short)", "refs/heads").splitlines()
