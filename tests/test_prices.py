"""Usage becomes money with its source, or it stays unknown."""

from math import isnan

import pytest

from madrox_nb.events import UsageReported
from madrox_nb.prices import Price, priced

MILLION = 1_000_000


def used(**counts):
    return UsageReported(agent="a", turn="a.t1", **counts)


def cost(usage, model=None, prices=None):
    found = priced(usage, model, prices or {})
    return found.cost_usd, found.cost_source


def test_the_clis_own_figure_is_left_alone():
    report = used(input_tokens=MILLION, cost_usd=0.25, cost_source="cli", model="mine")

    assert report is priced(report, "mine", {"mine": Price(1, 1)})


def test_a_figure_of_zero_is_a_figure():
    report = used(input_tokens=MILLION, cost_usd=0.0, cost_source="rehearsal")

    assert report is priced(report, "claude-sonnet-4-20250514", {})


def test_what_nobody_counted_is_not_free():
    report = used()

    assert report is priced(report, "mine", {"mine": Price(1, 1)})


def test_a_users_price_goes_before_the_list():
    report = used(input_tokens=MILLION, output_tokens=MILLION)

    assert (11.0, "user") == cost(
        report, "claude-sonnet-4-20250514", {"claude-sonnet-4-20250514": Price(1, 10)}
    )


def test_cached_tokens_cost_what_input_does_unless_said_otherwise():
    report = used(cache_read_tokens=MILLION, cache_write_tokens=MILLION)

    assert 4.0 == Price(2, 10).cost(report)
    assert 2.7 == pytest.approx(Price(2, 10, cache_read=0.2, cache_write=2.5).cost(report))
    assert 0.0 == Price(2, 10, cache_read=0, cache_write=0).cost(report)


def test_the_model_that_did_the_work_counts_not_the_one_that_was_ordered():
    prices = {"small": Price(1, 1), "large": Price(9, 9)}
    found = priced(used(input_tokens=MILLION, model="small"), "large", prices)

    assert (1.0, "small") == (found.cost_usd, found.model)


def test_a_listed_model_has_a_listed_price():
    known, source = cost(used(input_tokens=1_000, output_tokens=1_000), "claude-sonnet-4-20250514")

    assert "genai-prices" == source
    assert 0 < known < 1


def test_what_stands_in_brackets_behind_a_model_is_not_its_name():
    report = used(input_tokens=1_000, output_tokens=1_000)

    assert cost(report, "gpt-5") == cost(report, "gpt-5[1m]")
    assert "genai-prices" == cost(report, "gpt-5[1m]")[1]


def test_cached_tokens_are_counted_once_and_cost_less():
    def listed(**counts):
        return cost(used(**counts), "claude-sonnet-4-20250514")[0]

    assert 0 < listed(cache_read_tokens=1_000) < listed(input_tokens=1_000)
    both = listed(input_tokens=1_000, cache_read_tokens=1_000)
    assert listed(input_tokens=1_000) + listed(cache_read_tokens=1_000) == pytest.approx(both)


@pytest.mark.parametrize("model", [None, "", "no-model-of-that-name", "[1m]"])
def test_what_nobody_has_a_price_for_is_unknown_and_never_free(model):
    known, source = cost(used(input_tokens=MILLION), model)

    assert isnan(known)
    assert "unknown" == source


def test_a_model_that_is_listed_without_a_price_is_unknown_too():
    assert isnan(cost(used(input_tokens=MILLION), "devstral-small:free")[0])


def test_counts_that_cannot_be_are_unknown_not_an_error():
    assert isnan(cost(used(input_tokens=-5), "claude-sonnet-4-20250514")[0])


def test_nothing_else_of_the_report_is_changed():
    report = used(input_tokens=1, output_tokens=2, cache_read_tokens=3, cache_write_tokens=4)
    found = priced(report, "mine", {"mine": Price(1, 1)})

    assert {"cost_usd", "cost_source", "model"} == {
        name for name, value in found.fields().items() if value != report.fields()[name] or value != value
    }
