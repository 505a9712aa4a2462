"""Figures as people read them, rounded in one way: here, and on the page (`widgets/src/figures.ts`)."""

from __future__ import annotations


def hundredths(amount: float) -> int:
    """How many hundredths that is, halves upwards.

    To millionths first: the same parts summed in another order differ by less than that,
    and must not be shown as two amounts.
    """
    return (round(amount * 1_000_000) + 5_000) // 10_000


def dollars(usd: float) -> str:
    """`1203.50`, without a sign."""
    return f"{hundredths(usd) / 100:.2f}"


def percent(part: float) -> str:
    """`63 %`; all of it is 1."""
    return f"{hundredths(part)} %"
