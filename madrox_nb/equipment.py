"""What one agent is given besides what all have: MCP servers and variables of its environment.

As it is given, with references and secrets in it, it is known here alone, for as long as the
agent lives. The ledger has it without secrets; an agent that comes back from there finds
them in the environment again, or is told which it lacks. References are followed at each
start, so a secret that was renewed meanwhile is the new one.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from . import environment, mcp_servers, presets
from .errors import BadInput, Forbidden
from .events import PERSON, AgentSpawned
from .harness import Harness, McpServer
from .mcp_servers import Servers
from .processes import Equipment
from .tree import Agent

if TYPE_CHECKING:
    from .manager import Manager


@dataclass(frozen=True)
class Given:
    """Equipment as it was given, before references were followed."""

    servers: Servers = field(default_factory=dict)
    variables: Mapping[str, str] = field(default_factory=dict)


def recalled(recorded: AgentSpawned | Agent) -> Given:
    """What the ledger says was given, with references where secrets were."""
    found = json.loads(recorded.environment) if recorded.environment else {}
    variables = {name: environment.recalled(value) for name, value in found.items()}
    return Given(mcp_servers.recalled(recorded.mcp_servers), variables)


class Outfitter:
    """The equipment of one manager's agents."""

    def __init__(self, manager: Manager) -> None:
        self._manager = manager
        self._given: dict[str, Given] = {}

    def given(self, servers: object, variables: Mapping[str, Any] | None, by: str) -> Given:
        """What was asked for, checked. Raises `BadInput`, or `Forbidden` for what `by` may not give."""
        own = environment.variables(variables) if variables else {}
        if not self._may_all(by):
            if servers and not presets.by_name(servers):
                raise Forbidden(
                    f"{by} can't say what MCP servers run: that takes permissions='all'. "
                    "Name presets instead: list_mcp_presets, or ask the person"
                )
            environment.check_given_by(by, own, self._manager.environ)
        found = presets.wanted(servers) if servers else {}
        if not self._may_all(by) and (names := {*own} & mcp_servers.mentioned(found)):
            raise Forbidden(
                f"{by} can't give {min(names)}: it says what an MCP server of a preset may reach. "
                "Leave it out, or ask the person"
            )
        return Given(found, own)

    def _may_all(self, by: str) -> bool:
        return by == PERSON or self._manager.tree[by].permissions == "all"

    def recorded(self, given: Given) -> dict[str, Any]:
        """The fields of `AgentSpawned` that tell it, without secrets, which from now on are hidden."""
        self._hide(given)
        shown = {name: environment.kept(name, value) for name, value in given.variables.items()}
        fields = {
            "mcp_servers": mcp_servers.kept(given.servers),
            "environment": json.dumps(shown) if shown else "",
        }
        return {name: self._manager.redactor.text(text) for name, text in fields.items()}

    def _hide(self, given: Given) -> None:
        environ = {**self._manager.environ, **given.variables}
        hidden = mcp_servers.secrets(given.servers, environ)
        for name, value in given.variables.items():
            own = environment.expanded(value, self._manager.environ, set())
            if environment.is_secret(name, own):
                hidden[name] = own
            for each in environment.mentioned(value):
                if environment.is_secret(each, environ.get(each, "")):
                    hidden[each] = environ.get(each, "")
        for name, value in hidden.items():
            self._manager.redactor.add(name, value)

    def check(self, harness: str, given: Given, options: Mapping[str, str]) -> None:
        """Raises `BadInput` when a CLI of that harness can't be given it, or something is missing."""
        cls = self._manager.harnesses[harness]
        for name, server in given.servers.items():
            if not cls.features.mcp or server.transport not in cls.servers:
                takes = ", ".join(cls.servers) if cls.features.mcp else "none"
                raise BadInput(
                    f"{harness} can't be given the MCP server {name!r}, which is of the kind "
                    f"{server.transport}; it takes {takes}. Leave it out, or choose another harness"
                )
        self._followed(given, "/")
        _texts(cls, options, {**self._manager.environ, **given.variables})

    def keep(self, agent: str, given: Given) -> None:
        """Remember it for the next start of that agent."""
        self._given[agent] = given

    def forget(self, agent: str) -> None:
        self._given.pop(agent, None)

    def of(self, agent: Agent) -> Given:
        """What an agent was given: as we know it, else as the ledger does."""
        return self._given.get(agent.name) or recalled(agent)

    def equipment(self, agent: Agent) -> Equipment:
        """What it is started with. Raises `BadInput` naming what is missing."""
        given = self.of(agent)
        self._hide(given)
        found = self._followed(given, agent.workspace)
        options = json.loads(agent.options) if agent.options else {}
        cls, environ = self._manager.harnesses[agent.harness], {**self._manager.environ, **found.variables}
        return replace(found, texts=_texts(cls, options, environ))

    def _followed(self, given: Given, workspace: str) -> Equipment:
        """`given` with what its references stand for."""
        environ, missing = self._manager.environ, set[str]()
        own = {name: environment.expanded(text, environ, missing) for name, text in given.variables.items()}
        environment.check_missing("environment_vars", missing)
        environ = {**environ, **own, presets.WORKSPACE: workspace}
        servers = mcp_servers.expanded(given.servers, environ)
        path = environ.get("PATH")
        return Equipment(own, {name: _found(name, server, path) for name, server in servers.items()})


def _texts(cls: type[Harness], options: Mapping[str, str], environ: Mapping[str, str]) -> dict[str, str]:
    """What stands in the files that options name. Raises `BadInput`."""
    found = {}
    for option, path in cls.files_of(options, environ).items():
        try:
            found[option] = Path(path).read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as exc:
            raise BadInput(f"{cls.name}: {option}={options[option]!r} is read from {path}: {exc}") from exc
    return found


def _found(name: str, server: McpServer, path: str | None) -> McpServer:
    """`server` with the full path of its program, which some CLIs ask for. Raises `BadInput`."""
    if server.transport != "stdio":
        return server
    program = shutil.which(str(Path(server.command).expanduser()), path=path)
    if program is None:
        raise BadInput(
            f"the MCP server {name!r} is started by {server.command!r}, and there is no such program. "
            "Install it, or write its full path"
        )
    return replace(server, command=str(Path.cwd() / program))
