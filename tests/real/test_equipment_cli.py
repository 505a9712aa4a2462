"""What agents are given besides what all have, in the real CLIs: MCP servers, variables, secrets.

The model is a script on loopback; everything else is real. Each CLI gets a server of somebody
else's at its pipes and one at an address, and calls a tool of both.
"""

from __future__ import annotations

import json
import os
import shlex
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
import pytest
from acp_programs import program
from mcp_server import TOKEN, TinyServer
from model import Model
from rogues.toolbox import digest

from madrox_nb.errors import HarnessNotReady
from madrox_nb.events import AgentReady, ApprovalAnswered, ToolReturned
from madrox_nb.library import variable_for
from madrox_nb.notebook import Madrox

pytestmark = [pytest.mark.real, pytest.mark.slow]

TOOLBOX = Path(__file__).parents[1] / "rogues" / "toolbox.py"
SECRET = "hush-7f3b19c2d4e5"
BOX = {
    "command": sys.executable,
    "args": ["-I", "-S", str(TOOLBOX)],
    "env": {"BOX_SECRET": "${MY_SECRET}", "PLAIN": "words"},
}
CALLED = {"claude": "mcp__{}__{}", "codex": "mcp__{}__{}", "opencode": "{}_{}", "gemini": "mcp_{}_{}"}
"""How each CLI names a tool of a server."""
ASKED = {"claude": "mcp__box__*", "codex": "mcp__box__*", "opencode": "box_*", "gemini": "*"}
"""How our rules name it."""


@dataclass
class Given:
    """One CLI in a run of its own, and how its model calls a tool."""

    name: str
    madrox: Madrox
    home: Path

    def call(self, server: str, tool: str, **arguments: str) -> str:
        return f"CALL {CALLED[self.name].format(server, tool)} {json.dumps(arguments)}"

    def returned(self) -> ToolReturned:
        return self.events(ToolReturned)[-1]

    def events(self, kind: type) -> list[Any]:
        return [entry.event for entry in self.madrox.manager.ledger if isinstance(entry.event, kind)]


