"""A real JupyterLab on loopback and a real Chromium to look at it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from groups import absent
from lab import Lab, Notebook, found_chromium, jupyterlab
from lab import chromium as started


@pytest.fixture(scope="session")
def chromium() -> str:
    found = found_chromium()
    if found is None:
        absent("browser", "Chromium", "apt install chromium")
    return found


@pytest.fixture(scope="session")
def lab(chromium: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    with jupyterlab(tmp_path_factory.mktemp("lab")) as lab:
        yield lab


@pytest.fixture
def page(chromium: str) -> Iterator[Any]:
    with started(chromium) as browser:
        yield browser.new_page(viewport={"width": 1280, "height": 1100})


@pytest.fixture
def notebook(lab: Lab, page: Any) -> Notebook:
    return Notebook(page, lab)


@pytest.fixture
def seven(lab: Lab, page: Any) -> Notebook:
    """The same in Jupyter Notebook 7."""
    return Notebook(page, lab, "notebooks")
