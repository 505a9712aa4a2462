"""Claude Code: `claude -p` with stream-json both ways and its control protocol.

The wire is line JSON. What we write:

    control_request   initialize (the handshake), interrupt, cancel_async_message
    user              a prompt: it starts a turn, or (steering) joins the one under way
    control_response  the answer to a can_use_tool of its own

What it writes, and what of it we use:

    control_response        success of initialize: ready. Error of anything: told
    control_request         can_use_tool: may it use this tool?
    control_cancel_request  … no answer wanted any more
    system/init             at the start of EVERY turn: the turn has been picked up
    stream_event            pieces of the answer; usage of each request to the model
    assistant               one finished block: text or tool_use
    user                    tool results (and, marked isReplay, our own prompts)
    result                  the turn's end: outcome, cumulative usage and cost

Everything else is left alone, as its authors ask. Seen with 2.1.197 and 2.1.330; the
protocol is that of the vendor's own SDKs and documented nowhere else.

Three of its habits shape this file. An interrupt that arrives before the turn is
picked up is acknowledged and forgotten, so ours waits for `init`. Usage in `result`
leaves out sub-agents, `modelUsage` does not, so that one is differenced. And 2.1.197
counts nothing of an interrupted request, so what it leaves out is taken from the stream.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import ClassVar
from uuid import NAMESPACE_OID, uuid5

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
from . import (
    Ask,
    Brief,
    Features,
    Harness,
    Item,
    Launch,
    Steered,
    Unreadable,
    Withdraw,
    Write,
)
from .claude_shapes import error_of, is_inner, message_of, rate_limit, response_of, retry, text_of, tokens
from .claude_start import launch
from .json_lines import Json, line_of, shown

PATHS = {"Read": "file_path", "Write": "file_path", "Edit": "file_path", "NotebookEdit": "notebook_path"}
"""The tools that touch one file and nothing else, and where they name it."""

SYNTHETIC = "<synthetic>"
"""The model it names when it speaks itself: an API error, the output of a slash command."""


@dataclass
class _Turn:
    """What is known of the turn under way."""

    picked_up: bool = False
    interrupted: bool = False
    called: bool = False
    said: str = ""
    answers: list[str] = field(default_factory=list)
    """The results before a message that joined between two of them."""
    steers: dict[str, str] = field(default_factory=dict)
    """Its id with us, by its id on the wire: messages that have not joined yet."""
    anchor: str = ""
    request: str = ""
    """Id of the message being streamed."""
    used: dict[str, Counter[str]] = field(default_factory=dict)
    """Per message, as its stream told."""

    def count(self, message: str, usage: Json) -> None:
        """The figures of a message only grow: keep the highest."""
        self.used[message] = self.used.get(message, Counter()) | tokens(usage)

    @property
    def total(self) -> Counter[str]:
        return sum(self.used.values(), Counter())


class Claude(Harness):
    """The protocol state of one Claude Code."""

    name: ClassVar[str] = "claude"
    commands: ClassVar[tuple[str, ...]] = ("claude",)
    provides: ClassVar[str] = "npm install -g @anthropic-ai/claude-code"
    tested: ClassVar[tuple[str, ...]] = ("2.1.330",)
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

    def __init__(self, brief: Brief) -> None:
        super().__init__(brief)
        self.session = brief.session if brief.fork or not brief.resume else brief.resume
        self.model = brief.model
        self._now = _Turn()
        self._counted: Json = {}
        self._asked: dict[str, Json] = {}
        self._requests = 0
        self._greeting = ""

    def launch(self) -> Launch:
        return launch(self.brief)

    # what to write

    def greet(self) -> Iterable[str]:
        line = self._request("initialize")
        self._greeting = self._request_id()
        return [line]

    def prompt(self, turn: str, text: str) -> Iterable[str]:
        self.turn, self._now = turn, _Turn()
        message = {"role": "user", "content": [{"type": "text", "text": text}]}
        return [line_of(type="user", message=message, parent_tool_use_id=None)]

    def steer(self, steer: str, text: str) -> Iterable[str]:
        """The CLI takes it up after the tool call under way, or after the answer that it is giving."""
        wire = str(uuid5(NAMESPACE_OID, f"{self.session}/{self.turn}/{steer}"))
        self._now.steers[wire] = steer
        message = {"role": "user", "content": [{"type": "text", "text": text}]}
        return [line_of(type="user", message=message, parent_tool_use_id=None, uuid=wire)]

    def interrupt(self) -> Iterable[str]:
        if not self.turn:
            return ()
        self._now.interrupted = True
        return self._interrupts() if self._now.picked_up else ()

    def _interrupts(self) -> list[str]:
        """An interrupt leaves the queue alone, so what waits there is taken out first."""
        taken_out = [self._request("cancel_async_message", message_uuid=wire) for wire in self._now.steers]
        return [*taken_out, self._request("interrupt")]

    def answer(self, request: str, decision: Verdict, why: str = "") -> Iterable[str]:
        given = self._asked.pop(request, None)
        if given is None:  # withdrawn
            return ()
        if decision == "allow":
            return [response_of(request, behavior="allow", updatedInput=given)]
        return [response_of(request, behavior="deny", message=why or "not allowed")]

    def _request(self, subtype: str, **fields: str) -> str:
        self._requests += 1
        request = {"subtype": subtype, **fields}
        return line_of(type="control_request", request_id=self._request_id(), request=request)

    def _request_id(self) -> str:
        return f"madrox-{self._requests}"

    # what a line means

    def read(self, line: str) -> Iterable[Item]:
        message = message_of(line)
        try:
            return list(self._items(message))
        except (AttributeError, KeyError, TypeError, ValueError) as exc:
            raise Unreadable(f"{message['type']} in a shape of its own: {exc!r}") from exc

    def _items(self, message: Json) -> Iterator[Item]:
        match message["type"]:
            case "control_response":
                yield from self._responded(message["response"])
            case "control_request":
                yield self._asks(message["request_id"], message["request"])
            case "control_cancel_request":
                if self._asked.pop(message["request_id"], None) is not None:
                    yield Withdraw(request=message["request_id"])
            case "system":
                yield from self._system(message)
            case "rate_limit_event":
                yield self._notice(rate_limit(message["rate_limit_info"]))
            case "stream_event" if self.turn:  # between turns nobody listens
                yield from self._streamed(message["event"], is_inner(message))
            case "assistant":
                yield from self._spoke(self._in_turn(message))
            case "user":
                yield from self._returned(message)
            case "result":
                yield from self._result(self._in_turn(message))

    def _in_turn(self, message: Json) -> Json:
        """Nothing may happen in a turn that is not under way."""
        if not self.turn:
            raise Unreadable(f"{message['type']} between turns")
        return message

    def _responded(self, response: Json) -> Iterator[Item]:
        agent, error = self.brief.agent, response.get("error", "")
        if response["request_id"] != self._greeting:
            if response["subtype"] == "error":
                yield self._notice(f"claude refused: {error}")
        elif response["subtype"] == "error":
            yield AgentStopped(agent=agent, reason=f"refused the handshake: {error}", failed=True)
        else:
            version = (response.get("response") or {}).get("claude_code_version")
            yield AgentReady(agent=agent, session=self.session, model=self.model, version=version)

    def _asks(self, request: str, asked: Json) -> Item:
        if asked["subtype"] != "can_use_tool":
            error = f"{asked['subtype']} is not for us"
            response = {"subtype": "error", "request_id": request, "error": error}
            return Write(line=line_of(type="control_response", response=response))
        if not self.turn:
            return Write(line=response_of(request, behavior="deny", message="no turn is under way"))
        tool, given = asked["tool_name"], asked["input"]
        self._asked[request] = given
        path = given.get(PATHS.get(tool))
        return Ask(
            request=request, tool=tool, input=given, touches=(path,) if path else None, reads=tool == "Read"
        )

    def _system(self, message: Json) -> Iterator[Item]:
        match message.get("subtype"):
            case "init":
                yield from self._picked_up(message)
            case "api_retry":
                yield self._notice(retry(message))

    def _picked_up(self, init: Json) -> Iterator[Item]:
        self.model = init["model"]
        yield from self._in_session(init["session_id"])
        for server in init.get("mcp_servers", ()):
            if server["status"] != "connected":
                yield self._notice(
                    f"MCP server {server['name']} is {server['status']}: its tools are missing"
                )
        if not self.turn or self._now.picked_up:
            return
        self._now.picked_up = True
        if self._now.interrupted:
            yield from (Write(line=line) for line in self._interrupts())

    def _in_session(self, session: str) -> Iterator[Item]:
        before, self.session = self.session, session
        if before not in ("", session):
            yield self._notice(f"claude left session {before} for {session}")

    def _streamed(self, event: Json, inner: bool) -> Iterator[Item]:
        match event:
            case {"type": "message_start", "message": begun}:
                self._now.request = begun["id"]
                self._now.count(begun["id"], begun["usage"])
                self.model = begun["model"]
            case {"type": "message_delta", "usage": usage}:
                self._now.count(self._now.request, usage)
            case {"type": "content_block_delta", "delta": {"type": "text_delta", "text": text}} if not inner:
                yield TextDelta(agent=self.brief.agent, turn=self.turn, text=text)

    def _spoke(self, message: Json) -> Iterator[Item]:
        spoken, inner = message["message"], is_inner(message)
        if spoken["model"] == SYNTHETIC:  # `result` says it again
            return
        self._now.count(spoken["id"], spoken["usage"])
        if not inner:
            self._now.anchor = message["uuid"]
        for block in spoken["content"]:
            if block["type"] == "text" and block["text"] and not inner:
                self._now.said = block["text"]
                yield TurnSaid(agent=self.brief.agent, turn=self.turn, text=block["text"])
            elif block["type"] == "tool_use":
                self._now.called = True
                yield self._called(block)

    def _called(self, block: Json) -> ToolCalled:
        given = json.dumps(block["input"], ensure_ascii=False)
        return ToolCalled(
            agent=self.brief.agent, turn=self.turn, call=block["id"], tool=block["name"], input=given
        )

    def _returned(self, message: Json) -> Iterator[Item]:
        if message.get("isReplay") and (steer := self._now.steers.pop(message.get("uuid", ""), None)):
            yield Steered(steer=steer, joined=True)
            return
        content = message["message"]["content"]
        for block in content if isinstance(content, list) else ():
            if block["type"] == "tool_result":
                self._in_turn(message)
                yield ToolReturned(
                    agent=self.brief.agent,
                    turn=self.turn,
                    call=block["tool_use_id"],
                    ok=not block.get("is_error"),
                    output=shown(text_of(block.get("content") or "")),
                )

    def _result(self, result: Json) -> Iterator[Item]:
        yield from self._in_session(result["session_id"])
        yield from self._used(result.get("modelUsage") or {})
        outcome, text, error = self._verdict(result)
        now = self._now
        if now.steers and not now.interrupted:  # what waits runs at once, and belongs to this turn
            now.answers.append(text)
            if error:
                yield self._notice(f"before the message that joined: {error}")
            return
        yield from (Steered(steer=steer, joined=False) for steer in now.steers.values())
        text = "\n\n".join(answer for answer in (*now.answers, text) if answer)
        turn, self.turn = self.turn, ""
        yield TurnEnded(
            agent=self.brief.agent,
            turn=turn,
            outcome=outcome,
            text=text,
            error=error,
            session=self.session,
            anchor=now.anchor,
        )

    def _verdict(self, result: Json) -> tuple[Outcome, str, str]:
        """Outcome, text and error of the turn.

        An interrupt ends it like a mishap of the CLI's own, hence the flag; an error of
        the API is a "success" that says it is an error.
        """
        now, text = self._now, result.get("result") or ""
        if result["is_error"]:
            if now.interrupted and result["subtype"] == "error_during_execution":
                return "interrupted", now.said, ""
            return "failed", "", error_of(result)
        if not text and not now.called and result["num_turns"]:  # a slash command takes none
            return "failed", "", "the model gave an empty answer"
        return "ok", text, ""

    def _used(self, counted: Json) -> Iterator[UsageReported]:
        """What the turn used: one report per model, and one for what the CLI left out.

        Its figures are cumulative for the life of the process, or since /clear.
        """
        before, self._counted = self._counted, counted
        spent: Counter[str] = Counter()
        reports = []
        for model, total in counted.items():
            known = before.get(model, {})
            used = tokens(total) - tokens(known)
            cost = total["costUSD"] - known.get("costUSD", 0.0)
            if used or cost:
                spent += used
                reports.append(self._report(used, model, cost, "cli"))
        missing = self._now.total - spent
        # it guesses the length of a cut answer; a request left out is missed by its input
        if missing.total() > missing["output_tokens"]:
            reports.append(self._report(missing, self.model))
        yield from reports or [self._report(Counter(), self.model, 0.0, "cli")]

    def _report(
        self, used: Counter[str], model: str | None, cost: float = NAN, source: str = "unknown"
    ) -> UsageReported:
        return UsageReported(
            agent=self.brief.agent, turn=self.turn, model=model, cost_usd=cost, cost_source=source, **used
        )

    def lost(self) -> Iterable[Event]:
        used = self._now.total
        return [self._report(used, self.model)] if self.turn and used else ()

    def _notice(self, text: str) -> Notice:
        return Notice(agent=self.brief.agent, text=text)
