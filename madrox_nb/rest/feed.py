"""The ledger as it grows, for many readers at once, however slow each of them is.

The newest entries are kept in memory, encoded once for all. Who falls further behind is
brought up from the ledger's files, at its own pace; so a slow reader costs no memory and
loses nothing. Only what stands in neither place (a disk that was full, a day that was
removed) is told as a gap.
"""

from __future__ import annotations

import asyncio
import re
from collections import deque
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import orjson

from ..events import Entry
from ..ledger import run_files

if TYPE_CHECKING:
    from ..manager import Manager

RECENT: Final = 1000
"""Entries kept in memory while anybody reads."""
RECENT_BYTES: Final = 4 * 2**20
BATCH: Final = 200
"""Entries that are read from a file at once, in a thread."""

_SEQ = re.compile(rb'\{"v":\d+,"seq":(\d+),')


@dataclass(frozen=True, slots=True)
class Item:
    """An entry of the ledger, as it is sent."""

    seq: int
    kind: str
    agent: str
    line: bytes
    """One JSON object, without the newline."""


@dataclass(frozen=True, slots=True)
class Gap:
    """Entries that are nowhere to be had any more."""

    first: int
    last: int


class Feed:
    """Of one manager. Belongs to its loop."""

    def __init__(self, manager: Manager) -> None:
        self._manager = manager
        self._recent: deque[Item] = deque()
        self._bytes = 0
        self._readers: set[asyncio.Event] = set()
        self._stop_listening: Callable[[], None] = lambda: None
        self.closed = False

    @property
    def readers(self) -> int:
        return len(self._readers)

    @property
    def newest(self) -> int:
        """The number of the last entry so far; -1 before the first."""
        return self._manager.ledger.seq - 1

    def close(self) -> None:
        """Let every reader come to its end. Idempotent."""
        self.closed = True
        self._wake()

    async def after(self, seq: int) -> AsyncIterator[list[Item | Gap]]:
        """Everything after entry `seq` of this run, in order and in batches, until the feed closes."""
        with self._reading() as woken:
            while not self.closed:
                woken.clear()
                if (found := self._since(seq)) is None:
                    behind = seq
                    async for batch in in_batches(self._manager.ledger.paths, seq):
                        seq = batch[-1].seq
                        yield list(batch)
                    if seq > behind:
                        continue
                    found = self._gap(seq)
                if found:
                    last = found[-1]
                    seq = last.last if isinstance(last, Gap) else last.seq
                    yield found
                elif not self.closed:
                    await woken.wait()

    def _since(self, seq: int) -> list[Item | Gap] | None:
        """What came after `seq`, or None when not all of that is in memory."""
        if seq >= self.newest:
            return []
        if not self._recent or self._recent[0].seq > seq + 1:
            return None
        return [item for item in self._recent if item.seq > seq]

    def _gap(self, seq: int) -> list[Item | Gap]:
        """What is missing after `seq`, because no file holds it either."""
        if not self._recent or self._recent[0].seq <= seq + 1:
            return []
        return [Gap(seq + 1, self._recent[0].seq - 1)]

    @contextmanager
    def _reading(self) -> Iterator[asyncio.Event]:
        """Be told of news. Entries are kept only while there is somebody to be told."""
        woken = asyncio.Event()
        if not self._readers:
            self._stop_listening = self._manager.ledger.listen(self._heard)
        self._readers.add(woken)
        try:
            yield woken
        finally:
            self._readers.discard(woken)
            if not self._readers:
                self._stop_listening()
                self._recent.clear()
                self._bytes = 0

    def _heard(self, entry: Entry) -> None:
        line = entry.to_line().rstrip(b"\n")
        self._recent.append(Item(entry.seq, entry.event.kind, entry.event.agent, line))
        self._bytes += len(line)
        while len(self._recent) > RECENT or (self._bytes > RECENT_BYTES and len(self._recent) > 1):
            self._bytes -= len(self._recent.popleft().line)
        self._wake()

    def _wake(self) -> None:
        for woken in self._readers:
            woken.set()


async def in_batches(paths: list[Path], seq: int) -> AsyncIterator[list[Item]]:
    """The entries after `seq` that stand in these files; they are read in a thread."""
    items = _items(paths, seq)
    while batch := await asyncio.to_thread(_batch, items):
        yield batch


def _batch(items: Iterator[Item]) -> list[Item]:
    batch, size = [], 0
    for item in islice(items, BATCH):
        batch.append(item)
        size += len(item.line)
        if size > RECENT_BYTES:
            break
    return batch


def rest_of(directory: Path, run: str, seq: int) -> AsyncIterator[list[Item]] | None:
    """What another run wrote after its entry `seq`; None when nothing is left of that run."""
    if not re.fullmatch(r"[\w.-]+", run) or not (paths := run_files(directory, run)):
        return None
    return in_batches(paths, seq)


def _items(paths: list[Path], seq: int) -> Iterator[Item]:
    """What is not wanted is passed over without being read. Torn lines are left out."""
    for path in paths:
        try:
            lines = path.open("rb")
        except FileNotFoundError:  # its day was removed just now
            continue
        with lines:
            for line in lines:
                begins = _SEQ.match(line)
                if begins and int(begins[1]) <= seq:
                    continue
                if (item := _item(line)) is not None and item.seq > seq:
                    yield item


def _item(line: bytes) -> Item | None:
    try:
        row: dict[str, Any] = orjson.loads(line)
        return Item(int(row["seq"]), str(row["kind"]), str(row.get("agent", "")), line.rstrip(b"\n"))
    except (orjson.JSONDecodeError, KeyError, TypeError, ValueError):
        return None
