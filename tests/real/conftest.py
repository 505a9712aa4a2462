"""The real programs, the stub they think with, and the little they may know of this machine."""

from __future__ import annotations

import os
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path

import groups
import pytest
from driver import Driver
from mcp_server import TOKEN, TinyServer
from model import Model
from record import codex_environ

from madrox_nb.harness import Brief, Harness
from madrox_nb.harness.claude import Claude
from madrox_nb.harness.codex import Codex


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture(scope="session")
def claude() -> str:
    """The native binary itself: it needs neither Node nor the package's install script."""
    found = sorted(groups.CLIS.glob("@anthropic-ai/claude-code-*/claude"))
    return str(found[0]) if found else groups.absent("real", "the real claude", "make clis")


@pytest.fixture(scope="session")
def node() -> str:
    """A Node recent enough for the MCP inspector."""
    found = groups.CLIS / ".bin" / "node"
    return str(found) if found.exists() else groups.absent("real", "a pinned Node", "make clis")


@pytest.fixture
def model() -> Iterator[Model]:
    with Model() as model:
        yield model


@pytest.fixture
def mcp_server() -> Iterator[TinyServer]:
    with TinyServer() as server:
        yield server


@pytest.fixture
def claude_env(model: Model, tmp_path: Path) -> dict[str, str]:
    """All that claude gets to know: a home of its own, the stub, and no key worth a cent."""
    home = tmp_path / "home"
    home.mkdir()
    return {
        "PATH": os.environ["PATH"],
        "LANG": os.environ.get("LANG", "C.UTF-8"),
        "HOME": str(home),
        "CLAUDE_CONFIG_DIR": str(home / "claude"),
        "ANTHROPIC_BASE_URL": model.url,
        "ANTHROPIC_API_KEY": "dummy",
        "CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC": "1",
        "CLAUDE_CODE_MAX_RETRIES": "1",
    }


@pytest.fixture
def agent(claude: str, claude_env: dict[str, str], tmp_path: Path) -> Callable[..., Driver]:
    """A real claude behind its codec, to be entered with `async with`."""
    return drivers(Claude, claude, claude_env, tmp_path)


@pytest.fixture(scope="session")
def codex() -> str:
    """The native binary itself: it needs neither Node nor its launcher."""
    found = sorted(groups.CLIS.glob("@openai/codex-*/vendor/*/bin/codex"))
    return str(found[0]) if found else groups.absent("real", "the real codex", "make clis")


@pytest.fixture
def codex_env(model: Model, tmp_path: Path) -> dict[str, str]:
    """All that codex gets to know: a home of its own, whose settings name the stub."""
    home = tmp_path / "home"
    home.mkdir()
    return {
        "PATH": os.environ["PATH"],
        "LANG": os.environ.get("LANG", "C.UTF-8"),
        "HOME": str(home),
        **codex_environ(home, model),
    }


@pytest.fixture
def codex_agent(codex: str, codex_env: dict[str, str], tmp_path: Path) -> Callable[..., Driver]:
    """A real codex behind its codec, to be entered with `async with`."""
    return drivers(Codex, codex, codex_env, tmp_path)


def drivers(
    harness: type[Harness], command: str, env: dict[str, str], tmp_path: Path
) -> Callable[..., Driver]:
    for name in ("workspace", "files"):
        (tmp_path / name).mkdir()

    def make(server: TinyServer | None = None, **more: object) -> Driver:
        fields: dict[str, object] = {
            "agent": "lead",
            "command": (command,),
            "workspace": str(tmp_path / "workspace"),
            "files": str(tmp_path / "files"),
            "session": str(uuid.uuid4()),
            "mcp_url": server.url if server else "",
            "mcp_token": TOKEN if server else "",
        }
        return Driver(harness(Brief(**{**fields, **more})), env)

    return make
