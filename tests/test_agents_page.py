"""docs/agents.md says of each harness what its class declares, and its settings are settings."""

from __future__ import annotations

import re
import tomllib
from dataclasses import fields
from pathlib import Path

from madrox_nb import config
from madrox_nb.harness import Features
from madrox_nb.library import Harnesses

PAGE = Path(__file__).parents[1] / "docs" / "agents.md"
TABLE = re.compile(r"<!-- table -->\n(.*?)<!-- end of table -->", re.DOTALL)


def table(cwd: Path) -> str:
    """The table as the classes declare it."""
    heads = [field.name for field in fields(Features)]
    here = Harnesses({}, {"PATH": ""})
    rows = [
        f"| | tested with | {' | '.join(head.replace('_', ' ') for head in heads)} |",
        f"|---|---|{':-:|' * len(heads)}",
    ]
    for name in here:
        cls = here[name]
        marks = " | ".join("●" if getattr(cls.features, head) else "·" for head in heads)
        rows.append(f"| `{name}` | {', '.join(cls.tested) or '–'} | {marks} |")
    return "\n".join(rows) + "\n"


def test_the_table_of_the_page_is_what_the_classes_declare(tmp_path: Path, monkeypatch) -> None:
    from madrox_nb import library

    monkeypatch.setattr(library, "_lent", {})
    monkeypatch.chdir(tmp_path)
    found = TABLE.search(PAGE.read_text())
    assert found is not None

    assert table(tmp_path) == found[1]


def test_every_example_of_the_page_is_toml_and_the_settings_can_be_read(tmp_path: Path) -> None:
    examples = re.findall(r"```toml\n(.*?)```", PAGE.read_text(), re.DOTALL)
    assert 3 == len(examples)
    for example in examples:
        tomllib.loads(example)
    file = tmp_path / "madrox.toml"
    file.write_text(examples[0])

    settings = config.load(environ={}, cwd=tmp_path, files=(file,)).settings
    assert ("ask", "keep:60") == (settings.permissions, settings.on_kernel_death)
    assert "Bash(git *)" == next(iter(settings.policy))
    defaults = Harnesses(settings.tables, {}).defaults("codex")
    assert {"sandbox_mode": "workspace-write"} == defaults.options
