"""The person's face: the manager's verbs, from a cell.

    m = Madrox()                          m = AsyncMadrox()
    lead = m.spawn("lead")                lead = await m.spawn("lead")
    lead.send("What would you do?")       await lead.send("What would you do?")

Both faces stand on a `Run` and only translate. The first one of a process is shared:
`Madrox()`, `AsyncMadrox()` and the magics mean it as long as it is open. With arguments
a further one gets a run of its own.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Self, overload

from . import library, views
from .calls import Result
from .display import Waiting, kernel, notice
from .errors import BadInput
from .events import PERSON, Always, TeamMode
from .handles import AsyncTeamHandle, TeamHandle
from .in_person import A_DAY, carried_out
from .mail import Ticket
from .manager import Manager
from .portal import patiently
from .revival import Return
from .run import Run
from .signatures import takes_what
from .tree import Agent
from .values import ClientTokens, Letters, Replies, Serving, Snapshot, Told
from .values import Reply as Reply

if TYPE_CHECKING:
    import pandas as pd

    from .widgets import TreeWidget

# the shared run

_shared: Run | None = None
_sharing = threading.Lock()


def _run_for(settings: dict[str, Any]) -> Run:
    """The shared run, or a new one; the first becomes the shared one."""
    global _shared
    with _sharing:
        if _shared is not None and _shared.is_open and not settings:
            return _shared
        run = Run(**settings)
        if run.went_on:
            notice(f"went on with agents that outlived an earlier kernel: {', '.join(run.went_on)}")
        if _shared is None or not _shared.is_open:
            _shared = run
        return run


def current() -> Madrox | None:
    """The shared madrox, while it is open. Opens nothing."""
    return Madrox() if _shared is not None and _shared.is_open else None


# the faces


class _Face:
    """What both faces have: everything that is read and not waited for."""

    def __init__(self, **settings: Any) -> None:
        """`settings` are the names of `config.Settings`: home, port, max_instances, …"""
        self._run = _run_for(settings)

    @property
    def manager(self) -> Manager:
        """The core. It lives on a loop of its own: use the verbs here."""
        return self._run.manager

    @property
    def tree(self) -> Snapshot:
        """The tree as it is now."""
        return Snapshot(self.manager.tree, self._run.picture())

    def agents(self) -> pd.DataFrame:
        """One row an agent."""
        return self._run.frames.agents()

    def turns(self) -> pd.DataFrame:
        """One row a turn, in the order they began."""
        return self._run.frames.turns()

    def messages(self) -> pd.DataFrame:
        """One row a message between agents, or from them to you."""
        return self._run.frames.messages()

    def audit(
        self,
        *,
        since: str | datetime | timedelta | None = None,
        agent: str | None = None,
        kind: str | None = None,
    ) -> pd.DataFrame:
        """One row an event; see `frames.Frames.audit`."""
        return self._run.frames.audit(since=since, agent=agent, kind=kind)

    def costs(self) -> pd.DataFrame:
        """One row an agent: tokens and money, its own and those of its subtree."""
        return self._run.frames.costs()

    def limits(self, *agents: str) -> pd.DataFrame:
        """One row a limit that is set, on these agents or on all; `""` is the run."""
        for agent in filter(None, agents):
            self.manager.tree[agent]  # or it is unknown
        return self._run.frames.limits(*agents)

    def approvals(self) -> pd.DataFrame:
        """One row a request to use a tool; `state` is `open` while it waits for an answer."""
        return self._run.frames.approvals()

    def config(self) -> pd.DataFrame:
        """The settings in force, and where each comes from."""
        from .frames import texts

        return texts(self._run.config.rows(), "setting", "value", "source", "environment", "meaning")

    def roles(self) -> pd.DataFrame:
        """The roles that `spawn` knows."""
        return roles()

    def templates(self) -> pd.DataFrame:
        """The team files that `team` knows."""
        return teams()

    def team_runs(self) -> pd.DataFrame:
        """One row a team that was started here: its state, lead and task."""
        from .frames import texts

        listed = (
            {"team": r.id, "state": r.state, "why": r.why, "mode": r.mode, "lead": r.lead, "task": r.task}
            for r in self.manager.teams.runs
        )
        return texts(listed, "team", "state", "why", "mode", "lead", "task")

    def harnesses(self) -> pd.DataFrame:
        """One row a harness: where its CLI is, its version, what it can do. Asks each CLI once."""
        from .frames import harnesses
        from .inventory import inventory

        return harnesses(found.row() for found in inventory(self.manager.harnesses))

    def processes(self, agent: str | None = None) -> pd.DataFrame:
        """One row a process of the operating system that belongs to a living agent, or to `agent`."""
        from .frames import processes

        return processes(map(vars, self._run.offspring(agent)))

    @property
    def tokens(self) -> ClientTokens:
        """What outside clients get in with, besides your own token: `m.tokens.create("ci", scope="read")`."""
        return ClientTokens(self.manager.clients)

    def secret(self, name: str, value: str) -> None:
        """Show `{secret:name}` instead of `value` from now on, in the ledger and in cells.

        Raises `BadInput` when it is too short to be told from ordinary text.
        """
        if not self.manager.redactor.add(name, value):
            raise BadInput(f"the secret {name!r} is too short to be replaced wherever it occurs")

    def widget(self) -> TreeWidget:
        """The live tree."""
        return self._run.widget

    def __contains__(self, name: object) -> bool:
        return name in self.manager.tree

    def __repr__(self) -> str:
        count = len(self.manager.tree)
        state = "" if self._run.is_open else ", closed"
        return f"<{type(self).__name__}: {count} agent{'' if count == 1 else 's'}{state}>"

    def _repr_mimebundle_(self, **kwargs: Any) -> Any:
        if kernel() is not None and self._run.is_open:
            return self.widget()._repr_mimebundle_(**kwargs)
        return views.bundle(self._run.picture())

    def _say_rehearsal(self, agent: Agent, harness: str | None) -> None:
        order = self._run.config.settings.harnesses
        if harness is None and agent.harness == library.FALLBACK and library.FALLBACK not in order:
            notice(
                f"no agent CLI was found ({', '.join(order)}): {agent.name} is a rehearsal; "
                "no model is thinking"
            )


def roles() -> pd.DataFrame:
    """Every role, what it may do at most, and where it comes from.

    Where two have a name, the one that counts.
    """
    from .frames import texts

    found = {each.name: each for each in reversed(list(library.roles()))}
    listed = (
        {
            "role": name,
            "description": each.description,
            "aliases": ", ".join(each.aliases),
            "at most": each.permissions,
            "origin": each.origin,
        }
        for name, each in sorted(found.items())
    )
    return texts(listed, "role", "description", "aliases", "at most", "origin")


def teams() -> pd.DataFrame:
    """Every team file: what it is for, who is in it, its phases, and what it wants to be told."""
    from .frames import texts

    listed = (
        {
            "template": each.name,
            "description": each.description,
            "agents": str(each.size),
            "members": ", ".join(f"{m.name}{f' ×{m.count}' if m.count > 1 else ''}" for m in each.members),
            "phases": " → ".join(phase.name for phase in each.phases),
            "inputs": ", ".join(f"{i.name}{'' if i.default is None else '?'}" for i in each.inputs),
            "path": each.path,
        }
        for each in sorted(library.teams(), key=lambda team: team.name)
    )
    return texts(listed, "template", "description", "agents", "members", "phases", "inputs", "path")


class Madrox(_Face):
    """Agents from a notebook. Each verb waits; an interrupt of the cell ends the waiting only.

    `wait=False` makes a verb return before it is done. After `close` every verb raises
    `NotRunning`.
    """

    @takes_what(Manager.spawn)
    def spawn(self, name: str | None = None, **given: Any) -> AgentHandle:
        """Start an agent; see `Births.spawn`. Interrupted, it goes on starting."""
        future = self._run.start(self.manager.spawn, name, **given)
        agent = Waiting((name,) if name else (), doing="starting").block(future)
        self._say_rehearsal(agent, given.get("harness"))
        return AgentHandle(self, agent.name)

    @overload
    def send(self, agent: str, text: str, *, steer: bool = False, wait: Literal[True] = True) -> Reply: ...
    @overload
    def send(self, agent: str, text: str, *, steer: bool = False, wait: Literal[False]) -> Pending: ...
    @overload
    def send(self, agent: str, text: str, *, steer: bool = False, wait: bool) -> Reply | Pending: ...
    def send(self, agent: str, text: str, *, steer: bool = False, wait: bool = True) -> Reply | Pending:
        """Start a turn with `text` (or queue it) and wait for its end.

        With `steer` it joins the turn under way where the CLI can do that, and is queued
        where it can't; `Reply.how` says which.

        A turn that fails is a reply too: `reply.ok`, `reply.error`, `reply.check()`.
        Raises `BadPrompt`, `UnknownAgent` or `AgentGone`.
        """
        ticket = self._run.start(self.manager.ask, agent, text, steer=steer).result()
        pending = Pending(self._run, ticket)
        return pending.wait() if wait else pending

    def post(self, agent: str, text: str) -> str:
        """Leave a message without waiting; returns its id. It goes with the agent's next turn."""
        return self._run.start(self.manager.post, agent, text).result()

    def interrupt(self, name: str) -> Reply | None:
        """End the turn under way, keeping its context; None when there was none."""
        future = self._run.start(self._run.interrupt, name)
        return Waiting((name,), cancels=False).block(future)

    @takes_what(Manager.limit)
    def limit(self, name: str = "", **amounts: Any) -> pd.DataFrame:
        """Limit what an agent and all below it may use, or give it more; see `Manager.limit`.

        `m.limit("lead", usd=5)` in all, `m.limit("lead", tokens=100_000, more=True)` from now
        on. Returns its limits, and what is left.
        """
        self._run.start(self.manager.limit, name, **amounts).result()
        return self._run.frames.limits(name)

    def suspend(self, name: str) -> AgentHandle:
        """End an idle agent's process; a message, or `resume`, starts it again where it was."""
        future = self._run.start(self.manager.suspend, name)
        return self.agent(Waiting((name,), doing="ending", cancels=False).block(future).name)

    def resume(self, *names: str, run: str = "") -> pd.DataFrame:
        """Wake suspended agents; without names, bring back all that an earlier kernel had.

        One row an agent: how it came back (`woken`, `session`, `fresh`, `suspended`, or
        not at all) and why. `run` names another run than the newest.
        """
        future = self._run.start(self._run.resume, names, run)
        return _returned(Waiting(names, doing="starting", cancels=False).block(future))

    def fork(self, name: str, as_: str | None = None, *, permissions: str | None = None) -> AgentHandle:
        """Start a second agent with the conversation and files of `name`; see `Manager.fork`."""
        future = self._run.start(self.manager.fork, name, as_, permissions=permissions)
        return self.agent(Waiting((name,), doing="forking", cancels=False).block(future).name)

    def approve(self, *approvals: str, always: Always = "") -> pd.DataFrame:
        """Let agents do what they asked for; see `Manager.approve`. Returns these requests."""
        for approval in approvals:
            self._run.start(self.manager.approve, approval, always=always).result()
        return self.approvals().loc[list(approvals)]

    def deny(self, *approvals: str, why: str = "", always: Always = "") -> pd.DataFrame:
        """Refuse what agents asked for; they are told `why`. Returns these requests."""
        for approval in approvals:
            self._run.start(self.manager.deny, approval, why, always=always).result()
        return self.approvals().loc[list(approvals)]

    def stop(self, name: str, *, tree: bool = False, force: bool = False) -> list[str]:
        """End an agent, with `tree` all below it too; returns the names that were ended.

        Raises `AgentBusy` when one of them works and `force` is not given.
        """
        return self.terminate(name, force=force, tree=tree)

    def terminate(self, name: str, *, force: bool = False, tree: bool = True) -> list[str]:
        """End an agent and everyone below it; returns the names that were ended."""
        future = self._run.start(self.manager.terminate, name, force=force, tree=tree)
        return Waiting((name,), doing="stopping", cancels=False).block(future)

    def stop_all(self, *, force: bool = False) -> list[str]:
        """End everybody; returns the names that were ended.

        Who works, or has somebody below who does, is left and named, unless `force` is given.
        """
        if not (given := _everybody(self.manager, force)):
            return []
        ending = self._run.start(carried_out, "terminate_multiple_instances", self.manager, given)
        return _ended(Waiting((), doing="stopping", cancels=False).block(ending))

    def job(self, job: str | None = None, *, wait: bool = False, run: str = "") -> Told:
        """How far a job of several agents, or a team, is; without its id all of them.

        `run` names an earlier run; without one this run is meant, else the newest that had the
        job. Raises `UnknownJob`, or `BadInput` for an unknown run. Interrupted, the job goes on.
        """
        given = _about(job, wait, run)
        return _told(Waiting(()).block(self._run.start(carried_out, "get_job_status", self.manager, given)))

    def stop_job(self, job: str) -> Told:
        """End what a job, or a team, has under way; its agents stay. Returns what was reached.

        Raises `UnknownJob`. One that is over is left as it is.
        """
        stopping = self._run.start(carried_out, "stop_job", self.manager, {"job_id": job})
        return _told(Waiting((), doing="stopping", cancels=False).block(stopping))

    def wait(self, *names: str, timeout: float | None = None) -> Replies:
        """Wait until these agents and all below them (or everyone) have nothing left to do.

        Returns the last reply of each agent that was named, or of all. Raises `TimeoutError` when
        `timeout` seconds pass first.
        """
        future = self._run.start(self._run.wait, names, timeout)
        return self._run.waiting(*names, everyone=True).block(future, lambda _: self._run.quiet(names))

    def team(
        self,
        name: str,
        task: str = "",
        *,
        inputs: Mapping[str, str] | None = None,
        lead: bool = False,
        harness: str | None = None,
        model: str | None = None,
        permissions: str | None = None,
        parent: str | None = None,
        prefix: str | None = None,
        files: Sequence[str] = (),
        wait: bool = True,
    ) -> TeamHandle:
        """Start the whole team of a file and have its phases carried out; see `Teams.start`.

        With `lead` only the lead is spawned, and carries the whole plan out by itself.
        Without a task the team stands by. A run that fails is a handle too:
        `handle.result.why`, `handle.retry()`. Interrupted, the team goes on.
        """
        mode: TeamMode = "lead" if lead else "phases"
        start = self._run.start(
            self.manager.teams.start,
            name,
            task,
            inputs=inputs,
            mode=mode,
            harness=harness,
            model=model,
            permissions=permissions,
            parent=parent,
            prefix=prefix,
            files=files,
        )
        handle = TeamHandle(self._run, Waiting(()).block(start))
        if wait:
            handle.wait()
        return handle

    def team_run(self, team: str = "") -> TeamHandle:
        """A handle on a team that was started: by its id or its file's name, else the newest."""
        return TeamHandle(self._run, self.manager.teams.find(team))

    def resume_team(self, name: str = "", *, run: str = "", wait: bool = True) -> TeamHandle:
        """Go on with a team that was stopped, or whose kernel went away; see `Teams.resume`."""
        resuming = self._run.start(self.manager.teams.resume, name, run=run)
        handle = TeamHandle(self._run, Waiting((), cancels=False).block(resuming))
        if wait:
            handle.wait()
        return handle

    def inbox(self, timeout: float = 0) -> Letters:
        """Take what agents have written to you, waiting up to `timeout` seconds for the first."""
        return Letters(Waiting(()).block(self._run.start(self.manager.take, PERSON, timeout)))

    def serve(self) -> Serving:
        """Let other clients in: the address of the MCP server, and the lines to paste."""
        return Waiting(()).block(self._run.start(self._run.serve))

    def agent(self, name: str) -> AgentHandle:
        """A handle on that agent. Raises `UnknownAgent`."""
        return AgentHandle(self, self.manager.tree[name].name)

    __getitem__ = agent

    def close(self) -> None:
        """End every agent and the run. Idempotent; happens at the kernel's end too."""
        self._run.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class AsyncMadrox(_Face):
    """The same verbs to be awaited. Cancelling an await ends the waiting only."""

    @takes_what(Manager.spawn)
    async def spawn(self, name: str | None = None, **given: Any) -> AsyncAgentHandle:
        """Start an agent; see `Births.spawn`. Cancelled, it goes on starting."""
        future = self._run.start(self.manager.spawn, name, **given)
        agent = await patiently(future)
        self._say_rehearsal(agent, given.get("harness"))
        return AsyncAgentHandle(self, agent.name)

    @overload
    async def send(
        self, agent: str, text: str, *, steer: bool = False, wait: Literal[True] = True
    ) -> Reply: ...
    @overload
    async def send(
        self, agent: str, text: str, *, steer: bool = False, wait: Literal[False]
    ) -> AsyncPending: ...
    @overload
    async def send(
        self, agent: str, text: str, *, steer: bool = False, wait: bool
    ) -> Reply | AsyncPending: ...
    async def send(
        self, agent: str, text: str, *, steer: bool = False, wait: bool = True
    ) -> Reply | AsyncPending:
        """Start a turn with `text` (or queue it) and wait for its end; see `Madrox.send`."""
        ticket = await patiently(self._run.start(self.manager.ask, agent, text, steer=steer))
        pending = AsyncPending(self._run, ticket)
        return await pending.wait() if wait else pending

    async def post(self, agent: str, text: str) -> str:
        """Leave a message without waiting; returns its id. It goes with the agent's next turn."""
        return await patiently(self._run.start(self.manager.post, agent, text))

    async def interrupt(self, name: str) -> Reply | None:
        """End the turn under way, keeping its context; None when there was none."""
        return await patiently(self._run.start(self._run.interrupt, name))

    @takes_what(Manager.limit)
    async def limit(self, name: str = "", **amounts: Any) -> pd.DataFrame:
        """Limit what an agent and all below it may use, or give it more; see `Madrox.limit`."""
        await patiently(self._run.start(self.manager.limit, name, **amounts))
        return self._run.frames.limits(name)

    async def suspend(self, name: str) -> AsyncAgentHandle:
        """End an idle agent's process; a message, or `resume`, starts it again where it was."""
        return self.agent((await patiently(self._run.start(self.manager.suspend, name))).name)

    async def resume(self, *names: str, run: str = "") -> pd.DataFrame:
        """Wake suspended agents; without names, bring back all that an earlier kernel had."""
        return _returned(await patiently(self._run.start(self._run.resume, names, run)))

    async def fork(
        self, name: str, as_: str | None = None, *, permissions: str | None = None
    ) -> AsyncAgentHandle:
        """Start a second agent with the conversation and files of `name`; see `Manager.fork`."""
        future = self._run.start(self.manager.fork, name, as_, permissions=permissions)
        return self.agent((await patiently(future)).name)

    async def approve(self, *approvals: str, always: Always = "") -> pd.DataFrame:
        """Let agents do what they asked for; see `Manager.approve`. Returns these requests."""
        for approval in approvals:
            await patiently(self._run.start(self.manager.approve, approval, always=always))
        return self.approvals().loc[list(approvals)]

    async def deny(self, *approvals: str, why: str = "", always: Always = "") -> pd.DataFrame:
        """Refuse what agents asked for; they are told `why`. Returns these requests."""
        for approval in approvals:
            await patiently(self._run.start(self.manager.deny, approval, why, always=always))
        return self.approvals().loc[list(approvals)]

    async def stop(self, name: str, *, tree: bool = False, force: bool = False) -> list[str]:
        """End an agent, with `tree` all below it too; see `Madrox.stop`."""
        return await self.terminate(name, force=force, tree=tree)

    async def terminate(self, name: str, *, force: bool = False, tree: bool = True) -> list[str]:
        """End an agent and everyone below it; returns the names that were ended."""
        return await patiently(self._run.start(self.manager.terminate, name, force=force, tree=tree))

    async def stop_all(self, *, force: bool = False) -> list[str]:
        """End everybody; see `Madrox.stop_all`."""
        if not (given := _everybody(self.manager, force)):
            return []
        ending = self._run.start(carried_out, "terminate_multiple_instances", self.manager, given)
        return _ended(await patiently(ending))

    async def job(self, job: str | None = None, *, wait: bool = False, run: str = "") -> Told:
        """How far a job of several agents, or a team, is; see `Madrox.job`."""
        given = _about(job, wait, run)
        return _told(await patiently(self._run.start(carried_out, "get_job_status", self.manager, given)))

    async def stop_job(self, job: str) -> Told:
        """End what a job, or a team, has under way; see `Madrox.stop_job`."""
        stopping = self._run.start(carried_out, "stop_job", self.manager, {"job_id": job})
        return _told(await patiently(stopping))

    async def wait(self, *names: str, timeout: float | None = None) -> Replies:
        """Wait until these agents and all below them have nothing left to do; see `Madrox.wait`."""
        future = self._run.start(self._run.wait, names, timeout)
        waiting = self._run.waiting(*names, everyone=True)
        return await waiting.patiently(future, lambda _: self._run.quiet(names))

    @takes_what(Madrox.team)
    async def team(
        self, name: str, task: str = "", *, lead: bool = False, wait: bool = True, **given: Any
    ) -> AsyncTeamHandle:
        """Start the whole team of a file and have its phases carried out; see `Madrox.team`."""
        mode: TeamMode = "lead" if lead else "phases"
        start = self._run.start(self.manager.teams.start, name, task, mode=mode, **given)
        handle = AsyncTeamHandle(self._run, await patiently(start))
        if wait:
            await handle.wait()
        return handle

    def team_run(self, team: str = "") -> AsyncTeamHandle:
        """A handle on a team that was started: by its id or its file's name, else the newest."""
        return AsyncTeamHandle(self._run, self.manager.teams.find(team))

    async def resume_team(self, name: str = "", *, run: str = "", wait: bool = True) -> AsyncTeamHandle:
        """Go on with a team that was stopped, or whose kernel went away; see `Teams.resume`."""
        handle = AsyncTeamHandle(
            self._run, await patiently(self._run.start(self.manager.teams.resume, name, run=run))
        )
        if wait:
            await handle.wait()
        return handle

    async def inbox(self, timeout: float = 0) -> Letters:
        """Take what agents have written to you, waiting up to `timeout` seconds for the first."""
        return Letters(await Waiting(()).patiently(self._run.start(self.manager.take, PERSON, timeout)))

    async def serve(self) -> Serving:
        """Let other clients in: the address of the MCP server, and the lines to paste."""
        return await patiently(self._run.start(self._run.serve))

    def agent(self, name: str) -> AsyncAgentHandle:
        """A handle on that agent. Raises `UnknownAgent`."""
        return AsyncAgentHandle(self, self.manager.tree[name].name)

    __getitem__ = agent

    async def close(self) -> None:
        """End every agent and the run. Idempotent; happens at the kernel's end too."""
        await asyncio.to_thread(self._run.close)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()


