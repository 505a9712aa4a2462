# ruff: noqa: E501 - what agents are told is a line, however long
"""The pictures of docs/gallery.md: `make gallery` takes them anew, in a real JupyterLab.

The agents are rehearsals, real processes without a model; here they report what a model might have cost.
"""

from __future__ import annotations

import io
import re
from pathlib import Path
from typing import Any

import pytest

from .test_whole_dashboard import card

PLACE = Path(__file__).parents[2] / "docs" / "gallery"
MINUTE = 60_000
HEAVIEST = 150_000
TALL = 1900
AFTER = 130
"""Events of the past that is shown."""
THEMES = {"light": "JupyterLab Light", "dark": "JupyterLab Dark"}

OPEN = """%load_ext madrox_nb
from dataclasses import replace
from madrox_nb import Madrox, library
from madrox_nb.harness.rehearsal import Rehearsal

class Priced(Rehearsal):
    @staticmethod
    def command():
        return ("python3", *Rehearsal.command()[1:])

    def _usage(self, given, made):
        usage = super()._usage(given, made)
        return replace(usage, cost_usd=(3 * given + 15 * made) / 1e6, cost_source="cli")

library.lend(Priced)
m = Madrox(max_usd=10, max_instances=20)
lead = %madrox spawn lead --role architect --harness rehearsal --usd 8
m"""
WORK = r"""%%madrox send lead --no-wait
Let customers ask for a refund from the order page. Service, page and checks at once; I want to see the diff first.
/spawn backend backend_developer
/spawn frontend frontend_developer max_cost=2
/spawn quality testing_specialist
/usage 210000 8000
/post backend Two endpoints and a migration.\n/spawn api backend_developer\n/spawn migrate data_analyst\n/post api The endpoint for one refund.\\n/write service.py def refund(order, amount):\\\n    order.pay_back(amount)\\\n\\n/slow 10 0.5\\n/usage 160000 9000\\n/approve-needed Edit {"file_path": "service.py", "old_string": "    order.pay_back(amount)", "new_string": "    if amount > order.left:\\\n        raise TooMuch(order, amount)\\\n    order.pay_back(amount)"}\n/post migrate A column for what was paid back.\\n/slow 6 0.5\\n/usage 60000 4000\\n/tool get_pending_replies\\n/slow 4 0.5\\n/usage 30000 2000\\n/say The migration runs in both directions.\n/usage 150000 7000\n/slow 12 0.5\n/usage 80000 5000
/post frontend The dialog on the order page.\n/spawn ui frontend_developer\n/spawn copy documentation_writer\n/post copy The words of the dialog.\\n/slow 2 0.5\\n/say Done: six sentences, none of them sorry.\n/slow 6 0.5\n/post ui The dialog itself.\\n/usage 240000 9000\\n/tool get_pending_replies\\n/say One test fails on formatting, not on logic. I will\\\n\\\n- format with `Intl.NumberFormat`, **two digits** for EUR;\\\n- add a case for currencies without minor units.\\n/slow 400 2\n/usage 300000 11000\n/say The dialog is in good hands.
/post quality Tests from end to end, and a look at security.\n/spawn e2e testing_specialist\n/spawn security security_analyst\n/post e2e The happy path, and a refund that is too big.\\n/slow 11 0.5\\n/usage 70000 3000\\n/crash 1\n/post security Who may refund what?\\n/slow 7 0.5\\n/usage 90000 6000\\n/say Only the shop that was paid.\n/usage 60000 3000\n/slow 9 0.5\n/say Waiting for the service.
/slow 8 0.5
/say All three have begun; the page comes first."""
LATER = """%madrox send lead --no-wait /post backend How far is the service?\\n/slow 6 0.5\\n/usage 40000 2000
%madrox suspend copy
%madrox stop security
m.agents().state"""
TEAM = """%madrox team bug_investigation --harness rehearsal --prefix sunday- --task "Sums are off by one on Sundays"
%madrox view team"""


@pytest.fixture(scope="module")
def page(browser: Any) -> Any:
    return browser.new_page(viewport={"width": 1500, "height": 1400}, reduced_motion="reduce")


def tab(page: Any, name: str) -> None:
    page.get_by_role("tab", name=re.compile(f"^{name}")).first.click()


def keep(view: Any, name: str) -> None:
    """One picture, small enough for a repository."""
    from PIL import Image

    path = PLACE / f"{name}.png"
    taken = Image.open(io.BytesIO(view.screenshot())).convert("RGB")
    few(taken).save(path, optimize=True)
    assert path.stat().st_size < HEAVIEST, name


def few(picture: Any) -> Any:
    """The picture in its 256 most frequent colours, which a glyph in a rare colour is among."""
    from PIL import Image

    frequent = sorted(picture.getcolors(1 << 24), reverse=True)[:256]
    palette = Image.new("P", (1, 1))
    palette.putpalette([part for _, colour in frequent for part in colour])
    return picture.quantize(palette=palette, dither=Image.Dither.NONE)


def in_every_light(notebook: Any, page: Any, name: str, widths: tuple[int, ...] = (1100, 700)) -> None:
    for said, theme in THEMES.items():
        notebook.theme(theme)
        for width in widths:
            notebook.fit(width)
            page.set_viewport_size({**page.viewport_size, "height": TALL})
            page.wait_for_timeout(500)  # what was laid out anew is drawn
            keep(page.locator(".madrox").first, f"{name}-{width}-{said}")


def test_the_gallery(notebook: Any, page: Any) -> None:
    PLACE.mkdir(exist_ok=True)
    notebook.open_cells(OPEN, WORK, LATER, TEAM, "m.close()", name="refunds.ipynb")
    notebook.run(0)
    card(page, "lead").wait_for(timeout=MINUTE)
    notebook.run(1)
    page.locator(".mx-needs").get_by_text("asks: Edit").wait_for(timeout=MINUTE)
    page.locator(".mx-needs").get_by_text("failed").wait_for(timeout=MINUTE)
    notebook.run(2)
    page.wait_for_timeout(6000)  # something to see on the time axis
    card(page, "ui").click()
    tab(page, "Timeline")
    in_every_light(notebook, page, "dashboard")
    page.get_by_role("button", name="List", exact=True).click()
    tab(page, "Costs")
    in_every_light(notebook, page, "costs")
    assert page.get_by_role("tab", name="Costs", selected=True).first.is_visible(), "it is drawn anew"
    page.locator("[data-agent=api]").first.click()
    tab(page, "Approvals")
    in_every_light(notebook, page, "approvals")
    assert page.get_by_role("tab", name=re.compile("^Approvals"), selected=True).first.is_visible()
    notebook.theme(THEMES["light"])
    notebook.fit(1100)
    page.get_by_role("button", name="Graph", exact=True).click()
    tab(page, "Timeline")
    page.locator(".mx-track").press("Home")
    for _ in range(AFTER):
        page.keyboard.press("ArrowRight")
    page.locator(".madrox.is-past").first.wait_for()
    page.wait_for_timeout(1500)  # the past comes from the kernel
    keep(page.locator(".madrox").first, "past-1100-light")
    notebook.run(3)
    team = page.locator(".madrox").nth(1)
    team.get_by_text("5 verify").wait_for(timeout=MINUTE)
    page.wait_for_timeout(2000)
    keep(team, "team-1100-light")
    notebook.run(4)
