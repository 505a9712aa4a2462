"""What can go wrong, as a family.

    MadroxError
    ├── BadInput                  the request itself cannot be carried out as written
    │   ├── UnknownAgent          no agent of that name in the tree
    │   ├── UnknownHarness        no harness of that name is installed
    │   ├── UnknownRole           no role of that name
    │   ├── UnknownMessage        no such message awaits an answer here
    │   ├── UnknownJob            no such job of several agents
    │   ├── UnknownApproval       no such request awaits an answer
    │   ├── UnknownToken          no client's token of that name
    │   ├── UnknownTool           no tool of that name
    │   ├── NameTaken             an agent of that name is alive
    │   └── BadPrompt             an empty prompt, or one that cannot be sent
    ├── IllegalEvent              this cannot happen in the agent's present state
    │   ├── AgentBusy             … because a turn is under way
    │   └── AgentGone             … because it has stopped
    ├── Forbidden                 the caller may not do this to that agent
    ├── LimitReached              as many agents as the settings allow
    ├── TreeFull                  … or as deep, or as many children of one agent
    ├── BudgetSpent               a limit is used up: no turns until it is raised
    ├── HarnessError              the CLI itself; carries evidence
    │   ├── HarnessNotFound       … is not installed
    │   ├── HarnessNotReady       … never became ready
    │   └── HarnessExited         … went away; carries its exit code
    ├── TurnFailed                the turn ended with an error; carries the TurnEnded
    ├── SomeFailed                some of several could not be carried out; carries which could
    ├── LedgerError               the ledger
    │   ├── LedgerInUse           … is written by another process
    │   └── LedgerFull            … has no room on its disk
    ├── ServerError               the MCP server could not listen
    └── NotRunning                the manager is closed, or the launcher is gone

Each message names the thing, its state and the next step.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .events import Event, TurnEnded


def nearest(word: str, known: Iterable[str]) -> str:
    """`" Did you mean 'alice'?"` for a near miss, else nothing."""
    hits = difflib.get_close_matches(word, list(known), n=1, cutoff=0.6)
    return f" Did you mean {hits[0]!r}?" if hits else ""


class MadroxError(Exception):
    """Base of everything this package raises on purpose."""

    def _render_traceback_(self) -> list[str]:
        """Asked for by IPython: our errors say what to do; the frames below them do not."""
        return f"{type(self).__name__}: {self}".splitlines()


class BadInput(MadroxError, ValueError):
    """The request cannot be carried out as written. Nothing was changed."""


class _UnknownName(BadInput):
    what = "thing"
    none_yet = "there are none"

    def __init__(self, name: str, known: Iterable[str] = ()) -> None:
        self.name, self.known = name, tuple(known)
        listed = ", ".join(self.known) or self.none_yet
        hint = nearest(name, self.known)
        super().__init__(f"no {self.what} named {name!r}.{hint} Known: {listed}")


class UnknownAgent(_UnknownName):
    """No agent of that name in the tree."""

    what = "agent"
    none_yet = "nobody yet; `%madrox spawn NAME` starts one"


class UnknownHarness(_UnknownName):
    """No harness of that name is installed."""

    what = "harness"


class UnknownRole(_UnknownName):
    """No role of that name, under any spelling."""

    what = "role"


class UnknownMessage(_UnknownName):
    """No such message awaits an answer from this agent."""

    what = "message awaiting your answer"
    none_yet = "none; nobody waits for an answer from you"


class UnknownJob(_UnknownName):
    """No such job of several agents in this run."""

    what = "job"
    none_yet = "none; coordinate_instances starts one"


class UnknownApproval(_UnknownName):
    """No such request of an agent awaits an answer."""

    what = "request awaiting your answer"
    none_yet = "none; nobody asks for anything now"


class UnknownToken(_UnknownName):
    """No client was given a token under that name."""

    what = "token"
    none_yet = "none; %madrox token create NAME makes one"


class UnknownTool(BadInput):
    """No tool of that name."""


class NameTaken(BadInput):
    """An agent of that name is alive."""

    def __init__(self, name: str, state: str) -> None:
        self.name, self.state = name, state
        super().__init__(
            f"an agent named {name!r} already exists and is {state}. "
            f"Choose another name, or stop it first: %madrox stop {name}"
        )


class BadPrompt(BadInput):
    """An empty prompt, or one that cannot be sent."""


_ACTS = {
    "agent.spawned": "be spawned",
    "agent.ready": "go on",
    "agent.stopped": "be stopped",
    "agent.suspended": "be suspended",
    "message.posted": "be sent a message",
    "turn.started": "start a turn",
}
"""How a person says that an event happens to an agent."""


class IllegalEvent(MadroxError):
    """This cannot happen in the agent's present state. It was not written."""

    next_step = ""

    def __init__(self, event: Event, state: str, why: str = "") -> None:
        self.event, self.state = event, state
        is_ = {"failed": "has failed", "stopped": "has stopped"}.get(state, f"is {state}")
        act = _ACTS.get(event.kind, f"have {event.kind} now")
        says = f"{event.agent or 'the run'} {is_} and can't {act}"
        super().__init__(says + (f": {why}" if why else "") + self.next_step.replace("{0}", event.agent))


