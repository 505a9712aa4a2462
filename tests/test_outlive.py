"""Real kernels end, and their agents go on in the next one."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
import pytest
from cells import Kernel, kernel

pytestmark = pytest.mark.slow

OPEN = """
from madrox_nb import Madrox
m = Madrox(home="home", port=0, harnesses=("rehearsal",), on_kernel_death="keep:60")
"""
SPAWN = 'lead = m.spawn("lead"); kid = m.spawn("kid", parent="lead"); print(lead.send("one").text)'


@contextmanager
def next_kernel(directory: Path) -> Iterator[Kernel]:
    with kernel(directory) as running:
        running.run("%load_ext madrox_nb")
        running.run(OPEN)
        yield running


def pid(cell: Kernel, name: str) -> int:
    return int(cell.value(f"m.manager.processes[{name!r}].pid"))


def test_agents_outlive_a_kernel_that_was_killed_and_finish_what_they_were_at(tmp_path: Path) -> None:
    with next_kernel(tmp_path) as cell:
        cell.run(SPAWN)
        cell.run("lead.send('/slow 30 0.3', wait=False)")
        lead = pid(cell, "lead")
        os.kill(cell.manager.provisioner.pid, signal.SIGKILL)
        cell.manager.provisioner.process.wait(60)

    assert psutil.pid_exists(lead)
    with next_kernel(tmp_path) as cell:
        assert "'lead': 'process', 'kid': 'process'" in cell.value("dict(m.resume()['how'])")
        assert lead == pid(cell, "lead")
        said = cell.value("m.wait('lead')['lead'].text")
        assert said.startswith("'word-1 word-2")
        assert said.endswith("word-30'")
        assert "tree:" in cell.value("m.send('lead', '/tree').text")  # its tools are where they were
        assert '["one", "/slow 30 0.3", "/tree"]' in cell.value("m.send('lead', '/recall').text")
        assert "kid" in cell.value("m['lead'].children")
        assert "True" == cell.value(
            "from madrox_nb.tree import Tree; Tree.replay(m.manager.ledger) == m.manager.tree"
        )
        cell.run("m.close()")
    assert not psutil.pid_exists(lead)


def test_agents_outlive_the_restart_of_a_kernel_but_not_a_close(tmp_path: Path) -> None:
    with next_kernel(tmp_path) as cell:
        cell.run(SPAWN)
        lead = pid(cell, "lead")
        cell.manager.restart_kernel(now=False)
        cell.client.wait_for_ready(timeout=90)

        cell.run(OPEN)
        assert lead == pid(cell, "lead")
        assert "Earlier turns: 1" in cell.value("m['lead'].send('two').text")
        cell.run("m.close()")
    assert not psutil.pid_exists(lead)
