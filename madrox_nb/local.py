"""This machine as a place for agents, and the starting of their guard.

The guard (guard.py) starts the processes and ends them with us. Their pipes come straight
to us, so a round trip costs no hop. Where agents are to outlive us for a while, it is a
keeper (keeper.py), and the next kernel attaches to the same processes.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import resource
import selectors
import signal
import socket
import subprocess
import sys
import time
import weakref
from collections.abc import AsyncIterator, Mapping, Sequence
from functools import cache, partial
from itertools import count
from pathlib import Path

from .errors import HarnessError
from .guarding import Frame, Guard
from .keeping import Keep, open_door
from .nodes import AgentSpec, Handle, Kept, Slot, SlotAdded, SlotLost, Watcher
from .wires import CHUNK, Wire, kept_ends, open_ends

IN_FLIGHT = 16
"""Spawns asked for and not yet answered. Without a bound both sockets fill up and wait for each other."""
BURIAL_SECONDS = 15.0
"""In which the guard's first process has to end when the guard has."""
MOST_SAID = 64 * 1024
"""Bytes of output after which a program that should say a line has said enough."""
SAID_KEPT = 2000
"""Characters of them that an error repeats."""

GUARD, KEEPER = Path(__file__).with_name("guard.py"), Path(__file__).with_name("keeper.py")
GUARD_ENV = ("PATH", "LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH")
"""What an interpreter may need to start at all."""


class LocalLauncher:
    """This machine. Its slots are always there."""

    def __init__(self, keep: Keep | None = None) -> None:
        """With `keep`, agents outlive this process for a while."""
        self._keep = keep

    async def acquire(self, n: int, need: Mapping[str, int | str]) -> list[Slot]:
        return [Slot("local")] * n

    async def open_node(self, slot: Slot) -> LocalNode:
        return await LocalNode.open(self._keep)

    async def reopen(self) -> tuple[LocalNode, list[Kept]]:
        """The node that a dead owner left, and its processes: see `LocalNode.attach`."""
        assert self._keep is not None
        return await LocalNode.attach(self._keep.directory)

    async def release(self, slot: Slot) -> None:
        pass

    async def events(self) -> AsyncIterator[SlotAdded | SlotLost]:
        return
        yield  # this is what makes it an iterator, of nothing


class LocalNode:
    """The processes of this machine, started by a guard of their own."""

    _guard: Guard

    def __init__(self) -> None:
        self._wires: dict[str, Wire] = {}
        self._starts = count(1)
        self._keeping = False
        self._room = asyncio.Semaphore(IN_FLIGHT)

    @classmethod
    async def open(cls, keep: Keep | None = None) -> LocalNode:
        """Start the guard. Raises `NotRunning` when it does not come up."""
        node = cls()
        node._keeping = keep is not None
        sock, process, says = _start_guard(keep)
        node._guard = Guard(sock, node._exited, node._gone, partial(_bury, process))
        await node._guard.come_up(says)
        _nodes.add(node)
        return node

    @classmethod
    async def attach(cls, directory: Path) -> tuple[LocalNode, list[Kept]]:
        """Become the owner of what a dead one left to its keeper, found in `directory` (`Keep.directory`).

        Of each process nothing is read until `adopt`. Raises `NotRunning` when there is
        no keeper any more, or when it has an owner.
        """
        node = cls()
        node._keeping = True
        _raise_nofile()
        node._guard = await Guard.attach(node._exited, node._gone, directory)
        try:
            kept = [node._take_over(*node._guard.left.pop(0)) for _ in tuple(node._guard.left)]
        except BaseException:
            node.leave()
            raise
        node._starts = count(max((int(each.handle.key.rpartition("#")[2]) for each in kept), default=0) + 1)
        _nodes.add(node)
        return node, kept

    def _take_over(self, frame: Frame, fds: list[int]) -> Kept:
        key, log = frame["id"], Path(frame["wire_log"])
        kept = Kept(
            handle=Handle(key.rpartition("#")[0], frame["pid"], key),
            wire_log=log,
            stderr_log=Path(frame["stderr_log"]),
            pty=frame["pty"],
            since=frame["since"],
            offset=log.stat().st_size if log.exists() else 0,
            code=frame["code"],
        )
        wire = self._wires[key] = Wire(kept_ends(kept, fds), lambda what: self._told(key, what))
        if kept.code is not None:
            wire.exited(kept.code)
        return kept

    def adopt(self, kept: Kept, watcher: Watcher) -> None:
        self._wires[kept.handle.key].start(watcher)

    @property
    def pids(self) -> tuple[int, int]:
        """Of the guard and of its sentinel; the same where there is none."""
        return self._guard.pid, self._guard.sentinel

    async def spawn(self, spec: AgentSpec, watcher: Watcher) -> Handle:
        async with self._room:
            key = f"{spec.id}#{next(self._starts)}"
            ends = open_ends(spec, self._keeping)
            wire = self._wires[key] = Wire(ends, lambda what: self._told(key, what))
            try:
                pid = await self._guard.spawn(key, spec, ends, self._keeping)
            except BaseException:
                wire.shut()
                raise
            wire.start(watcher)
            return Handle(spec.id, pid, key)

    def write(self, handle: Handle, data: bytes) -> None:
        if wire := self._wires.get(handle.key):
            wire.write(data)

    def unread(self, handle: Handle) -> int:
        wire = self._wires.get(handle.key)
        return wire.unread() if wire else 0

    def close_input(self, handle: Handle) -> None:
        if wire := self._wires.get(handle.key):
            wire.close_input()

    def pause(self, handle: Handle) -> None:
        if wire := self._wires.get(handle.key):
            wire.pause()

    def resume(self, handle: Handle) -> None:
        if wire := self._wires.get(handle.key):
            wire.resume()

    def kill(self, handle: Handle, sig: int, tree: bool = True) -> None:
        if handle.key in self._wires:
            self._guard.send("kill", id=handle.key, sig=sig, tree=tree)

    async def close(self) -> None:
        await self._guard.close()
        self._forget_all()

    def leave(self) -> None:
        self._guard.leave()
        self._forget_all()

    def _forget_all(self) -> None:
        for wire in list(self._wires.values()):
            wire.leave()
        self._wires.clear()
        _nodes.discard(self)

    def _told(self, key: str, what: str) -> None:
        """What became of one of our ends."""
        if what == "forget":
            self._wires.pop(key, None)
        if self._keeping:
            self._guard.send(what, id=key)

    def _exited(self, key: str, code: int) -> None:
        if wire := self._wires.get(key):
            wire.exited(code)

    def _gone(self, reason: str) -> None:
        for wire in list(self._wires.values()):
            wire.lost(reason)

    def _let_go(self) -> None:
        """In a forked child: close what it inherited, so that only the owner keeps agents alive."""
        self._guard.let_go()
        for wire in self._wires.values():
            wire.let_go()


