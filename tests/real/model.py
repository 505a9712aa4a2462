"""A stand-in for a model's API on loopback. The prompt says what it answers.

The lines of the last prompt are looked through for the first of these words:

    SLOW 50 0.1          speak 50 words, one every 0.1 seconds
    CALL tool {"a": 1}   call a tool; with several such lines, one after the other, each
                         when the result of the one before has come; then say the last result
    ERR 429 2            refuse with that HTTP status, twice (for ever without a number)
    EMPTY                answer without a word
    DROP                 hang up in the middle of the answer
    LEAD mcp__madrox__   carry out the plan of a team that stands in the prompt, by the tools of
                         that prefix (`leading`)

and anything else is echoed, with the earlier prompts of the conversation, which shows what
the program still remembers. Usage figures differ from request to request, so a sum that
counts one twice or leaves one out comes out wrong.

One class per API: it reads a conversation out of a request and writes an answer. Another one
is a subclass of `Api` and a line in `APIS`.
"""

from __future__ import annotations

import json
import re
import threading
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from leading import next_step

Body = dict[str, Any]


@dataclass(frozen=True)
class Conversation:
    """What the model sees of it: prompts, and the tool results since the last of them."""

    prompts: tuple[str, ...]
    results: tuple[Any, ...]
    """As sent: a text, or a list of content blocks."""


@dataclass(frozen=True)
class Usage:
    """Of the nth request. No two requests have a figure in common."""

    n: int

    @property
    def input(self) -> int:
        return 10 + self.n

    @property
    def cache_write(self) -> int:
        return 1000 + 7 * self.n

    @property
    def cache_read(self) -> int:
        return 60_000 + 11 * self.n

    @property
    def output(self) -> int:
        return 200 + 13 * self.n


@dataclass
class Request:
    """One request as it came, and what came of it."""

    path: str
    headers: dict[str, str]
    body: Body
    conversation: Conversation
    usage: Usage
    answer: Answer
    finished: threading.Event = field(default_factory=threading.Event)
    """The answer went out whole, or the program hung up."""
    cut: bool = False
    """The program hung up before the end."""

    @property
    def prompt(self) -> str:
        return self.conversation.prompts[-1] if self.conversation.prompts else ""

    @property
    def results(self) -> tuple[Any, ...]:
        return self.conversation.results


@dataclass(frozen=True)
class Say:
    pieces: tuple[str, ...]
    delay: float = 0.0
    drop: bool = False
    """Hang up after the first piece."""


@dataclass(frozen=True)
class Call:
    tool: str
    input: Body
    id: str


@dataclass(frozen=True)
class Refuse:
    status: int


Answer = Say | Call | Refuse

NOBODYS = "no-such-model"
"""The one model that the stub does not have."""

DIRECTIVE = re.compile(r"^(SLOW|CALL|ERR|EMPTY|DROP|LEAD)\b *(.*)$", re.MULTILINE)


def script(conversation: Conversation, refused: Counter[str], n: int) -> Answer:
    """What the conversation's last prompt asks for. `refused` counts the refusals given so far."""
    prompt = conversation.prompts[-1] if conversation.prompts else ""
    words = DIRECTIVE.findall(prompt)
    match words[0] if words else ("", ""):
        case "SLOW", rest:
            count, delay = rest.split()
            return Say(tuple(f"word{i} " for i in range(int(count))), float(delay))
        case "CALL", _:
            calls = [rest for word, rest in words if word == "CALL"]
            done = len(conversation.results)
            if done < len(calls):
                tool, _, arguments = calls[done].partition(" ")
                return Call(tool, json.loads(arguments or "{}"), f"toolu_{n:04}")
            return Say(("result: ", text_of(conversation.results[-1])))
        case "LEAD", prefix:
            step = next_step(prompt, tuple(map(text_of, conversation.results)))
            if isinstance(step, str):
                return Say((step,))
            return Call(f"{prefix}{step[0]}", step[1], f"toolu_{n:04}")
        case "ERR", rest:
            status, _, times = rest.partition(" ")
            if not times or refused[prompt] < int(times):
                refused[prompt] += 1
                return Refuse(int(status))
        case "EMPTY", _:
            return Say(())
        case "DROP", _:
            return Say(("half an ",), drop=True)
    seen = json.dumps([text[:200] for text in conversation.prompts[:-1]])
    return Say((f"echo: {prompt[:200]}", f" | seen={seen}"))


