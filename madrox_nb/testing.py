"""Tests a harness of your own against what its CLI really wrote.

    from madrox_nb.testing import check_harness

    def test_mine():
        check_harness(Mine, transcript=Path("tests/transcripts/mine-1.0/turns.jsonl"))

A transcript is the lines that the CLI wrote, recorded once. They are replayed through the
codec: the first prompt is given when it says `AgentReady`, the next one whenever a turn
has ended. What we did in the middle of a turn stands in a file beside it, `turns.json`
for `turns.jsonl`, as far as it can't be concluded:

    {"moves": {"2": "interrupt", "3": "steer"}, "brief": {"model": "opus"}}

Both moves are made at the turn's first word, tool call or question. A turn that would
end failed without an interrupt and interrupted with one needs no entry.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import count
from typing import Any, Final

from .disturbances import (
    check_damage,
    check_disorder,
    check_garbage,
    check_lost,
    check_quiet_interrupts,
    check_strangers,
)
from .errors import MadroxError
from .events import (
    AgentSpawned,
    AgentStopped,
    ApprovalAnswered,
    ApprovalAsked,
    Entry,
    Event,
    Signal,
    TextDelta,
    ToolCalled,
    ToolReturned,
    TurnEnded,
    TurnSaid,
    TurnStarted,
    UsageReported,
)
from .harness import Ask, Brief, Features, Harness, Item, Launch, Steered, Withdraw, Write
from .replays import (
    Broken,
    Moves,
    Story,
    Told,
    Transcript,
    Watch,
    replayed,
    story_of,
    with_interrupts,
)
from .tree import Tree

__all__ = ["Broken", "check_harness", "replay"]

NOON: Final = datetime(2026, 1, 31, 12, tzinfo=UTC)

_OF_THE_TURN: Final = (TurnSaid, ToolCalled, ToolReturned, TurnEnded, UsageReported, TextDelta)


# what there is to call


def check_harness(
    cls: type[Harness], transcript: Transcript = (), *, moves: Moves | None = None, **brief: Any
) -> None:
    """Check a harness against the contract of `madrox_nb/harness/__init__.py`.

    Without a transcript only what needs none: the class, `launch` and garbage. `brief`
    are fields of `Brief`. Raises `Broken`, an AssertionError that names the rule, the
    transcript's line and what was seen there.
    """
    story = story_of(transcript, moves, brief)
    _check_class(cls)
    _check_launch(cls, story.brief)
    if not story.lines:
        check_garbage(cls, story)
        return
    story = with_interrupts(cls, story)
    told = replayed(cls, story, watch=_Contract(cls, story.brief))
    _check_same(cls, story, told)
    _check_features(cls, told)
    check_strangers(cls, story, told)
    check_quiet_interrupts(cls, story, told)
    check_disorder(cls, story)
    check_damage(cls, story)
    check_lost(cls, story)


def replay(
    cls: type[Harness], transcript: Transcript, *, moves: Moves | None = None, **brief: Any
) -> list[Item]:
    """What a recorded wire means: every item that the codec gives, in order.

    A line that it can't read gives none. Raises `Broken` for whatever else the codec raises.
    """
    story = with_interrupts(cls, story_of(transcript, moves, brief))
    return [item for _, items in replayed(cls, story) for item in items]


# the rules that one replay shows


@dataclass
class _Contract(Watch):
    """Watches a replay for what the contract forbids."""

    cls: type[Harness]
    brief: Brief

    def __post_init__(self) -> None:
        self.tree, self.seq = Tree(), count()
        self.prompts: list[str] = []
        self.begun = 0
        """The line after which the turn under way began."""
        self.open: dict[str, int] = {}
        """Tool calls under way: id → line."""
        self.reports: set[str] = set()
        """Turns whose usage was told."""
        self.asks: set[str] = set()
        self.failed = False
        self.told: list[str] = []
        """What was written to it."""
        spawned = AgentSpawned(agent=self.brief.agent, harness=self.cls.name, role=self.brief.role)
        self._record(spawned, 0)

    def prompted(self, codec: Harness, turn: str, lines: list[str], line: int) -> None:
        self.wrote(lines, line)
        if codec.turn != turn:
            raise Broken(
                "prompt sets turn", f"after prompt({turn!r}) the codec's turn is {codec.turn!r}", line
            )
        self.prompts.append(turn)
        self.begun, self.open = line, {}
        self._record(TurnStarted(agent=self.brief.agent, turn=turn, sender="you", text="…"), line)

    def wrote(self, lines: list[str], line: int) -> None:
        self.told += map(str, lines)
        for each in lines:
            if not isinstance(each, str) or not each:
                raise Broken("lines to write are texts", f"{each!r}", line)
            if self.cls.features.structured and not each.endswith("\n"):
                raise Broken("a line to write ends with its newline", f"{each[-80:]!r}", line)

    def read(self, codec: Harness, item: Item, line: int) -> None:
        if not isinstance(item, Event | Signal | Write | Ask | Withdraw | Steered):
            raise Broken("read gives items", f"{item!r} is none", line)
        if isinstance(item, Event | Signal) and item.agent != self.brief.agent:
            raise Broken("events are about the agent itself", f"{item}", line)
        if isinstance(item, AgentStopped):
            self.failed = True
            return
        self._turn(codec, item, line)
        if isinstance(item, Event):
            self._record(item, line)
        elif isinstance(item, Ask):
            self._asked(item, line)
        elif isinstance(item, Withdraw) and item.request not in self.asks:
            raise Broken("only what was asked is withdrawn", f"{item.request!r} was not", line)

    def _turn(self, codec: Harness, item: Item, line: int) -> None:
        """What happens in a turn belongs to the one under way, and its end comes last."""
        now = self.prompts[-1] if self.prompts else ""
        under_way = self.tree[self.brief.agent].turn
        if isinstance(item, _OF_THE_TURN) and item.turn != under_way:
            raise Broken(
                "what happens in a turn names that turn",
                f"{type(item).__name__} is about {item.turn!r}, and {under_way or 'no turn'} is under way",
                line,
            )
        match item:
            case UsageReported():
                self.reports.add(item.turn)
            case ToolCalled():
                if item.call in self.open:
                    raise Broken("a tool call begins once", f"{item.call} of {item.tool} again", line)
                self.open[item.call] = line
            case ToolReturned():
                if self.open.pop(item.call, None) is None:
                    raise Broken("only calls under way return", f"{item.call} is not", line)
            case TurnEnded():
                self._end(codec, item, now, line)

    def _end(self, codec: Harness, ended: TurnEnded, now: str, line: int) -> None:
        if codec.turn:
            raise Broken("a turn's end empties turn", f"after the end of {now} it is {codec.turn!r}", line)
        if now not in self.reports:
            raise Broken("usage is reported before a turn ends", f"{now} ended {ended.outcome} without", line)
        if self.open and ended.outcome == "ok":
            since = ", ".join(f"{call} (line {at})" for call, at in self.open.items())
            raise Broken(
                "tool calls are closed before the turn's end", f"open at the end of {now}: {since}", line
            )

    def _asked(self, ask: Ask, line: int) -> None:
        if not self.tree[self.brief.agent].turn:
            return  # the runner denies it
        self.asks.add(ask.request)
        asked = ApprovalAsked(
            agent=self.brief.agent, turn=self.prompts[-1], approval=ask.request, tool=ask.tool
        )
        answered = ApprovalAnswered(
            agent=self.brief.agent, approval=ask.request, decision="allow", by="policy"
        )
        self._record(asked, line)
        self._record(answered, line)

    def _record(self, event: Event, line: int) -> None:
        try:
            state = self.tree.check(event)
        except MadroxError as exc:
            raise Broken("events are legal", f"{event}: {exc}", line) from exc
        self.tree.apply(Entry(next(self.seq), NOON, event), state)

    def ended(self, codec: Harness, line: int) -> None:
        if not self.prompts and not self.failed:
            raise Broken("the handshake ends in AgentReady", "it never came", line)
        launch = codec.launch()
        told = (*launch.argv, *launch.env.values(), *launch.files.values(), *self.told)
        if self.prompts and self.cls.instructed and not any(self.brief.instructions in each for each in told):
            raise Broken(
                "what is declared is there", "instructed is set, and the instructions are told nowhere", line
            )


# the rules about the class and its launch


def _check_class(cls: type[Harness]) -> None:
    rule = "a harness says what it is"
    if not isinstance(getattr(cls, "name", None), str) or not re.fullmatch(r"[a-z][a-z0-9_-]*", cls.name):
        raise Broken(
            rule, f"name is {getattr(cls, 'name', None)!r}: write lower-case letters, digits, - and _"
        )
    if not isinstance(cls.features, Features):
        raise Broken(rule, f"features is {cls.features!r}, not Features(…)")
    for name in ("commands", "version_args", "tested"):
        if not isinstance(getattr(cls, name), tuple):
            raise Broken(rule, f"{name} is {getattr(cls, name)!r}, not a tuple of texts")
    for feature, method in (("steer", "steer"), ("approvals", "answer")):
        if getattr(cls.features, feature) and getattr(cls, method) is getattr(Harness, method):
            raise Broken(
                "what is declared is there", f"features.{feature} is set and {method}() is not written"
            )


def _check_launch(cls: type[Harness], brief: Brief) -> None:
    codecs = cls(brief), cls(brief)
    first, second = (codec.launch() for codec in codecs)
    if not isinstance(first, Launch):
        raise Broken("launch says what to run", f"{first!r} is no Launch")
    if first != second:
        raise Broken("launch is pure", f"two launches of one brief differ: {first} and {second}")
    if not first.argv or not all(isinstance(word, str) for word in first.argv):
        raise Broken("launch says what to run", f"argv is {first.argv!r}")
    seen = [*first.argv, *first.files, *first.copies, *first.copies.values()]
    for word in seen:
        if brief.mcp_token and brief.mcp_token in word:
            raise Broken(
                "no secret where others can see it", f"the token is in {word[:200]!r}: use Launch.files"
            )


# the rules that a second replay shows


def _check_same(cls: type[Harness], story: Story, told: Told) -> None:
    for (number, items), (_, again) in zip(told, replayed(cls, story), strict=True):
        if repr(items) != repr(again):  # NaN is never equal to itself, but is spelled the same
            raise Broken("reading is deterministic", f"{items} and then {again}", number)


def _check_features(cls: type[Harness], told: Told) -> None:
    """What the transcript shows and what is declared are the same, as far as it shows it."""
    reported = spoken = 0
    for number, items in told:
        for item in items:
            shown = _shown(item)
            if shown and not getattr(cls.features, shown):
                raise Broken(
                    "features match what is seen", f"{shown} is not declared, and yet: {item}", number
                )
            reported += isinstance(item, UsageReported) and _tokens(item) > 0
            spoken += isinstance(item, TurnSaid)
    if cls.features.usage and spoken and not reported:
        raise Broken("features match what is seen", "usage is declared, and no turn reports a token")


def _shown(item: Item) -> str:
    """The feature that an item gives proof of."""
    match item:
        case UsageReported() if item.cost_usd == item.cost_usd and item.cost_usd > 0:
            return "cost"
        case UsageReported() if _tokens(item):
            return "usage"
        case Ask():
            return "approvals"
        case TurnEnded(outcome="interrupted"):
            return "interrupt"
        case Steered(joined=True):
            return "steer"
    return ""


def _tokens(usage: UsageReported) -> int:
    return usage.input_tokens + usage.output_tokens + usage.cache_read_tokens + usage.cache_write_tokens
