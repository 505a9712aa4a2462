"""The agents' face: one short function per tool, which MCP, REST and Python only translate.

A function here gets a `Desk` (whose call it is, and the manager) and returns a `Result`.
Its docstring and the texts beside its parameters are read by models: they say when to
use it, how long it waits, and what comes back.

What a caller may do depends on where it stands in the tree, and on nothing it says:

    act on (interrupt, terminate, spawn below)   itself and the agents below it
    message                                      the agents below it, its parent, its siblings
    look at                                      all of these; the tree shows everybody
    the person                                   everything

A child of the person's is a sibling of the others.
"""

from __future__ import annotations

import asyncio
import inspect
import math
import re
from collections.abc import Awaitable, Callable, Coroutine, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property
from typing import TYPE_CHECKING, Annotated, Any, TypeVar, get_args, get_type_hints

from .errors import BadInput, Forbidden, HarnessNotReady, TurnFailed, nearest
from .events import PERSON, AgentStopped, Entry, TurnEnded
from .folds import Said, transcript
from .mail import Answer, Ticket, check_prompt
from .tree import Agent, Tree
from .wording import handover

if TYPE_CHECKING:
    from pydantic import BaseModel

    from .manager import Manager

T = TypeVar("T")
F = TypeVar("F", bound=Callable[..., Coroutine[Any, Any, "Result"]])

LONGEST_WAIT = 45.0
"""Seconds that one call may wait: clients give up at 60 (TypeScript SDK) or later."""
BEAT = 2.0
"""Seconds between two progress reports: Claude gives up on silence, not on waiting."""
LONGEST_OUTPUT = 20_000
"""Characters of a transcript that one call returns; Claude moves longer texts to a file."""


@dataclass(frozen=True)
class Desk:
    """One call: who makes it, and how to tell that it is still under way."""

    manager: Manager
    caller: str
    """An agent's name, or `you` for the person. From the token alone."""
    progress: Callable[[float, str], Awaitable[None]]
    """Seconds waited so far, and what is being waited for."""


@dataclass(frozen=True)
class Result:
    """What a tool returns: `text` for a model, `data` for a program."""

    text: str
    data: Mapping[str, Any]


# who may do what


def may_act(tree: Tree, caller: str, name: str, what: str) -> Agent:
    """The agent `name`, when `caller` may `what` it. Raises `UnknownAgent` or `Forbidden`."""
    agent = tree[name]
    if not _owns(tree, caller, name):
        below = ", ".join(each.name for each in tree.subtree(caller)[1:]) or "nobody yet"
        raise Forbidden(
            f"{caller} can't {what} {name}: that takes an agent at or below {caller} ({below}). "
            f"Ask {agent.parent or 'the person'}, whose child {name} is"
        )
    return agent


def may_message(tree: Tree, caller: str, name: str) -> Agent:
    """The agent `name`, when `caller` may send it words. Raises as `may_act`, and `BadInput`."""
    if name == caller:
        raise BadInput(f"{name} is you: nobody else would read that. What you need to keep, put in a file")
    if name == PERSON:
        raise BadInput(
            f"{name!r} is the person and takes no turns. Use reply_to_caller to tell them something"
        )
    return _near(tree, caller, name, "message")


def may_see(tree: Tree, caller: str, name: str) -> Agent:
    """The agent `name`, when `caller` may look at it. Raises as `may_act`."""
    return _near(tree, caller, name, "look at")


def parent_for(tree: Tree, caller: str, wanted: str | None) -> str | None:
    """Whose child a new agent becomes: the caller's, or that of an agent below it; None is a root."""
    if wanted is None:
        return None if caller == PERSON else caller
    if wanted == PERSON and caller == PERSON:
        return None
    return may_act(tree, caller, wanted, "spawn below").name


def _owns(tree: Tree, caller: str, name: str) -> bool:
    return caller in (PERSON, name) or caller in tree.above(name)


def _sees(tree: Tree, caller: str, name: str) -> bool:
    return _owns(tree, caller, name) or tree[caller].parent in (name, tree[name].parent)


def _near(tree: Tree, caller: str, name: str, what: str) -> Agent:
    agent = tree[name]
    if not _sees(tree, caller, name):
        raise Forbidden(
            f"{caller} can't {what} {name}: it is neither below {caller} nor its parent or sibling. "
            f"Ask {agent.parent or 'the person'}, whose child {name} is"
        )
    return agent


# the registry


