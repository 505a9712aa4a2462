"""The codex codec by hand, and on lines that Codex 0.169.0 really wrote (tests/real/record.py codex)."""

import json
from pathlib import Path

from recorded import of

from madrox_nb.events import AgentReady, TextDelta, ToolCalled, TurnEnded, UsageReported
from madrox_nb.harness import Ask, Brief
from madrox_nb.harness.codex import Codex

TRANSCRIPTS = Path(__file__).parent / "transcripts" / "codex-0.169.0"


def codec(**more):
    fields = {
        "agent": "lead",
        "command": ("/bin/codex",),
        "workspace": "/w",
        "files": "/f",
    }
    return Codex(Brief(**{**fields, **more}))


def greeted(**more):
    """Its thread T stands."""
    harness = codec(**more)
    list(harness.greet())
    answer(harness, 1, {"userAgent": "madrox_nb/0.169.0 (Debian)"})
    answer(harness, 2, {"thread": {"id": "T"}, "model": "gpt-x"})
    answer(harness, 3, {"account": None, "requiresOpenaiAuth": False})
    return harness


def sent(**more):
    """A prompt was written; request 4 begins turn U."""
    harness = greeted(**more)
    list(harness.prompt("lead.t1", "go"))
    return harness


def mid_turn(**more):
    harness = sent(**more)
    answer(harness, 4, {"turn": {"id": "U"}})
    tell(harness, "turn/started", turn={"id": "U"})
    return harness


def read(harness, **message):
    return list(harness.read(json.dumps(message)))


def answer(harness, request, result):
    return read(harness, id=request, result=result)


def refuse(harness, request, message):
    return read(harness, id=request, error={"code": -32600, "message": message})


def tell(harness, method, **params):
    return read(harness, method=method, params={"threadId": "T", **params})


def in_turn(harness, method, **params):
    return tell(harness, method, turnId="U", **params)


def begin(harness, **item):
    return in_turn(harness, "item/started", item={"id": "i", **item})


def complete(harness, **item):
    return in_turn(harness, "item/completed", item={"id": "i", **item})


def say(harness, text):
    return complete(harness, type="agentMessage", text=text)


def use(harness, turn="U", **counts):
    """The thread's usage so far, and that of its last request."""
    total, last = ({**NOTHING, **counts[of]} for of in ("total", "last"))
    return tell(harness, "thread/tokenUsage/updated", turnId=turn, tokenUsage={"total": total, "last": last})


NOTHING = {"inputTokens": 0, "cachedInputTokens": 0, "outputTokens": 0}


def end(harness, status="completed", **more):
    return tell(harness, "turn/completed", turn={"id": "U", "status": status, "error": None, **more})


def ask(harness, request=0, method="item/commandExecution/requestApproval", turn="U", **params):
    params = {"threadId": "T", "turnId": turn, "itemId": "i", **params}
    return read(harness, id=request, method=method, params=params)


def written(line):
    return json.loads(line)


def messages(story):
    return [json.loads(line) for line in (TRANSCRIPTS / f"{story}.jsonl").read_text().splitlines()]


def replayed(story, interrupts=(), answers=(), steers=None, **brief):
    """Items of a recorded story. A turn begins when the one before has ended.

    What the recording did is done again: `interrupts` names the turns that are interrupted at
    their first word, tool or question, `answers` are given to the questions in order, and
    `steers` is put into the first turn at its first word.
    """
    harness, items, turns, answers = codec(**brief), [], 0, list(answers)
    list(harness.greet())
    for line in messages(story):
        for item in harness.read(json.dumps(line)):
            items.append(item)
            if isinstance(item, Ask) and answers:
                list(harness.answer(item.request, *answers.pop(0)))
            elif isinstance(item, TextDelta | ToolCalled | Ask) and harness.turn in interrupts:
                list(harness.interrupt())
                interrupts = interrupts - {harness.turn}
            elif isinstance(item, TextDelta) and steers:
                list(harness.steer("lead.m1", steers))
                steers = None
            if isinstance(item, AgentReady | TurnEnded):
                turns += 1
                list(harness.prompt(f"lead.t{turns}", "…"))
    return items


def totals(story):
    """The thread's usage as codex summed it up, each time it told."""
    return [
        m["params"]["tokenUsage"]["total"]
        for m in messages(story)
        if m.get("method") == "thread/tokenUsage/updated"
    ]


def reported(items):
    """All that was reported, in codex's own way of counting."""
    used = of(items, UsageReported)
    given = sum(u.input_tokens + u.cache_read_tokens + u.cache_write_tokens for u in used)
    return given, sum(u.output_tokens for u in used)
