"""What a notebook keeps of a view that a person looks at: saved in the middle of a run, and at its end."""

from __future__ import annotations

import json
from typing import Any

import pytest
from worlds import WIDGET_VIEW

from .test_stop import KERNEL, MINUTE

pytestmark = [pytest.mark.browser, pytest.mark.slow]

OPEN = """%load_ext madrox_nb
from madrox_nb import Madrox
m = Madrox()
lead = %madrox spawn lead --harness rehearsal
m.widget("tree")"""
HEAR = f"""() => {{ window.kept = []; {KERNEL}.anyMessage.connect((_, {{msg}}) => {{
    const said = msg.content?.data?.content;
    if (said?.k === 'answer' && said.data?.model) window.kept.push(said.data.data['text/plain']) }}) }}"""
CLEAN = "!window.jupyterapp.shell.currentWidget.context.model.dirty"


def saved(notebook: Any, page: Any) -> dict[str, Any]:
    """What the file has of the first cell once it is saved."""
    page.evaluate("() => window.jupyterapp.commands.execute('docmanager:save')")
    page.wait_for_function(CLEAN, timeout=MINUTE)
    [*_, output] = json.loads(notebook.path.read_text())["cells"][0]["outputs"]
    return {kind: "".join(told) for kind, told in output["data"].items()}


@pytest.mark.own_page  # it is loaded again
def test_a_notebook_keeps_what_there_is_when_it_is_saved_and_a_reloaded_page_gives_way_at_the_end(
    notebook: Any, page: Any
) -> None:
    notebook.open_cells(OPEN, "m.spawn('kid', harness='rehearsal')", "m.close()", name="kept.ipynb")
    page.evaluate(HEAR)
    notebook.run(0)
    page.locator(".mx-row").first.wait_for(timeout=MINUTE)
    page.get_by_role("searchbox").first.fill("typed")
    notebook.run(1)
    page.wait_for_function("window.kept.some(text => text.includes('kid'))", timeout=MINUTE)
    kept = saved(notebook, page)
    assert "kid" in kept["text/plain"]
    assert "kid" in kept["text/html"]
    assert WIDGET_VIEW in kept
    assert "typed" == page.get_by_role("searchbox").first.input_value()

    page.reload()
    page.locator(".mx-row", has_text="kid").first.wait_for(timeout=MINUTE)
    notebook.run(2)
    page.locator(".madrox").first.wait_for(state="detached", timeout=MINUTE)
    assert "stopped" in notebook.text(0)
    kept = saved(notebook, page)
    assert {"text/plain", "text/html"} == kept.keys()
    assert "stopped" in kept["text/plain"]
