"""The words of a terminal program while it speaks: always the beginning of its answer."""

from __future__ import annotations

import json
import random
from collections.abc import Iterable, Sequence
from typing import Any

import pytest

from madrox_nb import profiles
from madrox_nb.events import TextDelta, TurnSaid
from madrox_nb.harness import Brief
from madrox_nb.harness.profile import profile
from madrox_nb.harness.spoken import HELD, Words
from madrox_nb.harness.terminal import Terminal

SHIPPED = Terminal.family({"terminal": profiles.read([profiles.SHIPPED])})
ANSWERS = {
    "shell": ("one\r\ntwo  \r\n\r\n  three\n\n", "one\ntwo  \n\n  three"),
    "python": ("\n\n  first\n⟨py⟩ no prompt\nlast", "  first\n⟨py⟩ no prompt\nlast"),
    "ipython": ("said\nOut[3]: \n{'a': 1}\nOut[x]\n", "said\n{'a': 1}\nOut[x]"),
    "llm": ("a\n> quoted\n\n\nb\n", "a\n> quoted\n\n\nb"),
    "aider": (
        "> > > \na\n> > \nb\nTokens: 2.1k sent, 3 received.\n\n/f/instructions.md (read only)\n",
        "a\n> > \nb",
    ),
    "ollama": ("first line\n>>> second line\n\r⠋ \r⠙ \rthe answer\nfirst line\n", "the answer\nfirst line"),
}
"""What each prints between our text and its prompt, and what of it is the answer."""


def codec(name: str) -> Any:
    made = SHIPPED[name](Brief(agent="lead", command=("/bin/x",), workspace="/w", files="/f"))
    list(made.greet())
    made.read(json.dumps({"fact": "saw", "name": "prompt", "before": "", "match": "> ", "missing": 0}))
    list(made.prompt("lead.t1", "first line\nsecond line"))
    if name == "ollama":  # it was told to type quotes around them
        made._echo = ["first line", "second line"]
        made._words = Words(made.profile, made._echo)
    return made


def spoken(made: Any, pieces: Iterable[str]) -> list[str]:
    items = [item for text in pieces for item in made.read(json.dumps({"fact": "printed", "text": text}))]
    return [item.text for item in items if isinstance(item, TextDelta)]


def answer(made: Any, raw: str) -> str:
    fact = {"fact": "saw", "name": "prompt", "before": raw, "match": "> ", "missing": 0}
    [said] = [item.text for item in made.read(json.dumps(fact)) if isinstance(item, TurnSaid)]
    return str(said)


def told(text: str, pieces: Sequence[str], **keys: Any) -> list[str]:
    """What is told of `pieces` by a program of this kind; `text` is what it was sent."""
    words = Words(
        profile("tool", {"command": "tool", "prompt": "^> ", **keys}), text.split("\n") if text else []
    )
    return [words.more(piece) for piece in pieces]


def lines(text: str) -> list[str]:
    return text.splitlines(keepends=True)


@pytest.mark.parametrize("name", ANSWERS)
def test_an_answer_told_line_by_line_is_the_beginning_of_that_at_its_end(name: str) -> None:
    raw, whole = ANSWERS[name]
    for seed in range(200):  # lines in groups, as the terminal tells them
        made, chance, groups = codec(name), random.Random(seed), [""]
        for line in raw.split("\n")[:-1]:
            groups[-1] += line + "\n"
            if chance.random() < 0.6:
                groups.append("")
        heard = spoken(made, groups)

        assert whole == answer(made, raw), name
        assert whole.startswith("".join(heard)), (name, groups)
        assert len(whole.rpartition("\n")[0]) <= len("".join(heard)), (name, groups)


def test_a_piece_of_a_line_is_told_and_what_follows_in_the_line_is_told_alone() -> None:
    assert ["think", "ing", " hard\nand", " on\nend"] == told(
        "", ["think", "ing", " hard\nand", " on\nend\n"]
    )


def test_what_may_be_a_prompt_waits_for_its_line_to_end() -> None:
    assert ["a", "", "\n> quoted"] == told("", ["a\n> ", "quo", "ted\n"])


def test_a_line_that_is_being_written_anew_waits_and_one_that_was_told_is_told_anew() -> None:
    assert ["", "100%"] == told("", ["10%\r20%", "\r100%\n"])
    assert ["10%", "", "\n100%\nend"] == told("", ["10%", "\r20%", "\r100%\nend\n"])


def test_line_ends_are_told_with_what_follows_them() -> None:
    assert ["a", "", "\n\n\nb"] == told("", ["\n\na\n\n", "\n", "b\n"])


def test_the_echo_of_what_was_sent_is_not_told_though_it_comes_in_pieces() -> None:
    assert ["", "", "", "two again"] == told("one\ntwo", ["> on", "e\n", "> two\n", "two again\n"])
    assert ["other", "\none"] == told("one\ntwo", ["other\n", "one\n"])


def test_what_is_stripped_depending_on_what_follows_waits() -> None:
    end = {"answer": {"strip": [r"^files:(?s:.*)\Z", r"\n\[done\]\Z"]}}

    assert ["a", "", ""] == told("", ["a\n", "files: x\n", "y\n"], **end)
    assert ["a", "\nb"] == told("", ["a\n", "b\n"], **end)


def test_of_what_waits_for_ever_no_more_is_told() -> None:
    words = Words(profile("tool", {"command": "tool", "prompt": "^> "}), [])
    for _ in range(3 + HELD // 1000):
        assert "" == words.more("\r" + "x" * 999)

    assert words.over
    assert "" == words.more("\nmore\n")


def test_what_was_printed_before_a_dialog_is_told_and_the_answer_goes_on_after_it() -> None:
    table = {"command": "t", "prompt": "^> ", "dialogs": [{"see": r"\[y/N\] ", "answer": "n"}]}
    made: Any = Terminal.like(profile("t", table))(codec("llm").brief)
    list(made.prompt("lead.t1", "go"))
    asked = {"fact": "saw", "name": "dialog 0", "match": "[y/N] ", "missing": 0}
    heard = spoken(made, ["one\n"])
    items = made.read(json.dumps({**asked, "before": "one\ntwo\nsure? "}))
    heard += [item.text for item in items if isinstance(item, TextDelta)]
    heard += spoken(made, ["no\nthree\n"])

    assert ["one", "\ntwo\nsure?", " no\nthree"] == heard
    assert "one\ntwo\nsure? no\nthree" == answer(made, "no\nthree\n")


@pytest.mark.parametrize(
    ("speaks", "keys"),
    [
        (True, {}),
        (False, {"paints": True, "busy": "working"}),
        (False, {"prompt": r"^files: .*\n> "}),
        (False, {"answer": {"start": "^answer:"}}),
        (False, {"answer": {"end": "^figures:"}}),
    ],
)
def test_words_are_told_where_it_is_known_of_a_line_that_it_is_of_the_answer(
    speaks: bool, keys: dict[str, Any]
) -> None:
    assert speaks == profile("tool", {"command": "tool", "prompt": "^> ", **keys}).speaks
    assert {"aider", "ipython", "llm", "ollama", "python", "shell"} == {
        name for name, cls in SHIPPED.items() if cls.profile.speaks
    }
