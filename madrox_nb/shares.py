"""One member of a team: how it is born, what it is handed, and its share of a phase.

A share is done when the member has answered and neither it nor any child of its own has
anything left to do: who delegates answers later, in a turn that the child's answer began.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from . import library
from .briefs import GIVEN, plan, together, work
from .errors import MadroxError
from .events import PERSON, Entry, MessagePosted, PhaseEnded, TurnEnded, TurnStarted
from .parcels import hand_over, there
from .plans import Member, Phase, Team
from .rules import covers
from .teamwork import LEAD_PHASE, TeamRun
from .tickets import Answer, Ticket

if TYPE_CHECKING:
    from .manager import Manager

log = logging.getLogger(__name__)


class Shares:
    """The members of one manager's teams. Belongs to its loop."""

    def __init__(self, manager: Manager) -> None:
        self._manager = manager
        self.given: dict[str, tuple[str, dict[str, str]]] = {}
        """Run → task and inputs as they were given: the ledger's may lack a secret."""

    # births

    async def assemble(self, run: TeamRun) -> None:
        """Spawn the lead, then all others at once, and wait until they are ready or have failed.

        Who does not start is tried again when its phase begins; that phase says why it failed.
        """
        missing = [name for name in run.agents if not self.awake(name)]
        if run.lead in missing:  # born first, for the others are its children
            await asyncio.gather(self._spawned(run, run.lead, wait=False), return_exceptions=True)
        others = [self._spawned(run, name) for name in missing if name != run.lead]
        for failed in await asyncio.gather(self._until_ready(run.lead), *others, return_exceptions=True):
            if isinstance(failed, MadroxError):
                log.warning("%s: %s", run.id, failed)
            elif isinstance(failed, BaseException):
                raise failed

    def awake(self, name: str) -> bool:
        return name in self._manager.tree and self._manager.tree[name].alive

    async def _until_ready(self, name: str) -> None:
        tree = self._manager.tree
        while name in tree and tree[name].state == "starting":
            await self._manager.mail.change()

    async def _spawned(self, run: TeamRun, name: str, *, wait: bool = True) -> None:
        await self._manager.spawn(name, wait=wait, **self._birth(run, name), by=run.by)

    def _birth(self, run: TeamRun, name: str) -> dict[str, Any]:
        """What its birth takes, besides name and spawner."""
        member = run.plan.member(run.member_of(name))
        lead = name == run.lead
        role = library.role(self.role(run.plan, member, run.options))
        parent = run.parent if lead or not self.awake(run.lead) else run.lead
        if (known := self._manager.tree.agents.get(name)) is not None:
            parent = known.parent  # it comes back where it stood
        brief = together(run, name) if run.mode == "phases" else ""
        return {
            **self._worktree(run, member),
            "role": role.name,
            "harness": run.options.get("harness") or member.harness,
            "model": run.options.get("model") or (None if "harness" in run.options else member.model),
            "parent": parent,
            "permissions": self._may(run, member, parent),
            "limits": run.plan.limits(member) or None,
            "system_prompt": f"{role.body}\n\n{brief}".strip() if brief else None,
        }

    def _may(self, run: TeamRun, member: Member, parent: str | None) -> str | None:
        """What was said for all; what the file says of one member only takes from that."""
        given = run.options.get("permissions")
        if member.permissions is None:
            return given
        without = self._manager.births.permissions(given, parent, run.by)
        return member.permissions if covers(without, member.permissions) else without

    def role(self, team: Team, member: Member, options: Mapping[str, str]) -> str:
        return options.get("lead_role") or member.role if member is team.lead else member.role

    def harness(self, member: Member, options: Mapping[str, str]) -> str:
        manager = self._manager
        return (
            options.get("harness") or member.harness or manager.harnesses.choose(manager.settings.harnesses)
        )

    def in_worktree(self, member: Member, options: Mapping[str, str]) -> bool:
        said = options.get("use_worktree")
        return member.worktree if said is None else said == "true"

    def _worktree(self, run: TeamRun, member: Member) -> dict[str, Any]:
        """What a birth takes of worktrees. A lead that spawns the others gives them what it has itself."""
        for_others = run.mode == "lead" and member is run.plan.lead
        wanted = run.plan.members if for_others else (member,)
        if not any(self.in_worktree(each, run.options) for each in wanted):
            return {}
        gives_its_own = run.by != PERSON and self._manager.tree[run.by].permissions != "all"
        return {"use_worktree": True, "git_repo": None if gives_its_own else run.options["git_repo"]}

    def branches(self, run: TeamRun) -> dict[str, str]:
        """Agent → the branch that it works on, or that stands yet though it has ended."""
        tree = self._manager.tree
        known = [tree[name] for name in run.everyone if name in tree and tree[name].branch]
        return {a.name: a.branch for a in known if a.alive or Path(a.workspace, ".git").exists()}

    # one share

    async def done(self, run: TeamRun, phase: Phase, agent: str, ended: PhaseEnded) -> PhaseEnded:
        manager = self._manager
        if not self.awake(agent):
            await self._spawned(run, agent)
        prompt = await self._prompt(run, phase, agent)
        heard = _Heard(manager, run, agent)
        stop = manager.ledger.listen(heard)
        ticket = await manager.ask(agent, prompt, sender=run.by)
        heard.asked = ticket.id
        try:
            answer = await manager.answer(ticket)
            assert answer is not None
            if answer.ok:
                await manager.quiet((agent,), besides=[name for name in run.agents if name != agent])
        except asyncio.CancelledError:
            await asyncio.shield(self._call_off(ticket))
            raise
        finally:
            stop()
        workspace = Path(manager.tree[agent].workspace)
        files, missing = await asyncio.to_thread(there, workspace, phase.deliverables)
        return replace(
            ended,
            outcome="ok" if answer.ok else "failed",
            turn=answer.turn,
            text=_text(answer, heard.later),
            error="" if answer.ok else answer.error or answer.outcome,
            files=files,
            missing=missing,
        )

    async def _prompt(self, run: TeamRun, phase: Phase, agent: str) -> str:
        task, inputs = self.given.get(run.id, (run.task, run.inputs))
        files = await asyncio.to_thread(self._handed, run, phase, agent)
        if phase.name == LEAD_PHASE and run.mode == "lead":
            return plan(run, self._spawns(run), files, task, inputs)
        return work(run, phase, agent, files, self._built_on(run, phase, agent), task, inputs)

    def _built_on(self, run: TeamRun, phase: Phase, agent: str) -> dict[str, str]:
        """The branches of those whose results a phase gets."""
        givers = {name for of in phase.needs for name in run.who(run.team.phase(of))} - {agent}
        return {name: branch for name, branch in self.branches(run).items() if name in givers}

    def _handed(self, run: TeamRun, phase: Phase, agent: str) -> list[str]:
        """Lay into its directory what it needs; returns what to say of each file."""
        tree = self._manager.tree
        workspace = Path(tree[agent].workspace)
        said = self.hand_files(run, workspace)
        for (name, giver), share in run.shares.items():
            if name in phase.needs and share.files and giver != agent and giver in tree:
                said += hand_over(Path(tree[giver].workspace), share.files, workspace, (GIVEN, name, giver))
        return said

    def hand_files(self, run: TeamRun, workspace: Path) -> list[str]:
        """Lay the files that the team was given into a directory; returns what to say of each."""
        said = list[str]()
        for file in map(Path, run.files):
            said += hand_over(file.parent, [file.name], workspace, (GIVEN, PERSON))
        return said

    def _spawns(self, run: TeamRun) -> list[Mapping[str, object]]:
        """The arguments of spawn_instance for everybody but the lead."""
        lead = self._manager.tree[run.lead]
        found: list[Mapping[str, object]] = []
        for name in (name for names in run.members.values() for name in names if name != run.lead):
            member = run.plan.member(run.member_of(name))
            may = (
                member.permissions
                if member.permissions and covers(lead.permissions, member.permissions)
                else None
            )
            given = {
                "name": name,
                "role": library.role(member.role).name,
                "instance_type": self.harness(member, run.options),
                "model": run.options.get("model") or (None if "harness" in run.options else member.model),
                "permissions": may,
                "use_worktree": self.in_worktree(member, run.options) or None,
            }
            found.append({key: value for key, value in given.items() if value is not None})
        return found

    async def _call_off(self, ticket: Ticket) -> None:
        """Nobody wants that answer any more."""
        ticket.alone = True
        manager = self._manager
        if await manager.mail.withdraw(ticket) or ticket.agent not in manager.tree:
            return
        if ticket.turn and manager.tree[ticket.agent].turn == ticket.turn:
            try:
                await manager.interrupt(ticket.agent)
            except MadroxError as exc:
                log.warning("%s works on though its team was stopped: %s", ticket.agent, exc)


class _Heard:
    """Listens for what an agent says later on: in turns that its own children's answers began."""

    def __init__(self, manager: Manager, run: TeamRun, agent: str) -> None:
        self._tree, self._run, self._agent = manager.tree, run, agent
        self.asked, self._turns = "", set[str]()
        self.later: list[str] = []

    def __call__(self, entry: Entry) -> None:
        event = entry.event
        match event:
            case TurnStarted() if event.agent == self._agent and self._is_child(event.sender):
                self._turns.add(event.turn)
            case TurnEnded() if event.turn in self._turns and event.text:
                self.later.append(event.text)
            case MessagePosted() if (
                event.sender == self._agent and event.answers == self.asked and self._turns
            ):
                self.later.append(event.text)

    def _is_child(self, name: str) -> bool:
        members = self._run.agents
        return name in self._tree and name not in members and self._agent in self._tree.above(name)


def _text(answer: Answer, later: Sequence[str]) -> str:
    return "\n\n".join(words for words in (*answer.replies, answer.text, *later) if words)
