"""How Codex is started and its thread opened: flags, permissions, our server.

Under the policy `untrusted` it asks about every command and every edit, however harmless. A
command that was allowed runs in a sandbox first; only when that stops it within its first
tenth of a second, it runs again without. So the sandbox is read-only where anybody is asked:
in a writable one the effects of such a command would happen twice. It also confines what is
said to a running program, about which Codex does not ask. What a command needs beyond it, to
write late or to reach the net, its model requests by name, and that is asked about too.

What the person's own rules allow (`rules/` beside config.toml) passes unasked, as everywhere
in Codex: its server has no switch for that.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator, Mapping
from pathlib import PurePosixPath
from typing import Any

from ..errors import BadInput
from . import Brief

Json = Mapping[str, Any]

SERVER = "madrox"
"""Our name as an MCP server; its tools are called `mcp__madrox__…`."""

A_MINUTE = 60
"""In seconds: how long a server of somebody else's may take to start; the first time it is fetched."""
A_DAY = 24 * 60 * 60
"""In seconds: how long one of our tools may take, waiting for other agents."""

OFF = (
    # they load what is not on this machine
    *("features.apps", "features.plugins", "features.remote_plugin"),
    *("check_for_update_on_startup", "analytics.enabled"),
    # it writes the whole environment into a file, with all its secrets
    "features.shell_snapshot",
    # they start turns that nobody sent
    "features.goals",
    # they talk to agents of its own, past the ledger
    *("features.multi_agent", "agents.enabled"),
    # a steer would cut the words that are being spoken, and what they cost would be in no figure
    "features.instant_interrupt",
)
"""Settings that are switched off. Named so, a version that doesn't know one goes on without."""
UNASKED = ("-c", "features.view_image=false", "-c", 'web_search="disabled"')
"""Tools about which it never asks: a picture from anywhere on the disk, and the web."""

OF_THE_MODEL = ("model", "personality", "service_tier")
"""How the settings begin that a profile may say here."""

SANDBOXES = ("read-only", "workspace-write", "danger-full-access")
WIDEST = {"deny": "read-only", "ask": "read-only", "edits": "workspace-write", "all": "danger-full-access"}
"""The widest sandbox that each permission may be given."""

TARGETS = {
    "codex-linux-x64": "x86_64-unknown-linux-musl",
    "codex-linux-arm64": "aarch64-unknown-linux-musl",
    "codex-darwin-x64": "x86_64-apple-darwin",
    "codex-darwin-arm64": "aarch64-apple-darwin",
}
"""npm's package for a platform → the folder in it that holds the native binary."""


def argv(brief: Brief) -> Iterator[str]:
    yield from (*brief.command, "app-server")
    for setting in OFF:
        yield from ("-c", f"{setting}=false")
    if brief.permissions != "all":
        yield from UNASKED
    yield from brief.extra_args


def opening(brief: Brief) -> Json:
    """What a thread is begun or gone on with. It goes over stdin: the token is in it.

    Raises `BadInput` for a sandbox that the permissions don't give.
    """
    named = {"model": brief.model, "developerInstructions": brief.instructions, "threadId": brief.resume}
    return {
        "cwd": brief.workspace,
        "sandbox": _sandbox(brief),
        "approvalPolicy": "never" if brief.permissions == "all" else "untrusted",
        "config": dict(_config(brief)),
        **({"excludeTurns": True} if brief.resume else {}),
        **{name: value for name, value in named.items() if value},
    }


def profile_file(options: Mapping[str, str], environ: Mapping[str, str]) -> dict[str, str]:
    """Where the profile stands. Its server takes none by name, so what it says is handed over here."""
    if not (name := options.get("profile")):
        return {}
    if not re.fullmatch(r"[A-Za-z0-9_-]+", name):
        raise BadInput(f"profile={name!r} can't be a profile's name: letters, digits, '-' and '_'")
    home = environ.get("CODEX_HOME") or f"{environ.get('HOME', '')}/.codex"
    return {"profile": f"{home}/{name}.config.toml"}


def left_out(brief: Brief) -> str:
    """What the profile says besides: what an agent may do, and which tools it has, is said elsewhere."""
    return ", ".join(key for key in _profile(brief) if not key.startswith(OF_THE_MODEL))


def _profile(brief: Brief) -> Json:
    try:
        return tomllib.loads(brief.texts.get("profile", ""))
    except tomllib.TOMLDecodeError as exc:
        raise BadInput(f"the profile {brief.options.get('profile')!r} of codex is no TOML: {exc}") from exc


def _config(brief: Brief) -> Iterator[tuple[str, Any]]:
    yield from ((key, value) for key, value in _profile(brief).items() if key.startswith(OF_THE_MODEL))
    # else it writes into the user's own config.toml that this place is trusted, and reads what lies there
    yield "projects", {brief.workspace: {"trust_level": "untrusted"}}
    if effort := brief.options.get("reasoning_effort"):
        yield "model_reasoning_effort", effort
    if servers := dict(_servers(brief)):
        yield "mcp_servers", servers


def _servers(brief: Brief) -> Iterator[tuple[str, Json]]:
    required = {"required": True}  # else the first turn may run without their tools
    for name, server in brief.mcp_servers.items():
        program = {"command": server.command, "args": list(server.args), "env": dict(server.env)}
        there = {"url": server.url, "http_headers": dict(server.headers)}
        shape = program if server.transport == "stdio" else there
        place = {"cwd": brief.workspace} if server.transport == "stdio" else {}
        yield name, {**shape, **place, **required, "startup_timeout_sec": A_MINUTE}
    if brief.mcp_url:
        ours = {
            "url": brief.mcp_url,
            "http_headers": {"Authorization": f"Bearer {brief.mcp_token}"},
            "startup_timeout_sec": 30,
            "tool_timeout_sec": A_DAY,
            "default_tools_approval_mode": "approve",
        }
        yield SERVER, {**ours, **required}


def _sandbox(brief: Brief) -> str:
    """The sandbox of the commands. Raises `BadInput` for one that the permissions don't give."""
    widest = WIDEST[brief.permissions]
    chosen = brief.options.get("sandbox_mode")
    if chosen is None:
        return widest if brief.permissions == "all" else "read-only"
    if chosen not in SANDBOXES:
        raise BadInput(f"sandbox_mode={chosen!r} is not known. Known: {', '.join(SANDBOXES)}")
    if SANDBOXES.index(chosen) > SANDBOXES.index(widest):
        raise BadInput(
            f"sandbox_mode={chosen!r} gives more than permissions={brief.permissions!r}, "
            f"which go as far as {widest!r}. Give it permissions='all', or leave sandbox_mode out"
        )
    return chosen


def native(path: str) -> tuple[str, ...]:
    """Where the native binary may lie, when `path` (links resolved) is npm's launcher in Node.

    It starts 0.1 s sooner, and beside an older Node (before 22.15) it takes 37 MiB less.
    """
    launcher = PurePosixPath(path)
    if launcher.name != "codex.js":
        return ()
    package = launcher.parent.parent
    return tuple(
        str(place / name / "vendor" / target / "bin" / "codex")
        for place in (package.parent, package / "node_modules" / "@openai")
        for name, target in TARGETS.items()
    )
