"""What Codex used, and what a thread that goes on remembers."""

import math

import pytest
from codex_codec import (
    answer,
    complete,
    end,
    greeted,
    in_turn,
    messages,
    mid_turn,
    of,
    replayed,
    reported,
    say,
    totals,
    use,
    written,
)

from madrox_nb.events import TurnEnded, UsageReported
from madrox_nb.prices import priced

# a thread that goes on


def prompted(harness):
    return [written(line) for line in harness.prompt("lead.t9", "go")]


def test_a_thread_that_goes_on_is_told_its_instructions_anew_once():
    harness = greeted(resume="S", instructions="You are lead.")
    told, begun = prompted(harness)

    assert ("thread/inject_items", "turn/start") == (told["method"], begun["method"])
    (item,) = told["params"]["items"]
    assert "developer" == item["role"]
    assert item["content"][0]["text"].endswith("\n\nYou are lead.")
    assert ["turn/start"] == [request["method"] for request in prompted(harness)]


@pytest.mark.parametrize("brief", [{"resume": "S"}, {"instructions": "You are lead."}])
def test_without_a_past_or_instructions_there_is_nothing_to_tell_anew(brief):
    assert ["turn/start"] == [request["method"] for request in prompted(greeted(**brief))]


@pytest.mark.parametrize(("resume", "again"), [("S", 2), ("", 1)])
def test_instructions_that_a_compaction_swept_away_are_told_again(resume, again):
    harness = mid_turn(resume=resume, instructions="You are lead.")
    if resume:  # telling them took a request
        answer(harness, 5, {"turn": {"id": "U"}})
    complete(harness, type="contextCompaction")
    say(harness, "done")
    end(harness)

    assert again == len(prompted(harness))


# usage


def test_usage_is_told_before_the_turn_ends():
    kinds = [type(item) for item in replayed("failing") if isinstance(item, UsageReported | TurnEnded)]

    assert [UsageReported, TurnEnded] * 6 == kinds


@pytest.mark.parametrize("story", ["turns", "tools", "failing"])
def test_the_reports_add_up_to_what_codex_counted(story):
    total = totals(story)[-1]

    assert (total["inputTokens"], total["outputTokens"]) == reported(replayed(story))


def test_each_turn_reports_its_own_usage_with_the_cache_apart():
    one, two = of(replayed("turns"), UsageReported)
    first, both = totals("turns")

    assert both["outputTokens"] - first["outputTokens"] == two.output_tokens
    assert first["cachedInputTokens"] == one.cache_read_tokens
    assert first["cacheWriteInputTokens"] == one.cache_write_tokens
    assert first["inputTokens"] - one.cache_read_tokens - one.cache_write_tokens == one.input_tokens
    assert ("stub-model", "unknown") == (one.model, one.cost_source)
    assert math.isnan(one.cost_usd)


@pytest.mark.parametrize("story", ["resumed", "forked"])
def test_the_past_of_a_thread_that_goes_on_is_not_paid_twice(story):
    items = replayed(story, resume="S", fork=story == "forked")
    last = [
        m["params"]["tokenUsage"]["last"]
        for m in messages(story)
        if m.get("method") == "thread/tokenUsage/updated"
    ][-2:]

    assert 2 == len(of(items, UsageReported))
    assert (
        sum(usage["inputTokens"] for usage in last),
        sum(usage["outputTokens"] for usage in last),
    ) == reported(items)
    assert reported(items)[0] < totals(story)[-1]["inputTokens"]


def test_a_past_that_is_told_in_the_middle_of_the_first_turn_is_not_this_turns():
    harness = mid_turn(resume="S")
    use(harness, turn="long ago", total={"outputTokens": 90}, last={"outputTokens": 30})
    use(harness, total={"outputTokens": 97}, last={"outputTokens": 7})

    assert 7 == of(end(harness), UsageReported)[0].output_tokens


def test_a_first_turn_that_fails_before_the_past_was_told_pays_nothing_for_it():
    harness = mid_turn(resume="S")
    end(harness, "failed", error={"message": "broke"})
    list(harness.prompt("lead.t2", "again"))
    answer(harness, 5, {"turn": {"id": "U"}})
    use(harness, total={"outputTokens": 97}, last={"outputTokens": 7})

    assert 7 == of(end(harness), UsageReported)[0].output_tokens


def test_a_request_that_was_cut_is_in_no_figure_and_the_next_turn_pays_its_own():
    items = replayed("interrupted", interrupts={"lead.t2"})
    one, cut, two = of(items, UsageReported)

    assert 0 == cut.input_tokens + cut.output_tokens
    assert totals("interrupted")[0]["outputTokens"] == one.output_tokens
    assert totals("interrupted")[-1]["outputTokens"] - one.output_tokens == two.output_tokens


def test_usage_can_be_priced():
    harness = greeted()
    list(harness.prompt("lead.t1", "go"))
    harness.model = "gpt-4.1"
    answer(harness, 4, {"turn": {"id": "U"}})
    counts = {"inputTokens": 3_000_000, "cachedInputTokens": 2_000_000, "outputTokens": 0}
    use(harness, total=counts, last=counts)
    used = of(end(harness), UsageReported)[0]

    assert (1_000_000, 2_000_000) == (used.input_tokens, used.cache_read_tokens)
    assert "genai-prices" == priced(used, None, {}).cost_source


def test_another_model_that_answers_is_the_one_that_is_paid():
    harness = mid_turn()
    told = in_turn(harness, "model/rerouted", fromModel="gpt-x", toModel="gpt-z", reason="other")

    assert ["codex left model gpt-x for gpt-z"] == [notice.text for notice in told]
    assert "gpt-z" == of(end(harness), UsageReported)[0].model


def test_a_death_in_mid_turn_leaves_what_was_counted():
    harness = mid_turn()
    use(harness, total={"inputTokens": 12, "outputTokens": 5}, last={})
    (lost,) = harness.lost()

    assert ("lead.t1", 12, 5, "gpt-x") == (lost.turn, lost.input_tokens, lost.output_tokens, lost.model)


@pytest.mark.parametrize("harness", [greeted(), mid_turn(), mid_turn(resume="S")])
def test_a_death_without_a_count_leaves_nothing(harness):
    assert [] == list(harness.lost())
