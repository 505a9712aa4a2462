"""Sees jobs of several agents through: asks whom `steps.py` names, hears the answers, tells the report.

Everybody is asked in the name of who wants the job. Its report lies in the inbox of that
one when the job is over, and is taken from there by whoever waited for it. Nothing is
remembered here but who is at it: a kernel that goes on with a run goes on with its jobs.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections import Counter
from collections.abc import Awaitable, Callable, Coroutine, Iterable, Sequence
from typing import Any, Protocol, TypeVar

from .errors import BadInput, LedgerFull, MadroxError, NotRunning
from .events import (
    PERSON,
    Entry,
    Event,
    JobEnded,
    JobMissed,
    JobOutcome,
    JobStarted,
    MessagePosted,
    MessageRead,
    TurnEnded,
    Way,
)
from .folds import Inboxes, Message
from .mail import ROOM_SECONDS, Mail
from .queueing import HOUSE, check_prompt
from .steps import Job, Jobs, Part, question, report, to_ask
from .tickets import Ticket
from .tree import Tree

T = TypeVar("T")

log = logging.getLogger(__name__)


class TakenBack(MadroxError):
    """Whoever asked does not want to know any more."""


class Desk(Protocol):
    """What a foreman needs of the manager."""

    tree: Tree
    inboxes: Inboxes
    jobs: Jobs
    mail: Mail

    async def act(self, event: Event) -> Entry:
        """The one door for what verbs do."""

    async def interrupt(self, name: str) -> TurnEnded | None:
        """End the turn under way. Raises `MadroxError` when that can't be; it then still runs."""

    def soon(self, verb: Coroutine[Any, Any, object]) -> None:
        """Run in the background; a failure is told."""


