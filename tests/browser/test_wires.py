"""An agent's wire in a real browser: what its program says is shown, and does nothing."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from groups import PICTURES

pytestmark = [pytest.mark.browser, pytest.mark.slow]

MINUTE = 60_000
SHOWN = """text => document.querySelector('.mx-screen .xterm-rows')?.innerText
                    .replaceAll('\\xa0', ' ').includes(text)"""
OPEN = """%load_ext madrox_nb
from madrox_nb import Madrox
m = Madrox()
lead = %madrox spawn lead --harness rehearsal
m.widget("terminal", "lead")"""
TESTS = Path(__file__).parents[1]
PAINTER = f"""%load_ext madrox_nb
import sys
sys.path.append({str(TESTS)!r})
import terminals
from madrox_nb import Madrox
_ = terminals.lend_rogue("painter", **terminals.PAINTER)
m = Madrox()
pt = %madrox spawn pt --harness painter --permissions all
m"""
SHELL = """%load_ext madrox_nb
from madrox_nb import Madrox
m = Madrox()
sh = %madrox spawn sh --harness shell --permissions all
m.widget("terminal", "sh")"""


def shows(page: Any, text: str) -> None:
    page.locator(".mx-screen").scroll_into_view_if_needed()  # xterm draws what is in sight
    page.wait_for_function(SHOWN, arg=text, timeout=MINUTE)


def lines(page: Any) -> list[str]:
    """What stands on the screen, without what is empty."""
    told = page.inner_text(".mx-screen .xterm-rows").replace("\xa0", " ").split("\n")
    return [line.rstrip() for line in told if line.strip()]


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
    assert re.search(r"\d\d:\d\d:\d\d\.\d{3} ← said", "\n".join(lines(page)))
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


LAST = "() => document.querySelector('.mx-track').getAttribute('aria-valuemax')"
BELOW = ["-" * 40, "|", "-" * 40, "? for help"]
EVIL = (
    r"shows \x1b]52;c;c3RvbGVu\x07\x1b]0;stolen\x07\x1b]8;;javascript:window.pwned=1\x07link\x1b]8;;\x07"
    r"\x1b[c\x1b[6n\x1b[31mred\x1b[0m \u202eturned <b>bold</b>\r\n\u65e5\u672c|\r\nabcd|"
)
INK = """theme => { const of = text => [...document.querySelectorAll('.mx-screen .xterm-rows span')]
        .find(span => span.textContent.includes(text));
    const colour = each => getComputedStyle(each).color;
    return [colour(of('red')), colour(of('turned')),
            getComputedStyle(document.querySelector('.madrox')).backgroundColor] }"""
WHERE = """text => { const row = [...document.querySelectorAll('.mx-screen .xterm-rows > div')]
        .find(each => each.textContent.replaceAll('\\xa0', ' ').trimEnd() === text);
    const range = document.createRange();
    range.selectNodeContents(row.lastChild);
    return [...row.querySelectorAll('span')].find(each => each.textContent.includes('|'))
        .getBoundingClientRect().right }"""


def test_a_painted_screen_is_right_after_every_repaint_and_at_any_moment(notebook: Any, page: Any) -> None:
    notebook.open_cells(
        PAINTER, 'm.send("pt", "works 1")', 'm.send("pt", "hello")', "m.close()", name="paint.ipynb"
    )
    notebook.run(0)
    notebook.until_done(0)
    page.locator("[data-tab=terminal]").click(timeout=MINUTE)
    page.locator(".mx-screen").wait_for(timeout=MINUTE)
    shows(page, "? for help")
    notebook.run(1)
    shows(page, "= works 1 0")
    page.wait_for_function("document.querySelector('.mx-who').innerText.includes('idle')", timeout=MINUTE)
    first = ["you: works 1", "= works 1 0"]
    assert [*first, *BELOW] == lines(page)
    ended = int(page.evaluate(LAST))

    notebook.run(2)
    shows(page, "= hello 0")
    page.wait_for_function("document.querySelector('.mx-who').innerText.includes('idle')", timeout=MINUTE)
    assert [*first, "you: hello", "= hello 0", *BELOW] == lines(page)
    notebook.fit(700)
    shows(page, "= hello 0")
    assert [*first, "you: hello", "= hello 0", *BELOW] == lines(page)

    page.locator(".mx-track").focus()
    for _ in range(int(page.evaluate(LAST)) - ended):
        page.keyboard.press("ArrowLeft")
    page.wait_for_function(f"!({SHOWN})('hello') && ({SHOWN})('= works 1 0')", timeout=MINUTE)
    assert [*first, *BELOW] == lines(page)
    page.keyboard.press("End")
    shows(page, "= hello 0")
    assert [*first, "you: hello", "= hello 0", *BELOW] == lines(page)
    notebook.run(3)


@pytest.mark.own_page  # it may look into the clipboard
def test_what_a_program_paints_reaches_neither_clipboard_nor_title_nor_itself(
    notebook: Any, page: Any
) -> None:
    page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    notebook.open_cells(PAINTER, f'm.send("pt", r"{EVIL}")', "m.close()", name="painted.ipynb")
    notebook.run(0)
    notebook.until_done(0)
    page.locator("[data-tab=terminal]").click(timeout=MINUTE)
    page.locator(".mx-screen").wait_for(timeout=MINUTE)
    shows(page, "? for help")
    page.evaluate("navigator.clipboard.writeText('kept')")
    title = page.title()
    notebook.run(1)
    shows(page, "linkred \ufffdturned <b>bold</b>")
    notebook.until_done(1)
    shows(page, "? for help")

    at = page.locator(".mx-screen .xterm-rows").get_by_text("link").first.bounding_box()
    page.mouse.move(at["x"] + 4, at["y"] + 4)
    page.mouse.click(at["x"] + 6, at["y"] + 6)
    assert None is page.evaluate("window.pwned ?? null")
    assert 0 == page.locator(".mx-screen .xterm-rows :is(a, b)").count()
    assert "kept" == page.evaluate("navigator.clipboard.readText()")
    assert title == page.title()
    assert BELOW == lines(page)[-4:]  # no answer to what it asked of its terminal was typed
    assert page.evaluate(WHERE, "日本|") == pytest.approx(page.evaluate(WHERE, "abcd|"), abs=1)
    for theme in ("Light", "Dark"):
        page.locator("[data-tab=conversation]").click()
        notebook.theme(f"JupyterLab {theme}")
        page.locator("[data-tab=terminal]").click()
        shows(page, "turned")
        red, plain, ground = page.evaluate(INK)
        picture(page, f"painted-{theme.lower()}")
        assert len({red, plain, ground}) == 3
        assert contrast(red, ground) >= 4.5
        assert contrast(plain, ground) >= 4.5
    notebook.theme("JupyterLab Light")
    notebook.run(2)


def contrast(ink: str, ground: str) -> float:
    """As WCAG measures it, of two colours as the browser tells them."""
    light, dark = sorted((luminance(ink), luminance(ground)), reverse=True)
    return (light + 0.05) / (dark + 0.05)


def luminance(colour: str) -> float:
    parts = [float(part) for part in re.findall(r"[\d.]+", colour)[:3]]
    unit = 1 if colour.startswith("color(") else 255
    red, green, blue = (
        part / unit / 12.92 if part / unit <= 0.04045 else ((part / unit + 0.055) / 1.055) ** 2.4
        for part in parts
    )
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue
