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
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import ClassVar, cast

from ..events import (
    NAN,
    AgentReady,
    AgentStopped,
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
from . import Ask, Brief, Harness, Item, Launch, McpServer, Tables, Unreadable, Withdraw, Write
from .acp_lines import FILES, KNOWN, Line, lines
from .acp_shapes import (
    READING,
    Call,
    Choice,
    Options,
    choice,
    dollars,
    in_words,
    message_of,
    not_taken,
    option,
    options_of,
    outcome_of,
    quota,
    rpc,
    server_of,
    takes,
    unasked,
    way,
)
from .json_lines import Json, shown

SPOKEN = 1
"""The version of the protocol."""
SERVER = "madrox"
"""Our name as an MCP server."""
CLIENT = {"name": "madrox", "title": "Madrox", "version": "1"}
NOTHING = {"fs": {"readTextFile": False, "writeTextFile": False}, "terminal": False}
"""What we offer to do for the agent: it has hands of its own."""

REMEDY = 'If it does ask before it acts, say so: [acp.{}] features = ["interrupt", "approvals", "mcp"]'

METHOD_NOT_FOUND = -32601
AUTH_REQUIRED = -32000

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

FIGURES = {
    "input_tokens": "inputTokens",
    "output_tokens": "outputTokens",
    "cache_read_tokens": "cachedReadTokens",
    "cache_write_tokens": "cachedWriteTokens",
}


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
class _Waiting:
    """What the answer to a request of ours means."""

    answered: Callable[[Json], Iterable[Item]]
    refused: Callable[[Json], Iterable[Item]]


@dataclass(frozen=True)
class _Asked:
    id: int | str
    options: Options
    call: Call


Step = tuple[str, str, Json]
"""Of the settling in: what it does in words, the method, its parameters."""


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
        self.session = ""
        self.model = brief.model
        self._version: str | None = None
        self._untold = ""
        """Instructions that the session has not heard."""
        self._unexplained: list[str] = []
        """Refusals of which the agent has not heard why."""
        self._now = _Turn()
        self._requests = 0
        self._waiting: dict[int, _Waiting] = {}
        self._asked: dict[str, _Asked] = {}
        self._withdrawn: list[str] = []
        self._billed: float | None = None if brief.resume else 0.0
        """What the session had cost when the last turn ended, in US dollars; None when that is not known."""
        self._bill: float | None = None
        """What it has cost by the agent's last word."""

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
        hello = {"protocolVersion": SPOKEN, "clientCapabilities": NOTHING, "clientInfo": CLIENT}
        return [self._request("initialize", hello, self._met, partial(self._unfit, "refused the handshake"))]

    def prompt(self, turn: str, text: str) -> Iterable[str]:
        command = text.startswith("/")
        instructed = bool(self._untold) and not command
        self.turn, self._now = turn, _Turn(command=command, instructed=instructed)
        texts = [PREAMBLE.format(instructions=self._untold)] if instructed else []
        if self._unexplained and not command:
            texts.append(REFUSED.format(reasons="\n".join(self._unexplained)))
            self._unexplained = []
        texts.append(text)
        said = [{"type": "text", "text": each} for each in texts]
        params = {"sessionId": self.session, "prompt": said}
        return [self._request("session/prompt", params, self._answered, self._failed)]

    def interrupt(self) -> Iterable[str]:
        if not self.turn:
            return ()
        self._now.interrupted = True
        return [self._cancel(), *self._withdraw()]

    def _cancel(self) -> str:
        return rpc(method="session/cancel", params={"sessionId": self.session})

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
        answered: Callable[[Json], Iterable[Item]],
        refused: Callable[[Json], Iterable[Item]],
    ) -> str:
        self._requests += 1
        self._waiting[self._requests] = _Waiting(answered, refused)
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
                if (error := message.get("error")) is not None:
                    yield from waiting.refused(error)
                else:
                    yield from waiting.answered(message["result"] or {})

    # the handshake

    def _met(self, agent: Json) -> Iterator[Item]:
        if (version := agent["protocolVersion"]) != SPOKEN:
            yield self._stop(
                f"speaks version {version} of the Agent Client Protocol, and madrox version {SPOKEN}: "
                "another version of the CLI may help"
            )
            return
        self._version = (agent.get("agentInfo") or {}).get("version")
        can = agent.get("agentCapabilities") or {}
        if unfit := not_taken(self.brief, can):
            yield self._stop(unfit)
            return
        if self.brief.mcp_url and not takes(can, "http"):
            yield self._notice(f"{self.name} takes no MCP server over HTTP: it has no madrox tools")
        yield self._open(can)

    def _open(self, can: Json) -> Item:
        brief, may = self.brief, can.get("sessionCapabilities") or {}
        method = way(brief, bool(can.get("loadSession")), may)
        if not method:
            verb = "fork" if brief.fork else "go on with"
            return self._stop(f"can't {verb} a session: leave that out, and begin a new one")
        params: dict[str, object] = {"cwd": brief.workspace, "mcpServers": self._servers(can)}
        if brief.resume:
            params["sessionId"] = brief.resume
        if brief.instructions and may.get("systemPrompt") is not None:
            content = [{"type": "text", "text": brief.instructions}]
            params["systemPrompt"] = {"mode": "append", "content": content}
        elif brief.fork or not brief.resume:  # who goes on has heard them
            self._untold = brief.instructions
        return Write(
            line=self._request(method, params, self._opened, partial(self._unfit, f"refused {method}"))
        )

    def _servers(self, can: Json) -> list[Json]:
        brief = self.brief
        others = [server_of(name, server) for name, server in brief.mcp_servers.items()]
        if not brief.mcp_url or not takes(can, "http"):
            return others
        headers = {"Authorization": f"Bearer {brief.mcp_token}"}
        ours = McpServer(transport="http", url=brief.mcp_url, headers=headers)
        return [server_of(SERVER, ours), *others]

    def _opened(self, opened: Json) -> Iterator[Item]:
        self.session = opened.get("sessionId") or self.brief.resume
        mode, model = choice(opened, "mode"), choice(opened, "model")
        if mode and not mode.asking(self.line.mode):
            yield self._stop(f"has no session mode that asks before it acts, only {', '.join(mode.offered)}")
        elif self.brief.model and model is None:
            yield self._stop(
                "can't be told which model to use: leave it out, and choose it in its own settings"
            )
        else:
            yield from self._settle(list(self._steps(mode, model)))

    def _steps(self, mode: Choice | None, model: Choice | None) -> Iterator[Step]:
        if mode and (asking := mode.asking(self.line.mode)) != mode.current:
            yield f"can't be put into the mode {asking!r}", mode.method, mode.taking(self.session, asking)
        if model is None:
            return
        self.model = self.brief.model or model.current
        if self.model != model.current:
            known = ", ".join(model.offered) or "none"
            what = f"can't use the model {self.model!r} (it offers {known})"
            yield what, model.method, model.taking(self.session, self.model)

    def _settle(self, steps: list[Step], _: Json | None = None) -> Iterator[Item]:
        if not steps:
            yield AgentReady(
                agent=self.brief.agent, session=self.session, model=self.model, version=self._version
            )
            return
        (what, method, params), *left = steps
        yield Write(
            line=self._request(method, params, partial(self._settle, left), partial(self._unfit, what))
        )

    def _unfit(self, what: str, error: Json) -> Iterator[Item]:
        yield self._stop(f"{what}: {self._words(error)}")

    def _stop(self, reason: str) -> AgentStopped:
        return AgentStopped(agent=self.brief.agent, reason=f"{self.name} {reason}", failed=True)

    def _words(self, error: Json) -> str:
        said = in_words(error)
        return (
            f"{said}. It is not logged in: {self.line.login}" if error.get("code") == AUTH_REQUIRED else said
        )

    # the turn

    def _updated(self, params: Json) -> Iterator[Item]:
        update = params["update"]
        if params["sessionId"] != self.session:  # a sub-agent's
            return
        kind = update["sessionUpdate"]
        if kind == "usage_update" and update.get("cost"):
            self._bill = dollars(update["cost"])
            if self._billed is None and not self.turn:  # what the session had cost before
                self._billed = self._bill
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
        if not self.turn or params["sessionId"] != self.session or self._now.interrupted:
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
            self._untold = ""  # some forget a prompt that failed or was cancelled
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
            yield self._ended(outcome, "", self._words(error))

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
        cost, source = self._cost()
        counted = [(model, count) for model, count in quota(result) if count]
        cut_at_once = outcome == "interrupted" and not self._now.picked_up
        usage = {} if cut_at_once else result.get("usage") or {}  # its figures are those of the turn before
        count = {ours: usage.get(theirs) or 0 for ours, theirs in FIGURES.items()}
        if counted:
            yield from (self._report(used, model=model) for model, used in counted)
        elif any(count.values()) or (source == "cli" and (cost or outcome != "interrupted")):
            yield self._report(count, cost, source)
        elif outcome != "interrupted":
            yield self._report({})
        if outcome == "interrupted":
            yield self._report({})

    def _cost(self) -> tuple[float, str]:
        """Of this turn, from a bill that grows with the session."""
        before, self._billed = self._billed, self._bill if self._bill is not None else self._billed
        if before is None or self._bill is None or self._bill < before:
            return NAN, "unknown"
        return self._bill - before, "cli"

    def _report(
        self, count: Mapping[str, int], cost: float = NAN, source: str = "unknown", model: str | None = None
    ) -> UsageReported:
        return UsageReported(
            agent=self.brief.agent,
            turn=self.turn,
            model=model or self.model,
            cost_usd=cost,
            cost_source=source,
            **count,
        )

    def _ended(self, outcome: Outcome, text: str, error: str) -> TurnEnded:
        turn, self.turn = self.turn, ""
        return TurnEnded(
            agent=self.brief.agent, turn=turn, outcome=outcome, text=text, error=error, session=self.session
        )

    def lost(self) -> Iterable[Event]:
        return [self._report({})] if self.turn and self._now.picked_up else ()

    def _notice(self, text: str) -> Notice:
        return Notice(agent=self.brief.agent, text=text)
