"""The Python of the existing Madrox: its names and what they return, over the tools' functions.

    manager = InstanceManager()
    lead = await manager.spawn_instance(name="lead", role="architect")
    response = await manager.send_to_instance(lead, "What would you do first?")
    print(manager.get_instance_tree())

There is one method for each tool, made from that tool: the same arguments, the same
defaults, the same words about them. The caller is the person. It works in a cell and in
a script, beside `%madrox` and `Madrox()`, which see the same agents.

What Python does otherwise than MCP, because the seed's examples do: who sends waits for
the answer (`wait_for_response=True`), and for as long as it takes instead of 45 seconds;
`get_children`, `get_instance_tree` and `get_instance_status` return at once, and may be
awaited as well. The values are the seed's: an id is a text, children are a list.
"""

from __future__ import annotations

import asyncio
import inspect
import math
from collections.abc import Callable, Generator, Mapping
from concurrent.futures import Future
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final, Self, get_args

from .calls import TOOLS, Result, Tool
from .errors import BadInput, SomeFailed
from .in_person import A_DAY, carried_out
from .notebook import AsyncMadrox
from .orchestrator_config import OrchestratorConfig
from .portal import patiently

AT_ONCE: Final = frozenset({"get_children", "get_instance_tree", "get_instance_status"})
"""What the seed calls without `await`. They only look at memory."""

DEFAULTS: Final[Mapping[str, Mapping[str, Any]]] = {
    "send_to_instance": {"wait_for_response": True, "timeout_seconds": A_DAY},
    "send_to_multiple_instances": {"wait_for_responses": True, "timeout_seconds": A_DAY},
    "broadcast_to_children": {"timeout_seconds": A_DAY},
}
"""Where Python's default is another one than the tool's."""


# what comes back


class _Value:
    """What every method returns: the seed's value, which may be awaited once more."""

    text: str = ""
    """The same in words, as a model gets it."""
    data: Mapping[str, Any] = MappingProxyType({})
    """All that the tool returns to a program."""

    def told_by(self, result: Result) -> Self:
        self.text, self.data = result.text, result.data
        return self

    def __await__(self) -> Generator[None, None, Self]:
        yield from ()
        return self


class Text(_Value, str):
    """An id, or a response."""


class Drawing(Text):
    """A tree: a cell shows it as it is printed."""

    def __repr__(self) -> str:
        return str(self)


class Listing(_Value, list[Any]):
    """Ids, or one mapping an agent."""


class Facts(_Value, dict[str, Any]):
    """What is known, by name."""


def _facts(result: Result) -> Facts:
    return Facts(result.data).told_by(result)


def _spawned(result: Result) -> Text:
    return Text(result.data["instance_id"]).told_by(result)


def _spawned_all(result: Result) -> Listing:
    """Ids in the order asked for. Raises `SomeFailed` when one is missing: nobody takes another's place."""
    if errors := result.data["errors"]:
        done = [each["instance_id"] for each in result.data["spawned"]]
        raise SomeFailed(result.text, done, errors)
    return Listing(result.data["instance_ids"]).told_by(result)


def _response(result: Result) -> Text | Facts:
    """What was answered; where nobody waited, what became of the message. Raises `TimeoutError`."""
    if result.data["status"] == "running":
        raise TimeoutError(result.text)
    if "response" in result.data:
        return Text(result.data["response"]).told_by(result)
    return _facts(result)


def _listed(key: str) -> Callable[[Result], Listing]:
    return lambda result: Listing(result.data[key]).told_by(result)


def _agents(key: str) -> Callable[[Result], Listing]:
    """The seed calls an agent's id `id` here."""
    return lambda result: Listing({"id": each["instance_id"], **each} for each in result.data[key]).told_by(
        result
    )


def _tree(result: Result) -> Drawing:
    return Drawing(result.text).told_by(result)


def _status(result: Result) -> Facts:
    """The seed formats `total_cost` as a number, so what nobody knows is NaN and not None."""
    told = _facts(result)
    if "total_cost" in told and told["total_cost"] is None:
        told["total_cost"] = math.nan
    return told


SHAPES: Final[Mapping[str, Callable[[Result], _Value]]] = {
    "spawn_instance": _spawned,
    "spawn_claude": _spawned,
    "spawn_codex": _spawned,
    "spawn_codex_instance": _spawned,
    "spawn_multiple_instances": _spawned_all,
    "send_to_instance": _response,
    "send_to_multiple_instances": _listed("results"),
    "broadcast_to_children": _listed("results"),
    "interrupt_multiple_instances": _listed("results"),
    "terminate_multiple_instances": _listed("results"),
    "get_pending_replies": _listed("replies"),
    "get_children": _agents("children"),
    "get_peers": _agents("peers"),
    "get_instance_tree": _tree,
    "get_instance_status": _status,
    "get_instance_logs": _listed("logs"),
    "get_audit_logs": _listed("logs"),
    "list_logged_instances": _listed("instances"),
}
"""What a method returns instead of the tool's whole data."""


