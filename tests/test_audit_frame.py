"""The audit as a frame: what it holds, how it grows, and that duckdb reads the same."""

from __future__ import annotations

import math
import subprocess
import sys
from datetime import timedelta
from pathlib import Path

import pandas as pd
import pytest
from books import NOON, Book, dtypes
from hypothesis import given, settings
from hypothesis import strategies as st
from test_frames import STORY

from madrox_nb.errors import BadInput
from madrox_nb.events import (
    KINDS,
    BudgetSet,
    Entry,
    Event,
    PhaseEnded,
    TurnSaid,
    TurnStarted,
    UsageReported,
)
from madrox_nb.frames import accelerated, columns, lines
from madrox_nb.frames import gained as parts
from madrox_nb.frames.audit import Audit
from madrox_nb.frames.gained import Gained
from madrox_nb.frames.growing import Growing


@pytest.fixture
def book(tmp_path: Path) -> Book:
    return Book(tmp_path)


# what it holds


def test_every_event_is_a_row_with_what_else_it_says_as_json(book: Book) -> None:
    book.write(*STORY)

    audit = book.frames.audit()

    assert list(range(len(STORY))) == list(audit.index)
    assert [event.kind for event in STORY] == list(audit["kind"])
    assert NOON + timedelta(seconds=12) == audit.loc[12, "ts"]
    assert ("lead", "lead.t2", '{"sender":"you","text":"again","messages":[]}') == tuple(
        audit.loc[12, ["agent", "turn", "fields"]]
    )
    assert ("api", "lead.m1") == tuple(audit.loc[6, ["agent", "message"]])
    assert audit.loc[0, ["agent", "turn", "message"]].isna().all()


def test_it_can_be_narrowed(book: Book) -> None:
    book.write(*STORY)
    audit = book.frames.audit

    assert ["turn.started", "turn.ended"] == list(audit(agent="api", kind="turn")["kind"])
    assert [0] == list(audit(agent="").index)
    assert [9, 11] == list(audit(kind="turn.ended").index)
    assert [] == list(audit(kind="turn.en").index)
    assert [12] == list(audit(since="2030-01-31 12:00:12").index)
    assert [12] == list(audit(since=NOON + timedelta(seconds=12)).index)
    assert len(STORY) == len(audit(since=timedelta(days=1)))
    assert len(STORY) == len(audit(since="10min"))
    assert [12] == list(audit(since="2030-01-31 12:00:10", kind="turn.started").index)
    with pytest.raises(BadInput, match="since='soon'"):
        audit(since="soon")


def test_a_kind_gives_its_fields_columns_of_their_own(book: Book) -> None:
    book.write(*STORY)

    ended = book.frames.audit(kind="turn.ended")

    assert dict(columns.audit_columns("turn.ended")) == dtypes(ended)
    assert ("failed", "no") == tuple(ended.loc[11, ["outcome", "error"]])
    assert ended["session"].isna().all()
    assert "lead.m1" == book.frames.audit(kind="turn.started").loc[7, "messages"]
    assert {"sender", "outcome", "call"} <= set(book.frames.audit(kind="turn").columns)
    assert [True, False] == list(book.frames.audit(kind="usage")["cost_usd"].isna())


def test_a_limit_that_was_taken_away_is_infinite_and_an_amount_nobody_named_is_missing(book: Book) -> None:
    book.write(BudgetSet(agent="lead", limit="usd", amount=math.inf), *STORY[:2])

    assert [math.inf, False, False] == [
        value if value == math.inf else not math.isnan(value)
        for value in book.frames.audit(full=True)["amount"]
    ]


def test_what_a_later_version_wrote_is_kept(book: Book) -> None:
    envelope = b'{"v":2,"seq":%d,"ts":"2030-01-31T12:00:00Z","kind":"%s","agent":"lead",%s}\n'
    book.append(envelope % (0, b"team.formed", b'"size":3'))
    book.append(envelope % (1, b"turn.said", b'"turn":"lead.t1","text":"hm","mood":"good"'))

    assert ["team.formed", "turn.said"] == list(book.frames.audit()["kind"])
    assert '{"size":3}' == book.frames.audit().loc[0, "fields"]
    full = book.frames.audit(full=True)
    assert ['{"size":3}', '{"mood":"good"}'] == list(full["rest"])
    assert "hm" == full.loc[1, "text"]


