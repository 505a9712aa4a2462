"""Tools that start teams from files, and look after them."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Iterator, Mapping
from typing import Annotated, Any

from .. import library
from ..calls import WIDENING, Call, Result, owns, parent_for, tool
from ..config import Settings
from ..errors import BadInput, Forbidden
from ..events import PERSON, TeamMode
from ..folds import Usage
from ..plans import Team
from ..rules import Scope
from ..teamwork import TeamRun
from .arguments import May, Model, Repository
from .telling import iso, number
from .waiting import countdown, telling_meanwhile

Template = Annotated[str, "Name of a team file, as in list_templates: software_engineering_team, …"]
TeamId = Annotated[str, "Which team: the id that spawn_team_from_template gave, or its file's name."]
InWorktrees = Annotated[
    bool | None,
    "true: each of its agents works in a git worktree, on a branch of its own (false: none does). Left out: "
    "those of whom the template says so.",
]
MayWait = Annotated[bool, "Wait until it is over, 45 s at most. false returns at once."]


@tool(read_only=True)
async def list_templates(
    call: Call,
    name: Annotated[
        str | None, "One template in full: its members, phases and briefs. Left out: all."
    ] = None,
) -> Result:
    """List the teams that spawn_team_from_template can start, with what each wants to be told. Free."""
    if name is not None:
        team = await asyncio.to_thread(library.team, name)
        return Result(team.text, _listed(team) | {"text": team.text})
    found = sorted(await asyncio.to_thread(lambda: list(library.teams())), key=lambda team: team.name)
    return Result(
        "\n".join(map(_line, found)), {"templates": [_listed(team) for team in found], "total": len(found)}
    )


def _beyond(given: Mapping[str, Any], settings: Settings) -> Iterator[tuple[Scope, str]]:
    """What a team's file gives its members beyond the settings, as if it stood in the call."""
    try:
        team = library.team(given.get("template_name", ""))
    except BadInput:
        return  # refused as such
    for member in team.members:
        amounts = team.limits(member)
        for name, limit in (("max_total_tokens", "tokens"), ("timeout_minutes", "minutes")):
            needed, wider = WIDENING[name]
            if wider(amounts.get(limit), settings):
                yield needed, f"the limit of {amounts[limit]:g} {limit} for {member.name} in {team.path}"


@tool(widens=_beyond)
async def spawn_team_from_template(
    call: Call,
    template_name: Template,
    task_description: Annotated[
        str | None, "What the team is to do, whole. Without it the team is spawned and stands by."
    ] = None,
    supervisor_role: Annotated[str | None, "Role of its lead, instead of the one in the file."] = None,
    parent_instance_id: Annotated[
        str | None, "Whose child its lead becomes: yours, unless you name an agent below you."
    ] = None,
    mode: Annotated[
        TeamMode, "phases: madrox carries the plan out. lead: only the lead is spawned, and does so itself."
    ] = "phases",
    inputs: Annotated[dict[str, str] | None, "Values for the inputs that list_templates names."] = None,
    instance_type: Annotated[str | None, "CLI for all its agents; else the file's, or the default."] = None,
    model: Model = None,
    permissions: May = None,
    use_worktree: InWorktrees = None,
    git_repo: Repository = None,
    wait: MayWait = False,
) -> Result:
    """Start a whole team at once, each agent with its whole brief, and have its phases carried out.

    It costs one process and several turns for each agent: list_templates says how many there
    are. Returns at once with the team's id and the names of its agents; its report comes as
    your next prompt, and get_team_status says how far it is. The agents stay afterwards:
    end them with terminate_instance of the lead.
    """
    manager = call.manager
    team = await manager.teams.start(
        template_name,
        task_description or "",
        inputs=inputs,
        mode=mode,
        harness=instance_type.strip().lower() if instance_type else None,
        model=model,
        permissions=permissions,
        lead_role=supervisor_role,
        use_worktree=use_worktree,
        git_repo=git_repo,
        parent=parent_for(manager.tree, call.caller, parent_instance_id),
        by=call.caller,
    )
    run = manager.teams.runs[team]
    if wait:
        return await waited_for_team(call, team)
    then = "It stands by: give it a task with resume_team." if not run.task else _comes_later(call)
    text = f"started {team}: {', '.join(run.agents)}; {run.lead} leads. {then}"
    return Result(text, _status(call, run))


@tool(read_only=True)
async def get_team_status(
    call: Call,
    team_id: Annotated[str | None, "Which team; left out, the newest one that you started."] = None,
    wait: MayWait = False,
) -> Result:
    """Say how far a team is: phase by phase who is at work, who said what, what failed. Costs no turn."""
    run = own_team(call, team_id)
    if wait:
        return await waited_for_team(call, run.id)
    return Result(call.manager.teams.result(run.id).text, _status(call, run))


@tool()
async def stop_team(call: Call, team_id: TeamId) -> Result:
    """End what a team has under way. Its agents stay and keep their context; resume_team goes on."""
    run = own_team(call, team_id)
    result = await call.manager.teams.stop(run.id, f"stopped by {call.caller}")
    return Result(f"{run.id} is {result.outcome}", _status(call, call.manager.teams.runs[run.id]))


