"""What a line of a cell can do, held against the person's Python, the tools and the terminal."""

from __future__ import annotations

import argparse
from typing import Final

import pytest

from madrox_nb import cli, grammar, tools
from madrox_nb.calls import TOOLS
from madrox_nb.magics import COMMANDS, read
from madrox_nb.magics.completion import NAMED
from madrox_nb.magics.table import IN_A_TERMINAL, OTHER_WORDS
from madrox_nb.notebook import AsyncMadrox, Madrox

SEVERAL = "a line for each of them is as short"
NO_LINE: Final = {
    "spawn_multiple_instances": SEVERAL,
    "get_multiple_instance_outputs": SEVERAL,
    "list_multiple_instance_files": SEVERAL,
    "retrieve_multiple_instance_files": SEVERAL,
    "reply_to_caller": "nobody waits for the person: post tells an agent something",
    "get_dashboard_url": "the person watches in the notebook that this line stands in",
}
"""Tools that a cell has no line for, and why."""
OTHER_NAMES: Final = {
    "limits": "limit",
    "resume_team": "team --resume",
    "team_run": "team --status",
    "team_runs": "teams --started",
    "templates": "teams",
    "terminate": "stop --tree",
    "tokens": "token list",
    "widget": "view",
}
"""What `Madrox` calls otherwise."""
IN_PYTHON_ALONE: Final = {
    "call": "each tool has a line of its own",
    "manager": "the core, for programs",
    "secret": "a secret in a line would stand in the notebook and its history",
}


def names(face: type) -> set[str]:
    return {name for name in dir(face) if not name.startswith("_")}


def lines() -> list[str]:
    return [*grammar.COMMANDS.values(), *OTHER_NAMES.values(), *OTHER_WORDS.values()]


def test_every_verb_and_view_of_the_face_has_a_line() -> None:
    told = {*COMMANDS, *OTHER_NAMES, *IN_PYTHON_ALONE}

    assert set() == names(Madrox) - told
    assert set() == {*OTHER_NAMES, *IN_PYTHON_ALONE} - names(Madrox)
    assert names(Madrox) == names(AsyncMadrox)


def test_every_tool_has_a_line_or_a_reason_for_having_none() -> None:
    assert tools.__all__

    assert set(TOOLS) == {*grammar.COMMANDS, *NO_LINE}
    assert set() == grammar.COMMANDS.keys() & NO_LINE.keys()


def test_every_command_of_the_terminal_has_a_line_or_starts_what_a_cell_is_in() -> None:
    [commands] = [each for each in cli.parser()._actions if isinstance(each, argparse._SubParsersAction)]

    assert set() == set(commands.choices) - {*COMMANDS, *IN_A_TERMINAL}
    assert set(IN_A_TERMINAL) <= set(commands.choices)


@pytest.mark.parametrize("line", sorted(set(lines())))
def test_a_line_that_stands_for_something_is_one(line: str) -> None:
    name, *options = line.split()

    assert {each for each in options if each.startswith("-")} <= {
        *COMMANDS[name].parser._option_string_actions
    }


@pytest.mark.parametrize("command", COMMANDS.values(), ids=lambda command: command.name)
def test_a_command_has_help_an_example_that_can_be_read_and_names_that_are_completed(command) -> None:
    told = command.parser.format_help()
    named = {each.completes for each in command.parser._actions if getattr(each, "completes", "")}

    assert told.endswith(f"example:\n  {command.example}\n")
    assert command is read(command.example.removeprefix("%madrox "), None, {}).command
    assert named <= NAMED.keys()
    assert not command.about.endswith(".")


@pytest.mark.parametrize(
    ("told", "said"),
    [
        ("no jobs yet: coordinate_instances starts one", "no jobs yet: %madrox coordinate starts one"),
        ("resume_team trio.1 goes on", "%madrox team --resume trio.1 goes on"),
        ("spawn_instance NAME parent_instance_id=lead", "%madrox spawn NAME --parent lead"),
        ("set_limits lead max_total_tokens=200", "%madrox limit lead --tokens 200"),
        ("terminate_instance bob force=true", "%madrox stop bob --force"),
        ("my_get_costs is no tool", "my_get_costs is no tool"),
    ],
)
def test_what_a_tool_says_of_tools_is_said_in_lines(told: str, said: str) -> None:
    assert said == grammar.in_commands(told, "%madrox")
