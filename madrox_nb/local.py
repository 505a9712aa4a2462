"""This machine as a place for agents: the client of the guard.

The guard (guard.py) starts the processes and ends them with us. Their pipes come straight
to us, so a round trip costs no hop.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import fcntl
import json
import os
import resource
import selectors
import signal
import socket
import subprocess
import sys
import termios
import time
import tty
import weakref
from collections import deque
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import count
from pathlib import Path
from typing import Any

from .errors import HarnessError, HarnessNotFound, NotRunning
from .nodes import AgentSpec, Handle, Slot, SlotAdded, SlotLost, Watcher

CHUNK = 64 * 1024
"""Bytes per read. More would make the allocator map fresh pages for each read."""
READS = 4
"""Chunks per callback, so that a babbling agent leaves the loop to the others."""
IN_FLIGHT = 16
"""Spawns asked for and not yet answered. Without a bound both sockets fill up and wait for each other."""
FDS_KEPT = 32
"""Descriptors that are left to the rest of the process."""
START_TIMEOUT = 20.0
"""Seconds in which the guard has to come up."""
STOP_TIMEOUT = 15.0
"""Seconds in which the guard has to end; it gives itself ten."""
LAST_WORDS = 1.0
"""Seconds after an agent's end in which somebody else may still hold its output open."""
MOST_SAID = 64 * 1024
"""Bytes of output after which a program that should say a line has said enough."""
SAID_KEPT = 2000
"""Characters of them that an error repeats."""

GUARD = Path(__file__).with_name("guard.py")
GUARD_ENV = ("PATH", "LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH")
"""What an interpreter may need to start at all."""


class LocalLauncher:
    """This machine. Its slots are always there."""

    async def acquire(self, n: int, need: Mapping[str, int | str]) -> list[Slot]:
        return [Slot("local")] * n

    async def open_node(self, slot: Slot) -> LocalNode:
        return await LocalNode.open()

    async def release(self, slot: Slot) -> None:
        pass

    async def events(self) -> AsyncIterator[SlotAdded | SlotLost]:
        return
        yield  # this is what makes it an iterator, of nothing


class LocalNode:
    """The processes of this machine, started by a guard of their own."""

    _guard: _Guard

    def __init__(self) -> None:
        self._wires: dict[str, _Wire] = {}
        self._starts = count(1)
        self._room = asyncio.Semaphore(IN_FLIGHT)

    @classmethod
    async def open(cls) -> LocalNode:
        """Start the guard. Raises `NotRunning` when it does not come up."""
        node = cls()
        node._guard = await _Guard.start(node._exited, node._gone)
        _nodes.add(node)
        return node

    @property
    def pids(self) -> tuple[int, int]:
        """Of the guard and of its sentinel; the same where there is none."""
        return self._guard.pid, self._guard.process.pid

    async def spawn(self, spec: AgentSpec, watcher: Watcher) -> Handle:
        async with self._room:
            key = f"{spec.id}#{next(self._starts)}"
            ends = _open_ends(spec)
            wire = self._wires[key] = _Wire(ends, watcher, lambda: self._wires.pop(key, None))
            try:
                pid = await self._guard.spawn(key, spec, ends.theirs)
            except BaseException:
                wire.shut()
                raise
            wire.start()
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
        _nodes.discard(self)

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
        process: subprocess.Popen[bytes],
        sock: socket.socket,
        exited: Callable[[str, int], None],
        gone: Callable[[str], None],
    ) -> None:
        self.process, self.pid = process, 0
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
    async def start(cls, exited: Callable[[str, int], None], gone: Callable[[str], None]) -> _Guard:
        ours, theirs = socket.socketpair()
        ours.setblocking(False)
        with theirs:
            fd = theirs.fileno()
            command = [sys.executable, "-S", "-E", "-I", str(GUARD), str(fd), str(_raise_nofile())]
            process = subprocess.Popen(  # noqa: ASYNC220 - vfork and exec, a millisecond, once
                command,
                pass_fds=[fd],
                start_new_session=True,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                env={name: os.environ[name] for name in GUARD_ENV if name in os.environ},
            )
        self = cls(process, ours, exited, gone)
        try:
            async with asyncio.timeout(START_TIMEOUT):
                self.pid = int((await self._up)["pid"])
        except (TimeoutError, NotRunning) as exc:
            says = f"the guard that starts agents did not come up. Try: {' '.join(command[:5])}"
            raise NotRunning(says) from exc
        finally:
            if not self.pid:
                self._lose("it did not come up")  # and a guard that is late finds nobody and ends
        return self

    async def spawn(self, key: str, spec: AgentSpec, fds: Sequence[int]) -> int:
        """The pid of a new process. Takes `fds` over. When cancelled, it is killed as it comes up."""
        if self._closing or self._down.done():
            _close(*fds)
            raise NotRunning(f"{spec.id} was not started: {GONE}")
        answer = self._starting[key] = self._loop.create_future()
        asked = {"argv": list(spec.argv), "env": dict(spec.env), "cwd": spec.cwd, "pty": spec.pty}
        self.send("spawn", fds, id=key, fds=len(fds), **asked)
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
            with contextlib.suppress(OSError):
                self._sock.shutdown(socket.SHUT_WR)
        await asyncio.wait((self._down,), timeout=STOP_TIMEOUT)
        if not self._down.done():
            self.process.kill()
            self._lose("its guard did not end in time and was killed")
        await asyncio.to_thread(self._bury)

    def _bury(self) -> None:
        """The sentinel has nothing left to do when its guard is gone; never wait for it without end."""
        try:
            self.process.wait(STOP_TIMEOUT)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()

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
            _close(*fds)
            self._outbox.popleft()
            if sent < len(data):
                self._outbox.appendleft((data[sent:], ()))
        if self._sock.fileno() >= 0:
            self._loop.remove_writer(self._sock)

    def _read(self) -> None:
        try:
            data = self._sock.recv(CHUNK)
        except BlockingIOError:
            return
        except ConnectionError:
            data = b""
        *lines, self._inbox = (self._inbox + data).split(b"\n")
        for line in lines:
            self._take(json.loads(line))
        if not data:
            self._lose("its manager was closed" if self._closing else GONE)

    def _take(self, frame: _Frame) -> None:
        if frame["frame"] == "exited":
            self._exited(frame["id"], frame["code"])
        elif frame["frame"] == "up":
            self._up.set_result(frame)
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
            _close(*fds)
        self._outbox.clear()
        self._down.set_result(None)
        for answer in (self._up, *self._starting.values()):
            if not answer.done():
                answer.set_exception(NotRunning(f"the agent was not started: {reason}"))
        self._gone(reason)


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


