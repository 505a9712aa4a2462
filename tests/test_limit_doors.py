"""Limits through every door, with agents that call the tools themselves; and over a kernel's end."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import pytest
import spenders  # noqa: F401 — lends the harnesses that cost something
from doors import Door

from madrox_nb import config
from madrox_nb.budget import Budget
from madrox_nb.events import BudgetReached, TurnEnded
from madrox_nb.manager import Manager

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("limits")]


def tool(name: str, /, **arguments: object) -> str:
    """The directive that has an agent call a tool."""
    return f"/tool {name} {json.dumps(arguments)}"


def test_w15_limits_are_kept_and_told_alike_at_every_door(door: Door) -> None:
    agent = door.spawn("spender", instance_type="costly", max_total_tokens=1000, max_cost=0.5)
    said = door.refused(
        "send_to_instance", instance_id=agent, message="/usage 500 1\n/hang", wait_for_response=True
    )
    refused = door.refused("send_to_instance", instance_id=agent, message="go on")
    status = door.call("get_instance_status", instance_id=agent).data
    raised = door.call("set_limits", instance_id=agent, max_cost=2.0)

    assert f"{agent} has used $0.50 of $0.50 with all below it and takes no turns" in said
    assert f"set_limits {agent} max_cost=1 " in refused
    assert (501, 0.501, 499) == (
        status["total_tokens_used"],
        status["total_cost"],
        status["left"]["max_total_tokens"],
    )
    assert {"max_cost": 2, "max_total_tokens": 1000} == raised.data["limits"]
    assert "ok" in door.ask(agent, "/say ok")
    assert "costly (cli): $0.5" in door.call("get_costs", instance_id=agent).text


def test_l5_a_limit_that_trips_in_a_sub_agent_is_told_to_the_one_who_waits_for_it(door: Door) -> None:
    lead = door.spawn("lead")
    kid = f"{lead}-kid"
    spawned = door.ask(lead, tool("spawn_instance", name=kid, instance_type="costly", max_total_tokens=100))
    told = door.ask(
        lead, tool("send_to_instance", instance_id=kid, message="/usage 90 20\n/hang", wait_for_response=True)
    )
    raised = door.ask(lead, tool("set_limits", instance_id=kid, max_total_tokens=500))
    greedy = door.ask(kid, tool("set_limits", instance_id=kid, max_total_tokens=9999))

    assert f"spawned {kid}" in spawned
    assert f"{kid} has used 110 of 100 tokens" in told
    assert f"set_limits {kid} max_total_tokens=200" in told
    assert "max_total_tokens 500" in raised
    assert f"{kid} can't allow {kid} more than 500 tokens" in greedy


def settings(home: Path) -> config.Settings:
    chosen = {"home": home, "harnesses": "rehearsal", "stop_grace": 1.0, "on_kernel_death": "keep:60"}
    return config.load(chosen, environ={}, files=()).settings


def test_limits_go_on_with_agents_that_outlive_their_kernel(tmp_path: Path) -> None:
    async def story() -> None:
        first = await Manager(settings(tmp_path)).open()
        await first.spawn("lead", limits={"minutes": 0.03, "tokens": 100})
        await first.spawn("dev", limits={"tokens": 50})
        await first.send("dev", "/usage 30 10")
        await first.ask("lead", "/hang")
        await first.leave()

        second = await Manager(settings(tmp_path), run=first.run).open()
        try:
            assert {"minutes": 0.03, "tokens": 100} == {
                name: limit.amount for name, limit in second.budget.limits["lead"].items()
            }
            async with asyncio.timeout(60):
                while second.tree["lead"].state != "idle":
                    await second.mail.change()
            stopped = await second.send("dev", "/usage 10 1\n/hang")
            ended = {e.event.turn: e.event for e in second.ledger if isinstance(e.event, TurnEnded)}
            reached = [e.event.limit for e in second.ledger if isinstance(e.event, BudgetReached)]
            assert second.budget == Budget.replay(second.ledger)
        finally:
            await second.close()

        assert "lead has used 1.8" in ended["lead.t1"].error
        assert "dev has used 51 of 50 tokens" in stopped.error
        assert ["minutes", "tokens"] == reached

    asyncio.run(asyncio.wait_for(story(), 100))
