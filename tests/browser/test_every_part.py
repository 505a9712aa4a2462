"""Every part for every person: no fault that axe knows, forced colours, no motion where none is wanted."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from conftest import Notebook
from groups import FLAGS, PICTURES, absent
from test_whole_dashboard import AXE, card

pytestmark = [pytest.mark.browser, pytest.mark.slow, pytest.mark.xdist_group("browser")]

MINUTE = 60_000
TESTS = Path(__file__).parents[1]
OPEN = f"""%load_ext madrox_nb
import sys
sys.path.append({str(TESTS)!r})
import spenders
from pathlib import Path
from madrox_nb import Madrox
Path("templates").mkdir(exist_ok=True)
_ = Path("templates/three.md").write_text('''---
description: Three phases, one of which fails.
members:
  - {{name: head, role: architect}}
phases:
  - {{name: plan, who: head, what: "/write plan.md the plan", deliverables: [plan.md]}}
  - {{name: build, who: head, needs: [plan], what: "/fail no room", deliverables: [a.py]}}
  - {{name: tell, who: head, needs: [build], what: "Tell it."}}
---
''')
m = Madrox(max_usd=10)
lead = %madrox spawn lead --role architect --harness costly --usd 8
m"""
EDIT = {"file_path": "service.py", "old_string": "", "new_string": "order.pay_back(amount)"}
WORK = rf"""%%madrox send lead --no-wait
/spawn api backend_developer
/spawn web frontend_developer
/spawn checks testing_specialist parent_instance_id=api
/spawn slow data_analyst
/spawn rest documentation_writer
/usage 2100 100
/post web /usage 900 100\n/say A **list** of items:\n\n| item | price |\n|---|---|\n| `pen` | 2 |\n/tool get_main_instance_id
/post api /say I look.\n/approve-needed Edit {json.dumps(EDIT)}
/post checks /usage 300 30\n/crash 1
/post slow /slow 40000 0.05
/say All is given out."""
LATER = """%madrox suspend rest
%madrox team three --harness rehearsal --prefix t- --task "a clock" --no-wait
sh = %madrox spawn sh --harness shell --permissions all
m.send("sh", r"printf '\\033[31mred\\033[0m \\033[32mgreen\\033[0m \\033[94mblue\\033[0m \\033[7mturned\\033[0m\\n'")
None"""
EMPTY = """nobody = Madrox()
nobody"""
CLOSE = "nobody.close(); m.close()"

RULES = "{resultTypes: ['violations'], runOnly: ['wcag2a', 'wcag2aa', 'wcag21a', 'wcag21aa', 'wcag22aa', 'best-practice']}"


@pytest.fixture(scope="module")
def page(chromium: str) -> Iterator[Any]:
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=FLAGS, headless=True)
        yield browser.new_page(viewport={"width": 1500, "height": 1400})
        browser.close()


@pytest.fixture(scope="module")
def crew(lab: Any, page: Any) -> Iterator[Notebook]:
    """A dashboard over agents in every state, with a team, a terminal, costs and an open question."""
    notebook = Notebook(page, lab).open_cells(OPEN, WORK, LATER, EMPTY, CLOSE, name="every-part.ipynb")
    notebook.run(0)
    card(page, "lead").wait_for(timeout=MINUTE)
    notebook.run(1)
    page.locator(".mx-needs").get_by_text("asks: Edit").wait_for(timeout=MINUTE)
    page.locator(".mx-needs").get_by_text("failed").first.wait_for(timeout=MINUTE)
    notebook.run(2)
    page.wait_for_function(DONE, arg=2, timeout=MINUTE)
    notebook.fit(1100)
    yield notebook
    page.emulate_media(forced_colors="none", reduced_motion="no-preference")
    notebook.run(4)
    page.wait_for_function(DONE, arg=4, timeout=MINUTE)


DONE = "i => window.jupyterapp.shell.currentWidget.content.widgets[i].model.executionCount"


class Walk:
    """Goes to each part of the dashboard in turn."""

    def __init__(self, page: Any) -> None:
        self.page = page
        self.view = page.locator(".madrox").first

    def tab(self, name: str, shown: str) -> None:
        self.view.get_by_role("tab", name=re.compile(f"^{name}")).first.click()
        self.view.locator(shown).first.wait_for(timeout=MINUTE)

    def button(self, name: str) -> None:
        self.view.get_by_role("button", name=name, exact=True).first.click()

    def choose(self, agent: str) -> None:
        self.view.locator(f"[data-agent={agent}]").first.click()

    def parts(self) -> Iterator[str]:
        """The name of each part, while it is shown."""
        yield from self._agents()
        yield from self._one_agent()
        yield from self._dock()
        yield from self._asked()
        yield from self._past()

    def _agents(self) -> Iterator[str]:
        self.button("List")
        yield "list"
        self.button("Graph")
        yield "graph"
        self.button("Filter")
        self.view.get_by_role("menu", name="Filter").wait_for()
        yield "filter"
        self.page.keyboard.press("Escape")

    def _one_agent(self) -> Iterator[str]:
        self.choose("web")
        self.tab("Conversation", ".mx-talk table")
        yield "conversation"
        self.tab("Inbox", ".mx-mail [role=listitem]")
        yield "inbox"
        self.tab("Details", ".mx-dl dd")
        yield "details"
        self.tab("Terminal", ".mx-screen .xterm-rows")
        yield "wire"
        self.choose("sh")
        self.page.wait_for_function(
            "() => document.querySelector('.mx-screen .xterm-rows')?.innerText.includes('turned')"
        )
        yield "terminal"
        self.tab("Conversation", ".mx-talk")

    def _dock(self) -> Iterator[str]:
        self.tab("Timeline", ".mx-time canvas")
        yield "timeline"
        self.tab("Costs", ".mx-plot canvas")
        yield "costs"
        self.tab("Approvals", ".mx-appr .eff")
        yield "approvals"
        self.button("Deny…")
        yield "deny"
        self.page.keyboard.press("Escape")
        self.tab("Team run", ".mx-ph")
        yield "team"
        self.tab("Timeline", ".mx-time canvas")

    def _asked(self) -> Iterator[str]:
        for form in ("Spawn", "Broadcast"):
            self.button(form)
            self.view.get_by_role("dialog").wait_for()
            yield form.lower()
            self.page.keyboard.press("Escape")
        self.button("Stop all…")
        self.view.get_by_role("alertdialog").wait_for()
        yield "confirm"
        self.button("Keep running")

    def _past(self) -> Iterator[str]:
        self.page.locator(".mx-track").first.press("Home")
        for _ in range(12):
            self.page.keyboard.press("ArrowRight")
        self.page.locator(".madrox.is-past .mx-note").first.wait_for(timeout=MINUTE)
        yield "past"
        self.button("Back to live")
        self.page.wait_for_function(
            "() => !document.querySelector('.madrox').classList.contains('is-past')", timeout=MINUTE
        )


def picture(page: Any, name: str) -> None:
    if PICTURES:
        page.locator(".madrox").first.screenshot(path=str(Path(PICTURES) / f"{name}.png"))


def faults(page: Any, where: str, root: str = ".madrox") -> list[str]:
    """What axe calls wrong below `root`, whatever its impact."""
    ran = page.evaluate(f"root => axe.run(document.querySelector(root), {RULES})", root)
    return [
        f"{where}: {fault['impact']} {fault['id']} {json.dumps([node['target'] for node in fault['nodes']][:3])}"
        for fault in ran["violations"]
    ]


@pytest.mark.parametrize("theme", ["Light", "Dark"])
@pytest.mark.parametrize("width", [1100, 700])
def test_axe_finds_no_fault_in_any_part(crew: Notebook, page: Any, theme: str, width: int) -> None:
    if not AXE.exists():
        absent("browser", "axe-core", "npm ci --prefix widgets")
    page.add_script_tag(path=str(AXE))
    crew.theme(f"JupyterLab {theme}")
    crew.fit(width)
    found = []
    for part in Walk(page).parts():
        picture(page, f"{part}-{width}-{theme.lower()}")
        found += faults(page, f"{part} {width} {theme.lower()}")
    crew.theme("JupyterLab Light")
    crew.fit(1100)

    assert [] == found
