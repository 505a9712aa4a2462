"""The Python of the existing Madrox, over real rehearsal agents."""

from __future__ import annotations

import asyncio
import inspect
import math
import os
import sys
import warnings
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from cells import kernel

import madrox_nb
from madrox_nb import InstanceManager, OrchestratorConfig
from madrox_nb.calls import TOOLS, Result
from madrox_nb.errors import BadInput, SomeFailed, TurnFailed, UnknownAgent
from madrox_nb.instance_manager import A_DAY, DEFAULTS, SHAPES, _spawned_all, _status
from madrox_nb.tools import waiting

pytestmark = pytest.mark.slow

REHEARSE: dict[str, Any] = {"port": 0, "harnesses": ("rehearsal",), "stop_grace": 1.0}


@asynccontextmanager
async def managing(home: Path, config: OrchestratorConfig | None = None) -> AsyncIterator[InstanceManager]:
    async with InstanceManager(config, home=home, **REHEARSE) as manager:
        yield manager


def told(tmp_path: Path, story: Callable[[InstanceManager], Awaitable[Any]]) -> Any:
    """Run `story` as a script would, and return what it returns."""

    async def main() -> Any:
        async with managing(tmp_path) as manager:
            return await asyncio.wait_for(story(manager), 100)

    return asyncio.run(main())


# the seed's values


def test_a_spawn_returns_the_id_and_a_question_its_answer(tmp_path: Path) -> None:
    async def story(manager: InstanceManager) -> None:
        instance_id = await manager.spawn_instance(name="React Developer", role="frontend_developer")
        assert "React Developer" == instance_id

        response = await manager.send_to_instance(instance_id, "/say a navigation bar")
        assert "a navigation bar" == response
        assert ("completed", "React Developer.t1") == (response.data["status"], response.data["turn"])

    told(tmp_path, story)


def test_who_does_not_wait_is_told_what_became_of_the_message(tmp_path: Path) -> None:
    async def story(manager: InstanceManager) -> None:
        await manager.spawn_instance("lead")
        sent = await manager.send_to_instance("lead", "/say later", wait_for_response=False)

        [reply] = await manager.get_pending_replies(wait_timeout=45)
        assert ("sent", "later") == (sent["status"], reply["text"])

    told(tmp_path, story)


def test_children_tree_and_status_are_there_at_once_and_may_be_awaited(tmp_path: Path) -> None:
    async def story(manager: InstanceManager) -> None:
        await manager.spawn_instance("lead")
        await manager.spawn_instance("kid", role="debugger", parent_instance_id="lead")

        children = manager.get_children("lead")
        assert [("kid", "kid", "idle")] == [(c["id"], c["name"], c["state"]) for c in children]
        assert children == await manager.get_children("lead")
        tree = manager.get_instance_tree()
        assert ["lead", "└── kid"] == [
            line.rpartition(" [idle]")[0].partition(" (")[0] for line in tree.split("\n")
        ]
        assert (tree, tree) == (await manager.get_instance_tree(), repr(tree))
        status = await manager.get_instance_status("kid")
        assert ("kid", "lead", "idle") == (status["name"], status["parent"], status["state"])
        assert status["state"] == manager.get_instance_status("kid")["state"]

    told(tmp_path, story)


def test_a_script_looks_without_any_loop(tmp_path: Path) -> None:
    manager = InstanceManager(home=tmp_path, **REHEARSE)
    try:
        assert "lead" == asyncio.run(manager.spawn_instance("lead"))
        assert manager.get_instance_tree().startswith("lead ")
    finally:
        asyncio.run(manager.shutdown())


def test_ids_of_several_come_in_the_order_asked_for_and_never_in_anothers_place() -> None:
    lead, ann = {"instance_id": "lead"}, {"instance_id": "ann"}
    assert ["lead", "ann"] == _spawned_all(
        Result("", {"instance_ids": ["lead", "ann"], "spawned": [lead, ann], "errors": []})
    )

    with pytest.raises(SomeFailed, match="1 of 2") as failed:
        _spawned_all(
            Result(
                "1 of 2 spawned",
                {"instance_ids": [None, "ann"], "spawned": [ann], "errors": [{"name": "lead"}]},
            )
        )
    assert (("ann",), ({"name": "lead"},)) == (failed.value.done, failed.value.failed)


