"""A real JupyterLab on loopback, and a notebook in it as a real Chromium shows it."""

from __future__ import annotations

import os
import secrets
import shutil
import socket
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cells import notebook_of
from groups import FLAGS

QUIET = '{"fetchNews": "false", "checkForUpdates": false}'


@dataclass(frozen=True)
class Lab:
    url: str
    token: str
    root: Path
    log: Path
    """What the server and its kernels say."""


def found_chromium() -> str | None:
    """Where this machine has a browser, if it has one."""
    names = ("chromium", "chromium-browser", "google-chrome")
    return next(filter(None, map(shutil.which, names)), None)


@contextmanager
def chromium(path: str) -> Iterator[Any]:
    """A browser without windows."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=FLAGS, headless=True)
        yield browser
        browser.close()


def busy_time(page: Any) -> Callable[[], float]:
    """Milliseconds of processor time that the page's main thread has worked."""
    session = page.context.new_cdp_session(page)
    session.send("Performance.enable", {"timeDomain": "threadTicks"})

    def busy() -> float:
        metrics = session.send("Performance.getMetrics")["metrics"]
        return next(float(each["value"]) for each in metrics if each["name"] == "TaskDuration") * 1000

    return busy


@contextmanager
def jupyterlab(home: Path) -> Iterator[Lab]:
    """JupyterLab with directories of its own; ready when it says so."""
    root = home / "root"
    root.mkdir()
    settings = home / "settings/@jupyterlab/apputils-extension"
    settings.mkdir(parents=True)
    (settings / "notification.jupyterlab-settings").write_text(QUIET)
    token = secrets.token_hex(16)
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    places = {
        "JUPYTER_CONFIG_DIR": "config",
        "JUPYTER_DATA_DIR": "data",
        "JUPYTER_RUNTIME_DIR": "runtime",
        "IPYTHONDIR": "ipython",
        "JUPYTERLAB_SETTINGS_DIR": "settings",
        "JUPYTERLAB_WORKSPACES_DIR": "workspaces",
        "XDG_STATE_HOME": "state",
    }
    env = {
        **os.environ,
        **{name: str(home / folder) for name, folder in places.items()},
        "ORCHESTRATOR_PORT": "0",
    }
    argv = [
        sys.executable,
        "-m",
        "jupyterlab",
        "--no-browser",
        "--allow-root",
        "--ip=127.0.0.1",
        f"--port={port}",
    ]
    argv += [
        "--ServerApp.port_retries=0",
        f"--IdentityProvider.token={token}",
        f"--ServerApp.root_dir={root}",
    ]
    argv += ["--LabApp.expose_app_in_browser=True", "--LabApp.news_url="]
    argv += ["--JupyterNotebookApp.expose_app_in_browser=True"]  # the same server shows both
    argv += ["--LabApp.check_for_updates_class=jupyterlab.NeverCheckForUpdate"]
    with subprocess.Popen(
        argv, env=env, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
    ) as server:
        assert server.stderr
        said = []
        for line in server.stderr:
            said.append(line)
            if f"127.0.0.1:{port}/lab" in line:
                break
        else:
            raise RuntimeError("JupyterLab did not start:\n" + "".join(said[-30:]))
        log = home / "lab.log"
        with log.open("w") as file:
            drain = subprocess.Popen(["cat"], stdin=server.stderr, stdout=file)
        yield Lab(f"http://127.0.0.1:{port}", token, root, log)
        server.terminate()
        drain.terminate()


KERNEL = "window.jupyterapp.shell.currentWidget.sessionContext.session.kernel"
NO_COMM = f"() => {{ {KERNEL}.commsOverSubshells = 'disabled' }}"
"""On such a page nobody hears a widget's comm while a cell blocks."""
NO_SUBSHELL = f"""() => {{ const kernel = Object.getPrototypeOf({KERNEL});
    kernel.requestCreateSubshell = () => ({{ done: Promise.reject(new Error('none')) }}) }}"""

QUICK_HEART = "from madrox_nb import pump; pump.HEARTBEAT = 1.0"
"""With it a kernel gives a sign of life each second."""
QUICK_EARS = """(() => { const was = window.setTimeout;
    const sooner = after => after > 3000 ? after / 3 : after;
    window.setTimeout = (work, after, ...given) => was(work, sooner(after), ...given) })()"""
"""A page that begins with it waits for one, as for all that takes long, a third of the usual time."""

IDLE = """path => { const open = window.jupyterapp?.shell.currentWidget;
    return open?.context?.path === path && open.sessionContext.session?.kernel?.status === 'idle' }"""
