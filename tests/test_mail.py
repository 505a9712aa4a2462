"""What an idle agent is handed next, and who waits for an answer."""

import asyncio
from datetime import UTC, datetime

import pytest

from madrox_nb.errors import BadPrompt, NotRunning
from madrox_nb.events import PERSON, AgentReady, AgentSpawned, Entry, MessagePosted, TurnEnded
from madrox_nb.folds import Inboxes
from madrox_nb.queueing import LONGEST_PROMPT, check_prompt, next_batch, rides_along, starts_a_turn, who_asked
from madrox_nb.tickets import Ticket
from madrox_nb.tree import Tree

NOON = datetime(2026, 7, 25, 12, tzinfo=UTC)


def family(quiet=()):
    """lead, and below it kid and sister."""
    born = [("lead", None), ("kid", "lead"), ("sister", "lead")]
    events = [
        AgentSpawned(
            agent=name, harness="rehearsal", role="general", parent=parent, auto_inject=name not in quiet
        )
        for name, parent in born
    ]
    events += [AgentReady(agent=name) for name, _ in born]
    return Tree.replay(Entry(n, NOON, event) for n, event in enumerate(events))


def inbox(*messages, to="lead"):
    """What lies there, written as (sender, "ask" | "note" | "answer") and perhaps a text."""
    inboxes = Inboxes()
    for number, (sender, what, *text) in enumerate(messages):
        event = MessagePosted(
            agent=to,
            message=f"m{number}",
            sender=sender,
            text=text[0] if text else what,
            asks=what == "ask",
            answers="lead.m1" if what == "answer" else "",
        )
        inboxes.apply(Entry(number, NOON, event))
    return inboxes


def handed(*messages, to="lead", quiet=()):
    return [message.id for message in next_batch(to, family(quiet), inbox(*messages, to=to))]


def lone(sender, what, to="lead"):
    return inbox((sender, what), to=to).unread(to)[0]


# what wakes an agent


@pytest.mark.parametrize(
    ("sender", "what", "to", "wakes"),
    [
        (PERSON, "ask", "lead", True),
        ("kid", "ask", "lead", True),
        ("stranger", "ask", "lead", True),
        ("kid", "note", "lead", True),
        ("sister", "answer", "kid", True),
        (PERSON, "note", "lead", False),
        ("lead", "note", "kid", False),
        ("sister", "note", "kid", False),
        ("stranger", "answer", "lead", False),
    ],
)
def test_a_question_an_answer_and_a_childs_word_wake_an_idle_agent(sender, what, to, wakes):
    assert wakes == starts_a_turn(lone(sender, what, to), family())


def test_the_words_of_an_agent_without_auto_inject_wait_to_be_asked_for():
    tree = family(quiet=["kid"])

    for what in ("note", "answer"):
        assert (False, False) == (
            starts_a_turn(lone("kid", what), tree),
            rides_along(lone("kid", what), tree),
        )
    assert starts_a_turn(lone("kid", "ask"), tree)


def test_a_note_rides_along_and_a_question_does_not():
    assert rides_along(lone(PERSON, "note"), family())
    assert not rides_along(lone(PERSON, "ask"), family())


# the next batch


def test_an_empty_inbox_hands_over_nothing():
    assert [] == handed()


def test_a_note_of_the_persons_alone_waits():
    assert [] == handed((PERSON, "note"))


def test_one_question_is_handed_over_at_a_time():
    assert ["m0"] == handed((PERSON, "ask"), (PERSON, "ask"))


def test_notes_that_came_before_a_question_go_with_it():
    assert ["m0", "m1", "m2"] == handed(
        (PERSON, "note"), ("stranger", "note"), (PERSON, "ask"), (PERSON, "note")
    )


def test_notes_that_came_after_a_question_wait():
    assert ["m0"] == handed((PERSON, "ask"), (PERSON, "note"))


def test_a_childs_word_takes_all_notes_with_it_up_to_the_next_question():
    assert ["m0", "m1", "m2"] == handed((PERSON, "note"), ("kid", "note"), (PERSON, "note"), (PERSON, "ask"))


def test_an_answer_alone_starts_a_turn():
    assert ["m0"] == handed(("kid", "answer"))


