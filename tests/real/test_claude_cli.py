"""The codec and the real Claude Code, with a scripted model behind it."""

from __future__ import annotations

import asyncio
import json
import math

import pytest
from mcp_server import TOKEN, TinyServer

from madrox_nb.events import Notice, TextDelta, ToolCalled, ToolReturned, TurnEnded, TurnSaid, UsageReported
from madrox_nb.harness import Ask, Withdraw

pytestmark = [pytest.mark.real, pytest.mark.anyio]


def cumulative(driver):
    """Cost and tokens as the CLI itself sums them up, from its last result."""
    result = [message for message in map(json.loads, driver.wire) if message["type"] == "result"][-1]
    tokens = sum(
        usage[name]
        for usage in result["modelUsage"].values()
        for name in ("inputTokens", "outputTokens", "cacheReadInputTokens", "cacheCreationInputTokens")
    )
    return result["total_cost_usd"], tokens


def tokens(driver):
    return sum(
        usage.input_tokens + usage.output_tokens + usage.cache_read_tokens + usage.cache_write_tokens
        for usage in driver.of(UsageReported)
    )


async def test_it_becomes_ready_before_the_first_prompt_and_tells_its_version(agent):
    async with agent(session="11111111-2222-4333-8444-555555555555") as lead:
        assert "11111111-2222-4333-8444-555555555555" == lead.ready.session
        assert "2.1.330" == lead.ready.version


async def test_each_turn_remembers_those_before(agent):
    async with agent() as lead:
        for prompt in ("one", "two"):
            await lead.turn(prompt)
        ended = await lead.turn("three")

    assert ("ok", 'echo: three | seen=["one", "two"]') == (ended.outcome, ended.text)
    assert ended.text == lead.of(TurnSaid)[-1].text
    assert ended.text == "".join(d.text for d in lead.of(TextDelta) if d.turn == "lead.t3")
    assert lead.ready.session == ended.session


async def test_the_costs_of_the_turns_add_up_to_what_the_cli_says(agent, model):
    async with agent(permissions="all") as lead:
        for prompt in ("one", 'CALL Bash {"command": "echo hi"}', "ERR 400", "two"):
            await lead.turn(prompt)

    assert cumulative(lead) == (pytest.approx(lead.cost), tokens(lead))
    assert {"cli"} == {usage.cost_source for usage in lead.of(UsageReported)}
    second = lead.of(UsageReported)[1]
    assert sum(r.usage.input for r in model.requests[1:3]) == second.input_tokens
    assert sum(r.usage.output for r in model.requests[1:3]) == second.output_tokens
    assert sum(r.usage.cache_read for r in model.requests[1:3]) == second.cache_read_tokens
    assert sum(r.usage.cache_write for r in model.requests[1:3]) == second.cache_write_tokens


async def test_the_costs_of_its_own_sub_agents_are_counted(agent, model):
    inner = {"description": "d", "prompt": "go deep", "subagent_type": "general-purpose"}
    async with agent(permissions="all") as lead:
        ended = await lead.turn(f"CALL Task {json.dumps(inner)}")

    assert 3 == len(model.requests)
    assert "ok" == ended.outcome
    assert sum(request.usage.input for request in model.requests) == lead.of(UsageReported)[0].input_tokens
    assert ["Task"] == [called.tool for called in lead.of(ToolCalled)]
    assert [ended.text] == [said.text for said in lead.of(TurnSaid)]


async def test_a_prompt_arrives_whole_whatever_it_holds(agent, model):
    prompt = "nul \0 line\u2028separator 😀 \x1b[31m\r\nlast"
    async with agent() as lead:
        await lead.turn(prompt)

    assert prompt == model.requests[0].prompt


async def test_an_interrupt_ends_the_turn_and_keeps_what_was_said(agent):
    async with agent() as lead:
        lead.begin("SLOW 200 0.05")
        await lead.until(TextDelta)
        lead.write(lead.harness.interrupt())
        cut = await lead.until(TurnEnded)
        after = await lead.turn("and now")

    assert "interrupted" == cut.outcome
    assert cut.text.startswith("word0 ")
    assert 'echo: and now | seen=["SLOW 200 0.05"]' == after.text
    assert cumulative(lead) == (pytest.approx(lead.cost), tokens(lead))


