"""What a form has to know before it can be filled in. Nothing of it travels unless somebody opens one."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, Final

from .. import library
from ..errors import MadroxError
from ..prices import models
from ..roles import Role
from ..rules import LADDER
from . import Data, Part
from .moment import Moment

MODELS: Final = 60
"""Names suggested for a model; any other may be typed."""


class Forms(Part):
    name: ClassVar[str] = "forms"
    title: ClassVar[str] = "Forms"

    def look(self, moment: Moment, subject: str) -> Data:
        return {}

    def plain(self, moment: Moment, subject: str) -> str:
        return f"{moment.title}: %madrox spawn NAME starts an agent"


def _spawn(moment: Moment, subject: str, given: Mapping[str, Any]) -> Data:
    """What there is to choose from when an agent is spawned below `parent`. Looks at the disk."""
    parent = given.get("parent")
    above = moment.tree[parent].name if isinstance(parent, str) and parent else None
    left = min(
        (each.left for each in moment.budget.above(above or "", moment.now) if each.name == "usd"),
        default=None,
    )
    return {
        "name": moment.tree.next_child(above, ()),
        "roles": [{"name": role.name, "says": role.description} for role in _roles()],
        "harnesses": [{"name": name, "here": _here(name)} for name in library.Harnesses()],
        "permissions": list(LADDER),
        "left": left,
    }


def _models(moment: Moment, subject: str, given: Mapping[str, Any]) -> Data:
    """Models in use here, then those that the price list has of the vendor of `harness`."""
    harness = str(given.get("harness") or "")
    used = [agent.model for agent in moment.tree if agent.model and harness in ("", agent.harness)]
    known = models(harness) if harness else []
    return {"models": list(dict.fromkeys((*used, *known)))[:MODELS]}


def _found(moment: Moment, subject: str, given: Mapping[str, Any]) -> Data:
    """Which agents can be had on this machine. Looks at the disk."""
    found: dict[bool, list[str]] = {True: [], False: []}
    for name in library.Harnesses():
        found[_here(name)].append(name)
    return {"here": found[True], "absent": found[False]}


Forms.asks = {"spawn": _spawn, "models": _models, "found": _found}


def _roles() -> list[Role]:
    first: dict[str, Role] = {}
    for role in library.roles():
        first.setdefault(role.name, role)
    return sorted(first.values(), key=lambda role: role.name)


def _here(harness: str) -> bool:
    try:
        library.Harnesses().command(harness)
    except MadroxError:
        return False
    return True
