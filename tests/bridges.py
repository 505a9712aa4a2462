"""`madrox mcp` as a process, spoken to line by line, and the run that it leads to."""

from __future__ import annotations

import asyncio
import gc
import json
import os
import select
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from mcp.server.streamable_http import StreamableHTTPServerTransport

from madrox_nb import calls, greeting
from madrox_nb.notebook import Madrox

BOTH_ERAS = pytest.mark.parametrize("era", ["legacy", "2026-07-28"])
COMMAND = (sys.executable, "-m", "madrox_nb.cli", "mcp")
HELLO = {"protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": {"name": "test", "version": "0"}}
META = {f"{greeting.META}protocolVersion": "2026-07-28", f"{greeting.META}clientCapabilities": {}}
LONG = 20
"""Seconds after which something that should come will not come any more."""


def environ(tmp_path: Path, **more: str) -> dict[str, str]:
    known = {"PATH": "/usr/bin:/bin", "HOME": str(tmp_path), "XDG_STATE_HOME": os.environ["XDG_STATE_HOME"]}
    return {**known, "XDG_DATA_HOME": str(tmp_path / "data"), "MADROX_HARNESSES": "rehearsal", **more}


class Stdio:
    """A client of `madrox mcp` that sees every line."""

    def __init__(self, tmp_path: Path, cwd: Path | None = None, **more: str) -> None:
        self.process = subprocess.Popen(
            COMMAND,
            cwd=cwd or tmp_path,
            env=environ(tmp_path, **more),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        self.unasked: list[dict[str, Any]] = []
        self._read = b""

    def __enter__(self) -> Stdio:
        return self

    def __exit__(self, *_: object) -> None:
        self.process.kill()
        self.process.wait()
        for pipe in (self.process.stdin, self.process.stdout, self.process.stderr):
            if pipe is not None:
                with suppress(BrokenPipeError):
                    pipe.close()

    def say(self, method: str, id_: object = None, *, era: str = "legacy", **params: Any) -> None:
        if era != "legacy":
            params["_meta"] = {**META, **params.get("_meta", {})}
        message = {"jsonrpc": "2.0", "method": method, "params": params}
        self.write(json.dumps(message if id_ is None else {**message, "id": id_}).encode())

    def write(self, line: bytes) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(line + b"\n")
        self.process.stdin.flush()

    def hear(self) -> dict[str, Any]:
        """The next line."""
        assert self.process.stdout is not None
        while b"\n" not in self._read:
            ready, _, _ = select.select((self.process.stdout,), (), (), LONG)
            piece = os.read(self.process.stdout.fileno(), 65536) if ready else b""
            assert piece, f"nothing more came; on stderr: {self.process.stderr}"
            self._read += piece
        line, _, self._read = self._read.partition(b"\n")
        said: dict[str, Any] = json.loads(line)
        return said

    def answer(self, id_: object) -> dict[str, Any]:
        """The answer to that request; what comes before it is `unasked`."""
        while (said := self.hear()).get("id") != id_ or "method" in said:
            self.unasked.append(said)
        return said

    def ask(self, method: str, id_: object = 1, *, era: str = "legacy", **params: Any) -> dict[str, Any]:
        self.say(method, id_, era=era, **params)
        return self.answer(id_)

    def call(self, tool: str, id_: object = 1, *, era: str = "legacy", **arguments: Any) -> dict[str, Any]:
        return self.ask("tools/call", id_, era=era, name=tool, arguments=arguments)

    def hello(self) -> Stdio:
        """The handshake, as clients do it."""
        assert greeting.initialized("2025-11-25") == self.ask("initialize", 0, **HELLO)["result"]
        self.say("notifications/initialized")
        return self


def serve(tmp_path: Path) -> Madrox:
    """A running kernel's part: it serves, and `lead` is there."""
    madrox = Madrox(home=tmp_path / ".madrox", port=0, harnesses=("rehearsal",))
    madrox.serve()
    madrox.spawn("lead")
    return madrox


class Hang:
    """A tool that says when it begins and ends, and ends only when it is cancelled."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.began, self.ended = threading.Event(), threading.Event()

        async def hang(call: calls.Call) -> calls.Result:
            """Never return."""
            self.began.set()
            try:
                await call.progress(1, "hanging")
                await asyncio.Event().wait()
            finally:
                self.ended.set()
            raise AssertionError("it was let go")

        monkeypatch.setitem(calls.TOOLS, "hang", calls.Tool(hang, True, False))


def until(happened: Callable[[], object]) -> None:
    """Wait for what another process does, and nobody tells."""
    end = time.monotonic() + LONG
    while not happened():
        assert time.monotonic() < end
        time.sleep(0.02)


def sessions() -> set[str]:
    """The handshake sessions that live in this process's servers."""
    return {
        str(each.mcp_session_id)
        for each in gc.get_objects()
        if isinstance(each, StreamableHTTPServerTransport) and not each.is_terminated
    }
