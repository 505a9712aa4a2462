"""Files of a workspace: what is inside and shown can be had, and nobody is led out of it."""

from __future__ import annotations

import os
import threading
import time
from pathlib import Path

import pytest

from madrox_nb import files
from madrox_nb.errors import BadInput
from madrox_nb.files import copied, listed, read


@pytest.fixture
def workspace(tmp_path: Path) -> Path:
    place = tmp_path / "work" / "bob"
    place.mkdir(parents=True)
    (tmp_path / "secret.txt").write_text("outside")
    return place


def fill(workspace: Path, *paths: str) -> None:
    for path in paths:
        (workspace / path).parent.mkdir(parents=True, exist_ok=True)
        (workspace / path).write_text(path)


def names(workspace: Path) -> list[str]:
    return [file.path for file in listed(workspace).files]


def test_files_are_listed_by_path_with_their_sizes(workspace: Path) -> None:
    fill(workspace, "src/deep/b.py", "a.txt", "src/a.py")
    listing = listed(workspace)

    assert [("a.txt", 5), ("src/a.py", 8), ("src/deep/b.py", 13)] == [(f.path, f.size) for f in listing.files]
    assert (0, 0) == (listing.left_out, listing.hidden)


def test_what_gitignore_excludes_is_neither_listed_nor_read_nearer_rules_first(workspace: Path) -> None:
    fill(workspace, "a.log", "keep.log", "build/x", "src/a.log", "src/b.txt", "src/build", "docs/b.txt")
    (workspace / ".gitignore").write_text("*.log\n!keep.log\nbuild/\n/docs\n")
    (workspace / "src" / ".gitignore").write_text("!a.log\nb.txt\n")

    assert [".gitignore", "keep.log", "src/.gitignore", "src/a.log", "src/build"] == names(workspace)
    for path in ("a.log", "build/x", "src/b.txt", "docs/b.txt"):
        with pytest.raises(BadInput, match=r"excluded by a \.gitignore"):
            read(workspace, path)
    assert b"src/a.log" == read(workspace, "src/a.log").data


def test_a_rule_that_git_would_not_understand_leaves_the_others_in_force(workspace: Path) -> None:
    fill(workspace, "a.log", "b.txt")
    (workspace / ".gitignore").write_text("!\n*.log\n")

    assert [".gitignore", "b.txt"] == names(workspace)


@pytest.mark.parametrize(
    "path",
    [
        ".git/config",
        ".claude/settings.json",
        ".mcp.json",
        "sub/.MCP.json",
        "node_modules/x/y.js",
        ".venv/bin/a",
    ],
)
def test_what_tools_own_and_others_carry_out_is_not_shown(workspace: Path, path: str) -> None:
    fill(workspace, path, "a.txt")

    assert ["a.txt"] == names(workspace)
    assert listed(workspace).hidden >= 1
    with pytest.raises(BadInput, match="not handed over"):
        read(workspace, path)


@pytest.mark.parametrize(
    "path", ["../../secret.txt", "a/../../../secret.txt", "/etc/passwd", "", " ", "a\0b", "."]
)
def test_no_path_leads_out(workspace: Path, path: str) -> None:
    fill(workspace, "a/b")
    with pytest.raises(BadInput):
        read(workspace, path)


def test_an_absolute_path_counts_when_it_lies_inside(workspace: Path) -> None:
    fill(workspace, "a/b")

    assert b"a/b" == read(workspace, str(workspace / "a" / "b")).data
    with pytest.raises(BadInput, match="lies outside"):
        read(workspace, f"{workspace}-other/a")


def test_no_link_is_followed_neither_a_file_nor_a_directory_nor_the_workspace(workspace: Path) -> None:
    fill(workspace, "a.txt")
    (workspace / "out").symlink_to(workspace.parents[1])
    (workspace / "file").symlink_to(workspace.parents[1] / "secret.txt")
    (workspace / "inner").symlink_to("a.txt")
    moved = workspace.with_name("moved")
    moved.symlink_to(workspace.parents[1])

    assert ["a.txt"] == names(workspace)
    assert 3 == listed(workspace).hidden
    for path in ("out/secret.txt", "file", "inner"):
        with pytest.raises(BadInput, match="is a link"):
            read(workspace, path)
    for verb in (lambda: read(moved, "secret.txt"), lambda: listed(moved)):
        with pytest.raises(BadInput, match="can't be entered: it is a link"):
            verb()


