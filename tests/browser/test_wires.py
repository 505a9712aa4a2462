"""An agent's wire in a real browser: what its program says is shown, and does nothing."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from groups import PICTURES

pytestmark = [pytest.mark.browser, pytest.mark.slow, pytest.mark.xdist_group("browser")]

MINUTE = 60_000
SHOWN = """text => document.querySelector('.mx-screen .xterm-rows')?.innerText
                    .replaceAll('\\xa0', ' ').includes(text)"""
OPEN = """%load_ext madrox_nb
from madrox_nb import Madrox
m = Madrox()
lead = %madrox spawn lead --harness rehearsal
m.widget("terminal", "lead")"""
SHELL = """%load_ext madrox_nb
from madrox_nb import Madrox
m = Madrox()
sh = %madrox spawn sh --harness shell --permissions all
m.widget("terminal", "sh")"""


def shows(page: Any, text: str) -> None:
    page.locator(".mx-screen").scroll_into_view_if_needed()  # xterm draws what is in sight
    page.wait_for_function(SHOWN, arg=text, timeout=MINUTE)


def picture(page: Any, name: str) -> None:
    if PICTURES:
        page.locator(".madrox").first.screenshot(path=str(Path(PICTURES) / f"{name}.png"))


def test_the_lines_of_a_protocol_are_laid_out_or_raw_and_follow_the_end(notebook: Any, page: Any) -> None:
    notebook.open_cells(
        OPEN,
        'm.send("lead", "/say hello")',
        'm.send("lead", "/slow 2000 0.001")',
        "m.close()",
        name="wire.ipynb",
    )
    notebook.run(0)
    page.locator(".mx-screen").wait_for(timeout=MINUTE)
    notebook.run(1)
    shows(page, "hello")
    picture(page, "wire-light")

    page.get_by_role("button", name="Raw").click()
    shows(page, '"hello"')
    notebook.run(2)
    shows(page, "word-2000")  # it followed the end, and there is something above it
    page.locator(".mx-screen").hover()
    page.mouse.wheel(0, -3000)
    latest = page.get_by_role("button", name="Latest")
    latest.wait_for(timeout=MINUTE)
    latest.click()
    latest.wait_for(state="hidden", timeout=MINUTE)
    notebook.run(3)


def test_a_shell_is_seen_as_it_prints_and_nothing_typed_there_reaches_it(notebook: Any, page: Any) -> None:
    evil = r"printf '\033]0;own\007\033[31mred\033[0m \342\200\256evil <b>x</b> done\n'"
    notebook.open_cells(
        SHELL,
        f'm.send("sh", {evil!r})',
        'm.send("sh", "echo still $((40 + 2))")',
        'm.send("sh", "seq 1 60000; echo end of it")',
        "m.close()",
        name="shell.ipynb",
    )
    notebook.run(0)
    page.locator(".mx-screen").wait_for(timeout=MINUTE)
    notebook.run(1)
    shows(page, "red \ufffdevil <b>x</b> done")
    assert 0 == page.locator(".mx-screen .xterm-rows b").count()

    page.locator(".mx-screen .xterm-screen").click()
    page.keyboard.type("echo typed\n")
    notebook.run(2)
    shows(page, "still 42")
    assert "typed" not in page.inner_text(".mx-screen .xterm-rows")

    notebook.run(3)
    shows(page, "end of it")
    older = page.locator(".mx-older")
    before = older.inner_text()
    older.get_by_role("button", name="Load it").click()
    page.wait_for_function(
        "before => document.querySelector('.mx-older').innerText !== before", arg=before, timeout=MINUTE
    )
    picture(page, "shell-light")
    notebook.run(4)


def test_tab_leads_through_a_terminal_and_out_of_it(notebook: Any, page: Any) -> None:
    notebook.open_cells(OPEN, "m.close()", name="tab.ipynb")
    notebook.run(0)
    page.locator(".mx-screen .xterm").wait_for(timeout=MINUTE)
    page.get_by_role("button", name="Raw").focus()
    seen = []
    for _ in range(8):
        page.keyboard.press("Tab")
        seen.append(page.evaluate("document.activeElement.getAttribute('aria-label') ?? ''"))

    assert any(each.startswith("Wire of lead") for each in seen)
    assert any(each.startswith("Message to lead") for each in seen)
    notebook.run(1)
