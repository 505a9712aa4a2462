"""Tools that end turns and agents, let agents sleep and come back, and wait for them."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Sequence
from typing import Annotated, Any, Literal, TypeVar

from ..calls import Call, Result, may_act, may_see, owns, tool
from ..errors import BadInput, Forbidden, nearest
from ..events import PERSON
from ..revival import Persisted, Return, at_rest, bring_back, persisted, revive
from ..rules import covers
from .arguments import Who
from .several import each, gathered, names_once
from .telling import iso, line_of
from .waiting import LONGEST_WAIT, countdown, telling_meanwhile

T = TypeVar("T")

Several = Annotated[list[str], "Names of agents below you, as in get_instance_tree."]
Force = Annotated[bool, "End it although it or one below it is at work: that turn is lost."]


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
    force: Force = False,
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


@tool()
async def interrupt_multiple_instances(call: Call, instance_ids: Several) -> Result:
    """End the turns of several agents below you at once, as interrupt_instance does. They keep their context.

    Returns when each CLI has confirmed it, in 10 s at most, with what came of each: who could
    not be interrupted is told beside the others.
    """
    names = names_once(instance_ids)
    found = await each((name, interrupt_instance(call, name)) for name in names)
    return gathered("asked to stop", [_with_status(item, "interrupted") for item in found])


@tool(destructive=True)
async def terminate_multiple_instances(call: Call, instance_ids: Several, force: Force = False) -> Result:
    """End several agents at once, each with everyone below it. Their files and transcripts stay.

    Who works is refused unless force is given; the others end all the same. Returns for each
    whose end it was.
    """
    names = names_once(instance_ids)
    found = await each((name, terminate_instance(call, name, force)) for name in names)
    return gathered("ended", [_with_status(item, "terminated") for item in found])


def _with_status(item: dict[str, Any], done: str) -> dict[str, Any]:
    """`item` with a status: `done`, or `unchanged` where there was nothing to do."""
    return {**item, "status": item.get("status") or (done if item[done] else "unchanged")}


# sleeping and coming back


@tool()
async def suspend_instance(call: Call, instance_id: Who) -> Result:
    """End the process of an idle agent below you and keep the rest: conversation, files, inbox, place.

    It frees memory and costs nothing. The next message for it wakes it, within seconds; so
    does resume_instance. An agent at work is refused: wait for it or interrupt it first.
    """
    may_act(call.manager.tree, call.caller, instance_id, "suspend")
    before = call.manager.tree[instance_id].state
    agent = await call.manager.suspend(instance_id, f"suspended by {call.caller}")
    text = f"{agent.name} was suspended already" if before == agent.state else f"{agent.name} is suspended"
    return Result(
        f"{text}: a message wakes it", {"instance_id": agent.name, "status": agent.state, "was": before}
    )


@tool()
async def resume_instance(
    call: Call,
    instance_id: Annotated[str, "Its name, as in list_persisted_instances."],
    name: Annotated[str | None, "Its own name, or nothing: it can't come back under another one."] = None,
    model: Annotated[str | None, "Go on with this model. Only for one that an earlier run has left."] = None,
    run: Annotated[str | None, "The earlier run to take it from. Left out: the newest that has it."] = None,
) -> Result:
    """Wake a suspended agent, or bring one back that has ended, here or with an earlier run.

    It goes on with its conversation, files, unread messages (unless it ended here) and place in
    the tree. Its parent has to be here before it. Returns when its CLI is ready, or says why not.
    """
    tree = call.manager.tree
    if name not in (None, instance_id):
        raise BadInput(
            f"{instance_id} can't come back as {name}: its files, conversation and messages belong to "
            "its own name. Leave name out, or spawn_instance another one"
        )
    if run is None and instance_id in tree:
        return await _here(call, instance_id, model)
    found = await _from_earlier(call, instance_id, run)
    returned = await _in_time(call, instance_id, _back(call, found, model))
    if returned is not None and not returned.how:
        raise BadInput(f"{instance_id} can't come back from run {found.run}: {returned.why}")
    remark = returned.why if returned else ""
    state = tree[instance_id].state
    text = f"{instance_id} is back from run {found.run} and {state}{f' ({remark})' if remark else ''}"
    how = "starting" if returned is None else returned.how
    return Result(text, {**_resumed(call, instance_id, how, found.run), "remark": remark})


async def _here(call: Call, name: str, model: str | None) -> Result:
    """Start the process of one of this run: suspended, or ended."""
    manager = call.manager
    was = may_act(manager.tree, call.caller, name, "resume")
    if model not in (None, was.model):
        raise BadInput(
            f"{name} goes on with its model ({was.model or 'the default of its CLI'}): it is part of this "
            "run. Leave model out, or spawn_instance another one"
        )
    how, remark = "awake", "was not suspended"
    if not was.alive:
        returned = await _in_time(call, name, revive(manager, name))
        how, remark = (returned.how, returned.why) if returned else ("starting", "")
        if not how:
            raise BadInput(f"{name} can't go on: {remark}")
    elif was.state == "suspended":
        await _in_time(call, name, manager.resume(name))
        how, remark = "woken", ""
    text = f"{name} is {manager.tree[name].state}" + (f" and {remark}" if remark else "")
    return Result(text, {**_resumed(call, name, how, manager.run), "remark": remark})


async def _back(call: Call, left: Persisted, model: str | None) -> Return:
    """Bring it back, and start it where it would come back suspended."""
    [returned] = await bring_back(call.manager, (left.agent.name,), left.run, model=model)
    if returned.how == "suspended":
        await call.manager.resume(left.agent.name)
    return returned


async def _in_time(call: Call, name: str, starting: Coroutine[Any, Any, T]) -> T | None:
    """What `starting` returns; None when one call's time is over first, and the agent goes on starting."""

    async def waited() -> T | None:
        try:
            async with asyncio.timeout(LONGEST_WAIT):
                return await starting
        except TimeoutError:
            return None

    return await telling_meanwhile(call, lambda: f"{name} is starting", waited())


