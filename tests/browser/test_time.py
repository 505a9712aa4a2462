"""A person looks back: the slider, the timeline and the costs in a real JupyterLab."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from groups import PICTURES
from lab import Notebook

pytestmark = [pytest.mark.browser, pytest.mark.slow, pytest.mark.xdist_group("time")]

ROW = ".mx-row"
MINUTE = 60_000
SPAWN = """%load_ext madrox_nb
import sys
sys.path.append("{tests}")
import spenders
from madrox_nb import Madrox
m = Madrox(max_usd=60)
lead = %madrox spawn lead --role architect --harness costly
m"""
WORK = """%%madrox send lead
/spawn api backend_developer
/spawn web frontend_developer
/post api /usage 5200 900\\n/say The service is done.
/post web /say The page lists all items.
/usage 12000 3000
/say All is given out."""
TESTS = Path(__file__).parents[1]
AGAIN = """%madrox wait
%madrox send lead /usage 9000 100
%madrox send lead /say Once more."""
LONG = "%madrox send lead /slow 4000 0.05"

PAST = "() => document.querySelector('.madrox').classList.contains('is-past')"
LIVE = "() => !document.querySelector('.madrox').classList.contains('is-past')"
INK = """() => { const canvas = document.querySelector('.mx-time canvas');
    const { data } = canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height);
    return data.filter((_, at) => at % 4 === 3 && data[at] > 0).length }"""


def picture(page: Any, name: str) -> None:
    if PICTURES:
        page.locator(".madrox").first.screenshot(path=str(Path(PICTURES) / f"{name}.png"))


def names(page: Any) -> list[str]:
    return page.eval_on_selector_all(ROW, "rows => rows.map(row => row.dataset.agent)")


@pytest.fixture(scope="module")
def page(desk: Any) -> Iterator[Any]:
    with desk.taken() as page:
        page.set_viewport_size({"width": 1500, "height": 1300})
        yield page


@pytest.fixture(scope="module")
def worked(lab: Any, page: Any) -> Notebook:
    """A dashboard of three agents that have worked, shown as a list."""
    notebook = Notebook(page, lab).open_cells(SPAWN.format(tests=TESTS), WORK, AGAIN, LONG, name="time.ipynb")
    notebook.run(0)
    page.get_by_role("button", name="List", exact=True).click(timeout=MINUTE)
    page.wait_for_selector(f"{ROW} >> text=lead", timeout=MINUTE)
    notebook.run(1)
    page.wait_for_selector(f"{ROW} >> text=web", timeout=MINUTE)
    notebook.run(2)
    notebook.until_done(2)
    return notebook


# They look at one notebook, in an order in which each leaves it as it was; the last lets an agent work on.
def test_the_slider_goes_back_to_a_time_before_the_children_and_to_live_again(worked: Any, page: Any) -> None:
    track = page.locator(".mx-track")
    assert "now" == track.get_attribute("aria-valuetext")
    assert {"lead", "api", "web"} == set(names(page))
    track.focus()
    page.keyboard.press("Home")
    page.wait_for_function(PAST, timeout=MINUTE)
    for _ in range(3):  # the run is open, lead is born, lead is ready
        page.keyboard.press("ArrowRight")
    page.wait_for_function("() => document.querySelectorAll('.mx-row').length === 1", timeout=MINUTE)

    assert ["lead"] == names(page)
    assert "You are looking at" in page.locator(".mx-note").inner_text()
    assert page.locator(".mx-head .stop").is_enabled()
    picture(page, "past")
    page.get_by_role("button", name="Back to live").click()
    page.wait_for_function(LIVE, timeout=MINUTE)
    page.wait_for_function("() => document.querySelectorAll('.mx-row').length === 3", timeout=MINUTE)
    assert "now" == track.get_attribute("aria-valuetext")


def test_the_timeline_tells_of_bars_by_key_and_by_pointer_and_zooms(worked: Any, page: Any) -> None:
    assert page.evaluate(INK) > 1000
    canvas = page.locator(".mx-time canvas")
    canvas.focus()
    page.keyboard.press("ArrowDown")
    page.wait_for_function("() => document.querySelector('.mx-tell').innerText.startsWith('lead: turn')")
    picture(page, "timeline-tells")
    page.keyboard.press("+")
    page.wait_for_selector(".mx-time canvas.can-pan")
    page.keyboard.press("0")
    page.wait_for_selector(".mx-time canvas:not(.can-pan)")
    assert 4 == page.evaluate("window.jupyterapp.shell.currentWidget.content.widgets.length")


@pytest.mark.parametrize("theme", ["Light", "Dark"])
def test_the_parts_of_time_in_both_themes_and_widths(worked: Any, page: Any, theme: str) -> None:
    worked.theme(f"JupyterLab {theme}")
    for width in (1100, 700):
        worked.fit(width)
        for tab in ("timeline", "costs"):
            page.locator(f"[data-tab={tab}]").click()
            page.wait_for_selector(".mx-plot .uplot canvas" if tab == "costs" else ".mx-time canvas")
            picture(page, f"{tab}-{width}-{theme.lower()}")
    assert page.locator(".mx-tab tbody tr").count() == 3
    worked.theme("JupyterLab Light")


def test_one_can_look_back_while_a_cell_blocks_and_a_drag_follows_the_pointer(worked: Any, page: Any) -> None:
    worked.run(3)
    page.wait_for_selector(".mx-row .s-busy", timeout=MINUTE)
    box = page.locator(".mx-track").bounding_box()
    page.mouse.move(box["x"] + box["width"] - 4, box["y"] + 12)
    page.mouse.down()
    page.mouse.move(box["x"] + 2, box["y"] + 12, steps=12)
    page.mouse.up()
    page.wait_for_function("() => document.querySelectorAll('.mx-row').length < 3", timeout=MINUTE)
    assert page.evaluate(PAST)

    page.keyboard.press("End")
    page.wait_for_function(LIVE, timeout=MINUTE)
    page.wait_for_selector(".mx-row .s-busy", timeout=MINUTE)
    page.evaluate("window.jupyterapp.commands.execute('notebook:interrupt-kernel')")
