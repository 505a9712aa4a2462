"""Agents at terminals for tests: the shipped profiles, and profiles of programs that misbehave."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

from crew import with_run

from madrox_nb import library, profiles
from madrox_nb.events import Entry, TurnStarted
from madrox_nb.harness import Brief
from madrox_nb.harness.profile import profile
from madrox_nb.harness.terminal import Terminal
from madrox_nb.manager import Manager

ROGUES = Path(__file__).parent / "rogues"
LONG = "".join(f"{n} line with äöü € and ☃\n" for n in range(4000))
"""Over 100 kB of text, in lines."""
STORY = Callable[[Manager], Awaitable[None]]
PAINTER: dict[str, Any] = {
    "args": ["-I", "-S", str(ROGUES / "painter.py")],
    "paints": True,
    "size": [40, 100],
    "prompt": r"^\|\n-{40}\n\? for help",
    "busy": "^working",
    "began": "^you: ",
    "enter": "\r",
    "pause": 0.05,
    "quiet": 1.0,
    "stays": 0.3,
    "interrupt": "\x1b",
    "answer": {"start": "^you: .*\n", "end": "^-{40}", "strip": ["^= "]},
}
"""The profile of rogues/painter.py, for `lend_rogue`."""


def lend_shipped() -> dict[str, type[Terminal]]:
    """The shipped profiles as harnesses that can be named."""
    family = Terminal.family({"terminal": profiles.read([profiles.SHIPPED])})
    return {name: library.lend(cls) for name, cls in family.items()}


def lend_rogue(name: str, **keys: Any) -> str:
    """A harness of the repl in rogues/repl.py, whose `start` is its argument."""
    table = {
        "command": sys.executable,
        "args": ["-I", "-S", str(ROGUES / "repl.py"), *keys.pop("start", ())],
        "prompt": "^> ",
        "silent": True,
        **keys,
    }
    library.lend(Terminal.like(profile(name, table)))
    return name


def told(home: Path, story: STORY, harness: str, **settings: Any) -> None:
    """Run `story` with the agent `lead` at a terminal."""
    model = settings.pop("model", None)

    async def with_lead(m: Manager) -> None:
        await m.spawn("lead", harness=harness, model=model, permissions="all")
        await story(m)

    lend_shipped()
    with_run(home, with_lead, **settings)


def rogue(home: Path, story: STORY, *, settings: dict[str, Any] | None = None, **keys: Any) -> None:
    told(home, story, lend_rogue("rogue-repl", **keys), **(settings or {}))


def painter(home: Path, story: STORY, **keys: Any) -> None:
    rogue(
        home,
        story,
        **{**PAINTER, **keys},
    )


def working(entry: Entry) -> bool:
    return isinstance(entry.event, TurnStarted)


async def interrupted(m: Manager, text: str, sign: str) -> Any:
    """Send `text`, interrupt when the program has printed `sign`, and wait for the turn's end."""
    turn = asyncio.ensure_future(m.send("lead", text))
    log = m.processes.files("lead") / "wire.log"
    while sign not in log.read_text(errors="replace"):
        await asyncio.sleep(0.01)
    await m.interrupt("lead")
    return await turn


def brief(**more: Any) -> Brief:
    fields: dict[str, Any] = {"agent": "lead", "command": ("/bin/tool",), "workspace": "/w", "files": "/f"}
    return Brief(**{**fields, **more})
