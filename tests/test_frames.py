"""pandas views over ledger files."""

from __future__ import annotations

import math
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pandas as pd
import pytest

from madrox_nb.errors import BadInput
from madrox_nb.events import (
    AgentReady,
    AgentSpawned,
    AgentStopped,
    Entry,
    Event,
    MessagePosted,
    RunOpened,
    TurnEnded,
    TurnStarted,
    UsageReported,
)
from madrox_nb.frames import AGENTS, AUDIT, COSTS, MESSAGES, TURNS, Columns, Frames, texts

NOON = datetime(2030, 1, 31, 12, tzinfo=UTC)
STORY: tuple[Event, ...] = (
    RunOpened(run="r1", madrox="0", pid=1),
    AgentSpawned(agent="lead", harness="claude", role="architect"),
    AgentReady(agent="lead", session="s1", model="opus"),
    AgentSpawned(agent="api", harness="rehearsal", role="general", parent="lead"),
    AgentReady(agent="api"),
    TurnStarted(agent="lead", turn="lead.t1", sender="you", text="build it"),
    MessagePosted(agent="api", message="lead.m1", sender="lead", text="the api", asks=True),
    TurnStarted(agent="api", turn="api.t1", sender="lead", text="the api", messages=("lead.m1",)),
    UsageReported(agent="api", turn="api.t1", input_tokens=100, output_tokens=10, model="x"),
    TurnEnded(agent="api", turn="api.t1", outcome="ok", text="done"),
    UsageReported(agent="lead", turn="lead.t1", input_tokens=7, cost_usd=0.5, cost_source="cli"),
    TurnEnded(agent="lead", turn="lead.t1", outcome="failed", error="no"),
    TurnStarted(agent="lead", turn="lead.t2", sender="you", text="again"),
)


class Book:
    """A ledger's files, written by hand: one entry a second."""

    def __init__(self, directory: Path) -> None:
        self.paths = [directory / "1.jsonl"]
        self.frames = Frames(lambda: [path for path in self.paths if path.exists()])
        self.seq = 0

    def write(self, *events: Event) -> None:
        for event in events:
            self.append(self.line(event))

    def line(self, event: Event) -> bytes:
        entry = Entry(self.seq, NOON + timedelta(seconds=self.seq), event)
        self.seq += 1
        return entry.to_line()

    def append(self, data: bytes) -> None:
        with self.paths[-1].open("ab") as file:
            file.write(data)


@pytest.fixture
def book(tmp_path: Path) -> Book:
    return Book(tmp_path)


def dtypes(frame: pd.DataFrame) -> dict[str, str]:
    return {str(frame.index.name): str(frame.index.dtype)} | {n: str(d) for n, d in frame.dtypes.items()}


@pytest.mark.parametrize("story", [(), STORY])
def test_columns_and_dtypes_are_the_documented_ones_empty_or_not(
    book: Book, story: tuple[Event, ...]
) -> None:
    book.write(*story)
    found = book.frames

    documented: list[tuple[pd.DataFrame, Columns]] = [
        (found.agents(), AGENTS),
        (found.turns(), TURNS),
        (found.messages(), MESSAGES),
        (found.costs(), COSTS),
        (found.audit(), AUDIT),
    ]
    for frame, columns in documented:
        assert dict(columns) == dtypes(frame)


def test_agents_are_told_as_they_are_now(book: Book) -> None:
    book.write(*STORY, AgentStopped(agent="api", reason="terminated by you"))

    agents = book.frames.agents()

    assert ["lead", "api"] == list(agents.index)
    assert ("busy", "opus", 2, "s1") == tuple(agents.loc["lead", ["state", "model", "turns", "session"]])
    assert ("stopped", "lead", "terminated by you") == tuple(agents.loc["api", ["state", "parent", "reason"]])
    assert NOON + timedelta(seconds=3) == agents.loc["api", "spawned"]
    assert pd.isna(agents.loc["lead", "parent"])


