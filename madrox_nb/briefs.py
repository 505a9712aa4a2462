"""What the members of a team are told: who they are together, each phase's work, the lead's plan. Pure.

Nothing is ever cut: who does a part of the work gets all that was written for it.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from .conditions import Condition
from .events import PERSON
from .folds import Usage
from .plans import Member, Phase, fields, fill, quoted
from .teamwork import State, TeamRun

GIVEN: str = "from"
"""The directory, in a member's own, that holds what others gave it."""

TOGETHER = """\
# Your team

You are **{agent}**, {place} of the team *{team}*. {about}

{who}
{part}
How this team works:

- The work comes to you phase by phase, each as one prompt that holds all you need for it.
- Say the result of a phase whole as your last words. It is handed on as it stands to those who need it;
  they see nothing else of what you said or did.
- Your directory is your own. Files that a phase asks for leave there under exactly the names it gives: each
  who needs them gets a copy. What you are given lies in `{given}/`, by phase and agent. Work on copies of
  your own, not on those.
- Say what you could not do and what you only assume. A gap that is named can be filled; one that is hidden
  costs the others their work.
- Small questions go to the member who knows (`send_to_instance`), not to everybody.
"""

LEADS = """\
# Plan of the team {team}

You are **{agent}** and lead this team. You carry this plan out with your tools; nobody else does. {about}

## Task

{task}

{files}## Members

Start them, all before the first phase, with `spawn_instance` and exactly these arguments. They become your
children. Their first prompt has to tell them what they are there for: they know nothing of this plan.
{branches}
{members}

## Phases

Give each phase to its members with `send_to_instance`, its brief whole. A phase begins when all phases that
it comes after are over; phases that don't wait for one another go on at once. Where a brief holds
`{{phase.member}}`, put in what that member answered, whole. Skip a phase whose condition doesn't hold. Where
a member fails, ask it once more, then do without it and say so. Files that a phase leaves stay in that
member's directory: look at them with `retrieve_instance_file`, and put what another one needs into its brief.

{phases}

## In the end

Report with `reply_to_caller`: phase by phase who did what and where it lies, what failed, what was skipped
and why. Then end the members with `terminate_instance`.
"""


FILES = """\
## Files

{files}

Each member finds the same files under the same names in its own directory, if it is called as below.

"""

BRANCHES = """
Each works in a git worktree of your repository, on a branch of its own that its birth names. Who builds on
what another has committed has to be told that branch. Name all branches in your report.
"""


def together(run: TeamRun, agent: str) -> str:
    """What stands in the instructions of `agent`, behind its role."""
    team, member = run.plan, run.plan.member(run.member_of(agent))
    names = run.members[member.name]
    place = "the lead" if member is team.lead else member.name
    if len(names) > 1:
        place += f" {names.index(agent) + 1} of {len(names)}"
    who = "".join(
        f"- {', '.join(run.members[each.name])} ({each.role}){': ' + each.part if each.part else ''}\n"
        for each in team.members
    )
    part = f"\nYour part: {member.part}\n" if member.part else ""
    limits = told_limits(member)
    return TOGETHER.format(
        agent=agent,
        place=place,
        team=team.name,
        about=team.description,
        who=who,
        part=part + (f"\nYour limits: {limits}.\n" if limits else ""),
        given=GIVEN,
    )


def told_limits(member: Member) -> str:
    limits = member.limits
    told = (
        (
            (f"{limits.usd:g} US dollars", limits.usd),
            (f"{limits.tokens:,} tokens" if limits.tokens else "", limits.tokens),
            (f"{limits.minutes:g} minutes", limits.minutes),
        )
        if any((limits.usd, limits.tokens, limits.minutes))
        else ()
    )
    return ", ".join(text for text, value in told if value)


