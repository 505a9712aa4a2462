"""What all tests share: no setting and no key of this machine reaches a test."""

from __future__ import annotations

import os

import groups  # noqa: F401 — reads MADROX_REQUIRE before it is cleaned away
import pytest

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


@pytest.fixture(autouse=True)
def clean_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in tuple(os.environ):
        if name.startswith(OURS) or name in SEED:
            monkeypatch.delenv(name)
