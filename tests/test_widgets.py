"""The Python half of the widgets, against a comm that keeps what was sent and real folds."""

import json
import threading
import time

import comm
import pytest
from worlds import WIDGET_VIEW, Wire, World, born, busy, idle

from madrox_nb.doing import Doing
from madrox_nb.errors import BadInput, UnknownAgent
from madrox_nb.events import (
    AgentStopped,
    MessagePosted,
    UsageReported,
)
from madrox_nb.pump import PERIOD, REST, Pump
from madrox_nb.widgets import LIBRARIES, LiveView, build, code, pressed


@pytest.fixture
def world(tmp_path):
    return World(tmp_path)


@pytest.fixture
def shown(monkeypatch, world):
    """Make a widget over the run. Closed at the end, so that the pump's thread ends too."""
    monkeypatch.setattr(comm, "create_comm", lambda **kwargs: Wire(**kwargs))

    def show(shows="tree", agent=""):
        world.widgets.append(LiveView(world, shows, agent))
        return world.widgets[-1]

    yield show
    for widget in world.widgets:
        widget.close()


def rows(news):
    """The agents that these news are about, with their state."""
    told = news["snap"]["rows"] if "snap" in news else news["d"]["lists"]["rows"]["u"]
    return [(row["name"], row["state"]) for row in told]


def of(topic, seen=lambda told: True):
    """Whether a message tells of that topic, in a way that `seen` accepts."""
    return lambda message: any(each["t"] == topic and seen(each) for each in message["t"])


def press(widget, **content):
    """What the browser sends when a button is pressed."""
    data = {"method": "custom", "content": content}
    widget.comm.handle_msg({"content": {"data": data}, "buffers": []})


def test_the_bundle_holds_the_view_and_both_static_forms(shown, world):
    world.tell(*born("lead"))
    data, _ = shown()._repr_mimebundle_()

    assert {WIDGET_VIEW, "text/plain", "text/html"} == data.keys()
    assert data["text/plain"].startswith("run\n1 agent: 1 idle")
    assert "<b>lead</b>" in data["text/html"]


def test_a_reloaded_page_gets_the_present_not_the_past(shown, world):
    world.tell(*born("lead"))
    widget = shown()
    world.tell(busy("lead"), *born("api", "lead"))
    state = widget.get_state()

    assert [("lead", "busy"), ("api", "idle")] == rows(state["_snap"]["t"][0])
    assert "lead" in state["_text"]


def test_only_what_changed_is_told(shown, world):
    world.tell(*born("lead"), *born("api", "lead"), *born("ui", "lead"))
    widget = shown()
    world.tell(busy("api"))
    widget.comm.wait("news")

    [told] = widget.comm.told("rows")
    assert (1, [("api", "busy")]) == (told["s"], rows(told))
    assert {"u", "name"} == told["d"]["lists"]["rows"].keys() | set(told["d"]["key"].values())


def orders(told):
    """Whether these news tell of an order."""
    return "order" in told.get("d", {}).get("lists", {}).get("rows", {})


def test_a_new_agent_changes_the_order(shown, world):
    world.tell(*born("lead"), *born("api", "lead"), *born("ui"))
    widget = shown()
    world.tell(*born("db", "api"))
    # it is looked at now and then: it may be told when it is born, and again when it is ready
    message = widget.comm.wait("news", of("rows", orders))

    assert ["lead", "api", "db", "ui"] == message["t"][0]["d"]["lists"]["rows"]["order"]


def test_a_touch_that_changed_nothing_is_not_told(shown, world):
    world.tell(*born("lead"), busy("lead"), UsageReported(agent="lead", turn="lead.t1", input_tokens=1))
    widget = shown()
    world.looked.clear()
    widget.touch(["lead"])
    assert world.looked.wait(timeout=60)
    world.tell(idle("lead"))
    widget.comm.wait("news")

    assert [1] == [told["s"] for told in widget.comm.told("rows")]


