"""The guard that waits for a new owner when the old one has died.

Run as `python -S -E -I keeper.py FD NOFILE DOOR SECONDS`; guard.py says what the first
two are, and all that is said there holds here too. DOOR is a listening AF_UNIX socket.

An owner that goes without `bye` is waited for: SECONDS long everything runs on, and a new
owner of the same user may come in by the door. To have something to hand over, the
keeper holds descriptors of the owner's ends of all pipes, so the owner also says what
becomes of those:

    owner → guard   spawn    … {kept, since, wire_log, stderr_log}   `kept` more descriptors:
                             its ends of stdin and stdout, or of the terminal
                    shut     {id}             its stdin is closed
                    forget   {id}             all it said is taken in
                    bye      {}               it closes, it does not die
    guard → caller  here     {owned, left}    as soon as somebody connects
    caller → guard  claim    {}
    guard → caller  refused  {why}            there is an owner; or
                    kept     {id, pid, pty, since, wire_log, stderr_log, shut, code, fds}
                             one for each agent, `fds` descriptors come along; and at last
                    up       {pid, sentinel}  it is the owner now

While nobody owns them, what agents say waits in their pipes, which hold 64 KiB on Linux,
and then they wait. Ends are remembered (`code`) until somebody has taken in all the words.
"""

from __future__ import annotations

import contextlib
import os
import select
import signal
import socket
import sys
import time

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from .guard import LINUX, Agent, Frame, Guard, inherited, line, prepare, split, user_of
else:  # started by its path: find the guard without importing madrox_nb
    sys.path.append(__file__.rpartition(os.sep)[0])
    from guard import LINUX, Agent, Frame, Guard, inherited, line, prepare, split, user_of


class Kept:
    """What an owner to come needs of one agent."""

    def __init__(self, frame: Frame, fds: list[int]) -> None:
        self.fields = {name: frame[name] for name in ("id", "pty", "since", "wire_log", "stderr_log")}
        self.fds = fds
        """The owner's ends: of stdin, unless that is shut, and of stdout; or of the terminal."""
        self.shut = False
        self.code: int | None = None

    def close(self, number: int | None = None) -> None:
        """Close the first `number` descriptors, or all."""
        for fd in self.fds[:number]:
            os.close(fd)
        del self.fds[:number]


