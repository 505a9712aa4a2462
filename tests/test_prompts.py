"""The role files: their form, and that each name leads to one of them."""

from __future__ import annotations

import re
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path

import pytest

from madrox_nb import library

PROMPTS = Path(__file__).parent.parent / "prompts"

ROLES = {
    "general",
    "frontend_developer",
    "backend_developer",
    "testing_specialist",
    "documentation_writer",
    "code_reviewer",
    "architect",
    "debugger",
    "security_analyst",
    "data_analyst",
}

MUST_RESOLVE = {
    "qa_engineer": "testing_specialist",
    "tester": "testing_specialist",
    "data_scientist": "data_analyst",
    "technical_writer": "documentation_writer",
    "docs": "documentation_writer",
    "reviewer": "code_reviewer",
    "security": "security_analyst",
    "technical_lead": "architect",
    "devops_engineer": "backend_developer",
    "devops": "backend_developer",
}

FLATTERY = re.compile(
    r"world[- ]class|\b10x\b|best[- ]in[- ]class|cutting[- ]edge|state[- ]of[- ]the[- ]art|rock ?star"
    r"|\bninja\b|\bguru\b|\bexpert (?:in|with)\b|years of experience|\bseamless|[\U0001F000-\U0001FAFF]",
    re.IGNORECASE,
)

MESSAGING = re.compile(r"correlation_id|get_pending_replies|your (?:own )?token|\[MSG:", re.IGNORECASE)


@dataclass(frozen=True)
class RoleFile:
    """One file as text, read without the package, so that both readings can be compared."""

    path: Path
    keys: dict[str, str]
    body: list[str]

    @property
    def aliases(self) -> list[str]:
        inside = self.keys["aliases"].removeprefix("[").removesuffix("]")
        return [alias.strip() for alias in inside.split(",")]


def read(path: Path) -> RoleFile:
    opening, head, body = path.read_text(encoding="utf-8").split("---\n", 2)
    assert "" == opening
    keys = dict(line.split(": ", 1) for line in head.splitlines())
    return RoleFile(path, keys, body.strip("\n").split("\n"))


FILES = {path.stem: read(path) for path in sorted(PROMPTS.glob("*.md")) if path.name != "README.md"}

each_role = pytest.mark.parametrize("role", FILES.values(), ids=list(FILES))


def test_the_ten_roles_are_there() -> None:
    assert set(FILES) == ROLES


@each_role
def test_the_front_matter_holds_name_description_and_aliases(role: RoleFile) -> None:
    assert ["name", "description", "aliases"] == list(role.keys)
    assert role.path.stem == role.keys["name"]
    assert re.fullmatch(r"\[\w+(, \w+)*\]", role.keys["aliases"])


@each_role
def test_the_description_is_one_plain_sentence_on_when_to_choose_it(role: RoleFile) -> None:
    description = role.keys["description"]

    assert description.startswith("Choose this ")
    assert description.endswith(".")
    assert 1 == description.count(".")
    assert ": " not in description, "a second colon would need quotes in YAML"


@each_role
def test_the_body_has_70_to_120_lines(role: RoleFile) -> None:
    assert 70 <= len(role.body) <= 120


@each_role
def test_no_line_is_wider_than_110_characters_or_ends_in_blanks(role: RoleFile) -> None:
    lines = role.path.read_text(encoding="utf-8").splitlines()

    assert [] == [line for line in lines if len(line) > 110 or line != line.rstrip()]


@each_role
def test_a_report_template_is_shown_and_every_fence_is_closed(role: RoleFile) -> None:
    fences = [line for line in role.body if line.startswith("```")]

    assert fences[::2], "no template"
    assert {"```text"} == set(fences[::2])
    assert {"```"} == set(fences[1::2])
    assert 0 == len(fences) % 2


@each_role
def test_inline_code_stays_on_one_line(role: RoleFile) -> None:
    prose = [line for line in role.body if not line.startswith("```")]

    assert [] == [line for line in prose if line.count("`") % 2]


@each_role
def test_the_body_neither_flatters_nor_repeats_the_messaging_instructions(role: RoleFile) -> None:
    body = "\n".join(role.body)

    assert None is FLATTERY.search(body)
    assert None is MESSAGING.search(body)


@each_role
def test_every_role_it_hands_work_to_exists(role: RoleFile) -> None:
    words = re.findall(r"`(\w+)`", "\n".join(role.body))
    suffixes = ("_developer", "_specialist", "_writer", "_reviewer", "_analyst", "_engineer", "_lead")

    assert [] == [word for word in words if word.endswith(suffixes) and word not in FILES]
    assert (set(words) & set(FILES)) - {role.path.stem}, "it names nobody else"


def test_no_two_roles_share_more_than_ten_lines() -> None:
    for one, other in combinations(FILES.values(), 2):
        shared = {line.strip() for line in one.body} & {line.strip() for line in other.body} - {""}

        assert len(shared) <= 10, f"{one.path.stem} and {other.path.stem} share {sorted(shared)}"


def test_a_name_or_alias_belongs_to_one_role_only() -> None:
    names = [name for role in FILES.values() for name in (role.path.stem, *role.aliases)]

    assert sorted(set(names)) == sorted(names)


@pytest.mark.parametrize(("alias", "name"), MUST_RESOLVE.items())
def test_a_familiar_name_finds_its_role(alias: str, name: str, tmp_path: Path) -> None:
    assert alias in FILES[name].aliases
    assert name == library.role(alias, cwd=tmp_path).name


@each_role
def test_the_library_reads_the_file_as_it_stands(role: RoleFile, tmp_path: Path) -> None:
    found = library.role(role.path.stem, cwd=tmp_path)

    assert role.keys["name"] == found.name
    assert role.keys["description"] == found.description
    assert tuple(role.aliases) == found.aliases
    assert "\n".join(role.body) == found.body


def test_the_readme_lists_every_role_with_its_aliases() -> None:
    readme = (PROMPTS / "README.md").read_text(encoding="utf-8")

    for role in FILES.values():
        aliases = ", ".join(f"`{alias}`" for alias in role.aliases)
        assert f"| `{role.path.stem}` | {aliases} |" in readme
