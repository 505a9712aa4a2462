"""Real programs at a terminal: shells, Pythons, and chats with a model that is a stub."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

import groups
import pytest
import terminals
from chat import FENCE, Chat
from crew import events, with_run
from terminals import LONG, interrupted, told

from madrox_nb.events import AgentStopped
from madrox_nb.manager import Manager

pytestmark = pytest.mark.slow


# the shipped ones


@pytest.mark.skipif(not shutil.which("bash"), reason="bash is absent; this provides it: apt install bash")
def test_a_shell_carries_out_whatever_lines_and_quotes_are_in_a_command(tmp_path: Path) -> None:
    async def story(m: Manager) -> None:
        text = "x='it''s \"so\"'\nfor i in 1 2; do\n  echo \"$i $x\"\ndone\n\ncat <<'E'\n\ta\\n € `b`\nE"
        assert '1 its "so"\n2 its "so"\n\ta\\n € `b`' == (await m.send("lead", text)).text
        assert 'its "so"' == (await m.send("lead", 'echo "$x"')).text
        assert "" == (await m.send("lead", "cat; true")).text  # it can't take our next text for its input
        assert "4000" == (await m.send("lead", f"wc -l <<'E'\n{LONG}E")).text
        answer = await interrupted(m, "export Y=5; sh -c 'echo begun; exec sleep 600'; echo no", "begun")
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


# real programs with a model that is a stub


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
