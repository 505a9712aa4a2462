"""Where running servers are found: what is published, and which files are believed."""

from __future__ import annotations

import asyncio
import json
import os
import platform
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import asdict, replace
from pathlib import Path

import pytest
from test_server import PERSONS, serving

from madrox_nb import __version__, runtime
from madrox_nb.errors import BadInput
from madrox_nb.runtime import Running

URL = "http://127.0.0.1:8001/mcp"
Put = Callable[..., Path]


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty state directory, in which files are looked for."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    (found := runtime.directory()).mkdir(parents=True, mode=0o700)
    return found


def publish(url: str, home: Path) -> Path:
    return runtime.publish(runtime.described(url, PERSONS, home=home))


@pytest.fixture
def put(place: Path, tmp_path: Path) -> Put:
    """Writes a file as another server of ours would have; every fact can be another one."""
    count = iter(range(100))

    def written(text: str | None = None, mode: int = 0o600, **facts: object) -> Path:
        number = next(count)
        known = Running(
            url=f"http://127.0.0.1:{9000 + number}/mcp",
            token=PERSONS,
            pid=os.getpid(),
            began=runtime._began(os.getpid()),
            host=platform.node(),
            home=str(tmp_path / "home"),
            cwd="/elsewhere",
            kernel="",
            version=__version__,
            started=f"2026-01-01T00:00:0{number}.000+00:00",
        )
        file = place / f"{number}.json"
        file.write_text(json.dumps(asdict(replace(known, **facts))) if text is None else text)
        file.chmod(mode)
        return file

    return written


@pytest.fixture
def gone() -> Iterator[subprocess.Popen[bytes]]:
    """A process that has ended and that nobody has asked about yet."""
    process = subprocess.Popen(("true",), stdout=subprocess.PIPE)
    assert process.stdout is not None
    process.stdout.read()
    os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
    yield process
    process.stdout.close()
    process.wait()


def test_another_process_finds_what_was_published(place: Path, tmp_path: Path) -> None:
    publish(URL, tmp_path)
    program = "from madrox_nb import runtime; r = runtime.find(); print(r.url, r.token, r.pid, r.home, r)"

    said = subprocess.run((sys.executable, "-c", program), capture_output=True, text=True, check=True).stdout

    assert f"{URL} {PERSONS} {os.getpid()} {tmp_path}" == said[: said.index(" Running")]
    assert PERSONS not in said[said.index(" Running") :]  # a traceback that shows one tells no secret


def test_what_is_published_is_the_owners_alone(place: Path, tmp_path: Path) -> None:
    place.chmod(0o755)
    file = publish(URL, tmp_path)

    assert (0o700, 0o600) == (place.stat().st_mode & 0o777, file.stat().st_mode & 0o777)
    assert [file] == list(place.iterdir())  # and no draft of it is left


def test_a_server_is_found_while_it_listens(place: Path, tmp_path: Path) -> None:
    async def story() -> tuple[str, Running | None]:
        async with serving(tmp_path) as server:
            return server.url, runtime.find()

    url, found = asyncio.run(story())

    assert found is not None
    assert (url, PERSONS, str(tmp_path / "home")) == (found.url, found.token, found.home)
    assert runtime.find() is None
    assert [] == list(place.iterdir())


def test_a_server_starts_where_nothing_can_be_published(place: Path, tmp_path: Path) -> None:
    place.rmdir()
    place.write_text("no directory")

    async def story() -> str:
        async with serving(tmp_path) as server:
            return server.url

    assert asyncio.run(story()).startswith("http://127.0.0.1:")
    assert runtime.find() is None


def test_two_servers_of_one_process_are_two(place: Path, tmp_path: Path) -> None:
    first = publish(URL, tmp_path / "a")
    publish("http://127.0.0.1:8002/mcp", tmp_path / "b")
    runtime.withdraw(first)

    assert ["http://127.0.0.1:8002/mcp"] == [each.url for each in runtime.servers()]


def test_what_an_ended_process_left_is_removed(put: Put, gone: subprocess.Popen[bytes]) -> None:
    zombie = put(pid=gone.pid)
    assert runtime.servers() == []
    gone.wait()
    buried = put(pid=gone.pid, began=runtime.NOT_SINCE + 1)

    assert runtime.servers() == []
    assert (False, False) == (zombie.exists(), buried.exists())


def test_a_number_that_another_process_got_is_not_believed(put: Put) -> None:
    file = put(began=1.0)

    assert runtime.find() is None
    assert not file.exists()


def test_a_file_of_another_machine_is_neither_believed_nor_removed(put: Put) -> None:
    file = put(host="elsewhere", began=1.0)

    assert runtime.find() is None
    assert file.exists()


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o620, 0o602])
def test_a_file_that_others_reach_is_not_believed(put: Put, mode: int) -> None:
    put(mode=mode)

    assert runtime.find() is None


@pytest.mark.parametrize("text", ["", "{", "[]", "{}", '"x"', '{"pid": 1}', "null", "9" * 5000, "\x00"])
def test_what_is_no_published_server_is_passed_over(put: Put, text: str) -> None:
    put(text)
    good = put()

    assert [json.loads(good.read_text())["url"]] == [each.url for each in runtime.servers()]


def test_a_wrong_kind_of_fact_is_passed_over(put: Put) -> None:
    put(url=7)
    put(pid="1")

    assert [] == runtime.servers()


def test_what_a_later_version_says_more_does_no_harm(put: Put) -> None:
    file = put()
    file.write_text(json.dumps({**json.loads(file.read_text()), "colour": "green"}))

    assert runtime.find() is not None


def test_neither_links_nor_pipes_nor_directories_are_opened(put: Put, place: Path, tmp_path: Path) -> None:
    (place / "link.json").symlink_to(put().rename(tmp_path / "real.json"))
    os.mkfifo(place / "pipe.json", 0o600)
    (place / "directory.json").mkdir(mode=0o700)

    assert [] == runtime.servers()


def test_the_home_says_most_then_the_nearest_directory_above_then_the_time(put: Put, tmp_path: Path) -> None:
    work = tmp_path / "project" / "deep"
    work.mkdir(parents=True)
    put(home="/a", cwd="/")
    put(home="/b", cwd=str(tmp_path))
    put(home="/c", cwd=str(work.parent))
    put(home="/d", cwd=str(work / "below"))
    put(home="/e", cwd=str(tmp_path / "proj"))  # the same letters, and another directory

    def home(running: Running | None) -> str:
        assert running is not None
        return running.home

    assert "/d" == home(runtime.find(Path("/d"), work))
    assert "/c" == home(runtime.find(cwd=work))
    assert "/b" == home(runtime.find(cwd=tmp_path))
    assert "/a" == home(runtime.find(cwd=Path("/usr")))


def test_of_equally_near_ones_the_newest_is_found_or_all_are_named(put: Put) -> None:
    put(home="/old")
    put(home="/new")

    found = runtime.find(cwd=Path("/usr"))
    assert found is not None
    assert "/new" == found.home
    with pytest.raises(BadInput, match=r"(?s)2 servers are equally near.*MADROX_HOME.*/new .*/old "):
        runtime.find(cwd=Path("/usr"), strict=True)
    chosen = runtime.find(Path("/old"), strict=True)
    assert chosen is not None
    assert "/old" == chosen.home


def test_what_ends_with_its_client_is_left_out_when_asked(put: Put) -> None:
    put(home="/lasts")
    put(home="/ends", lasting=False)

    found = [runtime.find(), runtime.find(lasting=True)]

    assert ["/ends", "/lasts"] == [each.home for each in found if each]
