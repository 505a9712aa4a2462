"""Whatever a caller puts into an argument, the answer says what is wrong with it, and nothing breaks.

schemathesis makes requests by the schemas, where many arguments are just texts, tables and
lists. Here each argument of each tool is given what programs stumble over: names that no
file can have, times beyond the calendar, numbers that no machine holds, half a character.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from stages import Stage, run, stage

from madrox_nb.calls import TOOLS, Tool
from madrox_nb.errors import MadroxError
from madrox_nb.events import PERSON
from madrox_nb.tools import waiting

LONG = "a" * 5000
TEXTS = ["", "\0", "\ud800", LONG, "é" * 300, "../../etc/passwd", "/", "~nobody", "*", "[", "\n", "bob"]
TIMES = ["0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59-14:00", "2026-02-30"]
NUMBERS = [0, -1, 2**63, 10**30, -(10**30), 1e308, 5e-324, True]
SERVERS = [
    {"web": {"url": "http://["}},
    {"web": {"url": LONG}},
    {"web": {"command": "\0"}},
    {"web": {"command": "x", "args": [1]}},
    {"web": {"command": "x", "env": [1]}},
    {"web": {"command": "x", "env": {"A": "${"}}},
]
ITEMS = [
    {"instance_id": "bob", "since": 5},
    {"instance_id": "bob", "since": TIMES[0]},
    {"instance_id": "bob", "limit": 10**30},
    {"instance_id": ["bob"], "filename": "x"},
    {"instance_id": "bob", "filename": LONG},
    {"instance_id": "bob", "filename": "note", "offset": 2**63},
    {"instance_id": "bob", "filename": "note", "destination_path": "\0"},
    {"instance_id": "bob", "message": "\0"},
    {"name": 5},
    {"name": {"a": 1}, "type": [1]},
]
TABLES: list[Any] = [{}, {"": ""}, {"a": None}, {"a": {"b": [1]}}, {"\0": "\0"}, {"A": "\ud800"}, *SERVERS]
LISTS: list[Any] = [[], ["\0"], [LONG], ["\ud800"], *([each] for each in (*TABLES, *ITEMS))]
ODD: dict[str, list[Any]] = {
    "string": [*TEXTS, *TIMES],
    "integer": NUMBERS,
    "number": NUMBERS,
    "boolean": [True],
    "object": TABLES,
    "array": LISTS,
}
NEEDED = {
    "approval_id": "bob.a1",
    "decision": "deny",
    "filename": "note",
    "instance_id": "bob",
    "instance_ids": ["bob"],
    "instances": [{"name": "zoe"}],
    "job_id": "you.j1",
    "message": "/say yes",
    "participant_ids": ["bob"],
    "reply_message": "yes",
    "task_description": "/say yes",
    "team_id": "team",
    "template_name": "bug_investigation",
}
LAST = ("set_limits", "terminate_instance", "terminate_multiple_instances")
"""After these nobody is left who could do anything."""


def oddities(tool: Tool) -> Iterator[dict[str, Any]]:
    """One call after the other, each with one odd argument."""
    schema = tool.schema()
    needed = {name: NEEDED[name] for name in schema.get("required", ())}
    for name, said in schema["properties"].items():
        for kind in [said, *said.get("anyOf", ())]:
            for odd in ODD.get(kind.get("type", ""), ()):
                yield {**needed, name: odd}


def test_no_argument_of_any_tool_is_more_than_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(waiting, "LONGEST_WAIT", 0.01)
    monkeypatch.chdir(tmp_path)
    tools = sorted(TOOLS.values(), key=lambda tool: tool.name in LAST)
    broken: list[str] = []

    async def tried(on: Stage, tool: Tool, given: dict[str, Any]) -> None:
        try:
            with suppress(MadroxError):
                await on.call(PERSON, tool.name, **given)
        except Exception as exc:  # noqa: BLE001 — a bug of ours, which a client would see as a 500
            broken.append(f"{tool.name} {ascii(given)[:100]}: {type(exc).__name__}: {str(exc)[:60]}")

    async def story() -> None:
        async with stage(tmp_path, max_instances=1) as on:
            await on.spawn("bob")
            (Path(on.manager.tree["bob"].workspace) / "note").write_text("x")
            for tool in tools:
                for given in oddities(tool):
                    await tried(on, tool, given)

    run(story())
    assert "" == "\n".join(broken)


@pytest.mark.parametrize(
    ("tool", "argument", "item", "meant"),
    [
        ("spawn_multiple_instances", "instances", {"name": "zoe", "max_costs": 1}, "max_cost"),
        ("send_to_multiple_instances", "messages", {"instance_id": "bob", "mesage": "x"}, "message"),
        ("get_multiple_instance_outputs", "requests", {"instance_id": "bob", "limt": 1}, "limit"),
        (
            "retrieve_multiple_instance_files",
            "retrievals",
            {"instance_id": "bob", "filname": "x"},
            "filename",
        ),
    ],
)
def test_an_unknown_argument_in_one_of_several_is_an_error_with_the_nearest_known_one(
    tmp_path: Path, tool: str, argument: str, item: dict[str, Any], meant: str
) -> None:
    async def story() -> None:
        async with stage(tmp_path) as on:
            await on.spawn("bob")
            try:
                said = (await on.call(PERSON, tool, **{argument: [item]})).text
            except MadroxError as exc:
                said = str(exc)

            assert f"Did you mean {meant!r}?" in said

    run(story())
