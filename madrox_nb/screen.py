"""The terminal of one program that expects a person: we look, and we type.

A program at a terminal speaks no protocol, so this wire has one of its own. It is line
JSON like any other, and a codec speaks it with the terminal instead of the program:

    to the terminal    look    paints, exit                once, first; `exit` is pressed to end the program
                       expect  see, quiet, words           what to look for from now on
                       type    text, enter, pause          …when the program reads it
                       press   keys                        at once; what was not typed yet is dropped
    from the terminal  saw     name, before, match, missing
                       quiet   text                        nothing changed for so many seconds
                       printed text                        meanwhile, with `words`

`see` is name → {pattern, stays, always, more}. A pattern is a regular expression in MULTILINE mode
that is looked for in what was printed since the last `saw` or `type`, or, when the program
`paints`, on the whole screen. With `stays` it counts only when it is the last that was
printed (on a screen: when nothing changes) for so many seconds, so that an answer that
quotes a prompt is no prompt. While something is being typed only those count that are
`always`. With `more` it has to be on the screen more often than when typing began. The first
that is found ends the expectation.

`before` is what was printed before the match, without control sequences, at most `KEPT`
characters; `missing` counts those that came before them and stand in the wire log alone.
Of a screen, `before` is all that is on it, and what has scrolled off the top.

With `words` what is printed is told before something of it is found: whole lines, and the
piece of a line after which the program pauses; at most `SAID` characters each `EVERY`
seconds, in order and without a gap. A program that prints so fast that what was not told
is no longer kept is told of no more, until something is found or typed.

What is typed goes in small pieces, each when the program has read the one before. So
nothing is lost in a terminal's buffer, and when a program dies half-way, whoever comes
after it at that terminal is not handed the rest.

Matching is pexpect's, the screen is pyte's. Neither reads, writes, sleeps or starts anything.
"""

from __future__ import annotations

import asyncio
import codecs
import json
import re
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

import pexpect.expect
import pexpect.spawnbase

from .nodes import AgentSpec, NodeLink
from .transport import Line, Pipe, Reader

if TYPE_CHECKING:
    pass

WINDOW = 4096
"""Characters in which a pattern is looked for at once; a match is never longer."""
KEPT = 256 * 1024
"""Characters kept of what was printed since the last match."""
SAID = 4096
"""Characters told at once of what is printed."""
EVERY = 0.1
"""Seconds between two times that is told; the program pauses when nothing changed for as long."""
PIECE = 2048
"""Bytes typed at once: half of what a terminal holds for a program that is busy."""
LOOKS = (0.001, 0.02)
"""Seconds between two looks whether the program has read: the first, and the longest."""
FRAME = 0.05
"""Seconds between two looks at a screen that changes."""
PAINTED = 1024
"""Bytes painted before the loop is left to others."""
UNPAINTED = 256 * 1024
"""Bytes that may wait to be painted before the program has to wait."""
SCROLLED = 50_000
"""Lines kept of what scrolled off a screen, as text."""

Order = Mapping[str, Any]

# their stubs describe more than the classes are
_SpawnBase: Any = pexpect.spawnbase.SpawnBase
_Expecter: Any = pexpect.expect.Expecter
_searcher_re: Any = pexpect.expect.searcher_re


