"""Programs that nobody here wrote use our server: over HTTP with the token, and over stdio."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from groups import CLIS

from madrox_nb import library, resources
from madrox_nb.calls import TOOLS
from madrox_nb.notebook import Madrox

pytestmark = [pytest.mark.real, pytest.mark.slow]

CLIENTS = Path(__file__).parent / "clients"
STDIO = (sys.executable, "-m", "madrox_nb.cli", "mcp")


@pytest.fixture
def madrox(tmp_path: Path) -> Iterator[Madrox]:
    with Madrox(home=tmp_path / ".madrox", port=0, harnesses=("rehearsal",)) as madrox:
        madrox.spawn("lead")
        madrox.serve()
        yield madrox


def state() -> dict[str, str]:
    """Where a client's `madrox mcp` finds the servers of this test."""
    return {"XDG_STATE_HOME": os.environ["XDG_STATE_HOME"]}


def run(node: str, *argv: str, script: Path | None = None) -> subprocess.CompletedProcess[str]:
    env = {"PATH": f"{CLIS / '.bin'}{os.pathsep}{os.environ['PATH']}", "HOME": os.environ.get("HOME", "/")}
    said = script.read_text() if script else ""
    return subprocess.run(
        [node, *argv],
        input=said,
        cwd=CLIS.parent,
        env={**env, **state()},
        capture_output=True,
        text=True,
        timeout=150,
        check=False,
    )


def used(client: str, node: str, target: str, token: str, *mode: str) -> subprocess.CompletedProcess[str]:
    """What a client of a TypeScript SDK says, who uses all that there is."""
    call = ["--input-type=module", "-", target, token, "get_instance_tree", "{}", *mode]
    return run(node, *call, script=CLIENTS / client)


def started(tmp_path: Path) -> str:
    """`madrox mcp` as a client's configuration names it."""
    env = {"PATH": os.environ["PATH"], "HOME": str(tmp_path), **state()}
    return json.dumps({"command": STDIO[0], "args": STDIO[1:], "env": env, "cwd": str(tmp_path)})


def is_all_of_it(told: dict[str, Any]) -> None:
    assert set(TOOLS) == set(told["tools"])
    assert "lead (lead) [idle] (rehearsal) general" in told["result"]["content"][0]["text"]
    assert "lead" == told["result"]["structuredContent"]["instances"][0]["name"]
    assert ["madrox://tree", "madrox://audit", "madrox://instances/lead"] == told["resources"][:3]
    assert [resources.AGENT, resources.TRANSCRIPT] == told["templates"]
    assert told["result"]["content"][0]["text"] == told["read"]
    assert "role_general" in told["prompts"]
    assert f"{library.role('general').body.strip()}\n\n# Your task\n\nTry it." == told["prompt"]


CLIENT = pytest.mark.parametrize(
    ("client", "mode", "version"),
    [
        ("ts1.mjs", (), None),
        ("ts2.mjs", (), "2025-11-25"),
        ("ts2.mjs", ("auto",), "2026-07-28"),
    ],
)


@CLIENT
def test_the_typescript_sdks_use_all_of_it_over_http(
    madrox: Madrox, node: str, client: str, mode: tuple[str, ...], version: str | None
) -> None:
    served = madrox.serve()
    known = used(client, node, served.url, served.token, *mode)
    strangers = [used(client, node, served.url, token) for token in ("", "mdx_wrong")]

    assert 0 == known.returncode, known.stdout + known.stderr
    told = json.loads(known.stdout)
    is_all_of_it(told)
    assert version == told.get("version")
    for stranger in strangers:
        assert 1 == stranger.returncode
        assert 401 == json.loads(stranger.stdout)["code"], stranger.stdout


@CLIENT
def test_the_typescript_sdks_use_all_of_it_over_stdio(
    madrox: Madrox, node: str, tmp_path: Path, client: str, mode: tuple[str, ...], version: str | None
) -> None:
    known = used(client, node, started(tmp_path), "", *mode)

    assert 0 == known.returncode, known.stdout + known.stderr
    told = json.loads(known.stdout)
    is_all_of_it(told)
    assert version == told.get("version")


def test_the_inspector_lists_calls_and_reads_over_http(madrox: Madrox, node: str) -> None:
    served = madrox.serve()
    inspector = str(CLIS / ".bin" / "mcp-inspector")
    to = [inspector, "--cli", served.url, "--transport", "http"]
    header = ["--header", f"Authorization: Bearer {served.token}"]
    listed = run(node, *to, *header, "--method", "tools/list")
    call = ["--method", "tools/call", "--tool-name", "get_instance_status", "--tool-arg", "instance_id=lead"]
    called = run(node, *to, *header, *call)
    read = run(node, *to, *header, "--method", "resources/read", "--uri", "madrox://instances/lead")
    prompts = run(node, *to, *header, "--method", "prompts/list")
    stranger = run(node, *to, "--method", "tools/list")

    assert 0 == listed.returncode, listed.stderr
    assert set(TOOLS) == {tool["name"] for tool in json.loads(listed.stdout)["tools"]}
    assert 0 == called.returncode, called.stderr
    assert "state: idle" in called.stdout
    [content] = json.loads(read.stdout)["contents"]
    assert "lead" == json.loads(content["text"])["name"]
    assert "role_architect" in {prompt["name"] for prompt in json.loads(prompts.stdout)["prompts"]}
    assert 0 != stranger.returncode
    assert "401" in stranger.stdout + stranger.stderr or "auth" in (stranger.stdout + stranger.stderr).lower()


