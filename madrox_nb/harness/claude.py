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
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, ClassVar
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
    McpServer,
    Steered,
    Unreadable,
    Withdraw,
    Write,
    claude_shape,
)

Json = Mapping[str, Any]

MCP_FILE = "mcp.json"
INSTRUCTIONS_FILE = "instructions.md"
SERVER = "madrox"
"""Our name as an MCP server; its tools are called `mcp__madrox__…`."""

A_DAY = 24 * 60 * 60 * 1000
"""In milliseconds: how long one of our tools may take, waiting for other agents."""

UNWANTED = (
    # they ask the person at a terminal, and there is none
    "AskUserQuestion",
    "EnterPlanMode",
    "ExitPlanMode",
    # they leave the workspace
    "EnterWorktree",
    "ExitWorktree",
    # they talk to other agents past the ledger
    "ListAgents",
    "SendMessage",
    # they start turns that nobody sent
    "CronCreate",
    "Monitor",
    "ScheduleWakeup",
)
ASKED = ("Bash", "Task", "Agent", "Skill", "WebFetch", "WebSearch")
"""Tools about which it must ask. By itself it lets pass what it takes for harmless: `ps`, `git status`
(which runs what `.git/config` names), agents of its own that nobody sees."""

NO_ATTACHMENTS = {"CLAUDE_CODE_DISABLE_ATTACHMENTS": "1"}
"""A prompt that says `@/path` would otherwise be given that file, wherever it is, unasked."""

PATHS = {"Read": "file_path", "Write": "file_path", "Edit": "file_path", "NotebookEdit": "notebook_path"}
"""The tools that touch one file and nothing else, and where they name it."""

LOG_IN = "run `claude` there once and log in, or set ANTHROPIC_API_KEY, or use --harness rehearsal"

OUTPUT_SHOWN = 20_000
SYNTHETIC = "<synthetic>"
"""The model it names when it speaks itself: an API error, the output of a slash command."""

FIGURES = {
    "input_tokens": ("input_tokens", "inputTokens"),
    "output_tokens": ("output_tokens", "outputTokens"),
    "cache_read_tokens": ("cache_read_input_tokens", "cacheReadInputTokens"),
    "cache_write_tokens": ("cache_creation_input_tokens", "cacheCreationInputTokens"),
}
"""Our name of a figure → the API's in a message, the CLI's in `modelUsage`."""


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
        self.used[message] = self.used.get(message, Counter()) | _tokens(usage)

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

    # what to run

    def launch(self) -> Launch:
        return Launch(
            argv=tuple(self._argv()), env=self._env(), files=dict(self._files()), copies=dict(self._copies())
        )

    def _argv(self) -> Iterator[str]:
        brief = self.brief
        yield from brief.command
        yield from ("-p", "--verbose", "--input-format=stream-json", "--output-format=stream-json")
        yield from ("--include-partial-messages", "--replay-user-messages", "--permission-prompt-tool=stdio")
        yield from ("--setting-sources", "", "--strict-mcp-config")
        if brief.permissions != "all":
            yield f"--settings={json.dumps({'permissions': {'ask': list(ASKED)}})}"
        if brief.mcp_url or brief.mcp_servers:
            yield f"--mcp-config={brief.files}/{MCP_FILE}"
        if brief.mcp_url:
            yield f"--allowedTools=mcp__{SERVER}"
        yield f"--disallowedTools={','.join(UNWANTED)}"
        if brief.aside:
            yield from ("--tools", "")
        if brief.instructions:
            yield f"--append-system-prompt-file={brief.files}/{INSTRUCTIONS_FILE}"
        if brief.resume:
            yield f"--resume={brief.resume}"
            if brief.fork:
                yield "--fork-session"
        if brief.session and (brief.fork or not brief.resume):
            yield f"--session-id={brief.session}"
        if brief.model:
            yield f"--model={brief.model}"
        yield from brief.extra_args

    def _env(self) -> dict[str, str]:
        return {
            **({} if self.brief.permissions == "all" else NO_ATTACHMENTS),
            # else a tool of ours that waits five minutes for another agent is given up
            "CLAUDE_CODE_MCP_TOOL_IDLE_TIMEOUT": "0",
            # a busy kernel may be slow to answer; without us the first turn has no tools
            "MCP_CONNECT_TIMEOUT_MS": "30000",
            # their end would start turns that nobody sent
            "CLAUDE_CODE_DISABLE_BACKGROUND_TASKS": "1",
        }

    def _copies(self) -> Iterator[tuple[str, str]]:
        """Sessions are kept for each working directory, so a fork in another one needs a copy."""
        brief = self.brief
        if brief.fork:
            home = brief.environ.get("CLAUDE_CONFIG_DIR") or f"{brief.environ.get('HOME', '')}/.claude"
            original, own = (
                f"{home}/projects/{_folder(place)}/{brief.resume}.jsonl"
                for place in (brief.fork_of, brief.workspace)
            )
            yield own, original

    def _files(self) -> Iterator[tuple[str, str]]:
        brief = self.brief
        if brief.instructions:
            yield INSTRUCTIONS_FILE, brief.instructions
        if servers := dict(self._servers()):
            yield MCP_FILE, json.dumps({"mcpServers": servers})

    def _servers(self) -> Iterator[tuple[str, Json]]:
        brief = self.brief
        for name, shape in claude_shape(brief.mcp_servers).items():
            yield name, {**shape, "alwaysLoad": True}  # else the first turn may run without them
        if brief.mcp_url:
            ours = McpServer(
                transport="http",
                url=brief.mcp_url,
                headers={"Authorization": f"Bearer {brief.mcp_token}"},
            )
            yield SERVER, {**claude_shape({SERVER: ours})[SERVER], "alwaysLoad": True, "timeout": A_DAY}

    # what to write

    def greet(self) -> Iterable[str]:
        line = self._request("initialize")
        self._greeting = self._request_id()
        return [line]

    def prompt(self, turn: str, text: str) -> Iterable[str]:
        self.turn, self._now = turn, _Turn()
        message = {"role": "user", "content": [{"type": "text", "text": text}]}
        return [_line(type="user", message=message, parent_tool_use_id=None)]

    def steer(self, steer: str, text: str) -> Iterable[str]:
        """The CLI takes it up after the tool call under way, or after the answer that it is giving."""
        wire = str(uuid5(NAMESPACE_OID, f"{self.session}/{self.turn}/{steer}"))
        self._now.steers[wire] = steer
        message = {"role": "user", "content": [{"type": "text", "text": text}]}
        return [_line(type="user", message=message, parent_tool_use_id=None, uuid=wire)]

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
            return [_response(request, behavior="allow", updatedInput=given)]
        return [_response(request, behavior="deny", message=why or "not allowed")]

    def _request(self, subtype: str, **fields: str) -> str:
        self._requests += 1
        request = {"subtype": subtype, **fields}
        return _line(type="control_request", request_id=self._request_id(), request=request)

    def _request_id(self) -> str:
        return f"madrox-{self._requests}"

    # what a line means

    def read(self, line: str) -> Iterable[Item]:
        message = _message(line)
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
                yield self._notice(_rate_limit(message["rate_limit_info"]))
            case "stream_event" if self.turn:  # between turns nobody listens
                yield from self._streamed(message["event"], _inner(message))
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
            return Write(line=_line(type="control_response", response=response))
        if not self.turn:
            return Write(line=_response(request, behavior="deny", message="no turn is under way"))
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
                yield self._notice(_retry(message))

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
        spoken, inner = message["message"], _inner(message)
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
                    output=_shown(_text(block.get("content") or "")),
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
            return "failed", "", _error(result)
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
            used = _tokens(total) - _tokens(known)
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