@dataclass(frozen=True)
class Tool:
    """A function below, as the faces need to know it."""

    function: Callable[..., Coroutine[Any, Any, Result]]
    read_only: bool
    """It only looks or waits: Claude runs such calls of one message side by side."""
    destructive: bool

    @property
    def name(self) -> str:
        return self.function.__name__

    @property
    def description(self) -> str:
        return inspect.getdoc(self.function) or ""

    @cached_property
    def parameters(self) -> dict[str, inspect.Parameter]:
        """By name, without the desk; annotations resolved."""
        hints = get_type_hints(self.function, include_extras=True)
        _, *own = inspect.signature(self.function).parameters.values()
        return {each.name: each.replace(annotation=hints[each.name]) for each in own}

    @cached_property
    def model(self) -> type[BaseModel]:
        """Checks arguments and describes them. Made on first use, because pydantic loads slowly."""
        from pydantic import ConfigDict, Field, create_model

        fields: dict[str, Any] = {}
        for name, each in self.parameters.items():
            kind, described = get_args(each.annotation)
            default = ... if each.default is each.empty else each.default
            fields[name] = (kind, Field(default, description=described))
        return create_model(self.name, __config__=ConfigDict(extra="forbid", allow_inf_nan=False), **fields)

    def schema(self) -> dict[str, Any]:
        """JSON Schema of the arguments. Others than these are refused."""
        schema = self.model.model_json_schema()
        for described in (schema, *schema.get("properties", {}).values()):
            described.pop("title", None)
        return {"properties": {}, **schema}

    def arguments(self, given: Mapping[str, Any]) -> dict[str, Any]:
        """`given`, checked and converted. Raises `BadInput` naming what is wrong and what is known.

        null stands for the default, as models often write it.
        """
        from pydantic import ValidationError

        known = self.parameters
        for name in given:
            if name not in known:
                raise BadInput(f"{self.name} has no argument {name!r}.{nearest(name, known)} {self._takes()}")
        meant = {
            k: v for k, v in given.items() if v is not None or known[k].default is inspect.Parameter.empty
        }
        try:
            checked = self.model.model_validate(meant)
        except ValidationError as exc:
            wrong = "; ".join(f"{'.'.join(map(str, e['loc']))}: {e['msg']}" for e in exc.errors())
            raise BadInput(f"{self.name}: {wrong}. {self._takes()}") from exc
        return {name: getattr(checked, name) for name in known}

    async def call(self, desk: Desk, given: Mapping[str, Any]) -> Result:
        """Carry it out with arguments that nobody has checked yet."""
        return await self.function(desk, **self.arguments(given))

    def _takes(self) -> str:
        if not self.parameters:
            return "It takes no arguments"
        needed = (n if p.default is p.empty else f"{n}?" for n, p in self.parameters.items())
        return f"It takes: {', '.join(needed)}"


TOOLS: dict[str, Tool] = {}


def tool(*, read_only: bool = False, destructive: bool = False) -> Callable[[F], F]:
    """Register a function under its own name."""

    def register(function: F) -> F:
        made = Tool(function, read_only, destructive)
        TOOLS[made.name] = made
        return function

    return register


def find(name: str) -> Tool:
    """The tool of that name. Raises `BadInput` with the nearest one."""
    if name not in TOOLS:
        raise BadInput(f"there is no tool {name!r}.{nearest(name, TOOLS)} Known: {', '.join(TOOLS)}")
    return TOOLS[name]


_VERBS = {
    "spawn": "spawn_instance",
    "stop": "terminate_instance",
    "interrupt": "interrupt_instance",
    "wait": "get_instance_status",
}
_MAGIC = re.compile(rf"%madrox ({'|'.join(_VERBS)})\b( [^\s()`]+)?( --force)?")


def in_tools(text: str) -> str:
    """An error's text with its next step in the words of this face instead of the notebook's."""
    text = _MAGIC.sub(lambda m: _VERBS[m[1]] + (m[2] or "") + (" force=true" if m[3] else ""), text)
    return text.replace("--force or force=True", "force=true").replace("use --harness ", "use instance_type=")


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
    str | None, "`edits`: files in its own directory (the default). `all`: every tool, if you may."
]
HarnessName = Annotated[str | None, "Which CLI: claude, rehearsal, … Without one, the configured default."]


@tool()
async def spawn_claude(
    desk: Desk,
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
) -> Result:
    """Start a Claude Code agent as your child, for a part of the work that stands by itself.

    The same as spawn_instance with instance_type="claude". It costs a process and its own
    tokens, so end it with terminate_instance when its work is done.
    """
    return await spawn_instance(
        desk,
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
        instance_type="claude",
    )


