"""Tools that look: free, immediate, and they change nothing."""

from __future__ import annotations

import asyncio
from datetime import datetime
from typing import Annotated, Any

from ..calls import Call, Result, find, in_tools, may_see, sees, tool
from ..errors import BadInput, MadroxError
from ..events import PERSON
from ..folds import Said, transcript
from ..ledger import utc_now
from ..library import roles
from ..manager import Manager
from ..tree import Agent
from .arguments import Root, Who
from .telling import (
    LONGEST_OUTPUT,
    as_time,
    brief_of,
    clipped,
    doing_now,
    drawn,
    in_words,
    iso,
    line_of,
    nested,
    newest,
    node_of,
    status_of,
    waited_for,
)

LAST_WORDS = 1000
"""Characters of what an agent said last."""


@tool(read_only=True)
async def get_instance_tree(call: Call, root_instance_id: Root = None) -> Result:
    """Show all agents: who is whose child, what state each is in, its CLI and role. Free and immediate.

    One line each: `name (id) [state] (type) role`. The name is the id that the other tools take.
    """
    manager, tree = call.manager, call.manager.tree
    below: dict[str | None, list[Agent]] = {}
    for agent in tree:
        below.setdefault(agent.parent, []).append(agent)
    if root_instance_id is not None:
        below[None] = [tree[root_instance_id]]
    text = "\n".join(drawn(below, call.caller)) or "no agents yet: spawn_instance starts one"
    whose = tree if root_instance_id is None else tree.subtree(root_instance_id)
    flat = {agent.name: node_of(manager, agent) for agent in whose}
    return Result(
        text,
        {
            "tree": (roots := nested(below, flat)),
            "root_instances": roots,
            "instances": (all_ := list(flat.values())),
            "all_instances": all_,
            "total": len(flat),
            "total_instances": len(flat),
        },
    )


@tool(read_only=True)
async def get_children(
    call: Call, parent_id: Annotated[str | None, "Whose children; yours, when left out."] = None
) -> Result:
    """List the direct children of an agent that are alive, with their states. Free and immediate.

    Those that have ended are only named; get_agent_summary says what became of each.
    """
    tree, whose = call.manager.tree, parent_id or call.caller
    if whose != PERSON:
        may_see(tree, call.caller, whose)
    children = tree.children(None if whose == PERSON else whose)
    told = _told(call, children, f"{whose} has no children")
    return Result(told.text, {"parent": whose, "children": told.data["agents"], "ended": told.data["ended"]})


@tool(read_only=True)
async def get_peers(
    call: Call,
    instance_id: Annotated[str | None, "Whose siblings; yours, when left out."] = None,
) -> Result:
    """List the siblings of an agent that are alive: those with the same parent. Free and immediate.

    The agents at the top of the tree are siblings of one another.
    """
    tree, whose = call.manager.tree, instance_id or call.caller
    if whose == PERSON:
        raise BadInput("the person has no peers: say whose with instance_id, or see get_instance_tree")
    agent = may_see(tree, call.caller, whose)
    peers = [each for each in tree.children(agent.parent) if each.name != whose]
    told = _told(call, peers, f"{whose} has no peers")
    return Result(
        told.text, {"instance_id": whose, "peers": told.data["agents"], "ended": told.data["ended"]}
    )


def _told(call: Call, agents: list[Agent], nobody: str) -> Result:
    """A line for each that is alive, and the names of those that have ended."""
    alive = [agent for agent in agents if agent.alive]
    ended = [agent.name for agent in agents if not agent.alive]
    lines = [line_of(agent, call.caller) for agent in alive] or [nobody]
    if ended:
        lines.append(f"(ended: {', '.join(ended)})")
    return Result("\n".join(lines), {"agents": [brief_of(agent) for agent in alive], "ended": ended})


@tool(read_only=True)
async def get_instance_status(
    call: Call,
    instance_id: Annotated[
        str | None, "One agent in detail. Left out: you, yours and your neighbours."
    ] = None,
) -> Result:
    """Say what an agent does now, what waits for it, and what it has cost. Free and immediate."""
    manager, caller = call.manager, call.caller
    if instance_id is not None:
        agent = may_see(manager.tree, caller, instance_id)
        told = status_of(manager, agent)
        shown = {**told, "parent": agent.parent or "the person", "model": agent.model or "its CLI's default"}
        return Result("\n".join(f"{key}: {in_words(value)}" for key, value in shown.items()), told)
    agents = [agent for agent in manager.tree if sees(manager.tree, caller, agent.name)]
    lines = [f"{line_of(agent, caller)}{doing_now(agent)}" for agent in agents]
    return Result(
        "\n".join(lines) or "no agents yet: spawn_instance starts one",
        {"instances": [status_of(manager, agent) for agent in agents], "total": len(agents)},
    )


@tool(read_only=True)
async def get_live_instance_status(call: Call, instance_id: Who) -> Result:
    """Say what an agent is doing at this moment. Free and immediate, and it does not disturb the agent.

    The tool it uses now and on what, for how long its turn lasts, which tools it has used
    in that turn and how often, its last words, what waits for it, and on what it waits.
    """
    manager = call.manager
    told = live_status(manager, may_see(manager.tree, call.caller, instance_id))
    return Result("\n".join(f"{key}: {_shortly(value)}" for key, value in told.items()), told)


