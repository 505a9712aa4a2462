"""What a terminal program prints as an answer, without what of it is no answer.

Watchers hear an answer while it is printed, and they should hear what its end will say:
`Words` cleans it line by line. A line counts when it is whole. A piece of one counts
when the program pauses in it, unless it may be a prompt, or a line that is still being
written anew.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from .profile import Profile

HELD = 16 * 1024
"""Characters that may wait until it is clear whether they are an answer; then no more is told of it."""
MARK = "\0"
"""Stands for what is before or after; the terminal lets none through."""


class Words:
    """The words of one answer, as they come."""

    def __init__(self, profile: Profile, echo: Iterable[str]) -> None:
        self._prompt, self._strip = profile.prompt, profile.answer.strip
        self._echo = list(echo)
        self._first = True
        """No line was told of yet: what comes is the beginning of the answer."""
        self._raw = ""
        """Printed, and not told of as whole lines."""
        self._told = ""
        """What was told of the line under way."""
        self._blank = ""
        """Line ends and spaces, told when something follows them: an answer has none at its end."""
        self._spoke = False
        self.over = False
        """No more can be told of this answer before its end."""

    def more(self, text: str) -> str:
        """What is to be told now that `text` was printed."""
        if self.over:
            return ""
        self._raw += text
        self.over = len(self._raw) > HELD + len(text)
        self._pass_echo()
        before = len(self._raw)
        said = self._lines()
        begun = "" if self._unsure() else self._answer(self._raw) or ""
        if len(self._raw) == before and not begun:
            return ""
        fresh = self._after_told(said + begun)
        self._told = begun
        return self._trimmed(fresh)

    def _pass_echo(self) -> None:
        """Drop whole lines of our own text, as `without_echo` will."""
        while self._echo and "\n" in self._raw:
            line, _, rest = self._raw.partition("\n")
            if not printed(line).rstrip().endswith(self._echo[0].rstrip()):
                self._echo = []
                return
            self._raw = rest
            del self._echo[0]

    def _lines(self) -> str:
        """The answer in the whole lines that came, up to one that depends on what follows."""
        lines, end, piece = self._raw.rpartition("\n")
        if (whole := self._answer(lines + end)) is not None:
            self._raw, self._first = piece, self._first and not end
            return whole
        said = ""
        for line in lines.split("\n"):
            if (each := self._answer(line + "\n")) is None:
                break
            self._raw, self._first = self._raw[len(line) + 1 :], False
            said += each
        return said

    def _unsure(self) -> bool:
        """Whether the line under way may still be something else than of the answer."""
        open_ = bool(self._echo) or any(c in self._raw for c in "\n\r\b")
        return open_ or re.search(self._prompt, self._raw, re.MULTILINE) is not None

    def _answer(self, raw: str) -> str | None:
        """`raw` without what is stripped; None when that depends on what follows."""
        before = "" if self._first else MARK + "\n"
        text = before + printed(raw)
        ended, open_ = self._stripped(text), self._stripped(text + MARK)
        if open_ != ended + MARK or not ended.startswith(before):
            return None
        return ended.removeprefix(before)

    def _stripped(self, text: str) -> str:
        for pattern in self._strip:
            text = re.sub(pattern, "", text, flags=re.MULTILINE)
        return text

    def _after_told(self, text: str) -> str:
        """What follows in this line; one that was written anew since is told anew."""
        return text[len(self._told) :] if text.startswith(self._told) else "\n" + text

    def _trimmed(self, fresh: str) -> str:
        text = self._blank + fresh
        if not self._spoke:
            text = text.lstrip("\n")
        told = text.rstrip()
        self._blank = text[len(told) :]
        self._spoke = self._spoke or bool(told)
        return told


def printed(text: str) -> str:
    """Text as it looks after its carriage returns and backspaces."""
    if "\r" not in text and "\b" not in text:
        return text
    return "\n".join(_overwritten(line) for line in re.sub(r"\r+\n", "\n", text).split("\n"))


def without_echo(text: str, echo: Iterable[str]) -> str:
    """`text` without its first lines that are those of `echo`, whatever prompts stand before them."""
    for line in echo:
        first, _, rest = text.partition("\n")
        if not first.rstrip().endswith(line.rstrip()):
            break
        text = rest
    return text


def _overwritten(line: str) -> str:
    """What is left of a line that was written anew: the last time counts."""
    line = line.rstrip("\r").rpartition("\r")[2]
    while "\b" in line:
        line = re.sub("[^\b]\b|^\b+", "", line)
    return line
