"""The codec and the real Codex, with a scripted model behind it: its turns, failures, and what it is told."""

from __future__ import annotations

import asyncio
import contextlib
import json
import subprocess
from pathlib import Path

import pytest
from asking_codex import PATCH, ask, decide, runs, shell
from mcp_server import TOKEN, TinyServer
from model import text_of

from madrox_nb.events import Notice, TextDelta, ToolCalled, ToolReturned, TurnEnded, TurnSaid, UsageReported
from madrox_nb.harness import Ask, Steered

pytestmark = [pytest.mark.real, pytest.mark.anyio]


def tokens(driver):
    """(input and cache, output) of all its turns."""
    used = driver.of(UsageReported)
    return (
        sum(u.input_tokens + u.cache_read_tokens + u.cache_write_tokens for u in used),
        sum(u.output_tokens for u in used),
    )


def spent(requests):
    """The same, as the stub says it of these requests."""
    usages = [request.usage for request in requests]
    return sum(u.input + u.cache_read + u.cache_write for u in usages), sum(u.output for u in usages)


def run(command, env=None):
    subprocess.run(command, env=env, check=True, capture_output=True)


def config(env):
    return Path(env["CODEX_HOME"], "config.toml")


def rules(folder):
    folder = Path(folder, "rules")
    folder.mkdir(parents=True)
    return folder / "default.rules"


def files(folder):
    return [path for path in Path(folder).rglob("*") if path.is_file()]


async def pid_in(path):
    """The process id that a command writes there, as soon as it has."""
    async with asyncio.timeout(60):
        while not path.exists() or not path.read_text().endswith("\n"):
            await asyncio.sleep(0.01)
    return int(path.read_text())


async def test_it_becomes_ready_before_the_first_prompt_and_tells_its_version(codex_agent):
    async with codex_agent() as lead:
        assert "0.169.0" == lead.ready.version
        assert "stub-model" == lead.ready.model
        assert lead.ready.session


async def test_each_turn_remembers_those_before(codex_agent):
    async with codex_agent() as lead:
        for prompt in ("one", "two"):
            await lead.turn(prompt)
        ended = await lead.turn("three")

    assert ("ok", 'echo: three | seen=["one", "two"]') == (ended.outcome, ended.text)
    assert ended.text == lead.of(TurnSaid)[-1].text
    assert ended.text == "".join(d.text for d in lead.of(TextDelta) if d.turn == "lead.t3")
    assert lead.ready.session == ended.session


async def test_what_we_write_and_read_is_in_the_schema_of_this_very_program(
    codex_agent, codex, codex_env, tmp_path, mcp_server
):
    import jsonschema

    command = [codex, "app-server", "generate-json-schema", "--experimental"]
    run([*command, "--out", str(tmp_path / "schema")], codex_env)
    kinds = {
        name: jsonschema.Draft7Validator(json.loads((tmp_path / "schema" / f"{name}.json").read_text()))
        for name in ("ClientRequest", "ClientNotification", "ServerRequest", "ServerNotification")
    }
    async with codex_agent(mcp_server, options={"reasoning_effort": "low"}, instructions="Be.") as lead:
        lines = []
        write = lead.process.stdin.write
        lead.process.stdin.write = lambda data: (lines.append(data.decode()), write(data))[1]
        lead.begin("SLOW 20 0.05")
        await lead.until(TextDelta)
        lead.write(lead.harness.steer("lead.m1", 'CALL mcp__madrox__add {"a": 1, "b": 2}'))
        await lead.until(TurnEnded)
        await decide(lead, await ask(lead, shell("touch made")), "deny")
        await decide(lead, await ask(lead, shell(PATCH.format(path="a"))), "allow")
        lead.begin("SLOW 20 0.05")
        await lead.until(TextDelta)
        lead.write(lead.harness.interrupt())
        await lead.until(TurnEnded)
    fresh = type(lead.harness)(lead.harness.brief)
    greeting = [*fresh.greet(), fresh._open()]

    for line in (*greeting, *lines):
        message = json.loads(line)
        if "method" in message:
            kinds["ClientRequest"].validate(message)
        else:
            assert {"decision"} == message["result"].keys()
    read = [message for message in map(json.loads, lead.wire) if "method" in message]
    for message in read:
        kinds["ServerRequest" if "id" in message else "ServerNotification"].validate(message)
    assert {"turn/start", "turn/steer", "turn/interrupt"} <= {
        json.loads(line).get("method") for line in lines
    }
    assert {"item/fileChange/requestApproval", "turn/completed"} <= {message["method"] for message in read}


