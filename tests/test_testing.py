"""`check_harness` passes a good codec, and names the rule that a wicked one breaks."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest

from madrox_nb.events import (
    NAN,
    AgentReady,
    AgentStopped,
    Notice,
    TextDelta,
    ToolCalled,
    ToolReturned,
    TurnEnded,
    TurnSaid,
    UsageReported,
)
from madrox_nb.harness import Ask, Features, Harness, Launch, Steered, Unreadable, Withdraw, Write
from madrox_nb.testing import Broken, check_harness, replay

ALL = Features(interrupt=True, steer=True, approvals=True, usage=True, cost=True, mcp=True, structured=True)


class Good(Harness):
    """A codec of a tiny line-JSON program, with everything that the contract knows."""

    name = "good"
    features = ALL

    def __init__(self, brief: Any) -> None:
        super().__init__(brief)
        self.stopping, self.asked = False, set[str]()

    def launch(self) -> Launch:
        files = {"token": self.brief.mcp_token, "role.md": f"# Role\n{self.brief.instructions}"}
        return Launch(argv=(*self.brief.command, "--serve"), files=files)

    def greet(self) -> Iterable[str]:
        return ['{"type": "hello"}\n']

    def prompt(self, turn: str, text: str) -> Iterable[str]:
        self.turn, self.stopping = turn, False
        return [json.dumps({"type": "prompt", "text": text}) + "\n"]

    def interrupt(self) -> Iterable[str]:
        self.stopping = bool(self.turn)
        return ['{"type": "stop"}\n'] if self.turn else []

    def steer(self, steer: str, text: str) -> Iterable[str]:
        return [json.dumps({"type": "steer", "id": steer, "text": text}) + "\n"]

    def answer(self, request: str, decision: str, why: str = "") -> Iterable[str]:
        if request not in self.asked:
            return []
        self.asked.remove(request)
        return [json.dumps({"type": "answer", "request": request, "decision": decision}) + "\n"]

    def read(self, line: str) -> Iterable[Any]:
        try:
            message = json.loads(line)
        except (ValueError, RecursionError) as exc:
            raise Unreadable(str(exc)) from exc
        if not isinstance(message, dict) or not isinstance(message.get("type"), str):
            raise Unreadable("no message")
        kind, text = message["type"], message.get("text", "")
        if not isinstance(text, str):
            raise Unreadable("no text")
        if kind in ("word", "said", "call", "returned", "ask", "end") and not self.turn:
            raise Unreadable("between turns")
        return list(self.items(kind, text))

    def items(self, kind: str, text: str) -> Iterable[Any]:
        mine = {"agent": self.brief.agent, "turn": self.turn}
        match kind:
            case "ready":
                yield AgentReady(agent=self.brief.agent, session=text)
            case "word":
                yield TextDelta(**mine, text=text)
            case "said":
                yield TurnSaid(**mine, text=text)
            case "call":
                yield ToolCalled(**mine, call=text, tool="run")
            case "returned":
                yield ToolReturned(**mine, call=text, ok=True)
            case "ask":
                self.asked.add(text)
                yield Ask(request=text, tool="run", input={})
            case "cancel" if text in self.asked:
                self.asked.remove(text)
                yield Withdraw(request=text)
            case "joined" if self.turn:
                yield Steered(steer=text, joined=True)
            case "ping":
                yield Write(line='{"type": "pong"}\n')
            case "end":
                yield from self.end(text)

    def end(self, text: str) -> Iterable[Any]:
        mine = {"agent": self.brief.agent, "turn": self.turn}
        yield self.usage()
        self.turn = ""
        outcome = "ok" if text != "cut" else "interrupted" if self.stopping else "failed"
        yield TurnEnded(**mine, outcome=outcome, text=text)

    def usage(self) -> UsageReported:
        return UsageReported(
            agent=self.brief.agent, turn=self.turn, input_tokens=3, output_tokens=1, cost_usd=0.25
        )

    def lost(self) -> Iterable[Any]:
        return [self.usage()] if self.turn else []


def wire(*messages: str) -> list[str]:
    """`"said hello"` as the program writes it."""
    pairs = (message.partition(" ") for message in messages)
    return [json.dumps({"type": kind, "text": text}) for kind, _, text in pairs]


STORY = wire(
    "ping",
    "ready s-1",
    "word he",
    "said hello",
    "call c1",
    "ask r1",
    "returned c1",
    "end done",
    "word so",
    "call c2",
    "end cut",
    "said three",
    "ask r2",
    "end done",
)


# a good one


def test_a_good_codec_passes() -> None:
    check_harness(Good, STORY)


def test_without_a_transcript_the_class_and_its_launch_are_checked() -> None:
    check_harness(Good)
    with pytest.raises(Broken, match="launch is pure"):
        check_harness(wicked(launch=lambda self: Launch(argv=(f"{id(self)}",))))


def test_a_replay_gives_the_items_and_prompts_when_it_is_time() -> None:
    items = replay(Good, STORY)

    ends = [item for item in items if isinstance(item, TurnEnded)]
    assert [("lead.t1", "ok"), ("lead.t2", "interrupted"), ("lead.t3", "ok")] == [
        (end.turn, end.outcome) for end in ends
    ]
    assert [Write(line='{"type": "pong"}\n'), AgentReady(agent="lead", session="s-1")] == items[:2]


def test_an_interrupt_is_concluded_only_where_it_makes_the_difference() -> None:
    told = replay(Good, wire("ready", "said a", "end cut", "said b", "end done"), moves={})
    assert ["failed", "ok"] == [item.outcome for item in told if isinstance(item, TurnEnded)]

    told = replay(Good, wire("ready", "end cut", "said b", "end done"))  # nothing before its end
    assert ["failed", "ok"] == [item.outcome for item in told if isinstance(item, TurnEnded)]


def test_moves_and_brief_stand_in_a_file_beside_the_transcript(tmp_path: Path) -> None:
    story = tmp_path / "story.jsonl"
    lines = wire("ready", "said a", "joined kid.s1", "end cut")
    story.write_text("\n".join(lines) + "\n")
    (tmp_path / "story.json").write_text('{"moves": {"1": "steer"}, "brief": {"agent": "kid"}}')

    items = replay(Good, story)
    check_harness(Good, story)

    assert {"kid"} == {item.agent for item in items if hasattr(item, "agent")}
    assert [Steered(steer="kid.s1", joined=True)] == [i for i in items if isinstance(i, Steered)]
    assert "failed" == items[-1].outcome  # the moves were said: no interrupt is concluded
    (tmp_path / "story.json").write_text('{"moves": {"1": "dance"}}')
    with pytest.raises(ValueError, match="'dance' is no move; known: interrupt, steer"):
        check_harness(Good, story)


def test_a_question_of_an_interrupted_turn_is_not_answered_but_may_be_withdrawn() -> None:
    check_harness(Good, wire("ready", "ask r1", "cancel r1", "end cut"))

    assert Withdraw(request="r1") in replay(Good, wire("ready", "ask r1", "cancel r1", "end cut"))


def test_what_an_interrupt_withdraws_may_be_told_with_the_next_line_whatever_it_is() -> None:
    class Late(Good):
        def items(self, kind: str, text: str) -> Iterable[Any]:
            if self.stopping:
                yield from (Withdraw(request=request) for request in sorted(self.asked))
                self.asked.clear()
            yield from super().items(kind, text)

    check_harness(Late, wire("ready", "ask r1", "end cut"))


def test_a_cli_that_takes_one_turn_is_prompted_once() -> None:
    once = wicked(features=Features(usage=True, cost=True, structured=True))
    check_harness(once, wire("ready", "said a", "end done"))

    single = type("Single", (once,), {"features": Features(multi_turn=False, usage=True, cost=True)})
    told = replay(single, wire("ready", "said a", "end done"))
    assert [1] == [len([item for item in told if isinstance(item, TurnEnded)])]


def test_a_cli_that_refuses_the_handshake_has_said_why() -> None:
    class Refused(Good):
        def items(self, kind: str, text: str) -> Iterable[Any]:
            if kind == "no":
                yield AgentStopped(agent="lead", reason=text, failed=True)

    check_harness(Refused, wire("no key"))


# wicked ones


def wicked(**attributes: Any) -> type[Good]:
    return type("Wicked", (Good,), {"name": "wicked", **attributes})


def items(also: Any) -> Any:
    """`items` of the good one, and what `also` makes of a kind of message."""

    def changed(self: Good, kind: str, text: str) -> Iterable[Any]:
        told = list(Good.items(self, kind, text))
        return also(self, kind, text, told)

    return changed


def on(kind: str, change: Any) -> Any:
    """Items changed for messages of one kind."""
    return items(lambda self, met, text, told: change(self, told) if met == kind else told)


def reading(prefix: str, what: Any) -> Any:
    """`read` that does something else with lines that begin so."""

    def read(self: Good, line: str) -> Any:
        return what(line) if line.startswith(prefix) else Good.read(self, line)

    return read


def raising(error: Exception) -> Any:
    def act(*_: Any) -> Any:
        raise error

    return act


def without(feature: str) -> Features:
    return Features(**{name: True for name in ALL.names() if name != feature})


count = iter(range(10**6))

WICKED: list[tuple[str, str, dict[str, Any]]] = [
    ("a harness says what it is", "name is 'No good!'", {"name": "No good!"}),
    ("a harness says what it is", "features is None", {"features": None}),
    ("a harness says what it is", "tested is '1.0'", {"tested": "1.0"}),
    (
        "what is declared is there",
        "features.steer is set and steer() is not written",
        {"steer": Harness.steer},
    ),
    ("what is declared is there", "features.approvals is set", {"answer": Harness.answer}),
    (
        "what is declared is there",
        "instructed is set, and the instructions are told nowhere",
        {"launch": lambda self: Launch(argv=("x",))},
    ),
    ("launch says what to run", "None is no Launch", {"launch": lambda self: None}),
    ("launch says what to run", "argv is ()", {"launch": lambda self: Launch(argv=())}),
    ("launch is pure", "differ", {"launch": lambda self: Launch(argv=(str(next(count)),))}),
    (
        "no secret where others can see it",
        "the token is in '--token=canary",
        {"launch": lambda self: Launch(argv=("x", f"--token={self.brief.mcp_token}"))},
    ),
    (
        "no secret where others can see it",
        "the token is in 'canary",
        {"launch": lambda self: Launch(argv=("x",), files={self.brief.mcp_token: ""})},
    ),
    ("the handshake ends in AgentReady", "it never came", {"items": on("ready", lambda self, told: [])}),
    ("prompt sets turn", "after prompt('lead.t1') the codec's turn is ''", {"prompt": lambda *_: []}),
    ("lines to write are texts", "b'x'", {"greet": lambda self: [b"x"]}),
    ("a line to write ends with its newline", "'{}'", {"greet": lambda self: ["{}"]}),
    ("read gives items", "line 4: 'hello' is none", {"items": on("said", lambda self, told: ["hello"])}),
    (
        "events are about the agent itself",
        "line 4: TurnSaid(agent='bob'",
        {"items": on("said", lambda self, told: [TurnSaid(agent="bob", turn=self.turn, text="x")])},
    ),
    (
        "what happens in a turn names that turn",
        "line 3: TextDelta is about 'lead.t9', and lead.t1 is under way",
        {"items": on("word", lambda self, told: [TextDelta(agent="lead", turn="lead.t9", text="x")])},
    ),
    (
        "what happens in a turn names that turn",
        "line 8: TurnSaid is about 'lead.t1', and lead.t2 is under way",
        {"items": on("end", lambda self, told: [*told, TurnSaid(agent="lead", turn="lead.t1", text="late")])},
    ),
    (
        "events are legal",
        "line 1: TurnSaid(agent='lead', turn='', text='early'): lead is starting",
        {"items": on("ping", lambda self, told: [TurnSaid(agent="lead", turn="", text="early")])},
    ),
    (
        "a turn's end empties turn",
        "line 8: after the end of lead.t1 it is 'lead.t1'",
        {"items": on("end", lambda self, told: setattr(self, "turn", told[1].turn) or told)},
    ),
    (
        "usage is reported before a turn ends",
        "line 8: lead.t1 ended ok without",
        {"items": on("end", lambda self, told: told[1:])},
    ),
    (
        "what happens in a turn names that turn",
        "line 8: UsageReported is about 'lead.t1', and lead.t2",
        {"items": on("end", lambda self, told: [told[0], told[1], told[0]])},
    ),
    (
        "tool calls are closed before the turn's end",
        "line 8: open at the end of lead.t1: c1 (line 5)",
        {"items": on("returned", lambda self, told: [])},
    ),
    ("only calls under way return", "line 7: c1 is not", {"items": on("call", lambda self, told: [])}),
    (
        "a tool call begins once",
        "line 5: c1 of run again",
        {"items": on("call", lambda self, told: told * 2)},
    ),
    (
        "only what was asked is withdrawn",
        "line 3: 'r9' was not",
        {"items": on("word", lambda self, told: [Withdraw(request="r9")])},
    ),
    (
        "reading is deterministic",
        "line 4: ",
        {"items": on("said", lambda self, told: [Notice(agent="lead", text=str(next(count)))])},
    ),
    ("features match what is seen", "line 6: approvals is not declared", {"features": without("approvals")}),
    ("features match what is seen", "cost is not declared", {"features": without("cost")}),
    (
        "features match what is seen",
        "usage is not declared",
        {
            "features": without("usage"),
            "usage": lambda self: UsageReported(agent="lead", turn=self.turn, input_tokens=1),
        },
    ),
    (
        "features match what is seen",
        "usage is declared, and no turn reports a token",
        {"usage": lambda self: UsageReported(agent="lead", turn=self.turn, cost_usd=NAN)},
    ),
    (
        "features match what is seen",
        "interrupt is not declared, and yet: TurnEnded",
        {
            "features": without("interrupt"),
            "end": lambda self, text: [
                self.usage(),
                TurnEnded(agent="lead", turn=self.turn, outcome="interrupted"),
                setattr(self, "turn", ""),
            ][:2],
        },
    ),
    (
        "features match what is seen",
        "steer is not declared",
        {
            "features": without("steer"),
            "items": on("word", lambda self, told: [*told, Steered(steer="x", joined=True)]),
        },
    ),
    (
        "unknown messages give nothing",
        "line 1: Unreadable",
        {"items": items(lambda self, kind, text, told: told or raising(Unreadable("?"))())},
    ),
    (
        "unknown messages give nothing",
        "line 1: [Notice",
        {"items": items(lambda self, kind, text, told: told or [Notice(agent="lead", text=kind)])},
    ),
    (
        "unknown messages give nothing",
        "KeyError('madrox/no-such-kind')",
        {"items": items(lambda self, kind, text, told: told or raising(KeyError(kind))())},
    ),
    ("garbage raises Unreadable", "gave []", {"read": reading("garbage", lambda line: [])}),
    (
        "garbage raises Unreadable",
        "ValueError('x') on '9999",
        {"read": reading("9999", raising(ValueError("x")))},
    ),
    (
        "garbage raises Unreadable",
        "'null' gave [Notice",
        {"read": reading("null", lambda line: [Notice(agent="lead", text="x")])},
    ),
    (
        "garbage raises Unreadable",
        "TypeError('x') on '42'",
        {"read": reading("42", raising(TypeError("x")))},
    ),
    (
        "a codec raises nothing but Unreadable",
        "RuntimeError('no turn') after an interrupt between turns",
        {"interrupt": lambda self: [] if self.turn else raising(RuntimeError("no turn"))()},
    ),
    (
        "an interrupt between turns is harmless",
        "line 3: [] instead of [TextDelta",
        {
            "interrupt": lambda self: [] if self.turn else setattr(self, "mute", True) or [],
            "items": on("word", lambda self, told: [] if hasattr(self, "mute") else told),
        },
    ),
    (
        "lost tells the usage of the turn under way",
        "line 1: IndexError('x')",
        {"lost": raising(IndexError("x"))},
    ),
    (
        "lost tells the usage of the turn under way",
        "line 1: no turn is under way: UsageReported",
        {"lost": lambda self: [self.usage()]},
    ),
]


@pytest.mark.parametrize(
    ("rule", "saw", "attributes"), WICKED, ids=[f"{n}-{rule}" for n, (rule, _, _) in enumerate(WICKED)]
)
def test_a_wicked_codec_is_found_out(rule: str, saw: str, attributes: dict[str, Any]) -> None:
    with pytest.raises(Broken) as raised:
        check_harness(wicked(**attributes), STORY)

    assert rule == raised.value.rule
    assert saw in str(raised.value)


class Counting(Good):
    """It counts lines, whatever they are."""

    lines = 0

    def read(self, line: str) -> Iterable[Any]:
        self.lines += 1
        return super().read(line)

    def items(self, kind: str, text: str) -> Iterable[Any]:
        return super().items(kind, f"{text} {self.lines}" if kind == "said" else text)


class Forgetful(Good):
    """It trusts that a call returns once."""

    def __init__(self, brief: Any) -> None:
        super().__init__(brief)
        self.calls = dict[str, str]()

    def items(self, kind: str, text: str) -> Iterable[Any]:
        if kind == "call":
            self.calls[text] = "run"
        elif kind == "returned":
            del self.calls[text]
        return super().items(kind, text)


class Unprompted(Good):
    """It trusts that a prompt came first."""

    def prompt(self, turn: str, text: str) -> Iterable[str]:
        self.prompts = 1
        return super().prompt(turn, text)

    def read(self, line: str) -> Iterable[Any]:
        return super().read(line if '"word"' not in line or self.prompts else "")


class Ungreeted(Good):
    """It trusts that it has greeted."""

    def greet(self) -> Iterable[str]:
        self.greeted = True
        return super().greet()

    def read(self, line: str) -> Iterable[Any]:
        return super().read(line if '"ready"' not in line or self.greeted else "")


class Trusting(Good):
    """It trusts that every message has a text."""

    def read(self, line: str) -> Iterable[Any]:
        found = list(super().read(line))
        assert isinstance(json.loads(line)["text"], str)
        return found


@pytest.mark.parametrize(
    ("cls", "said"),
    [
        (
            Counting,
            "what can't be read changes nothing: line 4: after unknown messages and garbage [TurnSaid",
        ),
        (Forgetful, "a codec raises nothing but Unreadable: line 7: KeyError('c1') on a line read twice: {"),
        (Unprompted, "a codec raises nothing but Unreadable: line 9: AttributeError"),
        (Ungreeted, "a codec raises nothing but Unreadable: line 2: AttributeError"),
        (Trusting, "a codec raises nothing but Unreadable: line 1: KeyError('text') on a line damaged: {"),
    ],
)
def test_a_codec_that_trusts_its_wire_is_found_out(cls: type[Harness], said: str) -> None:
    with pytest.raises(Broken) as raised:
        check_harness(cls, STORY)

    assert said == str(raised.value)[: len(said)]


@pytest.mark.parametrize(
    ("method", "where"),
    [("greet", "RuntimeError('x') before the first line"), ("answer", "line 6: "), ("prompt", "line 2: ")],
)
def test_a_codec_that_fails_in_a_verb_is_found_out(method: str, where: str) -> None:
    with pytest.raises(Broken, match="a codec raises nothing but Unreadable") as raised:
        check_harness(wicked(**{method: raising(RuntimeError("x"))}), STORY)

    assert where in str(raised.value)
