"""The request's thread only waits and always answers in time; a process that hangs is ended."""

import sys
import threading
import time

import pytest

from shared.errors import InternalError, JobTimeoutError, ShuttingDownError
from shared.logs import bound
from shared.threads import Threads
from worker import running
from worker.running import ThreadRunner


@pytest.fixture
def stuck():
    """Work that goes on until the test is over."""
    end = threading.Event()
    yield end.wait
    end.set()


def runner(*, stopping: bool = False, grace_s: float = 60, die=lambda: None) -> ThreadRunner:
    return ThreadRunner(is_stopping=lambda: stopping, grace_s=grace_s, die=die)


def in_s(seconds: float) -> float:
    return time.monotonic() + seconds


def test_work_returns_what_it_returns_and_raises_what_it_raises() -> None:
    assert runner()(lambda: 7, until=in_s(5)) == 7
    with pytest.raises(ZeroDivisionError):
        runner()(lambda: 1 / 0, until=in_s(5))


def test_an_exit_asked_for_in_the_work_is_a_bug_like_any_other() -> None:
    with pytest.raises(InternalError):
        runner()(lambda: sys.exit(1), until=in_s(5))


def test_waiting_ends_at_the_deadline_though_the_work_goes_on(stuck) -> None:
    with pytest.raises(JobTimeoutError):
        runner()(stuck, until=in_s(0.1))


def test_waiting_ends_when_the_process_is_stopped(stuck) -> None:
    began = time.monotonic()
    with pytest.raises(ShuttingDownError):
        runner(stopping=True)(stuck, until=in_s(60))
    assert time.monotonic() - began < 2


def test_work_that_does_not_come_back_ends_the_process(stuck) -> None:
    dead = threading.Event()
    with pytest.raises(JobTimeoutError):
        runner(grace_s=0.1, die=dead.set)(stuck, until=in_s(0.1))
    assert dead.wait(5)


def test_its_last_words_say_which_job_it_was(stuck, caplog) -> None:
    dead = threading.Event()
    with bound(job_id="job_a", epoch=0), pytest.raises(JobTimeoutError):
        runner(grace_s=0.1, die=dead.set)(stuck, until=in_s(0.1))
    assert dead.wait(5)
    (record,) = (r for r in caplog.records if r.message == "worker.stuck")
    assert (record.job_id, record.epoch, record.grace_s) == ("job_a", 0, 0.1)


def test_it_does_so_though_the_system_has_no_thread_to_spare(monkeypatch: pytest.MonkeyPatch) -> None:
    dead, end = threading.Event(), threading.Event()
    monkeypatch.setattr(running, "_THREADS", Threads("none waits"))

    def hang() -> None:
        threading.stack_size(1 << 46)  # from now on: more than the address space has
        end.wait()

    before = threading.stack_size()
    try:
        with pytest.raises(JobTimeoutError):
            runner(grace_s=0.1, die=dead.set)(hang, until=in_s(0.1))
    finally:
        threading.stack_size(before)
        end.set()
    assert dead.is_set()


def test_work_that_comes_back_in_time_ends_nothing() -> None:
    dead = threading.Event()
    runner(grace_s=0.1, die=dead.set)(lambda: None, until=in_s(0.1))
    assert not dead.wait(0.4)