# usage


async def test_the_usage_of_the_turns_adds_up_to_what_the_model_says(codex_agent, model):
    async with codex_agent(permissions="all") as lead:
        for prompt in ("one", shell("echo hi"), "ERR 400", "two"):
            await lead.turn(prompt)

    answered = [request for request in model.requests if request.prompt != "ERR 400"]
    assert spent(answered) == tokens(lead)
    second = lead.of(UsageReported)[1]
    assert sum(r.usage.input for r in model.requests[1:3]) == second.input_tokens
    assert sum(r.usage.output for r in model.requests[1:3]) == second.output_tokens
    assert sum(r.usage.cache_read for r in model.requests[1:3]) == second.cache_read_tokens
    assert sum(r.usage.cache_write for r in model.requests[1:3]) == second.cache_write_tokens
    assert {"stub-model"} == {usage.model for usage in lead.of(UsageReported)}


async def test_a_resumed_session_keeps_its_context_and_pays_only_the_new_turns(codex_agent, model):
    async with codex_agent() as first:
        await first.turn("one")
    paid = len(model.requests)
    async with codex_agent(resume=first.ready.session) as lead:
        ended = await lead.turn("two")
        after = await lead.turn("three")

    assert first.ready.session == lead.ready.session
    assert 'echo: two | seen=["one"]' == ended.text
    assert 'echo: three | seen=["one", "two"]' == after.text
    assert spent(model.requests[paid:]) == tokens(lead)
    assert spent(model.requests[paid : paid + 1])[1] == lead.of(UsageReported)[0].output_tokens


async def test_a_fork_leaves_the_original_as_it_is(codex_agent, model):
    async with codex_agent() as first:
        await first.turn("one")
    paid = len(model.requests)
    async with codex_agent(resume=first.ready.session, fork=True) as fork:
        forked = await fork.turn("two, elsewhere")
    assert spent(model.requests[paid:]) == tokens(fork)
    async with codex_agent(resume=first.ready.session) as lead:
        original = await lead.turn("two")

    assert first.ready.session != fork.ready.session
    assert 'echo: two, elsewhere | seen=["one"]' == forked.text
    assert 'echo: two | seen=["one"]' == original.text


async def test_a_session_whose_process_was_killed_in_mid_turn_goes_on(codex_agent, model):
    async with codex_agent() as first:
        await first.turn("one")
        first.begin("SLOW 200 0.05")
        await first.until(TextDelta)
        first.kill()
        with pytest.raises(EOFError, match="exited with -9"):
            await first.until(TurnEnded)
    paid = len(model.requests)
    async with codex_agent(resume=first.ready.session) as lead:
        ended = await lead.turn("two")

    assert 'echo: two | seen=["one", "SLOW 200 0.05"]' == ended.text
    assert spent(model.requests[paid:]) == tokens(lead)


async def test_a_session_can_be_forked_while_the_original_runs(codex_agent):
    async with codex_agent() as first:
        await first.turn("one")
        async with codex_agent(resume=first.ready.session, fork=True) as fork:
            forked, own = await asyncio.gather(fork.turn("there"), first.turn("here"))

    assert 'echo: there | seen=["one"]' == forked.text
    assert 'echo: here | seen=["one"]' == own.text


