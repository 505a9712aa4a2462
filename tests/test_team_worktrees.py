"""Teams whose members work in git worktrees. Real agents, real git."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from crew import until, with_run
from repositories import branches, git, repository_at
from test_team_faces import use
from test_teams import at_work, file, run_team, told

from madrox_nb import library
from madrox_nb.errors import BadInput, Forbidden
from madrox_nb.events import MessagePosted, TurnStarted
from madrox_nb.manager import Manager
from madrox_nb.notebook import Madrox

pytestmark = pytest.mark.slow

CREW = """\
---
description: Two who build in a repository, and one who looks at it.
worktree: true
members:
  - {name: head, role: architect, worktree: false}
  - {name: hand, role: backend_developer, count: 2}
phases:
  - {name: build, who: hand, what: "/write new-{number}.txt words"}
  - {name: review, who: head, what: "Look at {build}"}
---
"""
PLAIN = CREW.replace("worktree: true\n", "").replace(", worktree: false", "")
SLOW = CREW.replace("/write new-{number}.txt words", "/slow 300 0.1")


@pytest.fixture(autouse=True)
def repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The one in which the person works; teams and roles of this test alone."""
    place = repository_at(tmp_path / "repository")
    monkeypatch.chdir(place)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setattr(library, "user_dir", lambda: tmp_path / "config")
    file(CREW, "crew")
    file(PLAIN, "plain")
    file(SLOW, "slow")
    return place


def ours(repository: Path) -> list[str]:
    return [name for name in branches(repository) if name != "main"]


def place_of(m: Manager, agent: str) -> Path:
    return Path(m.tree[agent].workspace)


def test_each_member_has_a_branch_named_after_run_and_member_and_the_report_names_it(
    tmp_path: Path, repository: Path
) -> None:
    async def story(m: Manager) -> None:
        result = await run_team(m, "crew")

        own = {"hand-1": "madrox/crew.1-hand-1", "hand-2": "madrox/crew.1-hand-2"}
        assert own == result.branches
        assert list(own.values()) == ours(repository)
        assert "madrox/crew.1-hand-2" == git(place_of(m, "hand-2"), "branch", "--show-current")
        assert "?? new-2.txt" == git(place_of(m, "hand-2"), "status", "--porcelain")
        listed = "## Git branches\n\n- hand-1: `madrox/crew.1-hand-1`\n- hand-2: `madrox/crew.1-hand-2`"
        assert result.text.endswith(listed)
        [review] = [e.text for e in told(m, TurnStarted) if e.agent == "head"]
        assert "## Git branches of what this builds on\n\n- hand-1: `madrox/crew.1-hand-1`\n" in review
        assert ("", False) == (m.tree["head"].branch, (place_of(m, "head") / "a.txt").exists())
        assert "?? templates/" == git(repository, "status", "--porcelain")

    with_run(tmp_path / "home", story)


def test_nothing_is_lost_when_a_team_is_stopped_and_its_agents_are_ended(
    tmp_path: Path, repository: Path
) -> None:
    async def story(m: Manager) -> None:
        team = await until(m, at_work("hand-2"), m.teams.start("slow", "go"))
        (place_of(m, "hand-1") / "half.txt").write_text("half done")
        stopped = await m.teams.stop(team)
        assert ["hand-1", "hand-2"] == list(stopped.branches)

        await m.teams.dismiss(team)
        kept = place_of(m, "hand-1")
        assert {"hand-1": "madrox/slow.1-hand-1"} == m.teams.result(team).branches
        assert ["madrox/slow.1-hand-1"] == ours(repository)
        assert "half done" == (kept / "half.txt").read_text()
        assert not place_of(m, "hand-2").exists()
        [word] = [e.text for e in told(m, MessagePosted) if e.sender == "madrox"]
        assert f"1 file is not committed. They are in {kept}, on the branch madrox/slow.1-hand-1" in word

    with_run(tmp_path / "home", story)


def test_what_is_said_for_all_counts_before_what_the_file_says(tmp_path: Path, repository: Path) -> None:
    other = repository_at(tmp_path / "other")

    async def story(m: Manager) -> None:
        without = await run_team(m, "crew", use_worktree=False)
        assert ({}, []) == (without.branches, ours(repository))
        every = await run_team(m, "plain", use_worktree=True, git_repo=other)
        assert ["t2-head", "t2-hand-1", "t2-hand-2"] == list(every.branches)
        assert ["hand-1", "hand-2", "head"] == [name.rpartition("t2-")[2] for name in ours(other)]
        assert [] == ours(repository)

    with_run(tmp_path / "home", story)


def test_where_no_worktree_can_be_made_nothing_happens(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "bare").mkdir()
    monkeypatch.chdir(tmp_path / "bare")
    file(CREW, "crew")
    file(PLAIN, "plain")

    async def story(m: Manager) -> None:
        with pytest.raises(BadInput, match="not a git repository"):
            await m.teams.start("crew", "go")
        with pytest.raises(BadInput, match="git_repo names the repository of worktrees: give use_worktree"):
            await m.teams.start("plain", "go", git_repo=tmp_path / "repository")
        await m.spawn("boss")
        with pytest.raises(Forbidden, match="boss can give a worktree of the repository in which it works"):
            await m.teams.start("plain", "go", use_worktree=True, parent="boss", by="boss")
        assert (["boss"], []) == ([agent.name for agent in m.tree], list(m.teams.runs))

    with_run(tmp_path / "home", story)


