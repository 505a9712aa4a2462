"""A person acts in the page, in a real JupyterLab: answers agents, spawns one, stops several."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from groups import PICTURES, absent
from lab import QUICK_EARS, QUICK_HEART

from .axe import AXE, serious

pytestmark = [pytest.mark.browser, pytest.mark.slow]

BEGIN = f"""{QUICK_HEART}
%load_ext madrox_nb
lead = %madrox spawn lead --role architect --harness rehearsal
api = %madrox spawn api --harness rehearsal --parent lead --permissions ask
text = "def refund(order):\\n    if order.paid:\\n        return order.total\\n    return 0\\n"
_ = (api.workspace / "service.py").write_text(text)
%madrox"""
EDIT = {"file_path": "service.py", "old_string": "order.total", "new_string": "order.total - order.refunded"}
ASK = f"%madrox send api --no-wait /approve-needed Edit {json.dumps(EDIT)}"
RUN = "%madrox send api --no-wait /approve-needed Bash " + json.dumps({"command": "rm -r build && make all"})
LAST = "window.jupyterapp.shell.currentWidget.content.widgets[3].outputArea.node.innerText"
WAIT = 60_000


class Eyes:
    """Looks at the view: keeps pictures, if somebody wants them, and what axe says of each."""

    def __init__(self, page: Any) -> None:
        self.page, self.found = page, list[str]()

    def picture(self, name: str) -> None:
        if AXE.exists():
            self.found += serious(self.page, name)
        if PICTURES:
            self.page.locator(".madrox").first.screenshot(path=str(Path(PICTURES) / f"{name}.png"))

    def found_nothing(self) -> None:
        """No serious fault in any picture. Comes last, because axe may be absent."""
        if not AXE.exists():
            absent("browser", "axe-core", "npm ci --prefix widgets")
        assert [] == self.found


@pytest.fixture
def eyes(page: Any) -> Eyes:
    return Eyes(page)


def tab(page: Any, name: str) -> None:
    page.get_by_role("tab", name=name).first.click()


def said(page: Any, text: str) -> None:
    page.wait_for_function(
        "text => document.querySelector('.madrox').innerText.includes(text)", arg=text, timeout=WAIT
    )


def width(page: Any, pixels: int) -> None:
    """Let the view itself be so wide."""
    page.evaluate("w => { document.querySelector('.madrox').style.width = `${w}px` }", pixels)


@pytest.mark.own_page  # it is loaded again
def test_a_person_answers_spawns_stops_and_finds_all_of_it_after_a_reload(
    notebook: Any, page: Any, eyes: Eyes
) -> None:
    page.set_viewport_size({"width": 1700, "height": 1300})
    notebook.open_cells(BEGIN, ASK, RUN, "api.wait().text", name="acts.ipynb")
    notebook.run(0)
    page.wait_for_selector(".madrox [data-agent=api]", timeout=WAIT)
    width(page, 1100)
    _allows_an_edit(notebook, page, eyes)
    _denies_a_command(notebook, page, eyes)
    _spawns(notebook, page, eyes)
    _stops_a_subtree(page, eyes)

    page.evaluate("() => window.jupyterapp.commands.execute('docmanager:save')")
    page.add_init_script(QUICK_EARS)
    page.reload()
    page.wait_for_selector(".madrox [data-agent=money]", timeout=90_000)
    said(page, "stopped")
    tab(page, "Approvals")
    said(page, "allowed once")
    said(page, "“use the cache”")

    page.evaluate("() => { window.jupyterapp.shell.currentWidget.sessionContext.session.kernel.restart() }")
    said(page, "Disconnected.")
    assert page.get_by_role("button", name="Spawn", exact=True).first.is_disabled()
    eyes.picture("acts-disconnected")
    eyes.found_nothing()


def _allows_an_edit(notebook: Any, page: Any, eyes: Eyes) -> None:
    notebook.run(1)
    said(page, "Needs you")
    tab(page, "Approvals")
    page.wait_for_selector(".mx-diff .a", timeout=WAIT)
    assert "return order.total - order.refunded" in page.locator(".mx-diff .a").inner_text()
    assert "return order.total" in page.locator(".mx-diff .d").inner_text()
    eyes.picture("approvals-1100-light")
    page.get_by_role("button", name="Allow once").click()
    said(page, "Allowed once")
    notebook.run(3)
    page.wait_for_function(
        "window.jupyterapp.shell.currentWidget.content.widgets[3].outputArea.node.innerText.includes('allow')"
    )


def _denies_a_command(notebook: Any, page: Any, eyes: Eyes) -> None:
    notebook.run(2)
    page.wait_for_selector(".mx-appr .it:not(.old)", timeout=WAIT)
    page.locator(".mx-appr .it:not(.old)").first.click()
    page.wait_for_selector(".mx-diff pre")
    assert "rm -r build && make all" == page.locator(".mx-diff pre").first.inner_text()
    page.get_by_role("button", name="Deny…").click()
    page.get_by_label("Why not").fill("use the cache")
    width(page, 700)
    notebook.theme("JupyterLab Dark")
    eyes.picture("approvals-700-dark")
    width(page, 1100)
    eyes.picture("approvals-1100-dark")
    notebook.theme("JupyterLab Light")
    width(page, 700)
    eyes.picture("approvals-700-light")
    width(page, 1100)
    page.get_by_role("button", name="Deny", exact=True).click()
    said(page, "Denied: “use the cache”")
    notebook.run(3)
    page.wait_for_function(f"{LAST}.includes('use the cache')")


def _spawns(notebook: Any, page: Any, eyes: Eyes) -> None:
    page.get_by_role("button", name="Spawn", exact=True).first.click()
    form = page.get_by_role("dialog", name="Spawn an agent")
    page.wait_for_function("document.querySelector('.mx-form select').options.length > 2", timeout=WAIT)
    form.get_by_label("Name").fill("you")
    form.get_by_role("button", name="Spawn").click()
    page.wait_for_selector(".mx-form [role=alert]:not([hidden])")
    assert "Not spawned: 'you' means somebody else here" in form.get_by_role("alert").inner_text()
    form.get_by_label("Name").fill("money")
    form.get_by_label("Role").select_option("debugger")
    form.get_by_label("Harness").select_option("rehearsal")
    form.get_by_label("Under").select_option("lead")
    assert "%madrox spawn money --role debugger --harness rehearsal --parent lead" == (
        form.locator("pre").inner_text()
    )
    eyes.picture("spawn-1100-light")
    notebook.theme("JupyterLab Dark")
    eyes.picture("spawn-1100-dark")
    notebook.theme("JupyterLab Light")
    form.get_by_role("button", name="Spawn").click()
    page.wait_for_selector(".madrox [data-agent=money]", timeout=WAIT)
    form.wait_for(state="detached")


def _stops_a_subtree(page: Any, eyes: Eyes) -> None:
    page.locator(".madrox [data-agent=lead]").first.click()
    page.get_by_role("button", name="Stop… lead").click()
    strip = page.get_by_role("alertdialog")
    assert "Stop lead and the 2 below it?" in strip.inner_text()
    assert "%madrox stop lead --tree --force" in strip.inner_text()
    assert "Keep running" == page.evaluate("document.activeElement.textContent")
    eyes.picture("stop-1100-light")
    strip.get_by_role("button", name="Stop 3 agents").click()
    page.wait_for_function(
        "document.querySelectorAll('.madrox .mx-card .s-stopped').length === 3", timeout=WAIT
    )


CLOSE = "from madrox_nb.magics.settings import current; current()._run.close()"
TEAM = """---
description: Three who build a small thing.
members:
  - {name: head, role: architect}
  - {name: hand, role: backend_developer}
