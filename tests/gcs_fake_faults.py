"""What goes wrong at the fake store: which fault, at which kind of call, at which of its calls."""

from collections import Counter
from collections.abc import Callable, Container, Iterable
from dataclasses import dataclass
from enum import Enum
from threading import Lock

#: Kinds of calls, as the fake counts them.
SITES = ("insert", "resumable.start", "resumable.chunk", "stat", "read", "list", "delete")


class Fault(Enum):
    """One way in which a call goes wrong."""

    TOO_MANY = 429
    UNAVAILABLE = 503
    TIMEOUT = 408
    INTERNAL = 500
    RESET = "the connection is reset before anything happened"
    STALL = "nothing happens and nothing is answered"
    LOST = "it is done, and the connection dropped instead of an answer"
    LATE = "it is done, and never answered"
    TRUNCATED = "it is done, and half the answer's body comes"
    CORRUPT = "a byte of the body is another one: of what is sent if anything is, else of the answer"
    GARBLED = "it is done, and the answer is the page of some proxy"
    UNNAMED = "the answer lacks the headers that say what it is"
    DRIP = "the answer comes a byte at a time"
    PARTIAL = "of a resumable upload's chunk only the beginning is kept"
    FORBIDDEN = 403
    EXPIRED = 401
    GONE = 410


@dataclass
class Plan:
    """A fault for some calls of one kind, counted from 0."""

    site: str
    fault: Fault
    calls: Container[int]


class Faults:
    """What was planned, and how many calls of each kind there were."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._plans: list[Plan] = []
        #: What happens elsewhere right before a call of a kind, by the call's number.
        self.meanwhile: dict[tuple[str, int], Callable[[], object]] = {}
        self.calls: Counter[str] = Counter()
        self.done: Counter[tuple[str, Fault]] = Counter()

    def plan(self, site: str, fault: Fault, calls: Iterable[int] = (0,)) -> None:
        """Let calls of a kind go wrong; they are counted from now on, from 0."""
        begin = self.calls[site]
        numbers = calls if isinstance(calls, range) else frozenset(calls)
        self._plans.append(Plan(site, fault, _Shifted(numbers, begin)))

    def always(self, site: str, fault: Fault) -> None:
        """Let every call of a kind go wrong from now on."""
        self.plan(site, fault, range(1 << 30))

    def clear(self) -> None:
        """Forget what was planned."""
        self._plans.clear()

    def next(self, site: str) -> Fault | None:
        """Count a call, and say how it goes wrong."""
        with self._lock:
            number = self.calls[site]
            self.calls[site] += 1
        self.meanwhile.get((site, number), lambda: None)()
        with self._lock:
            fault = next((p.fault for p in self._plans if p.site == site and number in p.calls), None)
            if fault:
                self.done[site, fault] += 1
            return fault


@dataclass(frozen=True)
class _Shifted:
    numbers: Container[int]
    by: int

    def __contains__(self, number: object) -> bool:
        return isinstance(number, int) and number - self.by in self.numbers
