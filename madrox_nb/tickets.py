"""One question on its way, and what came of it.

A `Ticket` is queued, then becomes a turn or joins one, then has an answer. What was said
is in the ledger; a ticket remembers only who waits in this process.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from datetime import datetime
from typing import Literal

from .errors import MadroxError
from .events import Entry, Outcome, TurnEnded
from .folds import Usage

How = Literal["started", "queued", "steering", "steered"]
"""How a question comes to its turn: it starts one, waits for one, is to join the one under way, or has."""


@dataclass(frozen=True, kw_only=True)
class Answer:
    """What came of a question."""

    agent: str
    turn: str
    outcome: Outcome
    text: str
    """The CLI's own final text of the turn."""
    error: str = ""
    replies: tuple[str, ...] = ()
    """What the agent said to it with `reply_to_caller` during the turn."""
    usage: Usage = field(default_factory=Usage)
    duration_s: float = 0.0
    how: How = "started"
    """Whether the question started this turn, was queued for it, or `steered` one that was under way."""

    @property
    def ok(self) -> bool:
        return self.outcome == "ok"


@dataclass(eq=False)
class Ticket:
    """One question: to whom, from whom, and who is waiting for its answer."""

    agent: str
    sender: str
    message: str = ""
    """The message that carries it, unless it started its turn at once."""
    asks: bool = True
    """False for a turn that only hands over notes: nobody waits for its answer."""
    text: str = ""
    """What it says, while it may yet have to be queued."""
    how: How = "started"
    turn: str = ""
    """The turn it became or joined; empty while it is queued."""
    began: datetime | None = None
    alone: bool = False
    """Whoever asked has ended: nobody wants the answer, least of all a successor of that name."""
    replied: bool = False
    """The agent has answered it with `reply_to_caller`."""
    leave: bool = False
    """Leave the answer in the person's inbox when nobody waits. An agent's is always left."""
    left: bool = False
    """Its answer lies in the inbox of who asked, or is on its way there."""
    usage: Usage = field(default_factory=Usage)
    end: Entry | MadroxError | None = None
    """The entry of its `turn.ended`, or why it will never become a turn."""
    waiters: list[asyncio.Future[None]] = field(default_factory=list)

    @property
    def id(self) -> str:
        """What an answer to it names: the message, or the turn that it started."""
        return self.message or self.turn

    async def wait(self, timeout: float | None = None) -> bool:
        """Wait for the end; False when `timeout` seconds pass first.

        Cancelling it ends the waiting only: the agent works on.
        """
        if self.end is None:
            waiter: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            self.waiters.append(waiter)
            try:
                if timeout is None:
                    await waiter
                else:
                    await asyncio.wait((waiter,), timeout=timeout)
            finally:
                if waiter in self.waiters:
                    self.waiters.remove(waiter)
        return self.end is not None

    def close(self, end: Entry | MadroxError) -> bool:
        """Tell everyone who waits. False when nobody did."""
        self.end = end
        waiters, self.waiters = self.waiters, []
        for waiter in waiters:
            if not waiter.done():
                waiter.set_result(None)
        return bool(waiters)


def ending(ticket: Ticket) -> tuple[str, Outcome]:
    """How a closed ticket ended, in words for who asked."""
    if not isinstance(ticket.end, Entry):
        return str(ticket.end), "failed"
    ended = ticket.end.event
    assert isinstance(ended, TurnEnded)
    return ended.text if ended.outcome == "ok" else ended.error or ended.text, ended.outcome
