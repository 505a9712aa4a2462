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

`before` is what was printed before the match, without control sequences, at most 256 Ki
characters; `missing` counts those that came before them and stand in the wire log alone.
Of a screen, `before` is all that is on it, and what has scrolled off the top.

With `words` what is printed is told before something of it is found: whole lines, and the
piece of a line after which the program pauses, or that goes on for long; at most 4096 characters each `EVERY`
seconds, in order and without a gap. A program that prints so fast that what was not told
is no longer kept is told of no more, until something is found or typed.

What is typed goes in small pieces, each when the program has read the one before. So
nothing is lost in a terminal's buffer, and when a program dies half-way, whoever comes
after it at that terminal is not handed the rest.

This file looks and decides when; what is printed is seen in `printed.py`, what is painted
in `painted.py`, and `hand.py` types.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from .hand import Hand
from .nodes import AgentSpec, NodeLink
from .painted import Screen
from .printed import KEPT, WINDOW, Found, Pattern, Stream
from .transport import Line, Pipe, Reader

EVERY = 0.1
"""Seconds between two tellings of what is printed; the program pauses when nothing changed for as long."""

Order = Mapping[str, Any]


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
        self._hand = Hand(self._loop, self._unread, self._put, self._typed)
        self._timer: asyncio.TimerHandle | None = None
        """Rings when nothing has changed for as long as something that is expected wants."""
        self._changed_at = 0.0
        self._looked = 0.0
        """Seconds without a change after which we have looked already."""
        self._paused = False
        self._teller: asyncio.TimerHandle | None = None
        """Rings when what was printed may be told."""
        self._waited = False
        """When it rang last, there was only a piece of a line."""

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
        text = self._eye.words(pauses=pauses or self._waited)
        self._waited = not text
        if text:
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


class Eye(Protocol):
    """What sees output. It calls back whenever there is more to see."""

    found: Found | None
    """The first of what is sought, once it is there."""

    @property
    def untold(self) -> bool:
        """There is more for `words` to tell, now or later."""

    def words(self, *, pauses: bool) -> str:
        """What was printed and not told yet, at most 4096 characters; a line's piece when it `pauses`."""

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
