"""The person's face, over real rehearsal agents."""

from __future__ import annotations

import asyncio
import inspect
import json
import logging
import math
import os
import signal
import stat
import subprocess
import sys
import textwrap
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from madrox_nb import notebook, server
from madrox_nb.display import WaitInterrupted
from madrox_nb.doing import TAIL, Doing
from madrox_nb.errors import (
    AgentBusy,
    AgentGone,
    BadInput,
    BadPrompt,
    NotRunning,
    TurnFailed,
    UnknownAgent,
)
from madrox_nb.events import (
    Entry,
    Event,
    Signal,
    TextDelta,
    ToolCalled,
    ToolReturned,
    TurnSaid,
    TurnStarted,
)
from madrox_nb.folds import Usage
from madrox_nb.ledger import read, run_files, utc_now
from madrox_nb.manager import Manager
from madrox_nb.notebook import AgentHandle, AsyncAgentHandle, AsyncMadrox, Madrox, Pending, current
from madrox_nb.parts.verbs import VERBS
from madrox_nb.tree import Agent, Tree
from madrox_nb.values import LONGEST_SHOWN, Letters, Replies, Reply, Told

REHEARSE: dict[str, Any] = {"port": 0, "harnesses": ("rehearsal",), "stop_grace": 1.0}


@pytest.fixture
def madrox(tmp_path: Path) -> Iterator[Madrox]:
    with Madrox(home=tmp_path / "home", **REHEARSE) as opened:
        yield opened


# verbs


def test_a_person_spawns_an_agent_and_is_answered(madrox: Madrox) -> None:
    lead = madrox.spawn("lead", role="architect")

    reply = lead.send("/say first\n/usage 10 20")

    assert ("first\nused 10 tokens in, 20 out", "lead.t1", True, "ok") == (
        reply.text,
        reply.turn,
        reply.ok,
        reply.outcome,
    )
    assert (30, 0.0, "rehearsal") == (reply.usage.tokens, reply.cost_usd, reply.cost_source)
    assert 0 <= reply.duration_s < 30
    assert reply is reply.check()
    assert reply == lead.last


def test_a_handle_says_what_is_true_now(madrox: Madrox) -> None:
    lead = madrox.spawn("lead")
    child = madrox.spawn(parent="lead")
    lead.send("hello")

    assert ("lead.1", "lead", []) == (child.name, child.parent, child.children)
    assert ("idle", "general", "rehearsal", None, ["lead.1"], 1) == (
        lead.state,
        lead.role,
        lead.harness,
        lead.parent,
        lead.children,
        lead.turns,
    )
    assert "<agent lead: idle, general, rehearsal>" == repr(lead)
    assert str(lead).startswith("○ lead  idle\n")
    assert lead == madrox["lead"]
    assert lead != child
    assert "lead" in madrox


def test_a_turn_that_fails_is_a_reply_that_check_turns_into_an_error(madrox: Madrox) -> None:
    reply = madrox.spawn("lead").send("/say so far\n/fail no such file")

    assert (False, "failed", "no such file", "so far") == (
        reply.ok,
        reply.outcome,
        reply.error,
        reply.text,
    )
    with pytest.raises(TurnFailed, match=r"lead\.t1 failed: no such file"):
        reply.check()


def test_what_cannot_be_sent_raises(madrox: Madrox) -> None:
    lead = madrox.spawn("lead")
    with pytest.raises(BadPrompt):
        lead.send("  ")
    with pytest.raises(UnknownAgent, match="Did you mean 'lead'"):
        madrox.send("laed", "hello")
    lead.stop()
    with pytest.raises(AgentGone):
        lead.send("hello")