@dataclass(slots=True)
class _Ends:
    """The descriptors of one process: ours, its wire log, and those that it gets."""

    inp: int
    out: int
    log: int
    offset: int
    """Where in the log its output begins."""
    theirs: list[int]
    pty: bool
    terminal: str = ""
    """Path of the agent's side of its terminal."""


def _open_ends(spec: AgentSpec) -> _Ends:
    with contextlib.ExitStack() as undo:

        def ours(*fds: int) -> tuple[int, ...]:
            undo.callback(_close, *fds)
            return fds

        try:
            [log] = ours(_open_log(spec.wire_log))
            if spec.pty:
                out, slave = ours(*os.openpty())
                [inp] = ours(os.dup(out))
                tty.setraw(slave)
                if spec.screen:
                    _for_people(slave, spec.screen)
                theirs = [slave]
            else:
                their_in, inp = ours(*os.pipe())
                out, their_out = ours(*os.pipe())
                theirs = [their_in, their_out, *ours(_open_log(spec.stderr_log))]
        except OSError as exc:
            if exc.errno in (errno.EMFILE, errno.ENFILE):
                raise _no_descriptors(spec) from exc
            raise HarnessError(f"{spec.id}: cannot be started: {exc}. Mend that and spawn it again") from exc
        # The system gives the lowest free number: a high one says that the table is nearly full.
        if max(inp, out, log, *theirs) >= resource.getrlimit(resource.RLIMIT_NOFILE)[0] - FDS_KEPT:
            raise _no_descriptors(spec)
        os.set_blocking(inp, False)
        os.set_blocking(out, False)
        terminal = os.ttyname(theirs[0]) if spec.pty else ""
        undo.pop_all()
        return _Ends(inp, out, log, os.fstat(log).st_size, theirs, spec.pty, terminal)


def _for_people(terminal: int, size: tuple[int, int]) -> None:
    """What a program finds that expects a person: a size, line ends, Ctrl-C; no echo, lines of any length."""
    modes = termios.tcgetattr(terminal)
    modes[tty.OFLAG] |= termios.OPOST | termios.ONLCR
    modes[tty.LFLAG] |= termios.ISIG
    termios.tcsetattr(terminal, termios.TCSANOW, modes)
    termios.tcsetwinsize(terminal, size)


def _no_descriptors(spec: AgentSpec) -> HarnessError:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    return HarnessError(
        f"{spec.id}: no file descriptors are left: this process may open {soft} (hard limit {hard}) and an "
        f"agent takes 3. Stop some agents, or start Jupyter under a higher `ulimit -n`"
    )


def _open_log(path: Path) -> int:
    return os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)


def _close(*fds: int) -> None:
    for fd in fds:
        os.close(fd)


