"""The verbs to be awaited."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, Literal, Self, overload

from .. import asking
from ..display import Waiting
from ..events import PERSON, Always, TeamMode
from ..handles import AsyncTeamHandle
from ..in_person import carried_out
from ..manager import Manager
from ..portal import patiently
from ..signatures import takes_what
from ..tickets import Ticket
from ..values import Letters, Replies, Reply, Serving, Told
from .agents import AsyncAgentHandle
from .blocking import Madrox
from .face import Face
from .listings import returned
from .questions import AsyncPending, answered

if TYPE_CHECKING:
    import pandas as pd


class AsyncMadrox(Face):
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

    @overload
    async def broadcast(
        self, text: str, *agents: str, below: str = "", wait: Literal[True] = True
    ) -> Replies: ...
    @overload
    async def broadcast(
        self, text: str, *agents: str, below: str = "", wait: Literal[False]
    ) -> list[AsyncPending]: ...
    @overload
    async def broadcast(
        self, text: str, *agents: str, below: str = "", wait: bool
    ) -> Replies | list[AsyncPending]: ...
    async def broadcast(
        self, text: str, *agents: str, below: str = "", wait: bool = True
    ) -> Replies | list[AsyncPending]:
        """Ask several agents the same and wait for all their answers; see `Madrox.broadcast`."""
        asked = await patiently(self._run.start(asking.broadcast, self.manager, agents, below, text))
        if not wait:
            return [AsyncPending(self._run, ticket) for ticket in asking.tickets(asked)]
        names = [each.agent for each in asked if isinstance(each, Ticket)]
        waiting = self._run.waiting(*names, everyone=True)
        return await waiting.patiently(
            self._run.start(asking.answers, self._run, asked), lambda _: answered(names)
        )

    async def call(self, tool: str, **given: Any) -> Told:
        """Carry out one of the tools that agents have, in your name; see `Madrox.call`."""
        future = self._run.start(carried_out, tool, self.manager, given)
        return Told.of(await patiently(future))

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
        """Bring back suspended or ended agents; without names, all that an earlier kernel had."""
        return returned(await patiently(self._run.start(self._run.resume, names, run)))

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
        return self.approvals(full=True).loc[list(approvals)]

    async def deny(self, *approvals: str, why: str = "", always: Always = "") -> pd.DataFrame:
        """Refuse what agents asked for; they are told `why`. Returns these requests."""
        for approval in approvals:
            await patiently(self._run.start(self.manager.deny, approval, why, always=always))
        return self.approvals(full=True).loc[list(approvals)]

    async def stop(self, name: str, *, tree: bool = False, force: bool = False) -> list[str]:
        """End an agent, with `tree` all below it too; see `Madrox.stop`."""
        return await self.terminate(name, force=force, tree=tree)

    async def terminate(self, name: str, *, force: bool = False, tree: bool = True) -> list[str]:
        """End an agent and everyone below it; returns the names that were ended."""
        return await patiently(self._run.start(self.manager.terminate, name, force=force, tree=tree))

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
