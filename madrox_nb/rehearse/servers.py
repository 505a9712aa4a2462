"""MCP servers that this agent was given besides ours: programs at its pipes, and addresses.

They stand in the file that `MADROX_MCP_SERVERS_FILE` names, in the shape of `.mcp.json`. A
program is started by its first call and speaks JSON-RPC in lines (MCP 2025-06-18, "stdio");
it ends with us.
"""

from __future__ import annotations

import json
import os
import subprocess
from contextlib import suppress

from . import VERSION
from .client import Abandoned, Client, Result, Unreachable, result_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

PROTOCOL = "2025-06-18"


class Program:
    """An MCP server at the other end of two pipes. Any other thread may `abandon` a call."""

    def __init__(self, name: str, server: dict[str, Any]) -> None:
        self._name, self._calls, self._gone = name, 0, False
        argv = [server["command"], *server.get("args", ())]
        try:
            self._process = subprocess.Popen(
                argv,
                env={**os.environ, **server.get("env", {})},
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
            )
        except OSError as exc:
            raise Unreachable(f"the MCP server {name!r} cannot be started: {exc}") from exc

    def call(self, tool: str, arguments: dict[str, Any], unwanted: Callable[[], bool]) -> Result:
        """Call `tool` and wait as long as it takes.

        `unwanted` is asked when the call can be abandoned: see `Client.call`.
        """
        try:
            if unwanted():
                raise Abandoned
            self._greet()
            return result_of(self._request("tools/call", name=tool, arguments=arguments))
        except Unreachable as exc:
            if unwanted():
                raise Abandoned from exc
            raise

    def _greet(self) -> None:
        if not self._calls:
            client = {"name": "rehearsal", "version": VERSION}
            self._request("initialize", protocolVersion=PROTOCOL, capabilities={}, clientInfo=client)
            self._write(method="notifications/initialized")

    def abandon(self) -> None:
        """End the server: a call that nobody wants can't be left behind in its pipes."""
        self._gone = True
        with suppress(OSError):
            self._process.kill()

    @property
    def gone(self) -> bool:
        return self._gone or self._process.poll() is not None

    def _request(self, method: str, **params: Any) -> dict[str, Any]:
        self._calls += 1
        self._write(id=self._calls, method=method, params=params)
        assert self._process.stdout is not None
        for line in self._process.stdout:
            with suppress(ValueError):
                message = json.loads(line)
                if isinstance(message, dict) and message.get("id") == self._calls and "method" not in message:
                    return message
        raise Unreachable(f"the MCP server {self._name!r} ended without an answer to {method}")

    def _write(self, **message: Any) -> None:
        assert self._process.stdin is not None
        line = json.dumps({"jsonrpc": "2.0", **message}) + "\n"
        try:
            self._process.stdin.write(line.encode())
            self._process.stdin.flush()
        except OSError as exc:
            raise Unreachable(f"the MCP server {self._name!r} has ended: {exc}") from exc


_programs: dict[str, Program] = {}


def door_to(name: str) -> Program | Client:
    """The way to the server of that name. Raises `Unreachable`, with the names that there are."""
    known = given()
    if name not in known:
        raise Unreachable(f"there is no MCP server {name!r} here. Known: {', '.join(known) or 'none'}")
    server = known[name]
    if "url" in server:
        return Client(server["url"], "", server.get("headers", {}))
    if name not in _programs or _programs[name].gone:
        _programs[name] = Program(name, server)
    return _programs[name]


def given() -> dict[str, dict[str, Any]]:
    """The servers by name."""
    path = os.environ.get("MADROX_MCP_SERVERS_FILE", "")
    if not path:
        return {}
    try:
        with open(path, encoding="utf-8") as file:
            found: dict[str, dict[str, Any]] = json.load(file)["mcpServers"]
            return found
    except (OSError, ValueError, KeyError) as exc:
        raise Unreachable(f"the MCP servers in {path} cannot be read: {exc}") from exc
