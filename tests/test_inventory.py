"""What is known of each harness's CLI, though it hangs, floods, crashes or paints."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from dataclasses import fields
from pathlib import Path

import psutil
import pytest

from madrox_nb import frames, inventory, library
from madrox_nb.errors import HarnessError
from madrox_nb.harness import Features, Harness
from madrox_nb.inventory import Found, number, untested, version_line
from madrox_nb.library import Harnesses
from madrox_nb.local import MOST_SAID, asked

Program = Callable[[str], str]


class Stranger(Harness):
    name = "stranger"
    commands = ("strange",)
    provides = "npm install -g strange"
    features = Features(usage=True)
    tested = ("1.2.0", "1.10.0")


@pytest.fixture(autouse=True)
def only_a_stranger(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(library, "_lent", {"stranger": Stranger})
    monkeypatch.setattr(library, "_registered", dict)
    monkeypatch.setattr(inventory, "_versions", {})


@pytest.fixture
def program(tmp_path: Path) -> Program:
    """Makes the stranger's CLI out of shell lines; returns its path."""

    def make(lines: str) -> str:
        path = tmp_path / "strange"
        path.write_text(f"#!/bin/sh\n{lines}\n")
        path.chmod(0o755)
        return str(path)

    return make


def look(path: Path, seconds: float = 5.0) -> Found:
    environ = {"PATH": f"{path}:{os.defpath}"}
    [found] = inventory.inventory(Harnesses({}, environ), environ, seconds=seconds)
    return found


# one row


def test_a_cli_is_found_with_its_version_and_what_it_can_do(program: Program, tmp_path: Path) -> None:
    where = program('[ "$1" = --version ] && echo "strange 1.10.0 (Stranger)"')

    found = look(tmp_path)

    assert (True, where, "strange 1.10.0 (Stranger)", "") == (
        found.installed,
        found.command,
        found.version,
        found.note,
    )
    assert found.works
    assert {"usage": True, "mcp": False} == {name: found.row()[name] for name in ("usage", "mcp")}


def test_an_absent_cli_is_told_with_how_to_get_it(tmp_path: Path) -> None:
    found = look(tmp_path)

    assert not found.installed
    assert "no 'strange' on PATH" in found.command
    assert "npm install -g strange" == found.row()["provides"]


