"""Settings, and where each came from."""

from pathlib import Path

import pytest

from madrox_nb.config import SETTINGS, Settings, config_files, load
from madrox_nb.errors import BadInput


@pytest.fixture
def read(tmp_path):
    """`load` in an empty directory, with nothing but what the test says."""

    def read(arguments=None, environ=None, files=()):
        paths = []
        for number, text in enumerate(files):
            paths.append(tmp_path / f"{number}.toml")
            paths[-1].write_text(text, encoding="utf-8")
        return load(arguments, environ=environ or {}, cwd=tmp_path, files=tuple(paths))

    return read


def test_without_a_word_the_defaults_hold_and_the_home_is_beside_the_notebook(read, tmp_path):
    config = read()

    assert {"default"} == set(config.sources.values())
    assert (tmp_path / ".madrox", tmp_path / ".madrox" / "work", tmp_path / ".madrox") == (
        config.settings.home,
        config.settings.work,
        config.settings.logs,
    )
    assert ("127.0.0.1", 8001, 10, "auto", ("claude", "codex")) == (
        config.settings.host,
        config.settings.port,
        config.settings.max_instances,
        config.settings.permissions,
        config.settings.harnesses,
    )


def test_arguments_go_before_environment_before_files_the_nearer_first(read):
    config = read(
        {"port": 1},
        {"ORCHESTRATOR_PORT": "2", "MAX_INSTANCES": "2"},
        ["port = 3\nmax_instances = 3\nstop_grace = 3", "port = 4\nstop_grace = 4\nretention_days = 4"],
    )
    chosen = config.settings

    assert (1, 2, 3.0, 4) == (chosen.port, chosen.max_instances, chosen.stop_grace, chosen.retention_days)
    assert ("argument", "MAX_INSTANCES") == (config.sources["port"], config.sources["max_instances"])
    assert config.sources["stop_grace"].endswith("0.toml")
    assert config.sources["retention_days"].endswith("1.toml")


SPOKEN = {
    "log_level": "debug",
    "permissions": "edits",
    "attended": "no",
    "insecure": "yes",
    "on_kernel_death": "keep:60",
    "host": "0.0.0.0",
}
BY_VARIABLE = [name for name, setting in SETTINGS.items() if setting.metadata["env"]]


@pytest.mark.parametrize("name", BY_VARIABLE)
def test_every_setting_can_be_set_by_its_variable(read, name):
    spoken = SPOKEN.get(name, "7")
    variable = SETTINGS[name].metadata["env"]

    config = read(environ={variable: spoken})

    assert variable == config.sources[name]
    assert getattr(Settings(), name) != getattr(config.settings, name)


def test_the_variables_of_the_seed_are_honoured():
    assert {
        "home": "MADROX_HOME",
        "host": "ORCHESTRATOR_HOST",
        "port": "ORCHESTRATOR_PORT",
        "max_instances": "MAX_INSTANCES",
        "workspace_dir": "WORKSPACE_DIR",
        "log_dir": "LOG_DIR",
        "log_level": "LOG_LEVEL",
    }.items() <= {name: field.metadata["env"] for name, field in SETTINGS.items()}.items()


def test_an_argument_of_none_and_an_empty_variable_say_nothing(read):
    config = read({"port": None}, {"ORCHESTRATOR_PORT": ""})

    assert (8001, "default") == (config.settings.port, config.sources["port"])


def test_paths_are_absolute_wherever_they_come_from(read, tmp_path):
    config = read({"home": "here"}, {"WORKSPACE_DIR": "../there", "LOG_DIR": str(tmp_path / "logs")})

    assert tmp_path / "here" == config.settings.home
    assert tmp_path.parent / "there" == config.settings.work
    assert tmp_path / "logs" == config.settings.logs


def test_a_tilde_is_the_users_own_directory(read, monkeypatch, tmp_path):
    monkeypatch.setenv("HOME", str(tmp_path / "me"))

    assert tmp_path / "me" / "madrox" == read({"home": "~/madrox"}).settings.home


def test_values_are_what_they_should_be(read):
    chosen = read(
        {"home": Path("x"), "harnesses": ["a", "b"]},
        {"MADROX_START_TIMEOUT": "1.5", "LOG_LEVEL": "debug", "ORCHESTRATOR_HOST": "localhost"},
    ).settings

    assert (("a", "b"), 1.5, "DEBUG", "127.0.0.1") == (
        chosen.harnesses,
        chosen.start_timeout,
        chosen.log_level,
        chosen.host,
    )


def test_harnesses_are_listed_with_commas_or_spaces(read):
    assert ("a", "b", "c") == read(environ={"MADROX_HARNESSES": "a, b c"}).settings.harnesses


