"""The terminal as a wire: what is seen of what a program prints, and what is typed to it."""

from __future__ import annotations

import asyncio
import json
import tracemalloc
from collections.abc import Sequence
from typing import Any

import pytest
from rogues import on_loop

from madrox_nb import hand, printed, screen
from madrox_nb.screen import Pty
from madrox_nb.transport import Line

pytestmark = pytest.mark.slow


class Node:
    """A node without processes: remembers what is written, and reads as far as a test lets it."""

    def __init__(self) -> None:
        self.written: list[bytes] = []
        self.left = 0
        """Bytes that the program has not read."""
        self.reading: list[bool] = []

    def write(self, handle: object, data: bytes) -> None:
        self.written.append(data)

    def unread(self, handle: object) -> int:
        return self.left

    def pause(self, handle: object) -> None:
        self.reading.append(False)

    def resume(self, handle: object) -> None:
        self.reading.append(True)


class Facts:
    """A reader that remembers what the terminal told."""

    def __init__(self) -> None:
        self.told: list[dict[str, Any]] = []
        self.lines_told: list[Line] = []
        self.ends: list[str] = []
        self._news = asyncio.Event()

    def lines(self, lines: Sequence[Line]) -> None:
        self.lines_told += lines
        self.told += [json.loads(line.text) for line in lines]
        self._news.set()

    def gone(self, code: int | None, why: str) -> None:
        self.ends.append(why)

    def stuck(self, error: OSError) -> None:
        raise error

    async def next(self) -> dict[str, Any]:
        async with asyncio.timeout(60):
            while not self.told:
                self._news.clear()
                await self._news.wait()
        return self.told.pop(0)


class Terminal:
    """A terminal that a test feeds by hand."""

    def __init__(self, *, paints: bool = False, size: tuple[int, int] = (10, 40)) -> None:
        self.node, self.facts, self.offset = Node(), Facts(), 0
        self.pty = Pty(self.node, self.facts)
        self.pty._handle, self.pty._size = None, size
        self.order("look", paints=paints, exit="")

    def order(self, do: str, **more: Any) -> None:
        self.pty.write(json.dumps({"do": do, **more}))

    def expect(self, quiet: float = 0.0, words: bool = False, **see: Any) -> None:
        patterns = {name: {"pattern": each} if isinstance(each, str) else each for name, each in see.items()}
        self.order("expect", see=patterns, quiet=quiet, words=words)

    def type(self, text: str, enter: str = "\n", pause: float = 0.0) -> None:
        self.order("type", text=text, enter=enter, pause=pause)

    def prints(self, *pieces: bytes) -> None:
        for piece in pieces:
            self.pty.on_data(piece, self.offset)
            self.offset += len(piece)

    @property
    def typed(self) -> bytes:
        return b"".join(self.node.written)

    async def until_typed(self, data: bytes) -> None:
        async with asyncio.timeout(60):
            while self.typed != data:
                await asyncio.sleep(0)


def staying(pattern: str, seconds: float = 0.03, **more: Any) -> dict[str, Any]:
    return {"pattern": pattern, "stays": seconds, **more}


# what is seen


@on_loop
async def test_what_stood_before_a_match_is_told_with_its_place_in_the_wire_log() -> None:
    terminal = Terminal()
    terminal.prints(b"Welcome\n")
    terminal.expect(prompt="^> ")
    terminal.prints(b"two\n", b"> ")

    fact = await terminal.facts.next()
    assert {"fact": "saw", "name": "prompt", "before": "Welcome\ntwo\n", "match": "> ", "missing": 0} == fact
    assert (0, 14) == (terminal.facts.lines_told[0].offset, terminal.facts.lines_told[0].length)


@on_loop
async def test_characters_and_control_sequences_may_be_cut_anywhere() -> None:
    data = "a\x1b[1;31mré€\x1b[0m \x1b]8;;http://x\x1b\\link\x1b]8;;\x07\x1b(B\x1b[?2004h☃\n> ".encode()
    for cut in range(1, len(data)):
        terminal = Terminal()
        terminal.expect(prompt="^> ")
        terminal.prints(data[:cut], data[cut:])

        assert "aré€ link☃\n" == (await terminal.facts.next())["before"], cut


