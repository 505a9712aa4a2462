"""The MCP servers that an agent is given besides ours: their shape, their secrets. Pure.

The shape is that of Claude's `.mcp.json`, by name:

    {"command": "npx", "args": ["-y", "@playwright/mcp"], "env": {"TOKEN": "${TOKEN}"}}
    {"type": "http", "url": "https://…/mcp", "headers": {"Authorization": "Bearer ${TOKEN}"}}

`type` is stdio, http or sse. References (`environment.py`) may stand in every text.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from functools import partial
from typing import Any, Final
from urllib.parse import urlsplit

from . import environment
from .errors import BadInput, nearest
from .harness import McpServer, claude_shape

NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,63}")
OUR_NAME: Final = "madrox"
TRANSPORTS: Final = {
    "stdio": "stdio",
    "http": "http",
    "streamable-http": "http",
    "streamable_http": "http",
    "streamableHttp": "http",
    "sse": "sse",
}
KEYS: Final = ("type", "transport", "command", "args", "env", "url", "headers", "bearer_token")
_HEADER = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_UNSENDABLE = re.compile(r"[\0\r\n]")

Servers = dict[str, McpServer]


def servers(given: Mapping[str, Any], where: str = "mcp_servers") -> Servers:
    """`given`, checked, by name. A table below the key `mcpServers` is meant as such a table.

    Raises `BadInput` that names the server, the key and what is wrong.
    """
    if not isinstance(given, Mapping):
        raise BadInput(f"{where} is a table of servers by name, not {type(given).__name__}")
    if set(given) == {"mcpServers"}:
        given = given["mcpServers"]
    return {checked_name(name, where): server(given[name], f"{where}: {name}") for name in given}


def checked_name(name: object, where: str = "mcp_servers") -> str:
    if not isinstance(name, str) or not NAME.fullmatch(name):
        raise BadInput(
            f"{where}: {name!r} can't be a server's name: letters, digits, '-' and '_', at most 64"
        )
    if OUR_NAME in name.lower() or "__" in name:  # a rule for our tools must not fit those of others
        raise BadInput(f"{where}: {name!r} could be taken for another server's tools; choose another name")
    return name


def server(given: object, where: str) -> McpServer:
    """One server, checked. Raises `BadInput` that begins with `where`."""
    if isinstance(given, McpServer):
        return given
    if not isinstance(given, Mapping):
        raise BadInput(f'{where}: a table such as {{"command": "npx", "args": ["-y", "package"]}}')
    for key in given:
        if key not in KEYS:
            raise BadInput(f"{where} has a key {key!r}.{nearest(str(key), KEYS)} Known: {', '.join(KEYS)}")
    transport = _transport(given, where)
    if transport == "stdio":
        _no(given, ("url", "headers", "bearer_token"), where, "is started by a command")
        return McpServer(
            transport=transport,
            command=_text(given.get("command"), f"{where}: command"),
            args=tuple(_text(each, f"{where}: args", empty=True) for each in _list(given, "args", where)),
            env=_env(given.get("env") or {}, where),
        )
    _no(given, ("command", "args", "env"), where, "is reached at a url")
    return McpServer(transport=transport, url=_url(given.get("url"), where), headers=_headers(given, where))


def _transport(given: Mapping[str, Any], where: str) -> Any:
    said = given.get("type") or given.get("transport") or ("http" if given.get("url") else "stdio")
    if said not in TRANSPORTS:
        raise BadInput(
            f"{where}: type {said!r} is none.{nearest(str(said), TRANSPORTS)} Known: stdio, http, sse"
        )
    return TRANSPORTS[said]


def _no(given: Mapping[str, Any], keys: Iterable[str], where: str, why: str) -> None:
    if wrong := [key for key in keys if given.get(key)]:
        raise BadInput(f"{where} {why}, so {wrong[0]} means nothing there")


def _text(value: object, where: str, *, empty: bool = False) -> str:
    if empty and isinstance(value, int | float) and not isinstance(value, bool):
        value = str(value)
    if not isinstance(value, str) or not (value or empty):
        raise BadInput(f"{where} is a text, not {value!r}")
    if _UNSENDABLE.search(value):
        raise BadInput(f"{where} holds a line break or a NUL")
    return value


def _list(given: Mapping[str, Any], key: str, where: str) -> list[object]:
    value = given.get(key) or []
    if not isinstance(value, list | tuple):
        raise BadInput(f"{where}: {key} is a list of texts, not {value!r}")
    return list(value)


def _env(given: object, where: str) -> dict[str, str]:
    if not isinstance(given, Mapping):
        raise BadInput(f"{where}: env is a table of names and values, not {type(given).__name__}")
    for name in given:
        if not isinstance(name, str) or not environment.NAME.fullmatch(name):
            raise BadInput(f"{where}: {name!r} can't be a variable's name: letters, digits and '_'")
    return {name: _text(value, f"{where}: env {name}", empty=True) for name, value in given.items()}


def _url(value: object, where: str) -> str:
    url = _text(value, f"{where}: url")
    if not environment.refers(url) and not _leads_somewhere(url):
        raise BadInput(f"{where}: url {url!r} is none: it begins with http:// or https://, and names a host")
    return url


def _leads_somewhere(url: str) -> bool:
    try:
        parts = urlsplit(url)
    except ValueError:  # half an IPv6 address
        return False
    return parts.scheme in ("http", "https") and bool(parts.hostname)


def _headers(given: Mapping[str, Any], where: str) -> dict[str, str]:
    found = given.get("headers") or {}
    if not isinstance(found, Mapping):
        raise BadInput(f"{where}: headers is a table of names and values, not {type(found).__name__}")
    for name in found:
        if not isinstance(name, str) or not _HEADER.fullmatch(name):
            raise BadInput(f"{where}: {name!r} can't be a header's name")
    headers = {name: _text(value, f"{where}: header {name}") for name, value in found.items()}
    if token := given.get("bearer_token"):
        headers["Authorization"] = f"Bearer {_text(token, f'{where}: bearer_token')}"
    return headers


# with and without what they refer to


def each_text(one: McpServer, change: Callable[[str, str], str]) -> McpServer:
    """`one` with `change(name, text)` in place of every text; the name is a variable's or a header's."""
    return replace(
        one,
        command=change("", one.command),
        args=tuple(change("", each) for each in one.args),
        env={name: change(name, value) for name, value in one.env.items()},
        url=change("", one.url),
        headers={name: change(name, value) for name, value in one.headers.items()},
    )


def texts(one: McpServer) -> tuple[str, ...]:
    """All in which a reference may stand."""
    return (one.command, *one.args, *one.env.values(), one.url, *one.headers.values())


def mentioned(given: Servers) -> set[str]:
    """All variables that they refer to."""
    return {name for one in given.values() for text in texts(one) for name in environment.mentioned(text)}


def expanded(given: Servers, environ: Mapping[str, str]) -> Servers:
    """`given` with the values that it refers to.

    Raises `BadInput` naming the first server that lacks some, and all that it lacks.
    """
    found = {}
    for name, one in given.items():
        missing: set[str] = set()
        found[name] = each_text(one, partial(_value, environ=environ, missing=missing))
        environment.check_missing(f"the MCP server {name!r}", missing)
    return found


def _value(_: str, text: str, *, environ: Mapping[str, str], missing: set[str]) -> str:
    return environment.expanded(text, environ, missing)


def secrets(given: Servers, environ: Mapping[str, str]) -> dict[str, str]:
    """The values in `given` that are to be shown to nobody, under the names that stand for them."""
    found = {}
    for name, one in given.items():
        for header, value in one.headers.items():
            if environment.is_secret(header, value):
                found[_stands_for(name, header)] = value.removeprefix("Bearer ")
        found |= {each: value for each, value in one.env.items() if environment.is_secret(each, value)}
        for text in texts(one):
            for each in environment.mentioned(text):
                if environment.is_secret(each, environ.get(each, "")):
                    found[each] = environ.get(each, "")
    return {name: value for name, value in found.items() if not environment.refers(value)}


def kept(given: Servers) -> str:
    """`given` as JSON text that may be recorded: without the secrets that are written out in it."""
    return json.dumps(claude_shape({name: _kept(name, one) for name, one in given.items()})) if given else ""


def _kept(name: str, one: McpServer) -> McpServer:
    headers = {
        header: _redacted(value, _stands_for(name, header)) if _written_out(header, value) else value
        for header, value in one.headers.items()
    }
    env = {each: environment.kept(each, value) for each, value in one.env.items()}
    return replace(one, headers=headers, env=env)


def _written_out(header: str, value: str) -> bool:
    return environment.is_secret(header, value) and not environment.refers(value)


def _redacted(value: str, name: str) -> str:
    bearer = "Bearer " if value.startswith("Bearer ") else ""
    return f"{bearer}{{secret:{name}}}"


def _stands_for(server: str, header: str) -> str:
    """The variable from which a header's value is taken that was written out: `GITHUB_AUTHORIZATION`."""
    name = re.sub(r"[^A-Z0-9]+", "_", f"{server}_{header}".upper())
    return name if environment.NAME.fullmatch(name) else f"_{name}"


def recalled(text: str) -> Servers:
    """What `kept` recorded, with references where secrets were."""
    return servers(json.loads(environment.recalled(text))) if text else {}
