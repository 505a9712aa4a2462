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

import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import count
from typing import Any, Final

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
from .harness import Ask, Brief, Features, Harness, Item, Launch, Steered, Unreadable, Withdraw, Write
from .replays import (
    Broken,
    Moves,
    Player,
    Story,
    Told,
    Transcript,
    Watch,
    nothing_but_unreadable,
    replayed,
    story_of,
    with_interrupts,
)
from .tree import Tree

__all__ = ["Broken", "check_harness", "replay"]

NOON: Final = datetime(2026, 1, 31, 12, tzinfo=UTC)
KINDS: Final = ("type", "method", "kind", "event", "subtype", "sessionUpdate")
"""Where a message of a JSON protocol says what it is."""
NO_KIND: Final = "madrox/no-such-kind"

GARBAGE: Final = (
    "",
    " ",
    "garbage",
    "{",
    '{"type": "result"',
    "\x00\x07\x1b[2J",
    "\ufffd\ud800",
    "[" * 100_000,
    "9" * 5000,
)
"""Lines that are no JSON, or none that can be read."""
NOT_OBJECTS: Final = ("null", "true", "42", '"text"', "[]", '["type"]')
WRONG: Final[tuple[Any, ...]] = (None, -1, "x", [None], {"type": "text"})
"""What takes the place of each value of a message, one after the other."""
DEEPEST: Final = 5
"""Levels of a message that are disturbed."""

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
        _check_garbage(cls, story, GARBAGE)
        return
    story = with_interrupts(cls, story)
    told = replayed(cls, story, watch=_Contract(cls, story.brief))
    _check_same(cls, story, told)
    _check_features(cls, told)
    _check_strangers(cls, story, told)
    _check_quiet_interrupts(cls, story, told)
    _check_disorder(cls, story)
    _check_damage(cls, story)
    _check_lost(cls, story)


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


# the rules that a disturbed replay shows


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


def _check_strangers(cls: type[Harness], story: Story, told: Told) -> None:
    """Messages of a later version, and garbage, in between: they give nothing and change nothing."""
    player, expected, given = Player(cls, story), list[Item](), list[Item]()
    for (number, items), text, message in zip(told, story.lines, story.messages, strict=True):
        if message is not None and (stranger := _stranger(message)) is not None:
            given += _passed_over(player, stranger, number)
        if all(story.messages):
            _check_lines(player.codec, GARBAGE[number % len(GARBAGE) :][:1] + NOT_OBJECTS[:1], number, True)
        given += player.try_read(text, number)
        expected += items
        if repr(expected) != repr(given):
            new = [item for item in given[len(expected) - len(items) :] if item not in items]
            raise Broken(
                "what can't be read changes nothing",
                f"after unknown messages and garbage {new or 'less'} instead of {items}",
                number,
            )


def _stranger(message: Mapping[str, Any]) -> str | None:
    """`message` as one of a kind that nobody knows yet."""
    for name in KINDS[:4]:
        if isinstance(message.get(name), str):
            return json.dumps({**message, name: NO_KIND})
    if "id" in message and ("result" in message or "error" in message):
        return json.dumps({**message, "id": 987_654_321})
    return None


def _passed_over(player: Player, stranger: str, number: int) -> list[Item]:
    """What an unknown message gave. It may be refused, and it may bring to light what we did before it."""
    rule = "unknown messages give nothing"
    try:
        items = list(player.codec.read(stranger))
    except Exception as exc:
        raise Broken(rule, f"{exc!r} on {stranger[:200]}", number) from exc
    if more := [item for item in items if not isinstance(item, Write | Withdraw)]:
        raise Broken(rule, f"{more} out of {stranger[:200]}", number)
    return [item for item in items if isinstance(item, Withdraw)]


def _check_garbage(cls: type[Harness], story: Story, lines: Sequence[str]) -> None:
    player = Player(cls, story)
    _check_lines(player.codec, lines, 0, False)


