"""Random verbs from several callers, against what must be true of every answer whatever happens."""

from __future__ import annotations

import asyncio
import contextlib
import random
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import pytest
from crew import run_of

from madrox_nb.errors import MadroxError
from madrox_nb.events import PERSON, AgentStopped, MessageRead, TurnStarted
from madrox_nb.folds import Approvals, Costs, Inboxes
from madrox_nb.manager import Manager
from madrox_nb.tickets import Ticket
from madrox_nb.tree import Tree

pytestmark = pytest.mark.slow

NAMES = ("a", "b", "c")
VERBS = {
    "ask": 6,
    "send": 5,
    "give_up": 3,
    "post": 2,
    "take": 3,
    "reply": 3,
    "interrupt": 2,
    "end": 1,
    "crash": 1,
    "suspend": 4,
    "resume": 1,
    "fork": 1,
    "steer": 4,
    "want": 4,
    "approve": 3,
    "deny": 2,
}
POLICY = {"Bash(git *)": "allow", "Bash(rm *)": "deny", "*": "ask"}
CALLERS, STEPS = 6, 25


@dataclass
class Asked:
    """A question of the storm, and how often its caller was given the answer directly."""

    ticket: Ticket
    by: str
    given: int = 0


class Storm:
    """Several callers that carry out random verbs at once. The same seed makes the same choices."""

    def __init__(self, manager: Manager, seed: int) -> None:
        self.m, self.dice = manager, random.Random(seed)
        self.asked: list[Asked] = []
        self.taken: list[str] = []

    async def blow(self) -> None:
        answering = asyncio.ensure_future(self._answer_all())
        await asyncio.gather(*(self._caller() for _ in range(CALLERS)))
        assert await self.m.quiet(timeout=60), [(a.name, a.state) for a in self.m.unquiet()]
        answering.cancel()

    async def _answer_all(self) -> None:
        """The person comes by now and then and answers whatever is open: callers may wait for it."""
        while True:
            await asyncio.sleep(0.3)
            for each in self.m.approvals.open():
                await self.m.approve(each.id)

    async def _caller(self) -> None:
        for _ in range(STEPS):
            me = self.dice.choice([PERSON, *NAMES])
            to = self.dice.choice([name for name in NAMES if name != me])
            with contextlib.suppress(MadroxError):  # refusals are part of the weather
                await self._revive(to)
                await getattr(self, f"_{self.dice.choices(list(VERBS), VERBS.values())[0]}")(me, to)
            await asyncio.sleep(self.dice.random() * 0.02)

    async def _revive(self, name: str) -> None:
        if self.m.tree[name].alive or self.dice.random() < 0.5:
            return
        await self.m.spawn(name, parent=self.m.tree[name].parent, auto_inject=name != "c")

    async def _ask(self, me: str, to: str, text: str = "", *, steer: bool = False) -> Asked:
        slow = f"/slow 2 0.0{self.dice.randint(1, 9)}"
        text = text or self.dice.choice(["/say hi", slow, "/fail no", "hello"])
        asked = Asked(await self.m.ask(to, text, sender=me, steer=steer), me)
        asked.ticket.leave = True
        self.asked.append(asked)
        return asked

    async def _send(self, me: str, to: str) -> None:
        asked = await self._ask(me, to)
        try:
            asked.given += await self.m.answer(asked.ticket, self.dice.choice([None, 0.05])) is not None
        except MadroxError:
            asked.given += 1

    async def _give_up(self, me: str, to: str) -> None:
        asked = await self._ask(me, to)
        waiting = asyncio.ensure_future(self.m.answer(asked.ticket))
        await asyncio.sleep(self.dice.random() * 0.1)
        waiting.cancel()
        try:
            asked.given += await waiting is not None
        except asyncio.CancelledError:
            pass
        except MadroxError:
            asked.given += 1

    async def _post(self, me: str, to: str) -> None:
        await self.m.post(to, "a note", sender=me)

    async def _take(self, me: str, to: str) -> None:
        self.taken += [message.id for message in await self.m.take(me, self.dice.choice([0, 0.05]))]

    async def _reply(self, me: str, to: str) -> None:
        if me != PERSON:
            await self.m.reply(me, "my reply")

    async def _interrupt(self, me: str, to: str) -> None:
        await self.m.interrupt(to)

    async def _end(self, me: str, to: str) -> None:
        await self.m.terminate(to, force=True)

    async def _crash(self, me: str, to: str) -> None:
        await self.m.ask(to, "/crash")

    async def _suspend(self, me: str, to: str) -> None:
        await self.m.suspend(to)

    async def _resume(self, me: str, to: str) -> None:
        await self.m.resume(to, wait=self.dice.random() < 0.5)

    async def _fork(self, me: str, to: str) -> None:
        fork = await self.m.fork(to, self.dice.choice(["twin", None]))
        await self.m.terminate(fork.name)

    async def _steer(self, me: str, to: str) -> None:
        await self._ask(me, to, steer=True)

    async def _want(self, me: str, to: str) -> None:
        command = self.dice.choice(["git status", "rm x", "ls"])
        await self._ask(me, to, f'/approve-needed Bash {{"command": "{command}"}}')

    async def _approve(self, me: str, to: str) -> None:
        if open_ones := self.m.approvals.open():
            await self.m.approve(self.dice.choice(open_ones).id, always=self.dice.choice(["", "", "agent"]))

    async def _deny(self, me: str, to: str) -> None:
        if open_ones := self.m.approvals.open():
            await self.m.deny(self.dice.choice(open_ones).id, "no")