def _everybody(manager: Manager, force: bool) -> dict[str, Any]:
    """Who stands at the top and is alive, or has somebody below who is; empty for nobody."""
    tree = manager.tree
    tops = [top.name for top in tree.children(None) if any(each.alive for each in tree.subtree(top.name))]
    return {"instance_ids": tops, "force": force} if tops else {}


def _ended(result: Result) -> list[str]:
    """The names; who was left is told."""
    results = result.data["results"]
    for each in results:
        if each["status"] == "error":
            notice(each["error"].replace("force=true", "--force or force=True"))
    return [name for each in results for name in each.get("terminated", ())]


def _about(job: str | None, wait: bool, run: str) -> dict[str, Any]:
    return {"job_id": job, "wait_for_completion": wait, "max_wait": A_DAY, "run": run or None}


def _told(result: Result) -> Told:
    return Told(result.text, result.data)


def _returned(returned: list[Return]) -> pd.DataFrame:
    from .frames import texts

    return texts((vars(each) for each in returned), "agent", "how", "why")


# questions under way


class _Question:
    """A question whose answer nobody waits for yet."""

    def __init__(self, run: Run, ticket: Ticket) -> None:
        self._run, self._ticket = run, ticket
        self._reply: Reply | None = None

    @property
    def agent(self) -> str:
        return self._ticket.agent

    @property
    def turn(self) -> str:
        """The turn it became; empty while it is queued."""
        return self._ticket.turn

    @property
    def how(self) -> str:
        """`started` its turn, `queued`, `steering` (is to join the turn under way), or `steered` (has)."""
        return self._ticket.how

    @property
    def done(self) -> bool:
        """Whether `wait` would return at once."""
        return self._ticket.end is not None

    def __repr__(self) -> str:
        state = "done" if self.done else "under way" if self.how == "started" else self.how
        return f"<question to {self.agent}, {state}>"


