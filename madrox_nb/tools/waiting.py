"""How a tool waits: for how long, what it tells meanwhile, and what it says when time is up."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable, Coroutine
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any, TypeVar

from ..calls import Call, Result
from ..errors import HarnessNotReady, TurnFailed
from ..events import PERSON, AgentStopped, Entry, TurnEnded
from ..tickets import Answer, Ticket
from .telling import doing_now, number

if TYPE_CHECKING:
    from ..manager import Manager

T = TypeVar("T")

LONGEST_WAIT = 45.0
"""Seconds that one call may wait: clients give up at 60 (TypeScript SDK) or later."""
patience: ContextVar[float] = ContextVar("patience")
"""Seconds that a call may wait whose face can do better: Python, and who says so over REST."""
BEAT = 2.0
"""Seconds between two progress reports: Claude gives up on silence, not on waiting."""


def countdown(seconds: float = math.inf) -> Callable[[], float]:
    """What is left of `seconds`, or of what one call may wait."""
    loop = asyncio.get_running_loop()
    end = loop.time() + max(0.0, min(seconds, patience.get(LONGEST_WAIT)))
    return lambda: max(0.0, end - loop.time())


async def telling_meanwhile(call: Call, about: str | Callable[[], str], waiting: Coroutine[Any, Any, T]) -> T:
    """Await what ends by itself in time, telling meanwhile that it goes on.

    `about` is the agent that is waited for, or says what goes on.

    One task waits from the beginning to the end, so no answer falls between two looks.
    """
    loop = asyncio.get_running_loop()
    began, task = loop.time(), asyncio.ensure_future(waiting)
    try:
        while not task.done():
            await asyncio.wait((task,), timeout=BEAT)
            if not task.done():
                seconds = loop.time() - began
                doing = doing_of(call, about) if isinstance(about, str) else about()
                await call.progress(seconds, f"{doing}, {seconds:.0f} s so far")
    finally:
        task.cancel()
    return task.result()


def doing_of(call: Call, name: str) -> str:
    if not name:
        return f"nothing for {call.caller} yet"
    agent = call.manager.tree[name]
    return f"{name} is {agent.state}{doing_now(agent)}"


async def until_ready(manager: Manager, name: str, seconds: float) -> None:
    """Wait until `name` has started, or `seconds` have passed.

    Raises `HarnessNotReady` with its last words when it does not start.
    """
    words = ""

    def heard(entry: Entry) -> None:
        nonlocal words
        if isinstance(entry.event, AgentStopped) and entry.event.agent == name:
            words = entry.event.evidence

    left, stop = countdown(seconds), manager.ledger.listen(heard)
    try:
        while manager.tree[name].state == "starting" and left() > 0:
            await manager.mail.change(left())
    finally:
        stop()
    agent = manager.tree[name]
    if not agent.alive:
        raise HarnessNotReady(
            f"{name} did not start: {agent.reason}. Spawn it again when that is mended, "
            "or with another instance_type",
            words,
        )


async def answered(call: Call, ticket: Ticket, seconds: float) -> Result:
    """The answer to `ticket`, or `running`. Raises `TurnFailed` when there is none."""
    expect_later(call, ticket)  # from the beginning: it may come just when the waiting is over
    try:
        answer = await telling_meanwhile(call, ticket.agent, call.manager.answer(ticket, seconds))
    except BaseException:
        call.manager.mail.give_back(ticket)
        raise
    if answer is None:
        text = f"running: {doing_of(call, ticket.agent)}. {comes_later(call, ticket.agent)}"
        return Result(text, {**addressed(ticket), "status": "running"})
    if not answer.ok:
        raise failure(answer)
    text = "\n\n".join(words for words in (*answer.replies, answer.text) if words)
    return Result(
        text or f"({ticket.agent} ended its turn without a word)",
        {
            **addressed(ticket),
            "status": "completed",
            "response": text,
            "response_time": answer.duration_s,
            "tokens_used": answer.usage.tokens,
            "cost_usd": number(answer.usage.known_usd),
        },
    )


async def sent(call: Call, ticket: Ticket) -> Result:
    """What to say when nobody waits for the answer to `ticket`."""
    expect_later(call, ticket)
    await asyncio.sleep(0)  # an idle agent is handed its message in this loop's next round
    status = ticket.how if ticket.how.startswith("steer") else "sent" if ticket.turn else "queued"
    text = f"{status} to {ticket.agent} ({ticket.id}). {comes_later(call, ticket.agent)}"
    return Result(text, {**addressed(ticket), "status": status})


def addressed(ticket: Ticket) -> dict[str, Any]:
    return {"instance_id": ticket.agent, "message_id": ticket.id, "turn": ticket.turn}


def comes_later(call: Call, name: str) -> str:
    if call.caller == PERSON or not call.manager.tree[name].auto_inject:
        return "get_pending_replies brings the answer"
    return "The answer comes as your next prompt, or call get_pending_replies with a wait_timeout"


def expect_later(call: Call, ticket: Ticket) -> None:
    """Nobody waits for this answer: it goes to the inbox."""
    ticket.leave = True


def failure(answer: Answer) -> TurnFailed:
    said = "\n".join(words for words in (*answer.replies, answer.text) if words)
    why = answer.error or ("somebody ended it" if answer.outcome == "interrupted" else "no reason given")
    error = f"{why}.{f' It had said: {said}' if said else ''}"
    todo = "See get_instance_output, and ask again in other words or do without it"
    return TurnFailed(
        TurnEnded(agent=answer.agent, turn=answer.turn, outcome=answer.outcome, error=f"{error}\n{todo}")
    )


def nothing_yet(manager: Manager, caller: str) -> str:
    asked = [t for t in manager.mail.open_tickets() if t.sender == caller and t.asks]
    if not asked:
        return "no messages, and nobody is at work on anything you asked"
    states = (f"{t.agent} is {manager.tree[t.agent].state} ({t.id})" for t in asked)
    return f"no messages yet: {', '.join(states)}. Call it again with a wait_timeout, or go on"