@tool()
async def retry_team(
    call: Call,
    team_id: TeamId,
    phases: Annotated[
        list[str] | None, "Phases (review) or shares of them (review.lead). Left out: all that failed."
    ] = None,
    wait: MayWait = False,
) -> Result:
    """Do again what failed in a team, or what you name, and all that comes after it. It costs turns."""
    run = own_team(call, team_id)
    await call.manager.teams.retry(run.id, *(phases or ()))
    return await _gone_on(call, run.id, wait)


@tool()
async def resume_team(
    call: Call,
    team_id: TeamId,
    task_description: Annotated[str | None, "What it is to do, where it stood by without a task."] = None,
    wait: MayWait = False,
) -> Result:
    """Go on with a team that was stopped, with what is not done; or give its task to one that stands by.

    It costs turns.
    """
    run = own_team(call, team_id)
    await call.manager.teams.resume(run.id, task=task_description or "")
    return await _gone_on(call, run.id, wait)


async def _gone_on(call: Call, team: str, wait: bool) -> Result:
    if wait:
        return await waited_for_team(call, team)
    return Result(f"{team} goes on. {_comes_later(call)}", _status(call, call.manager.teams.runs[team]))


async def waited_for_team(call: Call, team: str, seconds: float = math.inf) -> Result:
    """The report when it is over in time, else how far it is."""
    manager = call.manager
    lead = manager.teams.runs[team].lead
    doing = lead if lead in manager.tree else ""
    await telling_meanwhile(call, doing, manager.teams.wait(team, countdown(seconds)()))
    run, text = manager.teams.runs[team], manager.teams.result(team).text
    if run.state == "running":
        text = f"running: {text}\n\nget_team_status says how far it is; {_comes_later(call)}"
    return Result(text, _status(call, run))


def own_team(call: Call, team: str | None) -> TeamRun:
    """The run of that name, if the caller, or somebody below it, started it. Raises `Forbidden`."""
    teams, own = call.manager.teams, own_teams(call)
    if team is None:
        if not own:
            raise BadInput("you have started no team yet: spawn_team_from_template does")
        return own[-1]
    run = teams.runs[teams.find(team)]
    if run not in own:
        raise Forbidden(f"{run.id} was started by {run.by}, who is neither you nor below you. Ask {run.by}")
    return run


def own_teams(call: Call) -> list[TeamRun]:
    """Those that the caller, or somebody below it, started."""
    manager, caller = call.manager, call.caller
    return [run for run in manager.teams.runs if caller == PERSON or owns(manager.tree, caller, run.by)]


def _comes_later(call: Call) -> str:
    if call.caller == PERSON:
        return "get_team_status says how far it is, with wait until it is over."
    return "Its report comes as your next prompt."


def _status(call: Call, run: TeamRun) -> dict[str, Any]:
    teams = call.manager.teams
    return status_of_team(run, teams.spent(run), teams.branches(run))


def status_of_team(run: TeamRun, spent: Usage, branches: Mapping[str, str]) -> dict[str, Any]:
    return {
        "team_id": run.id,
        "template": run.team.name,
        "state": run.state,
        "status": run.state,
        "why": run.why,
        "mode": run.mode,
        "supervisor_id": run.lead,
        "instances": list(run.agents),
        "branches": branches,
        "team_size": len(run.agents),
        "task": run.task,
        "phases": [_phase(run, name) for name in (phase.name for phase in run.team.phases)],
        "started": iso(run.started),
        "ended": iso(run.ended) if run.ended else None,
        "tokens": spent.tokens,
        "cost_usd": number(spent.known_usd) if spent.sources else None,
    }


def _phase(run: TeamRun, name: str) -> dict[str, Any]:
    phase = run.team.phase(name)
    skip = run.skipped.get(name)
    shares = [run.shares[name, agent] for agent in run.who(phase) if (name, agent) in run.shares]
    return {
        "name": name,
        "state": run.outcome(phase)
        or ("running" if any(s.state == "running" for s in shares) else "to come"),
        "why": skip.why if skip else "",
        "shares": [
            {
                "instance_id": share.agent,
                "state": share.state,
                "attempt": share.attempt,
                "result": share.text,
                "error": share.error,
                "files": list(share.files),
                "missing_files": list(share.missing),
            }
            for share in shares
        ],
    }


def _line(team: Team) -> str:
    phases = ", ".join(phase.name for phase in team.phases)
    inputs = f" Inputs: {', '.join(each.name for each in team.inputs)}." if team.inputs else ""
    return f"{team.name} ({team.size} agents): {team.description} Phases: {phases}.{inputs}"


def _listed(team: Team) -> dict[str, Any]:
    return {
        "name": team.name,
        "description": team.description,
        "team_size": team.size,
        "supervisor_role": team.lead.role,
        "members": [{"name": m.name, "role": m.role, "count": m.count, "part": m.part} for m in team.members],
        "phases": [phase.name for phase in team.phases],
        "inputs": [{"name": i.name, "description": i.description, "default": i.default} for i in team.inputs],
        "path": team.path,
    }