async def test_a_death_in_mid_turn_leaves_the_usage_known_so_far(codex_agent, model):
    async with codex_agent(permissions="all") as lead:
        lead.begin(shell("echo hi") + "\n" + shell("sleep 600"))
        while len(lead.of(ToolCalled)) < 2 or not lead.harness._unpaid():
            await lead.read()
        lead.kill()
        with pytest.raises(EOFError, match="exited with -9"):
            await lead.until(TurnEnded)
        (lost,) = lead.harness.lost()

    assert "lead.t1" == lost.turn
    assert model.requests[0].usage.output <= lost.output_tokens


# interrupts and steering


async def test_an_interrupt_ends_the_turn_and_keeps_the_context(codex_agent, model):
    async with codex_agent() as lead:
        await lead.turn("remember mango")
        lead.begin("SLOW 200 0.05")
        await lead.until(TextDelta)
        lead.write(lead.harness.interrupt())
        cut = await lead.until(TurnEnded)
        after = await lead.turn("and now")

    assert "interrupted" == cut.outcome
    assert cut.text.startswith("word0 ")
    assert 'echo: and now | seen=["remember mango", "SLOW 200 0.05"]' == after.text
    assert spent([model.requests[0], model.requests[2]]) == tokens(lead)
    assert model.requests[1].finished.wait(10)
    assert model.requests[1].cut


async def test_an_interrupt_right_behind_the_prompt_is_not_lost(codex_agent):
    async with codex_agent() as lead:
        for _ in range(3):
            lead.begin("SLOW 1000 0.05")
            lead.write(lead.harness.interrupt())

            assert "interrupted" == (await lead.until(TurnEnded)).outcome
        assert "ok" == (await lead.turn("still there?")).outcome


async def test_an_interrupt_that_comes_too_late_harms_nobody(codex_agent):
    async with codex_agent() as lead:
        await lead.turn("one")
        lead.write(lead.harness.interrupt())

        assert "ok" == (await lead.turn("two")).outcome


async def test_an_interrupt_ends_a_tool_that_waits(codex_agent, mcp_server):
    async with codex_agent(mcp_server) as lead:
        lead.begin("CALL mcp__madrox__wait {}")
        await lead.until(ToolCalled)
        lead.write(lead.harness.interrupt())
        ended = await lead.until(TurnEnded)

    assert "interrupted" == ended.outcome
    assert [False] == [returned.ok for returned in lead.of(ToolReturned)]


async def test_an_interrupt_ends_the_command_that_runs_and_no_earlier_one(codex_agent, tmp_path):
    async with codex_agent(permissions="all") as lead:
        await lead.turn(shell("echo $$ > earlier; exec sleep 600", yield_time_ms=300))
        lead.begin(shell("echo $$ > now; exec sleep 600"))
        await lead.until(ToolCalled)
        pids = [await pid_in(tmp_path / "workspace" / name) for name in ("earlier", "now")]
        lead.write(lead.harness.interrupt())
        ended = await lead.until(TurnEnded)
        after = await lead.turn("still there?")  # answered behind what ends the command
        alive = [runs(pid) for pid in pids]

    assert ("interrupted", "ok") == (ended.outcome, after.outcome)
    assert [True, False] == alive
    assert [True, False] == [returned.ok for returned in lead.of(ToolReturned)]


async def test_a_steer_joins_the_turn_that_runs(codex_agent, model):
    async with codex_agent() as lead:
        lead.begin("SLOW 20 0.05")
        await lead.until(TextDelta)
        lead.write(lead.harness.steer("lead.m1", "also this"))
        ended = await lead.until(TurnEnded)

    assert [Steered(steer="lead.m1", joined=True)] == lead.of(Steered)
    assert ("ok", 'echo: also this | seen=["SLOW 20 0.05"]') == (ended.outcome, ended.text)
    assert 1 == len(lead.of(TurnEnded))
    assert lead.of(TurnSaid)[0].text.endswith("word19 ")
    assert spent(model.requests) == tokens(lead)


