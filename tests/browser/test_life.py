"""A view's whole life on a page: drawn again and again, cleared, deleted, closed and opened anew."""

from __future__ import annotations

import json
from typing import Any

import pytest

from .test_stop import KERNEL, MINUTE

pytestmark = [pytest.mark.browser, pytest.mark.slow]

OPEN = """%load_ext madrox_nb
from madrox_nb import Madrox
m = Madrox()
lead = %madrox spawn lead --harness rehearsal
_ = lead.send("/say hello")"""
COUNT = """import comm, json, threading
from madrox_nb.pump import PUMP
told = m.widget()._wanted
threads = [each.name for each in threading.enumerate()]  # two answer, once there is something to answer
print(json.dumps({"comms": len(comm.get_comm_manager().comms),
    "threads": sum(not name.startswith("madrox-answers") for name in threads),
    "pumped": len(PUMP._beats), "topics": sorted(told.seqs)}))"""
VIEW = 500
"""Nodes of one view, about."""
NOTEBOOK = "window.jupyterapp.shell.currentWidget.content"
DELETE = "window.jupyterapp.commands.execute('notebook:delete-cell')"
IDLE = f"{KERNEL}.status === 'idle'"
CELL = "window.jupyterapp.shell.currentWidget.content.widgets"


def counted(notebook: Any, page: Any) -> dict[str, Any]:
    """What the kernel has of views."""
    page.evaluate(f"() => {{ {CELL}[1].model.clearExecution() }}")
    notebook.run(1)
    page.wait_for_function(f"{CELL}[1].outputArea.node.innerText.includes('topics')", timeout=MINUTE)
    return dict(json.loads(notebook.text(1)))


def held(page: Any) -> dict[str, int]:
    """What the page holds once nothing is left that could be collected."""
    probe = page.context.new_cdp_session(page)
    probe.send("Performance.enable")
    for _ in range(3):
        probe.send("HeapProfiler.collectGarbage")
    found = {each["name"]: int(each["value"]) for each in probe.send("Performance.getMetrics")["metrics"]}
    probe.detach()
    return {name: found[name] for name in ("Nodes", "JSEventListeners")}


def draw(notebook: Any, page: Any, times: int = 1) -> None:
    """Run the cell so many times; each view is there, and shows a terminal, before the next one comes."""
    for _ in range(times):
        page.evaluate("document.querySelectorAll('.madrox').forEach(each => each.dataset.old = '')")
        notebook.run(2)
        page.locator(".madrox:not([data-old]) [data-agent=lead]").first.wait_for(timeout=MINUTE)
        page.wait_for_function("document.querySelectorAll('.madrox').length === 1", timeout=MINUTE)
        page.locator(".madrox [data-tab=terminal]").click()
        page.locator(".madrox [data-tab=terminal][aria-selected=true]").wait_for(timeout=MINUTE)


def gone(page: Any) -> None:
    page.locator(".madrox").first.wait_for(state="detached", timeout=MINUTE)


@pytest.mark.own_page  # what it holds is counted
def test_a_cell_that_is_run_fifteen_times_leaves_nothing_behind(notebook: Any, page: Any) -> None:
    notebook.open_cells(OPEN, COUNT, "m", "m.close()", name="fifteen.ipynb")
    notebook.run(0)
    draw(notebook, page, 3)
    before = counted(notebook, page)
    draw(notebook, page)
    there = held(page)
    draw(notebook, page, 15)
    now = held(page)

    assert before == counted(notebook, page)
    assert "terminal:lead" in before["topics"]
    assert all(now[name] - there[name] < VIEW for name in now), (there, now)
    notebook.run(3)


def test_a_view_that_is_cleared_or_deleted_is_told_nothing_more_and_a_closed_page_comes_back(
    notebook: Any, page: Any
) -> None:
    notebook.open_cells(OPEN, COUNT, "m", "m", "m.close()", name="cleared.ipynb")
    notebook.run(0)
    draw(notebook, page)
    before = counted(notebook, page)
    page.evaluate(f"() => {{ {CELL}[2].model.clearExecution() }}")
    gone(page)
    assert before | {"topics": ["rows"]} == counted(notebook, page)

    draw(notebook, page)
    assert before == counted(notebook, page)
    page.evaluate(f"() => {{ {NOTEBOOK}.activeCellIndex = 2; {DELETE} }}")
    gone(page)
    assert before | {"topics": ["rows"]} == counted(notebook, page)

    draw(notebook, page)
    page.evaluate("() => window.jupyterapp.commands.execute('docmanager:save')")
    page.wait_for_function("!window.jupyterapp.shell.currentWidget.context.model.dirty", timeout=MINUTE)
    page.evaluate("() => { window.jupyterapp.shell.currentWidget.close() }")
    gone(page)
    page.evaluate(
        "path => { window.jupyterapp.commands.execute('docmanager:open', { path }) }", notebook.name
    )
    page.locator(".madrox [data-agent=lead]").first.wait_for(timeout=MINUTE)
    page.wait_for_function(IDLE, timeout=MINUTE)
    assert before["comms"] == counted(notebook, page)["comms"]
    notebook.run(3)