phases:
  - {name: plan, who: head, what: "/write plan.md the plan", deliverables: [plan.md]}
  - {name: build, who: hand, needs: [plan], what: "/fail no room", deliverables: [a.py, b.py]}
  - {name: tell, who: head, needs: [build], what: "Tell it."}
---
"""
TEAM_RUN = f"""%load_ext madrox_nb
from pathlib import Path
Path("templates").mkdir(exist_ok=True)
_ = Path("templates/duo.md").write_text({TEAM!r})
%madrox team duo --task "a clock" --harness rehearsal --no-wait
%madrox view team"""


def test_the_run_of_a_team_is_seen_tried_again_and_frozen_at_its_end(
    notebook: Any, page: Any, eyes: Eyes
) -> None:
    page.set_viewport_size({"width": 1700, "height": 1300})
    notebook.open_cells(TEAM_RUN, CLOSE, name="team.ipynb")
    notebook.run(0)
    page.wait_for_selector(".mx-ph", timeout=WAIT)
    said(page, "Retry hand")
    assert ["done", "failed", "skipped"] == [
        each.inner_text().partition(",")[0] for each in page.locator(".mx-ph header .mx-2").all()
    ]
    width(page, 1100)
    eyes.picture("team-1100-light")
    width(page, 700)
    notebook.theme("JupyterLab Dark")
    eyes.picture("team-700-dark")
    notebook.theme("JupyterLab Light")
    page.get_by_role("button", name="Retry hand").click()
    said(page, "2. try")

    notebook.run(1)
    page.wait_for_selector(".madrox", state="detached", timeout=WAIT)
    frozen = notebook.text(0)
    assert "duo.1: " in frozen
    assert "plan.md (head)" in frozen
    page.evaluate("() => window.jupyterapp.commands.execute('docmanager:save')")
    page.wait_for_function("!window.jupyterapp.shell.currentWidget.context.model.dirty")
    [*_, kept] = json.loads(notebook.path.read_text())["cells"][0]["outputs"]
    assert {"text/plain", "text/html"} == kept["data"].keys()
    eyes.found_nothing()
