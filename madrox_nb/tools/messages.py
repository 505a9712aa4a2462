"""Tools that carry words between agents."""

from __future__ import annotations

from typing import Annotated

from ..calls import Call, Result, may_message, tool
from ..errors import BadInput, Forbidden
from ..events import PERSON
from ..wording import handover
from .arguments import Seconds, Who
from .telling import iso
from .waiting import LONGEST_WAIT, answered, countdown, nothing_yet, sent, telling_meanwhile


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
    """Take the answers and notes that others have left for you.

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