@on_loop
async def test_a_prompt_that_an_answer_quotes_is_no_prompt() -> None:
    terminal = Terminal()
    terminal.expect(prompt=staying("^> "))
    terminal.prints(b"see:\n> ", b"quoted\n> ", b"again\n", b"> ")

    assert "see:\n> quoted\n> again\n" == (await terminal.facts.next())["before"]
    assert [] == terminal.facts.told


@on_loop
async def test_the_edge_of_the_window_is_no_beginning_of_a_line() -> None:
    for length in range(printed.WINDOW - 4, printed.WINDOW + 4):
        terminal = Terminal()
        terminal.expect(prompt="^> ", end="END")
        terminal.prints(b"y" * length, b"> " + b"y" * printed.WINDOW, b"> ", b"END")

        assert "end" == (await terminal.facts.next())["name"], length


@on_loop
async def test_a_pattern_early_in_a_large_piece_is_found_and_what_follows_is_looked_at_too() -> None:
    terminal = Terminal()
    terminal.expect(dialog=r"\[y/N\] ")
    terminal.prints(b"x" * 10_000 + b"sure? [y/N] " + b"z" * 30_000 + b"sure? [y/N] " + b"w" * 30_000)

    assert 10_006 == len((await terminal.facts.next())["before"])
    terminal.expect(dialog=r"\[y/N\] ")
    terminal.prints(b"sure? [y/N] ")
    assert 30_006 == len((await terminal.facts.next())["before"])


@on_loop
async def test_of_a_flood_the_end_is_kept_and_the_rest_is_counted() -> None:
    terminal = Terminal()
    terminal.expect(prompt=staying("^> ", 0.001))
    tracemalloc.start()
    for _ in range(200):
        terminal.prints(b"y" * 99_999 + b"\n")
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    terminal.prints(b"> ")
    fact = await terminal.facts.next()

    assert 20_000_000 == len(fact["before"]) + fact["missing"]
    assert printed.KEPT >= len(fact["before"])
    assert 16 * printed.KEPT > peak


@on_loop
async def test_a_program_that_asks_for_its_cursor_is_answered() -> None:
    terminal, painted = Terminal(), Terminal(paints=True)
    terminal.prints(b"\x1b[", b"6n\x1b[c")
    painted.prints(b"\x1b[3;5H\x1b[6n\x1b[c")

    assert b"\x1b[1;1R\x1b[?6c" == terminal.typed
    assert b"\x1b[3;5R\x1b[?6c" == painted.typed


@on_loop
async def test_silence_is_told_once_until_something_changes() -> None:
    terminal = Terminal()
    terminal.expect(quiet=0.02, prompt="^> ")
    terminal.prints(b"thinking")

    assert {"fact": "quiet", "text": "thinking"} == await terminal.facts.next()
    assert terminal.pty._timer is None
    terminal.prints(b" on")
    assert {"fact": "quiet", "text": "thinking on"} == await terminal.facts.next()


@on_loop
async def test_a_prompt_after_a_long_wait_is_seen_in_its_own_time() -> None:
    terminal = Terminal()
    terminal.expect(quiet=100.0, prompt=staying("^> ", 0.01))
    terminal.prints(b"thinking\n")
    async with asyncio.timeout(60):
        while not terminal.pty._looked:
            await asyncio.sleep(0.01)
    terminal.prints(b"> ")

    assert "thinking\n" == (await terminal.facts.next())["before"]


@on_loop
async def test_a_prompt_that_did_not_stay_because_the_program_died_is_not_told() -> None:
    terminal = Terminal()
    terminal.expect(prompt=staying("^> "))
    terminal.prints(b"an answer\n> ")
    terminal.pty.on_exit(0)
    terminal.expect(prompt="^> ")

    assert ["exited with code 0"] == terminal.facts.ends
    assert terminal.pty._timer is None
    assert [] == terminal.facts.told


# what is told meanwhile


@on_loop
async def test_whole_lines_are_told_before_anything_is_found_and_a_piece_when_the_program_pauses() -> None:
    terminal = Terminal()
    terminal.expect(words=True, prompt="^> ")
    terminal.prints(b"one\n\x1b[1mtw", b"o\x1b[0m\nthr")

    assert {"fact": "printed", "text": "one\ntwo\nthr"} == await terminal.facts.next()
    terminal.prints(b"e")
    terminal.pty._tell_words()  # at once: it does not pause
    assert [] == terminal.facts.told
    terminal.prints(b"e\n")
    terminal.pty._tell_words()
    assert {"fact": "printed", "text": "ee\n"} == await terminal.facts.next()
    terminal.prints(b"four")
    assert {"fact": "printed", "text": "four"} == await terminal.facts.next()


