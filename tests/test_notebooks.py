"""The examples in notebooks/ run, and show what they promise."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import nbformat
import pytest
from nbclient import NotebookClient

NOTEBOOKS = sorted((Path(__file__).parents[1] / "notebooks").glob("*.ipynb"))


def load(path: Path) -> Any:
    return nbformat.read(path, as_version=4)  # type: ignore[no-untyped-call]


def code(notebook: Any) -> Iterator[Any]:
    return (cell for cell in notebook.cells if cell.cell_type == "code")


def run(path: Path, directory: Path) -> Any:
    """The notebook with its outputs; a cell that fails raises."""
    notebook = load(path)
    env = {
        **os.environ,
        "ORCHESTRATOR_PORT": "0",
        "IPYTHONDIR": str(directory / "ipython"),
        "PATH": os.defpath,
    }
    NotebookClient(notebook, timeout=60, kernel_name="python3").execute(cwd=str(directory), env=env)
    return notebook


def shown(cell: Any) -> str:
    """All that a cell shows, in every form."""
    return "\n".join(
        str(part)
        for output in cell.outputs
        for part in (output.get("text", ""), *output.get("data", {}).values())
    )


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_is_stored_without_outputs(path: Path) -> None:
    for cell in code(load(path)):
        assert [] == cell.outputs
        assert cell.execution_count is None


@pytest.mark.slow
@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_runs_from_top_to_bottom(path: Path, tmp_path: Path) -> None:
    notebook = run(path, tmp_path)

    outputs = [output for cell in code(notebook) for output in cell.outputs]
    assert [] == [output for output in outputs if output.output_type == "error"]
    assert [] == [output.text for output in outputs if output.get("name") == "stderr"]
    everything = "\n".join(shown(cell) for cell in code(notebook))
    assert "no model is thinking" in everything
    assert "<table" in everything
    [ledger] = tmp_path.glob(".madrox/audit/*/*.jsonl")
    assert '"kind":"run.closed"' in ledger.read_text().splitlines()[-1]


@pytest.mark.slow
def test_the_first_notebook_shows_the_tree_and_says_that_no_model_is_thinking(tmp_path: Path) -> None:
    cells = {cell.source: cell for cell in code(run(NOTEBOOKS[0], tmp_path))}

    [tree] = [cell for source, cell in cells.items() if source == "%madrox tree"]
    assert "lead  ○ idle  architect" in shown(tree)
    assert "application/vnd.jupyter.widget-view+json" in tree.outputs[0].data
    [answer] = [cell for source, cell in cells.items() if source.startswith("reply = ")]
    assert "Rehearsal: no model is thinking." in answer.outputs[-1].data["text/markdown"]
    [braces] = [cell for source, cell in cells.items() if "{goal}" in source]
    assert "We are going to build a bookmark service." in shown(braces)
    assert '{"first": "..."' in shown(braces)


@pytest.mark.slow
def test_the_second_notebook_ends_with_a_family_whose_answers_came_back(tmp_path: Path) -> None:
    cells = {cell.source: cell for cell in code(run(NOTEBOOKS[1], tmp_path))}

    [tree] = [cell for source, cell in cells.items() if source == "%madrox tree"]
    assert "├─ api" in shown(tree)
    assert "└─ web" in shown(tree)
    [waited] = [cell for source, cell in cells.items() if source == "%madrox wait lead"]
    assert "web answers [lead.m2]: The page lists all items." in shown(waited)
    [stopped] = [cell for source, cell in cells.items() if source == "%madrox stop lead --tree"]
    assert "['web', 'api', 'lead']" in shown(stopped)