async def test_a_steer_joins_a_turn_that_waits_for_a_tool(codex_agent):
    async with codex_agent(permissions="all") as lead:
        lead.begin(shell("sleep 1; echo slept"))
        await lead.until(ToolCalled)
        lead.write(lead.harness.steer("lead.m1", "also this"))
        ended = await lead.until(TurnEnded)

    assert [(True, "slept\n")] == [(returned.ok, returned.output) for returned in lead.of(ToolReturned)]
    assert ended.text.startswith("echo: also this")


async def test_a_steer_right_behind_the_prompt_joins_too(codex_agent):
    async with codex_agent() as lead:
        lead.begin("SLOW 20 0.05")
        lead.write(lead.harness.steer("lead.m1", "also this"))
        ended = await lead.until(TurnEnded)

    assert [Steered(steer="lead.m1", joined=True)] == lead.of(Steered)
    assert ended.text.startswith("echo: also this")


async def test_a_steer_after_the_turn_did_not_join(codex_agent):
    async with codex_agent() as lead:
        await lead.turn("one")
        lead.write(lead.harness.steer("lead.m1", "too late"))

        assert Steered(steer="lead.m1", joined=False) == await lead.until(Steered)


# our tools


async def test_our_tools_are_there_in_the_very_first_turn(codex_agent, mcp_server):
    async with codex_agent(mcp_server) as lead:
        ended = await lead.turn(
            'CALL mcp__madrox__add {"a": 40, "b": 2}\nCALL mcp__madrox__add {"a": 1, "b": 1}'
        )

    assert "ok" == ended.outcome
    assert ["42", "2"] == [returned.output for returned in lead.of(ToolReturned)]
    assert [("mcp__madrox__add", '{"a": 40, "b": 2}')] == [(c.tool, c.input) for c in lead.of(ToolCalled)[:1]]
    assert [c.call for c in lead.of(ToolCalled)] == [r.call for r in lead.of(ToolReturned)]
    assert [] == lead.of(Ask)


async def test_our_tools_are_there_even_when_the_server_is_slow(codex_agent):
    with TinyServer(delay=7) as slow:
        async with codex_agent(slow) as lead:
            await lead.turn('CALL mcp__madrox__add {"a": 40, "b": 2}')

    assert ["42"] == [returned.output for returned in lead.of(ToolReturned)]


async def test_a_server_that_refuses_us_stops_the_start_in_words(codex_agent, mcp_server):
    with pytest.raises(EOFError, match=r"^codex could not reach its madrox tools: .*HTTP 401: no token$"):
        async with codex_agent(mcp_server, mcp_token="stale"):
            pass


@pytest.mark.parametrize(
    ("shape", "received"),
    [
        ("text", "the text"),
        ("meta", "the text"),
        ("structured", '{"the":"structure"}'),  # takes the text's place
        ("error", "the text"),
    ],
)
async def test_what_the_model_gets_to_see_of_a_tools_result(codex_agent, mcp_server, model, shape, received):
    async with codex_agent(mcp_server) as lead:
        await lead.turn(f'CALL mcp__madrox__shaped {{"shape": "{shape}"}}')
    (content,) = model.requests[1].results

    assert text_of(content).startswith("Wall time: ")
    assert text_of(content).endswith(f"Output:{received}") or text_of(content).endswith(
        f"Output:\n{received}"
    )
    assert [(shape != "error", "the text")] == [(r.ok, r.output) for r in lead.of(ToolReturned)]


# failures


