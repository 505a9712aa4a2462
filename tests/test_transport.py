"""The wire: bytes become lines, whatever they look like, and every process comes to an end."""

from __future__ import annotations

import asyncio
import contextlib
import json
import signal
import time
import tracemalloc
from collections.abc import AsyncIterator, Sequence
from pathlib import Path

import psutil
import pytest
from rogues import family, local_node, marker, on_loop, rogue, spec

from madrox_nb import transport
from madrox_nb.errors import HarnessNotFound
from madrox_nb.local import LocalNode
from madrox_nb.transport import Line, Pipe, tail


class Notes:
    """A reader that remembers what it read."""

    def __init__(self) -> None:
        self.batches: list[list[Line]] = []
        self.ends: list[tuple[int | None, str]] = []
        self.errors: list[OSError] = []
        self._news = asyncio.Event()

    @property
    def read(self) -> list[Line]:
        return [line for batch in self.batches for line in batch]

    @property
    def texts(self) -> list[str]:
        return [line.text for line in self.read]

    def lines(self, lines: Sequence[Line]) -> None:
        assert not self.ends, "nothing comes after the end"
        self.batches.append(list(lines))
        self._news.set()

    def gone(self, code: int | None, why: str) -> None:
        self.ends.append((code, why))
        self._news.set()

    def stuck(self, error: OSError) -> None:
        self.errors.append(error)
        self._news.set()

    async def until_read(self, text: str) -> None:
        async with asyncio.timeout(60):
            while text not in self.texts:
                self._news.clear()
                await self._news.wait()

    async def end(self) -> tuple[int | None, str]:
        async with asyncio.timeout(60):
            while not self.ends:
                self._news.clear()
                await self._news.wait()
        return self.ends[0]


@contextlib.asynccontextmanager
async def running(home: Path, *argv: str) -> AsyncIterator[tuple[Pipe, Notes, LocalNode]]:
    async with local_node() as node:
        notes = Notes()
        yield await Pipe.open(node, spec(home, *argv), notes), notes, node


class NoNode:
    """A node without processes, for pipes that are fed by hand."""


def fed(*chunks: bytes) -> Notes:
    """What a reader gets of output that comes in these pieces, until the agent exits."""

    async def feed() -> Notes:
        notes = Notes()
        pipe, offset = Pipe(NoNode(), notes), 0
        for chunk in chunks:
            pipe.on_data(chunk, offset)
            offset += len(chunk)
        pipe.on_exit(0)
        return notes

    return asyncio.run(feed())


def test_lines_know_their_place_in_the_wire_log() -> None:
    assert [Line("one", 0, 3), Line("zwö", 4, 4), Line("", 9, 0)] == fed("one\nzwö\n\n".encode()).read


def test_the_lines_of_one_read_come_as_one_batch() -> None:
    assert [["a", "b"], ["cd"], ["e"]] == [
        [line.text for line in batch] for batch in fed(b"a\nb\nc", b"d\n", b"e\n").batches
    ]


def test_a_character_that_is_split_across_reads_is_whole() -> None:
    data = "snow ☃ man\n".encode()
    for cut in range(1, len(data)):
        assert [Line("snow ☃ man", 0, 12)] == fed(data[:cut], data[cut:]).read


def test_bytes_that_are_no_text_do_not_break_a_line() -> None:
    assert ["a\ufffdb"] == fed(b"a\xffb\n").texts


def test_a_last_line_without_a_newline_is_told_before_the_end() -> None:
    assert [Line("done", 0, 4), Line("bye", 5, 3)] == fed(b"done\n", b"b", b"ye").read


