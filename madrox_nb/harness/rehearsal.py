"""The embedded agent: a real process that needs no key, and in which no model thinks.

The wire is line JSON of our own, one object per line in UTF-8:

    to the agent     hello    agent, role, workspace, session     once, first; and where sessions are
                              sessions, resume                    kept, and which one to go on with
                     prompt   turn, text
                     steer    steer, text                         into the turn under way
                     interrupt
                     answer   request, decision (allow | deny), why
    from the agent   ready    session, version                    answers hello
                     refused  why                                 … or this does
                     steered  steer, joined                       false: the turn was over
                     delta    turn, text                          a piece of what `said` will hold
                     said     turn, text
                     call     turn, call, tool, input             an MCP call begins …
                     returned turn, call, ok, output              … and ends
                     ask      request, tool, input                may it use this tool?
                     withdraw request                             no answer wanted any more
                     usage    turn, input_tokens, output_tokens   of this report alone
                     ended    turn, outcome, text, error          after at least one usage

The program stands in `madrox_nb/rehearse`; what a prompt can make it do is listed in
`rehearse/directives.py`. Its MCP door comes in `MADROX_MCP_URL`, the token in the file that
`MADROX_MCP_TOKEN_FILE` names, and other MCP servers in that of `MADROX_MCP_SERVERS_FILE`.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any, ClassVar, cast

from ..events import (
    AgentReady,
    AgentStopped,
    Outcome,
    TextDelta,
    ToolCalled,
    ToolReturned,
    TurnEnded,
    TurnSaid,
    UsageReported,
    Verdict,
)
from . import Ask, Brief, Features, Harness, Item, Launch, Steered, Unreadable, Withdraw, claude_shape

PROGRAM = Path(__file__).parents[1] / "rehearse" / "__main__.py"
TOKEN_FILE = "mcp-token"  # noqa: S105 - the file's name, not what is in it
SERVERS_FILE = "mcp-servers.json"
OUTCOMES = ("ok", "failed", "interrupted")
OURS = (
    "ready",
    "refused",
    "steered",
    "delta",
    "said",
    "call",
    "returned",
    "ask",
    "withdraw",
    "usage",
    "ended",
)


class Rehearsal(Harness):
    """The protocol state of one rehearsing agent."""

    name: ClassVar[str] = "rehearsal"
    commands: ClassVar[tuple[str, ...]] = ()
    provides: ClassVar[str] = "it comes with madrox_nb"
    tested: ClassVar[tuple[str, ...]] = ("1",)
    instructed: ClassVar[bool] = False
    servers: ClassVar[tuple[str, ...]] = ("stdio", "http")
    features: ClassVar[Features] = Features(
        interrupt=True,
        steer=True,
        approvals=True,
        usage=True,
        cost=True,
        mcp=True,
        resume=True,
        fork=True,
        structured=True,
    )

    @staticmethod
    def command() -> tuple[str, ...]:
        """What to run. It is never looked up on PATH: it needs this Python and nothing else.

        `-I -S` because the program uses the standard library alone: a third less CPU to
        start, and no package or variable of the kernel's can change what it does.
        """
        return (sys.executable, "-I", "-S", str(PROGRAM))

    def __init__(self, brief: Brief) -> None:
        super().__init__(brief)
        self.session = brief.session

    def launch(self) -> Launch:
        brief = self.brief
        files = {TOKEN_FILE: brief.mcp_token} if brief.mcp_token else {}
        if brief.mcp_servers:
            files[SERVERS_FILE] = json.dumps({"mcpServers": claude_shape(brief.mcp_servers)})
        env = {"MADROX_MCP_TOKEN_FILE": TOKEN_FILE, "MADROX_MCP_SERVERS_FILE": SERVERS_FILE}
        named = {name: f"{brief.files}/{file}" if file in files else "" for name, file in env.items()}
        argv = (*brief.command, *brief.extra_args)
        return Launch(argv=argv, env={"MADROX_MCP_URL": brief.mcp_url, **named}, files=files)

    def greet(self) -> Iterable[str]:
        brief = self.brief
        yield _line(
            "hello",
            agent=brief.agent,
            role=brief.role,
            workspace=brief.workspace,
            session=brief.session if brief.fork else brief.resume or brief.session,
            sessions=brief.sessions,
            resume=brief.resume,
        )

    def prompt(self, turn: str, text: str) -> Iterable[str]:
        self.turn = turn
        return [_line("prompt", turn=turn, text=text)]

    def steer(self, steer: str, text: str) -> Iterable[str]:
        return [_line("steer", steer=steer, text=text)]

    def interrupt(self) -> Iterable[str]:
        return [_line("interrupt")]

    def answer(self, request: str, decision: Verdict, why: str = "") -> Iterable[str]:
        return [_line("answer", request=request, decision=decision, why=why)]

    def read(self, line: str) -> Iterable[Item]:
        message = _message(line)
        agent, turn = self.brief.agent, message.get("turn", self.turn)
        if turn != self.turn:
            raise Unreadable(f"{message['type']} is about turn {turn!r}, which is not under way")
        match message:
            case {"type": "ready", "session": str(session), "version": str(version)}:
                self.session = session
                return [AgentReady(agent=agent, session=session, version=version)]
            case {"type": "refused", "why": str(why)}:
                return [AgentStopped(agent=agent, reason=why, failed=True)]
            case {"type": "steered", "steer": str(steer), "joined": bool(joined)}:
                return [Steered(steer=steer, joined=joined)]
            case {"type": "delta", "turn": _, "text": str(text)}:
                return [TextDelta(agent=agent, turn=turn, text=text)]
            case {"type": "said", "turn": _, "text": str(text)}:
                return [TurnSaid(agent=agent, turn=turn, text=text)]
            case {"type": "call", "turn": _, "call": str(call), "tool": str(tool), "input": dict(given)}:
                return [ToolCalled(agent=agent, turn=turn, call=call, tool=tool, input=_json(given))]
            case {"type": "returned", "turn": _, "call": str(call), "ok": bool(ok), "output": str(output)}:
                return [ToolReturned(agent=agent, turn=turn, call=call, ok=ok, output=output)]
            case {"type": "ask", "request": str(request), "tool": str(tool), "input": dict(given)}:
                return [Ask(request=request, tool=tool, input=given)]
            case {"type": "withdraw", "request": str(request)}:
                return [Withdraw(request=request)]
            case {"type": "usage", "turn": _, "input_tokens": int(given), "output_tokens": int(made)}:
                return [self._usage(given, made)]
            case {
                "type": "ended",
                "turn": _,
                "outcome": str(outcome),
                "text": str(text),
                "error": str(error),
            }:
                return [self._ended(outcome, text, error)]
            case {"type": kind} if kind in OURS:
                raise Unreadable(f"{kind} without the fields it should have")
        return ()

    def _usage(self, given: int, made: int) -> UsageReported:
        return UsageReported(
            agent=self.brief.agent,
            turn=self.turn,
            input_tokens=given,
            output_tokens=made,
            cost_usd=0.0,
            cost_source=self.name,
            model=self.name,
        )

    def _ended(self, outcome: str, text: str, error: str) -> TurnEnded:
        if outcome not in OUTCOMES:
            raise Unreadable(f"a turn cannot end {outcome!r}")
        turn, self.turn = self.turn, ""
        return TurnEnded(
            agent=self.brief.agent,
            turn=turn,
            outcome=cast(Outcome, outcome),
            text=text,
            error=error,
            session=self.session,
            anchor=turn,
        )


def _line(kind: str, **fields: str) -> str:
    # ASCII: half a surrogate pair in a prompt must not keep the line from being written.
    return json.dumps({"type": kind, **fields}) + "\n"


def _json(value: object) -> str:
    return json.dumps(value, ensure_ascii=False)


def _message(line: str) -> dict[str, Any]:
    try:
        message = json.loads(line)
    except (ValueError, RecursionError) as exc:
        raise Unreadable(f"not JSON: {exc}") from exc
    if not isinstance(message, dict) or not isinstance(message.get("type"), str):
        raise Unreadable("not an object with a type")
    return message
