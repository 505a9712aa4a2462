"""One implementation, and faces that only translate: MCP over HTTP and stdio, REST, and Python.

The same story is told to each of them in a run of its own, and what they answer is compared
word by word (W14: three implementations that had drifted apart). A tool that is new is called by
itself with what its arguments' names suggest; that it fails is fine, as long as it fails everywhere.
"""

from __future__ import annotations

import asyncio
import inspect
import json
import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx2
import pytest
from doors import opened

from madrox_nb.calls import TOOLS, Tool
from madrox_nb.cli.client import Refused, reach
from madrox_nb.errors import MadroxError
from madrox_nb.instance_manager import AT_ONCE, DEFAULTS, InstanceManager
from madrox_nb.manager import Manager

pytestmark = pytest.mark.xdist_group("parity")  # else every worker hears the whole story

REHEARSE: dict[str, Any] = {"port": 0, "harnesses": ("rehearsal",), "stop_grace": 1.0}


@dataclass(frozen=True)
class Told:
    """What one call came to, on any face."""

    failed: bool
    text: str
    data: Any = None


Face = Callable[[str, Mapping[str, Any]], Told]


@contextmanager
def by_mcp(home: Path, kind: str) -> Iterator[Face]:
    with opened(home, kind) as doors:

        def call(tool: str, given: Mapping[str, Any]) -> Told:
            told = doors[kind].attempt(tool, **given)
            data = {name: value for name, value in told.data.items() if name != "text"}
            return Told(told.failed, told.text, None if told.failed else data)

        yield call


@contextmanager
def by_rest(home: Path) -> Iterator[Face]:
    with opened(home, "http"):
        running = reach(home).running
        headers = {"Authorization": f"Bearer {running.token}"}
        with httpx2.Client(base_url=running.url.removesuffix("/mcp"), headers=headers, timeout=60) as http:

            def call(tool: str, given: Mapping[str, Any]) -> Told:
                answer = http.post("/tools/execute", json={"tool": tool, "arguments": given})
                said = answer.json()
                assert ("error" in said) == (answer.status_code >= 400)
                if "error" in said:
                    return Told(True, said["error"]["message"])
                return Told(False, said["text"], said["data"])

            yield call


@contextmanager
def by_terminal(home: Path) -> Iterator[Face]:
    with opened(home, "http"):
        client = reach(home)

        def call(tool: str, given: Mapping[str, Any]) -> Told:
            try:
                told = client.execute(tool, given)
            except Refused as exc:
                return Told(True, str(exc))
            return Told(False, told.text, told.data)

        yield call


@contextmanager
def by_python(home: Path) -> Iterator[Face]:
    manager = InstanceManager(home=home, **REHEARSE)

    def call(tool: str, given: Mapping[str, Any]) -> Told:
        async def awaited() -> Any:
            return await getattr(manager, tool)(**given)

        try:
            value = asyncio.run(awaited())
        except MadroxError as exc:
            return Told(True, str(exc))
        return Told(False, value.text, dict(value.data))

    try:
        yield call
    finally:
        asyncio.run(manager.close())


# the story

BEGIN: list[tuple[str, dict[str, Any]]] = [
    ("get_instance_tree", {}),
    ("spawn_instance", {"name": "lead", "role": "architect"}),
    ("spawn_instance", {"name": "kid", "parent_instance_id": "lead", "permissions": "edits"}),
    ("spawn_instance", {"name": "kid"}),
    ("spawn_instance", {"name": "x", "systemprompt": "y"}),
    ("spawn_instance", {"name": "x", "role": 7}),
    ("spawn_instance", {"name": "x", "role": "clown"}),
    (
        "send_to_instance",
        {"instance_id": "lead", "message": "/usage 10 20\n/say ●", "wait_for_response": True},
    ),
    ("send_to_instance", {"instance_id": "lead", "message": "/fail no", "wait_for_response": True}),
    ("send_to_instance", {"instance_id": "nobody", "message": "x"}),
    ("send_to_instance", {"instance_id": "lead", "message": "/tree", "wait_for_response": True}),
    ("get_children", {"parent_id": "lead"}),
    ("get_instance_status", {}),
]
END: list[tuple[str, dict[str, Any]]] = [
    ("interrupt_instance", {"instance_id": "lead"}),
    ("terminate_instance", {"instance_id": "lead"}),
    ("terminate_instance", {"instance_id": "lead"}),
    ("get_instance_tree", {}),
]
INSTEAD: dict[str, dict[str, Any]] = {
    "spawn_claude": {"role": "clown"},  # a real one must not start
    "spawn_codex": {"role": "clown"},
    "spawn_codex_instance": {"role": "clown"},
    "broadcast_to_children": {"parent_id": "lead", "message": "/say hi", "wait_for_responses": True},
    "set_limits": {"instance_id": "lead", "remove": ["max_hope"]},
    "suspend_instance": {"instance_id": "nobody"},
}
"""Where what the arguments' names suggest would do too much, or go on behind the story's back."""


def suggested(tool: Tool) -> dict[str, Any]:
    """Something to call a tool with."""
    given: dict[str, Any] = {}
    for name, parameter in tool.parameters.items():
        if name in ("instance_id", "parent_id", "coordinator_id"):
            given[name] = "lead"
        elif name in ("instance_ids", "participant_ids"):
            given[name] = ["lead", "nobody"]
        elif parameter.default is inspect.Parameter.empty:
            given[name] = "x"
    return given


