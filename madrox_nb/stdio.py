"""`madrox mcp` as a process: who serves its client, and when it ends.

It serves what a running kernel of this user serves. Where none runs it opens a manager of
its own, whose agents end with it. It ends when its client closes our input or is gone.
"""

from __future__ import annotations

import os
import signal
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, Final

from .bridge import Bridge, tell
from .errors import NotRunning

if TYPE_CHECKING:
    from .config import Config
    from .run import Run
    from .runtime import Running

LOOK_SECONDS: Final = 1.0
"""Between two looks for the parent process."""
REFUSED: Final = 2


class Nearest:
    """The kernel that is meant, or a manager of our own, as `bridge.Servers`."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._known: Running | None = None
        self._before: Running | None = None
        self._run: Run | None = None

    def current(self) -> Running:
        """Where requests go. The first call may open a manager, which takes a second or two."""
        with self._lock:
            if self._known is None:
                self._known = self._found()
            return self._known

    def lost(self, server: Running) -> None:
        with self._lock:
            if self._known == server:
                self._known = None

    def close(self) -> None:
        """End our own manager and its agents, if there is one."""
        with self._lock:
            if self._run is not None:
                self._run.close()

    def _found(self) -> Running:
        from . import config, runtime

        if self._run is not None:
            return self._serving(self._run)
        loaded = config.load()
        home = loaded.settings.home
        found = runtime.find(home, lasting=True)
        if found is not None and (found.home == str(home) or loaded.sources["home"] == "default"):
            self._before = found
            tell(f"serving what the process {found.pid} runs, home {found.home}")
            return found
        if self._before is not None:
            raise NotRunning(
                f"the kernel that was served here is gone (process {self._before.pid}, home "
                f"{self._before.home}). Start it again and run %madrox serve; the next call finds it"
            )
        return self._opened(loaded)

    def _opened(self, loaded: Config) -> Running:
        """A manager of our own. Where it can't write into the working directory, its home is the user's."""
        from .run import Run

        elsewhere: dict[str, Any] = {}
        if loaded.sources["home"] == "default" and (str(Path.cwd()) == "/" or not os.access(".", os.W_OK)):
            import platformdirs

            elsewhere = {"home": platformdirs.user_data_path("madrox_nb")}
        run = Run(**elsewhere)
        run.server.lasting = False
        self._run = run
        tell(f"no kernel runs; serving agents of its own, home {run.config.settings.home}")
        return self._serving(run)

    def _serving(self, run: Run) -> Running:
        run.portal.call(run.url)
        return run.server.described()


def main() -> int:
    """Serve the client that started this process, until it closes our input or is gone."""
    if agent := os.environ.get("MADROX_AGENT"):
        # it would get the person's token, and with it more than it may
        tell(f"{agent.rpartition('/')[2]} is an agent and has the madrox tools by a token of its own")
        return REFUSED
    lines, output = _ends()
    here = os.getpid()
    try:
        Path.cwd()
    except FileNotFoundError:  # it was removed: nobody below has to think of that
        os.chdir("/")

    def leave(*_: object) -> None:
        raise SystemExit(0)

    signal.signal(signal.SIGTERM, leave)
    if not os.isatty(lines.fileno()):
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # it is meant for the client, which stays
    servers = Nearest()
    bridge = Bridge(servers, output, lambda: os.kill(here, signal.SIGTERM))
    threading.Thread(target=_end_with, args=(os.getppid(),), daemon=True).start()
    try:
        bridge.serve(lines)
    except (SystemExit, KeyboardInterrupt):
        pass
    finally:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)  # we are about to
        bridge.close()
        servers.close()
    return 0


def _ends() -> tuple[BinaryIO, BinaryIO]:
    """Our input and output as the protocol's alone: whatever prints here does not reach the client."""
    lines, output = os.fdopen(os.dup(0), "rb"), os.fdopen(os.dup(1), "wb")
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.close(nothing)
    os.dup2(2, 1)
    return lines, output


def _end_with(parent: int) -> None:
    """End this process when the one that started it is gone, even if somebody else holds our input open."""
    never = threading.Event()
    while os.getppid() == parent:
        never.wait(LOOK_SECONDS)
    os.kill(os.getpid(), signal.SIGTERM)
