"""`madrox.log`: what this process has to say about itself, to its file alone."""

from __future__ import annotations

import logging
import os
from pathlib import Path
from typing import Any

logging.getLogger(__package__).addHandler(logging.NullHandler())  # else Python prints what nobody takes


class LogFile(logging.FileHandler):
    """`madrox.log`, private, made when there is something to say. Never a word into a cell."""

    def __init__(self, path: Path) -> None:
        super().__init__(path, encoding="utf-8", delay=True)
        self.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(name)s: %(message)s"))

    def open(self, level: str) -> None:
        ours = logging.getLogger(__package__)
        self.setLevel(level)
        ours.setLevel(level)
        ours.propagate = False
        ours.addHandler(self)

    def close(self) -> None:
        logging.getLogger(__package__).removeHandler(self)
        super().close()

    def _open(self) -> Any:
        fd = os.open(self.baseFilename, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
        return os.fdopen(fd, "a", encoding="utf-8", errors="backslashreplace")

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802 — logging's name
        """A full disk, or a home that is gone: nobody can be told."""
