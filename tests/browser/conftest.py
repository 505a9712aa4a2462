"""A real JupyterLab on loopback and a real Chromium to look at it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from groups import absent
from lab import Lab, Notebook, found_chromium, jupyterlab
from lab import chromium as started

SIZE = {"width": 1280, "height": 1100}


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


# of the package, not of the session: while a browser is there, no other test can have a loop of its own
@pytest.fixture(scope="package")
def browser(chromium: str) -> Iterator[Any]:
    with started(chromium) as browser:
        yield browser


class Desk:
    """A page that shows JupyterLab, for one test after the other; after one that failed it is a new one."""

    def __init__(self, browser: Any, lab: Lab, session: pytest.Session) -> None:
        self.browser, self.lab, self.session = browser, lab, session
        self.page: Any = None

    @contextmanager
    def taken(self) -> Iterator[Any]:
        failed = self.session.testsfailed
        self.page = self.page or self._laid()
        self.page.set_viewport_size(SIZE)
        yield self.page
        if self.session.testsfailed > failed:
            self.page.context.close()
            self.page = None

    def _laid(self) -> Any:
        page = self.browser.new_page(viewport=SIZE)
        page.goto(f"{self.lab.url}/lab?reset&token={self.lab.token}")
        page.wait_for_function("window.jupyterapp?.restored.then(() => true)")
        return page


@pytest.fixture(scope="package")
def desk(browser: Any, lab: Lab, request: pytest.FixtureRequest) -> Desk:
    return Desk(browser, lab, request.session)


@pytest.fixture
def page(request: pytest.FixtureRequest, browser: Any) -> Iterator[Any]:
    """The page that all tests share, unless one is marked to have its own."""
    if request.node.get_closest_marker("own_page"):
        with browser.new_context(viewport=SIZE) as context:
            yield context.new_page()
    else:
        with request.getfixturevalue("desk").taken() as page:
            yield page


@pytest.fixture
def notebook(lab: Lab, page: Any) -> Notebook:
    return Notebook(page, lab)


@pytest.fixture
def seven(lab: Lab, page: Any) -> Notebook:
    """The same in Jupyter Notebook 7."""
    return Notebook(page, lab, "notebooks")