@pytest.fixture
def environ(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Callable[[dict[str, str]], None]:
    """Makes these the only variables that there are."""

    def only(variables: dict[str, str]) -> None:
        for name in tuple(os.environ):
            monkeypatch.delenv(name)
        for name, value in variables.items():
            monkeypatch.setenv(name, value)

    return only


@pytest.fixture(params=list(CALLED))
def cli(
    request: pytest.FixtureRequest,
    model: Model,
    environ: Callable[[dict[str, str]], None],
    tmp_path: Path,
) -> Iterator[Given]:
    name = request.param
    if name in ("claude", "codex"):
        env = {**request.getfixturevalue(f"{name}_env")}
        env[variable_for(name, "MADROX_{}_BIN")] = request.getfixturevalue(name)
        home = Path(env["HOME"])
    else:
        found, home = program(name), tmp_path / "home"
        home.mkdir()
        launcher = tmp_path / name
        launcher.write_text(f'#!/bin/sh\nexec {shlex.join(found.command)} "$@"\n')
        launcher.chmod(0o755)
        env = {**found.env(home, model.url), variable_for(name, "MADROX_{}_BIN"): str(launcher)}
    environ({**env, "MY_SECRET": SECRET, "FAR_TOKEN": TOKEN})
    policy = {ASKED[name]: "allow", "mcp__far__*": "allow", "far_*": "allow"}
    with Madrox(home=tmp_path / "madrox", port=0, policy=policy, harnesses=(name,)) as madrox:
        yield Given(name, madrox, home)


def files_with(needle: str, *directories: Path) -> list[Path]:
    found = (path for directory in directories for path in directory.rglob("*"))
    return [path for path in found if path.is_file() and needle.encode() in path.read_bytes()]


def argv_of_all(pid: int | None) -> str:
    assert pid is not None
    family = [psutil.Process(pid), *psutil.Process(pid).children(recursive=True)]
    return "\n".join(" ".join(each.cmdline()) for each in family)


def test_it_calls_a_server_at_its_pipes_when_allowed_whose_secret_stands_in_no_argv_ledger_or_log(
    cli: Given, tmp_path: Path
) -> None:
    lead = cli.madrox.spawn("lead", mcp_servers={"box": BOX})
    lead.send(cli.call("madrox", "get_instance_tree"))
    asked_about_ours = cli.events(ApprovalAnswered)
    lead.send(cli.call("box", "where"))
    where = cli.returned()
    lead.send(cli.call("box", "digest", name="BOX_SECRET"))
    first = cli.returned()
    argv = argv_of_all(cli.madrox.manager.processes["lead"].pid)
    private = cli.madrox.manager.processes.files("lead")
    lead.send(cli.call("box", "digest", name="PLAIN"))
    second = cli.returned()
    found = files_with(SECRET, tmp_path)

    assert [] == asked_about_ours
    assert ["policy"] * 3 == [answered.by for answered in cli.events(ApprovalAnswered)]
    assert str(lead.workspace) in where.output
    assert (True, True) == (first.ok, second.ok), (first.output, second.output)
    assert digest(SECRET) in first.output
    assert digest("words") in second.output
    assert str(TOOLBOX) in argv  # the server is one of its children
    assert SECRET not in argv
    assert {private} >= {path.parent for path in found}, found  # the CLI's own file, 0600, or none at all
    assert [] == [path for path in found if path.name in ("wire.log", "stderr.log")]
    assert [] == [path for path in found if path.stat().st_mode & 0o077]


def test_it_calls_a_server_at_an_address_with_its_header_and_has_its_variables(
    cli: Given, mcp_server: TinyServer, tmp_path: Path
) -> None:
    far = {"type": "http", "url": mcp_server.url, "headers": {"Authorization": "Bearer ${FAR_TOKEN}"}}
    variables = {"STAGE": "test", "MY_TOKEN": "${MY_SECRET}"}
    lead = cli.madrox.spawn("lead", mcp_servers={"far": far}, environment_vars=variables)
    pid = cli.madrox.manager.processes["lead"].pid
    assert pid is not None
    env = psutil.Process(pid).environ()
    lead.send(cli.call("far", "shaped", shape="text"))
    returned = cli.returned()

    assert returned.ok, returned.output
    assert "the text" in returned.output
    assert TOKEN not in argv_of_all(pid)
    assert [] == files_with(TOKEN, tmp_path / "madrox" / "audit")
    assert ("test", SECRET) == (env["STAGE"], env["MY_TOKEN"])
    assert '{"STAGE": "test", "MY_TOKEN": "${MY_SECRET}"}' == cli.madrox.manager.tree["lead"].environment


def test_codex_takes_what_a_profile_says_of_the_model_and_nothing_of_what_it_may_do(
    codex: str, codex_env: dict[str, str], environ: Callable[[dict[str, str]], None], tmp_path: Path
) -> None:
    environ({**codex_env, "MADROX_CODEX_BIN": codex})
    profile = Path(codex_env["CODEX_HOME"]) / "fast.config.toml"
    profile.write_text('model = "other-model"\nsandbox_mode = "danger-full-access"\n')
    with Madrox(home=tmp_path / "madrox", port=0) as madrox:
        told: list[str] = []
        madrox.manager.watch(lambda signal: told.append(getattr(signal, "text", "")))
        madrox.spawn("lead", harness="codex", options={"profile": "fast"}, permissions="deny")
        [ready] = [e.event for e in madrox.manager.ledger if isinstance(e.event, AgentReady)]
        with pytest.raises(ValueError, match=r"profile='slow' is read from .*slow\.config\.toml"):
            madrox.spawn("other", harness="codex", options={"profile": "slow"})

    assert "other-model" == ready.model
    assert "its profile says sandbox_mode, which madrox decides itself" in told


def test_codex_says_which_server_did_not_start(
    codex: str, codex_env: dict[str, str], environ: Callable[[dict[str, str]], None], tmp_path: Path
) -> None:
    environ({**codex_env, "MADROX_CODEX_BIN": codex})
    with Madrox(home=tmp_path / "madrox", port=0) as madrox:
        with pytest.raises(HarnessNotReady) as refused:
            madrox.spawn("lead", harness="codex", mcp_servers={"broken": {"command": "false"}})
        assert "broken" in str(refused.value)
        assert "failed" == madrox.tree["lead"].state