def text_of(content: Any) -> str:
    """The text of a tool result, its other blocks named by their type."""
    if isinstance(content, str):
        return content
    return "".join(block.get("text", f"<{block.get('type')}>") for block in content)


def said(status: int) -> str:
    """The words of a refusal."""
    return f"the stub says {status}" + (f": there is no model {NOBODYS}" if status == 404 else "")


class Api(ABC):
    """How one vendor's requests are read and its answers written."""

    @abstractmethod
    def conversation(self, body: Body) -> Conversation:
        """What the request says."""

    def streams(self, path: str, body: Body) -> bool:
        """Whether the request wants its answer in pieces."""
        return bool(body.get("stream"))

    @abstractmethod
    def refusal(self, status: int) -> Body:
        """The body of an error."""

    @abstractmethod
    def whole(self, body: Body, answer: Say | Call, usage: Usage) -> Body:
        """The answer in one piece, for a request that wants no stream."""

    @abstractmethod
    def stream(self, body: Body, answer: Say | Call, usage: Usage, emit: Emit) -> None:
        """Send the answer, event by event."""


class Emit:
    """Sends server-sent events; `pause` waits between them, shorter when the stub closes."""

    def __init__(self, handler: BaseHTTPRequestHandler, closing: threading.Event) -> None:
        self.handler, self.pause = handler, closing.wait

    def __call__(self, event: Body) -> None:
        self._send(f"event: {event['type']}\ndata: {json.dumps(event)}\n\n")

    def data(self, event: Body) -> None:
        """Send one of an API that gives its events no names."""
        self._send(f"data: {json.dumps(event)}\n\n")

    def done(self) -> None:
        """Send what ends a stream of OpenAI's."""
        self._send("data: [DONE]\n\n")

    def _send(self, text: str) -> None:
        self.handler.wfile.write(text.encode())
        self.handler.wfile.flush()


REMINDER = re.compile(r"<system-reminder>.*?</system-reminder>", re.DOTALL)
ITS_OWN = ("[Request interrupted by user", "[Your previous response had no visible output")
"""What the program says in the person's place; no prompts, so they script nothing."""


class Anthropic(Api):
    """POST /v1/messages, streaming."""

    def conversation(self, body: Body) -> Conversation:
        prompts: list[str] = []
        results: list[Any] = []
        for message in body.get("messages", []):
            if message["role"] != "user":
                continue
            for block in self._blocks(message["content"]):
                if block["type"] == "tool_result":
                    results.append(block.get("content") or "")
                elif block["type"] == "text":
                    text = REMINDER.sub("", block["text"]).strip()
                    if text and not text.startswith(ITS_OWN):
                        prompts.append(text)
                        results.clear()
        return Conversation(tuple(prompts), tuple(results))

    def _blocks(self, content: str | list[Body]) -> list[Body]:
        return [{"type": "text", "text": content}] if isinstance(content, str) else content

    def refusal(self, status: int) -> Body:
        kinds = {400: "invalid_request_error", 429: "rate_limit_error", 529: "overloaded_error"}
        return {
            "type": "error",
            "error": {"type": kinds.get(status, "api_error"), "message": said(status)},
        }

    def whole(self, body: Body, answer: Say | Call, usage: Usage) -> Body:
        calls = isinstance(answer, Call)
        return {
            **self._message(body, usage, usage.output),
            "content": self._content(answer),
            "stop_reason": "tool_use" if calls else "end_turn",
        }

    def stream(self, body: Body, answer: Say | Call, usage: Usage, emit: Emit) -> None:
        emit({"type": "message_start", "message": self._message(body, usage, output=1)})
        for block in self._content(answer):
            empty: Body = {"text": ""} if block["type"] == "text" else {"input": {}}
            emit({"type": "content_block_start", "index": 0, "content_block": {**block, **empty}})
            self._block(answer, emit)
            emit({"type": "content_block_stop", "index": 0})
        stop = {"stop_reason": "tool_use" if isinstance(answer, Call) else "end_turn", "stop_sequence": None}
        emit({"type": "message_delta", "delta": stop, "usage": self._usage(usage, usage.output)})
        emit({"type": "message_stop"})

    def _message(self, body: Body, usage: Usage, output: int) -> Body:
        return {
            "id": f"msg_{usage.n:04}",
            "type": "message",
            "role": "assistant",
            "model": body.get("model"),
            "content": [],
            "stop_reason": None,
            "stop_sequence": None,
            "usage": self._usage(usage, output),
        }

    def _usage(self, usage: Usage, output: int) -> Body:
        return {
            "input_tokens": usage.input,
            "cache_creation_input_tokens": usage.cache_write,
            "cache_read_input_tokens": usage.cache_read,
            "output_tokens": output,
        }

    def _content(self, answer: Say | Call) -> list[Body]:
        if isinstance(answer, Call):
            return [{"type": "tool_use", "id": answer.id, "name": answer.tool, "input": answer.input}]
        return [{"type": "text", "text": "".join(answer.pieces)}] if answer.pieces else []

    def _block(self, answer: Say | Call, emit: Emit) -> None:
        if isinstance(answer, Call):
            delta = {"type": "input_json_delta", "partial_json": json.dumps(answer.input)}
            emit({"type": "content_block_delta", "index": 0, "delta": delta})
            return
        for piece in answer.pieces:
            emit({"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": piece}})
            if answer.drop:
                raise ConnectionAbortedError("the prompt says DROP")
            if answer.delay and emit.pause(answer.delay):
                raise ConnectionAbortedError("the stub closes")


