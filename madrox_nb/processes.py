"""The running CLIs of one manager: started, found by their agent's name, paused, ended.

Between a decision (`agent.spawned` is in the ledger) and a process there are a
workspace, a token, a brief, private files and a node; all of that is here.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import signal
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import cast

from .config import Settings
from .errors import BadInput, HarnessError
from .events import AgentStopped, Entry
from .evidence import find_brief, leave_brief, mark
from .harness import Ask, Brief, Harness, Launch, McpServer, Permissions
from .keeping import Keep, place, seconds_of, write
from .local import LocalLauncher
from .nodes import AgentSpec, Kept, NodeLink
from .runner import Core, Runner
from .tokens import Tokens
from .tree import Agent
from .wording import instructions
from .workspace import Workspaces, copy_sessions, private_name, write_private

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Equipment:
    """What one agent is given besides what all have."""

    variables: Mapping[str, str] = field(default_factory=dict)
    """Added to its environment."""
    servers: Mapping[str, McpServer] = field(default_factory=dict)
    """MCP servers, by name."""
    texts: Mapping[str, str] = field(default_factory=dict)
    """What stands in the files that its options name."""


class Processes:
    """agent → `Runner`, from the start of its process to its end."""

    def __init__(
        self,
        core: Core,
        settings: Settings,
        *,
        run: str,
        environ: Mapping[str, str],
        ids: Callable[[], str],
        tokens: Tokens,
        mcp_url: Callable[[], Awaitable[str]] | None,
    ) -> None:
        self._core, self._settings, self._run = core, settings, run
        self._environ, self._ids, self._tokens, self._mcp_url = environ, ids, tokens, mcp_url
        self._workspaces = Workspaces(settings.work)
        self._files: dict[str, Path] = {}
        self._handed: dict[str, list[Path]] = {}
        """What a CLI was given in files: secrets of other MCP servers may stand there."""
        self._runners: dict[str, Runner] = {}
        self._starting: dict[str, asyncio.Task[None]] = {}
        self._called_off: dict[str, str] = {}
        """Starts that are being ended: agent → why."""
        self._node: NodeLink | None = None
        self._node_lock = asyncio.Lock()
        self._paused = False
        seconds = seconds_of(settings.on_kernel_death)
        self._keep = Keep(place(settings.logs, run), seconds) if seconds else None

    def __getitem__(self, name: str) -> Runner:
        """The running CLI of that agent. Raises `HarnessError` when it has none."""
        try:
            return self._runners[name]
        except KeyError:
            raise HarnessError(f"{name} has no process; see why: %madrox agents") from None

    def get(self, name: str) -> Runner | None:
        return self._runners.get(name)

    def running(self, name: str) -> bool:
        """Whether it has a process that is not being ended."""
        runner = self._runners.get(name)
        return runner is not None and not runner.ended

    def __len__(self) -> int:
        return len(self._runners)

    def claim(
        self, name: str, directory: Path | None = None, *, empty: bool = False, very: bool = False
    ) -> Path:
        """The workspace that an agent of that name gets, or `directory`, if it may have that one.

        Below our own place that is the next free one of its name, unless it is to be the `very` one.

        Raises `BadInput`.
        """
        if directory is None or (directory.parent == self._settings.work and not very):
            path = self._workspaces.claim(name, empty=empty)
        else:
            path = self._workspaces.claim_directory(name, directory)
        self._files[name] = self._private(name, path)
        return path

    def _private(self, name: str, workspace: Path) -> Path:
        called = private_name(name, workspace, self._settings.work)
        return self._settings.logs / "runs" / self._run / called

    def files(self, name: str) -> Path:
        """The private directory of an agent: its wire log, its stderr, what its CLI is given."""
        return self._files[name]

    def start(
        self,
        agent: Agent,
        cls: type[Harness],
        command: tuple[str, ...],
        body: str,
        *,
        session: str = "",
        fork_of: str = "",
        equipment: Equipment | None = None,
    ) -> asyncio.Task[None]:
        """Start the agent's CLI in the background; the task ends when it is ready.

        It goes on with `session`, if one is named; with a copy of it, if `fork_of` names the
        workspace of the original. A start that is under way already is that
        one. When it does not get ready, the task raises and the agent is recorded as failed.
        """
        if (under_way := self._starting.get(agent.name)) is not None:
            return under_way
        equipment = equipment or Equipment()
        task = asyncio.ensure_future(self._start(agent, cls, command, body, session, fork_of, equipment))
        self._starting[agent.name] = task
        task.add_done_callback(lambda done: self._started(agent.name, done))
        return task

    async def suspend(self, name: str, reason: str) -> None:
        """End the process of an idle agent so that it can go on later. Without one this does nothing."""
        if (runner := self._runners.get(name)) is not None:
            runner.suspends = not runner.ended
            runner.ended = runner.ended or reason
            await asyncio.shield(asyncio.ensure_future(runner.stop(self._settings.stop_grace)))

    async def reopen(self) -> list[Kept]:
        """What a dead kernel left running in this run. Raises `NotRunning` when nobody keeps it any more."""
        assert self._keep is not None
        self._node, kept = await LocalLauncher(self._keep).reopen()
        return kept

    def adopt(self, agent: Agent, cls: type[Harness], kept: Kept, entries: Iterable[Entry]) -> dict[str, Ask]:
        """Go on with an agent's process; returns its approvals that are still open. Then `follow` it.

        Raises `HarnessError` when that can't be; the process is then still there.
        """
        assert self._node is not None
        if not cls.features.structured:  # what a screen shows depends on when one looked
            raise HarnessError(f"{agent.name} works at a terminal, which can't be taken over")
        workspace = Path(agent.workspace)
        try:
            if self.claim(agent.name, workspace) != workspace:
                self._workspaces.release(agent.name)
        except BadInput:
            log.info("%s: another kernel has taken its workspace meanwhile", agent.name)
        self._files[agent.name] = self._private(agent.name, workspace)
        brief = find_brief(self.files(agent.name), self._environ)
        runner = Runner(self._core, brief, cls(brief))
        approvals = runner.recall(self._node, kept, entries)
        self._runners[agent.name] = runner
        return approvals

    def follow(self, name: str, kept: Kept) -> None:
        """Take in what an adopted process has said since, and read on."""
        self._runners[name].follow(kept)

    def drop(self, kept: Kept) -> None:
        """End a process that nobody can go on with."""
        assert self._node is not None
        self._node.kill(kept.handle, signal.SIGKILL)
        self._node.adopt(kept, _Deaf())

    def leave(self) -> None:
        """Go without goodbye: whoever lives is kept for the next kernel."""
        if self._node is not None:
            self._node.leave()
        self._workspaces.close()

    async def end(self, name: str, reason: str, *, working: bool) -> None:
        """End the agent's process, if it has one: a working one is interrupted first."""
        runner = self._runners.get(name)
        if runner is not None:
            if runner.suspends:  # it would be woken, and nobody would end it again
                runner.suspends, runner.ended = False, reason
            runner.ended = runner.ended or reason
        if (starting := self._starting.get(name)) is not None:
            self._called_off.setdefault(name, reason)
            starting.cancel()
            await asyncio.wait((starting,))
            self._called_off.pop(name, None)
        if (runner := self._runners.get(name)) is not None:  # also when it had just become ready
            if working:
                try:
                    runner.interrupt()
                except Exception:  # a codec that can't must not keep it alive
                    log.exception("%s: could not be interrupted before its end", name)
            await asyncio.shield(asyncio.ensure_future(runner.stop(self._settings.stop_grace)))

    def forget(self, name: str, *, suspended: bool = False) -> None:
        """Its process is gone: its token speaks for nobody, and what it alone was to read is removed.

        Its workspace is free, unless it comes back.
        """
        self._runners.pop(name, None)
        self._tokens.revoke(name)
        for path in self._handed.pop(name, ()):
            with contextlib.suppress(OSError):
                path.unlink()
        if not suspended:
            self._workspaces.release(name)

    def pause(self) -> None:
        """Read from nobody, so that all of them have to wait."""
        self._paused = True
        for runner in self._runners.values():
            runner.pause()

    def resume(self) -> None:
        self._paused = False
        for runner in self._runners.values():
            runner.resume()

    async def close(self) -> None:
        """End the node; whoever still lives there is killed."""
        if self._node is not None:
            await self._node.close()
        self._workspaces.close()

    # from a decision to a process

    async def _start(
        self,
        agent: Agent,
        cls: type[Harness],
        command: tuple[str, ...],
        body: str,
        session: str,
        fork_of: str,
        equipment: Equipment,
    ) -> None:
        try:
            brief = await self._brief(agent, cls, command, body)
            brief = replace(brief, resume=session, fork=bool(fork_of), fork_of=fork_of)
            environ = {**self._environ, **equipment.variables}
            brief = replace(brief, environ=environ, mcp_servers=equipment.servers, texts=equipment.texts)
            codec = cls(brief)
            if self._keep is not None:
                leave_brief(brief)
                mark(codec)
            launch = codec.launch()
            self._handed[agent.name] = [Path(brief.files, file) for file in launch.files]
            write_private(Path(brief.files), launch.files)
            if launch.copies:
                await asyncio.to_thread(copy_sessions, launch.copies)
            runner = self._runners[agent.name] = Runner(self._core, brief, codec)
            spec = self._spec(brief, launch)
            await runner.start(await self._local_node(), spec, self._settings.start_timeout)
            if self._paused:
                runner.pause()
        except BaseException as exc:
            if self._core.alive(agent.name):  # a process that was there has told its end itself
                self._stillborn(agent.name, exc)
            raise

    def _stillborn(self, name: str, exc: BaseException) -> None:
        """Record the end of an agent whose process never was."""
        failed = not isinstance(exc, asyncio.CancelledError)
        why = str(exc) if failed else self._called_off.get(name, "stopped while starting")
        reason, _, evidence = why.partition("\n")
        self._core.record(AgentStopped(agent=name, reason=reason, failed=failed, evidence=evidence))
        self.forget(name)

    def _started(self, name: str, task: asyncio.Task[None]) -> None:
        self._starting.pop(name, None)
        if not task.cancelled() and (error := task.exception()) is not None:
            log.warning("%s did not start: %s", name, error)

    async def _brief(self, agent: Agent, cls: type[Harness], command: tuple[str, ...], body: str) -> Brief:
        token = self._tokens.issue(agent.name)
        mcp = cls.features.mcp
        url = await self._mcp_url() if self._mcp_url and mcp and not agent.aside else ""
        if self._keep is not None and url:
            write(self._keep.directory, mcp_url=url)  # there the agents will look for us
        said = body if agent.aside else _instructions(agent, body, mcp)
        return Brief(
            agent=agent.name,
            command=command,
            workspace=agent.workspace,
            files=str(self.files(agent.name)),
            instructions=said,
            role=agent.role,
            parent=agent.parent,
            model=agent.model,
            permissions=cast(Permissions, agent.permissions),
            aside=agent.aside,
            session=self._ids(),
            sessions=str(self._sessions()),
            options=json.loads(agent.options) if agent.options else {},
            extra_args=agent.extra_args,
            mcp_url=url,
            mcp_token=token if url else "",
        )

    def _sessions(self) -> Path:
        place = self._settings.logs / "sessions"
        place.mkdir(parents=True, exist_ok=True, mode=0o700)
        return place

    def _spec(self, brief: Brief, launch: Launch) -> AgentSpec:
        ours = {"MADROX_RUN": self._run, "MADROX_AGENT": f"{self._run}/{brief.agent}"}
        env = {**brief.environ, **launch.env, **ours}
        files = Path(brief.files)
        return AgentSpec(
            id=brief.agent,
            argv=launch.argv,
            env={key: value for key, value in env.items() if value != ""},
            cwd=brief.workspace,
            wire_log=files / "wire.log",
            stderr_log=files / "stderr.log",
            pty=launch.wire == "pty",
            screen=launch.screen,
        )

    async def _local_node(self) -> NodeLink:
        async with self._node_lock:
            if self._node is None:
                launcher = LocalLauncher(self._keep)
                [slot] = await launcher.acquire(1, {})
                self._node = await launcher.open_node(slot)
            return self._node


def _instructions(agent: Agent, body: str, mcp: bool) -> str:
    return instructions(
        agent=agent.name,
        role=agent.role,
        parent=agent.parent,
        workspace=agent.workspace,
        permissions=agent.permissions,
        body=body,
        mcp=mcp,
    )


class _Deaf:
    """Watches a process that is being ended and belongs to nobody."""

    def on_data(self, data: bytes, offset: int) -> None: ...

    def on_exit(self, code: int) -> None: ...

    def on_lost(self, reason: str) -> None: ...

    def on_stuck(self, error: OSError) -> None: ...
