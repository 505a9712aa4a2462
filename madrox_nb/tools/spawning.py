"""Tools that start agents."""

from __future__ import annotations

from ..budget import Limits
from ..calls import Call, Result, parent_for, tool
from ..errors import BadInput
from ..mail import check_prompt
from .arguments import (
    AwaitFirst,
    First,
    HarnessName,
    Inject,
    MaxCost,
    MaxMinutes,
    MaxTokens,
    May,
    Model,
    Name,
    Options,
    Parent,
    Prompt,
    Ready,
    RoleName,
    Seconds,
)
from .telling import spawned_result
from .waiting import answered, countdown, sent, telling_meanwhile, until_ready


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
    max_total_tokens: MaxTokens = None,
    max_cost: MaxCost = None,
    timeout_minutes: MaxMinutes = None,
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
        max_total_tokens=max_total_tokens,
        max_cost=max_cost,
        timeout_minutes=timeout_minutes,
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
    max_total_tokens: MaxTokens = None,
    max_cost: MaxCost = None,
    timeout_minutes: MaxMinutes = None,
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
    left = countdown(timeout_seconds) if wait_for_response else countdown()
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
        limits=Limits(tokens=max_total_tokens, usd=max_cost, minutes=timeout_minutes),
        by=caller,
        wait=False,
    )
    if wait_for_ready or wait_for_response:
        await telling_meanwhile(call, agent.name, until_ready(manager, agent.name, left()))
    spawned = spawned_result(manager.tree[agent.name])
    if initial_prompt is None:
        return spawned
    ticket = await manager.ask(agent.name, initial_prompt, sender=caller)
    then = await (answered(call, ticket, left()) if wait_for_response else sent(call, ticket))
    status = {} if wait_for_response else {"status": manager.tree[agent.name].state}
    return Result(f"{spawned.text}\n\n{then.text}", {**spawned.data, **then.data, **status})
