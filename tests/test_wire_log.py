"""What a page sees of an agent's wire: blocks that stay as they are while more comes."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from test_widgets import World, born

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
