"""What an agent and all below it may still use. Pure."""

from __future__ import annotations

import math
from datetime import UTC, datetime, timedelta
from functools import reduce
from operator import add

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from madrox_nb.budget import NO_LIMIT, RUN, Budget, Limits, Standing, spoken
from madrox_nb.errors import BadInput
from madrox_nb.events import (
    NAN,
    AgentSpawned,
    BudgetReached,
    BudgetSet,
    Entry,
    Event,
    RunOpened,
    TurnStarted,
    UsageReported,
)
from madrox_nb.folds import Costs
from madrox_nb.tree import Tree

NOON = datetime(2026, 7, 25, 12, tzinfo=UTC)
LATER = NOON + timedelta(hours=1)


def entries(*events: Event) -> list[Entry]:
    """One a second."""
    return [Entry(n, NOON + timedelta(seconds=n), event) for n, event in enumerate(events)]


def budget(*events: Event) -> Budget:
    return Budget.replay(entries(*events))


def spawned(name: str, parent: str | None = None) -> AgentSpawned:
    return AgentSpawned(agent=name, harness="rehearsal", role="general", parent=parent)


def used(name: str, tokens: int, usd: float = 0.0) -> UsageReported:
    return UsageReported(agent=name, turn=f"{name}.t1", input_tokens=tokens, cost_usd=usd, cost_source="cli")


def began(name: str, number: int = 1) -> TurnStarted:
    return TurnStarted(agent=name, turn=f"{name}.t{number}", sender="you", text="go")


def limit(name: str, **amounts: float) -> BudgetSet:
    [(what, amount)] = amounts.items()
    return BudgetSet(agent=name, limit=what, amount=amount)


FAMILY = (spawned("lead"), spawned("dev", "lead"), spawned("dev.1", "dev"), spawned("other"))


def only(found: Budget, holder: str, at: datetime = LATER) -> Standing:
    [standing] = found.standings(holder, at)
    return standing


# what counts


def test_what_a_grandchild_uses_counts_for_all_above_it_and_for_nobody_beside_them():
    found = budget(*FAMILY, used("dev.1", 10, 0.5), used("other", 1))

    assert [10, 10, 10, 1, 11] == [found.used[name].tokens for name in ("lead", "dev", "dev.1", "other", RUN)]


def test_a_child_is_held_by_what_any_above_it_has_used_up():
    found = budget(*FAMILY, limit("lead", tokens=100), used("other", 500), used("dev", 60), used("lead", 40))

    held = {name: found.holding(name, LATER) for name in ("lead", "dev", "dev.1", "other")}

    assert {"lead": "lead", "dev": "lead", "dev.1": "lead", "other": None} == {
        name: standing and standing.holder for name, standing in held.items()
    }


def test_what_is_left_is_the_least_that_anybody_above_has():
    found = budget(*FAMILY, limit("lead", tokens=100), limit("dev", tokens=1000), used("dev.1", 70))

    assert (30, 30, NO_LIMIT) == (
        found.left("dev", "tokens", LATER),
        found.left("dev.1", "tokens", LATER),
        found.left("other", "tokens", LATER),
    )


def test_the_runs_limit_holds_for_everybody():
    found = budget(*FAMILY, limit(RUN, usd=1), used("other", 0, 0.4), used("dev.1", 0, 0.6))

    assert [RUN] * 2 == [
        standing.holder for name in ("lead", "other") if (standing := found.holding(name, LATER))
    ]


def test_a_sum_of_dollars_that_rounding_leaves_below_the_limit_has_reached_it():
    found = budget(spawned("lead"), limit("lead", usd=1), *(used("lead", 1, 0.1) for _ in range(10)))

    assert reduce(add, [0.1] * 10) < 1
    assert only(found, "lead").out


def test_turns_count_when_they_begin():
    found = budget(*FAMILY, limit("lead", turns=2), began("dev"), began("lead"))

    assert "2 of 2 turns" == str(found.holding("dev.1", LATER))


def test_a_turns_own_report_counts_no_second_turn():
    found = budget(*FAMILY, limit("lead", turns=2), began("dev"), used("dev", 5))

    assert 1 == only(found, "lead").left


