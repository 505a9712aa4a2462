"""Rogues, full disks and secrets: what agents do that they should not."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path

import pytest
from crew import events, with_run

from madrox_nb.errors import Forbidden, LedgerError
from madrox_nb.events import (
    AgentStopped,
    ApprovalAnswered,
    ApprovalAsked,
    Entry,
    HarnessNoise,
    TextDelta,
    TurnEnded,
    TurnSaid,
)
from madrox_nb.manager import Manager
from madrox_nb.tree import Tree


def test_nonsense_is_kept_and_the_turn_goes_on(tmp_path: Path) -> None:
    async def story(m: Manager) -> None:
        await m.spawn("rogue", harness="rogue", model="garbled")
        answer = await m.send("rogue", "nonsense")
        noise = events(m, HarnessNoise)
        wire = (m.processes.files("rogue") / "wire.log").read_bytes()

        assert answer.ok
        assert 51 == sum(event.lines for event in noise)
        assert b"Welcome to Rogue 2.0!" == wire[noise[0].offset : noise[0].offset + noise[0].length]

    with_run(tmp_path, story)


def test_a_line_of_5_mb_arrives_and_one_of_40_mb_points_into_the_wire_log(tmp_path: Path) -> None:
    async def story(m: Manager) -> None:
        await m.spawn("rogue", harness="rogue")
        assert 5_000_000 == len((await m.send("rogue", "long")).text)
        assert (await m.send("rogue", "endless")).ok
        [noise] = events(m, HarnessNoise)
        assert 40 * 2**20 == noise.length
        assert 1000 > len(noise.text)

    with_run(tmp_path, story)


def test_a_cli_that_dies_in_mid_turn_fails_that_turn_with_its_last_words(tmp_path: Path) -> None:
    async def story(m: Manager) -> None:
        await m.spawn("rogue", harness="rogue")
        answer = await m.send("rogue", "dies")
        [stopped] = events(m, AgentStopped)

        assert "failed" == answer.outcome
        assert answer.error.endswith("exited on its own with code 7. Its last words: out of cheese")
        assert (7, True, "out of cheese") == (stopped.exit_code, stopped.failed, stopped.evidence)

    with_run(tmp_path, story)


def test_words_after_the_end_of_a_turn_are_noise_and_harm_nothing(tmp_path: Path) -> None:
    async def story(m: Manager) -> None:
        await m.spawn("rogue", harness="rogue")
        assert "first" == (await m.send("rogue", "twice")).text
        assert "heard" == (await m.send("rogue", "hello")).text
        assert 2 == len(events(m, TurnEnded))
        assert events(m, HarnessNoise)

    with_run(tmp_path, story)


def test_characters_split_between_reads_arrive_whole(tmp_path: Path) -> None:
    async def story(m: Manager) -> None:
        await m.spawn("rogue", harness="rogue")
        await m.send("rogue", "halves")
        assert ["äöü €"] == [event.text for event in events(m, TurnSaid)]

    with_run(tmp_path, story)


def test_a_secret_is_neither_recorded_nor_shown_though_it_comes_in_two_pieces(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    canary = "sk-canary-0123456789"
    monkeypatch.setenv("CANARY_API_KEY", canary)
    shown: list[str] = []

    async def story(m: Manager) -> None:
        m.watch(lambda signal: shown.append(signal.text) if isinstance(signal, TextDelta) else None)
        await m.spawn("rogue", harness="rogue")
        answer = await m.send("rogue", "secret")
        assert "it was {secret:CANARY_API_KEY}" == answer.text

    with_run(tmp_path, story)
    assert canary not in "".join(shown)
    assert "{secret:CANARY_API_KEY}" in "".join(shown)
    for path in (tmp_path / "audit").rglob("*.jsonl"):
        assert canary not in path.read_text()


def test_a_tool_outside_the_permissions_is_refused_with_the_way_to_allow_it(tmp_path: Path) -> None:
    async def story(m: Manager) -> None:
        await m.spawn("lead")
        await m.send("lead", "/approve-needed Bash")
        await m.spawn("free", permissions="all")
        await m.send("free", "/approve-needed Bash")
        refused, allowed = events(m, ApprovalAnswered)

        assert ("deny", "allow") == (refused.decision, allowed.decision)
        assert "%madrox spawn lead --permissions all" in refused.why
        with pytest.raises(Forbidden, match="more than it has"):
            await m.spawn("kid", parent="lead", permissions="all", by="lead")

    with_run(tmp_path, story)


def test_a_full_disk_stops_the_agents_and_they_go_on_when_there_is_room(tmp_path: Path) -> None:
    async def story(m: Manager) -> None:
        await m.spawn("lead")
        ticket = await m.ask(
            "lead", "/slow 1 0.2\n/slow 4 0.2\n/say through"
        )  # most comes while there is no room
        room = os.dup(m.ledger._fd)
        full = os.open("/dev/full", os.O_WRONLY)
        os.dup2(full, m.ledger._fd)
        while m.ledger.trouble is None:
            await asyncio.sleep(0.01)
        with pytest.raises(Exception, match="Free some space"):
            await m.post("lead", "refused")
        os.dup2(room, m.ledger._fd)
        answer = await m.answer(ticket)

        assert answer is not None
        assert "through" in answer.text
        while m.ledger.trouble is not None:
            await asyncio.sleep(0.01)
        assert Tree.replay(m.ledger) == m.tree

    if not Path("/dev/full").exists():
        pytest.skip("this system has no /dev/full")
    with_run(tmp_path, story)


def test_an_agent_whose_words_cannot_be_kept_is_ended_and_its_sender_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def story(m: Manager) -> None:
        await m.spawn("lead")
        append = m.ledger.append

        def broken(entry: Entry, line: bytes, **how: bool) -> None:
            if isinstance(entry.event, TurnSaid):
                raise LedgerError("the disk is on fire")
            append(entry, line, **how)

        monkeypatch.setattr(m.ledger, "append", broken)
        answer = await m.send("lead", "hello")

        assert "failed" == answer.outcome
        assert "the disk is on fire" in answer.error
        await m.quiet()
        assert "failed" == m.tree["lead"].state

    with_run(tmp_path, story)


def test_half_a_character_in_what_an_agent_asks_for_is_kept_whole(tmp_path: Path) -> None:
    async def story(m: Manager) -> None:
        await m.spawn("rogue", harness="rogue")
        assert (await m.send("rogue", "asks")).ok
        [asked] = events(m, ApprovalAsked)
        assert "half ?" in asked.input

    with_run(tmp_path, story)


def test_the_files_of_a_run_are_private(tmp_path: Path) -> None:
    async def story(m: Manager) -> None:
        await m.spawn("lead")
        await m.send("lead", "hello")

    with_run(tmp_path, story)
    modes = {
        path.stat().st_mode & 0o077
        for path in tmp_path.rglob("*")
        if path.is_file() and path.name != ".gitignore"
    }
    assert {0} == modes
