"""Commands for a madrox that runs: in a kernel, or as `madrox serve`.

Each calls the tool that an agent would call, in the person's name. What is meant is the
madrox that works in this directory or above it; `--home` and `--pid` choose another.
"""

from __future__ import annotations

import argparse
import math
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from ..errors import BadInput
from ..grammar import SPAWN, servers
from .speech import DONE, FAILED, NO_GOOD, complain, described, say, say_json
from .wording import in_commands

if TYPE_CHECKING:
    from .client import Client
    from .speech import Commands

LIMIT_ARGUMENTS: Final = {"usd": "max_cost", "tokens": "max_total_tokens", "minutes": "timeout_minutes"}
"""Option → argument of the tool."""
A_DAY: Final = 86_400.0
"""Seconds that a command waits for an answer unless told otherwise: until it is there."""

# spawn


def _spawn(commands: Commands) -> None:
    parser = described(commands, "spawn", "start an agent")
    for argument in SPAWN:
        argument.add_to(parser)
    add_common(parser, _carry_spawn)


def _carry_spawn(asked: argparse.Namespace) -> int:
    arguments = {
        "name": asked.name,
        "role": asked.role,
        "instance_type": asked.harness,
        "model": asked.model,
        "parent_instance_id": asked.parent,
        "permissions": asked.permissions,
        "system_prompt": asked.system_prompt,
        "options": dict(asked.option) or None,
        "mcp_servers": servers(asked.mcp),
        "environment_vars": dict(asked.env) or None,
        "workspace_dir": asked.workspace_dir and str(Path(asked.workspace_dir).absolute()),
        "use_worktree": asked.worktree or asked.git_repo is not None or None,
        "git_repo": asked.git_repo and str(Path(asked.git_repo).absolute()),
        "bypass_isolation": asked.bypass_isolation or None,
        "auto_inject": False if asked.no_auto_inject else None,
        **{LIMIT_ARGUMENTS[name]: _amount(name, getattr(asked, name)) for name in LIMIT_ARGUMENTS},
        "initial_prompt": asked.prompt,
        "wait_for_ready": not asked.no_wait,
    }
    told = client_of(asked).execute("spawn_instance", arguments, wait=60)
    return report(asked, in_commands(told.text), told.data)


def _amount(name: str, said: float | None) -> float | None:
    """JSON has no word for endless. Tokens are whole."""
    if said is None:
        return None
    if math.isinf(said):
        raise BadInput(f"--{name} none: leave it out here. A line of a notebook may lift the settings' limit")
    return int(said) if name == "tokens" else said


# send


SEND: Final = """\
Ask an agent something and wait for its answer. The text is the rest of the line, or what
comes in on stdin: git diff | madrox send reviewer
Interrupted while it waits, the agent works on, and `madrox inbox` has its answer.
"""


def _send(commands: Commands) -> None:
    parser = described(commands, "send", "ask an agent something, and wait for its answer", SEND)
    parser.add_argument("agent")
    parser.add_argument("text", nargs="*", help="from stdin, when it is missing or -")
    parser.mixed = True
    waiting = parser.add_mutually_exclusive_group()
    waiting.add_argument("--wait", dest="wait", action="store_true", default=True, help="the default")
    waiting.add_argument(
        "--no-wait", dest="wait", action="store_false", help="go on; the answer comes to `madrox inbox`"
    )
    parser.add_argument("--timeout", type=float, default=A_DAY, metavar="SECONDS", help="how long to wait")
    parser.add_argument("--steer", action="store_true", help="let it join the turn under way, where it can")
    add_common(parser, _carry_send)


def _carry_send(asked: argparse.Namespace) -> int:
    client = client_of(asked)
    seconds = _seconds(asked) if asked.wait else 0
    arguments = {
        "instance_id": asked.agent,
        "message": _text(asked.text),
        "wait_for_response": asked.wait,
        "timeout_seconds": seconds if asked.wait else None,
        "steer": asked.steer or None,
    }
    told = client.execute("send_to_instance", arguments, wait=seconds)
    answered = told.data.get("status") == "completed"
    report(asked, told.text if answered else in_commands(told.text), told.data)
    return NO_GOOD if asked.wait and not answered else DONE


def _seconds(asked: argparse.Namespace) -> float:
    if not asked.timeout >= 0:  # NaN isn't either
        raise BadInput(f"--timeout {asked.timeout:g} is no time to wait")
    return min(float(asked.timeout), A_DAY)


def _text(words: Sequence[str]) -> str:
    return sys.stdin.read() if not words or list(words) == ["-"] else " ".join(words)