def test_unknown_money_travels_as_null(shown, world):
    world.tell(*born("lead"), busy("lead"), UsageReported(agent="lead", turn="lead.t1", input_tokens=1))

    assert None is shown().get_state()["_snap"]["t"][0]["snap"]["rows"][0]["own_usd"]


def test_a_widget_tells_at_once_that_its_kernel_is_alive(shown):
    assert {"rows": 0} == shown().comm.wait("hb")["s"]


def test_a_page_that_says_hello_hears_that_its_kernel_is_alive(shown):
    widget = shown()
    widget.comm.wait("hb")
    press(widget, op="hello")

    assert 2 == len(widget.comm.messages("hb"))


def test_a_browser_that_missed_a_change_gets_everything(shown, world):
    world.tell(*born("lead"))
    widget = shown()
    press(widget, op="resync", topics=["rows"])

    [told] = widget.comm.told("rows")
    assert (1, "run", [("lead", "idle")]) == (told["s"], told["snap"]["title"], rows(told))


def test_an_empty_run_brings_the_lines_that_start_one(shown):
    lines = [line for _, line in shown().get_state()["_snap"]["t"][0]["snap"]["lines"]]

    assert "%madrox spawn lead --harness rehearsal" in lines


def test_five_thousand_events_end_in_the_right_picture_and_few_messages(shown, world):
    names = [f"a{i}" for i in range(50)]
    world.tell(*(event for name in names for event in born(name)), *(busy(name) for name in names))
    widget = shown()
    pace = threading.Event()  # never set: it only spreads the events over a second

    def work():
        for i in range(5000):
            name = names[i % 50]
            world.tell(UsageReported(agent=name, turn=f"{name}.t1", input_tokens=1, cost_usd=0.0))
            if i % 10 == 0:
                pace.wait(0.001)

    began = time.monotonic()
    thread = threading.Thread(target=work)
    thread.start()
    thread.join()

    def counted(told):
        return {row["name"]: row["tokens"] for row in told["d"]["lists"]["rows"]["u"]}

    widget.comm.wait("news", of("rows", lambda told: counted(told).get("a49") == 100))
    took = time.monotonic() - began

    told = {}
    for each in widget.comm.told("rows"):
        told |= counted(each)
    assert dict.fromkeys(names, 100) == told
    seqs = [each["s"] for each in widget.comm.told("rows")]
    assert list(range(1, len(seqs) + 1)) == seqs
    assert len(widget.comm.messages()) <= took / PERIOD + 4


class Slow:
    """A sender that waits for others so many seconds, and works no longer than that."""

    def __init__(self, seconds):
        self.seconds = seconds
        self.dirty, self.began = True, []
        self.waits, self.done = threading.Event(), threading.Event()

    def glance(self):
        return False

    def beat(self):
        pass

    def flush(self):
        self.began.append(time.monotonic())
        self.waits.wait(self.seconds)  # never set: it is in somebody's queue
        if len(self.began) == 2:
            self.dirty = False
            self.done.set()
        return True


def between_two_messages(slow):
    """Seconds; with the first one comes the first heartbeat."""
    pump = Pump()
    pump.add(slow)
    assert slow.done.wait(20)
    pump.discard(slow)
    return slow.began[1] - slow.began[0]


def test_the_pump_rests_from_its_own_work_and_not_from_waiting_for_others():
    assert between_two_messages(Slow(0.5)) < 0.5 * (1 + REST)


def test_a_message_that_came_with_a_heartbeat_is_followed_by_a_longer_rest():
    assert between_two_messages(Slow(0)) >= 2 * PERIOD


# what a page wants


