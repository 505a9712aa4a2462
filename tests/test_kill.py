"""A real kernel is killed: nobody stays behind, and nothing acknowledged is lost."""

from __future__ import annotations

import json
import os
import signal
from pathlib import Path

import psutil
import pytest
from jupyter_client.manager import start_new_kernel

from madrox_nb import ledger
from madrox_nb.events import MessagePosted
from madrox_nb.tree import Tree

pytestmark = pytest.mark.slow

FAMILY = """
import sys; sys.path.insert(0, {tests!r})
import asyncio, json, os
import psutil
from crew import Rogue
from madrox_nb import config
from madrox_nb.manager import Manager
from madrox_nb.portal import Portal

portal = Portal()
settings = config.load({{"home": {home!r}, "max_instances": 30}}, environ={{}}, files=()).settings

async def family():
    m = await Manager(settings).open()
    await m.spawn("lead", harness="rogue")
    await asyncio.gather(*(m.spawn(f"kid{{n}}", harness="rogue", parent="lead") for n in range(9)))
    names = [agent.name for agent in m.tree]
    grandchildren = [int((await m.send(name, "child")).text) for name in names]
    for name in names:
        await m.ask(name, "deaf")
    return m, grandchildren

m, grandchildren = portal.call(family)
pids = {{child.pid for child in psutil.Process().children(recursive=True)}} | set(grandchildren)
posted = [portal.call(m.post, "lead", f"note {{n}}") for n in range(200)]
print(json.dumps({{"kernel": os.getpid(), "run": m.run, "pids": sorted(pids), "posted": posted}}))
"""


def test_kill_9_of_a_kernel_with_ten_agents_leaves_no_process_and_loses_nothing(tmp_path: Path) -> None:
    manager, client = start_new_kernel(kernel_name="python3")
    said: list[str] = []

    def hear(message: dict) -> None:
        if message["msg_type"] == "stream" and message["content"]["name"] == "stdout":
            said.append(message["content"]["text"])
        assert message["msg_type"] != "error", "\n".join(message["content"]["traceback"])

    try:
        code = FAMILY.format(tests=str(Path(__file__).parent), home=str(tmp_path))
        client.execute_interactive(code, timeout=60, output_hook=hear)
        told = json.loads("".join(said))
        alive = [psutil.Process(pid) for pid in told["pids"]]
        assert 22 <= len(alive), "ten agents, ten grandchildren, the guard and its sentinel"

        os.kill(told["kernel"], signal.SIGKILL)
        _, survivors = psutil.wait_procs(alive, timeout=60)

        assert [] == survivors
    finally:
        client.stop_channels()
        manager.shutdown_kernel(now=True)

    assert [told["run"]] == ledger.recover(tmp_path)
    entries = list(ledger.read(ledger.run_files(tmp_path, told["run"])))
    kept = [entry.event.message for entry in entries if isinstance(entry.event, MessagePosted)]
    tree = Tree.replay(entries)
    assert set(told["posted"]) <= set(kept)
    assert {("stopped", "kernel went away")} == {(agent.state, agent.reason) for agent in tree}
    assert 10 == len(tree)
    assert tree.closed
    assert [] == ledger.recover(tmp_path)
