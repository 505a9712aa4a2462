"""Interrupts of Codex's turns, and texts that join them."""

import pytest
from codex_codec import (
    answer,
    begin,
    end,
    greeted,
    in_turn,
    mid_turn,
    of,
    refuse,
    replayed,
    say,
    sent,
    tell,
    written,
)

from madrox_nb.events import ToolCalled, ToolReturned, TurnEnded, TurnSaid
from madrox_nb.harness import Steered, Write

# interrupts


def test_an_interrupted_turn_keeps_what_was_said():
    items = replayed("interrupted", interrupts={"lead.t2"})
    whole, cut, after = of(items, TurnEnded)

    assert ["ok", "interrupted", "ok"] == [whole.outcome, cut.outcome, after.outcome]
    assert cut.text.startswith("word0 ")
    assert cut.text in [said.text for said in of(items, TurnSaid)]
    assert 'echo: two | seen=["one", "SLOW 200 0.05"]' == after.text


def test_a_tool_left_open_by_an_interrupt_is_closed_before_the_turn():
    items = replayed("interrupted_tool", interrupts={"lead.t1"})
    (called,), (returned,) = of(items, ToolCalled), of(items, ToolReturned)

    assert (called.call, False) == (returned.call, returned.ok)
    assert "the turn was interrupted before it returned" == returned.output
    assert items.index(returned) < items.index(of(items, TurnEnded)[0])


COMMAND = {"type": "commandExecution", "command": "sleep 600", "cwd": "/w"}


def test_a_command_that_an_interrupt_left_running_is_ended_and_no_other():
    harness = mid_turn()
    begin(harness, **COMMAND)
    (listed,) = of(end(harness, "interrupted"), Write)
    running = [{"itemId": "i", "processId": "77"}, {"itemId": "older", "processId": "8"}]
    (ended,) = answer(harness, written(listed.line)["id"], {"data": running})

    assert ("thread/backgroundTerminals/list", {"threadId": "T"}) == (
        written(listed.line)["method"],
        written(listed.line)["params"],
    )
    assert ("thread/backgroundTerminals/terminate", {"threadId": "T", "processId": "77"}) == (
        written(ended.line)["method"],
        written(ended.line)["params"],
    )


@pytest.mark.parametrize(
    ("status", "item"), [("completed", COMMAND), ("interrupted", {"type": "webSearch", "query": "why"})]
)
def test_nothing_is_ended_of_a_turn_that_left_no_command_or_was_not_interrupted(status, item):
    harness = mid_turn()
    begin(harness, **item)

    assert [] == of(end(harness, status), Write)


def test_a_command_that_outlives_its_turn_is_closed_as_running():
    harness = mid_turn()
    begin(harness, **COMMAND)
    (returned,) = of(end(harness), ToolReturned)

    assert (True, "it still ran when the turn ended") == (returned.ok, returned.output)


def test_an_interrupt_waits_until_the_turn_is_picked_up():
    harness = sent()

    assert [] == list(harness.interrupt())
    assert [] == answer(harness, 4, {"turn": {"id": "U"}})
    (item,) = tell(harness, "turn/started", turn={"id": "U"})
    assert ("turn/interrupt", {"threadId": "T", "turnId": "U"}) == (
        written(item.line)["method"],
        written(item.line)["params"],
    )


def test_a_turn_that_begins_before_its_id_is_told_is_picked_up_all_the_same():
    harness = sent()
    list(harness.interrupt())
    tell(harness, "turn/started", turn={"id": "U"})
    (item,) = answer(harness, 4, {"turn": {"id": "U"}})

    assert "U" == written(item.line)["params"]["turnId"]


def test_a_turn_that_nobody_sent_is_not_ours():
    harness = greeted()

    assert [] == tell(harness, "turn/started", turn={"id": "V"})
    list(harness.prompt("lead.t1", "go"))
    list(harness.interrupt())
    assert [] == answer(harness, 4, {"turn": {"id": "U"}})


def test_an_interrupt_in_the_middle_is_written_at_once():
    (line,) = mid_turn().interrupt()

    assert "turn/interrupt" == written(line)["method"]


def test_between_turns_there_is_nothing_to_interrupt():
    assert [] == list(greeted().interrupt())


def test_an_interrupt_does_not_outlive_its_turn():
    harness = sent()
    list(harness.interrupt())
    refuse(harness, 4, "no")
    list(harness.prompt("lead.t2", "again"))
    answer(harness, 5, {"turn": {"id": "V"}})

    assert [] == tell(harness, "turn/started", turn={"id": "V"})


def test_an_interrupt_that_comes_too_late_means_nothing():
    harness = mid_turn()
    (line,) = harness.interrupt()
    say(harness, "just made it")
    end(harness)

    assert [] == refuse(harness, written(line)["id"], "no active turn to interrupt")


# steering


def test_a_recorded_text_joined_the_turn():
    items = replayed("steered", steers="also this")
    (steered,), (ended,) = of(items, Steered), of(items, TurnEnded)

    assert Steered(steer="lead.m1", joined=True) == steered
    assert items.index(steered) < items.index(ended)
    assert 'echo: also this | seen=["SLOW 20 0.05"]' == ended.text
    before, after = of(items, TurnSaid)
    assert before.text.endswith("word19 ")
    assert ended.text == after.text


def test_words_that_a_steer_cut_are_said_before_what_follows():
    harness = mid_turn()
    begin(harness, type="agentMessage", text="")
    in_turn(harness, "item/agentMessage/delta", itemId="i", delta="half")

    assert ["half"] == [said.text for said in begin(harness, type="userMessage", content=[])]
    assert ["whole"] == [said.text for said in say(harness, "whole")]
    *rest, ended = end(harness)
    assert "whole" == ended.text
    assert [] == of(rest, TurnSaid)


def test_a_steer_names_the_turn_that_it_means():
    (line,) = mid_turn().steer("m1", "also")

    assert {
        "threadId": "T",
        "expectedTurnId": "U",
        "input": [{"type": "text", "text": "also"}],
    } == written(line)["params"]


def test_a_steer_waits_until_the_turn_is_picked_up():
    harness = sent()

    assert [] == list(harness.steer("m1", "also"))
    answer(harness, 4, {"turn": {"id": "U"}})
    (item,) = tell(harness, "turn/started", turn={"id": "U"})
    assert "turn/steer" == written(item.line)["method"]
    assert [Steered(steer="m1", joined=True)] == answer(harness, written(item.line)["id"], {"turnId": "U"})


def test_a_steer_that_is_refused_did_not_join():
    harness = mid_turn()
    (line,) = harness.steer("m1", "also")

    assert [Steered(steer="m1", joined=False)] == refuse(harness, written(line)["id"], "not steerable")


def test_steers_that_the_turn_did_not_live_to_see_are_told_before_its_end():
    harness = mid_turn()
    (line,) = harness.steer("m1", "also")
    *rest, ended = end(harness, "interrupted")

    assert [Steered(steer="m1", joined=False)] == of(rest, Steered)
    assert isinstance(ended, TurnEnded)
    assert [] == answer(harness, written(line)["id"], {"turnId": "U"})


def test_a_steer_that_never_left_did_not_join():
    harness = sent()
    list(harness.steer("m1", "also"))

    assert [Steered(steer="m1", joined=False)] == of(refuse(harness, 4, "no"), Steered)


def test_a_steer_without_a_turn_is_refused_by_codex_and_told():
    harness = greeted()
    (line,) = harness.steer("m1", "also")

    assert [Steered(steer="m1", joined=False)] == refuse(harness, written(line)["id"], "no active turn")
