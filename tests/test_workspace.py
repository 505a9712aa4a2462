"""A directory per agent, and a private place for what only its CLI may read."""

import os
import subprocess
import sys

import pytest

from madrox_nb.errors import BadInput
from madrox_nb.workspace import Workspaces, directory_name, inside, may_touch, prepare_home, write_private


@pytest.fixture
def root(tmp_path):
    return tmp_path / "work"


@pytest.fixture
def spaces(root):
    spaces = Workspaces(root)
    yield spaces
    spaces.close()


# the home


def test_a_home_is_private_and_kept_out_of_git(tmp_path):
    home = tmp_path / "deep" / ".madrox"
    prepare_home(home)
    prepare_home(home)

    assert 0o700 == home.stat().st_mode & 0o777
    assert "*\n" == (home / ".gitignore").read_text()


def test_a_home_that_holds_something_already_keeps_its_own_rules(tmp_path):
    (tmp_path / "notebook.ipynb").write_text("{}")
    prepare_home(tmp_path)
    assert not (tmp_path / ".gitignore").exists()

    (tmp_path / ".gitignore").write_text("mine\n")
    prepare_home(tmp_path)
    assert "mine\n" == (tmp_path / ".gitignore").read_text()


# a directory per agent


def test_an_agent_has_a_directory_of_its_own_that_stays_the_same(spaces, root):
    assert root / "lead" == spaces.claim("lead") == spaces.claim("lead")
    assert root / "lead.2" == spaces.claim("lead.2")
    assert 0o700 == (root / "lead").stat().st_mode & 0o777


def test_it_is_the_same_in_the_next_run_with_its_files(spaces, root):
    (spaces.claim("lead") / "notes").write_text("x")
    spaces.release("lead")
    spaces.release("lead")

    assert "x" == (Workspaces(root).claim("lead") / "notes").read_text()


def test_two_runs_at_a_time_do_not_share_an_agents_directory(spaces, root):
    other = Workspaces(root)

    assert ["lead", "lead~2"] == [spaces.claim("lead").name, other.claim("lead").name]
    spaces.close()
    assert "lead" == Workspaces(root).claim("lead").name
    other.close()


def test_two_agents_whose_names_look_alike_on_disk_do_not_share_one(spaces):
    assert ["a-b", "a-b~2"] == [spaces.claim("a b").name, spaces.claim("a-b").name]


def test_a_directory_is_free_again_when_its_process_was_killed(spaces, root):
    program = f"""
import os, signal
from pathlib import Path
from madrox_nb.workspace import Workspaces
spaces = Workspaces(Path({str(root)!r}))
print(spaces.claim("lead").name, flush=True)
os.kill(os.getpid(), signal.SIGKILL)
"""
    said = subprocess.run([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True, check=False)

    assert "lead\n" == said.stdout
    assert "lead" == spaces.claim("lead").name


def test_a_place_that_cannot_hold_workspaces_is_named_and_nothing_stays_held(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(BadInput, match="cannot make a workspace for 'lead'"):
        Workspaces(tmp_path / "file").claim("lead")

    spaces = Workspaces(tmp_path / "work")
    (tmp_path / "work").mkdir()
    blocker = tmp_path / "work" / "lead"
    blocker.write_text("somebody's file")
    with pytest.raises(BadInput, match="cannot make a workspace for 'lead'"):
        spaces.claim("lead")
    blocker.unlink()
    assert spaces.claim("lead").is_dir()
    assert "lead" == spaces.claim("lead").name
    spaces.close()


@pytest.mark.parametrize(
    ("agent", "name"),
    [
        ("lead", "lead"),
        ("lead.2", "lead.2"),
        ("Señor Übel", "Señor-Übel"),
        ("../../etc", "etc"),
        ("a/b\\c:d", "a-b-c-d"),
        (".held", "held"),
        ("~", "agent"),
        ("", "agent"),
    ],
)
def test_a_name_becomes_one_path_component(agent, name):
    assert name == directory_name(agent)


# inside


@pytest.mark.parametrize("path", ["", ".", "x", "deep/x", "./deep/../x", "not yet/there", "deep/.."])
def test_what_lies_in_the_workspace_is_inside(tmp_path, path):
    (tmp_path / "deep").mkdir()

    assert inside(tmp_path, path)
    assert inside(tmp_path, str(tmp_path / path))


@pytest.mark.parametrize(
    "path", ["..", "../x", "deep/../../x", "/", "/etc/passwd", "~", "~/x", "~nobody-of-that-name/x"]
)
def test_what_lies_elsewhere_is_not(tmp_path, path):
    workspace = tmp_path / "lead"
    workspace.mkdir()

    assert not inside(workspace, path)


def test_a_neighbour_whose_name_begins_the_same_is_not_inside(tmp_path):
    assert not inside(tmp_path / "lead", str(tmp_path / "lead2" / "x"))


@pytest.mark.parametrize("path", ["a\0b", "\ud83d", "loop/x"])
def test_what_is_no_path_is_not_inside(tmp_path, path):
    (tmp_path / "loop").symlink_to("loop")

    assert not inside(tmp_path, path)


def test_a_link_counts_for_where_it_leads(tmp_path):
    workspace = tmp_path / "lead"
    workspace.mkdir()
    (workspace / "out").symlink_to(tmp_path)
    (workspace / "in").symlink_to(workspace)
    (tmp_path / "other").symlink_to(workspace)

    assert not inside(workspace, "out/x")
    assert inside(workspace, "in/x")
    assert inside(tmp_path / "other", str(workspace / "x"))


# private files


def test_private_files_are_the_owners_alone_whatever_the_umask(tmp_path):
    before = os.umask(0)
    try:
        write_private(tmp_path / "files", {"token": "s3cret", "mcp.json": "{}"})
    finally:
        os.umask(before)

    assert 0o700 == (tmp_path / "files").stat().st_mode & 0o777
    assert [0o600, 0o600] == [path.stat().st_mode & 0o777 for path in (tmp_path / "files").iterdir()]
    assert "s3cret" == (tmp_path / "files" / "token").read_text()


def test_a_private_file_replaces_what_lay_there_and_follows_no_link(tmp_path):
    (tmp_path / "victim").write_text("theirs")
    (tmp_path / "token").symlink_to(tmp_path / "victim")
    (tmp_path / "open").write_text("old")
    (tmp_path / "open").chmod(0o644)

    write_private(tmp_path, {"token": "new", "open": "new"})

    assert "theirs" == (tmp_path / "victim").read_text()
    assert ("new", 0o600) == ((tmp_path / "open").read_text(), (tmp_path / "open").stat().st_mode & 0o777)


def test_half_a_character_in_a_private_file_is_no_trouble(tmp_path):
    write_private(tmp_path, {"x": "\ud83d"})

    assert b"\xed\xa0\xbd" == (tmp_path / "x").read_bytes()


@pytest.mark.parametrize(
    "path",
    [
        ".git/config",
        "sub/.GIT/hooks/x",
        ".claude/settings.json",
        ".mcp.json",
        ".gemini/settings.json",
        ".opencode/plugin/x.ts",
        "sub/opencode.json",
        "../out",
    ],
)
def test_what_other_programs_run_is_not_an_agents_to_touch(tmp_path, path):
    assert not may_touch(tmp_path, path)


@pytest.mark.parametrize("path", ["a.txt", "git/config", "deep/er/b.py", ".gitignore"])
def test_the_rest_of_its_workspace_is(tmp_path, path):
    assert may_touch(tmp_path, path)
    assert may_touch(tmp_path, str(tmp_path / path))
