"""A person's whole round without a mouse, in a real JupyterLab whose cells no key of ours may touch."""

from __future__ import annotations

import json
from collections.abc import Iterator
from itertools import groupby
from typing import Any

import pytest

from .test_whole_dashboard import card

pytestmark = [
    pytest.mark.browser,
    pytest.mark.slow,
    pytest.mark.timeout(480),
]

MINUTE = 60_000
EDIT = {"file_path": "service.py", "old_string": "", "new_string": "order.pay_back(amount)"}
OPEN = """%load_ext madrox_nb
from madrox_nb import Madrox
m = Madrox()
lead = %madrox spawn lead --role architect --harness rehearsal
web = %madrox spawn web --harness rehearsal --parent lead
api = %madrox spawn api --harness rehearsal --parent lead --permissions ask
m"""
ASK = f"%madrox send api --no-wait /approve-needed Edit {json.dumps(EDIT)}"
COMMANDS = "ddxabmyvczii00"
"""Keys with which JupyterLab deletes, cuts, adds and changes cells, or interrupts and restarts the kernel."""

CELLS = """() => window.jupyterapp.shell.currentWidget.content.widgets
    .map(cell => [cell.model.type, cell.model.sharedModel.getSource()])"""
ROOM = """() => { const at = document.activeElement;
    const rooms = { counts: '.mx-counts', head: '.mx-head', needs: '.mx-needs', tools: '.mx-tree .mx-tool',
                    tree: '[role=tree]', edge: '.mx-sep', agent: '.mx-agent',
                    dock: '.mx-dock', slider: '.mx-scrub' };
    const [name] = Object.entries(rooms).find(([, rule]) => at.closest(rule)) ?? [''];
    return at.closest('.madrox') ? name || at.outerHTML.slice(0, 80) : '' }"""
IS = "rule => document.activeElement.matches(rule)"
STAYS = """() => { const first = document.querySelector('.mx-counts button');
    if (document.activeElement !== first) { first.focus(); window.since = performance.now() }
    return performance.now() - window.since > 500 }"""
HELD = "() => document.activeElement.outerHTML.slice(0, 300)"
AGENT = "() => document.activeElement.dataset.agent ?? ''"


class Hands:
    """Ten fingers and no mouse."""

    def __init__(self, page: Any) -> None:
        self.page = page

    def press(self, *keys: str) -> None:
        for key in keys:
            self.page.keyboard.press(key)

    def begin(self) -> None:
        """At the first stop. JupyterLab takes the focus some time after a cell was run: wait until it has."""
        self.page.wait_for_function(STAYS)

    def go(self, rule: str, step: str = "Tab") -> None:
        """Tab until what `rule` means has the focus."""
        for _ in range(80):
            if self.page.evaluate(IS, rule):
                return
            self.press(step)
        pytest.fail(f"no {step} leads to {rule}")

    def rounds(self) -> Iterator[str]:
        """The room of each stop, from the first one on, once around."""
        self.begin()
        while room := self.page.evaluate(ROOM):
            yield room
            self.press("Tab")


@pytest.fixture
def hands(notebook: Any, page: Any) -> Iterator[Hands]:
    page.set_viewport_size({"width": 1500, "height": 1300})
    notebook.open_cells(OPEN, ASK, "m.close()", "keep = 'this'", name="keys.ipynb")
    notebook.run(0)
    card(page, "api").wait_for(timeout=MINUTE)
    notebook.run(1)
    page.locator(".mx-needs").get_by_text("asks: Edit").wait_for(timeout=MINUTE)
    notebook.until_done(1)
    yield Hands(page)
    notebook.run(2)


def test_tab_goes_around_in_order_and_no_key_typed_on_the_way_touches_a_cell(hands: Hands, page: Any) -> None:
    before = page.evaluate(CELLS)
    stops = []
    for room in hands.rounds():
        stops.append(room)
        page.keyboard.type(COMMANDS)
        assert room == page.evaluate(ROOM), f"{room} lost it: {page.evaluate(HELD)}"
        assert before == page.evaluate(CELLS), f"after {len(stops)} stops, the last in {room}"
        if page.evaluate(IS, "input, textarea:not(.xterm *)"):
            hands.press("Control+a", "Delete")
            card(page, "api").wait_for()  # where it was a filter, it lets all be seen again

    assert before == page.evaluate(CELLS)
    rooms = [room for room, _ in groupby(stop for stop in stops if stop != "edge")]
    assert ["counts", "head", "needs", "tools", "tree", "agent", "dock", "slider"] == rooms
    assert 1 == stops.count("tree")
    assert 0 == page.locator(".jp-Dialog").count()


