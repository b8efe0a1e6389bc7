"""Run one attempt in a thread of its own, so that the request's thread only waits and can always answer.

A forward pass cannot be interrupted; what can be is the waiting for it.  A thread that does not come
back ends the process (gunicorn's timeout does not bound a threaded request).
"""

import logging
import os
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, NoReturn, Protocol, TypeVar

from shared.errors import DeviceLostError, InternalError, JobTimeoutError, ShuttingDownError
from shared.logs import bound, bound_fields
from shared.threads import Threads

log = logging.getLogger(__name__)

T = TypeVar("T")

_THREADS = Threads("attempt")

#: How often the waiting thread looks whether the process is being stopped.
_LOOK_S = 0.05


class Runner(Protocol):
    """Runs a piece of work while watching the time."""

    def __call__(self, work: Callable[[], T], *, until: float) -> T:
        """Return what the work returns, or raise what it raises, or stop waiting for it.

        Raises
        ------
        JobTimeoutError
            If it has not ended by ``until``, on the monotonic clock; it may go on.
        ShuttingDownError
            If the process is being stopped; it may go on.
        """
        ...


def run_here(work: Callable[[], T], *, until: float) -> T:
    """Run in the caller's thread, which then finds out about the time between stages only."""
    del until
    return work()


@dataclass
class _Result:
    done: threading.Event = field(default_factory=threading.Event)
    value: Any = None
    error: BaseException | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ThreadRunner:
    """Runs each piece of work in a daemon thread under a watchdog."""

    is_stopping: Callable[[], bool]
    grace_s: float  #: from the deadline to the end of the process
    die: Callable[[], object]

    def __call__(self, work: Callable[[], T], *, until: float) -> T:
        """Implement ``Runner``."""
        result = _started(work)
        try:
            while not result.done.wait(_LOOK_S):
                if self.is_stopping():
                    raise ShuttingDownError("The worker is being stopped.")
                if time.monotonic() > until:
                    raise JobTimeoutError("The attempt did not end within its time.")
        finally:
            if not result.done.is_set():
                self._watch(result, until + self.grace_s)
        if result.error:
            raise result.error
        value: T = result.value
        return value

    def _watch(self, result: _Result, until: float) -> None:
        """End the process if work that nobody waits for any more does not come back."""
        facts = {
            **bound_fields(),
            "grace_s": self.grace_s,
        }  # which job it is: nothing is bound in other threads

        def watch() -> None:
            if not result.done.wait(max(0.0, until - time.monotonic())):
                _within_a_second(lambda: log.critical("worker.stuck", extra=facts))
                self.die()

        try:
            _THREADS.start(watch)
        except RuntimeError:
            watch()  # the system has no thread to spare: the delivery's own, then


def _started(work: Callable[[], Any]) -> _Result:
    result, fields = _Result(), bound_fields()

    def run() -> None:
        try:
            with bound(**fields):
                result.value = work()
        except Exception as error:  # noqa: BLE001 - the waiting thread raises it again
            result.error = error
        except BaseException as error:  # noqa: BLE001 - an exit asked for in here is a bug like any other
            result.error = InternalError(repr(error))
        finally:
            result.done.set()

    try:
        _THREADS.start(run)
    except RuntimeError as error:
        raise MemoryError("The system has no thread to spare.") from error
    return result


def end_over(error: DeviceLostError, stopping: threading.Event, die: Callable[[], object]) -> None:
    """Say once that the device is lost, and end the process beside whoever has yet to be answered."""
    if stopping.is_set():
        return
    stopping.set()
    log.critical("worker.device_lost", exc_info=error)
    try:
        _THREADS.start(die)
    except RuntimeError:
        die()  # the system has no thread to spare


def die_now(code: int = 70) -> NoReturn:
    """End this process at once, whatever its threads are doing or hold."""
    _within_a_second(logging.shutdown)
    os._exit(code)


def _within_a_second(act: Callable[[], None]) -> None:
    """Do something that the thread that hangs may keep us from doing, such as logging."""
    thread = threading.Thread(target=act, daemon=True)
    try:
        thread.start()
    except RuntimeError:
        return  # no thread to spare: it is left undone, and what comes after it is not
    thread.join(1)
