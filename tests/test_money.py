"""The tools about money, as each caller has them. Real agents, no HTTP."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest
import spenders  # noqa: F401 — lends the harnesses that cost something
from crew import with_run

import madrox_nb.tools  # noqa: F401 — registers them
from madrox_nb.calls import Call, Result, find, in_tools
from madrox_nb.errors import BadInput, BudgetSpent, Forbidden, TurnFailed
from madrox_nb.events import PERSON
from madrox_nb.manager import Manager


async def call(m: Manager, caller: str, tool: str, /, **given: Any) -> Result:
    async def progress(seconds: float, text: str) -> None: ...

    return await find(tool).call(Call(m, caller, progress), given)


async def family(m: Manager) -> None:
    """lead, limited to 1,000 tokens and ten dollars, with dev below it; and a stranger."""
    limits = {"max_total_tokens": 1000, "max_cost": 10.0}
    await call(m, PERSON, "spawn_instance", name="lead", instance_type="costly", **limits)
    await call(m, "lead", "spawn_instance", name="dev", instance_type="costly")
    await call(m, PERSON, "spawn_instance", name="stranger", instance_type="unlisted")


def test_limits_at_a_spawn_hold_and_the_status_says_what_is_left(tmp_path: Path) -> None:
    async def story(m: Manager) -> None:
        await family(m)
        await m.send("dev", "/usage 300 0")

        lead = (await call(m, PERSON, "get_instance_status", instance_id="lead")).data
        dev = await call(m, "dev", "get_instance_status", instance_id="dev")

        assert {"max_total_tokens": 1000, "max_cost": 10} == lead["limits"]
        assert {"max_total_tokens": 700, "max_cost": 9.7} == dev.data["left"]
        assert (300, 0.3, False, "") == tuple(
            dev.data[key]
            for key in ("total_tokens_used", "total_cost", "cost_is_lower_bound", "limit_reached")
        )
        assert "left: max_cost 9.7, max_total_tokens 700" in dev.text
        assert (0, {}) == (lead["total_tokens_used"], dev.data["limits"])
        assert "parent: lead\n" in dev.text
        much = await call(m, PERSON, "set_limits", instance_id="lead", max_total_tokens=9_000_000)
        assert "max_total_tokens 9,000,000" in much.text
        assert (
            "parent: the person\n" in (await call(m, PERSON, "get_instance_status", instance_id="lead")).text
        )

    with_run(tmp_path, story)


def test_w15_every_limit_of_a_spawn_is_kept_and_not_swallowed(tmp_path: Path) -> None:
    async def story(m: Manager) -> None:
        hangs = "/usage 500 0\n/hang"
        for name, limit in (
            ("tokens", {"max_total_tokens": 100}),
            ("usd", {"max_cost": 0.1}),
            ("minutes", {"timeout_minutes": 0.03}),
        ):
            with pytest.raises(TurnFailed, match=f"{name} has used"):
                await call(
                    m,
                    PERSON,
                    "spawn_instance",
                    name=name,
                    instance_type="costly",
                    initial_prompt=hangs,
                    wait_for_response=True,
                    **limit,
                )
        assert ["idle"] * 3 == [agent.state for agent in m.tree]

    with_run(tmp_path, story)


def test_a_tool_that_asks_one_with_nothing_left_says_how_to_give_it_more_in_its_own_words(
    tmp_path: Path,
) -> None:
    async def story(m: Manager) -> None:
        await family(m)
        await m.send("dev", "/usage 1000 0")

        with pytest.raises(BudgetSpent) as told:
            await call(m, "lead", "send_to_instance", instance_id="dev", message="more")
        assert "set_limits lead max_total_tokens=2000" in in_tools(str(told.value))
        told_of = await call(m, "lead", "get_instance_status", instance_id="dev")
        assert "lead has used 1,000 of 1,000 tokens" == told_of.data["limit_reached"]

    with_run(tmp_path, story)


def test_an_agent_limits_those_below_it_and_neither_itself_upward_nor_its_neighbours(tmp_path: Path) -> None:
    async def story(m: Manager) -> None:
        await family(m)

        set_ = await call(m, "lead", "set_limits", instance_id="dev", max_total_tokens=400, max_turns=3)
        assert {"max_total_tokens": 400, "max_turns": 3} == set_.data["limits"]
        with pytest.raises(Forbidden, match="lead can't allow lead more than 1,000 tokens"):
            await call(m, "lead", "set_limits", instance_id="lead", max_total_tokens=2000)
        with pytest.raises(Forbidden, match="dev can't limit lead"):
            await call(m, "dev", "set_limits", instance_id="lead", max_total_tokens=5)
        with pytest.raises(Forbidden, match="only the person can"):
            await call(m, "lead", "set_limits", max_cost=1)
        with pytest.raises(Forbidden, match="lead has 1,000 tokens left and can't give 1,001 tokens"):
            await call(m, "lead", "spawn_instance", name="x", max_total_tokens=1001)

    with_run(tmp_path, story)


def test_limits_are_raised_by_more_and_taken_away_by_name(tmp_path: Path) -> None:
    async def story(m: Manager) -> None:
        await family(m)
        await m.send("lead", "/usage 400 0")

        raised = await call(m, PERSON, "set_limits", instance_id="lead", max_total_tokens=50, more=True)
        assert (450, 50) == tuple(raised.data[key]["max_total_tokens"] for key in ("limits", "left"))
        gone = await call(m, PERSON, "set_limits", instance_id="lead", remove=["max_total_tokens"])
        assert {"max_cost": 10} == gone.data["limits"]
        with pytest.raises(BadInput, match="Did you mean 'max_cost'"):
            await call(m, PERSON, "set_limits", instance_id="lead", remove=["max_costs"])
        with pytest.raises(BadInput, match="at least one"):
            await call(m, PERSON, "set_limits", instance_id="lead")
        whole = await call(m, PERSON, "set_limits", max_cost=20, max_depth=2)
        assert {"max_cost": 20, "max_depth": 2} == whole.data["limits"]

    with_run(tmp_path, story)


def test_costs_are_told_by_model_with_their_source_and_what_nobody_knows(tmp_path: Path) -> None:
    async def story(m: Manager) -> None:
        await family(m)
        await asyncio.gather(m.send("dev", "/usage 200 50"), m.send("stranger", "/usage 70 30"))

        told = await call(m, PERSON, "get_costs")
        lead, dev, stranger = told.data["instances"]

        assert "lead: $0.0000, 0 tokens; with all below it $0.2500, 250 tokens" in told.text
        assert "  no-such-model-9 (unknown): unpriced, 100 tokens" in told.text
        assert "in all: ≥ $0.2500, 350 tokens" in told.text
        assert (250, 0.25) == (lead["subtree"]["tokens"], lead["subtree"]["cost_usd"])
        assert [("costly", "cli", 250)] == [
            (each["model"], each["source"], each["tokens"]) for each in dev["by_model"]
        ]
        assert (None, 0, True) == tuple(
            stranger[key] for key in ("cost_usd", "known_usd", "cost_is_lower_bound")
        )

    with_run(tmp_path, story)


def test_an_agent_sees_the_costs_of_those_near_it_alone(tmp_path: Path) -> None:
    async def story(m: Manager) -> None:
        await family(m)

        seen = await call(m, "dev", "get_costs")
        assert ["lead", "dev"] == [each["instance_id"] for each in seen.data["instances"]]
        assert "total" not in seen.data
        with pytest.raises(Forbidden, match="dev can't look at stranger"):
            await call(m, "dev", "get_costs", instance_id="stranger")

    with_run(tmp_path, story)


@pytest.mark.parametrize(
    ("said", "meant"),
    [
        (
            "Raise it: %madrox limit dev --tokens 2000 (agents",
            "Raise it: set_limits dev max_total_tokens=2000 (agents",
        ),
        ("%madrox limit --usd 4, then ask", "set_limits max_cost=4, then ask"),
        ("%madrox limit lead --max-depth 3", "set_limits lead max_depth=3"),
        (
            "%madrox spawn NAME --harness x --permissions all",
            "spawn_instance NAME instance_type=x permissions=all",
        ),
    ],
)
def test_the_next_step_is_told_in_the_words_of_the_tools(said: str, meant: str) -> None:
    assert meant == in_tools(said)