@cache
def _raise_nofile() -> int:
    """Raise our soft limit of open files to the hard one; the old one is for the agents."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    with contextlib.suppress(ValueError, OSError):  # macOS calls its hard limit infinite and refuses it
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    return soft


class _Wire:
    """Our ends of one process: output to the log and then to the watcher, input without ever blocking."""

    def __init__(self, ends: _Ends, watcher: Watcher, forget: Callable[[], object]) -> None:
        self._ends, self._watcher, self._forget = ends, watcher, forget
        self._loop = asyncio.get_running_loop()
        self._open = True
        self._started = self._reading = self._eof = self._ending = False
        self._held = b""
        """Read from the process and not yet in the log."""
        self._pending = bytearray()
        """To be written when the process reads again."""
        self._code: int | None = None
        self._lost = ""
        self._last_call: asyncio.TimerHandle | None = None

    def start(self) -> None:
        """The process runs: read. What became of it meanwhile is told after the caller has its handle."""
        self._started = True
        self.resume()
        if self._lost:
            self._loop.call_soon(self.lost, self._lost)

    # output

    def pause(self) -> None:
        if self._reading:
            self._reading = False
            self._loop.remove_reader(self._ends.out)

    def resume(self) -> None:
        if self._reading or self._eof or not self._open:
            return
        held, self._held = self._held, b""
        if held and not self._keep(held):
            return
        self._reading = True
        self._loop.add_reader(self._ends.out, self._read)
        self._settle()

    def _read(self) -> None:
        for _ in range(READS):
            if not self._reading:
                return
            try:
                data = os.read(self._ends.out, CHUNK)
            except BlockingIOError:
                return
            except OSError:  # EIO: the last one closed its side of the terminal
                data = b""
            if not data:
                self.pause()
                self._eof = True
                self._settle()
                return
            if not self._keep(data) or len(data) < CHUNK:
                return

    def _keep(self, data: bytes) -> bool:
        """Append to the log, then tell as much as is in it. False: the log is stuck, the rest is held."""
        done, offset, error = 0, self._ends.offset, None
        try:
            while done < len(data):
                done += os.write(self._ends.log, data[done:] if done else data)
        except OSError as exc:
            error = exc
        self._ends.offset += done
        if error is not None:
            self.pause()
            self._held = data[done:]
        if done:
            self._watcher.on_data(data[:done], offset)
        if error is not None:
            self._watcher.on_stuck(error)
        return error is None

    # input

    def write(self, data: bytes) -> None:
        if self._ending or not self._open:
            return
        if not self._pending:
            try:
                sent = os.write(self._ends.inp, data)
            except BlockingIOError:
                sent = 0
            except OSError:  # EPIPE: it reads no more; its exit will be told
                self._close_input()
                return
            if sent == len(data):
                return
            data = data[sent:]
            self._loop.add_writer(self._ends.inp, self._write)
        self._pending += data

    def unread(self) -> int:
        """What waits here and in the terminal. Opened for the look alone: held open, it would never end."""
        if not self._open or not self._ends.terminal:
            return 0
        try:
            theirs = os.open(self._ends.terminal, os.O_RDONLY | os.O_NOCTTY | os.O_NONBLOCK)
        except OSError:  # it is gone; its end will be told
            return 0
        try:
            waiting = fcntl.ioctl(theirs, termios.FIONREAD, bytes(4))
        finally:
            _close(theirs)
        return len(self._pending) + int.from_bytes(waiting, sys.byteorder)

    def close_input(self) -> None:
        if self._ends.pty:
            self.write(b"\x04")  # what a terminal knows as the end
        if not self._ending and self._open:
            self._ending = True
            if not self._pending:
                self._close_input()

    def _write(self) -> None:
        try:
            del self._pending[: os.write(self._ends.inp, self._pending)]
        except BlockingIOError:
            return
        except OSError:
            self._pending.clear()
            self._ending = True
        if not self._pending:
            self._loop.remove_writer(self._ends.inp)
            if self._ending:
                self._close_input()

    def _close_input(self) -> None:
        self._ending = True
        if self._ends.inp >= 0:
            self._loop.remove_writer(self._ends.inp)
            self._pending.clear()
            _close(self._ends.inp)
            self._ends.inp = -1

    # end

    def exited(self, code: int) -> None:
        self._code = code
        self._settle()

    def lost(self, reason: str) -> None:
        if not self._started:
            self._lost = reason
            return
        self.resume()
        self._read()
        if not self._open:
            return
        self.shut()
        if self._code is None:
            self._watcher.on_lost(reason)
        else:
            self._watcher.on_exit(self._code)

    def _settle(self) -> None:
        """Tell the exit when all output is told, or when only a stranger could add to it.

        The process, its group and its daemons are dead by now. A pipe that stays open
        longer than `LAST_WORDS` is held by somebody who is not ours to wait for. While
        reading is paused the exit waits, since there may be output to read.
        """
        if self._code is None or not self._open or not self._started:
            return
        if self._eof:
            self.shut()
            self._watcher.on_exit(self._code)
        elif self._reading and self._last_call is None:
            self._last_call = self._loop.call_later(LAST_WORDS, self._stop_waiting)

    def _stop_waiting(self) -> None:
        self._last_call = None
        self._read()
        if self._reading:
            self._eof = True
            self._settle()

    def shut(self) -> None:
        """Close everything; nothing more is told by itself."""
        if self._open:
            self.pause()
            self._close_input()
            if self._last_call is not None:
                self._last_call.cancel()
            _close(self._ends.out, self._ends.log)
            self._open = False
            self._forget()

    def let_go(self) -> None:
        """Close our ends in a forked child. The loop's table is shared with the parent and stays as it is."""
        _close(*(fd for fd in (self._ends.inp, self._ends.out, self._ends.log) if fd >= 0))


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
