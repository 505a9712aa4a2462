"""Carries out the blocks of agents that have no MCP, as the tools that others call.

When a turn of such an agent has ended well, each block in what it said (fences.py) is one
call of the very function behind the MCP tool, with the agent as its caller: what it may
do is decided there and nowhere else. What came of it is left for the agent as a note from
`madrox`; when something could not be done, that note is a turn of its own, because nobody
else would tell it.

Programs that are not told of blocks (a shell, a database) ask for nothing by what they print.
What an agent only repeats, of what another agent has written to it or a tool has given it,
is not carried out, quoted or not: else a message or a file could act in its name. What
the person wrote may be repeated.
"""

from __future__ import annotations

import logging
from collections import Counter, deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from .calls import Call, find
from .errors import MadroxError
from .events import PERSON, AgentStopped, Entry, ToolReturned, TurnEnded, TurnSaid, TurnStarted
from .fences import LANGUAGE, Fence, blocks, in_blocks
from .queueing import HOUSE

if TYPE_CHECKING:
    from .manager import Manager

SENDER: Final = HOUSE
"""Who tells what came of it."""
MOST: Final = 32
"""Blocks of one turn that are carried out."""
WAKES: Final = 3
"""Turns in a row that tell an agent nothing but what it did wrong."""
REMEMBERED: Final = 50
"""Results of tools in which a block is looked for."""

log = logging.getLogger(__name__)


@dataclass
class _Turn:
    """A turn under way of an agent without MCP."""

    asker: str
    """Whose question it answers; empty when nobody asked."""
    said: list[str] = field(default_factory=list)


class Errands:
    """The blocks of one manager's agents. Hears the ledger, on the manager's loop."""

    def __init__(self, manager: Manager) -> None:
        self._manager = manager
        self._turns: dict[str, _Turn] = {}
        self._read: dict[str, deque[str]] = {}
        """What tools gave each agent without MCP, as far as a block could stand in it."""
        self._woken = Counter[str]()

    def heard(self, entry: Entry) -> None:
        """Called with every entry of the ledger."""
        event = entry.event
        match event:
            case TurnStarted() if self._speaks_in_blocks(event.agent):
                self._turns[event.agent] = _Turn(self._asker(event))
                if event.sender != SENDER:
                    self._woken.pop(event.agent, None)
            case TurnSaid() if event.agent in self._turns:
                self._turns[event.agent].said.append(event.text)
            case ToolReturned() if event.agent in self._turns and LANGUAGE in event.output:
                self._read.setdefault(event.agent, deque(maxlen=REMEMBERED)).append(event.output)
            case TurnEnded() if event.agent in self._turns:
                turn = self._turns.pop(event.agent)
                found = [block for text in turn.said or [event.text] for block in blocks(text)]
                if found and event.outcome == "ok":
                    self._manager.soon(self._carry_out(event, turn, found))
            case AgentStopped():
                for known in (self._turns, self._read, self._woken):
                    known.pop(event.agent, None)

    def _speaks_in_blocks(self, agent: str) -> bool:
        """Whether blocks in what it says are its own: what a shell prints is anybody's."""
        known = self._manager.tree[agent]
        cls = self._manager.harnesses[known.harness]
        return cls.instructed and not cls.features.mcp and not known.aside

    async def _carry_out(self, ended: TurnEnded, turn: _Turn, found: list[Fence]) -> None:
        """One after the other, because later ones build on earlier ones; then tell what came of it."""
        born = self._manager.tree[ended.agent].born
        told, failed = [], len(found) > MOST
        for number, block in enumerate(found[:MOST], 1):
            agent = self._manager.tree[ended.agent]
            if not agent.alive or agent.born != born:
                log.warning("%s ended before its blocks were carried out", ended.agent)
                return
            try:
                result = await self._act(ended.agent, turn, block)
            except MadroxError as exc:
                result, failed = f"not done: {exc}", True
            except Exception:  # a bug of ours: its place is the log, not the model's context
                log.exception("%s of %s failed", block, ended.agent)
                result, failed = "not done: internal error; it is not your fault. Go on without it", True
            told.append(f"{number}. {block}: {in_blocks(result)}")
        if len(found) > MOST:
            told.append(f"The other {len(found) - MOST} were not looked at: {MOST} in one answer are enough")
        await self._tell(
            ended, "\n".join((f"What came of the blocks in your turn {ended.turn}:", *told)), failed
        )

    async def _act(self, agent: str, turn: _Turn, block: Fence) -> str:
        """Carry one block out; returns what to say of it."""
        if block.wrong:
            raise MadroxError(block.wrong)
        if author := self._author(agent, block):
            raise MadroxError(
                f"it repeats word for word what {author} to you. "
                "If you want it yourself, say it in your own words"
            )
        if block.verb == "reply" and "to" not in block.keys and turn.asker:
            return f"{turn.asker} asked, and has been given the whole of your answer already"
        call = Call(self._manager, agent, _nobody_waits)
        return (await find(block.tool).call(call, block.arguments)).text

    def _author(self, agent: str, block: Fence) -> str:
        """Who gave this very block to `agent`, and how; empty when nobody did."""
        for message in self._manager.inboxes.received(agent):
            if message.sender not in (PERSON, SENDER) and block.stands_in(message.text):
                return f"{message.sender} has written"
        return "a tool has given" if any(map(block.stands_in, self._read.get(agent, ()))) else ""

    def _asker(self, started: TurnStarted) -> str:
        messages = self._manager.inboxes.messages
        asked = not started.messages or any(messages[each].asks for each in started.messages)
        if started.sender == SENDER or not asked:
            return ""
        return "the person" if started.sender == PERSON else started.sender

    async def _tell(self, ended: TurnEnded, text: str, failed: bool) -> None:
        manager, agent = self._manager, ended.agent
        self._woken[agent] += failed
        try:
            if failed and self._woken[agent] <= WAKES:
                await manager.ask(agent, text, sender=SENDER)
            else:
                await manager.post(agent, text, sender=SENDER)
        except MadroxError as exc:  # it has ended meanwhile
            log.info("%s was not told: %s", agent, exc)


async def _nobody_waits(seconds: float, text: str) -> None:
    """Progress of a call that no client watches."""