def live_status(manager: Manager, agent: Agent) -> dict[str, Any]:
    """What an agent does now. Seconds are those until this moment; null where nothing is under way."""
    work, now = manager.activity[agent.name], utc_now()
    use, deed = work.now, work.deed
    under_way = deed if deed is not None and deed.turn == agent.turn else None
    return {
        "instance_id": agent.name,
        "state": agent.state,
        "turn": agent.turn or None,
        "asked_by": under_way.asker if under_way else None,
        "prompt": clipped(under_way.prompt, LAST_WORDS) if under_way else None,
        "execution_time": _since(under_way.began, now) if under_way else None,
        "current_tool": use.tool if use else None,
        "current_tool_argument": clipped(use.argument, LAST_WORDS) if use else None,
        "current_tool_seconds": _since(use.began, now) if use else None,
        "tools_executed": sum(work.used_now.values()),
        "tools_breakdown": dict(work.used_now.most_common()),
        "tools_in_all": sum(work.used.values()),
        "last_output": clipped(manager.activity.speaking.get(agent.name) or work.said, LAST_WORDS),
        "speaking": agent.name in manager.activity.speaking,
        "last_activity": iso(work.active),
        "queued": manager.inboxes.queued(agent.name),
        "unread": len(manager.inboxes.unread(agent.name)),
        "waits_for": waited_for(manager, agent),
        "in_state_since": iso(agent.since),
        "reason": agent.reason or None,
    }


def _since(time: datetime, now: datetime) -> float:
    return round(max(0.0, (now - time).total_seconds()), 3)


def _shortly(value: object) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{name} {count}×" for name, count in value.items()) or "–"
    return "–" if value is None else in_words(value)


@tool(read_only=True)
async def get_instance_output(
    call: Call,
    instance_id: Who,
    limit: Annotated[int, "How many entries at most, the newest ones."] = 100,
    since: Annotated[str | None, "Only what is newer than this time, such as 2026-01-31T12:00:00Z."] = None,
) -> Result:
    """Read what was said to and by an agent and which tools it used, oldest first. Costs no turn.

    At most 20,000 characters come back, the newest; what was left out is said at the top.
    """
    return await _output(call, instance_id, limit, since)


@tool(read_only=True)
async def get_multiple_instance_outputs(
    call: Call,
    instance_ids: Annotated[list[str] | None, "Whose transcripts."] = None,
    requests: Annotated[
        list[dict[str, Any]] | None,
        'Instead: one for each agent, with limits of its own: {"instance_id": …, "limit": …, "since": …}.',
    ] = None,
    limit: Annotated[int, "How many entries of each at most, the newest ones."] = 100,
    since: Annotated[str | None, "Only what is newer than this time, such as 2026-01-31T12:00:00Z."] = None,
) -> Result:
    """Read what was said to and by several agents, as get_instance_output does for one. Costs no turn.

    Together at most 20,000 characters come back, the newest of each. An agent that can't be
    read is told under its name, and the others are there all the same.
    """
    wanted = [*(requests or ()), *({"instance_id": each} for each in instance_ids or ())]
    if not wanted:
        raise BadInput("say whose: instance_ids, or requests with an instance_id each")
    outputs, errors, texts = [], [], []
    one, room = find("get_instance_output"), LONGEST_OUTPUT // len(wanted)
    for each in wanted:
        name = each.get("instance_id", "")
        try:
            asked = one.arguments({"limit": limit, "since": since, **each})
            told = await _output(call, **asked, room=room)
            outputs.append(told.data)
            texts.append(f"{name}:\n{told.text}")
        except MadroxError as exc:
            errors.append({"instance_id": name, "error": in_tools(str(exc))})
            texts.append(f"{name}: not read: {in_tools(str(exc))}")
    return Result("\n\n".join(texts), {"outputs": outputs, "errors": errors})


async def _output(
    call: Call, instance_id: str, limit: int, since: str | None, room: int = LONGEST_OUTPUT
) -> Result:
    manager = call.manager
    may_see(manager.tree, call.caller, instance_id)
    after = as_time(since)
    said = await asyncio.to_thread(lambda: list(transcript(manager.ledger, instance_id)))
    wanted = [each for each in said if after is None or each.ts > after]
    shown = newest(wanted[max(0, len(wanted) - max(0, limit)) :], room)
    lines = [f"{iso(each.ts)} {each.who} {each.what}: {each.text}" for each in shown]
    if missing := len(wanted) - len(shown):
        lines.insert(0, f"[{missing} older entries are left out here]")
    return Result(
        "\n".join(lines) or f"nothing was said to or by {instance_id} yet",
        {"instance_id": instance_id, "output": [_entry(each) for each in shown], "left_out": missing},
    )


def _entry(said: Said) -> dict[str, Any]:
    return {
        "timestamp": iso(said.ts),
        "type": said.what,
        "sender": said.who,
        "turn": said.turn,
        "content": said.text,
    }


@tool(read_only=True)
async def list_roles(call: Call) -> Result:
    """List the roles that an agent can be given, and what each is good at. Free and immediate.

    The person's own files come first; a role is a Markdown file in a directory `prompts`.
    """
    found = {each.name: each for each in reversed(await asyncio.to_thread(lambda: list(roles())))}
    listed = [
        {
            "name": each.name,
            "description": each.description,
            "aliases": list(each.aliases),
            "file": str(each.path),
        }
        for each in sorted(found.values(), key=lambda role: role.name)
    ]
    lines = [
        f"{each['name']}: {each['description'] or '–'}"
        + (f" (also: {', '.join(each['aliases'])})" if each["aliases"] else "")
        for each in listed
    ]
    return Result("\n".join(lines), {"roles": listed, "total": len(listed)})
