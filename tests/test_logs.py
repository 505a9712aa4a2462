"""Each agent's logs: what they say, that they are the ledger's, and that nothing harms anybody else."""

from __future__ import annotations

import asyncio
import json
import logging
import os
import stat
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest
from crew import with_run

from madrox_nb import logs
from madrox_nb.errors import BadInput
from madrox_nb.events import AgentSpawned, AgentStopped, Entry, Event, RunOpened, TurnEnded, TurnStarted
from madrox_nb.ledger import Ledger, expire
from madrox_nb.logbook import Logbook, line, stamp
from madrox_nb.logs import Logs, rebuild
from madrox_nb.manager import Manager

NOON = datetime(2026, 1, 31, 12, tzinfo=UTC)


def written(home: Path, run: str) -> dict[str, bytes]:
    """Every log of every agent of a run, without what comes from its program."""
    places = (home / "runs" / run).glob("*/*")
    return {
        str(path.relative_to(home)): path.read_bytes()
        for path in places
        if path.name.startswith((logs.LIFE, logs.TALK, logs.FACTS))
    }


def rows(home: Path, run: str, agent: str) -> list[dict[str, Any]]:
    text = (home / "runs" / run / agent / logs.TALK).read_text()
    return [json.loads(each) for each in text.splitlines()]


async def family(manager: Manager) -> str:
    """A run in which everything that a log tells has happened."""
    await manager.spawn("lead", role="architect")
    await manager.spawn("bob", parent="lead")
    await manager.send("lead", "what is 2+2?\n/say four\n/usage 5 8")
    ticket = await manager.ask("bob", "/slow 3 0.01", sender="lead")
    await manager.answer(ticket)
    await manager.send("bob", "/fail no luck")
    await manager.post("bob", 'a "note"\nof two lines', sender="lead")
    await manager.suspend("bob")
    await manager.send("bob", "/say back")
    await manager.terminate("bob")
    await manager.spawn("bob", parent="lead")
    return manager.run


def test_the_logs_that_were_written_live_are_those_that_the_ledger_gives(tmp_path: Path) -> None:
    run = with_run(tmp_path, family)
    live = written(tmp_path, run)
    for path in live:
        (tmp_path / path).unlink()
    rebuild(tmp_path, run)

    assert live == written(tmp_path, run)
    assert {
        f"runs/{run}/{agent}/{file}"
        for agent in ("lead", "bob")
        for file in (logs.LIFE, logs.TALK, logs.FACTS)
    } == set(live)


def test_logs_are_private_and_the_raw_output_is_the_wire(tmp_path: Path) -> None:
    run = with_run(tmp_path, family)
    place = tmp_path / "runs" / run / "bob"

    assert 0o700 == stat.S_IMODE(place.stat().st_mode)
    assert {0o600} == {
        stat.S_IMODE((place / name).stat().st_mode) for name in (logs.LIFE, logs.TALK, logs.FACTS)
    }
    assert (place / "wire.log").read_bytes() == (place / logs.RAW).read_bytes() != b""


def test_a_prompt_and_its_answer_have_one_message_id_tokens_cost_and_time(tmp_path: Path) -> None:
    run = with_run(tmp_path, family)
    sent, received, *_ = rows(tmp_path, run, "lead")

    assert ("message_sent", "outbound", None) == (sent["event_type"], sent["direction"], sent["tokens"])
    assert sent["content"].startswith("what is 2+2?")
    assert ("message_received", "inbound") == (received["event_type"], received["direction"])
    assert sent["message_id"] == received["message_id"] == "lead.t1"
    assert (13, 5, 8, 0.0) == tuple(
        received[key] for key in ("tokens", "input_tokens", "output_tokens", "cost")
    )
    assert received["content"].startswith("four")
    assert 0 < received["response_time"] < 60
    assert [
        "timestamp",
        "event_type",
        "message_id",
        "direction",
        "content",
        "tokens",
        "cost",
        "response_time",
    ] == [*received][:8]


