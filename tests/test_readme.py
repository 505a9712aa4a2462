"""What README says is true: its cells run, its commands and files are there."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from cells import carry_out, notebook_of

TOP = Path(__file__).parents[1]
README = (TOP / "README.md").read_text()
PAGES = [
    README,
    *(page.read_text() for page in (TOP / "docs").glob("*.md")),
    (TOP / "CONTRIBUTING.md").read_text(),
]


@pytest.mark.slow
@pytest.mark.xdist_group("notebooks")
def test_the_cells_of_the_readme_run_as_they_stand(tmp_path: Path) -> None:
    cells = re.findall(r"```python\n(.*?)```", README, re.DOTALL)
    inline = re.search(r"same in Python: `(.*?)`", README, re.DOTALL)
    assert cells
    assert inline
    python = inline[1].replace("\n", " ").replace('"lead"', '"other"')
    notebook = notebook_of([*cells, f"from madrox_nb import Madrox\n{python}"])

    carry_out(notebook, tmp_path)

    said = str([cell.outputs for cell in notebook.cells])
    assert "no model is thinking" in said


def test_every_make_target_that_is_named_exists() -> None:
    targets = set(re.findall(r"^([a-z-]+):", (TOP / "Makefile").read_text(), re.MULTILINE))
    named = {target for page in PAGES for target in re.findall(r"`?\bmake ([a-z-]+)\b`?(?=[ `,;)]|$)", page)}

    assert {"lab", "test", "demo", "clis", "bench"} <= named
    assert named - {"their"} <= targets


def test_every_file_that_is_linked_exists() -> None:
    links = {link for link in re.findall(r"\]\(([^)#:]+)\)", README) if "://" not in link}

    assert links
    assert [] == [link for link in links if not (TOP / link).exists()]


def test_the_readme_fits_on_a_screen() -> None:
    assert len(README.splitlines()) <= 66
