"""The core: the verbs over one ledger. Async, on one loop, knows no face.

Verbs act and append; everything else a user asks for is a fold. What agents do comes in
through their runners and `record`; what verbs do goes through one door, `act`, which a
replay can answer from a recording.
"""

from __future__ import annotations

import asyncio
import logging
import os
import uuid
from collections.abc import Awaitable, Callable, Container, Coroutine, Mapping
from dataclasses import replace
from typing import Any

from . import __version__, library
from .activity import Activity
from .approvals import Requests
from .births import Births
from .budget import RUN, Budget, Limits
from .clients import Clients
from .comeback import come_back, follow
from .config import Settings
from .environment import names_secret
from .errors import (
    AgentBusy,
    BadInput,
    HarnessError,
    LedgerFull,
    MadroxError,
    NotRunning,
)
from .events import (
    PERSON,
    AgentReady,
    AgentSpawned,
    AgentStopped,
    AgentSuspended,
    Always,
    ApprovalAnswered,
    BudgetSet,
    Entry,
    Event,
    RunClosed,
    RunOpened,
    Signal,
    TurnEnded,
    UsageReported,
    Verdict,
    whole,
)
from .fold import Fold, by_kind
from .folds import Approval, Approvals, Costs, Inboxes
from .harness import Ask, Features, Steered, Withdraw
from .idleness import Idleness
from .jobs import Foreman
from .keeping import place
from .ledger import Clock, Ledger, expire, recover, utc_now
from .limits import Spending
from .logs import Logs
from .mail import Mail
from .nodes import Kept
from .orphans import end_orphans
from .prices import Price, priced
from .processes import Processes
from .queueing import starts_a_turn
from .redact import Redactor
from .runner import Runner
from .signals import Signals, Watcher
from .signatures import takes_what
from .steps import Jobs
from .summaries import Summaries
from .teams import Teams
from .tickets import Answer, Ticket
from .tokens import FILE as TOKENS
from .tokens import Tokens
from .tree import WORKING, Agent, Tree
from .workspace import prepare_home

DISK_RETRY_SECONDS = 0.5

_DECISIONS = frozenset({AgentSpawned, AgentStopped, ApprovalAnswered, BudgetSet})
"""Kinds that are on the disk before anyone hears of them."""

