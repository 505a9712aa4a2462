"""What the live views cost: the dashboard in a real JupyterLab, over more and more agents at work.

    python bench/widgets.py [--rate UPDATES] [--seconds SECONDS] [--json FILE] [AGENTS …]

Browser, JupyterLab, kernel, manager, ledger and one of the agents are real. The others have
no process: `crowd.py` hands their entries to the manager. Frames are counted in the page,
the main thread's processor time is Chromium's own figure, entries are counted in the ledger.
Prints the tables of `docs/bench.md`.
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import psutil

HERE = Path(__file__).parent
TESTS = HERE.parent / "tests"
sys.path.insert(0, str(TESTS))

from lab import (
    KERNEL,
    NO_COMM,
    NO_SUBSHELL,
    TEXT,
    Lab,
    Notebook,
    busy_time,
    chromium,
    found_chromium,
    jupyterlab,
)

COUNTS = (10, 100, 1_000, 5_000)
LISTED = 1_000
"""From so many agents on the list is measured, too."""
CLICKS = 3
VIEWS = 20
"""Dashboards in the notebook that is weighed."""
FPS, MESSAGES = 50, 10
"""The goals: frames a second at least, messages a second to one widget at most."""
SAVES = "@jupyter-widgets/jupyterlab-manager:saveWidgetState"
MINUTE = 60_000
Row = dict[str, Any]

# what a page is told and draws, counted in the page

COUNTING = """(() => {
  const told = (window.told = { frames: 0, bytes: 0, messages: {} });
  const count = () => { told.frames++; requestAnimationFrame(count); };
  requestAnimationFrame(count);
  const Real = WebSocket;
  window.WebSocket = class extends Real {
    constructor(...given) {
      super(...given);
      this.addEventListener("message", ({ data }) => { told.bytes += data.byteLength ?? data.length; });
    }
  };
  addEventListener("click", ({ timeStamp }) => {
    window.clicked = Date.now() - (performance.now() - timeStamp);
  }, true);
})()"""
LISTEN = f"""() => {{ {KERNEL}.iopubMessage.connect((_, {{ header, content }}) => {{
    if (header.msg_type !== "comm_msg" || !["news", "hb"].includes(content.data.content?.k)) return;
    const {{ messages }} = window.told;
    messages[content.comm_id] = (messages[content.comm_id] ?? 0) + 1;
}}) }}"""
TOLD = "() => ({ at: performance.now(), ...structuredClone(window.told) })"

# cells

OPEN = """import sys; sys.path.insert(0, {here!r})
import crowd, time
from madrox_nb import Madrox
%load_ext madrox_nb
m = Madrox(idle_timeout=0, on_kernel_death="kill")
lead = %madrox spawn lead --harness rehearsal
crowd.born(m, {count} - 1)"""
SHOW = "m"
FACTS = "print(crowd.facts(m))"
FEED = "feed = crowd.Feed(m, {count} - 1, {rate})"
ASK = "%madrox send lead --no-wait /slow 4000 0.05"
BLOCK = """try:
    while m.tree["lead"].state == "busy": time.sleep(0.02)
