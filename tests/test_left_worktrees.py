"""Worktrees whose kernel was killed: the next one tidies up, and no work is lost. Real kernels, real git."""

from __future__ import annotations

import contextlib
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
from crew import run_of
from repositories import branches, committed, git, repository_at
from rogues import HERE, on_loop, survivors
from test_comeback import back

from madrox_nb.events import PERSON
from madrox_nb.manager import Manager
from madrox_nb.revival import bring_back, persisted

pytestmark = pytest.mark.slow


@contextlib.contextmanager
def killed(home: Path, repository: Path, *how: str) -> Iterator[dict[str, Any]]:
    """What the kernel said before it was killed."""
    command = [sys.executable, str(HERE / "leaver.py"), str(home), str(repository), *how]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        told = json.loads(process.stdout.readline())
        agents = [psutil.Process(pid) for pid in told["pids"].values()]
        process.kill()
        process.wait(60)
    try:
        if not how:
            survivors(agents, 30)
        yield told
    finally:
        for agent in agents:
            with contextlib.suppress(psutil.NoSuchProcess):
                agent.kill()


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    place = repository_at(tmp_path / "repository")
    (place / ".gitignore").write_text("*.log\n")
    committed(place, "what git ignores")
    return place


def standing(told: dict[str, Any]) -> list[str]:
    return [name for name, place in told["places"].items() if Path(place).exists()]


def written(place: str, name: str) -> str:
    return Path(place, name).read_text().strip()


async def cleared(manager: Manager) -> list[str]:
    """What the person is told, once it is done."""
    await manager.births.left("anybody")
    return [message.text for message in await manager.take(PERSON, 5)]


@on_loop
async def test_the_next_kernel_removes_what_holds_nothing_and_names_what_it_keeps(
    tmp_path: Path, repository: Path
) -> None:
    with killed(tmp_path / "home", repository) as told:
        async with run_of(tmp_path / "home") as m:
            [word] = await cleared(m)

            assert ["dirty", "hidden", "ahead"] == standing(told)
            assert ["madrox/ahead", "madrox/dirty", "madrox/hidden", "main"] == branches(repository)
            assert 4 == len(git(repository, "worktree", "list").splitlines())
            places, file, commit = told["places"], "1 file is not committed", "1 commit is in no other branch"
            assert [
                "A kernel went away, and these worktrees of its agents are kept. "
                "%madrox resume brings agents back to theirs:",
                f"- dirty: {file}. They are in {places['dirty']}, on the branch madrox/dirty",
                f"- hidden: {file}. They are in {places['hidden']}, on the branch madrox/hidden",
                f"- ahead: {commit}. They are in {places['ahead']}, on the branch madrox/ahead",
            ] == word.splitlines()
        async with run_of(tmp_path / "home") as m:
            assert [] == [message.text for message in await m.take(PERSON)]
            assert ["dirty", "hidden", "ahead"] == standing(told)


@on_loop
async def test_agents_come_back_to_worktrees_that_were_kept_and_to_those_that_were_removed(
    tmp_path: Path, repository: Path
) -> None:
    with killed(tmp_path / "home", repository) as told:
        async with run_of(tmp_path / "home") as m:
            assert {""} == {each.why for each in await persisted(m)}  # though two are being removed
            await cleared(m)
            assert {"": True} == {each.why: each.has_files for each in await persisted(m)}
            returned = await bring_back(m)

            assert {"session"} == {each.how for each in returned}
            assert told["places"] == {agent.name: agent.workspace for agent in m.tree}
            assert ["clean", "merged", "dirty", "hidden", "ahead"] == standing(told)
            assert "words" == written(told["places"]["dirty"], "b.txt")
            assert "madrox/clean" == git(Path(told["places"]["clean"]), "branch", "--show-current")


@on_loop
async def test_who_comes_back_at_once_waits_until_its_worktree_is_looked_at(
    tmp_path: Path, repository: Path
) -> None:
    with killed(tmp_path / "home", repository) as told:
        async with run_of(tmp_path / "home") as m:
            assert {"session"} == {each.how for each in await bring_back(m)}
            assert list(told["places"]) == standing(told)


@on_loop
async def test_kept_agents_stay_where_they_live_and_who_can_not_be_kept_is_tidied_up_after(
    tmp_path: Path, repository: Path
) -> None:
    home = tmp_path / "home"
    with killed(home, repository, "keep:60") as told:
        async with run_of(home) as other:
            await other.births.left("anybody")
            assert [] == await other.take(PERSON)
            assert list(told["places"]) == standing(told)
        for name in ("clean", "hidden"):
            (home / "runs" / told["run"] / name / "marks.jsonl").unlink()  # nobody can go on with these
        async with back(home, told["run"]) as same:
            for name in ("clean", "hidden"):
                await same.births.left(name)
            assert ["merged", "dirty", "ahead"] == [agent.name for agent in same.tree.alive()]
            assert ["merged", "dirty", "hidden", "ahead"] == standing(told)
            [word] = await same.take(PERSON)
            assert word.text.startswith("hidden has ended, and its worktree is kept: 1 file is not committed")