@on_loop
async def test_a_line_that_goes_on_without_a_pause_is_told_in_pieces() -> None:
    terminal = Terminal()
    terminal.expect(words=True, prompt="^> ")
    terminal.prints(b"word ")
    terminal.pty._tell_words()
    assert [] == terminal.facts.told
    terminal.prints(b"word ")
    terminal.pty._tell_words()

    assert [{"fact": "printed", "text": "word word "}] == terminal.facts.told


@on_loop
async def test_nothing_is_told_when_what_is_expected_was_found_or_the_program_is_gone() -> None:
    found, gone, silent = Terminal(), Terminal(), Terminal()
    found.expect(words=True, prompt="^> ")
    found.prints(b"one\n> two\n")
    gone.expect(words=True, prompt="^> ")
    gone.prints(b"one\n")
    gone.pty.on_exit(0)
    silent.expect(prompt="^> ")
    silent.prints(b"one\n")
    assert "saw" == (await found.facts.next())["fact"]
    found.pty._tell_words()

    assert (None, None) == (gone.pty._teller, silent.pty._teller)
    assert [[], [], []] == [each.facts.told for each in (found, gone, silent)]


@on_loop
async def test_much_is_told_in_small_pieces_one_after_the_other_without_a_gap() -> None:
    terminal, loop = Terminal(), asyncio.get_running_loop()
    text = "".join(f"line {n}\n" for n in range(1500))
    terminal.expect(words=True, prompt="^> ")
    terminal.prints(text.encode())
    begun, pieces = loop.time(), [""]
    while "".join(pieces) != text:
        pieces.append((await terminal.facts.next())["text"])

    assert (len(pieces) - 1) * screen.EVERY * 0.9 <= loop.time() - begun
    assert printed.SAID >= max(map(len, pieces))
    assert {"\n"} == {piece[-1] for piece in pieces[1:]}


@on_loop
async def test_of_a_flood_that_outruns_the_telling_no_more_is_told_until_something_is_found() -> None:
    terminal = Terminal()
    terminal.expect(words=True, prompt="^> ")
    terminal.prints(*[b"y" * 99 + b"\n"] * 10_000)
    terminal.pty._tell_words()
    assert ([], None) == (terminal.facts.told, terminal.pty._teller)
    terminal.prints(b"> ")
    await terminal.facts.next()
    terminal.expect(words=True, prompt="^> ")
    terminal.prints(b"calm\n")

    assert {"fact": "printed", "text": "calm\n"} == await terminal.facts.next()


# what is typed


@on_loop
async def test_the_next_piece_is_typed_when_the_program_has_read_the_one_before() -> None:
    terminal = Terminal()
    text = "x" * (2 * hand.PIECE + 10)
    terminal.node.left = 1
    terminal.type(text)
    assert b"" == terminal.typed
    terminal.node.left = 0
    await terminal.until_typed(text[: hand.PIECE].encode())
    terminal.node.left = 0

    await terminal.until_typed(text.encode() + b"\n")
    assert [2048, 2048, 11] == [len(piece) for piece in terminal.node.written]


@on_loop
async def test_a_prompt_counts_only_when_all_that_was_typed_has_been_read() -> None:
    terminal = Terminal()
    terminal.node.left = 1
    terminal.type("hello")
    terminal.expect(prompt="^> ")
    terminal.prints(b"a prompt of before\n> ")
    assert [] == terminal.facts.told
    terminal.node.left = 0

    assert "prompt" == (await terminal.facts.next())["name"]
    assert b"hello\n" == terminal.typed


@on_loop
async def test_what_was_printed_before_typing_is_forgotten() -> None:
    terminal = Terminal()
    terminal.prints(b"stale\n> ")
    terminal.type("hello")
    terminal.expect(prompt="^> ")
    terminal.prints(b"answer\n> ")

    assert "answer\n" == (await terminal.facts.next())["before"]


