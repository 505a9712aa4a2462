"""A kernel whose agents work in worktrees, and which waits to be killed: leaver.py HOME REPOSITORY [keep:N]

`clean` has done nothing, `merged` committed what main has too; `dirty` has left a file, `hidden` one that
git ignores, and `ahead` a commit. Prints the run, and each agent's pid and workspace.
"""

import asyncio
import json
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))
from crew import run_of
from repositories import committed, git

NAMES = ("clean", "merged", "dirty", "hidden", "ahead")


async def main(home: str, repository: str, on_kernel_death: str = "kill") -> None:
    async with run_of(Path(home), on_kernel_death=on_kernel_death) as manager:
        for name in NAMES:
            await manager.spawn(name, use_worktree=True, git_repo=repository)
            await manager.send(name, "remember mango")
        place = {name: Path(manager.tree[name].workspace) for name in NAMES}
        for name, written in (
            ("merged", "m.txt"),
            ("dirty", "b.txt"),
            ("hidden", "b.log"),
            ("ahead", "c.txt"),
        ):
            await manager.send(name, f"/write {written} words")
        for name in ("merged", "ahead"):
            committed(place[name], "second")
        git(Path(repository), "merge", "-q", "--ff-only", "madrox/merged")
        pids = {name: manager.processes[name].pid for name in NAMES}
        places = {name: str(each) for name, each in place.items()}
        print(json.dumps({"run": manager.run, "pids": pids, "places": places}), flush=True)
        await asyncio.Event().wait()


asyncio.run(main(*sys.argv[1:]))
