"""A run at any moment of its past is what a replay up to there gives, however one got there."""

import random
import threading
from collections import Counter, OrderedDict
from dataclasses import fields

import pytest
from long_run import BEGAN, STEP, long_run, written

from madrox_nb.conversation import Conversation
from madrox_nb.doing import Doing
from madrox_nb.events import AgentSpawned, Entry
from madrox_nb.parts import past as reading
from madrox_nb.parts.copying import copied
from madrox_nb.parts.moment import Moment, unwatched
from madrox_nb.parts.past import EVERY, KEPT, NEAR, SLICE, Folds, Past, PastConversations
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
        *("processes", "harnesses", "earlier"),
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

    assert len(kept) <= KEPT
    assert max(b - a for a, b in zip([0, *kept], kept, strict=False)) <= 4 * EVERY


def test_the_first_look_into_a_long_run_copies_the_folds_a_bounded_number_of_times(tmp_path, monkeypatch):
    made = Counter()

    def counted(folds):
        made["copies"] += 1
        return copied(folds)

    monkeypatch.setattr(reading, "copied", counted)
    again = AgentSpawned(agent="a", harness="h", role="r")
    many = 5 * KEPT * EVERY
    path = written(tmp_path / "run.jsonl", [Entry(seq, BEGAN, again) for seq in range(many)])
    past = Past(lambda: [path], Tree)
    past.at(many)
    assert made["copies"] <= KEPT + NEAR

    made.clear()
    past.at(many // 2 + 7 * EVERY)
    assert made["copies"] <= 2 * NEAR


class Clock:
    """A clock on which each line takes a tenth of a slice."""

    def __init__(self):
        self.now, self.rests = 0.0, 0

    def monotonic(self):
        self.now += SLICE / 10
        return self.now

    def sleep(self, seconds):
        assert seconds > 0
        self.rests += 1


class Enough(Exception):
    """The one who watches wants no more."""


def test_it_rests_after_each_slice_and_tells_how_far_it_is(file, monkeypatch):
    clock, heard = Clock(), []
    monkeypatch.setattr(reading, "time", clock)
    Past(lambda: [file], Folds).at(2999, lambda *told: heard.append(told))

    assert 2999 // 12 <= clock.rests == len(heard)
    assert sorted(heard) == heard
    assert {3000} == {of for _, of in heard}
    assert 0 < heard[0][0] < 20
    assert 2950 < heard[-1][0] <= 3000


def test_a_look_that_is_given_up_ends_at_once_and_what_was_read_is_not_read_again(file, monkeypatch):
    monkeypatch.setattr(reading, "time", Clock())
    past, read = Past(lambda: [file], Folds), Counter()

    def counted(line):
        read["lines"] += 1
        return True

    def enough(so_far, of):
        if so_far > 1000:
            raise Enough

    past._only = counted
    with pytest.raises(Enough):
        past.at(3999, enough)
    assert 1000 < read["lines"] < 1050

    read.clear()
    assert same(replayed(1200), past.at(1200).folds)
    assert read["lines"] < 250
    assert same(replayed(999), past.at(999).folds)


def test_who_looks_while_another_reads_hears_how_far_that_one_is_and_may_give_up(file, monkeypatch):
    monkeypatch.setattr(reading, "SLICE", 0.0)
    past, halfway, go_on = Past(lambda: [file], Folds), threading.Event(), threading.Event()

    def watch(read, of):
        if read == 500:
            halfway.set()
            assert go_on.wait(60)

    def enough(*told):
        heard.append(told)
        raise Enough

    heard = []
    first = threading.Thread(target=past.at, args=(3000, watch))
    first.start()
    assert halfway.wait(60)
    with pytest.raises(Enough):
        past.at(10, enough)
    assert [(500, 3001)] == heard

    go_on.set()
    assert same(replayed(10), past.at(10).folds)
    first.join()


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


def test_a_conversation_of_long_ago_is_not_looked_for_beyond_that_moment(tmp_path):
    """An agent that says nothing more would else be looked for to the end, at each step."""
    first = next(e.seq for e in ENTRIES if e.event.agent == "lead.6.6")
    path = written(tmp_path / "run.jsonl", ENTRIES)
    place = Past(lambda: [path], Folds).at(first + 1)
    with path.open("r+b") as file:  # whoever reads on meets nothing that can be read
        file.truncate(place.position.offset)
        file.seek(place.position.offset)
        file.write(ENTRIES[first + 2].to_line() * 500)
    known, lines = OrderedDict(), Counter()
    look = PastConversations(lambda: [path], known, place, unwatched)
    look("lead.6.6")
    past = known["lead.6.6"]

    def counted(line):
        lines["read"] += 1
        return b'"lead.6.6"' in line

    past._only = counted
    past._places, past._last = [], None
    assert Conversation.replay(ENTRIES[: first + 2], "lead.6.6") == look("lead.6.6")
    assert first + 2 == lines["read"]
