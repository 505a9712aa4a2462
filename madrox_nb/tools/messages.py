"""Tools that carry words between agents."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar

from ..calls import Call, Result, may_act, may_message, tool
from ..errors import BadInput, Forbidden, MadroxError
from ..events import PERSON
from ..tickets import Ticket
from ..wording import handover
from .arguments import Seconds, Who
from .several import each, gathered, names_once
from .telling import iso
from .waiting import LONGEST_WAIT, answered, countdown, nothing_yet, sent, telling_meanwhile

Several = Annotated[list[str] | None, "Names of the agents, as in get_instance_tree."]
AwaitAll = Annotated[bool, "Return the answers themselves instead of going on meanwhile."]


@dataclass(frozen=True)
class Letter:
    """One of several messages, each for an agent of its own."""

    __pydantic_config__: ClassVar = {"extra": "forbid", "use_attribute_docstrings": True}

    instance_id: str
    """Who gets it."""
    message: str
    """What that agent should do or know, complete."""
    wait_for_response: bool | None = None
    """Wait for this answer. Left out: as wait_for_responses says."""


@tool()
async def send_to_instance(
    call: Call,
    instance_id: Who,
    message: Annotated[str, "What it should do or know, complete: it sees nothing of your conversation."],
    wait_for_response: Annotated[bool, "Return the answer itself instead of going on meanwhile."] = False,
    timeout_seconds: Seconds = 180,
    steer: Annotated[bool, "Let it join the turn under way, where its CLI can do that."] = False,
) -> Result:
    """Ask an agent something: one below you, your parent, or a sibling. It costs one turn of that agent.

    Returns at once; the answer comes as your next prompt, or when you call
    get_pending_replies. A busy agent takes it up when its turn is over (`queued`). With
    wait_for_response this call waits for the answer and returns it. If it says `running`,
    don't send the message again: call get_pending_replies with a wait_timeout, or go on.
    """
    may_message(call.manager.tree, call.caller, instance_id)
    ticket = await call.manager.ask(instance_id, message, sender=call.caller, steer=steer)
    if wait_for_response:
        return await answered(call, ticket, countdown(timeout_seconds)())
    return await sent(call, ticket)


@tool()
async def send_to_multiple_instances(
    call: Call,
    messages: Annotated[
        list[Letter] | None,
        "Each agent its own text: [{instance_id, message, wait_for_response?}]. Or use instance_ids.",
    ] = None,
    instance_ids: Several = None,
    message: Annotated[str | None, "The one text for all of instance_ids."] = None,
    wait_for_responses: AwaitAll = False,
    timeout_seconds: Seconds = 180,
) -> Result:
    """Ask several agents at once: the same text for instance_ids, or each its own text by messages.

    As send_to_instance for each: one turn of each agent, side by side, and who can't be asked
    is told beside the others. Returns at once; the answers come as your next prompts, or from
    get_pending_replies. With wait_for_responses this one call waits for all of them, and says
    `running` of those that take longer: don't send these again, their answers come later.
    """
    letters = _letters(messages, instance_ids, message)
    found = await _post(call, letters, wait_for_responses, timeout_seconds)
    return gathered("asked", found)


@tool()
async def broadcast_to_children(
    call: Call,
    message: Annotated[str, "What all of them should do or know, complete: they see nothing else."],
    parent_id: Annotated[str | None, "Whose children: yours, unless you name an agent below you."] = None,
    wait_for_responses: AwaitAll = False,
    timeout_seconds: Seconds = 180,
) -> Result:
    """Ask all direct children of an agent the same thing. It costs one turn of each of them.

    Nobody further below is asked, and nobody who has ended. Each answer comes to you, as with
    send_to_multiple_instances: later, or here with wait_for_responses.
    """
    tree, whose = call.manager.tree, parent_id or call.caller
    if whose != PERSON:
        may_act(tree, call.caller, whose, "broadcast below")
    elif call.caller != PERSON:
        raise Forbidden(f"{call.caller} can't broadcast to the person's agents. Leave parent_id out")
    children = [child.name for child in tree.children(None if whose == PERSON else whose) if child.alive]
    if not children:
        data = {"parent": whose, "results": [], "errors": [], "total": 0}
        return Result(f"{whose} has no living children: nobody was asked", data)
    letters = [Letter(child, message) for child in children if child != call.caller]
    found = await _post(call, letters, wait_for_responses, timeout_seconds)
    result = gathered(f"asked, of the children of {whose},", found)
    return Result(result.text, {"parent": whose, **result.data})


def _letters(
    messages: Sequence[Letter] | None, names: Sequence[str] | None, text: str | None
) -> Sequence[Letter]:
    """What to send to whom, said in one of the two ways."""
    if messages is not None and (names is not None or text is not None):
        raise BadInput("give messages, or instance_ids with one message, not both: which one is meant?")
    if messages is not None:
        if not messages:
            raise BadInput("messages is empty: write [{instance_id, message}, …]")
        return messages
    if names is None or text is None:
        raise BadInput(
            "say whom and what: instance_ids with one message, or messages=[{instance_id, message}, …]"
        )
    return [Letter(name, text) for name in names_once(names)]


async def _post(call: Call, letters: Sequence[Letter], wait: bool, seconds: float) -> list[dict[str, Any]]:
    """Ask in the order of the letters, so that two for one agent keep theirs; then wait side by side."""
    left = countdown(seconds)
    asked = [await _asked(call, letter) for letter in letters]
    waits = [wait if letter.wait_for_response is None else letter.wait_for_response for letter in letters]

    async def outcome(ticket: Ticket | MadroxError, waiting: bool) -> Result:
        if isinstance(ticket, MadroxError):
            raise ticket
        return await (answered(call, ticket, left()) if waiting else sent(call, ticket))

    return await each(
        (letter.instance_id, outcome(ticket, waiting))
        for letter, ticket, waiting in zip(letters, asked, waits, strict=True)
    )


async def _asked(call: Call, letter: Letter) -> Ticket | MadroxError:
    try:
        may_message(call.manager.tree, call.caller, letter.instance_id)
        return await call.manager.ask(letter.instance_id, letter.message, sender=call.caller)
    except MadroxError as exc:
        return exc


@tool()
async def reply_to_caller(
    call: Call,
    reply_message: Annotated[str, "The answer, whole."],
    correlation_id: Annotated[str | None, "Which message it answers, such as lead.m3."] = None,
    instance_id: Annotated[str | None, "Your own name. It can be left out: your token says it."] = None,
) -> Result:
    """Answer whoever asked you before your turn is over, or answer an earlier message.

    Without correlation_id it answers the message you are working on, or goes to your
    parent when nobody asked. What you say last in a turn is your answer by itself: don't
    send it here as well. Returns at once.
    """
    if call.caller == PERSON:
        raise BadInput("nobody has asked the person: use send_to_instance to tell an agent something")
    if instance_id not in (None, call.caller):
        raise Forbidden(f"you are {call.caller} and can't reply as {instance_id}. Leave instance_id out")
    message, recipient = await call.manager.reply(call.caller, reply_message, to=correlation_id or "")
    return Result(
        f"replied to {recipient} ({message})",
        {"status": "delivered", "message_id": message, "recipient": recipient},
    )


@tool(read_only=True, needs="operate")  # it takes them: who may only look must not
async def get_pending_replies(
    call: Call,
    instance_id: Annotated[str | None, "Your own name. It can be left out: your token says it."] = None,
    wait_timeout: Annotated[
        float, f"Seconds to wait for the first message, {LONGEST_WAIT:.0f} at most. 0 only looks."
    ] = 0,
) -> Result:
    """Take the answers and notes that others have left for you. Costs no turn.

    Each is handed over once: here, or with your next prompt. Use it with a wait_timeout
    when you can't go on without an answer. When none comes in time it says who is still
    at work on what you asked; call it again, or do something else meanwhile.
    """
    manager, caller = call.manager, call.caller
    if instance_id not in (None, caller):
        raise Forbidden(
            f"you are {caller}: taking what was left for {instance_id} would rob it. Leave instance_id "
            "out, or read what was said with get_instance_output"
        )
    await telling_meanwhile(call, "", manager.mail.first(caller, countdown(wait_timeout)()))
    found = await manager.take(caller)  # at once: nothing is taken by a call that was given up
    replies = [
        {
            "message_id": each.id,
            "sender": each.sender,
            "answers": each.answers,
            "outcome": each.outcome,
            "text": each.text,
            "posted": iso(each.posted),
        }
        for each in found
    ]
    return Result(handover(found) if found else nothing_yet(manager, caller), {"replies": replies})
