"""Limits on the real programs: stopped softly, told why, and on again where they were."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from madrox_nb import config
from madrox_nb.errors import BudgetSpent
from madrox_nb.manager import Manager

pytestmark = [pytest.mark.real, pytest.mark.anyio]


@asynccontextmanager
async def run_of(home: Path, program: str, environ: Mapping[str, str]) -> AsyncIterator[Manager]:
    environ = {**environ, "PATH": f"{Path(program).parent}:{environ['PATH']}"}
    settings = config.load({"home": home}, environ={}, files=()).settings
    manager = await Manager(settings, environ=environ).open()
    try:
        yield manager
    finally:
        await manager.close()


async def stopped_and_on_again(m: Manager, harness: str) -> None:
    await m.spawn("lead", harness=harness, limits={"tokens": 10_000_000})
    session = m.tree["lead"].session
    await m.limit("lead", minutes=0.05)

    stopped = await m.send("lead", "SLOW 2000 0.05")
    with pytest.raises(BudgetSpent, match=r"%madrox limit lead --minutes 0\.05"):
        await m.send("lead", "too late")
    await m.limit("lead", minutes=30)
    after = await m.send("lead", "and now")

    assert "interrupted" == stopped.outcome
    assert "lead has used 3" in stopped.error
    assert "ok" == after.outcome
    assert "echo: and now" in after.text
    assert session in ("", m.tree["lead"].session)
    assert m.costs.of("lead").tokens == m.budget.used["lead"].tokens > 0


async def test_claude_is_stopped_softly_and_goes_on(
    claude: str, claude_env: dict[str, str], tmp_path: Path
) -> None:
    async with run_of(tmp_path / "madrox", claude, claude_env) as m:
        await stopped_and_on_again(m, "claude")
        spent = m.costs.of("lead").cost_usd

        await m.limit("lead", usd=spent / 2)
        with pytest.raises(BudgetSpent, match="lead has used"):
            await m.send("lead", "one more")
        await m.limit("lead", usd=0.05, more=True)
        assert "ok" == (await m.send("lead", "on again")).outcome
        assert 0 < spent < m.costs.of("lead").cost_usd


async def test_codex_is_stopped_softly_and_goes_on(
    codex: str, codex_env: dict[str, str], tmp_path: Path
) -> None:
    async with run_of(tmp_path / "madrox", codex, codex_env) as m:
        await stopped_and_on_again(m, "codex")
