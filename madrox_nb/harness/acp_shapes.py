"""How agents say things in the Agent Client Protocol: messages, tool calls, choices, counts, errors.

The protocol leaves much of it open, and each agent fills it in its own way. What one of them
says in a place of its own is read here, so that `acp.py` has one kind of everything.
"""

from __future__ import annotations

import contextlib
import json
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field

from . import Brief, McpServer, Unreadable
from .acp_lines import Line
from .json_lines import Json, line_of, object_of

AUTH_REQUIRED = -32000

READING = ("read", "search")
"""Kinds of tool calls that only read."""
OURS = ("mcp__madrox__", "mcp_madrox_", "madrox_")
"""How the names of our tools begin, as the CLIs spell them."""
UNASKED = {
    "yolo",
    "auto",
    "autoedit",
    "auto-edit",
    "auto_edit",
    "smart_approve",
    "acceptedits",
    "dontask",
    "bypasspermissions",
    "autopilot",
    "full-access",
    "agent-full-access",
}
"""Session modes in which an agent acts without asking, in lower case, without the address before a `#`."""


# how a message looks


def rpc(**message: object) -> str:
    return line_of(jsonrpc="2.0", **message)


def outcome_of(request: int | str, option: str = "") -> str:
    """The answer to a question; without an option, that nobody will choose any more."""
    chosen = {"outcome": "selected", "optionId": option} if option else {"outcome": "cancelled"}
    return rpc(id=request, result={"outcome": chosen})


def message_of(line: str) -> Json:
    message = object_of(line)
    if not {"method", "result", "error"} & message.keys():
        raise Unreadable("neither a request nor an answer")
    return message


# what a tool call is


@dataclass
class Call:
    """One tool call, as far as its messages have told."""

    id: str
    name: str = ""
    """The tool's own name, when a member tells it that the model can't fill."""
    title: str = ""
    kind: str = ""
    status: str = ""
    paths: tuple[str, ...] = ()
    given: Json = field(default_factory=dict)
    about: str = ""
    """What was said of it before it began."""
    changes: tuple[Json, ...] = ()
    """What it would change: each file before and after, as the CLI tells it."""
    output: str = ""
    told: bool = False
    over: bool = False

    @property
    def tool(self) -> str:
        return self.name or self.kind or "other"

    @property
    def ours(self) -> bool:
        return self.name.startswith(OURS)

    @property
    def done(self) -> bool:
        return self.status in ("completed", "failed")

    @property
    def input(self) -> Json:
        """Its arguments; of one that does not tell them, or its name, what it is about."""
        about = {"title": self.title, "paths": list(self.paths), "text": self.about}
        said = {name: value for name, value in about.items() if value}
        given = self.given if self.given and self.name else {**said, **self.given}
        # one that tells a patch tells the same twice
        return {**given, "changes": list(self.changes)} if self.changes and "diff" not in given else given

    def learn(self, update: Json, line: Line, *, asks: bool) -> None:
        """Members that an update leaves out or empty stay as they were."""
        self.name = self.name or _name(update, line)
        self.title = update.get("title") or self.title
        self.kind = update.get("kind") or self.kind
        self.status = update.get("status") or self.status
        self.paths = tuple(place["path"] for place in update.get("locations") or ()) or self.paths
        if isinstance(given := update.get("rawInput"), Mapping) and given:
            self.given = given
        self.changes = () if self.done else tuple(_changes(update)) or self.changes
        text = _text(update)
        if self.done or (self.told and not asks):
            self.output = text or self.output
        else:
            self.about = text or self.about

    def touches(self, workspace: str) -> tuple[str, ...] | None:
        """The paths it would read or edit, when that is all it would do."""
        if self.kind == "search" and not self.paths and "pattern" in self.given:  # files, not the web
            return (str(self.given.get("path") or workspace),)
        return self.paths or None if self.kind in (*READING, "edit") else None


# what a call says


def _name(update: Json, line: Line) -> str:
    """The tool's own name. A title is none with most: the model may have written it."""
    said = update.get("name") or ((update.get("_meta") or {}).get("claudeCode") or {}).get("toolName")
    if said:
        return str(said)
    if line.tool_in_id:
        found = re.match(line.tool_in_id, update["toolCallId"])
        return found["tool"] if found else ""
    begun = line.tool_in_title and update.get("sessionUpdate") == "tool_call"
    return str(update["title"]) if begun else ""


def _text(update: Json) -> str:
    """What a tool call says of its result, or of itself."""
    said = "\n".join(map(_piece, update.get("content") or ()))
    raw = update.get("rawOutput")
    if said or raw is None:
        return said
    return raw if isinstance(raw, str) else json.dumps(raw, ensure_ascii=False)


