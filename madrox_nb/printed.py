"""What a program prints, as one long text in which patterns are found.

Matching is pexpect's. It neither reads, writes, sleeps nor starts anything here.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pexpect.expect
import pexpect.spawnbase

WINDOW = 4096
"""Characters in which a pattern is looked for at once; a match is never longer."""
KEPT = 256 * 1024
"""Characters kept of what was printed since the last match."""
SAID = 4096
"""Characters told at once of what is printed."""

SEQUENCE = re.compile(
    r"\x1b(?:\[(?P<args>[0-?]*)[ -/]*(?P<csi>[@-~])|(?P<string>[\]PX^_])(?P<said>[^\x07\x1b]*)(?:\x1b\\|\x07)"
    r"|[ -/]*[0-Z\\`-~])|[\x00\x07]"
)
BEGUN = re.compile(r"\x1b(?:\[[0-?]*[ -/]*|[\]PX^_][^\x07\x1b]{0,4096}\x1b?|[ -/]*)?\Z")
"""A control sequence whose end has not come yet."""

# their stubs describe more than the classes are
_SpawnBase: Any = pexpect.spawnbase.SpawnBase
_Expecter: Any = pexpect.expect.Expecter
_searcher_re: Any = pexpect.expect.searcher_re


@dataclass(frozen=True, slots=True)
class Pattern:
    """What to look for, and what else has to be true of it."""

    text: str
    stays: float = 0.0
    """Seconds that it has to stay the last that was printed."""
    always: bool = False
    """Also while something is being typed."""
    more: bool = False
    """On a screen: more often than when typing began."""


@dataclass(frozen=True, slots=True)
class Found:
    name: str
    before: str
    match: str
    missing: int = 0


def answers(csi: str, args: str) -> str:
    """What a terminal answers when it is asked where its cursor is, whether it is well, what it is."""
    match csi, args:
        case "n", "6":
            return "\x1b[1;1R"
        case "n", "5":
            return "\x1b[0n"
        case "c", "" | "0":
            return "\x1b[?6c"
    return ""


class Stream(_SpawnBase):  # type: ignore[misc]  # pexpect has no types for it
    """Output as one long text, in which pexpect finds patterns.

    Lines that a program writes anew (spinners, bars) stay in it with their carriage
    returns; going to a line's beginning by other means becomes one.
    """

    def __init__(self, put: Callable[[bytes], None], changed: Callable[[], None]) -> None:
        super().__init__(timeout=None, searchwindowsize=WINDOW, encoding="utf-8", codec_errors="replace")
        self._put, self._changed = put, changed
        self._expecter: Any = None
        self._sought: list[str] = []
        self._begun = ""
        self._dropped = self._told = 0
        """Characters since the last match that are not kept any more, and that `words` has told."""
        self.found: Found | None = None

    @property
    def untold(self) -> bool:
        kept: int = self._before.tell()
        return self._dropped <= self._told < self._dropped + kept

    def words(self, *, pauses: bool) -> str:
        if not self.untold:
            return ""
        start = self._told - self._dropped
        text = self.text()[start : start + SAID]
        whole = text.rfind("\n") + 1
        if len(text) == SAID:
            text = text[: whole or SAID]
        elif not pauses:
            text = text[:whole]
        self._told += len(text)
        return text

    def feed(self, data: bytes) -> None:
        text = self._plain(self._begun + self._decoder.decode(data))
        for start in range(0, len(text), WINDOW // 2):
            self._add(text[start : start + WINDOW // 2])
            self._changed()

    def seek(self, patterns: Mapping[str, Pattern]) -> None:
        self.found = self._expecter = None
        if patterns:
            self._sought = list(patterns)
            searcher = Searcher([compiled(each) for each in patterns.values()])
            self._expecter = _Expecter(self, searcher)
            self._see(_Expecter(self, searcher, None).existing_data(), self._sought)

    def last(self, patterns: Mapping[str, Pattern]) -> Found | None:
        if patterns:
            searcher = Searcher([compiled(each, at_end=True) for each in patterns.values()])
            self._see(_Expecter(self, searcher).existing_data(), list(patterns))
        return self.found

    def take(self) -> None:
        self.found = self._expecter = None
        self._dropped = self._told = 0

    def forget(self) -> None:
        self.take()
        self._before, self._buffer = self.buffer_type(), self.buffer_type()

    def text(self) -> str:
        printed: str = self._before.getvalue()
        return printed

    def _plain(self, text: str) -> str:
        """Without control sequences; those that ask something are answered."""
        if not any(c in text for c in "\x1b\x07\0"):  # most of what programs print
            self._begun = ""
            return text
        begun = BEGUN.search(text)
        self._begun = begun.group() if begun else ""
        return SEQUENCE.sub(self._meant, text[: begun.start()] if begun else text)

    def _meant(self, sequence: re.Match[str]) -> str:
        csi, args = sequence["csi"], sequence["args"] or ""
        if csi is None:
            return ""
        if answer := answers(csi, args):
            self._put(answer.encode())
        if (csi == "G" and args in ("", "1")) or (csi == "K" and args == "2"):
            return "\r"
        if csi == "D":
            return "\b" * min(int(args) if args.isdecimal() else 1, WINDOW)
        return ""

    def _add(self, piece: str) -> None:
        if self._expecter is not None:
            self._see(self._expecter.new_data(piece), self._sought)
        else:
            self._before.write(piece)
            self._buffer.write(piece)
        if self._before.tell() > 2 * KEPT:
            kept = self._before.getvalue()
            self._dropped += len(kept) - KEPT
            self._before, self._buffer = self.buffer_type(), self.buffer_type()
            self._before.write(kept[-KEPT:])
            self._buffer.write(kept[-WINDOW:])

    def _see(self, index: int | None, names: Sequence[str]) -> None:
        if index is not None:
            missing = self._dropped + max(0, len(self.before) - KEPT)
            self.found = Found(names[index], self.before[-KEPT:], self.after, missing)


class Searcher(_searcher_re):  # type: ignore[misc]  # pexpect has no types for it
    """pexpect's, but `^` is the beginning of a line, never that of a window that is cut."""

    def search(self, buffer: str, freshlen: int, searchwindowsize: int | None = None) -> int:
        cut = len(buffer) >= WINDOW
        index: int = super().search(buffer, freshlen, len(buffer) - 1 if cut else len(buffer))
        return index


def compiled(pattern: Pattern, *, at_end: bool = False) -> re.Pattern[str]:
    return re.compile(rf"(?:{pattern.text})\Z" if at_end else pattern.text, re.MULTILINE)
