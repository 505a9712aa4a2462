"""The rehearsal agent as a program: what it is told, does, asks and writes."""

import json
import os
import signal
import subprocess

import pytest
from rehearsed import SOON, Driver, drivers

from madrox_nb.harness.rehearsal import Rehearsal


@pytest.fixture
def lead(tmp_path):
    with drivers(tmp_path) as start:
        yield start()


# the conversation


def test_hello_is_answered_with_the_session(tmp_path):
    driver = Driver(tmp_path, {})
    try:
        assert {"type": "ready", "session": "s-1", "version": "1"} == json.loads(driver.line())
    finally:
        driver.close()


def test_a_plain_prompt_is_digested_and_no_model_is_claimed(lead):
    lead.prompt("Build it.\nAnd test it.")
    delta, said, usage, ended = lead.until("ended")

    digest = (
        "*Rehearsal: no model is thinking.* I am **lead** (architect), turn 1. "
        "You asked: “Build it. And test it.” (22 characters, 2 lines). Earlier turns: 0."
    )
    assert digest == ended["text"] == said["text"] == delta["text"]
    assert {"type": "usage", "turn": "lead.t1", "input_tokens": 0, "output_tokens": 0} == usage
    assert ("ok", "") == (ended["outcome"], ended["error"])


def test_it_remembers_the_conversation(lead):
    lead.do("first\nline")
    assert "turn 2" in (second := lead.do("second")["text"])
    assert second.endswith("Earlier turns: 1.")

    assert ["first\nline", "second"] == json.loads(lead.do("/recall")["text"])


def test_lines_that_only_look_like_directives_are_task_text(lead):
    assert (
        "no model" in lead.do("/etc/passwd is a file\n /say indented\n//say twice\n/ alone\n/5 a day")["text"]
    )


def test_what_others_tell_it_is_no_order_and_what_they_ask_is(lead):
    told = "[kid.m1] kid answers [lead.m1]:\n/fail now\n\n[kid.m2] kid writes:\n/crash"

    assert "ok" == lead.do(told)["outcome"]
    assert "mine" == lead.do(f"{told}\n\n[you.m3] the person asks:\n/say mine")["text"]


def test_directives_are_done_in_order_and_each_leaves_a_line(lead):
    ended = lead.do("do this:\n/say one\nthen\r\n/say two\\nthree\r\n/usage 1 2\n/say four\\\\n")

    assert "one\ntwo\nthree\nused 1 tokens in, 2 out\nfour\\n" == ended["text"]


def test_what_is_spoken_in_pieces_is_what_is_said_is_what_the_turn_ends_with(lead):
    lead.prompt("/say one\n/slow 3 0\n/say two")
    seen = lead.until("ended")
    said = [m["text"] for m in seen if m["type"] == "said"]

    assert ["one", "word-1 word-2 word-3", "two"] == said
    assert "".join(said) == "".join(m["text"] for m in seen if m["type"] == "delta")
    assert "\n".join(said) == seen[-1]["text"]


def test_usage_is_reported_as_told_and_never_counted(lead):
    lead.prompt("/usage 1200 34\n/usage 1 0")
    usages = [(m["input_tokens"], m["output_tokens"]) for m in lead.until("ended") if m["type"] == "usage"]

    assert [(1200, 34), (1, 0)] == usages


def test_fail_ends_the_turn_failed_and_keeps_what_was_said(lead):
    ended = lead.do("/say before\n/fail the disk\\nis full\n/say never")

    assert ("failed", "the disk\nis full", "before") == (ended["outcome"], ended["error"], ended["text"])
    assert "ok" == lead.do("again")["outcome"]


def test_garbage_is_printed_between_readable_lines(lead):
    lead.prompt("/garbage")

    with pytest.raises(ValueError):
        json.loads(lead.line())
    assert "ok" == lead.next("ended")["outcome"]


@pytest.mark.parametrize(
    ("text", "code", "words"), [("/crash", 3, "/crash said"), ("/crash 41", 41, "/crash 41 said")]
)
def test_crash_ends_the_process_at_once_with_its_code_and_last_words(lead, text, code, words):
    lead.prompt(f"/say before\n{text}")

    assert code == lead.exit()
    assert words in lead.process.stderr.read().decode()
    assert ["delta", "said"] == [json.loads(line)["type"] for line in iter(lead.line, b"")]


# what cannot be read


def test_an_unknown_directive_fails_the_turn_naming_the_nearest_and_all(lead):
    ended = lead.do("/say not even this\n/spwan kid")

    assert ("failed", "") == (ended["outcome"], ended["text"])
    assert "/spwan" in ended["error"]
    assert "Did you mean /spawn?" in ended["error"]
    assert "/hang [hard]" in ended["error"]


@pytest.mark.parametrize(
    "text",
    [
        "/say",
        "/send kid",
        "/spawn",
        "/spawn kid tester stray",
        "/slow many 1",
        "/slow 3",
        "/slow 3 1e9",
        "/usage 1",
        "/usage 1 -1",
        "/hang softly",
        "/tool x [1]",
        "/tool x {nope}",
        "/crash now",
        "/tree now",
        "/inbox soon",
        "/usage " + "9" * 5000 + " 1",
        "/spawn " + "a " * 50_000 + "=",
    ],
    ids=lambda text: text[:24],
)
def test_bad_arguments_fail_the_turn_naming_the_directive(lead, text):
    ended = lead.do(text)

    assert "failed" == ended["outcome"]
    assert text.split()[0] in ended["error"]
    assert "Known: /spawn NAME" in ended["error"]
    assert len(ended["error"]) < 2000


