"""One row an event: the ledger itself as a frame."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta
from functools import reduce
from operator import and_
from pathlib import Path
from typing import Any, Final

import numpy as np
import orjson
import pandas as pd

from ..errors import BadInput
from ..events import FIELDS, KINDS, NULLS
from . import accelerated, lines
from .columns import ENVELOPE, Columns, audit_columns, series
from .gained import Follower
from .growing import Growing

_MISFITS: Final = "rest"


class Audit:
    """The rows of some files, which are kept. Not thread-safe."""

    def __init__(self, *, accelerate: bool = accelerated.AVAILABLE) -> None:
        """`accelerate` lets duckdb read what is long."""
        self.follower = Follower()
        self._read = accelerated.read if accelerate else lines.read
        self._rows = Growing(lines.TEXTS)

    def read(self, paths: Iterable[Path]) -> None:
        """Take in what the files have gained. One that is broken off has spoilt it."""
        for rows in self._read(self.follower.gained(paths)):
            self._rows.extend(rows)

    def frame(
        self,
        since: str | datetime | timedelta | None,
        agent: str | None,
        kind: str | None,
        full: bool,
    ) -> pd.DataFrame:
        """What `Frames.audit` promises."""
        frame = self._rows.frame()
        wanted = _wanted(frame, since, agent, kind)
        frame = frame if wanted is None else frame[wanted]
        return spread(frame, audit_columns(kind)) if full or kind else frame


def _wanted(
    frame: pd.DataFrame, since: str | datetime | timedelta | None, agent: str | None, kind: str | None
) -> pd.Series[bool] | None:
    """Which rows are asked for; None for all."""
    asked: list[pd.Series[Any]] = []
    if since is not None:
        asked.append(frame["ts"] >= _moment(since))
    if agent is not None:
        asked.append(frame["agent"].isna() if agent == "" else frame["agent"] == agent)
    if kind is not None:
        kinds = frame["kind"]
        asked.append((kinds == kind) | kinds.str.startswith(f"{kind}."))
    found = (part.fillna(False).astype(bool) for part in asked)
    return reduce(and_, found) if asked else None


def spread(frame: pd.DataFrame, columns: Columns) -> pd.DataFrame:
    """The audit with a column for each field, instead of all as JSON in one.

    What this version does not know (a kind, a field of a kind) stands in `rest`, as JSON.
    """
    own = [name for name in columns if name not in ENVELOPE]
    cells = {name: np.full(len(frame), None, dtype=object) for name in own}
    for kind, at in frame.groupby("kind", sort=False).indices.items():
        fields = orjson.loads(f"[{','.join(frame['fields'].iloc[at])}]")
        for name, values in _columns(str(kind), fields).items():
            cells[name][at] = values
    found = {name: series(cells[name], columns[name]).set_axis(frame.index) for name in own}
    return frame.drop(columns="fields").assign(**found)


def _columns(kind: str, rows: list[dict[str, Any]]) -> Mapping[str, list[Any]]:
    """Field → its values, over some events of a kind."""
    known = FIELDS[KINDS[kind]] if kind in KINDS else ()
    found = {
        name: [_cell(row.get(name), name, name in row) for row in rows]
        for name in known
        if name not in ENVELOPE
    }
    found[_MISFITS] = [_misfits(row, {*known, *ENVELOPE}) for row in rows]
    return found


def _cell(value: Any, name: str, said: bool) -> Any:
    """One value; a list is its members with blanks between them."""
    if value is None:
        return NULLS.get(name) if said else None
    if isinstance(value, list | tuple):
        return " ".join(map(str, value))
    return value


def _misfits(row: dict[str, Any], known: set[str]) -> str | None:
    if row.keys() <= known:
        return None
    return orjson.dumps({name: value for name, value in row.items() if name not in known}).decode()


def _moment(since: str | datetime | timedelta) -> pd.Timestamp:
    """Raises `BadInput` when `since` is neither a time nor a span."""
    if isinstance(since, str):
        since = _parsed(since)
    if isinstance(since, timedelta):
        return pd.Timestamp.now(tz="UTC") - since
    moment = pd.Timestamp(since)
    return moment.tz_localize("UTC") if moment.tzinfo is None else moment


def _parsed(since: str) -> datetime | timedelta:
    for read in (pd.Timedelta, pd.Timestamp):
        try:
            return read(since)
        except ValueError:
            continue
    raise BadInput(f"since={since!r} is neither a time ('2030-01-31 14:00') nor a span ('10min')")
