"""Teams that really run: rehearsal agents, their phases, and what becomes of failures."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from crew import run_of, until, with_run

from madrox_nb import library
from madrox_nb.errors import BadInput, IllegalEvent, UnknownRole
from madrox_nb.events import (
    AgentSpawned,
    Entry,
    Event,
    PhaseEnded,
    PhaseStarted,
    TeamEnded,
    TeamResumed,
    TurnEnded,
    TurnStarted,
)
from madrox_nb.manager import Manager
from madrox_nb.teamwork import TeamRuns, UnknownTeam
from madrox_nb.tree import Tree

TRIO = """\
---
description: Three who build a small thing.
inputs:
  language: {description: In what it is written., default: Python}
members:
  - {name: head, role: architect, part: Decides what is built.}
  - {name: hand, role: backend_developer, count: 2}
  - {name: eye, role: code_reviewer}
phases:
  - name: design
    who: head
    what: |
      Design this in {language}: {task}
      /write design.md the design
    deliverables: [design.md]
  - name: look
    who: eye
    what: |
      Read up on {task}. {{braces}} stay.
  - name: build
    who: hand
    what: |
      You are {me}, {number} of {count}. Build what this says:
        {design.head}
  - name: review
    who: eye
    needs: [look]
    what: |
      {build}
      /say VERDICT: REJECT
  - name: mend
    who: hand
    when: 'review contains "VERDICT: REJECT"'
    what: |
      /say mended by {me}
  - name: praise
    who: head
    when: 'review contains "VERDICT: ACCEPT"'
    what: Praise them.
  - name: close
    who: head
    needs: [mend, praise]
    what: |
      Sum up.
      /say the end
---
# Trio

For people.
"""


@pytest.fixture(autouse=True)
def at_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Teams and roles of this test alone, besides those that come with the package."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setattr(library, "user_dir", lambda: tmp_path / "config")


def file(text: str, name: str = "trio") -> None:
    Path("templates").mkdir(exist_ok=True)
    Path("templates", f"{name}.md").write_text(text, encoding="utf-8")


def told(manager: Manager, kind: type[Event]) -> list[Any]:
    return [entry.event for entry in manager.ledger if isinstance(entry.event, kind)]


async def run_team(manager: Manager, name: str = "trio", task: str = "a clock", **given: Any) -> Any:
    return await manager.teams.wait(await manager.teams.start(name, task, **given))


# the whole of it


def test_a_team_is_spawned_whole_each_with_its_brief_and_its_results_flow(tmp_path: Path) -> None:
    file(TRIO)

    async def story(m: Manager) -> None:
        result = await run_team(m, inputs={"language": "Rust"})

        assert ("ok", "") == (result.outcome, result.why)
        assert {"head": None, "hand-1": "head", "hand-2": "head", "eye": "head"} == {
            agent.name: agent.parent for agent in m.tree
        }
        briefs = {event.agent: event.system_prompt for event in told(m, AgentSpawned)}
        assert library.role("architect").body in briefs["head"]
        assert "hand 2 of 2 of the team *trio*. Three who build a small thing." in briefs["hand-2"]
        assert "- head (architect): Decides what is built." in briefs["eye"]

        prompts = {(e.agent, n): e.text for n, e in enumerate(told(m, TurnStarted))}
        asked = "\n".join(prompts.values())
        assert "Phase 1 of 7 of trio.1: **design**\n\nDesign this in Rust: a clock\n" in asked
        assert "Read up on a clock. {braces} stay." in asked
        assert "You are hand-2, 2 of 2." in asked
        assert "> wrote design.md (10 bytes)" in asked
        assert "- from/design/head/design.md" in asked
        assert "the design" == Path(m.tree["hand-1"].workspace, "from/design/head/design.md").read_text()
        assert "mended by hand-2" == result.results["mend.hand-2"]
        assert "**hand-1**:\nmended by hand-1\n\n**hand-2**:\nmended by hand-2" == result.results["mend"]
        assert '(skipped: not the case: review contains "VERDICT: ACCEPT")' == result.results["praise"]
        assert "> (skipped: not the case" in asked

    with_run(tmp_path, story)


def test_phases_go_in_their_order_and_independent_ones_at_once(tmp_path: Path) -> None:
    file(TRIO)

    async def story(m: Manager) -> None:
        await run_team(m)

        order = [(e.kind, e.phase) for e in told(m, PhaseStarted) + told(m, PhaseEnded)]
        assert 16 == len(order)
        seen = [
            f"{entry.event.kind.removeprefix('phase.')} {entry.event.phase}"
            for entry in m.ledger
            if isinstance(entry.event, PhaseStarted | PhaseEnded)
        ]
        assert {"started design", "started look"} == set(seen[:2])
        assert seen.index("ended design") < seen.index("started build")
        assert len(seen) - seen[::-1].index("ended build") <= seen.index("started review")
        assert "ended close" == seen[-1]

    with_run(tmp_path, story)
