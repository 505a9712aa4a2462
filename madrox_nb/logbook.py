"""The ledger told as logs: lines of an agent's life, its prompts and answers in pairs, an audit trail.

The shapes are the seed's ("Comprehensive Logging & Audit System"), so that what reads
those files reads these. Everything is concluded from entries, so that a file that is
written while it happens and one that is made from the ledger afterwards are the same.

    instance.log         2026-01-31T12:00:00.123Z agent.spawned role=architect harness=claude …
    communication.jsonl  {timestamp, event_type: message_sent | message_received, message_id,
                          direction: outbound | inbound, content, tokens, cost, response_time, …}
    metadata.json        what the agent is and came to
    the audit trail      {timestamp, event: instance_spawn | message_exchange | …, instance_id, …}

A prompt and what came of it have one `message_id`: that of the message which asked (what
`send_to_instance` returned), or the turn's where a turn began without one. Tokens and
cost are those that the CLI reported for the turn: of a prompt alone nobody knows them.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

import orjson

from .events import (
    AgentReady,
    AgentSpawned,
    AgentStopped,
    AgentSuspended,
    Entry,
    Event,
    MessagePosted,
    MessageRead,
    RunClosed,
    RunOpened,
    ToolReturned,
    TurnEnded,
    TurnSaid,
    TurnStarted,
    TurnSteered,
    UsageReported,
)

Row = dict[str, Any]

QUIET: Final[frozenset[type[Event]]] = frozenset({TurnSaid, ToolReturned, MessageRead})
"""Kinds that no log tells: what they say stands in the answer, or in the ledger."""
_NO_LINE: Final = frozenset({UsageReported, RunOpened, RunClosed, *QUIET})
_PLAIN: Final = re.compile(r"[\w./:@~+-]+").fullmatch
_WORDS: Final = 200
"""Characters of a text that a line of `instance.log` repeats."""

EVENTS: Final[Mapping[str, str]] = {
    "agent.spawned": "instance_spawn",
    "agent.ready": "instance_ready",
    "agent.suspended": "instance_suspended",
    "agent.stopped": "instance_terminate",
    "turn.ended": "message_exchange",
}
"""Kind → the seed's word for it. Other kinds are called `approval_asked` for `approval.asked`."""
CHATTER: Final = frozenset(
    {
        *("turn.started", "turn.said", "turn.steered", "turn.tool_called", "turn.tool_returned"),
        *("usage.reported", "message.read", "harness.noise"),
    }
)
"""Kinds that the trail leaves out unless they are asked for by name."""


@dataclass(slots=True)
class _Talk:
    """What is known of one agent: its life so far, and the turn under way."""

    metadata: Row
    born: datetime
    asked: dict[str, None]
    """Messages that want a turn of it and have none yet."""
    message: str = ""
    turn: str = ""
    sent: int = 0
    """Characters of the prompt."""
    began: datetime | None = None
    used: tuple[int, int] = (0, 0)
    """Tokens in and out of this turn."""
    cost: float = 0.0
    tokens: int = 0
    """Of this life."""
    spent: float = 0.0
    requests: int = 0
    answered: tuple[str, str] = ("", "")
    """The message that was answered last, and with which text."""
    suspended: bool = False