def test_an_agent_gives_its_team_worktrees_of_the_repository_that_it_works_in(tmp_path: Path) -> None:
    async def story(m: Manager) -> None:
        boss = await m.spawn("boss", use_worktree=True)
        git(Path(boss.workspace), "commit", "-q", "--allow-empty", "-m", "second")
        result = await run_team(m, "crew", parent="boss", by="boss")

        assert ["hand-1", "hand-2"] == list(result.branches)
        assert git(Path(boss.workspace), "rev-parse", "HEAD") == m.tree["hand-1"].base

    with_run(tmp_path / "home", story)


def test_copies_that_a_member_was_given_are_no_work_of_its_own(tmp_path: Path, repository: Path) -> None:
    paper = tmp_path / "paper.md"
    paper.write_text("all about clocks")
    file(CREW.replace("/write new-{number}.txt words", "/say read"), "readers")

    async def story(m: Manager) -> None:
        result = await run_team(m, "readers", files=(str(paper),))
        assert "all about clocks" == (place_of(m, "hand-1") / "from" / "you" / "paper.md").read_text()
        assert "" == git(place_of(m, "hand-1"), "status", "--porcelain")
        assert not (place_of(m, "head") / "from" / "you" / ".gitignore").exists()
        await m.teams.dismiss(result.id)
        assert [] == ours(repository)

    with_run(tmp_path / "home", story)


def test_a_team_of_an_earlier_kernel_goes_on_in_its_worktrees(tmp_path: Path, repository: Path) -> None:
    async def first(m: Manager) -> None:
        await until(m, at_work("hand-2"), m.teams.start("slow", "go"))
        (place_of(m, "hand-1") / "half.txt").write_text("half done")

    async def second(m: Manager) -> None:
        team = await until(m, at_work("hand-2"), m.teams.resume("slow"))
        assert {"hand-1": "madrox/slow.1-hand-1", "hand-2": "madrox/slow.1-hand-2"} == m.teams.branches(
            m.teams.runs[team]
        )
        assert "half done" == (place_of(m, "hand-1") / "half.txt").read_text()

    with_run(tmp_path / "home", first)
    assert ["madrox/slow.1-hand-1"] == ours(repository)
    with_run(tmp_path / "home", second)


def test_the_name_of_a_branch_is_found_though_an_earlier_runs_still_holds_something(
    tmp_path: Path, repository: Path
) -> None:
    async def story(m: Manager) -> dict[str, str]:
        return dict((await run_team(m, "crew")).branches)

    with_run(tmp_path / "home", story)
    assert "madrox/crew.1-hand-1-2" == with_run(tmp_path / "home", story)["hand-1"]


# faces


@pytest.fixture
def madrox(tmp_path: Path) -> Iterator[Madrox]:
    with Madrox(home=tmp_path / "home", port=0, harnesses=("rehearsal",), max_instances=20) as m:
        yield m


def test_a_line_gives_a_team_worktrees(madrox: Madrox, tmp_path: Path) -> None:
    other = repository_at(tmp_path / "other")
    team = use("team plain --worktree --task go")
    assert "madrox/plain.1-head" == team.branches["head"]
    assert "head works on madrox/plain.1-head" in str(team).splitlines()
    elsewhere = use(f"team plain --git-repo {other} --task go")
    assert elsewhere.branches["t2-head"] in ours(other)


def test_a_lead_gives_the_members_worktrees_by_its_own_calls_and_they_are_named(
    madrox: Madrox, repository: Path
) -> None:
    team = madrox.team("crew", "go", lead=True)

    assert ("ok", ["head"]) == (team.state, team.agents)
    [plan] = [e.text for e in told(madrox.manager, TurnStarted) if e.agent == "head"][:1]
    assert '"use_worktree": true}' in plan
    assert "Each works in a git worktree of your repository, on a branch of its own" in plan
    assert "madrox/crew.1-head" == team.branches["head"]
    assert "madrox/crew.1-hand-1" == madrox.tree["hand-1"].branch
    assert git(repository, "rev-parse", "HEAD") == madrox.tree["hand-2"].base
    assert {"head", "hand-1", "hand-2"} == set(team.branches)  # each hand left a file that is not committed
    assert "- hand-2: `madrox/crew.1-hand-2`" in team.result.text


def test_files_reach_the_lead_and_the_members_that_it_spawns(madrox: Madrox, tmp_path: Path) -> None:
    (tmp_path / "paper.md").write_text("all about clocks")
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "one.csv").write_text("1\n")
    team = madrox.team("plain", "go", lead=True, files=(str(tmp_path / "paper.md"), str(tmp_path / "data")))

    assert "ok" == team.state
    [plan] = [e.text for e in told(madrox.manager, TurnStarted) if e.agent == "head"]
    assert "## Files\n\n- from/you/paper.md\n- from/you/data\n\nEach member finds the same files" in plan
    for agent in ("head", "hand-1", "hand-2"):
        given = place_of(madrox.manager, agent) / "from" / "you"
        assert ("all about clocks", "1\n") == (
            (given / "paper.md").read_text(),
            (given / "data" / "one.csv").read_text(),
        )
    madrox.spawn("stranger", parent="head")
    assert not (place_of(madrox.manager, "stranger") / "from").exists()