def test_who_was_asked_by_a_message_answers_that_message_and_an_answer_stands_there_once(
    tmp_path: Path,
) -> None:
    run = with_run(tmp_path, family)
    told = [(row["message_id"], row["event_type"]) for row in rows(tmp_path, run, "bob")]
    asked = next(row for row in rows(tmp_path, run, "lead") if row.get("recipient") == "bob")

    assert [("lead.m1", "message_sent"), ("lead.m1", "message_received")] == told[:2]
    assert ("lead.m1", "/slow 3 0.01") == (asked["message_id"], asked["content"])
    assert ["message_sent", "message_received"] * 3 == [kind for _, kind in told]


def test_a_line_of_the_life_is_one_line_whatever_it_says() -> None:
    event = TurnStarted(agent="bob", turn="bob.t1", sender="lead", text='two\nlines "quoted" ' + "x" * 500)
    text = line(Entry(7, NOON, event)).decode()

    assert text.startswith(
        '2026-01-31T12:00:00Z turn.started turn=bob.t1 sender=lead text="two\\nlines \\"quoted\\" x'
    )
    assert text.endswith('x…"\n')
    assert 1 == text.count("\n")
    assert 300 > len(text)


def test_metadata_says_what_an_agent_is_and_what_it_came_to(tmp_path: Path) -> None:
    run = with_run(tmp_path, family)
    lead, bob = (
        json.loads((tmp_path / "runs" / run / name / logs.FACTS).read_text()) for name in ("lead", "bob")
    )

    assert ("lead", "rehearsal", "architect", None, "stopped", 13, 1) == tuple(
        lead[key]
        for key in (
            *("instance_id", "instance_type", "role", "parent_instance_id", "state", "total_tokens", "turns"),
        )
    )
    assert lead["created_at"] < lead["ended_at"]
    assert str(tmp_path / "runs" / run / "lead") == lead["log_directory"]
    assert ("lead", 0) == (bob["parent_instance_id"], bob["turns"]), "it was spawned again"


def told(directory: Path, *events: Event, run: str = "r") -> Ledger:
    """A closed ledger with these events."""
    ledger = Ledger(directory, run, clock=lambda: NOON)
    for event in events:
        entry = ledger.stamp(event)
        ledger.append(entry, entry.to_line())
    ledger.close()
    return ledger


def born(name: str, directory: Path) -> AgentSpawned:
    return AgentSpawned(agent=name, harness="h", role="r", workspace=str(directory / "work" / name))


def turns(name: str, count: int) -> list[Event]:
    return [
        event
        for n in range(count)
        for event in (
            TurnStarted(agent=name, turn=f"{name}.t{n}", sender="you", text="p" * 100),
            TurnEnded(agent=name, turn=f"{name}.t{n}", outcome="ok", text="a" * 100),
        )
    ]