def test_a_question_can_be_left_under_way_and_waited_for_later(madrox: Madrox) -> None:
    lead = madrox.spawn("lead")
    first = lead.send("/hang", wait=False)
    second = lead.send("/say second", wait=False)

    assert ("<question to lead, under way>", "<question to lead, queued>") == (repr(first), repr(second))
    lead.interrupt()
    assert ("interrupted", "second") == (first.wait().outcome, second.wait().text)
    assert first.wait() is first.wait()
    assert (True, "lead.t2") == (second.done, second.turn)


def test_an_interrupt_returns_how_the_turn_ended(madrox: Madrox) -> None:
    lead = madrox.spawn("lead")
    assert lead.interrupt() is None
    lead.send("/hang", wait=False)

    ended = lead.interrupt()

    assert ended is not None
    assert ("lead.t1", "interrupted") == (ended.turn, ended.outcome)


def test_stopping_spares_children_and_work_unless_told_otherwise(madrox: Madrox) -> None:
    lead = madrox.spawn("lead")
    madrox.spawn("api", parent="lead").send("/hang", wait=False)

    with pytest.raises(BadInput, match="--tree"):
        lead.stop()
    with pytest.raises(AgentBusy, match="force"):
        lead.stop(tree=True)
    assert ["api", "lead"] == madrox.terminate("lead", force=True)
    assert [] == lead.stop()
    assert "stopped" == lead.state


def test_waiting_is_for_all_below_and_returns_the_last_replies(madrox: Madrox) -> None:
    lead = madrox.spawn("lead")
    lead.send("/spawn api\n/post api /slow 3 0.01", wait=False)

    replies = madrox.wait("lead")

    assert ["lead"] == list(replies)
    assert "idle" == madrox["api"].state
    assert "word-1 word-2 word-3" == madrox.wait()["api"].text
    assert madrox.wait("api")["api"] == madrox["api"].wait()
    with pytest.raises(UnknownAgent):
        madrox.wait("nobody")


def test_waiting_too_long_names_who_still_works(madrox: Madrox) -> None:
    madrox.spawn("lead").send("/hang", wait=False)

    with pytest.raises(TimeoutError, match=r"after 0\.01 s still at work: lead\."):
        madrox.wait(timeout=0.01)


def test_what_an_agent_writes_to_the_person_lies_in_the_inbox_until_taken(madrox: Madrox) -> None:
    lead = madrox.spawn("lead")
    lead.send("/reply early", wait=False)
    madrox.wait()

    letters = madrox.inbox()

    assert ["early"] == [letter.text for letter in letters]
    assert [] == list(madrox.inbox())
    assert ("later",) == lead.send("/reply later").replies