def test_lines_in_another_order_say_the_same(book: Book) -> None:
    book.append(
        b'{"text":"a","turn":"lead.t1","agent":"lead","kind":"turn.said","seq":4,"v":1,"ts":"2030-01-31T13:00:00+01:00"}\n'
        b'{"v":1,"seq":5,"ts":"2030-W05-4T12:00:00Z","kind":"run.closed","reason":"x"}\n'
    )

    audit = book.frames.audit()

    assert [NOON, NOON] == list(audit["ts"])
    assert ["lead", "lead.t1", '{"text":"a"}'] == list(audit.loc[4, ["agent", "turn", "fields"]])
    assert audit.loc[5, ["agent", "turn"]].isna().all()


def test_a_line_that_is_no_entry_is_skipped(book: Book) -> None:
    book.append(
        b'not json\n[1]\n\xff\n{"seq":1}\n{"seq":9999999999999999999,"ts":"2030-01-31","kind":"x"}\n'
        b'{"seq":1,"ts":"2030-13-31T12:00:00Z","kind":"x"}\n{"seq":1,"ts":"2030-01-31","kind":"x","agent":5}\n'
    )
    book.write(*STORY[:2])

    assert [0, 1] == list(book.frames.audit().index)


# how it grows


def test_a_frame_keeps_what_it_was_while_the_ledger_grows(book: Book) -> None:
    book.write(*STORY)
    first = book.frames.audit()
    copied = first.copy(deep=True)

    book.write(*(TurnSaid(agent="lead", turn="lead.t2", text=f"{n}") for n in range(3000)))
    assert len(STORY) + 3000 == len(book.frames.audit())
    pd.testing.assert_frame_equal(copied, first)


def test_what_is_done_to_a_frame_changes_no_other(book: Book) -> None:
    book.write(*STORY)
    before = book.frames.audit().copy(deep=True)
    narrow = book.frames.audit()[["ts", "kind"]]

    narrow.loc[0, "ts"] = NOON + timedelta(days=9)
    narrow.loc[:, "kind"] = "changed"
    whole = book.frames.audit()
    whole.loc[1, ["agent", "fields"]] = "changed"
    pd.testing.assert_frame_equal(before, book.frames.audit())


def test_rows_that_come_in_many_small_pieces_are_those_that_come_at_once(tmp_path: Path) -> None:
    pieces, at_once = Book(tmp_path, "1"), Book(tmp_path, "2")
    for number in range(300):
        said = TurnSaid(agent="lead", turn="lead.t1", text="x" * number)
        at_once.write(said)
        pieces.write(said)
        pieces.frames.audit()

    pd.testing.assert_frame_equal(at_once.frames.audit(), pieces.frames.audit())


def test_a_line_longer_than_a_block_is_one_row(book: Book, monkeypatch: pytest.MonkeyPatch) -> None:

    monkeypatch.setattr(parts, "BLOCK", 64)
    book.write(*STORY, TurnSaid(agent="lead", turn="lead.t2", text="long " * 100))

    assert list(range(len(STORY) + 1)) == list(book.frames.audit().index)


# with duckdb and without

WORDS = st.text(st.characters(exclude_categories=("Cs",)), max_size=30)
EVENTS = st.one_of(
    st.builds(TurnSaid, agent=st.sampled_from(["lead", "Project Manager", 'é"\\']), turn=WORDS, text=WORDS),
    st.builds(
        TurnStarted, agent=WORDS, turn=st.just("lead.t1"), sender=WORDS, text=WORDS, messages=st.tuples(WORDS)
    ),
    st.builds(UsageReported, agent=WORDS, turn=WORDS, cost_usd=st.floats()),
    st.builds(PhaseEnded, agent=WORDS, team=WORDS, phase=WORDS, outcome=st.just("ok"), turn=WORDS),
)


