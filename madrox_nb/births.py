"""How agents come to be: spawned, forked, or back from an earlier run.

Each birth is one decision in the ledger, made when all is known that could forbid it: the
name, what the agent may do, whether there is room, what it is given (equipment.py) and
where it works (dwellings.py).
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from . import library
from .budget import Limits
from .dwellings import Dwelling, Dwellings
from .equipment import Given, Outfitter, recalled
from .errors import BadInput, Forbidden, HarnessNotReady, LimitReached, NameTaken, nearest
from .events import PERSON, AgentReady, AgentSpawned, AgentSuspended
from .harness import Permissions
from .prices import preload
from .queueing import check_prompt
from .roles import lesser
from .rules import LADDER, checked_name, covers, inherited
from .tree import Agent, spawn_line

if TYPE_CHECKING:
    from .manager import Manager


class Births:
    """The births of one manager. Belongs to its loop."""

    def __init__(self, manager: Manager) -> None:
        self._manager, self._settings = manager, manager.settings
        self._tree, self._processes = manager.tree, manager.processes
        self._unborn: dict[str, str | None] = {}
        """Names of those whose files are being copied: their birth is not on record yet."""
        self._outfitter = Outfitter(manager)
        self._dwellings = Dwellings(manager)

    async def spawn(
        self,
        name: str | None = None,
        *,
        role: str = "general",
        harness: str | None = None,
        model: str | None = None,
        parent: str | None = None,
        permissions: str | None = None,
        system_prompt: str | None = None,
        options: Mapping[str, str] | None = None,
        extra_args: Sequence[str] = (),
        auto_inject: bool = True,
        limits: Limits | Mapping[str, Any] | None = None,
        mcp_servers: str | Sequence[str] | Mapping[str, Any] | None = None,
        environment_vars: Mapping[str, Any] | None = None,
        workspace_dir: str | Path | None = None,
        use_worktree: bool = False,
        git_repo: str | Path | None = None,
        bypass_isolation: bool = False,
        initial_prompt: str | None = None,
        by: str = PERSON,
        wait: bool = True,
    ) -> Agent:
        """Start an agent; returns it idle (or still starting, with `wait=False`).

        `system_prompt` replaces the role's text, never the identity and messaging
        instructions. `options` are those of its harness, `extra_args` go to its CLI as
        they stand; both come on top of what the configuration says. Without `harness`,
        the first of the configured order that is installed; without `permissions`, what
        its parent has, else the configured ones. `limits` hold for it and all below it
        (`{"usd": 5, "tokens": 200_000}`); an agent can't give more than it has left.
        `bypass_isolation` is another word for `permissions="all"`.

        `mcp_servers` are given to it besides ours: a table in the shape of `.mcp.json`, its
        JSON text, or names of presets. `environment_vars` are added to its environment. In
        both, `${NAME}` is taken from the kernel's environment at each start, and secrets
        are not recorded. `workspace_dir` is a directory to work in instead of one of its
        own; with `use_worktree` it gets a git worktree, on a branch of its own, of
        `git_repo` or the repository that holds the working directory. The answer to
        `initial_prompt` is left in the inbox. `by` is who spawns it: an agent can't give
        more than it has.

        Raises `BadInput`, `UnknownRole`, `UnknownHarness`, `NameTaken`, `LimitReached`,
        `TreeFull`, `BudgetSpent`, `Forbidden` or `HarnessNotFound` before anything happens,
        and `HarnessNotReady` or `HarnessExited` when the CLI does not get ready: the agent
        then stands in the tree as failed, or as stopped when somebody ended it meanwhile.
        Cancelled, it goes on starting.
        """
        if initial_prompt is not None:
            check_prompt(initial_prompt)
        name = self._tree.next_child(parent, self._unborn) if name is None else checked_name(name)
        found = library.role(role)
        permissions = self.permissions(_bypassed(bypass_isolation, permissions), parent, by)
        permissions = lesser(permissions, found.permissions)
        spending, limits = self._manager.spending, Limits.of(limits)
        spending.check_birth(limits, parent, by)
        harness = harness or self._manager.harnesses.choose(self._settings.harnesses)
        self._check_guarded(harness, permissions)
        defaults = self._manager.harnesses.defaults(harness)
        more = self._manager.harnesses.options(harness, options or {}, "options")
        chosen = {**defaults.options, **more}
        given = self._outfitter.given(mcp_servers, environment_vars, by)
        dwelling = self._dwellings.wanted(workspace_dir, use_worktree, git_repo, parent, permissions, by)
        spawned = AgentSpawned(
            agent=name,
            harness=harness,
            role=found.name,
            parent=parent,
            model=model or (found.model if harness == "claude" else None) or defaults.model,
            permissions=permissions,
            auto_inject=auto_inject,
            system_prompt=system_prompt or "",
            options=json.dumps(chosen) if chosen else "",
            extra_args=(*defaults.extra_args, *map(str, extra_args)),
            **self._outfitter.recorded(given),
        )
        starting = await self._born(spawned, given, dwelling)
        spending.begin(name, limits, by)
        if initial_prompt is not None:
            (await self._manager.ask(name, initial_prompt, sender=by)).leave = True
        if wait:
            await self.ready(name, starting)
        return self._tree[name]

    async def aside(self, name: str, *, harness: str, model: str | None = None, system_prompt: str) -> Agent:
        """Start an agent at the top of the tree that has no tools and only answers. For madrox itself.

        Raises what `spawn` raises.
        """
        checked_name(name)
        self._manager.spending.check_birth(Limits(), None, PERSON)
        self._check_guarded(harness, "deny")
        defaults = self._manager.harnesses.defaults(harness)
        spawned = AgentSpawned(
            agent=name,
            harness=harness,
            role="general",
            model=model or defaults.model,
            permissions="deny",
            system_prompt=system_prompt,
            options=json.dumps(dict(defaults.options)) if defaults.options else "",
            extra_args=defaults.extra_args,
            aside=True,
        )
        starting = await self._born(spawned, Given(), Dwelling())
        await self.ready(name, starting)
        return self._tree[name]

    async def _born(self, spawned: AgentSpawned, given: Given, dwelling: Dwelling) -> asyncio.Task[None]:
        """Record a birth and start its process."""
        name = spawned.agent
        await self._dwellings.left(name)  # an earlier one of that name may still be moving out
        self._manager.harnesses.command(spawned.harness)  # raises when it is not installed
        self._check_room(spawned)
        self._outfitter.check(spawned.harness, given, _options(spawned))
        workspace = self._dwellings.claim(spawned, dwelling)
        self._unborn[name] = spawned.parent
        try:
            async with self._dwellings.moving_in(spawned, dwelling, workspace) as spawned:
                await self._manager.teams.furnish(spawned)
                await self._manager.act(spawned)
        except BaseException:
            self._processes.forget(name)
            raise
        finally:
            self._unborn.pop(name, None)
        self._outfitter.keep(name, given)
        if spawned.harness != library.FALLBACK:
            asyncio.get_running_loop().run_in_executor(None, preload)
        agent = self._tree[name]._replace(  # the ledger's may lack a secret
            system_prompt=spawned.system_prompt, options=spawned.options, extra_args=spawned.extra_args
        )
        return self.start(agent, session=spawned.session, fork_of=str(dwelling.copy_of or ""))

    def start(self, agent: Agent, *, session: str = "", fork_of: str = "") -> asyncio.Task[None]:
        """Start the CLI of an agent that is on record; see `Processes.start`.

        Raises `HarnessNotFound`, or `BadInput` for a secret that is not there any more.
        """
        cls = self._manager.harnesses[agent.harness]
        command = self._manager.harnesses.command(agent.harness)
        # no agent can give these: what the ledger lacks may be put back by its name
        whole = tuple(map(self._manager.redactor.restored, agent.extra_args))
        agent = agent._replace(extra_args=whole)
        equipment = self._outfitter.equipment(agent)
        return self._processes.start(
            agent, cls, command, _body(agent), session=session, fork_of=fork_of, equipment=equipment
        )

    def ended(self, name: str, *, unasked: bool = False) -> None:
        """An agent is gone for good: tidy up where it lived, in the background.

        `unasked`, with its kernel, it may have left something in files that git is told to ignore.
        """
        self._outfitter.forget(name)
        self._dwellings.leave(self._tree[name], ignored_too=unasked)

    def clear_up(self, runs: Sequence[str]) -> None:
        """See `Dwellings.clear_up`."""
        self._dwellings.clear_up(runs)

    async def left(self, name: str) -> None:
        """Wait until what `ended` has begun is done."""
        await self._dwellings.left(name)

    def repository(self, wanted: str | Path | None, by: str) -> Path:
        """See `Dwellings.repository`."""
        return self._dwellings.repository(wanted, by)

    def _check_room(self, spawned: AgentSpawned) -> None:
        """Raises when no agent of that name can be born now."""
        name, parent = spawned.agent, spawned.parent
        if name in self._unborn:
            raise NameTaken(name, "starting")
        if (known := self._tree.agents.get(name)) is not None:
            if known.alive:
                raise NameTaken(name, known.state)
            if known.parent != parent:  # its costs and its past belong to where it stood
                place = f"below {known.parent}" if known.parent else "at the top"
                again = spawn_line(known)
                raise BadInput(
                    f"{name} stood {place} before: spawn it there ({again}), or choose another name"
                )
        there = [*(agent.name for agent in self._tree.alive()), *self._unborn]
        if len(there) >= self._settings.max_instances:
            raise LimitReached(self._settings.max_instances, there)
        coming = [child for child, above in self._unborn.items() if above == parent]
        self._manager.spending.check_place(parent, coming)

    async def reborn(self, spawned: AgentSpawned, *, suspended: bool) -> asyncio.Task[None] | None:
        """Let an agent of an earlier run come back; its start, or None when it stays suspended.

        Raises what `spawn` raises, and `BadInput` when its workspace can't be had.
        """
        given = recalled(spawned)
        dwelling = self._dwellings.before(spawned)
        self._outfitter.check(spawned.harness, given, _options(spawned))
        if not suspended:
            return await self._born(spawned, given, dwelling)
        await self._dwellings.left(spawned.agent)
        self._check_room(spawned)
        workspace = self._dwellings.claim(spawned, dwelling)
        try:
            async with self._dwellings.moving_in(spawned, dwelling, workspace) as spawned:
                await self._manager.act(spawned)
        except BaseException:
            self._processes.forget(spawned.agent)
            raise
        self._manager.record(
            AgentSuspended(agent=spawned.agent, reason="as it was before")
        )  # born: no way back
        return None

    async def ready(self, name: str, starting: asyncio.Task[None]) -> None:
        """Wait until an agent is ready. Raises why it is not; cancelled, it goes on starting."""
        await asyncio.wait((starting,))
        if starting.cancelled():
            raise HarnessNotReady(f"{name} was ended while it started: {self._tree[name].reason}")
        starting.result()

    async def fork(self, name: str, as_: str | None = None, *, permissions: str | None = None) -> Agent:
        """Start a second agent with the conversation, role and files of `name`, which stays as it is.

        It stands beside the original and is named as a child would be when `as_` is
        missing. `all` is not handed on: give it again. Raises `BadInput` when the CLI can't
        fork, or there is nothing to go on with yet, and whatever `spawn` raises.
        """
        agent = self._tree[name]
        called = self._tree.next_child(agent.parent, self._unborn) if as_ is None else checked_name(as_)
        if not self._manager.features(name).fork:
            raise BadInput(
                f"{name} can't be forked: {agent.harness} can't go on twice with one conversation. "
                f"Spawn another agent and tell it what it needs: {spawn_line(agent._replace(name=called))}"
            )
        if not agent.session or not agent.begun:
            if not agent.alive:
                raise self._tree.refusal(AgentReady(agent=name))
            raise BadInput(f"{name} has no conversation to fork yet: send it something first")
        given = self.permissions(permissions, agent.parent, PERSON) if permissions else None
        forked = AgentSpawned(
            agent=called,
            harness=agent.harness,
            role=agent.role,
            parent=agent.parent,
            model=agent.model,
            permissions=given or inherited(agent.permissions),
            auto_inject=agent.auto_inject,
            session=agent.session,
            origin=f"forked from {name}",
            system_prompt=agent.system_prompt,
            options=agent.options,
            extra_args=agent.extra_args,
            mcp_servers=agent.mcp_servers,
            environment=agent.environment,
        )
        dwelling = Dwelling(copy_of=Path(agent.workspace), worktree_of=_worktree_of(agent))
        starting = await self._born(forked, self._outfitter.of(agent), dwelling)
        self._manager.spending.copy(name, forked.agent)
        await self.ready(forked.agent, starting)
        return self._tree[forked.agent]

    def _check_guarded(self, harness: str, permissions: Permissions) -> None:
        """Raises `Forbidden` when nothing would hold an agent of that harness to its permissions."""
        cls = self._manager.harnesses[harness]
        if cls.unguarded and permissions != "all":
            raise Forbidden(
                f"{harness} does what it is told and asks nobody, so only an agent with permissions='all' "
                f"can be one. Say so: %madrox spawn NAME --harness {harness} --permissions all"
                + (f". {cls.remedy}" if cls.remedy else "")
            )

    def permissions(self, wanted: str | None, parent: str | None, by: str) -> Permissions:
        """What a new agent may do. A parent's is inherited, and nobody gives more than it has."""
        if wanted is not None and wanted not in LADDER:
            raise BadInput(
                f"permissions={wanted!r} is not known.{nearest(wanted, LADDER)} Known: {', '.join(LADDER)}"
            )
        if by != PERSON and wanted is not None and not covers(self._tree[by].permissions, wanted):
            raise Forbidden(
                f"{by} runs with permissions={self._tree[by].permissions!r} "
                "and can't give a child more than it has"
            )
        if wanted is not None:
            return wanted
        if parent is not None:
            given = inherited(self._tree[parent].permissions)
            own = given if by == PERSON else self._tree[by].permissions  # it may spawn below one who has more
            return given if covers(own, given) else cast(Permissions, own)
        if self._settings.permissions == "auto":
            return "ask" if self._manager.attended else "deny"
        return cast(Permissions, self._settings.permissions)


def _bypassed(bypass_isolation: bool, permissions: str | None) -> str | None:
    if not bypass_isolation:
        return permissions
    if permissions not in (None, "all"):
        raise BadInput(f"bypass_isolation means permissions='all', and permissions={permissions!r} is given")
    return "all"


def _options(spawned: AgentSpawned) -> dict[str, str]:
    return json.loads(spawned.options) if spawned.options else {}


def _worktree_of(agent: Agent) -> Path | None:
    return Path(agent.workspace) if agent.branch else None


def _body(agent: Agent) -> str:
    """What its system prompt says besides identity and messaging."""
    body = agent.system_prompt or library.role(agent.role).body
    if not agent.branch:
        return body
    return f"""{body}

Your workspace is a git worktree of {agent.repository}, on the branch {agent.branch}, which began at
{agent.base[:12]}. Commit there what should stay, and name the branch when you hand your work over."""
