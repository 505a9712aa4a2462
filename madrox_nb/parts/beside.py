"""When the lines of a wire came, and what its program wrote to its standard error between them."""

from __future__ import annotations

import os
from bisect import bisect_right
from dataclasses import dataclass
from operator import attrgetter
from pathlib import Path
from typing import Any, Final

from ..arrivals import Arrival
from ..redact import Redactor

STDERR: Final = "stderr.log"
SHOWN: Final = 4 * 1024
"""Bytes of standard error between two lines that are shown; more is counted."""
NEAR: Final = 4 * 1024
"""Bytes on either side of a place in which a secret is looked for that would be divided there."""


@dataclass(frozen=True, slots=True)
class Beside:
    """What `arrivals` tell of the lines of one look. A line counts as come when its end has."""

    arrivals: list[Arrival]
    wire: Path
    redactor: Redactor

    def of(self, data: bytes, at: int) -> dict[str, Any]:
        """`came`: [line, seconds since 1970], where another than before. `stderr`: [line, text before it]."""
        came: list[tuple[int, float]] = []
        said: list[tuple[int, str]] = []
        before, end = self._at(at - 1), data.find(b"\n")
        number = 0
        while end >= 0:
            here = self._at(at + end)
            if here is not None and (not came or came[-1][1] != here.when):
                came.append((number, here.when))
            if text := self._said(before, here):
                said.append((number, text))
            before, end, number = here, data.find(b"\n", end + 1), number + 1
        return {"came": came, "stderr": said}

    def rest(self, end: int) -> str:
        """What has come on standard error since the last line, which ends before byte `end` of the wire."""
        since = self._at(end - 1)
        return self._between(since.stderr if since else 0, length_of_stderr(self.wire))

    def _at(self, byte: int) -> Arrival | None:
        found = bisect_right(self.arrivals, byte, key=attrgetter("at"))
        return self.arrivals[found - 1] if found and byte >= 0 else None

    def _said(self, before: Arrival | None, here: Arrival | None) -> str:
        if here is None or here is before:
            return ""
        return self._between(before.stderr if before else 0, here.stderr)

    def _between(self, first: int, end: int) -> str:
        """The whole lines that begin there, without secrets."""
        if end <= first:
            return ""
        with self.wire.with_name(STDERR).open("rb") as file:
            begin, until = self._settled(file.fileno(), first), self._settled(file.fileno(), end)
            data = os.pread(file.fileno(), min(SHOWN, until - begin), begin)
        text = self.redactor.text(data.decode("utf-8", "replace"))
        left = until - begin - len(data)
        return f"{text}\n… {left:,} bytes more in {STDERR}\n" if left else text

    def _settled(self, file: int, place: int) -> int:
        """Where the last line before `place` begins that no secret reaches into, nor one that has begun."""
        origin = max(0, place - NEAR)
        data = os.pread(file, place - origin + NEAR, origin)
        line = place - origin
        while (line := data.rfind(b"\n", 0, line) + 1) > 0:
            before, after = (part.decode("utf-8", "replace") for part in (data[:line], data[line:]))
            begun = self.redactor.withheld(before + after)
            if begun <= len(after) and not self.redactor.divides(before + after, len(before)):
                break
            line -= 1
        return origin + line


def length_of_stderr(wire: Path) -> int:
    """In bytes. 0 for a program at a terminal: there it is on the wire."""
    try:
        return wire.with_name(STDERR).stat().st_size
    except FileNotFoundError:
        return 0
