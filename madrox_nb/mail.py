"""Who asks whom, who waits for which answer, and what an idle agent is handed next.

The queue of an agent is its inbox, a fold. A `Ticket` is one question on its way.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Coroutine, Iterable, Sequence
from typing import Any, Final, Protocol

from .errors import AgentGone, LedgerFull, MadroxError, NotRunning, UnknownMessage
from .events import (
    PERSON,
    AgentReady,
    AgentStopped,
    AgentSuspended,
    Entry,
    Event,
    MessagePosted,
    MessageRead,
    TurnEnded,
    TurnStarted,
    UsageReported,
)
from .folds import Inboxes, Message, usage_of
from .harness import Steered
from .joining import Joining
from .queueing import check_prompt, next_batch, who_asked
from .tickets import Answer, Ticket, ending
from .tree import Tree
from .wording import handover

ROOM_SECONDS = 0.5
"""Between two looks whether a full disk has room for an answer."""
log = logging.getLogger(__name__)


class Desk(Protocol):
    """What mail needs of the manager."""

    tree: Tree
    inboxes: Inboxes

    async def act(self, event: Event) -> Entry:
        """The one door for what verbs do."""

    def record(self, event: Event, *, refuse: bool = False) -> Entry:
        """The door for what agents did."""

    def takes_turns(self, agent: str) -> bool:
        """Whether a turn can be started now. Raises `UnknownAgent`."""

    def held(self, agent: str) -> MadroxError | None:
        """Why the agent takes no turns though it could, when a limit keeps it from that."""

    def begin(self, agent: str, turn: str, text: str) -> None:
        """Write the prompt of a turn to the agent's CLI."""

    def steers(self, agent: str) -> bool:
        """Whether a message can join the turn under way. Raises `UnknownAgent`."""

    def steer(self, agent: str, steer: str, text: str) -> None:
        """Write a message that is to join the turn under way."""

    def wake(self, agent: str) -> None:
        """Resume a suspended agent that has something to do."""

    def soon(self, verb: Coroutine[Any, Any, object]) -> None:
        """Run in the background; a failure is told."""