def test_the_life_turns_over_by_its_size_and_three_older_ones_stay(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(logs, "LARGEST", 2000)
    told(tmp_path, born("bob", tmp_path), *turns("bob", 50))
    rebuild(tmp_path, "r")
    place = tmp_path / "runs" / "r" / "bob"
    files = sorted(path.name for path in place.glob("instance.log*"))
    newest = (place / "instance.log").read_text().splitlines()[-1]

    assert ["instance.log", "instance.log.1", "instance.log.2", "instance.log.3"] == files
    assert all((place / name).stat().st_size <= 2000 for name in files)
    assert "turn=bob.t49" in newest
    assert 100 == len((place / logs.TALK).read_text().splitlines()), "the talk is whole"
    assert 101 == len(logs.life(tmp_path, "r", "bob")), "the ledger has lost nothing"


async def caught_up(come: Callable[[], bool]) -> None:
    async with asyncio.timeout(60):
        while not come():
            await asyncio.sleep(0.02)


def test_a_disk_without_room_harms_nobody_and_nothing_is_missing_when_there_is_some(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    full, write = [True], os.write
    monkeypatch.setattr(logs, "RETRY", 0.05)
    monkeypatch.setattr(logs, "PAUSE", 0.01)

    def may_write(path: Path, data: bytes) -> int:
        fd = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
        try:
            if full[0]:
                write(fd, data[: len(data) // 2])  # as a disk does that fills up
                raise OSError(28, "No space left on device")
            write(fd, data)
            return os.fstat(fd).st_size
        finally:
            os.close(fd)

    monkeypatch.setattr(logs, "_append", may_write)

    async def story(manager: Manager) -> str:
        await manager.spawn("bob")
        answer = await manager.send("bob", "/say one")
        await caught_up(lambda: "can't be written now" in caplog.text)
        full[0] = False
        await caught_up(lambda: not manager.logs._behind and not manager.logs._waiting)
        await manager.send("bob", "/say two")

        assert "one" == answer.text
        return manager.run

    with caplog.at_level(logging.WARNING, logger="madrox_nb"):
        run = with_run(tmp_path, story)
    live = written(tmp_path, run)
    rebuild(tmp_path, run)

    assert ["/say one", "one", "/say two", "two"] == [row["content"] for row in rows(tmp_path, run, "bob")]
    assert live == written(tmp_path, run)
    assert 1 == caplog.text.count("can't be written now")


def test_a_flood_is_written_from_the_ledger_when_it_is_over(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(logs, "MOST_WAITING", 50)
    ledger = Ledger(tmp_path, "r", clock=lambda: NOON)
    writer = Logs(ledger)
    ledger.listen(writer.heard)
    for event in (born("bob", tmp_path), *turns("bob", 200)):
        entry = ledger.stamp(event)
        ledger.append(entry, entry.to_line())
        ledger.announce(entry)
    waiting = len(writer._waiting)
    ledger.close()
    writer.close()
    live = written(tmp_path, "r")
    rebuild(tmp_path, "r")

    assert waiting <= 51
    assert 400 == len(rows(tmp_path, "r", "bob"))
    assert live == written(tmp_path, "r")


def test_a_run_whose_kernel_went_away_gets_the_end_of_its_logs(tmp_path: Path) -> None:
    told(
        tmp_path,
        RunOpened(run="20260131T000000.1-1", madrox="1", pid=1),
        born("bob", tmp_path),
        run="20260131T000000.1-1",
    )

    async def story(manager: Manager) -> None:
        place = tmp_path / "runs" / manager.recovered[0] / "bob" / logs.LIFE
        await caught_up(lambda: place.exists() and "kernel went away" in place.read_text())

    with_run(tmp_path, story, retention_days=100_000)


def test_logs_go_with_the_last_day_of_their_run_and_not_before(tmp_path: Path) -> None:
    run, day = "20260101T000000.000001-1", timedelta(days=1)
    for number in range(3):
        place = tmp_path / "audit" / f"{date(2026, 1, 1) + number * day}"
        place.mkdir(parents=True)
        (place / f"{run}.jsonl").write_bytes(b"")
    (tmp_path / "runs" / run / "bob").mkdir(parents=True)
    (tmp_path / "runs" / run / "bob" / logs.TALK).write_text("{}\n")
    there = (tmp_path / "runs" / run).exists
    expire(tmp_path, today=date(2026, 2, 2), days=30)
    before = there()
    expire(tmp_path, today=date(2026, 2, 3), days=30)

    assert (True, False) == (before, there())


# the trail


def test_the_trail_tells_lives_and_exchanges_in_the_seed_s_words(tmp_path: Path) -> None:
    run = with_run(tmp_path, family)
    found = logs.trail(tmp_path, agents=frozenset({"bob"}))
    exchange = next(row for row in found if row["event"] == "message_exchange")
    end = next(row for row in found if row["event"] == "instance_terminate")

    assert [
        *("instance_spawn", "instance_ready", "message_posted", "message_exchange", "message_exchange"),
        *("message_posted", "instance_suspended", "message_posted", "instance_resumed", "message_exchange"),
        *("instance_terminate", "instance_spawn", "instance_ready", "instance_terminate"),
    ] == [row["event"] for row in found]
    assert {run} == {row["run"] for row in found}
    assert "lead.m1" == exchange["details"]["message_id"]
    assert {"tokens", "cost", "response_time_seconds", "message_length", "response_length"} <= exchange[
        "details"
    ].keys()
    assert (3, 0) == (end["details"]["total_requests"], end["details"]["total_tokens"])
    assert 0 < end["details"]["uptime_seconds"] < 100
    json.dumps(found, allow_nan=False)


def days_of(tmp_path: Path) -> list[datetime]:
    """Two runs, one of which goes on over three days; one turn at each noon."""
    days = [NOON + timedelta(days=n) for n in range(3)]
    long: dict[str, list[Event]] = {"a": [], "b": []}
    clock = [NOON]
    ledger = Ledger(tmp_path, "a", clock=lambda: clock[0])
    for number, clock[0] in enumerate(days):
        events = [born("bob", tmp_path)] * (number == 0) + turns("bob", 1)
        for event in events:
            entry = ledger.stamp(event)
            ledger.append(entry, entry.to_line())
        long["a"] += events
    clock[0] = days[2] + timedelta(hours=1)
    entry = ledger.stamp(AgentStopped(agent="bob", reason="over"))
    ledger.append(entry, entry.to_line())
    ledger.close()
    told(tmp_path, born("ann", tmp_path), *turns("ann", 1), run="b")
    return days


def test_the_newest_rows_come_back_in_the_order_of_time_over_days_and_runs(tmp_path: Path) -> None:
    days = days_of(tmp_path)
    newest = logs.trail(tmp_path, limit=2)
    far = days[1].astimezone(timezone(timedelta(hours=14)))  # there it is the next day already
    second = logs.trail(tmp_path, since=far, until=far)
    everything = logs.trail(tmp_path)

    assert ["message_exchange", "instance_terminate"] == [row["event"] for row in newest]
    assert [stamp(days[1])] == [row["timestamp"] for row in second]
    assert ["ann", "bob"] == sorted({row["instance_id"] for row in everything})
    assert sorted(row["timestamp"] for row in everything) == [row["timestamp"] for row in everything]
    assert (2 * 86400 + 3600, 3) == tuple(
        newest[-1]["details"][key] for key in ("uptime_seconds", "total_requests")
    )


def test_the_trail_is_asked_by_kind_in_either_s_words_and_knows_the_nearest(tmp_path: Path) -> None:
    days_of(tmp_path)

    assert (
        2
        == len(logs.trail(tmp_path, kind="instance_spawn"))
        == len(logs.trail(tmp_path, kind="agent.spawned"))
    )
    assert 4 == len(logs.trail(tmp_path, kind="turn_started"))
    assert [] == logs.trail(tmp_path, kind="instance_resumed")
    with pytest.raises(BadInput, match="Did you mean 'instance_spawn'"):
        logs.trail(tmp_path, kind="instance_spwan")


def test_agents_of_every_run_are_listed_by_day(tmp_path: Path) -> None:
    days_of(tmp_path)
    found = logs.logged(tmp_path)

    assert [("2026-01-31", "a", "bob"), ("2026-01-31", "b", "ann")] == [
        (row["day"], row["run"], row["instance_id"]) for row in found
    ]
    assert ["ann"] == [row["instance_id"] for row in logs.logged(tmp_path, limit=1)]
    assert [] == logs.logged(tmp_path, day="2026-02-01")


def test_a_stranger_to_the_ledger_has_no_logs(tmp_path: Path) -> None:
    told(tmp_path, *turns("nobody", 1))

    assert [] == logs.communication(tmp_path, "r", "nobody")
    assert {} == logs.metadata(tmp_path, "r", "nobody")
    assert "nobody" not in Logbook()
