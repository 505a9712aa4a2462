"""Nothing that was acknowledged is lost: not to a kill, a full disk, a torn line, midnight."""

import contextlib
import errno
import logging
import os
import select
import signal
import subprocess
import sys
import threading
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import pytest

from madrox_nb import ledger as module
from madrox_nb.errors import LedgerError, LedgerFull, LedgerInUse
from madrox_nb.events import (
    AgentReady,
    AgentSpawned,
    AgentStopped,
    Entry,
    RunClosed,
    RunOpened,
    TurnSaid,
    TurnStarted,
)
from madrox_nb.ledger import Ledger, expire, read, recover, run_files
from madrox_nb.tree import Tree

NOON = datetime(2026, 7, 25, 12, tzinfo=UTC)
linux = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="needs /dev/full")


class Clock:
    def __init__(self, now=NOON):
        self.now = now

    def __call__(self):
        return self.now


def said(text="x"):
    return TurnSaid(agent="lead", turn="lead.t1", text=text)


def write(ledger, event, **how):
    """What `Manager.record` does, without its tree."""
    entry = ledger.stamp(event)
    ledger.append(entry, entry.to_line(), **how)
    return entry


def born(name, parent=None):
    return AgentSpawned(agent=name, harness="rehearsal", role="general", parent=parent)


def texts(entries):
    return [entry.event.text for entry in entries]


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def ledger(tmp_path, clock):
    with contextlib.closing(Ledger(tmp_path, "r1", clock=clock)) as opened:
        yield opened


def open_files():
    return len(list(Path("/dev/fd").iterdir()))


# appending


def test_what_was_appended_can_be_read_at_once(ledger, tmp_path):
    written = [write(ledger, said(text)) for text in "abc"]

    assert written == list(ledger)
    assert [0, 1, 2] == [entry.seq for entry in ledger]
    assert [tmp_path / "audit" / "2026-07-25" / "r1.jsonl"] == ledger.paths


def test_stamping_appends_nothing(ledger):
    assert ledger.stamp(said()) == ledger.stamp(said())
    assert [] == list(ledger)


def test_the_file_is_its_owners_alone(ledger):
    [path] = ledger.paths

    assert 0o600 == path.stat().st_mode & 0o777
    assert 0o700 == path.parent.stat().st_mode & 0o777


def test_a_decision_is_synced_before_append_returns(ledger, monkeypatch):
    synced = []
    monkeypatch.setattr(module, "_datasync", lambda fd: synced.append(threading.current_thread()))

    write(ledger, born("lead"), decision=True)

    assert threading.current_thread() in synced


def test_everything_else_is_synced_by_a_thread_soon(ledger, monkeypatch):
    synced, by = threading.Event(), []

    def sync(fd):
        by.append(threading.current_thread().name)
        synced.set()

    monkeypatch.setattr(module, "_datasync", sync)
    write(ledger, said())

    assert synced.wait(60)
    assert ["madrox-ledger"] == by[:1]


def test_a_file_system_without_sync_is_no_trouble(ledger, monkeypatch):
    def refuse(fd):
        raise OSError(errno.EINVAL, "no sync here")

    monkeypatch.setattr(module, "_datasync", refuse)
    write(ledger, born("lead"), decision=True)

    assert ledger.trouble is None


def test_a_disk_that_cannot_sync_is_trouble_but_no_loss(ledger, monkeypatch):
    def break_down(fd):
        raise OSError(errno.EIO, "broken")

    monkeypatch.setattr(module, "_datasync", break_down)
    write(ledger, born("lead"), decision=True)

    assert errno.EIO == ledger.trouble.errno
    assert 1 == ledger.seq == len(list(ledger))


def test_closing_twice_is_closing_once(tmp_path, clock):
    ledger = Ledger(tmp_path, "r1", clock=clock)
    write(ledger, said())
    ledger.close()
    ledger.close()

    assert 1 == len(list(ledger))
    with pytest.raises(LedgerError):
        write(ledger, said())


def test_no_thread_and_no_file_stays_behind(tmp_path, clock):
    def mine():
        return [thread for thread in threading.enumerate() if thread.name == "madrox-ledger"]

    before, files = len(mine()), open_files()
    Ledger(tmp_path, "r1", clock=clock).close()

    assert (before, files) == (len(mine()), open_files())


