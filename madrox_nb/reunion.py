"""Takes over a team of an earlier kernel: what its ledger says was done, and its agents' conversations."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Iterator
from dataclasses import replace
from typing import TYPE_CHECKING

from .errors import BadInput
from .events import PERSON, Event, PhaseEnded, TeamStarted
from .ledger import read, run_files, runs
from .revival import bring_back
from .teamwork import TeamRun, TeamRuns, UnknownTeam

if TYPE_CHECKING:
    from .manager import Manager

log = logging.getLogger(__name__)


async def take_over(manager: Manager, team: str, run: str) -> str:
    """Begin a run that goes on with `team` of an earlier kernel (the newest one, or that of `run`).

    Returns its id; nobody carries it out yet. Raises `UnknownTeam`, or `BadInput` when there
    is nothing to go on with.
    """
    where, past = await asyncio.to_thread(_find, manager, team, run)
    await _bring_back(manager, past, where)
    id_ = manager.teams.runs.next_id(past.team.name)
    for event in _so_far(manager, past, where, id_):
        await manager.act(event)
    return id_


def _find(manager: Manager, team: str, run: str) -> tuple[str, TeamRun]:
    """(run, what it knew of the team). Raises `UnknownTeam` or `BadInput`."""
    directory, own = manager.settings.logs, manager.run
    known: list[str] = []
    for each in [run] if run else [each for each in runs(directory) if each != own]:
        found = TeamRuns.replay(read(run_files(directory, each)))
        for past in reversed(found.runs.values()):
            known.append(past.id)
            if team in ("", past.id, past.id.rpartition(".")[0]):
                if past.state in ("ok", "standby"):
                    raise BadInput(f"{past.id} of {each} is {past.state}: there is nothing to go on with")
                return each, past
    raise UnknownTeam(team, known)


async def _bring_back(manager: Manager, past: TeamRun, where: str) -> None:
    """Its agents, as far as they can come back: who is missing is spawned when its phase begins."""
    wanted = tuple(name for name in past.agents if name not in manager.tree)
    try:
        await bring_back(manager, wanted, where)
    except BadInput as exc:  # none was alive, or not all
        log.info("%s: %s", past.id, exc)
        for name in wanted:
            try:
                await bring_back(manager, (name,), where)
            except BadInput as missing:
                log.info("%s: %s", past.id, missing)


def _so_far(manager: Manager, past: TeamRun, where: str, id_: str) -> Iterator[Event]:
    """What happened to it until now, as events of the run that goes on with it."""
    yield TeamStarted(
        team=id_,
        path=past.path,
        text=past.text,
        members=json.dumps(past.members),
        task=past.task,
        inputs=json.dumps(past.inputs) if past.inputs else "",
        mode=past.mode,
        by=past.by if past.by in manager.tree else PERSON,
        parent=past.parent if past.parent in manager.tree else None,
        options=json.dumps(past.options) if past.options else "",
        files=past.files,
        resumes=f"{where}/{past.id}",
    )
    for share in past.shares.values():
        if share.state == "ok":
            yield PhaseEnded(
                agent=share.agent,
                team=id_,
                phase=share.phase,
                outcome="ok",
                turn=share.turn,
                text=share.text,
                files=share.files,
                missing=share.missing,
            )
    for skip in past.skipped.values():
        if not skip.blocked:
            yield replace(skip, team=id_)
