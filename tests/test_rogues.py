"""CLIs that babble, or speak another version of their protocol, beside one that behaves."""

from __future__ import annotations

import asyncio
import math
from pathlib import Path

import psutil
import pytest
from crew import with_run

from madrox_nb.events import HarnessNoise, TurnSaid, UsageReported
from madrox_nb.manager import Manager
from madrox_nb.tree import Tree

MB = 2**20


@pytest.mark.slow
def test_a_hundred_megabytes_of_babble_neither_fill_the_memory_nor_keep_the_others_waiting(
    tmp_path: Path,
) -> None:
    async def story(m: Manager) -> None:
        await m.spawn("rogue", harness="rogue")
        await m.spawn("lead")
        await m.send("lead", "/say warm")
        before = psutil.Process().memory_info().rss
        babbling = asyncio.ensure_future(m.send("rogue", "babbles"))
        answered = 0
        while not babbling.done():
            assert "hi" == (await m.send("lead", "/say hi")).text
            answered += 1

        assert "enough" == (await babbling).text
        assert answered > 20
        assert psutil.Process().memory_info().rss - before < 60 * MB
        assert (m.processes.files("rogue") / "wire.log").stat().st_size > 95 * MB
        noise = [e.event for e in m.ledger if isinstance(e.event, HarnessNoise)]
        assert 1_000_000 == sum(each.lines for each in noise)
        assert sum(path.stat().st_size for path in m.ledger.paths) < 5 * MB

    with_run(tmp_path, story)


def test_a_newer_protocol_is_understood_as_far_as_it_is_known(tmp_path: Path) -> None:
    async def story(m: Manager) -> None:
        await m.spawn("rogue", harness="rogue")
        answer = await m.send("rogue", "newer")

        assert ("ok", "new", 10) == (answer.outcome, answer.text, answer.usage.tokens)
        assert ["new"] == [e.event.text for e in m.ledger if isinstance(e.event, TurnSaid)]
        assert [] == [e.event for e in m.ledger if isinstance(e.event, HarnessNoise)]
        assert Tree.replay(m.ledger) == m.tree

    with_run(tmp_path, story)


def test_an_older_protocol_leaves_unknown_what_it_does_not_tell(tmp_path: Path) -> None:
    async def story(m: Manager) -> None:
        await m.spawn("rogue", harness="rogue")
        answer = await m.send("rogue", "older")

        assert ("ok", "old", 0) == (answer.outcome, answer.text, answer.usage.tokens)
        assert [] == [e.event for e in m.ledger if isinstance(e.event, UsageReported)]
        assert math.isnan(answer.usage.known_usd) or not answer.usage.sources

    with_run(tmp_path, story)
