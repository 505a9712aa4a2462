"""What the ledger says, as pandas DataFrames. docs/frames.md is their page.

Columns and dtypes are the same whether a frame is empty or not (`columns.py`); what nobody
knows is missing, never zero; frames join on `agent`, `turn` and `message`. Reading is
incremental: what was read once is kept, and a last line that is still being written waits.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Mapping
from datetime import datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Generic, TypeAlias, TypeVar

import pandas as pd

from ..errors import BadInput, nearest
from ..ledger import run_files
from ..ledger import runs as runs_in
from .accelerated import AVAILABLE
from .audit import Audit
from .columns import HARNESSES, PHASES, PROCESSES, TEXT, frame
from .folded import Folded
from .plots import Plots

__all__ = ["Frames", "Plots", "Runs", "harnesses", "phases", "processes", "texts"]

Paths: TypeAlias = Callable[[], Iterable[Path]]


R = TypeVar("R", Audit, Folded)


class _Kept(Generic[R]):
    """What some files were made into, kept up as they grow."""

    def __init__(self, new: Callable[[], R], paths: Paths) -> None:
        self._new: Callable[[], R] = new
        self._paths = paths
        self.made: R = new()

    def current(self) -> R:
        """It, with all that the files hold. When that is broken off, also by Ctrl-C, the next begins anew."""
        try:
            self.made.read(self._paths())
        except BaseException:
            self.made = self._new()
            raise
        return self.made


class Frames:
    """The frames of one run. Usable from any thread.

    Each has few columns, those that answer the first question; `full` adds the others.
    """

    def __init__(self, paths: Paths, *, accelerate: bool = AVAILABLE) -> None:
        """`paths` gives the ledger's files, oldest first. `accelerate` lets duckdb read what is long."""
        self._audit = _Kept(partial(Audit, accelerate=accelerate), paths)
        self._folded = _Kept(Folded, paths)
        self._lock = threading.Lock()

    @property
    def bytes_read(self) -> int:
        """What was read of the files so far, for the audit and for all other frames."""
        return self._audit.made.follower.bytes_read + self._folded.made.follower.bytes_read

    def agents(self, *, full: bool = False) -> pd.DataFrame:
        """One row an agent, in the order of spawning. `spawned` is its last birth."""
        return self._fold(lambda folded: folded.agents_frame(full))

    def turns(self, *, full: bool = False) -> pd.DataFrame:
        """One row a turn, in the order they began.

        While a turn is under way its `outcome` and `duration_s` are missing, and its cost is
        NaN until somebody reports it.
        """
        return self._fold(lambda folded: folded.turns_frame(full))

    def messages(self, *, full: bool = False) -> pd.DataFrame:
        """One row a message. `agent` has it in its inbox; `turn` is the turn that was handed it."""
        return self._fold(lambda folded: folded.messages_frame(full))

    def tools(self, *, full: bool = False) -> pd.DataFrame:
        """One row a tool call, oldest first; `ok` is missing while it is under way."""
        return self._fold(lambda folded: folded.tools_frame(full))

    def approvals(self, *, full: bool = False) -> pd.DataFrame:
        """One row a request to use a tool, oldest first; `state` is `open` while it waits for an answer."""
        return self._fold(lambda folded: folded.approvals_frame(full))

    def costs(self, *, over_time: bool = False, full: bool = False) -> pd.DataFrame:
        """One row an agent: what it used itself, and the sums of its subtree.

        `cost_usd` is NaN when part of it has no known price. `subtree_usd` adds up what
        is known; it is a lower bound where `subtree_exact` is false. `full` says what came in and
        went out, and the limits: `limit_…` are those that stand on the agent, `left_…` is what it
        may still use by those and all above it, `limit_reached` names the one that holds it.

        `over_time` gives one row a report of usage instead, in their order.
        """
        if over_time:
            return self._fold(lambda folded: folded.spending_frame(full))
        return self._fold(lambda folded: folded.costs_frame(full))

    def limits(self, *names: str) -> pd.DataFrame:
        """One row a limit that is set, on these agents or on all; what counts for the run is `(run)`'s.

        `used` is what counts towards it: of the agent and of all below it. It is a lower
        bound where `exact` is false.
        """
        return self._fold(lambda folded: folded.limits_frame(names))

    def audit(
        self,
        *,
        since: str | datetime | timedelta | None = None,
        agent: str | None = None,
        kind: str | None = None,
        full: bool = False,
    ) -> pd.DataFrame:
        """One row an event, as the ledger has it.

        What is not said of every event stands in `fields`, as JSON.

        `since` is a time (UTC unless it says otherwise) or a span back from now, such as
        `"10min"`. `kind` is one kind (`"turn.ended"`) or a family (`"turn"`), and gives its fields
        columns of their own; `full` does so for all kinds. What a later version wrote stands
        in `rest`, as JSON. Raises `BadInput` when `since` is neither.
        """
        with self._lock:
            return self._audit.current().frame(since, agent, kind, full)

    def _fold(self, view: Callable[[Folded], pd.DataFrame]) -> pd.DataFrame:
        with self._lock:
            return view(self._folded.current())


class Runs:
    """The frames of every run that has a ledger in a directory. One that is over is read once."""

    def __init__(self, directory: Path, own: str, paths: Paths) -> None:
        """`own` is the run that is meant when none is named; `paths` gives its files."""
        self._directory, self._own = directory, own
        self._frames = {own: Frames(paths)}

    @property
    def own(self) -> Frames:
        return self._frames[self._own]

    def over(self, runs: str | Iterable[str], view: Callable[[Frames], pd.DataFrame]) -> pd.DataFrame:
        """`view` of several runs, oldest first, with the run's name as the index's first level.

        `runs` is `"all"`, a name, or names. Raises `BadInput` for a run that has no ledger here.
        """
        found = {run: view(self._of(run)) for run in self._named(runs)}
        if not found:
            found = {"": view(Frames(list))}
        return pd.concat(list(found.values()), keys=pd.Index(list(found), dtype=TEXT, name="run"))

    def _named(self, runs: str | Iterable[str]) -> list[str]:
        known = sorted({*runs_in(self._directory), self._own})
        asked = [runs] if isinstance(runs, str) else list(runs)
        for run in asked:
            if run not in known and run != "all":
                raise BadInput(f"no run {run!r}.{nearest(run, known)} The newest: {', '.join(known[-5:])}")
        return known if "all" in asked else [run for run in known if run in asked]

    def _of(self, run: str) -> Frames:
        if run not in self._frames:
            self._frames[run] = Frames(partial(run_files, self._directory, run))
        return self._frames[run]


def texts(found: Iterable[Mapping[str, object]], *columns: str) -> pd.DataFrame:
    """A small table of texts, indexed by the first column."""
    return frame(dict.fromkeys(columns, TEXT), found)


def harnesses(found: Iterable[Mapping[str, object]]) -> pd.DataFrame:
    """One row a harness, as `inventory` found them."""
    return frame(HARNESSES, found)


def phases(found: Iterable[Mapping[str, object]]) -> pd.DataFrame:
    """One row a share of a phase of a team, as `handles` tells them."""
    return frame(PHASES, found)


def processes(found: Iterable[Mapping[str, object]]) -> pd.DataFrame:
    """One row a process, as `offspring` found them."""
    return frame(PROCESSES, found)
