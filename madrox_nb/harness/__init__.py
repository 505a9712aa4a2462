"""A harness is one agent CLI. One file each; this one says what they share.

A `Harness` object is the protocol state of one running CLI and does no I/O: it says
what to run (`launch`), turns verbs into lines to write (`greet`, `prompt`, `steer`,
`interrupt`, `answer`) and lines that were read into items (`read`). The manager does
the reading and writing, gives the ids, and knows the time.

What a CLI can and can't do is declared in its `features` and tested as declared: what is
not there, the manager refuses with words instead of trying.

Ours enter through the door strangers use, one file and one entry point:

    [project.entry-points."madrox_nb.harness"]
    mine = "my_package:Mine"
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, fields
from typing import Any, ClassVar, Literal

from ..events import Event, Signal, Verdict

Permissions = Literal["deny", "ask", "edits", "all"]
"""What an agent may do unasked, each more than the one before:

    deny    read in its own workspace and use the madrox tools; all else is refused
    ask     the same; about all else somebody is asked
    edits   edit in its own workspace too; about all else somebody is asked
    all     everything
"""

Tables = Mapping[str, Mapping[str, Mapping[str, Any]]]
"""What configuration files say about harnesses: section → name → keys, as in `[acp.mine]`."""


@dataclass(frozen=True, kw_only=True)
class Features:
    """What a CLI can do through its harness. Each one is tested, and so is its absence."""

    multi_turn: bool = True
    """It remembers the turns before, in one process."""
    interrupt: bool = False
    """A turn can be ended early, keeping its context, and the CLI confirms it."""
    steer: bool = False
    """A message can join the turn under way."""
    approvals: bool = False
    """It asks before it uses a tool."""
    usage: bool = False
    """It reports the tokens of each turn."""
    cost: bool = False
    """It reports what a turn cost, in US dollars."""
    mcp: bool = False
    """It is given the madrox tools."""
    resume: bool = False
    """A session goes on in a new process."""
    fork: bool = False
    """A session goes on twice, the original untouched."""
    structured: bool = False
    """What it says comes as data of a protocol, not cut out of a screen."""

    def names(self) -> list[str]:
        """The features that it has."""
        return [f.name for f in fields(self) if getattr(self, f.name)]


@dataclass(frozen=True, kw_only=True)
class McpServer:
    """An MCP server that an agent is given besides ours. What it refers to has been filled in.

    Its command runs in the agent's workspace: not every CLI could be told another place.
    """

    transport: Literal["stdio", "http", "sse"] = "stdio"
    command: str = ""
    args: tuple[str, ...] = ()
    env: Mapping[str, str] = field(default_factory=dict)
    url: str = ""
    headers: Mapping[str, str] = field(default_factory=dict)


def claude_shape(servers: Mapping[str, McpServer]) -> dict[str, dict[str, Any]]:
    """`servers` as Claude's `.mcp.json` has them."""
    return {name: _claude_shape(server) for name, server in servers.items()}


