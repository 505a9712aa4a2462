"""What an earlier run of this home was at: its jobs and its teams, read from its ledger."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from .events import JobStarted, TeamStarted
from .folds import Costs
from .ledger import read, run_files, runs
from .steps import Jobs
from .teamwork import TeamRuns
from .tree import Tree


@dataclass(frozen=True)
class Past:
    """Those folds of a run that its jobs and teams are told from."""

    run: str
    tree: Tree = field(default_factory=Tree)
    costs: Costs = field(default_factory=Costs)
    jobs: Jobs = field(default_factory=Jobs)
    teams: TeamRuns = field(default_factory=TeamRuns)


def past(directory: Path, run: str) -> Past:
    """Read one run, as far as it has come."""
    found = Past(run)
    for entry in read(run_files(directory, run)):
        for fold in (found.tree, found.costs, found.jobs, found.teams):
            fold.apply(entry)
    return found


def run_of_job(directory: Path, job: str, *, besides: str) -> str:
    """The newest run, `besides` one, that began a job or a team of that id; empty when none did."""

    def names_it(line: bytes) -> bool:
        return job.encode() in line and (b"job.started" in line or b"team.started" in line)

    for run in runs(directory):
        events = (entry.event for entry in read(run_files(directory, run), names_it))
        if run != besides and any(_begins(event, job) for event in events):
            return run
    return ""


def _begins(event: object, job: str) -> bool:
    match event:
        case JobStarted():
            return event.job == job
        case TeamStarted():
            return event.team == job
    return False
