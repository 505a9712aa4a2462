"""What a guard could not end: the processes of a run whose kernel, guard and sentinel all died.

Every agent carries `MADROX_RUN` in its environment, so the next kernel finds them. On
systems without a subreaper this is also what ends those that left their session.
"""

from __future__ import annotations

import os
from collections.abc import Collection

import psutil


def end_orphans(runs: Collection[str]) -> list[int]:
    """Kill every process that belongs to one of `runs`; returns their pids.

    Spares this process and those it stands on: a kernel may itself run inside an agent.
    Takes about 0.1 s, because it looks at every process.
    """
    if not runs:
        return []
    me = psutil.Process()
    spared = {os.getpid(), *(parent.pid for parent in me.parents())}
    ended = []
    for process in psutil.process_iter():
        try:
            if process.pid not in spared and process.environ().get("MADROX_RUN") in runs:
                process.kill()
                ended.append(process.pid)
        except psutil.Error:  # gone meanwhile, or not ours to look at
            continue
    return ended