def work(
    run: TeamRun,
    phase: Phase,
    agent: str,
    files: Iterable[str],
    branches: Mapping[str, str],
    task: str,
    inputs: Mapping[str, str],
) -> str:
    """The prompt that gives `agent` its share of a phase.

    `files` were laid into its directory; `branches` hold what was built by those that it builds on.
    """
    team = run.team
    results = results_for(run, phase)
    named = set(_named(phase))
    rest = [name for name in phase.needs if not any(field.partition(".")[0] == name for field in named)]
    shared = [name for name in run.who(phase) if name != agent]
    number = [each.name for each in team.phases].index(phase.name) + 1
    head = f"Phase {number} of {len(team.phases)} of {run.id}: **{phase.name}**"
    if shared:
        head += f", which {', '.join(shared)} {'works' if len(shared) == 1 else 'work'} on too"
    parts = [head, fill(phase.what, _plain(run, agent, task, inputs), results)]
    if rest:
        told = (f"### {name}\n\n{quoted(results[name])}" for name in rest)
        parts.append("\n\n".join(("## What this builds on", *told)))
    if given := "\n".join(f"- {file}" for file in files):
        parts.append(f"## Files you were given\n\n{given}")
    if branches:
        parts.append(f"## Git branches of what this builds on\n\n{_listed(branches)}")
    if phase.deliverables:
        wanted = "\n".join(f"- {file}" for file in phase.deliverables)
        parts.append(
            f"## What you leave in your directory\n\n{wanted}\n\n"
            "Others get copies of these under these very names. What you can't write, say instead."
        )
    return "\n\n".join(part.strip() for part in parts)


def results_for(run: TeamRun, phase: Phase) -> dict[str, str]:
    """By field (`design`, `design.lead`): what was said in the phases that this one gets results of."""
    found = {name: run.said(name) for name in phase.needs}
    for field in _named(phase):
        of, _, agent = field.partition(".")
        if of in phase.needs:
            found[field] = run.said(of, agent)
    return found


def _named(phase: Phase) -> list[str]:
    return fields(phase.what)


def _plain(run: TeamRun, agent: str, task: str, inputs: Mapping[str, str]) -> dict[str, str]:
    names = run.members[run.member_of(agent)]
    return {
        **inputs,
        "task": task,
        "me": agent,
        "number": str(names.index(agent) + 1),
        "count": str(len(names)),
        "inputs": "\n".join(f"- {name}: {value}" for name, value in inputs.items()),
    }


# the lead's plan


def plan(
    run: TeamRun,
    spawns: Sequence[Mapping[str, object]],
    files: Sequence[str],
    task: str,
    inputs: Mapping[str, str],
) -> str:
    """The prompt that hands the whole plan to the lead.

    `spawns` are the arguments of spawn_instance for every other member; `files` were laid into the
    lead's directory. `rehearse/lead.py` reads what stands here.
    """
    team = run.plan
    members = []
    for given in spawns:
        member = team.member(run.member_of(str(given["name"])))
        part = f"\n  {member.part}" if member.part else ""
        limits = f"\n  Its limits: {told}." if (told := told_limits(member)) else ""
        members.append(f"- spawn_instance {json.dumps(given, ensure_ascii=False)}{part}{limits}")
    return LEADS.format(
        agent=run.lead,
        team=team.name,
        about=team.description,
        task=task,
        files=FILES.format(files="\n".join(f"- {file}" for file in files)) if files else "",
        branches=BRANCHES if any("use_worktree" in given for given in spawns) else "",
        members="\n".join(members) or "None: you are alone.",
        phases="\n\n".join(_phase_of(run, phase, task, inputs) for phase in team.phases),
    ).strip()


def _phase_of(run: TeamRun, phase: Phase, task: str, inputs: Mapping[str, str]) -> str:
    names = run.who(phase)
    plain = {key: value for key, value in _plain(run, names[0], task, inputs).items() if key not in _OF_ONE}
    called = _called(run)
    for of, _, name in (field.partition(".") for field in _named(phase)):
        if name in called:
            plain[f"{of}.{name}"] = f"{{{of}.{called[name]}}}"
    lines = [f"### {phase.name}", "", f"- members: {', '.join(names)}"]
    if phase.after:
        lines.append(f"- after: {', '.join(phase.after)}")
    if phase.when is not None:
        lines.append(f"- only if: {_condition(phase.when, called)}")
    if phase.deliverables:
        lines.append(f"- leaves: {', '.join(phase.deliverables)}")
    brief = fill(phase.what, plain, {})
    fence = "~" * max(3, 1 + _longest_run(brief))
    return "\n".join([*lines, "", f"{fence}brief", brief, fence])


