"""Tools for work that several agents do together, and for waiting until it is done."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Annotated, Any, Final

from ..briefs import Result as TeamResult
from ..briefs import result as team_result
from ..calls import Call, Result, may_message, owns, tool
from ..errors import BadInput, Forbidden, UnknownJob
from ..events import PERSON, Way
from ..ledger import run_files
from ..past import past, run_of_job
from ..steps import UNANSWERED, Job, Part, dissent, progress, report, result, tally
from ..teamwork import TeamRun, spent
from .arguments import RunName
from .teams import own_team, own_teams, status_of_team, waited_for_team
from .telling import iso
from .waiting import LONGEST_WAIT, countdown, telling_meanwhile

MaxWait = Annotated[float, f"How long to wait, in seconds. One call waits {LONGEST_WAIT:.0f} s at most."]
STATUS: Final[Mapping[str | None, str]] = {
    "ok": "completed",
    "failed": "failed",
    "interrupted": "interrupted",
    "stopped": "stopped",
    None: "running",
}


@tool()
async def coordinate_instances(
    call: Call,
    participant_ids: Annotated[list[str], "Who works on it, in this order: below you, or your siblings."],
    task_description: Annotated[str, "The task, complete: participants see nothing of your conversation."],
    coordinator_id: Annotated[
        str | None,
        "Who writes the synthesis of a consensus, and is left the report of any other job: you, "
        "when left out.",
    ] = None,
    coordination_type: Annotated[
        Way,
        "sequential: one after the other, each builds on the last one's answer. parallel: all at once, each "
        "on its own. consensus: all vote on their own, then the coordinator weighs the votes.",
    ] = "sequential",
    wait_for_completion: Annotated[
        bool, "Wait for the end of the job instead of going on meanwhile."
    ] = False,
    max_wait: MaxWait = 120,
) -> Result:
    """Let several agents work on one task. It costs one turn of each, and one for a synthesis.

    Returns a job_id at once. get_job_status shows how far each is and waits for the end; the
    report also comes as your next prompt, or from get_pending_replies. Who fails is
    reported, and the rest goes on. A consensus comes with its tally, and with what those who
    dissent have said, word for word. Where you are the coordinator you weigh the votes yourself.
    """
    manager, caller = call.manager, call.caller
    for name in participant_ids:
        may_message(manager.tree, caller, name)
    coordinator = coordinator_id or caller
    if coordinator not in (caller, PERSON):
        may_message(manager.tree, caller, coordinator)
    elif coordinator == PERSON and caller != PERSON and coordination_type == "consensus":
        raise BadInput("the person takes no turns and can't write a synthesis: leave coordinator_id out")
    left = countdown(max_wait)
    job = await manager.foreman.start(
        participant_ids, task_description, coordination_type, caller=caller, coordinator=coordinator
    )
    return await _waited(call, job, left() if wait_for_completion else 0)


@tool(read_only=True)
async def get_job_status(
    call: Call,
    job_id: Annotated[
        str | None,
        "As coordinate_instances has returned it, such as lead.j1, or the id of a team. "
        "Left out: all jobs and teams that you see.",
    ] = None,
    wait_for_completion: Annotated[bool, "Wait until it is over. false only looks."] = True,
    max_wait: MaxWait = 120,
    run: RunName = None,
) -> Result:
    """Say how far a job of several agents is: who has answered, who is at work, who failed and why.

    It costs no turn. When the job is over you get its whole report. If it is still `running`
    when the waiting is over, call it again, or go on: the report comes by itself.
    """
    manager = call.manager
    if job_id is None and run in (None, manager.run):
        return _all(call)
    if run not in (None, manager.run) or (call.caller == PERSON and job_id and not _is_here(call, job_id)):
        return await _from_earlier(call, job_id, run)
    assert job_id is not None
    seconds = countdown(max_wait)() if wait_for_completion else 0
    if job_id in manager.teams.runs:
        return await _team(call, job_id, seconds)
    if not _knows(call, job := _job(call, job_id)):
        raise Forbidden(
            f"{call.caller} can't see job {job.id}: {job.caller} wanted it, and {job.coordinator} "
            f"coordinates it. Ask {job.caller}"
        )
    return await _waited(call, job_id, seconds)


@tool()
async def stop_job(
    call: Call,
    job_id: Annotated[str, "Of a job that you, or one below you, wants; or of a team."],
) -> Result:
    """End what a job of several agents has under way, and ask nobody any more. The agents stay.

    Turns that work on it are interrupted, questions that wait are taken back. Returns what was
    reached, in 10 s at most; so does who waits for it. One that is over is left as it is.
    """
    manager, caller = call.manager, call.caller
    if job_id in manager.teams.runs:
        own_team(call, job_id)
        await manager.teams.stop(job_id, f"stopped by {caller}")
        return await _team(call, job_id, 0)
    job = _job(call, job_id)
    if not owns(manager.tree, caller, job.caller):
        raise Forbidden(
            f"{caller} can't stop job {job.id}: {job.caller} wanted it, who is neither you nor below you. "
            f"Ask {job.caller}"
        )
    job = await manager.foreman.stop(job_id, f"stopped by {caller}", by=caller)
    if caller == job.caller:
        await manager.foreman.told(job)
    return Result(report(job), _as_data(job, manager.run))


def _all(call: Call) -> Result:
    manager = call.manager
    jobs = [job for job in manager.jobs if _knows(call, job)]
    return _listed(jobs, own_teams(call), manager.run, lambda team: manager.teams.result(team.id))


def _listed(
    jobs: Iterable[Job], teams: Iterable[TeamRun], run: str, result_of: Callable[[TeamRun], TeamResult]
) -> Result:
    told = [
        *(_as_data(job, run) for job in jobs),
        *(_team_as_data(team, result_of(team), run) for team in teams),
    ]
    told.sort(key=lambda each: each["started"])
    lines = [
        f"{each['job_id']} ({each['coordination_type']}) {each['status']}: {each['far']}" for each in told
    ]
    return Result(
        "\n".join(lines) or "no jobs yet: coordinate_instances starts one",
        {"jobs": told, "total": len(told)},
    )


def _is_here(call: Call, job: str) -> bool:
    return job in call.manager.jobs or job in call.manager.teams.runs


def _job(call: Call, job: str) -> Job:
    """Raises `UnknownJob`, with those of teams among the known."""
    if not _is_here(call, job):
        raise UnknownJob(job, [each.id for each in (*call.manager.jobs, *call.manager.teams.runs)])
    return call.manager.jobs[job]


def _knows(call: Call, job: Job) -> bool:
    """Who wants a job, who stands above that one, and who coordinates it, may see it."""
    return call.caller == job.coordinator or owns(call.manager.tree, call.caller, job.caller)


async def _from_earlier(call: Call, job: str | None, run: str | None) -> Result:
    """What a run of this home that is not this one says of a job, or of all."""
    manager, directory = call.manager, call.manager.settings.logs
    if call.caller != PERSON:
        raise Forbidden(f"{call.caller} can't see jobs of an earlier run: leave run out, or ask the person")
    if run is None and job is not None:
        run = await asyncio.to_thread(run_of_job, directory, job, besides=manager.run)
    elif not run_files(directory, Path(run or "").name):
        raise BadInput(f"there is no run {run!r}. See which there are: list_logged_instances")
    if not run:
        _job(call, job or "")
    found = await asyncio.to_thread(past, directory, Path(run or "").name)

    def result_of(team: TeamRun) -> TeamResult:
        return team_result(team, spent(team, found.tree, found.costs), {})

    if job is None:
        return _listed(found.jobs, found.teams, found.run, result_of)
    if job in found.teams:
        team = found.teams[job]
        came = result_of(team)
        return Result(came.text, _team_as_data(team, came, found.run))
    return Result(report(found.jobs[job]), _as_data(found.jobs[job], found.run))


async def _team(call: Call, team: str, seconds: float) -> Result:
    """A team's run, as a job."""
    own_team(call, team)
    teams = call.manager.teams
    text = (await waited_for_team(call, team, seconds)).text if seconds > 0 else teams.result(team).text
    return Result(text, _team_as_data(teams.runs[team], teams.result(team), call.manager.run))


