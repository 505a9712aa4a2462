"""The guard: starts, reports, and leaves no orphan, whoever is killed."""

from __future__ import annotations

import contextlib
import errno
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
from rogues import family, marker, rogue, survivors

from madrox_nb import guard

pytestmark = pytest.mark.slow

LINUX = sys.platform == "linux"
linux_only = pytest.mark.skipif(not LINUX, reason="needs a subreaper")


AS_ELSEWHERE = f"""
import os, runpy, sys
sys.platform = "elsewhere"
vars(os).pop("waitid", None)
sys.argv[0] = {guard.__file__!r}
runpy.run_path(sys.argv[0], run_name="__main__")
"""
"""Runs the guard as on a system without subreapers and without a look at the dead."""


class Owner:
    """The other end of a guard: frames as they are."""

    def __init__(self, *, nofile: int | None = None, elsewhere: bool = False) -> None:
        program = ["-c", AS_ELSEWHERE] if elsewhere else [guard.__file__]
        self.sock, theirs = socket.socketpair()
        self.sock.settimeout(60)
        with theirs:
            self.process = subprocess.Popen(
                [*rogue("")[:4], *program, str(theirs.fileno()), *([str(nofile)] if nofile else [])],
                pass_fds=[theirs.fileno()],
                start_new_session=True,
                stdin=subprocess.DEVNULL,
                env={},
            )
        self._lines = self.sock.makefile("rb")
        self.pid = self.frame("up")["pid"]

    def frame(self, kind: str) -> dict[str, Any]:
        frame = json.loads(self._lines.readline())
        assert kind == frame["frame"], frame
        return frame

    def spawn(self, name: str, *argv: str, cwd: str = "/", env: dict[str, str] | None = None) -> None:
        """Start with nothing to read and nobody to listen."""
        self.spawn_on([os.open(os.devnull, os.O_RDWR)] * 3, name, *argv, cwd=cwd, env=env)

    def spawn_on(self, fds: list[int], name: str, *argv: str, cwd: str = "/", env: Any = None) -> None:
        env = {"PATH": os.environ["PATH"]} if env is None else env
        asked = {"id": name, "argv": argv, "env": env, "cwd": cwd, "fds": len(fds), "pty": False}
        data = json.dumps({"frame": "spawn", **asked}).encode() + b"\n"
        sent = socket.send_fds(self.sock, [data], fds)
        self.sock.sendall(data[sent:])
        for fd in set(fds):
            os.close(fd)

    def run(self, *argv: str, **asked: Any) -> str:
        """What a program says on its stdout."""
        said, say = os.pipe()
        self.spawn_on(
            [os.open(os.devnull, os.O_RDWR), say, os.open(os.devnull, os.O_RDWR)], "a", *argv, **asked
        )
        self.frame("spawned")
        output = read(said)
        self.frame("exited")
        return output

    def kill(self, name: str, sig: int, tree: bool = True) -> None:
        self.sock.sendall(
            json.dumps({"frame": "kill", "id": name, "sig": sig, "tree": tree}).encode() + b"\n"
        )

    def close(self) -> None:
        self._lines.close()
        self.sock.close()
        self.process.wait(60)


def read(fd: int) -> str:
    """All that comes until the last writer is gone."""
    with os.fdopen(fd) as file:
        return file.read()


@pytest.fixture
def owner() -> Iterator[Owner]:
    with contextlib.closing(Owner()) as owner:
        yield owner


def test_a_child_that_dies_is_reported_with_its_exit_code(owner: Owner) -> None:
    owner.spawn("alice", "sh", "-c", "exit 3")

    assert "alice" == owner.frame("spawned")["id"]
    assert {"frame": "exited", "id": "alice", "code": 3} == owner.frame("exited")


def test_a_child_that_is_killed_is_reported_with_its_signal(owner: Owner) -> None:
    owner.spawn("alice", "sleep", "60")
    owner.frame("spawned")
    owner.kill("alice", signal.SIGTERM)

    assert -signal.SIGTERM == owner.frame("exited")["code"]


def test_a_program_that_does_not_exist_is_refused_with_the_reason(owner: Owner) -> None:
    owner.spawn("alice", "no-such-program")

    assert {"frame": "refused", "id": "alice", "errno": errno.ENOENT, "why": "exec"} == owner.frame("refused")


