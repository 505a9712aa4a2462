"""A team that was started, by its id: what a cell shows of it, and the verbs for it."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from html import escape
from typing import TYPE_CHECKING, Any, TypeVar

from .briefs import Result
from .display import MONOSPACE, Live, Waiting, how_to_answer
from .errors import NotRunning
from .portal import patiently
from .teamwork import TeamRun
from .values import shortened

if TYPE_CHECKING:
    import concurrent.futures as cf

    import pandas as pd

    from .run import Run

T = TypeVar("T")

GLYPHS: Mapping[str, str] = {
    "to come": "○",
    "running": "●",
    "ok": "✓",
    "failed": "✕",
    "stopped": "■",
    "skipped": "–",
}


class _TeamHandle:
    """One run of a team: its facts are those of now."""

    def __init__(self, run: Run, id_: str) -> None:
        self._run, self.id = run, id_

    @property
    def _team(self) -> TeamRun:
        return self._run.manager.teams.runs[self.id]

    @property
    def state(self) -> str:
        """`running`, `standby` (it was given no task), `ok`, `failed` or `stopped`."""
        return self._team.state

    @property
    def agents(self) -> list[str]:
        """The names of its agents, the lead first."""
        return list(self._team.agents)

    @property
    def task(self) -> str:
        return self._team.task

    @property
    def result(self) -> Result:
        """What came of it so far: `ok`, `outcome`, `why`, `text` (the report), `results`, `usage`."""
        return self._run.manager.teams.result(self.id)

    @property
    def branches(self) -> dict[str, str]:
        """Agent → the git branch that it works on; see `Result.branches`."""
        return self._run.manager.teams.branches(self._team)

    def __getitem__(self, phase: str) -> str:
        """What was said in a phase (`design`), or by one of its agents there (`design.lead`)."""
        phase, _, agent = phase.partition(".")
        return self._team.said(self._team.team.phase(phase).name, agent)

    def status(self) -> pd.DataFrame:
        """One row for each agent's share of each phase, in their order.

        A phase that was skipped has one row without agent; its `error` says why.
        """
        from .frames import phases

        return phases(_rows(self._team))

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _TeamHandle) and (self._run, self.id) == (other._run, other.id)

    def __hash__(self) -> int:
        return hash((id(self._run), self.id))

    def __repr__(self) -> str:
        return f"<team {self.id}: {self.state}, {len(self.agents)} agents>"

    def __str__(self) -> str:
        branches = [f"{agent} works on {branch}" for agent, branch in self.branches.items()]
        return "\n".join((self._head(), *(" ".join(cells).rstrip() for cells in self._lines()), *branches))

    def _repr_mimebundle_(self, **_: Any) -> dict[str, str]:
        rows = "".join(f"<tr>{''.join(map(_cell, cells))}</tr>" for cells in self._lines())
        head = f'<div style="{MONOSPACE}">{escape(self._head())}</div>'
        page = f'{head}<table style="{MONOSPACE}">{rows}</table>' + _details(self.result.text)
        return {"text/plain": str(self), "text/html": page}

    def _head(self) -> str:
        team = self._team
        why = f" ({team.why})" if team.why else ""
        spent = self._run.manager.teams.spent(team)
        cost = (
            f", {spent.tokens:,} tokens, {'' if spent.exact else '≥ '}${spent.cost_usd:.4f}"
            if spent.sources
            else ""
        )
        return f"team {self.id} {team.state}{why}{cost}"

    def _lines(self) -> Iterator[tuple[str, str, str, str]]:
        """(glyph, phase, agent, what it came to) of each row."""
        rows = list(_rows(self._team))
        wide = max((len(str(row["phase"])) for row in rows), default=0)
        names = max((len(str(row["agent"] or "")) for row in rows), default=0)
        for row in rows:
            said = " ".join(str(row["error"] or row["text"] or "").split())
            line = said if len(said) <= LONGEST else f"{said[: LONGEST - 1]}…"
            agent = str(row["agent"] or "")
            yield GLYPHS.get(row["state"], "?"), f"{row['phase']:{wide}}", f"{agent:{names}}", line


LONGEST = 80
"""Characters of a result that a row shows; `handle["phase"]` has all of it."""


def _cell(text: str) -> str:
    return f'<td style="text-align:left;vertical-align:top">{escape(text.strip())}</td>'


def _details(text: str) -> str:
    body = f'<pre style="white-space:pre-wrap">{escape(shortened(text))}</pre>'
    return f"<details><summary>report</summary>{body}</details>"


def _rows(run: TeamRun) -> Iterator[dict[str, Any]]:
    for phase in run.team.phases:
        if (skip := run.skipped.get(phase.name)) is not None:
            yield {
                "share": phase.name,
                "phase": phase.name,
                "agent": None,
                "state": "skipped",
                "error": skip.why,
            } | {"text": None}
            continue
        for agent in run.who(phase):
            share = run.shares.get((phase.name, agent))
            known = {"share": f"{phase.name}.{agent}", "phase": phase.name, "agent": agent}
            if share is None:
                yield known | {"state": "to come", "error": None, "text": None}
                continue
            yield known | {
                "state": share.state,
                "attempt": share.attempt,
                "text": share.text,
                "error": share.error,
                "turn": share.turn,
                "files": " ".join(share.files),
                "missing": " ".join(share.missing),
                "started": share.started,
                "ended": share.ended,
                "duration_s": share.duration_s,
                "tokens": share.usage.tokens,
                "cost_usd": share.usage.known_usd if share.usage.sources else None,
            }


class TeamHandle(_TeamHandle):
    """What `Madrox.team` returns. An interrupt of a cell ends the waiting; the team goes on."""

    def wait(self, timeout: float | None = None) -> Result:
        """Wait until it is over; returns what came of it. Raises `TimeoutError` after `timeout` seconds."""
        result = _waiting(self._run, self._team).block(self._begin_wait(timeout), _line)
        return _in_time(result, self.id, timeout)

    def stop(self) -> Result:
        """End what is under way; the agents stay, and `resume` goes on."""
        return _done(self._run.start(self._run.manager.teams.stop, self.id))

    def retry(self, *what: str, wait: bool = True) -> TeamHandle:
        """Do again what failed, or the phases (`review`) and shares (`review.lead`) that are named."""
        _done(self._run.start(self._run.manager.teams.retry, self.id, *what))
        return self._gone_on(wait)

    def resume(self, task: str = "", *, wait: bool = True) -> TeamHandle:
        """Go on where it was stopped; with its `task`, where it stood by."""
        _done(self._run.start(self._run.manager.teams.resume, self.id, task=task))
        return self._gone_on(wait)

    def dismiss(self) -> list[str]:
        """Stop it and end its agents; returns the names that were ended."""
        return _done(self._run.start(self._run.manager.teams.dismiss, self.id))

    def _gone_on(self, wait: bool) -> TeamHandle:
        if wait:
            self.wait()
        return self

    def _begin_wait(self, timeout: float | None) -> cf.Future[Result | None]:
        return self._run.start(self._run.manager.teams.wait, self.id, timeout)


class AsyncTeamHandle(_TeamHandle):
    """What `AsyncMadrox.team` returns: the same verbs, to be awaited."""

    async def wait(self, timeout: float | None = None) -> Result:
        """Wait until it is over; see `TeamHandle.wait`."""
        future = self._run.start(self._run.manager.teams.wait, self.id, timeout)
        result = await _waiting(self._run, self._team).patiently(future, _line)
        return _in_time(result, self.id, timeout)

    async def stop(self) -> Result:
        """End what is under way; the agents stay, and `resume` goes on."""
        return await patiently(self._run.start(self._run.manager.teams.stop, self.id))

    async def retry(self, *what: str, wait: bool = True) -> AsyncTeamHandle:
        """Do again what failed, or what is named; see `TeamHandle.retry`."""
        await patiently(self._run.start(self._run.manager.teams.retry, self.id, *what))
        return await self._gone_on(wait)

    async def resume(self, task: str = "", *, wait: bool = True) -> AsyncTeamHandle:
        """Go on where it was stopped; with its `task`, where it stood by."""
        await patiently(self._run.start(self._run.manager.teams.resume, self.id, task=task))
        return await self._gone_on(wait)

    async def dismiss(self) -> list[str]:
        """Stop it and end its agents; returns the names that were ended."""
        return await patiently(self._run.start(self._run.manager.teams.dismiss, self.id))

    async def _gone_on(self, wait: bool) -> AsyncTeamHandle:
        if wait:
            await self.wait()
        return self


def _waiting(run: Run, team: TeamRun) -> Waiting:
    """A wait for a team: it shows who is at what, and a second interrupt stops the team."""
    tree, teams = run.manager.tree, run.manager.teams

    def asked() -> list[str]:
        """The requests of its agents, and of all below them, that wait for the person."""
        known = [name for name in team.agents if name in tree]
        found = (approval for name in known for agent in tree.subtree(name) for approval in agent.approvals)
        return list(dict.fromkeys(found))

    def look() -> tuple[str, str]:
        now = teams.runs[team.id]
        over = sum(bool(now.outcome(phase)) for phase in now.team.phases)
        lines = [f"team {now.id}: {over} of {len(now.team.phases)} phases are over"]
        lines += [
            f"{share.phase}: {run.line(tree[share.agent])}" for share in now.open if share.agent in tree
        ]
        if waits := asked():
            lines.append(f"  interrupt this cell, then: {how_to_answer(waits)}")
        return "", "\n".join(lines)

    def again(live: Live | None) -> None:
        with contextlib.suppress(NotRunning):
            stopping = run.start(teams.stop, team.id)
            if live is not None:
                stopping.add_done_callback(lambda done: live.close(f"team {team.id} {done.result().outcome}"))

    return Waiting((team.id,), Live(look), again, asked=asked)


def _done(future: cf.Future[T]) -> T:
    """Wait for a verb that acts: an interrupt of the cell does not break it off."""
    return Waiting((), cancels=False).block(future)


def _line(result: Result | None) -> str:
    return f"team {result.id} {result.outcome}" if result is not None else ""


def _in_time(result: Result | None, id_: str, timeout: float | None) -> Result:
    if result is None:
        raise TimeoutError(f"after {timeout:g} s the team {id_} is still at work")
    return result
