"""One turn: what comes in from the wire while it runs, and what it tells, asks and calls.

What its prompt says is done by `directives`; the plan of a team (`# Plan of the team NAME`) by `lead`.
"""

from __future__ import annotations

import json
import os
import threading
from queue import SimpleQueue

from .directives import Failed, asked, digest, read

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from .client import Client, Result
    from .servers import Program

    Tell = Callable[..., None]


class Interrupted(Exception):
    """The turn is to end now, keeping what was said."""


class Agent:
    """Who is rehearsing: what `hello` said, and the conversation so far."""

    def __init__(self, tell: Tell) -> None:
        self.tell = tell
        self.name, self.role, self.workspace = "rehearsal", "general", ""
        self.prompts: list[str] = []
        self.store = ""
        """The file that holds the conversation for later processes; empty for none."""
        self.stubborn = False
        """After `/hang hard`: not even the end of stdin ends it."""

    def keep(self, sessions: str, session: str, resume: str) -> None:
        """Keep the conversation as `session`, going on with `resume`. Raises `OSError` or `ValueError`."""
        if not sessions:
            return
        self.store = os.path.join(sessions, f"{session}.json")
        if resume:
            with open(os.path.join(sessions, f"{resume}.json"), encoding="utf-8") as file:
                self.prompts = json.load(file)
            self.save()

    def remember(self, *prompts: str) -> None:
        self.prompts += prompts
        if self.store:
            self.save()

    def save(self) -> None:
        """Whole or not at all: the process may be killed at any moment."""
        draft = f"{self.store}.{os.getpid()}"
        fd = os.open(draft, os.O_CREAT | os.O_TRUNC | os.O_WRONLY, 0o600)
        with os.fdopen(fd, "w", encoding="utf-8", errors="replace") as file:
            json.dump(self.prompts, file)
        os.replace(draft, self.store)


class Turn:
    """One prompt being worked on. `interrupt`, `steer` and `answer` come from another thread."""

    def __init__(self, agent: Agent, name: str, text: str) -> None:
        self.agent, self.name, self.text = agent, name, text
        self.said: list[str] = []
        self.calls = self.asks = 0
        self.accounted = False
        self.over = not name
        self.steers: list[tuple[str, str]] = []
        """Messages that are to join: (their id, what they say)."""
        self.steering = threading.Lock()
        self.interrupted = threading.Event()
        self.answers: SimpleQueue[dict[str, Any]] = SimpleQueue()
        self.client: Client | None = None
        self.other: Client | Program | None = None
        """The server of somebody else's that is being called."""

    def interrupt(self) -> None:
        self.interrupted.set()
        self.answers.put({})
        for server in (self.client, self.other):
            if server:
                server.abandon()

    def steer(self, steer: str, text: str) -> None:
        with self.steering:
            if not self.over:
                self.steers.append((steer, text))
                return
        self.agent.tell("steered", steer=steer, joined=False)

    def run(self) -> None:
        outcome, error = "ok", ""
        heard = [self.text]
        try:
            self.work(self.text)
            self.check()
            while (steered := self.steered()) is not None:
                heard.append(steered)
                self.work(steered)
                self.check()
        except Interrupted:
            outcome = "interrupted"
        except Failed as exc:
            outcome, error = "failed", str(exc)
        self.end_steering()
        if not self.accounted:
            self.use(0, 0)
        self.agent.remember(*heard)
        self.tell("ended", outcome=outcome, text="\n".join(self.said), error=error)

    def steered(self) -> str | None:
        """The next message that joins; None when there is none, and then none can any more."""
        with self.steering:
            if not self.steers:
                self.over = True
                return None
            steer, text = self.steers.pop(0)
        self.agent.tell("steered", steer=steer, joined=True)
        return text

    def end_steering(self) -> None:
        """What has not joined by now does not."""
        with self.steering:
            self.over = True
            left, self.steers = self.steers, []
        for steer, _ in left:
            self.agent.tell("steered", steer=steer, joined=False)

    def work(self, text: str) -> None:
        if "\n# Plan of the team " in f"\n{text}":
            from .lead import carry_out  # only who leads needs it

            carry_out(self, text)
            return
        steps = read(asked(text))
        for do, arguments in steps:
            self.check()
            do(self, *arguments)
        if not steps:
            self.say(digest(self, text))

    def check(self) -> None:
        if self.interrupted.is_set():
            raise Interrupted

    def pause(self, seconds: float | None) -> None:
        self.interrupted.wait(seconds)
        self.check()

    def tell(self, kind: str, **fields: object) -> None:
        self.agent.tell(kind, turn=self.name, **fields)

    def say(self, text: str) -> None:
        self.tell("delta", text=text)
        self.finish(text)

    def finish(self, text: str) -> None:
        """A message whose pieces have been spoken is complete."""
        self.said.append(text)
        self.tell("said", text=text)

    def use(self, given: int, made: int) -> None:
        self.accounted = True
        self.tell("usage", input_tokens=given, output_tokens=made)

    def ask(self, tool: str, given: dict[str, Any]) -> dict[str, Any]:
        """The person's answer; while it is awaited the turn can be interrupted."""
        self.asks += 1
        request = f"{self.name}.ask{self.asks}"
        self.agent.tell("ask", request=request, tool=tool, input=given)
        while not self.interrupted.is_set():
            answer = self.answers.get()
            if answer.get("request") == request:
                return answer
        self.agent.tell("withdraw", request=request)
        raise Interrupted

    def call(self, tool: str, /, **arguments: object) -> Result:
        """Call an MCP tool. Its error is a result; only a server out of reach ends the turn."""
        return self._called(tool, arguments, self._ours)

    def call_other(self, server: str, tool: str, arguments: dict[str, Any]) -> Result:
        """Call a tool of another MCP server; see `call`."""

        def carry_out() -> Result:
            from .servers import door_to

            self.other = door_to(server)
            try:
                return self.other.call(tool, arguments, self.interrupted.is_set)
            finally:
                self.other = None

        return self._called(f"mcp__{server}__{tool}", arguments, lambda *_: carry_out())

    def _ours(self, tool: str, arguments: dict[str, object]) -> Result:
        self.client = self.client or door()
        return self.client.call(tool, arguments, self.interrupted.is_set)

    def _called(self, tool: str, arguments: dict[str, Any], carry_out: Callable[..., Result]) -> Result:
        from .client import Abandoned, Unreachable  # 40 ms of imports, for those who call

        self.calls += 1
        call = f"{self.name}.call{self.calls}"
        self.tell("call", call=call, tool=tool, input=arguments)
        output, ok = "interrupted", False
        try:
            result = carry_out(tool, arguments)
            output, ok = result.text, result.ok
        except Unreachable as exc:
            output = str(exc)
            raise Failed(output) from exc
        except Abandoned as exc:
            raise Interrupted from exc
        finally:
            self.tell("returned", call=call, ok=ok, output=output)
        return result


def door() -> Client:
    """The way to the tools, as the environment names it. The token is never in argv."""
    from .client import Client, Unreachable

    url, token_file = os.environ.get("MADROX_MCP_URL", ""), os.environ.get("MADROX_MCP_TOKEN_FILE", "")
    if not url:
        raise Unreachable("this agent was given no MCP server (MADROX_MCP_URL is not set)")
    try:
        with open(token_file or os.devnull, encoding="ascii") as file:
            token = file.read().strip()
    except (OSError, ValueError) as exc:
        raise Unreachable(f"the MCP token cannot be read: {exc}") from exc
    return Client(url, token)
