"""The page of pictures shows every picture and notebook that there is, and nothing else."""

from __future__ import annotations

import re
from pathlib import Path

from outputs import NOTEBOOKS

DOCS = Path(__file__).parents[1] / "docs"
PAGE = (DOCS / "gallery.md").read_text(encoding="utf-8")
HEAVIEST = 150_000
"""Bytes of a picture."""


def test_the_page_shows_every_picture_and_each_is_small() -> None:
    pictures = {f"gallery/{path.name}": path for path in (DOCS / "gallery").iterdir()}

    assert set(pictures) == set(re.findall(r"gallery/[\w-]+\.png", PAGE))
    assert [] == [name for name, path in pictures.items() if path.stat().st_size > HEAVIEST]


def test_the_page_lists_the_notebooks_in_reading_order_by_their_titles() -> None:
    titles = {path.name: re.search(r'"# ([^\\"]+)', path.read_text(encoding="utf-8")) for path in NOTEBOOKS}
    listed = re.findall(r"^\d\. \[(.+)\]\(\.\./notebooks/(.+)\):", PAGE, re.MULTILINE)

    assert [(title[1] if title else "", name) for name, title in titles.items()] == listed