def test_a_cost_that_nobody_knows_can_be_formatted_as_the_seed_does() -> None:
    status = _status(Result("", {"total_cost": None}))

    assert "$nan" == f"${status['total_cost']:.4f}"
    assert math.isnan(status["total_cost"])


# waiting


def test_python_waits_for_as_long_as_it_takes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(waiting, "LONGEST_WAIT", 0.05)  # of any other face

    async def story(manager: InstanceManager) -> None:
        await manager.spawn_instance("lead")
        assert "word-1 word-2 word-3" == await manager.send_to_instance("lead", "/slow 3 0.1")

    told(tmp_path, story)


def test_time_that_was_set_and_is_over_is_an_error_and_the_answer_comes_later(tmp_path: Path) -> None:
    async def story(manager: InstanceManager) -> None:
        await manager.spawn_instance("lead")
        with pytest.raises(
            TimeoutError, match=r"running: lead is busy.*get_pending_replies brings the answer"
        ):
            await manager.send_to_instance("lead", "/slow 3 0.2", timeout_seconds=0.1)

        [reply] = await manager.get_pending_replies(wait_timeout=45)
        assert "word-1 word-2 word-3" == reply["text"]

    told(tmp_path, story)


def test_an_answer_that_nobody_awaits_any_more_is_left_in_the_inbox(tmp_path: Path) -> None:
    async def story(manager: InstanceManager) -> None:
        await manager.spawn_instance("lead")
        asking = asyncio.ensure_future(manager.send_to_instance("lead", "/slow 3 0.2"))
        while not manager.get_instance_status("lead")["turn"]:
            await asyncio.sleep(0.01)
        asking.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asking

        [reply] = await manager.get_pending_replies(wait_timeout=45)
        assert "word-1 word-2 word-3" == reply["text"]

    told(tmp_path, story)


# errors


def test_errors_are_ours_and_speak_of_methods(tmp_path: Path) -> None:
    async def story(manager: InstanceManager) -> None:
        with pytest.raises(UnknownAgent, match="nobody yet; `spawn_instance NAME` starts one"):
            await manager.send_to_instance("nobody", "hello")
        with pytest.raises(BadInput, match=r"no argument 'systemprompt'. Did you mean 'system_prompt'?"):
            await manager.spawn_instance("lead", systemprompt="x")
        with pytest.raises(BadInput, match="was given name twice"):
            await manager.spawn_instance("lead", name="lead")
        with pytest.raises(BadInput, match="takes 1 arguments and was given 2"):
            manager.get_children("lead", "kid")
        with pytest.raises(BadInput, match="nobody has asked the person"):
            await manager.reply_to_caller("yes")
        await manager.spawn_instance("lead")
        with pytest.raises(TurnFailed, match=r"lead.t1 failed: no"):
            await manager.send_to_instance("lead", "/fail no")

    told(tmp_path, story)


# one implementation


def test_every_tool_is_a_method_with_the_tools_own_arguments_and_words() -> None:
    for name, tool in TOOLS.items():
        method = getattr(InstanceManager, name)
        own = {
            each.name: DEFAULTS.get(name, {}).get(each.name, each.default)
            for each in tool.parameters.values()
        }
        _, *signature = inspect.signature(method).parameters.values()
        assert own == {each.name: each.default for each in signature}, name
        assert name == method.__name__
        assert method.__doc__.startswith(tool.description)


def test_no_default_and_no_shape_is_written_for_a_tool_that_is_not_there() -> None:
    assert {*DEFAULTS, *SHAPES} <= {*TOOLS}
    assert [] == [
        (tool, name)
        for tool, other in DEFAULTS.items()
        for name in other
        if name not in TOOLS[tool].parameters
    ]


def test_the_method_says_what_python_does_otherwise() -> None:
    assert (
        "In Python: wait_for_response=True, timeout_seconds=86400.0"
        in InstanceManager.send_to_instance.__doc__
    )
    assert "In Python:" not in InstanceManager.get_children.__doc__
    assert A_DAY == inspect.signature(InstanceManager.send_to_instance).parameters["timeout_seconds"].default


def test_the_names_are_found_when_they_are_used_and_not_before() -> None:
    assert {"InstanceManager", "OrchestratorConfig"} <= {*madrox_nb.__all__}


# the configuration


