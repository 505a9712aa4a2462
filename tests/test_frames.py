"""pandas views over ledger files: what each frame says."""

from __future__ import annotations

import math
from datetime import timedelta
from pathlib import Path

import pandas as pd
import pytest
from books import NOON, Book, dtypes

from madrox_nb.errors import BadInput
from madrox_nb.events import (
    AgentReady,
    AgentSpawned,
    AgentStopped,
    ApprovalAnswered,
    ApprovalAsked,
    BudgetSet,
    Entry,
    Event,
    MessagePosted,
    RunClosed,
    RunOpened,
    ToolCalled,
    ToolReturned,
    TurnEnded,
    TurnStarted,
    UsageReported,
)
from madrox_nb.frames import Frames, Runs, columns, texts
from madrox_nb.frames.columns import Table, audit_columns
from madrox_nb.frames.growing import Growing, Rows

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


@pytest.fixture
def book(tmp_path: Path) -> Book:
    return Book(tmp_path)


TABLES: dict[str, Table] = {
    "agents": columns.AGENTS,
    "turns": columns.TURNS,
    "messages": columns.MESSAGES,
    "tools": columns.TOOLS,
    "approvals": columns.APPROVALS,
    "costs": columns.COSTS,
    "audit": columns.AUDIT,
}


@pytest.mark.parametrize("story", [(), STORY])
def test_columns_and_dtypes_are_the_documented_ones_empty_or_not(
    book: Book, story: tuple[Event, ...]
) -> None:
    book.write(*story)
    found = book.frames

    for name, table in TABLES.items():
        view = getattr(found, name)
        assert dict(table.shown) == dtypes(view())
        full = audit_columns(None) if name == "audit" else table.columns(full=True)
        assert dict(full) == dtypes(view(full=True))
    assert dict(columns.SPENDING.shown) == dtypes(found.costs(over_time=True))
    assert dict(columns.SPENDING.columns(full=True)) == dtypes(found.costs(over_time=True, full=True))
    assert dict(columns.LIMITS_SET.shown) == dtypes(found.limits())


def test_agents_are_told_as_they_are_now(book: Book) -> None:
    book.write(*STORY, AgentStopped(agent="api", reason="terminated by you"))

    agents = book.frames.agents(full=True)

    assert ["lead", "api"] == list(agents.index)
    assert ("busy", "opus", 2, "s1") == tuple(agents.loc["lead", ["state", "model", "turns", "session"]])
    assert ("stopped", "lead", "terminated by you") == tuple(agents.loc["api", ["state", "parent", "reason"]])
    assert NOON + timedelta(seconds=3) == agents.loc["api", "spawned"]
    assert pd.isna(agents.loc["lead", "parent"])


def test_a_turn_under_way_has_no_end_no_outcome_and_no_cost(book: Book) -> None:
    book.write(*STORY)

    turns = book.frames.turns(full=True)

    assert ["lead.t1", "api.t1", "lead.t2"] == list(turns.index)
    assert ("failed", "no", 0.5, "cli", 6.0) == tuple(
        turns.loc["lead.t1", ["outcome", "error", "cost_usd", "cost_source", "duration_s"]]
    )
    under_way = turns.loc["lead.t2"]
    assert pd.isna(under_way[["outcome", "ended", "duration_s", "cost_usd", "cost_source"]]).all()


def test_an_unknown_price_is_nan_and_makes_the_sum_above_a_lower_bound(book: Book) -> None:
    book.write(*STORY)

    costs = book.frames.costs(full=True)

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


