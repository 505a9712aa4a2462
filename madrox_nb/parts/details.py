"""What stands behind one agent: its session, files, permissions, limits, turns."""

from __future__ import annotations

from collections.abc import Iterator
from typing import ClassVar

from . import Data, Part
from .moment import Moment


class Details(Part):
    name: ClassVar[str] = "details"
    title: ClassVar[str] = "Details"
    of_an_agent: ClassVar[bool] = True

    def look(self, moment: Moment, subject: str) -> Data:
        return {"agent": subject, "facts": [list(fact) for fact in _facts(moment, subject)]}

    def plain(self, moment: Moment, subject: str) -> str:
        facts = list(_facts(moment, subject))
        width = max(len(name) for name, _ in facts)
        return "\n".join(f"{name:<{width}}  {value}" for name, value in facts)


_PERMISSIONS = {
    "deny": "reads in its own workspace; nothing else",
    "ask": "asks before it edits or runs",
    "edits": "edits in its own workspace; asks about everything else",
    "all": "everything, unasked",
}


def _facts(moment: Moment, subject: str) -> Iterator[tuple[str, str]]:
    """(what, value), the values without times: so the saved form is the same in every run."""
    agent = moment.tree[subject]
    yield "Role", agent.role
    yield "Harness", f"{agent.harness} {agent.model or ''}".strip()
    yield "Session", f"{agent.session or 'none yet'}{f' ({agent.origin})' if agent.origin else ''}"
    yield "Workspace", agent.workspace or "none"
    if agent.branch:
        yield "Branch", f"{agent.branch} of {agent.repository}"
    yield "Permissions", f"{agent.permissions}: {_PERMISSIONS.get(agent.permissions, '')}"
    yield "Limits", "; ".join(_limits(moment, subject)) or "none"
    yield "Turns", _turns(moment, subject)
    if used := _tools(moment, subject):
        yield "Tools", used
    if edited := moment.activity.work.get(subject):
        yield "Edited", ", ".join(list(edited.edited)[:20]) or "nothing"
    if agent.reason:
        yield "Ended", agent.reason


def _limits(moment: Moment, subject: str) -> Iterator[str]:
    for standing in moment.budget.above(subject, moment.now):
        whose = "" if standing.holder == subject else f" ({standing.holder or 'the run'})"
        if standing.name != "minutes":
            yield f"{standing}{whose}"


def _turns(moment: Moment, subject: str) -> str:
    work = moment.activity.work.get(subject)
    ended = [f"{count} {outcome}" for outcome, count in sorted(work.turns.items())] if work else []
    running = ["1 under way"] if moment.tree[subject].turn else []
    return ", ".join([*ended, *running]) or "none yet"


def _tools(moment: Moment, subject: str) -> str:
    work = moment.activity.work.get(subject)
    return ", ".join(f"{tool} {count}" for tool, count in work.used.most_common(8)) if work else ""
