"""Readings of the ledger."""

from datetime import UTC, datetime, timedelta
from math import isnan

from madrox_nb.events import (
    PERSON,
    AgentSpawned,
    Entry,
    MessagePosted,
    MessageRead,
    ToolCalled,
    ToolReturned,
    TurnEnded,
    TurnSaid,
    TurnStarted,
    Unknown,
    UsageReported,
)
from madrox_nb.folds import Costs, Inboxes, Usage, transcript
from madrox_nb.tree import Tree
from madrox_nb.turns import turns

NOON = datetime(2026, 7, 25, 12, tzinfo=UTC)


def entries(*events):
    """One a second."""
    return [Entry(n, NOON + timedelta(seconds=n), event) for n, event in enumerate(events)]


def spawned(agent, parent=None):
    return AgentSpawned(agent=agent, harness="rehearsal", role="general", parent=parent)


def posted(message, to="lead", **more):
    return MessagePosted(agent=to, message=message, sender=message.partition(".")[0], text=message, **more)


def started(turn, *messages):
    return TurnStarted(
        agent=turn.partition(".")[0], turn=turn, sender=PERSON, text="go", messages=tuple(messages)
    )


def ended(turn, outcome="ok", **more):
    return TurnEnded(agent=turn.partition(".")[0], turn=turn, outcome=outcome, **more)


def used(turn, tokens=10, **more):
    return UsageReported(agent=turn.partition(".")[0], turn=turn, input_tokens=tokens, **more)


# the inbox


def ids(messages):
    return [message.id for message in messages]


def test_an_inbox_holds_what_was_posted_oldest_first():
    inboxes = Inboxes.replay(entries(posted("you.m1"), posted("kid.m1"), posted("you.m2", to="kid")))

    assert ["you.m1", "kid.m1"] == ids(inboxes.unread("lead"))
    assert ["you.m2"] == ids(inboxes.unread("kid"))
    assert [] == inboxes.unread("nobody")


def test_starting_a_turn_is_reading_the_messages_that_it_hands_over():
    inboxes = Inboxes.replay(entries(posted("you.m1"), posted("you.m2"), started("lead.t1", "you.m1")))

    assert ["you.m2"] == ids(inboxes.unread("lead"))
    assert [True, False] == [message.read for message in inboxes.received("lead")]


def test_a_message_is_read_once_and_stays_received():
    read = MessageRead(agent="lead", message="you.m1")
    inboxes = Inboxes.replay(entries(posted("you.m1"), read, read))

    assert [] == inboxes.unread("lead")
    assert ["you.m1"] == ids(inboxes.received("lead"))


def test_reading_a_message_that_nobody_wrote_changes_nothing():
    inboxes = Inboxes.replay(entries(posted("you.m1"), MessageRead(agent="lead", message="you.m9")))

    assert ["you.m1"] == ids(inboxes.unread("lead"))


def test_only_questions_queue_a_turn():
    inboxes = Inboxes.replay(entries(posted("you.m1"), posted("you.m2", asks=True)))

    assert 1 == inboxes.queued("lead")


def test_a_message_keeps_what_was_said_of_it():
    question = posted("kid.m1", asks=True, answers="lead.m3", outcome="failed")
    [message] = Inboxes.replay(entries(question)).unread("lead")

    assert ("kid", "lead", True, "lead.m3", "failed", NOON) == (
        message.sender,
        message.to,
        message.asks,
        message.answers,
        message.outcome,
        message.posted,
    )


def test_the_replayed_inboxes_are_the_live_ones():
    story = entries(posted("you.m1"), posted("kid.m1"), started("lead.t1", "you.m1"))
    live = Inboxes()
    for entry in story:
        live.apply(entry)

    assert live == Inboxes.replay(story)
    assert live != Inboxes.replay(story[:-1])


# the money


def test_what_is_known_is_summed_and_what_is_not_is_said():
    costs = Costs.replay(
        entries(used("lead.t1"), used("lead.t2", cost_usd=0.5, cost_source="cli"), used("kid.t1", 7))
    )

    lead = costs.of("lead")
    assert (20, 0.5, False, ("unknown", "cli")) == (lead.tokens, lead.cost_usd, lead.exact, lead.sources)
    assert isnan(lead.known_usd)
    assert 27 == costs.total().tokens


