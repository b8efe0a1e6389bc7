"""The time that a device takes, which works on behind the program that asks it."""

from collections.abc import Callable
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
