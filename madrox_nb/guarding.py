"""The owner's end of the guard's socket: what is asked of it, and what it tells (guard.py lists both).

Here nothing is started: `local.py` starts the guard, the guard starts the agents.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import json
import os
import signal
import socket
from collections import deque
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from .errors import HarnessError, HarnessNotFound, NotRunning
from .keeping import find_door, knock
from .nodes import AgentSpec
from .wires import CHUNK, Ends, close

START_TIMEOUT = 20.0
"""Seconds in which the guard has to come up."""
STOP_TIMEOUT = 15.0
"""Seconds in which the guard has to end; it gives itself ten."""
FDS_AT_ONCE = 8
"""Descriptors that one read may bring: the ends of one process."""
CLOEXEC = getattr(socket, "MSG_CMSG_CLOEXEC", 0)
GONE = "the guard that keeps the agents is gone and they are with it; close this manager and make a new one"

Frame = dict[str, Any]


class Guard:
    """The owner's end of the guard's socket: frames out, frames in (guard.py lists them)."""

    def __init__(
        self,
        sock: socket.socket,
        exited: Callable[[str, int], None],
        gone: Callable[[str], None],
        bury: Callable[[], None] = lambda: None,
    ) -> None:
        """`bury` is called when it has ended: who started it waits for its process."""
        self.pid = self.sentinel = 0
        self.left: list[tuple[Frame, list[int]]] = []
        """What was kept for us, with its descriptors."""
        self._bury = bury
        self._fds: list[int] = []
        self._sock, self._exited, self._gone = sock, exited, gone
        self._loop = asyncio.get_running_loop()
        self._up: asyncio.Future[Frame] = self._loop.create_future()
        self._down: asyncio.Future[None] = self._loop.create_future()
        self._closing = False
        self._starting: dict[str, asyncio.Future[Frame]] = {}
        self._inbox = b""
        self._outbox: deque[tuple[bytes, Sequence[int]]] = deque()
        self._loop.add_reader(sock, self._read)

    @classmethod
    async def attach(
        cls, exited: Callable[[str, int], None], gone: Callable[[str], None], directory: Path
    ) -> Guard:
        """Claim a keeper. `left` is what it hands over."""
        self = cls(knock(find_door(directory)), exited, gone)
        self.send("claim")
        await self.come_up(f"the agents that were kept in {directory} can't be taken over")
        return self

    async def come_up(self, otherwise: str) -> None:
        """Wait until it says that it is there. Raises `NotRunning` with the words `otherwise`."""
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
        await asyncio.to_thread(self._bury)

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

    def _take(self, frame: Frame) -> None:
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