class Pending(_Question):
    """What `send(…, wait=False)` returns."""

    def wait(self) -> Reply:
        """Wait for the end of the turn. Raises `AgentGone` when it never became one."""
        if self._reply is None:
            future = self._run.start(self._run.send, self._ticket)
            self._reply = self._run.waiting(self.agent, ticket=self._ticket).block(future, self._run.ended)
        return self._reply


class AsyncPending(_Question):
    """What `await send(…, wait=False)` returns."""

    async def wait(self) -> Reply:
        """Wait for the end of the turn. Raises `AgentGone` when it never became one."""
        if self._reply is None:
            future = self._run.start(self._run.send, self._ticket)
            self._reply = await self._run.waiting(self.agent, ticket=self._ticket).patiently(
                future, self._run.ended
            )
        return self._reply


# one agent


class _Handle:
    """One agent by its name: its facts are those of now."""

    def __init__(self, face: _Face, name: str) -> None:
        self._run, self.name = face._run, name

    @property
    def _agent(self) -> Agent:
        return self._run.manager.tree[self.name]

    @property
    def state(self) -> str:
        """`starting`, `idle`, `busy`, `waiting`, `suspended`, `stopped` or `failed`."""
        return self._agent.state

    @property
    def role(self) -> str:
        return self._agent.role

    @property
    def harness(self) -> str:
        return self._agent.harness

    @property
    def model(self) -> str | None:
        return self._agent.model

    @property
    def parent(self) -> str | None:
        """Its name; None for the top of a tree."""
        return self._agent.parent

    @property
    def children(self) -> list[str]:
        """Their names, in the order of spawning."""
        return [agent.name for agent in self._run.manager.tree.children(self.name)]

    @property
    def turns(self) -> int:
        """How many it has begun."""
        return self._agent.turns

    @property
    def workspace(self) -> Path:
        """Its working directory."""
        return Path(self._agent.workspace)

    @property
    def last(self) -> Reply | None:
        """How its last turn ended."""
        return self._run.last.replies.get(self.name)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Handle) and (self._run, self.name) == (other._run, other.name)

    def __hash__(self) -> int:
        return hash((id(self._run), self.name))

    def __repr__(self) -> str:
        agent = self._agent
        return f"<agent {agent.name}: {agent.state}, {agent.role}, {agent.harness}>"

    def __str__(self) -> str:
        return views.card_plain(self._run.row(self.name))

    def _repr_mimebundle_(self, **_: Any) -> dict[str, str]:
        row = self._run.row(self.name)
        return {"text/plain": views.card_plain(row), "text/html": views.card_html(row)}


