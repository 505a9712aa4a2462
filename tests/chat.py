"""A stand-in for a chat model behind OpenAI's API on loopback, for programs that speak to such.

It echoes the last prompt and lists those before it, which shows what the program still
remembers. A prompt that begins with `SLOW` is answered a word at a time until the program
hangs up, one that begins with `FENCE` with a fenced block, one with `ERR` with a refusal.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

FENCE = "Here it is:\n\n```python\nprint('> ')\n\n> quoted\n```\n\nDone."


def pieces(prompts: list[str], closing: threading.Event) -> Iterator[str]:
    last = prompts[-1]
    if last.startswith("SLOW"):
        while not closing.wait(0.02):
            yield "word "
    elif last.startswith("FENCE"):
        yield from FENCE.splitlines(keepends=True)
    else:
        yield f"echo: {last}"
        yield f" | seen={json.dumps(prompts[:-1])}"


class Chat:
    """The stub, between `with` and its end. `requests` are the bodies as they came."""

    def __init__(self) -> None:
        self.requests: list[dict[str, Any]] = []
        self.closing = threading.Event()
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self._server.daemon_threads = True

    def __enter__(self) -> Chat:
        threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self.closing.set()
        self._server.shutdown()
        self._server.server_close()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_port}/v1"

    def _handler(stub) -> type[BaseHTTPRequestHandler]:  # noqa: N805 — `self` is the handler below
        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                stub.requests.append(body)
                if self.path.endswith("/responses"):
                    self._begin(200, "text/event-stream")
                    self._respond(pieces(asked(body["input"]), stub.closing))
                    return
                prompts = [text(m["content"]) for m in body["messages"] if m["role"] == "user"]
                if prompts[-1].startswith("ERR"):
                    self._begin(400, "application/json")
                    self.wfile.write(b'{"error": {"message": "the stub refuses", "type": "invalid"}}')
                elif body.get("stream"):
                    self._begin(200, "text/event-stream")
                    self._stream(pieces(prompts, stub.closing))
                else:
                    self._begin(200, "application/json")
                    said = {"role": "assistant", "content": "".join(pieces(prompts, stub.closing))}
                    self.wfile.write(json.dumps(chunk("message", said, "stop")).encode())

            def _stream(self, said: Iterator[str]) -> None:
                try:
                    for piece in said:
                        self._emit(chunk("delta", {"role": "assistant", "content": piece}, None))
                    self._emit(chunk("delta", {}, "stop"))
                    self.wfile.write(b"data: [DONE]\n\n")
                except ConnectionError:  # the program hung up
                    pass

            def _respond(self, said: Iterator[str]) -> None:
                """OpenAI's newer API: what Codex speaks."""
                try:
                    self._emit({"type": "response.created", "response": {"id": "r1"}})
                    item = {"type": "message", "role": "assistant", "id": "m1", "content": []}
                    self._emit({"type": "response.output_item.added", "output_index": 0, "item": item})
                    whole = ""
                    for piece in said:
                        whole += piece
                        self._emit({"type": "response.output_text.delta", "item_id": "m1", "delta": piece})
                    item = {**item, "content": [{"type": "output_text", "text": whole}]}
                    self._emit({"type": "response.output_item.done", "output_index": 0, "item": item})
                    usage = {"input_tokens": 1, "output_tokens": 1, "total_tokens": 2}
                    self._emit({"type": "response.completed", "response": {"id": "r1", "usage": usage}})
                except ConnectionError:  # the program hung up
                    pass

            def _emit(self, event: object) -> None:
                self.wfile.write(f"data: {json.dumps(event)}\n\n".encode())
                self.wfile.flush()

            def _begin(self, status: int, kind: str) -> None:
                self.send_response(status)
                self.send_header("Content-Type", kind)
                self.send_header("Connection", "close")
                self.end_headers()

            def log_message(self, *_: object) -> None:
                pass

        return Handler


def chunk(part: str, said: dict[str, str], finish: str | None) -> dict[str, Any]:
    choice = {"index": 0, part: said, "finish_reason": finish}
    usage = {"prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 2}
    kind = "chat.completion" + (".chunk" if part == "delta" else "")
    return {"id": "c1", "object": kind, "created": 1, "model": "stub", "choices": [choice], "usage": usage}


def asked(items: list[dict[str, Any]]) -> list[str]:
    """The prompts in a request to the newer API, without what the program says in their place."""
    said = [text(item["content"]) for item in items if item.get("role") == "user"]
    return [each for each in said if not each.startswith(("<", "# AGENTS.md"))]


def text(content: Any) -> str:
    return content if isinstance(content, str) else "".join(part.get("text", "") for part in content)