def _called(run: TeamRun) -> dict[str, str]:
    """The names that the file has for members and their agents, each with the one that it has here."""
    found: dict[str, str] = {}
    for member, names in run.members.items():
        written = run.plan.member(member).names
        before = names[0].removesuffix(written[0])
        found |= {name: before + name for name in (member, *written)}
    return found


def _condition(when: Condition, called: Mapping[str, str]) -> str:
    written = when.written
    for clause in when.clauses:
        if clause.agent:
            here = f"{clause.phase}.{called[clause.agent]}"
            written = re.sub(
                rf"(?<![\w.-]){re.escape(f'{clause.phase}.{clause.agent}')} ", f"{here} ", written
            )
    return written


_OF_ONE = ("me", "number", "count")
"""Fields that mean another thing to each agent: the lead puts them in."""


def _longest_run(text: str) -> int:
    longest = run = 0
    for character in text:
        run = run + 1 if character == "~" else 0
        longest = max(longest, run)
    return longest


# the report


@dataclass(frozen=True)
class Result:
    """What came of a run of a team."""

    id: str
    outcome: State
    why: str
    text: str
    """The plain report: phase by phase who said what, and what failed."""
    results: Mapping[str, str]
    """What was said, by phase, and by phase and agent (`design.architect`)."""
    usage: Usage
    """Of all its agents and their children."""
    branches: Mapping[str, str]
    """Agent → the git branch that it works on, or that was kept because it holds the only copy."""

    @property
    def ok(self) -> bool:
        return self.outcome == "ok"

    def __str__(self) -> str:
        return self.text


def result(run: TeamRun, spent: Usage, branches: Mapping[str, str]) -> Result:
    """What came of a run so far; `spent` is what its agents and all below them used."""
    said = {phase.name: run.said(phase.name) for phase in run.team.phases if run.outcome(phase)}
    each = {f"{phase}.{agent}": run.said(phase, agent) for phase, agent in run.shares}
    text = report(run, _cost(spent), branches)
    return Result(run.id, run.state, run.why, text, {**said, **each}, spent, branches)


def _cost(usage: Usage) -> str:
    if not usage.sources:
        return "Nobody has reported a cost yet."
    least = "" if usage.exact else "at least "
    return f"It used {usage.tokens:,} tokens, {least}${usage.cost_usd:.4f}."


def report(run: TeamRun, cost: str, branches: Mapping[str, str]) -> str:
    """What came of a run, for people and models: phase by phase who said what, and what failed.

    `cost` says what all its agents used, `branches` on which they work.
    """
    state = {"running": "is under way", "standby": "stands by for its task"}.get(
        run.state, f"ended {run.state}"
    )
    lines = [f"The team {run.id} {state}{f' ({run.why})' if run.why else ''}. {cost}"]
    for phase in run.team.phases:
        outcome = run.outcome(phase) or (
            "under way" if any(s.phase == phase.name for s in run.open) else "to come"
        )
        skip = run.skipped.get(phase.name)
        lines.append(f"\n## {phase.name}: {outcome}{f' ({skip.why})' if skip else ''}")
        for agent in run.who(phase):
            if (share := run.shares.get((phase.name, agent))) is not None:
                error = f": {share.error}" if share.error else ""
                lines.append(f"\n**{agent}** {share.state}{error}")
                lines += [share.text] if share.text else []
                lines += [f"Left: {', '.join(share.files)}"] if share.files else []
                lines += [f"Not there: {', '.join(share.missing)}"] if share.missing else []
    if branches:
        lines.append(f"\n## Git branches\n\n{_listed(branches)}")
    return "\n".join(lines)


def _listed(branches: Mapping[str, str]) -> str:
    return "\n".join(f"- {agent}: `{branch}`" for agent, branch in branches.items())


def asker(run: TeamRun) -> str:
    return "the person" if run.by == PERSON else run.by
