"""How agents and what was said are shown to a model, as text, and to a program, as data."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from ..activity import argument
from ..budget import LIMITS, NO_LIMIT, SHAPES
from ..calls import LIMIT_ARGUMENTS, Result
from ..errors import BadInput
from ..folds import Said
from ..logbook import stamp
from ..tree import Agent

if TYPE_CHECKING:
    from ..manager import Manager

iso = stamp

_MILLION = 1e6

LONGEST_OUTPUT = 20_000
"""Characters of a transcript that one call returns; Claude moves longer texts to a file."""


def spawned_result(agent: Agent) -> Result:
    child = f", child of {agent.parent}" if agent.parent else ""
    text = f"spawned {agent.name} ({agent.role}, {agent.harness}{child}): {agent.state}"
    text += f", on the branch {agent.branch}" if agent.branch else ""
    data = {**brief_of(agent), "status": agent.state, "workspace": agent.workspace, "branch": agent.branch}
    return Result(text, data)


def brief_of(agent: Agent) -> dict[str, Any]:
    return {
        "instance_id": agent.name,
        "name": agent.name,
        "state": agent.state,
        "role": agent.role,
        "harness": agent.harness,
        "instance_type": agent.harness,
        "model": agent.model,
        "parent": agent.parent,
    }


def status_of(manager: Manager, agent: Agent) -> dict[str, Any]:
    usage = manager.costs.of(agent.name)
    return {
        **brief_of(agent),
        "since": iso(agent.since),
        "reason": agent.reason,
        "turn": agent.turn,
        "turns": agent.turns,
        "current_tools": [tool for _, tool in agent.tools],
        "queued": manager.inboxes.queued(agent.name),
        "unread": len(manager.inboxes.unread(agent.name)),
        "children": [child.name for child in manager.tree.children(agent.name)],
        "permissions": agent.permissions,
        "workspace": agent.workspace,
        "tokens": usage.tokens,
        "cost_usd": number(usage.known_usd),
        "total_tokens_used": usage.tokens,
        "total_cost": usage.cost_usd,
        "cost_is_lower_bound": not usage.exact,
        **limits_of(manager, agent.name),
    }


def limits_of(manager: Manager, name: str) -> dict[str, Any]:
    """The limits that stand on `name`, what it may still use, and which one stops it."""
    budget, now = manager.budget, manager.spending.now()
    own = budget.limits.get(name, {})
    left = {what: budget.left(name, what, now) for what in LIMITS if what not in SHAPES}
    holding = budget.holding(name, now)
    return {
        "limits": {LIMIT_ARGUMENTS[what]: own[what].amount for what in LIMITS if what in own},
        "left": {LIMIT_ARGUMENTS[what]: amount for what, amount in left.items() if amount != NO_LIMIT},
        "limit_reached": f"{holding.holder or 'the run'} has used {holding}" if holding else "",
    }


def line_of(agent: Agent, caller: str) -> str:
    """`name (id) [state] (type)`, as scripts know it, and the role. An agent's name is its id."""
    you = " ← you" if agent.name == caller else ""
    return f"{agent.name} ({agent.name}) [{agent.state}] ({agent.harness}) {agent.role}{you}"


def doing_now(agent: Agent) -> str:
    if agent.tools:
        return f", uses {', '.join(tool for _, tool in agent.tools)}"
    return f", {agent.reason}" if agent.reason else ""


def waited_for(manager: Manager, agent: Agent) -> list[str]:
    """What an agent waits for: answers to its requests and its questions, and who is at work below it."""
    asked = manager.approvals.asked
    approvals = [
        f"an answer to {each}: may it use {asked[each].tool} {argument(asked[each].input)}".rstrip()
        for each in agent.approvals
        if each in asked
    ]
    tickets = [t for t in manager.mail.open_tickets() if t.sender == agent.name and t.asks]
    questions = [f"{t.agent}, which it asked {t.id}" for t in tickets]
    told = {t.agent for t in tickets}
    children = [
        f"{child.name}, its child, at work on {child.turn}"
        for child in manager.tree.children(agent.name)
        if child.turn and child.name not in told
    ]
    return [*approvals, *questions, *children]


