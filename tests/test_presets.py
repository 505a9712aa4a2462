"""MCP servers by name: those that come with madrox, and those of a project."""

import json
import logging

import pytest

from madrox_nb import get_mcp_servers, presets
from madrox_nb.errors import BadInput

SEED = [
    *("playwright", "memory", "filesystem", "github", "postgres"),
    *("sqlite", "brave-search", "puppeteer", "slack", "google-drive"),
]


def test_the_ten_of_the_seed_are_there():
    assert SEED == list(presets._ours())


@pytest.mark.parametrize("name", SEED)
def test_each_says_what_it_is_for_and_none_is_a_package_that_was_given_up(name):
    preset = presets._ours()[name]
    retired = ("github", "postgres", "brave-search", "puppeteer", "slack", "gdrive")
    words = (preset.server.command, *preset.server.args)

    assert preset.about
    assert preset.by
    assert preset.needs
    assert not {f"@modelcontextprotocol/server-{each}" for each in retired} & {*words}


@pytest.mark.parametrize(
    ("name", "variables"),
    [
        ("playwright", ()),
        ("memory", ()),
        ("filesystem", ()),
        ("sqlite", ()),
        ("puppeteer", ()),
        ("github", ("GITHUB_PERSONAL_ACCESS_TOKEN",)),
        ("postgres", ("DATABASE_URI",)),
        ("brave-search", ("BRAVE_API_KEY",)),
        ("slack", ("SLACK_BOT_TOKEN", "SLACK_TEAM_ID")),
        ("google-drive", ("GOOGLE_DRIVE_OAUTH_CREDENTIALS",)),
    ],
)
def test_each_says_which_variables_it_can_not_do_without(name, variables):
    preset = presets._ours()[name]

    assert variables == preset.variables
    assert variables == preset.missing({})
    assert () == preset.missing(dict.fromkeys(variables, "x"))


def test_the_seeds_call_returns_what_spawn_takes():
    found = get_mcp_servers("playwright", "brave-search")

    assert ["playwright", "brave-search"] == list(found)
    assert "npx" == found["playwright"]["command"]
    assert {"BRAVE_API_KEY": "${BRAVE_API_KEY}"} == found["brave-search"]["env"]
    assert list(found) == list(presets.wanted(found))


def test_single_keys_can_be_replaced_and_servers_added():
    found = get_mcp_servers(
        "brave-search", brave_search={"env": {"BRAVE_API_KEY": "${MINE}"}}, box={"command": "box"}
    )

    assert {"BRAVE_API_KEY": "${MINE}"} == found["brave-search"]["env"]
    assert {"type": "stdio", "command": "box"} == found["box"]


def test_an_unknown_name_is_refused_with_the_nearest():
    with pytest.raises(BadInput, match=r"no MCP preset 'playwrite'. Did you mean 'playwright'\?"):
        get_mcp_servers("playwrite")


@pytest.mark.parametrize(
    ("given", "names"),
    [
        (["memory", "playwright"], ["memory", "playwright"]),
        ("memory, playwright", ["memory", "playwright"]),
        ('["memory"]', ["memory"]),
        ('{"box": {"command": "x"}}', ["box"]),
        ({"box": {"command": "x"}}, ["box"]),
    ],
)
def test_servers_are_given_as_names_a_table_or_json(given, names):
    assert names == list(presets.wanted(given))


@pytest.mark.parametrize(("given", "said"), [('{"box": ', "is no JSON"), (7, "a table of servers")])
def test_what_is_none_of_these_is_refused(given, said):
    with pytest.raises(BadInput, match=said):
        presets.wanted(given)


def test_a_projects_own_servers_come_first_and_their_paths_are_the_projects(tmp_path):
    own = {
        "memory": {"command": "tools/memory", "args": ["./data", "plain"], "env": {"T": "${T:-x}"}},
        "wrong name": {"command": "x"},
        "broken": {"command": 7},
        "far": {"type": "http", "url": "https://x.example/", "autoApprove": ["*"]},
    }
    (tmp_path / ".mcp.json").write_text(json.dumps({"mcpServers": own}))
    found = presets.presets(tmp_path)

    assert str(tmp_path / ".mcp.json") == found["memory"].source
    assert f"{tmp_path}/tools/memory" == found["memory"].server.command
    assert (f"{tmp_path}/data", "plain") == found["memory"].server.args
    assert {*SEED, "far"} == {*found}


@pytest.mark.parametrize("text", ["{", "[]", '{"servers": {}}', '{"mcpServers": 7}'])
def test_a_broken_project_file_is_passed_over_with_a_warning(tmp_path, text, caplog):
    (tmp_path / ".mcp.json").write_text(text)
    with caplog.at_level(logging.WARNING):
        found = presets.presets(tmp_path)

    assert SEED == list(found)
    assert ".mcp.json can't be read" in caplog.text
