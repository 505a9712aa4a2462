"""What was said to and by one agent, as a page shows it. Pure, a fold of the ledger.

Beside `folds.transcript`, which is text for people and programs, this keeps what a page
needs: tool calls with their results, what was sent to others, and how turns ended. It is
bounded: the newest items, and of each text its beginning; `above` and the `…_more` of an
item say how much is left out. Items are objects of JSON and are replaced, never changed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final

from .activity import argument
from .events import (
    AgentSpawned,
    AgentStopped,
    AgentSuspended,
    ApprovalAnswered,
    Entry,
    Event,
    MessagePosted,
    ToolCalled,
    ToolReturned,
    TurnEnded,
    TurnSaid,
    TurnStarted,
    TurnSteered,
)

ITEMS: Final = 200
"""Items kept, the newest."""
TEXT: Final = 20_000
"""Characters kept of what was said; the rest is asked for."""
RESULT: Final = 4_000
"""Characters kept of a tool call's arguments, and of its result."""

Item = Mapping[str, Any]


class Conversation:
    """The newest items of one agent, oldest first."""

    def __init__(self, agent: str, keep: int = ITEMS) -> None:
        self.agent = agent
        self.items: dict[str, Item] = {}
        """By id: `e` and the number of the entry. Its keys depend on its `kind`."""
        self.above = 0
        """Items that came before these."""
        self._keep = keep
        self._calls: dict[str, str] = {}
        """Tool call under way → its item."""

    @classmethod
    def replay(cls, entries: Iterable[Entry], agent: str, keep: int = ITEMS) -> Conversation:
        conversation = cls(agent, keep)
        for entry in entries:
            conversation.apply(entry)
        return conversation

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Conversation) and (self.agent, self.above, self.items) == (
            other.agent,
            other.above,
            other.items,
        )

    def apply(self, entry: Entry) -> None:
        event = entry.event
        if type(event) is MessagePosted and event.sender == self.agent:
            self._add(entry, _message(event))
        elif event.agent != self.agent:
            return
        elif type(event) is AgentSpawned:  # a name that is spawned again begins afresh
            self.items, self.above, self._calls = {}, 0, {}
        elif type(event) is ToolReturned:
            self._returned(entry, event)
        elif (told := _TOLD.get(type(event))) is not None and (item := told(event)):
            self._add(entry, item)
            if type(event) is ToolCalled:
                self._calls[event.call] = f"e{entry.seq}"
        if type(event) in (TurnEnded, AgentStopped):
            self._calls.clear()

    def _add(self, entry: Entry, item: dict[str, Any]) -> None:
        key = f"e{entry.seq}"
        # a new dict each time: others read this one
        self.items = {**self.items, key: {"id": key, "at": entry.ts.timestamp(), **item}}
        if len(self.items) > self._keep:
            oldest = next(iter(self.items))
            self.items = {name: kept for name, kept in self.items.items() if name != oldest}
            self.above += 1

    def _returned(self, entry: Entry, event: ToolReturned) -> None:
        key = self._calls.pop(event.call, "")
        if (called := self.items.get(key)) is not None:
            took = entry.ts.timestamp() - called["at"]
            result = {"ok": event.ok, "took": round(took, 3), **cut("output", event.output, RESULT)}
            self.items = {**self.items, key: {**called, **result}}


def cut(field: str, text: str, most: int) -> dict[str, Any]:
    """`text` under its name, and how many characters of it are left out."""
    return {field: text[:most], f"{field}_more": max(0, len(text) - most)}


def _prompt(event: TurnStarted) -> dict[str, Any]:
    return {"kind": "prompt", "turn": event.turn, "who": event.sender, **cut("text", event.text, TEXT)}


def _steered(event: TurnSteered) -> dict[str, Any]:
    return {"kind": "prompt", "turn": event.turn, "who": event.sender, **cut("text", event.text, TEXT)}


def _said(event: TurnSaid) -> dict[str, Any]:
    return {"kind": "said", "turn": event.turn, **cut("text", event.text, TEXT)}


def _called(event: ToolCalled) -> dict[str, Any]:
    return {
        "kind": "call",
        "turn": event.turn,
        "tool": event.tool.rpartition("__")[2],
        "argument": argument(event.input)[:RESULT],
        "ok": None,
        "took": None,
        **cut("input", event.input, RESULT),
        **cut("output", "", RESULT),
    }


def _message(event: MessagePosted) -> dict[str, Any]:
    return {"kind": "message", "message": event.message, "to": event.agent, **cut("text", event.text, RESULT)}


def _ended(event: TurnEnded) -> dict[str, Any]:
    if event.outcome == "ok":
        return {}
    why = event.error or "no reason was given"
    return _note(f"The turn was interrupted: {why}" if event.outcome == "interrupted" else why, bad=True)


def _suspended(event: AgentSuspended) -> dict[str, Any]:
    said = event.reason.startswith("suspended")
    return _note(event.reason if said else f"suspended: {event.reason}")


def _stopped(event: AgentStopped) -> dict[str, Any]:
    return _note(f"{'failed' if event.failed else 'stopped'}: {event.reason}", bad=event.failed)


def _answered(event: ApprovalAnswered) -> dict[str, Any]:
    if event.decision != "deny":
        return {}
    return _note(
        f"{event.approval} was denied by {event.by}{f': {event.why}' if event.why else ''}", bad=True
    )


def _note(text: str, *, bad: bool = False) -> dict[str, Any]:
    return {"kind": "note", "bad": bad, **cut("text", text, RESULT)}


_TOLD: Final[Mapping[type[Event], Callable[[Any], dict[str, Any]]]] = {
    AgentSuspended: _suspended,
    AgentStopped: _stopped,
    TurnStarted: _prompt,
    TurnSteered: _steered,
    TurnSaid: _said,
    ToolCalled: _called,
    TurnEnded: _ended,
    ApprovalAnswered: _answered,
}