def test_tools_calls_and_approvals_join_on_their_turns(book: Book) -> None:
    book.write(
        *STORY[:8],
        ToolCalled(agent="api", turn="api.t1", call="c1", tool="Bash", input='{"command":"ls"}'),
        ApprovalAsked(agent="api", turn="api.t1", approval="api.a1", tool="Bash", input="{}"),
        ApprovalAnswered(agent="api", approval="api.a1", decision="allow", by="you", why="why not"),
        ToolReturned(agent="api", turn="api.t1", call="c1", ok=False, output="no such file"),
        ToolCalled(agent="api", turn="api.t1", call="c1", tool="Read"),
    )
    frames = book.frames

    tools, approvals, turns = frames.tools(), frames.approvals(full=True), frames.turns()
    done, under_way = (tools.iloc[at] for at in range(2))
    assert ("Bash", False, "no such file", 3.0) == tuple(done[["tool", "ok", "output", "duration_s"]])
    assert under_way[["ok", "output", "duration_s"]].isna().all()
    assert ("allow", "you", "why not") == tuple(approvals.loc["api.a1", ["state", "by", "why"]])
    for frame in (tools, approvals):
        assert {"the api"} == set(frame.join(turns["prompt"], on="turn")["prompt"])
    assert [2] == list(turns.loc[["api.t1"], "tools"])


def test_what_nobody_counted_is_missing_and_what_nobody_did_is_zero(book: Book) -> None:
    silent = UsageReported(agent="mute", turn="mute.t1", model="x")
    book.write(
        AgentSpawned(agent="lead", harness="claude", role="general"),
        AgentSpawned(agent="mute", harness="terminal", role="general", parent="lead"),
        AgentReady(agent="mute"),
        TurnStarted(agent="mute", turn="mute.t1", sender="you", text="x"),
    )
    before = book.frames.costs()
    assert (0, 0.0) == tuple(before.loc["lead", ["tokens", "cost_usd"]])
    assert before.loc["mute", ["tokens", "cost_usd"]].isna().all()
    assert not before.loc["lead", "subtree_exact"]

    book.write(silent)
    assert book.frames.costs().loc["mute", ["tokens", "cost_usd"]].isna().all()
    assert book.frames.turns(full=True).loc["mute.t1", ["tokens", "input_tokens", "cost_usd"]].isna().all()


def test_costs_over_time_know_who_each_report_was_for(book: Book) -> None:
    book.write(
        *STORY, BudgetSet(agent="lead", limit="usd", amount=5.0), BudgetSet(limit="tokens", amount=900)
    )

    spent = book.frames.costs(over_time=True)

    assert [("api", "lead/api", "x", 110), ("lead", "lead", "opus", 7)] == list(
        spent[["agent", "path", "model", "tokens"]].itertuples(index=False, name=None)
    )
    assert [True, False] == list(spent["cost_usd"].isna())
    assert list(book.frames.audit(kind="usage").index) == list(spent.index)
    assert {"usd": {"lead": 5.0}, "tokens": {"(run)": 900.0}} == spent.attrs["limits"]


def test_a_refresh_reads_only_what_is_new(book: Book) -> None:
    book.write(*STORY[:8])
    book.frames.turns()
    book.frames.audit()
    read = book.frames.bytes_read
    new = b"".join(map(book.line, STORY[8:]))

    book.append(new)
    book.frames.turns()
    book.frames.costs()
    assert read + len(new) == book.frames.bytes_read
    book.frames.audit(kind="turn")
    book.frames.audit(full=True)
    assert read + 2 * len(new) == book.frames.bytes_read


