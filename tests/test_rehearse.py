"""The rehearsing program: a real process over pipes, calling tools of a real MCP server."""

import asyncio
import json
import os
import queue
import signal
import socket
import subprocess
import threading
from contextlib import contextmanager, suppress

import pytest
import uvicorn
from mcp.server.auth.middleware.auth_context import get_access_token
from mcp.server.auth.provider import AccessToken
from mcp.server.auth.settings import AuthSettings
from mcp.server.mcpserver import Context, MCPServer
from mcp.server.mcpserver.exceptions import ToolError

from madrox_nb.harness.rehearsal import Rehearsal

SOON = 20
"""Seconds in which anything here must have happened; a failing test waits so long."""

TOKEN = "token-of-lead"


class Driver:
    """The manager's side of the wire, as small as it can be."""

    def __init__(self, workspace, env):
        self.turns = 0
        self.process = subprocess.Popen(
            Rehearsal.command(),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            cwd=workspace,
            env={**os.environ, **env},
        )
        self.lines = queue.SimpleQueue()
        self.reader = threading.Thread(target=self._pump)
        self.reader.start()
        self.write(type="hello", agent="lead", role="architect", workspace=str(workspace), session="s-1")

    def _pump(self):
        for line in self.process.stdout:
            self.lines.put(line)
        self.lines.put(b"")

    def write(self, **message):
        self.process.stdin.write(json.dumps(message).encode() + b"\n")
        self.process.stdin.flush()

    def prompt(self, text):
        self.turns += 1
        self.write(type="prompt", turn=f"lead.t{self.turns}", text=text)

    def line(self):
        return self.lines.get(timeout=SOON)

    def until(self, kind):
        """All messages up to and including the first of that kind."""
        seen = []
        while not seen or seen[-1]["type"] != kind:
            seen.append(json.loads(self.line()))
        return seen

    def next(self, kind):
        return self.until(kind)[-1]

    def do(self, text):
        self.prompt(text)
        return self.next("ended")

    def exit(self):
        return self.process.wait(SOON)

    def close(self):
        self.process.kill()
        self.process.wait()
        self.reader.join()
        for pipe in (self.process.stdin, self.process.stdout, self.process.stderr):
            with suppress(BrokenPipeError):
                pipe.close()


class Desk:
    """A real MCP server with the tools' names and none of their work: it notes who called what."""

    def __init__(self):
        self.calls = []
        self.waiting, self.cancelled = threading.Event(), threading.Event()

    async def verify_token(self, token):
        known = token == TOKEN
        return AccessToken(token=token, client_id="lead", scopes=["mcp"]) if known else None

    def note(self, tool, **arguments):
        self.calls.append((get_access_token().client_id, tool, arguments))

    def server(self):
        server = MCPServer(
            "desk",
            token_verifier=self,
            auth=AuthSettings(
                issuer_url="http://127.0.0.1", resource_server_url=None, required_scopes=["mcp"]
            ),
        )
        for tool in (
            self.spawn_instance,
            self.send_to_instance,
            self.reply_to_caller,
            self.get_pending_replies,
            self.get_instance_tree,
            self.count,
            self.wait,
            self.grüße,
        ):
            server.add_tool(tool, structured_output=False)
        return server

    async def spawn_instance(self, name: str, role: str, instance_type: str, budget: float = 0) -> str:
        self.note("spawn_instance", name=name, role=role, instance_type=instance_type, budget=budget)
        if name == "taken":
            raise ToolError("an agent named 'taken' already exists")
        return f"{name} is idle"

    async def send_to_instance(self, instance_id: str, message: str, wait_for_response: bool) -> str:
        self.note("send_to_instance", to=instance_id, message=message, wait=wait_for_response)
        if instance_id == "nobody":
            raise ToolError("no agent named 'nobody'")
        return f"I heard {message!r}"

    async def reply_to_caller(self, reply_message: str) -> str:
        self.note("reply_to_caller", text=reply_message)
        return "delivered"

    async def get_pending_replies(self, wait_timeout: float) -> str:
        self.note("get_pending_replies", wait=wait_timeout)
        return "one from kid"

    async def get_instance_tree(self) -> str:
        self.note("get_instance_tree")
        return "lead\n└─ kid"

    async def count(self, ctx: Context) -> str:
        for i in range(5):
            await ctx.report_progress(i, 5, "counting\nslowly")
        return "five 🖐"

    async def wait(self, ctx: Context, aloud: bool = False) -> str:
        if aloud:
            await ctx.report_progress(0, 1, "waiting")
        self.waiting.set()
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            self.cancelled.set()
            raise
        return "never"

    async def grüße(self) -> str:
        return "Grüß Gott"


