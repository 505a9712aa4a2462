"""How each CLI is made to speak the Agent Client Protocol: a table, and what the user adds to it.

Launch lines are those of the protocol's registry and of each CLI's own documentation. A row
whose `tested` is empty has not been run with this harness: its features are what its makers say.

The user adds a CLI, or says something else about a known one, in `madrox.toml`:

    [acp.mine]
    command = ["/opt/mine/bin/mine", "--acp"]    # or one text, split like a shell does
    env = { MINE_TELEMETRY = "off" }             # optional
    features = ["interrupt", "approvals", "mcp"] # optional

Of a CLI that only its user knows, nothing is taken for granted that would let it act unasked:
until `features` names `approvals`, an agent needs `all` to be one.
"""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, fields, replace
from typing import Any

from ..errors import nearest
from . import Features

NAME = re.compile(r"[A-Za-z0-9][\w.-]*")
KEYS = ("command", "env", "features")
FILES = "{files}"
"""Stands in `env` for the agent's private directory."""


@dataclass(frozen=True, kw_only=True)
class Line:
    """One CLI that speaks the protocol."""

    name: str
    commands: tuple[str, ...]
    """Names of the executable, first hit wins."""
    provides: str
    """How a person gets it."""
    args: tuple[str, ...] = ()
    """What makes it speak the protocol, right behind the executable."""
    env: Mapping[str, str] = field(default_factory=dict)
    """Added to its environment."""
    files: Mapping[str, str] = field(default_factory=dict)
    """Put into the agent's private directory."""
    login: str = "log in with the CLI itself in a terminal"
    """What a person does when it is not logged in."""
    mode: str = "default"
    """Its session mode in which it asks before it uses a tool."""
    tool_in_id: str = ""
    """Finds the tool's name in the id of a call, as the group `tool`."""
    tool_in_title: bool = False
    """The title with which a call begins is the tool's name."""
    counts_answers: bool = False
    """It counts the tokens of every whole answer: words without any were cut off."""
    features: Features = Features(interrupt=True, approvals=True, mcp=True, structured=True)
    tested: tuple[str, ...] = ()
    """Versions that its tests were run with."""


OPENCODE_PERMISSION = {"*": "ask", "madrox_*": "allow", "todowrite": "allow", "todoread": "allow"}
"""By itself it asks about nothing. It does not see where links lead, so it asks about reading too."""

_KNOWN = (
    Line(
        name="gemini",
        commands=("gemini",),
        # an untrusted workspace gets no MCP servers
        args=("--acp", "--skip-trust"),
        provides="npm install -g @google/gemini-cli",
        env={"GEMINI_CLI_NO_RELAUNCH": "true"},  # else it starts itself once more: two Nodes for one agent
        login="run `gemini` there once and log in, or set GEMINI_API_KEY",
        tool_in_id=r"(?P<tool>\w+?)__",
        counts_answers=True,
        # no resume: it loses a session that is loaded in the minute in which it began, and it
        # goes on replaying the history after it has said that the session is loaded
        features=Features(interrupt=True, approvals=True, usage=True, mcp=True, structured=True),
        tested=("0.61.0",),
    ),
    Line(
        name="opencode",
        commands=("opencode",),
        args=("acp", "--pure"),
        provides="npm install -g opencode-ai",
        env={
            "OPENCODE_CONFIG": f"{FILES}/opencode.json",
            "OPENCODE_PERMISSION": json.dumps(OPENCODE_PERMISSION),
            # an agent could write itself one
            "OPENCODE_DISABLE_PROJECT_CONFIG": "1",
            "OPENCODE_DISABLE_AUTOUPDATE": "1",
        },
        # by itself a refusal ends its turn without a word
        files={"opencode.json": json.dumps({"experimental": {"continue_loop_on_deny": True}})},
        login="run `opencode auth login` there once, or set the key of a provider that it knows",
        mode="build",
        tool_in_title=True,
        # no usage: the tokens it reports are those of a turn's last request, its cost is that of all.
        # no fork: in another workspace than the original's, the answers to its questions are lost
        features=Features(interrupt=True, approvals=True, cost=True, mcp=True, resume=True, structured=True),
        tested=("1.18.33",),
    ),
    Line(
        name="goose",
        commands=("goose",),
        args=("acp",),
        provides="brew install block-goose-cli",
        env={"GOOSE_MODE": "approve"},
        login="run `goose configure` there once",
        mode="approve",
        features=Features(interrupt=True, approvals=True, mcp=True, resume=True, structured=True),
    ),
    Line(
        name="copilot",
        commands=("copilot",),
        args=("--acp",),
        provides="npm install -g @github/copilot",
        login="run `copilot` there once and say /login",
        mode="https://agentclientprotocol.com/protocol/session-modes#agent",
        features=Features(interrupt=True, approvals=True, mcp=True, resume=True, structured=True),
    ),
    Line(
        name="qwen",
        commands=("qwen",),
        args=("--acp",),
        provides="npm install -g @qwen-code/qwen-code",
        login="run `qwen` there once and log in, or set OPENAI_API_KEY",
    ),
    Line(
        name="kilo",
        commands=("kilo", "kilocode"),
        args=("acp",),
        provides="npm install -g @kilocode/cli",
        login="run `kilo auth login` there once",
        mode="code",
        # it descends from opencode, which asks about nothing unless its configuration says so
        features=Features(interrupt=True, mcp=True, resume=True, structured=True),
    ),
    Line(
        name="cline",
        commands=("cline",),
        args=("--acp",),
        provides="npm install -g cline",
        login="run `cline auth` there once",
        mode="act",
        features=Features(interrupt=True, approvals=True, mcp=True, resume=True, structured=True),
    ),
    Line(
        name="claude-agent-acp",
        commands=("claude-agent-acp",),
        provides="npm install -g @agentclientprotocol/claude-agent-acp",
        login="run `claude` there once and log in, or set ANTHROPIC_API_KEY",
        features=Features(
            interrupt=True,
            approvals=True,
            usage=True,
            cost=True,
            mcp=True,
            resume=True,
            fork=True,
            structured=True,
        ),
    ),
    Line(
        name="codex-acp",
        commands=("codex-acp",),
        provides="npm install -g @agentclientprotocol/codex-acp",
        login="run `codex login` there once, or set OPENAI_API_KEY",
        mode="read-only",  # in its own default another model answers in the person's place
        features=Features(interrupt=True, approvals=True, usage=True, mcp=True, resume=True, structured=True),
    ),
)
KNOWN = {line.name: line for line in _KNOWN}


