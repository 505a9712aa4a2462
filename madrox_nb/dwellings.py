"""Where agents work: a directory of their own, one of the person's, or a git worktree.

Directories stay when an agent ends. A worktree is removed when nothing is lost by that,
else it is kept, and whoever could do something about it is told where it is and why. What
a dead kernel's agents left is looked at by the next one that opens this home.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Final

from . import worktrees
from .errors import BadInput, Forbidden
from .events import PERSON, AgentSpawned, MessagePosted
from .ledger import read, run_files
from .tree import Agent, Tree
from .workspace import copy_workspace, held_alone, may_touch
from .worktrees import Worktree

if TYPE_CHECKING:
    from .manager import Manager

LEFT: Final = (
    "A kernel went away, and these worktrees of its agents are kept. "
    "%madrox resume brings agents back to theirs:"
)

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Dwelling:
    """Where an agent that is to be born will work. By default in a directory of its own."""

    directory: Path | None = None
    """This one."""
    worktree_of: Path | None = None
    """A new worktree of the repository that holds this directory."""
    copy_of: Path | None = None
    """With a copy of the files that are there."""
    again: bool = False
    """It comes back to where it was."""


class Dwellings:
    """The workspaces of one manager's agents. Belongs to its loop."""

    def __init__(self, manager: Manager) -> None:
        self._manager, self._settings = manager, manager.settings
        self._leaving: dict[str, asyncio.Future[None]] = {}
        self._clearing: asyncio.Future[None] | None = None

    # before a birth

    def wanted(
        self,
        directory: str | Path | None,
        use_worktree: bool,
        git_repo: str | Path | None,
        parent: str | None,
        permissions: str,
        by: str,
    ) -> Dwelling:
        """What was asked for, checked. Raises `BadInput`, or `Forbidden` for what `by` may not give."""
        if directory is not None and (use_worktree or git_repo):
            raise BadInput("workspace_dir and use_worktree are two places; choose one")
        if directory is not None:
            return Dwelling(directory=self._directory(directory, parent, permissions, by))
        if git_repo and not use_worktree:
            raise BadInput("git_repo names the repository of a worktree: give use_worktree too")
        return Dwelling(worktree_of=self.repository(git_repo, by)) if use_worktree else Dwelling()

    def _directory(self, wanted: str | Path, parent: str | None, permissions: str, by: str) -> Path:
        own = None if by == PERSON else self._manager.tree[by]
        try:
            place = (Path(own.workspace if own else Path.cwd()) / Path(wanted).expanduser()).resolve()
            is_other = place.exists() and not place.is_dir()
        except (OSError, RuntimeError, ValueError) as exc:
            raise BadInput(f"workspace_dir={str(wanted)!r} can't be a directory: {exc}") from exc
        if own and own.permissions != "all" and not may_touch(Path(own.workspace), str(wanted)):
            raise Forbidden(
                f"{by} can give another agent a directory inside its own workspace {own.workspace}, "
                f"and {place} is not one. Leave workspace_dir out"
            )
        if is_other:
            raise BadInput(f"workspace_dir: {place} is a file")
        self._check_apart(place, permissions)
        self._check_free(place, parent)
        return place

    def _check_apart(self, place: Path, permissions: str) -> None:
        """Raises when an agent there would have our own files in its hands."""
        for ours in {self._settings.home, self._settings.logs}:
            if place.is_relative_to(ours) and not place.is_relative_to(self._settings.work):
                raise BadInput(f"workspace_dir: {place} holds madrox's own files")
            if ours.is_relative_to(place) and permissions != "all":
                raise BadInput(
                    f"workspace_dir: {place} holds {ours}, where the tokens of this run are, and an agent "
                    "reads its own workspace unasked. Name a directory below it, use a worktree "
                    "(use_worktree), or set MADROX_HOME to another place"
                )

    def _check_free(self, place: Path, parent: str | None) -> None:
        """Raises when it lies in somebody else's workspace, or somebody else's directory in it."""
        tree = self._manager.tree
        family = {parent, *tree.above(parent)} if parent else set()
        for agent in tree.alive():
            theirs = Path(agent.workspace)
            given = not theirs.is_relative_to(self._settings.work)
            inside = place != theirs and place.is_relative_to(theirs)
            around = given and place != theirs and theirs.is_relative_to(place)
            if agent.name not in family and (inside or around):
                raise BadInput(
                    f"workspace_dir: {place} {'lies in' if inside else 'holds'} {theirs}, the workspace of "
                    f"{agent.name}. Choose another directory, or give each a worktree: use_worktree"
                )

    def repository(self, wanted: str | Path | None, by: str) -> Path:
        """The directory whose repository a worktree is made of. Raises `Forbidden` where `by` gives none."""
        own = None if by == PERSON else self._manager.tree[by]
        if own and own.permissions != "all" and (wanted or not own.branch):
            raise Forbidden(
                f"{by} can give a worktree of the repository in which it works itself, and no other. "
                "Leave git_repo and use_worktree out, or ask the person"
            )
        place = Path(own.workspace) if own and own.branch else Path.cwd()
        return (place / Path(wanted).expanduser()).resolve() if wanted else place

    def before(self, spawned: AgentSpawned) -> Dwelling:
        """Where an agent was that comes back. Raises `BadInput` when that is gone."""
        place = Path(spawned.workspace)
        ours = place.parent == self._settings.work
        if not (ours or spawned.branch or place.is_dir()):
            raise BadInput(f"its workspace {place} is not there any more")
        return Dwelling(directory=None if ours else place, again=True)

    # at a birth

    def claim(self, spawned: AgentSpawned, dwelling: Dwelling) -> Path:
        """The workspace of an agent that is born; the very one that it had, when it comes back."""
        name, processes = spawned.agent, self._manager.processes
        if not dwelling.again or not spawned.workspace:
            return processes.claim(name, dwelling.directory, empty=dwelling.worktree_of is not None)
        try:
            return processes.claim(name, Path(spawned.workspace), very=True)
        except BadInput as exc:
            processes.forget(name)
            raise BadInput(f"its workspace {spawned.workspace} is in use: {exc}") from exc

    @asynccontextmanager
    async def moving_in(
        self, spawned: AgentSpawned, dwelling: Dwelling, workspace: Path
    ) -> AsyncIterator[AgentSpawned]:
        """Fill the workspace; yields the birth with what is known of it then. Undone if that fails."""
        spawned = replace(spawned, workspace=str(workspace))
        if dwelling.again:
            if spawned.branch and not (workspace / ".git").exists():
                await asyncio.to_thread(worktrees.restore, _worktree(spawned))
            yield spawned
        elif dwelling.worktree_of is not None:
            make = worktrees.make if dwelling.copy_of is None else worktrees.fork
            called = self._manager.teams.branch(spawned.agent)
            made = await _whole(make, dwelling.worktree_of, workspace, called)
            try:
                yield replace(spawned, repository=made.repository, branch=made.branch, base=made.base)
            except BaseException:
                await asyncio.shield(asyncio.to_thread(worktrees.tidy, made))
                raise
        else:
            if dwelling.copy_of is not None:
                await asyncio.to_thread(copy_workspace, dwelling.copy_of, workspace)
            yield spawned

    # after an end

    def leave(self, agent: Agent, *, ignored_too: bool = False) -> None:
        """Tidy up where an agent lived that is gone, in the background; see `left` and `worktrees.tidy`."""
        if agent.branch and agent.name not in self._leaving:
            self._leaving[agent.name] = asyncio.ensure_future(self._tidy(agent, ignored_too))

    async def left(self, name: str) -> None:
        """Wait until that is done, and what dead kernels left is cleared away."""
        for moving in (self._leaving.get(name), self._clearing):
            if moving is not None:
                await asyncio.shield(moving)

    def clear_up(self, runs: Sequence[str]) -> None:
        """Tidy up, in the background, the worktrees of runs whose kernel went away; who is kept is named.

        Nobody decided the end of these agents, and they may come back: what git is told to ignore is
        kept too.
        """
        if runs and any(self._settings.work.glob("*/.git")):
            self._clearing = asyncio.get_running_loop().create_future()
            self._manager.soon(self._clear(runs, self._clearing))

    async def _clear(self, runs: Sequence[str], cleared: asyncio.Future[None]) -> None:
        try:
            kept = await asyncio.to_thread(_cleared, self._settings.logs, runs)
        finally:
            cleared.set_result(None)
        if kept:
            self._post(PERSON, "\n".join((LEFT, *kept)))

    async def _tidy(self, agent: Agent, ignored_too: bool) -> None:
        try:
            kept = await asyncio.to_thread(worktrees.tidy, _worktree(agent), ignored_too=ignored_too)
        except Exception as exc:
            log.exception("%s: its worktree could not be looked at", agent.name)
            kept = f"its worktree {agent.workspace} could not be looked at: {exc!r}"
        finally:
            self._leaving.pop(agent.name, None)
        if kept:
            log.warning("the worktree of %s is kept: %s", agent.name, kept)
            self._tell(agent, f"{agent.name} has ended, and its worktree is kept: {kept}")

    def _tell(self, agent: Agent, text: str) -> None:
        """Leave word with the parent, who may merge it, else with the person."""
        tree = self._manager.tree
        self._post(agent.parent if agent.parent and tree[agent.parent].alive else PERSON, text)

    def _post(self, agent: str, text: str) -> None:
        message = self._manager.tree.next_message("madrox")
        self._manager.record(MessagePosted(agent=agent, message=message, sender="madrox", text=text))


