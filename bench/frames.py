"""What frames cost: a million events to a DataFrame, and a refresh after 500 more.

    python bench/frames.py [EVENTS]

Each reading is a process of its own, which has imported its library already; readers take
turns, and the median of several rounds counts. polars is what they are measured against.
"""

from __future__ import annotations

import json
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from itertools import islice
from pathlib import Path

from madrox_nb.events import (
    AgentReady,
    AgentSpawned,
    Entry,
    Event,
    MessagePosted,
    RunOpened,
    ToolCalled,
    ToolReturned,
    TurnEnded,
    TurnSaid,
    TurnStarted,
    UsageReported,
)
from madrox_nb.frames import Frames

ROUNDS = 5
NEW = 500
SAID = "The page lists all items, a shelf shows what is on it; an error names the field that is missing. "


# a ledger


def story() -> Iterator[Event]:
    """A lead and nineteen below it: messages, turns with four tool calls each, answers and bills."""
    agents = ["lead", *(f"lead.{number}" for number in range(1, 20))]
    yield RunOpened(run="bench", madrox="0", pid=1)
    for name in agents:
        yield AgentSpawned(
            agent=name, harness="claude", role="general", parent=None if name == "lead" else "lead"
        )
        yield AgentReady(agent=name, session=f"session of {name}", model="opus")
    number = 0
    while True:
        number += 1
        for name in agents:
            yield from turn(name, f"{name}.t{number}", f"lead.m{number}")


def turn(name: str, turn: str, message: str) -> Iterator[Event]:
    yield MessagePosted(agent=name, message=message, sender="lead", text=SAID, asks=True)
    yield TurnStarted(agent=name, turn=turn, sender="lead", text=SAID, messages=(message,))
    for call in map(str, range(4)):
        yield ToolCalled(agent=name, turn=turn, call=call, tool="Read", input='{"file_path":"/src/app.py"}')
        yield ToolReturned(agent=name, turn=turn, call=call, ok=True, output=SAID)
        yield TurnSaid(agent=name, turn=turn, text=SAID)
    yield UsageReported(
        agent=name,
        turn=turn,
        input_tokens=1200,
        output_tokens=90,
        cost_usd=0.01,
        cost_source="cli",
        model="opus",
    )
    yield TurnEnded(agent=name, turn=turn, outcome="ok", text=SAID, session=f"session of {name}")


def lines(first: int, count: int) -> Iterator[bytes]:
    begin = datetime(2030, 1, 31, tzinfo=UTC)
    for seq, event in enumerate(islice(story(), first, first + count), start=first):
        yield Entry(seq, begin + timedelta(milliseconds=seq), event).to_line()


def write(path: Path, first: int, count: int) -> None:
    with path.open("ab") as file:
        file.writelines(lines(first, count))


# readers


def polars_all(path: Path) -> Callable[[], object]:
    """Every field that occurs, as text, number or yes and no, as polars finds them."""
    import polars

    schema = polars.scan_ndjson(path, infer_schema_length=1000).collect_schema()
    return lambda: polars.scan_ndjson(path, schema=schema).collect()


def polars_six(path: Path) -> Callable[[], object]:
    """Only what every event has."""
    import polars

    text = dict.fromkeys(("ts", "kind", "agent", "turn", "message"), polars.String)
    return lambda: polars.scan_ndjson(path, schema={"seq": polars.Int64, **text}).collect()


def with_duckdb(path: Path) -> Callable[[], object]:
    import duckdb  # noqa: F401 — imported before the clock starts, as polars is

    return Frames(lambda: [path], accelerate=True).audit


def without(path: Path) -> Callable[[], object]:
    return Frames(lambda: [path], accelerate=False).audit


READERS = {each.__name__: each for each in (polars_all, polars_six, with_duckdb, without)}


def read_once(name: str, path: Path) -> None:
    """In a process of its own: prints seconds, processor seconds and the most memory, in MB."""
    read = READERS[name](path)
    wall, used = time.perf_counter(), time.process_time()
    found = read()
    seconds = time.perf_counter() - wall, time.process_time() - used
    assert len(found)
    print(json.dumps([*seconds, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024]))


def measured(path: Path) -> dict[str, tuple[float, ...]]:
    """Reader → the medians."""
    rounds: dict[str, list[list[float]]] = {name: [] for name in READERS}
    for _ in range(ROUNDS):
        for name, found in rounds.items():
            command = [sys.executable, __file__, "--read", name, str(path)]
            found.append(json.loads(subprocess.check_output(command)))
    return {name: tuple(map(statistics.median, zip(*found, strict=True))) for name, found in rounds.items()}


def refreshed(path: Path, count: int) -> float:
    """Milliseconds that the frame of the audit takes after 500 new events."""
    frames = Frames(lambda: [path])
    frames.audit()
    took = []
    for number in range(2 * ROUNDS + 1):
        write(path, count + number * NEW, NEW)
        start = time.perf_counter()
        found = frames.audit()
        took.append(1000 * (time.perf_counter() - start))
        assert count + (number + 1) * NEW == len(found)
    return statistics.median(took)


# report


def row(what: str, measured: str, goal: str = "", met: bool | None = None) -> None:
    said = "" if met is None else "met" if met else "MISSED"
    print(f"{what:<52} {measured:<44} {goal:<10} {said}", flush=True)


def main(count: int) -> None:
    with tempfile.TemporaryDirectory(prefix="madrox-bench-") as place:
        path = Path(place) / "long.jsonl"
        write(path, 0, count)
        row(f"{count:,} events", f"{path.stat().st_size / 1e6:.0f} MB")
        found = measured(path)
        floor = found["polars_all"]
        for name, goal in (("polars_all", 0.0), ("polars_six", 0.0), ("with_duckdb", 1.2), ("without", 10.0)):
            wall, used, memory = found[name]
            ratio = wall / floor[0]
            told = f"{ratio:.2f} × ({wall:.2f} s, CPU {used / floor[1]:.2f} ×, {memory:.0f} MB)"
            row(name, told, f"≤ {goal} ×" if goal else "", ratio <= goal if goal else None)
        short = Path(place) / "short.jsonl"
        write(short, 0, count // 100)
        few, many = refreshed(short, count // 100), refreshed(path, count)
        told = f"{many / few:.2f} × ({many:.1f} against {few:.1f} ms)"
        row(f"{NEW} new events, long history / a hundredth of it", told, "≤ 2 ×", many / few <= 2)


if __name__ == "__main__":
    if "--read" in sys.argv:
        read_once(sys.argv[2], Path(sys.argv[3]))
    else:
        main(int(sys.argv[1]) if len(sys.argv) > 1 else 1_000_000)