except KeyboardInterrupt: pass"""
CELLS = (OPEN, SHOW, FACTS, FEED, ASK, BLOCK)
OPENED, SHOWN, FOUND, FED, ASKED, BLOCKED = range(6)
SHUT = "() => window.jupyterapp.shell.currentWidget.sessionContext.shutdown()"
HAS_FACTS = f"i => ({TEXT})(i).includes('ledger')"
MANY = """import sys; sys.path.insert(0, {here!r})
import crowd
from madrox_nb import Madrox
runs = [Madrox(home=f"many/{{number}}") for number in range({views})]
for m in runs: crowd.born(m, 9)"""

WAYS = {"its comm": None, "a subshell of the page's own": NO_COMM, "the cell's interrupt": NO_SUBSHELL}
"""By which a click reaches the kernel while a cell blocks; what shuts the one before."""


@dataclass
class Stage:
    """One notebook with a dashboard in it, and the kernel behind it, seen from outside."""

    notebook: Notebook
    facts: Row

    @property
    def page(self) -> Any:
        return self.notebook.page

    @property
    def ledger(self) -> Path:
        return Path(self.facts["ledger"])

    def processor(self) -> dict[str, float]:
        """Seconds of processor time so far: of the kernel, and of the threads that madrox has there."""
        kernel = psutil.Process(self.facts["pid"])
        used = {each.id: each.user_time + each.system_time for each in kernel.threads()}
        mine = {name: used.get(id_, 0.0) for name, id_ in self.facts["threads"].items() if "madrox" in name}
        return {**mine, "kernel": sum(kernel.cpu_times()[:2])}

    def until_idle(self) -> None:
        self.page.wait_for_function(f"{KERNEL}.status === 'idle'", timeout=MINUTE)


@contextmanager
def staged(page: Any, lab: Lab, count: int, rate: float) -> Iterator[Stage]:
    """A notebook whose dashboard shows so many agents, none of which is fed yet."""
    cells = [cell.format(here=str(HERE), count=count, rate=rate) if "{" in cell else cell for cell in CELLS]
    notebook = Notebook(page, lab).open_cells(*cells, name=f"widgets{count}.ipynb")
    page.evaluate("window.jupyterapp.shell.collapseLeft()")
    page.evaluate(LISTEN)
    for cell in (OPENED, SHOWN, FOUND):
        notebook.run(cell)
    page.locator(".mx-graph").first.wait_for(timeout=2 * MINUTE)
    page.wait_for_function(HAS_FACTS, arg=FOUND, timeout=2 * MINUTE)
    yield Stage(notebook, json.loads(notebook.text(FOUND)))
    page.evaluate(SHUT)


# one measurement


def measured(page: Any, seconds: float) -> Row:
    """Frames a second and the main thread's share, over so many seconds; and what was told meanwhile."""
    busy = busy_time(page)
    worked, before = busy(), page.evaluate(TOLD)
    page.wait_for_timeout(seconds * 1000)
    after, worked = page.evaluate(TOLD), busy() - worked
    passed = (after["at"] - before["at"]) / 1000
    each = [number - before["messages"].get(id_, 0) for id_, number in after["messages"].items()]
    return {
        "fps": (after["frames"] - before["frames"]) / passed,
        "page": worked / 1000 / passed,
        "messages": max(each, default=0) / passed,
        "bytes": (after["bytes"] - before["bytes"]) / max(1, sum(each)),
    }


def watched(stage: Stage, seconds: float) -> Row:
    """The same, with the kernel's side of it."""
    began, size, used = time.monotonic(), stage.ledger.stat().st_size, stage.processor()
    found = measured(stage.page, seconds)
    passed, spent = time.monotonic() - began, stage.processor()
    grown = stage.ledger.stat().st_size - size
    share = {name: (spent[name] - used[name]) / passed for name in spent}
    entries = entries_in(stage.ledger, size, size + grown)
    return {**found, "updates": entries / passed, "kernel": share["kernel"], "views": share["madrox-widgets"]}


def entries_in(ledger: Path, begin: int, end: int) -> int:
    with ledger.open("rb") as file:
        file.seek(begin)
        return file.read(end - begin).count(b"\n")


def clicked(stage: Stage, *, blocks: bool) -> float:
    """Milliseconds from a click on Interrupt to the entry in the ledger, with the kernel idle or not."""
    notebook, page = stage.notebook, stage.page
    notebook.run(ASKED)
    button = page.locator(".mx-doing button", has_text="Interrupt")
    button.wait_for(timeout=MINUTE)
    stage.until_idle()
    if blocks:
        notebook.run(BLOCKED)
        page.wait_for_function(f"{KERNEL}.status === 'busy'", timeout=MINUTE)
    size = stage.ledger.stat().st_size
    button.click(timeout=MINUTE)
    button.wait_for(state="hidden", timeout=MINUTE)
    stage.until_idle()
    return ended(stage.ledger, size) - page.evaluate("window.clicked")


