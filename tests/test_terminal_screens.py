"""Programs that paint a screen, played here and recorded from real ones."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import pytest
from terminals import PAINTER, brief, interrupted, painter
from test_screen import Terminal as ByHand

from madrox_nb import profiles
from madrox_nb.events import AgentReady, AgentStopped, TurnEnded
from madrox_nb.harness import Write
from madrox_nb.harness.terminal import Terminal
from madrox_nb.manager import Manager
from madrox_nb.transport import Line

pytestmark = pytest.mark.slow


# screens


def test_a_program_that_paints_answers(tmp_path: Path) -> None:
    async def story(m: Manager) -> None:
        assert "hello 0" == (await m.send("lead", "hello")).text
        assert "again 0" == (await m.send("lead", "again")).text

    painter(tmp_path, story)


def test_a_footer_that_changes_is_no_end(tmp_path: Path) -> None:
    async def story(m: Manager) -> None:
        assert "footer me 0" == (await m.send("lead", "footer me")).text

    painter(tmp_path, story)


def test_work_that_does_not_move_is_no_end(tmp_path: Path) -> None:
    async def story(m: Manager) -> None:
        assert "ponders it 0" == (await m.send("lead", "ponders it")).text

    painter(tmp_path, story, prompt=r"^\|\n-{40}")  # which is there all the time


@pytest.mark.parametrize("start", [r"^you: .*\n", r"^you: .*\n(?== )"], ids=["its text", "and an answer"])
def test_a_screen_that_looks_ready_before_there_is_an_answer_is_looked_at_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, start: str
) -> None:
    async def story(m: Manager) -> None:
        assert "hello 0" == (await m.send("lead", "hello")).text
        assert "late one 0" == (await m.send("lead", "late one")).text
        monkeypatch.setattr("madrox_nb.harness.terminal.LOOKS", 1)
        answer = await m.send("lead", "mute")
        assert (False, "") == (answer.ok, answer.text)

    painter(tmp_path, story, silent=False, answer={**PAINTER["answer"], "start": start})


def test_without_a_sign_of_where_answers_begin_the_screen_is_the_answer(tmp_path: Path) -> None:
    async def story(m: Manager) -> None:
        assert "you: hello\n= hello 0" == (await m.send("lead", "hello")).text
        assert "you: hello\n= hello 0\nyou: again\n= again 0" == (await m.send("lead", "again")).text

    painter(tmp_path, story, answer={"end": "^-{40}"})


def test_a_dead_screen_is_a_failure_however_long_it_stays(tmp_path: Path) -> None:
    async def story(m: Manager) -> None:
        answer = await m.send("lead", "freezes")
        assert not answer.ok
        assert "its screen shows neither prompt nor work and has not changed for 1 s" == answer.error

    painter(tmp_path, story)


def test_a_painting_program_that_dies_at_work_has_not_succeeded(tmp_path: Path) -> None:
    async def story(m: Manager) -> None:
        assert not (await m.send("lead", "dies")).ok

    painter(tmp_path, story)


def test_a_text_that_was_typed_and_not_taken_up_is_sent_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("madrox_nb.harness.terminal.TAKES_UP", 0.3)

    async def story(m: Manager) -> None:
        assert "swallows it 0" == (await m.send("lead", "swallows it")).text
        answer = await m.send("lead", "deaf")
        assert (False, "it did not take up what was typed") == (answer.ok, answer.error)

    painter(tmp_path, story)


def test_work_on_a_screen_is_interrupted_with_its_own_key(tmp_path: Path) -> None:
    async def story(m: Manager) -> None:
        answer = await interrupted(m, "works 60", "thinking 3")
        assert ("interrupted", "stopped") == (answer.outcome, answer.text)
        assert "hello 0" == (await m.send("lead", "hello")).text
        again = await interrupted(m, "works 60", "thinking 3")
        assert "hello 0" not in again.text  # that was the answer before

    painter(tmp_path, story)


# what the real screens looked like


class Played:
    """A codec at a terminal that plays what a real program wrote."""

    def __init__(self, name: str) -> None:
        cls = Terminal.family({"terminal": profiles.read([profiles.SHIPPED])})[name]
        self.codec, self.items = cls(brief()), []
        self.terminal = ByHand(paints=True, size=cls.profile.size)
        self.terminal.facts.lines = self.lines
        self.obey(self.codec.greet())

    def obey(self, orders: Iterable[str]) -> None:
        for order in orders:
            self.terminal.pty.write(order)

    def lines(self, lines: Sequence[Line]) -> None:
        for item in self.codec.read(lines[0].text):
            self.obey([item.line]) if isinstance(item, Write) else self.items.append(item)

    async def play(self, wire: bytes, until: type, piece: int) -> Any:
        self.terminal.prints(*(wire[i : i + piece] for i in range(0, len(wire), piece)))
        async with asyncio.timeout(20):
            while not (found := [item for item in self.items if isinstance(item, until)]):
                await asyncio.sleep(0.01)
        return found[0]


@pytest.mark.parametrize("piece", [7, 65_536])
@pytest.mark.parametrize(
    ("folder", "begins"),
    [
        ("claude-screen-2.1.330", "echo: hello there | seen=[]"),
        ("codex-screen-0.169.0", "echo: # Who you are\n"),
    ],
)
def test_a_screen_that_was_recorded_is_understood(folder: str, begins: str, piece: int) -> None:
    wires = Path(__file__).parent / "transcripts" / folder

    async def main() -> None:
        played = Played(folder.rpartition("-")[0])
        await played.play((wires / "start.wire").read_bytes(), AgentReady, piece)
        played.obey(played.codec.prompt("lead.t1", "hello there"))
        ended = await played.play((wires / "turn.wire").read_bytes(), TurnEnded, piece)
        assert "ok" == ended.outcome
        assert ended.text.startswith(begins)
        assert "/effort" not in ended.text
        assert not re.search("^[›❯─]", ended.text, re.MULTILINE)

    asyncio.run(main())


@pytest.mark.parametrize("folder", ["claude-screen-2.1.330", "codex-screen-0.169.0"])
def test_a_recorded_screen_without_its_turn_is_no_answer(
    folder: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The prompt of before stands there, unchanged; that is no sign that anything was taken up."""
    monkeypatch.setattr("madrox_nb.harness.terminal.TAKES_UP", 0.5)
    wires = Path(__file__).parent / "transcripts" / folder

    async def main() -> None:
        played = Played(folder.rpartition("-")[0])
        await played.play((wires / "start.wire").read_bytes(), AgentReady, 65_536)
        played.obey(played.codec.prompt("lead.t1", "hello there"))
        stopped = await played.play(b"\x1b[1;1H", AgentStopped, 65_536)
        assert "it did not take up what was typed" == stopped.reason

    asyncio.run(main())
