"""`madrox lab`: JupyterLab, on the first notebook."""

from __future__ import annotations

import os
import shutil
from collections.abc import Sequence
from importlib import import_module
from pathlib import Path
from typing import Final

from ..errors import BadInput
from ..library import packaged

FOLDER: Final = "notebooks"
FIRST: Final = "01-first-agent.ipynb"


def open_lab(here: Path, options: Sequence[str]) -> int:
    """Run JupyterLab in this process until it ends. Raises `BadInput` where it is not installed."""
    try:
        lab = import_module("jupyterlab.labapp")
    except ModuleNotFoundError as exc:
        raise BadInput(
            f"JupyterLab is not installed here (no {exc.name!r}). Get it: pip install 'madrox_nb[lab]'; "
            "or open the notebooks in any other front end of Jupyter"
        ) from None
    first = notebooks(here) / FIRST
    as_root = ["--allow-root"] if os.geteuid() == 0 else []  # it refuses root unless that is meant
    lab.main([str(first), *as_root, *options])
    return 0


def notebooks(here: Path) -> Path:
    """`here`/notebooks with every notebook in it; those that are missing are copied out of the package."""
    ours, there = packaged(FOLDER), here / FOLDER
    there.mkdir(parents=True, exist_ok=True)
    for notebook in sorted(ours.glob("*.ipynb")):
        if not (there / notebook.name).exists():
            shutil.copyfile(notebook, there / notebook.name)
    return there
