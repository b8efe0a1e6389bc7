"""Threads that wait for their next piece of work instead of ending: a short job costs none a new one.

A pool of the standard library bounds how many there are, and waits for them before the process ends; here
each piece of work has a thread at once, and one that hangs keeps nobody from leaving.
"""

import os
import threading
from collections import deque
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from queue import Empty, SimpleQueue

Work = Callable[[], object]  #: raises nothing

#: A thread that has had nothing to do for so long ends.
_IDLE_S = 60.0


class Threads:
    """Daemon threads under one name, as many as there is work at once."""

    def __init__(self, name: str, *, idle_s: float = _IDLE_S) -> None:
        self._name, self._idle_s = name, idle_s
        self._waiting: deque[SimpleQueue[Work]] = deque()
        os.register_at_fork(after_in_child=self._waiting.clear)  # a fork takes no threads along

    def start(self, work: Work) -> None:
        """Do a piece of work in a thread that has nothing to do, or in a new one.

        Raises
        ------
        RuntimeError
            If the system has no thread to spare; nothing was started.
        """
        try:
            inbox = self._waiting.pop()  # who waited the shortest: the others may end
        except IndexError:
            inbox = SimpleQueue()
            threading.Thread(target=self._serve, args=(inbox,), name=self._name, daemon=True).start()
        inbox.put(work)

    def _serve(self, inbox: SimpleQueue[Work]) -> None:
        while True:
            try:
                work = inbox.get(timeout=self._idle_s)
            except Empty:
                try:
                    self._waiting.remove(inbox)
                except ValueError:
                    continue  # work is on its way
                return
            work()
            del work  # a thread that waits holds nobody's pictures
            self._waiting.append(inbox)


class ServingPool(ThreadPoolExecutor):
    """A pool that serves with the threads it has where the system has none to spare.

    The standard library's raises then, in the thread that takes connections in; what was submitted is in the
    queue all the same, and is done by the threads there are.
    """

    def _adjust_thread_count(self) -> None:
        try:
            super()._adjust_thread_count()
        except RuntimeError:
            if not self._threads:
                raise
