"""Agents at terminals for tests: the shipped profiles, and profiles of programs that misbehave."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

from madrox_nb import library, profiles
from madrox_nb.harness.profile import profile
from madrox_nb.harness.terminal import Terminal

ROGUES = Path(__file__).parent / "rogues"
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
    return {name: library.lend(cls) for name, cls in family.items()}  # type: ignore[misc]


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
