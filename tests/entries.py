"""Entries for the tests of the ledger, and a clock that shows what one wants."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from madrox_nb.events import AgentSpawned, Entry, TurnSaid
from madrox_nb.ledger import Ledger

NOON = datetime(2026, 7, 25, 12, tzinfo=UTC)


class Clock:
    def __init__(self, now: datetime = NOON) -> None:
        self.now = now

    def __call__(self) -> datetime:
        return self.now


def said(text: str = "x") -> TurnSaid:
    return TurnSaid(agent="lead", turn="lead.t1", text=text)


def born(name: str, parent: str | None = None) -> AgentSpawned:
    return AgentSpawned(agent=name, harness="rehearsal", role="general", parent=parent)


def write(ledger: Ledger, event: Any, **how: bool) -> Entry:
    """What `Manager.record` does, without its tree."""
    entry = ledger.stamp(event)
    ledger.append(entry, entry.to_line(), **how)
    return entry
