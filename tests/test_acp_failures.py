"""ACP agents that are interrupted, fail, give up or die in a turn."""

import json

import pytest
from acp_codec import BOTH, ask, ends, greeted, mid_turn, of, replayed, say, sent, speak, update

from madrox_nb.events import TurnEnded, UsageReported

# when it does not


@pytest.mark.parametrize(
    ("name", "seen"), [("opencode", 'seen=["one", "SLOW 200 0.05"]'), ("gemini", 'seen=["one"]')]
)
def test_an_interrupted_turn(name, seen):
    items = replayed(name, "interrupted", interrupts={"lead.t2"})
    whole, cut, after = of(items, TurnEnded)

    assert ["ok", "interrupted", "ok"] == [whole.outcome, cut.outcome, after.outcome]
    assert (True, "") == (cut.text.startswith("word0"), cut.error)
    assert f"echo: two | {seen}" == after.text
    [used] = [each for each in of(items, UsageReported) if each.turn == "lead.t2"]
    assert (0, "unknown") == (used.input_tokens, used.cost_source)  # the cut request is on nobody's bill


@BOTH
def test_the_same_end_without_our_interrupt_is_a_failure(name):
    _, cut, _ = of(replayed(name, "interrupted"), TurnEnded)

    assert ("failed", "it cancelled its turn") == (cut.outcome, cut.error)


def test_what_was_billed_before_an_interrupt_is_told_and_the_rest_is_unknown():
    harness = mid_turn()
    speak(harness, "hi")
    list(harness.interrupt())
    update(harness, "usage_update", used=1, size=2, cost={"amount": 0.5, "currency": "USD"})

    assert [0.5, "unknown"] == [
        used.cost_usd if used.cost_source == "cli" else used.cost_source
        for used in of(ends(harness, "cancelled"), UsageReported)
    ]


def test_an_interrupt_is_a_notification():
    (line,) = mid_turn().interrupt()

    assert {"jsonrpc": "2.0", "method": "session/cancel", "params": {"sessionId": "s-1"}} == json.loads(line)


def test_an_interrupt_that_came_before_the_turn_had_begun_is_said_again_once():
    harness = mid_turn()
    list(harness.interrupt())

    assert ["session/cancel"] == [message["method"] for message in sent(speak(harness, "a"))]
    assert [] == sent(speak(harness, "b"))


def test_an_interrupt_in_the_middle_is_said_once():
    harness = mid_turn()
    speak(harness, "a")
    list(harness.interrupt())

    assert [] == sent(speak(harness, "b"))


def test_an_interrupt_that_is_answered_with_an_error_is_an_interrupt():
    harness = mid_turn()
    list(harness.interrupt())
    *_, ended = say(
        harness, id=harness.prompted, error={"code": -32603, "message": "Internal service failure"}
    )

    assert ("interrupted", "") == (ended.outcome, ended.error)


def test_an_interrupt_that_comes_before_the_model_is_asked_is_one_and_has_no_figures_of_its_own():
    harness = mid_turn()
    list(harness.interrupt())
    used, ended = ends(harness, "end_turn", usage={"inputTokens": 12, "outputTokens": 226})

    assert ("interrupted", "") == (ended.outcome, ended.error)
    assert (0, 0, "unknown") == (used.input_tokens, used.output_tokens, used.cost_source)


def test_between_turns_there_is_nothing_to_interrupt():
    harness, _ = greeted()

    assert [] == list(harness.interrupt())


def test_an_interrupt_does_not_outlive_its_turn():
    harness = mid_turn()
    list(harness.interrupt())
    ends(harness, "cancelled")
    list(harness.prompt("lead.t2", "again"))

    assert [] == sent(speak(harness, "a"))


@pytest.mark.parametrize(
    ("name", "ends"),
    [
        (
            "opencode",
            [
                ("failed", "Internal error: the stub says 400"),
                ("failed", "the model gave an empty answer"),
                ("ok", ""),
            ],
        ),
        ("gemini", [("failed", "the stub says 400"), ("ok", ""), ("ok", "")]),  # it asks again by itself
    ],
)
def test_recorded_errors_and_empty_answers(name, ends):
    items = replayed(name, "failing")

    assert ends == [(ended.outcome, ended.error) for ended in of(items, TurnEnded)]


@pytest.mark.parametrize(
    ("stop", "words"),
    [
        ("max_tokens", "limit of tokens"),
        ("max_turn_requests", "as many requests"),
        ("refusal", "refused to go on"),
        ("tired", "a reason of its own: tired"),
    ],
)
def test_a_turn_that_ended_early_failed_and_says_why(stop, words):
    harness = mid_turn()
    speak(harness, "half an ans")
    *_, ended = ends(harness, stop)

    assert "failed" == ended.outcome
    assert words in ended.error


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (
            {"code": -32603, "message": "Internal error", "data": {"details": "no route"}},
            "Internal error: no route",
        ),
        ({"code": -32603, "message": "Internal error", "data": "no route"}, "Internal error: no route"),
        ({"code": 429, "message": '{"error": {"message": "slow down"}}'}, "slow down"),
        ({"code": 1}, "error 1"),
        (
            {"code": -32000, "message": "Authentication required"},
            "Authentication required. It is not logged in: run `opencode auth login` there once, or set the "
            "key of a provider that it knows",
        ),
    ],
)
def test_an_error_is_told_in_words(error, words):
    harness = mid_turn()
    *_, ended = say(harness, id=harness.prompted, error=error)

    assert ("failed", words) == (ended.outcome, ended.error)


def test_an_answer_of_geminis_that_broke_off_counts_no_tokens_and_failed():
    harness = mid_turn("gemini")
    speak(harness, "half an ")
    *_, ended = ends(harness, _meta={"quota": {"model_usage": []}})

    assert ("failed", "the model's answer was cut off") == (ended.outcome, ended.error)


def test_a_command_of_the_cli_needs_no_words_and_no_tokens():
    harness = mid_turn("gemini", text="/help")
    speak(harness, "Help:")

    assert ("ok", "Help:") == (lambda ended: (ended.outcome, ended.text))(ends(harness)[-1])
    assert "ok" == ends(mid_turn(text="/compact"))[-1].outcome


def test_a_turn_that_worked_and_says_nothing_is_no_empty_answer():
    harness = mid_turn()
    update(harness, "tool_call", toolCallId="c1", title="x", status="completed")

    assert "ok" == ends(harness)[-1].outcome


def test_a_turn_that_gives_up_when_it_hears_no_failed_and_says_what_was_refused():
    harness = mid_turn()
    update(harness, "tool_call", toolCallId="c1", title="bash", kind="execute")
    ask(harness, title="rm x")
    list(harness.answer("7", "deny", "not in this house"))
    *_, ended = ends(harness)

    assert ("failed", "it gave up: bash was not allowed: not in this house") == (ended.outcome, ended.error)


# deaths


def test_a_death_in_mid_turn_says_that_nobody_counted():
    harness = mid_turn()
    assert [] == list(harness.lost())
    speak(harness, "a")

    [lost] = harness.lost()
    assert ("lead.t1", 0, "unknown") == (lost.turn, lost.input_tokens, lost.cost_source)


def test_after_its_end_no_turn_is_under_way():
    harness = mid_turn()
    speak(harness, "done")
    ends(harness)

    assert "" == harness.turn
    assert [] == speak(harness, "late")
    assert [] == ends(harness)
    assert [] == list(harness.lost())
