"""`%madrox` and `%%madrox`: the person's verbs as words of a cell.

Every subcommand is a verb or a view of `notebook.Madrox` and returns what that returns.
This module loads next to nothing; the rest comes with the first verb.

In lines and cell bodies `{name}`, `{name.attribute}`, `{name[key]}`, with `!r` or a
format after it, are replaced when `name` is one of your variables and the rest can be
had from it. All else stays as it is written: JSON, `{k: v for k in …}`, `$name`,
`{{name}}`. `--raw` replaces nothing. In options `${NAME}` means the environment.
"""

from __future__ import annotations

import argparse
import re
import shlex
import string
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from tokenize import DEDENT, INDENT, TokenInfo
from typing import TYPE_CHECKING, Any, Final, NoReturn, TypeVar

from IPython.core.completer import CompletionContext, SimpleCompletion, context_matcher
from IPython.core.error import UsageError
from IPython.core.inputtransformer2 import HelpEnd, TokenTransformBase
from IPython.core.magic import (
    Magics,
    line_cell_magic,
    magics_class,
    needs_local_scope,
    no_var_expand,
)

from .errors import BadInput, MadroxError, nearest

if TYPE_CHECKING:
    from IPython.core.interactiveshell import InteractiveShell

    from .notebook import Madrox

T = TypeVar("T")

MATCHER: Final = "madrox_nb"
PERMISSIONS: Final = ("deny", "ask", "edits", "all")
LIMITS: Final = {
    "usd": "US dollars that it and all below it may use; none: no limit",
    "tokens": "the same in tokens",
    "minutes": "from now on",
    "turns": "of it and all below it",
    "max_depth": "levels of agents below it; 0: none",
    "max_children": "that it may have at once",
}
"""As options. Named here as well as in `budget`, because this module loads next to nothing."""
AGENT: Final = "agent"
"""What a positional or an option's value names, for the completion."""


# the grammar


class _Help(Exception):
    """A parser has printed its help."""


class _Parser(argparse.ArgumentParser):
    """argparse that raises instead of leaving the process, and suggests what was meant."""

    def error(self, message: str) -> NoReturn:
        unknown = re.match(r"unrecognized arguments: (\S+)", message)
        hint = nearest(unknown[1], self._option_string_actions) if unknown else ""
        lacking = re.match(r"argument (--\S+): expected one argument", message)
        if lacking:
            hint = f" One that begins with a dash: {lacking[1]}=--such"
        raise UsageError(f"{message}.{hint}\n{self.format_usage().strip()}")

    def exit(self, status: int = 0, message: str | None = None) -> NoReturn:
        raise _Help


class _Command:
    """One subcommand: its grammar, and the function that carries it out."""

    def __init__(self, name: str, about: str, carry_out: Callable[[Use], Any], *, says: bool = False) -> None:
        self.name, self.about, self.carry_out = name, about, carry_out
        self.says = says
        """It takes a text: the rest of the line as it is written, or the cell's body."""
        self.parser = _Parser(prog=f"%madrox {name}", description=about, allow_abbrev=False)

    def add(self, *names: str, completes: str = "", **options: Any) -> None:
        """An argument; `completes` says what its value names."""
        action = self.parser.add_argument(*names, **options)
        action.completes = completes  # type: ignore[attr-defined]


class Use:
    """One use of the magic: what was asked for, with every value in its place.

    `silent` is IPython's semicolon at the end: the value is not shown. Lines that send
    have none, for there it belongs to the text. (IPython's own `output_can_be_silenced`
    reads our lines and cells as Python, and fails on an apostrophe.)
    """

    def __init__(self, asked: argparse.Namespace, text: str, command: _Command, silent: bool = False) -> None:
        self.asked, self.text, self.command, self.silent = asked, text, command, silent

    def __getattr__(self, name: str) -> Any:
        return getattr(self.asked, name)

    @property
    def madrox(self) -> Madrox:
        """The shared madrox; opens it."""
        from .notebook import Madrox

        return Madrox()


