"""The rehearsal agent's other ends: a driver at its stdin, and a server with its tools."""

import asyncio
import json
import os
import queue
import socket
import subprocess
import threading
from contextlib import contextmanager, suppress

import uvicorn
from mcp.server.auth.middleware.auth_context import get_access_token
from mcp.server.auth.provider import AccessToken
from mcp.server.auth.settings import AuthSettings
from mcp.server.mcpserver import Context, MCPServer
from mcp.server.mcpserver.exceptions import ToolError

from madrox_nb.harness.rehearsal import Rehearsal

SOON = 20
"""Seconds in which anything here must have happened; a failing test waits so long."""

TOKEN = "token-of-lead"


class Driver:
    """The manager's side of the wire, as small as it can be."""

    def __init__(self, workspace, env):
        self.turns = 0
        self.process = subprocess.Popen(
            Rehearsal.command(),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            cwd=workspace,
            env={**os.environ, **env},
        )
        self.lines = queue.SimpleQueue()
        self.reader = threading.Thread(target=self._pump)
        self.reader.start()
        self.write(type="hello", agent="lead", role="architect", workspace=str(workspace), session="s-1")

    def _pump(self):
        for line in self.process.stdout:
            self.lines.put(line)
        self.lines.put(b"")

    def write(self, **message):
        self.process.stdin.write(json.dumps(message).encode() + b"\n")
        self.process.stdin.flush()

    def prompt(self, text):
        self.turns += 1
        self.write(type="prompt", turn=f"lead.t{self.turns}", text=text)

    def line(self):
        return self.lines.get(timeout=SOON)

    def until(self, kind):
        """All messages up to and including the first of that kind."""
        seen = []
        while not seen or seen[-1]["type"] != kind:
            seen.append(json.loads(self.line()))
        return seen

    def next(self, kind):
        return self.until(kind)[-1]

    def do(self, text):
        self.prompt(text)
        return self.next("ended")

    def exit(self):
        return self.process.wait(SOON)

    def close(self):
        self.process.kill()
        self.process.wait()
        self.reader.join()
        for pipe in (self.process.stdin, self.process.stdout, self.process.stderr):
            with suppress(BrokenPipeError):
                pipe.close()


class Desk:
    """A real MCP server with the tools' names and none of their work: it notes who called what."""

    def __init__(self):
        self.calls = []
        self.waiting, self.cancelled = threading.Event(), threading.Event()

    async def verify_token(self, token):
        known = token == TOKEN
        return AccessToken(token=token, client_id="lead", scopes=["mcp"]) if known else None

    def note(self, tool, **arguments):
        self.calls.append((get_access_token().client_id, tool, arguments))

    def server(self):
        server = MCPServer(
            "desk",
            token_verifier=self,
            auth=AuthSettings(
                issuer_url="http://127.0.0.1", resource_server_url=None, required_scopes=["mcp"]
            ),
        )
        for tool in (
            self.spawn_instance,
            self.send_to_instance,
            self.reply_to_caller,
            self.get_pending_replies,
            self.get_instance_tree,
            self.count,
            self.wait,
            self.grüße,
        ):
            server.add_tool(tool, structured_output=False)
        return server

    async def spawn_instance(self, name: str, role: str, instance_type: str, budget: float = 0) -> str:
        self.note("spawn_instance", name=name, role=role, instance_type=instance_type, budget=budget)
        if name == "taken":
            raise ToolError("an agent named 'taken' already exists")
        return f"{name} is idle"

    async def send_to_instance(self, instance_id: str, message: str, wait_for_response: bool) -> str:
        self.note("send_to_instance", to=instance_id, message=message, wait=wait_for_response)
        if instance_id == "nobody":
            raise ToolError("no agent named 'nobody'")
        return f"I heard {message!r}"

    async def reply_to_caller(self, reply_message: str) -> str:
        self.note("reply_to_caller", text=reply_message)
        return "delivered"

    async def get_pending_replies(self, wait_timeout: float) -> str:
        self.note("get_pending_replies", wait=wait_timeout)
        return "one from kid"

    async def get_instance_tree(self) -> str:
        self.note("get_instance_tree")
        return "lead\n└─ kid"

    async def count(self, ctx: Context) -> str:
        for i in range(5):
            await ctx.report_progress(i, 5, "counting\nslowly")
        return "five 🖐"

    async def wait(self, ctx: Context, aloud: bool = False) -> str:
        if aloud:
            await ctx.report_progress(0, 1, "waiting")
        self.waiting.set()
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            self.cancelled.set()
            raise
        return "never"

    async def grüße(self) -> str:
        return "Grüß Gott"


@contextmanager
def serving(app):
    """That application behind a real uvicorn on a thread."""
    sock = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    sock.bind(("127.0.0.1", 0))
    sock.listen()
    server = uvicorn.Server(
        uvicorn.Config(app, log_config=None, lifespan="on", ws="none", timeout_graceful_shutdown=1)
    )
    thread = threading.Thread(target=server.run, kwargs={"sockets": [sock]})
    thread.start()
    try:
        yield f"http://127.0.0.1:{sock.getsockname()[1]}/mcp"
    finally:
        server.should_exit = True
        thread.join()
        sock.close()


@contextmanager
def answering(*pieces):
    """A server that writes those pieces of bytes to whoever calls once, and hangs up."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(SOON)

        def answer():
            wire, _ = server.accept()
            with wire:
                asked = b""
                while b"progressToken" not in asked:
                    asked += wire.recv(65536)
                for piece in pieces:
                    wire.sendall(piece)

        thread = threading.Thread(target=answer)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.getsockname()[1]}/mcp"
        finally:
            thread.join()


STREAM = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream; charset=utf-8\r\n\r\n"


@contextmanager
def drivers(tmp_path):
    """Starts the program, with what is to be added to its environment."""
    begun = []

    def start(**env):
        workspace = tmp_path / "workspace"
        workspace.mkdir(exist_ok=True)
        begun.append(Driver(workspace, {"MADROX_MCP_URL": "", **env}))
        assert "ready" == json.loads(begun[-1].line())["type"]
        return begun[-1]

    try:
        yield start
    finally:
        for driver in begun:
            driver.close()
