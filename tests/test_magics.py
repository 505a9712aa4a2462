"""%madrox in an IPython shell of this process, over real rehearsal agents."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from IPython.core.completer import CompletionContext
from IPython.core.error import UsageError
from IPython.core.interactiveshell import InteractiveShell

import madrox_nb
from madrox_nb.errors import AgentGone, BadInput, UnknownAgent, UnknownJob
from madrox_nb.magics import COMMANDS, candidates, complete, interpolated, overview, read
from madrox_nb.notebook import AgentHandle, Madrox, Pending, current
from madrox_nb.values import Letters, Reply, Serving, Snapshot


@pytest.fixture(scope="module")
def ip() -> Iterator[InteractiveShell]:
    shell = InteractiveShell.instance()
    shell.history_manager.enabled = False
    yield shell
    shell.history_manager.end_session()
    InteractiveShell.clear_instance()


@pytest.fixture
def shell(ip: InteractiveShell) -> Iterator[InteractiveShell]:
    """It forgets afterwards what a test named; its own reset looks for garbage, which takes long."""
    names = dict(ip.user_ns)
    madrox_nb.load_ipython_extension(ip)
    yield ip
    madrox_nb.unload_ipython_extension(ip)
    ip.user_ns.clear()
    ip.user_ns.update(names)


@pytest.fixture
def crew(shell: InteractiveShell, tmp_path: Path) -> Iterator[InteractiveShell]:
    """A shell whose shared madrox has one agent, lead."""
    with Madrox(home=tmp_path / "home", port=0, harnesses=("rehearsal",), stop_grace=1.0):
        line(shell, "spawn lead")
        yield shell


def line(shell: InteractiveShell, text: str) -> Any:
    return shell.run_line_magic("madrox", text)


def cell(shell: InteractiveShell, text: str, body: str) -> Any:
    return shell.run_cell_magic("madrox", text, body)


def test_a_frame_of_limits_that_is_empty_says_how_to_set_one(
    crew: InteractiveShell, capsys: pytest.CaptureFixture[str]
) -> None:
    assert 0 == len(line(crew, "limit"))
    assert "no limits are set; %madrox limit lead --usd 5 sets one" in capsys.readouterr().out

    assert 1 == len(line(crew, "limit lead --usd 5"))
    assert "" == capsys.readouterr().out


# what is returned


def test_subcommands_return_what_the_verbs_do(crew: InteractiveShell) -> None:
    child = line(crew, "spawn api --role backend --parent lead --no-wait")
    assert isinstance(child, AgentHandle)
    assert ("backend_developer", "lead") == (child.role, child.parent)
    assert isinstance(line(crew, "send api hello"), Reply)
    assert isinstance(line(crew, "send api hello --no-wait"), Pending)
    assert ["api"] == list(line(crew, "wait api"))
    assert line(crew, "post api hello").startswith("you.m")
    assert isinstance(line(crew, "tree"), Snapshot)
    assert line(crew, "interrupt api") is None
    assert isinstance(line(crew, "inbox"), Letters)
    assert isinstance(line(crew, "serve"), Serving)
    assert ["lead", "api"] == list(line(crew, "agents").index)
    assert ["api.t1", "api.t2"] == list(line(crew, "turns").index)
    assert "hello" in set(line(crew, "messages")["text"])
    assert {"turn.started", "turn.ended"} <= set(line(crew, "audit --agent api --kind turn")["kind"])
    assert ["lead", "api"] == list(line(crew, "costs").index)
    assert {"input_tokens", "limit_usd"} <= set(line(crew, "costs --full").columns)
    assert "output" in line(crew, "tools").columns
    assert "max_instances" in line(crew, "config").index
    assert "architect" in line(crew, "roles").index
    assert line(crew, "harnesses").loc["rehearsal", "installed"]
    assert {"lead", "api"} == set(line(crew, "processes")["agent"])
    assert {"api"} == set(line(crew, "processes api")["agent"])
    assert ["api", "lead"] == line(crew, "stop lead --tree --force")
    assert line(crew, "close") is None
    assert current() is None


def test_everybody_is_ended_but_who_works_unless_forced(
    crew: InteractiveShell, capsys: pytest.CaptureFixture[str]
) -> None:
    line(crew, "spawn kid --parent lead")
    line(crew, "spawn other")
    line(crew, "send kid --no-wait /hang")
    capsys.readouterr()

    assert ["other"] == line(crew, "stop --all")
    assert "kid is busy" in (said := capsys.readouterr().out)
    assert "--force ends it anyway" in said
    assert ["kid", "lead"] == line(crew, "stop --all --force")
    assert [] == line(crew, "stop --all")
    assert "nobody was ended" in capsys.readouterr().out
    with pytest.raises(UsageError, match="say whom, an agent's name or --all"):
        line(crew, "stop lead --all")


def test_a_job_is_stopped(crew: InteractiveShell) -> None:
    line(crew, "coordinate lead --no-wait -- /hang")

    assert ["you.j1"] == candidates(["job"])[:1]
    assert "running" == line(crew, "job you.j1").data["status"]
    stopped = line(crew, "job you.j1 --stop")
    assert ("stopped", True) == (stopped.data["status"], "It ended early: stopped by you" in stopped.text)
    assert ["stopped"] == [each["status"] for each in line(crew, "job").data["jobs"]]
    with pytest.raises(UnknownJob, match=r"no job named 'you\.j3'\. Did you mean 'you\.j1'"):
        line(crew, "job you.j3 --stop")
    for wrong in ("job --stop", "job you.j1 --stop --wait"):
        with pytest.raises(UsageError, match="needs the job's id, and nothing else"):
            line(crew, wrong)


def test_what_an_agent_asks_is_listed_and_answered(tmp_path: Path, shell: InteractiveShell) -> None:
    with Madrox(home=tmp_path / "home", harnesses=("rehearsal",), attended="yes", stop_grace=1.0) as madrox:
        line(shell, "spawn lead")
        assert line(shell, "approvals").empty
        pending = line(shell, "send lead --no-wait /approve-needed")
        first = _asks(madrox, "lead.a1")
        assert ["lead.a1"] == list(line(shell, "approvals").index) == list(first.index)
        assert ["lead.a1"] == candidates(["approve"])[:1]

        denied = line(shell, "deny lead.a1 --why not on a Friday")
        assert ("deny", "you", "not on a Friday") == tuple(denied.loc["lead.a1", ["state", "by", "why"]])
        assert "asked to use Bash: deny (not on a Friday)" == pending.wait().text
        assert line(shell, "approvals").empty
        assert ["lead.a1"] == list(line(shell, "approvals --all").index)

        pending = line(shell, "send lead --no-wait /approve-needed")
        _asks(madrox, "lead.a2")
        line(shell, "approve lead.a2 --always subtree")
        assert "asked to use Bash: allow" == pending.wait().text
        assert "asked to use Bash: allow" == line(shell, "send lead /approve-needed").text


def _asks(madrox: Madrox, approval: str) -> Any:
    """The frame of approvals, once `approval` is open."""

    async def asked() -> None:
        while not any(each.id == approval for each in madrox.manager.approvals.open()):
            await madrox.manager.mail.change(1)

    madrox._run.start(asked).result(20)
    return madrox.approvals().query("state == 'open'")


def test_agents_are_suspended_resumed_and_forked_by_name(crew: InteractiveShell) -> None:
    line(crew, "send lead remember this")
    assert "suspended" == line(crew, "suspend lead").state
    assert {"how": "woken", "lead": "lead"} == {
        "how": line(crew, "resume lead").loc["lead", "how"],
        "lead": line(crew, "agents").index[0],
    }
    twin = line(crew, "fork lead --as twin")
    assert ("twin", "idle") == (twin.name, twin.state)
    assert ["remember this"] == eval(line(crew, "send twin /recall").text)
    [one, two] = line(crew, "suspend lead twin")
    assert ("suspended", "suspended") == (one.state, two.state)


def test_a_message_is_steered_into_the_turn_or_queued_and_says_which(crew: InteractiveShell) -> None:
    first = line(crew, "send lead --no-wait /slow 5 0.1")
    reply = line(crew, "send lead --steer /say and this")

    assert ("steered", "lead.t1") == (reply.how, reply.turn)
    assert first.wait().text == reply.text


def test_what_an_agent_is_given_can_be_said_in_a_line(
    crew: InteractiveShell, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MAGIC_STAGE", "test")
    crew.user_ns["MAGIC_STAGE"] = "a variable of the notebook"
    box = json.dumps({"box": {"command": sys.executable}})
    given = f"--mcp '{box}' --env STAGE=${{MAGIC_STAGE}} --env N=1 --workspace-dir {tmp_path / 'place'}"
    kid = line(crew, f"spawn kid {given} --bypass-isolation --prompt '/say done'")
    [letter] = line(crew, "inbox --timeout 10")

    assert "done" == letter.text
    assert ("all", tmp_path / "place") == (Madrox().tree["kid"].permissions, kid.workspace)
    assert {"STAGE": "${MAGIC_STAGE}", "N": "1"} == json.loads(Madrox().manager.tree["kid"].environment)
    assert ["box"] == list(json.loads(Madrox().manager.tree["kid"].mcp_servers))


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ("--env STAGE", "argument --env: STAGE: write it as NAME=VALUE, such as STAGE=test"),
        ("--mcp memory --mcp '{}'", "--mcp takes names, or one table"),
    ],
)
def test_what_is_given_wrongly_says_how_to_write_it(crew: InteractiveShell, given: str, said: str) -> None:
    with pytest.raises((BadInput, UsageError), match=said):
        line(crew, f"spawn kid {given}")


def test_presets_are_offered_where_servers_are_named() -> None:
    assert {"playwright", "google-drive"} <= {*candidates(["spawn", "kid", "--mcp"])}


def test_options_of_a_harness_are_words_with_an_equals_sign(crew: InteractiveShell) -> None:
    with pytest.raises(UsageError, match="argument --option: fast: write it as NAME=VALUE"):
        line(crew, "spawn kid --option fast")
    with pytest.raises(BadInput, match="rehearsal has no option 'speed'"):
        line(crew, "spawn kid --harness rehearsal --option speed=1")


def test_a_cell_sends_its_body_as_it_is_written(crew: InteractiveShell) -> None:
    body = '/recall\nDon\'t touch $HOME or {nothing}: "quotes"\n'

    assert cell(crew, "send lead", body).ok
    assert [body] == eval(line(crew, "send lead /recall").text)


def test_a_value_goes_into_a_variable_by_assignment_or_by_o(crew: InteractiveShell) -> None:
    crew.run_cell("reply = %madrox send lead hello")
    assert isinstance(crew.user_ns["reply"], Reply)

    assert cell(crew, "send lead -o answer", "/say in a cell") is None
    assert "in a cell" == crew.user_ns["answer"].text
    assert line(crew, "send lead /say at the end -o answer") is None
    assert "at the end" == crew.user_ns["answer"].text
    with pytest.raises(UsageError, match="no name for a variable"):
        line(crew, "tree --out=not-a-name")


def test_local_variables_of_a_function_are_seen(crew: InteractiveShell) -> None:
    crew.run_cell(
        "def ask(what):\n    return get_ipython().run_line_magic('madrox', 'send lead /say {what}')"
    )

    assert "this" == crew.ev("ask('this')").text


def test_an_error_of_ours_is_shown_by_its_words_alone(
    crew: InteractiveShell, capsys: pytest.CaptureFixture[str]
) -> None:
    result = crew.run_cell("%madrox send laed hello")

    assert isinstance(result.error_in_exec, UnknownAgent)
    shown = capsys.readouterr()
    assert "UnknownAgent: no agent named 'laed'. Did you mean 'lead'?" in shown.out + shown.err
    assert "Traceback" not in shown.out + shown.err
    line(crew, "stop lead")
    with pytest.raises(AgentGone):
        line(crew, "send lead hello")


def test_an_ended_agent_is_resumed_by_its_name_and_one_that_nobody_knows_is_not(
    crew: InteractiveShell,
) -> None:
    line(crew, "stop lead")
    assert ["fresh"] == list(line(crew, "resume lead")["how"])
    with pytest.raises(BadInput, match="there is no earlier run"):
        line(crew, "resume nobody")


# how a line is read


NAMES: dict[str, Any] = {"what": "tea", "n": 7, "d": {"key": 1}, "path": Path("/a/b"), "x": 1.5}


@pytest.mark.parametrize(
    ("written", "sent"),
    [
        ("drink {what}", "drink tea"),
        ("{n:03} {x:.2f} {what!r} {what!r:>7}", "007 1.50 'tea'   'tea'"),
        ("{path.name} {d[key]}", "b 1"),
        ("{unknown} {unknown.x}", "{unknown} {unknown.x}"),
        ("{what.missing} {d[other]} {what:03d}", "{what.missing} {d[other]} {what:03d}"),
        ('{"what": {n}}', '{"what": 7}'),
        ('{"a": {"b": {n}}}', '{"a": {"b": 7}}'),
        ('{"a": [1, 2], "b": {}}', '{"a": [1, 2], "b": {}}'),
        ("{n: 1}", "{n: 1}"),
        ("{k: v for k, v in d.items()}", "{k: v for k, v in d.items()}"),
        ("{{what}} {{ what }}", "{{what}} {{ what }}"),
        ("$what ${what}", "$what $tea"),
        ("{what", "{what"),
        ("{}", "{}"),
        ("{0}", "{0}"),
        ("{ what }", "{ what }"),
        ("{what()}", "{what()}"),
    ],
)
def test_only_variables_that_exist_are_replaced(written: str, sent: str) -> None:
    assert sent == interpolated(written, NAMES)


@pytest.mark.parametrize(
    ("written", "agent", "sent"),
    [
        ("send lead hello there", "lead", "hello there"),
        ("send lead don't stop", "lead", "don't stop"),
        ('send lead "hello there"', "lead", "hello there"),
        ('send lead "a" and "b"', "lead", '"a" and "b"'),
        ("send --no-wait lead  two  spaces ", "lead", "two  spaces"),
        ("send lead --no-wait hello", "lead", "hello"),
        ("send lead hello --no-wait", "lead", "hello"),
        ("send lead -- hello --no-wait", "lead", "hello --no-wait"),
        ("send lead say --verbose now", "lead", "say --verbose now"),
        ("send lead {what} --raw", "lead", "{what}"),
        ("send {what} {what}", "tea", "tea"),
        ("send 'two words' hello", "two words", "hello"),
        ("send lead", "lead", ""),
        ("post lead -o x hello", "lead", "hello"),
    ],
)
def test_the_words_after_the_agent_are_the_text(written: str, agent: str, sent: str) -> None:
    call = read(written, None, NAMES)

    assert (agent, sent) == (call.agent, call.text)


@pytest.mark.parametrize(
    ("written", "task", "harness", "inputs"),
    [
        ("team audit look at it --harness rehearsal", "look at it", "rehearsal", []),
        ("team audit look at it --harness=rehearsal --no-wait", "look at it", "rehearsal", []),
        ('team audit look at it --input "a=b c" --harness claude', "look at it", "claude", [("a", "b c")]),
        ("team audit say what --harness does there", "say what --harness does there", None, []),
        ("team audit -- look at --harness rehearsal", "look at --harness rehearsal", None, []),
        ("team audit look at --harness", "look at --harness", None, []),
    ],
)
def test_an_option_at_the_end_of_a_text_keeps_its_value(
    written: str, task: str, harness: str | None, inputs: list[tuple[str, str]]
) -> None:
    call = read(written, None, {})

    assert (task, harness, inputs) == (call.text, call.harness, call.input)


def test_a_comment_ends_a_line_that_sends_nothing_and_is_text_in_one_that_does() -> None:
    assert read("stop lead --tree  # and all below it", None, {}).tree
    assert "say it # loud" == read("send lead say it # loud", None, {}).text


def test_options_at_both_ends_of_a_text_count() -> None:
    call = read("send lead hello --no-wait --out r", None, {})

    assert (True, "r", "hello") == (call.no_wait, call.out, call.text)


@pytest.mark.parametrize(
    ("written", "body", "said"),
    [
        ("sned lead hello", None, "no such command. Did you mean 'send'?"),
        ("lab", None, "%madrox lab: that is a command of a terminal: madrox lab"),
        ("spawn_instance x", None, "no such command. Here it is: %madrox spawn"),
        ("status lead", None, "no such command. Here it is: %madrox agent"),
        ("xyzzy", None, "Known: spawn, fork, send"),
        ("spawn lead --rol architect", None, "Did you mean '--role'?"),
        ("spawn lead --extra-arg --verbose", None, "One that begins with a dash: --extra-arg=--such"),
        ("spawn lead --permissions al", None, "Did you mean 'all'?"),
        ("spawn 'lead", None, "No closing quotation"),
        ("stop", None, "say whom, an agent's name or --all.\nSuch as:\n  %madrox stop lead --tree"),
        ("wait --timeout soon", None, "invalid float value"),
        ("tree", "body", "takes no cell body"),
        ("send lead words", "body", "the words 'words' stand in its line too"),
        ("help sned", None, "Did you mean 'send'?"),
    ],
)
def test_a_line_that_is_wrong_says_what_was_meant(
    shell: InteractiveShell, written: str, body: str | None, said: str
) -> None:
    with pytest.raises(UsageError) as raised:
        line(shell, written) if body is None else cell(shell, written, body)

    assert said in str(raised.value)


def test_help_tells_every_command_and_the_docstring_is_the_same(
    shell: InteractiveShell, capsys: pytest.CaptureFixture[str]
) -> None:
    line(shell, "")
    line(shell, "help")
    line(shell, "help send")
    line(shell, "send -h")

    told = capsys.readouterr().out
    assert 2 == told.count(overview())
    assert 2 == told.count("usage: %madrox send")
    assert overview() == shell.magics_manager.magics["line"]["madrox"].__doc__
    for name in COMMANDS:
        assert f"\n  {name} " in overview()


def test_looking_around_opens_nothing(shell: InteractiveShell) -> None:
    line(shell, "help")
    line(shell, "roles")
    line(shell, "close")

    assert current() is None


@pytest.mark.parametrize(
    ("written", "run"),
    [
        (
            "%madrox send lead What is $x?",
            "get_ipython().run_line_magic('madrox', 'send lead What is $x?')\n",
        ),
        ("r = %madrox post lead Why?", "r = get_ipython().run_line_magic('madrox', 'post lead Why?')\n"),
        (
            "if x:\n    %madrox send lead Is it?  \n",
            "if x:\n    get_ipython().run_line_magic('madrox', 'send lead Is it?')\n",
        ),
        ('"""\n%madrox send lead Why?\n"""', '"""\n%madrox send lead Why?\n"""\n'),
        (
            "%madrox broadcast alice bob -- How far are you?",
            "get_ipython().run_line_magic('madrox', 'broadcast alice bob -- How far are you?')\n",
        ),
        ("%madrox?", "get_ipython().run_line_magic('pinfo', '%madrox')\n"),
        ("len?", "get_ipython().run_line_magic('pinfo', 'len')\n"),
    ],
)
def test_a_question_mark_at_the_end_belongs_to_the_prompt(
    shell: InteractiveShell, written: str, run: str
) -> None:
    assert run == shell.transform_cell(written)


def test_a_semicolon_at_the_end_shows_nothing_and_belongs_to_a_text_that_is_sent(
    crew: InteractiveShell,
) -> None:
    assert crew.run_cell("%madrox tree;").result is None
    assert crew.run_cell("%madrox send lead int x = 1;").result is not None
    assert cell(crew, "send lead", "it's\ndone;") is not None
    assert ["int x = 1;", "it's\ndone;"] == eval(line(crew, "send lead /recall").text)


# completion


@pytest.mark.parametrize(
    ("words", "some"),
    [
        ([], {"spawn", "send", "help"}),
        (["spawn"], {"--role", "--harness", "--no-wait"}),
        (["spawn", "x", "--role"], {"architect", "general"}),
        (["spawn", "--harness"], {"claude", "rehearsal"}),
        (["spawn", "--permissions"], {"edits", "all"}),
        (["spawn", "x", "--parent"], {"lead", "'two words'"}),
        (["send"], {"lead", "'two words'", "--raw"}),
        (["send", "--raw"], {"lead"}),
        (["send", "lead"], {"--no-wait", "--raw"}),
        (["wait", "lead"], {"'two words'", "--timeout"}),
        (["stop", "lead"], {"--tree", "--force"}),
        (["audit", "--agent"], {"lead"}),
        (["help"], {"spawn", "send"}),
    ],
)
def test_what_may_come_next_is_offered(crew: InteractiveShell, words: list[str], some: set[str]) -> None:
    line(crew, "spawn 'two words'")

    assert some <= set(candidates(words))


@pytest.mark.parametrize(
    "words", [["nonsense"], ["send", "lead", "tell"], ["spawn", "--env"], ["wait", "--timeout"]]
)
def test_nothing_is_offered_where_anything_may_come(words: list[str]) -> None:
    assert [] == candidates(words)


def test_what_stands_there_is_not_offered_again(crew: InteractiveShell) -> None:
    assert "lead" not in candidates(["wait", "lead"])
    assert "--tree" not in candidates(["stop", "lead", "--tree"])


@pytest.mark.parametrize(
    ("written", "offered"),
    [
        ("%madrox spa", ["spawn"]),
        ("%%madrox sen", ["send"]),
        ("x = %madrox wai", ["wait"]),
        ("  %madrox stop --t", ["--tree"]),
        ("madrox spa", []),
        ("print(1)", []),
    ],
)
def test_the_matcher_completes_the_word_at_the_cursor(written: str, offered: list[str]) -> None:
    text = f"{written}\nthe body"
    context = CompletionContext(
        token="", full_text=text, cursor_position=len(written), cursor_line=0, limit=None
    )

    assert offered == [found.text for found in complete(context)["completions"]]


# the extension


def matchers(shell: InteractiveShell) -> list[Any]:
    return [m for m in shell.Completer.custom_matchers if m is complete]


def test_loading_twice_and_unloading_leave_no_trace(ip: InteractiveShell) -> None:
    for _ in range(2):
        ip.run_line_magic("load_ext", "madrox_nb")
        ip.run_line_magic("reload_ext", "madrox_nb")
        madrox_nb.load_ipython_extension(ip)  # as a configuration of IPython does
    assert 1 == len(matchers(ip))
    asks = [each.__name__ for each in ip.input_transformer_manager.token_transformers]
    assert 1 == asks.count("Question")

    ip.run_line_magic("unload_ext", "madrox_nb")

    assert [] == matchers(ip)
    assert ip.find_line_magic("madrox") is None
    assert ip.find_cell_magic("madrox") is None
    assert "pinfo" in ip.transform_cell("%madrox send lead Why?")


def test_agents_outlive_a_reload(crew: InteractiveShell) -> None:
    crew.run_line_magic("reload_ext", "madrox_nb")

    assert "idle" == line(crew, "tree")["lead"].state


def test_loading_the_extension_loads_next_to_nothing() -> None:
    script = (
        "import sys\n"
        "from IPython.core.interactiveshell import InteractiveShell\n"
        "shell = InteractiveShell.instance(); shell.history_manager.enabled = False\n"
        "before = set(sys.modules)\n"
        "shell.run_line_magic('load_ext', 'madrox_nb')\n"
        "print(*sorted(m for m in set(sys.modules) - before if 'madrox' in m))\n"
        "print(*({'pandas', 'mcp', 'anywidget', 'ipywidgets', 'orjson'} & (set(sys.modules) - before)))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, timeout=60, check=True
    )

    loaded, heavy = done.stdout.splitlines()
    ours = {name for name in loaded.split() if not name.startswith("madrox_nb.magics")}
    assert ({"madrox_nb", "madrox_nb.errors", "madrox_nb.grammar"}, "") == (ours, heavy)