def _spawn(call: Use) -> Any:
    return call.madrox.spawn(
        call.name,
        role=call.role,
        harness=call.harness,
        model=call.model,
        parent=call.parent,
        permissions=call.permissions,
        system_prompt=call.system_prompt,
        options=_pairs("--option", call.option, "sandbox_mode=read-only"),
        extra_args=call.extra_arg,
        auto_inject=not call.no_auto_inject,
        mcp_servers=_servers(call.mcp),
        environment_vars=_pairs("--env", call.env, "STAGE=test"),
        workspace_dir=call.workspace_dir,
        use_worktree=call.worktree or call.git_repo is not None,
        git_repo=call.git_repo,
        bypass_isolation=call.bypass_isolation,
        initial_prompt=call.prompt,
        limits=_limits(call),
        wait=not call.no_wait,
    )


def _limit(call: Use) -> Any:
    if not (asked := _limits(call)):
        found = call.madrox.limits(*([call.agent] if call.agent else []))
        if found.empty:
            _notice(
                "no limits are set; %madrox limit lead --usd 5 sets one, without a name for the whole run"
            )
        return found
    return call.madrox.limit(call.agent or "", more=call.more, **asked)


def _limits(call: Use) -> dict[str, Any]:
    """Those limits that were said."""
    return {name: said for name in LIMITS if (said := getattr(call.asked, name, None)) is not None}


def _amount(text: str) -> float:
    """A number, or `none` for no limit."""
    return float("inf") if text.lower() == "none" else float(text)


def _send(call: Use) -> Any:
    pending = call.madrox.send(call.agent, call.text, steer=call.steer, wait=False)
    if call.steer and pending.how == "queued":
        _notice(f"{call.agent} can't be steered now: queued as its next turn")
    return pending if call.no_wait else pending.wait()


def _post(call: Use) -> str:
    return call.madrox.post(call.agent, call.text)


def _wait(call: Use) -> Any:
    return call.madrox.wait(*call.agents, timeout=call.timeout)


def _tree(call: Use) -> Any:
    from .display import kernel

    return call.madrox.tree if kernel() is None else call.madrox.widget()


def _interrupt(call: Use) -> Any:
    agents = [call.madrox.agent(name) for name in call.agents]  # all of them, or nothing is done
    ended = [_said_if(agent.interrupt(), f"{agent.name} has no turn under way") for agent in agents]
    return ended[0] if len(ended) == 1 else ended


def _stop(call: Use) -> list[str]:
    if bool(call.agents) == call.all:
        raise UsageError("%madrox stop: say whom, an agent's name or --all")
    if call.all:
        return _said_if(call.madrox.stop_all(force=call.force), "nobody was ended")
    agents = [call.madrox.agent(name) for name in call.agents]
    return [
        name
        for agent in agents
        for name in _said_if(agent.stop(tree=call.tree, force=call.force), f"{agent.name} had ended already")
    ]


def _suspend(call: Use) -> Any:
    agents = [call.madrox.agent(name) for name in call.agents]
    suspended = [agent.suspend() for agent in agents]
    return suspended[0] if len(suspended) == 1 else suspended


def _resume(call: Use) -> Any:
    return call.madrox.resume(*call.agents, run=call.run)


def _fork(call: Use) -> Any:
    return call.madrox.fork(call.agent, call.as_, permissions=call.permissions)


def _approvals(call: Use) -> Any:
    found = call.madrox.approvals()
    if not call.all:
        found = found[found["state"] == "open"]
        if found.empty:
            _notice("nothing waits for an answer; --all shows what was answered")
    return found


def _approve(call: Use) -> Any:
    return call.madrox.approve(*call.approvals, always=call.always)


def _deny(call: Use) -> Any:
    return call.madrox.deny(*call.approvals, why=" ".join(call.why), always=call.always)


def _pairs(option: str, given: Sequence[str], such_as: str) -> dict[str, str]:
    """`name=value` words as a mapping. Raises `UsageError`."""
    for word in given:
        if "=" not in word:
            raise UsageError(f"{option} {word}: write it as NAME=VALUE, such as {such_as}")
    return dict(word.split("=", 1) for word in given)