def test_the_seeds_configuration_is_ours_under_other_names(tmp_path: Path) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        config = OrchestratorConfig(
            server_host="localhost",
            server_port=8001,
            anthropic_api_key="your-key-of-some-length",
            max_concurrent_instances=10,
            max_tokens_per_instance=100000,
            max_total_cost=100.0,
            instance_timeout_minutes=60,
            workspace_base_dir=str(tmp_path / "work"),
            log_dir=str(tmp_path / "logs"),
            log_level="INFO",
            enable_isolation=True,
        )

    assert {
        "host": "localhost",
        "port": 8001,
        "max_instances": 10,
        "max_tokens": 100000,
        "max_usd": 100.0,
        "agent_minutes": 60,
        "workspace_dir": str(tmp_path / "work"),
        "log_dir": str(tmp_path / "logs"),
        "log_level": "INFO",
    } == config.settings()
    assert {"ANTHROPIC_API_KEY": "your-key-of-some-length"} == config.environ()
    assert "your-key" not in repr(config)


def test_what_is_not_given_is_left_to_the_settings() -> None:
    assert ({}, {}) == (OrchestratorConfig().settings(), OrchestratorConfig().environ())


def test_the_model_is_claudes() -> None:
    assert {"MADROX_MODEL_CLAUDE": "opus"} == OrchestratorConfig(default_model="opus").environ()


@pytest.mark.parametrize(
    ("given", "why"),
    [
        ({"enable_metrics": True}, "enable_metrics means nothing here: every figure is in the ledger"),
        ({"metrics_port": 9090}, "metrics_port means nothing here: there is no metrics server"),
        (
            {"artifacts_dir": "/tmp/x"},
            "artifacts_dir means nothing here: files stay in each agent's workspace",
        ),
        (
            {"preserve_artifacts": False},
            "preserve_artifacts means nothing here: a workspace is never deleted",
        ),
    ],
)
def test_what_means_nothing_here_is_taken_with_a_warning_that_says_why(given: Any, why: str) -> None:
    with pytest.warns(UserWarning, match=why) as warned:
        OrchestratorConfig(**given)
    assert __file__ == warned[0].filename


@pytest.mark.parametrize(
    ("given", "why"),
    [
        ({"enable_isolation": False}, "agents never share a directory by a setting"),
        ({"database_url": "sqlite://"}, "there is no database"),
    ],
)
def test_what_would_be_missed_is_refused(given: Any, why: str) -> None:
    with pytest.raises(BadInput, match=why):
        OrchestratorConfig(**given)


def test_the_key_reaches_the_agents_and_nothing_that_is_kept(tmp_path: Path) -> None:
    key = "sk-ant-0123456789-not-a-real-key"
    script = "import os; print('the key is', os.environ.get('ANTHROPIC_API_KEY'))"

    async def story() -> None:
        async with managing(tmp_path, OrchestratorConfig(anthropic_api_key=key)) as manager:
            shell = await manager.spawn_instance("sh", instance_type="shell", permissions="all")
            said = await manager.send_to_instance(shell, f'{sys.executable} -c "{script}"')
            assert "the key is {secret:ANTHROPIC_API_KEY}" in said

    asyncio.run(story())
    assert "ANTHROPIC_API_KEY" not in os.environ
    raw = ("wire.log", "tmux_output.log")  # what the program itself has printed, byte by byte
    kept = [path for path in tmp_path.rglob("*") if path.is_file() and path.name not in raw]
    assert kept
    assert [] == [path for path in kept if key.encode() in path.read_bytes()]


@pytest.mark.slow
def test_in_a_cell_what_is_seen_needs_no_await_and_a_rehearsal_that_nobody_asked_for_is_told(
    tmp_path: Path,
) -> None:
    with kernel(tmp_path) as cell:
        cell.run("from madrox_nb import InstanceManager; manager = InstanceManager(port=0)")
        said = cell.run("lead = await manager.spawn_instance('lead')")
        asked = cell.run("kid = await manager.spawn_instance('kid', instance_type='rehearsal')")
        assert "'lead', 'kid'" in cell.value("[each['name'] for each in manager.get_children()]")
        assert "lead" in cell.value("manager.get_instance_tree()")
        assert "['lead', 'kid']" == cell.value("[each.name for each in manager.madrox.tree]")
        cell.run("await manager.close()")

    notice = "no agent CLI was found (claude, codex): lead is a rehearsal; no model is thinking"
    shown = [m["content"]["data"]["text/plain"] for m in said + asked if m["msg_type"] == "display_data"]
    assert [notice] == shown
