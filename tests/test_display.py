"""What a cell shows and hears while it waits, in a real kernel."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from cells import Kernel, kernel, shows

from madrox_nb.display import Live, WaitInterrupted

OPEN = """
from madrox_nb import AsyncMadrox, Madrox
from madrox_nb import display as waits
m = Madrox(home="home", port=0, harnesses=("rehearsal",))
lead = m.spawn("lead")
"""

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("display")]


@pytest.fixture(scope="module")
def cell(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Kernel]:
    with kernel(tmp_path_factory.mktemp("cells")) as running:
        running.run(OPEN)
        yield running


@pytest.fixture(autouse=True)
def quiet_after(cell: Kernel) -> Iterator[None]:
    yield
    cell.run("m.interrupt('lead'); m.wait(); m.inbox();")


@pytest.fixture
def patient(cell: Kernel) -> Iterator[None]:
    """A busy machine may take longer than two seconds for what a person does in one."""
    usual = cell.value("waits.AGAIN_SECONDS")
    cell.run("waits.AGAIN_SECONDS = 15.0")
    yield
    cell.run(f"waits.AGAIN_SECONDS = {usual}")


def test_a_send_shows_one_line_and_then_the_reply_as_markdown(cell: Kernel) -> None:
    said = cell.run("lead.send('/say **done**')")

    displays = [m for m in said if m["msg_type"] in ("display_data", "update_display_data")]
    turn = cell.value("lead.last.turn").strip("'")
    assert f"{turn} ok" == displays[-1]["content"]["data"]["text/plain"]
    assert 1 == len([m for m in displays if m["msg_type"] == "display_data"])
    [value] = [m["content"]["data"] for m in said if m["msg_type"] == "execute_result"]
    assert "**done**" == value["text/markdown"]


def test_words_appear_while_they_are_spoken_at_most_ten_times_a_second(cell: Kernel) -> None:
    waiting = cell.begin("lead.send('/slow 100 0.01');")
    said = cell.until(shows("word-3"))
    said += cell.finish(waiting)

    updates = [m for m in said if m["msg_type"] == "update_display_data"]
    assert any("writes a reply" in m["content"]["data"]["text/plain"] for m in updates)
    took = (said[-1]["header"]["date"] - said[0]["header"]["date"]).total_seconds()
    assert len(updates) <= 10 * took + 2


def test_the_first_interrupt_ends_the_waiting_in_two_plain_lines(cell: Kernel) -> None:
    waiting = cell.begin("lead.send('/slow 600 0.05')")
    cell.until(shows("word-2"))
    cell.interrupt()
    said = cell.finish(waiting)

    [error] = [m["content"] for m in said if m["msg_type"] == "error"]
    assert "WaitInterrupted" == error["ename"]
    assert ["Stopped waiting for lead; it goes on working."] == error["traceback"][:1]
    assert ["Interrupt again within 2 s to interrupt it too; %madrox wait lead waits again."] == error[
        "traceback"
    ][1:]
    assert "'busy'" == cell.value("lead.state")


@pytest.mark.usefixtures("patient")
def test_the_second_interrupt_reaches_the_agents_though_the_kernel_is_idle(cell: Kernel) -> None:
    waiting = cell.begin("lead.send('/slow 600 0.05')")
    cell.until(shows("word-2"))
    cell.interrupt()
    cell.finish(waiting)
    cell.until_listening()
    cell.interrupt()

    cell.until(shows(" interrupted"))
    assert "'idle'" == cell.value("lead.state")
    assert "'interrupted'" == cell.value("lead.last.outcome")


@pytest.mark.usefixtures("patient")
def test_an_awaited_wait_says_the_same_and_hears_the_second_interrupt_too(cell: Kernel) -> None:
    cell.run("from madrox_nb import AsyncMadrox; am = AsyncMadrox()")
    waiting = cell.begin("await am.send('lead', '/slow 600 0.05')")
    cell.until(shows("word-2"))
    cell.interrupt()
    said = cell.finish(waiting)
    cell.until_listening()
    cell.interrupt()

    [error] = [m["content"] for m in said if m["msg_type"] == "error"]
    assert ["Stopped waiting for lead; it goes on working."] == error["traceback"][:1]
    cell.until(shows(" interrupted"))
    assert "'interrupted'" == cell.value("lead.last.outcome")


@pytest.mark.usefixtures("patient")
def test_the_second_interrupt_also_ends_a_cell_that_runs_meanwhile(cell: Kernel) -> None:
    waiting = cell.begin("lead.send('/slow 600 0.05')")
    cell.until(shows("word-2"))
    cell.interrupt()
    cell.finish(waiting)
    sleeping = cell.begin("import time; display('sleeps'); time.sleep(30)")
    cell.until(shows("sleeps"))
    cell.interrupt()
    said = cell.finish(sleeping)

    assert ["KeyboardInterrupt"] == [m["content"]["ename"] for m in said if m["msg_type"] == "error"]
    assert "'interrupted'" == cell.value("m.wait('lead')['lead'].outcome")


def test_after_two_seconds_an_interrupt_between_cells_is_ignored_again(cell: Kernel) -> None:
    waiting = cell.begin("lead.send('/slow 600 0.05')")
    cell.until(shows("word-2"))
    cell.interrupt()
    cell.finish(waiting)
    cell.run("import signal, time; time.sleep(2.2)")
    cell.interrupt()

    assert "'busy'" == cell.value("lead.state")
    assert "True" == cell.value("get_ipython().kernel.saved_sigint_handler is signal.SIG_IGN")


def test_a_blocking_wait_in_a_cell_that_awaits_can_be_interrupted_too(cell: Kernel) -> None:
    waiting = cell.begin("import asyncio; await asyncio.sleep(0); lead.send('/slow 600 0.05')")
    cell.until(shows("word-2"))
    cell.interrupt()
    said = cell.finish(waiting)

    assert ["WaitInterrupted"] == [m["content"]["ename"] for m in said if m["msg_type"] == "error"]


def test_an_awaited_wait_is_interrupted_at_once(cell: Kernel) -> None:
    waiting = cell.begin("a = AsyncMadrox(); await a.send('lead', '/slow 600 0.05')")
    cell.until(shows("word-2"))
    cell.interrupt()
    said = cell.finish(waiting)

    [error] = [m["content"]["ename"] for m in said if m["msg_type"] == "error"]
    assert "CancelledError" == error
    assert any(shows("lead goes on working")(m) for m in said)
    assert "'busy'" == cell.value("lead.state")


def test_a_cell_that_waits_says_what_is_asked_and_how_to_answer(cell: Kernel) -> None:
    waiting = cell.begin('m.send("lead", "/approve-needed")')
    said = cell.until(shows("asks: Bash true (lead.a1)"))
    assert "interrupt this cell, then: %madrox approve lead.a1" in said[-1]["content"]["data"]["text/plain"]

    cell.interrupt()
    said = cell.finish(waiting)
    [error] = [m["content"] for m in said if m["msg_type"] == "error"]
    assert "Stopped waiting for lead; now: %madrox approve lead.a1, or deny lead.a1" == error["traceback"][0]
    assert any(shows("not answered yet: lead.a1")(m) for m in said)
    cell.run("m.approve('lead.a1')")
    assert "asked to use Bash: allow" in cell.value("m.wait('lead')['lead'].text")


AT_ONCE = """
import concurrent.futures, IPython.display
from madrox_nb.display import Live, Waiting

