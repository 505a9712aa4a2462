"""pandas views of a run, read from its ledger's files.

Every frame has the same columns and dtypes whether it is empty or not: text is
`string`, whole numbers are `Int64`, amounts are `float64` (NaN when nobody knows),
yes and no are `boolean`, times are `datetime64[us, UTC]`. Columns called `agent`,
`turn` and `message` hold the same ids everywhere, so frames join on them.

Reading is incremental: what was read once is kept, and a last line that is still being
written waits for the next look.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import fields
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final

import orjson
import pandas as pd

from .budget import LIMITS, NO_LIMIT, SHAPES, Budget
from .errors import BadInput
from .events import KINDS, NAN, AgentSpawned, Entry, TurnStarted, Unknown
from .folds import Approvals, Costs, Inboxes, Usage, turns
from .harness import Features
from .tree import Tree

TEXT: Final = "string"
COUNT: Final = "Int64"
AMOUNT: Final = "float64"
FLAG: Final = "boolean"
TIME: Final = "datetime64[us, UTC]"

Columns = Mapping[str, str]
"""Name → dtype, in order; the first is the index."""

USAGE: Final[Columns] = {
    "input_tokens": COUNT,
    "output_tokens": COUNT,
    "cache_read_tokens": COUNT,
    "cache_write_tokens": COUNT,
    "cost_usd": AMOUNT,
    "cost_source": TEXT,
}

AGENTS: Final[Columns] = {
    "agent": TEXT,
    "parent": TEXT,
    "state": TEXT,
    "role": TEXT,
    "harness": TEXT,
    "model": TEXT,
    "permissions": TEXT,
    "turns": COUNT,
    "spawned": TIME,
    "since": TIME,
    "reason": TEXT,
    "session": TEXT,
    "workspace": TEXT,
}

TURNS: Final[Columns] = {
    "turn": TEXT,
    "agent": TEXT,
    "sender": TEXT,
    "prompt": TEXT,
    "outcome": TEXT,
    "text": TEXT,
    "error": TEXT,
    "tools": COUNT,
    "started": TIME,
    "ended": TIME,
    "duration_s": AMOUNT,
    **USAGE,
}

MESSAGES: Final[Columns] = {
    "message": TEXT,
    "sender": TEXT,
    "agent": TEXT,
    "text": TEXT,
    "asks": FLAG,
    "answers": TEXT,
    "outcome": TEXT,
    "posted": TIME,
    "read": FLAG,
    "turn": TEXT,
}

APPROVALS: Final[Columns] = {
    "approval": TEXT,
    "agent": TEXT,
    "turn": TEXT,
    "tool": TEXT,
    "input": TEXT,
    "state": TEXT,
    "by": TEXT,
    "why": TEXT,
    "always": TEXT,
    "asked": TIME,
    "answered": TIME,
}

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

COSTS: Final[Columns] = {
    "agent": TEXT,
    "parent": TEXT,
    **USAGE,
    "subtree_tokens": COUNT,
    "subtree_usd": AMOUNT,
    "subtree_exact": FLAG,
    **{f"limit_{name}": AMOUNT for name in LIMITS if name not in SHAPES},
    **{f"left_{name}": AMOUNT for name in LIMITS if name not in SHAPES},
    "limit_reached": TEXT,
}

STANDINGS: Final[Columns] = {
    "agent": TEXT,
    "limit": TEXT,
    "amount": AMOUNT,
    "used": AMOUNT,
    "left": AMOUNT,
    "exact": FLAG,
    "reached": FLAG,
    "by": TEXT,
    "since": TIME,
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

WHOLE_RUN: Final = "(run)"
"""Stands for an agent where a limit is the whole run's."""

log = logging.getLogger(__name__)


def _audit_columns() -> Columns:
    """One column for each field that any kind of event has, those that join first."""
    first = {"seq": COUNT, "ts": TIME, "kind": TEXT, "agent": TEXT, "turn": TEXT, "message": TEXT}
    dtypes = {"int": COUNT, "float": AMOUNT, "bool": FLAG}
    found = {
        f.name: dtypes.get(str(f.type).removesuffix(" | None"), TEXT)
        for cls in KINDS.values()
        for f in fields(cls)
    }
    return {**first, **{name: dtype for name, dtype in found.items() if name not in first}, "rest": TEXT}


AUDIT: Final[Columns] = _audit_columns()


