"""What a page asks for and what becomes of it, with real agents: answers, births, broadcasts, teams."""

import json
import shlex
import sys
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import comm
import pytest
from crew import until
from test_teams import TRIO
from worlds import Wire

from madrox_nb import config, library
from madrox_nb.errors import BadInput
from madrox_nb.events import ApprovalAsked, MessagePosted, TeamEnded, TurnStarted
from madrox_nb.magics.table import COMMANDS
from madrox_nb.parts import parts
from madrox_nb.run import Run
from madrox_nb.widgets import LiveView

pytestmark = pytest.mark.slow

EXAMPLES = Path(__file__).parents[1] / "widgets/test/lines.json"


class Page:
    """A page with one widget of a run, as far as the kernel can tell."""

    def __init__(self, run):
        self.run, self.widget, self.asked = run, LiveView(run, "approvals"), 0

    def act(self, verb, agent="", **given):
        """The error with which the verb ended; None when it went well."""
        self.asked += 1
        content = {"op": "act", "id": str(self.asked), "verb": verb, "agent": agent, "given": given}
        self.widget._handle_msg(
            {"content": {"data": {"method": "custom", "content": content}}, "buffers": []}
        )
        return self.widget.comm.wait("done", lambda done: done["id"] == str(self.asked))["error"]

    def ask(self, what, topic="approvals", **given):
        return parts()[topic].asks[what](self.run.moment(), "", given)

    def look(self, topic="approvals"):
        return parts()[topic].look(self.run.moment(), "")

    def plain(self, topic="approvals"):
        return parts()[topic].plain(self.run.moment(), "")

    def until(self, kind, verb):
        return self.run.start(until, self.run.manager, lambda e: isinstance(e.event, kind), verb).result(60)

    def asks(self, name, what):
        """Let an agent ask for something; returns the ticket of its turn."""
        return self.until(ApprovalAsked, self.run.manager.ask(name, f"/approve-needed {what}"))

    def answer(self, ticket):
        return self.run.start(self.run.manager.answer, ticket).result(60).text


