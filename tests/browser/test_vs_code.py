"""The widget in a page that is not JupyterLab's: VS Code's variables, nothing else."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from groups import PICTURES
from worlds import Wire, World, born, busy, idle

from madrox_nb.events import AgentSpawned, AgentStopped, UsageReported
from madrox_nb.library import static
from madrox_nb.widgets import LiveView

from .axe import serious

pytestmark = [pytest.mark.browser, pytest.mark.slow, pytest.mark.own_page]

# what VS Code's own themes say: Default Dark Modern, Default Light Modern, Dark High Contrast
THEMES = {
    "vscode-dark": ("#1f1f1f", "#cccccc", "#2b2b2b", "#4daafc"),
    "vscode-light": ("#ffffff", "#3b3b3b", "#e5e5e5", "#005fb8"),
    "vscode-high-contrast": ("#000000", "#ffffff", "#6fc3df", "#21a6ff"),
}
NAMES = ("editor-background", "editor-foreground", "panel-border", "textLink-foreground")
PAGE = """<!doctype html><html lang="en" style="{variables}"><head><title>t</title>
<style>:root {{ --jp-layout-color1: white; --jp-ui-font-color0: black; --jp-border-color2: #e0e0e0;
  --jp-brand-color1: #1976d2; --jp-brand-color2: #64b5f6; --jp-cell-editor-background: #f5f5f5 }}
body {{ background: var(--vscode-editor-background) }}</style></head>
<body class="{kind}" data-vscode-theme-kind="{kind}"><main id="place" style="width: 1100px"></main></body>
</html>"""
SHOW = """async ([state, loader, widget]) => {
    const listeners = new Set(), sent = [];
    const model = {
        get: key => state[key], on: (_, listener) => listeners.add(listener),
        off: (_, listener) => listeners.delete(listener), send: content => sent.push(content),
    };
    window.tell = (message, ...buffers) => [...listeners].forEach(each => each(message, buffers));
    window.sent = sent;
    const module = code => import(URL.createObjectURL(new Blob([code], {type: 'text/javascript'})));
    const made = (await module(loader)).default();
    const signal = new AbortController().signal;
    made.initialize({model, signal});
    const shown = made.render({model, signal, el: document.getElementById('place')});
    tell({k: 'library', name: 'widget'}, new DataView(new TextEncoder().encode(widget).buffer));
    await shown;
    tell({k: 'hb', s: {rows: 0}, now: Date.now() / 1000});
}"""


@pytest.fixture
def state(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> dict[str, Any]:
    """What a page gets of a dashboard over a busy, an idle and a failed agent."""
    monkeypatch.setattr("comm.create_comm", lambda **kwargs: Wire(**kwargs))
    monkeypatch.setattr("worlds.BEGAN", datetime.now(UTC))
    world = World(tmp_path)
    used = UsageReported(agent="kid", turn="kid.t1", model="sonnet", input_tokens=10, output_tokens=5)
    world.tell(*born("lead"), busy("lead"), *born("kid", "lead"), busy("kid"), used, idle("kid"))
    world.tell(AgentSpawned(agent="bad", parent="lead", harness="claude", role="general"))
    world.tell(AgentStopped(agent="bad", reason="it is not installed", failed=True))
    view = LiveView(world, "dashboard")  # type: ignore[arg-type]
    try:
        return json.loads(json.dumps(view.get_state(), default=str))  # type: ignore[no-any-return]
    finally:
        view.close()


def open_in(page: Any, kind: str, state: dict[str, Any]) -> None:
    variables = "; ".join(f"--vscode-{n}: {v}" for n, v in zip(NAMES, THEMES[kind], strict=True))
    page.set_content(PAGE.format(kind=kind, variables=variables))
    code = [static(f"{name}.js").read_text(encoding="utf-8") for name in ("loader", "widget")]
    page.evaluate(SHOW, [state, *code])
    page.wait_for_selector(".madrox [data-agent=kid]")


def style(page: Any, name: str) -> str:
    return str(page.evaluate(f"getComputedStyle(document.querySelector('.madrox')).{name}"))


@pytest.mark.parametrize("kind", THEMES)
def test_it_takes_its_colours_from_vs_code_and_stays_readable(page: Any, state: Any, kind: str) -> None:
    open_in(page, kind, state)
    red, green, blue = bytes.fromhex(THEMES[kind][0][1:])
    if PICTURES:
        page.locator(".madrox").screenshot(path=str(Path(PICTURES) / f"{kind}.png"))

    assert f"rgb({red}, {green}, {blue})" == style(page, "backgroundColor")
    assert [] == [fault for fault in serious(page, kind) if "color-contrast" in fault]


def test_it_follows_another_theme_and_its_verbs_go_over_the_comm(page: Any, state: Any) -> None:
    open_in(page, "vscode-dark", state)
    page.get_by_role("button", name="Interrupt").first.click()
    page.wait_for_function("sent.some(each => each.verb === 'interrupt' && each.agent === 'lead')")

    page.evaluate("""() => { document.body.dataset.vscodeThemeKind = 'vscode-light';
        document.documentElement.style.setProperty('--vscode-editor-background', '#fefefe') }""")
    assert "rgb(254, 254, 254)" == style(page, "backgroundColor")
    busy = "getComputedStyle(document.querySelector('.madrox .s-busy')).color"
    assert "rgb(23, 114, 47)" == page.evaluate(busy)
