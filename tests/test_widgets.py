"""The Python half of the tree widget, against a comm that keeps what was sent."""

import json
import threading
import time
from concurrent.futures import Future
from dataclasses import replace

import comm
import pytest
from comm.base_comm import BaseComm
from test_views import NAN, row

from madrox_nb.views import Picture, plain
from madrox_nb.widgets import PERIOD, TreeWidget

WIDGET_VIEW = "application/vnd.jupyter.widget-view+json"


class Wire(BaseComm):
    """A comm that ends here: what is sent is kept, and tests can wait for it."""

    def __init__(self, *args, **kwargs):
        self.sent, self.news = [], threading.Condition()
        super().__init__(*args, **kwargs)

    def publish_msg(self, msg_type, data=None, **_):
        json.dumps(data, allow_nan=False)  # a browser would not read it otherwise
        with self.news:
            self.sent.append((time.monotonic(), msg_type, data))
            self.news.notify_all()

    def messages(self, *kinds):
        found = [data["content"] for _, kind, data in self.sent if kind == "comm_msg" and "content" in data]
        return [content for content in found if not kinds or content["k"] in kinds]

    def wait(self, kind, seen=lambda content: True):
        """The first message of this kind that `seen` accepts."""

        def found():
            return next(filter(seen, self.messages(kind)), None)

        with self.news:
            assert self.news.wait_for(found, timeout=60), f"no {kind} among {self.messages()}"
            return found()


class Run:
    """A run as the widget sees it: a picture that tests change, and the verbs that arrived."""

    def __init__(self, *rows):
        self.picture, self.verbs, self.future = Picture("run", rows), [], None
        self.looked = threading.Event()

    def snapshot(self):
        self.looked.set()
        return self.picture

    def act(self, verb, agent):
        self.verbs.append((verb, agent))
        return self.future

    def now(self, *rows):
        self.picture = Picture("run", rows)


@pytest.fixture
def shown(monkeypatch):
    """Make a widget over a run. Closed at the end, so that the pump's thread ends too."""
    monkeypatch.setattr(comm, "create_comm", lambda **kwargs: Wire(**kwargs))
    made = []

    def show(run):
        made.append(TreeWidget(run.snapshot, run.act))
        return made[-1]

    yield show
    for widget in made:
        widget.close()


def press(widget, **content):
    """What the browser sends when a button is pressed."""
    data = {"method": "custom", "content": content}
    widget.comm.handle_msg({"content": {"data": data}, "buffers": []})


def test_the_bundle_holds_the_view_and_both_static_forms(shown):
    run = Run(row("lead"))
    data, _ = shown(run)._repr_mimebundle_()

    assert {WIDGET_VIEW, "text/plain", "text/html"} == data.keys()
    assert plain(run.picture) == data["text/plain"]
    assert "<b>lead</b>" in data["text/html"]


def test_a_reloaded_page_gets_the_present_not_the_past(shown):
    run = Run(row("lead"))
    widget = shown(run)
    run.now(row("lead", state="busy"), row("api", "lead", 1))

    assert ["lead", "api"] == [r["name"] for r in widget.get_state()["_snap"]["rows"]]
    assert "busy" == widget.get_state()["_snap"]["rows"][0]["state"]


def test_only_what_changed_is_told(shown):
    run = Run(row("lead"), row("api", "lead", 1), row("ui", "lead", 1))
    widget = shown(run)
    run.now(row("lead"), row("api", "lead", 1, state="busy"), row("ui", "lead", 1))
    widget.touch(["api"])

    delta = widget.comm.wait("d")
    assert 1 == delta["s"]
    assert [("api", "busy")] == [(r["name"], r["state"]) for r in delta["u"]]
    assert "order" not in delta


def test_a_new_agent_and_a_gone_one_change_the_order(shown):
    run = Run(row("lead"), row("api", "lead", 1))
    widget = shown(run)
    run.now(row("lead"), row("ui", "lead", 1))
    widget.touch(["ui"])

    delta = widget.comm.wait("d")
    assert ["ui"] == [r["name"] for r in delta["u"]]
    assert ["api"] == delta["gone"]
    assert ["lead", "ui"] == delta["order"]


def test_a_touch_that_changed_nothing_is_not_told(shown):
    run = Run(row("lead", usd=NAN))
    widget = shown(run)
    run.now(row("lead", usd=float("nan")))
    run.looked.clear()
    widget.touch(None)
    assert run.looked.wait(timeout=60)
    run.now(row("lead", usd=2.0))
    widget.touch(None)

    assert 2.0 == widget.comm.wait("d")["u"][0]["own_usd"]
    assert [1] == [message["s"] for message in widget.comm.messages("d")]


def test_unknown_money_travels_as_null(shown):
    assert None is shown(Run(row("lead", usd=NAN))).get_state()["_snap"]["rows"][0]["own_usd"]


def test_a_widget_tells_at_once_that_its_kernel_is_alive(shown):
    assert 0 == shown(Run()).comm.wait("hb")["s"]


def test_a_page_that_says_hello_hears_that_its_kernel_is_alive(shown):
    widget = shown(Run())
    widget.comm.wait("hb")
    press(widget, op="hello")

    assert 2 == len(widget.comm.messages("hb"))


def test_a_browser_that_missed_a_delta_gets_everything(shown):
    run = Run(row("lead"))
    widget = shown(run)
    press(widget, op="resync")

    snap = widget.comm.wait("snap")
    assert (0, "run", ["lead"]) == (snap["s"], snap["title"], [r["name"] for r in snap["rows"]])


