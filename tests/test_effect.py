"""What a tool would do, as the person sees it before saying yes."""

import json
import os
import time
from pathlib import Path

import pytest

from madrox_nb.harness import Ask
from madrox_nb.library import Harnesses
from madrox_nb.parts.effect import (
    COMPARED,
    LINES,
    WIDTH,
    Reader,
    difference,
    differences,
    effect,
    patched,
    path_of,
)
from madrox_nb.testing import replay

TRANSCRIPTS = Path(__file__).parent / "transcripts"


@pytest.fixture
def workspace(tmp_path):
    made = tmp_path / "api"
    made.mkdir()
    (made / "a.py").write_text("".join(f"line {n}\n" for n in range(1, 21)))
    return made


def only(given, workspace):
    [file] = effect(given, Reader(workspace))["files"]
    return file


def edit(path="a.py", old="line 10\n", new="line ten\n", **more):
    return {"file_path": str(path), "old_string": old, "new_string": new, **more}


def test_an_edit_is_shown_as_what_changes_in_its_file_with_lines_around_it(workspace):
    file = only(edit(workspace / "a.py"), workspace)

    assert [
        ["@", None, None, ""],
        [" ", 7, 7, "line 7"],
        [" ", 8, 8, "line 8"],
        [" ", 9, 9, "line 9"],
        ["-", 10, None, "line 10"],
        ["+", None, 10, "line ten"],
        [" ", 11, 11, "line 11"],
        [" ", 12, 12, "line 12"],
        [" ", 13, 13, "line 13"],
    ] == file["lines"]
    assert (1, 1, "") == (file["added"], file["removed"], file["said"])


def test_two_edits_far_apart_are_two_pieces(workspace):
    edits = [
        {"old_string": "line 2\n", "new_string": ""},
        {"old_string": "line 19\n", "new_string": "x\ny\n"},
    ]
    file = only({"file_path": "a.py", "edits": edits}, workspace)

    assert [5] == [at for at, (sign, *_) in enumerate(file["lines"]) if sign == "@"]
    assert (2, 2) == (file["added"], file["removed"])


def test_a_replacement_everywhere_is_counted_everywhere_and_else_once(workspace):
    once = only(edit(old="line", new="row"), workspace)
    all_ = only(edit(old="line", new="row", replace_all=True), workspace)

    assert (1, 20) == (once["added"], all_["added"])


def test_an_edit_that_does_not_fit_its_file_says_that_it_would_fail(workspace):
    file = only(edit(old="nothing of the kind"), workspace)

    assert "the edit would fail" in file["said"]
    assert ["-", None, None, "nothing of the kind"] in file["lines"]


def test_a_file_that_is_written_whole_is_compared_with_what_is_there_or_is_new(workspace):
    text = (workspace / "a.py").read_text()
    file = only({"file_path": str(workspace / "a.py"), "content": text + "more\n"}, workspace)
    new = only({"file_path": "b/new.py", "content": "one\ntwo\n"}, workspace)

    assert (1, 0) == (file["added"], file["removed"])
    assert ("a new file", 2, 0) == (new["said"], new["added"], new["removed"])


def test_codex_changes_are_its_own_patch_a_new_file_and_one_that_goes(workspace):
    patch = "@@ -1,2 +1,2 @@ def f():\n line 1\n-line 2\n+line two\n"
    changes = [
        {"path": "a.py", "kind": {"type": "update", "move_path": "c.py"}, "diff": patch},
        {"path": "n.py", "kind": {"type": "add"}, "diff": "one\n"},
        {"path": "o.py", "kind": {"type": "delete"}, "diff": "gone\n"},
    ]
    files = effect({"changes": changes}, Reader(workspace))["files"]

    assert [(1, 1, "becomes c.py"), (1, 0, "a new file"), (0, 1, "the file is deleted")] == [
        (each["added"], each["removed"], each["said"]) for each in files
    ]
    assert ["@", None, None, "def f():"] == files[0]["lines"][0]


def asked_in(folder):
    """What a real CLI asked about a file, as its transcript has it."""
    story = TRANSCRIPTS / folder / "asked.jsonl"
    items = replay(Harnesses({}, {})[folder.rpartition("-")[0]], story)
    return next(item.input for item in items if isinstance(item, Ask) and path_of(item.input))


