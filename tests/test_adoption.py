"""Going on with a CLI whose kernel died, at every point at which it can die."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from madrox_nb.adoption import Adoption, adopt
from madrox_nb.errors import HarnessError
from madrox_nb.events import (
    AgentReady,
    AgentSpawned,
    AgentStopped,
    ApprovalAnswered,
    ApprovalAsked,
    Entry,
    Event,
    HarnessNoise,
    TextDelta,
    TurnEnded,
    TurnSaid,
    TurnStarted,
    TurnSteered,
)
from madrox_nb.evidence import BRIEF, MARKS, Mark, find_brief, find_marks, leave_brief, mark
from madrox_nb.harness import Ask, Brief, Harness, Item, Launch, Steered, Unreadable, Withdraw, Write
from madrox_nb.harness.claude import Claude
from madrox_nb.harness.rehearsal import Rehearsal
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


# what is left behind


def marked(files: Path) -> Rehearsal:
    """A rehearsal codec that has greeted and been told that it is ready."""
    codec = Rehearsal(told(files))
    mark(codec)
    list(codec.greet())
    list(codec.read('{"type":"ready","session":"s-1","version":"0"}'))
    return codec


def told(files: Path, **more: Any) -> Brief:
    return Brief(agent="lead", command=("/bin/rehearsal", "-x"), workspace="/w", files=str(files), **more)


def test_a_brief_comes_back_without_its_secrets(tmp_path: Path) -> None:
    told_at_birth = told(
        tmp_path,
        options={"effort": "low"},
        extra_args=("--one",),
        mcp_url="http://x/mcp",
        mcp_token="mdx_hush",
        environ={"API_KEY": "hush"},
    )
    leave_brief(told_at_birth)
    today = {"API_KEY": "another"}

    assert replace(told_at_birth, mcp_token="", environ=today) == find_brief(tmp_path, today)
    assert "hush" not in (tmp_path / BRIEF).read_text()
    assert 0o600 == (tmp_path / BRIEF).stat().st_mode & 0o777


def test_a_brief_that_is_not_there_or_no_brief_is_said(tmp_path: Path) -> None:
    with pytest.raises(HarnessError, match=r"what the agent in .* was told"):
        find_brief(tmp_path, {})
    (tmp_path / BRIEF).write_text("[1]")
    with pytest.raises(HarnessError, match=r"what the agent in .* was told"):
        find_brief(tmp_path, {})


def test_what_is_asked_of_a_codec_is_written_down_privately_with_its_place(tmp_path: Path) -> None:
    codec = marked(tmp_path)
    list(codec.prompt("lead.t1", "go \ud83d"))
    with pytest.raises(Unreadable):
        codec.read("no JSON")
    list(codec.interrupt())
    list(codec.answer("r1", "deny", "no"))

    assert [
        Mark(0, "greet"),
        Mark(1, "prompt", ("lead.t1", "go \ud83d")),
        Mark(2, "interrupt"),
        Mark(2, "answer", ("r1", "deny", "no")),
    ] == find_marks(tmp_path)
    assert 0o600 == (tmp_path / MARKS).stat().st_mode & 0o777


class Talkative(Rehearsal):
    """Asks itself, and writes of its own accord."""

    def read(self, line: str) -> list[Item]:
        return [Write(line=said) for said in self.answer("r", "deny")] if line == "now" else []


def test_what_a_codec_asks_of_itself_is_not_marked_but_that_it_wrote_is(tmp_path: Path) -> None:
    codec = Talkative(told(tmp_path))
    mark(codec)
    codec.read("not yet")
    codec.read("now")

    assert [Mark(2, "wrote")] == find_marks(tmp_path)


def test_what_was_written_of_its_own_accord_is_written_once(tmp_path: Path) -> None:
    lines = wire(["not yet", "now", "now"])
    for marks, writes in (([], 0), ([Mark(2, "wrote")], 0), ([Mark(2, "interrupt")], 1)):
        adoption = adopt(Talkative(told(tmp_path)), iter(lines), [Mark(0, "greet"), *marks], [])
        assert writes == len(adoption.items)


def test_half_the_evidence_is_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    codec = marked(tmp_path)

    def full(*args: object, **kwargs: object) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(Path, "open", full)
        assert 1 == len(list(codec.prompt("lead.t1", "go"))), "the agent works on"
    list(codec.interrupt())

    with pytest.raises(HarnessError, match="nothing says what was asked"):
        find_marks(tmp_path)


def test_a_mark_that_was_cut_is_no_mark(tmp_path: Path) -> None:
    marked(tmp_path)
    with (tmp_path / MARKS).open("a") as file:
        file.write('[1, "prom')

    assert [Mark(0, "greet")] == find_marks(tmp_path)


# evidence that tells no one story, and stories of their own


def said(kind: str, **more: object) -> str:
    return json.dumps({"type": kind, **more})


READY = said("ready", session="s-1", version="0")
SPOKE = said("said", turn="lead.t1", text="hello")
BORN = AgentSpawned(agent="lead", harness="rehearsal", role="general")
IS_READY = AgentReady(agent="lead", session="s-1", version="0")
BEGUN = TurnStarted(agent="lead", turn="lead.t1", sender="you", text="go")
HEARD = TurnSaid(agent="lead", turn="lead.t1", text="hello")
GREETED = [Mark(0, "greet"), Mark(1, "prompt", ("lead.t1", "go"))]


def adopted(lines: list[str], marks: list[Mark], events: list[Event]) -> tuple[Adoption, list[str]]:
    """An adoption, and the lines that are left to be read."""
    left = iter(wire(lines))
    adoption = adopt(Rehearsal(told(Path("/f"))), left, marks, entries(events))
    return adoption, [line.text for line in left]


def test_a_ledger_that_knows_more_than_the_wire_log_is_not_gone_on_with() -> None:
    with pytest.raises(HarnessError, match="lead can't be gone on with: it was heard saying more"):
        adopted([READY], GREETED, [BORN, IS_READY, BEGUN, HEARD])
    with pytest.raises(HarnessError, match="heard saying more"):
        adopted([], GREETED, [BORN])


def test_a_ledger_that_knows_something_else_is_not_gone_on_with() -> None:
    with pytest.raises(HarnessError, match=r"the ledger has turn.ended where its wire log has turn.said"):
        adopted(
            [READY, SPOKE],
            GREETED,
            [BORN, IS_READY, BEGUN, TurnEnded(agent="lead", turn="lead.t1", outcome="ok")],
        )


def test_what_happened_to_an_earlier_process_of_that_name_and_to_others_is_left_out() -> None:
    before = [
        BORN,
        IS_READY,
        AgentStopped(agent="lead", reason="it had enough"),
        replace(IS_READY, agent="ann"),
    ]
    adoption, left = adopted([READY, SPOKE], GREETED, [*before, BORN, IS_READY, BEGUN])

    assert ([SPOKE], True, 1) == (left, adoption.ready, adoption.read)


def test_who_was_never_greeted_is_greeted_and_a_prompt_that_never_went_out_is_owed() -> None:
    adoption, _ = adopted([], [], [BORN])
    assert ((Mark(0, "greet"),), False) == (adoption.owed, adoption.ready)

    adoption, _ = adopted([READY], GREETED[:1], [BORN, IS_READY, BEGUN])
    assert (Mark(1, "prompt", ("lead.t1", "go")),) == adoption.owed


def test_lines_that_were_noise_are_not_noise_again() -> None:
    lines = [READY, "garbage", "more", SPOKE]
    at = {line.text: line for line in wire(lines)}
    noise = HarnessNoise(
        agent="lead", text="garbage", offset=at["garbage"].offset, length=at["garbage"].length
    )
    adoption, left = adopted(lines, GREETED, [BORN, IS_READY, BEGUN, noise])

    assert ((), ["more", SPOKE]) == (adoption.items, left)


def test_what_was_out_of_place_and_kept_as_noise_counts_as_heard() -> None:
    out_of_place = HarnessNoise(agent="lead", text=f"not now: {HEARD}")
    elsewhere = HarnessNoise(agent="lead", text="something that no codec said")
    adoption, left = adopted([READY, SPOKE, SPOKE], GREETED, [BORN, IS_READY, BEGUN, elsewhere, out_of_place])

    assert ((), [SPOKE]) == (adoption.items, left)


def test_a_line_too_long_was_never_read_by_the_codec() -> None:
    lines = [*wire([READY]), Line("x", len(READY) + 1, 2**26, whole=False)]
    spoken = Line(SPOKE, 2**27, len(SPOKE))
    known = entries([BORN, IS_READY, BEGUN, HEARD])
    adoption = adopt(Rehearsal(told(Path("/f"))), iter([*lines, spoken]), GREETED, known)

    assert 2 == adoption.read


ASKS = said("ask", request="r1", tool="Bash", input={"command": "ls"})
ASKED = ApprovalAsked(agent="lead", turn="lead.t1", approval="lead.a1", tool="Bash")
ALLOWED = ApprovalAnswered(agent="lead", approval="lead.a1", decision="allow", by="you")


def test_a_question_is_open_decided_or_asked_again() -> None:
    story, known = [READY, ASKS], [BORN, IS_READY, BEGUN]
    request = Ask(request="r1", tool="Bash", input={"command": "ls"})

    unheard, left = adopted(story, GREETED, known)
    assert ((), {}, [ASKS]) == (unheard.items, unheard.open, left)

    open_, left = adopted(story, GREETED, [*known, ASKED])
    assert ({"lead.a1": request}, (), []) == (open_.open, open_.owed, left)

    decided, _ = adopted(story, GREETED, [*known, ASKED, ALLOWED])
    assert ({}, (Mark(2, "answer", ("r1", "allow", "")),)) == (decided.open, decided.owed)

    withdrawn = replace(ALLOWED, decision="withdrawn", by="lead")
    forgotten, _ = adopted(story, GREETED, [*known, ASKED, withdrawn])
    assert ({}, ()) == (forgotten.open, forgotten.owed)

    answered, _ = adopted(story, [*GREETED, Mark(2, "answer", ("r1", "allow", ""))], [*known, ASKED, ALLOWED])
    assert ({}, ()) == (answered.open, answered.owed)

    unrecorded, _ = adopted(story, [*GREETED, Mark(2, "answer", ("r1", "allow", ""))], known)
    assert ((), {}, ()) == (unrecorded.items, unrecorded.open, unrecorded.owed)


class Launching(Rehearsal):
    launched = False

    def launch(self) -> Launch:
        self.launched = True
        return super().launch()


def test_a_codec_knows_what_it_was_launched_with() -> None:
    adoption = adopt(Launching(told(Path("/f"))), iter(()), GREETED[:1], [])

    assert isinstance(adoption.codec, Launching)
    assert adoption.codec.launched


def test_a_turn_s_end_closes_its_questions() -> None:
    ended = said("ended", turn="lead.t1", outcome="ok", text="", error="")
    end = TurnEnded(agent="lead", turn="lead.t1", outcome="ok")
    adoption, _ = adopted([READY, ASKS, ended], GREETED, [BORN, IS_READY, BEGUN, ASKED, end])

    assert {} == adoption.open


class Steerable(Rehearsal):
    def steer(self, steer: str, text: str) -> list[str]:
        self.steered = steer
        return [f"steer {text}"]

    def read(self, line: str) -> list[Item]:
        if line == "joined":
            return [Steered(steer=self.steered, joined=True)]
        return list(super().read(line))


def test_a_message_that_joined_a_turn_has_joined_it_once() -> None:
    joined = TurnSteered(agent="lead", turn="lead.t1", sender="you", text="and that")
    marks = [*GREETED, Mark(1, "steer", ("s1", "and that"))]
    for events, left_over in (([], 1), ([joined], 0)):
        left = iter(wire([READY, "joined"]))
        known = entries([BORN, IS_READY, BEGUN, *events])
        adoption = adopt(Steerable(told(Path("/f"))), left, marks, known)
        assert "s1" == adoption.codec.steered
        assert left_over == len([*left])


def test_what_was_being_said_is_told_again_and_no_more() -> None:
    delta = said("delta", turn="lead.t1", text="hel")
    marks = [*GREETED, Mark(4, "interrupt")]
    known = [BORN, IS_READY, BEGUN, HEARD]
    adoption, left = adopted([READY, delta, SPOKE, delta, delta], marks, known)

    assert [TextDelta(agent="lead", turn="lead.t1", text="hel")] == list(adoption.items)
    assert [delta] == left
