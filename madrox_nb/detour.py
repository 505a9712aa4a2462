"""The way to a widget past its comm: while a cell runs, the page carries a verb here in a subshell.

It is the same message as over the comm, it goes through the same checks, and whichever
of the two comes second is not carried out again (`LiveView`).
"""

from __future__ import annotations

import json
from typing import Any, Protocol
from weakref import WeakValueDictionary


class Hearer(Protocol):
    """A widget, as far as this goes."""

    def hear(self, content: dict[str, Any]) -> None:
        """Take a message of the page's."""


OPEN: WeakValueDictionary[str, Hearer] = WeakValueDictionary()
"""Where each widget is reached: by the id of its model."""


def hear(place: str, content: str) -> None:
    """Called by the page. Both arguments are hexadecimal, of UTF-8; the message is JSON.

    Does nothing for a widget that is gone, and for what is no object: then no acknowledgement
    comes, and the page says so.
    """
    message = json.loads(bytes.fromhex(content))
    widget = OPEN.get(bytes.fromhex(place).decode())
    if widget is not None and isinstance(message, dict):
        widget.hear(message)
