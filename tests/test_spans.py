"""What a timeline, a slider and a course of costs are drawn from: bounded folds of the ledger."""

from datetime import UTC, datetime, timedelta

import pytest
from long_run import long_run

from madrox_nb import cost_history, density, spans
from madrox_nb.cost_history import CostHistory
from madrox_nb.density import Density
from madrox_nb.events import (
    AgentReady,
    AgentSpawned,
    AgentStopped,
    AgentSuspended,
    ApprovalAnswered,
    ApprovalAsked,
    Entry,
    MessagePosted,
    ToolCalled,
    ToolReturned,
    TurnEnded,
    TurnSaid,
    TurnStarted,
    UsageReported,
)
from madrox_nb.spans import Bar, Spans, seen

BEGAN = datetime(2026, 1, 1, tzinfo=UTC)
ZERO = BEGAN.timestamp()
A = {"agent": "a"}
TURN = {"agent": "a", "turn": "a.t1"}
STARTED = TurnStarted(**TURN, sender="you", text="Mend it.\nPlease.")


def at(seconds, event, seq=None):
    return Entry(int(seconds) if seq is None else seq, BEGAN + timedelta(seconds=seconds), event)


def bars(*entries):
    """(kind, from, to, failed) in seconds since the beginning."""
    return [
        (bar.kind, bar.began - ZERO, None if bar.ended is None else bar.ended - ZERO, bar.failed)
        for bar in Spans.replay(entries).bars.values()
    ]


def test_a_turn_its_tools_and_its_waits_are_bars_from_when_to_when():
    entries = [
        at(0, AgentSpawned(**A, harness="h", role="r")),
        at(1, AgentReady(**A)),
        at(2, STARTED),
        at(3, ToolCalled(**TURN, call="c1", tool="mcp__x__Bash", input='{"command": "ls"}')),
        at(5, ToolReturned(**TURN, call="c1", ok=True)),
        at(6, ApprovalAsked(**TURN, approval="a.a1", tool="Edit", input="{}")),
        at(9, ApprovalAnswered(**A, approval="a.a1", decision="allow", by="you")),
        at(12, TurnEnded(**TURN, outcome="ok")),
    ]

    assert [("turn", 2, 12, False), ("tool", 3, 5, False), ("wait", 6, 9, False)] == bars(*entries)
    assert ["Mend it.", "Bash ls", "Edit"] == [b.says.strip() for b in Spans.replay(entries).bars.values()]


def test_what_goes_on_has_no_end_yet():
    assert [("turn", 2, None, False)] == bars(at(2, STARTED))


def test_a_turn_that_fails_has_a_red_end_and_ends_what_was_under_way_in_it():
    failed = TurnEnded(**TURN, outcome="failed", error="overloaded")
    told = bars(at(0, STARTED), at(1, ToolCalled(**TURN, call="c", tool="T")), at(4, failed))

    assert [("turn", 0, 4, True), ("tool", 1, 4, False)] == told


def test_an_agent_that_fails_in_a_turn_or_outside_of_one_is_marked_once():
    died = AgentStopped(**A, reason="killed", failed=True)

    assert [("turn", 0, 3, True)] == bars(at(0, STARTED), at(3, died))
    assert [("end", 3, 3, True)] == bars(at(3, died))


def test_a_suspended_agent_is_off_until_it_is_ready_again():
    asleep = AgentSuspended(**A, reason="idle")

    assert [("off", 1, 8, False)] == bars(at(1, asleep), at(8, AgentReady(**A)))
    assert [("off", 1, 8, False)] == bars(at(1, asleep), at(8, AgentStopped(**A, reason="x")))


def test_silence_in_a_turn_is_a_bar_only_when_no_tool_is_at_work_and_nobody_is_asked():
    said = TurnSaid(**TURN, text="…")
    called, returned = ToolCalled(**TURN, call="c", tool="T"), ToolReturned(**TURN, call="c", ok=True)

    assert [("turn", 0, None, False), ("silent", 0, 120, False)] == bars(at(0, STARTED), at(120, said))
    assert "silent" not in [kind for kind, *_ in bars(at(0, STARTED), at(119, said))]
    busy = bars(at(0, STARTED), at(1, called), at(300, returned), at(301, said))
    assert ["turn", "tool"] == [kind for kind, *_ in busy]


def test_a_message_to_a_silent_agent_is_no_sign_of_life():
    posted = MessagePosted(**A, message="you.m1", sender="you", text="Well?")
    told = bars(at(0, STARTED), at(100, posted), at(130, TurnSaid(**TURN, text="Here.")))

    assert ("silent", 0, 130, False) in told


