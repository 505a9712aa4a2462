"""The guard: one small process that starts agents and leaves none behind.

Run as `python -S -E -I guard.py FD [NOFILE]` with the standard library
alone; it never imports madrox_nb. FD is one end of an AF_UNIX stream socketpair, the
owner holds the other. When that reaches its end (the owner closed it, crashed, or was
killed with -9) everything the guard started is killed, and the guard ends. NOFILE is the
soft limit of open files to give to agents; the owner raises its own, and so ours.

Frames are JSON lines, `frame` names the kind; file descriptors travel by SCM_RIGHTS:

    owner → guard   spawn    {id, argv, env, cwd, fds, pty}   `fds` descriptors come along
                    kill     {id, sig, tree}
    guard → owner   up       {pid, sentinel}
                    spawned  {id, pid}
                    refused  {id, errno, why}                 why: "fork", "cwd" or "exec"
                    exited   {id, code}                       negative for a signal

Three descriptors are the agent's 0, 1 and 2; a single one is all three, and with `pty` its
controlling terminal. Each agent leads its own session and process group. When it ends, so
does what is left of its group, and then, on Linux, whatever escaped from it and carries
the same MADROX_AGENT in its environment. Only then is it reported as exited.

On Linux the process is a pair. The first one becomes the sentinel, its child the guard;
both are subreapers, so daemons that left their session come back to them as children.
Either may be killed with -9: the other one cleans up.

The guard that outlives its owner for a while is in keeper.py.

Elsewhere there is no subreaper and no sentinel. What an agent moved into another session
survives it, and kill -9 of the guard itself leaves the agents running.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import json
import os
import resource
import select
import signal
import socket
import struct
import sys
import termios
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from typing import Any, NoReturn

LINUX = sys.platform == "linux"
CAN_PEEK = hasattr(os, "waitid")
"""macOS has it from Python 3.13 on."""

TICK = 0.003
"""Seconds between two looks while processes are dying."""
PATIENCE = 10.0
"""Seconds that killing everything may take; only a process stuck in the system outlives it."""
STRAY_PATIENCE = 2.0
"""Seconds that an agent's report waits for its strays."""

FDS_AT_ONCE = 128
"""Descriptors that one read may bring: those of all spawns in flight."""

PR_SET_PDEATHSIG, PR_SET_NAME, PR_SET_CHILD_SUBREAPER = 1, 15, 36
SWALLOWED = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGPIPE, signal.SIGXFSZ)
WAKING = (signal.SIGCHLD, signal.SIGUSR1)

if LINUX:
    import ctypes

    _libc = ctypes.CDLL(None)

Frame = dict[str, Any]


def prctl(option: int, value: int | bytes) -> None:
    """Set a property of this process. Linux only; nothing elsewhere."""
    if LINUX:
        _libc.prctl(option, value, 0, 0, 0)


class Agent:
    """A process that was started here: `pid` is also its session and its group."""

    def __init__(self, id: str, pid: int, tag: str, told: int) -> None:
        self.id, self.pid, self.tag = id, pid, tag.encode()
        self.told = told
        """Where it tells that it can't be started; ends when it is. Then -1."""
        self.code = 0
        self.strays: set[int] = set()
        self.deadline = 0.0