_nodes: weakref.WeakSet[LocalNode] = weakref.WeakSet()


def _let_go_of_all() -> None:
    for node in _nodes:
        node._let_go()
    _nodes.clear()  # a child of this child must not close these numbers again


os.register_at_fork(after_in_child=_let_go_of_all)


def _start_guard(keep: Keep | None) -> tuple[socket.socket, subprocess.Popen[bytes], str]:
    """Our end of its socket, the guard, and what to say when it does not come up."""
    with contextlib.ExitStack() as passed:
        ours, theirs = socket.socketpair()
        ours.setblocking(False)
        fds = [passed.enter_context(theirs).fileno()]
        command = [sys.executable, "-S", "-E", "-I", str(GUARD), str(fds[0]), str(_raise_nofile())]
        if keep is not None:
            fds.append(passed.enter_context(open_door(keep)).fileno())
            command[4] = str(KEEPER)
            command += [str(fds[1]), str(keep.seconds)]
        process = subprocess.Popen(
            command,
            pass_fds=fds,
            start_new_session=True,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            env={name: os.environ[name] for name in GUARD_ENV if name in os.environ},
        )
    return ours, process, f"the guard that starts agents did not come up. Try: {' '.join(command[:5])}"


def _bury(process: subprocess.Popen[bytes]) -> None:
    """The sentinel has nothing left to do when its guard is gone; never wait for it without end."""
    try:
        process.wait(BURIAL_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


@cache
def _raise_nofile() -> int:
    """Raise our soft limit of open files to the hard one; the old one is for the agents."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    with contextlib.suppress(ValueError, OSError):  # macOS calls its hard limit infinite and refuses it
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    return soft


# a question to a program


def asked(argv: Sequence[str], *, env: Mapping[str, str], seconds: float) -> tuple[str, str]:
    """(stdout, stderr) of a program that says something and ends, such as `claude --version`.

    It has no input and works in `/`; whatever is left of its process group is killed.
    Raises `HarnessError`, with what it said as evidence, when it can't be run, fails, never
    stops talking, or has not ended after `seconds`.
    """
    try:
        process = subprocess.Popen(
            list(argv),
            env=dict(env),
            cwd="/",
            start_new_session=True,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
    except OSError as exc:
        raise HarnessError(f"it can't be run: {exc.strerror or exc}") from exc
    with process:
        said, trouble = [b"", b""], ""
        try:
            trouble = _heard_out(process, said, time.monotonic() + seconds)
        finally:
            with contextlib.suppress(ProcessLookupError, PermissionError):  # nobody is left of it
                os.killpg(process.pid, signal.SIGKILL)
            code = process.wait()
    out, err = (each.decode("utf-8", "replace") for each in said)
    if not code:  # it had ended well; what still spoke was something that it left behind
        return out, err
    why = f"was killed by signal {-code}" if code < 0 else f"ended with code {code}"
    raise HarnessError(trouble or f"it {why}", (out + err)[-SAID_KEPT:], code)


def _heard_out(process: subprocess.Popen[bytes], said: list[bytes], deadline: float) -> str:
    """Gather what it says on stdout and stderr until it ends; else returns why it is not heard out."""
    late = "it did not end in time"
    with selectors.DefaultSelector() as pipes:
        for number, pipe in enumerate((process.stdout, process.stderr)):
            assert pipe is not None
            pipes.register(pipe, selectors.EVENT_READ, number)
        while pipes.get_map():
            if (left := deadline - time.monotonic()) <= 0:
                return late
            for key, _ in pipes.select(left):
                if not (data := os.read(key.fd, CHUNK)):
                    pipes.unregister(key.fileobj)
                said[key.data] += data
            if sum(map(len, said)) > MOST_SAID:
                return "it did not stop talking"
    try:
        process.wait(max(0.0, deadline - time.monotonic()))
    except subprocess.TimeoutExpired:
        return late
    return ""