def _inbox(commands: Commands) -> None:
    parser = described(commands, "inbox", "take what agents have written to you: each message once")
    parser.add_argument(
        "--wait", type=float, default=0, metavar="SECONDS", help="how long to wait for the first"
    )
    add_common(parser, _carry_inbox)


def _carry_inbox(asked: argparse.Namespace) -> int:
    seconds = min(max(0.0, asked.wait), A_DAY)
    told = client_of(asked).execute("get_pending_replies", {"wait_timeout": seconds}, wait=seconds)
    return report(asked, told.text if told.data["replies"] else in_commands(told.text), told.data)


# looking


def _tree(commands: Commands) -> None:
    parser = described(commands, "tree", "all agents: who is whose child, and what each does")
    add_common(parser, _carry_tree)


def _carry_tree(asked: argparse.Namespace) -> int:
    told = client_of(asked).execute("get_instance_tree", {})
    return report(asked, told.text if told.data["total"] else in_commands(told.text), told.data)


LOGS: Final = """\
What was said to and by an agent, and which tools it used. --type shows a log instead:
instance (what happened to it), communication (each prompt and answer, with tokens and cost),
tmux_output (the raw end of what its program wrote), metadata (what it is, and where its logs lie).
"""


def _logs(commands: Commands) -> None:
    parser = described(commands, "logs", "what was said to and by an agent, or one of its logs", LOGS)
    parser.add_argument("agent")
    parser.add_argument("--type", choices=("instance", "communication", "tmux_output", "metadata"))
    parser.add_argument("-n", "--limit", type=int, default=100, help="the newest entries at most (100)")
    parser.add_argument("--since", metavar="TIME", help="only what is newer, such as 2026-01-31T12:00:00Z")
    add_common(parser, _carry_logs)


def _carry_logs(asked: argparse.Namespace) -> int:
    arguments = {"instance_id": asked.agent, "limit": asked.limit, "since": asked.since}
    if asked.type:
        told = client_of(asked).execute("get_instance_logs", {**arguments, "log_type": asked.type})
    else:
        told = client_of(asked).execute("get_instance_output", arguments)
    return report(asked, told.text, told.data)


def _costs(commands: Commands) -> None:
    parser = described(commands, "costs", "what agents have used: tokens and dollars, by model")
    parser.add_argument("agent", nargs="?", help="one of them; all, when left out")
    add_common(parser, _carry_costs)


def _carry_costs(asked: argparse.Namespace) -> int:
    told = client_of(asked).execute("get_costs", {"instance_id": asked.agent})
    return report(asked, told.text, told.data)


# ending turns, and waiting for their end


def _interrupt(commands: Commands) -> None:
    parser = described(commands, "interrupt", "end the turn of an agent, which keeps what it knows")
    parser.add_argument("agent")
    add_common(parser, _carry_interrupt)


def _carry_interrupt(asked: argparse.Namespace) -> int:
    told = client_of(asked).execute("interrupt_instance", {"instance_id": asked.agent})
    return report(asked, told.text, told.data)


WAIT: Final = """\
Wait until agents, and all below them, have nothing left to do; everybody, without a name.
Their answers are not taken: `madrox inbox` has those that nobody waited for.
"""


def _wait(commands: Commands) -> None:
    parser = described(commands, "wait", "wait until agents have nothing left to do", WAIT)
    parser.add_argument("agents", nargs="*", metavar="agent")
    parser.add_argument("--timeout", type=float, default=A_DAY, metavar="SECONDS", help="how long to wait")
    add_common(parser, _carry_wait)


def _carry_wait(asked: argparse.Namespace) -> int:
    seconds = _seconds(asked)
    arguments = {"instance_ids": asked.agents or None, "timeout_seconds": seconds}
    told = client_of(asked).execute("wait_for_instances", arguments, wait=seconds)
    report(asked, told.text, told.data)
    return NO_GOOD if told.data["status"] == "running" else DONE


# jobs


JOB: Final = """\
How far a job of several agents, or a team, is; without its id, all that are known. One of an
earlier run is found too; --run says which run, where several had one of that id.
--stop ends what is under way; the agents stay, and what was answered is shown.
"""


def _job(commands: Commands) -> None:
    parser = described(commands, "job", "how far a job of several agents, or a team, is; or stop it", JOB)
    parser.add_argument("job", nargs="?", metavar="id", help="such as lead.j1, or a team's")
    what = parser.add_mutually_exclusive_group()
    what.add_argument("--stop", action="store_true", help="end what is under way")
    what.add_argument("--wait", action="store_true", help="until it is over")
    parser.add_argument("--timeout", type=float, default=A_DAY, metavar="SECONDS", help="how long to wait")
    parser.add_argument("--run", help="of an earlier one")
    add_common(parser, _carry_job)


