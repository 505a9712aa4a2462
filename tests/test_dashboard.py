"""Where a person watches the agents."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from madrox_nb.dashboard import NOTEBOOK, SERVER, page

LAB = {
    "pid": 77,
    "url": "http://localhost:8888/base/?token=s3cret",
    "root_dir": "/home/me",
    "token": "s3cret",
}


@pytest.fixture
def runtime(tmp_path: Path) -> Path:
    (tmp_path / "jpserver-77.json").write_text(json.dumps(LAB))
    (tmp_path / "jpserver-78.json").write_text('{"pid": 78, "url": "http://localhost:8889/"')  # half written
    (tmp_path / "jpserver-79.json").write_text("[]")
    (tmp_path / "nbserver-77.json").write_text(json.dumps({**LAB, "url": "http://old/"}))
    return tmp_path


@pytest.mark.parametrize(
    ("notebook", "path"),
    [
        ("/home/me/a b/c#.ipynb", "lab/tree/a%20b/c%23.ipynb"),
        ("/elsewhere/c.ipynb", "lab"),
        ("", "lab"),
        ("an-uuid", "lab"),
    ],
)
def test_it_is_the_notebook_of_the_server_that_started_this_kernel_without_its_token(
    runtime: Path, notebook: str, path: str
) -> None:
    assert f"http://localhost:8888/base/{path}" == page({SERVER: "77", NOTEBOOK: notebook}, runtime)


@pytest.mark.parametrize("parent", ["78", "1", ""])
def test_without_such_a_server_there_is_no_page(runtime: Path, parent: str) -> None:
    assert "" == page({SERVER: parent, NOTEBOOK: "/home/me/c.ipynb"}, runtime)
    assert "" == page({SERVER: parent}, runtime / "not-there")
