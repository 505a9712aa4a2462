"""What a notebook keeps of a live view: shown once, kept up with the run, and frozen at its end.

A front end saves the text and HTML that came with a display, not what the live view shows
now. So the display is updated under its id, rarely, and at the end the live view itself gives
way to them: then the notebook reads the same on GitHub, after a restart, and for who does not
trust it. A page that was reloaded knows no ids; there the live view stays, and says that the
run is over.
"""

from __future__ import annotations

import secrets
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping
from typing import Any, Final

from IPython.core.interactiveshell import InteractiveShell
from IPython.display import display

SECONDS: Final = 10.0
"""Between two updates: each makes the notebook one with unsaved changes."""
SHOWN: Final = 8
"""Displays that are kept up, the newest: a cell that runs again leaves its old one behind."""

Bundle = Mapping[str, Any]


class Saved:
    """The displays of one view. Callable from any thread."""

    def __init__(self, bundle: Callable[[], Bundle], static: Callable[[], Bundle]) -> None:
        """`bundle` is the live view with its `static` forms, text and HTML."""
        self._bundle, self._static = bundle, static
        self._handles: deque[str] = deque(maxlen=SHOWN)
        """Their ids."""
        self._told: Bundle = {}
        self._at = 0.0
        self._lock = threading.Lock()

    def show(self) -> None:
        """Show the view where the running cell's output goes."""
        with self._lock:
            self._told, self._at = dict(self._static()), time.monotonic()
            self._handles.append(secrets.token_hex(8))
            _publish(self._bundle(), self._handles[-1])

    def keep_up(self) -> None:
        """Let the saved forms say what is so now, if that is another thing, and not too often."""
        with self._lock:
            if not self._handles or time.monotonic() - self._at < SECONDS:
                return
            self._at, now = time.monotonic(), dict(self._static())
            if now != self._told:
                self._told = now
                self._update(self._bundle())

    def freeze(self) -> None:
        """The live view gives way to its text and HTML, for good."""
        with self._lock:
            self._update(self._static())
            self._handles.clear()

    def _update(self, bundle: Bundle) -> None:
        if InteractiveShell.initialized():  # at the end of a kernel it may be gone
            for handle in self._handles:
                _publish(bundle, handle, update=True)


def _publish(bundle: Bundle, display_id: str, *, update: bool = False) -> None:
    display(dict(bundle), raw=True, display_id=display_id, update=update)  # type: ignore[no-untyped-call]