def _servers(given: Sequence[str]) -> str | Sequence[str] | None:
    """Names of presets, or one table as JSON. Raises `UsageError` for both at once."""
    tables = [word for word in given if word.lstrip().startswith("{")]
    if tables and len(given) > 1:
        raise UsageError("--mcp takes names, or one table that holds all servers")
    return tables[0] if tables else list(given) or None


def _notice(text: str) -> None:
    from .display import notice

    notice(text)


def _said_if(value: T, otherwise: str) -> T:
    """`value`; when there is none, the person is told why."""
    if not value:
        _notice(otherwise)
    return value


def _team(call: Use) -> Any:
    if sum(map(bool, (call.stop, call.retry is not None, call.resume, call.status))) > 1:
        raise UsageError("%madrox team: one of --stop, --retry, --resume and --status at a time")
    if call.name is None and not call.retry:
        raise UsageError("%madrox team: say which; %madrox teams lists them, with --started those that run")
    if call.status:
        return call.madrox.team_run(call.name)
    if call.stop:
        handle = call.madrox.team_run(call.name)
        handle.stop()
        return handle
    if call.retry is not None:
        names: list[str] = [call.name] if call.name else []
        name, *phases = names + call.retry  # `--retry NAME` means that team
        return call.madrox.team_run(name).retry(*phases, wait=not call.no_wait)
    task = call.task if call.task is not None else call.text.strip()
    if call.resume:
        return _resumed_team(call, task)
    return call.madrox.team(
        call.name,
        task,
        inputs=_pairs("--input", call.input, "language=Rust"),
        lead=call.lead,
        harness=call.harness,
        model=call.model,
        permissions=call.permissions,
        parent=call.parent,
        prefix=call.prefix,
        files=call.file,
        wait=not call.no_wait,
    )


def _resumed_team(call: Use, task: str) -> Any:
    if task:
        return call.madrox.team_run(call.name).resume(task, wait=not call.no_wait)
    return call.madrox.resume_team(call.name, run=call.run, wait=not call.no_wait)


def _job(call: Use) -> Any:
    if not call.stop:
        return call.madrox.job(call.job, run=call.run, wait=call.wait)
    if call.job is None or call.run or call.wait:
        raise UsageError("%madrox job --stop needs the job's id, and nothing else")
    return call.madrox.stop_job(call.job)


def _teams(call: Use) -> Any:
    from .notebook import teams

    return call.madrox.team_runs() if call.started else teams()


def _audit(call: Use) -> Any:
    return call.madrox.audit(since=call.since, agent=call.agent, kind=call.kind)


def _inbox(call: Use) -> Any:
    return call.madrox.inbox(call.timeout)


def _config(call: Use) -> Any:
    return call.madrox.config()


def _roles(call: Use) -> Any:
    from .notebook import roles

    return roles()


def _harness_table(call: Use) -> Any:
    return call.madrox.harnesses()


def _processes(call: Use) -> Any:
    return call.madrox.processes(call.agent)


def _token(call: Use) -> Any:
    tokens = call.madrox.tokens
    if call.what == "list":
        return tokens.list()
    if call.name is None:
        raise UsageError(f"%madrox token {call.what} needs the token's NAME")
    if call.what == "revoke":
        gone = tokens.revoke(call.name)
        _notice(f"the token {gone.name} ({gone.scope}) speaks for nobody any more")
        return None
    issued = tokens.create(call.name, call.scope)
    if call.to is None:
        return issued
    try:
        where = issued.save(Path(call.to))
    except OSError as exc:
        tokens.revoke(call.name)
        raise BadInput(f"the token can't be written to {call.to}: {exc}. None was made") from exc
    _notice(f"the token {call.name} ({call.scope}) stands in {where}, for you alone to read")
    return None


def _help(call: Use) -> None:
    if call.about is None:
        sys.stdout.write(overview())
    else:
        command(call.about).parser.print_help()


def _close(call: Use) -> None:
    if (shared := _current()) is not None:
        shared.close()


