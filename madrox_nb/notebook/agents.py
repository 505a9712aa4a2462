"""One agent by its name: what a cell shows of it, and the verbs for it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, overload

from .. import views
from ..tree import Agent
from ..values import Reply
from .questions import AsyncPending, Pending

if TYPE_CHECKING:
    import pandas as pd

    from .awaited import AsyncMadrox
    from .blocking import Madrox
    from .face import Face


class Handle:
    """One agent by its name: its facts are those of now."""

    def __init__(self, face: Face, name: str) -> None:
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
        return isinstance(other, Handle) and (self._run, self.name) == (other._run, other.name)

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


class AgentHandle(Handle):
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
        """Start its process again, if it is suspended or has ended; see `Madrox.resume`."""
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


class AsyncAgentHandle(Handle):
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
        """Start its process again, if it is suspended or has ended; see `Madrox.resume`."""
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