def test_a_page_is_told_what_it_wants_and_nothing_else(shown, world):
    world.tell(*born("lead"), *born("api", "lead"))
    widget = shown("dashboard")
    press(widget, op="want", page="p", topics=["rows", "inbox:api"])
    assert [] == widget.comm.told("inbox:api")[-1]["snap"]["messages"]

    world.tell(MessagePosted(agent="api", message="lead.m1", sender="lead", text="hello"))
    widget.comm.wait("news", of("inbox:api", lambda told: "d" in told))
    press(widget, op="want", page="p", topics=["rows"])
    world.tell(MessagePosted(agent="api", message="lead.m2", sender="lead", text="again"))
    unread = of("rows", lambda t: "d" in t and t["d"]["lists"]["rows"]["u"][0]["unread"] == 2)
    widget.comm.wait("news", unread)

    assert ["lead.m1"] == [m["id"] for m in widget.comm.told("inbox:api")[-1]["d"]["lists"]["messages"]["u"]]


def test_what_concerns_another_agent_is_not_looked_at(shown, world):
    world.tell(*born("lead"), *born("api", "lead"))
    widget = shown("dashboard")
    press(widget, op="want", page="p", topics=["inbox:api"])
    api, rows_ = widget._wanted["inbox:api"], widget._wanted["rows"]
    api.dirty = rows_.dirty = False
    widget.touch(["lead"])

    assert not api.dirty


def test_two_pages_want_different_things_and_one_that_leaves_takes_only_its_own(shown, world):
    world.tell(*born("lead"))
    widget = shown("dashboard")
    press(widget, op="want", page="p", topics=["inbox:lead", "traffic"])
    press(widget, op="want", page="q", topics=["inbox:lead"])
    press(widget, op="want", page="p", topics=[])

    assert {"rows", "inbox:lead"} == widget._wanted.seqs.keys()


def test_a_ninth_page_lets_the_oldest_be_forgotten_and_a_heartbeat_shows_it(shown, world):
    world.tell(*born("lead"))
    widget = shown("dashboard")
    press(widget, op="want", page="first", topics=["traffic"])
    for page in range(8):
        press(widget, op="want", page=f"p{page}", topics=["inbox:lead"])
    press(widget, op="hello")

    assert "traffic" not in widget.comm.messages("hb")[-1]["s"]


@pytest.mark.parametrize(
    ("topic", "why"),
    [("rowz", "no part 'rowz'. Did you mean 'rows'?"), ("inbox", "inbox:NAME"), ("inbox:nobody", "'nobody'")],
)
def test_a_topic_that_there_is_not_is_told_as_an_error_of_its_own(shown, world, topic, why):
    world.tell(*born("lead"))
    widget = shown("dashboard")
    press(widget, op="want", page="p", topics=[topic, "traffic"])

    assert why in widget.comm.told(topic)[0]["error"]
    assert [] == widget.comm.told("traffic")[0]["snap"]["messages"]


def test_a_part_that_cannot_be_drawn_says_so_and_recovers(shown, world):
    world.tell(*born("lead"))
    widget = shown()
    whole, world.folds["costs"] = world.folds["costs"], Doing()
    widget.touch(["lead"])
    assert "AttributeError" in widget.comm.wait("news")["t"][0]["error"]

    world.folds["costs"] = whole
    world.tell(busy("lead"))
    told = widget.comm.wait("news", of("rows", lambda told: "d" in told))
    assert [("lead", "busy")] == rows(told["t"][0])


# questions


def test_a_question_is_answered_once_and_a_wrong_one_with_why(shown, world):
    world.tell(*born("lead"), busy("lead"))
    widget = shown()
    press(widget, op="ask", id="1", topic="conversation:lead", what="older", given={"before": "e9"})
    press(widget, op="ask", id="2", topic="conversation:lead", what="weather")
    press(widget, op="ask", id="3", topic="conversation:lead", what="older", given={"before": "../x"})

    assert ["go"] == [
        i["text"] for i in widget.comm.wait("answer", lambda m: m["id"] == "1")["data"]["items"]
    ]
    assert "no answer to 'weather'" in widget.comm.wait("answer", lambda m: m["id"] == "2")["error"]
    assert "'../x' is no item" in widget.comm.wait("answer", lambda m: m["id"] == "3")["error"]