@tool()
async def spawn_instance(
    desk: Desk,
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
    instance_type: HarnessName = None,
) -> Result:
    """Start an agent as your child, for a part of the work that stands by itself.

    It costs a process and its own tokens, so end it with terminate_instance when its work
    is done. Returns its name, which is the instance_id that the other tools take. Give it
    its task as initial_prompt: then its answer comes as your next prompt, or from
    get_pending_replies. With wait_for_response the answer is returned here; if that takes
    longer than this call may wait you get `running`, and the answer comes later all the same.
    """
    manager, caller = desk.manager, desk.caller
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
        auto_inject=auto_inject,
        by=caller,
        wait=False,
    )
    if wait_for_ready or wait_for_response:
        await _telling(desk, agent.name, _ready(manager, agent.name, left()))
    spawned = _spawned(manager.tree[agent.name])
    if initial_prompt is None:
        return spawned
    ticket = await manager.ask(agent.name, initial_prompt, sender=caller)
    then = await (_answered(desk, ticket, left()) if wait_for_response else _sent(desk, ticket))
    status = {} if wait_for_response else {"status": manager.tree[agent.name].state}
    return Result(f"{spawned.text}\n\n{then.text}", {**spawned.data, **then.data, **status})


@tool()
async def send_to_instance(
    desk: Desk,
    instance_id: Who,
    message: Annotated[str, "What it should do or know, complete: it sees nothing of your conversation."],
    wait_for_response: Annotated[bool, "Return the answer itself instead of going on meanwhile."] = False,
    timeout_seconds: Seconds = 180,
) -> Result:
    """Ask an agent something: one below you, your parent, or a sibling. It costs one turn of that agent.

    Returns at once; the answer comes as your next prompt, or when you call
    get_pending_replies. A busy agent takes it up when its turn is over (`queued`). With
    wait_for_response this call waits for the answer and returns it. If it says `running`,
    don't send the message again: call get_pending_replies with a wait_timeout, or go on.
    """
    may_message(desk.manager.tree, desk.caller, instance_id)
    ticket = await desk.manager.ask(instance_id, message, sender=desk.caller)
    if wait_for_response:
        return await _answered(desk, ticket, _countdown(timeout_seconds)())
    return await _sent(desk, ticket)


@tool()
async def reply_to_caller(
    desk: Desk,
    reply_message: Annotated[str, "The answer, whole."],
    correlation_id: Annotated[str | None, "Which message it answers, such as lead.m3."] = None,
    instance_id: Annotated[str | None, "Your own name. It can be left out: your token says it."] = None,
) -> Result:
    """Answer whoever asked you before your turn is over, or answer an earlier message.

    Without correlation_id it answers the message you are working on, or goes to your
    parent when nobody asked. What you say last in a turn is your answer by itself: don't
    send it here as well. Returns at once.
    """
    if desk.caller == PERSON:
        raise BadInput("nobody has asked the person: use send_to_instance to tell an agent something")
    if instance_id not in (None, desk.caller):
        raise Forbidden(f"you are {desk.caller} and can't reply as {instance_id}. Leave instance_id out")
    message, recipient = await desk.manager.reply(desk.caller, reply_message, to=correlation_id or "")
    return Result(
        f"replied to {recipient} ({message})",
        {"status": "delivered", "message_id": message, "recipient": recipient},
    )


