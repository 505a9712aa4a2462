"""Agents that never were, as many and as busy as one asks for: `widgets.py` runs this in the kernel.

What they do goes through the manager's own door, as what real agents do: checked, written
to the ledger, folded, announced. Only the processes and their wires are missing.
"""

from __future__ import annotations

import asyncio
import itertools
import json
import os
import threading
from collections.abc import Iterator

from madrox_nb.events import (
    AgentReady,
    AgentSpawned,
    Event,
    ToolCalled,
    ToolReturned,
    TurnEnded,
    TurnSaid,
    TurnStarted,
    UsageReported,
)
from madrox_nb.manager import Manager
from madrox_nb.notebook import Madrox

TEAM = 20
"""Agents under one head."""
TOP = "lead"
"""Of which the heads are children."""
AT_ONCE = 50
"""Entries after which the manager's loop gets to do something else."""
SAID = "The page lists all items, a shelf shows what is on it; an error names the field that is missing. "


def family(count: int) -> Iterator[tuple[str, str]]:
    """Name and parent of so many agents."""
    for number in range(count):
        head = f"team{number // TEAM}"
        yield (f"{head}.{number % TEAM}", head) if number % TEAM else (head, TOP)


def born(m: Madrox, count: int) -> None:
    """So many below the real one, or below one that never was either."""

    async def spawn() -> None:
        if TOP not in m.manager.tree:
            m.manager.record(AgentSpawned(agent=TOP, harness="claude", role="general"))
        for number, (name, parent) in enumerate(family(count)):
            harness = ("claude", "codex")[number % 2]
            m.manager.record(AgentSpawned(agent=name, parent=parent, harness=harness, role="general"))
            m.manager.record(AgentReady(agent=name, session=f"session of {name}", model="m"))
            if number % AT_ONCE == 0:
                await asyncio.sleep(0)

    m._run.portal.call(spawn)


class Feed:
    """So many updates a second of each of `count` agents; what the machine can't do in time is left out."""

    def __init__(self, m: Madrox, count: int, rate: float) -> None:
        self._goes_on = True
        self._done = m._run.portal.start(self._feed, m.manager, count, 1 / rate)

    def stop(self) -> None:
        self._goes_on = False
        self._done.result()

    async def _feed(self, manager: Manager, count: int, tick: float) -> None:
        loop = asyncio.get_running_loop()
        works = [work(name, parent) for name, parent in family(count)]
        due = loop.time()
        for round_ in itertools.count():
            for number, each in enumerate(works):
                if number % AT_ONCE == 0:
                    await asyncio.sleep(0)
                if not self._goes_on:
                    return
                if round_ >= number % 8:  # they do not all do the same at the same time
                    manager.record(next(each))
            due = max(due + tick, loop.time())
            await asyncio.sleep(due - loop.time())


def work(name: str, parent: str) -> Iterator[Event]:
    """Turn after turn for its parent, eight entries each."""
    for number in itertools.count(1):
        turn = f"{name}.t{number}"
        yield TurnStarted(agent=name, turn=turn, sender=parent, text=SAID)
        for call, tool in (("1", "Read"), ("2", "Edit")):
            at = {"agent": name, "turn": turn, "call": f"{turn}.{call}"}
            yield ToolCalled(**at, tool=tool, input=f'{{"file_path": "src/page{number % 9}.py"}}')
            yield ToolReturned(**at, ok=True, output=SAID)
        yield TurnSaid(agent=name, turn=turn, text=SAID)
        used = {"input_tokens": 900, "output_tokens": 90, "cost_usd": 0.01, "cost_source": "cli"}
        yield UsageReported(agent=name, turn=turn, model="m", **used)
        yield TurnEnded(agent=name, turn=turn, outcome="ok", text=SAID)


def facts(m: Madrox) -> str:
    """Where one measures from outside, as JSON."""
    threads = {each.name: each.native_id for each in threading.enumerate()}
    return json.dumps({"pid": os.getpid(), "ledger": str(m.manager.ledger.paths[-1]), "threads": threads})