def test_a_person_finds_asks_interrupts_spawns_answers_looks_back_and_leaves(hands: Hands, page: Any) -> None:
    before = page.evaluate(CELLS)
    _finds(hands, page)
    _asks_and_interrupts(hands, page)
    _spawns(hands, page)
    _answers(hands, page)
    _looks_back(hands, page)

    hands.press("Escape")
    assert "" == page.evaluate(ROOM)
    assert page.evaluate("document.activeElement.closest('.jp-Notebook') !== null")
    assert before == page.evaluate(CELLS)


def _finds(hands: Hands, page: Any) -> None:
    hands.begin()
    hands.go("[role=treeitem]")
    hands.press("End", "Home")
    assert "lead" == page.evaluate(AGENT)
    hands.press("ArrowRight")
    assert "web" == page.evaluate(AGENT)
    hands.press("ArrowLeft")
    assert "lead" == page.evaluate(AGENT)
    hands.press("a")
    assert "api" == page.evaluate(AGENT)
    hands.press("/")
    assert page.evaluate(IS, "[type=search]")
    page.keyboard.type("web")
    card(page, "api").wait_for(state="detached")
    hands.press("Enter")
    assert "web" == page.evaluate(AGENT)
    hands.press("/", "Escape")
    card(page, "api").wait_for()


def _asks_and_interrupts(hands: Hands, page: Any) -> None:
    hands.go("[role=treeitem]")
    hands.press("Home", "Enter")
    assert "Message to lead" == page.evaluate("document.activeElement.getAttribute('aria-label')")
    page.keyboard.type("/say heard by keys")
    hands.press("Enter")
    page.keyboard.type("/slow 4000 0.05")
    hands.press("Shift+Enter")
    page.locator(".mx-talk > div", has_not_text="/say").get_by_text("heard by keys").first.wait_for(
        timeout=MINUTE
    )
    page.locator(".mx-card .s-busy").wait_for(timeout=MINUTE)
    hands.go("[role=treeitem]", "Shift+Tab")
    assert "lead" == page.evaluate(AGENT)
    hands.press("I", "I")
    page.locator(".mx-card .s-busy").wait_for(state="detached", timeout=MINUTE)


def _spawns(hands: Hands, page: Any) -> None:
    hands.go(".mx-tool [aria-haspopup=dialog]:last-child", "Shift+Tab")
    hands.press("Enter")
    page.get_by_role("dialog", name="Spawn an agent").wait_for()
    page.wait_for_function("document.querySelector('.mx-form select').options.length > 2", timeout=MINUTE)
    page.keyboard.type("fresh")
    hands.go(".mx-form select:has(option[value=rehearsal])")
    page.keyboard.type("rehearsal")
    hands.press("Shift+Enter")
    card(page, "fresh").wait_for(timeout=MINUTE)
    page.get_by_role("dialog").wait_for(state="detached")


def _answers(hands: Hands, page: Any) -> None:
    hands.begin()
    hands.go(".mx-needs .item")
    hands.press("Enter")
    page.locator(".mx-appr .eff .a").wait_for(timeout=MINUTE)
    hands.go(".mx-appr .mx-btn.primary")
    hands.press("Enter")
    page.locator(".mx-appr").get_by_text("Allowed once").first.wait_for(timeout=MINUTE)
    page.locator(".mx-needs").wait_for(state="hidden", timeout=MINUTE)


def _looks_back(hands: Hands, page: Any) -> None:
    hands.go(".mx-track")
    hands.press("Home")
    page.locator(".madrox.is-past").wait_for(timeout=MINUTE)
    hands.press("ArrowRight", "PageDown", "End")
    page.locator(".madrox:not(.is-past)").wait_for(timeout=MINUTE)
