"""`madrox doctor`: what it finds, how it looks, and with which status it ends."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from madrox_nb import __version__, cli, inventory, library
from madrox_nb.doctor import Health, Home
from madrox_nb.harness import Features, Harness
from madrox_nb.inventory import Found
from madrox_nb.orphans import Orphan


class Stranger(Harness):
    name = "stranger"
    commands = ("strange",)
    provides = "npm install -g strange"
    features = Features(usage=True, structured=True)
    tested = ("1.2.0",)


@pytest.fixture(autouse=True)
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A directory without settings, a PATH without CLIs, and one harness more."""
    for module in ("config", "library"):
        monkeypatch.setattr(f"madrox_nb.{module}.user_dir", lambda: tmp_path / "config")
    monkeypatch.setattr(library, "_lent", {"stranger": Stranger})
    monkeypatch.setattr(inventory, "_versions", {})
    (tmp_path / "bin").mkdir()
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}:{os.defpath}")
    monkeypatch.setenv("ORCHESTRATOR_PORT", "0")


@pytest.fixture
def strange(tmp_path: Path) -> Callable[[str], None]:
    def make(lines: str = "echo strange 1.2.0") -> None:
        path = tmp_path / "bin" / "strange"
        path.write_text(f"#!/bin/sh\n{lines}\n")
        path.chmod(0o755)

    return make


def examined(capsys: pytest.CaptureFixture[str], *options: str) -> tuple[int, str]:
    status = cli.main(["doctor", *options])
    return status, capsys.readouterr().out


# the status


def test_without_any_agent_cli_the_status_is_1_and_says_what_a_spawn_would_start(
    capsys: pytest.CaptureFixture[str],
) -> None:
    status, said = examined(capsys)

    assert 1 == status
    assert (
        "A spawn without --harness starts rehearsal: none of MADROX_HARNESSES (claude, codex) is installed"
        in said
    )


def test_a_cli_that_is_here_and_not_in_the_order_of_choice_is_named(
    strange: Callable[[], None], capsys: pytest.CaptureFixture[str]
) -> None:
    strange()

    status, said = examined(capsys)

    assert 1 == status
    assert "(claude, codex) is installed; name what is, as in MADROX_HARNESSES=stranger\n" in said


