# ruff: noqa: F811 - a fixture is used by its name
"""What one does with an agent in its pane, with real agents: sleep, return, forks, limits, details."""

from pathlib import Path

import pytest
from repositories import committed, repository_at
from test_page_acts import page, spawned  # noqa: F401

from madrox_nb.errors import BadInput
from madrox_nb.events import AgentStopped, TurnStarted
from madrox_nb.parts import parts

pytestmark = pytest.mark.slow


# sleep, return, forks and limits


def can(page, name):
    [row] = [each for each in page.look("rows")["rows"] if each["name"] == name]
    return set(row["can"])


def test_an_agent_is_suspended_and_resumed_from_the_page_and_remembers(page):
    spawned(page, "lead")
    page.answer(page.until(TurnStarted, page.run.manager.ask("lead", "remember me")))
    assert {"stop", "suspend", "fork"} == can(page, "lead")
    assert page.act("suspend", "lead") is None
    assert {"stop", "resume", "fork"} == can(page, "lead")

    assert page.act("resume", "lead") is None
    assert "idle" == page.run.manager.tree["lead"].state
    assert "lead is idle: there is nothing to resume" == page.act("resume", "lead")
    assert '["remember me"]' == page.answer(page.until(TurnStarted, page.run.manager.ask("lead", "/recall")))


@pytest.mark.parametrize("end", ["stop", "crash"])
def test_who_has_ended_goes_on_with_its_conversation_and_with_what_is_left_of_its_limits(page, end):
    page.act("spawn", name="lead", tokens="100000")
    manager = page.run.manager
    page.answer(page.until(TurnStarted, manager.ask("lead", "/usage 4000 1000")))
    if end == "stop":
        assert page.act("stop", "lead") is None
    else:
        page.until(AgentStopped, manager.ask("lead", "/crash 1"))
    assert {"resume", "fork"} == can(page, "lead")
    used = manager.budget.spent("lead", "tokens", page.run.moment().now)

    assert page.act("resume", "lead") is None
    assert ("idle", "resumed") == (manager.tree["lead"].state, manager.tree["lead"].origin)
    assert used >= 5000
    assert used == manager.budget.spent("lead", "tokens", page.run.moment().now)
    assert "/usage 4000 1000" in page.answer(page.until(TurnStarted, manager.ask("lead", "/recall")))


def test_a_return_that_its_cli_refuses_is_told_beside_the_button(page):
    spawned(page, "lead")
    page.answer(page.until(TurnStarted, page.run.manager.ask("lead", "remember me")))
    page.act("stop", "lead")
    kept = list(page.run.manager.settings.home.rglob(f"{page.run.manager.tree['lead'].session}.json"))
    kept[0].unlink()

    assert "it did not start: " in page.act("resume", "lead")
    assert "failed" == page.run.manager.tree["lead"].state


def test_nothing_is_offered_that_the_cli_or_the_tree_would_refuse(page):
    manager = page.run.manager
    spawned(page, "lead")
    page.run.start(manager.spawn, "plain", harness="forgetful").result(60)
    page.run.start(manager.spawn, "below", parent="lead").result(60)
    page.answer(page.until(TurnStarted, manager.ask("plain", "/say tea")))
    assert {"stop"} == can(page, "plain")
    assert page.act("stop", "plain") is None
    assert page.act("stop", "lead") is None

    assert set() == can(page, "plain")
    assert "plain can't go on: forgetful can't go on with a conversation" in page.act("resume", "plain")
    assert set() == can(page, "below")  # until its parent is here again
    assert "Spawn it again: %madrox spawn below" in page.act("resume", "below")
    assert {"resume"} == can(page, "lead")


def test_a_turn_is_interrupted_only_where_the_cli_can_do_that(page):
    for name, harness in (("a", "rehearsal"), ("b", "headstrong")):
        page.run.start(page.run.manager.spawn, name, harness=harness).result(60)
        page.until(TurnStarted, page.run.manager.ask(name, "/slow 200 0.1"))

    assert "interrupt" in can(page, "a")
    assert "interrupt" not in can(page, "b")


