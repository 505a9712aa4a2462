"""What goes wrong around a page: it sleeps, the network is gone, the kernel is killed, a form is behind."""

from __future__ import annotations

import os
import signal
from typing import Any

import pytest
from lab import QUICK_EARS, QUICK_HEART

from .test_stop import KERNEL

pytestmark = [pytest.mark.browser, pytest.mark.slow]

MINUTE = 60_000
OPEN = f"""{QUICK_HEART}
%load_ext madrox_nb
from madrox_nb import Madrox
m = Madrox()
lead = %madrox spawn lead --harness rehearsal
m"""
COUNT = f"""() => {{ window.sent = 0; {KERNEL}.anyMessage.connect((_, {{direction, msg}}) => {{
    window.sent += direction === 'send' && msg.header.msg_type === 'comm_msg' }}) }}"""


@pytest.mark.own_page  # it is looked at from another one
def test_two_tabs_see_the_same_and_one_that_slept_catches_up(notebook: Any, page: Any) -> None:
    notebook.open_cells(OPEN, "m.spawn('later', harness='rehearsal')", "m.close()", name="tabs.ipynb")
    notebook.run(0)
    page.locator(".mx-graph [data-agent=lead]").first.wait_for(timeout=MINUTE)
    page.evaluate("window.jupyterapp.commands.execute('docmanager:save')")
    other = page.context.browser.new_context().new_page()
    other.goto(f"{page.url}?token={notebook.lab.token}")
    other.locator(".mx-graph [data-agent=lead]").first.wait_for(timeout=MINUTE)
    other.evaluate(COUNT)
    sleep = other.context.new_cdp_session(other)
    sleep.send("Page.setWebLifecycleState", {"state": "frozen"})

    notebook.run(1)
    page.locator(".mx-graph [data-agent=later]").first.wait_for(timeout=MINUTE)
    sleep.send("Page.setWebLifecycleState", {"state": "active"})
    other.bring_to_front()
    other.locator(".mx-graph [data-agent=later]").first.wait_for(timeout=MINUTE)
    assert other.evaluate("window.sent") <= 4  # it asks for all of it once
    notebook.run(2)


def says(page: Any, words: str) -> None:
    page.wait_for_function(
        "words => document.querySelector('.madrox').innerText.includes(words)", arg=words, timeout=MINUTE
    )


@pytest.mark.own_page  # it is cut off
def test_a_page_whose_network_is_gone_says_so_and_then_shows_what_it_missed(notebook: Any, page: Any) -> None:
    later = "%%madrox send lead --no-wait\n/slow 80 0.05\n/spawn later"  # while the network is gone
    page.add_init_script(QUICK_EARS)
    notebook.open_cells(OPEN, later, "m.close()", name="offline.ipynb")
    notebook.run(0)
    page.locator(".mx-graph [data-agent=lead]").first.wait_for(timeout=MINUTE)
    notebook.run(1)
    says(page, "busy")
    page.context.set_offline(True)
    says(page, "Disconnected.")
    assert page.get_by_role("button", name="Stop all…").is_disabled()

    page.context.set_offline(False)
    page.locator(".mx-graph [data-agent=later]").first.wait_for(timeout=MINUTE)
    page.wait_for_function("!document.querySelector('.madrox').innerText.includes('Disconnected.')")
    assert page.get_by_role("button", name="Stop all…").is_enabled()
    notebook.run(2)


@pytest.mark.own_page  # its kernel is killed
def test_a_page_whose_kernel_was_killed_and_started_anew_looks_dead(notebook: Any, page: Any) -> None:
    page.add_init_script(QUICK_EARS)
    notebook.open_cells(OPEN, "import os; os.getpid()", name="killed.ipynb")
    notebook.run(0)
    page.locator(".mx-graph [data-agent=lead]").first.wait_for(timeout=MINUTE)
    notebook.run(1)
    page.wait_for_function(
        "window.jupyterapp.shell.currentWidget.content.widgets[1].outputArea.node.innerText.trim()",
        timeout=MINUTE,
    )
    os.kill(int(notebook.text(1).split()[-1]), signal.SIGKILL)

    says(page, "Disconnected.")
    assert page.get_by_role("button", name="Spawn", exact=True).is_disabled()
    assert page.locator(".madrox.is-cut").count() == 1


def test_a_form_that_is_behind_is_refused_in_itself_and_keeps_what_was_typed(
    notebook: Any, page: Any
) -> None:
    notebook.open_cells(OPEN, "m.stop('lead', force=True)", "list(m.tree)", "m.close()", name="behind.ipynb")
    notebook.run(0)
    page.locator(".mx-graph [data-agent=lead]").first.wait_for(timeout=MINUTE)
    page.get_by_role("button", name="Spawn", exact=True).first.click()
    form = page.get_by_role("dialog", name="Spawn an agent")
    page.wait_for_function("document.querySelector('.mx-form select').options.length > 2", timeout=MINUTE)
    form.get_by_label("Name").fill("kid")
    form.get_by_label("Under").select_option("lead")
    notebook.run(1)
    page.locator(".mx-graph [data-agent=lead] .s-stopped").first.wait_for(timeout=MINUTE)
    form.get_by_role("button", name="Spawn").click()

    form.get_by_role("alert").filter(has_text="Not spawned").wait_for(timeout=MINUTE)
    assert "lead" in form.get_by_role("alert").inner_text()
    assert "kid" == form.get_by_label("Name").input_value()
    assert 0 == page.locator(".mx-graph [data-agent=kid]").count()
    notebook.run(3)


