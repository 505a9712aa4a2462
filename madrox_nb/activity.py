"""What each agent does now, and what it has done in this life. Pure, a fold of the ledger.

It answers "what are you at?" without asking the agent: which tool with which argument,
since when, what it was asked, what it edited, what it said last. A name that is spawned
again begins afresh. What it keeps is bounded: texts are clipped, the newest turns stay.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final

import orjson

from .events import (
    AgentSpawned,
    AgentStopped,
    Entry,
    Event,
    Outcome,
    Signal,
    TextDelta,
    ToolCalled,
    ToolReturned,
    TurnEnded,
    TurnSaid,
    TurnStarted,
)
from .fold import Fold

CLIPPED: Final = 2000
"""Characters kept of a prompt and of an answer."""
TURNS: Final = 50
"""Turns remembered, the newest."""
FILES: Final = 500
"""Files remembered, the first."""
EDITING: Final = frozenset(
    {
        *("applypatch", "createfile", "delete", "edit", "filechange", "move", "multiedit", "notebookedit"),
        *("patch", "replace", "strreplace", "write", "writefile"),
    }
)
"""Tools that change a file they name, as the CLIs call them, without case and signs."""
_PATHS: Final = ("file_path", "notebook_path", "path", "filePath", "absolute_path", "filename")
"""Where a tool's arguments name a file."""


@dataclass(frozen=True, slots=True)
class Use:
    """One tool call."""

    tool: str
    input: str
    """The arguments, as JSON text."""
    began: datetime

    @property
    def argument(self) -> str:
        return argument(self.input)


@dataclass(frozen=True, slots=True)
class Deed:
    """One turn, as a summary tells it."""

    turn: str
    asker: str
    prompt: str
    began: datetime
    ended: datetime | None = None
    outcome: Outcome | None = None
    """None while it is under way, or when the agent ended in it."""
    answer: str = ""
    """Its last words; why it failed, when it did."""
    tools: int = 0


@dataclass(slots=True)
class Work:
    """What one agent has done since it was spawned, and does now."""

    born: datetime
    active: datetime
    """When it last did something."""
    last: int
    """The entry of that."""
    said: str = ""
    """The end of its last words."""
    deeds: deque[Deed] = field(default_factory=lambda: deque(maxlen=TURNS))
    """The newest turns, oldest first."""
    task: str = ""
    """What it was asked first."""
    turns: Counter[str] = field(default_factory=Counter)
    """Outcome → number of turns that ended so."""
    used: Counter[str] = field(default_factory=Counter)
    """Tool → calls in this life."""
    used_now: Counter[str] = field(default_factory=Counter)
    """Tool → calls in the turn under way, or in the last one."""
    running: dict[str, Use] = field(default_factory=dict)
    """Calls under way."""
    edited: dict[str, int] = field(default_factory=dict)
    """File → number of edits that succeeded, as the agent named it."""

    @property
    def now(self) -> Use | None:
        """The tool call that began last and is under way."""
        return next(reversed(self.running.values()), None)

    @property
    def deed(self) -> Deed | None:
        """The turn under way, or the last one."""
        return self.deeds[-1] if self.deeds else None


class Activity(Fold):
    """agent → `Work`."""

    def __init__(self) -> None:
        self.work: dict[str, Work] = {}
        self.speaking: dict[str, str] = {}
        """The end of what is being said and is no event yet. Not of the ledger: see `hear`."""

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Activity) and self.work == other.work

    def __getitem__(self, name: str) -> Work:
        return self.work[name]

    def take(self, entry: Entry) -> None:
        event = entry.event
        if type(event) is AgentSpawned:
            self.work[event.agent] = Work(entry.ts, entry.ts, entry.seq)
            return
        if (work := self.work.get(event.agent)) is not None:
            work.active, work.last = entry.ts, entry.seq
            _FOLDS[type(event)](work, entry, event)
        if self.speaking:
            self.speaking.pop(event.agent, None)

    def hear(self, signal: Signal) -> None:
        """A piece of what will be said as a whole. A watcher of the manager's."""
        if isinstance(signal, TextDelta):
            self.speaking[signal.agent] = _end(self.speaking.get(signal.agent, "") + signal.text)


def _said(work: Work, entry: Entry, event: TurnSaid) -> None:
    work.said = _end(event.text)


def _called(work: Work, entry: Entry, event: ToolCalled) -> None:
    work.running[event.call] = Use(event.tool, event.input, entry.ts)
    work.used[event.tool] += 1
    work.used_now[event.tool] += 1


def _returned(work: Work, entry: Entry, event: ToolReturned) -> None:
    if (use := work.running.pop(event.call, None)) is not None and event.ok:
        _edited(work, use)


def _started(work: Work, entry: Entry, event: TurnStarted) -> None:
    work.task = work.task or event.text[:CLIPPED]
    work.deeds.append(Deed(event.turn, event.sender, event.text[:CLIPPED], entry.ts))
    if work.used_now:
        work.used_now = Counter()


def _ended(work: Work, entry: Entry, event: TurnEnded) -> None:
    if work.running:
        work.running.clear()
    work.turns[event.outcome] += 1
    if event.text:
        work.said = _end(event.text)
    if work.deeds:
        was = work.deeds[-1]
        answer = _end(event.text if event.outcome == "ok" else event.error)
        calls = sum(work.used_now.values())
        work.deeds[-1] = Deed(
            was.turn, was.asker, was.prompt, was.began, entry.ts, event.outcome, answer, calls
        )


def _gone(work: Work, entry: Entry, event: AgentStopped) -> None:
    work.running.clear()


_FOLDS: Final[Mapping[type[Event], Callable[[Work, Entry, Any], None]]] = {
    TurnSaid: _said,
    ToolCalled: _called,
    ToolReturned: _returned,
    TurnStarted: _started,
    TurnEnded: _ended,
    AgentStopped: _gone,
}
"""A table instead of a `match`: it is asked for every event of a run."""
Activity.HEARS = frozenset({AgentSpawned, *_FOLDS})


def _end(text: str) -> str:
    return text if len(text) <= CLIPPED else text[-CLIPPED:]


def _edited(work: Work, use: Use) -> None:
    if not edits(use.tool):
        return
    for path in paths(use.input):
        if path in work.edited or len(work.edited) < FILES:
            work.edited[path] = work.edited.get(path, 0) + 1


def edits(tool: str) -> bool:
    """Whether a tool of that name changes the file that it names."""
    return "".join(filter(str.isalnum, tool)).lower() in EDITING


def argument(given: str) -> str:
    """The first argument of a tool call, which says most."""
    first = next(iter(_object(given).values()), "")
    return first if isinstance(first, str) else orjson.dumps(first).decode()


def paths(given: str) -> list[str]:
    """The files that a tool's arguments name: one of its own, or those of a patch."""
    found = _object(given)
    named = [found[key] for key in _PATHS if isinstance(found.get(key), str)][:1]
    changes = found.get("changes")
    if isinstance(changes, Mapping):
        return [*named, *changes]
    if isinstance(changes, list):
        return [*named, *(c["path"] for c in changes if isinstance(c, Mapping) and "path" in c)]
    return named


def _object(given: str) -> Mapping[str, Any]:
    try:
        found = orjson.loads(given)
    except orjson.JSONDecodeError:
        return {}
    return found if isinstance(found, dict) else {}
