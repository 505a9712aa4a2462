"""Lines for what agents do by their tools: several asked at once, jobs, logs, files. Real agents."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from IPython.core.error import UsageError

from madrox_nb.errors import BadInput, BadPrompt, SomeFailed, UnknownAgent, UnknownJob
from madrox_nb.magics import candidates, read
from madrox_nb.notebook import AsyncMadrox, Madrox

REHEARSE: dict[str, Any] = {"port": 0, "harnesses": ("rehearsal",), "stop_grace": 1.0}


@pytest.fixture
def m(tmp_path: Path) -> Iterator[Madrox]:
    with Madrox(home=tmp_path / "home", **REHEARSE) as madrox:
        madrox.spawn("alice")
        madrox.spawn("bob")
        yield madrox


def use(line: str, cell: str | None = None) -> Any:
    asked = read(line, cell, {"what": "tea"})
    return asked.command.carry_out(asked)


# several at once


def test_several_are_asked_the_same_and_all_their_answers_waited_for(m: Madrox) -> None:
    m.spawn("kid", parent="alice")

    assert {"alice": "tea", "bob": "tea"} == {n: r.text for n, r in use("broadcast", "/say {what}").items()}
    assert ["bob"] == list(use("broadcast bob -- /say only you"))
    assert ["kid"] == list(use("broadcast --below alice", "/say down there"))
    assert "{what}" == use("broadcast bob --raw -- /say {what}")["bob"].text
    pending = use("broadcast alice bob --no-wait -- /say soon")
    assert [("alice", "soon"), ("bob", "soon")] == [(each.agent, each.wait().text) for each in pending]


def test_nobody_is_asked_when_one_of_them_is_unknown_or_the_words_can_not_be_sent(m: Madrox) -> None:
    before = len(m.turns())
    with pytest.raises(UnknownAgent, match="Did you mean 'bob'"):
        m.broadcast("hello", "alice", "bop")
    with pytest.raises(BadPrompt):
        m.broadcast("   ", "alice", "bob")
    with pytest.raises(BadInput, match="alice has no living children"):
        m.broadcast("hello", below="alice")
    with pytest.raises(BadInput, match="not both"):
        m.broadcast("hello", "bob", below="alice")

    assert before == len(m.turns())


def test_who_gives_no_answer_is_named_and_the_others_are_heard(m: Madrox) -> None:
    m.stop("alice")

    with pytest.raises(SomeFailed, match=r"1 of 2 gave no answer; bob was heard: %madrox turns\n  alice has"):
        m.broadcast("/say here", "alice", "bob")
    assert "here" == m["bob"].last.text
    with pytest.raises(SomeFailed, match="bob was asked: %madrox wait"):
        m.broadcast("/say again", "alice", "bob", wait=False)
    m.wait("bob")
    m.stop("bob")
    with pytest.raises(BadInput, match="no agent is alive: %madrox spawn NAME starts one"):
        m.broadcast("hello")


def test_the_awaited_face_asks_several_and_carries_out_tools(tmp_path: Path) -> None:
    async def story() -> None:
        async with AsyncMadrox(home=tmp_path, **REHEARSE) as madrox:
            await madrox.spawn("alice")
            replies = await madrox.broadcast("/say hello")
            assert {"alice": "hello"} == {name: reply.text for name, reply in replies.items()}
            [pending] = await madrox.broadcast("/say more", "alice", wait=False)
            assert "more" == (await pending.wait()).text
            told = await madrox.call("get_children")
            assert ["alice"] == [each["instance_id"] for each in told.data["children"]]

    asyncio.run(asyncio.wait_for(story(), 100))


@pytest.mark.parametrize("line", ["broadcast alice hello", "broadcast", "coordinate alice bob"])
def test_a_line_for_several_without_its_text_says_where_that_stands(line: str) -> None:
    with pytest.raises(UsageError, match=r"In a line, .* stands behind --: .*In a cell: %%madrox"):
        use(line)


# jobs


def test_several_work_on_one_task_and_the_job_is_looked_at(m: Madrox) -> None:
    assert "no jobs yet: %madrox coordinate starts one" == str(use("job"))

    told = use("coordinate alice bob", "/say built with {what}")
    assert ("completed", "you.j1") == (told.data["status"], told.data["job_id"])
    assert "built with tea" in str(told)
    assert told.data == use("job you.j1").data
    running = use("coordinate bob alice --way parallel --no-wait -- /slow 300 0.1")
    assert "brought by %madrox inbox, or call %madrox job" in str(running)
    assert ["you.j2", "you.j1"] == candidates(["job"])[:2]
    m.interrupt("bob")
    m.interrupt("alice")
    assert "failed" == use("job you.j2 --wait").data["status"]
    with pytest.raises(UnknownJob):
        use("job you.j9")


# one agent


def test_what_an_agent_said_and_left_behind_is_read_in_lines(m: Madrox, tmp_path: Path) -> None:
    m.send("alice", "/say a word that stays")
    place = m["alice"].workspace
    (place / "notes.md").write_text("what I found")

    assert "a word that stays" in str(use("logs alice"))
    assert "a word that stays" in str(use("logs alice --type communication -n 5"))
    assert str(use("logs alice --type screen")).startswith("[the last lines of the protocol of rehearsal]")
    assert "alice (general, rehearsal)" in str(use("logs"))
    assert "a word that stays" in str(use("summary alice"))
    assert "bob (general, rehearsal): idle" in str(use("summary"))
    assert "notes.md" in str(use("files alice"))
    assert "what I found" in str(use("files alice notes.md"))
    assert m["alice"] == use("agent alice")
    with pytest.raises(BadInput, match=r"See which there are: %madrox files"):
        use("files alice nothing.md")
    with pytest.raises(UsageError, match="say which file, too"):
        use("files alice --to here.md")


def test_what_an_agent_wrote_is_not_put_into_other_words(m: Madrox) -> None:
    m.send("alice", "/say use get_costs and send_to_instance bob")

    assert "/say use get_costs and send_to_instance bob" in str(use("logs alice"))
    assert "use get_costs and send_to_instance bob" in str(use("summary alice"))
    assert "use get_costs" in str(use("coordinate alice bob -- /say use get_costs"))
    assert "use get_costs" in str(use("job you.j1 --stop"))


def test_who_could_come_back_is_said_without_bringing_anybody_back(m: Madrox) -> None:
    m.suspend("bob")

    assert "bob" in str(use("resume --list"))
    assert "suspended" == m["bob"].state


# completion


def test_what_is_named_is_offered_where_it_is_named(m: Madrox) -> None:
    m.team("software_engineering_team", wait=False)

    assert "claude-opus-5-5" in candidates(["spawn", "x", "--harness", "claude", "--model"])
    assert not {"claude-opus-5-5"} & {*candidates(["spawn", "x", "--harness", "codex", "--model"])}
    assert ["software_engineering_team.1"] == [
        each for each in candidates(["team", "--stop"]) if not each.startswith("-")
    ]
    assert {"set", "unset", "max_instances"} <= {*candidates(["config"])}
    assert "permissions" in candidates(["config", "set"])
    assert ["auto", "ask", "edits", "deny"] == candidates(["config", "set", "permissions"])[:4]
    assert "rehearsal" in candidates(["config", "set", "harnesses"])
    assert {"consensus", "parallel"} <= {*candidates(["coordinate", "alice", "--way"])}
    assert {"alice", "bob", "--below"} <= {*candidates(["broadcast"])}
    assert {"bob"} <= {*candidates(["broadcast", "alice"])}
    assert [] == candidates(["broadcast", "alice", "--"])
