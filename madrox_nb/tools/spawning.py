"""Tools that start agents."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from ..budget import Limits
from ..calls import Call, Result, find, in_tools, parent_for, tool
from ..errors import BadInput, MadroxError
from ..queueing import check_prompt
from ..signatures import extends
from .arguments import (
    AwaitFirst,
    Bypass,
    Directory,
    First,
    HarnessName,
    Inject,
    InWorktree,
    MaxCost,
    MaxMinutes,
    MaxTokens,
    May,
    Model,
    Name,
    Options,
    Parent,
    Profile,
    Prompt,
    Ready,
    Repository,
    RoleName,
    Sandbox,
    Seconds,
    Servers,
    Specs,
    Variables,
)
from .telling import spawned_result
from .waiting import answered, countdown, sent, telling_meanwhile, until_ready

MOST = 50
"""Agents that one call may ask for."""

log = logging.getLogger(__name__)


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
    bypass_isolation: Bypass = False,
    mcp_servers: Servers = None,
    environment_vars: Variables = None,
    workspace_dir: Directory = None,
    use_worktree: InWorktree = False,
    git_repo: Repository = None,
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
        mcp_servers=mcp_servers,
        environment_vars=environment_vars,
        workspace_dir=workspace_dir,
        use_worktree=use_worktree,
        git_repo=git_repo,
        bypass_isolation=bypass_isolation,
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


@tool()
@extends(spawn_instance, without=("instance_type",))
async def spawn_claude(call: Call, **more: Any) -> Result:
    """Start a Claude Code agent as your child, for a part of the work that stands by itself.

    The same as spawn_instance with instance_type="claude". It costs a process and its own
    tokens, so end it with terminate_instance when its work is done.
    """
    return await spawn_instance(call, instance_type="claude", **more)


@tool(also=("spawn_codex_instance",))
@extends(spawn_instance, without=("instance_type",))
async def spawn_codex(
    call: Call,
    *,
    sandbox_mode: Sandbox = None,
    profile: Profile = None,
    options: Options = None,
    **more: Any,
) -> Result:
    """Start an OpenAI Codex agent as your child, for a part of the work that stands by itself.

    The same as spawn_instance with instance_type="codex". It costs a process and its own
    tokens, so end it with terminate_instance when its work is done.
    """
    own = {"sandbox_mode": sandbox_mode, "profile": profile}
    chosen = {**(options or {}), **{name: value for name, value in own.items() if value}}
    return await spawn_instance(call, instance_type="codex", options=chosen or None, **more)


@tool()
async def spawn_multiple_instances(call: Call, instances: Specs) -> Result:
    """Start several agents at once: they start side by side, which takes as long as the slowest.

    Each object is one call of spawn_instance and costs what that costs. One that can't be
    started keeps no other from it: what went wrong with it is told beside its name. Returns
    the names in the order asked for.
    """
    if not 1 <= len(instances) <= MOST:
        raise BadInput(f"instances holds {len(instances)} agents; one call starts 1 to {MOST}")
    quietly = replace(call, progress=_nothing_yet)
    starting = asyncio.gather(*(_spawned(quietly, each) for each in instances))
    results = await telling_meanwhile(call, "", _all_of(starting))
    return _summed_up(instances, results)


async def _spawned(call: Call, spec: Mapping[str, Any]) -> Result | MadroxError:
    """What came of one of several. Only what nobody expected is raised."""
    given = dict(spec)
    kind = given.pop("type", None) or given.pop("instance_type", None)
    codex = kind is not None and str(kind).strip().lower() == "codex"
    try:
        if codex:
            return await find("spawn_codex").call(call, given)
        return await find("spawn_instance").call(call, {**given, **({"instance_type": kind} if kind else {})})
    except MadroxError as exc:
        return exc
    except Exception:  # a bug of ours keeps no other from starting
        log.exception("%s could not be spawned for %s", kind, call.caller)
        return MadroxError("internal error: it is not your fault; see madrox.log. Go on without it")


async def _all_of(starting: asyncio.Future[list[Result | MadroxError]]) -> list[Result | MadroxError]:
    return await starting


async def _nothing_yet(seconds: float, text: str) -> None:
    """Progress of one of several: all of them together tell theirs."""


def _summed_up(instances: list[dict[str, Any]], results: list[Result | MadroxError]) -> Result:
    spawned, errors, lines, ids = [], [], [], list[str | None]()
    for number, (spec, result) in enumerate(zip(instances, results, strict=True)):
        name = str(spec.get("name") or f"number {number + 1}")
        if isinstance(result, Result):
            spawned.append({"index": number, **result.data})
            lines.append(result.text)
            ids.append(result.data["instance_id"])
        else:
            errors.append({"index": number, "name": spec.get("name"), "error": in_tools(str(result))})
            lines.append(f"{name} was not spawned: {in_tools(str(result))}")
            ids.append(None)
    head = f"{len(spawned)} of {len(instances)} spawned"
    data = {"instance_ids": ids, "spawned": spawned, "errors": errors}
    return Result("\n".join((head, *lines)), data)
