"""Agents that outlive their kernel: kept for a while, handed over whole, or ended."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import json
import os
import select
import signal
import socket
import stat
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Iterator
from datetime import UTC, date, datetime
from pathlib import Path

import psutil
import pytest
from rogues import Ear, family, little_room, local_node, marker, on_loop, rogue, spec, survivors

from madrox_nb import keeping, ledger
from madrox_nb.errors import NotRunning
from madrox_nb.events import AgentSpawned, RunOpened
from madrox_nb.keeping import Keep, find_door, is_kept, kept_runs, knock, seconds_of
from madrox_nb.local import LocalNode
from madrox_nb.nodes import Kept

pytestmark = pytest.mark.slow

linux_only = pytest.mark.skipif(sys.platform != "linux", reason="needs a subreaper")
LONG = 600.0
"""Seconds of grace that no test waits for."""


class Owner:
    """A process that owns agents under a keeper."""

    def __init__(self, place: Path, process: subprocess.Popen[bytes]) -> None:
        assert process.stdout is not None
        self.place, self.process = place, process
        self.guard, self.sentinel, self.fork, *self.agents = map(int, process.stdout.readline().split())

    def die(self) -> None:
        self.process.kill()
        self.process.wait(60)


@contextlib.contextmanager
def owner(
    home: Path, *programs: str, seconds: float = LONG, words: str = "ready", how: str = "-", run: str = "run"
) -> Iterator[Owner]:
    place = keeping.place(home, run)
    command = [*rogue("keeper_of")[:1], rogue("keeper_of")[4]]
    arguments = [str(place), str(seconds), str(home), words, how]
    with subprocess.Popen([*command, *arguments, *programs], stdout=subprocess.PIPE) as process:
        it = Owner(place, process)
        try:
            yield it
        finally:
            process.kill()
            for pid in (it.guard, it.fork):
                if pid:
                    with contextlib.suppress(ProcessLookupError):
                        os.kill(pid, signal.SIGKILL)


@contextlib.asynccontextmanager
async def keeping_node(home: Path) -> AsyncIterator[LocalNode]:
    node = await LocalNode.open(Keep(keeping.place(home, "run"), LONG))
    try:
        yield node
    finally:
        await node.close()


@contextlib.asynccontextmanager
async def taken_over(place: Path) -> AsyncIterator[tuple[LocalNode, dict[str, Kept], dict[str, Ear]]]:
    """A node that owns now what was kept, with an ear for each agent."""
    node, kept = await LocalNode.attach(place)
    try:
        ears = {each.handle.id: Ear() for each in kept}
        for each in kept:
            node.adopt(each, ears[each.handle.id])
        yield node, {each.handle.id: each for each in kept}, ears
    finally:
        await node.close()


def alive(pids: list[int]) -> list[psutil.Process]:
    found = []
    for pid in pids:
        with contextlib.suppress(psutil.NoSuchProcess):  # it may go at any moment
            found.append(psutil.Process(pid))
    return found


def open_files() -> list[str]:
    return sorted(path.name for path in Path("/dev/fd").iterdir())


def door(place: Path) -> Path:
    return find_door(place)


# handed over


@on_loop
async def test_two_thousand_lines_of_five_agents_survive_a_kill_9_in_mid_flow(tmp_path: Path) -> None:
    counts = " -- ".join(["count 400 0.002"] * 5).split()
    with owner(tmp_path, *counts, words="\n50 ") as old:
        old.die()
        async with taken_over(old.place) as (_, kept, ears):
            ends = [await ear.end() for ear in ears.values()]

    logs = [(tmp_path / f"a{n}.wire.log").read_bytes() for n in range(5)]
    whole = b"".join(b"%d %s\n" % (n, b"x" * 200) for n in range(400))
    assert [0] * 5 == ends
    assert [whole] * 5 == logs
    for n, each in enumerate(kept.values()):
        assert logs[n][each.offset :] == ears[each.handle.id].heard
        assert 50 * 200 < each.offset < len(whole), "it was in mid-flow"


@on_loop
async def test_a_new_owner_talks_to_the_very_processes_of_the_old_one(tmp_path: Path) -> None:
    with owner(tmp_path, "echo") as old:
        old.die()
        async with taken_over(old.place) as (node, kept, ears):
            node.write(kept["a0"].handle, b"hello again\n")
            await ears["a0"].hears(b"hello again\n")
            assert [old.agents[0]] == [each.handle.pid for each in kept.values()]
            assert (old.guard, old.sentinel) == node.pids
            node.close_input(kept["a0"].handle)
            assert 0 == await ears["a0"].end()

    assert b"ready\nhello again\n" == (tmp_path / "a0.wire.log").read_bytes()
    assert (0, 6) == (kept["a0"].since, kept["a0"].offset)


@on_loop
async def test_a_terminal_is_handed_over_too(tmp_path: Path) -> None:
    with owner(tmp_path, "pty:echo") as old:
        old.die()
        async with taken_over(old.place) as (node, kept, ears):
            node.write(kept["a0"].handle, b"hello again\n")
            await ears["a0"].hears(b"hello again")
            assert kept["a0"].pty
            node.kill(kept["a0"].handle, signal.SIGTERM)
            assert -signal.SIGTERM == await ears["a0"].end()


@linux_only
@on_loop
async def test_not_a_byte_is_lost_when_owners_are_killed_in_a_flood(tmp_path: Path) -> None:
    """Read and then written, every second kill loses up to 64 KiB."""
    for n in range(5):
        home = tmp_path / str(n)
        home.mkdir()
        with owner(home, *["count", "30000", "0", "300"], words="\n3000 ") as old:
            old.die()
            with owner(home, how="attach", words="\n15000 ") as newer:
                newer.die()
                async with taken_over(old.place) as (_, kept, ears):
                    assert 0 == await ears["a0"].end()
        whole = b"".join(b"%d %s\n" % (n, b"x" * 200) for n in range(30_000))
        assert 0 < kept["a0"].offset < len(whole), "it was in mid-flow"
        assert whole == (home / "a0.wire.log").read_bytes()


@on_loop
async def test_a_kept_agent_whose_log_has_no_room_waits_and_loses_nothing(
    tmp_path: Path,
) -> None:
    ear, room = Ear(), 100_000
    async with keeping_node(tmp_path) as node:
        with little_room(room):
            alice = await node.spawn(spec(tmp_path, *rogue("flood", "lines", 1)), ear)
            await ear.until(lambda: ear.stuck)
            node.resume(alice)
            await ear.until(lambda: len(ear.stuck) > 1)
            assert room == len(ear.heard)
        node.resume(alice)

        assert 0 == await ear.end()
    assert 1_000_000 == len(ear.heard)
    assert ear.heard == (tmp_path / "alice.wire.log").read_bytes()


@on_loop
async def test_a_kept_agent_goes_on_in_its_wire_log_and_on_a_disk_that_knows_no_splice(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_splice(*args: object, **kwargs: object) -> int:
        raise OSError(errno.EINVAL, "no splice here")

    async with keeping_node(tmp_path) as node:
        for words in (b"one\n", b"two\n", b"three\n"):
            ear = Ear()
            await node.spawn(spec(tmp_path, "echo", words.decode().strip()), ear)
            assert 0 == await ear.end()
            assert words == ear.heard
            monkeypatch.setattr(os, "splice", no_splice, raising=False)

    assert b"one\ntwo\nthree\n" == (tmp_path / "alice.wire.log").read_bytes()


@on_loop
async def test_what_is_said_while_nobody_listens_waits_in_the_pipe_and_then_the_agent_waits(
    tmp_path: Path,
) -> None:
    """The owner stops reading by dying; a million bytes are more than any pipe holds."""
    with owner(tmp_path, "flood", "lines", "20", words="x") as old:
        old.die()
        async with taken_over(old.place) as (_, kept, ears):
            assert 0 == await ears["a0"].end()
            assert kept["a0"].code is None, "it had to wait for us"

    assert 20_000_000 == (tmp_path / "a0.wire.log").stat().st_size


@on_loop
async def test_an_end_that_nobody_heard_is_told_to_the_next_owner_with_its_last_words(tmp_path: Path) -> None:
    with owner(tmp_path, "echo", "--", "echo") as old:
        old.die()
        os.kill(old.agents[0], signal.SIGTERM)
        await asyncio.to_thread(psutil.wait_procs, alive(old.agents[:1]), 10)
        async with taken_over(old.place) as (node, kept, ears):
            assert -signal.SIGTERM == await ears["a0"].end()
            node.write(kept["a1"].handle, b"exit 4\n")
            assert 4 == await ears["a1"].end()


@on_loop
async def test_an_end_that_is_told_in_one_breath_with_the_handing_over_is_heard(tmp_path: Path) -> None:
    place, log = keeping.place(tmp_path, "run"), tmp_path / "wire.log"
    log.touch()
    mine = {"pid": os.getpid(), "pty": False, "since": 0, "shut": True, "code": None, "fds": 1}
    logs = {"wire_log": str(log), "stderr_log": str(tmp_path / "stderr.log")}
    told = [
        {"frame": "kept", "id": "kid#1", **mine, **logs},
        {"frame": "up", "pid": os.getpid(), "sentinel": os.getpid()},
        {"frame": "exited", "id": "kid#1", "code": -9},
    ]
    stdout, theirs = os.pipe()
    os.close(theirs)
    with keeping.open_door(Keep(place, LONG)) as listening:
        attaching = asyncio.ensure_future(LocalNode.attach(place))
        keeper, _ = await asyncio.to_thread(listening.accept)
        with keeper:
            socket.send_fds(keeper, [b"".join(json.dumps(each).encode() + b"\n" for each in told)], [stdout])
            os.close(stdout)
            node, (kept,) = await attaching
            node.leave()

    assert -9 == kept.code


@on_loop
async def test_the_end_of_input_reaches_an_agent_though_its_keeper_held_the_pipe(tmp_path: Path) -> None:
    async with keeping_node(tmp_path) as node:
        ear = Ear()
        alice = await node.spawn(spec(tmp_path, "wc", "-c"), ear)
        node.write(alice, b"x" * 1_000_000)
        node.close_input(alice)
        assert 0 == await ear.end()
    assert b"1000000" == ear.heard.strip()


@on_loop
async def test_input_that_was_shut_stays_shut(tmp_path: Path) -> None:
    with owner(tmp_path, "shut") as old:
        old.die()
        async with taken_over(old.place) as (node, kept, ears):
            node.write(kept["a0"].handle, b"anybody there?\n")
            node.kill(kept["a0"].handle, signal.SIGTERM)
            assert -signal.SIGTERM == await ears["a0"].end()


@on_loop
async def test_a_new_owner_starts_more_agents_and_can_die_in_its_turn(tmp_path: Path) -> None:
    with owner(tmp_path, "echo") as old:
        old.die()
        node, kept = await LocalNode.attach(old.place)
        ear = Ear()
        again = await node.spawn(spec(tmp_path, *rogue("echo"), id="a0"), ear)
        await ear.hears(b"ready")
        assert again.key not in [each.handle.key for each in kept]
        node.leave()
        async with taken_over(old.place) as (_, once_more, _):
            assert again.pid in [each.handle.pid for each in once_more.values()]


@on_loop
async def test_a_forked_child_of_a_dead_owner_owns_nothing(tmp_path: Path) -> None:
    with owner(tmp_path, "echo", how="fork") as old:
        old.die()
        async with taken_over(old.place) as (_, kept, _):
            assert psutil.pid_exists(old.fork)
            assert ["a0"] == list(kept)


@on_loop
async def test_an_agent_that_started_while_its_owner_died_is_not_left_running_unheard(tmp_path: Path) -> None:
    mark = marker()
    place = keeping.place(tmp_path, "run")
    node = await LocalNode.open(Keep(place, LONG))
    ear = Ear()
    await node.spawn(spec(tmp_path, *rogue("echo"), id="bob"), ear)
    await ear.hears(b"ready")
    os.kill(node.pids[0], signal.SIGSTOP)
    starting = asyncio.create_task(node.spawn(spec(tmp_path, "sleep", mark), Ear()))
    await asyncio.sleep(0)
    starting.cancel()  # its ends are forgotten, the spawn is on its way
    with pytest.raises(asyncio.CancelledError):
        await starting
    os.kill(node.pids[0], signal.SIGCONT)
    select.select([node._guard._sock], [], [], 10)  # it is told that the agent runs, and does not hear it
    node.leave()
    async with taken_over(place) as (_, kept, _):
        assert ["bob"] == list(kept)
        assert [] == await asyncio.to_thread(survivors, family(mark))


# who may come in


@on_loop
async def test_nobody_takes_over_while_there_is_an_owner(tmp_path: Path) -> None:
    with owner(tmp_path, "echo") as old:
        with pytest.raises(NotRunning, match="it has an owner"):
            await LocalNode.attach(old.place)
        assert psutil.pid_exists(old.agents[0])
        old.die()
        async with taken_over(old.place) as (node, kept, ears):
            with pytest.raises(NotRunning, match="it has an owner"):
                await LocalNode.attach(old.place)
            node.write(kept["a0"].handle, b"still here\n")
            await ears["a0"].hears(b"still here")


def test_looking_whether_a_run_is_kept_claims_nothing(tmp_path: Path) -> None:
    with owner(tmp_path, "echo") as old:
        assert (True, ["run"]) == (is_kept(tmp_path, "run"), list(kept_runs(tmp_path)))
        old.die()
        assert [True] * 3 == [is_kept(tmp_path, "run") for _ in range(3)]
        with knock(door(old.place)) as sock:
            sock.settimeout(60)
            here = json.loads(sock.recv(1000))
        assert (False, True) == (here["owned"], LONG - 10 < here["left"] <= LONG)
        assert not is_kept(tmp_path, "another")


def test_the_door_is_private(tmp_path: Path) -> None:
    with owner(tmp_path, "echo") as old:
        modes = {
            path: stat.S_IMODE(path.stat().st_mode)
            for path in (old.place, door(old.place), old.place / keeping.FILE)
        }
        assert [0o700, 0o600, 0o600] == list(modes.values())
        assert old.place == door(old.place).parent


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become somebody else")
def test_another_user_is_sent_away_though_the_door_stood_open(tmp_path: Path) -> None:
    with owner(tmp_path, "echo") as old:
        old.die()
        path = door(old.place)
        for each in (path, *path.parents):
            if each in (path, path.parent) or each.is_relative_to(tmp_path.parents[2]):
                each.chmod(0o777)
        code = (
            "import os, socket, sys; os.setuid(65534);"
            "sock = socket.socket(socket.AF_UNIX); sock.connect(sys.argv[1]); print(sock.recv(100))"
        )
        said = subprocess.run([sys.executable, "-c", code, str(path)], capture_output=True, text=True)
        assert ("", "b''\n") == (said.stderr, said.stdout)


@on_loop
async def test_a_path_that_is_too_long_for_a_socket_leads_to_a_private_place_that_is_taken_away(
    tmp_path: Path,
) -> None:
    home = tmp_path / ("deep" * 30)
    home.mkdir()
    with owner(home, "echo") as old:
        path = door(old.place)
        assert not path.is_relative_to(tmp_path)
        assert 0o700 == stat.S_IMODE(path.parent.stat().st_mode)
        old.die()
        async with taken_over(old.place) as (node, kept, ears):
            node.write(kept["a0"].handle, b"hello\n")
            await ears["a0"].hears(b"hello")
    assert not path.parent.exists()


@on_loop
async def test_without_the_policy_there_is_no_door(tmp_path: Path) -> None:
    async with local_node() as node:
        assert psutil.Process(node.pids[0]).cmdline()[4].endswith("guard.py")
        assert [socket.SOCK_STREAM] == [c.type for c in psutil.Process(node.pids[0]).net_connections("unix")]
    with pytest.raises(NotRunning, match="no agents were kept"):
        await LocalNode.attach(keeping.place(tmp_path, "run"))


# the ledger


def test_the_run_of_agents_that_are_kept_is_neither_closed_nor_expired_while_they_are(tmp_path: Path) -> None:
    crashed = ledger.Ledger(tmp_path, "20200101T000000.000-1", clock=lambda: datetime(2020, 1, 1, tzinfo=UTC))
    for entry in (
        crashed.stamp(RunOpened(run=crashed.run, madrox="0", pid=1)),
        crashed.stamp(AgentSpawned(agent="a0", harness="rehearsal", role="general")),
    ):
        crashed.append(entry, entry.to_line())
    crashed._syncer.stop()
    os.close(crashed._fd)  # as the system does for a killed process
    crashed._fd = -1
    today = date(2026, 1, 1)
    with owner(tmp_path, "echo", run=crashed.run) as old:
        old.die()
        assert [] == ledger.recover(tmp_path)
        assert [] == ledger.expire(tmp_path, today=today, days=30)
        os.kill(old.guard, signal.SIGKILL)
        assert [] == survivors(alive([*old.agents, old.sentinel]))
        assert [crashed.run] == ledger.recover(tmp_path)
        assert 2 == len(ledger.expire(tmp_path, today=today, days=30)), "its day and its files"


# nobody left behind


@linux_only
def test_after_the_grace_nobody_survives(tmp_path: Path) -> None:
    mark = marker()
    with owner(tmp_path, "tree", mark, "--", "tree", mark, seconds=1.0) as old:
        trees = [p for p in family(mark) if p.pid != old.process.pid]
        old.die()
        died = time.monotonic()

        assert 14 == len(trees)
        assert [] == survivors(trees, 60)
        assert 1.0 <= time.monotonic() - died < 30.0
        assert [] == survivors(alive([old.guard, old.sentinel]), 60)
        assert not is_kept(tmp_path, "run")
        assert not door(old.place).exists()


def test_whoever_only_looks_does_not_lengthen_the_grace(tmp_path: Path) -> None:
    with owner(tmp_path, "echo", seconds=1.0) as old:
        old.die()
        until = time.monotonic() + 60
        with contextlib.suppress(NotRunning, OSError):  # it may end between the knock and the answer
            while time.monotonic() < until:
                with knock(door(old.place)) as sock:
                    sock.settimeout(60)
                    sock.recv(100)
        assert [] == survivors(alive([*old.agents, old.guard]), 60)
        assert time.monotonic() < until


@linux_only
@pytest.mark.parametrize("killed", ["guard", "sentinel"])
@pytest.mark.parametrize("owned", [True, False])
def test_nobody_survives_a_kill_9_of_the_one_that_keeps(killed: str, owned: bool, tmp_path: Path) -> None:
    mark = marker()
    with owner(tmp_path, "tree", mark, "--", "tree", mark) as old:
        trees = [p for p in family(mark) if p.pid != old.process.pid]
        if not owned:
            old.die()
        os.kill(getattr(old, killed), signal.SIGKILL)

        assert 14 == len(trees)
        assert [] == survivors(trees)
        old.die()  # and what it has not buried yet is buried
        assert [] == survivors(alive([old.guard, old.sentinel]))
        assert not door(old.place).exists()


@on_loop
async def test_a_clean_close_ends_everybody_at_once(tmp_path: Path) -> None:
    place = keeping.place(tmp_path, "run")
    node = await LocalNode.open(Keep(place, LONG))
    ears = [Ear(), Ear()]
    handles = [await node.spawn(spec(tmp_path, "cat", id=f"a{n}"), ear) for n, ear in enumerate(ears)]
    await node.close()

    assert [[-9], [-9]] == [ear.ends for ear in ears]
    assert [] == [handle.pid for handle in handles if psutil.pid_exists(handle.pid)]
    assert not is_kept(tmp_path, "run")


@on_loop
async def test_a_new_owner_s_clean_close_ends_everybody_at_once(tmp_path: Path) -> None:
    with owner(tmp_path, "echo") as old:
        old.die()
        async with taken_over(old.place):
            pass
        assert [] == survivors(alive([*old.agents, old.guard, old.sentinel]))


@on_loop
async def test_an_owner_without_agents_is_not_waited_for(tmp_path: Path) -> None:
    with owner(tmp_path) as old:
        old.die()
        assert [] == await asyncio.to_thread(survivors, alive([old.guard, old.sentinel]))


@on_loop
async def test_what_was_kept_and_never_adopted_dies_with_its_new_owner_and_leaves_no_descriptor(
    tmp_path: Path,
) -> None:
    async with local_node():
        pass  # the first one makes the loop's thread pool and its like
    with owner(tmp_path, "echo", "--", "pty:echo") as old:
        old.die()
        before = open_files()
        node, kept = await LocalNode.attach(old.place)
        await node.close()
        assert 2 == len(kept)
        assert before == open_files()
        assert [] == survivors(alive(old.agents))


# the policy


def test_the_policy_is_read_from_words() -> None:
    assert [0.0, 30.0, 0.5] == [seconds_of(policy) for policy in ("kill", "keep:30", "keep:0.5")]
    for wrong in ("", "keep", "keep:", "keep:x", "keep:-1", "keep:0", "keep:nan", "keep:inf", "kill:3"):
        with pytest.raises(ValueError, match=r".+"):
            seconds_of(wrong)
