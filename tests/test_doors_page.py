"""What docs/doors.md says of the endpoints is what they are, and its Python runs."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from cells import carry_out, notebook_of

from madrox_nb import tools  # noqa: F401 — registers them
from madrox_nb.rest.endpoints import ENDPOINTS

PAGE = Path(__file__).parents[1] / "docs" / "doors.md"


def table() -> str:
    lines = ["| endpoint | what it answers | tool |", "|---|---|---|"]
    for each in ENDPOINTS:
        tool = f"`{each.tool}`" if each.tool else ""
        lines.append(f"| `{each.method} {each.path}` | {each.about} | {tool} |")
    return "\n".join(lines) + "\n"


def test_every_endpoint_stands_on_the_page_as_it_is() -> None:
    assert table() in PAGE.read_text()


@pytest.mark.slow
@pytest.mark.xdist_group("notebooks")
def test_the_python_of_the_page_runs_as_it_stands(tmp_path: Path) -> None:
    [cell] = re.findall(r"```python\n(.*?)```", PAGE.read_text(), re.DOTALL)
    notebook = notebook_of([cell])
    carry_out(notebook, tmp_path)

    said = "".join(each["text"] for each in notebook.cells[0].outputs if each["output_type"] == "stream")
    assert "worker (worker) [idle] (rehearsal)" in said
