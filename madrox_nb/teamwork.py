"""What teams are at: a fold of the ledger, and from it what comes next. Pure.

What may happen to a team next is in `LEGAL`. A `Share` is one agent's part of one phase: a
phase is over when all its shares are, or when it was skipped. What is done is concluded from
here alone, so a run goes on in another kernel where this one left it.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from datetime import datetime
from functools import cached_property, lru_cache
from typing import Final, Literal

from .errors import BadInput, IllegalEvent, nearest
from .events import (
    NAN,
    PERSON,
    Entry,
    Event,
    PhaseEnded,
    PhaseSkipped,
    PhaseStarted,
    RunClosed,
    TeamEnded,
    TeamMode,
    TeamResumed,
    TeamStarted,
    UsageReported,
)
from .fold import Fold
from .folds import Costs, Usage, usage_of
from .plans import Phase, Team, read
from .tree import Tree

LEGAL: Final[dict[str, dict[type[Event], str]]] = {
    "": {TeamStarted: "running"},
    "running": {PhaseStarted: "running", PhaseEnded: "running", PhaseSkipped: "running", TeamEnded: "over"},
    "over": {TeamResumed: "running"},
}
"""state → kind of event → state. When it is over, `TeamRun.state` says how: ok, failed or stopped."""

OF_TEAMS: Final = frozenset(kind for kinds in LEGAL.values() for kind in kinds)

_read = lru_cache(maxsize=64)(read)

State = Literal["running", "standby", "ok", "failed", "stopped"]


class UnknownTeam(BadInput):
    """No team of that name has been started."""

    def __init__(self, name: str, known: Iterable[str]) -> None:
        listed = list(known)
        super().__init__(
            f"no team {name!r} has been started here.{nearest(name, listed)} "
            f"Known: {', '.join(listed) or 'none yet; %madrox team NAME --task … starts one'}"
        )


@dataclass(frozen=True)
class Share:
    """One agent's part of one phase."""

    phase: str
    agent: str
    state: str = "running"
    """`running`, `ok`, `failed` or `stopped`."""
    attempt: int = 1
    text: str = ""
    error: str = ""
    turn: str = ""
    files: tuple[str, ...] = ()
    missing: tuple[str, ...] = ()
    started: datetime | None = None
    ended: datetime | None = None
    usage: Usage = field(default_factory=Usage)

    @property
    def duration_s(self) -> float:
        """Seconds; NaN while it is under way."""
        return (self.ended - self.started).total_seconds() if self.ended and self.started else NAN


