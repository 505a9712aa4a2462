"""Blocks in what an agent says, by which one without MCP spawns, sends and replies.

    ```madrox spawn name=scout role=debugger
    first task…
    ```

A block stands at the left margin (three spaces at most), in backticks or tildes, three or
more. Its text ends with a line of as many of them alone; blocks of other languages in it
belong to it. What stands inside another block is quoted and is never taken for one of
these. Where Markdown would end a block early, because a block inside it is fenced as it
is itself, we count: a line with a language opens, a bare one closes. What is read so may
be less than was meant, never more.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Final

from .errors import nearest

LANGUAGE: Final = "madrox"
_NEWLINE: Final = re.compile(r"\r\n|\n|\r")
"""Markdown's: any other would let a text end a block that was put around it."""
_LINE: Final = re.compile(r" {0,3}(?P<fence>`{3,}|~{3,})[ \t]*(?P<info>.*?)[ \t]*")


@dataclass(frozen=True)
class Verb:
    """What a block can do: a tool, and how its arguments are written."""

    tool: str
    keys: Mapping[str, str]
    """Key of the block → argument of the tool."""
    text: str = ""
    """The argument that the block's text is; empty when it takes none."""
    needs: tuple[str, ...] = ()
    """Keys that have to be given, and `text`."""


VERBS: Final[Mapping[str, Verb]] = {
    "spawn": Verb(
        "spawn_instance",
        {
            "name": "name",
            "role": "role",
            "harness": "instance_type",
            "model": "model",
            "parent": "parent_instance_id",
            "permissions": "permissions",
        },
        text="initial_prompt",
    ),
    "send": Verb("send_to_instance", {"to": "instance_id"}, text="message", needs=("to", "text")),
    "reply": Verb("reply_to_caller", {"to": "correlation_id"}, text="reply_message", needs=("text",)),
    "interrupt": Verb("interrupt_instance", {"name": "instance_id"}, needs=("name",)),
    "terminate": Verb("terminate_instance", {"name": "instance_id", "force": "force"}, needs=("name",)),
}


@dataclass(frozen=True)
class Fence:
    """One block of ours."""

    line: int
    """Where it begins, from 1."""
    verb: str
    keys: Mapping[str, str] = field(default_factory=dict)
    text: str = ""
    wrong: str = ""
    """Why it can't be carried out, in words for who wrote it; empty when it can."""
    source: str = ""
    """How it was written: its first line without the fence, then its text."""

    @property
    def tool(self) -> str:
        """The tool that carries it out."""
        return VERBS[self.verb].tool

    @property
    def arguments(self) -> dict[str, Any]:
        """What that tool is called with."""
        verb = VERBS[self.verb]
        given: dict[str, Any] = {verb.keys[key]: value for key, value in self.keys.items()}
        return {**given, verb.text: self.text} if self.text and verb.text else given

    def stands_in(self, text: str) -> bool:
        """Whether `text` holds this very block, however it is quoted or indented there."""
        return bool(self.source) and f"\n{_bare(self.source)}\n" in f"\n{_bare(text)}\n"

    def __str__(self) -> str:
        """Its first line, without the fence."""
        return " ".join(
            (self.verb or "?", *(f"{key}={shlex.quote(value)}" for key, value in self.keys.items()))
        )


def blocks(said: str) -> list[Fence]:
    """The blocks of ours in `said`, in their order, those that can't be carried out too."""
    found: list[Fence] = []
    open_: list[str] = []
    """Fences that are open now, from the outermost."""
    began, info, body = 0, "", list[str]()
    for number, line in enumerate(_NEWLINE.split(said), 1):
        fence, language = _fence(line)
        if not open_:
            if fence:
                open_, began, info, body = [fence], number, language, []
            continue
        if fence.startswith(open_[-1]):
            if language:
                open_.append(fence)
            else:
                open_.pop()
                if not open_ and _ours(info):
                    text = "\n".join(body)
                    found.append(replace(_read(began, info, text), source=f"{info}\n{text}"))
        body.append(line)
    if open_ and _ours(info):
        found.append(
            Fence(began, _verb(info), wrong="its end is missing: close it with a line of the same fence")
        )
    return found


def _fence(line: str) -> tuple[str, str]:
    """(fence, what stands behind it) of a line that can open or close a block; else two empty texts."""
    match = _LINE.fullmatch(line)
    if match is None or (match["fence"][0] == "`" and "`" in match["info"]):
        return "", ""
    return match["fence"], match["info"]


def _bare(text: str) -> str:
    """Its words, line by line, without quoting and fences; empty lines are left out."""
    lines = (" ".join(line.strip(" \t>`~*-").split()) for line in text.splitlines())
    return "\n".join(line for line in lines if line)


def _ours(info: str) -> bool:
    return info.split(maxsplit=1)[:1] == [LANGUAGE]


def _verb(info: str) -> str:
    return (*info.split()[1:2], "")[0]


def _read(line: int, info: str, text: str) -> Fence:
    try:
        words = shlex.split(info)[1:]
    except ValueError as exc:
        return Fence(line, _verb(info), wrong=f"its first line can't be read: {exc}")
    verb, *pairs = words or [""]
    if verb not in VERBS:
        said = f"{verb!r} is no verb.{nearest(verb, VERBS)}" if verb else "it has no verb."
        return Fence(line, verb, wrong=f"{said} Known: {', '.join(VERBS)}")
    keys, wrong = _keys(verb, pairs)
    return Fence(line, verb, keys, text.strip(), wrong or _missing(verb, keys, text))


def _keys(verb: str, pairs: Iterable[str]) -> tuple[dict[str, str], str]:
    """The keys, and what is wrong with them."""
    keys: dict[str, str] = {}
    known = VERBS[verb].keys
    for pair in pairs:
        key, equals, value = pair.partition("=")
        if not equals:
            return keys, f"{pair!r} is no key: write key=value. {verb} knows: {', '.join(known)}"
        if key not in known:
            return keys, f"{verb} knows no key {key!r}.{nearest(key, known)} It knows: {', '.join(known)}"
        if key in keys:
            return keys, f"{key} is given twice"
        keys[key] = value
    return keys, ""


def _missing(verb: str, keys: Mapping[str, str], text: str) -> str:
    """What a block lacks, or has too much of."""
    for need in VERBS[verb].needs:
        if need == "text" and not text.strip():
            return f"{verb} needs a text between its first line and its last"
        if need != "text" and not keys.get(need):
            return f"{verb} needs {need}=…"
    if text.strip() and not VERBS[verb].text:
        return f"{verb} takes no text"
    return ""


# the next step, in words of blocks

_WAITS = re.compile(r", or call get_pending_replies with a wait_timeout")
_MAGIC = re.compile(
    r"%madrox (spawn|stop|interrupt) ([^\s()`]+)((?: --(?:force|tree)\b| --[a-z]+ [^\s()`]+)*)"
)


def in_blocks(text: str) -> str:
    """A tool's answer or error with its next step as a block instead of a tool or a line of a cell."""
    return _MAGIC.sub(_as_block, _WAITS.sub("", text))


def _as_block(magic: re.Match[str]) -> str:
    verb = {"stop": "terminate"}.get(magic[1], magic[1])
    options = re.sub(r" --([a-z]+) ([^\s]+)", r" \1=\2", magic[3].replace(" --tree", ""))
    return f"{LANGUAGE} {verb} name={magic[2]}{options.replace(' --force', ' force=true')}"
