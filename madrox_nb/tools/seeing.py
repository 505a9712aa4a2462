"""Tools that look: free, immediate, and they change nothing."""

from __future__ import annotations

import asyncio
from typing import Annotated

from ..calls import Call, Result, may_see, sees, tool
from ..events import PERSON
from ..folds import transcript
from ..tree import Agent
from .arguments import Who
from .telling import as_time, brief_of, doing_now, drawn, in_words, iso, line_of, nested, newest, status_of


@tool(read_only=True)
async def get_instance_tree(call: Call) -> Result:
    """Show all agents: who is whose child, what state each is in, its CLI and role. Free and immediate."""
    tree = call.manager.tree
    below: dict[str | None, list[Agent]] = {}
    for agent in tree:
        below.setdefault(agent.parent, []).append(agent)
    text = "\n".join(drawn(below, call.caller)) or "no agents yet: spawn_instance starts one"
    flat = [brief_of(agent) for agent in tree]
    return Result(text, {"tree": nested(below), "instances": flat, "total": len(flat)})


@tool(read_only=True)
async def get_children(
    call: Call, parent_id: Annotated[str | None, "Whose children; yours, when left out."] = None
) -> Result:
    """List the direct children of an agent with their states. Free and immediate."""
    tree, whose = call.manager.tree, parent_id or call.caller
    if whose != PERSON:
        may_see(tree, call.caller, whose)
    children = tree.children(None if whose == PERSON else whose)
    text = "\n".join(line_of(agent, call.caller) for agent in children) or f"{whose} has no children"
    return Result(text, {"parent": whose, "children": [brief_of(agent) for agent in children]})


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
        told = status_of(manager, may_see(manager.tree, caller, instance_id))
        return Result("\n".join(f"{key}: {in_words(value)}" for key, value in told.items()), told)
    agents = [agent for agent in manager.tree if sees(manager.tree, caller, agent.name)]
    lines = [f"{line_of(agent, caller)}{doing_now(agent)}" for agent in agents]
    return Result(
        "\n".join(lines) or "no agents yet: spawn_instance starts one",
        {"instances": [status_of(manager, agent) for agent in agents], "total": len(agents)},
    )


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
    manager = call.manager
    may_see(manager.tree, call.caller, instance_id)
    after = as_time(since)
    said = await asyncio.to_thread(lambda: list(transcript(manager.ledger, instance_id)))
    wanted = [each for each in said if after is None or each.ts > after]
    shown = newest(wanted[max(0, len(wanted) - max(0, limit)) :])
    lines = [f"{iso(each.ts)} {each.who} {each.what}: {each.text}" for each in shown]
    if missing := len(wanted) - len(shown):
        lines.insert(0, f"[{missing} older entries are left out here]")
    output = [
        {
            "timestamp": iso(each.ts),
            "type": each.what,
            "sender": each.who,
            "turn": each.turn,
            "content": each.text,
        }
        for each in shown
    ]
    return Result(
        "\n".join(lines) or f"nothing was said to or by {instance_id} yet",
        {"instance_id": instance_id, "output": output, "left_out": missing},
    )
