"""The notebook about outside clients, where Claude Code is installed."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from cells import carry_out
from outputs import NOTEBOOKS, code, read

pytestmark = [pytest.mark.real, pytest.mark.slow]


def test_the_real_claude_says_in_the_notebook_that_it_is_connected(claude: str, tmp_path: Path) -> None:
    [path] = [path for path in NOTEBOOKS if path.stem.endswith("an-outside-client")]
    notebook = read(path)
    programs = tmp_path / "bin"
    programs.mkdir()
    (programs / "claude").symlink_to(claude)

    carry_out(notebook, tmp_path, search=f"{programs}{os.pathsep}{os.defpath}")

    [cell] = [cell for cell in code(notebook) if "claude mcp list" in cell.source]
    said = "".join(output.text for output in cell.outputs)
    assert "✔ Connected" in said or "✓ Connected" in said, said
    assert (tmp_path / "claude-config" / ".claude.json").exists()  # its own configuration, not the person's
