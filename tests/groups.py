"""Groups of tests that may need something absent: real CLIs, a browser."""

from __future__ import annotations

import os
from pathlib import Path
from typing import NoReturn

import pytest

REQUIRED = frozenset(os.environ.get("MADROX_REQUIRE", "").replace(",", " ").split())
"""Read before the tests clean the environment."""

CLIS = Path(__file__).parents[1] / ".clis" / "node_modules"
"""Where `make clis` puts the real programs."""

PICTURES = os.environ.get("MADROX_PICTURES", "")
"""Where tests of what a person sees keep screenshots; empty for nowhere."""

FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
"""How Chromium is started: without a sandbox, a GPU, or anything it would ask the internet."""


def absent(group: str, what: str, provide: str) -> NoReturn:
    """Skip, because `what` is absent; fail instead when `MADROX_REQUIRE` names the group."""
    said = f"{what} is absent; this provides it: {provide}"
    if group in REQUIRED:
        pytest.fail(f"{said} (MADROX_REQUIRE names {group!r})", pytrace=False)
    pytest.skip(said)
