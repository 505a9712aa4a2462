"""`GET /events`: the ledger as it grows, whole and in order, however slowly it is read."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from crew import Disk
from web import Site, Told, run, site, told

from madrox_nb.events import HarnessNoise
from madrox_nb.ledger import run_files
from madrox_nb.rest import feed, stream

pytestmark = pytest.mark.slow


@asynccontextmanager
async def reading(on: Site, token: str = "", last: str = "", **query: Any) -> AsyncIterator[Reader]:
    headers = {"Last-Event-ID": last} if last else {}
    headers |= {"Authorization": f"Bearer {token}"} if token else {}
    async with on.http.stream("GET", "/events", params=query, headers=headers) as answer:
        assert (200, "text/event-stream; charset=utf-8") == (
            answer.status_code,
            answer.headers["content-type"],
        )
        reader = Reader(told(answer))
        assert "stream.opened" == (await reader.next()).kind
        yield reader


class Reader:
    def __init__(self, events: AsyncIterator[Told]) -> None:
        self._events = events

    async def next(self) -> Told:
        async with asyncio.timeout(60):
            return await anext(self._events)

    async def until(self, kind: str) -> list[Told]:
        seen = [await self.next()]
        while seen[-1].kind != kind:
            seen.append(await self.next())
        return seen

    async def to_the_end(self) -> list[Told]:
        async with asyncio.timeout(60):
            return [event async for event in self._events]


def ledger_of(on: Site) -> list[dict[str, Any]]:
    """Every entry so far, as it stands in the files."""
    paths = on.manager.ledger.paths
    return [json.loads(line) for path in paths for line in path.read_bytes().splitlines()]


async def say(on: Site, name: str, text: str) -> None:
    await on.execute("send_to_instance", instance_id=name, message=f"/say {text}", wait_for_response=True)


def test_what_happens_is_told_while_it_happens_as_it_stands_in_the_ledger(tmp_path: Path) -> None:
    async def story() -> None:
        async with site(tmp_path) as on:
            await on.execute("spawn_instance", name="bob")
            before = len(ledger_of(on))
            async with reading(on) as reader:
                await say(on, "bob", "hi")
                seen = await reader.until("turn.ended")

            assert ledger_of(on)[before:] == [event.data for event in seen]
            assert [event.data["kind"] for event in seen] == [event.kind for event in seen]
            assert [f"{on.manager.run}:{event.data['seq']}" for event in seen] == [e.id for e in seen]

    run(story())


def test_who_comes_back_with_the_last_id_has_lost_nothing_and_gets_nothing_twice(tmp_path: Path) -> None:
    async def story() -> None:
        async with site(tmp_path) as on:
            await on.execute("spawn_instance", name="bob")
            async with reading(on, after="-1") as reader:
                seen = [await reader.next() for _ in range(2)]
            await say(on, "bob", "meanwhile")
            async with reading(on, last=seen[-1].id) as reader:
                seen += await reader.until("turn.ended")
                await say(on, "bob", "now")
                seen += await reader.until("turn.ended")

            assert ledger_of(on) == [event.data for event in seen]

    run(story())


def test_a_reader_that_falls_behind_is_brought_up_from_the_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(feed, "RECENT", 3)
    monkeypatch.setattr(feed, "BATCH", 2)

    async def story() -> None:
        async with site(tmp_path) as on:
            await on.execute("spawn_instance", name="bob")
            slow = feed.Feed(on.manager)
            batches = slow.after(-1)
            seen = [*await anext(batches)]
            for number in range(4):
                await say(on, "bob", str(number))
                seen += await anext(batches)
            while len(seen) < on.manager.ledger.seq:
                seen += await anext(batches)
            slow.close()

            assert [] == [batch async for batch in batches]
            assert ledger_of(on) == [json.loads(getattr(item, "line", "{}")) for item in seen]
            assert 0 == slow.readers

    run(story())


def test_what_happens_just_after_the_file_was_read_to_its_end_is_no_gap(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(feed, "RECENT", 3)
    read, late = feed.in_batches, [5]

    async def story() -> None:
        async with site(tmp_path) as on:
            await on.execute("spawn_instance", name="bob")

            async def and_then(paths: list[Path], seq: int) -> AsyncIterator[list[feed.Item]]:
                async for batch in read(paths, seq):
                    yield batch
                if late:
                    await _happen(on, late.pop())

            monkeypatch.setattr(feed, "in_batches", and_then)
            news, seen = feed.Feed(on.manager).after(-1), []
            while late or len(seen) < on.manager.ledger.seq:
                seen += await anext(news)
            await news.aclose()

            assert list(range(on.manager.ledger.seq)) == [getattr(item, "seq", item) for item in seen]

    run(story())


def test_what_stands_nowhere_is_told_as_a_gap(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def story() -> None:
        async with site(tmp_path) as on:
            await on.execute("spawn_instance", name="bob")
            disk = Disk(on.manager, monkeypatch)
            written = len(ledger_of(on))
            disk.full = True
            lost = await _happen(on, 2)
            async with reading(on, after=str(written - 1)) as reader:
                [told_] = await _happen(on, 1)
                gap, event = await reader.next(), await reader.next()
            disk.full = False

            assert ("stream.gap", lost[0], lost[-1]) == (gap.kind, gap.data["first"], gap.data["last"])
            assert told_ == event.data["seq"]
            assert f"{on.manager.run}:{lost[-1]}" == gap.id, "who comes back is not told again"

    run(story())


async def _happen(on: Site, count: int) -> list[int]:
    """Let something happen to bob that nobody refuses; returns the numbers of the entries."""
    return [on.manager.record(HarnessNoise(agent="bob", text="…")).seq for _ in range(count)]


def test_a_reader_gets_the_agents_and_kinds_that_it_names(tmp_path: Path) -> None:
    async def story() -> None:
        async with site(tmp_path) as on:
            for name in ("bob", "eve"):
                await on.execute("spawn_instance", name=name)
                await say(on, name, "hi")
            async with reading(on, after="-1", agent="eve", kind=["turn", "agent.spawned"]) as reader:
                seen = await reader.until("turn.ended")

            assert {"eve"} == {event.data["agent"] for event in seen}
            assert ["agent.spawned", "turn.started", "turn.said", "turn.ended"] == [e.kind for e in seen]

    run(story())


def test_an_agent_hears_of_those_that_it_may_look_at(tmp_path: Path) -> None:
    async def story() -> None:
        async with site(tmp_path) as on:
            for name, parent in (("lead", None), ("kid", "lead"), ("other", None), ("stranger", "other")):
                await on.execute("spawn_instance", name=name, parent_instance_id=parent)
            await on.execute("send_to_instance", instance_id="kid", message="/say to the person")
            assert await on.manager.quiet((), 60)
            token = on.manager.tokens.issue("kid")
            async with reading(on, token=token, after="-1") as reader:
                await say(on, "lead", "bye")
                seen = await reader.until("turn.ended")
                seen += await reader.until("turn.ended")

            assert {"", "lead", "kid"} == {event.data["agent"] for event in seen}

    run(story())


def test_a_reader_whose_token_is_revoked_hears_no_more(tmp_path: Path) -> None:
    async def story() -> None:
        async with site(tmp_path) as on:
            await on.execute("spawn_instance", name="bob")
            token = on.manager.clients.create("eyes").token
            async with reading(on, token=token) as reader:
                on.manager.clients.revoke("eyes")
                await say(on, "bob", "secret")
                seen = await reader.to_the_end()

            assert [("stream.closed", {"why": "your token speaks for nobody any more"})] == [
                (event.kind, event.data) for event in seen
            ]

    run(story())


def test_an_id_of_an_earlier_run_brings_the_rest_of_it_and_then_this_one(tmp_path: Path) -> None:
    async def story() -> None:
        async with site(tmp_path) as on:
            await on.execute("spawn_instance", name="bob")
            async with reading(on, after="-1") as reader:
                left_at = (await reader.until("agent.spawned"))[-1]
            earlier = on.manager.run
        async with site(tmp_path) as on:
            async with reading(on, last=left_at.id) as reader:
                rest = await reader.until("run.closed")
                new = await reader.until("run.opened")
            async with reading(on, last="20000101T000000.000000-1:5") as reader:
                gone = await reader.next()

            [path] = run_files(on.manager.settings.logs, earlier)
            lines = [json.loads(line) for line in path.read_bytes().splitlines()]
            assert lines[left_at.data["seq"] + 1 :] == [event.data for event in rest]
            assert ledger_of(on)[:1] == [event.data for event in new]
            assert ("stream.gap", "20000101T000000.000000-1") == (gone.kind, gone.data["run"])

    run(story())


def test_a_quiet_stream_beats_so_that_nobody_takes_it_for_dead(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stream, "HEARTBEAT_SECONDS", 0.05)

    async def story() -> None:
        async with site(tmp_path) as on, reading(on) as reader:
            assert ["comment", "comment"] == [(await reader.next()).kind for _ in range(2)]

    run(story())


def test_streams_end_by_themselves_and_are_not_dropped_when_the_server_stops(tmp_path: Path) -> None:
    async def story() -> None:
        async with site(tmp_path) as on, reading(on) as one, reading(on) as other:
            await on.server.stop()
            ends = [(await each.to_the_end())[-1] for each in (one, other)]

            assert [("stream.closed", {"why": "the server stops"})] * 2 == [(e.kind, e.data) for e in ends]

    run(story())


def test_what_can_not_be_meant_is_refused_before_the_stream_begins(tmp_path: Path) -> None:
    async def story() -> None:
        async with site(tmp_path) as on:
            await on.execute("spawn_instance", name="bob")
            wrong = {
                "kin=turn": (400, "Did you mean 'kind'"),
                "kind=turns": (400, "Did you mean 'turn'"),
                "agent=bbo": (404, "Did you mean 'bob'"),
                "after=x:y": (400, "is no id of an event"),
                "after=../../etc/passwd:1": (400, "is no id of an event"),
                "after=999": (400, "there is no event 999 yet"),
            }
            for query, (status, said) in wrong.items():
                answer = await on.get(f"/events?{query}")
                assert status == answer.status_code
                assert said in answer.json()["error"]["message"]

    run(story())


def test_a_head_request_begins_no_stream(tmp_path: Path) -> None:
    async def story() -> None:
        async with site(tmp_path) as on:
            answer = await on.http.head("/events")

            assert (200, b"") == (answer.status_code, answer.content)

    run(story())


def test_secrets_are_redacted_in_what_is_told(tmp_path: Path) -> None:
    async def story() -> None:
        async with site(tmp_path) as on:
            on.manager.redactor.add("canary", "canary-in-the-mine")
            await on.execute("spawn_instance", name="bob")
            async with reading(on) as reader:
                await say(on, "bob", "canary-in-the-mine")
                seen = str(await reader.until("turn.ended"))

            assert "{secret:canary}" in seen
            assert "canary-in" not in seen

    run(story())
