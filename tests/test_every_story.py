"""Every story that was promised is told, and through both doors: B1 to B18, W1 to W26, L1 to L12.

B are the behaviours that users rely on, W the weaknesses of the system before this one, L the
lessons of others. A test tells one when its name begins with its number: `test_w4_…`.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

TESTS = Path(__file__).parent
PROMISED = {f"{letter}{n}" for letter, last in (("b", 18), ("w", 26), ("l", 12)) for n in range(1, last + 1)}
BY_OTHER_CLIENTS = {
    "b1": "test_bridge lists and calls with both clients in one test, in both eras",
    "w14": "test_parity compares all faces, two of which are the doors",
    "w23": "test_bridge speaks the protocol itself through both",
}
DOORLESS = {
    "b13": "what a CLI is started with does not depend on who asked",
    "w19": "what is installed",
    "l3": "whose process one ends when the run is over",
    "l10": "what runs before there is a door",
}


def stories() -> Iterator[tuple[str, bool]]:
    """(number, whether each door has its turn) of every test that tells one."""
    for path in sorted(TESTS.rglob("test_*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                continue
            if told := re.match(r"test_([bwl]\d+)_", node.name):
                yield told[1], {"door", "kind"} & {each.arg for each in node.args.args} != set()


def test_every_story_is_told_and_no_number_is_made_up() -> None:
    assert set() == PROMISED ^ {number for number, _ in stories()}


def test_every_story_goes_through_both_doors_where_there_is_a_door() -> None:
    through = {number for number, both in stories() if both}

    assert PROMISED - BY_OTHER_CLIENTS.keys() - DOORLESS.keys() == through


def test_other_tests_are_called_after_stories_only_by_their_numbers() -> None:
    named = re.compile(r"def (test_(?:behaviou?r|weakness|lesson)_\d+)")
    found = [each for path in TESTS.rglob("test_*.py") for each in named.findall(path.read_text())]

    assert [] == found
