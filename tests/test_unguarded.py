"""Programs that ask nobody are no way around an agent's permissions."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from crew import with_run

from madrox_nb import config
from madrox_nb.calls import in_tools
from madrox_nb.errors import Forbidden, HarnessNotFound
from madrox_nb.library import Harnesses
from madrox_nb.manager import Manager
from madrox_nb.revival import bring_back

HERE = Harnesses()


@pytest.mark.parametrize("name", ["shell", "python", "ipython", "aider", "ollama", "kilo"])
def test_what_acts_unasked_is_unguarded(name: str) -> None:
    assert HERE[name].unguarded


@pytest.mark.parametrize("name", ["llm", "claude-screen", "codex-screen", "claude", "codex", "gemini"])
def test_what_only_speaks_or_is_held_by_its_own_flags_is_not(name: str) -> None:
    assert not HERE[name].unguarded


def test_a_cli_of_the_users_is_unguarded_until_its_table_says_that_it_asks(tmp_path: Path) -> None:
    (tmp_path / "madrox.toml").write_text(
        '[acp.mine]\ncommand = "mine"\n[acp.asks]\ncommand = "asks"\nfeatures = ["approvals"]\n'
    )

    async def story(m: Manager) -> None:
        with pytest.raises(Forbidden, match=r"say so: \[acp.mine\] features = \[.*\"approvals\""):
            await m.spawn("lead", harness="mine", permissions="ask")
        with pytest.raises(HarnessNotFound, match="'asks'"):  # nothing else is against it
            await m.spawn("lead", harness="asks", permissions="ask")

    async def main() -> None:
        chosen = config.load({"home": tmp_path}, environ={}, files=[tmp_path / "madrox.toml"]).settings
        m = await Manager(chosen).open()
        try:
            await story(m)
        finally:
            await m.close()

    asyncio.run(main())


@pytest.mark.parametrize("permissions", ["deny", "ask", "edits"])
def test_an_agent_can_not_act_through_a_shell_that_it_spawns(tmp_path: Path, permissions: str) -> None:
    async def story(m: Manager) -> None:
        await m.spawn("lead", permissions=permissions)
        with pytest.raises(Forbidden, match="shell does what it is told and asks nobody") as caught:
            await m.spawn("sh", harness="shell", parent="lead", by="lead")
        assert "spawn_instance NAME instance_type=shell permissions=all" in in_tools(str(caught.value))
        with pytest.raises(Forbidden, match=f"lead runs with permissions='{permissions}' and can't give"):
            await m.spawn("sh", harness="shell", parent="lead", by="lead", permissions="all")
        assert ["lead"] == [agent.name for agent in m.tree]

    with_run(tmp_path, story)


def test_the_person_says_it_in_so_many_words_and_it_is_shown(tmp_path: Path) -> None:
    async def story(m: Manager) -> None:
        with pytest.raises(Forbidden, match=r"%madrox spawn NAME --harness shell --permissions all"):
            await m.spawn("sh", harness="shell")
        assert "all" == (await m.spawn("sh", harness="shell", permissions="all")).permissions
        assert "6" == (await m.send("sh", "echo $((2 * 3))")).text

    async def later(m: Manager) -> None:
        [returned] = await bring_back(m)
        assert ("", True) == (returned.how, "not remembered" in returned.why)

    with_run(tmp_path, story)
    with_run(tmp_path, later)