OPEN = """async path => { const app = window.jupyterapp;
    for (const open of [...app.shell.widgets('main')].filter(each => each.sessionContext)) {
        open.sessionContext.shutdown();
        open.dispose() }
    const { id } = await app.commands.execute('docmanager:open', { path });
    app.shell.activateById(id) }"""
STATUS = """() => { const open = window.jupyterapp?.shell.currentWidget;
    const { status, connectionStatus } = open?.sessionContext?.session?.kernel ?? {};
    return `${open?.context?.path}: kernel ${status}, ${connectionStatus}` }"""
LINES = 40
"""How much of what was said is shown when no kernel comes."""

RUN = """i => { const app = window.jupyterapp; app.shell.currentWidget.content.activeCellIndex = i;
               app.commands.execute('notebook:run-cell'); return null }"""
DONE = "i => window.jupyterapp.shell.currentWidget.content.widgets[i].model.executionCount"
TEXT = "i => window.jupyterapp.shell.currentWidget.content.widgets[i].outputArea.node.innerText"


class Notebook:
    """A notebook open in the browser, in a directory of its own, driven by JupyterLab's own commands.

    `face` is the page that shows it: JupyterLab's `lab/tree`, or Jupyter Notebook's `notebooks`.
    """

    def __init__(self, page: Any, lab: Lab, face: str = "lab/tree") -> None:
        self.page, self.lab, self.face = page, lab, face
        self.place = Path(tempfile.mkdtemp(prefix="place-", dir=lab.root))
        self.path = self.place
        self.said: list[str] = []
        page.on("console", lambda message: self.said.append(message.text))

    @property
    def name(self) -> str:
        """What JupyterLab calls it."""
        return str(self.path.relative_to(self.lab.root))

    def open(self, path: Path) -> Notebook:
        """On a page that shows JupyterLab already it takes the place of what is open there."""
        self.path = path
        if self.page.url.startswith(f"{self.lab.url}/lab"):
            self.page.evaluate(OPEN, self.name)
        else:
            self.page.goto(f"{self.lab.url}/{self.face}/{self.name}?reset&token={self.lab.token}")
        self._until_idle()
        return self

    def _until_idle(self) -> None:
        from playwright.sync_api import TimeoutError as TooLate

        try:
            self.page.wait_for_function(IDLE, arg=self.name, timeout=90_000)
        except TooLate as late:
            late.add_note(self._state())
            raise

    def _state(self) -> str:
        """What can be said of a notebook whose kernel does not come."""
        log = self.lab.log.read_text().splitlines()
        return "\n".join([self.page.evaluate(STATUS), *self.said[-LINES:], *log[-LINES:]])

    def open_cells(self, *cells: str, name: str = "t.ipynb", kernel: str = "python3") -> Notebook:
        import nbformat

        made = notebook_of(cells)
        made.metadata["kernelspec"] = {"name": kernel, "display_name": kernel, "language": "python"}
        nbformat.write(made, self.place / name)
        return self.open(self.place / name)

    def run(self, cell: int) -> None:
        """Start a cell; does not wait for it."""
        self.page.evaluate(RUN, cell)

    def until_done(self, cell: int) -> None:
        """Until a cell has ended. A kernel's status does not tell that: its subshells change it, too."""
        self.page.wait_for_function(DONE, arg=cell, timeout=60_000)

    def run_all(self) -> None:
        self.page.evaluate(
            "() => { window.jupyterapp.commands.execute('notebook:run-all-cells'); return null }"
        )

    def text(self, cell: int) -> str:
        return self.page.evaluate(TEXT, cell)

    def theme(self, name: str) -> None:
        self.page.evaluate(
            "name => window.jupyterapp.commands.execute('apputils:change-theme', {theme: name})", name
        )
        self.page.wait_for_function("name => document.body.dataset.jpThemeName === name", arg=name)
        self.page.wait_for_selector("#jupyterlab-splash", state="detached")

    def fit(self, width: int, height: int = 1400) -> None:
        """Make the first widget so many pixels wide."""
        self.page.evaluate("window.jupyterapp.shell.collapseLeft()")
        size = "() => document.querySelector('.madrox').getBoundingClientRect().width"
        wide = self.page.viewport_size["width"]
        for _ in range(3):  # the page lays itself out when it has its new size
            lacking = round(width - self.page.evaluate(size))
            if not lacking and self.page.viewport_size["height"] == height:
                return
            wide += lacking
            self.page.set_viewport_size({"width": wide, "height": height})
            self.page.wait_for_function(
                "() => new Promise(done => setTimeout(() => requestAnimationFrame(() => done(true)), 100))"
            )
