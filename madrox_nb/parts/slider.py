"""The slider under everything: when how much happened, and the run as it was at any entry."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from typing import Any, ClassVar, Final

from ..errors import BadInput, MadroxError
from . import Data, Part, found
from .moment import Moment

TOPICS: Final = 24
"""Topics that are told of one moment."""


class Slider(Part):
    name: ClassVar[str] = "slider"
    title: ClassVar[str] = "Moment of the run"
    whole: ClassVar[bool] = True
    keyed: ClassVar[dict[str, str]] = {"bins": "id"}

    def look(self, moment: Moment, subject: str) -> Data:
        density = moment.density
        axis, counts = density.bins.read()
        told = [{"id": f"b{at}", "n": each.number, "last": each.last} for at, each in enumerate(counts)]
        return {
            "first": axis.first,
            "width": axis.width,
            "bins": told,
            "last": density.last,
            "now": density.now,
        }

    def plain(self, moment: Moment, subject: str) -> str:
        number = sum(each.number for each in moment.density.bins.read()[1])
        return f"{moment.title}: {number:,} event{'' if number == 1 else 's'}"


def _at(moment: Moment, subject: str, given: Mapping[str, Any]) -> Data:
    """These topics as they were right after entry `at`, but for those of agents that were not born then."""
    number, topics = given.get("at"), given.get("topics")
    if type(number) is not int or number < 0 or not isinstance(topics, list):
        raise BadInput("at needs the number of an entry, from 0 on, and a list of topics")
    then, told = moment.past(number), {}
    for topic in map(str, topics[:TOPICS]):
        part, about = found(topic)
        if not part.whole:
            with contextlib.suppress(MadroxError):  # an agent that was not born then
                told[topic] = part.look(then, about)
    return {"at": number, "now": then.now.timestamp(), "topics": told}


Slider.asks = {"at": _at}
