"""What the manager costs, as ratios to the bare mechanism taken in the same run.

    python bench/run.py [--json FILE] [NAME …]

Each measurement prints one row: what, measured, goal, and whether it was met. Both ends
of a round trip are pinned to one processor; alternatives run in turn, and the median
(for spawning: the least) of several rounds counts.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable, Iterable
from datetime import UTC, datetime
from pathlib import Path

import orjson
import psutil

from madrox_nb import config, library
from madrox_nb.events import AgentReady, Entry, TurnEnded, TurnSaid, TurnStarted, UsageReported
from madrox_nb.harness import Harness, Item, Launch, Unreadable
from madrox_nb.manager import Manager

ECHO = (os.path.realpath(sys.executable), "-S", "-E", "-I", str(Path(__file__).with_name("echo.py")))
ROWS: list[dict[str, object]] = []


@library.lend
class Echo(Harness):
    """The codec of `echo.py`: two audit records a turn, no more."""

    name = "echo"

    @staticmethod
    def command() -> tuple[str, ...]:
        return ECHO

    def launch(self) -> Launch:
        return Launch(argv=self.brief.command)

    def prompt(self, turn: str, text: str) -> Iterable[str]:
        self.turn = turn
        return (orjson.dumps({"type": "prompt", "text": text}).decode() + "\n",)

    def read(self, line: str) -> Iterable[Item]:
        try:
            row = orjson.loads(line)
        except ValueError as exc:
            raise Unreadable from exc
        if row["type"] == "ready":
            return (AgentReady(agent=self.brief.agent, session=self.brief.session),)
        turn, self.turn = self.turn, ""
        return (TurnEnded(agent=self.brief.agent, turn=turn, outcome="ok", text=row.get("text", "")),)

    def interrupt(self) -> Iterable[str]:
        return ()


def report(name: str, value: float, goal: float, unit: str, **more: object) -> None:
    met = value >= goal if unit.endswith("/s") else value <= goal
    ROWS.append({"name": name, "value": round(value, 3), "goal": goal, "unit": unit, "met": met, **more})
    sign = "≥" if unit.endswith("/s") else "≤"
    extra = ", ".join(f"{key} {item}" for key, item in more.items())
    said = "met" if met else "MISSED"
    print(f"{name:<36} {value:>12,.2f} {unit:<9} goal {sign} {goal:<9,} {said:<7} {extra}", flush=True)


async def opened(home: Path, **settings: object) -> Manager:
    chosen = {"home": home, "max_instances": 1000, "port": 0, **settings}
    return await Manager(config.load(chosen, files=()).settings).open()


# round trip


async def bare_round_trips(count: int) -> list[float]:
    """Ping-pong with `add_reader` and `os.write`: the floor that asyncio allows."""
    loop = asyncio.get_running_loop()
    child = subprocess.Popen(ECHO, stdin=subprocess.PIPE, stdout=subprocess.PIPE)  # noqa: ASYNC220 - vfork and exec, a millisecond, once
    assert child.stdin
    assert child.stdout
    out, into = child.stdout.fileno(), child.stdin.fileno()
    os.set_blocking(out, False)
    answered = loop.create_future()
    loop.add_reader(out, lambda: answered.set_result(os.read(out, 65536)))
    await answered
    times = []
    line = orjson.dumps({"type": "prompt", "text": "ping"}) + b"\n"
    for _ in range(count):
        answered = loop.create_future()
        start = time.perf_counter()
        os.write(into, line)
        await answered
        times.append(time.perf_counter() - start)
    loop.remove_reader(out)
    child.stdin.close()
    child.wait()
    child.stdout.close()
    return times


async def managed_round_trips(manager: Manager, count: int) -> list[float]:
    times = []
    for _ in range(count):
        start = time.perf_counter()
        await manager.send("echo", "ping")
        times.append(time.perf_counter() - start)
    return times


async def round_trip() -> None:
    os.sched_setaffinity(0, {0})
    with tempfile.TemporaryDirectory() as home:
        manager = await opened(Path(home))
        await manager.spawn("echo", harness="echo")
        ratios, bares, ours = [], [], []
        await managed_round_trips(manager, 500)
        for _ in range(7):
            bare = statistics.median(await bare_round_trips(1500))
            mine = statistics.median(await managed_round_trips(manager, 1500))
            bares.append(bare)
            ours.append(mine)
            ratios.append(mine / bare)
        await manager.close()
    os.sched_setaffinity(0, range(os.cpu_count() or 1))
    report(
        "round trip / bare add_reader", statistics.median(ratios), 2.0, "×",
        bare_us=round(statistics.median(bares) * 1e6, 1), ours_us=round(statistics.median(ours) * 1e6, 1),
    )  # fmt: skip


# spawning


def bare_spawns(count: int) -> float:
    start = time.perf_counter()
    children = [subprocess.Popen(ECHO, stdin=subprocess.PIPE, stdout=subprocess.PIPE) for _ in range(count)]
    for child in children:
        assert child.stdout
        child.stdout.readline()
    took = time.perf_counter() - start
    for child in children:
        child.communicate()
    return took


async def managed_spawns(manager: Manager, count: int, round_: int) -> float:
    start = time.perf_counter()
    await asyncio.gather(*(manager.spawn(f"a{round_}-{n}", harness="echo") for n in range(count)))
    return time.perf_counter() - start


async def spawning() -> None:
    with tempfile.TemporaryDirectory() as home:
        manager = await opened(Path(home))
        await manager.spawn("first", harness="echo")
        bare, ours = [], []
        for round_ in range(5):
            bare.append(bare_spawns(100))
            ours.append(await managed_spawns(manager, 100, round_))
            if round_ < 4:
                names = [a.name for a in manager.tree.alive() if a.name != "first"]
                await asyncio.gather(*(manager.terminate(name) for name in names))
        gc.collect()
        await manager.close()
    report(
        "spawn of 100 agents / bare Popen", min(ours) / min(bare), 1.25, "×",
        bare_s=round(min(bare), 2), ours_s=round(min(ours), 2),
    )  # fmt: skip


async def memory() -> None:
    with tempfile.TemporaryDirectory() as home:
        manager = await opened(Path(home))
        await managed_spawns(manager, 50, 0)  # grow what grows once
        gc.collect()
        me, before = psutil.Process(), psutil.Process().memory_info().rss
        fds = me.num_fds()
        await managed_spawns(manager, 100, 1)
        gc.collect()
        grown = (me.memory_info().rss - before) / 1024 / 100
        report("manager memory per agent", grown, 64, "KB", fds_per_agent=(me.num_fds() - fds) / 100)
        await manager.close()


# stalls


async def longest_stall(work: Callable[[], Awaitable[object]]) -> float:
    """Milliseconds that the loop was away at most while `work` ran."""
    worst, done = 0.0, False

    async def tick() -> None:
        nonlocal worst
        last = time.perf_counter()
        while not done:
            await asyncio.sleep(0.001)
            now = time.perf_counter()
            worst = max(worst, now - last - 0.001)
            last = now

    ticking = asyncio.create_task(tick())
    await asyncio.sleep(0.01)
    await work()
    done = True
    await ticking
    return worst * 1000


async def stalls() -> None:
    with tempfile.TemporaryDirectory() as home:
        manager = await opened(Path(home))
        await managed_spawns(manager, 20, 0)
        pids = [
            child.pid
            for child in psutil.Process().children(recursive=True)
            if "echo.py" in " ".join(child.cmdline())
        ]

        async def deaths() -> None:
            for pid in pids:
                os.kill(pid, 9)
            while any(agent.alive for agent in manager.tree):
                await manager.mail.change(1)

        report("loop stall, 20 deaths", await longest_stall(deaths), 20, "ms")
        await manager.spawn("flood", harness="echo")
        process = psutil.Process()
        before = process.memory_info().rss

        async def flood(count: int, size: int) -> None:
            runner = manager.processes["flood"]
            ended = asyncio.get_running_loop().create_future()

            def heard(entry: Entry) -> None:
                if isinstance(entry.event, TurnEnded) and not ended.done():
                    ended.set_result(None)

            stop = manager.ledger.listen(heard)
            await manager.act(
                TurnStarted(agent="flood", turn=manager.tree.next_turn("flood"), sender="you", text="x")
            )
            runner.harness.turn = manager.tree["flood"].turn
            runner._write((orjson.dumps({"type": "burst", "text": f"{count} {size}"}).decode() + "\n",))
            await ended
            stop()

        took = time.perf_counter()
        worst = await longest_stall(lambda: flood(500_000, 200))
        took = time.perf_counter() - took
        rss = (process.memory_info().rss - before) / 2**20
        report(
            "loop stall, flood of 100 MB, lines",
            worst,
            20,
            "ms",
            MB_s=round(100 / took),
            rss_MB=round(rss, 1),
        )
        worst = await longest_stall(lambda: flood(100, 1_000_000))
        report("loop stall, flood of 1 MB lines", worst, 20, "ms")
        await manager.close()


# events


async def events() -> None:
    with tempfile.TemporaryDirectory() as home:
        manager = await opened(Path(home))
        await manager.spawn("echo", harness="echo")
        heard = [0]

        def listener(entry: Entry) -> None:
            heard[0] += 1

        for _ in range(3):
            manager.ledger.listen(listener)
        rates = []
        for _ in range(5):
            start = time.process_time()
            for number in range(4000):
                turn = manager.tree.next_turn("echo")
                manager.record(TurnStarted(agent="echo", turn=turn, sender="you", text="ping"))
                for _ in range(7):
                    manager.record(
                        TurnSaid(agent="echo", turn=turn, text="a line of an answer, as agents say it")
                    )
                manager.record(
                    UsageReported(
                        agent="echo", turn=turn, input_tokens=12, output_tokens=number, cost_usd=0.01
                    )
                )
                manager.record(TurnEnded(agent="echo", turn=turn, outcome="ok", text="done"))
            rates.append(40_000 / (time.process_time() - start))
        await manager.close()
    report(
        "events, record → fold → 3 listeners",
        statistics.median(rates),
        100_000,
        "events/s",
        us=round(1e6 / statistics.median(rates), 1),
    )


# loading

LOADING = """
import time
from ipykernel.inprocess.manager import InProcessKernelManager
km = InProcessKernelManager(); km.start_kernel()
shell = km.kernel.shell
start = time.perf_counter()
import madrox_nb
shell.extension_manager.load_extension("madrox_nb")
print((time.perf_counter() - start) * 1000)
"""


async def loading() -> None:
    times = []
    for _ in range(7):
        done = await asyncio.create_subprocess_exec(
            sys.executable, "-W", "ignore", "-c", LOADING, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
        )
        out, _ = await done.communicate()
        times.append(float(out.split()[-1]))
    report(
        "import and %load_ext in a kernel", statistics.median(times), 150, "ms", least=round(min(times), 1)
    )


MEASUREMENTS = {f.__name__: f for f in (round_trip, spawning, memory, stalls, events, loading)}


def measured_alone(name: str) -> list[dict[str, object]]:
    """Each in a process of its own: what one leaves in memory must not flatter the next."""
    with tempfile.NamedTemporaryFile(suffix=".json") as file:
        subprocess.run([sys.executable, __file__, name, "--json", file.name], check=True)
        return json.loads(Path(file.name).read_text())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("names", nargs="*", choices=[[], *MEASUREMENTS], help="which (default: all)")
    parser.add_argument("--json", type=Path, help="also write the rows there")
    chosen = parser.parse_args()
    if len(chosen.names) == 1:
        asyncio.run(MEASUREMENTS[chosen.names[0]]())
    else:
        python, load = sys.version.split()[0], os.getloadavg()[0]
        print(
            f"Python {python}, {os.cpu_count()} processors, load {load:.1f}, {datetime.now(UTC):%Y-%m-%d}",
            flush=True,
        )
        for name in chosen.names or MEASUREMENTS:
            ROWS.extend(measured_alone(name))
    if chosen.json:
        chosen.json.write_text(json.dumps(ROWS, indent=1) + "\n")


if __name__ == "__main__":
    main()
