"""What a ledger is to others: to a process that is killed, to the next that recovers it, to who cleans up."""

import contextlib
import errno
import logging
import os
import select
import signal
import subprocess
import sys
from datetime import date, timedelta

import pytest
from entries import NOON, Clock, born, said, write

from madrox_nb.errors import LedgerInUse
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

linux = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="needs /dev/full")


@pytest.fixture
def clock():
    return Clock()


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