def test_a_run_that_is_opened_again_goes_on_counting(tmp_path, clock):
    for text in "abc":
        with contextlib.closing(Ledger(tmp_path, "r1", clock=clock)) as ledger:
            write(ledger, said(text))

    assert [(0, "a"), (1, "b"), (2, "c")] == [(e.seq, e.event.text) for e in ledger]


def test_a_run_that_is_opened_again_writes_nothing_behind_a_torn_line(tmp_path, clock):
    with contextlib.closing(Ledger(tmp_path, "r1", clock=clock)) as ledger:
        write(ledger, said("whole"))
    with ledger.paths[0].open("ab") as file:
        file.write(b'{"v":1,"seq":1,"ts"')

    with contextlib.closing(Ledger(tmp_path, "r1", clock=clock)) as ledger:
        write(ledger, said("next"))

    assert ["whole", "next"] == texts(ledger)


# listening


def test_listeners_hear_every_entry_until_they_stop(ledger):
    heard = []
    stop = ledger.listen(heard.append)
    first = write(ledger, said("a"))
    ledger.announce(first)
    stop()
    stop()
    ledger.announce(write(ledger, said("b")))

    assert [first] == heard


def test_a_listener_that_raises_is_logged_and_stays_and_the_others_hear_too(ledger, caplog):
    heard = []

    def clumsy(entry):
        raise RuntimeError("my view is broken")

    ledger.listen(clumsy)
    ledger.listen(heard.append)
    for text in "ab":
        ledger.announce(write(ledger, said(text)))

    assert ["a", "b"] == texts(heard)
    assert 2 == caplog.text.count("a ledger listener failed on turn.said")


def test_a_listener_may_stop_itself_while_it_hears(ledger):
    heard = []

    def once(entry):
        heard.append(entry)
        stop()

    stop = ledger.listen(once)
    for text in "ab":
        ledger.announce(write(ledger, said(text)))

    assert ["a"] == texts(heard)


# midnight


def test_a_new_utc_day_begins_a_new_file(ledger, clock, tmp_path):
    clock.now = datetime(2026, 7, 25, 23, 59, 59, 999_999, tzinfo=UTC)
    write(ledger, said("late"))
    clock.now = datetime(2026, 7, 26, tzinfo=UTC)
    write(ledger, said("early"))

    one, two = ledger.paths
    assert ("2026-07-25", "2026-07-26") == (one.parent.name, two.parent.name)
    assert (["late"], ["early"]) == (texts(read([one])), texts(read([two])))
    assert [0, 1] == [entry.seq for entry in ledger]


def test_the_day_is_the_days_of_utc_wherever_the_clock_hangs(tmp_path):
    east = datetime.fromisoformat("2026-07-26T01:00:00+09:00")
    with contextlib.closing(Ledger(tmp_path, "r1", clock=Clock(east))) as ledger:
        write(ledger, said())

    assert "2026-07-25" == ledger.paths[0].parent.name


def test_a_clock_that_goes_back_stays_in_the_file(ledger, clock):
    clock.now = NOON - timedelta(days=2)
    write(ledger, said())

    assert 1 == len(ledger.paths)


def test_days_without_a_word_leave_no_file(ledger, clock):
    for days in (0, 3):
        clock.now = NOON + timedelta(days=days)
        write(ledger, said())

    assert ["2026-07-25", "2026-07-28"] == [path.parent.name for path in ledger.paths]


def test_no_room_for_a_new_day_keeps_the_old_file(ledger, clock, monkeypatch):
    def no_room(path):
        raise OSError(errno.ENOSPC, "no room")

    clock.now = NOON + timedelta(days=1)
    with monkeypatch.context() as full:
        full.setattr(module, "_locked", no_room)
        write(ledger, said("old file"), refuse=True)
    write(ledger, said("new file"))

    assert [["old file"], ["new file"]] == [texts(read([path])) for path in ledger.paths]


# a full disk


@contextlib.contextmanager
def full_disk(ledger):
    """The ledger's file has no room while this lasts."""
    kept, full = os.dup(ledger._fd), os.open("/dev/full", os.O_WRONLY)
    os.dup2(full, ledger._fd)
    try:
        yield
    finally:
        if ledger._fd >= 0:
            os.dup2(kept, ledger._fd)
        os.close(kept)
        os.close(full)


