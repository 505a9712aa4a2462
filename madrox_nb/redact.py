"""Secrets are replaced by value: in what is recorded and in what is shown live.

Each value is looked for as it is and as it would stand in JSON, in a Python repr, in
a URL and in base64 (at each of the three alignments), and becomes `{secret:NAME}`.
Our own bearer tokens have a form of their own, so one pattern covers all of them,
past and future.
"""

from __future__ import annotations

import base64
import json
import re
from dataclasses import replace
from typing import Any
from urllib.parse import quote, quote_plus

from .events import Event, Unknown

TOKEN_PREFIX = "mdx_"  # noqa: S105 — the form of our tokens, not one of them
PROSE = frozenset(
    {
        *("text", "error", "reason", "evidence", "input", "output", "why"),
        *("system_prompt", "options", "extra_args"),
    }
)
"""The fields that hold words of others. The rest are names and ids, on which everything hangs."""
SHORTEST = 8
"""Values below this many characters are too common to be replaced by value."""

_TOKEN = re.compile(TOKEN_PREFIX + r"[A-Za-z0-9_-]{32,}")
_TOKEN_BEGUN = re.compile(r"(?:mdx_[A-Za-z0-9_-]*|mdx|md|m)\Z")
_TOKEN_MARK = TOKEN_PREFIX.encode()
_TOKEN_SHOWN = "{secret:token}"  # noqa: S105 — what stands in its place

_LEFT_IN_URLS = ("", "/", "!*'()", "!*'();,/?:@&=+$#")
"""What is not percent-encoded: strictly nothing, by Python's `quote`, by JavaScript's
`encodeURIComponent`, by its `encodeURI`."""


def spellings(value: str) -> list[str]:
    """Every form of `value` that we look for, longest first."""
    raw = value.encode("utf-8", "surrogatepass")
    # the second repr stands inside a text that holds both kinds of quotes
    found = {value, repr(value)[1:-1], repr("\"'" + value)[4:-1]}
    for _ in range(2):  # the input of a tool is JSON text, and may itself hold some
        found |= {json.dumps(form, ensure_ascii=ascii_)[1:-1] for form in found for ascii_ in (True, False)}
    in_urls = {quote(value, safe=left, errors="replace") for left in _LEFT_IN_URLS}
    in_urls.add(quote_plus(value, errors="replace"))
    found |= in_urls | {re.sub("%..", lambda code: code[0].lower(), form) for form in in_urls}
    for shift in range(3):
        shifted = base64.b64encode(b"\0" * shift + raw).decode()
        # the characters at both ends also depend on the neighbours: leave them out
        inner = shifted[(0, 2, 3)[shift] : len(shifted.rstrip("=")) - ((shift + len(raw)) % 3 != 0)]
        found |= {inner, inner.translate(str.maketrans("+/", "-_"))}
    return sorted((f for f in found if len(f) >= SHORTEST), key=len, reverse=True)


class Redactor:
    """Knows the secrets of a run and takes them out of texts and events.

    Used from any thread: what is looked through is replaced, never changed.
    """

    def __init__(self) -> None:
        self._shown: dict[str, str] = {}
        self._values: dict[str, str] = {}
        """What is shown → the secret."""
        self._needles: tuple[bytes, ...] = (_TOKEN_MARK,)
        """What is looked for in a serialised entry."""

    def add(self, name: str, value: str) -> bool:
        """Replace `value` from now on. False when it is too short to be replaced by value.

        White space around it (a newline at the end of a file) does not belong to it.
        """
        value = value.strip()
        if len(value) < SHORTEST:
            return False
        self._values[f"{{secret:{name}}}"] = value
        shown = {**dict.fromkeys(spellings(value), f"{{secret:{name}}}"), **self._shown}
        self._shown = dict(sorted(shown.items(), key=lambda item: -len(item[0])))
        in_json = {json.dumps(form, ensure_ascii=False)[1:-1] for form in self._shown}
        self._needles = (_TOKEN_MARK, *(form.encode("utf-8", "surrogatepass") for form in in_json))
        return True

    def stains(self, line: bytes) -> bool:
        """Whether a serialised entry may hold a secret. Cheap: asked for every event."""
        find = line.find  # `in` first takes what is looked for to be a number, and costs half as much again
        for needle in self._needles:  # noqa: SIM110 — a generator would cost more than the search
            if find(needle) >= 0:
                return True
        return False

    def text(self, text: str) -> str:
        """`text` without secrets."""
        for form, shown in self._shown.items():
            if form in text:
                text = text.replace(form, shown)
        return _TOKEN.sub(_TOKEN_SHOWN, text) if TOKEN_PREFIX in text else text

    def restored(self, text: str) -> str:
        """`text` with the secrets put back that it once held. Only for what no agent can have written."""
        for shown, value in self._values.items():
            if shown in text:
                text = text.replace(shown, value)
        return text

    def event(self, event: Event) -> Event:
        """`event` with what people and programs say in it redacted. Names and ids stay."""
        if isinstance(event, Unknown):
            return replace(event, row=self._value(event.row))
        prose = {name: value for name, value in event.fields().items() if name in PROSE and value}
        changed = {name: clean for name, value in prose.items() if (clean := self._value(value)) != value}
        return replace(event, **changed) if changed else event

    def _value(self, value: Any) -> Any:
        match value:
            case str():
                return self.text(value)
            case tuple() | list():
                return type(value)(self._value(v) for v in value)
            case dict():
                return {self.text(k): self._value(v) for k, v in value.items()}
            case _:
                return value

    def stream(self) -> Stream:
        """For text that arrives in pieces: a secret may be split between two of them."""
        return Stream(self)

    def withheld(self, text: str) -> int:
        """How many characters at the end of `text` may be the beginning of a secret.

        A whole secret that reaches into them is held back too: without its end it would
        not be recognised.
        """
        cut = min((_begun(form, text) for form in self._shown), default=len(text))
        if (token := _TOKEN_BEGUN.search(text)) is not None:
            cut = min(cut, token.start())
        while (earlier := self._across(text, cut)) is not None:
            cut = earlier
        return len(text) - cut

    def divides(self, text: str, cut: int) -> bool:
        """Whether a secret stands on both sides of `cut`: apart its halves would not be recognised."""
        return self._across(text, cut) is not None

    def _across(self, text: str, cut: int) -> int | None:
        """Where a whole secret begins that `cut` would divide."""
        for form in self._shown:
            at = text.find(form, max(0, cut - len(form) + 1), cut - 1 + len(form))
            if at >= 0:
                return at
        spans = (token.span() for token in _TOKEN.finditer(text))
        return next((start for start, end in spans if start < cut < end), None)


class Stream:
    """Redacts a text that arrives in pieces, holding back what may become a secret."""

    def __init__(self, redactor: Redactor) -> None:
        self._redactor, self._held = redactor, ""

    def feed(self, piece: str) -> str:
        """What of the text so far is safe to show now."""
        text = self._held + piece
        held = self._redactor.withheld(text)
        self._held = text[len(text) - held :] if held else ""
        return self._redactor.text(text[: len(text) - held])

    def flush(self) -> str:
        """The rest, once no more will come."""
        rest, self._held = self._held, ""
        return self._redactor.text(rest)


def _begun(form: str, text: str) -> int:
    """Where the beginning of `form` stands at the end of `text`, else the length of `text`."""
    at = text.find(form[0], max(0, len(text) - len(form) + 1))
    while at >= 0 and not form.startswith(text[at:]):
        at = text.find(form[0], at + 1)
    return at if at >= 0 else len(text)