class AgentHandle(_Handle):
    """What `Madrox.spawn` returns: one agent, and the verbs for it."""

    def __init__(self, face: Madrox, name: str) -> None:
        super().__init__(face, name)
        self._face = face

    @overload
    def send(self, text: str, *, steer: bool = False, wait: Literal[True] = True) -> Reply: ...
    @overload
    def send(self, text: str, *, steer: bool = False, wait: Literal[False]) -> Pending: ...
    def send(self, text: str, *, steer: bool = False, wait: bool = True) -> Reply | Pending:
        """Start a turn with `text` (or queue it) and wait for its end; see `Madrox.send`."""
        return self._face.send(self.name, text, steer=steer, wait=wait)

    def post(self, text: str) -> str:
        """Leave a message without waiting; returns its id."""
        return self._face.post(self.name, text)

    def interrupt(self) -> Reply | None:
        """End the turn under way, keeping its context."""
        return self._face.interrupt(self.name)

    def limit(self, **amounts: Any) -> pd.DataFrame:
        """Limit what it and all below it may use, or give it more; see `Madrox.limit`."""
        return self._face.limit(self.name, **amounts)

    def suspend(self) -> AgentHandle:
        """End its process while it is idle; a message starts it again where it was."""
        return self._face.suspend(self.name)

    def resume(self) -> AgentHandle:
        """Start its process again, if it is suspended."""
        self._face.resume(self.name)
        return self

    def fork(self, as_: str | None = None, *, permissions: str | None = None) -> AgentHandle:
        """Start a second agent with its conversation and files; see `Manager.fork`."""
        return self._face.fork(self.name, as_, permissions=permissions)

    def stop(self, *, tree: bool = False, force: bool = False) -> list[str]:
        """End it; see `Madrox.stop`."""
        return self._face.stop(self.name, tree=tree, force=force)

    def wait(self, timeout: float | None = None) -> Reply | None:
        """Wait until it and all below it have nothing left to do; returns its last reply."""
        return self._face.wait(self.name, timeout=timeout).get(self.name)