def _cleared(logs: Path, runs: Sequence[str]) -> list[str]:
    """Tidy the worktrees of those runs; returns what is kept, a line each."""
    kept = []
    for run in runs:
        for agent in Tree.replay(read(run_files(logs, run))):
            place = Path(agent.workspace)
            if not agent.branch or not (place / ".git").exists():
                continue
            with held_alone(place) as ours:
                lost = worktrees.tidy(_worktree(agent), ignored_too=True) if ours else ""
            if lost:
                log.warning("the worktree of %s, of the run %s, is kept: %s", agent.name, run, lost)
                kept.append(f"- {agent.name}: {lost}")
    return kept


async def _whole(make: Callable[..., Worktree], *arguments: object) -> Worktree:
    """Make a worktree in a thread. Cancelled, it is made to the end and then removed."""
    making = asyncio.ensure_future(asyncio.to_thread(make, *arguments))
    try:
        return await asyncio.shield(making)
    except asyncio.CancelledError:
        making.add_done_callback(_unwanted)
        raise


def _unwanted(making: asyncio.Future[Worktree]) -> None:
    if not making.cancelled() and making.exception() is None:
        worktrees.tidy(making.result())


def _worktree(born: AgentSpawned | Agent) -> Worktree:
    return Worktree(Path(born.workspace), born.repository, born.branch, born.base)
