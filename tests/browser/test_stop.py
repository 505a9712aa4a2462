"""A person's stop arrives while a cell blocks, whichever way to the kernel is open."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest
from groups import absent
from lab import KERNEL, NO_COMM, NO_SUBSHELL

pytestmark = [pytest.mark.browser, pytest.mark.slow]

MINUTE = 60_000
OLDEST = Path(os.environ.get("MADROX_OLDEST", Path(__file__).parents[2] / ".oldest"))
"""Where `make oldest` puts the oldest versions of everything that madrox_nb may be installed with."""

OPEN = """%load_ext madrox_nb
from madrox_nb import Madrox
m = Madrox()
lead = %madrox spawn lead --harness rehearsal
%madrox send lead --no-wait /slow 4000 0.05
%madrox tree"""
BLOCK = """import time
print("blocks")
try:
    while m.tree["lead"].state == "busy": time.sleep(0.05)
    print("the cell went on to its end:", m.tree["lead"].state)
except KeyboardInterrupt:
    print("the cell was interrupted")"""
KEEP = f"""() => {{ const {{ clone, requestCreateSubshell }} = Object.getPrototypeOf({KERNEL});
    window.ways = {{ clone, requestCreateSubshell }} }}"""
REOPEN = f"() => {{ Object.assign(Object.getPrototypeOf({KERNEL}), window.ways) }}"
NO_DETOUR = f"""() => {{ Object.getPrototypeOf({KERNEL}).clone = () => {{ throw new Error('none') }} }}"""


def blocked(notebook: Any, page: Any, name: str, ways: list[str], **more: Any) -> None:
    """A busy agent in sight, some ways to the kernel shut, and a cell that blocks until the agent is idle."""
    notebook.open_cells(OPEN, BLOCK, "m.close()", name=name, **more)
    page.evaluate(KEEP)
    for way in ways:
        page.evaluate(way)
    notebook.run(0)
    page.wait_for_selector(".mx-row .s-busy", timeout=MINUTE)
    notebook.run(1)
    page.wait_for_function(f"{KERNEL}.status === 'busy'", timeout=MINUTE)
    page.locator(".mx-row").first.get_by_role("button", name="Interrupt").click()
    page.wait_for_function("document.querySelector('.mx-row').innerText.includes('idle')", timeout=MINUTE)


def end(notebook: Any, page: Any) -> str:
    """What the cell said that blocked; all ways are open again."""
    notebook.until_done(1)
    page.evaluate(REOPEN)
    said = str(notebook.text(1))
    notebook.run(2)
    return said


def test_the_comm_is_heard_while_a_cell_blocks(notebook: Any, page: Any) -> None:
    blocked(notebook, page, "comm.ipynb", [NO_DETOUR])

    assert "went on to its end: idle" in end(notebook, page)


def test_a_subshell_is_heard_where_the_comm_is_not(notebook: Any, page: Any) -> None:
    blocked(notebook, page, "subshell.ipynb", [NO_COMM])

    assert "went on to its end: idle" in end(notebook, page)


def test_where_neither_is_heard_the_cell_is_interrupted_and_then_the_agent(notebook: Any, page: Any) -> None:
    blocked(notebook, page, "interrupt.ipynb", [NO_COMM, NO_SUBSHELL])

    assert "the cell was interrupted" in end(notebook, page)


@pytest.fixture
def oldest(lab: Any) -> str:
    """A kernel with the oldest versions that madrox_nb may be installed with."""
    python = OLDEST / "bin/python"
    if not python.exists():
        absent("browser", f"{OLDEST}, an environment of the oldest supported versions", "make oldest")
    place = lab.root.parent / "data/kernels/oldest"
    place.mkdir(parents=True, exist_ok=True)
    argv = [str(python), "-m", "ipykernel_launcher", "-f", "{connection_file}"]
    spec = {"argv": argv, "display_name": "Oldest", "language": "python"}
    (place / "kernel.json").write_text(json.dumps(spec))
    return "oldest"


@pytest.mark.own_page  # a page that is there already does not know of that kernel
@pytest.mark.parametrize("shut", [[NO_DETOUR], [NO_COMM]], ids=["comm", "subshell"])
def test_so_it_is_with_the_oldest_kernel(notebook: Any, page: Any, oldest: str, shut: list[str]) -> None:
    blocked(notebook, page, "oldest.ipynb", shut, kernel=oldest)

    assert "went on to its end: idle" in end(notebook, page)
