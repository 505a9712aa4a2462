"""Who is calling: bearer tokens, one per agent, known by their hash alone."""

from __future__ import annotations

import hashlib
import json
import os
import secrets
from pathlib import Path

from .events import PERSON
from .keeping import put
from .redact import TOKEN_PREFIX
from .workspace import write_private

FILE = "tokens.json"


class Tokens:
    """token → name, for as long as the name may call. Safe to read from any thread."""

    def __init__(self, file: Path | None = None) -> None:
        """With `file`, agents that outlive this kernel can call the next one: see `restore`."""
        self._names: dict[bytes, str] = {}
        self._file = file

    def restore(self) -> None:
        """Let those tokens speak again that the kernel before us left in `file`.

        There stand hashes alone, 0600. The person's is not among them: it has a file of
        its own, and may have been replaced meanwhile.
        """
        if self._file is not None and self._file.exists():
            left = json.loads(self._file.read_text(encoding="utf-8"))
            self._names |= {bytes.fromhex(key): name for key, name in left.items()}

    def issue(self, name: str) -> str:
        """A new random token for `name`."""
        token = TOKEN_PREFIX + secrets.token_urlsafe(32)
        self.accept(token, name)
        return token

    def accept(self, token: str, name: str) -> None:
        """Let an existing token speak for `name`."""
        self._names[_hash(token)] = name
        self._save()

    def revoke(self, name: str) -> None:
        """No token speaks for `name` any more."""
        for key in [key for key, owner in self._names.items() if owner == name]:
            del self._names[key]
        self._save()

    def who(self, token: str) -> str | None:
        """Whose token this is, from the token and nothing else."""
        return self._names.get(_hash(token))

    def _save(self) -> None:
        if self._file is not None:
            agents = {key.hex(): name for key, name in self._names.items() if name != PERSON}
            put(self._file, json.dumps(agents))


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
    draft = path.with_name(f"{path.name}.{secrets.token_hex(4)}")
    write_private(path.parent, {draft.name: TOKEN_PREFIX + secrets.token_urlsafe(32) + "\n"})
    try:
        os.link(draft, path)  # whole or not at all: nobody ever reads an empty token
    except FileExistsError:
        pass  # another kernel was faster
    finally:
        draft.unlink()
    return path.read_text().strip()


def _hash(token: str) -> bytes:
    return hashlib.sha256(token.encode("utf-8", "surrogatepass")).digest()