@on_loop
async def test_nothing_more_is_typed_when_something_else_stands_there() -> None:
    terminal = Terminal()
    terminal.type("x" * 100_000)
    terminal.node.left = 1
    terminal.expect(prompt="^> ", shell=staying(r"^\$ ", always=True))
    terminal.prints(b"> $ no\n$ ")

    assert "shell" == (await terminal.facts.next())["name"]
    terminal.node.left = 0
    terminal.expect(end="END")
    terminal.prints(b"END")
    assert "end" == (await terminal.facts.next())["name"]
    assert hand.PIECE == len(terminal.typed)


@on_loop
async def test_a_key_that_is_pressed_comes_before_what_is_not_typed_yet() -> None:
    terminal = Terminal()
    terminal.type("x" * 10_000)
    terminal.node.left = 1
    terminal.order("press", keys="\x03")

    assert b"x" * hand.PIECE + b"\x03" == terminal.typed
    assert not terminal.pty._hand.typing


@on_loop
async def test_enter_comes_a_while_after_all_was_read() -> None:
    terminal = Terminal()
    loop = asyncio.get_running_loop()
    terminal.node.left = 0
    terminal.type("hello", enter="\r", pause=0.05)
    assert b"hello" == terminal.typed
    begun = loop.time()

    await terminal.until_typed(b"hello\r")
    assert 0.05 <= loop.time() - begun


# what is painted


@on_loop
async def test_a_screen_is_seen_as_a_person_sees_it() -> None:
    terminal = Terminal(paints=True)
    terminal.expect(box=r"^\| hello$")
    terminal.prints(
        b"\x1b[2J\x1b[H-----\r\n| he", b"lla\bo\r\n-----\x1b[5;1Hfooter", b"\x1b[>1u\x1b[?4m\x1b[?u\x1b[>0q"
    )

    assert "-----\n| hello\n-----\n\nfooter" == (await terminal.facts.next())["before"]


@on_loop
async def test_what_scrolled_off_a_screen_is_still_there() -> None:
    terminal = Terminal(paints=True)
    terminal.expect(end="^line 99$")
    terminal.prints(*(f"line {n}\r\n".encode() for n in range(100)))

    assert [f"line {n}" for n in range(100)] == (await terminal.facts.next())["before"].split("\n")


@on_loop
async def test_a_sign_that_was_there_before_is_no_sign_that_a_text_was_taken_up() -> None:
    terminal = Terminal(paints=True)
    terminal.prints(b"you: one\r\n")
    terminal.type("two")
    terminal.expect(quiet=0.2, began={"pattern": "^you: ", "more": True})
    terminal.prints(b"footer")
    assert "quiet" == (await terminal.facts.next())["fact"]
    terminal.prints(b"\ryou: two\r\n")

    assert "began" == (await terminal.facts.next())["name"]


@on_loop
async def test_a_screen_that_changes_starts_the_seconds_anew() -> None:
    terminal = Terminal(paints=True)
    loop = asyncio.get_running_loop()
    terminal.expect(prompt=staying("^>", 0.3))
    terminal.prints(b"> ")
    await asyncio.sleep(0.2)
    terminal.prints(b"\x1b[5;1Hstill busy")
    begun = loop.time()

    assert [">", "still", "busy"] == (await terminal.facts.next())["before"].split()
    assert 0.28 <= loop.time() - begun


@pytest.mark.slow
@on_loop
async def test_a_flood_is_painted_in_turns_and_the_program_has_to_wait() -> None:
    terminal = Terminal(paints=True)
    terminal.expect(end="^the end$")
    terminal.prints((b"y" * 39 + b"\r\n") * 20_000 + b"the end")
    assert [False] == terminal.node.reading
    longest, loop, stop = 0.0, asyncio.get_running_loop(), asyncio.ensure_future(terminal.facts.next())
    while not stop.done():
        begun = loop.time()
        await asyncio.sleep(0)
        longest = max(longest, loop.time() - begun)

    assert "end" == stop.result()["name"]
    assert [False, True] == terminal.node.reading
    assert 0.25 > longest


@pytest.mark.parametrize("paints", [False, True])
@on_loop
async def test_output_that_comes_before_the_first_look_is_seen(paints: bool) -> None:
    terminal = Terminal()
    terminal.pty._eye = None
    terminal.prints(b"early\r\n> ")
    terminal.order("look", paints=paints, exit="")
    terminal.expect(prompt="^> ?")

    assert "prompt" == (await terminal.facts.next())["name"]