class Logbook:
    """What has to be known of earlier entries to tell one. Feed it each entry once, in order."""

    def __init__(self) -> None:
        self._talks: dict[str, _Talk] = {}

    def metadata(self, name: str) -> Row:
        """What `metadata.json` says of an agent that was spawned."""
        talk = self._talks[name]
        total = {"total_tokens": talk.tokens, "total_cost": _known(talk.spent), "turns": talk.requests}
        return {**talk.metadata, **total}

    def directory(self, name: str) -> str:
        """The name of the directory with an agent's logs, which is its workspace's; empty for a stranger."""
        talk = self._talks.get(name)
        return talk.metadata["log_directory"] if talk else ""

    def apply(self, entry: Entry) -> tuple[str, Row] | None:
        """Take an entry in. The row that it is in somebody's `communication.jsonl`: (agent, row)."""
        event = entry.event
        match event:
            case AgentSpawned():
                self._talks[event.agent] = _born(entry, event)
            case MessagePosted():
                return self._posted(entry, event)
            case _ if (talk := self._talks.get(event.agent)) is not None:
                row = _talked(talk, entry)
                return None if row is None else (event.agent, row)
        return None

    def _posted(self, entry: Entry, event: MessagePosted) -> tuple[str, Row] | None:
        if event.asks and (to := self._talks.get(event.agent)) is not None:
            to.asked[event.message] = None
        talk = self._talks.get(event.sender)
        if talk is None or _automatic(talk, event):
            return None
        row = _row(entry.ts, "message_received", event.answers or event.message, "inbound", event.text)
        return event.sender, {**row, "message": event.message, "recipient": event.agent}

    def trail(self, entry: Entry, run: str) -> Row:
        """The row that an entry is in the audit trail. Call it after `apply`."""
        event = entry.event
        talk = self._talks.get(event.agent)
        row: Row = {
            "timestamp": stamp(entry.ts),
            "event": audit_event(event, resumed=talk is not None and talk.suspended),
            "instance_id": event.agent,
            "kind": event.kind,
            "run": run,
            "seq": entry.seq,
        }
        details = {k: _known(v) for k, v in event.fields().items() if k != "agent"}
        if talk is not None and isinstance(event, TurnEnded):
            details |= _exchange(talk, entry, event)
        elif talk is not None and isinstance(event, AgentStopped):
            details |= {
                "uptime_seconds": _seconds(talk.born, entry.ts),
                "total_tokens": talk.tokens,
                "total_cost": _known(talk.spent),
                "total_requests": talk.requests,
            }
        return {**row, "details": details}


def audit_event(event: Event, *, resumed: bool = False) -> str:
    if resumed and isinstance(event, AgentReady):
        return "instance_resumed"
    kind = event.fields().get("kind", event.kind)  # of a later version: what it calls itself
    return EVENTS.get(kind, str(kind).replace(".", "_"))


def _born(entry: Entry, event: AgentSpawned) -> _Talk:
    metadata = {
        "instance_id": event.agent,
        "instance_name": event.agent,
        "instance_type": event.harness,
        "role": event.role,
        "model": event.model,
        "parent_instance_id": event.parent,
        "permissions": event.permissions,
        "workspace": event.workspace,
        "log_directory": event.workspace.rstrip("/").rpartition("/")[2] or event.agent,
        "created_at": stamp(entry.ts),
        "state": "starting",
    }
    return _Talk(metadata, entry.ts, {})


def _talked(talk: _Talk, entry: Entry) -> Row | None:
    event = entry.event
    match event:
        case TurnStarted():
            return _started(talk, entry, event)
        case TurnSteered():
            row = _row(entry.ts, "message_sent", talk.message or event.turn, "outbound", event.text)
            return {**row, "turn": event.turn, "sender": event.sender, "joined": True}
        case UsageReported():
            _used(talk, event)
        case TurnEnded():
            return _ended(talk, entry, event)
        case AgentReady():
            talk.metadata |= {"state": "ready", "session": event.session, "version": event.version}
            talk.metadata["model"] = event.model or talk.metadata["model"]
        case AgentSuspended():
            talk.suspended = True
            talk.metadata |= {"state": "suspended"}
        case AgentStopped():
            state = "failed" if event.failed else "stopped"
            talk.metadata |= {"state": state, "ended_at": stamp(entry.ts), "reason": event.reason}
    return None