def test_with_the_cli_that_a_spawn_would_choose_the_status_is_0(
    strange: Callable[[], None], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    strange()
    monkeypatch.setenv("MADROX_HARNESSES", "claude stranger")

    status, said = examined(capsys)

    assert 0 == status
    assert said.endswith("A spawn without --harness starts stranger.\n")


def test_rehearsals_that_were_asked_for_are_no_shortcoming(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("MADROX_HARNESSES", "rehearsal")

    assert 0 == examined(capsys)[0]


def test_a_cli_that_is_there_and_crashes_is_not_taken_for_one_that_works(
    strange: Callable[[str], None], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    strange("echo 'wrong ELF class' >&2; exit 1")
    monkeypatch.setenv("MADROX_HARNESSES", "stranger")

    status, said = examined(capsys)

    assert 1 == status
    assert (
        "stranger is there and does not work: asked for its version, it ended with code 1: wrong ELF" in said
    )


def test_settings_that_cannot_be_read_are_status_2(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("ORCHESTRATOR_PORT", "eighty")

    assert 2 == cli.main(["doctor"])
    assert "madrox: port = 'eighty' (from ORCHESTRATOR_PORT)" in capsys.readouterr().err


def test_a_home_that_cannot_be_used_is_status_2(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("MADROX_HOME", str(tmp_path / "file" / "home"))

    status, said = examined(capsys)

    assert 2 == status
    assert "can't be written: set MADROX_HOME" in said


# what it finds


def test_a_home_that_others_may_look_into_is_told_and_none_is_made(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("MADROX_HOME", str(tmp_path / "home"))
    assert "made by the first run" in examined(capsys)[1]
    assert not (tmp_path / "home").exists()

    (tmp_path / "home").mkdir(mode=0o755)
    (tmp_path / "home").chmod(0o755)
    status, said = examined(capsys)
    assert 1 == status
    assert "– home" in said
    assert "others may look into it: chmod 700" in said


def test_a_port_that_is_taken_is_told(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        monkeypatch.setenv("ORCHESTRATOR_PORT", str(port))
        said = examined(capsys)[1]

    assert f"– server    127.0.0.1:{port}: port {port} is taken" in said


def test_programs_get_the_same_as_json(
    strange: Callable[[str], None], capsys: pytest.CaptureFixture[str]
) -> None:
    strange("echo strange 1.3.0")

    status, said = examined(capsys, "--json")

    told = json.loads(said)
    [row] = [row for row in told["harnesses"] if row["harness"] == "stranger"]
    assert ("strange 1.3.0", "1.2.0", "not tested with: newer than 1.2.0") == (
        row["version"],
        row["tested"],
        row["note"],
    )
    assert (True, False, True) == (row["installed"], row["mcp"], row["usage"])
    assert (status, __version__) == (told["status"], told["versions"]["madrox_nb"])
    assert isinstance(told["orphans"], list)  # of this whole machine
    assert told["versions"]["ipykernel"]


def test_processes_that_outlived_their_kernel_are_listed_and_not_ended(
    capsys: pytest.CaptureFixture[str],
) -> None:
    dead = subprocess.Popen(["true"])
    dead.wait()
    run = f"20200131T120000.000-{dead.pid}"
    env = {**os.environ, "MADROX_RUN": run, "MADROX_AGENT": f"{run}/lead"}
    left = subprocess.Popen(["sleep", "600"], env=env)
    try:
        said = examined(capsys)[1]
        assert f"{left.pid}  lead of {run}: sleep 600" in said
        assert left.poll() is None
    finally:
        left.kill()
        left.wait()


# how it looks


def health(**changes: Any) -> Health:
    known: dict[str, Any] = {
        "versions": {"madrox_nb": "0.1.0", "python": "3.11.7", "notebook": None},
        "home": Home(path="/home/me/.madrox", exists=True, writable=True, private=True),
        "attended": "auto",
        "address": "127.0.0.1:8001",
        "port_note": "",
        "default": "claude",
        "default_note": "",
        "harnesses": (
            Found(
                harness="claude",
                installed=True,
                command="/bin/claude",
                version="2.1.331 (Claude Code)",
                tested=("2.1.330",),
                note="not tested with: newer than 2.1.330",
                features=Features(usage=True, mcp=True),
            ),
            Found(harness="broken", installed=False, command="registered but can't be loaded: no 'x'"),
            Found(
                harness="gemini",
                installed=False,
                command="harness 'gemini': no 'gemini' on PATH. …",
                features=Features(),
                provides="npm install -g gemini",
            ),
        ),
        "orphans": (),
    }
    return Health(**{**known, **changes})


TABLE = """\
   harness  version   turns stop steer asks usage cost mcp resume fork data
●  claude   2.1.331*  ●     –    –     –    ●     –    ●   –      –    –
–  broken   –         ?     ?    ?     ?    ?     ?    ?   ?      ?    ?
–  gemini   –         ●     –    –     –    –     –    –   –      –    –
"""


def test_a_terminal_gets_a_table_then_what_is_amiss_and_what_to_do() -> None:
    said = health().text(width=80)

    assert "madrox_nb 0.1.0 · python 3.11.7\n" in said
    assert TABLE in said
    assert "Not as tested:\n  claude  2.1.331 (Claude Code): not tested with: newer than 2.1.330\n" in said
    assert (
        "Not here:\n  broken  registered but can't be loaded: no 'x'\n  gemini  npm install -g gemini\n"
        in said
    )


def test_a_narrow_terminal_gets_a_card_for_each() -> None:
    said = health().text(width=60)

    assert "● claude 2.1.331*\n    turns usage mcp\n– broken –\n    –\n" in said
    assert [] == [line for line in said.splitlines() if "turns:" in line and len(line) > 60]


def test_long_names_fit_80_columns_under_shorter_heads() -> None:
    wide = Found(
        harness="claude-agent-acp", installed=True, command="x", version="10.18.333-rc.1", features=Features()
    )

    said = health(harnesses=(wide,)).text(width=80)

    assert "   harness           version         tur sto ste ask usa cos mcp res for dat\n" in said
    assert "●  claude-agent-acp  10.18.333-rc.1  ●   –   –   –   –   –   –   –   –   –\n" in said


def test_a_long_command_of_an_orphan_is_cut() -> None:
    said = health(orphans=(Orphan(7, "r", "", "x" * 500),)).text(width=80)

    [line] = [line for line in said.splitlines() if line.startswith("  7  ? of r: xxx")]
    assert len(line) <= 80


def test_a_terminal_that_knows_only_ascii_is_no_reason_to_crash(monkeypatch: pytest.MonkeyPatch) -> None:
    ran = subprocess.run(
        [sys.executable, "-m", "madrox_nb.cli", "doctor"],
        env={**os.environ, "PYTHONIOENCODING": "ascii"},
        capture_output=True,
        text=True,
        timeout=150,
        check=False,
    )

    assert ("", 1) == (ran.stderr, ran.returncode)
    assert "?  rehearsal" in ran.stdout


# the command line


def test_the_version(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        cli.main(["--version"])

    assert (0, f"madrox_nb {__version__}\n") == (ended.value.code, capsys.readouterr().out)


def test_help_says_what_the_status_means(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        cli.main(["doctor", "--help"])

    assert "exit status:\n  0   an agent that is spawned without --harness" in capsys.readouterr().out


@pytest.mark.parametrize("argv", [[], ["docter"], ["doctor", "--jsn"]])
def test_a_wrong_line_is_answered_with_the_usage(argv: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        cli.main(argv)

    assert 2 == ended.value.code
    assert "usage: madrox" in capsys.readouterr().err


def test_the_command_is_installed_under_its_name() -> None:
    where = Path(sys.executable).with_name("madrox")
    assert where.exists(), "install again: pip install --no-deps -e ."

    ran = subprocess.run([where, "--version"], capture_output=True, text=True, timeout=150, check=True)
    assert f"madrox_nb {__version__}\n" == ran.stdout


# the door that strangers use


def test_a_package_with_an_entry_point_is_in_the_table(tmp_path: Path) -> None:
    site = tmp_path / "site"
    info = site / "tiny_harness-1.0.dist-info"
    info.mkdir(parents=True)
    info.joinpath("METADATA").write_text("Metadata-Version: 2.1\nName: tiny-harness\nVersion: 1.0\n")
    info.joinpath("entry_points.txt").write_text("[madrox_nb.harness]\ntiny = tiny_harness:Tiny\n")
    site.joinpath("tiny_harness.py").write_text(
        "import sys\n"
        "from madrox_nb.harness import Features, Harness\n"
        "class Tiny(Harness):\n"
        "    name, features, tested = 'tiny', Features(usage=True), ('3.0.0',)\n"
        "    version_args = ('-c', 'print(\"tiny 3.0.0\")')\n"
        "    @staticmethod\n"
        "    def command(): return (sys.executable,)\n"
        "    def launch(self): ...\n"
        "    def prompt(self, turn, text): ...\n"
        "    def read(self, line): ...\n"
        "    def interrupt(self): ...\n"
    )

    ran = subprocess.run(
        [sys.executable, "-m", "madrox_nb.cli", "doctor", "--json"],
        env={**os.environ, "PYTHONPATH": str(site)},
        capture_output=True,
        timeout=150,
        check=False,
    )

    [row] = [row for row in json.loads(ran.stdout)["harnesses"] if row["harness"] == "tiny"]
    assert ("tiny 3.0.0", True, None) == (row["version"], row["usage"], row["note"])
