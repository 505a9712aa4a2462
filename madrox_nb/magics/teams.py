"""Teams of a file: `team`, `teams`."""

from __future__ import annotations

from typing import Any, Final

from IPython.core.error import UsageError

from ..grammar import PERMISSIONS, Argument, several
from .commands import AGENT, NO_WAIT, RAW, Command, Use


def _team(call: Use) -> Any:
    if sum(map(bool, (call.stop, call.retry is not None, call.resume, call.status))) > 1:
        raise UsageError("%madrox team: one of --stop, --retry, --resume and --status at a time")
    if call.name is None and not call.retry:
        raise UsageError("%madrox team: say which; %madrox teams lists them, with --started those that run")
    if call.status:
        return call.madrox.team_run(call.name)
    if call.stop:
        handle = call.madrox.team_run(call.name)
        handle.stop()
        return handle
    if call.retry is not None:
        names: list[str] = [call.name] if call.name else []
        name, *phases = names + call.retry  # `--retry NAME` means that team
        return call.madrox.team_run(name).retry(*phases, wait=not call.no_wait)
    task = _task(call)
    if call.resume:
        return _resumed(call, task)
    return call.madrox.team(
        call.name,
        task,
        inputs=dict(call.input),
        lead=call.lead,
        harness=call.harness,
        model=call.model,
        permissions=call.permissions,
        parent=call.parent,
        prefix=call.prefix,
        files=call.file,
        use_worktree=call.worktree or call.git_repo is not None or None,
        git_repo=call.git_repo,
        wait=not call.no_wait,
    )


def _task(call: Use) -> str:
    said = call.text.strip()
    if call.task is None:
        return said
    if said:
        raise UsageError(
            f"%madrox team: the task is told twice, by --task {call.task!r} and by {said[:40]!r}. "
            "Put a task of several words into quotes"
        )
    return str(call.task)


def _resumed(call: Use, task: str) -> Any:
    if task:
        return call.madrox.team_run(call.name).resume(task, wait=not call.no_wait)
    return call.madrox.resume_team(call.name, run=call.run, wait=not call.no_wait)


def _teams(call: Use) -> Any:
    from ..notebook import teams

    return call.madrox.team_runs() if call.started else teams()


COMMANDS: Final = (
    Command(
        "team",
        "start the whole team of a file, and have its phases carried out",
        _team,
        Argument(
            "name",
            nargs="?",
            completes="team",
            help="one of %%madrox teams; with --stop, --retry, … a team that runs",
        ),
        Argument(
            "--task",
            help="what the team is to do; or the words of the line, or the cell. Without: stand by",
        ),
        several("--input", such_as="language=Rust", help="what its file wants to be told"),
        Argument(
            "--lead", action="store_true", help="spawn the lead alone, with the whole plan to carry out"
        ),
        Argument("--harness", completes="harness", help="for all its agents"),
        Argument("--model", completes="model", help="for all its agents"),
        Argument(
            "--permissions",
            choices=PERMISSIONS,
            help="what they may do at most; its file only takes from that",
        ),
        Argument("--parent", completes=AGENT, help="whose child the lead becomes"),
        Argument("--prefix", help="before every name; without it one is found where a name is taken"),
        Argument("--file", action="append", default=[], metavar="PATH", help="copied to every member"),
        Argument("--worktree", action="store_true", help="each in a git worktree, on a branch of its own"),
        Argument(
            "--git-repo", metavar="DIR", help="of that repository, instead of the one around the notebook"
        ),
        NO_WAIT,
        Argument("--status", action="store_true", help="how far it is"),
        Argument("--stop", action="store_true", help="end what is under way; the agents stay"),
        Argument(
            "--retry",
            nargs="*",
            metavar="PHASE",
            help="do again what failed, or these phases (review.lead)",
        ),
        Argument(
            "--resume",
            action="store_true",
            help="go on where it was stopped, or where an earlier kernel ended",
        ),
        Argument("--run", default="", help="of an earlier kernel; without one the newest"),
        RAW,
        says=True,
        example='%madrox team security_audit --task "look at the login"',
    ),
    Command(
        "teams",
        "the team files that there are",
        _teams,
        Argument("--started", action="store_true", help="the teams that were started here instead"),
        example="%madrox teams --started",
    ),
)
