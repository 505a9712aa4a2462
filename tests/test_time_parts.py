"""The timeline, the slider and the costs, as a page and a saved notebook get them."""

import json

import pytest
from long_run import BEGAN, STEP, long_run, written

from madrox_nb.cost_history import CostHistory
from madrox_nb.density import Density
from madrox_nb.errors import BadInput
from madrox_nb.events import AgentSpawned, BudgetSet, Entry, RunClosed, TurnStarted, UsageReported
from madrox_nb.library import Harnesses
from madrox_nb.parts import parts
from madrox_nb.parts.moment import Moment
from madrox_nb.parts.past import Folds, Then
from madrox_nb.parts.reading import Conversations
from madrox_nb.parts.rows import Rows
from madrox_nb.parts.timeline import NEWEST, WINDOW
from madrox_nb.spans import Spans

ENTRIES = long_run(3000)


def no_wire(name):
    """Nobody looks at a program's output here."""
    raise AssertionError(name)


class Run:
    """A run that is written in a file and folded, as `run.Run` keeps it."""

    def __init__(self, path, entries):
        written(path, entries)
        self.then = Then(lambda: [path], self.moment)
        self.conversations = Conversations(lambda: [path])
        self.folds, self.whole, self.now = Folds(), (Spans(), Density()), entries[-1].ts
        for entry in entries:
            for fold in (self.folds, *self.whole):
                fold.apply(entry)

    def moment(self):
        spans, density = self.whole
        folds = {name: getattr(self.folds, name) for name in Folds.__slots__}
        more = {"spans": spans, "density": density, "past": self.then, "conversations": self.conversations}
        more |= {"harnesses": Harnesses(), "wires": no_wire, "processes": no_wire}
        return Moment(title="run", now=self.now, redacted=str, **folds, **more)


@pytest.fixture(scope="module")
def moment(tmp_path_factory):
    return Run(tmp_path_factory.mktemp("time") / "run.jsonl", ENTRIES).moment()


def run(tmp_path, *events):
    entries = [Entry(n, BEGAN + n * STEP, event) for n, event in enumerate(events)]
    return Run(tmp_path / "run.jsonl", entries).moment()


def ask(moment, part, what, **given):
    return parts()[part].asks[what](moment, "", given)


# the slider


def test_a_page_that_goes_back_gets_the_topics_as_they_were_then(moment, tmp_path):
    told = ask(moment, "slider", "at", at=700, topics=["rows", "conversation:lead.1.1", "costs"])
    then = Run(tmp_path / "run.jsonl", ENTRIES[:701]).moment()

    assert (700, ENTRIES[700].ts.timestamp()) == (told["at"], told["now"])
    assert Rows().look(then, "") == told["topics"]["rows"]
    assert parts()["conversation"].look(then, "lead.1.1") == told["topics"]["conversation:lead.1.1"]
    assert parts()["costs"].look(then, "") == told["topics"]["costs"]


def test_who_was_not_born_then_and_what_shows_the_whole_run_is_left_out(moment):
    topics = ["rows", "details:lead.6.6", "details:lead", "timeline", "slider"]

    assert {"rows", "details:lead"} == ask(moment, "slider", "at", at=5, topics=topics)["topics"].keys()


@pytest.mark.parametrize(
    "given", [{}, {"at": -1}, {"at": 1.5}, {"at": True}, {"at": "7"}, {"topics": "rows"}]
)
def test_a_question_of_another_shape_is_refused(moment, given):
    with pytest.raises(BadInput, match="at needs the number of an entry"):
        ask(moment, "slider", "at", **{"at": 3, "topics": [], **given} if given else {})


def test_an_entry_that_is_not_written_yet_is_the_present(moment):
    told = ask(moment, "slider", "at", at=99_999, topics=["rows"])

    assert Rows().look(moment, "") == told["topics"]["rows"]


def test_the_slider_says_how_many_entries_there_were_when(moment):
    told = parts()["slider"].look(moment, "")

    assert (2999, BEGAN.timestamp()) == (told["last"], told["first"])
    assert 3000 == sum(each["n"] for each in told["bins"])
    assert "run: 3,000 events" == parts()["slider"].plain(moment, "")


def test_before_the_first_entry_there_is_nothing_to_slide_over():
    empty = Density()

    assert ((), -1) == (empty.bins.read()[1], empty.last)


# the timeline


def test_the_newest_bars_are_told_at_once_and_the_message_stays_small(moment):
    told = parts()["timeline"].look(moment, "")
    newest = list(moment.spans.bars)[-NEWEST:]

    assert newest == [bar["id"] for bar in told["bars"]][-NEWEST:]
    assert len(moment.spans.bars) + len(moment.spans.messages) - 2 * NEWEST == told["more"]
    assert len(json.dumps(told, allow_nan=False)) < 60_000