@pytest.mark.parametrize("folder", ["opencode-1.18.33", "gemini-0.61.0"])
def test_an_edit_that_a_cli_of_the_agent_client_protocol_asks_about_is_shown_as_a_difference(folder):
    given = asked_in(folder)
    told = effect(given, Reader(None))
    [file] = told["files"]

    assert "/lead/workspace/written" == path_of(given)
    assert [("+", "written")] == [(line[0], line[3]) for line in file["lines"] if line[0] != "@"]
    assert "newText" not in told["rest"]


def changes(workspace, old, new, **more):
    return {"changes": [{"path": str(workspace / "a.py"), "oldText": old, "newText": new}], **more}


def test_a_difference_told_by_the_cli_is_of_the_whole_file_or_of_a_piece_of_it(workspace):
    text = (workspace / "a.py").read_text()
    whole = only(changes(workspace, text, text.replace("line 10\n", "line ten\n")), workspace)
    piece = only(changes(workspace, "line 10\n", "line ten\n"), workspace)
    new = only({"changes": [{"path": "b.py", "oldText": None, "newText": "one\n"}]}, workspace)
    stale = only(changes(workspace, "nothing of the kind\n", "line ten\n"), workspace)

    assert whole == piece
    assert ["-", 10, None, "line 10"] in piece["lines"]
    assert ([["+", None, 1, "one"]], "a new file") == (new["lines"], new["said"])
    assert "something else" in stale["said"]
    assert ["-", None, None, "nothing of the kind"] in stale["lines"]


def test_what_such_a_difference_does_not_show_stands_below_it(workspace):
    path = str(workspace / "a.py")
    told = effect(
        changes(workspace, "line 1\n", "", title="Fix it", paths=[path], mode="0777"), Reader(workspace)
    )

    assert {"title": "Fix it", "mode": "0777"} == json.loads(told["rest"])


def test_a_patch_hides_no_line_that_looks_like_its_head():
    patch = "--- a.sql\n+++ a.sql\n@@ -1 +1 @@\n--- drop nothing\n+++ drop all\n\\ No newline at end\n"
    [file] = effect({"filepath": "a.sql", "diff": patch}, Reader(None))["files"]

    assert [["-", None, None, "-- drop nothing"], ["+", None, None, "++ drop all"]] == file["lines"][1:]


def test_the_patch_of_several_files_is_told_file_by_file():
    patch = """diff --git a b.py a b.py
index 1..2 100644
--- a b.py\t
+++ a b.py\t
@@ -1 +1 @@
-diff --git is fine
+two
diff --git new new
new file mode 100644
--- /dev/null
+++ new
@@ -0,0 +1 @@
+one
diff --git pic pic
Binary files pic and pic differ
diff --git empty empty
deleted file mode 100644
"""
    told = [
        (each["path"], each["said"], each["added"], each["removed"])
        for each in differences(list(patched(patch)))["files"]
    ]

    assert [
        ("a b.py", "", 1, 1),
        ("new", "a new file", 1, 0),
        ("pic", "what is there is no text", 0, 0),
        ("empty", "the file is deleted", 0, 0),
    ] == told


def test_a_command_is_told_in_full_with_what_else_it_is_given():
    told = effect({"command": "rm -rf build && make", "description": "Clean"}, Reader(None))

    assert ("run", "rm -rf build && make") == (told["kind"], told["text"])
    assert '"Clean"' in told["rest"]


def test_a_command_as_words_is_told_as_one_line():
    assert "bash -lc 'ls -l'" == effect({"command": ["bash", "-lc", "ls -l"]}, Reader(None))["text"]


def test_any_other_tool_is_told_by_its_arguments():
    told = effect({"url": "https://example.org", "depth": 2}, Reader(None))

    assert "use" == told["kind"]
    assert "https://example.org" in told["rest"]


@pytest.mark.parametrize("path", ["/etc/hostname", "../secret", "out/secret", ".git/config", "pipe"])
def test_no_file_is_read_outside_the_workspace_through_links_or_from_a_pipe(workspace, path):
    (workspace.parent / "secret").write_text("the key")
    (workspace / "out").symlink_to(workspace.parent)
    (workspace / ".git").mkdir()
    (workspace / ".git/config").write_text("the key")
    os.mkfifo(workspace / "pipe")
    file = only({"file_path": path, "content": "mine\n"}, workspace)

    assert "the key" not in str(file)
    assert [["+", None, 1, "mine"]] == file["lines"]
    assert file["said"]