class Responses(Api):
    """OpenAI's POST /v1/responses, streaming. The last event carries the usage; without it the answer is cut.

    `CALL mcp__server__tool` calls a function in a namespace; with a lone `{"input": …}` a tool
    that takes a text.
    """

    ITS_OWN = ("<environment_context", "<turn_aborted", "<user_instructions", "# AGENTS.md", "<permissions")
    """What the program says in the person's place."""

    def conversation(self, body: Body) -> Conversation:
        prompts: list[str] = []
        results: list[Any] = []
        for item in body.get("input", []):
            if item.get("type", "message").endswith("_output"):
                results.append(item["output"])
            elif item.get("role") == "user":
                said = [block.get("text", "") for block in item["content"]]
                texts = [text for text in said if text and not text.startswith(self.ITS_OWN)]
                if texts:
                    prompts += texts
                    results.clear()
        return Conversation(tuple(prompts), tuple(results))

    def refusal(self, status: int) -> Body:
        return {"error": {"message": said(status), "type": "stub_error", "code": None}}

    def whole(self, body: Body, answer: Say | Call, usage: Usage) -> Body:
        return self._response(body, usage, "completed", self._output(answer, usage))

    def stream(self, body: Body, answer: Say | Call, usage: Usage, emit: Emit) -> None:
        emit({"type": "response.created", "response": self._response(body, usage, "in_progress", [])})
        output = self._output(answer, usage)
        for item in output:
            begun = {**item, "status": "in_progress", **({"content": []} if "content" in item else {})}
            emit({"type": "response.output_item.added", "output_index": 0, "item": begun})
            self._pieces(item["id"], answer, emit)
            emit({"type": "response.output_item.done", "output_index": 0, "item": item})
        emit({"type": "response.completed", "response": self._response(body, usage, "completed", output)})

    def _response(self, body: Body, usage: Usage, status: str, output: list[Body]) -> Body:
        base = {"id": f"resp_{usage.n:04}", "object": "response", "created_at": 0, "status": status}
        read = usage.input + usage.cache_read + usage.cache_write
        counted = {
            "input_tokens": read,
            "input_tokens_details": {
                "cached_tokens": usage.cache_read,
                "cache_write_tokens": usage.cache_write,
            },
            "output_tokens": usage.output,
            "output_tokens_details": {"reasoning_tokens": usage.n},
            "total_tokens": read + usage.output,
        }
        more = {"usage": counted} if status == "completed" else {}
        return {**base, "model": body.get("model"), "output": output, **more}

    def _output(self, answer: Say | Call, usage: Usage) -> list[Body]:
        if isinstance(answer, Call):
            return [self._call(answer)]
        if not answer.pieces:
            return []
        part = {"type": "output_text", "text": "".join(answer.pieces), "annotations": []}
        message = {"type": "message", "id": f"msg_{usage.n:04}", "role": "assistant"}
        return [{**message, "status": "completed", "content": [part]}]

    def _call(self, call: Call) -> Body:
        item = {"id": f"fc_{call.id}", "call_id": call.id, "status": "completed"}
        if call.input.keys() == {"input"}:
            return {**item, "type": "custom_tool_call", "name": call.tool, "input": call.input["input"]}
        namespace, _, name = call.tool.rpartition("__")
        where = {"namespace": namespace} if namespace else {}
        arguments = json.dumps(call.input)
        return {**item, "type": "function_call", "name": name, "arguments": arguments, **where}

    def _pieces(self, item: str, answer: Say | Call, emit: Emit) -> None:
        if isinstance(answer, Call):
            return
        for piece in answer.pieces:
            delta = {"item_id": item, "output_index": 0, "content_index": 0, "delta": piece}
            emit({"type": "response.output_text.delta", **delta})
            if answer.drop:
                raise ConnectionAbortedError("the prompt says DROP")
            if answer.delay and emit.pause(answer.delay):
                raise ConnectionAbortedError("the stub closes")


