"""What may happen next, and what is true after it."""

from datetime import UTC, datetime, timedelta
from itertools import count

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from madrox_nb import teamwork
from madrox_nb.errors import AgentBusy, AgentGone, BadInput, IllegalEvent, NameTaken, UnknownAgent
from madrox_nb.events import (
    KINDS,
    PERSON,
    AgentReady,
    AgentSpawned,
    AgentStopped,
    AgentSuspended,
    ApprovalAnswered,
    ApprovalAsked,
    Entry,
    HarnessNoise,
    MessagePosted,
    MessageRead,
    RunClosed,
    RunOpened,
    ToolCalled,
    ToolReturned,
    TurnEnded,
    TurnSaid,
    TurnStarted,
    Unknown,
    UsageReported,
)
from madrox_nb.tree import ENDED, LEGAL, UNBORN, Tree

NOON = datetime(2026, 7, 25, 12, tzinfo=UTC)


class Run:
    """A tree and the entries that it was folded from."""

    def __init__(self, *events):
        self.tree, self.entries = Tree(), []
        for event in events:
            self(event)

    def __call__(self, event):
        state = self.tree.check(event)
        entry = Entry(len(self.entries), NOON + timedelta(seconds=len(self.entries)), event)
        self.entries.append(entry)
        self.tree.apply(entry, state)
        return self

    def state(self, name="lead"):
        return self.tree[name].state


def spawned(agent="lead", **more):
    return AgentSpawned(agent=agent, harness="rehearsal", role="general", **more)


def ready(agent="lead", **more):
    return AgentReady(agent=agent, **more)


def started(turn="lead.t1", agent="lead"):
    return TurnStarted(agent=agent, turn=turn, sender=PERSON, text="go")


def ended(turn="lead.t1", agent="lead", outcome="ok", **more):
    return TurnEnded(agent=agent, turn=turn, outcome=outcome, **more)


def stopped(agent="lead", **more):
    return AgentStopped(agent=agent, reason="enough", **more)


def asked(approval="lead.a1", turn="lead.t1"):
    return ApprovalAsked(agent="lead", turn=turn, approval=approval, tool="Bash")


def answered(approval="lead.a1"):
    return ApprovalAnswered(agent="lead", approval=approval, decision="allow", by=PERSON)


def posted(to="lead", sender=PERSON, number=1):
    return MessagePosted(agent=to, message=f"{sender}.m{number}", sender=sender, text="hi")


BUSY = spawned(), ready(), started()

# the table


def test_the_tables_speak_of_every_kind_but_the_runs_own():
    of_agents = {kind.kind for row in LEGAL.values() for kind in row}
    of_teams = {kind.kind for row in teamwork.LEGAL.values() for kind in row}

    assert {name for name in KINDS if not name.startswith("run.")} == of_agents | of_teams


def test_every_state_that_the_table_leads_to_has_a_row():
    assert {state for row in LEGAL.values() for state in row.values()} <= set(LEGAL)


def test_every_state_can_be_reached_from_the_unborn():
    reached, todo = set(), [UNBORN]
    while todo:
        state = todo.pop()
        reached.add(state)
        targets = {*LEGAL[state].values(), *({"failed"} if AgentStopped in LEGAL[state] else ())}
        todo += targets - reached

    assert set(LEGAL) == reached


def test_from_every_living_state_an_agent_can_stop():
    living = set(LEGAL) - ENDED - {UNBORN}

    assert living == {state for state, row in LEGAL.items() if AgentStopped in row}


@pytest.mark.parametrize("state", sorted(LEGAL))
def test_what_is_not_in_the_table_is_refused(state):
    run = {
        "unborn": Run(),
        "starting": Run(spawned()),
        "idle": Run(spawned(), ready()),
        "busy": Run(*BUSY),
        "waiting": Run(*BUSY, asked()),
        "suspended": Run(spawned(), ready(), AgentSuspended(agent="lead", reason="rest")),
        "stopped": Run(spawned(), stopped()),
        "failed": Run(spawned(), stopped(failed=True)),
    }[state]
    assert state == (run.state() if state != UNBORN else UNBORN)
    turn = "lead.t1" if state in ("busy", "waiting") else ""
    samples = [
        spawned(),
        ready(),
        AgentSuspended(agent="lead", reason="rest"),
        stopped(),
        TurnSaid(agent="lead", turn=turn, text="x"),
        ToolCalled(agent="lead", turn=turn, call="c", tool="Read"),
        ToolReturned(agent="lead", turn=turn, call="c", ok=True),
        started(),
        ended(turn),
        asked("lead.a9", turn),
        answered(),
        posted(),
    ]

    for event in samples:
        before = dict(run.tree.agents)
        if type(event) in LEGAL[state]:
            assert LEGAL[state][type(event)] == run.tree.check(event)
        else:
            with pytest.raises((IllegalEvent, UnknownAgent, NameTaken)):
                run.tree.check(event)
        assert before == run.tree.agents, "checking changes nothing"


# its refusals name the thing, its state and the next step


