"""The dashboard as a person meets it: in a real JupyterLab, with agents at work."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from groups import PICTURES
from lab import KERNEL, QUICK_EARS, QUICK_HEART, Notebook

from .axe import serious

pytestmark = [pytest.mark.browser, pytest.mark.slow, pytest.mark.xdist_group("whole dashboard")]

MINUTE = 60_000

OPEN = f"""{QUICK_HEART}
%load_ext madrox_nb
from madrox_nb import Madrox
m = Madrox()
lead = %madrox spawn lead --role architect --harness rehearsal
m"""
WORK = """%%madrox send lead --no-wait
/spawn api backend_developer
/spawn web frontend_developer
/spawn checks testing_specialist parent_instance_id=api
/post api /usage 5200 900\\n/slow 4000 0.05
/post web /say - one **bold** `code` <img src=x onerror="window.pwned=1"> [x](javascript:window.pwned=1)
/tool get_main_instance_id
/say The page lists *all* items.
/slow 4000 0.05"""
AGAIN = "%madrox send lead --no-wait /slow 4000 0.05"
BLOCK = "import time; time.sleep(40)"
EVIL = '<img src=x onerror="window.pwned=1">'


def card(page: Any, name: str) -> Any:
    return page.locator(f".mx-graph [data-agent={name}]").first


@pytest.fixture(scope="module")
def page(browser: Any) -> Iterator[Any]:
    with browser.new_context(viewport={"width": 1280, "height": 1100}) as context:
        yield context.new_page()


@pytest.fixture(scope="module")
def at_work(lab: Any, page: Any) -> Notebook:
    """A dashboard over a family of which two are in the middle of a turn."""
    notebook = Notebook(page, lab).open_cells(OPEN, WORK, AGAIN, BLOCK, name="family.ipynb")
    notebook.run(0)
    card(page, "lead").wait_for(timeout=MINUTE)
    notebook.run(1)
    card(page, "checks").wait_for(timeout=MINUTE)
    page.wait_for_function("document.querySelectorAll('.mx-card .s-busy').length >= 2", timeout=MINUTE)
    return notebook


def picture(page: Any, name: str) -> None:
    if PICTURES:
        page.locator(".madrox").first.screenshot(path=str(Path(PICTURES) / f"{name}.png"))


# They look at one notebook, in an order in which each leaves it as it was. The last one ends its kernel.
def test_a_family_at_work_is_seen_and_spoken_to(at_work: Any, page: Any) -> None:
    card(page, "lead").click()
    talk = page.locator(".mx-talk").first
    talk.get_by_text("The page lists all items.", exact=True).wait_for(timeout=MINUTE)
    assert "all" == talk.locator("em").first.inner_text()
    page.locator(".mx-caret").first.wait_for(timeout=MINUTE)  # it is speaking

    card(page, "web").click()
    talk.locator("li strong", has_text="bold").wait_for(timeout=MINUTE)
    assert 0 == talk.locator("img, script").count()
    assert None is page.evaluate("window.pwned ?? null")

    box = page.get_by_label("Message to web")
    box.fill(f"/say {EVIL} **heard**")
    box.press("Shift+Enter")
    talk.locator("strong", has_text="heard").nth(1).wait_for(timeout=MINUTE)  # asked, and answered
    assert "" == box.input_value()
    assert EVIL in talk.inner_text()
    assert None is page.evaluate("window.pwned ?? null")


@pytest.mark.parametrize("comms", ["perCommTarget", "disabled"])
def test_interrupt_acts_while_a_cell_blocks_and_typing_harms_no_cell(
    at_work: Any, page: Any, comms: str
) -> None:
    """Whether JupyterLab gives widgets a shell of their own (`commsOverSubshells`) or not."""
    page.evaluate(f"comms => {{ {KERNEL}.commsOverSubshells = comms }}", comms)
    at_work.run(3)
    page.wait_for_function(f"{KERNEL}.status === 'busy'")
    card(page, "lead").click()
    page.locator(".mx-doing button", has_text="Interrupt").first.click()
    page.wait_for_function(
        "document.querySelector('.mx-graph [data-agent=lead] .s-idle') !== null", timeout=20_000
    )
    prompt = "window.jupyterapp.shell.currentWidget.content.widgets[3].inputArea.promptNode.innerText"
    assert "[*]:" == page.evaluate(prompt)  # the cell still blocks

    card(page, "lead").focus()
    page.keyboard.type("addd")
    page.keyboard.press("ArrowRight")
    assert 4 == page.evaluate("window.jupyterapp.shell.currentWidget.content.widgets.length")
    assert "checks" == page.evaluate("document.activeElement.dataset.agent")
    page.evaluate("window.jupyterapp.commands.execute('notebook:interrupt-kernel')")
    page.wait_for_function(f"{prompt} !== '[*]:'", timeout=MINUTE)
    at_work.run(2)
    page.wait_for_selector(".mx-graph [data-agent=lead] .s-busy", timeout=MINUTE)


def test_it_looks_as_designed_and_axe_finds_no_serious_fault(at_work: Any, page: Any) -> None:
    found = []
    for theme in ("JupyterLab Light", "JupyterLab Dark"):
        at_work.theme(theme)
        for width in (1100, 700):
            at_work.fit(width)
            card(page, "lead").click()
            said = theme.rsplit(" ", 1)[-1].lower()
            picture(page, f"dashboard-{width}-{said}")
            page.get_by_role("button", name="List", exact=True).click()
            picture(page, f"dashboard-list-{width}-{said}")
            found += serious(page, f"{width} {said}")
            page.get_by_role("button", name="Graph", exact=True).click()
            found += serious(page, f"{width} {said} graph")
    at_work.theme("JupyterLab Light")

    assert [] == found


def test_a_reload_brings_the_present_and_a_restart_looks_dead(at_work: Any, page: Any) -> None:
    page.evaluate("window.jupyterapp.commands.execute('docmanager:save')")
    page.wait_for_function("!window.jupyterapp.shell.currentWidget.context.model.dirty")
    page.add_init_script(QUICK_EARS)
    page.reload()
    card(page, "checks").wait_for(timeout=MINUTE)
    page.wait_for_function("document.querySelector('.mx-live').innerText === 'live'", timeout=MINUTE)
    card(page, "lead").click()
    talked = page.locator(".mx-talk").first.get_by_text("The page lists all items.", exact=True)
    talked.wait_for(timeout=MINUTE)

    page.evaluate(f"{KERNEL}.restart()")
    page.locator(".madrox.is-cut").wait_for(timeout=MINUTE)
    assert "Disconnected." in page.locator(".mx-note").inner_text()
    assert page.get_by_role("button", name="Stop all…").is_disabled()
    assert page.get_by_label("Message to lead").is_disabled()