class Chat(Api):
    """POST /v1/chat/completions of OpenAI's older API, which most providers speak."""

    def conversation(self, body: Body) -> Conversation:
        prompts: list[str] = []
        results: list[Any] = []
        for message in body.get("messages", []):
            if message["role"] == "tool":
                results.append(text_of(message["content"]))
            elif message["role"] == "user":
                content = message["content"]
                blocks = [{"text": content}] if isinstance(content, str) else content
                if texts := [block["text"] for block in blocks if block.get("text", "").strip()]:
                    prompts.append(texts[-1])
                    results.clear()
        return Conversation(tuple(prompts), tuple(results))

    def refusal(self, status: int) -> Body:
        return {"error": {"message": said(status), "type": "stub_error", "code": None}}

    def whole(self, body: Body, answer: Say | Call, usage: Usage) -> Body:
        calls = isinstance(answer, Call)
        message = {
            "role": "assistant",
            **(self._call(answer) if calls else {"content": "".join(answer.pieces)}),
        }
        choice = {"index": 0, "message": message, "finish_reason": "tool_calls" if calls else "stop"}
        return {
            **self._head(body, usage, "chat.completion"),
            "choices": [choice],
            "usage": self._usage(usage),
        }

    def stream(self, body: Body, answer: Say | Call, usage: Usage, emit: Emit) -> None:
        head = self._head(body, usage, "chat.completion.chunk")

        def piece(delta: Body, end: str | None = None) -> None:
            emit.data({**head, "choices": [{"index": 0, "delta": delta, "finish_reason": end}]})

        piece({"role": "assistant", "content": ""})
        if isinstance(answer, Call):
            piece(self._call(answer))
        else:
            speak(answer, emit, lambda text: piece({"content": text}))
        piece({}, self._end(answer))
        emit.data({**head, "choices": [], "usage": self._usage(usage)})
        emit.done()

    def _head(self, body: Body, usage: Usage, kind: str) -> Body:
        return {"id": f"chat-{usage.n:04}", "object": kind, "created": 0, "model": body.get("model")}

    def _end(self, answer: Say | Call) -> str:
        return "tool_calls" if isinstance(answer, Call) else "stop"

    def _call(self, call: Call) -> Body:
        function = {"name": call.tool, "arguments": json.dumps(call.input)}
        return {"tool_calls": [{"index": 0, "id": call.id, "type": "function", "function": function}]}

    def _usage(self, usage: Usage) -> Body:
        """Theirs counts what was cached as input too."""
        given = usage.input + usage.cache_read
        return {
            "prompt_tokens": given,
            "completion_tokens": usage.output,
            "total_tokens": given + usage.output,
            "prompt_tokens_details": {"cached_tokens": usage.cache_read},
        }


class Gemini(Api):
    """POST …:generateContent and …:streamGenerateContent."""

    def conversation(self, body: Body) -> Conversation:
        prompts: list[str] = []
        results: list[Any] = []
        for content in body.get("contents", []):
            if content.get("role") != "user":
                continue
            for part in content["parts"]:
                if "functionResponse" in part:
                    response = part["functionResponse"]["response"]
                    results.append(response.get("output") or json.dumps(response))
            texts = [part["text"] for part in content["parts"] if part.get("text", "").strip()]
            if texts and not texts[-1].startswith("<session_context>"):
                prompts.append(texts[-1])
                results.clear()
        return Conversation(tuple(prompts), tuple(results))

    def streams(self, path: str, body: Body) -> bool:
        return path.endswith(":streamGenerateContent")

    def refusal(self, status: int) -> Body:
        return {"error": {"code": status, "message": said(status), "status": "STUB"}}

    def whole(self, body: Body, answer: Say | Call, usage: Usage) -> Body:
        text = "" if isinstance(answer, Call) else "".join(answer.pieces)
        return self._piece(self._call(answer) if isinstance(answer, Call) else {"text": text}, usage, "STOP")

    def stream(self, body: Body, answer: Say | Call, usage: Usage, emit: Emit) -> None:
        if isinstance(answer, Call):
            emit.data(self._piece(self._call(answer), usage, "STOP"))
            return
        speak(answer, emit, lambda text: emit.data(self._piece({"text": text}, usage)))
        emit.data(self._piece({"text": ""}, usage, "STOP"))

    def _call(self, call: Call) -> Body:
        return {"functionCall": {"name": call.tool, "args": call.input}}

    def _piece(self, part: Body, usage: Usage, end: str = "") -> Body:
        """Theirs counts what was cached as input too."""
        given = usage.input + usage.cache_read
        counts = {
            "promptTokenCount": given,
            "cachedContentTokenCount": usage.cache_read,
            "candidatesTokenCount": usage.output,
            "totalTokenCount": given + usage.output,
        }
        candidate = {"index": 0, "content": {"role": "model", "parts": [part]}}
        if end:
            candidate["finishReason"] = end
        return {"candidates": [candidate], "usageMetadata": counts, "modelVersion": "stub"}


