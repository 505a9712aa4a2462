"""A call of a tool: who makes it, what that caller may do, and what a tool is.

What a caller may do depends on where it stands in the tree, and on nothing it says:

    act on (interrupt, terminate, spawn below)   itself and the agents below it
    message                                      the agents below it, its parent, its siblings
    look at                                      all of these; the tree shows everybody
    the person                                   everything

A child of the person's is a sibling of the others.

An outside client acts in the person's name, as far as the scope of its token goes
(`may_use`): `read` looks, `operate` runs agents within what is allowed already, `admin`
does all that the person may.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Awaitable, Callable, Coroutine, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, TypeVar, get_args, get_type_hints

from .errors import BadInput, Forbidden, UnknownTool, nearest
from .events import PERSON
from .rules import Scope, reaches
from .tree import Agent, Tree

if TYPE_CHECKING:
    from pydantic import BaseModel

    from .config import Settings
    from .manager import Manager

DEEPEST = 8
"""How deep arguments are looked into: an item's argument stands three deep."""

Widens = Callable[[Mapping[str, Any], "Settings"], Iterator[tuple[Scope, str]]]
"""Arguments and settings → the scopes that these arguments need, each with what for."""

F = TypeVar("F", bound=Callable[..., Coroutine[Any, Any, "Result"]])


@dataclass(frozen=True)
class Call:
    """One call: who makes it, and how to tell that it is still under way."""

    manager: Manager
    caller: str
    """An agent's name, or `you` for the person. From the token alone."""
    progress: Callable[[float, str], Awaitable[None]]
    """Seconds waited so far, and what is being waited for."""
    scope: Scope = "admin"
    """What the token of an outside client is good for. Nothing else limits an agent but the tree."""
    client: str = ""
    """The name of that token, else empty."""


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
    """Whether what is `name`'s is also the caller's. The person's is nobody else's."""
    return caller in (PERSON, name) or (name != PERSON and caller in tree.above(name))


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


def may_use(call: Call, tool: Tool, given: Mapping[str, Any]) -> None:
    """Raises `Forbidden` for what is the person's alone, or takes more than a client's token is good for."""
    if tool.person and call.caller != PERSON:
        raise Forbidden(f"{tool.name} is the person's alone, and {call.caller} is an agent. Ask the person")
    settings = call.manager.settings
    wanted = [(tool.needs, tool.name), *_needs_of(given, tool.name, settings)]
    if tool.widens is not None and not reaches(call.scope, "admin"):
        wanted += tool.widens(given, settings)
    for needed, what in wanted:
        if not reaches(call.scope, needed):
            raise Forbidden(
                f"the token {call.client!r} has the scope {call.scope}, and {what} needs {needed}. "
                f"Let the person make one that may: %madrox token create NAME --scope {needed}"
            )


def _needs_of(given: Any, tool: str, settings: Settings, depth: int = DEEPEST) -> Iterator[tuple[Scope, str]]:
    """(scope, what for) of each argument that needs more than its tool, those of a list's items too."""
    if isinstance(given, Mapping) and depth:
        for name, value in given.items():
            needed, wider = WIDENING.get(name, _ORDINARY)
            if wider(value, settings):
                yield needed, f"{name} like this in {tool}"
            yield from _needs_of(value, tool, settings, depth - 1)
    elif isinstance(given, list) and depth:
        for item in given:
            yield from _needs_of(item, tool, settings, depth - 1)


def _names_presets(value: Any) -> bool:
    """Whether MCP servers are only named, and not said how to be started."""
    words = value if isinstance(value, list) else str(value).replace(",", " ").split()
    return not isinstance(value, Mapping) and all(
        isinstance(word, str) and re.fullmatch(r"[\w.-]+", word) for word in words
    )


def _given(value: Any, settings: Settings) -> bool:
    return bool(value)


def _above(setting: str) -> Callable[[Any, Settings], bool]:
    """Whether an agent would get more than the settings give each; 0 there is no limit."""

    def above(value: Any, settings: Settings) -> bool:
        limit = float(getattr(settings, setting))
        try:
            return bool(limit) and value is not None and not 0 <= float(value) <= limit
        except (TypeError, ValueError):
            return False  # no number: refused as such

    return above


