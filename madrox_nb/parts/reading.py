"""Conversations, read from the ledger's files when somebody looks, and then only what is new."""

from __future__ import annotations

import contextlib
import threading
from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Final

import orjson

from ..conversation import ITEMS, Conversation
from ..errors import BadInput
from ..events import Entry, ToolReturned
from ..ledger import read

KEPT: Final = 32
"""Conversations kept in memory, those looked at last."""


class Reading:
    """The entries in which one agent is named. `new` gives those since it was asked last."""

    def __init__(self, paths: Callable[[], Iterable[Path]], agent: str) -> None:
        self._paths, self._name = paths, orjson.dumps(agent)
        self._offsets: dict[Path, int] = {}

    def new(self) -> Iterator[Entry]:
        for path in self._paths():
            with path.open("rb") as file:
                file.seek(self._offsets.get(path, 0))
                for line in file:
                    if not line.endswith(b"\n"):  # it is still being written
                        break
                    self._offsets[path] = self._offsets.get(path, 0) + len(line)
                    if self._name in line:
                        with contextlib.suppress(ValueError):  # no entry: whoever reads the ledger says so
                            yield Entry.from_line(line)


class Conversations:
    """Agent → its `Conversation` as far as it is written down. Callable from any thread."""

    def __init__(self, paths: Callable[[], Iterable[Path]]) -> None:
        self._paths = paths
        self._open: OrderedDict[str, tuple[Reading, Conversation]] = OrderedDict()
        self._lock = threading.Lock()

    def __call__(self, agent: str) -> Conversation:
        with self._lock:
            reading, conversation = self._open.get(agent) or (
                Reading(self._paths, agent),
                Conversation(agent),
            )
            self._open[agent] = (reading, conversation)
            self._open.move_to_end(agent)
            if len(self._open) > KEPT:
                self._open.popitem(last=False)
            for entry in reading.new():
                conversation.apply(entry)
            return conversation

    def whole(self, agent: str, until: int | None = None, keep: int = ITEMS) -> Conversation:
        """The newest `keep` items before entry `until`, read anew."""
        name = orjson.dumps(agent)
        entries = read(self._paths(), lambda line: name in line)
        return Conversation.replay((e for e in entries if until is None or e.seq < until), agent, keep)

    def text(self, agent: str, number: int, field: str) -> str:
        """All of a text of entry `number`, which is about `agent`. Raises `BadInput` when there is none.

        The `output` of a tool call stands in the entry of its result, which comes later.
        """
        name, call = orjson.dumps(agent), ""
        for entry in read(self._paths(), lambda line: name in line):
            event = entry.event
            if entry.seq == number and agent in (event.agent, getattr(event, "sender", "")):
                if field != "output" and isinstance(text := getattr(event, field, None), str):
                    return text
                call = getattr(event, "call", "")
            elif call and isinstance(event, ToolReturned) and (event.agent, event.call) == (agent, call):
                return event.output
        raise BadInput(f"there is no {field!r} in entry {number} of {agent}")
