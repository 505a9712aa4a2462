"""What both faces have: everything that is read and not waited for."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, TypeAlias

from .. import library, views
from ..display import kernel, notice
from ..errors import BadInput
from ..manager import Manager
from ..tree import Agent
from ..values import ClientTokens, Snapshot
from .listings import roles, settings, teams
from .shared import run_for

if TYPE_CHECKING:
    import pandas as pd

    from ..frames import Frames
    from ..widgets import LiveView

RunNames: TypeAlias = str | Iterable[str] | None
"""Which runs a frame is of: this one, `"all"` that have a ledger here, or those that are named."""


class Face:
    """What both faces have: everything that is read and not waited for."""

    def __init__(self, **settings: Any) -> None:
        """`settings` are the names of `config.Settings`: home, port, max_instances, …"""
        self._run = run_for(settings)

    @property
    def manager(self) -> Manager:
        """The core. It lives on a loop of its own: use the verbs here."""
        return self._run.manager

    @property
    def tree(self) -> Snapshot:
        """The tree as it is now."""
        return Snapshot(self.manager.tree, self._run.picture())

    def agents(self, *, full: bool = False, runs: RunNames = None) -> pd.DataFrame:
        """One row an agent. `full` adds columns, here and below; `runs` reads other runs (`"all"`), too."""
        return self._read(runs, lambda frames: frames.agents(full=full))

    def turns(self, *, full: bool = False, runs: RunNames = None) -> pd.DataFrame:
        """One row a turn, in the order they began."""
        return self._read(runs, lambda frames: frames.turns(full=full))

    def messages(self, *, full: bool = False, runs: RunNames = None) -> pd.DataFrame:
        """One row a message between agents, or from them to you."""
        return self._read(runs, lambda frames: frames.messages(full=full))

    def tools(self, *, full: bool = False, runs: RunNames = None) -> pd.DataFrame:
        """One row a tool call: what it was asked, what came back, how long it took."""
        return self._read(runs, lambda frames: frames.tools(full=full))

    def audit(
        self,
        *,
        since: str | datetime | timedelta | None = None,
        agent: str | None = None,
        kind: str | None = None,
        full: bool = False,
        runs: RunNames = None,
    ) -> pd.DataFrame:
        """One row an event; see `frames.Frames.audit`."""
        return self._read(runs, lambda frames: frames.audit(since=since, agent=agent, kind=kind, full=full))

    def costs(self, *, over_time: bool = False, full: bool = False, runs: RunNames = None) -> pd.DataFrame:
        """One row an agent: tokens and money, its own and those of its subtree.

        `over_time` gives one row a report of usage instead.
        """
        return self._read(runs, lambda frames: frames.costs(over_time=over_time, full=full))

    def limits(self, *agents: str) -> pd.DataFrame:
        """One row a limit that is set, on these agents or on all; `""` is the run."""
        for agent in filter(None, agents):
            self.manager.tree[agent]  # or it is unknown
        return self._run.frames.limits(*agents)

    def approvals(self, *, full: bool = False, runs: RunNames = None) -> pd.DataFrame:
        """One row a request to use a tool; `state` is `open` while it waits for an answer."""
        return self._read(runs, lambda frames: frames.approvals(full=full))

    def _read(self, runs: RunNames, view: Callable[[Frames], pd.DataFrame]) -> pd.DataFrame:
        """`view` of this run, or of others with the run's name as the first level of the index."""
        return view(self._run.frames) if runs is None else self._run.runs.over(runs, view)

    def config(self) -> pd.DataFrame:
        """The settings in force, and where each comes from."""
        return settings(self._run.config)

    def roles(self) -> pd.DataFrame:
        """The roles that `spawn` knows."""
        return roles()

    def templates(self) -> pd.DataFrame:
        """The team files that `team` knows."""
        return teams()

    def team_runs(self) -> pd.DataFrame:
        """One row a team that was started here: its state, lead and task."""
        from ..frames import texts

        listed = (
            {"team": r.id, "state": r.state, "why": r.why, "mode": r.mode, "lead": r.lead, "task": r.task}
            for r in self.manager.teams.runs
        )
        return texts(listed, "team", "state", "why", "mode", "lead", "task")

    def harnesses(self) -> pd.DataFrame:
        """One row a harness: where its CLI is, its version, what it can do. Asks each CLI once."""
        from ..frames import harnesses
        from ..inventory import inventory

        return harnesses(found.row() for found in inventory(self.manager.harnesses))

    def processes(self, agent: str | None = None) -> pd.DataFrame:
        """One row a process of the operating system that belongs to a living agent, or to `agent`."""
        from ..frames import processes

        return processes(map(vars, self._run.offspring(agent)))

    @property
    def tokens(self) -> ClientTokens:
        """What outside clients get in with, besides your own token: `m.tokens.create("ci", scope="read")`."""
        return ClientTokens(self.manager.clients)

    def secret(self, name: str, value: str) -> None:
        """Show `{secret:name}` instead of `value` from now on, in the ledger and in cells.

        Raises `BadInput` when it is too short to be told from ordinary text.
        """
        if not self.manager.redactor.add(name, value):
            raise BadInput(f"the secret {name!r} is too short to be replaced wherever it occurs")

    def widget(self, shows: str = "dashboard", agent: str = "") -> LiveView:
        """A live view: the `dashboard`, or one part of it alone.

        `tree`, `timeline`, `costs`, `approvals`, `team`; and of one agent `conversation`, `terminal`,
        `inbox`, `details`. Raises `BadInput` for another name, `UnknownAgent` for an unknown agent.
        """
        return self._run.view(shows, agent)

    def __contains__(self, name: object) -> bool:
        return name in self.manager.tree

    def __repr__(self) -> str:
        count = len(self.manager.tree)
        state = "" if self._run.is_open else ", closed"
        return f"<{type(self).__name__}: {count} agent{'' if count == 1 else 's'}{state}>"

    def _ipython_display_(self) -> None:
        """The dashboard, in a notebook; elsewhere, and when it is over, what any other value is: its text."""
        if kernel() is None or not self._run.is_open:
            raise NotImplementedError
        self.widget()._ipython_display_()

    def _repr_mimebundle_(self, **kwargs: Any) -> Any:
        if kernel() is not None and self._run.is_open:
            return self.widget()._repr_mimebundle_(**kwargs)
        return views.bundle(self._run.picture())

    def _say_rehearsal(self, agent: Agent, harness: str | None) -> None:
        order = self._run.config.settings.harnesses
        if harness is None and agent.harness == library.FALLBACK and library.FALLBACK not in order:
            notice(
                f"no agent CLI was found ({', '.join(order)}): {agent.name} is a rehearsal; "
                "no model is thinking"
            )
