"""The Python half of the widgets: shows pictures, sends verbs.

A widget owns no facts. It asks `snapshot` for a picture, tells the browser what is
different from the last one, and hands verbs to `act`. What travels, by `k`:

    to the browser    snap    s, title, rows, lines    everything there is to draw
                      d       s, u, gone, order        what changed; order only when it did
                      hb      s                        every 5 s: the kernel is alive
                      ack     id                       the verb is on its way …
                      done    id, error                … and this is how it ended
                      error   text                     this view could not be drawn
    from the browser  {op: "hello"}                    answered by hb
                      {op: "resync"}                   answered by snap
                      {op: "act", id, verb, agent}     answered by ack and done, or by done alone

`s` counts the deltas; a browser that misses one asks for everything. One thread pumps
for all widgets of the process, at most ten times a second each: above a thousand
messages a second the Jupyter server drops them without a word.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable
from concurrent.futures import Future
from operator import attrgetter
from typing import Any, Final

import anywidget
from traitlets import Dict

from .errors import BadInput, UnknownAgent
from .library import static
from .views import FIRST_LINES, Picture, Row, bundle

HEARTBEAT: Final = 5.0
"""Seconds between two signs of life. The browser gives up after three of them."""
PERIOD: Final = 0.1
"""Seconds between two messages of one widget, at least."""
CEILING: Final = 50
"""Messages a second of all widgets together, at most."""

VERBS: Final = {
    "interrupt": frozenset({"busy", "waiting"}),
    "stop": frozenset({"starting", "idle", "busy", "waiting", "suspended"}),
}
"""What the browser may ask for, and in which states of the agent."""

Act = Callable[[str, str], "Future[Any] | None"]


class TreeWidget(anywidget.AnyWidget):
    """The live list of agents.

    `snapshot` gives the picture of now. It is called on the pump's thread and on the
    kernel's comm threads, never on the manager's loop. `act(verb, agent)` enqueues a
    verb and returns at once; the future, if any, tells the browser how it ended.
    """

    _esm = static("tree.js")
    _css = static("tree.css")
    _snap = Dict().tag(sync=True)
    """Filled in by `get_state` only, so that a reloaded page gets the present."""

    def __init__(self, snapshot: Callable[[], Picture], act: Act) -> None:
        self._snapshot, self._act = snapshot, act
        self._lock = threading.Lock()
        self._told = snapshot()
        self._seq = 0
        self.dirty = False
        super().__init__()
        self.on_msg(self._receive)
        _PUMP.add(self)

    def touch(self, names: Iterable[str] | None = None) -> None:
        """Something changed. Cheap, and callable from any thread.

        `names` says whose facts did. The tree shows sums, where one agent changes all
        above it, so it looks at every row whatever it is told.
        """
        if not self.dirty:
            self.dirty = True
            _PUMP.wake()

    def open(self) -> None:
        """Open the comm, and keep the browser's messages off the shell that runs cells.

        ipykernel 7.4 routes them to the shell that published last, so a widget made in a
        cell would be deaf while any cell runs. There is no public switch for this.
        """
        super().open()
        if hasattr(self.comm, "_reply_subshell_for"):
            self.comm._reply_subshell_for = lambda data, default: default

    def close(self) -> None:
        """Take the widget off the page, and its layout with it."""
        _PUMP.discard(self)
        with self._lock:
            super().close()
        self.layout.close()

    def get_state(self, key: Any = None, drop_defaults: bool = False) -> dict[str, Any]:
        state: dict[str, Any] = super().get_state(key, drop_defaults)
        if key is None:
            state["_snap"] = self._everything()
        return state

    def _repr_mimebundle_(self, **kwargs: Any) -> tuple[dict[str, Any], dict[str, Any]]:
        data, metadata = super()._repr_mimebundle_(**kwargs) or ({}, {})
        return {**data, **bundle(self._snapshot())}, metadata

    # to the browser

    def flush(self) -> bool:
        """Tell what changed since the last time. For the pump; says whether it sent anything."""
        if not self.dirty:
            return False
        self.dirty = False  # first: whatever is touched from here on counts for the next time
        with self._lock:
            return self._shown(self._tell_changes)

    def beat(self) -> None:
        """Tell that the kernel is alive. For the pump."""
        with self._lock:
            self.send({"k": "hb", "s": self._seq})

    def _tell_changes(self) -> bool:
        before, self._told = self._told, self._snapshot()
        delta = _delta(before.rows, self._told.rows)
        if delta:
            self._seq += 1
            self.send({"k": "d", "s": self._seq, **delta})
        return bool(delta)

    def _tell_everything(self) -> bool:
        self.send({"k": "snap", **self._everything()})
        return True

    def _everything(self) -> dict[str, Any]:
        seq = self._seq  # before the picture, which may be newer than it but never older
        picture = self._snapshot()
        lines = [] if picture.rows else FIRST_LINES
        return {"s": seq, "title": picture.title, "rows": [wire(row) for row in picture.rows], "lines": lines}

    def _shown(self, work: Callable[[], bool]) -> bool:
        """Run `work`; what goes wrong in it is shown in the widget, for nobody else would see it."""
        try:
            return work()
        except Exception as exc:  # noqa: BLE001  a view that cannot be drawn must not end the pump
            self.send({"k": "error", "text": f"{type(exc).__name__}: {exc}"})
            return True

    # from the browser; ipykernel loses what is raised here

    def _receive(self, _widget: object, content: dict[str, Any], _buffers: object) -> None:
        match content:
            case {"op": "hello"}:
                self.beat()
            case {"op": "resync"}:
                with self._lock:
                    self._shown(self._tell_everything)
            case {"op": "act", "id": str(request), "verb": str(verb), "agent": str(agent)}:
                self._carry_out(request, verb, agent)

    def _carry_out(self, request: str, verb: str, agent: str) -> None:
        """Enqueue the verb and acknowledge it; its end is told when it comes."""
        try:
            check(verb, agent, self._snapshot().rows)
            future = self._act(verb, agent)
        except Exception as exc:  # noqa: BLE001  every refusal belongs beside the button that was pressed
            self._answer(request, exc)
            return
        self.send({"k": "ack", "id": request})
        if future is None:
            self._answer(request, None)
        else:
            future.add_done_callback(lambda done: self._answer(request, _failure(done)))

    def _answer(self, request: str, failure: BaseException | None) -> None:
        self.send({"k": "done", "id": request, "error": str(failure) if failure else None})


def check(verb: str, agent: str, rows: Iterable[Row]) -> None:
    """Whether the browser may ask this now. Raises `BadInput` that says why not."""
    if verb not in VERBS:
        raise BadInput(f"a widget cannot {verb!r}; it can: {', '.join(VERBS)}")
    found = {row.name: row for row in rows}
    if agent not in found:
        raise UnknownAgent(agent, found)
    state = found[agent].state
    if state not in VERBS[verb]:
        raise BadInput(f"{agent} is {state}: there is nothing to {verb}")


def wire(row: Row) -> dict[str, Any]:
    """A row as it travels. JSON has no NaN, so unknown money is null."""
    return {
        name: None if value != value else value for name, value in zip(_FIELDS, _values(row), strict=True)
    }


_FIELDS: Final = tuple(Row.__slots__)
_values: Final = attrgetter(*_FIELDS)


def _delta(before: tuple[Row, ...], after: tuple[Row, ...]) -> dict[str, Any]:
    """What to tell a browser that shows `before`; empty when it need not be told anything."""
    old = {row.name: row for row in before}
    order = [row.name for row in after]
    changed = [wire(row) for row in after if row.name not in old or _differ(old[row.name], row)]
    gone = sorted(old.keys() - set(order))
    moved = order != [row.name for row in before]
    delta = {"u": changed} if changed or moved else {}
    return {**delta, "gone": gone, "order": order} if moved else delta


def _differ(old: Row, new: Row) -> bool:
    return old != new and wire(old) != wire(new)  # NaN differs from itself; null does not


def _failure(future: Future[Any]) -> BaseException | None:
    return BadInput("cancelled before it was done") if future.cancelled() else future.exception()


class _Pump:
    """The one thread that sends for all widgets. It ends when there is none left."""

    def __init__(self) -> None:
        self._change = threading.Condition()
        self._beats: dict[TreeWidget, float] = {}
        """When each widget's next heartbeat is due."""
        self._thread: threading.Thread | None = None

    def add(self, widget: TreeWidget) -> None:
        with self._change:
            self._beats[widget] = time.monotonic()
            self._change.notify()
            if self._thread is None or not self._thread.is_alive():
                self._thread = threading.Thread(target=self._run, name="madrox-widgets", daemon=True)
                self._thread.start()

    def discard(self, widget: TreeWidget) -> None:
        with self._change:
            self._beats.pop(widget, None)
            self._change.notify()

    def wake(self) -> None:
        """Some widget has something to tell."""
        with self._change:
            self._change.notify()

    def _run(self) -> None:
        while widgets := self._wait():
            sent = sum([widget.flush() for widget in widgets]) + self._beat()
            time.sleep(max(PERIOD, sent / CEILING))

    def _wait(self) -> list[TreeWidget]:
        """Until somebody has something to tell or a heartbeat is due. Empty when nobody is left."""
        with self._change:
            while self._beats and not self._dirty():
                rest = min(self._beats.values()) - time.monotonic()
                if rest <= 0:
                    break
                self._change.wait(rest)
            if not self._beats:
                self._thread = None
            return list(self._beats)

    def _dirty(self) -> bool:
        return any(widget.dirty for widget in self._beats)

    def _beat(self) -> int:
        """Send the heartbeats that are due; says how many."""
        now = time.monotonic()
        with self._change:
            due = [widget for widget, at in self._beats.items() if at <= now]
            self._beats.update(dict.fromkeys(due, now + HEARTBEAT))
        for widget in due:
            widget.beat()
        return len(due)


_PUMP: Final = _Pump()
