"""What is heard of a program at a terminal while it speaks."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from terminals import told

from madrox_nb.events import TextDelta
from madrox_nb.manager import Manager

pytestmark = pytest.mark.slow


async def overheard(m: Manager, text: str, enough: Callable[[str], bool]) -> tuple[list[str], Any]:
    """Send `text`, interrupt when `enough` of its words were heard; all that were heard, and the answer."""
    words, late, come = [], [], asyncio.Event()

    def hear(signal: Any) -> None:
        if isinstance(signal, TextDelta):
            (words if signal.turn == m.tree["lead"].turn else late).append(signal.text)
            if enough("".join(words)):
                come.set()

    m.watch(hear)
    turn = asyncio.ensure_future(m.send("lead", text))
    await asyncio.wait_for(come.wait(), 30)
    assert not turn.done()
    await m.interrupt("lead")
    answer, heard = await turn, list(words)
    await m.send("lead", "1 # as long as it takes")
    assert [] == late, "something was told after the end of its turn"
    return heard, answer


SPEAKERS = {
    "python": "import time\nfor i in range(600): print('word', i, flush=True); time.sleep(0.01)",
    "shell": "for i in {0..599}; do echo word $i; sleep 0.01; done",
}


@pytest.mark.parametrize("harness", SPEAKERS)
def test_an_answer_is_heard_while_it_is_printed(tmp_path: Path, harness: str) -> None:
    if harness == "shell" and not shutil.which("bash"):
        pytest.skip("bash is absent; this provides it: apt install bash")

    async def story(m: Manager) -> None:
        words, answer = await overheard(m, SPEAKERS[harness], lambda text: "word 50" in text)
        said = "".join(words)
        assert said.startswith("word 0\nword 1\n")
        assert answer.text.startswith(said)
        assert 3 < len(words)
        assert "interrupted" == answer.outcome

        words, answer = await overheard(m, BEGUN[harness], lambda text: "begun" in text)
        assert ["begun"] == words
        assert answer.text.startswith("begun")

        assert "1 2" == (await m.send("lead", {"python": "print(1, 2)", "shell": "echo 1 2"}[harness])).text

    told(tmp_path, story, harness)


BEGUN = {
    "python": "print('beg' 'un', end='', flush=True)\nwhile True: pass",
    "shell": "printf beg'un'; sleep 600",
}
"""They print a piece of a line, and pause."""


def test_all_of_an_answer_is_heard_but_what_comes_with_its_end(tmp_path: Path) -> None:
    async def story(m: Manager) -> None:
        words: list[str] = []
        stop = m.watch(lambda signal: words.append(signal.text) if isinstance(signal, TextDelta) else None)
        code = "import time\nfor i in range(600): print('word', i, flush=True); time.sleep(0.002)\n'end'"
        answer = await m.send("lead", code)
        stop()
        assert "\n".join([*(f"word {n}" for n in range(600)), "'end'"]) == answer.text
        said = "".join(words)
        assert answer.text.startswith(said)
        assert len(answer.text) // 2 < len(said)

    told(tmp_path, story, "python")


def test_of_a_flood_little_is_told_and_its_end_is_the_answer(tmp_path: Path) -> None:
    async def story(m: Manager) -> None:
        words: list[str] = []
        begun = asyncio.get_running_loop().time()
        stop = m.watch(lambda signal: words.append(signal.text) if isinstance(signal, TextDelta) else None)
        answer = await m.send("lead", "for i in range(300_000): print('y' * 99)\n'the end'")
        stop()
        took = asyncio.get_running_loop().time() - begun
        assert answer.text.endswith("y\n'the end'")
        assert 10 * took + 1 >= len(words)
        assert [] == [len(each) for each in words if len(each) > 4096]

    told(tmp_path, story, "python")
