"""Nodes: processes whose every byte is kept before it is told."""

from __future__ import annotations

import asyncio
import contextlib
import os
import resource
import signal
import subprocess
import sys
from pathlib import Path

import psutil
import pytest
from rogues import Ear, family, little_room, local_node, marker, on_loop, rogue, spec, survivors

from madrox_nb import guarding, wires
from madrox_nb.errors import HarnessError, HarnessNotFound, NotRunning
from madrox_nb.local import LocalLauncher, LocalNode
from madrox_nb.nodes import FewestAgents, NodeState, Wait


def open_files() -> int:
    return len(list(Path("/dev/fd").iterdir()))


@on_loop
async def test_what_an_agent_says_is_in_its_wire_log_when_it_is_told(tmp_path: Path) -> None:
    kept = []

    class Checks(Ear):
        def on_data(self, data: bytes, offset: int) -> None:
            super().on_data(data, offset)
            kept.append((tmp_path / "alice.wire.log").read_bytes()[offset:] == data)

    async with local_node() as node:
        ear = Checks()
        alice = await node.spawn(spec(tmp_path, *rogue("echo")), ear)
        await ear.hears(b"ready\n")
        node.write(alice, b"hello\n")
        await ear.hears(b"hello\n")

    assert [True, True] == kept
    assert 0o600 == (tmp_path / "alice.wire.log").stat().st_mode & 0o777


@on_loop
async def test_a_resumed_agent_goes_on_in_its_wire_log(tmp_path: Path) -> None:
    (tmp_path / "alice.wire.log").write_bytes(b"before\n")
    async with local_node() as node:
        ear = Ear()
        await node.spawn(spec(tmp_path, "echo", "after"), ear)
        await ear.end()

    assert [7] == ear.offsets
    assert b"before\nafter\n" == (tmp_path / "alice.wire.log").read_bytes()


@on_loop
async def test_stderr_goes_to_its_own_private_file(tmp_path: Path) -> None:
    async with local_node() as node:
        ear = Ear()
        await node.spawn(spec(tmp_path, "sh", "-c", "echo said; echo oops >&2"), ear)
        await ear.end()

    assert b"said\n" == ear.heard
    assert "oops\n" == (tmp_path / "alice.stderr.log").read_text()
    assert 0o600 == (tmp_path / "alice.stderr.log").stat().st_mode & 0o777


@on_loop
async def test_an_exit_is_told_once_and_after_all_output(tmp_path: Path) -> None:
    async with local_node() as node:
        ear = Ear()
        await node.spawn(spec(tmp_path, "sh", "-c", "head -c 500000 /dev/zero; exit 7"), ear)

        assert 7 == await ear.end()
        assert 500_000 == len(ear.heard)
    assert [7] == ear.ends


@on_loop
async def test_the_end_of_input_reaches_the_agent_after_what_was_written(tmp_path: Path) -> None:
    async with local_node() as node:
        ear = Ear()
        alice = await node.spawn(spec(tmp_path, "wc", "-c"), ear)
        node.write(alice, b"x" * 1_000_000)  # more than a pipe holds
        node.close_input(alice)

        assert 0 == await ear.end()
    assert 1_000_000 == int(ear.heard)


@on_loop
async def test_writing_to_an_agent_that_reads_no_more_is_no_error(tmp_path: Path) -> None:
    async with local_node() as node:
        ear = Ear()
        alice = await node.spawn(spec(tmp_path, "sh", "-c", "exec <&-; echo deaf; sleep 60"), ear)
        await ear.hears(b"deaf")
        node.write(alice, b"anybody there?\n")
        node.kill(alice, signal.SIGTERM)

        assert -signal.SIGTERM == await ear.end()
        node.write(alice, b"and now?\n")


@on_loop
async def test_an_agent_whose_log_has_no_room_waits_and_loses_nothing(tmp_path: Path) -> None:
    ear, room = Ear(), 100_000
    async with local_node() as node:
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
async def test_a_paused_agent_is_not_read_and_its_exit_waits(tmp_path: Path) -> None:
    ear = Ear()
    async with local_node() as node:
        alice = await node.spawn(spec(tmp_path, "echo", "hello"), ear)
        node.pause(alice)
        other = Ear()
        await node.spawn(spec(tmp_path, "sleep", "0.2", id="bob"), other)
        await other.end()
        assert (b"", []) == (ear.heard, ear.ends)
        node.resume(alice)

        assert 0 == await ear.end()
    assert b"hello\n" == ear.heard


@on_loop
async def test_a_stranger_who_holds_the_output_delays_the_exit_by_a_second_only(tmp_path: Path) -> None:
    mark = marker()
    async with local_node() as node:
        ear = Ear()
        stranger = f"env -i setsid sh -c 'echo off; exec /bin/sleep {mark}'"  # not its group, not its tag
        alice = await node.spawn(spec(tmp_path, "sh", "-c", f"{stranger} & read line"), ear)
        await ear.hears(b"off")
        node.close_input(alice)

        assert 1 == await ear.end()
        assert 1 == len(family(mark)), "it lives, and would have kept us waiting"
    assert [] == survivors(family(mark))


