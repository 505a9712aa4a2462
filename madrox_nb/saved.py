"""What a notebook keeps of a live view: what there is when it is saved, and at the end what there was.

A front end saves the text and HTML that came with a display, not what the live view shows
now. So at the end of the run the display is updated under its id, and the live view gives way
to them: then the notebook reads the same on GitHub, after a restart, and for who does not
trust it. Not before: a front end draws an updated display anew, and what a person has opened,
scrolled to or typed there would be lost. What is saved before, and a page that was reloaded
and knows no ids any more, is the page's own matter: it asks (`keep`), and writes it there
(`widgets/src/saved.ts`).
"""

from __future__ import annotations

import secrets
import threading
from collections import deque
from collections.abc import Callable, Mapping
from typing import Any, Final

from IPython.core.interactiveshell import InteractiveShell
from IPython.display import display

LARGEST: Final = 300_000
"""Characters that a page may be told again and again."""
SHOWN: Final = 8
"""Displays that are frozen, the newest: a cell that runs again leaves its old one behind."""

Bundle = Mapping[str, Any]


class Saved:
    """The displays of one view. Callable from any thread."""

    def __init__(self, bundle: Callable[[], Bundle], static: Callable[[], Bundle]) -> None:
        """`bundle` is the live view with its `static` forms, text and HTML."""
        self._bundle, self._static = bundle, static
        self._handles: deque[str] = deque(maxlen=SHOWN)
        """Their ids."""
        self._lock = threading.Lock()

    def show(self) -> None:
        """Show the view where the running cell's output goes."""
        with self._lock:
            self._handles.append(secrets.token_hex(8))
            _publish(self._bundle(), self._handles[-1])

    def freeze(self) -> None:
        """The live view gives way to its text and HTML, for good."""
        with self._lock:
            if InteractiveShell.initialized():  # at the end of a kernel it may be gone
                for handle in self._handles:
                    _publish(self._static(), handle, update=True)
            self._handles.clear()


def _publish(bundle: Bundle, display_id: str, *, update: bool = False) -> None:
    display(dict(bundle), raw=True, display_id=display_id, update=update)