class Guard:
    """Starts agents, reports their ends, and kills what they leave."""

    def __init__(self, sock: socket.socket, parent: int, nofile: int | None = None) -> None:
        self.sock, self.parent, self.nofile = sock, parent, nofile
        self.me = os.getpid()
        self.agents: dict[int, Agent] = {}
        self.starting: dict[int, Agent] = {}
        self.ending: list[Agent] = []
        self.inbox = b""
        self.outbox: deque[tuple[bytes, tuple[int, ...]]] = deque()
        self.fds: list[int] = []
        self.wake = wake_on_signals()
        sock.setblocking(False)

    def run(self) -> None:
        """Serve until the owner or the sentinel is gone, then kill everything."""
        try:
            self.rise()
            while self.watched() and self.wait():
                self.reap()
                self.sweep()
        finally:
            self.end()

    def watched(self) -> bool:
        """Whether the sentinel still lives; without one, the owner."""
        return os.getppid() == self.parent

    def rise(self) -> None:
        self.send("up", pid=self.me, sentinel=self.parent if LINUX else self.me)

    def wait(self) -> bool:
        """Wait for the owner, a signal or the next look at the dying. False: the owner is gone."""
        poll = select.poll()
        poll.register(self.wake, select.POLLIN)
        self.listen(poll)
        for told in self.starting:
            poll.register(told, select.POLLIN)
        alive = True
        for fd, what in poll.poll(self.patience()):
            if fd == self.wake:
                os.read(fd, 4096)
            elif fd in self.starting:
                self.started(self.starting[fd])
            else:
                alive = self.hear(fd, what) and alive
        return alive

    def listen(self, poll: select.poll) -> None:
        """Register who may have something to say."""
        poll.register(self.sock, select.POLLIN | (select.POLLOUT if self.outbox else 0))

    def patience(self) -> float | None:
        """Milliseconds until something is to be done though nobody says so."""
        return TICK * 1000 if self.ending else None

    def hear(self, fd: int, what: int) -> bool:
        """Somebody has something to say. False: the owner is gone."""
        return self.talk(what)

    def talk(self, what: int) -> bool:
        """Write and read as the socket is ready to. False: the owner is gone."""
        if what & select.POLLOUT:
            self.flush()
        return not what & ~select.POLLOUT or self.receive()

    # frames

    def receive(self) -> bool:
        try:
            data, fds, flags, _ = socket.recv_fds(self.sock, 65536, FDS_AT_ONCE)
        except BlockingIOError:
            return True
        except ConnectionError:
            return False
        for fd in fds:
            os.set_inheritable(fd, False)  # recv_fds gives them inheritable: siblings would hold pipes open
        if flags & socket.MSG_CTRUNC:
            raise OSError(errno.EMFILE, "descriptors were lost on their way to the guard")
        self.fds += fds
        *lines, self.inbox = (self.inbox + data).split(b"\n")
        for line in lines:
            self.take(json.loads(line))
        return bool(data)

    def take(self, frame: Frame) -> None:
        """Do what the owner says."""
        if frame["frame"] == "spawn":
            self.spawn(frame)
        elif frame["frame"] == "kill":
            self.kill(frame["id"], frame["sig"], frame["tree"])

    def send(self, frame: str, /, passed: tuple[int, ...] = (), **fields: Any) -> None:
        self.outbox.append((line(frame, **fields), passed))
        self.flush()

    def flush(self) -> None:
        """Write what the socket takes; the rest waits for POLLOUT."""
        while self.outbox:
            data, fds = self.outbox[0]
            try:
                sent = socket.send_fds(self.sock, [data], fds) if fds else self.sock.send(data)
            except BlockingIOError:
                return
            except OSError:
                self.outbox.clear()  # nobody listens; the end of the socket will say so
                return
            self.outbox.popleft()
            if sent < len(data):
                self.outbox.appendleft((data[sent:], ()))

    # starting

    def passed(self, number: int) -> list[int]:
        """The next descriptors that came along."""
        fds, self.fds = self.fds[:number], self.fds[number:]
        return fds

    def spawn(self, frame: Frame) -> None:
        fds = self.passed(frame["fds"])
        told, tell = os.pipe()
        try:
            pid = os.fork()
        except OSError as exc:
            os.close(told)
            self.refused(frame["id"], exc.errno, "fork")
        else:
            if pid == 0:
                self.become(frame, fds, tell)
            agent = Agent(frame["id"], pid, frame["env"].get("MADROX_AGENT", ""), told)
            self.agents[pid] = self.starting[told] = agent
        finally:
            for fd in (tell, *fds):
                os.close(fd)

    def started(self, agent: Agent) -> None:
        """The exec closed its end of the pipe, or it said why there was none."""
        failure = os.read(agent.told, 100).decode()
        os.close(agent.told)
        del self.starting[agent.told]
        agent.told = -1
        if failure:
            number, why = failure.split()
            del self.agents[agent.pid]
            self.refused(agent.id, int(number), why)
        else:
            self.send("spawned", id=agent.id, pid=agent.pid)

    def refused(self, id: str, number: int | None, why: str) -> None:
        self.send("refused", id=id, errno=number, why=why)

    def become(self, frame: Frame, fds: list[int], tell: int) -> NoReturn:
        """In the child: turn into the agent, or tell why not."""
        number, why = errno.EINVAL, "fork"
        try:
            os.setsid()
            prctl(PR_SET_PDEATHSIG, signal.SIGKILL)  # the guard has one thread, so this is its death
            if os.getppid() != self.me:
                os._exit(1)
            if self.nofile is not None:
                resource.setrlimit(
                    resource.RLIMIT_NOFILE, (self.nofile, resource.getrlimit(resource.RLIMIT_NOFILE)[1])
                )
            for target in range(3):
                os.dup2(fds[min(target, len(fds) - 1)], target)
            if frame["pty"]:
                fcntl.ioctl(0, termios.TIOCSCTTY, 0)
            why = "cwd"
            os.chdir(frame["cwd"])
            why = "exec"
            os.execvpe(frame["argv"][0], frame["argv"], frame["env"])  # noqa: S606 - no shell is the point
        except OSError as exc:
            number = exc.errno or number
        finally:  # also for what nobody foresaw: a silent end would count as started
            os.write(tell, f"{number} {why}".encode())
            os._exit(127)

    # ending

    def kill(self, id: str, sig: int, tree: bool) -> None:
        for agent in self.agents.values():
            if agent.id == id:
                attempt(os.killpg if tree else os.kill, agent.pid, sig)
                for pid in self.strays_of(agent, self.strays()) if tree else ():
                    attempt(os.kill, pid, sig)

    def reap(self) -> bool:
        """Bury the children that have exited. False when there are no children at all."""
        try:
            for pid, code in self.buried():
                if pid in self.agents and self.agents[pid].told >= 0:
                    self.started(self.agents[pid])
                if agent := self.agents.pop(pid, None):
                    agent.code, agent.deadline = code, time.monotonic() + STRAY_PATIENCE
                    self.ending.append(agent)
        except ChildProcessError:
            return False
        return True

    def buried(self) -> Iterator[tuple[int, int]]:
        """Each exited child with its code, after what was left of its group was killed."""
        pid = -1
        while True:
            if CAN_PEEK:
                dead = os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
                if dead is None:
                    return
                pid = dead.si_pid
                self.kill_group(pid)  # not buried yet, so no stranger can have its number
            buried, status = os.waitpid(pid, os.WNOHANG)
            if not buried:
                return
            if not CAN_PEEK:
                self.kill_group(buried)
            yield buried, os.waitstatus_to_exitcode(status)

    def kill_group(self, pid: int) -> None:
        if pid in self.agents:
            attempt(os.killpg, pid, signal.SIGKILL)

    def sweep(self) -> None:
        """Kill the strays of ended agents; report the agents that have none left."""
        strays = self.strays() if self.ending else {}
        for agent in list(self.ending):
            agent.strays = self.strays_of(agent, strays)
            for pid in agent.strays:
                attempt(os.kill, pid, signal.SIGKILL)
            if not agent.strays or time.monotonic() > agent.deadline:
                self.ending.remove(agent)
                self.exited(agent)

    def exited(self, agent: Agent) -> None:
        self.send("exited", id=agent.id, code=agent.code)

    def strays(self) -> dict[int, bytes]:
        """Processes that came back to the guard when their parents died, with their tags."""
        return {pid: tag_of(pid) for pid in children() if pid not in self.agents}

    def strays_of(self, agent: Agent, strays: dict[int, bytes]) -> set[int]:
        """Those of `agent`: of its group, with its tag, or known from the look before.

        A dying process has lost its environment already and may yet leave orphans, so
        it counts until it is gone.
        """
        return {
            pid
            for pid, tag in strays.items()
            if pid in agent.strays or (tag and tag == agent.tag) or group_of(pid) == agent.pid
        }

    def end(self) -> None:
        """Kill everything, and tell the owner if it still listens."""
        kill_all(lambda: {*self.agents, *children()}, self.reap)
        for agent in self.ending:
            self.exited(agent)
        with contextlib.suppress(OSError):  # nobody listens any more
            self.sock.settimeout(1.0)
            self.sock.sendall(b"".join(data for data, _ in self.outbox))


