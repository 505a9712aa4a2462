"""The words that agents read."""

from datetime import UTC, datetime

import pytest

from madrox_nb.events import PERSON
from madrox_nb.folds import Message
from madrox_nb.wording import handover, instructions, refusal

NOON = datetime(2026, 7, 25, 12, tzinfo=UTC)


def message(sender, text, asks=False, answers="", outcome="ok", number=1):
    return Message(
        id=f"{sender}.m{number}",
        to="lead",
        sender=sender,
        text=text,
        asks=asks,
        answers=answers,
        outcome=outcome,
        posted=NOON,
    )


def told(**changes):
    said = {
        "agent": "kid",
        "role": "debugger",
        "parent": "lead",
        "workspace": "/home/me/.madrox/work/kid",
        "permissions": "edits",
        "body": "Find the bug.",
    }
    return instructions(**{**said, **changes})


# who they are


def test_an_agent_is_told_who_it_is_where_it_works_and_whose_child_it_is():
    text = told()

    for words in (
        "agent **kid** (debugger)",
        "child of **lead**",
        "/home/me/.madrox/work/kid",
        "[lead.m3] lead asks:",
    ):
        assert words in text
    assert text.endswith("# Your role\n\nFind the bug.\n")


def test_a_root_answers_to_the_person():
    assert "You answer to the person at the notebook." in told(parent=None)


def test_permissions_are_told_in_words():
    assert "anything else is refused" in told(permissions="deny")
    assert "read files there" in told(permissions="ask")
    assert "read and edit files there" in told(permissions="edits")
    assert "You may use every tool." in told(permissions="all")


def test_braces_are_only_characters():
    text = told(workspace="/home/{me}", body="Write {json} and %s.")

    assert "/home/{me}" in text
    assert "Write {json} and %s." in text


def test_nothing_is_left_to_be_filled_in():
    assert "{" not in told()


# what they are handed


def test_what_the_person_asks_alone_stays_as_it_was_written_to_the_last_character():
    text = "  /compact {now}\r\n\n"

    assert text == handover([message(PERSON, text, asks=True)])


def test_notes_that_ride_along_stand_before_the_question_each_under_its_own_line():
    handed = handover(
        [
            message("kid", "n1"),
            message(PERSON, "n2", number=4),
            message("sister", "n3"),
            message(PERSON, "and now?\n", asks=True),
        ]
    )

    assert [
        "[kid.m1] kid writes:\nn1",
        "[you.m4] the person writes:\nn2",
        "[sister.m1] sister writes:\nn3",
        "[you.m1] the person asks:\nand now?\n",
    ] == handed.split("\n\n")


def test_a_question_of_an_agents_says_whose_it_is_and_its_id():
    assert "[kid.m1] kid asks:\nwhy?" == handover([message("kid", "why?", asks=True)])


@pytest.mark.parametrize(
    ("outcome", "words"),
    [
        ("ok", "answers"),
        ("failed", "could not answer"),
        ("interrupted", "was interrupted in answering"),
    ],
)
def test_an_answer_says_what_it_answers_and_how_it_went(outcome, words):
    note = message("kid", "so", answers="lead.m3", outcome=outcome)

    assert f"[kid.m1] kid {words} [lead.m3]:\nso" == handover([note])


# what was refused


def test_a_refusal_names_the_tool_the_reason_and_the_next_step():
    text = refusal("kid", "Bash", "deny")

    for words in ("did not allow Bash", "permissions='deny'", "%madrox spawn kid --permissions all"):
        assert words in text
    assert "nobody" not in text
    assert "unasked, and nobody is there to be asked" in refusal("kid", "Bash", "edits", nobody=True)
