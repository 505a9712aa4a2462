"""Everything that can happen survives being written down."""

from dataclasses import MISSING, FrozenInstanceError, fields
from datetime import UTC, datetime
from math import isnan

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from madrox_nb.events import (
    KINDS,
    Entry,
    MessagePosted,
    RunOpened,
    TurnSaid,
    TurnStarted,
    Unknown,
    UsageReported,
    whole,
)

NOON = datetime(2026, 7, 25, 12, tzinfo=UTC)

VALUES = {
    "str": st.text(st.characters(exclude_categories=["Cs"])),
    "str | None": st.none() | st.text(st.characters(exclude_categories=["Cs"])),
    "int": st.integers(-(2**53), 2**53),
    "int | None": st.none() | st.integers(-255, 255),
    "float": st.floats(allow_nan=False, allow_infinity=False),
    "bool": st.booleans(),
    "tuple[str, ...]": st.lists(st.text(st.characters(exclude_categories=["Cs"])), max_size=3).map(tuple),
    "Outcome": st.sampled_from(["ok", "failed", "interrupted"]),
    "Decision": st.sampled_from(["allow", "deny", "withdrawn"]),
    "JobOutcome": st.sampled_from(["ok", "failed", "interrupted", "stopped"]),
    "Way": st.sampled_from(["sequential", "parallel", "consensus"]),
    "PhaseOutcome": st.sampled_from(["ok", "failed", "stopped"]),
    "TeamMode": st.sampled_from(["phases", "lead"]),
    "Always": st.sampled_from(["", "agent", "subtree", "tool"]),
}
ANY_EVENT = st.one_of(
    st.builds(cls, **{f.name: VALUES[f.type] for f in fields(cls)}) for cls in KINDS.values()
)


def back(entry):
    return Entry.from_line(entry.to_line())


@settings(max_examples=300, deadline=None, database=None)
@given(ANY_EVENT, st.integers(0, 2**53), st.datetimes(timezones=st.just(UTC)))
def test_every_kind_comes_back_from_its_line_as_it_was(event, seq, ts):
    entry = Entry(seq, ts, event)

    assert entry == back(entry)


@settings(max_examples=100, deadline=None, database=None)
@given(ANY_EVENT)
def test_one_event_is_one_line_whatever_it_says(event):
    line = Entry(0, NOON, event).to_line()

    assert 1 == line.count(b"\n")
    assert line.endswith(b"\n")


def test_every_kind_is_tried_by_the_property():
    assert 29 == len(KINDS)
    assert set() == {f.type for cls in KINDS.values() for f in fields(cls)} - set(VALUES)


def test_a_line_begins_with_version_seq_time_and_kind():
    row = orjson.loads(Entry(7, NOON, RunOpened(run="r", madrox="0.1", pid=1)).to_line())

    assert ["v", "seq", "ts", "kind", "agent"] == list(row)[:5]
    assert (1, 7, "2026-07-25T12:00:00Z", "run.opened") == tuple(row.values())[:4]


def test_a_row_is_flat():
    for cls in KINDS.values():
        needed = {f.name: "x" for f in fields(cls) if f.default is MISSING}

        assert not [v for v in Entry(0, NOON, cls(**needed)).row().values() if isinstance(v, dict | list)]


def test_a_cost_that_nobody_knows_is_written_as_null_and_read_as_nan():
    entry = Entry(0, NOON, UsageReported(agent="a", turn="a.t1"))

    assert b'"cost_usd":null' in entry.to_line()
    assert isnan(back(entry).event.cost_usd)


def test_an_event_cannot_be_changed():
    with pytest.raises(FrozenInstanceError):
        TurnStarted(agent="a", turn="a.t1", sender="you", text="x").text = "y"


# neighbouring versions


def line(**row):
    return orjson.dumps({"v": 1, "seq": 3, "ts": "2026-07-25T12:00:00Z", **row})


def test_a_kind_of_a_later_version_loses_nothing():
    later = line(kind="agent.promoted", agent="lead", to={"rank": 2})

    entry = Entry.from_line(later)

    assert isinstance(entry.event, Unknown)
    assert "lead" == entry.event.agent
    assert orjson.loads(later) == orjson.loads(entry.to_line())
    assert entry == back(entry)


def test_a_field_that_this_version_does_not_know_is_left_out():
    entry = Entry.from_line(line(v=2, kind="run.closed", reason="done", mood="good"))

    assert ("", "done") == tuple(entry.event.fields().values())


def test_a_field_that_an_earlier_version_did_not_write_takes_its_default():
    entry = Entry.from_line(line(kind="message.posted", agent="a", message="you.m1", sender="you", text="hi"))

    assert MessagePosted(agent="a", message="you.m1", sender="you", text="hi") == entry.event


def test_a_known_kind_without_a_field_that_it_needs_is_kept_as_it_stands():
    row = line(kind="message.posted", agent="a", text="hi")

    assert isinstance(Entry.from_line(row).event, Unknown)
    assert orjson.loads(row) == orjson.loads(Entry.from_line(row).to_line())


@pytest.mark.parametrize(
    "wicked",
    [
        b"",
        b"\n",
        b'{"v":1,"seq":3,"ts":"2026-07-',
        b"[1,2,3]",
        b"17",
        b"null",
        b'{"v":1}',
        b'{"seq":"1","ts":"2026-07-25T12:00:00Z","kind":"run.closed","reason":"x"}',
        b'{"seq":1,"ts":null,"kind":"run.closed"}',
        b'{"seq":1,"ts":"teatime","kind":"run.closed"}',
        b"\xff\xfe\n",
    ],
)
def test_a_line_that_is_no_entry_raises_value_error(wicked):
    with pytest.raises(ValueError):
        Entry.from_line(wicked)


@pytest.mark.parametrize(
    "wrong", [b'"kind":[]', b'"kind":"later","agent":["x"]', b'"kind":"turn.said","agent":7']
)
def test_a_line_whose_kind_or_agent_is_no_text_is_no_entry(wrong):
    with pytest.raises(ValueError, match="needs seq, ts, kind and agent"):
        Entry.from_line(b'{"v":1,"seq":1,"ts":"2026-07-25T12:00:00Z",' + wrong + b"}")


def test_half_a_character_can_be_made_whole_and_written():
    event = whole(TurnSaid(agent="a", turn="a.t1", text="cut \ud83d here"))

    assert "cut ? here" == Entry.from_line(Entry(0, NOON, event).to_line()).event.text
