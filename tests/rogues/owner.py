"""Owns two agents with their trees, says so, and waits to be killed.

    owner.py SECONDS HOME [fork]    with `fork` it first leaves a forked child of its own

Prints the pids of the guard, the sentinel and that child (0 for none).
"""

import asyncio
import os
import signal
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))
from madrox_nb.local import LocalNode
from rogues import Ear, rogue, spec


async def main(seconds: str, home: str, fork: str = "") -> None:
    node = await LocalNode.open()
    for name in ("alice", "bob"):
        ear = Ear()
        await node.spawn(spec(Path(home), *rogue("tree", seconds), id=name), ear)
        await ear.hears(b"ready")
    child = os.fork() if fork else 0
    if fork and child == 0:
        os.close(1)
        while True:
            signal.pause()
    print(*node.pids, child, flush=True)
    await asyncio.Event().wait()


asyncio.run(main(*sys.argv[1:]))
