"""The examples in notebooks/ run, and show what they promise."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from cells import carry_out

NOTEBOOKS = sorted((Path(__file__).parents[1] / "notebooks").glob("*.ipynb"))


def code(notebook: Any) -> Iterator[Any]:
    return (cell for cell in notebook.cells if cell.cell_type == "code")


@pytest.fixture(scope="module", params=NOTEBOOKS, ids=lambda path: path.stem)
def notebook(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """A notebook with its outputs, and the directory it ran in; a cell that fails raises."""
    # it looks for fonts once on a machine, and would say so in a cell
    import matplotlib.font_manager  # noqa: F401
    import nbformat

    directory = tmp_path_factory.mktemp("notebook")
    notebook = nbformat.read(request.param, as_version=4)  # type: ignore[no-untyped-call]
    carry_out(notebook, directory)
    notebook.ran = request.param.stem, directory
    return notebook


def shown(cell: Any) -> str:
    """All that a cell shows, in every form."""
    return "\n".join(
        str(part)
        for output in cell.outputs
        for part in (output.get("text", ""), *output.get("data", {}).values())
    )


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_is_stored_without_outputs(path: Path) -> None:
    cells = [cell for cell in json.loads(path.read_text())["cells"] if cell["cell_type"] == "code"]

    assert cells
    assert [([], None)] * len(cells) == [(cell["outputs"], cell["execution_count"]) for cell in cells]


@pytest.mark.slow
@pytest.mark.xdist_group("notebooks")
def test_a_notebook_runs_from_top_to_bottom_and_shows_what_it_promises(notebook: Any) -> None:
    name, directory = notebook.ran

    outputs = [output for cell in code(notebook) for output in cell.outputs]
    assert [] == [output for output in outputs if output.output_type == "error"]
    assert [] == [output.text for output in outputs if output.get("name") == "stderr"]
    [ledger] = directory.glob(".madrox/audit/*/*.jsonl")
    assert '"kind":"run.closed"' in ledger.read_text().splitlines()[-1]
    PROMISES[name]({cell.source: cell for cell in code(notebook)})


def first_agent(cells: dict[str, Any]) -> None:
    tree = cells["%madrox tree"]
    assert "lead   ○ idle  architect" in shown(tree)
    assert "<table" in shown(tree)
    assert "application/vnd.jupyter.widget-view+json" in tree.outputs[0].data
    [answer] = [cell for source, cell in cells.items() if source.startswith("reply = ")]
    assert "Rehearsal: no model is thinking." in answer.outputs[-1].data["text/markdown"]
    [braces] = [cell for source, cell in cells.items() if "{goal}" in source]
    assert "We are going to build a bookmark service." in shown(braces)
    assert '{"first": "..."' in shown(braces)


def small_family(cells: dict[str, Any]) -> None:
    tree = shown(cells["%madrox tree"])
    assert "├─ api" in tree
    assert "└─ web" in tree
    assert "web answers [lead.m2]: The page lists all items." in shown(cells["%madrox wait lead"])
    assert "['web', 'api', 'lead']" in shown(cells["%madrox stop lead --tree"])


def harness_of_your_own(cells: dict[str, Any]) -> None:
    assert "Polly wants a cracker." in shown(cells["%madrox send polly Polly wants a cracker."])
    assert "Who is a pretty boy?" in shown(cells['%madrox send lead "/send polly Who is a pretty boy?"'])
    assert "('interrupted', True)" in shown(found(cells, "reply = pending.wait()"))
    tree = shown(found(cells, "%madrox wait polly"))
    assert "└─ polly" in tree
    assert "   └─ chick" in tree
    assert "lines keep the contract" in shown(found(cells, "check_harness(Parrot, wire"))
    broken = "usage is reported before a turn ends: line 6: polly.t1 ended ok without"
    assert broken in shown(found(cells, "class Careless"))
    assert "parrot 1.0.0" in shown(found(cells, "%madrox harnesses"))


def coming_from_madrox(cells: dict[str, Any]) -> None:
    assert "no model is thinking" in shown(cells["response"])
    tree = shown(found(cells, "# Visualize the network"))
    assert "Project Manager" in tree
    assert "├── frontend-dev" in tree
    assert "└── backend-dev" in tree
    assert "('frontend-dev', 'frontend-dev', 'idle')" in shown(found(cells, 'child["id"]'))
    assert "'interrupted': True" in shown(cells["result"])
    assert "Tokens used: 0\nCost: $0.0000\n" == shown(found(cells, "# Monitor resource usage")).replace(
        "\n\n", "\n"
    )
    everybody = shown(found(cells, "%madrox tree"))
    assert "Limited Instance" in everybody
    assert "codex-automation  ○ idle  general" in everybody


def budgets_and_costs(cells: dict[str, Any]) -> None:
    table = shown(cells["from madrox_nb import Madrox\n\nm = Madrox()\nm.costs()"])
    assert "4650" in table
    assert "subtree_exact" in table
    for picture in ("m.costs(over_time=True).madrox.plot(", "m.costs().madrox.plot("):
        assert "image/png" in found(cells, picture).outputs[0].data
    assert "lead has used 6,550 of 6,000 tokens" in shown(found(cells, "except BudgetSpent"))
    assert "no model is thinking" in shown(cells["%madrox send api One more thing"])
    assert "NaN" in shown(found(cells, 'm.spawn("sh"'))
    assert "6550" in shown(found(cells, 'runs="all"'))


def reading_the_audit_log(cells: dict[str, Any]) -> None:
    assert "turn.ended" in shown(found(cells, ".tail(8)"))
    assert "The route is missing" in shown(found(cells, 'kind="turn.ended"'))
    assert "waited_s" in shown(found(cells, 'agent="web"'))
    joined = shown(found(cells, "asked ="))
    assert "The route is missing" in joined
    assert "lead.m2" in joined
    assert "spawn_instance" in shown(found(cells, "m.tools()[["))
    for picture in ("m.turns().madrox.plot(", "m.tools().madrox.plot("):
        assert "image/png" in found(cells, picture).outputs[0].data
    assert '"kind":"turn.ended"' in shown(found(cells, "!tail")).replace("\r\n", "")


def found(cells: dict[str, Any], words: str) -> Any:
    [cell] = [cell for source, cell in cells.items() if words in source]
    return cell


PROMISES = {
    "01-first-agent": first_agent,
    "02-a-small-family": small_family,
    "03-a-harness-of-your-own": harness_of_your_own,
    "04-coming-from-madrox": coming_from_madrox,
    "05-budgets-and-costs": budgets_and_costs,
    "06-reading-the-audit-log": reading_the_audit_log,
}
