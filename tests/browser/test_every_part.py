"""Every part for every person: no fault that axe knows, forced colours, no motion where none is wanted."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from groups import PICTURES
from lab import Notebook

from .axe import faults
from .test_whole_dashboard import card

pytestmark = [
    pytest.mark.browser,
    pytest.mark.slow,
    pytest.mark.xdist_group("every part"),
    pytest.mark.timeout(600),
]

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
/post web /usage 900 100\n/say | item | price |\\n|---|---|\\n| `pen` | 2 |\n/tool get_instance_tree
/post api /say I look.\n/approve-needed Edit {json.dumps(EDIT)}
/post checks /usage 300 30\n/crash 1
/post slow /slow 40000 0.05
/say All is given out."""
LATER = """%madrox suspend rest
%madrox team three --harness rehearsal --prefix t- --task "a clock" --no-wait
sh = %madrox spawn sh --harness shell --permissions all
m.send("sh", r"printf '\\033[31mred \\033[32mgreen \\033[94mblue\\033[0m \\033[7mturned\\033[0m\\n'")
None"""
EMPTY = """%load_ext madrox_nb
from madrox_nb import Madrox
m = Madrox()
m"""
CLOSE = "m.close()"
TALK = r"m.send('lead', '/post slow Look here.\n/post api And there.')"

TAGS = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]


@pytest.fixture(scope="module")
def page(browser: Any) -> Iterator[Any]:
    with browser.new_context(viewport={"width": 1500, "height": 1400}) as context:
        yield context.new_page()


@pytest.fixture(scope="module")
def crew(lab: Any, page: Any) -> Iterator[Notebook]:
    """A dashboard over agents in every state, with a team, a terminal, costs and an open question."""
    notebook = Notebook(page, lab).open_cells(OPEN, WORK, LATER, TALK, CLOSE, name="every-part.ipynb")
    notebook.run(0)
    card(page, "lead").wait_for(timeout=MINUTE)
    notebook.run(1)
    page.locator(".mx-needs").get_by_text("asks: Edit").wait_for(timeout=MINUTE)
    page.locator(".mx-needs").get_by_text("failed").first.wait_for(timeout=MINUTE)
    notebook.run(2)
    notebook.until_done(2)
    notebook.fit(1100)
    yield notebook
    page.emulate_media(forced_colors="none", reduced_motion="no-preference")
    notebook.run(4)
    notebook.until_done(4)


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
        self.choose("checks")
        self.tab("Terminal", ".mx-screen .xterm-rows")
        self.page.wait_for_function(
            "() => /│ rehearsal: crashed/.test(document.querySelector('.mx-screen .xterm-rows')?.innerText)"
        )
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


def test_axe_finds_no_fault_where_nobody_is_yet(lab: Any, page: Any) -> None:
    notebook = Notebook(page, lab).open_cells(EMPTY, CLOSE, name="nobody.ipynb")
    notebook.run(0)
    page.get_by_text("No agents yet").wait_for(timeout=MINUTE)
    found = faults(page, "empty", tags=TAGS)
    notebook.run(1)
    notebook.until_done(1)

    assert [] == found


# One page goes through all of this, so its tests stand in an order in which each leaves it as it was.
@pytest.mark.parametrize(("width", "theme"), [(1100, "Light"), (700, "Dark")])  # it takes long
def test_axe_finds_no_fault_in_any_part(crew: Notebook, page: Any, width: int, theme: str) -> None:
    crew.theme(f"JupyterLab {theme}")
    crew.fit(width)
    found = []
    for part in Walk(page).parts():
        picture(page, f"{part}-{width}-{theme.lower()}")
        found += faults(page, f"{part} {width} {theme.lower()}", tags=TAGS)
    crew.theme("JupyterLab Light")
    crew.fit(1100)

    assert [] == found


SIGNS = """() => [...document.querySelectorAll('.mx-head .mx-counts svg, .mx-card .mx-g')].map(svg => {
    const one = svg.cloneNode(true);
    return [svg.getAttribute('class').split('s-')[1], one.innerHTML, getComputedStyle(svg).color];
})"""
GROUND = "getComputedStyle(document.querySelector('.madrox')).backgroundColor"
EDGE = """selector => { const style = getComputedStyle(document.querySelector(selector));
    return style.outlineStyle !== 'none' && parseFloat(style.outlineWidth) >= 2 ? style.outlineColor : '' }"""
