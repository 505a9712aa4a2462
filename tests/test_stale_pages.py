"""A page that is behind, or makes things up: every verb is refused, says why, and leaves no trace."""

import pytest
from test_page_acts import opened, spawned

from madrox_nb.parts.verbs import VERBS

pytestmark = pytest.mark.slow


@pytest.fixture
def page(tmp_path, monkeypatch):
    yield from opened(tmp_path, monkeypatch)


def stale(name):
    """Every verb as a page sends it that believes in an agent, a request and a team of this name."""
    about = {verb: (name, {}) for verb in ("interrupt", "stop", "suspend", "resume", "fork")}
    answers = {verb: ("", {"approval": f"{name}.a1"}) for verb in ("approve", "deny")}
    teams = {verb: ("", {"team": f"{name}.1"}) for verb in ("team_stop", "team_retry")}
    forms = {
        "spawn": ("", {"name": "kid", "parent": name}),
        "broadcast": ("", {"text": "hi", "agents": name}),
        "send": (name, {"text": "hi"}),
        "limit": ("", {"holder": name, "usd": "1"}),
    }
    return about | answers | teams | forms


def test_the_tables_of_stale_pages_have_every_verb():
    assert VERBS.keys() == stale("lead").keys() | {"stop_all"}


def refused(page, verb, agent, given):
    """Why the verb is refused; it has left no trace in the ledger."""
    before = list(page.run.manager.ledger)
    error = page.act(verb, agent, **given)
    assert before == list(page.run.manager.ledger)
    return error


@pytest.mark.parametrize("verb", stale(""))
def test_a_page_that_makes_up_a_name_changes_nothing(page, verb):
    spawned(page, "lead")

    assert "nobody" in refused(page, verb, *stale("nobody")[verb])


LATE = {"resume", "fork", "limit"}
"""What also means something once an agent has ended: a limit holds for those below it, and for its return."""


@pytest.mark.parametrize("verb", sorted(stale("").keys() - LATE))
def test_a_page_that_did_not_hear_of_an_end_changes_nothing(page, verb):
    spawned(page, "lead")
    page.asks("lead", 'Bash {"command": "make"}')
    assert page.act("stop", "lead") is None

    assert "lead" in refused(page, verb, *stale("lead")[verb])


@pytest.mark.parametrize("verb", VERBS)
def test_a_page_of_a_run_that_is_closed_changes_nothing(page, verb):
    spawned(page, "lead")
    page.asks("lead", 'Bash {"command": "make"}')
    page.run.close()

    assert refused(page, verb, *stale("lead").get(verb, ("", {})))
