"""The last messages between agents, so that a page can show each one on its way."""

from __future__ import annotations

from itertools import islice
from typing import ClassVar, Final

from . import Data, Part
from .moment import Moment

LAST: Final = 40
"""Messages told, the newest."""


class Traffic(Part):
    name: ClassVar[str] = "traffic"
    keyed: ClassVar[dict[str, str]] = {"messages": "id"}

    def look(self, moment: Moment, subject: str) -> Data:
        newest = islice(reversed(tuple(moment.inboxes.messages.values())), LAST)
        return {"messages": [{"id": m.id, "from": m.sender, "to": m.to} for m in newest][::-1]}

    def plain(self, moment: Moment, subject: str) -> str:
        return "\n".join(
            f"{each['id']}: {each['from']} to {each['to']}" for each in self.look(moment, "")["messages"]
        )
