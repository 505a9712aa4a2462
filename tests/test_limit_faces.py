"""Limits as a person has them: notebook verbs, handles, %madrox, frames and the tree. Real agents."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import spenders  # noqa: F401 — lends the harnesses that cost something
from IPython.core.error import UsageError

from madrox_nb.errors import BadInput, BudgetSpent, UnknownAgent
from madrox_nb.magics import candidates, read
from madrox_nb.notebook import AsyncMadrox, Madrox


@pytest.fixture
def m(tmp_path: Path) -> Iterator[Madrox]:
    with Madrox(home=tmp_path / "home", port=0, harnesses=("rehearsal",), stop_grace=1.0) as m:
        yield m


def line(text: str) -> Any:
    """What `%madrox TEXT` returns."""
    use = read(text, None, {})
    return use.command.carry_out(use)


def test_a_person_sets_raises_and_reads_limits(m: Madrox) -> None:
    lead = m.spawn("lead", harness="costly", limits={"tokens": 100, "usd": 2})
    m.spawn("dev", parent="lead", harness="unlisted")
    m.send("dev", "/usage 90 30")

    with pytest.raises(BudgetSpent, match="%madrox limit lead --tokens 200"):
        lead.send("go on")
    row = m.limits("lead").set_index("limit").loc["tokens"]
    assert (100, 120, 0, True, "you") == tuple(row[c] for c in ("amount", "used", "left", "reached", "by"))
    assert not m.limits("lead").set_index("limit").loc["usd", "exact"]
    costs = m.costs(full=True)
    assert (100, 0, 2) == tuple(costs.loc["lead", c] for c in ("limit_tokens", "left_tokens", "left_usd"))
    assert "lead: 120 of 100 tokens" == costs.loc["dev", "limit_reached"]
    assert "lead takes no turns: limit reached: 120 of 100 tokens   %madrox limit lead" in str(m.tree)

    raised = lead.limit(tokens=100, more=True)
    assert 220 == raised.set_index("limit").loc["tokens", "amount"]
    assert lead.send("/say again").ok
    assert "takes no turns" not in str(m.tree)
    assert ["(run)"] == list(m.limit(usd=50, max_depth=3).index.unique())
    with pytest.raises(BadInput, match="at least one"):
        m.limit("lead")
    with pytest.raises(UnknownAgent):
        m.limits("leda")


def test_the_awaited_face_says_the_same(tmp_path: Path) -> None:
    async def story() -> None:
        async with AsyncMadrox(home=tmp_path, port=0, harnesses=("rehearsal",), stop_grace=1.0) as m:
            lead = await m.spawn("lead", limits={"turns": 1})
            await lead.send("the only one")
            with pytest.raises(BudgetSpent):
                await lead.send("one more")
            limits = await lead.limit(turns=2)
            assert (2, 1) == tuple(limits.iloc[0][["amount", "left"]])
            assert 3 == (await m.limit("lead", turns=2, more=True)).iloc[0]["amount"]

    asyncio.run(asyncio.wait_for(story(), 30))


def test_a_cell_that_waited_says_whom_a_limit_keeps_from_going_on(m: Madrox) -> None:
    m.spawn("lead")
    first = m.send("lead", "/usage 90 30\n/hang", wait=False)
    second = m.send("lead", "later", wait=False)
    m.limit("lead", tokens=100)

    assert "interrupted" == first.wait().outcome
    with pytest.raises(BudgetSpent, match="What you asked waits"):
        second.wait()
    m.wait("lead", timeout=10)
    assert "quiet: lead; lead has work waiting, limit reached: 120 of 100 tokens" == m._run.quiet(("lead",))
    m.limit("lead", tokens=200)
    [letter] = m.inbox(timeout=10)
    assert second._ticket.id == letter.answers
    assert "quiet: lead" == m._run.quiet(("lead",))


def test_a_waiting_cell_shows_that_a_limit_is_near(m: Madrox) -> None:
    m.spawn("lead", limits={"tokens": 1000})
    m.send("lead", "/usage 900 0")

    assert "○ lead · idle" in m._run.line(m.manager.tree["lead"])
    assert m._run.line(m.manager.tree["lead"]).endswith("90% of a limit: 900 of 1,000 tokens")


def test_the_magic_limits_at_a_spawn_and_later(m: Madrox) -> None:
    line("spawn lead --usd 5 --tokens 200_000 --minutes 30 --turns 10 --max-children 2")
    said = m.limits("lead").set_index("limit")["amount"]
    assert {"usd": 5, "tokens": 200_000, "minutes": 30, "turns": 10, "max_children": 2} == dict(said)

    raised = line("limit lead --usd 7 --turns none --tokens 5 --more").set_index("limit")["amount"]
    assert {"usd": 7, "tokens": 5, "minutes": 30, "max_children": 2} == dict(raised)
    assert ["usd"] == list(line("limit --usd 100")["limit"])
    assert {"lead", "(run)"} == set(line("limit").index)
    assert {"lead"} == set(line("limit lead").index)
    with pytest.raises(UsageError, match="five"):
        read("limit lead --usd five", None, {})
    assert {"--usd", "--tokens", "--max-depth", "--more"} <= set(candidates(["limit", "lead"]))
