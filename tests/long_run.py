"""A long run that never was: a lead, its teams and their work, as many entries as one asks for."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import UTC, datetime, timedelta
from itertools import islice
from pathlib import Path

from madrox_nb.events import (
    AgentReady,
    AgentSpawned,
    AgentStopped,
    AgentSuspended,
    ApprovalAnswered,
    ApprovalAsked,
    BudgetSet,
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

BEGAN = datetime(2026, 1, 1, tzinfo=UTC)
STEP = timedelta(seconds=0.4)


def long_run(count: int) -> list[Entry]:
    """`count` entries, all of them legal, 0.4 s apart."""
    return list(entries(count))


def entries(count: int) -> Iterator[Entry]:
    """The same one by one: a million would not fit into memory well."""
    for seq, event in enumerate(islice(_events(), count)):
        yield Entry(seq, BEGAN + seq * STEP, event)


def written(path: Path, entries: Iterable[Entry]) -> Path:
    with path.open("wb") as file:
        file.writelines(entry.to_line() for entry in entries)
    return path


def _events() -> Iterator[Event]:
    yield RunOpened(run="long", madrox="0", pid=1)
    yield BudgetSet(limit="usd", amount=400.0)
    yield from _birth("lead", None)
    names = []
    for team in range(6):
        head = f"lead.{team + 1}"
        yield from _birth(head, "lead")
        names.append(head)
        for member in range(6):
            name = f"{head}.{member + 1}"
            yield from _birth(name, head)
            names.append(name)
    turns, messages, asked = dict.fromkeys(names, 0), 0, dict.fromkeys(names, 0)
    while True:
        for at, name in enumerate(names):
            turns[name] += 1
            messages += 1
            yield from _turn(name, turns[name], messages, asked, odd=(at + turns[name]) % 7)
            if (at + turns[name]) % 31 == 0:
                yield AgentSuspended(agent=name, reason="idle")
                yield AgentReady(agent=name)
            if (at + turns[name]) % 97 == 0:
                yield AgentStopped(agent=name, reason="it broke", failed=True)
                yield from _birth(name, name.rpartition(".")[0])


def _birth(name: str, parent: str | None) -> Iterator[Event]:
    harness = ("claude", "codex")[len(name) % 2]
    yield AgentSpawned(agent=name, parent=parent, harness=harness, role="general", model="m")
    yield AgentReady(agent=name, session=f"s-{name}")


def _turn(name: str, number: int, message: int, asked: dict[str, int], odd: int) -> Iterator[Event]:
    turn, parent = f"{name}.t{number}", name.rpartition(".")[0]
    posted = f"lead.m{message}"
    yield MessagePosted(agent=name, message=posted, sender="lead", text="go on, please", asks=True)
    yield TurnStarted(agent=name, turn=turn, sender="lead", text="go on, please", messages=(posted,))
    yield TurnSaid(agent=name, turn=turn, text="I will look into it. " * 10)
    for call in range(3):
        id_ = f"{turn}.c{call}"
        yield ToolCalled(agent=name, turn=turn, call=id_, tool="Edit", input=f'{{"file_path": "f{call}.py"}}')
        if odd == 3 and call == 1:
            asked[name] += 1
            approval = f"{name}.a{asked[name]}"
            yield ApprovalAsked(agent=name, turn=turn, approval=approval, tool="Edit", input="{}")
            yield ApprovalAnswered(agent=name, approval=approval, decision="allow", by="you")
        yield ToolReturned(agent=name, turn=turn, call=id_, ok=odd != 5, output="done\n" * 20)
    usage = {"cost_usd": 0.02, "cost_source": "cli"} if odd else {}
    yield UsageReported(agent=name, turn=turn, input_tokens=900, output_tokens=100, model="m", **usage)
    yield TurnEnded(agent=name, turn=turn, outcome="failed" if odd == 6 else "ok", text="done")
    answer = f"{name}.m{number}"
    yield MessagePosted(agent=parent, message=answer, sender=name, text="done", answers=posted)
