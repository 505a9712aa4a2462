"""What a kernel leaves behind about a running CLI, so that the next one can go on with it.

In the agent's private directory, 0600, next to its wire log:

    brief.json     what it was told at birth, without secrets
    marks.jsonl    what was asked of its codec, and after how many lines it had read

A codec is pure: read the same lines and asked the same at the same places, it comes to the
same state. The ledger can't tell those places: that somebody has interrupted stands there
only when the turn has ended, and nothing says whether an answer went out. So the codec's
verbs are written down as they are called, one line each, which costs a few microseconds a
turn. What stands there is what went over the wire, so it is as private as the wire log.
"""

from __future__ import annotations

import contextlib
import json
import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from functools import wraps
from pathlib import Path
from typing import Any

from .errors import HarnessError
from .harness import Brief, Harness, Item, Write
from .keeping import put

BRIEF, MARKS = "brief.json", "marks.jsonl"
VERBS = ("greet", "prompt", "steer", "interrupt", "answer")
WROTE = "wrote"
"""Not a verb: what the last line that was read made the codec write went out."""
SECRET = ("mcp_token", "mcp_servers", "environ", "texts")
"""Of a brief: what is never written down. The CLI has its own."""

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Mark:
    """Something that was asked of a codec."""

    read: int
    """After so many lines."""
    verb: str
    arguments: tuple[str, ...] = ()

    def ask(self, codec: Harness) -> list[str]:
        """Ask it again: the lines to write."""
        return list(getattr(codec, self.verb)(*self.arguments))

    def line(self) -> str:
        return json.dumps([self.read, self.verb, *self.arguments]) + "\n"


def mark(codec: Harness, marks: Sequence[Mark] = (), read: int = 0) -> None:
    """From now on write down what is asked of `codec`, which has come through `marks` and so many lines.

    What can't be written is not followed by more: half the evidence would lead to a wrong
    state, none at all is seen.
    """
    directory = Path(codec.brief.files)
    put(directory / MARKS, "".join(mark.line() for mark in marks))
    file = _Marks(directory / MARKS, read)
    mine = {verb: file.marked(verb, getattr(codec, verb)) for verb in VERBS}
    vars(codec).update(mine, read=file.counted(codec.read))


class _Marks:
    """The file of one codec."""

    def __init__(self, path: Path, read: int) -> None:
        self._path: Path | None = path
        self._read, self._inside = read, False

    def marked(self, verb: str, ask: Callable[..., Iterable[str]]) -> Callable[..., Iterable[str]]:
        @wraps(ask)
        def asked(*arguments: str) -> Iterable[str]:
            if self._inside:  # the codec asks itself, and will do so again
                return ask(*arguments)
            self._write(verb, arguments)
            return self._within(ask, *arguments)

        return asked

    def counted(self, read: Callable[[str], Iterable[Item]]) -> Callable[[str], Iterable[Item]]:
        @wraps(read)
        def reading(line: str) -> Iterable[Item]:
            self._read += 1
            items = self._within(read, line)
            if any(isinstance(item, Write) for item in items):
                self._write(WROTE, ())
            return items

        return reading

    def _within(self, call: Callable[..., Iterable[Any]], *arguments: str) -> list[Any]:
        self._inside = True
        try:
            return list(call(*arguments))
        finally:
            self._inside = False

    def _write(self, verb: str, arguments: tuple[str, ...]) -> None:
        if self._path is None:
            return
        try:
            with self._path.open("ab", buffering=0) as file:
                file.write(Mark(self._read, verb, arguments).line().encode())
        except OSError as exc:
            log.warning("%s: the agent can't be handed over to another kernel: %s", self._path, exc)
            with contextlib.suppress(OSError):
                self._path.unlink()
            self._path = None


def find_marks(directory: Path) -> list[Mark]:
    """What was asked of the codec whose agent has its files in `directory`. Raises `HarnessError`."""
    try:
        lines = (directory / MARKS).read_bytes().splitlines(keepends=True)
    except OSError as exc:
        raise HarnessError(f"nothing says what was asked of the agent in {directory}: {exc}") from exc
    whole = [json.loads(line) for line in lines if line.endswith(b"\n")]
    return [Mark(read, verb, tuple(arguments)) for read, verb, *arguments in whole]


def leave_brief(brief: Brief) -> None:
    """Write down what an agent was told at birth, without secrets."""
    told = {name: value for name, value in asdict(brief).items() if name not in SECRET}
    put(Path(brief.files) / BRIEF, json.dumps(told))


def find_brief(directory: Path, environ: Mapping[str, str]) -> Brief:
    """What the agent with its files in `directory` was told. Raises `HarnessError`.

    `environ` is what it would be given today. The token is missing: no codec needs it any
    more when its process runs.
    """
    try:
        told = dict(json.loads((directory / BRIEF).read_text(encoding="utf-8")))
        known = {f.name for f in fields(Brief)}
        lists = {name: tuple(value) for name, value in told.items() if isinstance(value, list)}
        mine = {name: value for name, value in {**told, **lists}.items() if name in known}
        return Brief(**mine, environ=environ)
    except (OSError, ValueError, TypeError) as exc:
        raise HarnessError(f"nothing says what the agent in {directory} was told: {exc}") from exc