def _carry_job(asked: argparse.Namespace) -> int:
    client = client_of(asked)
    if asked.stop:
        if asked.job is None or asked.run:
            raise BadInput("say which job to stop: madrox job ID --stop. One of an earlier run is over")
        told = client.execute("stop_job", {"job_id": asked.job})
        return report(asked, told.text, told.data)
    seconds = _seconds(asked) if asked.wait else 0
    arguments = {
        "job_id": asked.job,
        "wait_for_completion": asked.wait,
        "max_wait": seconds,
        "run": asked.run,
    }
    told = client.execute("get_job_status", arguments, wait=seconds)
    report(asked, in_commands(told.text) if told.data.get("status") == "running" else told.text, told.data)
    return NO_GOOD if told.data.get("status") in ("failed", *(["running"] if asked.wait else [])) else DONE


# stop


STOP: Final = """\
End an agent; with --tree everybody below it too, with --all everybody. Refused while one
of them works, unless --force says that its turn may be lost. Files and transcripts stay.
"""


def _stop(commands: Commands) -> None:
    parser = described(commands, "stop", "end an agent, or all of them", STOP)
    parser.add_argument("agent", nargs="?")
    parser.add_argument("--all", action="store_true", help="everybody")
    parser.add_argument("--tree", action="store_true", help="and everybody below it")
    parser.add_argument("--force", action="store_true", help="though it, or one of those, is at work")
    add_common(parser, _carry_stop)


def _carry_stop(asked: argparse.Namespace) -> int:
    if bool(asked.agent) == asked.all:
        raise BadInput("say whom to stop: an agent's name, or --all")
    client = client_of(asked)
    if asked.all:
        return _stop_all(asked, client)
    if not asked.tree and (children := _living_below(client, asked.agent)):
        raise BadInput(
            f"{asked.agent} has {len(children)} living below it ({', '.join(children[:5])}). "
            f"Stop them with it: madrox stop {asked.agent} --tree"
        )
    told = client.execute("terminate_instance", {"instance_id": asked.agent, "force": asked.force}, wait=60)
    return report(asked, told.text, told.data)


def _stop_all(asked: argparse.Namespace, client: Client) -> int:
    """End each root with all below it; one that is refused keeps no other from ending."""
    from .client import Refused

    tops = [each["name"] for each in client.execute("get_instance_tree", {}).data["tree"]]
    given = {"instance_ids": tops, "force": asked.force}
    told = client.execute("terminate_multiple_instances", given, wait=60).data if tops else {"results": []}
    ended = [name for each in told["results"] for name in each.get("terminated", ())]
    refused = [
        Refused(each["error_type"], in_commands(each["error"]))
        for each in told["results"]
        if each["status"] == "error"
    ]
    text = f"ended: {', '.join(ended)}" if ended else "nobody was ended"
    report(asked, text, {"terminated": ended, "refused": [str(each) for each in refused]})
    for each in refused:
        complain(each)
    return FAILED if refused else DONE


def _living_below(client: Client, name: str) -> list[str]:
    children = client.execute("get_children", {"parent_id": name}).data["children"]
    return [each["name"] for each in children if each["state"] not in ("stopped", "failed")]


# all of them


COMMANDS: Final[tuple[Callable[[Commands], None], ...]] = (
    _spawn,
    _send,
    _inbox,
    _tree,
    _logs,
    _costs,
    _interrupt,
    _wait,
    _job,
    _stop,
)


def add_common(parser: argparse.ArgumentParser, carry_out: Callable[[Any], int]) -> None:
    parser.add_argument("--json", action="store_true", help="the same for programs")
    parser.add_argument("--home", type=Path, metavar="DIR", help="of the madrox that is meant (MADROX_HOME)")
    parser.add_argument("--pid", type=int, help="the process of the one that is meant")
    parser.set_defaults(carry_out=carry_out)


def client_of(asked: argparse.Namespace) -> Client:
    from .client import reach  # with HTTP, which takes 50 ms that no help needs

    return reach(asked.home, asked.pid)


def report(asked: argparse.Namespace, text: str, data: Mapping[str, Any]) -> int:
    """Say what came of it; a program gets the tool's data, and the text beside it."""
    if asked.json:
        say_json({"text": text, **data})
    else:
        say(text)
    return DONE