def test_a_bar_that_goes_on_is_told_however_old_it_is(tmp_path):
    first = TurnStarted(agent="lead", turn="lead.t1", sender="you", text="Lead them.")
    births, work = ENTRIES[:4], ENTRIES[4:1500]
    entries = [*births, Entry(4, BEGAN + 4 * STEP, first), *(e._replace(seq=e.seq + 1) for e in work)]
    told = parts()["timeline"].look(Run(tmp_path / "run.jsonl", entries).moment(), "")

    assert ("t4", None) == (told["bars"][0]["id"], told["bars"][0]["e"])
    assert NEWEST + 1 == len(told["bars"])


def test_a_window_tells_what_is_in_it_and_is_coarser_where_there_is_too_much(moment, monkeypatch):
    began = BEGAN.timestamp()
    near = ask(moment, "timeline", "window", since=began + 100, until=began + 110, step=0.01)
    assert all(bar["b"] <= began + 110 and (bar["e"] or began + 110) >= began + 100 for bar in near["bars"])
    assert all(began + 100 <= sent["t"] <= began + 110 for sent in near["messages"])

    monkeypatch.setattr("madrox_nb.parts.timeline.WINDOW", 100)
    far = ask(moment, "timeline", "window", since=began, until=began + 1200, step=0.01)
    assert len(far["bars"]) <= 100
    assert len(far["messages"]) <= 100
    assert far["step"] > 0.01


@pytest.mark.parametrize("wrong", [None, "1", -1, True, float("nan"), float("inf")])
def test_a_window_without_numbers_is_refused(moment, wrong):
    with pytest.raises(BadInput, match="until of a window is no number"):
        ask(moment, "timeline", "window", since=0, until=wrong, step=1)


def test_a_window_of_a_whole_long_run_holds_no_more_than_a_page_can_draw(moment):
    told = ask(moment, "timeline", "window", since=0, until=4e9, step=0.0)

    assert len(told["bars"]) <= WINDOW


def test_the_timeline_alone_counts_what_each_agent_did_and_says_no_time(moment):
    text = [" ".join(line.split()) for line in parts()["timeline"].plain(moment, "").splitlines()]
    counts = moment.spans.counts["lead.1.1"]

    assert ["run: Timeline", "agent turns tool calls waits failed sent received"] == text[:2]
    assert f"lead.1.1 {counts['turn']} {counts['tool']} 1 1 {counts['sent']} {counts['received']}" in text
    assert "2026" not in "".join(text)
    assert "<table" in parts()["timeline"].html(moment, "")


# costs


def spent(agent, usd, **more):
    source = "unknown" if usd != usd else "genai-prices"
    given = {"input_tokens": 1000, "cost_usd": usd, "cost_source": source, "model": "m", **more}
    return UsageReported(agent=agent, turn=f"{agent}.t1", **given)


def family(tmp_path, *more):
    born = [AgentSpawned(agent="lead", harness="claude", role="r"), BudgetSet(limit="usd", amount=4.0)]
    child = AgentSpawned(agent="kid", parent="lead", harness="codex", role="r")
    bills = [spent("lead", 1.0, cost_source="cli"), spent("kid", 2.0), spent("kid", float("nan"))]
    return run(tmp_path, *born, child, *bills, *more)


def test_the_costs_alone_say_unknown_as_a_word_and_where_prices_come_from(tmp_path):
    assert [
        "run: Costs",
        "agent     own $  subtree $      limit  tokens  price from",
        "lead       1.00     ≥ 3.00          –   1,000  cli",
        "  kid  unpriced          –          –   2,000  price table, no price",
        "run                 ≥ 3.00  75 % of 4   3,000",
    ] == parts()["costs"].plain(family(tmp_path), "").splitlines()


def test_a_name_with_markup_and_formulas_stays_text_in_the_saved_costs(tmp_path):
    evil = "<img src=x> $a$"
    shown = run(tmp_path, AgentSpawned(agent=evil, harness="h", role="r"), spent(evil, 1.0))
    told = parts()["costs"].html(shown, "")

    assert "<img" not in told
    assert "<span>$</span>a" in told


def test_the_course_of_costs_names_who_spent_and_gives_each_bin(tmp_path):
    told = parts()["costs"].look(family(tmp_path), "")

    assert [("s0", "lead", "m"), ("s1", "kid", "m")] == [tuple(each.values()) for each in told["spenders"]]
    assert {"s0": 1.0, "s1": 2.0} == {k: v for each in told["bins"] for k, v in each["spent"].items()}
    assert {"lead": "cli", "kid": "price table, no price"} == {s["agent"]: s["from"] for s in told["sources"]}
    assert None is told["over"]


def test_a_run_that_is_over_says_since_when(tmp_path):
    told = parts()["costs"].look(family(tmp_path, RunClosed(reason="done")), "")

    assert (BEGAN + 6 * STEP).timestamp() == told["over"]


def test_a_course_holds_what_costs_hold(moment):
    history = CostHistory.replay(ENTRIES)
    of_all = sum(sum(each.values()) for each in history.bins.read()[1])

    assert pytest.approx(moment.costs.total().cost_usd) == of_all
