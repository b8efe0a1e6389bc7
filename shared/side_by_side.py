"""Work that does not depend on each other, done side by side: over a network the round trip is what costs.

Whoever starts something beside itself waits for it before it returns, so that nothing lands afterwards.
"""

from collections.abc import Callable
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from contextvars import copy_context
from functools import partial
from typing import Protocol, TypeVar

from shared.threads import Threads

T = TypeVar("T")
First = TypeVar("First")
Second = TypeVar("Second")

_THREADS = Threads("beside")


class Beside(Protocol):
    """Starts a piece of work beside what its caller goes on to do."""

    def __call__(self, work: Callable[[], T]) -> Future[T]:
        """Return what will hold the work's value, or what it raised; never raise."""
        ...


#: Makes what many pieces of one kind of work are done in: so many at once, under a name.
Pool = Callable[[int, str], Executor]


def threads(at_most: int, name: str) -> Executor:
    """Return threads that end with the work they were made for."""
    return ThreadPoolExecutor(at_most, thread_name_prefix=name)


def here(work: Callable[[], T]) -> Future[T]:
    """Do the work at once, in the caller's thread."""
    future: Future[T] = Future()
    _do(work, future)
    return future


def in_thread(work: Callable[[], T]) -> Future[T]:
    """Do the work in a thread of its own, which does not keep the process from ending."""
    future: Future[T] = Future()
    try:
        _THREADS.start(partial(copy_context().run, _do, work, future))
    except RuntimeError:
        _do(work, future)  # the system has no thread to spare: one after the other, then
    return future


def both(beside: Beside, first: Callable[[], First], second: Callable[[], Second]) -> tuple[First, Second]:
    """Return what two pieces of work return; if one raises, the other has ended too."""
    other = beside(first)
    try:
        value = second()
    finally:
        # Without this wait an error would leave the other at work on what its caller now gives up.
        other.exception()
    return other.result(), value


def _do(work: Callable[[], T], future: Future[T]) -> None:
    try:
        value = work()
    except BaseException as error:  # noqa: BLE001 - whoever waits raises it again
        future.set_exception(error)
    else:
        future.set_result(value)