class Pty(Pipe):
    """A program at a terminal. It is the `Watcher` that looks and types."""

    def __init__(self, node: NodeLink, reader: Reader) -> None:
        super().__init__(node, reader)
        self._loop = asyncio.get_running_loop()
        self._size, self._exit = (24, 80), b""
        self._eye: Eye | None = None
        self._unseen = bytearray()
        """Output that came before there was an eye to see it."""
        self._expected = Expected()
        self._from = self._upto = 0
        """Where in the wire log the present expectation began, and how far it was read."""
        self._hand = _Hand(self._loop, self._unread, self._put, self._typed)
        self._timer: asyncio.TimerHandle | None = None
        """Rings when nothing has changed for as long as something that is expected wants."""
        self._changed_at = 0.0
        self._looked = 0.0
        """Seconds without a change after which we have looked already."""
        self._paused = False
        self._teller: asyncio.TimerHandle | None = None
        """Rings when what was printed may be told."""

    @classmethod
    async def open(cls, node: NodeLink, spec: AgentSpec, reader: Reader) -> Pty:
        pty = cls(node, reader)
        pty._size = spec.screen or pty._size
        pty._handle = await node.spawn(spec, pty)
        return pty

    # orders

    def write(self, text: str) -> None:
        """One order of the codec. After the end of the program it does nothing."""
        order = json.loads(text)
        if self._gone.done():
            return
        match order["do"]:
            case "look":
                self._exit = order["exit"].encode()
                self._look(order["paints"])
            case "expect":
                self._expect(Expected.of(order))
            case "type":
                self._forget()
                self._hand.type(order["text"], order["enter"], order["pause"])
                self._expect(self._expected)
            case "press":
                self._hand.drop()
                self._put(order["keys"].encode())
                self._expect(self._expected)

    def kill(self) -> None:
        self._rest()
        super().kill()

    def pause(self) -> None:
        self._paused = True
        super().pause()

    def resume(self) -> None:
        self._paused = False
        super().resume()

    async def close(self, grace: float) -> int | None:
        self._hand.drop()
        if self._exit and not self._gone.done():
            self._put(self._exit)
            self._exit = b""
        return await super().close(grace)

    def _look(self, paints: bool) -> None:
        if paints:
            self._eye = Screen(self._size, self._put, self._flow, self._changed)
        else:
            self._eye = Stream(self._put, self._changed)
        unseen, self._unseen = bytes(self._unseen), bytearray()
        self._eye.feed(unseen)

    def _expect(self, expected: Expected) -> None:
        self._cancel()
        self._expected = expected
        if self._eye is not None:
            self._eye.seek({name: each for name, each in self._sought.items() if not each.stays})
            self._changed()
            self._listen()

    def _forget(self) -> None:
        self._from = self._upto
        if self._eye is not None:
            self._eye.forget()

    # what is seen

    def on_data(self, data: bytes, offset: int) -> None:
        self._upto = offset + len(data)
        if self._eye is None:
            self._unseen += data
            del self._unseen[:-KEPT]
            return
        self._hand.look()
        self._eye.feed(data)
        self._listen()

    def _listen(self) -> None:
        """Tell in a moment what was printed, when somebody wants the words."""
        if self._teller is None and self._expected.words and self._eye and self._eye.untold:
            self._teller = self._loop.call_later(EVERY, self._tell_words)

    def _tell_words(self) -> None:
        self._teller = None
        if self._eye is None or not self._expected.words:
            return
        pauses = self._loop.time() - self._changed_at >= EVERY
        if text := self._eye.words(pauses=pauses):
            self._tell(self._from, fact="printed", text=text)
        self._listen()

    def _changed(self) -> None:
        """What is seen is not what it was: the seconds without a change begin anew."""
        if self._looked:  # the timer is set for a later look: begin again with the first
            self._cancel()
        self._changed_at, self._looked = self._loop.time(), 0.0
        if self._eye is None or not self._expected.see:
            return
        if (found := self._eye.found) is not None:
            self._saw(found)
        elif self._timer is None:
            self._wait()

    def _wait(self) -> None:
        """Ring at the next moment that somebody wants. One timer: output comes more often than it rings."""
        wanted = [each.stays for each in self._sought.values()] + [self._expected.quiet]
        later = [seconds for seconds in wanted if seconds > self._looked]
        if later and not self._hand.typing:
            self._timer = self._loop.call_at(self._changed_at + min(later), self._still, min(later))
        elif later:
            self._timer = self._loop.call_later(min(later), self._still, min(later))

    def _still(self, seconds: float) -> None:
        """Nothing may have changed for so many seconds: what is there then has stayed."""
        self._timer = None
        if self._loop.time() < self._changed_at + seconds:
            self._wait()
            return
        self._looked = seconds
        assert self._eye is not None
        due = {name: each for name, each in self._sought.items() if 0 < each.stays <= seconds}
        if (found := self._eye.last(due)) is not None:
            self._saw(found)
            return
        if self._expected.quiet == seconds and not self._hand.typing:
            self._tell(self._from, fact="quiet", text=self._eye.text()[-WINDOW:])
        if self._timer is None and self._expected.see:
            self._wait()

    @property
    def _sought(self) -> dict[str, Pattern]:
        return self._expected.patterns(typing=self._hand.typing)

    def _saw(self, found: Found) -> None:
        self._cancel()
        self._hand.drop()
        self._expected = Expected()
        start, self._from = self._from, self._upto
        assert self._eye is not None
        self._eye.take()
        fact = {"name": found.name, "before": found.before, "match": found.match, "missing": found.missing}
        self._tell(start, fact="saw", **fact)

    def _tell(self, start: int, **fact: object) -> None:
        self._reader.lines([Line(json.dumps(fact), start, self._upto - start)])

    def _typed(self) -> None:
        self._expect(self._expected)

    def _cancel(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    # the node

    def _unread(self) -> int:
        return self._node.unread(self._handle)

    def _put(self, data: bytes) -> None:
        self._node.write(self._handle, data)

    def _flow(self, on: bool) -> None:
        if not self._paused:
            (self._node.resume if on else self._node.pause)(self._handle)

    def _rest(self) -> None:
        self._cancel()
        self._expected = Expected()
        if self._teller is not None:
            self._teller.cancel()
            self._teller = None
        self._hand.drop()

    def _tell_gone(self, code: int | None, why: str) -> None:
        self._rest()
        super()._tell_gone(code, why)


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
class Expected:
    """What is looked for, by name. The first in the output wins; at one place, the first named."""

    see: Mapping[str, Pattern] = field(default_factory=dict)
    quiet: float = 0.0
    """Seconds without a change after which that is told; 0: never."""
    words: bool = False
    """Tell what is printed meanwhile."""

    @classmethod
    def of(cls, order: Order) -> Expected:
        see = {
            name: Pattern(
                each["pattern"], each.get("stays", 0.0), each.get("always", False), each.get("more", False)
            )
            for name, each in order["see"].items()
        }
        return cls(see, order.get("quiet", 0.0), order.get("words", False))

    def patterns(self, *, typing: bool) -> dict[str, Pattern]:
        return {name: each for name, each in self.see.items() if each.always or not typing}


@dataclass(frozen=True, slots=True)
class Found:
    name: str
    before: str
    match: str
    missing: int = 0


class Eye(Protocol):
    """What sees output. It calls back whenever there is more to see."""

    found: Found | None
    """The first of what is sought, once it is there."""

    @property
    def untold(self) -> bool:
        """There is more for `words` to tell, now or later."""

    def words(self, *, pauses: bool) -> str:
        """What was printed and not told yet, at most `SAID` characters; a line's piece when it `pauses`."""

    def feed(self, data: bytes) -> None:
        """More output."""

    def seek(self, patterns: Mapping[str, Pattern]) -> None:
        """Look for these from now on, wherever they are, also in what is there."""

    def last(self, patterns: Mapping[str, Pattern]) -> Found | None:
        """The one of these that is the last that was printed."""

    def take(self) -> None:
        """What was found is used up."""

    def forget(self) -> None:
        """Look no more at what was printed up to now."""

    def text(self) -> str:
        """What is there."""


# typing


class _Hand:
    """Types: a piece at a time, the next when the program has read the one before."""

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        unread: Callable[[], int],
        put: Callable[[bytes], None],
        typed: Callable[[], None],
    ) -> None:
        self._loop, self._unread, self._put, self._done = loop, unread, put, typed
        self._pieces: deque[bytes] = deque()
        self._pause, self._wait = 0.0, LOOKS[0]
        self._timer: asyncio.TimerHandle | None = None
        self.typing = False

    def type(self, text: str, enter: str, pause: float) -> None:
        """Type `text` and then `enter`; with `pause` that comes so many seconds after all was read."""
        data, enter_keys = text.encode(errors="replace"), enter.encode()
        if not pause:
            data, enter_keys = data + enter_keys, b""
        self._pieces = deque(data[i : i + PIECE] for i in range(0, len(data), PIECE))
        self._pieces += [enter_keys] if enter_keys else []
        self._pause, self.typing = pause, True
        self._next()

    def drop(self) -> None:
        """Type no more."""
        self._pieces.clear()
        self.typing = False
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def look(self) -> None:
        """The program has said something, so it may have read too."""
        if self.typing and not self._pieces and not self._unread():
            self._finish()

    def _next(self) -> None:
        if self._unread():
            self._later(self._wait)
            self._wait = min(2 * self._wait, LOOKS[1])
            return
        self._wait = LOOKS[0]
        if not self._pieces:
            self._finish()
        elif self._pause and len(self._pieces) == 1:
            pause, self._pause = self._pause, 0.0
            self._later(pause)
        else:
            self._put(self._pieces.popleft())
            self._later(self._wait)

    def _later(self, seconds: float) -> None:
        self._timer = self._loop.call_later(seconds, self._next)

    def _finish(self) -> None:
        self.drop()
        self._done()


