"""What notebooks are stored with: what their cells showed, so that a page without a kernel reads well.

`make notebooks` runs them all and stores that. What only a page with a kernel can draw, and what belongs to
one machine, is left out.
"""

from __future__ import annotations

import re
import sys
import tempfile
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from cells import carry_out

NOTEBOOKS = sorted((Path(__file__).parents[1] / "notebooks").glob("*.ipynb"))
LIVE = "application/vnd.jupyter.widget-view+json"
FLEETING = {
    r"\d{4}-\d\d-\d\d[T ][\d:]{8}(\.\d+)?(\+00:00|Z)?": "TIME",
    r"\d{8}T\d{6}\.\d+-\d+": "RUN",
    r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}": "SESSION",
    r"\d+\.\d{4,}(e-\d+)?": "SECONDS",
    r'<th>\d+</th>|"seq":\d+': "PLACE",
}
"""What differs from run to run: a pattern → a word for it."""


def code(notebook: Any) -> Iterator[Any]:
    return (cell for cell in notebook.cells if cell.cell_type == "code")


def read(path: Path) -> Any:
    import nbformat  # it costs a second, which the tests that need none don't pay

    return nbformat.read(path, as_version=4)


def tidy(notebook: Any, directory: Path, metadata: Any) -> None:
    """Leave what reads well anywhere of a notebook that ran in `directory`, and its `metadata` as it was."""
    places = {str(directory): "~/notebooks", sys.prefix: "~/.venv", "\r\n": "\n"}
    notebook.metadata = metadata
    for cell in code(notebook):
        cell.metadata.pop("execution", None)
        cell.outputs = list(_joined(cell.outputs))
        for output in cell.outputs:
            for bundle in (output, output.get("data", {})):
                bundle.pop(LIVE, None)
                bundle |= {
                    kind: _placed(text, places) for kind, text in bundle.items() if _is_text(kind, text)
                }


def _joined(outputs: Iterable[Any]) -> Iterator[Any]:
    """Pieces of one stream that came one by one are one output."""
    last = None
    for output in outputs:
        if last and output.get("name", "") == last.get("name"):
            last.text += output.text
        else:
            yield (last := output)


def _is_text(kind: str, text: Any) -> bool:
    return isinstance(text, str) and (kind == "text" or kind.startswith("text/"))


def _placed(text: str, places: Mapping[str, str]) -> str:
    for here, anywhere in places.items():
        text = text.replace(here, anywhere)
    return re.sub(r"127\.0\.0\.1:\d+", "127.0.0.1:8001", text)


def lasting(cell: Any) -> Counter[str]:
    """The lines that a cell shows in any run; agents that work at once may say theirs in any order."""
    lines: Counter[str] = Counter()
    for output in cell.outputs:
        shown = output.get("data", {})
        text = output.get("text") or shown.get("text/html") or shown.get("text/plain", "")
        for pattern, word in FLEETING.items():
            text = re.sub(pattern, word, text)
        lines.update(line.strip() for line in text.splitlines())
    return lines


def main() -> None:
    import matplotlib.font_manager  # noqa: F401 - it looks for fonts once on a machine, and would say so in a cell
    import nbformat

    for path in NOTEBOOKS:
        with tempfile.TemporaryDirectory(prefix="madrox-") as directory:
            notebook = read(path)
            metadata = notebook.metadata.copy()
            carry_out(notebook, Path(directory))
            tidy(notebook, Path(directory), metadata)
        nbformat.write(notebook, path)
        print(path.name)


if __name__ == "__main__":
    main()
