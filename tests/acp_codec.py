"""The ACP codec by hand, and on lines that opencode 1.18.33 and gemini 0.61.0 really wrote
(tests/real/record_acp.py).
"""

import json
from pathlib import Path

import pytest
from recorded import of

from madrox_nb.events import AgentReady, TextDelta, TurnEnded
from madrox_nb.harness import Ask, Brief, Write
from madrox_nb.harness.acp import Acp
from madrox_nb.harness.acp_lines import KNOWN

TRANSCRIPTS = Path(__file__).parent / "transcripts"
FOLDERS = {"opencode": "opencode-1.18.33", "gemini": "gemini-0.61.0"}
BOTH = pytest.mark.parametrize("name", list(FOLDERS))


def codec(name="opencode", **more):
    fields = {"agent": "lead", "command": (f"/bin/{name}",), "workspace": "/lead/workspace", "files": "/f"}
    return Acp.of(KNOWN[name])(Brief(**{**fields, **more}))


def messages(name, story):
    return (TRANSCRIPTS / FOLDERS[name] / f"{story}.jsonl").read_text().splitlines()


def replayed(name, story, interrupts=(), answers=()):
    """Items of a recorded story. A turn begins when the one before has ended.

    `interrupts` names the turns that are interrupted at their first word or question;
    `answers` are given to the questions, one after the other.
    """
    harness, items, turns, answers = codec(name), [], 0, list(answers)
    list(harness.greet())
    for line in messages(name, story):
        for item in harness.read(line):
            items.append(item)
            if isinstance(item, TextDelta | Ask) and harness.turn in interrupts:
                written(items, harness.interrupt())
            elif isinstance(item, Ask):
                written(items, harness.answer(item.request, answers.pop(0), "not in this house"))
            if isinstance(item, AgentReady | TurnEnded):
                turns += 1
                list(harness.prompt(f"lead.t{turns}", "…"))
    return items


def written(items, lines):
    items += [Write(line=line) for line in lines]


def sent(items):
    """What was written back, as messages."""
    return [json.loads(item.line) for item in of(items, Write)]


CAN = {"loadSession": True, "mcpCapabilities": {"http": True}}


def say(harness, **message):
    return list(harness.read(json.dumps({"jsonrpc": "2.0", **message})))


def greeted(name="opencode", can=CAN, opened=None, version=1, **more):
    """In a session, all that came on the way, and the last request's id."""
    harness = codec(name, **more)
    list(harness.greet())
    met = {"protocolVersion": version, "agentCapabilities": can, "agentInfo": {"version": "9"}}
    items = say(harness, id=1, result=met)
    if of(items, Write):
        items += say(harness, id=2, result={"sessionId": "s-1"} if opened is None else opened)
    return harness, items


def mid_turn(name="opencode", text="go", **more):
    harness, _ = greeted(name, **more)
    (line,) = harness.prompt("lead.t1", text)
    harness.prompted = json.loads(line)["id"]
    return harness


def update(harness, what, /, session="s-1", **more):
    params = {"sessionId": session, "update": {"sessionUpdate": what, **more}}
    return say(harness, method="session/update", params=params)


def speak(harness, text, **more):
    return update(harness, "agent_message_chunk", content={"type": "text", "text": text}, **more)


def ends(harness, stop="end_turn", **more):
    return say(harness, id=harness.prompted, result={"stopReason": stop, **more})


OPTIONS = [
    {"optionId": "always", "kind": "allow_always"},
    {"optionId": "yes", "kind": "allow_once"},
    {"optionId": "never", "kind": "reject_always"},
    {"optionId": "no", "kind": "reject_once"},
]


def ask(harness, request=7, options=OPTIONS, session="s-1", **call):
    params = {"sessionId": session, "toolCall": {"toolCallId": "c1", **call}, "options": options}
    return say(harness, id=request, method="session/request_permission", params=params)


def chosen(line):
    return json.loads(line)["result"]["outcome"]
