"""MCP between a client's lines and a server's HTTP, for `madrox mcp`.

Messages pass unchanged, in both eras of the protocol; only the HTTP headers are derived.
`initialize`, `server/discover` and `ping` are answered here, at once: who serves is looked
for meanwhile. A server that was restarted is found again, and a session there begun again.

A thread for each request in flight, and Python's own HTTP client: importing mcp costs half
a second and 60 MB, and nothing in it is needed to pass a message on.
"""

from __future__ import annotations

import base64
import json
import re
import sys
import threading
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any, BinaryIO, Final, NamedTuple, Protocol

from .errors import MadroxError, NotRunning
from .exchange import Broken, Exchange, Unreachable, one_line
from .greeting import META, STATELESS, discovered, initialized

if TYPE_CHECKING:
    from .runtime import Running

PARSE_ERROR, INVALID_REQUEST, INVALID_PARAMS, FAILED = -32700, -32600, -32602, -32000
"""JSON-RPC 2.0, section 5.1; the last is ours."""
NAMED_BY: Final = {"tools/call": "name", "prompts/get": "name", "resources/read": "uri"}
"""Method → the parameter that goes into the header Mcp-Name (2026-07-28)."""
LAST_WORDS_SECONDS: Final = 1.5
"""For answers that are under way when the client has closed our input."""
GOODBYE_SECONDS: Final = 1.0
LOOK_SECONDS: Final = 1.0
"""Between two looks for a server that went away."""

GONE: Final = (
    "the kernel went away while this was under way; whether it was carried out is not known. "
    "Look with get_instance_tree before you ask again"
)
_PLAIN = re.compile(r"[\x21-\x7e]([\x20-\x7e]*[\x21-\x7e])?")


class Servers(Protocol):
    """Who serves."""

    def current(self) -> Running:
        """Where requests go. Raises `MadroxError` when nobody serves any more, or can."""

    def lost(self, server: Running) -> None:
        """It did not answer: look again before the next request."""


class Session(NamedTuple):
    """A handshake session at a server."""

    server: Running
    id: str
    version: str


class Asked:
    """A request of the client that is not answered yet."""

    def __init__(self, message: dict[str, Any], line: bytes) -> None:
        self.id, self.message, self.line = message["id"], message, line
        self.exchange: Exchange | None = None
        self.cancelled = self.answered = False

    def cancel(self) -> None:
        self.cancelled = True
        if self.exchange is not None and _version(self.message):
            self.exchange.hang_up()  # that is how a request of 2026 is cancelled over HTTP