def written(events: list[Event]) -> bytes:
    return b"".join(Entry(n, NOON + timedelta(seconds=n), event).to_line() for n, event in enumerate(events))


def patiently(gained: Gained) -> pd.DataFrame:
    growing = Growing(lines.TEXTS)
    for rows in lines.rows_of(gained):
        growing.extend(rows)
    return growing.frame()


@settings(max_examples=20, deadline=None)
@given(st.lists(EVENTS, min_size=1, max_size=5))
def test_duckdb_reads_the_same_or_leaves_it_to_the_patient_way(events: list[Event]) -> None:
    pytest.importorskip("duckdb", reason='pip install -e ".[duckdb]"')
    gained = Gained(Path("x"), 0, written(events))

    rows = accelerated.rows_of(gained)
    if rows is not None:
        growing = Growing(lines.TEXTS)
        growing.extend(rows)
        pd.testing.assert_frame_equal(patiently(gained), growing.frame())


def test_duckdb_reads_what_this_version_wrote_of_every_kind(tmp_path: Path) -> None:
    pytest.importorskip("duckdb", reason='pip install -e ".[duckdb]"')
    gained = Gained(Path("x"), 0, written(list(STORY)))

    assert accelerated.rows_of(gained) is not None
    assert {"turn", "message"} == set(lines.NEXT)
    assert {"turn.started", "message.posted"} <= set(KINDS)


@pytest.mark.parametrize(
    "line",
    [
        b"not json\n",
        b"\xff\n",
        b"\n",
        b'{"seq":1}\n',
        b'{"v":1,"seq":1,"ts":"2030-13-31T12:00:00Z","kind":"x","agent":""}\n',
        b'{"v":2,"seq":1,"ts":"2030-01-31T12:00:00Z","kind":"x","agent":""}\n',
        b'{"v":1,"seq":1,"ts":"2030-01-31T12:00:00+01:00","kind":"x","agent":""}\n',
    ],
)
def test_duckdb_takes_nothing_of_lines_of_which_one_is_another_ones(line: bytes) -> None:
    pytest.importorskip("duckdb", reason='pip install -e ".[duckdb]"')

    assert accelerated.rows_of(Gained(Path("x"), 0, written(list(STORY)) + line)) is None


def test_a_long_ledger_is_the_same_frame_with_duckdb_and_without(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("duckdb", reason='pip install -e ".[duckdb]"')
    ledger = tmp_path / "long.jsonl"
    story = [*STORY, *(TurnSaid(agent="lead", turn="lead.t2", text="ü" * n) for n in range(1, 1000))]
    foreign = written(story[:1]).replace(b'"v":1', b'"v":2')
    ledger.write_bytes(written(story) + foreign + written(story) + b'{"torn')
    monkeypatch.setattr(parts, "BLOCK", 200_000)  # many, one of which is left to the patient way
    monkeypatch.setattr(accelerated, "WORTH_IT", 100_000)
    with_it, without = Audit(accelerate=True), Audit(accelerate=False)

    with_it.read([ledger])
    without.read([ledger])
    pd.testing.assert_frame_equal(
        without.frame(None, None, None, True), with_it.frame(None, None, None, True)
    )
    assert 2 * len(story) + 1 == len(with_it.frame(None, None, None, False))


def test_without_pyarrow_the_columns_and_what_they_say_are_the_same(book: Book) -> None:
    book.write(*STORY, *(TurnSaid(agent="lead", turn="lead.t2", text="x") for _ in range(1100)))
    program = f"""
import sys
sys.modules["pyarrow"] = sys.modules["duckdb"] = None  # as if they were not installed
from pathlib import Path
from madrox_nb.frames import Frames, accelerated
assert not accelerated.AVAILABLE
frames = Frames(lambda: [Path({str(book.paths[0])!r})])
before = frames.audit()
before.loc[0, "kind"] = "changed"
print(frames.audit(full=True).to_json(orient="table"))
"""
    said = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)

    assert book.frames.audit(full=True).to_json(orient="table") == said.stdout.rstrip("\n")
