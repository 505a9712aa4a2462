"""The examples in notebooks/ run under nbval, and show what they promise."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from outputs import LIVE, NOTEBOOKS, code, lasting, read, tidy
from validated import validated


@pytest.fixture(scope="module", params=NOTEBOOKS, ids=lambda path: path.stem)
def notebook(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """A notebook with its outputs, and the directory it ran in; a cell that fails raises."""
    import matplotlib.font_manager  # noqa: F401 - it looks for fonts once on a machine, and would say so in a cell

    directory = tmp_path_factory.mktemp("notebook")
    notebook = validated(request.param, directory)
    notebook.ran = request.param, directory
    return notebook


def shown(cell: Any) -> str:
    """All that a cell shows, in every form."""
    return "\n".join(
        str(part)
        for output in cell.outputs
        for part in (output.get("text", ""), *output.get("data", {}).values())
    )


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_is_stored_with_what_its_cells_showed_and_nothing_of_one_page_or_machine(
    path: Path,
) -> None:
    notebook = read(path)
    cells = list(code(notebook))
    text = path.read_text(encoding="utf-8")

    assert list(range(1, len(cells) + 1)) == [cell.execution_count for cell in cells]
    assert any(cell.outputs for cell in cells)
    assert [] == [cell.source for cell in cells for output in cell.outputs if output.output_type == "error"]
    assert [] == [word for word in (LIVE, "/tmp/", "/home/", "/work/", "mdx_", "\\u001b[") if word in text]
    assert {"kernelspec", "language_info"} == notebook.metadata.keys()
    assert path.stat().st_size < 200_000


def test_the_notebooks_are_numbered_in_reading_order_without_a_gap() -> None:
    assert [f"{n:02}" for n in range(1, len(NOTEBOOKS) + 1)] == [path.name[:2] for path in NOTEBOOKS]
    assert sorted(PROMISES) == [path.stem for path in NOTEBOOKS]


@pytest.mark.slow
@pytest.mark.xdist_group("notebooks")
def test_a_notebook_runs_from_top_to_bottom_and_shows_what_it_promises(notebook: Any) -> None:
    path, directory = notebook.ran

    outputs = [output for cell in code(notebook) for output in cell.outputs]
    assert [] == [output for output in outputs if output.output_type == "error"]
    assert [] == [output.text for output in outputs if output.get("name") == "stderr"]
    [ledger] = directory.glob(".madrox/audit/*/*.jsonl")
    assert '"kind":"run.closed"' in ledger.read_text().splitlines()[-1]
    PROMISES[path.stem]({cell.source: cell for cell in code(notebook)})


@pytest.mark.slow
@pytest.mark.xdist_group("notebooks")
def test_what_a_notebook_is_stored_with_is_what_it_shows_today(notebook: Any) -> None:
    """Here `make notebooks` stores what they show."""
    path, directory = notebook.ran
    stored = read(path)

    tidy(notebook, directory, stored.metadata)

    for before, today in zip(code(stored), code(notebook), strict=True):
        assert lasting(before) == lasting(today), before.source


def first_agent(cells: dict[str, Any]) -> None:
    dashboard = cells["%madrox"]
    assert "lead   ■ stopped  architect" in shown(dashboard)  # as it was when the run ended
    assert "<table" in shown(dashboard)
    assert LIVE not in dashboard.outputs[0].data
    [answer] = [cell for source, cell in cells.items() if source.startswith("reply = ")]
    assert "Rehearsal: no model is thinking." in answer.outputs[-1].data["text/markdown"]
    [braces] = [cell for source, cell in cells.items() if "{goal}" in source]
    assert "We are going to build a bookmark service." in shown(braces)
    assert '{"first": "..."' in shown(braces)


def family_that_talks(cells: dict[str, Any]) -> None:
    tree = shown(cells["%madrox tree"])
    assert "├─ api" in tree
    assert "└─ web" in tree
    assert "web answers [lead.m2]: The page lists all items." in shown(cells["%madrox wait lead"])
    assert "['web', 'api', 'lead']" in shown(cells["%madrox stop lead --tree"])


def team_from_a_template(cells: dict[str, Any]) -> None:
    assert "bug_investigation" in shown(found(cells, "%madrox teams"))
    rehearsed = shown(found(cells, "%madrox team bug_investigation"))
    assert "– fix                  not the case" in rehearsed
    assert "✓ watch     fixer" in rehearsed
    gazette = shown(found(cells, "%madrox team gazette"))
    assert "✓ report reporter-2 wrote story.md" in gazette
    assert "✓ print  editor" in gazette
    assert "image/png" in found(cells, "madrox.plot(").outputs[0].data
    assert "You are reporter-1, number 1 of 2. Write one of these stories: The tide, and the lamp." in shown(
        found(cells, "reporter-1.t1")
    )
    assert "└─ reporter-2" in shown(cells["%madrox"])


def outside_client(cells: dict[str, Any]) -> None:
    assert "claude mcp add --transport http madrox http://127.0.0.1:" in shown(found(cells, "%madrox serve"))
    outside = shown(found(cells, "!{sys.executable}")).replace("\r\n", "\n")
    assert "spawn_instance\nspawned scout (code_reviewer, rehearsal): idle" in outside
    assert "└── helper (helper)" in outside
    assert "the token 'outside' has the scope operate" in outside
    assert "└─ helper" in shown(cells["%madrox tree"])
    assert "greedy" not in shown(cells["%madrox tree"])
    assert "speaks for nobody any more" in shown(found(cells, "token revoke"))


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
    assert "codex-automation  ■ stopped  general" in everybody


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
    assert '"kind":"message.posted"' in shown(found(cells, "!grep"))


def found(cells: dict[str, Any], words: str) -> Any:
    [cell] = [cell for source, cell in cells.items() if words in source]
    return cell


PROMISES = {
    "01-first-agent": first_agent,
    "02-a-family-that-talks": family_that_talks,
    "03-a-team-from-a-template": team_from_a_template,
    "04-budgets-and-costs": budgets_and_costs,
    "05-reading-the-audit-log": reading_the_audit_log,
    "06-an-outside-client": outside_client,
    "07-a-harness-of-your-own": harness_of_your_own,
    "08-coming-from-madrox": coming_from_madrox,
}