class Keeper(Guard):
    """A guard that waits for a new owner when the old one has died."""

    def __init__(
        self, sock: socket.socket, parent: int, nofile: int | None, door: socket.socket, seconds: float
    ) -> None:
        super().__init__(sock, parent, nofile)
        self.door, self.seconds = door, seconds
        self.kept: dict[str, Kept] = {}
        self.callers: dict[int, socket.socket] = {}
        """Who has come in by the door and claimed nothing yet."""
        self.bye = False
        self.deadline = 0.0
        """When to stop waiting for an owner; 0 while there is one."""
        door.setblocking(False)

    def watched(self) -> bool:
        """Where there is no sentinel, nobody is watched: an owner may die."""
        return not self.parent or super().watched()

    def listen(self, poll: select.poll) -> None:
        if not self.deadline:
            super().listen(poll)  # first, so that a dead owner is known before the next one knocks
        poll.register(self.door, select.POLLIN)
        for fd in self.callers:
            poll.register(fd, select.POLLIN)

    def patience(self) -> float | None:
        soon = super().patience()
        if not self.deadline or soon is not None:
            return soon
        return max(0.0, self.left()) * 1000 + 1

    def left(self) -> float:
        """Seconds until nobody is waited for any more."""
        return self.deadline - time.monotonic()

    def wait(self) -> bool:
        return super().wait() and not (self.deadline and self.left() <= 0)

    def hear(self, fd: int, what: int) -> bool:
        if fd == self.door.fileno():
            self.call()
        elif fd in self.callers:
            return self.called(self.callers.pop(fd))
        elif not super().hear(fd, what):
            return self.bereft()
        return True

    def bereft(self) -> bool:
        """The owner is gone. False when it said so before, or leaves nothing to keep."""
        if self.bye or not self.kept:
            return False
        self.deadline = time.monotonic() + self.seconds
        self.sock.close()
        self.outbox.clear()
        for fd in self.passed(len(self.fds)):  # of a spawn that did not come through
            os.close(fd)
        self.inbox = b""
        return True

    def send(self, frame: str, /, passed: tuple[int, ...] = (), **fields: Any) -> None:
        if not self.deadline:
            super().send(frame, passed, **fields)

    # the door

    def call(self) -> None:
        """Somebody knocks. Whoever is not this user is sent away."""
        with contextlib.suppress(OSError):  # and is gone again
            caller, _ = self.door.accept()
            caller.setblocking(False)
            if user_of(caller) != os.geteuid():
                caller.close()
                return
            self.callers[caller.fileno()] = caller
            caller.send(line("here", owned=not self.deadline, left=self.left() if self.deadline else None))

    def called(self, caller: socket.socket) -> bool:
        """A caller claims to be the next owner, or hangs up. False: there is nothing to keep any more."""
        try:
            claims = caller.recv(4096) == line("claim")
        except OSError:
            claims = False
        while claims and not self.deadline and hung_up(self.sock):  # it died, and left things to read
            if not self.receive() and not self.bereft():
                return False
        if claims and self.deadline:
            self.own(caller)
            return True
        with caller, contextlib.suppress(OSError):
            if claims:
                caller.send(line("refused", why="it has an owner"))
        return True

    def own(self, sock: socket.socket) -> None:
        """There is a new owner: hand everything over. What can't be, nobody would ever hear: it is ended."""
        self.sock, self.deadline = sock, 0.0
        for agent in [agent for agent in self.agents.values() if agent.id not in self.kept]:
            self.kill(agent.id, signal.SIGKILL, tree=True)
        pids = {agent.id: agent.pid for agent in (*self.agents.values(), *self.ending) if agent.told < 0}
        for id, kept in self.kept.items():
            if kept.code is not None or id in pids:
                fields = {**kept.fields, "shut": kept.shut, "code": kept.code, "pid": pids.get(id, 0)}
                self.send("kept", tuple(kept.fds), fds=len(kept.fds), **fields)
        self.rise()

    # what is kept

    def take(self, frame: Frame) -> None:
        if frame["frame"] == "bye":
            self.bye = True
        elif frame["frame"] == "shut":
            if (kept := self.kept.get(frame["id"])) and not kept.shut:
                kept.shut = True
                kept.close(1)
        elif frame["frame"] == "forget":
            self.forget(frame["id"])
        else:
            super().take(frame)

    def forget(self, id: str) -> None:
        if kept := self.kept.pop(id, None):
            kept.close()

    def spawn(self, frame: Frame) -> None:
        fds = self.passed(frame["fds"])
        self.kept[frame["id"]] = Kept(frame, self.passed(frame["kept"]))
        self.fds = fds + self.fds
        super().spawn(frame)

    def refused(self, id: str, number: int | None, why: str) -> None:
        self.forget(id)
        super().refused(id, number, why)

    def exited(self, agent: Agent) -> None:
        if kept := self.kept.get(agent.id):
            kept.code = agent.code
        super().exited(agent)

    def end(self) -> None:
        """Let nobody in any more, and kill everything."""
        remove(self.door.getsockname())
        self.door.close()
        super().end()


def hung_up(sock: socket.socket) -> bool:
    """Whether the other end is closed, whatever is left to read."""
    poll = select.poll()
    poll.register(sock, 0)
    return bool(poll.poll(0))


def remove(path: str) -> None:
    """Take the door's file away, and its directory when nothing else is there."""
    with contextlib.suppress(OSError):
        os.unlink(path)
        os.rmdir(os.path.dirname(path))


def main(fd: str, nofile: str, door: str, seconds: str) -> None:
    prepare()
    sock, knocked = inherited(fd), inherited(door)
    place = knocked.getsockname()

    def let_go() -> None:
        sock.close()
        knocked.close()

    parent = split(let_go, lambda: remove(place)) if LINUX else 0
    Keeper(sock, parent, int(nofile), knocked, float(seconds)).run()


if __name__ == "__main__":
    main(*sys.argv[1:])
