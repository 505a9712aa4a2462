"""docs/frames.md says of each frame what the code declares, and its examples run."""

from __future__ import annotations

import re
from pathlib import Path

import matplotlib as mpl
import pytest

from madrox_nb import Madrox
from madrox_nb.frames import columns
from madrox_nb.frames.columns import Table
from madrox_nb.frames.pictures import SUBJECTS

PAGE = (Path(__file__).parents[1] / "docs" / "frames.md").read_text()
TABLES: dict[str, Table] = {
    "agents": columns.AGENTS,
    "turns": columns.TURNS,
    "messages": columns.MESSAGES,
    "tools": columns.TOOLS,
    "approvals": columns.APPROVALS,
    "costs": columns.COSTS,
    "costs over time": columns.SPENDING,
    "limits": columns.LIMITS_SET,
    "audit": Table(columns.AUDIT.shown, {}),
}

mpl.use("agg")  # no window


def rows(name: str) -> list[list[str]]:
    """The cells of the page's table of that name."""
    [found] = re.findall(rf"<!-- {name} -->\n((?:\|.*\n)+)", PAGE)
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in found.splitlines()[2:]]


@pytest.mark.parametrize("name", TABLES)
def test_the_page_says_the_columns_and_dtypes_of_the_code(name: str) -> None:
    table = TABLES[name]

    declared = [
        (f"`{column}`", f"`{dtype}`", "full" if column in table.more else "")
        for column, dtype in table.columns(full=True).items()
    ]
    assert declared == [tuple(row[:3]) for row in rows(name)]


def test_the_page_says_what_each_frame_can_be_drawn_by() -> None:
    def listed(names: tuple[str, ...]) -> str:
        return ", ".join(f"`{name}`" for name in names)

    declared = [(each.name, listed(each.by), listed(each.values)) for each in SUBJECTS]
    assert declared == [(row[0], row[2], row[3]) for row in rows("pictures")]


@pytest.mark.slow
def test_the_examples_of_the_page_run(tmp_path: Path) -> None:
    examples = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
    assert 4 == len(examples)

    with Madrox(home=tmp_path, port=0) as m:
        lead = m.spawn("lead", harness="rehearsal", limits={"tokens": 9000})
        lead.send("/spawn api\n/send api /usage 10 5\n/usage 40 2")
        for example in examples:
            exec(example, {"m": m})