class Bridge:
    """One client. `serve` is its thread; every request has one of its own."""

    def __init__(self, servers: Servers, output: BinaryIO, broken: Callable[[], object]) -> None:
        """`broken` is called when nobody reads our output any more."""
        self._servers, self._output, self._broken = servers, output, broken
        self._writing = threading.Lock()
        self._asked: dict[Any, Asked] = {}
        self._answered = threading.Condition()
        self._closing = threading.Event()
        self._hello: dict[str, Any] | None = None
        """What the client said in `initialize`, as each server hears it."""
        self._joining = threading.Lock()
        self._session: Session | None = None
        self._joined_before = False
        self._listening = False
        self._subscribed: dict[str, None] = {}

    # what the client says

    def serve(self, lines: Iterable[bytes]) -> None:
        """Hear the client out: one message a line."""
        for line in lines:
            if stripped := line.strip():
                self._hear(stripped)
        with self._answered:
            self._answered.wait_for(lambda: not self._asked, LAST_WORDS_SECONDS)

    def close(self) -> None:
        """Drop what is under way, and leave no session behind."""
        self._closing.set()
        for asked in tuple(self._asked.values()):
            asked.cancelled = True
            if asked.exchange is not None:
                asked.exchange.hang_up()
        if self._session is not None:
            server = self._session.server
            goodbye = Exchange("DELETE", server.url, self._as_session(server), timeout=GOODBYE_SECONDS)
            try:
                with goodbye:
                    pass
            except (Unreachable, Broken):
                return

    def _hear(self, line: bytes) -> None:
        try:
            message = json.loads(line)
        except (ValueError, RecursionError):
            return self._fail(None, PARSE_ERROR, "Parse error: each line is one message, JSON in UTF-8")
        if wrong := _malformed(message):
            return self._fail(None, INVALID_REQUEST, wrong)
        if message.get("method") == "notifications/cancelled":
            return self._cancel(message, line)
        if message.get("method") == "notifications/initialized" and not _version(message):
            return self._listen()  # the server was told when it was joined
        if "method" in message and "id" in message:
            return self._request(message, line)
        return self._begin(self._pass_on, message, line)

    def _request(self, message: dict[str, Any], line: bytes) -> None:
        if message["method"] == "initialize":
            return self._initialize(message)
        if (known := _known(message)) is not None:
            return self._say({"jsonrpc": "2.0", "id": message["id"], "result": known})
        self._remember(message)
        asked = self._asked[message["id"]] = Asked(message, line)
        return self._begin(self._carry, asked)

    def _initialize(self, message: dict[str, Any]) -> None:
        params = message.get("params")
        needed = {"protocolVersion": str, "capabilities": dict, "clientInfo": dict}
        if not isinstance(params, dict) or any(
            not isinstance(params.get(name), kind) for name, kind in needed.items()
        ):
            return self._fail(message["id"], INVALID_PARAMS, f"initialize takes {', '.join(needed)}")
        result = initialized(params["protocolVersion"])
        self._say({"jsonrpc": "2.0", "id": message["id"], "result": result})
        self._hello, self._session = {**params, "protocolVersion": result["protocolVersion"]}, None
        return self._begin(self._be_ready)

    def _be_ready(self) -> None:
        """Find who serves before somebody waits for it. What goes wrong, the first request meets again."""
        try:
            self._joined(self._servers.current())
        except (MadroxError, Unreachable, Broken) as exc:
            tell(str(exc))

    def _remember(self, message: dict[str, Any]) -> None:
        """What a new session has to be told again."""
        uri = (message.get("params") or {}).get("uri")
        if message["method"] == "resources/subscribe" and isinstance(uri, str):
            self._subscribed[uri] = None
        elif message["method"] == "resources/unsubscribe" and isinstance(uri, str):
            self._subscribed.pop(uri, None)

    def _cancel(self, message: dict[str, Any], line: bytes) -> None:
        asked = self._asked.get((message.get("params") or {}).get("requestId"))
        if asked is None:
            return
        sent = asked.exchange is not None
        asked.cancel()
        if sent and not _version(asked.message):
            self._begin(self._pass_on, message, line)

    # what the server gets

    def _carry(self, asked: Asked) -> None:
        """Have a request carried out, and pass on what comes of it."""
        try:
            if not self._tried(asked) and not self._tried(asked):
                raise NotRunning("nobody serves here just now. Try again")
        except (MadroxError, Unreachable) as exc:
            self._settle(asked, str(exc))
        except Broken:
            self._settle(asked, GONE)
        finally:
            if not asked.answered and not asked.cancelled:  # a bug of ours, whose traceback goes to stderr
                self._settle(asked, "internal error in madrox mcp: it is not your fault. Go on without it")
            with self._answered:
                if self._asked.get(asked.id) is asked:
                    del self._asked[asked.id]
                self._answered.notify_all()

    def _settle(self, asked: Asked, why: str) -> None:
        asked.answered = True
        if not asked.cancelled:
            self._fail(asked.id, FAILED, why)

    def _tried(self, asked: Asked) -> bool:
        """False when it certainly was not carried out, because whom we asked is not the one any more."""
        server = self._servers.current()
        try:
            headers = self._headers(server, asked.message)
            asked.exchange = Exchange("POST", server.url, headers, asked.line)
            if asked.cancelled:
                return True
            with asked.exchange as exchange:
                if exchange.status == 401:
                    raise Unreachable("it does not know our token")
                if exchange.status == 404 and "Mcp-Session-Id" in headers:
                    self._left(headers["Mcp-Session-Id"])
                    return False
                self._forward(asked, exchange)
                return True
        except Unreachable:
            self._servers.lost(server)
            return False
        except Broken:
            self._servers.lost(server)
            raise

    def _forward(self, asked: Asked, exchange: Exchange) -> None:
        for data in exchange.messages():
            try:
                message = json.loads(data)
            except ValueError:
                if exchange.status >= 500:  # it is closing
                    raise Broken(f"it answered {exchange.status}") from None
                raise NotRunning(f"the server answered {exchange.status} and no MCP message") from None
            if "method" not in message:
                if message.get("id") is None:  # it could not tell whose request it was
                    message["id"] = asked.id
                    data = json.dumps(message).encode()
                asked.answered = asked.answered or message["id"] == asked.id
            if not asked.cancelled:
                self._write(data)
        if not asked.answered and not asked.cancelled:
            raise Broken("it ended without an answer")

    def _pass_on(self, message: dict[str, Any], line: bytes) -> None:
        """A notification, or the client's answer to a request of the server's: nothing comes back."""
        try:
            server = self._servers.current()
            with Exchange("POST", server.url, self._headers(server, message), line) as exchange:
                for _ in exchange.messages():
                    pass
        except (MadroxError, Unreachable, Broken) as exc:
            tell(f"{message.get('method', 'an answer')} did not arrive: {exc}")

    def _headers(self, server: Running, message: dict[str, Any]) -> dict[str, str]:
        """Raises as `_joined`."""
        if version := _version(message):
            method = message.get("method", "")
            name = (message.get("params") or {}).get(NAMED_BY.get(method, ""))
            said = {"MCP-Protocol-Version": version, "Mcp-Method": method}
            said |= {"Mcp-Name": name} if isinstance(name, str) else {}
            return _to(server) | {header: _in_header(value) for header, value in said.items()}
        if self._hello is None:
            return _to(server)  # without a handshake: the server says what is missing
        self._joined(server)
        return self._as_session(server)

    def _as_session(self, server: Running) -> dict[str, str]:
        session = self._session
        if session is None:
            return _to(server)
        return _to(server) | {"Mcp-Session-Id": session.id, "MCP-Protocol-Version": session.version}

    # the handshake era's session

    def _joined(self, server: Running) -> None:
        """Have a session at `server`, after a restart too. Raises `Unreachable`, `Broken` or `NotRunning`."""
        with self._joining:
            if self._hello is None or (self._session is not None and self._session.server == server):
                return
            self._session = self._join(server, self._hello)
            if self._joined_before:
                self._catch_up(server)
            self._joined_before = True

    def _join(self, server: Running, hello: dict[str, Any]) -> Session:
        body = {"jsonrpc": "2.0", "id": "madrox-mcp", "method": "initialize", "params": hello}
        with Exchange("POST", server.url, _to(server), json.dumps(body).encode()) as exchange:
            if exchange.status == 401:
                raise Unreachable("it does not know our token")
            [answer, *_] = [*map(json.loads, exchange.messages()), {}]
            if "result" not in answer:
                raise NotRunning(f"the server refused the handshake: {answer.get('error', exchange.status)}")
            session = Session(server, exchange.header("Mcp-Session-Id"), answer["result"]["protocolVersion"])
        headers = _to(server) | {"Mcp-Session-Id": session.id, "MCP-Protocol-Version": session.version}
        ready = b'{"jsonrpc":"2.0","method":"notifications/initialized"}'
        with Exchange("POST", server.url, headers, ready):
            return session

    def _catch_up(self, server: Running) -> None:
        """Subscribe again, and tell the client that all it knows may be different now."""
        for uri in tuple(self._subscribed):
            asks = {"jsonrpc": "2.0", "id": f"madrox-mcp {uri}", "method": "resources/subscribe"}
            body = json.dumps({**asks, "params": {"uri": uri}}).encode()
            with Exchange("POST", server.url, self._as_session(server), body) as exchange:
                for _ in exchange.messages():
                    pass
            self._say({"jsonrpc": "2.0", "method": "notifications/resources/updated", "params": {"uri": uri}})
        self._say({"jsonrpc": "2.0", "method": "notifications/resources/list_changed"})

    def _left(self, session: str) -> None:
        """The server does not know that session any more."""
        with self._joining:
            if self._session is not None and self._session.id == session:
                self._session = None

    def _listen(self) -> None:
        if not self._listening:
            self._listening = True
            self._begin(self._hear_the_server)

    def _hear_the_server(self) -> None:
        """What a server says unasked, for as long as there is a client; after a restart the new one's."""
        while not self._closing.is_set():
            try:
                server = self._servers.current()
                headers = self._headers(server, {})
                with Exchange("GET", server.url, headers | {"Accept": "text/event-stream"}) as exchange:
                    if exchange.status in (401, 404):
                        self._left(headers.get("Mcp-Session-Id", ""))
                    for data in exchange.messages() if exchange.status == 200 else ():
                        self._write(data)
            except (MadroxError, Unreachable, Broken) as exc:
                if isinstance(exc, Unreachable):
                    self._servers.lost(server)
            self._closing.wait(LOOK_SECONDS)

    # what the client gets

    def _fail(self, id_: object, code: int, message: str) -> None:
        self._say({"jsonrpc": "2.0", "id": id_, "error": {"code": code, "message": message}})

    def _say(self, message: dict[str, Any]) -> None:
        self._write(json.dumps(message).encode())

    def _write(self, message: bytes) -> None:
        try:
            with self._writing:
                self._output.write(one_line(message) + b"\n")
                self._output.flush()
        except (OSError, ValueError):  # nobody reads it any more
            self._broken()

    def _begin(self, what: Callable[..., object], *args: object) -> None:
        threading.Thread(target=what, args=args, daemon=True).start()


