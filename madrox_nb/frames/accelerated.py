"""The same rows by duckdb, where it is installed (`pip install "madrox_nb[duckdb]"`), several times as fast.

It reads what this version wrote. Where even one line begins otherwise, is torn or is no
entry, nothing is taken from it: `lines` then reads all of them, and says what it skips.
"""

from __future__ import annotations

import logging
import os
from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from importlib.util import find_spec
from typing import TYPE_CHECKING, Final

import numpy as np
import orjson

from . import lines
from .columns import ENVELOPE
from .gained import Gained
from .growing import HAS_ARROW, Rows
from .lines import HEAD, NEXT, TEXTS

if TYPE_CHECKING:
    import pyarrow as pa

AVAILABLE: Final = HAS_ARROW and find_spec("duckdb") is not None
_THREADS: Final = min(4, os.cpu_count() or 1)
WORTH_IT: Final = 1 << 20
"""Bytes from which on it is faster than `lines`."""

log = logging.getLogger(__name__)


def read(gained: Iterable[Gained]) -> Iterator[Rows]:
    """What `lines.read` yields. While some rows are taken in, the next are read, each part by one thread."""
    ahead: deque[Future[Iterable[Rows]]] = deque()
    with ThreadPoolExecutor(_THREADS, "madrox-frames") as threads:
        for each in gained:
            ahead.append(threads.submit(_read, each))
            if len(ahead) > _THREADS:
                yield from ahead.popleft().result()
        for part in ahead:
            yield from part.result()


def _read(gained: Gained) -> Iterable[Rows]:
    long = len(gained.lines) >= WORTH_IT
    rows = rows_of(gained) if long else None
    return lines.rows_of(gained) if rows is None else (rows,)


def rows_of(gained: Gained) -> Rows | None:
    """The rows of new lines, or None when these need to be read one by one."""
    import duckdb

    try:
        found = _asked(_arrow_lines(gained.lines))
    except (duckdb.Error, ValueError) as exc:
        log.debug("%s: duckdb can't read what is new after byte %d: %s", gained.path, gained.start, exc)
        return None
    if found is None:
        return None
    seq, ts = (found[name].to_numpy() for name in ("seq", "ts"))
    return Rows(seq, ts, {name: found[name] for name in TEXTS})


def _arrow_lines(text: bytes) -> pa.Table:
    """A table with one column, over the very bytes. Raises `ValueError` when they are no UTF-8."""
    import pyarrow as pa

    ends = np.flatnonzero(np.frombuffer(text, np.uint8) == ord("\n")) + 1
    begins = np.concatenate(([0], ends)).astype(np.int32)
    column = pa.StringArray.from_buffers(len(ends), pa.py_buffer(begins), pa.py_buffer(text))
    column.validate(full=True)
    return pa.table({"line": column})


def _asked(table: pa.Table) -> pa.Table | None:
    """Its rows, or None when one of them does not begin as this version's do."""
    import duckdb
    from pyarrow import compute

    with duckdb.connect(config={"threads": 1, "arrow_large_buffer_size": True}) as connection:
        connection.register("lines", table)
        found: pa.Table = connection.sql(_QUERY).to_arrow_table()
    return found if compute.all(found["ours"], skip_nulls=False).as_py() else None


def _joined(text: str, **values: str) -> str:
    """`text` with its `{…}` filled in, as an expression of SQL."""
    for name, value in values.items():
        text = text.replace(f"{{{name}}}", f"' || {value} || '")
    return f"'{text}'"


_TYPES: Final = orjson.dumps({name: "BIGINT" if name == "seq" else "VARCHAR" for name in ENVELOPE}).decode()
_HEAD: Final = _joined(HEAD.replace("{{", "{"), **{name: name for name in ENVELOPE})
_LONGER: Final = tuple("head || " + _joined(f',"{name}":"{{it}}"', it=name) for name in NEXT)
_KNOWN: Final = " ".join(f"WHEN starts_with(line, {longer}) THEN {longer}" for longer in _LONGER)
_TEXTS: Final = ", ".join(f"nullif({name}, '') AS {name}" for name in TEXTS if name != "fields")
_QUERY: Final = f"""
WITH parsed AS (SELECT line, unnest(json_transform(line, '{_TYPES}')) FROM lines),
headed AS (SELECT *, {_HEAD} AS head FROM parsed),
known AS (SELECT *, length(CASE {_KNOWN} ELSE head END) AS known FROM headed),
cut AS (SELECT *, known + (line[known + 1] = ',')::INT AS cut FROM known)
SELECT starts_with(line, head) AND ends_with(ts, 'Z') AS ours, seq, epoch_us(ts::TIMESTAMP) AS ts, {_TEXTS},
       '{{' || substr(line, cut + 1, length(line) - cut - 1) AS fields
FROM cut
"""  # noqa: S608 - all that is filled in stands in this file and its neighbours
