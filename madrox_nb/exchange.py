"""One request to a running server and all that it answers, over plain HTTP.

Each request has a connection of its own: a connection that is kept may have been closed by
the other end meanwhile, and nobody could say whether the request was carried out.
"""

from __future__ import annotations

import contextlib
import json
import socket
from collections.abc import Iterator, Mapping
from http.client import HTTPConnection, HTTPException, HTTPResponse, HTTPSConnection
from types import TracebackType
from typing import Final
from urllib.parse import urlsplit

CONNECT_SECONDS: Final = 10.0
"""For the other end to take the connection. How long it works is the caller's affair."""
PIECE: Final = 65536


class Unreachable(Exception):
    """Nobody listens there. The request was not carried out."""


class Broken(Exception):
    """The other end went away. Whether the request was carried out is unknown."""


class Exchange:
    """A request on its way. Entered, it has been sent and its status is known."""

    def __init__(
        self,
        method: str,
        url: str,
        headers: Mapping[str, str],
        body: bytes = b"",
        timeout: float | None = None,
    ) -> None:
        """`timeout` is for each wait for something new; without one it waits for good."""
        address = urlsplit(url)
        kind = HTTPSConnection if address.scheme == "https" else HTTPConnection
        self._connection = kind(address.hostname or "", address.port, timeout=CONNECT_SECONDS)
        self._method, self._path, self._headers = method, address.path, headers
        self._body, self._timeout = body, timeout
        self._socket: socket.socket | None = None
        self._hung_up = False
        self._response: HTTPResponse

    def __enter__(self) -> Exchange:
        """Raises `Unreachable` or `Broken`."""
        try:
            self._connection.connect()
        except OSError as exc:
            raise Unreachable(str(exc)) from exc
        self._socket = self._connection.sock
        self._socket.settimeout(self._timeout)
        try:
            if self._hung_up:
                raise OSError("hung up before it was sent")
            self._connection.request(self._method, self._path, self._body or None, dict(self._headers))
            self._response = self._connection.getresponse()
        except (OSError, HTTPException) as exc:
            self._connection.close()
            raise Broken(str(exc) or type(exc).__name__) from exc
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._response.close()
        self._connection.close()

    def hang_up(self) -> None:
        """End it from another thread. Who reads `messages` meets `Broken`, or the end."""
        self._hung_up = True
        if self._socket is not None:
            with contextlib.suppress(OSError):
                self._socket.shutdown(socket.SHUT_RDWR)

    @property
    def status(self) -> int:
        return self._response.status

    def header(self, name: str) -> str:
        return self._response.headers.get(name, "")

    def messages(self) -> Iterator[bytes]:
        """Each message of the answer as it comes: one of plain JSON, any number of a stream.

        Raises `Broken`.
        """
        try:
            if self.header("content-type").startswith("text/event-stream"):
                yield from events(self._pieces())
            elif body := self._response.read():
                yield body
        except (OSError, HTTPException, ValueError) as exc:  # ValueError: closed while it was read
            raise Broken(str(exc) or type(exc).__name__) from exc

    def _pieces(self) -> Iterator[bytes]:
        while piece := self._response.read1(PIECE):
            yield piece


def events(pieces: Iterator[bytes]) -> Iterator[bytes]:
    """The data of each server-sent event (WHATWG HTML, section 9.2), pieces cut anywhere."""
    waiting, data = bytearray(), []
    for piece in pieces:
        waiting += piece
        if b"\n" not in piece:
            continue
        *lines, rest = waiting.split(b"\n")
        waiting = rest
        for line in lines:
            name, _, value = bytes(line).rstrip(b"\r").partition(b":")
            if name == b"data":
                data.append(value.removeprefix(b" "))
            elif not name and not value and data:
                yield b"\n".join(data)
                data.clear()


def one_line(message: bytes) -> bytes:
    """A message as it stands, if that is one line; else written as one."""
    if b"\n" not in message and b"\r" not in message:
        return message
    return json.dumps(json.loads(message), separators=(",", ":")).encode()
