"""Brings the agents of an earlier kernel back from its ledger.

Whoever was alive when that run ended comes back where it stood, with its role, model,
workspace and unread messages, and goes on with its vendor's session. What can't come
back says why.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Final

from .budget import SHAPES, Budget, Limit
from .errors import BadInput, MadroxError
from .events import PERSON, AgentSpawned, AgentStopped, Entry, Event, MessagePosted, RunClosed, TurnEnded
from .folds import Inboxes, Message
from .ledger import read, run_files, runs
from .rules import INHERITED_AT_MOST, covers
from .tree import WORKING, Agent, Tree, spawn_line

if TYPE_CHECKING:
    from .manager import Manager

WITH_THE_RUN: Final = frozenset({"kernel went away", "closed"})
"""Why agents ended that nobody wanted to end."""
RUNS_LOOKED_AT: Final = 20
"""Earlier runs with agents, in which those that may come back are looked for."""


@dataclass(frozen=True)
class Past:
    """One agent as it was when its run ended."""

    agent: Agent
    unread: tuple[Message, ...]
    above: tuple[str, ...]
    """Those it stood below, its parent first."""
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


@dataclass(frozen=True)
class Persisted:
    """One agent without a process that may come back."""

    agent: Agent
    """As it was last."""
    run: str
    above: tuple[str, ...]
    """Those it stood below, its parent first."""
    born: datetime
    last: datetime
    """When something last happened to it."""
    why: str = ""
    """Why it can't come back now."""
    has_files: bool = True
    """Its workspace is there, or is a git worktree that is made anew."""


def past(entries: Iterable[Entry]) -> list[Past]:
    """Who was alive when a run ended, parents before children. Pure."""
    tree, inboxes, budget = Tree(), Inboxes(), Budget()
    end = None
    for entry in entries:
        event, end = entry.event, entry.ts
        if not _with_the_run(event) and not isinstance(event, RunClosed):
            tree.apply(entry)
            inboxes.apply(entry)
            budget.apply(entry)
    return [
        Past(
            agent,
            tuple(inboxes.unread(agent.name)),
            tuple(tree.above(agent.name)),
            tuple(_limits(budget, agent.name, end)),
        )
        for _, agent in tree.walk()
        if agent.alive and end is not None
    ]


def _limits(budget: Budget, name: str, end: datetime) -> Iterator[Limit]:
    """What stood on `name` when its run ended: a limit is used up once, however often kernels die."""
    for limit in budget.limits.get(name, {}).values():
        used = 0.0 if limit.name in SHAPES else budget.spent(name, limit.name, end)
        yield replace(limit, carried=used)


def _with_the_run(event: Event) -> bool:
    """The end of an agent, or of a turn whose CLI said no more, that came only because its run ended."""
    if isinstance(event, TurnEnded):
        return event.error in WITH_THE_RUN and not event.session
    return isinstance(event, AgentStopped) and event.reason in WITH_THE_RUN


def last_run(directory: Path, own: str) -> str:
    """The newest run that had agents, other than our own. Raises `BadInput` when there is none."""
    for run in runs(directory):
        if run != own and any(isinstance(e.event, AgentSpawned) for e in read(run_files(directory, run))):
            return run
    raise BadInput(f"there is no earlier run with agents in {directory}: nothing can come back")


def at_rest(manager: Manager) -> list[Persisted]:
    """Those of our own run without a process: suspended, or ended, and why one of these can't go on."""
    resting = (agent for agent in manager.tree if agent.state == "suspended" or not agent.alive)
    return [_at_rest(manager, agent) for agent in resting if not agent.aside]


def _at_rest(manager: Manager, agent: Agent) -> Persisted:
    above, has_files = tuple(manager.tree.above(agent.name)), Path(agent.workspace).is_dir()
    found = Persisted(agent, manager.run, above, agent.since, agent.since, has_files=has_files)
    return found if agent.alive else replace(found, why=_why_not(manager, found, ()))