def test_an_empty_run_brings_the_lines_that_start_one(shown):
    lines = [line for _, line in shown(Run()).get_state()["_snap"]["lines"]]

    assert "%madrox spawn lead --harness rehearsal" in lines


def test_five_thousand_touches_end_in_the_right_picture_and_few_messages(shown):
    names = [f"a{i}" for i in range(50)]
    run = Run(*map(row, names))
    widget = shown(run)

    pace = threading.Event()  # never set: it only spreads the touches over a second

    def work():
        for i in range(5000):
            rows = list(run.picture.rows)
            rows[i % 50] = replace(rows[i % 50], tokens=i)
            run.now(*rows)
            widget.touch([names[i % 50]])
            if i % 10 == 0:
                pace.wait(0.001)

    began = time.monotonic()
    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    widget.comm.wait("d", lambda m: any(r["tokens"] == 4999 for r in m["u"]))
    took = time.monotonic() - began

    told = {}
    for message in widget.comm.messages("d"):
        told |= {r["name"]: r["tokens"] for r in message["u"]}
    assert {r.name: r.tokens for r in run.picture.rows} == told
    seqs = [message["s"] for message in widget.comm.messages("d")]
    assert list(range(1, len(seqs) + 1)) == seqs
    assert len(widget.comm.messages()) <= took / PERIOD + 3


def test_a_verb_is_enqueued_acknowledged_and_told_when_done(shown):
    run = Run(row("ui", state="busy"))
    run.future = Future()
    widget = shown(run)
    press(widget, op="act", id="1", verb="interrupt", agent="ui")

    assert [("interrupt", "ui")] == run.verbs
    assert [{"k": "ack", "id": "1"}] == widget.comm.messages("ack")
    assert [] == widget.comm.messages("done")
    run.future.set_result(None)
    assert [{"k": "done", "id": "1", "error": None}] == widget.comm.messages("done")


def test_a_verb_that_fails_tells_why(shown):
    run = Run(row("ui", state="idle"))
    run.future = Future()
    widget = shown(run)
    press(widget, op="act", id="1", verb="stop", agent="ui")
    run.future.set_exception(RuntimeError("it would not go"))

    assert "it would not go" == widget.comm.wait("done")["error"]


@pytest.mark.parametrize(
    ("verb", "agent", "why"),
    [
        ("spawn", "ui", "a widget cannot 'spawn'"),
        ("stop", "iu", "no agent named 'iu'"),
        ("interrupt", "ui", "ui is idle: there is nothing to interrupt"),
        ("stop", "old", "old is stopped: there is nothing to stop"),
    ],
)
def test_a_verb_that_does_not_fit_is_refused_and_not_carried_out(shown, verb, agent, why):
    run = Run(row("ui"), row("old", state="stopped"))
    widget = shown(run)
    press(widget, op="act", id="1", verb=verb, agent=agent)

    assert why in widget.comm.wait("done")["error"]
    assert [] == run.verbs


def test_an_error_in_the_verb_itself_is_shown_and_not_lost(shown):
    run = Run(row("ui"))

    def broken(verb, agent):
        raise RuntimeError("the manager is closed")

    run.act = broken
    widget = shown(run)
    press(widget, op="act", id="1", verb="stop", agent="ui")

    assert "the manager is closed" == widget.comm.wait("done")["error"]


@pytest.mark.parametrize(
    "content", [{}, {"op": "act"}, {"op": "act", "id": 1, "verb": [], "agent": None}, {"op": "x"}]
)
def test_a_message_of_another_shape_does_nothing(shown, content):
    run = Run(row("ui"))
    widget = shown(run)
    press(widget, **content)

    assert [] == run.verbs
    assert [] == widget.comm.messages("ack", "done", "snap")


def test_a_view_that_cannot_be_drawn_says_so_and_recovers(shown):
    run = Run(row("lead"))
    widget = shown(run)

    def broken():
        raise KeyError("lead")

    whole, widget._snapshot = widget._snapshot, broken
    widget.touch(None)
    assert "KeyError: 'lead'" == widget.comm.wait("error")["text"]

    widget._snapshot = whole
    run.now(row("lead", state="busy"))
    widget.touch(None)
    assert "busy" == widget.comm.wait("d")["u"][0]["state"]


def test_one_thread_pumps_for_all_widgets_and_ends_with_the_last(shown):
    first, second = shown(Run(row("a"))), shown(Run(row("b")))
    pumps = [t for t in threading.enumerate() if t.name == "madrox-widgets"]
    assert 1 == len(pumps)

    first.close()
    second.touch(None)
    second.close()
    pumps[0].join(timeout=60)
    assert not pumps[0].is_alive()

    third = shown(Run(row("c")))
    assert third.comm.wait("hb")


def test_closing_takes_the_layout_along_and_later_touches_do_no_harm(shown):
    widget = shown(Run(row("a")))
    layout = widget.layout
    widget.close()
    widget.touch(["a"])

    assert None is widget.comm
    assert None is layout.comm


def test_messages_of_the_browser_stay_off_the_shell_that_runs_cells(monkeypatch, shown):
    class Routed(Wire):
        def _reply_subshell_for(self, data, default):
            return "main"

    monkeypatch.setattr(comm, "create_comm", lambda **kwargs: Routed(**kwargs))

    assert "subshell" == shown(Run()).comm._reply_subshell_for({}, "subshell")
