"""Runs teams: spawns the whole of one at once, and carries out its phases.

What is done and what comes next is concluded from the ledger (`teamwork`); here is only
who waits. So a run that was stopped, or whose kernel went away, goes on by reading.
"""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from . import library, worktrees
from .briefs import Result, result
from .errors import BadInput, LedgerFull, MadroxError, NotRunning, nearest
from .events import (
    PERSON,
    AgentSpawned,
    Entry,
    Event,
    PhaseEnded,
    PhaseSkipped,
    PhaseStarted,
    TeamEnded,
    TeamMode,
    TeamResumed,
    TeamStarted,
)
from .folds import Usage
from .plans import Phase, Team
from .reunion import take_over
from .shares import Shares
from .teamwork import TeamRun, TeamRuns, UnknownTeam, again, due, spent, verdict

if TYPE_CHECKING:
    from .manager import Manager

ROOM_SECONDS = 0.5
"""Between two looks whether a full disk has room for what happened."""
TELLER = "madrox"
"""Who tells an agent how the team ended that it had started."""

log = logging.getLogger(__name__)


class Teams:
    """The teams of one manager. Belongs to its loop."""

    def __init__(self, manager: Manager) -> None:
        self._manager = manager
        self.runs = TeamRuns()
        self._driving: dict[str, asyncio.Task[None]] = {}
        self._shares = Shares(manager)

    # verbs

    async def start(
        self,
        template: str,
        task: str = "",
        *,
        inputs: Mapping[str, str] | None = None,
        mode: TeamMode = "phases",
        harness: str | None = None,
        model: str | None = None,
        permissions: str | None = None,
        lead_role: str | None = None,
        prefix: str | None = None,
        files: Sequence[str] = (),
        use_worktree: bool | None = None,
        git_repo: str | Path | None = None,
        parent: str | None = None,
        by: str = PERSON,
    ) -> str:
        """Begin a team and return the id of its run, at once.

        In mode `phases` the whole team is spawned in parallel and madrox carries the phases
        out; in mode `lead` only the lead is spawned, with the whole plan. Without a task the
        team is spawned and stands by. `harness`, `model` and `permissions` hold for all its
        agents; what the file says of permissions only takes from that. `prefix` stands
        before every name; without it one is found when a name is taken. `files` are copied
        to every member. With `use_worktree` each works in a git worktree of its own, on a
        branch named after run and agent, of `git_repo` or the repository that holds the
        working directory; False gives nobody one, and None those of whom the file says so.

        Raises `BadInput` for a file, task or input that can't be used, `UnknownRole`,
        `UnknownHarness`, and `BadInput` when there is no room, before anything happens.
        """
        manager = self._manager
        team = library.team(template)
        values = team.given(inputs)
        if mode not in ("phases", "lead"):
            raise BadInput(
                f"mode={mode!r} is not known.{nearest(mode, ('phases', 'lead'))} Known: phases, lead"
            )
        if mode == "lead" and not task.strip():
            raise BadInput(
                f"{team.name}: a lead needs its task from the beginning. Say what the team is to do"
            )
        options = _options(
            harness=harness,
            model=model,
            permissions=permissions,
            lead_role=lead_role,
            use_worktree=None if use_worktree is None else str(use_worktree).lower(),
        )
        self._check(team, options, mode, parent, by)
        if repository := await self._repository(team, options, git_repo, by):
            options["git_repo"] = repository
        paths = tuple(map(_existing, files))
        names = self._names(team, prefix)
        id_ = self.runs.next_id(team.name)
        self._shares.given[id_] = task, values
        await manager.act(
            TeamStarted(
                team=id_,
                path=team.path,
                text=team.text,
                members=json.dumps(names),
                task=task,
                inputs=json.dumps(values) if values else "",
                mode=mode,
                by=by,
                parent=parent,
                options=json.dumps(options) if options else "",
                files=paths,
            )
        )
        self._drive(id_)
        return id_

    async def wait(self, team: str, timeout: float | None = None) -> Result | None:
        """Wait until it is over; None when `timeout` seconds pass first. Cancelled, it goes on.

        A `team` is named here, and below, by the id of its run, or by its file for the newest run of it.
        """
        team = self.find(team)
        driving = self._driving.get(team)
        if driving is not None:
            await asyncio.wait((driving,), timeout=timeout)
            if not driving.done():
                return None
        return self.result(team)

    def find(self, team: str = "") -> str:
        """The id of a run: as it is, the newest of that file, or the newest at all. Raises `UnknownTeam`."""
        if found := self._here(team):
            return found
        raise UnknownTeam(team, self.runs.runs)

    def result(self, team: str) -> Result:
        """What came of it so far. Raises `UnknownTeam`."""
        run = self.runs[self.find(team)]
        return result(run, self.spent(run), self.branches(run))

    def branches(self, run: TeamRun) -> dict[str, str]:
        """Agent → its git branch: those that are at work there, and those that were kept."""
        return self._shares.branches(run)

    def spent(self, run: TeamRun) -> Usage:
        """What its agents and all below them used."""
        return spent(run, self._manager.tree, self._manager.costs)

    async def stop(self, team: str, why: str = "stopped") -> Result:
        """End what is under way: turns are interrupted, the agents stay. `resume` goes on.

        One that is over is left as it is.
        """
        run = self.runs[self.find(team)]
        if (driving := self._driving.pop(run.id, None)) is not None:
            driving.cancel()
            await asyncio.wait((driving,))
        if self.runs[run.id].state == "running":
            await self._end(self.runs[run.id], "stopped", why)
        return self.result(run.id)

    async def retry(self, team: str, *what: str) -> str:
        """Do again what failed, or `what` is named: phases (`review`), or shares (`review.lead`).

        All that comes after it is done again too. Returns the run's id. Raises `BadInput`
        while it is under way, or when there is nothing to be done again.
        """
        run = self._at_rest(team)
        names = again(run, what)
        if not names and not run.failed:
            raise BadInput(f"nothing of {run.id} has failed. A retry that names a phase does it again")
        return await self._resume(run, names)

    async def resume(self, team: str = "", *, task: str = "", run: str = "") -> str:
        """Go on with what is not done; returns the run's id.

        A team of this kernel goes on where it was stopped; one that stood by gets its `task`.
        One of an earlier kernel (the newest one, or that of `run`) goes on with what the
        ledger says was done, and with its agents' conversations where their CLIs can do that.
        """
        if not run and (here := self._here(team)):
            found = self._at_rest(here)
            if found.state == "standby" and not task.strip():
                raise BadInput(f"{here} stands by: say what it is to do")
            if found.state == "ok":
                raise BadInput(f"{here} is done. A retry that names a phase does it again")
            return await self._resume(found, (), task)
        id_ = await take_over(self._manager, team, run)
        self._drive(id_)
        return id_

    async def dismiss(self, team: str, by: str = PERSON) -> list[str]:
        """Stop it and end its agents, and all below them; returns the names that were ended."""
        await self.stop(team, f"dismissed by {by}")
        manager, ended = self._manager, list[str]()
        for name in reversed(self.runs[self.find(team)].agents):
            if name in manager.tree and manager.tree[name].alive:
                ended += await manager.terminate(name, force=True, by=by)
        return ended

    async def furnish(self, spawned: AgentSpawned) -> None:
        """Lay the files that a team was given into the directory of a member that its lead spawns.

        It is called before that agent is on record. Raises `BadInput` when the disk refuses.
        """
        run = self.runs.under_way_with(spawned.agent)
        if run is not None and run.mode == "lead" and run.lead == spawned.parent:
            await asyncio.to_thread(self._shares.hand_files, run, Path(spawned.workspace))

    def branch(self, agent: str) -> str:
        """What the branch of an agent is called that is born into a team; else as itself."""
        run = self.runs.under_way_with(agent)
        return agent if run is None else f"{run.id}-{agent}"

    def close(self) -> None:
        """Nobody carries anything out any more. What was under way ends with the run's `run.closed`."""
        for driving in tuple(self._driving.values()):
            driving.cancel()
        self._driving.clear()

    # before anything happens

    def _check(self, team: Team, options: Mapping[str, str], mode: str, parent: str | None, by: str) -> None:
        """Raises for what can't be spawned at all."""
        manager = self._manager
        manager.births.permissions(options.get("permissions"), parent, by)
        for member in team.members:
            library.role(self._shares.role(team, member, options))
            manager.harnesses.command(self._shares.harness(member, options))
        wanted = team.size if mode == "phases" else 1
        alive = len(manager.tree.alive())
        if alive + wanted > manager.settings.max_instances:
            raise BadInput(
                f"{team.name} needs {wanted} agents and {alive} are alive, with max_instances "
                f"{manager.settings.max_instances}. Stop some, or raise the limit: MAX_INSTANCES, "
                "or Madrox(max_instances=…)"
            )

    async def _repository(
        self, team: Team, options: Mapping[str, str], wanted: str | Path | None, by: str
    ) -> str:
        """The directory whose repository the worktrees are made of; empty where nobody gets one."""
        if not any(self._shares.in_worktree(each, options) for each in team.members):
            if wanted:
                raise BadInput("git_repo names the repository of worktrees: give use_worktree too")
            return ""
        place = self._manager.births.repository(wanted, by)
        await asyncio.to_thread(worktrees.check, place)
        return str(place)

    def _names(self, team: Team, prefix: str | None) -> dict[str, list[str]]:
        """Member → the names of its agents, none of which is known yet."""
        tree, number = self._manager.tree, 1
        before = prefix or ""
        while True:
            names = {each.name: [before + name for name in each.names] for each in team.members}
            taken = [name for each in names.values() for name in each if name in tree or self._promised(name)]
            if not taken:
                return names
            if prefix is not None:
                raise BadInput(f"{taken[0]!r} is taken: choose another prefix")
            number += 1
            before = f"t{number}-"

    def _promised(self, name: str) -> bool:
        """Whether a team that is being put together has an agent of that name."""
        return any(name in names for run in self.runs for names in run.members.values())

    # going on

    def _here(self, team: str) -> str:
        """The run of this kernel that is meant; empty when it is one of an earlier kernel."""
        if team in self.runs:
            return team
        mine = [run.id for run in self.runs if not team or run.id.rpartition(".")[0] == team]
        return mine[-1] if mine else ""

    def _at_rest(self, team: str) -> TeamRun:
        run = self.runs[self.find(team)]
        if run.id in self._driving:
            raise BadInput(f"{run.id} is under way. Wait for it, or stop it first")
        return run

    async def _resume(self, run: TeamRun, names: tuple[str, ...], task: str = "") -> str:
        if run.state == "running":  # its kernel went away, and its agents did not
            await self._end(run, "stopped", "its kernel went away")
        if task:
            self._shares.given[run.id] = task, self._shares.given.get(run.id, ("", run.inputs))[1]
        await self._manager.act(TeamResumed(team=run.id, again=names, task=task))
        self._drive(run.id)
        return run.id

    # carrying it out

    def _drive(self, team: str) -> None:
        driving = asyncio.ensure_future(self._carry_out(team))
        self._driving[team] = driving
        driving.add_done_callback(lambda done: self._driven(team, done))

    def _driven(self, team: str, done: asyncio.Task[None]) -> None:
        if self._driving.get(team) is done:
            del self._driving[team]
        self._manager.mail.stir()
        if not done.cancelled() and (error := done.exception()) is not None:
            level = logging.WARNING if isinstance(error, MadroxError) else logging.ERROR
            log.log(level, "%s: %s", team, error, exc_info=error)
            if self.runs[team].state == "running" and not isinstance(error, NotRunning):
                self._manager.record(TeamEnded(team=team, outcome="failed", why=str(error)))

    async def _carry_out(self, team: str) -> None:
        await self._shares.assemble(self.runs[team])
        shares: set[asyncio.Task[None]] = set()
        try:
            while self.runs[team].task:
                shares |= await self._begin_due(team)
                if not shares:
                    break
                done, shares = await asyncio.wait(shares, return_when=asyncio.FIRST_COMPLETED)
                for each in done:
                    each.result()
        finally:
            for share in shares:
                share.cancel()
            if shares:
                await asyncio.wait(shares)
        run = self.runs[team]
        outcome, why = verdict(run) if run.task else ("ok", "")
        await self._act(TeamEnded(team=team, outcome=outcome, why=why))
        await self._tell(team)

    async def _begin_due(self, team: str) -> set[asyncio.Task[None]]:
        """Begin what can begin, and skip what is skipped, until neither is left."""
        begun: set[asyncio.Task[None]] = set()
        while (each := next(due(self.runs[team]), None)) is not None:
            name = each.phase.name
            for agent in each.agents:
                attempt = self.runs.attempt(team, name, agent)
                await self._act(PhaseStarted(agent=agent, team=team, phase=name, attempt=attempt))
                begun.add(asyncio.ensure_future(self._share(team, each.phase, agent)))
            if not each.agents:
                await self._act(PhaseSkipped(team=team, phase=name, why=each.why, blocked=each.blocked))
        return begun

    # one share

    async def _share(self, team: str, phase: Phase, agent: str) -> None:
        """One agent's share of a phase, until it and all below it have nothing left to do."""
        ended = PhaseEnded(agent=agent, team=team, phase=phase.name, outcome="failed")
        try:
            ended = await self._shares.done(self.runs[team], phase, agent, ended)
        except LedgerFull:
            raise
        except MadroxError as exc:
            ended = replace(ended, error=str(exc))
        await self._act(ended)

    # the ledger

    async def _act(self, event: Event) -> Entry:
        """As `Manager.act`; what has happened waits for room on a full disk."""
        while True:
            try:
                return await self._manager.act(event)
            except LedgerFull:
                await self._manager.mail.change(ROOM_SECONDS)

    async def _end(self, run: TeamRun, outcome: Literal["failed", "stopped"], why: str) -> None:
        for share in run.open:
            stopped = PhaseEnded(
                agent=share.agent, team=run.id, phase=share.phase, outcome="stopped", error=why
            )
            await self._act(stopped)
        await self._act(TeamEnded(team=run.id, outcome=outcome, why=why))

    async def _tell(self, team: str) -> None:
        """Tell the agent that started it how it ended: its next prompt."""
        run = self.runs[team]
        if run.by != PERSON and self._shares.awake(run.by) and run.state != "standby":
            await self._manager.ask(run.by, self.result(team).text, sender=TELLER)


def _options(**given: str | None) -> dict[str, str]:
    return {name: value for name, value in given.items() if value}


def _existing(file: str) -> str:
    """Its full path. Raises `BadInput` where there is none."""
    path = Path(file).expanduser().resolve()
    if not path.exists():
        raise BadInput(f"there is no file {path} to give to the team")
    return str(path)
