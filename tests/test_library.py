"""What is installed, and where roles come from."""

import sys

import pytest

from madrox_nb import library, profiles
from madrox_nb.errors import BadInput, HarnessNotFound, UnknownHarness, UnknownRole
from madrox_nb.harness import Harness
from madrox_nb.harness.rehearsal import Rehearsal
from madrox_nb.inventory import inventory
from madrox_nb.library import Defaults, Harnesses

ROLES = (
    "architect",
    "backend_developer",
    "code_reviewer",
    "data_analyst",
    "debugger",
    "documentation_writer",
    "frontend_developer",
    "general",
    "security_analyst",
    "testing_specialist",
)


class Stranger(Harness):
    name = "stranger"
    commands = ("strange", "stranger-cli")
    provides = "npm install -g strange"


@pytest.fixture
def bin_directory(tmp_path):
    place = tmp_path / "bin"
    place.mkdir()
    return place


@pytest.fixture
def program(bin_directory):
    """Makes a program of that name and returns its path."""

    def make(name):
        path = bin_directory / name
        path.write_text("#!/bin/sh\n")
        path.chmod(0o755)
        return str(path)

    return make


@pytest.fixture(autouse=True)
def nobody_at_home(tmp_path, monkeypatch):
    """No roles of the person who runs the tests; a stranger's harness is lent."""
    monkeypatch.setenv("HOME", str(tmp_path / "nobody"))
    monkeypatch.setattr(library, "user_dir", lambda: tmp_path / "config")
    monkeypatch.setattr(library, "_lent", {"stranger": Stranger})


# harnesses


def test_rehearsal_enters_through_the_door_that_strangers_use():
    assert library.FALLBACK in Harnesses()
    assert Rehearsal is Harnesses()["rehearsal"]


def test_a_harness_can_be_lent_without_being_installed(monkeypatch):
    monkeypatch.setattr(library, "_lent", {})

    assert "stranger" not in Harnesses()
    assert Stranger is library.lend(Stranger) is Harnesses()["stranger"]
    assert {"rehearsal", "stranger"} <= set(Harnesses())


def test_an_unknown_harness_is_answered_with_the_nearest():
    with pytest.raises(UnknownHarness, match=r"'rehersal'. Did you mean 'rehearsal'\?"):
        Harnesses()["rehersal"]


def test_a_harness_is_found_under_the_first_of_its_names(program, bin_directory):
    second, environ = program("stranger-cli"), {"PATH": str(bin_directory)}
    assert (second,) == Harnesses({}, environ).command("stranger")

    first = program("strange")
    assert (first,) == Harnesses({}, environ).command("stranger")


def test_a_variable_says_which_program_it_is(program, bin_directory):
    program("strange")
    mine = program("mine")

    for said in ("mine", mine):
        environ = {"PATH": str(bin_directory), "MADROX_STRANGER_BIN": said}
        assert (mine,) == Harnesses({}, environ).command("stranger")


def test_a_variable_that_names_no_program_is_no_excuse_to_look_elsewhere(program, bin_directory):
    program("strange")

    with pytest.raises(HarnessNotFound, match="MADROX_STRANGER_BIN is 'nothing'"):
        Harnesses({}, {"PATH": str(bin_directory), "MADROX_STRANGER_BIN": "nothing"}).command("stranger")


def test_a_missing_cli_is_answered_with_how_to_get_it(bin_directory):
    with pytest.raises(
        HarnessNotFound,
        match=r"no 'strange' or 'stranger-cli' on PATH.*npm install.*MADROX_STRANGER_BIN.*rehearsal",
    ):
        Harnesses({}, {"PATH": str(bin_directory)}).command("stranger")


def test_rehearsal_is_installed_where_nothing_is():
    assert sys.executable == Harnesses({}, {"PATH": ""}).command("rehearsal")[0]
    assert Harnesses({}, {"PATH": "/nowhere"}).installed("rehearsal")
    assert not Harnesses({}, {"PATH": "/nowhere"}).installed("no such harness")


def test_the_first_that_is_installed_is_chosen_else_rehearsal(program, bin_directory):
    here = Harnesses({}, {"PATH": str(bin_directory)})
    assert "rehearsal" == here.choose(("stranger",))
    assert "rehearsal" == here.choose(())

    program("strange")
    assert "stranger" == here.choose(("claude", "stranger", "rehearsal"))
    with pytest.raises(UnknownHarness, match="Did you mean 'stranger'"):
        here.choose(("strangr",))


def test_the_configuration_says_what_starts_a_harness_and_with_which_model(program, bin_directory):
    table = {"command": "mine --fast", "model": "m-1", "extra_args": ["--quiet"]}
    mine, environ = program("mine"), {"PATH": str(bin_directory)}
    here = Harnesses({"harness": {"stranger": table}}, environ)

    assert (mine, "--fast") == here.command("stranger")
    assert Defaults(("mine", "--fast"), "m-1", ("--quiet",)) == here.defaults("stranger")
    assert "stranger" == here.choose(("stranger",))


