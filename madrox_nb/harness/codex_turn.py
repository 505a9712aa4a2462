"""What one turn of Codex says and does, item by item."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, field

from ..events import Event, Outcome, TextDelta, ToolCalled, ToolReturned, TurnSaid
from .codex_items import output, used_tool, went_well
from .json_lines import Json, shown


@dataclass
class Turn:
    """What is known of the turn under way."""

    agent: str = ""
    turn: str = ""
    """Ours; `id` is Codex's own, empty until it says."""
    id: str = ""
    begun: bool = False
    interrupted: bool = False
    worked: bool = False
    """It has used a tool."""
    said: str = ""
    speaking: dict[str, str] = field(default_factory=dict)
    """Messages that are not whole yet: item → its words so far."""
    tools: dict[str, Json] = field(default_factory=dict)
    """Tools in use: item → what was told at its start."""
    waiting: list[tuple[str, str]] = field(default_factory=list)
    """Steers that came before the turn had begun."""

    def streamed(self, item: str, text: str) -> TextDelta:
        self.speaking[item] = self.speaking.get(item, "") + text
        return TextDelta(agent=self.agent, turn=self.turn, text=text)

    def started(self, item: Json) -> Iterator[Event]:
        if item["type"] in ("agentMessage", "userMessage"):  # a steer cuts what is being said
            yield from self.cut_short()
        if (used := used_tool(item)) is not None and item["id"] not in self.tools:
            self.worked = True
            self.tools[item["id"]] = item
            tool, given = used
            told = json.dumps(given, ensure_ascii=False)
            yield ToolCalled(agent=self.agent, turn=self.turn, call=item["id"], tool=tool, input=told)

    def completed(self, item: Json) -> Iterator[Event]:
        if item["type"] == "agentMessage":
            self.speaking.pop(item["id"], None)
            yield from self._said(item["text"])
        elif used_tool(item) is not None:
            yield from self.started(item)  # some tell only their end
            del self.tools[item["id"]]
            yield self._returned(item["id"], went_well(item), output(item))

    def cut_short(self) -> Iterator[TurnSaid]:
        """Say what never became whole."""
        speaking, self.speaking = self.speaking, {}
        for text in speaking.values():
            yield from self._said(text)

    def left_open(self, outcome: Outcome) -> Iterator[ToolReturned]:
        """Close the tools that have not returned."""
        for call in self.tools:
            if outcome == "ok":
                yield self._returned(call, True, "it still ran when the turn ended")
            else:
                yield self._returned(call, False, f"the turn was {outcome} before it returned")

    def commands(self) -> list[str]:
        """The commands that have not returned."""
        return [call for call, item in self.tools.items() if item["type"] == "commandExecution"]

    def _said(self, text: str) -> Iterator[TurnSaid]:
        if text:
            self.said = text
            yield TurnSaid(agent=self.agent, turn=self.turn, text=text)

    def _returned(self, call: str, ok: bool, output: str) -> ToolReturned:
        return ToolReturned(agent=self.agent, turn=self.turn, call=call, ok=ok, output=shown(output))
