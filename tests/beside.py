"""Ways to do work side by side that a test can repeat: early, late, as the dice fall, in virtual time."""

from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass, field
from datetime import datetime
from random import Random
from typing import Any

from shared.side_by_side import in_thread


class _Lent(Future):
    """A future whose work is done by the time somebody waits for it."""

    def __init__(self, owner: "Drawn") -> None:
        super().__init__()
        self._owner = owner

    def result(self, timeout: float | None = None) -> Any:
        self._owner.do(self)
        return super().result(timeout)

    def exception(self, timeout: float | None = None) -> BaseException | None:
        self._owner.do(self)
        return super().exception(timeout)


@dataclass
class Drawn:
    """Does what was started when the dice say so; without dice, only when somebody waits for it."""

    dice: Random | None = None
    started: dict[Future, Callable[[], Any]] = field(default_factory=dict)

    def __call__(self, work: Callable[[], Any]) -> Future:
        future = _Lent(self)
        self.started[future] = work
        self._roll()
        return future

    def do(self, future: Future) -> None:
        self._roll()
        self._do(future)

    def join(self) -> None:
        assert not self.started, "something was started and nobody waited for it"

    def die(self) -> None:
        self.started.clear()

    def _roll(self) -> None:
        while self.dice and self.started and self.dice.random() < 0.6:
            self._do(self.dice.choice(list(self.started)))

    def _do(self, future: Future) -> None:
        if work := self.started.pop(future, None):
            try:
                future.set_result(work())
            except BaseException as error:  # noqa: BLE001 - whoever waits raises it again
                future.set_exception(error)


@dataclass
class Early(Drawn):
    """Does everything at once."""

    def _roll(self) -> None:
        for future in list(self.started):
            self._do(future)


@dataclass
class Threads:
    """Real threads, whose ends a test can wait for."""

    futures: list[Future] = field(default_factory=list)

    def __call__(self, work: Callable[[], Any]) -> Future:
        future = in_thread(work)
        self.futures.append(future)
        return future

    def join(self) -> None:
        assert all(future.done() for future in self.futures), "a thread outlived what started it"

    def die(self) -> None:
        """Let what a killed process had under way land, as its last packets would."""
        for future in self.futures:
            future.exception(timeout=10)


def _thrown(seeds: range) -> dict[str, Callable[[], Any]]:
    return {f"dice-{seed}": lambda seed=seed: Drawn(Random(seed)) for seed in seeds}


#: Fresh each time, so that a run can be repeated call by call.
ORDERS: dict[str, Callable[[], Any]] = {
    "early": Early,
    "late": Drawn,
    "threads": Threads,
    **_thrown(range(4)),
}
#: The same, and more throws: for tests that kill a process at every call.
MANY_ORDERS = ORDERS | _thrown(range(4, 20))


@dataclass
class Overlapped:
    """Does work at once, and turns the clock back, as if it had been done beside what follows."""

    clock: Any
    futures: list[Future] = field(default_factory=list)

    def join(self) -> None:
        assert all(future.done() for future in self.futures), "something outlived what started it"

    def __call__(self, work: Callable[[], Any]) -> Future:
        began, future = self.clock.time, _Landing(self.clock)
        self.futures.append(future)
        try:
            future.set_result(work())
        except BaseException as error:  # noqa: BLE001 - whoever waits raises it again
            future.set_exception(error)
        future.ended, self.clock.time = self.clock.time, began
        return future


class _Landing(Future):
    """A future that ends at a moment of virtual time; waiting for it turns the clock to that moment."""

    def __init__(self, clock: Any) -> None:
        super().__init__()
        self._clock = clock
        self.ended: datetime = clock.time

    def done(self) -> bool:
        return self.ended <= self._clock.time

    def result(self, timeout: float | None = None) -> Any:
        self._clock.time = max(self._clock.time, self.ended)
        return super().result(timeout)

    def exception(self, timeout: float | None = None) -> BaseException | None:
        self._clock.time = max(self._clock.time, self.ended)
        return super().exception(timeout)
