"""Several agents asked the same at once."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from .errors import BadInput, MadroxError, SomeFailed
from .manager import Manager
from .queueing import check_prompt
from .run import Run
from .tickets import Ticket
from .values import Replies, Reply

Asked = Sequence[Ticket | MadroxError]
"""What became of each question: it is on its way, or this is why not."""


async def broadcast(manager: Manager, names: Sequence[str], below: str, text: str) -> Asked:
    """Ask each of them the same, in their order; what one refuses keeps no other from being asked.

    Without names, the living children of `below`, or the agents at the top of the tree.
    Raises `UnknownAgent`, `BadPrompt` or `BadInput`; then nobody was asked.
    """
    check_prompt(text)
    tree = manager.tree
    if names and below:
        raise BadInput("say whom, or below whom: not both")
    named = [tree[name].name for name in dict.fromkeys(names)]
    parent = tree[below].name if below else None
    wanted = named or [agent.name for agent in tree.children(parent) if agent.alive]
    if not wanted:
        raise BadInput(
            f"{below} has no living children" if below else "no agent is alive: %madrox spawn NAME starts one"
        )
    return [await _asked(manager, name, text) for name in wanted]


async def _asked(manager: Manager, name: str, text: str) -> Ticket | MadroxError:
    try:
        return await manager.ask(name, text)
    except MadroxError as exc:
        return exc


async def answers(run: Run, asked: Asked) -> Replies:
    """Wait for all their answers. Raises `SomeFailed` when one of them got none."""
    heard = await asyncio.gather(
        *(run.send(each) for each in asked if isinstance(each, Ticket)), return_exceptions=True
    )
    replies = Replies({each.agent: each for each in heard if isinstance(each, Reply)})
    lost = [each for each in (*asked, *heard) if isinstance(each, BaseException)]
    if strange := next((each for each in lost if not isinstance(each, MadroxError)), None):
        raise strange
    if lost:
        raise _some(lost, len(asked), list(replies), "heard: %madrox turns")
    return replies


def tickets(asked: Asked) -> list[Ticket]:
    """The questions on their way. Raises `SomeFailed` when one is not: the others are all the same."""
    under_way = [each for each in asked if isinstance(each, Ticket)]
    if lost := [each for each in asked if isinstance(each, MadroxError)]:
        raise _some(lost, len(asked), [each.agent for each in under_way], "asked: %madrox wait")
    return under_way


def _some(lost: Sequence[BaseException], count: int, done: list[str], what: str) -> SomeFailed:
    reasons = "\n".join(f"  {each}" for each in lost)
    others = f"; {', '.join(done)} {'was' if len(done) == 1 else 'were'} {what}" if done else ""
    return SomeFailed(
        f"{len(lost)} of {count} gave no answer{others}\n{reasons}", done, [{"error": str(e)} for e in lost]
    )
