"""A run goes on in a new kernel: the same ledger, the same processes.

The kernel that began it died, a keeper has its agents. What the ledger says is folded
again, each process gets a codec in the state that it had, and what was said meanwhile is
taken in. Who waited in the dead kernel waits no more: answers are left in inboxes.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from .errors import MadroxError
from .events import PERSON, AgentStopped, Entry, TurnEnded, TurnStarted
from .harness import Ask
from .nodes import Kept
from .tickets import Ticket

if TYPE_CHECKING:
    from .manager import Manager

LOST = "did not outlive its kernel"

log = logging.getLogger(__name__)


def go_on(manager: Manager, kept: Sequence[Kept], entries: Sequence[Entry]) -> None:
    """Be what the dead kernel was. Called when the ledger is folded and open."""
    manager.tokens.restore()
    for name, approvals in come_back(manager, kept, entries).items():
        for approval, ask in approvals.items():
            manager.requests.take_up(manager.processes[name], approval, ask)
    follow(manager, kept)
    manager.foreman.go_on()
    for agent in manager.tree.alive():
        if agent.aside:  # nobody waits for its answer any more
            manager.soon(manager.terminate(agent.name, force=True))
        elif agent.state == "idle":
            manager.idleness.begin(agent.name)


def come_back(manager: Manager, kept: Sequence[Kept], entries: Sequence[Entry]) -> dict[str, dict[str, Ask]]:
    """Go on with every agent that can be gone on with; returns the approvals that are still open, by agent.

    Whoever lived and is lost is recorded as
    stopped. Nothing is read from the agents until `follow`.
    """
    newest = {each.handle.id: each for each in kept}  # in the order of their starts
    open_approvals = {}
    for each in kept:
        agent = manager.tree.agents.get(each.handle.id)
        if agent is None or not agent.alive or each is not newest[each.handle.id]:
            manager.processes.drop(each)
            continue
        try:
            cls = manager.harnesses[agent.harness]
            open_approvals[agent.name] = manager.processes.adopt(agent, cls, each, entries)
        except (MadroxError, OSError) as exc:
            log.warning("%s", exc)
            manager.processes.drop(each)
            _end(manager, agent.name, f"{LOST}: {exc}")
    for agent in reversed(manager.tree.alive()):
        if agent.state == "suspended":  # it had no process
            manager.processes.claim(agent.name, Path(agent.workspace))
        elif manager.processes.get(agent.name) is None:
            _end(manager, agent.name, LOST)
    for ticket in turns_under_way(entries):
        if manager.tree[ticket.agent].turn == ticket.turn:
            manager.mail.take_up(ticket)
    for agent in manager.tree.alive():
        for message in manager.inboxes.unread(agent.name):
            if message.asks:
                manager.mail.take_up(Ticket(agent.name, message.sender, message=message.id))
    return open_approvals


def follow(manager: Manager, kept: Sequence[Kept]) -> None:
    """Take in what was said meanwhile, read on, and hand over what waits."""
    for each in kept:
        if (runner := manager.processes.get(each.handle.id)) is not None and runner.pid == each.handle.pid:
            manager.processes.follow(each.handle.id, each)
    for agent in manager.tree.alive():
        manager.mail.feed(agent.name)


def turns_under_way(entries: Iterable[Entry]) -> list[Ticket]:
    """The turns that have begun and not ended, each as the question that it answers."""
    begun: dict[str, Ticket] = {}
    asking = {}
    for entry in entries:
        event = entry.event
        if getattr(event, "asks", False):
            asking[getattr(event, "message", "")] = event
        if isinstance(event, TurnStarted):
            question = next((message for message in event.messages if message in asking), "")
            asks = bool(question) or (event.sender == PERSON and not event.messages)
            begun[event.turn] = Ticket(
                event.agent, event.sender, message=question, asks=asks, turn=event.turn, began=entry.ts
            )
        elif isinstance(event, TurnEnded):
            begun.pop(event.turn, None)
    return list(begun.values())


def _end(manager: Manager, name: str, reason: str) -> None:
    if turn := manager.tree[name].turn:
        manager.record(TurnEnded(agent=name, turn=turn, outcome="failed", error=reason))
    manager.record(AgentStopped(agent=name, reason=reason, failed=True))
    manager.processes.forget(name)
    manager.births.ended(name, unasked=True)