def test_a_name_that_is_swapped_for_a_link_meanwhile_leads_nobody_out(workspace: Path) -> None:
    fill(workspace, "dir/f")
    (workspace / "real").mkdir()
    (workspace / "real" / "secret.txt").write_text("inside")
    over = threading.Event()

    def swap() -> None:
        while not over.is_set():
            for target in ("real", workspace.parents[1]):
                link = workspace / "new"
                link.symlink_to(target)
                link.replace(workspace / "here")
            (workspace / "here").unlink()
            (workspace / "real").rename(workspace / "here")
            (workspace / "here").rename(workspace / "real")

    swapping = threading.Thread(target=swap)
    swapping.start()
    seen = set()
    try:
        tries, until = 0, time.monotonic() + 60
        while (tries < 20_000 or b"inside" not in seen) and time.monotonic() < until:
            tries += 1
            try:
                seen.add(read(workspace, "here/secret.txt").data)
            except BadInput:
                seen.add(b"")
    finally:
        over.set()
        swapping.join()

    assert {b"", b"inside"} == seen


def test_what_is_no_file_is_not_read_and_holds_nobody_up(workspace: Path) -> None:
    (workspace / "dir").mkdir()
    os.mkfifo(workspace / "pipe")

    assert [] == names(workspace)
    for path in ("dir", "pipe"):
        with pytest.raises(BadInput, match="is no file"):
            read(workspace, path)
    with pytest.raises(BadInput, match=r"there is no file nobody\.txt\. See which there are"):
        read(workspace, "nobody.txt")


def test_a_file_is_read_in_pieces(workspace: Path) -> None:
    (workspace / "a").write_bytes(b"0123456789")

    assert (b"0123", 10) == (read(workspace, "a", limit=4).data, read(workspace, "a", limit=4).size)
    assert b"89" == read(workspace, "a", offset=8, limit=4).data
    assert b"" == read(workspace, "a", offset=99).data


def test_a_listing_is_bounded_and_says_how_much_is_missing(
    workspace: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(workspace, *(f"{n:02}" for n in range(10)))
    few = listed(workspace, limit=4)
    monkeypatch.setattr(files, "MOST_LOOKED_AT", 8)
    seen = listed(workspace)

    assert (["00", "01", "02", "03"], 6) == ([f.path for f in few.files], few.left_out)
    assert (7, 3) == (len(seen.files), seen.left_out)


def test_a_copy_lands_inside_and_replaces_whole(workspace: Path, tmp_path: Path) -> None:
    into = tmp_path / "own"
    into.mkdir()
    fill(workspace, "src/a.txt")
    (into / "old").write_text("was there")
    (into / "dir").mkdir()

    def copy(destination: str) -> str:
        return copied(workspace, "src/a.txt", into, destination, largest=100)[0]

    assert ["old", "dir/a.txt", "new/deep/x", "there/a.txt", "a.txt"] == [
        copy(each) for each in ("old", "dir", "new/deep/x", "there/", ".")
    ]
    assert "src/a.txt" == (into / "old").read_text() == (into / "there" / "a.txt").read_text()
    assert 0o600 == (into / "old").stat().st_mode & 0o777
    assert [] == list(into.rglob(".*"))


def test_a_copy_leads_nobody_out_and_writes_nothing_that_is_carried_out(
    workspace: Path, tmp_path: Path
) -> None:
    into = tmp_path / "own"
    into.mkdir()
    fill(workspace, "a.txt")
    (into / "link").symlink_to(tmp_path)
    (into / "file").symlink_to(tmp_path / "secret.txt")
    for destination in ("../x", "/tmp/x", "link/x", ".git/hooks/pre-commit", ".mcp.json", ".claude/"):
        with pytest.raises(BadInput):
            copied(workspace, "a.txt", into, destination, largest=100)
    with pytest.raises(BadInput, match="at most 2 are copied"):
        copied(workspace, "a.txt", into, "x", largest=2)
    copied(workspace, "a.txt", into, "file", largest=100)

    assert "outside" == (tmp_path / "secret.txt").read_text()
    assert "a.txt" == (into / "file").read_text()
    assert {"link", "file"} == {path.name for path in into.iterdir()}