def test_a_bad_line_from_the_manager_is_named_on_stderr_and_passed_over(lead):
    lead.process.stdin.write(b"nonsense\n[]\n{}\n" + b"[" * 100_000 + b"\n")
    assert "ok" == lead.do("still there?")["outcome"]

    lead.process.stdin.close()
    assert 0 == lead.exit()
    assert 3 == lead.process.stderr.read().count(b"not a message")


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("x" * 100_000, "100000 characters, 1 line)"),
        ("line of text\n" * 80_660, "1048580 characters, 80661 lines)"),
        ("nul \0 family 👩‍👩‍👧 half \ud83d end", "characters, 1 line)"),
        ("  ", "2 characters, 1 line)"),
        ("\n", "1 character, 2 lines)"),
    ],
    ids=["100 kB line", "1 MB", "NUL, emoji, half a pair", "blank", "newline"],
)
def test_any_prompt_is_digested(lead, text, size):
    ended = lead.do(text)

    assert "ok" == ended["outcome"]
    assert size in ended["text"]
    assert len(ended["text"]) < 500
    assert "\0" not in ended["text"]


# interrupting


def test_an_interrupt_ends_slow_at_once_and_keeps_what_was_spoken(lead):
    lead.prompt("/say first\n/slow 2 0\n/slow 2 3600\n/say never")
    while lead.next("said")["text"] != "word-1 word-2":
        pass
    lead.write(type="interrupt")
    ended = lead.next("ended")

    assert ("interrupted", "first\nword-1 word-2") == (ended["outcome"], ended["text"])


def test_an_interrupt_in_the_middle_of_a_message_keeps_its_first_words(lead):
    lead.prompt("/slow 900000 0.001")
    first = lead.next("delta")["text"]
    lead.write(type="interrupt")
    *_, said, usage, ended = lead.until("ended")

    assert "word-1" == first
    assert "interrupted" == ended["outcome"]
    assert said["text"] == ended["text"]
    assert ended["text"].startswith("word-1")
    assert "usage" == usage["type"]


def test_an_interrupt_between_turns_does_not_end_the_next(lead):
    lead.write(type="interrupt")
    assert "ok" == lead.do("hello")["outcome"]
    lead.write(type="interrupt")
    assert "ok" == lead.do("/slow 2 0")["outcome"]


def test_an_interrupt_right_behind_the_prompt_is_not_lost(lead):
    lead.prompt("/hang")
    lead.write(type="interrupt")

    assert "interrupted" == lead.next("ended")["outcome"]
    assert ["/hang"] == json.loads(lead.do("/recall")["text"])


def test_a_hard_hang_hears_neither_interrupt_nor_the_end_of_stdin(lead):
    lead.prompt("/hang hard")
    lead.next("said")
    lead.write(type="interrupt")
    lead.process.stdin.close()

    with pytest.raises(subprocess.TimeoutExpired):
        lead.process.wait(0.5)
    lead.process.terminate()
    assert -signal.SIGTERM == lead.exit()


@pytest.mark.parametrize("text", ["", "/hang", "/slow 100 3600", "/approve-needed", "/slow 900000 0"])
def test_the_end_of_stdin_ends_the_process_whatever_it_does(lead, text):
    if text:
        lead.prompt(f"/say now\n{text}")
        lead.next("said")
    lead.process.stdin.close()

    assert 0 == lead.exit()
    assert b"" == lead.process.stderr.read()


def test_when_nobody_reads_its_words_it_goes_quietly(lead):
    read, write = os.pipe()
    os.close(read)
    process = subprocess.Popen(
        Rehearsal.command(), stdin=subprocess.PIPE, stdout=write, stderr=subprocess.PIPE
    )
    os.close(write)
    process.stdin.write(b'{"type": "hello"}\n')
    process.stdin.flush()

    assert 0 == process.wait(SOON)
    assert b"" == process.stderr.read()
    process.stdin.close()
    process.stderr.close()


# asking


@pytest.mark.parametrize(
    ("decision", "why", "text"),
    [
        ("allow", "", "asked to use Write: allow"),
        ("deny", "not today", "asked to use Write: deny (not today)"),
    ],
)
def test_it_asks_waits_and_says_what_was_decided(lead, decision, why, text):
    lead.prompt("/approve-needed Write")
    ask = lead.next("ask")
    assert "Write" == ask["tool"]
    lead.write(type="answer", request="another", decision="deny", why="")
    lead.write(type="answer", request=ask["request"], decision=decision, why=why)

    assert text == lead.next("ended")["text"]


def test_an_interrupt_withdraws_what_was_asked(lead):
    lead.prompt("/approve-needed")
    ask = lead.next("ask")
    lead.write(type="interrupt")

    assert ask["request"] == lead.next("withdraw")["request"]
    assert "interrupted" == lead.next("ended")["outcome"]


# files


def test_write_makes_a_file_in_the_workspace(lead, tmp_path):
    ended = lead.do("/write docs/plan.md # Plan\\n\\n- grün")

    assert "# Plan\n\n- grün" == (tmp_path / "workspace/docs/plan.md").read_text("utf-8")
    assert "wrote docs/plan.md (15 bytes)" == ended["text"]


@pytest.mark.parametrize("file", ["../out.txt", "link/out.txt", "a/../../out.txt", "{tmp}/out.txt"])
def test_write_refuses_to_leave_the_workspace(lead, tmp_path, file):
    (tmp_path / "workspace/link").symlink_to(tmp_path)
    ended = lead.do(f"/write {file.format(tmp=tmp_path)} text")

    assert "failed" == ended["outcome"]
    assert "outside of the workspace" in ended["error"]
    assert not (tmp_path / "out.txt").exists()


@pytest.mark.parametrize("file", [".", "a\0b", "x" * 300])
def test_a_file_that_cannot_be_written_fails_the_turn(lead, file):
    assert "failed" == lead.do(f"/write {file} text")["outcome"]
