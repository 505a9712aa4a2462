"""Our ends of one process: output to its log and then to who watches it, input without ever blocking.

Where an agent may outlive us, what it said must not be lost between its pipe and its log
when we are killed. There Linux moves it from the one to the other in one call (splice),
which either has moved a byte or has left it, and we read it back from the log. What we
`read` and then `write`, elsewhere and from terminals, is lost when the kill comes between
the two: at most one `CHUNK`, and only of an agent that was writing at that moment.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import fcntl
import os
import resource
import sys
import termios
import tty
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from .arrivals import Clock
from .errors import HarnessError
from .nodes import AgentSpec, Kept, Watcher

CHUNK = 64 * 1024
"""Bytes per read. More would make the allocator map fresh pages for each read."""
READS = 4
"""Chunks per callback, so that a babbling agent leaves the loop to the others."""
CAN_SPLICE = hasattr(os, "splice")
FDS_KEPT = 32
"""Descriptors that are left to the rest of the process."""
LAST_WORDS = 1.0
"""Seconds after an agent's end in which somebody else may still hold its output open."""


@dataclass(slots=True)
class Ends:
    """The descriptors of one process: ours, its wire log, and those that it gets."""

    inp: int
    out: int
    log: int
    offset: int
    """Where in the log its output begins."""
    theirs: list[int]
    pty: bool
    clock: Clock
    splices: bool = False
    """Output goes into the log by splice."""
    terminal: str = ""
    """Path of the agent's side of its terminal."""

    def doubles(self) -> list[int]:
        """Our ends once more, for a guard that keeps them: of stdin and stdout, or of the terminal."""
        return [os.dup(fd) for fd in ([self.out] if self.pty else [self.inp, self.out])]


def open_ends(spec: AgentSpec, keeping: bool = False) -> Ends:
    """Pipes or a terminal, and the logs. With `keeping` no byte is lost when we are killed."""
    splices = keeping and CAN_SPLICE and not spec.pty
    with contextlib.ExitStack() as undo:

        def ours(*fds: int) -> tuple[int, ...]:
            undo.callback(close, *fds)
            return fds

        try:
            [log] = ours(_open_log(spec.wire_log, splices))
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
        clock = Clock(spec.wire_log, None if spec.pty else spec.stderr_log)
        undo.pop_all()
        return Ends(inp, out, log, os.fstat(log).st_size, theirs, spec.pty, clock, splices, terminal)


def _for_people(terminal: int, size: tuple[int, int]) -> None:
    """What a program finds that expects a person: a size, line ends, Ctrl-C; no echo, lines of any length."""
    modes = termios.tcgetattr(terminal)
    modes[tty.OFLAG] |= termios.OPOST | termios.ONLCR
    modes[tty.LFLAG] |= termios.ISIG
    termios.tcsetattr(terminal, termios.TCSANOW, modes)
    termios.tcsetwinsize(terminal, size)


def kept_ends(kept: Kept, fds: list[int]) -> Ends:
    """Our ends again, as a keeper held them: of stdin unless that is shut, and of stdout; or of the terminal.

    Takes `fds` over.
    """
    with contextlib.ExitStack() as undo:
        undo.callback(close, *fds)
        splices = CAN_SPLICE and not kept.pty
        log = _open_log(kept.wire_log, splices)
        undo.callback(os.close, log)
        inp, out = (os.dup(fds[0]) if kept.pty else -1, *fds) if len(fds) == 1 else fds
        clock = Clock(kept.wire_log, None if kept.pty else kept.stderr_log)
        undo.pop_all()
        return Ends(inp, out, log, kept.offset, [], kept.pty, clock, splices)


def _no_descriptors(spec: AgentSpec) -> HarnessError:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    return HarnessError(
        f"{spec.id}: no file descriptors are left: this process may open {soft} (hard limit {hard}) and an "
        f"agent takes 3. Stop some agents, or start Jupyter under a higher `ulimit -n`"
    )


def _open_log(path: Path, splices: bool = False) -> int:
    how = os.O_RDWR if splices else os.O_WRONLY | os.O_APPEND  # nothing is spliced into a file that appends
    return os.open(path, os.O_CREAT | os.O_CLOEXEC | how, 0o600)


def close(*fds: int) -> None:
    for fd in fds:
        os.close(fd)


class Wire:
    """Our ends of one process: output to the log and then to the watcher, input without ever blocking."""

    def __init__(self, ends: Ends, tell: Callable[[str], None]) -> None:
        """`tell` is told `shut` when its stdin is closed, and `forget` when all of it is."""
        self._ends, self._tell = ends, tell
        self._watcher: Watcher
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

    @property
    def started(self) -> bool:
        return self._started

    def start(self, watcher: Watcher) -> None:
        """The process runs: read. What became of it meanwhile is told after the caller has its handle."""
        self._watcher, self._started = watcher, True
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
                moved = self._move() if self._ends.splices else self._copy()
            except BlockingIOError:
                return
            if moved == 0:
                self.pause()
                self._eof = True
                self._settle()
            if moved is None or moved < CHUNK:
                return

    def _move(self) -> int | None:
        """Splice from the pipe into the log and tell it: bytes, 0 at the end, None when the log is stuck."""
        ends, offset = self._ends, self._ends.offset
        try:
            moved = os.splice(ends.out, ends.log, CHUNK, offset_dst=offset, flags=os.SPLICE_F_NONBLOCK)
        except BlockingIOError:
            raise
        except OSError as exc:
            if exc.errno == errno.EINVAL:  # a file system without splice
                os.lseek(ends.log, offset, os.SEEK_SET)
                ends.splices = False
                return self._copy()
            self.pause()
            self._watcher.on_stuck(exc)
            return None
        ends.offset += moved
        if moved:
            ends.clock.note(offset)
            self._watcher.on_data(os.pread(ends.log, moved, offset), offset)
        return moved

    def _copy(self) -> int | None:
        """Read, write to the log and tell it: bytes, 0 at the end, None when the log is stuck."""
        try:
            data = os.read(self._ends.out, CHUNK)
        except BlockingIOError:
            raise
        except OSError:  # EIO: the last one closed its side of the terminal
            return 0
        return len(data) if not data or self._keep(data) else None

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
            self._ends.clock.note(offset)
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
            close(theirs)
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
            close(self._ends.inp)
            self._ends.inp = -1
            if not self._ends.pty:
                self._tell("shut")

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
            close(self._ends.out, self._ends.log)
            self._open = False
            self._tell("forget")

    def leave(self) -> None:
        """Close everything and tell nobody. What waits to be written is lost."""
        self._tell = lambda what: None
        self.shut()

    def let_go(self) -> None:
        """Close our ends in a forked child. The loop's table is shared with the parent and stays as it is."""
        close(*(fd for fd in (self._ends.inp, self._ends.out, self._ends.log) if fd >= 0))
