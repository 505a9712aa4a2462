"""A run as it is now, or as it was at an entry of its ledger: what every part looks at."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Protocol

from ..activity import Activity
from ..budget import Budget
from ..cost_history import CostHistory
from ..density import Density
from ..folds import Approvals, Costs, Inboxes
from ..library import Harnesses
from ..offspring import Offspring
from ..spans import Spans
from ..teamwork import TeamRuns
from ..tree import Tree
from .reading import Conversations
from .wire import WireLog

if TYPE_CHECKING:
    from ..doing import Doing

Watch = Callable[[int, int], None]
"""Hears how many of how many entries are read by now, again and again. What it raises ends the reading."""


def unwatched(read: int, of: int) -> None:
    """Nobody wants to know."""


class LookBack(Protocol):
    def __call__(self, seq: int, watch: Watch = unwatched) -> Moment: ...


@dataclass(frozen=True, slots=True)
class Moment:
    """The folds of one run at one time. Readable from any thread; nothing here waits or acts."""

    title: str
    now: datetime
    """The time (UTC) at which it is looked at: of the past, that of the entry."""
    tree: Tree
    inboxes: Inboxes
    costs: Costs
    cost_history: CostHistory
    approvals: Approvals
    budget: Budget
    activity: Activity
    teams: TeamRuns
    doing: Doing
    conversations: Conversations
    """What was said to and by each agent, read from the ledger when it is asked for."""
    wires: Callable[[str], WireLog]
    """What had come from each agent's program, read from its log when it is asked for."""
    processes: Callable[[str], Sequence[Offspring]]
    """The operating system's processes of one agent, looked for when it is asked: those of the present."""
    spans: Spans
    """Of the whole run, at any moment: a timeline shows what came later too."""
    density: Density
    """Of the whole run."""
    past: LookBack
    """The run as it was right after that entry of its ledger; the present when it has no such entry yet."""
    harnesses: Harnesses
    """What can be spawned here, and what each CLI can do. Of the present."""
    redacted: Callable[[str], str]
    """A text without the secrets in it: for what comes from a disk, and not from the ledger."""
    earlier: bool = False
    """Another run stands beside this one, whose agents may come back."""
