"""Questions under way, whose answers nobody waits for yet."""

from __future__ import annotations

from collections.abc import Sequence

from ..run import Run
from ..tickets import Ticket
from ..values import Reply


class Question:
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


class Pending(Question):
    """What `send(…, wait=False)` returns."""

    def wait(self) -> Reply:
        """Wait for the end of the turn. Raises `AgentGone` when it never became one."""
        if self._reply is None:
            future = self._run.start(self._run.send, self._ticket)
            self._reply = self._run.waiting(self.agent, ticket=self._ticket).block(future, self._run.ended)
        return self._reply


class AsyncPending(Question):
    """What `await send(…, wait=False)` returns."""

    async def wait(self) -> Reply:
        """Wait for the end of the turn. Raises `AgentGone` when it never became one."""
        if self._reply is None:
            future = self._run.start(self._run.send, self._ticket)
            self._reply = await self._run.waiting(self.agent, ticket=self._ticket).patiently(
                future, self._run.ended
            )
        return self._reply


def answered(names: Sequence[str]) -> str:
    """The one line that a cell keeps of a broadcast."""
    return f"answered: {', '.join(names)}"
