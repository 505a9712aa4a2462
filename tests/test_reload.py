"""`%reload_ext madrox_nb` in a real kernel while agents run: nobody ends, and nothing is there twice."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from cells import Kernel, kernel

pytestmark = pytest.mark.slow

SPAWN = """
import json, os, threading
from comm import get_comm_manager
shell = get_ipython()
tokens = shell.input_transformer_manager
os.environ["MADROX_HARNESSES"] = "rehearsal"
%load_ext madrox_nb
m = __import__("madrox_nb").Madrox(port=0)
lead = m.spawn("lead")
under_way = %madrox send lead --no-wait /slow 600 0.1
%madrox tree
"""
LOOK = """json.dumps({
    "pids": [str(p) for p in m.processes("lead").index],
    "serving": m.serve().url,
    "state": m["lead"].state,
    "turn": under_way.turn,
    "threads": sorted(t.name for t in threading.enumerate() if not t.name.startswith("asyncio_")),
    "comms": sorted(get_comm_manager().comms),
    "matchers": [x.__name__ for x in shell.Completer.custom_matchers],
    "transformers": [x.__name__ for x in tokens.token_transformers].count("Question"),
    "listeners": len(m.manager.ledger._listeners),
})"""
AGAIN = "%reload_ext madrox_nb\n%madrox tree"


@pytest.fixture
def running(tmp_path: Path) -> Iterator[Kernel]:
    with kernel(tmp_path) as started:
        started.run(SPAWN)
        started.value(LOOK)  # the server, and all threads of a first look, are there
        yield started


def test_agents_server_threads_and_widgets_are_the_same_after_it(running: Kernel) -> None:
    before = running.value(LOOK)

    for _ in range(3):
        running.run(AGAIN)

    assert before == running.value(LOOK)
    assert '"state": "busy"' in before
    assert '"matchers": ["complete"], "transformers": 1' in before


def test_the_magics_reach_the_same_agents_after_it(running: Kernel) -> None:
    running.run("%unload_ext madrox_nb")
    running.run("%load_ext madrox_nb")
    running.run(AGAIN)

    assert "True" == running.value("found = %madrox agent lead\nfound == lead")
    assert "True" == running.value("__import__('madrox_nb').Madrox()._run is m._run")
    running.run("%madrox interrupt lead")
    assert "'interrupted'" == running.value("under_way.wait().outcome")
    assert "'hello'" == running.value("said = %madrox send lead /say hello\nsaid.text")
    matches = running.client.complete("%madrox send l", reply=True, timeout=60)["content"]["matches"]
    assert ["lead"] == matches[:1]
