"""Going on with a CLI whose kernel died, at every point at which it can die."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from madrox_nb.adoption import Adoption, adopt
from madrox_nb.events import (
    AgentReady,
    AgentSpawned,
    ApprovalAnswered,
    ApprovalAsked,
    Entry,
    Event,
    HarnessNoise,
    TextDelta,
    TurnEnded,
    TurnStarted,
    TurnSteered,
)
from madrox_nb.evidence import find_marks, mark
from madrox_nb.harness import Ask, Brief, Harness, Item, Steered, Unreadable, Withdraw, Write
from madrox_nb.harness.claude import Claude
from madrox_nb.transport import Line

TRANSCRIPTS = Path(__file__).parent / "transcripts" / "claude-2.1.330"
STORIES = {path.stem: path.read_text().splitlines() for path in sorted(TRANSCRIPTS.glob("*.jsonl"))}
INTERRUPTED = {"interrupted": {"lead.t2"}, "asked": {"lead.t2"}}
"""The turns that somebody interrupts at their first word or question."""
NOW = datetime(2026, 1, 1, tzinfo=UTC)


def wire(lines: list[str]) -> list[Line]:
    """Lines where they stand in a wire log."""
    placed, offset = [], 0
    for text in lines:
        length = len(text.encode())
        placed.append(Line(text, offset, length))
        offset += length + 1
    return placed


def entries(events: list[Event]) -> list[Entry]:
    return [Entry(seq, NOW, event) for seq, event in enumerate(events)]


class Dead(Exception):
    """The kernel was killed."""


class Kernel:
    """What a manager and its runner do with one agent, one step at a time, until it is killed.

    A step is what happens whole or not at all: an entry in the ledger, a mark, a write.
    """

    def __init__(self, cls: type[Harness], files: Path, world: World) -> None:
        self.world = world
        self.codec = cls(world.brief(files))
        self.asks: dict[str, str] = {}
        """Request of the CLI → approval of ours."""

    def step(self) -> None:
        self.world.steps += 1
        if self.world.steps == self.world.dies_at:
            raise Dead

    def record(self, event: Event) -> None:
        self.step()
        self.world.ledger.append(event)

    def say(self, verb: str, *arguments: str) -> None:
        self.step()
        lines = list(getattr(self.codec, verb)(*arguments))  # and a mark
        if verb == "interrupt":
            self.world.interrupted.add(self.codec.turn)  # nobody does so twice, though it may get lost
        self.world.on_its_way = lines
        self.step()
        self.world.written += lines
        self.world.on_its_way = []

    def read(self, line: Line) -> None:
        items: list[Item] = []
        try:
            items = list(self.codec.read(line.text))
        except Unreadable:
            self.record(HarnessNoise(agent="lead", text=line.text, offset=line.offset, length=line.length))
        for item in items:
            self.take(item)

    def take(self, item: Item) -> None:
        world, agent = self.world, "lead"
        if isinstance(item, Event):
            self.record(item)
        elif isinstance(item, Write):
            world.on_its_way = [item.line]
            self.step()
            world.written.append(item.line)
            world.on_its_way = []
        elif isinstance(item, Ask):
            self.ask(item)
        elif isinstance(item, Withdraw) and (approval := self.asks.pop(item.request, "")):
            self.record(ApprovalAnswered(agent=agent, approval=approval, decision="withdrawn", by=agent))
        elif isinstance(item, Steered) and item.joined:
            self.record(TurnSteered(agent=agent, turn=self.codec.turn, sender="you", text=item.steer))
        if isinstance(item, TextDelta | Ask):
            self.interrupt()
        if isinstance(item, AgentReady | TurnEnded):
            self.prompt()

    def ask(self, ask: Ask) -> None:
        if not self.codec.turn:
            self.say("answer", ask.request, "deny", "no turn is under way")
            return
        asked = sum(isinstance(event, ApprovalAsked) for event in self.world.ledger)
        approval = self.asks[ask.request] = f"lead.a{asked + 1}"
        self.record(ApprovalAsked(agent="lead", turn=self.codec.turn, approval=approval, tool=ask.tool))
        self.decide(ask.request)

    def decide(self, request: str) -> None:
        if self.world.decides:
            self.record(
                ApprovalAnswered(
                    agent="lead", approval=self.asks.pop(request), decision="deny", by="you", why="no"
                )
            )
            self.say("answer", request, "deny", "no")

    def prompt(self) -> None:
        turns = sum(isinstance(event, TurnStarted) for event in self.world.ledger)
        turn = f"lead.t{turns + 1}"
        self.record(TurnStarted(agent="lead", turn=turn, sender="you", text=f"prompt {turn}"))
        self.say("prompt", turn, f"prompt {turn}")

    def interrupt(self) -> None:
        turn = self.codec.turn
        if turn in self.world.interrupts and turn not in self.world.interrupted:
            self.say("interrupt")

    # the first and the second life

    def begin(self) -> None:
        mark(self.codec)
        self.say("greet")

    def go_on(self, adoption: Adoption) -> None:
        """What a kernel does that comes back."""
        self.asks = {ask.request: approval for approval, ask in adoption.open.items()}
        mark(self.codec, find_marks(Path(self.codec.brief.files)), adoption.read)
        for owed in adoption.owed:
            self.say(owed.verb, *owed.arguments)
        for item in adoption.items:
            self.take(item)
        for request in tuple(self.asks):
            self.decide(request)
        if any(
            isinstance(event, ApprovalAsked) and event.turn == self.codec.turn for event in self.world.ledger
        ):
            self.interrupt()
        last = next(
            (e for e in reversed(self.world.ledger) if isinstance(e, AgentReady | TurnEnded | TurnStarted)),
            None,
        )
        if isinstance(last, AgentReady | TurnEnded) and not self.codec.turn:
            self.prompt()


class World:
    """What stays when a kernel dies: the ledger, what was written to the CLI, what people do."""

    def __init__(self, story: str, *, decides: bool, dies_at: int = 0) -> None:
        self.story, self.decides, self.dies_at = story, decides, dies_at
        self.interrupts = INTERRUPTED.get(story, set())
        self.interrupted: set[str] = set()
        self.ledger: list[Event] = [AgentSpawned(agent="lead", harness="claude", role="general")]
        self.written: list[str] = []
        self.on_its_way: list[str] = []
        """Made by the codec, and not yet in the pipe."""
        self.steps = 0

    def brief(self, files: Path) -> Brief:
        inits = (json.loads(line) for line in STORIES.get(self.story, ()))
        session = next((m["session_id"] for m in inits if m.get("subtype") == "init"), "s-1")
        return Brief(
            agent="lead", command=("/bin/claude",), workspace="/w", files=str(files), session=session
        )


def second_life(world: World, files: Path, heard: Iterator[Line]) -> Kernel:
    kernel = Kernel(Claude, files, world)
    kernel.go_on(adopt(kernel.codec, heard, find_marks(files), entries(world.ledger)))
    return kernel


def lived(world: World, files: Path, lines: list[Line]) -> Kernel:
    """A kernel that reads `lines`."""
    kernel = Kernel(Claude, files, world)
    kernel.begin()
    for line in lines:
        kernel.read(line)
    return kernel


def state(codec: Harness) -> dict[str, object]:
    """All that a codec knows."""
    return {
        name: repr(value) for name, value in vars(codec).items() if name != "brief" and not callable(value)
    }


def deaths(story: str, decides: bool, files: Path) -> int:
    """How many steps the story has."""
    world = World(story, decides=decides)
    lived(world, files, wire(STORIES[story]))
    return world.steps


@pytest.mark.parametrize("decides", [True, False], ids=["decided", "left open"])
@pytest.mark.parametrize("story", STORIES)
def test_wherever_its_kernel_dies_a_claude_is_gone_on_with_as_if_nothing_had_happened(
    story: str, decides: bool, tmp_path: Path
) -> None:
    lines = wire(STORIES[story])
    whole = World(story, decides=decides)
    expected = lived(whole, tmp_path / "whole", lines)
    steps = deaths(story, decides, tmp_path / "counted")
    assert steps > 2 * len([event for event in whole.ledger if isinstance(event, TurnStarted)])

    for n in range(1, steps + 1):
        for logged in (0, 2):
            world, files = World(story, decides=decides, dies_at=n), tmp_path / f"{n}-{logged}"
            read = die(world, files, lines)
            heard = iter(lines[: read + logged])  # the log may hold more than was taken in
            lost, world.on_its_way = world.on_its_way, []
            kernel = second_life(world, files, heard)
            for line in [*heard, *lines[read + logged :]]:
                kernel.read(line)

            assert state(expected.codec) == state(kernel.codec), n
            assert whole.ledger == world.ledger, n
            assert sorted(whole.written) == sorted([*world.written, *lost]), n


@pytest.mark.parametrize("story", ["asked", "interrupted"])
def test_a_kernel_that_came_back_can_die_too(story: str, tmp_path: Path) -> None:
    lines = wire(STORIES[story])
    whole = World(story, decides=True)
    expected = lived(whole, tmp_path / "whole", lines)

    for n in range(1, deaths(story, True, tmp_path / "counted") - 6):
        for more in range(1, 6):
            world, files = World(story, decides=True, dies_at=n), tmp_path / f"{n}-{more}"
            read = die(world, files, lines)
            lost, world.on_its_way = world.on_its_way, []
            world.dies_at = n + more
            heard = iter(lines[:read])
            try:
                kernel = second_life(world, files, heard)
                for line in (*heard, *lines[read:]):
                    read = max(read, lines.index(line) + 1)
                    kernel.read(line)
            except Dead:
                pass
            else:
                raise AssertionError("it did not die again")
            lost, world.on_its_way = lost + world.on_its_way, []
            heard = iter(lines[:read])
            kernel = second_life(world, files, heard)
            for line in [*heard, *lines[read:]]:
                kernel.read(line)

            assert state(expected.codec) == state(kernel.codec), (n, more)
            assert whole.ledger == world.ledger, (n, more)
            assert sorted(whole.written) == sorted([*world.written, *lost]), (n, more)


def die(world: World, files: Path, lines: list[Line]) -> int:
    """The life of a kernel until it is killed; how many lines it had read."""
    kernel, read = Kernel(Claude, files, world), 0
    try:
        kernel.begin()
        for line in lines:
            read += 1
            kernel.read(line)
    except Dead:
        return read
    raise AssertionError("it did not die")