@tool(read_only=True)
async def get_pending_replies(
    desk: Desk,
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
    manager, caller = desk.manager, desk.caller
    if instance_id not in (None, caller):
        raise Forbidden(
            f"you are {caller}: taking what was left for {instance_id} would rob it. Leave instance_id "
            "out, or read what was said with get_instance_output"
        )
    found = await _telling(desk, "", manager.take(caller, _countdown(wait_timeout)()))
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
async def get_instance_tree(desk: Desk) -> Result:
    """Show all agents: who is whose child, what state each is in, its CLI and role. Free and immediate."""
    tree = desk.manager.tree
    below: dict[str | None, list[Agent]] = {}
    for agent in tree:
        below.setdefault(agent.parent, []).append(agent)
    text = "\n".join(_drawn(below, desk.caller)) or "no agents yet: spawn_instance starts one"
    flat = [_brief(agent) for agent in tree]
    return Result(text, {"tree": _nested(below), "instances": flat, "total": len(flat)})


@tool(read_only=True)
async def get_children(
    desk: Desk, parent_id: Annotated[str | None, "Whose children; yours, when left out."] = None
) -> Result:
    """List the direct children of an agent with their states. Free and immediate."""
    tree, whose = desk.manager.tree, parent_id or desk.caller
    if whose != PERSON:
        may_see(tree, desk.caller, whose)
    children = tree.children(None if whose == PERSON else whose)
    text = "\n".join(_line(agent, desk.caller) for agent in children) or f"{whose} has no children"
    return Result(text, {"parent": whose, "children": [_brief(agent) for agent in children]})


@tool(read_only=True)
async def get_instance_status(
    desk: Desk,
    instance_id: Annotated[
        str | None, "One agent in detail. Left out: you, yours and your neighbours."
    ] = None,
) -> Result:
    """Say what an agent does now, what waits for it, and what it has cost. Free and immediate."""
    manager, caller = desk.manager, desk.caller
    if instance_id is not None:
        told = _status(manager, may_see(manager.tree, caller, instance_id))
        return Result("\n".join(f"{key}: {_shown(value)}" for key, value in told.items()), told)
    agents = [agent for agent in manager.tree if _sees(manager.tree, caller, agent.name)]
    lines = [f"{_line(agent, caller)}{_doing_now(agent)}" for agent in agents]
    return Result(
        "\n".join(lines) or "no agents yet: spawn_instance starts one",
        {"instances": [_status(manager, agent) for agent in agents], "total": len(agents)},
    )


@tool(read_only=True)
async def get_instance_output(
    desk: Desk,
    instance_id: Who,
    limit: Annotated[int, "How many entries at most, the newest ones."] = 100,
    since: Annotated[str | None, "Only what is newer than this time, such as 2026-01-31T12:00:00Z."] = None,
) -> Result:
    """Read what was said to and by an agent and which tools it used, oldest first. Costs no turn.

    At most 20,000 characters come back, the newest; what was left out is said at the top.
    """
    manager = desk.manager
    may_see(manager.tree, desk.caller, instance_id)
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
async def interrupt_instance(desk: Desk, instance_id: Who) -> Result:
    """End the turn that an agent below you works on. It keeps its context and can be asked again.

    Returns when its CLI has confirmed it, in 10 s at most.
    """
    may_act(desk.manager.tree, desk.caller, instance_id, "interrupt")
    ended = await desk.manager.interrupt(instance_id)
    if ended is None:
        return Result(
            f"{instance_id} has no turn under way", {"interrupted": False, "turn": "", "confirmed": False}
        )
    done = ended.outcome == "interrupted"
    text = f"{ended.turn} was interrupted" if done else f"{ended.turn} had just ended by itself"
    return Result(text, {"interrupted": done, "turn": ended.turn, "confirmed": True})


@tool(destructive=True)
async def terminate_instance(
    desk: Desk,
    instance_id: Who,
    force: Annotated[bool, "End it although it or one below it is at work: that turn is lost."] = False,
) -> Result:
    """End an agent and everyone below it, when their work is done. Their files and transcripts stay.

    Refused while one of them works, unless force is given. Returns the names that were ended.
    """
    manager = desk.manager
    may_act(manager.tree, desk.caller, instance_id, "terminate")
    ending = asyncio.ensure_future(manager.terminate(instance_id, force=force, by=desk.caller))
    ended = await asyncio.shield(ending)  # who ends itself hangs up in the middle of this call
    text = f"ended: {', '.join(ended)}" if ended else f"{instance_id} had ended already"
    return Result(text, {"terminated": ended})


# waiting


def _countdown(seconds: float) -> Callable[[], float]:
    """What is left of `seconds`, or of what one call may wait."""
    loop = asyncio.get_running_loop()
    end = loop.time() + max(0.0, min(seconds, LONGEST_WAIT))
    return lambda: max(0.0, end - loop.time())


async def _telling(desk: Desk, name: str, waiting: Coroutine[Any, Any, T]) -> T:
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
                await desk.progress(seconds, f"{_doing(desk, name)}, {seconds:.0f} s so far")
    finally:
        task.cancel()
    return task.result()


def _doing(desk: Desk, name: str) -> str:
    if not name:
        return f"nothing for {desk.caller} yet"
    agent = desk.manager.tree[name]
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


async def _answered(desk: Desk, ticket: Ticket, seconds: float) -> Result:
    """The answer to `ticket`, or `running`. Raises `TurnFailed` when there is none."""
    try:
        answer = await _telling(desk, ticket.agent, desk.manager.answer(ticket, seconds))
    except asyncio.CancelledError:
        _expect_later(desk, ticket)
        raise
    if answer is None:
        _expect_later(desk, ticket)
        text = f"running: {_doing(desk, ticket.agent)}. {_comes_later(desk, ticket.agent)}"
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


async def _sent(desk: Desk, ticket: Ticket) -> Result:
    """What to say when nobody waits for the answer to `ticket`."""
    _expect_later(desk, ticket)
    await asyncio.sleep(0)  # an idle agent is handed its message in this loop's next round
    status = "sent" if ticket.turn else "queued"
    text = f"{status} to {ticket.agent} ({ticket.id}). {_comes_later(desk, ticket.agent)}"
    return Result(text, {**_addressed(ticket), "status": status})


def _addressed(ticket: Ticket) -> dict[str, Any]:
    return {"instance_id": ticket.agent, "message_id": ticket.id, "turn": ticket.turn}


def _comes_later(desk: Desk, name: str) -> str:
    if desk.caller == PERSON or not desk.manager.tree[name].auto_inject:
        return "get_pending_replies brings the answer"
    return "The answer comes as your next prompt, or call get_pending_replies with a wait_timeout"


def _expect_later(desk: Desk, ticket: Ticket) -> None:
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
