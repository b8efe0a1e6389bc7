"""Spreads a row's work over as many processes as there are cores: always the same share for each of them."""

import gc
import logging
import multiprocessing
import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor, ThreadPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

#: A share that takes longer hangs.
_MOST_S = 600.0


class DiedError(AssertionError):
    """A process died at its work, or came to no end."""


@dataclass
class Lane:
    """A process that does one piece of work after the other; once it has died, another goes on."""

    def __post_init__(self) -> None:
        self._line = ThreadPoolExecutor(1)
        self._pool: ProcessPoolExecutor | None = None

    def start(self, work: Callable[..., Any], *given: Any) -> Future[Any]:
        """Let work be done behind what was started before; to wait for it may raise ``DiedError``."""
        return self._line.submit(self._done, work, *given)

    def _done(self, work: Callable[..., Any], *given: Any) -> Any:
        if self._pool is None:
            spawn = multiprocessing.get_context("spawn")
            self._pool = ProcessPoolExecutor(1, mp_context=spawn, initializer=_begin)
        try:
            return self._pool.submit(work, *given).result(timeout=_MOST_S)
        except (BrokenProcessPool, TimeoutError) as error:
            self._end()
            raise DiedError(f"a process has died or hangs: {type(error).__name__}") from error

    def _end(self) -> None:
        """End the process, whatever it is at."""
        pool, self._pool = self._pool, None
        if pool:
            for process in list((pool._processes or {}).values()):
                process.kill()
            pool.shutdown(cancel_futures=True)

    def stop(self) -> None:
        """End the process, and start nothing more."""
        self._line.shutdown(wait=False, cancel_futures=True)
        self._end()
        self._line.shutdown()


def _begin() -> None:
    """Prepare a process: it says nothing, and seldom looks for garbage, and never in what it has imported."""
    logging.disable(logging.CRITICAL)
    gc.collect()
    gc.freeze()
    gc.set_threshold(20_000)


@contextmanager
def lanes(number: int | None = None) -> Iterator[Sequence[Lane]]:
    """Lend a lane for each core."""
    found = [Lane() for _ in range(number or os.cpu_count() or 1)]
    try:
        yield found
    finally:
        for lane in found:
            lane.stop()
