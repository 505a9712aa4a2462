"""What one agent was asked, said and did, as it streams."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, Final

from .. import views
from ..conversation import Item
from ..errors import BadInput
from . import Data, Part
from .moment import Moment

PAGE: Final = 100
"""Items of one older page."""
WHOLE: Final = 200_000
"""Characters of one page of a long text."""


class Conversation(Part):
    name: ClassVar[str] = "conversation"
    title: ClassVar[str] = "Conversation"
    of_an_agent: ClassVar[bool] = True
    keyed: ClassVar[dict[str, str]] = {"items": "id"}

    def look(self, moment: Moment, subject: str) -> Data:
        agent = moment.tree[subject]
        told = moment.conversations(subject)
        return {
            "agent": subject,
            "items": list(told.items.values()),
            "above": told.above,
            "speaking": moment.doing.speaking.get(subject, "") if agent.alive else "",
        }

    def plain(self, moment: Moment, subject: str) -> str:
        told = moment.conversations(subject)
        above = [f"({told.above} earlier)"] if told.above else []
        return "\n".join([f"{subject}: conversation", *above, *map(_line, told.items.values())])


def _older(moment: Moment, subject: str, given: Mapping[str, Any]) -> Data:
    """The page before the item `before`."""
    until = _number(given.get("before"))
    kept = moment.conversations.whole(subject, until, PAGE)
    return {"items": list(kept.items.values()), "above": kept.above}


def _text(moment: Moment, subject: str, given: Mapping[str, Any]) -> Data:
    """A page of a text that was cut: from character `start` of `field` of the item `id`."""
    number, start, field = _number(given.get("id")), given.get("start"), str(given.get("field"))
    if not isinstance(start, int) or start < 0:
        raise BadInput(f"start={start!r} is no place in a text")
    text = moment.conversations.text(subject, number, field)
    return {"text": text[start : start + WHOLE], "more": max(0, len(text) - start - WHOLE)}


Conversation.asks = {"older": _older, "text": _text}


def _number(item: object) -> int:
    """The entry of an item: `e31` is of entry 31."""
    if isinstance(item, str) and item[:1] == "e" and item[1:].isdigit():
        return int(item[1:])
    raise BadInput(f"{item!r} is no item of a conversation")


def _line(item: Item) -> str:
    text = views.one_line(item["text"]) if "text" in item else ""
    match item["kind"]:
        case "prompt":
            return f"\n{item['who']}: {text}"
        case "call":
            sign = {True: "ok", False: "failed", None: "under way"}[item["ok"]]
            return f"  {item['tool']} {views.one_line(item['argument'])} ({sign})"
        case "message":
            return f"  to {item['to']}: {text}"
        case "note":
            return f"  {text}"
    return text