@dataclass(frozen=True)
class TeamRun:
    """One run of a team. A value: the fold replaces it."""

    id: str
    path: str
    text: str
    members: dict[str, tuple[str, ...]]
    """Member → the names of its agents."""
    task: str
    inputs: dict[str, str]
    mode: TeamMode
    by: str
    parent: str | None
    options: dict[str, str]
    files: tuple[str, ...]
    started: datetime
    state: State = "running"
    why: str = ""
    ended: datetime | None = None
    shares: dict[tuple[str, str], Share] = field(default_factory=dict)
    """(phase, agent) → its newest attempt."""
    skipped: dict[str, PhaseSkipped] = field(default_factory=dict)
    resumes: str = ""

    @cached_property
    def team(self) -> Team:
        """The file, as it was when this began; led by its lead, it has one phase."""
        if self.mode == "phases":
            return self.plan
        return replace(self.plan, phases=(Phase(LEAD_PHASE, (self.plan.lead.name,), ""),))

    @property
    def plan(self) -> Team:
        """The file with all its phases, whoever carries them out."""
        return _read(self.id.rpartition(".")[0], self.text, self.path)

    @property
    def lead(self) -> str:
        return self.members[self.team.lead.name][0]

    @property
    def agents(self) -> tuple[str, ...]:
        """Those that madrox spawns: all, or the lead alone."""
        return self.everyone if self.mode == "phases" else (self.lead,)

    @property
    def everyone(self) -> tuple[str, ...]:
        """The agents of all members, whoever spawns them."""
        return tuple(name for names in self.members.values() for name in names)

    def who(self, phase: Phase) -> tuple[str, ...]:
        """The agents that work in a phase."""
        return tuple(name for member in phase.who for name in self.members[member])

    def member_of(self, agent: str) -> str:
        return next(member for member, names in self.members.items() if agent in names)

    def outcome(self, phase: Phase) -> str:
        """`ok`, `failed` or `skipped`; empty while it is not over."""
        if phase.name in self.skipped:
            return "skipped"
        states = [share.state if share else "" for share in self._of(phase)]
        if any(state in ("", "running") for state in states):
            return ""
        return "ok" if set(states) == {"ok"} else "failed"

    def _of(self, phase: Phase) -> list[Share | None]:
        return [self.shares.get((phase.name, agent)) for agent in self.who(phase)]

    def said(self, phase: str, agent: str = "") -> str:
        """The result of a phase, whole; of one member or one agent alone, where one is named."""
        names = self.members.get(agent, (agent,)) if agent else self.who(self.team.phase(phase))
        if (skip := self.skipped.get(phase)) is not None:
            return f"(skipped: {skip.why})"
        found = [share for name in names if (share := self.shares.get((phase, name)))]
        if len(found) == 1:
            return _said(found[0])
        return "\n\n".join(f"**{share.agent}**:\n{_said(share)}" for share in found)

    def known(self, phase: str, agent: str) -> tuple[str, str]:
        """What a condition asks: (state, what was said)."""
        if agent and phase not in self.skipped:
            names = self.members.get(agent, (agent,))
            states = {share.state for name in names if (share := self.shares.get((phase, name)))}
            return ("ok" if states == {"ok"} else "failed"), self.said(phase, agent)
        return self.outcome(self.team.phase(phase)), self.said(phase)

    @property
    def open(self) -> list[Share]:
        """Shares under way."""
        return [share for share in self.shares.values() if share.state == "running"]

    @property
    def failed(self) -> list[Share]:
        return [share for share in self.shares.values() if share.state in ("failed", "stopped")]

    @property
    def usage(self) -> Usage:
        """Of its own turns; what their children used is not in it."""
        return sum((share.usage for share in self.shares.values()), Usage())


LEAD_PHASE: Final = "plan"
"""The one phase of a team whose lead carries its plan out."""


def _said(share: Share) -> str:
    return share.text if share.state == "ok" else f"({share.state}: {share.error})\n{share.text}".strip()


# what comes next


@dataclass(frozen=True)
class Due:
    """What is to happen to a phase now: its shares begin, or it is `skip`ped."""

    phase: Phase
    agents: tuple[str, ...] = ()
    why: str = ""
    blocked: bool = False


def due(run: TeamRun) -> Iterator[Due]:
    """What can happen now; nobody gets two shares at a time.

    Nothing, with no share under way, means that the run is over.
    """
    at_work = {share.agent for share in run.open}
    for phase in run.team.phases:
        if run.outcome(phase):
            continue
        before = {name: run.outcome(run.team.phase(name)) for name in phase.after}
        if not all(before.values()):
            continue
        if bad := [name for name in phase.needs if before[name] == "failed" or _blocked(run, name)]:
            yield Due(phase, why=f"it needs {', '.join(bad)}, which did not succeed", blocked=True)
        elif phase.when is not None and not phase.when.holds(run.known):
            yield Due(phase, why=f"not the case: {phase.when.written}")
        elif agents := tuple(
            a for a in run.who(phase) if (phase.name, a) not in run.shares and a not in at_work
        ):
            yield Due(phase, agents)


def _blocked(run: TeamRun, phase: str) -> bool:
    return phase in run.skipped and run.skipped[phase].blocked


