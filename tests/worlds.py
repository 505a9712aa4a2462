"""A run without processes: folds that are told events, and a comm that keeps what its widgets say."""

import json
import threading
import time
from concurrent.futures import Future
from datetime import UTC, datetime, timedelta

from comm.base_comm import BaseComm

from madrox_nb.activity import Activity
from madrox_nb.budget import Budget
from madrox_nb.cost_history import CostHistory
from madrox_nb.density import Density
from madrox_nb.doing import Doing
from madrox_nb.events import (
    AgentReady,
    AgentSpawned,
    Entry,
    TurnEnded,
    TurnStarted,
)
from madrox_nb.folds import Approvals, Costs, Inboxes
from madrox_nb.library import Harnesses
from madrox_nb.parts.moment import Moment
from madrox_nb.parts.past import Then
from madrox_nb.parts.reading import Conversations
from madrox_nb.parts.wire import WireLog
from madrox_nb.redact import Redactor
from madrox_nb.spans import Spans
from madrox_nb.teamwork import TeamRuns
from madrox_nb.tree import Tree

WIDGET_VIEW = "application/vnd.jupyter.widget-view+json"
BEGAN = datetime(2026, 1, 1, tzinfo=UTC)


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

    def told(self, name):
        """What was told of one topic, in order."""
        return [t for message in self.messages("news") for t in message["t"] if t["t"] == name]

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


class World:
    """A run as its widgets see it: real folds, fed by the test, and the verbs that arrived."""

    def __init__(self, tmp_path):
        self.folds = {
            "tree": Tree(),
            "inboxes": Inboxes(),
            "costs": Costs(),
            "approvals": Approvals(),
            "budget": Budget(),
            "activity": Activity(),
            "teams": TeamRuns(),
            "doing": Doing(),
            "cost_history": CostHistory(),
            "spans": Spans(),
            "density": Density(),
        }
        self.seq, self.verbs, self.future, self.widgets = 0, [], Future(), []
        self.file = tmp_path / "run.jsonl"
        self.file.touch()
        self.conversations = Conversations(lambda: [self.file])
        self.past = Then(lambda: [self.file], self.moment)
        self.wires = lambda name: WireLog(tmp_path / f"{name}.log", Redactor(), protocol=True)
        self.looked = threading.Event()

    @property
    def manager(self):
        return self

    def __getattr__(self, name):
        if name in self.folds:
            return self.folds[name]
        return name  # a verb of the manager's: `start` keeps its name

    def start(self, verb, *args, **given):
        self.verbs.append((verb, *args))
        return self.future

    def moment(self):
        self.looked.set()
        now = BEGAN + timedelta(seconds=self.seq)
        read = {"conversations": self.conversations, "past": self.past, "wires": self.wires}
        read |= {"harnesses": Harnesses(), "processes": lambda name: ()}
        return Moment(title="run", now=now, redacted=str, **read, **self.folds)

    def tell(self, *events):
        """Let these happen, and say so to the widgets."""
        for event in events:
            entry = Entry(self.seq, BEGAN + timedelta(seconds=self.seq), event)
            self.seq += 1
            with self.file.open("ab") as file:
                file.write(entry.to_line())
            for fold in self.folds.values():
                fold.apply(entry)
            for widget in self.widgets:
                widget.touch((event.agent, getattr(event, "sender", "")))


def born(name, parent=None, **more):
    spawned = AgentSpawned(agent=name, parent=parent, harness="claude", role="general", **more)
    return spawned, AgentReady(agent=name)


def busy(name, turn="t1"):
    return TurnStarted(agent=name, turn=f"{name}.{turn}", sender="you", text="go")


def idle(name, turn="t1"):
    return TurnEnded(agent=name, turn=f"{name}.{turn}", outcome="ok", text="done")