def test_a_line_that_is_too_long_is_told_by_its_beginning(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(transport, "MAX_LINE", 10_000)
    long = "ü".encode() * 6000
    notes = fed(b"a\n" + long[:3000], *[long[i : i + 1000] for i in range(3000, 12_000, 1000)], b"\nb\n")

    assert [Line("a", 0, 1), Line("ü" * 2000, 2, 12_000, whole=False), Line("b", 12_003, 1)] == notes.read


def test_a_line_that_is_too_long_is_not_kept_in_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(transport, "MAX_LINE", 10_000)
    chunks = [b"x" * 65_536] * 100
    tracemalloc.start()
    fed(*chunks)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()

    assert 1_000_000 > peak


def test_a_line_of_exactly_the_limit_is_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(transport, "MAX_LINE", 10)
    assert [True, False] == [line.whole for line in fed(b"0123456789\n0123456789a\n").read]


@on_loop
async def test_a_line_written_to_an_agent_comes_back(tmp_path: Path) -> None:
    async with running(tmp_path, *rogue("echo")) as (pipe, notes, _):
        pipe.write("héllo\n")
        await notes.until_read("héllo")

        assert 0 == await pipe.close(5)
    assert [(0, "exited with code 0")] == notes.ends
    assert ["ready", "héllo"] == notes.texts


@on_loop
async def test_a_line_of_five_megabytes_goes_there_and_back_whole(tmp_path: Path) -> None:
    async with running(tmp_path, *rogue("echo")) as (pipe, notes, _):
        line = json.dumps({"image": "é" * 2_500_000}, ensure_ascii=False)
        pipe.write(line + "\n")
        await notes.until_read(line)

    assert [True, True] == [line.whole for line in notes.read]


@on_loop
async def test_a_line_of_forty_megabytes_is_told_by_its_place_in_the_log(tmp_path: Path) -> None:
    before = psutil.Process().memory_info().rss
    async with running(tmp_path, *rogue("flood", "line", 40)) as (_, notes, _):
        await notes.end()

    assert [Line("x" * 2000, 0, 40_000_000, whole=False)] == notes.read
    assert 40_000_001 == (tmp_path / "alice.wire.log").stat().st_size
    assert 100_000_000 > psutil.Process().memory_info().rss - before


def test_long_lines_take_time_in_proportion_to_their_length() -> None:
    def seconds(pieces: int) -> float:
        chunks = [b"x" * 1000] * pieces
        start = time.process_time()
        fed(*chunks)
        return time.process_time() - start

    short = min(seconds(2000) for _ in range(3))
    assert 40 * short > min(seconds(20_000) for _ in range(3)), "ten times the length"


@on_loop
async def test_an_agent_that_ignores_everything_is_killed(tmp_path: Path) -> None:
    async with running(tmp_path, *rogue("stubborn")) as (pipe, notes, _):
        await notes.until_read("ready")

        assert -signal.SIGKILL == await pipe.close(0.05)
    assert [(-9, "was killed by signal 9")] == notes.ends


@on_loop
async def test_an_agent_that_heeds_sigterm_is_not_killed(tmp_path: Path) -> None:
    async with running(
        tmp_path, "sh", "-c", "trap 'exit 5' TERM; echo ready; while :; do sleep 0.01; done"
    ) as (
        pipe,
        notes,
        _,
    ):
        await notes.until_read("ready")

        assert 5 == await pipe.close(0.5)


@on_loop
async def test_closing_twice_gives_the_same_answer(tmp_path: Path) -> None:
    async with running(tmp_path, *rogue("echo")) as (pipe, notes, _):
        pipe.write("exit 3\n")

        assert [3, 3] == await asyncio.gather(pipe.close(5), pipe.close(5))
        assert 3 == await pipe.close(5)
    assert [(3, "exited with code 3")] == notes.ends


@on_loop
async def test_kill_takes_the_whole_tree(tmp_path: Path) -> None:
    mark = marker()
    async with running(tmp_path, "sh", "-c", f"echo up; sleep {mark} & sleep {mark}") as (pipe, notes, _):
        await notes.until_read("up")
        pipe.kill()

        assert (-9, "was killed by signal 9") == await notes.end()
        assert [] == family(mark)


@on_loop
async def test_a_paused_agent_can_be_closed_and_what_it_said_is_read(tmp_path: Path) -> None:
    async with running(tmp_path, *rogue("echo")) as (pipe, notes, _):
        await notes.until_read("ready")
        pipe.pause()
        pipe.write("last words\n")

        assert 0 == await pipe.close(5)
    assert ["ready", "last words"] == notes.texts


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs a device without room")
@on_loop
async def test_an_agent_that_cannot_be_kept_or_read_still_comes_to_an_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(transport, "LAST_GRACE", 0.1)
    async with local_node() as node:
        notes = Notes()
        full = spec(tmp_path, "sh", "-c", "echo hello; cat", wire_log=Path("/dev/full"))
        pipe = await Pipe.open(node, full, notes)

        assert await pipe.close(0.1) is None
    assert [(None, "it was killed, and its last output could not be kept")] == notes.ends
    assert {"No space left on device"} == {error.strerror for error in notes.errors}


@on_loop
async def test_an_agent_whose_node_is_lost_is_gone_without_a_code(tmp_path: Path) -> None:
    async with running(tmp_path, *rogue("echo")) as (pipe, notes, node):
        await notes.until_read("ready")
        psutil.Process(node.pids[0]).kill()
        code, why = await notes.end()

        assert code is None
        assert "guard" in why
        assert await pipe.close(5) is None


@on_loop
async def test_a_pipe_to_nowhere_is_not_opened(tmp_path: Path) -> None:
    async with local_node() as node:
        with pytest.raises(HarnessNotFound):
            await Pipe.open(node, spec(tmp_path, "no-such-cli"), Notes())


def test_last_words_are_short_and_plain(tmp_path: Path) -> None:
    log = tmp_path / "stderr.log"
    log.write_text(
        "x" * 100_000 + "\n\x1b[1;31merror:\x1b[0m no \x1b]8;;http://a\x1b\\key\x1b]8;;\x07 \x1b(Bset\n"
    )

    assert "error: no key set" == tail(log).splitlines()[-1]
    assert 50 == len(tail(log, 50))
    assert "" == tail(tmp_path / "none.log")
