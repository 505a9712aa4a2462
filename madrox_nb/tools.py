"""The agents' face: one short function per tool, which MCP, REST and Python only translate.

A function here gets a `Call` (whose call it is, and the manager) and returns a `Result`.
Its docstring and the texts beside its parameters are read by models: they say when to
use it, how long it waits, and what comes back.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable, Coroutine, Iterator, Mapping
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

from .calls import Call, Result, may_act, may_message, may_see, parent_for, sees, tool
from .errors import BadInput, Forbidden, HarnessNotReady, TurnFailed
from .events import PERSON, AgentStopped, Entry, TurnEnded
from .folds import Said, transcript
from .mail import Answer, Ticket, check_prompt
from .tree import Agent
from .wording import handover

if TYPE_CHECKING:
    from .manager import Manager

T = TypeVar("T")

LONGEST_WAIT = 45.0
"""Seconds that one call may wait: clients give up at 60 (TypeScript SDK) or later."""
BEAT = 2.0
"""Seconds between two progress reports: Claude gives up on silence, not on waiting."""
LONGEST_OUTPUT = 20_000
"""Characters of a transcript that one call returns; Claude moves longer texts to a file."""


# the tools

Who = Annotated[str, "Name of the agent, as in get_instance_tree."]
Name = Annotated[str | None, "What to call it; without one it is numbered: lead.2 is a child of lead."]
RoleName = Annotated[
    str, "What it is good at: general, architect, backend_developer, code_reviewer, debugger, …"
]
Prompt = Annotated[str | None, "Replaces the role's instructions. How to message others is always added."]
Model = Annotated[str | None, "Model id, passed to the CLI as it stands. Without one, the CLI's default."]
Parent = Annotated[str | None, "Whose child it becomes: yours, unless you name an agent below you."]
Ready = Annotated[bool, "Wait until its CLI is ready, a few seconds. false returns at once."]
First = Annotated[str | None, "Its first task. It starts on it as soon as it is ready."]
AwaitFirst = Annotated[bool, "Wait for the answer to initial_prompt."]
Seconds = Annotated[float, f"How long to wait for the answer. One call waits {LONGEST_WAIT:.0f} s at most."]
Inject = Annotated[
    bool, "Its answers start your next turn by themselves. false: they wait for get_pending_replies."
]
May = Annotated[
    str | None,
    "What it may do unasked: deny, ask, edits (files in its own directory), all. What you have at most, "
    "and by default.",
]
HarnessName = Annotated[
    str | None, "Which CLI: claude, codex, gemini, rehearsal, … Without one, the configured default."
]
Options = Annotated[
    dict[str, str] | None, "Settings of that CLI alone, such as sandbox_mode of codex. Seldom needed."
]


@tool()
async def spawn_claude(
    call: Call,
    name: Name = None,
    role: RoleName = "general",
    system_prompt: Prompt = None,
    model: Model = None,
    parent_instance_id: Parent = None,
    wait_for_ready: Ready = True,
    initial_prompt: First = None,
    wait_for_response: AwaitFirst = False,
    timeout_seconds: Seconds = 180,
    auto_inject: Inject = True,
    permissions: May = None,
    options: Options = None,
) -> Result:
    """Start a Claude Code agent as your child, for a part of the work that stands by itself.

    The same as spawn_instance with instance_type="claude". It costs a process and its own
    tokens, so end it with terminate_instance when its work is done.
    """
    return await spawn_instance(
        call,
        name=name,
        role=role,
        system_prompt=system_prompt,
        model=model,
        parent_instance_id=parent_instance_id,
        wait_for_ready=wait_for_ready,
        initial_prompt=initial_prompt,
        wait_for_response=wait_for_response,
        timeout_seconds=timeout_seconds,
        auto_inject=auto_inject,
        permissions=permissions,
        options=options,
        instance_type="claude",
    )


@tool()
async def spawn_instance(
    call: Call,
    name: Name = None,
    role: RoleName = "general",
    system_prompt: Prompt = None,
    model: Model = None,
    parent_instance_id: Parent = None,
    wait_for_ready: Ready = True,
    initial_prompt: First = None,
    wait_for_response: AwaitFirst = False,
    timeout_seconds: Seconds = 180,
    auto_inject: Inject = True,
    permissions: May = None,
    options: Options = None,
    instance_type: HarnessName = None,
) -> Result:
    """Start an agent as your child, for a part of the work that stands by itself.

    It costs a process and its own tokens, so end it with terminate_instance when its work
    is done. Returns its name, which is the instance_id that the other tools take. Give it
    its task as initial_prompt: then its answer comes as your next prompt, or from
    get_pending_replies. With wait_for_response the answer is returned here; if that takes
    longer than this call may wait you get `running`, and the answer comes later all the same.
    """
    manager, caller = call.manager, call.caller
    parent = parent_for(manager.tree, caller, parent_instance_id)
    if initial_prompt is not None:
        check_prompt(initial_prompt)
    elif wait_for_response:
        raise BadInput("wait_for_response needs an initial_prompt: there would be nothing to answer")
    left = _countdown(timeout_seconds if wait_for_response else LONGEST_WAIT)
    agent = await manager.spawn(
        name,
        role=role,
        harness=instance_type.strip().lower() if instance_type else None,
        model=model,
        parent=parent,
        permissions=permissions,
        system_prompt=system_prompt,
        options=options,
        auto_inject=auto_inject,
        by=caller,
        wait=False,
    )
    if wait_for_ready or wait_for_response:
        await _telling(call, agent.name, _ready(manager, agent.name, left()))
    spawned = _spawned(manager.tree[agent.name])
    if initial_prompt is None:
        return spawned
    ticket = await manager.ask(agent.name, initial_prompt, sender=caller)
    then = await (_answered(call, ticket, left()) if wait_for_response else _sent(call, ticket))
    status = {} if wait_for_response else {"status": manager.tree[agent.name].state}
    return Result(f"{spawned.text}\n\n{then.text}", {**spawned.data, **then.data, **status})


@tool()
async def send_to_instance(
    call: Call,
    instance_id: Who,
    message: Annotated[str, "What it should do or know, complete: it sees nothing of your conversation."],
    wait_for_response: Annotated[bool, "Return the answer itself instead of going on meanwhile."] = False,
    timeout_seconds: Seconds = 180,
    steer: Annotated[bool, "Let it join the turn under way, where its CLI can do that."] = False,
) -> Result:
    """Ask an agent something: one below you, your parent, or a sibling. It costs one turn of that agent.

    Returns at once; the answer comes as your next prompt, or when you call
    get_pending_replies. A busy agent takes it up when its turn is over (`queued`). With
    wait_for_response this call waits for the answer and returns it. If it says `running`,
    don't send the message again: call get_pending_replies with a wait_timeout, or go on.
    """
    may_message(call.manager.tree, call.caller, instance_id)
    ticket = await call.manager.ask(instance_id, message, sender=call.caller, steer=steer)
    if wait_for_response:
        return await _answered(call, ticket, _countdown(timeout_seconds)())
    return await _sent(call, ticket)


@tool()
async def reply_to_caller(
    call: Call,
    reply_message: Annotated[str, "The answer, whole."],
    correlation_id: Annotated[str | None, "Which message it answers, such as lead.m3."] = None,
    instance_id: Annotated[str | None, "Your own name. It can be left out: your token says it."] = None,
) -> Result:
    """Answer whoever asked you before your turn is over, or answer an earlier message.

    Without correlation_id it answers the message you are working on, or goes to your
    parent when nobody asked. What you say last in a turn is your answer by itself: don't
    send it here as well. Returns at once.
    """
    if call.caller == PERSON:
        raise BadInput("nobody has asked the person: use send_to_instance to tell an agent something")
    if instance_id not in (None, call.caller):
        raise Forbidden(f"you are {call.caller} and can't reply as {instance_id}. Leave instance_id out")
    message, recipient = await call.manager.reply(call.caller, reply_message, to=correlation_id or "")
    return Result(
        f"replied to {recipient} ({message})",
        {"status": "delivered", "message_id": message, "recipient": recipient},
    )


@tool(read_only=True)
async def get_pending_replies(
    call: Call,
    instance_id: Annotated[str | None, "Your own name. It can be left out: your token says it."] = None,
    wait_timeout: Annotated[
        float, f"Seconds to wait for the first message, {LONGEST_WAIT:.0f} at most. 0 only looks."
    ] = 0,
) -> Result:
    """Take the answers and notes that others have left for you.

    Each is handed over once: here, or with your next prompt. Use it with a wait_timeout
    when you can't go on without an answer. When none comes in time it says who is still
    at work on what you asked; call it again, or do something else meanwhile.
    """
    manager, caller = call.manager, call.caller
    if instance_id not in (None, caller):
        raise Forbidden(
            f"you are {caller}: taking what was left for {instance_id} would rob it. Leave instance_id "
            "out, or read what was said with get_instance_output"
        )
    await _telling(call, "", manager.mail.first(caller, _countdown(wait_timeout)()))
    found = await manager.take(caller)  # at once: nothing is taken by a call that was given up
    replies = [
        {
            "message_id": each.id,
            "sender": each.sender,
            "answers": each.answers,
            "outcome": each.outcome,
            "text": each.text,
            "posted": _iso(each.posted),
        }
        for each in found
    ]
    return Result(handover(found) if found else _nothing_yet(manager, caller), {"replies": replies})


@tool(read_only=True)
async def get_instance_tree(call: Call) -> Result:
    """Show all agents: who is whose child, what state each is in, its CLI and role. Free and immediate."""
    tree = call.manager.tree
    below: dict[str | None, list[Agent]] = {}
    for agent in tree:
        below.setdefault(agent.parent, []).append(agent)
    text = "\n".join(_drawn(below, call.caller)) or "no agents yet: spawn_instance starts one"
    flat = [_brief(agent) for agent in tree]
    return Result(text, {"tree": _nested(below), "instances": flat, "total": len(flat)})


@tool(read_only=True)
async def get_children(
    call: Call, parent_id: Annotated[str | None, "Whose children; yours, when left out."] = None
) -> Result:
    """List the direct children of an agent with their states. Free and immediate."""
    tree, whose = call.manager.tree, parent_id or call.caller
    if whose != PERSON:
        may_see(tree, call.caller, whose)
    children = tree.children(None if whose == PERSON else whose)
    text = "\n".join(_line(agent, call.caller) for agent in children) or f"{whose} has no children"
    return Result(text, {"parent": whose, "children": [_brief(agent) for agent in children]})


@tool(read_only=True)
async def get_instance_status(
    call: Call,
    instance_id: Annotated[
        str | None, "One agent in detail. Left out: you, yours and your neighbours."
    ] = None,
) -> Result:
    """Say what an agent does now, what waits for it, and what it has cost. Free and immediate."""
    manager, caller = call.manager, call.caller
    if instance_id is not None:
        told = _status(manager, may_see(manager.tree, caller, instance_id))
        return Result("\n".join(f"{key}: {_shown(value)}" for key, value in told.items()), told)
    agents = [agent for agent in manager.tree if sees(manager.tree, caller, agent.name)]
    lines = [f"{_line(agent, caller)}{_doing_now(agent)}" for agent in agents]
    return Result(
        "\n".join(lines) or "no agents yet: spawn_instance starts one",
        {"instances": [_status(manager, agent) for agent in agents], "total": len(agents)},
    )


@tool(read_only=True)
async def get_instance_output(
    call: Call,
    instance_id: Who,
    limit: Annotated[int, "How many entries at most, the newest ones."] = 100,
    since: Annotated[str | None, "Only what is newer than this time, such as 2026-01-31T12:00:00Z."] = None,
) -> Result:
    """Read what was said to and by an agent and which tools it used, oldest first. Costs no turn.

    At most 20,000 characters come back, the newest; what was left out is said at the top.
    """
    manager = call.manager
    may_see(manager.tree, call.caller, instance_id)
    after = _time(since)
    said = await asyncio.to_thread(lambda: list(transcript(manager.ledger, instance_id)))
    wanted = [each for each in said if after is None or each.ts > after]
    shown = _newest(wanted[max(0, len(wanted) - max(0, limit)) :])
    lines = [f"{_iso(each.ts)} {each.who} {each.what}: {each.text}" for each in shown]
    if missing := len(wanted) - len(shown):
        lines.insert(0, f"[{missing} older entries are left out here]")
    output = [
        {
            "timestamp": _iso(each.ts),
            "type": each.what,
            "sender": each.who,
            "turn": each.turn,
            "content": each.text,
        }
        for each in shown
    ]
    return Result(
        "\n".join(lines) or f"nothing was said to or by {instance_id} yet",
        {"instance_id": instance_id, "output": output, "left_out": missing},
    )


@tool()
async def interrupt_instance(call: Call, instance_id: Who) -> Result:
    """End the turn that an agent below you works on. It keeps its context and can be asked again.

    Returns when its CLI has confirmed it, in 10 s at most.
    """
    may_act(call.manager.tree, call.caller, instance_id, "interrupt")
    ended = await call.manager.interrupt(instance_id)
    if ended is None:
        return Result(
            f"{instance_id} has no turn under way", {"interrupted": False, "turn": "", "confirmed": False}
        )
    done = ended.outcome == "interrupted"
    text = f"{ended.turn} was interrupted" if done else f"{ended.turn} had just ended by itself"
    return Result(text, {"interrupted": done, "turn": ended.turn, "confirmed": True})


@tool(destructive=True)
async def terminate_instance(
    call: Call,
    instance_id: Who,
    force: Annotated[bool, "End it although it or one below it is at work: that turn is lost."] = False,
) -> Result:
    """End an agent and everyone below it, when their work is done. Their files and transcripts stay.

    Refused while one of them works, unless force is given. Returns the names that were ended.
    """
    manager = call.manager
    may_act(manager.tree, call.caller, instance_id, "terminate")
    ending = asyncio.ensure_future(manager.terminate(instance_id, force=force, by=call.caller))
    ended = await asyncio.shield(ending)  # who ends itself hangs up in the middle of this call
    text = f"ended: {', '.join(ended)}" if ended else f"{instance_id} had ended already"
    return Result(text, {"terminated": ended})


# waiting


def _countdown(seconds: float) -> Callable[[], float]:
    """What is left of `seconds`, or of what one call may wait."""
    loop = asyncio.get_running_loop()
    end = loop.time() + max(0.0, min(seconds, LONGEST_WAIT))
    return lambda: max(0.0, end - loop.time())


async def _telling(call: Call, name: str, waiting: Coroutine[Any, Any, T]) -> T:
    """Await what ends by itself in time, telling meanwhile that it goes on.

    One task waits from the beginning to the end, so no answer falls between two looks.
    """
    loop = asyncio.get_running_loop()
    began, task = loop.time(), asyncio.ensure_future(waiting)
    try:
        while not task.done():
            await asyncio.wait((task,), timeout=BEAT)
            if not task.done():
                seconds = loop.time() - began
                await call.progress(seconds, f"{_doing(call, name)}, {seconds:.0f} s so far")
    finally:
        task.cancel()
    return task.result()


def _doing(call: Call, name: str) -> str:
    if not name:
        return f"nothing for {call.caller} yet"
    agent = call.manager.tree[name]
    return f"{name} is {agent.state}{_doing_now(agent)}"


async def _ready(manager: Manager, name: str, seconds: float) -> None:
    """Wait until `name` has started, or `seconds` have passed.

    Raises `HarnessNotReady` with its last words when it does not start.
    """
    words = ""

    def heard(entry: Entry) -> None:
        nonlocal words
        if isinstance(entry.event, AgentStopped) and entry.event.agent == name:
            words = entry.event.evidence

    left, stop = _countdown(seconds), manager.ledger.listen(heard)
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


async def _answered(call: Call, ticket: Ticket, seconds: float) -> Result:
    """The answer to `ticket`, or `running`. Raises `TurnFailed` when there is none."""
    _expect_later(call, ticket)  # from the beginning: it may come just when the waiting is over
    try:
        answer = await _telling(call, ticket.agent, call.manager.answer(ticket, seconds))
    except BaseException:
        call.manager.mail.give_back(ticket)
        raise
    if answer is None:
        text = f"running: {_doing(call, ticket.agent)}. {_comes_later(call, ticket.agent)}"
        return Result(text, {**_addressed(ticket), "status": "running"})
    if not answer.ok:
        raise _failure(answer)
    text = "\n\n".join(words for words in (*answer.replies, answer.text) if words)
    return Result(
        text or f"({ticket.agent} ended its turn without a word)",
        {
            **_addressed(ticket),
            "status": "completed",
            "response": text,
            "response_time": answer.duration_s,
            "tokens_used": answer.usage.tokens,
            "cost_usd": _number(answer.usage.known_usd),
        },
    )


async def _sent(call: Call, ticket: Ticket) -> Result:
    """What to say when nobody waits for the answer to `ticket`."""
    _expect_later(call, ticket)
    await asyncio.sleep(0)  # an idle agent is handed its message in this loop's next round
    status = ticket.how if ticket.how.startswith("steer") else "sent" if ticket.turn else "queued"
    text = f"{status} to {ticket.agent} ({ticket.id}). {_comes_later(call, ticket.agent)}"
    return Result(text, {**_addressed(ticket), "status": status})


def _addressed(ticket: Ticket) -> dict[str, Any]:
    return {"instance_id": ticket.agent, "message_id": ticket.id, "turn": ticket.turn}


def _comes_later(call: Call, name: str) -> str:
    if call.caller == PERSON or not call.manager.tree[name].auto_inject:
        return "get_pending_replies brings the answer"
    return "The answer comes as your next prompt, or call get_pending_replies with a wait_timeout"


def _expect_later(call: Call, ticket: Ticket) -> None:
    """Nobody waits for this answer: it goes to the inbox."""
    ticket.leave = True


def _failure(answer: Answer) -> TurnFailed:
    said = "\n".join(words for words in (*answer.replies, answer.text) if words)
    error = f"{answer.error or 'no reason given'}.{f' It had said: {said}' if said else ''}"
    todo = "See get_instance_output, and ask again in other words or do without it"
    return TurnFailed(
        TurnEnded(agent=answer.agent, turn=answer.turn, outcome=answer.outcome, error=f"{error}\n{todo}")
    )


def _nothing_yet(manager: Manager, caller: str) -> str:
    asked = [t for t in manager.mail.open_tickets() if t.sender == caller and t.asks]
    if not asked:
        return "no messages, and nobody is at work on anything you asked"
    states = (f"{t.agent} is {manager.tree[t.agent].state} ({t.id})" for t in asked)
    return f"no messages yet: {', '.join(states)}. Call it again with a wait_timeout, or go on"


# telling


def _spawned(agent: Agent) -> Result:
    child = f", child of {agent.parent}" if agent.parent else ""
    text = f"spawned {agent.name} ({agent.role}, {agent.harness}{child}): {agent.state}"
    return Result(text, {**_brief(agent), "status": agent.state, "workspace": agent.workspace})


def _brief(agent: Agent) -> dict[str, Any]:
    return {
        "instance_id": agent.name,
        "name": agent.name,
        "state": agent.state,
        "role": agent.role,
        "harness": agent.harness,
        "instance_type": agent.harness,
        "model": agent.model,
        "parent": agent.parent,
    }


def _status(manager: Manager, agent: Agent) -> dict[str, Any]:
    usage = manager.costs.of(agent.name)
    return {
        **_brief(agent),
        "since": _iso(agent.since),
        "reason": agent.reason,
        "turn": agent.turn,
        "turns": agent.turns,
        "current_tools": [tool for _, tool in agent.tools],
        "queued": manager.inboxes.queued(agent.name),
        "unread": len(manager.inboxes.unread(agent.name)),
        "children": [child.name for child in manager.tree.children(agent.name)],
        "permissions": agent.permissions,
        "workspace": agent.workspace,
        "tokens": usage.tokens,
        "cost_usd": _number(usage.known_usd),
    }


def _line(agent: Agent, caller: str) -> str:
    you = " ← you" if agent.name == caller else ""
    return f"{agent.name} [{agent.state}] ({agent.harness}) {agent.role}{you}"


def _doing_now(agent: Agent) -> str:
    if agent.tools:
        return f", uses {', '.join(tool for _, tool in agent.tools)}"
    return f", {agent.reason}" if agent.reason else ""


def _drawn(
    below: Mapping[str | None, list[Agent]], caller: str, parent: str | None = None, stem: str = ""
) -> Iterator[str]:
    agents = below.get(parent, [])
    for agent in agents:
        last = agent is agents[-1]
        twig, more = ("", "") if parent is None else ("└── ", "    ") if last else ("├── ", "│   ")
        yield f"{stem}{twig}{_line(agent, caller)}"
        yield from _drawn(below, caller, agent.name, stem + more)


def _nested(below: Mapping[str | None, list[Agent]], parent: str | None = None) -> list[dict[str, Any]]:
    return [{**_brief(agent), "children": _nested(below, agent.name)} for agent in below.get(parent, [])]


def _newest(said: list[Said]) -> list[Said]:
    """The newest that fit into `LONGEST_OUTPUT`, oldest first; a long one loses its middle."""
    shown: list[Said] = []
    room = LONGEST_OUTPUT
    for each in reversed(said):
        text = _clipped(each.text, LONGEST_OUTPUT // 4)
        room -= len(text) + len(each.who) + 40
        if room < 0:
            break
        shown.append(Said(each.ts, each.turn, each.who, each.what, text))
    return shown[::-1]


def _clipped(text: str, longest: int) -> str:
    if len(text) <= longest:
        return text
    half = longest // 2
    return f"{text[:half]}\n[… {len(text) - 2 * half:,} characters are left out here …]\n{text[-half:]}"


def _time(text: str | None) -> datetime | None:
    if text is None:
        return None
    try:
        time = datetime.fromisoformat(text)
    except ValueError:
        raise BadInput(f"since={text!r} is no time. Write it as 2026-01-31T12:00:00Z") from None
    return time if time.tzinfo else time.replace(tzinfo=UTC)


def _iso(time: datetime) -> str:
    return time.astimezone(UTC).isoformat().replace("+00:00", "Z")


def _number(value: float) -> float | None:
    """JSON has no NaN: what nobody knows is null."""
    return None if math.isnan(value) else value


def _shown(value: object) -> str:
    if isinstance(value, list):
        return ", ".join(map(str, value)) or "–"
    return "unknown" if value is None else str(value) or "–"
