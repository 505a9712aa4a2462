"""Programs at a terminal as agents: real ones, and ones that misbehave."""

from __future__ import annotations

import asyncio
import json
import math
import re
import shutil
import sys
from collections.abc import Awaitable, Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

import groups
import pytest
import terminals
from chat import FENCE, Chat
from crew import until, with_run
from test_manager import events
from test_screen import Terminal as ByHand

from madrox_nb import profiles
from madrox_nb.errors import BadInput, HarnessError, HarnessNotReady
from madrox_nb.events import (
    AgentReady,
    AgentStopped,
    Entry,
    Notice,
    TextDelta,
    TurnEnded,
    TurnStarted,
    UsageReported,
)
from madrox_nb.harness import Brief, Unreadable, Write
from madrox_nb.harness.profile import SHELL, profile, quoted, typed
from madrox_nb.harness.spoken import printed
from madrox_nb.harness.terminal import Terminal
from madrox_nb.manager import Manager
from madrox_nb.transport import Line

pytestmark = pytest.mark.slow

LONG = "".join(f"{n} line with äöü € and ☃\n" for n in range(4000))
"""Over 100 kB of text, in lines."""
STORY = Callable[[Manager], Awaitable[None]]


def told(home: Path, story: STORY, harness: str, **settings: Any) -> None:
    """Run `story` with the agent `lead` at a terminal."""
    model = settings.pop("model", None)

    async def with_lead(m: Manager) -> None:
        await m.spawn("lead", harness=harness, model=model, permissions="all")
        await story(m)

    terminals.lend_shipped()
    with_run(home, with_lead, **settings)


def rogue(home: Path, story: STORY, *, settings: dict[str, Any] | None = None, **keys: Any) -> None:
    told(home, story, terminals.lend_rogue("rogue-repl", **keys), **(settings or {}))


def painter(home: Path, story: STORY, **keys: Any) -> None:
    rogue(home, story, **{**terminals.PAINTER, **keys})


def working(entry: Entry) -> bool:
    return isinstance(entry.event, TurnStarted)


async def interrupted(m: Manager, text: str, sign: str) -> Any:
    """Send `text`, interrupt when the program has printed `sign`, and wait for the turn's end."""
    turn = asyncio.ensure_future(m.send("lead", text))
    log = m.processes.files("lead") / "wire.log"
    while sign not in log.read_text(errors="replace"):
        await asyncio.sleep(0.01)
    await m.interrupt("lead")
    return await turn


# a turn


def test_a_program_answers_and_nothing_of_the_terminal_is_in_the_answer(tmp_path: Path) -> None:
    async def story(m: Manager) -> None:
        assert "heard hello" == (await m.send("lead", "hello")).text
        assert "äöü € ☃ rot" == (await m.send("lead", "halves")).text
        assert "done" == (await m.send("lead", "spins")).text
        [ready] = events(m, AgentReady)
        assert "lead" == ready.agent

    rogue(tmp_path, story)


def test_usage_is_unknown_and_never_invented(tmp_path: Path) -> None:
    async def story(m: Manager) -> None:
        await m.send("lead", "hello")
        [usage] = events(m, UsageReported)
        assert (0, 0, "unknown") == (usage.input_tokens, usage.output_tokens, usage.cost_source)
        assert math.isnan(usage.cost_usd)

    rogue(tmp_path, story)


def test_an_answer_full_of_prompts_is_read_to_its_end(tmp_path: Path) -> None:
    async def story(m: Manager) -> None:
        answer = await m.send("lead", "babbles 300")
        lines = answer.text.split("\n")
        assert (600, "299") == (len(lines), lines[-2])
        assert "heard and now" == (await m.send("lead", "and now")).text

    rogue(tmp_path, story)


def test_of_a_flood_the_end_is_the_answer_and_it_says_where_the_rest_is(tmp_path: Path) -> None:
    async def story(m: Manager) -> None:
        answer = await m.send("lead", "floods 3")
        head, _, rest = answer.text.partition("\n")
        assert f"[{30_000 * 101 - 262_144} characters before this are in its wire log alone]" == head
        assert {"y" * 99} == set(rest.split("\n")[1:])
        assert 3_000_000 < (m.processes.files("lead") / "wire.log").stat().st_size

    rogue(tmp_path, story)