def _check_lines(codec: Harness, lines: Iterable[str], number: int, must: bool) -> None:
    """Lines outside the protocol raise `Unreadable`, or (unless they `must`) mean something; no more."""
    for line in lines:
        try:
            items = list(codec.read(line))
        except Unreadable:
            continue
        except Exception as exc:
            raise Broken("garbage raises Unreadable", f"{exc!r} on {line[:80]!r}", number) from exc
        if must:
            raise Broken("garbage raises Unreadable", f"{line[:80]!r} gave {items}", number)


def _check_quiet_interrupts(cls: type[Harness], story: Story, told: Told) -> None:
    """An interrupt between turns comes too late, and that is all.

    Where the codec writes a line for it, the recorded CLI did not answer that line, so
    only that nothing is raised can be seen.
    """
    player = Player(cls, story, interrupts_between=True)
    for (number, items), text in zip(told, story.lines, strict=True):
        with nothing_but_unreadable(number, "after an interrupt between turns"):
            again = player.try_read(text, number)
        if not player.idle_writes and repr(items) != repr(again):
            raise Broken("an interrupt between turns is harmless", f"{again} instead of {items}", number)


def _check_disorder(cls: type[Harness], story: Story) -> None:
    """Lines twice, backwards, and before they were asked for."""
    twice, backwards, asleep = Player(cls, story), Player(cls, story), cls(story.brief)
    numbered = list(enumerate(story.lines, 1))
    for line, text in numbered:
        for _ in range(2):
            _survives(twice, text, line, "read twice")
    for line, text in reversed(numbered):
        _survives(backwards, text, line, "read backwards")
    for line, text in numbered:
        with nothing_but_unreadable(line, "on a line read before greet()"), suppress(Unreadable):
            list(asleep.read(text))


def _check_damage(cls: type[Harness], story: Story) -> None:
    """Each kind of message with each of its fields missing, or holding something else."""
    player, known = Player(cls, story), set[str]()
    for number, (text, message) in enumerate(zip(story.lines, story.messages, strict=True), 1):
        if message is not None and (shape := _shape(message)) not in known:
            known.add(shape)
            for damaged in _damaged(message):
                _survives(player, json.dumps(damaged), number, "damaged")
                if not player.codec.turn and player.ready:
                    player.begin(False, number)
        _survives(player, text, number, "read after damaged ones")
    _check_lines(player.codec, (*GARBAGE, *NOT_OBJECTS), len(story.lines), False)


def _survives(player: Player, text: str, line: int, how: str) -> None:
    with nothing_but_unreadable(line, f"on a line {how}: {text[:200]}"), suppress(Unreadable):
        player.read(text, line)


def _shape(message: Mapping[str, Any], depth: int = 0) -> str:
    """What tells kinds of messages apart: their fields, and what they say they are."""
    parts = []
    for name, value in sorted(message.items()):
        inner = _shape(value, depth + 1) if isinstance(value, dict) and depth < 2 else ""
        parts.append(f"{name}={value if name in KINDS else inner}")
    return "{" + ",".join(parts) + "}"


def _damaged(message: Mapping[str, Any], depth: int = 0) -> Iterator[dict[str, Any]]:
    for name, value in message.items():
        rest = {key: each for key, each in message.items() if key != name}
        yield rest
        yield from ({**message, name: wrong} for wrong in WRONG)
        if isinstance(value, dict) and depth < DEEPEST:
            yield from ({**message, name: inner} for inner in _damaged(value, depth + 1))
        elif isinstance(value, list) and value and isinstance(value[0], dict) and depth < DEEPEST:
            yield from ({**message, name: [inner, *value[1:]]} for inner in _damaged(value[0], depth + 1))


def _check_lost(cls: type[Harness], story: Story) -> None:
    """At whatever line the CLI goes away: what is known then is usage of the turn under way."""
    rule = "lost tells the usage of the turn under way"
    player = Player(cls, story)
    for number, text in enumerate(story.lines, 1):
        player.try_read(text, number)
        try:
            events = list(player.codec.lost())
        except Exception as exc:
            raise Broken(rule, f"{exc!r}", number) from exc
        for event in events:
            if not isinstance(event, UsageReported) or event.turn != player.codec.turn or not event.turn:
                raise Broken(rule, f"{player.codec.turn or 'no turn'} is under way: {event}", number)
