"""A bell between processes: whoever publishes rings it, the pusher sleeps until it rings.

It is a FIFO beside the broker's file. A ring may be lost (nobody listens, the FIFO is gone), so the
sleeper never sleeps for long; it is never needed for correctness, only for speed.
"""

import contextlib
import os
import select
import stat
from pathlib import Path
from types import TracebackType
from typing import Self


def ring(path: Path) -> None:
    """Wake whoever sleeps at this bell; return at once if nobody does."""
    # ENXIO: nobody listens. EAGAIN: the bell rings already. ENOENT: it was never hung up.
    with contextlib.suppress(OSError):
        bell = os.open(path, os.O_WRONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        try:
            # A plain file in the bell's place would grow with every ring.
            if stat.S_ISFIFO(os.fstat(bell).st_mode):
                os.write(bell, b"!")
        finally:
            os.close(bell)


class Bell:
    """The sleeper's end; one process holds it at a time."""

    def __init__(self, path: Path) -> None:
        if not path.is_fifo():
            path.unlink(missing_ok=True)
            os.mkfifo(path, 0o600)
        # Read and write: with a writer always there, a FIFO never reports its end.
        self._end = os.open(path, os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC)
        self._poll = select.poll()
        self._poll.register(self._end, select.POLLIN)

    def wait(self, timeout_s: float) -> None:
        """Sleep until the bell rings or the time is over; all rings so far are answered by one waking."""
        self._poll.poll(timeout_s * 1000)
        with contextlib.suppress(BlockingIOError):
            while os.read(self._end, 4096):
                pass

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        os.close(self._end)