def test_nothing_used_costs_exactly_nothing():
    assert (0, 0.0, True, ()) == (
        Costs().of("lead").tokens,
        Costs().of("lead").known_usd,
        Costs().total().exact,
        Usage().sources,
    )


def test_cached_tokens_count():
    report = UsageReported(
        agent="a", turn="a.t1", input_tokens=1, output_tokens=2, cache_read_tokens=4, cache_write_tokens=8
    )

    assert 15 == Costs.replay(entries(report)).of("a").tokens


def test_a_subtree_is_its_root_and_all_below():
    story = entries(
        spawned("lead"),
        spawned("kid", "lead"),
        spawned("grandkid", "kid"),
        spawned("other"),
        *(used(f"{name}.t1", 10, cost_usd=1.0) for name in ("lead", "kid", "grandkid", "other")),
    )
    tree, costs = Tree.replay(story), Costs.replay(story)

    assert [3.0, 2.0, 1.0] == [costs.subtree(tree, name).known_usd for name in ("lead", "kid", "grandkid")]


def test_one_unknown_price_below_makes_the_whole_subtree_inexact():
    story = entries(
        spawned("lead"),
        spawned("kid", "lead"),
        used("lead.t1", cost_usd=1.0),
        used("kid.t1", cost_usd=float("nan")),
    )
    usage = Costs.replay(story).subtree(Tree.replay(story), "lead")

    assert (1.0, False) == (usage.cost_usd, usage.exact)


def test_sources_are_named_once():
    once = Usage(sources=("cli",)) + Usage(sources=("cli", "user"))

    assert ("cli", "user") == once.sources


# the turns


def test_a_turn_is_its_prompt_its_tools_its_usage_and_its_end():
    [turn] = turns(
        entries(
            started("lead.t1"),
            ToolCalled(agent="lead", turn="lead.t1", call="c", tool="Read"),
            used("lead.t1", 10, cost_usd=0.25),
            used("lead.t1", 5, cost_usd=0.25),
            ended("lead.t1", "failed", text="half", error="no more"),
        )
    )

    assert ("lead", "go", "failed", "half", "no more", 1) == (
        turn.agent,
        turn.prompt,
        turn.outcome,
        turn.text,
        turn.error,
        turn.tools,
    )
    assert (15, 0.5, 4.0) == (turn.usage.tokens, turn.usage.known_usd, turn.duration_s)


def test_a_turn_under_way_has_neither_outcome_nor_duration():
    [turn] = turns(entries(started("lead.t1")))

    assert turn.outcome is None
    assert isnan(turn.duration_s)


def test_turns_come_in_the_order_they_began():
    story = entries(started("b.t1"), started("a.t1"), ended("a.t1"), ended("b.t1"), started("a.t2"))

    assert ["b.t1", "a.t1", "a.t2"] == [turn.id for turn in turns(story)]


def test_what_belongs_to_no_known_turn_is_left_out():
    assert [] == turns(entries(ended("lead.t9"), used("lead.t9"), Unknown(row={"kind": "x"})))


# the transcript


def told(*events, agent="lead"):
    return [(said.who, said.what, said.text) for said in transcript(entries(*events), agent)]


def test_a_transcript_tells_what_was_said_and_done_in_order():
    assert [
        ("you", "prompt", "go"),
        ("lead", "tool", 'Read {"path":"x"}'),
        ("lead", "result", "text of x"),
        ("lead", "answer", "done"),
    ] == told(
        spawned("lead"),
        started("lead.t1"),
        ToolCalled(agent="lead", turn="lead.t1", call="c", tool="Read", input='{"path":"x"}'),
        ToolReturned(agent="lead", turn="lead.t1", call="c", ok=True, output="text of x"),
        TurnSaid(agent="lead", turn="lead.t1", text="done"),
        ended("lead.t1", text="done"),
    )


def test_a_transcript_says_why_a_turn_did_not_end_well():
    assert ("lead", "answer", "[failed] no more") == told(
        started("lead.t1"), ended("lead.t1", "failed", error="no more")
    )[-1]


def test_a_transcript_is_of_one_agent():
    assert [] == told(started("kid.t1"))


def test_a_name_that_was_spawned_again_starts_a_new_transcript():
    assert [("you", "prompt", "go")] == told(
        spawned("lead"), started("lead.t1"), spawned("lead"), started("lead.t2")
    )