# what a program prints, as text

SEQUENCE = re.compile(
    r"\x1b(?:\[(?P<args>[0-?]*)[ -/]*(?P<csi>[@-~])|(?P<string>[\]PX^_])(?P<said>[^\x07\x1b]*)(?:\x1b\\|\x07)"
    r"|[ -/]*[0-Z\\`-~])|[\x00\x07]"
)
BEGUN = re.compile(r"\x1b(?:\[[0-?]*[ -/]*|[\]PX^_][^\x07\x1b]{0,4096}\x1b?|[ -/]*)?\Z")
"""A control sequence whose end has not come yet."""
PRIVATE = re.compile(r"\x1b\[(?:[<=>][0-?]*|\?[0-?]*(?![0-?hl]))[ -/]*[@-~]")
"""What pyte does not know and would stumble over: keyboards, versions, synchronised drawing."""


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


class Stream(_SpawnBase):  # type: ignore[misc]
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


class Searcher(_searcher_re):  # type: ignore[misc]
    """pexpect's, but `^` is the beginning of a line, never that of a window that is cut."""

    def search(self, buffer: str, freshlen: int, searchwindowsize: int | None = None) -> int:
        cut = len(buffer) >= WINDOW
        index: int = super().search(buffer, freshlen, len(buffer) - 1 if cut else len(buffer))
        return index


