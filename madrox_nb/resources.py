"""What an MCP client may read and follow: the tree, each agent, what it said, the record.

Each is what a tool returns, read by its address, so that a client can show it to a person
or hand it to a model without a call. Who may see what is as with the tools.
"""

from __future__ import annotations

import asyncio
import json
from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import quote, unquote

from .calls import Call, may_see, sees
from .errors import BadInput
from .events import (
    PERSON,
    AgentReady,
    AgentSpawned,
    AgentStopped,
    AgentSuspended,
    ApprovalAnswered,
    ApprovalAsked,
    Entry,
    ToolCalled,
    ToolReturned,
    TurnEnded,
    TurnSaid,
    TurnStarted,
)
from .tools import seeing
from .tools.telling import clipped
from .tree import Tree

TREE: Final = "madrox://tree"
AUDIT: Final = "madrox://audit"
AGENT: Final = "madrox://instances/{id}"
TRANSCRIPT: Final = "madrox://instances/{id}/transcript"

MOST_ENTRIES: Final = 200
"""Entries of the record that one reading returns, the newest."""
LONGEST_FIELD: Final = 2000
"""Characters of one field of an entry; a long one loses its middle."""


@dataclass(frozen=True)
class Resource:
    """One thing to read. `uri` of a template holds `{id}`."""

    uri: str
    name: str
    description: str
    mime: str


ALWAYS: Final = (
    Resource(TREE, "tree", "All agents: who is whose child, what state each is in.", "text/plain"),
    Resource(
        AUDIT,
        "audit",
        f"The newest {MOST_ENTRIES} entries of the record, one JSON object a line: who was spawned, asked, "
        "answered, stopped, and what it cost.",
        "application/x-ndjson",
    ),
)
TEMPLATES: Final = (
    Resource(AGENT, "instance", "One agent: its state, turn, inbox, tokens and cost.", "application/json"),
    Resource(
        TRANSCRIPT,
        "transcript",
        "What was said to and by an agent and which tools it used, the newest 20,000 characters.",
        "text/plain",
    ),
)


def listed(tree: Tree, caller: str) -> Iterator[Resource]:
    """All that `caller` may read now."""
    yield from ALWAYS
    for agent in tree:
        if sees(tree, caller, agent.name):
            for each in TEMPLATES:
                uri = _of(each.uri, agent.name)
                yield Resource(uri, f"{agent.name} {each.name}", each.description, each.mime)


async def read(call: Call, uri: str) -> tuple[str, str]:
    """(media type, text) of a resource. Raises `BadInput` or `Forbidden`."""
    resource, agent = checked(call.manager.tree, call.caller, uri)
    if resource.uri == TREE:
        text = (await seeing.get_instance_tree(call)).text
    elif resource.uri == AUDIT:
        text = await asyncio.to_thread(_record, call)
    elif resource.uri == AGENT:
        text = json.dumps(dict((await seeing.get_instance_status(call, agent)).data), indent=1)
    else:
        text = (await seeing.get_instance_output(call, agent)).text
    return resource.mime, text


def checked(tree: Tree, caller: str, uri: str) -> tuple[Resource, str]:
    """The resource or template that `uri` names, and whose; empty for nobody's.

    Raises `BadInput` when there is none, and `Forbidden` when `caller` may not look there.
    """
    for resource in ALWAYS:
        if uri == resource.uri:
            return resource, ""
    root, _, rest = uri.partition("madrox://instances/")
    name, slash, what = rest.partition("/")
    if root or not name or (slash and what != "transcript"):
        raise BadInput(f"there is no resource {uri}. Known: {TREE}, {AUDIT}, {AGENT}, {TRANSCRIPT}")
    agent = may_see(tree, caller, unquote(name))
    return TEMPLATES[1 if slash else 0], agent.name


def _of(template: str, agent: str) -> str:
    return template.replace("{id}", quote(agent, safe=""))


def _record(call: Call) -> str:
    """Entries about those that the caller may see, and about the run itself."""
    tree, caller = call.manager.tree, call.caller
    seen = {"", caller, *(agent.name for agent in tree if sees(tree, caller, agent.name))}
    mine = (entry for entry in call.manager.ledger if caller == PERSON or entry.event.agent in seen)
    return "\n".join(_lines(deque(mine, MOST_ENTRIES)))


def _lines(entries: Iterable[Entry]) -> Iterator[str]:
    for entry in entries:
        fields: dict[str, Any] = json.loads(entry.to_line())
        short = {
            name: clipped(value, LONGEST_FIELD) if isinstance(value, str) else value
            for name, value in fields.items()
        }
        yield json.dumps(short, ensure_ascii=False)


# what changes


def touched(entry: Entry) -> Iterator[str]:
    """The resources that read differently after `entry`."""
    event, kind = entry.event, type(entry.event)
    yield AUDIT
    if kind in _MOVES:
        yield TREE
    if event.agent not in ("", PERSON):
        yield _of(AGENT, event.agent)
        if kind in _SPOKEN:
            yield _of(TRANSCRIPT, event.agent)
    parent = getattr(event, "parent", None)
    if kind is AgentSpawned and parent:
        yield _of(AGENT, parent)


_SPOKEN: Final = frozenset({AgentSpawned, TurnStarted, TurnSaid, ToolCalled, ToolReturned, TurnEnded})
_MOVES: Final = frozenset(
    {AgentSpawned, AgentReady, AgentSuspended, AgentStopped, TurnStarted, TurnEnded}
    | {ApprovalAsked, ApprovalAnswered}
)
"""What changes the state of an agent, which is what the tree shows."""
