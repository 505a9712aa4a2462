"""The one append-only log: JSON Lines, one file a UTC day, one writer.

Each entry is handed to the operating system before anyone hears of it, so nothing
that was acknowledged is lost when this process is killed. A thread calls `fdatasync`
at most every 50 ms while there is something new; decisions are synced at once.

Files: `<directory>/audit/YYYY-MM-DD/<run>.jsonl`.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import glob
import logging
import mmap
import os
import shutil
import threading
import weakref
from collections.abc import Callable, Iterable, Iterator
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

from .errors import LedgerError, LedgerFull, LedgerInUse
from .events import AgentSpawned, AgentStopped, Entry, Event, RunClosed
from .keeping import is_kept
from .tree import Tree

Clock = Callable[[], datetime]
Listener = Callable[[Entry], None]

SYNC_SECONDS = 0.05
_NO_ROOM = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})
_NO_SYNC = frozenset({errno.EBADF, errno.EINVAL, errno.ENOSYS, errno.ENOTSUP})
"""The file was closed meanwhile, or its file system knows no sync: nothing to be done."""
_datasync: Callable[[int], None] = getattr(os, "fdatasync", os.fsync)  # macOS has only fsync

log = logging.getLogger(__name__)


def utc_now() -> datetime:
    return datetime.now(UTC)


class Ledger:
    """Appends events as entries and tells its listeners.

    Not thread-safe: it belongs to the loop of its manager. Only `Manager.record`
    appends.
    """

    def __init__(self, directory: Path, run: str, *, clock: Clock = utc_now) -> None:
        """Raises `LedgerInUse` when another process writes this run.

        A run that is opened again goes on counting where it ended.
        """
        self.directory, self.run, self._clock = Path(directory), run, clock
        self.seq = 0
        self.trouble: OSError | None = None
        """Why nothing can be written at the moment, else None."""
        self._fd = -1
        self._unwritten = b""
        self._tomorrow = datetime.min.replace(tzinfo=UTC)
        self._listeners: tuple[Listener, ...] = ()
        self._open_day(clock())
        _cut_torn_tail(self._fd)
        self.seq = _newest(self.paths) + 1
        self._syncer = _Syncer(self)
        _ledgers.add(self)

    @property
    def paths(self) -> list[Path]:
        """The files of this run, oldest day first."""
        return run_files(self.directory, self.run)

    def stamp(self, event: Event) -> Entry:
        """The entry that `event` would become now. Appends nothing."""
        return Entry(self.seq, self._clock(), event)

    def append(self, entry: Entry, line: bytes, *, decision: bool = False, refuse: bool = False) -> None:
        """Hand a stamped entry, serialised as `line`, to the operating system.

        A `decision` (spawn, terminate, budget, approval) is on the disk when this
        returns, or `trouble` says why not. When the disk is full, `refuse=True` raises
        `LedgerFull` and leaves no trace; otherwise (it has happened already) the line is
        kept in memory, `trouble` says why, and `retry` writes it when there is room.
        """
        if entry.ts >= self._tomorrow:
            self._turn_page(entry.ts)
        if self._unwritten or not self._write(line, refuse):
            if refuse:
                raise self._full()
            self._unwritten += line
        self.seq += 1
        if decision and not self._unwritten:
            self.sync()
        else:
            self._syncer.wake()

    def announce(self, entry: Entry) -> None:
        """Tell the listeners. A listener that raises is logged and stays."""
        for listener in self._listeners:
            try:
                listener(entry)
            except Exception:  # a broken view must not stop the agents
                log.exception("a ledger listener failed on %s", entry.event.kind)

    def listen(self, listener: Listener) -> Callable[[], None]:
        """Call `listener` with every new entry, on the manager's loop; returns the stop."""
        self._listeners = (*self._listeners, listener)

        def stop() -> None:
            self._listeners = tuple(each for each in self._listeners if each is not listener)

        return stop

    def retry(self) -> bool:
        """Write what a full disk held back. True when nothing is held back any more."""
        if self._unwritten and not self._write(self._unwritten, refuse=False):
            return False
        self._unwritten, self.trouble = b"", None
        return True

    def __iter__(self) -> Iterator[Entry]:
        """Every entry of this run so far, from its files."""
        return read(self.paths)

    def close(self) -> None:
        """Sync and release the file. Idempotent. What a full disk still holds back is lost, and said."""
        if self._fd < 0:
            return
        self._syncer.stop()
        try:
            if not self.retry():
                log.error("no room for the last %d bytes of run %s", len(self._unwritten), self.run)
            self.sync()
        finally:
            os.close(self._fd)
            self._fd = -1

    def sync(self) -> None:
        """`fdatasync` now; errors become `trouble`."""
        try:
            _datasync(self._fd)
        except OSError as exc:
            if exc.errno not in _NO_SYNC:
                self.trouble = exc

    def _turn_page(self, now: datetime) -> None:
        """Go on in the file of a new day; in the old one while there is no room for another."""
        try:
            self._open_day(now)
        except OSError as exc:
            if exc.errno not in _NO_ROOM:
                raise LedgerError(f"cannot begin a new day of run {self.run}: {exc}") from exc

    def _open_day(self, now: datetime) -> None:
        path = self.directory / "audit" / f"{now.astimezone(UTC):%Y-%m-%d}" / f"{self.run}.jsonl"
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        fd = _locked(path)
        if self._fd >= 0:
            self.sync()
            os.close(self._fd)
        self._fd = fd
        midnight = now.astimezone(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
        self._tomorrow = midnight + timedelta(days=1)

    def _write(self, data: bytes, refuse: bool) -> bool:
        """All of `data`, or False: then nothing of it stays in the file."""
        done = 0
        try:
            while done < len(data):
                done += os.write(self._fd, data[done:] if done else data)
        except OSError as exc:
            if done:
                os.ftruncate(self._fd, os.fstat(self._fd).st_size - done)
            if exc.errno not in _NO_ROOM:
                raise LedgerError(f"cannot write the ledger of run {self.run}: {exc}") from exc
            if not refuse:
                self.trouble = exc
            return False
        return True

    def _full(self) -> LedgerFull:
        return LedgerFull(
            f"no room for the ledger in {self.directory}: nothing was done. "
            "Free some space there; waiting agents go on by themselves"
        )


_ledgers: weakref.WeakSet[Ledger] = weakref.WeakSet()


def _let_go() -> None:
    """A fork of the kernel must not hold the lock when the kernel is gone."""
    for ledger in tuple(_ledgers):
        if ledger._fd >= 0:
            os.close(ledger._fd)
            ledger._fd = -1


os.register_at_fork(after_in_child=_let_go)


class _Syncer:
    """The thread that syncs a ledger at most every `SYNC_SECONDS` while it is dirty."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger
        self._dirty, self._stopped = threading.Event(), threading.Event()
        self._thread = threading.Thread(target=self._run, name="madrox-ledger", daemon=True)
        self._thread.start()

    def wake(self) -> None:
        if not self._dirty.is_set():
            self._dirty.set()

    def stop(self) -> None:
        self._stopped.set()
        self._dirty.set()
        self._thread.join(5)

    def _run(self) -> None:
        while self._dirty.wait() and not self._stopped.is_set():
            self._dirty.clear()
            self._ledger.sync()
            self._stopped.wait(SYNC_SECONDS)


def _locked(path: Path) -> int:
    """Open `path` for appending as its only writer. Raises `LedgerInUse`, or `LedgerError` without locks."""
    fd = os.open(path, os.O_CREAT | os.O_APPEND | os.O_RDWR | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as exc:
        os.close(fd)
        raise LedgerInUse(f"{path} is written by another process; give this run a name of its own") from exc
    except OSError as exc:
        os.close(fd)
        raise LedgerError(f"{path} can't be locked: {exc}. Keep it on another disk: MADROX_HOME") from exc
    return fd


# reading


def run_files(directory: Path, run: str) -> list[Path]:
    """The files of one run, oldest day first; none for a name that no run can have."""
    try:
        return sorted((Path(directory) / "audit").glob(f"*/{glob.escape(run)}.jsonl"))
    except ValueError:  # a zero byte, half a character
        return []
    except OSError as exc:
        if exc.errno != errno.ENAMETOOLONG:
            raise
        return []


def runs(directory: Path) -> list[str]:
    """The names of all runs that have a ledger there, newest first."""
    return sorted({path.stem for path in (Path(directory) / "audit").glob("*/*.jsonl")}, reverse=True)


def read(paths: Iterable[Path], only: Callable[[bytes], bool] = bool) -> Iterator[Entry]:
    """The entries in `paths`. A torn or foreign line is logged and skipped; nothing else is lost.

    A line that is not wanted (`only`) is not parsed, which is most of the work.
    """
    for path in paths:
        with path.open("rb") as lines:
            for number, line in enumerate(lines, 1):
                if not only(line):
                    continue
                try:
                    yield Entry.from_line(line)
                except ValueError as exc:
                    what = "is torn" if not line.endswith(b"\n") else f"is no entry ({exc})"
                    log.warning("%s: line %d %s; skipped", path, number, what)


def recover(directory: Path, *, clock: Clock = utc_now, days: int = 7) -> list[str]:
    """Close the runs whose kernel went away; returns their names.

    A torn last line is cut off. Whoever was alive is recorded as stopped, because the
    guard has ended it. Runs that another process still writes are left alone, and those
    whose agents are kept for the next kernel.
    """
    recovered = []
    for run in sorted({path.stem for path in _recent(directory, days)}):
        try:
            if not is_kept(directory, run) and _close_run(run_files(directory, run), clock):
                recovered.append(run)
        except LedgerInUse:
            continue
        except OSError as exc:
            log.warning("run %s can't be closed now: %s", run, exc)
    return recovered


def _recent(directory: Path, days: int) -> Iterator[Path]:
    for day in sorted((Path(directory) / "audit").glob("????-??-??"))[-days:]:
        yield from day.glob("*.jsonl")


def _ended(path: Path) -> bool:
    with path.open("rb") as file:
        file.seek(0, os.SEEK_END)
        file.seek(max(0, file.tell() - 4096))
        last = file.read().rstrip(b"\n").rpartition(b"\n")[2]
    return b'"kind":"run.closed"' in last


def _close_run(paths: list[Path], clock: Clock) -> bool:
    """Whether a run had to be closed. Raises `LedgerInUse` when it is alive."""
    if not paths or _ended(paths[-1]):
        return False
    with contextlib.ExitStack() as locks:
        # in this order: a writer that turns the page keeps the old file until it has the new one
        for path in paths:
            fd = _locked(path)
            locks.callback(os.close, fd)
        _cut_torn_tail(fd)
        _write_end(fd, paths, clock)
    return True


def _write_end(fd: int, paths: list[Path], clock: Clock) -> None:
    tree, seq = Tree.replay(read(paths, _begins_or_ends)), _newest(paths) + 1
    gone = [AgentStopped(agent=a.name, reason="kernel went away") for a in reversed(tree.alive())]
    for number, event in enumerate([*gone, RunClosed(reason="kernel went away")]):
        os.write(fd, Entry(seq + number, clock(), event).to_line())
    _datasync(fd)


def _begins_or_ends(line: bytes) -> bool:
    """Whether it may tell of a birth or an end: of a long run no more is read to know who is alive."""
    return AgentSpawned.kind.encode() in line or AgentStopped.kind.encode() in line


def _newest(paths: Iterable[Path]) -> int:
    """The number of the newest entry, -1 when there is none. A clock may have been set back by a day."""
    return max((entry.seq for path in paths if (entry := _last(path))), default=-1)


def _last(path: Path) -> Entry | None:
    """The last line of a file that is an entry. What comes before it is not read."""
    with path.open("rb") as file:
        end = file.seek(0, os.SEEK_END)
        if not end:
            return None
        with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as text:
            while end:
                begin = text.rfind(b"\n", 0, end - 1) + 1
                with contextlib.suppress(ValueError):
                    return Entry.from_line(text[begin:end])
                end = begin
    return None


def _cut_torn_tail(fd: int) -> None:
    size = keep = os.fstat(fd).st_size
    while keep:
        start = max(0, keep - 65536)
        newline = os.pread(fd, keep - start, start).rfind(b"\n")
        if newline >= 0:
            keep = start + newline + 1
            break
        keep = start
    if keep != size:
        log.warning("cut %d bytes of a torn last line", size - keep)
        os.ftruncate(fd, keep)


def expire(directory: Path, *, today: date, days: int) -> list[Path]:
    """Remove the ledgers and the runs' files that are older than `days`; returns what went.

    A run that is still written keeps everything, however old it is.
    """
    oldest = today - timedelta(days=days)
    gone = []
    for path in sorted((Path(directory) / "audit").glob("????-??-??/*.jsonl")):
        if path.parent.name < f"{oldest:%Y-%m-%d}" and not _in_use(directory, path.stem):
            path.unlink(missing_ok=True)  # another kernel may be doing the same
            with contextlib.suppress(OSError):  # not its last file
                path.parent.rmdir()
                gone.append(path.parent)
    for run in (Path(directory) / "runs").glob("????????T*"):
        # a run that went on for long keeps its agents' logs as long as a day of its ledger
        left = run_files(directory, run.name) or _in_use(directory, run.name)
        if run.name < f"{oldest:%Y%m%d}" and not left:
            shutil.rmtree(run, ignore_errors=True)
            gone.append(run)
    return gone


def _in_use(directory: Path, run: str) -> bool:
    """Whether a process still writes that run, or its agents are kept."""
    if is_kept(directory, run):
        return True
    files = run_files(directory, run)
    try:
        if files:
            os.close(_locked(files[-1]))
    except LedgerInUse:
        return True
    return False
