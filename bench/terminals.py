"""What agents at terminals cost: the same questions as `run.py`'s, asked of PTYs.

    python bench/terminals.py [--json FILE] [NAME …]

The program at the terminal is `bench/repl.py`, which says each line back; figures for
comparison are taken in the same run.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import pty
import sys
import tempfile
import time
import tty
from collections.abc import Awaitable, Callable
from pathlib import Path

import psutil

from madrox_nb import config, library
from madrox_nb.events import AgentStopped
from madrox_nb.harness.profile import profile
from madrox_nb.harness.terminal import Terminal
from madrox_nb.manager import Manager

REPL = (os.path.realpath(sys.executable), "-S", "-E", "-I", str(Path(__file__).with_name("repl.py")))
AGENTS = 200
ROWS: list[dict[str, object]] = []
KEYS = {"command": REPL[0], "args": list(REPL[1:]), "prompt": "^> ", "silent": True, "stays": 0.02}


def row(what: str, measured: str, goal: str = "", met: bool | None = None) -> None:
    ROWS.append({"what": what, "measured": measured, "goal": goal, "met": met})
    said = "" if met is None else "met" if met else "MISSED"
    print(f"{what:58} {measured:34} {goal:22} {said}", flush=True)


async def with_manager(story: Callable[[Manager], Awaitable[None]]) -> None:
    library.lend(Terminal.like(profile("repl", KEYS)))
    library.lend(Terminal.like(profile("painted", KEYS | PAINTED)))
    with tempfile.TemporaryDirectory() as home:
        chosen = {
            "home": Path(home),
            "max_instances": 1000,
            "harnesses": ("rehearsal",),
            "start_timeout": 120.0,
        }
        manager = await Manager(config.load(chosen, environ={}, files=()).settings).open()
        try:
            await story(manager)
        finally:
            await manager.close()


PAINTED = {"paints": True, "size": [40, 120], "prompt": "^> ?$", "began": "^> .", "stays": 0.1}


class Stall:
    """The longest time in which the loop did nothing else, between `with` and its end."""

    def __enter__(self) -> Stall:
        self.longest = 0.0
        self._task = asyncio.ensure_future(self._look())
        return self

    async def _look(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            before = loop.time()
            await asyncio.sleep(0.001)
            self.longest = max(self.longest, loop.time() - before - 0.001)

    def __exit__(self, *_: object) -> None:
        self._task.cancel()


async def many() -> None:
    """200 agents: spawn, one round trip each, what each of them costs us."""
    me = psutil.Process()

    async def story(m: Manager) -> None:
        await m.spawn("first", harness="repl", permissions="all")
        await m.send("first", "warm")
        memory, fds, threads = me.memory_info().rss, me.num_fds(), me.num_threads()
        begun = time.perf_counter()
        await asyncio.gather(*(m.spawn(f"a{n}", harness="repl", permissions="all") for n in range(AGENTS)))
        spawned = time.perf_counter() - begun
        row(f"{AGENTS} agents at terminals, spawned and ready", f"{spawned:.2f} s")
        begun, cpu = time.perf_counter(), time.process_time()
        answers = await asyncio.gather(*(m.send(f"a{n}", f"hello {n}") for n in range(AGENTS)))
        took, used = time.perf_counter() - begun, time.process_time() - cpu
        assert [f"hello {n}" for n in range(AGENTS)] == [answer.text for answer in answers]
        row("one round trip each, all at once", f"{took:.2f} s; {1e6 * used / AGENTS:.0f} µs of ours each")
        kilobytes = (me.memory_info().rss - memory) / AGENTS / 1024
        row("memory of the manager for each", f"{kilobytes:.0f} KB", "≤ 64 KB", kilobytes <= 64)
        each = (me.num_fds() - fds) / AGENTS
        row(
            "descriptors for each, its workspace's among them", f"{each:.1f}", "≤ 4, as with pipes", each <= 4
        )
        more = me.num_threads() - threads
        row("threads for all of them", f"{more}", "none of their own", more < AGENTS / 10)

    await with_manager(story)


async def deaths() -> None:
    """20 programs that die at once."""

    async def story(m: Manager) -> None:
        await asyncio.gather(*(m.spawn(f"a{n}", harness="repl", permissions="all") for n in range(20)))
        stopped = asyncio.Event()
        left = 20

        def ended(entry: object) -> None:
            nonlocal left
            left -= isinstance(entry.event, AgentStopped)
            if not left:
                stopped.set()

        m.ledger.listen(ended)
        with Stall() as stall:
            await asyncio.sleep(0.01)
            for n in range(20):
                os.kill(m.processes[f"a{n}"].pid, 9)
            await asyncio.wait_for(stopped.wait(), 30)
        worst = 1000 * stall.longest
        row("20 deaths at once: longest stall", f"{worst:.1f} ms", "≤ 20 ms", worst <= 20)

    await with_manager(story)


async def flood() -> None:
    """100 MB from one program, while another is asked again and again."""
    me = psutil.Process()

    async def story(m: Manager) -> None:
        for name in ("loud", "quiet"):
            await m.spawn(name, harness="repl", permissions="all")
        await m.send("quiet", "warm")
        memory, peak, trips = me.memory_info().rss, 0, []
        turn = asyncio.ensure_future(m.send("loud", "flood 100"))
        begun = time.perf_counter()
        with Stall() as stall:
            while not turn.done():
                asked = time.perf_counter()
                await m.send("quiet", "hello")
                trips.append(time.perf_counter() - asked)
                peak = max(peak, me.memory_info().rss)
        took, worst = time.perf_counter() - begun, 1000 * stall.longest
        assert (await turn).text.startswith("[")
        row("100 MB from one program", f"{took:.1f} s, {100 / took:.0f} MB/s")
        row("… longest stall", f"{worst:.1f} ms", "≤ 20 ms", worst <= 20)
        grown = (peak - memory) / 1e6
        row("… memory", f"+{grown:.1f} MB", "≤ 10 MB", grown <= 10)
        row("… another's slowest round trip", f"{1000 * max(trips):.0f} ms of {len(trips)}")

    await with_manager(story)


async def painted() -> None:
    """5 MB painted on a screen."""
    me = psutil.Process()

    async def story(m: Manager) -> None:
        await m.spawn("loud", harness="painted", permissions="all")
        memory = me.memory_info().rss
        begun = time.perf_counter()
        with Stall() as stall:
            await m.send("loud", "flood 5")
        took, worst = time.perf_counter() - begun, 1000 * stall.longest
        row("5 MB painted on a screen", f"{took:.1f} s, {5 / took:.2f} MB/s")
        row("… longest stall", f"{worst:.1f} ms", "≤ 20 ms", worst <= 20)
        row("… memory", f"+{(me.memory_info().rss - memory) / 1e6:.1f} MB")

    await with_manager(story)


async def events() -> None:
    """CPU of one line and its echo: a bare reader, and the terminal with its patterns."""
    bare = await bare_reader(2000)

    async def story(m: Manager) -> None:
        await m.spawn("a", harness="repl", permissions="all")
        before = time.process_time()
        await m.send("a", "lines 200000")
        whole = 1e6 * (time.process_time() - before) / 200_000
        ratio = whole / bare
        row("CPU of a printed line: terminal / bare reader", f"{whole:.2f} / {bare:.2f} µs = {ratio:.1f}")

    await with_manager(story)


async def bare_reader(_: int) -> float:
    """µs of CPU of a line that is read from a PTY and split, and nothing else."""
    pid, fd = pty.fork()
    if pid == 0:
        os.execv(REPL[0], REPL)
    tty.setraw(fd)
    loop, done, lines = asyncio.get_running_loop(), asyncio.Event(), 0

    def read() -> None:
        nonlocal lines
        data = os.read(fd, 65536)
        lines += data.count(b"\n")
        if lines >= 200_000:
            done.set()

    loop.add_reader(fd, read)
    await asyncio.sleep(0.3)
    before = time.process_time()
    os.write(fd, b"lines 200000\n")
    await asyncio.wait_for(done.wait(), 60)
    used = time.process_time() - before
    loop.remove_reader(fd)
    os.close(fd)
    await asyncio.to_thread(os.waitpid, pid, 0)
    return 1e6 * used / 200_000


MEASUREMENTS = {f.__name__: f for f in (many, deaths, flood, painted, events)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="*", choices=[[], *MEASUREMENTS], default=[])
    parser.add_argument("--json", type=Path)
    chosen = parser.parse_args()
    for name in chosen.names or MEASUREMENTS:
        asyncio.run(MEASUREMENTS[name]())
    if chosen.json:
        chosen.json.write_text(json.dumps(ROWS, indent=1))


if __name__ == "__main__":
    main()
