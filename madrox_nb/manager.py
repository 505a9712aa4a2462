"""The core: the verbs over one ledger. Async, on one loop, knows no face.

Verbs act and append; everything else a user asks for is a fold. What agents do comes in
through their runners and `record`; what verbs do goes through one door, `act`, which a
replay can answer from a recording.
"""

from __future__ import annotations

import asyncio
import os
import uuid
from collections.abc import Awaitable, Callable, Container, Coroutine, Mapping
from typing import Any

from . import __version__, library
from .activity import Activity
from .approvals import Requests
from .background import Background
from .births import Births
from .budget import RUN, Budget, Limits
from .clients import Clients
from .comeback import go_on
from .config import Settings
from .environment import names_secret
from .errors import BadInput, LedgerFull, MadroxError, NotRunning
from .events import (
    PERSON,
    AgentSpawned,
    AgentStopped,
    Always,
    ApprovalAnswered,
    BudgetSet,
    Entry,
    Event,
    RunClosed,
    RunOpened,
    Signal,
    TurnEnded,
    whole,
)
from .fold import by_kind
from .folds import Approval, Approvals, Costs, Inboxes
from .full_disk import FullDisk
from .harness import Features
from .hearing import Hearing
from .idleness import Idleness
from .jobs import Foreman
from .keeping import place
from .ledger import Clock, Ledger, expire, recover, utc_now
from .limits import Spending
from .lives import Lives
from .logs import Logs
from .mail import Mail
from .orphans import end_orphans
from .prices import Price
from .processes import Processes
from .redact import Redactor
from .signals import Signals, Watcher
from .signatures import takes_what
from .steps import Jobs
from .summaries import Summaries
from .teams import Teams
from .tickets import Answer, Ticket
from .tokens import FILE as TOKENS
from .tokens import Tokens
from .tree import WORKING, Agent, Tree
from .unfinished import Unfinished
from .workspace import prepare_home

_DECISIONS = frozenset({AgentSpawned, AgentStopped, ApprovalAnswered, BudgetSet})
"""Kinds that are on the disk before anyone hears of them."""


