"""How long Cloud Storage is asked: one policy for the whole port, which bounds all tries of a call together.

The client's own retries are off, since two policies would multiply.
"""

import logging
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Self, TypeVar

from tenacity import RetryCallState, Retrying, retry_if_exception_type, wait_random_exponential

from shared.gcs_errors import FleetingError

log = logging.getLogger(__name__)

T = TypeVar("T")

_LEAST_S = 0.05  #: a timeout of 0 would mean none to some of what lies below


@dataclass(frozen=True, slots=True, kw_only=True)
class Patience:
    """What one call of the port may take, and one request of it."""

    total_s: float = 10.0
    connect_s: float = 2.0
    silence_s: float = 5.0  #: between two bytes of an answer
    monotonic: Callable[[], float] = time.monotonic
    sleep: Callable[[float], None] = time.sleep

    def at_most(self, total_s: float) -> Self:
        """Return the same with less time in all."""
        return replace(self, total_s=min(self.total_s, total_s))

    def begin(self) -> "Budget":
        """Return the time for a call that begins now."""
        return Budget(self)


class Budget:
    """The time that is left to one call of the port, over all of its requests."""

    def __init__(self, patience: Patience) -> None:
        self._patience = patience
        self._until = patience.monotonic() + patience.total_s
        self._tries = 0

    def timeout(self) -> tuple[float, float]:
        """Return the seconds for connecting and for silence of a request that is sent now."""
        left_s = max(self._left_s(), _LEAST_S)
        connect_s = min(self._patience.connect_s, left_s / 2)
        return connect_s, min(self._patience.silence_s, left_s - connect_s)

    def require(self) -> None:
        """Give up if the time is over, though bytes still trickle in."""
        if self._left_s() <= 0:
            raise FleetingError("Cloud Storage took too long.")

    @property
    def is_in_doubt(self) -> bool:
        """Whether the step at hand failed before in this call, and may have been done all the same."""
        return self._tries > 1

    def tried(self, step: Callable[[], T]) -> T:
        """Return what a step returns, which is repeated while that may help and there is time."""
        policy = Retrying(
            retry=retry_if_exception_type(FleetingError),
            wait=wait_random_exponential(multiplier=0.25, max=2),
            stop=self._would_be_over,
            sleep=self._patience.sleep,
            before=self._count,
            before_sleep=_log_retry,
            reraise=True,
        )
        return policy(step)

    def _count(self, state: RetryCallState) -> None:
        self._tries = state.attempt_number

    def _left_s(self) -> float:
        return self._until - self._patience.monotonic()

    def _would_be_over(self, state: RetryCallState) -> bool:
        return self._left_s() <= state.upcoming_sleep


def _log_retry(state: RetryCallState) -> None:
    error = state.outcome.exception() if state.outcome else None
    cause = error.__cause__ if error else None
    extra = {"tries": state.attempt_number, "reason": str(error), "cause": type(cause).__name__}
    log.info("store.retried", extra=extra)
