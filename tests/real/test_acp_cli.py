"""The ACP codec and the real opencode and gemini, with a scripted model behind them."""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from acp_programs import PROGRAMS, Program, call, program
from driver import Driver
from mcp_server import TOKEN, TinyServer
from model import Model

from madrox_nb.events import (
    AgentStopped,
    Notice,
    TextDelta,
    ToolCalled,
    ToolReturned,
    TurnEnded,
    TurnSaid,
    UsageReported,
)
from madrox_nb.harness import Ask, Brief, Item, Withdraw

pytestmark = [pytest.mark.real, pytest.mark.anyio]

Start = Callable[..., Driver]
Kept = Callable[[Program], Awaitable[Driver]]


class Refused(Exception):
    """The agent can't be used as asked."""


class Impatient(Driver):
    """Does not wait for the program's own end, which has tests of its own."""

    async def read(self) -> list[Item]:
        items = await super().read()
        for item in items:
            if isinstance(item, AgentStopped):
                raise Refused(item.reason)
        return items

    async def __aexit__(self, *_: object) -> None:
        with contextlib.suppress(ProcessLookupError):
            self.kill()
        await self.process.wait()


def together(name: str) -> pytest.MarkDecorator:
    """One worker for all tests of an agent: what is kept running is started once."""
    return pytest.mark.xdist_group(f"the real {name}")


@pytest.fixture(params=[pytest.param(name, marks=together(name)) for name in PROGRAMS])
def agent(request: pytest.FixtureRequest) -> Program:
    return program(request.param)


@pytest.fixture
def opencode() -> Program:
    return program("opencode")


@pytest.fixture
def gemini() -> Program:
    return program("gemini")


@pytest.fixture(scope="module")
def anyio_backend() -> str:
    """One loop for the module: what is kept running lives on it."""
    return "asyncio"


def made(agent: Program, place: Path, stub: Model, server: TinyServer | None = None, **more: Any) -> Driver:
    for name in ("home", "workspace", "files"):
        (place / name).mkdir(parents=True, exist_ok=True)
    fields: dict[str, Any] = {
        "agent": "lead",
        "command": agent.command,
        "workspace": str(place / "workspace"),
        "files": str(place / "files"),
        "mcp_url": server.url if server else "",
        "mcp_token": TOKEN if server else "",
    }
    return Impatient(agent.harness(Brief(**{**fields, **more})), agent.env(place / "home", stub.url))


@pytest.fixture
def start(model: Model, tmp_path: Path) -> Start:
    """Makes a real agent behind its codec, to be entered with `async with`."""
    return lambda agent, *server, **more: made(agent, tmp_path, model, *server, **more)


@pytest.fixture(scope="module")
def common() -> Iterator[Model]:
    """The model of those that are kept running."""
    with Model() as model:
        yield model


@pytest.fixture(scope="module")
async def kept(tmp_path_factory: pytest.TempPathFactory, common: Model) -> AsyncIterator[Kept]:
    """Gives a real agent that has our tools and goes on for the next test: a start takes seconds.

    What it said before is forgotten; its conversation is not. Whom a test left at work is replaced.
    """
    running: dict[str, Driver] = {}

    async def kept(agent: Program) -> Driver:
        lead = running.get(agent.name)
        if lead is not None and (lead.harness.turn or lead.process.returncode is not None):
            await lead.__aexit__()
            lead = None
        if lead is None:
            place = tmp_path_factory.mktemp(agent.name)
            lead = running[agent.name] = await made(agent, place, common, server).__aenter__()
        lead.items.clear()
        return lead

    with TinyServer() as server:
        yield kept
        for lead in running.values():
            await lead.__aexit__()


@pytest.fixture
async def lead(agent: Program, kept: Kept) -> Driver:
    return await kept(agent)


def workspace(lead: Driver) -> Path:
    return Path(lead.harness.brief.workspace)


async def decided(
    lead: Driver, prompt: str, decision: str, why: str = "not in this house"
) -> tuple[Ask, TurnEnded]:
    lead.begin(prompt)
    ask = await lead.until(Ask)
    lead.write(lead.harness.answer(ask.request, decision, why))
    return ask, await lead.until(TurnEnded)


async def test_it_becomes_ready_with_its_session_model_and_version_and_all_goes_well(agent, start):
    async with start(agent) as lead:
        await lead.turn("one")

    assert lead.ready.session
    assert (agent.model, agent.harness.tested[0]) == (lead.ready.model, lead.ready.version)
    assert [] == lead.of(Notice), "not a word of ours"


