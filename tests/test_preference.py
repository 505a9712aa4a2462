"""`Prefer: wait=SECONDS`, as RFC 7240 writes it."""

from __future__ import annotations

import pytest

from madrox_nb.rest.preference import LONGEST, wait_of


@pytest.mark.parametrize(
    ("prefer", "seconds"),
    [
        ("wait=600", 600),
        ("respond-async, wait=10", 10),
        ('Wait = "5" ; strict', 5),
        ("wait=0", 0),
        ("wait=999999999", LONGEST),
        ("", None),
        ("wait", None),
        ("wait=-1", None),
        ("wait=soon", None),
        ("await=5", None),
        ("wait=1e9", None),
        ("return=minimal", None),
    ],
)
def test_the_seconds_are_found_among_other_preferences_and_nothing_else_is_taken_for_them(
    prefer: str, seconds: float | None
) -> None:
    assert seconds == wait_of(prefer)
