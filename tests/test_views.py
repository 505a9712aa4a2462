"""The tree as text: what a saved notebook, a terminal and a repository page show."""

import json
import math
import re
from dataclasses import replace
from pathlib import Path

import pytest

from madrox_nb.runner import _epitaph
from madrox_nb.views import (
    GLYPHS,
    Picture,
    Row,
    bundle,
    card_html,
    card_plain,
    html,
    in_short,
    legible,
    money,
    own,
    plain,
    stems,
)

NAN = float("nan")
SIGNS = Path(__file__).parents[1] / "widgets/test/legible.json"


def row(name, parent=None, depth=0, state="idle", usd=0.0, **more):
    fields = {
        "stalled": False,
        "role": "general",
        "harness": "claude",
        "model": "sonnet",
        "permissions": "edits",
        "now": "",
        "queued": 0,
        "unread": 0,
        "subtree_usd": usd,
        "subtree_exact": True,
        "tokens": 1000,
        "reason": "",
    }
    return Row(name=name, parent=parent, depth=depth, state=state, own_usd=usd, **{**fields, **more})


REFUNDS = Picture(
    "checkout-refunds",
    (
        row(
            "lead",
            None,
            0,
            "busy",
            1.84,
            role="architect",
            model="opus",
            subtree_usd=6.34,
            subtree_exact=False,
        ),
        row("backend", "lead", 1, "busy", 0.93, role="backend_developer", subtree_usd=2.05),
        row("api", "backend", 2, "waiting", 0.73, role="backend_developer", now="Edit service.py"),
        row("migrate", "backend", 2, "busy", 0.39, role="backend_developer", stalled=True),
        row("frontend", "lead", 1, "idle", 0.62, role="frontend_developer", subtree_usd=1.72),
        row(
            "copy",
            "frontend",
            2,
            "suspended",
            0.0,
            role="documentation_writer",
            harness="rehearsal",
            model=None,
        ),
        row("quality", "lead", 1, "busy", 0.44, role="tester", subtree_usd=0.73, subtree_exact=False),
        row("e2e", "quality", 2, "failed", 0.29, role="tester", reason="API overloaded after 5 retries"),
        row("security", "quality", 2, "stopped", NAN, role="security_analyst", model="qwen3-coder:30b"),
    ),
)

REFUNDS_TEXT = """\
checkout-refunds
9 agents: 4 busy (1 stalled), 1 waiting for you, 1 idle, 1 suspended, 1 stopped, 1 failed
cost ≥ $6.34, 1 agent unpriced

agent           state              role                  harness, model             own $  subtree $
lead            ● busy             architect             claude opus                 1.84     ≥ 6.34
├─ backend      ● busy             backend_developer     claude sonnet               0.93       2.05
│  ├─ api       ◐ waiting for you  backend_developer     claude sonnet               0.73          –
│  └─ migrate   ● busy, stalled    backend_developer     claude sonnet               0.39          –
├─ frontend     ○ idle             frontend_developer    claude sonnet               0.62       1.72
│  └─ copy      ‖ suspended        documentation_writer  rehearsal                   0.00          –
└─ quality      ● busy             tester                claude sonnet               0.44     ≥ 0.73
   ├─ e2e       ✕ failed           tester                claude sonnet               0.29          –
   └─ security  ■ stopped          security_analyst      claude qwen3-coder:30b  unpriced          –

◐ api waits for you: Edit service.py   %madrox interrupt api
✕ e2e failed: API overloaded after 5 retries   %madrox spawn e2e
● migrate is silent   %madrox interrupt migrate"""


def test_the_plain_tree_reads_like_the_design():
    assert REFUNDS_TEXT == plain(REFUNDS)


def test_both_forms_carry_the_same_rows_in_the_same_order():
    names = [r.name for r in REFUNDS.rows]

    assert names == re.findall(r"<b>([\w-]+)</b></td>", html(REFUNDS))
    assert names == re.findall(r"^[│├└─ ]*(\w+)  +[●◐○‖■✕] ", plain(REFUNDS), re.MULTILINE)


def test_the_same_picture_gives_the_same_bytes():
    assert bundle(REFUNDS) == bundle(Picture(REFUNDS.title, tuple(replace(r) for r in REFUNDS.rows)))
    assert {"text/plain", "text/html"} == bundle(REFUNDS).keys()


def test_the_html_holds_no_script_class_svg_or_clock():
    text = html(REFUNDS)

    assert not re.search(r"<script|<svg|class=|\bid=|\d\d:\d\d", text)


def test_html_numbers_are_set_to_the_right_where_style_is_stripped():
    stripped = re.sub(r' style="[^"]*"', "", html(REFUNDS))

    assert '<td align="right">≥ 6.34</td>' in stripped
    assert "│&nbsp;&nbsp;└─ <b>migrate</b>" in stripped


def test_markup_in_a_name_a_role_and_a_reason_stays_text():
    evil = "<img src=x onerror=alert(1)>"
    picture = Picture(evil, (row(evil, state="failed", role=evil, model=evil, reason=evil),))

    for text in (html(picture), card_html(picture.rows[0])):
        assert "<img" not in text
        assert "&lt;img" in text


def test_no_dollar_or_backslash_is_left_for_the_formula_renderer():
    picture = Picture("$a", (row("x", state="failed", reason=r"$HOME is \(unset\)", subtree_usd=2.0),))
    text = html(picture)

    assert not re.search(r"(?<!<span>)[$\\]|[$\\](?!</span>)", text)


