"""Owns agents that are to outlive it, says so, and waits to be killed.

    keeper_of.py DIRECTORY SECONDS HOME WORDS FORK [PROGRAM ARGUMENT …] [-- PROGRAM …] …

Starts each PROGRAM of this directory (`pty:` before its name: in a terminal) and waits
until all of them have said WORDS. Then prints the pids of the guard, the sentinel, a
forked child of its own (0 unless FORK is `fork`) and of each agent.
"""

import asyncio
import os
import signal
import sys
from itertools import groupby
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))
from madrox_nb.keeping import Keep
from madrox_nb.local import LocalNode
from rogues import Ear, rogue, spec


async def main(directory: str, seconds: str, home: str, words: str, fork: str, *programs: str) -> None:
    node = await LocalNode.open(Keep(Path(directory), float(seconds)))
    pids, ears = [], []
    for argv in (list(group) for end, group in groupby(programs, "--".__eq__) if not end):
        name = argv[0].removeprefix("pty:")
        ears.append(Ear())
        agent = spec(Path(home), *rogue(name, *argv[1:]), id=f"a{len(pids)}", pty=name != argv[0])
        handle = await node.spawn(agent, ears[-1])
        pids.append(handle.pid)
        if name == "shut":
            node.close_input(handle)
    for ear in ears:
        await ear.hears(words.encode())
    forked, say = os.pipe()
    child = os.fork() if fork == "fork" else 0
    if fork == "fork" and child == 0:
        os.close(1)
        os.write(say, b"it has let go of what it inherited")
        while True:
            signal.pause()
    if child:
        os.read(forked, 100)
    print(*node.pids, child, *pids, flush=True)
    await asyncio.Event().wait()


asyncio.run(main(*sys.argv[1:]))