def whole_story() -> list[tuple[str, dict[str, Any]]]:
    told = {name for name, _ in BEGIN + END}
    rest = [name for name, tool in TOOLS.items() if name not in told and not tool.destructive]
    return [*BEGIN, *((name, INSTEAD.get(name) or suggested(TOOLS[name])) for name in rest), *END]


CHANGING = [
    (re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|\+00:00)?"), "TIME"),
    (re.compile(r"\d{8}T\d{6}\.\d+-\d+"), "RUN"),
    (re.compile(r'("\w*(?:seconds|time|duration|_s)": ?)[\d.e-]+'), r"\1 0"),
    (re.compile(r"\b[0-9a-f]{8}-[0-9a-f-]{27}\b"), "UUID"),
    (re.compile(r"\d+(\.\d+)? ?(ms|s)\b"), "SECONDS"),
    (re.compile(r"\d\d:\d\d:\d\d(\.\d+)?"), "TIME"),
    (re.compile(r"[\d.]+ minutes"), "MINUTES"),
]
"""What is another one in each run."""


def steady(told: Told, home: Path) -> Told:
    def settled(text: str) -> str:
        text = text.replace(str(home), "HOME")
        for pattern, instead in CHANGING:
            text = pattern.sub(instead, text)
        return text

    data = settled(json.dumps(told.data, ensure_ascii=False, sort_keys=True))
    return Told(told.failed, settled(told.text), data)


@pytest.fixture(scope="module")
def heard(tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[tuple[str, Told]]]:
    """What each face has answered to each step of the story."""
    faces = {
        "http": lambda home: by_mcp(home, "http"),
        "stdio": lambda home: by_mcp(home, "stdio"),
        "rest": by_rest,
        "python": by_python,
    }
    answers = {}
    for name, face in faces.items():
        home = tmp_path_factory.mktemp("run") / "home"
        with face(home) as call:
            answers[name] = [(tool, steady(call(tool, given), home)) for tool, given in whole_story()]
    return answers


@pytest.mark.slow
@pytest.mark.parametrize("face", ["stdio", "rest", "python"])
def test_w14_every_face_answers_every_tool_alike(heard: dict[str, list[tuple[str, Told]]], face: str) -> None:
    assert {*TOOLS} - {name for name, tool in TOOLS.items() if tool.destructive} <= {
        n for n, _ in whole_story()
    }
    for expected, answered in zip(heard["http"], heard[face], strict=True):
        assert expected == answered


@pytest.mark.slow
def test_the_story_is_one_in_which_most_things_work(heard: dict[str, list[tuple[str, Told]]]) -> None:
    done = [name for name, told in heard["http"] if not told.failed]
    refused = [name for name, told in heard["http"] if told.failed]

    assert ["spawn_instance"] * 4 + ["send_to_instance"] * 2 == refused[:6]
    assert len(done) > len(TOOLS) / 2


@pytest.mark.slow
def test_a_terminal_says_the_same_in_its_own_words(
    heard: dict[str, list[tuple[str, Told]]], tmp_path: Path
) -> None:
    home = tmp_path / "home"
    with by_terminal(home) as call:
        for (_, told), (tool, given) in zip(heard["rest"], BEGIN, strict=False):
            mine = steady(call(tool, given), home)
            assert (told.failed, told.data) == (mine.failed, mine.data)
            assert (told.text == mine.text) or "madrox " in mine.text


# signatures


def test_mcp_rest_and_openapi_describe_each_tool_by_the_same_schema(tmp_path: Path) -> None:
    with opened(tmp_path / "home", "http") as doors:
        running = reach(tmp_path / "home").running
        headers = {"Authorization": f"Bearer {running.token}"}
        listed = httpx2.get(running.url.removesuffix("/mcp") + "/tools", headers=headers).json()["tools"]
        by_mcp_ = doors["http"].tools()

    assert {*TOOLS} == {*by_mcp_} == {each["name"] for each in listed}
    for each in listed:
        tool = TOOLS[each["name"]]
        assert tool.schema() == each["inputSchema"] == by_mcp_[tool.name].input_schema, tool.name
        assert tool.description == each["description"] == by_mcp_[tool.name].description


OTHER_NAMES = {"instance_type": "harness", "parent_instance_id": "parent", "wait_for_ready": "wait"}
"""Argument of a tool → that of the verb."""


@pytest.mark.parametrize(
    ("tool", "verb"),
    [
        ("spawn_instance", Manager.spawn),
        ("terminate_instance", Manager.terminate),
        ("interrupt_instance", Manager.interrupt),
    ],
)
def test_what_tool_and_verb_share_has_the_same_default(tool: str, verb: Any) -> None:
    verbs = inspect.signature(verb).parameters
    for name, parameter in TOOLS[tool].parameters.items():
        other = verbs.get(OTHER_NAMES.get(name, name))
        if other is not None and parameter.default is not parameter.empty:
            assert parameter.default == other.default, name


def test_python_differs_from_the_tools_only_where_it_says_so() -> None:
    assert {"send_to_instance", "send_to_multiple_instances", "broadcast_to_children"} == {*DEFAULTS}
    assert {"get_children", "get_instance_tree", "get_instance_status"} == AT_ONCE
