"""Tools of the person's alone: what agents ask to be allowed, and the answer."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from ..activity import argument
from ..calls import Call, Result, tool
from ..folds import Approval
from .telling import clipped, iso

LONGEST = 300
"""Characters of a request's arguments in a line; the data hold all of them."""


@tool(read_only=True, person=True)
async def list_approvals(
    call: Call,
    include_answered: Annotated[bool, "Those that were answered, too."] = False,
) -> Result:
    """List what agents ask to be allowed and wait for, oldest first. answer_approval answers. Free."""
    approvals = call.manager.approvals
    found = list(approvals) if include_answered else approvals.open()
    return Result(
        "\n".join(map(_line, found)) or "nothing waits for an answer",
        {"approvals": [_as_data(each) for each in found], "total": len(found)},
    )


@tool(needs="admin", person=True)
async def answer_approval(
    call: Call,
    approval_id: Annotated[str, "As in list_approvals, such as lead.a1."],
    decision: Annotated[Literal["allow", "deny"], "What the agent is told."],
    why: Annotated[str | None, "Why it is denied: the agent is told, and goes on without it."] = None,
    always: Annotated[
        Literal["agent", "subtree", "tool"] | None,
        "The same from now on for this tool: of this agent, of it and all below it, or of anybody.",
    ] = None,
) -> Result:
    """Let an agent do what it asked for, or refuse it: the person's decision, not yours to make for them."""
    manager = call.manager
    if decision == "allow":
        answered = await manager.approve(approval_id, always=always or "")
    else:
        answered = await manager.deny(approval_id, why or "", always=always or "")
    return Result(_line(answered), _as_data(answered))


def _line(each: Approval) -> str:
    what = clipped(" ".join(argument(each.input).split()), LONGEST)
    asks = f"{each.id}: {each.agent} asks to use {each.tool} {what}".rstrip()
    return asks if each.state == "open" else f"{asks}: {each.ending}"


def _as_data(each: Approval) -> dict[str, Any]:
    return {
        "approval_id": each.id,
        "instance_id": each.agent,
        "turn": each.turn,
        "tool": each.tool,
        "input": each.input,
        "state": each.state,
        "by": each.by,
        "why": each.why,
        "always": each.always,
        "asked": iso(each.asked),
        "answered": iso(each.answered) if each.answered else None,
    }