def test_the_inspector_lists_over_stdio(madrox: Madrox, node: str, tmp_path: Path) -> None:
    inspector = str(CLIS / ".bin" / "mcp-inspector")
    given = {"PATH": os.environ["PATH"], "HOME": str(tmp_path), **state()}
    env = [part for name, value in given.items() for part in ("-e", f"{name}={value}")]
    listed = run(node, inspector, "--cli", *env, "--method", "tools/list", "--", *STDIO)

    assert 0 == listed.returncode, listed.stdout + listed.stderr
    assert set(TOOLS) == {tool["name"] for tool in json.loads(listed.stdout)["tools"]}


# agents' own CLIs, as clients from outside

FAMILY = "\n".join(
    f"CALL mcp__madrox__{tool} {json.dumps(arguments)}"
    for tool, arguments in (
        ("spawn_instance", {"name": "boss", "instance_type": "rehearsal"}),
        ("spawn_instance", {"name": "worker", "parent_instance_id": "boss", "instance_type": "rehearsal"}),
        ("send_to_instance", {"instance_id": "worker", "message": "hello there", "wait_for_response": True}),
        ("get_instance_output", {"instance_id": "worker"}),
    )
)
"""What the stub has a model do: spawn a family, message it, and read what it said."""


def check_family(madrox: Madrox, said: subprocess.CompletedProcess[str]) -> None:
    assert 0 == said.returncode, said.stdout + said.stderr
    assert "hello there" in said.stdout
    assert [("boss", None), ("worker", "boss")] == [
        (agent.name, agent.parent) for agent in madrox.tree if agent.name != "lead"
    ]
    assert 1 == madrox.manager.tree["worker"].turns


def outside(
    line: str, env: dict[str, str], tmp_path: Path, program: str, command: str, *, typed: str = ""
) -> subprocess.CompletedProcess[str]:
    """One line in a person's terminal, where `command` is the real `program`."""
    bin_ = tmp_path / "bin"
    bin_.mkdir(exist_ok=True)
    if not (bin_ / program).exists():
        (bin_ / program).symlink_to(command)
        (bin_ / "madrox").symlink_to(Path(sys.executable).parent / "madrox")
    (tmp_path / "project").mkdir(exist_ok=True)
    return subprocess.run(
        ["sh", "-c", line],
        cwd=tmp_path / "project",
        env={**env, **state(), "PATH": f"{bin_}:/usr/bin:/bin"},
        input=typed,
        capture_output=True,
        text=True,
        timeout=200,
        check=False,
    )


@pytest.mark.parametrize("transport", ["http", "stdio"])
def test_claude_code_spawns_messages_and_reads_a_family(
    madrox: Madrox, claude: str, claude_env: dict[str, str], tmp_path: Path, transport: str
) -> None:
    lines = {"http": madrox.serve().claude_code, "stdio": "claude mcp add madrox -- madrox mcp"}
    added = outside(lines[transport], claude_env, tmp_path, "claude", claude)
    asked = "claude -p --allowedTools mcp__madrox"
    said = outside(asked, claude_env, tmp_path, "claude", claude, typed=FAMILY)

    assert 0 == added.returncode, added.stdout + added.stderr
    check_family(madrox, said)


@pytest.mark.parametrize("transport", ["http", "stdio"])
def test_codex_spawns_messages_and_reads_a_family(
    madrox: Madrox, codex: str, codex_env: dict[str, str], tmp_path: Path, transport: str
) -> None:
    served = madrox.serve()
    env = {**codex_env, "MADROX_TOKEN": served.token}
    lines = {
        "http": f"codex mcp add madrox --url {served.url} --bearer-token-env-var MADROX_TOKEN",
        "stdio": f"codex mcp add madrox --env XDG_STATE_HOME={state()['XDG_STATE_HOME']} -- madrox mcp",
    }
    added = outside(lines[transport], env, tmp_path, "codex", codex)
    asked = "codex exec --skip-git-repo-check --dangerously-bypass-approvals-and-sandbox -"
    said = outside(asked, env, tmp_path, "codex", codex, typed=FAMILY)

    assert 0 == added.returncode, added.stdout + added.stderr
    check_family(madrox, said)


def test_the_line_for_claude_code_connects_it_as_it_stands(
    madrox: Madrox, claude: str, tmp_path: Path
) -> None:
    """`%madrox serve` shows it; a person pastes it into a terminal."""
    [line] = [line.strip() for line in str(madrox.serve()).splitlines() if "claude mcp add" in line]
    bin_ = tmp_path / "bin"
    bin_.mkdir()
    (bin_ / "claude").symlink_to(claude)
    env = {
        "PATH": f"{bin_}:/usr/bin:/bin",
        "HOME": str(tmp_path),
        "CLAUDE_CONFIG_DIR": str(tmp_path / "claude"),
    }
    env["CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC"] = "1"
    added, listed = (
        subprocess.run(
            ["sh", "-c", said],
            cwd=tmp_path,
            env=env,
            capture_output=True,
            text=True,
            timeout=150,
            check=False,
        )
        for said in (line, "claude mcp list")
    )

    assert madrox.serve().token not in line
    assert 0 == added.returncode, added.stdout + added.stderr
    assert "✔ Connected" in listed.stdout or "✓ Connected" in listed.stdout, listed.stdout + listed.stderr