WIDENING: Mapping[str, tuple[Scope, Callable[[Any, Settings], bool]]] = {
    "permissions": ("admin", lambda value, _: value == "all"),
    "bypass_isolation": ("admin", _given),
    "mcp_servers": ("admin", lambda value, _: bool(value) and not _names_presets(value)),
    "environment_vars": ("admin", _given),
    "workspace_dir": ("admin", _given),
    "git_repo": ("admin", _given),
    "max_total_tokens": ("admin", _above("max_tokens")),
    "timeout_minutes": ("admin", _above("agent_minutes")),
    "destination_path": ("operate", _given),
}
"""Arguments that reach beyond what is allowed already: the scope that they need, and for which values.
What starts programs, or lets them start, is beyond the permissions of any agent."""
_ORDINARY: tuple[Scope, Callable[[Any, Settings], bool]] = ("read", lambda value, _: False)


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
    needs: Scope = "operate"
    """Of an outside client's token; some arguments need more (`WIDENING`)."""
    person: bool = False
    """It is the person's alone: agents neither see nor use it."""
    widens: Widens | None = None
    """What its arguments lead to beyond what is allowed already, though none of them says so."""

    @property
    def name(self) -> str:
        return self.called or self.function.__name__

    @property
    def description(self) -> str:
        if self.called:
            return f"Another name of {self.function.__name__}, for prompts that use it: both do the same."
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
            if self.called:  # every agent pays for what it reads
                described = f"As in {self.function.__name__}."
            default = ... if each.default is each.empty else each.default
            fields[name] = (kind, Field(default, description=described))
        return create_model(self.name, __config__=ConfigDict(extra="forbid", allow_inf_nan=False), **fields)

    def schema(self, refs: str = "#/$defs/{model}") -> dict[str, Any]:
        """JSON Schema of the arguments. Others are refused. `refs`: where its parts are found.

        Short, because every agent pays for it with each session: an argument that may be
        left out is described without the null that it takes as well (`arguments`).
        """
        schema = {"properties": {}, **self.model.model_json_schema(ref_template=refs)}
        for part in (schema, *schema.get("$defs", {}).values()):
            part.pop("title", None)
            part["properties"] = {name: _short(each) for name, each in part["properties"].items()}
        return schema

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
            wrong = "; ".join(
                self._amiss(error["type"], *error["loc"], said=error["msg"]) for error in exc.errors()
            )
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
        may_use(call, self, given)
        return await self.function(call, **self.arguments(given))

    def _amiss(self, kind: str, *where: str | int, said: str) -> str:
        """What is wrong with one argument; of an unknown one in an item of a list, the nearest known one."""
        *around, last = map(str, where)
        if kind not in ("unexpected_keyword_argument", "extra_forbidden"):
            return f"{'.'.join((*around, last))}: {said}"
        parts = self.model.model_json_schema().get("$defs", {}).values()
        known = [name for part in parts for name in part.get("properties", ())]
        return f"{'.'.join(around)} has no {last!r}.{nearest(last, known)} Known: {', '.join(known)}"

    def _takes(self) -> str:
        if not self.parameters:
            return "It takes no arguments"
        needed = (n if p.default is p.empty else f"{n}?" for n, p in self.parameters.items())
        return f"It takes: {', '.join(needed)}"


def _short(schema: Mapping[str, Any]) -> dict[str, Any]:
    """The schema of an argument as it is given: without a title, and without null where nothing is said."""
    kinds = [kind for kind in schema.get("anyOf", ()) if kind != {"type": "null"}]
    passed_over = ("title", "anyOf", *(["default"] if schema.get("default", 0) is None else []))
    bare = {key: value for key, value in schema.items() if key not in passed_over}
    return {**bare, **(kinds[0] if len(kinds) == 1 else {"anyOf": kinds} if kinds else {})}


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
    *,
    read_only: bool = False,
    destructive: bool = False,
    needs: Scope | None = None,
    also: tuple[str, ...] = (),
    person: bool = False,
    widens: Widens | None = None,
) -> Callable[[F], F]:
    """Register a function under its own name, and under those by which it is known elsewhere.

    An outside client needs a token of the scope `needs`: without it, `read` for what is
    `read_only`, else `operate`. What is the `person`'s is for no agent.
    """

    def register(function: F) -> F:
        for called in ("", *also):
            needed = needs or ("read" if read_only else "operate")
            made = Tool(function, read_only, destructive, called, needed, person, widens)
            TOOLS[made.name] = made
        return function

    return register


def find(name: str) -> Tool:
    """The tool of that name. Raises `UnknownTool` with the nearest one."""
    if name not in TOOLS:
        raise UnknownTool(f"there is no tool {name!r}.{nearest(name, TOOLS)} Known: {', '.join(TOOLS)}")
    return TOOLS[name]


def usable(caller: str, scope: Scope = "admin") -> list[Tool]:
    """The tools that are there for an agent, or for `you` with a token of that scope."""
    return [
        tool
        for tool in TOOLS.values()
        if reaches(scope, tool.needs) and (caller == PERSON or not tool.person)
    ]


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