@on_loop
async def test_a_hundred_agents_start_at_once(tmp_path: Path) -> None:
    async with local_node() as node:
        ears = [Ear() for _ in range(100)]
        starts = [node.spawn(spec(tmp_path, "cat", id=f"a{n}"), ear) for n, ear in enumerate(ears)]
        handles = await asyncio.gather(*starts)
        for handle in handles:
            node.write(handle, handle.id.encode())
            node.close_input(handle)

        assert {0} == {await ear.end() for ear in ears}
    assert [f"a{n}".encode() for n in range(100)] == [bytes(ear.heard) for ear in ears]


@on_loop
async def test_twenty_deaths_at_once_are_all_told(tmp_path: Path) -> None:
    async with local_node() as node:
        ears = [Ear() for _ in range(20)]
        handles = [await node.spawn(spec(tmp_path, "cat", id=f"a{n}"), ear) for n, ear in enumerate(ears)]
        for handle in handles:
            os.kill(handle.pid, signal.SIGKILL)

        assert [-9] * 20 == [await ear.end() for ear in ears]


@on_loop
async def test_a_flood_from_one_agent_does_not_keep_another_waiting(tmp_path: Path) -> None:
    class Deaf(Ear):
        count = 0

        def on_data(self, data: bytes, offset: int) -> None:
            self.count += len(data)

    loop, waits = asyncio.get_running_loop(), []
    before = psutil.Process().memory_info().rss
    async with local_node() as node:
        ear, flood = Ear(), Deaf()
        alice = await node.spawn(spec(tmp_path, *rogue("echo")), ear)
        await ear.hears(b"ready")
        await node.spawn(spec(tmp_path, *rogue("flood", "lines", 100), id="bob"), flood)
        while not flood.ends:
            ear.heard.clear()
            start = loop.time()
            node.write(alice, b"ping\n")
            await ear.hears(b"ping\n")
            waits.append(loop.time() - start)

    assert 100_000_000 == flood.count
    assert 1.0 > max(waits)
    assert 30_000_000 > psutil.Process().memory_info().rss - before


@on_loop
async def test_an_agent_that_ends_alone_takes_what_is_its_own_and_leaves_the_others(tmp_path: Path) -> None:
    marks = marker(), marker()
    async with local_node() as node:
        handles = []
        for name, mark in zip(("alice", "bob"), marks, strict=True):
            ear = Ear()
            handles.append((await node.spawn(spec(tmp_path, *rogue("tree", mark), id=name), ear), ear))
            await ear.hears(b"ready")
        [(alice, ear), _] = handles
        node.kill(alice, signal.SIGTERM)

        assert -signal.SIGTERM == await ear.end()
        assert (1, 7) == tuple(len(family(mark)) for mark in marks), "one of alice's hides whose it is"
    assert [] == [*family(marks[0]), *family(marks[1])]


@on_loop
async def test_a_program_that_is_not_there_is_not_found(tmp_path: Path) -> None:
    async with local_node() as node:
        with pytest.raises(HarnessNotFound, match=r"alice: there is no program 'no-such-cli'"):
            await node.spawn(spec(tmp_path, "no-such-cli"), Ear())


@on_loop
async def test_a_missing_directory_is_named(tmp_path: Path) -> None:
    async with local_node() as node:
        with pytest.raises(HarnessError, match=r"alice: cannot work in /no/where: No such file") as caught:
            await node.spawn(spec(tmp_path, "true", cwd="/no/where"), Ear())

    assert not isinstance(caught.value, HarnessNotFound)


@on_loop
async def test_logs_that_cannot_be_opened_are_named(tmp_path: Path) -> None:
    async with local_node() as node:
        with pytest.raises(HarnessError, match=r"alice: cannot be started: .*wire\.log"):
            await node.spawn(spec(tmp_path, "true", wire_log=tmp_path / "no" / "wire.log"), Ear())


@on_loop
async def test_too_few_descriptors_are_said_before_anything_is_started(tmp_path: Path) -> None:
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    async with local_node() as node:
        open_before = open_files()
        hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
        resource.setrlimit(resource.RLIMIT_NOFILE, (open_before + wires.FDS_KEPT, hard))
        try:
            with pytest.raises(HarnessError, match=r"no file descriptors are left.*ulimit -n"):
                await node.spawn(spec(tmp_path, "true"), Ear())
        finally:
            resource.setrlimit(resource.RLIMIT_NOFILE, (max(limits[0], hard), hard))

        assert open_before == open_files()


@on_loop
async def test_fifty_agents_leave_no_descriptor_behind(tmp_path: Path) -> None:
    async with local_node() as node:
        before = open_files()
        for n in range(50):
            ear = Ear()
            alice = await node.spawn(spec(tmp_path, "cat", id=f"a{n}"), ear)
            node.write(alice, b"hello")
            node.close_input(alice)
            await ear.end()
            with contextlib.suppress(HarnessNotFound):
                await node.spawn(spec(tmp_path, "no-such-cli"), Ear())

        assert before == open_files()