def _grammar() -> dict[str, _Command]:
    found: dict[str, _Command] = {}

    def new(name: str, about: str, carry_out: Callable[[Use], Any], *, says: bool = False) -> _Command:
        found[name] = _Command(name, about, carry_out, says=says)
        return found[name]

    c = new("spawn", "start an agent", _spawn)
    c.add("name", nargs="?", help="what it is called; without one it is numbered")
    c.add("--role", default="general", completes="role", help="a file in prompts/ (general)")
    c.add("--harness", completes="harness", help="which CLI; without it the first that is installed")
    c.add("--model", help="passed on to the CLI")
    c.add("--parent", completes=AGENT, help="the agent whose child it becomes")
    c.add(
        "--permissions",
        choices=PERMISSIONS,
        help="what it may do unasked; its parent's, else by the settings",
    )
    c.add("--system-prompt", metavar="TEXT", help="instead of the role's text")
    c.add("--option", action="append", default=[], metavar="NAME=VALUE", help="of its harness alone")
    c.add(
        "--extra-arg", action="append", default=[], metavar="ARG", help="passed on to its CLI; --extra-arg=-v"
    )
    c.add(
        "--mcp",
        action="append",
        default=[],
        metavar="NAME",
        completes="preset",
        help="an MCP server: a preset, one of .mcp.json, or a table as JSON",
    )
    c.add(
        "--env",
        action="append",
        default=[],
        metavar="NAME=VALUE",
        help="added to its environment; ${NAME} too",
    )
    c.add("--workspace-dir", metavar="DIR", help="where it works, instead of a directory of its own")
    c.add("--worktree", action="store_true", help="in a git worktree, on a branch of its own")
    c.add("--git-repo", metavar="DIR", help="of that repository, instead of the one around the notebook")
    c.add("--bypass-isolation", action="store_true", help="the same as --permissions all")
    c.add("--prompt", metavar="TEXT", help="its first task; the answer is left in your inbox")
    c.add("--no-auto-inject", action="store_true", help="its words wait until they are asked for")
    for name, about in LIMITS.items():
        c.add(f"--{name.replace('_', '-')}", type=_amount, metavar="N", help=about)
    c.add("--no-wait", action="store_true", help="return while it starts")

    c = new("send", "start a turn and wait for its end: words of the line, or the cell", _send, says=True)
    c.add("agent", completes=AGENT)
    c.add("--steer", action="store_true", help="into the turn under way, if its CLI can; else queued")
    c.add("--no-wait", action="store_true", help="return at once; the value's .wait() waits")
    c.add("--raw", action="store_true", help="replace no {name}")

    c = new("post", "leave a message without waiting: words of the line, or the cell", _post, says=True)
    c.add("agent", completes=AGENT)
    c.add("--raw", action="store_true", help="replace no {name}")

    c = new("wait", "wait until agents and all below them are quiet", _wait)
    c.add("agents", nargs="*", completes=AGENT, help="everyone when none is named")
    c.add("--timeout", type=float, metavar="SECONDS")

    new("tree", "the live tree", _tree)

    c = new("interrupt", "end the turn under way, keeping its context", _interrupt)
    c.add("agents", nargs="+", completes=AGENT)

    c = new("suspend", "end the processes of idle agents; a message starts them again", _suspend)
    c.add("agents", nargs="+", completes=AGENT)

    c = new("resume", "bring agents back: suspended ones, or all that an earlier kernel had", _resume)
    c.add("agents", nargs="*", completes=AGENT)
    c.add("--run", default="", help="of an earlier kernel; without one the newest")

    c = new("fork", "a second agent with the same conversation and files", _fork)
    c.add("agent", completes=AGENT)
    c.add("--as", dest="as_", metavar="NAME", help="what it is called; without one it is numbered")
    c.add("--permissions", choices=PERMISSIONS, help="what it may do unasked; the original's, but never all")

    c = new("approvals", "what agents ask to be allowed", _approvals)
    c.add("--all", action="store_true", help="what was answered, too")

    for verb, about, carry_out in (("approve", "allow", _approve), ("deny", "refuse", _deny)):
        c = new(verb, f"{about} what agents have asked for", carry_out)
        c.add("approvals", nargs="+", completes="approval")
        if verb == "deny":
            c.add("--why", nargs="+", default=[], metavar="WORD", help="what the agent is told")
        c.add(
            "--always",
            choices=("agent", "subtree", "tool"),
            default="",
            help="and this tool from now on, for …",
        )

    c = new("team", "start the whole team of a file, and have its phases carried out", _team, says=True)
    c.add(
        "name",
        nargs="?",
        completes="team",
        help="one of %madrox teams; with --stop, --retry, … a team that runs",
    )
    c.add("--task", help="what the team is to do; or the words of the line, or the cell. Without: stand by")
    c.add("--input", action="append", default=[], metavar="NAME=VALUE", help="what its file wants to be told")
    c.add("--lead", action="store_true", help="spawn the lead alone, with the whole plan to carry out")
    c.add("--harness", completes="harness", help="for all its agents")
    c.add("--model", help="for all its agents")
    c.add(
        "--permissions", choices=PERMISSIONS, help="what they may do at most; its file only takes from that"
    )
    c.add("--parent", completes=AGENT, help="whose child the lead becomes")
    c.add("--prefix", help="before every name; without it one is found where a name is taken")
    c.add("--file", action="append", default=[], metavar="PATH", help="copied to every member")
    c.add("--no-wait", action="store_true", help="return at once; the value's .wait() waits")
    c.add("--status", action="store_true", help="how far it is")
    c.add("--stop", action="store_true", help="end what is under way; the agents stay")
    c.add("--retry", nargs="*", metavar="PHASE", help="do again what failed, or these phases (review.lead)")
    c.add(
        "--resume", action="store_true", help="go on where it was stopped, or where an earlier kernel ended"
    )
    c.add("--run", default="", help="of an earlier kernel; without one the newest")
    c.add("--raw", action="store_true", help="replace no {name}")

    c = new("teams", "the team files that there are", _teams)
    c.add("--started", action="store_true", help="the teams that were started here instead")

    c = new("job", "how far a job of several agents, or a team, is; without its id: all of them", _job)
    c.add("job", nargs="?", completes="job", help="such as lead.j1")
    c.add("--wait", action="store_true", help="until it is over")
    c.add("--stop", action="store_true", help="end what is under way; the agents stay")
    c.add("--run", default="", help="of an earlier kernel; without one this, else the newest that had it")

    c = new("stop", "end agents", _stop)
    c.add("agents", nargs="*", completes=AGENT)
    c.add("--all", action="store_true", help="everybody; who works is left, unless forced")
    c.add("--tree", action="store_true", help="and everyone below them")
    c.add("--force", action="store_true", help="in the middle of a turn, too")

    c = new("limit", "what an agent and all below it may use; without amounts: what is left", _limit)
    c.add("agent", nargs="?", completes=AGENT, help="the whole run when none is named")
    for name, about in LIMITS.items():
        c.add(f"--{name.replace('_', '-')}", type=_amount, metavar="N", help=about)
    c.add("--more", action="store_true", help="on top of what has been used; else in all")

    new("agents", "one row an agent", lambda call: call.madrox.agents())
    new("turns", "one row a turn", lambda call: call.madrox.turns())
    new("messages", "one row a message", lambda call: call.madrox.messages())
    c = new("audit", "one row an event", _audit)
    c.add("--since", help="a time (UTC), or a span back from now: 10min")
    c.add("--agent", completes=AGENT)
    c.add("--kind", help="turn.ended, or a family: turn")
    new("costs", "tokens and money by agent", lambda call: call.madrox.costs())

    c = new("inbox", "take what agents have written to you", _inbox)
    c.add("--timeout", type=float, default=0, metavar="SECONDS", help="wait for the first one")

    new("config", "the settings in force, and where each comes from", _config)
    new("serve", "let other clients in by MCP", lambda call: call.madrox.serve())
    c = new("token", "let an outside client in with a token of its own, shown once", _token)
    c.add("what", choices=("create", "list", "revoke"))
    c.add("name", nargs="?", help="what the client is called")
    c.add(
        "--scope", choices=("read", "operate", "admin"), default="read", help="look; run agents; everything"
    )
    c.add("--to", metavar="FILE", help="write it there, for you alone to read, instead of showing it")
    new("roles", "the roles that spawn knows", _roles)
    new("harnesses", "one row a harness: is its CLI here, which version, what it can do", _harness_table)
    c = new("processes", "one row a process of the system that belongs to a living agent", _processes)
    c.add("agent", nargs="?", completes=AGENT, help="of this one alone")
    c = new("help", "this, or all about one command", _help)
    c.add("about", nargs="?", metavar="COMMAND", completes="command")
    new("close", "end every agent and the run", _close)

    for each in found.values():
        each.add("-o", "--out", metavar="NAME", help="put the value into this variable instead")
    return found