class Manager:
    """One run: a tree of agents, its ledger, and the verbs that act on it.

    Everything belongs to the loop it was opened on; `tree`, `inboxes` and `costs` may be
    read from any thread. Cancelling a verb that waits ends the waiting, not the agents.
    """

    def __init__(
        self,
        settings: Settings,
        *,
        clock: Clock = utc_now,
        ids: Callable[[], str] = lambda: str(uuid.uuid4()),
        environ: Mapping[str, str] | None = None,
        mcp_url: Callable[[], Awaitable[str]] | None = None,
        attended: Callable[[], bool] = lambda: False,
        run: str = "",
    ) -> None:
        """`mcp_url` gives the address where agents find their tools, starting the server if needed;
        `attended` says whether somebody is there to answer, where the settings don't.

        With `run`, a run goes on whose kernel died and whose agents are kept.
        """
        self.settings, self._clock = settings, clock
        self._environ_now = os.environ if environ is None else environ
        self._environ = dict(self._environ_now)
        self.tree, self.inboxes, self.costs, self.approvals = Tree(), Inboxes(), Costs(), Approvals()
        self.budget, self.jobs, self.activity = Budget(), Jobs(), Activity()
        self.harnesses = library.Harnesses(settings.tables, self._environ)
        self.requests = Requests(self, settings, lambda: self.attended)
        self._attended = attended
        self._goes_on, self.run = bool(run), run or f"{clock():%Y%m%dT%H%M%S.%f}-{os.getpid()}"
        kept = settings.on_kernel_death != "kill"
        self.clients = Clients(settings.home)
        self.tokens = Tokens(place(settings.logs, self.run) / TOKENS if kept else None, self.clients)
        self.redactor = Redactor()
        self.prices: dict[str, Price] = {}
        self.mail = Mail(self)
        self.background = Background(self.mail.stir)
        self.foreman, self.disk, self.unfinished = Foreman(self), FullDisk(self), Unfinished(self)
        self.recovered: list[str] = []
        """Runs whose kernel went away and which were closed when this one opened."""
        self.processes = Processes(
            Hearing(self),
            settings,
            run=self.run,
            environ=self._environ,
            ids=ids,
            tokens=self.tokens,
            mcp_url=mcp_url,
        )
        self.idleness = Idleness(self, settings.idle_timeout, clock)
        self.spending = Spending(self, settings, clock)
        self.signals = Signals(self.redactor)
        self.signals.watch(self.activity.hear)
        self.births, self.lives = Births(self), Lives(self)
        self.teams, self.summaries = Teams(self), Summaries(self)
        teams = self.teams.runs
        folds = (self.inboxes, self.costs, self.approvals, self.activity, teams, self.budget, self.jobs)
        takers = ((fold.HEARS, fold.take) for fold in folds)
        self._folds = by_kind(*takers, (self.signals.HEARS, self.signals.heard))
        hearers = (self.mail, self.requests, self.idleness, self.spending)
        self._hearers = by_kind(*((each.HEARS, each.heard) for each in hearers))
        self._open = False

    # the run

    async def open(self) -> Manager:
        """Open the run: its home, its ledger, and what an earlier kernel left behind.

        Raises `NotRunning` for a run that should go on and is not kept any more.
        """
        settings = self.settings
        try:
            prepare_home(settings.home)
            settings.logs.mkdir(parents=True, exist_ok=True, mode=0o700)
        except OSError as exc:
            raise BadInput(
                f"home {settings.home} can't be used: {exc}. Set MADROX_HOME to a place that can"
            ) from exc
        for name, value in self._environ.items():
            if names_secret(name):
                self.redactor.add(name, value)
        self.recovered = recover(settings.logs, clock=self._clock)
        if self.recovered:
            await asyncio.to_thread(end_orphans, self.recovered)
        expire(settings.logs, today=self._clock().date(), days=settings.retention_days)
        kept = await self.processes.reopen() if self._goes_on else []
        try:
            self.ledger = Ledger(settings.logs, self.run, clock=self._clock)
        except BaseException:
            self.processes.leave()
            raise
        self.logs = Logs(self.ledger, settings.work, ended=self.recovered, behind=self._goes_on)
        self.ledger.listen(self.logs.heard)
        self._open = True
        before = list(self.ledger)
        for entry in before:
            self._fold(entry)
        self.record(RunOpened(run=self.run, madrox=__version__, pid=os.getpid()))
        if self._goes_on:
            go_on(self, kept, before)
        self.spending.open()
        self.births.clear_up(self.recovered)
        return self

    async def leave(self) -> None:
        """Go, and leave the agents to whoever comes back to this run. Only where they are kept."""
        if self._open:
            self._turn_away()
            self.background.cancel()
            self.processes.leave()
            self.ledger.close()
            await asyncio.to_thread(self.logs.close)

    async def close(self, reason: str = "closed") -> None:
        """End every agent and the run. Idempotent."""
        if not self._open:
            return
        self._turn_away()
        try:
            while alive := self.tree.alive():
                await asyncio.gather(*(self.lives.end(agent.name, reason) for agent in reversed(alive)))
            self.background.cancel()
            self.record(RunClosed(reason=reason))
        finally:  # whatever goes wrong above, and though it is cancelled: nobody is left running
            try:
                await self.processes.close()
            finally:
                self.ledger.close()
                await asyncio.to_thread(self.logs.close)

    def _turn_away(self) -> None:
        """Begin nothing any more, and tell those who wait."""
        self._open = False
        for each in (self.teams, self.mail, self.idleness, self.spending, self.foreman):
            each.close()

    # the ledger's two doors

    async def act(self, event: Event) -> Entry:
        """Put into the ledger what a verb does, or raise and leave no trace.

        A replay answers here from its recording instead.
        """
        self._check_open()
        return self.record(event, refuse=True)

    def record(self, event: Event, *, refuse: bool = False) -> Entry:
        """The only way into the ledger: legal, then durable, then folded, then announced.

        Raises `IllegalEvent`, or `LedgerFull` when it may `refuse`; then nothing was
        written. What agents did is never refused: a full disk keeps it in memory and
        stops the reading until there is room.
        """
        state = self.tree.check(event)
        self.teams.runs.check(event)
        entry = self.ledger.stamp(event)
        try:
            line = entry.to_line()
        except TypeError:  # half a character, which UTF-8 can't hold
            entry = entry._replace(event=whole(event))
            line = entry.to_line()
        if self.redactor.stains(line):
            entry = entry._replace(event=self.redactor.event(entry.event))
            line = entry.to_line()
        event = entry.event
        try:
            self.ledger.append(entry, line, decision=type(event) in _DECISIONS, refuse=refuse)
        except LedgerFull:
            self.disk.wait()  # so that what is queued is handed over when there is some
            raise
        self._fold(entry, state)
        self.ledger.announce(entry)
        for hear in self._hearers[type(event)]:
            hear(entry)
        if self.ledger.trouble is not None:
            self.disk.wait()
        return entry

    def _fold(self, entry: Entry, state: str | None = None) -> None:
        self.tree.apply(entry, state)
        for take in self._folds[type(entry.event)]:
            take(entry)

    def watch(self, watcher: Watcher) -> Callable[[], None]:
        """Call `watcher` with every signal, on the loop; returns the stop."""
        return self.signals.watch(watcher)

    def signal(self, signal: Signal) -> None:
        """Tell the watchers."""
        self.signals.tell(signal)

    # verbs: agents

    @property
    def environ(self) -> Mapping[str, str]:
        """The environment as it is now, where references are followed to."""
        return {**self._environ, **self._environ_now}

    @takes_what(Births.spawn)
    async def spawn(self, *args: Any, **given: Any) -> Agent:
        """Start an agent; see `Births.spawn`."""
        return await self.births.spawn(*args, **given)

    @takes_what(Births.fork)
    async def fork(self, *args: Any, **given: Any) -> Agent:
        """Start a second agent with the conversation and files of another; see `Births.fork`."""
        return await self.births.fork(*args, **given)

    def features(self, name: str) -> Features:
        """What the CLI of that agent can do."""
        return self.harnesses[self.tree[name].harness].features

    async def suspend(self, name: str, reason: str = "suspended") -> Agent:
        """End the process of an idle agent, which can go on later; see `Lives.suspend`."""
        return await self.lives.suspend(name, reason)

    async def resume(self, name: str, *, wait: bool = True) -> Agent:
        """Start a suspended agent again, in its session; see `Lives.resume`."""
        return await self.lives.resume(name, wait=wait)

    @takes_what(Lives.terminate)
    async def terminate(self, *args: Any, **given: Any) -> list[str]:
        """End an agent and everyone below it; see `Lives.terminate`."""
        return await self.lives.terminate(*args, **given)

    async def interrupt(self, name: str) -> TurnEnded | None:
        """End the turn under way, keeping its context; see `Lives.interrupt`."""
        return await self.lives.interrupt(name)

    async def limit(
        self,
        name: str = RUN,
        *,
        usd: float | None = None,
        tokens: float | None = None,
        minutes: float | None = None,
        turns: float | None = None,
        max_depth: float | None = None,
        max_children: float | None = None,
        more: bool = False,
        by: str = PERSON,
    ) -> None:
        """Limit what an agent and all below it may use; without a name, the whole run.

        Amounts are what may be used in all, so raising one lets go on what waits; with `more`
        they come on top of what has been used. Minutes count from now. Infinity takes a limit
        away. Raises `BadInput`, `UnknownAgent`, or `Forbidden` when the agent `by` would give
        more than it has left, or loosen what somebody above it has set.
        """
        self._check_open()
        limits = Limits(
            usd=usd,
            tokens=tokens,
            minutes=minutes,
            turns=turns,
            max_depth=max_depth,
            max_children=max_children,
        )
        await self.spending.set(name, limits, more=more, by=by)

    # verbs: approvals

    @property
    def attended(self) -> bool:
        """Whether somebody is there to answer an agent's request."""
        said = self.settings.attended
        return self._attended() if said == "auto" else said == "yes"

    async def approve(self, approval: str, *, always: Always = "") -> Approval:
        """Let an agent do what it asked for; with `always` the same tool from now on:

        of this agent, of it and all below it (`subtree`), or of anybody (`tool`). Raises
        `UnknownApproval`, or `BadInput` when it needs no answer any more.
        """
        self._check_open()
        return self.requests.answer(approval, "allow", always=always)

    async def deny(self, approval: str, why: str = "", *, always: Always = "") -> Approval:
        """Refuse what an agent asked for; it is told `why` and goes on. See `approve`."""
        self._check_open()
        return self.requests.answer(approval, "deny", why=why, always=always)

    # verbs: words

    async def ask(self, agent: str, text: str, *, sender: str = PERSON, steer: bool = False) -> Ticket:
        """Start a turn, or queue it; `answer` waits for its end.

        With `steer` it joins the turn under way where the CLI can do that; `Ticket.how`
        says what came of it. Raises `BudgetSpent` when a limit keeps the agent from taking turns.
        """
        self._check_open()
        if self.tree[agent].alive and not (steer and self.steers(agent)):
            self.spending.check_turn(agent)
        return await self.mail.ask(agent, text, sender, steer=steer)

    async def answer(self, ticket: Ticket, timeout: float | None = None) -> Answer | None:
        """Wait for the answer; None when `timeout` seconds pass first. Cancelled, the agent works on."""
        return await self.mail.answer(ticket, timeout)

    async def send(self, agent: str, text: str, *, sender: str = PERSON, steer: bool = False) -> Answer:
        """Start a turn with `text` (or queue it) and wait for its end; see `ask`.

        A turn that fails or is interrupted is an answer too, with its outcome. Raises
        `BadPrompt`, `UnknownAgent`, `AgentGone`, or `NotRunning` when madrox is closed.
        """
        answer = await self.mail.answer(await self.ask(agent, text, sender=sender, steer=steer))
        assert answer is not None
        return answer

    async def post(self, agent: str, text: str, *, sender: str = PERSON) -> str:
        """Leave a message in an inbox without waiting; returns its id.

        It goes with the agent's next turn, or when the agent asks for its messages.
        """
        self._check_open()
        return await self.mail.post(agent, text, sender)

    async def reply(self, agent: str, text: str, *, to: str = "") -> tuple[str, str]:
        """`agent` answers one message (or the question it works on); returns (message, recipient)."""
        return await self.mail.reply(agent, text, to)

    async def take(self, name: str = PERSON, timeout: float = 0) -> list[Any]:
        """Take the unread messages of `name`, waiting up to `timeout` seconds for the first."""
        return list(await self.mail.take(name, timeout))

    @takes_what(Unfinished.gone)
    async def quiet(self, *args: Any, **given: Any) -> bool:
        """Wait until these agents and all below them have nothing left to do; see `Unfinished.gone`."""
        return await self.unfinished.gone(*args, **given)

    def at_work(self, names: tuple[str, ...] = (), besides: Container[str] = ()) -> bool:
        """Whether one of these, or below them, has something left to do, or a part in a job under way."""
        return self.unfinished.anything(names, besides)

    def unquiet(self, names: tuple[str, ...] = (), besides: Container[str] = ()) -> list[Agent]:
        """Who of these and all below them still works, starts, or is about to be handed something."""
        return self.unfinished.agents(names, besides)

    # Desk: what mail needs

    def takes_turns(self, agent: str) -> bool:
        idle = self.tree[agent].state == "idle" and self.processes.running(agent)
        return idle and self.spending.holding(agent) is None

    def held(self, agent: str) -> MadroxError | None:
        """Why the agent takes no turns, when a limit keeps it from that."""
        return self.spending.held(agent)

    def begin(self, agent: str, turn: str, text: str) -> None:
        """Write a turn's prompt to the agent's CLI."""
        self.processes[agent].begin(turn, text)

    def steers(self, agent: str) -> bool:
        """Whether a message can join the turn that the agent works on."""
        working = self.tree[agent].state in WORKING and self.processes.running(agent)
        return working and self.features(agent).steer

    def steer(self, agent: str, steer: str, text: str) -> None:
        """Write a message that is to join the turn under way."""
        self.processes[agent].steer(steer, text)

    def wake(self, agent: str) -> None:
        """Resume a suspended agent that has something to do."""
        if self._open and self.tree[agent].state == "suspended" and self.unfinished.waits(agent):
            self.soon(self.lives.wake(agent))

    def soon(self, verb: Coroutine[Any, Any, object]) -> None:
        """Run in the background. A failure is logged; those who wait for it are told by the verb itself."""
        self.background.start(verb)

    def _check_open(self) -> None:
        if not self._open:
            raise NotRunning("this madrox is closed; open a new one with Madrox()")