def test_the_environment_comes_before_the_file(program, bin_directory):
    other = program("other")
    environ = {"PATH": str(bin_directory), "MADROX_STRANGER_BIN": "other", "MADROX_MODEL_STRANGER": "m-2"}
    here = Harnesses({"harness": {"stranger": {"command": "mine", "model": "m-1"}}}, environ)

    assert (other,) == here.command("stranger")
    assert "m-2" == here.defaults("stranger").model


def test_a_configured_program_that_is_not_there_is_no_excuse_to_look_elsewhere(program, bin_directory):
    program("strange")
    here = Harnesses({"harness": {"stranger": {"command": ["mine"]}}}, {"PATH": str(bin_directory)})

    with pytest.raises(HarnessNotFound, match=r"\[harness.stranger\] command is 'mine'"):
        here.choose(("stranger",))


def test_a_key_that_no_harness_knows_is_answered_with_the_nearest():
    here = Harnesses({"harness": {"stranger": {"comand": "mine"}}}, {})

    with pytest.raises(BadInput, match=r"stranger has no option 'comand'. Did you mean 'command'"):
        here.defaults("stranger")


def test_a_harness_that_stands_for_many_names_them_all(monkeypatch):
    class Both(Stranger):
        @classmethod
        def family(cls, tables):
            return {name: type(name, (cls,), {"name": name}) for name in ("one", *tables.get("acp", {}))}

    class Entry:
        load = staticmethod(lambda: Both)

    monkeypatch.setattr(library, "_registered", lambda: {"both": Entry})
    here = Harnesses({"acp": {"mine": {"command": ["x"]}}})

    assert {"stranger", "one", "mine"} == set(here)
    assert "mine" == here["mine"].name


def test_a_name_that_is_taken_is_not_taken_over(monkeypatch):
    class Family(Stranger):
        @classmethod
        def family(cls, tables):
            return {"rehearsal": cls}

    class Entry:
        load = staticmethod(lambda: Family)

    rehearsal = library._registered()["rehearsal"]
    monkeypatch.setattr(library, "_registered", lambda: {"rehearsal": rehearsal, "terminal": Entry})

    with pytest.raises(
        BadInput, match=r"two harnesses are called 'rehearsal'; give the one of \[terminal.reh"
    ):
        list(Harnesses())


def test_a_program_named_by_a_relative_path_is_found_from_anywhere(program, tmp_path, monkeypatch):
    mine = program("mine")
    monkeypatch.chdir(tmp_path)

    assert (mine,) == Harnesses({}, {"MADROX_STRANGER_BIN": "./bin/mine"}).command("stranger")


def test_a_native_binary_beside_its_launcher_is_preferred_when_it_is_there(
    program, bin_directory, monkeypatch
):
    launcher, native = program("strange"), bin_directory / "native"
    monkeypatch.setattr(
        Stranger, "native", staticmethod(lambda path: (f"{path}.absent", str(native))), raising=False
    )
    here = Harnesses({}, {"PATH": str(bin_directory)})
    assert (launcher,) == here.command("stranger")

    program("native")
    assert (str(native),) == here.command("stranger")


def test_a_wrong_table_keeps_back_its_own_family_and_nobody_else():
    here = Harnesses({"terminal": {"mine": {"promt": "^> "}}})

    assert Rehearsal is here["rehearsal"]
    assert "claude" in here
    for name in ("mine", "python"):
        with pytest.raises(BadInput, match=r"profile 'mine'.*'promt'. Did you mean 'prompt'"):
            here[name]


def test_what_is_configured_wrongly_stands_in_its_own_row_and_spoils_no_other():
    tables = {"harness": {"claude": {"comand": "x"}}, "terminal": {"mine": {"promt": "x"}}}
    found = {each.harness: each for each in inventory(Harnesses(tables, {"PATH": ""}))}

    assert found["rehearsal"].installed
    assert (False, False) == (found["claude"].installed, found["terminal"].installed)
    assert "no option 'comand'. Did you mean 'command'" in found["claude"].command
    assert "no key 'promt'. Did you mean 'prompt'" in found["terminal"].command


def test_one_stranger_that_fails_hides_nobody_else(monkeypatch):
    class Broken:
        def load(self):
            raise ImportError("no module named x")

    good = library._registered()["rehearsal"]
    monkeypatch.setattr(library, "_registered", lambda: {"broken": Broken(), "rehearsal": good})

    assert {"broken", "rehearsal", "stranger"} == set(Harnesses())
    with pytest.raises(HarnessNotFound, match="'broken' is registered but can't be loaded"):
        Harnesses()["broken"]


def test_profiles_of_terminal_programs_are_read_from_files_the_nearer_first(tmp_path):
    for place, ready in ((tmp_path / "config" / "profiles", "far"), (tmp_path / "profiles", "near")):
        place.mkdir(parents=True)
        (place / "mine.toml").write_text(f"ready = '{ready}'")
    found = profiles.read(library.profile_directories(tmp_path))

    assert {"ready": "near"} == found["mine"]
    assert "python" in found


