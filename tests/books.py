"""A ledger's files, written by hand."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pandas as pd

from madrox_nb.events import Entry, Event
from madrox_nb.frames import Frames

NOON = datetime(2030, 1, 31, 12, tzinfo=UTC)


class Book:
    """One entry a second, and the frames of it."""

    def __init__(self, directory: Path, name: str = "1") -> None:
        self.paths = [directory / f"{name}.jsonl"]
        self.frames = Frames(self.existing, accelerate=False)
        self.seq = 0

    def existing(self) -> list[Path]:
        return [path for path in self.paths if path.exists()]

    def write(self, *events: Event) -> None:
        for event in events:
            self.append(self.line(event))

    def line(self, event: Event) -> bytes:
        entry = Entry(self.seq, NOON + timedelta(seconds=self.seq), event)
        self.seq += 1
        return entry.to_line()

    def append(self, data: bytes) -> None:
        with self.paths[-1].open("ab") as file:
            file.write(data)


def dtypes(frame: pd.DataFrame) -> dict[str, str]:
    return {str(frame.index.name): str(frame.index.dtype)} | {n: str(d) for n, d in frame.dtypes.items()}