log = logging.getLogger(__name__)


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
        self.foreman = Foreman(self)
        self.recovered: list[str] = []
        """Runs whose kernel went away and which were closed when this one opened."""
        self.processes = Processes(
            self,
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
        self.births = Births(self)
        self.teams = Teams(self)
        self.summaries = Summaries(self)
        folds = ((fold.HEARS, fold.take) for fold in self._kept_up())
        self._folds = by_kind(*folds, (self.signals.HEARS, self.signals.heard))
        hearers = (self.mail, self.requests, self.idleness, self.spending)
        self._hearers = by_kind(*((each.HEARS, each.heard) for each in hearers))
        self._tasks: set[asyncio.Task[object]] = set()
        self._waits_for_room = False
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
        if self.recovered and (orphans := await asyncio.to_thread(end_orphans, self.recovered)):
            log.warning("ended %d processes that an earlier kernel left behind: %s", len(orphans), orphans)
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
        if self._goes_on:
            self._go_on(kept)
        else:
            self.record(RunOpened(run=self.run, madrox=__version__, pid=os.getpid()))
        self.spending.open()
        self.births.clear_up(self.recovered)
        return self

    def _go_on(self, kept: list[Kept]) -> None:
        """Be what the dead kernel was, and take in what the agents said meanwhile."""
        entries = list(self.ledger)
        for entry in entries:
            self.tree.apply(entry)
            for take in self._folds[type(entry.event)]:
                take(entry)
        self.record(RunOpened(run=self.run, madrox=__version__, pid=os.getpid()))
        self.tokens.restore()
        for name, approvals in come_back(self, kept, entries).items():
            for approval, ask in approvals.items():
                self.requests.take_up(self.processes[name], approval, ask)
        follow(self, kept)
        self.foreman.go_on()
        for agent in self.tree.alive():
            if agent.aside:  # nobody waits for its answer any more
                self.soon(self.terminate(agent.name, force=True))
            elif agent.state == "idle":
                self.idleness.begin(agent.name)

    async def leave(self) -> None:
        """Go, and leave the agents to whoever comes back to this run. Only where they are kept."""
        if self._open:
            self._open = False
            self.teams.close()
            self.mail.close()
            self.idleness.close()
            self.spending.close()
            self.foreman.close()
            for task in tuple(self._tasks):
                task.cancel()
            self.processes.leave()
            self.ledger.close()
            await asyncio.to_thread(self.logs.close)

    async def close(self, reason: str = "closed") -> None:
        """End every agent and the run. Idempotent."""
        if not self._open:
            return
        self._open = False
        self.teams.close()
        self.mail.close()
        self.idleness.close()
        self.spending.close()
        self.foreman.close()
        try:
            while alive := self.tree.alive():
                await asyncio.gather(*(self._end(agent.name, reason) for agent in reversed(alive)))
            for task in tuple(self._tasks):
                task.cancel()
            self.record(RunClosed(reason=reason))
        finally:  # whatever goes wrong above, and though it is cancelled: nobody is left running
            try:
                await self.processes.close()
            finally:
                self.ledger.close()
                await asyncio.to_thread(self.logs.close)

    # the ledger's two doors

    async def act(self, event: Event) -> Entry:
        """Put into the ledger what a verb does, or raise and leave no trace.

        A replay answers here from its recording instead.
        """
        if not self._open:
            raise NotRunning("this madrox is closed; open a new one with Madrox()")
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
            entry = replace(entry, event=whole(event))
            line = entry.to_line()
        if self.redactor.stains(line):
            entry = replace(entry, event=self.redactor.event(entry.event))
            line = entry.to_line()
        event = entry.event
        try:
            self.ledger.append(entry, line, decision=type(event) in _DECISIONS, refuse=refuse)
        except LedgerFull:
            self._wait_for_room()  # so that what is queued is handed over when there is some
            raise
        self.tree.apply(entry, state)
        for take in self._folds[type(event)]:
            take(entry)
        self.ledger.announce(entry)
        for hear in self._hearers[type(event)]:
            hear(entry)
        if self.ledger.trouble is not None:
            self._wait_for_room()
        return entry

    def _kept_up(self) -> tuple[Fold, ...]:
        """The folds that follow the tree, in the order in which they are told."""
        teams = self.teams.runs
        return self.inboxes, self.costs, self.approvals, self.activity, teams, self.budget, self.jobs

    def watch(self, watcher: Watcher) -> Callable[[], None]:
        """Call `watcher` with every signal, on the loop; returns the stop."""
        return self.signals.watch(watcher)

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
        """End the process of an idle agent; its session, workspace and inbox are kept.

        The next message for it resumes it. Suspending a suspended one does nothing.
        Raises `AgentBusy` for a working one, `AgentGone`, or `BadInput` when its CLI
        could not go on with the session.
        """
        agent = self.tree[name]
        if agent.state == "suspended":
            return agent
        self.tree.check(AgentSuspended(agent=name, reason=reason))
        if agent.state == "starting":
            raise AgentBusy(AgentSuspended(agent=name, reason=reason), "starting")
        if not self.features(name).resume:
            raise BadInput(
                f"{name} can't be suspended: {agent.harness} could not go on with its conversation later. "
                f"End it instead: %madrox stop {name}"
            )
        if agent.origin and not agent.begun:
            raise BadInput(
                f"{name} was {agent.origin} and has no turn of its own yet: send it something first"
            )
        await self.processes.suspend(name, reason)
        return self.tree[name]

    async def resume(self, name: str, *, wait: bool = True) -> Agent:
        """Start a suspended agent again, in its session; one that is awake is left as it is.

        Raises `AgentGone`, `HarnessNotFound`, or what kept its CLI from becoming ready:
        the agent then stands in the tree as failed. Cancelled, it goes on starting.
        """
        agent = self.tree[name]
        if not agent.alive:
            raise self.tree.refusal(AgentReady(agent=name))
        if agent.state != "suspended":
            return agent
        starting = self.births.start(agent, session=agent.session if agent.begun else "")
        if wait:
            await self.births.ready(name, starting)
        return self.tree[name]

    async def terminate(
        self, name: str, *, force: bool = False, tree: bool = True, by: str = PERSON
    ) -> list[str]:
        """End an agent and everyone below it; returns the names that were ended, leaves first.

        Raises `AgentBusy` when one of them works and `force` is not given, and
        `BadInput` when `tree` is False and it has children. Ending an agent that has
        ended already ends nothing.
        """
        family = [agent for agent in self.tree.subtree(name) if agent.alive]
        if not tree and (children := [agent.name for agent in family if agent.name != name]):
            raise BadInput(
                f"{name} has {len(children)} living below it ({', '.join(children[:5])}). "
                f"Stop them with it: %madrox stop {name} --tree"
            )
        if not force and (working := next((a for a in family if a.state in WORKING), None)):
            end = AgentStopped(agent=working.name, reason="")
            raise AgentBusy(
                end, working.state, "it would lose its turn; --force or force=True ends it anyway"
            )
        ended: list[str] = []
        while family:
            names = [agent.name for agent in reversed(family)]
            await asyncio.gather(*(self._end(each, f"terminated by {by}") for each in names))
            ended += [each for each in names if each not in ended]
            family = [a for a in self.tree.subtree(name) if a.alive and a.name not in ended]
        return ended

    async def interrupt(self, name: str) -> TurnEnded | None:
        """End the turn under way, keeping its context; returns its end, None when there was none.

        Returns when the CLI has confirmed it. Raises `HarnessError` when it does not
        within `interrupt_timeout`, and `BadInput` when it can't be interrupted: the turn
        then still runs.
        """
        agent = self.tree[name]
        runner = self.processes.get(name)
        if agent.state not in WORKING or runner is None:
            return None
        if not self.features(name).interrupt:
            raise BadInput(
                f"{name} can't be interrupted: {agent.harness} can't end a turn and keep what was said. "
                f"Wait for {agent.turn}, or end the agent: %madrox stop {name} --force"
            )
        ended: asyncio.Future[TurnEnded] = asyncio.get_running_loop().create_future()

        def heard(entry: Entry) -> None:
            event = entry.event
            if isinstance(event, TurnEnded) and event.turn == agent.turn and not ended.done():
                ended.set_result(event)

        stop = self.ledger.listen(heard)
        try:
            runner.interrupt()
            async with asyncio.timeout(self.settings.interrupt_timeout):
                return await ended
        except TimeoutError:
            seconds = self.settings.interrupt_timeout
            raise HarnessError(
                f"{name} did not confirm the interrupt within {seconds:g} s and still works on {agent.turn}. "
                f"Try again, or end it: %madrox stop {name} --force",
                runner.evidence(),
            ) from None
        finally:
            stop()

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
        return self._answered(approval, "allow", "", always)

    async def deny(self, approval: str, why: str = "", *, always: Always = "") -> Approval:
        """Refuse what an agent asked for; it is told `why` and goes on. See `approve`."""
        return self._answered(approval, "deny", why, always)

    def _answered(self, approval: str, verdict: Verdict, why: str, always: Always) -> Approval:
        self._check_open()
        if always not in ("", "agent", "subtree", "tool"):
            raise BadInput(f"always={always!r} is none of agent, subtree, tool")
        return self.requests.answer(approval, verdict, why=why, always=always)

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

    async def quiet(
        self, names: tuple[str, ...] = (), timeout: float | None = None, *, besides: Container[str] = ()
    ) -> bool:
        """Wait until these agents and all below them (or everyone) have nothing left to do.

        A job that they take part in is something to do until it is over. Nobody waits for
        those `besides`, nor for what is below them. False when `timeout` seconds pass first.
        """
        loop = asyncio.get_running_loop()
        deadline = None if timeout is None else loop.time() + timeout
        while self._tasks or self.at_work(names, besides):  # a task may be about to hand something over
            left = None if deadline is None else deadline - loop.time()
            if left is not None and left <= 0:
                return False
            await self.mail.change(left)
        return True

    def at_work(self, names: tuple[str, ...] = (), besides: Container[str] = ()) -> bool:
        """Whether one of these, or below them, has something left to do, or a part in a job under way."""
        family = {agent.name for name in names for agent in self.tree.subtree(name, besides)}
        return self.foreman.busy(family) or bool(self.unquiet(names, besides))

    def unquiet(self, names: tuple[str, ...] = (), besides: Container[str] = ()) -> list[Agent]:
        """Who of these and all below them still works, starts, or is about to be handed something."""
        tree = self.tree
        agents = [a for name in names for a in tree.subtree(name, besides)] if names else list(tree)
        return [
            a for a in agents if a.state in ("starting", *WORKING) or (a.alive and self._has_work(a.name))
        ]

    def _has_work(self, name: str) -> bool:
        return self.held(name) is None and any(
            starts_a_turn(message, self.tree) for message in self.inboxes.unread(name)
        )

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
        if self._open and self.tree[agent].state == "suspended" and self._has_work(agent):
            self.soon(self._wake(agent))

    async def _wake(self, agent: str) -> None:
        try:
            await self.resume(agent)
        except MadroxError as exc:
            if self.tree[agent].state == "suspended":  # its CLI, or its harness, is not even there any more
                reason, _, evidence = str(exc).partition("\n")
                self.record(AgentStopped(agent=agent, reason=reason, failed=True, evidence=evidence))
                self.processes.forget(agent)
            raise

    def soon(self, verb: Coroutine[Any, Any, object]) -> None:
        """Run in the background. A failure is logged; those who wait for it are told by the verb itself."""
        task = asyncio.ensure_future(verb)
        self._tasks.add(task)
        task.add_done_callback(self._done)

    def _done(self, task: asyncio.Task[object]) -> None:
        self._tasks.discard(task)
        self.mail.stir()
        if not task.cancelled() and (error := task.exception()) is not None:
            level = logging.WARNING if isinstance(error, MadroxError) else logging.ERROR
            log.log(level, "in the background: %s", error, exc_info=error)

    # Core: what runners need

    def signal(self, signal: Signal) -> None:
        self.signals.tell(signal)

    def asked(self, runner: Runner, ask: Ask) -> None:
        self.requests.asked(runner, ask)

    def withdrawn(self, runner: Runner, withdraw: Withdraw) -> None:
        self.requests.withdrawn(runner, withdraw)

    def steered(self, runner: Runner, steered: Steered) -> None:
        self.mail.steered(runner.agent, steered)

    def priced(self, usage: UsageReported) -> UsageReported:
        return priced(usage, self.tree[usage.agent].model, self.prices)

    def explained(self, ended: TurnEnded) -> TurnEnded:
        return self.spending.explained(ended)

    def alive(self, agent: str) -> bool:
        return self.tree[agent].alive

    def turn(self, agent: str) -> str:
        return self.tree[agent].turn

    def redacted(self, text: str) -> str:
        return self.redactor.text(text)

    def stuck(self, runner: Runner, error: OSError) -> None:
        log.error("%s: its wire log can't be written (%s); the agents wait for room", runner.agent, error)
        self._wait_for_room()

    def gone(self, runner: Runner) -> None:
        self.signals.drop(runner.agent)
        suspended = self.tree[runner.agent].state == "suspended"
        self.processes.forget(runner.agent, suspended=suspended)
        if not suspended:
            self.births.ended(runner.agent)

    async def _end(self, name: str, reason: str) -> None:
        """End an agent: its process if it has one, and in any case on record."""
        agent = self.tree[name]
        await self.processes.end(name, reason, working=agent.state in WORKING)
        if (now := self.tree[name]).alive and now.born == agent.born:  # and no successor of that name
            self.record(AgentStopped(agent=name, reason=reason))
            self.processes.forget(name)
            self.births.ended(name)
        await self.births.left(name)

    # a full disk

    def _wait_for_room(self) -> None:
        """Stop reading from the agents until the ledger can be written again."""
        self.processes.pause()
        if not self._waits_for_room:
            self._waits_for_room = True
            log.error("no room for the ledger (%s): the agents wait", self.ledger.trouble)
            self.soon(self._until_room())

    async def _until_room(self) -> None:
        await asyncio.sleep(DISK_RETRY_SECONDS)
        while not self.ledger.retry():
            await asyncio.sleep(DISK_RETRY_SECONDS)
        log.warning("there is room again: the agents go on")
        self._waits_for_room = False
        self.processes.resume()
        for agent in self.tree.alive():
            self.mail.feed(agent.name)

    # what is allowed

    def _check_open(self) -> None:
        if not self._open:
            raise NotRunning("this madrox is closed; open a new one with Madrox()")
