"""Nothing that was acknowledged is lost: not to a kill, a full disk, a torn line, midnight."""

import contextlib
import errno
import logging
import os
import sys
import threading
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from entries import NOON, Clock, born, said, write

from madrox_nb import ledger as module
from madrox_nb.errors import LedgerError, LedgerFull
from madrox_nb.events import (
    Entry,
)
from madrox_nb.ledger import Ledger, read, run_files

linux = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="needs /dev/full")


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