def test_messages_and_counts_are_kept_by_agent():
    posted = MessagePosted(agent="b", message="a.m1", sender="a", text="x")
    folded = Spans.replay([at(0, STARTED), at(1, posted)])

    assert [("a.m1", ZERO + 1, "a", "b")] == list(folded.messages.values())
    assert ({"turn": 1, "sent": 1}, {"received": 1}) == (folded.counts["a"], folded.counts["b"])


def test_a_long_run_keeps_the_newest_bars_and_says_how_many_are_left_out(monkeypatch):
    monkeypatch.setattr(spans, "KEPT", 100)
    monkeypatch.setattr(spans, "SLACK", 20)
    entries = long_run(3000)
    short, whole = Spans.replay(entries), Spans()
    monkeypatch.setattr(spans, "KEPT", 10_000)
    for entry in entries:
        whole.apply(entry)

    assert 100 <= len(short.bars) <= 120
    assert 100 <= len(short.messages) <= 120
    assert len(whole.bars) == short.above + len(short.bars)
    assert list(whole.bars.values())[-100:] == list(short.bars.values())[-100:]


def test_bars_that_share_a_pixel_are_one_that_says_how_many():
    many = [Bar(f"t{n}", "a", "tool", n * 0.5, n * 0.5 + 0.1, failed=n == 7) for n in range(100)]
    [one] = seen(many, 0, 60, step=1.0)

    assert (100, 0.0, 49.6, True) == (one.many, one.began, one.ended, one.failed)
    assert many == seen(many, 0, 60, step=0.05)


def test_a_window_holds_what_reaches_into_it():
    held = [Bar("t1", "a", "turn", 0, 10), Bar("t2", "a", "turn", 20, None), Bar("t3", "a", "turn", 50, 60)]

    assert ["t1", "t2"] == [bar.id for bar in seen(held, 9, 30, 0.1)]
    assert ["t2"] == [bar.id for bar in seen(held, 30, 40, 0.1)]


@pytest.mark.parametrize("seconds", [1, 100, 5000])
def test_density_counts_every_entry_in_few_bins_and_knows_the_last_of_each(seconds):
    entries = [at(n * seconds, STARTED, n) for n in range(1000)]
    folded = Density.replay(entries)
    axis, counts = folded.bins.read()

    assert 1000 == sum(each.number for each in counts)
    assert density.BINS / 2 <= len(counts) <= density.BINS
    assert all(
        axis.first + axis.width * index <= ZERO + each.last * seconds < axis.first + axis.width * (index + 1)
        for index, each in enumerate(counts)
        if each.number
    )
    assert (999, ZERO + 999 * seconds) == (folded.last, folded.now)


def test_a_clock_that_was_set_back_counts_where_it_was_before():
    folded = Density.replay([at(0, STARTED, 0), at(5, STARTED, 1), at(2, STARTED, 2)])

    assert [(1, 0), (2, 2)] == [(c.number, c.last) for c in folded.bins.read()[1] if c.number]


def test_what_was_read_of_the_bins_stays_as_it_was_when_they_are_joined():
    folded = Density.replay([at(n, STARTED, n) for n in range(128)])
    before, counts = folded.bins.read()
    folded.apply(at(500, STARTED, 128))

    assert (128, 1.0) == (len(counts), before.width)
    assert 4.0 == folded.bins.read()[0].width


def spent(agent, usd, seconds, model="m"):
    return at(seconds, UsageReported(agent=agent, turn=f"{agent}.t1", cost_usd=usd, model=model))


def test_what_was_spent_is_kept_by_when_who_and_which_model():
    folded = CostHistory.replay(
        [spent("a", 1.0, 0), spent("b", 2.0, 1), spent("a", 4.0, 1, "n"), spent("a", 8.0, 1)]
    )

    assert {("a", "m"): 0, ("b", "m"): 1, ("a", "n"): 2} == folded.spenders
    assert [{0: 1.0}, {1: 2.0, 2: 4.0, 0: 8.0}] == list(folded.bins.read()[1])


def test_unknown_and_zero_cost_are_no_part_of_the_course():
    assert () == CostHistory.replay([spent("a", float("nan"), 0), spent("a", 0.0, 1)]).bins.read()[1]


def test_a_course_of_days_is_as_short_as_one_of_minutes_and_loses_nothing():
    folded = CostHistory.replay([spent("a", 1.0, 60 * n) for n in range(5000)])
    axis, bins = folded.bins.read()

    assert len(bins) <= cost_history.BINS
    assert 5000.0 == sum(each[0] for each in bins if each)
    assert 2048.0 == axis.width


def test_spenders_beyond_the_most_are_one_sum(monkeypatch):
    monkeypatch.setattr(cost_history, "SPENDERS", 3)
    folded = CostHistory.replay([spent(f"a{n}", 1.0, 0) for n in range(10)])

    assert 3 + 1 == len(folded.spenders)
    assert 7.0 == folded.bins.read()[1][0][folded.spenders["", ""]]