def test_quiet_words_are_left_lying_whatever_starts_the_turn():
    assert ["m1"] == handed(("kid", "note"), (PERSON, "ask"), quiet=["kid"])
    assert [] == handed(("kid", "answer"), quiet=["kid"])


def test_a_slash_command_of_the_persons_goes_alone():
    assert ["m1"] == handed((PERSON, "note"), (PERSON, "ask", "/compact"))


def test_the_word_of_a_child_goes_before_the_slash_command_behind_it():
    assert ["m0"] == handed(("kid", "answer"), (PERSON, "ask", "/compact"))


def test_a_slash_of_an_agents_is_no_command():
    assert ["m0", "m1"] == handed((PERSON, "note"), ("kid", "ask", "/compact"))


def test_everything_is_handed_over_once_in_the_end():
    inboxes, tree, seen = (
        inbox((PERSON, "note"), (PERSON, "ask"), ("kid", "answer"), ("kid", "ask")),
        family(),
        [],
    )
    while batch := next_batch("lead", tree, inboxes):
        seen.append([message.id for message in batch])
        for message in batch:
            inboxes._read(message.id)

    assert [["m0", "m1"], ["m2"], ["m3"]] == seen


def test_a_turn_begins_in_the_name_of_who_asked_else_of_who_wrote_last():
    assert PERSON == who_asked(inbox(("kid", "note"), (PERSON, "ask")).unread("lead"))
    assert "sister" == who_asked(inbox(("kid", "note"), ("sister", "note")).unread("lead"))


# prompts that nobody could be sent


@pytest.mark.parametrize("empty", ["", " ", "\n\t ", "\u3000"])
def test_an_empty_prompt_is_refused(empty):
    with pytest.raises(BadPrompt, match="the prompt is empty"):
        check_prompt(empty)


def test_half_a_character_is_refused_with_its_place():
    with pytest.raises(BadPrompt, match="position 2"):
        check_prompt("ok\ud83d")


def test_the_longest_prompt_is_counted_in_bytes():
    check_prompt("x" * LONGEST_PROMPT)

    with pytest.raises(BadPrompt, match=r"33,554,434 bytes.*put it in a file"):
        check_prompt("é" * (LONGEST_PROMPT // 2 + 1))


@pytest.mark.parametrize("fine", ["x", " x ", "\0", "👩‍👩‍👧", "%s {} \\", "-" * 70_000])
def test_anything_else_can_be_sent(fine):
    check_prompt(fine)


# who waits

END = Entry(9, NOON, TurnEnded(agent="lead", turn="lead.t1", outcome="ok"))


def test_everyone_who_waits_is_told_once():
    async def story():
        ticket = Ticket("lead", PERSON)
        waiting = [asyncio.ensure_future(ticket.wait()) for _ in range(3)]
        await asyncio.sleep(0)

        assert ticket.close(END)
        assert [True] * 3 == await asyncio.gather(*waiting)
        assert [] == ticket.waiters

    asyncio.run(story())


def test_closing_says_when_nobody_waited():
    assert not Ticket("lead", PERSON).close(END)


def test_who_comes_late_does_not_wait():
    async def story():
        ticket = Ticket("lead", PERSON)
        ticket.close(NotRunning("gone"))

        assert await ticket.wait()

    asyncio.run(story())


def test_whose_patience_ends_is_forgotten_and_nobody_waited():
    async def story():
        ticket = Ticket("lead", PERSON)

        assert not await ticket.wait(0)
        assert not ticket.close(END)
        assert await ticket.wait(0)

    asyncio.run(story())


def test_who_stops_waiting_leaves_the_question_alone():
    async def story():
        ticket = Ticket("lead", PERSON)
        gone, stays = (asyncio.ensure_future(ticket.wait()) for _ in range(2))
        await asyncio.sleep(0)
        gone.cancel()
        await asyncio.wait((gone,))

        assert ticket.end is None
        assert 1 == len(ticket.waiters)
        assert ticket.close(END)
        assert await stays

    asyncio.run(story())


def test_a_ticket_is_known_by_its_message_else_by_its_turn():
    assert "you.m1" == Ticket("lead", PERSON, message="you.m1", turn="lead.t1").id
    assert "lead.t1" == Ticket("lead", PERSON, turn="lead.t1").id
