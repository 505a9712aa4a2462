"""What a notebook keeps when no kernel, script or trust is left: the tree as text.

A `Picture` is one look at a run, a `Row` one agent in it. `plain` and `html` draw the
same rows in the same order and never say what time it is, so two runs of a rehearsal
give the same bytes. The HTML has neither script, class nor SVG; it reads where style
is stripped. The live widget draws the same pictures (`widgets.py`).
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from html import escape
from itertools import islice
from typing import Final

from wcwidth import wcswidth

from .figures import dollars

GLYPHS: Final = {
    "starting": "○",
    "idle": "○",
    "busy": "●",
    "waiting": "◐",
    "suspended": "‖",  # not ⏸: many fonts lack it, others draw it two cells wide
    "stopped": "■",
    "failed": "✕",
}
ORDER: Final = ("busy", "waiting", "starting", "idle", "suspended", "stopped", "failed")
"""In which the counts are told."""

WORDS: Final = {"waiting": "waiting for you"}
"""Where a state is told in other words than its name."""

NEEDS: Final = {
    "waiting": ("waits for you", "%madrox interrupt {0}"),
    "failed": ("failed", "%madrox spawn {0}"),
    "stalled": ("is silent", "%madrox interrupt {0}"),
    "held": ("takes no turns", "%madrox limit {0}"),
}
"""What asks for a person: how it is told, and the line that answers it."""

FIRST_LINES: Final = (
    ("One agent", "%madrox spawn lead --role architect"),
    ("Try it without a key: real processes, no model", "%madrox spawn lead --harness rehearsal"),
    (
        "A whole team, rehearsed the same way",
        '%madrox team bug_investigation --harness rehearsal --task "the sums are off"',
    ),
)
"""What to run when there is no agent yet."""
EARLIER: Final = ("The agents that an earlier kernel had", "%madrox resume")
"""The same where there was one."""
NOBODY: Final = "No agents yet. Run one of these in a cell:"

ALL_PERMISSIONS: Final = "all permissions"
NOTHING: Final = "–"
UNPRICED: Final = "unpriced"
LONGEST: Final = 160
"""Characters of a reason or of what an agent does now; the rest is in the ledger."""
MOST: Final = 250
"""Agents in a table, and lines of what asks for a person: thousands would make every notebook heavy."""
FEW: Final = 40
"""Characters of a reason in a few words."""
_EXIT: Final = re.compile(r"exited on its own with code (\d+)")
_KILLED: Final = re.compile(r"killed by signal \d+")
_CLAUSE: Final = re.compile(r"[.;](?=\s)|\s\(|\n")


@dataclass(frozen=True, slots=True)
class Row:
    """One agent as it is shown."""

    name: str
    parent: str | None
    depth: int
    state: str
    stalled: bool
    role: str
    harness: str
    model: str | None
    permissions: str
    now: str
    """What it does now: `Bash npm test`, `writes a reply`, or nothing."""
    queued: int
    unread: int
    own_usd: float
    """US dollars; NaN when the cost is not known in full."""
    subtree_usd: float
    subtree_exact: bool
    """False when part of the subtree has no known price: it cost at least `subtree_usd`."""
    tokens: int
    reason: str
    """Why it stopped or failed."""
    held: bool = False
    """A limit is used up, its own or of one above it; `now` says which."""
    since: float | None = None
    """When it came into this state, or fell silent, in seconds since 1970. Never in the saved forms."""
    limit_usd: float | None = None
    """The limit in US dollars that stands on it, for itself and all below it."""
    limit_used: float = 0.0
    """What counts towards that."""
    again: str = ""
    """The line that spawns such an agent again, where it has failed."""
    short: str = ""
    """`reason` in a few words, for where there is little room."""
    nearly: str = ""
    """`96 % of $2.00`, once most of a limit that stands on it is used."""
    can: tuple[str, ...] = ()
    """The verbs that its state and its CLI allow now."""


@dataclass(frozen=True, slots=True)
class Picture:
    """One look at a run. Rows in tree order: parents before children, siblings by spawning."""

    title: str
    rows: tuple[Row, ...]
    lines: tuple[tuple[str, str], ...] = FIRST_LINES
    """What to run while there are no rows: what for, and the line."""


def bundle(picture: Picture) -> dict[str, str]:
    """Both static forms, under their MIME types."""
    return {"text/plain": plain(picture), "text/html": html(picture)}


def plain(picture: Picture) -> str:
    """The tree for a terminal, a log, and notebooks that show nothing else."""
    rows = picture.rows
    title = one_line(picture.title)
    if not rows:
        return "\n".join([title, NOBODY, *(code for _, code in picture.lines)])
    head = [title, _counts(rows), *_costs(rows)]
    needs = [f"{sign} {name} {what}   {code}" for sign, name, what, code in _needs(rows)]
    return "\n".join([*head, "", *_table(rows), *_rest(rows), *(["", *needs] if needs else [])])


def html(picture: Picture) -> str:
    """The tree for pages that keep text/html: nbconvert, an untrusted notebook, a repository."""
    rows = picture.rows
    title = f"<b>{safe(one_line(picture.title))}</b>"
    if not rows:
        lines = (f"<code>{safe(code)}</code>" for _, code in picture.lines)
        return f'<p style="margin:0 0 8px">{"<br>".join([title, NOBODY, *lines])}</p>'
    told = ". ".join([_counts(rows), *(line.capitalize() for line in _costs(rows))])
    top = f'<p style="margin:0 0 8px">{title}<br>{safe(told)}.</p>'
    rest = "".join(f'<p style="margin:8px 0 0">{safe(line)}</p>' for line in _rest(rows))
    return top + _html_table(rows) + rest + _html_needs(rows)


def card_plain(row: Row) -> str:
    """One agent in three lines."""
    first = f"{glyph(row.state)} {_named(row)}  {_state(row)}"
    doing = one_line(row.now or row.reason)
    return "\n".join([first + (f": {doing}" if doing else ""), _about(row), _spent(row)])


def card_html(row: Row) -> str:
    """One agent in three lines, for text/html."""
    first, *rest = card_plain(row).splitlines()
    sign, told = first.split(" ", 1)
    name = one_line(row.name)
    lines = [f"{sign} <b>{safe(name)}</b>{safe(told.removeprefix(name))}", *map(safe, rest)]
    return f'<p style="margin:0">{"<br>".join(lines)}</p>'


def glyph(state: str) -> str:
    """The sign of a state; a state from a later version gets a question mark."""
    return GLYPHS.get(state, "?")


def money(usd: float, exact: bool = True, sign: str = "") -> str:
    """US dollars with two decimals; `≥` when part is unknown, a word when all of it is."""
    if math.isnan(usd) or (not exact and usd == 0):
        return UNPRICED
    return f"{'' if exact else '≥ '}{sign}{dollars(usd)}"


def own(row: Row, sign: str = "") -> str:
    """What the agent itself spent; a dash when it has used nothing yet."""
    return money(row.own_usd, sign=sign) if row.tokens or row.own_usd > 0 else NOTHING


# words


def _counts(rows: tuple[Row, ...]) -> str:
    """`10 agents: 5 busy (1 stalled), 1 waiting for you, …`"""
    found = Counter(row.state for row in rows)
    stalled = sum(row.stalled for row in rows)
    parts = []
    for state in (*ORDER, *sorted(found.keys() - set(ORDER))):
        if found[state]:
            flag = f" ({stalled} stalled)" if state == "busy" and stalled else ""
            parts.append(f"{found[state]} {WORDS.get(state, state)}{flag}")
    return f"{_some(len(rows), 'agent')}: {', '.join(parts)}"


def _costs(rows: tuple[Row, ...]) -> Iterator[str]:
    """`cost ≥ $6.34, 1 agent unpriced`, once anything was used."""
    tops = [row for row in rows if row.depth == 0]
    usd = sum(row.subtree_usd for row in tops if not math.isnan(row.subtree_usd))
    if usd == 0 and not any(row.tokens for row in rows):
        return
    unpriced = sum(own(row) == UNPRICED for row in rows)
    exact = not unpriced and all(row.subtree_exact for row in tops)
    total = money(usd, exact, "$")
    known = total != UNPRICED
    yield f"cost {total}" + (f", {_some(unpriced, 'agent')} unpriced" if unpriced and known else "")


def _some(count: int, what: str) -> str:
    return f"{count} {what}{'' if count == 1 else 's'}"


def _state(row: Row) -> str:
    return WORDS.get(row.state, row.state) + (", stalled" if row.stalled else "")


def _named(row: Row) -> str:
    return one_line(row.name) + (f" ({ALL_PERMISSIONS})" if row.permissions == "all" else "")


def _engine(row: Row) -> str:
    return one_line(f"{row.harness} {row.model or ''}")


def _about(row: Row) -> str:
    place = f"child of {row.parent}" if row.parent else "top of the tree"
    return one_line(f"{row.role} · {_engine(row)} · {place}")


def _spent(row: Row) -> str:
    spent = own(row, "$")
    return "nothing spent yet" if spent == NOTHING else f"{spent} · {row.tokens:,} tokens"


def _rest(rows: tuple[Row, ...]) -> Iterator[str]:
    """How many are left out."""
    if len(rows) > MOST:
        yield f"… and {len(rows) - MOST:,} more: m.agents() lists them all"


def _needs(rows: tuple[Row, ...]) -> Iterator[tuple[str, str, str, str]]:
    """Sign, name, what it is about, and the line that answers it; of many the first, for all are counted."""
    return islice(_all_needs(rows), MOST)


def _all_needs(rows: tuple[Row, ...]) -> Iterator[tuple[str, str, str, str]]:
    for need in NEEDS:
        for row in rows:
            if _is(row, need):
                said, code = NEEDS[need]
                about = one_line(row.reason if need == "failed" else row.now)
                name = one_line(row.name)
                line = one_line(row.again) if need == "failed" and row.again else code.format(name)
                yield glyph(row.state), name, said + (f": {about}" if about else ""), line


def _is(row: Row, need: str) -> bool:
    if need == "held":
        return row.held
    return (row.stalled and row.state == "busy") if need == "stalled" else row.state == need


def in_short(reason: str) -> str:
    """A reason in a few words: `exit code 1`, else how it begins."""
    if ended := _EXIT.search(reason):
        return f"exit code {ended[1]}"
    if ended := _KILLED.search(reason):
        return ended[0]
    first = one_line(_CLAUSE.split(reason, maxsplit=1)[0])
    if len(first) <= FEW:
        return first
    head = first.partition(": ")[0]
    return head if " " in head and len(head) <= FEW else first[: FEW - 1].rstrip() + "…"


_CONTROL: Final = re.compile(
    r"\x1b\[[0-?]*[ -/]*[@-~]|\x1b\][^\x07\x1b]*(?:\x07|\x1b\\)?"
    r"|[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200b\u200e\u200f\u202a-\u202e\u2060-\u2069\ufeff]"
)
"""Terminal sequences, and signs that have no look of their own but change that of others."""
_TURNS: Final = re.compile(r"[\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069]")


def legible(text: str) -> str:
    """`text` without terminal sequences; what turns the direction of writing is told as its number.

    The page has the same (widgets/src/element.ts).
    """
    return _CONTROL.sub(lambda found: f"‹U+{ord(found[0]):04X}›" if _TURNS.fullmatch(found[0]) else "", text)


def one_line(text: str) -> str:
    """`text` as one printable line: what agents say may hold newlines and control codes."""
    shown = " ".join("".join(c if c.isprintable() else " " for c in text).split())
    return shown if len(shown) <= LONGEST else shown[: LONGEST - 1] + "…"


# the table

HEADS: Final = ("agent", "state", "role", "harness, model", "own $", "subtree $")
MONEY: Final = (4, 5)
"""Columns that hold money, set to the right."""


def _cells(rows: tuple[Row, ...]) -> Iterator[tuple[str, ...]]:
    parents = {row.parent for row in rows}
    for row in rows[:MOST]:
        state = f"{glyph(row.state)} {_state(row)}"
        subtree = money(row.subtree_usd, row.subtree_exact) if row.name in parents else NOTHING
        yield _named(row), state, one_line(row.role), _engine(row), own(row), subtree


def _table(rows: tuple[Row, ...]) -> list[str]:
    body = [
        (stem + cells[0], *cells[1:]) for stem, cells in zip(stems(rows[:MOST]), _cells(rows), strict=True)
    ]
    lines = [HEADS, *body]
    widths = [max(columns(cell) for cell in column) for column in zip(*lines, strict=True)]
    return [_padded(line, widths) for line in lines]


def _padded(line: tuple[str, ...], widths: list[int]) -> str:
    cells = (
        " " * (width - columns(cell)) + cell if at in MONEY else cell + " " * (width - columns(cell))
        for at, (cell, width) in enumerate(zip(line, widths, strict=True))
    )
    return "  ".join(cells).rstrip()


def columns(text: str) -> int:
    """Columns in a terminal; what has no known width counts one a character."""
    width = wcswidth(text)
    return width if width >= 0 else len(text)


def stems(rows: Iterable[Row]) -> list[str]:
    """The lines that lead to each agent: `│  └─ `. Read from the end, where the last child is met first."""
    drawn: list[str] = []
    followed: set[int] = set()
    for row in reversed(tuple(rows)):
        trunk = "".join("│  " if level in followed else "   " for level in range(1, row.depth))
        drawn.append(trunk + ("├─ " if row.depth in followed else "└─ ") if row.depth else "")
        followed = {level for level in followed if level < row.depth} | {row.depth}
    return drawn[::-1]


# HTML

_CELL: Final = "padding:3px 10px;border-bottom:1px solid #e0e0e0;white-space:nowrap;text-align:"


def _html_table(rows: tuple[Row, ...]) -> str:
    head = "".join(_cell("th", at, safe(text.capitalize())) for at, text in enumerate(HEADS))
    body = "".join(
        f"<tr>{''.join(_html_cells(stem, row, cells))}</tr>"
        for stem, row, cells in zip(stems(rows[:MOST]), rows[:MOST], _cells(rows), strict=True)
    )
    return (
        f'<table style="border-collapse:collapse;font-size:13px"><thead><tr>{head}</tr></thead>'
        f"<tbody>{body}</tbody></table>"
    )


def _html_cells(stem: str, row: Row, cells: tuple[str, ...]) -> Iterator[str]:
    name = one_line(row.name)
    indent = stem.removesuffix(" ").replace(" ", "&nbsp;") + (" " if stem else "")
    yield _cell("td", 0, f"{indent}<b>{safe(name)}</b>{safe(cells[0].removeprefix(name))}")
    for at, text in enumerate(cells[1:], start=1):
        yield _cell("td", at, safe(text))


def _cell(tag: str, at: int, inner: str) -> str:
    side = "right" if at in MONEY else "left"
    figures = ";font-variant-numeric:tabular-nums" if at in MONEY else ""
    return f'<{tag} align="{side}" style="{_CELL}{side}{figures}">{inner}</{tag}>'


def _html_needs(rows: tuple[Row, ...]) -> str:
    lines = [
        f"{sign} <b>{safe(name)}</b> {safe(what)} &nbsp; <code>{safe(code)}</code>"
        for sign, name, what, code in _needs(rows)
    ]
    return f'<p style="margin:8px 0 0">{"<br>".join(lines)}</p>' if lines else ""


def safe(text: str) -> str:
    r"""Escaped, and safe from the page's formula renderer.

    Notebooks typeset what stands between two `$`, or in `\(…\)`, in any text/html. It
    looks for both ends in one run of text, so a tag around each one is enough.
    """
    return escape(text).replace("$", "<span>$</span>").replace("\\", "<span>\\</span>")
