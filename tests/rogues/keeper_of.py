"""Owns agents that are to outlive it, says so, and waits to be killed.

    keeper_of.py DIRECTORY SECONDS HOME WORDS fork|attach|- [PROGRAM ARGUMENT …] [-- PROGRAM …] …

Starts each PROGRAM of this directory (`pty:` before its name: in a terminal), or attaches
to those of a dead owner, and waits until all of them have said WORDS. Then prints the pids
of the guard, the sentinel, a forked child of its own (0 without `fork`) and of each agent.
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


async def start(keep: Keep, home: Path, programs: tuple[str, ...]) -> tuple[LocalNode, dict[int, Ear]]:
    node, ears = await LocalNode.open(keep), {}
    for argv in (list(group) for end, group in groupby(programs, "--".__eq__) if not end):
        name, ear = argv[0].removeprefix("pty:"), Ear()
        agent = spec(home, *rogue(name, *argv[1:]), id=f"a{len(ears)}", pty=name != argv[0])
        handle = await node.spawn(agent, ear)
        ears[handle.pid] = ear
        if name == "shut":
            node.close_input(handle)
    return node, ears


async def attach(keep: Keep) -> tuple[LocalNode, dict[int, Ear]]:
    node, kept = await LocalNode.attach(keep.directory)
    ears = {each.handle.pid: Ear() for each in kept}
    for each in kept:
        node.adopt(each, ears[each.handle.pid])
    return node, ears


def forked() -> int:
    """A child that has let go of what it inherited, and lives on."""
    said, say = os.pipe()
    if child := os.fork():
        os.read(said, 100)
        return child
    os.close(1)
    os.write(say, b"let go")
    while True:
        signal.pause()


async def main(directory: str, seconds: str, home: str, words: str, how: str, *programs: str) -> None:
    keep = Keep(Path(directory), float(seconds))
    node, ears = await (attach(keep) if how == "attach" else start(keep, Path(home), programs))
    for ear in ears.values():
        await ear.hears(words.encode())
    print(*node.pids, forked() if how == "fork" else 0, *ears, flush=True)
    await asyncio.Event().wait()


asyncio.run(main(*sys.argv[1:]))
