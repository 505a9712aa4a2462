"""The Python half of the widgets: shows parts, sends verbs.

A widget owns no facts. It looks at the parts that its pages want (`parts`), tells them
what is different from the last time, and hands verbs on (`parts.verbs`). One thread pumps
for all of them. The protocol is written down in `docs/widgets.md`.
"""

from __future__ import annotations

import hashlib
import logging
import secrets
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace
from functools import cache, partial
from typing import TYPE_CHECKING, Any, Final
from weakref import WeakValueDictionary

import anywidget
from traitlets import Dict, Unicode

from .display import kernel
from .errors import BadInput, MadroxError
from .library import static
from .parts import SHOWS, Data, Part, found, parts, topics
from .parts.moment import Moment, Watch
from .parts.verbs import check
from .pump import PUMP
from .saved import LARGEST, Saved
from .subscriptions import Subscription, Subscriptions

if TYPE_CHECKING:
    from .run import Run

log = logging.getLogger(__name__)

MAIN: Final = "widget"
"""The library that draws; the page asks for the others when it needs them."""
LATELY: Final = 100
"""Requests remembered, so that none is carried out twice."""
LIBRARIES: Final = (MAIN, "uplot", "xterm")
LOADING: Final = 0.3
"""Seconds after which a page is told how far the ledger is read, and between two such messages."""


class Dropped(MadroxError):
    """Whoever asked has gone on to something else."""