@linux
def test_a_full_disk_refuses_what_a_verb_would_do_and_leaves_no_trace(ledger):
    write(ledger, said("before"))
    with full_disk(ledger):
        with pytest.raises(LedgerFull, match="nothing was done"):
            write(ledger, born("kid"), refuse=True, decision=True)
        assert 1 == ledger.seq
        assert ledger.trouble is None
    write(ledger, said("after"), refuse=True)

    assert [(0, "before"), (1, "after")] == [(e.seq, e.event.text) for e in ledger]


@linux
def test_a_full_disk_keeps_what_agents_did_until_there_is_room(ledger):
    with full_disk(ledger):
        for text in "abc":
            write(ledger, said(text))
        assert errno.ENOSPC == ledger.trouble.errno
        assert not ledger.retry()
        assert [] == list(ledger)

    assert ledger.retry()
    assert ledger.trouble is None
    write(ledger, said("d"))
    assert list("abcd") == texts(ledger)
    assert [0, 1, 2, 3] == [entry.seq for entry in ledger]


@linux
def test_while_something_is_held_back_nothing_overtakes_it(ledger):
    with full_disk(ledger):
        write(ledger, said("held"))
    with pytest.raises(LedgerFull):
        write(ledger, born("kid"), refuse=True)
    write(ledger, said("behind"))

    assert [] == list(ledger)
    ledger.close()
    assert ["held", "behind"] == texts(ledger)


@linux
def test_what_finds_no_room_in_the_end_is_said(ledger, caplog):
    with full_disk(ledger):
        write(ledger, said())
        ledger.close()
    assert "no room for the last" in caplog.text


def test_half_a_line_is_taken_back(ledger, monkeypatch):
    """A disk that fills up in the middle of a line: the system writes a part, then refuses."""
    write(ledger, said("whole"))
    real, room = os.write, [10]

    def little_room(fd, data):
        if fd != ledger._fd:
            return real(fd, data)
        if not room[0]:
            raise OSError(errno.ENOSPC, "no room")
        part, room[0] = data[: room[0]], 0
        return real(fd, part)

    with monkeypatch.context() as full:
        full.setattr(os, "write", little_room)
        write(ledger, said("held"))
        assert ["whole"] == texts(ledger)
    assert b"\n" == ledger.paths[0].read_bytes()[-1:]
    assert ledger.retry()

    assert ["whole", "held"] == texts(ledger)


@pytest.mark.parametrize("written", [0, 10])
def test_a_broken_disk_raises_and_leaves_whole_lines(ledger, monkeypatch, written):
    write(ledger, said("whole"))
    real, parts = os.write, iter([written] if written else [])

    def broken(fd, data):
        if (part := next(parts, None)) is None:
            raise OSError(errno.EIO, "broken")
        return real(fd, data[:part])

    with monkeypatch.context() as broken_disk:
        broken_disk.setattr(os, "write", broken)
        with pytest.raises(LedgerError, match="broken"):
            write(ledger, said("lost"))
    write(ledger, said("next"))

    assert ["whole", "next"] == texts(ledger)
    assert [0, 1] == [entry.seq for entry in ledger]


# reading what others left


@pytest.mark.parametrize("name", ["\0", "\ud800", "x" * 300, "r?"])
def test_a_name_that_no_run_can_have_has_no_files(ledger, tmp_path, name):
    assert [] == run_files(tmp_path, name)


def test_a_torn_line_is_reported_and_skipped_and_all_before_it_is_kept(ledger, caplog):
    for text in "abc":
        write(ledger, said(text))
    [path] = ledger.paths
    path.write_bytes(path.read_bytes()[:-20])

    assert ["a", "b"] == texts(ledger)
    assert "line 3 is torn; skipped" in caplog.text


def test_every_way_to_tear_a_line_loses_that_line_alone(tmp_path, caplog):
    caplog.set_level(logging.CRITICAL)
    lines = [Entry(seq, NOON, said(text)).to_line() for seq, text in enumerate(["a", "é\\n{}"])]
    path = tmp_path / "r1.jsonl"
    for cut in range(len(lines[1]) - 1):
        path.write_bytes(lines[0] + lines[1][:cut])
        assert ["a"] == texts(read([path]))


