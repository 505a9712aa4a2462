"""What a form has to know before it can be filled in. Nothing of it travels unless somebody opens one."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, Final

from .. import library
from ..budget import RUN
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
    dollars = (each for each in moment.budget.above(above or RUN, moment.now) if each.name == "usd")
    least = min(dollars, key=lambda each: each.left, default=None)
    return {
        "name": moment.tree.next_child(above, ()),
        "roles": [{"name": role.name, "says": role.description} for role in _roles()],
        "harnesses": [_harness(moment.harnesses, name) for name in moment.harnesses],
        "permissions": list(LADDER),
        "left": least.left if least else None,
        "left_in": least.holder if least else "",
    }


def _limits(moment: Moment, subject: str, given: Mapping[str, Any]) -> Data:
    """Whose limits hold for `agent`, its own first and the run's last, and what is used of each."""
    name = moment.tree[str(given.get("agent"))].name
    holders = [name, *moment.tree.above(name), RUN]
    return {"holders": [{"holder": each, "limits": _said(moment, each)} for each in holders]}


def _said(moment: Moment, holder: str) -> dict[str, str]:
    return {each.name: str(each) for each in moment.budget.standings(holder, moment.now)}


def _models(moment: Moment, subject: str, given: Mapping[str, Any]) -> Data:
    """Models in use here, then those that the price list has of the vendor of `harness`."""
    harness = str(given.get("harness") or "")
    used = [agent.model for agent in moment.tree if agent.model and harness in ("", agent.harness)]
    known = models(harness) if harness else []
    return {"models": list(dict.fromkeys((*used, *known)))[:MODELS]}


def _found(moment: Moment, subject: str, given: Mapping[str, Any]) -> Data:
    """Which agents can be had on this machine. Looks at the disk."""
    found: dict[bool, list[str]] = {True: [], False: []}
    for name in moment.harnesses:
        found[moment.harnesses.installed(name)].append(name)
    return {"here": found[True], "absent": found[False]}


Forms.asks = {"spawn": _spawn, "limits": _limits, "models": _models, "found": _found}


def _roles() -> list[Role]:
    first: dict[str, Role] = {}
    for role in library.roles():
        first.setdefault(role.name, role)
    return sorted(first.values(), key=lambda role: role.name)


def _harness(harnesses: library.Harnesses, name: str) -> Data:
    """Whether it can be started here, and with which model where none is said."""
    try:
        harnesses.command(name)
        return {"name": name, "here": True, "model": harnesses.defaults(name).model or ""}
    except MadroxError:
        return {"name": name, "here": False, "model": ""}
