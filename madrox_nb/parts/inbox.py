"""The messages of one agent, the newest first."""

from __future__ import annotations

from typing import Any, ClassVar, Final

from .. import views
from ..conversation import cut
from ..folds import Message
from . import Data, Part
from .moment import Moment

MESSAGES: Final = 100
"""Messages shown, the newest."""
TEXT: Final = 4_000
"""Characters shown of each."""


class Inbox(Part):
    name: ClassVar[str] = "inbox"
    title: ClassVar[str] = "Inbox"
    of_an_agent: ClassVar[bool] = True
    keyed: ClassVar[dict[str, str]] = {"messages": "id"}

    def look(self, moment: Moment, subject: str) -> Data:
        received = _newest(moment, subject)
        return {
            "agent": subject,
            "messages": [_wire(message) for message in received[:MESSAGES]],
            "more": max(0, len(received) - MESSAGES),
        }

    def plain(self, moment: Moment, subject: str) -> str:
        received = _newest(moment, subject)
        lines = [f"{subject}: inbox, {len(received)} message{'' if len(received) == 1 else 's'}"]
        for message in received[:MESSAGES]:
            answers = f", answers {message.answers}" if message.answers else ""
            unread = "" if message.read else " (unread)"
            lines.append(f"{message.id} {message.sender}{answers}{unread}: {views.one_line(message.text)}")
        return "\n".join(lines)


def _newest(moment: Moment, subject: str) -> list[Message]:
    return moment.inboxes.received(moment.tree[subject].name)[::-1]


def _wire(message: Message) -> dict[str, Any]:
    return {
        "id": message.id,
        "sender": message.sender,
        "answers": message.answers,
        "asks": message.asks,
        "read": message.read,
        "at": message.posted.timestamp(),
        **cut("text", message.text, TEXT),
    }