def verdict(run: TeamRun) -> tuple[Literal["ok", "failed"], str]:
    """How a run ended of which nothing is left to do, and why."""
    bad = [f"{share.phase} ({share.agent})" for share in run.failed]
    blocked = [name for name in run.skipped if _blocked(run, name)]
    if not bad and not blocked:
        return "ok", ""
    return "failed", "; ".join(
        part
        for part in (
            f"failed: {', '.join(bad)}" if bad else "",
            f"not begun: {', '.join(blocked)}" if blocked else "",
        )
        if part
    )


def spent(run: TeamRun, tree: Tree, costs: Costs) -> Usage:
    """What its agents and all below them used."""
    known = [name for name in run.agents if name in tree]
    tops = [name for name in known if not set(tree.above(name)).intersection(known)]
    return sum((costs.subtree(tree, name) for name in tops), Usage())


def again(run: TeamRun, names: Iterable[str]) -> tuple[str, ...]:
    """`names` checked: phases (`review`), or shares of them (`review.lead`).

    Raises `BadInput` with the nearest one.
    """
    found = []
    for name in names:
        phase, _, agent = name.partition(".")
        who = run.who(run.team.phase(phase))
        meant = run.members.get(agent, (agent,)) if agent else who
        for each in meant:
            if each not in who:
                listed = ", ".join(who)
                raise BadInput(
                    f"{each!r} has no share of {phase} in {run.id}.{nearest(each, who)} Known: {listed}"
                )
        found += [f"{phase}.{each}" for each in meant] if agent else [phase]
    return tuple(found)


def _gone_on(run: TeamRun, event: TeamResumed) -> TeamRun:
    """Without what has not been done well, what is to be done again, and what came after that."""
    phases = {name.partition(".")[0] for name in event.again}
    phases |= {share.phase for share in run.failed}
    behind = {name for phase in phases for name in run.team.behind(phase)}

    def stays(share: Share) -> bool:
        named = {share.phase, f"{share.phase}.{share.agent}"}
        return share.state == "ok" and share.phase not in behind and not named.intersection(event.again)

    return replace(
        run,
        state="running",
        why="",
        ended=None,
        task=event.task or run.task,
        shares={key: share for key, share in run.shares.items() if stays(share)},
        skipped={name: skip for name, skip in run.skipped.items() if not skip.blocked and name not in behind},
    )


# the fold


