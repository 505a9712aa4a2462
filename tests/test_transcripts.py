"""Every recorded wire keeps the contract of the harness that reads it.

`tests/transcripts/<harness>-<version>/*.jsonl` are the lines that a real CLI wrote. A file
`<story>.json` beside one says what its replay needs to be told (`madrox_nb/testing.py`).
"""

from __future__ import annotations

import subprocess
from collections.abc import Iterable
from pathlib import Path

import pytest

from madrox_nb.events import AgentReady, AgentStopped, TurnEnded
from madrox_nb.harness import Ask, Brief
from madrox_nb.harness.rehearsal import Rehearsal
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


PROMPTS = (
    "/say hello\n/usage 10 2",
    "/fail no more",
    "/approve-needed Bash\n/usage 7 1",
    "/slow 3 0.01\n/usage 9 3",
)


def test_the_rehearsal_keeps_the_contract_on_what_its_program_writes_now() -> None:
    lines = written_by_the_rehearsal()

    check_harness(Rehearsal, lines)
    ends = [item for item in replay(Rehearsal, lines) if isinstance(item, TurnEnded)]
    assert ["ok", "failed", "ok", "ok"] == [end.outcome for end in ends]


def written_by_the_rehearsal() -> list[str]:
    brief = Brief(agent="lead", command=Rehearsal.command(), workspace="/", files="/")
    codec, lines, prompts = Rehearsal(brief), list[str](), list(enumerate(PROMPTS, 1))
    with subprocess.Popen(brief.command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as program:
        assert program.stdin
        assert program.stdout

        def say(words: Iterable[str]) -> None:
            program.stdin.writelines(words)
            program.stdin.flush()

        say(codec.greet())
        for line in program.stdout:
            lines.append(line)
            for item in codec.read(line):
                if isinstance(item, Ask):
                    say(codec.answer(item.request, "allow"))
                elif isinstance(item, AgentReady | TurnEnded):
                    if not prompts:
                        program.stdin.close()  # it ends with its input
                        break
                    number, text = prompts.pop(0)
                    say(codec.prompt(f"lead.t{number}", text))
    return lines