@on_loop
async def test_a_node_that_was_closed_leaves_nothing_open(tmp_path: Path) -> None:
    async with local_node():
        pass  # the first one makes the loop's thread pool and its like
    before = open_files()
    async with local_node() as node:
        ear = Ear()
        await node.spawn(spec(tmp_path, "cat"), ear)

    assert [-9] == ear.ends
    assert before == open_files()
    with pytest.raises(NotRunning, match="alice was not started"):
        await node.spawn(spec(tmp_path, "cat"), Ear())
    assert before == open_files()


@on_loop
async def test_the_guard_s_death_is_told_to_every_agent_s_watcher(tmp_path: Path) -> None:
    async with local_node() as node:
        ears = [Ear(), Ear()]
        handles = [await node.spawn(spec(tmp_path, "cat", id=f"a{n}"), ear) for n, ear in enumerate(ears)]
        agents = [psutil.Process(handle.pid) for handle in handles]
        os.kill(node.pids[0], signal.SIGKILL)

        assert [guarding.GONE] * 2 == [await ear.end() for ear in ears]
        assert [] == survivors(agents)
        with pytest.raises(NotRunning, match="close this manager"):
            await node.spawn(spec(tmp_path, "cat"), Ear())


@on_loop
async def test_a_guard_that_dies_while_an_agent_starts_ends_the_start(tmp_path: Path) -> None:
    async with local_node() as node:
        os.kill(node.pids[0], signal.SIGSTOP)
        starting = asyncio.create_task(node.spawn(spec(tmp_path, "cat"), Ear()))
        await asyncio.sleep(0)
        os.kill(node.pids[0], signal.SIGKILL)

        with pytest.raises(NotRunning):
            await starting


@on_loop
async def test_a_start_that_is_cancelled_leaves_no_process(tmp_path: Path) -> None:
    mark = marker()
    async with local_node() as node:
        before = open_files()
        starting = asyncio.create_task(node.spawn(spec(tmp_path, "sleep", mark), Ear()))
        await asyncio.sleep(0)
        starting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await starting
        ear = Ear()
        await node.spawn(spec(tmp_path, "true"), ear)  # asked for after the cancelled one
        await ear.end()

        assert [] == await asyncio.to_thread(survivors, family(mark))
        assert before == open_files()


@on_loop
async def test_a_forked_child_holds_no_end_of_an_agent_s_pipes(tmp_path: Path) -> None:
    async with local_node() as node:
        ear = Ear()
        alice = await node.spawn(spec(tmp_path, "cat"), ear)
        child = os.fork()
        if child == 0:
            while True:
                signal.pause()
        try:
            node.close_input(alice)

            assert 0 == await ear.end()
        finally:
            os.kill(child, signal.SIGKILL)
            await asyncio.to_thread(os.waitpid, child, 0)


@on_loop
async def test_an_agent_in_a_terminal_knows_it(tmp_path: Path) -> None:
    async with local_node() as node:
        ear = Ear()
        code = "import os; print(os.isatty(0), os.isatty(2), open('/dev/tty').isatty(), input())"
        alice = await node.spawn(spec(tmp_path, sys.executable, "-c", code, pty=True), ear)
        node.write(alice, b"hello\n")

        assert 0 == await ear.end()
    assert b"True True True hello\n" == ear.heard.replace(b"\r", b"")


LIMITS = """
import asyncio, resource, sys
from pathlib import Path
hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
resource.setrlimit(resource.RLIMIT_NOFILE, (200, hard))
from rogues import Ear, local_node, spec

async def main():
    async with local_node() as node:
        ear = Ear()
        await node.spawn(spec(Path(sys.argv[1]), "sh", "-c", "ulimit -Sn"), ear)
        await ear.end()
    print(resource.getrlimit(resource.RLIMIT_NOFILE)[0] == hard, int(ear.heard))

asyncio.run(main())
"""


def test_the_agents_keep_the_file_limit_that_we_raise_for_ourselves(tmp_path: Path) -> None:
    command = [sys.executable, "-c", LIMITS, str(tmp_path)]
    said = subprocess.run(command, cwd=Path(__file__).parent, capture_output=True, text=True, check=True)

    assert "True 200\n" == said.stdout


@on_loop
async def test_the_local_launcher_opens_nodes_here(tmp_path: Path) -> None:
    launcher = LocalLauncher()
    [slot] = await launcher.acquire(1, {"agents": 1})
    node = await launcher.open_node(slot)

    assert isinstance(node, LocalNode)
    assert [] == [event async for event in launcher.events()]
    await node.close()
    await launcher.release(slot)


def test_an_agent_goes_where_the_fewest_are(tmp_path: Path) -> None:
    placed = [NodeState("a", 2), NodeState("b", 1), NodeState("c", 1)]
    alice = spec(tmp_path, "cat")

    assert "b" == FewestAgents().choose(alice, placed)
    assert isinstance(FewestAgents(cap=1).choose(alice, placed), Wait)
    assert Wait("there is no node") == FewestAgents().choose(alice, [])
