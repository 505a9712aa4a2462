"""Programs that nobody here wrote list and call our tools: with the token, and not without."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from groups import CLIS

from madrox_nb.notebook import Madrox

pytestmark = [pytest.mark.real, pytest.mark.slow]

CLIENTS = Path(__file__).parent / "clients"
TOOLS = {"spawn_claude", "spawn_instance", "send_to_instance", "reply_to_caller", "get_pending_replies"}
TOOLS |= {"get_instance_tree", "get_children", "get_instance_status", "get_instance_output"}
TOOLS |= {"interrupt_instance", "terminate_instance"}


@pytest.fixture
def madrox(tmp_path: Path) -> Iterator[Madrox]:
    with Madrox(home=tmp_path, port=0, harnesses=("rehearsal",)) as madrox:
        madrox.spawn("lead")
        yield madrox


def run(node: str, *argv: str, script: Path | None = None) -> subprocess.CompletedProcess[str]:
    env = {"PATH": f"{CLIS / '.bin'}{os.pathsep}{os.environ['PATH']}", "HOME": os.environ.get("HOME", "/")}
    said = script.read_text() if script else ""
    return subprocess.run(
        [node, *argv],
        input=said,
        cwd=CLIS.parent,
        env=env,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


@pytest.mark.parametrize("client", ["ts1.mjs", "ts2.mjs"])
def test_the_typescript_sdks_list_and_call(madrox: Madrox, node: str, client: str) -> None:
    served = madrox.serve()
    call = ["--input-type=module", "-", served.url]
    arguments = ("get_instance_tree", "{}")
    known = run(node, *call, served.token, *arguments, script=CLIENTS / client)
    strangers = [run(node, *call, token, *arguments, script=CLIENTS / client) for token in ("", "mdx_wrong")]

    assert 0 == known.returncode, known.stdout + known.stderr
    told = json.loads(known.stdout)
    assert TOOLS == set(told["tools"])
    assert "lead [idle] (rehearsal) general" == told["result"]["content"][0]["text"]
    assert "lead" == told["result"]["structuredContent"]["instances"][0]["name"]
    for stranger in strangers:
        assert 1 == stranger.returncode
        assert 401 == json.loads(stranger.stdout)["code"], stranger.stdout


def test_the_inspector_lists_and_calls(madrox: Madrox, node: str) -> None:
    served = madrox.serve()
    inspector = str(CLIS / ".bin" / "mcp-inspector")
    to = [inspector, "--cli", served.url, "--transport", "http"]
    header = ["--header", f"Authorization: Bearer {served.token}"]
    listed = run(node, *to, *header, "--method", "tools/list")
    call = ["--method", "tools/call", "--tool-name", "get_instance_status", "--tool-arg", "instance_id=lead"]
    called = run(node, *to, *header, *call)
    stranger = run(node, *to, "--method", "tools/list")

    assert 0 == listed.returncode, listed.stderr
    assert TOOLS == {tool["name"] for tool in json.loads(listed.stdout)["tools"]}
    assert 0 == called.returncode, called.stderr
    assert "state: idle" in called.stdout
    assert 0 != stranger.returncode
    assert "401" in stranger.stdout + stranger.stderr or "auth" in (stranger.stdout + stranger.stderr).lower()


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
            ["sh", "-c", said], cwd=tmp_path, env=env, capture_output=True, text=True, timeout=60, check=False
        )
        for said in (line, "claude mcp list")
    )

    assert madrox.serve().token not in line
    assert 0 == added.returncode, added.stdout + added.stderr
    assert "✔ Connected" in listed.stdout or "✓ Connected" in listed.stdout, listed.stdout + listed.stderr
