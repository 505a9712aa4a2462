"""What the real Codex asks for, and what comes of the answers."""

from __future__ import annotations

import json
import os
import re
from pathlib import Path

import pytest
from asking_codex import PATCH, ask, decide, shell
from model import text_of

from madrox_nb.events import ToolCalled, ToolReturned, TurnEnded
from madrox_nb.harness import Ask, Withdraw

pytestmark = [pytest.mark.real, pytest.mark.anyio]


@pytest.mark.parametrize("permissions", ["deny", "ask", "edits"])
async def test_a_command_is_asked_about_and_not_run_when_denied(codex_agent, model, tmp_path, permissions):
    async with codex_agent(permissions=permissions) as lead:
        asked = await ask(lead, shell("touch made"))
        ended = await decide(lead, asked, "deny", "not in this house")

    assert ("shell", None) == (asked.tool, asked.touches)
    assert ended.text.startswith("echo: Your request was refused: not in this house")
    assert not (tmp_path / "workspace" / "made").exists()


@pytest.mark.parametrize("permissions", ["ask", "edits"])
async def test_an_allowed_command_that_said_why_it_wants_out_of_the_sandbox_runs_once(
    codex_agent, tmp_path, permissions
):
    wider = {"sandbox_permissions": "require_escalated", "justification": "it writes"}
    async with codex_agent(permissions=permissions) as lead:
        asked = await ask(lead, shell(f"sleep 0.3; echo ran >> {tmp_path}/outside", **wider))
        await decide(lead, asked, "allow")

    assert "it writes" == asked.input["reason"]
    assert "ran\n" == (tmp_path / "outside").read_text()
    assert [True] == [returned.ok for returned in lead.of(ToolReturned)]


async def test_an_allowed_command_that_said_nothing_of_it_stays_in_the_sandbox(codex_agent, tmp_path):
    """Codex runs it again without only when it is stopped at once, which a busy machine can miss."""
    async with codex_agent(permissions="ask") as lead:
        await decide(lead, await ask(lead, shell(f"sleep 0.5; echo ran >> {tmp_path}/outside")), "allow")

    assert not (tmp_path / "outside").exists()
    assert [False] == [returned.ok for returned in lead.of(ToolReturned)]


async def test_what_is_said_to_a_running_program_stays_in_the_sandbox(codex_agent, model, tmp_path):
    """Codex does not ask about it: this is why an allowed command begins in one."""
    async with codex_agent(permissions="ask") as lead:
        await decide(lead, await ask(lead, shell("bash --norc", tty=True, yield_time_ms=300)), "allow")
        session = int(re.search(r"session ID (\d+)", text_of(model.requests[-1].results[-1]))[1])
        said = {"session_id": session, "chars": f"touch {tmp_path}/outside; echo done $?\n"}
        ended = await lead.turn(f"CALL write_stdin {json.dumps(said)}")

    assert "done 1" in ended.text
    assert not (tmp_path / "outside").exists()


@pytest.mark.parametrize("permissions", ["deny", "ask", "edits"])
async def test_an_edit_is_asked_about_with_its_path(codex_agent, tmp_path, permissions):
    workspace = tmp_path / "workspace"
    async with codex_agent(permissions=permissions) as lead:
        inside = await ask(lead, shell(PATCH.format(path="new.txt")))
        await decide(lead, inside, "allow")
        outside = await ask(lead, shell(PATCH.format(path=tmp_path / "out.txt")))
        await decide(lead, outside, "deny")

    assert [(("edit", (str(workspace / "new.txt"),))), ("edit", (str(tmp_path / "out.txt"),))] == [
        (asked.tool, asked.touches) for asked in (inside, outside)
    ]
    assert "hello\n" == (workspace / "new.txt").read_text()
    assert not (tmp_path / "out.txt").exists()
    assert [True, False] == [returned.ok for returned in lead.of(ToolReturned)]


