"""Group commit: callers who come at once are written down together, by whichever of them has the turn.

What is slow about a commit is waiting for the disk, which takes no longer for many than for one.
"""

import os
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from datetime import timedelta
from typing import Any, Generic, TypeVar
from weakref import WeakSet

from shared.errors import QueueUnavailableError

Item = TypeVar("Item")
Value = TypeVar("Value")


class GroupCommit(Generic[Item, Value]):
    """Writes items, each for a caller who waits; all callers may be threads of one process.

    Parameters
    ----------
    write
        Writes all of some items or none, within a time, and returns a value for each; one call at a time.
    """

    def __init__(self, write: Callable[[Sequence[Item], timedelta], Sequence[Value]]) -> None:
        self._write = write
        self.forget()
        _ALL.add(self)

    def forget(self) -> None:
        """Start anew: a fork takes a lock along, and not the thread that would have released it."""
        self._waiting: deque[tuple[Item, Future[Value]]] = deque()
        self._turn = threading.Lock()

    def __call__(self, item: Item, within: timedelta) -> Value:
        """Write an item down, and return its value.

        Raises
        ------
        QueueUnavailableError
            If that was not possible within the time; the item is not written.
        """
        until = time.monotonic() + within.total_seconds()
        while True:
            future: Future[Value] = Future()
            self._waiting.append((item, future))
            is_own_try = self._serve(future, until)
            try:
                return future.result()
            except QueueUnavailableError:
                # Another caller's time may have been shorter than ours.
                if is_own_try or time.monotonic() >= until:
                    raise

    def _serve(self, future: "Future[Value]", until: float) -> bool:
        """Wait until somebody has written what waits, or do it; return whether we did."""
        if not self._turn.acquire(timeout=_left_s(until)):
            if future.cancel():
                raise QueueUnavailableError("The queue was busy for longer than the time given; try again.")
            return False  # it is being written at this moment
        try:
            if future.done():
                return False
            self._write_waiting(until)
            return True
        finally:
            self._turn.release()

    def _write_waiting(self, until: float) -> None:
        waiting = [self._waiting.popleft() for _ in range(len(self._waiting))]
        batch = [(item, future) for item, future in waiting if future.set_running_or_notify_cancel()]
        try:
            values = self._write([item for item, _ in batch], timedelta(seconds=_left_s(until)))
        except BaseException as error:  # noqa: BLE001 - whoever waits raises it again
            for _, future in batch:
                future.set_exception(error)
        else:
            for (_, future), value in zip(batch, values, strict=True):
                future.set_result(value)


def _left_s(until: float) -> float:
    return max(0.0, until - time.monotonic())


_ALL: WeakSet[GroupCommit[Any, Any]] = WeakSet()


def _forget_all() -> None:
    for group in _ALL:
        group.forget()


os.register_at_fork(after_in_child=_forget_all)
