"""The directives that a prompt can hold, and what a prompt without one is answered with.

A directive stands on a line of its own, at the line's start; they are carried out in
order, and what the other lines say is left alone. In a TEXT the two characters `\n`
stand for a newline, so that directives can be handed down (`\\n` for the next level).

    /spawn NAME [ROLE] [key=value…]   a child of mine; keys go to spawn_instance
    /send NAME TEXT                   send_to_instance, waiting for the answer
    /post NAME TEXT                   … not waiting
    /reply TEXT                       reply_to_caller
    /inbox [SECONDS]                  get_pending_replies, waiting at most so long
    /tree                             get_instance_tree
    /tool NAME [{json}]               any MCP tool
    /mcp SERVER TOOL [{json}]         a tool of another MCP server, after asking whether it may
    /say TEXT                         a finished message
    /vote CHOICE [NAME=CHOICE…]       a vote; agents that are named vote otherwise
    /slow N SECONDS                   a message of N words, each after so many seconds
    /recall                           all earlier prompts, as a JSON list
    /approve-needed [TOOL] [{json}]   asks whether it may use TOOL with these arguments, and waits
    /usage IN OUT                     reports so many tokens
    /write FILE TEXT                  into the workspace, never out of it
    /fail TEXT                        the turn ends failed
    /crash [CODE]                     the process ends at once (3)
    /hang [hard]                      until interrupted; hard: for good, though stdin be closed
    /garbage                          prints a line that is no JSON
"""

from __future__ import annotations

import json
import os
import re
import sys
import threading

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import NoReturn

    from .client import Result
    from .turn import Turn

    Do = Callable[..., None]

QUOTED = 200
DIRECTIVES: dict[str, tuple[Do, str, str]] = {}
"""Name → what it does, how its arguments are written, and the pattern they match."""


class Failed(Exception):
    """The turn cannot go on."""


def digest(turn: Turn, text: str) -> str:
    """What a prompt without a directive is answered with."""
    agent, earlier = turn.agent, len(turn.agent.prompts)
    words = " ".join(text[: 10 * QUOTED].split())
    shown = "".join(c if c.isprintable() or c > "\x9f" else "·" for c in words[:QUOTED])
    size = f"{_count(len(text), 'character')}, {_count(text.count(chr(10)) + 1, 'line')}"
    cut = "…" if len(words) > QUOTED or len(text) > 10 * QUOTED else ""
    return (
        f"*Rehearsal: no model is thinking.* I am **{agent.name}** ({agent.role}), turn {earlier + 1}. "
        f"You asked: “{shown}{cut}” ({size}). Earlier turns: {earlier}."
    )


def _count(n: int, thing: str) -> str:
    return f"{n} {thing}" if n == 1 else f"{n} {thing}s"


NOTE = re.compile(
    r"\[[^\]\n]+\] [^\n]+ (?:writes|(?:answers|could not answer|was interrupted in answering) \[[^\]\n]*\]):"
)
ASKS = re.compile(r"\[[^\]\n]+\] [^\n]+ asks:")


def asked(text: str) -> str:
    """What of a prompt is asked of me. What others tell me is no order, whatever it looks like."""
    mine, lines = True, []
    for line in text.split("\n"):
        if ASKS.fullmatch(line):
            mine = True
        elif NOTE.fullmatch(line):
            mine = False
        elif mine:
            lines.append(line)
    return "\n".join(lines)


def read(text: str) -> list[tuple[Do, tuple[str, ...]]]:
    """The directives of a prompt with their arguments. All are read before one is done."""
    steps = []
    for line in text.split("\n"):
        word, _, rest = line.rstrip().partition(" ")
        if re.fullmatch(r"/[A-Za-z][\w-]*", word):
            steps.append(_step(word[1:], rest.strip()))
    return steps


def _step(name: str, rest: str) -> tuple[Do, tuple[str, ...]]:
    if name not in DIRECTIVES:
        raise Failed(f"there is no directive /{name}.{_nearest(name)} {_known()}")
    do, usage, pattern = DIRECTIVES[name]
    match = re.fullmatch(pattern, rest)
    if not match:
        raise Failed(f"/{name} is written `/{name} {usage}`, not `/{name} {rest[:QUOTED]}`. {_known()}")
    return do, match.groups("")