def test_the_terminal_has_a_size_and_answers_where_its_cursor_is(tmp_path: Path) -> None:
    async def story(m: Manager) -> None:
        answer = await m.send("lead", "where")
        assert r"b'\x1b[1;1R' os.terminal_size(columns=1000, lines=24)" == answer.text

    rogue(tmp_path, story)


def test_a_long_line_arrives_whole(tmp_path: Path) -> None:
    async def story(m: Manager) -> None:
        assert "150000" == (await m.send("lead", "counts " + "é" * 150_000)).text

    rogue(tmp_path, story)


def test_a_text_for_a_program_that_takes_no_lines_is_one_line_and_presses_no_keys(tmp_path: Path) -> None:
    async def story(m: Manager) -> None:
        assert "heard a b   c[31m" == (await m.send("lead", "a\nb\tc\x03\x1b[31m\x04")).text

    rogue(tmp_path, story)


def test_dialogs_are_answered_at_the_start_and_in_a_turn(tmp_path: Path) -> None:
    dialogs = [{"see": r"\(yes/no\) ", "answer": "yes\n"}, {"see": r"\[y/N\] ", "answer": "n"}]

    async def story(m: Manager) -> None:
        answer = await m.send("lead", "asks")
        assert "Overwrite it? you said n" == answer.text

    rogue(tmp_path, story, start=["asks"], dialogs=dialogs)


def test_a_dialog_that_no_answer_helps_ends_the_agent(tmp_path: Path) -> None:
    async def story(m: Manager) -> None:
        answer = await m.send("lead", "begs")
        assert not answer.ok
        assert "it keeps asking '[y/N]', whatever it is answered" == answer.error

    rogue(tmp_path, story, dialogs=[{"see": r"\[y/N\] ", "answer": "n"}])


def test_an_answer_that_says_it_is_an_error_is_a_failure(tmp_path: Path) -> None:
    async def story(m: Manager) -> None:
        answer = await m.send("lead", "Error: no credit")
        assert (False, "heard Error: no credit") == (answer.ok, answer.error)

    rogue(tmp_path, story, errors=["Error: "])


def test_a_long_silence_in_a_turn_is_a_notice_and_no_end(tmp_path: Path) -> None:
    async def story(m: Manager) -> None:
        heard: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        m.watch(lambda s: heard.set_result(s.text) if isinstance(s, Notice) and not heard.done() else None)
        turn = asyncio.ensure_future(m.send("lead", "works"))
        assert "nothing new on its terminal for 0.2 s" == await asyncio.wait_for(heard, 20)
        assert not turn.done()
        await m.interrupt("lead")
        assert "interrupted" == (await turn).outcome

    rogue(tmp_path, story, quiet=0.2)


# interrupts


def test_an_interrupted_turn_ends_when_the_prompt_is_back(tmp_path: Path) -> None:
    async def story(m: Manager) -> None:
        answer = await interrupted(m, "works", "working")
        assert ("interrupted", "working\nstopped") == (answer.outcome, answer.text)
        assert "heard and now" == (await m.send("lead", "and now")).text

    rogue(tmp_path, story)


def test_a_program_that_ignores_the_key_does_not_end_its_turn(tmp_path: Path) -> None:
    async def story(m: Manager) -> None:
        turn = asyncio.ensure_future(m.send("lead", "deaf"))
        log = m.processes.files("lead") / "wire.log"
        while "deaf" not in log.read_text():
            await asyncio.sleep(0.01)
        with pytest.raises(HarnessError):
            await m.interrupt("lead")
        assert [] == events(m, TurnEnded)
        await m.terminate("lead", force=True)
        assert "interrupted" == (await turn).outcome

    rogue(tmp_path, story, settings={"interrupt_timeout": 0.3})


# ends


def test_a_program_that_dies_in_a_turn_has_not_succeeded(tmp_path: Path) -> None:
    async def story(m: Manager) -> None:
        answer = await m.send("lead", "dies")
        assert not answer.ok
        [stopped] = events(m, AgentStopped)
        assert (True, 7) == (stopped.failed, stopped.exit_code)
        assert stopped.evidence.endswith("half an ans")

    rogue(tmp_path, story)


def test_a_prompt_right_before_death_is_no_success(tmp_path: Path) -> None:
    async def story(m: Manager) -> None:
        assert not (await m.send("lead", "dies_at_prompt")).ok

    rogue(tmp_path, story, stays=0.5)


