"""Teams of real programs: one that a real Claude Code leads by its own tool calls, and one of mixed kinds.

The model is a script on loopback; everything else is real.
"""

from __future__ import annotations

import os
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from acp_programs import program
from model import Model
from record import codex_environ
from repositories import branches, git, repository_at

from madrox_nb import library
from madrox_nb.events import ToolCalled, ToolReturned, TurnStarted
from madrox_nb.notebook import Madrox

pytestmark = [pytest.mark.real, pytest.mark.slow]

LED = """\
---
description: A real Claude Code leads a second one and a rehearsal agent.
members:
  - {name: head, role: architect, harness: claude, part: Leads.}
  - {name: hand, role: backend_developer, harness: claude, part: Builds clocks.}
  - {name: eye, role: code_reviewer, harness: rehearsal}
phases:
  - {name: build, who: hand, what: Build it out of brass.}
  - name: review
    who: eye
    what: |
      /say VERDICT: GOOD
      {build.hand}
  - {name: mend, who: hand, when: 'review contains "VERDICT: BAD"', what: Mend it.}
---
"""

MIXED = """\
---
description: Four harnesses in one team.
worktree: true
members:
  - {name: head, role: architect, harness: claude}
  - {name: hand, role: backend_developer, harness: codex}
  - {name: other, role: backend_developer, harness: opencode}
  - {name: eye, role: code_reviewer, harness: rehearsal}
phases:
  - {name: design, who: head, what: "Design {task}"}
  - {name: build, who: [hand, other], what: "You are {me}. Build: {design.head}"}
  - name: review
    who: eye
    what: |
      {build}
      /write review.md all is well
      /say VERDICT: GOOD
    deliverables: [review.md]
  - {name: close, who: head, when: 'review contains "VERDICT: GOOD"', what: "Close: {review.eye}"}
---
"""


@pytest.fixture
def environ(
    claude: str, codex: str, claude_env: dict[str, str], model: Model, tmp_path: Path
) -> dict[str, str]:
    """All that the programs get to know."""
    home, opencode = Path(claude_env["HOME"]), program("opencode")
    launcher = tmp_path / "opencode"
    launcher.write_text(f'#!/bin/sh\nexec {shlex.join(opencode.command)} "$@"\n')
    launcher.chmod(0o755)
    return {
        **opencode.env(home, model.url),
        **claude_env,
        **codex_environ(home, model),
        "MADROX_CLAUDE_BIN": claude,
        "MADROX_CODEX_BIN": codex,
        "MADROX_OPENCODE_BIN": str(launcher),
    }


@pytest.fixture
def madrox(environ: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Madrox]:
    """In a repository, with two teams of this test's own."""
    for name in tuple(os.environ):
        monkeypatch.delenv(name)
    for name, value in environ.items():
        monkeypatch.setenv(name, value)
    repository = repository_at(tmp_path / "repository")
    (repository / "templates").mkdir()
    for name, text in (("led", LED), ("mixed", MIXED)):
        (repository / "templates" / f"{name}.md").write_text(text)
    monkeypatch.chdir(repository)
    monkeypatch.setattr(library, "user_dir", lambda: tmp_path / "config")
    with Madrox(home=tmp_path / "madrox", port=0, max_instances=20) as madrox:
        yield madrox


def events(madrox: Madrox, kind: type) -> list[Any]:
    return [entry.event for entry in madrox.manager.ledger if isinstance(entry.event, kind)]


def prompts(madrox: Madrox, agent: str) -> list[str]:
    return [event.text for event in events(madrox, TurnStarted) if event.agent == agent]


def test_a_real_claude_leads_a_team_by_its_own_tool_calls(madrox: Madrox, tmp_path: Path) -> None:
    (tmp_path / "paper.md").write_text("all about clocks")
    team = madrox.team("led", "LEAD mcp__madrox__", lead=True, files=(str(tmp_path / "paper.md"),))

    assert ("ok", ["head"]) == (team.state, team.agents), team.result.why
    assert {"head": (None, "claude"), "hand": ("head", "claude"), "eye": ("head", "rehearsal")} == {
        agent.name: (agent.parent, agent.harness) for agent in madrox.tree
    }
    called = [e.tool.removeprefix("mcp__madrox__") for e in events(madrox, ToolCalled) if e.agent == "head"]
    assert [
        *("spawn_instance", "spawn_instance", "send_to_instance", "send_to_instance"),
        *("reply_to_caller", "terminate_instance", "terminate_instance"),
    ] == called
    assert {True} == {event.ok for event in events(madrox, ToolReturned)}
    [built] = prompts(madrox, "hand")
    assert "You are there for this: Builds clocks.\n\nBuild it out of brass." in built
    [reviewed] = prompts(madrox, "eye")
    assert "Build it out of brass." in reviewed, "the answer of hand, which echoes"
    assert "VERDICT: GOOD" in team["plan"]
    assert 'mend: skipped, not the case: review contains "VERDICT: BAD"' in team["plan"]
    assert "The plan is carried out: 3 phases, 2 members." in team["plan"]
    for agent in ("head", "hand", "eye"):
        place = Path(madrox.tree[agent].workspace)
        assert "all about clocks" == (place / "from" / "you" / "paper.md").read_text()


def test_claude_codex_opencode_and_rehearsal_work_in_one_team_each_on_its_branch(madrox: Madrox) -> None:
    team = madrox.team("mixed", "a clock")

    assert "ok" == team.state, team.result.why
    assert ["claude", "codex", "opencode", "rehearsal"] == sorted(agent.harness for agent in madrox.tree)
    assert "echo: Phase 1 of 4 of mixed.1: **design**" in team["design"]
    for agent in ("hand", "other"):
        assert f"You are {agent}. Build: echo: Phase 1 of 4" in team[f"build.{agent}"]
    [review] = prompts(madrox, "eye")
    assert "**hand**" in review
    assert "**other**" in review
    assert "- from/review/eye/review.md" in prompts(madrox, "head")[-1]
    assert "all is well" == Path(madrox.tree["head"].workspace, "from/review/eye/review.md").read_text()
    assert "Close:" in team["close"]
    assert {name: f"madrox/mixed.1-{name}" for name in ("head", "hand", "other", "eye")} == team.branches
    assert {*team.branches.values(), "main"} == set(branches(Path.cwd()))
    team.dismiss()
    assert ["madrox/mixed.1-eye", "main"] == branches(Path.cwd())
    assert "?? review.md" == git(Path(madrox.tree["eye"].workspace), "status", "--porcelain")
