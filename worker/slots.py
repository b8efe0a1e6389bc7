"""How many jobs this process works on at once, and how one that is suspected of killing works alone."""

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from shared.errors import ShuttingDownError, WorkerBusyError

#: How often somebody who waits looks whether the process is being stopped.
_LOOK_S = 0.1


@dataclass
class Slots:
    """A fixed number of slots; a job that runs alone takes all of them."""

    count: int
    is_stopping: Callable[[], bool] = lambda: False
    _taken: int = 0
    _waiting_for_all: int = 0  #: a job that runs alone goes first, or it would never find all slots free
    _changed: threading.Condition = field(default_factory=threading.Condition)

    def take(self, *, alone: bool, within_s: float) -> Callable[[], None]:
        """Take one slot, or all for a job that must run alone; return what gives it back.

        Raises
        ------
        WorkerBusyError
            If none came free within the time given.
        ShuttingDownError
            If the process is being stopped.
        """
        wanted, until = self.count if alone else 1, time.monotonic() + within_s
        with self._changed:
            self._waiting_for_all += alone
            try:
                while self._is_full(wanted, alone=alone):
                    self._wait(until, within_s)
                self._taken += wanted
            finally:
                self._waiting_for_all -= alone
        return self._giver(wanted)

    def _is_full(self, wanted: int, *, alone: bool) -> bool:
        return self._taken + wanted > self.count or (self._waiting_for_all > 0 and not alone)

    def _wait(self, until: float, within_s: float) -> None:
        left_s = until - time.monotonic()
        if self.is_stopping():
            raise ShuttingDownError("The worker is being stopped.")
        if left_s <= 0:
            raise WorkerBusyError(f"All {self.count} slots were taken for {within_s:.0f} s.")
        self._changed.wait(min(left_s, _LOOK_S))

    def _giver(self, taken: int) -> Callable[[], None]:
        given = threading.Lock()  # taken by whoever gives back first, so that giving twice is harmless

        def give_back() -> None:
            if given.acquire(blocking=False):
                with self._changed:
                    self._taken -= taken
                    self._changed.notify_all()

        return give_back