def test_a_program_that_never_shows_its_prompt_does_not_start(tmp_path: Path) -> None:
    async def story(m: Manager) -> None: ...

    with pytest.raises(HarnessNotReady) as failure:
        rogue(tmp_path, story, start=["mute"], settings={"start_timeout": 1.0})
    assert "Welcome. Nothing else." in str(failure.value)


@pytest.mark.parametrize("start", [["shell"], []])
def test_a_shell_in_the_place_of_the_program_ends_the_agent_by_name(tmp_path: Path, start: list[str]) -> None:
    async def story(m: Manager) -> None:
        answer = await m.send("lead", "shell")
        assert not answer.ok
        assert "its program is gone: a shell stands there ('ann@host:~$')" == answer.error

    if start:
        with pytest.raises(HarnessNotReady, match="a shell stands there"):
            rogue(tmp_path, story, start=start)
    else:
        rogue(tmp_path, story)


def test_nothing_is_typed_into_a_shell_that_takes_over_at_the_prompt(tmp_path: Path) -> None:
    """It reads the first 3000 bytes and becomes a shell; of what follows nothing is carried out."""
    mark = tmp_path / "mark"

    async def story(m: Manager) -> None:
        assert "reading" == (await m.send("lead", "reads 3000")).text
        answer = await m.send("lead", "x" * 2500 + f" ; touch {mark}; " * 5000)
        assert "its program is gone: a shell stands there ('ann@host:~$')" == answer.error
        assert not mark.exists()
        assert "touch" not in (m.processes.files("lead") / "wire.log").read_text()

    rogue(tmp_path, story, submit="{text}", enter="\n", prompt="^> ")


def test_an_idle_agent_whose_program_left_a_shell_is_ended_before_anybody_types(tmp_path: Path) -> None:
    async def story(m: Manager) -> None:
        turned = m.send("lead", "reads 1")
        assert "reading" == (await turned).text
        node = m.processes["lead"]._pipe
        ended = until(m, lambda e: isinstance(e.event, AgentStopped), asyncio.sleep(0))
        node._put(b"x")  # type: ignore[union-attr]  # somebody else's key: the program ends while idle
        await ended
        [stopped] = events(m, AgentStopped)
        assert "a shell stands there" in stopped.reason

    rogue(tmp_path, story)


# screens


def test_a_program_that_paints_answers(tmp_path: Path) -> None:
    async def story(m: Manager) -> None:
        assert "hello 0" == (await m.send("lead", "hello")).text
        assert "again 0" == (await m.send("lead", "again")).text

    painter(tmp_path, story)


def test_a_footer_that_changes_is_no_end(tmp_path: Path) -> None:
    async def story(m: Manager) -> None:
        assert "footer me 0" == (await m.send("lead", "footer me")).text

    painter(tmp_path, story)


def test_work_that_does_not_move_is_no_end(tmp_path: Path) -> None:
    async def story(m: Manager) -> None:
        assert "ponders it 0" == (await m.send("lead", "ponders it")).text

    painter(tmp_path, story, prompt=r"^\|\n-{40}")  # which is there all the time


def test_a_dead_screen_is_a_failure_however_long_it_stays(tmp_path: Path) -> None:
    async def story(m: Manager) -> None:
        answer = await m.send("lead", "freezes")
        assert not answer.ok
        assert "its screen shows neither prompt nor work and has not changed for 1 s" == answer.error

    painter(tmp_path, story)


def test_a_painting_program_that_dies_at_work_has_not_succeeded(tmp_path: Path) -> None:
    async def story(m: Manager) -> None:
        assert not (await m.send("lead", "dies")).ok

    painter(tmp_path, story)


def test_a_text_that_was_typed_and_not_taken_up_is_sent_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("madrox_nb.harness.terminal.TAKES_UP", 0.3)

    async def story(m: Manager) -> None:
        assert "swallows it 0" == (await m.send("lead", "swallows it")).text
        answer = await m.send("lead", "deaf")
        assert (False, "it did not take up what was typed") == (answer.ok, answer.error)

    painter(tmp_path, story)


def test_work_on_a_screen_is_interrupted_with_its_own_key(tmp_path: Path) -> None:
    async def story(m: Manager) -> None:
        answer = await interrupted(m, "works 60", "thinking 3")
        assert ("interrupted", "stopped") == (answer.outcome, answer.text)
        assert "hello 0" == (await m.send("lead", "hello")).text

    painter(tmp_path, story)


