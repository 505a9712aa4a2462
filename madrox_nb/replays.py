"""A recorded wire, played through a codec once more.

The player does what the manager does: it gives the first prompt when the codec says
`AgentReady` and the next one whenever a turn has ended, answers questions, and makes the
moves of the story. `testing.py` says how a story is told, and looks on.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Final, Literal, get_args

from .events import AgentReady, TextDelta, ToolCalled, TurnEnded, TurnSaid, Verdict
from .harness import Ask, Brief, Harness, Item, Unreadable, Write

Move = Literal["interrupt", "steer"]
Moves = Mapping[int, Move]
"""Number of a turn → what is done at its first word."""
Transcript = Path | str | Iterable[str]
"""A file of lines, or the lines."""

CANARY: Final = "canary-T0ken-that-must-not-be-seen"


class Broken(AssertionError):
    """A rule of the contract that a harness breaks."""

    def __init__(self, rule: str, saw: str, line: int = 0) -> None:
        self.rule, self.saw, self.line = rule, saw, line
        where = f"line {line}: " if line else ""
        super().__init__(f"{rule}: {where}{saw}")


# a story


@dataclass(frozen=True)
class Story:
    """What the CLI wrote, and what we did."""

    lines: tuple[str, ...]
    brief: Brief
    moves: Moves
    concluded: bool = False
    """The moves were not said."""

    @property
    def messages(self) -> list[dict[str, Any] | None]:
        """The lines as JSON objects; None for one that is none."""
        return [_object(line) for line in self.lines]


def story_of(transcript: Transcript, moves: Moves | None, brief: Mapping[str, Any]) -> Story:
    beside: Mapping[str, Any] = {}
    if isinstance(transcript, str | Path):
        path = Path(transcript)
        transcript = path.read_text(encoding="utf-8").split("\n")
        if path.with_suffix(".json").exists() and path.suffix != ".json":
            beside = json.loads(path.with_suffix(".json").read_text(encoding="utf-8"))
    lines = tuple(line.removesuffix("\n") for line in transcript)
    while lines and not lines[-1]:
        lines = lines[:-1]
    if moves is None and "moves" in beside:
        moves = {int(number): move for number, move in beside["moves"].items()}
    for move in (moves or {}).values():
        if move not in get_args(Move):
            raise ValueError(f"{move!r} is no move; known: {', '.join(get_args(Move))}")
    return Story(lines, _brief({**beside.get("brief", {}), **brief}), moves or {}, moves is None)


def _brief(given: Mapping[str, Any]) -> Brief:
    known: dict[str, Any] = {
        "agent": "lead",
        "command": ("/bin/the-cli", "--first"),
        "workspace": "/home/me/work/lead",
        "files": "/home/me/private/lead",
        "sessions": "/home/me/sessions",
        "instructions": "You are lead.",
        "session": "11111111-2222-4333-8444-555555555555",
        "mcp_url": "http://127.0.0.1:8001/mcp",
        "mcp_token": CANARY,
    }
    for name in ("command", "extra_args"):
        if name in given:
            given = {**given, name: tuple(given[name])}
    return Brief(**{**known, **given})


def _object(line: str) -> dict[str, Any] | None:
    try:
        found = json.loads(line)
    except (ValueError, RecursionError):
        return None
    return found if isinstance(found, dict) else None


def with_interrupts(cls: type[Harness], story: Story) -> Story:
    """Conclude which turns were interrupted: those that so end interrupted and else failed."""
    if not story.concluded or not cls.features.interrupt:
        return story
    ends = _ends(replayed(cls, story))
    tried: dict[int, Move] = {
        number: "interrupt" for number, end in enumerate(ends, 1) if end.outcome == "failed"
    }
    moved = _ends(replayed(cls, replace(story, moves=tried)))
    kept = {n: m for n, m in tried.items() if n <= len(moved) and moved[n - 1].outcome == "interrupted"}
    return replace(story, moves=kept, concluded=False)


def _ends(told: Told) -> list[TurnEnded]:
    return [item for _, items in told for item in items if isinstance(item, TurnEnded)]


# the replay


Told = list[tuple[int, list[Item]]]
"""Number of each line, from 1, and its items."""


class Watch:
    """Looks on while a story is replayed. This one sees nothing amiss."""

    def prompted(self, codec: Harness, turn: str, lines: list[str], line: int) -> None:
        """`turn` was begun, after that line was read."""

    def read(self, codec: Harness, item: Item, line: int) -> None:
        """An item of that line."""

    def wrote(self, lines: list[str], line: int) -> None:
        """The codec wants these written."""

    def ended(self, codec: Harness, line: int) -> None:
        """That was the last line."""


@dataclass
class Player:
    """One codec, and the part of the manager: it prompts, answers and makes the moves."""

    cls: type[Harness]
    story: Story
    watch: Watch = field(default_factory=Watch)
    interrupts_between: bool = False
    """Interrupt wherever no turn is under way."""
    idle_writes: int = 0
    """Lines that those interrupts wanted written."""

    def __post_init__(self) -> None:
        self.codec = self.cls(self.story.brief)
        self.codec.launch()
        self.turns, self.moved, self.ready = 0, False, False
        self.watch.wrote(list(self.codec.greet()), 0)

    def read(self, text: str, line: int) -> list[Item]:
        """Feed one line. Raises what the codec raises."""
        items = list(self.codec.read(text))
        for item in items:
            self.watch.read(self.codec, item, line)
            self._react(item, line)
        return items

    def try_read(self, text: str, line: int) -> list[Item]:
        """The same; a line that it can't read gives nothing."""
        try:
            return self.read(text, line)
        except Unreadable:
            return []

    def _react(self, item: Item, line: int) -> None:
        if isinstance(item, Write):
            self.watch.wrote([item.line], line)
        elif isinstance(item, AgentReady | TurnEnded):
            self.begin(isinstance(item, AgentReady), line)
        elif isinstance(item, TextDelta | TurnSaid | ToolCalled | Ask):
            moved = self._move(line)
            if isinstance(item, Ask) and not moved:
                verdict: Verdict = "allow" if self.codec.turn else "deny"
                self.watch.wrote(list(self.codec.answer(item.request, verdict)), line)

    def begin(self, by_ready: bool, line: int) -> None:
        """Give the next prompt, when it is time for one."""
        if self.interrupts_between and not self.codec.turn:
            self.idle_writes += len(list(self.codec.interrupt()))
        if (by_ready and self.ready) or (self.turns and not self.cls.features.multi_turn):
            self.ready = True
            return
        self.ready = True
        self.turns, self.moved = self.turns + 1, False
        turn = f"{self.story.brief.agent}.t{self.turns}"
        lines = list(self.codec.prompt(turn, f"prompt {self.turns}\nof two lines"))
        self.watch.prompted(self.codec, turn, lines, line)

    def _move(self, line: int) -> bool:
        """Whether this turn is interrupted; makes its move the first time."""
        move = self.story.moves.get(self.turns)
        if move is None or not self.codec.turn:
            return False
        if not self.moved:
            self.moved = True
            steer = f"{self.story.brief.agent}.s{self.turns}"
            wrote = self.codec.interrupt() if move == "interrupt" else self.codec.steer(steer, "also this")
            self.watch.wrote(list(wrote), line)
        return move == "interrupt"


def replayed(cls: type[Harness], story: Story, watch: Watch | None = None, **how: bool) -> Told:
    """Raises `Broken` for whatever the codec raises besides `Unreadable`."""
    told: Told = []
    with nothing_but_unreadable(0, "before the first line"):
        player = Player(cls, story, watch or Watch(), **how)
    for number, text in enumerate(story.lines, 1):
        with nothing_but_unreadable(number, f": {text[:200]}"):
            told.append((number, player.try_read(text, number)))
    player.watch.ended(player.codec, len(story.lines))
    return told


@contextmanager
def nothing_but_unreadable(line: int, how: str) -> Iterator[None]:
    """Whatever else is raised in here is a rule broken."""
    try:
        yield
    except (Unreadable, Broken):
        raise
    except Exception as exc:
        raise Broken("a codec raises nothing but Unreadable", f"{exc!r} {how}", line) from exc
