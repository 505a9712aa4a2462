"""A harness is one agent CLI. One file each; this one says what they share.

A `Harness` object is the protocol state of one running CLI and does no I/O: it says
what to run (`launch`), turns verbs into lines to write (`greet`, `prompt`,
`interrupt`, `answer`) and lines that were read into items (`read`). The manager does
the reading and writing, gives the ids, and knows the time.

Ours enter through the door strangers use, one file and one entry point:

    [project.entry-points."madrox_nb.harness"]
    mine = "my_package:Mine"
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import ClassVar, Literal

from ..events import Decision, Event, Signal

Permissions = Literal["edits", "all"]


@dataclass(frozen=True, kw_only=True)
class Brief:
    """What an agent is told at birth."""

    agent: str
    command: tuple[str, ...]
    """The CLI and its leading arguments, found beforehand: `("/usr/bin/claude",)`."""
    workspace: str
    """Absolute path of the directory it works in."""
    files: str
    """Absolute path of its private directory (0700), where `Launch.files` are put."""
    instructions: str = ""
    """Identity, messaging and role: what goes into the system prompt."""
    role: str = "general"
    parent: str | None = None
    model: str | None = None
    permissions: Permissions = "edits"
    session: str = ""
    """The session id to use when the CLI lets us choose it."""
    mcp_url: str = ""
    mcp_token: str = ""
    extra_args: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Launch:
    """What to run, with which environment and files, over which wire."""

    argv: tuple[str, ...]
    env: Mapping[str, str] = field(default_factory=dict)
    """Added to the kernel's environment; an empty value removes the variable."""
    files: Mapping[str, str] = field(default_factory=dict)
    """Name in `Brief.files` → content, written 0600 before the start. Secrets go here."""
    wire: Literal["pipe", "pty"] = "pipe"


@dataclass(frozen=True, kw_only=True, slots=True)
class Write:
    """A line that the protocol wants written back to the CLI, newline included."""

    line: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Ask:
    """The CLI asks whether it may use a tool. Answered through `Harness.answer`."""

    request: str
    """The CLI's own id of the request."""
    tool: str
    input: Mapping[str, object]
    touches: tuple[str, ...] | None = None
    """The paths it would read or edit, when that is all it would do; None for anything else."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Withdraw:
    """The CLI no longer wants an answer to `request`."""

    request: str


Item = Event | Signal | Write | Ask | Withdraw


class Unreadable(Exception):
    """Raised by `Harness.read` for a line outside its protocol; it becomes harness.noise."""


class Harness(ABC):
    """The protocol state of one running CLI.

    Subclasses set `name` and `commands`, and keep in mind `self.turn`, the turn that
    is under way (empty between turns). They never read a clock, a file or the
    environment.
    """

    name: ClassVar[str]
    commands: ClassVar[tuple[str, ...]] = ()
    """Names of the executable to look for on PATH, first hit wins."""
    provides: ClassVar[str] = ""
    """How a person gets the CLI: one command, shown when it is missing."""

    def __init__(self, brief: Brief) -> None:
        self.brief = brief
        self.turn = ""

    @abstractmethod
    def launch(self) -> Launch:
        """What to run. Called once, before the process exists."""

    def greet(self) -> Iterable[str]:
        """Lines to write as soon as the process runs: the handshake's first half.

        The second half is an `AgentReady` out of `read`. A CLI that never gets there
        within the start timeout is stopped as failed, with its words as evidence.
        """
        return ()

    @abstractmethod
    def prompt(self, turn: str, text: str) -> Iterable[str]:
        """Lines that start `turn`. Called only between turns; sets `self.turn`."""

    @abstractmethod
    def read(self, line: str) -> Iterable[Item]:
        """What one line (without its newline) means.

        Ends a turn with `UsageReported` and then `TurnEnded`. Unknown but well-formed
        messages yield nothing; raises `Unreadable` for a line that is none of its own.
        """

    @abstractmethod
    def interrupt(self) -> Iterable[str]:
        """Lines that ask the CLI to end the turn under way, keeping its context."""

    def answer(self, request: str, decision: Decision, why: str = "") -> Iterable[str]:
        """Lines that answer an `Ask`."""
        return ()

    def lost(self) -> Iterable[Event]:
        """The CLI is gone in mid-turn: what is known of that turn's usage."""
        return ()
