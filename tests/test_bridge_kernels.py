"""`madrox mcp` when the kernel it leads to goes, comes back, or was never there."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx2
import psutil
import pytest
from bridges import BOTH_ERAS, COMMAND, HELLO, LONG, Hang, Stdio, environ, serve, sessions, until

from madrox_nb import runtime
from madrox_nb.bridge import GONE
from madrox_nb.notebook import Madrox

pytestmark = pytest.mark.slow


@pytest.fixture
def madrox(tmp_path: Path) -> Iterator[Madrox]:
    with serve(tmp_path) as madrox:
        yield madrox


@pytest.fixture
def hang(monkeypatch: pytest.MonkeyPatch) -> Hang:
    return Hang(monkeypatch)


# a kernel that goes and comes back


@BOTH_ERAS
def test_a_restart_breaks_the_call_under_way_and_no_later_one(
    tmp_path: Path, era: str, hang: Hang, our_kernel: Callable[[], Madrox]
) -> None:
    uri = "madrox://instances/lead"
    with Stdio(tmp_path) as stdio:
        stdio.hello()
        first = our_kernel()
        stdio.ask("tools/list", "warm", era=era)
        if era == "legacy":
            stdio.ask("resources/subscribe", "s", uri=uri)
        stdio.say("tools/call", "under way", era=era, name="hang", arguments={})
        assert hang.began.wait(LONG)
        first.close()
        broken = stdio.answer("under way")
        while_down = stdio.call("get_instance_tree", "down", era=era)
        second = our_kernel()
        second.spawn("newcomer")
        after = stdio.call("get_instance_tree", "after", era=era)
        if era == "legacy":
            stdio.ask("ping", "drained")
            told = [said.get("method") for said in stdio.unasked]
            assert "notifications/resources/list_changed" in told
            assert "notifications/resources/updated" in told

    assert broken["result"]["isError"]
    assert "the server stops" in broken["result"]["content"][0]["text"]
    assert "the kernel that was served here is gone" in while_down["error"]["message"]
    assert "%madrox serve" in while_down["error"]["message"]
    assert "newcomer" in after["result"]["content"][0]["text"]


@pytest.fixture
def our_kernel(tmp_path: Path) -> Iterator[Callable[[], Madrox]]:
    """Starts a kernel's part; the first one is there before anybody asks."""
    opened = [serve(tmp_path)]

    def kernel() -> Madrox:
        if not opened[-1]._run.is_open:
            opened.append(serve(tmp_path))
        return opened[-1]

    yield kernel
    for each in opened:
        each.close()


KERNEL = """
import sys, time
from madrox_nb import Madrox
m = Madrox(home=sys.argv[1], port=0, harnesses=("rehearsal",))
m.serve()
m.spawn(sys.argv[2])
print("serving", flush=True)
time.sleep(600)
"""


def test_a_killed_kernel_is_not_waited_for_and_its_successor_is_found(tmp_path: Path) -> None:
    def kernel(name: str) -> subprocess.Popen[bytes]:
        home = str(tmp_path / ".madrox")
        started = subprocess.Popen(
            (sys.executable, "-c", KERNEL, home, name), env=environ(tmp_path), stdout=subprocess.PIPE
        )
        assert started.stdout is not None
        assert b"serving\n" == started.stdout.readline()
        return started

    first = kernel("one")
    with Stdio(tmp_path) as stdio:
        assert "one" in json.dumps(stdio.hello().call("get_instance_tree"))
        stdio.say("tools/call", "w", name="get_pending_replies", arguments={"wait_timeout": 40})
        os.kill(first.pid, signal.SIGKILL)
        assert GONE == stdio.answer("w")["error"]["message"]
        first.communicate()
        second = kernel("two")
        tree = stdio.call("get_instance_tree", 2)
        assert [second.pid] == [each.pid for each in runtime.servers()]
        second.kill()
        second.communicate()

    assert "two (two) [idle]" in tree["result"]["content"][0]["text"]


def test_a_session_that_the_server_has_forgotten_is_begun_again(madrox: Madrox, tmp_path: Path) -> None:
    served, before = madrox.serve(), sessions()
    with Stdio(tmp_path) as stdio:
        stdio.hello().call("get_instance_tree")
        [ours] = sessions() - before
        headers = {"Authorization": f"Bearer {served.token}", "Mcp-Session-Id": ours}
        assert 200 == httpx2.delete(served.url, headers=headers).status_code
        again = stdio.call("get_instance_tree", 2)
        [theirs] = sessions() - before

    assert "lead (lead) [idle]" in again["result"]["content"][0]["text"]
    assert ours != theirs


def test_a_server_that_moved_is_found_again(madrox: Madrox, tmp_path: Path) -> None:
    with Stdio(tmp_path) as stdio:
        stdio.hello().call("get_instance_tree")
        madrox._run.portal.call(madrox._run.server.stop)
        madrox.serve()  # the same kernel, at another port
        again = stdio.call("get_instance_tree", 2)

    assert "lead (lead) [idle]" in again["result"]["content"][0]["text"]


# without a kernel


def test_without_a_kernel_it_has_agents_of_its_own_which_end_with_it(tmp_path: Path) -> None:
    with Stdio(tmp_path, MADROX_HOME=str(tmp_path / "own")) as stdio:
        spawned = stdio.hello().call("spawn_instance", name="mine")
        answered = stdio.call(
            "send_to_instance", 2, instance_id="mine", message="hello", wait_for_response=True
        )
        [published] = [each for each in runtime.servers() if each.pid == stdio.process.pid]
        agents = [child.pid for child in psutil.Process(stdio.process.pid).children(recursive=True)]
        assert stdio.process.stdin is not None
        stdio.process.stdin.close()
        status = stdio.process.wait(LONG)

    assert "spawned mine" in spawned["result"]["content"][0]["text"]
    assert not answered["result"]["isError"]
    assert (str(tmp_path / "own"), False) == (published.home, published.lasting)
    assert 0 == status
    assert agents
    until(lambda: not any(psutil.pid_exists(pid) for pid in agents))
    assert [] == [each for each in runtime.servers() if each.pid == stdio.process.pid]


def test_a_home_that_is_named_is_never_another_ones(madrox: Madrox, tmp_path: Path) -> None:
    with Stdio(tmp_path, MADROX_HOME=str(tmp_path / "other")) as stdio:
        tree = stdio.hello().call("get_instance_tree")

    assert "no agents yet" in tree["result"]["content"][0]["text"]


def test_where_nothing_can_be_written_its_home_is_the_users(tmp_path: Path) -> None:
    """Claude Desktop starts it in `/`; and a working directory can be removed."""
    (tmp_path / "gone").mkdir()
    wrapped = f"cd {tmp_path}/gone && rmdir {tmp_path}/gone && exec {' '.join(COMMAND)}"
    asked = (
        b'{"jsonrpc":"2.0","id":0,"method":"initialize","params":%s}\n'
        b'{"jsonrpc":"2.0","id":1,"method":"tools/list"}\n' % json.dumps(HELLO).encode()
    )
    with subprocess.Popen(
        ("sh", "-c", wrapped),
        env=environ(tmp_path, PYTHONSAFEPATH="1"),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write(asked)
        process.stdin.flush()
        answers = [json.loads(process.stdout.readline()) for _ in range(2)]
        _, told = process.communicate()

    assert {0, 1} == {answer["id"] for answer in answers}
    assert f"home {tmp_path}/data/madrox_nb" in told.decode()