def _malformed(message: object) -> str:
    """What is wrong with a message as JSON-RPC, else nothing."""
    if isinstance(message, list):
        return "Invalid Request: batches are not part of this protocol; send one message a line"
    if not isinstance(message, dict):
        return "Invalid Request: a message is an object"
    id_, method = message.get("id"), message.get("method")
    if "id" in message and (isinstance(id_, bool) or not isinstance(id_, str | int)):
        return "Invalid Request: id is a text or a whole number"
    if "method" in message and not isinstance(method, str):
        return "Invalid Request: method is a text"
    if not isinstance(message.get("params", {}), dict):
        return "Invalid Request: params is an object"
    if "method" not in message and not ("id" in message and ("result" in message or "error" in message)):
        return "Invalid Request: neither a request nor an answer"
    return ""


def _version(message: dict[str, Any]) -> str:
    """The protocol version that a message of the stateless era says of itself, else nothing."""
    meta = (message.get("params") or {}).get("_meta")
    version = meta.get(f"{META}protocolVersion") if isinstance(meta, dict) else None
    return version if isinstance(version, str) else ""


def _known(message: dict[str, Any]) -> dict[str, Any] | None:
    """The result that is the same whoever serves, so that nobody has to."""
    version = _version(message)
    if message["method"] == "ping" and not version:
        return {}
    if message["method"] == "server/discover" and version in STATELESS:
        meta = message["params"]["_meta"]
        return discovered() if isinstance(meta.get(f"{META}clientCapabilities"), dict) else None
    return None


def _to(server: Running) -> dict[str, str]:
    return {
        "Authorization": f"Bearer {server.token}",
        "Accept": "application/json, text/event-stream",
        "Content-Type": "application/json",
    }


def _in_header(value: str) -> str:
    """As the protocol writes a value that is no plain header (2026-07-28, transports)."""
    if _PLAIN.fullmatch(value) and not value.startswith("=?base64?"):
        return value
    return f"=?base64?{base64.b64encode(value.encode('utf-8', 'surrogatepass')).decode()}?="


def tell(text: str) -> None:
    """A line for whoever reads the client's log of us."""
    sys.stderr.write(f"madrox mcp: {text}\n")
    sys.stderr.flush()