def _started(talk: _Talk, entry: Entry, event: TurnStarted) -> Row:
    talk.suspended = False
    talk.message = next((each for each in event.messages if each in talk.asked), event.turn)
    for each in event.messages:
        talk.asked.pop(each, None)
    talk.turn, talk.sent, talk.began = event.turn, len(event.text), entry.ts
    talk.used, talk.cost = (0, 0), 0.0
    row = _row(entry.ts, "message_sent", talk.message, "outbound", event.text)
    return {**row, "turn": event.turn, "sender": event.sender}


def _used(talk: _Talk, event: UsageReported) -> None:
    given = event.input_tokens + event.cache_read_tokens + event.cache_write_tokens
    talk.tokens += given + event.output_tokens
    talk.spent += event.cost_usd  # NaN stays: a sum with an unknown part is not known
    if event.turn == talk.turn:
        talk.used = (talk.used[0] + given, talk.used[1] + event.output_tokens)
        talk.cost += event.cost_usd


def _ended(talk: _Talk, entry: Entry, event: TurnEnded) -> Row:
    talk.requests += 1
    message = talk.message or event.turn
    talk.answered = (message, event.text)
    row = _row(entry.ts, "message_received", message, "inbound", event.text or event.error)
    return {
        **row,
        "tokens": sum(talk.used),
        "cost": _known(talk.cost),
        "response_time": _seconds(talk.began, entry.ts),
        "input_tokens": talk.used[0],
        "output_tokens": talk.used[1],
        "turn": event.turn,
        "outcome": event.outcome,
    }


def _exchange(talk: _Talk, entry: Entry, event: TurnEnded) -> Row:
    """What a finished turn adds to its row in the trail; the words stand in the communication."""
    return {
        "text": event.text[:_WORDS],
        "message_id": talk.message or event.turn,
        "message_length": talk.sent,
        "response_length": len(event.text),
        "tokens": sum(talk.used),
        "cost": _known(talk.cost),
        "response_time_seconds": _seconds(talk.began, entry.ts),
    }


def _automatic(talk: _Talk, event: MessagePosted) -> bool:
    """Whether a message only takes the answer of a turn, which was told, to whoever asked."""
    message, text = talk.answered
    if not event.answers or event.answers != message:
        return False
    return event.outcome != "ok" or event.text in (text, "(ok)")


def _row(ts: datetime, kind: str, message: str, direction: str, content: str) -> Row:
    return {
        "timestamp": stamp(ts),
        "event_type": kind,
        "message_id": message,
        "direction": direction,
        "content": content,
        "tokens": None,
        "cost": None,
        "response_time": None,
    }


def line(entry: Entry) -> bytes:
    """The line of `instance.log` that an entry is; empty for what it doesn't tell."""
    event = entry.event
    if type(event) in _NO_LINE:
        return b""
    told = [stamp(entry.ts), event.kind]
    for name, value in event.fields().items():
        if name != "agent" and value and value != -1:
            told.append(f"{name}={_word(value)}")
    return " ".join(told).encode("utf-8", "replace") + b"\n"


def _word(value: object) -> str:
    """A value on one line: as it is when it is one word, else quoted."""
    if not isinstance(value, str):
        return orjson.dumps(value).decode()
    cut = value if len(value) <= _WORDS else f"{value[:_WORDS]}…"
    return cut if _PLAIN(cut) else orjson.dumps(cut.encode("utf-8", "replace").decode()).decode()


def as_line(row: Row) -> bytes:
    return orjson.dumps(row, option=orjson.OPT_APPEND_NEWLINE)


def stamp(ts: datetime) -> str:
    """`2026-01-31T12:00:00.123456Z`."""
    if ts.tzinfo is not UTC:
        ts = ts.astimezone(UTC)
    return f"{ts.isoformat()[:-6]}Z"


def _seconds(begin: datetime | None, end: datetime) -> float | None:
    return None if begin is None else round((end - begin).total_seconds(), 6)


def _known(value: Any) -> Any:
    """JSON has no NaN: what nobody knows is null."""
    return None if isinstance(value, float) and math.isnan(value) else value
