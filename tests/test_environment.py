"""Names, secrets and references of an environment. Pure."""

import pytest

from madrox_nb import environment
from madrox_nb.environment import expanded, is_secret, kept, mentioned, named, recalled, variables
from madrox_nb.errors import BadInput, Forbidden

ENVIRON = {"TOKEN": "t-1", "EMPTY": ""}


@pytest.mark.parametrize(
    ("text", "meant"),
    [
        ("plain", "plain"),
        ("Bearer ${TOKEN}", "Bearer t-1"),
        ("${TOKEN:-none}", "t-1"),
        ("${ABSENT:-some words}", "some words"),
        ("${EMPTY:-default}", "default"),
        ("${ABSENT:-${TOKEN}/x}", "t-1/x"),
        ("$TOKEN ${} ${1}", "$TOKEN ${} ${1}"),
    ],
)
def test_references_are_followed_and_all_else_stays(text, meant):
    missing = set()

    assert meant == expanded(text, ENVIRON, missing)
    assert set() == missing


def test_what_is_missing_is_named_even_inside_a_default():
    missing = set()
    expanded("${ONE} ${TWO:-${THREE}} ${EMPTY}", ENVIRON, missing)

    assert {"ONE", "THREE", "EMPTY"} == missing
    with pytest.raises(BadInput, match="the server needs EMPTY, ONE, THREE, which the environment does not"):
        environment.check_missing("the server", missing)


def test_what_is_needed_and_what_is_mentioned_are_two_things():
    assert ["A", "C"] == named("${A} ${B:-${C}} ${D:-x}")
    assert ["A", "B", "C", "D"] == mentioned("${A} ${B:-${C}} ${D:-x}")


@pytest.mark.parametrize(
    ("name", "value", "secret"),
    [
        ("GITHUB_TOKEN", "x", True),
        ("X-Api-Key", "x", True),
        ("Authorization", "Bearer x", True),
        ("DATABASE_URL", "postgresql://ann:secret@db/x", True),
        ("ANY", "ghp_16C7e42F292c6912E7710c83", True),
        ("DATABASE_URL", "postgresql://db/x", False),
        ("MODE", "production", False),
        ("PLACE", "/home/ann/a/very/long/place/2026", False),
        ("WORDS", "several words that are rather long 123", False),
    ],
)
def test_secrets_are_known_by_their_names_and_by_their_looks(name, value, secret):
    assert secret is is_secret(name, value)


def test_a_secret_is_kept_as_a_reference_and_found_again():
    assert "{secret:API_KEY}" == kept("API_KEY", "k-12345678")
    assert "${API_KEY}" == recalled(kept("API_KEY", "k-12345678"))
    assert "${OTHER}" == kept("API_KEY", "${OTHER}")
    assert "test" == kept("MODE", "test")


def test_variables_are_texts_with_names_that_every_system_takes():
    assert {"A": "1", "b_2": "x", "F": "1.5"} == variables({"A": 1, "b_2": "x", "F": 1.5})


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"A=B": "x"}, "'A=B' can't be a name"),
        ({"1A": "x"}, "'1A' can't be a name"),
        ({"A;rm -rf": "x"}, "can't be a name"),
        ({"A": True}, "A is a text, not bool"),
        ({"A": None}, "A is a text, not NoneType"),
        ({"A": "x\0y"}, "A holds a NUL"),
        ({"MADROX_MCP_TOKEN_FILE": "x"}, "MADROX_MCP_TOKEN_FILE is ours"),
        ({"madrox_agent": "x"}, "madrox_agent is ours"),
        (["A"], "a table of names and values"),
    ],
)
def test_what_no_process_can_be_given_is_refused(given, said):
    with pytest.raises(BadInput) as refused:
        variables(given)

    assert said in str(refused.value)


@pytest.mark.parametrize(
    "name",
    [
        *("LD_PRELOAD", "LD_LIBRARY_PATH", "DYLD_INSERT_LIBRARIES", "PATH", "PYTHONSTARTUP", "PYTHONPATH"),
        *("NODE_OPTIONS", "BASH_ENV", "PERL5OPT", "RUBYOPT", "GIT_SSH_COMMAND", "JAVA_TOOL_OPTIONS", "HOME"),
        *("HTTPS_PROXY", "ANTHROPIC_BASE_URL", "CLAUDE_CONFIG_DIR", "CODEX_HOME", "SSL_CERT_FILE", "IFS"),
    ],
)
def test_no_agent_gives_another_one_what_changes_how_programs_run(name):
    with pytest.raises(Forbidden, match=f"lead can't give {name} to another agent"):
        environment.check_given_by("lead", [name], {})


def test_an_agent_adds_to_the_environment_and_replaces_nothing():
    environment.check_given_by("lead", ["STAGE"], {"OTHER": "x"})
    with pytest.raises(Forbidden, match="lead can't replace STAGE"):
        environment.check_given_by("lead", ["STAGE"], {"STAGE": "x"})
