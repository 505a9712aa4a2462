"""What all tests share: no setting and no key of this machine reaches a test."""

from __future__ import annotations

import gc
import os
import sys
import tempfile
from collections.abc import Generator, Iterator
from typing import TYPE_CHECKING

import groups  # noqa: F401 — reads MADROX_REQUIRE before it is cleaned away
import pytest

if TYPE_CHECKING:
    from doors import Door

OURS = ("MADROX_", "ORCHESTRATOR_", "ANTHROPIC_", "CLAUDE", "CODEX_", "OPENAI_", "GEMINI_", "OPENCODE_")
SEED = (
    "MAX_INSTANCES",
    "MAX_TOTAL_COST",
    "MAX_TOKENS_PER_INSTANCE",
    "INSTANCE_TIMEOUT_MINUTES",
    "WORKSPACE_DIR",
    "LOG_DIR",
    "LOG_LEVEL",
)


# The suite starts hundreds of interpreters: none of them compiles again what another one has compiled.
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
sys.dont_write_bytecode = False


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Generator[None, object, object]:
    """What is imported and collected is no garbage: nobody looks for any, now and in each test."""
    gc.disable()
    try:
        return (yield)
    finally:
        gc.freeze()
        gc.enable()


@pytest.fixture(autouse=True)
def clean_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in tuple(os.environ):
        if name.startswith(OURS) or name in SEED:
            monkeypatch.delenv(name)


def _own_state() -> Iterator[None]:
    before = os.environ.get("XDG_STATE_HOME")
    with tempfile.TemporaryDirectory(prefix="madrox-state-") as place:
        os.environ["XDG_STATE_HOME"] = place
        yield
    os.environ.pop("XDG_STATE_HOME")
    if before is not None:
        os.environ["XDG_STATE_HOME"] = before


@pytest.fixture(autouse=True, scope="session")
def state_of_its_own() -> Iterator[None]:
    """Servers of tests are not found by the person's programs, nor theirs by tests."""
    yield from _own_state()


@pytest.fixture(autouse=True, scope="module")
def state_of_the_module(state_of_its_own: None) -> Iterator[None]:
    """Nor those of one module's tests, or of a browser's kernels, by another's."""
    yield from _own_state()


@pytest.fixture
def short(monkeypatch: pytest.MonkeyPatch) -> None:
    """One call of a tool waits a second, and reports every twentieth."""
    from madrox_nb.tools import waiting

    monkeypatch.setattr(waiting, "LONGEST_WAIT", 1.0)
    monkeypatch.setattr(waiting, "BEAT", 0.05)


@pytest.fixture(scope="module")
def doors(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Door]]:
    """One run of rehearsal agents for a module, with an MCP client at each of its doors."""
    from doors import opened

    with opened(tmp_path_factory.mktemp("home")) as doors:
        yield doors


@pytest.fixture(params=("http", "stdio"))
def door(request: pytest.FixtureRequest, doors: dict[str, Door]) -> Door:
    """Each of them in turn: what a test sees must be the same."""
    return doors[request.param]
