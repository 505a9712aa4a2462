"""Who still has something to do: in a turn, in an inbox, in a job, or about to be handed it."""

from __future__ import annotations

import asyncio
from collections.abc import Container
from typing import TYPE_CHECKING

from .queueing import starts_a_turn
from .tree import WORKING, Agent

if TYPE_CHECKING:
    from .manager import Manager


class Unfinished:
    """What is left to do, of everybody or of some and all below them."""

    def __init__(self, manager: Manager) -> None:
        self._manager, self._tree = manager, manager.tree

    async def gone(
        self, names: tuple[str, ...] = (), timeout: float | None = None, *, besides: Container[str] = ()
    ) -> bool:
        """Wait until these agents and all below them (or everyone) have nothing left to do.

        A job that they take part in is something to do until it is over. Nobody waits for
        those `besides`, nor for what is below them. False when `timeout` seconds pass first.
        """
        loop = asyncio.get_running_loop()
        deadline = None if timeout is None else loop.time() + timeout
        while self._manager.background or self.anything(names, besides):
            left = None if deadline is None else deadline - loop.time()
            if left is not None and left <= 0:
                return False
            await self._manager.mail.change(left)
        return True

    def anything(self, names: tuple[str, ...], besides: Container[str]) -> bool:
        """Whether one of these, or below them, has something left to do, or a part in a job under way."""
        family = {agent.name for name in names for agent in self._tree.subtree(name, besides)}
        return self._manager.foreman.busy(family) or bool(self.agents(names, besides))

    def agents(self, names: tuple[str, ...], besides: Container[str]) -> list[Agent]:
        """Who of these and all below them still works, starts, or is about to be handed something."""
        tree = self._tree
        agents = [a for name in names for a in tree.subtree(name, besides)] if names else list(tree)
        return [a for a in agents if a.state in ("starting", *WORKING) or (a.alive and self.waits(a.name))]

    def waits(self, name: str) -> bool:
        """Whether something lies in an agent's inbox for which it would take a turn now."""
        return self._manager.held(name) is None and any(
            starts_a_turn(message, self._tree) for message in self._manager.inboxes.unread(name)
        )
