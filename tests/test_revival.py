"""After a kernel's death its agents come back from the ledger."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

import pytest
from crew import Disk, run_of, with_run

from madrox_nb import config
from madrox_nb.errors import BadInput
from madrox_nb.events import (
    AgentReady,
    AgentSpawned,
    AgentStopped,
    AgentSuspended,
    Entry,
    Event,
    MessagePosted,
    RunClosed,
    TurnEnded,
    TurnStarted,
)
from madrox_nb.manager import Manager
from madrox_nb.revival import Return, bring_back, past
from madrox_nb.tree import Tree

pytestmark = pytest.mark.slow

NOON = datetime(2026, 7, 25, 12, tzinfo=UTC)

OWNER = """
import asyncio, sys
sys.path[:0] = [{tests!r}]
from crew import Rogue
from madrox_nb import config
from madrox_nb.manager import Manager

async def main():
    settings = config.load({{"home": {home!r}, "max_instances": 50}}, environ={{}}, files=()).settings
    m = await Manager(settings).open()
    {story}
    print(m.run, flush=True)
    await asyncio.Event().wait()

asyncio.run(main())
"""


def killed(home: Path, *story: str) -> str:
    """The name of a run whose process did `story` and was killed with -9."""
    code = OWNER.format(tests=str(Path(__file__).parent), home=str(home), story="\n    ".join(story))
    owner = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
    assert owner.stdout is not None
    run = owner.stdout.readline().strip()
    os.kill(owner.pid, signal.SIGKILL)
    owner.wait()
    owner.stdout.close()
    assert run, "the story failed"
    return run


def told(returned: list[Return]) -> dict[str, tuple[str, str]]:
    return {each.agent: (each.how, each.why) for each in returned}


# a killed kernel


def test_a_tree_comes_back_with_sessions_places_and_unread_messages(tmp_path: Path) -> None:
    killed(
        tmp_path,
        'await m.spawn("lead", role="architect", model="m-1", permissions="edits")',
        'await m.spawn("kid", parent="lead", system_prompt="You are a kid.")',
        'await m.spawn("new")',
        'await m.send("lead", "remember PINEAPPLE")',
        'await m.send("kid", "/write work.txt mine")',
        'await m.post("kid", "a note for later")',
    )

    async def story(m: Manager) -> None:
        returned = await bring_back(m)

        assert {"lead": ("session", ""), "kid": ("session", ""), "new": ("fresh", "")} == told(returned)
        lead, kid = m.tree["lead"], m.tree["kid"]
        assert ("architect", "m-1", "edits", "resumed") == (
            lead.role,
            lead.model,
            lead.permissions,
            lead.origin,
        )
        assert ("lead", "You are a kid.") == (kid.parent, kid.system_prompt)
        assert '["remember PINEAPPLE"]' == (await m.send("lead", "/recall")).text
        assert "a note for later" in (await m.send("kid", "what is there?")).text
        assert Tree.replay(m.ledger) == m.tree

    with_run(tmp_path, story)
    assert "mine" == (tmp_path / "work" / "kid" / "work.txt").read_text()


def test_a_question_that_waited_is_still_answered(tmp_path: Path) -> None:
    killed(
        tmp_path,
        'await m.spawn("lead")',
        'await m.ask("lead", "/hang")',
        'await m.ask("lead", "/say still wanted")',
    )

    async def story(m: Manager) -> None:
        returned = await bring_back(m)
        [letter] = await m.take(timeout=60)

        assert {"lead": ("fresh", "turn lead.t1 was cut off: send it again")} == told(returned)
        assert "still wanted" == letter.text

    with_run(tmp_path, story)


def test_who_was_suspended_comes_back_suspended_and_wakes_for_a_message(tmp_path: Path) -> None:
    killed(tmp_path, 'await m.spawn("lead")', 'await m.send("lead", "one")', 'await m.suspend("lead")')

    async def story(m: Manager) -> None:
        assert {"lead": ("suspended", "")} == told(await bring_back(m))
        assert ("suspended", 0) == (m.tree["lead"].state, len(m.processes))
        assert '["one"]' == (await m.send("lead", "/recall")).text

    with_run(tmp_path, story)


def test_who_came_back_without_a_word_said_can_be_suspended_and_woken(tmp_path: Path) -> None:
    async def before(m: Manager) -> None:
        await m.spawn("lead")

    async def after(m: Manager) -> None:
        assert ["fresh"] == [each.how for each in await bring_back(m)]
        await m.suspend("lead")
        assert "awake" == (await m.send("lead", "/say awake")).text

    with_run(tmp_path, before)
    with_run(tmp_path, after)


def test_who_was_suspended_comes_back_whole_or_not_at_all_when_the_disk_is_full(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def before(m: Manager) -> None:
        await m.spawn("lead")
        await m.send("lead", "hi")
        await m.suspend("lead")

    async def after(m: Manager) -> None:
        disk = Disk(m, monkeypatch)
        disk.full = True
        [told] = await bring_back(m)
        assert ("", True) == (told.how, "no room" in told.why)
        disk.full = False
        assert not m.processes._workspaces._held

        m.ledger.listen(lambda entry: setattr(disk, "full", isinstance(entry.event, AgentSpawned)))
        [told] = await bring_back(m)
        assert ("suspended", "suspended") == (told.how, m.tree["lead"].state)

    with_run(tmp_path, before)
    with_run(tmp_path, after)


def test_everything_allowed_is_not_remembered(tmp_path: Path) -> None:
    killed(tmp_path, 'await m.spawn("lead", permissions="all")', 'await m.send("lead", "one")')

    async def story(m: Manager) -> None:
        assert "permissions='all' is not remembered" in told(await bring_back(m))["lead"][1]
        assert "edits" == m.tree["lead"].permissions

    with_run(tmp_path, story)


def test_what_can_not_come_back_says_why_and_the_others_come(tmp_path: Path) -> None:
    killed(
        tmp_path,
        'await m.spawn("other", harness="forgetful")',
        'await m.send("other", "one")',
        'await m.spawn("below", parent="other")',
        'await m.spawn("lost")',
        'await m.send("lost", "one")',
        'await m.spawn("taken")',
        'await m.spawn("lead")',
    )

    async def story(m: Manager) -> None:
        session = m.settings.logs / "sessions"
        for path in session.iterdir():
            path.write_text("{")
        await m.spawn("taken")
        why = told(await bring_back(m))

        assert ("", "forgetful can't go on with a conversation in a new process") == why["other"]
        assert ("", "its parent other did not come back") == why["below"]
        assert why["lost"][1].startswith("it did not start: cannot go on with session")
        assert ("", "it is here already") == why["taken"]
        assert ("fresh", "") == why["lead"]

    with_run(tmp_path, story)


def test_only_those_who_are_named_come_back(tmp_path: Path) -> None:
    run = killed(tmp_path, 'await m.spawn("a")', 'await m.spawn("b")')

    async def story(m: Manager) -> None:
        with pytest.raises(BadInput, match=rf"c was not alive when run {run} ended. Alive were: a, b"):
            await bring_back(m, ("c",))
        assert ["b"] == [each.agent for each in await bring_back(m, ("b",))]
        assert ["b"] == [agent.name for agent in m.tree]

    with_run(tmp_path, story)


def test_the_newest_run_with_agents_is_taken_and_others_by_name(tmp_path: Path) -> None:
    first = killed(tmp_path, 'await m.spawn("old")')
    killed(tmp_path, 'await m.spawn("young")')
    killed(tmp_path, "pass")

    async def story(m: Manager) -> None:
        assert ["young"] == [each.agent for each in await bring_back(m)]
        assert ["old"] == [each.agent for each in await bring_back(m, run=first)]
        with pytest.raises(BadInput, match="there is no run 'nonsense'"):
            await bring_back(m, run="nonsense")

    with_run(tmp_path, story)


def test_who_was_ended_on_purpose_stays_ended(tmp_path: Path) -> None:
    killed(tmp_path, 'await m.spawn("a")', 'await m.spawn("b")', 'await m.terminate("a")')

    async def story(m: Manager) -> None:
        assert ["b"] == [each.agent for each in await bring_back(m)]

    with_run(tmp_path, story)


def test_a_run_that_was_closed_in_order_can_be_brought_back_too(tmp_path: Path) -> None:
    async def before(m: Manager) -> None:
        await m.spawn("lead")
        await m.send("lead", "one")

    async def after(m: Manager) -> None:
        assert {"lead": ("session", "")} == told(await bring_back(m))

    with_run(tmp_path, before)
    with_run(tmp_path, after)


def test_who_had_only_begun_to_start_when_its_run_was_closed_comes_back_too(tmp_path: Path) -> None:
    async def story() -> None:
        wanted, never = asyncio.Event(), asyncio.Event()

        async def url() -> str:
            wanted.set()
            await never.wait()
            return ""

        chosen = config.load({"home": tmp_path}, environ={}, files=()).settings
        first = await Manager(chosen, mcp_url=url).open()
        await first.spawn("lead", harness="rehearsal", wait=False)
        await first.spawn("gone", harness="rehearsal", wait=False)
        await wanted.wait()  # the starts are under way, and there are no processes yet
        await first.terminate("gone")
        await first.close()

        assert ("terminated by you", "closed") == (first.tree["gone"].reason, first.tree["lead"].reason)
        async with run_of(tmp_path) as second:
            assert {"lead": ("fresh", "")} == told(await bring_back(second))

    asyncio.run(story())


def test_where_there_was_nobody_nobody_comes_back(tmp_path: Path) -> None:
    async def story(m: Manager) -> None:
        with pytest.raises(BadInput, match="there is no earlier run with agents"):
            await bring_back(m)

    with_run(tmp_path, story)


async def _two_homes(home: Path) -> None:
    async with run_of(home) as one, run_of(home) as two:
        await one.spawn("lead")
        returned = await bring_back(two, run=one.run)
        assert "its workspace" in returned[0].why
        assert "is in use" in returned[0].why


def test_an_agent_whose_workspace_another_kernel_holds_does_not_come_twice(tmp_path: Path) -> None:
    asyncio.run(_two_homes(tmp_path))


# what was, from the ledger alone


def entries(*events: Event) -> list[Entry]:
    return [Entry(n, NOON, event) for n, event in enumerate(events)]


def born(name: str, **more: str) -> list[Event]:
    return [
        AgentSpawned(agent=name, harness="claude", role="general", **more),
        AgentReady(agent=name, session=f"s-{name}"),
    ]


def test_the_past_is_what_was_just_before_the_end() -> None:
    found = past(
        entries(
            *born("lead"),
            *born("kid", parent="lead"),
            TurnStarted(agent="lead", turn="lead.t1", sender="you", text="go"),
            TurnEnded(agent="lead", turn="lead.t1", outcome="ok", session="s-2"),
            TurnStarted(agent="kid", turn="kid.t1", sender="lead", text="go"),
            MessagePosted(agent="lead", message="you.m1", sender="you", text="hi", asks=True),
            *born("gone"),
            AgentStopped(agent="gone", reason="terminated by you"),
            *born("asleep"),
            AgentSuspended(agent="asleep", reason="idle"),
            AgentStopped(agent="kid", reason="kernel went away"),
            AgentStopped(agent="asleep", reason="kernel went away"),
            AgentStopped(agent="lead", reason="kernel went away"),
            RunClosed(reason="kernel went away"),
        )
    )

    assert [
        ("lead", "idle", "s-2", True),
        ("kid", "busy", "s-kid", False),
        ("asleep", "suspended", "s-asleep", False),
    ] == [(each.agent.name, each.agent.state, each.agent.session, each.agent.begun) for each in found]
    assert [["you.m1"], [], []] == [[message.id for message in each.unread] for each in found]


def test_a_first_turn_that_the_runs_end_cut_off_has_left_no_conversation_to_go_on_with() -> None:
    [lead] = past(
        entries(
            *born("lead"),
            TurnStarted(agent="lead", turn="lead.t1", sender="you", text="go"),
            TurnEnded(agent="lead", turn="lead.t1", outcome="interrupted", error="closed"),
            AgentStopped(agent="lead", reason="closed"),
            RunClosed(reason="closed"),
        )
    )

    assert ("busy", "lead.t1", False) == (lead.agent.state, lead.agent.turn, lead.agent.begun)