def test_a_harness_that_cannot_be_loaded_has_a_row_and_no_features(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Broken:
        def load(self) -> None:
            raise ImportError("no module named 'half'")

    monkeypatch.setattr(library, "_lent", {})
    monkeypatch.setattr(library, "_registered", lambda: {"broken": Broken()})

    found = look(tmp_path)

    assert ("broken", False, None) == (found.harness, found.installed, found.features)
    assert "no module named 'half'" in found.command
    assert found.row()["mcp"] is None


def test_the_frame_has_a_column_for_every_feature_and_its_dtypes_when_empty() -> None:
    columns = {f.name for f in fields(Features)}

    assert columns <= set(frames.harnesses([]).columns)
    assert {"boolean"} == {str(frames.harnesses([])[name].dtype) for name in columns}
    frame = frames.harnesses([Found(harness="x", installed=False, command="gone").row()])
    assert frame.loc["x"].isna()["mcp"]


# CLIs that misbehave


def test_a_cli_that_hangs_is_ended_with_all_that_it_started(program: Program, tmp_path: Path) -> None:
    program(f"sleep 600 & echo $! > {tmp_path}/child; echo 'wait…'; sleep 600")

    found = look(tmp_path, seconds=0.5)

    assert found.installed
    assert not found.works
    assert "asked for its version, it did not end within 0.5 s: wait…" == found.note
    assert gone(int((tmp_path / "child").read_text()))


def gone(pid: int) -> bool:
    """Whether a process ends soon: killed ones wait for whoever inherited them."""
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        try:
            if psutil.Process(pid).status() == psutil.STATUS_ZOMBIE:
                return True
        except psutil.NoSuchProcess:
            return True
        time.sleep(0.01)
    return False


def test_a_cli_that_never_stops_talking_is_stopped(program: Program, tmp_path: Path) -> None:
    program("while :; do echo blah blah blah blah; done")

    found = look(tmp_path, seconds=60)

    assert "asked for its version, it did not stop talking: " == found.note[:48]
    assert len(found.note) < 200


@pytest.mark.parametrize(
    ("lines", "note"),
    [
        ("echo 'cannot find node' >&2; exit 3", "it ended with code 3: cannot find node"),
        ("kill -SEGV $$", "it was killed by signal 11"),
    ],
)
def test_a_cli_that_fails_says_why(program: Program, tmp_path: Path, lines: str, note: str) -> None:
    program(lines)

    assert f"asked for its version, {note}" == look(tmp_path).note


@pytest.mark.parametrize("lines", [":", "echo '> '"])
def test_a_program_that_knows_no_version_works_all_the_same(
    program: Program, tmp_path: Path, lines: str
) -> None:
    program(lines)

    assert ("", "", True) == ((found := look(tmp_path)).version, found.note, found.works)


def test_a_program_that_cannot_be_run_says_why(program: Program, tmp_path: Path) -> None:
    Path(program(":")).write_text("#!/no/such/interpreter\n")

    assert "asked for its version, it can't be run: No such file or directory" == look(tmp_path).note


def test_a_daemon_that_keeps_the_output_open_does_not_spoil_the_answer(
    program: Program, tmp_path: Path
) -> None:
    program("sleep 600 & echo 1.2.0")

    assert "1.2.0" == look(tmp_path, seconds=0.5).version


def test_a_cli_gets_no_input_and_no_directory_of_ours(program: Program) -> None:
    assert ("/|\n", "") == asked([program('read -r line; echo "$(pwd)|$line"')], env={}, seconds=5)


def test_what_an_error_keeps_of_a_flood_is_short(program: Program) -> None:
    with pytest.raises(HarnessError) as raised:
        asked(
            [program(f"head -c {2 * MOST_SAID} /dev/zero | tr '\\0' x; exec sleep 600")], env={}, seconds=60
        )

    assert {"x"} == set(raised.value.evidence)
    assert len(raised.value.evidence) == 2000


# asked once


def test_a_cli_is_asked_once_for_each_state_of_its_file(program: Program, tmp_path: Path) -> None:
    count = f"echo . >> {tmp_path}/asked; echo"
    where = program(f"{count} 1.2.0")
    assert ["1.2.0", "1.2.0"] == [look(tmp_path).version for _ in range(2)]
    assert 1 == len((tmp_path / "asked").read_text().split())

    program(f"{count} 1.10.0")
    os.utime(where, ns=(1, 1))
    assert "1.10.0" == look(tmp_path).version


def test_a_failure_is_not_remembered(program: Program, tmp_path: Path) -> None:
    where = program("exit 1")
    os.utime(where, ns=(1, 1))
    assert "" == look(tmp_path).version

    program("echo 1.2.0")
    os.utime(where, ns=(1, 1))
    assert "1.2.0" == look(tmp_path).version


def test_the_clis_are_asked_side_by_side(
    program: Program, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each waits until both were asked."""
    both = "echo . >> $d/asked; until [ $(wc -l < $d/asked) -ge 2 ]; do sleep 0.01; done; echo 1.2.0"
    program(both.replace("$d", str(tmp_path)))
    other = type("Other", (Stranger,), {"name": "other", "version_args": ("-V",)})
    monkeypatch.setattr(library, "_lent", {"stranger": Stranger, "other": other})

    environ = {"PATH": f"{tmp_path}:{os.defpath}"}
    found = inventory.inventory(Harnesses({}, environ), environ, seconds=20)

    assert ["1.2.0", "1.2.0"] == [each.version for each in found]


def test_a_harness_that_names_no_version_arguments_is_not_asked(
    program: Program, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program(f"touch {tmp_path}/started")
    monkeypatch.setattr(Stranger, "version_args", ())

    assert look(tmp_path).works
    assert not (tmp_path / "started").exists()


# what is read out of it


@pytest.mark.parametrize(
    ("said", "line"),
    [
        ("\x1b[1;32mstrange\x1b[0m 1.2.0\r\n", "strange 1.2.0"),
        ("\x1b]0;title\x07v1.2.0\n", "v1.2.0"),
        ("Warning: old config\nstrange 1.2.0\nmore", "strange 1.2.0"),
        ("\n\n  version one \nand more", "version one"),
        ("a\x00b\u202ec 1.0", "a b c 1.0"),
        ("", ""),
        ("1." + "0" * 500, "1." + "0" * 78),
    ],
)
def test_the_line_with_the_version_is_plain_text(said: str, line: str) -> None:
    assert line == version_line(said)


@pytest.mark.parametrize(
    ("said", "note"),
    [
        ("2.1.330 (Claude Code)", ""),
        ("2.1.331 (Claude Code)", "not tested with: newer than 2.1.330"),
        ("v2.1.9", "not tested with: older than 2.1.197"),
        ("2.1.200", "not tested with: 2.1.197, 2.1.330 were"),
        ("nightly", ""),
        ("", ""),
    ],
)
def test_a_version_is_held_against_those_that_were_tested(said: str, note: str) -> None:
    assert note == untested(said, ("2.1.330", "2.1.197"))


def test_where_nothing_was_tested_nothing_is_said() -> None:
    assert "" == untested("1.0.0", ())
    assert "" == untested("Python 3.11.7", ("3.11",))
    assert "not tested with: newer than 3.1" == untested("Python 3.11.7", ("3.1",))


@pytest.mark.parametrize(
    ("said", "expected"), [("codex-cli 0.169.0", "0.169.0"), ("1.0.0-rc.1.", "1.0.0-rc.1"), ("none", "")]
)
def test_the_number_of_a_version(said: str, expected: str) -> None:
    assert expected == number(said)
