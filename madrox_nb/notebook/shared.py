"""The shared run: the first one of a process, as long as it is open."""

from __future__ import annotations

import threading
from typing import Any

from ..display import notice
from ..run import Run

_shared: Run | None = None
_sharing = threading.Lock()


def run_for(settings: dict[str, Any]) -> Run:
    """The shared run, or a new one; the first becomes the shared one."""
    global _shared
    with _sharing:
        if _shared is not None and _shared.is_open and not settings:
            return _shared
        run = Run(**settings)
        if run.went_on:
            notice(f"went on with agents that outlived an earlier kernel: {', '.join(run.went_on)}")
        if _shared is None or not _shared.is_open:
            _shared = run
        return run


def is_open() -> bool:
    """Whether there is one. Opens nothing."""
    return _shared is not None and _shared.is_open