def test_a_second_turn_is_refused_while_one_is_under_way():
    with pytest.raises(AgentBusy, match=r"lead is busy.*%madrox interrupt lead"):
        Run(*BUSY, started("lead.t2"))


def test_a_stopped_agent_is_gone():
    with pytest.raises(AgentGone, match=r"lead .*stopped.*%madrox spawn lead"):
        Run(spawned(), ready(), stopped(), started())


def test_a_name_that_is_alive_is_taken():
    with pytest.raises(NameTaken, match="'lead' already exists and is idle"):
        Run(spawned(), ready(), spawned())


def test_an_unknown_name_is_answered_with_the_nearest_one():
    with pytest.raises(UnknownAgent, match="Did you mean 'lead'"):
        Run(spawned()).tree["laed"]


def test_nothing_happens_to_an_agent_that_was_never_born():
    with pytest.raises(UnknownAgent):
        Run(posted())


def test_a_child_cannot_be_born_to_a_parent_that_is_gone():
    with pytest.raises(
        BadInput, match=r"lead has stopped: nothing can be spawned below it.*%madrox spawn lead"
    ):
        Run(spawned(), stopped(), spawned("kid", parent="lead"))


def test_a_child_cannot_be_born_to_nobody():
    with pytest.raises(UnknownAgent):
        Run(spawned("kid", parent="lead"))


def test_nobody_is_born_again_below_himself():
    run = Run(spawned(), spawned("kid", parent="lead"), stopped())

    with pytest.raises(IllegalEvent, match="kid stands below it"):
        run(spawned("lead", parent="kid"))


@pytest.mark.parametrize(
    "late",
    [
        TurnSaid(agent="lead", turn="lead.t1", text="more"),
        ToolCalled(agent="lead", turn="lead.t1", call="c", tool="Read"),
        ended("lead.t1"),
        asked("lead.a1", "lead.t1"),
    ],
)
def test_what_belongs_to_another_turn_cannot_happen_in_this_one(late):
    run = Run(*BUSY, ended(), started("lead.t2"))

    with pytest.raises(IllegalEvent, match=r"its turn is lead\.t2"):
        run(late)


def test_usage_may_come_after_its_turn_has_ended():
    run = Run(*BUSY, ended(), UsageReported(agent="lead", turn="lead.t1"))

    assert "idle" == run.state()


# what is true afterwards


def test_a_turn_makes_an_agent_busy_and_its_end_idle():
    run = Run(*BUSY)
    assert ("busy", "lead.t1", 1) == (run.state(), run.tree["lead"].turn, run.tree["lead"].turns)

    run(ended(session="s1"))
    assert ("idle", "", "s1") == (run.state(), run.tree["lead"].turn, run.tree["lead"].session)


def test_an_agent_waits_until_its_last_approval_is_answered():
    run = Run(*BUSY, asked("lead.a1"), asked("lead.a2"))
    assert ("lead.a1", "lead.a2") == run.tree["lead"].approvals

    run(answered("lead.a2"))
    assert ("waiting", ("lead.a1",)) == (run.state(), run.tree["lead"].approvals)

    run(answered("lead.a1"))
    assert ("busy", ()) == (run.state(), run.tree["lead"].approvals)


def test_the_end_of_a_turn_takes_its_approvals_and_tools_with_it():
    run = Run(*BUSY, ToolCalled(agent="lead", turn="lead.t1", call="c", tool="Bash"), asked())

    run(ended(outcome="interrupted"))

    assert ("idle", (), ()) == (run.state(), run.tree["lead"].approvals, run.tree["lead"].tools)


def test_tools_under_way_are_known():
    run = Run(*BUSY)
    for call in "ab":
        run(ToolCalled(agent="lead", turn="lead.t1", call=call, tool="Read"))
    run(ToolReturned(agent="lead", turn="lead.t1", call="a", ok=True))

    assert (("b", "Read"),) == run.tree["lead"].tools


def test_an_agent_that_stops_by_failing_has_failed_and_says_why():
    run = Run(*BUSY, stopped(failed=True))

    assert ("failed", "enough", "", False) == (
        run.state(),
        run.tree["lead"].reason,
        run.tree["lead"].turn,
        run.tree["lead"].alive,
    )


def test_since_is_when_it_came_into_its_state():
    run = Run(*BUSY, HarnessNoise(agent="lead", text="?"), ready(), asked("lead.a1"), asked("lead.a2"))

    assert run.entries[5].ts == run.tree["lead"].since
    assert run.entries[2].ts == Tree.replay(run.entries[:5])["lead"].since


def test_a_name_that_is_spawned_again_starts_afresh_but_goes_on_counting():
    run = Run(*BUSY, asked(), stopped(failed=True), spawned(model="m2"))

    assert ("starting", "", "", "lead.t2", "lead.a2") == (
        run.state(),
        run.tree["lead"].session,
        run.tree["lead"].reason,
        run.tree.next_turn("lead"),
        run.tree.next_approval("lead"),
    )


def test_an_unknown_kind_folds_to_nothing():
    run = Run(*BUSY)
    before = Tree.replay(run.entries)

    run(Unknown(agent="lead", row={"kind": "agent.promoted"}))

    assert before == run.tree


