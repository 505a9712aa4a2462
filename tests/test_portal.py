"""The door from the notebook's thread to the manager's loop."""

import asyncio
import concurrent.futures as cf
import signal
import threading

import pytest

from madrox_nb.errors import NotRunning
from madrox_nb.portal import Portal, patiently


@pytest.fixture
def portal():
    portal = Portal("madrox-test")
    yield portal
    portal.stop()


async def thread():
    return threading.current_thread()


async def give(value):
    return value


async def fail():
    raise LookupError("no such thing")


class Slow:
    """A verb that lasts until it is told to end, and says how it ended."""

    def __init__(self):
        self.began, self.ended = threading.Event(), threading.Event()
        self.go, self.cancelled = asyncio.Event(), False

    async def __call__(self):
        self.began.set()
        try:
            await self.go.wait()
        except asyncio.CancelledError:
            self.cancelled = True
            raise
        finally:
            self.ended.set()
        return "done"


def test_a_verb_runs_on_a_daemon_thread_of_its_own(portal):
    there = portal.call(thread)

    assert (True, "madrox-test") == (there.daemon, there.name)
    assert threading.current_thread() is not there
    assert there is portal.call(thread)


def test_a_call_gives_back_what_the_verb_does(portal):
    assert 7 == portal.call(give, 7)
    with pytest.raises(LookupError, match="no such thing"):
        portal.call(fail)


def test_start_does_not_wait(portal):
    slow = Slow()
    future = portal.start(slow)

    assert slow.began.wait(60)
    assert not future.done()
    portal.soon(slow.go.set)
    assert "done" == future.result(60)


def test_calls_of_many_threads_meet_on_one_loop(portal):
    with cf.ThreadPoolExecutor(8) as pool:
        assert list(range(100)) == sorted(pool.map(lambda n: portal.call(give, n), range(100)))


def test_a_call_on_the_loops_own_thread_would_never_end_and_is_refused(portal):
    async def inside():
        portal.call(give, 7)

    with pytest.raises(RuntimeError, match="await the verb instead"):
        portal.call(inside)


def test_an_interrupt_ends_the_waiting_at_once_and_the_verb_goes_on(portal):
    slow, main = Slow(), threading.main_thread()
    assert threading.current_thread() is main

    async def interrupted():
        signal.pthread_kill(main.ident, signal.SIGINT)
        return await slow()

    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        with pytest.raises(KeyboardInterrupt):
            portal.call(interrupted)
    finally:
        signal.signal(signal.SIGINT, before)

    assert slow.began.wait(60)
    assert not slow.ended.is_set()
    portal.soon(slow.go.set)
    assert slow.ended.wait(60)
    assert not slow.cancelled


def test_stopping_cancels_what_runs_ends_the_thread_and_may_be_repeated(portal):
    slow, there = Slow(), portal.call(thread)
    future = portal.start(slow)
    assert slow.began.wait(60)

    portal.stop()
    portal.stop()

    assert slow.cancelled
    assert not there.is_alive()
    with pytest.raises(cf.CancelledError):
        future.result(60)


@pytest.mark.filterwarnings("ignore:coroutine 'give' was never awaited")
def test_after_its_end_it_says_so_and_what_to_do():
    portal = Portal()
    portal.stop()

    with pytest.raises(NotRunning, match=r"open a new Madrox\(\)"):
        portal.call(give, 7)
    with pytest.raises(NotRunning):
        portal.soon(print)


# from another loop


def test_another_loop_can_wait_for_a_verb(portal):
    assert 7 == asyncio.run(patiently(portal.start(give, 7)))
    with pytest.raises(LookupError):
        asyncio.run(patiently(portal.start(fail)))


def test_another_loop_that_stops_waiting_cancels_the_waiting_only(portal):
    slow = Slow()
    future = portal.start(slow)

    async def impatient():
        waiting = asyncio.ensure_future(patiently(future))
        await asyncio.to_thread(slow.began.wait, 60)
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting

    asyncio.run(impatient())

    assert not slow.ended.is_set()
    portal.soon(slow.go.set)
    assert "done" == future.result(60)
    assert not slow.cancelled


def test_another_loop_that_waits_is_not_stood_still(portal):
    slow = Slow()

    async def story():
        waiting = asyncio.ensure_future(patiently(portal.start(slow)))
        assert 5 == await give(5)
        portal.soon(slow.go.set)
        return await waiting

    assert "done" == asyncio.run(story())
