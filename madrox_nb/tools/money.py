"""Tools about what agents cost, and may."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

from ..budget import NO_LIMIT, RUN
from ..calls import LIMIT_ARGUMENTS, Call, Result, may_act, may_see, sees, tool
from ..errors import BadInput, nearest
from ..events import PERSON
from ..folds import Usage
from .arguments import MaxCost, MaxMinutes, MaxTokens
from .telling import in_words, limits_of, number

if TYPE_CHECKING:
    from ..manager import Manager

_BY_ARGUMENT = {argument: name for name, argument in LIMIT_ARGUMENTS.items()}


@tool(needs="admin")  # an operator stays within the limits that are set
async def set_limits(
    call: Call,
    instance_id: Annotated[
        str | None, "The agent, at or below you. The person leaves it out to limit the whole run."
    ] = None,
    max_total_tokens: MaxTokens = None,
    max_cost: MaxCost = None,
    timeout_minutes: MaxMinutes = None,
    max_turns: Annotated[int | None, "Turns of it and all below it. The last one runs to its end."] = None,
    max_depth: Annotated[int | None, "Levels of agents that may stand below it; 0: none at all."] = None,
    max_children: Annotated[int | None, "Living children that it may have at once."] = None,
    more: Annotated[
        bool, "The amounts come on top of what has been used already, instead of being all it may use."
    ] = False,
    remove: Annotated[list[str] | None, "Limits to take away, by the names of these arguments."] = None,
) -> Result:
    """Limit what an agent and everyone below it may use, or give it more. Costs nothing.

    At 80 % of a limit a warning is shown. When all is used, whoever of them works is
    interrupted (its turn ends as interrupted, with the reason), and nobody there takes
    turns; sessions, files and inboxes are kept. Raise the limit, and what waited goes on by
    itself. You can't give more than you have left, loosen what was set above you, or allow
    yourself more. Returns the limits and what is left.
    """
    manager = call.manager
    name = instance_id or RUN
    if name != RUN:
        may_act(manager.tree, call.caller, name, "limit")
    asked: dict[str, float | None] = {
        "usd": max_cost,
        "tokens": max_total_tokens,
        "minutes": timeout_minutes,
        "turns": max_turns,
        "max_depth": max_depth,
        "max_children": max_children,
    }
    for argument in remove or ():
        if argument not in _BY_ARGUMENT:
            known = ", ".join(_BY_ARGUMENT)
            raise BadInput(f"no limit {argument!r}.{nearest(argument, _BY_ARGUMENT)} Known: {known}")
        asked[_BY_ARGUMENT[argument]] = NO_LIMIT
    await manager.limit(name, more=more, by=call.caller, **asked)
    told = limits_of(manager, name)
    text = "\n".join(f"{key}: {in_words(value)}" for key, value in told.items())
    return Result(f"{name or 'the run'}\n{text}", {"instance_id": name, **told})


@tool(read_only=True)
async def get_costs(
    call: Call,
    instance_id: Annotated[str | None, "One agent. Left out: you, yours and your neighbours."] = None,
) -> Result:
    """Say what agents have cost: own and with all below them, by model, and where each price comes from.

    Tokens and dollars are those that the CLIs report. What nobody has a price for is said to
    be unpriced, and a sum with such a part is a lower bound (≥). Free and immediate.
    """
    manager, caller = call.manager, call.caller
    if instance_id is not None:
        names = [may_see(manager.tree, caller, instance_id).name]
    else:
        names = [agent.name for agent in manager.tree if sees(manager.tree, caller, agent.name)]
    told = [_costs_of(manager, name) for name in names]
    data: dict[str, Any] = {"instances": told}
    lines = [line for each in told for line in _lines(each)]
    if caller == PERSON and instance_id is None:
        data["total"] = _figures(manager.costs.total())
        lines.append(f"in all: {_spent(data['total'])}")
    return Result("\n".join(lines) or "no agents yet, and nothing was spent", data)


def _costs_of(manager: Manager, name: str) -> dict[str, Any]:
    bills = sorted(key for key in tuple(manager.costs.bills) if key[0] == name)
    by_model = [
        {"model": model or None, "source": source, **_figures(manager.costs.bills[name, model, source])}
        for _, model, source in bills
    ]
    return {
        "instance_id": name,
        **_figures(manager.costs.of(name)),
        "by_model": by_model,
        "subtree": _figures(manager.costs.subtree(manager.tree, name)),
        "children": [child.name for child in manager.tree.children(name)],
        **limits_of(manager, name),
    }


def _figures(usage: Usage) -> dict[str, Any]:
    """`cost_usd` is null when part of it has no known price; `known_usd` adds up what has one."""
    return {
        "tokens": usage.tokens,
        "input_tokens": usage.input_tokens,
        "output_tokens": usage.output_tokens,
        "cache_read_tokens": usage.cache_read_tokens,
        "cache_write_tokens": usage.cache_write_tokens,
        "cost_usd": number(usage.known_usd),
        "known_usd": usage.cost_usd,
        "cost_is_lower_bound": not usage.exact,
    }


def _lines(told: dict[str, Any]) -> list[str]:
    below = f"; with all below it {_spent(told['subtree'])}" if told["children"] else ""
    held = f"; {told['limit_reached']}" if told["limit_reached"] else ""
    lines = [f"{told['instance_id']}: {_spent(told)}{below}{held}"]
    lines += [
        f"  {each['model'] or 'unknown model'} ({each['source']}): {_spent(each)}"
        for each in told["by_model"]
    ]
    return lines


def _spent(figures: dict[str, Any]) -> str:
    """`$0.12, 1,200 tokens`; `≥` where part of it is unpriced."""
    if figures["cost_is_lower_bound"]:
        money = f"≥ ${figures['known_usd']:.4f}" if figures["known_usd"] else "unpriced"
    else:
        money = f"${figures['known_usd']:.4f}"
    return f"{money}, {figures['tokens']:,} tokens"
