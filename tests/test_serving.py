"""`madrox serve`, as a process that is started, asked and ended from outside."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psutil
import pytest

from madrox_nb import ledger, runtime
from madrox_nb.cli.client import Client, reach
from madrox_nb.tree import Tree
from madrox_nb.values import Serving

pytestmark = pytest.mark.slow

MADROX = (sys.executable, "-m", "madrox_nb.cli")
END_SECONDS = 20.0
"""In which a server ends whose agents do what they are told: a second or two, on a busy machine some more."""


class Served:
    """A `madrox serve` that listens."""

    def __init__(self, home: Path, process: subprocess.Popen[str]) -> None:
        self.home, self.process = home, process
        assert process.stdout is not None
        self.introduction = json.loads(process.stdout.readline())
        self.client: Client = reach(home)

    def call(self, tool: str, **arguments: Any) -> Any:
        return self.client.execute(tool, arguments, wait=30).data

    def family(self) -> list[psutil.Process]:
        """Two agents at work, and every process that there is now because of this one."""
        for name in ("lead", "kid"):
            self.call("spawn_instance", name=name)
            self.call("send_to_instance", instance_id=name, message="/hang")
        mine = psutil.Process(self.process.pid).children(recursive=True)
        assert 4 <= len(mine), "two agents, the guard and its sentinel"
        return mine

    def end(self, number: int) -> tuple[int, float]:
        """The exit status, and the seconds that it took."""
        began = time.monotonic()
        self.process.send_signal(number)
        status = self.process.wait(60)
        return status, time.monotonic() - began


@contextmanager
def serving(tmp_path: Path, **environ: str) -> Iterator[Served]:
    home = tmp_path / "home"
    process = subprocess.Popen(
        [*MADROX, "serve", "--json", "--port", "0", "--home", str(home)],
        cwd=tmp_path,
        env={**os.environ, "MADROX_HARNESSES": "rehearsal", **environ},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        yield Served(home, process)
    finally:
        process.kill()
        process.communicate()


def ends_of(home: Path) -> set[str]:
    """Why each agent of the only run ended, as its ledger says."""
    [file] = home.glob("audit/*/*.jsonl")
    tree = Tree.replay(ledger.read([file]))
    assert tree.closed
    return {agent.reason for agent in tree}


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_ends_it_and_every_agent_cleanly_within_seconds(
    tmp_path: Path, number: signal.Signals
) -> None:
    with serving(tmp_path) as served:
        everybody = served.family()
        status, seconds = served.end(number)
        _, survivors = psutil.wait_procs(everybody, timeout=10)
        assert served.process.stderr is not None
        assert served.process.stdout is not None
        assert (0, [], "") == (status, survivors, served.process.stderr.read())
        assert {"ended_by": number.name, "agents": ["lead", "kid"], "left": []} == json.loads(
            served.process.stdout.read()
        )

    assert {"closed"} == ends_of(tmp_path / "home")
    assert [] == [each for each in runtime.servers() if each.home == str(tmp_path / "home")]
    assert seconds < END_SECONDS


def test_agents_that_are_left_for_the_next_one_are_named_as_that(tmp_path: Path) -> None:
    kept = {"MADROX_ON_KERNEL_DEATH": "keep:60"}
    with serving(tmp_path, **kept) as served:
        served.call("spawn_instance", name="lead")
        assert 0 == served.end(signal.SIGTERM)[0]
        assert served.process.stdout is not None
        told = json.loads(served.process.stdout.readline())
        with serving(tmp_path, **kept) as after:
            here = [each["name"] for each in after.call("get_instance_tree")["instances"]]
            after.end(signal.SIGINT)

    assert ({"ended_by": "SIGTERM", "agents": [], "left": ["lead"]}, ["lead"]) == (told, here)


def test_ctrl_c_while_a_client_waits_ends_it_too(tmp_path: Path) -> None:
    with serving(tmp_path) as served:
        served.family()
        sending = subprocess.Popen(
            [*MADROX, "send", "lead", "and then?", "--home", str(served.home)],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        while not served.call("get_instance_status", instance_id="lead")["queued"]:
            time.sleep(0.02)
        status, seconds = served.end(signal.SIGINT)
        _, complaint = sending.communicate(timeout=60)

    assert (0, True) == (status, seconds < END_SECONDS)
    assert sending.returncode in (2, 3)
    assert complaint.startswith("madrox: ")


def test_ctrl_c_of_a_client_ends_its_waiting_and_the_answer_is_left_in_the_inbox(tmp_path: Path) -> None:
    with serving(tmp_path) as served:
        served.call("spawn_instance", name="lead")
        line = [*MADROX, "send", "lead", "/slow 4 1.5", "--home", str(served.home)]
        sending = subprocess.Popen(line, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        while not served.call("get_instance_status", instance_id="lead")["turn"]:
            time.sleep(0.02)
        sending.send_signal(signal.SIGINT)
        assert ("", "") == sending.communicate(timeout=60)
        assert 130 == sending.returncode

        [reply] = served.call("get_pending_replies", wait_timeout=45)["replies"]
        assert "word-1 word-2 word-3 word-4" == reply["text"]
        served.end(signal.SIGINT)


def test_kill_9_leaves_nobody_and_the_next_one_starts_as_ever(tmp_path: Path) -> None:
    with serving(tmp_path) as served:
        everybody = served.family()
        assert -signal.SIGKILL == served.end(signal.SIGKILL)[0]
        _, survivors = psutil.wait_procs(everybody, timeout=60)
        assert [] == survivors

    with serving(tmp_path) as served:
        assert 0 == served.call("get_instance_tree")["total"]
        assert 0 == served.end(signal.SIGINT)[0]


def test_the_second_ctrl_c_does_not_wait_for_anybody(tmp_path: Path) -> None:
    with serving(tmp_path, MADROX_STOP_GRACE="60") as served:
        served.call("spawn_instance", name="lead")
        served.call("send_to_instance", instance_id="lead", message="/hang hard")
        while "hanging" not in str(served.call("get_instance_output", instance_id="lead")):
            time.sleep(0.02)
        everybody = psutil.Process(served.process.pid).children(recursive=True)
        served.process.send_signal(signal.SIGINT)
        with pytest.raises(subprocess.TimeoutExpired):
            served.process.wait(0.5)

        assert -signal.SIGINT == served.end(signal.SIGINT)[0]
        _, survivors = psutil.wait_procs(everybody, timeout=60)
        assert [] == survivors


def test_an_address_that_is_not_safe_is_refused_with_what_would_make_it_so(tmp_path: Path) -> None:
    ran = subprocess.run(
        [*MADROX, "serve", "--port", "0", "--home", str(tmp_path / "home")],
        env={**os.environ, "ORCHESTRATOR_HOST": "0.0.0.0"},
        capture_output=True,
        text=True,
        timeout=150,
        check=False,
    )

    assert (2, "") == (ran.returncode, ran.stdout)
    assert "listens on loopback only, not on 0.0.0.0" in ran.stderr
    assert ran.stderr.endswith("or set ORCHESTRATOR_INSECURE=yes if you trust the whole way\n")


def test_a_port_that_is_taken_is_an_error(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        ran = subprocess.run(
            [*MADROX, "serve", "--port", str(port), "--home", str(tmp_path / "home")],
            capture_output=True,
            text=True,
            timeout=150,
            check=False,
        )

    assert (2, "") == (ran.returncode, ran.stdout)
    assert ran.stderr.startswith(f"madrox: the MCP server can't listen on 127.0.0.1:{port}: ")
    assert ran.stderr.endswith("For this once: madrox serve --port N\n")


def test_it_says_where_it_listens_and_what_to_paste_and_never_the_token(tmp_path: Path) -> None:
    home = tmp_path / "home"
    process = subprocess.Popen(
        [*MADROX, "serve", "--port", "0", "--home", str(home)], stdout=subprocess.PIPE, text=True
    )
    try:
        assert process.stdout is not None
        lines = []
        while "Ctrl-C" not in (line := process.stdout.readline()):
            assert line, "it ended"
            lines.append(line)
    finally:
        process.send_signal(signal.SIGINT)
        farewell, _ = process.communicate(timeout=60)

    assert farewell.endswith("Ctrl-C: madrox has ended; no agent was running\n")
    said = "".join(lines)
    assert re.search(r"http://127\.0\.0\.1:\d+/mcp", said)
    assert "claude mcp add" in said
    assert "codex mcp add" in said
    assert '"mcpServers"' in said
    assert "Nobody answers here what agents ask" in said
    assert (home / "token").read_text().strip() not in said


def test_an_agent_that_needs_an_answer_is_refused_because_nobody_is_there(tmp_path: Path) -> None:
    with serving(tmp_path) as served:
        served.call("spawn_instance", name="lead")
        status = served.call("get_instance_status", instance_id="lead")
        assert "deny" == status["permissions"]


def test_lab_starts_jupyterlab_in_this_process(tmp_path: Path) -> None:
    ran = subprocess.run(
        [*MADROX, "lab", "--", "--version"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=150,
        check=False,
    )

    assert re.fullmatch(r"\d+\.\d+\.\d+\S*\n", ran.stdout), ran.stderr
    assert (tmp_path / "notebooks" / "01-first-agent.ipynb").exists()


def test_the_demo_is_the_tour(tmp_path: Path) -> None:
    ran = subprocess.run(
        [*MADROX, "demo"], cwd=tmp_path, capture_output=True, text=True, timeout=150, check=True
    )

    assert "no model is thinking" in ran.stdout
    assert "└─ words" in ran.stdout


def test_the_lines_to_paste_work_for_a_client_that_is_started_with_hardly_any_environment(
    tmp_path: Path,
) -> None:
    with serving(tmp_path) as served:
        paste = Serving("", "", served.home / "token")
        desktop = json.loads(paste.claude_desktop)["mcpServers"]["madrox"]
        given = ("HOME", "XDG_STATE_HOME")
        environ = {"PATH": os.defpath, **{name: os.environ[name] for name in given if name in os.environ}}
        bridge = subprocess.Popen(
            [desktop["command"], *desktop["args"]],
            cwd="/",
            env={**environ, **desktop["env"]},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        hello = {
            "protocolVersion": "2025-11-25",
            "capabilities": {},
            "clientInfo": {"name": "x", "version": "1"},
        }
        call = {"name": "spawn_instance", "arguments": {"name": "lead"}}
        lines = [
            {"id": 1, "method": "initialize", "params": hello},
            {"method": "notifications/initialized"},
            {"id": 2, "method": "tools/call", "params": call},
        ]
        try:
            assert bridge.stdin is not None
            assert bridge.stdout is not None
            for line in lines:
                bridge.stdin.write(json.dumps({"jsonrpc": "2.0", **line}) + "\n")
            bridge.stdin.flush()
            answers = {}
            while 2 not in answers:
                answer = json.loads(bridge.stdout.readline())
                answers[answer.get("id")] = answer
        finally:
            bridge.kill()
            bridge.communicate()

        assert "spawned lead" in answers[2]["result"]["content"][0]["text"]
        assert ["lead"] == [each["name"] for each in served.call("get_instance_tree")["instances"]]
        served.end(signal.SIGINT)
