"""The end of an agent's wire, as a person can read it: its protocol line by line, or its painted screen.

Read from `wire.log`, so that it is there for an agent that has ended too.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

import orjson

from .painted import as_seen
from .transport import ANSI

LONGEST: Final = 400
"""Characters of one line of a protocol."""
LOOKED_AT: Final = 256 * 1024
"""Bytes at the end of a wire that are read for protocol lines; a longer last line is shown by its end."""
PAINTED: Final = 64 * 1024
"""Bytes at the end of a terminal's wire that are painted: a sixth of a second."""
_HEADS: Final = ("type", "method", "subtype", "event", "sessionUpdate")
"""Where protocols say what kind of line it is."""


def protocol(log: Path, lines: int) -> list[str]:
    """The last lines that came from a CLI with a protocol, oldest first, each as `kind name=value …`."""
    data, whole = _end_of(log, LOOKED_AT)
    found = data.split(b"\n")
    if not whole:
        found = found[1:] or found  # its beginning is missing
    texts = [text for text in found if text.strip()]
    return [readable(text.decode("utf-8", "replace")) for text in texts[-lines:]]


def screen(log: Path, lines: int, size: tuple[int, int]) -> list[str]:
    """What a person would see at a program's terminal, with what has scrolled off: the last `lines` of it."""
    data, _ = _end_of(log, PAINTED)
    return as_seen(data, size).splitlines()[-lines:]


def raw(log: Path) -> str:
    """The end of a wire, without control sequences."""
    return ANSI.sub("", _end_of(log, LOOKED_AT)[0].decode("utf-8", "replace"))


def _end_of(log: Path, limit: int) -> tuple[bytes, bool]:
    """(the last bytes, whether that is all). Nothing, for a log that is not there."""
    try:
        with log.open("rb") as file:
            size = file.seek(0, 2)
            file.seek(max(0, size - limit))
            return file.read(), size <= limit
    except FileNotFoundError:
        return b"", True


def readable(line: str) -> str:
    """One line of a protocol: its kind first, then its fields. What is no JSON stays as it is."""
    try:
        found = orjson.loads(line)
    except orjson.JSONDecodeError:
        return _cut(ANSI.sub("", line).rstrip())
    if not isinstance(found, dict):
        return _cut(line)
    head = " ".join(str(found[key]) for key in _HEADS if isinstance(found.get(key), str))
    rest = {key: value for key, value in found.items() if not (key in _HEADS and isinstance(value, str))}
    return _cut(" ".join(filter(None, (head, *_fields(rest)))))


def _fields(value: Any, name: str = "") -> Iterator[str]:
    if isinstance(value, Mapping):
        for key, each in value.items():
            yield from _fields(each, f"{name}.{key}" if name else str(key))
    elif isinstance(value, list) and any(isinstance(each, Mapping | list) for each in value):
        for number, each in enumerate(value):
            yield from _fields(each, f"{name}.{number}")
    elif value not in (None, "", []):
        yield f"{name}={orjson.dumps(value).decode()}"


def _cut(text: str) -> str:
    return text if len(text) <= LONGEST else f"{text[:LONGEST]}… ({len(text):,} characters)"
