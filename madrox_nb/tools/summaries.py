"""What agents have done, in short: made from the ledger, with a model's words above it where one is named."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from typing import Annotated, Any

from ..activity import Deed
from ..calls import Call, Result, may_see, sees, tool
from ..errors import BadInput, nearest
from ..folds import Usage, transcript
from ..manager import Manager
from ..rules import reaches
from ..summaries import Words
from ..tree import LEGAL, UNBORN, Agent
from .arguments import Who
from .telling import LONGEST_OUTPUT, brief_of, clipped, fitting, iso, newest, number, waited_for
from .waiting import countdown, telling_meanwhile

NEWEST_TURNS = 5
"""Turns that a summary tells one by one."""
FILES_NAMED = 20
SHORT = 300
"""Characters of a prompt or an answer in a summary."""


@tool(read_only=True)
async def get_agent_summary(call: Call, instance_id: Who) -> Result:
    """Sum up an agent: its task, what it did, files it edited, tools, last words, cost, what it waits for.

    Free and immediate: it is made from the record of what happened, and disturbs nobody. Where
    the person has named a model for it, that one's words come first, and what they cost is told.
    Read it instead of the whole transcript (get_instance_output).
    """
    told = await _with_words(call, [may_see(call.manager.tree, call.caller, instance_id)])
    return Result(told[0]["summary"], told[0])


@tool(read_only=True)
async def get_all_agent_summaries(
    call: Call,
    status_filter: Annotated[
        str | None, "Only agents in this state: idle, busy, waiting, suspended, stopped, failed, starting."
    ] = None,
) -> Result:
    """Sum up all agents that you may see, as get_agent_summary does for one.

    At most 20,000 characters come back; who was left out is named.
    """
    if status_filter is not None and (status_filter not in LEGAL or status_filter == UNBORN):
        states = [state for state in LEGAL if state != UNBORN]
        hint = nearest(status_filter, states)
        raise BadInput(f"status_filter={status_filter!r} is no state.{hint} Known: {', '.join(states)}")
    manager = call.manager
    agents = [
        agent
        for agent in manager.tree
        if sees(manager.tree, call.caller, agent.name)
        and status_filter in (None, agent.state)
        and not agent.aside
    ]
    told = await _with_words(call, agents)
    texts, left_out = fitting([each["summary"] for each in told][::-1], LONGEST_OUTPUT)
    texts = texts[::-1]
    if left_out:
        texts.append(f"[left out here: {', '.join(each['instance_id'] for each in told[-left_out:])}]")
    nobody = f"no agent is {status_filter}" if status_filter else "no agents yet: spawn_instance starts one"
    return Result("\n\n".join(texts) or nobody, {"summaries": told, "total": len(told)})


# a model's words, where the person has named one


async def _with_words(call: Call, agents: Sequence[Agent]) -> list[dict[str, Any]]:
    """The summary of each, under a model's words where there are any in time."""
    manager = call.manager
    written = [agent for agent in agents if agent.turns and not agent.aside] if manager.summaries.by else []
    words: dict[str, Words] = {}
    if written and reaches(call.scope, "operate"):  # who may only look spends nothing

        def about() -> str:
            return f"{manager.summaries.by} has summed up {len(words)} of {len(written)}"

        await telling_meanwhile(call, about, _write(manager, written, words, countdown()()))
    told = []
    for agent in agents:
        facts = summary_of(manager, manager.tree[agent.name])
        if agent in written:
            facts |= _worded(manager, facts, words.get(agent.name) or manager.summaries.made(agent.name))
        told.append(facts)
    return told


async def _write(manager: Manager, agents: Sequence[Agent], words: dict[str, Words], seconds: float) -> None:
    """Have them summed up, and put into `words` what is there in time. The rest goes on."""

    async def of(agent: Agent) -> None:
        words[agent.name] = await manager.summaries.of(agent.name, lambda: _record(manager, agent))

    done, _ = await asyncio.wait([asyncio.ensure_future(of(agent)) for agent in agents], timeout=seconds)
    for each in done:
        each.result()


async def _record(manager: Manager, agent: Agent) -> str:
    """What the model is given: the facts, and the newest of what was said, with the tools."""
    facts = summary_of(manager, manager.tree[agent.name])["summary"]
    said = newest(await asyncio.to_thread(lambda: list(transcript(manager.ledger, agent.name))))
    return "\n".join([facts, "", *(f"{iso(each.ts)} {each.who} {each.what}: {each.text}" for each in said)])