def _nearest(name: str) -> str:
    from difflib import get_close_matches

    hits = get_close_matches(name, DIRECTIVES, n=1)
    return f" Did you mean /{hits[0]}?" if hits else ""


def _known() -> str:
    return "Known: " + ", ".join(f"/{name} {usage}".strip() for name, (_, usage, _) in DIRECTIVES.items())


def directive(usage: str, pattern: str) -> Callable[[Do], Do]:
    """Register a function under its own name. The pattern's groups become its arguments."""

    def register(do: Do) -> Do:
        DIRECTIVES[do.__name__.rstrip("_").replace("_", "-")] = (do, usage, pattern)
        return do

    return register


TEXT = r"(\S[\s\S]*)"
NAME = r"(\S+)"
SECONDS = r"(\d{1,6}(?:\.\d{1,6})?)"


def unfold(text: str) -> str:
    r"""`\n` becomes a newline, `\\n` becomes `\n`: each level takes one backslash away."""
    return re.sub(r"(\\+)n", lambda m: "\n" if m[1] == "\\" else m[0][1:], text)


def told(result: Result, done: str, name: str) -> str:
    return done if result.ok else f"{name} said: {result.text}"


@directive("NAME [ROLE] [key=value…]", r"(\S+)(?:\s+([^\s=]+))?((?:\s+\w+=\S*)*)")
def spawn(turn: Turn, name: str, role: str, options: str) -> None:
    given: dict[str, object] = {"name": name, "role": role or "general", "instance_type": "rehearsal"}
    given |= {key: _value(value) for key, _, value in (o.partition("=") for o in options.split())}
    result = turn.call("spawn_instance", **given)
    turn.say(told(result, f"spawned {name} ({given['role']})", name))


def _value(text: str) -> object:
    """Numbers, true and null as JSON has them; anything else is text."""
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return text


@directive("NAME TEXT", NAME + r"\s+" + TEXT)
def send(turn: Turn, name: str, text: str) -> None:
    result = turn.call("send_to_instance", instance_id=name, message=unfold(text), wait_for_response=True)
    answer = result.structured.get("response", result.text)
    verb = "is still" if result.structured.get("status") == "running" else "answered:"
    turn.say(told(result, f"{name} {verb} {answer}", name))


@directive("NAME TEXT", NAME + r"\s+" + TEXT)
def post(turn: Turn, name: str, text: str) -> None:
    result = turn.call("send_to_instance", instance_id=name, message=unfold(text), wait_for_response=False)
    turn.say(told(result, f"posted to {name}", name))


@directive("TEXT", TEXT)
def reply(turn: Turn, text: str) -> None:
    result = turn.call("reply_to_caller", reply_message=unfold(text))
    turn.say(told(result, "replied", "reply_to_caller"))


@directive("[SECONDS]", SECONDS + "?")
def inbox(turn: Turn, seconds: str) -> None:
    wait = int(seconds) if seconds.isdigit() else float(seconds or 0)
    result = turn.call("get_pending_replies", wait_timeout=wait)
    turn.say(told(result, f"inbox: {result.text}", "get_pending_replies"))


@directive("", "")
def tree(turn: Turn) -> None:
    result = turn.call("get_instance_tree")
    turn.say(told(result, f"tree:\n{result.text}", "get_instance_tree"))


@directive("NAME [{json}]", NAME + r"(?:\s+(\{.*\}))?")
def tool(turn: Turn, name: str, arguments: str) -> None:
    try:
        given = json.loads(arguments or "{}")
    except (ValueError, RecursionError) as exc:
        raise Failed(f"/tool {name}: its arguments are not JSON: {exc}. {_known()}") from exc
    result = turn.call(name, **given)
    turn.say(told(result, f"{name} returned: {result.text}", name))