class LiveView(anywidget.AnyWidget):
    """A live view of a run: the dashboard, or one part of it (`SHOWS`).

    Folds are looked at on the pump's thread and on the kernel's comm threads, never on
    the manager's loop. Raises `BadInput` when there is nothing of that name to show.
    """

    _esm = static("loader.js")
    _shows = Unicode().tag(sync=True)
    _agent = Unicode().tag(sync=True)
    _build = Unicode().tag(sync=True)
    """Which libraries these are: a page that has them already asks for nothing."""
    _key = Unicode().tag(sync=True)
    """Names this widget where its comm is not heard."""
    _snap = Dict().tag(sync=True)
    """Filled in by `get_state` only, so that a reloaded page gets the present."""
    _text = Unicode().tag(sync=True)
    """The same as text, for a page that can't draw it. Filled in like `_snap`."""

    def __init__(self, run: Run, shows: str = "dashboard", agent: str = "") -> None:
        always = topics(shows, agent)
        if agent:
            run.manager.tree[agent]  # or it is unknown
        self._run = run
        self._lock = threading.Lock()
        self._wanted = Subscriptions(always)
        self._carried: deque[str] = deque(maxlen=LATELY)
        self._awaited: set[str] = set()
        """Questions that somebody waits for."""
        self._text_of = (parts()[SHOWS[shows][-1]], agent if ":" in always[-1] else "")
        self._saved = Saved(lambda: self._repr_mimebundle_()[0], self._static)
        super().__init__(_shows=shows, _agent=agent, _build=build(), _key=secrets.token_hex(8))
        self.on_msg(self._receive)
        self._send_library(MAIN, "")
        _LIVE[self._key] = self
        PUMP.add(self)

    @property
    def dirty(self) -> bool:
        return any(each.dirty for each in self._wanted)

    def touch(self, names: Iterable[str], *, only_of_agents: bool = False) -> None:
        """Something happened to these agents. Cheap, and callable from any thread.

        `only_of_agents`: it shows nowhere but in what is about one of them.
        """
        named = frozenset(names)
        for each in self._wanted:
            if (each.subject or not only_of_agents) and each.touch(named):
                PUMP.wake()

    def glance(self) -> bool:
        """Look for what no event tells of; says whether to do so again. For the pump."""
        moment = self._run.moment()
        return sum(each.glance(moment) for each in self._wanted) > 0

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
        PUMP.discard(self)
        self._awaited.clear()
        with self._lock:
            super().close()
        self.layout.close()

    def get_state(self, key: Any = None, drop_defaults: bool = False) -> dict[str, Any]:
        state: dict[str, Any] = super().get_state(key, drop_defaults)
        if key is None:
            with self._lock:
                self._tell_changes(self._wanted)
                told = [self._shown(each, each.told) for each in self._wanted]
            state |= {"_snap": {"t": told}, "_text": self._static()["text/plain"]}
        return state

    def _repr_mimebundle_(self, **kwargs: Any) -> tuple[dict[str, Any], dict[str, Any]]:
        data, metadata = super()._repr_mimebundle_(**kwargs) or ({}, {})
        return {**data, **self._static()}, metadata

    def __repr__(self) -> str:
        """What it shows, for a terminal."""
        return self._static()["text/plain"]

    def _ipython_display_(self) -> None:
        """Shown under an id, so that it can be frozen at the end of the run; at a terminal, as text."""
        if kernel() is None:
            raise NotImplementedError
        self._saved.show()

    def freeze(self) -> None:
        """The run is over: where the view is shown, its text and HTML take its place."""
        self._awaited.clear()  # a kernel that ends waits for no reading
        self._saved.freeze()

    def _static(self) -> dict[str, str]:
        """What a notebook keeps when no kernel, script or trust is left."""
        part, agent = self._text_of
        moment = self._run.moment()
        return {"text/plain": part.plain(moment, agent), "text/html": part.html(moment, agent)}

    # to the browser

    def flush(self) -> bool:
        """Tell what changed since the last time, in one message. For the pump."""
        if not self.dirty:
            return False
        with self._lock:
            return self._tell_changes(each for each in self._wanted if each.dirty)

    def beat(self) -> None:
        """Tell that the kernel is alive, and how many changes were told of each topic.

        Who is silent changes by time alone, so the agents are looked at again, too.
        """
        if (rows := self._wanted["rows"]) is not None:
            rows.age()
        with self._lock:
            self.send({"k": "hb", "s": self._wanted.seqs, "now": time.time()})

    def _tell_changes(self, of: Iterable[Subscription]) -> bool:
        if self.comm is None:
            return False
        return self._tell([self._shown(each, each.change) for each in of])

    def _tell(self, news: list[dict[str, Any] | None]) -> bool:
        told = [each for each in news if each]
        if told:
            self.send({"k": "news", "t": told})
        return bool(told)

    def _shown(self, each: Subscription, work: Callable[..., dict[str, Any] | None]) -> dict[str, Any] | None:
        """What to tell of a topic; what goes wrong is told too, for nobody else would see it."""
        moment = self._run.moment()
        try:
            return work(lambda part, *at: _look(part, moment, *at))
        except MadroxError as exc:
            return {"t": each.topic, "s": each.seq, "error": str(exc)}
        except Exception as exc:  # a part that can't be drawn must not end the pump
            log.exception("%s can't be drawn", each.topic)
            return {"t": each.topic, "s": each.seq, "error": f"{type(exc).__name__}: {exc}"}

    # from the browser; ipykernel loses what is raised here

    def _receive(self, _widget: object, content: Mapping[str, Any], _buffers: object) -> None:
        match content:
            case {"op": "hello"}:
                self.beat()
            case {"op": "want", "page": str(page), "topics": [*topics]}:
                self._want(page, topics)
            case {"op": "resync", "topics": [*topics]}:
                with self._lock:
                    wanted = [each for each in self._wanted if each.topic in topics]
                    self._tell([self._shown(each, each.everything) for each in wanted])
            case {"op": "act", "id": str(request), "verb": verb, "agent": agent, **rest}:
                self._carry_out(request, verb, agent, rest.get("given") or {})
            case {"op": "ask", "id": str(request), "topic": topic, "what": what, **rest}:
                self._awaited.add(request)
                _answering().submit(
                    self._answer, request, lambda: self._asked(request, topic, what, rest.get("given") or {})
                )
            case {"op": "drop", "id": str(request)}:
                self._awaited.discard(request)
            case {"op": "keep", "id": str(request)}:
                _answering().submit(self._answer, request, self._kept)
            case {"op": "library", "id": str(request), "name": str(name)}:
                self._send_library(name, request)

    def _want(self, page: str, topics: list[Any]) -> None:
        with self._lock:
            new: list[dict[str, Any] | None] = []
            known = {each.topic for each in self._wanted}
            good = []
            for topic in map(str, topics):
                try:
                    found(topic)
                    good.append(topic)
                except BadInput as exc:
                    new.append({"t": topic, "s": 0, "error": str(exc)})
            for each in self._wanted.want(page, good):
                # who has it already hears it again: this page may not
                new.append(self._shown(each, each.told if each.topic in known else each.everything))
            self._tell(new)

    def _carry_out(self, request: str, verb: object, agent: object, given: Mapping[str, Any]) -> None:
        """Enqueue the verb, once, and acknowledge it; its end is told when it comes."""
        with self._lock:  # it may come by two ways, on two threads
            if request in self._carried:
                return
            self._carried.append(request)
        try:
            asked, name, texts = check(verb, agent, given, self._run.manager.tree)
            future = asked.carry_out(self._run, name, texts)
        except Exception as exc:  # noqa: BLE001  every refusal belongs beside the button that was pressed
            self._done(request, exc)
            return
        self.send({"k": "ack", "id": request})
        future.add_done_callback(lambda done: self._done(request, _failure(done)))

    def _done(self, request: str, failure: BaseException | None) -> None:
        self.send({"k": "done", "id": request, "error": str(failure) if failure else None})

    def _answer(self, request: str, question: Callable[[], Any]) -> None:
        try:
            data = question()
        except Exception as exc:  # noqa: BLE001  the page that asked shows it
            self.send({"k": "answer", "id": request, "error": str(exc)})
        else:
            self.send({"k": "answer", "id": request, "data": data})
        finally:
            self._awaited.discard(request)

    def _watch(self, request: str) -> Watch:
        """Tells how far the ledger is read, once that takes long, and ends it when nobody waits any more."""
        due = time.monotonic() + LOADING

        def watch(read: int, of: int) -> None:
            nonlocal due
            if request not in self._awaited:
                raise Dropped("nobody waits for this moment any more; what was read is kept")
            if time.monotonic() >= due:
                due = time.monotonic() + LOADING
                self.send({"k": "reading", "id": request, "read": read, "of": of})

        return watch

    def _asked(self, request: str, topic: object, what: object, given: Mapping[str, Any]) -> Any:
        part, subject = found(str(topic))
        if what not in part.asks:
            raise BadInput(f"{part.name} has no answer to {what!r}; it has: {', '.join(part.asks) or 'none'}")
        moment = self._run.moment()
        watched = replace(moment, past=partial(moment.past, watch=self._watch(request)))
        return part.asks[str(what)](watched, subject, given)

    def _kept(self) -> dict[str, Any]:
        data = self._static()
        if (size := sum(map(len, data.values()))) > LARGEST:
            raise BadInput(f"{size:,} characters are too many to be told; the limit is {LARGEST:,}")
        return {"model": self.model_id, "data": data}

    def _send_library(self, name: str, request: str) -> None:
        """Send a library's code. One that the page does not know of is not sent."""
        if name in LIBRARIES:
            self.send({"k": "library", "id": request, "name": name}, buffers=[code(name)])


_LIVE: Final[WeakValueDictionary[str, LiveView]] = WeakValueDictionary()


def pressed(key: str, request: str, verb: str, agent: str = "") -> None:
    """What a page wants whose comm nobody hears, because a cell blocks: see `widgets/src/detour.ts`."""
    if (view := _LIVE.get(key)) is not None:
        view._carry_out(request, verb, agent, {})


def _look(part: Part, moment: Moment, subject: str, before: Data | None, names: frozenset[str]) -> Data:
    return part.look(moment, subject) if before is None else part.again(moment, subject, before, names)


def _failure(future: Future[Any]) -> BaseException | None:
    return BadInput("cancelled before it was done") if future.cancelled() else future.exception()


@cache
def code(library: str) -> bytes:
    """What a library is made of."""
    return static(f"{library}.js").read_bytes()


@cache
def build() -> str:
    """Short for the code of all libraries together."""
    return hashlib.sha256(b"".join(map(code, LIBRARIES))).hexdigest()[:16]


@cache
def _answering() -> ThreadPoolExecutor:
    """Answers read files: not on the thread that hears all widgets, nor behind one that reads a long run."""
    return ThreadPoolExecutor(max_workers=8, thread_name_prefix="madrox-answers")