# the shipped ones


@pytest.mark.skipif(not shutil.which("bash"), reason="bash is absent; this provides it: apt install bash")
def test_a_shell_carries_out_whatever_lines_and_quotes_are_in_a_command(tmp_path: Path) -> None:
    async def story(m: Manager) -> None:
        text = "x='it''s \"so\"'\nfor i in 1 2; do\n  echo \"$i $x\"\ndone\n\ncat <<'E'\n\ta\\n € `b`\nE"
        assert '1 its "so"\n2 its "so"\n\ta\\n € `b`' == (await m.send("lead", text)).text
        assert 'its "so"' == (await m.send("lead", 'echo "$x"')).text
        assert "" == (await m.send("lead", "cat; true")).text  # it can't take our next text for its input
        assert "4000" == (await m.send("lead", f"wc -l <<'E'\n{LONG}E")).text
        answer = await interrupted(m, "export Y=5; echo begun; sleep 600; echo no", "begun")
        assert ("interrupted", "begun") == (answer.outcome, answer.text)
        assert "5" == (await m.send("lead", "echo $Y")).text
        assert not (await m.send("lead", "exit 3")).ok

    told(tmp_path, story, "shell")


@pytest.mark.parametrize("harness", ["python", "ipython"])
def test_a_python_runs_code_whole_and_keeps_its_state(
    tmp_path: Path, harness: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(Path(sys.executable).parent), prepend=":")

    async def story(m: Manager) -> None:
        code = "def f(n):\n    if n:\n\n        return n * '€'\n\nx = 7\nf(3)"
        assert "'€€€'" == (await m.send("lead", code)).text
        failed = (await m.send("lead", "def g():\n    return 1 / 0\ng()")).text
        assert "ZeroDivisionError: division by zero" == failed.split("\n")[-1]
        assert "return 1 / 0" in failed
        assert "SyntaxError" in (await m.send("lead", "1 +")).text
        assert str(len(LONG)) == (await m.send("lead", f"len({LONG!r})")).text
        assert "" == (await m.send("lead", "y = 8")).text
        stopped = await interrupted(m, "print('beg' 'un', flush=True)\nwhile True:\n    pass", "begun")
        assert "interrupted" == stopped.outcome
        assert "KeyboardInterrupt" in stopped.text
        assert "15" == (await m.send("lead", "x + y")).text
        assert not (await m.send("lead", "import os\nos._exit(3)")).ok

    told(tmp_path, story, harness)


# what is heard while it is said


async def overheard(m: Manager, text: str, enough: Callable[[str], bool]) -> tuple[list[str], Any]:
    """Send `text`, interrupt when `enough` of its words were heard; all that were heard, and the answer."""
    words, late, come = [], [], asyncio.Event()

    def hear(signal: Any) -> None:
        if isinstance(signal, TextDelta):
            (words if signal.turn == m.tree["lead"].turn else late).append(signal.text)
            if enough("".join(words)):
                come.set()

    m.watch(hear)
    turn = asyncio.ensure_future(m.send("lead", text))
    await asyncio.wait_for(come.wait(), 30)
    assert not turn.done()
    await m.interrupt("lead")
    answer, heard = await turn, list(words)
    await m.send("lead", "1 # as long as it takes")
    assert [] == late, "something was told after the end of its turn"
    return heard, answer


SPEAKERS = {
    "python": "import time\nfor i in range(600): print('word', i, flush=True); time.sleep(0.01)",
    "shell": "for i in {0..599}; do echo word $i; sleep 0.01; done",
}


@pytest.mark.parametrize("harness", SPEAKERS)
def test_an_answer_is_heard_while_it_is_printed(tmp_path: Path, harness: str) -> None:
    if harness == "shell" and not shutil.which("bash"):
        pytest.skip("bash is absent; this provides it: apt install bash")

    async def story(m: Manager) -> None:
        words, answer = await overheard(m, SPEAKERS[harness], lambda text: "word 50" in text)
        said = "".join(words)
        assert said.startswith("word 0\nword 1\n")
        assert answer.text.startswith(said)
        assert 3 < len(words)
        assert "interrupted" == answer.outcome

        words, answer = await overheard(m, BEGUN[harness], lambda text: "begun" in text)
        assert ["begun"] == words
        assert answer.text.startswith("begun")

        assert "1 2" == (await m.send("lead", {"python": "print(1, 2)", "shell": "echo 1 2"}[harness])).text

    told(tmp_path, story, harness)


