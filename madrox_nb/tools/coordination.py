"""Tools for work that several agents do together, and for waiting until it is done."""

from __future__ import annotations

from typing import Annotated, Any, Final

from ..calls import Call, Result, may_message, owns, tool
from ..errors import BadInput, Forbidden
from ..events import PERSON, Way
from ..steps import Job, Part, dissent, progress, report, result, tally
from .telling import iso
from .waiting import LONGEST_WAIT, countdown, telling_meanwhile

MaxWait = Annotated[float, f"How long to wait, in seconds. One call waits {LONGEST_WAIT:.0f} s at most."]
STATUS: Final = {"ok": "completed", "failed": "failed", "interrupted": "interrupted", None: "running"}


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
        "As coordinate_instances has returned it, such as lead.j1. Left out: all jobs that you see.",
    ] = None,
    wait_for_completion: Annotated[bool, "Wait until it is over. false only looks."] = True,
    max_wait: MaxWait = 120,
) -> Result:
    """Say how far a job of several agents is: who has answered, who is at work, who failed and why.

    It costs no turn. When the job is over you get its whole report. If it is still `running`
    when the waiting is over, call it again, or go on: the report comes by itself.
    """
    if job_id is not None:
        _may_know(call, call.manager.jobs[job_id])
        return await _waited(call, job_id, countdown(max_wait)() if wait_for_completion else 0)
    jobs = [job for job in call.manager.jobs if _knows(call, job)]
    lines = [f"{job.id} ({job.way}) {STATUS[job.outcome]}: {progress(job)}" for job in jobs]
    return Result(
        "\n".join(lines) or "no jobs yet: coordinate_instances starts one",
        {"jobs": [_as_data(job) for job in jobs], "total": len(jobs)},
    )


def _knows(call: Call, job: Job) -> bool:
    """Who wants a job, who stands above that one, and who coordinates it, may see it."""
    return call.caller == job.coordinator or owns(call.manager.tree, call.caller, job.caller)


def _may_know(call: Call, job: Job) -> None:
    if not _knows(call, job):
        raise Forbidden(
            f"{call.caller} can't see job {job.id}: {job.caller} wanted it, and {job.coordinator} "
            f"coordinates it. Ask {job.caller}"
        )


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
        return Result(f"{text}, or call get_job_status", _as_data(job))
    if call.caller == job.caller:
        await manager.foreman.told(job)
    return Result(report(job), _as_data(job))


def _as_data(job: Job) -> dict[str, Any]:
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
        "started": iso(job.started),
        "ended": iso(job.ended) if job.ended else None,
        "error": job.error,
        "progress": {
            "answered": len(job.answered),
            "failed": [part.agent for part in job.participants if part.state in ("failed", "interrupted")],
            "of": len(job.participants),
        },
        "participants": [_part(part) for part in job.participants],
        "result": result(job),
        **votes,
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