@pytest.mark.parametrize("frame", ["costs", "audit"])
def test_a_reading_that_was_interrupted_begins_anew(
    book: Book, frame: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ctrl-C comes when almost all was taken in."""

    def extend(growing: Growing, rows: Rows) -> None:
        monkeypatch.undo()
        growing.extend(rows)
        raise KeyboardInterrupt

    def from_line(line: bytes) -> Entry:
        if b'"lead.t2"' in line:
            monkeypatch.undo()
            raise KeyboardInterrupt
        return from_whole_line(line)

    book.write(*STORY)
    expected = getattr(Frames(book.existing), frame)()
    from_whole_line = Entry.from_line
    monkeypatch.setattr(Growing, "extend", extend)
    monkeypatch.setattr(Entry, "from_line", from_line)

    with pytest.raises(KeyboardInterrupt):
        getattr(book.frames, frame)()
    pd.testing.assert_frame_equal(expected, getattr(book.frames, frame)())


def test_a_torn_line_waits_and_what_was_read_is_not_read_again(book: Book) -> None:
    book.write(*STORY[:3])
    assert 1 == len(book.frames.agents())
    line = book.line(STORY[3])

    book.append(line[:20])
    assert 1 == len(book.frames.agents())
    book.append(line[20:])
    assert ["lead", "api"] == list(book.frames.agents().index)
    book.paths[0].write_bytes(b"\n" * book.paths[0].stat().st_size)  # whoever reads it again finds nothing
    assert ["lead", "api"] == list(book.frames.agents().index)


def test_the_next_day_is_another_file(book: Book, tmp_path: Path) -> None:
    book.write(*STORY[:5])
    assert 2 == len(book.frames.agents())
    book.paths.append(tmp_path / "2.jsonl")
    book.write(*STORY[5:])

    assert ["lead.t1", "api.t1", "lead.t2"] == list(book.frames.turns().index)


def test_a_line_that_is_no_entry_is_skipped(book: Book) -> None:
    book.append(b'not json\n{"kind":"agent.spawned"}\n[1]\n\xff\n')
    book.write(*STORY[:2])

    assert ["lead"] == list(book.frames.agents().index)


# several runs


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """Three runs, of which the first two are over."""
    for run in ("r1", "r2", "r3"):
        day = tmp_path / "audit" / "2030-01-31"
        day.mkdir(parents=True, exist_ok=True)
        book = Book(day, run)
        book.write(*STORY, *(() if run == "r3" else (RunClosed(reason="closed"),)))
    return tmp_path


def runs_in(home: Path, own: str = "r3") -> Runs:
    return Runs(home, own, lambda: [home / "audit" / "2030-01-31" / f"{own}.jsonl"])


def test_frames_of_all_runs_have_the_run_first_in_their_index(home: Path) -> None:
    runs = runs_in(home)

    turns = runs.over("all", lambda frames: frames.turns())
    assert ["run", "turn"] == list(turns.index.names)
    assert ["r1", "r2", "r3"] == list(turns.index.unique("run"))
    assert dict(columns.TURNS.shown) == {"turn": "string"} | {n: str(d) for n, d in turns.dtypes.items()}
    tools = runs.over("all", lambda frames: frames.messages())
    assert 3 == len(tools.join(turns["prompt"], on=["run", "turn"])["prompt"].dropna())


def test_runs_can_be_named_and_a_wrong_name_is_answered_with_the_right_ones(home: Path) -> None:
    runs = runs_in(home)

    assert ["r1"] == list(runs.over("r1", lambda frames: frames.agents()).index.unique("run"))
    assert ["r1", "r3"] == list(runs.over(["r3", "r1"], lambda f: f.audit()).index.unique("run"))
    with pytest.raises(BadInput, match=r"no run 'r4'\. The newest: r1, r2, r3"):
        runs.over("r4", lambda frames: frames.agents())


def test_the_ledger_of_a_run_that_is_over_is_read_once(home: Path) -> None:
    runs = runs_in(home)
    before = runs.over("all", lambda frames: frames.audit())
    for run in ("r1", "r2"):
        ledger = home / "audit" / "2030-01-31" / f"{run}.jsonl"
        ledger.write_bytes(b"\n" * ledger.stat().st_size)

    pd.testing.assert_frame_equal(before, runs.over("all", lambda frames: frames.audit()))


def test_no_runs_are_an_empty_frame(tmp_path: Path) -> None:
    none = Runs(tmp_path, "r1", list).over([], lambda frames: frames.agents())

    assert ["run", "agent"] == list(none.index.names)
    assert none.empty


def test_a_table_of_texts_has_its_columns_even_when_empty() -> None:
    assert {"role": "string", "description": "string"} == dtypes(texts([], "role", "description"))