# the manager


class InstanceManager:
    """Every tool as a method, under the seed's names. `help(manager.spawn_instance)` says what each takes.

    `madrox` is the same run as the person's own Python has it: `manager.madrox.costs()`,
    `.turns()`, `.tree`.
    """

    def __init__(self, config: OrchestratorConfig | None = None, **settings: Any) -> None:
        """Without arguments, the run that `%madrox` and `Madrox()` mean; else one of its own.

        `settings` are the names of `config.Settings` and come before those of `config`.
        """
        given = {**(config.settings() if config else {}), **settings}
        if config and (environ := config.environ()):
            given["environ"] = environ
        self.madrox = AsyncMadrox(**given)

    if TYPE_CHECKING:  # the methods are made below, from the tools

        def __getattr__(self, name: str) -> Callable[..., Any]: ...

    async def close(self) -> None:
        """End every agent and the run. Idempotent; happens at the kernel's end too."""
        await self.madrox.close()

    shutdown = close

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    def __repr__(self) -> str:
        return repr(self.madrox).replace("AsyncMadrox", "InstanceManager")

    def _shaped(self, tool: Tool, result: Result, named: Mapping[str, Any]) -> _Value:
        if tool.name.startswith("spawn_"):
            for each in result.data.get("spawned") or [result.data]:
                if (name := each.get("instance_id")) in self.madrox.manager.tree:
                    self.madrox._say_rehearsal(self.madrox.manager.tree[name], named.get("instance_type"))
        return SHAPES.get(tool.name, _facts)(result)

    def _begin(self, tool: Tool, values: tuple[Any, ...], named: Mapping[str, Any]) -> Future[Result]:
        given = {**DEFAULTS.get(tool.name, {}), **_by_name(tool, values, named)}
        return self.madrox._run.start(carried_out, tool.name, self.madrox.manager, given)


def _by_name(tool: Tool, values: tuple[Any, ...], named: Mapping[str, Any]) -> dict[str, Any]:
    """Arguments by their names; None stands for the default. Raises `BadInput`."""
    names = list(tool.parameters)
    if len(values) > len(names):
        raise BadInput(f"{tool.name} takes {len(names)} arguments and was given {len(values)}")
    placed = dict(zip(names, values, strict=False))
    if twice := placed.keys() & named.keys():
        raise BadInput(f"{tool.name} was given {', '.join(sorted(twice))} twice")
    return {name: value for name, value in {**placed, **named}.items() if value is not None}


def _method(tool: Tool) -> Any:
    async def method(self: InstanceManager, *values: Any, **named: Any) -> _Value:
        future = self._begin(tool, values, named)
        try:
            return self._shaped(tool, await patiently(future), named)
        except asyncio.CancelledError:
            future.cancel()  # so that an answer which comes later is left for get_pending_replies
            raise

    def method_at_once(self: InstanceManager, *values: Any, **named: Any) -> _Value:
        return self._shaped(tool, self._begin(tool, values, named).result(), named)

    made: Any = method_at_once if tool.name in AT_ONCE else method
    made.__name__, made.__qualname__ = tool.name, f"InstanceManager.{tool.name}"
    made.__doc__, made.__signature__ = _described(tool), _signature(tool)
    return made


def _signature(tool: Tool) -> inspect.Signature:
    other = DEFAULTS.get(tool.name, {})
    own = [
        each.replace(annotation=get_args(each.annotation)[0], default=other.get(name, each.default))
        for name, each in tool.parameters.items()
    ]
    return inspect.Signature([inspect.Parameter("self", inspect.Parameter.POSITIONAL_OR_KEYWORD), *own])


def _described(tool: Tool) -> str:
    """What the tool says of itself and of each argument, and what is otherwise in Python."""
    lines = [tool.description, ""]
    if other := DEFAULTS.get(tool.name):
        said = ", ".join(f"{name}={value!r}" for name, value in other.items())
        lines += [f"In Python: {said} unless you say otherwise; no call ends after 45 s by itself.", ""]
    for name, each in tool.parameters.items():
        lines.append(f"    {name}: {get_args(each.annotation)[1]}")
    return "\n".join(lines).rstrip()


for _tool in TOOLS.values():
    setattr(InstanceManager, _tool.name, _method(_tool))
