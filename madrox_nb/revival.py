"""Brings the agents of an earlier kernel back from its ledger.

Whoever was alive when that run ended comes back where it stood, with its role, model,
workspace and unread messages, and goes on with its vendor's session. What can't come
back says why.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Final

from .budget import SHAPES, Budget, Limit
from .errors import BadInput, MadroxError
from .events import PERSON, AgentSpawned, AgentStopped, Entry, MessagePosted, RunClosed
from .folds import Inboxes, Message
from .ledger import read, run_files, runs
from .rules import INHERITED_AT_MOST, covers
from .tree import WORKING, Agent, Tree

if TYPE_CHECKING:
    from .manager import Manager

WITH_THE_RUN: Final = frozenset({"kernel went away", "closed"})
"""Why agents ended that nobody wanted to end."""


@dataclass(frozen=True)
class Past:
    """One agent as it was when its run ended."""

    agent: Agent
    unread: tuple[Message, ...]
    limits: tuple[Limit, ...] = ()
    """Those that stood on it, each with what was used of it until then."""


@dataclass(frozen=True)
class Return:
    """What became of one agent that was to come back."""

    agent: str
    how: str
    """`process` (it had outlived its kernel), `session`, `fresh` (it had said nothing yet), `suspended`,
    `woken` (it was only suspended), or empty when it did not."""
    why: str = ""
    """Why not; or what the person should know all the same."""


def past(entries: Iterable[Entry]) -> list[Past]:
    """Who was alive when a run ended, parents before children. Pure."""
    tree, inboxes, budget = Tree(), Inboxes(), Budget()
    end = None
    for entry in entries:
        event, end = entry.event, entry.ts
        with_the_run = isinstance(event, AgentStopped) and event.reason in WITH_THE_RUN
        if not with_the_run and not isinstance(event, RunClosed):
            tree.apply(entry)
            inboxes.apply(entry)
            budget.apply(entry)
    return [
        Past(agent, tuple(inboxes.unread(agent.name)), tuple(_limits(budget, agent.name, end)))
        for _, agent in tree.walk()
        if agent.alive and end is not None
    ]


def _limits(budget: Budget, name: str, end: datetime) -> Iterator[Limit]:
    """What stood on `name` when its run ended: a limit is used up once, however often kernels die."""
    for limit in budget.limits.get(name, {}).values():
        used = 0.0 if limit.name in SHAPES else budget.spent(name, limit.name, end)
        yield replace(limit, carried=used)


def last_run(directory: Path, own: str) -> str:
    """The newest run that had agents, other than our own. Raises `BadInput` when there is none."""
    for run in runs(directory):
        if run != own and any(isinstance(e.event, AgentSpawned) for e in read(run_files(directory, run))):
            return run
    raise BadInput(f"there is no earlier run with agents in {directory}: nothing can come back")


async def bring_back(manager: Manager, names: tuple[str, ...] = (), run: str = "") -> list[Return]:
    """Bring the agents of `run` back (the newest one with agents), or only those named.

    Raises `BadInput` when there is no such run, or an agent that is named was not alive at
    its end. Cancelled, those that were begun go on starting.
    """
    directory = manager.settings.logs
    run = run or await asyncio.to_thread(last_run, directory, manager.run)
    if not (files := run_files(directory, run)):
        raise BadInput(
            f"there is no run {run!r} in {directory}. The newest: {', '.join(runs(directory)[:5])}"
        )
    found = await asyncio.to_thread(lambda: past(read(files)))
    known = [each.agent.name for each in found]
    for name in names:
        if name not in known:
            raise BadInput(
                f"{name} was not alive when run {run} ended. Alive were: {', '.join(known) or 'nobody'}"
            )
    wanted = [each for each in found if not names or each.agent.name in names]
    births = [await _birth(manager, each) for each in wanted]
    for each, birth in zip(wanted, births, strict=True):
        if not isinstance(birth, Return):
            await _hand_over(manager, each)
    return [await _outcome(manager, each, birth) for each, birth in zip(wanted, births, strict=True)]


async def _birth(manager: Manager, each: Past) -> asyncio.Task[None] | Return | None:
    """Begin to bring one back: its start, nothing to wait for (suspended), or why it can't be."""
    agent = each.agent
    try:
        _check(manager, agent)
        birth = await manager.births.reborn(_as_before(agent), suspended=agent.state == "suspended")
    except MadroxError as exc:
        return Return(agent.name, "", str(exc))
    manager.spending.bring_back(agent.name, each.limits)
    return birth


def _check(manager: Manager, agent: Agent) -> None:
    """Raises why `agent` can't come back."""
    if agent.name in manager.tree and manager.tree[agent.name].alive:
        raise BadInput("it is here already")
    if agent.parent is not None and (
        agent.parent not in manager.tree or not manager.tree[agent.parent].alive
    ):
        raise BadInput(f"its parent {agent.parent} did not come back")
    if manager.harnesses[agent.harness].unguarded:
        raise BadInput(f"{agent.harness} takes permissions='all', which is not remembered: spawn it again")
    if agent.begun and not manager.harnesses[agent.harness].features.resume:
        raise BadInput(f"{agent.harness} can't go on with a conversation in a new process")
    if agent.begun and not agent.session:
        raise BadInput("its session is not known")


def _as_before(agent: Agent) -> AgentSpawned:
    remembered = covers(INHERITED_AT_MOST, agent.permissions)
    return AgentSpawned(
        agent=agent.name,
        harness=agent.harness,
        role=agent.role,
        parent=agent.parent,
        model=agent.model,
        permissions=agent.permissions if remembered else INHERITED_AT_MOST,
        workspace=agent.workspace,
        auto_inject=agent.auto_inject,
        session=agent.session if agent.begun else "",
        origin="resumed" if agent.begun else "",  # else it would look for a session that has no turn yet
        system_prompt=agent.system_prompt,
        options=agent.options,
        extra_args=agent.extra_args,
        mcp_servers=agent.mcp_servers,
        environment=agent.environment,
        repository=agent.repository,
        branch=agent.branch,
        base=agent.base,
    )


async def _hand_over(manager: Manager, each: Past) -> None:
    """Put its unread messages into its new inbox, in their order."""
    for message in each.unread:
        asker_is_here = message.sender == PERSON or message.sender in manager.tree
        await manager.act(
            MessagePosted(
                agent=each.agent.name,
                message=manager.tree.next_message(message.sender),
                sender=message.sender,
                text=message.text,
                asks=message.asks and asker_is_here,
                outcome=message.outcome,
            )
        )


async def _outcome(manager: Manager, each: Past, birth: asyncio.Task[None] | Return | None) -> Return:
    agent = each.agent
    if isinstance(birth, Return):
        return birth
    if birth is None:
        return Return(agent.name, "suspended", _remarks(agent))
    await asyncio.wait((birth,))
    if birth.cancelled() or birth.exception() is not None:
        return Return(agent.name, "", f"it did not start: {manager.tree[agent.name].reason}")
    return Return(agent.name, "session" if agent.begun else "fresh", _remarks(agent))


def _remarks(agent: Agent) -> str:
    return "; ".join(_said(agent))


def _said(agent: Agent) -> Iterator[str]:
    if agent.state in WORKING:
        yield f"turn {agent.turn} was cut off: send it again"
    if not covers(INHERITED_AT_MOST, agent.permissions):
        yield f"permissions={agent.permissions!r} is not remembered: it has {INHERITED_AT_MOST!r}"
