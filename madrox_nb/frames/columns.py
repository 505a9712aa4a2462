"""The columns of every frame and their dtypes, which are the same whether it is empty or not.

Text is `string`, whole numbers are `Int64`, amounts are `float64` (NaN when nobody knows),
yes and no are `boolean`, times are `datetime64[us, UTC]`. Columns called `agent`, `turn`
and `message` hold the same ids everywhere, so frames join on them. docs/frames.md says what
each column means.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, fields
from typing import Any, Final, cast

import pandas as pd

from ..budget import LIMITS, SHAPES
from ..events import FIELDS, KINDS
from ..harness import Features

TEXT: Final = "string"
COUNT: Final = "Int64"
AMOUNT: Final = "float64"
FLAG: Final = "boolean"
TIME: Final = "datetime64[us, UTC]"

WHOLE_RUN: Final = "(run)"
"""Stands for an agent where a limit is the whole run's."""

Columns = Mapping[str, str]
"""Name → dtype, in order; the first is the index."""


@dataclass(frozen=True)
class Table:
    """What a frame shows, and what `full=True` adds on the right."""

    shown: Columns
    more: Columns

    def columns(self, full: bool = False) -> Columns:
        return {**self.shown, **self.more} if full else self.shown


TOKENS: Final[Columns] = {
    "input_tokens": COUNT,
    "output_tokens": COUNT,
    "cache_read_tokens": COUNT,
    "cache_write_tokens": COUNT,
}

AGENTS: Final = Table(
    {
        "agent": TEXT,
        "parent": TEXT,
        "state": TEXT,
        "role": TEXT,
        "harness": TEXT,
        "model": TEXT,
        "turns": COUNT,
        "since": TIME,
        "reason": TEXT,
    },
    {"permissions": TEXT, "spawned": TIME, "session": TEXT, "workspace": TEXT},
)

TURNS: Final = Table(
    {
        "turn": TEXT,
        "agent": TEXT,
        "sender": TEXT,
        "prompt": TEXT,
        "outcome": TEXT,
        "text": TEXT,
        "tools": COUNT,
        "started": TIME,
        "duration_s": AMOUNT,
        "tokens": COUNT,
        "cost_usd": AMOUNT,
    },
    {"error": TEXT, "ended": TIME, **TOKENS, "cost_source": TEXT},
)

MESSAGES: Final = Table(
    {
        "message": TEXT,
        "sender": TEXT,
        "agent": TEXT,
        "text": TEXT,
        "asks": FLAG,
        "answers": TEXT,
        "posted": TIME,
        "read": FLAG,
        "turn": TEXT,
    },
    {"outcome": TEXT},
)

TOOLS: Final = Table(
    {
        "call": TEXT,
        "agent": TEXT,
        "turn": TEXT,
        "tool": TEXT,
        "input": TEXT,
        "ok": FLAG,
        "output": TEXT,
        "called": TIME,
        "duration_s": AMOUNT,
    },
    {"returned": TIME},
)

APPROVALS: Final = Table(
    {
        "approval": TEXT,
        "agent": TEXT,
        "turn": TEXT,
        "tool": TEXT,
        "input": TEXT,
        "state": TEXT,
        "by": TEXT,
        "asked": TIME,
    },
    {"why": TEXT, "always": TEXT, "answered": TIME},
)

_USED_UP: Final = tuple(name for name in LIMITS if name not in SHAPES)

COSTS: Final = Table(
    {
        "agent": TEXT,
        "parent": TEXT,
        "role": TEXT,
        "harness": TEXT,
        "model": TEXT,
        "tokens": COUNT,
        "cost_usd": AMOUNT,
        "subtree_tokens": COUNT,
        "subtree_usd": AMOUNT,
        "subtree_exact": FLAG,
    },
    {
        **TOKENS,
        "cost_source": TEXT,
        **{f"limit_{name}": AMOUNT for name in _USED_UP},
        **{f"left_{name}": AMOUNT for name in _USED_UP},
        "limit_reached": TEXT,
    },
)

