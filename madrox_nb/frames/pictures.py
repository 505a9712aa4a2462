"""What is drawn of each frame: a small table and the kind of chart that shows it. Pure.

Only what every plotting backend of pandas knows is asked of it; the rest (`looks`) is for
those that understand it. What nobody knows says so in its label.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Literal

import pandas as pd

from ..budget import spoken
from ..errors import BadInput, nearest
from .columns import WHOLE_RUN

MOST: Final = 12
"""Lines or bars that one picture holds: those with the most."""
_JUST_BEFORE: Final = pd.Timedelta(microseconds=1)


@dataclass(frozen=True)
class Picture:
    """What is drawn, and how."""

    data: pd.DataFrame
    kind: Literal["line", "barh"]
    title: str
    looks: Mapping[str, Any] = field(default_factory=dict)
    """Options that not every backend knows."""


Draw = Callable[[pd.DataFrame, str, str], Picture]
"""(frame, by, value) → picture."""


@dataclass(frozen=True)
class Subject:
    """One of our frames, told by what it has, and how it is drawn."""

    name: str
    index: str
    needs: frozenset[str]
    draw: Draw
    by: tuple[str, ...] = ()
    """By which columns it can be drawn, the usual one first."""
    values: tuple[str, ...] = ()

    def shown_by(self, frame: pd.DataFrame) -> bool:
        return str(frame.index.names[-1]) == self.index and self.needs <= set(frame.columns)


def picture(frame: pd.DataFrame, by: str | None = None, value: str | None = None) -> Picture:
    """What to draw of one of our frames. Raises `BadInput` for others, and for what it can't be drawn by."""
    subject = next((each for each in SUBJECTS if each.shown_by(frame)), None)
    if subject is None:
        raise BadInput(
            f"a frame indexed by {frame.index.names[-1]!r} with these columns is none that can be drawn. "
            f"Those of madrox can, filtered or not: {', '.join(each.name for each in SUBJECTS)}"
        )
    if frame.empty:
        raise BadInput(f"there is nothing to draw yet: {subject.name} is empty")
    chosen = (
        _chosen("by", by, subject.by, subject.name),
        _chosen("value", value, subject.values, subject.name),
    )
    if chosen[0] not in (*frame.columns, *frame.index.names, "subtree"):
        raise BadInput(f"{subject.name} was left without the column {chosen[0]!r}: nothing to draw it by")
    return subject.draw(frame, *chosen)


def _chosen(what: str, asked: str | None, known: tuple[str, ...], name: str) -> str:
    if asked is None:
        return next(iter(known), "")
    if asked not in known:
        raise BadInput(
            f"{name} has no {what}={asked!r}.{nearest(asked, known)} Known: {', '.join(known) or 'none'}"
        )
    return asked


# money


def costs(frame: pd.DataFrame, by: str, value: str) -> Picture:
    """A bar for each agent or group: what it used itself, and for subtrees what those below it did."""
    own = frame[value].astype("float64")
    if by == "subtree":
        whole = frame["subtree_usd" if value == "cost_usd" else "subtree_tokens"].astype("float64")
        data = pd.DataFrame({"own": own, "below": (whole - own.fillna(0)).clip(lower=0)})
        doubtful = own.isna() | (~frame["subtree_exact"] if value == "cost_usd" else own.isna())
    else:
        keys = _keys(frame, by)
        data = pd.DataFrame({"own": own}).groupby(keys, sort=False).sum(min_count=1)
        doubtful = own.isna().groupby(keys, sort=False).any()
    data.index = pd.Index([str(name) for name in data.index.get_level_values(-1)])
    labels = _labels(data, list(doubtful), value, _limits(frame, value) if by == "subtree" else {})
    return _bars(data.set_axis(labels), f"{_UNITS[value]} by {by}")