def line(frame: str, /, **fields: Any) -> bytes:
    return json.dumps({"frame": frame, **fields}).encode() + b"\n"


def user_of(sock: socket.socket) -> int:
    """The effective user at the other end of a unix socket; -1 when nobody can tell."""
    if LINUX:
        _, uid, _ = struct.unpack("3i", sock.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12))
        return int(uid)
    import ctypes

    uid, gid = ctypes.c_uint32(), ctypes.c_uint32()
    failed = ctypes.CDLL(None).getpeereid(sock.fileno(), ctypes.byref(uid), ctypes.byref(gid))
    return -1 if failed else uid.value


def kill_all(alive: Callable[[], Iterable[int]], reap: Callable[[], bool]) -> None:
    """Kill the living until `reap` finds no child: the orphans of the killed come as new children."""
    until = time.monotonic() + PATIENCE
    while reap() and time.monotonic() < until:
        for pid in alive():
            attempt(os.kill, pid, signal.SIGKILL)
            attempt(os.killpg, pid, signal.SIGKILL)
        time.sleep(TICK)


def attempt(kill: Callable[[int, int], None], pid: int, sig: int) -> None:
    """Send a signal to what may be gone by now, or (macOS) be a zombie, which is EPERM there."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        kill(pid, sig)


def children() -> list[int]:
    """The children of this process. Empty off Linux, where no orphan comes back."""
    if not LINUX:
        return []
    me = os.getpid()
    try:
        return [int(pid) for pid in read(f"/proc/self/task/{me}/children").split()]
    except FileNotFoundError:  # a system built without CONFIG_PROC_CHILDREN
        pids = [int(name) for name in os.listdir("/proc") if name.isdigit()]
        return [pid for pid in pids if parent_of(pid) == me]


def parent_of(pid: int) -> int:
    """0 when it is gone."""
    try:
        return int(read(f"/proc/{pid}/stat").rpartition(b")")[2].split()[1])
    except (FileNotFoundError, ProcessLookupError):
        return 0


def group_of(pid: int) -> int:
    """0 when it is gone."""
    try:
        return os.getpgid(pid)
    except ProcessLookupError:
        return 0


def tag_of(pid: int) -> bytes:
    """The agent that a process belongs to, by its environment; empty when it does not say."""
    try:
        environ = read(f"/proc/{pid}/environ")
    except (FileNotFoundError, ProcessLookupError, PermissionError):
        return b""
    return (b"\0" + environ).partition(b"\0MADROX_AGENT=")[2].partition(b"\0")[0]


def read(path: str) -> bytes:
    with open(path, "rb") as file:
        return file.read()


def swallow(signals: Iterable[signal.Signals]) -> None:
    """Do nothing on a signal. Not SIG_IGN: that one would outlive the exec, in every agent."""
    for signum in signals:
        signal.signal(signum, lambda *_: None)


def wake_on_signals() -> int:
    """A descriptor that becomes readable when a child ends or the sentinel dies."""
    wake, ring = os.pipe()
    os.set_blocking(wake, False)
    os.set_blocking(ring, False)
    signal.set_wakeup_fd(ring, warn_on_full_buffer=False)
    swallow(WAKING)
    return wake


def split(let_go: Callable[[], None], clean: Callable[[], None] = lambda: None) -> int:
    """Become a pair and return in the guard, with the sentinel's pid.

    The sentinel never returns: it lets go of what is the guard's, sleeps until the guard
    has ended, however that came, cleans, and kills what is left.
    """
    sentinel = os.getpid()
    prctl(PR_SET_CHILD_SUBREAPER, 1)
    guard = os.fork()
    if guard == 0:
        prctl(PR_SET_CHILD_SUBREAPER, 1)
        prctl(PR_SET_NAME, b"madrox-guard")
        prctl(PR_SET_PDEATHSIG, signal.SIGUSR1)
        return sentinel
    let_go()
    prctl(PR_SET_NAME, b"madrox-sentinel")
    while os.waitpid(-1, 0)[0] != guard:
        pass
    clean()
    kill_all(children, reap_silently)
    os._exit(0)


def reap_silently() -> bool:
    """Bury the children that have exited. False when there are no children at all."""
    try:
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass
    except ChildProcessError:
        return False
    return True


def main(fd: str, nofile: str | None = None) -> None:
    prepare()
    sock = inherited(fd)
    parent = split(sock.close) if LINUX else os.getppid()
    Guard(sock, parent, int(nofile) if nofile else None).run()


def prepare() -> None:
    """Have 0, 1 and 2, hear no signal, block none."""
    while (spare := os.open(os.devnull, os.O_RDWR)) < 3:
        os.set_inheritable(spare, True)  # 0, 1 and 2 must exist, else agents' pipes would land there
    os.close(spare)
    signal.pthread_sigmask(signal.SIG_SETMASK, ())
    swallow(SWALLOWED)


def inherited(fd: str) -> socket.socket:
    """A socket that the owner left open for us, and that no agent gets."""
    sock = socket.socket(fileno=int(fd))
    sock.set_inheritable(False)
    return sock


if __name__ == "__main__":
    main(*sys.argv[1:])