EVIL = r"""import time
evil = "<script>window.pwned = 1</script><img src=x onerror='window.pwned = 1'> \u202eturned \x1b[31mred"
m.send("lead", "/say " + evil + " x" * 5_500_000)
began = time.monotonic()
reply = m.send("lead", "/say the last word")"""


def test_what_an_agent_writes_runs_nothing_and_ten_megabytes_freeze_nothing(notebook: Any, page: Any) -> None:
    notebook.open_cells(OPEN, EVIL, "m.close()", name="evil.ipynb")
    notebook.run(0)
    talk = page.locator(".mx-talk").first
    talk.wait_for(timeout=MINUTE)
    notebook.run(1)
    talk.get_by_text("the last word", exact=True).first.wait_for(timeout=MINUTE * 2)

    assert None is page.evaluate("window.pwned ?? null")
    assert 0 == talk.locator("script, img").count()
    assert "‹U+202E›turned" in talk.inner_text()
    assert len(talk.inner_text()) < 100_000
    notebook.run(2)


NAUGHTY = r"""import json
evil = "<img src=x onerror=window.pwned=1> \u202eturned\u2066 \x1b[31mred\x1b]0;own\x07"
one = m.spawn("one", parent="lead", harness="rehearsal", model=evil, permissions="ask")
two = m.spawn("two", parent="lead", harness="rehearsal", model=evil)
one.post(evil + " x" * 5_000_000)
_ = two.send("/say " + evil + "\n/post one " + evil + "\n/fail " + evil)
edit = {"file_path": evil, "old_string": "", "new_string": evil}
_ = one.send("/approve-needed Edit " + json.dumps(edit), wait=False)
get_ipython().run_line_magic("madrox", f'team evil --harness rehearsal --no-wait --task "{evil}"')"""
TEAM = """from pathlib import Path
Path("templates").mkdir(exist_ok=True)
_ = Path("templates/evil.md").write_text('''---
description: One who writes one thing.
members:
  - {name: head, role: architect}
phases:
  - {name: plan, who: head, what: "/write plan.md the plan", deliverables: [plan.md]}
---
''')"""
RAW = """() => {
    const raw = /[\\x00-\\x08\\x0b-\\x1f\\x7f-\\x9f\\u200e\\u200f\\u202a-\\u202e\\u2066-\\u2069]/;
    return [...document.querySelectorAll('.madrox, .madrox *')].flatMap(each => [
        ...[...each.attributes].filter(({ name, value }) => name !== 'value' && raw.test(value))
            .map(({ name }) => `${name} of ${each.className}`),
        ...[...each.childNodes].filter(({ nodeType, data }) => nodeType === 3 && raw.test(data))
            .map(() => `text of ${each.className || each.parentElement.className}`),
        ...(/^(IMG|SCRIPT|IFRAME)$/.test(each.tagName) ? [each.tagName] : [])]) }"""
DRAWN = """() => { window.drawn = []; const pen = CanvasRenderingContext2D.prototype, was = pen.fillText;
    pen.fillText = function (text, ...at) {
        window.drawn.push(text);
        return was.call(this, text, ...at) } }"""
PARTS = {
    "conversation": ".mx-talk .mx-md",
    "inbox": ".mx-mail [role=listitem]",
    "details": ".mx-dl dd",
    "terminal": ".mx-screen .xterm-rows",
    "timeline": ".mx-time canvas",
    "costs": ".mx-costs-table",
    "approvals": ".mx-appr .eff",
    "team": ".mx-ph",
}


# What is chosen from a list keeps its value: that is what is sent, and what is shown is its text.
@pytest.mark.own_page  # it notes what is drawn
def test_in_every_part_what_agents_write_is_text_that_turns_nothing_and_has_an_end(
    notebook: Any, page: Any
) -> None:
    notebook.open_cells(OPEN, TEAM, NAUGHTY, "m.close()", name="naughty.ipynb")
    notebook.run(0)
    page.locator(".mx-graph [data-agent=lead]").first.wait_for(timeout=MINUTE)
    page.evaluate(DRAWN)
    notebook.run(1)
    notebook.run(2)
    page.locator(".mx-needs").get_by_text("asks: Edit").wait_for(timeout=MINUTE)
    found = []
    for look in ("List", "Graph"):
        page.get_by_role("button", name=look, exact=True).click()
        for agent in ("one", "two"):
            page.locator(f".madrox [data-agent={agent}]").first.click()
            for part, shown in PARTS.items():
                page.locator(f"[data-tab={part}]").click()
                page.locator(shown).first.wait_for(timeout=MINUTE)
                found += [f"{part}: {fault}" for fault in page.evaluate(RAW)]
                assert len(page.inner_text(".madrox")) < 100_000, part
        for form in ("Spawn", "Broadcast"):
            page.get_by_role("button", name=form, exact=True).first.click()
            page.get_by_role("dialog").wait_for()
            found += [f"{form}: {fault}" for fault in page.evaluate(RAW)]
            page.keyboard.press("Escape")

    assert [] == sorted(set(found))
    assert None is page.evaluate("window.pwned ?? null")
    assert [] == [text for text in page.evaluate("window.drawn") if "\u202e" in text or "\x1b" in text]
    assert "‹U+202E›turned" in page.inner_text(".madrox")
    notebook.run(3)
