"""Tables of a notebook without its kernel: as text, and as HTML without script, class or SVG."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final

from ..views import columns, safe

Cells = Sequence[str]
_CELL: Final = "padding:3px 10px;border-bottom:1px solid #e0e0e0;white-space:nowrap;text-align:"


def plain(heads: Cells, lines: Iterable[Cells], right: Iterable[int]) -> str:
    """Columns with two spaces between them; those in `right` hold numbers."""
    table, numbers = [tuple(heads), *map(tuple, lines)], set(right)
    widths = [max(map(columns, column)) for column in zip(*table, strict=True)]
    return "\n".join(
        "  ".join(
            _padded(cell, width, at in numbers)
            for at, (cell, width) in enumerate(zip(line, widths, strict=True))
        ).rstrip()
        for line in table
    )


def html(heads: Cells, lines: Iterable[Cells], right: Iterable[int]) -> str:
    """The same; indents of the first column stay where style is stripped."""
    numbers = set(right)
    body = "".join(f"<tr>{_row('td', line, numbers)}</tr>" for line in lines)
    head = _row("th", [head.capitalize() for head in heads], numbers)
    return (
        f'<table style="border-collapse:collapse;font-size:13px"><thead><tr>{head}</tr></thead>'
        f"<tbody>{body}</tbody></table>"
    )


def _padded(cell: str, width: int, number: bool) -> str:
    space = " " * (width - columns(cell))
    return space + cell if number else cell + space


def _row(tag: str, line: Cells, numbers: set[int]) -> str:
    return "".join(_cell(tag, cell, at in numbers) for at, cell in enumerate(line))


def _cell(tag: str, text: str, number: bool) -> str:
    side = "right" if number else "left"
    figures = ";font-variant-numeric:tabular-nums" if number else ""
    kept = safe(text).replace("  ", "&nbsp;&nbsp;")
    return f'<{tag} align="{side}" style="{_CELL}{side}{figures}">{kept}</{tag}>'
