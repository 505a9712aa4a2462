"""Tokens that the person has given to outside clients: each with a name and a scope.

They are kept in the home for all its kernels, 0600, and by their hash alone: a token is
seen once, when it is made. The file is what counts: what one kernel makes or revokes holds
in all of them with the next request.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import logging
import os
import re
import secrets
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from .errors import BadInput, UnknownToken, nearest
from .keeping import put
from .redact import TOKEN_PREFIX
from .rules import SCOPES, Scope
from .workspace import prepare_home

FILE = "clients.json"
MEANINGS: Mapping[Scope, str] = {
    "read": "looking",
    "operate": "running agents within what is allowed",
    "admin": "everything that you may do",
}
_LOCK = ".clients.lock"
_NAME = re.compile(r"[^\W_][\w.-]{0,63}")

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Client:
    """Somebody who was given a token."""

    name: str
    scope: Scope
    created: str
    """When (UTC, ISO 8601)."""


@dataclass(frozen=True)
class Issued:
    """A new token. It is kept nowhere: who loses it makes another one."""

    client: Client
    token: str = field(repr=False)

    def save(self, path: Path) -> Path:
        """Write it into a file that only you can read; returns where."""
        path = path.expanduser().absolute()
        put(path, f"{self.token}\n")
        return path

    @property
    def remark(self) -> str:
        """What the person should know about it, without the token itself."""
        return (
            f"The token {self.client.name!r}, for {MEANINGS[self.client.scope]}. It is shown this once "
            "and kept nowhere: clear this output before you save or share it. A client sends it as\n"
            "  Authorization: Bearer …"
        )

    def __str__(self) -> str:
        return f"{self.token}\n\n{self.remark}"

    def _repr_mimebundle_(self, **_: Any) -> dict[str, str]:
        return {"text/plain": str(self)}


def new_token() -> str:
    """A random token, in the form that is recognised and redacted wherever it turns up."""
    return TOKEN_PREFIX + secrets.token_urlsafe(32)


def digest(token: str) -> bytes:
    """By which a token is known, and from which it can't be made again."""
    return hashlib.sha256(token.encode("utf-8", "surrogatepass")).digest()


class Clients:
    """Those of one home. Safe to use from any thread, and from several processes at once."""

    def __init__(self, home: Path) -> None:
        self._home, self._file = home, home / FILE
        self._read: tuple[tuple[int, ...], Mapping[str, Client]] = (), {}
        """The state of the file, and what stood in it: hash → client."""

    def create(self, name: str, scope: str = "read") -> Issued:
        """Make a token. Raises `BadInput` for a name that is taken or can't be, or an unknown scope."""
        if not _NAME.fullmatch(name):
            raise BadInput(
                f"{name!r} can't be a token's name: begin with a letter or digit, then letters, digits, "
                "'_', '-' and '.', at most 64 characters"
            )
        if scope not in SCOPES:
            raise BadInput(
                f"scope={scope!r} is not known.{nearest(scope, SCOPES)} Known: {', '.join(SCOPES)}"
            )
        client = Client(name, scope, f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%SZ}")
        issued = Issued(client, new_token())
        with self._alone() as known:
            if any(each.name == name for each in known.values()):
                raise BadInput(
                    f"a token named {name!r} exists already. Choose another name, or revoke it first: "
                    f"%madrox token revoke {name}"
                )
            self._write({**known, digest(issued.token).hex(): client})
        return issued

    def revoke(self, name: str) -> Client:
        """Let a token speak for nobody any more, in no kernel of this home. Raises `UnknownToken`."""
        with self._alone() as known:
            gone = next((client for client in known.values() if client.name == name), None)
            if gone is None:
                raise UnknownToken(name, [client.name for client in known.values()])
            self._write({key: client for key, client in known.items() if client is not gone})
        return gone

    def __iter__(self) -> Iterator[Client]:
        return iter(tuple(self._known().values()))

    def find(self, token: str) -> Client | None:
        """Whose token this is."""
        return self._known().get(digest(token).hex())

    def _known(self) -> Mapping[str, Client]:
        """What stands in the file now; it is read again when it has changed."""
        try:
            found = self._file.stat()
        except OSError:
            return {}
        if found.st_mode & 0o077 or found.st_uid != os.geteuid():
            log.warning(
                "%s is not trusted: others may write or read it. chmod 600 it, or remove it", self._file
            )
            return {}
        state = found.st_mtime_ns, found.st_size, found.st_ino
        if self._read[0] != state:
            self._read = state, _read(self._file)
        return self._read[1]

    def _write(self, known: Mapping[str, Client]) -> None:
        put(self._file, json.dumps({key: asdict(client) for key, client in known.items()}, indent=1))
        self._read = (), {}

    @contextmanager
    def _alone(self) -> Iterator[Mapping[str, Client]]:
        """What stands in the file, while nobody else changes it."""
        try:
            prepare_home(self._home)
            lock = os.open(self._home / _LOCK, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)
        except OSError as exc:
            raise BadInput(f"no token can be kept in {self._home}: {exc}") from exc
        try:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield self._known()
        finally:
            os.close(lock)


def _read(file: Path) -> Mapping[str, Client]:
    try:
        found: dict[str, dict[str, Any]] = json.loads(file.read_text(encoding="utf-8"))
        known = {key: Client(**each) for key, each in found.items()}
    except (OSError, ValueError, TypeError, AttributeError) as exc:
        log.error("the clients' tokens in %s can't be read (%s): nobody gets in with one", file, exc)
        return {}
    return {key: client for key, client in known.items() if client.scope in SCOPES}