COMMANDS: Final = _grammar()
IN_A_TERMINAL: Final = ("mcp", "lab", "demo", "doctor", "logs")
"""Commands of `madrox` that have no magic of their own."""


def command(name: str) -> _Command:
    """Raises `UsageError` with the nearest one."""
    try:
        return COMMANDS[name]
    except KeyError:
        if name in IN_A_TERMINAL:
            raise UsageError(f"%madrox {name}: that is a command of a terminal: madrox {name}") from None
        known = ", ".join(COMMANDS)
        raise UsageError(
            f"%madrox {name}: no such command.{nearest(name, COMMANDS)} Known: {known}"
        ) from None


def overview() -> str:
    """What `%madrox help` and `%madrox?` say."""
    width = max(map(len, COMMANDS))
    listed = "\n".join(f"  {name:{width}}  {each.about}" for name, each in COMMANDS.items())
    return (
        "Run a tree of agent CLIs.\n\n"
        f"{listed}\n\n"
        "%madrox help COMMAND tells its options; -o NAME puts the value into a variable.\n"
        "%%madrox send AGENT sends the cell's body. {name} is replaced by your variable of that\n"
        "name, all other braces and $ stay as they are written; --raw replaces nothing.\n"
        "On lines that send nothing, # begins a comment.\n"
    )


