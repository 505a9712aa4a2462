"""What goes wrong around a page: cells run again and again, two tabs, one of which sleeps."""

from __future__ import annotations

from typing import Any

import pytest

pytestmark = [pytest.mark.browser, pytest.mark.slow, pytest.mark.xdist_group("browser")]

MINUTE = 60_000
OPEN = """%load_ext madrox_nb
from madrox_nb import Madrox
m = Madrox()
lead = %madrox spawn lead --harness rehearsal
m"""
AGAIN = """import comm, threading
from IPython.display import display
def count(): return len(comm.get_comm_manager().comms), threading.active_count()
display(m); before = count()
for _ in range(15): display(m)
print("leaks:", [after - was for after, was in zip(count(), before)])"""


def test_a_cell_that_is_run_fifteen_times_leaves_no_comms_and_no_threads(notebook: Any, page: Any) -> None:
    notebook.open_cells(OPEN, AGAIN, "m.close()", name="again.ipynb")
    notebook.run(0)
    page.locator(".madrox").first.wait_for(timeout=MINUTE)
    notebook.run(1)
    page.wait_for_function(
        "window.jupyterapp.shell.currentWidget.content.widgets[1].outputArea.node.innerText.includes('leaks')",
        timeout=MINUTE,
    )

    assert "leaks: [0, 0]" in notebook.text(1)
    notebook.run(2)


def test_two_tabs_see_the_same_and_one_that_slept_catches_up(notebook: Any, page: Any) -> None:
    notebook.open_cells(OPEN, "m.spawn('later', harness='rehearsal')", "m.close()", name="tabs.ipynb")
    notebook.run(0)
    page.locator(".mx-graph [data-agent=lead]").first.wait_for(timeout=MINUTE)
    page.evaluate("window.jupyterapp.commands.execute('docmanager:save')")
    other = page.context.browser.new_context().new_page()
    other.goto(f"{page.url}?token={notebook.lab.token}")
    other.locator(".mx-graph [data-agent=lead]").first.wait_for(timeout=MINUTE)
    sleep = other.context.new_cdp_session(other)
    sleep.send("Page.setWebLifecycleState", {"state": "frozen"})

    notebook.run(1)
    page.locator(".mx-graph [data-agent=later]").first.wait_for(timeout=MINUTE)
    sleep.send("Page.setWebLifecycleState", {"state": "active"})
    other.bring_to_front()
    other.locator(".mx-graph [data-agent=later]").first.wait_for(timeout=MINUTE)
    notebook.run(2)


EVIL = r"""import time
evil = "<script>window.pwned = 1</script><img src=x onerror='window.pwned = 1'> \u202eturned \x1b[31mred"
m.send("lead", "/say " + evil + " x" * 5_500_000)
began = time.monotonic()
reply = m.send("lead", "/say the last word")"""


def test_what_an_agent_writes_runs_nothing_and_ten_megabytes_freeze_nothing(notebook: Any, page: Any) -> None:
    notebook.open_cells(OPEN, EVIL, "m.close()", name="evil.ipynb")
    notebook.run(0)
    talk = page.locator(".mx-talk").first
    talk.wait_for(timeout=MINUTE)
    notebook.run(1)
    talk.get_by_text("the last word", exact=True).first.wait_for(timeout=MINUTE * 2)

    assert None is page.evaluate("window.pwned ?? null")
    assert 0 == talk.locator("script, img").count()
    assert "‹U+202E›turned" in talk.inner_text()
    assert len(talk.inner_text()) < 100_000
    notebook.run(2)
