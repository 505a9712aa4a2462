"""What stands behind one agent: its session, files, permissions, limits, turns."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

from .. import worktrees
from ..budget import Standing
from ..errors import BadInput
from ..offspring import Offspring
from ..tree import Agent
from . import Data, Part
from .effect import Change, Reader, differences, patched
from .moment import Moment


class Details(Part):
    name: ClassVar[str] = "details"
    title: ClassVar[str] = "Details"
    of_an_agent: ClassVar[bool] = True

    def look(self, moment: Moment, subject: str) -> Data:
        agent = moment.tree[subject]
        return {
            "agent": subject,
            "facts": [list(fact) for fact in _facts(moment, subject)],
            "branch": agent.branch,
        }

    def sign(self, moment: Moment, subject: str) -> object:
        """What is told of others: the limits of those above it, and answers that hold for their subtrees."""
        limits = ((each.holder, str(each)) for each in _standings(moment, subject))
        return *limits, *(each.id for each in moment.approvals.lasting(moment.tree, subject))

    def plain(self, moment: Moment, subject: str) -> str:
        facts = list(_facts(moment, subject))
        width = max(len(name) for name, _ in facts)
        return "\n".join(f"{name:<{width}}  {value}" for name, value in facts)


def _diff(moment: Moment, subject: str, given: Mapping[str, Any]) -> Data:
    """What an agent with a git worktree has changed there since its branch began. Asks git."""
    agent = moment.tree[subject]
    if not agent.branch:
        raise BadInput(f"{subject} works in no git worktree: nobody knows what its files were before")
    place = Path(agent.workspace)
    if not place.is_dir():
        raise BadInput(f"{place} is not there any more; what was committed is on the branch {agent.branch}")
    patch, new = worktrees.changes(worktrees.Worktree(place, agent.repository, agent.branch, agent.base))
    reader = Reader(place, moment.redacted)
    return differences([*patched(moment.redacted(patch)), *(_new(reader, name) for name in new)])


def _new(reader: Reader, name: str) -> Change:
    text, why = reader(name)
    return Change(name, None, text or "", said=why or "a new file, not committed")


def _process(moment: Moment, subject: str, given: Mapping[str, Any]) -> Data:
    """What runs for an agent now. Looks at every process of the machine."""
    return {"text": _running(moment.processes(moment.tree[subject].name))}


def _running(found: Sequence[Offspring]) -> str:
    own = next((each for each in found if each.is_agent), None)
    if own is None:
        return "none"
    more = f"; {len(found) - 1} below it" if len(found) > 1 else ""
    memory = sum(each.rss_mb for each in found)
    return f"pid {own.pid}, {memory:,.0f} MB, {sum(each.cpu_s for each in found):,.1f} s of CPU{more}"


Details.asks = {"diff": _diff, "process": _process}


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
    yield "Session", agent.session or "none yet"
    if agent.origin:
        yield "Origin", agent.origin
    yield "Workspace", agent.workspace or "none"
    if agent.branch:
        yield "Branch", f"{agent.branch} of {agent.repository}"
    yield "Permissions", "; ".join(_allowed(moment, agent))
    yield "Limits", "; ".join(_limits(moment, subject)) or "none"
    yield "Turns", _turns(moment, subject)
    if used := _tools(moment, subject):
        yield "Tools", used
    if edited := moment.activity.work.get(subject):
        yield "Edited", ", ".join(list(edited.edited)[:20]) or "nothing"
    if agent.reason:
        yield "Ended", agent.reason


def _allowed(moment: Moment, agent: Agent) -> Iterator[str]:
    yield f"{agent.permissions}: {_PERMISSIONS.get(agent.permissions, '')}"
    lasting = moment.approvals.lasting(moment.tree, agent.name)
    for verdict, word in (("allow", "always allowed"), ("deny", "always denied")):
        if tools := [each.tool for each in lasting if each.verdict == verdict]:
            yield f"{word}: {', '.join(tools)}"


def _limits(moment: Moment, subject: str) -> Iterator[str]:
    standings = _standings(moment, subject)
    if standings and standings[0].holder != subject:
        yield "none of its own"
    for standing in standings:
        whose = "" if standing.holder == subject else f" ({standing.holder or 'the run'})"
        yield f"{standing}{whose}"


def _standings(moment: Moment, subject: str) -> list[Standing]:
    """Those that hold for it, but of time, which no two runs spend alike."""
    return [each for each in moment.budget.above(subject, moment.now) if each.name != "minutes"]


def _turns(moment: Moment, subject: str) -> str:
    work = moment.activity.work.get(subject)
    ended = [f"{count} {outcome}" for outcome, count in sorted(work.turns.items())] if work else []
    running = ["1 under way"] if moment.tree[subject].turn else []
    return ", ".join([*ended, *running]) or "none yet"


def _tools(moment: Moment, subject: str) -> str:
    work = moment.activity.work.get(subject)
    return ", ".join(f"{tool} {count}" for tool, count in work.used.most_common(8)) if work else ""
