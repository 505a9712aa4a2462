"""One word for each thing, said to every kind of agent in its own way.

The real CLIs think with the stub of `model.py`; a rehearsal agent and a Python at a
terminal need no model. So one suite can ask the same of all of them.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import acp_programs
import groups
from model import Model
from record import claude_environ, codex_environ

from madrox_nb.harness import Features
from madrox_nb.library import Harnesses

Environ = Callable[[Path, Model], dict[str, str]]


@dataclass(frozen=True)
class Kind:
    """One kind of agent: what starts it, what it gets to know, and how it is spoken to."""

    name: str
    command: tuple[str, ...]
    environ: Environ
    prefix: str = ""
    """How it calls our tools."""
    shell: Callable[[str], str] = lambda command: ""
    permissions: str | None = None
    """What it has to be given; None for what is given unsaid."""
    """A prompt that has it run a command in its shell, after asking."""

    @property
    def features(self) -> Features:
        return Harnesses()[self.name].features

    def remember(self, word: str) -> str:
        return f"remember {word}"

    def recall(self) -> str:
        """A prompt whose answer holds everything that it was told to remember."""
        return "what was it?"

    def touch(self, name: str) -> str:
        """A prompt that has it make an empty file with its shell, after asking."""
        return self.shell(f"touch {name}")

    def long(self) -> str:
        """A prompt that keeps it speaking for half a minute."""
        return "SLOW 600 0.05"

    def call(self, tool: str, **arguments: object) -> str:
        return f"CALL {self.prefix}{tool} {json.dumps(arguments)}"


class Rehearsing(Kind):
    def recall(self) -> str:
        return "/recall"

    def long(self) -> str:
        return "/slow 600 0.05"

    def call(self, tool: str, **arguments: object) -> str:
        return f"/tool {tool} {json.dumps(arguments)}"


class Codex(Kind):
    def touch(self, name: str) -> str:
        """Out of its sandbox at once: it begins in it, and a busy machine can miss that it failed there."""
        wider = {"sandbox_permissions": "require_escalated", "justification": "it writes"}
        return f"CALL exec_command {json.dumps({'cmd': f'touch {name}', **wider})}"


class Python(Kind):
    def remember(self, word: str) -> str:
        return f"words = [*globals().get('words', ()), {word!r}]"

    def recall(self) -> str:
        return "print(words)"

    def long(self) -> str:
        return "import time\nfor i in range(600): print('word', i, flush=True); time.sleep(0.05)"


def _claude_shell(command: str) -> str:
    return f"CALL Bash {json.dumps({'command': command, 'description': 'x'})}"


def _nothing(home: Path, model: Model) -> dict[str, str]:
    return {}


def _first(pattern: str) -> tuple[str, ...]:
    return tuple(map(str, sorted(groups.CLIS.glob(pattern))[:1]))


def _acp(name: str) -> Kind:
    program = acp_programs.PROGRAMS[name]
    present = all(Path(word).exists() for word in program.command)
    return Kind(
        name,
        program.command if present else (),
        lambda home, model: program.env(home, model.url),
        program.prefix,
        lambda command: acp_programs.call(program.shell, command=command, description="x"),
    )


KINDS = {
    kind.name: kind
    for kind in (
        Rehearsing(
            "rehearsal",
            (sys.executable,),
            _nothing,
            shell=lambda command: f"/approve-needed Bash {json.dumps({'command': command})}",
        ),
        Kind(
            "claude",
            _first("@anthropic-ai/claude-code-*/claude"),
            claude_environ,
            "mcp__madrox__",
            _claude_shell,
        ),
        Codex(
            "codex",
            _first("@openai/codex-*/vendor/*/bin/codex"),
            codex_environ,
            "mcp__madrox__",
            lambda command: f"CALL exec_command {json.dumps({'cmd': command})}",
        ),
        _acp("opencode"),
        _acp("gemini"),
        Python("python", (sys.executable,), _nothing, permissions="all"),
    )
}
