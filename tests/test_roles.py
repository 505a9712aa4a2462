"""Claude Code's agents as roles: what they may do at most, and what is warned of."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import pytest
from crew import with_run

from madrox_nb import library
from madrox_nb.errors import UnknownRole
from madrox_nb.manager import Manager
from madrox_nb.notebook import roles
from madrox_nb.roles import role_of_claude

READER = """\
---
name: reader
description: Reads and says what it found.
tools: Read, Grep, mcp__madrox__reply_to_caller
model: sonnet
color: blue
x-team: core
---
You read.
"""


@pytest.fixture(autouse=True)
def at_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path / "me"))
    monkeypatch.setattr(library, "user_dir", lambda: tmp_path / "config")


def agent(text: str, name: str = "reader", home: str = ".") -> Path:
    path = Path(home, ".claude", "agents", f"{name}.md")
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    return path


def test_an_agent_of_claude_code_is_a_role_and_what_it_says_besides_is_kept() -> None:
    agent(READER)

    found = library.role("Reader")

    assert ("reader", "Reads and says what it found.", "You read.") == (
        found.name,
        found.description,
        found.body,
    )
    assert ("sonnet", "deny") == (found.model, found.permissions)
    assert {"color": "blue", "x-team": "core", "model": "sonnet"} == {
        key: value for key, value in found.rest.items() if key != "tools"
    }


def test_the_projects_agent_goes_before_the_users_and_both_before_ours() -> None:
    agent("---\nname: architect\n---\nMine.", "architect", "me")
    assert "Mine." == library.role("architect").body

    agent("---\nname: architect\n---\nOurs.", "architect")
    assert "Ours." == library.role("architect").body
    assert str(Path.cwd() / ".claude" / "agents") == roles().loc["architect", "origin"]
    assert str(library.packaged("prompts")) == roles().loc["debugger", "origin"]


def test_the_users_agents_are_where_claude_code_was_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CLAUDE_CONFIG_DIR", str(Path("elsewhere").resolve()))
    Path("elsewhere/agents").mkdir(parents=True)
    Path("elsewhere/agents/poet.md").write_text("---\npermissionMode: plan\n---\nRhyme.")

    assert ("Rhyme.", "deny") == (library.role("poet").body, library.role("poet").permissions)


@pytest.mark.parametrize(
    ("keys", "most"),
    [
        ("", None),
        ("tools: Read, Edit, Bash", None),
        ("tools: '*'", None),
        ("tools: [Read, Bash(git *)]", "ask"),
        ("tools: Read, Agent(worker, researcher), WebFetch", "ask"),
        ("tools: [Read, Grep, Glob]", "deny"),
        ("disallowedTools: Edit, Write", "ask"),
        ("disallowedTools: Write", None),
        ("tools: Read, Edit\ndisallowedTools: [Edit]", "deny"),
        ("permissionMode: default", "ask"),
        ("permissionMode: acceptEdits", "edits"),
        ("permissionMode: bypassPermissions", "all"),
        ("permissionMode: acceptEdits\ntools: Read, Bash", "ask"),
        ("permissionMode: plan", "deny"),
        ("permissionMode: dontAsk", "deny"),
        ("permissionMode: everything", "deny"),
    ],
)
def test_what_such_a_file_says_is_the_most_that_its_agents_may_do(keys: str, most: str | None) -> None:
    found, _ = role_of_claude(Path("x.md"), f"---\nname: x\n{keys}\n---\nDo.")

    assert most == found.permissions


@pytest.mark.parametrize(
    ("keys", "warned"),
    [
        ("tool: Read", "x.md: the key 'tool' means nothing. Did you mean 'tools'?"),
        (
            "permisionMode: plan",
            "x.md: the key 'permisionMode' means nothing. Did you mean 'permissionM",
        ),
        (
            "permissionMode: acceptEdit",
            "x.md: permissionMode 'acceptEdit' is not known, so it is deny.",
        ),
    ],
)
def test_a_misspelt_key_is_warned_of(keys: str, warned: str) -> None:
    _, warnings = role_of_claude(Path("x.md"), f"---\n{keys}\n---\nDo.")

    assert [warned] == [each[: len(warned)] for each in warnings]


def test_a_warning_reaches_the_log_and_foreign_keys_do_not(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(logging.getLogger("madrox_nb"), "propagate", True)
    agent("---\nname: odd\ntool: Read\nprovider: kiro\nwhatever: 1\n---\nDo.", "odd")

    library.role("odd")

    warned = {each.getMessage() for each in caplog.records if "means nothing" in each.getMessage()}
    path = Path.cwd() / ".claude" / "agents" / "odd.md"
    assert {f"{path}: the key 'tool' means nothing. Did you mean 'tools'?"} == warned


def test_an_agent_with_such_a_role_gets_no_more_and_the_model_is_for_claude_alone(tmp_path: Path) -> None:
    agent(READER)
    agent("---\nname: wild\npermissionMode: bypassPermissions\n---\nDo.", "wild")

    async def story(m: Manager) -> dict[str, tuple[Any, ...]]:
        await m.spawn("a", role="reader", permissions="edits")
        await m.spawn("b", role="wild")
        await m.spawn("c", role="wild", permissions="edits")
        with pytest.raises(UnknownRole, match=r"no role named 'raeder'\. Did you mean 'reader'"):
            await m.spawn("d", role="raeder")
        return {each.name: (each.permissions, each.model) for each in m.tree}

    made = with_run(tmp_path, story, permissions="ask")

    assert {"a": ("deny", None), "b": ("ask", None), "c": ("edits", None)} == made
