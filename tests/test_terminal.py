"""Programs at a terminal as agents: their turns, interrupts and ends."""

from __future__ import annotations

import asyncio
import math
from pathlib import Path

import pytest
from crew import events, until
from terminals import interrupted, rogue

from madrox_nb.errors import HarnessError, HarnessNotReady
from madrox_nb.events import AgentReady, AgentStopped, Notice, TurnEnded, UsageReported
from madrox_nb.harness import terminal
from madrox_nb.manager import Manager

pytestmark = pytest.mark.slow


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


def test_a_key_that_got_lost_is_pressed_once_more(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def story(m: Manager) -> None:
        answer = await interrupted(m, "hard_of_hearing", "working")
        assert ("interrupted", "working\nstopped") == (answer.outcome, answer.text)
        assert "heard and now" == (await m.send("lead", "and now")).text

    monkeypatch.setattr(terminal, "TAKES_UP", 0.2)
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
        node._put(b"x")  # somebody else's key: the program ends while idle
        await ended
        [stopped] = events(m, AgentStopped)
        assert "a shell stands there" in stopped.reason

    rogue(tmp_path, story)