@pytest.mark.parametrize("seed", range(6))
def test_in_any_weather_each_question_has_one_answer_and_each_message_one_reader(
    tmp_path: Path, seed: int
) -> None:
    async def story() -> None:
        async with run_of(tmp_path, interrupt_timeout=5.0, attended="yes", policy=POLICY) as m:
            await m.spawn("a")
            await m.spawn("b", parent="a")
            await m.spawn("c", parent="a", auto_inject=False)
            storm = Storm(m, seed)
            await storm.blow()

            entries = list(m.ledger)
            assert Tree.replay(entries) == m.tree
            assert Inboxes.replay(entries) == m.inboxes
            assert Costs.replay(entries) == m.costs
            assert Approvals.replay(entries) == m.approvals
            assert [] == m.approvals.open()
            assert {a.name for a in m.tree if a.alive and a.state != "suspended"} == {
                a.name for a in m.tree if m.processes.running(a.name)
            }
            assert [] == list(m.mail.open_tickets())
            assert len(set(storm.taken)) == len(storm.taken)
            read = Counter(message for entry in entries for message in reads(entry.event))
            assert [] == [message for message, times in read.items() if times > 1]
            ended = {entry.event.agent for entry in entries if isinstance(entry.event, AgentStopped)}
            for asked in storm.asked:
                mine = (asked.ticket.id, asked.by)
                together = [each for each in storm.asked if (each.ticket.id, each.by) == mine]
                check(together, m, asker_died=asked.by in ended)

    asyncio.run(asyncio.wait_for(story(), 90))


def reads(event: object) -> tuple[str, ...]:
    if isinstance(event, TurnStarted):
        return event.messages
    return (event.message,) if isinstance(event, MessageRead) else ()


def check(together: list[Asked], m: Manager, *, asker_died: bool) -> None:
    """One answer each: given to who waited, left in the inbox, or in own words. None for the dead.

    What one caller asked `together` has joined one turn.
    """
    assert [] == [asked for asked in together if asked.ticket.end is None]
    known, by = together[0].ticket.id, together[0].by
    answered = [x for x in m.inboxes.messages.values() if (x.answers, x.to) == (known, by)]
    left = [x for x in answered if x.text != "my reply"]
    answers = sum(asked.given for asked in together) + len(left)
    claimed = sum(asked.given for asked in together if asked.ticket.left)  # taken back out of the inbox
    assert answers - claimed <= len(together), (together, left)
    replied = any(asked.ticket.replied for asked in together)
    assert answers >= len(together) or replied or asker_died, (together, left)