async def test_an_interrupt_right_behind_the_prompt_is_not_lost(agent):
    async with agent() as lead:
        await lead.turn("warm up")
        lead.begin("SLOW 1000 0.05")
        lead.write(lead.harness.interrupt())

        assert "interrupted" == (await lead.until(TurnEnded)).outcome


async def test_an_interrupt_that_comes_too_late_harms_nobody(agent):
    async with agent() as lead:
        await lead.turn("one")
        lead.write(lead.harness.interrupt())

        assert "ok" == (await lead.turn("two")).outcome


async def test_our_tools_are_there_in_the_very_first_turn(agent, mcp_server, model):
    async with agent(mcp_server) as lead:
        ended = await lead.turn(
            'CALL mcp__madrox__add {"a": 40, "b": 2}\nCALL mcp__madrox__add {"a": 1, "b": 1}'
        )

    assert ("ok", "result: 2") == (ended.outcome, ended.text)
    assert ["42", "2"] == [returned.output for returned in lead.of(ToolReturned)]
    assert [("mcp__madrox__add", '{"a": 40, "b": 2}')] == [(c.tool, c.input) for c in lead.of(ToolCalled)[:1]]
    assert [c.call for c in lead.of(ToolCalled)] == [r.call for r in lead.of(ToolReturned)]
    assert [] == lead.of(Ask)


async def test_our_tools_are_there_even_when_the_server_is_slow(agent):
    with TinyServer(delay=7) as slow:
        async with agent(slow) as lead:
            assert "result: 42" == (await lead.turn('CALL mcp__madrox__add {"a": 40, "b": 2}')).text


async def test_a_server_that_refuses_us_is_noticed(agent, mcp_server):
    async with agent(mcp_server, mcp_token="stale") as lead:
        await lead.turn("hi")

    assert ["MCP server madrox is failed: its tools are missing"] == [n.text for n in lead.of(Notice)]


async def test_an_interrupt_ends_a_tool_that_waits(agent, mcp_server):
    async with agent(mcp_server) as lead:
        lead.begin("CALL mcp__madrox__wait {}")
        await lead.until(ToolCalled)
        lead.write(lead.harness.interrupt())
        ended = await lead.until(TurnEnded)

    assert "interrupted" == ended.outcome
    assert [False] == [returned.ok for returned in lead.of(ToolReturned)]


@pytest.mark.parametrize(
    ("shape", "received"),
    [
        ("text", ["the text"]),
        ("meta", ["the text"]),  # the one place that is ours alone
        ("structured", ['{"the":"structure"}']),  # takes the text's place
        ("resource", ["the text", "[Resource from madrox at madrox://hidden] for the person"]),
        ("audience", ["the text", "for the person"]),
        ("error", ["the text"]),
    ],
)
async def test_what_the_model_gets_to_see_of_a_tools_result(agent, mcp_server, model, shape, received):
    async with agent(mcp_server) as lead:
        await lead.turn(f'CALL mcp__madrox__shaped {{"shape": "{shape}"}}')
    (content,) = model.requests[1].results

    assert received == ([content] if isinstance(content, str) else [block["text"] for block in content])
    assert [(shape != "error", "\n".join(received))] == [(r.ok, r.output) for r in lead.of(ToolReturned)]


async def test_an_api_error_fails_the_turn_and_the_next_one_works(agent):
    async with agent() as lead:
        failed = await lead.turn("ERR 400")
        after = await lead.turn("better?")

    assert ("failed", "API Error: 400 the stub says 400") == (failed.outcome, failed.error)
    assert ("ok", 'echo: better? | seen=["ERR 400"]') == (after.outcome, after.text)
    assert [after.text] == [said.text for said in lead.of(TurnSaid)]


async def test_a_retry_is_noticed(agent):
    async with agent() as lead:
        ended = await lead.turn("ERR 529 1")

    assert "ok" == ended.outcome
    assert "the API answered 529 (overloaded)" in lead.of(Notice)[0].text


async def test_an_answer_cut_by_the_network_is_asked_for_again_or_fails(agent):
    async with agent() as lead:
        ended = await lead.turn("DROP")

    assert "failed" == ended.outcome
    assert ended.error


async def test_an_empty_answer_is_no_answer(agent):
    async with agent() as lead:
        ended = await lead.turn("EMPTY")

    assert ("failed", "the model gave an empty answer") == (ended.outcome, ended.error)