class TeamRuns(Fold):
    """All runs of teams by their id, in the order in which they began."""

    HEARS = OF_TEAMS | {RunClosed, UsageReported}

    def __init__(self) -> None:
        self.runs: dict[str, TeamRun] = {}
        self._attempts: dict[tuple[str, str, str], int] = {}
        self._spent: dict[str, Usage] = {}
        """Turn → what it used so far; of agents with a share under way."""

    def __getitem__(self, team: str) -> TeamRun:
        """Raises `UnknownTeam` with the nearest one."""
        try:
            return self.runs[team]
        except KeyError:
            raise UnknownTeam(team, self.runs) from None

    def __iter__(self) -> Iterator[TeamRun]:
        return iter(tuple(self.runs.values()))

    def __contains__(self, team: object) -> bool:
        return team in self.runs

    def under_way_with(self, agent: str) -> TeamRun | None:
        """The newest run under way that has an agent of that name, born or to be born."""
        running = (run for run in reversed(self.runs.values()) if run.state == "running")
        return next((run for run in running if agent in run.everyone), None)

    def next_id(self, template: str) -> str:
        return f"{template}.{sum(run.id.rpartition('.')[0] == template for run in self) + 1}"

    def attempt(self, team: str, phase: str, agent: str) -> int:
        """The number of the attempt that comes next."""
        return self._attempts.get((team, phase, agent), 0) + 1

    def check(self, event: Event) -> None:
        """Raises `IllegalEvent` for what can't happen to a team now. Others' events pass."""
        if type(event) not in OF_TEAMS:
            return
        team = getattr(event, "team", "")
        run = self.runs.get(team)
        state = "" if run is None else "running" if run.state == "running" else "over"
        if type(event) not in LEGAL[state]:
            raise IllegalEvent(
                event, state or "unknown", f"the team {team} is {run.state if run else 'not known'}"
            )
        if run is not None and isinstance(event, PhaseStarted | PhaseEnded):
            self._check_share(run, event)

    def _check_share(self, run: TeamRun, event: PhaseStarted | PhaseEnded) -> None:
        share = run.shares.get((event.phase, event.agent))
        under_way = share is not None and share.state == "running"
        if share is None and run.resumes and isinstance(event, PhaseEnded):
            return  # it was done in an earlier kernel
        if under_way is not isinstance(event, PhaseEnded):
            is_ = "is" if under_way else "is not"
            raise IllegalEvent(event, run.state, f"its share of {event.phase} in {run.id} {is_} under way")

    def take(self, entry: Entry) -> None:
        match event := entry.event:
            case UsageReported():
                if any(share.agent == event.agent for run in self for share in run.open):
                    self._spent[event.turn] = self._spent.get(event.turn, Usage()) + usage_of(event)
            case RunClosed():
                for run in self:
                    if run.state == "running":
                        self.runs[run.id] = _over(run, entry, "stopped", event.reason)
            case TeamStarted():
                self.runs[event.team] = _begun(entry, event)
            case PhaseStarted() if event.team in self.runs:
                self._attempts[event.team, event.phase, event.agent] = event.attempt
                share = Share(event.phase, event.agent, attempt=event.attempt, started=entry.ts)
                self._share(event.team, share)
            case PhaseEnded() if event.team in self.runs:
                self._ended(entry, event)
            case PhaseSkipped() if event.team in self.runs:
                run = self.runs[event.team]
                self.runs[run.id] = replace(run, skipped={**run.skipped, event.phase: event})
            case TeamEnded() if event.team in self.runs:
                run = self.runs[event.team]
                stood_by = event.outcome == "ok" and not run.task
                self.runs[run.id] = _over(run, entry, "standby" if stood_by else event.outcome, event.why)
            case TeamResumed() if event.team in self.runs:
                self.runs[event.team] = _gone_on(self.runs[event.team], event)

    def _share(self, team: str, share: Share) -> None:
        run = self.runs[team]
        self.runs[team] = replace(run, shares={**run.shares, (share.phase, share.agent): share})

    def _ended(self, entry: Entry, event: PhaseEnded) -> None:
        begun = self.runs[event.team].shares.get((event.phase, event.agent), Share(event.phase, event.agent))
        share = replace(
            begun,
            state=event.outcome,
            text=event.text,
            error=event.error,
            turn=event.turn,
            files=event.files,
            missing=event.missing,
            ended=entry.ts,
            usage=self._spent.pop(event.turn, Usage()),
        )
        self._share(event.team, share)


def _begun(entry: Entry, event: TeamStarted) -> TeamRun:
    return TeamRun(
        id=event.team,
        path=event.path,
        text=event.text,
        members={member: tuple(names) for member, names in json.loads(event.members).items()},
        task=event.task,
        inputs=json.loads(event.inputs or "{}"),
        mode=event.mode,
        by=event.by or PERSON,
        parent=event.parent,
        options=json.loads(event.options or "{}"),
        files=event.files,
        started=entry.ts,
        resumes=event.resumes,
    )


def _over(run: TeamRun, entry: Entry, state: State, why: str) -> TeamRun:
    """Over; a share that was under way is not done."""
    stopped = {
        key: replace(share, state="stopped", error=why or "the run ended", ended=entry.ts)
        if share.state == "running"
        else share
        for key, share in run.shares.items()
    }
    return replace(run, state=state, why=why, ended=entry.ts, shares=stopped)