def _claude_shape(server: McpServer) -> dict[str, Any]:
    shape: dict[str, Any] = {"type": server.transport}
    if server.transport == "stdio":
        shape |= {"command": server.command, "args": list(server.args), "env": dict(server.env)}
    else:
        shape |= {"url": server.url, "headers": dict(server.headers)}
    return {key: value for key, value in shape.items() if value}


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
    aside: bool = False
    """It only answers: a CLI that can do without tools of its own is to have none."""
    session: str = ""
    """The session id to use when the CLI lets us choose it."""
    resume: str = ""
    """The session to go on with instead of beginning one; empty for a new one."""
    fork: bool = False
    """Go on with `resume` under an id of its own, and leave the original as it is."""
    fork_of: str = ""
    """The workspace in which the original of a fork worked."""
    sessions: str = ""
    """Absolute path of a directory (0700) that outlives the run, for a CLI that keeps no sessions itself."""
    environ: Mapping[str, str] = field(default_factory=dict)
    """The environment that the CLI will get, before `Launch.env`."""
    options: Mapping[str, str] = field(default_factory=dict)
    """What was set of `Harness.options`."""
    texts: Mapping[str, str] = field(default_factory=dict)
    """What stands in the files that options name (`Harness.files_of`), by the option."""
    mcp_url: str = ""
    mcp_token: str = ""
    mcp_servers: Mapping[str, McpServer] = field(default_factory=dict)
    """By name. Their `env` and `headers` hold secrets: never in `Launch.argv`."""
    extra_args: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Launch:
    """What to run, with which environment and files, over which wire."""

    argv: tuple[str, ...]
    env: Mapping[str, str] = field(default_factory=dict)
    """Added to the kernel's environment; an empty value removes the variable."""
    files: Mapping[str, str] = field(default_factory=dict)
    """Name in `Brief.files` → content, written 0600 before the start. Secrets go here."""
    copies: Mapping[str, str] = field(default_factory=dict)
    """Absolute path to be made → absolute path of the file it is a copy of, if that exists."""
    wire: Literal["pipe", "pty"] = "pipe"
    screen: tuple[int, int] | None = None
    """Rows and columns of a "pty" at which a program expects a person. The codec then speaks with
    the terminal instead of the program: `screen.py` says how."""


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
    reads: bool = False
    """It would only read them."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Withdraw:
    """The CLI no longer wants an answer to `request`."""

    request: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Steered:
    """What came of `Harness.steer`."""

    steer: str
    """The id that `steer` was given."""
    joined: bool
    """The turn under way has taken it up. False: it was over, or would not; it needs a turn of its own."""


Item = Event | Signal | Write | Ask | Withdraw | Steered


class Unreadable(Exception):
    """Raised by `Harness.read` for a line outside its protocol; it becomes harness.noise."""


class Harness(ABC):
    """The protocol state of one running CLI.

    Subclasses set `name`, `commands` and `features`, and keep in mind `self.turn`, the
    turn that is under way (empty between turns). They never read a clock, a file or the
    environment.
    """

    name: ClassVar[str]
    commands: ClassVar[tuple[str, ...]] = ()
    """Names of the executable to look for on PATH, first hit wins."""
    provides: ClassVar[str] = ""
    """How a person gets the CLI: one command, shown when it is missing."""
    features: ClassVar[Features] = Features()
    instructed: ClassVar[bool] = True
    """It is told `Brief.instructions`. What others say that look like blocks (fences.py) is left alone."""
    options: ClassVar[Mapping[str, str]] = {}
    """Settings of this CLI alone that a spawn can give: name → what it means."""
    version_args: ClassVar[tuple[str, ...]] = ("--version",)
    """What makes the CLI print its version and end."""
    servers: ClassVar[tuple[str, ...]] = ("stdio", "http", "sse")
    """The kinds of MCP servers that it can be given besides ours, where `features.mcp` is set."""
    unguarded: ClassVar[bool] = False
    """It does what it is told and asks nobody, as a shell does: only an agent with `all` can be one."""
    remedy: ClassVar[str] = ""
    """What the person does when an `unguarded` one asks after all: a sentence for the refusal."""
    tested: ClassVar[tuple[str, ...]] = ()
    """The versions of the CLI that its tests were run with."""

    @classmethod
    def family(cls, tables: Tables) -> Mapping[str, type[Harness]]:
        """The harnesses that this class's entry point stands for, by name: most are one, itself.

        A protocol that many CLIs speak has one for each that it knows, and one for each
        that `tables` tells of. Raises `ValueError` for what `tables` says wrongly.
        """
        return {cls.name: cls}

    @classmethod
    def files_of(cls, options: Mapping[str, str], environ: Mapping[str, str]) -> Mapping[str, str]:
        """The files that options name, by the option: absolute paths. Somebody else reads them.

        Raises `BadInput` for a name that can't be one.
        """
        return {}

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

    def answer(self, request: str, decision: Verdict, why: str = "") -> Iterable[str]:
        """Lines that answer an `Ask`. Nothing for a request that was withdrawn."""
        return ()

    def steer(self, steer: str, text: str) -> Iterable[str]:
        """Lines that put `text` into the turn under way; called only where `features.steer` is set.

        `read` tells by `Steered` what came of it, before the turn's end at the latest.
        """
        raise NotImplementedError(f"{self.name} can't be steered")

    def lost(self) -> Iterable[Event]:
        """The CLI is gone in mid-turn: what is known of that turn's usage."""
        return ()
