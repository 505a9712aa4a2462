"""Rehearsals that stand in for agent CLIs."""

from __future__ import annotations

from pathlib import Path

import pytest
from crew import with_run

from madrox_nb import library
from madrox_nb.errors import UnknownHarness
from madrox_nb.harness.codex import Codex
from madrox_nb.harness.rehearsal import Rehearsal
from madrox_nb.library import Harnesses
from madrox_nb.manager import Manager
from madrox_nb.understudy import understudies


@pytest.fixture(autouse=True)
def nobody_stays_on_stage(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(library, "_lent", dict(library._lent))


def test_an_understudy_does_what_its_cue_says_and_tells_that_no_model_thinks(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    understudies("claude", "codex", cues={"count the files": "/usage 3 4\n/say seven"})
    monkeypatch.setenv("MADROX_CODEX_BIN", "/bin/false")  # nobody is started by that

    async def story(manager: Manager) -> None:
        agent = await manager.spawn("coder", harness="codex", options={"sandbox_mode": "read-only"})
        assert ("codex", "idle") == (agent.harness, agent.state)

        answer = await manager.send("coder", "Please count the files.\nThank you")
        assert ("used 3 tokens in, 4 out\nseven", ("rehearsal",)) == (answer.text, answer.usage.sources)
        assert "no model is thinking" in (await manager.send("coder", "Please count.")).text

    with_run(tmp_path, story)


def test_it_takes_the_options_of_whom_it_stands_in_for_and_can_what_a_rehearsal_can() -> None:
    understudies("codex")

    stand_in = Harnesses()["codex"]
    assert (Codex.options, Rehearsal.features) == (stand_in.options, stand_in.features)


def test_an_unknown_name_is_refused_with_the_nearest() -> None:
    with pytest.raises(UnknownHarness, match="Did you mean 'claude'"):
        understudies("cloude")
