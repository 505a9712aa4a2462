"""What a tool call costs against an empty tool of the same server, and how fast doors open.

    python bench/calls.py

The clients are processes of their own. Calls of both kinds take turns in one run.
"""

from __future__ import annotations

import concurrent.futures as cf
import json
import os
import socket
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Callable
from pathlib import Path

import psutil

from madrox_nb.calls import Call, Result, tool
from madrox_nb.run import Run

HERE = Path(__file__).parent
Door = tuple[subprocess.Popen[bytes], Callable[[], None]]
"""A process, and what waits until its door is open."""
CALLS = 1500
MANY = 100
LOOKING = {
    "get_instance_tree": {},
    "get_children": {},
    "get_instance_status": {"instance_id": "agent1"},
    "get_pending_replies": {},
}


@tool(read_only=True)
async def nothing(call: Call) -> Result:
    """Do nothing: what the protocol and the server cost."""
    return Result("", {})


def row(what: str, measured: str, goal: str = "", met: bool | None = None) -> None:
    said = "" if met is None else "met" if met else "MISSED"
    print(f"{what:<58} {measured:<46} {goal:<12} {said}", flush=True)


def called(served: object, name: str, count: int, clients: int, **arguments: object) -> list[float]:
    """Milliseconds of each call."""
    asked = [name, str(count), str(clients), json.dumps(arguments)]
    return list(json.loads(_caller(served, *asked).communicate()[0]))


def _caller(served: object, *asked: str) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-S", "-E", "-I", str(HERE / "caller.py"), served.url, *asked]
    return subprocess.Popen(command, stdout=subprocess.PIPE, env={"TOKEN": served.token})


def p99(took: list[float]) -> float:
    return sorted(took)[int(len(took) * 0.99)]


def idle(served: object) -> None:
    """One client, one call at a time."""
    called(served, "nothing", 200, 1)
    empty, real = [], {name: [] for name in LOOKING}
    for _ in range(3):
        empty += called(served, "nothing", CALLS // 3, 1)
        for name, arguments in LOOKING.items():
            real[name] += called(served, name, CALLS // 3, 1, **arguments)
    floor = statistics.median(empty)
    row("an empty tool", f"{floor:.2f} ms, p99 {p99(empty):.2f}")
    for name, took in real.items():
        ratio = statistics.median(took) / floor
        row(
            f"{name} / empty tool",
            f"{ratio:.2f} × ({statistics.median(took):.2f} ms)",
            "≤ 1.5 ×",
            ratio <= 1.5,
        )
        row(f"{name}, p99", f"{p99(took):.2f} ms", "≤ 5 ms", p99(took) <= 5)


def crowded(served: object) -> None:
    """A hundred clients at once, then a hundred that wait while one calls."""
    began = time.perf_counter()
    took = called(served, "get_instance_tree", 20, MANY)
    seconds = time.perf_counter() - began
    times = f"median {statistics.median(took):.0f} ms, p99 {p99(took):.0f} ms"
    row(f"{MANY} clients, 20 calls each, none failed", f"{len(took) / seconds:,.0f} calls/s, {times}")
    waiting = _caller(served, "get_pending_replies", "1", str(MANY), '{"wait_timeout": 8}')
    time.sleep(2)
    meanwhile = called(served, "get_instance_tree", 500, 1)
    waited = json.loads(waiting.communicate()[0])
    row(
        f"one client while {MANY} wait for replies",
        f"median {statistics.median(meanwhile):.2f} ms, p99 {p99(meanwhile):.2f} ms",
        "≤ 5 ms",
        p99(meanwhile) <= 5,
    )
    row(f"… and how long the {MANY} waited for 8 s", f"{min(waited) / 1000:.2f}–{max(waited) / 1000:.2f} s")


def waiting_agents(run: Run, served: object) -> None:
    """A hundred agents, each in a turn that waits in a tool."""
    names = [f"waiter{n}" for n in range(MANY)]
    spawns = [run.start(run.manager.spawn, name, harness="rehearsal") for name in names]
    cf.wait(spawns)
    tickets = [run.start(run.manager.ask, name, "/inbox 12").result() for name in names]
    time.sleep(3)
    meanwhile = called(served, "get_instance_status", 500, 1, instance_id="waiter1")
    ends = [run.start(run.manager.answer, ticket) for ticket in tickets]
    outcomes = {end.result().outcome for end in ends}
    row(
        f"one client while {MANY} agents wait in a tool ({', '.join(outcomes)})",
        f"median {statistics.median(meanwhile):.2f} ms, p99 {p99(meanwhile):.2f} ms",
        "≤ 5 ms",
        p99(meanwhile) <= 5,
    )


def opening(what: str, door: Callable[[Path], Door]) -> None:
    """How long a door takes to open, and what it weighs then. Medians of five."""
    took, weighs = [], []
    for _ in range(5):
        with tempfile.TemporaryDirectory() as home:
            began = time.perf_counter()
            process, wait = door(Path(home))
            wait()
            took.append(time.perf_counter() - began)
            family = [psutil.Process(process.pid), *psutil.Process(process.pid).children(recursive=True)]
            weighs.append(sum(each.memory_info().rss for each in family) / 2**20)
            process.terminate()
            process.communicate()
    row(what, f"{statistics.median(took):.2f} s, {statistics.median(weighs):.0f} MB with all its processes")


def serving(home: Path) -> Door:
    """`madrox serve`, open when /health answers."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    process = started(home, "serve", "--port", str(port))

    def wait() -> None:
        while True:
            try:
                with urllib.request.urlopen(f"http://127.0.0.1:{port}/health"):
                    return
            except OSError:
                time.sleep(0.002)

    return process, wait


def bridging(home: Path) -> Door:
    """`madrox mcp` beside a running server, open when it has answered `initialize`."""
    process = started(home, "mcp")
    client = {
        "protocolVersion": "2025-11-25",
        "capabilities": {},
        "clientInfo": {"name": "b", "version": "1"},
    }
    hello = {"jsonrpc": "2.0", "id": 1, "method": "initialize", "params": client}

    def wait() -> None:
        process.stdin.write(json.dumps(hello).encode() + b"\n")
        process.stdin.flush()
        assert b'"result"' in process.stdout.readline()

    return process, wait


def started(home: Path, *command: str) -> subprocess.Popen[bytes]:
    known = {name: os.environ[name] for name in ("PATH", "HOME", "XDG_STATE_HOME") if name in os.environ}
    return subprocess.Popen(
        [sys.executable, "-m", "madrox_nb.cli", *command],
        env={**known, "MADROX_HOME": str(home / "home")},
        cwd=home,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
    )


def main() -> None:
    with tempfile.TemporaryDirectory() as home:
        os.environ["XDG_STATE_HOME"] = f"{home}/state"  # where servers are found
        run = Run(home=Path(home), port=0, harnesses="rehearsal", max_instances=500)
        try:
            served = run.start(run.serve).result()
            cf.wait([run.start(run.manager.spawn, f"agent{n}") for n in range(10)])
            idle(served)
            crowded(served)
            waiting_agents(run, served)
            opening("madrox mcp, until it answers initialize", bridging)
        finally:
            run.close()
    opening("madrox serve, until /health answers", serving)


if __name__ == "__main__":
    main()
