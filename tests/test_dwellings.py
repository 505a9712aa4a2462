"""Where agents work: directories and git worktrees. Real agents, real git."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest
from crew import with_run
from repositories import branches, git, repository_at

from madrox_nb.config import Settings
from madrox_nb.errors import BadInput, Forbidden, HarnessNotReady
from madrox_nb.events import PERSON, MessagePosted
from madrox_nb.manager import Manager
from madrox_nb.revival import bring_back

pytestmark = pytest.mark.slow


def opened(home: Path, environ: dict[str, str] | None = None, **settings: Any) -> Manager:
    chosen = Settings(home=home, harnesses=("rehearsal",), stop_grace=1.0, **settings)
    return Manager(chosen, environ={"PATH": "/usr/bin:/bin", **(environ or {})})


def is_there(path: str) -> bool:
    return Path(path).exists()


# directories


def test_an_agent_works_in_the_directory_that_it_is_given_and_nothing_there_is_touched(tmp_path):
    place = tmp_path / "project" / "deep"
    place.mkdir(parents=True)
    (place / "mine.txt").write_text("mine")

    async def story(manager: Manager) -> None:
        await manager.spawn("lead", workspace_dir=str(place))
        await manager.send("lead", "/write new.txt words")
        await manager.spawn("new", workspace_dir=tmp_path / "project" / "fresh")
        await manager.terminate("lead")

        assert str(place) == manager.tree["lead"].workspace
        assert {"mine.txt": "mine", "new.txt": "words"} == {
            p.name: p.read_text().strip() for p in place.iterdir()
        }
        assert (tmp_path / "project" / "fresh").is_dir()
        assert manager.processes.files("new").name.startswith("new@")

    with_run(tmp_path / "home", story)


def test_two_agents_never_share_a_directory(tmp_path):
    place = tmp_path / "project"

    async def story(manager: Manager) -> None:
        await manager.spawn("lead", workspace_dir=place)
        with pytest.raises(BadInput, match="is the workspace of lead, and two agents never share one"):
            await manager.spawn("other", workspace_dir=place)
        with pytest.raises(BadInput, match=r"lies in .*project, the workspace of lead"):
            await manager.spawn("other", workspace_dir=place / "sub")
        with pytest.raises(BadInput, match=r"holds .*project, the workspace of lead"):
            await manager.spawn("other", workspace_dir=tmp_path / ".", permissions="all")
        kid = await manager.spawn("kid", workspace_dir=place / "sub", parent="lead")
        await manager.terminate("lead")
        again = await manager.spawn("other", workspace_dir=place)
        assert (str(place / "sub"), str(place)) == (kid.workspace, again.workspace)

    with_run(tmp_path / "home", story)


def test_an_agent_gives_no_directory_but_one_inside_its_own(tmp_path):
    async def story(manager: Manager) -> None:
        lead = await manager.spawn("lead")
        (Path(lead.workspace) / "link").symlink_to(tmp_path)
        for wanted in ("..", str(tmp_path), "link/x", ".git", "~", "a/../../b"):
            with pytest.raises(Forbidden, match="a directory inside its own workspace"):
                await manager.spawn("kid", workspace_dir=wanted, parent="lead", by="lead")
        kid = await manager.spawn("kid", workspace_dir="parts/one", parent="lead", by="lead")
        assert f"{lead.workspace}/parts/one" == kid.workspace

    with_run(tmp_path / "home", story)


def test_no_agent_gets_our_own_files_into_its_hands(tmp_path):
    async def story(manager: Manager) -> None:
        with pytest.raises(BadInput, match="where the tokens of this run are"):
            await manager.spawn("lead", workspace_dir=tmp_path)
        with pytest.raises(BadInput, match="holds madrox's own files"):
            await manager.spawn("lead", workspace_dir=tmp_path / "home" / "runs", permissions="all")
        lead = await manager.spawn("lead", workspace_dir=tmp_path, permissions="all")
        assert str(tmp_path) == lead.workspace

    with_run(tmp_path / "home", story)


def test_an_agent_comes_back_to_its_directory_or_says_that_it_is_gone(tmp_path):
    places = [tmp_path / "one", tmp_path / "two"]

    async def story() -> list[Any]:
        manager = await opened(tmp_path / "home").open()
        for name, place in zip(("lead", "other"), places, strict=True):
            await manager.spawn(name, workspace_dir=place)
            await manager.send(name, "hello")
        await manager.close()
        places[1].rmdir()
        manager = await opened(tmp_path / "home").open()
        try:
            return [*await bring_back(manager), manager.tree["lead"].workspace]
        finally:
            await manager.close()

    lead, other, workspace = asyncio.run(story())
    assert ("session", str(places[0])) == (lead.how, workspace)
    assert f"its workspace {places[1]} is not there any more" in other.why


# worktrees


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    return repository_at(tmp_path / "repository")


def test_a_worktree_has_the_repositorys_files_on_a_branch_of_its_own(tmp_path, repository):
    async def story(manager: Manager) -> None:
        lead = await manager.spawn("React Developer", use_worktree=True, git_repo=repository)
        assert ("madrox/React-Developer", str(repository)) == (lead.branch, lead.repository)
        assert git(repository, "rev-parse", "HEAD") == lead.base
        assert "a\n" == (Path(lead.workspace) / "a.txt").read_text()
        assert "madrox/React-Developer" == git(Path(lead.workspace), "branch", "--show-current")
        assert "" == git(repository, "status", "--porcelain")
        assert "main" == git(repository, "branch", "--show-current")

    with_run(tmp_path / "home", story)


def test_the_repository_is_the_one_that_holds_the_working_directory(tmp_path, repository, monkeypatch):
    (repository / "sub").mkdir()
    monkeypatch.chdir(repository / "sub")

    async def story(manager: Manager) -> None:
        assert str(repository) == (await manager.spawn("lead", use_worktree=True)).repository

    with_run(tmp_path / "home", story)


def test_without_a_repository_nothing_is_born(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)

    async def story(manager: Manager) -> None:
        with pytest.raises(BadInput, match=r"not a git repository.*Name a directory in a repository") as told:
            await manager.spawn("lead", use_worktree=True)
        assert str(tmp_path) in str(told.value)
        (tmp_path / "empty").mkdir()
        git(tmp_path / "empty", "init", "-q")
        with pytest.raises(BadInput, match="has no commit yet"):
            await manager.spawn("lead", use_worktree=True, git_repo=tmp_path / "empty")
        assert [] == list(manager.tree)
        assert "idle" == (await manager.spawn("lead")).state

    with_run(tmp_path / "home", story)


def test_a_worktree_in_which_nothing_is_lost_is_removed_at_the_end(tmp_path, repository):
    async def story(manager: Manager) -> None:
        unchanged = await manager.spawn("unchanged", use_worktree=True, git_repo=repository)
        merged = await manager.spawn("merged", use_worktree=True, git_repo=repository)
        await manager.send("merged", "/write b.txt words")
        git(Path(merged.workspace), "add", ".")
        git(Path(merged.workspace), "commit", "-q", "-m", "second")
        git(repository, "merge", "-q", "--ff-only", merged.branch)
        for agent in (unchanged, merged):
            await manager.terminate(agent.name)
            assert not is_there(agent.workspace)
        assert ["main"] == branches(repository)
        assert [] == await manager.take(PERSON)

    with_run(tmp_path / "home", story)


def test_a_worktree_that_holds_the_only_copy_is_kept_and_named(tmp_path, repository):
    async def story(manager: Manager) -> None:
        dirty = await manager.spawn("dirty", use_worktree=True, git_repo=repository)
        ahead = await manager.spawn("ahead", use_worktree=True, git_repo=repository)
        for agent in (dirty, ahead):
            await manager.send(agent.name, "/write b.txt words")
        git(Path(ahead.workspace), "add", ".")
        git(Path(ahead.workspace), "commit", "-q", "-m", "second")
        for agent in (dirty, ahead):
            await manager.terminate(agent.name)
        told = [message.text for message in await manager.take(PERSON)]

        assert (
            f"1 file is not committed. They are in {dirty.workspace}, on the branch madrox/dirty" in told[0]
        )
        assert f"1 commit is in no other branch. They are in {ahead.workspace}" in told[1]
        assert (Path(dirty.workspace) / "b.txt").exists()
        assert ["madrox/ahead", "madrox/dirty", "main"] == sorted(branches(repository))
        again = await manager.spawn("ahead", use_worktree=True, git_repo=repository)
        assert ("madrox/ahead-2", True) == (again.branch, again.workspace != ahead.workspace)

    with_run(tmp_path / "home", story)


def test_a_parent_is_told_of_its_childs_worktree_and_gives_one_of_its_own_alone(tmp_path, repository):
    async def story(manager: Manager) -> None:
        lead = await manager.spawn("lead", use_worktree=True, git_repo=repository)
        await manager.spawn("plain", parent="lead")
        for by, more in (("plain", {}), ("lead", {"git_repo": str(repository)})):
            with pytest.raises(Forbidden, match="a worktree of the repository in which it works itself"):
                await manager.spawn("kid", use_worktree=True, parent="lead", by=by, **more)
        git(Path(lead.workspace), "commit", "-q", "--allow-empty", "-m", "second")
        kid = await manager.spawn("kid", use_worktree=True, parent="lead", by="lead")
        await manager.send("kid", "/write b.txt words")
        await manager.terminate("kid")
        told = [
            e.event for e in manager.ledger if isinstance(e.event, MessagePosted) and e.event.agent == "lead"
        ]

        assert git(Path(lead.workspace), "rev-parse", "HEAD") == kid.base
        assert ("madrox", True) == (told[-1].sender, "its worktree is kept" in told[-1].text)

    with_run(tmp_path / "home", story)


def test_a_fork_has_a_worktree_of_its_own_with_what_was_not_committed(tmp_path, repository):
    async def story(manager: Manager) -> None:
        lead = await manager.spawn("lead", use_worktree=True, git_repo=repository)
        await manager.send("lead", "/write b.txt words")
        twin = await manager.fork("lead", "twin")
        place = Path(twin.workspace)

        assert ("madrox/twin", "words") == (twin.branch, (place / "b.txt").read_text().strip())
        assert "?? b.txt" == git(place, "status", "--porcelain")
        (place / "a.txt").unlink()
        assert "" == git(Path(lead.workspace), "status", "--porcelain", "a.txt")

    with_run(tmp_path / "home", story)


def test_an_agent_comes_back_to_its_worktree_though_it_was_tidied_away(tmp_path, repository):
    async def story() -> tuple[str, str]:
        manager = await opened(tmp_path / "home").open()
        lead = await manager.spawn("lead", use_worktree=True, git_repo=repository)
        await manager.send("lead", "hello")
        await manager.close()
        assert not is_there(lead.workspace)
        manager = await opened(tmp_path / "home").open()
        try:
            [returned] = await bring_back(manager)
            return returned.how, git(Path(lead.workspace), "branch", "--show-current")
        finally:
            await manager.close()

    assert ("session", "madrox/lead") == asyncio.run(story())


def test_an_agent_that_never_starts_leaves_no_worktree(tmp_path, repository):
    async def story(manager: Manager) -> None:
        with pytest.raises(HarnessNotReady):
            await manager.spawn("lead", harness="rogue", model="mute", use_worktree=True, git_repo=repository)
        await manager.births.left("lead")
        assert ["main"] == branches(repository)
        assert "failed" == manager.tree["lead"].state

    with_run(tmp_path / "home", story, start_timeout=0.3)