def drawn(
    below: Mapping[str | None, list[Agent]], caller: str, parent: str | None = None, stem: str = ""
) -> Iterator[str]:
    agents = below.get(parent, [])
    for agent in agents:
        last = agent is agents[-1]
        twig, more = ("", "") if parent is None else ("└── ", "    ") if last else ("├── ", "│   ")
        yield f"{stem}{twig}{line_of(agent, caller)}"
        yield from drawn(below, caller, agent.name, stem + more)


def node_of(manager: Manager, agent: Agent) -> dict[str, Any]:
    """An agent in the tree, also by the names that Madrox's users know there."""
    used = manager.costs.of(agent.name)
    return {
        **brief_of(agent),
        "id": agent.name,
        "type": agent.harness,
        "parent_id": agent.parent,
        "root_instance_id": [agent.name, *manager.tree.above(agent.name)][-1],
        "created_at": iso(manager.activity[agent.name].born),
        "total_tokens": used.tokens,
        "total_cost": used.cost_usd,
        "request_count": agent.turns,
    }


def nested(
    below: Mapping[str | None, list[Agent]],
    nodes: Mapping[str, Mapping[str, Any]],
    parent: str | None = None,
) -> list[dict[str, Any]]:
    return [
        {**nodes[agent.name], "children": nested(below, nodes, agent.name)} for agent in below.get(parent, [])
    ]


def newest(said: list[Said], room: int = LONGEST_OUTPUT) -> list[Said]:
    """The newest that fit into `room` characters, oldest first; a long one loses its middle."""
    shown: list[Said] = []
    longest = room // 4
    for each in reversed(said):
        text = clipped(each.text, longest)
        room -= len(text) + len(each.who) + 40
        if room < 0:
            break
        shown.append(Said(each.ts, each.turn, each.who, each.what, text))
    return shown[::-1]


def clipped(text: str, longest: int) -> str:
    if len(text) <= longest:
        return text
    half = longest // 2
    return f"{text[:half]}\n[… {len(text) - 2 * half:,} characters are left out here …]\n{text[-half:]}"


def as_time(text: str | None, argument: str = "since") -> datetime | None:
    """A time that a caller wrote; without a zone it is UTC. Raises `BadInput`, naming the `argument`."""
    if text is None:
        return None
    try:
        time = datetime.fromisoformat(text)
        return time.astimezone(UTC) if time.tzinfo else time.replace(tzinfo=UTC)
    except (ValueError, OverflowError):  # the latter where a zone leads out of the calendar
        raise BadInput(f"{argument}={text!r} is no time. Write it as 2026-01-31T12:00:00Z") from None


def fitting(lines: list[str], longest: int = LONGEST_OUTPUT) -> tuple[list[str], int]:
    """The newest lines that fit into `longest` characters, and how many older ones did not."""
    room = longest
    for number, line in enumerate(reversed(lines)):
        room -= len(line) + 1
        if room < 0:
            kept = lines[len(lines) - number :] or [clipped(lines[-1], longest)]
            return kept, len(lines) - len(kept)
    return lines, 0


def number(value: float) -> float | None:
    """JSON has no NaN: what nobody knows is null."""
    return None if math.isnan(value) else value


def _amount(number: float) -> str:
    """`9,000,000` and `29.992`; never 9e+06."""
    return f"{number:,.0f}" if number >= _MILLION else f"{number:,.6g}"


def in_words(value: object) -> str:
    if isinstance(value, Mapping):
        return ", ".join(f"{name} {_amount(each)}" for name, each in value.items()) or "–"
    if isinstance(value, list):
        return ", ".join(map(str, value)) or "–"
    return "unknown" if value is None else str(value) or "–"