def spending(frame: pd.DataFrame, by: str, value: str) -> Picture:
    """A line for each agent, subtree or group: the sum so far. Limits are lines, too."""
    amounts, times = frame[value].astype("float64").to_numpy(), pd.DatetimeIndex(frame["ts"])
    sums = {n: pd.Series(amounts[rows], times[rows]) for n, rows in _members(frame, by, value).items()}
    most = sorted(sums, key=lambda name: -sums[name].sum())[:MOST]
    lines = (
        pd.DataFrame({n: sums[n].fillna(0).groupby(level=0).sum().cumsum() for n in most}).ffill().fillna(0)
    )
    lines.columns = pd.Index([f"{n} (≥, some unknown)" if sums[n].isna().any() else n for n in most])
    limits = _limits(frame, value) if by == "subtree" else {}
    marks = {f"limit of {n}: {spoken(_LIMIT_ON[value], a)}": a for n, a in limits.items()}
    return Picture(
        _in_steps(lines).assign(**marks).rename_axis(index="time (UTC)", columns=by),
        "line",
        f"{_UNITS[value]} over time, by {by}",
        {"ylabel": _UNITS[value], "style": dict.fromkeys(marks, "--")},
    )


def _in_steps(lines: pd.DataFrame) -> pd.DataFrame:
    """A sum is what it was until just before it becomes another."""
    before = lines.shift(fill_value=0.0)
    before.index = pd.DatetimeIndex(lines.index) - _JUST_BEFORE
    return pd.concat([before, lines]).sort_index()


_UNITS: Final = {"cost_usd": "US $", "tokens": "tokens"}
_LIMIT_ON: Final = {"cost_usd": "usd", "tokens": "tokens"}


def _members(frame: pd.DataFrame, by: str, value: str) -> dict[str, Any]:
    """Group → which rows belong to it."""
    if by != "subtree":
        keys = _keys(frame, by)
        return {str(name): (keys == name).to_numpy() for name in keys.unique()}
    found: dict[str, Any] = {}
    for path in frame["path"].unique():
        rows = (frame["path"] == path).to_numpy(dtype=bool)
        for name in str(path).split("/"):
            found[name] = found[name] | rows if name in found else rows
    if WHOLE_RUN in _limits(frame, value):
        found[WHOLE_RUN] = frame["path"].notna().to_numpy(dtype=bool)
    return found


def _limits(frame: pd.DataFrame, value: str) -> dict[str, float]:
    """Holder → its limit, as the frame brought them along."""
    return dict(frame.attrs.get("limits", {}).get(_LIMIT_ON[value], {}))


def _labels(data: pd.DataFrame, doubtful: list[bool], value: str, limits: Mapping[str, float]) -> list[str]:
    """`api`, `api (unknown)`, `lead (≥) (limit $5.00)`."""
    labels = []
    for (name, row), doubt in zip(data.iterrows(), doubtful, strict=True):
        mark = "" if not doubt else " (≥)" if row.sum() else " (unknown)"
        limit = f" (limit {spoken(_LIMIT_ON[value], limits[str(name)])})" if name in limits else ""
        labels.append(f"{name}{mark}{limit}")
    return labels


# what was done


def turns(frame: pd.DataFrame, by: str, value: str) -> Picture:
    """A row for each agent, with a line while it is in a turn; one under way goes on to the last moment."""
    begun = frame["started"]
    took = pd.to_timedelta(frame["duration_s"], unit="s")
    last = max(begun.max(), (begun + took).max() if took.notna().any() else begun.max())
    ended = (begun + took).fillna(last)
    keys = _keys(frame, by)
    rows = list(keys.unique())[:MOST]
    moments = pd.Index(pd.concat([begun, ended, ended + _JUST_BEFORE]).drop_duplicates().sort_values())
    data = pd.DataFrame(index=moments)
    for number, name in enumerate(rows, start=1):
        own = keys == name
        change = pd.concat([pd.Series(1, begun[own]), pd.Series(-1, ended[own] + _JUST_BEFORE)])
        busy = change.groupby(level=0).sum().cumsum().reindex(moments).ffill().fillna(0) > 0
        data[str(name)] = busy.map({True: float(number), False: float("nan")})
    looks = {"ylabel": by, "yticks": range(1, len(rows) + 1), "linewidth": 6}
    return Picture(data.rename_axis(index="time (UTC)", columns=by), "line", f"turns, by {by}", looks)


