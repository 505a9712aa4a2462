"""Teams that really run: rehearsal agents, their phases, and what becomes of failures."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from crew import until, with_run

from madrox_nb import library
from madrox_nb.errors import BadInput, HarnessNotFound, IllegalEvent, UnknownRole
from madrox_nb.events import (
    AgentSpawned,
    Entry,
    Event,
    MessagePosted,
    PhaseEnded,
    PhaseStarted,
    TeamEnded,
    TeamResumed,
    TurnEnded,
    TurnStarted,
)
from madrox_nb.manager import Manager
from madrox_nb.teamwork import TeamRuns, UnknownTeam
from madrox_nb.tree import Tree

pytestmark = pytest.mark.slow

TRIO = """\
---
description: Three who build a small thing.
inputs:
  language: {description: In what it is written., default: Python}
members:
  - {name: head, role: architect, part: Decides what is built.}
  - {name: hand, role: backend_developer, count: 2}
  - {name: eye, role: code_reviewer}
phases:
  - name: design
    who: head
    what: |
      Design this in {language}: {task}
      /write design.md the design
    deliverables: [design.md]
  - name: look
    who: eye
    what: |
      Read up on {task}. {{braces}} stay.
  - name: build
    who: hand
    what: |
      You are {me}, {number} of {count}. Build what this says:
        {design.head}
  - name: review
    who: eye
    needs: [look]
    what: |
      {build}
      /say VERDICT: REJECT
  - name: mend
    who: hand
    when: 'review contains "VERDICT: REJECT"'
    what: |
      /say mended by {me}
  - name: praise
    who: head
    when: 'review contains "VERDICT: ACCEPT"'
    what: Praise them.
  - name: close
    who: head
    needs: [mend, praise]
    what: |
      Sum up.
      /say the end
---
# Trio

For people.
"""


@pytest.fixture(autouse=True)
def at_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Teams and roles of this test alone, besides those that come with the package."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setattr(library, "user_dir", lambda: tmp_path / "config")


def file(text: str, name: str = "trio") -> None:
    Path("templates").mkdir(exist_ok=True)
    Path("templates", f"{name}.md").write_text(text, encoding="utf-8")


def told(manager: Manager, kind: type[Event]) -> list[Any]:
    return [entry.event for entry in manager.ledger if isinstance(entry.event, kind)]


def text_of(manager: Manager, agent: str, path: str) -> str:
    return Path(manager.tree[agent].workspace, path).read_text(encoding="utf-8")


async def run_team(manager: Manager, name: str = "trio", task: str = "a clock", **given: Any) -> Any:
    return await manager.teams.wait(await manager.teams.start(name, task, **given))


# the whole of it


def test_a_team_is_spawned_whole_each_with_its_brief_and_its_results_flow(tmp_path: Path) -> None:
    file(TRIO)

    async def story(m: Manager) -> None:
        result = await run_team(m, inputs={"language": "Rust"})

        assert ("ok", "") == (result.outcome, result.why)
        assert {"head": None, "hand-1": "head", "hand-2": "head", "eye": "head"} == {
            agent.name: agent.parent for agent in m.tree
        }
        briefs = {event.agent: event.system_prompt for event in told(m, AgentSpawned)}
        assert library.role("architect").body in briefs["head"]
        assert "hand 2 of 2 of the team *trio*. Three who build a small thing." in briefs["hand-2"]
        assert "- head (architect): Decides what is built." in briefs["eye"]

        prompts = {(e.agent, n): e.text for n, e in enumerate(told(m, TurnStarted))}
        asked = "\n".join(prompts.values())
        assert "Phase 1 of 7 of trio.1: **design**\n\nDesign this in Rust: a clock\n" in asked
        assert "Read up on a clock. {braces} stay." in asked
        assert "You are hand-2, 2 of 2." in asked
        assert "> wrote design.md (10 bytes)" in asked
        assert "- from/design/head/design.md" in asked
        assert "the design" == text_of(m, "hand-1", "from/design/head/design.md")
        assert "mended by hand-2" == result.results["mend.hand-2"]
        assert "**hand-1**:\nmended by hand-1\n\n**hand-2**:\nmended by hand-2" == result.results["mend"]
        assert '(skipped: not the case: review contains "VERDICT: ACCEPT")' == result.results["praise"]
        assert "> (skipped: not the case" in asked

    with_run(tmp_path, story)


def test_phases_go_in_their_order_and_independent_ones_at_once(tmp_path: Path) -> None:
    file(TRIO)

    async def story(m: Manager) -> None:
        await run_team(m)

        order = [(e.kind, e.phase) for e in told(m, PhaseStarted) + told(m, PhaseEnded)]
        assert 16 == len(order)
        seen = [
            f"{entry.event.kind.removeprefix('phase.')} {entry.event.phase}"
            for entry in m.ledger
            if isinstance(entry.event, PhaseStarted | PhaseEnded)
        ]
        assert {"started design", "started look"} == set(seen[:2])
        assert seen.index("ended design") < seen.index("started build")
        assert len(seen) - seen[::-1].index("ended build") <= seen.index("started review")
        assert "ended close" == seen[-1]

    with_run(tmp_path, story)


def test_a_name_that_is_taken_gives_all_of_the_team_a_prefix(tmp_path: Path) -> None:
    file(TRIO)

    async def story(m: Manager) -> None:
        await m.spawn("eye")
        first = await m.teams.start("trio")
        second = await m.teams.start("trio")

        assert ("t2-head", "t2-hand-1", "t2-hand-2", "t2-eye") == m.teams.runs[first].agents
        assert ("t3-head", "t3-hand-1", "t3-hand-2", "t3-eye") == m.teams.runs[second].agents
        assert ("trio.1", "trio.2") == (first, second)
        with pytest.raises(BadInput, match="'t3-head' is taken: choose another prefix"):
            await m.teams.start("trio", prefix="t3-")

    with_run(tmp_path, story)


def test_without_a_task_a_team_stands_by_until_it_gets_one(tmp_path: Path) -> None:
    file(TRIO)

    async def story(m: Manager) -> None:
        stood = await run_team(m, task="")
        assert ("standby", 4, []) == (stood.outcome, len(m.tree), told(m, PhaseStarted))
        with pytest.raises(BadInput, match=r"trio\.1 stands by: say what it is to do"):
            await m.teams.resume("trio.1")

        assert "trio.1" == await m.teams.resume("trio", task="a sundial")
        result = await m.teams.wait("trio.1")

        assert result is not None
        assert "ok" == result.outcome
        assert any("Design this in Python: a sundial" in e.text for e in told(m, TurnStarted))

    with_run(tmp_path, story)


# failures


DUO = """\
---
description: Two of whom one is slow.
members:
  - {name: head, role: architect}
  - {name: hand, role: general}
