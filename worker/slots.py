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
    """A fixed number of slots, and as many places to stand ready for one.

    A job that stands ready has claimed what it is about to do and reads its photo meanwhile; the first that
    has read it gets the next slot, so that a read that stalls keeps nobody from one.  A job that runs alone
    takes all slots, waits for those who store or stand ready, and lets nobody stand ready beside it.
    """

    count: int
    is_stopping: Callable[[], bool] = lambda: False
    monotonic: Callable[[], float] = time.monotonic
    _taken: int = 0
    _storing: int = 0  #: jobs that have handed their slot on; never more than there are slots
    _ready: list["Slot"] = field(default_factory=list)  #: jobs without a slot; as many at most
    _line: deque["Slot"] = field(default_factory=deque)  #: those of them that could go on at once
    _finished: deque["Slot"] = field(default_factory=deque)  #: to be handed on once there is room
    _is_alone: bool = False  #: the job at work may take its neighbours along
    _waiting_for_all: int = 0  #: a job that runs alone goes first, or it would never find all slots free
    _changed: threading.Condition = field(default_factory=threading.Condition)

    def take(self, *, alone: bool, within_s: float) -> "Slot":
        """Take a slot or a place to stand ready, or all slots for a job that must run alone.

        Who has little time left, less than half of it, gets a slot or nothing: a place would be given back.

        Raises
        ------
        WorkerBusyError
            If neither came free within the time given.
        ShuttingDownError
            If the process is being stopped.
        """
        until, slot = self.monotonic() + within_s, Slot(slots=self, alone=alone)
        with self._changed:
            self._waiting_for_all += alone
            try:
                while not self._has_room(alone=alone, may_wait=until - self.monotonic() > within_s / 2):
                    self._wait(until)
                self._admit(slot)
            finally:
                self._waiting_for_all -= alone
        return slot

    def enter(self, slot: "Slot", *, within_s: float) -> None:
        """Wait until one that stands ready has its slot, or until somebody has to run alone.

        Errors as of ``take``.
        """
        until = self.monotonic() + within_s
        with self._changed:
            if slot in self._ready:
                self._line.append(slot)
                self._fill()
            while not slot.taken:
                if self._waiting_for_all:
                    raise WorkerBusyError("Another job has to run alone, and would have to wait for two.")
                self._wait(until)

    def stands_ready(self, slot: "Slot") -> bool:
        """Whether a job has a place to stand ready, and no slot yet."""
        with self._changed:
            return slot in self._ready

    def hand_on(self, slot: "Slot") -> None:
        """Count a slot's job among those who store, as soon as there is room for one more."""
        with self._changed:
            self._finished.append(slot)
            self._hand_on()

    def give_back(self, slot: "Slot") -> None:
        """Take back whatever a slot's job still holds."""
        with self._changed:
            for places in (self._ready, self._line):
                if slot in places:
                    places.remove(slot)
            if slot.alone and slot.taken:
                self._is_alone = False
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
        self._fill()
        self._changed.notify_all()

    def _fill(self) -> None:
        """Give what is free to those who stand in line."""
        while self._line and self._taken < self.count:
            slot = self._line.popleft()
            self._ready.remove(slot)
            self._change(slot, taken=1, storing=0)

    def _admit(self, slot: "Slot") -> None:
        self._is_alone = slot.alone
        if self._taken < self.count:
            self._change(slot, taken=self.count if slot.alone else 1, storing=0)
        else:
            self._ready.append(slot)

    def _has_room(self, *, alone: bool, may_wait: bool) -> bool:
        if alone:
            return not (self._taken or self._storing or self._ready)
        if self._waiting_for_all or self._is_alone:
            return False
        return self._taken < self.count or (may_wait and len(self._ready) < self.count)

    def _wait(self, until: float) -> None:
        left_s = until - self.monotonic()
        if self.is_stopping():
            raise ShuttingDownError("The worker is being stopped.")
        if left_s <= 0:
            raise WorkerBusyError(f"All {self.count} slots were taken.")
        self._let_change(min(left_s, _LOOK_S))

    def _let_change(self, within_s: float) -> None:
        self._changed.wait(within_s)


@dataclass(eq=False)
class Slot:
    """What one job holds of the slots; only ``Slots`` changes it."""

    slots: Slots
    alone: bool
    taken: int = 0  #: none while it stands ready
    storing: int = 0

    @property
    def stands_ready(self) -> bool:
        """Whether its job still waits for it."""
        return self.slots.stands_ready(self)

    def enter(self, *, within_s: float) -> None:
        """Go on once the slot is there; one that was free has been taken already."""
        self.slots.enter(self, within_s=within_s)

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
