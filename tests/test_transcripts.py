"""Every recorded wire keeps the contract of the harness that reads it.

`tests/transcripts/<harness>-<version>/*.jsonl` are the lines that a real CLI wrote. A file
`<story>.json` beside one says what its replay needs to be told (`madrox_nb/testing.py`).
"""

from __future__ import annotations

from pathlib import Path

import pytest

from madrox_nb.events import AgentReady, AgentStopped, TurnEnded
from madrox_nb.library import Harnesses
from madrox_nb.testing import check_harness, replay

TRANSCRIPTS = Path(__file__).parent / "transcripts"
STORIES = sorted(TRANSCRIPTS.glob("*/*.jsonl"))
HARNESSES = Harnesses({}, {})


def told_by(story: Path) -> tuple[str, str]:
    """(harness, version) of a transcript."""
    harness, _, version = story.parent.name.rpartition("-")
    return harness, version


@pytest.mark.parametrize("story", STORIES, ids=lambda story: f"{story.parent.name}-{story.stem}")
def test_a_recorded_wire_keeps_the_contract(story: Path) -> None:
    check_harness(HARNESSES[told_by(story)[0]], story)


@pytest.mark.parametrize("story", STORIES, ids=lambda story: f"{story.parent.name}-{story.stem}")
def test_a_recorded_wire_means_something(story: Path) -> None:
    items = replay(HARNESSES[told_by(story)[0]], story)

    assert [item for item in items if isinstance(item, AgentReady | AgentStopped)]
    assert [item for item in items if isinstance(item, TurnEnded | AgentStopped)]


@pytest.mark.parametrize(
    "folder", sorted({story.parent for story in STORIES}), ids=lambda folder: folder.name
)
def test_what_was_recorded_is_what_its_harness_says_it_was_tested_with(folder: Path) -> None:
    harness, version = told_by(folder / "any")

    assert version in HARNESSES[harness].tested


def test_there_are_recorded_wires() -> None:
    assert "claude" in {told_by(story)[0] for story in STORIES}
