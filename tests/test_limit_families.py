"""Limits in a tree: who waits, who gives what to whom, how far it grows, who comes back."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from crew import until, with_run
from spenders import ENDLESS, events_of, happens, idle

from madrox_nb.budget import NO_LIMIT, Budget
from madrox_nb.errors import BudgetSpent, Forbidden, TreeFull
from madrox_nb.events import BudgetSet, TurnEnded
from madrox_nb.manager import Manager
from madrox_nb.revival import bring_back

# waiting and sleeping


def test_waiting_for_quiet_does_not_wait_for_what_a_limit_holds(tmp_path: Path) -> None:
    async def story(m: Manager) -> None:
        await m.spawn("lead", limits={"tokens": 100})
        first = await m.ask("lead", ENDLESS)
        await m.ask("lead", "queued")
        await m.answer(first)

        assert await m.quiet(("lead",), timeout=60)
        assert 1 == m.inboxes.queued("lead")

    with_run(tmp_path, story)


def test_a_suspended_one_is_not_woken_for_what_it_may_not_do_and_is_when_it_may(tmp_path: Path) -> None:
    async def story(m: Manager) -> None:
        await m.spawn("lead", limits={"tokens": 100})
        first = await m.ask("lead", ENDLESS)
        await m.ask("lead", "/say at last")
        await m.answer(first)
        await idle(m, "lead")
        await m.suspend("lead")

        await m.post("lead", "a note")
        assert await m.quiet(timeout=60)
        assert "suspended" == m.tree["lead"].state
        await until(m, happens(TurnEnded, "lead"), m.limit("lead", tokens=500))
        assert "at last" in events_of(m, TurnEnded, "lead")[-1].text

    with_run(tmp_path, story)


# who gives what to whom


def test_an_agent_gives_a_child_no_more_than_it_has_left(tmp_path: Path) -> None:
    async def story(m: Manager) -> None:
        await m.spawn("lead", limits={"tokens": 1000})
        await m.send("lead", "/usage 400 0")

        with pytest.raises(Forbidden, match="lead has 600 tokens left and can't give 700 tokens"):
            await m.spawn("dev", parent="lead", by="lead", limits={"tokens": 700})
        assert "dev" not in m.tree
        await m.spawn("dev", parent="lead", by="lead", limits={"tokens": 600})
        assert [BudgetSet(agent="dev", limit="tokens", amount=600, by="lead")] == events_of(
            m, BudgetSet, "dev"
        )

    with_run(tmp_path, story)


def test_one_that_has_nothing_left_spawns_nobody(tmp_path: Path) -> None:
    async def story(m: Manager) -> None:
        await m.spawn("lead", limits={"tokens": 1})
        await m.send("lead", "/usage 1 1")

        with pytest.raises(BudgetSpent, match="2 of 1 token"):
            await m.spawn("dev", parent="lead", by="lead")

    with_run(tmp_path, story)


def test_an_agent_may_be_stricter_but_never_undo_what_was_set_above_it(tmp_path: Path) -> None:
    async def story(m: Manager) -> None:
        await m.spawn("boss")
        await m.spawn("lead", parent="boss")
        await m.spawn("dev", parent="lead", limits={"tokens": 1000})

        await m.limit("dev", tokens=500, by="lead")
        with pytest.raises(Forbidden, match=r"lead can't allow dev more than 500 tokens.*Ask the person"):
            await m.limit("dev", tokens=800, by="lead")  # it is still the person's limit
        await m.limit("dev", turns=5, by="lead")
        await m.limit("dev", turns=6, by="lead")
        await m.limit("dev", turns=7, by="boss")
        with pytest.raises(Forbidden, match=r"boss has set\. Ask boss"):
            await m.limit("dev", turns=NO_LIMIT, by="lead")
        await m.limit("dev", tokens=2000)
        assert (2000, 7) == tuple(m.budget.limits["dev"][name].amount for name in ("tokens", "turns"))

    with_run(tmp_path, story)


def test_nobody_allows_itself_more(tmp_path: Path) -> None:
    async def story(m: Manager) -> None:
        await m.spawn("lead", limits={"tokens": 1000, "minutes": 30})

        await m.limit("lead", tokens=900, by="lead")
        for more in ({"tokens": 901}, {"tokens": NO_LIMIT}, {"minutes": 30}):
            with pytest.raises(Forbidden, match="lead can't allow lead more"):
                await m.limit("lead", by="lead", **more)
        await m.limit("lead", turns=5, by="lead")
        with pytest.raises(Forbidden, match=r"lead can't allow lead more than 5 turns.*Ask the person"):
            await m.limit("lead", turns=6, by="lead")
        with pytest.raises(Forbidden, match="only the person can"):
            await m.limit("", tokens=5, by="lead")

    with_run(tmp_path, story)


# the tree's shape


def test_a_tree_grows_no_deeper_and_no_wider_than_it_may(tmp_path: Path) -> None:
    async def story(m: Manager) -> None:
        await m.spawn("lead", limits={"max_children": 1})
        await m.spawn("dev", parent="lead")

        with pytest.raises(TreeFull, match=r"lead may have 1 child at once and has 1: dev.*--max-children 2"):
            await m.spawn("two", parent="lead")
        with pytest.raises(TreeFull, match=r"the run may have 2 levels.*%madrox limit --max-depth 3"):
            await m.spawn("deep", parent="dev")
        await m.terminate("dev")
        await m.spawn("two", parent="lead")
        assert ["lead", "dev", "two"] == [agent.name for agent in m.tree]

    with_run(tmp_path, story, max_depth=2)


def test_children_that_come_at_once_are_counted_before_they_are_there(tmp_path: Path) -> None:
    async def story(m: Manager) -> None:
        await m.spawn("lead", limits={"max_children": 2})

        spawns = [m.spawn(f"kid{n}", parent="lead") for n in range(5)]
        ends = await asyncio.gather(*spawns, return_exceptions=True)

        assert 3 == sum(isinstance(end, TreeFull) for end in ends)
        assert 2 == len(m.tree.children("lead"))

    with_run(tmp_path, story)


def test_an_agent_that_may_have_nobody_below_it_gets_nobody(tmp_path: Path) -> None:
    async def story(m: Manager) -> None:
        await m.spawn("lead", limits={"max_depth": 0})
        with pytest.raises(TreeFull, match="no agent can be spawned below lead: lead may have 0 levels"):
            await m.spawn("dev", parent="lead")
        await m.limit("lead", max_depth=1)
        await m.spawn("dev", parent="lead")

    with_run(tmp_path, story)


def test_a_fork_is_one_more_child_and_has_the_limits_of_its_original(tmp_path: Path) -> None:
    async def story(m: Manager) -> None:
        await m.spawn("lead")
        await m.spawn("dev", parent="lead", limits={"tokens": 100})
        await m.send("dev", "/usage 60 0")

        fork = await m.fork("dev")
        assert (100, 0) == (m.budget.limits[fork.name]["tokens"].amount, m.budget.used[fork.name].tokens)
        await m.limit("lead", max_children=2)
        with pytest.raises(TreeFull):
            await m.fork("dev")

    with_run(tmp_path, story)


# settings


def test_the_settings_limit_the_run_and_every_agent(tmp_path: Path) -> None:
    async def story(m: Manager) -> None:
        await m.spawn("a", harness="costly")
        await m.spawn("b", harness="costly", limits={"tokens": 700})
        assert {"tokens": 500, "minutes": 60} == {k: v.amount for k, v in m.budget.limits["a"].items()}
        assert {"tokens": 700, "minutes": 60} == {k: v.amount for k, v in m.budget.limits["b"].items()}
        assert {"settings"} == {limit.by for limit in m.budget.limits["a"].values()}

        await m.send("a", "/usage 400 0")
        stopped = await m.send("b", "/usage 600 1\n/hang")

        assert "the run has used $1.00 of $1.00, and b is part of that" in stopped.error
        assert "%madrox limit --usd 2" in stopped.error
        await m.limit("", usd=2)
        assert "ok" == (await m.send("b", "x")).outcome

    with_run(tmp_path, story, max_usd=1.001, max_tokens=500, agent_minutes=60)


def test_without_settings_there_is_no_limit(tmp_path: Path) -> None:
    async def story(m: Manager) -> None:
        await m.spawn("lead")
        await m.send("lead", "/usage 10000000 0")

        assert {} == m.budget.limits
        assert [] == events_of(m, BudgetSet, "lead") + events_of(m, BudgetSet, "")

    with_run(tmp_path, story)


# the ledger


def test_what_is_replayed_is_what_is_live(tmp_path: Path) -> None:
    async def story(m: Manager) -> None:
        await m.spawn("lead", limits={"tokens": 100, "turns": 9, "minutes": 9})
        await m.spawn("dev", parent="lead", limits={"usd": 3})
        await m.send("dev", ENDLESS)
        await m.limit("lead", tokens=1000)
        await m.send("dev", "on")

        assert m.budget == Budget.replay(m.ledger)

    with_run(tmp_path, story)


def test_an_agent_that_comes_back_has_its_limits_and_what_it_had_used_of_them(tmp_path: Path) -> None:
    async def before(m: Manager) -> None:
        await m.spawn("lead", limits={"tokens": 100})
        await m.spawn("dev", parent="lead")
        await m.send("dev", "/usage 40 50")

    async def after(m: Manager) -> None:
        await bring_back(m)

        assert (90, 0) == (m.budget.spent("lead", "tokens", m._clock()), m.costs.total().tokens)
        answer = await m.send("dev", "/usage 10 0\n/hang")
        assert "lead has used 100 of 100 tokens" in answer.error
        await m.limit("lead", tokens=101)
        assert 1 == m.budget.left("lead", "tokens", m.spending.now())

    with_run(tmp_path, before)
    with_run(tmp_path, after)


def test_one_that_was_held_comes_back_held(tmp_path: Path) -> None:
    async def before(m: Manager) -> None:
        await m.spawn("lead", limits={"tokens": 100})
        first = await m.ask("lead", ENDLESS)
        await m.ask("lead", "/say what waited")
        await m.answer(first)

    async def after(m: Manager) -> None:
        await bring_back(m)
        assert 1 == m.inboxes.queued("lead")
        with pytest.raises(BudgetSpent, match="120 of 100"):
            await m.ask("lead", "x")
        await until(m, happens(TurnEnded, "lead"), m.limit("lead", tokens=300))
        assert "what waited" == events_of(m, TurnEnded, "lead")[-1].text

    with_run(tmp_path, before)
    with_run(tmp_path, after)