def test_a_file_that_is_no_program_is_refused_with_the_reason(owner: Owner, tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("not a program")
    owner.spawn("alice", str(tmp_path / "notes.txt"))

    assert {"frame": "refused", "id": "alice", "errno": errno.EACCES, "why": "exec"} == owner.frame("refused")


def test_a_missing_directory_is_refused_and_told_from_a_missing_program(owner: Owner, tmp_path: Path) -> None:
    owner.spawn("alice", "true", cwd=str(tmp_path / "nowhere"))

    assert {"frame": "refused", "id": "alice", "errno": errno.ENOENT, "why": "cwd"} == owner.frame("refused")


def test_an_argument_that_no_program_can_get_is_refused(owner: Owner) -> None:
    owner.spawn("alice", "echo", "nul\0byte")

    assert errno.EINVAL == owner.frame("refused")["errno"]


def test_a_hundred_kilobytes_of_environment_and_arguments_arrive(owner: Owner) -> None:
    env = {"PATH": os.environ["PATH"], "LONG": "e" * 100_000}
    said = owner.run("sh", "-c", 'echo "${#LONG} ${#1}"', "sh", "a" * 100_000, env=env)

    assert "100000 100000\n" == said


def test_an_owner_that_does_not_listen_does_not_stop_the_guard(owner: Owner) -> None:
    for n in range(600):  # more answers than the socket holds
        owner.spawn(f"a{n}", "no-such-program")
    refused = {owner.frame("refused")["id"] for _ in range(600)}

    assert 600 == len(refused)


def test_an_agent_inherits_no_descriptor_of_its_siblings(owner: Owner) -> None:
    for name in ("alice", "bob"):
        owner.spawn(name, "sleep", "60")
        owner.frame("spawned")
    listing = "import os; print(sorted(int(fd) for fd in os.listdir('/dev/fd')))"

    assert "[0, 1, 2, 3]\n" == owner.run(sys.executable, "-I", "-S", "-c", listing), "3 is the listing itself"


def test_an_agent_leads_a_session_and_hears_signals_again(owner: Owner) -> None:
    code = (
        "import os, signal; me = os.getpid();"
        "print(os.getsid(0) == me == os.getpgid(0), signal.pthread_sigmask(0, ()),"
        "{signal.getsignal(s).name for s in (1, 10, 15, 17)}, signal.getsignal(2).__name__)"
    )

    assert "True set() {'SIG_DFL'} default_int_handler\n" == owner.run(sys.executable, "-I", "-S", "-c", code)


def test_an_agent_gets_the_file_limit_that_its_owner_had() -> None:
    with contextlib.closing(Owner(nofile=123)) as owner:
        assert "123\n" == owner.run("sh", "-c", "ulimit -Sn")


def test_the_guard_outlives_the_signals_of_a_terminal(owner: Owner) -> None:
    for sig in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        for pid in (owner.pid, owner.process.pid):
            os.kill(pid, sig)

    assert "well\n" == owner.run("echo", "well")


def test_twenty_deaths_at_once_are_all_reported(owner: Owner) -> None:
    names = {f"a{n}" for n in range(20)}
    for name in names:
        owner.spawn(name, "sleep", "60")
    pids = [owner.frame("spawned")["pid"] for _ in names]
    for pid in pids:
        os.kill(pid, signal.SIGKILL)

    assert names == {owner.frame("exited")["id"] for _ in names}


def test_agents_that_end_while_others_start_are_each_reported_once(owner: Owner) -> None:
    names = [f"a{n}" for n in range(100)]
    for name in names:
        owner.spawn(name, "true")
    frames = [json.loads(owner._lines.readline()) for _ in range(200)]

    for kind in ("spawned", "exited"):
        assert sorted(names) == sorted(frame["id"] for frame in frames if kind == frame["frame"])


def test_goodbye_kills_everyone_and_still_reports_them(owner: Owner) -> None:
    mark = marker()
    for name in ("alice", "bob"):
        owner.spawn(name, "sleep", mark)
        owner.frame("spawned")
    owner.sock.shutdown(socket.SHUT_WR)

    assert {"alice": -9, "bob": -9} == {f["id"]: f["code"] for f in (owner.frame("exited") for _ in range(2))}
    assert [] == family(mark)


def test_the_guard_imports_nothing_of_ours() -> None:
    code = (
        f"import runpy, sys; runpy.run_path({guard.__file__!r});"
        "print([name for name in sys.modules if 'madrox' in name])"
    )
    said = subprocess.run(
        [sys.executable, "-I", "-S", "-c", code], capture_output=True, text=True, check=True
    )

    assert "[]\n" == said.stdout


# nobody left behind

OWNER = [sys.executable, str(Path(rogue("owner")[4]))]


@contextlib.contextmanager
def owned_trees(home: Path, *how: str) -> Iterator[tuple[dict[str, int], list[psutil.Process]]]:
    """The pids of an owner and its guard, and the fourteen processes of its two agents."""
    mark = marker()
    with subprocess.Popen([*OWNER, mark, str(home), *how], stdout=subprocess.PIPE) as process:
        try:
            assert process.stdout is not None
            guard_pid, sentinel, fork = map(int, process.stdout.readline().split())
            pids = {"owner": process.pid, "guard": guard_pid, "sentinel": sentinel, "fork": fork}
            yield pids, [p for p in family(mark) if p.pid not in pids.values()]
        finally:
            process.kill()
            for orphan in family(mark):
                orphan.kill()


@linux_only
@pytest.mark.parametrize("killed", ["owner", "guard", "sentinel", "owner guard", "owner sentinel"])
def test_nobody_survives_kill_minus_nine_of(killed: str, tmp_path: Path) -> None:
    with owned_trees(tmp_path) as (pids, trees):
        assert 14 == len(trees)
        for name in killed.split():
            os.kill(pids[name], signal.SIGKILL)

        assert [] == survivors(trees)


@linux_only
def test_a_forked_child_of_the_owner_does_not_keep_agents_alive(tmp_path: Path) -> None:
    with owned_trees(tmp_path, "fork") as (pids, trees):
        os.kill(pids["owner"], signal.SIGKILL)
        try:
            assert 14 == len(trees)
            assert [] == survivors(trees)
            assert psutil.pid_exists(pids["fork"])
        finally:
            os.kill(pids["fork"], signal.SIGKILL)


@linux_only
def test_agents_die_with_their_guard_even_when_nobody_is_left_to_kill_them(tmp_path: Path) -> None:
    with owned_trees(tmp_path) as (pids, trees):
        agents = [p for p in trees if p.name() != "sleep" and p.name() != "sh"]
        for sig in (signal.SIGSTOP, signal.SIGKILL):
            for name in ("guard", "sentinel"):
                os.kill(pids[name], sig)

        assert 2 == len(agents)
        assert [] == survivors(agents)


def test_without_a_subreaper_groups_are_killed_all_the_same() -> None:
    mark = marker()
    with contextlib.closing(Owner(elsewhere=True)) as owner:
        owner.spawn("bob", "sh", "-c", f"sleep {mark}2 & wait")
        owner.frame("spawned")
        owner.spawn("alice", "sh", "-c", f"sleep {mark}1 & exit 4")
        owner.frame("spawned")
        assert {"frame": "exited", "id": "alice", "code": 4} == owner.frame("exited")
        assert [] == survivors(family(f"{mark}1"), timeout=1)
        owner.sock.shutdown(socket.SHUT_WR)
        assert {"frame": "exited", "id": "bob", "code": -9} == owner.frame("exited")

    assert [] == survivors(family(mark), timeout=1)


def test_a_leader_that_exits_takes_its_group_with_it(owner: Owner) -> None:
    mark = marker()
    owner.spawn("alice", "sh", "-c", f"sleep {mark} & exit 0")
    owner.frame("spawned")

    assert 0 == owner.frame("exited")["code"]
    assert [] == survivors(family(mark), timeout=1)


def start_tree(owner: Owner, mark: str) -> int:
    """The pid of an agent whose descendants all run."""
    said, say = os.pipe()
    null = os.open(os.devnull, os.O_RDWR)
    env = {"PATH": os.environ["PATH"], "MADROX_AGENT": f"run/{mark}"}
    owner.spawn_on([null, say, null], "alice", *rogue("tree", mark), env=env)
    try:
        assert b"ready\n" == os.read(said, 100)
    finally:
        os.close(said)
    return owner.frame("spawned")["pid"]


def sleepers(pid: int, mark: str) -> dict[int, dict[str, str]]:
    """The children of `pid` that sleep, with their environments."""
    return {p.pid: p.environ() for p in family(mark) if p.ppid() == pid and p.name() == "sleep"}


def becomes(process: psutil.Process, status: str, timeout: float = 60) -> bool:
    until = time.monotonic() + timeout
    while process.status() != status and time.monotonic() < until:
        with contextlib.suppress(psutil.TimeoutExpired):
            process.wait(0.01)
    return process.status() == status


@linux_only
def test_an_exit_is_reported_only_when_its_daemons_are_dead(owner: Owner) -> None:
    mark = marker()
    alice = start_tree(owner, mark)
    owner.spawn("bob", "sleep", mark, env={"PATH": os.environ["PATH"], "MADROX_AGENT": f"run/{mark}0"})
    bob = owner.frame("spawned")["pid"]
    [bare] = [pid for pid, environ in sleepers(owner.pid, mark).items() if not environ]
    os.kill(alice, signal.SIGTERM)

    assert -signal.SIGTERM == owner.frame("exited")["code"]
    assert {bob, bare} == {p.pid for p in family(mark)}, "what hides its origin dies with the guard"


@linux_only
def test_kill_of_a_tree_reaches_the_daemons_of_a_living_agent(owner: Owner) -> None:
    mark = marker()
    start_tree(owner, mark)
    [daemon] = [pid for pid, environ in sleepers(owner.pid, mark).items() if environ]
    owner.kill("alice", signal.SIGSTOP)  # reaches all that is known, and lets it live
    stopped = becomes(psutil.Process(daemon), psutil.STATUS_STOPPED)
    owner.kill("alice", signal.SIGKILL)

    assert stopped
    assert -signal.SIGKILL == owner.frame("exited")["code"]
    assert not psutil.pid_exists(daemon)