def test_a_fork_is_made_in_the_page(page):
    spawned(page, "lead")
    page.answer(page.until(TurnStarted, page.run.manager.ask("lead", "/say tea")))

    assert page.act("fork", "lead", as_="other", permissions="deny") is None
    other = page.run.manager.tree["other"]
    assert ("forked from lead", "deny") == (other.origin, other.permissions)
    assert "suspend" not in can(page, "other")  # it has no turn of its own yet
    assert "as_" not in str(page.act("fork", "lead"))


def test_a_limit_is_raised_from_the_page_and_what_waited_goes_on(page):
    page.act("spawn", name="lead", turns="1")
    manager = page.run.manager
    page.answer(page.until(TurnStarted, manager.ask("lead", "/say one")))
    assert "1 of 1 turn" in page.act("send", "lead", text="/say two")

    assert page.act("limit", holder="lead", turns="3", usd="") is None
    assert page.act("send", "lead", text="/say two") is None
    assert page.act("limit", holder="", usd="10") is None
    assert {"usd": 10.0} == {
        each.name: each.limit.amount for each in manager.budget.standings("", page.run.moment().now)
    }
    assert "no limit was said" in page.act("limit", holder="lead")
    assert "no agent named 'laed'" in page.act("limit", holder="laed", usd="1")


# details


def test_details_show_what_an_agent_changed_in_its_worktree_and_what_runs_for_it(page):
    repository = repository_at(page.run.manager.settings.home.parent / "repository")
    page.run.start(page.run.manager.spawn, "lead", use_worktree=True, git_repo=repository).result(60)
    workspace = Path(page.run.manager.tree["lead"].workspace)
    (workspace / "a.txt").write_text("a\nb\n")
    (workspace / "gone").write_text("x\n")
    committed(workspace, "more")
    (workspace / "gone").unlink()
    (workspace / "new file").write_text("secret\n")
    details, moment = parts()["details"], page.run.moment()
    files = {each["path"]: each for each in details.asks["diff"](moment, "lead", {})["files"]}

    assert {"a.txt", "new file"} == files.keys()
    assert ["+", None, None, "b"] in files["a.txt"]["lines"]
    assert ("a new file, not committed", 1) == (files["new file"]["said"], files["new file"]["added"])
    assert str(page.run.manager.processes["lead"].pid) in details.asks["process"](moment, "lead", {})["text"]


def test_without_a_worktree_there_is_no_difference_and_without_a_process_none(page):
    spawned(page, "lead")
    page.act("suspend", "lead")
    details, moment = parts()["details"], page.run.moment()

    assert "none" == details.asks["process"](moment, "lead", {})["text"]
    assert "" == details.look(moment, "lead")["branch"]
    with pytest.raises(BadInput, match="works in no git worktree"):
        details.asks["diff"](moment, "lead", {})


def test_details_tell_what_is_always_allowed_and_whose_limits_hold(page):
    page.act("limit", holder="", usd="5")
    spawned(page, "lead")
    page.asks("lead", 'Bash {"command": "make"}')
    page.act("approve", approval="lead.a1", always="agent")
    told = parts()["details"].look(page.run.moment(), "lead")
    facts = dict(told["facts"])

    assert facts["Permissions"].endswith("always allowed: Bash")
    assert "none of its own; $0.00 of $5.00 (the run)" == facts["Limits"]
    assert [("lead", {}), ("", {"usd": "$0.00 of $5.00"})] == [
        (each["holder"], each["limits"])
        for each in page.ask("limits", topic="forms", agent="lead")["holders"]
    ]


def test_who_lived_in_the_second_directory_of_its_name_comes_back_there(page):
    home = page.run.manager.settings.home
    repository = repository_at(home.parent / "repository")
    (home / "work/lead").mkdir(parents=True)
    (home / "work/lead/theirs").write_text("x")
    page.run.start(page.run.manager.spawn, "lead", use_worktree=True, git_repo=repository).result(60)
    workspace = Path(page.run.manager.tree["lead"].workspace)
    (workspace / "mine").write_text("y")
    assert "lead~2" == workspace.name

    page.act("stop", "lead")
    assert page.act("resume", "lead") is None
    assert str(workspace) == page.run.manager.tree["lead"].workspace
    assert "y" == (workspace / "mine").read_text()