def _folder(workspace: str) -> str:
    """What it calls the folder that holds a directory's sessions."""
    return re.sub(r"[^A-Za-z0-9]", "-", workspace)


def _line(**message: object) -> str:
    # ASCII: half a surrogate pair in a prompt must not keep the line from being written.
    return json.dumps(message) + "\n"


def _response(request: str, **response: object) -> str:
    envelope = {"subtype": "success", "request_id": request, "response": response}
    return _line(type="control_response", response=envelope)


def _message(line: str) -> Json:
    try:
        message = json.loads(line)
    except (ValueError, RecursionError) as exc:
        raise Unreadable(f"not JSON: {exc}") from exc
    if not isinstance(message, dict) or not isinstance(message.get("type"), str):
        raise Unreadable("not an object with a type")
    if "\\ud" in line:  # half a surrogate pair, cut by a program that counts in UTF-16
        whole: Json = json.loads(json.dumps(message, ensure_ascii=False).encode(errors="replace"))
        return whole
    return message


def _inner(message: Json) -> bool:
    """Whether it comes from a sub-agent of its own."""
    return message.get("parent_tool_use_id") is not None


def _tokens(usage: Json) -> Counter[str]:
    return Counter({ours: usage.get(api) or usage.get(cli) or 0 for ours, (api, cli) in FIGURES.items()})


def _text(content: str | Iterable[Json]) -> str:
    """The text of a tool result; of other blocks, their type."""
    if isinstance(content, str):
        return content
    return "\n".join(block["text"] if block["type"] == "text" else f"[{block['type']}]" for block in content)


def _shown(text: str) -> str:
    left = len(text) - OUTPUT_SHOWN
    return text if left <= 0 else f"{text[:OUTPUT_SHOWN]}\n… {left} more characters"


def _error(result: Json) -> str:
    said = result.get("result") or "; ".join(result.get("errors") or ()) or result["subtype"]
    if "/login" in said:
        said += f". That is said to a person at a terminal: {LOG_IN}"
    status = result.get("api_error_status")
    return said if status is None or str(status) in said else f"{said} (HTTP {status})"


def _retry(message: Json) -> str:
    status = message.get("error_status")
    said = f"the API answered {status} ({message['error']})" if status else "the API gave no whole answer"
    wait = message["retry_delay_ms"] / 1000
    return f"{said}; trying again in {wait:.1f} s ({message['attempt']} of {message['max_retries']})"


def _rate_limit(info: Json) -> str:
    said = f"rate limit {info.get('rateLimitType', '')}".rstrip() + f": {info['status']}"
    if (resets := info.get("resetsAt")) is None:
        return said
    return f"{said}, resets {datetime.fromtimestamp(resets, UTC):%Y-%m-%d %H:%M} UTC"