def _worded(manager: Manager, facts: Mapping[str, Any], words: Words | None) -> dict[str, Any]:
    """The fields that tell of the model; what is known without it always follows its words."""
    by, used = manager.summaries.by, words.usage if words else Usage()
    if words is None:
        said, state = f"({by} has not summed it up yet: ask again)", "to come"
    elif words.error:
        said, state = f"({by} could not sum it up: {words.error})", "failed"
    else:
        said, state = f"{words.text}\n({by}; what follows is on record)", "ok"
    return {
        "summary": f"{said}\n\n{facts['summary']}",
        "facts": facts["summary"],
        "words": words.text if words else "",
        "words_by": by,
        "words_state": state,
        "words_error": words.error if words else "",
        "words_tokens": used.tokens,
        "words_cost_usd": number(used.known_usd) if used.sources else None,
    }


# from the ledger


def summary_of(manager: Manager, agent: Agent) -> dict[str, Any]:
    """All of it as fields, and as the text `summary`."""
    work, usage = manager.activity[agent.name], manager.costs.of(agent.name)
    last = next((deed for deed in reversed(work.deeds) if deed.outcome), None)
    told: dict[str, Any] = {
        **brief_of(agent),
        "reason": agent.reason,
        "spawned": iso(work.born),
        "last_activity": iso(work.active),
        "task": clipped(work.task, SHORT),
        "turns": dict(work.turns),
        "turn": agent.turn,
        "recent_turns": [_deed(deed) for deed in list(work.deeds)[-NEWEST_TURNS:]],
        "outcome": last.outcome if last else None,
        "last_output": clipped(work.said, SHORT * 2),
        "tools_used": dict(work.used.most_common()),
        "files_edited": list(work.edited),
        "children": [child.name for child in manager.tree.children(agent.name)],
        "waits_for": waited_for(manager, agent),
        "queued": manager.inboxes.queued(agent.name),
        "unread": len(manager.inboxes.unread(agent.name)),
        "tokens": usage.tokens,
        "cost_usd": number(usage.known_usd),
        "cost_at_least_usd": usage.cost_usd,
    }
    return {**told, "summary": _in_words(told)}


def _deed(deed: Deed) -> dict[str, Any]:
    return {
        "turn": deed.turn,
        "asked_by": deed.asker,
        "prompt": clipped(deed.prompt, SHORT),
        "outcome": deed.outcome,
        "answer": clipped(deed.answer, SHORT),
        "tools": deed.tools,
        "seconds": round((deed.ended - deed.began).total_seconds(), 3) if deed.ended else None,
    }


def _in_words(told: dict[str, Any]) -> str:
    reason = f", {told['reason']}" if told["reason"] else ""
    lines = [f"{told['name']} ({told['role']}, {told['harness']}): {told['state']}{reason}"]
    if told["task"]:
        lines.append(f"task: {_line(told['task'])}")
    else:
        lines.append("it has not been asked anything yet")
    if done := ", ".join(f"{count} {outcome}" for outcome, count in sorted(told["turns"].items())):
        lines.append(f"turns: {done}")
    if told["turn"]:
        lines.append(f"works on {told['turn']}: {_line(told['recent_turns'][-1]['prompt'])}")
    ended = [each for each in told["recent_turns"] if each["outcome"]]
    lines += [f"- {each['turn']} {each['outcome']}: {_line(each['answer'])}" for each in ended]
    if told["tools_used"]:
        lines.append("tools: " + ", ".join(f"{name} {n}×" for name, n in told["tools_used"].items()))
    if files := told["files_edited"]:
        more = f" and {len(files) - FILES_NAMED} more" if len(files) > FILES_NAMED else ""
        lines.append(f"edited: {', '.join(files[:FILES_NAMED])}{more}")
    if told["children"]:
        lines.append(f"children: {', '.join(told['children'])}")
    lines += [f"waits for {each}" for each in told["waits_for"]]
    if told["queued"] or told["unread"]:
        lines.append(f"waiting for it: {told['queued']} questions of {told['unread']} unread messages")
    return "\n".join([*lines, _cost(told)])


def _cost(told: dict[str, Any]) -> str:
    if told["cost_usd"] is not None:
        return f"cost: {told['tokens']:,} tokens, ${told['cost_usd']:.4f}"
    return f"cost: {told['tokens']:,} tokens, at least ${told['cost_at_least_usd']:.4f} (partly unpriced)"


def _line(text: str) -> str:
    return " ".join(text.split()) or "–"
