"""A call of a tool: who makes it, what that caller may do, and what a tool is.

What a caller may do depends on where it stands in the tree, and on nothing it says:

    act on (interrupt, terminate, spawn below)   itself and the agents below it
    message                                      the agents below it, its parent, its siblings
    look at                                      all of these; the tree shows everybody
    the person                                   everything

A child of the person's is a sibling of the others.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Awaitable, Callable, Coroutine, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, TypeVar, get_args, get_type_hints

from .errors import BadInput, Forbidden, nearest
from .events import PERSON
from .tree import Agent, Tree

if TYPE_CHECKING:
    from pydantic import BaseModel

    from .manager import Manager

F = TypeVar("F", bound=Callable[..., Coroutine[Any, Any, "Result"]])


@dataclass(frozen=True)
class Call:
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
    if not owns(tree, caller, name):
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


def owns(tree: Tree, caller: str, name: str) -> bool:
    return caller in (PERSON, name) or caller in tree.above(name)


def sees(tree: Tree, caller: str, name: str) -> bool:
    return owns(tree, caller, name) or tree[caller].parent in (name, tree[name].parent)


def _near(tree: Tree, caller: str, name: str, what: str) -> Agent:
    agent = tree[name]
    if not sees(tree, caller, name):
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
    called: str = ""
    """Its name, where that is another one than the function's."""

    @property
    def name(self) -> str:
        return self.called or self.function.__name__

    @property
    def description(self) -> str:
        return inspect.getdoc(self.function) or ""

    @cached_property
    def parameters(self) -> dict[str, inspect.Parameter]:
        """By name, without the call; annotations resolved."""
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
        given = {name: value for name, value in given.items() if not self._passes_over(name, value)}
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

    def _passes_over(self, name: str, value: Any) -> bool:
        """An argument that means nothing as it is given. Raises `BadInput` when it would mean something."""
        if name in self.parameters or name not in FOREIGN or "permissions" not in self.parameters:
            return False
        if value or (value == 0 and not isinstance(value, bool)):
            raise BadInput(f"{self.name}: {name} is not taken here. {FOREIGN[name]}")
        return True

    async def call(self, call: Call, given: Mapping[str, Any]) -> Result:
        """Carry it out with arguments that nobody has checked yet."""
        return await self.function(call, **self.arguments(given))

    def _takes(self) -> str:
        if not self.parameters:
            return "It takes no arguments"
        needed = (n if p.default is p.empty else f"{n}?" for n, p in self.parameters.items())
        return f"It takes: {', '.join(needed)}"


TOOLS: dict[str, Tool] = {}

FOREIGN = {
    "harness": "Which CLI is said by instance_type of spawn_instance",
    "type": "Which CLI is said by instance_type of spawn_instance",
    "instance_type": "Another CLI is started with spawn_instance",
    "temperature": "No agent CLI lets it be chosen; say in system_prompt how bold it should be",
    "max_tokens": "How long one answer may be is the CLI's own business; say it in system_prompt",
    "use_pty": "Each CLI is started in the way that its harness needs",
    "priority": "Nobody is served before others: tell the agents in which order to work",
    "sandbox_mode": "That is a setting of Codex: spawn_codex, or options of spawn_instance",
    "profile": "That is a setting of Codex: spawn_codex, or options of spawn_instance",
    "extra_args": "Arguments of a CLI are the person's to give",
    "enable_madrox": "Every agent has the madrox tools",
}
"""Arguments of spawning that prompts written for other systems give, and what to do instead."""


def tool(
    *, read_only: bool = False, destructive: bool = False, also: tuple[str, ...] = ()
) -> Callable[[F], F]:
    """Register a function under its own name, and under those by which it is known elsewhere."""

    def register(function: F) -> F:
        for called in ("", *also):
            made = Tool(function, read_only, destructive, called)
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
    "limit": "set_limits",
}
LIMIT_ARGUMENTS = {
    "usd": "max_cost",
    "tokens": "max_total_tokens",
    "minutes": "timeout_minutes",
    "turns": "max_turns",
    "max_depth": "max_depth",
    "max_children": "max_children",
}
"""What limits are called in tools."""
_OPTIONS = {"harness": "instance_type", "parent": "parent_instance_id", **LIMIT_ARGUMENTS}
"""Where a tool's argument has another name than the magic's option."""
_MAGIC = re.compile(
    rf"%madrox ({'|'.join(_VERBS)})\b( (?!--)[^\s()`]+)?((?: --(?:force|tree)| --[a-z-]+ [^\s()`,]+)*)"
)
_OPTION = re.compile(r" --([a-z-]+)(?: ([^\s]+))?")


def _as_argument(option: re.Match[str]) -> str:
    name = option[1].replace("-", "_")
    return f" {_OPTIONS.get(name, name)}={option[2] or 'true'}"


def in_tools(text: str) -> str:
    """An error's text with its next step in the words of this face instead of the notebook's."""
    text = _MAGIC.sub(lambda m: _VERBS[m[1]] + (m[2] or "") + _OPTION.sub(_as_argument, m[3]), text)
    return text.replace("--force or force=True", "force=true").replace("use --harness ", "use instance_type=")
