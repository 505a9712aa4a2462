"""`madrox`, as a person types it: over a run that serves in this process, and real agents."""

from __future__ import annotations

import io
import json
import os
import re
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from crew import until

from madrox_nb import cli, runtime
from madrox_nb.cli import speech
from madrox_nb.cli.lab import notebooks
from madrox_nb.cli.wording import in_commands
from madrox_nb.events import ApprovalAsked
from madrox_nb.run import Run

pytestmark = pytest.mark.slow

TOP = Path(__file__).parents[1]


@pytest.fixture
def run(tmp_path: Path) -> Iterator[Run]:
    """A run that listens, as it does in a notebook after `%madrox serve`."""
    opened = Run(home=tmp_path / "home", port=0, harnesses=("rehearsal",), stop_grace=1.0)
    try:
        opened.start(opened.serve).result()
        yield opened
    finally:
        opened.close()


@pytest.fixture
def madrox(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> Callable[..., tuple[int, str, str]]:
    """Type a line; returns the status, and what was written to stdout and stderr."""

    def type_(*line: str, stdin: str = "") -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "stdin", io.StringIO(stdin))
        capsys.readouterr()
        status = cli.main(line)
        said = capsys.readouterr()
        return status, said.out, said.err

    return type_


Type = Callable[..., tuple[int, str, str]]


# with one that runs


def test_agents_are_spawned_asked_seen_and_stopped(run: Run, madrox: Type) -> None:
    assert (0, "spawned lead (architect, rehearsal): idle\n", "") == madrox(
        "spawn", "lead", "--role", "architect"
    )
    assert (0, "one\ntwo\n", "") == madrox("send", "lead", "/say one\\ntwo")
    assert (0, "spawned kid (general, rehearsal, child of lead): idle\n", "") == madrox(
        "spawn", "kid", "--parent", "lead"
    )
    status, said, _ = madrox("tree")
    assert (0, ["lead", "└── kid"]) == (status, [re.split(r" [(\[]", line)[0] for line in said.splitlines()])
    status, said, _ = madrox("logs", "lead", "-n", "1")
    assert (0, "lead answer: one\ntwo") == (status, said.rstrip().partition("Z ")[2])
    assert (
        2,
        "",
        "madrox: lead has 1 living below it (kid). Stop them with it: madrox stop lead --tree\n",
    ) == (madrox("stop", "lead"))
    assert (0, "ended: kid, lead\n", "") == madrox("stop", "lead", "--tree")
    assert (0, "nobody was ended\n", "") == madrox("stop", "--all")


def test_everything_is_there_for_programs_too(run: Run, madrox: Type) -> None:
    spawned = json.loads(madrox("spawn", "lead", "--json")[1])
    assert ("lead", "rehearsal", "idle") == (spawned["instance_id"], spawned["harness"], spawned["status"])
    answer = json.loads(madrox("send", "lead", "/say ●", "--json")[1])
    assert ("●", "completed", "lead.t1") == (answer["response"], answer["status"], answer["turn"])
    assert 1 == json.loads(madrox("tree", "--json")[1])["total"]
    assert ["/say ●", "●"] == [
        each["content"] for each in json.loads(madrox("logs", "lead", "--json")[1])["output"]
    ]
    assert ["lead"] == json.loads(madrox("stop", "--all", "--json")[1])["terminated"]
    status, said, error = madrox("send", "lead", "hello", "--json")
    assert (2, "AgentGone") == (status, json.loads(said)["error"]["type"])
    assert error == (
        "madrox: lead has stopped and can't be sent a message. "
        "Spawn it again: madrox spawn lead --role general --harness rehearsal\n"
    )


def test_a_turn_is_ended_and_its_end_awaited(run: Run, madrox: Type) -> None:
    madrox("spawn", "lead")
    madrox("send", "lead", "--no-wait", "/hang")

    assert (1, "running: lead at work\nlead is at work\n", "") == madrox("wait", "lead", "--timeout", "0.1")
    assert (0, "lead.t1 was interrupted\n", "") == madrox("interrupt", "lead")
    assert (0, "done\nlead is idle\n", "") == madrox("wait")


def test_who_works_is_not_ended_with_all_unless_forced(run: Run, madrox: Type) -> None:
    madrox("spawn", "lead")
    madrox("spawn", "other")
    madrox("send", "lead", "--no-wait", "/hang")

    status, said, error = madrox("stop", "--all")
    assert (2, "ended: other\n", True) == (status, said, error.startswith("madrox: lead is busy"))
    assert "--force" in error
    assert (0, "ended: lead\n", "") == madrox("stop", "--all", "--force")