BEGUN = {
    "python": "print('beg' 'un', end='', flush=True)\nwhile True: pass",
    "shell": "printf beg'un'; sleep 600",
}
"""They print a piece of a line, and pause."""


def test_all_of_an_answer_is_heard_but_what_comes_with_its_end(tmp_path: Path) -> None:
    async def story(m: Manager) -> None:
        words: list[str] = []
        stop = m.watch(lambda signal: words.append(signal.text) if isinstance(signal, TextDelta) else None)
        code = "import time\nfor i in range(600): print('word', i, flush=True); time.sleep(0.002)\n'end'"
        answer = await m.send("lead", code)
        stop()
        assert "\n".join([*(f"word {n}" for n in range(600)), "'end'"]) == answer.text
        said = "".join(words)
        assert answer.text.startswith(said)
        assert len(answer.text) // 2 < len(said)

    told(tmp_path, story, "python")


def test_of_a_flood_little_is_told_and_its_end_is_the_answer(tmp_path: Path) -> None:
    async def story(m: Manager) -> None:
        words: list[str] = []
        begun = asyncio.get_running_loop().time()
        stop = m.watch(lambda signal: words.append(signal.text) if isinstance(signal, TextDelta) else None)
        answer = await m.send("lead", "for i in range(300_000): print('y' * 99)\n'the end'")
        stop()
        took = asyncio.get_running_loop().time() - begun
        assert answer.text.endswith("y\n'the end'")
        assert 10 * took + 1 >= len(words)
        assert [] == [len(each) for each in words if len(each) > 4096]

    told(tmp_path, story, "python")


def stubbed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, program: str, chat: Chat) -> None:
    """Only what the program may know: a home of its own and the stub. Skips when it is absent."""
    found = str(groups.CLIS.parent / program / "bin" / program)
    if not Path(found).exists():
        groups.absent("terminals", f"the real {program}", "make clis")
    for name in ("HOME", "LLM_USER_PATH"):
        monkeypatch.setenv(name, str(tmp_path))
    monkeypatch.setenv(f"MADROX_{program.upper()}_BIN", found)
    monkeypatch.setenv("OPENAI_API_KEY", "dummy")
    monkeypatch.setenv("OPENAI_API_BASE", chat.url)
    (tmp_path / "extra-openai-models.yaml").write_text(
        f"- model_id: stub\n  model_name: stub\n  api_base: {chat.url}\n"
    )