def _resumed(call: Call, name: str, how: str, run: str) -> dict[str, Any]:
    agent = call.manager.tree[name]
    return {
        "instance_id": name,
        "name": name,
        "status": agent.state,
        "how": how,
        "resumed_from": run,
        "model": agent.model,
        "workspace_dir": agent.workspace,
    }


async def _from_earlier(call: Call, name: str, run: str | None) -> Persisted:
    """The agent as an earlier run has left it. Raises `BadInput`."""
    everyone = await persisted(call.manager, run or "")
    left = {each.agent.name: each for each in everyone if _theirs(call, each)}
    if name not in left:
        there = ", ".join(left) or "nobody"
        place = f"run {run}" if run else "an earlier run"
        hint = nearest(name, {*left, *(agent.name for agent in call.manager.tree.alive())})
        raise BadInput(
            f"{place} has not left {name} for {call.caller} to bring back.{hint} It has left: {there}"
        )
    if call.caller != PERSON:
        own, asked = call.manager.tree[call.caller].permissions, left[name].agent.permissions
        if not covers(own, asked):
            raise Forbidden(
                f"{name} had permissions={asked!r}, and {call.caller} has {own!r} and gives nobody more. "
                "Ask the person to bring it back"
            )
    return left[name]


def _theirs(call: Call, left: Persisted) -> bool:
    return call.caller == PERSON or call.caller in left.above


@tool(read_only=True)
async def list_persisted_instances(call: Call) -> Result:
    """List agents without a process that resume_instance can bring back, or why it can't.

    These are the suspended and ended of this run, and whoever was alive when an earlier run
    ended (the newest word on each name counts). It costs no turn.
    """
    tree = call.manager.tree
    here = [left for left in at_rest(call.manager) if owns(tree, call.caller, left.agent.name)]
    earlier = [left for left in await persisted(call.manager) if _theirs(call, left)]
    found = [_left(call, each) for each in [*here, *earlier]]
    lines = [
        f"{line_of(each.agent, call.caller)}, run {each.run}: "
        + ("here already" if told["already_active"] else each.why or "can come back")
        for each, told in zip([*here, *earlier], found, strict=True)
    ]
    count = sum(told["can_resume"] for told in found)
    active = sum(told["already_active"] for told in found)
    return Result(
        "\n".join(lines) or "nobody is suspended or has ended here, and no earlier run has left anybody",
        {"instances": found, "total": len(found), "resumable": count, "active": active},
    )


