"""The stored notebooks as pages: made by nbconvert, looked at without a kernel, JavaScript or network."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from groups import PICTURES
from outputs import NOTEBOOKS, code, read

pytestmark = [pytest.mark.browser, pytest.mark.slow]

WIDTH = 1100
BROKEN = """() => [...document.images].filter(image => !image.naturalWidth)
    .map(image => image.outerHTML.slice(0, 80))"""
PARTS = "body, .jp-OutputArea-output, .jp-RenderedMarkdown, .highlight"
TOO_WIDE = """parts => [...document.querySelectorAll(parts)]
    .filter(part => part.scrollWidth > part.clientWidth + 1).map(part => part.innerText.slice(0, 60))"""


@pytest.fixture(scope="module")
def plain_browser(browser: Any) -> Iterator[Any]:
    """Pages that run no script and fetch nothing."""
    with browser.new_context(java_script_enabled=False, viewport={"width": WIDTH, "height": 900}) as context:
        context.route("http*://**", lambda route: route.abort())
        yield context


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_stored_notebook_reads_well_as_a_page(plain_browser: Any, path: Path, tmp_path: Path) -> None:
    from nbconvert import HTMLExporter

    file = tmp_path / "page.html"
    file.write_text(HTMLExporter().from_filename(str(path))[0], encoding="utf-8")
    page = plain_browser.new_page()
    page.goto(file.as_uri())
    if PICTURES:
        page.screenshot(path=str(Path(PICTURES) / f"{path.stem}.png"), full_page=True)
    text = " ".join(page.inner_text("body").split())

    assert [] == page.evaluate(BROKEN)
    assert [] == page.evaluate(TOO_WIDE, PARTS)
    assert [] == [words for words in said(path) if words not in text]
    assert "widget" not in text.lower()
    page.close()


def said(path: Path) -> list[str]:
    """The first words of each cell and of each output that is text alone."""
    notebook = read(path)
    texts = [output.text for cell in code(notebook) for output in cell.outputs if "text" in output]
    texts += [
        output.data["text/plain"]
        for cell in code(notebook)
        for output in cell.outputs
        if {"text/plain"} == set(output.get("data", {}))
    ]
    return [" ".join(text.split())[:60] for text in [*texts, *(cell.source for cell in code(notebook))]]
