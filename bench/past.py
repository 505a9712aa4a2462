"""The first look into a long run, and what a tool call costs meanwhile.

    python bench/past.py [--events N] [--unsliced]

The look reads the ledger on a thread of the kernel, as for a page; the client that calls is
a process of its own. `--unsliced` shows what it would be without rests.
"""

from __future__ import annotations

import argparse
import concurrent.futures as cf
import os
import statistics
import sys
import tempfile
import time
from pathlib import Path

TESTS = Path(__file__).parents[1] / "tests"
sys.path.insert(0, str(TESTS))

from calls import called, p99, row
from long_run import entries, written
from scrub import told

from madrox_nb.parts import past
from madrox_nb.parts.past import Folds, Past
from madrox_nb.run import Run

AT_ONCE = 50
"""Calls between two looks at whether it still reads."""


def times(took: list[float]) -> str:
    return f"median {statistics.median(took):.2f} ms, p99 {p99(took):.2f} ms, worst {max(took):.1f} ms"


def steps(read: Past[Folds], events: int) -> None:
    for name, seqs in (
        ("step back", range(events - 2, events - 102, -1)),
        ("far jump", range(events // 50, events, events // 50)),
    ):
        took = []
        for seq in seqs:
            began = time.process_time()
            read.at(seq)
            took.append((time.process_time() - began) * 1000)
        told(f"{name} in {events:,} events", took)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--events", type=int, default=1_000_000)
    parser.add_argument("--unsliced", action="store_true")
    chosen = parser.parse_args()
    if chosen.unsliced:
        past.SLICE = float("inf")
    with tempfile.TemporaryDirectory() as home:
        os.environ["XDG_STATE_HOME"] = f"{home}/state"
        path = written(Path(home) / "long.jsonl", entries(chosen.events))
        read = Past(lambda: [path], Folds)
        run = Run(home=Path(home), port=0, harnesses="rehearsal")
        try:
            served = run.start(run.serve).result()
            cf.wait([run.start(run.manager.spawn, f"agent{n}") for n in range(10)])
            called(served, "get_children", 200, 1)
            row("a tool call", times(called(served, "get_children", 1000, 1)))
            meanwhile: list[float] = []
            with cf.ThreadPoolExecutor() as thread:
                began = time.monotonic()
                looked = thread.submit(read.at, chosen.events - 1)
                while not looked.done():
                    meanwhile += called(served, "get_children", AT_ONCE, 1)
                seconds = time.monotonic() - began
            row(f"the first look into {chosen.events:,} events", f"{seconds:.1f} s")
            row("a tool call meanwhile", times(meanwhile), "≤ 20 ms", p99(meanwhile) <= 20)
            steps(read, chosen.events)
        finally:
            run.close()


if __name__ == "__main__":
    main()