@pytest.fixture
def interruptible() -> Iterator[None]:
    """Whoever starts the tests in the background has their processes ignore interrupts."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


def test_an_interrupted_wait_leaves_the_agent_at_work_and_its_reply_in_the_inbox(
    madrox: Madrox, interruptible: None
) -> None:
    lead = madrox.spawn("lead")
    spoken = threading.Event()

    def interrupt_once(_: Signal) -> None:
        if not spoken.is_set():
            spoken.set()
            signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGINT)

    madrox.manager.watch(interrupt_once)
    with pytest.raises(KeyboardInterrupt) as raised:
        lead.send("/slow 3 0.1\n/reply kept")

    assert isinstance(raised.value, WaitInterrupted)
    assert "Stopped waiting for lead; it goes on working." in str(raised.value)
    assert "ok" == madrox.wait()["lead"].outcome
    assert ["kept"] == [letter.text for letter in madrox.inbox()]


def test_a_post_waits_for_the_next_turn(madrox: Madrox) -> None:
    lead = madrox.spawn("lead")
    assert "you.m1" == lead.post("remember the tests")
    assert 0 == lead.turns

    lead.send("go")

    assert "remember the tests" in lead.send("/recall").text


def test_a_secret_is_shown_nowhere(madrox: Madrox) -> None:
    madrox.secret("KEY", "correct horse battery")
    reply = madrox.spawn("lead").send("/say it is correct horse battery")

    assert "it is {secret:KEY}" == reply.text
    assert "horse" not in madrox.audit().to_csv()
    with pytest.raises(BadInput, match="too short"):
        madrox.secret("PIN", "1234")


# what stands around a run


def test_the_first_madrox_is_shared_until_it_is_closed(tmp_path: Path) -> None:
    assert current() is None
    with Madrox(home=tmp_path / "one", **REHEARSE) as first:
        with Madrox(home=tmp_path / "two", **REHEARSE) as own:
            assert first.manager is Madrox().manager
            assert first.manager is AsyncMadrox().manager
            assert own.manager is not first.manager
        shared = current()
        assert shared is not None
        assert first.manager is shared.manager
    assert current() is None


def test_after_close_every_verb_says_so_and_the_past_can_still_be_read(madrox: Madrox) -> None:
    lead = madrox.spawn("lead")
    lead.send("hello")
    madrox.close()
    madrox.close()

    verbs: list[Callable[[], object]] = [
        lambda: madrox.spawn("api"),
        lambda: lead.send("hello"),
        lambda: lead.post("hello"),
        lead.interrupt,
        lead.stop,
        madrox.wait,
        madrox.inbox,
        madrox.serve,
    ]
    for verb in verbs:
        with pytest.raises(NotRunning, match=r"Madrox\(\)"):
            verb()
    assert "stopped" == madrox.tree["lead"].state
    assert ["lead.t1"] == list(madrox.turns().index)
    assert "<Madrox: 1 agent, closed>" == repr(madrox)


def test_closing_does_not_wait_for_what_is_imported_meanwhile(tmp_path: Path) -> None:
    with server._importing:  # an import that takes long
        madrox = Madrox(home=tmp_path, port=0)
        madrox.close()

        assert not madrox._run.portal._thread.is_alive()


def test_closing_answers_whoever_waits_in_another_thread(madrox: Madrox) -> None:
    question = madrox.spawn("lead").send("/hang", wait=False)
    raised: list[BaseException] = []

    def wait() -> None:
        try:
            question.wait()
        except NotRunning as exc:
            raised.append(exc)

    waiting = threading.Thread(target=wait)
    waiting.start()
    madrox.close()
    waiting.join(20)

    assert not waiting.is_alive()
    assert 1 == len(raised) or question.done


def test_a_setting_that_does_not_exist_is_named(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="Did you mean 'max_instances'"):
        Madrox(home=tmp_path, max_instance=3)
    assert current() is None


def test_who_failed_is_shown_with_the_line_that_spawns_such_a_one_again(madrox: Madrox) -> None:
    lead = madrox.spawn("lead", permissions="edits")
    pending = lead.send("/hang", wait=False)
    os.kill(madrox.manager.processes["lead"].pid or 0, signal.SIGKILL)
    pending.wait()

    assert str(madrox.tree).endswith(
        "%madrox spawn lead --role general --harness rehearsal --permissions edits"
    )


def test_the_tree_is_a_value_that_equals_its_replay(madrox: Madrox) -> None:
    lead = madrox.spawn("lead")
    before = madrox.tree
    lead.send("/spawn api")

    assert "idle" == before["lead"].state
    assert "api" not in before
    assert before != madrox.tree
    assert madrox.tree == madrox.tree == Tree.replay(madrox.manager.ledger)
    assert ["api"] == [agent.name for agent in madrox.tree.children("lead")]
    assert "└─ api" in str(madrox.tree)
    assert "<b>api</b>" in madrox.tree._repr_html_()
    with pytest.raises(UnknownAgent, match="Did you mean 'lead'"):
        madrox.tree["laed"]


def test_two_runs_of_a_rehearsal_look_the_same(tmp_path: Path) -> None:
    looks = []
    for n in (1, 2):
        with Madrox(home=tmp_path / str(n), **REHEARSE) as madrox:
            madrox.spawn("lead").send("/spawn api\n/usage 1 2")
            looks.append(madrox._repr_mimebundle_())

    assert looks[0] == looks[1]


def test_serving_shows_lines_to_paste_and_never_the_token(madrox: Madrox) -> None:
    serving = madrox.serve()

    assert serving.url == madrox.serve().url
    assert serving.token == serving.token_file.read_text().strip()
    assert 0o600 == stat.S_IMODE(serving.token_file.stat().st_mode)
    assert f"claude mcp add --transport http madrox {serving.url} --header " in str(serving)
    assert f"$(cat {serving.token_file})" in serving.claude_code
    home = str(serving.token_file.parent)
    desktop = json.loads(serving.claude_desktop)["mcpServers"]["madrox"]
    assert ([sys.executable, "-m", "madrox_nb.cli", "mcp"], {"MADROX_HOME": home}) == (
        [desktop["command"], *desktop["args"]],
        desktop["env"],
    )
    assert f"codex mcp add madrox --env MADROX_HOME={home} -- {sys.executable} -m" in str(serving)
    for shown in (repr(serving), str(serving), serving.claude_desktop):
        assert serving.token not in shown


def test_the_log_is_a_private_file_and_no_word_reaches_the_notebook(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    notebooks, log_of_ours = logging.StreamHandler(), logging.getLogger("madrox_nb.manager")
    monkeypatch.setattr(logging.getLogger(), "handlers", [notebooks])
    with Madrox(home=tmp_path / "home", **REHEARSE):
        log_of_ours.error("something went wrong")
    log_of_ours.error("and again, after the end")

    log = tmp_path / "home" / "madrox.log"
    assert log.read_text().endswith("ERROR madrox_nb.manager: something went wrong\n")
    assert 0o600 == stat.S_IMODE(log.stat().st_mode)
    assert ("", "") == capfd.readouterr()


@pytest.mark.slow
def test_a_script_prints_nothing_needs_no_ipython_and_ends_its_agents(tmp_path: Path) -> None:
    script = """
        import sys
        from madrox_nb import Madrox
        m = Madrox(home="home", port=0)
        assert m.spawn("lead").send("hello").ok
        assert "IPython" not in sys.modules, "IPython was imported"
        assert "pandas" not in sys.modules, "pandas was imported"
    """
    env = {"PATH": os.defpath, "HOME": str(tmp_path)}
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(script)],
        cwd=tmp_path,
        env=env,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )

    assert (0, "", "") == (done.returncode, done.stdout, done.stderr)
    [day] = (tmp_path / "home" / "audit").glob("*/*.jsonl")
    kinds = [entry.event.kind for entry in read(run_files(tmp_path / "home", day.stem))]
    assert ["agent.stopped", "run.closed"] == kinds[-2:]


# the awaitable twin


def test_the_awaitable_verbs_do_the_same(tmp_path: Path) -> None:
    async def story() -> None:
        async with AsyncMadrox(home=tmp_path / "home", **REHEARSE) as madrox:
            one, two = await asyncio.gather(madrox.spawn("one"), madrox.spawn("two"))
            replies = await asyncio.gather(one.send("/say 1"), two.send("/say 2"))
            assert ["1", "2"] == [reply.text for reply in replies]
            question = await one.send("/hang", wait=False)
            ended = await one.interrupt()
            assert ended is not None
            assert "interrupted" == ended.outcome == (await question.wait()).outcome
            await two.post("a note")
            assert ["one", "two"] == list(await madrox.wait())
            assert [] == list(await madrox.inbox())
            assert (await madrox.serve()).url
            assert ["two"] == await two.stop()
            assert ["one"] == await madrox.terminate("one")

    asyncio.run(story())


def test_cancelling_an_await_leaves_the_agent_at_work(tmp_path: Path) -> None:
    async def story() -> None:
        async with AsyncMadrox(home=tmp_path / "home", **REHEARSE) as madrox:
            lead = await madrox.spawn("lead")
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(lead.send("/hang"), 0.3)
            assert "busy" == lead.state
            await lead.interrupt()

    asyncio.run(story())


def signature(cls: type, name: str) -> list[tuple[str, object, object]]:
    found = inspect.signature(getattr(cls, name)).parameters.values()
    return [(p.name, p.kind, p.default) for p in found]


@pytest.mark.parametrize(("blocking", "awaited"), [(Madrox, AsyncMadrox), (AgentHandle, AsyncAgentHandle)])
def test_both_faces_have_the_same_verbs(blocking: type, awaited: type) -> None:
    names = {name for name in vars(blocking) if not name.startswith("_")}

    assert names == {name for name in vars(awaited) if not name.startswith("_")}
    for name in names - {"agent", "team_run"}:
        assert signature(blocking, name) == signature(awaited, name), name
        assert inspect.iscoroutinefunction(getattr(awaited, name)), name


@pytest.mark.parametrize("name", ["spawn", "send", "post", "interrupt", "terminate"])
def test_the_faces_take_what_the_manager_takes(name: str) -> None:
    chosen_for_us = {"by", "sender", "wait"}
    face = [p for p in signature(Madrox, name) if p[0] not in chosen_for_us]

    assert [p for p in signature(Manager, name) if p[0] not in chosen_for_us] == face


# what a cell shows


def reply(text: str = "", **fields: Any) -> Reply:
    return Reply(**{"agent": "lead", "turn": "lead.t1", "outcome": "ok", "text": text, **fields})


def test_a_reply_is_markdown_and_a_long_one_is_cut_with_a_note() -> None:
    shown = reply("x" * (LONGEST_SHOWN + 5))._repr_mimebundle_()["text/markdown"]

    assert shown.endswith("x\n\n… 5 more characters in .text")
    assert "<reply lead.t1 ok, 2 characters>" == repr(reply("hi"))
    assert "hi" == str(reply("hi"))


def test_a_cell_shows_an_answer_without_terminal_sequences_and_tells_what_turns_the_writing() -> None:
    said = "\x1b[31mred\x1b[0m \u202eadmin"
    for each in (reply(said), reply("", outcome="failed", error=said), Told(said, {})):
        shown = each._repr_mimebundle_()
        assert all("red ‹U+202E›admin" in text for text in shown.values())
    assert said == str(reply(said))


def test_a_failed_reply_is_red_and_escaped() -> None:
    shown = reply("so <far>", outcome="failed", error="no <b>")._repr_mimebundle_()

    assert "✕ lead.t1 failed: no <b>\nso <far>" == shown["text/plain"]
    assert "color:var(--jp-error-color1" in shown["text/html"]
    assert "no &lt;b&gt;" in shown["text/html"]
    assert "text/markdown" not in shown


def test_a_cost_that_nobody_knows_is_nan() -> None:
    unknown = reply(usage=Usage(input_tokens=5, exact=False, sources=("unknown",)))

    assert math.isnan(reply().cost_usd)
    assert math.isnan(unknown.cost_usd)
    assert ("unknown", "unknown") == (reply().cost_source, unknown.cost_source)


def test_one_reply_is_shown_whole_and_several_by_their_first_line() -> None:
    one, other = reply("a\nb"), reply("c" * 500, agent="api", turn="api.t1")

    assert one._repr_mimebundle_() == Replies({"lead": one})._repr_mimebundle_()
    lines = repr(Replies({"lead": one, "api": other})).splitlines()
    assert "lead.t1 ok: a b" == lines[0]
    assert 160 == len(lines[1])
    assert "No replies." == repr(Replies({}))


def test_an_empty_run_tells_of_an_earlier_ones_agents_where_there_was_one(tmp_path: Path) -> None:
    with Madrox(home=tmp_path / "home", **REHEARSE) as first:
        alone = first._repr_mimebundle_()["text/plain"]
        first.spawn("lead")
    with Madrox(home=tmp_path / "home", **REHEARSE) as second:
        beside = second._repr_mimebundle_()["text/plain"]

    assert "No agents yet" in alone
    assert f"{alone}\n%madrox resume" == beside


def test_an_empty_inbox_says_so() -> None:
    assert {"text/plain": "No messages."} == Letters()._repr_mimebundle_()


def entry(event: Event) -> Entry:
    return Entry(0, utc_now(), event)


def busy(*tools: tuple[str, str]) -> Agent:
    return Agent("lead", "rehearsal", "general", "busy", utc_now(), turn="lead.t1", tools=tools)


def test_what_an_agent_does_now_is_its_tool_or_its_words() -> None:
    doing = Doing()
    call = ToolCalled(agent="lead", turn="lead.t1", call="c1", tool="Bash", input='{"command":"npm test"}')

    assert "" == doing.now(busy())
    assert doing.hear(TextDelta(agent="lead", turn="lead.t1", text="I"))
    assert not doing.hear(TextDelta(agent="lead", turn="lead.t1", text=" will"))
    assert "writes a reply" == doing.now(busy())
    doing.apply(entry(call))
    assert "Bash npm test" == doing.now(busy(("c1", "Bash")))
    doing.apply(entry(ToolReturned(agent="lead", turn="lead.t1", call="c1", ok=True)))
    assert "" == doing.now(busy())


@pytest.mark.parametrize(
    ("tool", "given", "shown"),
    [
        ("mcp__madrox__spawn_instance", '{"name": "api"}', "spawn_instance api"),
        ("Read", '{"limit": 5}', "Read 5"),
        ("Read", "", "Read"),
        ("Read", "[1]", "Read"),
        ("Read", "{}", "Read"),
    ],
)
def test_a_tool_is_told_with_its_first_argument(tool: str, given: str, shown: str) -> None:
    doing = Doing()
    doing.apply(entry(ToolCalled(agent="lead", turn="lead.t1", call="c1", tool=tool, input=given)))

    assert shown == doing.now(busy(("c1", tool)))


def test_only_the_end_of_a_long_answer_is_kept_for_waiting_cells() -> None:
    doing = Doing()
    for _ in range(3):
        doing.hear(TextDelta(agent="lead", turn="lead.t1", text="x" * TAIL))

    assert (TAIL, 2 * TAIL) == (len(doing.said["lead"]), doing.above["lead"])
    doing.apply(entry(TurnStarted(agent="lead", turn="lead.t2", sender="you", text="next")))
    assert ("", 0) == (doing.said["lead"], doing.above["lead"])


def test_a_message_that_was_not_streamed_is_shown_when_it_is_finished() -> None:
    doing = Doing()
    doing.hear(TextDelta(agent="lead", turn="lead.t1", text="streamed"))
    doing.apply(entry(TurnSaid(agent="lead", turn="lead.t1", text="streamed")))
    doing.apply(entry(TurnSaid(agent="lead", turn="lead.t1", text="whole")))

    assert "streamed\n\nwhole\n\n" == doing.said["lead"]


def test_the_widget_draws_the_run_and_acts_on_it(madrox: Madrox) -> None:
    madrox.spawn("lead").send("/hang", wait=False)
    widget = madrox.widget()
    try:
        assert widget is madrox.widget()
        assert "interrupted" == VERBS["interrupt"].carry_out(madrox._run, "lead", {}).result(20).outcome
        assert ["lead"] == VERBS["stop"].carry_out(madrox._run, "lead", {}).result(20)
        assert "stopped" == madrox._run.picture().rows[0].state
    finally:
        widget.close()


def test_public_names_of_the_module_are_the_ones_of_the_package() -> None:
    import madrox_nb

    assert madrox_nb.Reply is notebook.Reply
    assert madrox_nb.Madrox is Madrox
    assert isinstance(Pending, type)