phases:
  - {name: first, who: head, what: "/say begun"}
  - {name: slow, who: hand, needs: [first], what: "/slow 8 0.1"}
  - {name: other, who: head, needs: [first], what: "/say other"}
  - {name: last, who: head, what: "Close {slow.hand}"}
  - {name: rescue, who: head, when: slow failed, what: "/say rescued"}
---
"""


def at_work(agent: str, turn: str = "") -> Callable[[Entry], bool]:
    return lambda e: isinstance(e.event, TurnStarted) and e.event.agent == agent and turn in e.event.turn


def begun(phase: str) -> Callable[[Entry], bool]:
    return lambda e: isinstance(e.event, PhaseStarted) and e.event.phase == phase


def over(phase: str) -> Callable[[Entry], bool]:
    return lambda e: isinstance(e.event, PhaseEnded) and e.event.phase == phase


async def reached(m: Manager, *happened: Callable[[Entry], bool]) -> None:
    """Wait until each of these has happened, now or earlier."""
    for each in happened:
        seen = asyncio.Event()
        stop = m.ledger.listen(lambda entry, each=each, seen=seen: seen.set() if each(entry) else None)
        if any(map(each, m.ledger)):
            seen.set()
        await asyncio.wait_for(seen.wait(), 60)
        stop()


async def kill(m: Manager, agent: str) -> None:
    os.kill(m.processes[agent].pid or 0, signal.SIGKILL)


def test_a_member_that_dies_is_reported_and_done_again_alone_when_retried(tmp_path: Path) -> None:
    file(DUO, "duo")

    async def story(m: Manager) -> None:
        team = await until(m, at_work("hand"), m.teams.start("duo", "go"))
        await kill(m, "hand")
        failed = await m.teams.wait(team)

        assert failed is not None
        assert ("failed", "failed: slow (hand); not begun: last") == (failed.outcome, failed.why)
        assert "killed by signal 9" in m.teams.runs[team].shares["slow", "hand"].error
        assert "rescued" == failed.results["rescue"]
        assert "other" == failed.results["other"]
        assert "## last: skipped (it needs slow, which did not succeed)" in failed.text

        assert team == await m.teams.retry(team)
        mended = await m.teams.wait(team)

        assert mended is not None
        assert ("ok", "") == (mended.outcome, mended.why)
        assert "word-8" in mended.results["slow.hand"]
        assert 2 == m.teams.runs[team].shares["slow", "hand"].attempt
        assert (1, 1) == tuple(
            sum(e.phase == name for e in told(m, PhaseStarted)) for name in ("first", "other")
        )
        assert "(skipped: not the case: slow failed)" == mended.results["rescue"]

    with_run(tmp_path, story)


def test_a_phase_that_is_named_is_done_again_with_all_that_comes_after_it(tmp_path: Path) -> None:
    file(TRIO)

    async def story(m: Manager) -> None:
        await run_team(m)
        with pytest.raises(BadInput, match=r"nothing of trio.1 has failed"):
            await m.teams.retry("trio.1")
        with pytest.raises(BadInput, match=r"trio has no phase 'revew'\. Did you mean 'review'\?"):
            await m.teams.retry("trio.1", "revew")
        with pytest.raises(BadInput, match=r"'head' has no share of build in trio.1.* Known: hand-1, hand-2"):
            await m.teams.retry("trio.1", "build.head")
        with pytest.raises(BadInput, match=r"trio\.1 is done\. A retry that names a phase does it again"):
            await m.teams.resume("trio.1")

        await m.teams.retry("trio.1", "build.hand-2")
        await m.teams.wait("trio.1")

        attempts = {key: share.attempt for key, share in m.teams.runs["trio.1"].shares.items()}
        assert {
            ("build", "hand-2"),
            ("review", "eye"),
            ("mend", "hand-1"),
            ("mend", "hand-2"),
            ("close", "head"),
        } == {key for key, attempt in attempts.items() if attempt == 2}

    with_run(tmp_path, story)


def test_what_cannot_be_spawned_is_refused_before_anything_happens(tmp_path: Path) -> None:
    absent = "{name: hand, role: general, harness: absent}"
    file(DUO.replace("{name: hand, role: general}", absent), "duo")

    async def story(m: Manager) -> None:
        with pytest.raises(HarnessNotFound, match="no-such-cli-anywhere"):
            await m.teams.start("duo", "go")
        with pytest.raises(UnknownRole, match="'nobody'"):
            await m.teams.start("duo", "go", lead_role="nobody", harness="rehearsal")
        with pytest.raises(BadInput, match=r"mode='leed' is not known\. Did you mean 'lead'"):
            await m.teams.start("duo", "go", mode="leed", harness="rehearsal")
        with pytest.raises(BadInput, match="permissions='everything' is not known"):
            await m.teams.start("duo", "go", permissions="everything", harness="rehearsal")
        await m.spawn()
        with pytest.raises(BadInput, match="duo needs 2 agents and 1 are alive, with max_instances 2"):
            await m.teams.start("duo", "go", harness="rehearsal")

        assert [] == list(m.teams.runs)
        assert 1 == len(m.tree)

    with_run(tmp_path, story, max_instances=2)


# stopped, and gone on with


def test_a_team_is_stopped_and_goes_on_with_what_was_not_done(tmp_path: Path) -> None:
    file(DUO.replace("/slow 8 0.1", "/slow 400 0.1"), "duo")

    async def story(m: Manager) -> None:
        team = await m.teams.start("duo", "go")
        await reached(m, at_work("hand"), over("other"))
        with pytest.raises(BadInput, match=r"duo\.1 is under way. Wait for it, or stop it first"):
            await m.teams.retry(team, "first")
        stopped = await m.teams.stop(team)

        assert ("stopped", "stopped") == (stopped.outcome, m.teams.runs[team].shares["slow", "hand"].state)
        assert ["interrupted"] == [e.outcome for e in told(m, TurnEnded) if e.agent == "hand"]
        assert "idle" == m.tree["hand"].state
        assert stopped == await m.teams.stop(team)

        await until(m, at_work("hand", "t2"), m.teams.resume(team))
        await m.teams.stop(team)
        assert ["first", "slow", "other", "slow"] == [e.phase for e in told(m, PhaseStarted)]
        assert 1 == len(told(m, TeamResumed))
        assert ["head", "hand"] == [n for n in m.teams.runs[team].agents if m.tree[n].alive]
        assert {"head", "hand"} == set(await m.teams.dismiss(team))

    with_run(tmp_path, story)


def test_a_question_that_still_waits_is_taken_back_when_the_team_is_stopped(tmp_path: Path) -> None:
    file(DUO, "duo")

    async def story(m: Manager) -> None:
        team = await m.teams.start("duo", "")
        await m.teams.wait(team)
        mine = await m.ask("head", "/slow 4 0.5")
        await until(m, lambda e: isinstance(e.event, MessagePosted), m.teams.resume(team, task="go"))
        await m.teams.stop(team)
        answer = await m.answer(mine)
        await m.quiet()

        assert answer is not None
        assert ["/slow 4 0.5"] == [e.text for e in told(m, TurnStarted)]
        assert 0 == m.inboxes.queued("head")

    with_run(tmp_path, story)


@pytest.mark.parametrize("orderly", [True, False], ids=["closed", "killed"])
def test_another_kernel_goes_on_where_the_first_one_ended(tmp_path: Path, orderly: bool) -> None:
    file(DUO.replace("/slow 8 0.1", "/slow 400 0.1"), "duo")

    async def first(m: Manager) -> list[Entry]:
        await m.teams.start("duo", "go")
        await reached(m, at_work("hand"), over("other"))
        return list(m.ledger)

    async def second(m: Manager) -> None:
        await until(m, begun("slow"), m.teams.resume())
        run = m.teams.runs["duo.1"]

        assert run.resumes.endswith("/duo.1")
        assert {"first": "ok", "other": "ok", "slow": "running"} == {
            share.phase: share.state for share in run.shares.values()
        }
        assert "begun" == run.said("first", "head")
        assert "resumed" == m.tree["head"].origin
        assert m.tree["hand"].alive
        assert ["slow"] == [event.phase for event in told(m, PhaseStarted)]
        assert TeamRuns.replay(m.ledger) == m.teams.runs
        await m.teams.stop("duo")
        with pytest.raises(UnknownTeam, match="no team 'solo' has been started"):
            await m.teams.resume("solo")

    entries = with_run(tmp_path / "home", first)
    if not orderly:  # as a kernel leaves it that was killed: no word about the end of anything
        [path] = (tmp_path / "home" / "audit").glob("*/*.jsonl")
        path.write_bytes(b"".join(entry.to_line() for entry in entries))
    with_run(tmp_path / "home", second)


# what may happen, and what agents may do


def test_what_cannot_happen_to_a_team_is_not_written(tmp_path: Path) -> None:
    file(TRIO)

    async def story(m: Manager) -> None:
        await run_team(m)
        share = {"agent": "eye", "team": "trio.1", "phase": "look"}
        for event in (
            PhaseStarted(**share),
            PhaseEnded(**share, outcome="ok"),
            TeamEnded(team="trio.1", outcome="ok"),
            TeamResumed(team="trio.7"),
        ):
            with pytest.raises(IllegalEvent, match=r"the team trio\.[17] is (ok|not known)"):
                await m.act(event)

        await m.act(TeamResumed(team="trio.1", again=("close",)))
        with pytest.raises(IllegalEvent, match=r"its share of close in trio.1 is not under way"):
            await m.act(PhaseEnded(agent="head", team="trio.1", phase="close", outcome="ok"))
        assert Tree.replay(m.ledger) == m.tree
        assert TeamRuns.replay(m.ledger) == m.teams.runs

    with_run(tmp_path, story)


def test_a_file_only_takes_from_what_its_agents_may_do(tmp_path: Path) -> None:
    file(
        DUO.replace(
            "{name: head, role: architect}", "{name: head, role: architect, permissions: edits}"
        ).replace("{name: hand, role: general}", "{name: hand, role: general, permissions: deny}"),
        "duo",
    )

    async def story(m: Manager) -> None:
        await run_team(m, "duo", "")
        await run_team(m, "duo", "", permissions="edits", prefix="b-")

        may = {agent.name: agent.permissions for agent in m.tree}
        assert {"head": "ask", "hand": "deny", "b-head": "edits", "b-hand": "deny"} == may

    with_run(tmp_path, story, permissions="ask")


def test_limits_stand_on_each_member_and_the_leads_hold_for_all_of_them(tmp_path: Path) -> None:
    limits = "limits: {usd: 2, tokens: 100, minutes: 3}"
    head, hand = "{name: head, role: architect", "{name: hand, role: general"
    file(DUO.replace(head, f"{head}, {limits}").replace(hand, f"{hand}, count: 2, {limits}"), "duo")

    async def story(m: Manager) -> None:
        await run_team(m, "duo", "")

        found = {
            name: {each.name: each.amount for each in m.budget.limits[name].values()}
            for name in ("head", "hand-1")
        }
        assert {"usd": 6.0, "tokens": 300, "minutes": 3.0} == found["head"]
        assert {"usd": 2.0, "tokens": 100, "minutes": 3.0} == found["hand-1"]

    with_run(tmp_path, story)


def test_deliverables_that_are_not_there_are_named_and_no_link_leads_out(tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_text("key")
    file(
        """\