def test_a_text_comes_from_a_pipe(run: Run, madrox: Type) -> None:
    madrox("spawn", "lead")

    assert (0, "from a pipe\n", "") == madrox("send", "lead", stdin="/say from a pipe\n")
    assert (0, "from a pipe\n", "") == madrox("send", "lead", "-", stdin="/say from a pipe\n")


def test_who_does_not_wait_finds_the_answer_in_the_inbox(run: Run, madrox: Type) -> None:
    madrox("spawn", "lead")

    status, said, _ = madrox("send", "lead", "--no-wait", "/say", "later")
    assert (0, "madrox inbox brings the answer\n") == (status, said.partition(". ")[2])
    status, said, _ = madrox("inbox", "--wait", "10")
    assert (0, True) == (status, "later" in said)
    assert (0, "no messages, and nobody is at work on anything you asked\n", "") == madrox("inbox")


def test_a_turn_that_fails_and_one_that_takes_too_long_are_status_1(run: Run, madrox: Type) -> None:
    madrox("spawn", "lead")

    status, said, error = madrox("send", "lead", "/fail no paper")
    assert (1, "") == (status, said)
    assert error.startswith("madrox: lead: turn lead.t1 failed: no paper.")
    status, said, _ = madrox("send", "lead", "--timeout", "1", "/slow 3 1")
    assert (1, True) == (status, said.startswith("running: lead is busy"))
    assert "word-3" in madrox("inbox", "--wait", "20")[1]