class Cut(IPython.display.DisplayHandle):
    def display(self, *given, **named):
        super().display(*given, **named)
        raise KeyboardInterrupt

IPython.display.DisplayHandle, kept = Cut, IPython.display.DisplayHandle
try:
    Waiting(("lead",), Live(lambda: ("", "at work"))).block(concurrent.futures.Future())
finally:
    IPython.display.DisplayHandle = kept
"""


def test_an_interrupt_that_comes_as_soon_as_something_is_shown_closes_it(cell: Kernel) -> None:
    said = cell.finish(cell.begin(AT_ONCE))

    assert any(shows("at work")(m) for m in said)
    assert shows("lead goes on working")([m for m in said if "data" in m["content"]][-1])


def test_what_a_child_asks_while_its_parent_waits_for_it_is_said_too(cell: Kernel) -> None:
    cell.run("m.spawn('kid', parent='lead')")
    waiting = cell.begin('m.send("lead", "/send kid /approve-needed")')
    said = cell.until(shows("kid.a1, or deny kid.a1"))
    cell.interrupt()
    cell.finish(waiting)
    cell.run("m.deny('kid.a1'); m.wait(); m.stop('kid')")

    assert "asks: Bash true (kid.a1)" in said[-1]["content"]["data"]["text/plain"]


def test_what_was_refused_without_asking_is_said_in_the_line_that_stays(cell: Kernel) -> None:
    cell.run("m.spawn('shy', permissions='deny')")
    said = cell.run("m.send('shy', '/approve-needed');")
    lines = [m["content"]["data"]["text/plain"] for m in said if "data" in m["content"]]

    assert any(
        line == "shy.t1 ok; 1 refused (Bash): %madrox approvals --all" for line in map(str.strip, lines)
    ), lines
    cell.run("m.stop('shy')")


def test_waiting_for_all_lists_who_works(cell: Kernel) -> None:
    cell.run("lead.send('/slow 600 0.05', wait=False); other = m.spawn('other')")
    waiting = cell.begin("m.wait()")
    said = cell.until(shows("● lead.t"))
    cell.interrupt()
    cell.finish(waiting)

    assert not any(shows("other")(m) for m in said)


def test_the_madrox_itself_is_shown_as_the_live_tree_with_its_text_beside_it(cell: Kernel) -> None:
    [value] = [m["content"]["data"] for m in cell.run("m") if m["msg_type"] == "display_data"]

    assert {"application/vnd.jupyter.widget-view+json", "text/plain", "text/html"} <= set(value)
    assert "lead" in value["text/plain"]


def test_without_any_cli_a_spawn_says_that_no_model_is_thinking(tmp_path: Path) -> None:
    with kernel(tmp_path) as cell:
        said = cell.run("from madrox_nb import Madrox; m = Madrox(port=0); lead = m.spawn('lead')")
        cell.run("m.close()")

    notice = "no agent CLI was found (claude, codex): lead is a rehearsal; no model is thinking"
    assert [notice] == [m["content"]["data"]["text/plain"] for m in said if m["msg_type"] == "display_data"]


def test_what_looks_the_same_is_not_shown_again() -> None:
    shown: list[str] = []

    class Handle:
        def update(self, bundle: dict[str, str], raw: bool) -> None:
            shown.append(bundle["text/plain"])

    looks = iter(["a", "a", "b", "b"])
    live = Live(lambda: ("", next(looks)))
    live._handle = Handle()
    for _ in range(4):
        live.tick()
    live.close("over")
    live.close("over")

    assert ["a", "b", "over"] == shown


def test_outside_of_a_kernel_nothing_is_shown(capsys: pytest.CaptureFixture[str]) -> None:
    live = Live(lambda: ("text", "line"))
    live.open()
    live.tick()
    live.close("over")

    assert ("", "") == capsys.readouterr()


def test_an_interrupted_wait_names_whom_it_waited_for_in_words_that_fit() -> None:
    assert "Stopped waiting for a, b c; they go on working.\n%madrox wait a 'b c' waits again." == str(
        WaitInterrupted(("a", "b c"))
    )


def test_an_interrupted_wait_names_one_request_and_counts_the_others() -> None:
    told = str(WaitInterrupted(("lead",), asked=("lead.a1", "kid.a1", "kid.a2"))).splitlines()

    assert "now: %madrox approve lead.a1, or deny lead.a1 (2 more: %madrox approvals)" in told[0]