FILL = "selector => getComputedStyle(document.querySelector(selector)).backgroundColor"
COLOURS = """() => { const canvas = document.querySelector('.mx-time canvas');
    const { data } = canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height);
    const seen = new Map();
    for (let at = 0; at < data.length; at += 4)
        if (data[at + 3] > 250) {
            const key = data.slice(at, at + 3).join();
            seen.set(key, (seen.get(key) ?? 0) + 1);
        }
    return [...seen].filter(([, count]) => count > 60).map(([key]) => key) }"""


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_with_forced_colours_what_is_chosen_focused_and_measured_is_still_seen(
    crew: Notebook, page: Any, scheme: str
) -> None:
    page.emulate_media(forced_colors="active", color_scheme=scheme)
    walk = Walk(page)
    for part in walk.parts():
        picture(page, f"forced-{part}-{scheme}")
    walk.choose("api")
    ground = page.evaluate(GROUND)

    signs = page.evaluate(SIGNS)
    assert {"busy", "waiting", "failed", "idle", "suspended"} <= {state for state, _, _ in signs}
    assert len({shape for _, shape, _ in signs}) == len({state for state, _, _ in signs})
    assert ground not in {colour for _, _, colour in signs}
    assert page.evaluate(EDGE, ".mx-card.sel") not in ("", ground)
    card(page, "api").focus()
    page.keyboard.press("ArrowUp")
    assert page.evaluate(EDGE, ".mx-card:focus") not in ("", ground)
    assert page.evaluate(FILL, ".mx-bar > i") != page.evaluate(FILL, ".mx-bar") != ""
    assert page.evaluate(FILL, ".mx-tree [aria-pressed=true]") != ground
    assert len(page.evaluate(COLOURS)) >= 3  # ground, a turn, a tool in it
    page.emulate_media(forced_colors="none", color_scheme="light")


def test_where_motion_is_not_wanted_nothing_moves(crew: Notebook, page: Any) -> None:
    page.emulate_media(reduced_motion="reduce")
    Walk(page).choose("slow")
    page.locator(".mx-caret").first.wait_for(timeout=MINUTE)
    page.evaluate(f"window.moved = []; new MutationObserver(() => {NOTE}).observe({WATCHED})")
    crew.run(3)
    page.locator(".mx-edge.hot").first.wait_for(timeout=MINUTE)
    crew.until_done(3)

    assert "1" == page.evaluate("getComputedStyle(document.querySelector('.mx-caret')).opacity")
    assert [] == page.evaluate(f"[...window.moved, ...{MOVING}]")
    page.emulate_media(reduced_motion="no-preference")
    page.wait_for_function(f"{MOVING}.length > 0")  # where it is, the caret blinks


MOVING = """document.getAnimations().filter(each => each.effect.target.closest('.madrox'))
    .map(each => each.effect.target.className)"""
NOTE = f"window.moved.push(...[...document.querySelectorAll('.mx-pulse')].map(() => 'dot'), ...{MOVING})"
WATCHED = "document.querySelector('.madrox'), { subtree: true, childList: true, attributes: true }"

NAMELESS = """() => [...document.querySelectorAll('.madrox :is(button, [role=slider], [role=tab])')]
    .filter(each => each.checkVisibility())
    .filter(each => !(each.getAttribute('aria-label') ?? each.innerText ?? '').trim())
    .map(each => each.outerHTML.slice(0, 120))"""


def test_what_is_heard_of_the_tree_is_the_same_in_list_and_graph(crew: Notebook, page: Any) -> None:
    walk = Walk(page)
    heard = []
    for look in ("List", "Graph"):
        walk.button(look)
        tree = walk.view.get_by_role("tree", name="Agents")
        items = tree.get_by_role("treeitem").all()
        heard.append(
            sorted(
                [
                    each.get_attribute(name)
                    for name in ("data-agent", "aria-level", "aria-setsize", "aria-posinset", "aria-expanded")
                ]
                for each in items
            )
        )
        assert [] == page.evaluate(NAMELESS)

    assert heard[0] == heard[1]
    assert ["api", "2", "4", "1", "true"] in heard[0]
    assert ["checks", "3", "1", "1", None] in heard[0]
    assert ["sh", "1", "3", "3", None] in heard[0]
    spoken = walk.view.locator("[aria-live=polite].mx-sr").inner_text()
    assert spoken.startswith("Needs you: api asks: Edit service.py. checks failed")


def test_axe_finds_no_fault_in_what_is_saved(crew: Notebook, page: Any) -> None:
    crew.run(4)
    page.wait_for_function(f"() => ({SAVED})().includes('api')", timeout=MINUTE)
    page.evaluate(INSERT, page.evaluate(SAVED))
    found = faults(page, "saved", "#saved", TAGS)
    page.evaluate("document.getElementById('saved').remove()")

    assert [] == found


INSERT = """html => { const saved = document.createElement('div');
    Object.assign(saved, { id: 'saved', role: 'region', ariaLabel: 'Saved', innerHTML: html });
    document.body.append(saved) }"""
SAVED = """() => window.jupyterapp.shell.currentWidget.content.widgets[0].model.sharedModel.toJSON()
    .outputs.map(each => each.data?.['text/html'] ?? '').join('')"""