# reading a line


_FIELD: Final = re.compile(
    r"\{\{[^{}]*\}\}"  # stays as it is
    r"|\{([A-Za-z_]\w*)(?:\.\w+|\[[^\[\]{}]+\])*(?:![rsa])?(?::[^{}\s][^{}]*)?\}"
)


def interpolated(text: str, names: Mapping[str, Any]) -> str:
    """`text` with the variables in braces replaced; what can't be, stays as it is written."""

    def value(match: re.Match[str]) -> str:
        if match[1] not in names:
            return match[0]
        try:
            return string.Formatter().vformat(match[0], (), names)
        except (AttributeError, LookupError, TypeError, ValueError):
            return match[0]

    return _FIELD.sub(value, text)


def read(line: str, cell: str | None, names: Mapping[str, Any]) -> Use:
    """What a line (and its cell) asks for. Raises `UsageError`."""
    name, _, rest = line.strip().partition(" ")
    known = command(name.removesuffix(";"))
    silent = not known.says and line.rstrip().endswith(";")
    if silent:
        rest = rest.rstrip().removesuffix(";")
    if cell is not None and not known.says:
        raise UsageError(f"%%madrox {name} takes no cell body; write it with one %")
    head, text = _divided(known, rest) if known.says else (_words(rest, comments=True), "")
    if cell is not None and text:
        raise UsageError(
            f"%%madrox {name} sends the cell's body; the words {text[:40]!r} stand in its line too"
        )
    asked = known.parser.parse_args([w if "${" in w else interpolated(w, names) for w in head])
    if asked.out is not None and not asked.out.isidentifier():
        raise UsageError(f"-o {asked.out}: that is no name for a variable")
    said = text if cell is None else cell
    said = said if getattr(asked, "raw", True) else interpolated(said, names)
    return Use(asked, said, known, silent)


def _words(text: str, comments: bool = False) -> list[str]:
    try:
        return shlex.split(text, comments)
    except ValueError as exc:
        raise UsageError(f"{exc} in: {text}") from None


