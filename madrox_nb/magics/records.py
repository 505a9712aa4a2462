"""One agent and what it has left behind: `agent`, `logs`, `summary`, `files`."""

from __future__ import annotations

from typing import Any, Final

from IPython.core.error import UsageError

from ..grammar import Argument
from .commands import AGENT, Command, Use, told


def _logs(call: Use) -> Any:
    if call.agent is None:
        return told(call, "list_logged_instances", ours=bool)
    if call.type is None:
        return told(
            call,
            "get_instance_output",
            instance_id=call.agent,
            limit=call.limit,
            since=call.since,
        )
    if call.type == "screen":
        return told(call, "get_tmux_pane_content", instance_id=call.agent, lines=call.limit)
    return told(
        call,
        "get_instance_logs",
        instance_id=call.agent,
        log_type=call.type,
        tail=call.limit,
        since=call.since,
        run=call.run,
    )


def _summary(call: Use) -> Any:
    if call.agent is not None:
        return told(call, "get_agent_summary", instance_id=call.agent)
    return told(call, "get_all_agent_summaries", ours=lambda data: not data["total"])


def _files(call: Use) -> Any:
    if call.path is None:
        if call.to is not None:
            raise UsageError(f"%madrox files {call.agent} --to {call.to}: say which file, too")
        return told(call, "list_instance_files", instance_id=call.agent)
    return told(
        call,
        "retrieve_instance_file",
        instance_id=call.agent,
        filename=call.path,
        destination_path=call.to,
    )


COMMANDS: Final = (
    Command(
        "agent",
        "one agent: its state, what it does now, its cost",
        lambda call: call.madrox.agent(call.agent),
        Argument("agent", completes=AGENT),
        example="%madrox agent lead",
    ),
    Command(
        "logs",
        "what was said to and by an agent, or one of its logs; without a name, who has logs",
        _logs,
        Argument("agent", nargs="?", completes=AGENT),
        Argument(
            "--type",
            choices=("communication", "instance", "tmux_output", "metadata", "screen"),
            help="each prompt and answer; what happened to it; raw output; what it is; the end of its output",
        ),
        Argument("-n", "--limit", type=int, default=100, metavar="N", help="the newest entries (100)"),
        Argument("--since", metavar="TIME", help="only what is newer, such as 2026-01-31T12:00:00Z"),
        Argument("--run", help="of an earlier kernel; with --type"),
        example="%madrox logs lead -n 20",
    ),
    Command(
        "summary",
        "what an agent has done, in short; without a name, all of them",
        _summary,
        Argument("agent", nargs="?", completes=AGENT),
        example="%madrox summary lead",
    ),
    Command(
        "files",
        "the files of an agent's workspace, or one of them",
        _files,
        Argument("agent", completes=AGENT),
        Argument("path", nargs="?", help="show this file"),
        Argument("--to", metavar="PATH", help="copy it here instead of showing it"),
        example="%madrox files lead design.md --to notes/",
    ),
)
