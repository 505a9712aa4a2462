"""What a page sees of an agent's wire: blocks that stay as they are while more comes."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from worlds import World, born

from madrox_nb.arrivals import Clock, between
from madrox_nb.errors import BadInput
from madrox_nb.parts import parts
from madrox_nb.parts.wire import GRID, WINDOW, WireLog
from madrox_nb.redact import Redactor

SECRET = "correct horse\nbattery staple"


@pytest.fixture
def log(tmp_path):
    return tmp_path / "wire.log"


@pytest.fixture
def redactor():
    made = Redactor()
    made.add("KEY", SECRET)
    return made


@pytest.fixture
def world(tmp_path):
    made = World(tmp_path)
    made.tell(*born("api"))
    return made


def line(number, width=100):
    return json.dumps({"type": "said", "number": number, "text": "x" * width}).encode() + b"\n"


def texts(blocks):
    return "".join(block["text"] for block in blocks)


def looks(log, redactor, pieces, protocol):
    """What is seen after each piece has come."""
    wire = WireLog(log, redactor, protocol)
    for piece in pieces:
        with log.open("ab") as file:
            file.write(piece)
        yield wire.tail()


def test_of_a_protocol_whole_lines_are_shown_and_what_has_begun_is_counted(log, redactor):
    log.write_bytes(line(1) + line(2) + b'{"type": "sa')
    blocks, begun = WireLog(log, redactor, protocol=True).tail()

    assert (line(1) + line(2)).decode() == texts(blocks)
    assert len('{"type": "sa') == begun


def test_nothing_has_come_yet(log, redactor):
    assert ([], 0) == WireLog(log, redactor, protocol=True).tail()


@pytest.mark.parametrize("protocol", [True, False])
def test_only_the_last_block_grows(log, redactor, protocol):
    full = {}
    for blocks, _ in looks(log, redactor, (line(n, width=n % 700) for n in range(900)), protocol):
        assert blocks[-1]["end"] - blocks[0]["at"] <= WINDOW + GRID
        for block in blocks[:-1]:
            assert block == full.setdefault(block["at"], block)


def test_what_came_before_is_there_page_by_page(log, redactor):
    log.write_bytes(b"".join(line(n) for n in range(3000)))
    wire = WireLog(log, redactor, protocol=True)
    blocks, _ = wire.tail()
    while blocks[0]["at"]:
        page = wire.before(blocks[0]["at"])
        assert page[-1]["end"] == blocks[0]["at"]
        blocks = [*page, *blocks]

    assert log.read_text() == texts(blocks)


def test_a_line_longer_than_a_look_is_shown_by_its_end_and_read_page_by_page(log, redactor):
    log.write_bytes(line(0) + line(1, width=10_000_000))
    wire = WireLog(log, redactor, protocol=True)
    [block], _ = wire.tail()
    assert log.stat().st_size == block["end"]
    assert block["end"] - block["at"] <= WINDOW + GRID

    blocks = [block]
    while blocks[0]["at"]:
        blocks = [*wire.before(blocks[0]["at"]), *blocks]
    assert log.read_text() == texts(blocks)


def test_a_long_line_that_has_not_ended_shows_what_came_before_it_or_nothing(log, redactor):
    log.write_bytes(line(0) + b"x" * (WINDOW * 2))

    assert ([], WINDOW * 2) != WireLog(log, redactor, protocol=True).tail()
    assert [] == WireLog(log, redactor, protocol=True).tail()[0]


def test_a_character_is_shown_when_all_of_it_has_come(log, redactor):
    euro = "€".encode()
    seen = [texts(blocks) for blocks, _ in looks(log, redactor, [b"5 ", euro[:1], euro[1:]], protocol=False)]

    assert ["5 ", "5 ", "5 €"] == seen


@given(before=st.integers(0, 3 * GRID), pieces=st.lists(st.integers(1, 30), max_size=8))
def test_no_half_of_a_secret_is_ever_shown(tmp_path_factory, before, pieces):
    redactor = Redactor()
    redactor.add("KEY", SECRET)
    log = tmp_path_factory.mktemp("wire") / "wire.log"
    data = b"\n" * before + SECRET.encode() + b" and more\n"
    cuts = [before, *[before + sum(pieces[: n + 1]) for n in range(len(pieces))], len(data)]
    parted = [data[start:end] for start, end in zip([0, *cuts], cuts, strict=False)]

    for blocks, _ in looks(log, redactor, parted, protocol=False):
        shown = texts(blocks)
        assert not any(word in shown for word in ("correct", "horse", "battery", "staple"))
    assert "{secret:KEY} and more" in shown


def test_a_terminal_part_shows_the_wire_and_says_what_kind_it_is(world, tmp_path):
    (tmp_path / "api.log").write_bytes(line(1))
    data = parts()["terminal"].look(world.moment(), "api")

    assert ("api", True, None) == (data["agent"], data["protocol"], data["size"])
    assert line(1).decode() == texts(data["blocks"])


def test_a_page_is_told_when_bytes_come_of_which_no_event_tells(world, tmp_path):
    terminal = parts()["terminal"]
    before = terminal.sign(world.moment(), "api")
    (tmp_path / "api.log").write_bytes(line(1))

    assert before != terminal.sign(world.moment(), "api")


@pytest.mark.parametrize("place", [-1, "7", None, True])
def test_what_is_no_place_in_a_wire_is_refused(world, place):
    with pytest.raises(BadInput, match="no place in a wire"):
        parts()["terminal"].asks["older"](world.moment(), "api", {"before": place})


def test_a_saved_terminal_is_text_without_control_sequences_and_secrets(tmp_path, redactor, world):
    (tmp_path / "api.log").write_bytes(b"\x1b[31mred\x1b[0m correct horse\r\nbattery staple\r\n")
    world.wires = lambda name: WireLog(tmp_path / "api.log", redactor, protocol=False)
    text = parts()["terminal"].plain(world.moment(), "api")

    assert "api: its terminal\nred" in text
    assert "\x1b" not in text


def come(log, at, data, when, beside=b""):
    """So much came at that time, after that on standard error."""
    with log.with_name("stderr.log").open("ab") as file:
        file.write(beside)
    with log.open("ab") as file:
        file.write(data)
    Clock(log, log.with_name("stderr.log"), lambda: when).note(at)
    return at + len(data)


def test_each_line_says_when_its_end_came_and_what_stood_on_standard_error_before_it(log, redactor):
    at = come(log, 0, b"one\ntwo\nthr", 100.0)
    at = come(log, at, b"ee\n", 101.5, b"warning: a\nb\nc is not en")
    come(log, at, b"four\nfi", 102.0, b"ded\n")
    wire = WireLog(log, redactor, protocol=True)
    [block], begun = wire.tail()

    assert [(0, 100.0), (2, 101.5), (3, 102.0)] == block["came"]
    assert [(2, "warning: a\nb\n"), (3, "c is not ended\n")] == block["stderr"]
    assert len("fi") == begun
    assert "" == wire.stderr(block["end"])


def test_what_came_on_standard_error_since_the_last_line_is_shown_by_whole_lines(log, redactor):
    end = come(log, 0, b"one\n", 100.0)
    log.with_name("stderr.log").write_bytes(b"last words\nhalf a li")

    assert "last words\n" == WireLog(log, redactor, protocol=True).stderr(end)


def test_no_half_of_a_secret_on_standard_error_is_shown_before_or_after_its_middle(log, redactor):
    first, second = (SECRET[:16], SECRET[16:])
    at = come(log, 0, b"one\n", 100.0, f"it is {first}".encode())
    wire = WireLog(log, redactor, protocol=True)
    early = texts(wire.tail()[0]) + str(wire.tail()[0]) + wire.stderr(at)
    end = come(log, at, b"two\n", 101.0, f"{second} indeed\n".encode())
    late = str(wire.tail()[0]) + wire.stderr(end)

    assert "correct" not in early
    assert "staple" not in late
    assert "it is {secret:KEY} indeed" in late


def test_a_moment_of_the_past_ends_where_the_wire_did(log, redactor):
    at = come(log, 0, b"one\n", 100.0)
    at = come(log, at, b"two\n", 101.0)
    come(log, at, b"three\n", 102.0)
    wire = WireLog(log, redactor, protocol=True, until=101.5)

    assert "one\ntwo\n" == texts(wire.tail()[0])
    assert "" == texts(WireLog(log, redactor, protocol=True, until=99.0).tail()[0])
    assert "one\ntwo\nthree\n" == texts(WireLog(log, redactor, protocol=True, until=102.0).tail()[0])


def test_pieces_that_come_together_count_as_one_and_a_torn_line_is_written_over(log):
    times = log.with_name("wire.times")
    now = iter((1.0, 1.001, 1.002, 2.0, 3.0))
    clock = Clock(log, None, lambda: next(now))
    for at in (0, 10, 20, 30):
        clock.note(at)
    assert [(0, 1.0), (30, 2.0)] == [(each.at, each.when) for each in between(log, 0, 1000)]

    with times.open("ab") as file:
        file.write(b"0000torn")
    clock.note(40)
    assert [(30, 2.0), (40, 3.0)] == [(each.at, each.when) for each in between(log, 35, 1000)]