class Mail:
    """The verbs that carry words: ask and answer, post, reply, take."""

    HEARS: Final = frozenset(
        {
            TurnStarted,
            TurnEnded,
            UsageReported,
            AgentStopped,
            AgentReady,
            AgentSuspended,
            MessagePosted,
            MessageRead,
        }
    )

    def __init__(self, desk: Desk) -> None:
        self._desk = desk
        self._queued: dict[str, Ticket] = {}
        self._running: dict[str, Ticket] = {}
        self._joining = Joining(desk, self._requeue)
        self._watches: list[asyncio.Future[None]] = []

    # verbs

    async def ask(
        self, agent: str, text: str, sender: str = PERSON, *, steer: bool = False, job: str = ""
    ) -> Ticket:
        """Start a turn with `text`, or queue it behind what the agent has to do.

        With `steer` it joins the turn under way where the CLI can do that. What is asked
        for a `job` is always a message, which names the job. Raises `BadPrompt`,
        `UnknownAgent` or `AgentGone`; then nothing has changed.
        """
        desk = self._desk
        check_prompt(text)
        ticket = Ticket(agent, sender)
        if steer and desk.steers(agent):
            return self._joining.steer(ticket, text)
        if sender == PERSON and not job and desk.takes_turns(agent) and not desk.inboxes.unread(agent):
            await self._begin(ticket, text)  # nobody will look for it in the inbox: it starts now
            return ticket
        await self._queue(ticket, text, job)
        return ticket

    async def _queue(self, ticket: Ticket, text: str, job: str = "") -> None:
        desk = self._desk
        ticket.how, ticket.message = "queued", desk.tree.next_message(ticket.sender)
        self._queued[ticket.message] = ticket
        asks = MessagePosted(
            agent=ticket.agent, message=ticket.message, sender=ticket.sender, text=text, asks=True, job=job
        )
        try:
            await desk.act(asks)
        except BaseException:
            self._queued.pop(ticket.message, None)
            raise

    def steered(self, agent: str, steered: Steered) -> None:
        """See `Joining.steered`."""
        self._joining.steered(agent, steered)

    def _requeue(self, ticket: Ticket) -> None:
        """It did not join: it gets a turn of its own."""
        missed, ticket.turn, text, ticket.text = ticket.turn, "", ticket.text, ""
        self._desk.soon(self._queue_or_tell(ticket, text, missed))

    async def _queue_or_tell(self, ticket: Ticket, text: str, missed: str) -> None:
        while True:
            try:
                return await self._queue(ticket, text)
            except LedgerFull:  # it has been taken: it waits for room
                await self.change(ROOM_SECONDS)
            except MadroxError as exc:  # whoever asked is told, and knows it by the turn that it was for
                ticket.message, ticket.turn = "", missed
                if not ticket.close(exc):
                    self._leave(ticket)
                raise

    async def answer(self, ticket: Ticket, timeout: float | None = None) -> Answer | None:
        """Wait for the answer to `ticket`; None when `timeout` seconds pass first.

        What the agent said with `reply_to_caller` meanwhile comes with it and counts as
        read. Raises what kept the question from becoming a turn. Cancelling it ends the
        waiting only.
        """
        try:
            if not await ticket.wait(timeout):
                return None
        except asyncio.CancelledError:
            self.give_back(ticket)  # it may have come in the very moment when the waiting was given up
            raise
        if ticket.left:  # it ended between the question and the waiting: take it back out of the inbox
            ticket.alone = True
            await self._replies(ticket)
        if isinstance(ticket.end, MadroxError):
            raise ticket.end
        assert ticket.end is not None
        ended = ticket.end.event
        assert isinstance(ended, TurnEnded)
        replies = await self._replies(ticket) if ticket.replied else ()
        return Answer(
            agent=ticket.agent,
            turn=ticket.turn,
            outcome=ended.outcome,
            text=ended.text,
            error=ended.error,
            replies=replies,
            usage=ticket.usage,
            how=ticket.how,
            duration_s=(ticket.end.ts - ticket.began).total_seconds() if ticket.began else 0.0,
        )

    async def post(self, agent: str, text: str, sender: str = PERSON, answers: str = "") -> str:
        """Leave a message in the inbox of `agent`; returns its id. Waits for nothing."""
        check_prompt(text)
        message = self._desk.tree.next_message(sender)
        await self._desk.act(
            MessagePosted(agent=agent, message=message, sender=sender, text=text, answers=answers)
        )
        return message

    async def reply(self, agent: str, text: str, to: str = "") -> tuple[str, str]:
        """`agent` answers the question `to`, or the one it works on; returns (message, recipient).

        Raises `UnknownMessage` when nobody asked it that.
        """
        ticket = self._question(agent, to)
        recipient, answers = self._addressee(agent, to, ticket)
        message = await self.post(recipient, text, agent, answers)
        if ticket is not None:
            ticket.replied = True
        return message, recipient

    async def withdraw(self, ticket: Ticket) -> bool:
        """Take a question back that has not become a turn; False when it has."""
        if self._queued.pop(ticket.message, None) is None:
            return False
        try:
            await self._desk.act(MessageRead(agent=ticket.agent, message=ticket.message))
        except BaseException:
            self._queued[ticket.message] = ticket
            raise
        return True

    async def take(self, name: str, timeout: float = 0) -> list[Message]:
        """Take what lies unread in the inbox of `name`; waits up to `timeout` seconds for the first.

        Questions stay: they become turns.
        """
        await self.first(name, timeout)
        notes = self._notes(name)
        for note in notes:
            await self._desk.act(MessageRead(agent=name, message=note.id))
        return notes

    async def first(self, name: str, timeout: float) -> None:
        """Wait until something can be taken, at most `timeout` seconds. Reads nothing."""
        loop = asyncio.get_running_loop()
        deadline = loop.time() + timeout
        while not self._notes(name) and (left := deadline - loop.time()) > 0:
            if name != PERSON and not self._desk.tree[name].alive:
                return  # what comes now is for a successor of that name
            await self.change(left)

    def _notes(self, name: str) -> list[Message]:
        return [m for m in self._desk.inboxes.unread(name) if not m.asks]

    async def change(self, timeout: float | None = None) -> None:
        """Wait until anything changes that mail or states depend on, at most `timeout` seconds."""
        watch: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._watches.append(watch)
        await asyncio.wait((watch,), timeout=timeout)
        if watch in self._watches:
            self._watches.remove(watch)

    # what the ledger's entries mean for those who wait

    def heard(self, entry: Entry) -> None:
        """Called with every entry of a kind that it `HEARS`, once it is folded."""
        match event := entry.event:
            case TurnEnded():
                self._ended(entry, event)
            case UsageReported():
                for ticket in self._in_turn(event.turn):
                    ticket.usage += usage_of(event)
                return
            case AgentStopped():
                self._stopped(event)
            case AgentReady() | AgentSuspended() | MessagePosted():
                self.feed(event.agent)
        if self._watches:
            self.stir()

    def stir(self) -> None:
        """Let those look again who wait for a `change`."""
        watches, self._watches = self._watches, []
        for watch in watches:
            if not watch.done():
                watch.set_result(None)

    def feed(self, agent: str) -> None:
        """Hand `agent` what waits for it, if it is idle."""
        desk = self._desk
        if agent == PERSON or not desk.inboxes.unread(agent):
            return
        if (held := desk.held(agent)) is not None:
            self._hold(agent, held)
        elif desk.takes_turns(agent):
            desk.soon(self._feed(agent))
        else:
            desk.wake(agent)

    def _hold(self, agent: str, why: MadroxError) -> None:
        """Nobody waits for one that may take no turns: tell them. What they asked stays in its inbox.

        When it goes on, the answer is left in the inbox of who asked.
        """
        for ticket in [each for each in self._queued.values() if each.agent == agent]:
            del self._queued[ticket.message]
            if not ticket.close(why):
                self._leave(ticket)

    def excuse(self, agent: str, why: MadroxError) -> None:
        """Who waits for the turn under way waits no more; if it ever ends, its answer is left for them."""
        for ticket in [each for each in self._running.values() if each.agent == agent and each.waiters]:
            ticket.leave = True
            ticket.close(why)

    async def _feed(self, agent: str) -> None:
        desk = self._desk
        if not desk.takes_turns(agent):
            if (held := desk.held(agent)) is not None:  # another of its family took the last turn
                self._hold(agent, held)
            return
        batch = next_batch(agent, desk.tree, desk.inboxes)
        if not batch:
            return
        asked = next((m for m in batch if m.asks), None)
        ticket = self._queued.pop(asked.id, None) if asked else None
        ticket = ticket or Ticket(  # asked in an earlier kernel, or nobody's question: nobody waits here
            agent, who_asked(batch), message=asked.id if asked else "", asks=asked is not None, leave=True
        )
        try:
            await self._begin(ticket, handover(batch), [m.id for m in batch])
        except LedgerFull:  # it stays queued; the manager feeds again when there is room
            if ticket.message:
                self._queued[ticket.message] = ticket
        except Exception as exc:
            told = (
                exc if isinstance(exc, MadroxError) else MadroxError(f"{agent} could not be asked: {exc!r}")
            )
            ticket.close(told)
            raise

    async def _begin(self, ticket: Ticket, text: str, messages: Sequence[str] = ()) -> None:
        desk = self._desk
        turn = desk.tree.next_turn(ticket.agent)
        entry = await desk.act(
            TurnStarted(
                agent=ticket.agent, turn=turn, sender=ticket.sender, text=text, messages=tuple(messages)
            )
        )
        ticket.turn, ticket.began = turn, entry.ts
        self._running[turn] = ticket
        desk.begin(ticket.agent, turn, text)

    def _in_turn(self, turn: str) -> list[Ticket]:
        """The ticket that became this turn, and those that have joined it."""
        began = [self._running[turn]] if turn in self._running else []
        return began + self._joining.joined(turn)

    def _ended(self, entry: Entry, event: TurnEnded) -> None:
        for ticket in self._in_turn(event.turn):
            if not ticket.close(entry):
                self._leave(ticket)
        self._running.pop(event.turn, None)
        self._joining.ended(event.turn)
        self.feed(event.agent)

    def _stopped(self, event: AgentStopped) -> None:
        for ticket in self.open_tickets():
            ticket.alone = ticket.alone or ticket.sender == event.agent
        for ticket in [t for t in self.open_tickets() if t.agent == event.agent]:
            self._queued.pop(ticket.message, None)
            self._running.pop(ticket.turn, None)  # its end could not be recorded
            self._joining.forget(ticket)
            state = "failed" if event.failed else "stopped"
            never = TurnStarted(agent=ticket.agent, turn="", sender=ticket.sender, text="")
            if not ticket.close(AgentGone(never, state, event.reason)):
                self._leave(ticket)

    def take_up(self, ticket: Ticket) -> None:
        """A question goes on that another kernel took. Nobody here waits for it, so its answer is left."""
        ticket.leave = True
        if ticket.turn:
            self._running[ticket.turn] = ticket
        else:
            self._queued[ticket.message] = ticket

    def give_back(self, ticket: Ticket) -> None:
        """Who waited for this answer can't take it: leave it, if it has come."""
        if isinstance(ticket.end, Entry):
            self._leave(ticket)

    def _leave(self, ticket: Ticket) -> None:
        """Nobody waits any more: leave the answer in the inbox of who asked."""
        wanted = ticket.leave if ticket.sender == PERSON else ticket.sender in self._desk.tree
        if wanted and not (ticket.alone or ticket.left) and ticket.id and ticket.asks and not ticket.replied:
            ticket.left = True
            self._desk.soon(self._leave_answer(ticket))

    async def _leave_answer(self, ticket: Ticket) -> None:
        desk = self._desk
        text, outcome = ending(ticket)
        while not ticket.alone:
            try:
                await desk.act(
                    MessagePosted(
                        agent=ticket.sender,
                        message=desk.tree.next_message(ticket.agent),
                        sender=ticket.agent,
                        text=text or f"({outcome})",
                        answers=ticket.id,
                        outcome=outcome,
                    )
                )
                return
            except LedgerFull:  # it has been given: it waits for room, as whatever an agent says
                await self.change(ROOM_SECONDS)

    async def _replies(self, ticket: Ticket) -> tuple[str, ...]:
        unread = self._desk.inboxes.unread(ticket.sender)
        mine = [m for m in unread if m.sender == ticket.agent and m.answers == ticket.id]
        for message in mine:
            await self._desk.act(MessageRead(agent=ticket.sender, message=message.id))
        return tuple(m.text for m in mine)

    def _question(self, agent: str, to: str) -> Ticket | None:
        """The ticket of the question `to`, or of the turn that `agent` works on."""
        running = [t for t in self._running.values() if t.agent == agent]
        if not to:
            return next((t for t in running if t.asks), None)
        return next(
            (t for t in (*running, *self._queued.values()) if t.agent == agent and to in (t.id, t.turn)), None
        )

    def _addressee(self, agent: str, to: str, ticket: Ticket | None) -> tuple[str, str]:
        if ticket is not None:
            return ticket.sender, ticket.id
        if not to:
            return self._desk.tree[agent].parent or PERSON, ""
        message = self._desk.inboxes.messages.get(to)
        if message is None or message.to != agent:
            raise UnknownMessage(to, [m.id for m in self._desk.inboxes.received(agent) if m.asks])
        return message.sender, to

    def open_tickets(self) -> Iterable[Ticket]:
        """Questions that have no answer yet."""
        return (*self._queued.values(), *self._running.values(), *self._joining.tickets)

    def close(self) -> None:
        """Nobody will be answered any more: tell those who wait."""
        for ticket in tuple(self.open_tickets()):
            ticket.close(NotRunning(f"madrox was closed before {ticket.agent} answered"))
        self._queued.clear()
        self._running.clear()
        self._joining.clear()
        self.stir()
