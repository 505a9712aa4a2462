"""What a page may do, in one table. Everything else is refused before it reaches an agent.

A page that is stale, forged or mistaken changes nothing: the agent has to exist, be in a
state in which the verb means something, and each argument has to be of its kind.
"""

from __future__ import annotations

import asyncio
import concurrent.futures as cf
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from ..asking import broadcast
from ..errors import BadInput, MadroxError, nearest
from ..grammar import LIMITS, amount
from ..tree import Agent, Tree

if TYPE_CHECKING:
    from ..manager import Manager
    from ..run import Run

ALIVE: Final = frozenset({"starting", "idle", "busy", "waiting", "suspended"})
EVER: Final = ALIVE | {"stopped", "failed"}
LONGEST: Final = 1_000_000
"""Characters of one text that a page may send."""

Given = Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Verb:
    """One thing that a page may ask for."""

    carry_out: Callable[[Run, str, Given], cf.Future[Any]]
    """`(run, agent, given)`; enqueues it on the manager's loop and returns at once."""
    states: frozenset[str] = ALIVE
    """In which the agent has to be. Empty: it is not about an agent."""
    takes: tuple[str, ...] = ()
    """Texts that have to be given."""
    may_take: tuple[str, ...] = field(default=())
    """Texts that may be given."""


async def _stop_all(manager: Manager) -> None:
    """Everybody, each tree from its top."""
    tree = manager.tree
    tops = [a.name for a in tree.alive() if a.parent is None or not tree[a.parent].alive]
    await asyncio.gather(*(manager.terminate(name, force=True) for name in tops))


async def _back(run: Run, agent: str) -> None:
    """Let an agent go on that sleeps, or that has ended. Raises why it could not."""
    for each in await run.resume((agent,), ""):
        if not each.how and not run.manager.tree[agent].alive:
            raise BadInput(each.why)


def _fork(run: Run, agent: str, given: Given) -> cf.Future[Any]:
    return run.start(run.manager.fork, agent, **{name: text for name, text in given.items() if text.strip()})


def _limit(run: Run, agent: str, given: Given) -> cf.Future[Any]:
    """What the `holder` and all below it may use; the run, where none is named."""
    amounts: dict[str, Any] = {
        name: _amount(name, given[name]) for name in LIMITS if given.get(name, "").strip()
    }
    return run.start(run.manager.limit, given["holder"], **amounts)


def _answer(verb: str) -> Verb:
    """`approve` or `deny`: one request, by its id. The manager knows whether it is still open."""

    def carry_out(run: Run, agent: str, given: Given) -> cf.Future[Any]:
        more = {name: text for name, text in given.items() if name != "approval"}
        return run.start(getattr(run.manager, verb), given["approval"], **more)

    why = ("why",) if verb == "deny" else ()
    return Verb(carry_out, frozenset(), takes=("approval",), may_take=("always", *why))


def _spawn(run: Run, agent: str, given: Given) -> cf.Future[Any]:
    said: dict[str, Any] = {name: text for name, text in given.items() if text.strip()}
    limits = {name: _amount(name, said.pop(name)) for name in LIMITS if name in said}
    prompt, name = said.pop("prompt", None), said.pop("name", None)
    return run.start(run.manager.spawn, name, **said, initial_prompt=prompt, limits=limits)


def _amount(name: str, text: str) -> float:
    try:
        return amount(text)
    except ValueError:
        raise BadInput(f"{name} is {text!r}, which is no number. For no limit leave it empty") from None


def _broadcast(run: Run, agent: str, given: Given) -> cf.Future[Any]:
    names = [name for name in given.get("agents", "").split("\n") if name]
    return run.start(_told, run.manager, names, given.get("below", ""), given["text"])


async def _told(manager: Manager, names: list[str], below: str, text: str) -> None:
    """Ask them all; what was refused is one error, which says who heard it."""
    asked = await broadcast(manager, names, below, text)
    refused = [str(each) for each in asked if isinstance(each, MadroxError)]
    if refused:
        raise BadInput(f"{len(asked) - len(refused)} of {len(asked)} were asked: {'; '.join(refused)}")


def _team(verb: str) -> Verb:
    """`stop` or `retry` of a team's run, by its id; `what` names a phase, or one share (`review.lead`)."""

    def carry_out(run: Run, agent: str, given: Given) -> cf.Future[Any]:
        what = [given["what"]] if given.get("what") else []
        return run.start(getattr(run.manager.teams, verb), given["team"], *what)

    return Verb(carry_out, frozenset(), ("team",), ("what",) if verb == "retry" else ())


VERBS: Final[Mapping[str, Verb]] = {
    "interrupt": Verb(
        lambda run, agent, given: run.start(run.manager.interrupt, agent), frozenset({"busy", "waiting"})
    ),
    "stop": Verb(lambda run, agent, given: run.start(run.manager.terminate, agent, force=True)),
    "suspend": Verb(lambda run, agent, given: run.start(run.manager.suspend, agent), frozenset({"idle"})),
    "resume": Verb(
        lambda run, agent, given: run.start(_back, run, agent), frozenset({"suspended", "stopped", "failed"})
    ),
    "fork": Verb(_fork, EVER, may_take=("as_", "permissions")),
    "limit": Verb(_limit, frozenset(), takes=("holder",), may_take=tuple(LIMITS)),
    "send": Verb(lambda run, agent, given: run.start(run.manager.ask, agent, given["text"]), takes=("text",)),
    "stop_all": Verb(lambda run, agent, given: run.start(_stop_all, run.manager), frozenset()),
    "approve": _answer("approve"),
    "deny": _answer("deny"),
    "spawn": Verb(
        _spawn,
        frozenset(),
        may_take=(
            *("name", "role", "harness", "model", "parent", "permissions", "prompt"),
            *("usd", "tokens", "minutes", "turns"),
        ),
    ),
    "broadcast": Verb(_broadcast, frozenset(), takes=("text",), may_take=("agents", "below")),
    "team_stop": _team("stop"),
    "team_retry": _team("retry"),
}
"""Name → what it takes. Another part adds its line here."""


def check(verb: object, agent: object, given: Mapping[str, Any], tree: Tree) -> tuple[Verb, str, Given]:
    """What a page asked for, if it may. Raises `BadInput` or `UnknownAgent` that says why not."""
    if not isinstance(verb, str) or verb not in VERBS:
        raise BadInput(f"a page can't {verb!r}.{nearest(str(verb), VERBS)} It can: {', '.join(VERBS)}")
    asked = VERBS[verb]
    texts = _texts(verb, asked, given)
    if not asked.states:
        return asked, "", texts
    known = tree[str(agent)]
    if known.state not in asked.states:
        raise BadInput(_idle(verb, known))
    return asked, known.name, texts


def _idle(verb: str, agent: Agent) -> str:
    if verb == "send":
        return f"{agent.name} has {agent.state}: nobody would read it"
    return f"{agent.name} is {agent.state}: there is nothing to {verb}"


def _texts(verb: str, asked: Verb, given: Mapping[str, Any]) -> Given:
    _only(verb, given, (*asked.takes, *asked.may_take))
    for name in asked.takes:
        if name not in given:
            raise BadInput(f"{verb} needs {name}")
    for name, value in given.items():
        if not isinstance(value, str) or len(value) > LONGEST:
            raise BadInput(f"{name} of {verb} is no text of at most {LONGEST:,} characters")
    return given


def _only(verb: str, given: Mapping[str, Any], known: Iterable[str]) -> None:
    for name in given:
        if name not in known:
            raise BadInput(f"{verb} takes no {name!r}.{nearest(name, known)}")