@pytest.mark.parametrize(
    ("name", "wrong"),
    [
        ("port", "abc"),
        ("port", -1),
        ("port", 80.5),
        ("port", True),
        ("start_timeout", "soon"),
        ("start_timeout", float("nan")),
        ("stop_grace", -0.1),
        ("stop_grace", False),
        ("log_level", "LOUD"),
        ("permissions", "none"),
        ("permissions", "all"),
        ("attended", "maybe"),
        ("insecure", "perhaps"),
        ("tls_cert", ""),
        ("policy", "Bash"),
        ("policy", {"Bash": "perhaps"}),
        ("on_kernel_death", "keep"),
        ("on_kernel_death", "keep:soon"),
        ("on_kernel_death", "kill:5"),
        ("idle_timeout", -1),
        ("approval_timeout", "never"),
        ("harnesses", 5),
        ("harnesses", ["claude", 5]),
        ("home", 5),
        ("home", ""),
        ("home", "  "),
        ("home", "~nobody-of-that-name/x"),
        ("host", True),
    ],
)
def test_a_wrong_value_is_answered_with_its_setting_its_source_and_itself(read, name, wrong):
    with pytest.raises(BadInput) as caught:
        read({name: wrong})

    assert str(caught.value).startswith(f"{name} = {wrong!r} (from argument): ")


def test_a_wrong_value_in_the_environment_is_laid_at_the_variables_door(read):
    with pytest.raises(BadInput, match=r"max_instances = 'many' \(from MAX_INSTANCES\)"):
        read(environ={"MAX_INSTANCES": "many"})


def test_a_name_that_is_no_setting_is_answered_with_the_nearest(read):
    with pytest.raises(BadInput, match=r"an argument names no setting: 'prot'. Did you mean 'port'\?"):
        read({"prot": 1})
    with pytest.raises(BadInput, match=r"0\.toml names no setting: 'hme'. Did you mean 'home'\?"):
        read(files=["hme = 'x'"])


def test_a_table_is_no_argument_and_its_place_is_named(read):
    with pytest.raises(BadInput, match=r"'acp' is a table, write \[acp.NAME\] into madrox.toml"):
        read({"acp": {"mine": {"command": "x"}}})


# files


def test_only_a_policy_can_be_given_by_no_variable():
    assert {"policy"} == set(SETTINGS) - set(BY_VARIABLE)


def test_rules_of_a_policy_keep_their_order(read):
    config = read(files=["[policy]\n'Bash(git *)' = 'allow'\n'*' = 'deny'"])

    assert [("Bash(git *)", "allow"), ("*", "deny")] == list(config.settings.policy.items())
    assert {"*": "ask"} == read({"policy": {"*": "ask"}}, files=["[policy]\nBash = 'deny'"]).settings.policy
    shown = next(row for row in config.rows() if row["setting"] == "policy")
    assert "Bash(git *) = allow, * = deny" == shown["value"]


def test_tables_about_harnesses_are_merged_by_name_the_nearer_file_first(read):
    near = "[harness.claude]\nmodel = 'near'\n[acp.mine]\ncommand = ['x']"
    far = "[harness.claude]\nmodel = 'far'\n[harness.codex]\nmodel = 'far'\n[terminal.repl]\nready = '>'"

    assert {
        "harness": {"claude": {"model": "near"}, "codex": {"model": "far"}},
        "acp": {"mine": {"command": ["x"]}},
        "terminal": {"repl": {"ready": ">"}},
    } == read(files=[near, far]).settings.tables


def test_a_table_that_is_none_of_ours_is_answered_with_the_nearest(read):
    with pytest.raises(BadInput, match=r"names no setting: 'harnes'. Did you mean 'harness'"):
        read(files=["[harnes.claude]\nmodel = 'x'"])
    with pytest.raises(BadInput, match=r"\[harness\] holds tables by name, such as \[harness.model\]"):
        read(files=["[harness]\nmodel = 'x'"])


def test_a_file_is_utf_8_whatever_the_locale(read, tmp_path):
    assert tmp_path / "Büro" == read(files=["home = 'Büro'"]).settings.home


@pytest.mark.parametrize("broken", [b"port = ", b"\xff\xfe"])
def test_a_file_that_cannot_be_read_is_named(tmp_path, broken):
    path = tmp_path / "madrox.toml"
    path.write_bytes(broken)

    with pytest.raises(BadInput, match=r"cannot read the settings in .*madrox\.toml"):
        load(environ={}, cwd=tmp_path, files=(path,))


def test_a_file_that_is_not_there_says_nothing(tmp_path):
    assert 8001 == load(environ={}, cwd=tmp_path, files=(tmp_path / "none.toml",)).settings.port


def test_the_file_beside_the_notebook_is_nearer_than_the_users_own(tmp_path):
    near, far = config_files(tmp_path)

    assert tmp_path / "madrox.toml" == near
    assert far.is_absolute()


# shown


def test_every_setting_is_shown_with_its_source_and_its_meaning(read):
    rows = {row["setting"]: row for row in read({"harnesses": ("a", "b")}).rows()}

    assert set(SETTINGS) == set(rows)
    assert ("a, b", "argument", "MADROX_HARNESSES") == tuple(
        rows["harnesses"][column] for column in ("value", "source", "environment")
    )
    assert ("", "default") == (rows["log_dir"]["value"], rows["log_dir"]["source"])
    assert all(row["meaning"] for row in rows.values())