def ended(ledger: Path, begin: int) -> float:
    """When the real agent's turn ended, in milliseconds since 1970."""
    with ledger.open("rb") as file:
        file.seek(begin)
        for line in file:
            if b'"turn.ended"' in line and b'"agent":"lead"' in line:
                return datetime.fromisoformat(json.loads(line)["ts"]).timestamp() * 1000
    raise RuntimeError(f"no turn of lead ended in {ledger} after byte {begin}")


def clicks(stage: Stage) -> Row:
    return {
        name: statistics.median(clicked(stage, blocks=blocks) for _ in range(CLICKS))
        for name, blocks in (("idle", False), ("blocked", True))
    }


# all measurements


def crowds(browser: Any, lab: Lab, counts: list[int], rate: float, seconds: float) -> Iterator[Row]:
    """An empty page; then each number of agents: while nothing happens, at work, clicked, saved."""
    empty = opened(browser)
    yield {"kind": "empty", **measured(empty, seconds)}
    empty.close()
    for count in counts:
        page = opened(browser)
        with staged(page, lab, count, rate) as stage:
            yield {"kind": "still", "agents": count, **watched(stage, seconds / 2)}
            stage.notebook.run(FED)
            stage.until_idle()
            for look in ("graph", "list") if count >= LISTED else ("graph",):
                page.get_by_role("button", name=look.title(), exact=True).click(timeout=MINUTE)
                page.wait_for_timeout(1000)  # what it did to change over is not counted
                told = {"agents": count, "look": look, "wanted": rate * (count - 1)}
                yield {"kind": "crowd", **told, **watched(stage, seconds)}
            yield {"kind": "click", "agents": count, **clicks(stage)}
            yield {"kind": "saved", "agents": count, "views": 1, **saved(stage.notebook)}
        page.close()


def ways(browser: Any, lab: Lab) -> Iterator[Row]:
    """A click while a cell blocks, as one way to the kernel after the other is shut."""
    page = opened(browser)
    with staged(page, lab, 1, 1) as stage:
        for way, shut in WAYS.items():
            if shut:
                page.evaluate(shut)
            took = statistics.median(clicked(stage, blocks=True) for _ in range(CLICKS))
            yield {"kind": "way", "way": way, "ms": took}
    page.close()


def many(browser: Any, lab: Lab) -> Iterator[Row]:
    """What a notebook weighs that shows the dashboards of so many runs."""
    page = opened(browser)
    cells = [MANY.format(here=str(HERE), views=VIEWS), *(f"runs[{number}]" for number in range(VIEWS))]
    notebook = Notebook(page, lab).open_cells(*cells, name="many.ipynb")
    notebook.run_all()
    page.wait_for_function(f"document.querySelectorAll('.madrox').length === {VIEWS}", timeout=2 * MINUTE)
    page.wait_for_function(f"{KERNEL}.status === 'idle'", timeout=MINUTE)
    yield {"kind": "saved", "agents": 10, "views": VIEWS, **saved(notebook)}
    page.evaluate(SHUT)
    page.close()


def saved(notebook: Notebook) -> Row:
    """Kilobytes of the notebook as it is saved, and with the widgets' state in it."""
    found = {}
    for name in ("plain_kb", "state_kb"):
        notebook.page.evaluate("() => window.jupyterapp.commands.execute('docmanager:save')")
        found[name] = notebook.path.stat().st_size / 1000
        notebook.page.evaluate(f"() => window.jupyterapp.commands.execute('{SAVES}')")
    return found


def opened(browser: Any) -> Any:
    page = browser.new_page(viewport={"width": 1280, "height": 1100})
    page.add_init_script(COUNTING)
    page.goto("about:blank")
    return page


# the tables of docs/bench.md


