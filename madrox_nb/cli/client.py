"""The way to the madrox that runs: a kernel's, or that of `madrox serve`.

It is found by the private file that it published (`runtime`), and asked over the same
REST face as anybody's program: `POST /tools/execute` with `{tool, arguments}`, answered by
`{text, data}` or `{error: {type, message}}`. Standard library only, so that a command
line is quick.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from http.client import HTTPConnection, HTTPException, HTTPSConnection
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

from ..errors import BadInput, MadroxError, NotRunning
from ..runtime import Running, find, servers
from .wording import in_commands

CONNECT_SECONDS: Final = 5.0
PATIENCE: Final = 30.0
"""Seconds that a call may take which need not wait for an agent."""

HOW_TO_START: Final = """\
Start one
  in a terminal:  madrox serve
  in a notebook:  %load_ext madrox_nb
                  %madrox serve"""


@dataclass(frozen=True)
class Told:
    """What a tool returned: words for a person, data for a program."""

    text: str
    data: Mapping[str, Any]


class Refused(MadroxError):
    """The server's error, with its own `type`."""

    def __init__(self, type: str, message: str) -> None:  # noqa: A002 - as the server calls it
        self.type = type
        super().__init__(message)


@dataclass(frozen=True)
class Client:
    """One running madrox."""

    running: Running

    def execute(self, tool: str, arguments: Mapping[str, Any], *, wait: float = 0) -> Told:
        """Call a tool in the person's name. `wait`: seconds that it may wait for an agent.

        None in the arguments means that nothing was said. Raises `Refused` with the
        tool's error, or `NotRunning` when nobody answers.
        """
        given = {name: value for name, value in arguments.items() if value is not None}
        body = json.dumps({"tool": tool, "arguments": given}).encode()
        headers = {"Content-Type": "application/json", "Authorization": f"Bearer {self.running.token}"}
        if wait:
            headers["Prefer"] = f"wait={wait:.0f}"  # RFC 7240: this client's patience
        status, answer = self._exchange("/tools/execute", body, headers, PATIENCE + wait)
        match status, answer:
            case 200, {"text": str(text), "data": dict(data)}:
                return Told(text, data)
        raise _refusal(status, answer, self.running)

    def _exchange(self, path: str, body: bytes, headers: dict[str, str], seconds: float) -> tuple[int, Any]:
        where = urlsplit(self.running.url)
        secure = where.scheme == "https"
        made = HTTPSConnection if secure else HTTPConnection
        connection = made(where.hostname or "127.0.0.1", where.port, timeout=CONNECT_SECONDS)
        try:
            connection.connect()
            connection.sock.settimeout(seconds)
            connection.request("POST", path, body, headers)
            response = connection.getresponse()
            return response.status, _parsed(response.read())
        except TimeoutError:
            raise NotRunning(f"{_which(self.running)} does not answer; its madrox.log may say why") from None
        except (OSError, HTTPException) as exc:
            raise NotRunning(f"{_which(self.running)} can't be reached: {exc}") from exc
        finally:
            connection.close()


def reach(home: Path | None = None, pid: int | None = None) -> Client:
    """The madrox that is meant: by its home, its process, or where it works.

    Raises `NotRunning` when there is none, `BadInput` when several could be meant.
    """
    if pid is not None:
        named = [each for each in servers() if each.pid == pid]
        if not named:
            raise NotRunning(f"no madrox of yours listens in process {pid}. {_listed()}")
        return Client(named[0])
    home = home or (Path(given) if (given := os.environ.get("MADROX_HOME")) else None)
    if home is not None:
        named = [each for each in servers() if each.home == str(home.resolve())]
        if not named:
            raise NotRunning(f"no madrox with the home {home.resolve()} is running. {_listed()}")
        if len(named) == 1:
            return Client(named[0])
    try:
        running = find(home, strict=True)
    except BadInput as exc:
        raise BadInput(str(exc).replace("by its home, in MADROX_HOME,", "with --home or --pid,")) from None
    if running is None:
        raise NotRunning(f"no madrox is running. {HOW_TO_START}")
    return Client(running)


def _parsed(answer: bytes) -> Any:
    try:
        return json.loads(answer)
    except ValueError:
        return None


def _refusal(status: int, answer: Any, running: Running) -> MadroxError:
    error = answer.get("error") if isinstance(answer, dict) else None
    if status == 401:
        return NotRunning(
            f"{_which(running)} does not know the token that it published itself; it was perhaps just "
            "started again: try once more"
        )
    if status == 200:
        return NotRunning(f"{_which(running)} answered in a way that this version does not understand")
    if isinstance(error, dict):
        kind, message = str(error.get("type", "Error")), str(error.get("message", "no reason given"))
        return Refused(kind, message if kind == "TurnFailed" else in_commands(message))  # that is an agent's
    return Refused("Error", f"{_which(running)} answered with status {status}")


def _which(running: Running) -> str:
    return f"the madrox at {running.url} (process {running.pid}, home {running.home})"


def _listed() -> str:
    found = "".join(f"\n  {each.home}  (process {each.pid}, {each.url})" for each in servers())
    return f"Running are:{found}" if found else f"None is running at all. {HOW_TO_START}"
