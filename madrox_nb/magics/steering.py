"""Turns, processes and limits of agents: `interrupt`, `suspend`, `resume`, `stop`, `limit`."""

from __future__ import annotations

from typing import Any, Final

from IPython.core.error import UsageError

from ..grammar import Argument, in_commands, limits
from .commands import AGENT, MAGIC, Command, Use, notice, said_if, told
from .spawning import limits_said


def _interrupt(call: Use) -> Any:
    agents = [call.madrox.agent(name) for name in call.agents]  # all of them, or nothing is done
    ended = [said_if(agent.interrupt(), f"{agent.name} has no turn under way") for agent in agents]
    return ended[0] if len(ended) == 1 else ended


def _suspend(call: Use) -> Any:
    agents = [call.madrox.agent(name) for name in call.agents]
    suspended = [agent.suspend() for agent in agents]
    return suspended[0] if len(suspended) == 1 else suspended


def _resume(call: Use) -> Any:
    if call.list:
        return told(call, "list_persisted_instances", ours=bool)
    return call.madrox.resume(*call.agents, run=call.run)


def _stop(call: Use) -> list[str]:
    if bool(call.agents) == call.all:
        raise UsageError(
            "%madrox stop: say whom, an agent's name or --all.\nSuch as:\n  %madrox stop lead --tree"
        )
    if call.all:
        return _stop_all(call)
    agents = [call.madrox.agent(name) for name in call.agents]
    return [
        name
        for agent in agents
        for name in said_if(agent.stop(tree=call.tree, force=call.force), f"{agent.name} had ended already")
    ]


def _stop_all(call: Use) -> list[str]:
    """End each that stands at the top with all below it; who is refused is named, and keeps no other."""
    tree = call.madrox.manager.tree
    tops = [top.name for top in tree.children(None) if any(each.alive for each in tree.subtree(top.name))]
    if not tops:
        notice("nobody was ended")
        return []
    results = told(call, "terminate_multiple_instances", instance_ids=tops, force=call.force).data["results"]
    for each in results:
        if each["status"] == "error":
            notice(in_commands(each["error"], MAGIC))
    return [name for each in results for name in each.get("terminated", ())]


def _limit(call: Use) -> Any:
    if not (asked := limits_said(call)):
        found = call.madrox.limits(*([call.agent] if call.agent else []))
        if found.empty:
            notice("no limits are set; %madrox limit lead --usd 5 sets one, without a name for the whole run")
        return found
    return call.madrox.limit(call.agent or "", more=call.more, **asked)


_AGENTS: Final = Argument("agents", nargs="+", completes=AGENT)

COMMANDS: Final = (
    Command(
        "interrupt",
        "end the turn under way, keeping its context",
        _interrupt,
        _AGENTS,
        example="%madrox interrupt lead",
    ),
    Command(
        "suspend",
        "end the processes of idle agents; a message starts them again",
        _suspend,
        _AGENTS,
        example="%madrox suspend lead dev",
    ),
    Command(
        "resume",
        "bring agents back: suspended or ended ones by name, or all that an earlier kernel had",
        _resume,
        Argument("agents", nargs="*", completes=AGENT),
        Argument("--run", default="", help="of an earlier kernel; without one the newest"),
        Argument("--list", action="store_true", help="only say who could come back, and why others can't"),
        example="%madrox resume",
    ),
    Command(
        "stop",
        "end agents",
        _stop,
        Argument("agents", nargs="*", completes=AGENT),
        Argument("--all", action="store_true", help="everybody; who works is left, unless forced"),
        Argument("--tree", action="store_true", help="and everyone below them"),
        Argument("--force", action="store_true", help="in the middle of a turn, too"),
        example="%madrox stop lead --tree",
    ),
    Command(
        "limit",
        "what an agent and all below it may use; without amounts: what is left",
        _limit,
        Argument("agent", nargs="?", completes=AGENT, help="the whole run when none is named"),
        *limits(),
        Argument("--more", action="store_true", help="on top of what has been used; else in all"),
        example="%madrox limit lead --usd 5 --tokens 200000",
    ),
)
