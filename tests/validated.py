"""A notebook run by nbval, as a person would check it, with what its cells showed.

    pytest -p nbval --nbval-lax NOTEBOOK

Each cell is a test to it, but it does not keep what a cell shows later, such as a view that is
drawn anew. So all that the kernel says to it is heard, and nbclient makes the outputs of that.
It does not let cells count either, and then IPython shows what a `;` at the end should keep quiet.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest

QUIET = ("cacheprovider", "faulthandler", "threadexception", "unraisableexception")
"""What the run around this one looks after."""


class Hearing:
    """A plugin beside nbval: all that the kernel says, to cells that count."""

    def __init__(self) -> None:
        self.said: list[dict[str, Any]] = []

    def pytest_collectstart(self, collector: Any) -> None:
        if hear := getattr(collector, "get_kernel_message", None):
            collector.get_kernel_message = lambda **given: self.said.append(hear(**given)) or self.said[-1]

    def pytest_runtest_call(self, item: Any) -> None:
        client = item.parent.kernel.kc
        execute = type(client).execute
        client.execute = lambda code, **given: execute(client, code, **{**given, "store_history": True})


def validated(path: Path, directory: Path, search: str = os.defpath) -> Any:
    """The notebook with its outputs, after nbval ran a copy of it in `directory`; a failing cell fails.

    It finds the CLIs of `search` alone.
    """
    import nbformat

    copy = directory / path.name
    copy.write_bytes(path.read_bytes())
    ours = {"ORCHESTRATOR_PORT": "0", "PATH": search, "IPYTHONDIR": str(directory / "ipython")}
    options = ["-c", os.devnull, "--rootdir", str(directory), *(f"-pno:{name}" for name in QUIET)]
    nbval = ["-p", "nbval", "--nbval-lax", "--nbval-cell-timeout", "150", str(copy)]
    hearing = Hearing()
    with pytest.MonkeyPatch.context() as patch:
        for name, value in {**ours, "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}.items():
            patch.setenv(name, value)
        patch.delenv("PYTEST_ADDOPTS", raising=False)
        ended = pytest.main(["-q", "--color=no", *options, *nbval], plugins=[hearing])
    assert pytest.ExitCode.OK == ended, "nbval says above which cell failed"
    return _shown(nbformat.read(path, as_version=4), hearing.said)  # type: ignore[no-untyped-call]


def _shown(notebook: Any, said: Iterable[dict[str, Any]]) -> Any:
    """The notebook with the outputs that these messages of its kernel make."""
    from nbclient import NotebookClient
    from nbclient.exceptions import CellExecutionComplete

    client = NotebookClient(notebook, record_timing=False)
    client.reset_execution_trackers()
    codes = ((cell, at) for at, cell in enumerate(notebook.cells) if cell.cell_type == "code")
    cells: dict[str, tuple[Any, int]] = {}
    for message in said:
        asked = message["parent_header"].get("msg_id", "")
        if message["msg_type"] == "execute_input":
            cells[asked] = next(codes)
            cells[asked][0].outputs = []
            client.clear_before_next_output = False
        if asked in cells:
            with contextlib.suppress(CellExecutionComplete):
                client.process_message(message, *cells[asked])
    assert next(codes, None) is None
    return notebook
