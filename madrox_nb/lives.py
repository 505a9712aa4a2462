"""The verbs on an agent between its birth and its end: suspend, resume, interrupt, terminate.

`Births` says how one comes to be.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from .errors import AgentBusy, BadInput, HarnessError, MadroxError
from .events import PERSON, AgentReady, AgentStopped, AgentSuspended, Entry, TurnEnded
from .tree import WORKING, Agent

if TYPE_CHECKING:
    from .manager import Manager


class Lives:
    """What verbs do with agents that are there."""

    def __init__(self, manager: Manager) -> None:
        self._manager, self._tree, self._processes = manager, manager.tree, manager.processes

    async def suspend(self, name: str, reason: str) -> Agent:
        """End the process of an idle agent; its session, workspace and inbox are kept.

        The next message for it resumes it. Suspending a suspended one does nothing.
        Raises `AgentBusy` for a working one, `AgentGone`, or `BadInput` when its CLI
        could not go on with the session.
        """
        agent = self._tree[name]
        if agent.state == "suspended":
            return agent
        self._tree.check(AgentSuspended(agent=name, reason=reason))
        if agent.state == "starting":
            raise AgentBusy(AgentSuspended(agent=name, reason=reason), "starting")
        if not self._manager.features(name).resume:
            raise BadInput(
                f"{name} can't be suspended: {agent.harness} could not go on with its conversation later. "
                f"End it instead: %madrox stop {name}"
            )
        if agent.origin and not agent.begun:
            raise BadInput(
                f"{name} was {agent.origin} and has no turn of its own yet: send it something first"
            )
        await self._processes.suspend(name, reason)
        return self._tree[name]

    async def resume(self, name: str, *, wait: bool = True) -> Agent:
        """Start a suspended agent again, in its session; one that is awake is left as it is.

        Raises `AgentGone`, `HarnessNotFound`, or what kept its CLI from becoming ready:
        the agent then stands in the tree as failed. Cancelled, it goes on starting.
        """
        agent = self._tree[name]
        if not agent.alive:
            raise self._tree.refusal(AgentReady(agent=name))
        if agent.state != "suspended":
            return agent
        births = self._manager.births
        starting = births.start(agent, session=agent.session if agent.begun else "")
        if wait:
            await births.ready(name, starting)
        return self._tree[name]

    async def wake(self, name: str) -> None:
        """Resume an agent because it has something to do. One that can't be woken has ended."""
        try:
            await self.resume(name)
        except MadroxError as exc:
            if self._tree[name].state == "suspended":  # its CLI, or its harness, is not even there any more
                reason, _, evidence = str(exc).partition("\n")
                self._manager.record(AgentStopped(agent=name, reason=reason, failed=True, evidence=evidence))
                self._processes.forget(name)
            raise

    async def interrupt(self, name: str) -> TurnEnded | None:
        """End the turn under way, keeping its context; returns its end, None when there was none.

        Returns when the CLI has confirmed it. Raises `HarnessError` when it does not
        within `interrupt_timeout`, and `BadInput` when it can't be interrupted: the turn
        then still runs.
        """
        agent = self._tree[name]
        runner = self._processes.get(name)
        if agent.state not in WORKING or runner is None:
            return None
        if not self._manager.features(name).interrupt:
            raise BadInput(
                f"{name} can't be interrupted: {agent.harness} can't end a turn and keep what was said. "
                f"Wait for {agent.turn}, or end the agent: %madrox stop {name} --force"
            )
        ended: asyncio.Future[TurnEnded] = asyncio.get_running_loop().create_future()

        def heard(entry: Entry) -> None:
            event = entry.event
            if isinstance(event, TurnEnded) and event.turn == agent.turn and not ended.done():
                ended.set_result(event)

        seconds = self._manager.settings.interrupt_timeout
        stop = self._manager.ledger.listen(heard)
        try:
            runner.interrupt()
            async with asyncio.timeout(seconds):
                return await ended
        except TimeoutError:
            raise HarnessError(
                f"{name} did not confirm the interrupt within {seconds:g} s and still works on {agent.turn}. "
                f"Try again, or end it: %madrox stop {name} --force",
                runner.evidence(),
            ) from None
        finally:
            stop()

    async def terminate(
        self, name: str, *, force: bool = False, tree: bool = True, by: str = PERSON
    ) -> list[str]:
        """End an agent and everyone below it; returns the names that were ended, leaves first.

        Raises `AgentBusy` when one of them works and `force` is not given, and
        `BadInput` when `tree` is False and it has children. Ending an agent that has
        ended already ends nothing.
        """
        family = [agent for agent in self._tree.subtree(name) if agent.alive]
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
            await asyncio.gather(*(self.end(each, f"terminated by {by}") for each in names))
            ended += [each for each in names if each not in ended]
            family = [a for a in self._tree.subtree(name) if a.alive and a.name not in ended]
        return ended

    async def end(self, name: str, reason: str) -> None:
        """End an agent: its process if it has one, and in any case on record."""
        agent = self._tree[name]
        await self._processes.end(name, reason, working=agent.state in WORKING)
        if (now := self._tree[name]).alive and now.born == agent.born:  # and no successor of that name
            self._manager.record(AgentStopped(agent=name, reason=reason))
            self._processes.forget(name)
            self._manager.births.ended(name)
        await self._manager.births.left(name)