@contextmanager
def serving(app):
    """That application behind a real uvicorn on a thread."""
    sock = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    sock.bind(("127.0.0.1", 0))
    sock.listen()
    server = uvicorn.Server(
        uvicorn.Config(app, log_config=None, lifespan="on", ws="none", timeout_graceful_shutdown=1)
    )
    thread = threading.Thread(target=server.run, kwargs={"sockets": [sock]})
    thread.start()
    try:
        yield f"http://127.0.0.1:{sock.getsockname()[1]}/mcp"
    finally:
        server.should_exit = True
        thread.join()
        sock.close()


@contextmanager
def answering(*pieces):
    """A server that writes those pieces of bytes to whoever calls once, and hangs up."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(SOON)

        def answer():
            wire, _ = server.accept()
            with wire:
                asked = b""
                while b"progressToken" not in asked:
                    asked += wire.recv(65536)
                for piece in pieces:
                    wire.sendall(piece)

        thread = threading.Thread(target=answer)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.getsockname()[1]}/mcp"
        finally:
            thread.join()


STREAM = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream; charset=utf-8\r\n\r\n"


@pytest.fixture
def desk():
    return Desk()


@pytest.fixture
def mcp(desk, tmp_path):
    """The environment in which an agent finds the desk."""
    token = tmp_path / "token"
    token.write_text(TOKEN)
    with serving(desk.server().streamable_http_app(json_response=False, stateless_http=False)) as url:
        yield {"MADROX_MCP_URL": url, "MADROX_MCP_TOKEN_FILE": str(token)}


@pytest.fixture
def start(tmp_path):
    """Starts the program, with what is to be added to its environment."""
    drivers = []

    def start(**env):
        workspace = tmp_path / "workspace"
        workspace.mkdir(exist_ok=True)
        drivers.append(Driver(workspace, {"MADROX_MCP_URL": "", **env}))
        assert "ready" == json.loads(drivers[-1].line())["type"]
        return drivers[-1]

    yield start
    for driver in drivers:
        driver.close()


@pytest.fixture
def lead(start):
    return start()


@pytest.fixture
def caller(start, mcp):
    return start(**mcp)


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


# tools, over MCP


def test_spawn_asks_for_a_rehearsing_child_under_its_own_token(caller, desk):
    ended = caller.do("/spawn kid tester budget=2.5")

    child = {"name": "kid", "role": "tester", "instance_type": "rehearsal", "budget": 2.5}
    assert [("lead", "spawn_instance", child)] == desk.calls
    assert ("ok", "spawned kid (tester)") == (ended["outcome"], ended["text"])


def test_a_child_without_a_role_is_general(caller, desk):
    assert "spawned kid (general)" == caller.do("/spawn kid budget=1")["text"]
    assert "general" == desk.calls[0][2]["role"]


def test_a_call_is_told_when_it_begins_and_when_it_ends(caller):
    caller.prompt("/tree")
    call, returned = caller.until("returned")

    assert ("get_instance_tree", {}) == (call["tool"], call["input"])
    assert (call["call"], True) == (returned["call"], returned["ok"])
    assert "lead\n└─ kid" == returned["output"]
    assert "tree:\nlead\n└─ kid" == caller.next("ended")["text"]


def test_send_hands_directives_down_and_the_answer_becomes_part_of_the_text(caller, desk):
    ended = caller.do("/send kid /say hi\\n/send grandkid /say a\\\\n/say b")

    message = "/say hi\n/send grandkid /say a\\n/say b"
    assert [("lead", "send_to_instance", {"to": "kid", "message": message, "wait": True})] == desk.calls
    assert f"kid answered: I heard {message!r}" == ended["text"]


STRUCTURED = b'data: {"result": {"content": [{"type": "text", "text": "%s"}], "structuredContent": %s}}\n\n'


@pytest.mark.parametrize(
    ("answer", "line"),
    [
        (STRUCTURED % (b"{}", b'{"status": "completed", "response": "42"}'), "kid answered: 42"),
        (
            STRUCTURED % (b"running: kid is busy", b'{"status": "running"}'),
            "kid is still running: kid is busy",
        ),
        (STRUCTURED % (b"hm", b"null"), "kid answered: hm"),
    ],
    ids=["response", "running", "text"],
)
def test_send_says_the_response_itself_and_when_there_is_none_yet(start, answer, line):
    with answering(STREAM + answer) as url:
        assert line == start(MADROX_MCP_URL=url).do("/send kid how many?")["text"]


def test_an_argument_may_have_any_name(caller):
    assert "ok" == caller.do('/tool get_instance_tree {"self": 1, "tool": 2, "unwanted": 3}')["outcome"]


def test_post_does_not_wait_for_an_answer(caller, desk):
    assert "posted to kid" == caller.do("/post kid well done")["text"]
    assert [("lead", "send_to_instance", {"to": "kid", "message": "well done", "wait": False})] == desk.calls


def test_reply_inbox_and_any_tool_are_calls(caller, desk):
    ended = caller.do(
        '/reply it is\\ndone\n/inbox\n/inbox 30\n/tool get_pending_replies {"wait_timeout": 0.5}'
    )

    assert [
        ("lead", "reply_to_caller", {"text": "it is\ndone"}),
        ("lead", "get_pending_replies", {"wait": 0}),
        ("lead", "get_pending_replies", {"wait": 30}),
        ("lead", "get_pending_replies", {"wait": 0.5}),
    ] == desk.calls
    assert [
        "replied",
        "inbox: one from kid",
        "inbox: one from kid",
        "get_pending_replies returned: one from kid",
    ] == ended["text"].split("\n")


def test_a_tool_that_reports_progress_is_waited_for(caller):
    assert "count returned: five 🖐" == caller.do("/tool count")["text"]


def test_a_tool_whose_name_no_header_can_hold_is_called_all_the_same(caller):
    assert "grüße returned: Grüß Gott" == caller.do("/tool grüße")["text"]


def test_a_tools_error_is_said_and_the_turn_goes_on(caller):
    ended = caller.do("/spawn taken\n/send nobody hi\n/tool missing\n/say done")
    taken, nobody, missing, done = ended["text"].split("\n")

    assert "ok" == ended["outcome"]
    assert taken.startswith("taken said: error:")
    assert taken.endswith("an agent named 'taken' already exists")
    assert nobody.startswith("nobody said: error:")
    assert missing.startswith("missing said: error:")
    assert "done" == done


@pytest.mark.parametrize("aloud", ["false", "true"])
def test_a_call_under_way_is_abandoned_by_an_interrupt(caller, desk, aloud):
    caller.prompt(f'/say first\n/tool wait {{"aloud": {aloud}}}\n/say never')
    assert desk.waiting.wait(SOON)
    caller.write(type="interrupt")
    *_, returned, _, ended = caller.until("ended")

    assert ("returned", False) == (returned["type"], returned["ok"])
    assert ("interrupted", "first") == (ended["outcome"], ended["text"])
    assert desk.cancelled.wait(SOON)
    assert "ok" == caller.do("/tree")["outcome"]


def test_the_end_of_stdin_ends_a_call_too(caller, desk):
    caller.prompt("/tool wait")
    assert desk.waiting.wait(SOON)
    caller.process.stdin.close()

    assert 0 == caller.exit()
    assert desk.cancelled.wait(SOON)


def test_a_refused_token_is_said_and_the_turn_goes_on(start, mcp, tmp_path):
    (tmp_path / "token").write_text("stolen")
    ended = start(**mcp).do("/tree\n/say done")

    assert "ok" == ended["outcome"]
    assert "get_instance_tree said: error:" in ended["text"]
    assert "HTTP 401" in ended["text"]
    assert ended["text"].endswith("\ndone")


def test_an_event_stream_is_read_whatever_its_line_ends_and_pieces(start):
    notice = b': ping\r\n\r\ndata: {"jsonrpc": "2.0", "method": "notifications/progress"}\r\n\r\n'
    result = 'event: message\nid: 7\ndata: {"id": 1, "result":\n'
    result += 'data: {"content": [{"type": "text", "text": "grün"},'
    image = b' {"type": "image"}]}}\n\n'
    with answering(STREAM + notice, *(bytes([b]) for b in result.encode()), image) as url:
        ended = start(MADROX_MCP_URL=url).do("/tool x")

    assert "x returned: grün\n[image]" == ended["text"]


@pytest.mark.parametrize(
    ("pieces", "why"),
    [
        ([], "broke off"),
        ([b"nonsense"], "broke off"),
        ([STREAM], "ended it without an answer"),
        ([STREAM + b"data: {nope\n\n"], "broke off"),
        ([b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n[1, 2, 3]"], "HTTP 200"),
        ([b"HTTP/1.1 200 OK\r\nContent-Length: 90\r\n\r\n{"], "broke off"),
        ([b"HTTP/1.1 503 Busy\r\nContent-Length: 4\r\n\r\nlate"], "HTTP 503 Busy: late"),
        ([STREAM + b'data: {"error": {"code": -1, "message": "no such thing"}}\n\n'], "error: no such thing"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_broken_answer_is_said_and_the_turn_goes_on(start, pieces, why):
    with answering(*pieces) as url:
        ended = start(MADROX_MCP_URL=url).do("/send kid hi\n/say done")

    assert "ok" == ended["outcome"]
    assert ended["text"].startswith("kid said: error: ")
    assert why in ended["text"]
    assert ended["text"].endswith("\ndone")


def free_port():
    with socket.create_server(("127.0.0.1", 0)) as server:
        return server.getsockname()[1]


@pytest.mark.parametrize("url", ["", "http://127.0.0.1:{port}/mcp", "nonsense", "http://127.0.0.1:port/"])
def test_without_a_server_in_reach_the_turn_fails(start, url):
    agent = start(MADROX_MCP_URL=url.format(port=free_port()), MADROX_MCP_TOKEN_FILE="")
    agent.prompt("/say before\n/tree\n/say never")
    *_, returned, _, ended = agent.until("ended")

    assert not returned["ok"]
    assert ("failed", "before") == (ended["outcome"], ended["text"])
    assert "MCP server" in ended["error"]


def test_a_token_file_that_is_gone_fails_the_turn(start, mcp, tmp_path):
    (tmp_path / "token").unlink()
    ended = start(**mcp).do("/tree")

    assert "failed" == ended["outcome"]
    assert "token" in ended["error"]


def test_it_takes_json_answers_as_well(start, tmp_path):
    desk = Desk()
    with serving(desk.server().streamable_http_app(json_response=True, stateless_http=True)) as url:
        (tmp_path / "token").write_text(TOKEN)
        agent = start(MADROX_MCP_URL=url, MADROX_MCP_TOKEN_FILE=str(tmp_path / "token"))

        assert "kid answered: I heard 'hi'" == agent.do("/send kid hi")["text"]


# what it costs


def test_it_imports_nothing_but_the_standard_library():
    python, *flags, program = Rehearsal.command()
    lines = b'{"type": "prompt", "text": "hi"}\n{"type": "prompt", "text": "/crash"}\n'
    read, write = os.pipe()
    os.write(write, lines)
    done = subprocess.run(
        [python, *flags, "-X", "importtime", program],
        stdin=read,
        capture_output=True,
        timeout=SOON,
        check=False,
    )
    os.close(read)
    os.close(write)
    loaded = {line.rpartition("|")[2].strip() for line in done.stderr.decode().splitlines()}

    assert b"no model" in done.stdout
    assert "rehearse.turn" in loaded
    assert not loaded & {
        "madrox_nb",
        "pandas",
        "mcp",
        "orjson",
        "asyncio",
        "typing",
        "pathlib",
        "http.client",
    }
