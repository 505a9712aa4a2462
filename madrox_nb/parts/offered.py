"""Which verbs are drawn for an agent: those that its state, its CLI and its conversation allow now. Pure."""

from __future__ import annotations

from collections.abc import Iterator

from ..errors import MadroxError
from ..harness import Harness
from ..library import Harnesses
from ..tree import WORKING, Agent, Tree


def offered(tree: Tree, agent: Agent, harnesses: Harnesses) -> tuple[str, ...]:
    """Names of `verbs.VERBS`. What is not among them, the manager would refuse with words."""
    if tree.closed:
        return ()
    return tuple(_offered(tree, agent, _known(harnesses, agent.harness)))


def _offered(tree: Tree, agent: Agent, cls: type[Harness] | None) -> Iterator[str]:
    if agent.alive:
        yield "stop"
    if cls is None:
        return
    can = cls.features
    if agent.state in WORKING and can.interrupt:
        yield "interrupt"
    if agent.state == "idle" and can.resume and (agent.begun or not agent.origin):
        yield "suspend"
    if agent.state == "suspended" or (not agent.alive and _may_come_back(tree, agent, cls)):
        yield "resume"
    if can.fork and agent.session and agent.begun and not agent.aside:
        yield "fork"


def _may_come_back(tree: Tree, agent: Agent, cls: type[Harness]) -> bool:
    here = agent.parent is None or (agent.parent in tree and tree[agent.parent].alive)
    goes_on = not agent.begun or (cls.features.resume and bool(agent.session))
    return here and goes_on and not agent.aside and not cls.unguarded


def _known(harnesses: Harnesses, name: str) -> type[Harness] | None:
    """Its class; None for one of a package that is not there any more."""
    try:
        return harnesses[name]
    except MadroxError:
        return None
