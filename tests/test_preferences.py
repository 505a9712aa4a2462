"""Settings that are kept by a line of a cell."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from IPython.core.error import UsageError

from madrox_nb import config, preferences
from madrox_nb.errors import BadInput
from madrox_nb.magics import read, settings
from madrox_nb.notebook import Madrox, current


@pytest.fixture
def said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What a person is told; the user's configuration and the working directory are empty."""
    told: list[str] = []
    for setting in config.SETTINGS.values():
        monkeypatch.delenv(setting.metadata["env"] or "_", raising=False)
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "user"))
    monkeypatch.setattr(settings, "notice", told.append)
    return told


def use(line: str) -> Any:
    asked = read(line, None, {})
    return asked.command.carry_out(asked)


def users() -> Path:
    return config.user_dir() / "config.toml"


def test_a_setting_is_kept_for_all_of_the_person_and_seen_with_its_source(said: list[str]) -> None:
    assert "default" == use("config").loc["max_instances", "source"]

    use("config set max_instances 20")

    row = use("config max_instances").loc["max_instances"]
    assert ("20", str(users())) == (row["value"], row["source"])
    assert [f"max_instances = 20 stands in {users()}. It holds from now on"] == said
    assert 20 == config.load().settings.max_instances
    assert current() is None
    assert 0o600 == users().stat().st_mode & 0o777


def test_beside_the_notebook_it_comes_before_that_and_the_environment_before_both(
    said: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    use("config set port 0 --here")
    use("config set port 9000")
    monkeypatch.setenv("ORCHESTRATOR_PORT", "9001")
    use("config set port 1 --here")

    here = Path.cwd() / "madrox.toml"
    assert said[0].endswith("It holds from now on")
    assert said[1].endswith(f"But {here} comes before it: %madrox config port")
    assert said[2].endswith("But ORCHESTRATOR_PORT comes before it: %madrox config port")
    assert ("9001", "ORCHESTRATOR_PORT") == tuple(use("config port").loc["port", ["value", "source"]])


def test_the_open_madrox_goes_on_as_it_began_and_what_holds_at_once_is_named(
    said: list[str], tmp_path: Path
) -> None:
    with Madrox(home=tmp_path / "home", port=0, harnesses=("rehearsal",)) as madrox:
        use("config set max_usd 5")
        use("config set stop_grace 1")

        assert ["0.0", "2.0"] == [
            use(f"config {name}").iloc[0]["value"] for name in ("max_usd", "stop_grace")
        ]
        assert madrox.config().loc["max_usd", "value"] == "0.0"
    assert "goes on as it began. At once: %madrox limit --usd N. It holds for the next one" in said[0]
    assert "goes on as it began. It holds for the next one: after %madrox close" in said[1]
    assert (5.0, 1.0) == (config.load().settings.max_usd, config.load().settings.stop_grace)


@pytest.mark.parametrize(
    ("line", "kept"),
    [
        ("set harnesses codex claude", ("codex", "claude")),
        ("set permissions edits", "edits"),
        ("set attended no", "no"),
        ("set on_kernel_death keep:600", "keep:600"),
        ("set policy \"{'Bash(git *)' = 'allow', '*' = 'ask'}\"", {"Bash(git *)": "allow", "*": "ask"}),
        ("set max_usd 2.5", 2.5),
        ("set log_level debug", "DEBUG"),
    ],
)
def test_every_kind_of_value_is_kept_and_read_again(said: list[str], line: str, kept: Any) -> None:
    use("config set policy \"{'*' = 'deny'}\"")  # a table at the end: what follows must not fall into it

    use(f"config {line}")

    assert kept == getattr(config.load().settings, line.split()[1])


def test_a_path_stays_as_it_was_said(
    said: list[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))

    use("config set home ~/agents")

    assert 'home = "~/agents"\n' == users().read_text()
    assert tmp_path / "agents" == config.load().settings.home


def test_all_else_in_the_file_stays_and_a_link_stays_a_link(said: list[str], tmp_path: Path) -> None:
    dotfile = tmp_path / "dotfiles.toml"
    dotfile.write_text("# mine\nport = 1  # of old\n\n[acp.mine]\ncommand = 'x'\n")
    dotfile.chmod(0o640)
    users().parent.mkdir(parents=True)
    users().symlink_to(dotfile)

    use("config set port 2")
    use("config set max_depth 3")

    assert (
        "# mine\nport = 2 # of old\nmax_depth = 3\n\n[acp.mine]\ncommand = 'x'\n"
        == dotfile.read_text().replace("2  #", "2 #")
    )
    assert users().is_symlink()
    assert 0o640 == dotfile.stat().st_mode & 0o777
    assert ["dotfiles.toml"] == [each.name for each in tmp_path.iterdir() if "dotfiles" in each.name]


def test_a_setting_is_taken_out_again(said: list[str]) -> None:
    use("config set max_depth 3")
    use("config unset max_depth")
    use("config unset max_depth")

    assert "" == users().read_text()
    assert (
        f"max_depth is gone from {users()}. Its value is '0', from default. It holds from now on" == said[1]
    )
    assert said[2].startswith(f"max_depth does not stand in {users()}")


@pytest.mark.parametrize(
    ("line", "error", "message"),
    [
        ("set max_instance 3", BadInput, "Did you mean 'max_instances'"),
        ("set max_instances many", BadInput, "max_instances = 'many' .*: not a whole number"),
        ("set permissions all", BadInput, "that is given to one agent, by name"),
        ("set policy deny", BadInput, "policy is a table: write it as TOML does"),
        ("set acp x", BadInput, r"\[acp\] holds tables by name"),
        ("set max_usd -1", BadInput, "must not be negative"),
        ("set max_instances", UsageError, "say which setting and its value"),
        ("set", UsageError, "say which setting and its value"),
        ("unset", UsageError, "say which setting"),
        ("max_instances 20", UsageError, "did you mean %madrox config set max_instances 20"),
        ("max_instance", BadInput, "Did you mean 'max_instances'"),
    ],
)
def test_what_can_not_be_kept_says_why_and_changes_nothing(
    said: list[str], line: str, error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        use(f"config {line}")

    assert not users().exists()
    assert [] == said


def test_a_file_that_can_not_be_read_or_written_is_left_as_it_is(said: list[str], tmp_path: Path) -> None:
    broken = tmp_path / "broken.toml"
    broken.write_text("port = = 1")
    with pytest.raises(BadInput, match="Mend it first; nothing was changed"):
        preferences.keep("port", "2", broken)
    assert "port = = 1" == broken.read_text()

    (tmp_path / "file").write_text("")
    with pytest.raises(BadInput, match="cannot read the settings in"):
        preferences.keep("port", "2", tmp_path / "file" / "config.toml")


@pytest.mark.skipif(
    not Path("/proc/self").exists(), reason="a file system that takes no files: run it on Linux"
)
def test_a_place_that_takes_no_file_is_named() -> None:
    with pytest.raises(BadInput, match=r"cannot write the settings into /proc/madrox/config\.toml"):
        preferences.keep("port", "2", Path("/proc/madrox/config.toml"))
