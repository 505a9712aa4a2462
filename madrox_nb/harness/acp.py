"""Agent CLIs that speak the Agent Client Protocol: JSON-RPC 2.0, one message a line.

One harness for each line of the table in `acp_lines.py`. What we write:

    initialize              the handshake
    session/new             … or session/resume, session/load, session/fork
    session/set_mode        the mode that asks before it uses a tool
    session/set_model       … or session/set_config_option, the newer way to choose either
    session/prompt          starts a turn; its answer is the turn's end
    session/cancel          the interrupt, a notification

What the agent writes, and what of it we use:

    session/update              agent_message_chunk, tool_call, tool_call_update, usage_update
    session/request_permission  may it use this tool?
    any other request           refused as not found: we offer no files and no terminals

Everything else is left alone. The protocol is that of agentclientprotocol.com, version 1;
seen with opencode 1.18.33 and gemini 0.61.0.

The protocol has no system prompt in what is stable of it. An agent that announces the
draft one is given it; to any other the instructions are told in front of the first prompt.
It has no words for a refusal either: the agent hears no, and many take that for the user's
word. Why it was is told in front of the next prompt.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import ClassVar, cast

from ..events import (
    NAN,
    Event,
    Notice,
    Outcome,
    TextDelta,
    ToolCalled,
    ToolReturned,
    TurnEnded,
    TurnSaid,
    UsageReported,
    Verdict,
)
from . import Ask, Brief, Harness, Item, Launch, Tables, Unreadable, Withdraw, Write
from .acp_bill import Bill, count_of, quota
from .acp_lines import FILES, KNOWN, Line, lines
from .acp_session import Answered, Session
from .acp_shapes import (
    READING,
    Call,
    Options,
    in_words,
    message_of,
    option,
    options_of,
    outcome_of,
    rpc,
    unasked,
)
from .json_lines import Json, shown

REMEDY = 'If it does ask before it acts, say so: [acp.{}] features = ["interrupt", "approvals", "mcp"]'

METHOD_NOT_FOUND = -32601

PREAMBLE = """\
<instructions>
{instructions}
</instructions>