class Frames:
    """The frames of one run. `paths` gives the ledger's files, oldest first."""

    def __init__(self, paths: Callable[[], Iterable[Path]]) -> None:
        self._paths = paths
        self._offsets: dict[Path, int] = {}
        self._entries: list[Entry] = []
        self._spawned: dict[str, datetime] = {}
        self._handed: dict[str, str] = {}
        self._tree, self._inboxes, self._costs = Tree(), Inboxes(), Costs()
        self._approvals, self._budget = Approvals(), Budget()
        self._lock = threading.Lock()

    def agents(self) -> pd.DataFrame:
        """One row an agent, in the order of spawning. `spawned` is its last birth."""
        self._read()
        return _frame(
            AGENTS,
            (
                {name: getattr(agent, name, None) for name in AGENTS}
                | {"agent": agent.name, "spawned": self._spawned[agent.name]}
                for agent in self._tree
            ),
        )

    def turns(self) -> pd.DataFrame:
        """One row a turn, in the order they began.

        While a turn is under way its `outcome` and `ended` are missing, and its cost is
        NaN until somebody reports it.
        """
        self._read()
        return _frame(
            TURNS,
            (
                {name: getattr(turn, name, None) for name in TURNS}
                | {"turn": turn.id}
                | _usage(turn.usage)
                | {"cost_usd": turn.usage.known_usd if turn.usage.sources else NAN}
                for turn in turns(self._entries)
            ),
        )

    def messages(self) -> pd.DataFrame:
        """One row a message. `agent` has it in its inbox; `turn` is the turn that was handed it."""
        self._read()
        return _frame(
            MESSAGES,
            (
                {name: getattr(message, name, None) for name in MESSAGES}
                | {"message": message.id, "agent": message.to, "turn": self._handed.get(message.id)}
                for message in self._inboxes.messages.values()
            ),
        )

    def approvals(self) -> pd.DataFrame:
        """One row a request to use a tool, oldest first; `state` is `open` while it waits for an answer."""
        self._read()
        return _frame(
            APPROVALS,
            (
                {name: getattr(approval, name, None) for name in APPROVALS} | {"approval": approval.id}
                for approval in self._approvals
            ),
        )

    def costs(self) -> pd.DataFrame:
        """One row an agent: what it used itself, and the sums of its subtree.

        `cost_usd` is NaN when part of it has no known price. `subtree_usd` adds up what
        is known; it is a lower bound where `subtree_exact` is false. `limit_…` are the limits
        that stand on the agent; `left_…` is what it may still use by those and all above it.
        `limit_reached` names the one that keeps it from taking turns.
        """
        self._read()
        now = datetime.now(UTC)
        sums = self._costs.subtrees(self._tree)
        return _frame(
            COSTS,
            (
                {
                    "agent": agent.name,
                    "parent": agent.parent,
                    **_usage(self._costs.of(agent.name)),
                    "subtree_tokens": sums[agent.name].tokens,
                    "subtree_usd": sums[agent.name].cost_usd,
                    "subtree_exact": sums[agent.name].exact,
                    **_limits(self._budget, agent.name, now),
                }
                for agent in self._tree
            ),
        )

    def limits(self, *names: str) -> pd.DataFrame:
        """One row a limit that is set, on these agents or on all; what counts for the run is `(run)`'s.

        `used` is what counts towards it: of the agent and of all below it. It is a lower
        bound where `exact` is false.
        """
        self._read()
        now = datetime.now(UTC)
        holders = names or tuple(self._budget.limits)
        return _frame(STANDINGS, (row for holder in holders for row in _standings(self._budget, holder, now)))

    def audit(
        self,
        *,
        since: str | datetime | timedelta | None = None,
        agent: str | None = None,
        kind: str | None = None,
    ) -> pd.DataFrame:
        """One row an event, as the ledger has it.

        `since` is a time (UTC unless it says otherwise) or a span back from now, such as
        `"10min"`. `kind` is one kind (`"turn.ended"`) or a family (`"turn"`). What a
        later version wrote stands in `rest`, as JSON.
        """
        self._read()
        start = None if since is None else _moment(since)
        entries = (e for e in self._entries if agent in (None, e.event.agent))
        found = (_row(entry) for entry in entries if start is None or entry.ts >= start)
        return _frame(AUDIT, (row for row in found if kind is None or _of_kind(row["kind"], kind)))

    def _read(self) -> None:
        """Fold in whatever the files have gained."""
        with self._lock:
            for path in self._paths():
                for entry in self._new(path):
                    self._apply(entry)

    def _new(self, path: Path) -> Iterator[Entry]:
        offset = self._offsets.get(path, 0)
        with path.open("rb") as file:
            file.seek(offset)
            whole, newline, _ = file.read().rpartition(b"\n")
        self._offsets[path] = offset + len(whole) + len(newline)
        for line in whole.splitlines():
            try:
                yield Entry.from_line(line)
            except ValueError as exc:
                log.warning("%s: a line after byte %d is no entry (%s); skipped", path, offset, exc)

    def _apply(self, entry: Entry) -> None:
        event = entry.event
        self._entries.append(entry)
        self._tree.apply(entry)
        self._inboxes.apply(entry)
        self._costs.apply(entry)
        self._approvals.apply(entry)
        self._budget.apply(entry)
        if isinstance(event, AgentSpawned):
            self._spawned[event.agent] = entry.ts
        elif isinstance(event, TurnStarted):
            self._handed.update(dict.fromkeys(event.messages, event.turn))


