"""Tools that read the logs: what came over an agent's wire, its logs, the audit trail."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import orjson

from .. import logs, pane
from ..calls import Call, Result, may_see, sees, tool
from ..errors import BadInput, Forbidden, UnknownAgent, nearest
from ..events import PERSON
from ..ledger import run_files, runs
from ..logs import WIRE
from .arguments import Root, RunName, Who
from .telling import LONGEST_OUTPUT, as_time, clipped, fitting

LOG_TYPES = ("communication", "instance", "tmux_output", "metadata")
MOST_ROWS = 10_000
"""Rows or lines that one call returns to a program."""
LONGEST_ROW = 2000
"""Characters of one row that a model is shown."""

Since = Annotated[str | None, "Only what is not older than this time, such as 2026-01-31T12:00:00Z."]
Until = Annotated[str | None, "Only what is not newer than this time."]


@tool(read_only=True)
async def get_tmux_pane_content(
    call: Call,
    instance_id: Who,
    lines: Annotated[int, "How many of the last lines; -1 for what fits on a screen."] = 100,
) -> Result:
    """Show the end of what came from an agent's program, to see why it hangs. Costs no turn.

    Of a program at a terminal that is its screen with what has scrolled off; of a CLI with a
    protocol the last lines of that, each as `kind name=value …`. The first line of the text
    says which. For what was said, get_instance_output reads better.
    """
    manager = call.manager
    agent = may_see(manager.tree, call.caller, instance_id)
    harness = manager.harnesses[agent.harness]
    wire = manager.processes.files(agent.name) / WIRE
    profile = getattr(harness, "profile", None)
    size = profile.size if profile is not None else (24, 80)
    count = size[0] if lines < 0 else min(lines, MOST_ROWS)
    if harness.features.structured:
        what = f"the last lines of the protocol of {agent.harness}"
        found = await asyncio.to_thread(pane.protocol, wire, count)
    else:
        what = f"the screen of {agent.harness}, and what has scrolled off"
        found = await asyncio.to_thread(pane.screen, wire, count, size)
    clean = manager.redactor.text("\n".join(found)).split("\n") if found else []
    shown, left_out = fitting(clean)
    text = "\n".join([f"[{what}]", *shown]) if shown else f"nothing has come from {instance_id} yet"
    return Result(
        text,
        {
            "instance_id": instance_id,
            "what": what,
            "content": "\n".join(shown),
            "lines": len(shown),
            "left_out": left_out,
            "state": agent.state,
        },
    )


@tool(read_only=True)
async def get_instance_logs(
    call: Call,
    instance_id: Who,
    log_type: Annotated[
        str,
        "communication: each prompt and answer with tokens, cost and time. instance: what happened to it, "
        "a line each. tmux_output: the raw end of what its program wrote. metadata: what it is.",
    ] = "instance",
    tail: Annotated[int, "The last so many lines; 0 for all, as far as they fit."] = 100,
    since: Since = None,
    limit: Annotated[int | None, "Another word for tail."] = None,
    run: RunName = None,
) -> Result:
    """Read the logs of an agent, oldest first, also of one that has ended. Costs no turn.

    They are made from the ledger; the same stand as files in the directory that metadata
    names. A prompt and its answer have the same message_id.
    """
    if log_type not in LOG_TYPES:
        raise BadInput(
            f"log_type={log_type!r} is no log.{nearest(log_type, LOG_TYPES)} Known: {', '.join(LOG_TYPES)}"
        )
    after = as_time(since)
    whose = await asyncio.to_thread(_run_of, call, instance_id, run)
    rows = await asyncio.to_thread(_rows, call, whose, instance_id, log_type)
    if after is not None:
        rows = [row for row in rows if (time := _time_of(row)) is None or time >= after]
    count = tail if limit is None else limit
    if count < 0:
        raise BadInput(f"tail={count}: how many of the last lines, or 0 for all")
    wanted = rows[-(count or MOST_ROWS) :][-MOST_ROWS:]
    text = _told(wanted, f"nothing stands in the {log_type} log of {instance_id} yet")
    data = {"instance_id": instance_id, "log_type": log_type, "run": whose, "logs": wanted}
    return Result(text, {**data, "total": len(rows), "left_out": len(rows) - len(wanted)})


@tool(read_only=True)
async def get_audit_logs(
    call: Call,
    since: Since = None,
    until: Until = None,
    instance_id: Annotated[str | None, "Only what happened to this agent."] = None,
    kind: Annotated[
        str | None,
        "Only events of this kind: instance_spawn, instance_terminate, message_exchange, approval_asked, …",
    ] = None,
    limit: Annotated[int, "How many at most, the newest ones."] = 100,
    root_instance_id: Root = None,
) -> Result:
    """Read the audit trail: who was spawned and ended, what was asked and decided, in the order of time.

    The newest come back. You see what you may see of this run; the person sees everything,
    also earlier runs of the last 30 days. Steps inside a turn are told only when their
    kind is named, such as turn_tool_called.
    """
    manager, caller = call.manager, call.caller
    first, last = as_time(since), as_time(until, "until")
    if not 0 < limit <= MOST_ROWS:
        raise BadInput(f"limit={limit}: from 1 to {MOST_ROWS}")
    agents, run = None, ""
    if caller != PERSON:
        agents = frozenset(each.name for each in manager.tree if sees(manager.tree, caller, each.name))
        run = manager.run
    if instance_id is not None:
        if caller != PERSON:
            may_see(manager.tree, caller, instance_id)
        agents = frozenset({instance_id})
    if root_instance_id is not None:
        family = frozenset(each.name for each in manager.tree.subtree(root_instance_id))
        agents = family if agents is None else agents & family
    rows = await asyncio.to_thread(
        lambda: logs.trail(
            manager.settings.logs,
            since=first,
            until=last,
            kind=kind or "",
            agents=agents,
            run=run,
            limit=limit,
        )
    )
    return Result(_told(rows, "nothing of that kind is on record"), {"logs": rows, "total": len(rows)})


@tool(read_only=True)
async def list_logged_instances(
    call: Call,
    day: Annotated[str | None, "Only agents whose run wrote on this day, such as 2026-01-31."] = None,
    limit: Annotated[int, "How many at most, the newest ones."] = 200,
) -> Result:
    """List the agents that have logs, by day, oldest first: of this run, and for the person of earlier ones.

    get_instance_logs reads them: for an earlier run with the `run` that is told here.
    """
    manager, caller = call.manager, call.caller
    if day is not None and as_time(day, "day") is None:
        raise BadInput("day: write it as 2026-01-31")
    if not 0 < limit <= MOST_ROWS:
        raise BadInput(f"limit={limit}: from 1 to {MOST_ROWS}")
    found = await asyncio.to_thread(
        lambda: logs.logged(
            manager.settings.logs, day=(day or "")[:10], limit=MOST_ROWS, work=manager.settings.work
        )
    )
    if caller != PERSON:
        here = {each.name for each in manager.tree if sees(manager.tree, caller, each.name)}
        found = [row for row in found if row["run"] == manager.run and row["instance_id"] in here]
    found = found[-limit:]
    lines, last = [], ""
    for row in found:
        if row["day"] != last:
            lines.append(f"{row['day']}:")
            last = row["day"]
        lines.append(
            f"  {row['created_at'][11:19]} {row['instance_id']} ({row['role']}, {row['instance_type']}) "
            f"run {row['run']}"
        )
    shown, _ = fitting(lines)
    return Result("\n".join(shown) or "no agent has logs yet", {"instances": found, "total": len(found)})


def _run_of(call: Call, name: str, wanted: str | None) -> str:
    """The run whose logs are meant: this one, when it knows the agent, else the newest that does.

    Raises `UnknownAgent`, `Forbidden` or `BadInput`.
    """
    manager, caller = call.manager, call.caller
    directory = manager.settings.logs
    if wanted in (None, manager.run) and (name in manager.tree or caller != PERSON):
        may_see(manager.tree, caller, name)
        return manager.run
    if caller != PERSON:
        raise Forbidden(f"{caller} can't read logs of an earlier run: leave run out, or ask the person")
    if wanted is not None:
        if not run_files(directory, Path(wanted).name):
            raise BadInput(f"there is no run {wanted!r}. See which there are: list_logged_instances")
        return Path(wanted).name
    born = logs.logged(directory, limit=MOST_ROWS)
    found = next((row["run"] for row in reversed(born) if row["instance_id"] == name), None)
    if found is None:
        raise UnknownAgent(name, {*manager.tree.agents, *(row["instance_id"] for row in born)})
    return str(found)


def _rows(call: Call, run: str, name: str, log_type: str) -> Sequence[Any]:
    directory = call.manager.settings.logs
    match log_type:
        case "communication":
            return logs.communication(directory, run, name)
        case "instance":
            return logs.life(directory, run, name)
    facts = logs.metadata(directory, run, name, call.manager.settings.work)
    if not facts:
        raise BadInput(f"{name} was not in run {run}. Runs: {', '.join(runs(directory)[:5])}")
    if log_type == "metadata":
        return [facts]
    wire = Path(facts["log_directory"]) / WIRE
    return call.manager.redactor.text(pane.raw(wire)).splitlines()


def _time_of(row: Any) -> Any:
    """When a row or a line was; None for what has no time."""
    text = row.get("timestamp") if isinstance(row, dict) else row.partition(" ")[0]
    try:
        return as_time(text)
    except BadInput:
        return None


def _told(rows: Sequence[Any], nothing: str) -> str:
    lines = [
        clipped(row if isinstance(row, str) else orjson.dumps(row).decode(), LONGEST_ROW) for row in rows
    ]
    shown, left_out = fitting(lines, LONGEST_OUTPUT)
    if left_out:
        shown = [f"[{left_out} older ones are left out here]", *shown]
    return "\n".join(shown) or nothing