class AsyncAgentHandle(_Handle):
    """What `AsyncMadrox.spawn` returns: one agent, and the verbs for it, to be awaited."""

    def __init__(self, face: AsyncMadrox, name: str) -> None:
        super().__init__(face, name)
        self._face = face

    @overload
    async def send(self, text: str, *, steer: bool = False, wait: Literal[True] = True) -> Reply: ...
    @overload
    async def send(self, text: str, *, steer: bool = False, wait: Literal[False]) -> AsyncPending: ...
    async def send(self, text: str, *, steer: bool = False, wait: bool = True) -> Reply | AsyncPending:
        """Start a turn with `text` (or queue it) and wait for its end; see `Madrox.send`."""
        return await self._face.send(self.name, text, steer=steer, wait=wait)

    async def post(self, text: str) -> str:
        """Leave a message without waiting; returns its id."""
        return await self._face.post(self.name, text)

    async def interrupt(self) -> Reply | None:
        """End the turn under way, keeping its context."""
        return await self._face.interrupt(self.name)

    async def limit(self, **amounts: Any) -> pd.DataFrame:
        """Limit what it and all below it may use, or give it more; see `Madrox.limit`."""
        return await self._face.limit(self.name, **amounts)

    async def suspend(self) -> AsyncAgentHandle:
        """End its process while it is idle; a message starts it again where it was."""
        return await self._face.suspend(self.name)

    async def resume(self) -> AsyncAgentHandle:
        """Start its process again, if it is suspended."""
        await self._face.resume(self.name)
        return self

    async def fork(self, as_: str | None = None, *, permissions: str | None = None) -> AsyncAgentHandle:
        """Start a second agent with its conversation and files; see `Manager.fork`."""
        return await self._face.fork(self.name, as_, permissions=permissions)

    async def stop(self, *, tree: bool = False, force: bool = False) -> list[str]:
        """End it; see `Madrox.stop`."""
        return await self._face.stop(self.name, tree=tree, force=force)

    async def wait(self, timeout: float | None = None) -> Reply | None:
        """Wait until it and all below it have nothing left to do; returns its last reply."""
        return (await self._face.wait(self.name, timeout=timeout)).get(self.name)
