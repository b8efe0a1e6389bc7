"""How many jobs this process works on at once, and how one that is suspected of killing works alone."""

import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field

from shared.errors import ShuttingDownError, WorkerBusyError

#: How often somebody who waits looks whether the process is being stopped.
_LOOK_S = 0.1


@dataclass
class Slots:
    """A fixed number of slots; a job that runs alone takes all of them, and waits for those who store."""

    count: int
    is_stopping: Callable[[], bool] = lambda: False
    _taken: int = 0
    _storing: int = 0  #: jobs that have handed their slot on; never more than there are slots
    _finished: deque["Slot"] = field(default_factory=deque)  #: to be handed on once there is room
    _waiting_for_all: int = 0  #: a job that runs alone goes first, or it would never find all slots free
    _changed: threading.Condition = field(default_factory=threading.Condition)

    def take(self, *, alone: bool, within_s: float) -> "Slot":
        """Take one slot, or all for a job that must run alone.

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
        return Slot(slots=self, taken=wanted, alone=alone)

    def hand_on(self, slot: "Slot") -> None:
        """Count a slot's job among those who store, as soon as there is room for one more."""
        with self._changed:
            self._finished.append(slot)
            self._hand_on()

    def give_back(self, slot: "Slot") -> None:
        """Take back whatever a slot's job still holds."""
        with self._changed:
            self._change(slot, taken=0, storing=0)
            self._hand_on()

    def _hand_on(self) -> None:
        while self._finished and self._storing < self.count:
            slot = self._finished.popleft()
            if slot.taken:  # else it was given back meanwhile
                self._change(slot, taken=0, storing=1)

    def _change(self, slot: "Slot", *, taken: int, storing: int) -> None:
        self._taken += taken - slot.taken
        self._storing += storing - slot.storing
        slot.taken, slot.storing = taken, storing
        self._changed.notify_all()

    def _is_full(self, wanted: int, *, alone: bool) -> bool:
        if alone and self._storing:
            return True
        return self._taken + wanted > self.count or (self._waiting_for_all > 0 and not alone)

    def _wait(self, until: float, within_s: float) -> None:
        left_s = until - time.monotonic()
        if self.is_stopping():
            raise ShuttingDownError("The worker is being stopped.")
        if left_s <= 0:
            raise WorkerBusyError(f"All {self.count} slots were taken for {within_s:.0f} s.")
        self._changed.wait(min(left_s, _LOOK_S))


@dataclass
class Slot:
    """What one job holds of the slots; only ``Slots`` changes it."""

    slots: Slots
    taken: int
    alone: bool
    storing: int = 0

    def hand_on(self) -> None:
        """Let the next job render while this one's pictures are being stored.

        That waits while as many store as there are slots, which bounds what is held for it; it never comes
        for a job that runs alone, which may yet take its neighbours along.
        """
        if not self.alone:
            self.slots.hand_on(self)

    def give_back(self) -> None:
        """Hold nothing any more; saying it again is harmless."""
        self.slots.give_back(self)
