"""The same widgets in Jupyter Notebook 7, which is made of JupyterLab's parts, with a page a notebook."""

from __future__ import annotations

from typing import Any

import pytest
from groups import PICTURES

from .test_stop import BLOCK, KERNEL, MINUTE, OPEN

pytestmark = [pytest.mark.browser, pytest.mark.slow]

SPAWNED = "m.spawn('kid', parent='lead'); m"
COLOUR = "getComputedStyle(document.querySelector('.madrox')).backgroundColor"


@pytest.mark.own_page  # it is not JupyterLab's
def test_the_dashboard_acts_while_a_cell_blocks_and_follows_the_theme(seven: Any, page: Any) -> None:
    notebook = seven.open_cells(OPEN, BLOCK, SPAWNED, "m.close()", name="seven.ipynb")
    notebook.run(0)
    page.locator(".mx-row .mx-g.s-busy").wait_for(timeout=MINUTE)
    notebook.run(1)
    page.wait_for_function(f"{KERNEL}.status === 'busy'", timeout=MINUTE)
    page.locator(".mx-row").first.get_by_role("button", name="Interrupt").click()
    page.wait_for_function("document.querySelector('.mx-row').innerText.includes('idle')", timeout=MINUTE)
    notebook.until_done(1)
    assert "went on to its end: idle" in notebook.text(1)

    notebook.run(2)
    page.locator(".mx-graph [data-agent=kid]").wait_for(timeout=MINUTE)
    light = page.evaluate(COLOUR)
    notebook.theme("JupyterLab Dark")
    page.wait_for_function(f"light => {COLOUR} !== light", arg=light)
    if PICTURES:
        page.screenshot(path=f"{PICTURES}/notebook-seven.png")
    notebook.theme("JupyterLab Light")
    notebook.run(3)
    page.locator(".madrox").first.wait_for(state="detached", timeout=MINUTE)
