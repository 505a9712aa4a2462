"""One run as the person's faces need it: the manager, and what stands around it.

Its loop is on a thread of its own, its server starts when the first agent does, and its
widget, frames and waiting cells look at folds that are kept here.
"""

from __future__ import annotations

import asyncio
import atexit
import concurrent.futures as cf
import concurrent.futures.thread  # noqa: F401 — registers its own end first, so ours comes before it
import contextlib
import logging
import os
import threading
from collections import ChainMap
from collections.abc import Callable, Coroutine, Mapping
from functools import cached_property
from typing import TYPE_CHECKING, Any, Final, ParamSpec, TypeVar
from urllib.parse import urlsplit

from . import config, keeping, views
from .config import Settings
from .cost_history import CostHistory
from .density import Density
from .display import Live, Waiting, attended, how_to_answer
from .doing import Doing, LastReplies
from .errands import Errands
from .errors import LedgerInUse, MadroxError, NotRunning
from .events import PERSON, Entry, Signal
from .keeping import kept_runs, place
from .ledger import runs as runs_of
from .ledger import utc_now
from .logfile import LogFile
from .logs import WIRE
from .manager import Manager
from .offspring import Offspring, offspring
from .parts import rows
from .parts.moment import Moment
from .parts.past import Then
from .parts.reading import Conversations
from .parts.wire import WireLog
from .portal import Portal
from .revival import Return, bring_back, revive
from .server import Server, preload, preload_meanwhile
from .spans import Spans
from .tickets import Ticket
from .tokens import kept
from .tree import WORKING, Agent
from .values import Replies, Reply, Serving
from .views import Picture, Row

if TYPE_CHECKING:
    from .frames import Frames, Runs
    from .widgets import LiveView

log = logging.getLogger(__name__)

P = ParamSpec("P")
T = TypeVar("T")

TITLE: Final = "Madrox"
MANY: Final = 10
"""Agents that a waiting cell lists."""