class AgentBusy(IllegalEvent):
    """A turn is under way."""

    next_step = ". Wait for it (%madrox wait {0}) or end it (%madrox interrupt {0})"


class AgentGone(IllegalEvent):
    """The agent has stopped. `again` is the line that spawns it as it was."""

    def __init__(self, event: Event, state: str, why: str = "", again: str = "") -> None:
        self.next_step = f". Spawn it again: {again}" if again else ". It can be spawned again"
        super().__init__(event, state, why)


class Forbidden(MadroxError, PermissionError):
    """The caller may not do this to that agent."""


class LimitReached(MadroxError):
    """As many agents as the settings allow."""

    def __init__(self, limit: int, alive: Iterable[str]) -> None:
        self.limit, self.alive = limit, tuple(alive)
        super().__init__(
            f"{len(self.alive)} agents are alive and max_instances is {limit}. Stop one "
            f"({', '.join(self.alive[:8])}{', …' if len(self.alive) > 8 else ''}) "
            f"or raise the limit: MAX_INSTANCES, or Madrox(max_instances=…)"
        )


class TreeFull(MadroxError):
    """The tree may grow no deeper here, or this agent may have no more children."""


class BudgetSpent(MadroxError):
    """A limit of this agent, or of one above it, is used up. It takes no turns until it is raised."""


class HarnessError(MadroxError):
    """The CLI itself. `evidence` holds its last words."""

    def __init__(self, message: str, evidence: str = "", exit_code: int | None = None) -> None:
        self.evidence, self.exit_code = evidence, exit_code
        super().__init__(message + (f"\nIts last words:\n{evidence}" if evidence else ""))


class HarnessNotFound(HarnessError):
    """The CLI is not installed."""


class HarnessNotReady(HarnessError):
    """The CLI started and never became ready."""


class HarnessExited(HarnessError):
    """The CLI went away. `exit_code` is negative for a signal."""


class TurnFailed(MadroxError):
    """The turn ended with an error. `ended` is the event."""

    def __init__(self, ended: TurnEnded) -> None:
        self.ended = ended
        super().__init__(
            f"{ended.agent}: turn {ended.turn} {ended.outcome}: {ended.error or 'no reason given'}"
        )


class SomeFailed(MadroxError):
    """Some of several things could not be carried out. `done` are those that were."""

    def __init__(self, message: str, done: Iterable[str], failed: Iterable[Mapping[str, Any]]) -> None:
        self.done, self.failed = tuple(done), tuple(failed)
        super().__init__(message)


class LedgerError(MadroxError):
    """The ledger."""


class LedgerInUse(LedgerError):
    """Another process writes this ledger."""


class LedgerFull(LedgerError):
    """There is no room on the ledger's disk."""


class NoBackend(MadroxError, ImportError):
    """Nothing that draws is installed."""

    def __init__(self, backend: str, why: Exception) -> None:
        super().__init__(
            f"nothing was drawn: pandas' plotting backend {backend!r} is not installed ({why}). "
            'Install one: pip install "madrox_nb[plot]" for matplotlib; or plotly, or hvplot, and choose it '
            "by pandas.options.plotting.backend = 'plotly'"
        )


class ServerError(MadroxError):
    """The MCP server could not listen."""


class NotRunning(MadroxError):
    """The manager is closed, or what it stands on is gone."""