def compiled(pattern: Pattern, *, at_end: bool = False) -> re.Pattern[str]:
    return re.compile(rf"(?:{pattern.text})\Z" if at_end else pattern.text, re.MULTILINE)


# what a program paints


class Screen:
    """Output as a person would see it, by pyte, and what has scrolled off its top."""

    def __init__(
        self,
        size: tuple[int, int],
        put: Callable[[bytes], None],
        flow: Callable[[bool], None],
        changed: Callable[[], None],
    ) -> None:
        import pyte

        self._loop = asyncio.get_running_loop()
        self._scrolled: deque[str] = deque(maxlen=SCROLLED)
        self._screen = _screen(size, put, self._scrolled.append)
        self._stream = pyte.Stream(self._screen)
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")
        self._begun = ""
        self._flow, self._changed = flow, changed
        self._unpainted = bytearray()
        self._held = False
        """The program waits until we have painted."""
        self._painting = self._frame = False
        self._sought: Mapping[str, Pattern] = {}
        self._then = ""
        """What was there when typing began."""
        self._lines = [""] * size[0]
        self._shown = ""
        self.found: Found | None = None

    untold = False

    def words(self, *, pauses: bool) -> str:
        """None: what is painted is not what is said."""
        return ""

    def feed(self, data: bytes) -> None:
        self._unpainted += data
        if len(self._unpainted) > UNPAINTED and not self._held:
            self._held = True
            self._flow(False)
        if not self._painting:
            self._painting = True
            self._paint()

    def _paint(self) -> None:
        piece = bytes(self._unpainted[:PAINTED])
        del self._unpainted[:PAINTED]
        text = self._begun + self._decoder.decode(piece)
        begun = BEGUN.search(text)
        self._begun = begun.group() if begun else ""
        self._stream.feed(PRIVATE.sub("", text[: begun.start()] if begun else text))
        if not self._frame:
            self._frame = True
            self._loop.call_later(FRAME, self._look)
        if self._unpainted:
            self._loop.call_soon(self._paint)
            return
        self._painting = False
        if self._held:
            self._held = False
            self._flow(True)

    def _look(self) -> None:
        self._frame = False
        before, self._shown = self._shown, self._drawn()
        if before != self._shown:
            self.found = self._first(self._sought)
            self._changed()

    def _drawn(self) -> str:
        """The screen as lines. Only those that changed are put together again."""
        for y in self._screen.dirty:
            self._lines[y] = _row(self._screen, y)
        self._screen.dirty.clear()
        return "\n".join(self._lines)

    def _first(self, patterns: Mapping[str, Pattern]) -> Found | None:
        for name, each in patterns.items():
            pattern = compiled(each)
            match = pattern.search(self._shown)
            if match and (not each.more or _count(pattern, self.text()) > _count(pattern, self._then)):
                text = self.text()
                return Found(name, text[-KEPT:], match.group(), max(0, len(text) - KEPT))
        return None

    def seek(self, patterns: Mapping[str, Pattern]) -> None:
        self._sought = patterns
        self._shown = self._drawn()
        self.found = self._first(patterns)

    def last(self, patterns: Mapping[str, Pattern]) -> Found | None:
        """What is on a screen that does not change has stayed, wherever it is."""
        return None if self._unpainted else self._first(patterns)

    def take(self) -> None:
        self.found = None
        self._sought = {}

    def forget(self) -> None:
        self.take()
        self._drawn()
        self._then = self.text()

    def text(self) -> str:
        """What has scrolled off the top, and what is there."""
        return "\n".join([*self._scrolled, *self._lines]).rstrip()


def _screen(size: tuple[int, int], put: Callable[[bytes], None], scrolled: Callable[[str], None]) -> Any:
    """A screen of pyte's that answers its program, and says what scrolls off its top."""
    import pyte

    class Paper(pyte.Screen):
        def index(self) -> None:
            top, bottom = self.margins or (0, self.lines - 1)
            if top == 0 and self.cursor.y == bottom:
                scrolled(_row(self, 0))
            super().index()

        def write_process_input(self, data: str) -> None:
            put(data.encode())

    return Paper(size[1], size[0])


def _row(screen: Any, y: int) -> str:
    line = screen.buffer[y]
    return "".join(line[x].data for x in range(screen.columns)).rstrip()


def _count(pattern: re.Pattern[str], text: str) -> int:
    return sum(1 for _ in pattern.finditer(text))