async def test_each_turn_remembers_those_before(lead):
    for prompt in ("one", "two"):
        await lead.turn(prompt)
    ended = await lead.turn("three")

    assert "ok" == ended.outcome
    assert ended.text.startswith("echo: three | seen=[")
    assert ended.text.endswith('"one", "two"]')
    assert ended.text == lead.of(TurnSaid)[-1].text
    assert ended.text == "".join(d.text for d in lead.of(TextDelta) if d.turn == ended.turn)
    assert lead.ready.session == ended.session


async def test_the_instructions_stand_in_front_of_the_first_prompt_and_only_there(agent, start, model):
    async with start(agent, instructions="You are lead. SAY it.") as lead:
        first, second = await lead.turn("a-first-prompt"), await lead.turn("two")

    assert ["ok", "ok"] == [first.outcome, second.outcome]
    last = str(model.requests[-1].body)
    assert 1 == last.count("You are lead. SAY it.")
    assert last.index("You are lead. SAY it.") < last.index("a-first-prompt")


async def test_a_prompt_of_100_kb_arrives_whole(agent, lead, common):
    prompt = "".join(f"line {i} 😀 \x1b[31m\u2028\r\n" for i in range(5_000)) + f"last for {agent.name}"
    assert len(prompt.encode()) > 100_000
    await lead.turn(prompt)

    assert prompt in [request.prompt for request in common.requests]


@together("opencode")
async def test_an_interrupt_of_opencode_keeps_the_cut_prompt_and_its_own_bill(opencode, kept):
    after = await interrupted(await kept(opencode))

    assert after.text.endswith('"one", "SLOW 200 0.05"]')


@together("gemini")
async def test_an_interrupt_of_gemini_keeps_all_but_the_cut_prompt(gemini, kept):
    after = await interrupted(await kept(gemini))

    assert after.text.endswith('"one"]')


async def interrupted(lead: Driver) -> TurnEnded:
    await lead.turn("one")
    lead.begin("SLOW 200 0.05")
    await lead.until(TextDelta)
    lead.write(lead.harness.interrupt())
    cut = await lead.until(TurnEnded)
    after = await lead.turn("and now")

    assert "interrupted" == cut.outcome
    assert cut.text.startswith("word0 ")
    assert ["unknown"] == [used.cost_source for used in lead.of(UsageReported) if used.turn == cut.turn]
    assert after.text.startswith("echo: and now | seen=[")
    return after


async def test_an_interrupt_right_behind_the_prompt_is_not_lost(lead):
    lead.begin("SLOW 1000 0.05")
    lead.write(lead.harness.interrupt())

    assert "interrupted" == (await lead.until(TurnEnded)).outcome
    assert "ok" == (await lead.turn("two")).outcome


async def test_an_interrupt_that_comes_too_late_harms_nobody(lead):
    lead.harness.turn = (await lead.turn("one")).turn  # as if its end were still on its way
    lead.write(lead.harness.interrupt())

    assert "ok" == (await lead.turn("two")).outcome


async def test_our_tools_are_there_in_the_first_turn_by_our_token_and_unasked(agent, start, mcp_server):
    two = agent.tool("shaped", shape="text") + "\n" + agent.tool("shaped", shape="error")
    async with start(agent, mcp_server) as lead:
        ended = await lead.turn(two)

    assert "ok" == ended.outcome
    assert [f"{agent.prefix}shaped"] * 2 == [called.tool for called in lead.of(ToolCalled)]
    assert [c.call for c in lead.of(ToolCalled)] == [r.call for r in lead.of(ToolReturned)]
    assert [True, False] == [returned.ok for returned in lead.of(ToolReturned)]
    assert all("the text" in returned.output for returned in lead.of(ToolReturned))
    assert [] == lead.of(Ask)


async def test_a_token_that_is_not_ours_opens_no_tools(agent, start, mcp_server, model):
    async with start(agent, mcp_server, mcp_token="stale") as lead:
        await lead.turn("hi")

    assert f"{agent.prefix}shaped" not in str(model.requests[-1].body)


async def test_an_interrupt_ends_a_tool_that_waits(agent, lead):
    lead.begin(agent.tool("wait"))
    await lead.until(ToolCalled)
    lead.write(lead.harness.interrupt())
    ended = await lead.until(TurnEnded)

    assert "interrupted" == ended.outcome
    assert [False] == [returned.ok for returned in lead.of(ToolReturned)]


