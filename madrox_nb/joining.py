"""Messages that are to join the turn under way, until the CLI says whether they did."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import count
from typing import Protocol

from .events import Entry, Event, TurnSteered
from .harness import Steered
from .tickets import Ticket
from .tree import Tree


class Desk(Protocol):
    """What joining needs of the manager."""

    tree: Tree

    def record(self, event: Event) -> Entry: ...

    def steer(self, agent: str, steer: str, text: str) -> None: ...


class Joining:
    """Tickets that are to join a turn, or have."""

    def __init__(self, desk: Desk, missed: Callable[[Ticket], None]) -> None:
        """`missed` is called with a ticket that did not join: nothing is lost."""
        self._desk, self._missed = desk, missed
        self._open: dict[str, Ticket] = {}
        self._steers = count(1)

    def steer(self, ticket: Ticket, text: str) -> Ticket:
        """Write it to the CLI, which says later whether it joined."""
        steer = f"{ticket.agent}.s{next(self._steers)}"
        ticket.how, ticket.text, ticket.turn = "steering", text, self._desk.tree[ticket.agent].turn
        self._open[steer] = ticket
        try:
            self._desk.steer(ticket.agent, steer, text)
        except BaseException:  # a codec that can't: it was never taken
            del self._open[steer]
            raise
        return ticket

    def steered(self, agent: str, steered: Steered) -> None:
        """The CLI says what came of it."""
        ticket = self._open.get(steered.steer)
        if ticket is None or ticket.agent != agent or ticket.how != "steering":
            return
        if not steered.joined:
            del self._open[steered.steer]
            self._missed(ticket)
            return
        ticket.how = "steered"
        joined = TurnSteered(agent=agent, turn=ticket.turn, sender=ticket.sender, text=ticket.text)
        ticket.began = self._desk.record(joined).ts

    def joined(self, turn: str) -> list[Ticket]:
        """The tickets that have joined this turn."""
        return [t for t in self._open.values() if t.how == "steered" and t.turn == turn]

    def ended(self, turn: str) -> None:
        """That turn is over, and with it what joined; what did not is `missed`."""
        for steer, ticket in tuple(self._open.items()):
            if ticket.turn == turn:
                del self._open[steer]
                if ticket.how == "steering":  # the turn ended without a word about it
                    self._missed(ticket)

    def forget(self, ticket: Ticket) -> None:
        self._open = {steer: t for steer, t in self._open.items() if t is not ticket}

    @property
    def tickets(self) -> Sequence[Ticket]:
        return tuple(self._open.values())

    def clear(self) -> None:
        self._open.clear()
