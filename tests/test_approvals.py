"""Agents ask before they use a tool; rules, persons and time answer."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from crew import until, with_run

from madrox_nb import library
from madrox_nb.errors import BadInput, Forbidden, UnknownApproval
from madrox_nb.events import ApprovalAnswered, ApprovalAsked, Entry
from madrox_nb.folds import Approvals
from madrox_nb.harness import Ask, Item
from madrox_nb.harness.rehearsal import Rehearsal
from madrox_nb.manager import Manager
from madrox_nb.tickets import Ticket
from madrox_nb.tree import Tree

ATTENDED = {"attended": "yes"}


def asks(entry: Entry) -> bool:
    return isinstance(entry.event, ApprovalAsked)


async def asked(m: Manager, name: str, what: str = "", *, harness: str = "rehearsal", **spawn: Any) -> Ticket:
    """An agent of that name that waits for the answer to a request."""
    if name not in m.tree or not m.tree[name].alive:
        await m.spawn(name, harness=harness, **spawn)
    return await until(m, asks, m.ask(name, f"/approve-needed {what}".strip()))


async def text(m: Manager, ticket: Ticket) -> str:
    answer = await m.answer(ticket)
    assert answer is not None
    return answer.text


def answers(m: Manager) -> list[tuple[str, str]]:
    return [(e.event.decision, e.event.by) for e in m.ledger if isinstance(e.event, ApprovalAnswered)]


# a person answers


def test_an_agent_waits_until_somebody_allows_it(tmp_path: Path) -> None:
    async def story(m: Manager) -> None:
        ticket = await asked(m, "lead", 'Bash {"command": "make"}')
        [open_] = m.approvals.open()
        assert ("lead.a1", "lead", "Bash", {"command": "make"}) == (
            open_.id,
            open_.agent,
            open_.tool,
            json.loads(open_.input),
        )
        assert "waiting" == m.tree["lead"].state

        done = await m.approve("lead.a1")

        assert ("allow", "you") == (done.state, done.by)
        assert "asked to use Bash: allow" == await text(m, ticket)
        assert [] == m.approvals.open()

    with_run(tmp_path, story, **ATTENDED)


def test_an_agent_that_is_denied_is_told_why_and_goes_on(tmp_path: Path) -> None:
    async def story(m: Manager) -> None:
        first = await asked(m, "lead")
        await m.deny("lead.a1", "not on a Friday")
        assert "asked to use Bash: deny (not on a Friday)" == await text(m, first)

        second = await asked(m, "lead")
        await m.deny("lead.a2")
        assert "asked to use Bash: deny (the person denied Bash)" == await text(m, second)
        assert [("deny", "you")] * 2 == answers(m)

    with_run(tmp_path, story, **ATTENDED)


def test_an_answer_to_nothing_is_answered_with_what_waits(tmp_path: Path) -> None:
    async def story(m: Manager) -> None:
        with pytest.raises(UnknownApproval, match="nobody asks for anything now"):
            await m.approve("lead.a1")
        ticket = await asked(m, "lead")
        with pytest.raises(UnknownApproval, match=r"'lead.a2'. Did you mean 'lead.a1'\? Known: lead.a1"):
            await m.deny("lead.a2")
        with pytest.raises(BadInput, match="always='forever' is none of agent, subtree, tool"):
            await m.approve("lead.a1", always="forever")
        await m.approve("lead.a1")
        await text(m, ticket)
        with pytest.raises(BadInput, match=r"lead.a1 needs no answer any more: allowed by you"):
            await m.deny("lead.a1")

    with_run(tmp_path, story, **ATTENDED)


def test_an_interrupt_takes_the_request_back(tmp_path: Path) -> None:
    async def story(m: Manager) -> None:
        ticket = await asked(m, "lead")
        await m.interrupt("lead")

        answer = await m.answer(ticket)
        assert answer is not None
        assert "interrupted" == answer.outcome
        assert "withdrawn" == m.approvals["lead.a1"].state
        with pytest.raises(BadInput, match="withdrawn by lead"):
            await m.approve("lead.a1")

    with_run(tmp_path, story, **ATTENDED)


def test_a_request_is_over_when_its_agent_is(tmp_path: Path) -> None:
    async def story(m: Manager) -> None:
        await asked(m, "lead")
        await m.terminate("lead", force=True)

        assert [] == m.approvals.open()
        assert m.approvals["lead.a1"].state in ("over", "withdrawn")

    with_run(tmp_path, story, **ATTENDED)


def test_ten_requests_at_once_are_all_answered_and_the_same_one_twice_is_one(tmp_path: Path) -> None:
    async def story(m: Manager) -> None:
        await m.spawn("lead", harness="rogue")
        ten: list[Entry] = []
        ticket = await until(
            m, lambda e: asks(e) and (ten.append(e) or len(ten) == 10), m.ask("lead", "many")
        )
        for n, open_ in enumerate(m.approvals.open()):
            await (m.approve(open_.id) if n % 2 else m.deny(open_.id, "no"))

        heard = dict(each.split(":") for each in (await text(m, ticket)).split())
        assert {f"r{n}": "allow" if n % 2 else "deny" for n in range(10)} | {"r10": "deny"} == heard
        assert 10 == len(answers(m))

    with_run(tmp_path, story, **ATTENDED)


def test_the_requests_of_many_agents_stand_side_by_side(tmp_path: Path) -> None:
    async def story(m: Manager) -> None:
        names = [f"a{n}" for n in range(5)]
        await asyncio.gather(*(m.spawn(name) for name in names))
        five: list[Entry] = []

        async def all_ask() -> list[Ticket]:
            return [await m.ask(name, "/approve-needed") for name in names]

        tickets = await until(m, lambda e: asks(e) and (five.append(e) or len(five) == 5), all_ask())
        assert sorted(f"{name}.a1" for name in names) == sorted(a.id for a in m.approvals.open())
        for name in names:
            await m.approve(f"{name}.a1")
        assert ["asked to use Bash: allow"] * 5 == [await text(m, t) for t in tickets]

    with_run(tmp_path, story, **ATTENDED)


def test_a_codec_that_can_not_write_the_answer_ends_its_agent_instead_of_leaving_it_waiting(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def story(m: Manager) -> None:
        ticket = await asked(m, "lead")
        monkeypatch.setattr(m.processes["lead"].harness, "answer", lambda *_: 1 / 0)
        await m.approve("lead.a1")
        answer = await m.answer(ticket)

        assert answer is not None
        assert ("failed", True) == (answer.outcome, "its answer could not be written" in answer.error)
        assert "failed" == m.tree["lead"].state

    with_run(tmp_path, story, **ATTENDED)


# an answer that holds


def test_an_answer_for_the_agent_holds_for_that_tool_and_that_agent_alone(tmp_path: Path) -> None:
    async def story(m: Manager) -> None:
        first = await asked(m, "lead")
        await m.approve("lead.a1", always="agent")
        await text(m, first)

        assert "asked to use Bash: allow" == (await m.send("lead", "/approve-needed")).text
        other = await asked(m, "lead", "WebFetch")
        await m.deny("lead.a3")
        await text(m, other)
        kid = await asked(m, "kid", parent="lead")
        await m.deny("kid.a1")
        assert "deny" in await text(m, kid)

    with_run(tmp_path, story, **ATTENDED)


def test_an_answer_for_the_subtree_holds_for_grandchildren_and_nobody_else(tmp_path: Path) -> None:
    async def story(m: Manager) -> None:
        first = await asked(m, "lead")
        await m.approve("lead.a1", always="subtree")
        await text(m, first)
        await m.spawn("kid", parent="lead")
        await m.spawn("grandkid", parent="kid")

        assert "allow" in (await m.send("grandkid", "/approve-needed")).text
        assert ("allow", "policy") == answers(m)[-1]
        stranger = await asked(m, "stranger")
        await m.deny("stranger.a1", always="tool")
        assert "deny" in await text(m, stranger)
        assert "deny" in (await m.send("grandkid", "/approve-needed")).text  # the newest answer counts

    with_run(tmp_path, story, **ATTENDED)


def test_an_answer_that_holds_answers_what_waits_already(tmp_path: Path) -> None:
    async def story(m: Manager) -> None:
        tickets = [await asked(m, name) for name in ("a", "b", "c")]
        await m.approve("b.a1", always="tool")

        assert ["asked to use Bash: allow"] * 3 == [await text(m, t) for t in tickets]

    with_run(tmp_path, story, **ATTENDED)


def test_a_successor_of_the_same_name_is_allowed_nothing_that_was_allowed_before_it(tmp_path: Path) -> None:
    async def story(m: Manager) -> None:
        first = await asked(m, "lead")
        await m.approve("lead.a1", always="agent")
        await text(m, first)
        await m.terminate("lead")

        again = await asked(m, "lead")
        await m.deny("lead.a2")
        assert "deny" in await text(m, again)

    with_run(tmp_path, story, **ATTENDED)


# nobody is there


def test_where_nobody_is_agents_are_spawned_with_deny_and_told_so_at_once(tmp_path: Path) -> None:
    async def story(m: Manager) -> None:
        lead = await m.spawn("lead")
        assert "deny" == lead.permissions
        assert "permissions='deny'" in (await m.send("lead", "/approve-needed")).text
        assert [("deny", "policy")] == answers(m)

    with_run(tmp_path, story)


def test_where_somebody_is_agents_ask(tmp_path: Path) -> None:
    async def story(m: Manager) -> None:
        assert "ask" == (await m.spawn("lead")).permissions

    with_run(tmp_path, story, **ATTENDED)


def test_who_would_ask_and_finds_nobody_is_told_that_nobody_was_there(tmp_path: Path) -> None:
    async def story(m: Manager) -> None:
        await m.spawn("lead", permissions="edits")
        said = (await m.send("lead", "/approve-needed")).text

        assert "nobody is there to be asked" in said
        assert [("deny", "nobody")] == answers(m)

    with_run(tmp_path, story)


def test_a_request_that_nobody_answers_in_time_is_called_that_and_no_denial(tmp_path: Path) -> None:
    async def story(m: Manager) -> None:
        ticket = await asked(m, "lead")
        said = await text(m, ticket)

        assert "nobody answered within 0.2 s; that is no denial" in said
        assert [("deny", "timeout")] == answers(m)

    with_run(tmp_path, story, **ATTENDED, approval_timeout=0.2)


def test_a_policy_answers_for_whoever_is_away(tmp_path: Path) -> None:
    policy = {"Bash(git *)": "allow", "Bash": "deny"}

    async def story(m: Manager) -> None:
        await m.spawn("lead")
        git = await m.send("lead", '/approve-needed Bash {"command": "git status"}')
        rm = await m.send("lead", '/approve-needed Bash {"command": "git status; rm x"}')

        assert "asked to use Bash: allow" == git.text
        assert "asked to use Bash: deny (the policy says so ('Bash'))" == rm.text

    with_run(tmp_path, story, policy=policy)


@library.lend
class Editor(Rehearsal):
    """A CLI that says which file it would touch."""

    name = "editor"

    def read(self, line: str) -> Iterable[Item]:
        for item in super().read(line):
            yield replace(item, touches=(str(item.input["file_path"]),)) if isinstance(item, Ask) else item


@pytest.mark.parametrize(
    ("path", "decision"),
    [
        ("table.csv", "allow"),
        ("in/table.csv", "allow"),
        ("../../table.csv", "deny"),
        ("/etc/table.csv", "deny"),
        ("link.csv", "deny"),
        (".git/table.csv", "deny"),
        ("{data}/table.csv", "allow"),
        ("{data}/table.txt", "allow"),
        ("{data}/../table.txt", "deny"),
    ],
)
def test_a_rule_about_files_means_where_they_lie(tmp_path: Path, path: str, decision: str) -> None:
    data = tmp_path / "data"
    data.mkdir()

    async def story(m: Manager) -> None:
        lead = await m.spawn("lead", harness="editor")
        (Path(lead.workspace) / "link.csv").symlink_to(tmp_path / "elsewhere.csv")
        wanted = json.dumps({"file_path": path.format(data=data)})
        said = (await m.send("lead", f"/approve-needed Edit {wanted}")).text
        assert said.startswith(f"asked to use Edit: {decision}"), said

    policy = {"Edit(*.csv)": "allow", f"Edit({data}/*)": "allow", "*": "deny"}
    with_run(tmp_path, story, policy=policy)


def test_a_rule_that_asks_asks_even_about_what_the_permissions_allow(tmp_path: Path) -> None:
    async def story(m: Manager) -> None:
        ticket = await asked(m, "lead", permissions="all")
        await m.deny("lead.a1")
        assert "deny" in await text(m, ticket)

    with_run(tmp_path, story, **ATTENDED, policy={"Bash": "ask"})


def test_everything_allowed_asks_nobody(tmp_path: Path) -> None:
    async def story(m: Manager) -> None:
        await m.spawn("lead", permissions="all")
        assert "asked to use Bash: allow" == (await m.send("lead", "/approve-needed")).text

    with_run(tmp_path, story)


# who gives what


def test_a_child_gets_what_its_parent_has_and_everything_only_by_name(tmp_path: Path) -> None:
    async def story(m: Manager) -> None:
        given = {}
        for permissions in ("deny", "ask", "edits", "all"):
            parent = await m.spawn(f"p-{permissions}", permissions=permissions)
            child = await m.spawn(parent=parent.name, by=parent.name)
            given[permissions] = child.permissions
        named = await m.spawn(parent="p-all", by="p-all", permissions="all")

        assert {"deny": "deny", "ask": "ask", "edits": "edits", "all": "edits"} == given
        assert "all" == named.permissions

    with_run(tmp_path, story)


@pytest.mark.parametrize(("has", "wants"), [("deny", "ask"), ("ask", "edits"), ("edits", "all")])
def test_no_agent_gives_a_child_more_than_it_has(tmp_path: Path, has: str, wants: str) -> None:
    async def story(m: Manager) -> None:
        await m.spawn("lead", permissions=has)
        with pytest.raises(Forbidden, match=f"lead runs with permissions='{has}' and can't give"):
            await m.spawn("kid", parent="lead", by="lead", permissions=wants)
        assert "kid" not in m.tree

    with_run(tmp_path, story)


def test_an_agent_that_spawns_below_one_who_has_more_gives_what_it_has_itself(tmp_path: Path) -> None:
    async def story(m: Manager) -> None:
        await m.spawn("lead", permissions="deny")
        await m.spawn("able", parent="lead", permissions="all")
        assert "deny" == (await m.spawn("kid", parent="able", by="lead")).permissions
        assert "edits" == (await m.spawn("other", parent="able")).permissions

    with_run(tmp_path, story)


def test_a_word_that_is_no_permission_is_answered_with_the_nearest(tmp_path: Path) -> None:
    async def story(m: Manager) -> None:
        with pytest.raises(BadInput, match=r"permissions='edit' is not known. Did you mean 'edits'"):
            await m.spawn("lead", permissions="edit")

    with_run(tmp_path, story)


# the fold


def test_replaying_the_ledger_gives_the_same_approvals_and_the_same_tree(tmp_path: Path) -> None:
    async def story(m: Manager) -> None:
        ticket = await asked(m, "lead")
        await m.approve("lead.a1", always="subtree")
        await text(m, ticket)
        await asked(m, "lead", "WebFetch")
        entries = list(m.ledger)

        assert Approvals.replay(entries) == m.approvals
        assert Tree.replay(entries) == m.tree
        assert [a.id for a in Approvals.replay(entries).open()] == ["lead.a2"]

    with_run(tmp_path, story, **ATTENDED)