def _divided(known: _Command, rest: str) -> tuple[list[str], str]:
    """The words before the text, with the options behind it; and the text as it is written.

    So an apostrophe in a prompt is an apostrophe. A text in one pair of quotes loses
    them; after `--` everything is text.
    """
    head: list[str] = []
    agent, values = False, 0
    while match := re.match(r"\s*((?:\"[^\"]*\"|'[^']*'|[^\s\"'])+)", rest):
        word = match[1]
        if word == "--":
            return head, rest[match.end() :].strip()
        if word.startswith("-"):
            values = _takes_value(known, word)
        elif values:
            values = 0
        elif agent:
            break
        else:
            agent = True
        head += _words(word)
        rest = rest[match.end() :]
    text, tail = _without_options(known, rest.strip())
    return head + tail, _unquoted(text)


def _takes_value(known: _Command, option: str) -> int:
    action = known.parser._option_string_actions.get(option)
    return int(action is not None and action.nargs != 0)


def _without_options(known: _Command, text: str) -> tuple[str, list[str]]:
    """`text` and the options that stand at its end."""
    flags = [o for o, action in known.parser._option_string_actions.items() if action.nargs == 0]
    pattern = rf"(?:(?:^|\s+)(?:{'|'.join(map(re.escape, flags))}|(?:-o|--out)[ =]\w+))+$"
    match = re.search(pattern, text)
    return (text[: match.start()], _words(match[0])) if match else (text, [])


def _unquoted(text: str) -> str:
    if len(text) > 1 and text[0] == text[-1] and text[0] in "\"'" and text[0] not in text[1:-1]:
        return text[1:-1]
    return text


# the magic


@magics_class
class MadroxMagics(Magics):
    """`%madrox` and `%%madrox`."""

    @no_var_expand
    @needs_local_scope
    @line_cell_magic
    def madrox(self, line: str, cell: str | None = None, local_ns: dict[str, Any] | None = None) -> Any:
        shell = self.shell
        assert shell is not None
        try:
            line = "help" if line.strip() in ("", "-h", "--help") else line
            call = read(line, cell, {**shell.user_ns, **(local_ns or {})})
            value = call.command.carry_out(call)
        except _Help:
            return None
        except (MadroxError, TimeoutError) as exc:
            raise _plain(exc) from None
        if call.out is not None:
            shell.user_ns[call.out] = value
        return None if call.silent or call.out is not None else value

    madrox.__doc__ = overview()


def _plain(error: Exception) -> Exception:
    """`error`, shown in a cell by its words alone: they say what to do, our frames do not."""
    lines = f"{type(error).__name__}: {error}".splitlines()
    error._render_traceback_ = lambda: lines  # type: ignore[attr-defined]
    return error


class Question(TokenTransformBase):
    """`%madrox send lead Why?` asks lead. IPython would look up help for `Why` (ipython#14258)."""

    priority = HelpEnd.priority - 1
    _asks = re.compile(r"(\s*(?:[\w.,\[\]'\" ]+=\s*)?)%madrox\s+((?:send|post)\s+\S+\s+\S.*\?)\s*")

    @classmethod
    def find(cls, tokens_by_line: list[list[TokenInfo]]) -> Question | None:
        for tokens in tokens_by_line:
            first = next((each for each in tokens if each.type not in (INDENT, DEDENT)), None)
            if first is not None and cls._asks.fullmatch(first.line):
                return cls(first.start)
        return None

    def transform(self, lines: list[str]) -> list[str]:
        match = self._asks.fullmatch(lines[self.start_line])
        assert match is not None
        call = f"{match[1]}get_ipython().run_line_magic('madrox', {match[2]!r})\n"
        return [*lines[: self.start_line], call, *lines[self.start_line + 1 :]]


# completion


@context_matcher(identifier=MATCHER, priority=200)  # type: ignore[untyped-decorator]
def complete(context: CompletionContext) -> Any:
    """What may come next in a `%madrox` line."""
    match = re.match(r"\s*(?:[\w, ]+=\s*)?%{1,2}madrox\s+(.*)$", context.text_until_cursor, re.DOTALL)
    if match is None:
        return {"completions": []}
    words = match[1].split()
    begun = words.pop() if words and not match[1][-1].isspace() else ""
    found = [word for word in candidates(words) if word.startswith(begun)]
    return {
        "completions": [SimpleCompletion(word, type="magic") for word in found],
        "matched_fragment": begun,
        "suppress": True,
        "ordered": True,
    }


