"""A person works in the pane of one agent, in a real JupyterLab: sleep, return, forks, limits, details."""

from __future__ import annotations

import json
from typing import Any

import pytest

from .test_acts import WAIT, Eyes, eyes, said, tab, width  # noqa: F401 — a fixture is used by its name

pytestmark = [pytest.mark.browser, pytest.mark.slow]

BEGIN = """%load_ext madrox_nb
import subprocess
from pathlib import Path
place = Path("shop")
place.mkdir()
(place / "service.py").write_text("def refund(order):\\n    return order.total\\n")
for words in ("init -q", "add .", "-c user.name=t -c user.email=t@example commit -qm first"):
    subprocess.run(["git", "-C", str(place), *words.split()], check=True)
lead = %madrox spawn lead --role architect --harness rehearsal --turns 3
api = %madrox spawn api --harness rehearsal --parent lead --permissions ask --worktree --git-repo shop
_ = (api.workspace / "service.py").write_text("def refund(order):\\n    return order.total - order.paid\\n")
%madrox send api remember me
%madrox"""
LAST = "api.send('/recall').text"
NEW = {"file_path": "src/a.py", "content": "x"}
WRITE = f"%madrox send api --no-wait /approve-needed Write {json.dumps(NEW)}"
OUTPUT = "i => window.jupyterapp.shell.currentWidget.content.widgets[i].outputArea.node.innerText"


def output(notebook: Any, page: Any, cell: int, text: str) -> None:
    """Run a cell, and wait until it says that."""
    notebook.run(cell)
    page.wait_for_function(f"([i, text]) => ({OUTPUT})(i).includes(text)", arg=[cell, text], timeout=WAIT)


def button(page: Any, name: str) -> Any:
    return page.get_by_role("button", name=name, exact=True).first


def state(page: Any, word: str) -> None:
    page.wait_for_function(
        "word => document.querySelector('.mx-who .mx-sm').innerText.startsWith(word)", arg=word, timeout=WAIT
    )


def test_an_agent_sleeps_ends_and_comes_back_forks_and_is_given_more_by_hand(
    notebook: Any,
    page: Any,
    eyes: Eyes,  # noqa: F811 — the same
) -> None:
    page.set_viewport_size({"width": 1700, "height": 1300})
    notebook.open_cells(BEGIN, LAST, WRITE, name="pane.ipynb")
    notebook.run(0)
    page.wait_for_selector(".madrox [data-agent=api]", timeout=WAIT)
    width(page, 1100)
    page.locator(".madrox [data-agent=api]").first.click()
    state(page, "idle")
    _sleeps_and_ends(notebook, page, eyes)
    _details(page, eyes)
    _raises_a_limit(notebook, page, eyes)
    _writes_a_policy(notebook, page, eyes)
    eyes.found_nothing()


def _sleeps_and_ends(notebook: Any, page: Any, eyes: Eyes) -> None:  # noqa: F811
    button(page, "Suspend api").click()
    state(page, "suspended")
    eyes.picture("pane-suspended")
    button(page, "Resume").click()
    state(page, "idle")
    output(notebook, page, 1, "remember me")
    button(page, "Stop… api").click()
    page.get_by_role("button", name="Stop api").click()
    button(page, "Resume").wait_for(timeout=WAIT)
    eyes.picture("pane-stopped")
    button(page, "Resume").click()
    state(page, "idle")
    output(notebook, page, 1, "/recall")


def _details(page: Any, eyes: Eyes) -> None:  # noqa: F811
    tab(page, "Details")
    said(page, "pid ")
    button(page, "Diff").click()
    page.wait_for_selector(".mx-changes .a", timeout=WAIT)
    assert "order.total - order.paid" in page.locator(".mx-changes .a").inner_text()
    eyes.picture("pane-details")
    button(page, "Hide the diff").click()
    page.get_by_role("button", name="More").click()
    eyes.picture("pane-more")
    page.keyboard.press("Escape")
    button(page, "Fork…").click()
    form = page.get_by_role("dialog", name="Fork an agent")
    form.get_by_label("Name").fill("other")
    eyes.picture("pane-fork")
    form.get_by_role("button", name="Fork").click()
    page.wait_for_selector(".madrox [data-agent=other]", timeout=WAIT)
    form.wait_for(state="detached")


def _raises_a_limit(notebook: Any, page: Any, eyes: Eyes) -> None:  # noqa: F811
    page.locator(".madrox [data-agent=api]").first.click()
    page.locator(".mx-details").get_by_role("button", name="Raise…").click()
    form = page.get_by_role("dialog", name="Limits")
    form.get_by_label("Of").select_option("lead")
    page.wait_for_function("document.querySelector('.mx-form').innerText.includes('of 3 turns')")
    form.get_by_label("Turns").fill("20")
    assert "%madrox limit lead --turns 20" == form.locator("pre").inner_text()
    eyes.picture("pane-limit")
    form.get_by_role("button", name="Set").click()
    form.wait_for(state="detached", timeout=WAIT)
    said(page, "of 20 turns (lead)")


def _writes_a_policy(notebook: Any, page: Any, eyes: Eyes) -> None:  # noqa: F811
    notebook.run(2)
    said(page, "Needs you")
    tab(page, "Approvals")
    page.get_by_role("button", name="Always for …").click()
    eyes.picture("pane-always")
    page.get_by_role("menuitem", name="Write it as a policy…").click()
    page.wait_for_function("document.querySelector('.mx-policy select').options.length === 3", timeout=WAIT)
    page.get_by_label("What to allow").select_option("Write(src/*)")
    assert '[policy]\n"Write(src/*)" = "allow"' == page.locator(".mx-policy pre").inner_text()
    eyes.picture("pane-policy")
