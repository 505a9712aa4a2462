"""What the stub model has a real Codex do, and how it is answered."""

from __future__ import annotations

import json
from pathlib import Path

from madrox_nb.events import TurnEnded
from madrox_nb.harness import Ask

PATCH = "apply_patch <<EOF\n*** Begin Patch\n*** Add File: {path}\n+hello\n*** End Patch\nEOF"


def shell(command: str, **more: object) -> str:
    return f"CALL exec_command {json.dumps({'cmd': command, **more})}"


def runs(pid):
    return Path("/proc", str(pid)).exists()


async def ask(driver, prompt):
    driver.begin(prompt)
    return await driver.until(Ask)


async def decide(driver, asked, decision, why=""):
    driver.write(driver.harness.answer(asked.request, decision, why))
    return await driver.until(TurnEnded)
