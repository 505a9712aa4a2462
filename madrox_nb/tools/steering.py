"""Tools that end turns and agents."""

from __future__ import annotations

import asyncio
from typing import Annotated

from ..calls import Call, Result, may_act, tool
from .arguments import Who


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
