"""What docs/magics.md says of the lines is what they are."""

from __future__ import annotations

from pathlib import Path

from madrox_nb.magics.table import GROUPS

PAGE = Path(__file__).parents[1] / "docs" / "magics.md"


def tables() -> str:
    """One section a group, one row a command: what it does, and a line such as one would write."""
    lines = []
    for title, group in GROUPS.items():
        lines += [f"## {title}", "", "| command | what it does | such as |", "|---|---|---|"]
        lines += [f"| `{each.name}` | {each.about} | `{each.example}` |" for each in group]
        lines.append("")
    return "\n".join(lines)


def test_every_command_stands_on_the_page_as_it_is() -> None:
    assert tables() in PAGE.read_text()