def lines(tables: Mapping[str, Mapping[str, Any]]) -> Iterator[Line]:
    """Every known line, with what the user's `[acp.…]` tables say of it, and one for each other table.

    Raises `ValueError` that names the key, the nearest known one and the table.
    """
    for name, line in KNOWN.items():
        yield _said(line, tables[name]) if name in tables else line
    for name, keys in tables.items():
        if name not in KNOWN:
            yield _new(name, keys)


def _new(name: str, keys: Mapping[str, Any]) -> Line:
    if not NAME.fullmatch(name) or name == "acp":
        raise ValueError(
            f"[acp.{name}]: {name!r} can't be a harness's name: letters, digits, '_', '-', '.', and not 'acp'"
        )
    return _said(
        Line(
            name=name,
            commands=(),
            provides=f"your settings say where it is: [acp.{name}]",
            features=Features(interrupt=True, mcp=True, structured=True),
        ),
        keys,
    )


def _said(line: Line, keys: Mapping[str, Any]) -> Line:
    """`line` with what a table says of it."""
    where = f"[acp.{line.name}]"
    if not isinstance(keys, Mapping):
        raise ValueError(f"{where} is a table with the keys {', '.join(KEYS)}, not {keys!r}")
    for key in keys:
        if key not in KEYS:
            raise ValueError(f"{where} has a key {key!r}.{nearest(key, KEYS)} Known: {', '.join(KEYS)}")
    if "command" in keys:
        program, *args = _command(where, keys["command"])
        line = replace(line, commands=(program,), args=tuple(args))
    elif not line.commands:
        raise ValueError(f'{where} lacks the key \'command\', as in command = ["mine", "--acp"]')
    if "env" in keys:
        line = replace(line, env={**line.env, **_env(where, keys["env"])})
    if "features" in keys:
        line = replace(line, features=_features(where, keys["features"]))
    return line


def _command(where: str, said: Any) -> list[str]:
    try:
        words = shlex.split(said) if isinstance(said, str) else said
    except ValueError as exc:
        raise ValueError(f"{where} command = {said!r}: {exc}") from exc
    if not isinstance(words, list) or not words or not all(isinstance(word, str) and word for word in words):
        raise ValueError(
            f"{where} command = {said!r}: not a program and its arguments, as a list or one text"
        )
    return words


def _env(where: str, said: Any) -> Mapping[str, str]:
    if not isinstance(said, Mapping) or not all(isinstance(value, str) for value in said.values()):
        raise ValueError(f'{where} env = {said!r}: not a table of texts, as in {{ NAME = "value" }}')
    return said


def _features(where: str, said: Any) -> Features:
    known = [f.name for f in fields(Features) if f.name != "steer"]  # the protocol has no word for it
    if not isinstance(said, list):
        raise ValueError(f"{where} features = {said!r}: not a list. Known: {', '.join(known)}")
    for name in said:
        if name not in known:
            hint = nearest(str(name), known)
            raise ValueError(f"{where} features names {name!r}.{hint} Known: {', '.join(known)}")
    return Features(**{name: name in ("multi_turn", "structured", *said) for name in known})