# libraries


class Endless:
    """A ledger without an end: only who watches can end the reading."""

    def __init__(self):
        self.ended = threading.Semaphore(0)

    def __call__(self, seq, watch):
        try:
            while True:
                watch(7, 1_000_000)
        finally:
            self.ended.release()


def look_back(widget, request):
    press(widget, op="ask", id=request, topic="slider", what="at", given={"at": 2, "topics": ["rows"]})


def test_a_page_hears_how_far_a_long_ledger_is_read_until_it_gives_up(monkeypatch, shown, world):
    monkeypatch.setattr("madrox_nb.widgets.LOADING", 0.01)
    widget, world.past = shown(), Endless()
    look_back(widget, "1")
    assert {"k": "reading", "id": "1", "read": 7, "of": 1_000_000} == widget.comm.wait("reading")

    press(widget, op="drop", id="1")
    assert "nobody waits" in widget.comm.wait("answer", lambda m: m["id"] == "1")["error"]


def test_what_is_read_quickly_is_answered_without_a_word_of_it(shown, world):
    world.tell(*born("lead"), busy("lead"))
    widget = shown()
    look_back(widget, "1")

    assert 2 == widget.comm.wait("answer")["data"]["at"]
    assert [] == widget.comm.messages("reading")


def test_pages_that_wait_for_the_past_leave_others_their_answers_and_end_with_the_widget(shown, world):
    world.tell(*born("lead"), busy("lead"))
    widget, world.past = shown(), Endless()
    for request in "12345":
        look_back(widget, request)
    press(widget, op="ask", id="6", topic="conversation:lead", what="older", given={"before": "e9"})
    assert "6" == widget.comm.wait("answer")["id"]

    widget.close()
    assert all(world.past.ended.acquire(timeout=60) for _ in "12345")


def test_the_code_that_draws_is_sent_once_and_any_library_that_is_asked_for(shown):
    widget = shown()
    press(widget, op="library", id="1", name="uplot")
    press(widget, op="library", id="2", name="../secrets")

    assert ["widget", "uplot"] == [m["name"] for m in widget.comm.messages("library")]
    assert build() == widget._build
    assert all(code(name) for name in LIBRARIES)


def test_twenty_views_of_a_saved_notebook_hold_no_code(shown, world):
    world.tell(*born("lead"))

    assert len(json.dumps(shown("dashboard").get_state())) < 6_000


def test_a_page_that_saves_is_told_what_to_keep_unless_that_is_much(shown, world, monkeypatch):
    world.tell(*born("lead"))
    widget = shown("tree")
    press(widget, op="keep", id="1")
    kept = widget.comm.wait("answer")["data"]

    assert widget.model_id == kept["model"]
    assert widget._static() == kept["data"]
    assert "lead" in kept["data"]["text/html"]
    monkeypatch.setattr("madrox_nb.widgets.LARGEST", 100)
    press(widget, op="keep", id="2")
    assert "are too many to be told" in widget.comm.wait("answer", lambda told: told["id"] == "2")["error"]


# verbs


def test_a_verb_is_enqueued_acknowledged_and_told_when_done(shown, world):
    world.tell(*born("ui"), busy("ui"))
    widget = shown()
    press(widget, op="act", id="1", verb="interrupt", agent="ui")

    assert [("interrupt", "ui")] == world.verbs
    assert [{"k": "ack", "id": "1"}] == widget.comm.messages("ack")
    assert [] == widget.comm.messages("done")
    world.future.set_result(None)
    assert [{"k": "done", "id": "1", "error": None}] == widget.comm.messages("done")


