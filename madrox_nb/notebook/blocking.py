"""The verbs from a cell that waits."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Self, overload

from .. import asking
from ..display import Waiting
from ..events import PERSON, Always, TeamMode
from ..handles import TeamHandle
from ..in_person import carried_out
from ..manager import Manager
from ..signatures import takes_what
from ..tickets import Ticket
from ..values import Letters, Replies, Reply, Serving, Told
from . import shared
from .agents import AgentHandle
from .face import Face
from .listings import returned
from .questions import Pending, answered

if TYPE_CHECKING:
    import pandas as pd


class Madrox(Face):
    """Agents from a notebook. Each verb waits; an interrupt of the cell ends the waiting only.

    `wait=False` makes a verb return before it is done. After `close` every verb raises
    `NotRunning`.
    """

    @takes_what(Manager.spawn)
    def spawn(self, name: str | None = None, **given: Any) -> AgentHandle:
        """Start an agent; see `Births.spawn`. Interrupted, it goes on starting."""
        future = self._run.start(self.manager.spawn, name, **given)
        agent = Waiting((name,) if name else (), doing="starting").block(future)
        self._say_rehearsal(agent, given.get("harness"))
        return AgentHandle(self, agent.name)

    @overload
    def send(self, agent: str, text: str, *, steer: bool = False, wait: Literal[True] = True) -> Reply: ...
    @overload
    def send(self, agent: str, text: str, *, steer: bool = False, wait: Literal[False]) -> Pending: ...
    @overload
    def send(self, agent: str, text: str, *, steer: bool = False, wait: bool) -> Reply | Pending: ...
    def send(self, agent: str, text: str, *, steer: bool = False, wait: bool = True) -> Reply | Pending:
        """Start a turn with `text` (or queue it) and wait for its end.

        With `steer` it joins the turn under way where the CLI can do that, and is queued
        where it can't; `Reply.how` says which.

        A turn that fails is a reply too: `reply.ok`, `reply.error`, `reply.check()`.
        Raises `BadPrompt`, `UnknownAgent` or `AgentGone`.
        """
        ticket = self._run.start(self.manager.ask, agent, text, steer=steer).result()
        pending = Pending(self._run, ticket)
        return pending.wait() if wait else pending

    @overload
    def broadcast(self, text: str, *agents: str, below: str = "", wait: Literal[True] = True) -> Replies: ...
    @overload
    def broadcast(self, text: str, *agents: str, below: str = "", wait: Literal[False]) -> list[Pending]: ...
    @overload
    def broadcast(self, text: str, *agents: str, below: str = "", wait: bool) -> Replies | list[Pending]: ...
    def broadcast(
        self, text: str, *agents: str, below: str = "", wait: bool = True
    ) -> Replies | list[Pending]:
        """Ask several agents the same and wait for all their answers.

        Without names, all children of `below`; without that, the agents at the top of the
        tree. Each is asked by itself: raises `SomeFailed` at the end when one of them got no
        answer, and `UnknownAgent` or `BadPrompt` before anybody was asked.
        """
        asked = self._run.start(asking.broadcast, self.manager, agents, below, text).result()
        if not wait:
            return [Pending(self._run, ticket) for ticket in asking.tickets(asked)]
        names = [each.agent for each in asked if isinstance(each, Ticket)]
        waiting = self._run.waiting(*names, everyone=True)
        return waiting.block(self._run.start(asking.answers, self._run, asked), lambda _: answered(names))

    def call(self, tool: str, **given: Any) -> Told:
        """Carry out one of the tools that agents have, in your name, with its own arguments (docs/tools.md).

            m.call("get_agent_summary", instance_id="lead")

        It waits as long as it takes. Raises `UnknownTool`, and what the tool raises.
        """
        future = self._run.start(carried_out, tool, self.manager, given)
        return Told.of(Waiting(()).block(future))

    def post(self, agent: str, text: str) -> str:
        """Leave a message without waiting; returns its id. It goes with the agent's next turn."""
        return self._run.start(self.manager.post, agent, text).result()

    def interrupt(self, name: str) -> Reply | None:
        """End the turn under way, keeping its context; None when there was none."""
        future = self._run.start(self._run.interrupt, name)
        return Waiting((name,), cancels=False).block(future)

    @takes_what(Manager.limit)
    def limit(self, name: str = "", **amounts: Any) -> pd.DataFrame:
        """Limit what an agent and all below it may use, or give it more; see `Manager.limit`.

        `m.limit("lead", usd=5)` in all, `m.limit("lead", tokens=100_000, more=True)` from now
        on. Returns its limits, and what is left.
        """
        self._run.start(self.manager.limit, name, **amounts).result()
        return self._run.frames.limits(name)

    def suspend(self, name: str) -> AgentHandle:
        """End an idle agent's process; a message, or `resume`, starts it again where it was."""
        future = self._run.start(self.manager.suspend, name)
        return self.agent(Waiting((name,), doing="ending", cancels=False).block(future).name)

    def resume(self, *names: str, run: str = "") -> pd.DataFrame:
        """Bring back suspended or ended agents; without names, all that an earlier kernel had.

        One row an agent: how it came back (`woken`, `session`, `fresh`, `suspended`, or
        not at all) and why. `run` names another run than the newest.
        """
        future = self._run.start(self._run.resume, names, run)
        return returned(Waiting(names, doing="starting", cancels=False).block(future))

    def fork(self, name: str, as_: str | None = None, *, permissions: str | None = None) -> AgentHandle:
        """Start a second agent with the conversation and files of `name`; see `Manager.fork`."""
        future = self._run.start(self.manager.fork, name, as_, permissions=permissions)
        return self.agent(Waiting((name,), doing="forking", cancels=False).block(future).name)

    def approve(self, *approvals: str, always: Always = "") -> pd.DataFrame:
        """Let agents do what they asked for; see `Manager.approve`. Returns these requests."""
        for approval in approvals:
            self._run.start(self.manager.approve, approval, always=always).result()
        return self.approvals(full=True).loc[list(approvals)]

    def deny(self, *approvals: str, why: str = "", always: Always = "") -> pd.DataFrame:
        """Refuse what agents asked for; they are told `why`. Returns these requests."""
        for approval in approvals:
            self._run.start(self.manager.deny, approval, why, always=always).result()
        return self.approvals(full=True).loc[list(approvals)]

    def stop(self, name: str, *, tree: bool = False, force: bool = False) -> list[str]:
        """End an agent, with `tree` all below it too; returns the names that were ended.

        Raises `AgentBusy` when one of them works and `force` is not given.
        """
        return self.terminate(name, force=force, tree=tree)

    def terminate(self, name: str, *, force: bool = False, tree: bool = True) -> list[str]:
        """End an agent and everyone below it; returns the names that were ended."""
        future = self._run.start(self.manager.terminate, name, force=force, tree=tree)
        return Waiting((name,), doing="stopping", cancels=False).block(future)

    def wait(self, *names: str, timeout: float | None = None) -> Replies:
        """Wait until these agents and all below them (or everyone) have nothing left to do.

        Returns the last reply of each agent that was named, or of all. Raises `TimeoutError` when
        `timeout` seconds pass first.
        """
        future = self._run.start(self._run.wait, names, timeout)
        return self._run.waiting(*names, everyone=True).block(future, lambda _: self._run.quiet(names))

    def team(
        self,
        name: str,
        task: str = "",
        *,
        inputs: Mapping[str, str] | None = None,
        lead: bool = False,
        harness: str | None = None,
        model: str | None = None,
        permissions: str | None = None,
        parent: str | None = None,
        prefix: str | None = None,
        files: Sequence[str] = (),
        use_worktree: bool | None = None,
        git_repo: str | Path | None = None,
        wait: bool = True,
    ) -> TeamHandle:
        """Start the whole team of a file and have its phases carried out; see `Teams.start`.

        With `lead` only the lead is spawned, and carries the whole plan out by itself.
        Without a task the team stands by. A run that fails is a handle too:
        `handle.result.why`, `handle.retry()`. Interrupted, the team goes on.
        """
        mode: TeamMode = "lead" if lead else "phases"
        start = self._run.start(
            self.manager.teams.start,
            name,
            task,
            inputs=inputs,
            mode=mode,
            harness=harness,
            model=model,
            permissions=permissions,
            parent=parent,
            prefix=prefix,
            files=files,
            use_worktree=use_worktree,
            git_repo=git_repo,
        )
        handle = TeamHandle(self._run, Waiting(()).block(start))
        if wait:
            handle.wait()
        return handle

    def team_run(self, team: str = "") -> TeamHandle:
        """A handle on a team that was started: by its id or its file's name, else the newest."""
        return TeamHandle(self._run, self.manager.teams.find(team))

    def resume_team(self, name: str = "", *, run: str = "", wait: bool = True) -> TeamHandle:
        """Go on with a team that was stopped, or whose kernel went away; see `Teams.resume`."""
        resuming = self._run.start(self.manager.teams.resume, name, run=run)
        handle = TeamHandle(self._run, Waiting((), cancels=False).block(resuming))
        if wait:
            handle.wait()
        return handle

    def inbox(self, timeout: float = 0) -> Letters:
        """Take what agents have written to you, waiting up to `timeout` seconds for the first."""
        return Letters(Waiting(()).block(self._run.start(self.manager.take, PERSON, timeout)))

    def serve(self) -> Serving:
        """Let other clients in: the address of the MCP server, and the lines to paste."""
        return Waiting(()).block(self._run.start(self._run.serve))

    def agent(self, name: str) -> AgentHandle:
        """A handle on that agent. Raises `UnknownAgent`."""
        return AgentHandle(self, self.manager.tree[name].name)

    __getitem__ = agent

    def close(self) -> None:
        """End every agent and the run. Idempotent; happens at the kernel's end too."""
        self._run.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def current() -> Madrox | None:
    """The shared madrox, while it is open. Opens nothing."""
    return Madrox() if shared.is_open() else None