SPENDING: Final = Table(
    {
        "seq": COUNT,
        "ts": TIME,
        "agent": TEXT,
        "path": TEXT,
        "turn": TEXT,
        "role": TEXT,
        "harness": TEXT,
        "model": TEXT,
        "tokens": COUNT,
        "cost_usd": AMOUNT,
    },
    {**TOKENS, "cost_source": TEXT},
)
"""Costs over time: one row a report."""

LIMITS_SET: Final = Table(
    {
        "agent": TEXT,
        "limit": TEXT,
        "amount": AMOUNT,
        "used": AMOUNT,
        "left": AMOUNT,
        "exact": FLAG,
        "reached": FLAG,
        "by": TEXT,
        "since": TIME,
    },
    {},
)

PHASES: Final[Columns] = {
    "share": TEXT,
    "phase": TEXT,
    "agent": TEXT,
    "state": TEXT,
    "attempt": COUNT,
    "text": TEXT,
    "error": TEXT,
    "turn": TEXT,
    "files": TEXT,
    "missing": TEXT,
    "started": TIME,
    "ended": TIME,
    "duration_s": AMOUNT,
    "tokens": COUNT,
    "cost_usd": AMOUNT,
}

HARNESSES: Final[Columns] = {
    "harness": TEXT,
    "installed": FLAG,
    "command": TEXT,
    "version": TEXT,
    "tested": TEXT,
    "note": TEXT,
    **{f.name: FLAG for f in fields(Features)},
    "provides": TEXT,
}

PROCESSES: Final[Columns] = {
    "pid": COUNT,
    "agent": TEXT,
    "command": TEXT,
    "started": TIME,
    "cpu_s": AMOUNT,
    "rss_mb": AMOUNT,
    "is_agent": FLAG,
}

ENVELOPE: Final[Columns] = {
    "seq": COUNT,
    "ts": TIME,
    "kind": TEXT,
    "agent": TEXT,
    "turn": TEXT,
    "message": TEXT,
}
"""What the audit says of every event."""


def _dtypes() -> Columns:
    """Field → dtype, over all kinds of events."""
    known = {"int": COUNT, "float": AMOUNT, "bool": FLAG}
    return {
        f.name: known.get(str(f.type).removesuffix(" | None"), TEXT)
        for cls in KINDS.values()
        for f in fields(cls)
    }


FIELD_DTYPES: Final[Columns] = _dtypes()
AUDIT: Final = Table(
    {**ENVELOPE, "fields": TEXT},
    {**{name: dtype for name, dtype in FIELD_DTYPES.items() if name not in ENVELOPE}, "rest": TEXT},
)
"""`fields` is all else that an event says, as JSON; spread out, each is a column of its own."""


def of_kind(kind: str, wanted: str) -> bool:
    """Whether `kind` is `wanted` (`turn.ended`), or of that family (`turn`)."""
    return kind == wanted or kind.startswith(f"{wanted}.")


def audit_columns(wanted: str | None) -> Columns:
    """The audit's columns when fields are spread: those of the kinds that are wanted, or of all."""
    names = dict.fromkeys(
        name for kind, cls in KINDS.items() if wanted is None or of_kind(kind, wanted) for name in FIELDS[cls]
    )
    return {
        **ENVELOPE,
        **{name: FIELD_DTYPES[name] for name in names if name not in ENVELOPE},
        "rest": TEXT,
    }


def frame(columns: Columns, rows: Iterable[Mapping[str, Any]]) -> pd.DataFrame:
    """A frame of exactly these columns and dtypes; what a row does not say is missing, as are empty texts."""
    listed = list(rows)
    data = {name: series([row.get(name) for row in listed], dtype) for name, dtype in columns.items()}
    return pd.DataFrame(data).set_index(next(iter(columns)))


def series(values: Iterable[Any], dtype: str) -> pd.Series[Any]:
    """A column of exactly this dtype."""
    cells = [None if value == "" else value for value in values]
    column: pd.Series[Any] = pd.Series(cells, dtype="object").astype(cast(Any, dtype))
    return column