def test_a_secret_in_a_file_is_not_shown(workspace):
    (workspace / "a.py").write_text("key = s3cret\n")
    reader = Reader(workspace, lambda text: text.replace("s3cret", "{secret:KEY}"))
    [file] = effect(edit(old="key = {secret:KEY}", new="key = None"), reader)["files"]

    assert [["-", 1, None, "key = {secret:KEY}"], ["+", None, 1, "key = None"]] == file["lines"]


def test_nothing_is_read_when_it_was_answered_already(workspace):
    assert ["-", None, None, "line 10"] == only(edit(), None)["lines"][0]


def test_what_has_no_end_is_cut_and_says_so(workspace):
    long = only({"file_path": "new.py", "content": "x" * 9_000 + "\n" + "y\n" * 5_000}, workspace)
    command = effect({"command": "echo " + "z" * 50_000}, Reader(None))

    assert (LINES, 5_001 - LINES, 5_001) == (len(long["lines"]), long["more"], long["added"])
    assert len(long["lines"][0][3]) < WIDTH + 40
    assert "more characters" in long["lines"][0][3]
    assert 50_005 == len(command["text"]) + command["text_more"]


def test_two_large_files_of_the_same_few_lines_are_compared_at_once():
    one, other = "a\nb\n" * 20_000, "b\nb\na\n" * 13_000
    began = time.perf_counter()
    lines = list(difference(one, other))

    assert 79_000 >= len(lines) > 70_000
    assert time.perf_counter() - began < 5


def test_a_long_change_between_equal_ends_keeps_its_line_numbers():
    head, tail = "".join(f"h{n}\n" for n in range(10)), "".join(f"t{n}\n" for n in range(10))
    many = "".join(f"m{n}\n" for n in range(COMPARED + 5))
    lines = list(difference(f"{head}old\n{tail}", f"{head}{many}{tail}"))

    assert ("-", 11, None, "old") == lines[4]
    assert (" ", 12, COMPARED + 16, "t0") == lines[-3]


def test_what_is_the_same_has_no_difference():
    assert [] == list(difference("a\nb\n", "a\nb\n"))
    assert [] == list(difference("", ""))


@pytest.mark.parametrize(
    ("given", "path"),
    [
        ({"file_path": "a", "content": ""}, "a"),
        ({"file_path": "a"}, ""),
        ({"changes": [{"path": "p", "kind": {"type": "add"}}]}, "p"),
        ({"changes": []}, ""),
        ({"notebook_path": "n.ipynb", "new_source": "1"}, "n.ipynb"),
        ({"command": "ls"}, ""),
        ({"file_path": 7, "content": 7}, ""),
        ({"file_path": "a", "content": "", "then": "rm -rf ~"}, ""),
        ({"file_path": "a", "old_string": "x", "new_string": "y", "then": "rm"}, ""),
        ({"file_path": "a", "old_string": "x", "new_string": ["rm"]}, ""),
        ({"file_path": "a", "edits": [{"old_string": "x", "new_string": "y", "then": "rm"}]}, ""),
        ({"changes": [{"path": "p", "then": "rm"}]}, ""),
        ({"changes": [{"path": "p"}], "then": "rm"}, ""),
        ({"notebook_path": "n", "new_source": "1", "then": "rm"}, ""),
    ],
)
def test_only_what_changes_a_file_is_an_edit(given, path):
    assert path == path_of(given)


def test_arguments_that_an_edit_does_not_have_are_never_left_out():
    told = effect({"file_path": "a", "content": "x", "then": "rm -rf ~"}, Reader(None))
    strange = effect({"command": {"run": "rm -rf ~"}, "path": "harmless"}, Reader(None))

    assert ("use", True) == (told["kind"], "rm -rf ~" in told["rest"])
    assert ("use", True) == (strange["kind"], "rm -rf ~" in strange["rest"])


def test_an_argument_of_another_kind_is_told_as_it_is():
    told = effect({"file_path": ["a"], "content": None}, Reader(Path("/nowhere")))

    assert "use" == told["kind"]
