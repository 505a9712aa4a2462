"""A tiny MCP server behind a bearer token, whose tools answer in every shape there is."""

from __future__ import annotations

import asyncio
import socket
import threading
import time
from typing import Any

import uvicorn
from mcp.server import MCPServer
from mcp.types import Annotations, CallToolResult, EmbeddedResource, TextContent, TextResourceContents
from starlette.responses import Response

TOKEN = "a-token-for-tests"


def tools() -> MCPServer:
    server = MCPServer("tiny")

    @server.tool(structured_output=False)
    def add(a: int, b: int) -> str:
        """Add two numbers."""
        return str(a + b)

    @server.tool()
    async def wait() -> CallToolResult:
        """Wait for ever."""
        await asyncio.Event().wait()
        raise AssertionError("for ever is over")

    @server.tool()
    def shaped(shape: str) -> CallToolResult:
        """Answer `the text` in one of the shapes a result may have."""
        return SHAPES[shape]

    return server


def text(words: str, audience: Any = None) -> TextContent:
    annotations = Annotations(audience=audience) if audience else None
    return TextContent(text=words, annotations=annotations)


RESOURCE = EmbeddedResource(
    resource=TextResourceContents(uri="madrox://hidden", mime_type="application/json", text="for the person"),
    annotations=Annotations(audience=["user"]),
)
SHAPES = {
    "text": CallToolResult(content=[text("the text")]),
    "structured": CallToolResult(content=[text("the text")], structuredContent={"the": "structure"}),
    "meta": CallToolResult(content=[text("the text")], _meta={"madrox/the": "meta"}),
    "resource": CallToolResult(content=[text("the text"), RESOURCE]),
    "audience": CallToolResult(content=[text("the text"), text("for the person", ["user"])]),
    "error": CallToolResult(content=[text("the text")], isError=True),
}


class Door:
    """Lets in who has the token."""

    def __init__(self, app: Any, delay: float) -> None:
        self.app, self.opens = app, time.monotonic() + delay

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "http":
            await asyncio.sleep(max(0.0, self.opens - time.monotonic()))
            if (b"authorization", f"Bearer {TOKEN}".encode()) not in scope["headers"]:
                await Response("no token", 401)(scope, receive, send)
                return
        await self.app(scope, receive, send)


class TinyServer:
    """It on a free port of loopback, in a thread, between `with` and its end."""

    def __init__(self, delay: float = 0.0) -> None:
        """Nobody is answered before `delay` seconds have passed."""
        self.socket = socket.create_server(("127.0.0.1", 0))
        app = Door(tools().streamable_http_app(), delay)
        config = uvicorn.Config(app, log_level="critical", ws="none", timeout_graceful_shutdown=1)
        self.server = uvicorn.Server(config)
        self.thread = threading.Thread(target=self.server.run, args=([self.socket],), daemon=True)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.socket.getsockname()[1]}/mcp"

    def __enter__(self) -> TinyServer:
        self.thread.start()  # the port listens already: who comes early waits
        return self

    def __exit__(self, *_: object) -> None:
        self.server.should_exit = True
        self.thread.join(10)