def opened(tmp_path, monkeypatch):
    """A page of a run of its own."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setattr(library, "user_dir", lambda: tmp_path / "config")
    monkeypatch.setattr(comm, "create_comm", lambda **kwargs: Wire(**kwargs))
    run = Run(home=tmp_path / "home", port=0, harnesses=("rehearsal",), stop_grace=1.0, attended="yes")
    made = Page(run)
    yield made
    made.widget.close()
    run.close()


@pytest.fixture
def page(tmp_path, monkeypatch):
    yield from opened(tmp_path, monkeypatch)


def spawned(page, *names):
    for name in names:
        page.run.start(page.run.manager.spawn, name).result(60)


# answers


def test_what_is_allowed_in_the_page_is_done_by_the_agent_and_goes_into_the_history(page):
    spawned(page, "lead")
    ticket = page.asks("lead", 'Bash {"command": "make"}')
    [request] = page.look()["open"]

    assert ("lead.a1", "run", "make", "open") == tuple(
        request[name] for name in ("id", "kind", "what", "came")
    )
    assert page.act("approve", approval="lead.a1") is None
    assert "asked to use Bash: allow" == page.answer(ticket)
    told = page.look()
    assert [] == told["open"]
    assert [("allowed", "allowed once")] == [(each["came"], each["words"]) for each in told["answered"]]


def test_a_refusal_tells_the_agent_why(page):
    spawned(page, "lead")
    ticket = page.asks("lead", 'Bash {"command": "make"}')

    assert page.act("deny", approval="lead.a1", why="not on a Friday") is None
    assert "not on a Friday" in page.answer(ticket)
    [answered] = page.look()["answered"]
    assert ("denied", "not on a Friday") == (answered["words"], answered["why"])


def test_always_for_an_agent_answers_what_it_asks_next(page):
    spawned(page, "lead")
    first = page.asks("lead", 'Bash {"command": "make"}')
    assert page.act("approve", approval="lead.a1", always="agent") is None
    page.answer(first)
    page.answer(page.asks("lead", 'Bash {"command": "make test"}'))

    assert ["allowed by rule", "allowed always, this agent"] == [e["words"] for e in page.look()["answered"]]


@pytest.mark.parametrize(
    ("verb", "given", "why"),
    [
        ("approve", {"approval": "lead.a9"}, "lead.a9"),
        ("deny", {"approval": "../../x"}, "../../x"),
        ("approve", {"approval": "lead.a1", "always": "everybody"}, "none of agent, subtree, tool"),
        ("approve", {}, "approve needs approval"),
        ("approve", {"approval": "lead.a1", "why": "x"}, "approve takes no 'why'"),
        ("approve", {"approval": ["lead.a1"]}, "approval of approve is no text"),
    ],
)
def test_a_forged_answer_is_refused_and_the_request_stays_open(page, verb, given, why):
    spawned(page, "lead")
    page.asks("lead", 'Bash {"command": "make"}')

    assert why in page.act(verb, **given)
    assert ["lead.a1"] == [each.id for each in page.run.manager.approvals.open()]


def test_a_stale_answer_says_how_it_was_answered_and_changes_nothing(page):
    spawned(page, "lead")
    page.asks("lead", 'Bash {"command": "make"}')
    assert page.act("deny", approval="lead.a1", why="no") is None

    assert "needs no answer any more: denied by you (no)" in page.act("approve", approval="lead.a1")
    assert "deny" == page.run.manager.approvals["lead.a1"].state


def test_the_effect_of_an_edit_is_read_from_the_agents_own_file(page):
    spawned(page, "lead")
    file = Path(page.run.manager.tree["lead"].workspace, "a.txt")
    file.write_text("one\ntwo\n")
    given = {"file_path": str(file), "old_string": "two", "new_string": "three"}
    page.asks("lead", f"Edit {json.dumps(given)}")
    [request] = page.look()["open"]
    [changed] = page.ask("effect", id="lead.a1")["files"]

    assert ("edit", "a.txt") == (request["kind"], request["what"])
    assert [[" ", 1, 1, "one"], ["-", 2, None, "two"], ["+", None, 2, "three"]] == changed["lines"]


def test_a_request_is_written_as_rules_of_a_policy_that_would_answer_it(page):
    spawned(page, "lead")
    file = Path(page.run.manager.tree["lead"].workspace, "src", "a.txt")
    page.asks("lead", f"Write {json.dumps({'file_path': str(file), 'content': 'x'})}")
    rules = page.ask("policy", id="lead.a1")["rules"]

    assert ["Write(src/a.txt)", "Write(src/*)", "Write"] == [each["rule"] for each in rules]
    for each in rules:
        Path("madrox.toml").write_text(each["line"])
        assert {each["rule"]: "allow"} == config.load(environ={}).settings.policy
    with pytest.raises(BadInput, match="no request 'lead"):
        page.ask("policy", id="lead.a7")


def test_once_it_is_answered_its_file_is_not_read_again(page):
    spawned(page, "lead")
    given = {"file_path": "a.txt", "content": "mine\n"}
    ticket = page.asks("lead", f"Write {json.dumps(given)}")
    page.act("approve", approval="lead.a1")
    page.answer(ticket)
    Path(page.run.manager.tree["lead"].workspace, "a.txt").write_text("theirs\n")

    assert "theirs" not in str(page.ask("effect", id="lead.a1"))


def test_a_request_that_nobody_answered_in_time_has_words_of_its_own(page):
    page.run.manager.requests.settings = replace(page.run.manager.settings, approval_timeout=0.05)
    spawned(page, "lead")
    page.answer(page.asks("lead", 'Bash {"command": "make"}'))

    [late] = page.look()["answered"]
    assert ("late", "timed out") == (late["came"], late["words"])
    assert "◷ lead Bash make: timed out" in page.plain()


def test_a_request_that_there_was_not_has_no_effect_to_show(page):
    with pytest.raises(BadInput, match="no request"):
        page.ask("effect", id="lead.a9")


def test_what_is_asked_again_counts_and_the_same_answers_are_one_line(page):
    spawned(page, "lead")
    for number in (1, 2):
        ticket = page.asks("lead", 'Bash {"command": "make"}')
        page.act("deny", approval=f"lead.a{number}", why="no")
        page.answer(ticket)
    page.asks("lead", 'Bash {"command": "make"}')
    told = page.look()

    assert 3 == told["open"][0]["times"]
    assert [("lead.a2", 2)] == [(each["id"], each["times"]) for each in told["answered"]]
    assert "%madrox approve lead.a3" in page.plain()
    assert "lead Bash make: denied, 2 times" in page.plain()


# births and words


def test_a_form_spawns_an_agent_as_it_was_filled_in(page):
    spawned(page, "lead")
    given = {"name": "money", "role": "debugger", "parent": "lead", "permissions": "edits", "usd": "0.9"}

    assert page.act("spawn", **given, prompt="/say hello", tokens="5000") is None
    money = page.run.manager.tree["money"]
    assert ("lead", "debugger", "edits") == (money.parent, money.role, money.permissions)
    assert {"usd": 0.9, "tokens": 5000.0} == {
        each.name: each.limit.amount
        for each in page.run.manager.budget.standings("money", page.run.moment().now)
    }
    assert any(
        isinstance(e.event, TurnStarted) and e.event.text == "/say hello" for e in page.run.manager.ledger
    )


def test_an_empty_form_spawns_a_numbered_agent(page):
    suggested = page.ask("spawn", topic="forms", parent="")["name"]

    assert page.act("spawn") is None
    assert [suggested] == [agent.name for agent in page.run.manager.tree]


@pytest.mark.parametrize(
    ("given", "why"),
    [
        ({"name": "you"}, "'you' means somebody else here"),
        ({"name": "x", "role": "debuger"}, "Did you mean 'debugger'"),
        ({"name": "x", "parent": "nobody"}, "no agent named 'nobody'"),
        ({"name": "x", "usd": "much"}, "usd is 'much', which is no number"),
        ({"name": "x", "usd": "nan"}, "usd"),
        ({"name": "x", "usd": "-1"}, "usd"),
        ({"name": "x", "harness": "nope"}, "nope"),
        ({"name": "x", "by": "lead"}, "spawn takes no 'by'"),
        ({"name": "x", "environment_vars": "{}"}, "spawn takes no 'environment_vars'"),
    ],
)
def test_a_form_that_is_filled_in_wrong_says_why_and_nobody_is_born(page, given, why):
    assert why in page.act("spawn", **given)
    assert [] == list(page.run.manager.tree)


def test_the_form_is_told_what_there_is_to_choose_from(page):
    page.act("spawn", name="lead", usd="2")
    told = page.ask("spawn", topic="forms", parent="lead")

    assert ("lead.1", 2.0, "lead") == (told["name"], told["left"], told["left_in"])
    assert ["deny", "ask", "edits", "all"] == told["permissions"]
    assert {"name": "rehearsal", "here": True, "model": ""} in told["harnesses"]
    assert "debugger" in [each["name"] for each in told["roles"]]
    assert isinstance(page.ask("models", topic="forms", harness="claude")["models"][0], str)


def test_the_form_knows_the_users_own_clis_and_the_models_that_are_set(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(library, "user_dir", lambda: tmp_path / "config")
    Path("madrox.toml").write_text(SETTINGS.format(python=sys.executable))
    with closing(Run(home=tmp_path / "home", port=0)) as run:
        told = parts()["forms"].asks["spawn"](run.moment(), "", {"parent": ""})

    known = {each["name"]: (each["here"], each["model"]) for each in told["harnesses"]}
    assert {"mine": (True, ""), "lost": (False, ""), "rehearsal": (True, "fast")} == {
        name: known[name] for name in ("mine", "lost", "rehearsal")
    }


SETTINGS = """
[harness.rehearsal]
model = "fast"
[acp.mine]
command = ["{python}", "--acp"]
[acp.lost]
command = "no-such-program-anywhere"
"""


def test_a_broadcast_asks_all_that_were_ticked(page):
    spawned(page, "a", "b", "c")

    assert page.act("broadcast", agents="a\nb", text="/say hi") is None
    started = [e.event.agent for e in page.run.manager.ledger if isinstance(e.event, TurnStarted)]
    assert ["a", "b"] == sorted(started)
    assert "no agent named 'd'" in page.act("broadcast", agents="a\nd", text="/say hi")
    assert [] == [
        e for e in page.run.manager.ledger if isinstance(e.event, MessagePosted) and e.event.to == "d"
    ]


@pytest.mark.parametrize("example", json.loads(EXAMPLES.read_text()), ids=lambda example: example["line"])
def test_the_line_under_a_form_means_what_the_form_says(example):
    verb, *words = shlex.split(example["line"].removeprefix("%madrox"))
    asked = vars(COMMANDS[verb].parser.parse_args(words[: words.index("--")] if "--" in words else words))

    for name, value in example["means"].items():
        assert value == asked[name]


# teams


def test_a_team_is_seen_phase_by_phase_and_what_failed_is_tried_again_from_the_page(page):
    Path("templates").mkdir()
    Path("templates/trio.md").write_text(TRIO.replace("Read up on {task}.", "/fail once"), encoding="utf-8")
    page.until(TeamEnded, page.run.manager.teams.start("trio", "a clock"))
    [run] = page.look("team")["runs"]
    phases = {each["name"]: each for each in run["phases"]}

    assert ("trio.1", "failed") == (run["id"], run["state"])
    assert [("design.md", "head", "ok")] == [
        (each["name"], each["agent"], each["state"]) for each in phases["design"]["outputs"]
    ]
    assert ("failed", ["eye"]) == (phases["look"]["outcome"], phases["look"]["again"])
    assert "Skipped: it needs look" in phases["review"]["waits"]
    assert "%madrox team trio.1 --retry" in page.plain("team")
    assert page.act("team_retry", team="trio.1", what="look.eye") is None
    assert "running" == page.look("team")["runs"][0]["state"]
    assert page.act("team_stop", team="trio.1") is None
    assert "stopped" == page.look("team")["runs"][0]["state"]


def test_a_team_that_there_is_not_is_neither_stopped_nor_tried_again(page):
    assert "no team 'trio.9'" in page.act("team_stop", team="trio.9")
    assert "no team 'trio.9'" in page.act("team_retry", team="trio.9")
