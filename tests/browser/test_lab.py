"""A person's eyes: the first notebook in a real JupyterLab."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest
from groups import PICTURES

pytestmark = [pytest.mark.browser, pytest.mark.slow]

NOTEBOOKS = Path(__file__).parents[2] / "notebooks"
ROW = ".mx-row"

SPAWN = """%load_ext madrox_nb
lead = %madrox spawn lead --role architect --harness rehearsal
kid = %madrox spawn kid --role debugger --harness rehearsal --parent lead
%madrox tree"""
LONG = "%madrox send lead /slow 400 0.05"


def pictures(page: Any, name: str) -> None:
    if PICTURES:
        page.screenshot(path=str(Path(PICTURES) / f"{name}.png"))


def test_the_first_notebook_runs_to_its_end_and_shows_the_dashboard(notebook: Any, page: Any) -> None:
    notebook.open(Path(shutil.copy(NOTEBOOKS / "01-first-agent.ipynb", notebook.place)))
    notebook.run_all()

    page.wait_for_selector(".mx-graph [data-agent=lead]", timeout=60_000)
    page.wait_for_function(
        """() => window.jupyterapp.shell.currentWidget.content.widgets.every(
                 cell => cell.model.type !== 'code' || cell.model.executionCount)""",
        timeout=60_000,
    )
    whole = page.inner_text(".jp-NotebookPanel:not(.lm-mod-hidden)")

    assert "no model is thinking" in whole
    assert 0 == page.locator(".jp-RenderedText[data-mime-type='application/vnd.jupyter.stderr']").count()
    assert 0 == page.locator(".jp-OutputArea-output >> text=Traceback").count()
    pictures(page, "first-notebook")


def test_the_tree_changes_while_a_cell_blocks_and_its_button_interrupts(notebook: Any, page: Any) -> None:
    notebook.open_cells(SPAWN, LONG, "lead.last.outcome")
    notebook.run(0)
    page.wait_for_selector(f"{ROW} >> text=kid", timeout=60_000)
    assert "idle" in page.locator(ROW).first.inner_text()

    notebook.run(1)
    page.wait_for_selector(".mx-row .s-busy", timeout=60_000)
    pictures(page, "busy")
    page.locator(ROW).first.get_by_role("button", name="Interrupt").click()
    page.wait_for_function("document.querySelector('.mx-row').innerText.includes('idle')", timeout=60_000)

    notebook.run(2)
    page.wait_for_function(
        "window.jupyterapp.shell.currentWidget.content.widgets[2].outputArea.node.innerText.includes('interrupted')",
        timeout=60_000,
    )


def test_the_tree_follows_the_theme_and_typing_in_it_harms_no_cell(notebook: Any, page: Any) -> None:
    notebook.open_cells(SPAWN, "1 + 1", name="theme.ipynb")
    notebook.run(0)
    page.wait_for_selector(f"{ROW} >> text=kid", timeout=60_000)
    light = page.evaluate("getComputedStyle(document.querySelector('.madrox')).backgroundColor")
    pictures(page, "tree-light")
    page.locator("[role=tree]").first.focus()
    page.keyboard.type("add")
    assert 2 == page.evaluate("window.jupyterapp.shell.currentWidget.content.widgets.length")

    notebook.theme("JupyterLab Dark")
    page.wait_for_function(
        "light => getComputedStyle(document.querySelector('.madrox')).backgroundColor !== light", arg=light
    )
    pictures(page, "tree-dark")
    notebook.theme("JupyterLab Light")


FAMILY = """%load_ext madrox_nb
lead = %madrox spawn lead --role architect --harness rehearsal
%madrox tree"""
WORK = """%%madrox send lead --no-wait
/spawn api backend_developer
/spawn web frontend_developer
/spawn checks testing_specialist parent_instance_id=api
/post api /usage 5200 900\\n/slow 400 0.05
/post checks /tool get_pending_replies {"wait_timeout": 40}
/post web /say The page lists all items."""


def test_a_family_at_work_is_seen_as_a_tree(notebook: Any, page: Any) -> None:
    notebook.open_cells(FAMILY, WORK, name="family.ipynb")
    notebook.run(0)
    page.wait_for_selector(f"{ROW} >> text=lead", timeout=60_000)
    notebook.run(1)
    page.wait_for_selector(f"{ROW} >> text=checks", timeout=60_000)
    page.wait_for_function("document.querySelectorAll('.mx-row .s-busy').length >= 2", timeout=60_000)

    tree = page.locator(".madrox").first
    assert ["1", "2", "3", "2"] == [
        row.get_attribute("aria-level") for row in tree.get_by_role("treeitem").all()
    ]
    if PICTURES:
        tree.screenshot(path=str(Path(PICTURES) / "family.png"))
