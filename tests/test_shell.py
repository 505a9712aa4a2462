"""Which shell commands pass as reading: few, and nothing that could be more."""

import subprocess

import pytest

from madrox_nb.harness.shell import paths_read


@pytest.mark.parametrize(
    ("command", "paths"),
    [
        ("cat a", ["/w/a"]),
        ("cat a b/c", ["/w/a", "/w/b/c"]),
        ("cat /etc/passwd", ["/etc/passwd"]),
        ("cat ../up", ["/w/../up"]),
        ("/bin/bash -lc 'cat a'", ["/w/a"]),
        ("bash -lc 'cat a | head -n 3'", ["/w/a"]),
        ("sh -c 'cat a && tail -5 b; wc -l c || true'", ["/w/a", "/w/b", "/w/c"]),
        ("sed -n '1,80p' src/x.py", ["/w/src/x.py"]),
        ("sed -n 12p a", ["/w/a"]),
        ("sed -n '2,$p' a", ["/w/a"]),
        ("nl -ba a | sed -n 1,20p", ["/w/a"]),
        ("ls", ["/w"]),
        ("ls -la src", ["/w/src"]),
        ("rg --files", ["/w"]),
        ("rg --files src", ["/w/src"]),
        ("rg -n 'def .*$' src", ["/w/src"]),
        ("rg -g '*.py' TODO", ["/w"]),
        ("rg foo -A 3 src", ["/w/src"]),
        ("grep -rn pattern .", ["/w"]),
        ("grep -rn pattern", ["/w"]),
        ("find . -type f -name '*.py' -maxdepth 2", ["/w"]),
        ("cat 'a b' \"c d\"", ["/w/a b", "/w/c d"]),
        ('cat "it\'s"', ["/w/it's"]),
        ("cat 'a'b\"c\"", ["/w/abc"]),
        ("head -c 10 a", ["/w/a"]),
        ("echo ---- && cat a", ["/w/a"]),
        ("pwd", []),
        ("bash -lc 'pwd && ls -la'", ["/w"]),
    ],
)
def test_a_command_that_only_reads_names_what_it_reads(command, paths):
    assert tuple(paths) == paths_read(command, "/w")


@pytest.mark.parametrize(
    "command",
    [
        "",
        "   ",
        "rm a",
        "cat a; rm b",
        "cat a && rm b",
        "cat a | sh",
        "cat a & rm b",
        "cat a\nrm b",
        "cat a > b",
        "cat < a",
        "cat <<EOF\nx\nEOF",
        "cat $HOME/a",
        'cat "$HOME/a"',
        "cat $(rm a)",
        "cat `rm a`",
        'cat "`rm a`"',
        "cat ~/a",
        "cat *",
        "cat [ab]",
        "cat {a,b}",
        "cat a\\ b",
        "cat 'a",
        "cat -",
        "cat a #b",
        "(cat a)",
        "! cat a",
        "X=1 cat a",
        "PATH=. cat a",
        "./cat a",
        "/tmp/cat a",
        "sed -i 1p a",
        "sed -n 'w out' a",
        "sed -n '1e rm' a",
        "sed -n 1,5p -i a",
        "sed -n",
        "sed s/a/b/ a",
        "awk 'BEGIN{system(\"rm a\")}' a",
        "find . -delete",
        "find . -exec rm {} +",
        "find . -fprint out",
        "find -L .",
        "rg --pre sh x",
        "rg -L x",
        "rg -f a x",
        "grep -f /etc/passwd x",
        "grep -R x .",
        "tail -f a",
        "head -n",
        "git status",
        "ls --color=auto a",
        "python3 -c 'print(1)'",
        "bash -lc 'cat a' extra",
        "bash -ic 'cat a'",
        "cat a ||",
        "| cat a",
        "cat a;;cat b",
    ],
)
def test_whatever_might_do_more_does_not_pass(command):
    assert paths_read(command, "/w") is None


@pytest.mark.parametrize(
    "command", ["cat 'a b'", "sed -n '1,$p' a", "grep -rn x", "find . -name 'a*'", "ls", 'cat "it\'s"']
)
def test_a_shell_reads_what_was_said_and_changes_nothing(tmp_path, command):
    for name in ("a", "a b", "it's"):
        (tmp_path / name).write_text("x\n")
    before = sorted(tmp_path.iterdir())
    done = subprocess.run(["bash", "-c", command], cwd=tmp_path, capture_output=True, check=False)

    assert 0 == done.returncode
    assert before == sorted(tmp_path.iterdir())
    assert paths_read(command, str(tmp_path)) is not None