async def test_an_api_error_fails_the_turn_and_the_next_one_works(codex_agent):
    async with codex_agent() as lead:
        failed = await lead.turn("ERR 400")
        limited = await lead.turn("ERR 429")
        after = await lead.turn("better?")

    assert ("failed", "the stub says 400") == (failed.outcome, failed.error)
    assert ("failed", "exceeded retry limit, last status: 429 Too Many Requests") == (
        limited.outcome,
        limited.error,
    )
    assert ("ok", 'echo: better? | seen=["ERR 400", "ERR 429"]') == (after.outcome, after.text)


async def test_an_answer_cut_by_the_network_is_asked_for_again_and_fails(codex_agent):
    async with codex_agent() as lead:
        ended = await lead.turn("DROP")

    assert "failed" == ended.outcome
    assert "stream disconnected" in ended.error
    assert [n.text for n in lead.of(Notice) if "Reconnecting" in n.text]


async def test_an_empty_answer_is_no_answer(codex_agent):
    async with codex_agent() as lead:
        ended = await lead.turn("EMPTY")

    assert ("failed", "the model gave an empty answer") == (ended.outcome, ended.error)


@pytest.mark.parametrize(
    ("brief", "reason"),
    [
        (
            {"resume": "01a21418-147b-7500-b7b1-fcdac074f1a9"},
            "codex can't go on with session 01a21418-147b-7500-b7b1-fcdac074f1a9: no rollout found",
        ),
        ({"resume": "garbage"}, "codex can't go on with session garbage: invalid session id"),
        ({"resume": "garbage", "fork": True}, "codex can't go on with session garbage"),
    ],
)
async def test_a_session_that_is_not_there_is_named(codex_agent, brief, reason):
    with pytest.raises(EOFError, match=reason):
        async with codex_agent(**brief):
            pass


async def test_who_is_not_logged_in_is_told_before_anything_is_asked(codex_agent, codex_env, model):
    config(codex_env).write_text("# nothing\n")
    with pytest.raises(EOFError, match="codex is not logged in: run `codex login`"):
        async with codex_agent():
            pass

    assert [] == model.requests


async def test_a_model_that_the_provider_does_not_know_fails_the_turn_with_its_words(codex_agent, model):
    async with codex_agent(model="no-such-model") as lead:
        assert "no-such-model" == lead.ready.model
        ended = await lead.turn("ERR 404")

    assert "no-such-model" == model.requests[0].body["model"]
    assert "the stub says 404" in ended.error


async def test_a_broken_config_is_named(codex_agent, codex_env):
    config(codex_env).write_text('model_provider = "nowhere"\n')
    with pytest.raises(EOFError, match=r"codex could not begin: .*`nowhere` not found"):
        async with codex_agent():
            pass


# what it is told, and what nobody else gets to know


async def test_its_instructions_and_its_effort_reach_the_model(codex_agent, model):
    async with codex_agent(
        instructions="You are lead — the 1st.", options={"reasoning_effort": "low"}
    ) as lead:
        await lead.turn("hi")

    assert "You are lead — the 1st." in json.dumps(model.requests[0].body["input"], ensure_ascii=False)


@pytest.mark.parametrize("fork", [False, True])
async def test_an_agent_that_goes_on_follows_its_new_instructions(codex_agent, model, fork):
    async with codex_agent(instructions="You are the first.") as first:
        await first.turn("hi")
    second = {"resume": first.ready.session, "fork": fork, "instructions": "You are the second."}
    async with codex_agent(**second) as lead:
        await lead.turn("hi")
        ended = await lead.turn("who?")
    said = json.dumps(model.requests[-1].body["input"])

    assert 1 == said.count("You are the second.")
    assert said.index("You are the first.") < said.index("You are the second.")
    assert 'echo: who? | seen=["hi", "hi"]' == ended.text


