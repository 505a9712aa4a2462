"""A kernel that keeps its agents, and waits to be killed: kernel.py HOME [mcp]

Three agents: lead is speaking and has another question waiting, kid (below it) is idle
and remembers something, ann works without end in her second life. Prints the run and each agent's pid.
"""

import asyncio
import json
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))
from crew import run_of

from madrox_nb.events import TextDelta
from madrox_nb.server import Server


async def main(home: str, mcp: str = "") -> None:
    async with run_of(Path(home), on_kernel_death="keep:60") as manager:
        if mcp:
            manager.processes._mcp_url = Server(manager, "127.0.0.1", 0, "mdx_person").start
        spoken, heard = asyncio.Event(), []

        def hear(signal: object) -> None:
            if isinstance(signal, TextDelta) and signal.agent == "lead":
                heard.append(signal.text)
                if len(heard) == 20:
                    spoken.set()

        manager.watch(hear)
        await manager.spawn("lead")
        await manager.spawn("kid", parent="lead")
        await manager.spawn("ann")
        await manager.send("ann", "what an earlier process of that name was told")
        await manager.terminate("ann")
        await manager.spawn("ann")
        await manager.send("kid", "the word is pineapple")
        await manager.ask("ann", "/hang")
        await manager.ask("lead", "/slow 200 0.01")
        await manager.ask("lead", "/say and the next one")
        await manager.post("kid", "a note")
        await spoken.wait()
        pids = {agent.name: manager.processes[agent.name].pid for agent in manager.tree}
        print(json.dumps({"run": manager.run, "pids": pids}), flush=True)
        await asyncio.Event().wait()


asyncio.run(main(*sys.argv[1:]))
