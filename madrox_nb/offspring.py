"""The operating system's processes that belong to each living agent.

A process belongs to the agent whose name it carries in its environment (`MADROX_AGENT`),
else to the one in whose process group or session it stands, else to that of its parent.
So what a shell tool left behind in the background is found too.
"""

from __future__ import annotations

import os
import shlex
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

import psutil

LONGEST: Final = 160
"""Characters of a command line that are shown."""


@dataclass(frozen=True)
class Offspring:
    """One process."""

    pid: int
    agent: str
    command: str
    """Its command line, without secrets, shortened."""
    started: datetime
    """UTC."""
    cpu_s: float
    """Seconds of CPU that it has used itself."""
    rss_mb: float
    """Of memory, in 10⁶ bytes."""
    is_agent: bool
    """It is the agent's own CLI."""


def offspring(
    run: str, agents: Mapping[str, int], redacted: Callable[[str], str] = lambda text: text
) -> list[Offspring]:
    """The processes of these agents (name → pid of the CLI), each agent's in the order of their start.

    Takes about 0.1 s, because it looks at every process.
    """
    seen = {process.pid: process for process in psutil.process_iter()}
    owners = _owners(seen, run, agents)
    found = []
    for pid, agent in owners.items():
        try:
            found.append(_look(seen[pid], agent, pid == agents[agent], redacted))
        except psutil.Error:  # gone meanwhile, or a zombie that has nothing any more
            continue
    order = list(agents)
    return sorted(found, key=lambda each: (order.index(each.agent), each.started, each.pid))


def _owners(seen: Mapping[int, psutil.Process], run: str, agents: Mapping[str, int]) -> dict[int, str]:
    """pid → the agent that it belongs to."""
    tags = {f"{run}/{name}": name for name in agents}
    groups = {pid: name for name, pid in agents.items()}
    owners, parents = dict[int, str](), dict[int, int]()
    for pid, process in seen.items():
        try:
            parents[pid] = process.ppid()
            name = groups.get(pid) or tags.get(_tag(process)) or _grouped(pid, groups)
            if name is not None:
                owners[pid] = name
        except psutil.Error:
            continue
    for pid in parents:
        above = next((each for each in _lineage(pid, parents) if each in owners), None)
        if above is not None:
            owners.setdefault(pid, owners[above])
    return owners


def _tag(process: psutil.Process) -> str:
    try:
        return process.environ().get("MADROX_AGENT", "")
    except psutil.AccessDenied:  # another user's, or one that has changed its own
        return ""


def _grouped(pid: int, groups: Mapping[int, str]) -> str | None:
    try:
        return groups.get(os.getpgid(pid)) or groups.get(os.getsid(pid))
    except (ProcessLookupError, PermissionError):
        return None


def _lineage(pid: int, parents: Mapping[int, int]) -> Iterator[int]:
    """`pid`, its parent, and so on."""
    met: set[int] = set()
    while pid in parents and pid not in met:
        met.add(pid)
        yield pid
        pid = parents[pid]


def _look(process: psutil.Process, agent: str, is_agent: bool, redacted: Callable[[str], str]) -> Offspring:
    with process.oneshot():
        cpu, command = sum(process.cpu_times()[:2]), redacted(shlex.join(process.cmdline()) or process.name())
        return Offspring(
            pid=process.pid,
            agent=agent,
            command=command if len(command) <= LONGEST else f"{command[: LONGEST - 1]}…",
            started=datetime.fromtimestamp(process.create_time(), UTC),
            cpu_s=round(cpu, 2),
            rss_mb=round(process.memory_info().rss / 1e6, 1),
            is_agent=is_agent,
        )
