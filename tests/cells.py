"""A real kernel for tests: run cells, look at what they show, interrupt them; or a notebook as a whole."""

from __future__ import annotations

import os
import queue
import signal
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from jupyter_client.manager import KernelManager

SECONDS = 100.0
Message = dict[str, Any]


class Kernel:
    """One kernel and what it has said."""

    def __init__(self, manager: KernelManager) -> None:
        self.manager = manager
        self.client = manager.client()
        self.client.start_channels()
        self.client.wait_for_ready(timeout=SECONDS)

    def begin(self, code: str) -> str:
        """Start a cell; returns the id that its messages carry."""
        return str(self.client.execute(code))

    def until(self, wanted: Callable[[Message], bool]) -> list[Message]:
        """Everything the kernel says up to the first message that is `wanted`."""
        said, deadline = [], time.monotonic() + SECONDS
        while time.monotonic() < deadline:
            try:
                said.append(self.client.get_iopub_msg(timeout=1))
            except queue.Empty:
                continue
            if wanted(said[-1]):
                return said
        raise AssertionError(f"never said; only: {[(m['msg_type'], m['content']) for m in said]}")

    def finish(self, cell: str) -> list[Message]:
        """Everything the kernel says up to the end of that cell."""
        return self.until(lambda m: ends(m) and m["parent_header"].get("msg_id") == cell)

    def run(self, code: str) -> list[Message]:
        """Run a cell that must not fail; returns what it showed."""
        said = self.finish(self.begin(code))
        assert [] == [m["content"]["evalue"] for m in said if m["msg_type"] == "error"]
        return said

    def value(self, code: str) -> str:
        """The text of a cell's value."""
        [shown] = [m for m in self.run(code) if m["msg_type"] == "execute_result"]
        return str(shown["content"]["data"]["text/plain"])

    def until_listening(self) -> None:
        """Until the kernel, idle, has set a handler of its own for interrupts (Linux: SigCgt)."""
        deadline = time.monotonic() + SECONDS
        while not self._catches(signal.SIGINT):
            assert time.monotonic() < deadline
            time.sleep(0.01)

    def _catches(self, number: int) -> bool:
        status = Path(f"/proc/{self.manager.provisioner.pid}/status").read_text()
        [caught] = [line.split()[1] for line in status.splitlines() if line.startswith("SigCgt")]
        return bool(int(caught, 16) >> (number - 1) & 1)

    def interrupt(self) -> None:
        self.manager.interrupt_kernel()


def ends(message: Message) -> bool:
    return message["msg_type"] == "status" and message["content"]["execution_state"] == "idle"


def shows(text: str) -> Callable[[Message], bool]:
    """A display, new or updated, with that text in it."""
    return lambda m: text in m["content"].get("data", {}).get("text/plain", "")


@contextmanager
def kernel(directory: Path) -> Iterator[Kernel]:
    """A kernel that works in `directory` and knows nothing of this machine's settings."""
    env = {**os.environ, "IPYTHONDIR": str(directory / "ipython"), "PATH": os.defpath}
    manager = KernelManager(kernel_name="python3")
    manager.start_kernel(cwd=str(directory), env=env)
    running = None
    try:
        running = Kernel(manager)
        yield running
    finally:
        if running is not None:
            running.client.stop_channels()
        manager.shutdown_kernel(now=running is None)
        manager.cleanup_resources()


def notebook_of(cells: Iterable[str]) -> Any:
    """A notebook of these cells, not yet run."""
    from nbformat import v4  # it costs a second, which the tests that need none don't pay

    return v4.new_notebook(cells=[v4.new_code_cell(cell) for cell in cells])


def carry_out(notebook: Any, directory: Path, search: str = os.defpath) -> None:
    """Run a notebook in `directory` to its end, with the CLIs of `search` alone; a failing cell raises."""
    from nbclient import NotebookClient

    ours = {"ORCHESTRATOR_PORT": "0", "PATH": search, "IPYTHONDIR": str(directory / "ipython")}
    client = NotebookClient(notebook, timeout=150, kernel_name="python3")
    client.execute(cwd=str(directory), env={**os.environ, **ours})
