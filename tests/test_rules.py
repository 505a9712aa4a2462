"""What is allowed: the ladder of permissions and the rules of a policy."""

import pytest

from madrox_nb.rules import LADDER, acted_on, covers, inherited, ruled, suggested


def test_each_step_of_the_ladder_covers_those_below_it():
    for step, more in enumerate(LADDER):
        assert [True] * (step + 1) + [False] * (3 - step) == [covers(more, less) for less in LADDER]


def test_an_unknown_word_covers_nothing_but_the_lowest_step():
    assert ["deny"] == [less for less in LADDER if covers("whatever", less)]


def test_everything_is_never_inherited():
    assert ["deny", "ask", "edits", "edits"] == [inherited(parent) for parent in LADDER]


@pytest.mark.parametrize(
    ("given", "subject"),
    [
        ({"command": "git status", "description": "look"}, "git status"),
        ({"command": ["bash", "-lc", "git status"]}, "bash -lc 'git status'"),
        ({"file_path": "/w/a.csv", "content": "x"}, "/w/a.csv"),
        ({"url": "http://x"}, "http://x"),
        ({"anything": "else"}, "else"),
        ({"n": 5}, ""),
        ({}, ""),
    ],
)
def test_what_a_tool_acts_on_is_found_in_its_input(given, subject):
    assert subject == acted_on(given)


def answer(policy, tool, **given):
    found = ruled(policy, tool, given)
    return None if found is None else found[1]


def test_the_first_rule_that_fits_counts():
    policy = {"Bash(git push*)": "deny", "Bash(git *)": "allow", "mcp__*": "ask", "*": "deny"}

    assert "deny" == answer(policy, "Bash", command="git push --force")
    assert "allow" == answer(policy, "Bash", command="git status")
    assert "ask" == answer(policy, "mcp__db__query", sql="select 1")
    assert "deny" == answer(policy, "WebFetch", url="http://x")
    assert answer({"Edit": "allow"}, "Bash", command="x") is None


@pytest.mark.parametrize(
    "wicked",
    [
        "git status; rm -rf ~",
        "git status && rm -rf ~",
        "git status | sh",
        "git status > /etc/passwd",
        "git log $(rm -rf ~)",
        "git log `rm -rf ~`",
        "git status\nrm -rf ~",
        "git status & rm -rf ~",
        "git log {a,b}",
        "git log \\\n rm",
    ],
)
def test_a_rule_that_allows_one_command_lets_no_second_one_pass(wicked):
    assert answer({"Bash(git *)": "allow"}, "Bash", command=wicked) is None


def test_a_rule_that_allows_has_to_fit_all_that_is_touched_and_one_that_denies_any_of_it():
    policy = {"Edit(/etc/*)": "deny", "Edit(*.csv)": "allow"}
    given = {"content": "looks like.csv"}
    ours, theirs = ("/w/a.csv", "a.csv"), ("/etc/a.csv",)

    assert ("Edit(*.csv)", "allow") == ruled(policy, "Edit", given, [ours])
    assert ("Edit(/etc/*)", "deny") == ruled(policy, "Edit", given, [ours, theirs])
    assert ruled({"Edit(*.csv)": "allow"}, "Edit", given, [ours, theirs]) is None
    assert ruled({"Edit(/data/*)": "allow"}, "Edit", {"file_path": "/data/../etc/passwd"}) is None


def test_a_rule_that_denies_fits_whatever_stands_behind_it():
    assert "deny" == answer({"Bash(rm *)": "deny"}, "Bash", command="rm -rf ~ && echo done")


def test_a_star_in_a_rule_is_the_only_sign_that_means_more_than_itself():
    assert answer({"Bash(echo .)": "allow"}, "Bash", command="echo x") is None
    assert "allow" == answer({"Bash(echo [a])": "allow"}, "Bash", command="echo [a]")
    assert answer({"Bash(": "allow"}, "Bash", command="x") is None


FILE = ("/w/src/refunds/service.py", "src/refunds/service.py")


@pytest.mark.parametrize(
    ("tool", "given", "places", "rules"),
    [
        (
            "Edit",
            {"file_path": FILE[0]},
            [FILE],
            ["Edit(src/refunds/service.py)", "Edit(src/refunds/*)", "Edit"],
        ),
        (
            "Edit",
            {"file_path": "/etc/passwd"},
            [("/etc/passwd",)],
            ["Edit(/etc/passwd)", "Edit(/etc/*)", "Edit"],
        ),
        ("Edit", {"file_path": "a*.py"}, [("/w/a*.py", "a*.py")], ["Edit"]),
        (
            "edit",
            {"changes": []},
            [FILE, ("/w/src/refunds/b", "src/refunds/b")],
            ["edit(src/refunds/*)", "edit"],
        ),
        ("Bash", {"command": "make all"}, [], ["Bash(make all)", "Bash(make *)", "Bash"]),
        ("Bash", {"command": "make && rm -r x"}, [], ["Bash(make && rm -r x)", "Bash"]),
        ("Bash", {"command": "ls *"}, [], ["Bash(ls *)", "Bash"]),
        (
            "WebFetch",
            {"url": "https://a.org/b?c"},
            [],
            ["WebFetch(https://a.org/b?c)", "WebFetch(https://a.org/*)", "WebFetch"],
        ),
        ("mcp__git__log", {}, [], ["mcp__git__log"]),
    ],
)
def test_rules_are_suggested_that_fit_from_the_narrowest_on(tool, given, places, rules):
    assert rules == suggested(tool, given, places)
