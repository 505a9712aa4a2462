"""Each agent's logs on the disk, below its run's directory, and what they say of runs of any day.

    runs/<run>/<agent>/instance.log         5 MB, and three older ones: instance.log.1 to .3
                       communication.jsonl  every prompt and answer, whole
                       metadata.json
                       tmux_output.log      a link to wire.log: what came from the program, raw
    audit/<day>/<run>.jsonl                 the ledger, which is the daily audit trail

A thread writes them, behind everything else: it is handed entries that are in the ledger
already, and what keeps it from writing (a full disk) is nobody's trouble but its own.
When it is behind it makes the files anew from the ledger, which `rebuild` does at any time.
"""

from __future__ import annotations

import logging
import os
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from datetime import UTC, date, datetime
from functools import partial
from heapq import merge
from itertools import pairwise
from pathlib import Path
from time import monotonic
from typing import Final

import orjson

from .errors import BadInput, nearest
from .events import KINDS, AgentSpawned, Entry
from .ledger import Ledger, read, run_files
from .logbook import CHATTER, EVENTS, QUIET, Logbook, Row, as_line, line

LIFE, TALK, RAW, FACTS = "instance.log", "communication.jsonl", "tmux_output.log", "metadata.json"
WIRE: Final = "wire.log"
"""Every byte of a program's output, which `RAW` is a link to."""
LARGEST: Final = 5_000_000
"""Bytes of an `instance.log`."""
OLDER: Final = 3
"""Older ones that are kept."""
PAUSE: Final = 0.2
"""Seconds in which entries come together before they are written."""
BUSY: Final = 200
"""Entries in a `PAUSE` while which agents are left the processor, and …"""
LATEST: Final = 5.0
"""… the seconds after which they are written all the same."""
RETRY: Final = 2.0
"""Seconds after which a disk is tried again."""
AT_ONCE: Final = 500_000
"""Bytes of lines that come together before they are written."""
MOST_WAITING: Final = 200_000
"""Entries that wait for a slow disk; then they are read from the ledger instead."""
LAST_SECONDS: Final = 5.0
"""For what is left to write when a run ends."""

_COUNTED: Final = frozenset({"turn.started", "usage.reported", "turn.steered"})
"""Of `CHATTER`, what has to be known to tell of exchanges and ends."""

log = logging.getLogger(__name__)


def directory_of(logs: Path, run: str, name: str) -> Path:
    """Where the files of an agent are; `name` is that of its workspace's directory."""
    return logs / "runs" / run / name


class Logs:
    """Writes the agents' logs of one run. `heard` is a listener of its ledger."""

    def __init__(self, ledger: Ledger, *, ended: Iterable[str] = (), behind: bool = False) -> None:
        """`ended` are runs that were closed just now, whose logs lack their end; `behind`, that files
        of this run may be there."""
        self._ledger, self._ended = ledger, tuple(ended)
        self._waiting: deque[Entry] = deque()
        self._behind = behind
        """Entries are in the ledger that neither wait here nor are in the files."""
        self._told = False
        self._files = _Files(ledger.directory, ledger.run)
        self._something, self._stopped = threading.Event(), threading.Event()
        self._thread = threading.Thread(target=self._run, name="madrox-logs", daemon=True)
        self._thread.start()

    def heard(self, entry: Entry) -> None:
        """Called on the manager's loop with every entry: it must cost next to nothing."""
        if type(entry.event) in QUIET or self._behind:
            return
        self._waiting.append(entry)
        if not self._something.is_set():
            self._something.set()
        if len(self._waiting) > MOST_WAITING:
            self._behind = True

    def close(self) -> None:
        """Write what is left. Call it when nothing is recorded any more. Idempotent."""
        self._stopped.set()
        self._something.set()
        self._thread.join(LAST_SECONDS)

    def _run(self) -> None:
        for run in self._ended:
            self._attempt(partial(rebuild, self._ledger.directory, run))
        if self._behind:
            self._something.set()
        while self._something.wait():
            last = self._stopped.wait(RETRY) if self._told else self._quiet()
            self._something.clear()
            self._told = not self._attempt(self._write)
            if last:
                return
            if self._told:
                self._something.set()

    def _quiet(self) -> bool:
        """Wait for a pause in what is recorded, but not for long. True when this is the last time."""
        until = monotonic() + LATEST
        while True:
            before = len(self._waiting)
            if self._stopped.wait(PAUSE):
                return True
            if len(self._waiting) - before < BUSY or monotonic() > until:
                return False

    def _attempt(self, write: Callable[[], None]) -> bool:
        try:
            write()
        except OSError as exc:
            self._behind = True
            if not self._told:
                log.warning("agents' logs can't be written now: %s; the ledger has it all", exc)
            return False
        except Exception:  # a bug of ours must not stop the logs of everybody else, nor print into a cell
            self._behind = True
            if not self._told:
                log.exception("agents' logs could not be written; the ledger has it all")
            return False
        return True

    def _write(self) -> None:
        if self._behind:
            self._catch_up()
        waiting = (self._waiting.popleft() for _ in range(len(self._waiting)))
        self._files.write(waiting)

    def _catch_up(self) -> None:
        """Make the files anew from the ledger; what is recorded meanwhile waits."""
        if self._ledger.trouble is not None:
            raise OSError("the ledger has no room either")
        self._waiting.clear()
        self._behind = False
        self._files = _Files(self._ledger.directory, self._ledger.run)
        self._files.rebuild()