def test_a_verb_that_comes_by_two_ways_is_carried_out_once(shown, world):
    world.tell(*born("ui"), busy("ui"))
    widget = shown()
    pressed(widget._key, "1", "interrupt", "ui")
    press(widget, op="act", id="1", verb="interrupt", agent="ui")
    pressed("another-key", "2", "interrupt", "ui")

    assert [("interrupt", "ui")] == world.verbs
    assert ["1"] == [message["id"] for message in widget.comm.messages("ack")]


def test_what_is_written_is_sent_as_it_stands(shown, world):
    world.tell(*born("ui"))
    press(shown(), op="act", id="1", verb="send", agent="ui", given={"text": "<b>hi</b>\n"})

    assert [("ask", "ui", "<b>hi</b>\n")] == world.verbs


def test_a_verb_that_fails_tells_why(shown, world):
    world.tell(*born("ui"))
    widget = shown()
    press(widget, op="act", id="1", verb="stop", agent="ui")
    world.future.set_exception(RuntimeError("it would not go"))

    assert "it would not go" == widget.comm.wait("done")["error"]


@pytest.mark.parametrize(
    ("verb", "agent", "given", "why"),
    [
        ("explode", "ui", {}, "a page can't 'explode'"),
        (["stop"], "ui", {}, "a page can't ['stop']"),
        ("stop", "iu", {}, "no agent named 'iu'"),
        ("stop", {"name": "ui"}, {}, "no agent named"),
        ("interrupt", "ui", {}, "ui is idle: there is nothing to interrupt"),
        ("stop", "old", {}, "old is stopped: there is nothing to stop"),
        ("send", "old", {"text": "x"}, "nobody would read it"),
        ("send", "ui", {}, "send needs text"),
        ("send", "ui", {"text": 7}, "text of send is no text"),
        ("send", "ui", {"text": "x" * 1_000_001}, "no text of at most 1,000,000 characters"),
        ("send", "ui", {"text": "x", "sender": "lead"}, "send takes no 'sender'"),
        ("stop", "ui", {"force": "no"}, "stop takes no 'force'"),
    ],
)
def test_a_verb_that_does_not_fit_is_refused_and_not_carried_out(shown, world, verb, agent, given, why):
    world.tell(*born("ui"), *born("old"), AgentStopped(agent="old", reason="done"))
    widget = shown()
    press(widget, op="act", id="1", verb=verb, agent=agent, given=given)

    assert why in widget.comm.wait("done")["error"]
    assert [] == world.verbs


@pytest.mark.parametrize(
    "content",
    [
        {},
        {"op": "act"},
        {"op": "act", "id": 1, "verb": [], "agent": None},
        {"op": "want", "page": 1, "topics": "rows"},
        {"op": "x"},
    ],
)
def test_a_message_of_another_shape_does_nothing(shown, world, content):
    widget = shown()
    press(widget, **content)

    assert [] == world.verbs
    assert [] == widget.comm.messages("ack", "done", "news", "answer")


# what may be shown


def test_there_is_no_view_of_what_there_is_not(shown, world):
    world.tell(*born("lead"))
    with pytest.raises(BadInput, match=r"no view 'dashbord'\. Did you mean 'dashboard'\?"):
        shown("dashbord")
    with pytest.raises(BadInput, match="inbox is about one agent: name it"):
        shown("inbox")
    with pytest.raises(UnknownAgent, match=r"Did you mean 'lead'\?"):
        shown("inbox", "laed")


# life


def test_one_thread_pumps_for_all_widgets_and_ends_with_the_last(shown, world):
    first, second = shown(), shown()
    pumps = [t for t in threading.enumerate() if t.name == "madrox-widgets"]
    assert 1 == len(pumps)

    first.close()
    second.close()
    world.widgets.clear()
    pumps[0].join(timeout=60)
    assert not pumps[0].is_alive()
    assert shown().comm.wait("hb")


def test_closing_takes_the_layout_along_and_later_touches_do_no_harm(shown):
    widget = shown()
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

    assert "subshell" == shown().comm._reply_subshell_for({}, "subshell")
