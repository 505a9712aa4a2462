"""A full disk: the agents wait until the ledger can be written again."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .manager import Manager

RETRY_SECONDS = 0.5

log = logging.getLogger(__name__)


class FullDisk:
    """Stops the reading from the agents, and looks whether there is room again."""

    def __init__(self, manager: Manager) -> None:
        self._manager = manager
        self.waits = False

    def wait(self) -> None:
        """Stop reading from the agents until there is room; what is queued is handed over then."""
        self._manager.processes.pause()
        if not self.waits:
            self.waits = True
            log.error("no room for the ledger (%s): the agents wait", self._manager.ledger.trouble)
            self._manager.soon(self._until_room())

    async def _until_room(self) -> None:
        manager = self._manager
        await asyncio.sleep(RETRY_SECONDS)
        while not manager.ledger.retry():
            await asyncio.sleep(RETRY_SECONDS)
        log.warning("there is room again: the agents go on")
        self.waits = False
        manager.processes.resume()
        for agent in manager.tree.alive():
            manager.mail.feed(agent.name)