def test_a_turn_under_way_has_no_end_no_outcome_and_no_cost(book: Book) -> None:
    book.write(*STORY)

    turns = book.frames.turns()

    assert ["lead.t1", "api.t1", "lead.t2"] == list(turns.index)
    assert ("failed", "no", 0.5, "cli", 6.0) == tuple(
        turns.loc["lead.t1", ["outcome", "error", "cost_usd", "cost_source", "duration_s"]]
    )
    under_way = turns.loc["lead.t2"]
    assert pd.isna(under_way[["outcome", "ended", "duration_s", "cost_usd", "cost_source"]]).all()


def test_an_unknown_price_is_nan_and_makes_the_sum_above_a_lower_bound(book: Book) -> None:
    book.write(*STORY)

    costs = book.frames.costs()

    assert math.isnan(costs.loc["api", "cost_usd"])
    assert ("unknown", 110) == tuple(costs.loc["api", ["cost_source", "subtree_tokens"]])
    assert (0.5, 117, 0.5, False) == tuple(
        costs.loc["lead", ["cost_usd", "subtree_tokens", "subtree_usd", "subtree_exact"]]
    )
    assert math.isnan(book.frames.turns().loc["api.t1", "cost_usd"])


def test_frames_join_on_agent_turn_and_message(book: Book) -> None:
    book.write(*STORY)
    frames = book.frames

    turns = frames.turns()[["text"]].add_prefix("turn_")
    asked = frames.messages().join(turns, on="turn").join(frames.agents()["parent"], on="agent")

    assert ("api.t1", "done", "lead") == tuple(asked.loc["lead.m1", ["turn", "turn_text", "parent"]])


def test_only_what_is_new_is_read_and_a_torn_line_waits(book: Book) -> None:
    book.write(*STORY[:3])
    assert 1 == len(book.frames.agents())
    line = book.line(STORY[3])

    book.append(line[:20])
    assert 1 == len(book.frames.agents())
    book.append(line[20:])
    assert ["lead", "api"] == list(book.frames.agents().index)
    book.paths[0].write_bytes(b"\n" * book.paths[0].stat().st_size)  # whoever reads it again finds nothing
    assert 4 == len(book.frames.audit())


def test_the_next_day_is_another_file(book: Book, tmp_path: Path) -> None:
    book.write(*STORY[:5])
    assert 2 == len(book.frames.agents())
    book.paths.append(tmp_path / "2.jsonl")
    book.write(*STORY[5:])

    assert list(range(len(STORY))) == list(book.frames.audit().index)


def test_a_line_that_is_no_entry_is_skipped(book: Book) -> None:
    book.append(b"not json\n")
    book.write(*STORY[:2])

    assert 2 == len(book.frames.audit())


def test_the_audit_can_be_narrowed(book: Book) -> None:
    book.write(*STORY)
    audit = book.frames.audit

    assert ["turn.started", "turn.ended"] == list(audit(agent="api", kind="turn")["kind"])
    assert [9, 11] == list(audit(kind="turn.ended").index)
    assert [] == list(audit(kind="turn.en").index)
    assert [12] == list(audit(since="2030-01-31 12:00:12").index)
    assert [12] == list(audit(since=NOON + timedelta(seconds=12)).index)
    assert len(STORY) == len(audit(since=timedelta(days=1)))
    assert len(STORY) == len(audit(since="10min"))
    assert "lead.m1" == audit(kind="turn.started").loc[7, "messages"]
    with pytest.raises(BadInput, match="since='soon'"):
        audit(since="soon")


def test_what_a_later_version_wrote_is_kept(book: Book) -> None:
    book.append(b'{"v":2,"seq":0,"ts":"2030-01-31T12:00:00Z","kind":"team.formed","agent":"lead","size":3}\n')

    row = book.frames.audit().loc[0]

    assert ("team.formed", "lead", '{"size":3}') == (row["kind"], row["agent"], row["rest"])


def test_a_table_of_texts_has_its_columns_even_when_empty() -> None:
    assert {"role": "string", "description": "string"} == dtypes(texts([], "role", "description"))