@pytest.mark.parametrize("foreign", [b"hello\n", b"[]\n", b"\n", b"\xff\xfe\x00\n", b'{"v":1}\n'])
def test_a_foreign_line_is_reported_and_skipped_and_nothing_else_is_lost(ledger, foreign, caplog):
    write(ledger, said("a"))
    [path] = ledger.paths
    with path.open("ab") as file:
        file.write(foreign)
    write(ledger, said("b"))

    assert ["a", "b"] == texts(ledger)
    assert "line 2 is no entry" in caplog.text


# other processes

WRITER = """
import os, sys
from pathlib import Path
from madrox_nb.events import TurnSaid
from madrox_nb.ledger import Ledger

directory = Path(sys.argv[1])
for run in sys.stdin:
    if (child := os.fork()) == 0:
        ledger = Ledger(directory, run.strip())
        while True:
            entry = ledger.stamp(TurnSaid(agent="lead", turn="lead.t1", text="x" * 200))
            ledger.append(entry, entry.to_line(), decision=entry.seq % 50 == 0)
            os.write(1, f"{os.getpid()} {entry.seq}\\n".encode())
    os.waitpid(child, 0)
    os.write(1, b"gone\\n")
"""


@contextlib.contextmanager
def writers(directory):
    """A process that starts one writer for each run that it is told, and says what was acknowledged."""
    starter = subprocess.Popen(
        [sys.executable, "-c", WRITER, directory], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    with starter:
        try:
            yield starter
        finally:
            starter.kill()


def next_line(process, seconds=20):
    ready, _, _ = select.select([process.stdout], [], [], seconds)
    assert ready, "the writer says nothing"
    return process.stdout.readline().strip()


def acknowledged(process, run, lines):
    """What a writer of `run` had acknowledged when it was killed after `lines` lines."""
    print(run, file=process.stdin, flush=True)
    for _ in range(lines):
        pid, seq = map(int, process.stdout.readline().split())
    os.kill(pid, signal.SIGKILL)
    while (line := process.stdout.readline().strip()) != "gone":
        seq = int(line.split()[1])
    return seq


def test_kill_9_of_a_writer_loses_nothing_that_was_acknowledged(tmp_path, caplog):
    caplog.set_level(logging.CRITICAL)
    with writers(tmp_path) as process:
        for trial in range(25):
            last = acknowledged(process, f"run{trial}", lines=1 + 13 * trial)
            kept = [entry.seq for entry in read(run_files(tmp_path, f"run{trial}"))]

            assert list(range(len(kept))) == kept
            assert last < len(kept)


HOLDER = """
import os, sys
from pathlib import Path
from madrox_nb.events import AgentReady, AgentSpawned, RunOpened, TurnStarted
from madrox_nb.ledger import Ledger

ledger = Ledger(Path(sys.argv[1]), "r1")
for event in (
    RunOpened(run="r1", madrox="0.1", pid=os.getpid()),
    AgentSpawned(agent="lead", harness="rehearsal", role="general"),
    AgentReady(agent="lead", session="s-1"),
    AgentSpawned(agent="kid", harness="rehearsal", role="general", parent="lead"),
    AgentReady(agent="kid", session="s-2"),
    TurnStarted(agent="kid", turn="kid.t1", sender="lead", text="go"),
):
    entry = ledger.stamp(event)
    ledger.append(entry, entry.to_line())
print("open", flush=True)
sys.stdin.read()
"""


@pytest.fixture
def holder(tmp_path):
    """Another process that writes run `r1`, with two agents alive."""
    process = subprocess.Popen(
        [sys.executable, "-c", HOLDER, tmp_path], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    with process:
        assert "open" == next_line(process)
        yield process
        process.kill()


def test_a_ledger_that_another_process_writes_is_in_use(holder, tmp_path):
    with pytest.raises(LedgerInUse, match="give this run a name of its own"):
        Ledger(tmp_path, "r1")


def test_a_run_whose_writer_lives_is_left_alone(holder, tmp_path):
    before = run_files(tmp_path, "r1")[0].read_bytes()

    assert [] == recover(tmp_path)
    assert before == run_files(tmp_path, "r1")[0].read_bytes()


def test_a_run_whose_writer_was_killed_is_closed_and_its_agents_with_it(holder, tmp_path):
    holder.kill()
    holder.wait()

    assert ["r1"] == recover(tmp_path)
    assert [] == recover(tmp_path), "once is enough"
    entries = list(read(run_files(tmp_path, "r1")))
    tree = Tree.replay(entries)
    assert list(range(9)) == [entry.seq for entry in entries]
    assert [("kid", "kernel went away"), ("lead", "kernel went away")] == [
        (entry.event.agent, entry.event.reason) for entry in entries[6:8]
    ]
    assert isinstance(entries[8].event, RunClosed)
    assert tree.closed
    assert [] == tree.alive()
    assert ["s-1", "s-2"] == [agent.session for agent in tree], "resume needs them"


# recovering


def leave(directory, run, *events, now=NOON, torn=b""):
    """A run as a killed kernel leaves it."""
    path = directory / "audit" / f"{now:%Y-%m-%d}" / f"{run}.jsonl"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"".join(Entry(n, now, e).to_line() for n, e in enumerate(events)) + torn)
    return path


def test_a_torn_last_line_is_cut_off_before_the_run_is_closed(tmp_path, clock, caplog):
    path = leave(tmp_path, "r1", born("lead"), torn=b'{"v":1,"seq":1,"ts":"2026')

    assert ["r1"] == recover(tmp_path, clock=clock)
    assert [AgentSpawned, AgentStopped, RunClosed] == [type(entry.event) for entry in read([path])]
    assert "cut 25 bytes" in caplog.text


@pytest.mark.parametrize("length", [100, 65_535, 65_536, 200_000])
def test_a_torn_line_of_any_length_is_cut_off(tmp_path, clock, length):
    path = leave(tmp_path, "r1", born("lead"), torn=b"x" * length)
    recover(tmp_path, clock=clock)

    assert 3 == len(path.read_bytes().splitlines())


def test_a_file_without_a_single_whole_line_is_closed_too(tmp_path, clock):
    for run, torn in (("empty", b""), ("torn", b'{"v":')):
        leave(tmp_path, run, torn=torn)

    assert ["empty", "torn"] == recover(tmp_path, clock=clock)
    assert [0, 0] == [e.seq for run in ("empty", "torn") for e in read(run_files(tmp_path, run))]


@pytest.mark.parametrize("closing", [True, False], ids=["closed", "gone on with"])
def test_of_a_long_run_that_is_closed_or_gone_on_with_only_births_and_ends_are_read(
    tmp_path, clock, monkeypatch, closing
):
    work = [said(str(n)) for n in range(500)]
    dead = AgentStopped(agent="old", reason="done")
    path = leave(tmp_path, "r1", born("lead"), born("old"), dead, born("kid", "lead"), *work, torn=b"[]\n")
    real, lines = Entry.from_line, []
    monkeypatch.setattr(Entry, "from_line", lambda line: lines.append(line) or real(line))
    if closing:
        assert ["r1"] == recover(tmp_path, clock=clock)
    else:
        with contextlib.closing(Ledger(tmp_path, "r1", clock=clock)) as ledger:
            assert 504 == ledger.seq
    assert len(lines) < 10
    monkeypatch.undo()

    written = [(e.seq, e.event.agent, type(e.event)) for e in list(read([path]))[504:]]
    ends = [(504, "kid", AgentStopped), (505, "lead", AgentStopped), (506, "", RunClosed)]
    assert (ends if closing else []) == written


def test_a_run_that_was_closed_stays_as_it_is(tmp_path, clock):
    text = 'it says "kind":"run.closed"'
    closed = leave(tmp_path, "closed", RunOpened(run="r", madrox="0.1", pid=1), RunClosed(reason="done"))
    talked = leave(tmp_path, "talked", said(text), said("y" * 5_000))
    before = closed.read_bytes()

    assert ["talked"] == recover(tmp_path, clock=clock)
    assert before == closed.read_bytes()
    assert isinstance(list(read([talked]))[-1].event, RunClosed)


def test_talk_about_the_end_is_not_the_end(tmp_path, clock):
    leave(tmp_path, "r1", said('{"kind":"run.closed"}'))

    assert ["r1"] == recover(tmp_path, clock=clock)


def test_a_run_of_many_days_is_closed_in_its_last_file(tmp_path, clock):
    leave(tmp_path, "r1", born("lead"), AgentReady(agent="lead"), now=NOON - timedelta(days=1))
    last = leave(tmp_path, "r1", said())

    assert ["r1"] == recover(tmp_path, clock=clock)
    assert [TurnSaid, AgentStopped, RunClosed] == [type(entry.event) for entry in read([last])]


def test_a_run_in_the_middle_of_turning_the_page_is_alive(tmp_path, clock):
    """Its new file is there already and not locked yet; the old one is still held."""
    with contextlib.closing(Ledger(tmp_path, "r1", clock=clock)) as ledger:
        write(ledger, born("lead"))
        tomorrow = leave(tmp_path, "r1", now=NOON + timedelta(days=1))

        assert [] == recover(tmp_path, clock=clock)
    assert b"" == tomorrow.read_bytes()


def test_old_runs_are_not_looked_at(tmp_path, clock):
    for days in range(9):
        leave(tmp_path, f"r{days}", now=NOON - timedelta(days=days))

    assert [f"r{days}" for days in range(7)] == recover(tmp_path, clock=clock)


@linux
def test_recovering_on_a_full_disk_is_put_off_and_said(tmp_path, clock, monkeypatch, caplog):
    leave(tmp_path, "r1", born("lead"))

    def no_room(fd, data):
        raise OSError(errno.ENOSPC, "no room")

    with monkeypatch.context() as full:
        full.setattr(os, "write", no_room)
        assert [] == recover(tmp_path, clock=clock)
    assert "r1 can't be closed now" in caplog.text
    assert ["r1"] == recover(tmp_path, clock=clock)


def test_recovered_ledgers_replay(tmp_path, clock):
    leave(
        tmp_path,
        "r1",
        born("lead"),
        AgentReady(agent="lead"),
        TurnStarted(agent="lead", turn="lead.t1", sender="you", text="x"),
    )
    recover(tmp_path, clock=clock)

    tree = Tree.replay(read(run_files(tmp_path, "r1")))
    assert ("stopped", "kernel went away", "") == (tree["lead"].state, tree["lead"].reason, tree["lead"].turn)


# expiring


def test_days_older_than_the_retention_are_removed(tmp_path):
    for day in (1, 9, 10, 11, 20):
        leave(tmp_path, "r1", said(), now=NOON.replace(day=day))

    removed = expire(tmp_path, today=date(2026, 7, 20), days=10)

    assert ["2026-07-01", "2026-07-09"] == sorted(path.name for path in removed)
    assert ["2026-07-10", "2026-07-11", "2026-07-20"] == sorted(
        p.name for p in (tmp_path / "audit").iterdir()
    )


def test_a_run_that_is_still_written_keeps_its_oldest_day_and_its_files(tmp_path):
    old = NOON.replace(day=1)
    living = Ledger(tmp_path, "20260701T120000-1", clock=lambda: old)
    (tmp_path / "runs" / "20260701T120000-1").mkdir(parents=True)
    (tmp_path / "runs" / "20260701T130000-2").mkdir()

    removed = expire(tmp_path, today=date(2026, 7, 20), days=10)

    assert ["20260701T130000-2"] == [path.name for path in removed]
    living.close()
    assert 2 == len(expire(tmp_path, today=date(2026, 7, 20), days=10))


def test_nothing_else_in_the_directory_is_touched(tmp_path):
    (tmp_path / "audit" / "notes").mkdir(parents=True)
    (tmp_path / "audit" / "0000.txt").write_text("mine")

    assert [] == expire(tmp_path, today=date(2026, 7, 20), days=0)
    assert {"notes", "0000.txt"} == {path.name for path in (tmp_path / "audit").iterdir()}


def test_expiring_where_nothing_was_ever_written_is_no_error(tmp_path):
    assert [] == expire(tmp_path / "nowhere", today=date(2026, 7, 20), days=30)
    assert [] == recover(tmp_path / "nowhere")
