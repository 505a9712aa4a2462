"""How far the runs of teams are: phases, what comes out of them, who works there, what waits for what."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, ClassVar, Final

from .. import views
from ..plans import Phase
from ..teamwork import Share, TeamRun
from . import Data, Part
from .moment import Moment

RUNS: Final = 8
"""Runs shown, the newest."""
OUTPUTS: Final = 40
"""Of one phase."""
TEXT: Final = 300
"""Characters of a task, of a reason."""


class Team(Part):
    name: ClassVar[str] = "team"
    title: ClassVar[str] = "Team run"
    keyed: ClassVar[dict[str, str]] = {"runs": "id"}

    def look(self, moment: Moment, subject: str) -> Data:
        runs = list(moment.teams)
        return {"runs": [_run(each) for each in reversed(runs[-RUNS:])], "more": max(0, len(runs) - RUNS)}

    def plain(self, moment: Moment, subject: str) -> str:
        told = [_plain(each) for each in reversed(list(moment.teams)[-RUNS:])]
        return "\n\n".join(told) or f"{moment.title}: no team was started"


def _run(run: TeamRun) -> dict[str, Any]:
    return {
        "id": run.id,
        "title": run.plan.name.replace("_", " "),
        "task": run.task[:TEXT],
        "state": run.state,
        "why": run.why[:TEXT],
        "by_lead": run.mode != "phases",
        "agents": list(run.everyone),
        "phases": [_phase(run, phase) for phase in run.team.phases],
    }


def _phase(run: TeamRun, phase: Phase) -> dict[str, Any]:
    outputs = list(_outputs(run, phase))
    shares = [share for agent in run.who(phase) if (share := run.shares.get((phase.name, agent)))]
    began = min((share.started.timestamp() for share in shares if share.started), default=None)
    ends = [share.ended.timestamp() for share in shares if share.ended]
    outcome = run.outcome(phase)
    return {
        "name": phase.name,
        "outcome": outcome,
        "began": began,
        "took": max(ends) - began if outcome and began is not None and ends else None,
        "outputs": outputs[:OUTPUTS],
        "more": max(0, len(outputs) - OUTPUTS),
        "waits": _waits(run, phase),
        "again": [share.agent for share in shares if share.state in ("failed", "stopped")],
    }


def _outputs(run: TeamRun, phase: Phase) -> Iterator[dict[str, Any]]:
    """What each of its agents leaves: its files, or its answer when its plan names none."""
    for agent in run.who(phase):
        share = run.shares.get((phase.name, agent))
        for name in phase.deliverables or ("its answer",):
            yield {
                "name": name,
                "agent": agent,
                "state": "skipped" if phase.name in run.skipped else _state(share, name),
                "why": share.error[:TEXT] if share else "",
                "attempt": share.attempt if share else 0,
            }


def _state(share: Share | None, output: str) -> str:
    """`to come`, `running`, `ok`, `missing`, `failed` or `stopped`."""
    if share is None:
        return "to come"
    return "missing" if share.state == "ok" and output in share.missing else share.state


def _waits(run: TeamRun, phase: Phase) -> str:
    """In words, what it needs, or why it did not happen."""
    if (skip := run.skipped.get(phase.name)) is not None:
        return f"Skipped: {skip.why[:TEXT]}"
    said = f"Needs {_and(phase.needs)}" if phase.needs else ""
    if phase.when is not None:
        said = f"{said or 'Begins'} if {phase.when.written}"
    return said or "Needs nothing"


def _and(names: tuple[str, ...]) -> str:
    return " and ".join(filter(None, (", ".join(names[:-1]), names[-1])))


def _plain(run: TeamRun) -> str:
    lines = [f"{run.id}: {run.state}{f' ({views.one_line(run.why)})' if run.why else ''}"]
    if run.task:
        lines.append(f"  {views.one_line(run.task)}")
    for number, phase in enumerate(run.team.phases, 1):
        lines.append(
            f"{number} {phase.name}: {run.outcome(phase) or _under_way(run, phase)}. {_waits(run, phase)}"
        )
        lines += [
            f"    {_SIGN[each['state']]} {each['name']} ({each['agent']})" for each in _outputs(run, phase)
        ]
    if run.failed and run.state != "running":
        lines.append(f"%madrox team {run.id} --retry")
    return "\n".join(lines)


def _under_way(run: TeamRun, phase: Phase) -> str:
    begun = any(name == phase.name for name, _ in run.shares)
    return "under way" if begun else "not begun"


_SIGN: Final = {
    "to come": "·",
    "running": views.glyph("busy"),
    "ok": "✓",
    "missing": "?",
    "skipped": "–",
    "failed": views.glyph("failed"),
    "stopped": views.glyph("stopped"),
}
