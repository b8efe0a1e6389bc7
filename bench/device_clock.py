"""The time that a device takes, which works on behind the program that asks it."""

import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, Protocol

import torch


class Clock(Protocol):
    """Tells the device's time, which runs behind the program's."""

    def mark(self) -> Any:
        """Mark this place in what the device has been given to do; the program goes on."""
        ...

    def seconds(self, first: Any, last: Any) -> float:
        """Return the time from one mark to another, once the device has come so far."""
        ...


class CudaClock:
    """CUDA's events."""

    def mark(self) -> torch.cuda.Event:
        """Implement ``Clock``."""
        event = torch.cuda.Event(enable_timing=True)
        event.record()
        return event

    def seconds(self, first: torch.cuda.Event, last: torch.cuda.Event) -> float:
        """Implement ``Clock``."""
        last.synchronize()
        return first.elapsed_time(last) / 1000


class WallClock:
    """A CPU's time: it has done what it was given when the call returns."""

    def mark(self) -> float:
        """Implement ``Clock``."""
        return time.perf_counter()

    def seconds(self, first: float, last: float) -> float:
        """Implement ``Clock``."""
        return last - first


def clock_of(device: torch.device) -> Clock:
    """Return the clock of a device."""
    return CudaClock() if device.type == "cuda" else WallClock()


class Spans:
    """Marks before and behind the parts of a call, by their names."""

    def __init__(self, clock: Clock) -> None:
        self.clock, self.marks = clock, defaultdict[str, list[tuple[Any, Any]]](list)

    def around(self, name: str, part: Callable[..., Any]) -> Any:
        """Return a part that is marked whenever it is called."""

        def marked(*given: Any) -> Any:
            first = self.clock.mark()
            answer = part(*given)
            self.marks[name].append((first, self.clock.mark()))
            return answer

        return marked

    def around_steps(self, name: str, part: Callable[..., Iterator[Any]]) -> Any:
        """Return a part that gives its answer step by step."""

        def marked(*given: Any) -> Iterator[Any]:
            first = self.clock.mark()
            yield from part(*given)
            self.marks[name].append((first, self.clock.mark()))

        return marked

    def taken(self) -> dict[str, float]:
        """Return the seconds of each part, added up, and forget them."""
        found = {name: sum(self.clock.seconds(*two) for two in marks) for name, marks in self.marks.items()}
        self.marks.clear()
        return found


class MarkedQueue(ThreadPoolExecutor):
    """An engine's queue, with a mark before and behind all that is asked of the device."""

    def __init__(self, clock: Clock) -> None:
        super().__init__(1, "network")
        self.clock, self.marks = clock, list[tuple[Any, Any]]()

    def submit(self, ask: Callable[..., Any], /, *given: Any, **named: Any) -> Future[Any]:
        """Ask the device for something, after all that was asked before."""
        return super().submit(self._marked, ask, *given, **named)

    def _marked(self, ask: Callable[..., Any], *given: Any, **named: Any) -> Any:
        first = self.clock.mark()
        answer = ask(*given, **named)
        self.marks.append((first, self.clock.mark()))
        return answer