class Foreman:
    """Those jobs of one manager that are under way. Belongs to the manager's loop."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._awaited = Counter[str]()
        """How often who wants a job waits for it just now."""
        self._stopped: dict[str, str] = {}
        """Job that is being stopped → why."""

    async def start(
        self, participants: Sequence[str], task: str, way: Way, *, caller: str = PERSON, coordinator: str = ""
    ) -> str:
        """Begin a job in the background; returns its id.

        `coordinator` (the caller, when empty) weighs the votes of a consensus and is left
        the report of any other job. Raises `BadInput`, `BadPrompt` or `UnknownAgent`; then
        nothing has changed.
        """
        check_prompt(task)
        self._check(participants, coordinator)
        job = self._desk.tree.next_job(caller)
        started = JobStarted(
            agent=caller,
            job=job,
            way=way,
            coordinator=coordinator or caller,
            participants=tuple(participants),
            text=task,
        )
        await self._desk.act(started)
        self._see_through(job)
        return job

    def _check(self, participants: Sequence[str], coordinator: str) -> None:
        if not participants:
            raise BadInput("a job needs participants: name at least one agent")
        for name in (*participants, *filter(None, [coordinator])):
            if name != PERSON:
                _ = self._desk.tree[name]
        if twice := sorted({name for name in participants if participants.count(name) > 1}):
            raise BadInput(f"{', '.join(twice)} is named twice: each participant has one part in a job")

    async def wait(self, job: str, seconds: float | None = None, *, by: str = "") -> Job:
        """The job when it is over, or as it stands after `seconds`. Raises `UnknownJob`.

        When `by` wants the job itself, this is how it is told: its report does not lie in
        its inbox then. Who can't take what it waited for gives it back.
        """
        waits = by == self._desk.jobs[job].caller
        if (task := self._tasks.get(job)) is not None:
            self._awaited[job] += waits
            try:
                await asyncio.wait((task,), timeout=seconds)
            finally:
                self._awaited[job] -= waits
        return self._desk.jobs[job]

    async def stop(self, job: str, why: str = "stopped", *, by: str = "") -> Job:
        """End what a job has under way, and ask nobody any more; returns it as it ended.

        Questions that wait are taken back, turns that work on one are interrupted; the
        agents stay. What was answered counts. A turn that can't be interrupted works on:
        its part says so, and its answer is left for who asked. A job that is over is left
        as it is. Raises `UnknownJob`. Cancelled, it goes on stopping.
        """
        if self._desk.jobs[job].ended is None and job in self._tasks and job not in self._stopped:
            self._stopped[job] = why
            self._desk.soon(self._call_off(job))
        return await self.wait(job, by=by)

    async def _call_off(self, job: str) -> None:
        parts = self._desk.jobs[job].parts
        asked = {part.question for part in parts if part.open}
        tickets = [each for each in self._desk.mail.open_tickets() if each.message in asked]
        await asyncio.gather(*map(self._take_back, tickets))

    async def _take_back(self, ticket: Ticket) -> None:
        if await self._with_room(lambda: self._desk.mail.withdraw(ticket)):
            ticket.close(TakenBack(f"{ticket.message} was taken back"))
        elif ticket.turn and self._desk.tree[ticket.agent].turn == ticket.turn:
            try:
                await self._desk.interrupt(ticket.agent)
            except MadroxError as exc:
                self._desk.mail.excuse(ticket.agent, exc)

    async def told(self, job: Job) -> None:
        """Who wanted this job knows its report: take it out of the inbox, if it still lies there."""
        for message in self._reports(job):
            await self._desk.act(MessageRead(agent=job.caller, message=message.id))

    def give_back(self, job: str) -> None:
        """Who waited for this job was not told after all: leave the report, if it has come."""
        found = self._desk.jobs[job]
        if found.ended is not None and not self._reports(found) and self._wanted(found):
            self._desk.soon(self._leave(found.caller, report(found), answers=job))

    def _reports(self, job: Job) -> list[Message]:
        unread = self._desk.inboxes.unread(job.caller)
        return [m for m in unread if (m.sender, m.answers) == (HOUSE, job.id)]

    def busy(self, names: Iterable[str] = ()) -> bool:
        """Whether a job of these participants (or any) is not over."""
        wanted = set(names)
        under_way = (self._desk.jobs[job] for job in self._tasks)
        return any(not wanted or wanted & {part.agent for part in job.parts} for job in under_way)

    def go_on(self) -> None:
        """Take up what another kernel began, whose run goes on here."""
        told = {m.answers for m in self._desk.inboxes.messages.values() if m.sender == HOUSE}
        for job in self._desk.jobs:
            if job.id not in told and (job.ended is None or self._wanted(job)):
                self._see_through(job.id)

    def close(self) -> None:
        for task in tuple(self._tasks.values()):
            task.cancel()

    def _see_through(self, job: str) -> None:
        task = asyncio.ensure_future(self._run(job))
        self._tasks[job] = task
        task.add_done_callback(lambda done: self._over(job, done))

    def _over(self, job: str, done: asyncio.Task[None]) -> None:
        del self._tasks[job]
        self._stopped.pop(job, None)
        self._desk.mail.stir()
        if not done.cancelled() and (error := done.exception()) is not None:
            log.error("job %s: %s", job, error, exc_info=error)

    async def _run(self, name: str) -> None:
        """Ask and hear until nobody is left to ask, then tell what came of it."""
        why = ""
        try:
            await self._in_turn(name)
        except Exception as exc:
            if isinstance(exc, ExceptionGroup) and exc.subgroup(NotRunning):
                return  # madrox is being closed: the run's end is the job's
            log.exception("job %s", name)  # a bug of ours: the job ends all the same, visibly
            why = f"internal error ({type(exc).__name__}): madrox.log says more"
        with contextlib.suppress(NotRunning):
            await self._end(name, why or self._stopped.get(name, ""))

    async def _in_turn(self, name: str) -> None:
        jobs = self._desk.jobs
        async with asyncio.TaskGroup() as group:  # asked by another kernel, in a run that goes on
            for part in jobs[name].parts:
                if part.open:
                    group.create_task(self._take_up(name, part))
        while self._goes_on(name) and (parts := to_ask(jobs[name])):
            async with asyncio.TaskGroup() as group:
                for part in parts:
                    group.create_task(self._ask(name, part))

    def _goes_on(self, name: str) -> bool:
        return name not in self._stopped and self._wanted(self._desk.jobs[name])

    def _wanted(self, job: Job) -> bool:
        """Whether who began it is still there, and no successor of that name."""
        if job.caller == PERSON:
            return True
        caller = self._desk.tree[job.caller]
        return caller.alive and caller.born < job.seq

    async def _ask(self, name: str, part: Part) -> None:
        job, mail = self._desk.jobs[name], self._desk.mail
        text = question(job, part)
        try:
            ticket = await self._with_room(lambda: mail.ask(part.agent, text, job.caller, job=name))
        except NotRunning:
            raise
        except MadroxError as exc:
            await self._missed(name, part, str(exc))
        else:
            if name in self._stopped:  # while it was being asked
                await self._take_back(ticket)
            await self._hear(name, part, ticket)

    async def _take_up(self, name: str, part: Part) -> None:
        tickets = self._desk.mail.open_tickets()
        ticket = next((each for each in tickets if each.message == part.question), None)
        if ticket is None:
            await self._missed(name, part, "its question was lost with an earlier kernel")
        else:
            await self._hear(name, part, ticket)

    async def _hear(self, name: str, part: Part, ticket: Ticket) -> None:
        """Wait for the answer. What it says is in the ledger; here it only counts as heard."""
        try:
            await self._desk.mail.answer(ticket)
        except NotRunning:
            raise
        except TakenBack:
            pass  # the end of the job says what became of this part
        except MadroxError as exc:
            now = next(each for each in self._desk.jobs[name].parts if self._same(each, part))
            if now.open:  # it never became a turn
                await self._missed(name, part, str(exc))

    @staticmethod
    def _same(one: Part, other: Part) -> bool:
        return (one.agent, one.synthesis) == (other.agent, other.synthesis)

    async def _missed(self, name: str, part: Part, why: str) -> None:
        caller, first = self._desk.jobs[name].caller, why.partition("\n")[0]
        missed = JobMissed(agent=caller, job=name, participant=part.agent, why=first)
        await self._with_room(lambda: self._desk.act(missed))

    async def _end(self, name: str, why: str) -> None:
        job = self._desk.jobs[name]
        if job.ended is None:
            wanted = self._wanted(job)
            why = why or ("" if wanted else f"{job.caller} has ended, who wanted it")
            ended = JobEnded(agent=job.caller, job=name, outcome=self._outcome(job, why), error=why)
            await self._with_room(lambda: self._desk.act(ended))
        job = self._desk.jobs[name]
        if self._wanted(job):
            await self._leave(job.caller, report(job), answers=name)
            if self._awaited[name] > 0:
                await self.told(job)
        if job.way != "consensus" and job.coordinator not in (job.caller, PERSON):
            await self._leave(job.coordinator, report(job))

    def _outcome(self, job: Job, why: str) -> JobOutcome:
        if job.id in self._stopped:
            return "stopped"
        if not job.answered:
            return "failed"
        return "interrupted" if why else "ok"

    async def _leave(self, name: str, text: str, answers: str = "") -> None:
        """Put a report into an inbox, unless its owner has ended."""
        tree = self._desk.tree
        if name == PERSON or tree[name].alive:
            await self._with_room(
                lambda: self._desk.act(
                    MessagePosted(
                        agent=name,
                        message=tree.next_message(HOUSE),
                        sender=HOUSE,
                        text=text,
                        answers=answers,
                    )
                )
            )

    async def _with_room(self, act: Callable[[], Awaitable[T]]) -> T:
        """Do what belongs to a job that has been taken: a full disk is waited out."""
        while True:
            try:
                return await act()
            except LedgerFull:
                await self._desk.mail.change(ROOM_SECONDS)
