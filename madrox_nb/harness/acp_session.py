"""How an ACP agent comes to its session: the handshake, the way to it, its mode and its model."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from functools import partial

from ..events import AgentReady, AgentStopped, Notice
from . import Brief, Item, McpServer, Write
from .acp_lines import Line
from .acp_shapes import Choice, choice, in_words, not_taken, server_of, takes, way
from .json_lines import Json

SPOKEN = 1
"""The version of the protocol."""
SERVER = "madrox"
"""Our name as an MCP server."""
CLIENT = {"name": "madrox", "title": "Madrox", "version": "1"}
NOTHING = {"fs": {"readTextFile": False, "writeTextFile": False}, "terminal": False}
"""What we offer to do for the agent: it has hands of its own."""

Answered = Callable[[Json], Iterable[Item]]
"""What the answer to a request means."""
Request = Callable[[str, Json, Answered, Answered], str]
"""The line of a request: its method, its parameters, and what a result and an error mean."""
Step = tuple[str, str, Json]
"""Of the settling in: what it does in words, the method, its parameters."""


class Session:
    """One agent's session, from the first word until the agent is ready."""

    def __init__(self, brief: Brief, line: Line, request: Request) -> None:
        self.brief, self.line, self._request = brief, line, request
        self.id = ""
        self.model = brief.model
        self.untold = ""
        """Instructions that it has not heard."""
        self._version: str | None = None

    def greet(self) -> str:
        hello = {"protocolVersion": SPOKEN, "clientCapabilities": NOTHING, "clientInfo": CLIENT}
        return self._request("initialize", hello, self._met, partial(self._unfit, "refused the handshake"))

    def _met(self, agent: Json) -> Iterator[Item]:
        if (version := agent["protocolVersion"]) != SPOKEN:
            yield self._stop(
                f"speaks version {version} of the Agent Client Protocol, and madrox version {SPOKEN}: "
                "another version of the CLI may help"
            )
            return
        self._version = (agent.get("agentInfo") or {}).get("version")
        can = agent.get("agentCapabilities") or {}
        if unfit := not_taken(self.brief, can):
            yield self._stop(unfit)
            return
        if self.brief.mcp_url and not takes(can, "http"):
            deaf = f"{self.line.name} takes no MCP server over HTTP: it has no madrox tools"
            yield Notice(agent=self.brief.agent, text=deaf)
        yield self._open(can)

    def _open(self, can: Json) -> Item:
        brief, may = self.brief, can.get("sessionCapabilities") or {}
        method = way(brief, bool(can.get("loadSession")), may)
        if not method:
            verb = "fork" if brief.fork else "go on with"
            return self._stop(f"can't {verb} a session: leave that out, and begin a new one")
        params: dict[str, object] = {"cwd": brief.workspace, "mcpServers": self._servers(can)}
        if brief.resume:
            params["sessionId"] = brief.resume
        if brief.instructions and may.get("systemPrompt") is not None:
            content = [{"type": "text", "text": brief.instructions}]
            params["systemPrompt"] = {"mode": "append", "content": content}
        elif brief.fork or not brief.resume:  # who goes on has heard them
            self.untold = brief.instructions
        return Write(
            line=self._request(method, params, self._opened, partial(self._unfit, f"refused {method}"))
        )

    def _servers(self, can: Json) -> list[Json]:
        brief = self.brief
        others = [server_of(name, server) for name, server in brief.mcp_servers.items()]
        if not brief.mcp_url or not takes(can, "http"):
            return others
        headers = {"Authorization": f"Bearer {brief.mcp_token}"}
        ours = McpServer(transport="http", url=brief.mcp_url, headers=headers)
        return [server_of(SERVER, ours), *others]

    def _opened(self, opened: Json) -> Iterator[Item]:
        self.id = opened.get("sessionId") or self.brief.resume
        mode, model = choice(opened, "mode"), choice(opened, "model")
        if mode and not mode.asking(self.line.mode):
            yield self._stop(f"has no session mode that asks before it acts, only {', '.join(mode.offered)}")
        elif self.brief.model and model is None:
            yield self._stop(
                "can't be told which model to use: leave it out, and choose it in its own settings"
            )
        else:
            yield from self._settle(list(self._steps(mode, model)))

    def _steps(self, mode: Choice | None, model: Choice | None) -> Iterator[Step]:
        if mode and (asking := mode.asking(self.line.mode)) != mode.current:
            yield f"can't be put into the mode {asking!r}", mode.method, mode.taking(self.id, asking)
        if model is None:
            return
        self.model = self.brief.model or model.current
        if self.model != model.current:
            known = ", ".join(model.offered) or "none"
            what = f"can't use the model {self.model!r} (it offers {known})"
            yield what, model.method, model.taking(self.id, self.model)

    def _settle(self, steps: list[Step], _: Json | None = None) -> Iterator[Item]:
        if not steps:
            yield AgentReady(agent=self.brief.agent, session=self.id, model=self.model, version=self._version)
            return
        (what, method, params), *left = steps
        yield Write(
            line=self._request(method, params, partial(self._settle, left), partial(self._unfit, what))
        )

    def _unfit(self, what: str, error: Json) -> Iterator[Item]:
        yield self._stop(f"{what}: {in_words(error, self.line)}")

    def _stop(self, reason: str) -> AgentStopped:
        return AgentStopped(agent=self.brief.agent, reason=f"{self.line.name} {reason}", failed=True)
