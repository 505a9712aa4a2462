"""No secret stays, whatever way it is spelled and wherever it is cut."""

import base64
import json
import os
import re
import time
from datetime import UTC, datetime
from urllib.parse import quote, quote_plus

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from madrox_nb.events import Entry, MessagePosted, ToolCalled, TurnSaid, TurnStarted, Unknown, UsageReported
from madrox_nb.redact import SHORTEST, Redactor, spellings
from madrox_nb.tokens import Tokens

NOON = datetime(2026, 7, 25, 12, tzinfo=UTC)
SECRET = "pä'ss \"w/ö+rd\\!\n&=kéy?"
"""It is spelled differently wherever it stands."""

PROBES = {
    "plain": SECRET,
    "JSON": json.dumps(SECRET),
    "JSON in UTF-8": json.dumps(SECRET, ensure_ascii=False),
    "repr": repr(SECRET),
    "repr of a text around it": repr(f"it's \"{SECRET}"),
    "URL": quote(SECRET),
    "URL component": quote(SECRET, safe=""),
    "URL component in JavaScript": quote(SECRET, safe="!*'()"),
    "URL in lower case": re.sub("%..", lambda code: code[0].lower(), quote(SECRET)),
    "form": quote_plus(SECRET),
    "base64": base64.b64encode(SECRET.encode()).decode(),
    "base64 for URLs": base64.urlsafe_b64encode(SECRET.encode()).decode(),
    "base64 behind a name": base64.b64encode(f"me:{SECRET}".encode()).decode(),
    "base64 behind a longer name": base64.b64encode(f"you:{SECRET}:x".encode()).decode(),
}


def redactor(**secrets):
    made = Redactor()
    for name, value in (secrets or {"KEY": SECRET}).items():
        assert made.add(name, value)
    return made


@pytest.mark.parametrize("spelled", PROBES.values(), ids=PROBES)
def test_a_secret_is_replaced_however_it_is_spelled(spelled):
    shown = redactor().text(f"before {spelled} after")

    assert "{secret:KEY}" in shown
    assert shown.startswith("before ")
    assert shown.endswith(" after")
    assert not [form for form in spellings(SECRET) if form in shown]


@pytest.mark.parametrize("spelled", PROBES.values(), ids=PROBES)
def test_no_spelling_of_a_secret_reaches_the_file(spelled):
    veil = redactor()
    for event in (
        TurnSaid(agent="a", turn="a.t1", text=f"it is {spelled}"),
        ToolCalled(agent="a", turn="a.t1", call="c", tool="Bash", input=json.dumps({"command": spelled})),
        TurnStarted(agent="a", turn="a.t1", sender="you", text=f"use {spelled}"),
        Unknown(agent="a", row={"kind": "later", "deep": [{"key": spelled}]}),
    ):
        assert veil.stains(Entry(0, NOON, event).to_line())

        line = Entry(0, NOON, veil.event(event)).to_line()
        assert not veil.stains(line)
        assert b"{secret:KEY}" in line


def test_names_and_ids_stay_even_when_a_secret_is_spelled_like_one():
    event = TurnSaid(agent="production", turn="production.t1", text="in production")

    kept = redactor(PASSWORD="production").event(event)

    assert ("production", "production.t1", "in {secret:PASSWORD}") == (kept.agent, kept.turn, kept.text)


def test_an_event_without_secrets_is_the_same_event():
    event = MessagePosted(agent="a", message="you.m1", sender="you", text="hello")

    assert event is redactor().event(event)
    assert not redactor().stains(Entry(0, NOON, event).to_line())


def test_what_is_no_text_is_left_alone():
    event = UsageReported(agent="a", turn="a.t1", input_tokens=12345678, cost_usd=1.5, model="m")

    assert event == redactor(KEY="12345678").event(event)


def test_a_value_too_short_to_be_told_from_a_word_is_not_replaced():
    veil = Redactor()

    assert not veil.add("SHORT", "x" * (SHORTEST - 1))
    assert "x" * 20 == veil.text("x" * 20)
    assert veil.add("LONG", "x" * SHORTEST)


def test_white_space_around_a_value_does_not_belong_to_it():
    assert "key={secret:KEY}." == redactor(KEY=" sk-12345678\n").text("key=sk-12345678.")


def test_a_value_that_is_part_of_another_does_not_uncover_the_rest():
    veil = redactor(SHORT="abcdefgh", LONG="abcdefgh-ijklmnop")

    assert "{secret:LONG} {secret:SHORT}" == veil.text("abcdefgh-ijklmnop abcdefgh")


def test_a_value_of_two_names_is_shown_under_the_first():
    assert "{secret:ONE}" == redactor(ONE="abcdefgh", TWO="abcdefgh").text("abcdefgh")


def test_bytes_that_are_no_text_in_a_value_are_no_trouble():
    value = os.fsdecode(b"caf\xe9-caf\xe9")

    assert "{secret:KEY}" == redactor(KEY=value).text(value)