class _Files:
    """The files of one run, as far as they are written."""

    def __init__(self, logs: Path, run: str) -> None:
        self._logs, self._run = logs, run
        self._book = Logbook()
        self._next = 0
        """The entries before this one are written."""
        self._places: dict[str, Path] = {}

    def rebuild(self) -> None:
        """Make all of them from the ledger."""
        for path in (self._logs / "runs" / self._run).glob(f"*/{LIFE}*"):
            path.unlink(missing_ok=True)
        for path in (self._logs / "runs" / self._run).glob(f"*/{TALK}"):
            path.unlink(missing_ok=True)
        self.write(read(run_files(self._logs, self._run)))

    def write(self, entries: Iterable[Entry]) -> None:
        """Take entries in, in order, and write what they are. Raises `OSError`: then `rebuild`."""
        lines: dict[tuple[str, str], list[bytes]] = {}
        changed: set[str] = set()
        size = 0
        for entry in entries:
            if entry.seq < self._next:
                continue
            self._next = entry.seq + 1
            for agent, file, text in self._told(entry):
                lines.setdefault((self._book.directory(agent), file), []).append(text)
                changed.add(agent)
                size += len(text)
            if size > AT_ONCE:
                self._append(lines)
                lines, size = {}, 0
        self._append(lines)
        for agent in changed:
            place = self._place(self._book.directory(agent))
            _put(place / FACTS, _metadata(self._book, agent, place))

    def _told(self, entry: Entry) -> Iterator[tuple[str, str, bytes]]:
        """(agent, file, line) of all that an entry is."""
        talked = self._book.apply(entry)
        agent = entry.event.agent
        if self._book.directory(agent) and (text := line(entry)):
            yield agent, LIFE, text
        if talked is not None:
            yield talked[0], TALK, as_line(talked[1])

    def _append(self, lines: dict[tuple[str, str], list[bytes]]) -> None:
        for (name, file), told in lines.items():
            place = self._place(name)
            if file == LIFE:
                _append_turning(place / file, told)
            else:
                _append(place / file, b"".join(told))

    def _place(self, name: str) -> Path:
        """The directory of an agent's logs, made when needed."""
        if name not in self._places:
            place = directory_of(self._logs, self._run, name)
            place.mkdir(parents=True, exist_ok=True, mode=0o700)
            with suppress(FileExistsError):
                (place / RAW).symlink_to(WIRE)
            self._places[name] = place
        return self._places[name]


def rebuild(logs: Path, run: str) -> None:
    """Make the agents' logs of a run anew from its ledger. Not for a run that this process writes."""
    _Files(logs, run).rebuild()


def _metadata(book: Logbook, agent: str, place: Path) -> bytes:
    facts = {**book.metadata(agent), "log_directory": str(place)}
    return orjson.dumps(facts, option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE)


def _append(path: Path, data: bytes) -> int:
    """Write at the end, 0600; returns the size. Raises `OSError`, also for what is only half written."""
    fd = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    try:
        done = 0
        while done < len(data):
            done += os.write(fd, data[done:])
        return os.fstat(fd).st_size
    finally:
        os.close(fd)


def _append_turning(path: Path, lines: list[bytes]) -> None:
    """Append lines; a file that would grow beyond `LARGEST` becomes the first of the older ones."""
    size = path.stat().st_size if path.exists() else 0
    batch: list[bytes] = []
    for text in lines:
        if size and size + len(text) > LARGEST:
            _append(path, b"".join(batch))
            _turn(path)
            batch, size = [], 0
        batch.append(text)
        size += len(text)
    _append(path, b"".join(batch))


def _turn(path: Path) -> None:
    older = [path, *(path.with_name(f"{path.name}.{number}") for number in range(1, OLDER + 1))]
    for newer, place in reversed(list(pairwise(older))):
        if newer.exists():
            newer.replace(place)


def _put(path: Path, data: bytes) -> None:
    """Write a file so that everybody reads the old or the new one whole."""
    draft = path.with_name(f".{path.name}")
    draft.unlink(missing_ok=True)
    _append(draft, data)
    draft.replace(path)


# reading, from the ledger


def communication(logs: Path, run: str, agent: str) -> list[Row]:
    """Every row of the agent's `communication.jsonl`, oldest first. Takes as long as its ledger is."""
    book = Logbook()
    told = (book.apply(entry) for entry in _entries(logs, run, agent))
    return [row for talked in told if talked is not None and talked[0] == agent for row in [talked[1]]]


def life(logs: Path, run: str, agent: str) -> list[str]:
    """Every line of the agent's `instance.log`, also those that the file has lost by its size."""
    told = (line(entry) for entry in _entries(logs, run, agent) if entry.event.agent == agent)
    return [text.decode().rstrip("\n") for text in told if text]