async def _waited(call: Call, name: str, seconds: float) -> Result:
    """The job when it is over, else as it stands after `seconds`."""
    manager = call.manager
    if seconds > 0:

        def about() -> str:
            return f"job {name}: {progress(manager.jobs[name])}"

        over = manager.jobs[name].ended is not None
        try:
            await telling_meanwhile(call, about, manager.foreman.wait(name, seconds, by=call.caller))
        except BaseException:
            if call.caller == manager.jobs[name].caller and not over:
                manager.foreman.give_back(name)
            raise
    job = manager.jobs[name]
    if job.ended is None:
        text = f"running: job {name} ({job.way}), {progress(job)}. Its report comes as your next prompt"
        if call.caller == PERSON:
            text = text.removesuffix("comes as your next prompt") + "is brought by get_pending_replies"
        return Result(f"{text}, or call get_job_status", _as_data(job, manager.run))
    if call.caller == job.caller:
        await manager.foreman.told(job)
    return Result(report(job), _as_data(job, manager.run))


def _as_data(job: Job, run: str) -> dict[str, Any]:
    votes = {}
    if job.way == "consensus":
        votes = {
            "tally": [{"choice": said, "votes": len(who), "by": who} for said, who in tally(job)],
            "dissent": [{"instance_id": part.agent, "response": part.text} for part in dissent(job)],
            "synthesis": _part(job.synthesis) if job.synthesis else None,
        }
    return {
        "job_id": job.id,
        "task_id": job.id,
        "status": STATUS[job.outcome],
        "coordination_type": job.way,
        "coordinator_id": job.coordinator,
        "wanted_by": job.caller,
        "task_description": job.task,
        "run": run,
        "started": iso(job.started),
        "ended": iso(job.ended) if job.ended else None,
        "error": job.error,
        "far": progress(job),
        "progress": {
            "answered": len(job.answered),
            "failed": [part.agent for part in job.participants if part.state in UNANSWERED],
            "of": len(job.participants),
        },
        "participants": [_part(part) for part in job.participants],
        "result": result(job),
        **votes,
    }


def _team_as_data(team: TeamRun, came: TeamResult, run: str) -> dict[str, Any]:
    """All that is told of a team, in the words of jobs where these have one for it."""
    over = [phase.name for phase in team.team.phases if team.outcome(phase)]
    return {
        **status_of_team(team, came.usage, came.branches),
        "job_id": team.id,
        "task_id": team.id,
        "status": STATUS.get(team.state, team.state),
        "coordination_type": "team",
        "coordinator_id": team.lead,
        "wanted_by": team.by,
        "task_description": team.task,
        "run": run,
        "error": team.why,
        "far": f"{len(over)} of {len(team.team.phases)} phases are over",
    }


def _part(part: Part) -> dict[str, Any]:
    return {
        "instance_id": part.agent,
        "status": "completed" if part.state == "ok" else part.state,
        "message_id": part.question,
        "turn": part.turn,
        "response": part.text,
        "error": part.error,
    }
