"""The examples of the document that this project is built from, as they stand there.

`tests/seed/` holds its text, word by word. What can be run without a model is run in
`notebooks/08-coming-from-madrox.ipynb`, whose cells are these very blocks.
"""

from __future__ import annotations

import ast
import json
import re
from pathlib import Path
from typing import Any

import pytest

import madrox_nb
from madrox_nb.calls import TOOLS
from madrox_nb.instance_manager import AT_ONCE, InstanceManager
from madrox_nb.orchestrator_config import OrchestratorConfig

SEED = Path(__file__).parent / "seed"
NOTEBOOK = Path(__file__).parents[1] / "notebooks" / "08-coming-from-madrox.ipynb"
IMPORTS = {"from orchestrator.mcp_loader import get_mcp_servers": "from madrox_nb import get_mcp_servers"}
"""The imports aside: theirs → ours."""


def blocks(page: str) -> list[str]:
    return re.findall(r"```python\n(.*?)\n```", (SEED / page).read_text(encoding="utf-8"), re.DOTALL)


EVERY_BLOCK = [block for page in sorted(SEED.glob("*.md")) for block in blocks(page.name)]


def ours(block: str) -> str:
    for theirs, import_ in IMPORTS.items():
        block = block.replace(theirs, import_)
    return block


def calls(block: str) -> list[tuple[ast.Call, bool]]:
    """Every `manager.…(…)` of a block, and whether it is awaited."""
    tree = ast.parse(block)
    awaited = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Await)}
    return [
        (node, id(node) in awaited)
        for node in ast.walk(tree)
        if isinstance(node, ast.Call) and ast.unparse(node.func).startswith("manager.")
    ]


ALL_CALLS = [call for block in EVERY_BLOCK for call in calls(block)]


def name_of(call: ast.Call) -> str:
    assert isinstance(call.func, ast.Attribute)
    return call.func.attr


def test_the_seven_usage_examples_are_the_cells_of_the_notebook() -> None:
    examples = blocks("usage-examples.md")
    notebook = json.loads(NOTEBOOK.read_text(encoding="utf-8"))
    cells = ["".join(cell["source"]) for cell in notebook["cells"] if cell["cell_type"] == "code"]

    assert 7 == len(examples)
    assert [ours(each) for each in examples] == [
        cell for cell in cells if cell in {ours(e) for e in examples}
    ]


def test_what_the_seed_imports_is_ours_to_import() -> None:
    names = {line.rpartition(" ")[2] for line in IMPORTS.values()}

    assert {"get_mcp_servers"} == names
    assert {*names, "InstanceManager", "OrchestratorConfig"} <= {*madrox_nb.__all__}
    assert [] == [name for name in names if not callable(getattr(madrox_nb, name))]


def test_every_method_that_the_seed_calls_is_there_and_takes_what_it_is_given() -> None:
    assert len(ALL_CALLS) > 20
    for call, _ in ALL_CALLS:
        parameters = [*TOOLS[name_of(call)].parameters]
        assert callable(getattr(InstanceManager, name_of(call)))
        assert len(call.args) <= len(parameters)
        assert {keyword.arg for keyword in call.keywords} <= {*parameters}, name_of(call)


def test_what_the_seed_does_not_await_is_there_at_once() -> None:
    assert AT_ONCE == {name_of(call) for call, awaited in ALL_CALLS if not awaited}


def test_the_seeds_configuration_is_taken_as_it_stands() -> None:
    [block] = blocks("configuration.md")
    known: dict[str, Any] = {"OrchestratorConfig": OrchestratorConfig}

    exec(block, known)

    assert (8001, 100.0) == (known["config"].settings()["port"], known["config"].settings()["max_usd"])


@pytest.mark.parametrize("block", EVERY_BLOCK, ids=lambda block: block.partition("\n")[0][2:40])
def test_the_text_was_copied_whole(block: str) -> None:
    compile(block, "seed", "exec", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)
    assert "‚" not in block  # as a wrong encoding has it