def test_minutes_count_from_the_moment_when_they_are_set():
    found = budget(spawned("lead"), *(used("lead", 1) for _ in range(59)), limit("lead", minutes=10))

    assert 4 == only(found, "lead", NOON + timedelta(minutes=5)).used


def test_time_is_over_when_that_is_on_record_so_replay_and_life_agree():
    story = (spawned("lead"), limit("lead", minutes=1))
    reached = BudgetReached(agent="lead", limit="minutes", amount=1, spent=1)

    assert budget(*story).holding("lead", LATER) is None
    assert "lead" == budget(*story, reached).holding("lead", LATER).holder


def test_an_unknown_price_leaves_a_lower_bound_that_says_so_and_the_tokens_count():
    found = budget(spawned("lead"), limit("lead", usd=5), used("lead", 10, 1.2), used("lead", 30, NAN))

    assert ("≥ $1.20 of $5.00", 40) == (str(only(found, "lead")), found.used["lead"].tokens)


def test_peers_5_a_replayed_recording_is_billed_to_nobody():
    opened = RunOpened(run="r", madrox="0", pid=1, mode="replay")
    found = budget(opened, spawned("lead"), limit("lead", tokens=10), began("lead"), used("lead", 500))

    assert (0, None) == (only(found, "lead").used, found.holding("lead", LATER))


# limits that change


def test_a_raised_limit_lets_go_on_and_is_no_longer_reached():
    reached = BudgetReached(agent="lead", limit="tokens", amount=10, spent=12)
    story = (spawned("lead"), limit("lead", tokens=10), used("lead", 12), reached)

    assert budget(*story).holding("lead", LATER).limit.reached
    assert budget(*story, limit("lead", tokens=20)).holding("lead", LATER) is None


def test_an_infinite_amount_takes_a_limit_away_and_survives_the_file():
    story = entries(spawned("lead"), limit("lead", tokens=10), limit("lead", tokens=NO_LIMIT))
    read = [Entry.from_line(entry.to_line()) for entry in story]

    assert ({}, story) == (Budget.replay(read).limits["lead"], read)


def test_a_name_that_is_spawned_again_has_used_nothing_but_those_above_it_have_paid():
    found = budget(*FAMILY, limit("dev", tokens=10), used("dev", 12), spawned("dev", "lead"), used("dev", 1))

    assert (1, 13, None) == (
        found.used["dev"].tokens,
        found.used["lead"].tokens,
        found.holding("dev", LATER),
    )


def test_what_an_earlier_run_used_counts_towards_the_limit_alone():
    carried = BudgetSet(agent="lead", limit="tokens", amount=100, carried=90)
    found = budget(spawned("lead"), carried, used("lead", 5))

    assert (95, 5) == (only(found, "lead").used, found.used["lead"].tokens)


def test_what_an_older_version_wrote_can_be_read():
    place = b'{"v":1,"seq":0,"ts":"2026-07-25T12:00:00Z","kind":"budget.set","agent":"lead",'
    line = place + b'"limit":"usd","amount":5}'

    assert BudgetSet(agent="lead", limit="usd", amount=5, by="you", carried=0) == Entry.from_line(line).event


# the tree's shape


@pytest.mark.parametrize(
    ("holder", "levels", "parent", "refused"),
    [
        ("lead", 0, "lead", True),
        ("lead", 1, "lead", False),
        ("lead", 1, "dev", True),
        ("lead", 2, "dev", False),
        ("lead", 2, "dev.1", True),
        ("lead", 0, "other", False),
        ("lead", 0, None, False),
        (RUN, 1, None, False),
        (RUN, 1, "other", True),
        (RUN, 3, "dev", False),
        (RUN, 3, "dev.1", True),
    ],
)
def test_the_depth_below_an_agent_is_counted_in_levels(holder, levels, parent, refused):
    found = budget(*FAMILY, limit(holder, max_depth=levels))

    assert refused == (found.depth_limit(parent) is not None)


def test_how_many_children_is_said_for_one_agent_else_by_the_run():
    found = budget(*FAMILY, limit(RUN, max_children=3), limit("dev", max_children=0))

    assert (3, 0) == (found.most_children("lead"), found.most_children("dev"))
    assert NO_LIMIT == budget(*FAMILY).most_children("lead")


# what is asked for