These are your standing instructions, for this prompt and all that follow. What is asked comes next.
"""

REFUSED = """\
<madrox>
{reasons}
</madrox>
"""

STOPPED = {
    "max_tokens": "the answer was cut: it reached the model's limit of tokens",
    "max_turn_requests": "the turn was ended: it made as many requests to the model as one turn may",
    "refusal": "the model refused to go on",
}
"""Why a turn ended early → in words."""


@dataclass
class _Turn:
    """What is known of the turn under way."""

    command: bool = False
    """Its prompt is a command of the CLI, which need not be answered in words."""
    instructed: bool = False
    """Its prompt carries the instructions."""
    picked_up: bool = False
    interrupted: bool = False
    words: list[str] = field(default_factory=list)
    """Of the message being spoken."""
    said: str = ""
    refused: str = ""
    """What it was not allowed, while it has said and done nothing since."""
    calls: dict[str, Call] = field(default_factory=dict)


@dataclass(frozen=True)
class _Asked:
    id: int | str
    options: Options
    call: Call


class Acp(Harness):
    """The protocol state of one agent. A harness is a subclass with a `line`: see `family`."""

    name: ClassVar[str] = "acp"
    line: ClassVar[Line]

    @classmethod
    def family(cls, tables: Tables) -> Mapping[str, type[Harness]]:
        return {line.name: cls.of(line) for line in lines(tables.get("acp", {}))}

    @classmethod
    def of(cls, line: Line) -> type[Acp]:
        """The harness of one CLI."""
        members = {
            "__doc__": f"The protocol state of one {line.name}.",
            "__module__": cls.__module__,
            "line": line,
            "name": line.name,
            "commands": line.commands,
            "provides": line.provides,
            "features": line.features,
            "unguarded": not line.features.approvals,
            "remedy": "" if line.name in KNOWN else REMEDY.format(line.name),
            "tested": line.tested,
        }
        return cast(type[Acp], type(f"Acp[{line.name}]", (cls,), members))

    def __init__(self, brief: Brief) -> None:
        super().__init__(brief)
        self.session = Session(brief, self.line, self._request)
        self._unexplained: list[str] = []
        """Refusals of which the agent has not heard why."""
        self._now = _Turn()
        self._requests = 0
        self._waiting: dict[int, tuple[Answered, Answered]] = {}
        """Our requests that were not answered yet, and what their answers mean: a result, an error."""
        self._asked: dict[str, _Asked] = {}
        self._withdrawn: list[str] = []
        self._bill = Bill(begins=not brief.resume)

    # what to run

    def launch(self) -> Launch:
        brief, line = self.brief, self.line
        return Launch(
            argv=(*brief.command, *line.args, *brief.extra_args),
            env={name: value.replace(FILES, brief.files) for name, value in line.env.items()},
            files=line.files,
        )

    # what to write

    def greet(self) -> Iterable[str]:
        return [self.session.greet()]

    def prompt(self, turn: str, text: str) -> Iterable[str]:
        command = text.startswith("/")
        instructed = bool(self.session.untold) and not command
        self.turn, self._now = turn, _Turn(command=command, instructed=instructed)
        texts = [PREAMBLE.format(instructions=self.session.untold)] if instructed else []
        if self._unexplained and not command:
            texts.append(REFUSED.format(reasons="\n".join(self._unexplained)))
            self._unexplained = []
        texts.append(text)
        said = [{"type": "text", "text": each} for each in texts]
        params = {"sessionId": self.session.id, "prompt": said}
        return [self._request("session/prompt", params, self._answered, self._failed)]

    def interrupt(self) -> Iterable[str]:
        if not self.turn:
            return ()
        self._now.interrupted = True
        return [self._cancel(), *self._withdraw()]

    def _cancel(self) -> str:
        return rpc(method="session/cancel", params={"sessionId": self.session.id})

    def _withdraw(self) -> list[str]:
        """The answers that the protocol wants to questions which an end of the turn overtook."""
        left, self._asked = self._asked, {}
        self._withdrawn += left
        return [outcome_of(asked.id) for asked in left.values()]

    def answer(self, request: str, decision: Verdict, why: str = "") -> Iterable[str]:
        asked = self._asked.pop(request, None)
        if asked is None:  # withdrawn
            return ()
        if decision == "deny":
            self._now.refused = f"{asked.call.tool} was not allowed" + (f": {why}" if why else "")
            asked.call.output = self._now.refused
            self._unexplained += [self._now.refused] * bool(why)
        return [outcome_of(asked.id, self._option(asked.options, decision))]

    def _option(self, options: Options, decision: Verdict) -> str:
        """The option that says it once: `always` would take the next question away from us."""
        if decision == "deny":
            return option(options, ("reject_once", "reject_always"))
        return option(options, ("allow_once", *["allow_always"] * (self.brief.permissions == "all")))

    def _request(
        self,
        method: str,
        params: Json,
        answered: Answered,
        refused: Answered,
    ) -> str:
        self._requests += 1
        self._waiting[self._requests] = answered, refused
        return rpc(id=self._requests, method=method, params=params)

    # what a line means

    def read(self, line: str) -> Iterable[Item]:
        message = message_of(line)
        try:
            return list(self._items(message))
        except (AttributeError, KeyError, TypeError, ValueError) as exc:
            what = message.get("method", "an answer")
            raise Unreadable(f"{what} in a shape of its own: {exc!r}") from exc

    def _items(self, message: Json) -> Iterator[Item]:
        withdrawn, self._withdrawn = self._withdrawn, []
        yield from (Withdraw(request=request) for request in withdrawn)
        match message:
            case {"method": "session/update", "params": params}:
                yield from self._updated(params)
            case {"method": "session/request_permission", "id": request, "params": params}:
                yield from self._asks(request, params)
            case {"method": method, "id": request}:
                unknown = {"code": METHOD_NOT_FOUND, "message": f"{method} is not for us"}
                yield Write(line=rpc(id=request, error=unknown))
            case {"id": request} if waiting := self._waiting.pop(request, None):
                answered, refused = waiting
                if (error := message.get("error")) is not None:
                    yield from refused(error)
                else:
                    yield from answered(message["result"] or {})

    # the turn

    def _updated(self, params: Json) -> Iterator[Item]:
        update = params["update"]
        if params["sessionId"] != self.session.id:  # a sub-agent's
            return
        kind = update["sessionUpdate"]
        if kind == "usage_update" and update.get("cost"):
            self._bill.told(update["cost"], between=not self.turn)
        if not self.turn:  # history, or nobody listens
            return
        match kind:
            case "agent_message_chunk":
                yield from self._picked_up()
                yield from self._speaks(update["content"])
            case "agent_thought_chunk":
                yield from self._picked_up()
            case "tool_call" | "tool_call_update":
                yield from self._picked_up()
                yield from self._calls(update)
            case "current_mode_update" if unasked(update["currentModeId"]):
                mode = update["currentModeId"]
                yield self._notice(f"{self.name} went into the mode {mode!r}, in which it may not ask")

    def _picked_up(self) -> Iterator[Item]:
        """An interrupt that came before the agent had begun may be forgotten: say it again."""
        if not self._now.picked_up and self._now.interrupted:
            yield Write(line=self._cancel())
        self._now.picked_up = True

    def _speaks(self, content: Json) -> Iterator[Item]:
        if content["type"] == "text" and (text := content["text"]):
            self._now.words.append(text)
            self._now.refused = ""
            yield TextDelta(agent=self.brief.agent, turn=self.turn, text=text)

    def _spoke(self) -> Iterator[Item]:
        if self._now.words:
            self._now.said = "".join(self._now.words)
            self._now.words = []
            yield TurnSaid(agent=self.brief.agent, turn=self.turn, text=self._now.said)

    def _calls(self, update: Json, *, asks: bool = False) -> Iterator[Item]:
        """A call is told when it begins, for its arguments may come after its name."""
        call = self._call(update)
        call.learn(update, self.line, asks=asks)
        if not call.told and (asks or call.done or call.status == "in_progress"):
            call.told = True
            yield from self._spoke()
            yield self._called(call)
        if call.done and not call.over:
            ok = call.status == "completed"
            self._now.refused = "" if ok else self._now.refused
            yield self._returned(call, ok=ok)

    def _call(self, update: Json) -> Call:
        return self._now.calls.setdefault(update["toolCallId"], Call(update["toolCallId"]))

    def _called(self, call: Call) -> ToolCalled:
        given = json.dumps(call.input, ensure_ascii=False)
        return ToolCalled(agent=self.brief.agent, turn=self.turn, call=call.id, tool=call.tool, input=given)

    def _returned(self, call: Call, *, ok: bool) -> ToolReturned:
        call.over = True
        return ToolReturned(
            agent=self.brief.agent, turn=self.turn, call=call.id, ok=ok, output=shown(call.output)
        )

    def _asks(self, request: int | str, params: Json) -> Iterator[Item]:
        if not self.turn or params["sessionId"] != self.session.id or self._now.interrupted:
            yield Write(line=outcome_of(request))
            return
        yield from self._picked_up()
        options, call = options_of(params), self._call(params["toolCall"])
        yield from self._calls(params["toolCall"], asks=True)
        if call.ours:
            yield Write(line=outcome_of(request, self._option(options, "allow")))
            return
        key = json.dumps(request)
        self._asked[key] = _Asked(request, options, call)
        touches = call.touches(self.brief.workspace)
        reads = touches is not None and call.kind in READING
        yield Ask(request=key, tool=call.tool, input=call.input, touches=touches, reads=reads)

    # its end

    def _answered(self, result: Json) -> Iterator[Item]:
        yield from self._closes()
        outcome, text, error = self._verdict(result)
        if self._now.instructed and outcome == "ok":
            self.session.untold = ""  # some forget a prompt that failed or was cancelled
        yield from self._used(result, outcome)
        yield self._ended(outcome, text, error)

    def _failed(self, error: Json) -> Iterator[Item]:
        """Some answer an interrupt with an error, when it comes early."""
        yield from self._closes()
        outcome: Outcome = "interrupted" if self._now.interrupted else "failed"
        yield from self._used({}, outcome)
        if outcome == "interrupted":
            yield self._ended(outcome, self._now.said, "")
        else:
            yield self._ended(outcome, "", in_words(error, self.line))

    def _closes(self) -> Iterator[Item]:
        """What the turn leaves open."""
        yield from self._spoke()
        for call in self._now.calls.values():
            if call.told and not call.over:
                yield self._returned(call, ok=False)
        yield from (Write(line=line) for line in self._withdraw())
        withdrawn, self._withdrawn = self._withdrawn, []
        yield from (Withdraw(request=request) for request in withdrawn)

    def _verdict(self, result: Json) -> tuple[Outcome, str, str]:
        """Outcome, text and error of the turn."""
        now, stop = self._now, result.get("stopReason")
        if stop == "cancelled":
            return (
                ("interrupted", now.said, "") if now.interrupted else ("failed", "", "it cancelled its turn")
            )
        if stop != "end_turn":
            return "failed", "", STOPPED.get(str(stop), f"it stopped for a reason of its own: {stop}")
        if now.refused:
            return "failed", "", f"it gave up: {now.refused}"
        if now.command:
            return "ok", now.said, ""
        if now.interrupted and not now.picked_up:  # opencode: before it had asked the model
            return "interrupted", "", ""
        if not now.said and not now.calls:
            return "failed", "", "the model gave an empty answer"
        if self.line.counts_answers and not any(count for _, count in quota(result)):
            return "failed", "", "the model's answer was cut off"
        return "ok", now.said, ""

    def _used(self, result: Json, outcome: Outcome) -> Iterator[UsageReported]:
        """What the turn used: by the agent's bill, by its count, and by neither what an interrupt cut."""
        cost, source = self._bill.of_turn()
        counted = [(model, count) for model, count in quota(result) if count]
        cut_at_once = outcome == "interrupted" and not self._now.picked_up
        usage = {} if cut_at_once else result.get("usage") or {}  # its figures are those of the turn before
        count = count_of(usage)
        if counted:
            yield from (self._report(used, model=model) for model, used in counted)
        elif any(count.values()) or (source == "cli" and (cost or outcome != "interrupted")):
            yield self._report(count, cost, source)
        elif outcome != "interrupted":
            yield self._report({})
        if outcome == "interrupted":
            yield self._report({})

    def _report(
        self, count: Mapping[str, int], cost: float = NAN, source: str = "unknown", model: str | None = None
    ) -> UsageReported:
        return UsageReported(
            agent=self.brief.agent,
            turn=self.turn,
            model=model or self.session.model,
            cost_usd=cost,
            cost_source=source,
            **count,
        )

    def _ended(self, outcome: Outcome, text: str, error: str) -> TurnEnded:
        turn, self.turn = self.turn, ""
        agent, session = self.brief.agent, self.session.id
        return TurnEnded(agent=agent, turn=turn, outcome=outcome, text=text, error=error, session=session)

    def lost(self) -> Iterable[Event]:
        return [self._report({})] if self.turn and self._now.picked_up else ()

    def _notice(self, text: str) -> Notice:
        return Notice(agent=self.brief.agent, text=text)
