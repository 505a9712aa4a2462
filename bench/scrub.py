"""A step into the past of a run of 10,000 events: in the kernel, and in a real browser.

    python bench/scrub.py [--json FILE]

The kernel's part is the question that a dashboard asks for each moment (the agents, the
costs, one conversation), answered and serialised. The page's part is from the key to the
picture, with all that the kernel answers at hand. Processor time counts on both sides,
because the machine is shared: in the page that of its main thread.
"""

from __future__ import annotations

import argparse
import base64
import json
import random
import statistics
import sys
import tempfile
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

TESTS = Path(__file__).parents[1] / "tests"
sys.path.insert(0, str(TESTS))

from lab import busy_time, chromium, found_chromium
from long_run import long_run
from run import ROWS, report
from test_time_parts import Run

from madrox_nb.cost_history import CostHistory
from madrox_nb.density import Density
from madrox_nb.library import static
from madrox_nb.parts import parts
from madrox_nb.spans import Spans

EVENTS = 10_000
STEPS = 300
GOAL = 50.0
"""Milliseconds of a step."""
TOPICS = ["rows", "costs", "conversation:lead.2.3", "slider", "timeline"]

PAGE = """<!doctype html><meta charset="utf-8"><body><div id="host"></div><script type="module">
const { topics, answers, code } = DATA;
const listeners = new Set();
const tell = (message) => { for (const listener of [...listeners]) listener(message); };
const library = Uint8Array.from(atob(code), (each) => each.charCodeAt(0));
const model = {
  get: (key) => ({ _snap: { t: topics }, _shows: "dashboard", _agent: "" })[key],
  on: (_, listener) => listeners.add(listener),
  off: (_, listener) => listeners.delete(listener),
  send: (said) => said.op === "ask" && said.topic === "slider" &&
    queueMicrotask(() => tell({ k: "answer", id: said.id, data: answers[said.given.at] })),
};
const address = URL.createObjectURL(new Blob([library], { type: "text/javascript" }));
const widget = (await import(address)).default();
const life = new AbortController();
widget.initialize({ model, signal: life.signal });
widget.render({ model, el: document.getElementById("host"), signal: life.signal });
tell({ k: "hb", s: {}, now: Date.now() / 1000 });
const frame = () => new Promise(requestAnimationFrame);
window.press = async (element, keys) => {
  for (const key of keys) {
    document.querySelector(element).dispatchEvent(new KeyboardEvent("keydown", { key, bubbles: true }));
    await frame();
    await frame();
  }
};
window.ready = true;
</script>"""


def answer(moment: Any, seq: int) -> str:
    return json.dumps(parts()["slider"].asks["at"](moment, "", {"at": seq, "topics": TOPICS}))


def timed(moment: Any, seqs: Iterable[int]) -> list[float]:
    """Milliseconds of processor time for each of these moments, one after the other."""
    took = []
    for seq in seqs:
        began = time.process_time()
        answer(moment, seq)
        took.append((time.process_time() - began) * 1000)
    return took


def told(name: str, took: list[float], goal: float = GOAL) -> None:
    ninety = statistics.quantiles(took, n=20)[18]
    report(name, statistics.median(took), goal, "ms", p95=round(ninety, 1), worst=round(max(took), 1))


def kernel(moment: Any) -> None:
    told("step back, kernel", timed(moment, range(9000, 9000 - STEPS, -1)))
    told("step forth, kernel", timed(moment, range(3000, 3000 + STEPS)))
    told("jump anywhere, kernel", timed(moment, random.Random(1).sample(range(EVENTS), STEPS)))


def folding(entries: list[Any]) -> None:
    """The least of several times: what else the machine does only adds to it."""
    for kind in (Spans, Density, CostHistory):
        took = []
        for _ in range(7):
            began = time.process_time()
            kind.replay(entries)
            took.append((time.process_time() - began) / len(entries) * 1e6)
        report(f"{kind.__name__}, an event", min(took), 5.0, "µs", median=round(statistics.median(took), 1))


def browser(moment: Any) -> None:
    """The same in Chromium, where there is one."""
    found = found_chromium()
    if found is None:
        print("no Chromium: the page's part is not measured (apt install chromium)")
        return
    window = {"since": 0, "until": 4e9, "step": 0.01}
    timeline = {
        **parts()["timeline"].look(moment, ""),
        **parts()["timeline"].asks["window"](moment, "", window),
    }
    snaps = {"rows": None, "costs": None, "slider": None, "conversation:lead.2.3": None, "timeline": timeline}
    for topic in snaps:
        part, _, agent = topic.partition(":")
        snaps[topic] = snaps[topic] or parts()[part].look(moment, agent)
    first, steps = EVENTS - 2, range(EVENTS - 2, EVENTS - 2 - 100, -1)
    given = {
        "topics": [{"t": topic, "s": 0, "snap": snap} for topic, snap in snaps.items()],
        "answers": {seq: json.loads(answer(moment, seq)) for seq in steps},
        "code": base64.b64encode(static("widget.js").read_bytes()).decode(),
    }
    with chromium(found) as chrome:
        page = chrome.new_page(viewport={"width": 1140, "height": 1000})
        page.set_content(PAGE.replace("DATA", json.dumps(given).replace("</", "<\\/")))
        page.wait_for_function("window.ready")
        busy = busy_time(page)
        for name, element, keys, goal in (
            ("step back, from key to picture, page", ".mx-track", ["ArrowLeft"] * (first - steps[-1]), GOAL),
            (f"a frame of {len(timeline['bars']):,} bars, page", "canvas", ["+", "-"] * 30, 16.7),
        ):
            before = busy()
            page.evaluate("([element, keys]) => window.press(element, keys)", [element, keys])
            report(name, (busy() - before) / len(keys), goal, "ms", steps=len(keys))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--json", type=Path, help="also write the rows there")
    chosen = parser.parse_args()
    entries = long_run(EVENTS)
    with tempfile.TemporaryDirectory() as home:
        moment = Run(Path(home) / "run.jsonl", entries).moment()
        report("first look at the past, kernel", timed(moment, [EVENTS - 1])[0], 1000, "ms")
        kernel(moment)
        folding(entries)
        browser(moment)
    if chosen.json:
        chosen.json.write_text(json.dumps(ROWS, indent=1) + "\n")


if __name__ == "__main__":
    main()