---
description: One gives, one takes.
members:
  - {name: giver, role: general}
  - {name: taker, role: general}
phases:
  - {name: give, who: giver, what: "/write out/a.md words", deliverables: [out, link, gone]}
  - {name: take, who: taker, needs: [give], what: "/say taken"}
---
""",
        "pair",
    )

    async def story(m: Manager) -> None:
        team = await m.teams.start("pair")
        await m.teams.wait(team)
        giver, taker = (Path(m.tree[name].workspace) for name in ("giver", "taker"))
        (giver / "link").symlink_to(secret)
        (giver / "out").mkdir()
        (giver / "out" / "inner").symlink_to(secret)
        await m.teams.resume(team, task="go")
        await m.teams.wait(team)

        share = m.teams.runs[team].shares["give", "giver"]
        assert (("out",), ("link", "gone")) == (share.files, share.missing)
        copies = sorted(str(path.relative_to(taker)) for path in taker.rglob("*") if not path.is_dir())
        assert ["from/give/giver/out/a.md"] == copies

    with_run(tmp_path, story)


def test_files_of_the_person_are_given_to_every_member(tmp_path: Path) -> None:
    file(DUO.replace("/slow 8 0.1", "/say done"), "duo")
    (tmp_path / "shop").mkdir()
    (tmp_path / "shop" / "main.py").write_text("print()")

    async def story(m: Manager) -> None:
        result = await run_team(m, "duo", "go", files=["shop"])

        assert result.ok
        for name in ("head", "hand"):
            assert "print()" == text_of(m, name, "from/you/shop/main.py")
        assert any("- from/you/shop" in event.text for event in told(m, TurnStarted))
        with pytest.raises(BadInput, match=r"there is no file .*/shopp to give"):
            await m.teams.start("duo", "go", files=["shopp"])

    with_run(tmp_path, story)


@pytest.mark.parametrize(
    "name",
    [
        "../CONTRIBUTING",
        "/etc/passwd",
        "a/b",
        "..",
        "trio/../../x",
        "",
        "trio.md/..",
        "C:\\x",
        "tr\0io",
    ],
)
def test_a_team_is_named_and_no_path_leads_to_a_file(name: str) -> None:
    file(TRIO)
    Path("CONTRIBUTING.md").write_text(TRIO)

    with pytest.raises(BadInput, match=r"is no team's name|no team named"):
        library.team(name)


def test_ones_own_team_comes_first_and_an_unknown_one_is_answered_with_the_nearest() -> None:
    file(TRIO, "bug_investigation")

    assert "Three who build a small thing." == library.team("Bug investigation").description
    assert 14 == len({team.name for team in library.teams()})
    with pytest.raises(
        BadInput, match=r"no team named 'bug_investigaton'\. Did you mean 'bug_investigation'"
    ):
        library.team("bug_investigaton")


def test_a_broken_file_is_passed_over_with_a_warning_and_refused_by_name(
    caplog: pytest.LogCaptureFixture,
) -> None:
    file("no team", "broken")
    library.log.propagate = True

    assert "broken" not in {team.name for team in library.teams()}
    assert "broken.md is no team: it has to begin with YAML" in caplog.text
    with pytest.raises(BadInput, match=r"broken\.md is no team"):
        library.team("broken")
