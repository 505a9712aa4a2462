"""What a ledger's files have gained since they were last looked at, in whole lines."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

BLOCK: Final = 16 << 20
"""Bytes that are read at once."""


@dataclass(frozen=True, slots=True)
class Gained:
    """Some lines that were not there before."""

    path: Path
    start: int
    """Where they begin, in bytes."""
    lines: bytes
    """Whole, each with its newline."""


class Follower:
    """Reads files that grow, each byte once. A last line that is still being written waits.

    Files that have gained nothing are not opened: closed ledgers are read once.
    """

    def __init__(self) -> None:
        self.bytes_read = 0
        self._offsets: dict[Path, int] = {}

    def gained(self, paths: Iterable[Path]) -> Iterator[Gained]:
        """What is new, oldest first. It counts as read at once."""
        for path in paths:
            if path.stat().st_size > self._offsets.get(path, 0):
                yield from self._blocks(path)

    def _blocks(self, path: Path) -> Iterator[Gained]:
        start = self._offsets.get(path, 0)
        with path.open("rb") as file:
            file.seek(start)
            while block := file.read(BLOCK):
                block = block if block.endswith(b"\n") else block + file.readline()
                self.bytes_read += len(block)
                lines = block if block.endswith(b"\n") else block[: block.rfind(b"\n") + 1]
                if lines:
                    self._offsets[path] = start + len(lines)
                    yield Gained(path, start, lines)
                    start += len(lines)
