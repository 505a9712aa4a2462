"""Turns, tool calls, waits and messages of each agent on one axis of time.

What is told at once are the newest bars; a page that looks further back asks for a
`window`, and says how much time is one pixel there.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from itertools import islice
from operator import attrgetter
from typing import Any, ClassVar, Final

from .. import views
from ..errors import BadInput
from ..spans import Bar, Sent, seen
from . import Data, Part, table
from .moment import Moment

NEWEST: Final = 200
"""Bars that are told without being asked for, and messages."""
WINDOW: Final = 4_000
"""Bars of one answer, and messages. Where there are more, they are drawn coarser."""

_HEADS: Final = ("agent", "turns", "tool calls", "waits", "failed", "sent", "received")
_COUNTED: Final = ("turn", "tool", "wait", "failed", "sent", "received")


class Timeline(Part):
    name: ClassVar[str] = "timeline"
    title: ClassVar[str] = "Timeline"
    whole: ClassVar[bool] = True
    keyed: ClassVar[dict[str, str]] = {"bars": "id", "messages": "id"}

    def look(self, moment: Moment, subject: str) -> Data:
        spans = moment.spans
        bars, messages = tuple(spans.bars.values()), tuple(spans.messages.values())
        going = [bar for bar in bars[:-NEWEST] if bar.ended is None]
        return {
            "bars": [_bar(bar, spans.heard) for bar in (*going[-NEWEST:], *bars[-NEWEST:])],
            "messages": [_message(sent) for sent in messages[-NEWEST:]],
            "first": moment.density.bins.read()[0].first,
            "now": moment.density.now,
            "more": max(0, len(bars) - NEWEST) + max(0, len(messages) - NEWEST),
            "above": spans.above,
        }

    def plain(self, moment: Moment, subject: str) -> str:
        return f"{moment.title}: Timeline\n" + table.plain(_HEADS, _lines(moment), range(1, len(_HEADS)))

    def html(self, moment: Moment, subject: str) -> str:
        title = f'<p style="margin:0 0 8px"><b>{views.safe(moment.title)}</b>: Timeline</p>'
        return title + table.html(_HEADS, _lines(moment), range(1, len(_HEADS)))


def _lines(moment: Moment) -> Iterable[tuple[str, ...]]:
    """What each agent did, counted: without times, so that reruns of a rehearsal are equal."""
    agents = [(depth, agent.name) for depth, agent in moment.tree.walk()]
    for depth, name in agents:
        counts: Mapping[str, int] = moment.spans.counts.get(name, {})
        numbers = (counts.get(what, 0) for what in _COUNTED)
        yield "  " * depth + views.one_line(name), *(f"{number:,}" if number else "–" for number in numbers)


def _bar(bar: Bar, heard: Mapping[str, float]) -> dict[str, Any]:
    """A bar as it travels: what is as usual is left out."""
    told: dict[str, Any] = {"id": bar.id, "a": bar.agent, "k": bar.kind, "b": bar.began, "e": bar.ended}
    if bar.says:
        told["s"] = bar.says
    if bar.failed:
        told["x"] = True
    if bar.ended is None and bar.kind == "turn" and bar.agent in heard:
        told["h"] = heard[bar.agent]
    if bar.many > 1:
        told["n"] = bar.many
    return told


def _message(sent: Sent) -> dict[str, Any]:
    return {"id": sent.id, "t": sent.at, "from": sent.sender, "to": sent.to}


def _window(moment: Moment, subject: str, given: Mapping[str, Any]) -> Data:
    """The bars and messages between `since` and `until`, where `step` seconds are one pixel."""
    since, until, step = (_number(given, name) for name in ("since", "until", "step"))
    bars = sorted(moment.spans.bars.values(), key=attrgetter("began"))
    found = seen(bars, since, until, step)
    while len(found) > WINDOW:
        step = max(step * 2, (until - since) / WINDOW)
        if step > until - since:
            break
        found = seen(found, since, until, step)
    messages = [sent for sent in tuple(moment.spans.messages.values()) if since <= sent.at <= until]
    every = math.ceil(len(messages) / WINDOW) or 1
    return {
        "bars": [_bar(bar, moment.spans.heard) for bar in found[-WINDOW:]],
        "messages": [_message(sent) for sent in islice(messages, 0, None, every)],
        "step": step,
    }


def _number(given: Mapping[str, Any], name: str) -> float:
    value = given.get(name)
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value) or value < 0:
        raise BadInput(f"{name} of a window is no number of seconds")
    return float(value)


Timeline.asks = {"window": _window}
