"""Threads wait for their next piece of work: it begins at once, and they are in nobody's way."""

import gc
import os
import threading
import time
import weakref
from queue import SimpleQueue

import pytest

from shared.threads import Threads

WAIT_S = 10.0


def ident(threads: Threads) -> int:
    """Return which thread does the next piece of work."""
    answer: SimpleQueue[int] = SimpleQueue()
    threads.start(lambda: answer.put(threading.get_ident()))
    return answer.get(timeout=WAIT_S)


def settled(threads: Threads, waiting: int) -> bool:
    """Wait until so many threads have nothing to do."""
    until = time.monotonic() + WAIT_S
    while len(threads._waiting) != waiting and time.monotonic() < until:
        time.sleep(0.001)
    return len(threads._waiting) == waiting


def test_a_thread_that_has_done_its_work_does_the_next() -> None:
    threads = Threads("test")
    first = ident(threads)
    assert settled(threads, 1)
    assert ident(threads) == first


def test_work_begins_at_once_though_every_thread_hangs() -> None:
    threads, go = Threads("test"), threading.Event()
    meeting = threading.Barrier(9)
    for _ in range(8):
        threads.start(lambda: (meeting.wait(WAIT_S), go.wait(WAIT_S)))
    meeting.wait(WAIT_S)
    assert ident(threads)
    go.set()
    assert settled(threads, 9)


def test_a_thread_without_work_ends_and_the_next_piece_has_a_new_one() -> None:
    threads = Threads("test of idleness", idle_s=0.01)
    ident(threads)
    until = time.monotonic() + WAIT_S
    while any(t.name == "test of idleness" for t in threading.enumerate()) and time.monotonic() < until:
        time.sleep(0.001)
    assert not threads._waiting
    assert ident(threads)


def test_no_work_is_lost_to_a_thread_that_is_about_to_end() -> None:
    threads, done = Threads("test", idle_s=0.0002), threading.Semaphore(0)
    for number in range(2000):
        threads.start(done.release)
        time.sleep(0.0002 * (number % 3) / 2)
    assert all(done.acquire(timeout=WAIT_S) for _ in range(2000))


def test_a_thread_that_waits_holds_nothing_of_its_last_work() -> None:
    class Picture:
        def done(self) -> None:
            pass

    threads, picture = Threads("test"), Picture()
    held = weakref.ref(picture)
    threads.start(picture.done)
    del picture
    assert settled(threads, 1)
    gc.collect()
    assert held() is None


def test_a_fork_does_not_count_on_its_parents_threads() -> None:
    threads = Threads("test")
    ident(threads)
    assert settled(threads, 1)
    child = os.fork()
    if child == 0:
        os._exit(0 if ident(threads) else 1)
    until = time.monotonic() + WAIT_S
    while (ended := os.waitpid(child, os.WNOHANG)) == (0, 0) and time.monotonic() < until:
        time.sleep(0.005)
    if ended == (0, 0):
        os.kill(child, 9)
        os.waitpid(child, 0)
    assert ended == (child, 0)


def test_a_system_without_a_thread_to_spare_says_so() -> None:
    threads, before = Threads("test"), threading.stack_size(1 << 46)  # more than the address space has
    try:
        with pytest.raises(RuntimeError):
            threads.start(lambda: None)
    finally:
        threading.stack_size(before)
    assert ident(threads)