# roles


def test_all_ten_roles_are_there_and_each_has_something_to_say(tmp_path):
    roles = {role.name: role for role in library.roles(tmp_path)}

    assert set(ROLES) == set(roles)
    assert all(len(role.body) > 80 and role.description for role in roles.values())
    assert not [role for role in roles.values() if role.body.startswith("---")]


def test_no_alias_means_two_roles(tmp_path):
    said = [name for role in library.roles(tmp_path) for name in (role.name, *role.aliases)]

    assert len(set(said)) == len(said)


def test_every_alias_finds_its_role(tmp_path):
    for role in library.roles(tmp_path):
        assert {role.name} == {library.role(alias, tmp_path).name for alias in (role.name, *role.aliases)}


@pytest.mark.parametrize(
    "spelled", ["backend_developer", "Backend Developer", "backend-developer", " BACKEND "]
)
def test_a_role_is_found_however_it_is_spelled(spelled, tmp_path):
    assert "backend_developer" == library.role(spelled, tmp_path).name


@pytest.mark.parametrize("wicked", ["", "../general", "general.md", "/etc/passwd", "nonsense"])
def test_a_role_that_is_not_there_is_answered_with_those_that_are(wicked, tmp_path):
    with pytest.raises(UnknownRole, match=r"Known: .*architect"):
        library.role(wicked, tmp_path)


def test_an_unknown_role_is_answered_with_the_nearest(tmp_path):
    with pytest.raises(UnknownRole, match="Did you mean 'architect'"):
        library.role("archtect", tmp_path)


def own(tmp_path, name, text):
    path = tmp_path / "prompts" / f"{name}.md"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    return path


def test_the_users_own_role_goes_before_ours(tmp_path):
    path = own(tmp_path, "architect", "Draw castles.")

    role = library.role("architect", tmp_path)

    assert ("Draw castles.", path, "architect") == (role.body, role.path, role.name)


def test_the_role_beside_the_notebook_goes_before_the_users_own(tmp_path):
    own(tmp_path / "config", "poet", "far")
    assert "far" == library.role("poet", tmp_path).body

    own(tmp_path, "poet", "near")
    assert "near" == library.role("poet", tmp_path).body


def test_an_edit_counts_at_once(tmp_path):
    own(tmp_path, "poet", "Rhyme.")
    assert "Rhyme." == library.role("poet", tmp_path).body

    own(tmp_path, "poet", "Don't rhyme.")
    assert "Don't rhyme." == library.role("poet", tmp_path).body


def test_a_role_says_its_name_its_aliases_and_its_description_at_the_head(tmp_path):
    own(
        tmp_path,
        "p",
        "---\nname: poet\ndescription: 'writes: verse'\naliases: [bard, rhymer]\n---\n\nRhyme.\n---\nx",
    )

    role = library.role("bard", tmp_path)

    assert ("poet", "writes: verse", ("bard", "rhymer")) == (role.name, role.description, role.aliases)
    assert "Rhyme.\n---\nx" == role.body


@pytest.mark.parametrize("text", ["no head", "--- not a head", "---\nnever: closed"])
def test_a_file_without_a_head_is_all_body(tmp_path, text):
    own(tmp_path, "poet", text)

    assert (text, "poet") == (library.role("poet", tmp_path).body, library.role("poet", tmp_path).name)


def test_a_readme_is_no_role(tmp_path):
    own(tmp_path, "README", "how to write roles")

    assert set(ROLES) == {role.name for role in library.roles(tmp_path)}


def test_a_role_that_cannot_be_read_is_named(tmp_path):
    own(tmp_path, "poet", "").write_bytes(b"\xff")

    with pytest.raises(BadInput, match=r"cannot read .*poet\.md"):
        library.role("poet", tmp_path)


# files


def test_a_widget_file_is_found_and_a_missing_one_says_how_to_build_it():
    assert library.static("loader.js").is_file()
    with pytest.raises(BadInput, match="npm --prefix widgets run build"):
        library.static("none.js")


def test_a_folder_that_was_not_installed_is_named():
    with pytest.raises(BadInput, match="lacks its 'nothing' folder"):
        library.packaged("nothing")


def test_a_role_file_that_cannot_be_read_spoils_no_other_role(tmp_path):
    (tmp_path / "prompts").mkdir()
    (tmp_path / "prompts" / "mine.md").write_text("---\nname: [unclosed\n---\nhello")
    (tmp_path / "prompts" / "latin.md").write_bytes("Señor".encode("latin-1"))

    assert "architect" == library.role("architect", tmp_path).name
    assert set(ROLES) == {role.name for role in library.roles(tmp_path)}
    for broken in ("mine", "latin"):
        with pytest.raises(BadInput, match=f"{broken}.md"):
            library.role(broken, tmp_path)