async def test_a_slash_command_that_says_nothing_is_no_failure(agent):
    async with agent() as lead:
        await lead.turn("one")
        cleared = await lead.turn("/clear")
        after = await lead.turn("two")

    assert ("ok", "") == (cleared.outcome, cleared.text)
    assert "one" not in after.text
    assert lead.ready.session != after.session
    assert f"claude left session {lead.ready.session} for {after.session}" in [
        n.text for n in lead.of(Notice)
    ]
    assert cumulative(lead)[0] == pytest.approx(lead.of(UsageReported)[-1].cost_usd)


async def test_a_death_in_mid_turn_leaves_the_usage_known_so_far(agent, model):
    async with agent() as lead:
        lead.begin("SLOW 200 0.05")
        await lead.until(TextDelta)
        lead.kill()
        with pytest.raises(EOFError, match="exited with -9"):
            await lead.until(TurnEnded)
        (lost,) = lead.harness.lost()

    usage = model.requests[0].usage
    assert (usage.input, usage.cache_read) == (lost.input_tokens, lost.cache_read_tokens)
    assert "unknown" == lost.cost_source
    assert math.isnan(lost.cost_usd)
    assert "lead.t1" == lost.turn


async def test_a_denial_reaches_the_model_with_its_reason(agent, model, tmp_path):
    async with agent() as lead:
        lead.begin('CALL Bash {"command": "touch made"}')
        ask = await lead.until(Ask)
        lead.write(lead.harness.answer(ask.request, "deny", "not in this house"))
        ended = await lead.until(TurnEnded)

    assert ("Bash", "touch made", None) == (ask.tool, ask.input["command"], ask.touches)
    assert ("not in this house",) == model.requests[-1].results
    assert "ok" == ended.outcome
    assert not (tmp_path / "workspace" / "made").exists()


async def test_an_allowed_write_is_done(agent, tmp_path):
    path = tmp_path / "workspace" / "new.txt"
    async with agent() as lead:
        lead.begin(f"CALL Write {json.dumps({'file_path': str(path), 'content': 'hello'})}")
        ask = await lead.until(Ask)
        lead.write(lead.harness.answer(ask.request, "allow"))
        await lead.until(TurnEnded)

    assert (str(path),) == ask.touches
    assert "hello" == path.read_text()


async def test_a_question_open_at_the_interrupt_is_withdrawn(agent):
    async with agent() as lead:
        lead.begin('CALL Bash {"command": "touch made"}')
        ask = await lead.until(Ask)
        lead.write(lead.harness.interrupt())
        withdrawn = await lead.until(Withdraw)

        assert ask.request == withdrawn.request
        assert "interrupted" == (await lead.until(TurnEnded)).outcome
        assert () == lead.harness.answer(ask.request, "allow")


async def test_nobody_is_asked_to_answer_at_a_terminal(agent, model):
    async with agent() as lead:
        await lead.turn("hi")

    offered = {tool["name"] for tool in model.requests[0].body["tools"]}
    assert {"Bash", "Write"} <= offered
    assert not offered & {"AskUserQuestion", "EnterPlanMode", "Monitor"}


async def test_its_instructions_stand_in_the_system_prompt(agent, model):
    async with agent(instructions="You are lead — the 1st.") as lead:
        await lead.turn("hi")

    assert "You are lead — the 1st." in json.dumps(model.requests[0].body["system"], ensure_ascii=False)


async def test_the_token_is_in_a_private_file_and_nowhere_else(agent, mcp_server, tmp_path):
    async with agent(mcp_server) as lead:
        argv = " ".join(lead.harness.launch().argv)

    modes = {path.name: path.stat().st_mode & 0o777 for path in (tmp_path / "files").iterdir()}
    assert {"mcp.json": 0o600} == modes
    assert TOKEN in (tmp_path / "files" / "mcp.json").read_text()
    assert TOKEN not in argv


async def test_a_session_id_in_use_is_refused(agent):
    async with agent() as first:
        await first.turn("mine")
        with pytest.raises(EOFError, match="exited with 1"):
            async with agent(session=first.ready.session):
                pass


async def test_a_prompt_of_a_megabyte_arrives(agent, model):
    prompt = "x" * 1_000_000
    async with agent() as lead:
        ended = await asyncio.wait_for(lead.turn(prompt), 60)

    assert "ok" == ended.outcome
    assert 1_000_000 == len(model.requests[0].prompt)
