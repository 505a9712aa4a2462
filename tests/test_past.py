"""A run at any moment of its past is what a replay up to there gives, however one got there."""

import random
from collections import Counter
from dataclasses import fields

import pytest
from long_run import BEGAN, STEP, long_run, written

from madrox_nb.conversation import Conversation
from madrox_nb.doing import Doing
from madrox_nb.events import AgentSpawned, Entry
from madrox_nb.parts.moment import Moment
from madrox_nb.parts.past import EVERY, KEPT, Folds, Past
from madrox_nb.tree import Tree

ENTRIES = long_run(4000)


def replayed(seq):
    folds = Folds()
    for entry in ENTRIES[: seq + 1]:
        folds.apply(entry)
    return folds


def same(a, b):
    """Every fold of both, the last one by what it holds."""
    return all(
        vars(left) == vars(right) if isinstance(left, Doing) else left == right
        for each in fields(Folds)
        for left, right in [(getattr(a, each.name), getattr(b, each.name))]
    )


@pytest.fixture(scope="module")
def file(tmp_path_factory):
    return written(tmp_path_factory.mktemp("past") / "run.jsonl", ENTRIES)


def test_the_run_after_any_entry_is_a_replay_of_the_entries_up_to_it(file):
    past, chance = Past(lambda: [file], Folds), random.Random(7)
    for seq in [0, 3999, EVERY - 1, EVERY, EVERY + 1, *chance.sample(range(4000), 12)]:
        place = past.at(seq)

        assert (seq, BEGAN + seq * STEP) == (place.seq, place.when)
        assert same(replayed(seq), place.folds), seq


def test_every_fold_of_a_moment_has_its_past():
    of_the_present = {
        *("title", "now", "conversations", "wires", "spans", "density", "past", "redacted"),
    }

    assert {each.name for each in fields(Moment)} - of_the_present == {each.name for each in fields(Folds)}


def test_steps_forth_and_back_give_what_a_jump_gives(file):
    past = Past(lambda: [file], Folds)
    for seq in (1500, 1501, 1502, 1501, 1500, 1499, 1500):
        assert same(replayed(seq), past.at(seq).folds), seq


def test_what_was_given_out_does_not_change_when_one_goes_on(file):
    past = Past(lambda: [file], Folds)
    before = past.at(700).folds
    past.at(2500)
    past.at(701)

    assert same(replayed(700), before)


def test_a_step_reads_few_entries_wherever_one_is(file):
    past, read = Past(lambda: [file], Folds), Counter()

    def counted(line):
        read["lines"] += 1
        return True

    past._only = counted
    past.at(3999)
    for seq in (3999, 3000, 2999, 1000, 999, 1000, 0):
        read.clear()
        past.at(seq)
        assert read["lines"] <= EVERY + 2, seq


def test_a_long_run_keeps_few_places_and_they_are_spread_over_it(tmp_path):
    many = (2 * KEPT + 5) * EVERY
    again = AgentSpawned(agent="a", harness="h", role="r")
    path = written(tmp_path / "run.jsonl", [Entry(seq, BEGAN, again) for seq in range(many)])
    past = Past(lambda: [path], Tree)
    past.at(many)
    kept = [place.seq for place in past._places]

    assert len(kept) == KEPT
    assert max(b - a for a, b in zip([0, *kept], kept, strict=False)) <= 4 * EVERY


def test_entries_written_later_and_on_the_next_day_are_found(tmp_path):
    first, second = tmp_path / "1", tmp_path / "2"
    written(first, ENTRIES[:100])
    past = Past(lambda: [path for path in (first, second) if path.exists()], Folds)
    assert past.at(500).seq == 99

    written(second, ENTRIES[100:300])
    assert same(replayed(250), past.at(250).folds)
    assert same(replayed(260), past.at(260).folds)
    assert same(replayed(50), past.at(50).folds)


def test_torn_and_foreign_lines_are_passed_over(tmp_path):
    path = written(tmp_path / "run.jsonl", ENTRIES[:50])
    with path.open("ab") as file:
        file.write(b"[]\n\xff\xfe\n" + ENTRIES[50].to_line() + ENTRIES[51].to_line()[:40])

    assert 50 == Past(lambda: [path], Folds).at(99).seq


def test_a_conversation_of_the_past_is_one_of_the_entries_up_to_there(file):
    name = "lead.2.3"
    past = Past(lambda: [file], lambda: Conversation(name), lambda line: b'"lead.2.3"' in line)
    for seq in (3999, 1234, 1235, 40):
        assert Conversation.replay(ENTRIES[: seq + 1], name) == past.at(seq).folds, seq