def tables(rows: list[Row]) -> str:
    of = {kind: [row for row in rows if row["kind"] == kind] for kind in {row["kind"] for row in rows}}
    [empty] = of["empty"]
    heads = "| agents | frames a second, of an empty page's | main thread | messages a second, each "
    told = [
        f"An empty page: {empty['fps']:.0f} frames a second, main thread {_share(empty['page'])}.",
        "",
        heads + "| updates a second | kernel, of it the views | |",
        "|---|---|---|---|---|---|---|",
        *(_still(row, empty) for row in of["still"]),
        *(_crowd(row, empty) for row in of["crowd"]),
        "",
        "| click on *Interrupt*, until it is in the ledger | kernel idle | while a cell blocks |",
        "|---|---|---|",
        *(
            f"| {row['agents']:,} agents at work | {row['idle']:,.0f} ms | {row['blocked']:,.0f} ms |"
            for row in of["click"]
        ),
        *(f"| by {row['way']} | | {row['ms']:.0f} ms |" for row in of["way"]),
        "",
        "| notebook | saved | with the widgets' state |",
        "|---|---|---|",
        *(_saved(row) for row in of["saved"]),
    ]
    return "\n".join(told)


def _still(row: Row, empty: Row) -> str:
    return f"| {row['agents']:,}, nothing happens {_page(row, empty)} | | {_kernel(row)} | |"


def _crowd(row: Row, empty: Row) -> str:
    met = row["fps"] >= FPS and row["messages"] <= MESSAGES
    updates = f"{row['updates']:,.0f} of {row['wanted']:,.0f}"
    said = "met" if met else "**missed**"
    return f"| {row['agents']:,}, {row['look']} {_page(row, empty)} | {updates} | {_kernel(row)} | {said} |"


def _page(row: Row, empty: Row) -> str:
    ratio = row["fps"] / empty["fps"]
    each = f"{row['messages']:.1f} of {row['bytes'] / 1000:,.0f} KB"
    return f"| {row['fps']:.0f} ({ratio:.2f} ×) | {_share(row['page'])} | {each}"


def _kernel(row: Row) -> str:
    return f"{_share(row['kernel'])}, {_share(row['views'])}"


def _share(part: float) -> str:
    return f"{part * 100:.0f} %"


def _saved(row: Row) -> str:
    views = f"{row['views']} dashboard{'s' * (row['views'] > 1)}, {row['agents']:,} agents"
    return f"| {views} | {row['plain_kb']:,.0f} KB | {row['state_kb']:,.0f} KB |"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("agents", nargs="*", type=int, help=f"how many agents (default: {COUNTS})")
    parser.add_argument("--rate", type=float, default=20, help="updates a second of each agent")
    parser.add_argument("--seconds", type=float, default=6, help="how long each is watched")
    parser.add_argument("--json", type=Path, help="also write the rows there")
    chosen = parser.parse_args()
    found = found_chromium()
    if found is None:
        print("no Chromium: the views are not measured (apt install chromium)")
        return
    print(
        f"{os.cpu_count()} processors, load {os.getloadavg()[0]:.1f}, {datetime.now(UTC):%Y-%m-%d}",
        flush=True,
    )
    rows = []
    with (
        tempfile.TemporaryDirectory(prefix="madrox-bench-") as home,
        jupyterlab(Path(home)) as lab,
        chromium(found) as browser,
    ):
        crowd = crowds(browser, lab, chosen.agents or list(COUNTS), chosen.rate, chosen.seconds)
        for row in itertools.chain(crowd, ways(browser, lab), many(browser, lab)):
            print(
                ", ".join(f"{k} {v:,.2f}" if isinstance(v, float) else f"{v}" for k, v in row.items()),
                flush=True,
            )
            rows.append(row)
    print(f"\n{tables(rows)}")
    if chosen.json:
        chosen.json.write_text(json.dumps(rows, indent=1) + "\n")


if __name__ == "__main__":
    main()