class Run:
    """One open manager, and what stands around it: its loop, server, widgets, frames and log."""

    manager: Manager

    def __init__(self, *, environ: Mapping[str, str] | None = None, **settings: Any) -> None:
        """`environ` goes to the agents, on top of this process's own environment.

        Raises `BadInput` for a setting that can't be used.
        """
        self.config = config.load(settings)
        self._environ = ChainMap(dict(environ or {}), os.environ)  # what a later cell sets is seen
        chosen = self.config.settings
        self.doing, self.last = Doing(), LastReplies()
        self._spans, self._density, self._cost_history = Spans(), Density(), CostHistory()
        self._pid = os.getpid()
        self._closed = False
        self._views: dict[tuple[str, str], LiveView] = {}
        self._log = LogFile(chosen.logs / "madrox.log")
        self._log.open(chosen.log_level)
        self.portal = Portal()
        self.went_on: tuple[str, ...] = ()
        """The agents that outlived an earlier kernel, with their processes."""
        try:
            self._begin(chosen)
        except BaseException:
            self._log.close()
            self.portal.stop()
            raise
        _open.add(self)

    def _begin(self, chosen: Settings) -> None:
        """Go on with the newest run whose agents outlived their kernel, else begin one."""
        runs = [] if chosen.on_kernel_death == "kill" else list(kept_runs(chosen.logs))
        for run in (*reversed(runs), ""):
            self.manager = Manager(
                chosen, environ=self._environ, mcp_url=self.url, attended=attended, run=run
            )
            try:
                self.portal.call(self._open)
                break
            except (NotRunning, LedgerInUse):  # another kernel was faster, or its time was over
                if not run:
                    raise

    async def _open(self) -> None:
        manager, chosen = self.manager, self.config.settings
        known = urlsplit(str(keeping.read(place(chosen.logs, manager.run)).get("mcp_url", "")))
        self.token_file = chosen.home / "token"
        token = kept(self.token_file)
        self.server = Server(manager, chosen.host, chosen.port, token, agents_port=known.port or 0)
        await manager.open()
        self.went_on = tuple(agent.name for agent in manager.tree.alive())
        for entry in manager.ledger if self.went_on else ():
            self._apply(entry)
        manager.ledger.listen(self._apply)  # before anything is awaited: agents that went on speak already
        manager.ledger.listen(Errands(manager).heard)
        manager.watch(self._hear)
        if known.port:
            await self._meet_again(known.geturl())
        preload_meanwhile()

    async def _meet_again(self, address: str) -> None:
        """Listen where agents know us. Who can't find us there is told the new address when it wakes."""
        if await self.url() == address:
            return
        log.warning("agents know us at %s, and now we are at %s", address, self.server.url)
        for agent in self.manager.tree.alive():
            with contextlib.suppress(MadroxError):  # who works, or could not go on, stays as it is
                await self.manager.suspend(agent.name, "to learn our new address")

    @property
    def is_open(self) -> bool:
        return not self._closed

    def close(self, *, leave: bool = False) -> None:
        """End every agent and the run. Idempotent; does nothing in a forked process.

        With `leave`, agents that may outlive this kernel are left to the next one.
        """
        if self._closed or os.getpid() != self._pid:
            return
        self._closed = True
        _open.discard(self)
        try:
            self.portal.call(self._close, leave and self.config.settings.on_kernel_death != "kill")
            for view in self._views.values():
                view.freeze()
        finally:
            self.portal.stop()
            self._log.close()

    async def _close(self, leave: bool) -> None:
        try:
            await (self.manager.leave() if leave else self.manager.close())
        finally:
            await self.server.stop()

    def start(
        self, verb: Callable[P, Coroutine[Any, Any, T]], *args: P.args, **kwargs: P.kwargs
    ) -> cf.Future[T]:
        """Begin a verb on the manager's loop. Raises `NotRunning` after `close`."""
        if self._closed:
            raise NotRunning("this madrox is closed; open a new one with Madrox()")
        if os.getpid() != self._pid:
            raise NotRunning(f"this madrox lives in process {self._pid}, of which this one is a fork")
        return self.portal.start(verb, *args, **kwargs)

    # verbs that need more than the manager

    async def send(self, ticket: Ticket) -> Reply:
        """Wait for the answer to `ticket`."""
        answer = await self.manager.answer(ticket)
        assert answer is not None
        text = "\n\n".join(words for words in (*answer.replies, answer.text) if words)
        return Reply(**{**vars(answer), "text": text})

    async def interrupt(self, name: str) -> Reply | None:
        ended = await self.manager.interrupt(name)
        return None if ended is None else self.last.replies[name]

    async def wait(self, names: tuple[str, ...], timeout: float | None) -> Replies:
        if not await self.manager.quiet(names, timeout):
            working = ", ".join(agent.name for agent in self.manager.unquiet(names))
            raise TimeoutError(f"after {timeout:g} s still at work: {working}. %madrox wait waits again")
        replies = self.last.replies
        asked = names or tuple(agent.name for agent in self.manager.tree)
        return Replies({name: replies[name] for name in asked if name in replies})

    async def resume(self, names: tuple[str, ...], run: str) -> list[Return]:
        """Wake suspended agents; bring those back that have ended, or that an earlier kernel had."""
        tree = self.manager.tree
        ours = [name for name in names if name in tree and not run]
        here = [name for name in ours if tree[name].alive]
        asleep = [name for name in here if tree[name].state == "suspended"]
        await asyncio.gather(*(self.manager.resume(name) for name in here))
        told = [
            Return(name, "woken" if name in asleep else "", "" if name in asleep else "it was not suspended")
            for name in here
        ]
        told += [await revive(self.manager, name) for name in ours if name not in here]
        missing = tuple(name for name in names if name not in ours)
        if self.went_on and not names and not run:
            return [Return(name, "process") for name in self.went_on if tree[name].alive]
        if missing or not names:
            told += await bring_back(self.manager, missing, run)
        return told

    async def serve(self) -> Serving:
        url = await self.url()
        public = self.server.public_url
        return Serving(
            url, self.server.token, self.token_file, self.server.notice, "" if public == url else public
        )

    async def url(self) -> str:
        """Where agents find their tools. The server starts when somebody asks."""
        await asyncio.to_thread(preload)
        return await self.server.start()

    def offspring(self, name: str | None = None) -> list[Offspring]:
        """The system's processes of every living agent, or of one. Raises `UnknownAgent`."""
        tree, running = self.manager.tree, self.manager.processes
        agents = [tree[name]] if name is not None else tree.alive()
        pids = {a.name: runner.pid for a in agents if (runner := running.get(a.name)) and runner.pid}
        return offspring(self.manager.run, pids, self.manager.redactor.text)

    # what is shown

    def moment(self) -> Moment:
        """The folds as they are now. Callable from any thread."""
        manager = self.manager
        return Moment(
            title=TITLE,
            now=utc_now(),
            tree=manager.tree,
            inboxes=manager.inboxes,
            costs=manager.costs,
            cost_history=self._cost_history,
            approvals=manager.approvals,
            budget=manager.budget,
            activity=manager.activity,
            teams=manager.teams.runs,
            doing=self.doing,
            conversations=self._conversations,
            wires=self._wire,
            processes=self.offspring,
            spans=self._spans,
            density=self._density,
            past=self._then,
            earlier=self._earlier,
            harnesses=manager.harnesses,
            redacted=manager.redactor.text,
        )

    def picture(self) -> Picture:
        return rows.picture(self.moment())

    def row(self, name: str) -> Row:
        agent, sums = self.manager.tree[name], self.manager.costs.subtrees(self.manager.tree)
        return rows.row(self.moment(), agent, len(self.manager.tree.above(name)), sums[name])

    def view(self, shows: str = "dashboard", agent: str = "") -> LiveView:
        """The one live view of that kind of this run; showing it again adds a view of it to the page.

        Raises `BadInput` when there is none of that name, `UnknownAgent` when nobody has that one.
        """
        known = self._views.get((shows, agent))
        if known is None:
            from .widgets import LiveView

            known = self._views.setdefault((shows, agent), LiveView(self, shows, agent))
        return known

    @cached_property
    def _earlier(self) -> bool:
        return any(run != self.manager.run for run in runs_of(self.manager.settings.logs))

    @cached_property
    def _conversations(self) -> Conversations:
        return Conversations(lambda: self.manager.ledger.paths)

    def _wire(self, name: str) -> WireLog:
        manager = self.manager
        harness = manager.harnesses[manager.tree[name].harness]
        profile = getattr(harness, "profile", None)
        size = profile.size if profile is not None and profile.paints else None
        log = manager.processes.files(name) / WIRE
        return WireLog(log, manager.redactor, harness.features.structured, size)

    @cached_property
    def _then(self) -> Then:
        return Then(lambda: self.manager.ledger.paths, self.moment)

    @property
    def frames(self) -> Frames:
        """What this run's ledger says, as frames."""
        return self.runs.own

    @cached_property
    def runs(self) -> Runs:
        """The same of every run that has a ledger here."""
        from .frames import Runs

        ledger = self.manager.ledger
        return Runs(ledger.directory, ledger.run, lambda: ledger.paths)

    def _apply(self, entry: Entry) -> None:
        for fold in (self.doing, self.last, self._spans, self._density, self._cost_history):
            fold.apply(entry)
        event = entry.event
        for view in tuple(self._views.values()):
            view.touch((event.agent, getattr(event, "sender", "")))

    def _hear(self, signal: Signal) -> None:
        changed = self.doing.hear(signal)
        for view in tuple(self._views.values()):
            view.touch((signal.agent,), only_of_agents=not changed)

    # waiting

    def waiting(self, *names: str, everyone: bool = False, ticket: Ticket | None = None) -> Waiting:
        """A wait for the turn of `ticket`, or (`everyone`) for `names` and all below them."""

        def again(live: Live | None) -> None:
            agents = self.manager.unquiet(names) if everyone else ()
            self._again([agent.name for agent in agents] or list(names), live)

        def look() -> tuple[str, str]:
            said, line = self._look(names, everyone)
            queued = ticket is not None and not ticket.turn
            return ("", f"queued: {line}") if queued else (said, line)

        return Waiting(names, Live(look), again, asked=lambda: self._asked(names))

    def ended(self, reply: Reply) -> str:
        """The one line that a cell keeps of a turn, and of what was refused in it without asking anybody."""
        refused = [
            each
            for each in self.manager.approvals
            if (each.turn, each.state) == (reply.turn, "deny") and each.by != PERSON
        ]
        if not refused:
            return ended(reply)
        tools = ", ".join(dict.fromkeys(each.tool for each in refused))
        return f"{ended(reply)}; {len(refused)} refused ({tools}): %madrox approvals --all"

    def quiet(self, names: tuple[str, ...]) -> str:
        """The one line that a cell keeps of a wait: who is quiet, and whom a limit keeps from going on."""
        manager, tree = self.manager, self.manager.tree
        agents = [a for name in names for a in tree.subtree(name)] if names else list(tree)
        waits = [a for a in agents if a.alive and manager.inboxes.queued(a.name) and manager.held(a.name)]
        held = (f"; {a.name} has work waiting, {manager.spending.remark(a.name)}" for a in waits)
        return f"quiet: {', '.join(names) or 'everyone'}{''.join(held)}"

    def _again(self, names: list[str], live: Live | None) -> None:
        """The second interrupt of a cell: on the main thread, perhaps between two cells."""
        for name in names:
            with contextlib.suppress(NotRunning):
                future = self.start(self.interrupt, name)
                if live is not None:
                    future.add_done_callback(lambda done: live.close(_interrupted(done, names)))

    def _look(self, names: tuple[str, ...], everyone: bool) -> tuple[str, str]:
        """What a waiting cell shows: the end of what one agent says, and who does what."""
        tree = self.manager.tree
        below = [a for name in names for a in tree.subtree(name) if a.approvals and a.name not in names]
        agents = self.manager.unquiet(names) if everyone else [*(tree[name] for name in names), *below]
        lines = [self.line(agent) for agent in agents[:MANY]]
        if asking := self._asked(names):
            lines.append(f"  interrupt this cell, then: {how_to_answer(asking)}")
        if len(agents) > MANY:
            lines.append(f"… and {len(agents) - MANY} more")
        return self._said(names[0]) if len(names) == 1 else "", "\n".join(lines)

    def _asked(self, names: tuple[str, ...]) -> list[str]:
        """What these and all below them (everyone, without names) wait for the person to answer."""
        tree = self.manager.tree
        agents = [a for name in names for a in tree.subtree(name)] if names else list(tree)
        return [approval for agent in agents for approval in agent.approvals]

    def _said(self, name: str) -> str:
        above = self.doing.above.get(name, 0)
        said = self.doing.said.get(name, "") if self.manager.tree[name].state in WORKING else ""
        return f"… {above:,} characters above\n{said}" if above and said else said.rstrip()

    def line(self, agent: Agent) -> str:
        """What one agent does now, in a line of a waiting cell."""
        seconds = max(0, int((utc_now() - agent.since).total_seconds()))
        tokens = self.manager.costs.of(agent.name).tokens
        doing = self.doing.now(agent) or views.WORDS.get(agent.state, agent.state)
        parts = [
            f"{views.glyph(agent.state)} {agent.turn or agent.name}",
            doing[: views.LONGEST],
            f"{seconds // 60}:{seconds % 60:02}",
        ]
        parts += [f"{tokens:,} tokens in all"] if tokens else []
        remark = self.manager.spending.remark(agent.name)
        return " · ".join(parts + ([remark] if remark else []))


def ended(reply: Reply) -> str:
    """The one line that a cell keeps of a turn."""
    joined = ", which was under way: the message joined it" if reply.how == "steered" else ""
    return f"{reply.turn} {reply.outcome}{joined}"


def _interrupted(done: cf.Future[Reply | None], names: list[str]) -> str:
    error = done.exception()
    if error is not None:
        return str(error)
    reply = done.result()
    return ended(reply) if reply else f"{', '.join(names)}: nothing to interrupt"


_open: set[Run] = set()


def _close_all() -> None:
    for run in tuple(_open):
        run.close(leave=True)


# atexit alone would be too late: executors are closed by then, and from 3.12 on no thread starts
getattr(threading, "_register_atexit", atexit.register)(_close_all)
