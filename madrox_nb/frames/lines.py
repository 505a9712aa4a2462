"""Ledger lines → rows of the audit, without a library.

What every event says has a column each; all else stays the JSON text that it is. Most lines
begin just as this version writes them, so that their rest can be cut out instead of made.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator
from datetime import datetime
from itertools import islice
from typing import Any, Final

import numpy as np
import orjson
import pandas as pd

from ..events import VERSION
from .columns import ENVELOPE
from .gained import Gained
from .growing import Microseconds, Rows, Texts

TEXTS: Final = (*(name for name in ENVELOPE if name not in ("seq", "ts")), "fields")
HEAD: Final = f'{{{{"v":{VERSION},"seq":{{seq}},"ts":"{{ts}}","kind":"{{kind}}","agent":"{{agent}}"'
"""How this version begins a line; one of `NEXT` comes next where an event has it."""
NEXT: Final = ("turn", "message")
_BATCH: Final = 20_000
"""Lines whose objects live at the same time."""
_KEPT_APART: Final = frozenset({"v", *ENVELOPE})

Row = dict[str, Any]

log = logging.getLogger(__name__)


def read(gained: Iterable[Gained]) -> Iterator[Rows]:
    """The rows of all that is gained, in order."""
    for each in gained:
        yield from rows_of(each)


def rows_of(gained: Gained) -> Iterator[Rows]:
    """The rows of new lines, some at a time. A line that is no entry is logged and skipped."""
    lines = iter(gained.lines.split(b"\n")[:-1])
    while batch := list(islice(lines, _BATCH)):
        yield _rows(_entries(batch, gained))


def _entries(lines: list[bytes], gained: Gained) -> Iterator[tuple[bytes, Row]]:
    for line in lines:
        try:
            row = orjson.loads(line)
            _check(row)
            yield line, row
        except ValueError as exc:
            said = "%s: a line after byte %d is no entry (%s); skipped"
            log.warning(said, gained.path, gained.start, exc)


def _check(row: Any) -> None:
    """Raises `ValueError` for what is no entry."""
    if isinstance(row, dict):
        seq, ts = row.get("seq"), row.get("ts")
        named = isinstance(row.get("kind"), str) and isinstance(row.get("agent", ""), str)
        if named and isinstance(ts, str) and isinstance(seq, int) and abs(seq) < 1 << 63:
            datetime.fromisoformat(ts)
            return
    raise ValueError("a ledger line needs seq, ts, kind and agent")


def _rows(entries: Iterable[tuple[bytes, Row]]) -> Rows:
    found = list(entries)
    texts: dict[str, Texts] = {name: [_text(row.get(name)) for _, row in found] for name in TEXTS[:-1]}
    texts["fields"] = [_fields(line, row) for line, row in found]
    seq = np.fromiter((row["seq"] for _, row in found), dtype=np.int64, count=len(found))
    return Rows(seq, _microseconds([row["ts"] for _, row in found]), texts)


def _text(value: Any) -> str | None:
    """Empty texts are missing ones."""
    return value if isinstance(value, str) and value else None


def _microseconds(times: list[str]) -> Microseconds:
    try:
        found = pd.to_datetime(times, format="ISO8601", utc=True)
    except ValueError:  # a spelling that only Python knows, such as 2030-W05-4
        found = pd.to_datetime([datetime.fromisoformat(ts) for ts in times], utc=True)
    return found.as_unit("us").asi8


def _fields(line: bytes, row: Row) -> str:
    """What an event says besides the envelope, as JSON."""
    head = HEAD.format(**row) if "agent" in row else "?"
    rest = line.decode()
    if not rest.startswith(head):
        return orjson.dumps({k: v for k, v in row.items() if k not in _KEPT_APART}).decode()
    for name in NEXT:
        longer = f'{head},"{name}":"{row.get(name)}"'
        if rest.startswith(longer):
            head = longer
            break
    return "{" + rest[len(head) :].removeprefix(",")