def _changes(update: Json) -> Iterator[Json]:
    for piece in update.get("content") or ():
        match piece:
            case {"type": "diff", "path": str(path), "newText": str(new)}:
                yield {"path": path, "oldText": piece.get("oldText"), "newText": new}


def _piece(content: Json) -> str:
    match content:
        case {"type": "content", "content": {"type": "text", "text": str(text)}}:
            return text
        case {"type": "content", "content": {"type": kind}}:
            return f"[{kind}]"
        case {"type": "diff", "path": path}:
            return f"[changes {path}]"
        case {"type": kind}:
            return f"[{kind}]"
    return ""


# what a session lets us choose


@dataclass(frozen=True)
class Choice:
    """Something that a session lets us choose: its mode, its model."""

    current: str
    offered: tuple[str, ...]
    method: str
    params: Json
    key: str
    """The parameter that takes what is chosen."""

    def asking(self, usual: str) -> str:
        """Of modes, the one in which it asks: `usual` if it is there. Empty when there is none."""
        for wanted in (usual, "default", "ask", self.current):
            if wanted in self.offered and not unasked(wanted):
                return wanted
        return next((each for each in self.offered if not unasked(each)), "")

    def taking(self, session: str, value: str) -> Json:
        """The parameters that choose `value`."""
        return {"sessionId": session, **self.params, self.key: value}


def choice(opened: Json, kind: str) -> Choice | None:
    """By the newer `configOptions`, else by the older `modes` and `models`."""
    for option in opened.get("configOptions") or ():
        if option.get("category") == kind and "options" in option:
            offered = tuple(_values(option["options"]))
            params = {"configId": option["id"]}
            return Choice(option["currentValue"], offered, "session/set_config_option", params, "value")
    if not (state := opened.get(f"{kind}s")):
        return None
    name = kind.title()
    key = "id" if kind == "mode" else "modelId"
    offered = tuple(each[key] for each in state[f"available{name}s"])
    return Choice(state[f"current{name}Id"], offered, f"session/set_{kind}", {}, f"{kind}Id")


def _values(options: Iterable[Json]) -> Iterator[str]:
    """They may stand in groups."""
    for option in options:
        if "options" in option:
            yield from _values(option["options"])
        else:
            yield option["value"]


def unasked(mode: str) -> bool:
    return mode.rpartition("#")[2].lower() in UNASKED


Options = tuple[tuple[str, str], ...]
"""The kind and the id of each way to answer a question."""


def options_of(asked: Json) -> Options:
    return tuple((str(option["kind"]), str(option["optionId"])) for option in asked["options"])


def option(options: Options, kinds: Iterable[str]) -> str:
    """The first option of the first of `kinds` that there is; empty when there is none."""
    ids = dict(reversed(options))
    return next((ids[kind] for kind in kinds if kind in ids), "")


# how it says what went wrong


def in_words(error: Json, line: Line) -> str:
    """An error in words: some put the vendor's whole answer into the message, or the cause beside it."""
    said, data = str(error.get("message") or f"error {error.get('code')}"), error.get("data")
    with contextlib.suppress(KeyError, RecursionError, TypeError, ValueError):
        said = str(json.loads(said)["error"]["message"])
    cause = data.get("details") if isinstance(data, Mapping) else data
    said = f"{said}: {cause}" if cause and str(cause) not in said else said
    return f"{said}. It is not logged in: {line.login}" if error.get("code") == AUTH_REQUIRED else said


# what an agent offers


def takes(can: Json, transport: str) -> bool:
    """Whether an agent takes MCP servers of that kind; programs are taken by every one."""
    return transport == "stdio" or bool((can.get("mcpCapabilities") or {}).get(transport))


def not_taken(brief: Brief, can: Json) -> str:
    """Why one of the MCP servers can't be given to an agent; empty when all can."""
    for name, server in brief.mcp_servers.items():
        if not takes(can, server.transport):
            return f"takes no MCP server over {server.transport.upper()}, as {name!r} is one: leave it out"
    return ""


def server_of(name: str, server: McpServer) -> Json:
    """An MCP server as `session/new` takes it."""
    if server.transport == "stdio":
        program = {"command": server.command, "args": list(server.args), "env": _named(server.env)}
        return {"name": name, **program}
    return {"type": server.transport, "name": name, "url": server.url, "headers": _named(server.headers)}


def _named(values: Mapping[str, str]) -> list[Json]:
    return [{"name": name, "value": value} for name, value in values.items()]


def way(brief: Brief, loads: bool, may: Json) -> str:
    """The method that gives us the session we want; empty when there is none."""
    if not brief.resume:
        return "session/new"
    if brief.fork:
        return "session/fork" if may.get("fork") is not None else ""
    if may.get("resume") is not None:  # it replays no history
        return "session/resume"
    return "session/load" if loads else ""
