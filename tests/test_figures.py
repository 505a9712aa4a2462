"""How figures are rounded: one way, whoever sums and in whichever order."""

from functools import reduce
from itertools import permutations
from operator import add

import pytest

from madrox_nb.figures import dollars, hundredths, percent

PARTS = (0.555, 0.315, 0.61, 0.36, 0.155)
"""Their sum is 1.995, a little less in some orders."""


def test_the_same_parts_are_one_amount_in_every_order():
    sums = {reduce(add, order) for order in permutations(PARTS)}

    assert len(sums) > 1
    assert {"2.00"} == {dollars(each) for each in sums}


@pytest.mark.parametrize(
    ("shown", "usd"), [("0.13", 0.125), ("1.01", 1.005), ("0.00", 0.0049), ("1203.50", 1203.5)]
)
def test_half_a_cent_is_one(shown, usd):
    assert shown == dollars(usd)


def test_a_percentage_is_rounded_in_the_same_way():
    assert ["56 %", "13 %", "29 %", "100 %"] == [percent(each) for each in (0.555, 0.125, 0.285, 1.0)]


def test_as_many_hundredths_as_there_are_stay_so():
    assert list(range(10_000)) == [hundredths(n / 100) for n in range(10_000)]
