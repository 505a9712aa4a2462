"""Processes that outlived their kernel and its guard."""

from __future__ import annotations

import asyncio
import os
import subprocess
from datetime import UTC, datetime
from pathlib import Path

import psutil
from crew import run_of

from madrox_nb.ledger import Ledger
from madrox_nb.orphans import end_orphans, kernel_lives


def sleeper(run: str) -> subprocess.Popen[bytes]:
    """A process of that run, which can be seen to be one: its environment comes a moment after its start."""
    env = {**os.environ, "MADROX_RUN": run}
    process = subprocess.Popen(["sleep", "600"], env=env, start_new_session=True)
    while psutil.Process(process.pid).environ().get("MADROX_RUN") != run:
        assert process.poll() is None
    return process


def test_only_the_processes_of_the_named_runs_are_ended() -> None:
    mine, other = sleeper(f"gone-{os.getpid()}"), sleeper(f"alive-{os.getpid()}")
    try:
        assert [mine.pid] == end_orphans([f"gone-{os.getpid()}"])
        assert -9 == mine.wait(60)
        assert other.poll() is None
        assert [] == end_orphans([])
    finally:
        other.kill()
        other.wait()


def test_opening_a_run_ends_what_a_crashed_one_left_behind(tmp_path: Path) -> None:
    run = f"crashed-{os.getpid()}"
    crashed = Ledger(tmp_path, run)
    crashed._syncer.stop()
    os.close(crashed._fd)  # as the system does for a killed process
    left = sleeper(run)

    async def story() -> None:
        async with run_of(tmp_path) as manager:
            assert [run] == manager.recovered

    asyncio.run(story())
    assert -9 == left.wait(60)
    assert not psutil.pid_exists(left.pid)


def test_a_run_lives_as_long_as_the_process_that_opened_it() -> None:
    me, now = os.getpid(), datetime.now(UTC)
    gone = subprocess.Popen(["true"])
    gone.wait()

    assert kernel_lives(f"{now:%Y%m%dT%H%M%S.000}-{me}")
    assert not kernel_lives(f"{now:%Y%m%dT%H%M%S.000}-{gone.pid}")
    assert not kernel_lives(f"20200131T120000.000-{me}")  # the number belongs to somebody else by now
    assert kernel_lives("a-run-of-another-version")
