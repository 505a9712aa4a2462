"""Commands for what agents ask of the person: what they want to be allowed, and the answer."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from .speech import described
from .verbs import add_common, client_of, report

if TYPE_CHECKING:
    from .speech import Commands

APPROVALS: Final = """\
What agents ask to be allowed and wait for, oldest first. Only who is there can be asked: a
notebook's person is; `madrox serve` needs MADROX_ATTENDED=yes, else all of it is refused at once.
"""


def _approvals(commands: Commands) -> None:
    parser = described(commands, "approvals", "what agents ask to be allowed", APPROVALS)
    parser.add_argument("--all", action="store_true", help="what was answered, too")
    add_common(parser, _carry_approvals)


def _carry_approvals(asked: argparse.Namespace) -> int:
    told = client_of(asked).execute("list_approvals", {"include_answered": asked.all})
    return report(asked, told.text, told.data)


def _approve(commands: Commands) -> None:
    parser = described(commands, "approve", "allow what agents have asked for")
    _add_answer(parser, "allow")


def _deny(commands: Commands) -> None:
    parser = described(commands, "deny", "refuse what agents have asked for")
    parser.add_argument("--why", nargs="+", default=[], metavar="WORD", help="what the agent is told")
    _add_answer(parser, "deny")


def _add_answer(parser: argparse.ArgumentParser, decision: str) -> None:
    parser.add_argument("approvals", nargs="+", metavar="approval", help="such as lead.a1")
    parser.add_argument(
        "--always", choices=("agent", "subtree", "tool"), help="and this tool from now on, for …"
    )
    parser.set_defaults(decision=decision, why=[])
    add_common(parser, _carry_answer)


def _carry_answer(asked: argparse.Namespace) -> int:
    """One after the other; the first that can't be answered is an error, as in a notebook."""
    client = client_of(asked)
    answered = []
    for approval in asked.approvals:
        given = {"approval_id": approval, "decision": asked.decision, "always": asked.always}
        answered.append(client.execute("answer_approval", {**given, "why": " ".join(asked.why) or None}))
    text = "\n".join(each.text for each in answered)
    return report(asked, text, {"approvals": [dict(each.data) for each in answered]})


COMMANDS: Final[tuple[Callable[[Commands], None], ...]] = (_approvals, _approve, _deny)
