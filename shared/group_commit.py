"""Group commit: callers who come at once are written down together, by one of them.

What is slow about a commit is waiting for the disk, which takes no longer for many than for one.
"""

import os
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Generic, TypeVar, cast
from weakref import WeakSet

from shared.errors import QueueUnavailableError

_BUSY = "The queue was busy for longer than the time given; try again."

Item = TypeVar("Item")
Value = TypeVar("Value")


@dataclass(eq=False, slots=True)
class _Entry(Generic[Item, Value]):
    """One caller's item, and what became of it."""

    item: Item
    until: float  #: monotonic seconds
    value: Value | None = None
    error: Exception | None = None
    is_done: bool = False

    def end(self, value: Value | None = None, error: Exception | None = None) -> None:
        self.value, self.error, self.is_done = value, error, True

    def outcome(self) -> Value:
        if self.error:
            raise self.error
        return cast("Value", self.value)


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
        self._changed = threading.Condition()
        self._waiting: list[_Entry[Item, Value]] = []
        self._is_writing = False

    def __call__(self, item: Item, within: timedelta) -> Value:
        """Write an item down, and return its value.

        Raises
        ------
        QueueUnavailableError
            If that was not possible within the time; the item is not written.
        """
        entry: _Entry[Item, Value] = _Entry(item, time.monotonic() + within.total_seconds())
        with self._changed:
            self._waiting.append(entry)
        try:
            while batch := self._batch_to_write(entry):
                self._write_batch(batch)
        finally:
            self._leave(entry)
        return entry.outcome()

    def _batch_to_write(self, entry: _Entry[Item, Value]) -> list[_Entry[Item, Value]]:
        """Wait for what becomes of an entry, or until it is for its caller to write all that wait."""
        with self._changed:
            while self._is_writing and not entry.is_done:
                left_s = _left_s(entry.until)
                if left_s == 0 and entry in self._waiting:
                    entry.end(error=QueueUnavailableError(_BUSY))
                else:  # where its time is over it is being written: nobody knows yet what becomes of it
                    self._changed.wait(left_s or None)
            if entry.is_done:
                return []
            self._is_writing, batch, self._waiting = True, self._waiting, []
            return batch

    def _write_batch(self, batch: list[_Entry[Item, Value]]) -> None:
        try:
            self._try(batch)
        finally:
            with self._changed:
                self._waiting += [entry for entry in batch if not entry.is_done]
                self._is_writing = False
                self._changed.notify_all()

    def _try(self, batch: list[_Entry[Item, Value]]) -> None:
        """Write entries while the most hurried has time; those who are not done afterwards have some left."""
        until = min(entry.until for entry in batch)
        try:
            values = self._write([entry.item for entry in batch], timedelta(seconds=_left_s(until)))
            for entry, value in zip(batch, values, strict=True):
                entry.end(value)
        except QueueUnavailableError as error:
            was_in_haste = _left_s(until) == 0  # of one of them: the others have time for another try
            for entry in batch:
                if not was_in_haste or _left_s(entry.until) == 0:
                    entry.end(error=error)
        except Exception as error:  # noqa: BLE001 - its caller raises it again
            if len(batch) == 1:
                batch[0].end(error=error)
                return
            for entry in batch:  # one of them is at fault, and the others are not
                self._try([entry])

    def _leave(self, entry: _Entry[Item, Value]) -> None:
        with self._changed:
            if entry in self._waiting:  # its caller was interrupted
                self._waiting.remove(entry)


def _left_s(until: float) -> float:
    return max(0.0, until - time.monotonic())


_ALL: WeakSet[GroupCommit[Any, Any]] = WeakSet()


def _forget_all() -> None:
    for group in _ALL:
        group.forget()


os.register_at_fork(after_in_child=_forget_all)