# our own tokens


@pytest.mark.parametrize("made", [Redactor, redactor], ids=["alone", "beside a secret"])
def test_every_token_of_ours_is_replaced_without_being_named(made):
    token, veil = Tokens().issue("lead"), made()
    event = TurnSaid(agent="a", turn="a.t1", text=f"Authorization: Bearer {token}\n")

    assert veil.stains(Entry(0, NOON, event).to_line())
    assert "Authorization: Bearer {secret:token}\n" == veil.event(event).text


def test_what_only_begins_like_a_token_stays():
    assert "mdx_ files, mdx_short" == Redactor().text("mdx_ files, mdx_short")


# any value, any text

READABLE = st.characters(exclude_categories=["Cs"])


@settings(max_examples=300, deadline=None, database=None)
@given(st.text(READABLE, min_size=SHORTEST).map(str.strip).filter(lambda v: len(v) >= SHORTEST), st.data())
def test_whatever_the_secret_a_line_that_holds_it_is_noticed_and_cleaned(value, data):
    form = data.draw(st.sampled_from(spellings(value)))
    veil, event = redactor(KEY=value), TurnSaid(agent="a", turn="t", text=f"<{form}>")

    assert veil.stains(Entry(0, NOON, event).to_line())
    assert "<{secret:KEY}>" == veil.event(event).text


@settings(max_examples=200, deadline=None, database=None)
@given(st.binary(min_size=SHORTEST, max_size=40), st.binary(max_size=5), st.binary(max_size=5))
def test_base64_is_found_at_any_place_among_other_bytes(raw, before, after):
    value = base64.b85encode(raw).decode()
    coded = base64.b64encode(before + value.encode() + after).decode()

    assert "{secret:KEY}" in redactor(KEY=value).text(coded)


# in pieces


def streamed(veil, pieces):
    stream = veil.stream()
    return [*(stream.feed(piece) for piece in pieces), stream.flush()]


@pytest.mark.parametrize("spelled", PROBES.values(), ids=PROBES)
def test_a_secret_split_over_two_deltas_never_shows(spelled):
    veil, text = redactor(), f"before {spelled} after"

    for cut in range(len(text) + 1):
        assert veil.text(text) == "".join(streamed(veil, [text[:cut], text[cut:]]))


def test_a_token_split_over_two_deltas_never_shows():
    veil, text = redactor(S="s3cret-s3cret"), f"before {Tokens().issue('lead')} after"

    for cut in range(len(text) + 1):
        assert "before {secret:token} after" == "".join(streamed(veil, [text[:cut], text[cut:]]))


def test_a_secret_that_comes_letter_by_letter_never_shows():
    text = f"x{SECRET}{SECRET}y"

    assert "x{secret:KEY}{secret:KEY}y" == "".join(streamed(redactor(), text))


@settings(max_examples=400, deadline=None, database=None)
@given(
    st.lists(st.text("xy", min_size=SHORTEST, max_size=12), min_size=1, max_size=3),
    st.lists(st.text("xyz", max_size=14), max_size=12),
)
def test_a_text_in_pieces_is_shown_as_the_whole_text_would_be(values, pieces):
    veil = redactor(**{f"K{n}": value for n, value in enumerate(values)})

    assert veil.text("".join(pieces)) == "".join(streamed(veil, pieces))


def test_a_whole_secret_is_held_while_its_end_may_begin_another():
    veil = redactor(ONE="abcdefgh-s", TWO="s-ijklmnop")

    assert "{secret:ONE}!" == "".join(streamed(veil, ["abcdefgh-s", "!"]))
    assert ["", "{secret:ONE}!", ""] == streamed(veil, ["abcdefgh-s", "!"])


def test_what_cannot_become_a_secret_is_shown_at_once():
    assert ["hello ", "world", ""] == streamed(redactor(KEY="sk-12345678"), ["hello ", "world"])


# its price


def test_a_megabyte_with_ten_secrets_is_cleaned_quickly():
    values = {f"K{n}": base64.b85encode(os.urandom(48)).decode() for n in range(10)}
    veil = redactor(**values)
    text = "".join(value + "lorem ipsum dolor " * 5_600 for value in values.values())
    assert len(text) > 10**6

    began = time.perf_counter()
    clean = veil.text(text)

    assert time.perf_counter() - began < 10
    assert 10 == clean.count("{secret:")


def test_a_thousand_deltas_pass_quickly_beside_a_long_key():
    key = "-----BEGIN KEY-----\n" + base64.encodebytes(os.urandom(1_600)).decode()
    stream = redactor(KEY=key, OTHER="sk-12345678").stream()

    began = time.perf_counter()
    shown = "".join(stream.feed("a few more words, ") for _ in range(1_000))

    assert time.perf_counter() - began < 10
    assert 18_000 == len(shown + stream.flush())
