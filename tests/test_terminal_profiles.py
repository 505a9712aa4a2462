"""What a profile says of a program, and how its terminal's words are read."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
from terminals import brief

from madrox_nb import profiles
from madrox_nb.errors import BadInput
from madrox_nb.harness import Unreadable
from madrox_nb.harness.profile import SHELL, profile, quoted, typed
from madrox_nb.harness.spoken import printed
from madrox_nb.harness.terminal import Terminal

MINIMAL = {"command": "tool", "prompt": "^> "}


def test_a_profile_says_how_a_program_is_started() -> None:
    cls = Terminal.like(
        profile(
            "tool",
            MINIMAL
            | {
                "args": ["chat", "--name={agent}", "{other}"],
                "model": ["-m", "{model}"],
                "instructions": ["--role", "{files}/role.md"],
                "files": {"role.md": "You: {instructions}"},
                "permissions": {"all": ["--yolo"]},
                "env": {"TERM": "dumb"},
                "size": [50, 120],
            },
        )
    )
    launch = cls(brief(model="m1", instructions="Be kind. {agent}", extra_args=("-x",))).launch()

    assert (
        "/bin/tool",
        "chat",
        "--name=lead",
        "{other}",
        "-m",
        "m1",
        "--role",
        "/f/role.md",
        "-x",
    ) == launch.argv
    assert {"role.md": "You: Be kind. {agent}"} == launch.files
    assert ("pty", (50, 120), {"TERM": "dumb"}) == (launch.wire, launch.screen, launch.env)
    assert ("/bin/tool", "chat", "--name=lead", "{other}") == cls(brief()).launch().argv
    assert "--yolo" in cls(brief(permissions="all")).launch().argv
    assert ("tool", ("tool",)) == (cls.name, cls.commands)


def test_features_are_what_a_terminal_can_give() -> None:
    family = Terminal.family({"terminal": profiles.read([profiles.SHIPPED])})

    assert {"aider", "claude-screen", "codex-screen", "ipython", "llm", "ollama", "python", "shell"} == set(
        family
    )
    assert ["multi_turn", "interrupt"] == family["shell"].features.names()
    assert ["multi_turn"] == family["llm"].features.names()  # Ctrl-C ends it
    told = {name for name, cls in family.items() if cls.instructed}
    assert {"aider", "claude-screen", "codex-screen", "llm", "ollama"} == told
    assert {} == Terminal.family({})


@pytest.mark.parametrize("name", ["claude-screen", "codex-screen"])
def test_a_bypass_is_switched_on_for_permissions_all_alone(name: str) -> None:
    cls = Terminal.family({"terminal": profiles.read([profiles.SHIPPED])})[name]
    argv = {
        kind: " ".join(cls(brief(permissions=kind)).launch().argv) for kind in ("deny", "ask", "edits", "all")
    }

    assert ["all"] == [kind for kind, said in argv.items() if "bypass" in said or "danger" in said]


@pytest.mark.parametrize(
    ("keys", "said"),
    [
        ({"promt": "x"}, r"there is no key 'promt'. Did you mean 'prompt'\?"),
        ({"promt": "x", "prompt": None}, r"there is no key 'promt'. Did you mean 'prompt'\?"),
        ({"prompt": ""}, "has no 'prompt'"),
        ({"command": None}, "has no 'command'"),
        ({"prompt": "("}, "prompt is no regular expression"),
        ({"prompt": "x*"}, "prompt matches nothing at all"),
        ({"stays": "long"}, "stays is 'long' and should be a number"),
        ({"paints": 1}, "paints is 1 and should be true or false"),
        ({"size": [0, 80]}, r"size is \[0, 80\] and should be \[rows, columns\]"),
        (
            {"dialogs": [{"see": "x", "anser": "y"}]},
            "dialogs: there is no key 'anser'. Did you mean 'answer'",
        ),
        ({"dialogs": [{"see": "(", "answer": "y"}]}, r"dialogs\[0\].see is no regular expression"),
        ({"env": {"A": 1}}, "env is {'A': 1} and should be a table of texts"),
        ({"instructions": "second"}, "instructions is 'second' and should be"),
        ({"permissions": {"some": []}}, "permissions is"),
        ({"submit": "x"}, "submit has neither"),
        ({"paints": True}, "needs 'busy' or 'began'"),
    ],
)
def test_a_wrong_key_is_named_with_its_place(keys: dict[str, Any], said: str) -> None:
    with pytest.raises(ValueError, match=said) as failure:
        profile("mine", MINIMAL | keys, "mine.toml")
    assert str(failure.value).startswith("profile 'mine' (mine.toml)")


def test_a_profile_without_a_place_is_looked_for_in_both() -> None:
    with pytest.raises(ValueError, match=r"profile 'mine' \(profiles/mine\.toml, or \[terminal\.mine\]\)"):
        profile("mine", {"command": "mine"})


def test_the_nearer_folder_wins_and_a_file_that_is_no_toml_is_named(tmp_path: Path) -> None:
    near = tmp_path / "near"
    near.mkdir()
    (near / "shell.toml").write_text('command = "zsh"\nprompt = "^% "\n')
    assert "zsh" == profiles.read([near, profiles.SHIPPED])["shell"]["command"]

    (near / "torn.toml").write_text("command = ")
    with pytest.raises(BadInput, match=r"torn\.toml is no profile"):
        profiles.read([near])


@pytest.mark.parametrize("text", ['it\'s \\ $x `y` "z"', "tab\tand\nline", "€ ☃ \x07", "\ud800"])
def test_a_word_for_the_shell_is_ascii_without_a_line_end(text: str) -> None:
    word = quoted(text)

    assert word.isascii()
    assert "\n" not in word
    assert text.encode(errors="replace") == eval(f"b'{word[2:-1]}'")  # the same escapes, in Python


def test_a_tag_is_no_part_of_the_text() -> None:
    made = profile("tool", MINIMAL | {"multi_line": "<{tag}\n{text}\n{tag}>"})

    assert "<t1xx\na t1x\nb\nt1xx>" == typed(made, "a t1x\nb", "t1")
    assert "one line" == typed(made, "one line", "t1")


@pytest.mark.parametrize(
    ("text", "seen"),
    [
        ("a\r\nb\r\n", "a\nb\n"),
        ("10%\r50%\r100%\n", "100%\n"),
        ("abc\b\b\bxyz", "xyz"),
        ("ab\b\b\b\bc", "c"),
        ("plain", "plain"),
    ],
)
def test_lines_that_were_written_anew_count_as_they_were_last(text: str, seen: str) -> None:
    assert seen == printed(text)


@pytest.mark.parametrize(
    "prompt", ["bash-5.2$ ", "sh-5.1# ", "ann@host:~/work$ ", "[ann@host work]$ ", "(base) ann@host ~ % "]
)
def test_the_prompts_of_shells_are_known(prompt: str) -> None:
    assert re.search(rf"(?:{SHELL})\Z", f"Segmentation fault\n{prompt}", re.MULTILINE)


@pytest.mark.parametrize("text", [">>> ", "costs 5$ ", "100% ", "mail ann@host.org ", "$ "])
def test_other_endings_are_no_shell(text: str) -> None:
    assert not re.search(rf"(?:{SHELL})\Z", f"An answer\n{text}", re.MULTILINE)


@pytest.mark.parametrize(
    "line", ["not json", "[]", "{}", '{"fact": "saw"}', '{"fact": "saw", "name": "dialog 7"}']
)
def test_what_is_no_word_of_the_terminal_is_noise(line: str) -> None:
    agent = Terminal.like(profile("tool", MINIMAL))(brief())

    with pytest.raises(Unreadable):
        agent.read(line)


def test_an_agent_that_is_idle_is_not_interrupted() -> None:
    agent = Terminal.like(profile("tool", MINIMAL))(brief())

    assert [] == list(agent.interrupt())
    assert ["type", "expect"] == [json.loads(line)["do"] for line in agent.prompt("lead.t1", "hi")]
    assert ["press", "expect"] == [json.loads(line)["do"] for line in agent.interrupt()]