def test_limits_are_read_from_a_mapping_and_keep_what_was_said():
    assert {"tokens": 5, "max_children": 0} == Limits.of({"tokens": 5, "max_children": 0}).given()
    assert {} == Limits.of(None).given()


@pytest.mark.parametrize(
    ("asked", "named"),
    [
        ({"token": 5}, "Did you mean 'tokens'"),
        ({"tokens": -1}, "negative"),
        ({"usd": 0}, "could mean"),
        ({"usd": NAN}, "not a number"),
        ({"usd": "5"}, "not a number"),
        ({"turns": True}, "not a number"),
        ({"turns": 1.5}, "whole"),
    ],
)
def test_what_can_be_no_limit_is_named(asked, named):
    with pytest.raises(BadInput, match=named):
        Limits.of(asked)


@pytest.mark.parametrize(
    ("name", "amount", "words"),
    [
        ("usd", 5, "$5.00"),
        ("usd", 0.0025, "$0.0025"),
        ("usd", 0, "$0.00"),
        ("tokens", 1234567, "1,234,567 tokens"),
        ("turns", 1, "1 turn"),
        ("minutes", 1.5, "1.5 min"),
        ("minutes", 0.01, "0.6 s"),
        ("max_depth", 1, "1 level below it"),
        ("max_children", 1, "1 child"),
        ("max_children", 2, "2 children"),
    ],
)
def test_amounts_are_told_in_words(name, amount, words):
    assert words == spoken(name, amount)


# whatever happens

NAMES = [f"a{n}" for n in range(6)]


@st.composite
def stories(draw: st.DrawFn) -> list[Event]:
    """A family in which each may be below any that came before it, and what happened in it."""
    events: list[Event] = []
    for n, name in enumerate(NAMES):
        events.append(spawned(name, draw(st.sampled_from([None, *NAMES[:n]]))))
    dollars = st.one_of(st.just(NAN), st.floats(0, 100))
    happens = st.one_of(
        st.builds(used, st.sampled_from(NAMES), st.integers(0, 1000), dollars),
        st.builds(began, st.sampled_from(NAMES)),
        st.builds(
            BudgetSet,
            agent=st.sampled_from([RUN, *NAMES]),
            limit=st.sampled_from(["usd", "tokens", "minutes", "turns"]),
            amount=st.floats(0.001, 2000),
            carried=st.floats(0, 100),
        ),
    )
    return [*events, *draw(st.lists(happens, max_size=40))]


@settings(max_examples=40, deadline=None)
@given(stories())
def test_the_sums_on_the_way_up_are_those_of_a_walk_down(story):
    found, costs, tree = Budget(), Costs(), Tree()
    for entry in entries(*story):
        for fold in (found, costs, tree):
            fold.apply(entry)

    for name in NAMES:
        usage, sums = costs.subtree(tree, name), found.used[name]
        assert (usage.tokens, usage.exact) == (sums.tokens, sums.exact)
        assert math.isclose(usage.cost_usd, sums.usd, abs_tol=1e-9)
    assert costs.total().tokens == (found.used[RUN].tokens if RUN in found.used else 0)


@settings(max_examples=40, deadline=None)
@given(stories(), st.integers(0, 10_000))
def test_nothing_left_is_ever_negative_and_no_child_has_more_left_than_one_above_it(story, seconds):
    found, now = budget(*story), NOON + timedelta(seconds=seconds)

    for name in NAMES:
        for what in ("usd", "tokens", "minutes", "turns"):
            left = found.left(name, what, now)
            assert left >= 0
            assert all(left <= found.left(holder, what, now) for holder in found.chain(name))


@settings(max_examples=40, deadline=None)
@given(stories())
def test_whoever_is_held_has_somebody_above_who_has_nothing_left_and_all_below_are_held(story):
    found = budget(*story)

    for name in NAMES:
        if (standing := found.holding(name, LATER)) is not None:
            assert standing.holder in found.chain(name)
            below = [other for other in NAMES if name in found.chain(other)]
            assert all(found.holding(other, LATER) is not None for other in below)


@settings(max_examples=25, deadline=None)
@given(stories())
def test_what_was_read_back_folds_to_the_same(story):
    told = entries(*story)

    assert Budget.replay(told) == Budget.replay(Entry.from_line(entry.to_line()) for entry in told)
