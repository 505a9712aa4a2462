"""What a notebook keeps of live views, in a real kernel."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from cells import notebook_of
from worlds import WIDGET_VIEW

pytestmark = pytest.mark.slow

BEGIN = """import os; os.environ["ORCHESTRATOR_PORT"] = "0"
from madrox_nb import Madrox
m = Madrox(home={home!r}, harnesses=("rehearsal",))
lead = m.spawn("lead")"""


def ran(tmp_path: Path, *cells: str) -> Any:
    """The notebook after a real kernel has run it."""
    from nbclient import NotebookClient

    made = notebook_of([BEGIN.format(home=str(tmp_path / "home")), *cells])
    NotebookClient(made, timeout=120, kernel_name="python3", store_widget_state=False).execute()
    return made


def kept(made: Any, cell: int) -> dict[str, str]:
    [output] = made.cells[cell].outputs
    return dict(output.data)


def test_at_the_end_of_a_run_the_live_view_gives_way_to_what_it_showed(tmp_path: Path) -> None:
    made = ran(tmp_path, 'm.widget("tree")', "m", "m.close()")

    for cell in (1, 2):
        assert {"text/plain", "text/html"} == kept(made, cell).keys()
        assert "stopped" in kept(made, cell)["text/plain"]
        assert "stopped" in kept(made, cell)["text/html"]


def test_a_view_is_not_drawn_anew_while_the_run_goes_on(tmp_path: Path) -> None:
    """What a person has typed there would be lost."""
    work = """_ = lead.send("/say hi"); kid = m.spawn("kid", parent="lead"); v = m.widget("tree")
for _ in range(20): v.beat(); v.flush()"""
    made = ran(tmp_path, 'm.widget("tree")', work)

    assert WIDGET_VIEW in kept(made, 1)
    assert "lead" in kept(made, 1)["text/plain"]
    assert "kid" not in kept(made, 1)["text/plain"]


def test_twenty_dashboards_weigh_little(tmp_path: Path) -> None:
    made = ran(tmp_path, *["m"] * 20)
    sizes = [len(json.dumps(kept(made, cell))) for cell in range(1, 21)]

    assert max(sizes) < 5_000, sizes
