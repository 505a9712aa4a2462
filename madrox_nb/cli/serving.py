"""`madrox serve`: a madrox of its own, in the foreground, until it is told to end."""

from __future__ import annotations

import contextlib
import errno
import gc
import queue
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

from .. import config
from ..errors import ServerError
from ..run import Run
from ..values import Serving
from .speech import DONE, say, say_json

ENOUGH: Final = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
LOOK_SECONDS: Final = 1.0
"""Between two looks at whether the server still listens."""

NOBODY: Final = """\
Nobody answers here what agents ask: what they may not do unasked is refused. Let them do more
with MADROX_PERMISSIONS=edits, or by a [policy] in madrox.toml; or be there yourself: with
MADROX_ATTENDED=yes other terminals have madrox approvals, approve and deny.
Other terminals have madrox spawn, send, tree, … Ctrl-C ends every agent and this."""


def serve(*, host: str | None, port: int | None, home: Path | None, as_json: bool) -> int:
    """Serve until a signal says that it is enough, and say what ended; Ctrl-C ends every agent.

    SIGTERM and SIGHUP do so too, unless agents are to outlive their owner
    (`on_kernel_death`). Raises `ServerError` for an address that can't be had.
    """
    given: dict[str, Any] = {"host": host, "port": port, "home": home}
    with told_to_end() as told:
        run = Run(**{**given, **_unattended(given)})
        try:
            _introduce(run, _listening(run), as_json)
            while not told.wait(LOOK_SECONDS):
                if not run.server.url:
                    raise ServerError(f"the server ended by itself; {_log(run)} says why")
        finally:
            agents = [agent.name for agent in run.manager.tree.alive()]
            run.close(leave=told.signal not in (None, signal.SIGINT))
        assert told.signal is not None
        with contextlib.suppress(OSError):  # the terminal is gone
            _take_leave(run, told.signal, agents, as_json)
    gc.freeze()  # else Python looks for garbage in all that was loaded, up to a second, before it ends
    return DONE


class Told:
    """Whether it is time to end. `signal` says by what."""

    def __init__(self) -> None:
        self.signal: int | None = None
        self._heard = queue.SimpleQueue[int]()
        """A handler may put something in while its own thread waits, which an Event would not survive."""

    def tell(self, number: int) -> None:
        self.signal = number
        self._heard.put(number)

    def wait(self, seconds: float) -> bool:
        """Wait so long at most; says whether it is time."""
        with contextlib.suppress(queue.Empty):
            self._heard.get(timeout=seconds)
        return self.signal is not None


@contextmanager
def told_to_end() -> Iterator[Told]:
    """Ctrl-C and its like say that it is enough, once: the second one ends the process at once.

    Then the guard, which notices, ends the agents.
    """
    told = Told()
    before = {number: signal.getsignal(number) for number in ENOUGH}

    def handle(number: int, frame: object) -> None:
        for each in ENOUGH:
            signal.signal(each, signal.SIG_DFL)
        told.tell(number)

    for number in ENOUGH:
        signal.signal(number, handle)
    try:
        yield told
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _unattended(given: dict[str, Any]) -> dict[str, str]:
    """A terminal that serves has no place for answers, so nobody is there; unless settings say otherwise."""
    said = config.load(given).sources["attended"] != "default"
    return {} if said else {"attended": "no"}


def _listening(run: Run) -> Serving:
    run.server.strict = True  # in a notebook the next free port will do; here others have the address
    try:
        return run.start(run.serve).result()
    except ServerError as exc:
        if getattr(exc.__cause__, "errno", None) != errno.EADDRINUSE:
            raise
        raise ServerError(f"{exc}. For this once: madrox serve --port N") from exc


def _introduce(run: Run, serving: Serving, as_json: bool) -> None:
    if as_json:
        say_json({"url": serving.url, "token_file": str(serving.token_file), "home": _home(run)})
    else:
        say(f"{serving}\n\n{NOBODY if not run.manager.attended else ''}".rstrip())


def _take_leave(run: Run, number: int, agents: list[str], as_json: bool) -> None:
    left = [agent.name for agent in run.manager.tree.alive()]
    ended = [name for name in agents if name not in left]
    why = "Ctrl-C" if number == signal.SIGINT else signal.Signals(number).name
    kept = f"; left for the next madrox: {_counted(left)}" if left else ""
    if as_json:
        say_json({"ended_by": signal.Signals(number).name, "agents": ended, "left": left})
    else:
        with_it = f", and with it {_counted(ended)}" if ended or left else "; no agent was running"
        say(f"{why}: madrox has ended{with_it}{kept}")


def _counted(names: list[str]) -> str:
    if not names:
        return "no agent"
    return f"{len(names)} agent{'' if len(names) == 1 else 's'} ({', '.join(names)})"


def _home(run: Run) -> str:
    return str(run.config.settings.home)


def _log(run: Run) -> Path:
    return run.config.settings.logs / "madrox.log"
