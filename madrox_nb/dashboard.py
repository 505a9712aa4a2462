"""The page on which a person watches the agents: the notebook whose kernel this is.

Jupyter writes down where its servers listen, in files of the user's own, and tells each
kernel which server started it and for which notebook. `jupyter_server` reads those files
too, and takes seconds to load for it, so that they are read here.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote

SERVER: Final = "JPY_PARENT_PID"
"""Who started this kernel (ipykernel's launcher sets it)."""
NOTEBOOK: Final = "JPY_SESSION_NAME"
"""For which file, as a path on the disk (jupyter_server sets it)."""


def page(environ: Mapping[str, str] | None = None, runtime: Path | None = None) -> str:
    """The address of the notebook, or of its JupyterLab; empty outside a Jupyter server.

    It never holds the server's token: who has that may run anything, and agents may ask for this.
    """
    environ = os.environ if environ is None else environ
    started_by = environ.get(SERVER, "")
    for server in _servers(runtime):
        if str(server.get("pid")) == started_by:
            return _address(server, environ.get(NOTEBOOK, ""))
    return ""


def _servers(runtime: Path | None) -> Iterator[Mapping[str, Any]]:
    """What the running servers of this user say of themselves. Others' files are none of them."""
    from jupyter_core.paths import jupyter_runtime_dir

    for file in sorted((runtime or Path(jupyter_runtime_dir())).glob("jpserver-*.json")):
        try:
            said = json.loads(file.read_text(encoding="utf-8"))
        except (OSError, ValueError):  # just being written, or gone
            continue
        if isinstance(said, dict) and isinstance(said.get("url"), str):
            yield said


def _address(server: Mapping[str, Any], notebook: str) -> str:
    base = server["url"].partition("?")[0].rstrip("/")
    root = Path(str(server.get("root_dir") or "/"))
    file = Path(notebook)
    if not notebook or not file.is_absolute() or not file.is_relative_to(root):
        return f"{base}/lab"
    return f"{base}/lab/tree/{quote(file.relative_to(root).as_posix())}"