def test_llm_chats_with_a_model_behind_an_openai_compatible_server(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with Chat() as chat:
        stubbed(tmp_path, monkeypatch, "llm", chat)

        async def story(m: Manager) -> None:
            await m.spawn("lead", harness="llm", model="stub")
            assert "echo: hello | seen=[]" == (await m.send("lead", "hello")).text
            assert FENCE == (await m.send("lead", "FENCE")).text
            assert (await m.send("lead", f"{LONG}\n\nend")).ok
            assert LONG + " \n \nend" == chat.requests[-1]["messages"][-1]["content"]
            for text in ("!fragment /etc/passwd", "two\n !edit\n!fragment /etc/passwd"):
                assert (await m.send("lead", text)).ok  # none of its own commands
                said = chat.requests[-1]["messages"][-1]["content"]
                assert "root:" not in said
                assert "! fragment /etc/passwd" in said
            assert "system" == chat.requests[0]["messages"][0]["role"]
            assert "**lead**" in chat.requests[0]["messages"][0]["content"]
            answer = await m.send("lead", "ERR")
            # it gives up at an error of the API
            assert "exited on its own with code 1. Its last words: openai." in answer.error

        terminals.lend_shipped()
        with_run(tmp_path / "run", story)


def test_aider_chats_and_keeps_what_was_said_over_an_interrupt(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with Chat() as chat:
        stubbed(tmp_path, monkeypatch, "aider", chat)

        async def story(m: Manager) -> None:
            await m.spawn("lead", harness="aider", model="openai/stub", permissions="all")
            assert FENCE == (await m.send("lead", "FENCE one")).text
            text = "FENCE two\n\nlines, > and\n> quotes"
            assert FENCE == (await m.send("lead", text)).text
            assert chat.requests[-1]["messages"][-1]["content"].startswith(text)
            assert FENCE == (await m.send("lead", f"FENCE\n{LONG}")).text
            assert LONG.rstrip() in chat.requests[-1]["messages"][-1]["content"]
            assert "interrupted" == (await interrupted(m, "SLOW", "word word")).outcome
            assert FENCE == (await m.send("lead", "FENCE three")).text
            assert "FENCE one" in [each["content"] for each in chat.requests[-1]["messages"]]
            answer = await m.send("lead", "ERR")
            assert (False, True) == (answer.ok, answer.error.startswith("litellm.BadRequestError"))

        terminals.lend_shipped()
        with_run(tmp_path / "run", story, start_timeout=90.0)


def test_ollama_is_spoken_to_as_its_documentation_says(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The real one can't be had here: this is a program that behaves as its documentation says."""
    monkeypatch.setenv("MADROX_OLLAMA_BIN", str(Path(__file__).parent / "profiles" / "ollama"))

    async def story(m: Manager) -> None:
        assert "You are the agent" in (await m.send("lead", "hello")).text  # the role comes with the first
        assert "echo: hello" == (await m.send("lead", "hello")).text
        text = "a '''quoted'''\n\n>>> b\n    ```\n    c\n    ```"
        assert f"echo: {text}" == (await m.send("lead", text)).text
        half = LONG[: len(LONG) // 2]
        assert f"echo: {half}end" == (await m.send("lead", f"{half}end")).text
        answer = await m.send("lead", f"{LONG}end")  # with its echo it is more than is kept
        assert (True, "3999 line with äöü € and ☃", "end") == (answer.ok, *answer.text.split("\n")[-2:]), (
            answer
        )
        assert "interrupted" == (await interrupted(m, "SLOW", "word word")).outcome
        assert "echo: and now" == (await m.send("lead", "and now")).text

    told(tmp_path, story, "ollama", model="llama")


def test_the_keys_that_end_a_program_end_it(tmp_path: Path) -> None:
    async def story(m: Manager) -> None:
        await m.terminate("lead")
        [stopped] = events(m, AgentStopped)
        assert (False, 0) == (stopped.failed, stopped.exit_code)

    told(tmp_path, story, "shell", stop_grace=10.0)


# profiles


MINIMAL = {"command": "tool", "prompt": "^> "}


def brief(**more: Any) -> Brief:
    fields: dict[str, Any] = {"agent": "lead", "command": ("/bin/tool",), "workspace": "/w", "files": "/f"}
    return Brief(**{**fields, **more})


def test_a_profile_says_how_a_program_is_started() -> None:
    cls = Terminal.like(
        profile(
            "tool",
            MINIMAL
            | {
                "args": ["chat", "--name={agent}", "{other}"],
                "model": ["-m", "{model}"],
                "instructions": ["--role", "{files}/role.md"],
                "files": {"role.md": "You: {instructions}"},
                "permissions": {"all": ["--yolo"]},
                "env": {"TERM": "dumb"},
                "size": [50, 120],
            },
        )
    )
    launch = cls(brief(model="m1", instructions="Be kind. {agent}", extra_args=("-x",))).launch()

    assert (
        "/bin/tool",
        "chat",
        "--name=lead",
        "{other}",
        "-m",
        "m1",
        "--role",
        "/f/role.md",
        "-x",
    ) == launch.argv
    assert {"role.md": "You: Be kind. {agent}"} == launch.files
    assert ("pty", (50, 120), {"TERM": "dumb"}) == (launch.wire, launch.screen, launch.env)
    assert ("/bin/tool", "chat", "--name=lead", "{other}") == cls(brief()).launch().argv
    assert "--yolo" in cls(brief(permissions="all")).launch().argv
    assert ("tool", ("tool",)) == (cls.name, cls.commands)


def test_features_are_what_a_terminal_can_give() -> None:
    family = Terminal.family({"terminal": profiles.read([profiles.SHIPPED])})

    assert {"aider", "claude-screen", "codex-screen", "ipython", "llm", "ollama", "python", "shell"} == set(
        family
    )
    assert ["multi_turn", "interrupt"] == family["shell"].features.names()
    assert ["multi_turn"] == family["llm"].features.names()  # Ctrl-C ends it
    told = {name for name, cls in family.items() if cls.instructed}
    assert {"aider", "claude-screen", "codex-screen", "llm", "ollama"} == told
    assert {} == Terminal.family({})


@pytest.mark.parametrize("name", ["claude-screen", "codex-screen"])
def test_a_bypass_is_switched_on_for_permissions_all_alone(name: str) -> None:
    cls = Terminal.family({"terminal": profiles.read([profiles.SHIPPED])})[name]
    argv = {
        kind: " ".join(cls(brief(permissions=kind)).launch().argv) for kind in ("deny", "ask", "edits", "all")
    }

    assert ["all"] == [kind for kind, said in argv.items() if "bypass" in said or "danger" in said]


@pytest.mark.parametrize(
    ("keys", "said"),
    [
        ({"promt": "x"}, r"there is no key 'promt'. Did you mean 'prompt'\?"),
        ({"promt": "x", "prompt": None}, r"there is no key 'promt'. Did you mean 'prompt'\?"),
        ({"prompt": ""}, "has no 'prompt'"),
        ({"command": None}, "has no 'command'"),
        ({"prompt": "("}, "prompt is no regular expression"),
        ({"prompt": "x*"}, "prompt matches nothing at all"),
        ({"stays": "long"}, "stays is 'long' and should be a number"),
        ({"paints": 1}, "paints is 1 and should be true or false"),
        ({"size": [0, 80]}, r"size is \[0, 80\] and should be \[rows, columns\]"),
        (
            {"dialogs": [{"see": "x", "anser": "y"}]},
            "dialogs: there is no key 'anser'. Did you mean 'answer'",
        ),
        ({"dialogs": [{"see": "(", "answer": "y"}]}, r"dialogs\[0\].see is no regular expression"),
        ({"env": {"A": 1}}, "env is {'A': 1} and should be a table of texts"),
        ({"instructions": "second"}, "instructions is 'second' and should be"),
        ({"permissions": {"some": []}}, "permissions is"),
        ({"submit": "x"}, "submit has neither"),
        ({"paints": True}, "needs 'busy' or 'began'"),
    ],
)
def test_a_wrong_key_is_named_with_its_place(keys: dict[str, Any], said: str) -> None:
    with pytest.raises(ValueError, match=said) as failure:
        profile("mine", MINIMAL | keys, "mine.toml")
    assert str(failure.value).startswith("profile 'mine' (mine.toml)")


def test_a_profile_without_a_place_is_looked_for_in_both() -> None:
    with pytest.raises(ValueError, match=r"profile 'mine' \(profiles/mine\.toml, or \[terminal\.mine\]\)"):
        profile("mine", {"command": "mine"})


def test_the_nearer_folder_wins_and_a_file_that_is_no_toml_is_named(tmp_path: Path) -> None:
    near = tmp_path / "near"
    near.mkdir()
    (near / "shell.toml").write_text('command = "zsh"\nprompt = "^% "\n')
    assert "zsh" == profiles.read([near, profiles.SHIPPED])["shell"]["command"]

    (near / "torn.toml").write_text("command = ")
    with pytest.raises(BadInput, match=r"torn\.toml is no profile"):
        profiles.read([near])


@pytest.mark.parametrize("text", ['it\'s \\ $x `y` "z"', "tab\tand\nline", "€ ☃ \x07", "\ud800"])
def test_a_word_for_the_shell_is_ascii_without_a_line_end(text: str) -> None:
    word = quoted(text)

    assert word.isascii()
    assert "\n" not in word
    assert text.encode(errors="replace") == eval(f"b'{word[2:-1]}'")  # the same escapes, in Python


def test_a_tag_is_no_part_of_the_text() -> None:
    made = profile("tool", MINIMAL | {"multi_line": "<{tag}\n{text}\n{tag}>"})

    assert "<t1xx\na t1x\nb\nt1xx>" == typed(made, "a t1x\nb", "t1")
    assert "one line" == typed(made, "one line", "t1")


@pytest.mark.parametrize(
    ("text", "seen"),
    [
        ("a\r\nb\r\n", "a\nb\n"),
        ("10%\r50%\r100%\n", "100%\n"),
        ("abc\b\b\bxyz", "xyz"),
        ("ab\b\b\b\bc", "c"),
        ("plain", "plain"),
    ],
)
def test_lines_that_were_written_anew_count_as_they_were_last(text: str, seen: str) -> None:
    assert seen == printed(text)


@pytest.mark.parametrize(
    "prompt", ["bash-5.2$ ", "sh-5.1# ", "ann@host:~/work$ ", "[ann@host work]$ ", "(base) ann@host ~ % "]
)
def test_the_prompts_of_shells_are_known(prompt: str) -> None:
    assert re.search(rf"(?:{SHELL})\Z", f"Segmentation fault\n{prompt}", re.MULTILINE)


@pytest.mark.parametrize("text", [">>> ", "costs 5$ ", "100% ", "mail ann@host.org ", "$ "])
def test_other_endings_are_no_shell(text: str) -> None:
    assert not re.search(rf"(?:{SHELL})\Z", f"An answer\n{text}", re.MULTILINE)


@pytest.mark.parametrize(
    "line", ["not json", "[]", "{}", '{"fact": "saw"}', '{"fact": "saw", "name": "dialog 7"}']
)
def test_what_is_no_word_of_the_terminal_is_noise(line: str) -> None:
    agent = Terminal.like(profile("tool", MINIMAL))(brief())

    with pytest.raises(Unreadable):
        agent.read(line)


def test_an_agent_that_is_idle_is_not_interrupted() -> None:
    agent = Terminal.like(profile("tool", MINIMAL))(brief())

    assert [] == list(agent.interrupt())
    assert ["type", "expect"] == [json.loads(line)["do"] for line in agent.prompt("lead.t1", "hi")]
    assert ["press", "expect"] == [json.loads(line)["do"] for line in agent.interrupt()]


# what the real screens looked like


class Played:
    """A codec at a terminal that plays what a real program wrote."""

    def __init__(self, name: str) -> None:
        cls = Terminal.family({"terminal": profiles.read([profiles.SHIPPED])})[name]
        self.codec, self.items = cls(brief()), []
        self.terminal = ByHand(paints=True, size=cls.profile.size)
        self.terminal.facts.lines = self.lines
        self.obey(self.codec.greet())

    def obey(self, orders: Iterable[str]) -> None:
        for order in orders:
            self.terminal.pty.write(order)

    def lines(self, lines: Sequence[Line]) -> None:
        for item in self.codec.read(lines[0].text):
            self.obey([item.line]) if isinstance(item, Write) else self.items.append(item)

    async def play(self, wire: bytes, until: type, piece: int) -> Any:
        self.terminal.prints(*(wire[i : i + piece] for i in range(0, len(wire), piece)))
        async with asyncio.timeout(20):
            while not (found := [item for item in self.items if isinstance(item, until)]):
                await asyncio.sleep(0.01)
        return found[0]


@pytest.mark.parametrize("piece", [7, 65_536])
@pytest.mark.parametrize(
    ("folder", "begins"),
    [
        ("claude-screen-2.1.330", "echo: hello there | seen=[]"),
        ("codex-screen-0.169.0", "echo: # Who you are\n"),
    ],
)
def test_a_screen_that_was_recorded_is_understood(folder: str, begins: str, piece: int) -> None:
    wires = Path(__file__).parent / "transcripts" / folder

    async def main() -> None:
        played = Played(folder.rpartition("-")[0])
        await played.play((wires / "start.wire").read_bytes(), AgentReady, piece)
        played.obey(played.codec.prompt("lead.t1", "hello there"))
        ended = await played.play((wires / "turn.wire").read_bytes(), TurnEnded, piece)
        assert "ok" == ended.outcome
        assert ended.text.startswith(begins)
        assert "/effort" not in ended.text
        assert not re.search("^[›❯─]", ended.text, re.MULTILINE)

    asyncio.run(main())


@pytest.mark.parametrize("folder", ["claude-screen-2.1.330", "codex-screen-0.169.0"])
def test_a_recorded_screen_without_its_turn_is_no_answer(
    folder: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The prompt of before stands there, unchanged; that is no sign that anything was taken up."""
    monkeypatch.setattr("madrox_nb.harness.terminal.TAKES_UP", 0.5)
    wires = Path(__file__).parent / "transcripts" / folder

    async def main() -> None:
        played = Played(folder.rpartition("-")[0])
        await played.play((wires / "start.wire").read_bytes(), AgentReady, 65_536)
        played.obey(played.codec.prompt("lead.t1", "hello there"))
        stopped = await played.play(b"\x1b[1;1H", AgentStopped, 65_536)
        assert "it did not take up what was typed" == stopped.reason

    asyncio.run(main())