def speak(answer: Say, emit: Emit, piece: Callable[[str], None]) -> None:
    """Send the pieces of an answer, with its pauses and its accidents."""
    for text in answer.pieces:
        piece(text)
        if answer.drop:
            raise ConnectionAbortedError("the prompt says DROP")
        if answer.delay and emit.pause(answer.delay):
            raise ConnectionAbortedError("the stub closes")


APIS: dict[str, Api] = {
    "/v1/messages": Anthropic(),
    "/v1/responses": Responses(),
    "/v1/chat/completions": Chat(),
    ":generateContent": Gemini(),
    ":streamGenerateContent": Gemini(),
}


def api_of(path: str) -> Api | None:
    """By the whole path, or by the verb behind it: `/v1beta/models/some:generateContent`."""
    return APIS.get(path) or APIS.get(f":{path.rpartition(':')[2]}")


class Model:
    """The stub, listening on a free port of loopback between `with` and its end."""

    def __init__(self) -> None:
        self.requests: list[Request] = []
        self.refused: Counter[str] = Counter()
        self.closing = threading.Event()
        self._lock = threading.Lock()
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())

    def __enter__(self) -> Model:
        threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self.closing.set()
        self._server.shutdown()
        self._server.server_close()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_port}"

    def take(self, api: Api, path: str, headers: dict[str, str], body: Body) -> Request:
        """Note a request and decide its answer."""
        with self._lock:
            n = len(self.requests) + 1
            conversation = api.conversation(body)
            unknown = NOBODYS in (body.get("model"), *re.split(r"[/:]", path))
            answer = Refuse(404) if unknown else script(conversation, self.refused, n)
            request = Request(path, headers, body, conversation, Usage(n), answer)
            self.requests.append(request)
            return request

    def _handler(model) -> type[BaseHTTPRequestHandler]:  # noqa: N805 — `self` is the handler below
        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_HEAD(self) -> None:
                self._reply(200, {})

            def do_GET(self) -> None:
                self._reply(200, {})

            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers.get("Content-Length", 0))) or b"{}")
                path = self.path.partition("?")[0]
                if (api := api_of(path)) is None:
                    self._reply(404, {})
                    return
                headers = {name.lower(): value for name, value in self.headers.items()}
                request = model.take(api, path, headers, body)
                try:
                    self._answer(api, request)
                except ConnectionError:
                    request.cut = self.close_connection = True
                finally:
                    request.finished.set()

            def _answer(self, api: Api, request: Request) -> None:
                answer = request.answer
                if isinstance(answer, Refuse):
                    self._reply(answer.status, api.refusal(answer.status))
                    return
                self.close_connection = True
                if not api.streams(request.path, request.body):
                    if isinstance(answer, Say) and answer.drop:
                        raise ConnectionAbortedError("the prompt says DROP")
                    self._reply(200, api.whole(request.body, answer, request.usage))
                    return
                self.send_response(200)
                self.send_header("Content-Type", "text/event-stream")
                self.send_header("Connection", "close")
                self.end_headers()
                api.stream(request.body, answer, request.usage, Emit(self, model.closing))

            def _reply(self, status: int, body: Body) -> None:
                data = json.dumps(body).encode()
                self.send_response(status)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(data)))
                self.end_headers()
                if self.command != "HEAD":
                    self.wfile.write(data)

            def log_message(self, *_: object) -> None:
                pass

        return Handler
