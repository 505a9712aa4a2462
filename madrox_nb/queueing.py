"""What may wait in an inbox, and what an idle agent is handed next. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from .errors import BadPrompt
from .events import PERSON
from .folds import Inboxes, Message
from .tree import Tree

LONGEST_PROMPT = 32 * 2**20
"""Bytes; what the wire assembles at most."""
HOUSE: Final = "madrox"
"""Who writes what no agent has said: what came of blocks, and of jobs. No agent can be called that."""


def starts_a_turn(message: Message, tree: Tree) -> bool:
    """Whether an idle agent is woken for `message`: a question, an answer, a child's word, a job's report.

    The words of an agent that was spawned with `auto_inject=False` wait to be asked for.
    """
    if message.asks:
        return True
    if message.sender not in tree:
        return message.sender == HOUSE and bool(message.answers)
    sender = tree[message.sender]
    return sender.auto_inject and (bool(message.answers) or sender.parent == message.to)


def rides_along(message: Message, tree: Tree) -> bool:
    """Whether a note goes with the next turn, whatever starts it."""
    return not message.asks and (message.sender not in tree or tree[message.sender].auto_inject)


def next_batch(name: str, tree: Tree, inboxes: Inboxes) -> list[Message]:
    """What `name` is handed next: at most one question, and the notes that came before it.

    A question of the person's that begins with a slash is a command of the CLI and goes alone.
    """
    unread = inboxes.unread(name)
    first = next((n for n, message in enumerate(unread) if starts_a_turn(message, tree)), None)
    if first is None:
        return []
    ask = next((n for n, message in enumerate(unread) if message.asks), None)
    if ask is None or not unread[first].asks:
        return [m for m in unread[: len(unread) if ask is None else ask] if rides_along(m, tree)]
    if unread[ask].sender == PERSON and unread[ask].text.startswith("/"):
        return [unread[ask]]
    return [m for m in unread[:ask] if rides_along(m, tree)] + [unread[ask]]


def who_asked(messages: Sequence[Message]) -> str:
    """In whose name the turn begins that hands over `messages`."""
    return next((m.sender for m in messages if m.asks), messages[-1].sender)


def check_prompt(text: str) -> None:
    """Raises `BadPrompt` for what no agent could be sent."""
    if not isinstance(text, str):
        raise BadPrompt(
            f"a prompt is a text, not {type(text).__name__}: write str(…) around it, or format it"
        )
    if not text.strip():
        raise BadPrompt("the prompt is empty: write what the agent should do")
    try:
        size = len(text.encode())
    except UnicodeEncodeError as exc:
        raise BadPrompt(
            f"the prompt holds half a character at position {exc.start}; it can't be sent"
        ) from exc
    if size > LONGEST_PROMPT:
        raise BadPrompt(
            f"the prompt has {size:,} bytes and the wire carries {LONGEST_PROMPT:,}: "
            "put it in a file of the agent's workspace and name that"
        )