def texts(found: Iterable[Mapping[str, object]], *columns: str) -> pd.DataFrame:
    """A small table of texts, indexed by the first column."""
    return _frame(dict.fromkeys(columns, TEXT), found)


def harnesses(found: Iterable[Mapping[str, object]]) -> pd.DataFrame:
    """One row a harness, as `inventory` found them."""
    return _frame(HARNESSES, found)


def phases(found: Iterable[Mapping[str, object]]) -> pd.DataFrame:
    """One row a share of a phase of a team, as `handles` tells them."""
    return _frame(PHASES, found)


def processes(found: Iterable[Mapping[str, object]]) -> pd.DataFrame:
    """One row a process, as `offspring` found them."""
    return _frame(PROCESSES, found)


def _usage(usage: Usage) -> dict[str, Any]:
    return {name: getattr(usage, name, None) for name in USAGE} | {
        "cost_usd": usage.known_usd,
        "cost_source": ", ".join(usage.sources) or None,
    }


def _limits(budget: Budget, name: str, now: datetime) -> dict[str, Any]:
    """What `costs` says of limits. No limit is a missing amount."""
    own, holding = budget.limits.get(name, {}), budget.holding(name, now)
    left = {what: budget.left(name, what, now) for what in LIMITS if what not in SHAPES}
    return {
        **{f"limit_{what}": own[what].amount for what in left if what in own},
        **{f"left_{what}": amount for what, amount in left.items() if amount != NO_LIMIT},
        "limit_reached": f"{holding.holder or WHOLE_RUN}: {holding}" if holding else None,
    }


def _standings(budget: Budget, holder: str, now: datetime) -> Iterator[dict[str, Any]]:
    used = {standing.name: standing for standing in budget.standings(holder, now)}
    for name, limit in budget.limits.get(holder, {}).items():
        standing = used.get(name)
        yield {
            "agent": holder or WHOLE_RUN,
            "limit": name,
            "amount": limit.amount,
            "used": standing.used if standing else NAN,
            "left": standing.left if standing else NAN,
            "exact": standing.exact if standing else True,
            "reached": limit.reached,
            "by": limit.by,
            "since": limit.since,
        }


def _row(entry: Entry) -> dict[str, Any]:
    if isinstance(entry.event, Unknown):
        rest = dict(entry.event.row)
        known = {"seq": entry.seq, "ts": entry.ts, "kind": rest.pop("kind"), "agent": entry.event.agent}
        return known | {"rest": orjson.dumps(rest).decode()}
    row = entry.row()
    return {name: " ".join(value) if isinstance(value, tuple) else value for name, value in row.items()}


def _of_kind(kind: str, wanted: str) -> bool:
    return kind == wanted or kind.startswith(f"{wanted}.")


def _frame(columns: Columns, found: Iterable[Mapping[str, Any]]) -> pd.DataFrame:
    """A frame of exactly these columns and dtypes; empty texts are missing ones."""
    listed = list(found)
    data = {
        name: pd.Series([_cell(row.get(name)) for row in listed], dtype="object").astype(dtype)  # type: ignore[call-overload]
        for name, dtype in columns.items()
    }
    return pd.DataFrame(data).set_index(next(iter(columns)))


def _cell(value: Any) -> Any:
    return None if value == "" else value


def _moment(since: str | datetime | timedelta) -> datetime:
    """Raises `BadInput` when `since` is neither a time nor a span."""
    if isinstance(since, str):
        since = _parsed(since)
    if isinstance(since, timedelta):
        return (pd.Timestamp.now(tz="UTC") - since).to_pydatetime()
    moment = pd.Timestamp(since)
    return (moment.tz_localize("UTC") if moment.tzinfo is None else moment).to_pydatetime()


def _parsed(since: str) -> datetime | timedelta:
    for read in (pd.Timedelta, pd.Timestamp):
        try:
            return read(since)
        except ValueError:
            continue
    raise BadInput(f"since={since!r} is neither a time ('2030-01-31 14:00') nor a span ('10min')")
