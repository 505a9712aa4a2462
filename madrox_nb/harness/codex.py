"""Codex: `codex app-server`, JSON-RPC in lines without the `jsonrpc` member.

What we ask of it, and when:

    initialize, initialized   the handshake
    thread/start              … or /resume or /fork: the conversation, its permissions and our MCP server
    account/read              whether somebody is logged in
    thread/inject_items       our instructions, into a thread that goes on
    turn/start                a prompt
    turn/steer                a text into the turn under way
    turn/interrupt            its end
    thread/backgroundTerminals/list, /terminate   commands that outlive it

What it tells, and what of it we use:

    turn/started              the turn has been picked up
    item/agentMessage/delta   pieces of an answer
    item/started, /completed  one message, one use of a tool
    thread/tokenUsage/updated usage of the thread so far, cumulative
    error, warning            retries, and what it finds odd
    turn/completed            the turn's end

What it asks of us: `item/commandExecution/requestApproval`, `item/fileChange/requestApproval`
and, for tools of other MCP servers, `mcpServer/elicitation/request`. All other requests are
refused, so that nobody waits. Seen with 0.169.0, which prints its own schema:
`codex app-server generate-json-schema --out DIR`.

Habits of it that shape this file. An interrupt or a steer before `turn/started` is refused
and forgotten, so ours wait for that. An interrupt leaves open whatever was under way: words,
tools and questions are closed here, and commands, which it would let run, are ended. A
request to the model that was cut so is in no figure. A thread that goes on begins with the
usage of its past, which was paid for, and with the instructions of its past, so ours are told
anew. A refusal has no place for a reason, so the reason goes ahead of it as a steered text:
behind it, the next request to the model may already be on its way.

In its figures input includes what was read from and written to the cache, and output includes
reasoning; in ours `input_tokens` is what the cache did not give or take, output the same.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from typing import ClassVar

from ..events import (
    NAN,
    AgentReady,
    AgentStopped,
    Event,
    Notice,
    Outcome,
    TurnEnded,
    UsageReported,
    Verdict,
)
from . import Ask, Brief, Features, Harness, Item, Launch, Steered, Unreadable, Withdraw, Write
from .codex_items import (
    LOG_IN,
    error_text,
    innermost,
    question,
    remark,
    retry,
    tokens,
)
from .codex_start import SERVER, argv, left_out, native, opening, profile_file
from .codex_turn import Turn
from .json_lines import Json, line_of, object_of

UNHEARD = (
    "account/updated",
    "remoteControl/status/changed",
    "thread/readState/changed",
    "thread/started",
    "item/commandExecution/outputDelta",
    "item/fileChange/outputDelta",
    "item/fileChange/patchUpdated",
    "turn/diff/updated",
)
"""Notifications that nobody reads here, or that say again what comes whole at the end."""

INSTEAD = "From here on, these instructions take the place of those that this conversation began with."

TERMINALS = "thread/backgroundTerminals/"
ELICIT = "mcpServer/elicitation/request"


class Codex(Harness):
    """The protocol state of one Codex."""

    name: ClassVar[str] = "codex"
    commands: ClassVar[tuple[str, ...]] = ("codex",)
    provides: ClassVar[str] = "npm install -g @openai/codex"
    features: ClassVar[Features] = Features(
        interrupt=True,
        steer=True,
        approvals=True,
        usage=True,
        mcp=True,
        resume=True,
        fork=True,
        structured=True,
    )
    options: ClassVar[Mapping[str, str]] = {
        "sandbox_mode": "read-only, workspace-write or danger-full-access; never more than permissions give",
        "profile": "a profile of Codex's configuration: what NAME.config.toml says of the model",
        "reasoning_effort": "how long the model thinks: low, medium, high, …; what there is depends on it",
    }
    servers: ClassVar[tuple[str, ...]] = ("stdio", "http")
    tested: ClassVar[tuple[str, ...]] = ("0.169.0",)

    native = staticmethod(native)

    @classmethod
    def files_of(cls, options: Mapping[str, str], environ: Mapping[str, str]) -> Mapping[str, str]:
        return profile_file(options, environ)

    def __init__(self, brief: Brief) -> None:
        super().__init__(brief)
        self._opening = opening(brief)
        self.thread = ""
        self.model = brief.model
        self._version: str | None = None
        self._now = Turn()
        self._begun = ""
        """The turn that it began last."""
        self._total: Counter[str] = Counter()
        self._paid: Counter[str] | None = None if brief.resume else Counter()
        """Usage that was reported; None until a thread that goes on tells its past."""
        self._requests = 0
        self._sent: dict[int, tuple[str, str]] = {}
        """Our requests that were not answered yet: id → (method, what it was about)."""
        self._asked: dict[str, Json] = {}
        self._untold = bool(brief.resume and brief.instructions)
        """Its thread remembers other instructions than ours."""
        self._noticed: set[str] = set()

    # what to run

    def launch(self) -> Launch:
        return Launch(argv=tuple(argv(self.brief)))

    # what to write

    def greet(self) -> Iterable[str]:
        client = {"name": "madrox_nb", "title": "Madrox", "version": "1"}
        capabilities = {"experimentalApi": True, "optOutNotificationMethods": UNHEARD}
        return [self._request("initialize", clientInfo=client, capabilities=capabilities)]

    def prompt(self, turn: str, text: str) -> Iterable[str]:
        self.turn, self._now = turn, Turn(self.brief.agent, turn)
        untold, self._untold = self._untold, False
        anew = [self._tell_anew()] if untold else []
        return [*anew, self._request("turn/start", turn, threadId=self.thread, input=_input(text))]

    def _tell_anew(self) -> str:
        """A thread that goes on keeps the instructions it began with, so ours come as a message."""
        said = {"type": "input_text", "text": f"{INSTEAD}\n\n{self.brief.instructions}"}
        item = {"type": "message", "role": "developer", "content": [said]}
        return self._request("thread/inject_items", threadId=self.thread, items=[item])

    def interrupt(self) -> Iterable[str]:
        if not self.turn:
            return ()
        self._now.interrupted = True
        return [self._interrupt()] if self._now.begun else ()

    def steer(self, steer: str, text: str) -> Iterable[str]:
        if self.turn and not self._now.begun:
            self._now.waiting.append((steer, text))
            return ()
        return [self._steer(steer, text)]

    def answer(self, request: str, decision: Verdict, why: str = "") -> Iterable[str]:
        asked = self._asked.pop(request, None)
        if asked is None:  # withdrawn
            return ()
        allowed = decision == "allow"
        if asked["method"] == ELICIT:
            answer = {"action": "accept", "content": {}} if allowed else {"action": "decline"}
        else:
            answer = {"decision": "accept" if allowed else "decline"}
        explained = why and not allowed
        because = [self._steer("", f"Your request was refused: {why}")] if explained else []
        return [*because, line_of(id=asked["id"], result=answer)]

    def _interrupt(self) -> str:
        return self._request("turn/interrupt", threadId=self.thread, turnId=self._now.id)

    def _steer(self, steer: str, text: str) -> str:
        turn = self._now.id
        return self._request(
            "turn/steer", steer, threadId=self.thread, expectedTurnId=turn, input=_input(text)
        )

    def _request(self, method: str, about: str = "", **params: object) -> str:
        self._requests += 1
        self._sent[self._requests] = method, about
        return line_of(id=self._requests, method=method, params=params)

    # what a line means

    def read(self, line: str) -> Iterable[Item]:
        message = _message(line)
        try:
            return list(self._items(message))
        except (AttributeError, KeyError, TypeError, ValueError) as exc:
            what = message.get("method", "an answer")
            raise Unreadable(f"{what} in a shape of its own: {exc!r}") from exc

    def _items(self, message: Json) -> Iterator[Item]:
        if "method" not in message:
            yield from self._answered(message)
        elif "id" in message:
            yield from self._requested(message)
        else:
            yield from self._told(message["method"], message["params"])

    # … as the answer to a request of ours

    def _answered(self, message: Json) -> Iterator[Item]:
        method, about = self._sent.pop(message["id"], ("", ""))
        if error := message.get("error"):
            yield from self._failed(method, about, error["message"])
            return
        match method:
            case "initialize":
                self._version = _version(message["result"]["userAgent"])
                yield Write(line=line_of(method="initialized"))
                yield Write(line=self._open())
            case "thread/start" | "thread/resume" | "thread/fork":
                self.thread, self.model = message["result"]["thread"]["id"], message["result"]["model"]
                yield Write(line=self._request("account/read", refreshToken=False))
            case "account/read":
                account = message["result"]
                if account.get("account") is None and account.get("requiresOpenaiAuth"):
                    yield self._stopped(f"codex is not logged in: {LOG_IN}")
                else:
                    yield from self._ready()
            case "turn/start" if about == self.turn:
                self._now.id = message["result"]["turn"]["id"]
                yield from self._picked_up()
            case "turn/steer" if about:
                yield Steered(steer=about, joined=True)
            case "thread/backgroundTerminals/list":
                yield from self._end_commands(about, message["result"]["data"])

    def _failed(self, method: str, about: str, error: str) -> Iterator[Item]:
        match method:
            case "initialize":
                yield self._stopped(f"refused the handshake: {error}")
            case "account/read":  # it can't say: the first turn will
                yield from self._ready()
            case "thread/start" | "thread/resume" | "thread/fork":
                yield self._stopped(self._no_thread(error), error)
            case "turn/start" if about == self.turn:
                yield from self._ended("failed", error)
            case "turn/steer" if about:
                yield Steered(steer=about, joined=False)

    def _open(self) -> str:
        verb = "start" if not self.brief.resume else "fork" if self.brief.fork else "resume"
        return self._request(f"thread/{verb}", **self._opening)

    def _no_thread(self, error: str) -> str:
        if f"failed to initialize: {SERVER}:" in error:
            return f"codex could not reach its madrox tools: {innermost(error)}"
        if self.brief.resume:
            return f"codex can't go on with session {self.brief.resume}: {error}"
        return f"codex could not begin: {error}"

    def _ready(self) -> Iterator[Item]:
        if ours := left_out(self.brief):
            yield Notice(agent=self.brief.agent, text=f"its profile says {ours}, which madrox decides itself")
        agent, thread = self.brief.agent, self.thread
        yield AgentReady(agent=agent, session=thread, model=self.model, version=self._version)

    def _stopped(self, reason: str, evidence: str = "") -> AgentStopped:
        return AgentStopped(agent=self.brief.agent, reason=reason, failed=True, evidence=evidence)

    # … as a request of its own

    def _requested(self, message: Json) -> Iterator[Item]:
        method, params = message["method"], message.get("params") or {}
        ask = self._question(str(message["id"]), method, params)
        if ask is None:
            error = {"code": -32601, "message": f"{method} is not for us"}
            yield Write(line=line_of(id=message["id"], error=error))
            return
        self._asked[ask.request] = message
        if self._mine(params):
            yield ask
        else:  # nobody could say in which turn it is
            yield from (Write(line=line) for line in self.answer(ask.request, "deny"))

    def _question(self, request: str, method: str, params: Json) -> Ask | None:
        try:
            changes = self._now.tools.get(params.get("itemId", ""), {}).get("changes", ())
            return question(request, method, params, changes)
        except (AttributeError, KeyError, TypeError):  # in a shape of its own
            return None

    # … as something that happened

    def _told(self, method: str, params: Json) -> Iterator[Item]:
        match method:
            case "turn/started" if params["threadId"] == self.thread:
                self._begun = params["turn"]["id"]
                yield from self._picked_up()
            case "item/agentMessage/delta" if self._mine(params):
                yield self._now.streamed(params["itemId"], params["delta"])
            case "item/started" if self._mine(params):
                yield from self._now.started(params["item"])
            case "item/completed" if self._mine(params):
                self._changed(method, params)
                yield from self._now.completed(params["item"])
            case "thread/tokenUsage/updated" if params["threadId"] == self.thread:
                self._counted(params["turnId"], params["tokenUsage"])
            case "serverRequest/resolved":
                if self._asked.pop(str(params["requestId"]), None) is not None:
                    yield Withdraw(request=str(params["requestId"]))
            case "turn/completed" if self._mine({**params, "turnId": params["turn"]["id"]}):
                yield from self._finished(params["turn"])
            case "error" if params["willRetry"] and self._mine(params):
                self._now.speaking.clear()  # it will be said again
                yield Notice(agent=self.brief.agent, text=retry(params["error"]))
            case _:
                yield from self._noticed_once(remark(method, params))
                self._changed(method, params)

    def _mine(self, params: Json) -> bool:
        """Whether it is about the turn under way, and not about one of another thread or of the past."""
        now = self._now.id
        return bool(now) and params.get("threadId") == self.thread and params.get("turnId") == now

    def _changed(self, method: str, params: Json) -> None:
        if method == "model/rerouted" and params["threadId"] == self.thread:
            self.model = params["toModel"]
        elif method == "item/completed" and params["item"]["type"] == "contextCompaction":
            self._untold = bool(self.brief.resume and self.brief.instructions)

    def _picked_up(self) -> Iterator[Item]:
        """Once it has both told the turn's id and begun it, in whichever order."""
        now = self._now
        if not now.id or now.id != self._begun:
            return
        now.begun = True
        waiting, now.waiting = now.waiting, []
        yield from (Write(line=self._steer(steer, text)) for steer, text in waiting)
        if now.interrupted:
            yield Write(line=self._interrupt())

    # the turn's end

    def _finished(self, turn: Json) -> Iterator[Item]:
        now, status = self._now, turn["status"]
        if status == "completed" and not now.said and not now.worked and not now.speaking:
            yield from self._ended("failed", "the model gave an empty answer")
        elif status == "completed":
            yield from self._ended("ok")
        elif status == "interrupted":
            yield from self._ended("interrupted")
        else:
            yield from self._ended("failed", error_text(turn.get("error") or {"message": status}))

    def _ended(self, outcome: Outcome, error: str = "") -> Iterator[Item]:
        """Close what was left open, say what the turn used, and end it."""
        now, agent = self._now, self.brief.agent
        yield from now.cut_short()
        yield from (Withdraw(request=request) for request in self._asked)
        self._asked.clear()
        yield from now.left_open(outcome)
        if outcome == "interrupted" and (commands := now.commands()):  # it would let them run
            yield Write(line=self._request(TERMINALS + "list", json.dumps(commands), threadId=self.thread))
        steers = [steer for method, steer in self._sent.values() if method == "turn/steer" and steer]
        self._sent = {id_: sent for id_, sent in self._sent.items() if sent[0] != "turn/steer"}
        yield from (Steered(steer=steer, joined=False) for steer in (*steers, *(s for s, _ in now.waiting)))
        yield self._report()
        turn, self.turn, self._now = self.turn, "", Turn()
        yield TurnEnded(
            agent=agent,
            turn=turn,
            outcome=outcome,
            text="" if outcome == "failed" else now.said,
            error=error,
            session=self.thread,
            anchor=now.id,
        )

    def _end_commands(self, commands: str, running: Iterable[Json]) -> Iterator[Write]:
        for each in running:
            if each["itemId"] in json.loads(commands):
                params = {"threadId": self.thread, "processId": each["processId"]}
                yield Write(line=self._request(TERMINALS + "terminate", **params))

    # usage

    def _counted(self, turn: str, usage: Json) -> None:
        """Take in the thread's usage so far. What a thread that goes on used before is not ours to report."""
        self._total = tokens(usage["total"])
        if self._paid is None:
            mine = turn == self._now.id
            self._paid = self._total - tokens(usage["last"]) if mine else self._total

    def _report(self) -> UsageReported:
        used = self._unpaid()
        self._paid = None if self._paid is None else self._total
        return UsageReported(
            agent=self.brief.agent,
            turn=self.turn,
            model=self.model,
            cost_usd=NAN,
            cost_source="unknown",
            **used,
        )

    def _unpaid(self) -> Counter[str]:
        return Counter() if self._paid is None else self._total - self._paid

    def lost(self) -> Iterable[Event]:
        return [self._report()] if self.turn and self._unpaid() else ()

    def _noticed_once(self, text: str) -> Iterator[Notice]:
        if text and text not in self._noticed:
            self._noticed.add(text)
            yield Notice(agent=self.brief.agent, text=text)


def _input(text: str) -> list[Json]:
    return [{"type": "text", "text": text}]


def _message(line: str) -> Json:
    message = object_of(line)
    if not {"method", "id"} & message.keys():
        raise Unreadable("not an object with a method or an id")
    return message


def _version(agent: str) -> str | None:
    """`madrox_nb/0.169.0 (Debian …)` → 0.169.0."""
    found = re.match(r"[^/]*/(\S+)", agent)
    return found[1] if found else None