def test_it_waits_longer_than_an_mcp_client_would(
    run: Run, madrox: Type, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("madrox_nb.tools.waiting.LONGEST_WAIT", 0.05)
    madrox("spawn", "lead")

    assert (0, "word-1 word-2 word-3\n", "") == madrox("send", "lead", "/slow 3 0.2")


def test_a_first_task_is_begun_and_options_reach_the_cli(run: Run, madrox: Type) -> None:
    status, said, _ = madrox("spawn", "lead", "--prompt", "/say begun", "--no-wait")
    assert (0, True) == (status, "madrox inbox brings the answer" in said)
    assert "begun" in madrox("inbox", "--wait", "10")[1]
    status, _, error = madrox("spawn", "kid", "--option", "fast=yes")
    assert (2, True) == (status, error.startswith("madrox: options: rehearsal has no option 'fast'."))


def test_an_option_without_its_value_says_how_it_is_written(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="2"):
        cli.main(["spawn", "--option", "fast"])

    assert "argument --option: fast: write it as NAME=VALUE, such as" in capsys.readouterr().err


def test_what_a_cell_can_give_an_agent_a_terminal_can_too(run: Run, madrox: Type, tmp_path: Path) -> None:
    given = [
        "--bypass-isolation",
        "--no-auto-inject",
        "--usd",
        "2.5",
        "--workspace-dir",
        str(tmp_path / "w"),
    ]
    assert 0 == madrox("spawn", "lead", *given, "--mcp", json.dumps({"box": {"command": "true"}}))[0]

    lead = run.manager.tree["lead"]
    assert ("all", False, ["box"]) == (lead.permissions, lead.auto_inject, list(json.loads(lead.mcp_servers)))
    assert str(tmp_path / "w") == lead.workspace
    assert 2.5 == run.manager.budget.limits["lead"]["usd"].amount
    assert (2, True) == (
        (told := madrox("spawn", "--tokens", "none"))[0],
        "--tokens none: leave it out here" in told[2],
    )


def test_what_is_refused_says_the_next_step_as_a_command(run: Run, madrox: Type) -> None:
    assert (0, "no agents yet: madrox spawn starts one\n", "") == madrox("tree")
    status, _, error = madrox("send", "lead", "hello")
    assert (2, True) == (status, "madrox spawn" in error)
    for line in (["stop"], ["stop", "lead", "--all"]):
        assert (2, "madrox: say whom to stop: an agent's name, or --all\n") == madrox(*line)[::2]
    assert (2, "madrox: --timeout -1 is no time to wait\n") == madrox("send", "x", "y", "--timeout", "-1")[
        ::2
    ]


def test_the_home_or_the_process_chooses_among_those_that_run(run: Run, madrox: Type, tmp_path: Path) -> None:
    other = Run(home=tmp_path / "other", port=0, harnesses=("rehearsal",), stop_grace=1.0)
    try:
        other.start(other.serve).result()
        madrox("spawn", "here", "--home", str(tmp_path / "home"))
        madrox("spawn", "there", "--home", str(tmp_path / "other"))
        assert (["here"], ["there"]) == (
            [agent.name for agent in run.manager.tree],
            [agent.name for agent in other.manager.tree],
        )

        status, said, error = madrox("tree")
        assert (2, "") == (status, said)
        assert "2 servers are equally near. Say which with --home or --pid, or work in its directory" in error
        assert str(tmp_path / "other") in error

        status, _, error = madrox("tree", "--home", str(tmp_path))
        assert (3, True) == (status, f"no madrox with the home {tmp_path} is running. Running are" in error)
    finally:
        other.close()
    status, _, error = madrox("tree", "--home", str(tmp_path / "other"))
    assert 3 == status
    assert (
        f"no madrox with the home {tmp_path / 'other'} is running. Running are:\n  {tmp_path / 'home'}"
        in error
    )
    assert 0 == madrox("tree", "--pid", str(os.getpid()))[0]
    assert (3, "madrox: no madrox of yours listens in process 1.") == (
        (got := madrox("tree", "--pid", "1"))[0],
        got[2].partition(" Running")[0],
    )


def test_the_variable_means_a_home_as_the_option_does(
    run: Run, madrox: Type, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MADROX_HOME", str(tmp_path / "nobodys"))

    assert 3 == madrox("tree")[0]
    assert 0 == madrox("tree", "--home", str(tmp_path / "home"))[0]


# with none


def test_with_nothing_running_it_says_how_to_start_one(madrox: Type) -> None:
    status, said, error = madrox("tree")

    assert (3, "") == (status, said)
    assert error == (
        "madrox: no madrox is running. Start one\n"
        "  in a terminal:  madrox serve\n"
        "  in a notebook:  %load_ext madrox_nb\n"
        "                  %madrox serve\n"
    )
    assert "NotRunning" == json.loads(madrox("tree", "--json")[1])["error"]["type"]


@pytest.fixture
def stranger(tmp_path: Path) -> Iterator[Callable[[bytes], None]]:
    """Something that listens where a madrox is said to be, and answers as told; nothing: it hangs."""
    listener = socket.create_server(("127.0.0.1", 0))
    url = f"http://127.0.0.1:{listener.getsockname()[1]}/mcp"
    published = runtime.publish(runtime.described(url, "token", home=tmp_path / "home"))
    listener.settimeout(60)
    threads = []

    def answer(with_: bytes) -> None:
        def once() -> None:
            connection, _ = listener.accept()
            with connection:
                connection.recv(65536)
                connection.sendall(with_)

        threads.append(threading.Thread(target=once))
        threads[-1].start()

    yield answer
    listener.close()
    runtime.withdraw(published)
    for thread in threads:
        thread.join()


@pytest.mark.parametrize(
    ("answer", "status", "said"),
    [
        (
            b"HTTP/1.1 401 Unauthorized\r\nContent-Length: 2\r\n\r\n{}",
            3,
            "does not know the token that it published",
        ),
        (
            b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello",
            3,
            "answered in a way that this version does not",
        ),
        (b"HTTP/1.1 500 No\r\nContent-Length: 2\r\n\r\n[]", 2, "answered with status 500"),
        (b"SSH-2.0-OpenSSH_9.2\r\n", 3, "can't be reached"),
        (b"", 3, "can't be reached"),
    ],
)
def test_who_listens_there_and_is_no_madrox_is_named(
    stranger: Callable[[bytes], None], madrox: Type, answer: bytes, status: int, said: str
) -> None:
    stranger(answer)

    got, out, error = madrox("tree")
    assert (status, "") == (got, out)
    assert said in error
    assert "token\n" not in error


def test_one_that_just_ended_is_named(madrox: Type, tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as gone:
        port = gone.getsockname()[1]
    url = f"http://127.0.0.1:{port}/mcp"
    published = runtime.publish(runtime.described(url, "token", home=tmp_path))
    try:
        status, _, error = madrox("tree")
    finally:
        runtime.withdraw(published)

    assert (3, True) == (status, "can't be reached" in error)


def test_a_client_is_let_in_with_a_token_of_its_own_until_it_is_revoked(run: Run, madrox: Type) -> None:
    home = run.config.settings.home
    status, said, _ = madrox("token", "create", "eyes", "--json")  # found as every command finds its madrox
    made = json.loads(said)
    assert (0, "eyes", "read") == (status, made["name"], made["scope"])
    assert "eyes" == getattr(run.manager.clients.find(made["token"]), "name", None)

    assert (2, True) == (
        (again := madrox("token", "create", "eyes"))[0],
        "revoke it first: madrox token revoke eyes" in again[2],
    )
    status, said, remark = madrox("token", "create", "hands", "--scope", "operate", "--home", str(home))
    assert (0, "hands") == (status, getattr(run.manager.clients.find(said.removesuffix("\n")), "name", None))
    assert "for running agents" in remark
    assert said.strip() not in remark
    listed = madrox("token", "list")[1]
    assert ["eyes (read)", "hands (operate)"] == [line.partition(",")[0] for line in listed.splitlines()]

    assert (0, "the token eyes (read) speaks for nobody any more\n", "") == madrox("token", "revoke", "eyes")
    assert None is run.manager.clients.find(made["token"])
    assert (2, "madrox: madrox token revoke needs the token's NAME\n") == madrox("token", "revoke")[::2]
    assert (2, True) == ((gone := madrox("token", "revoke", "eyes"))[0], "Known: hands" in gone[2])


# what is written


@pytest.mark.parametrize(
    ("tools", "commands"),
    [
        ("no agents yet: spawn_instance starts one", "no agents yet: madrox spawn starts one"),
        ("Stop it first: terminate_instance lead force=true", "Stop it first: madrox stop lead --force"),
        (
            "again: spawn_instance lead role=general instance_type=codex parent_instance_id=ann",
            "again: madrox spawn lead --role general --harness codex --parent ann",
        ),
        ("See get_instance_output, and ask again", "See madrox logs, and ask again"),
        ("or use instance_type=rehearsal, which", "or use --harness rehearsal, which"),
        (
            "force=true ends it. Wait for it (get_instance_status lead) or end it (interrupt_instance lead)",
            "--force ends it. Wait for it (madrox wait lead) or end it (madrox interrupt lead)",
        ),
        ("runs with permissions='deny' and", "runs with permissions='deny' and"),
    ],
)
def test_the_next_step_is_a_command(tools: str, commands: str) -> None:
    assert commands == in_commands(tools)


def test_what_an_agent_says_cannot_steer_the_terminal(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    speech.say("\x1b]0;title\x07red\x9b31m\n\ttab")
    assert "�]0;title�red�31m\n\ttab\n" == capsys.readouterr().out

    monkeypatch.setattr(sys.stdout, "isatty", lambda: False)
    speech.say("\x1b[31m")
    assert "\x1b[31m\n" == capsys.readouterr().out


def test_help_lists_every_command_and_what_the_status_means(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        cli.main(["--help"])

    said = capsys.readouterr().out
    for command in (
        "serve",
        "lab",
        "demo",
        "spawn",
        "send",
        "inbox",
        "tree",
        "logs",
        "costs",
        "interrupt",
        "wait",
        "job",
        "stop",
        "approvals",
        "approve",
        "deny",
        "doctor",
        "token",
    ):
        assert re.search(rf"^    {command}\s", said, re.MULTILINE), command
    assert "3    no madrox runs that could be meant" in said


def test_a_command_loads_nothing_heavy() -> None:
    program = (
        "import sys; from madrox_nb import cli\n"
        "try: cli.main(['tree'])\n"
        "finally: print(*sorted({name.partition('.')[0] for name in sys.modules}))"
    )
    said = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout

    assert set() == {"asyncio", "mcp", "pandas", "pydantic", "IPython", "orjson", "uvicorn"} & {*said.split()}


# jobs


def started_job(run: Run, *names: str, task: str) -> None:
    for name in names:
        run.start(run.manager.spawn, name).result()
    run.start(run.manager.foreman.start, names, task, "parallel").result()


def test_a_job_is_seen_awaited_and_stopped(run: Run, madrox: Type) -> None:
    assert (0, "no jobs yet: coordinate_instances starts one\n", "") == madrox("job")
    started_job(run, "ann", task="/say hi")
    assert (0, "Job you.j1 (parallel): 1 of 1 have answered\n", "") == (
        *(told := madrox("job", "you.j1", "--wait"))[:1],
        told[1].splitlines(keepends=True)[0],
        told[2],
    )
    started_job(run, "bob", task="/hang")
    status, said, _ = madrox("job", "you.j2", "--wait", "--timeout", "0.1")
    assert (1, True) == (status, said.endswith("brought by madrox inbox, or call madrox job\n"))
    assert "you.j2 (parallel) running: 0 of 1 have answered, bob at work" in madrox("job")[1]
    status, said, _ = madrox("job", "you.j2", "--stop", "--json")
    assert (0, "stopped", "you.j2") == (status, (told := json.loads(said))["status"], told["job_id"])
    assert (0, "you.j2 (parallel) stopped: 0 of 1 have answered, bob could not") == (
        0,
        madrox("job")[1].splitlines()[1],
    )


def test_a_job_that_is_not_meant_is_an_error_that_says_what_to_write(run: Run, madrox: Type) -> None:
    assert (2, "", "madrox: no job named 'x'. Known: none; coordinate_instances starts one\n") == madrox(
        "job", "x", "--stop"
    )
    status, _, error = madrox("job", "--stop")
    assert (2, True) == (status, "madrox job ID --stop" in error)


# what agents ask


@pytest.fixture
def attended(tmp_path: Path) -> Iterator[Run]:
    """A run whose person answers from another terminal."""
    opened = Run(home=tmp_path / "home", port=0, harnesses=("rehearsal",), stop_grace=1.0, attended="yes")
    try:
        opened.start(opened.serve).result()
        yield opened
    finally:
        opened.close()


def asks(run: Run, name: str, what: str = "") -> None:
    """Let an agent ask for something, and wait until it does."""

    asking = run.manager.ask(name, f"/approve-needed {what}")
    run.start(until, run.manager, lambda entry: isinstance(entry.event, ApprovalAsked), asking).result(60)


def test_what_agents_ask_is_listed_allowed_and_denied_with_a_reason(attended: Run, madrox: Type) -> None:
    assert (0, "nothing waits for an answer\n", "") == madrox("approvals")
    for name in ("lead", "kid"):
        madrox("spawn", name)
        asks(attended, name, 'Bash {"command": "rm -r x"}')

    assert (
        0,
        "lead.a1: lead asks to use Bash rm -r x\nkid.a1: kid asks to use Bash rm -r x\n",
        "",
    ) == madrox("approvals")
    assert (0, "lead.a1: lead asks to use Bash rm -r x: allowed by you\n", "") == madrox("approve", "lead.a1")
    status, said, _ = madrox("deny", "kid.a1", "--why", "not", "on", "a", "Friday", "--json")
    [answered] = json.loads(said)["approvals"]
    assert (0, "deny", "not on a Friday", "you") == (
        status,
        answered["state"],
        answered["why"],
        answered["by"],
    )
    assert (0, "nothing waits for an answer\n", "") == madrox("approvals")
    assert ["lead.a1", "kid.a1"] == [
        line.split(":")[0] for line in madrox("approvals", "--all")[1].splitlines()
    ]
    status, _, error = madrox("approve", "lead.a1")
    assert (2, "madrox: lead.a1 needs no answer any more: allowed by you\n") == (status, error)
    assert (2, True) == ((told := madrox("deny", "lead.a9"))[0], "'lead.a9'" in told[2])


def test_an_answer_can_hold_for_all_that_comes(attended: Run, madrox: Type) -> None:
    madrox("spawn", "lead")
    asks(attended, "lead", "Bash {}")
    madrox("approve", "lead.a1", "--always", "agent")
    madrox("wait", "lead")
    madrox("send", "lead", "/approve-needed Bash {}")

    assert "lead.a2: lead asks to use Bash: allowed by policy (as lead.a1" in madrox("approvals", "--all")[1]


# lab


def test_notebooks_are_copied_where_they_are_missing_and_never_over_ones_own(tmp_path: Path) -> None:
    mine = tmp_path / "notebooks" / "01-first-agent.ipynb"
    mine.parent.mkdir()
    mine.write_text("mine")

    assert mine.parent == notebooks(tmp_path)
    assert "mine" == mine.read_text()
    assert {path.name for path in (TOP / "notebooks").glob("*.ipynb")} == {
        path.name for path in mine.parent.iterdir()
    }


def test_without_jupyterlab_it_says_how_to_get_it(
    madrox: Type, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setitem(sys.modules, "jupyterlab.labapp", None)
    monkeypatch.chdir(tmp_path)

    status, _, error = madrox("lab")

    assert (2, True) == (status, "pip install 'madrox_nb[lab]'" in error)
    assert [] == [*tmp_path.iterdir()]


def test_lab_opens_the_first_notebook_with_jupyters_own_options(
    madrox: Type, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    opened: list[Any] = []
    monkeypatch.setitem(sys.modules, "jupyterlab.labapp", type("labapp", (), {"main": opened.append}))
    monkeypatch.chdir(tmp_path)

    assert 0 == madrox("lab", "--", "--no-browser", "--port", "0")[0]

    [argv] = opened
    assert [str(tmp_path / "notebooks" / "01-first-agent.ipynb"), "--no-browser", "--port", "0"] == [
        each for each in argv if each != "--allow-root"
    ]
    assert (os.geteuid() == 0) == ("--allow-root" in argv)
