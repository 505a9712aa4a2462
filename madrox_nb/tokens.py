"""Who is calling: bearer tokens, one per agent, known by their hash alone."""

from __future__ import annotations

import hashlib
import os
import secrets
from pathlib import Path

from .redact import TOKEN_PREFIX


class Tokens:
    """token → name, for as long as the name may call. Safe to read from any thread."""

    def __init__(self) -> None:
        self._names: dict[bytes, str] = {}

    def issue(self, name: str) -> str:
        """A new random token for `name`."""
        token = TOKEN_PREFIX + secrets.token_urlsafe(32)
        self.accept(token, name)
        return token

    def accept(self, token: str, name: str) -> None:
        """Let an existing token speak for `name`."""
        self._names[_hash(token)] = name

    def revoke(self, name: str) -> None:
        """No token speaks for `name` any more."""
        for key in [key for key, owner in self._names.items() if owner == name]:
            del self._names[key]

    def who(self, token: str) -> str | None:
        """Whose token this is, from the token and nothing else."""
        return self._names.get(_hash(token))


def kept(path: Path) -> str:
    """The person's token, kept 0600 in `path` across kernels; made on first use.

    A file that others may read is not trusted and replaced.
    """
    try:
        if path.stat().st_mode & 0o077 == 0 and (token := path.read_text().strip()):
            return token
        path.unlink()
    except FileNotFoundError:
        pass
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    token = TOKEN_PREFIX + secrets.token_urlsafe(32)
    try:
        fd = os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600)
    except FileExistsError:  # another kernel was faster
        return path.read_text().strip()
    with os.fdopen(fd, "w") as file:
        file.write(token + "\n")
    return token


def _hash(token: str) -> bytes:
    return hashlib.sha256(token.encode("utf-8", "surrogatepass")).digest()
