"""What a person can read of a crowd: in a real JupyterLab, because only a layout says what fits."""

from __future__ import annotations

from typing import Any

import pytest

from .test_whole_dashboard import MINUTE, card, picture

pytestmark = [pytest.mark.browser, pytest.mark.slow]

FAILED = 7
OPEN = f"""%load_ext madrox_nb
from madrox_nb import Madrox
m = Madrox(max_instances=20)
lead = %madrox spawn lead --role architect --harness rehearsal
for n in range({FAILED}):
    m.spawn(f"fails-{{n}}", harness="rehearsal", parent="lead")
asks = m.spawn("asks-about-a-path", harness="rehearsal", parent="lead", permissions="ask")
m"""
WORK = f"""for n in range({FAILED}):
    m.send(f"fails-{{n}}", "/crash 1", wait=False)
m.send(asks.name, '/approve-needed Edit {{"file_path": "src/a/long/way/down/to/the/service.py", '
       '"old_string": "", "new_string": "x"}}', wait=False)
print("sent")"""
CUT = """() => [...document.querySelectorAll('.mx-card .r2 > :last-child, .mx-row .now')]
                 .filter(each => each.scrollWidth > each.clientWidth).map(each => each.textContent)"""
HEIGHT = "document.querySelector('.mx-needs').getBoundingClientRect().height"
LINE = 32
"""Pixels of one line of what needs the person, with its edge."""


def test_a_crowd_that_needs_the_person_takes_one_line_and_says_what_each_does(
    notebook: Any, page: Any
) -> None:
    notebook.open_cells(OPEN, WORK, "m.close()", name="crowd.ipynb")
    notebook.run(0)
    card(page, "asks-about-a-path").wait_for(timeout=MINUTE)
    notebook.fit(1100)
    notebook.run(1)
    needs = page.locator(".mx-needs").first
    needs.get_by_text(f"and {FAILED + 1 - 4} more").wait_for(timeout=MINUTE)

    assert LINE >= page.evaluate(HEIGHT)
    asks = needs.locator(".item").first
    assert "asks-about-a-path asks: Edit service.py" == asks.inner_text()
    assert "src/a/long/way/down/to/the/service.py" in (asks.get_attribute("aria-label") or "")
    assert [] == page.evaluate(CUT)
    assert "failed: exit code 1" == card(page, "fails-0").locator(".r2 > :last-child").inner_text()
    assert page.evaluate(
        """() => [...document.querySelectorAll('.mx-card .r2')].every(line => {
            const box = line.getBoundingClientRect(), told = line.lastElementChild.getBoundingClientRect();
            return told.top >= box.top - 1 && told.bottom <= box.bottom + 1 })"""
    ), "what it does is on the line that is seen"
    picture(page, "crowd-1100")

    needs.get_by_text("more").click()
    assert LINE >= page.evaluate(HEIGHT)
    needs.get_by_role("menuitem").last.click()
    page.locator(".mx-who .nm", has_text=f"fails-{FAILED - 1}").first.wait_for(timeout=MINUTE)

    page.get_by_role("button", name="List", exact=True).click()
    page.locator(".mx-row").first.wait_for()
    for width in (1100, 900, 700, 540):
        notebook.fit(width)
        assert [] == page.evaluate(CUT), width
    notebook.run(2)
