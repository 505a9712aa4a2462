"""MCP servers that an agent can be given by name: ours, and those of the directory's `.mcp.json`.

    m.spawn("web", mcp_servers=["playwright", "memory"])
    m.spawn("web", mcp_servers=get_mcp_servers("playwright", "memory"))

Ours stand in `mcp_presets.toml`. What stands in `.mcp.json`, in Claude's shape, comes first.
"""

from __future__ import annotations

import json
import logging
import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any, Final

from . import environment, mcp_servers
from .errors import BadInput, nearest
from .harness import McpServer, claude_shape
from .mcp_servers import Servers

FILE: Final = Path(__file__).with_name("mcp_presets.toml")
PROJECT_FILE: Final = ".mcp.json"
WORKSPACE: Final = "MADROX_WORKSPACE"
"""Stands in a preset for the directory of the agent that is given it."""

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Preset:
    """One MCP server that has a name."""

    name: str
    server: McpServer
    source: str
    """`madrox_nb`, or the file in which it stands."""
    about: str = ""
    by: str = ""
    """Who makes it."""
    needs: str = ""
    instead_of: str = ""
    """The package that was used before, and why it is not any more."""

    @property
    def variables(self) -> tuple[str, ...]:
        """Variables of the environment that it can't do without, in the order of their mention."""
        names = (name for text in mcp_servers.texts(self.server) for name in environment.named(text))
        return tuple(dict.fromkeys(name for name in names if name != WORKSPACE))

    def missing(self, environ: Mapping[str, str]) -> tuple[str, ...]:
        """Those of them that `environ` lacks."""
        return tuple(name for name in self.variables if not environ.get(name))


def get_mcp_servers(*names: str, **overrides: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """The MCP servers of these names, as a table for `mcp_servers`. Secrets stay references.

    An override, by the server's name with `_` for `-`, takes the place of single keys:
    `get_mcp_servers("memory", memory={"env": {"MEMORY_FILE_PATH": "/data/memory.jsonl"}})`;
    one for a name that was not asked for adds a server. Raises `BadInput` for an unknown name.
    """
    found = claude_shape(named(names))
    for name, keys in overrides.items():
        meant = next((each for each in found if each.replace("-", "_") == name), name)
        if not isinstance(keys, Mapping):
            raise BadInput(f"get_mcp_servers: {name} is a table of keys such as args and env, not {keys!r}")
        found[meant] = {**found.get(meant, {}), **keys}
    return claude_shape(mcp_servers.servers(found, "get_mcp_servers"))


def wanted(given: object, cwd: Path | None = None) -> Servers:
    """What somebody means by `mcp_servers`: a table, its JSON text, or names of presets.

    Raises `BadInput` for what is none of these, with the nearest known name.
    """
    if isinstance(given, str):
        given = _read(given)
    if isinstance(given, Mapping):
        return mcp_servers.servers(given)
    if isinstance(given, list | tuple):
        return named(given, cwd)
    raise BadInput(f"mcp_servers={given!r}: a table of servers, its JSON text, or a list of presets' names")


def by_name(given: object) -> bool:
    """Whether `mcp_servers` only names servers, and says of none what is to be run."""
    return isinstance(_read(given) if isinstance(given, str) else given, list | tuple)


def _read(text: str) -> object:
    if text.lstrip()[:1] not in ("{", "["):
        return text.replace(",", " ").split()
    try:
        return json.loads(text)
    except ValueError as exc:
        raise BadInput(f"mcp_servers is no JSON: {exc}") from exc


def named(names: Iterable[object], cwd: Path | None = None) -> Servers:
    """The servers of these presets. Raises `BadInput` with the nearest known name."""
    known = presets(cwd)
    found = {}
    for name in names:
        if not isinstance(name, str) or name not in known:
            raise BadInput(
                f"there is no MCP preset {name!r}.{nearest(str(name), known)} Known: {', '.join(known)}. "
                "Another server is given as a table: its command, or its url"
            )
        found[name] = known[name].server
    return found


def presets(cwd: Path | None = None) -> dict[str, Preset]:
    """All that have a name, by it. One in the working directory's `.mcp.json` counts before ours."""
    return {**_ours(), **project(cwd or Path.cwd())}


@cache
def _ours() -> dict[str, Preset]:
    found = {}
    for name, table in tomllib.loads(FILE.read_text(encoding="utf-8")).items():
        server = mcp_servers.server(table.pop("server"), f"{FILE.name}: {name}")
        table.pop("checked")
        found[name] = Preset(name, server, "madrox_nb", **table)
    return found


def project(directory: Path) -> dict[str, Preset]:
    """The servers of `.mcp.json` in that directory. What is wrong in it is passed over with a warning."""
    path = directory / PROJECT_FILE
    try:
        servers = dict(json.loads(path.read_text(encoding="utf-8"))["mcpServers"])
    except FileNotFoundError:
        return {}
    except (OSError, ValueError, KeyError, TypeError) as exc:
        log.warning("%s can't be read: %s; it is passed over", path, exc)
        return {}
    found = {}
    for name, table in servers.items():
        try:
            found[mcp_servers.checked_name(name)] = _preset(name, table, path)
        except BadInput as exc:
            log.warning("%s: %s; that server is passed over", path, exc)
    return found


def _preset(name: str, table: object, path: Path) -> Preset:
    """Keys that mean something to other programs alone are passed over."""
    if isinstance(table, Mapping):
        if unknown := sorted(set(table) - set(mcp_servers.KEYS)):
            log.warning("%s: %s has %s, which mean nothing here", path, name, ", ".join(unknown))
        table = {key: value for key, value in table.items() if key in mcp_servers.KEYS}
    return Preset(name, _from(path.parent, mcp_servers.server(table, name)), str(path))


def _from(directory: Path, server: McpServer) -> McpServer:
    """`server` with its paths as they are meant in that directory: an agent works in another one."""

    def absolute(text: str) -> str:
        return str(directory / text) if text.startswith(("./", "../")) else text

    local = "/" in server.command and not server.command.startswith(("/", "$", "~"))
    command = str(directory / server.command) if local else server.command
    return replace(server, command=command, args=tuple(absolute(each) for each in server.args))
