"""What a guard could not end: the processes of a run whose kernel, guard and sentinel all died.

Every agent carries `MADROX_RUN` in its environment, so the next kernel finds them. On
systems without a subreaper this is also what ends those that left their session.
"""

from __future__ import annotations

import logging
import os
import re
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime

import psutil

log = logging.getLogger(__name__)

_RUN = re.compile(r"(\d{8}T\d{6}\.\d{3})-(\d+)")
"""The name of a run: when it was opened (UTC), and by which process."""


@dataclass(frozen=True)
class Orphan:
    """A process whose run is over."""

    pid: int
    run: str
    agent: str
    command: str


def end_orphans(runs: Collection[str]) -> list[int]:
    """Kill every process that belongs to one of `runs`; returns their pids.

    Spares this process and those it stands on: a kernel may itself run inside an agent.
    Takes about 0.1 s, because it looks at every process.
    """
    if not runs:
        return []
    ended = []
    for process, environ in _others():
        try:
            if environ.get("MADROX_RUN") in runs:
                process.kill()
                ended.append(process.pid)
        except psutil.Error:  # gone meanwhile
            continue
    if ended:
        log.warning("ended %d processes that an earlier kernel left behind: %s", len(ended), ended)
    return ended


def orphans() -> list[Orphan]:
    """Every process of a run whose kernel is gone, whatever its home. Ends nobody."""
    found = []
    for process, environ in _others():
        run = environ.get("MADROX_RUN", "")
        if run and not kernel_lives(run):
            agent = environ.get("MADROX_AGENT", "").rpartition("/")[2]
            try:
                found.append(Orphan(process.pid, run, agent, " ".join(process.cmdline())))
            except psutil.Error:
                continue
    return found


def kernel_lives(run: str) -> bool:
    """Whether the process that opened `run` is still that process. True for a name that does not say it."""
    named = _RUN.fullmatch(run)
    if named is None:
        return True
    opened = datetime.strptime(named[1], "%Y%m%dT%H%M%S.%f").replace(tzinfo=UTC).timestamp()
    try:
        return psutil.Process(int(named[2])).create_time() <= opened + 1
    except psutil.NoSuchProcess:
        return False


def _others() -> Iterator[tuple[psutil.Process, dict[str, str]]]:
    """Every process that may be looked at, with its environment; not this one and those it stands on."""
    me = psutil.Process()
    spared = {os.getpid(), *(parent.pid for parent in me.parents())}
    for process in psutil.process_iter():
        if process.pid in spared:
            continue
        try:
            yield process, process.environ()
        except psutil.Error:  # gone meanwhile, or not ours to look at
            continue
