"""This machine as a place for agents: the client of the guard.

The guard (guard.py) starts the processes and ends them with us. Their pipes come straight
to us, so a round trip costs no hop. Where agents are to outlive us for a while, it is a
keeper (keeper.py), and the next kernel attaches to the same processes.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import json
import os
import resource
import selectors
import signal
import socket
import subprocess
import sys
import time
import weakref
from collections import deque
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from functools import cache
from itertools import count
from pathlib import Path
from typing import Any

from .errors import HarnessError, HarnessNotFound, NotRunning
from .keeping import Keep, find_door, knock, open_door
from .nodes import AgentSpec, Handle, Kept, Slot, SlotAdded, SlotLost, Watcher
from .wires import CHUNK, Ends, Wire, close, kept_ends, open_ends

IN_FLIGHT = 16
"""Spawns asked for and not yet answered. Without a bound both sockets fill up and wait for each other."""
START_TIMEOUT = 20.0
"""Seconds in which the guard has to come up."""
STOP_TIMEOUT = 15.0
"""Seconds in which the guard has to end; it gives itself ten."""
MOST_SAID = 64 * 1024
"""Bytes of output after which a program that should say a line has said enough."""
SAID_KEPT = 2000
"""Characters of them that an error repeats."""

GUARD, KEEPER = Path(__file__).with_name("guard.py"), Path(__file__).with_name("keeper.py")
FDS_AT_ONCE = 8
"""Descriptors that one read may bring: the ends of one process."""
CLOEXEC = getattr(socket, "MSG_CMSG_CLOEXEC", 0)
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

    _guard: _Guard

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
        node._guard = await _Guard.start(node._exited, node._gone, keep)
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
        node._guard = await _Guard.attach(node._exited, node._gone, directory)
        try:
            kept = [node._take_over(*node._guard.left.pop(0)) for _ in tuple(node._guard.left)]
        except BaseException:
            node.leave()
            raise
        node._starts = count(max((int(each.handle.key.rpartition("#")[2]) for each in kept), default=0) + 1)
        _nodes.add(node)
        return node, kept

    def _take_over(self, frame: _Frame, fds: list[int]) -> Kept:
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

_Frame = dict[str, Any]


class _Guard:
    """The owner's end of the guard's socket: frames out, frames in (guard.py lists them)."""

    def __init__(
        self,
        sock: socket.socket,
        exited: Callable[[str, int], None],
        gone: Callable[[str], None],
        process: subprocess.Popen[bytes] | None = None,
    ) -> None:
        """Without `process` it is the child of an owner that died."""
        self.pid = self.sentinel = 0
        self.left: list[tuple[_Frame, list[int]]] = []
        """What was kept for us, with its descriptors."""
        self._process = process
        self._fds: list[int] = []
        self._sock, self._exited, self._gone = sock, exited, gone
        self._loop = asyncio.get_running_loop()
        self._up: asyncio.Future[_Frame] = self._loop.create_future()
        self._down: asyncio.Future[None] = self._loop.create_future()
        self._closing = False
        self._starting: dict[str, asyncio.Future[_Frame]] = {}
        self._inbox = b""
        self._outbox: deque[tuple[bytes, Sequence[int]]] = deque()
        self._loop.add_reader(sock, self._read)

    @classmethod
    async def start(
        cls, exited: Callable[[str, int], None], gone: Callable[[str], None], keep: Keep | None
    ) -> _Guard:
        with contextlib.ExitStack() as passed:
            ours, theirs = socket.socketpair()
            ours.setblocking(False)
            fds = [passed.enter_context(theirs).fileno()]
            command = [sys.executable, "-S", "-E", "-I", str(GUARD), str(fds[0]), str(_raise_nofile())]
            if keep is not None:
                fds.append(passed.enter_context(open_door(keep)).fileno())
                command[4] = str(KEEPER)
                command += [str(fds[1]), str(keep.seconds)]
            process = subprocess.Popen(  # noqa: ASYNC220 - vfork and exec, a millisecond, once
                command,
                pass_fds=fds,
                start_new_session=True,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                env={name: os.environ[name] for name in GUARD_ENV if name in os.environ},
            )
        self = cls(ours, exited, gone, process)
        says = f"the guard that starts agents did not come up. Try: {' '.join(command[:5])}"
        await self._come_up(says)
        return self

    @classmethod
    async def attach(
        cls, exited: Callable[[str, int], None], gone: Callable[[str], None], directory: Path
    ) -> _Guard:
        """Claim a keeper. `left` is what it hands over."""
        _raise_nofile()
        self = cls(knock(find_door(directory)), exited, gone)
        self.send("claim")
        await self._come_up(f"the agents that were kept in {directory} can't be taken over")
        return self

    async def _come_up(self, otherwise: str) -> None:
        try:
            async with asyncio.timeout(START_TIMEOUT):
                up = await self._up
                self.pid, self.sentinel = up["pid"], up["sentinel"]
        except (TimeoutError, NotRunning) as exc:
            raise NotRunning(f"{otherwise}: {exc}" if str(exc) else otherwise) from exc
        finally:
            if not self.pid:
                self._lose("it did not come up")  # and a guard that is late finds nobody and ends

    async def spawn(self, key: str, spec: AgentSpec, ends: Ends, keeping: bool) -> int:
        """The pid of a new process. Takes its ends over. When cancelled, it is killed as it comes up."""
        if self._closing or self._down.done():
            close(*ends.theirs)
            raise NotRunning(f"{spec.id} was not started: {GONE}")
        answer = self._starting[key] = self._loop.create_future()
        asked = {"argv": list(spec.argv), "env": dict(spec.env), "cwd": spec.cwd, "pty": spec.pty}
        doubles = ends.doubles() if keeping else []
        if keeping:
            logs = {"wire_log": str(spec.wire_log), "stderr_log": str(spec.stderr_log)}
            asked |= {"kept": len(doubles), "since": ends.offset, **logs}
        self.send("spawn", (*ends.theirs, *doubles), id=key, fds=len(ends.theirs), **asked)
        try:
            frame = await answer
        finally:
            del self._starting[key]
        if frame["frame"] == "refused":
            raise _refusal(spec, frame["errno"], frame["why"])
        return int(frame["pid"])

    def send(self, frame: str, /, passed: Sequence[int] = (), **fields: Any) -> None:
        """Write a frame, with descriptors to pass and then close. Never blocks."""
        self._outbox.append((json.dumps({"frame": frame, **fields}).encode() + b"\n", passed))
        self._flush()

    async def close(self) -> None:
        """Say goodbye and wait until everything is dead. The exits are still reported."""
        if not self._closing:
            self._closing = True
            self.send("bye")
        await asyncio.wait((self._down,), timeout=STOP_TIMEOUT)
        if not self._down.done():
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.sentinel, signal.SIGKILL)
            self._lose("its guard did not end in time and was killed")
        if self._process is not None:
            await asyncio.to_thread(_bury, self._process)

    def leave(self) -> None:
        """Close the socket without goodbye. Tells nobody."""
        self._gone = lambda reason: None
        self._lose("its owner left")

    def let_go(self) -> None:
        self._sock.close()

    def _flush(self) -> None:
        while self._outbox:
            data, fds = self._outbox[0]
            try:
                sent = socket.send_fds(self._sock, [data], fds) if fds else self._sock.send(data)
            except BlockingIOError:
                self._loop.add_writer(self._sock, self._flush)
                return
            except OSError:  # nobody listens; the end of the socket will say so
                sent = len(data)
            close(*fds)
            self._outbox.popleft()
            if sent < len(data):
                self._outbox.appendleft((data[sent:], ()))
        if self._sock.fileno() >= 0:
            self._loop.remove_writer(self._sock)
        if self._closing:  # the goodbye is out
            with contextlib.suppress(OSError):
                self._sock.shutdown(socket.SHUT_WR)

    def _read(self) -> None:
        try:
            data, fds, flags, _ = socket.recv_fds(self._sock, CHUNK, FDS_AT_ONCE, CLOEXEC)
        except BlockingIOError:
            return
        except ConnectionError:
            data, fds, flags = b"", [], 0
        for fd in fds:
            os.set_inheritable(fd, False)
        self._fds += fds
        if flags & socket.MSG_CTRUNC:
            self._lose("no file descriptors are left; see `ulimit -n`")
            return
        *lines, self._inbox = (self._inbox + data).split(b"\n")
        for line in lines:
            self._take(json.loads(line))
        if not data:
            self._lose("its manager was closed" if self._closing else GONE)

    def _take(self, frame: _Frame) -> None:
        if frame["frame"] == "exited":
            for kept, _ in self.left:  # handed over, and gone before it was taken over
                if kept["id"] == frame["id"]:
                    kept["code"] = frame["code"]
            self._exited(frame["id"], frame["code"])
        elif frame["frame"] == "up":
            self._up.set_result(frame)
        elif frame["frame"] == "kept":
            fds, self._fds = self._fds[: frame["fds"]], self._fds[frame["fds"] :]
            self.left.append((frame, fds))
        elif frame["frame"] == "here":
            pass  # what a caller is told who only looks
        elif not self._up.done():
            self._up.set_exception(NotRunning(frame["why"]))
        elif (answer := self._starting.get(frame["id"])) is not None and not answer.done():
            answer.set_result(frame)
        elif frame["frame"] == "spawned":  # nobody waits for it any more
            self.send("kill", id=frame["id"], sig=signal.SIGKILL, tree=True)

    def _lose(self, reason: str) -> None:
        if self._down.done():
            return
        self._loop.remove_reader(self._sock)
        self._loop.remove_writer(self._sock)
        self._sock.close()
        for _, fds in self._outbox:
            close(*fds)
        self._outbox.clear()
        close(*self._fds, *(fd for _, fds in self.left for fd in fds))
        self._down.set_result(None)
        for answer in (self._up, *self._starting.values()):
            if not answer.done():
                answer.set_exception(NotRunning(f"the agent was not started: {reason}"))
        self._gone(reason)


def _bury(process: subprocess.Popen[bytes]) -> None:
    """The sentinel has nothing left to do when its guard is gone; never wait for it without end."""
    try:
        process.wait(STOP_TIMEOUT)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


GONE = "the guard that keeps the agents is gone and they are with it; close this manager and make a new one"


def _refusal(spec: AgentSpec, number: int, why: str) -> HarnessError:
    says, program = os.strerror(number), spec.argv[0]
    if why == "cwd":
        return HarnessError(
            f"{spec.id}: cannot work in {spec.cwd}: {says}. Create it, or name another directory"
        )
    if why == "fork":
        return HarnessError(
            f"{spec.id}: the system starts no more processes: {says}. Stop some, or see `ulimit -u`"
        )
    if number == errno.ENOENT:
        return HarnessNotFound(
            f"{spec.id}: there is no program {program!r}, or its interpreter is missing. "
            f"Install it, or give its full path"
        )
    return HarnessError(f"{spec.id}: cannot run {program!r}: {says}. Try it in a terminal")


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
