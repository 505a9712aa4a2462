"""What axe finds wrong in a page."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from groups import absent

AXE = Path(__file__).parents[2] / "widgets/node_modules/axe-core/axe.min.js"
RUN = """async ([root, tags]) => {
    const options = { resultTypes: ['violations'], ...(tags && { runOnly: tags }) };
    const { violations } = await axe.run(document.querySelector(root), options);
    return violations.map(({ impact, id, nodes }) =>
        `${impact} ${id} ${JSON.stringify(nodes.slice(0, 3).map(({ target }) => target))}`) }"""


def faults(page: Any, where: str, root: str = ".madrox", tags: Sequence[str] | None = None) -> list[str]:
    """What is wrong below `root` by the rules with these tags, or by those that axe has on by itself."""
    if not AXE.exists():
        absent("browser", "axe-core", "npm ci --prefix widgets")
    if not page.evaluate("'axe' in window"):
        page.add_script_tag(path=str(AXE))
    return [f"{where}: {fault}" for fault in page.evaluate(RUN, [root, tags])]


def serious(page: Any, where: str) -> list[str]:
    """The serious and critical ones among them."""
    grave = tuple(f"{where}: {impact} " for impact in ("serious", "critical"))
    return [fault for fault in faults(page, where) if fault.startswith(grave)]
