"""MCP tools called over streamable HTTP, with the standard library alone.

Protocol revision 2026-07-28: no handshake and no session. Each call is one POST that
carries its own envelope in `params._meta` and says in headers what the body holds
(https://modelcontextprotocol.io/specification, "Streamable HTTP"). The answer is one
JSON object, or an event stream whose last message is the answer. Closing the
connection is how a call is cancelled; so each call has a connection of its own.
"""

from __future__ import annotations

import json
import socket
from base64 import b64encode
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from http.client import HTTPConnection, HTTPException, HTTPResponse, HTTPSConnection
from urllib.parse import urlsplit

from . import VERSION

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

PROTOCOL = "2026-07-28"
CONNECT_SECONDS = 5.0
ENVELOPE = {
    "io.modelcontextprotocol/protocolVersion": PROTOCOL,
    "io.modelcontextprotocol/clientCapabilities": {},
    "io.modelcontextprotocol/clientInfo": {"name": "rehearsal", "version": VERSION},
    "progressToken": 1,  # so a long call shows that it lives; what it says is passed over
}


class Unreachable(Exception):
    """No MCP server answers at all."""


class Abandoned(Exception):
    """The call was given up from our side."""


class Result:
    """What a tool returned. Not `ok` for a tool's own error and for a broken call alike."""

    __slots__ = ("ok", "structured", "text")

    def __init__(self, ok: bool, text: str, structured: dict[str, Any] | None = None) -> None:
        self.ok, self.text, self.structured = ok, text, structured or {}


class Client:
    """Makes one call at a time, which any other thread may `abandon`."""

    def __init__(self, url: str, token: str, headers: dict[str, str] | None = None) -> None:
        """`headers` are sent along, for a server that is not ours."""
        self._url, self._token, self._more = urlsplit(url), token, headers or {}
        self._wire: socket.socket | None = None

    def call(self, tool: str, arguments: dict[str, Any], unwanted: Callable[[], bool]) -> Result:
        """Call `tool` and wait as long as it takes.

        `unwanted` is asked once the connection stands: who makes it true and then calls
        `abandon` gets every call, also one that is only beginning.
        """
        connection = self._connect()
        try:
            self._wire = connection.sock
            if unwanted():
                raise Abandoned
            connection.request("POST", self._url.path or "/", _body(tool, arguments), self._headers(tool))
            return result_of(_answer(connection.getresponse()))
        except (OSError, HTTPException, ValueError, RecursionError) as exc:
            if unwanted():
                raise Abandoned from exc
            return Result(ok=False, text=f"error: the call of {tool} broke off: {exc or type(exc).__name__}")
        finally:
            self._wire = None
            connection.close()

    def abandon(self) -> None:
        """End the call under way, if there is one, by hanging up."""
        wire = self._wire
        if wire is not None:
            with suppress(OSError):  # it ended by itself meanwhile
                wire.shutdown(socket.SHUT_RDWR)

    def _connect(self) -> HTTPConnection:
        try:
            kind = HTTPSConnection if self._url.scheme == "https" else HTTPConnection
            connection = kind(self._url.hostname or "", self._url.port, timeout=CONNECT_SECONDS)
            connection.connect()
        except (OSError, HTTPException, ValueError) as exc:
            raise Unreachable(f"the MCP server at {self._url.geturl()!r} cannot be reached: {exc}") from exc
        connection.sock.settimeout(None)  # a tool may take hours; a dead server hangs up
        return connection

    def _headers(self, tool: str) -> dict[str, str]:
        return {
            "Content-Type": "application/json",
            "Accept": "application/json, text/event-stream",
            **({"Authorization": f"Bearer {self._token}"} if self._token else {}),
            "MCP-Protocol-Version": PROTOCOL,
            "Mcp-Method": "tools/call",
            "Mcp-Name": _header(tool),
            **self._more,
        }


def _header(name: str) -> str:
    """The name as a header can hold it: as it stands, or in MCP's base64 wrapping."""
    if name.isascii() and name.isprintable() and name == name.strip() and not name.startswith("=?"):
        return name
    return f"=?base64?{b64encode(name.encode('utf-8', 'replace')).decode()}?="


def _body(tool: str, arguments: dict[str, Any]) -> bytes:
    params = {"name": tool, "arguments": arguments, "_meta": ENVELOPE}
    return json.dumps({"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": params}).encode()


def _answer(response: HTTPResponse) -> dict[str, Any]:
    """The message that answers our one request; notifications before it are passed over."""
    kind = response.headers.get_content_type()
    messages = _streamed(response) if kind == "text/event-stream" else _whole(response)
    for message in messages:
        if "result" in message or "error" in message:
            return message
    raise ValueError("the server ended it without an answer")


def _whole(response: HTTPResponse) -> list[dict[str, Any]]:
    text = response.read().decode("utf-8", "replace")
    try:
        message = json.loads(text)
    except ValueError:
        message = None
    if isinstance(message, dict) and (response.status == 200 or isinstance(message.get("error"), dict)):
        return [message]
    raise ValueError(f"HTTP {response.status} {response.reason}: {text[:300]}")


def _streamed(lines: Iterable[bytes]) -> Iterator[dict[str, Any]]:
    """The messages of an event stream (https://html.spec.whatwg.org, "Server-sent events")."""
    data: list[bytes] = []
    for raw in lines:
        line = raw.rstrip(b"\r\n")
        if line.startswith(b"data:"):
            data.append(line[5:])
        elif not line:
            text, data = b"\n".join(data), []
            message = json.loads(text) if text.strip() else None
            if isinstance(message, dict):
                yield message


def result_of(message: dict[str, Any]) -> Result:
    """What the answer to `tools/call` says."""
    if "error" in message:
        error = message["error"]
        return Result(ok=False, text=f"error: {error.get('message', error)}")
    result = message["result"]
    structured = result.get("structuredContent")
    text = "\n".join(_text(item) for item in result.get("content", ()))
    if result.get("isError"):
        return Result(ok=False, text=f"error: {text}")
    return Result(ok=True, text=text, structured=structured if isinstance(structured, dict) else None)


def _text(item: dict[str, Any]) -> str:
    return str(item["text"]) if item.get("type") == "text" else f"[{item.get('type', 'something')}]"