async def test_a_command_that_only_reads_says_so(codex_agent, tmp_path):
    (tmp_path / "workspace" / "a.txt").write_text("in a file\n")
    async with codex_agent(permissions="deny") as lead:
        asked = await ask(lead, shell("sed -n '1,20p' a.txt"))
        await decide(lead, asked, "allow")

    assert ((str(tmp_path / "workspace" / "a.txt"),), True) == (asked.touches, asked.reads)
    assert ["in a file\n"] == [returned.output for returned in lead.of(ToolReturned)]


@pytest.mark.parametrize("command", ["ls", "cat a", "git status", "echo hi", "true", "pwd", "python3 -c 1"])
async def test_no_command_is_harmless_enough_to_run_unasked(codex_agent, command):
    async with codex_agent(permissions="deny") as lead:
        await decide(lead, await ask(lead, shell(command)), "deny")

    assert [False] == [returned.ok for returned in lead.of(ToolReturned)]


async def test_who_may_do_everything_is_asked_about_nothing(codex_agent, tmp_path):
    async with codex_agent(permissions="all") as lead:
        await lead.turn(shell(f"touch {tmp_path}/outside"))
        await lead.turn(shell(PATCH.format(path=tmp_path / "out.txt")))

    assert [] == lead.of(Ask)
    assert (tmp_path / "outside").exists()
    assert "hello\n" == (tmp_path / "out.txt").read_text()


async def test_a_narrower_sandbox_confines_who_may_do_everything(codex_agent, tmp_path):
    async with codex_agent(permissions="all", options={"sandbox_mode": "workspace-write"}) as lead:
        await lead.turn(shell(f"touch inside; touch {Path.home()}/outside-{os.getpid()}"))

    assert [] == lead.of(Ask)
    assert (tmp_path / "workspace" / "inside").exists()
    assert not (Path.home() / f"outside-{os.getpid()}").exists()


async def test_a_question_open_at_the_interrupt_is_withdrawn(codex_agent, tmp_path):
    async with codex_agent() as lead:
        asked = await ask(lead, shell("touch made"))
        lead.write(lead.harness.interrupt())
        ended = await lead.until(TurnEnded)

        assert [asked.request] == [withdrawn.request for withdrawn in lead.of(Withdraw)]
        assert "interrupted" == ended.outcome
        assert [] == list(lead.harness.answer(asked.request, "allow"))
    assert not (tmp_path / "workspace" / "made").exists()


async def test_a_model_that_writes_programs_is_asked_about_each_tool_in_them(
    codex_agent, mcp_server, tmp_path
):
    """The models of OpenAI's own catalogue have one tool, `exec`, which takes JavaScript ("code mode")."""
    add = "text(JSON.stringify(await tools.mcp__madrox__add({a: 40, b: 2})))"
    touch = "text(JSON.stringify(await tools.exec_command({cmd: 'touch made'})))"
    async with codex_agent(mcp_server, model="gpt-6.1-sol") as lead:
        await lead.turn(f"CALL exec {json.dumps({'input': add})}")
        asked = await ask(lead, f"CALL exec {json.dumps({'input': touch})}")
        await decide(lead, asked, "deny")

    assert ["mcp__madrox__add", "shell"] == [called.tool for called in lead.of(ToolCalled)]
    assert [(True, "42"), (False, "declined")] == [(r.ok, r.output) for r in lead.of(ToolReturned)]
    assert "shell" == asked.tool
    assert not (tmp_path / "workspace" / "made").exists()


async def test_nobody_is_asked_at_a_terminal_and_no_agent_is_started_past_the_ledger(
    codex_agent, mcp_server, model
):
    async with codex_agent(mcp_server) as lead:
        await lead.turn("hi")
        await lead.turn('CALL request_user_input {"questions": []}')

    offered = {tool.get("name") or tool["type"] for tool in model.requests[0].body["tools"]}
    assert {"exec_command", "mcp__madrox"} <= offered
    assert not offered & {"multi_agent_v1", "create_goal", "view_image", "web_search"}
    assert 2 == len(lead.of(TurnEnded))