def metadata(logs: Path, run: str, agent: str) -> Row:
    """What its `metadata.json` says; empty when it was never spawned in that run."""
    book = Logbook()
    for entry in _entries(logs, run, agent):
        book.apply(entry)
    if not (name := book.directory(agent)):
        return {}
    return {**book.metadata(agent), "log_directory": str(directory_of(logs, run, name))}


def _entries(logs: Path, run: str, agent: str) -> Iterator[Entry]:
    """What an agent's logs are made of: what happened to it, and what it wrote."""
    name = orjson.dumps(agent)
    marks = (b'"agent":' + name, b'"sender":' + name)
    dull = tuple(_mark(kind.kind) for kind in QUIET)

    def tells(text: bytes) -> bool:
        return any(mark in text for mark in marks) and not any(mark in text for mark in dull)

    return read(run_files(logs, run), tells)


def _mark(kind: str) -> bytes:
    """What stands in each line of that kind, and can stand in no text: its quotes would be escaped."""
    return b'"kind":"%s"' % kind.encode()


def kinds_of(wanted: str) -> frozenset[str]:
    """The kinds that `wanted` means: the seed's word, or ours. Raises `BadInput` with the nearest."""
    said = {EVENTS.get(kind, kind.replace(".", "_")): kind for kind in KINDS}
    said["instance_resumed"] = "agent.ready"
    known = {**said, **{kind: kind for kind in KINDS}}
    if wanted not in known:
        raise BadInput(
            f"kind={wanted!r} is no event.{nearest(wanted, known)} Known: {', '.join(sorted(said))}"
        )
    return frozenset({known[wanted]})


def trail(
    logs: Path,
    *,
    since: datetime | None = None,
    until: datetime | None = None,
    kind: str = "",
    agents: frozenset[str] | None = None,
    run: str = "",
    limit: int = 100,
) -> list[Row]:
    """The newest `limit` rows of the audit trail that fit, in the order of their time.

    `agents` are those whose rows may be told, None for everybody's and the runs' own.
    Raises `BadInput` for an unknown kind. Reads whole days, the newest first, until it has enough.
    """
    wanted = kinds_of(kind) if kind else frozenset(KINDS) - CHATTER
    found: list[Row] = []
    first, last = (f"{time.astimezone(UTC):%Y-%m-%d}" if time else "" for time in (since, until))
    for day in sorted(_days(logs), reverse=True):
        if day < first or len(found) >= limit:
            break
        if last and day > last:
            continue
        files = [f for f in sorted((logs / "audit" / day).glob("*.jsonl")) if run in ("", f.stem)]
        rows = merge(
            *(_rows(logs, file, wanted, agents, since, until) for file in files),
            key=lambda row: (row["timestamp"], row["run"], row["seq"]),
        )
        fits = (row for row in rows if kind != "instance_resumed" or row["event"] == kind)
        found = [*deque(fits, maxlen=limit - len(found)), *found]
    return found


def _rows(
    logs: Path,
    file: Path,
    wanted: frozenset[str],
    agents: frozenset[str] | None,
    since: datetime | None,
    until: datetime | None,
) -> Iterator[Row]:
    """The rows of one day of one run. What a turn or a life was before that day is read first."""
    book, run = Logbook(), file.stem
    dull = tuple(_mark(kind) for kind in CHATTER - _COUNTED - wanted)

    def tells(text: bytes) -> bool:
        return not any(mark in text for mark in dull)

    earlier = (each for each in run_files(logs, run) if each.parent.name < file.parent.name)
    for entry in read(earlier, tells):
        book.apply(entry)
    for entry in read([file], tells):
        book.apply(entry)
        inside = (since is None or entry.ts >= since) and (until is None or entry.ts <= until)
        if inside and entry.event.kind in wanted and (agents is None or entry.event.agent in agents):
            yield book.trail(entry, run)


def _days(logs: Path) -> list[str]:
    found = []
    for path in (logs / "audit").glob("????-??-??"):
        with suppress(ValueError):
            found.append(date.fromisoformat(path.name).isoformat())
    return found


def logged(logs: Path, *, day: str = "", limit: int = 200) -> list[Row]:
    """Every agent that has a ledger, of any run, the newest `limit`; in the order of their birth."""
    found: deque[Row] = deque(maxlen=limit)
    for file in sorted((logs / "audit").glob(f"{day or '????-??-??'}/*.jsonl")):
        for entry in _births(file):
            event = entry.event
            assert isinstance(event, AgentSpawned)
            book = Logbook()
            book.apply(entry)
            facts = book.metadata(event.agent)
            place = directory_of(logs, file.stem, facts["log_directory"])
            found.append({**facts, "day": file.parent.name, "run": file.stem, "log_directory": str(place)})
    return list(found)


def _births(file: Path) -> Iterator[Entry]:
    """The births in one file; the other lines are not even parsed."""
    with file.open("rb") as lines:
        for text in lines:
            if b'"kind":"agent.spawned"' in text:
                with suppress(ValueError):
                    entry = Entry.from_line(text)
                    if isinstance(entry.event, AgentSpawned):
                        yield entry
