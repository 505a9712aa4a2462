"""A tree of agent CLIs, run from a notebook.

    import madrox_nb
    m = madrox_nb.Madrox()
    lead = m.spawn("lead", role="architect")
    lead.send("What would you build first?")

In a notebook the same is `%load_ext madrox_nb` and `%madrox help`. Importing the package
starts nothing and loads next to nothing; the names below are found when they are used.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from IPython.core.interactiveshell import InteractiveShell

    from .errors import MadroxError as MadroxError
    from .instance_manager import InstanceManager as InstanceManager
    from .notebook import AgentHandle as AgentHandle
    from .notebook import AsyncMadrox as AsyncMadrox
    from .notebook import Madrox as Madrox
    from .notebook import Reply as Reply
    from .orchestrator_config import OrchestratorConfig as OrchestratorConfig
    from .presets import get_mcp_servers as get_mcp_servers

__version__ = "0.1.0"

_HOMES = {
    "AgentHandle": ".notebook",
    "AsyncMadrox": ".notebook",
    "InstanceManager": ".instance_manager",
    "Madrox": ".notebook",
    "MadroxError": ".errors",
    "OrchestratorConfig": ".orchestrator_config",
    "Reply": ".notebook",
    "get_mcp_servers": ".presets",
}

__all__ = [*_HOMES, "__version__"]


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        return getattr(import_module(_HOMES[name], __name__), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return [*globals(), *_HOMES]


def load_ipython_extension(shell: InteractiveShell) -> None:
    """`%load_ext madrox_nb`: register `%madrox` and its completion. Starts no agent."""
    from .magics import load

    load(shell)


def unload_ipython_extension(shell: InteractiveShell) -> None:
    """`%unload_ext madrox_nb`: take the magic away. Agents go on; `m.close()` ends them."""
    from .magics import unload

    unload(shell)