def test_opening_and_closing_are_of_the_run():
    run = Run(RunOpened(run="r1", madrox="0.1", pid=1), RunClosed(reason="done"))

    assert ("r1", True, 0) == (run.tree.run, run.tree.closed, len(run.tree))


def test_a_message_to_the_person_needs_no_agent():
    run = Run(spawned(), posted(PERSON, "lead"), MessageRead(agent=PERSON, message="lead.m1"))

    assert {"lead": 1} == run.tree.written


def test_a_value_that_was_taken_from_the_tree_never_changes():
    run = Run(spawned(), ready())
    before = run.tree["lead"]

    run(started())

    assert ("idle", "busy") == (before.state, run.state())


# who is there


def test_the_tree_is_walked_from_the_root_down_in_order_of_birth():
    run = Run(spawned("a"), spawned("b"), spawned("a2", parent="a"), spawned("b1", parent="b"))
    run(spawned("a3", parent="a"))(spawned("a21", parent="a2"))

    assert [(0, "a"), (1, "a2"), (2, "a21"), (1, "a3"), (0, "b"), (1, "b1")] == [
        (depth, agent.name) for depth, agent in run.tree.walk()
    ]
    assert ["a", "a2", "a21", "a3"] == [agent.name for agent in run.tree.subtree("a")]
    assert ["a2", "a"] == run.tree.above("a21")
    assert ["a", "b"] == [agent.name for agent in run.tree.children(None)]
    assert ["a2", "a3"] == [agent.name for agent in run.tree.children("a")]


def test_a_thousand_generations_are_walked_without_a_deep_stack():
    run = Run(spawned("a0"))
    for n in range(1, 1500):
        run(spawned(f"a{n}", parent=f"a{n - 1}"))

    assert 1500 == len(run.tree.subtree("a0"))


# ids that come next


def test_ids_are_counted_per_agent():
    run = Run(*BUSY, posted(), posted("lead", "lead", 1))

    assert "lead.t2" == run.tree.next_turn("lead")
    assert ("you.m2", "lead.m2", "kid.m1") == tuple(map(run.tree.next_message, (PERSON, "lead", "kid")))
    assert ("lead.1", "agent.1") == (run.tree.next_child("lead"), run.tree.next_child(None))


def test_leaving_one_agents_turn_out_shifts_nobody_elses():
    both = Run(*BUSY, spawned("kid", parent="lead"), ready("kid"), started("kid.t1", "kid"))
    one = Run(*(entry.event for entry in both.entries if not isinstance(entry.event, TurnStarted)))

    assert "kid.t1" == one.tree.next_turn("kid")
    assert "kid.t2" == both.tree.next_turn("kid")


def test_a_child_of_no_name_gets_one_that_is_free_for_good():
    run = Run(spawned(), spawned("lead.1", parent="lead"), spawned("lead.3", parent="lead"))
    assert "lead.4" == run.tree.next_child("lead")

    run(stopped("lead.1"))(stopped("lead.3"))
    assert "lead.4" == run.tree.next_child("lead")


# replay

NAMES = "lead", "kid", "lead.1"


def _chances():
    """Events as they come, legal or not: the tree decides."""
    name, turn = st.sampled_from(NAMES), st.sampled_from(["lead.t1", "lead.t2", "kid.t1", "kid.t2"])
    call = st.sampled_from("xy")
    return st.one_of(
        st.builds(spawned, name, parent=st.sampled_from([None, *NAMES])),
        st.builds(ready, name, session=st.sampled_from(["", "s1"])),
        st.builds(started, turn, name),
        st.builds(ended, turn, name, st.sampled_from(["ok", "failed", "interrupted"])),
        st.builds(stopped, name, failed=st.booleans()),
        st.builds(AgentSuspended, agent=name, reason=st.just("rest")),
        st.builds(ToolCalled, agent=name, turn=turn, call=call, tool=st.just("Read")),
        st.builds(ToolReturned, agent=name, turn=turn, call=call, ok=st.booleans()),
        st.builds(asked, st.sampled_from(["lead.a1", "lead.a2"]), turn),
        st.builds(answered, st.sampled_from(["lead.a1", "lead.a2"])),
        st.builds(posted, name, st.sampled_from([PERSON, *NAMES])),
        st.builds(UsageReported, agent=name, turn=turn),
        st.just(Unknown(agent="lead", row={"kind": "x"})),
    )


@settings(max_examples=200, deadline=None, database=None)
@given(st.lists(_chances(), max_size=40))
def test_replaying_the_ledger_gives_the_live_tree(events):
    run = Run(spawned(), ready())
    for event in events:
        try:
            run(event)
        except (IllegalEvent, BadInput):
            continue

    written = [Entry.from_line(entry.to_line()) for entry in run.entries]

    assert run.tree == Tree.replay(written)
    assert all(agent.state in LEGAL for agent in run.tree)


def test_a_tree_that_differs_in_one_agent_is_another_tree():
    seq = count()
    one, other = (
        Tree.replay(Entry(next(seq), NOON, event) for event in (spawned(), ready(session=session)))
        for session in ("s1", "s2")
    )

    assert one != other