async def test_its_shell_is_asked_about_and_runs_when_allowed(agent, lead):
    ask, ended = await decided(lead, agent.touch("allowed"), "allow")

    assert (agent.shell, None, False) == (ask.tool, ask.touches, ask.reads)
    assert "touch allowed" in str(ask.input)
    assert "ok" == ended.outcome
    assert (workspace(lead) / "allowed").exists()


async def test_its_shell_does_not_run_when_denied_and_the_turn_goes_on(agent, lead):
    _, ended = await decided(lead, agent.touch("denied"), "deny")
    after = await lead.turn("and now")

    assert ("ok", "ok") == (ended.outcome, after.outcome)
    assert ended.text.startswith("result: ")
    assert [False] == [returned.ok for returned in lead.of(ToolReturned)]
    assert not (workspace(lead) / "denied").exists()


async def test_why_it_was_refused_reaches_the_model_with_the_next_prompt(agent, lead, common):
    why = f"not on a Friday, {agent.name}"  # all of them have this model
    await decided(lead, agent.touch("denied"), "deny", why)
    told_before = [why in str(request.body) for request in common.requests]
    await lead.turn("and now")

    assert not any(told_before)
    assert why in str(common.requests[-1].body)


async def test_an_edit_names_the_file_that_it_would_touch(agent, lead):
    path = workspace(lead) / "edited"
    ask, ended = await decided(lead, agent.writes(path), "allow")

    assert ((str(path),), False) == (ask.touches, ask.reads)
    assert "ok" == ended.outcome
    assert "written" == path.read_text()


async def test_an_interrupt_withdraws_a_question(agent, lead):
    lead.begin(agent.touch("withdrawn"))
    ask = await lead.until(Ask)
    lead.write(lead.harness.interrupt())
    ended = await lead.until(TurnEnded)
    after = await lead.turn("and now")

    assert [ask.request] == [withdrawn.request for withdrawn in lead.of(Withdraw)]
    assert ("interrupted", "ok") == (ended.outcome, after.outcome)
    assert not (workspace(lead) / "withdrawn").exists()


@together("opencode")
async def test_what_opencode_reads_through_a_link_is_asked_about(opencode, kept, tmp_path):
    lead = await kept(opencode)
    (tmp_path / "secret").write_text("the canary sings")
    link = workspace(lead) / "link"
    link.symlink_to(tmp_path / "secret")
    ask, ended = await decided(lead, call("read", filePath=str(link)), "deny")

    assert ("read", (str(link),), True) == (ask.tool, ask.touches, ask.reads)
    assert "canary" not in ended.text


@together("opencode")
async def test_where_opencode_searches_is_asked_about(opencode, kept):
    lead = await kept(opencode)
    here, _ = await decided(lead, call("grep", pattern="x"), "deny")
    there, _ = await decided(lead, call("grep", pattern="x", path="/etc"), "deny")

    assert ((str(workspace(lead)),), True) == (here.touches, here.reads)
    assert "/etc" in (there.touches or ("/etc",))
    assert there.touches is None or there.reads


@together("gemini")
async def test_gemini_reads_nothing_outside_its_workspace(gemini, kept, tmp_path):
    lead = await kept(gemini)
    (tmp_path / "secret").write_text("the canary sings")
    link = workspace(lead) / "link"
    link.symlink_to(tmp_path / "secret")
    for path in (tmp_path / "secret", link):
        ended = await lead.turn(call("read_file", file_path=str(path)))
        assert "canary" not in ended.text
    ended = await lead.turn(f"@{tmp_path / 'secret'} what does it say?")

    assert "canary" not in ended.text
    assert [False, False] == [returned.ok for returned in lead.of(ToolReturned)]


async def test_an_api_error_fails_the_turn_by_name_and_the_next_one_works(lead):
    failed = await lead.turn("ERR 400")
    after = await lead.turn("better?")

    assert "failed" == failed.outcome
    assert failed.error.endswith("the stub says 400")
    assert "ok" == after.outcome


