"""What running CLIs tell, passed on to whom it concerns."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from .events import Event, Signal, TurnEnded, UsageReported
from .harness import Ask, Steered, Withdraw
from .prices import priced
from .runner import Runner

if TYPE_CHECKING:
    from .manager import Manager

log = logging.getLogger(__name__)


class Hearing:
    """The `Core` of every runner."""

    def __init__(self, manager: Manager) -> None:
        self._manager = manager

    def record(self, event: Event) -> object:
        return self._manager.record(event)

    def signal(self, signal: Signal) -> None:
        self._manager.signal(signal)

    def asked(self, runner: Runner, ask: Ask) -> None:
        self._manager.requests.asked(runner, ask)

    def withdrawn(self, runner: Runner, withdraw: Withdraw) -> None:
        self._manager.requests.withdrawn(runner, withdraw)

    def steered(self, runner: Runner, steered: Steered) -> None:
        self._manager.mail.steered(runner.agent, steered)

    def alive(self, agent: str) -> bool:
        return self._manager.tree[agent].alive

    def turn(self, agent: str) -> str:
        return self._manager.tree[agent].turn

    def redacted(self, text: str) -> str:
        return self._manager.redactor.text(text)

    def priced(self, usage: UsageReported) -> UsageReported:
        return priced(usage, self._manager.tree[usage.agent].model, self._manager.prices)

    def explained(self, ended: TurnEnded) -> TurnEnded:
        return self._manager.spending.explained(ended)

    def stuck(self, runner: Runner, error: OSError) -> None:
        log.error("%s: its wire log can't be written (%s); the agents wait for room", runner.agent, error)
        self._manager.disk.wait()

    def gone(self, runner: Runner) -> None:
        manager, name = self._manager, runner.agent
        manager.signals.drop(name)
        suspended = manager.tree[name].state == "suspended"
        manager.processes.forget(name, suspended=suspended)
        if not suspended:
            manager.births.ended(name)