async def test_no_token_stands_in_arguments_environment_or_its_home(codex_agent, mcp_server, codex_env):
    async with codex_agent(mcp_server) as lead:
        await lead.turn('CALL mcp__madrox__add {"a": 40, "b": 2}')
        process = Path("/proc", str(lead.process.pid))
        listed = [(process / name).read_bytes() for name in ("cmdline", "environ")]
    kept = files(codex_env["HOME"])

    assert [] == [text for text in listed if TOKEN.encode() in text]
    assert [] == [path for path in kept if TOKEN.encode() in path.read_bytes()]
    assert kept
    assert TOKEN not in "".join(lead.wire)


async def test_it_speaks_to_nobody_but_its_model_and_us(codex_agent, codex_env, mcp_server):
    strangers = []

    async def refuse(reader, writer):
        strangers.append(await reader.readline())
        writer.close()

    async with await asyncio.start_server(refuse, "127.0.0.1", 0) as proxy:
        port = proxy.sockets[0].getsockname()[1]
        outside = dict.fromkeys(("HTTPS_PROXY", "HTTP_PROXY", "ALL_PROXY"), f"http://127.0.0.1:{port}")
        codex_env.update(outside, NO_PROXY="127.0.0.1")
        async with codex_agent(mcp_server) as lead:
            ended = await lead.turn('CALL mcp__madrox__add {"a": 40, "b": 2}')

    assert "ok" == ended.outcome
    assert [] == strangers


@pytest.mark.parametrize("permissions", ["edits", "all"])
@pytest.mark.parametrize("repository", [False, True])
async def test_the_persons_config_stays_as_it_was(codex_agent, codex_env, tmp_path, permissions, repository):
    if repository:
        run(["git", "init", "-q", str(tmp_path)])
    before = config(codex_env).read_bytes()
    async with codex_agent(permissions=permissions) as lead:
        await lead.turn("hi")

    assert before == config(codex_env).read_bytes()


async def test_what_an_agent_leaves_in_its_workspace_does_not_configure_the_next(
    codex_agent, tmp_path, model
):
    folder = tmp_path / "workspace" / ".codex"
    folder.mkdir()
    (folder / "config.toml").write_text('model = "planted"\ndeveloper_instructions = "planted"\n')
    async with codex_agent(permissions="all") as lead:
        await lead.turn("hi")

    assert "stub-model" == model.requests[0].body["model"]
    assert "planted" not in json.dumps(model.requests[0].body)


async def test_the_persons_own_rules_are_followed_and_those_of_a_workspace_are_not(
    codex_agent, codex_env, tmp_path
):
    rule = 'prefix_rule(pattern=["{}"], decision="allow")\n'
    for folder, command in ((codex_env["CODEX_HOME"], "touch"), (tmp_path / "workspace" / ".codex", "mkdir")):
        rules(folder).write_text(rule.format(command))
    async with codex_agent() as lead:
        ended = await lead.turn(shell("touch made"))
        asked = await ask(lead, shell("mkdir made-too"))
        await decide(lead, asked, "deny")

    assert "ok" == ended.outcome
    assert [asked] == lead.of(Ask)
    assert (tmp_path / "workspace" / "made").exists()
    assert not (tmp_path / "workspace" / "made-too").exists()


async def test_a_prompt_arrives_whole_whatever_it_holds(codex_agent, model):
    prompt = "nul \0 line\u2028separator 😀 \x1b[31m\r\nlast"
    async with codex_agent() as lead:
        await lead.turn(prompt)

    assert prompt == model.requests[0].prompt


async def test_a_prompt_of_100_kilobytes_arrives(codex_agent, model):
    prompt = "x" * 100_000
    async with codex_agent() as lead:
        ended = await lead.turn(prompt)

    assert "ok" == ended.outcome
    assert prompt == model.requests[0].prompt


async def test_it_ends_when_its_input_does(codex_agent):
    async with codex_agent() as lead:
        await lead.turn("one")
        lead.process.stdin.close()
        with contextlib.suppress(EOFError):
            await lead.until(TurnEnded)

        assert 0 == await asyncio.wait_for(lead.process.wait(), 60)