async def test_the_costs_of_opencodes_turns_add_up_to_its_bill_and_its_tokens_are_those_of_the_last_request(
    opencode, start, mcp_server, model
):
    async with start(opencode, mcp_server) as lead:
        await lead.turn("one")
        await lead.turn(opencode.tool("shaped", shape="text"))
    titles = [r for r in model.requests if not r.body.get("tools")]  # it may come before or after the first
    requests = [r for r in model.requests if r.body.get("tools")]
    price = sum(r.usage.input + 0.1 * r.usage.cache_read + 2 * r.usage.output for r in requests) / 1e6
    last = lead.of(UsageReported)[-1]

    assert ["title" in str(title.body).lower() for title in titles] == [True]  # it is not on the bill
    assert pytest.approx(price) == lead.cost
    assert {"cli"} == {used.cost_source for used in lead.of(UsageReported)}
    assert (requests[-1].usage.input, requests[-1].usage.output) == (last.input_tokens, last.output_tokens)


async def test_the_tokens_of_geminis_turns_are_those_of_all_its_requests(gemini, start, mcp_server, model):
    async with start(gemini, mcp_server) as lead:
        await lead.turn(gemini.tool("shaped", shape="text"))
    [used] = lead.of(UsageReported)

    assert 2 == len(model.requests)
    assert sum(r.usage.input + r.usage.cache_read for r in model.requests) == used.input_tokens
    assert sum(r.usage.output for r in model.requests) == used.output_tokens
    assert ("gemini-2.5-flash", "unknown") == (used.model, used.cost_source)


async def test_the_model_that_was_asked_for_is_used(opencode, gemini, start, model):
    for agent, name, said in (
        (opencode, "stub/other-model", "other-model"),
        (gemini, "gemini-2.5-pro", "gemini-2.5-pro:"),
    ):
        async with start(agent, model=name) as lead:
            assert name == lead.ready.model
            await lead.turn("hi")
        [asked] = [r for r in model.requests if r.body.get("tools")]  # a title is asked for beside it
        assert said in f"{asked.path} {asked.body.get('model')}"
        model.requests.clear()


async def test_a_model_that_opencode_does_not_know_is_refused_by_name(opencode, start):
    with pytest.raises(
        Refused, match=r"opencode can't use the model 'stub/none' \(it offers .*stub/other-model"
    ):
        await start(opencode, model="stub/none").__aenter__()


async def test_gemini_takes_any_model_and_fails_at_the_api(gemini, start, model):
    async with start(gemini, model="no-such-model") as lead:
        await lead.turn("hi")

    assert "/no-such-model:" in model.requests[-1].path


async def test_opencode_is_forked_and_goes_on_in_new_processes_as_if_there_had_been_no_fork(
    opencode, start, model
):
    async with start(opencode) as lead:
        await lead.turn("remember mango")
    async with start(opencode, resume=lead.ready.session, fork=True) as fork:
        forked = await fork.turn("two")
    async with start(opencode, resume=lead.ready.session, instructions="You are lead.") as again:
        ended = await again.turn("three")
        after = await again.turn("four")

    assert lead.ready.session == again.ready.session != fork.ready.session
    assert 'echo: two | seen=["remember mango"]' == forked.text
    assert 'echo: three | seen=["remember mango"]' == ended.text
    assert 'echo: four | seen=["remember mango", "three"]' == after.text
    assert "You are lead." not in str(model.requests[-1].body)
    assert ["unknown", "cli"] == [used.cost_source for used in again.of(UsageReported)]


async def test_a_session_that_is_not_there_is_refused_by_name(agent, start):
    with pytest.raises(Refused, match=f"{agent.name} refused session/(resume|load): "):
        await start(agent, resume="00000000-0000-4000-8000-000000000000").__aenter__()


async def test_opencode_ends_with_its_input(opencode, start, mcp_server):
    async with start(opencode, mcp_server) as lead:
        await lead.turn("one")
        lead.process.stdin.close()
        assert 0 == await asyncio.wait_for(lead.process.wait(), 60)


async def test_gemini_does_not_end_with_its_input_while_it_has_our_tools(gemini, start, mcp_server):
    async with start(gemini, mcp_server) as lead:
        await lead.turn("one")
        lead.process.stdin.close()
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(lead.process.wait(), 2)


async def test_nothing_secret_stands_in_its_arguments_or_its_environment(agent, lead):
    proc = Path(f"/proc/{lead.process.pid}")
    seen = (proc / "cmdline").read_bytes() + (proc / "environ").read_bytes()

    assert TOKEN.encode() not in seen
    assert os.fsencode(str(agent.command[0])) in seen