def _left(call: Call, left: Persisted) -> dict[str, Any]:
    agent, tree = left.agent, call.manager.tree
    active = agent.name in tree and tree[agent.name].alive and left.run != call.manager.run
    return {
        "instance_id": agent.name,
        "name": agent.name,
        "role": agent.role,
        "model": agent.model,
        "state": agent.state,
        "instance_type": agent.harness,
        "parent": agent.parent,
        "run": left.run,
        "created_at": iso(left.born),
        "last_activity": iso(left.last),
        "workspace_dir": agent.workspace,
        "workspace_exists": left.has_files,
        "can_resume": not left.why and not active,
        "already_active": active,
        "why_not": "it is here already" if active else left.why,
    }


# waiting


@tool(read_only=True)
async def wait_for_instances(
    call: Call,
    instance_ids: Annotated[list[str] | None, "For whom: all below you, when left out."] = None,
    mode: Annotated[Literal["all", "any"], "all: until each is done. any: until the first one is."] = "all",
    timeout_seconds: Annotated[
        float, f"How long to wait. One call waits {LONGEST_WAIT:.0f} s at most."
    ] = LONGEST_WAIT,
) -> Result:
    """Wait until agents have nothing left to do: no turn, no queued question, nobody below them at work.

    It brings no answers: these come as your next prompt, or from get_pending_replies. Returns
    what state each is in. If it says `running`, call it again or do something else meanwhile.
    """
    names = _awaited(call, instance_ids)
    waiting = _until_quiet(call, names, mode, countdown(timeout_seconds)())
    await telling_meanwhile(call, lambda: _at_work(call, names), waiting)
    tree, manager = call.manager.tree, call.manager
    busy = [name for name in names if manager.at_work((name,))]
    done = len(busy) < len(names) if mode == "any" else not busy
    states = {name: tree[name].state for name in names}
    head = "done" if done or not names else f"running: {_at_work(call, names)}"
    lines = [f"{name} is {'at work' if name in busy else tree[name].state}" for name in names]
    return Result(
        "\n".join([head, *lines]),
        {
            "status": "completed" if done or not names else "running",
            "instances": [{"instance_id": n, "state": s, "done": n not in busy} for n, s in states.items()],
            "working": busy,
        },
    )


def _awaited(call: Call, wanted: Sequence[str] | None) -> list[str]:
    """Whom to wait for. Raises for who waits for the caller, so that the two would wait for each other."""
    tree, caller = call.manager.tree, call.caller
    if wanted is None:
        return [agent.name for agent in tree.children(None if caller == PERSON else caller) if agent.alive]
    for name in names_once(wanted):
        may_see(tree, caller, name)
        if caller != PERSON and owns(tree, name, caller):
            raise BadInput(
                f"{caller} can't wait for {name}: {'you are' if name == caller else 'your turn is part of'} "
                "that work. End your turn instead, with what you have to say"
            )
    return names_once(wanted)


async def _until_quiet(call: Call, names: Sequence[str], mode: str, seconds: float) -> None:
    """Wait until all of them, or the first, are done; at most so many seconds."""
    if mode == "all" or len(names) < 2:
        if names:
            await call.manager.quiet(tuple(names), seconds)
        return
    waits = [asyncio.ensure_future(call.manager.quiet((name,), seconds)) for name in names]
    try:
        await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for wait in waits:
            wait.cancel()


def _at_work(call: Call, names: Sequence[str]) -> str:
    busy = [name for name in names if call.manager.at_work((name,))]
    return f"{', '.join(busy) or 'nobody'} at work"
