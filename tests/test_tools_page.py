"""What docs/tools.md says of the tools is what they are."""

from __future__ import annotations

import re
from pathlib import Path

from madrox_nb import tools
from madrox_nb.calls import TOOLS

PAGE = Path(__file__).parents[1] / "docs" / "tools.md"
KINDS = {
    "spawning": "Starting",
    "choosing": "What can be started",
    "teams": "Teams",
    "messages": "Words",
    "coordination": "Several on one task",
    "approvals": "Approvals",
    "seeing": "Seeing",
    "summaries": "Summing up",
    "dashboard": "Watching",
    "money": "Money and limits",
    "steering": "Ending, sleeping, waiting",
    "files": "Files",
    "records": "Logs",
}


def table() -> str:
    """One section a kind, one row a tool: its name, the first sentence of what it says, its scope."""
    lines = []
    for kind, title in KINDS.items():
        lines += [f"## {title}", "", "| tool | what it does | needs |", "|---|---|---|"]
        for name, tool in sorted(TOOLS.items()):
            if tool.function.__module__.endswith(f".{kind}"):
                first = re.split(r"(?<=[.:]) ", " ".join(tool.description.split()))[0].rstrip(".:")
                lines.append(f"| `{name}` | {first} | {tool.needs} |")
        lines.append("")
    return "\n".join(lines)


def test_every_tool_stands_on_the_page_as_it_is() -> None:
    assert table() in PAGE.read_text()


def test_every_kind_of_tool_has_a_title() -> None:
    assert set(tools.__all__) == set(KINDS)
