"""What there is and what came of something, as frames."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from .. import library

if TYPE_CHECKING:
    import pandas as pd

    from ..config import Config
    from ..revival import Return


def roles() -> pd.DataFrame:
    """Every role, what it may do at most, and where it comes from.

    Where two have a name, the one that counts.
    """
    from ..frames import texts

    found = {each.name: each for each in reversed(list(library.roles()))}
    listed = (
        {
            "role": name,
            "description": each.description,
            "aliases": ", ".join(each.aliases),
            "at most": each.permissions,
            "origin": each.origin,
        }
        for name, each in sorted(found.items())
    )
    return texts(listed, "role", "description", "aliases", "at most", "origin")


def teams() -> pd.DataFrame:
    """Every team file: what it is for, who is in it, its phases, and what it wants to be told."""
    from ..frames import texts

    listed = (
        {
            "template": each.name,
            "description": each.description,
            "agents": str(each.size),
            "members": ", ".join(f"{m.name}{f' ×{m.count}' if m.count > 1 else ''}" for m in each.members),
            "phases": " → ".join(phase.name for phase in each.phases),
            "inputs": ", ".join(f"{i.name}{'' if i.default is None else '?'}" for i in each.inputs),
            "path": each.path,
        }
        for each in sorted(library.teams(), key=lambda team: team.name)
    )
    return texts(listed, "template", "description", "agents", "members", "phases", "inputs", "path")


def presets() -> pd.DataFrame:
    """Every MCP server that an agent can be given by name, and which variables it lacks."""
    from ..frames import texts
    from ..presets import presets as known

    listed = (
        {
            "preset": each.name,
            "about": each.about,
            "kind": each.server.transport,
            "needs": each.needs,
            "missing": ", ".join(each.missing(os.environ)),
            "source": each.source,
        }
        for each in known().values()
    )
    return texts(listed, "preset", "about", "kind", "needs", "missing", "source")


def settings(config: Config) -> pd.DataFrame:
    """Every setting, its value, and where that comes from."""
    from ..frames import texts

    return texts(config.rows(), "setting", "value", "source", "environment", "meaning")


def returned(returns: list[Return]) -> pd.DataFrame:
    """One row an agent that was to come back: how it did, or why not."""
    from ..frames import texts

    return texts((vars(each) for each in returns), "agent", "how", "why")