async def persisted(manager: Manager, run: str = "") -> list[Persisted]:
    """Whoever an earlier run (or the one named) has left, newest run first, parents before children.

    Of agents that share a name only the newest counts, also where it has ended for good.
    Looks at the newest `RUNS_LOOKED_AT` runs that had agents.
    """
    ended = set() if run else {agent.name for agent in manager.tree if agent.state == "stopped"}
    found = await asyncio.to_thread(_left_behind, manager.settings.logs, manager.run, run, ended)
    return [replace(each, why=_why_not(manager, each, found)) for each in found]


def _left_behind(directory: Path, own: str, only: str, ended: set[str]) -> list[Persisted]:
    """`ended`: names that our own run has ended on purpose."""
    seen = set(ended)
    found: list[Persisted] = []
    looked_at = 0
    for run in runs(directory):
        if run == own or (only and run != only):
            continue
        entries = list(read(run_files(directory, run)))
        names = {each.event.agent for each in entries if isinstance(each.event, AgentSpawned)}
        found += [_left_by(run, each, entries) for each in past(entries) if each.agent.name not in seen]
        seen |= names
        looked_at += bool(names)
        if looked_at == RUNS_LOOKED_AT:
            break
    return found


def _left_by(run: str, each: Past, entries: Sequence[Entry]) -> Persisted:
    agent = each.agent
    happened = [entry for entry in entries if entry.event.agent == agent.name and entry.seq >= agent.born]
    lived = [entry for entry in happened if not _with_the_run(entry.event)]
    return Persisted(
        agent,
        run,
        each.above,
        lived[0].ts,
        lived[-1].ts,
        why="" if isinstance(entries[-1].event, RunClosed) else "its run goes on: another kernel has it",
        has_files=any(Path(each).is_dir() for each in (agent.workspace, agent.repository) if each),
    )


def _why_not(manager: Manager, each: Persisted, others: Sequence[Persisted]) -> str:
    """Why it can't come back now, and what to do first; empty when it can."""
    agent, tree = each.agent, manager.tree
    if each.why:
        return each.why
    here = agent.parent is None or (agent.parent in tree and tree[agent.parent].alive)
    if not here and any(other.agent.name == agent.parent and other.run == each.run for other in others):
        return f"its parent {agent.parent} has to come back first"
    try:
        _check(manager, agent)
    except MadroxError as exc:
        return str(exc)
    return "" if each.has_files else f"its workspace {agent.workspace} is gone"


async def bring_back(
    manager: Manager, names: tuple[str, ...] = (), run: str = "", *, model: str | None = None
) -> list[Return]:
    """Bring the agents of `run` back (the newest one with agents), or only those named.

    With `model` they go on with that one instead of their own.

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
    births = [await _birth(manager, each, model) for each in wanted]
    for each, birth in zip(wanted, births, strict=True):
        if not isinstance(birth, Return):
            await _hand_over(manager, each)
    return [await _outcome(manager, each, birth) for each, birth in zip(wanted, births, strict=True)]


async def _birth(manager: Manager, each: Past, model: str | None) -> asyncio.Task[None] | Return | None:
    """Begin to bring one back: its start, nothing to wait for (suspended), or why it can't be."""
    agent = each.agent
    try:
        _check(manager, agent)
        before = _as_before(agent._replace(model=model or agent.model))
        birth = await manager.births.reborn(before, suspended=agent.state == "suspended")
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
    if agent.aside:
        raise BadInput("it was there for one answer only")
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


async def revive(manager: Manager, name: str) -> Return:
    """Let an agent of this run that has ended go on with its session, or afresh where it had said nothing.

    What it has used of its limits stays used; its inbox is empty. Raises `BadInput` when it can't.
    """
    agent = manager.tree[name]
    try:
        _check(manager, agent)
    except MadroxError as exc:
        raise BadInput(f"{name} can't go on: {exc}. Spawn it again: {spawn_line(agent)}") from exc
    limits = tuple(_limits(manager.budget, name, manager.spending.now()))
    birth = await manager.births.reborn(_as_before(agent), suspended=False)
    manager.spending.bring_back(name, limits)
    return await _outcome(manager, Past(agent, (), ()), birth)


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
