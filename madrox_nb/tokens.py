"""Who is calling: bearer tokens, one per agent, known by their hash alone."""

from __future__ import annotations

import json
import os
import secrets
from dataclasses import dataclass
from pathlib import Path

from .clients import Clients, digest, new_token
from .events import PERSON
from .keeping import put
from .rules import Scope
from .workspace import write_private

FILE = "tokens.json"


@dataclass(frozen=True)
class Holder:
    """Who a token speaks for."""

    name: str
    """An agent's, or `you`."""
    scope: Scope = "admin"
    """Of an outside client. What an agent may do is decided by the tree alone."""
    client: str = ""
    """What the person called this client; empty for an agent's token and the person's own."""


class Tokens:
    """token → name, for as long as the name may call. Safe to read from any thread."""

    def __init__(self, file: Path | None = None, clients: Clients | None = None) -> None:
        """With `file`, agents that outlive this kernel can call the next one: see `restore`.

        `clients` are those whom the person has given tokens of their own.
        """
        self._names: dict[bytes, str] = {}
        self._file, self._clients = file, clients

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
        token = new_token()
        self.accept(token, name)
        return token

    def accept(self, token: str, name: str) -> None:
        """Let an existing token speak for `name`."""
        self._names[digest(token)] = name
        self._save()

    def revoke(self, name: str) -> None:
        """No token speaks for `name` any more."""
        for key in [key for key, owner in self._names.items() if owner == name]:
            del self._names[key]
        self._save()

    def who(self, token: str) -> str | None:
        """Whose token this is, from the token and nothing else."""
        holder = self.holder(token)
        return holder.name if holder else None

    def holder(self, token: str) -> Holder | None:
        """As `who`, with what an outside client's token is good for."""
        if (name := self._names.get(digest(token))) is not None:
            return Holder(name)
        client = self._clients.find(token) if self._clients is not None else None
        return Holder(PERSON, client.scope, client.name) if client else None

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
    write_private(path.parent, {draft.name: new_token() + "\n"})
    try:
        os.link(draft, path)  # whole or not at all: nobody ever reads an empty token
    except FileExistsError:
        pass  # another kernel was faster
    finally:
        draft.unlink()
    return path.read_text().strip()