def tools(frame: pd.DataFrame, by: str, value: str) -> Picture:
    """How often each tool was called, and how that ended; or how many seconds went into it."""
    keys = _keys(frame, by)
    if value == "duration_s":
        data = pd.DataFrame({"seconds": frame["duration_s"]}).groupby(keys).sum(min_count=1)
        return _bars(data, f"seconds in tools, by {by}")
    outcome = frame["ok"].map({True: "ok", False: "failed"}).astype(object).fillna("not returned")
    return _counted(keys, outcome, f"tool calls, by {by}")


def messages(frame: pd.DataFrame, by: str, value: str) -> Picture:
    """How many messages each got, and from whom; or each wrote, and to whom."""
    other = "sender" if by == "agent" else "agent"
    said = "messages to each agent, by sender" if by == "agent" else "messages from each sender, by receiver"
    return _counted(_keys(frame, by), _keys(frame, other), said)


def approvals(frame: pd.DataFrame, by: str, value: str) -> Picture:
    """How many requests there were, and what came of them."""
    return _counted(_keys(frame, by), frame["state"], f"requests to use a tool, by {by}")


def agents(frame: pd.DataFrame, by: str, value: str) -> Picture:
    """How many turns each agent, or group, has begun."""
    data = pd.DataFrame({"turns": frame["turns"].astype("float64")}).groupby(_keys(frame, by)).sum()
    return _bars(data, f"turns, by {by}")


def audit(frame: pd.DataFrame, by: str, value: str) -> Picture:
    """How many events there are of each kind, or of each agent."""
    return _bars(pd.DataFrame({"events": _keys(frame, by).value_counts()}), f"events, by {by}")


def _keys(frame: pd.DataFrame, by: str) -> pd.Series[Any]:
    """By what the rows are grouped; what nobody said is a group, too."""
    column = (
        frame[by] if by in frame.columns else frame.index.get_level_values(by).to_series(index=frame.index)
    )
    return column.astype(object).where(column.notna(), "unknown").rename(by)


def _counted(rows: pd.Series[Any], parts: pd.Series[Any], title: str) -> Picture:
    pairs = pd.DataFrame({"row": rows.to_numpy(object), "part": parts.to_numpy(object)})
    return _bars(pairs.value_counts().unstack(fill_value=0), title, legend=True)


def _bars(data: pd.DataFrame, title: str, *, legend: bool = False) -> Picture:
    """Horizontal bars, the longest on top."""
    order = data.sum(axis=1).astype("float64").to_numpy().argsort(kind="stable")[-MOST:]
    shown = data.iloc[order].rename_axis(index=None, columns=None).astype("float64")
    return Picture(shown, "barh", title, {"stacked": True, "legend": legend or len(shown.columns) > 1})


def _subject(draw: Draw, index: str, needs: str, by: str, values: str = "", name: str = "") -> Subject:
    told = name or draw.__name__
    return Subject(told, index, frozenset(needs.split()), draw, tuple(by.split()), tuple(values.split()))


_MONEY: Final = "cost_usd tokens"
SUBJECTS: Final = (
    _subject(
        spending, "seq", "ts path cost_usd", "subtree agent role harness model", _MONEY, "costs over time"
    ),
    _subject(costs, "agent", "cost_usd subtree_usd", "subtree agent role harness model", _MONEY),
    _subject(turns, "turn", "agent started duration_s", "agent sender"),
    _subject(tools, "call", "tool ok duration_s", "tool agent", "calls duration_s"),
    _subject(messages, "message", "sender agent", "agent sender"),
    _subject(approvals, "approval", "tool state", "tool agent"),
    _subject(agents, "agent", "turns state", "agent role harness model"),
    _subject(audit, "seq", "ts kind", "kind agent"),
)