def test_who_failed_is_spawned_again_as_what_it_was():
    again = "%madrox spawn a --harness python --permissions all"
    failed = row("a", state="failed", reason="gone", again=again)

    assert f"✕ a failed: gone   {again}" == plain(Picture("t", (failed,))).splitlines()[-1]


def test_a_reason_with_newlines_and_control_codes_stays_one_line():
    failed = row("a", state="failed", reason="dead\n\x1b[31mred\x1b[0m\r\n\tend\u202e")

    assert (
        "✕ a failed: dead [31mred [0m end   %madrox spawn a"
        == plain(Picture("t", (failed,))).splitlines()[-1]
    )


def test_columns_line_up_under_wide_names():
    lines = plain(Picture("t", (row("計画"), row("ab")))).splitlines()

    assert "計画   ○ idle  general  claude sonnet    0.00          –" == lines[-2]
    assert "ab     ○ idle  general  claude sonnet    0.00          –" == lines[-1]


def test_an_agent_that_may_do_everything_is_marked_everywhere():
    free = row("lead", permissions="all")

    for text in (*bundle(Picture("t", (free,))).values(), card_plain(free), card_html(free)):
        assert "(all permissions)" in text
    assert "all permissions" not in plain(REFUNDS)


def test_unknown_money_is_a_word_and_nothing_spent_is_a_dash():
    assert "unpriced" == own(row("a", usd=NAN))
    assert "–" == own(row("a", usd=NAN, tokens=0))
    assert "–" == own(row("a", tokens=0))
    assert "0.00" == own(row("a"))
    assert "6.34" == money(6.3378)
    assert "≥ 6.34" == money(6.3378, exact=False)
    assert "unpriced" == money(0.0, exact=False)


def test_a_run_without_any_price_says_so_instead_of_zero():
    lost = row("a", usd=NAN, subtree_usd=0.0, subtree_exact=False)

    assert "cost unpriced" == plain(Picture("t", (lost,))).splitlines()[2]


def test_a_run_that_used_nothing_has_no_cost_line():
    assert ["t", "1 agent: 1 starting", ""] == plain(
        Picture("t", (row("a", state="starting", tokens=0),))
    ).splitlines()[:3]


def test_several_tops_are_summed_and_drawn_without_a_stem():
    picture = Picture("t", (row("a", usd=1.0), row("b", "a", 1, usd=math.nan, tokens=0), row("c", usd=2.5)))

    assert ["", "└─ ", ""] == stems(picture.rows)
    assert "cost $3.50" == plain(picture).splitlines()[2]


def test_deep_stems_end_where_their_branch_ends():
    rows = [
        row("a"),
        row("b", "a", 1),
        row("c", "b", 2),
        row("d", "c", 3),
        row("e", "a", 1),
        row("f", "e", 2),
    ]

    assert ["", "├─ ", "│  └─ ", "│     └─ ", "└─ ", "   └─ "] == stems(rows)


def test_an_empty_run_says_what_to_run():
    for text in bundle(Picture("t", ())).values():
        assert "No agents yet" in text
        assert "%madrox spawn lead --harness rehearsal" in text
        assert "%madrox resume" not in text


@pytest.mark.parametrize("state", GLYPHS)
def test_every_state_has_a_sign_one_column_wide(state):
    assert 1 == len(GLYPHS[state])
    assert (
        f"{GLYPHS[state]} a  {'waiting for you' if state == 'waiting' else state}"
        == card_plain(row("a", state=state)).split("\n")[0]
    )


def test_a_card_says_what_the_agent_does_and_spent():
    ui = row("ui", "frontend", 1, "busy", 1.1027, now="Bash npm test", tokens=1_060_000)

    assert (
        "● ui  busy: Bash npm test\ngeneral · claude sonnet · child of frontend\n$1.10 · 1,060,000 tokens"
    ) == card_plain(ui)
    assert "● <b>ui</b>  busy: Bash npm test<br>" in card_html(ui)


def test_of_thousands_the_first_stand_in_the_saved_forms_with_the_number_of_the_rest():
    many = tuple(row(f"a{n}", "a0" if n else None, min(n, 1), state="failed") for n in range(5000))
    said = bundle(Picture("t", many))

    for form in said.values():
        assert "5000 agents: 5000 failed" in form
        assert "… and 4,750 more: m.agents() lists them all" in form
        assert "a249" in form
        assert "a250" not in form
        assert len(form) < 250_000


@pytest.mark.parametrize(
    ("short", "reason"),
    [
        ("exit code 1", "python3 exited on its own with code 1. Its last words: no module"),
        ("killed by signal 9", "claude was killed by signal 9"),
        ("API overloaded after 5 retries", "API overloaded after 5 retries"),
        ("terminated by you", "terminated by you"),
        ("refused the handshake: not logged in", "refused the handshake: not logged in"),
        ("the CLI could not be started", "the CLI could not be started: no such file or directory: claude"),
        ("nobody there", "nobody there. See whether it starts"),
        ("Error:" + "x" * 33 + "…", "Error:" + "x" * 90),
        ("", ""),
    ],
)
def test_a_reason_in_a_few_words_says_the_kind_of_end(short, reason):
    assert short == in_short(reason)


def test_what_a_program_that_ended_by_itself_is_told_of_has_a_short_form():
    assert ["exit code 3", "killed by signal 15"] == [
        in_short(f"x {_epitaph(code, '')}") for code in (3, -15)
    ]


@pytest.mark.parametrize(("said", "shown"), json.loads(SIGNS.read_text()))
def test_what_an_agent_said_is_legible_as_the_page_has_it(said, shown):
    assert shown == legible(said)
