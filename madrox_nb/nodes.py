"""Where agents run: the seam between the manager and the places that hold processes.

A `Launcher` knows places and opens nodes on them, a `NodeLink` drives the processes of
one node, a `Placement` chooses among nodes. Only `local` is built (local.py). A node
elsewhere would speak the guard's frames over its own link and write its own wire logs;
nothing above this file would notice.

Everything here belongs to one event loop and is called on it.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol


@dataclass(frozen=True, kw_only=True)
class AgentSpec:
    """One process to start."""

    id: str
    argv: Sequence[str]
    env: Mapping[str, str]
    """The whole environment. `MADROX_AGENT` in it marks what belongs to this agent."""
    cwd: str
    wire_log: Path
    """Every byte of its output, appended before anyone else sees it (0600)."""
    stderr_log: Path
    """Its stderr goes straight there (0600)."""
    pty: bool = False
    """A raw terminal for stdin, stdout and stderr instead of two pipes and a file."""
    screen: tuple[int, int] | None = None
    """Rows and columns of that terminal, for a program that people type to: its keys send signals."""


@dataclass(frozen=True, slots=True, eq=False)
class Handle:
    """A running process: what a node is asked to act on."""

    id: str
    pid: int
    key: str
    """Names this start of the agent among all starts on its node."""


@dataclass(frozen=True, slots=True)
class Kept:
    """A process that outlived its owner, and what is needed to go on with it."""

    handle: Handle
    wire_log: Path
    stderr_log: Path
    pty: bool
    since: int
    """Where in the wire log its output begins, in bytes."""
    offset: int
    """Where in the wire log its output goes on: all before that was read already."""
    code: int | None
    """It ended while nobody owned it; there may be last words to read. Negative for a signal."""


class Watcher(Protocol):
    """Who follows one process. Called on the loop; may begin before `spawn` has returned."""

    def on_data(self, data: bytes, offset: int) -> None:
        """Output, already in the wire log, where it begins at byte `offset`."""

    def on_exit(self, code: int) -> None:
        """It has ended and all its output was told. Exactly once, unless `on_lost` came."""

    def on_lost(self, reason: str) -> None:
        """Its node is gone, and the process with it; nothing else will be told."""

    def on_stuck(self, error: OSError) -> None:
        """The wire log can't be written. Nothing is read until `resume`; nothing is lost."""


class NodeLink(Protocol):
    """Drives the processes of one node. A process that is gone takes every verb in silence."""

    async def spawn(self, spec: AgentSpec, watcher: Watcher) -> Handle:
        """Start a process. When cancelled, nothing stays behind.

        Raises `HarnessNotFound`, `HarnessError` (it can't be started as asked, or there
        are no descriptors left) or `NotRunning` (the node is gone).
        """

    def adopt(self, kept: Kept, watcher: Watcher) -> None:
        """Go on with a process that this node got from a dead owner: read from it, at `kept.offset`."""

    def write(self, handle: Handle, data: bytes) -> None:
        """Write to its stdin. Never blocks; what the pipe won't take yet waits here."""

    def unread(self, handle: Handle) -> int:
        """Bytes that were written to its terminal and that it has not read, as far as can be seen."""

    def close_input(self, handle: Handle) -> None:
        """End its stdin, after what waits to be written."""

    def pause(self, handle: Handle) -> None:
        """Read no more, so that it has to wait when its pipe is full."""

    def resume(self, handle: Handle) -> None:
        """Read again, after `pause` or `on_stuck`."""

    def kill(self, handle: Handle, sig: int, tree: bool = True) -> None:
        """Send a signal to the process, and with `tree` to all that it started and can be found."""

    def leave(self) -> None:
        """Go without goodbye, as if killed: what is kept waits for the next owner, all else is killed.

        Tells nobody. What was written and not yet taken by a process is lost.
        """

    async def close(self) -> None:
        """Kill every process and end the node. `on_exit` or `on_lost` comes for each."""


@dataclass(frozen=True)
class Slot:
    """Room for one node at a place."""

    place: str


@dataclass(frozen=True)
class SlotAdded:
    slot: Slot


@dataclass(frozen=True)
class SlotLost:
    slot: Slot
    reason: str


class Launcher(Protocol):
    """Knows one kind of place: this machine, a host behind ssh, a cluster."""

    async def acquire(self, n: int, need: Mapping[str, int | str]) -> list[Slot]:
        """`n` slots with what is needed (`{"agents": 1, "mem": "1GB"}`). May wait long."""

    async def open_node(self, slot: Slot) -> NodeLink:
        """Start a node there."""

    async def release(self, slot: Slot) -> None:
        """Give the slot back; its node is closed."""

    def events(self) -> AsyncIterator[SlotAdded | SlotLost]:
        """Slots that come and go by themselves."""


@dataclass(frozen=True)
class NodeState:
    """What a placement sees of a node."""

    id: str
    agents: int


@dataclass(frozen=True)
class Wait:
    """No node can take another agent now."""

    why: str


class Placement(Protocol):
    """Chooses the node for an agent. Pure."""

    def choose(self, spec: AgentSpec, nodes: Sequence[NodeState]) -> str | Wait:
        """The id of a node."""


@dataclass(frozen=True)
class FewestAgents:
    """The node with the fewest agents, the first of equals; `cap` bounds each node."""

    cap: int | None = None

    def choose(self, spec: AgentSpec, nodes: Sequence[NodeState]) -> str | Wait:
        open_nodes = [node for node in nodes if self.cap is None or node.agents < self.cap]
        if not open_nodes:
            return Wait(
                f"each of {len(nodes)} nodes holds {self.cap} agents" if nodes else "there is no node"
            )
        return min(open_nodes, key=lambda node: node.agents).id