@directive("SERVER TOOL [{json}]", NAME + r"\s+([^\s{]\S*)(?:\s+(\{.*\}))?")
def mcp(turn: Turn, server: str, tool: str, arguments: str) -> None:
    try:
        given = json.loads(arguments or "{}")
    except (ValueError, RecursionError) as exc:
        raise Failed(f"/mcp {server} {tool}: its arguments are not JSON: {exc}. {_known()}") from exc
    answer = turn.ask(f"mcp__{server}__{tool}", given)
    if answer.get("decision") != "allow":
        turn.say(f"{server} {tool} was not allowed: {answer.get('why', '')}")
        return
    result = turn.call_other(server, tool, given)
    turn.say(told(result, f"{tool} returned: {result.text}", tool))


@directive("TEXT", TEXT)
def say(turn: Turn, text: str) -> None:
    turn.say(unfold(text))


@directive("CHOICE [NAME=CHOICE…]", r"([^\s=]+)((?:\s+[^\s=]+=\S+)*)")
def vote(turn: Turn, choice: str, others: str) -> None:
    otherwise = dict(each.split("=", 1) for each in others.split())
    turn.say(
        f"VOTE: {otherwise.get(turn.agent.name, choice)}\nSo says {turn.agent.name}; no model has thought."
    )


@directive("N SECONDS", r"(\d{1,6})\s+" + SECONDS)
def slow(turn: Turn, n: str, seconds: str) -> None:
    spoken = ""
    try:
        for i in range(int(n)):
            turn.pause(float(seconds))
            piece = f" word-{i + 1}" if i else "word-1"
            spoken += piece
            turn.tell("delta", text=piece)
    finally:
        if spoken:
            turn.finish(spoken)


@directive("", "")
def recall(turn: Turn) -> None:
    turn.say(json.dumps(turn.agent.prompts, ensure_ascii=False))


@directive("[TOOL] [{json}]", r"([^\s{]\S*)?\s*(\{.*\})?")
def approve_needed(turn: Turn, tool: str, arguments: str) -> None:
    tool = tool or "Bash"
    try:
        given = json.loads(arguments or '{"command": "true"}')
    except (ValueError, RecursionError) as exc:
        raise Failed(f"/approve-needed {tool}: its arguments are not JSON: {exc}. {_known()}") from exc
    answer = turn.ask(tool, given)
    why = f" ({answer['why']})" if answer.get("why") else ""
    turn.say(f"asked to use {tool}: {answer.get('decision')}{why}")


@directive("IN OUT", r"(\d{1,15})\s+(\d{1,15})")
def usage(turn: Turn, given: str, made: str) -> None:
    turn.use(int(given), int(made))
    turn.say(f"used {given} tokens in, {made} out")


@directive("FILE TEXT", NAME + r"\s+" + TEXT)
def write(turn: Turn, file: str, text: str) -> None:
    from pathlib import Path

    workspace = Path(turn.agent.workspace or ".").resolve()
    try:
        path = (workspace / file).resolve()
        if not path.is_relative_to(workspace):
            raise Failed(
                f"/write {file}: that is outside of the workspace {workspace}. Name a file inside it"
            )
        path.parent.mkdir(parents=True, exist_ok=True)
        size = path.write_bytes(unfold(text).encode("utf-8", "replace"))
    except (OSError, ValueError, RuntimeError) as exc:
        raise Failed(f"/write {file}: {exc}") from exc
    turn.say(f"wrote {file} ({_count(size, 'byte')})")


@directive("TEXT", TEXT)
def fail(turn: Turn, text: str) -> None:
    raise Failed(unfold(text))


@directive("[CODE]", r"(\d{1,3})?")
def crash(turn: Turn, code: str) -> NoReturn:
    sys.stderr.write(f"rehearsal: crashed, as /crash {code}".rstrip() + " said\n")
    sys.stderr.flush()
    os._exit(int(code or 3))


@directive("[hard]", "(hard)?")
def hang(turn: Turn, hard: str) -> None:
    if hard:
        import signal

        signal.signal(signal.SIGINT, signal.SIG_IGN)
        turn.agent.stubborn = True
    turn.say("hanging")
    if hard:
        threading.Event().wait()  # which nobody will ever set
    turn.pause(None)


@directive("", "")
def garbage(turn: Turn) -> None:
    os.write(1, b"{this line is no JSON\n")
    turn.say("printed a line that is no JSON")