def candidates(words: Sequence[str]) -> list[str]:
    """What may follow `words`: commands, options, or what a value can name."""
    if not words:
        return list(COMMANDS)
    known = COMMANDS.get(words[0])
    if known is None:
        return []
    options = known.parser._option_string_actions
    option = options.get(words[-1])
    if option is not None and option.nargs != 0:
        return _values(option)
    given = [word for n, word in enumerate(words[1:], 1) if not _is_option(options, words, n)]
    places = known.parser._get_positional_actions()
    place = places[min(len(given), len(places) - 1)] if places else None
    full = place is None or (len(given) >= len(places) and place.nargs not in ("*", "+"))
    if known.says and len(given) > len(places):
        return []  # in the text
    taken = {"-h", "-o", *words}
    return [
        *(() if full or place is None else (v for v in _values(place) if v not in given)),
        *(name for name in options if name.startswith("--") and name not in taken),
    ]


def _is_option(options: Mapping[str, argparse.Action], words: Sequence[str], n: int) -> bool:
    before = options.get(words[n - 1])
    return words[n] in options or (before is not None and before.nargs != 0)


def _values(action: argparse.Action) -> list[str]:
    if action.choices:
        return list(action.choices)
    return list(_NAMED.get(getattr(action, "completes", ""), list)())


def _roles_known() -> Iterable[str]:
    from . import library

    return sorted({role.name for role in library.roles()})


def _team_files() -> Iterable[str]:
    from . import library

    return sorted({path.stem for path in library.team_files()})


def _harnesses() -> Iterable[str]:
    from . import library

    shared = _current()
    return list(shared.manager.harnesses if shared is not None else library.Harnesses())


def _presets() -> Iterable[str]:
    from . import presets

    return list(presets.presets())


def _agents() -> Iterable[str]:
    shared = _current()
    return () if shared is None else (shlex.quote(agent.name) for agent in shared.manager.tree.alive())


def _open_approvals() -> Iterable[str]:
    shared = _current()
    return () if shared is None else (each.id for each in shared.manager.approvals.open())


def _jobs_under_way() -> Iterable[str]:
    if (shared := _current()) is None:
        return ()
    teams = (run.id for run in shared.manager.teams.runs if run.state == "running")
    return (*(job.id for job in shared.manager.jobs.under_way()), *teams)


_NAMED: Final[Mapping[str, Callable[[], Iterable[str]]]] = {
    AGENT: _agents,
    "approval": _open_approvals,
    "job": _jobs_under_way,
    "role": _roles_known,
    "team": _team_files,
    "harness": _harnesses,
    "preset": _presets,
    "command": lambda: COMMANDS,
}


def _current() -> Madrox | None:
    """The shared madrox, if there is one; loads nothing."""
    notebook = sys.modules.get(f"{__package__}.notebook")
    return notebook.current() if notebook is not None else None


# the extension


def load(shell: InteractiveShell) -> None:
    """Register the magic, its completion and its questions. Twice is as good as once."""
    unload(shell)
    shell.register_magics(MadroxMagics)
    shell.input_transformer_manager.token_transformers.append(Question)
    if shell.Completer is not None:
        shell.Completer.custom_matchers.insert(0, complete)


def unload(shell: InteractiveShell) -> None:
    """Take them away. Agents go on; a later `load` finds them again."""
    for kind in ("line", "cell"):
        shell.magics_manager.magics[kind].pop("madrox", None)
    transformers = shell.input_transformer_manager.token_transformers
    transformers[:] = [each for each in transformers if each.__name__ != Question.__name__]
    if shell.Completer is not None:
        matchers = shell.Completer.custom_matchers
        matchers[:] = [each for each in matchers if getattr(each, "matcher_identifier", "") != MATCHER]
